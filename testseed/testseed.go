// Package testseed gives the properties of the tests that import it a fixed seed, so
// that they draw the same examples each time. Nothing in it is used by name.
package testseed

import (
	"flag"

	_ "pgregory.net/rapid" // it defines the flag
)

// The flags of the command line are read later, and so are for another seed.
func init() {
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" { // RAPID_SEED says nothing either
		if err := f.Value.Set("1"); err != nil {
			panic(err) // unreachable: it is a number
		}
	}
}
