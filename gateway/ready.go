package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// probeAge is how old a probe of the store may be to answer for it.
	probeAge = 500 * time.Millisecond
	// probeTime is how long a probe may take.
	probeTime = 900 * time.Millisecond
)

// readiness answers whether the store would take an alert now.
type readiness struct {
	store store.Store
	mu    sync.Mutex
	at    time.Time
	err   error
}

func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < probeAge {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	r.err = r.store.Check(ctx)
	r.at = time.Now()
	return r.err
}

// ready serves GET /-/ready.
func (g *Gateway) ready(c *gin.Context) {
	if g.draining.Load() {
		c.JSON(http.StatusServiceUnavailable, gin.H{"ready": false, "reason": "shutting down"})
		return
	}
	answer := gin.H{"ready": true}
	if g.opts.Spool != nil {
		if n := g.opts.Spool.Len(); n > 0 {
			answer["spooled"] = n
		}
	}
	if err := g.readiness.check(c.Request.Context()); err != nil {
		// Also if every source spools: alerts are safe then, but nobody hears of them.
		c.Header("Retry-After", "5")
		answer["ready"], answer["reason"] = false, err.Error()
		c.JSON(http.StatusServiceUnavailable, answer)
		return
	}
	c.JSON(http.StatusOK, answer)
}

// healthy serves GET /-/healthy: the process is alive.
func healthy(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"healthy": true}) }
