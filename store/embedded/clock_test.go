package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestClock plays hours: in each step time passes, and somebody sets the machine's
// clock. What the store's clock says is given as minutes since the beginning.
func TestClock(t *testing.T) {
	type step struct{ passes, jump, want float64 }
	for name, steps := range map[string][]step{
		"nobody sets it":        {{1, 0, 1}, {60, 0, 61}},
		"ahead":                 {{1, 10, 11}, {5, 0, 16}},
		"back":                  {{1, 0, 1}, {0, -10, 1}, {10, 0, 10}, {40, 0, 46}, {60, 0, 101}, {1, 0, 102}},
		"back, and ahead again": {{1, 0, 1}, {0, -10, 1}, {10, 0, 10}, {0, 10, 11}, {5, 0, 16}},
		"back, and back again":  {{1, 0, 1}, {0, -1, 1}, {10, 0, 10}, {0, -1, 10}, {5, 0, 14.5}, {5, 0, 19}, {20, 0, 39}},
		"back by years":         {{0, -1e6, 0}, {100, 0, 90}, {100, 0, 180}},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
			machine, passed := began, time.Duration(0)
			c := newClock(func() time.Time { return machine }, func() time.Duration { return passed })
			last := c.now()
			for n, s := range steps {
				passes := time.Duration(s.passes * float64(time.Minute))
				passed += passes
				machine = machine.Add(passes + time.Duration(s.jump*float64(time.Minute)))
				now := c.now()
				if now.Before(last) {
					t.Errorf("step %d: it went back from %s to %s", n+1, last, now)
				}
				if got := now.Sub(began).Minutes(); got != s.want {
					t.Errorf("step %d: got %v minutes, want %v", n+1, got, s.want)
				}
				last = now
			}
		})
	}
}

// TestClockStandsWithoutSteady: somebody who plays the time plays all of it.
func TestClockStandsWithoutSteady(t *testing.T) {
	machine := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	c := newClock(func() time.Time { return machine }, nil)
	first := c.now()
	machine = machine.Add(-time.Hour)
	if got := c.now(); !got.Equal(first) {
		t.Errorf("after an hour back: got %s, want %s", got, first)
	}
}

// TestSetBackIsSaid: the log has a line when the clock was set back, and one when
// that is made up for.
func TestSetBackIsSaid(t *testing.T) {
	machine, passed := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), time.Duration(0)
	var said bytes.Buffer
	s, err := Open("mem:", Options{Logger: slog.New(slog.NewTextHandler(&said, nil)), Now: func() time.Time { return machine }, Steady: func() time.Duration { return passed }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing is kept
	machine = machine.Add(-time.Minute)
	for range 60 {
		passed, machine = passed+10*time.Second, machine.Add(10*time.Second)
		s.round()
	}
	text := said.String()
	if strings.Count(text, "was set back") != 1 || !strings.Contains(text, "ahead=59s until_same=9m50s") || strings.Count(text, "the machine's again") != 1 {
		t.Errorf("got %s, want one line for each", text)
	}
}
