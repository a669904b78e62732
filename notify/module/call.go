package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
)

const (
	// callTime is the longest that a call may take, and grace how long it then has to
	// come back. Together they are shorter than a worker waits.
	callTime = 10 * time.Second
	grace    = time.Second
	// strayAtMost is how many calls of one integration may be left behind before it
	// makes no more of them.
	strayAtMost = 8
)

var (
	errBusy  = errors.New("the message before it is still under way")
	errStray = fmt.Errorf("%d calls have not come back, so there are no more of them", strayAtMost)
)

// panicked is what a notifier of the module panicked with.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("the module's notifier panics: %v", p.value) }

// caller calls a notifier of the module, one call at a time: some of them keep
// state that they do not guard.
type caller struct {
	// build makes the notifier, again after a call did not come back.
	build func() (*instance, error)
	log   *slog.Logger
	// slot has room for the one call; whoever holds it owns instance.
	slot     chan struct{}
	instance *instance
	// out counts the calls under way with those that were left behind.
	out atomic.Int32
}

func newCaller(build func() (*instance, error), log *slog.Logger) (*caller, error) {
	first, err := build()
	if err != nil {
		return nil, err
	}
	return &caller{build: build, log: log, slot: make(chan struct{}, 1), instance: first}, nil
}

// call calls the notifier and returns its error. It comes back soon after ctx ends.
func (c *caller) call(ctx context.Context, alerts []*amalert.Alert) error {
	select {
	case c.slot <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errBusy, ctx.Err())
	}
	defer func() { <-c.slot }()
	if c.out.Load() >= strayAtMost {
		return errStray
	}
	if c.instance == nil {
		i, err := c.build()
		if err != nil {
			return err
		}
		c.instance = i
	}
	err := c.watched(ctx, c.instance, alerts)
	if spoilt(c.instance, err) {
		c.instance.kill()
		c.instance = nil
	}
	return err
}

// watched waits for the call as long as it may take. A notifier that ignores its
// context, as Telegram's does, comes back when its connections are closed; one that
// does not even then is left behind with what it holds.
func (c *caller) watched(ctx context.Context, i *instance, alerts []*amalert.Alert) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	done := make(chan error, 1)
	c.out.Add(1)
	go func() {
		defer c.out.Add(-1)
		done <- guarded(ctx, i.notifier, alerts)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	i.kill()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return err
	case <-timer.C:
		c.log.ErrorContext(ctx, "a notifier does not come back and is left behind", "calls", c.out.Load())
		return fmt.Errorf("%w: %w", errLeftBehind, ctx.Err())
	}
}

// guarded turns a panic into an error.
func guarded(ctx context.Context, n notifier, alerts []*amalert.Alert) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	_, err = n.Notify(ctx, alerts...) // what to do next is read from the error
	return err
}

// spoilt reports whether a notifier is not used again after what it returned: it
// may still be running, or hold something that it should not, such as a token that
// its tool has forgotten.
func spoilt(i *instance, err error) bool {
	return i.dead() || err != nil && statusOf(err) == 0
}
