package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// poll is how often due jobs are looked for.
	poll = time.Second
	// reconcileRounds is after how many polls older generations are looked at, and what
	// is announced.
	reconcileRounds = 30
	// leaseTime is how long a job may take before it counts as abandoned, which is
	// also how late the jobs of a gateway that was killed are.
	leaseTime = 30 * time.Second
	// leaseKept is until how long before its end a lease is made use of.
	leaseKept = 10 * time.Second
	// jobsAtOnce is how many jobs one poll claims.
	jobsAtOnce = 200
	// entriesAtOnce is how many entries of a key are looked at, and ended, at once.
	entriesAtOnce = 1000
	// heldPause is how long expiry waits before it asks again whether it may.
	heldPause = 10 * time.Second
)

// HoldExpiry makes expiry wait while held returns true: what was received says
// that an alert still fires, but has not come here yet. It is called before Run.
func (p *Pipeline) HoldExpiry(held func() bool) { p.held = held }

// Run does the jobs that are due, until ctx ends.
func (p *Pipeline) Run(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	defer p.outsideDone.Wait()
	if p.notifier != nil {
		defer p.notifier.Wait()
	}
	waiting := false
	var woken <-chan struct{} = p.wake
	pause := time.NewTimer(0)
	defer pause.Stop()
	for round := 0; ; {
		compares, announces := false, false
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
			woken = p.wake
			continue
		case <-woken:
			woken = nil
			pause.Reset(wakesApart)
		case <-tick.C:
			compares = round%reconcileRounds == 0
			announces = p.announces.Swap(false) || compares
			round++
		}
		err := p.RunDue(ctx)
		if r := p.rules.Load(); err == nil && compares && (len(r.elders) > 0 || r.overruled()) {
			err = p.reconcile(ctx)
		}
		if err == nil && compares {
			_, err = p.hasNewestProcess(ctx)
		}
		if err == nil && announces {
			err = p.announce(ctx)
		}
		if err != nil && announces {
			p.announces.Store(true)
		}
		switch { // an outage is two lines, not one a second
		case ctx.Err() != nil:
		case err != nil && !waiting:
			p.log.WarnContext(ctx, "jobs wait for the store", "err", err)
		case err == nil && waiting:
			p.log.InfoContext(ctx, "jobs go on")
		}
		waiting = err != nil
	}
}

// claimed are leased jobs on their way. An outage of the store leaves some
// undone: whoever has leased them goes on with them, since nobody else may.
type claimed struct {
	leases []store.Lease
	until  time.Time
}

// RunDue does all jobs that are due now. It is for one goroutine at a time.
func (p *Pipeline) RunDue(ctx context.Context) error {
	for {
		if c := &p.claimed; len(c.leases) == 0 || !p.store.Now().Before(c.until) {
			until := p.store.Now().Add(leaseTime - leaseKept)
			leases, err := p.store.Claim(ctx, jobsAtOnce, leaseTime)
			if err != nil || len(leases) == 0 {
				return err
			}
			*c = claimed{p.tell(ctx, leases), until}
		}
		duties, others := takeDuties(p.claimed.leases)
		if len(duties) > 0 {
			if err := p.duties(ctx, duties); err != nil {
				return err
			}
			p.claimed.leases = others
		}
		for len(p.claimed.leases) > 0 && p.store.Now().Before(p.claimed.until) {
			if err := p.runJob(ctx, p.claimed.leases[0]); err != nil {
				return err
			}
			p.claimed.leases = p.claimed.leases[1:]
		}
	}
}

// runJob does one job and says so to the store. A job that fails comes again,
// later each time.
func (p *Pipeline) runJob(ctx context.Context, l store.Lease) error {
	switch {
	case isOutside(l.Kind):
		p.goOutside(ctx, l)
		return nil
	case l.Kind == incident.JobNotify: // there is no notifier
		return p.store.Done(ctx, l)
	}
	return p.finish(ctx, l)
}

