package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
)

// ServeBare serves the yardstick on addr until ctx ends: a Gin handler that
// reads the body of each POST and answers 200. It says where it listens in one
// line on standard error, as tocsin serve does. It stores nothing and is only
// for tocsin bench, which runs it as a process of its own.
func ServeBare(ctx context.Context, addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	if err := engine.SetTrustedProxies(nil); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	engine.POST("/ingest/:source", readBody)
	engine.GET("/-/ready", func(c *gin.Context) { c.Status(http.StatusOK) })
	server := &http.Server{Handler: engine, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- server.Close()
	}()
	fmt.Fprintf(os.Stderr, "bare handler ready listen=%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("bench: %w", err)
	}
	return <-stopped
}

// maxBody is more than any request of this bench.
const maxBody = 64 << 20

func readBody(c *gin.Context) {
	n := c.Request.ContentLength
	if n < 0 || n > maxBody {
		c.Status(http.StatusRequestEntityTooLarge)
		return
	}
	if _, err := io.ReadFull(c.Request.Body, make([]byte, n)); err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	c.Status(http.StatusOK)
}
