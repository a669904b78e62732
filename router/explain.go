package router

import (
	"context"
	"errors"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Explained is what an alert means and what would become of it.
type Explained struct {
	Alert   *alert.Alert
	Class   incident.Classification
	Outcome alert.Outcome
	// Key and Rule say where it belongs; zero if a rule suppresses it.
	Key  incident.Key
	Rule string
	// Incident is as it would be after all alerts; nil if there is none.
	Incident  *incident.Incident
	Decisions []Decision
}

// Explain takes the alerts through the same steps as Accept, up to the commit,
// which does not happen.
func (p *Pipeline) Explain(ctx context.Context, alerts []alert.Alert) ([]Explained, error) {
	for range epochTries {
		out, err := p.explain(ctx, alerts)
		if !errors.Is(err, store.ErrEpoch) {
			return out, err
		}
		if err := p.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return nil, store.ErrUnavailable
}

func (p *Pipeline) explain(ctx context.Context, alerts []alert.Alert) ([]Explained, error) {
	out := make([]Explained, len(alerts))
	q := p.request(alerts)
	defer q.release()
	q.where = make([]store.Place, len(alerts))
	q.incidents = map[string]*incident.Incident{}
	q.trace = func(n int, d Decision) { out[n].Decisions = append(out[n].Decisions, d) }
	if err := q.accept(ctx); err != nil {
		return nil, err
	}
	for n := range out {
		e := &out[n]
		e.Alert, e.Class, e.Outcome = limited(&alerts[n]), q.classes[n], q.outcomes[n]
		if e.Outcome.Verdict != alert.Suppressed {
			e.Key = q.where[n].Key
			if n, ok := q.byKey[e.Key]; ok {
				e.Rule = q.keys[n].Rule()
			}
		}
		if name := e.Outcome.Incident; name != "" {
			if e.Incident = q.incidents[name]; e.Incident == nil {
				known, err := p.store.Incident(ctx, name)
				if err != nil {
					return nil, err
				}
				e.Incident = known
			}
		}
	}
	return out, nil
}
