package process

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// team are contacts and a chain that the profiles name.
const team = `
contacts: [{name: on-call, receiver: ops}, {name: support, receiver: ops}, {name: management, receiver: boss}, {name: operations, receiver: desk}]
chains: [{name: calling-tree, call: [on-call, management], wait: 10m, rounds: 1}]
`

// takeBack takes the acknowledgement back; work and rest begin and end work on it.
func takeBack(e *incident.Edit) error { return e.Unacknowledge("ana", "") }
func work(e *incident.Edit) error     { return e.Work("ana", "", "") }
func rest(e *incident.Edit) error     { return e.Rest("ana", "") }

// only are the duties of a profile that stay.
func only(t *testing.T, profile string, names ...string) *Guide {
	t.Helper()
	g := newGuide(t, "profile: "+profile+team, options())
	list := g.duties
	g.duties = nil
	for _, d := range list {
		for _, name := range names {
			if d.name == name {
				g.duties = append(g.duties, d)
			}
		}
	}
	return g
}

// TestAcknowledgementTakenBack: whom an acknowledgement has put at rest is told when it is
// taken back, whatever the profile. A mistake at night must not be the end of it.
func TestAcknowledgementTakenBack(t *testing.T) {
	for profile, want := range map[string][]string{
		"support-l2-l3": {"23m acknowledge: nobody has acknowledged it → ops", "38m acknowledge: nobody has acknowledged it → ops"},
		"itil-basic":    {"18m acknowledge: nobody has acknowledged it → ops", "28m acknowledge: nobody has acknowledged it → ops", "38m acknowledge: nobody has acknowledged it → ops"},
		"vshn-like":     {"18m acknowledge: nobody has acknowledged it → ops", "28m acknowledge: nobody has acknowledged it → ops", "38m acknowledge: nobody has acknowledged it → ops"},
	} {
		t.Run(profile, func(t *testing.T) {
			l := begin(t, only(t, profile, "acknowledge"), incident.Opening{}, monday)
			l.at(5*time.Minute, acknowledge)
			l.at(8*time.Minute, takeBack)
			l.until(40 * time.Minute)
			l.hears(want...)
		})
	}
	for name, undo := range map[string][2]func(*incident.Edit) error{"acknowledged": {acknowledge, takeBack}, "worked on": {work, rest}} {
		t.Run("the calling tree, "+name, func(t *testing.T) {
			l := begin(t, only(t, "itil-basic", "calling-tree"), incident.Opening{}, monday)
			l.i.Level = "minor"
			l.at(5*time.Minute, undo[0])
			l.at(8*time.Minute, undo[1])
			l.until(30 * time.Minute)
			l.hears("28m calling-tree: significant downtime; the calling tree is started", "28m calls calling-tree: significant downtime; the calling tree is started",
				"28m called on-call by ops (1 of 2) → ops")
		})
	}
	t.Run("of what was never escalated nothing follows", func(t *testing.T) {
		g := newGuide(t, "profile: none\nduties: [{name: d, on: [escalated], after: 5m, unless: [acknowledged]}]\n", options())
		l := begin(t, g, incident.Opening{}, monday)
		l.at(5*time.Minute, acknowledge)
		l.at(8*time.Minute, takeBack)
		l.until(time.Hour)
		l.hears()
	})
}

// TestWhoRestsIsNotHeard: an acknowledgement whose holder has gone to rest expires.
func TestWhoRestsIsNotHeard(t *testing.T) {
	l := begin(t, only(t, "vshn-like", "acknowledgement-expires"), incident.Opening{}, monday)
	l.at(5*time.Minute, acknowledge)
	l.at(6*time.Minute, work)
	l.at(20*time.Minute, rest)
	l.until(12 * time.Hour)
	l.hears("2h20m acknowledgement-expires: nothing was heard for two hours since it was acknowledged → ops", "2h20m acknowledgement taken back: acknowledgement-expires")

	t.Run("while another one works on it", func(t *testing.T) {
		l := begin(t, only(t, "vshn-like", "acknowledgement-expires"), incident.Opening{}, monday)
		l.at(5*time.Minute, acknowledge)
		l.at(6*time.Minute, work)
		l.at(7*time.Minute, func(e *incident.Edit) error { return e.Work("bo", "", "") })
		l.at(20*time.Minute, rest)
		l.until(12 * time.Hour)
		l.hears()
	})
}

