package process

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

const contacts = `
contacts: [{name: on-call, receiver: ops}, {name: management, receiver: boss}, {name: nobody}]
`

const ackDuty = `profile: none
duties:
  - {name: ack, on: [opened], after: 10m, every: 10m, times: 3, unless: [acknowledged], do: {notify: [on-call]}}
` + contacts

// TestDutyInStep: it is due again in step with the first time, as often as it says.
func TestDutyInStep(t *testing.T) {
	l := begin(t, newGuide(t, ackDuty, options()), incident.Opening{}, monday)
	l.until(9 * time.Minute)
	l.hears()
	l.until(2 * time.Hour)
	l.hears("10m ack: ack → ops", "20m ack: ack → ops", "30m ack: ack → ops")
	l.counts("ack missed")
	if !l.due.IsZero() {
		t.Errorf("it is due at %s, but has been so as often as it says", l.due)
	}
}

// TestDutyLateJob: a job that comes late fires once for what it missed, and the next
// is in step with the first.
func TestDutyLateJob(t *testing.T) {
	l := begin(t, newGuide(t, ackDuty, options()), incident.Opening{}, monday)
	l.job(monday.Add(24 * time.Minute))
	l.hears("24m ack: ack → ops")
	if want := monday.Add(30 * time.Minute); !l.due.Equal(want) {
		t.Errorf("next due at %s, want %s", l.due, want)
	}
	// Again at once, as after a crash between the work and its end: nothing.
	l.job(monday.Add(24 * time.Minute))
	l.hears()
}

// TestDutyInStepInBusinessTime is the same for business days.
func TestDutyInStepInBusinessTime(t *testing.T) {
	g := newGuide(t, "profile: none\nduties: [{name: d, after: 1 business day, every: 1 business day, while: [open], do: {notify: [ops]}}]\n", options())
	l := begin(t, g, incident.Opening{}, monday)
	l.job(monday.Add(27 * time.Hour)) // three hours late
	if want := monday.Add(48 * time.Hour); !l.due.Equal(want) {
		t.Errorf("next due at %s, want %s", l.due, want)
	}
	l.until(8 * 24 * time.Hour)
	l.hears("1d3h d: d → ops", "2d d: d → ops", "3d d: d → ops", "4d d: d → ops", "1w d: d → ops", "8d d: d → ops")
}

// TestDutyOutcomes: what becomes of a duty that people have to do in time.
func TestDutyOutcomes(t *testing.T) {
	const text = `profile: none
duties:
  - {name: ack, after: 10m, unless: [acknowledged], do: {notify: [ops]}}
`
	waive := func(e *incident.Edit) error { return e.Fulfil("ana", "ack", monday, true, "a test") }
	fulfil := func(e *incident.Edit) error { return e.Fulfil("ana", "ack", monday, false, "") }
	for name, c := range map[string]struct {
		do      func(l *life)
		counts  []string
		outcome string
	}{
		"kept":                    {func(l *life) { l.at(5*time.Minute, acknowledge) }, []string{"ack kept"}, "kept"},
		"in the last moment":      {func(l *life) { l.late(10*time.Minute, acknowledge) }, []string{"ack kept"}, "kept"},
		"missed":                  {func(l *life) { l.until(time.Hour) }, []string{"ack missed"}, ""},
		"missed and done":         {func(l *life) { l.at(time.Hour, acknowledge) }, []string{"ack missed"}, "missed"},
		"done late, the job too":  {func(l *life) { l.late(time.Hour, acknowledge) }, []string{"ack missed"}, "missed"},
		"waived":                  {func(l *life) { l.at(5*time.Minute, waive); l.until(time.Hour) }, []string{"ack waived"}, "waived"},
		"waived and done":         {func(l *life) { l.at(5*time.Minute, waive); l.at(time.Hour, acknowledge) }, []string{"ack waived"}, "waived"},
		"waived after it fired":   {func(l *life) { l.at(time.Hour, waive) }, []string{"ack missed"}, "waived"},
		"a person says it":        {func(l *life) { l.at(5*time.Minute, fulfil); l.at(time.Hour, acknowledge) }, []string{"ack kept"}, "kept"},
		"a person says it, late":  {func(l *life) { l.at(time.Hour, fulfil) }, []string{"ack missed"}, "missed"},
		"it is over first":        {func(l *life) { l.at(5*time.Minute, resolve) }, []string{"ack kept"}, "kept"},
		"a drill counts nowhere":  {func(l *life) { l.i.Drill = true; l.until(time.Hour) }, nil, ""},
		"a drill that is handled": {func(l *life) { l.i.Drill = true; l.at(5*time.Minute, acknowledge) }, nil, "kept"},
	} {
		t.Run(name, func(t *testing.T) {
			l := begin(t, newGuide(t, text, options()), incident.Opening{}, monday)
			c.do(l)
			l.counts(c.counts...)
			if got := l.i.Proceedings().Duty("ack", monday).Outcome; got != c.outcome {
				t.Errorf("got outcome %q, want %q", got, c.outcome)
			}
		})
	}
}

