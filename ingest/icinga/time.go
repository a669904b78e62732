package icinga

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// moment reads a time as Icinga writes them: seconds since 1970, or its long
// date and time. What cannot be read is no time.
func moment(s string) time.Time {
	s = strings.TrimSpace(s)
	if t := epoch(s); !t.IsZero() {
		return t
	}
	t, err := time.Parse("2006-01-02 15:04:05 -0700", s)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// epoch reads seconds since 1970, to the millisecond: what is finer is the
// rounding of Icinga's floating point numbers. 0 is no time.
func epoch(s string) time.Time {
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds > 0 && seconds < 1<<37) {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Floor(seconds * 1000))).UTC()
}

// number reads a small whole number; -1 is none.
func number(s string) int {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || f < 0 || f > 1000 {
		return -1
	}
	return int(f)
}
