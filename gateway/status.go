package gateway

import (
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web/status"
)

// registerStatus adds the status page, which has a listener of its own if the
// configuration says so.
func (g *Gateway) registerStatus(e *gin.Engine) {
	page := func(c *gin.Context) {
		if !g.Status.Shared() {
			g.API.NotFound(c)
			return
		}
		g.Status.ServeHTTP(c.Writer, c.Request)
	}
	for _, path := range []string{"/status", "/status.json", "/status/*rest"} {
		e.GET(path, page)
		e.HEAD(path, page)
	}
}

// planned is the maintenance that the public may know of.
func (g *Gateway) planned(now time.Time) []status.Planned {
	var out []status.Planned
	for _, p := range g.muter.all.Load().Windows.Public(now) {
		out = append(out, status.Planned{Text: p.Text, Components: p.Components, Since: p.Since, From: p.From, To: p.To})
	}
	return out
}
