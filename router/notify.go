package router

import (
	"context"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Notifier does the jobs that tell people.
type Notifier interface {
	// Take does a job that has just been claimed beside all others. It returns at
	// once, and ends the job itself.
	Take(ctx context.Context, l store.Lease)
	// Wait returns when what was taken is done.
	Wait()
	// Told are the targets that know of a notice, or may.
	Told(ctx context.Context, subject string) ([]string, error)
	// Forget removes what is known of an incident, or of a notice, that is removed.
	Forget(ctx context.Context, subject string) error
}

// SetNotifier is called before Run, if at all. Without it nobody is told.
func (p *Pipeline) SetNotifier(n Notifier) { p.notifier = n }

// wakesApart is the least time between two looks for due jobs because of news:
// what a storm brings is claimed together.
const wakesApart = 10 * time.Millisecond

// Wake lets Run look for due jobs now.
func (p *Pipeline) Wake() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// tell hands the jobs that tell people to the notifier, which does them beside all
// others, and returns those.
func (p *Pipeline) tell(ctx context.Context, leases []store.Lease) (others []store.Lease) {
	if p.notifier == nil {
		return leases
	}
	for _, l := range leases {
		if l.Kind == incident.JobNotify {
			p.notifier.Take(ctx, l)
		} else {
			others = append(others, l)
		}
	}
	return others
}

// newsOf lets Run look for due jobs if some of the outcomes are told at once.
func (p *Pipeline) newsOf(r *rules, outcomes []alert.Outcome) {
	if !r.Prompt {
		return
	}
	for i := range outcomes {
		switch outcomes[i].Verdict {
		case alert.Opened, alert.Joined, alert.Reopened, alert.ResolvedAlert, alert.Acknowledged:
			p.Wake()
			return
		}
	}
}

// rerouteAtOnce is how many incidents are read at once.
const rerouteAtOnce = 200

// Reroute lets those hear of the open incidents to whom only the current routes
// lead.
func (p *Pipeline) Reroute(ctx context.Context) error {
	targets := p.rules.Load().policy.Targets
	if targets == nil {
		return nil
	}
	q := store.Query{States: []string{incident.Open, incident.Acknowledged}, Limit: rerouteAtOnce}
	for {
		list, next, err := p.store.Incidents(ctx, q)
		if err != nil {
			return err
		}
		for _, i := range list {
			isNew := func(t incident.Target) bool { return !slices.Contains(i.Told, t.Name) }
			if !slices.ContainsFunc(targets(i), isNew) {
				continue
			}
			if err := p.onIncident(ctx, i.ID.String(), func(e *incident.Edit) error { e.Reroute(); return nil }); err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}
