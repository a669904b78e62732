package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

var testNow = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

type wireAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func TestGenerator(t *testing.T) {
	for _, tt := range []struct {
		name     string
		form     form
		resolved bool
		bytes    [2]int // least and most bytes per alert
	}{
		{"webhook, firing", webhook, false, [2]int{620, 680}},
		{"webhook, resolved", webhook, true, [2]int{620, 680}},
		{"postable, firing", postable, false, [2]int{560, 640}},
		{"postable, resolved", postable, true, [2]int{560, 640}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &generator{form: tt.form, seed: 12, now: testNow}
			const n = 5000
			body := g.appendBody(nil, 300, n, tt.resolved)
			var alerts []wireAlert
			if tt.form == postable {
				decode(t, body, &alerts)
			} else {
				var whole struct {
					Version string      `json:"version"`
					Alerts  []wireAlert `json:"alerts"`
				}
				decode(t, body, &whole)
				if alerts = whole.Alerts; whole.Version != "4" {
					t.Errorf("version: got %q, want 4", whole.Version)
				}
			}
			if len(alerts) != n {
				t.Fatalf("alerts: got %d, want %d", len(alerts), n)
			}
			if size := len(body) / n; size < tt.bytes[0] || size > tt.bytes[1] {
				t.Errorf("bytes per alert: got %d, want %d to %d", size, tt.bytes[0], tt.bytes[1])
			}
			pods, keys := map[string]bool{}, map[string]bool{}
			for i, a := range alerts {
				pods[a.Labels["pod"]] = true
				keys[a.Labels["alertname"]+"/"+a.Labels["cluster"]+"/"+a.Labels["service"]] = true
				if len(a.Labels) != 8 || len(a.Annotations) != 3 {
					t.Fatalf("alert %d: got %d labels and %d annotations, want 8 and 3: %v", i, len(a.Labels), len(a.Annotations), a)
				}
				if !a.StartsAt.Before(testNow.Add(-24*time.Hour)) || tt.resolved && (!a.EndsAt.After(a.StartsAt) || a.EndsAt.After(testNow)) {
					t.Fatalf("alert %d: got startsAt %s, endsAt %s, want both in the past and in this order", i, a.StartsAt, a.EndsAt)
				}
				if !tt.resolved && tt.form == postable && !a.EndsAt.After(testNow) {
					t.Fatalf("alert %d: endsAt of a firing alert: got %s, want after %s", i, a.EndsAt, testNow)
				}
			}
			if len(pods) != n {
				t.Errorf("different pods: got %d, want %d", len(pods), n)
			}
			if len(keys) < 130 || len(keys) > 6*3*8 {
				t.Errorf("different keys: got %d, want nearly all of %d", len(keys), 6*3*8)
			}
			if again := g.appendBody(nil, 300, n, tt.resolved); !bytes.Equal(body, again) {
				t.Error("the same numbers did not give the same bytes again")
			}
		})
	}
}

func TestGeneratorOfAlertsApart(t *testing.T) {
	g := &generator{seed: 7, now: testNow, apart: true}
	var whole struct {
		Alerts []wireAlert `json:"alerts"`
	}
	const n = 5000
	decode(t, g.appendBody(nil, 0, n, false), &whole)
	names := map[string]bool{}
	for _, a := range whole.Alerts {
		names[a.Labels["alertname"]] = true
	}
	if len(names) != n {
		t.Errorf("different names: got %d, want %d", len(names), n)
	}
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
}

func TestConn(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), b))
		switch string(b) {
		case "chunked":
			for range 3 {
				io.WriteString(w, strings.Repeat("x", 3000))
				w.(http.Flusher).Flush()
			}
		case "empty":
			w.WriteHeader(http.StatusNoContent)
		case "busy":
			w.Header().Set("Connection", "close")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		default:
			io.WriteString(w, "fine")
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	c := &conn{addr: addr}
	defer c.close()
	for _, tt := range []struct {
		body string
		want int
	}{{"plain", 200}, {"chunked", 200}, {"empty", 204}, {"chunked", 200}, {"busy", 503}, {"plain", 200}} {
		status, err := c.post(t.Context(), appendRequest(nil, addr, "/ingest/x", "secret", []byte(tt.body)))
		if err != nil || status != tt.want {
			t.Errorf("post %q: got %d, %v, want %d", tt.body, status, err, tt.want)
		}
		if want := "POST /ingest/x Bearer secret " + tt.body; got[len(got)-1] != want {
			t.Errorf("server saw %q, want %q", got[len(got)-1], want)
		}
	}
	server.Close()
	if status, err := c.post(t.Context(), appendRequest(nil, addr, "/", "", nil)); err == nil {
		t.Errorf("post to a closed server: got %d, want an error", status)
	}
}

