package incident

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// epoch is when the tests take place.
var epoch = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }

func policy() Policy {
	return Policy{Severities: Scale{"critical", "error", "warning", "info"}, Matrix: DefaultMatrix(), CloseAfter: 24 * time.Hour,
		StillFiringAfter: time.Hour, Retention: 400 * 24 * time.Hour, Teams: []string{"db"}}
}

// story is an incident on its way through edits, with all that they caused.
type story struct {
	t        *testing.T
	policy   Policy
	incident *Incident
	timeline []TimelineEntry
	jobs     map[string]time.Time
	observed []string
}

func begin(t *testing.T, o Opening) *story {
	s := &story{t: t, policy: policy(), jobs: map[string]time.Time{}}
	if o.Class.Severity == "" {
		o.Class.Severity = "warning"
	}
	if o.By == "" {
		o.By = System
	}
	o.ID = ID{1}
	s.take(s.policy.Open(o, epoch))
	return s
}

func (s *story) take(e *Edit) {
	s.t.Helper()
	var next Next
	e.Into(&next)
	s.incident = next.Incidents[0]
	s.timeline = append(s.timeline, next.Timeline...)
	for _, j := range next.Jobs {
		if j.Subject != s.incident.ID.String() {
			s.t.Errorf("a job of %s", j.Subject)
		}
		if j.Due.IsZero() {
			delete(s.jobs, j.Kind)
		} else {
			s.jobs[j.Kind] = j.Due
		}
	}
	for _, o := range next.Observations {
		s.observed = append(s.observed, fmt.Sprintf("%s %s %s %v", o.Metric, o.Severity, o.Team, o.Value))
	}
	if broken, ok := VerifyTimeline(s.timeline); !ok {
		s.t.Errorf("the timeline breaks at entry %d", broken)
	}
	if n := uint64(len(s.timeline)); s.incident.TimelineLength != n || s.incident.TimelineHash != s.timeline[n-1].Hash {
		s.t.Errorf("the incident says %d entries, hash %s; want %d, %s", s.incident.TimelineLength, s.incident.TimelineHash, n, s.timeline[n-1].Hash)
	}
}

// do edits in the given minute; what fails or changes nothing leaves no trace.
func (s *story) do(minute int, edit func(e *Edit) error) (changed bool, err error) {
	s.t.Helper()
	before := *s.incident
	e := s.policy.Change(s.incident, at(minute))
	if err = edit(e); err == nil && e.Changed() {
		s.take(e)
		changed = true
	}
	if !changed && (s.incident.State != before.State || s.incident.TimelineLength != before.TimelineLength) {
		s.t.Error("the incident changed under an edit that was not taken")
	}
	return changed, err
}

func (s *story) must(minute int, edits ...func(e *Edit) error) {
	s.t.Helper()
	for _, edit := range edits {
		if changed, err := s.do(minute, edit); err != nil || !changed {
			s.t.Fatalf("minute %d: changed %v, error %v", minute, changed, err)
		}
	}
}

func acknowledge(e *Edit) error { return e.Acknowledge("ana", "on it") }
func resolve(e *Edit) error     { return e.Resolve("ana", "") }
func closeIt(e *Edit) error     { return e.Close("ana", "") }
func reopen(e *Edit) error      { return e.Reopen("ana", "") }
func note(e *Edit) error        { return e.Note("ana", "looked", time.Time{}) }
func mitigate(e *Edit) error    { return e.SetPhase("ana", Mitigating, "") }
func setError(e *Edit) error    { return e.SetSeverity("ana", "error", "") }

