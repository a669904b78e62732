package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/simulate"
)

// TestConservationRule drops a result on purpose and sees the shipped rule fire.
// The series are those of a real gateway; in one of the two runs one alert
// less has a verdict than the gateway counted.
func TestConservationRule(t *testing.T) {
	promtool := program(t, "promtool")
	series := conservationSeries(t)
	for _, drop := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d dropped", drop), func(t *testing.T) {
			rules, err := filepath.Abs("../deploy/prometheus/tocsin.rules.yml")
			if err != nil {
				t.Fatal(err)
			}
			var test strings.Builder
			fmt.Fprintf(&test, "rule_files: [%s]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n", rules)
			left := drop
			for _, s := range series {
				value := s.value
				if left > 0 && strings.Contains(s.name, `verdict="joined"`) {
					value -= left
					left = 0
				}
				fmt.Fprintf(&test, "  - series: '%s'\n    values: '%d+0x60'\n", s.name, value)
			}
			test.WriteString("  alert_rule_test:\n  - eval_time: 50m\n    alertname: TocsinDoesNotAddUp\n    exp_alerts:")
			if drop == 0 {
				test.WriteString(" []\n")
			} else {
				fmt.Fprintf(&test, "\n    - exp_labels: {severity: critical, instance: 'tocsin:9095', source: alertmanager}\n"+
					"      exp_annotations:\n        summary: '%d alerts of the source alertmanager were received, and nobody knows what became of them'\n"+
					"        description: 'For half an hour more alerts were received than have a verdict. Keep the logs and report it as a bug.'\n"+
					"        runbook_url: https://github.com/tocsin-gateway/tocsin/blob/main/docs/runbooks.md#tocsindoesnotaddup\n", drop)
			}
			file := filepath.Join(t.TempDir(), "test.yml")
			if err := os.WriteFile(file, []byte(test.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput(); err != nil {
				t.Fatalf("promtool: %v\n%s\n%s", err, out, test.String())
			}
		})
	}
}

type sample struct {
	name  string
	value int
}

// conservationSeries sends a few requests, with good, bad and repeated alerts
// in them, to a gateway, and returns the pair of metrics that has to add up.
func conservationSeries(t *testing.T) []sample {
	t.Helper()
	c, err := config.Load(nil, "built-in")
	if err != nil {
		t.Fatal(err)
	}
	s, err := simulate.New(context.Background(), c, time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	body := []byte(`{"version":"4","alerts":[
		{"status":"firing","labels":{"alertname":"DiskFull","host":"db-1"},"startsAt":"2026-11-21T02:59:00Z"},
		{"status":"firing","labels":{"alertname":"DiskFull","host":"db-2"},"startsAt":"2026-11-21T02:59:00Z"},
		{"status":"firing","labels":{"alertname":"DiskFull","host":"db-3"},"startsAt":"yesterday"},
		{"status":"firing","labels":{"alertname":"Watchdog"},"startsAt":"2026-11-21T02:59:00Z"}]}`)
	for range 2 {
		if status, answer, err := s.Post(context.Background(), "alertmanager", body); status != http.StatusOK || err != nil {
			t.Fatalf("got %d %s, %v", status, answer, err)
		}
	}
	w := httptest.NewRecorder()
	s.Engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil))
	line := regexp.MustCompile(`(?m)^(tocsin_alerts_(?:received_)?total)\{(.*)\} (\d+)$`)
	var out []sample
	for _, m := range line.FindAllSubmatch(bytes.TrimSpace(w.Body.Bytes()), -1) {
		// promtool's tests take 50,000 samples; two sources are as good as sixteen.
		if !bytes.Contains(m[2], []byte(`source="alertmanager"`)) && !bytes.Contains(m[2], []byte(`source="prometheus"`)) {
			continue
		}
		var value int
		if _, err := fmt.Sscan(string(m[3]), &value); err != nil {
			t.Fatal(err)
		}
		out = append(out, sample{fmt.Sprintf(`%s{instance="tocsin:9095",%s}`, m[1], m[2]), value})
	}
	if len(out) < 10 {
		t.Fatalf("only %d series in:\n%s", len(out), w.Body)
	}
	return out
}
