package formats

import (
	"log/slog"
	"net"
	netsmtp "net/smtp"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert/alerttest"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
)

// TestMailsOverSMTP sends all captured mails over SMTP, and compares what came out
// with what stands beside them.
func TestMailsOverSMTP(t *testing.T) {
	n := 0
	for _, c := range listCaptures(t) {
		if !strings.HasSuffix(c.file, ".eml") {
			continue
		}
		n++
		t.Run(c.name, func(t *testing.T) {
			want := readExpectation(t, c.expect).inMail(c.name)
			kept := &sink{}
			h := newHandler(t, kept, want.ReceivedAt, c.format)
			server := smtp.New(smtp.Options{Config: listenerFor(c.format), Taker: h, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- server.Serve(l) }()
			defer func() {
				server.Drain(t.Context())
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			content, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			if err := netsmtp.SendMail(l.Addr().String(), nil, "monitoring@example.com", []string{"alerts@gw.example.org"}, content); err != nil {
				t.Fatal(err)
			}
			for i := range kept.alerts {
				alerttest.WellFormed(t, &kept.alerts[i], c.format, want.ReceivedAt)
			}
			want.check(t, kept.alerts)
		})
	}
	if n < 170 {
		t.Errorf("only %d mails", n)
	}
}

func listenerFor(source string) smtp.Config {
	c := smtp.DefaultConfig()
	c.Listen, c.Hostname = "127.0.0.1:0", "gw.example.org"
	c.Recipients = map[string]string{"alerts@gw.example.org": source}
	return c
}
