package redis

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// repeatsKept bounds the entries whose repeats wait to be stored.
	repeatsKept = 100_000
	// repeatsAtOnce is how many repeats are stored in one trip: others wait for the
	// server meanwhile.
	repeatsAtOnce = 200
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
	var byShard [len(s.names)][]store.Place
	for key, places := range s.repeats.Due(s.Now(), all) {
		byShard[key.Shard()] = append(byShard[key.Shard()], places...)
	}
	var calls []*call
	var flying [][]store.Place
	size := 0
	send := func() {
		sent := len(calls) == 0 || s.run(ctx, calls...) == nil
		for n, c := range calls {
			for _, place := range flying[n] {
				s.repeats.Landed(place, sent && c.err == nil) // whatever became of the others
			}
			c.reuse()
		}
		calls, flying, size = nil, nil, 0
	}
	for shard, places := range byShard {
		for some := range slices.Chunk(places, repeatsAtOnce) {
			// One call a shard at a time: the server knows a call by its number, and the one before is over.
			if size > 0 && (size+len(some) > repeatsAtOnce || calls[len(calls)-1].shard == byte(shard)) {
				send()
			}
			if c, on := s.launch(byte(shard), some); c != nil {
				calls, flying, size = append(calls, c), append(flying, on), size+len(some)
			}
		}
	}
	send()
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
		a.bytes(func(b []byte) []byte {
			return appendTime(appendTime(appendTime(binary.BigEndian.AppendUint64(b, p.Count), p.LastSeen), p.ValidUntil), p.Start)
		})
	}
	if len(on) == 0 {
		return nil, nil
	}
	return &call{shard: shard, script: scriptRepeats, full: a.done(), made: a}, on
}
