//go:build failpoint

package main

import (
	"os"
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
