package report_test

import (
	"testing"
	"time"
	_ "time/tzdata" // on any machine

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

// night is when the incidents of the tests begin.
var night = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// zurich is an hour ahead of UTC in November.
var zurich = func() *time.Location {
	z, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		panic(err)
	}
	return z
}()

// signs wants every public update to be signed.
type signs struct{}

func (signs) Review(*incident.Edit) {}
func (signs) Missing(*incident.Incident, string, time.Time) []incident.Requirement {
	return nil
}
func (signs) NeedsSignature(_ *incident.Incident, u *incident.Update) bool { return u.Public }

var policy = incident.Policy{Severities: incident.Scale{"critical", "error", "warning", "info"}, Matrix: incident.DefaultMatrix(), Guide: signs{}}

// life is an incident on its way, changed as the gateway changes them.
type life struct {
	t        *testing.T
	incident *incident.Incident
	timeline []incident.TimelineEntry
}

// begin opens an incident in the morning of the tests.
func begin(t *testing.T, reference string, o incident.Opening, members ...*alert.Alert) *life {
	t.Helper()
	id := incident.ID{15: byte(len(reference))}
	copy(id[:], reference)
	o.ID = id
	copy(o.Key[:], o.Title)
	l := &life{t: t}
	e := policy.Open(o, night)
	for _, a := range members {
		e.Join(incident.Member{Alert: a, Class: o.Class}, false)
		e.Incident.Occurrences += 12
	}
	l.take(e)
	l.incident.Reference = reference
	return l
}

func (l *life) take(e *incident.Edit) {
	var next incident.Next
	e.Into(&next)
	l.incident, l.timeline = next.Incidents[0], append(l.timeline, next.Timeline...)
}

// after changes the incident so long after it began.
func (l *life) after(d time.Duration, changes ...func(e *incident.Edit) error) {
	l.t.Helper()
	e := policy.Change(l.incident, night.Add(d))
	for _, change := range changes {
		if err := change(e); err != nil {
			l.t.Fatal(err)
		}
	}
	l.take(e)
}

func firing(name, host string, since time.Duration) *alert.Alert {
	return &alert.Alert{Status: alert.Firing, Source: "alertmanager", StartsAt: night.Add(since),
		Labels: alert.FromMap(map[string]string{"alertname": name, "instance": host, "severity": "critical"})}
}

type edit = incident.Edit