// TestActions: every action in every state.
func TestActions(t *testing.T) {
	reach := map[string][]func(*Edit) error{
		Open: nil, Acknowledged: {acknowledge}, Resolved: {resolve}, Closed: {resolve, closeIt},
	}
	// Want is the state after the action, "same" if it changes nothing, or "error".
	for name, c := range map[string]struct {
		action func(*Edit) error
		want   map[string]string
	}{
		"acknowledge": {acknowledge, map[string]string{Open: Acknowledged, Acknowledged: "same", Resolved: "error", Closed: "error"}},
		"resolve":     {resolve, map[string]string{Open: Resolved, Acknowledged: Resolved, Resolved: "same", Closed: "error"}},
		"close":       {closeIt, map[string]string{Open: "error", Acknowledged: "error", Resolved: Closed, Closed: "same"}},
		"reopen":      {reopen, map[string]string{Open: "same", Acknowledged: "same", Resolved: Open, Closed: Open}},
		"note":        {note, map[string]string{Open: Open, Acknowledged: Acknowledged, Resolved: Resolved, Closed: Closed}},
		"phase":       {mitigate, map[string]string{Open: Open, Acknowledged: Acknowledged, Resolved: "error", Closed: "error"}},
		"severity":    {setError, map[string]string{Open: Open, Acknowledged: Acknowledged, Resolved: Resolved, Closed: "error"}},
	} {
		for _, state := range States() {
			t.Run(name+" when "+state, func(t *testing.T) {
				s := begin(t, Opening{})
				s.must(1, reach[state]...)
				changed, err := s.do(2, c.action)
				var wrong *StateError
				switch want := c.want[state]; {
				case want == "error":
					if !errors.As(err, &wrong) || wrong.State != state || changed {
						t.Errorf("got changed %v, error %v; want a StateError", changed, err)
					}
				case err != nil || changed != (want != "same") || want != "same" && s.incident.State != want:
					t.Errorf("got %s, changed %v, error %v; want %s", s.incident.State, changed, err, want)
				}
				if name == "note" || err != nil {
					return
				}
				if again, err := s.do(3, c.action); again || err != nil {
					t.Errorf("the same again: changed %v, error %v; want nothing", again, err)
				}
			})
		}
	}
}

// TestALife: what a whole life leaves behind. Each duration is observed once
// in each cycle, and a reopening needs a new acknowledgement.
func TestALife(t *testing.T) {
	s := begin(t, Opening{Title: "Disk full", StartedAt: at(-5), Class: Classification{Severity: "warning", Team: "db"}})
	s.must(10, acknowledge)
	s.must(30, resolve)
	if s.jobs[JobClose] != at(30).Add(24*time.Hour) || len(s.jobs) != 1 {
		t.Errorf("resolved: jobs %v", s.jobs)
	}
	s.must(40, closeIt)
	if s.jobs[JobRetention] != at(40).Add(400*24*time.Hour) || len(s.jobs) != 1 {
		t.Errorf("closed: jobs %v, want only the retention", s.jobs)
	}
	s.must(50, reopen)
	i := s.incident
	if i.State != Open || !i.AcknowledgedAt.IsZero() || i.AcknowledgedBy != "" || !i.ResolvedAt.IsZero() || !i.ClosedAt.IsZero() || len(s.jobs) != 0 {
		t.Errorf("reopened: got %+v, jobs %v; want nothing left of the cycle before", i, s.jobs)
	}
	s.must(55, acknowledge)
	s.must(60, resolve)
	want := []string{
		"opened_total warning db 1", "time_to_detect_seconds warning db 300", "time_to_acknowledge_seconds warning db 600",
		"time_to_resolve_seconds warning db 1800", "outage_seconds warning db 2100", "reopened_total warning db 1",
		"time_to_acknowledge_seconds warning db 300", "time_to_resolve_seconds warning db 600",
	}
	if !slices.Equal(s.observed, want) {
		t.Errorf("observed\n%q, want\n%q", s.observed, want)
	}
	var said []string
	for _, e := range s.timeline {
		said = append(said, e.Who+": "+e.Text)
	}
	if want := []string{"tocsin: opened: Disk full", "ana: acknowledged: on it", "ana: resolved", "ana: closed", "ana: reopened", "ana: acknowledged: on it", "ana: resolved"}; !slices.Equal(said, want) {
		t.Errorf("timeline\n%q, want\n%q", said, want)
	}
	if c := s.incident.Cycles; len(c) != 1 || !c[0].OpenedAt.Equal(at(0)) || !c[0].AcknowledgedAt.Equal(at(10)) || !c[0].ResolvedAt.Equal(at(30)) || c[0].AcknowledgedBy != "ana" {
		t.Errorf("past cycles: %+v", c)
	}
}

