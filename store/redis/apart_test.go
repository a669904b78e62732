package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// TestPanickingStep: a step that panics is an error of its change, and not the end of its key.
func TestPanickingStep(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	key := keyNumber(1)
	func() {
		defer func() { t.Logf("recovered: %v", recover()) }()
		_ = s.Update(t.Context(), []incident.Change{{ID: hashed("change", 1), Key: key, Step: func(incident.State) (incident.Next, error) { panic("a bug") }}})
	}()
	done := make(chan error, 1)
	go func() { done <- s.Update(t.Context(), []incident.Change{joining(2, key, 1)}) }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(ample):
		t.Errorf("the next update of the key does not come back, whatever its timeout of %s", unhurried)
	}
}

var _ = store.Place{}

// TestEpochOfOthers: only changes that depend on the list of generations are
// refused when it has changed.
func TestEpochOfOthers(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	other := another(t, server.URL(), Options{})
	g, err := s.SetGeneration(t.Context(), store.Generation{ID: madeBy, Text: []byte("x")})
	must(t, err)
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	i := incidentOf(t, s, key)
	h := hold(t, s, p, joining(2, key, 2))
	alertDone, noteDone := make(chan error, 1), make(chan error, 1)
	c := joining(3, key, 3)
	c.Epoch = g.Epoch
	go func() { alertDone <- s.Update(context.Background(), []incident.Change{c}) }()
	await(t, "the alert waits", func() bool { return queuing(s, key) == 1 })
	go func() {
		noteDone <- s.Update(context.Background(), []incident.Change{editing(4, i.ID, func(e *incident.Edit) error { return e.Note("ann", "a word", testTime) })})
	}()
	await(t, "the note waits", func() bool { return queuing(s, key) == 2 })
	p.at("before-commit", func() {
		_, err := other.SetGeneration(context.Background(), store.Generation{ID: incident.Generation{8}, Text: []byte("y")})
		must(t, err)
	})
	must(t, h.goOn())
	if err := <-alertDone; !errors.Is(err, store.ErrEpoch) {
		t.Errorf("the alert: %v", err)
	}
	if err := <-noteDone; err != nil {
		t.Errorf("the note, which does not depend on the list: %v", err)
	}
}

// TestFlushBesideFailure: where one shard cannot store its repeats, those of others count once.
func TestFlushBesideFailure(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	bad, good := inShard(3, 1), inShard(9, 1)
	update(t, s, joining(1, bad, 1), joining(2, good, 1))
	update(t, s, repeating(3, bad, 1), repeating(4, good, 1))
	// The shard of the one key is damaged (in a cluster: its server is away).
	server.Do("DEL", s.names[3].entries)
	server.Do("SET", s.names[3].entries, "x")
	for range 5 {
		s.flush(t.Context(), true)
	}
	server.Do("DEL", s.names[3].entries)
	s.flush(t.Context(), true)
	beside := another(t, server.URL(), Options{})
	if e := entryOf(t, beside, good, 1); e.Count != 2 {
		t.Errorf("the alert came %d times, want 2", e.Count)
	}
	if i := incidentOf(t, beside, good); i.Occurrences != 2 {
		t.Errorf("the incident has %d occurrences, want 2", i.Occurrences)
	}
}

// TestFlushInCluster: while a master of a cluster is away, what is repeated elsewhere counts once.
func TestFlushInCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, 0, "cluster-require-full-coverage no").Steady()
	s := another(t, cluster.URL(), Options{})
	for n := range 64 {
		update(t, s, joining(100+n, inShard(byte(n), 1), 1))
		update(t, s, repeating(200+n, inShard(byte(n), 1), 1))
	}
	away := cluster.Nodes[0]
	away.Pause()
	t.Cleanup(away.Resume)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		s.flush(ctx, true)
		cancel()
	}
	away.Resume()
	await(t, "all are stored", func() bool {
		s.flush(t.Context(), true)
		return len(s.repeats.Due(s.Now(), true)) == 0
	})
	most, wrong := uint64(0), 0
	for n := range 64 {
		if s.home(byte(n)) == away.Addr {
			continue // sent again and again, which may count twice
		}
		if e := entryOf(t, s, inShard(byte(n), 1), 1); e.Count != 2 {
			wrong++
			most = max(most, e.Count)
		}
	}
	if wrong > 0 {
		t.Errorf("%d alerts of servers that were never away have a wrong count, up to %d, want 2", wrong, most)
	}
}

// TestCountsOfAll: with repeats, changes and flushes at the same time none is lost or doubled.
func TestCountsOfAll(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	stores := []*Store{s, another(t, server.URL(), Options{})}
	key := keyNumber(1)
	update(t, s, joining(0, key, 0, 1, 2, 3))
	var n, sent atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for _, st := range stores {
		wg.Go(func() {
			for !over.Load() {
				st.flush(context.Background(), true)
			}
		})
	}
	together(6, func(w int) {
		st := stores[w%2]
		for range 300 {
			i := int(n.Add(1))
			a := []int{rand.IntN(4)}
			if rand.IntN(3) == 0 {
				a = []int{0, 1, 2, 3}
			}
			sent.Add(int64(len(a)))
			if rand.IntN(4) == 0 {
				send(t, st, joining(i, key, a...))
			} else {
				send(t, st, repeating(i, key, a...))
			}
		}
	})
	over.Store(true)
	wg.Wait()
	for _, st := range stores {
		st.flush(context.Background(), true)
	}
	total := uint64(0)
	beside := another(t, server.URL(), Options{})
	for a := range 4 {
		total += entryOf(t, beside, key, a).Count
	}
	i := incidentOf(t, beside, key)
	if want := uint64(sent.Load()) + 4; total != want || i.Occurrences != want {
		t.Errorf("counts: %d, occurrences %d, want %d", total, i.Occurrences, want)
	}
	for _, st := range stores {
		if m := st.repeats.Due(time.Now().Add(time.Hour), true); len(m) > 0 {
			t.Errorf("stuck: %v", m)
		}
	}
	t.Logf("%d sent", sent.Load())
}
