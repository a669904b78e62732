package process

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
)

// Duty is something that is to be done about an incident by a time, or that
// happens at it.
type Duty struct {
	Name string `yaml:"name"`
	// Disabled takes a duty of the profile away.
	Disabled bool `yaml:"disabled"`
	// Path is that of the incidents that it concerns; empty is those that are on none.
	Path string `yaml:"path"`
	// Match are matchers on the incident, in Alertmanager's syntax; empty is every one.
	Match []string `yaml:"match"`
	// On are the events that it counts from, the latest of them; default opened.
	On []string `yaml:"on"`
	// After is how long after that it is due, and Every after how long again, at most
	// Times times (default: once, and without end if there is Every).
	After string `yaml:"after"`
	Every string `yaml:"every"`
	Times int    `yaml:"times"`
	// While are conditions all of which have to hold when it is due; else nothing
	// happens. Unless are conditions any of which means that it is done.
	While  []string `yaml:"while"`
	Unless []string `yaml:"unless"`
	// Text says what is to be done.
	Text string `yaml:"text"`
	Do   Do     `yaml:"do"`
}

// Do is what happens when a duty is due and not done.
type Do struct {
	// Notify are contacts, rotas and receivers that hear of it.
	Notify []string `yaml:"notify"`
	// Webhook is a receiver that something is run by.
	Webhook string `yaml:"webhook"`
	// Detail is how much they are told: full (the default), summary or public.
	Detail string `yaml:"detail"`
	// Call is a calling chain that is started.
	Call string `yaml:"call"`
	// Escalate hands the incident to another support level.
	Escalate Escalate `yaml:"escalate"`
	// Raise makes the incident worse.
	Raise Raise `yaml:"raise"`
	// Suggest: people are shown the text as a suggestion, and are not asked for it.
	Suggest bool `yaml:"suggest"`
	// Require holds back an action (resolve, close, escalate) until the duty is done.
	Require string `yaml:"require"`
	// Unacknowledge takes the acknowledgement back: nobody works on it any more.
	Unacknowledge bool `yaml:"unacknowledge"`
}

// Escalate is to whom, and why: a reason of incident.Reasons.
type Escalate struct {
	To     string `yaml:"to"`
	Reason string `yaml:"reason"`
}

// Raise is what is raised.
type Raise struct {
	Severity string `yaml:"severity"`
	Level    string `yaml:"level"`
}

// duty is a Duty at work.
type duty struct {
	name, text    string
	path          string
	match         labels.Matchers
	on            []event
	after, every  delay
	times         int
	while, unless []condition
	do            Do
	// deadline: people have to do it in time. Otherwise it does something by itself.
	deadline bool
	// ends: once it is done it is over for the cycle, although nobody has to do it.
	ends bool
	// anew are when what ends it was taken back: it counts from then on.
	anew []func(p *incident.Process) time.Time
	// objective counts whether an objective was met, with this prefix; usually empty.
	objective string
	// of makes the delay depend on the incident, for objectives.
	of func(v view) time.Duration
}

// state is where a duty stands for an incident.
type state struct {
	// base is what it counts from, zero if that has not happened; once: that happens once
	// in a cycle.
	base time.Time
	once bool
	// applies: it matches, and its conditions hold when it is due, or now if that is
	// over. done: an Unless holds then, or somebody said so.
	applies, done bool
	rec           incident.Duty
	// again: a person has done it, this time.
	again bool
	// due is when it fires next, zero if it does no more.
	due time.Time
}

func (s *state) pending() bool { return s.applies && !s.done && !s.due.IsZero() }

// waits reports whether somebody still has to do it, also if it fires no more.
func (s *state) waits() bool { return s.applies && !s.done && (!s.due.IsZero() || s.rec.Fired > 0) }

// stand looks where d stands.
func (g *Guide) stand(d *duty, v view) state {
	var s state
	s.base, s.once = d.base(v.i, v.p)
	// What is a part of another incident is handled there.
	if s.base.IsZero() || !v.p.MergedInto.IsZero() || d.of == nil && d.path != g.path(v.i) || !match.Of(v.i).All(d.match) {
		return s
	}
	known := s.base
	if s.once {
		known = time.Time{} // whatever it counted from
	}
	if s.rec = v.p.Duty(d.name, known); s.rec.Base.IsZero() {
		s.rec.Base = s.base
	}
	s.again = d.isAgain() && s.rec.By != "" && (s.rec.Outcome == incident.DutyKept || s.rec.Outcome == incident.DutyMissed)
	s.due = d.next(g, v, &s)
	d.ask(v, &s)
	return s
}

