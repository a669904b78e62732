package process

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// chain is a Chain at work.
type chain struct {
	call   []string
	wait   time.Duration
	rounds int
}

// call goes on with the calling chains of an incident: who does not confirm is
// followed by the next. An acknowledgement by a person confirms too.
func (g *Guide) call(e *incident.Edit) {
	if len(e.Incident.Proceedings().Calls) == 0 {
		return
	}
	now := e.Now()
	p := e.Process()
	for n := range p.Calls {
		c := &p.Calls[n]
		if c.Over() {
			continue
		}
		// A tool that does not say who acknowledged there is nobody who confirms.
		if i := e.Incident; i.State == incident.Acknowledged && !i.AcknowledgedAt.Before(c.At) && !slices.Contains(i.Sources, i.AcknowledgedBy) {
			c.ConfirmedBy, c.ConfirmedAt = i.AcknowledgedBy, now
			continue
		}
		if !e.Incident.IsOpen() {
			c.Exhausted = true // it is over; nobody need be called any more
			continue
		}
		if !p.MergedInto.IsZero() {
			continue // who handles the other one is called about that
		}
		ch, ok := g.chains[c.Chain]
		switch {
		case g.callDue(p, c).After(now):
		case ok:
			g.callNext(e, c, ch)
		default:
			c.Exhausted = true
			e.Log(incident.System, "calling", "the calling chain "+c.Chain+" is not configured any more", 0)
		}
	}
}

// unknownChain is how long after its latest call a chain is given up that is not in the
// configuration: that of another gateway may have it, which goes on with it meanwhile.
const unknownChain = time.Hour

// callDue is when the next one is called: not before the end of a snooze, as nobody
// hears of a call in it.
func (g *Guide) callDue(p *incident.Process, c *incident.Call) time.Time {
	ch, ok := g.chains[c.Chain]
	if !ok {
		return latest(c.At, c.Last).Add(unknownChain)
	}
	due := c.At
	if c.Step > 0 {
		due = c.Last.Add(ch.wait)
	}
	if s := p.Snooze; s != nil {
		due = latest(due, s.Until)
	}
	return due
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// callNext calls the next one who can be reached. If nobody can, the next round
// waits: a rota may have somebody by then.
func (g *Guide) callNext(e *incident.Edit, c *incident.Call, ch chain) {
	for tried := 0; c.Step < ch.rounds*len(ch.call); tried++ {
		if tried == len(ch.call) {
			c.Last = e.Now()
			return
		}
		who := ch.call[c.Step%len(ch.call)]
		c.Step++
		receivers := g.reach(who, e.Now())
		if len(receivers) == 0 {
			e.Log(incident.System, "calling", who+" cannot be reached: there is nobody, or no receiver", 0)
			continue
		}
		c.Last = e.Now()
		if len(c.Called) < 50 {
			c.Called = append(c.Called, who)
		}
		why := fmt.Sprintf("you are called: acknowledge it, or %s is called in %s", g.following(c, ch), ch.wait)
		for _, r := range receivers {
			e.CallIn(r, why, "")
		}
		e.LogFor(incident.System, "calling", fmt.Sprintf("called %s by %s (%d of %d)", who, strings.Join(receivers, ", "), c.Step, ch.rounds*len(ch.call)), receivers)
		return
	}
	c.Exhausted = true
	e.Log(incident.System, "calling", "nobody of "+c.Chain+" has answered", 0)
	e.Outcome(unansweredChain, incident.DutyMissed)
}

// following is who is called after the one that is being called.
func (g *Guide) following(c *incident.Call, ch chain) string {
	if c.Step < ch.rounds*len(ch.call) {
		return ch.call[c.Step%len(ch.call)]
	}
	return "nobody"
}

// nextCall is when the next one is called, zero if nobody is.
func (g *Guide) nextCall(p *incident.Process) time.Time {
	var next time.Time
	if !p.MergedInto.IsZero() {
		return next
	}
	for n := range p.Calls {
		if c := &p.Calls[n]; !c.Over() {
			next = earlier(next, g.callDue(p, c))
		}
	}
	return next
}

// remind reminds the owners of actions that are not done in time.
func (g *Guide) remind(e *incident.Edit) {
	now := e.Now()
	for n, a := range e.Incident.Proceedings().Actions {
		if !reminds(e.Incident, &a) || a.Due.After(now) {
			continue
		}
		e.Process().Actions[n].Reminded = now
		word := "action"
		if a.IsTask() {
			word = incident.ActionTask
		}
		text := fmt.Sprintf("%s %d of %s is overdue: %s", word, a.ID, a.Owner, a.Text)
		receivers := g.reach(a.Owner, now)
		for _, r := range receivers {
			e.CallIn(r, text, "")
		}
		e.LogFor(incident.System, "action_overdue", text, receivers)
		if !a.IsTask() {
			e.Outcome(overdueAction, incident.DutyMissed)
		}
	}
}

// reminds reports whether the owner of an action is still to be reminded of it. A
// task is of no use when the incident is over.
func reminds(i *incident.Incident, a *incident.Action) bool {
	return a.DoneAt.IsZero() && a.Reminded.IsZero() && !a.Due.IsZero() && (!a.IsTask() || i.IsOpen())
}

// nextReminder is when the next action is overdue.
func nextReminder(i *incident.Incident) time.Time {
	var next time.Time
	for _, a := range i.Proceedings().Actions {
		if reminds(i, &a) {
			next = earlier(next, a.Due)
		}
	}
	return next
}