// TestNobodyWorksOnWhatReopens: who worked on it before it was over need not be there any
// more when it begins again.
func TestNobodyWorksOnWhatReopens(t *testing.T) {
	l := begin(t, only(t, "itil-basic", "calling-tree"), incident.Opening{}, monday)
	l.i.Level = "minor"
	l.at(5*time.Minute, work)
	l.at(10*time.Minute, resolve)
	l.at(5*time.Hour, reopen)
	if w := l.i.Proceedings().Working; len(w) > 0 {
		t.Errorf("it is said that %v work on it", w)
	}
	l.until(5*time.Hour + 25*time.Minute)
	l.hears("5h20m calling-tree: significant downtime; the calling tree is started", "5h20m calls calling-tree: significant downtime; the calling tree is started",
		"5h20m called on-call by ops (1 of 2) → ops")
}

// TestRestorationCorrected: the report that is due after it is one report. Correcting the
// time neither writes it nor makes it due again.
func TestRestorationCorrected(t *testing.T) {
	correct := func(minute int) func(e *incident.Edit) error {
		return func(e *incident.Edit) error {
			return e.Correct("ana", incident.Corrected{Restored: monday.Add(time.Duration(minute) * time.Minute)}, "")
		}
	}
	const name = "service-disruption-report"
	g := only(t, "itil-basic", name)
	l := begin(t, g, incident.Opening{}, monday)
	l.i.Level = "minor"
	l.at(time.Hour, resolve)
	l.at(2*time.Hour, correct(70))
	l.counts()
	if want := monday.Add(48*time.Hour + 70*time.Minute); !l.due.Equal(want) {
		t.Errorf("due at %s, want %s", l.due, want)
	}
	l.at(3*time.Hour, func(e *incident.Edit) error {
		base, _ := g.Base(e.Incident, name, e.Now())
		return e.Fulfil("ana", name, base, false, "")
	})
	l.at(4*time.Hour, correct(80))
	l.until(30 * 24 * time.Hour)
	l.hears()
	l.counts(name + " kept")
}