// TestMissedDutyIsStillThere: a deadline that is due no more has to be met until it is, or
// nobody has to any more.
func TestMissedDutyIsStillThere(t *testing.T) {
	text := "profile: none\nduties:\n- {name: ack, after: 10m, while: [open], unless: [acknowledged]}\n"
	missed := func(l *life, after time.Duration) (at time.Time) {
		for _, d := range l.g.Duties(l.i, monday.Add(after)) {
			if d.Name == "ack" {
				at = d.Missed
			}
		}
		return at
	}
	l := begin(t, newGuide(t, text, options()), incident.Opening{}, monday)
	if at := missed(l, 0); !at.IsZero() {
		t.Errorf("before it is due: missed at %v", at)
	}
	l.until(time.Hour)
	if at := missed(l, time.Hour); !at.Equal(monday.Add(10 * time.Minute)) {
		t.Errorf("after an hour: missed at %v", at)
	}
	l.at(2*time.Hour, acknowledge)
	if at := missed(l, 2*time.Hour); !at.IsZero() {
		t.Errorf("acknowledged: missed at %v", at)
	}
}

// TestObjectives: those of the priority are duties, and counted.
func TestObjectives(t *testing.T) {
	o := options()
	o.Objectives["P1"] = incident.Objectives{Response: minutes(10), Resolution: minutes(60)}
	g := newGuide(t, "profile: none\n", o)
	l := begin(t, g, incident.Opening{}, monday)
	l.at(5*time.Minute, acknowledge)
	l.counts("response-objective kept", "response_objective_met_total")
	l.at(2*time.Hour, resolve)
	l.hears("48m resolution-objective-near: four fifths of the time to resolve it have passed", "1h resolution-objective: resolve it within the objective of its priority")
	l.counts("resolution-objective-near fired", "resolution-objective missed", "resolution_objective_missed_total")

	t.Run("a lower priority has none", func(t *testing.T) {
		l := begin(t, g, incident.Opening{Class: incident.Classification{Severity: "info"}}, monday)
		l.until(24 * time.Hour)
		l.hears()
	})
	t.Run("the priority changes", func(t *testing.T) {
		l := begin(t, g, incident.Opening{Class: incident.Classification{Severity: "info"}}, monday)
		l.at(30*time.Minute, assess) // to P1, whose time to respond is over
		l.counts("response-objective-near fired", "response-objective missed", "response_objective_missed_total")
	})
	t.Run("acknowledged once is enough", func(t *testing.T) {
		l := begin(t, g, incident.Opening{}, monday)
		l.at(5*time.Minute, acknowledge)
		l.at(20*time.Minute, func(e *incident.Edit) error { return e.Unacknowledge("ana", "") })
		l.until(30 * time.Minute)
		l.hears()
	})
	t.Run("what is merged into another is handled there", func(t *testing.T) {
		l := begin(t, g, incident.Opening{}, monday)
		l.i.Process = &incident.Process{MergedInto: incident.ID{1}}
		l.until(24 * time.Hour)
		l.hears()
	})
	t.Run("a drill", func(t *testing.T) {
		l := begin(t, g, incident.Opening{Drill: true}, monday)
		l.until(24 * time.Hour)
		l.counts()
	})
	t.Run("a duty of the same name", func(t *testing.T) {
		p := Problems(section(t, "duties: [{name: response-objective}]"), o)
		if p[".duties[0].name"] == "" {
			t.Errorf("got %v, want a problem with the name", p)
		}
	})
}

