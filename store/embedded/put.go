package embedded

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// put writes what a step decided.
func (w *writing) put(c *incident.Change, st *incident.State, next *incident.Next) error {
	id := c.ID
	w.after = append(w.after, func() { w.s.recent.add(id) })
	defer func() { w.decided = append(w.decided, proofOf(c.ID, next)) }()
	var err error
	if next.Archive, err = w.archivable(next.Archive); err != nil {
		return err
	}
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
		w.value = row.AppendTimeline(w.value[:0], t)
		if err := w.batch.Set(timelineKey(t.Incident, t.Seq), w.value, nil); err != nil {
			return err
		}
	}
	for _, p := range next.Patches {
		p := p
		key, now := c.Key, st.Now
		w.after = append(w.after, func() {
			e := incident.Entry{Fingerprint: p.Fingerprint, LastSeen: p.Patch.LastSeen, ValidUntil: p.Patch.ValidUntil}
			w.s.repeats.Add(key, &e, p.Patch, now)
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

// archivable leaves out what would be archived with an incident that was
// removed: nobody could find it there, or would ever remove it.
func (w *writing) archivable(list []incident.Entry) (kept []incident.Entry, err error) {
	for _, e := range list {
		switch i, err := w.s.header(e.Incident); {
		case err != nil:
			return nil, err
		case i != nil:
			kept = append(kept, e)
		}
	}
	return kept, nil
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
		if err == nil && before.Number != 0 && before.Number != known.Number {
			err = w.batch.Delete(contentKey(nil, before.Number), nil)
		}
		if err != nil {
			return err
		}
		w.value = row.AppendEntry(w.value[:0], &row.Entry{Entry: *e, Number: known.Number})
		w.buf = entryKey(w.buf[:0], rowArchivedEntry, e.Incident, e.Fingerprint)
		if err := w.batch.Set(w.buf, w.value, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) putEntries(key incident.Key, next *incident.Next) error {
	for n := range next.Entries {
		e := &next.Entries[n]
		number, err := w.putContent(key, e, next)
		if err != nil {
			return err
		}
		if err := w.putEntry(key, &row.Entry{Entry: e.Entry, Number: number}); err != nil {
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
		if known.Number != 0 && !archived(next, e.Fingerprint) {
			err = w.batch.Delete(contentKey(nil, known.Number), nil)
		}
		if err := errors.Join(err, w.batch.Delete(entryKey(nil, rowEntry, key, e.Fingerprint), nil)); err != nil {
			return err
		}
		w.countFiring(e, &incident.Entry{})
		place := store.Place{Key: key, Fingerprint: e.Fingerprint}
		w.after = append(w.after, func() { w.s.repeats.Drop(place); w.s.hot.remove(place) })
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
			return known.Number, nil
		case content == nil: // the archive has it now, so this one gets a copy
			said, ok, err := w.s.get(contentKey(nil, known.Number))
			if err != nil || !ok {
				return 0, err
			}
			return w.putSaid(said)
		case known.Number != 0 && !kept:
			if err := w.batch.Delete(contentKey(nil, known.Number), nil); err != nil {
				return 0, err
			}
		}
	}
	if content == nil {
		return 0, nil
	}
	w.value = row.AppendContent(w.value[:0], content)
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
func (w *writing) putEntry(key incident.Key, e *row.Entry) error {
	w.value = row.AppendEntry(w.value[:0], e)
	w.buf = entryKey(w.buf[:0], rowEntry, key, e.Fingerprint)
	if err := w.batch.Set(w.buf, w.value, nil); err != nil {
		return err
	}
	place := store.Place{Key: key, Fingerprint: e.Fingerprint}
	w.note(place, e)
	// The step saw the entry with its repeats counted in.
	if n := w.counted[place]; n > 0 {
		w.after = append(w.after, func() { w.s.repeats.Subtract(place, n) })
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
			if err := w.count(row.FiringName(g), n); err != nil {
				return err
			}
		}
	}
	return nil
}

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
	w.value = row.AppendIncident(w.value[:0], i)
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
		errs[0] = w.count(row.StateName(old), -1)
	}
	if i != nil {
		errs[1] = w.count(row.StateName(i), 1)
	}
	return errors.Join(errs[0], errs[1])
}