// TestObservations: what counts and under which labels.
func TestObservations(t *testing.T) {
	life := []func(*Edit) error{resolve, closeIt}
	for name, c := range map[string]struct {
		opening Opening
		want    []string
	}{
		"never acknowledged": {Opening{}, []string{"opened_total warning  1", "time_to_detect_seconds warning  0", "time_to_resolve_seconds warning  60",
			"resolved_unacknowledged_total warning  1", "outage_seconds warning  60"}},
		"a team that metrics do not name": {Opening{Class: Classification{Severity: "info", Team: "x"}}, []string{"opened_total info other 1", "time_to_detect_seconds info other 0",
			"time_to_resolve_seconds info other 60", "resolved_unacknowledged_total info other 1", "outage_seconds info other 60"}},
		"a drill": {Opening{Drill: true}, nil},
	} {
		s := begin(t, c.opening)
		s.must(1, life...)
		if !slices.Equal(s.observed, c.want) {
			t.Errorf("%s: observed\n%q, want\n%q", name, s.observed, c.want)
		}
	}
	child := begin(t, Opening{})
	child.incident.Parent = ID{2}
	opened := len(child.observed)
	child.must(1, life...)
	if got := child.observed[opened:]; len(got) != 0 {
		t.Errorf("a merged child: observed %q", got)
	}
}

// TestTheWorstOfTheCycle: metrics carry the highest severity, also if a person
// lowered it, and the first observations that of the whole first request.
func TestTheWorstOfTheCycle(t *testing.T) {
	s := &story{t: t, policy: policy(), jobs: map[string]time.Time{}}
	e := s.policy.Open(Opening{ID: ID{1}, Class: Classification{Severity: "warning"}, By: System}, epoch)
	e.Join(member("a", "warning", at(-1)), false)
	e.Join(member("b", "error", at(-3)), false)
	s.take(e)
	if want := []string{"opened_total error  1", "time_to_detect_seconds error  180"}; !slices.Equal(s.observed, want) {
		t.Errorf("observed %q, want %q", s.observed, want)
	}
	s.must(1, func(e *Edit) error { return e.SetSeverity("ana", "info", "") })
	s.must(2, resolve)
	if got := s.observed[2]; got != "time_to_resolve_seconds error  120" {
		t.Errorf("after a person lowered it: observed %q", got)
	}
}

func member(pod, severity string, start time.Time) Member {
	return Member{Alert: &alert.Alert{Source: "am", StartsAt: start, Labels: alert.FromMap(map[string]string{"alertname": "A", "pod": pod, "host": "h" + pod})},
		Class: Classification{Severity: severity}}
}

// TestSeverityRises: by alerts it only rises, with impact, urgency and priority;
// a person's word stands.
func TestSeverityRises(t *testing.T) {
	s := begin(t, Opening{})
	joins := func(severity string) func(*Edit) error {
		return func(e *Edit) error {
			e.Join(member("a", severity, epoch), false)
			e.Log(System, "joined", "", 1)
			return nil
		}
	}
	steps := []struct {
		edit                       func(*Edit) error
		severity, priority, impact string
	}{
		{joins("info"), "warning", "P3", Medium},
		{joins("error"), "error", "P2", Medium},
		{joins("warning"), "error", "P2", Medium},
		{joins("unheard of"), "error", "P2", Medium},
		{joins("critical"), "critical", "P1", High},
		{func(e *Edit) error { return e.SetSeverity("ana", "info", "") }, "info", "P4", Low},
		{joins("critical"), "info", "P4", Low},
	}
	for n, step := range steps {
		s.must(n, step.edit)
		if i := s.incident; i.Severity != step.severity || i.Priority != step.priority || i.Impact != step.impact {
			t.Errorf("step %d: got %s, %s, impact %s; want %s, %s, %s", n, i.Severity, i.Priority, i.Impact, step.severity, step.priority, step.impact)
		}
	}
}

