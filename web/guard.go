package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web/audit"
)

// Protect returns the middleware that keeps other web pages out; it belongs before
// all routes, ingest and metrics included. A browser sends requests to this
// machine for any page it shows. Without authentication such a request is
// refused whatever it asks for, and the name of the host must be one of this
// machine (a page can give its own name our address). With authentication, what
// changes something is refused if it comes from another page.
func (a *API) Protect() gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := a.guard(c.Request); err != nil {
			a.tried(c)
			a.fail(c, err)
		}
	}
}

// tried leaves a record if another web page had the browser of somebody who is signed in
// send what would change something.
func (a *API) tried(c *gin.Context) {
	if safeMethod(c.Request.Method) || c.FullPath() == "" || !a.Authenticated() || a.origins.Check(c.Request) == nil {
		return
	}
	if who, err := a.bySession(c); err == nil {
		a.leave(c, audit.Record{Action: audit.OtherPage, Who: who.Name, How: who.How, Status: http.StatusForbidden})
	}
}

// guard says why a request is not let in, nil if it is.
func (a *API) guard(r *http.Request) error {
	if a.unknown(r.Context()) && !strings.HasPrefix(r.URL.Path, "/-/") {
		return refuse(http.StatusServiceUnavailable, "the store cannot be reached, so nobody can be let in; try again")
	}
	if a.Authenticated() {
		if err := a.origins.Check(r); err != nil {
			return refuse(http.StatusForbidden, "this request comes from another web page")
		}
		return nil
	}
	if !a.options.AnyHost && !isLoopback(r.Host) {
		return refuse(http.StatusForbidden, "without authentication only requests to localhost are answered, and this one names another host; "+
			"set an admin token (TOCSIN_ADMIN_TOKEN) to use other names")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" {
		return refuse(http.StatusForbidden, "without authentication requests from other web pages are refused, and this one is (Sec-Fetch-Site: cross-site)")
	}
	if origin, there := r.Header["Origin"]; there && !sameOrigin(origin, r) {
		return refuse(http.StatusForbidden, "without authentication requests from other web pages are refused, and this one has another Origin")
	}
	return nil
}

// unknown reports whether it was never possible to find out if there is
// authentication.
func (a *API) unknown(ctx context.Context) bool {
	return a.tokens.admin.Load() == nil && a.tokens.table(ctx) == nil
}

// sameOrigin reports whether all Origin headers of r name the host it was sent
// to. The scheme is that of the connection, or https where a proxy ended TLS.
func sameOrigin(origins []string, r *http.Request) bool {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) || u.Scheme != "http" && u.Scheme != "https" {
			return false
		}
	}
	return true
}

// isLoopback reports whether a Host header names this machine: localhost,
// 127.0.0.0/8 or [::1], with or without a port.
func isLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == "" && addr.IsLoopback() && !addr.Is4In6()
}