// isAgain reports whether it is to be done again and again, not asked for until it is done.
func (d *duty) isAgain() bool { return !d.every.isZero() && d.times == 0 && d.do.Require == "" }

// turnsAtMost is how many changes of conditions ahead are looked at.
const turnsAtMost = 16

// ask asks the conditions of d as they will be when it is due, if nothing happens
// to the incident until then. If those of While do not hold then, but will because
// time passes, such as in usage hours, it is due when they do.
func (d *duty) ask(v view, s *state) {
	if s.due.After(v.now) {
		v.now = s.due
	}
	s.applies = all(d.while, v)
	s.done = s.rec.Outcome != "" && !s.again || anyOf(d.unless, v)
	for n := 0; n < turnsAtMost && !s.applies && !s.done && !s.due.IsZero(); n++ {
		if v.now = turn(d.while, v); v.now.IsZero() {
			return
		}
		if s.done = anyOf(d.unless, v); all(d.while, v) {
			s.applies, s.due = true, v.now
		}
	}
}

// base is the latest of the events that d counts from, in this cycle, and whether that
// happens once in it.
func (d *duty) base(i *incident.Incident, p *incident.Process) (base time.Time, once bool) {
	for n := range d.on {
		at := d.on[n].at(i, p)
		if !d.on[n].earlier && at.Before(i.CycleOpenedAt) {
			continue
		}
		if at.After(base) {
			base, once = at, d.on[n].once
		}
	}
	if base.IsZero() {
		return base, once
	}
	for _, back := range d.anew {
		if at := back(p); at.After(base) && !at.Before(i.CycleOpenedAt) {
			base, once = at, false
		}
	}
	return base, once
}

// next is when d fires next.
func (d *duty) next(g *Guide, v view, s *state) time.Time {
	due, after := d.first(g, v, s.base), s.rec.FiredAt
	switch {
	case due.IsZero():
		return due
	case s.again: // the first, too, if it was done before that
		after = latest(latest(after, s.rec.At), due)
	case s.rec.Fired == 0:
		return due
	case d.times > 0 && s.rec.Fired >= d.times, d.every.isZero(), v.i.State == incident.Closed && !d.isAfterwards(v, s.base):
		return time.Time{}
	}
	if d.every.clock > 0 {
		// In step with the first, however late the latest was.
		if passed := after.Sub(due); passed >= 0 {
			due = due.Add((passed/d.every.clock + 1) * d.every.clock)
		}
		return due
	}
	for range stepsAtMost {
		if due = d.every.after(due, g.calendar); due.After(after) {
			return due
		}
	}
	return d.every.after(after, g.calendar)
}

// isAfterwards reports whether d is about what is to be done when an incident is over.
func (d *duty) isAfterwards(v view, base time.Time) bool {
	return !base.Before(v.i.ResolvedAt) || slices.ContainsFunc(d.on, func(e event) bool { return e.name == "resolved" || e.name == "restored" })
}

// stepsAtMost bounds the business time that a late job is caught up with in step.
const stepsAtMost = 200

func (d *duty) first(g *Guide, v view, base time.Time) time.Time {
	if d.of != nil {
		wait := d.of(v)
		if wait <= 0 {
			return time.Time{}
		}
		return base.Add(wait)
	}
	return d.after.after(base, g.calendar)
}

// Review implements incident.Guide.
func (g *Guide) Review(e *incident.Edit) {
	now := e.Now()
	if e.Before() == nil && len(g.tiers) > 0 && e.Process().Tier == "" {
		e.Process().Tier = g.tiers[0].Name
	}
	g.instruct(e)
	var l looks
	if before := e.Before(); before != nil {
		l.was = g.view(before, now)
		l.armed = earlier(g.nextCall(l.was.p), nextReminder(before))
	}
	// What one brings can be what another waited for.
	fired := false
	for pass := 0; pass < passesAtMost && g.pass(e, &l, pass == 0); pass++ {
		fired = true
	}
	if p := e.Incident.Proceedings(); fired || len(p.Calls)+len(p.Actions) > 0 {
		g.call(e)
		g.remind(e)
		l.next = g.Due(e.Incident, now)
	}
	if !l.next.IsZero() && !l.next.Equal(l.armed) {
		e.ArmDuty(l.next)
	}
}

