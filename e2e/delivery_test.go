package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestPrometheusAlertmanagerTocsin is the usual chain: a rule fires and an
// incident opens; the metric recovers and the incident resolves.
func TestPrometheusAlertmanagerTocsin(t *testing.T) {
	program(t, "prometheus")
	g := gatewayFor(t, t.TempDir(), "127.0.0.1:0")
	am := startAlertmanager(t, "alertmanager", g.addr)
	up := startPrometheus(t, am.url[len("http://"):])

	up.Store(0)
	in := exactly(t, g, "open")
	if took := in.OpenedAt.Sub(in.StartedAt); took < 0 || took > groupWait+slack {
		t.Errorf("opened %s after the alert started (%s, %s), want within the group_wait of %s and %s", took, in.StartedAt, in.OpenedAt, groupWait, slack)
	}
	if in.Severity != "critical" {
		t.Errorf("severity: got %q, want critical as the rule says", in.Severity)
	}
	alerts, err := g.alerts(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(alerts) != 1 || alerts[0].Labels["pod"] != "checkout-1" || alerts[0].Annotations["summary"] != "checkout-1 is down" || alerts[0].Status != "firing" {
		t.Errorf("alerts: got %+v, want the one that fires for pod checkout-1", alerts)
	}

	up.Store(1)
	if after := exactly(t, g, "resolved"); after.ID != in.ID {
		t.Errorf("resolved incident: got %s, want %s", after.ID, in.ID)
	}
}

// TestTwoAlertmanagers: two that do not know each other deliver the same group,
// from two Prometheus servers that saw it two seconds apart.
func TestTwoAlertmanagers(t *testing.T) {
	g := gatewayFor(t, t.TempDir(), "127.0.0.1:0")
	first := startAlertmanager(t, "alertmanager 1", g.addr)
	second := startAlertmanager(t, "alertmanager 2", g.addr)
	twoDeliverOne(t, g, first, second, 2)
}

// TestAlertmanagerCluster: two in a cluster. Which of them delivers is theirs to say.
func TestAlertmanagerCluster(t *testing.T) {
	g := gatewayFor(t, t.TempDir(), "127.0.0.1:0")
	// The small intervals let it settle sooner, and the second not wait long for the first.
	quick := []string{"--cluster.gossip-interval=50ms", "--cluster.pushpull-interval=1s", "--cluster.peer-timeout=1s"}
	a, b := freeAddr(t), freeAddr(t)
	first := startAlertmanager(t, "alertmanager 1", g.addr, append(quick, "--cluster.listen-address="+a, "--cluster.advertise-address="+a)...)
	second := startAlertmanager(t, "alertmanager 2", g.addr, append(quick, "--cluster.listen-address="+b, "--cluster.advertise-address="+b, "--cluster.peer="+a)...)
	for _, am := range []alertmanager{first, second} {
		eventually(t, soon, func(ctx context.Context) error {
			var s struct {
				Cluster struct {
					Status string `json:"status"`
					Peers  []any  `json:"peers"`
				} `json:"cluster"`
			}
			if err := getJSON(ctx, am.url+"/api/v2/status", &s); err != nil {
				return err
			}
			if s.Cluster.Status != "ready" || len(s.Cluster.Peers) != 2 {
				return fmt.Errorf("%s: got cluster %+v, want ready with 2 peers", am.url, s.Cluster)
			}
			return nil
		})
	}
	twoDeliverOne(t, g, first, second, 1)
}

// twoDeliverOne tells both of an alert and its end, and wants one incident.
// Deliveries is how many copies must have arrived of each.
func twoDeliverOne(t *testing.T, g *gateway, first, second alertmanager, deliveries float64) {
	t.Helper()
	starts := time.Now().Add(-3 * time.Second).UTC()
	first.tell(t, "checkout", "checkout-1", starts, time.Time{})
	second.tell(t, "checkout", "checkout-1", starts.Add(2*time.Second), time.Time{})
	counts(t, g, deliveries, "tocsin_alerts_received_total", `source="alertmanager"`)
	in := exactly(t, g, "open")

	ends := time.Now().UTC()
	first.tell(t, "checkout", "checkout-1", starts, ends)
	second.tell(t, "checkout", "checkout-1", starts.Add(2*time.Second), ends)
	counts(t, g, 2*deliveries, "tocsin_alerts_received_total", `source="alertmanager"`)
	if after := exactly(t, g, "resolved"); after.ID != in.ID {
		t.Errorf("resolved incident: got %s, want %s", after.ID, in.ID)
	}
	opened, err := g.counter(t.Context(), "tocsin_alerts_total", `verdict="opened"`)
	if err != nil || opened != 1 {
		t.Errorf("verdicts opened: got %v, %v, want 1", opened, err)
	}
}

// TestAlertmanagerSurvivesOurRestart: the gateway is killed and started again on
// the same address and folder; what changed in between arrives by Alertmanager's retries.
func TestAlertmanagerSurvivesOurRestart(t *testing.T) {
	dir := t.TempDir()
	g := gatewayFor(t, dir, "127.0.0.1:0")
	am := startAlertmanager(t, "alertmanager", g.addr)
	starts, fires := time.Now().UTC(), time.Time{}
	for _, service := range []string{"ends-meanwhile", "goes-on", "grows-meanwhile"} {
		am.tell(t, service, service+"-1", starts, fires)
	}
	before := states(t, g, map[string]string{"ends-meanwhile": "open, 0 of 1 over", "goes-on": "open, 0 of 1 over", "grows-meanwhile": "open, 0 of 1 over"})

	// What can be read may still be on its way to the disk. An answer to whoever writes
	// comes after that, and all before it is there too.
	post(t, "http://"+g.addr+"/api/v1/incidents/"+before["goes-on"]+"/note", []byte(`{"by":"ann","text":"It goes on."}`))
	g.kill()
	am.tell(t, "ends-meanwhile", "ends-meanwhile-1", starts, time.Now().UTC())
	am.tell(t, "grows-meanwhile", "grows-meanwhile-2", time.Now().UTC(), fires)
	am.tell(t, "begins-meanwhile", "begins-meanwhile-1", time.Now().UTC(), fires)
	// Alertmanager has tried in vain before we come back.
	eventually(t, soon, func(ctx context.Context) error {
		failed, err := (&gateway{addr: am.url[len("http://"):]}).counter(ctx, "alertmanager_notification_requests_failed_total", `integration="webhook"`)
		if err == nil && failed < 3 {
			err = fmt.Errorf("failed requests of Alertmanager: got %v, want at least 3, one for each group", failed)
		}
		return err
	})
	g = gatewayFor(t, dir, g.addr)
	after := states(t, g, map[string]string{"ends-meanwhile": "resolved, 1 of 1 over", "goes-on": "open, 0 of 1 over",
		"grows-meanwhile": "open, 0 of 2 over", "begins-meanwhile": "open, 0 of 1 over"})
	for service, id := range before {
		if after[service] != id {
			t.Errorf("incident of %s: got %s after the restart, want %s as before", service, after[service], id)
		}
	}

	// And the end of everything arrives too.
	for _, pod := range []string{"goes-on-1", "grows-meanwhile-1", "grows-meanwhile-2", "begins-meanwhile-1"} {
		am.tell(t, pod[:len(pod)-2], pod, starts, time.Now().UTC())
	}
	states(t, g, map[string]string{"ends-meanwhile": "resolved, 1 of 1 over", "goes-on": "resolved, 1 of 1 over",
		"grows-meanwhile": "resolved, 2 of 2 over", "begins-meanwhile": "resolved, 1 of 1 over"})
}

// states waits until there is exactly one incident for each service, as wanted,
// and returns their ids.
func states(t *testing.T, g *gateway, want map[string]string) (ids map[string]string) {
	t.Helper()
	// A retry of Alertmanager comes after a back-off of many seconds in the worst case.
	eventually(t, 2*soon, func(ctx context.Context) error {
		incidents, alerts, err := everything(ctx, g)
		if err != nil {
			return err
		}
		if len(incidents) != len(want) {
			return fmt.Errorf("got %d incidents, want %d: %+v", len(incidents), len(want), incidents)
		}
		ids = map[string]string{}
		for _, in := range incidents {
			rows, pods, over := alerts[in.ID], map[string]bool{}, 0
			service := ""
			for _, a := range rows {
				service, pods[a.Labels["pod"]] = a.Labels["service"], true
				if a.Status == "resolved" {
					over++
				}
			}
			if len(pods) != len(rows) || in.Alerts.Total != len(rows) || in.Alerts.Firing != len(rows)-over {
				return fmt.Errorf("%s counts %+v and lists %+v, want different alerts and the same numbers", in.Reference, in.Alerts, rows)
			}
			if got := fmt.Sprintf("%s, %d of %d over", in.State, over, len(rows)); got != want[service] {
				return fmt.Errorf("%s: got %q, want %q", service, got, want[service])
			}
			ids[service] = in.ID
		}
		return nil
	})
	return ids
}

// TestPrometheusPostsToTocsin: the gateway stands where Alertmanager stood.
func TestPrometheusPostsToTocsin(t *testing.T) {
	program(t, "prometheus")
	g := gatewayFor(t, t.TempDir(), "127.0.0.1:0")
	up := startPrometheus(t, g.addr)

	up.Store(0)
	in := exactly(t, g, "open")
	counts(t, g, 3, "tocsin_alerts_total", `source="prometheus"`, `verdict="duplicate"`)
	if again := exactly(t, g, "open"); again.ID != in.ID {
		t.Errorf("incident after repeats: got %s, want %s", again.ID, in.ID)
	}

	up.Store(1)
	if after := exactly(t, g, "resolved"); after.ID != in.ID {
		t.Errorf("resolved incident: got %s, want %s", after.ID, in.ID)
	}
	opened, err := g.counter(t.Context(), "tocsin_alerts_total", `verdict="opened"`)
	if err != nil || opened != 1 {
		t.Errorf("verdicts opened: got %v, %v, want 1", opened, err)
	}
}
