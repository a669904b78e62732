package redis

import (
	"context"

	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// repeatsKept bounds the entries whose repeats wait to be stored.
	repeatsKept = 50_000
	// repeatsAtOnce is how many repeats one call stores.
	repeatsAtOnce = 500
)

// flushSoon has Run store what is gathered, because it is much.
func (s *Store) flushSoon() {
	select {
	case s.wake <- struct{}{}:
	default: // it knows
	}
}

// flush stores the repeats that are due, or all. What cannot be stored waits on.
func (s *Store) flush(ctx context.Context, all bool) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	due := s.repeats.Due(s.Now(), all)
	if len(due) == 0 {
		return
	}
	var byShard [len(s.names)][]store.Place
	for _, places := range due {
		shard := places[0].Key.Shard()
		byShard[shard] = append(byShard[shard], places...)
	}
	var calls []*call
	var flying [][]store.Place
	for shard, places := range byShard {
		// One call a shard at a time: the server knows a call by its number, and the one before is over.
		if n := min(len(places), repeatsAtOnce); n > 0 {
			if c, on := s.launch(byte(shard), places[:n]); c != nil {
				calls, flying = append(calls, c), append(flying, on)
			}
		}
	}
	if len(calls) == 0 {
		return
	}
	sent := s.run(ctx, calls...) == nil
	failed := !sent
	for n, c := range calls {
		stored := sent && c.err == nil // whatever became of the others
		for _, place := range flying[n] {
			s.repeats.Landed(place, stored)
		}
		failed = failed || !stored
	}
	for _, places := range byShard {
		if !failed && len(places) > repeatsAtOnce {
			s.flushSoon()
			return
		}
	}
}

// launch makes the call that stores the repeats of some places, and says which
// have any.
func (s *Store) launch(shard byte, places []store.Place) (*call, []store.Place) {
	n := s.names[shard]
	a := newCommand(scriptRepeats, nil, []string{n.entries, n.incidents, n.repeats + s.gateway})
	a.unsigned(s.flushes.Add(1))
	var on []store.Place
	for _, place := range places {
		p := s.repeats.Launch(place)
		if p.Count == 0 {
			continue
		}
		on = append(on, place)
		a.bytes(func(b []byte) []byte { return append(append(b, place.Key[:]...), place.Fingerprint[:]...) })
		a.unsigned(p.Count)
		a.bytes(func(b []byte) []byte { return appendTime(b, p.LastSeen) })
		a.bytes(func(b []byte) []byte { return appendTime(b, p.ValidUntil) })
		a.bytes(func(b []byte) []byte { return appendTime(b, p.Start) })
	}
	if len(on) == 0 {
		return nil, nil
	}
	return &call{shard: shard, script: scriptRepeats, full: a.done(), made: a}, on
}
