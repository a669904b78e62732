package gateway_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/web"
)

const ruled = `
sources: {prom: {format: alertmanager, auth: {bearer_token: hunter2-hunter2}}}
classify:
  rules:
    - {name: disks, matchers: ['alertname=~"Disk.*"'], set: {team: storage, severity: critical}}
    - {name: never, matchers: ['alertname="Never"'], suppress: true}
correlate: {rules: [{name: hosts, matchers: ['alertname="DiskFull"'], by: [host]}]}
maintenance: [{name: move, matchers: ['service="db"'], from: "2020-01-01 00:00", to: "2090-01-01 00:00", owner: ann}]
process: {rotas: {primary: {overrides: [{who: dora, from: "2020-01-01 00:00", to: "2090-01-01 00:00"}]}}, contacts: [{name: dora}]}
`

// TestConfigurationInForce: what is said of it is true before and after reloads, and
// holds no secret.
func TestConfigurationInForce(t *testing.T) {
	f := newFixture(t)
	text := ruled
	f.next.Store(&text)
	if err := f.gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func() (v web.ConfigJSON, body string) {
		t.Helper()
		code, body := f.do("GET", "/api/v1/config", "")
		if err := json.Unmarshal([]byte(body), &v); err != nil || code != 200 {
			t.Fatalf("got %d %v %s", code, err, body)
		}
		return v, body
	}
	hits := func(list []web.RuleJSON, name string) uint64 {
		t.Helper()
		n := slices.IndexFunc(list, func(r web.RuleJSON) bool { return r.Name == name })
		if n < 0 {
			t.Fatalf("no rule %s in %+v", name, list)
		}
		return list[n].Hits
	}
	v, body := get()
	if strings.Contains(body, "hunter2") || !strings.Contains(v.Text, "bearer_token: <secret>") {
		t.Errorf("got %s", v.Text)
	}
	if !v.ReloadOK || hits(v.Classify, "disks") != 0 || len(v.Maintenance) != 1 || v.Maintenance[0].OpenUntil == nil || v.Maintenance[0].Owner != "ann" {
		t.Errorf("got %+v", v)
	}
	if len(v.Rotas) != 1 || !slices.Equal(v.Rotas[0].OnCall, []string{"dora"}) {
		t.Errorf("got %+v", v.Rotas)
	}

	alerts := `{"version":"4","alerts":[
		{"status":"firing","startsAt":"2026-11-21T03:00:00Z","labels":{"alertname":"DiskFull","host":"a"}},
		{"status":"firing","startsAt":"2026-11-21T03:00:00Z","labels":{"alertname":"DiskSlow","host":"a"}}]}`
	if code, body := f.do("POST", "/api/v1/explain?source=prom", alerts); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	if code, body := f.send(alerts, "hunter2-hunter2"); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	broken := "sources: 5"
	f.next.Store(&broken)
	if f.gateway.Reload(t.Context()) == nil {
		t.Fatal("a broken file was loaded")
	}
	v, _ = get()
	if v.ReloadOK || !strings.Contains(v.ReloadError, "sources") {
		t.Errorf("after a reload that failed: got %+v", v)
	}
	if hits(v.Classify, "disks") != 2 || hits(v.Classify, "never") != 0 || hits(v.Correlate, "hosts") != 1 || hits(v.Correlate, "default") != 1 {
		t.Errorf("got %+v and %+v", v.Classify, v.Correlate)
	}
	f.next.Store(&text)
	if err := f.gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _ = get(); !v.ReloadOK || hits(v.Classify, "disks") != 2 {
		t.Errorf("after a good one: got %+v", v)
	}

	var found web.SourcesJSON
	_, body = f.do("GET", "/api/v1/sources", "")
	if err := json.Unmarshal([]byte(body), &found); err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(found.Sources, func(s web.SourceJSON) bool { return s.Name == "prom" })
	if n < 0 || found.Sources[n].Received != 2 || found.Sources[n].Hour != 2 || found.Sources[n].Verdicts["opened"] != 2 || found.Sources[n].UnderWay != 0 || found.Sources[n].LastReceivedAt == nil {
		t.Errorf("got %s", body)
	}
}

