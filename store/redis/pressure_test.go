package redis

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// slack is what a loaded machine may add to the time that an answer takes.
const slack = 5 * time.Second

// TestInFlight: what is too much is refused at once, and not queued.
func TestInFlight(t *testing.T) {
	t.Parallel()
	p := &points{}
	_, s := alone(t, Options{InFlight: 3, Failpoint: p.hit})
	var held []*holding
	for n := range 3 {
		held = append(held, hold(t, s, p, joining(n, keyNumber(n), n)))
	}
	for n := range 5 {
		// The key of one that waits too: it would be folded.
		wantUnavailable(t, "an update beyond the bound", s.Update(t.Context(), []incident.Change{joining(10+n, keyNumber(n), n)}))
	}
	if got := valueOf(t, s.metrics.refused); got != 5 {
		t.Errorf("%v updates were counted as refused, want 5", got)
	}
	for n := range 3 {
		if got := queuing(s, keyNumber(n)); got != 0 {
			t.Errorf("%d refused changes wait for key %d", got, n)
		}
		must(t, held[n].goOn())
	}
	for n := range 3 {
		update(t, s, joining(20+n, keyNumber(n), n))
		wantTook(t, s, keyNumber(n), n, 20+n)
	}
	if got := s.inFlight.Load(); got != 0 {
		t.Errorf("%d updates are counted as under way, want 0", got)
	}
	if got := valueOf(t, s.metrics.refused); got != 5 {
		t.Errorf("%v updates were counted as refused, want 5", got)
	}
}

// TestErrorsLeaveNothingBehind: whatever becomes of updates, none is counted as under way.
func TestErrorsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.Update(over, []incident.Change{joining(1, keyNumber(1), 1)})
	_ = s.Update(t.Context(), nil)
	_ = s.Update(t.Context(), []incident.Change{refusing(1, keyNumber(1), errAny)})
	_ = s.Update(t.Context(), []incident.Change{editing(1, incident.NewID(testTime, [16]byte{}, 0, 3), nil)})
	preview := joining(1, keyNumber(1), 1)
	preview.Preview = true
	must(t, s.Update(t.Context(), []incident.Change{preview}))
	if got := s.inFlight.Load(); got != 0 {
		t.Errorf("%d updates are counted as under way, want 0", got)
	}
	if keys := queuesOf(s); len(keys) != 0 {
		t.Errorf("keys are still queued: %v", keys)
	}
}

// TestPaused stops the server: updates are refused in time, nothing piles up,
// and it goes on by itself. It is not parallel, because it counts goroutines.
func TestPaused(t *testing.T) {
	server := redistest.Single(t)
	s := another(t, server.URL(), Options{Timeout: time.Second, downAfter: downAfter})
	send(t, s, joining(0, keyNumber(0), 0))
	before := runtime.NumGoroutine()
	server.Pause()
	t.Cleanup(server.Resume)

	const callers, calls = 500, 10_000
	var next, refused, slowest, most atomic.Int64
	raise := func(to *atomic.Int64, v int64) {
		for old := to.Load(); v > old && !to.CompareAndSwap(old, v); old = to.Load() {
			continue
		}
	}
	began := time.Now()
	together(callers, func(int) {
		for {
			n := int(next.Add(1))
			if n > calls {
				return
			}
			called := time.Now()
			// Some keys are everybody's, most are not.
			err := s.Update(t.Context(), []incident.Change{joining(n, keyNumber(n%50*(n%3)), n)})
			raise(&slowest, int64(time.Since(called)))
			raise(&most, int64(runtime.NumGoroutine()))
			if errors.Is(err, store.ErrUnavailable) {
				refused.Add(1)
			} else {
				t.Errorf("update %d: got %v, want %v", n, err, store.ErrUnavailable)
			}
		}
	})
	t.Logf("%d updates were refused in %s, the slowest took %s; at most %d goroutines", calls, time.Since(began), time.Duration(slowest.Load()), most.Load()-int64(before))
	if refused.Load() != calls {
		t.Errorf("%d of %d updates were refused", refused.Load(), calls)
	}
	if took := time.Duration(slowest.Load()); took > s.opts.Timeout+slack {
		t.Errorf("the slowest refusal took %s, want at most the timeout of %s and %s", took, s.opts.Timeout, slack)
	}
	// The callers, and a few for connections and timers.
	if got, limit := most.Load()-int64(before), int64(2*callers); got > limit {
		t.Errorf("%d goroutines for %d callers, want at most %d", got, callers, limit)
	}
	if up := s.up(); up != 0 {
		t.Errorf("up is %v while the server is away, want 0", up)
	}
	wantUnavailable(t, "a check", s.Check(t.Context()))

	server.Resume()
	await(t, "it takes updates again", func() bool { return s.Update(t.Context(), []incident.Change{joining(calls+1, keyNumber(1), 1)}) == nil })
	must(t, s.Check(t.Context()))
	if up := s.up(); up != 1 {
		t.Errorf("up is %v, want 1", up)
	}
	if got := s.inFlight.Load(); got != 0 {
		t.Errorf("%d updates are counted as under way, want 0", got)
	}
	await(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before+10 })
	// What was refused may have been on its way: it has happened as a whole or not at all.
	audit(t, another(t, server.URL(), Options{}))
}

