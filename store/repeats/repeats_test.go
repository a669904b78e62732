package repeats

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var now = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func minutes(n float64) time.Time { return now.Add(time.Duration(n * float64(time.Minute))) }

// place is the n-th place. Neighbours are in different shards.
func place(n int) store.Place {
	return store.Place{Key: incident.Key{1}, Fingerprint: alert.Fingerprint{byte(n), byte(n >> 8), byte(n >> 16)}}
}

// entry is what is stored at a place: it fires since an episode's start, which is
// a number of minutes from now, and came once.
func entry(p store.Place, start float64) *incident.Entry {
	return &incident.Entry{Fingerprint: p.Fingerprint, Firing: true, FirstSeen: minutes(start), Start: minutes(start), LastSeen: minutes(start), ValidUntil: minutes(5), Count: 1}
}

func patch(count uint64, seen, until float64) incident.Patch {
	return incident.Patch{Count: count, LastSeen: minutes(seen), ValidUntil: minutes(until)}
}

// peek is an entry with what is gathered for it, and how many repeats a write may take along.
func peek(b *Buffer, e *incident.Entry) (incident.Entry, uint64) {
	is := *e
	own := b.Peek(incident.Key{1}, &is)
	return is, own
}

func TestBuffer(t *testing.T) {
	a := place(1)
	e := entry(a, 0)
	add := func(b *Buffer, p incident.Patch) { b.Add(a.Key, e, p, now) }
	for _, c := range []struct {
		name  string
		do    func(b *Buffer)
		count uint64 // of the entry with what is gathered
		own   uint64
		seen  float64
		until float64
		empty bool // nothing is gathered any more
	}{
		{name: "nothing is gathered", do: func(*Buffer) {}, count: 1, until: 5, empty: true},
		{name: "one repeat", do: func(b *Buffer) { add(b, patch(1, 1, 6)) }, count: 2, own: 1, seen: 1, until: 6},
		{name: "several count, the latest says when", do: func(b *Buffer) {
			add(b, patch(1, 1, 6))
			add(b, patch(3, 3, 8))
			add(b, patch(1, 2, 7))
		}, count: 6, own: 5, seen: 3, until: 8},
		{name: "one that says less than is known", do: func(b *Buffer) { add(b, patch(1, -1, 2)) }, count: 2, own: 1, seen: 0, until: 5},
		{name: "what is on its way counts, but goes with nothing else", do: func(b *Buffer) {
			add(b, patch(2, 1, 6))
			b.Launch(a)
			add(b, patch(1, 2, 7))
		}, count: 4, own: 1, seen: 2, until: 7},
		{name: "what has arrived is gone", do: func(b *Buffer) {
			add(b, patch(2, 1, 6))
			b.Launch(a)
			b.Landed(a, true)
		}, count: 1, until: 5, empty: true},
		{name: "what came after the launch stays", do: func(b *Buffer) {
			add(b, patch(2, 1, 6))
			b.Launch(a)
			add(b, patch(1, 2, 7))
			b.Landed(a, true)
		}, count: 2, own: 1, seen: 2, until: 7},
		{name: "what could not be stored waits again", do: func(b *Buffer) {
			add(b, patch(2, 1, 6))
			b.Launch(a)
			add(b, patch(1, 2, 7))
			b.Landed(a, false)
		}, count: 4, own: 3, seen: 2, until: 7},
		{name: "what was stored otherwise is taken back", do: func(b *Buffer) {
			add(b, patch(3, 1, 6))
			b.Subtract(a, 2)
		}, count: 2, own: 1, seen: 1, until: 6},
		{name: "all of it", do: func(b *Buffer) {
			add(b, patch(3, 1, 6))
			b.Subtract(a, 3)
		}, count: 1, until: 5, empty: true},
		{name: "never more than there is", do: func(b *Buffer) {
			add(b, patch(3, 1, 6))
			b.Subtract(a, 5)
			b.Subtract(a, 5)
		}, count: 1, until: 5, empty: true},
		{name: "what is dropped is gone", do: func(b *Buffer) {
			add(b, patch(3, 1, 6))
			b.Drop(a)
			b.Drop(a)
		}, count: 1, until: 5, empty: true},
		{name: "dropped on its way, and again afterwards", do: func(b *Buffer) {
			add(b, patch(3, 1, 6))
			b.Launch(a)
			b.Drop(a)
			add(b, patch(1, 2, 7))
			b.Landed(a, true)
		}, count: 2, own: 1, seen: 2, until: 7},
		{name: "landing what nobody launched", do: func(b *Buffer) {
			b.Landed(a, true)
			add(b, patch(1, 1, 6))
			b.Landed(a, true)
		}, count: 2, own: 1, seen: 1, until: 6},
		{name: "of another alert, and of the same one under another key", do: func(b *Buffer) {
			b.Add(a.Key, entry(place(1+shards), 0), patch(1, 1, 6), now)
			b.Add(incident.Key{2}, e, patch(1, 1, 6), now)
		}, count: 1, until: 5, empty: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(1000)
			c.do(b)
			is, own := peek(b, e)
			if is.Count != c.count || own != c.own || !is.LastSeen.Equal(minutes(c.seen)) || !is.ValidUntil.Equal(minutes(c.until)) {
				t.Errorf("got count %d, %d of them free, last seen %s, valid until %s; want %d, %d, %s, %s", is.Count, own, is.LastSeen, is.ValidUntil, c.count, c.own, minutes(c.seen), minutes(c.until))
			}
			if gathered := slices.Contains(b.Due(now, true)[a.Key], a); gathered == c.empty {
				t.Errorf("something is gathered: %t, want %t", gathered, !c.empty)
			}
		})
	}
}

