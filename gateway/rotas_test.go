package gateway_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// TestRotaAge: how long ago a calendar was read, also while it cannot be.
func TestRotaAge(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dba.ics")
	testbubble.Test(t, func(t *testing.T) {
		c, err := config.Load([]byte("process: {rotas: {dba: {ical: {file: dba.ics, every: 1m}}}}"), filepath.Join(dir, "tocsin.yml"))
		if err != nil {
			t.Fatal(err)
		}
		st, err := embedded.Open("mem:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = st.Close() }()
		registry := prometheus.NewRegistry()
		g, err := gateway.New(t.Context(), gateway.Options{Store: st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: registry, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(done); _ = g.Run(ctx) }()
		age := func() time.Duration {
			all, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				if f.GetName() == "tocsin_rota_age_seconds" {
					return time.Duration(f.GetMetric()[0].GetGauge().GetValue()) * time.Second
				}
			}
			t.Fatal("there is no age")
			return 0
		}
		time.Sleep(10 * time.Minute)
		if got := age(); got != 10*time.Minute {
			t.Errorf("never read, after ten minutes: got %s", got)
		}
		if err := os.WriteFile(file, []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\nEND:VCALENDAR\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := age(); got > 70*time.Second {
			t.Errorf("read again and again: got %s", got)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := age(); got < 8*time.Minute || got > 12*time.Minute {
			t.Errorf("gone for ten minutes: got %s", got)
		}
		cancel()
		<-done
	})
}
