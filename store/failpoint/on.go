//go:build failpoint

// Package failpoint lets tests kill the process at named points of a commit.
// This binary was built with the tag failpoint; do not ship it.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// FromEnv reads TOCSIN_FAILPOINT, such as before-commit:12, and returns what
// kills the process the 12th time that point is reached; nil without it.
func FromEnv() func(point string) {
	name, count, _ := strings.Cut(os.Getenv("TOCSIN_FAILPOINT"), ":")
	if name == "" {
		return nil
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		panic("TOCSIN_FAILPOINT: want POINT:N, such as before-commit:12")
	}
	var left atomic.Int64
	left.Store(n)
	return func(point string) {
		if point == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
}
