package embedded

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// TestTimes: every year that a sender can write survives the memory
// of entries.
func TestTimes(t *testing.T) {
	var h hot
	h.reset()
	for _, at := range []time.Time{{}, time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1699, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0).UTC(), time.Unix(0, -1).UTC(),
		time.Date(1969, 7, 20, 20, 17, 40, 999_999_999, time.UTC), testStart, time.Date(2200, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)} {
		e := row.Entry{Entry: incident.Entry{Start: at, Last: at, End: at, EndSeen: at, ValidUntil: at, FirstSeen: at, LastSeen: at}}
		if !at.IsZero() {
			e.Changes = []time.Time{at, at}
		}
		if r, ok := h.pack(&e); ok {
			if got := h.unpack(&r, alert.Fingerprint{}); !reflect.DeepEqual(got, e) {
				t.Errorf("%s through memory: got %+v, want %+v", at, got, e)
			}
		} else if at.Year() > 1700 && at.Year() < 2200 {
			t.Errorf("%s is not kept in memory", at)
		}
	}
}

// TestHot: what does not fit into memory is still found, and what is not there is known not to be.
func TestHot(t *testing.T) {
	s := mustOpen(t, "mem:", Options{Now: frozen})
	for n := range 20 {
		if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if !s.hot.complete.Load() {
		t.Error("20 entries do not fit into memory")
	}
	odd := numbered(20)
	step := odd.Step
	odd.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		for n := range hotChanges + 3 {
			next.Entries[0].Entry.Changes = append(next.Entries[0].Entry.Changes, st.Now.Add(time.Duration(n)))
		}
		return next, err
	}
	if err := s.Update(t.Context(), []incident.Change{odd}); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	for n := range 23 {
		e, err := s.live(&buf, sum("key", n%keys), sum("alert", n))
		if err != nil || e.Exists() != (n <= 20) || n == 20 && len(e.Changes) != hotChanges+3 {
			t.Errorf("alert %d: got %+v, %v", n, e, err)
		}
	}
	// Too many odd ones: memory does not claim to have them all any more.
	long := row.Entry{Entry: incident.Entry{Changes: make([]time.Time, hotChanges+1)}}
	for n := range oddKept * hotShards * 2 {
		s.hot.put(store.Place{Key: sum("odd", 0), Fingerprint: sum("odd", n)}, &long)
	}
	if _, found, known := s.hot.get(store.Place{Key: sum("key", 1), Fingerprint: sum("nobody", 1)}); found || known {
		t.Errorf("an alert that nobody knows: found %t, known %t; want that memory does not know", found, known)
	}
	// Places are used again after a removal.
	for n := range hotChunk + 5 {
		place := store.Place{Key: sum("key", n), Fingerprint: sum("f", n)}
		s.hot.put(place, &row.Entry{Entry: incident.Entry{Count: uint64(n)}})
		if n%3 == 0 {
			s.hot.remove(place)
		}
	}
	for n := range hotChunk + 5 {
		e, found, _ := s.hot.get(store.Place{Key: sum("key", n), Fingerprint: sum("f", n)})
		if found != (n%3 != 0) || found && e.Count != uint64(n) {
			t.Errorf("place %d: got %+v, %t", n, e, found)
		}
	}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		key    byte
		values []int64
		want   int64
	}{{rowCounter, []int64{1, 2, -5}, -2}, {rowNumber, []int64{3, 9, 4}, 9}, {rowCounter, []int64{math.MaxInt64}, math.MaxInt64}} {
		for _, name := range []string{"newer", "older"} {
			m, err := merger.Merge([]byte{c.key}, appendNumber(nil, c.values[0]))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.values[1:] {
				if name == "newer" {
					err = m.MergeNewer(appendNumber(nil, v))
				} else {
					err = m.MergeOlder(appendNumber(nil, v))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			got, _, err := m.Finish(true)
			if err != nil || parseNumber(got) != c.want {
				t.Errorf("%c of %v, %s: got %d, %v, want %d", c.key, c.values, name, parseNumber(got), err, c.want)
			}
		}
	}
}
