package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
)

// TestClockIsTheStores: on a machine whose clock is ten minutes off, every time
// that is stored is still the store's, which is what all gateways go by.
func TestClockIsTheStores(t *testing.T) {
	for name, off := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			right := func() time.Time { return time.Now().Add(-off) }
			st := embeddedtest.Open(t, embedded.Options{Now: right})
			c, err := config.Load(nil, "built-in")
			if err != nil {
				t.Fatal(err)
			}
			g, err := gateway.New(context.Background(), gateway.Options{Store: st, Config: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
				Registry: prometheus.NewRegistry(), Version: "test"})
			if err != nil {
				t.Fatal(err)
			}
			do := func(method, path, body string) []byte {
				t.Helper()
				r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				g.Engine.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Fatalf("%s %s: got %d %s", method, path, w.Code, w.Body)
				}
				return w.Body.Bytes()
			}
			// It does not say when it began, so when it came counts.
			do("POST", "/api/v2/alerts", `[{"labels":{"alertname":"A"}}]`)
			var list struct {
				Incidents []struct {
					ID       string    `json:"id"`
					OpenedAt time.Time `json:"opened_at"`
				} `json:"incidents"`
			}
			if err := json.Unmarshal(do("GET", "/api/v1/incidents", ""), &list); err != nil || len(list.Incidents) != 1 {
				t.Fatalf("got %+v, %v, want one incident", list, err)
			}
			var alerts struct {
				Alerts []struct {
					LastSeen time.Time `json:"last_seen"`
				} `json:"alerts"`
			}
			i := list.Incidents[0]
			if err := json.Unmarshal(do("GET", "/api/v1/incidents/"+i.ID+"/alerts", ""), &alerts); err != nil || len(alerts.Alerts) != 1 {
				t.Fatalf("got %+v, %v, want one alert", alerts, err)
			}
			for what, at := range map[string]time.Time{"opened_at": i.OpenedAt, "last_seen": alerts.Alerts[0].LastSeen} {
				if wrong := right().Sub(at).Abs(); wrong > 5*time.Minute {
					t.Errorf("%s is %s, wrong by %s", what, at, wrong.Round(time.Second))
				}
			}
		})
	}
}
