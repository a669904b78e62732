package incident

import (
	"cmp"
	"fmt"
	"slices"
)

// Escalate hands the incident to another tier, such as L3, which has to accept it.
// Who had it takes part further on.
func (e *Edit) Escalate(by, to, reason, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"escalate", i.State}
	}
	p := e.Process()
	if p.Tier == to {
		return nil
	}
	var receivers []string
	if e.policy.Guide != nil {
		known := false
		if receivers, known = e.policy.Guide.Tier(to, e.now); !known {
			return &FieldError{"to", fmt.Sprintf("there is no support level %q", to)}
		}
	}
	if by != System { // what is missing must not keep the process itself
		if err := e.gate(ActionEscalate); err != nil {
			return err
		}
		e.takesPart(by)
	}
	e.takesPart(i.Roles[RoleManager])
	e.takesPart(i.AcknowledgedBy)
	p.Handovers = keepLast(p.Handovers, Handover{From: p.Tier, To: to, Reason: reason, By: by, At: e.now}, handoversKept)
	from := cmp.Or(p.Tier, "nobody")
	p.Tier = to
	for _, r := range receivers {
		e.CallIn(r, "escalated to "+to, "")
	}
	text := fmt.Sprintf("%s → %s, %s", from, to, roleName(reason))
	if e.policy.Guide != nil && len(receivers) == 0 {
		text += " (nobody of " + to + " can be reached: tell them)"
	}
	e.Log(by, "escalated", withComment(text, comment), 0)
	e.tell(urgentNews)
	return nil
}

// Accept says that the latest hand-over took place: the incident has been explained
// to the person who takes it.
func (e *Edit) Accept(by, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"accept", i.State}
	}
	p := e.Process()
	n := len(p.Handovers) - 1
	if n < 0 {
		return &RefusedError{"cannot accept what was not escalated"}
	}
	h := &p.Handovers[n]
	if h.AcceptedBy != "" {
		if h.AcceptedBy == by {
			return nil
		}
		return &RefusedError{h.AcceptedBy + " has accepted it already"}
	}
	h.AcceptedBy, h.AcceptedAt = by, e.now
	e.takesPart(by)
	e.Log(by, "accepted", withComment("took it over from "+cmp.Or(h.From, h.By), comment), 0)
	return nil
}

// StartCall begins a calling chain, unless it is on its way.
func (e *Edit) StartCall(by, chain, why string) {
	p := e.Process()
	if slices.ContainsFunc(p.Calls, func(c Call) bool { return c.Chain == chain && !c.Over() }) {
		return
	}
	p.Calls = keepLast(p.Calls, Call{Chain: chain, At: e.now}, callsKept)
	e.Log(by, "calling", withComment("calls "+chain, why), 0)
}

// Calling reports whether a calling chain is on its way that nobody has answered yet.
func (i *Incident) Calling() bool {
	return slices.ContainsFunc(i.Proceedings().Calls, func(c Call) bool { return !c.Over() })
}

// Take is Acknowledge by a person who is asked to. If another one works on it already,
// it answers the call.
func (e *Edit) Take(by, comment string) error {
	if e.Incident.State == Acknowledged && e.Incident.Calling() {
		return e.Answer(by, comment)
	}
	return e.Acknowledge(by, comment)
}

// Answer ends the calling chains: a named person has confirmed. Nothing that a
// machine says counts.
func (e *Edit) Answer(by, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"answer the call about", i.State}
	}
	p := e.Process()
	answered := false
	for n := range p.Calls {
		if c := &p.Calls[n]; !c.Over() {
			c.ConfirmedBy, c.ConfirmedAt, answered = by, e.now, true
		}
	}
	if !answered {
		return nil
	}
	e.takesPart(by)
	e.Log(by, "answered", withComment("answered the call", comment), 0)
	return nil
}
