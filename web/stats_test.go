package web_test

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/report"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

func (s *server) stats(query string) web.StatsJSON {
	s.t.Helper()
	return decode[web.StatsJSON](s.send("GET", "/api/v1/stats?"+query, "").want(200))
}

// ended is the end of an alert.
func (s *server) ended(a alert.Alert) alert.Alert {
	a.Status, a.EndsAt, a.ReceivedAt = alert.Resolved, s.clock.now(), s.clock.now()
	return a
}

// played is a server with incidents of all kinds: taken back, reopened, of a team
// that is not configured, never acknowledged, of a changed severity, a drill.
func played(t *testing.T) (s *server, closed string) {
	t.Helper()
	s = newServer(t)
	taken := s.accept(s.firing("Taken", "a"))
	s.clock.add(2 * time.Minute)
	s.do(taken, "acknowledge", `{"by":"ann"}`)
	s.do(taken, "unacknowledge", `{"by":"ann"}`)
	s.clock.add(7 * time.Minute)
	s.do(taken, "acknowledge", `{"by":"bob"}`)
	s.do(taken, "severity", `{"by":"bob","severity":"info"}`)

	burnt := s.firing("Burnt", "b")
	burnt.Labels = burnt.Labels.Set("severity", "warning")
	again := s.accept(burnt)
	s.clock.add(time.Minute)
	s.accept(s.ended(burnt))
	s.clock.add(time.Minute)
	s.do(again, "reopen", `{"by":"ann"}`)
	s.clock.add(90 * time.Second)
	s.do(again, "severity", `{"by":"bob","severity":"critical"}`)
	s.do(again, "acknowledge", `{"by":"ann"}`)
	s.clock.add(90 * time.Second)
	s.do(again, "resolve", `{"by":"ann"}`)
	s.do(again, "close", `{"by":"ann"}`)

	drill := decode[web.IncidentJSON](s.send("POST", "/api/v1/incidents", `{"description":"exercise","reporter":"ann","drill":true}`).want(200)).ID
	s.do(drill, "acknowledge", `{"by":"ann"}`)
	s.do(drill, "resolve", `{"by":"ann"}`)
	s.clock.add(time.Second)
	return s, again
}

