package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

var (
	manySeeds = flag.Int("manyseeds", 1, "how many seeds the tests of many gateways try; those that kill or reload half as many")
	manyKills = flag.Int("manykills", 6, "how often TestManyGatewaysKilled kills gateways for each seed")
	manySeed  = flag.Uint64("manyseed", 0, "their first seed; 0: from the clock")
)

// gatewaysInFleet is how many gateways work on one Redis.
const gatewaysInFleet = 4

// seeds runs a test for each seed, which its name has, or for one of so many.
func seeds(t *testing.T, oneOf int, test func(t *testing.T, random *rand.Rand)) {
	first := *manySeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	for i := range max(1, *manySeeds/oneOf) {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { test(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

// never reopens: each time a key fires again is an incident of its own.
const neverReopens = "correlate: {reopen_window: 0s}\n"

// TestManyGatewaysInOrder: each message about an alert is told to several of
// four gateways at the same time, the next when all have taken it. It is news to one of
// them, and afterwards there are the incidents that one gateway would have.
func TestManyGatewaysInOrder(t *testing.T) {
	seeds(t, 1, func(t *testing.T, random *rand.Rand) {
		reopens := random.IntN(2) == 0
		config := map[bool]string{true: "{}\n", false: neverReopens}[reopens]
		f := newFleet(t, config, sameStore(redistest.Single(t).URL(), gatewaysInFleet)...)
		stories := newStories(random, 40, "in-order")
		tell := &teller{fleet: f, random: random}
		if err := tell.inOrder(t.Context(), stories, func(int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		sure := tell.refused.Load() == 0
		complain(t, "surprise", circumstances{kills: !sure}.surprises(stories))
		s := f.agrees(t, sure)
		told, services := map[string]Told{}, map[string]bool{}
		for _, story := range stories {
			told[story.pod], services[story.service] = story.told(), true
		}
		found := s.compare(told)
		complain(t, "lost", found.Lost)
		complain(t, "doubled", found.Doubled)
		complain(t, "wrong", found.Wrong)
		if reopens && len(s.incidents) != len(services) {
			t.Errorf("got %d incidents, want one for each of %d services, which is reopened when it fires again", len(s.incidents), len(services))
		}
		collisions, leases := f.collisions(t)
		if collisions == 0 {
			t.Error("the gateways never collided, so nothing is shown")
		}
		t.Logf("%d incidents, reopening: %v; timelines say %v; %v collisions, %v leases", len(s.incidents), reopens, s.said(), collisions, leases)
		if sure {
			f.countsAll(t, stories)
		} else {
			t.Logf("refused %d times, so that messages may count twice: they are not counted", tell.refused.Load())
		}
	})
}

// countsAll stops all gateways in order and wants the next one to show that
// each message was counted, wherever it was repeated.
func (f fleet) countsAll(t *testing.T, stories []*story) {
	t.Helper()
	for _, m := range f {
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f[0].start(t.Context(), tocsinBinary); err != nil {
		t.Fatal(err)
	}
	s, err := f[0].running.Load().shows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts, occurrences, total := map[string]uint64{}, uint64(0), uint64(0)
	for _, in := range s.incidents {
		occurrences += in.Occurrences
		for _, a := range s.alerts[in.ID] {
			counts[a.Labels["pod"]] = max(counts[a.Labels["pod"]], a.Count)
		}
	}
	var found []string
	for _, story := range stories {
		sent := uint64(0)
		for _, f := range story.facts {
			sent += uint64(len(f.verdicts))
		}
		total += sent
		if counts[story.pod] != sent {
			found = append(found, fmt.Sprintf("alert %s was told %d times and counts %d", story.pod, sent, counts[story.pod]))
		}
	}
	complain(t, "count", found)
	if occurrences != total {
		t.Errorf("the incidents count %d messages, want all %d", occurrences, total)
	}
}

// TestManyGatewaysAnyOrder: all messages come at once, in any order, each to
// several of four gateways. Afterwards the same alerts fire as if one gateway
// had been told in order.
func TestManyGatewaysAnyOrder(t *testing.T) {
	seeds(t, 1, func(t *testing.T, random *rand.Rand) {
		config := []string{"{}\n", neverReopens}[random.IntN(2)]
		f := newFleet(t, config, sameStore(redistest.Single(t).URL(), gatewaysInFleet)...)
		stories := newStories(random, 40, "any-order")
		tell := &teller{fleet: f, random: random}
		if err := tell.anyOrder(t.Context(), stories); err != nil {
			t.Fatal(err)
		}
		s := f.agrees(t, tell.refused.Load() == 0)
		s.fires(t, stories, true)
		collisions, leases := f.collisions(t)
		t.Logf("%d incidents; timelines say %v; %v collisions, %v leases", len(s.incidents), s.said(), collisions, leases)
	})
}

// fires wants the alerts to fire that do at the end of their stories, each in
// one incident, and with inService all of a service in the same.
func (s *shown) fires(t *testing.T, stories []*story, inService bool) {
	t.Helper()
	places, services := s.firing(), map[string][]string{}
	var found []string
	for _, story := range stories {
		want := 0
		if story.told().Status == "firing" {
			want = 1
		}
		if got := places[story.pod]; len(got) != want {
			found = append(found, fmt.Sprintf("alert %s fires in %q, want %d", story.pod, got, want))
		}
		services[story.service] = append(services[story.service], places[story.pod]...)
	}
	for service, in := range services {
		slices.Sort(in)
		if in = slices.Compact(in); inService && len(in) > 1 {
			found = append(found, fmt.Sprintf("alerts of %s fire in %q, want one incident", service, in))
		}
	}
	complain(t, "state", found)
}

// TestManyGatewaysKilled: gateways are killed and started again while they are
// told, in order; what a killed one did not take is told to another.
func TestManyGatewaysKilled(t *testing.T) {
	withFailpoints, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	seeds(t, 2, func(t *testing.T, random *rand.Rand) {
		config := []string{"{}\n", neverReopens}[random.IntN(2)]
		f := newFleet(t, config, sameStore(redistest.Single(t).URL(), gatewaysInFleet)...)
		k := &killing{random: rand.New(rand.NewPCG(random.Uint64(), 0)), failpointBinary: withFailpoints, kills: *manyKills}
		done := make(chan error, 1)
		go func() { done <- k.run(t.Context(), f) }()
		tell := &teller{fleet: f, random: random, patient: true}
		stories, err := tell.untilDone(t.Context(), done)
		if err != nil {
			t.Fatal(err)
		}
		complain(t, "surprise", circumstances{kills: true}.surprises(stories))
		s := f.agrees(t, false)
		told := map[string]Told{}
		for _, story := range stories {
			told[story.pod] = story.told()
		}
		found := s.compare(told)
		complain(t, "lost", found.Lost)
		complain(t, "doubled", found.Doubled)
		complain(t, "wrong", found.Wrong)
		t.Logf("%d kills at random, %d at failpoints; %d alerts, %d incidents; timelines say %v", k.atRandom, k.atPoint, len(stories), len(s.incidents), s.said())
	})
}

// untilDone tells stories, batch after batch, until the meddler is done.
func (t *teller) untilDone(ctx context.Context, done <-chan error) (stories []*story, err error) {
	for batch := 0; ; batch++ {
		more := newStories(t.random, 30, "batch-"+strconv.Itoa(batch))
		stories = append(stories, more...)
		if err := t.inOrder(ctx, more, func(int) error { return nil }); err != nil {
			return nil, err
		}
		select {
		case err := <-done:
			return stories, err
		default:
		}
	}
}
