package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
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
			s.repeats.peek(c.Key, &e.Entry)
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
				s.repeats.add(c.Key, &entries[n], p, now)
			}
		}
	}
	if s.repeats.overfull() {
		if err := s.flushEntered(true); err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// live reads an entry of a key; one that does not exist is zero but for the fingerprint.
func (s *Store) live(buf *[]byte, k incident.Key, fp alert.Fingerprint) (stored, error) {
	place := store.Place{Key: k, Fingerprint: fp}
	e, _, known := s.hot.get(place)
	if known {
		return e, nil
	}
	return s.entry(buf, rowEntry, k, fp)
}

// entry reads an entry from the engine.
func (s *Store) entry(buf *[]byte, row byte, owner [16]byte, fp alert.Fingerprint) (stored, error) {
	e, size, err := readEntry(s.db, buf, row, owner, fp)
	s.cost.read(len(*buf) + size)
	return e, err
}

func readEntry(db pebble.Reader, buf *[]byte, row byte, owner [16]byte, fp alert.Fingerprint) (e stored, size int, err error) {
	*buf = entryKey((*buf)[:0], row, owner, fp)
	v, closer, err := db.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return stored{Entry: incident.Entry{Fingerprint: fp}}, 0, nil
	}
	if err != nil {
		return stored{}, 0, &store.UnavailableError{Cause: err}
	}
	e, err = parseEntry(v, fp)
	return e, len(v), errors.Join(err, closer.Close())
}

// commit decides the changes under the locks of their keys, applies them as
// one batch, and waits for the disk without the locks.
func (s *Store) commit(changes []*incident.Change) error {
	if err := s.findKeys(changes); err != nil {
		return err
	}
	s.genMu.RLock()
	unlock := s.lockKeys(changes)
	w := s.writing()
	w.preview = changes[0].Preview
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
	return parseIncident(v)
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

// writing is one batch on its way.
type writing struct {
	s     *Store
	batch *pebble.Batch
	buf   []byte
	value []byte
	// counted is how many gathered repeats the entries that were read include.
	counted map[store.Place]uint64
	entries []written
	decided []proof
	preview bool
	// firing is by how much the firing alerts of each generation change.
	firing map[incident.Generation]int64
	// holdsJobs: the batch has jobs, so nobody else may touch any before it is applied.
	holdsJobs bool
	// after is done once the batch is applied, still under the locks.
	after []func()
}

// countIn adds the repeats that were gathered for e.
func (w *writing) countIn(k incident.Key, e *incident.Entry) {
	if !e.Exists() {
		return
	}
	if n := w.s.repeats.peek(k, e); n > 0 {
		w.counted[store.Place{Key: k, Fingerprint: e.Fingerprint}] = n
	}
}

// written is an entry that the batch writes.
type written struct {
	place store.Place
	entry stored
}

func (s *Store) writing() *writing {
	return &writing{s: s, batch: s.db.NewBatch(), counted: map[store.Place]uint64{}, firing: map[incident.Generation]int64{}}
}

func (w *writing) settled() {
	for i := range w.entries {
		w.s.hot.put(w.entries[i].place, &w.entries[i].entry)
	}
	for _, f := range w.after {
		f()
	}
}

// decide runs the step of c and puts what it says into the batch.
func (w *writing) decide(c *incident.Change) error {
	if w.s.recent.seen(c.ID) {
		return nil
	}
	st, err := w.state(c)
	if err != nil {
		return err
	}
	for range maxRuns {
		next, err := c.Step(st)
		if err != nil {
			return err
		}
		if next.Want.IsZero() {
			return w.put(c, &st, &next)
		}
		if err := w.more(c, &st, next.Want); err != nil {
			return err
		}
	}
	return fmt.Errorf("store: a step for key %s asked for more %d times", c.Key, maxRuns)
}

func (w *writing) state(c *incident.Change) (incident.State, error) {
	s := w.s
	st := incident.State{Now: s.Now(), Entries: make([]incident.Entry, len(c.Fingerprints))}
	var err error
	if st.Key, err = s.keyState(c.Key); err != nil {
		return st, err
	}
	name := c.Incident
	if name.IsZero() && st.Key != nil {
		name = st.Key.Incident
	}
	if !name.IsZero() {
		if st.Incident, err = s.header(name); err != nil {
			return st, err
		}
	}
	if st.Key != nil && st.Key.ChangedAt.After(st.Now) {
		st.Now = st.Key.ChangedAt
	}
	if st.Incident != nil && st.Incident.ChangedAt.After(st.Now) {
		st.Now = st.Incident.ChangedAt
	}
	for i, fp := range c.Fingerprints {
		e, err := s.live(&w.buf, c.Key, fp)
		if err != nil {
			return st, err
		}
		st.Entries[i] = e.Entry
		w.countIn(c.Key, &st.Entries[i])
	}
	st.NewID = func(n int) incident.ID { return incident.NewID(st.Now, c.ID, n, c.Key.Shard()) }
	return st, nil
}

func (w *writing) more(c *incident.Change, st *incident.State, want incident.Want) error {
	if st.More == nil {
		st.More, st.Others = map[alert.Fingerprint]incident.Known{}, map[incident.ID]*incident.Incident{}
	}
	for _, fp := range want.Fingerprints {
		e, err := w.s.live(&w.buf, c.Key, fp)
		if err != nil {
			return err
		}
		w.countIn(c.Key, &e.Entry)
		content, err := w.s.content(e.content)
		if err != nil {
			return err
		}
		st.More[fp] = incident.Known{Entry: e.Entry, Content: content}
	}
	for _, id := range want.Incidents {
		i, err := w.s.header(id)
		if err != nil {
			return err
		}
		st.Others[id] = i
	}
	return nil
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
	return parseContent(v)
}

// put writes what a step decided.
func (w *writing) put(c *incident.Change, st *incident.State, next *incident.Next) error {
	id := c.ID
	w.after = append(w.after, func() { w.s.recent.add(id) })
	defer func() { w.decided = append(w.decided, proofOf(c.ID, next)) }()
	if err := errors.Join(w.putArchive(c.Key, next), w.putEntries(c.Key, next), w.countOccurrences(c.Key, next)); err != nil {
		return err
	}
	if next.Key != nil {
		if err := w.putKey(c.Key, *next.Key, st.Now); err != nil {
			return err
		}
	}
	for _, i := range next.Incidents {
		old := st.Others[i.ID]
		if st.Incident != nil && st.Incident.ID == i.ID {
			old = st.Incident
		}
		if err := w.putIncident(old, i); err != nil {
			return err
		}
	}
	for n := range next.Timeline {
		t := &next.Timeline[n]
		w.value = appendTimeline(w.value[:0], t)
		if err := w.batch.Set(timelineKey(t.Incident, t.Seq), w.value, nil); err != nil {
			return err
		}
	}
	for _, p := range next.Patches {
		p := p
		key, now := c.Key, st.Now
		w.after = append(w.after, func() {
			e := incident.Entry{Fingerprint: p.Fingerprint, LastSeen: p.Patch.LastSeen, ValidUntil: p.Patch.ValidUntil}
			w.s.repeats.add(key, &e, p.Patch, now)
		})
	}
	for _, o := range next.Observations {
		if err := w.observe(o); err != nil {
			return err
		}
	}
	return w.putJobs(next.Jobs)
}

func (w *writing) putJSON(key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("store: row %q: %w", key, err)
	}
	return w.batch.Set(key, data, nil)
}