// TestUpdateOutWhenSigned: an update is heard when it is signed, not when it is written.
func TestUpdateOutWhenSigned(t *testing.T) {
	g := newGuide(t, contacts+`
profile: none
communication: [{audience: [management], signature: true}]
duties: [{name: status-update, on: [acknowledged, updated], after: 30m, every: 30m, while: [open], unless: [resolved]}]
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.at(time.Minute, acknowledge)
	l.at(5*time.Minute, publish)
	l.at(25*time.Minute, func(e *incident.Edit) error { return e.Sign("bo", 1, "") })
	l.until(80 * time.Minute)
	l.hears("55m status-update: status-update")
	l.counts("status-update kept", "status-update missed")
}

// TestStatusPageOfWhatReopens: the page says that it is over until somebody says otherwise.
func TestStatusPageOfWhatReopens(t *testing.T) {
	l := begin(t, only(t, "vshn-like", "status-page-impact"), incident.Opening{}, monday)
	public := func(e *incident.Edit) error {
		return e.Publish(incident.Update{By: "ana", What: "we look at it", Public: true}, "")
	}
	l.at(5*time.Minute, public)
	l.at(20*time.Minute, resolve)
	l.at(25*time.Minute, reopen)
	l.at(39*time.Minute, public)
	l.until(2 * time.Hour)
	l.hears("35m status-page-impact: a major impact for more than 10 minutes; update the status page (there is nobody to tell: [communications] has no receiver)")
	l.counts("status-page-impact kept", "status-page-impact missed")
}

// TestHoursAndAge: what waits for hours that come and go, and for a time that is far ahead.
func TestHoursAndAge(t *testing.T) {
	g := newGuide(t, "profile: none\nduties: [{name: old, while: [open, business_hours, age > 13d12h]}]\n", options())
	l := begin(t, g, incident.Opening{}, monday)
	l.until(60 * 24 * time.Hour)
	l.hears("13d23h old: old") // Monday, 2026-03-16, 09:00
}

// TestDoneThisTime: a status review that was held is due again, in step.
func TestDoneThisTime(t *testing.T) {
	say := func(g *Guide, name string, waive bool) func(e *incident.Edit) error {
		return func(e *incident.Edit) error {
			base, _ := g.Base(e.Incident, name, e.Now())
			return e.Fulfil("ana", name, base, waive, "said")
		}
	}
	g := newGuide(t, `profile: none
duties:
  - {name: review, on: [down], after: 2h, every: 2h, while: [open], text: hold it, do: {suggest: true}}
  - {name: update, after: 30m, every: 30m, while: [open], unless: [resolved], text: write it}
  - {name: weekly, after: 1 business day, every: 1 business day, while: [open], text: look}
  - {name: asked, after: 2h, every: 1h, while: [open], text: once, do: {require: resolve}}
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.at(2*time.Hour+30*time.Minute, say(g, "update", true))
	l.said, l.outcomes = nil, nil
	l.at(2*time.Hour+40*time.Minute, say(g, "review", false))
	l.at(2*time.Hour+41*time.Minute, say(g, "review", false))
	l.at(2*time.Hour+42*time.Minute, say(g, "weekly", false)) // before it is due
	l.at(2*time.Hour+43*time.Minute, say(g, "asked", false))
	for _, d := range g.Duties(l.i, monday.Add(3*time.Hour)) {
		if due := d.Due.Sub(monday); d.Name == "review" && (d.Outcome != "" || due != 4*time.Hour) || d.Name == "weekly" && due != 48*time.Hour {
			t.Errorf("ahead: got %+v, due after %s", d, due)
		}
	}
	l.until(8 * time.Hour)
	l.hears("4h review: hold it", "6h review: hold it", "8h review: hold it")
	l.counts("weekly kept")
	l.at(9*time.Hour, say(g, "review", true))
	l.until(50 * time.Hour)
	l.hears("2d weekly: look")
	l.counts()

	t.Run("what went out", func(t *testing.T) {
		g := only(t, "vshn-like", "status-update")
		l := begin(t, g, incident.Opening{}, monday)
		l.at(0, acknowledge)
		l.at(20*time.Minute, say(g, "status-update", false)) // in a chat
		l.at(70*time.Minute, publish)
		l.until(100 * time.Minute)
		const update = " status-update: write a status update: what happened, since when, the state, and whom to ask → desk"
		l.hears("1h"+update, "1h40m"+update)
		l.counts("status-update kept", "status-update missed")
	})
}

// TestClosedIsClosed: nobody is told every half hour of what is closed for the time that it
// is kept, but of what is to be done afterwards.
func TestClosedIsClosed(t *testing.T) {
	l := begin(t, newGuide(t, contacts+`profile: none
duties:
  - {name: look, after: 30m, every: 30m, text: look, do: {notify: [on-call]}}
  - {name: once, after: 3h, text: once, do: {notify: [on-call]}}
  - {name: lessons, on: [resolved], after: 2h, every: 2h, times: 2, unless: [lessons], text: say}
  - {name: restored, on: [restored], after: 2h, every: 3h, times: 2, unless: [lessons], text: say}
`, options()), incident.Opening{}, monday)
	l.at(40*time.Minute, resolve)
	l.at(70*time.Minute, shut)
	l.until(7 * 24 * time.Hour)
	l.hears("30m look: look → ops", "1h look: look → ops", "2h40m lessons: say", "2h40m restored: say", "3h once: once → ops", "4h40m lessons: say", "5h40m restored: say")
}
