package notify

import (
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Timing is how often a target is told of an incident: that of the first route
// which leads from the incident to its receiver.
type Timing struct {
	// Routed: a route leads there now.
	Routed bool
	// GroupInterval is the shortest time between two messages about alerts that
	// came and went, and RepeatInterval after how long the same is said again.
	GroupInterval, RepeatInterval time.Duration
	// RepeatAcknowledged: also while somebody works on it.
	RepeatAcknowledged bool
	// Labels are the route's.
	Labels map[string]string
	// Called is why the receiver was called in, if no route leads there.
	Called *incident.Called
	// Muted says what of the route's time intervals hides messages at a moment, and
	// until when; nil hides nothing.
	Muted func(now time.Time) (Hidden, bool)
}

// The kinds of what hides messages. They are values of a metric's label.
const (
	ByFlapping     = "flapping"
	ByStorm        = "storm"
	BySilence      = "silence"
	ByInhibition   = "inhibition"
	ByMaintenance  = "maintenance"
	ByTimeInterval = "time_interval"
	ByDependency   = "dependency"
	ByDowntime     = "downtime"
	BySnooze       = "snooze"
	ByMerge        = "merge"
	// ByEnd: it is over, and the target would call people for it.
	ByEnd = "end"
)

// Kinds lists them.
func Kinds() []string {
	return []string{ByFlapping, ByStorm, BySilence, ByInhibition, ByMaintenance, ByTimeInterval, ByDependency, ByDowntime, BySnooze, ByMerge, ByEnd}
}

// Hidden is why a target is not told now.
type Hidden struct {
	// By is the kind of what hides it, and Text which one it is, in words.
	By   string `json:"by"`
	Text string `json:"text"`
	// Until is when that ends, zero if that is not known.
	Until time.Time `json:"until,omitzero"`
}

// decision is what to do for a target now.
type decision struct {
	// event is what it is told; empty means nothing.
	event Event
	// again is when to look again, zero if only a change can make it necessary.
	again time.Time
	// known: what it knows has changed without a message.
	known bool
	// hidden is why it is not told, if it would be otherwise.
	hidden *Hidden
}

// newsOf is what a timeline has that a target has not heard.
type newsOf struct {
	// alerts came or went; ends: they only went.
	alerts, ends bool
	// urgent does not wait for group_interval; addressed is meant for this receiver,
	// whatever else it is told.
	urgent, addressed bool
	flapping          bool
}

// and joins what two parts of a timeline have.
func (n newsOf) and(o newsOf) newsOf {
	return newsOf{n.alerts || o.alerts, n.ends || o.ends, n.urgent || o.urgent, n.addressed || o.addressed, n.flapping || o.flapping}
}

// read says what entries are to a receiver.
func read(entries []incident.TimelineEntry, receiver string) (n newsOf) {
	for _, e := range entries {
		if len(e.For) > 0 {
			n.addressed = n.addressed || slices.Contains(e.For, receiver)
			continue
		}
		switch e.Action {
		case "joined", "reported", "reopened", "merged", "unmerged", "child_news":
			n.alerts = true
		case "alerts_resolved", "expired", "moved", "reconciled", "child_over":
			n.ends = true
		case "severity", "still_firing", "escalated", "update", "snooze_over":
			n.alerts, n.urgent = true, true
		case "flapping":
			n.flapping = true
		}
	}
	return n
}

// decide says what a target has to hear of an incident, given what it knows. It
// is pure.
func decide(i *incident.Incident, t *told, in *Integration, timing Timing, n newsOf, now time.Time) decision {
	fresh := t.fresh()
	if !i.IsOpen() {
		afterwards := n.addressed && (fresh || t.State == incident.Resolved) // what is to be done then
		if afterwards && !in.Pages {
			return decision{event: Updated}
		}
		d := ended(i, t, in, timing, now)
		if afterwards && d.event == "" && d.again.IsZero() {
			d.hidden = &Hidden{By: ByEnd, Text: "it is over, and a message would open it there again"}
		}
		return d
	}
	if !timing.Routed && fresh && t.Remark == "" {
		return decision{known: true}
	}
	if n.flapping && !fresh {
		return decision{event: Updated} // said once; what follows is held
	}
	flaps := i.FlappingUntil.After(now)
	hold := func() decision {
		return decision{again: i.FlappingUntil, hidden: &Hidden{ByFlapping, "it changes too often to be news", i.FlappingUntil}}
	}
	switch {
	case fresh && flaps && !t.At.IsZero():
		return hold()
	case fresh:
		return decision{event: Opened}
	case i.State == incident.Acknowledged && t.State != incident.Acknowledged && in.Acknowledges:
		return decision{event: Acknowledged}
	case i.State == incident.Open && t.State == incident.Acknowledged:
		return decision{event: Unacknowledged}
	case n.urgent || n.addressed:
		return decision{event: Updated}
	}
	var d decision
	if n.alerts || n.ends && in.SendResolved {
		switch due := t.At.Add(timing.GroupInterval); {
		case flaps:
			d = hold()
		case !due.After(now):
			return decision{event: Updated}
		default:
			d.again = due
		}
	}
	if timing.Routed && timing.RepeatInterval > 0 && (i.State == incident.Open || timing.RepeatAcknowledged) {
		due := t.At.Add(timing.RepeatInterval)
		if !due.After(now) && d.hidden == nil {
			return decision{event: Repeated}
		}
		if due.After(now) {
			d.again = earlier(d.again, due)
		}
	}
	d.known = true
	return d
}

// ended is decide for an incident that is over.
func ended(i *incident.Incident, t *told, in *Integration, timing Timing, now time.Time) decision {
	switch {
	case t.fresh() && !t.Tried: // it never heard of the problem, or has heard of its end
		return decision{known: true}
	case !in.SendResolved:
		return decision{known: true}
	case i.FlappingUntil.After(now) && i.ResolvedBy == incident.System:
		return decision{again: i.FlappingUntil, hidden: &Hidden{ByFlapping, "it changes too often to be news", i.FlappingUntil}}
	}
	if due := t.At.Add(timing.GroupInterval); i.ResolvedBy == incident.System && due.After(now) {
		return decision{again: due}
	}
	return decision{event: Resolved}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
