//go:build failpoint

package main

import (
	"os"
	"strings"
	"time"
)

// clockSkew is by how much this process takes its machine's clock to be ahead:
// TOCSIN_CLOCK_SKEW, such as 10m or -10m, for tests of a clock that is wrong.
func clockSkew() time.Duration {
	text := os.Getenv("TOCSIN_CLOCK_SKEW")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic("TOCSIN_CLOCK_SKEW: want a duration, such as -10m")
	}
	return d
}

// playedClock is a clock that stands at what the file says that TOCSIN_CLOCK_FILE
// names, an instant in RFC 3339, for tests of weeks; nil without it. The file is to
// be replaced, not written over.
func playedClock() func() time.Time {
	file := os.Getenv("TOCSIN_CLOCK_FILE")
	if file == "" {
		return nil
	}
	return func() time.Time {
		b, err := os.ReadFile(file)
		if err != nil {
			panic("TOCSIN_CLOCK_FILE: " + err.Error())
		}
		t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(b)))
		if err != nil {
			panic("TOCSIN_CLOCK_FILE: want an instant, such as 2026-11-16T00:00:00Z")
		}
		return t
	}
}
