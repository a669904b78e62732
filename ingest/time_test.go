package ingest

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	tests := []struct {
		text string
		want string // RFC 3339 with nanoseconds, in UTC; empty: refused
	}{
		{"2026-11-21T01:25:59Z", "2026-11-21T01:25:59Z"},
		{"2026-11-21T01:25:59.4Z", "2026-11-21T01:25:59.4Z"},
		{"2026-11-21T01:25:59.987Z", "2026-11-21T01:25:59.987Z"},
		{"2026-11-21T01:25:59.476272Z", "2026-11-21T01:25:59.476272Z"},
		{"2026-11-21T01:26:29.501300627Z", "2026-11-21T01:26:29.501300627Z"},
		{"2026-11-21T01:26:29.5013006279Z", "2026-11-21T01:26:29.501300627Z"},
		{"2026-11-21T03:25:59.5+02:00", "2026-11-21T01:25:59.5Z"},
		{"2026-11-20T20:25:59-05:00", "2026-11-21T01:25:59Z"},
		{"2026-11-21t01:25:59z", "2026-11-21T01:25:59Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"},
		{"0000-01-01T00:00:00+01:00", ""},
		{"9999-12-31T23:59:59-00:01", ""},
		{"2023-02-29T00:00:00Z", ""},
		{"2026-04-31T00:00:00Z", ""},
		{"2026-00-01T00:00:00Z", ""},
		{"2026-01-00T00:00:00Z", ""},
		{"2026-11-21T24:00:00Z", ""},
		{"2026-11-21T01:60:00Z", ""},
		{"2026-11-21T01:00:60Z", ""},
		{"2026-11-21T1:00:00Z", "2026-11-21T01:00:00Z"},      // package time is so kind
		{"2026-11-21T01:00:00,5Z", "2026-11-21T01:00:00.5Z"}, // likewise
		{"2026-11-21T01:00:00.Z", ""},
		{"2026-11-21 01:00:00Z", ""},
		{"2026-11-21T01:00:00", ""},
		{"12026-11-21T01:00:00Z", ""},
		{"-2026-11-21T01:00:00Z", ""},
		{"NaN", ""},
		{"", ""},
	}
	for _, test := range tests {
		got, ok := parseTime(test.text)
		if ok != (test.want != "") || ok && got.Format(time.RFC3339Nano) != test.want {
			t.Errorf("parseTime(%q) = %v, %v; want %q", test.text, got, ok, test.want)
		}
		if ok && got.IsZero() && got != (time.Time{}) {
			t.Errorf("parseTime(%q) is zero, but not the zero value: %#v", test.text, got)
		}
	}
}

// FuzzTime compares the quick way with package time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{zeroTime, "2026-11-21T01:26:29.501300627Z", "2026-02-29T00:00:00Z", "2026-11-21T03:25:59.5+02:00", "9999-12-31T23:59:59-00:01", "yesterday", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseTime(s)
		var want time.Time
		err := want.UnmarshalText([]byte(strings.ToUpper(s)))
		want = want.UTC()
		wantOK := err == nil && want.Year() >= 0 && want.Year() <= 9999
		if ok != wantOK || ok && got != want {
			t.Fatalf("parseTime(%q) = %v, %v; want %v, %v", s, got, ok, want, wantOK)
		}
		if ok {
			if _, err := got.MarshalJSON(); err != nil {
				t.Fatalf("parseTime(%q) cannot be written: %v", s, err)
			}
		}
	})
}
