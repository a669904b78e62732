package process

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// tree is a chain that is called ten minutes after the opening.
const tree = contacts + `
profile: none
rotas: {line: {shifts: [{people: [on-call], start: 2026-01-05, handover: "09:00", length: 1d}]}}
chains: [{name: tree, call: [line, management, nobody], wait: 5m, rounds: 2}]
duties: [{name: call, after: 10m, while: [open], do: {call: tree}}]
`

func treeOf(t *testing.T, people ...string) *Guide {
	o := options()
	o.Rotas["line"] = onCall(people)
	return newGuide(t, tree, o)
}

func TestChain(t *testing.T) {
	started := []string{"10m call: call", "10m calls tree: call", "10m called line by ops (1 of 6) → ops", "15m called management by boss (2 of 6) → boss"}
	t.Run("nobody answers", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.until(24 * time.Hour)
		l.hears(append(started, "20m nobody cannot be reached: there is nobody, or no receiver", "20m called line by ops (4 of 6) → ops",
			"25m called management by boss (5 of 6) → boss", "30m nobody cannot be reached: there is nobody, or no receiver", "30m nobody of tree has answered")...)
		l.counts("call fired", "calling_chain missed")
		if why := l.i.Proceedings().Called[0].Why; why != "you are called: acknowledge it, or management is called in 5m0s" {
			t.Errorf("told %q", why)
		}
	})
	t.Run("a person acknowledges", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.at(16*time.Minute, acknowledge)
		l.until(24 * time.Hour)
		l.hears(started...)
		if c := l.i.Proceedings().Calls[0]; c.ConfirmedBy != "ana" || c.Exhausted {
			t.Errorf("got %+v, want it confirmed by ana", c)
		}
	})
	t.Run("a tool acknowledges, and says not who", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.i.Sources = []string{"mail"}
		l.at(12*time.Minute, func(e *incident.Edit) error { return e.Acknowledge("mail", "") })
		l.at(16*time.Minute, func(e *incident.Edit) error { return e.Take("bo", "") })
		l.until(24 * time.Hour)
		l.hears(started...)
		if c := l.i.Proceedings().Calls[0]; c.ConfirmedBy != "bo" {
			t.Errorf("got %+v, want it confirmed by bo", c)
		}
	})
	t.Run("a person answers the call", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.at(5*time.Minute, acknowledge) // before: that confirms no call
		l.at(16*time.Minute, func(e *incident.Edit) error { return e.Answer("bo", "") })
		l.until(24 * time.Hour)
		l.hears(started...)
		if c := l.i.Proceedings().Calls[0]; c.ConfirmedBy != "bo" {
			t.Errorf("got %+v, want it confirmed by bo", c)
		}
	})
	t.Run("it is over", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.at(16*time.Minute, resolve)
		l.until(24 * time.Hour)
		l.hears(started...)
		l.counts("call fired")
	})
	t.Run("the chain is gone", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.until(11 * time.Minute)
		l.said = nil
		l.g = newGuide(t, "profile: none\n", options())
		l.policy.Guide = l.g
		l.until(24 * time.Hour)
		l.hears("1h10m the calling chain tree is not configured any more")
	})
	t.Run("another gateway does not know the chain yet", func(t *testing.T) {
		g := treeOf(t, "on-call")
		l := begin(t, g, incident.Opening{}, monday)
		l.until(11 * time.Minute)
		l.policy.Guide = newGuide(t, "profile: none\n", options())
		l.late(16*time.Minute, func(e *incident.Edit) error { return e.Note("bo", "an alert joins there", time.Time{}) })
		l.policy.Guide, l.due = g, monday.Add(17*time.Minute)
		l.until(18 * time.Minute)
		l.hears(append(started[:3:3], "17m called management by boss (2 of 6) → boss")...)
	})
	t.Run("it is merged into another", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		parent := &incident.Incident{ID: incident.ID{9}, State: incident.Open}
		l.at(11*time.Minute, func(e *incident.Edit) error { return e.Merge("bo", parent, "") })
		l.until(12 * time.Hour)
		l.hears(started[:3]...)
		if !l.due.IsZero() {
			t.Errorf("the job is done again at %s", l.due)
		}
		l.at(13*time.Hour, func(e *incident.Edit) error { return e.Unmerge("bo", "") })
		l.hears("13h called management by boss (2 of 6) → boss")
	})
	t.Run("it is snoozed", func(t *testing.T) {
		l := begin(t, treeOf(t, "on-call"), incident.Opening{}, monday)
		l.at(11*time.Minute, func(e *incident.Edit) error { return e.SnoozeFor("bo", 2*time.Hour, "") })
		l.until(2 * time.Hour)
		l.hears(started[:3]...)
		l.at(2*time.Hour+11*time.Minute, func(e *incident.Edit) error { e.EndSnooze(); return nil })
		l.hears("2h11m called management by boss (2 of 6) → boss", "2h11m the snooze is over")
	})
	t.Run("nobody can be reached", func(t *testing.T) {
		o := options()
		o.Rotas["line"] = onCall(nil)
		c := section(t, tree)
		c.Chains[0].Call = []string{"line", "nobody"}
		g, err := New(c, o)
		if err != nil {
			t.Fatal(err)
		}
		l := begin(t, g, incident.Opening{}, monday)
		l.until(24 * time.Hour)
		l.hears("10m call: call", "10m calls tree: call", "10m line cannot be reached: there is nobody, or no receiver", "10m nobody cannot be reached: there is nobody, or no receiver",
			"15m line cannot be reached: there is nobody, or no receiver", "15m nobody cannot be reached: there is nobody, or no receiver", "15m nobody of tree has answered")
	})
}

