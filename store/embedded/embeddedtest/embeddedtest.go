// Package embeddedtest is for tests that need a store, whichever it is.
package embeddedtest

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// Open returns a store in memory, which is closed when the test ends.
func Open(t testing.TB, o embedded.Options) *embedded.Store {
	t.Helper()
	st, err := embedded.Open("mem:", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}
