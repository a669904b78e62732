package rota

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/config/secret"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustNew(t testing.TB, c Config, s Source) *Rota {
	t.Helper()
	r, err := New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func days(n int) model.Duration { return model.Duration(time.Duration(n) * day) }

// fixed is a Source that has read one file.
type fixed struct{ file *ICal }

func (f fixed) Calendar() *ICal { return f.file }

var weekly = Config{
	Timezone: "Europe/Zurich",
	Shifts: []Shift{
		{People: []string{"anna", "ben", "carla"}, Start: "2026-01-01", Handover: "monday 09:00", Length: days(7)},
		{People: []string{"dora", "emil"}, Start: "2026-01-01", Handover: "08:00", Length: model.Duration(12 * time.Hour)},
	},
	Overrides: []Override{
		{From: "2026-12-24 18:00", To: "2026-12-27 09:00", Who: "fritz"},
		{From: "2026-03-02 09:00", To: "2026-03-04T12:00:00+01:00", Who: "carla", InsteadOf: "emil"},
	},
}

func TestAt(t *testing.T) {
	r := mustNew(t, weekly, nil)
	for _, c := range []struct{ when, want string }{
		{"2026-01-01T07:59:59+01:00", ""},
		{"2026-01-01T08:00:00+01:00", "dora"}, // before the first Monday
		{"2026-01-05T08:59:59+01:00", "dora"}, // 08:00 of the fifth day
		{"2026-01-05T09:00:00+01:00", "anna dora"},
		{"2026-01-05T20:00:00+01:00", "anna emil"},
		{"2026-01-12T09:00:00+01:00", "ben dora"},
		{"2026-01-19T09:00:00+01:00", "carla dora"},
		{"2026-01-26T09:00:00+01:00", "anna dora"},
		{"2026-03-30T08:59:59+02:00", "carla dora"}, // the clock was put forward
		{"2026-03-30T09:00:00+02:00", "anna dora"},
		{"2026-10-26T08:59:59+01:00", "carla dora"}, // and back
		{"2026-10-26T09:00:00+01:00", "anna dora"},
		{"2026-12-24T18:00:00+01:00", "fritz"},
		{"2026-12-27T09:00:00+01:00", "carla dora"},
		{"2026-03-03T21:00:00+01:00", "carla"}, // who is there already, once
		{"2026-03-04T21:00:00+01:00", "carla emil"},
		{"1800-01-01T00:00:00Z", ""}, {"9999-01-01T00:00:00Z", ""},
	} {
		if got := strings.Join(r.At(at(t, c.when)), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.when, got, c.want)
		}
	}
}

