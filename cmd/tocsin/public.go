package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/tocsin-gateway/tocsin/web/status"
)

// public is the listener of the status page. Without an address it does nothing.
type public struct {
	listener net.Listener
	server   *http.Server
}

// listenPublic opens the socket, so that a busy port is an error at the start.
func listenPublic(c status.Config) (*public, error) {
	p := &public{}
	if !c.Enabled || c.ListenAddress == "" {
		return p, nil
	}
	var err error
	if p.listener, err = net.Listen("tcp", c.ListenAddress); err != nil {
		return nil, fmt.Errorf("status: listen on %s: %w", c.ListenAddress, err)
	}
	return p, nil
}

// show says what the listener has: the page, and nothing else.
func (p *public) show(page http.Handler, log *slog.Logger) {
	p.server = &http.Server{Handler: page, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// serve blocks until drain.
func (p *public) serve() error {
	if p.listener == nil {
		return nil
	}
	if err := p.server.Serve(netutil.LimitListener(p.listener, connections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// drain lets requests that have begun finish.
func (p *public) drain(ctx context.Context) error { return p.server.Shutdown(ctx) }

// close closes a listener that nobody has served.
func (p *public) close() {
	if p.listener != nil {
		_ = p.listener.Close() // the server has closed it, unless it never ran
	}
}

// String is what the line at the start says about it.
func (p *public) String() string {
	if p.listener == nil {
		return ""
	}
	return " status=" + p.listener.Addr().String()
}
