package fields

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

func TestTime(t *testing.T) {
	for _, c := range []struct {
		text, layout string
		want         time.Time
		ok           bool
	}{
		{"2026-11-21T02:00:00+01:00", time.DateTime, time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC), true},
		{" 2026-11-21 02:00:00.5 ", time.DateTime, time.Date(2026, 11, 21, 2, 0, 0, 5e8, time.UTC), true},
		{"2026-02-30 02:00:00", time.DateTime, time.Time{}, false},
		{"", time.DateTime, time.Time{}, false},
		{"9999-12-31T23:59:59-01:00", time.DateTime, time.Date(10000, 1, 1, 0, 59, 59, 0, time.UTC), false},
	} {
		if got, ok := Time(c.text, c.layout); !got.Equal(c.want) || ok != c.ok {
			t.Errorf("%q: got %v, %v; want %v, %v", c.text, got, ok, c.want, c.ok)
		}
	}
	for seconds, want := range map[int64]bool{0: false, -1: false, 1: true, 253402300799: true, 253402300800: false} {
		if got := Unix(seconds, 0); got.IsZero() == want {
			t.Errorf("%d: got %v", seconds, got)
		}
	}
	if got := Unix(1, 1e9); !got.IsZero() {
		t.Errorf("a second in nanoseconds: got %v", got)
	}
}

func TestLink(t *testing.T) {
	for s, want := range map[string]string{
		" https://h/p?q#f ": "https://h/p?q#f", "http://h": "http://h", "https://u:p@h/x": "https://h/x", "javascript:x": "", "//h/x": "", "ftp://h": "", "https://": "", "https://h/%zz": "",
	} {
		if got := Link(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestWith(t *testing.T) {
	had := alert.Labels{{Name: "b", Value: "1"}}
	got := With(had, "b", "2", "a", "x", "", "y", "c", "", "a", "z")
	if len(got) != 2 || got[0] != (alert.Label{Name: "a", Value: "x"}) || got[1] != had[0] || len(had) != 1 {
		t.Errorf("got %v and %v", got, had)
	}
}