// TestReach: who is behind a name.
func TestReach(t *testing.T) {
	o := options()
	o.Rotas["line"] = onCall{"management", "nobody", "somebody from a calendar", "ops"}
	g := newGuide(t, tree, o)
	for name, want := range map[string]int{"on-call": 1, "nobody": 0, "ops": 1, "unknown": 0,
		"line": 1} { // a name from a calendar is a contact's, and never a receiver's
		if got := g.reach(name, monday); len(got) != want {
			t.Errorf("%s: got %q, want %d", name, got, want)
		}
	}
}

// TestReminders: who has promised something is reminded of it once.
func TestReminders(t *testing.T) {
	l := begin(t, newGuide(t, contacts+"\nprofile: none\n", options()), incident.Opening{}, monday)
	plan := func(owner, text string, due time.Duration) func(e *incident.Edit) error {
		return func(e *incident.Edit) error {
			return e.Plan(incident.Action{Owner: owner, Text: text, Due: monday.Add(due), Kind: "corrective", By: "ana"}, "")
		}
	}
	l.at(time.Minute, plan("management", "buy a disk", 24*time.Hour))
	l.at(2*time.Minute, plan("on-call", "write it down", 48*time.Hour))
	l.at(3*time.Minute, plan("zoe", "learn", 72*time.Hour))
	l.at(4*time.Minute, resolve)
	l.at(5*time.Minute, shut)
	l.at(30*time.Hour, func(e *incident.Edit) error { return e.Complete("bo", 2, "") })
	l.until(1000 * time.Hour)
	l.hears("1d action 1 of management is overdue: buy a disk → boss", "3d action 3 of zoe is overdue: learn")
	l.counts("action missed", "action missed")
}

// TestTasksAreReminded: who has a task is reminded of it once, while it lasts.
func TestTasksAreReminded(t *testing.T) {
	l := begin(t, newGuide(t, contacts+"\nprofile: none\n", options()), incident.Opening{}, monday)
	plan := func(text string, due time.Time) func(e *incident.Edit) error {
		return func(e *incident.Edit) error {
			return e.Plan(incident.Action{Owner: "management", Text: text, Due: due, Kind: incident.ActionTask, By: "ana"}, "")
		}
	}
	l.at(time.Minute, plan("call the provider", monday.Add(20*time.Minute)))
	l.at(2*time.Minute, plan("look at the logs", time.Time{}))
	l.at(3*time.Minute, plan("put the disk back", monday.Add(2*time.Hour)))
	l.at(time.Hour, resolve)
	l.until(100 * time.Hour)
	l.hears("20m task 1 of management is overdue: call the provider → boss")
	l.counts()
}

// TestAudience: who gets updates, and who has to sign them.
func TestAudience(t *testing.T) {
	g := newGuide(t, contacts+`
profile: none
communication:
  - {audience: [management, nobody], detail: full}
  - {match: ['severity="critical"'], audience: [on-call], signature: true}
`, options())
	called, sign := g.Audience(&incident.Incident{Severity: "error"}, &incident.Update{})
	if len(called) != 1 || called[0].Receiver != "boss" || called[0].Detail != "" || sign {
		t.Errorf("got %+v, %t", called, sign)
	}
	called, sign = g.Audience(&incident.Incident{Severity: "critical"}, &incident.Update{})
	if len(called) != 2 || called[1].Detail != incident.DetailSummary || !sign {
		t.Errorf("got %+v, %t", called, sign)
	}
}

// TestEscalatedToNobody: an escalation says so if nobody hears of it.
func TestEscalatedToNobody(t *testing.T) {
	o := options()
	o.Rotas["line"] = onCall(nil)
	g := newGuide(t, contacts+`profile: none
rotas: {line: {shifts: [{people: [on-call], start: 2026-01-05, handover: "09:00", length: 1d}]}}
tiers: [{name: L2}, {name: L3, contacts: [line, nobody]}]
duties: [{name: up, after: 10m, while: [open], do: {escalate: {to: L3, reason: time_sensitive}}}]
`, o)
	l := begin(t, g, incident.Opening{}, monday)
	l.until(time.Hour)
	l.hears("10m up: up", "10m L2 → L3, time sensitive (nobody of L3 can be reached: tell them): up")
}
