package testbubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestManyTimersAtOnce: with the race detector and two processors, synctest.Test ends
// the whole program here.
func TestManyTimersAtOnce(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	Test(t, func(t *testing.T) {
		began := time.Now()
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for range 2000 {
					time.Sleep(time.Second)
					<-tick.C
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if got := time.Since(began); got != 2000*time.Second {
			t.Errorf("the bubble took %v of its time, want 2000s", got)
		}
	})
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors after it, want %d as before", got, before)
	}
}

// TestProcessors: it is one until the last one leaves.
func TestProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	runtime.GOMAXPROCS(3)
	var p processor
	for _, c := range []struct {
		do   func()
		want int
	}{{p.enter, 1}, {p.enter, 1}, {p.leave, 1}, {p.leave, 3}, {p.enter, 1}, {p.leave, 3}} {
		if c.do(); runtime.GOMAXPROCS(0) != c.want {
			t.Errorf("got %d processors, want %d", runtime.GOMAXPROCS(0), c.want)
		}
	}
}
