package mute

import (
	"fmt"
	"testing"
	"time"
)

// TestPlanned: what everybody may know of maintenance, and from when on.
func TestPublicTimes(t *testing.T) {
	moved, weekly, secret, later := good(), good(), good(), good()
	moved.Public = Notice{"the database moves", []string{"Shop"}}
	weekly.Name, weekly.From, weekly.To, weekly.TimeIntervals = "weekly", "", "", []string{"sundays"}
	weekly.Timezone, weekly.NoticeDays, weekly.AnnouncedOn, weekly.Public = "", 0, "", Notice{Text: "patches"}
	secret.Name = "secret"
	later.Name, later.From, later.To, later.Public = "later", "2027-01-20 22:00", "2027-01-21 22:00", Notice{Text: "next year"}
	all, err := NewWindows([]Window{moved, weekly, secret, later}, sundays(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		now  string
		want []string
	}{
		{"2026-11-06 00:00", []string{ // not announced yet
			"patches 11-08 01:00 11-08 04:00", "patches 11-15 01:00 11-15 04:00", "patches 11-22 01:00 11-22 04:00"}},
		{"2026-11-21 20:00", []string{"the database moves 11-21 21:00 11-22 03:00", // in UTC
			"patches 11-22 01:00 11-22 04:00", "patches 11-29 01:00 11-29 04:00", "patches 12-06 01:00 12-06 04:00"}},
		{"2026-11-22 02:59", []string{"the database moves 11-21 21:00 11-22 03:00", // both go on
			"patches 11-22 01:00 11-22 04:00", "patches 11-29 01:00 11-29 04:00", "patches 12-06 01:00 12-06 04:00"}},
		{"2026-11-22 04:00", []string{"patches 11-29 01:00 11-29 04:00", "patches 12-06 01:00 12-06 04:00", "patches 12-13 01:00 12-13 04:00"}},
	} {
		now, err := time.Parse("2006-01-02 15:04", test.now)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range all.Public(now) {
			if p.Since.After(now) {
				t.Errorf("at %s: %q is listed since %s", test.now, p.Text, p.Since)
			}
			got = append(got, p.Text+" "+p.From.UTC().Format("01-02 15:04")+" "+p.To.UTC().Format("01-02 15:04"))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) {
			t.Errorf("at %s: got %q, want %q", test.now, got, test.want)
		}
	}
	if (*Windows)(nil).Public(time.Now()) != nil {
		t.Error("no windows: got some")
	}
}

// TestPlannedWithoutEnd: one that is open for years has no end to be told.
func TestPlannedWithoutEnd(t *testing.T) {
	w := good()
	w.To, w.Public = "2032-01-01 00:00", Notice{Text: "a long time"}
	all, err := NewWindows([]Window{w}, nil)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)
	if got := all.Public(from.Add(100 * 24 * time.Hour)); len(got) != 1 || !got[0].From.Equal(from) || !got[0].To.IsZero() {
		t.Errorf("got %+v", got)
	}
}
