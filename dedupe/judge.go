package dedupe

import (
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Event is one alert on its way to its key.
type Event struct {
	Alert       *alert.Alert
	Fingerprint alert.Fingerprint
	Generation  incident.Generation
	Content     uint64
	// Class may be nil where Alert is. It is shared and not changed.
	Class *incident.Classification
	// Expiry: nobody sent this; the alert's validity ran out. Alert is nil.
	Expiry bool
	// Moved: the alert fires under another key now. Alert is nil.
	Moved bool
	// KnownOnly: the event may not begin anything here, because an older
	// generation of the configuration put it here, or a rule suppresses it.
	KnownOnly bool
}

// Judgement says what an event means for one alert.
type Judgement struct {
	// Verdict is Opened for a firing that begins an episode (which incident takes
	// it is decided later), or Updated, ResolvedAlert, Duplicate, Stale or Recorded.
	Verdict alert.Verdict
	// Entry is what is known afterwards.
	Entry incident.Entry
	// Write: more than counts and validity changed.
	Write bool
}

// Judge compares ev with what is known of its alert.
//
// Whether the alert fires afterwards does not depend on the order in which its
// messages came: it does if the latest start said is after the latest end said.
// Three things bend that rule, each towards an alarm too many rather than too
// few: a time in the sender's future counts as now; a firing that comes later
// than the late window after the end is meant, even if its start is old (an
// Alertmanager that lost its Prometheus for a while resolves and then sends the
// old start again); and an end that only we inferred is undone by any firing.
func (p *Policy) Judge(known incident.Entry, ev *Event, now time.Time) Judgement {
	j := judging{e: &known, room: &times{}}
	p.judge(&j, ev, now)
	return Judgement{Verdict: j.Verdict, Entry: known, Write: j.Write}
}

// judging is a Judgement on its way. What is known of the alert becomes, in
// place, what is known afterwards: entries are large.
type judging struct {
	Verdict alert.Verdict
	Write   bool
	e       *incident.Entry
	room    *times
}

func (p *Policy) judge(j *judging, ev *Event, now time.Time) {
	e := j.e
	if ev.Expiry || ev.Moved {
		p.stop(j, ev.Moved, now)
		return
	}
	a := ev.Alert
	if !a.TellsState() {
		j.Verdict = alert.Recorded
		return
	}
	if !e.Exists() {
		e.FirstSeen = a.ReceivedAt
		e.Fingerprint, e.Source = ev.Fingerprint, a.Source
	}
	e.Count++
	if a.ReceivedAt.After(e.LastSeen) {
		e.LastSeen = a.ReceivedAt
	}
	if a.Status == alert.Resolved {
		p.resolve(j, ev)
	} else {
		p.fire(j, ev)
	}
}

func (p *Policy) fire(j *judging, ev *Event) {
	a, e := ev.Alert, j.e
	start := a.StartsAt
	switch {
	case !e.Firing && e.Exists() && !e.End.IsZero() && !p.begins(e, a):
		j.Verdict = alert.Stale
		return
	case !e.Firing:
		j.Verdict, j.Write = alert.Opened, true
		if start.IsZero() {
			start = saidAt(a)
		}
		if !e.Expired || e.Start.IsZero() || start.After(e.End) {
			e.Start = start
		}
		// Later than the end in any case, or a repeat of that end would end it again.
		e.Last = happened(start, a)
		if !e.Last.After(e.End) && !e.End.IsZero() {
			e.Last = e.End.Add(1)
		}
		e.Firing, e.Expired = true, false
		e.ValidUntil = a.ValidUntil
		p.changed(j, a.ReceivedAt)
	case e.Content != ev.Content && before(e, a):
		j.Verdict = alert.Stale
	default:
		j.Verdict = alert.Duplicate
		if start.IsZero() {
			start = e.Start
		}
		if start.Before(e.Start) && start.After(e.End) {
			e.Start, j.Write = start, true
		}
		if at := happened(start, a); start.After(e.Start) && at.After(e.Last) {
			e.Last, j.Write = at, true
		}
		if e.Content != ev.Content {
			j.Verdict, j.Write = alert.Updated, true
		}
		if a.ValidUntil.After(e.ValidUntil) && !e.ValidUntil.IsZero() {
			e.ValidUntil = a.ValidUntil
		} else if a.ValidUntil.IsZero() != e.ValidUntil.IsZero() {
			// Another sender of the same alert makes other promises; the one without
			// an end rules, because it will say so when it ends.
			if a.ValidUntil.IsZero() {
				e.ValidUntil, j.Write = time.Time{}, true
			}
		}
	}
	if j.Write {
		e.Content, e.Generation, e.Severity = ev.Content, ev.Generation, ev.Class.Severity
	}
}

// begins reports whether a firing of an alert that has ended is a new episode.
func (p *Policy) begins(e *incident.Entry, a *alert.Alert) bool {
	switch {
	case e.Expired:
		return a.ValidUntil.IsZero() || a.ValidUntil.After(e.End)
	case a.StartsAt.IsZero():
		return a.ReceivedAt.After(e.EndSeen)
	case a.StartsAt.After(e.End) && !a.StartsAt.Equal(e.Last):
		return true
	case a.StartsAt.Equal(e.End) && a.StartsAt.Nanosecond() == 0 && a.StartsAt.After(e.Start) && !a.StartsAt.Equal(e.Last):
		return true // in the same second, of a sender whose times are whole ones
	}
	return a.ReceivedAt.After(e.EndSeen.Add(p.LateWindow))
}

// before reports whether a firing tells of an episode before the one that fires:
// what it said then is not what is so now.
func before(e *incident.Entry, a *alert.Alert) bool {
	switch {
	case e.End.IsZero():
		return false
	case a.StartsAt.IsZero():
		return !a.ReceivedAt.After(e.EndSeen)
	}
	return a.StartsAt.Before(e.Start) && !a.StartsAt.After(e.End)
}

// saidAt is when a message was made: as its sender says, but not after it came.
func saidAt(a *alert.Alert) time.Time {
	if a.EventAt.IsZero() || a.EventAt.After(a.ReceivedAt) {
		return a.ReceivedAt
	}
	return a.EventAt
}

// happened is the moment that a time of a sender stands for when messages are
// put in order: nothing has happened after its message arrived. Without this a
// sender whose clock ran ahead, by seconds or until the year 9999, could say
// that an alert fires but no more that it has ended.
func happened(t time.Time, a *alert.Alert) time.Time {
	if t.After(a.ReceivedAt) {
		return a.ReceivedAt
	}
	return t
}

func (p *Policy) resolve(j *judging, ev *Event) {
	a, e := ev.Alert, j.e
	end := happened(a.EndsAt, a)
	if end.IsZero() {
		// The message may come from another clock than the one before: that it ends
		// what fires is what it means.
		if end = saidAt(a); e.Firing && end.Before(e.Last) {
			end = a.ReceivedAt
		}
	}
	if start := happened(a.StartsAt, a); start.After(end) {
		// The sender's times are at odds; that this episode ended is what it means.
		end = start
	}
	switch {
	case !e.Exists() || e.End.IsZero() && !e.Firing:
		j.Verdict, j.Write = alert.Recorded, true
		e.Start, e.Last, e.End, e.EndSeen = a.StartsAt, a.StartsAt, end, a.ReceivedAt
		e.Content, e.Generation, e.Severity = ev.Content, ev.Generation, ev.Class.Severity
	case e.Firing && !end.Before(e.Last):
		j.Verdict, j.Write = alert.ResolvedAlert, true
		e.Firing, e.ValidUntil = false, time.Time{}
		if a.StartsAt.After(e.Last) {
			e.Last = a.StartsAt // as sent, to know a late copy of that firing
		}
		e.End, e.EndSeen = end, a.ReceivedAt
		p.changed(j, a.ReceivedAt)
	case e.Firing:
		j.Verdict = alert.Stale
	case e.Expired && !end.Before(e.Last):
		// Now somebody says it: the end is known.
		j.Verdict, j.Write = alert.Duplicate, true
		e.Expired, e.End, e.EndSeen = false, end, a.ReceivedAt
	case end.After(e.End):
		j.Verdict, j.Write = alert.Duplicate, true
		e.End, e.EndSeen = end, a.ReceivedAt
	case end.Equal(e.End):
		j.Verdict = alert.Duplicate
	default:
		j.Verdict = alert.Stale
	}
}

// stop ends an alert without a message: its validity ran out, or it was moved.
func (p *Policy) stop(j *judging, moved bool, now time.Time) {
	e := j.e
	j.Verdict = alert.Duplicate
	over := !e.ValidUntil.IsZero() && !e.ValidUntil.After(now)
	if !e.Firing || !moved && !over {
		return
	}
	j.Verdict, j.Write = alert.ResolvedAlert, true
	e.End, e.EndSeen = e.ValidUntil, now
	if moved {
		e.End = e.Last
	}
	e.Firing, e.Expired, e.ValidUntil = false, !moved, time.Time{}
	p.changed(j, now)
}

// changed remembers that the alert began or ceased to fire.
func (p *Policy) changed(j *judging, at time.Time) {
	if p.FlapChanges <= 0 {
		return
	}
	kept := j.e.Changes
	if over := len(kept) + 1 - p.FlapChanges; over > 0 {
		kept = kept[over:]
	}
	j.e.Changes = append(append(j.room.take(len(kept)+1), kept...), at)
}

// timesAtOnce bounds how many times are allocated together. Whoever keeps an
// entry keeps all of them.
const timesAtOnce = 16

// times gives out memory for the changes of the entries of one run of a step.
// It is never used twice. The zero value gives each its own.
type times struct {
	free []time.Time
	// expected is how many times are still to come, about.
	expected int
}

// take returns an empty slice with room for n.
func (t *times) take(n int) []time.Time {
	if n > len(t.free) {
		t.free = make([]time.Time, max(n, min(t.expected, timesAtOnce)))
	}
	out := t.free[:0:n]
	t.free = t.free[n:]
	t.expected -= n
	return out
}

// flapping reports whether e changed so often that it is no news, and until when.
func (p *Policy) flapping(e *incident.Entry) (until time.Time, ok bool) {
	if p.FlapChanges <= 0 || len(e.Changes) < p.FlapChanges {
		return time.Time{}, false
	}
	last := e.Changes[len(e.Changes)-1]
	return last.Add(p.FlapWindow), last.Sub(e.Changes[len(e.Changes)-p.FlapChanges]) <= p.FlapWindow
}
