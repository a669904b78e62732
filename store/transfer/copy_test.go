package transfer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// populated makes a store that holds everything, and returns what is seen of it
// and the time at which it was closed.
func populated(t testing.TB, u string) (k known, lines []string, at time.Time) {
	t.Helper()
	g := newGateway(t, u, &clock{now: epoch})
	k = g.populate()
	g.must(g.st.Close())
	st := open(t, u, g.clock.read) // what was gathered is stored now, and a folder's leases have ended
	lines = seen(t, st)
	g.must(st.Close())
	return k, lines, g.clock.read()
}

func wantSound(t testing.TB, u string) {
	t.Helper()
	if isRedis(u) {
		return
	}
	report, err := embedded.Verify(strings.TrimPrefix(u, "file:"))
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("verify %s: %v, %q", u, err, report.Problems)
	}
}

// TestCopy: a store goes through all kinds of backends, and looks the same in
// each; nothing of it is changed where it came from.
func TestCopy(t *testing.T) {
	server := redistest.Single(t).URL()
	for name, way := range map[string][]string{
		"folder to Redis and back":      {newFolder(t), newPrefix(server), newFolder(t)},
		"Redis to folder and back":      {newPrefix(server), newFolder(t), newPrefix(server)},
		"folder to folder":              {newFolder(t), newFolder(t)},
		"one Redis to another (prefix)": {newPrefix(server), newPrefix(server)},
	} {
		t.Run(name, func(t *testing.T) {
			_, want, at := populated(t, way[0])
			now := func() time.Time { return at }
			var before transfer.Report
			for n := range way[1:] {
				report := mustCopy(t, way[n], way[n+1])
				if n > 0 && report.Sums != before.Sums {
					t.Errorf("the sums are %+v, before they were %+v", report.Sums, before.Sums)
				}
				before = report
			}
			for n, u := range way {
				wantSound(t, u)
				st := open(t, u, now)
				wantSame(t, u, seen(t, st), want)
				if n > 0 {
					wantJobs(t, st)
				}
				if err := st.Close(); err != nil {
					t.Error(err)
				}
				wantSound(t, u)
			}
			for _, k := range transfer.Kinds() {
				if before.Sums[k].Count == 0 {
					t.Errorf("the store that was copied holds no %s", k)
				}
			}
		})
	}
}

// TestLifeGoesOn: what happens after a copy is what would have happened without.
func TestLifeGoesOn(t *testing.T) {
	server := redistest.Single(t).URL()
	for name, way := range map[string][2]string{
		"folder to Redis":  {newFolder(t), newPrefix(server)},
		"Redis to folder":  {newPrefix(server), newFolder(t)},
		"folder to folder": {newFolder(t), newFolder(t)},
	} {
		t.Run(name, func(t *testing.T) {
			k, _, at := populated(t, way[0])
			mustCopy(t, way[0], way[1])
			var said [2][]string
			for n, u := range way {
				said[n] = live(t, u, at, k)
			}
			for n := range said[0] {
				if n >= len(said[1]) || said[1][n] != said[0][n] {
					t.Errorf("step %d: got %q, want %q", n, said[1][min(n, len(said[1])-1)], said[0][n])
				}
			}
			if len(said[1]) != len(said[0]) {
				t.Errorf("%d steps, want %d", len(said[1]), len(said[0]))
			}
			for _, u := range way {
				wantSound(t, u)
			}
		})
	}
}

// live works with a store for some days, and says what became of everything.
func live(t *testing.T, u string, at time.Time, k known) []string {
	t.Helper()
	g := newGateway(t, u, &clock{now: at})
	g.set(1)
	var said []string
	say := func(s ...string) { said = append(said, s...) }
	want := func(verdicts string, alerts ...alert.Alert) {
		t.Helper()
		out := g.send(alerts...)
		var got []string
		for _, o := range out {
			verdict, _, _ := strings.Cut(o, " ")
			got = append(got, verdict)
		}
		if strings.Join(got, " ") != verdicts {
			t.Errorf("%s: got %q, want %s", u, out, verdicts)
		}
		say(out...)
	}
	g.clock.add(2 * time.Minute) // leases of before are over
	leases, err := g.st.Claim(context.Background(), 100, time.Minute)
	g.must(err)
	for _, l := range leases {
		if l.Kind != "suite" {
			g.must(g.st.Retry(context.Background(), l, l.Due, ""))
			continue
		}
		say(fmt.Sprintf("%s %q %s %q %d", l.Kind, l.Target, l.Due, l.LastError, l.Attempts))
		g.must(g.st.Done(context.Background(), l))
	}
	g.wait(0)
	// The same again is nothing new, wherever it was.
	want("duplicate duplicate duplicate", g.again(k.open), g.again(k.resolving), g.again(k.elder))
	want("resolved resolved resolved", g.over(k.open), g.over(k.resolving), g.over(k.elder))
	// What was held counts, and what is new gets a number that nobody had.
	want("opened joined", g.firing("Held", "3"), g.firing("Held", "4"))
	for _, name := range []string{"New", "Removed", "Unknown", "Closed"} {
		say(g.send(g.firing(name, "1", "service", "db"))...)
	}
	g.wait(time.Minute)
	for range 5 {
		g.wait(24 * time.Hour)
	}
	list, err := g.st.Statistics(context.Background())
	g.must(err)
	for _, state := range []string{"open", "acknowledged", "resolved", "closed"} {
		for label, n := range list.Incidents {
			if label.State == state && n > 0 && label.Severity == "warning" {
				say(strings.Repeat("I", int(n)) + " " + state)
			}
		}
	}
	g.must(g.st.Close())
	st := open(t, u, g.clock.read)
	for _, l := range seen(t, st) {
		if strings.HasPrefix(l, "list ") {
			say(l)
		}
	}
	g.must(st.Close())
	return said
}
