package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// Remove implements store.Store. The alerts of the key that still name the
// incident go with it, unless they fire.
func (s *Store) Remove(ctx context.Context, id incident.ID) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	i, err := s.header(id)
	if err != nil {
		return err
	}
	if i == nil {
		return fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
	}
	lock := &s.locks[stripe(i.Key)]
	lock.Lock()
	defer lock.Unlock()
	if i, err = s.header(id); err != nil { // as it is now that nobody changes it
		return err
	}
	if i == nil {
		return fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
	}
	s.jobMu.Lock()
	defer s.jobMu.Unlock()
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	left, err := w.removeEntries(i)
	if err := errors.Join(err, w.removeArchived(id), w.removeJobs(id)); err != nil {
		return err
	}
	ks, err := s.keyState(i.Key)
	if err != nil {
		return err
	}
	if ks != nil && ks.Incident == id {
		if left == 0 {
			err = w.batch.Delete(idKey(rowKey, i.Key), nil)
		} else {
			bare := *ks
			bare.Incident = incident.ID{}
			err = w.putJSON(idKey(rowKey, i.Key), &bare)
		}
	}
	for _, prefix := range [...][]byte{idKey(rowTimeline, id), idKey(rowArchivedEntry, id)} {
		err = errors.Join(err, w.batch.DeleteRange(prefix, after(prefix), nil))
	}
	err = errors.Join(err, w.batch.Delete(idKey(rowIncident, id), nil), w.batch.Delete(append([]byte{rowReference}, i.Reference...), nil),
		w.reindex(i, nil), w.countState(i, nil), w.finish())
	if err != nil {
		return err
	}
	if err := s.apply(w.batch, pebble.Sync); err != nil {
		return err
	}
	w.settled()
	s.cache.forget(id, i.Key)
	return nil
}

// removeEntries removes the ended alerts that name i, and counts the key's others.
func (w *writing) removeEntries(i *incident.Incident) (left int, err error) {
	prefix := idKey(rowEntry, i.Key)
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		e, err := row.ParseEntry(it.Value(), [16]byte(it.Key()[len(prefix):]))
		if err != nil {
			return 0, errors.Join(err, it.Close())
		}
		if e.Incident != i.ID || e.Firing {
			left++
			continue
		}
		next := incident.Next{Remove: []incident.Entry{e.Entry}}
		if err := w.putEntries(i.Key, &next); err != nil {
			return 0, errors.Join(err, it.Close())
		}
	}
	return left, it.Close()
}

// removeArchived removes what the archived alerts of an incident said.
func (w *writing) removeArchived(id incident.ID) error {
	prefix := idKey(rowArchivedEntry, id)
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		e, err := row.ParseEntry(it.Value(), [16]byte(it.Key()[len(prefix):]))
		if err == nil && e.Number != 0 {
			err = w.batch.Delete(contentKey(nil, e.Number), nil)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// removeJobs removes the jobs whose subject is an incident, also the one that
// is leased by whoever removes it. The caller holds jobMu.
func (w *writing) removeJobs(id incident.ID) error {
	prefix := append(append([]byte{rowJob}, id.String()...), 0)
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		var row job
		err := json.Unmarshal(it.Value(), &row)
		err = errors.Join(err, w.batch.Delete(it.Key(), nil), w.batch.Delete(jobDueKey(row.position(), it.Key()), nil))
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}
