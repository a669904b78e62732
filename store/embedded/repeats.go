package embedded

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// repeatsKept bounds the entries whose repeats wait to be stored.
	repeatsKept = 200_000
	// repeatsAtOnce is how many repeats are stored in one batch.
	repeatsAtOnce = 500
)

// flushRepeats stores the repeats that are due, or all. They need no sync: a
// later commit's takes them along.
func (s *Store) flushRepeats(all bool) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.flushEntered(all)
}

// flushEntered is flushRepeats for those who are in already: entering twice
// would wait for ever if somebody wants to replace the engine in between.
func (s *Store) flushEntered(all bool) error {
	if s.full.Load() {
		return nil
	}
	for key, places := range s.repeats.Due(s.Now(), all) {
		for len(places) > 0 {
			n := min(len(places), repeatsAtOnce)
			if err := s.storeRepeats(key, places[:n]); err != nil {
				return err
			}
			places = places[n:]
		}
	}
	return nil
}

func (s *Store) storeRepeats(key incident.Key, places []store.Place) error {
	lock := &s.locks[stripe(key)]
	lock.Lock()
	defer lock.Unlock()
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	occurred := map[incident.ID]uint64{}
	for _, place := range places {
		e, err := s.live(&w.buf, key, place.Fingerprint)
		if err != nil {
			return err
		}
		n := s.repeats.Peek(key, &e.Entry)
		if n == 0 {
			s.repeats.Drop(place)
			continue
		}
		w.counted[place] = n
		occurred[e.Incident] += n
		if err := w.putEntry(key, &e); err != nil {
			return err
		}
	}
	for id, n := range occurred {
		if err := w.addOccurrences(id, n); err != nil {
			return err
		}
	}
	if w.batch.Empty() {
		return nil
	}
	if err := s.write(w.batch, pebble.NoSync); err != nil {
		return errors.Join(s.fail(err), err)
	}
	w.settled()
	return nil
}

// addOccurrences counts repeats in an incident that does not change otherwise.
func (w *writing) addOccurrences(id incident.ID, n uint64) error {
	known, err := w.s.header(id)
	if err != nil || known == nil {
		return err
	}
	i := *known // its maps and lists stay as they are
	i.Occurrences += n
	w.after = append(w.after, func() { w.s.cache.putIncident(&i) })
	return w.putHeader(&i)
}

// countOccurrences counts the repeats that are stored with their entries in
// the incidents that they came for. The step only knows of its own messages.
func (w *writing) countOccurrences(key incident.Key, next *incident.Next) error {
	if len(w.counted) == 0 {
		return nil
	}
	occurred := map[incident.ID]uint64{}
	for n := range next.Entries {
		was := &next.Entries[n].Was
		occurred[was.Incident] += w.counted[store.Place{Key: key, Fingerprint: was.Fingerprint}]
	}
	for n := range next.Remove {
		was := &next.Remove[n]
		occurred[was.Incident] += w.counted[store.Place{Key: key, Fingerprint: was.Fingerprint}]
	}
	for id, n := range occurred {
		if id.IsZero() || n == 0 {
			continue // what a threshold held is counted when it is adopted
		}
		if at := slices.IndexFunc(next.Incidents, func(i *incident.Incident) bool { return i.ID == id }); at >= 0 {
			next.Incidents[at].Occurrences += n
		} else if err := w.addOccurrences(id, n); err != nil {
			return err
		}
	}
	return nil
}
