// Package storetest is the suite that every backend of package store passes:
// what the door promises, whatever stands behind it. A backend calls Run from
// a test of its own. What only some backends can do (be opened again, say what
// a commit cost, show their rows) they offer by the interfaces below; the tests
// that need it are not run without.
package storetest

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store"
)

// Options are what a test asks of a store that it opens.
type Options struct {
	// Now is the store's clock.
	Now func() time.Time
}

// Reopener is a store whose state outlives it.
type Reopener interface {
	// Reopen closes the store and opens one with the same state, which can do what this one can.
	Reopen(t *testing.T) store.Store
}

// Coster is a store that says what its commits cost.
type Coster interface {
	// Costs returns how many rows all Updates so far read and wrote, and the sum
	// of the sizes of both in bytes.
	Costs() (reads, writes, bytes int64)
	// Forget drops what is kept in memory, so that the next Update reads all that it needs.
	Forget()
}

// Dumper is a store that can show everything that it holds.
type Dumper interface {
	Rows(t *testing.T) []Row
}

// Row is something that a store holds.
type Row struct{ Key, Value []byte }

// Run runs the suite. Open is called for each test, and returns a new and empty
// store; it also cares for the store's end.
func Run(t *testing.T, open func(t *testing.T, o Options) store.Store) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"update", updateTests}, {"repeats", repeatTests}, {"generations", generationTests}, {"cost", costTests},
		{"lists", listTests}, {"alerts", alertTests}, {"remove", removeTests},
		{"jobs", jobTests}, {"documents", documentTests}, {"statistics", statisticsTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.tests {
				t.Run(c.name, func(t *testing.T) {
					clock := newClock()
					c.run(&fixture{T: t, Store: open(t, Options{Now: clock.Now}), clock: clock})
				})
			}
		})
	}
}

// test is one test of the suite. Its name is the sentence that it shows.
type test struct {
	name string
	run  func(f *fixture)
}
