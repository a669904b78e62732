package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

// spooling has a source that spools and one that does not.
const spooling = "sources:\n  kept: {format: alertmanager, on_store_failure: spool}\n"

// newSpooling returns a gateway with a spool in dir. It is opened and closed by
// the test, as the command serve does.
func newSpooling(t testing.TB, dir, text string) *fixture {
	t.Helper()
	return newSpoolingOn(t, dir, text, "mem:")
}

func newSpoolingOn(t testing.TB, dir, text, url string) *fixture {
	t.Helper()
	f := &fixture{t: t}
	st, err := embedded.Open(url, embedded.Options{Now: func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	f.store = &flaky{Store: st}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	f.next.Store(&text)
	load := func() (*config.Config, error) { return config.Load([]byte(*f.next.Load()), "tocsin.yml") }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	log, registry := slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry()
	sp, err := spool.Open(spool.Options{Config: spool.Config{Dir: dir, MaxSize: ingest.GiB}, Log: log, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	f.gateway, err = gateway.New(context.Background(), gateway.Options{Store: f.store, Spool: sp, Config: c, Load: load, Log: log, Registry: registry, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f.handler = webtest.Handler(t, f.gateway.Engine)
	return f
}

// run runs the gateway's own work until the test ends.
func (f *fixture) run() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f.gateway.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func (f *fixture) wantPost(path, body string, want int) string {
	f.t.Helper()
	code, answer := f.do("POST", path, body)
	if code != want {
		f.t.Fatalf("POST %s: got %d %s, want %d", path, code, answer, want)
	}
	return answer
}

// wantBooks checks that received is the sum of the verdicts, for each source.
func (f *fixture) wantBooks(sources ...string) {
	f.t.Helper()
	_, body := f.do("GET", "/metrics", "")
	for _, source := range sources {
		received, verdicts := 0.0, 0.0
		for line := range strings.Lines(body) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, _ := strconv.ParseFloat(value, 64)
			switch label := `{source="` + source + `"`; {
			case name == "tocsin_alerts_received_total"+label+"}":
				received += n
			case strings.HasPrefix(name, "tocsin_alerts_total"+label+","):
				verdicts += n
			}
		}
		if received != verdicts || received == 0 {
			f.t.Errorf("source %s: received %v, verdicts %v", source, received, verdicts)
		}
	}
}

// TestSpoolWhileTheStoreIsAway: the sources that spool hear 202, what came is
// applied in order when the store is back, and what comes meanwhile waits behind it.
func TestSpoolWhileTheStoreIsAway(t *testing.T) {
	f := newSpooling(t, filepath.Join(t.TempDir(), "spool"), spooling)
	f.wantPost("/ingest/kept", message("before", "firing", 0), 200)
	f.store.down.Store(true)
	for n := range 20 {
		for _, status := range []string{"firing", "resolved"} {
			if answer := f.wantPost("/ingest/kept", message(fmt.Sprint("pod-", n), status, 0), 202); !strings.Contains(answer, `"verdict":"spooled"`) {
				t.Errorf("got %s", answer)
			}
		}
	}
	f.wantPost("/ingest/kept", message("last", "firing", 0), 202)
	f.wantPost("/ingest/alertmanager", message("other", "firing", 0), 503)
	f.wantPost("/ingest/kept", "not JSON: its dead letter cannot be stored", 503)
	eventually(t, "not ready, with 41 spooled", func() bool {
		code, body := f.do("GET", "/-/ready", "")
		return code == 503 && strings.Contains(body, `"spooled":41`) && strings.Contains(body, "down for a test")
	})
	if got := f.metric("tocsin_spool_entries"); got != "41" {
		t.Errorf("tocsin_spool_entries: got %s, want 41", got)
	}
	f.store.down.Store(false)
	// Nothing has emptied the spool yet, so this one would overtake the others.
	f.wantPost("/ingest/kept", message("before", "resolved", 0), 202)
	f.wantPost("/ingest/alertmanager", message("other", "firing", 0), 200)
	f.run()
	eventually(t, "empty", func() bool { return f.metric("tocsin_spool_entries") == "0" })
	f.wantFiring(2)
	if answer := f.wantPost("/ingest/kept", message("last", "firing", 0), 200); !strings.Contains(answer, `"duplicate"`) {
		t.Errorf("live again: got %s, want a duplicate", answer)
	}
	eventually(t, "ready, nothing spooled", func() bool {
		code, body := f.do("GET", "/-/ready", "")
		return code == 200 && !strings.Contains(body, "spooled")
	})
	f.wantBooks("kept", "alertmanager", "spool")
	for name, want := range map[string]string{`tocsin_alerts_total{source="kept",verdict="spooled"}`: "42", `tocsin_alerts_total{source="spool",verdict="failed"}`: "0",
		`tocsin_alerts_total{source="spool",verdict="resolved"}`: "21", "tocsin_spool_appended_total": "42", "tocsin_spool_drained_total": "42", "tocsin_spool_bytes": "0"} {
		if got := f.metric(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestSpoolIsReadyBeforeItIsNeeded: a source that spools needs a folder that can be
// used, and says so when it is configured.
func TestSpoolIsReadyBeforeItIsNeeded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	refusing := "sources:\n"
	for name := range config.Default().Sources {
		refusing += "  " + name + ": {on_store_failure: refuse}\n"
	}
	f := newSpooling(t, dir, refusing)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("nothing spools, and there is a folder: %v", err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := spooling
	f.next.Store(&text)
	if code, body := f.do("POST", "/-/reload", ""); code != 422 || !strings.Contains(body, dir) {
		t.Errorf("reload: got %d %s, want 422 with the folder's name", code, body)
	}
	f.wantPost("/ingest/kept", message("a", "firing", 0), 404)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if code, body := f.do("POST", "/-/reload", ""); code != 200 {
		t.Fatalf("reload: got %d %s", code, body)
	}
	f.store.down.Store(true)
	f.wantPost("/ingest/kept", message("a", "firing", 0), 202)
}

// TestSpooledForASourceThatIsGone: what nobody takes is kept, and shown.
func TestSpooledForASourceThatIsGone(t *testing.T) {
	dir := t.TempDir()
	f := newSpooling(t, dir, spooling)
	f.store.down.Store(true)
	f.wantPost("/ingest/kept", message("a", "firing", 0), 202)
	text := ""
	f.next.Store(&text)
	if code, body := f.do("POST", "/-/reload", ""); code != 200 {
		t.Fatalf("reload: got %d %s", code, body)
	}
	f.store.down.Store(false)
	f.run()
	eventually(t, "empty", func() bool { return f.metric("tocsin_spool_entries") == "0" })
	if _, body := f.do("GET", "/api/v1/deadletters", ""); !strings.Contains(body, `"source":"kept"`) || !strings.Contains(body, "not configured any more") {
		t.Errorf("dead letters: got %s", body)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "aside", "*-kept-*.http"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("set aside: got %v, %v", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || !strings.Contains(string(b), message("a", "firing", 0)) {
		t.Errorf("got %s, %v, want the request", b, err)
	}
}

// TestExpiryWaitsForTheSpool: what waits in it may say that an alert still fires.
func TestExpiryWaitsForTheSpool(t *testing.T) {
	f := newSpooling(t, t.TempDir(), "sources:\n  kept: {format: prometheus, on_store_failure: spool}\n")
	now := time.Now()
	post := func(name string, want int) {
		t.Helper()
		f.wantPost("/ingest/kept", fmt.Sprintf(`[{"labels":{"alertname":%q},"endsAt":%q}]`, name, now.Add(4*time.Minute).Format(time.RFC3339)), want)
	}
	post("a", 200)
	f.store.down.Store(true)
	post("b", 202)
	f.store.down.Store(false)
	f.ahead.Store(int64(time.Hour)) // the validity of a has passed, and the one more that everybody gets
	if err := f.gateway.Pipeline.RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, body := f.do("GET", "/api/v1/incidents", ""); strings.Contains(body, `"state":"resolved"`) {
		t.Fatalf("the alert has expired although the spool is not empty: %s", body)
	}
	f.run()
	eventually(t, "empty", func() bool { return f.metric("tocsin_spool_entries") == "0" })
	f.ahead.Store(int64(2 * time.Hour))
	eventually(t, "both expired", func() bool {
		_, body := f.do("GET", "/api/v1/incidents", "")
		return strings.Count(body, `"state":"resolved"`) == 2
	})
}

// BenchmarkDrain spools b.N requests of one alert each, of one source, and
// measures how long it takes to apply them to a store on disk.
func BenchmarkDrain(b *testing.B) {
	for name, pods := range map[string]int{"new alerts": 1 << 40, "of 1,000 alerts": 1000} {
		b.Run(name, func(b *testing.B) {
			f := newSpoolingOn(b, b.TempDir(), spooling, "file:"+b.TempDir())
			f.store.down.Store(true)
			b.ResetTimer()
			b.StopTimer()
			var senders sync.WaitGroup
			for s := range 64 {
				senders.Go(func() {
					for n := s; n < b.N; n += 64 {
						r := httptest.NewRequest("POST", "http://localhost/ingest/kept", strings.NewReader(message(fmt.Sprint("pod-", n%pods), "firing", 0)))
						w := httptest.NewRecorder()
						f.gateway.Engine.ServeHTTP(w, r)
						if w.Code != 202 {
							b.Errorf("got %d %s, want 202", w.Code, w.Body)
						}
					}
				})
			}
			senders.Wait()
			f.store.down.Store(false)
			b.StartTimer()
			f.run()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for f.metric("tocsin_spool_entries") != "0" {
				<-tick.C
			}
		})
	}
}
