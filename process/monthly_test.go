package process

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

// TestMonthlyReminders: on a business day of the month after, not long afterwards.
func TestMonthlyReminders(t *testing.T) {
	config := Config{Calendar: calendar.Config{Timezone: "Europe/Zurich", Hours: []string{"08:00-17:00"}, Holidays: []string{"01-01..01-04"}},
		MonthlyReport: MonthlyReport{Remind: []string{"lead"}}}
	o := Options{Receivers: []string{"lead"}}
	for name, c := range map[string]struct {
		day  int
		now  time.Time
		want []string
	}{
		"the one that is on":            {0, time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), []string{"2026-11 12-02 08:00"}},
		"the one that is over, and due": {0, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), []string{"2026-11 12-02 08:00", "2026-12 01-06 08:00"}},
		"a week later it is too late":   {0, time.Date(2026, 12, 9, 7, 0, 0, 0, time.UTC), []string{"2026-12 01-06 08:00"}},
		"another day":                   {5, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), []string{"2026-11 12-07 08:00", "2026-12 01-11 08:00"}},
		"a month begins in its zone":    {0, time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC), []string{"2026-11 12-02 08:00", "2026-12 01-06 08:00"}},
	} {
		config.MonthlyReport.BusinessDay = c.day
		g, err := New(config, o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range g.MonthlyReminders(c.now) {
			got = append(got, r.Month.Format("2006-01 ")+r.Due.Format("01-02 15:04"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	g, err := New(Config{}, o)
	if err != nil || g.MonthlyReminders(time.Now()) != nil {
		t.Errorf("reminds without being asked to: %v", err)
	}
	bad := Problems(Config{MonthlyReport: MonthlyReport{Remind: []string{"leed"}, BusinessDay: 16}}, o)
	if bad[".monthly_report.remind[0]"] == "" || bad[".monthly_report.business_day"] == "" || len(bad) != 2 {
		t.Errorf("problems: got %v", bad)
	}
}
