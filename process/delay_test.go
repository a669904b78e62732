package process

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

func TestParseDelay(t *testing.T) {
	for text, want := range map[string]delay{
		"": {}, "0s": {}, "30m": {clock: 30 * time.Minute}, "1d2h": {clock: 26 * time.Hour}, "1 business day": {days: 1}, "2 business days": {days: 2},
		"4 business hours": {business: 4 * time.Hour}, "90 business minutes": {business: 90 * time.Minute}, "0 business days": {}, "  2  business   days ": {days: 2},
	} {
		got, err := parseDelay(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := parseDelay(got.String()); err != nil || again != got {
			t.Errorf("%q is said as %q, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"soon", "-1h", "367d", "2 working days", "x business days", "-1 business days", "367 business days", "2 business weeks", "2 business", "9999999999999999999 business days"} {
		if got, err := parseDelay(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

// TestBusinessDelay: over holidays, weekends and changes of the clock.
func TestBusinessDelay(t *testing.T) {
	const head = "profile: none\ncalendar: {timezone: Europe/Zurich, hours: ['08:00-17:00'], holidays: [2026-04-03, 2026-04-06]}\n"
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, zurich) }
	for name, c := range map[string]struct {
		after string
		from  time.Time
		want  time.Time
	}{
		"two days": {"2 business days", at(2, 10, 0), at(4, 10, 0)},
		// The clock goes forward in the night to Sunday, 2026-03-29: the same time of the clock.
		"over the change of the clock": {"2 business days", at(27, 10, 0), at(31, 10, 0)},
		// 2026-04-03 is Good Friday, 2026-04-06 Easter Monday.
		"over Easter":                {"2 business days", at(32, 10, 0), at(38, 10, 0)},
		"from a night":               {"2 business days", at(2, 3, 0), at(4, 8, 0)},
		"from a Saturday":            {"2 business days", at(7, 12, 0), at(11, 8, 0)},
		"hours over a night":         {"4 business hours", at(2, 15, 0), at(3, 10, 0)},
		"hours over the change":      {"4 business hours", at(27, 15, 0), at(30, 10, 0)},
		"by the clock over a change": {"72h", at(27, 10, 0), at(30, 11, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuide(t, head+"duties: [{name: d, on: [restored], after: "+c.after+", do: {notify: [ops]}}]\n", options())
			l := begin(t, g, incident.Opening{}, c.from.Add(-time.Minute))
			l.late(time.Minute, resolve)
			if !l.due.Equal(c.want) {
				t.Errorf("due at %s, want %s", l.due.In(zurich), c.want)
			}
		})
	}
}
