package ingest

import (
	"context"
	"fmt"
)

// ownLetters is how many rejected elements of one request get a dead letter of
// their own. The others share one: a sender with one mistake in all its alerts
// must not write a million letters.
const ownLetters = 16

// letterLogPause is how long after a line in the log about a dead letter of a
// source there is no other, in seconds.
const letterLogPause = 10

// letters writes the dead letters of one request.
type letters struct {
	h       *Handler
	source  *source
	request Request
	written int
	// shared gathers the elements beyond ownLetters, up to MaxDeadLetter bytes.
	shared   [][]byte
	bytes, n int
	first    Rejected
}

// whole stores a letter for all of the request.
func (l *letters) whole(ctx context.Context, field, reason string) error {
	return l.store(ctx, DeadLetter{Reason: reason, Field: field, Body: l.request.Body})
}

// all stores what a batch has for dead letters.
func (l *letters) all(ctx context.Context, b Batch) error {
	for _, list := range [][]Rejected{b.Rejected, b.Unparsed} {
		for _, r := range list {
			if err := l.add(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// add stores a letter for a rejected element, or keeps it for the shared one.
func (l *letters) add(ctx context.Context, r Rejected) error {
	if l.source.Format.Wrap == nil {
		if l.n++; l.n == 1 {
			l.first = r
		}
		return nil
	}
	if l.written < ownLetters {
		l.written++
		d := l.alone(r)
		d.Body, d.Elements = l.source.Format.Wrap([][]byte{r.Raw}), 1
		return l.store(ctx, d)
	}
	if l.n++; l.n == 1 {
		l.first = r
	}
	if l.bytes <= MaxDeadLetter {
		l.shared = append(l.shared, r.Raw)
		l.bytes += len(r.Raw) + 1
	}
	return nil
}

// flush stores the shared letter, if there is anything for it.
func (l *letters) flush(ctx context.Context) error {
	if l.n == 0 {
		return nil
	}
	if l.source.Format.Wrap == nil {
		d := DeadLetter{Field: l.first.Field, Reason: l.first.Reason, Body: l.request.Body, Elements: l.n}
		if l.n > 1 {
			d.Reason += fmt.Sprintf(" (the first of %d)", l.n)
		}
		return l.store(ctx, d)
	}
	d := l.alone(l.first)
	d.Body, d.Elements = l.source.Format.Wrap(l.shared), l.n
	d.Reason += fmt.Sprintf(" (the first of %d)", l.n)
	d.Cut = len(l.shared) < l.n
	return l.store(ctx, d)
}

// alone returns a letter in which r is the only element: its place in the body
// it came in is not part of the mistake, and would make another letter of it.
func (l *letters) alone(r Rejected) DeadLetter {
	field := l.source.Format.Place(0) + r.Suffix
	return DeadLetter{Field: field, Reason: field + r.Reason[len(r.Field):]}
}

func (l *letters) store(ctx context.Context, d DeadLetter) error {
	r := &l.request
	d.Source, d.Format, d.ReceivedAt, d.Method, d.Path, d.ContentType = r.Source, r.Format, r.ReceivedAt, r.Method, r.Path, r.ContentType
	d.seal()
	if err := l.h.sink.DeadLetter(ctx, d); err != nil {
		return fmt.Errorf("ingest: dead letter %s: %w", d.ID, err)
	}
	l.source.series.deadLetters.Inc()
	// A sender repeats what is refused every few minutes, and one that is broken
	// has a new mistake in each request: all of them are letters, not all are lines.
	last := l.source.lastLetter.Swap(&d.ID)
	if at := r.ReceivedAt.Unix(); (last == nil || *last != d.ID) && at-l.source.lastLogged.Load() >= letterLogPause {
		l.source.lastLogged.Store(at)
		l.h.log.WarnContext(ctx, "dead letter", "alert_source", d.Source, "letter", d.ID, "reason", d.Reason)
	}
	return nil
}
