// Package repeats gathers what duplicates change in entries until it is worth a
// write, for any backend.
package repeats

import (
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	shards = 64
	// wait is how late repeats are stored at the latest.
	wait = 30 * time.Second
)

// Buffer gathers repeats: counts and validity. A kill loses that much of the
// counts, never state. Its methods may be called from any goroutine.
type Buffer struct {
	shards [shards]shard
	kept   int
}

type shard struct {
	mu sync.Mutex
	m  map[store.Place]repeat
	_  [40]byte // each on a cache line of its own
}

// Repeat is what is gathered for one entry.
type Repeat struct {
	incident.Patch
	// Start is that of the episode which the validity is for.
	Start time.Time
}

// repeat is kept without pointers: there may be many, and the collector need not look at them.
type repeat struct {
	count uint64
	// flying is how many of them are on their way to the store.
	flying                           uint64
	lastSeen, validUntil, start, due moment
}

func (r *repeat) patch() incident.Patch {
	return incident.Patch{Count: r.count, LastSeen: r.lastSeen.time(), ValidUntil: r.validUntil.time()}
}

// moment is a time in the years from 1 on: seconds since their beginning, and
// nanoseconds. The zero moment is the zero time.
type moment struct {
	sec  int64
	nsec int32
}

// yearOne is the Unix time of the beginning of the year 1.
const yearOne = -62135596800

func momentOf(t time.Time) moment { return moment{t.Unix() - yearOne, int32(t.Nanosecond())} }

func (m moment) time() time.Time {
	if m == (moment{}) {
		return time.Time{}
	}
	return time.Unix(m.sec+yearOne, int64(m.nsec)).UTC()
}

func (m moment) after(o moment) bool { return m.sec > o.sec || m.sec == o.sec && m.nsec > o.nsec }

// New returns an empty Buffer that is full with the repeats of so many entries,
// about 170 bytes each.
func New(kept int) *Buffer {
	b := &Buffer{kept: kept}
	for i := range b.shards {
		b.shards[i].m = map[store.Place]repeat{}
	}
	return b
}

func (b *Buffer) shard(p store.Place) *shard { return &b.shards[p.Fingerprint[0]%shards] }

// Add gathers p for the entry e, which is as it was read. Half of a validity
// may pass before it is to be stored.
func (b *Buffer) Add(k incident.Key, e *incident.Entry, p incident.Patch, now time.Time) {
	place := store.Place{Key: k, Fingerprint: e.Fingerprint}
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have, known := sh.m[place]
	if !known {
		late := wait
		if !e.ValidUntil.IsZero() {
			late = min(late, max(e.ValidUntil.Sub(now)/2, 0))
		}
		have.due = momentOf(now.Add(late))
	}
	if start := momentOf(e.Start); start != (moment{}) && start != have.start {
		have.start, have.validUntil = start, moment{}
	}
	have.count += p.Count
	if seen := momentOf(p.LastSeen); seen.after(have.lastSeen) {
		have.lastSeen = seen
	}
	if until := momentOf(p.ValidUntil); until.after(have.validUntil) {
		have.validUntil = until
	}
	sh.m[place] = have
}

// Peek applies what is gathered for e to it, and returns how many of those
// repeats are not on their way to the store.
func (b *Buffer) Peek(k incident.Key, e *incident.Entry) uint64 {
	if !e.Exists() {
		return 0
	}
	place := store.Place{Key: k, Fingerprint: e.Fingerprint}
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have, known := sh.m[place]
	if !known {
		return 0
	}
	p := have.patch()
	if have.start != (moment{}) && have.start != momentOf(e.Start) {
		p.ValidUntil = time.Time{} // of another episode
	}
	e.Apply(p)
	return have.count - have.flying
}

// Launch returns what is gathered for a place, which goes on its way to the
// store; its Count is 0 if nothing is gathered or something is on its way already.
func (b *Buffer) Launch(place store.Place) (r Repeat) {
	b.change(place, func(have *repeat) {
		if have.flying == 0 {
			have.flying = have.count
			r = Repeat{have.patch(), have.start.time()}
		}
	})
	return r
}

// Take is Launch for at most n repeats of a place, which go along with something
// else that is stored. It returns how many.
func (b *Buffer) Take(place store.Place, n uint64) (taken uint64) {
	b.change(place, func(have *repeat) {
		if have.flying == 0 {
			have.flying = min(n, have.count)
			taken = have.flying
		}
	})
	return taken
}

// Landed ends what Launch or Take began: the repeats are stored, or wait again.
func (b *Buffer) Landed(place store.Place, stored bool) {
	b.change(place, func(have *repeat) {
		if stored {
			have.count -= min(have.flying, have.count)
			have.due = momentOf(have.due.time().Add(wait)) // of those that came meanwhile
		}
		have.flying = 0
	})
}

// Subtract takes back repeats that were stored.
func (b *Buffer) Subtract(place store.Place, n uint64) {
	b.change(place, func(have *repeat) { have.count -= min(n, have.count) })
}

// change changes what is gathered for a place, if anything is. What is left
// without repeats is forgotten.
func (b *Buffer) change(place store.Place, do func(*repeat)) {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have, known := sh.m[place]
	if !known {
		return
	}
	if do(&have); have.count == 0 {
		delete(sh.m, place)
	} else {
		sh.m[place] = have
	}
}

// Drop forgets what is gathered for a place.
func (b *Buffer) Drop(place store.Place) {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.m, place)
}

// Len returns for how many entries repeats are gathered.
func (b *Buffer) Len() (n int) {
	for i := range b.shards {
		sh := &b.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}

// Overfull reports whether so much is gathered that it has to be stored now.
func (b *Buffer) Overfull() bool {
	sh := &b.shards[0] // fingerprints are hashes: all shards are about as full
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.m) > b.kept/shards
}

// Due lists the places whose repeats are to be stored, by key.
func (b *Buffer) Due(now time.Time, all bool) map[incident.Key][]store.Place {
	out, until := map[incident.Key][]store.Place{}, momentOf(now)
	for i := range b.shards {
		sh := &b.shards[i]
		sh.mu.Lock()
		for place, p := range sh.m {
			if all || !p.due.after(until) {
				out[place.Key] = append(out[place.Key], place)
			}
		}
		sh.mu.Unlock()
	}
	return out
}
