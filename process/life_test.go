package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/incident"
)

// monday is when most lives begin: Monday, 2026-03-02, 10:00 in UTC.
var monday = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// severities are those of the tests.
var severities = incident.Scale{"critical", "error", "warning", "info"}

// onCall is a rota with the same people at all times.
type onCall []string

func (o onCall) At(time.Time) []string { return o }

// options are what the tests have beside the section.
func options() Options {
	return Options{Receivers: []string{"ops", "boss", "desk", "hook"}, Severities: severities, Rotas: map[string]Rota{},
		Objectives: map[string]incident.Objectives{}}
}

// section reads a section.
func section(t testing.TB, text string) Config {
	t.Helper()
	var c Config
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return c
}

func newGuide(t testing.TB, text string, o Options) *Guide {
	t.Helper()
	g, err := New(section(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// life is one incident under a process, with the job that the store would do.
type life struct {
	t      testing.TB
	g      *Guide
	policy incident.Policy
	i      *incident.Incident
	start  time.Time
	// due is when the job of the duties is done next, zero if it is not.
	due time.Time
	// said is the timeline since the last look, of what the process says itself.
	said []string
	// outcomes are those of duties, and counters of objectives.
	outcomes []string
	// jobs is how often the job was done.
	jobs int
}

// begin opens an incident under a process, at the start that its alert states.
func begin(t testing.TB, g *Guide, o incident.Opening, at time.Time) *life {
	t.Helper()
	l := &life{t: t, g: g, start: at, policy: incident.Policy{Severities: severities, Matrix: incident.DefaultMatrix(), CloseAfter: 24 * time.Hour, Guide: g}}
	if o.By == "" {
		o.By = incident.System
	}
	if o.Class.Severity == "" {
		o.Class.Severity = "critical"
	}
	l.take(l.policy.Open(o, at), at)
	return l
}

// take stores an edit.
func (l *life) take(e *incident.Edit, at time.Time) {
	var next incident.Next
	e.Into(&next)
	l.keep(&next, at)
}

func (l *life) keep(next *incident.Next, at time.Time) {
	for _, i := range next.Incidents {
		l.i = i
	}
	for _, t := range next.Timeline {
		if t.Who == incident.System {
			text := fmt.Sprintf("%s %s", model.Duration(at.Sub(l.start)), t.Text)
			if len(t.For) > 0 {
				text += " → " + strings.Join(t.For, ",")
			}
			l.said = append(l.said, text)
		}
	}
	for _, o := range next.Duties {
		l.outcomes = append(l.outcomes, o.Duty+" "+o.Outcome)
	}
	for _, o := range next.Observations {
		if strings.Contains(o.Metric, "objective") {
			l.outcomes = append(l.outcomes, o.Metric)
		}
	}
	for _, j := range next.Jobs {
		if j.Kind == incident.JobDuty {
			l.due = j.Due
		}
	}
}

// until lets time pass since the start and does the job whenever it is due.
func (l *life) until(after time.Duration) {
	l.t.Helper()
	for end := l.start.Add(after); !l.due.IsZero() && !l.due.After(end); {
		l.job(l.due)
	}
}

// job does the job, as the router does.
func (l *life) job(at time.Time) {
	l.t.Helper()
	if l.jobs++; l.jobs > 5000 {
		l.t.Fatalf("the job is done again and again, at last at %s", at)
	}
	var next incident.Next
	e := l.policy.Change(l.i, at)
	e.Review()
	e.ArmDuty(l.g.Due(e.Incident, at))
	if e.Changed() {
		e.Into(&next)
	} else {
		e.IntoJobs(&next)
	}
	l.due = time.Time{}
	l.keep(&next, at)
	if !l.due.IsZero() && !l.due.After(at) {
		l.t.Fatalf("after the job at %s it is due at %s", at, l.due)
	}
}

// at has a person do something so long after the start; jobs before are done.
func (l *life) at(after time.Duration, do func(e *incident.Edit) error) {
	l.t.Helper()
	l.until(after)
	l.late(after, do)
}

// late is at for a gateway that has not got round to its jobs.
func (l *life) late(after time.Duration, do func(e *incident.Edit) error) {
	l.t.Helper()
	now := l.start.Add(after)
	e := l.policy.Change(l.i, now)
	if err := do(e); err != nil {
		l.t.Fatal(err)
	}
	l.take(e, now)
}

// hears checks what the process has said since the last time.
func (l *life) hears(want ...string) {
	l.t.Helper()
	l.said = slices.DeleteFunc(l.said, func(s string) bool { return strings.HasPrefix(s, "0s opened") })
	if !slices.Equal(l.said, want) {
		l.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(l.said, "\n\t"), strings.Join(want, "\n\t"))
	}
	l.said = nil
}

// counts checks the outcomes since the last time.
func (l *life) counts(want ...string) {
	l.t.Helper()
	if !slices.Equal(l.outcomes, want) {
		l.t.Errorf("got outcomes %q, want %q", l.outcomes, want)
	}
	l.outcomes = nil
}

// What people do.
func acknowledge(e *incident.Edit) error { return e.Acknowledge("ana", "") }
func resolve(e *incident.Edit) error     { return e.Resolve("ana", "") }
func reopen(e *incident.Edit) error      { return e.Reopen("ana", "") }
func shut(e *incident.Edit) error        { return e.Close("ana", "") }
func assess(e *incident.Edit) error {
	return e.Assess(incident.Assessment{By: "ana", Impact: "high", Urgency: "high", Observations: "seen"}, "")
}
func publish(e *incident.Edit) error {
	return e.Publish(incident.Update{By: "ana", What: "we look at it"}, "")
}

func minutes(n int) model.Duration { return model.Duration(time.Duration(n) * time.Minute) }
