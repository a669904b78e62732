package redis

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// TestManyWriters has several processes write to one key.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{2, 4} {
		t.Run(fmt.Sprintf("%d processes lose nothing", processes), func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			stores := make([]*Store, processes)
			for n := range stores {
				stores[n] = another(t, server.URL(), Options{})
			}
			const writers, each = 4, 15
			key := keyNumber(1)
			var next atomic.Int64
			together(processes*writers, func(worker int) {
				s := stores[worker%processes]
				for range each {
					n := int(next.Add(1))
					// One alert of its own, and one that is everybody's.
					send(t, s, joining(n, key, 0, n))
				}
			})
			all := processes * writers * each
			for _, s := range stores {
				i := wantTook(t, s, key, numbers(1, all+1)...)
				if i.Version != uint64(all) || i.Occurrences != uint64(2*all) || i.Alerts.Total != all+1 {
					t.Errorf("got version %d, %d occurrences, %d alerts; want %d, %d, %d", i.Version, i.Occurrences, i.Alerts.Total, all, 2*all, all+1)
				}
				if e := entryOf(t, s, key, 0); e.Count != uint64(all) {
					t.Errorf("the alert that all sent came %d times, want %d", e.Count, all)
				}
			}
			audit(t, stores[0])
			conflicts := 0.0
			for _, s := range stores {
				conflicts += valueOf(t, s.metrics.conflicts)
			}
			if conflicts == 0 {
				t.Error("nobody was in anybody's way, so this showed nothing")
			}
		})
	}
}

// collide has b write to the key whenever a is about to, the given number of times.
func collide(t *testing.T, p *points, b *Store, key incident.Key, times int) {
	for n := range times {
		p.at("before-commit", func() {
			send(t, b, joining(1000+n, key, 1000+n))
		})
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		times             int
		conflicts, leases float64
		also              []int // changes that took place
	}{
		{name: "nobody is in the way"},
		{name: "another process is faster once", times: 1, conflicts: 1, also: []int{1000}},
		{name: "another process is faster twice", times: 2, conflicts: 2, also: []int{1000, 1001}},
		{name: "after three times the key is taken", times: 3, conflicts: 3, leases: 1, also: []int{1000, 1001, 1002}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, p := redistest.Single(t), &points{}
			a, b := another(t, server.URL(), Options{Failpoint: p.hit}), another(t, server.URL(), Options{})
			key := keyNumber(1)
			collide(t, p, b, key, c.times)
			began := time.Now()
			update(t, a, joining(1, key, 1))
			over := c.leases > 0 && time.Since(began) > leaseTime // a lease that ended is taken again
			if got := valueOf(t, a.metrics.conflicts); got < c.conflicts || got > c.conflicts && !over {
				t.Errorf("got %v conflicts, want %v", got, c.conflicts)
			}
			if got := valueOf(t, a.metrics.leases); got < c.leases || got > c.leases && !over {
				t.Errorf("the key was taken %v times, want %v", got, c.leases)
			}
			for _, s := range []*Store{a, b} {
				wantTook(t, s, key, append(c.also, 1)...)
			}
			if n := server.Do("EXISTS", a.names[key.Shard()].lease+key.String()); n != "0" {
				t.Error("the key is still taken")
			}
			audit(t, a)
		})
	}
}

// TestLease shows that others wait for who took the key.
func TestLease(t *testing.T) {
	t.Parallel()
	server, p := redistest.Single(t), &points{}
	a, b := another(t, server.URL(), Options{Failpoint: p.hit}), another(t, server.URL(), Options{})
	key := keyNumber(1)
	collide(t, p, b, key, triesBeforeLease)
	h := hold(t, a, p, joining(1, key, 1))
	lease := a.names[key.Shard()].lease + key.String()
	server.Do("PERSIST", lease) // however slow this machine is
	done := make(chan error, 1)
	go func() { done <- b.Update(t.Context(), []incident.Change{joining(2, key, 2)}) }()
	await(t, "the other process was refused", func() bool { return valueOf(t, b.metrics.conflicts) > 0 })
	must(t, h.goOn())
	must(t, <-done)
	i := wantTook(t, a, key, 1000, 1001, 1002, 1, 2)
	var order []string
	for _, e := range timelineOf(t, a, i) {
		if e.Action == "took" {
			order = append(order, e.Text)
		}
	}
	if got, want := strings.Join(order[3:], " "), took(1)+" "+took(2); got != want {
		t.Errorf("after the collisions the timeline has %q, want %q: who took the key comes first", got, want)
	}
}

// TestLeaseOfTheDead shows for how long a process is missed that ends, or
// hangs, while it has taken a key.
func TestLeaseOfTheDead(t *testing.T) {
	t.Parallel()
	server, p := redistest.Single(t), &points{}
	a, b := another(t, server.URL(), Options{Failpoint: p.hit}), another(t, server.URL(), Options{})
	key := keyNumber(1)
	collide(t, p, b, key, triesBeforeLease)
	began := time.Now() // before the key is taken
	h := hold(t, a, p, joining(1, key, 1))
	taken := time.Now() // after it was taken
	update(t, b, joining(2, key, 2))
	// A lease is counted by the server's clock and in whole milliseconds.
	if took := time.Since(began); took < leaseTime-10*time.Millisecond {
		t.Errorf("the other process wrote after %s, within the lease of %s", took, leaseTime)
	}
	if took := time.Since(taken); took > leaseTime+slack {
		t.Errorf("the other process waited %s for a lease of %s", took, leaseTime)
	}
	wantTook(t, b, key, 1000, 1001, 1002, 2)
	// It was only away for long: what it has decided does not count any more.
	must(t, h.goOn())
	wantTook(t, b, key, 1000, 1001, 1002, 2, 1)
	audit(t, b)
}

// TestManyKeys has processes write to several keys in one call, in another order each.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	stores := []*Store{another(t, server.URL(), Options{}), another(t, server.URL(), Options{}), another(t, server.URL(), Options{})}
	const keys, rounds = 5, 10
	together(len(stores), func(worker int) {
		for round := range rounds {
			n := worker*rounds + round
			var changes []incident.Change
			for k := range keys {
				k = (k + worker) % keys
				c := joining(n, keyNumber(k), n)
				c.ID = hashed(fmt.Sprint("of key ", k), n)
				changes = append(changes, c)
			}
			send(t, stores[worker], changes...)
		}
	})
	for k := range keys {
		wantTook(t, stores[0], keyNumber(k), numbers(0, len(stores)*rounds)...)
	}
	audit(t, stores[1])
}

// TestGenerationMeanwhile: a change for another list of generations is refused
// even if the list changes between its read and its commit.
func TestGenerationMeanwhile(t *testing.T) {
	t.Parallel()
	server, p := redistest.Single(t), &points{}
	a, b := another(t, server.URL(), Options{Failpoint: p.hit}), another(t, server.URL(), Options{})
	g, err := a.SetGeneration(t.Context(), store.Generation{ID: incident.Generation{1}, Text: []byte("one")})
	must(t, err)
	c := joining(1, keyNumber(1), 1)
	c.Epoch = g.Epoch
	h := hold(t, a, p, c)
	_, err = b.SetGeneration(t.Context(), store.Generation{ID: incident.Generation{2}, Text: []byte("two")})
	must(t, err)
	before := dump(t, b)
	if err := h.goOn(); !errors.Is(err, store.ErrEpoch) {
		t.Errorf("got %v, want %v", err, store.ErrEpoch)
	}
	wantSame(t, "a change for an older list", before, dump(t, b))
}