func TestNextAndGaps(t *testing.T) {
	r := mustNew(t, Config{Timezone: "Europe/Zurich", Shifts: weekly.Shifts[:1], Overrides: weekly.Overrides[:1]}, nil)
	when, who, ok := r.Next(at(t, "2026-03-28T12:00:00Z"))
	if want := at(t, "2026-03-30T09:00:00+02:00"); !ok || !when.Equal(want) || !slices.Equal(who, []string{"anna"}) {
		t.Errorf("got %s %q %v, want %s anna", when, who, ok, want)
	}
	when, who, _ = r.Next(at(t, "2026-12-23T12:00:00Z"))
	if want := at(t, "2026-12-24T18:00:00+01:00"); !when.Equal(want) || !slices.Equal(who, []string{"fritz"}) {
		t.Errorf("got %s %q, want %s fritz", when, who, want)
	}
	if _, _, ok := mustNew(t, Config{}, nil).Next(at(t, "2026-12-23T12:00:00Z")); ok {
		t.Error("nobody is ever on call, but there is a next")
	}
	one := Config{Shifts: []Shift{{People: []string{"anna"}, Start: "2026-01-01", Handover: "09:00", Length: days(1)}}}
	if _, _, ok := mustNew(t, one, nil).Next(at(t, "2026-12-23T12:00:00Z")); ok {
		t.Error("she hands over to herself, but there is a next")
	}
	gaps := mustNew(t, one, nil).Gaps(at(t, "2025-12-30T00:00:00Z"), at(t, "2029-01-01T00:00:00Z"))
	if want := at(t, "2026-01-01T09:00:00Z"); len(gaps) != 1 || !gaps[0].To.Equal(want) {
		t.Errorf("got %v, want one gap until %s", gaps, want)
	}
	spans := r.Spans(at(t, "2026-12-21T09:00:00+01:00"), at(t, "2026-12-28T10:00:00+01:00"))
	var got []string
	for _, s := range spans {
		got = append(got, s.From.Format("02T15")+"-"+s.To.Format("02T15")+" "+strings.Join(s.Who, " "))
	}
	if want := []string{"21T09-24T18 carla", "24T18-27T09 fritz", "27T09-28T09 carla", "28T09-28T10 anna"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTurnsAreTaken: everybody's turn comes, in order, without gaps, however the
// clock changes; what Next says is what At says then, and not before.
func TestTurnsAreTaken(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		length := rapid.SampledFrom([]time.Duration{time.Hour, 6 * time.Hour, 12 * time.Hour, day, 3 * day, 7 * day}).Draw(rt, "length")
		c := Config{
			Timezone: rapid.SampledFrom([]string{"UTC", "Europe/Zurich", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"}).Draw(rt, "zone"),
			Shifts: []Shift{{People: []string{"a", "b", "c"}, Start: "2009-01-01", Length: model.Duration(length),
				Handover: rapid.SampledFrom([]string{"00:00", "02:15", "9:00", "23:30"}).Draw(rt, "handover")}},
		}
		r, err := New(c, nil)
		if err != nil {
			rt.Fatal(err)
		}
		now := time.Unix(rapid.Int64Range(1231200000, 1893456000).Draw(rt, "unix"), 0)
		if _, end := now.In(r.zone).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(rt, "near a change") {
			now = end.Add(time.Duration(rapid.IntRange(-180, 180).Draw(rt, "minutes")) * time.Minute)
		}
		who := r.At(now)
		if len(who) != 1 {
			rt.Fatalf("%s: got %q", now, who)
		}
		next, then, ok := r.Next(now)
		if !ok || !next.After(now) || !slices.Equal(r.At(next), then) || !slices.Equal(r.At(next.Add(-1)), who) {
			rt.Fatalf("%s: next is %s, %q", now, next, then)
		}
		if d := next.Sub(now); d > length+25*time.Hour {
			rt.Fatalf("%s: next is after %s", now, d)
		}
	})
}

func TestProblems(t *testing.T) {
	good := weekly.Shifts[0]
	with := func(change func(*Shift)) Config {
		s := good
		change(&s)
		return Config{Shifts: []Shift{s}}
	}
	override := func(o ...Override) Config { return Config{Overrides: o} }
	ical := func(c ICalConfig) Config { return Config{ICal: c} }
	for _, c := range []struct {
		config     Config
		path, text string
	}{
		{Config{Timezone: "Mars/Olympus"}, "timezone", "Europe/Zurich"},
		{Config{Shifts: make([]Shift, 1001)}, "shifts", "at most"},
		{with(func(s *Shift) { s.People = nil }), "shifts[0].people", "add people"},
		{with(func(s *Shift) { s.People = []string{"a", " "} }), "shifts[0].people[1]", "empty"},
		{with(func(s *Shift) { s.Start = "" }), "shifts[0].start", "add start"},
		{with(func(s *Shift) { s.Start = "1.1.2026" }), "shifts[0].start", "2026-01-05"},
		{with(func(s *Shift) { s.Handover = "" }), "shifts[0].handover", "monday 09:00"},
		{with(func(s *Shift) { s.Handover = "moonday 09:00" }), "shifts[0].handover", "monday 09:00"},
		{with(func(s *Shift) { s.Handover = "24:00" }), "shifts[0].handover", "monday 09:00"},
		{with(func(s *Shift) { s.Length = 0 }), "shifts[0].length", "7d"},
		{with(func(s *Shift) { s.Length = days(367) }), "shifts[0].length", "7d"},
		{with(func(s *Shift) { s.Length = days(1) }), "shifts[0].length", "without a day"},
		{with(func(s *Shift) { s.Handover, s.Length = "09:00", model.Duration(5*time.Hour) }), "shifts[0].length", "12h"},
		{with(func(s *Shift) { s.Handover, s.Length = "09:00", model.Duration(36*time.Hour) }), "shifts[0].length", "12h"},
		{override(Override{From: "x", To: "2026-01-01", Who: "a"}), "overrides[0].from", "2026-12-24 18:00"},
		{override(Override{From: "2026-01-01", To: "", Who: "a"}), "overrides[0].to", "2026-12-24 18:00"},
		{override(Override{From: "2026-01-02", To: "2026-01-01", Who: "a"}), "overrides[0].to", "after from"},
		{override(Override{From: "2026-01-01", To: "2026-01-02"}), "overrides[0].who", "add who"},
		{override(Override{From: "2026-01-01", To: "2026-01-03", Who: "a"}, Override{From: "2026-01-02", To: "2026-01-04", Who: "b"}), "overrides[1].from", "instead_of"},
		{ical(ICalConfig{URL: secret.New("http://example.org/s3cret")}), "ical.url", "https"},
		{ical(ICalConfig{URL: secret.New("https://a:s3cret@example.org/")}), "ical.url", "password:"},
		{ical(ICalConfig{URL: secret.New("https://example.org/"), File: "x"}), "ical.file", "keep one"},
		{ical(ICalConfig{File: "x", Password: secret.New("s3cret")}), "ical.password", "add username"},
		{ical(ICalConfig{File: "x", Every: 1}), "ical.every", "15m"},
		{ical(ICalConfig{File: "x", Person: "organizer"}), "ical.person", "attendee"},
	} {
		problem, ok := Problems(c.config)[c.path]
		if !ok || !strings.Contains(problem, c.text) || !strings.Contains(problem, "; ") || strings.Contains(problem, "s3cret") {
			t.Errorf("got %q, want %q with %q and what to write", Problems(c.config), c.path, c.text)
		}
		if _, err := New(c.config, nil); err == nil || !strings.Contains(err.Error(), c.path+": ") {
			t.Errorf("%s: got the error %v", c.path, err)
		}
	}
	if got := Problems(weekly); len(got) > 0 {
		t.Errorf("got %q, want nothing", got)
	}
}

// TestNobodyTakesATurnAgain where the clock shows the time before a handover twice.
func TestNobodyTakesATurnAgain(t *testing.T) {
	r := mustNew(t, Config{Timezone: "Europe/Zurich", Shifts: []Shift{{People: []string{"anna", "ben"}, Start: "2026-10-24", Handover: "02:15", Length: days(1)}}}, nil)
	for when, want := range map[string]string{
		"2026-10-25T02:14:59+02:00": "anna", "2026-10-25T02:15:00+02:00": "ben", "2026-10-25T02:05:00+01:00": "ben", "2026-10-26T02:14:59+01:00": "ben", "2026-10-26T02:15:00+01:00": "anna",
	} {
		if got := r.At(at(t, when)); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
}