func (w *writing) putKey(k incident.Key, ks incident.KeyState, now time.Time) error {
	ks.ChangedAt = now
	w.after = append(w.after, func() { w.s.cache.putKey(&ks) })
	return w.putJSON(idKey(rowKey, k), &ks)
}

// putArchive keeps entries, with what their alerts said, with their old incidents.
func (w *writing) putArchive(key incident.Key, next *incident.Next) error {
	for n := range next.Archive {
		e := &next.Archive[n]
		known, err := w.s.live(&w.buf, key, e.Fingerprint)
		if err != nil {
			return err
		}
		// It may have been there before, if the incident was opened again since.
		before, err := w.s.entry(&w.buf, rowArchivedEntry, e.Incident, e.Fingerprint)
		if err == nil && before.content != 0 && before.content != known.content {
			err = w.batch.Delete(contentKey(nil, before.content), nil)
		}
		if err != nil {
			return err
		}
		w.value = appendEntry(w.value[:0], &stored{*e, known.content})
		w.buf = entryKey(w.buf[:0], rowArchivedEntry, e.Incident, e.Fingerprint)
		if err := w.batch.Set(w.buf, w.value, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) putEntries(key incident.Key, next *incident.Next) error {
	w.entries = slices.Grow(w.entries, len(next.Entries))
	for n := range next.Entries {
		e := &next.Entries[n]
		number, err := w.putContent(key, e, next)
		if err != nil {
			return err
		}
		if err := w.putEntry(key, &stored{e.Entry, number}); err != nil {
			return err
		}
		w.countFiring(&e.Was, &e.Entry)
	}
	for n := range next.Remove {
		e := &next.Remove[n]
		known, err := w.s.live(&w.buf, key, e.Fingerprint)
		if err != nil {
			return err
		}
		if known.content != 0 && !archived(next, e.Fingerprint) {
			err = w.batch.Delete(contentKey(nil, known.content), nil)
		}
		if err := errors.Join(err, w.batch.Delete(entryKey(nil, rowEntry, key, e.Fingerprint), nil)); err != nil {
			return err
		}
		w.countFiring(e, &incident.Entry{})
		place := store.Place{Key: key, Fingerprint: e.Fingerprint}
		w.after = append(w.after, func() { w.s.repeats.drop(place); w.s.hot.remove(place) })
	}
	return nil
}

// putContent writes what the alert says, if that is new, and returns its number.
func (w *writing) putContent(key incident.Key, e *incident.EntryWrite, next *incident.Next) (number uint64, err error) {
	content := e.Content
	if e.Was.Exists() {
		known, err := w.s.live(&w.buf, key, e.Entry.Fingerprint)
		if err != nil {
			return 0, err
		}
		switch kept := archived(next, e.Entry.Fingerprint); {
		case content == nil && !kept:
			return known.content, nil
		case content == nil: // the archive has it now, so this one gets a copy
			said, ok, err := w.s.get(contentKey(nil, known.content))
			if err != nil || !ok {
				return 0, err
			}
			return w.putSaid(said)
		case known.content != 0 && !kept:
			if err := w.batch.Delete(contentKey(nil, known.content), nil); err != nil {
				return 0, err
			}
		}
	}
	if content == nil {
		return 0, nil
	}
	w.value = appendContent(w.value[:0], content)
	return w.putSaid(w.value)
}

func (w *writing) putSaid(said []byte) (number uint64, err error) {
	number = w.s.contents.Add(1)
	w.buf = contentKey(w.buf[:0], number)
	return number, w.batch.Set(w.buf, said, nil)
}

func archived(next *incident.Next, fp alert.Fingerprint) bool {
	return slices.ContainsFunc(next.Archive, func(e incident.Entry) bool { return e.Fingerprint == fp })
}

// putEntry writes an entry with the repeats that were gathered for it.
func (w *writing) putEntry(key incident.Key, e *stored) error {
	w.value = appendEntry(w.value[:0], e)
	w.buf = entryKey(w.buf[:0], rowEntry, key, e.Fingerprint)
	if err := w.batch.Set(w.buf, w.value, nil); err != nil {
		return err
	}
	place := store.Place{Key: key, Fingerprint: e.Fingerprint}
	w.entries = append(w.entries, written{place, *e})
	// The step saw the entry with its repeats counted in.
	if n := w.counted[place]; n > 0 {
		w.after = append(w.after, func() { w.s.repeats.subtract(place, n) })
	}
	return nil
}

// countFiring keeps the number of firing alerts of each generation.
func (w *writing) countFiring(was, is *incident.Entry) {
	if was.Firing == is.Firing && (!is.Firing || was.Generation == is.Generation) {
		return
	}
	if was.Firing {
		w.firing[was.Generation]--
	}
	if is.Firing {
		w.firing[is.Generation]++
	}
}

// finish writes what was counted over the whole batch.
func (w *writing) finish() error {
	for g, n := range w.firing {
		if n != 0 {
			if err := w.count(firingCounter(g), n); err != nil {
				return err
			}
		}
	}
	return nil
}

func firingCounter(g incident.Generation) string { return "firing\x00" + string(g[:]) }

func (w *writing) count(name string, delta int64) error {
	w.buf = append(append(w.buf[:0], rowCounter), name...)
	return w.batch.Merge(w.buf, appendNumber(nil, delta), nil)
}

func (w *writing) putIncident(old, i *incident.Incident) error {
	if old == nil {
		i.Version = 1
		reference, err := w.newReference(i)
		if err != nil {
			return err
		}
		i.Reference = reference
		if err := w.batch.Set(append([]byte{rowReference}, reference...), i.ID[:], nil); err != nil {
			return err
		}
	} else {
		i.Version = old.Version + 1
	}
	if err := errors.Join(w.reindex(old, i), w.countState(old, i), w.putHeader(i)); err != nil {
		return err
	}
	w.after = append(w.after, func() { w.s.cache.putIncident(i) })
	return nil
}

func (w *writing) putHeader(i *incident.Incident) error {
	w.value = appendIncident(w.value[:0], i)
	return w.batch.Set(idKey(rowIncident, i.ID), w.value, nil)
}

func (w *writing) newReference(i *incident.Incident) (string, error) {
	if w.preview {
		return "", nil // numbers are not for things that do not happen
	}
	shard := i.ID.Shard()
	day := i.OpenedAt.UTC().Format("20060102")
	n, err := w.s.numbers.take(w.s, day, shard)
	if err != nil {
		return "", err
	}
	if err := w.batch.Merge(numberKey(day, shard), appendNumber(nil, n), nil); err != nil {
		return "", err
	}
	return incident.Reference(i.OpenedAt, uint64(n), shard), nil
}

// reindex moves the incident in the indexes of the fields that changed. Old or
// new may be nil.
func (w *writing) reindex(old, i *incident.Incident) error {
	var was, is [5][2]string
	if old != nil {
		was = indexed(old)
	}
	if i != nil {
		is = indexed(i)
	}
	for n := range is {
		if old != nil && i != nil && was[n] == is[n] {
			continue
		}
		if old != nil {
			key := append(indexPrefix(was[n][0][0], was[n][1]), position(old)...)
			if err := w.batch.Delete(key, nil); err != nil {
				return err
			}
		}
		if i != nil {
			key := append(indexPrefix(is[n][0][0], is[n][1]), position(i)...)
			if err := w.batch.Set(key, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writing) countState(old, i *incident.Incident) error {
	if old != nil && i != nil && old.State == i.State && old.Severity == i.Severity {
		return nil
	}
	var errs [2]error
	if old != nil {
		errs[0] = w.count("incidents\x00"+old.State+"\x00"+old.Severity, -1)
	}
	if i != nil {
		errs[1] = w.count("incidents\x00"+i.State+"\x00"+i.Severity, 1)
	}
	return errors.Join(errs[0], errs[1])
}
