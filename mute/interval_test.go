package mute

import (
	"math/rand/v2"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/tocsin-gateway/tocsin/notify"
)

// zones change their offsets by an hour, by half an hour, at midnight, never, or
// jump over a whole day.
var zones = []string{"UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func anyInterval(t testing.TB, r *rand.Rand) timeinterval.TimeInterval {
	var ti timeinterval.TimeInterval
	span := func(low, high int) timeinterval.InclusiveRange {
		a, b := low+r.IntN(high-low+1), low+r.IntN(high-low+1)
		return timeinterval.InclusiveRange{Begin: min(a, b), End: max(a, b)}
	}
	if r.IntN(4) > 0 {
		for range 1 + r.IntN(2) {
			a, b := r.IntN(24*60), r.IntN(24*60)
			if r.IntN(2) == 0 { // near where clocks are set
				a = 60 + r.IntN(150)
			}
			ti.Times = append(ti.Times, timeinterval.TimeRange{StartMinute: min(a, b), EndMinute: max(a, b) + 1})
		}
	}
	if r.IntN(3) == 0 {
		ti.Weekdays = []timeinterval.WeekdayRange{{InclusiveRange: span(0, 6)}}
	}
	if r.IntN(3) == 0 {
		ti.DaysOfMonth = []timeinterval.DayOfMonthRange{{InclusiveRange: span(1, 31)}, {InclusiveRange: timeinterval.InclusiveRange{Begin: -2, End: -1}}}
	}
	if r.IntN(4) == 0 {
		ti.Months = []timeinterval.MonthRange{{InclusiveRange: span(1, 12)}}
	}
	if r.IntN(3) > 0 {
		ti.Location = &timeinterval.Location{Location: zone(t, zones[r.IntN(len(zones))])}
	}
	return ti
}

// nearChanges are moments before the offsets of the zones change.
func nearChanges(t testing.TB) []time.Time {
	var moments []time.Time
	for _, name := range zones {
		z := zone(t, name)
		for _, year := range []int{2011, 2026} {
			for at := time.Date(year, 1, 1, 0, 0, 0, 0, z); at.Year() <= year; {
				moments = append(moments, at)
				_, end := at.ZoneBounds()
				if end.IsZero() {
					break
				}
				moments = append(moments, end)
				at = end.Add(24 * time.Hour)
			}
		}
	}
	return moments
}

// TestTheEndIsFoundExactly: minute by minute there is no earlier one.
func TestTheEndIsFoundExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	moments := nearChanges(t)
	const look = 2 * 24 * 60
	checked := 0
	for n := range 300 {
		c := &amconfig.Config{}
		var mute, active []string
		for k := range 1 + r.IntN(3) {
			name := string(rune('a' + k))
			c.TimeIntervals = append(c.TimeIntervals, amconfig.TimeInterval{Name: name, TimeIntervals: []timeinterval.TimeInterval{anyInterval(t, r), anyInterval(t, r)}})
			if r.IntN(3) == 0 {
				active = append(active, name)
			} else {
				mute = append(mute, name)
			}
		}
		now := moments[r.IntN(len(moments))].Add(time.Duration(r.Int64N(int64(72*time.Hour))) - 48*time.Hour)
		oracle := func(at time.Time) bool {
			i := timeinterval.NewIntervener(intervalsOf(c))
			muted, _, err := i.Mutes(mute, at)
			if err != nil {
				t.Fatal(err)
			}
			in, _, err := i.Mutes(active, at)
			if err != nil {
				t.Fatal(err)
			}
			return muted || len(active) > 0 && !in
		}
		h, hidden := Intervals(c)(mute, active)(now)
		if hidden != oracle(now) {
			t.Fatalf("case %d at %v: hidden %t, want %t", n, now, hidden, !hidden)
		}
		if !hidden {
			continue
		}
		checked++
		if h.By != notify.ByTimeInterval || h.Text == "" || !h.Until.After(now) {
			t.Fatalf("case %d at %v: got %+v", n, now, h)
		}
		// Offsets and boundaries are whole minutes, so each minute stands for itself.
		at := now.Truncate(time.Minute)
		for range look {
			if at = at.Add(time.Minute); !at.Before(h.Until) {
				break
			}
			if !oracle(at) {
				t.Fatalf("case %d at %v: ends at %v already, not at %v", n, now, at, h.Until)
			}
		}
		if h.Until.Before(now.Add(horizon)) && oracle(h.Until) {
			t.Fatalf("case %d at %v: it does not end at %v", n, now, h.Until)
		}
	}
	if checked < 60 {
		t.Errorf("only %d cases were hidden, which says too little", checked)
	}
}

