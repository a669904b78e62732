// Package testbubble runs tests on the virtual time of testing/synctest, also with the
// race detector, which crashes there with Go 1.26: https://go.dev/issue/78156
package testbubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test. With the race detector, the program runs one goroutine at a
// time until f is done: the runtime gives all timers of a bubble one context of the
// detector, and two goroutines whose timers fire at the same instant corrupt it
// (SIGSEGV, or "ThreadSanitizer: CHECK failed"). What races is still found, as it goes
// by what happens before what.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if race {
		one.enter()
		defer one.leave()
	}
	synctest.Test(t, f)
}

var one processor

// processor is the only one while somebody is in.
type processor struct {
	mu     sync.Mutex
	in     int // guarded by mu
	before int // guarded by mu; how many there were
}

func (p *processor) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in++; p.in == 1 {
		p.before = runtime.GOMAXPROCS(1)
	}
}

func (p *processor) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in--; p.in == 0 {
		runtime.GOMAXPROCS(p.before)
	}
}
