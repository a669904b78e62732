package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest/imap"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
)

// mailDrainTime is how long mails that have begun may take to come to their end.
const mailDrainTime = 5 * time.Second

// mailbox is the listener for mail, and the mailboxes that are polled. Without an
// address there is no listener.
type mailbox struct {
	listener net.Listener
	server   *smtp.Server
	pollers  []*imap.Poller
}

// listenMail opens the socket, so that a busy port is an error at the start.
func listenMail(c smtp.Config) (*mailbox, error) {
	if c.Listen == "" {
		return &mailbox{}, nil
	}
	l, err := smtp.Listen(c)
	if err != nil {
		return nil, fmt.Errorf("smtp: listen on %s: %w", c.Listen, err)
	}
	return &mailbox{listener: l}, nil
}

// receive says where mails go.
func (m *mailbox) receive(c *config.Config, g *gateway.Gateway, log *slog.Logger, registry *prometheus.Registry) {
	if m.listener != nil {
		m.server = smtp.New(smtp.Options{Config: c.SMTP, Taker: g, Log: log, Registerer: registry})
	}
	for _, box := range c.IMAP {
		m.pollers = append(m.pollers, imap.New(box, g, log))
	}
}

// serve blocks until drain.
func (m *mailbox) serve() error {
	if m.server == nil {
		return nil
	}
	return m.server.Serve(m.listener)
}

// drain finishes the mails that have begun.
func (m *mailbox) drain(ctx context.Context) {
	if m.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mailDrainTime)
	defer cancel()
	m.server.Drain(ctx)
}

// close closes a listener that nobody has served.
func (m *mailbox) close() {
	if m.listener != nil {
		_ = m.listener.Close() // the server has closed it, unless it never ran
	}
}

// String is what the line at the start says about it.
func (m *mailbox) String() string {
	if m.listener == nil {
		return ""
	}
	return " smtp=" + m.listener.Addr().String()
}
