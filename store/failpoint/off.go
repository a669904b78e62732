//go:build !failpoint

// Package failpoint lets tests kill the process at named points of a commit.
// It does nothing in a binary that was built without the tag failpoint.
package failpoint

// FromEnv returns nil: this binary has no failpoints.
func FromEnv() func(point string) { return nil }
