package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	groupWait     = time.Second
	groupInterval = 2 * time.Second
	// slack is what a loaded machine may add to a step of the chain.
	slack = 25 * time.Second
	// soon is how long we wait for something that takes a few intervals.
	soon = 30 * time.Second
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// alertmanager is a running Alertmanager that delivers everything to one URL.
type alertmanager struct{ url, config string }

// startAlertmanager starts one that groups by service. Without cluster flags it is alone.
func startAlertmanager(t *testing.T, name, gateway string, cluster ...string) alertmanager {
	t.Helper()
	path, dir := program(t, "prometheus-alertmanager"), t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	write(t, config, alertmanagerConfig("http://"+gateway+"/ingest/alertmanager"))
	if len(cluster) == 0 {
		cluster = []string{"--cluster.listen-address="}
	}
	addr := freeAddr(t)
	p, err := startProcess(path, nil, append([]string{"--config.file=" + config, "--storage.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr}, cluster...)...)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, name, p)
	if err := p.ready(t.Context(), "http://"+addr+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return alertmanager{"http://" + addr, config}
}

func alertmanagerConfig(url string) string {
	return fmt.Sprintf(`route:
  receiver: tocsin
  group_by: [service]
  group_wait: %s
  group_interval: %s
  repeat_interval: 1h
receivers:
  - name: tocsin
    webhook_configs:
      - url: %s
        send_resolved: true
`, groupWait, groupInterval, url)
}

// deliverTo has it deliver to another URL from now on.
func (a alertmanager) deliverTo(t *testing.T, url string) {
	t.Helper()
	write(t, a.config, alertmanagerConfig(url))
	post(t, a.url+"/-/reload", nil)
}

// tell posts one alert, as Prometheus does. A zero end means that it fires.
func (a alertmanager) tell(t *testing.T, service, pod string, starts, ends time.Time) {
	t.Helper()
	one := map[string]any{
		"labels":      map[string]string{"alertname": "ShopDown", "cluster": "e2e", "severity": "critical", "service": service, "pod": pod},
		"annotations": map[string]string{"summary": pod + " is down"},
		"startsAt":    starts,
	}
	if !ends.IsZero() {
		one["endsAt"] = ends
	}
	body, err := json.Marshal([]any{one})
	if err != nil {
		t.Fatal(err)
	}
	post(t, a.url+"/api/v2/alerts", body)
}

// startPrometheus starts one with a rule that fires while the returned value is
// 0, and that sends to alertmanager (an address with API v2).
func startPrometheus(t *testing.T, alertmanager string) (up *atomic.Int64) {
	t.Helper()
	path, dir := program(t, "prometheus"), t.TempDir()
	up = &atomic.Int64{}
	up.Store(1)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "shop_up{pod=\"checkout-1\"} %d\n", up.Load())
	}))
	t.Cleanup(shop.Close)
	config := filepath.Join(dir, "prometheus.yml")
	write(t, config, fmt.Sprintf(`global:
  scrape_interval: 500ms
  evaluation_interval: 500ms
rule_files: [rules.yml]
scrape_configs:
  - job_name: shop
    static_configs:
      - targets: [%q]
alerting:
  alertmanagers:
    - api_version: v2
      static_configs:
        - targets: [%q]
`, strings.TrimPrefix(shop.URL, "http://"), alertmanager))
	write(t, filepath.Join(dir, "rules.yml"), `groups:
  - name: shop
    rules:
      - alert: ShopDown
        expr: shop_up == 0
        labels: {severity: critical, service: checkout, cluster: e2e}
        annotations: {summary: "{{ $labels.pod }} is down"}
`)
	addr := freeAddr(t)
	p, err := startProcess(path, nil, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--rules.alert.resend-delay=1s")
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, "prometheus", p)
	if err := p.ready(t.Context(), "http://"+addr+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	// Only a scraped value can be compared with 0.
	eventually(t, soon, func(ctx context.Context) error {
		var answer struct {
			Data struct {
				Result []any `json:"result"`
			} `json:"data"`
		}
		if err := getJSON(ctx, "http://"+addr+"/api/v1/query?query=shop_up", &answer); err != nil {
			return err
		}
		if len(answer.Data.Result) != 1 {
			return fmt.Errorf("shop_up: got %d series, want 1", len(answer.Data.Result))
		}
		return nil
	})
	return up
}

// exactly waits until the gateway has just one incident, in this state, with one
// alert, and returns it.
func exactly(t *testing.T, g *gateway, state string) (in Incident) {
	t.Helper()
	eventually(t, soon, func(ctx context.Context) error {
		all, err := g.incidents(ctx)
		if err != nil {
			return err
		}
		if len(all) != 1 || all[0].State != state || all[0].Alerts.Total != 1 {
			return fmt.Errorf("got incidents %+v, want exactly one, %s, with one alert", all, state)
		}
		in = all[0]
		return nil
	})
	return in
}

// counter sums the gateway's series of a metric that have the given label pairs, such as verdict="opened".
func (g *gateway) counter(ctx context.Context, metric string, pairs ...string) (sum float64, err error) {
	status, body, err := do(ctx, http.MethodGet, "http://"+g.addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, fmt.Errorf("GET /metrics: %d", status)
	}
lines:
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, metric+"{") {
			continue
		}
		for _, pair := range pairs {
			if !strings.Contains(line, pair) {
				continue lines
			}
		}
		_, number, _ := strings.Cut(line, "} ")
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// counts waits until the counter is at least this.
func counts(t *testing.T, g *gateway, least float64, metric string, pairs ...string) {
	t.Helper()
	eventually(t, soon, func(ctx context.Context) error {
		got, err := g.counter(ctx, metric, pairs...)
		if err == nil && got < least {
			err = fmt.Errorf("%s%q: got %v, want at least %v", metric, pairs, got, least)
		}
		return err
	})
}