// instruct links what to know on call of its service, and of the customers that it
// affects: at first those of the service.
func (g *Guide) instruct(e *incident.Edit) {
	s := g.services[e.Incident.Service]
	if s.Instructions != "" {
		if err := e.AddLink(incident.System, incident.Link{Name: "instructions of " + e.Incident.Service, URL: s.Instructions}, ""); err != nil {
			return // it has as many links as it can have
		}
	}
	if p := e.Incident.Proceedings(); e.Before() == nil && len(s.Customers) > 0 && p.Customer == "" && len(p.Customers) == 0 {
		if err := e.SetCustomers(incident.System, s.Customers, "they use "+e.Incident.Service); err != nil {
			return // unreachable: it is open, and the catalogue is bounded
		}
	}
	p := e.Incident.Proceedings()
	for _, name := range append(slices.Clip(p.Customers), p.Customer) {
		c := g.customers[name]
		if c.Instructions == "" {
			continue
		}
		if err := e.AddLink(incident.System, incident.Link{Name: "instructions of " + name, URL: c.Instructions}, ""); err != nil {
			return // it has as many links as it can have
		}
	}
}

// looks is what one review of all duties sees.
type looks struct {
	// was is the incident before the edit, without one if it is new.
	was view
	// armed is when it had to be looked at before the edit, and next when it has to be
	// now; that holds as long as none fires.
	armed, next time.Time
}

// onlyRaises reports whether nothing else happens.
func (d *Do) onlyRaises() bool {
	others := *d
	others.Raise = Raise{}
	return d.Raise != (Raise{}) && !others.does() && d.Require == ""
}

// passesAtMost bounds how often all duties are looked at in one edit; what is due
// after that is done by the job, at once.
const passesAtMost = 4

// pass looks at each duty once, the first time also at what became of those that
// were to be done before; it reports whether any has fired.
func (g *Guide) pass(e *incident.Edit, l *looks, first bool) (fired bool) {
	now := e.Now()
	for n := range g.duties {
		d := &g.duties[n]
		s := g.stand(d, g.view(e.Incident, now))
		if first && l.was.i != nil {
			b := g.stand(d, l.was)
			if b.pending() {
				l.armed = earlier(l.armed, b.due)
			}
			// What a cycle that is over has left undone, nobody does in the next.
			if b.waits() && l.was.i.CycleOpenedAt.Equal(e.Incident.CycleOpenedAt) {
				g.settle(e, d, &b, &s)
			}
		}
		if !s.pending() {
			continue
		}
		if l.next = earlier(l.next, s.due); !s.due.After(now) {
			g.fire(e, d, &s)
			fired = true
		}
	}
	return fired
}

// settle notes what became of a duty that was pending and is no longer: it was
// kept, or done too late.
func (g *Guide) settle(e *incident.Edit, d *duty, was, is *state) {
	moved := is.base.After(was.base) && !is.once
	if !d.deadline && !d.ends || !is.done && !moved {
		return
	}
	late := was.rec.Fired > 0
	if was.again {
		return // it was counted when it was done
	}
	if is.rec.Outcome != "" {
		return // a person said so, which has been counted
	}
	switch {
	case !d.deadline || late: // there is nothing to count, or it was
	case was.due.Before(e.Now()):
		late = true
		e.Outcome(d.name, incident.DutyMissed)
		e.Log(incident.System, "duty_missed", d.name+": done "+round(e.Now().Sub(was.due))+" late", 0)
		g.count(e, d, "missed")
	default:
		e.Outcome(d.name, incident.DutyKept)
		g.count(e, d, "met")
	}
	if !moved {
		rec := was.rec
		rec.Name, rec.At, rec.Outcome = d.name, e.Now(), incident.DutyKept
		if late {
			rec.Outcome = incident.DutyMissed
		}
		e.SetDuty(rec)
	}
}

// count adds to the stored counter of an objective.
func (g *Guide) count(e *incident.Edit, d *duty, result string) {
	if d.objective != "" {
		e.Count(d.objective + "_objective_" + result + "_total")
	}
}

func round(d time.Duration) string {
	return model.Duration(max(d.Round(time.Second), time.Second)).String()
}

