package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Guide is the team's process, as far as incidents ask for it and people see it.
type Guide interface {
	incident.Guide
	// Due is when an incident has to be looked at again, zero if never.
	Due(i *incident.Incident, now time.Time) time.Time
	// Names are those of the duties.
	Names() []string
	// Base is what a duty of the incident counts from; ok is false if it has no duty of
	// that name now.
	Base(i *incident.Incident, duty string, now time.Time) (base time.Time, ok bool)
}

// countDuties counts what became of duties, once that is stored.
func (p *Pipeline) countDuties(outcomes []incident.DutyOutcome) {
	for _, o := range outcomes {
		p.metrics.duties.WithLabelValues(o.Duty, o.Outcome).Inc()
	}
}

// duties looks at what the process wants of incidents whose jobs are due, as many as
// possible in one call of the store. What one of them brings is stored with it, so
// it happens once, whoever does the job and however often.
func (p *Pipeline) duties(ctx context.Context, leases []store.Lease) error {
	var turn []incident.Change
	outcomes := map[incident.ID][]incident.DutyOutcome{}
	commit := func() error {
		if err := p.store.Update(ctx, turn); err != nil {
			return err
		}
		for id, list := range outcomes {
			p.countDuties(list)
			delete(outcomes, id)
		}
		turn = turn[:0]
		return nil
	}
	for _, l := range leases {
		i, err := p.store.Incident(ctx, l.Subject)
		if errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		sameKey := func(c incident.Change) bool { return c.Key == i.Key }
		if slices.ContainsFunc(turn, sameKey) {
			if err := commit(); err != nil {
				return err
			}
		}
		turn = append(turn, incident.Change{ID: uuid.New(), Incident: i.ID, Key: i.Key, Step: p.dutyStep(func(list []incident.DutyOutcome) { outcomes[i.ID] = list })})
	}
	if err := commit(); err != nil {
		return err
	}
	for _, l := range leases {
		if err := p.store.Done(ctx, l); err != nil {
			return err
		}
	}
	if p.rules.Load().Targets != nil {
		p.Wake()
	}
	return nil
}

// dutyStep lets the process look at an incident.
func (p *Pipeline) dutyStep(outcomes func([]incident.DutyOutcome)) func(incident.State) (incident.Next, error) {
	r := p.rules.Load()
	return func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if st.Incident == nil || r.Guide == nil {
			return next, nil
		}
		e := r.policy.Change(st.Incident, st.Now)
		e.Review()
		e.ArmDuty(r.Guide.Due(e.Incident, st.Now)) // also if it is the same: the one that is being done ends
		if e.Changed() {
			e.Into(&next)
		} else {
			e.IntoJobs(&next)
		}
		outcomes(next.Duties)
		return next, nil
	}
}

// Fulfil says in an edit that a person has done what a duty asks for, or, with
// waive, that it need not be done, which the comment says why.
func (p *Pipeline) Fulfil(e *incident.Edit, duty, by, comment string, waive bool) error {
	guide := p.rules.Load().Guide
	if guide == nil {
		return &InputError{"duty", "there is no process"}
	}
	base, ok := guide.Base(e.Incident, duty, e.Now())
	if !ok {
		return &InputError{"duty", fmt.Sprintf("the incident has no duty %q now", duty)}
	}
	return e.Fulfil(by, duty, base, waive, comment)
}

// dutiesAtOnce is how many incidents are read at once when the process has changed.
const dutiesAtOnce = 200

// typeProcess is the document with the version of the process that all incidents
// were looked at with.
const typeProcess = "process"

// Review has the process look at all incidents that are not closed, if its version
// is another one than the last time: what is due earlier than before must not wait
// for the old time.
func (p *Pipeline) Review(ctx context.Context, version string) error {
	guide := p.rules.Load().Guide
	if guide == nil {
		return nil
	}
	d, err := p.store.Document(ctx, typeProcess, typeProcess)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		d = incident.Document{Type: typeProcess, ID: typeProcess}
	case err != nil:
		return err
	}
	data, err := json.Marshal(version)
	if err != nil {
		return err // unreachable: it is a text
	}
	if bytes.Equal(d.Data, data) {
		return nil
	}
	if err := p.reviewAll(ctx, guide); err != nil {
		return err
	}
	d.Data = data
	if _, err := p.store.PutDocument(ctx, d); err != nil && !errors.Is(err, incident.ErrConflict) { // another gateway has done it too
		return err
	}
	return nil
}

func (p *Pipeline) reviewAll(ctx context.Context, guide Guide) error {
	q := store.Query{States: []string{incident.Open, incident.Acknowledged, incident.Resolved}, Limit: dutiesAtOnce}
	for {
		list, next, err := p.store.Incidents(ctx, q)
		if err != nil {
			return err
		}
		var changes []incident.Change
		now := p.store.Now()
		for _, i := range list {
			due := guide.Due(i, now)
			if due.IsZero() {
				continue
			}
			if slices.ContainsFunc(changes, func(c incident.Change) bool { return c.Key == i.Key }) {
				if err := p.store.Update(ctx, changes); err != nil {
					return err
				}
				changes = changes[:0]
			}
			job := incident.Job{Subject: i.ID.String(), Kind: incident.JobDuty, Due: due, NoLater: true}
			changes = append(changes, incident.Change{ID: uuid.New(), Incident: i.ID, Key: i.Key, Step: func(st incident.State) (incident.Next, error) {
				if st.Incident == nil {
					return incident.Next{}, nil
				}
				return incident.Next{Jobs: []incident.Job{job}}, nil
			}})
		}
		if err := p.store.Update(ctx, changes); err != nil {
			return err
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}

// takeDuties splits the jobs of duties off, one for each incident.
func takeDuties(leases []store.Lease) (duties, others []store.Lease) {
	for _, l := range leases {
		if l.Kind == incident.JobDuty && !slices.ContainsFunc(duties, func(o store.Lease) bool { return o.Subject == l.Subject }) {
			duties = append(duties, l)
		} else {
			others = append(others, l)
		}
	}
	return duties, others
}
