package bench

import (
	"strings"
	"testing"
	"time"
)

// checkGrowth checks what a run at scale 0.01 found.
func checkGrowth(t *testing.T, g *GrowthReport) {
	t.Helper()
	if g == nil || len(g.Alerts) != 3 || len(g.Incidents) != 3 {
		t.Fatalf("growth: got %+v, want three stages of alerts and of incidents", g)
	}
	for _, tt := range []struct {
		name   string
		stages []Stage
		sizes  []int
		more   int
	}{{"alerts", g.Alerts, []int{100, 1000, 10_000}, 300}, {"incidents", g.Incidents, []int{10, 100, 1000}, 30}} {
		for n, s := range tt.stages {
			if s.Size != tt.sizes[n] || s.New.Rounds[0].Alerts != tt.more || s.Known.Rounds[0].Alerts < tt.more || s.Known.Errors+s.New.Errors > 0 ||
				s.New.P99 <= 0 || s.Known.AlertsPerSecond <= 0 {
				t.Errorf("%s %d: got %+v, want size %d, %d new alerts, a storm of known ones and no errors", tt.name, n, s, tt.sizes[n], tt.more)
			}
			if tt.name == "alerts" && (s.BytesPerAlert < 40 || s.BytesPerAlert > 80 || s.Lists != nil) {
				t.Errorf("alerts %d: got %v bytes each and %d lists, want 40 to 80 and none", n, s.BytesPerAlert, len(s.Lists))
			}
			if tt.name == "incidents" && len(s.Lists) != len(lists) {
				t.Errorf("incidents %d: got %d lists, want %d", n, len(s.Lists), len(lists))
			}
			for _, l := range s.Lists {
				if l.Median <= 0 {
					t.Errorf("incidents %d: list %q: got %v ms, want a time", n, l.Query, l.Median)
				}
			}
		}
	}
	if s := g.Stored; s.Incidents != 1030 || s.Open < 40 || s.Resolved < 2*s.Open-20 {
		t.Errorf("stored incidents: got %+v, want 1030, resolved ones with a second line in the log", s)
	}
}

func TestGrowthOnAFolder(t *testing.T) {
	var out strings.Builder
	if err := Run(t.Context(), Options{Scale: 0.01, Rounds: 1, Output: "json", Workloads: []string{Growth}}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var r Report
	decode(t, []byte(out.String()), &r)
	checkGrowth(t, r.Growth)
	if s := r.Growth.Stored; s.Closed != 0 || r.Footprint != nil || len(r.Results) > 0 {
		t.Errorf("got %+v, %+v and %d results, want no size of closed incidents and nothing but growth", s, r.Footprint, len(r.Results))
	}
}

func TestGrowthIsOnlyMeasuredIfAskedFor(t *testing.T) {
	var o Options
	if err := o.complete(); err != nil || o.wants(Growth) || !o.wants(W1) || !o.wants(Restart) {
		t.Errorf("defaults: got %q, %v, want everything but growth", o.Workloads, err)
	}
}

func TestKnownAlertsAreSpreadOverAll(t *testing.T) {
	target := &target{addr: "127.0.0.1:1", path: "/"}
	for _, tt := range []struct {
		name           string
		sent, requests int
		first, last    int
	}{
		{"few are all sent", 300, 3, 0, 200},
		{"of many every tenth request", 1_000_000, 1000, 0, 999_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := growing{bench: &bench{Options: Options{Scale: 1}}, g: &generator{seed: 6, now: testNow}, per: batchSize, sent: tt.sent}
			l := s.known(target)
			if len(l.requests) != tt.requests || l.repeat != stormTime {
				t.Fatalf("got %d requests for %s, want %d for %s", len(l.requests), l.repeat, tt.requests, stormTime)
			}
			for n, id := range map[int]int{0: tt.first, len(l.requests) - 1: tt.last} {
				if want := s.g.subject(id).pod; !strings.Contains(string(l.requests[n].bytes), `"pod":"`+want+`"`) {
					t.Errorf("request %d: got %.400s, want one that begins with alert %d", n, l.requests[n].bytes, id)
				}
			}
		})
	}
}

func TestTheTableOfGrowth(t *testing.T) {
	result := func(cpu, p99 float64) Result {
		return Result{Rounds: []Measurement{{AlertsPerSecond: 1000 / cpu, CPUPer1000: cpu, P99: p99}}}
	}
	r := &Report{Started: testNow.Truncate(time.Second), Rounds: 1, Gateways: 4, Redis: &RedisFacts{Version: "7.0.15", Settings: map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "auto-aof-rewrite-min-size": "4294967296", "save": "3600 1 300 100 60 10000", "maxmemory": "17179869184", "maxmemory-policy": "noeviction"}}}
	r.add(W1, tocsin, Measurement{AlertsPerSecond: 123_456, CPUPer1000: 0.0123, RedisCPUPer1000: 0.0023, RedisCommandsPer1000: 1234})
	g := &GrowthReport{Stored: IncidentBytes{Incidents: 103_000, Open: 2731, Resolved: 3365, Closed: 3682, Sample: 1000}}
	for n, size := range incidentSizes {
		known, fresh := result(0.004, 5), result(0.02+0.01*float64(n), 0)
		g.Alerts = append(g.Alerts, Stage{Size: alertSizes[n], Known: known, New: fresh, BytesPerAlert: 1098})
		s := Stage{Size: size, Known: known, New: fresh}
		for _, query := range lists {
			s.Lists = append(s.Lists, ListTime{Query: query, Rounds: []float64{3, 1, 2}})
		}
		g.Incidents = append(g.Incidents, s)
	}
	r.Growth, r.Footprint = g, &Footprint{Alerts: 1_000_000, RedisBytesPerAlert: 1098, RedisBytes: 1_098_000_000, ReadySeconds: 1}
	r.summarize()
	var b strings.Builder
	if err := r.write(&b, "table"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Redis 7.0.15, 4 gateways on it", `save="3600 1 300 100 60 10000"`, "gateway 0.0100, Redis 0.0023; 1,234 commands", "goal: at least 120,000",
		"0.0200      0.0300      0.0400    2.00x  at most 1.5", "2.00        2.00        2.00    1.00x  at most 10", "open 2,731, resolved 3,365, closed 3,682", "at most 1,126"} {
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
