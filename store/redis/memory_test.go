package redis

import (
	"encoding/binary"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// quickKey is the n-th of many keys, and of incidents, that cost no time to make.
func quickKey(n int) (out [16]byte) {
	binary.BigEndian.PutUint32(out[:], uint32(n)+1)
	return out
}

// TestMemoryIsBounded: of many keys this process remembers some, of more only the incident.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	m.init()
	const keys = keysRemembered + keysSeen + 100
	for n := range keys {
		m.put(quickKey(n), &remembered{id: incident.ID(quickKey(n)), version: "12345678"})
	}
	if len(m.m) > keysRemembered || len(m.seen) > keysSeen {
		t.Errorf("%d keys are remembered and %d seen, want at most %d and %d", len(m.m), len(m.seen), keysRemembered, keysSeen)
	}
	whole, seen, forgotten := 0, 0, 0
	for n := range keys {
		switch r := m.get(quickKey(n)); {
		case r == nil:
			forgotten++
		case r.id != incident.ID(quickKey(n)):
			t.Errorf("key %d names %s", n, r.id)
		case r.version != "":
			whole++
		case !r.follow:
			t.Errorf("key %d is known by its incident only, and that is not read", n)
		default:
			seen++
		}
	}
	if whole != keysRemembered || seen != keysSeen || forgotten != 100 {
		t.Errorf("%d are remembered, %d seen, %d forgotten; want %d, %d, 100", whole, seen, forgotten, keysRemembered, keysSeen)
	}
	// What is seen again is seen, and what is committed again is remembered.
	m.see(quickKey(1), quickKey(1))
	if r := m.get(quickKey(1)); r == nil || r.version != "" {
		t.Errorf("a key that was seen: got %+v", r)
	}
	m.put(quickKey(1), &remembered{version: "12345678"})
	if r := m.get(quickKey(1)); r == nil || r.version == "" {
		t.Errorf("a key that was committed: got %+v", r)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	c.init()
	for n := range cached + 100 {
		c.put(incident.ID(quickKey(n)), "INC", quickKey(n))
	}
	if len(c.m) != cached {
		t.Errorf("%d incidents are kept, want %d", len(c.m), cached)
	}
	last := incident.ID(quickKey(cached + 99))
	if got, ok := c.get(last); !ok || got.key != quickKey(cached+99) {
		t.Errorf("the last one: got %+v, %t", got, ok)
	}
	c.forget(last)
	if _, ok := c.get(last); ok {
		t.Error("what is to be forgotten is kept")
	}
}

// TestWhatOthersDid: whatever this process remembers of a key, what counts is
// what is stored.
func TestWhatOthersDid(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s, other := another(t, server.URL(), Options{}), another(t, server.URL(), Options{})
	n := 1000
	for _, c := range []struct {
		name string
		did  func(key incident.Key, i *incident.Incident)
		same bool // the incident is the one that it was
	}{
		{"nothing", func(incident.Key, *incident.Incident) {}, true},
		{"another change", func(key incident.Key, _ *incident.Incident) { update(t, other, joining(n+1, key, 5)) }, true},
		{"the end of an alert", func(key incident.Key, _ *incident.Incident) { update(t, other, ending(n+1, key, 1)) }, true},
		{"a resolve", func(_ incident.Key, i *incident.Incident) {
			update(t, other, editing(n+1, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
		}, false},
		{"a new incident", func(key incident.Key, i *incident.Incident) {
			update(t, other, editing(n+1, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
			update(t, other, joining(n+2, key, 5))
		}, false},
		{"a removal", func(key incident.Key, i *incident.Incident) {
			update(t, other, ending(n+1, key, 1))
			must(t, other.Remove(t.Context(), i.ID))
		}, false},
		{"a removal and a new incident", func(key incident.Key, i *incident.Incident) {
			update(t, other, ending(n+1, key, 1))
			must(t, other.Remove(t.Context(), i.ID))
			update(t, other, joining(n+2, key, 1))
		}, false},
	} {
		n += 10
		key := keyNumber(n)
		update(t, s, joining(n, key, 1))
		i := incidentOf(t, s, key)
		update(t, s, joining(n+5, key, 1)) // now it is remembered
		c.did(key, i)
		update(t, s, joining(n+6, key, 1, 2))
		is := incidentOf(t, other, key)
		if (is.ID == i.ID) != c.same {
			t.Errorf("after %s by another process: the key names %s, before it was %s", c.name, is.Reference, i.Reference)
		}
		for _, a := range []int{1, 2} {
			if e := entryOf(t, other, key, a); !e.Firing || e.Incident != is.ID {
				t.Errorf("after %s by another process: alert %d is %+v, want it to fire in %s", c.name, a, e, is.ID)
			}
		}
	}
	audit(t, other)
}
