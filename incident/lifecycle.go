package incident

import (
	"fmt"
	"time"
)

// Acknowledge says that a person works on it. Doing it again changes nothing.
func (e *Edit) Acknowledge(by, comment string) error {
	i := e.Incident
	switch i.State {
	case Acknowledged:
		return nil
	case Open:
	default:
		return &StateError{"acknowledge", i.State}
	}
	i.State, i.AcknowledgedAt, i.AcknowledgedBy = Acknowledged, e.now, by
	e.tell(urgentNews)
	e.Log(by, "acknowledged", withComment("acknowledged", comment), 0)
	if i.Roles[RoleManager] == "" { // who takes it manages it, until somebody else does
		i.Roles = cloneMap(i.Roles)
		i.Roles[RoleManager] = by
	}
	if d, _ := i.TimeToAcknowledge(); i.Measured() && i.FirstAcknowledgedAt.IsZero() {
		e.observe("time_to_acknowledge_seconds", d.Seconds())
	}
	return nil
}

// Unacknowledge says that nobody works on it any more.
func (e *Edit) Unacknowledge(by, comment string) error {
	i := e.Incident
	switch i.State {
	case Open:
		return nil
	case Acknowledged:
	default:
		return &StateError{"take back the acknowledgement of", i.State}
	}
	if i.FirstAcknowledgedAt.IsZero() {
		i.FirstAcknowledgedAt = i.AcknowledgedAt
	}
	i.State, i.AcknowledgedAt, i.AcknowledgedBy = Open, time.Time{}, ""
	e.Process().Unacknowledged = e.now
	e.tell(urgentNews)
	e.Log(by, "acknowledgement_removed", withComment("acknowledgement taken back", comment), 0)
	return nil
}

// Resolve ends the cycle. By is System when the last alert resolved.
func (e *Edit) Resolve(by, comment string) error {
	i := e.Incident
	if i.State == Resolved {
		return nil
	}
	if !i.IsOpen() {
		return &StateError{"resolve", i.State}
	}
	if err := e.children(); err != nil {
		if by != System {
			return err
		}
		e.wait()
		return nil
	}
	if err := e.gate(ActionResolve); err != nil {
		if by != System {
			return err
		}
		e.recovered(err)
		return nil
	}
	unacknowledged := i.State == Open && i.FirstAcknowledgedAt.IsZero()
	i.State, i.ResolvedAt, i.ResolvedBy = Resolved, e.now, by
	if i.Proceedings().Waits {
		e.Process().Waits = false
	}
	e.tell(byWhom(by))
	text := "resolved"
	if n := i.Alerts.Firing; n > 0 {
		i.RestoredAt = time.Time{} // those that have ended were not the last
		text = fmt.Sprintf("resolved while %d alerts still fire", n)
		if n == 1 {
			text = "resolved while 1 alert still fires"
		}
		e.armReminder()
	}
	e.Log(by, "resolved", withComment(text, comment), 0)
	e.arm(JobClose, e.now.Add(e.policy.CloseAfter))
	if i.Measured() {
		d, _ := i.TimeToResolve()
		e.observe("time_to_resolve_seconds", d.Seconds())
		if unacknowledged {
			e.observe("resolved_unacknowledged_total", 1)
		}
	}
	return nil
}

// recovered notes that nothing fires any more, but that people have something to
// do before it is over.
func (e *Edit) recovered(missing error) {
	if i := e.Incident; i.Phase != Observing {
		i.Phase = Observing
		e.Log(System, "recovered", "nothing fires any more; "+missing.Error(), 0)
		e.tell(soonNews)
	}
}

// Close ends the incident's life; its retention begins.
func (e *Edit) Close(by, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return nil
	}
	if i.State != Resolved {
		return &StateError{"close", i.State}
	}
	action := ActionClose
	if by == System {
		action = ActionAutoClose
	}
	if err := e.gate(action); err != nil {
		if by != System {
			return err
		}
		e.Defer() // until a person has done what is missing
		return nil
	}
	i.State, i.ClosedAt, i.ClosedBy = Closed, e.now, by
	if i.Process != nil {
		p := e.Process()
		p.Working, p.NextContact = nil, time.Time{}
	}
	e.Log(by, "closed", withComment("closed", comment), 0)
	e.arm(JobClose, time.Time{})
	e.arm(JobStillFiring, time.Time{})
	if e.policy.Retention > 0 {
		e.arm(JobRetention, e.now.Add(e.policy.Retention))
	}
	if d, ok := i.uncountedOutage(); ok && i.Measured() {
		e.observe("outage_seconds", d.Seconds())
	}
	return nil
}

