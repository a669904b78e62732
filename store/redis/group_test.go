package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// evalshas is how many scripts that write do had the server run.
func evalshas(t *testing.T, count func() map[string]int64, do func()) int64 {
	t.Helper()
	before := count()["evalsha"]
	do()
	return count()["evalsha"] - before
}

// wantCommits checks how many scripts that write do had the server run. What was sent
// again, because an answer did not come in time, may be more.
func wantCommits(t *testing.T, server *redistest.Server, s *Store, want int64, do func()) {
	t.Helper()
	before := valueOf(t, s.metrics.retries)
	got := evalshas(t, server.CommandCount, do)
	if again := int64(valueOf(t, s.metrics.retries) - before); got < want || got > want+again {
		t.Errorf("it took %d commits, want %d, or up to %d more that were sent again", got, want, again)
	}
}

// TestFolding: what arrives while a key is being committed goes along with the next commit.
func TestFolding(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	update(t, s, joining(0, key, 0)) // the server learns the scripts
	const waiting = 63
	want := int64(1 + (waiting+folded-1)/folded)
	wantCommits(t, server, s, want, func() {
		h := hold(t, s, p, joining(1, key, 1))
		done := make(chan error, waiting)
		for n := range waiting {
			go func() { done <- s.Update(t.Context(), []incident.Change{joining(2+n, key, 2+n, 0)}) }()
		}
		await(t, "the others wait", func() bool { return queuing(s, key) == waiting })
		must(t, h.goOn())
		for range waiting {
			must(t, <-done)
		}
	})
	if i := wantTook(t, s, key, numbers(0, 2+waiting)...); i.Version != 2+waiting {
		t.Errorf("got version %d, want one for each of %d changes", i.Version, 2+waiting)
	}
	if len(queuesOf(s)) != 0 {
		t.Errorf("keys are still queued: %v", queuesOf(s))
	}
	audit(t, s)
}

// queuesOf lists the keys that somebody in this process is at.
func queuesOf(s *Store) (keys []incident.Key) {
	for n := range s.queues {
		q := &s.queues[n]
		q.mu.Lock()
		for k := range q.m {
			keys = append(keys, k)
		}
		q.mu.Unlock()
	}
	return keys
}

// TestManyCallers lets many goroutines go on one key, without any help.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(0, key, 0))
	const callers, each = 64, 10
	var next atomic.Int64
	got := evalshas(t, server.CommandCount, func() {
		together(callers, func(int) {
			for range each {
				n := int(next.Add(1))
				send(t, s, joining(n, key, n%50))
			}
		})
	})
	if most := int64(2 * callers * each / folded); got > most {
		t.Errorf("%d changes took %d commits, want at most %d", callers*each, got, most)
	}
	t.Logf("%d changes of %d goroutines took %d commits", callers*each, callers, got)
	wantTook(t, s, key, numbers(0, callers*each+1)...)
	audit(t, s)
}

// TestFoldedErrors: each change has its own error, and those beside it are committed.
func TestFoldedErrors(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	g, err := s.SetGeneration(t.Context(), store.Generation{ID: madeBy, Text: []byte("text")})
	must(t, err)
	update(t, s, joining(0, key, 0))
	id := incidentOf(t, s, key).ID
	unwanted := errors.New("unwanted")
	elsewhere := joining(6, keyNumber(2), 6)
	unread := joining(7, key, 7)
	unread.Fingerprints = nil
	unread.Step = func(st incident.State) (incident.Next, error) {
		st.Entries = make([]incident.Entry, 1)
		st.Entries[0].Fingerprint = alertNumber(7)
		return join(7, key, []int{7}, &st), nil
	}
	never := joining(8, key)
	never.Step = func(incident.State) (incident.Next, error) {
		return incident.Next{Want: incident.Want{Fingerprints: []alert.Fingerprint{alertNumber(0)}}}, nil
	}
	old := joining(9, key, 9)
	old.Epoch = g.Epoch + 1
	known := joining(10, key, 10)
	known.Epoch = g.Epoch
	changes := []struct {
		name   string
		change incident.Change
		is     error // errAny: some error
	}{
		{"the first", joining(1, key, 1), nil},
		{"one whose step refuses", refusing(2, key, unwanted), unwanted},
		{"one behind it", joining(3, key, 3), nil},
		{"one of an incident that is not there", editing(4, incident.NewID(testTime, [16]byte{4}, 0, key.Shard()), nil), incident.ErrNotFound},
		{"one of a person", editing(5, id, func(e *incident.Edit) error { return e.Note("ann", "a note", time.Time{}) }), nil},
		{"one that writes the incident of another key", onKey(elsewhere, key), errAny},
		{"one that writes what it has not read", unread, errAny},
		{"one that never knows enough", never, errAny},
		{"one for another list of generations", old, store.ErrEpoch},
		{"one for this list", known, nil},
		{"one that was committed before", joining(0, key, 0), nil},
		{"the last", joining(11, key, 11), nil},
	}
	h := hold(t, s, p, joining(12, key, 12))
	results := make([]chan error, len(changes))
	for n := range changes {
		results[n] = make(chan error, 1)
		go func() {
			c := changes[n].change
			c.Key = key // of a named incident too, so that it does not have to be looked for
			results[n] <- s.Update(t.Context(), []incident.Change{c})
		}()
		await(t, "it waits", func() bool { return queuing(s, key) == n+1 })
	}
	want := int64(1 + (len(changes)+folded-1)/folded) // with the one that they waited for
	wantCommits(t, server, s, want, func() {
		must(t, h.goOn())
		for n, c := range changes {
			switch err := <-results[n]; {
			case c.is == errAny && err == nil:
				t.Errorf("%s: got no error, want one", c.name)
			case c.is != errAny && !errors.Is(err, c.is):
				t.Errorf("%s: got %v, want %v", c.name, err, c.is)
			}
		}
	})
	i := wantTook(t, s, key, 0, 1, 3, 10, 11, 12)
	if i.Alerts.Total != 6 {
		t.Errorf("the incident has %d alerts, want 6", i.Alerts.Total)
	}
	for _, n := range []int{6, 7, 9} {
		if e := entryOf(t, s, key, n); e.Exists() {
			t.Errorf("alert %d of a change that was refused is there: %+v", n, e)
		}
	}
	audit(t, s)
}