// finish does a job to its end.
func (p *Pipeline) finish(ctx context.Context, l store.Lease) error {
	again, err := p.do(ctx, l)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return err // the lease ends by itself
	case err != nil && l.Kind == jobWriteBack && l.Attempts >= writeBackTries:
		p.log.ErrorContext(ctx, "the sources of an incident are not told any more", "incident", l.Subject, "attempts", l.Attempts, "err", err)
	case err != nil:
		delay := retryAfter(l.Attempts)
		if isOutside(l.Kind) {
			delay = retryOutside(l.Attempts)
		}
		p.log.ErrorContext(ctx, "job failed", "kind", l.Kind, "subject", l.Subject, "attempt", l.Attempts, "err", err)
		return p.store.Retry(ctx, l, p.store.Now().Add(delay), err.Error())
	case !again.IsZero():
		// Armed like any other, so that whoever armed it meanwhile, for earlier or
		// for later, is not overruled: the earliest time holds.
		if err := p.arm(ctx, l.Job, again); err != nil {
			return err
		}
	}
	return p.store.Done(ctx, l)
}

// retryAfter is how long a job waits that has failed so many times.
func retryAfter(attempts int) time.Duration { return min(time.Second<<min(attempts, 12), time.Hour) }

// arm arms the job of a key for the given time, or an earlier one that is armed already.
func (p *Pipeline) arm(ctx context.Context, j incident.Job, due time.Time) error {
	var key incident.Key
	if err := key.UnmarshalText([]byte(j.Subject)); err != nil {
		return err // unreachable: only jobs of keys come again
	}
	j.Due, j.NoLater = due, true
	return p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Jobs: []incident.Job{j}}, nil
	}}})
}

// do looks at the job's subject as it is now. Again is when to look next, zero
// if never.
func (p *Pipeline) do(ctx context.Context, l store.Lease) (again time.Time, err error) {
	var key incident.Key
	ofKey := key.UnmarshalText([]byte(l.Subject)) == nil
	switch {
	case l.Kind == incident.JobExpiry && ofKey && p.held != nil && p.held():
		return p.store.Now().Add(heldPause), nil
	case l.Kind == incident.JobExpiry && ofKey:
		return p.expire(ctx, key)
	case l.Kind == jobCompare && ofKey:
		return p.compare(ctx, l.Target)
	case l.Kind == jobWriteBack:
		return time.Time{}, p.writeBack(ctx, l.Subject)
	case l.Kind == jobHeartbeat && ofKey:
		return p.overdue(ctx, l.Target)
	case l.Kind == jobAnnounce && ofKey:
		return time.Time{}, nil
	case l.Kind == incident.JobRetention && ofKey:
		return p.forget(ctx, key)
	case l.Kind == incident.JobRetention:
		return time.Time{}, p.retire(ctx, l.Subject)
	case l.Kind == incident.JobClose:
		return time.Time{}, p.onIncident(ctx, l.Subject, func(e *incident.Edit) error {
			switch {
			case e.Incident.State != incident.Resolved:
				return nil
			case e.Incident.Alerts.Firing > 0:
				e.Defer()
				return nil
			}
			return e.Close(incident.System, "nothing happened since it was resolved")
		})
	case l.Kind == incident.JobSnooze:
		return time.Time{}, p.onIncident(ctx, l.Subject, func(e *incident.Edit) error { e.EndSnooze(); return nil })
	case l.Kind == incident.JobFamily:
		_, err := p.family(ctx, l.Subject, l.Target)
		return time.Time{}, err
	case l.Kind == incident.JobStillFiring:
		return time.Time{}, p.onIncident(ctx, l.Subject, func(e *incident.Edit) error { e.Remind(); return nil })
	}
	return time.Time{}, fmt.Errorf("router: no such job: %s", l.Kind)
}

