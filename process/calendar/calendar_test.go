package calendar

import (
	"math"
	"testing"
	"time"
)

func mustNew(t testing.TB, c Config) *Calendar {
	t.Helper()
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// at reads a moment, with its offset.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	zurich = Config{Timezone: "Europe/Zurich", Hours: []string{"13:00-18:00", "08:00-12:00"}, Holidays: []string{"2026-04-03", "2026-04-06", "2026-12-24..2027-01-02", "08-01"}}
	always = func(zone string) Config {
		return Config{Timezone: zone, Workdays: []string{"monday:sunday"}, Hours: []string{"00:00-24:00"}}
	}
	night = func(zone string) Config {
		return Config{Timezone: zone, Workdays: []string{"monday:sunday"}, Hours: []string{"01:00-04:00"}}
	}
)

func TestIsBusiness(t *testing.T) {
	for _, c := range []struct {
		config Config
		when   string
		want   bool
	}{
		{Config{}, "2026-11-23T09:00:00Z", true}, // a Monday
		{Config{}, "2026-11-23T08:59:59Z", false},
		{Config{}, "2026-11-23T16:59:59Z", true},
		{Config{}, "2026-11-23T17:00:00Z", false},
		{Config{}, "2026-11-22T12:00:00Z", false}, // a Sunday
		{zurich, "2026-11-23T07:00:00Z", true},    // 08:00 in winter
		{zurich, "2026-11-23T11:30:00Z", false},   // 12:30
		{zurich, "2026-06-22T06:00:00Z", true},    // 08:00 in summer
		{zurich, "2026-06-22T16:00:00Z", false},   // 18:00
		{zurich, "2026-04-03T10:00:00Z", false},   // Good Friday
		{zurich, "2026-12-31T10:00:00Z", false},   // within the range
		{zurich, "2027-01-04T10:00:00Z", true},    // the Monday after it
		{zurich, "2029-08-01T10:00:00Z", false},   // a Wednesday, every year
		{Config{Timezone: "Asia/Kolkata"}, "2026-11-23T03:30:00Z", true},
		{Config{Timezone: "Asia/Kolkata"}, "2026-11-23T03:29:59Z", false},
		{Config{Timezone: "Pacific/Auckland"}, "2026-11-22T20:00:00Z", true}, // there it is Monday, 09:00
		{Config{Timezone: "Pacific/Auckland"}, "2026-06-21T21:00:00Z", true}, // in winter
		{Config{Workdays: []string{"sat:mon"}}, "2026-11-22T12:00:00Z", true},
		{Config{Workdays: []string{"sat:mon"}}, "2026-11-24T12:00:00Z", false},
		{Config{Holidays: []string{"12-24..01-02"}}, "2031-01-02T12:00:00Z", false}, // a Thursday
		{Config{Holidays: []string{"12-24..01-02"}}, "2031-01-03T12:00:00Z", true},
		{Config{Holidays: []string{"2026-02-02..2026-02-03", "2026-01-01..2026-06-30"}}, "2026-05-05T12:00:00Z", false}, // one range within another
		{Config{Holidays: []string{"02-29"}}, "2028-02-29T12:00:00Z", false},                                            // a Tuesday
		{Config{Holidays: []string{"02-29"}}, "2027-03-01T12:00:00Z", true},
		{night("Europe/Zurich"), "2026-03-29T01:00:00Z", true}, // the clock jumps to 03:00
		{night("Europe/Zurich"), "2026-03-29T02:00:00Z", false},
		{always("UTC"), "0001-01-01T00:00:00Z", true},
		{Config{}, "9998-07-06T09:00:00Z", true}, // a Monday
	} {
		if got := mustNew(t, c.config).IsBusiness(at(t, c.when)); got != c.want {
			t.Errorf("%+v at %s: got %v, want %v", c.config, c.when, got, c.want)
		}
	}
}

