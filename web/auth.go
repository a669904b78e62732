package web

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
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
// configured, or a token with a role exists. Once on it stays on, and while it
// cannot be known it is on.
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

// identityKey is where the name of an authenticated caller is in a gin.Context.
const identityKey = "tocsin/web/identity"

// roleKey is where the role of a caller who was let in is in a gin.Context.
const roleKey = "tocsin/web/role"

// identityOf is the name of the authenticated caller, "" without authentication.
func identityOf(c *gin.Context) string { return c.GetString(identityKey) }

// IdentityOf is the name of a caller whom Require let in, "" without authentication,
// and what they may do; without authentication everybody may do everything.
func IdentityOf(c *gin.Context) (name string, role Role) {
	return identityOf(c), Role(c.GetString(roleKey))
}

// Require returns a middleware that lets in whoever has the role; everybody, if
// there is no authentication. It contains Protect.
func (a *API) Require(role Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := a.permit(c, role); err != nil {
			a.fail(c, err)
		}
	}
}

// permit is nil if the caller has the role now.
func (a *API) permit(c *gin.Context, role Role) error {
	if err := a.guard(c.Request); err != nil {
		return err
	}
	c.Set(roleKey, string(RoleAdmin))
	if !a.Authenticated() {
		return nil
	}
	return a.authorize(c, role)
}

func (a *API) authorize(c *gin.Context, role Role) error {
	value := presented(c.Request)
	if value == "" {
		return refuse(http.StatusUnauthorized, "send a token: Authorization: Bearer TOKEN")
	}
	table := a.tokens.table(c.Request.Context())
	var name string
	var has Role
	switch t := tableMatch(table, value); {
	case t != nil:
		name, has = t.Name, t.Role
	case !a.throttle.Allow(c.ClientIP()):
		// Issued tokens cannot be guessed, the configured one perhaps can.
		return refuse(http.StatusTooManyRequests, "too many wrong tokens from this address")
	case a.tokens.isAdmin(value):
		name, has = adminName, RoleAdmin
	case table == nil:
		return refuse(http.StatusServiceUnavailable, "tokens cannot be read now; try again")
	default:
		a.throttle.Failed(c.Request.Context(), c.ClientIP())
		return refuse(http.StatusUnauthorized, "this token is not valid")
	}
	if !has.Covers(role) {
		return refuse(http.StatusForbidden, "this needs the role %s", role)
	}
	c.Set(identityKey, name)
	c.Set(roleKey, string(has))
	return nil
}

func tableMatch(t *tokenTable, value string) *Token {
	if t == nil {
		return nil
	}
	return t.match(value)
}

// presented is the token in a request, "" if there is none.
func presented(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Token") {
		return strings.TrimSpace(token)
	}
	return ""
}
