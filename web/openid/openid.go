// Package openid signs people in at one OpenID provider: Authorization Code with
// PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 9700). It says who somebody is and which role
// their groups have; what becomes of it, and what has to be remembered between leaving
// for the provider and coming back, is its caller's.
package openid

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// timeout bounds each request to the provider.
	timeout = 10 * time.Second
	// again is how long after a failure the provider is not asked what it is.
	again = 5 * time.Second
	// answerLimit is how much of an answer is read, in bytes.
	answerLimit = 1 << 20
)

var (
	// ErrRefused: the provider's answer does not prove who somebody is.
	ErrRefused = errors.New("openid: refused")
	// ErrNoRole: they are who they are, but none of their groups has a role.
	ErrNoRole = errors.New("openid: no role")
)

// Options are what a Client needs.
type Options struct {
	Config Config
	// Roles are all there are, the least first.
	Roles []string
	// Redirect is the URL to which the provider sends people back.
	Redirect string
	// Now is the clock by which tokens expire; nil means time.Now.
	Now func() time.Time
}

// Client signs people in. Its methods may be called from any goroutine.
type Client struct {
	o    Options
	http *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	failedAt time.Time
	failure  error
}

// Person is who somebody is.
type Person struct{ Name, Subject, Role string }

// New returns a Client of a configuration without problems. It asks the provider
// nothing until somebody signs in, so that it may be away.
func New(o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{o: o, http: &http.Client{Timeout: timeout, Transport: short{http.DefaultTransport},
		// Nothing that a provider is asked is elsewhere, and a secret is not to go there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Button is what the button says that leads to the provider.
func (c *Client) Button() string { return c.o.Config.button() }

// short cuts answers off.
type short struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.base.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, answerLimit), answer.Body}
	}
	return answer, err
}

// Begin returns the address at the provider where somebody signs in.
func (c *Client) Begin(ctx context.Context, state, nonce, verifier string) (string, error) {
	p, err := c.discover(ctx)
	if err != nil {
		return "", err
	}
	return c.oauth(p).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// NewVerifier returns a secret that proves to the provider who asked.
func NewVerifier() string { return oauth2.GenerateVerifier() }

// discover asks the provider where its endpoints are, once, and after a failure
// again when some time has passed.
func (c *Client) discover(ctx context.Context) (*oidc.Provider, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.provider != nil {
		return c.provider, nil
	}
	if c.failure != nil && time.Since(c.failedAt) < again {
		return nil, c.failure
	}
	// What is found is for all: whoever waits may be gone.
	ctx, cancel := context.WithTimeout(c.context(context.WithoutCancel(ctx)), timeout)
	defer cancel()
	p, err := oidc.NewProvider(ctx, c.o.Config.Issuer)
	if err == nil {
		err = c.check(p)
	}
	if err != nil {
		c.failedAt, c.failure = time.Now(), fmt.Errorf("openid: %s: %w", c.o.Config.Issuer, err)
		return nil, c.failure
	}
	c.provider, c.failure = p, nil
	return p, nil
}

// check refuses endpoints that others could listen to.
func (c *Client) check(p *oidc.Provider) error {
	var more struct {
		Keys string `json:"jwks_uri"`
	}
	if err := p.Claims(&more); err != nil {
		return err
	}
	for name, text := range map[string]string{"authorization_endpoint": p.Endpoint().AuthURL, "token_endpoint": p.Endpoint().TokenURL,
		"jwks_uri": more.Keys, "userinfo_endpoint": p.UserInfoEndpoint()} {
		if text == "" && name == "userinfo_endpoint" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Host == "" || !safe(u) {
			return fmt.Errorf("the %s is no https URL", name)
		}
	}
	return nil
}

func (c *Client) context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, c.http) }

func (c *Client) oauth(p *oidc.Provider) *oauth2.Config {
	scopes := c.o.Config.Scopes
	if scopes == nil {
		scopes = DefaultScopes
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	return &oauth2.Config{ClientID: c.o.Config.ClientID, ClientSecret: c.o.Config.ClientSecret.Reveal(), Endpoint: p.Endpoint(),
		RedirectURL: c.o.Redirect, Scopes: scopes}
}

// Answer is what the provider sent somebody back with, and what was remembered of
// how they left.
type Answer struct {
	Code string
	// Issuer is who says that it answers (RFC 9207), empty if it does not say.
	Issuer          string
	Nonce, Verifier string
}

// Finish finds out who somebody is. ErrRefused is a wrong answer, ErrNoRole somebody
// who may do nothing here; other errors are those of a provider that cannot be asked.
func (c *Client) Finish(ctx context.Context, a Answer) (Person, error) {
	p, err := c.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	if a.Issuer != "" && a.Issuer != c.o.Config.Issuer {
		return Person{}, fmt.Errorf("%w: the answer is from %q", ErrRefused, a.Issuer)
	}
	ctx = c.context(ctx)
	oauth := c.oauth(p)
	token, err := oauth.Exchange(ctx, a.Code, oauth2.VerifierOption(a.Verifier))
	answered := (*oauth2.RetrieveError)(nil)
	switch { // the text of an answer may be long, and hold anything
	case errors.As(err, &answered) && answered.Response.StatusCode < 500:
		return Person{}, fmt.Errorf("%w: the code: status %d", ErrRefused, answered.Response.StatusCode)
	case answered != nil:
		return Person{}, fmt.Errorf("openid: the code: status %d", answered.Response.StatusCode)
	case err != nil:
		return Person{}, fmt.Errorf("openid: the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: c.o.Config.ClientID, Now: c.o.Now}).Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("%w: the id token: %w", ErrRefused, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return Person{}, fmt.Errorf("%w: the id token: the nonce is another one", ErrRefused)
	}
	said := claims{}
	if err := id.Claims(&said); err != nil {
		return Person{}, fmt.Errorf("%w: the id token: %w", ErrRefused, err)
	}
	if party := said.text("azp"); party != "" && party != c.o.Config.ClientID {
		return Person{}, fmt.Errorf("%w: the id token was made for %q", ErrRefused, party)
	}
	if c.incomplete(said) && p.UserInfoEndpoint() != "" {
		if err := c.ask(ctx, p, oauth.TokenSource(ctx, token), id.Subject, said); err != nil {
			return Person{}, err
		}
	}
	return c.person(id.Subject, said)
}

// ask adds what the provider tells only who asks for it (OpenID Connect Core, 5.3).
func (c *Client) ask(ctx context.Context, p *oidc.Provider, source oauth2.TokenSource, subject string, said claims) error {
	info, err := p.UserInfo(ctx, source)
	if err != nil {
		return fmt.Errorf("openid: user info: %w", err)
	}
	if info.Subject != subject {
		return fmt.Errorf("%w: the user info is about somebody else", ErrRefused)
	}
	more := claims{}
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("%w: the user info: %w", ErrRefused, err)
	}
	for name, value := range more {
		if _, there := said[name]; !there { // what is signed counts
			said[name] = value
		}
	}
	return nil
}
