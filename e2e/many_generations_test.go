package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// correlations are configurations under which an alert's key is another one.
var correlations = [...]string{
	"{}\n",
	"correlate: {rules: [{name: zones, by: [cluster, zone]}]}\n",
	"correlate: {rules: [{name: zones, by: [cluster, service, zone]}]}\n",
}

// TestManyGatewaysReloaded: while four gateways are told, in order, their
// configuration changes, of one after the other and back, so that most of the
// time they do not have the same. Still each alert is in one place, and ends where it fires.
func TestManyGatewaysReloaded(t *testing.T) {
	seeds(t, 2, func(t *testing.T, random *rand.Rand) { reloaded(t, random, nil) })
}

// TestManyGatewaysReloadedAndKilled is both at once.
func TestManyGatewaysReloadedAndKilled(t *testing.T) {
	withFailpoints, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	seeds(t, 2, func(t *testing.T, random *rand.Rand) {
		reloaded(t, random, &killing{random: rand.New(rand.NewPCG(random.Uint64(), 0)), failpointBinary: withFailpoints, kills: *manyKills})
	})
}

func reloaded(t *testing.T, random *rand.Rand, k *killing) {
	f := newFleet(t, correlations[0], sameStore(redistest.Single(t).URL(), gatewaysInFleet)...)
	done := make(chan error, 1)
	r := &reloading{random: rand.New(rand.NewPCG(random.Uint64(), 0)), reloads: 15, kills: k != nil}
	go func() {
		var killed error
		var group sync.WaitGroup
		if k != nil {
			group.Go(func() { killed = k.run(t.Context(), f) })
		}
		err := r.run(t.Context(), f)
		group.Wait()
		if err == nil {
			err = killed
		}
		done <- err
	}()
	tell := &teller{fleet: f, random: random, patient: k != nil}
	stories, err := tell.untilDone(t.Context(), done)
	if err != nil {
		t.Fatal(err)
	}
	surprises := func() []string {
		return circumstances{kills: k != nil || tell.refused.Load() > 0, reloads: true}.surprises(stories)
	}
	complain(t, "surprise", surprises())
	s := f.agrees(t, false)
	s.fires(t, stories, false)
	t.Logf("%d reloads, %d alerts, %d incidents; timelines say %v", r.reloads, len(stories), len(s.incidents), s.said())

	// Now all have the same, and everything ends.
	for _, m := range f {
		if err := m.configure(correlations[1]); err != nil {
			t.Fatal(err)
		}
		if err := m.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var ends []*fact
	for _, story := range stories {
		if end := story.end(); end != nil {
			ends = append(ends, end)
		}
	}
	for part := range slices.Chunk(ends, 100) {
		if err := tell.round(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	complain(t, "surprise", surprises())
	s = f.agrees(t, false)
	s.fires(t, stories, false)
	for _, in := range s.incidents {
		if !over(in.State) {
			t.Errorf("%s is %s, but all alerts have ended", in.Reference, in.State)
		}
	}
}

// reloading gives members other configurations.
type reloading struct {
	random  *rand.Rand
	reloads int
	// kills: a member may be gone, and its next process reads the file.
	kills bool
}

// run reloads one member after the other, each with any of the configurations.
func (r *reloading) run(ctx context.Context, f fleet) error {
	for range r.reloads {
		if err := pause(ctx, time.Duration(5+r.random.IntN(60))*time.Millisecond); err != nil {
			return err
		}
		m := f[r.random.IntN(len(f))]
		if err := m.configure(correlations[r.random.IntN(len(correlations))]); err != nil {
			return err
		}
		if err := m.reload(ctx); err != nil && !r.kills {
			return err
		}
	}
	return nil
}
