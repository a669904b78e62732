package remote

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// listed is an answer in the form of Alertmanager 0.34: one active, one silenced.
const listed = `[{"annotations":{"summary":"s","__own__":"x"},"endsAt":"2999-11-21T01:36:27.655Z","fingerprint":"1bb7f4f1c095c1c5","receivers":[{"name":"tocsin"}],
"startsAt":"2026-11-21T01:31:27.655Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-11-21T01:31:27.655Z",
"generatorURL":"http://prometheus.example.com/graph","labels":{"alertname":"Down","__alert_rule_uid__":"u"}},
{"annotations":{},"endsAt":"2999-11-21T01:36:27.655Z","fingerprint":"2bb7f4f1c095c1c5","receivers":[{"name":"tocsin"}],"startsAt":"2026-11-21T01:30:00Z",
"status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":["x"],"state":"suppressed"},"updatedAt":"2026-11-21T01:31:27.655Z","labels":{"alertname":"Silenced"}}]`

func serve(t *testing.T, handler http.HandlerFunc) ingest.APIConfig {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return ingest.APIConfig{URL: s.URL}
}

func client(t *testing.T, c ingest.APIConfig) *http.Client {
	t.Helper()
	out, err := Client(c.CAFile, "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAlertmanager(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		user, password, _ := r.BasicAuth()
		if r.Method != "GET" || r.URL.Path != "/am/api/v2/alerts" || q.Get("silenced") != "true" || q.Get("inhibited") != "true" || q.Get("receiver") != `^tocsin\.eu$` ||
			user != "ann" || password != "pw" {
			t.Errorf("got %s %s by %s", r.Method, r.URL, user)
		}
		_, _ = w.Write([]byte(listed))
	})
	c.URL += "/am/"
	c.Receiver, c.Username, c.Password = "tocsin.eu", "ann", secret.New("pw")
	got, err := Alertmanager(t.Context(), client(t, c), c)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d alerts (%v), want 2", len(got), err)
	}
	if a := got[0]; a.Name() != "Down" || a.Status != alert.Firing || !a.ValidUntil.IsZero() || !a.StartsAt.Equal(time.Date(2026, 11, 21, 1, 31, 27, 655e6, time.UTC)) ||
		len(a.Labels) != 2 {
		t.Errorf("got %+v", a)
	}
}

func TestGrafana(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/alertmanager/grafana/api/v2/alerts" || r.Header.Get("Authorization") != "Bearer glsa_x" {
			t.Errorf("got %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		_, _ = w.Write([]byte(listed))
	})
	c.BearerToken = secret.New("glsa_x")
	got, err := Grafana(t.Context(), client(t, c), c)
	if err != nil || len(got) != 2 || len(got[0].Labels) != 1 || len(got[0].Annotations) != 1 {
		t.Fatalf("got %+v (%v), want labels and annotations without what is Grafana's own", got, err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "answered 401"},
		"a page":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "JSON"},
		"cut":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(listed[:200])) }, "JSON"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "answered 302"},
	} {
		api := serve(t, c.answer)
		got, err := Alertmanager(t.Context(), client(t, api), api)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(got) > 0 {
			t.Errorf("%s: got %d alerts and %v, want %q", name, len(got), err, c.want)
		}
	}
	if _, err := Client("alertmanager.go", ""); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("a file without a certificate: got %v", err)
	}
}