// fire does what a duty that is due and not done brings. That it did is written
// down with it, so that it happens once.
func (g *Guide) fire(e *incident.Edit, d *duty, s *state) {
	rec := s.rec
	rec.Name, rec.Base = d.name, s.base
	rec.Fired++
	rec.FiredAt = e.Now()
	if s.again {
		rec.Outcome, rec.By, rec.At = "", "", time.Time{}
	} else if rec.Fired == 1 {
		outcome := incident.DutyFired
		if d.deadline {
			outcome = incident.DutyMissed
			g.count(e, d, "missed")
		}
		e.Outcome(d.name, outcome)
	}
	e.SetDuty(rec)
	text := cmp.Or(d.text, d.name)
	action := "duty"
	if d.do.Suggest {
		action = "suggested"
	}
	notify := g.reachFor(d.do.Notify, e.Incident, e.Now())
	if d.do.Webhook != "" {
		notify = append(notify, d.do.Webhook)
	}
	detail := d.do.Detail
	if detail == "full" {
		detail = ""
	}
	for _, r := range notify {
		e.CallIn(r, text, detail)
	}
	said := d.name + ": " + text
	if len(d.do.Notify) > 0 && len(notify) == 0 {
		said += fmt.Sprintf(" (there is nobody to tell: %v has no receiver)", d.do.Notify)
	}
	switch {
	case len(notify) > 0:
		e.LogFor(incident.System, action, said, notify)
	case d.do.onlyRaises(): // what is raised says so itself
	default:
		e.Log(incident.System, action, said, 0)
	}
	if r := d.do.Raise; r != (Raise{}) {
		if r.Severity != "" {
			e.RaiseSeverity(r.Severity, text)
		}
		if r.Level != "" {
			e.RaiseLevel(r.Level, text)
		}
	}
	if x := d.do.Escalate; x.To != "" {
		if err := e.Escalate(incident.System, x.To, x.Reason, d.name); err != nil {
			e.Log(incident.System, "duty", d.name+": "+err.Error(), 0)
		}
	}
	if d.do.Call != "" {
		e.StartCall(incident.System, d.do.Call, text)
	}
	if d.do.Unacknowledge && e.Incident.State == incident.Acknowledged {
		if err := e.Unacknowledge(incident.System, d.name); err != nil {
			e.Log(incident.System, "duty", d.name+": "+err.Error(), 0) // unreachable: it is acknowledged
		}
	}
}

// Due is when the process has to look at an incident again, zero if never.
func (g *Guide) Due(i *incident.Incident, now time.Time) time.Time {
	var next time.Time
	v := g.view(i, now)
	for n := range g.duties {
		if s := g.stand(&g.duties[n], v); s.pending() {
			next = earlier(next, s.due)
		}
	}
	next = earlier(next, g.nextCall(v.p))
	return earlier(next, nextReminder(i))
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Base is what a duty of an incident counts from; ok is false if the incident has
// no duty of that name now.
func (g *Guide) Base(i *incident.Incident, name string, now time.Time) (base time.Time, ok bool) {
	for n := range g.duties {
		if d := &g.duties[n]; d.name == name {
			s := g.stand(d, g.view(i, now))
			return s.rec.Base, !s.rec.Base.IsZero()
		}
	}
	return time.Time{}, false
}

// IsObjective reports whether a duty is one of the objectives, which are measured:
// nobody can say that one was met, or does not count.
func (g *Guide) IsObjective(name string) bool {
	return slices.ContainsFunc(g.duties, func(d duty) bool { return d.name == name && d.objective != "" })
}

// Next is a duty of an incident as people see it.
type Next struct {
	Name, Text string
	// Due is when, zero if it is not due any more.
	Due time.Time
	// Fired is how often it was due and not done.
	Fired int
	// Outcome is kept, missed or waived, empty while it is to be done; By did it at At.
	Outcome, By string
	At          time.Time
	// Deadline: people have to do it by then; otherwise something happens by itself.
	Deadline bool
	// Objective: nobody can say that it is done.
	Objective bool
	// Missed is when a deadline was due the last time that still has to be met; zero if
	// it is due again, or nobody has to any more.
	Missed time.Time
}

// Duties are those of an incident that are to come, the next first, and then those
// that are over.
func (g *Guide) Duties(i *incident.Incident, now time.Time) []Next {
	v := g.view(i, now)
	var ahead, over []Next
	for n := range g.duties {
		d := &g.duties[n]
		s := g.stand(d, v)
		next := Next{Name: d.name, Text: cmp.Or(d.text, d.name), Fired: s.rec.Fired, Outcome: s.rec.Outcome, By: s.rec.By, At: s.rec.At, Deadline: d.deadline, Objective: d.objective != ""}
		switch {
		case s.pending():
			if next.Due = s.due; s.again {
				next.Outcome, next.By, next.At = "", "", time.Time{}
			}
			ahead = append(ahead, next)
		case s.rec.Fired > 0 || s.rec.Outcome != "":
			if d.deadline && s.waits() {
				next.Missed = s.rec.FiredAt
			}
			over = append(over, next)
		}
	}
	slices.SortStableFunc(ahead, func(a, b Next) int { return a.Due.Compare(b.Due) })
	return append(ahead, over...)
}
