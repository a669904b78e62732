package mute

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlanned: which times of a window people are told of, and when.
func TestPlanned(t *testing.T) {
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	once := Window{Name: "move", Matchers: []string{`service="db"`}, From: "2026-11-21 22:00", To: "2026-11-22 04:00", Timezone: "Europe/Zurich", Announce: []string{"clients"}}
	recurs := Window{Name: "sundays", Matchers: []string{`host="a"`}, TimeIntervals: []string{"sundays"}, Timezone: "Europe/Zurich", NoticeDays: 9, Announce: []string{"clients"}}
	at := func(text string) time.Time {
		out, err := time.ParseInLocation("2006-01-02 15:04", text, zurich)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		w    Window
		now  string
		want []string // begins, ends, due
	}{
		"long before":      {once, "2026-09-01 12:00", []string{"11-21 22:00 11-22 04:00 11-14 21:00"}},
		"while it is open": {once, "2026-11-22 03:59", []string{"11-21 22:00 11-22 04:00 11-14 21:00"}},
		"when it is over":  {once, "2026-11-22 04:00", nil},
		"those that are due, and one that is not": {recurs, "2026-11-20 12:00", []string{"11-22 01:00 11-22 04:00 11-13 00:00", "11-29 01:00 11-29 04:00 11-20 00:00", "12-06 01:00 12-06 04:00 11-27 00:00"}},
		"while one is open":                       {recurs, "2026-11-22 02:00", []string{"11-22 01:00 11-22 04:00 11-13 00:00", "11-29 01:00 11-29 04:00 11-20 00:00", "12-06 01:00 12-06 04:00 11-27 00:00"}},
		"days of the clock on the wall":           {recurs, "2026-10-20 12:00", []string{"10-25 01:00 10-25 04:00 10-16 00:00", "11-01 01:00 11-01 04:00 10-23 00:00"}},
	} {
		ws, err := NewWindows([]Window{c.w}, sundays(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range ws.Announced(nil, nil)[0].Planned(at(c.now)) {
			const layout = "01-02 15:04 "
			got = append(got, strings.TrimSpace(p.Begins.Format(layout)+p.Ends.Format(layout)+p.Due.Format(layout)))
			if p.Latest.Sub(p.Due) != noticeSlack {
				t.Errorf("%s: told %s before the latest time", name, p.Latest.Sub(p.Due))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
	}
}

// TestPlannedAbout: what a notice says of what is affected.
func TestPlannedAbout(t *testing.T) {
	services := []Service{{Name: "db", Populations: []string{"staff"}}, {Name: "shop", DependsOn: []string{"db"}, Populations: []string{"customers", "staff"}}, {Name: "mail", Populations: []string{"all"}}}
	g, err := NewGraph(services)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ matchers, want string }{
		"a service":           {`service="db"`, "services: db\nservices that depend on them: shop\nwho uses them: staff, customers\nwho answers for it: ann"},
		"several":             {`service=~"db|mail"`, "services: db, mail\nservices that depend on them: shop\nwho uses them: staff, customers, all\nwho answers for it: ann"},
		"a host":              {`host="a"`, "affected: host=\"a\"\nwho answers for it: ann"},
		"all but one service": {`service!="db"`, "affected: service!=\"db\"\nwho answers for it: ann"},
	} {
		ws, err := NewWindows([]Window{{Name: "w", Matchers: []string{c.matchers}, From: "2026-11-21 22:00", To: "2026-11-22 04:00", Owner: "ann", Announce: []string{"x"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := ws.Announced(services, g)[0].Planned(z0)[0].About; got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestStand: only a window that is open at exactly these times still stands.
func TestStand(t *testing.T) {
	windows := []Window{
		{Name: "move", Matchers: []string{`service="db"`}, From: "2026-11-21 22:00", To: "2026-11-22 04:00"},
		{Name: "sundays", Matchers: []string{`host="a"`}, TimeIntervals: []string{"sundays"}, From: "2026-11-01 00:00", To: "2027-01-01 00:00"},
	}
	ws, err := NewWindows(windows, sundays(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		window, begins, ends string
		want                 bool
	}{
		"as it was":             {"move", "2026-11-21 22:00", "2026-11-22 04:00", true},
		"another end":           {"move", "2026-11-21 22:00", "2026-11-22 05:00", false},
		"another beginning":     {"move", "2026-11-21 21:00", "2026-11-22 04:00", false},
		"no such window":        {"gone", "2026-11-21 22:00", "2026-11-22 04:00", false},
		"one of many":           {"sundays", "2026-11-22 01:00", "2026-11-22 04:00", true},
		"another day":           {"sundays", "2026-11-23 01:00", "2026-11-23 04:00", false},
		"part of one":           {"sundays", "2026-11-22 02:00", "2026-11-22 04:00", false},
		"more than one":         {"sundays", "2026-11-22 01:00", "2026-11-22 05:00", false},
		"after the last of all": {"sundays", "2027-01-03 01:00", "2027-01-03 04:00", false},
	} {
		at := func(text string) time.Time {
			out, err := time.Parse("2006-01-02 15:04", text)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := ws.Stand(c.window, at(c.begins), at(c.ends)); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
