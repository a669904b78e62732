package stats

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // also where the machine has no zones

	"github.com/tocsin-gateway/tocsin/incident"
)

var start = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func TestNearestRank(t *testing.T) {
	for _, c := range []struct {
		n             int
		p50, p90, p99 float64
	}{{1, 1, 1, 1}, {2, 1, 2, 2}, {3, 2, 3, 3}, {4, 2, 4, 4}, {10, 5, 9, 10}, {11, 6, 10, 11}, {99, 50, 90, 99}, {100, 50, 90, 99}, {101, 51, 91, 100}, {1000, 500, 900, 990}} {
		var values []float64
		for v := c.n; v > 0; v-- { // the order must not matter
			values = append(values, float64(v))
		}
		got := Of(values)
		if got.P50 != c.p50 || got.P90 != c.p90 || got.P99 != c.p99 || got.Most != float64(c.n) || got.Count != c.n {
			t.Errorf("1 to %d: got %+v, want %+v", c.n, got, c)
		}
		if want := float64(c.n+1) / 2; math.Abs(got.Mean-want) > 1e-9 {
			t.Errorf("1 to %d: mean %v, want %v", c.n, got.Mean, want)
		}
	}
	if got := Of(nil); got != (Times{}) {
		t.Errorf("nothing: got %+v, want zeros", got)
	}
}

// life plays an incident; each step comes a minute times its number after the opening.
type life struct {
	t      *testing.T
	policy incident.Policy
	now    time.Time
	i      *incident.Incident
}

func opened(t *testing.T, id byte, severity, team string, drill bool) *life {
	t.Helper()
	l := &life{t: t, now: start, policy: incident.Policy{Severities: incident.Scale{"critical", "error", "warning", "info"}, Matrix: incident.DefaultMatrix(), Teams: []string{"db"}}}
	var next incident.Next
	e := l.policy.Open(incident.Opening{ID: incident.ID{id}, Title: "t", By: incident.System, StartedAt: start.Add(-30 * time.Second), Drill: drill,
		Class: incident.Classification{Severity: severity, Team: team, Service: "svc"}}, l.now)
	e.Into(&next)
	l.i = next.Incidents[0]
	return l
}

func (l *life) do(after time.Duration, act func(e *incident.Edit) error) {
	l.t.Helper()
	l.now = l.now.Add(after)
	e := l.policy.Change(l.i, l.now)
	if err := act(e); err != nil {
		l.t.Fatal(err)
	}
	var next incident.Next
	e.Into(&next)
	l.i = next.Incidents[0]
}

func acknowledge(e *incident.Edit) error   { return e.Acknowledge("ann", "") }
func unacknowledge(e *incident.Edit) error { return e.Unacknowledge("ann", "") }
func resolve(e *incident.Edit) error       { return e.Resolve("ann", "") }
func closeIt(e *incident.Edit) error       { return e.Close("ann", "") }
func reopen(e *incident.Edit) error        { return e.Reopen("ann", "") }

// want holds a group's line against what the test says: counts, then count and sum
// of each time.
func want(t *testing.T, what string, g Group, line string) {
	t.Helper()
	got := fmt.Sprintf("opened %d reopened %d unacknowledged %d open %d", g.Opened, g.Reopened, g.ResolvedUnacknowledged, g.OpenNow)
	for _, v := range []Times{g.TimeToDetect, g.TimeToAcknowledge, g.TimeToResolve, g.Outage} {
		got += fmt.Sprintf(" %d:%v", v.Count, v.Sum)
	}
	if got != line {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, line)
	}
}

