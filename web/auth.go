package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web/audit"
	"github.com/tocsin-gateway/tocsin/web/session"
)

// adminName is what the holder of the configured admin token goes by.
const adminName = "admin"

// SetAdminToken replaces the configured admin token; an empty one takes it away.
func (a *API) SetAdminToken(s secret.String) {
	if !s.IsSet() {
		a.tokens.admin.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(s.Reveal()))
	a.tokens.admin.Store(&sum)
	a.tokens.latched.Store(true)
}

// Authenticated reports whether requests have to authenticate: an admin token is
// configured, a user or a provider is, or a token with a role exists. Once on it
// stays on, and while it cannot be known it is on.
func (a *API) Authenticated() bool { return a.tokens.on(context.Background()) }

// Open reports whether a source without credentials of its own takes alerts
// from anybody who reaches it: there is no authentication, and no token was made
// for the source.
func (a *API) Open(source string) bool {
	if a.Authenticated() {
		return false
	}
	table := a.tokens.table(context.Background())
	return table != nil && !table.sources[source]
}

// SourceToken reports whether token may send alerts to source: one that was made
// for it, or one of an admin. It compares in constant time.
func (a *API) SourceToken(ctx context.Context, source, token string) bool {
	ok := a.tokens.isAdmin(token)
	if table := a.tokens.table(ctx); table != nil {
		t := table.match(token)
		ok = ok || t != nil && (t.Role == RoleAdmin || t.Source != "" && t.Source == source)
	}
	return ok
}

// Identity is who makes a request.
type Identity struct {
	// Name is what they go by in timelines; empty without authentication.
	Name string
	// Role is what they may do; without authentication everything.
	Role Role
	// How they proved who they are, as audit records say it.
	How string
	// Session: they signed in, and can sign out.
	Session bool
}

// identityKey is where the Identity of an authenticated caller is in a gin.Context.
const identityKey = "tocsin/web/identity"

// IdentityOf returns who makes a request that Require has let in.
func IdentityOf(c *gin.Context) Identity {
	who, _ := c.Get(identityKey)
	i, _ := who.(Identity)
	return i
}

// identityOf is the name of the authenticated caller, "" without authentication.
func identityOf(c *gin.Context) string { return IdentityOf(c).Name }

// Require returns a middleware that lets in whoever has the role; everybody, if
// there is no authentication. It contains Protect. What is let in and changes
// something leaves an audit record; so does what would, if it is known who asks.
func (a *API) Require(role Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Set(identityKey, Identity{Role: RoleAdmin, How: audit.None})
		err := a.guard(c.Request)
		if err != nil {
			a.tried(c)
		}
		if err == nil && role != RoleViewer && !safeMethod(c.Request.Method) {
			defer a.recorded(c)()
		}
		if err == nil {
			err = a.admit(c, role)
		}
		switch {
		case err == nil:
			c.Next()
		case problemOf(err).Status == http.StatusUnauthorized && forPeople(c.Request):
			a.sendToSignIn(c)
		default:
			a.fail(c, err)
		}
	}
}

// permit is nil if the caller has the role now.
func (a *API) permit(c *gin.Context, role Role) error {
	if err := a.guard(c.Request); err != nil {
		return err
	}
	return a.admit(c, role)
}

// admit is nil if the caller, who may be here, has the role now.
func (a *API) admit(c *gin.Context, role Role) error {
	if !a.Authenticated() {
		return nil
	}
	return a.authorize(c, role)
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// forPeople reports whether a browser asks for a page.
func forPeople(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (a *API) authorize(c *gin.Context, role Role) error {
	c.Set(identityKey, Identity{}) // nobody yet
	who, err := a.identify(c)
	if err != nil {
		return err
	}
	c.Set(identityKey, who)
	if !who.Role.Covers(role) {
		return refuse(http.StatusForbidden, "this needs the role %s", role)
	}
	return nil
}

// identify finds out who makes a request: by the token in it or, if there is none, by
// the session. A password in it counts last: the listener itself may have asked for it.
func (a *API) identify(c *gin.Context) (Identity, error) {
	value, basic := presented(c.Request)
	if value != "" && !basic {
		return a.byToken(c, value)
	}
	who, err := a.bySession(c)
	switch {
	case err == nil:
		return who, nil
	case !errors.Is(err, session.ErrNone):
		return who, err
	case value != "":
		return a.byToken(c, value)
	}
	return who, refuse(http.StatusUnauthorized, "send a token: Authorization: Bearer TOKEN; or sign in, in a browser, at /signin")
}

func (a *API) byToken(c *gin.Context, value string) (Identity, error) {
	table := a.tokens.table(c.Request.Context())
	switch t := tableMatch(table, value); {
	case t != nil:
		return Identity{Name: t.Name, Role: t.Role, How: audit.Token}, nil
	case !a.throttle.Allow(c.ClientIP()):
		// Issued tokens cannot be guessed, the configured one perhaps can.
		return Identity{}, errThrottled()
	case a.tokens.isAdmin(value):
		return Identity{Name: adminName, Role: RoleAdmin, How: audit.Token}, nil
	case table == nil:
		return Identity{}, errTokens()
	}
	a.throttle.Failed(c.Request.Context(), c.ClientIP())
	return Identity{}, refuse(http.StatusUnauthorized, "this token is not valid")
}

func errThrottled() error {
	return refuse(http.StatusTooManyRequests, "too many wrong tokens from this address")
}

func tableMatch(t *tokenTable, value string) *Token {
	if t == nil {
		return nil
	}
	return t.match(value)
}

// presented is the token in a request, "" if there is none; basic says that it
// stands where passwords do.
func presented(r *http.Request) (token string, basic bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") {
		return strings.TrimSpace(token), false
	}
	return "", false
}
