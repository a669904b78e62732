package calendar

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestProblems: each mistake is found, where it is, with what to write instead.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		config     Config
		path, text string
	}{
		{Config{Timezone: "Europe/Zürich"}, "timezone", "there is no time zone"},
		{Config{Timezone: "Local"}, "timezone", "there is no time zone"},
		{Config{Timezone: "../../etc/passwd"}, "timezone", "there is no time zone"},
		{Config{Workdays: []string{"monday", "moonday"}}, "workdays[1]", `"moonday" is no day of the week`},
		{Config{Workdays: []string{"monday-friday"}}, "workdays[0]", "monday:friday"},
		{Config{Workdays: make([]string, 6000)}, "workdays", "at most"},
		{Config{Hours: []string{"nine to five"}}, "hours[0]", "08:00-18:00"},
		{Config{Hours: []string{"09:00-24:01"}}, "hours[0]", "08:00-18:00"},
		{Config{Hours: []string{"09:60-10:00"}}, "hours[0]", "08:00-18:00"},
		{Config{Hours: []string{"+9:00-10:00"}}, "hours[0]", "08:00-18:00"},
		{Config{Hours: []string{"09:00-09:00"}}, "hours[0]", "00:00-24:00"},
		{Config{Hours: []string{"22:00-06:00"}}, "hours[0]", "22:00-24:00 and 00:00-06:00"},
		{Config{Hours: []string{"08:00-12:00", "11:00-13:00"}}, "hours[1]", "overlap"},
		{Config{Holidays: []string{"25.12.2026"}}, "holidays[0]", "2026-12-25"},
		{Config{Holidays: []string{"2026-02-29"}}, "holidays[0]", "is no date"},
		{Config{Holidays: []string{"02-30"}}, "holidays[0]", "is no date"},
		{Config{Holidays: []string{"2027-01-02..2026-12-24"}}, "holidays[0]", "earlier day first"},
		{Config{Holidays: []string{"2026-01-01..2027-01-02"}}, "holidays[0]", "366 days"},
		{Config{Holidays: []string{"2026-12-24..01-02"}}, "holidays[0]", "at both, or at none"},
		{Config{Holidays: []string{"0026-12-24"}}, "holidays[0]", "not between 1900 and 2200"},
		{Config{Holidays: []string{"01-01..12-31"}}, "holidays", "more than a year after 1899-12-31"},
		{Config{Holidays: []string{"03-01..02-28"}}, "holidays", "more than a year"},
		{Config{Holidays: []string{"2026-01-01..2026-12-31", "2027-01-01..2027-06-30"}}, "holidays", "more than a year after 2025-12-31"},
		{Config{UsageHours: []UsageHours{{Days: []string{"x"}, Hours: []string{"y"}}}}, "usage_hours[0].days[0]", "no day"},
		{Config{UsageHours: []UsageHours{{Days: []string{"sunday"}, Hours: []string{"y"}}}}, "usage_hours[0].hours[0]", "no hours"},
		{Config{UsageHours: []UsageHours{{}}}, "usage_hours[0].hours", "add hours"},
	} {
		got := Problems(c.config)
		problem, ok := got[c.path]
		if !ok || !strings.Contains(problem, c.text) || !strings.Contains(problem, "; ") {
			t.Errorf("%.80v: got %q, want %q with %q and what to write", c.config, got, c.path, c.text)
		}
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.path+": ") {
			t.Errorf("%.80v: got the error %v", c.config, err)
		}
	}
	for _, c := range []Config{{}, zurich, always("Asia/Tokyo"), {Holidays: []string{"2026-01-01..2026-12-31"}}, {Workdays: []string{"Mon", " tue:THU "}, Hours: []string{"8:00-12:00", "12:00-24:00"}}} {
		if got := Problems(c); len(got) > 0 {
			t.Errorf("%v: got %q, want nothing", c, got)
		}
	}
	several := Problems(Config{Timezone: "x", Workdays: []string{"x"}, Hours: []string{"x"}, Holidays: []string{"x"}})
	if want := []string{"holidays[0]", "hours[0]", "timezone", "workdays[0]"}; !slices.Equal(slices.Sorted(maps.Keys(several)), want) {
		t.Errorf("got %q, want all of %q", several, want)
	}
}
