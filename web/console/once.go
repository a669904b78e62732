package console

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"
)

const (
	// onceKept is how many forms that were sent are remembered, and onceFor for how long.
	onceKept = 1000
	onceFor  = 10 * time.Minute
	// onceLimit is how long the id of a form may be in bytes; one of ours is shorter.
	onceLimit = 64
)

// once remembers which forms were sent, so that a second press of a button does
// nothing. It knows those of this process only; what goes to another gateway of the
// same store finds that the API has done what a form with this id says (see callOnce).
type once struct {
	now func() time.Time

	mu   sync.Mutex
	sent map[string]*sending
	// order are the ids in sent, the oldest first.
	order []string
}

// sending is a form that is on its way, or arrived.
type sending struct {
	at time.Time
	// over is closed when it is known whether it was done.
	over chan struct{}
	done bool
}

func newOnces(now func() time.Time) *once { return &once{now: now, sent: map[string]*sending{}} }

// newOnce returns an id for a form. It cannot be guessed.
func newOnce() string { return rand.Text() }

// onceID reports whether an id may be one of newOnce; only a form that was written by
// hand has another, which the API might refuse.
func onceID(id string) bool {
	return id != "" && len(id) <= onceLimit && !strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') })
}

// begin reports whether the form with this id was done already; it waits for one that
// is on its way. If it was not, the caller does it and calls end with whether it was
// done, and what was not may be sent again.
func (o *once) begin(ctx context.Context, id string) (done bool, end func(done bool)) {
	if id == "" || len(id) > onceLimit { // it is none of ours
		return false, func(bool) {}
	}
	for {
		o.mu.Lock()
		s := o.sent[id]
		if s == nil {
			s = &sending{at: o.now(), over: make(chan struct{})}
			o.sent[id], o.order = s, append(o.order, id)
			o.forget()
			o.mu.Unlock()
			return false, func(done bool) { o.end(id, s, done) }
		}
		o.mu.Unlock()
		select {
		case <-s.over:
		case <-ctx.Done():
			return true, nil
		}
		if s.done {
			return true, nil
		}
	}
}

func (o *once) end(id string, s *sending, done bool) {
	o.mu.Lock()
	if s.done = done; !done && o.sent[id] == s {
		delete(o.sent, id)
	}
	o.mu.Unlock()
	close(s.over)
}

// forget removes what is too old, or too much. The caller holds mu.
func (o *once) forget() {
	for len(o.order) > 0 {
		s := o.sent[o.order[0]]
		if s != nil && len(o.order) <= onceKept && o.now().Sub(s.at) < onceFor {
			return
		}
		delete(o.sent, o.order[0])
		o.order = o.order[1:]
	}
}
