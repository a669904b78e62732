package notify

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/tocsin-gateway/tocsin/store"
)

// lane is the way to one target: how many messages are on it, and how fast they
// may follow each other. The Worker's mutex guards it.
type lane struct {
	busy int
	// turned counts the jobs that were given back since the lane had room, so that
	// they come back one after the other.
	turned int
	// took is about how long a message takes.
	took time.Duration
	// held is until when the target asked to be left alone.
	held    time.Time
	limiter *rate.Limiter
	rate    Rate
}

// turnedAtMost is the longest a job is given back for because its target is busy.
const turnedAtMost = time.Minute

// enter takes a place on the lane of an integration, or says for how long to wait.
func (w *Worker) enter(in *Integration, l store.Lease, now time.Time) (free bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.lanes[l.Target]
	if n == nil {
		n = &lane{took: 100 * time.Millisecond}
		w.lanes[l.Target] = n
	}
	if n.rate != in.Rate {
		n.rate, n.limiter = in.Rate, nil
		if in.Rate.Messages > 0 && in.Rate.Per > 0 {
			n.limiter = rate.NewLimiter(rate.Limit(float64(in.Rate.Messages)/in.Rate.Per.Seconds()), in.Rate.Messages)
		}
	}
	later := func(pace time.Duration) (bool, time.Duration) {
		n.turned++
		return false, min(max(time.Duration(n.turned)*pace, 50*time.Millisecond), turnedAtMost)
	}
	switch {
	case n.held.After(now):
		return false, n.held.Sub(now) + time.Duration(n.turned)*10*time.Millisecond
	case (n.busy >= atOnce || w.underWay >= atOnceInAll) && !isDigest(l): // of digests there is one, and much waits for it
		return later(n.took / atOnce)
	case n.limiter != nil && !n.limiter.AllowN(now, 1):
		return later(in.Rate.Per / time.Duration(in.Rate.Messages))
	}
	n.busy++
	n.turned = max(n.turned-1, 0)
	w.underWay++
	return true, 0
}

func (w *Worker) leave(target string, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.lanes[target]
	n.busy--
	n.took = (3*n.took + took) / 4
	w.underWay--
}

// holdLane leaves a target alone until the given time.
func (w *Worker) holdLane(target string, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.lanes[target]; n != nil && until.After(n.held) {
		n.held = until
	}
}
