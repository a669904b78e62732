package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "github.com/tocsin-gateway/tocsin/testseed"
)

// zones change their clocks in many ways: in the north and the south, by half an
// hour, at midnight, around a date line, not at all.
var zones = []string{"UTC", "Europe/Zurich", "America/St_Johns", "America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Auckland", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll"}

func drawConfig(rt *rapid.T) Config {
	names := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	c := Config{Timezone: rapid.SampledFrom(zones).Draw(rt, "zone"), Workdays: rapid.SliceOfN(rapid.SampledFrom(names), 1, 7).Draw(rt, "workdays")}
	cuts := rapid.SliceOfNDistinct(rapid.IntRange(0, 96), 2, 4, func(n int) int { return n }).Draw(rt, "quarters")
	for n := 0; n+1 < len(cuts); n += 2 {
		from, to := min(cuts[n], cuts[n+1]), max(cuts[n], cuts[n+1])
		c.Hours = append(c.Hours, fmt.Sprintf("%02d:%02d-%02d:%02d", from/4, from%4*15, to/4, to%4*15))
	}
	for n := range rapid.IntRange(0, 4).Draw(rt, "holidays") {
		day := time.Date(2010, 1, 1+rapid.IntRange(0, 20*365).Draw(rt, "holiday"), 0, 0, 0, 0, time.UTC)
		c.Holidays = append(c.Holidays, day.Format([...]string{time.DateOnly, "01-02"}[n%2]))
	}
	return c
}

func drawCalendar(rt *rapid.T) *Calendar {
	c, err := New(drawConfig(rt))
	if err != nil {
		rt.Skip(err) // hours that overlap
	}
	return c
}

// drawTime is often near a change of the clock.
func drawTime(rt *rapid.T, c *Calendar) time.Time {
	t := time.Unix(rapid.Int64Range(1262304000, 1893456000).Draw(rt, "unix"), 0).In(c.zone)
	if _, end := t.ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(rt, "near a change") {
		t = end.Add(time.Duration(rapid.IntRange(-2*24*60, 24*60).Draw(rt, "minutes")) * time.Minute)
	}
	return t.Truncate(time.Minute)
}

// TestTimeAgreesWithTheMinutes: what is computed is what asking each minute gives.
func TestTimeAgreesWithTheMinutes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCalendar(rt)
		a := drawTime(rt, c)
		b := a.Add(time.Duration(rapid.IntRange(0, 5*24*60).Draw(rt, "long")) * time.Minute)
		var sum time.Duration
		first := time.Time{}
		for m := a; m.Before(b); m = m.Add(time.Minute) {
			if c.IsBusiness(m) {
				sum += time.Minute
				if first.IsZero() {
					first = m
				}
			}
		}
		if got := c.BusinessBetween(a, b); got != sum {
			rt.Fatalf("BusinessBetween(%s, %s): got %s, want %s", a, b, got, sum)
		}
		next := c.NextBusiness(a)
		if !c.IsBusiness(next) || next.Before(a) || !first.IsZero() && !next.Equal(first) || first.IsZero() && next.Before(b) {
			rt.Fatalf("NextBusiness(%s): got %s, want %s", a, next, first)
		}
	})
}

// TestTimeAddsUp: adding and measuring are each other's inverse, and parts make
// the whole.
func TestTimeAddsUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCalendar(rt)
		a := drawTime(rt, c)
		d := time.Duration(rapid.Int64Range(1, int64(100*time.Hour)).Draw(rt, "d"))
		end := c.AddBusinessTime(a, d)
		if got := c.BusinessBetween(a, end); got != d {
			rt.Fatalf("%s + %s = %s, but between them is %s", a, d, end, got)
		}
		if !c.IsBusiness(end.Add(-1)) {
			rt.Fatalf("%s + %s = %s, which is not the first such moment", a, d, end)
		}
		part := time.Duration(rapid.Int64Range(0, int64(d)).Draw(rt, "part"))
		if got := c.AddBusinessTime(c.AddBusinessTime(a, part), d-part); d > part && !got.Equal(end) {
			rt.Fatalf("%s + %s + %s = %s, want %s", a, part, d-part, got, end)
		}
	})
}

