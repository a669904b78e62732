package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

func init() { gin.SetMode(gin.TestMode) }

// fixture is a gateway in memory whose answers are all held against the
// OpenAPI document.
type fixture struct {
	t       testing.TB
	gateway *gateway.Gateway
	handler http.Handler
	store   *flaky
	// next is what the next reload loads.
	next atomic.Pointer[string]
	// ahead is how far the clock of the store is, where a test sets it.
	ahead atomic.Int64
}

// flaky is a store that can be out of order.
type flaky struct {
	store.Store
	down atomic.Bool
}

var errDown = &store.UnavailableError{Cause: errors.New("down for a test")}

func (f *flaky) Update(ctx context.Context, changes []incident.Change) error {
	if f.down.Load() {
		return errDown
	}
	return f.Store.Update(ctx, changes)
}

func (f *flaky) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	if f.down.Load() {
		return 0, errDown
	}
	return f.Store.PutDocument(ctx, d)
}

func (f *flaky) Check(ctx context.Context) error {
	if f.down.Load() {
		return errDown
	}
	return f.Store.Check(ctx)
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	f := &fixture{t: t, store: &flaky{Store: st}}
	empty := ""
	f.next.Store(&empty)
	load := func() (*config.Config, error) { return config.Load([]byte(*f.next.Load()), "tocsin.yml") }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	f.gateway, err = gateway.New(context.Background(), gateway.Options{Store: f.store, Config: c, Load: load,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f.handler = webtest.Handler(t, f.gateway.Engine)
	return f
}

func (f *fixture) do(method, path, body string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// message is a webhook body about one alert.
func message(name, status string, episode int) string {
	start := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC).Add(time.Duration(episode) * time.Hour)
	end := time.Time{}
	if status == "resolved" {
		end = start.Add(30 * time.Minute)
	}
	return fmt.Sprintf(`{"version":"4","alerts":[{"status":%q,"labels":{"alertname":"Disk","pod":%q,"rack":"r1"},"startsAt":%q,"endsAt":%q}]}`,
		status, name, start.Format(time.RFC3339), end.Format(time.RFC3339))
}

func TestStoreAwayAndBack(t *testing.T) {
	f := newFixture(t)
	if code, body := f.do("POST", "/ingest/alertmanager", message("a", "firing", 0)); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	if code, body := f.do("GET", "/-/ready", ""); code != 200 {
		t.Fatalf("ready: got %d %s", code, body)
	}
	f.store.down.Store(true)
	for _, request := range []struct{ path, body string }{
		{"/ingest/alertmanager", message("b", "firing", 0)},
		{"/ingest/alertmanager", "not JSON: its dead letter cannot be stored"},
		{"/api/v2/alerts", `[{"labels":{"alertname":"P"}}]`},
		{"/api/v1/incidents", `{"description":"printer on fire","reporter":"ann"}`},
	} {
		if code, body := f.do("POST", request.path, request.body); code != 503 {
			t.Errorf("POST %s while the store is away: got %d %s, want 503", request.path, code, body)
		}
	}
	eventually(t, "not ready", func() bool { code, _ := f.do("GET", "/-/ready", ""); return code == 503 })
	if code, body := f.do("GET", "/-/healthy", ""); code != 200 {
		t.Errorf("healthy: got %d %s", code, body)
	}
	f.store.down.Store(false)
	if code, body := f.do("POST", "/ingest/alertmanager", message("b", "firing", 0)); code != 200 {
		t.Fatalf("after its return: got %d %s", code, body)
	}
	eventually(t, "ready again", func() bool { code, _ := f.do("GET", "/-/ready", ""); return code == 200 })
}

// eventually waits for what follows from a probe's age.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what + ": not within a minute")
		}
	}
}

func TestReload(t *testing.T) {
	f := newFixture(t)
	set := func(text string) { f.next.Store(&text) }
	set("correlate:\n  rules:\n    - name: racks\n      by: [rack]\n      treshold: 3\n")
	code, body := f.do("POST", "/-/reload", "")
	if code != 422 || !strings.Contains(body, `tocsin.yml:5:7`) || !strings.Contains(body, "threshold") {
		t.Errorf("a mistake: got %d %s, want 422 with its place and what to write", code, body)
	}
	if metric := f.metric("tocsin_config_last_reload_successful"); metric != "0" {
		t.Errorf("after a mistake: tocsin_config_last_reload_successful %s, want 0", metric)
	}
	if _, body := f.do("POST", "/ingest/alertmanager", message("a", "firing", 0)); !strings.Contains(body, `"opened"`) {
		t.Errorf("after a mistake: got %s, want the configuration before", body)
	}
	set("sources:\n  spare:\n    format: alertmanager\n")
	if code, body := f.do("POST", "/-/reload", ""); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	if code, body := f.do("POST", "/ingest/spare", message("b", "firing", 0)); code != 200 {
		t.Errorf("the new source: got %d %s", code, body)
	}
	if metric := f.metric("tocsin_config_last_reload_successful"); metric != "1" {
		t.Errorf("tocsin_config_last_reload_successful %s, want 1", metric)
	}
}