// TestBreaker: a server that has not answered for a while is not asked any more,
// until it answers again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := another(t, server.URL(), Options{downAfter: downAfter})
	key := keyNumber(1)
	send(t, s, joining(1, key, 1))
	l, err := s.lane(&call{})
	must(t, err)
	fail := func(since time.Duration) { l.failing.Store(s.steady().Add(-since).UnixNano()) }

	// One that has only just begun to fail is asked.
	fail(0)
	update(t, s, joining(2, key, 2))
	if l.failing.Load() != 0 {
		t.Error("an answer did not end it")
	}

	server.Pause()
	t.Cleanup(server.Resume)
	fail(2 * downAfter)
	trips, began := s.trips.Load(), time.Now()
	together(20, func(n int) {
		wantUnavailable(t, "an update while the server is away", s.Update(t.Context(), []incident.Change{joining(10+n, keyNumber(n), 1)}))
	})
	if took := time.Since(began); took > slack {
		t.Errorf("to be refused took %s, want nothing of the %s that an update may take", took, s.opts.Timeout)
	}
	if got := s.trips.Load() - trips; got != 0 {
		t.Errorf("%d pipelines went to a server that is away", got)
	}
	server.Resume()
	await(t, "it is seen to be back", func() bool { return l.failing.Load() == 0 })
	send(t, s, joining(3, key, 3))
	beside := another(t, server.URL(), Options{})
	wantTook(t, beside, key, 1, 2, 3)
	audit(t, beside)
}

// TestSlow lets answers take long, but not too long.
func TestSlow(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s := another(t, proxy.URL(), Options{})
	proxy.Delay(replyTime / 5)
	trips := s.trips.Load()
	together(20, func(n int) {
		send(t, s, joining(n, keyNumber(n), n))
	})
	// They go together while they wait.
	if got := s.trips.Load() - trips; got > 20 {
		t.Errorf("20 updates took %d round trips", got)
	}
	proxy.Delay(0)
	for n := range 20 {
		wantTook(t, s, keyNumber(n), n)
	}
}

// TestQueued: what waits for a server is bounded.
func TestQueued(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := another(t, server.URL(), Options{Timeout: time.Second, downAfter: downAfter})
	server.Pause()
	t.Cleanup(server.Resume)
	calls := make([]*call, queued+1)
	for n := range calls {
		calls[n] = &call{args: []any{"GET", "a"}}
	}
	must(t, s.run(t.Context(), calls...))
	for _, c := range calls {
		if !errors.Is(c.err, errOverloaded) {
			t.Fatalf("one of too many calls: got %v, want %v", c.err, errOverloaded)
		}
	}
	calls = calls[:queued/2]
	for _, c := range calls {
		c.err = nil
	}
	began := time.Now()
	must(t, s.run(t.Context(), calls...))
	for _, c := range calls {
		if !errors.Is(c.err, store.ErrUnavailable) || errors.Is(c.err, errOverloaded) {
			t.Fatalf("one of many calls to a server that is away: got %v", c.err)
		}
	}
	if took := time.Since(began); took > s.opts.Timeout+slack {
		t.Errorf("it took %s to refuse %d calls, want at most the timeout of %s and %s", took, len(calls), s.opts.Timeout, slack)
	}
	server.Resume()
	await(t, "it answers again", func() bool { return s.Check(t.Context()) == nil })
}

// TestClosed: what comes after Close is refused.
func TestClosed(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	update(t, s, joining(1, keyNumber(1), 1))
	must(t, s.Close())
	wantUnavailable(t, "an update of a closed store", s.Update(t.Context(), []incident.Change{joining(2, keyNumber(1), 1)}))
	wantUnavailable(t, "a check of a closed store", s.Check(t.Context()))
	must(t, s.Close())
}
