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
	if err := g.readiness.check(c.Request.Context()); err != nil {
		c.Header("Retry-After", "5")
		c.JSON(http.StatusServiceUnavailable, gin.H{"ready": false, "reason": err.Error()})
		return
	}
	c.JSON(http.StatusOK, gin.H{"ready": true})
}

// healthy serves GET /-/healthy: the process is alive.
func healthy(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"healthy": true}) }
