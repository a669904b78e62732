package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// served is a gateway that runs and is served on a port.
type served struct {
	*gateway.Gateway
	*httptest.Server
}

func serve(t testing.TB, st store.Store, limits ...func(*http.Server)) served {
	t.Helper()
	s, stop := begin(t, st, limits...)
	t.Cleanup(stop)
	return s
}

// begin is serve until stop.
func begin(t testing.TB, st store.Store, limits ...func(*http.Server)) (_ served, stop func()) {
	t.Helper()
	c, err := config.Load(nil, "built-in")
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(t.Context(), gateway.Options{Store: st, Config: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	s := httptest.NewUnstartedServer(g.Engine)
	for _, l := range limits {
		l(s.Config)
	}
	s.Start()
	return served{g, s}, func() {
		g.Drain()
		s.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func shared(t testing.TB, server *redistest.Server) store.Store {
	t.Helper()
	var st *redis.Store
	if err := redistest.Retry(t, func() (err error) {
		st, err = redis.Open(t.Context(), server.URL(), redis.Options{Timeout: 20 * time.Second})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// follow opens a stream, of what the query says, and returns the data of its events.
func (s served) follow(t testing.TB, query string) <-chan string {
	t.Helper()
	answer, err := s.Client().Get(s.URL + "/api/v1/stream" + query)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", answer, err)
	}
	events := make(chan string, 64)
	go func() {
		defer close(events)
		defer answer.Body.Close()
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- data
			}
		}
	}()
	return events
}

func (s served) post(t testing.TB, path, body string) {
	t.Helper()
	answer, err := s.Client().Post(s.URL+path, "application/json", strings.NewReader(body))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: got %v, %v", path, answer, err)
	}
	_ = answer.Body.Close()
}

// within returns the next event that contains text, and logs how long it took: about
// 200 ms on an idle machine, which is no promise of a busy one.
func within(t testing.TB, events <-chan string, text string) string {
	t.Helper()
	began := time.Now()
	for end := time.After(time.Minute); ; {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if !strings.Contains(e, text) {
				continue
			}
			t.Logf("%s after %s", text, time.Since(began))
			return e
		case <-end:
			t.Fatalf("%s did not come", text)
		}
	}
}

// TestStreamOfTwoGateways: what one gateway does shows at the other one, whatever it was: an alert, a person, its end.
func TestStreamOfTwoGateways(t *testing.T) {
	server := redistest.Single(t)
	a, b := serve(t, shared(t, server)), serve(t, shared(t, server))
	awaitHearing(t, server)
	events := b.follow(t, "")
	a.post(t, "/ingest/alertmanager", message("a", "firing", 0))
	opened := within(t, events, `"state":"open"`)
	_, id, _ := strings.Cut(opened, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	a.post(t, "/api/v1/incidents/"+id+"/acknowledge", `{"by":"ann"}`)
	within(t, events, `"acknowledged_by":"ann"`)
	a.post(t, "/ingest/alertmanager", message("a", "firing", 0)) // a repeat, which is not told
	a.post(t, "/ingest/alertmanager", message("a", "resolved", 0))
	if got := within(t, events, `"state":`); !strings.Contains(got, `"state":"resolved"`) {
		t.Errorf("got %s, want that it is resolved, and nothing before", got)
	}
}

// awaitHearing waits until both gateways hear each other.
func awaitHearing(t *testing.T, server *redistest.Server) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); server.Do("PUBSUB", "NUMSUB", "tocsin:changes") != "tocsin:changes\n2"; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want two that listen", server.Do("PUBSUB", "NUMSUB", "tocsin:changes"))
		}
	}
}

// TestStreamLastsAndEnds: a limit for answers does not cut a stream, and a
// gateway that stops does not wait for it.
func TestStreamLastsAndEnds(t *testing.T) {
	st := embeddedtest.Open(t, embedded.Options{})
	s := serve(t, st, func(s *http.Server) { s.WriteTimeout = time.Nanosecond }) // nothing else is answered
	events := s.follow(t, "")
	answer := httptest.NewRecorder()
	s.Engine.ServeHTTP(answer, httptest.NewRequest("POST", s.URL+"/ingest/alertmanager", strings.NewReader(message("a", "firing", 0))))
	if answer.Code != http.StatusOK {
		t.Fatalf("got %d %s", answer.Code, answer.Body)
	}
	within(t, events, `"state":"open"`)
	s.Drain()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Config.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the server waits for the stream")
	}
	if e, ok := <-events; ok {
		t.Errorf("got %s after the end", e)
	}
}

// BenchmarkIdleStreams is what 500 pages cost that are open while nothing
// happens, their own ends in the same process included: with -benchtime 1x over
// a minute, after which the metric is CPU seconds of a second.
func BenchmarkIdleStreams(b *testing.B) {
	st := embeddedtest.Open(b, embedded.Options{})
	s := serve(b, st)
	for range 500 {
		s.follow(b, "")
	}
	b.ResetTimer()
	before := processor(b)
	for range b.N {
		<-time.After(time.Minute)
	}
	b.ReportMetric((processor(b)-before).Seconds()/b.Elapsed().Seconds(), "cores")
}

// processor is the CPU time that the process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
