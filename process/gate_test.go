package process

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// missing are the names of what is missing before an action.
func (l *life) missing(action string, after time.Duration) []string {
	var names []string
	for _, r := range l.g.Missing(l.i, action, l.start.Add(after)) {
		names = append(names, r.Name)
	}
	return names
}

func TestGates(t *testing.T) {
	g := newGuide(t, `profile: none
gates:
  - {before: [resolve], need: [recovered, cause]}
  - {before: [resolve, close], need: [cause, "tier = L3"]}
  - {match: ['severity="info"'], before: [close], need: [lessons]}
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.i.Alerts.Firing = 1
	if got, want := l.missing("resolve", 0), []string{"recovered", "cause", "tier = L3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := l.missing("close", 0), []string{"cause", "tier = L3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := l.missing("escalate", 0); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	err := l.policy.Change(l.i, monday).Resolve("ana", "")
	var refused *incident.GateError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "say what caused it") || !strings.Contains(err.Error(), "it needs tier = L3") {
		t.Errorf("got %v, want what is missing", err)
	}
}

// TestRequire: what a duty asked for holds an action back from then on, until it is done.
func TestRequire(t *testing.T) {
	g := newGuide(t, `profile: none
duties:
  - {name: report, on: [restored], after: 1h, do: {notify: [ops], require: close}}
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.at(time.Minute, resolve)
	l.until(30 * time.Minute)
	if got := l.missing("close", 30*time.Minute); got != nil {
		t.Errorf("before it is due: got %q", got)
	}
	l.until(2 * time.Hour)
	if got := l.missing("close", 2*time.Hour); !slices.Equal(got, []string{"report"}) {
		t.Errorf("once it was due: got %q, want report", got)
	}
	if err := l.policy.Change(l.i, monday.Add(2*time.Hour)).Close("ana", ""); err == nil {
		t.Error("it can be closed")
	}
	l.at(3*time.Hour, func(e *incident.Edit) error {
		base, ok := g.Base(e.Incident, "report", e.Now())
		if !ok || !base.Equal(monday.Add(time.Minute)) {
			t.Errorf("base %s, %t", base, ok)
		}
		return e.Fulfil("ana", "report", base, false, "")
	})
	l.at(4*time.Hour, shut)
	if l.i.State != incident.Closed {
		t.Errorf("it is %s", l.i.State)
	}
	if _, ok := g.Base(l.i, "other", monday); ok {
		t.Error("there is a duty that nobody configured")
	}
}

// TestSystemIsNotHeldBack: what ends by itself waits for people, and the process
// itself escalates without what a person needs.
func TestSystemIsNotHeldBack(t *testing.T) {
	g := newGuide(t, `profile: support-l2-l3
tiers: [{name: L2}, {name: L3}]
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	if err := l.policy.Change(l.i, monday).Escalate("ana", "L3", "complexity", ""); err == nil {
		t.Error("a person escalates without an assessment")
	}
	l.until(2 * time.Hour)
	if tier := l.i.Proceedings().Tier; tier != "L3" {
		t.Errorf("after two hours it is with %s", tier)
	}
	l.at(2*time.Hour, acknowledge)
	l.at(3*time.Hour, func(e *incident.Edit) error { return e.Resolve(incident.System, "") })
	if l.i.State != incident.Acknowledged || l.i.Phase != incident.Observing {
		t.Errorf("it is %s, %s; want it to wait for an assessment", l.i.State, l.i.Phase)
	}
	l.at(3*time.Hour, assess)
	l.at(3*time.Hour, resolve)

	l = begin(t, g, incident.Opening{}, monday)
	l.at(time.Minute, func(e *incident.Edit) error { return e.Resolve(incident.System, "") })
	if l.i.State != incident.Resolved {
		t.Errorf("what nobody has looked at is %s, want resolved", l.i.State)
	}
}

// TestLightHoldsNothingBack: without a profile nothing is asked before anything.
func TestLightHoldsNothingBack(t *testing.T) {
	o := options()
	o.Objectives["P1"] = incident.Objectives{Response: minutes(5), Resolution: minutes(60)}
	for _, profile := range []string{"", ProfileLight, ProfileNone} {
		g := newGuide(t, "profile: '"+profile+"'\n", o)
		l := begin(t, g, incident.Opening{}, monday)
		for n, do := range []func(e *incident.Edit) error{acknowledge, func(e *incident.Edit) error { return e.Escalate("ana", "L3", "complexity", "") }, resolve, shut, reopen, resolve, shut} {
			l.at(time.Duration(n)*7*time.Hour, do)
		}
		for _, action := range []string{"acknowledge", "resolve", "close", "escalate"} {
			if got := l.missing(action, 100*time.Hour); got != nil {
				t.Errorf("%q before %s: %q", profile, action, got)
			}
		}
	}
}
