package embedded

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

const (
	hotShards = 64
	// hotKept bounds the entries that are kept in memory, about 200 bytes each.
	hotKept  = 2_000_000
	hotChunk = 1024
	// oddKept bounds the entries of a shard whose times, or whatever else, do not fit a hotEntry.
	oddKept = 1024
	// hotChanges is how many changes of an entry are kept there.
	hotChanges = 8
)

// hot keeps entries in memory, in a form without pointers that the garbage
// collector need not look at. As long as it holds all entries there are, an
// entry that is not in it does not exist, and no alert needs a read from the
// engine. It is written through, under the locks of the keys.
type hot struct {
	complete atomic.Bool
	shards   [hotShards]hotShard
	// words are the sources and severities that occur, by number.
	wordsMu sync.RWMutex
	words   []string
	numbers map[string]uint16
}

type hotShard struct {
	mu     sync.RWMutex
	index  map[store.Place]uint32
	chunks [][]hotEntry
	free   []uint32
	odd    map[store.Place]row.Entry
}

// hotEntry is an incident.Entry. Times are in nanoseconds since 1970, noTime if
// there is none; entries with times that do not fit are kept as they are, in odd.
type hotEntry struct {
	incident                                                   incident.ID
	generation                                                 incident.Generation
	start, last, end, endSeen, validUntil, firstSeen, lastSeen int64
	content, count, number                                     uint64
	changes                                                    [hotChanges]int64
	source, severity                                           uint16
	firing, expired                                            bool
	changed                                                    uint8
}

const noTime = math.MinInt64

func (h *hot) reset() {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		sh.index, sh.chunks, sh.free, sh.odd = map[store.Place]uint32{}, nil, nil, map[store.Place]row.Entry{}
		sh.mu.Unlock()
	}
	h.wordsMu.Lock()
	h.words, h.numbers = nil, map[string]uint16{}
	h.wordsMu.Unlock()
	h.complete.Store(true)
}

// load reads all entries of the engine, as far as there is room.
func (h *hot) load(db *pebble.DB) error {
	h.reset()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowEntry}, UpperBound: []byte{rowEntry + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		place := store.Place{Key: incident.Key(k[1:17]), Fingerprint: alert.Fingerprint(k[17:])}
		e, err := row.ParseEntry(it.Value(), place.Fingerprint)
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if h.put(place, &e); !h.complete.Load() {
			break // the rest comes when it is needed
		}
	}
	return it.Close()
}

func (h *hot) shard(p store.Place) *hotShard { return &h.shards[p.Fingerprint[1]%hotShards] }

// get returns an entry. If it is not here, known says whether that means that
// it does not exist.
func (h *hot) get(p store.Place) (e row.Entry, found, known bool) {
	sh := h.shard(p)
	sh.mu.RLock()
	n, ok := sh.index[p]
	if !ok {
		e, found = sh.odd[p]
		sh.mu.RUnlock()
		if found {
			return e, true, true
		}
		return row.Entry{Entry: incident.Entry{Fingerprint: p.Fingerprint}}, false, h.complete.Load()
	}
	rec := sh.chunks[n/hotChunk][n%hotChunk]
	sh.mu.RUnlock()
	return h.unpack(&rec, p.Fingerprint), true, true
}

func (h *hot) put(p store.Place, e *row.Entry) {
	rec, ok := h.pack(e)
	sh := h.shard(p)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n, there := sh.index[p]
	if !ok {
		if there {
			sh.drop(p, n)
		}
		if len(sh.odd) >= oddKept {
			h.complete.Store(false)
			clear(sh.odd)
		}
		sh.odd[p] = *e
		return
	}
	delete(sh.odd, p)
	if !there {
		if len(sh.index) >= hotKept/hotShards {
			h.complete.Store(false)
			for victim, m := range sh.index { // whichever comes first
				sh.drop(victim, m)
				break
			}
		}
		n = sh.take()
		sh.index[p] = n
	}
	sh.chunks[n/hotChunk][n%hotChunk] = rec
}

func (h *hot) remove(p store.Place) {
	sh := h.shard(p)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.odd, p)
	if n, ok := sh.index[p]; ok {
		sh.drop(p, n)
	}
}

func (sh *hotShard) drop(p store.Place, n uint32) {
	delete(sh.index, p)
	sh.free = append(sh.free, n)
}

// take returns the number of a record that is free.
func (sh *hotShard) take() uint32 {
	if last := len(sh.free) - 1; last >= 0 {
		n := sh.free[last]
		sh.free = sh.free[:last]
		return n
	}
	used := len(sh.index)
	if used >= len(sh.chunks)*hotChunk {
		sh.chunks = append(sh.chunks, make([]hotEntry, hotChunk))
	}
	return uint32(used)
}

func (h *hot) pack(e *row.Entry) (hotEntry, bool) {
	r := hotEntry{number: e.Number, incident: e.Incident, generation: e.Generation, content: e.Content, count: e.Count, firing: e.Firing, expired: e.Expired}
	ok := len(e.Unknown) == 0 && len(e.Changes) <= hotChanges
	put := func(to *int64, t time.Time) {
		switch year := t.Year(); {
		case t.IsZero():
			*to = noTime
		case year < 1700 || year > 2200:
			ok = false
		default:
			*to = t.UnixNano()
		}
	}
	put(&r.start, e.Start)
	put(&r.last, e.Last)
	put(&r.end, e.End)
	put(&r.endSeen, e.EndSeen)
	put(&r.validUntil, e.ValidUntil)
	put(&r.firstSeen, e.FirstSeen)
	put(&r.lastSeen, e.LastSeen)
	if ok {
		r.changed = uint8(len(e.Changes))
		for i, t := range e.Changes {
			put(&r.changes[i], t)
		}
	}
	var fits [2]bool
	r.source, fits[0] = h.number(e.Source)
	r.severity, fits[1] = h.number(e.Severity)
	return r, ok && fits[0] && fits[1]
}

func (h *hot) unpack(r *hotEntry, fp alert.Fingerprint) row.Entry {
	e := row.Entry{Number: r.number, Entry: incident.Entry{Fingerprint: fp, Incident: r.incident, Generation: r.generation, Content: r.content, Count: r.count, Firing: r.firing, Expired: r.expired,
		Start: unpackTime(r.start), Last: unpackTime(r.last), End: unpackTime(r.end), EndSeen: unpackTime(r.endSeen),
		ValidUntil: unpackTime(r.validUntil), FirstSeen: unpackTime(r.firstSeen), LastSeen: unpackTime(r.lastSeen)}}
	if r.changed > 0 {
		e.Changes = make([]time.Time, r.changed)
		for i := range e.Changes {
			e.Changes[i] = unpackTime(r.changes[i])
		}
	}
	h.wordsMu.RLock()
	e.Source, e.Severity = h.words[r.source], h.words[r.severity]
	h.wordsMu.RUnlock()
	return e
}

func unpackTime(ns int64) time.Time {
	if ns == noTime {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// number gives a word a number; ok is false if there are too many words.
func (h *hot) number(word string) (n uint16, ok bool) {
	h.wordsMu.RLock()
	n, ok = h.numbers[word]
	h.wordsMu.RUnlock()
	if ok {
		return n, true
	}
	h.wordsMu.Lock()
	defer h.wordsMu.Unlock()
	if n, ok = h.numbers[word]; ok {
		return n, true
	}
	if len(h.words) > math.MaxUint16 {
		return 0, false
	}
	n = uint16(len(h.words))
	h.words, h.numbers[word] = append(h.words, word), n
	return n, true
}
