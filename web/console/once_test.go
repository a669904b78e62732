package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/testbubble"
)

// TestOnce: what was done is not done again for some time, what was not may be, and a
// second press waits for the first.
func TestOnce(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		o := newOnces(time.Now)
		done, end := o.begin(ctx, "a")
		if done {
			t.Fatal("the first is done already")
		}
		second := make(chan bool)
		go func() {
			done, _ := o.begin(ctx, "a")
			second <- done
		}()
		synctest.Wait()
		select {
		case <-second:
			t.Fatal("the second does not wait for the first")
		default:
		}
		end(true)
		if !<-second {
			t.Error("the second does it again")
		}
		if done, end = o.begin(ctx, "b"); done {
			t.Error("another form is done already")
		}
		end(false)
		if done, end = o.begin(ctx, "b"); done {
			t.Error("what was not done cannot be sent again")
		}
		end(true)
		stopped, stop := context.WithCancel(ctx)
		stop()
		_, end = o.begin(ctx, "c")
		if done, _ = o.begin(stopped, "c"); !done {
			t.Error("who went away does it")
		}
		end(true)
		if done, end = o.begin(ctx, strings.Repeat("x", onceLimit+1)); done {
			t.Error("what is no id is done already")
		}
		end(true)
		if len(o.sent) != 3 || len(newOnce()) > onceLimit {
			t.Errorf("remembers %d forms, want 3", len(o.sent))
		}
		time.Sleep(onceFor)
		for n := range onceKept {
			_, end := o.begin(ctx, fmt.Sprint(n))
			end(true)
		}
		if len(o.sent) != onceKept || len(o.order) != onceKept {
			t.Errorf("remembers %d, %d; want the latest %d", len(o.sent), len(o.order), onceKept)
		}
		if done, _ := o.begin(ctx, "a"); done {
			t.Error("it is remembered for too long")
		}
	})
}