func TestPeekAtWhatDoesNotExist(t *testing.T) {
	b := New(1000)
	b.Add(incident.Key{1}, entry(place(1), 0), patch(1, 1, 6), now)
	gone := incident.Entry{Fingerprint: place(1).Fingerprint}
	if own := b.Peek(incident.Key{1}, &gone); own != 0 || gone.Count != 0 {
		t.Errorf("an entry that was removed got %d repeats, %d of them free", gone.Count, own)
	}
}

func TestEpisodes(t *testing.T) {
	a := place(1)
	for _, c := range []struct {
		name        string
		gather      func(b *Buffer)
		stored      *incident.Entry
		count       uint64
		until       float64 // what it is read as
		start, ends float64 // what goes to the store
	}{
		{"repeats of one episode", func(b *Buffer) {
			b.Add(a.Key, entry(a, 0), patch(1, 1, 20), now)
			b.Add(a.Key, entry(a, 0), patch(1, 2, 10), now)
		}, entry(a, 0), 3, 20, 0, 20},
		{"another episode takes only its own validity", func(b *Buffer) {
			b.Add(a.Key, entry(a, 0), patch(1, 1, 20), now)
			b.Add(a.Key, entry(a, 2), patch(1, 2, 10), now)
		}, entry(a, 2), 3, 10, 2, 10},
		{"an episode that others began takes none of an older one", func(b *Buffer) {
			b.Add(a.Key, entry(a, 0), patch(1, 1, 20), now)
		}, entry(a, 2), 2, 5, 0, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(1000)
			c.gather(b)
			if is, _ := peek(b, c.stored); is.Count != c.count || !is.ValidUntil.Equal(minutes(c.until)) {
				t.Errorf("it came %d times and is valid until %s, want %d and %s", is.Count, is.ValidUntil, c.count, minutes(c.until))
			}
			if on := b.Launch(a); on.Count != c.count-1 || !on.Start.Equal(minutes(c.start)) || !on.ValidUntil.Equal(minutes(c.ends)) {
				t.Errorf("launched %+v, want %d repeats of the episode since %s, valid until %s", on, c.count-1, minutes(c.start), minutes(c.ends))
			}
		})
	}
}

// TestLaunch: what is on its way is not sent again before it has landed.
func TestLaunch(t *testing.T) {
	b, a := New(1000), place(1)
	want := func(what string, got Repeat, count uint64) {
		t.Helper()
		if got.Count != count {
			t.Errorf("%s: launched %+v, want %d repeats", what, got, count)
		}
	}
	want("nothing is there", b.Launch(a), 0)
	b.Add(a.Key, entry(a, 0), patch(2, 1, 6), now)
	want("the first", b.Launch(a), 2)
	b.Add(a.Key, entry(a, 0), patch(1, 2, 7), now)
	want("while it is on its way", b.Launch(a), 0)
	b.Landed(a, false)
	want("after it could not be stored", b.Launch(a), 3)
	b.Landed(a, true)
	want("after it was stored", b.Launch(a), 0)
}

// TestTake: what goes along with something else is not launched as well.
func TestTake(t *testing.T) {
	b, a := New(1000), place(1)
	want := func(what string, got, count uint64) {
		t.Helper()
		if got != count {
			t.Errorf("%s: got %d repeats, want %d", what, got, count)
		}
	}
	e := entry(a, 0)
	left := func() uint64 {
		e := *e
		return b.Peek(a.Key, &e)
	}
	want("nothing is there", b.Take(a, 3), 0)
	b.Add(a.Key, e, patch(2, 1, 6), now)
	b.Add(a.Key, e, patch(3, 2, 7), now)
	want("two of five", b.Take(a, 2), 2)
	want("while two are on their way, others", left(), 3)
	want("while two are on their way, launched", b.Launch(a).Count, 0)
	want("while two are on their way, taken", b.Take(a, 3), 0)
	b.Landed(a, false)
	want("more than there are", b.Take(a, 9), 5)
	b.Add(a.Key, e, patch(1, 3, 8), now)
	b.Landed(a, true)
	want("what came meanwhile", b.Launch(a).Count, 1)
	want("while that is on its way", b.Take(a, 1), 0)
	b.Landed(a, true)
	want("at the end", left(), 0)
}