// TestBases: what a duty counts from, and when it is another duty.
func TestBases(t *testing.T) {
	const text = `profile: none
duties:
  - {name: d, on: [down], after: 15m, while: [open], do: {notify: [ops]}}
`
	guide := func(t *testing.T, event string) *Guide {
		c := section(t, text)
		c.Duties[0].On = []string{event}
		g, err := New(c, options())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	correct := func(at time.Time) func(e *incident.Edit) error {
		return func(e *incident.Edit) error { return e.Correct("ana", incident.Corrected{WentDown: at}, "") }
	}
	t.Run("an earlier start does not fire again", func(t *testing.T) {
		l := begin(t, guide(t, "down"), incident.Opening{}, monday)
		l.until(16 * time.Minute)
		l.hears("15m d: d → ops")
		l.at(20*time.Minute, correct(monday.Add(-time.Hour)))
		l.until(5 * time.Hour)
		l.hears()
	})
	t.Run("an earlier start fires sooner", func(t *testing.T) {
		l := begin(t, guide(t, "down"), incident.Opening{}, monday)
		l.at(time.Minute, correct(monday.Add(-10*time.Minute)))
		l.until(5 * time.Hour)
		l.hears("5m d: d → ops")
	})
	t.Run("nor does a later start", func(t *testing.T) {
		l := begin(t, guide(t, "down"), incident.Opening{StartedAt: monday.Add(-time.Hour)}, monday)
		l.at(time.Minute, correct(monday.Add(-time.Minute)))
		l.until(5 * time.Hour)
		l.hears("0s d: d → ops")
	})
	t.Run("a new cycle is a new duty", func(t *testing.T) {
		l := begin(t, guide(t, "down"), incident.Opening{}, monday)
		l.at(20*time.Minute, resolve)
		l.at(5*time.Hour, reopen) // it has not been down for all that time
		l.until(10 * time.Hour)
		l.hears("15m d: d → ops", "5h15m d: d → ops")
	})
	t.Run("what happened in the cycle before does not count", func(t *testing.T) {
		l := begin(t, guide(t, "assessed"), incident.Opening{}, monday)
		l.at(time.Minute, assess)
		l.at(2*time.Minute, resolve)
		l.at(time.Hour, reopen)
		l.until(10 * time.Hour)
		l.hears()
	})
	t.Run("the latest of several", func(t *testing.T) {
		c := section(t, "profile: none\nduties: [{name: d, on: [acknowledged, updated], after: 30m, every: 30m, while: [open], unless: [resolved], do: {notify: [ops]}}]")
		g, err := New(c, options())
		if err != nil {
			t.Fatal(err)
		}
		l := begin(t, g, incident.Opening{}, monday)
		l.at(time.Minute, acknowledge)
		l.at(20*time.Minute, publish)
		l.counts("d kept")
		l.at(55*time.Minute, publish)
		l.hears("50m d: d → ops")
		l.counts("d missed")
		l.at(60*time.Minute, resolve)
		l.counts("d kept")
		l.until(24 * time.Hour)
		l.hears()
	})
	t.Run("reopened with a duty undone", func(t *testing.T) {
		g := newGuide(t, "profile: none\nduties: [{name: d, after: 1h, unless: [assessed]}]", options())
		l := begin(t, g, incident.Opening{}, monday)
		l.at(time.Minute, resolve)
		l.at(2*time.Minute, reopen)
		l.counts() // nobody has assessed it
	})
}

// TestWhatTimeBrings: conditions hold when the duty is due, not when it is armed, and
// what only time changes is seen in time.
func TestWhatTimeBrings(t *testing.T) {
	const head = "profile: none\ncalendar: {usage_hours: [{days: ['monday:sunday'], hours: ['06:00-22:00']}]}\nduties:\n"
	for name, c := range map[string]struct {
		duty string
		at   time.Time
		do   func(l *life)
		want []string
	}{
		"an outage so long": {`{name: d, on: [down], after: 4h, while: ["outage >= 4h"], do: {notify: [ops]}}`, monday, func(*life) {}, []string{"4h d: d → ops"}},
		"longer than that":  {`{name: d, on: [down], while: ["outage > 4h", open], do: {notify: [ops]}}`, monday, func(*life) {}, []string{"4h1ms d: d → ops"}},
		"over before that":  {`{name: d, on: [down], after: 4h, while: ["outage >= 4h"], do: {notify: [ops]}}`, monday, func(l *life) { l.at(3*time.Hour, resolve) }, nil},
		"an age":            {`{name: d, while: ["age >= 1h"], do: {notify: [ops]}}`, monday, func(*life) {}, []string{"1h d: d → ops"}},
		"in usage hours at once": {`{name: d, while: [open, usage_hours], do: {notify: [ops]}}`, monday, func(*life) {},
			[]string{"0s d: d → ops"}},
		"when the usage hours begin": {`{name: d, while: [open, usage_hours], do: {notify: [ops]}}`, monday.Add(17 * time.Hour), func(*life) {},
			[]string{"3h d: d → ops"}},
		"over before they begin": {`{name: d, while: [open, usage_hours], do: {notify: [ops]}}`, monday.Add(17 * time.Hour),
			func(l *life) { l.at(time.Hour, resolve) }, nil},
		"out of business hours": {`{name: d, while: [not business_hours], do: {notify: [ops]}}`, monday, func(*life) {}, []string{"7h d: d → ops"}},
		"a promise is kept": {`{name: d, on: [next_contact], every: 30m, while: [open], unless: [customer_told], do: {notify: [ops]}}`, monday, func(l *life) {
			l.at(0, func(e *incident.Edit) error { return e.SetNextContact("ana", monday.Add(time.Hour), "") })
			l.at(50*time.Minute, func(e *incident.Edit) error { return e.SetNextContact("ana", monday.Add(2*time.Hour), "") })
			l.counts("d kept")
			l.at(2*time.Hour+40*time.Minute, resolve)
		}, []string{"2h d: d → ops", "2h30m d: d → ops"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := begin(t, newGuide(t, head+"  - "+c.duty+"\n", options()), incident.Opening{}, c.at)
			c.do(l)
			l.until(9 * time.Hour)
			l.hears(c.want...)
		})
	}
}

// TestDo: what happens by itself.
func TestDo(t *testing.T) {
	const text = contacts + `
profile: none
tiers: [{name: L2}, {name: L3, contacts: [management]}]
chains: [{name: tree, call: [on-call]}]
duties:
  - {name: tell, after: 1m, while: [open], text: look, do: {notify: [on-call, management, on-call], webhook: hook, detail: summary}}
  - {name: nobody, after: 2m, while: [open], do: {notify: [nobody]}}
  - {name: raise, after: 3m, while: [open], do: {raise: {severity: critical, level: major}}}
  - {name: escalate, after: 4m, while: [open], do: {escalate: {to: L3, reason: time_sensitive}}}
  - {name: call, after: 5m, while: [open], do: {call: tree}}
  - {name: suggest, after: 6m, while: [open], text: think, do: {suggest: true}}
  - {name: void, on: [acknowledged], after: 10m, unless: [worked_on], do: {unacknowledge: true}}
`
	l := begin(t, newGuide(t, text, options()), incident.Opening{Class: incident.Classification{Severity: "warning"}}, monday)
	if tier := l.i.Proceedings().Tier; tier != "L2" {
		t.Errorf("it begins at %q, want L2", tier)
	}
	l.until(2 * time.Minute)
	l.hears("1m tell: look → ops,boss,hook", "2m nobody: nobody (there is nobody to tell: [nobody] has no receiver)")
	want := []incident.Called{{Receiver: "ops", Why: "look", Detail: "summary"}, {Receiver: "boss", Why: "look", Detail: "summary"}, {Receiver: "hook", Why: "look", Detail: "summary"}}
	got := slices.Clone(l.i.Proceedings().Called)
	for n := range got {
		got[n].At = time.Time{}
	}
	if !slices.Equal(got, want) {
		t.Errorf("called in: got %+v, want %+v", got, want)
	}
	l.until(4 * time.Minute)
	l.hears("3m severity rose from warning to critical: raise", "3m level rose from trivial to major: raise",
		"4m escalate: escalate", "4m L2 → L3, time sensitive: escalate")
	if d := l.i.Proceedings().Called[1].Detail; d != "" {
		t.Errorf("whom it is escalated to is told %q, want everything", d)
	}
	l.at(6*time.Minute, acknowledge)
	l.hears("5m call: call", "5m calls tree: call", "5m called on-call by ops (1 of 3) → ops", "6m suggest: think")
	l.until(time.Hour)
	l.hears("16m void: void", "16m acknowledgement taken back: void")
	if l.i.State != incident.Open {
		t.Errorf("it is %s, want open", l.i.State)
	}
	l.counts("tell fired", "nobody fired", "raise fired", "escalate fired", "call fired", "suggest fired", "void missed")
}

// TestMatchAndOverride: a duty is for what it matches, and one's own replaces or
// takes away that of the profile.
func TestMatchAndOverride(t *testing.T) {
	g := newGuide(t, `profile: light
duties:
  - {name: raise-minor, disabled: true}
  - {name: raise-major, on: [down], after: 1h, while: [open], text: own, match: ['severity="critical"'], do: {raise: {level: major}}}
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.until(24 * time.Hour)
	l.hears("1h level rose from trivial to major: own")
	l = begin(t, g, incident.Opening{Class: incident.Classification{Severity: "warning"}}, monday)
	l.until(24 * time.Hour)
	l.hears()
}

// TestAhead: the duties that people see, the next first.
func TestAhead(t *testing.T) {
	l := begin(t, newGuide(t, `profile: none
duties:
  - {name: later, after: 2h, while: [open], text: then, do: {notify: [ops]}}
  - {name: soon, after: 1h, unless: [acknowledged]}
  - {name: done, after: 3h, unless: [assessed]}
`, options()), incident.Opening{}, monday)
	l.at(time.Minute, assess)
	got := l.g.Duties(l.i, monday.Add(2*time.Minute))
	want := []Next{{Name: "soon", Text: "soon", Due: monday.Add(time.Hour), Deadline: true}, {Name: "later", Text: "then", Due: monday.Add(2 * time.Hour)},
		{Name: "done", Text: "done", Outcome: "kept", At: monday.Add(time.Minute), Deadline: true}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