func TestIntervals(t *testing.T) {
	_, err := amconfig.Load(`
route: {receiver: a, mute_time_intervals: [nights], active_time_intervals: [office]}
receivers: [{name: a}]
mute_time_intervals:
  - {name: nights, time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}, {start_time: "00:00", end_time: "06:00"}], location: Europe/Zurich}]}
time_intervals:
  - {name: office, time_intervals: [{weekdays: ["monday:friday"], times: [{start_time: "06:00", end_time: "19:00"}], location: Europe/Zurich}]}
  - {name: ever, time_intervals: [{years: ["2000:2200"]}]}
`)
	if err == nil {
		t.Fatal("the loader lets the root route have time intervals")
	}
	c, err := amconfig.Load(`
route: {receiver: a, routes: [{mute_time_intervals: [nights], active_time_intervals: [office]}]}
receivers: [{name: a}]
mute_time_intervals:
  - {name: nights, time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}, {start_time: "00:00", end_time: "06:00"}], location: Europe/Zurich}]}
time_intervals:
  - {name: office, time_intervals: [{weekdays: ["monday:friday"], times: [{start_time: "06:00", end_time: "19:00"}], location: Europe/Zurich}]}
  - {name: ever, time_intervals: [{years: ["2000:2200"]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	of, z := Intervals(c), zone(t, "Europe/Zurich")
	if of(nil, nil) != nil {
		t.Error("a route without time intervals hides something")
	}
	local := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 30, 0, z) }
	for name, c := range map[string]struct {
		mute, active []string
		now, until   time.Time
		text         string
	}{
		"at night, over midnight":  {[]string{"nights"}, nil, local(20, 23, 10), time.Date(2026, 11, 21, 6, 0, 0, 0, z), `mute_time_intervals "nights"`},
		"by day":                   {[]string{"nights"}, nil, local(20, 12, 0), time.Time{}, ""},
		"on Friday, after work":    {nil, []string{"office"}, local(20, 19, 0), time.Date(2026, 11, 23, 6, 0, 0, 0, z), `outside of active_time_intervals "office"`},
		"in the office":            {[]string{"nights"}, []string{"office"}, local(20, 18, 59), time.Time{}, ""},
		"always":                   {[]string{"ever"}, nil, local(20, 12, 0), local(20, 12, 0).Add(horizon), `mute_time_intervals "ever"`},
		"both, and they meet":      {[]string{"nights"}, []string{"office"}, local(23, 23, 0), time.Date(2026, 11, 24, 6, 0, 0, 0, z), `mute_time_intervals "nights"`},
		"the winter's hour, twice": {[]string{"nights"}, nil, time.Date(2026, 10, 25, 0, 30, 0, 0, z), time.Date(2026, 10, 25, 5, 0, 0, 0, time.UTC), `mute_time_intervals "nights"`},
	} {
		h, hidden := of(c.mute, c.active)(c.now)
		if hidden != (c.text != "") || h.Text != c.text || !h.Until.Equal(c.until) {
			t.Errorf("%s: got %t, %q until %v; want %q until %v", name, hidden, h.Text, h.Until, c.text, c.until)
		}
	}
}

func BenchmarkNeverEnds(b *testing.B) {
	c := &amconfig.Config{TimeIntervals: []amconfig.TimeInterval{{Name: "a", TimeIntervals: []timeinterval.TimeInterval{{
		Times: []timeinterval.TimeRange{{StartMinute: 0, EndMinute: 720}, {StartMinute: 720, EndMinute: 1440}}, Location: &timeinterval.Location{Location: zone(b, "Europe/Zurich")}}}}}}
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for b.Loop() {
		if _, hidden := Intervals(c)([]string{"a"}, nil)(now); !hidden {
			b.Fatal("not hidden")
		}
	}
}
