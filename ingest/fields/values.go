package fields

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Kind names a kind of value with its article.
func Kind(v any) string {
	switch v.(type) {
	case Object:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a string"
	case Number:
		return "a number"
	case bool:
		return "a boolean"
	}
	return "null"
}

// Line returns the first line of a text, without blanks around it.
func Line(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}

// Time reads a time of RFC 3339, or in one of the layouts of package time, which
// are UTC if they have no zone. It is in UTC and in a year that can be written.
func Time(s string, layouts ...string) (time.Time, bool) {
	for _, layout := range slices.Concat([]string{time.RFC3339Nano}, layouts) {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			t = t.UTC()
			return t, t.Year() >= 0 && t.Year() <= 9999
		}
	}
	return time.Time{}, false
}

// Unix is the time so many seconds and nanoseconds after 1970; zero if that
// cannot be written.
func Unix(seconds, nanos int64) time.Time {
	const last = 253402300799 // the end of the year 9999
	if seconds <= 0 || seconds > last || nanos < 0 || nanos >= 1e9 {
		return time.Time{}
	}
	return time.Unix(seconds, nanos).UTC()
}

// Link returns s if it is a link that people can follow, without the credentials
// that some write into it; else "".
func Link(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	if u.User == nil {
		return strings.TrimSpace(s)
	}
	u.User = nil
	return u.String()
}
