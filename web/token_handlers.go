package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// TokenJSON is a token as the API shows it. Role and Source are empty where
// they do not apply.
type TokenJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Source    string     `json:"source"`
	CreatedAt *time.Time `json:"created_at"`
}

// CreatedTokenJSON is a new token with its value, which is shown this once.
type CreatedTokenJSON struct {
	TokenJSON
	Token string `json:"token"`
}

// TokensJSON are all tokens.
type TokensJSON struct {
	Tokens []TokenJSON `json:"tokens"`
}

// ViewToken returns t as the API shows it.
func ViewToken(t Token) TokenJSON {
	return TokenJSON{t.ID, t.Name, string(t.Role), t.Source, stamp(t.CreatedAt)}
}

// listTokens answers GET /api/v1/tokens.
func (a *API) listTokens(c *gin.Context) {
	err := newQuery(c).done()
	var all []Token
	if err == nil {
		all, err = ListTokens(c.Request.Context(), a.store)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	v := TokensJSON{Tokens: []TokenJSON{}}
	for _, t := range all {
		v.Tokens = append(v.Tokens, ViewToken(t))
	}
	a.answer(c, http.StatusOK, v)
}

// createToken answers POST /api/v1/tokens.
func (a *API) createToken(c *gin.Context) {
	var n NewToken
	err := newQuery(c).done()
	if err == nil {
		err = readJSON(c, &n)
	}
	if err == nil && n.Source != "" && a.options.HasSource != nil && !a.options.HasSource(n.Source) {
		err = &router.InputError{Field: "source", Reason: "there is no source of this name"}
	}
	if err == nil && n.Role != "" && Role(n.Role) != RoleAdmin {
		err = a.needAdmin(c, "")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	t, value, err := CreateToken(c.Request.Context(), a.store, n)
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Set(subjectKey, t.ID)
	a.tokens.reload(c.Request.Context())
	a.log.InfoContext(c.Request.Context(), "token created", "token", t.ID, "name", t.Name, "role", string(t.Role), "alert_source", t.Source, "by", identityOf(c))
	a.answer(c, http.StatusCreated, CreatedTokenJSON{ViewToken(t), value.Reveal()})
}

// needAdmin refuses what would leave tokens with roles but none that can manage
// them: the one with the id except does not count.
func (a *API) needAdmin(c *gin.Context, except string) error {
	if a.tokens.admin.Load() != nil || a.people.Load().admins {
		return nil
	}
	all, err := ListTokens(c.Request.Context(), a.store)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Role == RoleAdmin && t.ID != except {
			return nil
		}
	}
	if except != "" {
		return refuse(http.StatusConflict, "this is the last admin token; make another one first, or delete it with --store.url while the server is stopped")
	}
	return refuse(http.StatusConflict, "make an admin token first, or nobody could manage tokens any more")
}

// deleteToken answers DELETE /api/v1/tokens/{id}.
func (a *API) deleteToken(c *gin.Context) {
	err := newQuery(c).done()
	id := c.Param("id")
	var d incident.Document
	if err == nil {
		d, err = a.store.Document(c.Request.Context(), typeToken, id)
	}
	var t Token
	if err == nil {
		t, err = parseToken(d)
	}
	if err == nil && t.Role == RoleAdmin {
		err = a.needAdmin(c, id)
	}
	if err == nil {
		err = DeleteToken(c.Request.Context(), a.store, id)
	}
	switch {
	case errors.Is(err, incident.ErrNotFound):
		a.fail(c, notFound("token", id))
	case err != nil:
		a.fail(c, err)
	default:
		a.tokens.reload(c.Request.Context())
		a.log.InfoContext(c.Request.Context(), "token deleted", "token", id, "name", t.Name, "by", identityOf(c))
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
	}
}