func TestSum(t *testing.T) {
	taken := opened(t, 1, "warning", "db", false) // an acknowledgement that is taken back counts once
	taken.do(time.Minute, acknowledge)
	taken.do(time.Minute, unacknowledge)
	taken.do(time.Minute, acknowledge)
	taken.do(time.Minute, func(e *incident.Edit) error { return e.SetSeverity("ann", "critical", "") })
	taken.do(time.Minute, resolve) // under critical, although it was acknowledged under warning
	taken.do(time.Hour, closeIt)
	again := opened(t, 2, "error", "web", false) // two cycles, each with its times; one without acknowledgement
	again.do(2*time.Minute, resolve)
	again.do(10*time.Minute, reopen)
	again.do(3*time.Minute, acknowledge)
	again.do(time.Minute, resolve)
	drill := opened(t, 3, "critical", "db", true)
	drill.do(time.Minute, acknowledge)
	open := opened(t, 4, "error", "", false)

	sum := func(q Query) Result {
		if q.To.IsZero() {
			q.From, q.To = start, start.Add(24*time.Hour)
		}
		if err := q.Validate(); err != nil {
			t.Fatal(err)
		}
		s := New(q)
		for _, l := range []*life{taken, again, drill, open} {
			s.Add(l.i)
		}
		return s.Result()
	}
	r := sum(Query{By: []string{"severity"}})
	want(t, "total", r.Total, "opened 3 reopened 1 unacknowledged 1 open 1 3:90 2:240 3:660 1:330")
	if len(r.Groups) != 3 || r.Scanned != 4 || r.Clipped != 0 {
		t.Fatalf("got %+v", r)
	}
	want(t, "critical", r.Groups[0], "opened 0 reopened 0 unacknowledged 0 open 0 0:0 0:0 1:300 1:330")
	want(t, "error", r.Groups[1], "opened 2 reopened 1 unacknowledged 1 open 1 2:60 1:180 2:360 0:0")
	want(t, "warning", r.Groups[2], "opened 1 reopened 0 unacknowledged 0 open 0 1:30 1:60 0:0 0:0")

	r = sum(Query{By: []string{"team", "day"}})
	var names []string
	for _, g := range r.Groups {
		names = append(names, strings.Join(g.Values, "/"))
	}
	if got := strings.Join(names, " "); got != "/2026-11-21 db/2026-11-21 web/2026-11-21" {
		t.Errorf("got groups %q", got)
	}

	// From is included, To is not.
	want(t, "up to the first acknowledgement", sum(Query{From: start, To: start.Add(time.Minute)}).Total, "opened 3 reopened 0 unacknowledged 0 open 1 3:90 0:0 0:0 0:0")
	want(t, "from the first acknowledgement", sum(Query{From: start.Add(time.Minute), To: start.Add(time.Minute + 1)}).Total, "opened 0 reopened 0 unacknowledged 0 open 1 0:0 1:60 0:0 0:0")
}

func TestMonthsBeginWhereThePeopleAre(t *testing.T) {
	i := &incident.Incident{Observed: []incident.Observed{{Metric: "opened_total", At: time.Date(2026, 10, 31, 23, 30, 0, 0, time.UTC), Seconds: 1}}}
	for zone, want := range map[string]string{"UTC": "2026-10 2026-W44 2026-10-31", "Europe/Zurich": "2026-11 2026-W44 2026-11-01"} {
		l, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Query{From: start.AddDate(0, -2, 0), To: start, By: []string{"month", "week", "day"}, Zone: l})
		s.Add(i)
		if got := strings.Join(s.Result().Groups[0].Values, " "); got != want {
			t.Errorf("%s: got %s, want %s", zone, got, want)
		}
	}
}

func TestManyGroups(t *testing.T) {
	s := New(Query{From: start, To: start.Add(time.Hour), By: []string{"service"}})
	for n := range groupLimit + 10 {
		s.Add(&incident.Incident{Service: fmt.Sprintf("s%04d", n), Drill: true, Observed: slices.Repeat([]incident.Observed{{Metric: "opened_total", At: start, Seconds: 1}}, 1+n/10)})
	}
	r := s.Result()
	if len(r.Groups) != groupLimit || r.GroupsLeftOut != 10 || r.Groups[0].Values[0] != "s0010" {
		t.Errorf("got %d groups from %v, %d left out; want the thousand with most", len(r.Groups), r.Groups[0].Values, r.GroupsLeftOut)
	}
}

// TestGroupsOfAnyText: what an alert says does not make one group of two.
func TestGroupsOfAnyText(t *testing.T) {
	s := New(Query{From: time.Unix(0, 0), To: time.Unix(100, 0), By: []string{"service", "team"}})
	for _, of := range [][2]string{{"a", "b\x00c"}, {"a\x00b", "c"}} {
		s.Add(&incident.Incident{Service: of[0], Observed: []incident.Observed{{Metric: "opened_total", Team: of[1], At: time.Unix(1, 0), Seconds: 1}}})
	}
	if got := s.Result().Groups; len(got) != 2 {
		t.Errorf("got %+v, want two groups", got)
	}
}

func TestQueryMistakes(t *testing.T) {
	for want, q := range map[string]Query{"from": {From: start, To: start}, "by \"x\" is none": {From: start, To: start.Add(1), By: []string{"x"}},
		"twice": {From: start, To: start.Add(1), By: []string{"team", "team"}}, "more than 3": {From: start, To: start.Add(1), By: []string{"team", "day", "week", "month"}}} {
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to mention %q", err, want)
		}
	}
}