func TestInUsage(t *testing.T) {
	c := mustNew(t, Config{Holidays: []string{"11-23"}, UsageHours: []UsageHours{{Hours: []string{"06:00-22:00"}}, {Days: []string{"sunday"}, Hours: []string{"10:00-12:00"}}}})
	for when, want := range map[string]bool{
		"2026-11-23T06:00:00Z": true, // a holiday: services are used
		"2026-11-23T22:00:00Z": false,
		"2026-11-22T11:00:00Z": true,
		"2026-11-22T12:00:00Z": false,
		"2026-11-21T11:00:00Z": false,
	} {
		if got := c.InUsage(at(t, when)); got != want {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	c = mustNew(t, Config{Holidays: []string{"11-23"}})
	if c.InUsage(at(t, "2026-11-23T10:00:00Z")) || !c.InUsage(at(t, "2026-11-24T10:00:00Z")) {
		t.Error("the default is not the business hours")
	}
}

// TestAddBusinessDays: the results were counted on paper.
func TestAddBusinessDays(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		from   string
		n      int
		want   string
	}{
		{"the same time", Config{}, "2026-11-23T10:15:30.5Z", 2, "2026-11-25T10:15:30.5Z"},
		{"over a weekend", Config{}, "2026-11-26T10:00:00Z", 2, "2026-11-30T10:00:00Z"},
		{"before the opening", Config{}, "2026-11-23T06:00:00Z", 2, "2026-11-25T09:00:00Z"},
		{"after the closing of a Friday", Config{}, "2026-11-20T20:00:00Z", 2, "2026-11-25T09:00:00Z"},
		{"on a Saturday", Config{}, "2026-11-21T12:00:00Z", 2, "2026-11-25T09:00:00Z"},
		{"at the closing", Config{}, "2026-11-23T17:00:00Z", 1, "2026-11-25T09:00:00Z"},
		{"none, in hours", Config{}, "2026-11-23T10:00:00Z", 0, "2026-11-23T10:00:00Z"},
		{"none, on a Saturday", Config{}, "2026-11-21T12:00:00Z", -3, "2026-11-23T09:00:00Z"},
		{"at lunch", zurich, "2026-11-23T12:30:00+01:00", 2, "2026-11-25T13:00:00+01:00"},
		{"over Easter", zurich, "2026-04-02T16:00:00+02:00", 2, "2026-04-08T16:00:00+02:00"},
		{"over the turn of the year", zurich, "2026-12-23T16:00:00+01:00", 2, "2027-01-05T16:00:00+01:00"},
		{"into summer", zurich, "2026-03-27T10:00:00+01:00", 2, "2026-03-31T10:00:00+02:00"},
		{"into winter", zurich, "2026-10-23T10:00:00+02:00", 2, "2026-10-27T10:00:00+01:00"},
		{"to a time that is skipped", night("Europe/Zurich"), "2026-03-27T02:30:00+01:00", 2, "2026-03-29T03:30:00+02:00"},
		{"over a time that is skipped", night("Europe/Zurich"), "2026-03-28T02:30:00+01:00", 2, "2026-03-30T02:30:00+02:00"},
		{"to a time that is there twice", night("Europe/Zurich"), "2026-10-24T02:30:00+02:00", 1, "2026-10-25T02:30:00+02:00"},
		{"from the second of them", night("Europe/Zurich"), "2026-10-25T02:30:00+01:00", 1, "2026-10-26T02:30:00+01:00"},
		{"half an hour, in the south: Lord Howe into winter", Config{Timezone: "Australia/Lord_Howe"}, "2026-04-03T10:00:00+11:00", 1, "2026-04-06T10:00:00+10:30"},
		{"to what Lord Howe skips", night("Australia/Lord_Howe"), "2026-10-03T02:15:00+10:30", 1, "2026-10-04T02:45:00+11:00"},
		{"India", Config{Timezone: "Asia/Kolkata"}, "2026-11-20T16:30:00+05:30", 1, "2026-11-23T16:30:00+05:30"},
		{"New Zealand into summer", Config{Timezone: "Pacific/Auckland"}, "2026-09-25T10:00:00+12:00", 1, "2026-09-28T10:00:00+13:00"},
		// Samoa had no 2011-12-30, a Friday.
		{"a day that was skipped", Config{Timezone: "Pacific/Apia"}, "2011-12-29T10:00:00-10:00", 1, "2012-01-02T10:00:00+14:00"},
		{"long ago", Config{}, "0101-03-04T10:00:00Z", 5, "0101-03-11T10:00:00Z"},
		{"far ahead", Config{}, "9000-03-06T10:00:00Z", 5, "9000-03-13T10:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustNew(t, c.config).AddBusinessDays(at(t, c.from), c.n)
			if want := at(t, c.want); !got.Equal(want) {
				t.Errorf("%s + %d: got %s, want %s", c.from, c.n, got.Format(time.RFC3339Nano), c.want)
			}
		})
	}
}

func TestAddBusinessTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		from   string
		d      time.Duration
		want   string
	}{
		{"within a day", Config{}, "2026-11-23T10:00:00Z", 2 * time.Hour, "2026-11-23T12:00:00Z"},
		{"overnight", Config{}, "2026-11-23T16:00:00Z", 2 * time.Hour, "2026-11-24T10:00:00Z"},
		{"to the closing", Config{}, "2026-11-23T16:00:00Z", time.Hour, "2026-11-23T17:00:00Z"},
		{"from a Saturday", Config{}, "2026-11-21T12:00:00Z", time.Nanosecond, "2026-11-23T09:00:00.000000001Z"},
		{"nothing, from a Saturday", Config{}, "2026-11-21T12:00:00Z", 0, "2026-11-21T12:00:00Z"},
		{"over lunch and Easter", zurich, "2026-04-02T11:00:00+02:00", 7 * time.Hour, "2026-04-07T09:00:00+02:00"},
		{"what is skipped does not count", always("Europe/Zurich"), "2026-03-29T01:30:00+01:00", time.Hour, "2026-03-29T03:30:00+02:00"},
		{"what is there twice counts twice", always("Europe/Zurich"), "2026-10-25T01:30:00+02:00", 2 * time.Hour, "2026-10-25T02:30:00+01:00"},
		{"two hours of three", night("Europe/Zurich"), "2026-03-29T00:00:00+01:00", 3 * time.Hour, "2026-03-30T02:00:00+02:00"},
		{"four hours of three", night("Europe/Zurich"), "2026-10-25T00:00:00+02:00", 4 * time.Hour, "2026-10-25T04:00:00+01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustNew(t, c.config).AddBusinessTime(at(t, c.from), c.d)
			if want := at(t, c.want); !got.Equal(want) {
				t.Errorf("%s + %s: got %s, want %s", c.from, c.d, got.Format(time.RFC3339Nano), c.want)
			}
		})
	}
}

func TestBusinessBetween(t *testing.T) {
	// St. John's put the clock back at 00:01, to 23:01 of the day before.
	johns := Config{Timezone: "America/St_Johns", Workdays: []string{"sunday"}, Hours: []string{"00:00-00:30"}}
	for _, c := range []struct {
		name     string
		config   Config
		from, to string
		want     time.Duration
	}{
		{"a week", Config{}, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", 40 * time.Hour},
		{"backwards", Config{}, "2026-11-30T00:00:00Z", "2026-11-23T00:00:00Z", 0},
		{"a weekend", Config{}, "2026-11-20T17:00:00Z", "2026-11-23T09:00:00Z", 0},
		{"parts of days", zurich, "2026-11-20T17:15:00+01:00", "2026-11-23T08:30:00+01:00", 75 * time.Minute},
		{"a day of 23 hours", always("Europe/Zurich"), "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", 23 * time.Hour},
		{"a day of 25 hours", always("Europe/Zurich"), "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", 25 * time.Hour},
		{"a night of two hours", night("Europe/Zurich"), "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", 2 * time.Hour},
		{"a night of four", night("Europe/Zurich"), "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", 4 * time.Hour},
		{"half an hour", always("Australia/Lord_Howe"), "2026-04-05T00:00:00+11:00", "2026-04-06T00:00:00+10:30", 24*time.Hour + 30*time.Minute},
		{"a day that begins twice", johns, "2010-11-06T12:00:00-02:30", "2010-11-07T12:00:00-03:30", 31 * time.Minute},
		{"all of time", always("UTC"), "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mustNew(t, c.config).BusinessBetween(at(t, c.from), at(t, c.to)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestInstant(t *testing.T) {
	for _, c := range []struct{ zone, clock, want string }{
		{"UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"Europe/Zurich", "2026-03-29T01:59:59Z", "2026-03-29T01:59:59+01:00"},
		{"Europe/Zurich", "2026-03-29T02:00:00Z", "2026-03-29T03:00:00+02:00"},
		{"Europe/Zurich", "2026-03-29T02:59:59.5Z", "2026-03-29T03:59:59.5+02:00"},
		{"Europe/Zurich", "2026-03-29T03:00:00Z", "2026-03-29T03:00:00+02:00"},
		{"Europe/Zurich", "2026-10-25T01:59:59Z", "2026-10-25T01:59:59+02:00"},
		{"Europe/Zurich", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00+02:00"},
		{"Europe/Zurich", "2026-10-25T02:59:59Z", "2026-10-25T02:59:59+02:00"},
		{"Europe/Zurich", "2026-10-25T03:00:00Z", "2026-10-25T03:00:00+01:00"},
		{"America/New_York", "2026-03-08T02:30:00Z", "2026-03-08T03:30:00-04:00"},
		{"Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-31T12:00:00+14:00"},
		{"Australia/Lord_Howe", "2026-10-04T02:10:00Z", "2026-10-04T02:40:00+11:00"},
		{"Asia/Kathmandu", "2026-10-04T02:10:00Z", "2026-10-04T02:10:00+05:45"},
	} {
		zone, err := Zone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := Instant(at(t, c.clock), zone); !got.Equal(at(t, c.want)) {
			t.Errorf("%s in %s: got %s, want %s", c.clock, c.zone, got.Format(time.RFC3339Nano), c.want)
		}
	}
}
