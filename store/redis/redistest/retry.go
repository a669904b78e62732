package redistest

import (
	"slices"
	"strings"
	"testing"
)

// tries is how often Retry does something.
const tries = 6

// late are parts of what is said where a server has not answered in time.
var late = []string{"in time", "i/o timeout", "deadline exceeded", "pool timeout", "too slow", "has not answered"}

// Retry does what is otherwise tried once, such as to open a store, and does it
// again if it fails because the server did not answer in time: a busy machine may
// give it none for half a second. It returns the last error.
func Retry(t testing.TB, do func() error) (err error) {
	t.Helper()
	for range tries {
		if err = do(); err == nil || !slices.ContainsFunc(late, func(part string) bool { return strings.Contains(err.Error(), part) }) {
			return err
		}
		t.Logf("not in time: %v", err)
	}
	return err
}