// TestDaysAreCounted: between a moment and n business days later are n days on
// which the business opens, and the clock shows what it showed.
func TestDaysAreCounted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCalendar(rt)
		a, n := drawTime(rt, c), rapid.IntRange(1, 30).Draw(rt, "n")
		start, end := c.NextBusiness(a), c.AddBusinessDays(a, n)
		from, second := wall(start, c.zone)
		to, got := wall(end, c.zone)
		counted := 0
		for day := from + 1; day <= to; day++ {
			if c.isWorkday(day) && c.exists(day) {
				counted++
			}
		}
		if counted != n || !c.isWorkday(to) {
			rt.Fatalf("%s + %d days = %s, which is %d", a, n, end, counted)
		}
		if got != second && !Instant(onDay(to, second), c.zone).Equal(end) {
			rt.Fatalf("%s + %d days = %s, at another time", start, n, end)
		}
		if c.AddBusinessDays(a, n+1).Before(end) {
			rt.Fatalf("%s + %d days is before that", a, n+1)
		}
	})
}

// TestInstantIsShown: the clock shows what was asked, or skips it.
func TestInstantIsShown(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCalendar(rt)
		_, offset := drawTime(rt, c).Zone()
		clock := drawTime(rt, c).UTC().Add(time.Duration(offset) * time.Second)
		got := Instant(clock, c.zone)
		day, second := wall(got, c.zone)
		if onDay(day, second).Equal(clock) {
			_, before := got.Add(-48 * time.Hour).Zone()
			_, now := got.Zone()
			if twin := clock.Add(-time.Duration(before) * time.Second); before > now && twin.Before(got) {
				if day, second := wall(twin, c.zone); onDay(day, second).Equal(clock) {
					rt.Fatalf("%s in %s: got %s, but %s is first", clock, c.zone, got, twin)
				}
			}
			return
		}
		from, _ := got.ZoneBounds()
		if got.Sub(from) > 25*time.Hour || !onDay(day, second).After(clock) {
			rt.Fatalf("%s in %s: got %s", clock, c.zone, got)
		}
	})
}

// FuzzCalendar: no configuration and no time make it panic, hang, or answer what
// contradicts itself.
func FuzzCalendar(f *testing.F) {
	f.Add("Europe/Zurich", "monday:friday", "08:00-12:00,13:00-18:00", "12-25,2026-12-24..2027-01-02", int64(1774742400), int64(3600), 2)
	f.Add("", "", "", "", int64(-62135596800), int64(1)<<62, 1<<30)
	f.Add("Pacific/Apia", "sun:sat", "00:00-24:00", "02-29", int64(1)<<61, int64(-5), -1)
	f.Fuzz(func(t *testing.T, zone, workdays, hours, holidays string, unix, d int64, n int) {
		list := func(text string) []string {
			if text == "" {
				return nil
			}
			return strings.Split(text, ",")
		}
		c, err := New(Config{Timezone: zone, Workdays: list(workdays), Hours: list(hours), Holidays: list(holidays), UsageHours: nil})
		if err != nil {
			return
		}
		at := time.Unix(unix, 0)
		next := c.NextBusiness(at)
		end := c.AddBusinessTime(at, time.Duration(d))
		days := c.AddBusinessDays(at, n)
		c.InUsage(at)
		c.BusinessBetween(at, end)
		if year := at.Year(); year < 1 || year > 9000 {
			return // answers are only promised where calendars are
		}
		if !c.IsBusiness(next) || next.Before(at) || end.Before(at) || days.Before(next) {
			t.Fatalf("%s: next %s, end %s, days %s", at, next, end, days)
		}
	})
}
