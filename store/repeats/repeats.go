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
	m  map[store.Place]*repeat
	_  [40]byte // each on a cache line of its own
}

// Repeat is what is gathered for one entry.
type Repeat struct {
	incident.Patch
	// Start is that of the episode which the validity is for.
	Start time.Time
}

type repeat struct {
	Repeat
	due time.Time
	// flying is how many of them are on their way to the store.
	flying uint64
}

// New returns an empty Buffer that is full with the repeats of so many entries,
// about 250 bytes each.
func New(kept int) *Buffer {
	b := &Buffer{kept: kept}
	for i := range b.shards {
		b.shards[i].m = map[store.Place]*repeat{}
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
	have := sh.m[place]
	if have == nil {
		late := wait
		if !e.ValidUntil.IsZero() {
			late = min(late, max(e.ValidUntil.Sub(now)/2, 0))
		}
		have = &repeat{due: now.Add(late)}
		sh.m[place] = have
	}
	if !e.Start.IsZero() && !e.Start.Equal(have.Start) {
		have.Start, have.ValidUntil = e.Start, time.Time{}
	}
	have.Count += p.Count
	if p.LastSeen.After(have.LastSeen) {
		have.LastSeen = p.LastSeen
	}
	if p.ValidUntil.After(have.ValidUntil) {
		have.ValidUntil = p.ValidUntil
	}
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
	have := sh.m[place]
	if have == nil {
		return 0
	}
	p := have.Patch
	if !have.Start.IsZero() && !have.Start.Equal(e.Start) {
		p.ValidUntil = time.Time{} // of another episode
	}
	e.Apply(p)
	return have.Count - have.flying
}

// Launch returns what is gathered for a place, which goes on its way to the
// store; its Count is 0 if nothing is gathered or something is on its way already.
func (b *Buffer) Launch(place store.Place) Repeat {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.m[place]
	if have == nil || have.flying > 0 {
		return Repeat{}
	}
	have.flying = have.Count
	return have.Repeat
}

// Take is Launch for at most n repeats of a place, which go along with something
// else that is stored. It returns how many.
func (b *Buffer) Take(place store.Place, n uint64) uint64 {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.m[place]
	if have == nil || have.flying > 0 {
		return 0
	}
	have.flying = min(n, have.Count)
	return have.flying
}

// Landed ends what Launch or Take began: the repeats are stored, or wait again.
func (b *Buffer) Landed(place store.Place, stored bool) {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.m[place]
	if have == nil {
		return
	}
	if stored {
		have.Count -= min(have.flying, have.Count)
	}
	if have.flying = 0; have.Count == 0 {
		delete(sh.m, place)
	} else if stored {
		have.due = have.due.Add(wait) // those that came meanwhile
	}
}

// Subtract takes back repeats that were stored.
func (b *Buffer) Subtract(place store.Place, n uint64) {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if have := sh.m[place]; have != nil {
		if have.Count -= min(n, have.Count); have.Count == 0 {
			delete(sh.m, place)
		}
	}
}

// Drop forgets what is gathered for a place.
func (b *Buffer) Drop(place store.Place) {
	sh := b.shard(place)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.m, place)
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
	out := map[incident.Key][]store.Place{}
	for i := range b.shards {
		sh := &b.shards[i]
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
