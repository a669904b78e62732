package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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
	// IsObjective: a duty is measured, and nobody can say that it is done.
	IsObjective(name string) bool
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

// duties looks at what the process wants of incidents whose jobs are due, all in one
// call of the store. What one of them brings is stored with the end of its lease, so
// it happens once, whoever does the job and however often.
func (p *Pipeline) duties(ctx context.Context, leases []store.Lease) error {
	newest, err := p.hasNewestProcess(ctx)
	if err != nil {
		return err
	}
	turns := make([]dutyTurn, len(leases))
	changes := make([]incident.Change, len(leases))
	for n, l := range leases {
		turns[n] = dutyTurn{lease: l, rules: p.rules.Load(), newest: newest}
		id, err := incident.ParseID(l.Subject)
		if err != nil {
			return fmt.Errorf("router: a duty of %q: %w", l.Subject, err) // unreachable: only incidents have some
		}
		changes[n] = incident.Change{ID: uuid.New(), Incident: id, Step: turns[n].step}
	}
	err = p.store.Update(ctx, changes)
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		err = p.dutiesApart(ctx, leases, changes) // one that is gone, or damaged, does not hold up the others
	}
	if err != nil {
		return err
	}
	for n := range turns {
		t := &turns[n]
		p.countDuties(t.outcomes)
		if t.others {
			pause := min(othersPause<<min(max(t.lease.Attempts, 1)-1, 7), time.Hour)
			if err := p.store.Retry(ctx, t.lease, earlier(t.due, p.store.Now().Add(pause)), "another gateway has loaded a newer process"); err != nil {
				return err
			}
		}
	}
	if p.rules.Load().Targets != nil {
		p.Wake()
	}
	return nil
}

// othersPause is after how long a job is there again that another gateway may know
// more of; each time it is twice that.
const othersPause = 30 * time.Second

