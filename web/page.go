package web

import (
	"bytes"
	_ "embed" // the pages of signing in
	"html/template"
	"net/http"

	"github.com/gin-gonic/gin"
)

// PageFunc answers with a page of a title and a body, in a layout of its own. It
// says what the page may load (Content-Security-Policy); other headers are there.
type PageFunc func(c *gin.Context, status int, title string, body template.HTML)

// SetPage sets the layout of the pages for signing in, before anything is served.
func (a *API) SetPage(f PageFunc) { a.layout = f }

// PageHeaders sets what holds for every page that a browser shows; the policy of
// what it may load is the page's own.
func (a *API) PageHeaders(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	// With no-referrer browsers would hide from us where our own forms come from.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY") // for those that do not know frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if a.secure(c.Request) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// secure reports whether the browser reached us over https: itself, or through a
// proxy, which the external URL tells of.
func (a *API) secure(r *http.Request) bool {
	return r.TLS != nil || a.external().Scheme == "https" && !isLoopback(r.Host)
}

//go:embed signin.html
var signInHTML string

// signInTemplate holds the pages for signing in.
var signInTemplate = template.Must(template.New("signin").Parse(signInHTML))

// bare is the layout until SetPage sets another.
func bare(c *gin.Context, status int, title string, body template.HTML) {
	c.Header("Content-Security-Policy", "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Data(status, "text/html; charset=utf-8", []byte("<!doctype html><title>"+template.HTMLEscapeString(title)+"</title>"+string(body)))
}

// show answers with one of the pages for signing in.
func (a *API) show(c *gin.Context, status int, title, name string, data any) {
	a.PageHeaders(c)
	c.Abort()
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		c.Header("Retry-After", retryAfter)
	}
	a.layout(c, status, title, template.HTML(a.render(c, name, data))) //nolint:gosec // the template has escaped it
}

func (a *API) render(c *gin.Context, name string, data any) []byte {
	var out bytes.Buffer
	if err := signInTemplate.ExecuteTemplate(&out, name, data); err != nil {
		a.log.ErrorContext(c.Request.Context(), "page", "err", err) // unreachable: the data fits
	}
	return out.Bytes()
}