// TestStatsAgreeWithTheHistograms: what /stats says of each severity and team is what
// the store has counted for /metrics.
func TestStatsAgreeWithTheHistograms(t *testing.T) {
	s, closed := played(t)
	compare := func(found web.StatsJSON) (wrong []string) {
		stored, err := s.store.Statistics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := 0
		for _, g := range found.Groups {
			of := func(metric string) store.Series {
				return store.Series{Metric: metric, Severity: g.By["severity"], Team: g.By["team"]}
			}
			for metric, n := range map[string]int{"opened_total": g.Opened, "reopened_total": g.Reopened, "resolved_unacknowledged_total": g.ResolvedUnacknowledged} {
				if stored.Counters[of(metric)] != int64(n) {
					wrong = append(wrong, fmt.Sprintf("%v: /stats %d, stored %d", of(metric), n, stored.Counters[of(metric)]))
				}
			}
			for metric, v := range map[string]web.TimesJSON{"time_to_detect_seconds": g.TimeToDetect, "time_to_acknowledge_seconds": g.TimeToAcknowledge,
				"time_to_resolve_seconds": g.TimeToResolve, "outage_seconds": g.Outage} {
				h, n := stored.Histograms[of(metric)], uint64(0)
				for _, c := range h.Counts {
					n += c
				}
				said += v.Count
				if uint64(v.Count) != n || v.Sum != h.Sum {
					wrong = append(wrong, fmt.Sprintf("%v: /stats %d with the sum %v, stored %d with %v", of(metric), v.Count, v.Sum, n, h.Sum))
				}
			}
		}
		all := 0
		for _, h := range stored.Histograms {
			for _, c := range h.Counts {
				all += int(c)
			}
		}
		if said != all {
			wrong = append(wrong, fmt.Sprintf("/stats has %d observations, the histograms %d", said, all))
		}
		return wrong
	}
	found := s.stats("by=severity,team")
	for _, w := range compare(found) {
		t.Error(w)
	}
	if r := found.Total; r.Opened != 2 || r.Reopened != 1 || r.ResolvedUnacknowledged != 1 || r.OpenNow != 1 ||
		r.TimeToAcknowledge.Sum != 120+90 || r.TimeToAcknowledge.Count != 2 || *r.TimeToAcknowledge.P50 != 90 || r.TimeToResolve.Sum != 60+180 || *r.TimeToResolve.P99 != 180 {
		t.Errorf("total: got %+v", r)
	}
	if found.Scanned != 3 || !found.Complete || found.ScannedSince != nil || found.Clipped != 0 {
		t.Errorf("got %+v", found)
	}
	// What retention removes is out of /stats and stays in the histograms.
	i, err := s.store.Incident(t.Context(), closed)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Remove(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	found = s.stats("by=severity,team")
	if found.Total.Opened != 1 || found.Total.TimeToAcknowledge.Sum != 120 || found.Total.Reopened != 0 {
		t.Errorf("after the removal: got %+v", found.Total)
	}
	if len(compare(found)) == 0 {
		t.Error("the histograms have lost what was removed too")
	}
}

func TestStatsOfATime(t *testing.T) {
	s, _ := played(t)
	first := s.stats("to=" + morning.Add(2*time.Minute).Format(time.RFC3339)).Total
	if first.Opened != 1 || first.TimeToAcknowledge.Count != 0 {
		t.Errorf("up to the acknowledgement: got %+v", first)
	}
	// Opened before the beginning, and resolved in it.
	late := s.stats("from=" + morning.Add(10*time.Minute).Format(time.RFC3339)).Total
	if late.Opened != 0 || late.TimeToResolve.Count != 2 || late.Outage.Count != 1 {
		t.Errorf("from after the openings: got %+v", late)
	}
	byDay := s.stats("by=day&timezone=Pacific/Auckland")
	if len(byDay.Groups) != 1 || byDay.Groups[0].By["day"] != "2026-11-21" || byDay.Timezone != "Pacific/Auckland" {
		t.Errorf("got %+v", byDay)
	}
	none := s.stats("to=2020-01-01T00:00:00Z&from=2019-01-01T00:00:00Z&by=service")
	if none.Scanned != 0 || none.Total.TimeToResolve.Mean != nil || len(none.Groups) != 0 {
		t.Errorf("got %+v", none)
	}
}

// TestFiguresOfWhatIsRemoved: statistics and the month say that what was closed long ago is
// not there any more.
func TestFiguresOfWhatIsRemoved(t *testing.T) {
	s := newServer(t, func(o *web.Options) { o.Reports.Retention = func() time.Duration { return 30 * 24 * time.Hour } })
	month := func() string {
		return strings.Join(decode[report.Document](s.send("GET", "/api/v1/reports/monthly?format=json&month=2026-11", "").want(200)).Notices, "\n")
	}
	if v := s.stats("from=2026-11-01T00:00:00Z"); v.RemovedBefore != nil || strings.Contains(month(), "removed") {
		t.Errorf("all is there: got %v and %q", v.RemovedBefore, month())
	}
	s.clock.add(20 * 24 * time.Hour)
	if v := s.stats("from=2026-11-01T00:00:00Z"); v.RemovedBefore == nil || !v.RemovedBefore.Equal(morning.AddDate(0, 0, -10)) {
		t.Errorf("got removed_before %v, want 30 days ago", v.RemovedBefore)
	}
	if s.send("GET", "/api/v1/stats?format=csv&from=2026-11-01T00:00:00Z", "").want(200).header.Get("Tocsin-Truncated") != "true" {
		t.Error("the CSV does not say that it is not all")
	}
	if v := s.stats("from=2026-12-01T00:00:00Z"); v.RemovedBefore != nil {
		t.Errorf("since yesterday: got %v", v.RemovedBefore)
	}
	if got := month(); !strings.Contains(got, "Incidents are removed 30 days after they were closed") {
		t.Errorf("the month: got %q", got)
	}
}

// TestStatsSeries: the intervals add up to the whole, those without anything are there,
// and each group is in the interval in which it was observed.
func TestStatsSeries(t *testing.T) {
	s, _ := played(t)
	s.clock.add(48 * time.Hour)
	s.accept(s.firing("Late", "mail"))
	s.clock.add(time.Hour)
	v := s.stats("by=service&interval=day&from=2026-11-20T00:00:00Z")
	if len(v.Series) != 4 || v.Interval != "day" || v.Series[0].Name != "2026-11-20" || v.Series[3].Name != "2026-11-23" || v.Series[3].To != s.clock.now() {
		t.Fatalf("got %+v", v.Series)
	}
	opened, resolved, grouped := 0, 0, 0
	for _, b := range v.Series {
		opened, resolved = opened+b.Total.Opened, resolved+b.Total.TimeToResolve.Count
		for _, g := range b.Groups {
			grouped += g.Opened
		}
	}
	if opened != v.Total.Opened || resolved != v.Total.TimeToResolve.Count || grouped != opened || opened == 0 || resolved == 0 {
		t.Errorf("the series has %d opened, %d by group, %d resolved; the whole %+v", opened, grouped, resolved, v.Total)
	}
	if g := v.Series[3].Groups; len(g) != 1 || g[0].By["service"] != "mail" || g[0].Opened != 1 || len(v.Series[0].Groups) != 0 || v.Series[2].Total.Opened != 0 {
		t.Errorf("got %+v", v.Series)
	}
	if v := s.stats("by=service"); len(v.Series) != 0 || v.Interval != "" {
		t.Errorf("got %+v", v)
	}
}

func TestStatsMistakes(t *testing.T) {
	s := newServer(t)
	for query, mention := range map[string]string{"by=colour": `"by"`, "by=team,day,week,month": `"by"`, "timezone=Mars": `"timezone"`, "timezone=../etc/passwd": `"timezone"`, "timezone=Local": `"timezone"`,
		"from=yesterday": `"from"`, "from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z": `"from"`, "format=xml": `"format"`,
		"interval=hour": `"interval"`, "interval=day&format=csv": "by=day", "interval=day&by=week": `"interval"`, "interval=day&from=2020-01-01T00:00:00Z": "shorter time"} {
		s.send("GET", "/api/v1/stats?"+query, "").problem(400, mention)
	}
}

func TestStatsAsCSV(t *testing.T) {
	s := newServer(t)
	s.accept(s.firing("DiskFull", `=HYPERLINK("http://evil")`))
	s.accept(s.firing("DiskFull", "shop, the"))
	for service, want := range map[string]string{"a;=1+1": "a;'=1+1", "＝1+1": "'＝1+1", " \t@x": " '\t'@x"} {
		other := newServer(t)
		other.accept(other.firing("DiskFull", service))
		other.clock.add(time.Second)
		body := other.send("GET", "/api/v1/stats?by=service&format=csv", "").want(200).body
		if rows, err := csv.NewReader(strings.NewReader(string(body))).ReadAll(); err != nil || rows[1][1] != want {
			t.Errorf("%q: got %q, %v, want %q: some spreadsheets take it for a formula", service, rows, err, want)
		}
	}
	s.clock.add(time.Second)
	a := s.send("GET", "/api/v1/stats?by=service&format=csv", "").want(200)
	rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || rows[0][1] != "service" || rows[0][2] != "opened" || rows[1][1] != `'=HYPERLINK("http://evil")` || rows[2][1] != "shop, the" ||
		rows[3][0] != "total" || rows[3][2] != "2" || rows[3][11] != "7200" || rows[0][11] != "time_to_detect_sum_seconds" || rows[3][19] != "" {
		t.Errorf("got %q", rows)
	}
	if got := a.header.Get("Content-Type") + a.header.Get("Tocsin-Truncated"); got != "text/csv; charset=utf-8" {
		t.Errorf("got %q", got)
	}
}

func TestSimilar(t *testing.T) {
	s := newServer(t)
	ill := s.firing("DiskFull", "db")
	first := s.accept(ill)
	s.do(first, "acknowledge", `{"by":"ann"}`)
	s.clock.add(10 * time.Minute)
	s.do(first, "resolve", `{"by":"ann"}`)
	s.accept(s.ended(ill))
	s.do(first, "close", `{"by":"ann"}`)
	other := s.firing("Quiet", "mail")
	other.Labels = other.Labels.Set("instance", "mail1")
	s.accept(other)
	s.clock.add(2 * time.Hour)
	ill.StartsAt, ill.ReceivedAt = s.clock.now(), s.clock.now()
	second := s.accept(ill)
	if second == first {
		t.Fatal("want a new incident")
	}
	v := decode[web.SimilarJSON](s.send("GET", "/api/v1/incidents/"+second+"/similar", "").want(200))
	if len(v.Similar) != 1 || v.Similar[0].ID != first || v.Scanned != 2 || !v.Complete || v.Recurrence != (web.RecurrenceJSON{2, 2, 2, 2}) || v.Suggestion != "" {
		t.Fatalf("got %+v", v)
	}
	m := v.Similar[0]
	if m.Score != 1 || len(m.Reasons) != 6 || m.Reasons[0].Reason != "key" || m.ResolvedBy != "ann" || m.Manager != "ann" || *m.Outage != 4200 || *m.TimeToResolve != 600 {
		t.Errorf("got %+v", m)
	}

	// The third within 48 hours.
	s.do(second, "resolve", `{"by":"ann"}`)
	s.accept(s.ended(ill))
	s.do(second, "close", `{"by":"ann"}`)
	s.clock.add(45 * time.Hour)
	ill.StartsAt, ill.ReceivedAt = s.clock.now(), s.clock.now()
	third := s.accept(ill)
	v = decode[web.SimilarJSON](s.send("GET", "/api/v1/incidents/"+third+"/similar?limit=1", "").want(200))
	if v.Suggestion != "recurring" || v.Recurrence != (web.RecurrenceJSON{1, 3, 3, 3}) || len(v.Similar) != 1 || v.Similar[0].ID != second {
		t.Errorf("got %+v", v)
	}
	s.send("GET", "/api/v1/incidents/"+third+"/similar?limit=none", "").problem(400, `"limit"`)
}