func TestDriveCountsOnly2xx(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n%3 == 0 { // one connection, so nothing races
			http.Error(w, "no", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	one := appendRequest(nil, addr, "/", "", []byte("{}"))
	l := load{conns: 1, requests: slices.Repeat([]request{{bytes: one, alerts: 10, then: one}}, 3)}
	s, err := drive(t.Context(), []string{addr}, l)
	if err != nil {
		t.Fatal(err)
	}
	// Sent are: 1 fire, 2 resolve, 3 fire (refused, so no resolve), 4 fire, 5 resolve.
	if s.acked != 40 || s.resolved != 20 || s.requests != 5 || s.errors != 1 || s.firstError != "answer 503" || len(s.waits) != 5 {
		t.Errorf("got %+v, want 40 acked, 20 of them resolves, in 5 requests with 1 error (answer 503)", s)
	}
}

func TestVerify(t *testing.T) {
	at := func(total, firing, duplicate, rejected int) counts {
		return counts{total: total, firing: firing, verdicts: map[string]int{"duplicate": duplicate, "rejected": rejected}}
	}
	for _, tt := range []struct {
		name     string
		workload string
		sent     sent
		after    counts
		wrong    int
	}{
		{"storm, all duplicates", W1, sent{acked: 500}, at(100, 100, 500, 0), 0},
		{"storm, one taken as new", W1, sent{acked: 500}, at(101, 101, 499, 0), 2},
		{"new, all there", W2, sent{acked: 500}, at(600, 600, 0, 0), 0},
		{"new, one lost", W2, sent{acked: 500}, at(599, 599, 0, 0), 2},
		{"new, one doubled", W2, sent{acked: 500}, at(601, 600, 0, 0), 1},
		{"new, one rejected", W2, sent{acked: 500}, at(600, 600, 0, 1), 1},
		{"churn, all resolved", W4, sent{acked: 1000, resolved: 500}, at(600, 100, 0, 0), 0},
		{"churn, a resolve without effect", W4, sent{acked: 1000, resolved: 500}, at(600, 101, 0, 0), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if wrong := verify(tt.workload, tt.sent, at(100, 100, 0, 0), tt.after); len(wrong) != tt.wrong {
				t.Errorf("got %q, want %d complaints", wrong, tt.wrong)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	got, err := verdicts([]byte(`# HELP tocsin_alerts_total x
tocsin_alerts_total{source="a",verdict="duplicate"} 1.5e+06
tocsin_alerts_total{source="b",verdict="duplicate"} 2
tocsin_alerts_total{source="b",verdict="opened"} 3
tocsin_alerts_received_total{source="b"} 9
`))
	if err != nil || got["duplicate"] != 1_500_002 || got["opened"] != 3 || len(got) != 2 {
		t.Errorf("got %v, %v, want duplicate 1500002 and opened 3", got, err)
	}
	if got, err := verdicts([]byte(`tocsin_alerts_total{source="b",verdict="opened"} many`)); err == nil {
		t.Errorf("got %v, want an error for a value that is no number", got)
	}
}

func TestSummarize(t *testing.T) {
	r := &Report{Rounds: 3}
	for _, cpu := range []float64{0.005, 0.010, 0.004} {
		r.add(W1, tocsin, Measurement{AlertsPerSecond: 1000 / cpu, CPUPer1000: cpu, P99: 3})
		r.add(W1, alertmanager, Measurement{AlertsPerSecond: 100 / cpu, CPUPer1000: cpu * 7, Errors: 1, FirstError: "answer 503"})
		r.add(W1, bare, Measurement{AlertsPerSecond: 100})
	}
	r.summarize()
	if got := r.result(W1, alertmanager); got.CPURatio < 6.99 || got.CPURatio > 7.01 || got.Errors != 3 {
		t.Errorf("got ratio %v and %d errors, want 7 (each round by itself) and 3", got.CPURatio, got.Errors)
	}
	if got := r.result(W1, bare).CPURatio; got != 0 {
		t.Errorf("ratio with unknown CPU: got %v, want 0", got)
	}
	var b strings.Builder
	if err := r.write(&b, "table"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200,000 (100,000-250,000)", "0.0050 (0.0040-0.0100)", "7.00x", "unknown", "first error: answer 503"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if len([]rune(strings.TrimRight(line, "\n"))) > 100 {
			t.Errorf("line of %d characters: %s", len(line), line)
		}
	}
}

func TestRedisIsPartOfTheCost(t *testing.T) {
	at := func(server, redis time.Duration, commands int64) spent {
		return spent{server: usage{known: true, cpu: server}, redis: redisUsage{known: true, cpu: redis, commands: commands}}
	}
	s := sent{acked: 4000, took: time.Second}
	m := newMeasurement(s, at(time.Second, 2*time.Second, 100), at(1400*time.Millisecond, 2200*time.Millisecond, 500))
	if got, want := fmt.Sprintf("%.3f %.3f %.0f", m.CPUPer1000, m.RedisCPUPer1000, m.RedisCommandsPer1000), "0.150 0.050 100"; got != want {
		t.Errorf("CPU, CPU of Redis and commands per 1,000: got %s, want %s", got, want)
	}
	unknown := at(0, 0, 0)
	unknown.server.known = false
	if m := newMeasurement(s, unknown, unknown); m.CPUPer1000 != 0 {
		t.Errorf("CPU where there is no /proc: got %v, want 0 for unknown", m.CPUPer1000)
	}
}

func TestGrouped(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1234567.8: "1,234,568"} {
		if got := grouped(x); got != want {
			t.Errorf("grouped(%v): got %q, want %q", x, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		ok   bool
	}{
		{"defaults", Options{}, true},
		{"a gateway here", Options{Target: "http://127.0.0.1:9095"}, true},
		{"a gateway elsewhere", Options{Target: "http://tocsin.example.net:9095"}, false},
		{"a name that is not loopback", Options{Target: "http://127.0.0.1.example.net:9095"}, false},
		{"no port", Options{Target: "http://127.0.0.1"}, false},
		{"unknown workload", Options{Workloads: []string{"W9"}}, false},
		{"unknown output", Options{Output: "xml"}, false},
		{"negative scale", Options{Scale: -1}, false},
		{"a Redis", Options{StoreURL: "redis://127.0.0.1:6379?prefix=load", Gateways: 4}, true},
		{"no Redis", Options{StoreURL: "redis-sentinel://127.0.0.1:26379/main"}, false},
		{"a Redis for a gateway that runs", Options{StoreURL: "redis://127.0.0.1:6379", Target: "http://127.0.0.1:9095"}, false},
		{"several gateways on a folder", Options{Gateways: 2}, false},
		{"several gateways beside one that runs", Options{Gateways: 2, Target: "http://127.0.0.1:9095"}, false},
		{"negative gateways", Options{Gateways: -1, StoreURL: "redis://127.0.0.1:6379"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.o.complete()
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
			if tt.o.Target != "" && tt.ok && tt.o.Target != "http://127.0.0.1:9095/ingest/alertmanager" {
				t.Errorf("target: got %s, want the ingest path added", tt.o.Target)
			}
		})
	}
}

// TestRun measures a fake gateway, which this test binary plays, beside the
// real bare handler and, where it is installed, a real Alertmanager.
func TestRun(t *testing.T) {
	var out strings.Builder
	err := Run(t.Context(), Options{Scale: 0.01, Rounds: 2, Output: "json"}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var r Report
	decode(t, []byte(out.String()), &r)
	for _, workload := range []string{W1, W2, W3, W4} {
		for _, name := range []string{tocsin, bare} {
			res := r.result(workload, name)
			if res == nil || len(res.Rounds) != 2 || res.Errors != 0 || res.AlertsPerSecond <= 0 || res.P99 < res.P50 {
				t.Errorf("%s of %s: got %+v, want two rounds without errors", workload, name, res)
			}
		}
	}
	if got := r.result(W2, tocsin).Rounds[0].Alerts; got != 2000 {
		t.Errorf("W2 at scale 0.01: got %d alerts, want 2000", got)
	}
	if r.Footprint == nil || r.Footprint.Alerts != 10_000 || r.Footprint.DiskBytes == 0 || r.Footprint.ReadySeconds <= 0 {
		t.Errorf("footprint: got %+v, want 10000 alerts, bytes on disk and a time to ready", r.Footprint)
	}
}

func TestRunFindsLostAlerts(t *testing.T) {
	t.Setenv("BENCH_FAKE", "forgets")
	var out strings.Builder
	err := Run(t.Context(), Options{Scale: 0.01, Rounds: 1, Workloads: []string{W2}}, &out)
	if !errors.Is(err, ErrWrong) {
		t.Errorf("a gateway that forgets alerts: got %v, want ErrWrong\n%s", err, out.String())
	}
	if want := "WRONG: round 1, W2: new alerts in incidents: got 1960, want 2000 as acknowledged"; !strings.Contains(out.String(), want) {
		t.Errorf("report lacks %q:\n%s", want, out.String())
	}
}

func TestRunSaysWhyAGatewayDidNotStart(t *testing.T) {
	err := Run(context.Background(), Options{Executable: "/nonexistent/tocsin", Workloads: []string{W1}}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/tocsin") {
		t.Errorf("got %v, want an error that names the program", err)
	}
}
