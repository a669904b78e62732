package dedupe

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

// history draws what really happened to a few alerts: episodes that follow
// each other, the last of which may still go on. Each message about it may
// come several times, and with small differences in the start, as from the two
// Prometheus servers of a pair.
func history(t *rapid.T) []sent {
	var out []sent
	for n := range rapid.IntRange(1, 4).Draw(t, "alerts") {
		at := rapid.IntRange(0, 5).Draw(t, "first")
		s := sent{name: fmt.Sprintf("Alert%d", n%2), pod: fmt.Sprintf("pod-%d", n), severity: rapid.SampledFrom([]string{"critical", "warning"}).Draw(t, "severity")}
		episodes := rapid.IntRange(1, 3).Draw(t, "episodes")
		for e := range episodes {
			start, replica := at, at+rapid.IntRange(0, 1).Draw(t, "replica")
			end := at + rapid.IntRange(2, 6).Draw(t, "length")
			at = end + rapid.IntRange(1, 5).Draw(t, "pause")
			firing, other, resolved := s, s, s
			firing.status, firing.start, firing.end = alert.Firing, start, -1
			other.status, other.start, other.end = alert.Firing, replica, -1
			resolved.status, resolved.start, resolved.end = alert.Resolved, start, end
			out = append(out, firing, other)
			if e < episodes-1 || rapid.Bool().Draw(t, "ended") {
				out = append(out, resolved)
			}
		}
	}
	return out
}

// outcome is what has to be the same whatever the order.
type outcome struct {
	firing []string
	open   []string
}

func (d *door) outcome() outcome {
	var o outcome
	for _, entries := range d.entries {
		for _, k := range entries {
			if k.Entry.Firing {
				o.firing = append(o.firing, k.Entry.Fingerprint.String())
			}
		}
	}
	for _, i := range d.incidents {
		if i.IsOpen() {
			o.open = append(o.open, i.Key.String())
		}
	}
	slices.Sort(o.firing)
	slices.Sort(o.open)
	return o
}

// TestAnyOrder: any interleaving, repetition and reordering of a set of
// messages ends with the same alerts firing and the same keys open, with at
// most one open incident for a key, and each episode in exactly one incident
// (check, after every request, looks at the latter two).
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := history(rt)
		p := policy(func(p *Policy) {
			p.ReopenWindow = rapid.SampledFrom([]time.Duration{0, 30 * time.Minute}).Draw(rt, "reopen window")
		})
		inOrder := newDoor(rt)
		inOrder.now = epoch.Add(time.Hour)
		sorted := slices.Clone(events)
		slices.SortStableFunc(sorted, func(a, b sent) int { return when(a) - when(b) })
		for _, s := range sorted {
			inOrder.send(p, s)
		}
		shuffled := newDoor(rt)
		shuffled.now = epoch.Add(time.Hour)
		mixed := rapid.Permutation(append(slices.Clone(events), rapid.SliceOfN(rapid.SampledFrom(events), 0, len(events)).Draw(rt, "repeats")...)).Draw(rt, "order")
		for len(mixed) > 0 {
			n := rapid.IntRange(1, len(mixed)).Draw(rt, "request")
			shuffled.send(p, mixed[:n]...)
			mixed = mixed[n:]
			shuffled.now = shuffled.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "seconds")) * time.Second)
		}
		got, want := shuffled.outcome(), inOrder.outcome()
		if !slices.Equal(got.firing, want.firing) || !slices.Equal(got.open, want.open) {
			rt.Fatalf("in another order: got %+v, want %+v", got, want)
		}
	})
}

func when(s sent) int {
	if s.status == alert.Resolved {
		return s.end
	}
	return s.start
}

// TestRepeatingChangesNothing: a request that is delivered again, however
// often, changes counts only.
func TestRepeatingChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := history(rt)
		p := policy()
		d := newDoor(rt)
		d.now = epoch.Add(time.Hour)
		d.send(p, events...)
		before := map[incident.ID]uint64{}
		for id, i := range d.incidents {
			before[id] = i.TimelineLength
		}
		for range rapid.IntRange(1, 3).Draw(rt, "times") {
			d.send(p, events...)
		}
		after := map[incident.ID]uint64{}
		for id, i := range d.incidents {
			after[id] = i.TimelineLength
		}
		if !maps.Equal(before, after) {
			rt.Fatalf("timelines: got %v, want %v", after, before)
		}
	})
}