// Reopen begins a new cycle, which needs a new acknowledgement.
func (e *Edit) Reopen(by, comment string) error {
	i := e.Incident
	if i.IsOpen() {
		return nil
	}
	i.Cycles = append(i.Cycles, i.Cycle())
	if len(i.Cycles) > cyclesKept {
		i.Cycles = i.Cycles[len(i.Cycles)-cyclesKept:]
	}
	i.Reopens++
	i.State, i.CycleOpenedAt, i.CycleSeverity = Open, e.now, i.Severity
	i.AcknowledgedAt, i.ResolvedAt, i.ClosedAt, i.RestoredAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	i.FirstAcknowledgedAt = time.Time{}
	i.AcknowledgedBy, i.ResolvedBy, i.ClosedBy = "", "", ""
	if i.Process != nil { // a new cycle has to be confirmed, and its duties done, again; who worked on it then may sleep by now
		p := e.Process()
		p.Confirmed, p.Duties, p.Working, p.Corrected.Restored, p.Waits = nil, nil, nil, time.Time{}, false
		for n := range p.Contacts { // who heard that it is over has to hear it again
			p.Contacts[n].ToldRestored = time.Time{}
		}
	}
	e.tell(byWhom(by))
	e.Log(by, "reopened", withComment("reopened", comment), 0)
	for _, kind := range [...]string{JobClose, JobStillFiring, JobRetention} {
		e.arm(kind, time.Time{})
	}
	if i.Measured() {
		e.observe("reopened_total", 1)
	}
	return nil
}

// Note writes into the timeline. At is when it happened; an earlier time than
// now makes it a late entry, the zero time means now.
func (e *Edit) Note(by, text string, at time.Time) error {
	t := TimelineEntry{At: at, Who: by, Action: "note", Text: text}
	if at.IsZero() || !at.Before(e.now) {
		t.At = e.now
	} else {
		t.Late = true
	}
	e.logAt(t)
	return nil
}

// SetPhase says how far people are.
func (e *Edit) SetPhase(by, phase, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"change the phase of", i.State}
	}
	if i.Phase == phase {
		return nil
	}
	e.Log(by, "phase", withComment("phase "+i.Phase+" → "+phase, comment), 0)
	i.Phase = phase
	if i.Process != nil {
		for p, n := e.Process(), 0; n < len(p.Updates); n++ {
			p.Updates[n].SetsPhase = false
		}
	}
	return nil
}

// SetSeverity is a person's word on the severity; alerts do not change it any more.
func (e *Edit) SetSeverity(by, severity, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the severity of", i.State}
	}
	switch {
	case i.Severity != severity:
		e.Log(by, "severity", withComment("severity "+i.Severity+" → "+severity, comment), 0)
	case !i.SeveritySet:
		e.Log(by, "severity", withComment("severity stays "+severity, comment), 0)
		i.SeveritySet = true
		return nil
	default:
		return nil
	}
	i.Severity, i.SeveritySet = severity, true
	e.tell(urgentNews)
	if e.policy.Severities.Worse(severity, i.CycleSeverity) {
		i.CycleSeverity = severity
	}
	e.grade(Classification{})
	return nil
}

// Remind notes that alerts still fire in an incident that a person resolved,
// and asks to be called again while that is so.
func (e *Edit) Remind() {
	i := e.Incident
	if i.State != Resolved || i.Alerts.Firing == 0 {
		return
	}
	e.tell(urgentNews)
	e.Log(System, "still_firing", fmt.Sprintf("resolved, but %d still fire", i.Alerts.Firing), i.Alerts.Firing)
	e.armReminder()
}

// armReminder arms the reminder of alerts that still fire, if one is wanted.
func (e *Edit) armReminder() {
	if e.policy.StillFiringAfter > 0 {
		e.arm(JobStillFiring, e.now.Add(e.policy.StillFiringAfter))
	}
}

// deferAtLeast is the shortest time after which a deferred closing is tried
// again. It only matters where incidents close as soon as they are resolved.
const deferAtLeast = time.Minute

// Defer arms the closing of a resolved incident again, because alerts still fire.
func (e *Edit) Defer() { e.arm(JobClose, e.now.Add(max(e.policy.CloseAfter, deferAtLeast))) }
