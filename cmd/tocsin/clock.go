//go:build !failpoint

package main

import "time"

// clockSkew is 0: only in a binary with failpoints is the clock wrong on purpose.
func clockSkew() time.Duration { return 0 }

// playedClock is nil: only in a binary with failpoints can the time be played.
func playedClock() func() time.Time { return nil }
