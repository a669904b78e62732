package gateway_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

// TestAnswersComeFromElsewhere: links and webhooks carry their own permission, so
// they work under the external URL also where the API answers this machine only,
// and on every gateway of the store.
func TestAnswersComeFromElsewhere(t *testing.T) {
	st := embeddedtest.Open(t, embedded.Options{})
	text := ""
	load := func() (*config.Config, error) { return config.Load([]byte(text), "tocsin.yml") }
	start := func() *gateway.Gateway {
		t.Helper()
		c, err := load()
		if err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(context.Background(), gateway.Options{Store: st, Config: c, Load: load, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Registry: prometheus.NewRegistry(), External: &url.URL{Scheme: "https", Host: "tocsin.example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	one, two := start(), start()
	send := func(g *gateway.Gateway, method, target, body string) (int, string) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		webtest.Handler(t, g.Engine).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, body := send(one, "POST", "http://localhost/ingest/alertmanager", message("a", "firing", 0)); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	list, _, err := st.Incidents(context.Background(), store.Query{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("got %d incidents, %v", len(list), err)
	}
	link := one.Links.For(list[0], "dba/slack[0]").Acknowledge
	if code, body := send(two, "GET", link, ""); code != 200 || !strings.Contains(body, list[0].Reference) {
		t.Fatalf("got %d %s", code, body)
	}
	if code, body := send(two, "POST", link, "name=Ann"); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	if i, err := st.Incident(context.Background(), list[0].Reference); err != nil || i.State != incident.Acknowledged || i.AcknowledgedBy != "Ann" {
		t.Errorf("got %+v, %v; want acknowledged by Ann", i, err)
	}
	if code, _ := send(two, "GET", "https://tocsin.example.com/api/v1/incidents", ""); code != 403 {
		t.Errorf("the API: got %d, want 403", code)
	}
	const hook = "https://tocsin.example.com/hooks/pagerduty"
	if code, body := send(two, "POST", hook, ""); code != 404 || !strings.Contains(body, "is off") {
		t.Errorf("not configured: got %d %s, want 404", code, body)
	}
	text = "answers: {pagerduty: {secrets: [a-long-enough-secret]}}"
	if err := two.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if code, body := send(two, "POST", hook, ""); code != 401 {
		t.Errorf("configured: got %d %s, want 401", code, body)
	}
}
