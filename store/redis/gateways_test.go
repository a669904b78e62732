package redis

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// settableClock is a clock that tests set.
type settableClock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *settableClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *settableClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func wantGateways(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.Gateways(t.Context()); err != nil || n != want {
		t.Errorf("%d processes are alive, %v, want %d", n, err, want)
	}
}

// TestGateways counts the processes that work on a store.
func TestGateways(t *testing.T) {
	t.Parallel()
	server, clock := redistest.Single(t), &settableClock{now: testTime}
	a, b, c := another(t, server.URL(), Options{Now: clock.Now}), another(t, server.URL(), Options{Now: clock.Now}), another(t, server.URL(), Options{Now: clock.Now})
	wantGateways(t, a, 0) // they have not begun to work
	for _, s := range []*Store{a, b, c} {
		s.present(t.Context())
		s.present(t.Context()) // that is still one
	}
	wantGateways(t, a, 3)
	must(t, c.Close())
	wantGateways(t, a, 2)
	// b is killed: it says no more.
	clock.add(forgotten - time.Second)
	a.present(t.Context())
	wantGateways(t, a, 2)
	clock.add(2 * time.Second)
	wantGateways(t, a, 1)
	a.present(t.Context())
	if n := server.Do("ZCARD", a.names[0].tag+"gateways"); n != "1" {
		t.Errorf("%s processes are remembered, want only the one that is alive", n)
	}
}

// TestRunSaysThatItIsAlive, once it runs and until it is closed.
func TestRunSaysThatItIsAlive(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	await(t, "it has said so", func() bool {
		n, err := s.Gateways(t.Context())
		return err == nil && n == 1
	})
	cancel()
	must(t, <-done)
}

// TestRunStoresRepeats when they are due, and when there are many.
func TestRunStoresRepeats(t *testing.T) {
	t.Parallel()
	server, clock := redistest.Single(t), &settableClock{now: testTime}
	s, beside := another(t, server.URL(), Options{Now: clock.Now}), another(t, server.URL(), Options{Now: clock.Now})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	update(t, s, repeating(2, key, 1))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stored := func() bool { return entryOf(t, beside, key, 1).Count == 2 }
	s.flush(t.Context(), false)
	if stored() {
		t.Error("repeats are stored at once")
	}
	clock.add(time.Minute)
	await(t, "they are stored", stored)
	cancel()
	must(t, <-done)
}

// TestListening: since when alerts could be stored is what the last process to
// come back says, for all.
func TestListening(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	steady, away := another(t, server.URL(), Options{}), another(t, proxy.URL(), Options{downAfter: downAfter})
	steady.present(t.Context())
	started := steady.ListeningSince()
	if started.After(steady.Now()) || steady.Now().Sub(started) > time.Minute {
		t.Errorf("it listens since %s, now is %s", started, steady.Now())
	}

	// A connection that breaks is made up for by another try.
	before := away.ListeningSince()
	began := time.Now()
	proxy.DropReplies(1)
	must(t, away.Check(t.Context()))
	must(t, away.Check(t.Context()))
	if since := away.ListeningSince(); !since.Equal(before) && time.Since(began) < downAfter {
		t.Errorf("one answer was lost, and it listens since %s in place of %s", since, before)
	}

	proxy.Hold()
	began = time.Now()
	await(t, "it is away for long enough to count", func() bool {
		return away.Check(t.Context()) != nil && time.Since(began) > downAfter+replyTime
	})
	proxy.Release()
	await(t, "it takes updates again", func() bool { return away.Check(t.Context()) == nil })
	await(t, "it says that it was away", func() bool { return away.ListeningSince().After(before) })
	back := away.ListeningSince()
	if back.Before(before.Add(downAfter)) {
		t.Errorf("it was away from about %s, and listens since %s", before, back)
	}
	await(t, "the others hear of it", func() bool {
		steady.present(t.Context())
		return steady.ListeningSince().Equal(back)
	})
	// Whoever starts has not listened before.
	if since := another(t, server.URL(), Options{}).ListeningSince(); since.Before(back) {
		t.Errorf("one that has just begun listens since %s, before %s", since, back)
	}
}
