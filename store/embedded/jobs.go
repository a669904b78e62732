package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// job is the stored form.
type job struct {
	// Due is zero for a job that was disarmed while somebody was at it.
	Due time.Time `json:"due"`
	// Token changes whenever the job is armed or claimed, and never comes again.
	Token uint64 `json:"token"`
	// Leased is when the lease ends, and Holder the token it was given out with.
	Leased time.Time `json:"leased,omitzero"`
	Holder uint64    `json:"holder,omitzero"`
	// Armed is when it comes by what was armed with NoLater since it was leased; Due is
	// still what was claimed then, which it comes for again if nobody finishes that. It
	// says nothing, and may be old, unless somebody is at it whom it has another token than.
	Armed    time.Time `json:"armed,omitzero"`
	Attempts int       `json:"attempts,omitzero"`
	Error    string    `json:"error,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// position is the job's place in the order of due times: not before its lease
// ends, so that a lease that nobody finished comes up again, nor before it is due.
func (j *job) position() time.Time {
	if j.Leased.After(j.Due) {
		return j.Leased
	}
	return j.Due
}

// news reports whether it was armed or disarmed since somebody is at it.
func (j *job) news() bool { return !j.Leased.IsZero() && j.Token != j.Holder }

// busy reports whether somebody is at it who has to finish it.
func (j *job) busy() bool { return !j.Leased.IsZero() && (!j.news() || !j.Armed.IsZero()) }

// waits is when a claim that is not given out yet is ahead, zero if none is.
func (j *job) waits() time.Time {
	switch {
	case j.Leased.IsZero():
		return j.Due
	case !j.news():
		return time.Time{}
	case !j.Armed.IsZero():
		return j.Armed
	}
	return j.Due
}

// release ends the lease.
func (j *job) release() { j.Leased, j.Holder, j.Armed = time.Time{}, 0, time.Time{} }

func newToken() uint64 { return 1 + rand.Uint64N(1<<53-1) }

// putJobs arms and disarms. A leased job keeps its lease but gets a new token,
// so that whoever is at it cannot finish what was armed meanwhile, and nobody
// else begins before they are done; or the commit itself is the end of the lease.
// NoLater does not put off what is leased either, which may never be finished.
func (w *writing) putJobs(jobs []incident.Job) error {
	if len(jobs) > 0 && !w.holdsJobs {
		w.s.jobMu.Lock()
		w.holdsJobs = true
	}
	for _, n := range jobs {
		name := jobName(n.Subject, n.Kind, n.Target)
		row := w.jobs[string(name)] // this very batch may have it already
		if row == nil {
			row = &job{}
			if _, err := w.s.getJSON(name, row); err != nil {
				return err
			}
		}
		found := row.Token != 0
		ends := n.Lease != 0 && row.Holder == n.Lease
		if waits := row.waits(); n.NoLater && !waits.IsZero() && (n.Due.IsZero() || !waits.After(n.Due)) {
			if !ends {
				continue
			}
			n.Due = waits
		}
		if n.NoLater && n.Due.IsZero() && !ends && row.busy() {
			continue // whoever is at it has to finish it first
		}
		if w.jobs == nil {
			w.jobs = map[string]*job{}
		}
		w.jobs[string(name)] = row
		if found {
			if err := w.batch.Delete(jobDueKey(row.position(), name), nil); err != nil {
				return err
			}
		}
		if ends {
			row.release()
		}
		if n.Due.IsZero() && !row.Leased.After(w.s.Now()) {
			if found {
				if err := w.batch.Delete(name, nil); err != nil {
					return err
				}
			}
			*row = job{}
			continue
		}
		if n.NoLater && row.busy() {
			row.Armed = n.Due.UTC()
		} else {
			row.Due, row.Armed = n.Due.UTC(), time.Time{}
		}
		row.Token, row.Attempts, row.Error = newToken(), 0, ""
		if err := w.putJob(name, row); err != nil {
			return err
		}
	}
	return nil
}

// putJob writes a row and its place in the order. The caller holds jobMu.
func (w *writing) putJob(name []byte, row *job) error {
	w.s.dueFrom = min(w.s.dueFrom, millis(row.position()))
	return errors.Join(w.putJSON(name, row), w.batch.Set(jobDueKey(row.position(), name), nil, nil))
}

// endLeases gives back what was leased when the process ended: nobody else can
// hold a lease on this folder.
func (s *Store) endLeases() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowJob}, UpperBound: []byte{rowJob + 1}})
	if err != nil {
		return err
	}
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	for ok := it.First(); ok; ok = it.Next() {
		var row job
		if err := json.Unmarshal(it.Value(), &row); err != nil {
			return errors.Join(fmt.Errorf("store: job %q: %w", it.Key(), err), it.Close())
		}
		if row.Leased.IsZero() {
			continue
		}
		name := bytes.Clone(it.Key())
		err := w.batch.Delete(jobDueKey(row.position(), name), nil)
		if row.release(); row.Due.IsZero() {
			err = errors.Join(err, w.batch.Delete(name, nil))
		} else {
			err = errors.Join(err, w.putJob(name, &row))
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil || w.batch.Empty() {
		return err
	}
	return s.write(w.batch, pebble.Sync)
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Lease, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if s.full.Load() {
		return nil, &store.UnavailableError{Cause: errDiskFull}
	}
	s.jobMu.Lock()
	defer s.jobMu.Unlock()
	now := s.Now()
	places, err := s.dueJobs(now, limit)
	if err != nil {
		return nil, err
	}
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	var leases []store.Lease
	for _, place := range places {
		name := append([]byte{rowJob}, place[9:]...)
		var row job
		found, err := s.getJSON(name, &row)
		if err != nil {
			return nil, err
		}
		if err := w.batch.Delete(place, nil); err != nil {
			return nil, err
		}
		if !found || !bytes.Equal(place, jobDueKey(row.position(), name)) {
			continue // left over by an older version, which did not see what it had armed in the same batch
		}
		row.release()
		if row.Due.IsZero() {
			if err := w.batch.Delete(name, nil); err != nil {
				return nil, err
			}
			continue
		}
		row.Leased, row.Attempts, row.Token = now.Add(lease), row.Attempts+1, newToken()
		row.Holder = row.Token
		if err := w.putJob(name, &row); err != nil {
			return nil, err
		}
		parts := bytes.SplitN(name[1:], []byte{0}, 3)
		leases = append(leases, store.Lease{
			Job:   incident.Job{Subject: string(parts[0]), Kind: string(parts[1]), Target: string(parts[2]), Due: row.Due},
			Token: row.Token, Attempts: row.Attempts, LastError: row.Error})
	}
	// A lease need not survive a crash: then nobody holds it any more.
	return leases, s.apply(w.batch, pebble.NoSync)
}

// dueJobs lists the places of jobs that are due. The caller holds jobMu.
//
// Jobs leave the front of their order all the time, and the engine has to step
// over each that left until it has cleaned up. So it begins where it last found
// something.
func (s *Store) dueJobs(now time.Time, limit int) ([][]byte, error) {
	until := millis(now) + 1
	bound := func(at uint64) []byte { return binary.BigEndian.AppendUint64([]byte{rowJobDue}, at) }
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: bound(min(s.dueFrom, until)), UpperBound: bound(until)})
	if err != nil {
		return nil, &store.UnavailableError{Cause: err}
	}
	var places [][]byte
	first := until
	for ok := it.First(); ok && len(places) < limit; ok = it.Next() {
		if len(places) == 0 {
			first = binary.BigEndian.Uint64(it.Key()[1:9])
		}
		places = append(places, bytes.Clone(it.Key()))
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	s.dueFrom = max(s.dueFrom, first)
	return places, nil
}

// millis is a place in the order of due times.
func millis(at time.Time) uint64 { return uint64(max(at.UnixMilli(), 0)) }

func (s *Store) apply(b *pebble.Batch, o *pebble.WriteOptions) error {
	if b.Empty() {
		return nil
	}
	if err := s.write(b, o); err != nil {
		return s.fail(err)
	}
	return nil
}

// Done implements store.Store.
func (s *Store) Done(ctx context.Context, l store.Lease) error {
	return s.finishJob(l, func(row *job) { row.Due = row.waits() })
}

// Retry implements store.Store.
func (s *Store) Retry(ctx context.Context, l store.Lease, due time.Time, cause string) error {
	return s.finishJob(l, func(row *job) {
		if !row.busy() {
			return
		}
		if row.Due = row.waits(); row.Due.IsZero() || row.Due.After(due) {
			row.Due, row.Error = due.UTC(), cause
		}
	})
}

// finishJob ends a lease after change. The job stays if it is due again then.
func (s *Store) finishJob(l store.Lease, change func(*job)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.jobMu.Lock()
	defer s.jobMu.Unlock()
	name := jobName(l.Subject, l.Kind, l.Target)
	var row job
	found, err := s.getJSON(name, &row)
	if err != nil || !found || row.Holder != l.Token {
		return err // if there is one: else the lease ended and somebody else has the job
	}
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	if err := w.batch.Delete(jobDueKey(row.position(), name), nil); err != nil {
		return err
	}
	change(&row)
	if row.release(); row.Due.IsZero() {
		err = w.batch.Delete(name, nil)
	} else {
		err = w.putJob(name, &row)
	}
	if err != nil {
		return err
	}
	return s.apply(w.batch, pebble.Sync)
}

// Armed implements store.Store.
func (s *Store) Armed(ctx context.Context, kind string, ids []incident.ID) ([]time.Time, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]time.Time, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	order := make([]int, len(ids))
	for n := range order {
		order[n] = n
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(ids[a][:], ids[b][:]) })
	names := make([][]byte, len(ids))
	for k, n := range order {
		names[k] = jobName(ids[n].String(), kind, "")
	}
	return out, s.walk(names, func(k int, value []byte) error {
		var row job
		if err := json.Unmarshal(value, &row); err != nil {
			return fmt.Errorf("store: row %q: %w", names[k], err)
		}
		out[order[k]] = row.waits()
		return nil
	})
}

// Jobs implements store.Store.
func (s *Store) Jobs(ctx context.Context) ([]store.JobCount, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	now := s.Now()
	type group struct{ kind, state string }
	counts := map[group]*store.JobCount{}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowJobDue}, UpperBound: []byte{rowJobDue + 1}})
	if err != nil {
		return nil, &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		at := time.UnixMilli(int64(binary.BigEndian.Uint64(it.Key()[1:9])))
		parts := bytes.SplitN(it.Key()[9:], []byte{0}, 3)
		g := group{string(parts[1]), "waiting"}
		if !at.After(now) {
			g.state = "due"
		}
		c := counts[g]
		if c == nil {
			c = &store.JobCount{Kind: g.kind, State: g.state}
			counts[g] = c
		}
		c.Count++
		c.Lag = max(c.Lag, now.Sub(at))
	}
	var out []store.JobCount
	for _, c := range counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b store.JobCount) int {
		return bytes.Compare([]byte(a.Kind+a.State), []byte(b.Kind+b.State))
	})
	return out, it.Close()
}