// shop is an incident with everything that the process knows.
func shop(t *testing.T) report.Case {
	t.Helper()
	l := begin(t, "INC-20261121-7KQ2", incident.Opening{Title: "Checkout of the shop fails", Rule: "default", By: incident.System, StartedAt: night.Add(-4 * time.Minute),
		Class: incident.Classification{Severity: "critical", Service: "shop", Team: "platform", Category: "software", Runbook: "https://wiki.example/shop"}},
		firing("CheckoutErrors", "web-1", -4*time.Minute), firing("CheckoutErrors", "web-2", -3*time.Minute))
	const m = time.Minute
	l.after(3*m, func(e *edit) error { return e.Acknowledge("ann", "on it") })
	l.after(6*m, func(e *edit) error {
		return e.Assess(incident.Assessment{By: "ann", Impact: "high", Urgency: "high", Observations: "every second payment answers 502"}, "")
	}, func(e *edit) error { return e.SetCustomers("ann", []string{"Acme", "Globex"}, "") })
	l.after(8*m, func(e *edit) error { return e.Work("ann", "the database") }, func(e *edit) error { return e.Work("bob", "the load balancer") },
		func(e *edit) error { return e.Assign("ann", incident.RoleCommunications, "Carla", "") })
	l.after(9*m, func(e *edit) error {
		return e.AddLink("bob", incident.Link{Name: "logs", URL: "https://logs.example/q?service=shop&from=03:00"})
	})
	l.after(12*m, func(e *edit) error {
		return e.Contacted(incident.Contact{Who: "Dora, shop owner", Channel: "phone", By: "Carla", Reached: true, Note: "asks for a forecast"})
	}, func(e *edit) error {
		return e.Contacted(incident.Contact{Who: "Head of IT", Channel: "phone", By: "Carla", Note: "voice mail"})
	}, func(e *edit) error { return e.SetNextContact("Carla", night.Add(42*m), "") })
	l.after(15*m, func(e *edit) error { return e.Suspect("bob", "the new load balancer", incident.CauseOpen, "") },
		func(e *edit) error { return e.Suspect("ann", "connection pool too small", incident.CauseOpen, "") },
		func(e *edit) error { return e.Suspect("ann", "a certificate that ran out", incident.CauseOpen, "") })
	l.after(20*m, func(e *edit) error {
		return e.Publish(incident.Update{By: "Carla", Phase: incident.Investigating, What: "Some payments fail.", Analysis: "The database refuses connections.", Forecast: "about an hour", Restoration: night.Add(80 * m), Contact: "hotline"}, "")
	})
	l.after(25*m, func(e *edit) error {
		return e.Suspect("bob", "the new load balancer", incident.CauseRuledOut, "same errors behind it")
	},
		func(e *edit) error {
			return e.Escalate("ann", "L3", incident.ReasonComplexity, "the pool is set in code", []string{"dba"})
		})
	l.after(31*m, func(e *edit) error { return e.Accept("eve", "in the meeting") })
	l.after(40*m, func(e *edit) error { return e.Note("bob", "restarted web-1 before we knew", night.Add(2*m)) })
	l.after(50*m, func(e *edit) error { return e.Suspect("eve", "connection pool too small", incident.CauseVerified, "") },
		func(e *edit) error {
			return e.Find("eve", incident.Findings{Workaround: "half of the workers are off", Cause: "the pool of connections had 20 places for 40 workers",
				Whys: []string{"payments answered 502", "workers waited for a connection", "the pool was not raised with the workers"}}, "")
		})
	l.after(55*m, func(e *edit) error {
		return e.Publish(incident.Update{By: "Carla", Public: true, Phase: incident.Mitigating, What: "Payments work again, slower.", Progress: "half of the workers are off"}, "")
	})
	return report.Case{Incident: l.incident, Timeline: l.timeline, Owner: "Dora Dee, dora@shop.example",
		Alerts:  []report.Alert{{Name: "CheckoutErrors", Host: "web-1", Severity: "critical", Summary: "5 % of payments fail", URL: "https://prometheus.example/graph?g0=1", Since: night.Add(-4 * m)}},
		Duties:  []report.Duty{{Name: "status_update", Due: night.Add(85 * m), Text: "write a status update"}, {Name: "call_management", Due: night.Add(50 * m), Text: "call the next level of management"}},
		Similar: []report.Similar{{Reference: "INC-20261003-2AB1", Title: "Checkout of the shop fails", State: "closed", OpenedAt: night.AddDate(0, -1, -18), Outage: 47 * m, Over: true, Why: "the same problem", Cause: "a full disk", Solution: "a larger one"}}}
}

// shopOver is how the incident of the shop ended.
func shopOver(t *testing.T) report.Case {
	t.Helper()
	c := shop(t)
	l := &life{t: t, incident: c.Incident, timeline: c.Timeline}
	const m = time.Minute
	l.after(58*m, func(e *edit) error { return e.Sign("fred", 2, "") })
	l.after(74*m, func(e *edit) error {
		e.Leave("critical", night.Add(73*m))
		e.Leave("critical", night.Add(74*m))
		return nil
	})
	l.after(75*m, func(e *edit) error {
		return e.Find("eve", incident.Findings{Solution: "the pool has 60 places", Fix: "the pool follows the number of workers", Systems: "web shop, payment API", Populations: "about 1,200 customers of the shop",
			Symptoms: "every second payment answered 502", Financial: "about CHF 8,000 of sales", Reputational: "two complaints", Operational: "the support line was busy for an hour",
			Lessons: "limits belong beside what they limit", Recommendations: "alert on waiting connections", Recurrence: "no, once the fix is out", Detection: "4 minutes; the queue would have shown it sooner",
			Communication: "good after the first half hour", FollowUp: "https://tickets.example/OPS-41"}, "")
	}, func(e *edit) error { return e.RemoveWorkaround("eve", "") })
	l.after(80*m, func(e *edit) error { return e.Confirm("Carla", "Acme", "payments look good") },
		func(e *edit) error { return e.ToldRestored("Carla", "Dora, shop owner") },
		func(e *edit) error {
			return e.Correct("ann", incident.Corrected{WentDown: night.Add(-7 * m), Restored: night.Add(74 * m)}, "from the access log")
		})
	l.after(82*m, func(e *edit) error { return e.Resolve("eve", "") })
	l.after(90*m, func(e *edit) error {
		return e.Plan(incident.Action{Text: "alert on waiting connections", Owner: "bob", Due: night.AddDate(0, 0, 7), Kind: "corrective", By: "ann"})
	}, func(e *edit) error {
		return e.Plan(incident.Action{Text: "show the calling tree to new people", Owner: "Carla", Due: night.AddDate(0, 0, 2), Kind: "training", By: "ann"})
	})
	l.after(26*time.Hour, func(e *edit) error { return e.Complete("bob", 1, "") }, func(e *edit) error { return e.Close("ann", "") })
	l.incident.Process.Duties = []incident.Duty{{Name: "status_update", Base: night, Fired: 1, Outcome: incident.DutyMissed}, {Name: "assessment", Base: night, Outcome: incident.DutyKept}}
	c.Incident, c.Timeline, c.Alerts, c.Duties = l.incident, l.timeline, nil, nil
	return c
}

