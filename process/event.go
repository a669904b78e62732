package process

import (
	"maps"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// events are what duties count from: the moment at which each happened last in the
// current cycle, zero if it has not.
var events = map[string]func(i *incident.Incident, p *incident.Process) time.Time{
	"opened": func(i *incident.Incident, _ *incident.Process) time.Time { return i.CycleOpenedAt },
	// down may be before the opening. In a later cycle it is not that of the first,
	// between which and now the service was there.
	"down": func(i *incident.Incident, _ *incident.Process) time.Time {
		if at := i.WentDown(); i.Reopens == 0 || at.After(i.CycleOpenedAt) {
			return at
		}
		return i.CycleOpenedAt
	},
	"acknowledged":   func(i *incident.Incident, _ *incident.Process) time.Time { return i.AcknowledgedAt },
	"unacknowledged": func(_ *incident.Incident, p *incident.Process) time.Time { return p.Unacknowledged },
	"resolved":       func(i *incident.Incident, _ *incident.Process) time.Time { return i.ResolvedAt },
	"restored": func(i *incident.Incident, _ *incident.Process) time.Time {
		at, _ := i.Restored()
		return at
	},
	"closed": func(i *incident.Incident, _ *incident.Process) time.Time { return i.ClosedAt },
	"reopened": func(i *incident.Incident, _ *incident.Process) time.Time {
		if i.Reopens == 0 {
			return time.Time{}
		}
		return i.CycleOpenedAt
	},
	"assessed": func(_ *incident.Incident, p *incident.Process) time.Time {
		if p.Assessment == nil {
			return time.Time{}
		}
		return p.Assessment.At
	},
	"updated": func(_ *incident.Incident, p *incident.Process) (at time.Time) {
		for n := range p.Updates {
			if u := &p.Updates[n]; !u.Waits() && u.OutAt().After(at) {
				at = u.OutAt()
			}
		}
		return at
	},
	"drafted": func(_ *incident.Incident, p *incident.Process) time.Time {
		for _, u := range p.Updates {
			if u.Waits() {
				return u.At
			}
		}
		return time.Time{}
	},
	"escalated": func(_ *incident.Incident, p *incident.Process) time.Time {
		if n := len(p.Handovers); n > 0 {
			return p.Handovers[n-1].At
		}
		return time.Time{}
	},
	"accepted": func(_ *incident.Incident, p *incident.Process) time.Time {
		if n := len(p.Handovers); n > 0 {
			return p.Handovers[n-1].AcceptedAt
		}
		return time.Time{}
	},
	"contacted": func(_ *incident.Incident, p *incident.Process) time.Time {
		if n := len(p.Contacts); n > 0 {
			return p.Contacts[n-1].At
		}
		return time.Time{}
	},
	// next_contact lies ahead: it is when a customer was promised to hear from us.
	"next_contact": func(_ *incident.Incident, p *incident.Process) time.Time { return p.NextContact },
}

// event is one of events at work.
type event struct {
	name string
	at   func(i *incident.Incident, p *incident.Process) time.Time
	// earlier: it may have been before the cycle began.
	earlier bool
	// once: it happens once in a cycle. A time of it that is corrected makes no new duty.
	once bool
}

// since is an event by its name, none if there is none of that name.
func since(name string) []event {
	if at := events[name]; at != nil {
		return []event{{name, at, name == "down", once(name)}}
	}
	return nil
}

// once reports whether an event happens once in a cycle.
func once(event string) bool {
	return slices.Contains([]string{"opened", "down", "reopened", "resolved", "restored", "closed"}, event)
}

// takenBack says for facts that people take back again when they last did.
var takenBack = map[string]func(p *incident.Process) time.Time{
	"acknowledged": func(p *incident.Process) time.Time { return p.Unacknowledged },
	"worked_on":    func(p *incident.Process) time.Time { return p.Rested },
}

// Events are the names of what duties count from.
func Events() []string { return slices.Sorted(maps.Keys(events)) }
