package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"

	"github.com/tocsin-gateway/tocsin/testbubble"
)

type notifierFunc func(ctx context.Context) error

func (f notifierFunc) Notify(ctx context.Context, _ ...*amalert.Alert) (bool, error) {
	return false, f(ctx)
}

// calling is a caller of f, with how often its notifier was made.
func calling(t *testing.T, f notifierFunc) (*caller, *int) {
	t.Helper()
	built := 0
	c, err := newCaller(func() (*instance, error) {
		built++
		i := newInstance(nil)
		i.notifier = f
		return i, nil
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c, &built
}

// TestStuck: a call that never comes back does not hold up the next one, and there
// are only so many of them.
func TestStuck(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := true
		c, built := calling(t, func(context.Context) error {
			if stuck {
				<-release
			}
			return nil
		})
		for n := range strayAtMost {
			began := time.Now()
			err := c.call(t.Context(), nil)
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != callTime+grace {
				t.Fatalf("call %d: got %v after %s", n, err, took)
			}
		}
		if *built != strayAtMost {
			t.Errorf("%d notifiers were made, want a new one after each that is stuck", *built)
		}
		began := time.Now()
		if err := c.call(t.Context(), nil); !errors.Is(err, errStray) || time.Since(began) != 0 {
			t.Errorf("got %v after %s, want a refusal at once", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
		stuck = false
		if err := c.call(t.Context(), nil); err != nil {
			t.Errorf("after they came back: %v", err)
		}
	})
}

// TestStuckBehind: who waits for a call gives up with its own context.
func TestStuckBehind(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		c, _ := calling(t, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		first := make(chan error, 1)
		go func() { first <- c.call(t.Context(), nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.call(ctx, nil); !errors.Is(err, errBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first: got %v", err)
		}
	})
}

// TestToldAtTheLastMoment: what comes back in time to say that people were told
// is believed.
func TestToldAtTheLastMoment(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		c, _ := calling(t, func(context.Context) error {
			time.Sleep(callTime + grace/2)
			return nil
		})
		if err := c.call(t.Context(), nil); err != nil {
			t.Errorf("got %v", err)
		}
		if c.instance != nil {
			t.Error("its connections are closed, and it is used again")
		}
	})
}

func TestNotifierIsMadeAnew(t *testing.T) {
	for _, c := range []struct {
		err  error
		anew bool
	}{
		{nil, false},
		{errors.New("unexpected status code 503: x"), false},
		{errors.New("telegram: Unauthorized (401)"), false},
		{errors.New("invalid access_token"), true},
		{fmt.Errorf("dial: %w", errors.New("connection refused")), true},
	} {
		call, built := calling(t, func(context.Context) error { return c.err })
		for range 2 {
			if err := call.call(t.Context(), nil); !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
		}
		if anew := *built == 2; anew != c.anew {
			t.Errorf("%v: made anew: %v, want %v", c.err, anew, c.anew)
		}
	}
	panics, built := calling(t, func(context.Context) error { panic("oh") })
	for range 2 {
		if err := panics.call(t.Context(), nil); !errors.As(err, &panicked{}) {
			t.Errorf("got %v", err)
		}
	}
	if *built != 2 {
		t.Errorf("after a panic it was made %d times", *built)
	}
}
