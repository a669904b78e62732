package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest/nsca"
)

// passive is the listener for NSCA. Without an address it does nothing.
type passive struct {
	listener net.Listener
	server   nsca.Server
	ctx      context.Context
	stop     context.CancelFunc
	done     chan struct{}
}

// listenPassive opens the socket, so that a busy port is an error at the start.
func listenPassive(ctx context.Context, c nsca.Config) (*passive, error) {
	p := &passive{done: make(chan struct{})}
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	if c.Listen == "" {
		return p, nil
	}
	var err error
	if p.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("nsca: listen on %s: %w", c.Listen, err)
	}
	return p, nil
}

// receive says where results go.
func (p *passive) receive(c nsca.Config, g *gateway.Gateway, log *slog.Logger) {
	p.server = nsca.Server{Source: cmp.Or(c.Source, nsca.DefaultSource), Method: c.Method, Password: c.Password, Taker: g, MaxAge: time.Duration(c.MaxAge),
		Log: log.With("component", "nsca")}
}

// serve blocks until drain.
func (p *passive) serve() error {
	defer close(p.done)
	if p.listener == nil {
		return nil
	}
	return p.server.Serve(p.ctx, p.listener)
}

// drain finishes what was being sent.
func (p *passive) drain() {
	p.stop()
	<-p.done
}

// close closes a listener that nobody has served.
func (p *passive) close() {
	p.stop()
	if p.listener != nil {
		_ = p.listener.Close() // the server has closed it, unless it never ran
	}
}

// String is what the line at the start says about it.
func (p *passive) String() string {
	if p.listener == nil {
		return ""
	}
	return " nsca=" + p.listener.Addr().String()
}
