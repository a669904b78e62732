package embedded

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	repeatShards = 64
	// repeatsKept bounds the entries whose repeats wait to be stored.
	repeatsKept = 200_000
	// repeatsWait is how late repeats are stored at the latest.
	repeatsWait = 30 * time.Second
	// repeatsAtOnce is how many are stored in one batch.
	repeatsAtOnce = 500
)

// repeats gathers what duplicates change, counts and validity, until it is
// worth a write. A kill loses that much of the counts, never state.
type repeats struct {
	shards [repeatShards]repeatShard
}

type repeatShard struct {
	mu sync.Mutex
	m  map[store.Place]*repeat
	_  [40]byte // each on a cache line of its own
}

type repeat struct {
	incident.Patch
	due time.Time
}

func (r *repeats) init() {
	for i := range r.shards {
		r.shards[i].m = map[store.Place]*repeat{}
	}
}

func (r *repeats) shard(p store.Place) *repeatShard {
	return &r.shards[p.Fingerprint[0]%repeatShards]
}

// add gathers p for the entry e, which is as it was read.
func (r *repeats) add(k incident.Key, e *incident.Entry, p incident.Patch, now time.Time) {
	place := store.Place{Key: k, Fingerprint: e.Fingerprint}
	sh := r.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.m[place]
	if have == nil {
		wait := repeatsWait
		if !e.ValidUntil.IsZero() {
			wait = min(wait, max(e.ValidUntil.Sub(now)/2, 0))
		}
		have = &repeat{due: now.Add(wait)}
		sh.m[place] = have
	}
	have.Count += p.Count
	if p.LastSeen.After(have.LastSeen) {
		have.LastSeen = p.LastSeen
	}
	if p.ValidUntil.After(have.ValidUntil) {
		have.ValidUntil = p.ValidUntil
	}
}

// peek applies what is gathered for e to it, and returns how many repeats that are.
func (r *repeats) peek(k incident.Key, e *incident.Entry) uint64 {
	if !e.Exists() {
		return 0
	}
	place := store.Place{Key: k, Fingerprint: e.Fingerprint}
	sh := r.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.m[place]
	if have == nil {
		return 0
	}
	e.Apply(have.Patch)
	return have.Count
}

// subtract takes back repeats that were stored.
func (r *repeats) subtract(place store.Place, n uint64) {
	sh := r.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if have := sh.m[place]; have != nil {
		if have.Count -= min(n, have.Count); have.Count == 0 {
			delete(sh.m, place)
		}
	}
}

func (r *repeats) drop(place store.Place) {
	sh := r.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.m, place)
}

func (r *repeats) overfull() bool {
	sh := &r.shards[0] // fingerprints are hashes: all shards are about as full
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.m) > repeatsKept/repeatShards
}

// due lists the places whose repeats are to be stored, by key.
func (r *repeats) due(now time.Time, all bool) map[incident.Key][]store.Place {
	out := map[incident.Key][]store.Place{}
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		for place, p := range sh.m {
			if all || !p.due.After(now) {
				out[place.Key] = append(out[place.Key], place)
			}
		}
		sh.mu.Unlock()
	}
	return out
}

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
	for key, places := range s.repeats.due(s.opts.Now(), all) {
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
		n := s.repeats.peek(key, &e.Entry)
		if n == 0 {
			s.repeats.drop(place)
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
