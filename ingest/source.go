package ingest

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// TokenHeader is the header for tokens that every source understands, for
// senders that cannot set Authorization.
const TokenHeader = "X-Tocsin-Token"

// Source is one way in.
type Source struct {
	Name      string
	Format    Format
	BodyLimit ByteSize
	// Spools: what comes while the sink is unavailable is kept in the spool.
	Spools bool
	// Auth holds the credentials themselves; files were read before.
	Auth AuthConfig
}

// NewSources makes sources of the checked section sources: of the configuration,
// in the order of their names. Disabled ones are left out. Formats are those
// that there are, by name; a source without one has that of its own name.
func NewSources(configs map[string]SourceConfig, formats map[string]Format) ([]Source, error) {
	var sources []Source
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		if c.Disabled {
			continue
		}
		format := c.Format
		if format == "" {
			format = name
		}
		f, ok := formats[format]
		if !ok {
			return nil, fmt.Errorf("ingest: source %q: unknown format %q", name, format)
		}
		if f.Configure != nil {
			var err error
			if f, err = f.Configure(c); err != nil {
				return nil, fmt.Errorf("ingest: source %q: %w", name, err)
			}
		}
		limit := c.BodyLimit
		if limit == 0 {
			limit = f.BodyLimit
		}
		failure := c.OnStoreFailure
		if failure == "" {
			failure = f.OnStoreFailure()
		}
		sources = append(sources, Source{Name: name, Format: f, BodyLimit: limit, Spools: failure == ToSpool, Auth: c.Auth})
	}
	return sources, nil
}

// digest stands for a secret. Comparing digests takes the same time whatever the
// secrets are, and however long.
type digest [sha256.Size]byte

func digestOf(s string) digest { return sha256.Sum256([]byte(s)) }

func (d digest) matches(s string) bool {
	other := digestOf(s)
	return subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

// credentials are those of a source; nil means that there is none of the kind.
type credentials struct {
	token, username, password *digest
	// header is a header for the token besides TokenHeader.
	header string
	query  bool
	hmac   *signature
}

func newCredentials(c AuthConfig) credentials {
	out := credentials{header: c.Header, query: c.QueryToken}
	if c.BearerToken.IsSet() {
		token := digestOf(c.BearerToken.Reveal())
		out.token = &token
	}
	if c.Username != "" && c.Password.IsSet() {
		username, password := digestOf(c.Username), digestOf(c.Password.Reveal())
		out.username, out.password = &username, &password
	}
	if c.HMAC.Secret.IsSet() {
		out.hmac = newSignature(c.HMAC)
	}
	return out
}

// configured reports whether the source has credentials of its own.
func (c *credentials) configured() bool {
	return c.token != nil || c.password != nil || c.hmac != nil
}

// match reports whether the request carries credentials of the source with the
// given name, be they configured or issued. tokens may be nil.
func (c *credentials) match(ctx context.Context, name string, r *http.Request, tokens TokenChecker) bool {
	if username, password, ok := r.BasicAuth(); ok && c.password != nil {
		// Both are compared in any case.
		rightName, rightPassword := c.username.matches(username), c.password.matches(password)
		if rightName && rightPassword {
			return true
		}
	}
	return c.matchAny(ctx, name, c.presented(r), tokens)
}

// matchAny reports whether one of the tokens is one of the source.
func (c *credentials) matchAny(ctx context.Context, name string, presented []string, tokens TokenChecker) bool {
	for _, token := range presented {
		if c.token != nil && c.token.matches(token) {
			return true
		}
		if tokens != nil && tokens.SourceToken(ctx, name, token) {
			return true
		}
	}
	return false
}

// presented returns the tokens in the request, in any of the places where this
// source allows one.
func (c *credentials) presented(r *http.Request) []string {
	var found []string
	add := func(token string) {
		if token != "" {
			found = append(found, token)
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") {
		add(strings.TrimSpace(token))
	}
	if _, password, ok := r.BasicAuth(); ok {
		add(password)
	}
	add(r.Header.Get(TokenHeader))
	if c.header != "" {
		add(r.Header.Get(c.header))
	}
	if c.query && r.URL.RawQuery != "" {
		if query, err := url.ParseQuery(r.URL.RawQuery); err == nil {
			add(query.Get("token"))
		}
	}
	return found
}
