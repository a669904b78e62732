// Package outgoing sends what notifiers say over HTTP: no redirects, no addresses
// that nobody means, answers of a bounded size, and errors that say what to do
// next and hold no secrets.
package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
)

const (
	// answerLimit is what is read of an answer, and excerptLimit what an error shows
	// of it, in bytes.
	answerLimit  = 256 << 10
	excerptLimit = 300
	// retryAfterLimit is the longest pause that a target may ask for.
	retryAfterLimit = time.Hour
)

// UserAgent is what targets see of us.
const UserAgent = "Tocsin"

// Client sends requests to one target.
type Client struct {
	http    *http.Client
	secrets *strings.Replacer
	// pairs are what secrets is made of.
	pairs []string
	// Now is the clock that Retry-After dates are compared with.
	now func() time.Time
}

// New makes a client from the http_config of a receiver; nil means the defaults.
// Secrets are texts that no error may show, beside the URL's path and query and the
// secrets of the http_config. Dial is how connections are made; nil means without a
// Guard.
func New(c *commoncfg.HTTPClientConfig, dial DialFunc, secrets ...string) (*Client, error) {
	if c == nil {
		c = &commoncfg.HTTPClientConfig{EnableHTTP2: true}
	}
	options := []commoncfg.HTTPClientOption{commoncfg.WithUserAgent(UserAgent)}
	if dial != nil {
		options = append(options, commoncfg.WithDialContextFunc(commoncfg.DialContextFunc(dial)))
	}
	client, err := commoncfg.NewClientFromConfig(*c, "tocsin", options...)
	if err != nil {
		return nil, fmt.Errorf("notify: http_config: %w", err)
	}
	// A redirect would carry the message, and its secrets, to where nobody meant it to go.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return (&Client{http: client, now: time.Now}).With(append(httpSecrets(c), secrets...)...), nil
}

// Answer is what a target answered.
type Answer struct {
	Status int
	Header http.Header
	// Body is the beginning of it.
	Body []byte
}

// Do sends a request. A status that is not 2xx is an error, with what the target
// said; the answer is there all the same.
func (c *Client) Do(r *http.Request) (Answer, error) {
	if look := notify.CaptureOf(r.Context()); look != nil {
		return Answer{}, c.captured(look, r)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return Answer{}, c.failed(r.Context(), err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	a := Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	if err != nil && response.StatusCode/100 == 2 {
		// It may have been told, and it may not.
		return a, c.failed(r.Context(), err)
	}
	if response.StatusCode/100 != 2 {
		return a, c.Refused(a, "")
	}
	return a, nil
}

// captured shows a request in place of sending it. Its address and its headers
// may hold secrets, and so may the body.
func (c *Client) captured(look *notify.Capture, r *http.Request) error {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body) // it is in memory
	}
	return look.Fill(r.Method, r.Header.Get("Content-Type"), []byte(c.secrets.Replace(string(body))))
}

// JSON sends a body as JSON, with further headers in pairs of name and value.
func (c *Client) JSON(ctx context.Context, method, to string, body any, headers ...string) (Answer, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return Answer{}, &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: fmt.Errorf("notify: %w", err)}
		}
		content = bytes.NewReader(text)
	}
	return c.Send(ctx, method, to, "application/json", content, headers...)
}

// Send sends a body of the given type.
func (c *Client) Send(ctx context.Context, method, to, contentType string, body io.Reader, headers ...string) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return Answer{}, &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("notify: the URL is not one that can be sent to")}
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	for n := 0; n+1 < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	return c.Do(r)
}

// Refused is the error for an answer. Because says what is wrong with it; empty
// means what the answer says itself.
func (c *Client) Refused(a Answer, because string) *notify.Error {
	e := &notify.Error{RetryAfter: RetryAfter(a.Header, c.now())}
	switch s := a.Status; {
	case s == http.StatusTooManyRequests:
		e.Reason = notify.ReasonRateLimited
	case s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusProxyAuthRequired:
		e.Reason = notify.ReasonAuth // somebody may mend the credentials meanwhile
	case s >= 500 || s == http.StatusRequestTimeout || s == http.StatusTooEarly || s == http.StatusConflict:
		e.Reason = notify.ReasonServer
	case s/100 == 2:
		e.Reason = notify.ReasonOther
	default:
		e.Reason, e.Permanent = notify.ReasonClient, true
	}
	if because == "" {
		// Secrets first, so that none is cut and not recognised.
		because = notify.Cut(notify.Line(c.secrets.Replace(string(a.Body[:min(len(a.Body), 64*excerptLimit)]))), excerptLimit)
	}
	if s := a.Status; s/100 == 3 {
		because = "a redirect, which is not followed"
	}
	e.Err = fmt.Errorf("answered %d: %s", a.Status, c.secrets.Replace(because))
	return e
}

// failed is the error for a request that got no answer.
func (c *Client) failed(ctx context.Context, err error) *notify.Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, which may be a secret
	}
	e := &notify.Error{Reason: notify.ReasonOther}
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		e.Reason = notify.ReasonTimeout
	case errors.Is(err, ErrDenied):
		e.Reason, e.Permanent = notify.ReasonClient, true
	}
	e.Err = errors.New(notify.Cut(c.secrets.Replace(err.Error()), excerptLimit))
	return e
}

// Untold is the error for an answer that says success and yet is not that of the
// tool, such as the page of a proxy: nobody was told.
func Untold(tool string) *notify.Error {
	return &notify.Error{Reason: notify.ReasonOther, Err: fmt.Errorf("the answer is not one of %s; is something else answering in its place?", tool)}
}

// RetryAfter is how long an answer asks to be left alone, in both forms of RFC
// 9110 section 10.2.3; 0 if it does not.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, retryAfterLimit.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), retryAfterLimit)
}
