package notify

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

// lane is the way to one target: how many messages are on it, and how fast they
// may follow each other. The Worker's mutex guards it.
type lane struct {
	// slots is full of those that are being sent; others wait for a place.
	slots   chan struct{}
	waiting int
	// took is about how long a message takes.
	took time.Duration
	// next is when the next job that is given back comes again, so that they come
	// one after the other.
	next time.Time
	// held is until when the target asked to be left alone.
	held    time.Time
	limiter *rate.Limiter
	rate    Rate
}

const (
	// waitingAtMost is how many jobs wait for a place on a lane, and waitTime for how
	// long; the others are given back.
	waitingAtMost = 64
	waitTime      = 4 * time.Second
	// backAtMost is the longest a job is given back for because its target is busy.
	backAtMost = time.Minute
	// tookAtFirst is how long a message takes before one was sent.
	tookAtFirst = 50 * time.Millisecond
)

// lane returns the lane of an integration.
func (w *Worker) lane(in *Integration) *lane {
	target := in.Target()
	n := w.lanes[target]
	if n == nil {
		n = &lane{slots: make(chan struct{}, atOnce), took: tookAtFirst}
		w.lanes[target] = n
	}
	if n.rate != in.Rate {
		n.rate, n.limiter = in.Rate, nil
		if in.Rate.Messages > 0 && in.Rate.Per > 0 {
			n.limiter = rate.NewLimiter(rate.Limit(float64(in.Rate.Messages)/in.Rate.Per.Seconds()), in.Rate.Messages)
		}
	}
	return n
}

// enter lets a job wait for a place on the lane of an integration, or says for
// how long it is given back.
func (w *Worker) enter(in *Integration, digest bool, now time.Time) (n *lane, back time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = w.lane(in)
	switch {
	case n.held.After(now):
		return nil, n.back(now, n.held, n.took/atOnce)
	case digest: // there is one, and much waits for it
	case n.waiting >= waitingAtMost || w.underWay >= atOnceInAll && n.waiting >= atOnce: // each target has its places, whatever others do
		return nil, n.back(now, now, n.took/atOnce)
	}
	n.waiting++
	w.underWay++
	return n, 0
}

// pace says whether a message may go out now, as the integration's rate has it, or
// for how long its job is given back.
func (w *Worker) pace(in *Integration, now time.Time) (free bool, back time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.lane(in)
	if n.limiter == nil || n.limiter.AllowN(now, 1) {
		return true, 0
	}
	return false, n.back(now, now, in.Rate.Per/time.Duration(in.Rate.Messages))
}

// back is for how long a job is given back: until the time from which there may
// be room, and behind those that were given back before it.
func (n *lane) back(now, from time.Time, pace time.Duration) time.Duration {
	if n.next.Before(from) {
		n.next = from
	}
	n.next = n.next.Add(max(pace, time.Millisecond))
	wait := n.next.Sub(now)
	if longest := backAtMost + from.Sub(now); wait > longest {
		n.next = now.Add(longest)
		wait = longest/2 + rand.N(longest/2) // too many to stand in line
	}
	return wait
}

// leave gives the place back. Took is how long the message took, 0 if there was none.
func (w *Worker) leave(n *lane, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.waiting--
	w.underWay--
	if took > 0 {
		n.took = (3*n.took + took) / 4
	}
}

// hold leaves a target alone until the given time.
func (w *Worker) hold(in *Integration, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.lane(in); until.After(n.held) {
		n.held = until
	}
}
