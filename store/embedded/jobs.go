package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// job is the stored form. Its place in the order of due times is its lease's
// end while it is leased, so that a lease that nobody finished comes up again.
type job struct {
	Due      time.Time `json:"due"`
	Token    uint64    `json:"token"`
	Leased   time.Time `json:"leased,omitzero"`
	Attempts int       `json:"attempts,omitzero"`
	Error    string    `json:"error,omitzero"`
}

func (j *job) position() time.Time {
	if !j.Leased.IsZero() {
		return j.Leased
	}
	return j.Due
}

// putJobs arms and disarms. A leased job keeps its lease but gets a new token,
// so that whoever is at it cannot finish what was armed meanwhile.
func (w *writing) putJobs(jobs []incident.Job) error {
	if len(jobs) > 0 && !w.holdsJobs {
		w.s.jobMu.Lock()
		w.holdsJobs = true
	}
	for _, n := range jobs {
		name := jobName(n.Subject, n.Kind, n.Target)
		var row job
		found, err := w.s.getJSON(name, &row)
		if err != nil {
			return err
		}
		if found && n.NoLater && row.Leased.IsZero() && !row.Due.After(n.Due) {
			continue
		}
		if found {
			if err := w.batch.Delete(jobDueKey(row.position(), name), nil); err != nil {
				return err
			}
		}
		if n.Due.IsZero() {
			if found {
				if err := w.batch.Delete(name, nil); err != nil {
					return err
				}
			}
			continue
		}
		row = job{Due: n.Due.UTC(), Token: row.Token + 1, Leased: row.Leased}
		if err := w.putJob(name, &row); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) putJob(name []byte, row *job) error {
	return errors.Join(w.putJSON(name, row), w.batch.Set(jobDueKey(row.position(), name), nil, nil))
}

// endLeases gives back what was leased when the process ended: nobody else can
// hold a lease on this folder.
func (s *Store) endLeases() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowJob}, UpperBound: []byte{rowJob + 1}})
	if err != nil {
		return err
	}
	w := &writing{s: s, batch: s.db.NewBatch()}
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
		row.Leased = time.Time{}
		if err := errors.Join(err, w.putJob(name, &row)); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Close(), s.db.Apply(w.batch, pebble.Sync))
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
	names, err := s.dueJobs(now, limit)
	if err != nil {
		return nil, err
	}
	w := &writing{s: s, batch: s.db.NewBatch()}
	defer func() { _ = w.batch.Close() }() // it only frees memory
	var leases []store.Lease
	for _, name := range names {
		var row job
		found, err := s.getJSON(name, &row)
		if err != nil {
			return nil, err
		}
		if !found {
			continue // unreachable: the index is written with the row
		}
		if err := w.batch.Delete(jobDueKey(row.position(), name), nil); err != nil {
			return nil, err
		}
		row.Leased, row.Attempts = now.Add(lease), row.Attempts+1
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

func (s *Store) dueJobs(now time.Time, limit int) ([][]byte, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowJobDue},
		UpperBound: binary.BigEndian.AppendUint64([]byte{rowJobDue}, uint64(now.UnixMilli())+1)})
	if err != nil {
		return nil, &store.UnavailableError{Cause: err}
	}
	var names [][]byte
	for ok := it.First(); ok && len(names) < limit; ok = it.Next() {
		names = append(names, append([]byte{rowJob}, it.Key()[9:]...))
	}
	return names, it.Close()
}

func (s *Store) apply(b *pebble.Batch, o *pebble.WriteOptions) error {
	if b.Empty() {
		return nil
	}
	if err := s.guard(func() error { return s.db.Apply(b, o) }); err != nil {
		return s.fail(err)
	}
	return nil
}

// Done implements store.Store.
func (s *Store) Done(ctx context.Context, l store.Lease) error {
	return s.finishJob(l, func(row *job) bool { return false })
}

// Retry implements store.Store.
func (s *Store) Retry(ctx context.Context, l store.Lease, due time.Time, cause string) error {
	return s.finishJob(l, func(row *job) bool {
		row.Due, row.Error = due.UTC(), cause
		return true
	})
}

// finishJob ends a lease. If the job was not armed again meanwhile, change says
// whether it stays.
func (s *Store) finishJob(l store.Lease, change func(*job) (keep bool)) error {
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
	if err != nil || !found {
		return err
	}
	w := &writing{s: s, batch: s.db.NewBatch()}
	defer func() { _ = w.batch.Close() }() // it only frees memory
	if err := w.batch.Delete(jobDueKey(row.position(), name), nil); err != nil {
		return err
	}
	keep := true
	if row.Token == l.Token {
		keep = change(&row)
	}
	row.Leased = time.Time{}
	if keep {
		err = w.putJob(name, &row)
	} else {
		err = w.batch.Delete(name, nil)
	}
	if err != nil {
		return err
	}
	return s.apply(w.batch, pebble.Sync)
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