func TestDue(t *testing.T) {
	forever := entry(place(3), 0)
	forever.ValidUntil = time.Time{}
	over := entry(place(4), 0)
	over.ValidUntil = minutes(-1)
	short := entry(place(2), 0)
	short.ValidUntil = now.Add(20 * time.Second)
	for _, c := range []struct {
		name string
		e    *incident.Entry
		late time.Duration // when it is to be stored
	}{
		{"what holds for long waits half a minute", entry(place(1), 0), wait},
		{"what holds for a moment waits for half of it", short, 10 * time.Second},
		{"what holds for ever waits half a minute", forever, wait},
		{"what does not hold any more is stored at once", over, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, p := New(1000), store.Place{Key: incident.Key{1}, Fingerprint: c.e.Fingerprint}
			b.Add(p.Key, c.e, patch(1, 0, 0), now)
			b.Add(p.Key, c.e, patch(1, 0, 0), now.Add(c.late/2)) // the first one's time counts
			if due := b.Due(now.Add(c.late-1), false); c.late > 0 && len(due) != 0 {
				t.Errorf("due before its time: %v", due)
			}
			if due := b.Due(now.Add(c.late-1), true); !slices.Equal(due[p.Key], []store.Place{p}) {
				t.Errorf("all: got %v, want %v", due, p)
			}
			if due := b.Due(now.Add(c.late), false); !slices.Equal(due[p.Key], []store.Place{p}) {
				t.Errorf("in time: got %v, want %v", due, p)
			}
			b.Launch(p)
			b.Landed(p, true)
			if due := b.Due(now.Add(time.Hour), true); len(due) != 0 {
				t.Errorf("after it was stored: got %v", due)
			}
		})
	}
}

func TestDueIsByKey(t *testing.T) {
	b := New(1000)
	for n := range 100 {
		b.Add(incident.Key{byte(n % 3)}, entry(place(n), 0), patch(1, 1, 6), now)
	}
	due := b.Due(now.Add(wait), false)
	all := map[store.Place]bool{}
	for key, places := range due {
		for _, p := range places {
			if p.Key != key {
				t.Errorf("%v is among those of the key %s", p, key)
			}
			all[p] = true
		}
	}
	if len(due) != 3 || len(all) != 100 {
		t.Errorf("%d places of %d keys are due, want 100 of 3", len(all), len(due))
	}
}

// TestOverfull: it says so when there is about as much as it keeps, and not any
// more when that was stored.
func TestOverfull(t *testing.T) {
	const kept = 640
	b := New(kept)
	gather := func(n int) {
		b.Add(place(n).Key, entry(place(n), 0), patch(1, 1, 6), now)
	}
	for n := range kept {
		gather(n)
		gather(n) // the same place takes no more room
	}
	if b.Overfull() {
		t.Errorf("%d places of %d are too many", kept, kept)
	}
	for n := kept; n < kept+shards; n++ {
		gather(n)
	}
	if !b.Overfull() {
		t.Errorf("%d places of %d are not too many", kept+shards, kept)
	}
	for _, places := range b.Due(now, true) {
		for _, p := range places {
			b.Launch(p)
			b.Landed(p, true)
		}
	}
	if b.Overfull() {
		t.Error("it is still overfull when nothing is there")
	}
}

// TestTogether lets many goroutines gather, store, take along and give back:
// nothing is lost and nothing counts twice.
func TestTogether(t *testing.T) {
	const places, each = 100, 5000
	b := New(1000)
	var stored, failed, launches atomic.Uint64
	var wg, adding sync.WaitGroup
	for worker := range 4 {
		adding.Add(1)
		wg.Go(func() {
			defer adding.Done()
			for n := range each {
				p := place((n*7 + worker) % places)
				b.Add(p.Key, entry(p, 0), patch(1, 1, 6), now)
				if is, own := peek(b, entry(p, 0)); own > is.Count-1 {
					t.Errorf("%d repeats of %d are free", own, is.Count-1)
				}
			}
		})
	}
	added := make(chan struct{})
	go func() {
		adding.Wait()
		close(added)
	}()
	for range 2 {
		wg.Go(func() {
			for {
				for _, list := range b.Due(now, true) {
					for _, p := range list {
						on := b.Launch(p)
						if on.Count == 0 {
							continue
						}
						ok := launches.Add(1)%3 != 1
						b.Landed(p, ok)
						if ok {
							stored.Add(on.Count)
						} else {
							failed.Add(1)
						}
					}
				}
				select {
				case <-added:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	left := uint64(0)
	for _, list := range b.Due(now, true) {
		for _, p := range list {
			left += b.Launch(p).Count
		}
	}
	if stored.Load()+left != 4*each {
		t.Errorf("%d repeats were stored and %d are left, want %d in all", stored.Load(), left, 4*each)
	}
	if failed.Load() == 0 {
		t.Error("nothing was ever given back, so this showed less than it should")
	}
}