// bare is an incident of which nobody said anything.
func bare(t *testing.T) report.Case {
	t.Helper()
	l := begin(t, "INC-20261121-0001", incident.Opening{Title: "DiskFull", Rule: "default", By: incident.System, Class: incident.Classification{Severity: "warning"}}, firing("DiskFull", "", 0))
	return report.Case{Incident: l.incident, Timeline: l.timeline, NoProcess: true}
}

// month is a month with the incidents above, an exercise and a child.
func month(t *testing.T) report.Month {
	t.Helper()
	drill := begin(t, "INC-20261121-0DR1", incident.Opening{Title: "Exercise: the lake is gone", By: "ann", Drill: true, Class: incident.Classification{Severity: "critical"}})
	child := begin(t, "INC-20261121-0CH1", incident.Opening{Title: "Checkout for Acme fails", By: incident.System, Class: incident.Classification{Severity: "critical"}})
	over := shopOver(t).Incident
	child.incident.Parent = over.ID
	quick := begin(t, "INC-20261121-0Q11", incident.Opening{Title: "Queue is long", Rule: "default", By: incident.System, StartedAt: night.Add(-time.Minute), Class: incident.Classification{Severity: "warning", Service: "mail"}}, firing("QueueLong", "mx-1", -time.Minute))
	quick.after(5*time.Minute, func(e *edit) error { return e.Resolve(incident.System, "") })
	quick.after(9*time.Minute, func(e *edit) error { return e.Reopen(incident.System, "fires again") })
	quick.after(30*time.Minute, func(e *edit) error { return e.Resolve(incident.System, "") })
	quick.incident.FlappingUntil = night.Add(40 * time.Minute)
	quick.incident.Process = &incident.Process{Openings: []time.Time{night.AddDate(0, 0, -3)}}
	return report.Month{From: time.Date(2026, 11, 1, 0, 0, 0, 0, zurich), To: time.Date(2026, 12, 1, 0, 0, 0, 0, zurich),
		Incidents:     []*incident.Incident{bare(t).Incident, drill.incident, over, child.incident, quick.incident},
		Objectives:    map[string]report.Objectives{"P1": {Response: 5 * time.Minute, Resolution: time.Hour}, "P3": {Response: time.Hour, Resolution: 8 * time.Hour}, "P4": {Response: 4 * time.Hour}},
		Communication: []string{"status_update"},
		Silences:      []report.Silence{{What: `alertname="QueueLong"`, By: "bob", Comment: "being rebuilt", From: night, To: night.Add(2 * time.Hour), Hid: []string{"INC-20261121-0Q11"}, More: 2}},
		LeftOut:       []string{"The month has more than 4 incidents; the oldest are left out."}}
}

// watch is what a shift leaves to the next.
func watch(t *testing.T) report.Watch {
	t.Helper()
	s, b := shop(t), bare(t)
	drill := begin(t, "INC-20261121-0DR1", incident.Opening{Title: "Exercise: the lake is gone", By: "ann", Drill: true, Class: incident.Classification{Severity: "critical", Impact: "high", Urgency: "high"}})
	w := report.Watch{Since: night.Add(-8 * time.Hour), Open: []*incident.Incident{b.Incident, drill.incident, s.Incident},
		Hidden: []report.Hidden{{Incident: b.Incident, By: "silence", Text: "disks are being replaced", Until: night.Add(3 * time.Hour)}}}
	for _, d := range s.Duties {
		w.Duties = append(w.Duties, report.Due{Incident: s.Incident, Duty: d})
	}
	for _, e := range s.Timeline {
		w.Happened = append(w.Happened, report.Event{Incident: s.Incident, Entry: e})
	}
	for _, e := range b.Timeline {
		w.Happened = append(w.Happened, report.Event{Incident: b.Incident, Entry: e})
	}
	return w
}
