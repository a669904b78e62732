package embedded

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// maxRuns bounds how often one step may ask for more.
const maxRuns = 16

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, changes []incident.Change) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := ctx.Err(); err != nil {
		return &store.UnavailableError{Cause: err}
	}
	pending, err := s.settle(changes)
	if err != nil {
		return err
	}
	if len(pending) == 0 {
		// What made it a repeat may not be on the disk yet.
		if err := s.gate.wait(); err != nil {
			return &store.UnavailableError{Cause: err}
		}
		return nil
	}
	if s.full.Load() && !changes[0].Preview {
		return &store.UnavailableError{Cause: errDiskFull}
	}
	return s.commit(pending)
}

// settle takes the short way for changes that turn out to be repeats, and
// returns the others.
func (s *Store) settle(changes []incident.Change) ([]*incident.Change, error) {
	now := s.Now()
	s.genMu.RLock()
	epoch := s.generations.Epoch
	s.genMu.RUnlock()
	pending := make([]*incident.Change, 0, len(changes))
	var entries []incident.Entry
	var buf []byte
	for i := range changes {
		c := &changes[i]
		if c.Epoch != 0 && c.Epoch != epoch {
			return nil, store.ErrEpoch
		}
		if c.Settled == nil || c.Preview {
			pending = append(pending, c)
			continue
		}
		entries = entries[:0]
		for _, fp := range c.Fingerprints {
			e, err := s.live(&buf, c.Key, fp)
			if err != nil {
				return nil, err
			}
			if !e.Exists() {
				break // it is news: no need to look at the rest
			}
			s.repeats.Peek(c.Key, &e.Entry)
			entries = append(entries, e.Entry)
		}
		if len(entries) < len(c.Fingerprints) {
			pending = append(pending, c)
			continue
		}
		patches, ok := c.Settled(now, entries)
		if !ok {
			pending = append(pending, c)
			continue
		}
		for n, p := range patches {
			if p.Count > 0 {
				s.repeats.Add(c.Key, &entries[n], p, now)
			}
		}
	}
	if s.repeats.Overfull() {
		if err := s.flushEntered(true); err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// live reads an entry of a key; one that does not exist is zero but for the fingerprint.
func (s *Store) live(buf *[]byte, k incident.Key, fp alert.Fingerprint) (row.Entry, error) {
	place := store.Place{Key: k, Fingerprint: fp}
	e, _, known := s.hot.get(place)
	if known {
		return e, nil
	}
	return s.entry(buf, rowEntry, k, fp)
}

// entry reads an entry from the engine.
func (s *Store) entry(buf *[]byte, kind byte, owner [16]byte, fp alert.Fingerprint) (row.Entry, error) {
	e, size, err := readEntry(s.db, buf, kind, owner, fp)
	s.cost.read(len(*buf) + size)
	return e, err
}

func readEntry(db pebble.Reader, buf *[]byte, kind byte, owner [16]byte, fp alert.Fingerprint) (e row.Entry, size int, err error) {
	*buf = entryKey((*buf)[:0], kind, owner, fp)
	v, closer, err := db.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return row.Entry{Entry: incident.Entry{Fingerprint: fp}}, 0, nil
	}
	if err != nil {
		return row.Entry{}, 0, &store.UnavailableError{Cause: err}
	}
	e, err = row.ParseEntry(v, fp)
	return e, len(v), errors.Join(err, closer.Close())
}

// commit commits the changes at once, but for those that turn out to be of a key
// that another one is of: these come after it.
func (s *Store) commit(changes []*incident.Change) error {
	if err := s.findKeys(changes); err != nil {
		return err
	}
	for len(changes) > 0 {
		now, later := changes, []*incident.Change(nil)
		if len(changes) > 1 && !changes[0].Incident.IsZero() {
			now, later = firstOfKeys(changes)
		}
		if err := s.commitKeys(now); err != nil {
			return err
		}
		changes = later
	}
	return nil
}

// firstOfKeys are the first changes of each key, and the others.
func firstOfKeys(changes []*incident.Change) (first, others []*incident.Change) {
	seen := make(map[incident.Key]bool, len(changes))
	for _, c := range changes {
		if seen[c.Key] {
			others = append(others, c)
			continue
		}
		seen[c.Key] = true
		first = append(first, c)
	}
	return first, others
}

// commitKeys decides the changes under the locks of their keys, applies them as
// one batch, and waits for the disk without the locks.
func (s *Store) commitKeys(changes []*incident.Change) error {
	s.genMu.RLock()
	unlock := s.lockKeys(changes)
	w := s.writing()
	w.preview = changes[0].Preview
	entries := 0
	for _, c := range changes {
		entries += len(c.Fingerprints)
	}
	w.room = make([]incident.Entry, entries)
	release := func() {
		if w.holdsJobs {
			s.jobMu.Unlock()
		}
		unlock()
		s.genMu.RUnlock()
	}
	for _, c := range changes {
		if c.Epoch != 0 && c.Epoch != s.generations.Epoch {
			release()
			return errors.Join(store.ErrEpoch, w.batch.Close())
		}
		if err := w.decide(c); err != nil {
			release()
			return errors.Join(err, w.batch.Close())
		}
	}
	if err := w.finish(); err != nil {
		release()
		return errors.Join(err, w.batch.Close())
	}
	if changes[0].Preview {
		release()
		return w.batch.Close()
	}
	if w.batch.Empty() {
		w.settled()
		release()
		if err := s.gate.wait(); err != nil {
			return &store.UnavailableError{Cause: err}
		}
		return w.batch.Close()
	}
	s.cost.write(w.batch)
	s.failpoint("before-commit")
	ticket := s.gate.begin()
	if err := s.commitBatch(w.batch, pebble.Sync); err != nil {
		release()
		return s.fail(err)
	}
	w.settled()
	release()
	if err := w.batch.SyncWait(); err != nil {
		s.recent.doubt(w.decided)
		return s.fail(err)
	}
	s.gate.end(ticket)
	s.failpoint("after-commit")
	return w.batch.Close()
}

func (s *Store) failpoint(name string) {
	if s.opts.Failpoint != nil {
		s.opts.Failpoint(name)
	}
}

// findKeys fills in the keys of changes that name an incident.
func (s *Store) findKeys(changes []*incident.Change) error {
	for _, c := range changes {
		if !c.Key.IsZero() || c.Incident.IsZero() {
			continue
		}
		i, err := s.header(c.Incident)
		if err != nil {
			return err
		}
		if i == nil {
			return incident.ErrNotFound
		}
		c.Key = i.Key
	}
	return nil
}

// lockKeys locks in one order for everybody, so that nobody waits in a circle.
func (s *Store) lockKeys(changes []*incident.Change) (unlock func()) {
	order := make([]int, 0, len(changes))
	for _, c := range changes {
		order = append(order, stripe(c.Key))
	}
	slices.Sort(order)
	order = slices.Compact(order)
	for _, n := range order {
		s.locks[n].Lock()
	}
	return func() {
		for _, n := range order {
			s.locks[n].Unlock()
		}
	}
}

func stripe(k incident.Key) int { return int(k[1])<<8&(stripes-1) | int(k[2]) }

// header reads an incident, nil if there is none. It is shared: nobody changes it.
func (s *Store) header(id incident.ID) (*incident.Incident, error) {
	if i := s.cache.incident(id); i != nil {
		return i, nil
	}
	v, ok, err := s.get(idKey(rowIncident, id))
	if err != nil || !ok {
		return nil, err
	}
	return row.ParseIncident(v)
}

func (s *Store) keyState(k incident.Key) (*incident.KeyState, error) {
	if ks := s.cache.key(k); ks != nil {
		return ks, nil
	}
	ks := &incident.KeyState{}
	ok, err := s.getJSON(idKey(rowKey, k), ks)
	if err != nil || !ok {
		return nil, err
	}
	return ks, nil
}

// content reads what an alert said, nil if nothing is stored.
func (s *Store) content(number uint64) (*alert.Alert, error) { return readContent(s.db, number) }

func readContent(db pebble.Reader, number uint64) (*alert.Alert, error) {
	if number == 0 {
		return nil, nil
	}
	v, ok, err := read(db, contentKey(nil, number))
	if err != nil || !ok {
		return nil, err
	}
	return row.ParseContent(v)
}