// TestExplainHasAnEnd: a payload of many alerts is explained in part, and says so.
func TestExplainHasAnEnd(t *testing.T) {
	f := newFixture(t)
	body := `{"version":"4","alerts":[` + strings.Repeat(`{"status":"firing","labels":{"alertname":"A"}},`, 300) + strings.Repeat(`{"status":"odd"},`, 300) + `7]}`
	code, text := f.do("POST", "/api/v1/explain?source=alertmanager", body)
	var v web.Explanation
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != 200 || len(v.Alerts) != 200 || len(v.Rejected) != 200 || v.LeftOut != 201 {
		t.Errorf("got %d %v, %d alerts, %d rejected and %d left out, want 200, 200 and 201", code, err, len(v.Alerts), len(v.Rejected), v.LeftOut)
	}
	all, err := f.gateway.Explain(t.Context(), ingest.Request{Source: "alertmanager", Body: []byte(body), ReceivedAt: time.Now()})
	if err != nil || len(all.Alerts) != 300 || all.LeftOut != 0 {
		t.Errorf("tocsin explain: got %d alerts (%v), want all", len(all.Alerts), err)
	}
}

// TestExplainSaysWhoIsTold: the routes of the incident, what hides the alert, and
// nothing of it is stored.
func TestExplainSaysWhoIsTold(t *testing.T) {
	f := newFixture(t)
	text := ruled + `
route: {receiver: ops, routes: [{receiver: nights, matchers: ['team="storage"'], mute_time_intervals: [always]}]}
receivers: [{name: ops}, {name: nights}]
time_intervals: [{name: always, time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]}]
services: [{name: shop, depends_on: [net]}, {name: net}]
`
	f.next.Store(&text)
	if err := f.gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	explain := func(labels string) web.ExplainedJSON {
		t.Helper()
		code, body := f.do("POST", "/api/v1/explain?source=prom", `{"version":"4","alerts":[{"status":"firing","startsAt":"2026-11-21T03:00:00Z","labels":`+labels+`}]}`)
		var v web.Explanation
		if err := json.Unmarshal([]byte(body), &v); err != nil || code != 200 || len(v.Alerts) != 1 {
			t.Fatalf("got %d %v %s", code, err, body)
		}
		return v.Alerts[0]
	}
	disk := explain(`{"alertname":"DiskSlow","service":"db"}`)
	if len(disk.Routes) != 1 || disk.Routes[0].Receiver != "nights" || disk.Routes[0].Hidden == nil || len(disk.Routes[0].Path) != 1 {
		t.Errorf("got %+v", disk.Routes)
	}
	if disk.Hidden == nil || !strings.Contains(disk.Hidden.Text, "move") {
		t.Errorf("in maintenance: got %+v", disk.Hidden)
	}
	if code, body := f.send(`{"version":"4","alerts":[{"status":"firing","startsAt":"2026-11-21T03:00:00Z","labels":{"alertname":"Down","service":"net"}}]}`, "hunter2-hunter2"); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	shop := explain(`{"alertname":"Slow","service":"shop"}`)
	if shop.Hidden == nil || shop.Hidden.By != "dependency" || len(shop.Routes) != 1 || shop.Routes[0].Receiver != "ops" || shop.Routes[0].Hidden != nil {
		t.Errorf("below one that is down: got %+v, %+v", shop.Hidden, shop.Routes)
	}
	if plain := explain(`{"alertname":"Slow","service":"mail"}`); plain.Hidden != nil {
		t.Errorf("got %+v", plain.Hidden)
	}
	if _, body := f.do("GET", "/api/v1/incidents", ""); strings.Count(body, `"reference"`) != 1 {
		t.Errorf("something was stored: %s", body)
	}
}

// send posts to the source prom.
func (f *fixture) send(body, token string) (int, string) {
	r := httptest.NewRequest("POST", "http://localhost/ingest/prom", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}
