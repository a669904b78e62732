package incident

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "github.com/tocsin-gateway/tocsin/testseed"
)

// TestDurations from the times that they are made of, in minutes; none means not yet.
func TestDurations(t *testing.T) {
	const none = -1 << 40
	minute := func(n int) time.Time {
		if n == none {
			return time.Time{}
		}
		return at(n)
	}
	year := 366 * 24 * 60
	for name, c := range map[string]struct {
		started, acknowledged, resolved, restored int
		detect, ack, resolve, outage              int
	}{
		"open":                          {-5, none, none, none, 5, none, none, none},
		"no start is stated":            {none, none, none, none, 0, none, none, none},
		"started in the future":         {5, none, 10, none, 0, none, 10, 10},
		"all of it":                     {-5, 2, 10, 8, 5, 2, 10, 13},
		"restored after it is resolved": {-5, none, 10, 12, 5, none, 10, 15},
		"restored before it went down":  {-5, none, 10, -9, 5, none, 10, 15},
		"as far off as can be":          {-year, none, 10, none, year, none, 10, year + 10},
		"too far off":                   {-year - 1, none, 10, none, 0, none, 10, 10},
		"too far ahead":                 {year + 1, none, 10, none, 0, none, 10, 10},
		"a clock that went back":        {-5, -3, -2, -4, 5, 0, 0, 1},
		"and further":                   {0, -3, -2, -4, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			i := begin(t, Opening{StartedAt: minute(c.started)}).incident
			i.AcknowledgedAt, i.ResolvedAt, i.RestoredAt = minute(c.acknowledged), minute(c.resolved), minute(c.restored)
			if got := i.TimeToDetect(); got != time.Duration(c.detect)*time.Minute {
				t.Errorf("time to detect: got %v, want %d minutes", got, c.detect)
			}
			for what, d := range map[string]struct {
				get  func() (time.Duration, bool)
				want int
			}{"acknowledge": {i.TimeToAcknowledge, c.ack}, "resolve": {i.TimeToResolve, c.resolve}, "outage": {i.Outage, c.outage}} {
				got, ok := d.get()
				if ok != (d.want != none) || ok && got != time.Duration(d.want)*time.Minute {
					t.Errorf("%s: got %v (%v), want %d minutes", what, got, ok, d.want)
				}
			}
		})
	}
}

// TestFarOffStarts: a start that cannot be meant counts only as long as there is
// no other, wherever it comes.
func TestFarOffStarts(t *testing.T) {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, c := range map[string]struct {
		starts  []time.Time
		want    time.Time
		clamped bool
	}{
		"year 1":                {[]time.Time{first}, first, true},
		"year 9999":             {[]time.Time{last}, last, true},
		"year 1, then sane":     {[]time.Time{first, at(-3)}, at(-3), false},
		"year 9999, then sane":  {[]time.Time{last, at(-3)}, at(-3), false},
		"sane, then year 1":     {[]time.Time{at(-3), first}, at(-3), false},
		"sane, then year 9999":  {[]time.Time{at(-3), last}, at(-3), false},
		"the earliest":          {[]time.Time{at(-3), at(-5), at(-4)}, at(-5), false},
		"not stated, then sane": {[]time.Time{{}, at(-3)}, at(-3), false},
		"sane, then not stated": {[]time.Time{at(-3), {}}, at(-3), false},
	} {
		e := policy().Open(Opening{ID: ID{1}, Class: Classification{Severity: "warning"}, By: System, StartedAt: c.starts[0]}, epoch)
		for _, start := range c.starts[1:] {
			e.Join(member("a", "warning", start), false)
		}
		if i := e.Incident; !i.StartedAt.Equal(c.want) || i.TimeClamped != c.clamped || c.clamped && i.TimeToDetect() != 0 {
			t.Errorf("%s: got %v, clamped %v, time to detect %v; want %v, %v", name, i.StartedAt, i.TimeClamped, i.TimeToDetect(), c.want, c.clamped)
		}
	}
}

// TestDurationsAreNeverNegative, whatever the times.
func TestDurationsAreNeverNegative(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		instant := func(name string) time.Time {
			switch rapid.IntRange(0, 3).Draw(rt, name+" kind") {
			case 0:
				return time.Time{}
			case 1: // from the year 1 to 9999
				return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(rt, name), 0)
			}
			return at(rapid.IntRange(-10000, 10000).Draw(rt, name))
		}
		e := policy().Open(Opening{ID: ID{1}, Class: Classification{Severity: "warning"}, By: System, StartedAt: instant("started")}, epoch)
		e.Join(member("a", "warning", instant("joined")), false)
		i := e.Incident
		i.AcknowledgedAt, i.ResolvedAt, i.RestoredAt, i.CycleOpenedAt = instant("acknowledged"), instant("resolved"), instant("restored"), at(3)
		ack, _ := i.TimeToAcknowledge()
		resolve, _ := i.TimeToResolve()
		outage, _ := i.Outage()
		for name, d := range map[string]time.Duration{"detect": i.TimeToDetect(), "acknowledge": ack, "resolve": resolve, "outage": outage} {
			if d < 0 {
				rt.Fatalf("%s: %v; incident %+v", name, d, i)
			}
		}
	})
}

// TestOutageOfWhatStillFires: an alert that has ended is not the last as long as another
// one fires. Then it is over when a person says so.
func TestOutageOfWhatStillFires(t *testing.T) {
	s := begin(t, Opening{})
	s.must(0, joins("a", "warning"), joins("b", "warning"))
	ends := func(minute int) func(*Edit) error {
		return func(e *Edit) error {
			e.Leave("warning", at(minute))
			e.Log(System, "alerts_resolved", "", 1)
			return nil
		}
	}
	s.must(10, ends(10))
	s.must(60, resolve)
	want := func(minute int) {
		t.Helper()
		if at, _ := s.incident.Restored(); !at.Equal(epoch.Add(time.Duration(minute) * time.Minute)) {
			t.Errorf("restored at %s, want minute %d", at, minute)
		}
	}
	want(60)
	s.must(61, ends(55)) // heard late
	want(55)
}

// TestOutageCountsOnce: what was closed and comes back does not count again what counted at
// the close, nor the time in which all was well.
func TestOutageCountsOnce(t *testing.T) {
	s := begin(t, Opening{StartedAt: at(-5)})
	wants := func(seconds string) {
		t.Helper()
		if got := s.observed[len(s.observed)-1]; got != "outage_seconds warning  "+seconds {
			t.Errorf("observed last: %s, want an outage of %s s", got, seconds)
		}
	}
	s.must(30, resolve)
	s.must(40, closeIt)
	wants("2100")
	s.must(1000, reopen)
	s.must(1010, resolve)
	s.must(1020, reopen) // it had not been closed: one outage, with the pause
	s.must(1030, resolve)
	s.must(1040, closeIt)
	wants("1800")
	s.must(2000, reopen)
	s.must(2010, resolve, func(e *Edit) error { return e.Correct("ana", Corrected{WentDown: at(1995)}, "") })
	s.must(2020, closeIt)
	wants("900")
}