func (f *fixture) metric(name string) string {
	_, body := f.do("GET", "/metrics", "")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestReloadsUnderLoad changes how alerts are put together while they fire,
// repeat, resolve and fire again. No alert may be lost, or fire in two places.
func TestReloadsUnderLoad(t *testing.T) {
	const senders, alerts, episodes, reloads = 4, 6, 10, 40
	f := newFixture(t)
	texts := []string{
		"",
		"correlate:\n  rules:\n    - {name: racks, by: [rack]}\n",
		"correlate:\n  rules:\n    - {name: cabinets, by: [rack]}\n",
		"sources:\n  alertmanager:\n    ignore_labels: [rack]\n",
		"classify:\n  rules:\n    - {name: shop, set: {service: shop}}\n",
		"this is: [not a configuration",
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for n := range reloads {
			f.next.Store(&texts[n%len(texts)])
			err := f.gateway.Reload(context.Background())
			if bad := n%len(texts) == len(texts)-1; (err != nil) != bad {
				t.Errorf("reload %d: %v", n, err)
			}
		}
		close(done)
	})
	for s := range senders {
		wg.Go(func() {
			for e := 0; ; e++ {
				select {
				case <-done:
					if e >= episodes {
						return
					}
				default:
				}
				for a := range alerts {
					name := fmt.Sprintf("pod-%d-%d", s, a)
					for _, status := range []string{"firing", "firing", "resolved", "resolved"} {
						if a == 0 && status == "resolved" {
							continue // this one fires for ever
						}
						episode := e
						if a == 0 {
							episode = 0
						}
						if code, body := f.do("POST", "/ingest/alertmanager", message(name, status, episode)); code != 200 {
							t.Errorf("%s %s: got %d %s", name, status, code, body)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	f.wantFiring(senders)
}

// wantFiring checks that exactly the given number of alerts fire, each in one
// open incident, and that no key has two.
func (f *fixture) wantFiring(want int) {
	f.t.Helper()
	_, body := f.do("GET", "/api/v1/incidents?limit=1000", "")
	var list struct {
		Incidents []struct {
			ID, State, Key string
			Alerts         struct{ Total, Firing int }
		}
	}
	if err := json.Unmarshal([]byte(body), &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		f.t.Fatal(err)
	}
	firing := map[string]string{}
	open := map[string]bool{}
	for _, i := range list.Incidents {
		if i.State == incident.Open {
			if open[i.Key] {
				f.t.Errorf("key %s has two open incidents", i.Key)
			}
			open[i.Key] = true
		}
		_, body := f.do("GET", "/api/v1/incidents/"+i.ID+"/alerts?limit=1000", "")
		var members struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.Unmarshal([]byte(body), &members, json.MatchCaseInsensitiveNames(true)); err != nil {
			f.t.Fatal(err)
		}
		n := 0
		for _, a := range members.Alerts {
			if a.Status != "firing" {
				continue
			}
			n++
			pod := a.Labels["pod"]
			if other, twice := firing[pod]; twice {
				f.t.Errorf("%s fires in %s and in %s", pod, other, i.ID)
			}
			firing[pod] = i.ID
		}
		if n != i.Alerts.Firing || len(members.Alerts) != i.Alerts.Total {
			f.t.Errorf("incident %s says %+v, has %d alerts, %d firing", i.ID, i.Alerts, len(members.Alerts), n)
		}
	}
	if len(firing) != want {
		f.t.Errorf("firing: got %v, want %d", firing, want)
	}
}

func TestDrain(t *testing.T) {
	f := newFixture(t)
	f.gateway.Drain()
	if code, body := f.do("POST", "/ingest/alertmanager", message("a", "firing", 0)); code != 503 {
		t.Errorf("ingest while draining: got %d %s, want 503", code, body)
	}
	if code, body := f.do("GET", "/-/ready", ""); code != 503 {
		t.Errorf("ready while draining: got %d %s, want 503", code, body)
	}
}

// TestDeadLetterRetry: what could not be understood is kept, and tried again.
func TestDeadLetterRetry(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		if code, body := f.do("POST", "/ingest/alertmanager", `{"version":"4","alerts":"none"}`); code != 400 {
			t.Fatalf("got %d %s, want 400", code, body)
		}
	}
	_, body := f.do("GET", "/api/v1/deadletters", "")
	var list struct {
		DeadLetters []struct {
			ID    string
			Count int
		} `json:"deadletters"`
	}
	if err := json.Unmarshal([]byte(body), &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	if len(list.DeadLetters) != 1 || list.DeadLetters[0].Count != 3 {
		t.Fatalf("got %s, want one letter that came three times", body)
	}
	if code, body := f.do("POST", "/api/v1/deadletters/"+list.DeadLetters[0].ID+"/retry", ""); code != 400 {
		t.Errorf("retry of what still cannot be understood: got %d %s, want 400", code, body)
	}
}

// TestExplainStoresNothing also holds the explanation against what then happens.
func TestExplainStoresNothing(t *testing.T) {
	f := newFixture(t)
	code, body := f.do("POST", "/api/v1/explain?source=alertmanager", message("a", "firing", 0))
	if code != 200 || !strings.Contains(body, `"verdict":"opened"`) {
		t.Fatalf("got %d %s", code, body)
	}
	if _, body := f.do("GET", "/api/v1/incidents", ""); !strings.Contains(body, `"incidents":[]`) {
		t.Errorf("after explain: got %s, want no incident", body)
	}
	f.do("POST", "/ingest/alertmanager", message("a", "firing", 0))
	if _, body := f.do("POST", "/api/v1/explain?source=alertmanager", message("a", "resolved", 0)); !strings.Contains(body, `"verdict":"resolved"`) {
		t.Errorf("got %s, want resolved", body)
	}
}
