package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// ailing is a store that can be away, or late.
type ailing struct {
	*embedded.Store
	away atomic.Bool
	lag  atomic.Int64
}

func (s *ailing) Check(ctx context.Context) error {
	if s.away.Load() {
		return errors.New("away")
	}
	return s.Store.Check(ctx)
}

func (s *ailing) Jobs(context.Context) ([]store.JobCount, error) {
	return []store.JobCount{{Kind: "expiry", State: "due", Count: 1, Lag: time.Duration(s.lag.Load())}}, nil
}

// TestPing: the sign of life is given only while all is well.
func TestPing(t *testing.T) {
	var got atomic.Int64
	var code atomic.Int64
	code.Store(200)
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method != "GET" || r.URL.String() != "https://watch.example.com/secret" {
			t.Errorf("got %s %s", r.Method, r.URL)
		}
		got.Add(1)
		w := httptest.NewRecorder()
		w.WriteHeader(int(code.Load()))
		return w.Result(), nil
	})
	old := http.DefaultTransport
	http.DefaultTransport = transport
	defer func() { http.DefaultTransport = old }()
	testbubble.Test(t, func(t *testing.T) {
		real, err := embedded.Open("mem:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		st := &ailing{Store: real}
		c, err := config.Load([]byte("ping: {url: https://watch.example.com/secret, every: 1m}"), "test")
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		reg := prometheus.NewRegistry()
		g, err := New(t.Context(), Options{Store: st, Config: c, Log: slog.New(slog.NewTextHandler(&log, nil)), Registry: reg})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.ping(ctx); close(done) }()
		in := func(what string, minutes, want int64) {
			t.Helper()
			before := got.Load()
			time.Sleep(time.Duration(minutes) * time.Minute)
			synctest.Wait()
			if n := got.Load() - before; n != want {
				t.Errorf("%s: got %d in %d minutes, want %d", what, n, minutes, want)
			}
		}
		time.Sleep(10 * time.Second)
		in("all is well", 10, 10)
		st.away.Store(true)
		in("the store is away", 10, 0)
		st.away.Store(false)
		in("it is back", 10, 10)
		st.lag.Store(int64(3 * time.Minute))
		in("jobs are late", 10, 0)
		st.lag.Store(0)
		code.Store(500)
		in("the watcher refuses", 5, 5)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "tocsin_pings_total" {
					counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		if counted["sent"] != 21 || counted["failed"] != 25 {
			t.Errorf("counted %v, want 21 sent and 25 failed", counted)
		}
		g.Drain()
		in("shutting down", 5, 0)
		cancel()
		<-done
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the URL is in the log: %s", log.String())
		}
		if err := real.Close(); err != nil {
			t.Error(err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