// TestAPersonsWordStands, even if it only confirms what the alerts said.
func TestAPersonsWordStands(t *testing.T) {
	s := begin(t, Opening{})
	confirm := func(e *Edit) error { return e.SetSeverity("ana", "warning", "really") }
	s.must(1, confirm)
	if changed, err := s.do(2, confirm); changed || err != nil {
		t.Errorf("again: changed %v, %v", changed, err)
	}
	s.must(3, func(e *Edit) error {
		e.Join(member("a", "critical", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	if s.incident.Severity != "warning" || s.incident.CycleSeverity != "critical" {
		t.Errorf("got %s (cycle %s), want warning, as confirmed (cycle critical)", s.incident.Severity, s.incident.CycleSeverity)
	}
}

// TestWhatRulesSet comes before what the severity implies.
func TestWhatRulesSet(t *testing.T) {
	for name, c := range map[string]struct {
		class                     Classification
		impact, urgency, priority string
	}{
		"nothing":  {Classification{Severity: "critical"}, High, High, "P1"},
		"second":   {Classification{Severity: "error"}, Medium, High, "P2"},
		"middle":   {Classification{Severity: "warning"}, Medium, Medium, "P3"},
		"last":     {Classification{Severity: "info"}, Low, Low, "P4"},
		"unknown":  {Classification{Severity: "odd"}, Low, Low, "P4"},
		"impact":   {Classification{Severity: "critical", Impact: Low}, Low, High, "P3"},
		"urgency":  {Classification{Severity: "critical", Urgency: Medium}, High, Medium, "P2"},
		"priority": {Classification{Severity: "info", Priority: "P1"}, Low, Low, "P1"},
		"nonsense": {Classification{Severity: "critical", Impact: "x"}, "x", High, "P4"},
	} {
		i := begin(t, Opening{Class: c.class}).incident
		if i.Impact != c.impact || i.Urgency != c.urgency || i.Priority != c.priority {
			t.Errorf("%s: got %s, %s, %s; want %s, %s, %s", name, i.Impact, i.Urgency, i.Priority, c.impact, c.urgency, c.priority)
		}
	}
}

func TestDefaultMatrix(t *testing.T) {
	want := map[string][]string{High: {"P1", "P2", "P3"}, Medium: {"P2", "P3", "P4"}, Low: {"P3", "P4", "P4"}}
	for impact, priorities := range want {
		for n, urgency := range Grades() {
			if got := DefaultMatrix().Priority(impact, urgency); got != priorities[n] {
				t.Errorf("impact %s, urgency %s: got %s, want %s", impact, urgency, got, priorities[n])
			}
		}
	}
	if got := (Matrix{}).Priority(High, High); got != "P4" {
		t.Errorf("an empty matrix: got %s, want P4", got)
	}
}

// TestScaleOfOne: grades of short scales stay sensible.
func TestScaleOfOne(t *testing.T) {
	for _, c := range []struct {
		scale           Scale
		severity        string
		impact, urgency string
	}{{Scale{"bad"}, "bad", High, High}, {Scale{"bad", "fine"}, "bad", High, High}, {Scale{"bad", "fine"}, "fine", Low, Low}, {nil, "x", High, High}} {
		if impact, urgency := c.scale.Grades(c.severity); c.scale != nil && (impact != c.impact || urgency != c.urgency) {
			t.Errorf("%v, %s: got %s, %s; want %s, %s", c.scale, c.severity, impact, urgency, c.impact, c.urgency)
		}
	}
}

// TestStillFiring: resolved by a person while alerts fire.
func TestStillFiring(t *testing.T) {
	s := begin(t, Opening{})
	s.must(1, func(e *Edit) error {
		e.Join(member("a", "warning", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	s.must(2, resolve)
	if last := s.timeline[len(s.timeline)-1]; last.Text != "resolved while 1 alert still fires" || s.jobs[JobStillFiring] != at(62) {
		t.Errorf("got %q, jobs %v", last.Text, s.jobs)
	}
	remind := func(e *Edit) error { e.Remind(); return nil }
	s.must(62, remind)
	if s.jobs[JobStillFiring] != at(122) {
		t.Errorf("the reminder is not armed again: %v", s.jobs)
	}
	s.must(70, func(e *Edit) error { e.Leave("warning", at(69)); e.Log(System, "alerts_resolved", "", 1); return nil })
	if changed, _ := s.do(122, remind); changed {
		t.Error("reminded of alerts that do not fire")
	}
	if d, _ := s.incident.Outage(); d != 2*time.Minute {
		t.Errorf("outage: got %v, want until it was resolved by hand", d)
	}
	s.must(130, reopen)
	if changed, _ := s.do(131, remind); changed {
		t.Error("reminded while it is open")
	}
}

// TestZeroSettings: no reminders, and closing at once, do not make jobs that
// are due for ever.
func TestZeroSettings(t *testing.T) {
	s := begin(t, Opening{})
	s.policy.StillFiringAfter, s.policy.CloseAfter, s.policy.Retention = 0, 0, 0
	s.must(1, func(e *Edit) error {
		e.Join(member("a", "warning", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	s.must(2, resolve)
	if len(s.jobs) != 1 || !s.jobs[JobClose].Equal(at(2)) {
		t.Errorf("resolved: jobs %v, want the close at once", s.jobs)
	}
	var next Next
	e := s.policy.Change(s.incident, at(2))
	e.Defer()
	e.IntoJobs(&next)
	if len(next.Jobs) != 1 || !next.Jobs[0].Due.After(at(2)) || len(next.Incidents) != 0 {
		t.Errorf("deferred: got %+v, want it later, and only that", next)
	}
	s.must(3, closeIt)
	if len(s.jobs) != 0 {
		t.Errorf("kept for ever: jobs %v", s.jobs)
	}
}

// TestNote: an entry about the past says so, and is last all the same.
func TestNote(t *testing.T) {
	s := begin(t, Opening{})
	for _, c := range []struct {
		at   time.Time
		want time.Time
		late bool
	}{{time.Time{}, at(5), false}, {at(5), at(5), false}, {at(2), at(2), true}, {at(9), at(5), false}, {time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), true},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), at(5), false}} {
		s.must(5, func(e *Edit) error { return e.Note("ana", "x", c.at) })
		if last := s.timeline[len(s.timeline)-1]; !last.At.Equal(c.want) || last.Late != c.late || !last.RecordedAt.Equal(at(5)) {
			t.Errorf("at %v: got %+v", c.at, last)
		}
	}
}

// TestLabelsShrink to those that all alerts share.
func TestLabelsShrink(t *testing.T) {
	s := begin(t, Opening{})
	join := func(known bool, class Classification, kv map[string]string) map[string]string {
		s.must(1, func(e *Edit) error {
			e.Join(Member{Alert: &alert.Alert{Labels: alert.FromMap(kv)}, Class: class}, known)
			e.Log(System, "joined", "", 1)
			return nil
		})
		return s.incident.Labels
	}
	for n, c := range []struct {
		known  bool
		class  Classification
		labels map[string]string
		want   map[string]string
	}{
		{false, Classification{Labels: alert.Labels{{Name: "site", Value: "s"}}}, map[string]string{"a": "1", "b": "2", "c": "3"}, map[string]string{"a": "1", "b": "2", "c": "3", "site": "s"}},
		{false, Classification{Labels: alert.Labels{{Name: "site", Value: "s"}}}, map[string]string{"a": "1", "b": "x", "d": "4"}, map[string]string{"a": "1", "site": "s"}},
		{true, Classification{}, map[string]string{"a": "9"}, map[string]string{"a": "1", "site": "s"}},
		{false, Classification{}, map[string]string{"a": "1", "site": "t"}, map[string]string{"a": "1"}},
		{false, Classification{}, nil, map[string]string{}},
	} {
		if got := join(c.known, c.class, c.labels); !maps.Equal(got, c.want) {
			t.Errorf("step %d: got %v, want %v", n, got, c.want)
		}
	}
}

// TestSizeIsBounded: neither many alerts nor many reopenings make it large.
func TestSizeIsBounded(t *testing.T) {
	s := begin(t, Opening{})
	for n := range 200 {
		e := s.policy.Change(s.incident, at(n))
		e.Join(member(fmt.Sprint(n), "warning", epoch), false)
		e.Log(System, "joined", "", 1)
		if err := errors.Join(e.Resolve("ana", ""), e.Reopen("ana", "")); err != nil {
			t.Fatal(err)
		}
		s.take(e)
	}
	i := s.incident
	if len(i.Hosts) != hostsKept || len(i.Cycles) != cyclesKept || i.Reopens != 200 || len(i.Sources) != 1 || i.Alerts.Total != 200 {
		t.Errorf("got %d hosts, %d cycles, %d reopens, %d sources", len(i.Hosts), len(i.Cycles), i.Reopens, len(i.Sources))
	}
	if last := i.Cycles[cyclesKept-1]; !last.ResolvedAt.Equal(at(199)) {
		t.Errorf("the last cycle is of %v, want the latest", last.ResolvedAt)
	}
	if i.Hosts[0] != "h0" {
		t.Errorf("hosts begin with %s, want the first that was seen", i.Hosts[0])
	}
}

// TestAnEditLeavesTheOriginalAlone: steps may run twice on what they are given.
func TestAnEditLeavesTheOriginalAlone(t *testing.T) {
	s := begin(t, Opening{})
	s.must(1, func(e *Edit) error {
		e.Join(member("a", "warning", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	was := *s.incident.Clone()
	e := s.policy.Change(s.incident, at(2))
	e.Join(member("b", "critical", at(-9)), false)
	e.Leave("warning", at(1))
	e.Flap(at(20), "A")
	if err := errors.Join(e.Acknowledge("x", ""), e.Resolve("x", ""), e.Reopen("x", "")); err != nil {
		t.Fatal(err)
	}
	got := *s.incident
	if !maps.Equal(got.Labels, was.Labels) || !maps.Equal(got.Firing, was.Firing) || !slices.Equal(got.Hosts, was.Hosts) || len(got.Cycles) != len(was.Cycles) ||
		got.State != was.State || got.Alerts != was.Alerts || !got.StartedAt.Equal(was.StartedAt) || got.TimelineHash != was.TimelineHash {
		t.Errorf("the original changed: got %+v, want %+v", got, was)
	}
	if len(s.incident.Hosts) != cap(s.incident.Clone().Hosts) {
		t.Error("a clone shares room with the original: appending to two clones would mix them")
	}
}

// TestEditsShareWithTheOriginal only what they do not change: each of these is
// the first and only change of its edit.
func TestEditsShareWithTheOriginal(t *testing.T) {
	for name, change := range map[string]func(*Edit){
		"join":    func(e *Edit) { e.Join(member("b", "critical", at(1)), false) },
		"regrade": func(e *Edit) { e.Regrade("warning", member("a", "critical", epoch)) },
		"leave":   func(e *Edit) { e.Leave("warning", at(1)) },
	} {
		s := begin(t, Opening{})
		s.must(1, func(e *Edit) error {
			e.Join(member("a", "warning", epoch), false)
			e.Log(System, "joined", "", 1)
			return nil
		})
		was := *s.incident.Clone()
		change(s.policy.Change(s.incident, at(2)))
		if !maps.Equal(s.incident.Labels, was.Labels) || !maps.Equal(s.incident.Firing, was.Firing) {
			t.Errorf("%s changed the original: got %v and %v, want %v and %v", name, s.incident.Labels, s.incident.Firing, was.Labels, was.Firing)
		}
	}
}

// TestRegradeAndLeave keep the counts by severity.
func TestRegradeAndLeave(t *testing.T) {
	s := begin(t, Opening{})
	s.must(1, func(e *Edit) error {
		e.Join(member("a", "warning", epoch), false)
		e.Join(member("b", "warning", epoch), false)
		e.Regrade("warning", member("b", "critical", epoch))
		e.Regrade("warning", member("a", "warning", epoch))
		e.Log(System, "updated", "", 1)
		return nil
	})
	if want := map[string]int{"warning": 1, "critical": 1}; !maps.Equal(s.incident.Firing, want) || s.incident.Severity != "critical" {
		t.Errorf("got %v, %s; want %v, critical", s.incident.Firing, s.incident.Severity, want)
	}
	s.must(2, func(e *Edit) error { e.Leave("critical", at(2)); e.Log(System, "alerts_resolved", "", 1); return nil })
	if want := map[string]int{"warning": 1}; !maps.Equal(s.incident.Firing, want) || s.incident.Alerts.Firing != 1 || !s.incident.RestoredAt.Equal(at(2)) {
		t.Errorf("got %v, %+v, restored %v", s.incident.Firing, s.incident.Alerts, s.incident.RestoredAt)
	}
}

// TestReporter: what a person reports carries their name, what Tocsin opens none.
func TestReporter(t *testing.T) {
	if i := begin(t, Opening{By: "ben", Description: "it smells"}).incident; i.Reporter != "ben" || i.Description != "it smells" {
		t.Errorf("got %q, %q", i.Reporter, i.Description)
	}
	if i := begin(t, Opening{}).incident; i.Reporter != "" || i.Phase != Investigating || i.Level != Levels()[0] {
		t.Errorf("got %+v", i)
	}
}

func TestStateErrorSaysWhat(t *testing.T) {
	if got := (&StateError{"close", Open}).Error(); !strings.Contains(got, "close") || !strings.Contains(got, Open) {
		t.Errorf("got %q", got)
	}
}

// TestLabelsThatChange: what an incident's alerts share is what they all say now.
func TestLabelsThatChange(t *testing.T) {
	p := Policy{Severities: Scale{"critical", "warning"}, Matrix: DefaultMatrix()}
	e := p.Open(Opening{Class: Classification{Severity: "warning"}}, time.Unix(1e9, 0))
	said := func(severity string) Member {
		return Member{Alert: &alert.Alert{Labels: alert.FromMap(map[string]string{"host": "web", "severity": severity})}, Class: Classification{Severity: severity}}
	}
	e.Join(said("warning"), false)
	e.Regrade("warning", said("critical"))
	if got := e.Incident.Labels; len(got) != 1 || got["host"] != "web" || e.Incident.Severity != "critical" {
		t.Errorf("got labels %v and severity %s, want only the host, critical", got, e.Incident.Severity)
	}
}
