package redis

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
)

// closedWith makes an incident with many alerts, all of which have ended, and closes it.
func closedWith(t *testing.T, s *Store, key incident.Key, alerts int) *incident.Incident {
	t.Helper()
	// In pieces that a busy machine does in half a second too.
	for some := range slices.Chunk(numbers(0, alerts), 500) {
		update(t, s, joining(100_000+some[0], key, some...))
	}
	for some := range slices.Chunk(numbers(0, alerts), 500) {
		update(t, s, ending(200_000+some[0], key, some...))
	}
	i := incidentOf(t, s, key)
	update(t, s, editing(3, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(4, i.ID, func(e *incident.Edit) error { return e.Close("ann", "") }))
	return incidentOf(t, s, key)
}

// wantForgotten checks that nothing names an incident.
func wantForgotten(t *testing.T, s *Store, i *incident.Incident) {
	t.Helper()
	if got, err := s.Incident(t.Context(), i.Reference); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("the removed incident: got %+v, %v", got, err)
	}
	for _, r := range (&subject{s, s.url}).Rows(t) {
		for _, name := range [][]byte{i.ID[:], []byte(i.ID.String()), []byte(i.Reference)} {
			if bytes.Contains(r.Key, name) || bytes.Contains(r.Value, name) {
				t.Errorf("a row still names the removed incident: %.200q = %.200q", r.Key, r.Value)
			}
		}
	}
}

// TestRemoveWhileOthersWrite removes a large incident while other processes
// write to its key: new alerts, and old ones that fire again.
func TestRemoveWhileOthersWrite(t *testing.T) {
	t.Parallel()
	const alerts = 5000
	server, s := alone(t, Options{})
	others := []*Store{s, another(t, server.URL(), Options{})}
	key := keyNumber(1)
	old := closedWith(t, s, key, alerts)
	removed := make(chan error, 1)
	var next atomic.Int64
	next.Store(99)
	var over atomic.Bool
	go func() {
		for next.Load() < 110 { // not before the others have begun
			runtime.Gosched()
		}
		removed <- s.Remove(t.Context(), old.ID)
		over.Store(true)
	}()
	together(4, func(worker int) {
		for after := 0; after < 3; {
			if over.Load() {
				after++
			}
			n := int(next.Add(1))
			send(t, others[worker%2], joining(n, key, 10_000+n, n*37%alerts))
		}
	})
	must(t, <-removed)
	wantForgotten(t, others[1], old)
	i := wantTook(t, s, key, numbers(100, int(next.Load())+1)...)
	if i.ID == old.ID || !i.IsOpen() {
		t.Errorf("the key names %s, which is %s", i.Reference, i.State)
	}
	audit(t, others[1])
}

// steps is a context that ends after it was looked at a number of times.
type steps struct {
	context.Context
	left atomic.Int64
}

func (s *steps) Err() error {
	if s.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestRemoveInPieces kills the removal of a large incident again and again.
func TestRemoveInPieces(t *testing.T) {
	t.Parallel()
	const alerts = 5000
	server, s := alone(t, Options{})
	key := keyNumber(1)
	i := closedWith(t, s, key, alerts)
	update(t, s, joining(100, keyNumber(2), 1))
	left := func(s *Store) int {
		list, _, err := s.KeyEntries(t.Context(), key, "", 2*alerts)
		must(t, err)
		return len(list)
	}
	before, killed := left(s), 0
	for {
		// Whoever comes next may be another process.
		by := another(t, server.URL(), Options{})
		ctx := &steps{Context: t.Context()}
		ctx.left.Store(2) // one to read the incident, one to remove some of it
		err := by.Remove(ctx, i.ID)
		if err == nil {
			break
		}
		wantUnavailable(t, "a removal that was killed", err)
		if killed++; killed > 20 {
			t.Fatal("it never ends")
		}
		if got, err := s.Incident(t.Context(), i.ID.String()); err != nil || got.State != incident.Closed {
			t.Errorf("the incident whose removal was killed: got %+v, %v", got, err)
		}
		if _, _, err := s.Alerts(t.Context(), i.ID, "", 10); err != nil {
			t.Errorf("its alerts: %v", err)
		}
		if after := left(s); after > before || after < before-rowsAtOnce-pageEntries {
			t.Errorf("%d of %d alerts are left", after, before)
		} else {
			before = after
		}
	}
	if want := alerts / (rowsAtOnce + pageEntries); killed < want {
		t.Errorf("it was killed %d times, want at least %d: a call removes a bounded number of rows", killed, want)
	}
	wantForgotten(t, s, i)
	if got := left(s); got != 0 {
		t.Errorf("%d alerts are left", got)
	}
	if err := s.Remove(t.Context(), i.ID); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("to remove it again: got %v, want %v", err, incident.ErrNotFound)
	}
	// The key goes on.
	update(t, s, joining(101, key, 1))
	wantTook(t, s, key, 101)
	wantTook(t, s, keyNumber(2), 100)
	audit(t, s)
}

// TestRemoveWhatChanges: an incident that changes while it is removed is looked at again.
func TestRemoveWhatChanges(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	other := another(t, server.URL(), Options{})
	key := keyNumber(1)
	i := closedWith(t, s, key, 2500)
	update(t, s, joining(100, key, 1)) // of another incident, with an old alert
	var changes atomic.Int64
	ctx := &between{Context: t.Context(), do: func() {
		if n := int(changes.Add(1)); n < removeTries {
			update(t, other, editing(200+n, i.ID, func(e *incident.Edit) error { return e.Note("ann", "late word", testTime) }))
		}
	}}
	must(t, s.Remove(ctx, i.ID))
	if changes.Load() < 5 {
		t.Errorf("it changed %d times", changes.Load())
	}
	wantForgotten(t, s, i)
	wantTook(t, s, key, 100)
	audit(t, s)

	// One that changes all the time is given up, and stays.
	i = closedWith(t, s, keyNumber(2), 10)
	changes.Store(-1 << 20)
	if err := s.Remove(&between{Context: t.Context(), do: ctx.do}, i.ID); !errors.Is(err, incident.ErrConflict) {
		t.Errorf("an incident that changes all the time: got %v, want %v", err, incident.ErrConflict)
	}
	if _, err := s.Incident(t.Context(), i.ID.String()); err != nil {
		t.Errorf("an incident that was not removed: %v", err)
	}
}

// between does something between a read and what follows it.
type between struct {
	context.Context
	looked int
	do     func()
}

func (b *between) Err() error {
	if b.looked++; b.looked%2 == 0 {
		b.do()
	}
	return nil
}
