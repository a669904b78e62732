package process

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// FuzzCondition: a text is refused or is a condition that answers, of whatever
// incident, and whose answer changes by itself in the future only.
func FuzzCondition(f *testing.F) {
	for _, seed := range append(Facts(), "not open", "customers > 1", "severity >= error", "recurrences(48h) >= 3", "age > 4h", "outage != 5d", "not not", "a=b", "service = 'x'") {
		f.Add(seed, int64(3600))
	}
	g, err := New(Config{}, options())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		if len(text) > 300 {
			return
		}
		c, err := parseCondition(text, g)
		if err != nil {
			return
		}
		now := monday.Add(time.Duration(seconds%(1<<30)) * time.Second)
		for _, i := range []*incident.Incident{{}, asked()} {
			v := g.view(i, now)
			c.hold(v)
			if c.turns == nil {
				continue
			}
			if at := c.turns(v); !at.IsZero() && !at.After(now) {
				t.Errorf("%q turns at %s, which is not after %s", text, at, now)
			}
		}
	})
}

// everything is a process with all there is, on top of a profile.
const everything = `
calendar: {timezone: Europe/Zurich, holidays: [2026-03-04], usage_hours: [{days: ['monday:saturday'], hours: ['06:00-22:00']}]}
contacts: [{name: on-call, receiver: ops}, {name: management, receiver: boss}, {name: support, receiver: desk}, {name: account-management, receiver: boss}]
tiers: [{name: L2}, {name: L3, contacts: [on-call]}]
chains: [{name: calling-tree, call: [on-call, management], wait: 5m, rounds: 2}]
duties:
  - {name: a, on: [opened, reopened], after: 7m, every: 13m, unless: [worked_on], do: {notify: [on-call], call: calling-tree}}
  - {name: b, on: [down], after: 90m, while: ["outage > 2h", usage_hours], do: {escalate: {to: L3, reason: complexity}}}
  - {name: c, on: [updated, contacted, next_contact], after: 30 business minutes, every: 1 business hour, times: 5, unless: [customer_told], do: {require: close}}
  - {name: d, on: [acknowledged], after: 1h, while: [acknowledged], unless: [worked_on], do: {unacknowledge: true}}
  - {name: e, on: [closed, resolved], after: 1 business day, every: 1 business day, times: 3, do: {raise: {severity: critical}}}
  - {name: f, on: [drafted], every: 1m, times: 3, unless: [updated]}
`

// FuzzReview lets people do anything, at any time, with jobs on time, late or done
// twice: it never panics, fires no duty twice for the same time, and is never due again
// at once without end.
func FuzzReview(f *testing.F) {
	for n := range uint64(40) {
		f.Add(n, n*7919, uint8(n))
	}
	var guides []*Guide
	for _, profile := range Profiles() {
		c := section(f, everything)
		c.Profile = profile
		o := options()
		o.Objectives = map[string]incident.Objectives{"P1": {Response: minutes(5), Resolution: minutes(60)}, "P3": {Response: minutes(30)}}
		g, err := New(c, o)
		if err != nil {
			f.Fatal(err)
		}
		guides = append(guides, g)
	}
	f.Fuzz(func(t *testing.T, a, b uint64, n uint8) {
		r := rand.New(rand.NewPCG(a, b))
		g := guides[int(n)%len(guides)]
		l := begin(t, g, incident.Opening{Class: incident.Classification{Severity: severities[r.IntN(len(severities))]}, Drill: r.IntN(9) == 0,
			StartedAt: monday.Add(-time.Duration(r.IntN(7200)) * time.Second)}, monday)
		fired := map[string]incident.Duty{}
		look := func(now time.Time) {
			for _, d := range l.i.Proceedings().Duties {
				was, known := fired[d.Name]
				fired[d.Name] = d
				same := known && was.Base.Equal(d.Base) && l.i.CycleOpenedAt.Equal(l.start)
				if same && d.Fired > was.Fired+1 || same && d.Fired > was.Fired && d.FiredAt.Equal(was.FiredAt) {
					t.Fatalf("%s fired twice at %s: %+v after %+v", d.Name, now, d, was)
				}
			}
			l.start = l.i.CycleOpenedAt
		}
		now := monday
		for range 25 + r.IntN(25) {
			now = now.Add(time.Duration(r.IntN(5)*r.IntN(3600)) * time.Second)
			for jobs := 0; !l.due.IsZero() && !l.due.After(now); jobs++ {
				at := l.due
				if r.IntN(3) == 0 {
					at = now // late
				}
				l.job(at)
				look(at)
				if jobs > 400 {
					t.Fatalf("the job is due again and again, at last at %s", at)
				}
			}
			if r.IntN(6) == 0 { // twice
				l.job(now)
				look(now)
				before := fmt.Sprintf("%+v", l.i.Proceedings().Duties)
				l.job(now)
				if again := fmt.Sprintf("%+v", l.i.Proceedings().Duties); before != again {
					t.Fatalf("at %s again: %s, was %s", now, again, before)
				}
			}
			e := l.policy.Change(l.i, now)
			if anything(r, e, now) == nil && e.Changed() {
				l.take(e, now)
				look(now)
			}
			g.Duties(l.i, now)
			for _, action := range []string{incident.ActionResolve, incident.ActionClose, incident.ActionEscalate} {
				g.Missing(l.i, action, now)
			}
		}
	})
}

// anything does something that people do.
func anything(r *rand.Rand, e *incident.Edit, now time.Time) error {
	who := []string{"ana", "bo", incident.System}[r.IntN(3)]
	some := now.Add(time.Duration(r.IntN(14400)-7200) * time.Second)
	switch r.IntN(20) {
	case 0:
		return e.Acknowledge(who, "")
	case 1:
		return e.Unacknowledge(who, "")
	case 2:
		return e.Resolve(who, "")
	case 3:
		return e.Close(who, "")
	case 4:
		return e.Reopen(who, "")
	case 5:
		return e.Assess(incident.Assessment{By: who, Impact: incident.Grades()[r.IntN(3)], Urgency: incident.Grades()[r.IntN(3)]}, "")
	case 6:
		return e.Publish(incident.Update{By: who, What: "news", Public: r.IntN(2) == 0}, "")
	case 7:
		return e.Escalate(who, []string{"L2", "L3", "L4"}[r.IntN(3)], "complexity", "")
	case 8:
		return e.Accept(who, "")
	case 9:
		return e.Answer(who, "")
	case 10:
		return e.Correct(who, incident.Corrected{WentDown: some}, "")
	case 11:
		return e.SetNextContact(who, some, "")
	case 12:
		return e.Contacted(incident.Contact{Who: "boss", Channel: "phone", By: who, Reached: r.IntN(2) == 0})
	case 13:
		return e.SetCustomers(who, []string{"x", "y", "z"}[:r.IntN(4)], "")
	case 14:
		return e.Plan(incident.Action{Text: "act", Owner: "support", Due: some, Kind: "process", By: who}, "")
	case 15:
		return e.Find(who, incident.Findings{Cause: "c", Solution: "s", Workaround: "w"}, "")
	case 16:
		return e.Work(who, "it", "")
	case 17:
		return e.Rest(who, "")
	case 18:
		return e.SetSeverity(who, severities[r.IntN(len(severities))], "")
	}
	names := []string{"a", "c", "f", "status-update", "response-objective"}
	return e.Fulfil(who, names[r.IntN(len(names))], now.Add(-time.Minute), r.IntN(2) == 0, "said")
}
