package ingest

import (
	"strings"
	"time"
)

// parseTime reads a time of RFC 3339 with 0 to 9 digits of fraction (more are
// cut) and any offset. The result is in UTC and within the years 0 to 9999, so
// that it can be written again; year 1 of Go's zero time becomes the zero time.
func parseTime(s string) (time.Time, bool) {
	if t, ok := parseZulu(s); ok {
		return t, true
	}
	var t time.Time
	// Lower case t and z are allowed by RFC 3339, but not by package time.
	if err := t.UnmarshalText([]byte(strings.ToUpper(s))); err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	return t, t.Year() >= 0 && t.Year() <= 9999
}

// zeroTime is what Go writes for no time.
const zeroTime = "0001-01-01T00:00:00Z"

// parseZulu reads the shape that Go writes for a time in UTC, which is all
// that Alertmanager and Prometheus send, at a fifth of the general cost.
func parseZulu(s string) (time.Time, bool) {
	if s == zeroTime {
		return time.Time{}, true
	}
	if len(s) < len(zeroTime) || len(s) > len(zeroTime)+10 || s[len(s)-1] != 'Z' ||
		s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	ok := true
	year := digits(s[0:4], &ok)
	month := digits(s[5:7], &ok)
	day := digits(s[8:10], &ok)
	hour := digits(s[11:13], &ok)
	minute := digits(s[14:16], &ok)
	second := digits(s[17:19], &ok)
	nanos := fraction(s[19:len(s)-1], &ok)
	if !ok || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	return t, t.Day() == day // time.Date makes March of February 30
}

// fraction reads ".123" as nanoseconds; the empty string is 0.
func fraction(s string, ok *bool) int {
	if s == "" {
		return 0
	}
	if s[0] != '.' || len(s) == 1 {
		*ok = false
		return 0
	}
	n := digits(s[1:], ok)
	for range 10 - len(s) {
		n *= 10
	}
	return n
}

// digits reads s as a decimal number, or sets ok to false.
func digits(s string, ok *bool) int {
	n := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			*ok = false
		}
		n = n*10 + int(d)
	}
	return n
}