// onIncident edits an incident if it still exists.
func (p *Pipeline) onIncident(ctx context.Context, subject string, edit func(*incident.Edit) error) error {
	id, err := incident.ParseID(subject)
	if err != nil {
		return err
	}
	policy := p.rules.Load().policy
	var outcomes []incident.DutyOutcome
	err = p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Incident: id, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if st.Incident == nil {
			return next, nil
		}
		e := policy.Change(st.Incident, st.Now)
		if err := edit(e); err != nil {
			return next, err
		}
		if e.Changed() {
			e.Into(&next)
		} else {
			e.IntoJobs(&next)
		}
		outcomes = next.Duties
		return next, nil
	}}})
	if errors.Is(err, incident.ErrNotFound) {
		return nil
	}
	if err == nil {
		p.countDuties(outcomes)
	}
	return err
}

// expire ends the alerts of a key whose validity ran out. Silence counts only
// while we listened: after a break everybody gets one validity more.
func (p *Pipeline) expire(ctx context.Context, key incident.Key) (again time.Time, err error) {
	now := p.store.Now()
	var over []alert.Fingerprint
	for cursor := ""; ; {
		entries, next, err := p.store.KeyEntries(ctx, key, cursor, entriesAtOnce)
		if err != nil {
			return time.Time{}, err
		}
		for _, e := range entries {
			if !e.Firing || e.ValidUntil.IsZero() {
				continue
			}
			until := e.ValidUntil
			if grace := p.store.ListeningSince().Add(e.Validity()); grace.After(until) {
				until = grace
			}
			if until.After(now) {
				again = earlier(again, until)
			} else {
				over = append(over, e.Fingerprint)
			}
		}
		if len(over) >= entriesAtOnce || next == "" {
			if err := p.end(ctx, key, over); err != nil {
				return time.Time{}, err
			}
			over = over[:0]
		}
		if cursor = next; cursor == "" {
			return again, nil
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// end runs expiries through the same step as all other events.
func (p *Pipeline) end(ctx context.Context, key incident.Key, over []alert.Fingerprint) error {
	if len(over) == 0 {
		return nil
	}
	b := &dedupe.Batch{Place: dedupe.PlaceOf(key), Policy: p.rules.Load().policyOf("")}
	for _, fp := range over {
		b.Events = append(b.Events, dedupe.Event{Fingerprint: fp, Expiry: true})
	}
	return p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: key, Fingerprints: b.Fingerprints(), Step: b.Step}})
}

// forget removes the ended alerts of a key that belong to no incident.
func (p *Pipeline) forget(ctx context.Context, key incident.Key) (again time.Time, err error) {
	now := p.store.Now()
	for cursor := ""; ; {
		entries, next, err := p.store.KeyEntries(ctx, key, cursor, entriesAtOnce)
		if err != nil {
			return time.Time{}, err
		}
		var gone []alert.Fingerprint
		for _, e := range entries {
			switch kept := e.LastSeen.Add(dedupe.TombstoneKept); {
			case e.Firing || !e.Incident.IsZero():
			case kept.After(now):
				again = earlier(again, kept)
			default:
				gone = append(gone, e.Fingerprint)
			}
		}
		if len(gone) > 0 {
			change := incident.Change{ID: uuid.New(), Key: key, Fingerprints: gone, Step: func(st incident.State) (incident.Next, error) {
				var next incident.Next
				for _, e := range st.Entries {
					if e.Exists() && !e.Firing && e.Incident.IsZero() && !e.LastSeen.Add(dedupe.TombstoneKept).After(st.Now) {
						next.Remove = append(next.Remove, e)
					}
				}
				return next, nil
			}}
			if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
				return time.Time{}, err
			}
		}
		if cursor = next; cursor == "" {
			return again, nil
		}
	}
}

// retire removes a closed incident whose retention is over.
func (p *Pipeline) retire(ctx context.Context, subject string) error {
	i, err := p.store.Incident(ctx, subject)
	if errors.Is(err, incident.ErrNotFound) || err == nil && i.State != incident.Closed {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.putOver(ctx, incident.Document{Type: typeWriteBack, ID: i.ID.String()}); err != nil {
		return err
	}
	if p.notifier != nil {
		if err := p.notifier.Forget(ctx, i.ID.String()); err != nil {
			return err
		}
	}
	return p.store.Remove(ctx, i.ID)
}