// dutiesApart does one after the other, so that only those fail that cannot be done.
func (p *Pipeline) dutiesApart(ctx context.Context, leases []store.Lease, changes []incident.Change) error {
	for n, l := range leases {
		err := p.store.Update(ctx, changes[n:n+1])
		switch {
		case err == nil:
			continue
		case errors.Is(err, store.ErrUnavailable):
			return err
		case errors.Is(err, incident.ErrNotFound):
			err = p.store.Done(ctx, l)
		default:
			p.log.ErrorContext(ctx, "job failed", "kind", l.Kind, "subject", l.Subject, "attempt", l.Attempts, "err", err)
			err = p.store.Retry(ctx, l, p.store.Now().Add(retryAfter(l.Attempts)), err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dutyTurn is one look at what the process wants of an incident.
type dutyTurn struct {
	lease  store.Lease
	rules  *rules
	newest bool
	// What the step found: what became of duties, when it has to be looked at again,
	// and whether it may have been somebody else's process that wanted it.
	outcomes []incident.DutyOutcome
	due      time.Time
	others   bool
}

func (t *dutyTurn) step(st incident.State) (incident.Next, error) {
	t.outcomes, t.due, t.others = nil, time.Time{}, false
	next := incident.Next{Jobs: []incident.Job{{Subject: t.lease.Subject, Kind: t.lease.Kind, NoLater: true, Lease: t.lease.Token}}}
	if st.Incident == nil || t.rules.Guide == nil {
		return next, nil
	}
	e := t.rules.policy.Change(st.Incident, st.Now)
	e.Review()
	t.due = t.rules.Guide.Due(e.Incident, st.Now)
	if t.others = !e.Changed() && !t.newest; t.others {
		return incident.Next{}, nil
	}
	if next.Jobs[0].Due = t.due; !t.newest { // the newer one may want something that this one does not know of
		next.Jobs[0].Due = earlier(t.due, st.Now.Add(othersPause))
	}
	if e.Changed() {
		e.Into(&next)
	}
	next.Jobs = onlyFirst(next.Jobs)
	t.outcomes = next.Duties
	return next, nil
}

// onlyFirst leaves out what the process armed itself: the first says the same and ends the lease.
func onlyFirst(jobs []incident.Job) []incident.Job {
	rest := slices.DeleteFunc(jobs[1:], func(j incident.Job) bool { return j.Kind == incident.JobDuty })
	return jobs[:1+len(rest)]
}

// watched is a process that another gateway may have a newer one of: then whatever is
// edited here is looked at there as well.
type watched struct {
	Guide
	older *atomic.Bool
}

// Review implements incident.Guide.
func (w watched) Review(e *incident.Edit) {
	w.Guide.Review(e)
	if w.older.Load() {
		e.ArmDuty(e.Now().Add(othersPause))
	}
}

// hasNewestProcess reports whether no other gateway has loaded another process since
// this one has. Until all have the same, a job that nothing follows from may be theirs.
func (p *Pipeline) hasNewestProcess(ctx context.Context) (bool, error) {
	d, err := p.store.Document(ctx, typeProcess, typeProcess)
	ours := p.process.Load()
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	newest := ours != nil && bytes.Equal(d.Data, *ours)
	p.older.Store(!newest && ours != nil)
	return newest, nil
}

// Fulfil says in an edit that a person has done what a duty asks for, or, with
// waive, that it need not be done, which the comment says why.
func (p *Pipeline) Fulfil(e *incident.Edit, duty, by, comment string, waive bool) error {
	guide := p.rules.Load().Guide
	if guide == nil {
		return &InputError{"duty", "there is no process"}
	}
	if guide.IsObjective(duty) {
		return &InputError{"duty", fmt.Sprintf("%q is measured: it is met by acknowledging or resolving the incident in time", duty)}
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
// for the old time. It does so once after the start, too, or after another process, though
// another gateway has done it before: what was opened here, or by who was here before,
// since then was looked at with the old one.
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
	p.process.Store(&data)
	known := bytes.Equal(d.Data, data)
	if last := p.reviewed.Load(); known && last != nil && bytes.Equal(*last, data) {
		return nil
	}
	if err := p.reviewAll(ctx, guide); err != nil {
		return err
	}
	if p.reviewed.Store(&data); !known {
		d.Data = data
		if _, err := p.store.PutDocument(ctx, d); err != nil && !errors.Is(err, incident.ErrConflict) { // another gateway has done it too
			return err
		}
	}
	p.older.Store(false)
	return nil
}

// reviewAll arms the jobs of all incidents that are due earlier than they are armed
// for. It rests for as long as it works, so that half of a core at most goes into it.
func (p *Pipeline) reviewAll(ctx context.Context, guide Guide) error {
	q := store.Query{States: []string{incident.Open, incident.Acknowledged, incident.Resolved}, Limit: dutiesAtOnce}
	for {
		began := time.Now()
		list, next, err := p.store.Incidents(ctx, q)
		if err != nil {
			return err
		}
		if err := p.review(ctx, guide, list); err != nil {
			return err
		}
		if q.Cursor = next; next == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Since(began)):
		}
	}
}

func (p *Pipeline) review(ctx context.Context, guide Guide, list []*incident.Incident) error {
	ids := make([]incident.ID, len(list))
	for n, i := range list {
		ids[n] = i.ID
	}
	armed, err := p.store.Armed(ctx, incident.JobDuty, ids)
	if err != nil {
		return err
	}
	var changes []incident.Change
	now := p.store.Now()
	for n, i := range list {
		due := guide.Due(i, now)
		if due.IsZero() || !armed[n].IsZero() && !armed[n].After(due) {
			continue
		}
		job := incident.Job{Subject: i.ID.String(), Kind: incident.JobDuty, Due: due, NoLater: true}
		changes = append(changes, incident.Change{ID: uuid.New(), Incident: i.ID, Step: func(st incident.State) (incident.Next, error) {
			if st.Incident == nil {
				return incident.Next{}, nil
			}
			return incident.Next{Jobs: []incident.Job{job}}, nil
		}})
	}
	if len(changes) == 0 {
		return nil
	}
	return p.updateThose(ctx, changes)
}

// updateThose commits changes of incidents, as far as they are still there.
func (p *Pipeline) updateThose(ctx context.Context, changes []incident.Change) error {
	err := p.store.Update(ctx, changes)
	if !errors.Is(err, incident.ErrNotFound) {
		return err
	}
	for n := range changes {
		if err := p.store.Update(ctx, changes[n:n+1]); err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
	}
	return nil
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
