package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	netsmtp "net/smtp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// mailTo starts a listener that hands over to g, and returns its address.
func mailTo(tb testing.TB, g *gateway.Gateway) string {
	tb.Helper()
	c := smtp.DefaultConfig()
	c.Listen, c.Hostname, c.Recipients = "127.0.0.1:0", "gw.example.org", map[string]string{"alerts@gw.example.org": "email"}
	l, err := smtp.Listen(c)
	if err != nil {
		tb.Fatal(err)
	}
	server := smtp.New(smtp.Options{Config: c, Taker: g, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	tb.Cleanup(func() {
		server.Drain(context.Background())
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return l.Addr().String()
}

func nagiosMail(typ, host, state string) []byte {
	return []byte("From: nagios@mon.example.net\r\nSubject: ** " + typ + " Host Alert: " + host + " is " + state + " **\r\n\r\nNotification Type: " + typ +
		"\r\nHost: " + host + "\r\nState: " + state + "\r\nInfo: ping\r\n")
}

// TestMail: a mail opens an incident and another one ends it; while the store is
// away the sender has to try again.
func TestMail(t *testing.T) {
	f := newFixture(t)
	addr := mailTo(t, f.gateway)
	send := func(mail []byte) error {
		return netsmtp.SendMail(addr, nil, "nagios@mon.example.net", []string{"alerts@gw.example.org"}, mail)
	}
	f.store.down.Store(true)
	if err := send(nagiosMail("PROBLEM", "web-01", "DOWN")); err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("store away: got %v, want 451", err)
	}
	f.store.down.Store(false)
	for range 2 { // a redelivery is harmless
		if err := send(nagiosMail("PROBLEM", "web-01", "DOWN")); err != nil {
			t.Fatal(err)
		}
	}
	code, list := f.do(http.MethodGet, "/api/v1/incidents", "")
	if code != http.StatusOK || strings.Count(list, `"reference":`) != 1 || !strings.Contains(list, `"state":"open"`) {
		t.Errorf("after the problem: %d %s", code, list)
	}
	if err := send(nagiosMail("RECOVERY", "web-01", "UP")); err != nil {
		t.Fatal(err)
	}
	if _, list = f.do(http.MethodGet, "/api/v1/incidents", ""); !strings.Contains(list, `"state":"resolved"`) {
		t.Errorf("after the recovery: %s", list)
	}
	if err := send([]byte("hello")); err != nil { // no header at all
		t.Errorf("a text without a header: %v", err)
	}
	if _, list = f.do(http.MethodGet, "/api/v1/incidents?state=open", ""); strings.Count(list, `"reference":`) != 1 {
		t.Errorf("after a text without a header: %s", list)
	}
	if _, letters := f.do(http.MethodGet, "/api/v1/deadletters", ""); !strings.Contains(letters, "no parser knows") {
		t.Errorf("dead letters: %s", letters)
	}
}

// BenchmarkMail sends over 16 connections into a store on disk.
func BenchmarkMail(b *testing.B) {
	st, err := embedded.Open("file:"+b.TempDir(), embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	c, err := config.Load(nil, "built-in")
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(context.Background(), gateway.Options{Store: st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Version: "test"})
	if err != nil {
		b.Fatal(err)
	}
	addr := mailTo(b, g)
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	for range 16 {
		group.Go(func() {
			c, err := netsmtp.Dial(addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				if err := sendMail(c, nagiosMail("PROBLEM", fmt.Sprintf("web-%d", n), "DOWN")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func sendMail(c *netsmtp.Client, mail []byte) error {
	if err := c.Mail("nagios@mon.example.net"); err != nil {
		return err
	}
	if err := c.Rcpt("alerts@gw.example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(mail); err != nil {
		return err
	}
	return w.Close()
}