// errAny stands for whatever error.
var errAny = errors.New("any")

var testTime = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// onKey has a change say another key than the one that its step writes.
func onKey(c incident.Change, key incident.Key) incident.Change {
	step := c.Step
	c.Key = key
	c.Step = func(st incident.State) (incident.Next, error) {
		st.Incident = nil
		return step(st)
	}
	return c
}

// TestOneOfMany: of the changes of one call those that can be made are made.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	unwanted := errors.New("unwanted")
	err := s.Update(t.Context(), []incident.Change{joining(1, keyNumber(1), 1), refusing(2, keyNumber(2), unwanted), joining(3, keyNumber(3), 3)})
	if !errors.Is(err, unwanted) {
		t.Errorf("got %v, want %v", err, unwanted)
	}
	wantTook(t, s, keyNumber(1), 1)
	wantTook(t, s, keyNumber(3), 3)
	// The whole can be sent again.
	update(t, s, joining(1, keyNumber(1), 1), joining(2, keyNumber(2), 2), joining(3, keyNumber(3), 3))
	for n := 1; n <= 3; n++ {
		wantTook(t, s, keyNumber(n), n)
	}
	audit(t, s)
}

// TestTooLate: a change whose time is over before it was its turn is never made.
func TestTooLate(t *testing.T) {
	t.Parallel()
	p := &points{}
	_, s := alone(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	var ran atomic.Int64
	late := joining(2, key, 2)
	step := late.Step
	late.Step = func(st incident.State) (incident.Next, error) {
		ran.Add(1)
		return step(st)
	}
	h := hold(t, s, p, joining(1, key, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Update(ctx, []incident.Change{late}) }()
	await(t, "it waits or its time is over", func() bool { return queuing(s, key) == 1 || len(done) == 1 })
	<-ctx.Done()
	must(t, h.goOn())
	wantUnavailable(t, "a change that waited for too long", <-done)
	if ran.Load() != 0 {
		t.Error("its step ran")
	}
	wantTook(t, s, key, 1)
	update(t, s, joining(3, key, 3)) // the key is free
	wantTook(t, s, key, 1, 3)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	wantUnavailable(t, "a call whose context is over", s.Update(over, []incident.Change{late}))
	wantTook(t, s, key, 1, 3)
}

// TestTooLateBesideOthers: whatever a change is told is what became of it, also if
// it waited for too long beside one that has time.
func TestTooLateBesideOthers(t *testing.T) {
	t.Parallel()
	p := &points{}
	_, s := alone(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	h := hold(t, s, p, joining(1, key, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	late, patient := make(chan error, 1), make(chan error, 1)
	go func() { late <- s.Update(ctx, []incident.Change{joining(2, key, 2)}) }()
	await(t, "it waits or its time is over", func() bool { return queuing(s, key) == 1 || len(late) == 1 })
	waiting := queuing(s, key)
	go func() { patient <- s.Update(t.Context(), []incident.Change{joining(3, key, 3)}) }()
	await(t, "the other one waits", func() bool { return queuing(s, key) == waiting+1 })
	<-ctx.Done()
	must(t, h.goOn())
	must(t, <-patient)
	if err := <-late; err != nil {
		wantUnavailable(t, "a change that waited for too long", err)
		wantTook(t, s, key, 1, 3)
	} else {
		wantTook(t, s, key, 1, 2, 3)
	}
	audit(t, s)
}

// TestBegin: changes that go together have the time of the first of them that is
// worth a try; those that waited for too long are given up by themselves.
func TestBegin(t *testing.T) {
	for _, c := range []struct {
		name   string
		waited bool
		left   []time.Duration // of each change
		kept   []int           // the first of them is the one whose time counts
	}{
		{"one with time", false, []time.Duration{time.Second}, []int{0}},
		{"one with little time that did not wait", false, []time.Duration{worthwhile / 2}, []int{0}},
		{"one with little time that waited", true, []time.Duration{worthwhile / 2}, nil},
		{"one without time beside others", true, []time.Duration{-time.Second, 2 * time.Second, time.Second}, []int{2, 1}},
		{"all with time", true, []time.Duration{2 * time.Second, time.Second}, []int{1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) { // no time passes meanwhile
				now := time.Now()
				var done sync.WaitGroup
				done.Add(len(c.left) - len(c.kept))
				works := make([]*work, len(c.left))
				for n, left := range c.left {
					works[n] = &work{deadline: now.Add(left), done: &done}
				}
				g := &group{key: keyNumber(1), waited: c.waited, works: slices.Clone(works)}
				g.begin()
				done.Wait() // those that were given up need not wait for the others
				if len(g.works) != len(c.kept) || g.over() != (len(c.kept) == 0) {
					t.Errorf("%d changes go on, over is %t; want %d", len(g.works), g.over(), len(c.kept))
				}
				if len(c.kept) > 0 && !g.deadline.Equal(works[c.kept[0]].deadline) {
					t.Errorf("it has %s, want that of change %d", g.deadline.Sub(now), c.kept[0])
				}
				for n, w := range works {
					if kept := slices.Contains(c.kept, n); kept != slices.Contains(g.works, w) || kept == errors.Is(w.err, store.ErrUnavailable) {
						t.Errorf("change %d: want kept %t, its error is %v", n, kept, w.err)
					}
				}
			})
		})
	}
}

// TestSettledInGroup: repeats that are folded together with changes count in
// what the changes see and store.
func TestSettledInGroup(t *testing.T) {
	t.Parallel()
	p := &points{}
	_, s := alone(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	update(t, s, joining(0, key, 0))
	update(t, s, repeating(1, key, 0))
	h := hold(t, s, p, joining(2, key, 2))
	results := make(chan error, 3)
	for n, c := range []incident.Change{repeating(3, key, 0), joining(4, key, 0), repeating(5, key, 0, 2)} {
		go func() { results <- s.Update(t.Context(), []incident.Change{c}) }()
		await(t, "it waits", func() bool { return queuing(s, key) == n+1 })
	}
	must(t, h.goOn())
	for range 3 {
		must(t, <-results)
	}
	if e := entryOf(t, s, key, 0); e.Count != 5 {
		t.Errorf("the alert came %d times, want 5: two changes, three repeats", e.Count)
	}
	s.flush(t.Context(), true)
	wantTook(t, s, key, 0, 2, 4)
	audit(t, s)
	if e := entryOf(t, another(t, s.url, Options{}), key, 0); e.Count != 5 {
		t.Errorf("stored is that the alert came %d times, want 5", e.Count)
	}
}

// TestFlushDuringCommit: repeats that a commit takes along are not stored by a
// flush as well that comes in between.
func TestFlushDuringCommit(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	beside := another(t, server.URL(), Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	for n := range 5 {
		update(t, s, repeating(10+n, key, 1))
	}
	h := hold(t, s, p, joining(2, key, 1))
	s.flush(t.Context(), true)
	must(t, h.goOn())
	s.flush(t.Context(), true)
	for _, is := range []*Store{s, beside} {
		if e := entryOf(t, is, key, 1); e.Count != 7 {
			t.Errorf("the alert came %d times, want 7: two changes, five repeats", e.Count)
		}
	}
	audit(t, beside)
}

// TestCommitDuringFlush: nor the other way around.
func TestCommitDuringFlush(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s, beside := another(t, proxy.URL(), Options{}), another(t, server.URL(), Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	for n := range 5 {
		update(t, s, repeating(10+n, key, 1))
	}
	for n := range 3 {
		done := make(chan struct{})
		go func() {
			s.flush(t.Context(), true)
			close(done)
		}()
		update(t, s, joining(20+n, key, 1))
		update(t, s, repeating(30+n, key, 1))
		<-done
	}
	s.flush(t.Context(), true)
	if e := entryOf(t, beside, key, 1); e.Count != 12 {
		t.Errorf("the alert came %d times, want 12: four changes, eight repeats", e.Count)
	}
	audit(t, beside)
}

// TestOtherEpisode: repeats of an episode that another process has ended do not
// make the next one hold for longer.
func TestOtherEpisode(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s, other := another(t, server.URL(), Options{}), another(t, server.URL(), Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	update(t, s, repeating(2, key, 1)) // ten minutes
	update(t, other, ending(3, key, 1))
	update(t, other, joining(4, key, 1)) // five minutes
	want := entryOf(t, other, key, 1)
	for _, when := range []string{"before", "after"} {
		if got := entryOf(t, s, key, 1); !got.ValidUntil.Equal(want.ValidUntil) || !got.Start.Equal(want.Start) || got.Count != 4 {
			t.Errorf("%s the repeat is stored: valid until %s, started %s, came %d times; want %s, %s, 4 times", when, got.ValidUntil, got.Start, got.Count, want.ValidUntil, want.Start)
		}
		s.flush(t.Context(), true)
	}
}
