package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestWatchdog: Prometheus' alert that always fires is a sign of life. When Prometheus
// ends, that is an incident, until it is back.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	path := program(t, "prometheus")
	listen, dir := freeAddr(t), t.TempDir()
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`global: {evaluation_interval: 500ms}
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - api_version: v2
      static_configs: [{targets: [%q]}]
`, listen))
	write(t, filepath.Join(dir, "rules.yml"), `groups:
  - name: watchdog
    rules:
      - {alert: Watchdog, expr: vector(1)}
`)
	start := func() *process {
		addr := freeAddr(t)
		p, err := startProcess(path, nil, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
			"--web.listen-address="+addr, "--rules.alert.resend-delay=1s")
		if err != nil {
			t.Fatal(err)
		}
		endWith(t, "prometheus", p)
		if err := p.ready(t.Context(), "http://"+addr+"/-/ready"); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start() // first, as silence counts from the gateway's start
	g := gatewayWith(t, t.TempDir(), listen, `heartbeats:
  - {name: eu, source: prometheus, matchers: ['alertname="Watchdog"'], every: 10s, severity: critical, service: monitoring}
`)
	counts(t, g, 3, "tocsin_alerts_total", `source="prometheus"`, `verdict="suppressed"`)
	if all, err := g.incidents(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("got incidents %+v, %v, want none while it is heard", all, err)
	}

	p.kill()
	in := exactly(t, g, "open")
	if !strings.HasPrefix(in.Title, "Heartbeat eu") || in.Severity != "critical" {
		t.Errorf("got incident %+v, want it critical and titled Heartbeat eu", in)
	}

	start()
	if over := exactly(t, g, "resolved"); over.ID != in.ID {
		t.Errorf("got incident %s, want %s", over.ID, in.ID)
	}
}

// TestReconcile: Alertmanager says that an alert is over, and that does not arrive. We
// ask Alertmanager what is open there, and so it ends here as well.
func TestReconcile(t *testing.T) {
	t.Parallel()
	listen := freeAddr(t)
	am := startAlertmanager(t, "alertmanager", listen)
	g := gatewayWith(t, t.TempDir(), listen, fmt.Sprintf("sources: {alertmanager: {api: {url: %q, reconcile: 10s, receiver: tocsin}}}\n", am.url))
	starts := time.Now().UTC()
	am.tell(t, "lost", "lost-1", starts, time.Time{})
	am.tell(t, "goes-on", "goes-on-1", starts, time.Time{})
	before := states(t, g, map[string]string{"lost": "open, 0 of 1 over", "goes-on": "open, 0 of 1 over"})

	// What Alertmanager says to somebody who does not want it, it does not say again.
	var heard atomic.Int64
	nobody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		heard.Add(1)
		http.Error(w, "not here", http.StatusNotFound)
	}))
	t.Cleanup(nobody.Close)
	am.deliverTo(t, nobody.URL)
	am.tell(t, "lost", "lost-1", starts, time.Now().UTC())
	eventually(t, soon, func(context.Context) error {
		if heard.Load() == 0 {
			return errors.New("Alertmanager has not said that the alert is over")
		}
		return nil
	})
	states(t, g, map[string]string{"lost": "open, 0 of 1 over", "goes-on": "open, 0 of 1 over"})

	// Not before its last message is a minute old and it was missing there twice.
	saysWithin(t, 4*soon, g, before["lost"], Entry{Action: "reconciled"})
	after := states(t, g, map[string]string{"lost": "resolved, 1 of 1 over", "goes-on": "open, 0 of 1 over"})
	if !maps.Equal(before, after) {
		t.Errorf("got incidents %v, want %v as before", after, before)
	}
}
