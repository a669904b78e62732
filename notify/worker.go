package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Outbox is the part of the store that notify needs.
type Outbox interface {
	Now() time.Time
	Update(ctx context.Context, changes []incident.Change) error
	Incident(ctx context.Context, name string) (*incident.Incident, error)
	Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]store.Record, string, error)
	Timeline(ctx context.Context, id incident.ID, after uint64, limit int) ([]incident.TimelineEntry, error)
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
	Done(ctx context.Context, l store.Lease) error
	Retry(ctx context.Context, l store.Lease, due time.Time, cause string) error
}

// Muter says what hides messages about an incident.
type Muter interface {
	// Muted is called with the incident as it is now, and with a way to read its
	// alerts that fire.
	Muted(ctx context.Context, i *incident.Incident, now time.Time) (Hidden, bool, error)
}

// Settings are what a Worker works by.
type Settings struct {
	// Integrations are those that can be told, by target.
	Integrations map[string]*Integration
	// Timing is how often a receiver is told of an incident.
	Timing func(i *incident.Incident, receiver string) Timing
	// Links are those of a message; nil makes none.
	Links func(i *incident.Incident, target string) Links
	// Mute hides messages; nil hides none.
	Mute Muter
	// Fallback is the receiver that is told when another one does not answer for
	// FallbackAfter; empty is nobody.
	Fallback      string
	FallbackAfter time.Duration
	// GiveUpAfter is how long a message is tried.
	GiveUpAfter time.Duration
	// Severities, worst first, are the order of the alerts in a message.
	Severities incident.Scale
}

const (
	// atOnce is how many messages one target gets at a time, and atOnceInAll how
	// many are under way.
	atOnce      = 4
	atOnceInAll = 256
)

// Worker tells targets. Its methods may be called from any goroutine.
type Worker struct {
	store    Outbox
	log      *slog.Logger
	settings atomic.Pointer[Settings]
	metrics  metrics
	running  sync.WaitGroup
	wake     func()

	mu       sync.Mutex
	lanes    map[string]*lane
	underWay int
}

// New returns a Worker that tells nobody before Set. It calls wake when a job
// that it gave back is due again soon.
func New(st Outbox, log *slog.Logger, reg prometheus.Registerer, wake func()) *Worker {
	w := &Worker{store: st, log: log.With("component", "notify"), lanes: map[string]*lane{}, wake: wake}
	w.settings.Store(&Settings{})
	w.metrics = newMetrics(reg)
	return w
}

// Set makes s the current settings.
func (w *Worker) Set(s *Settings) {
	w.metrics.prepare(s.Integrations)
	w.settings.Store(s)
}

// Wait returns when all messages that are under way have been handed over.
func (w *Worker) Wait() { w.running.Wait() }

// Take does a claimed job beside all others, or gives it back for later if its
// target is busy. It returns at once. The lease must have just begun.
func (w *Worker) Take(ctx context.Context, l store.Lease) {
	now := w.store.Now()
	s := w.settings.Load()
	in := s.Integrations[l.Target]
	if in == nil {
		w.running.Go(func() { w.unknown(ctx, l) })
		return
	}
	n, wait := w.enter(in, isDigest(l), now)
	if n == nil {
		due := now.Add(wait)
		w.running.Go(func() { w.giveBack(ctx, l, due) })
		return
	}
	w.running.Go(func() { w.inLane(ctx, s, in, n, l) })
}

// unknownAtMost is the longest pause before a target that is not known here is
// looked for again.
const unknownAtMost = time.Minute

// unknown does the job of a target that this gateway's configuration does not
// have. Another gateway may have it, or the next configuration: while the incident
// is open, the job stays.
func (w *Worker) unknown(ctx context.Context, l store.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	open, err := w.stillToTell(ctx, l)
	switch {
	case err == nil && open:
		due := w.store.Now().Add(min(time.Second<<min(l.Attempts, 10), unknownAtMost))
		err = w.store.Retry(ctx, l, due, "this gateway does not know the target")
	case err == nil || errors.Is(err, incident.ErrNotFound):
		err = w.store.Done(ctx, l)
	}
	if err != nil {
		w.log.WarnContext(ctx, "a notification waits for the store", "incident", l.Subject, "target", l.Target, "err", err)
	}
}

// stillToTell reports whether there may be something to tell a target that is not known.
func (w *Worker) stillToTell(ctx context.Context, l store.Lease) (bool, error) {
	if _, ok := noticeKey(l); ok {
		n, err := w.noticeOf(ctx, l.Subject)
		return err == nil && !n.Withdrawn && w.store.Now().Before(n.Until), err
	}
	i, err := w.store.Incident(ctx, l.Subject)
	return err == nil && i.IsOpen(), err
}

// inLane waits for a place on the lane, and then does the job.
func (w *Worker) inLane(ctx context.Context, s *Settings, in *Integration, n *lane, l store.Lease) {
	patience := time.NewTimer(waitTime)
	defer patience.Stop()
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		w.leave(n, 0)
		return // the lease ends by itself
	case <-patience.C:
		w.leave(n, 0)
		w.mu.Lock()
		now := w.store.Now()
		wait := n.back(now, now, n.took/atOnce)
		w.mu.Unlock()
		w.giveBack(ctx, l, now.Add(wait))
		return
	}
	began := time.Now()
	do := w.deliver
	if isDigest(l) {
		do = w.digest
	} else if _, ok := noticeKey(l); ok {
		do = w.notice
	}
	err := do(ctx, s, in, l)
	<-n.slots
	w.leave(n, max(time.Since(began), 1))
	if err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "a notification waits for the store", "incident", l.Subject, "target", l.Target, "err", err)
	}
}

// giveBack gives a job back whose target is busy.
func (w *Worker) giveBack(ctx context.Context, l store.Lease, due time.Time) {
	if wait := due.Sub(w.store.Now()); wait < time.Second {
		defer time.AfterFunc(wait, w.wake) // before the next poll
	}
	w.finish(ctx, l, func(ctx context.Context, l store.Lease) error {
		return w.store.Retry(ctx, l, due, "its turn has not come")
	})
}

func (w *Worker) finish(ctx context.Context, l store.Lease, how func(context.Context, store.Lease) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := how(ctx, l); err != nil {
		w.log.WarnContext(ctx, "a notification waits for the store", "incident", l.Subject, "target", l.Target, "err", err)
	}
}
