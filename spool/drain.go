package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tocsin-gateway/tocsin/ingest"
)

const (
	// A round ends with so many requests, or with the one that makes it so many bytes.
	roundRequests = 1000
	roundBytes    = 8 << 20
	// atOnce is how many sources are handed on at a time.
	atOnce = 8
	// tries is how often requests are refused before that is final.
	tries = 3
	// pause is how long is waited after a failure, give or take a quarter.
	pause = 500 * time.Millisecond
	// syncEvery is how often the position is synced. What it has forgotten after a
	// power cut is handed on again.
	syncEvery = time.Second
)

// Drain is where requests go.
type Drain struct {
	// Ready says whether it is worth trying.
	Ready func(context.Context) error
	// Replay returns when all the requests, which are of one source and in its
	// order, are durable. After an error they come again, all of them: for ever if it
	// is ingest.ErrUnavailable, otherwise a few times, the last ones with certain: what
	// is still refused then has to be put somewhere else.
	Replay func(ctx context.Context, requests []ingest.Request, certain bool) error
}

// Run hands on what waits until ctx ends: the requests of a source one after the
// other, those of different sources at the same time.
func (s *Spool) Run(ctx context.Context, d Drain) error {
	r := &running{Spool: s, Drain: d}
	for r.wait(ctx) {
		err := r.once(ctx)
		r.say(ctx, err)
		if err != nil {
			sleep(ctx, pause*3/4+rand.N(pause/2))
		}
	}
	r.sync(0)
	return nil
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// running is what Run remembers.
type running struct {
	*Spool
	Drain
	// round is what is being handed on; nil if the next one is to be read.
	round *round
	// since is when there was something to hand on, zero while there is nothing, and
	// handed how many requests were handed on since.
	since  time.Time
	handed int
	// stuck is what the last failure was, "" if there was none.
	stuck string
	// synced is when the position was synced.
	synced time.Time
}

// wait returns when there is something to hand on; false is the end.
func (r *running) wait(ctx context.Context) bool {
	for r.Len() == 0 {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return false
		}
	}
	if r.since.IsZero() {
		r.since, r.handed = time.Now(), 0
	}
	return ctx.Err() == nil
}

// say logs when a failure begins or changes, and the end of it all.
func (r *running) say(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		text := err.Error()
		if errors.Is(err, ingest.ErrUnavailable) {
			text = ingest.ErrUnavailable.Error() // whatever way it is away today
		}
		if text != r.stuck {
			r.stuck = text
			r.log.WarnContext(ctx, "the spool waits", "entries", r.Len(), "err", err)
		}
	case r.Len() == 0:
		r.log.InfoContext(ctx, "the spool is empty again", "handed_on", r.handed, "took", time.Since(r.since).Round(time.Millisecond))
		r.since, r.stuck = time.Time{}, ""
	default:
		r.stuck = ""
	}
}

// once hands on one round.
func (r *running) once(ctx context.Context) error {
	if err := r.Ready(ctx); err != nil {
		return fmt.Errorf("%w: %w", ingest.ErrUnavailable, err)
	}
	if r.round == nil {
		var err error
		if r.round, err = r.read(); err != nil {
			return err
		}
	}
	if err := r.hand(ctx, r.round); err != nil {
		return err
	}
	r.opts.Failpoint("spool-applied")
	r.mark(r.round)
	r.opts.Failpoint("spool-marked")
	r.handed += r.round.requests
	r.round = nil
	if r.Len() == 0 {
		r.tidy()
	}
	r.sync(syncEvery)
	return nil
}

// hand hands on what of the round is not done yet.
func (r *running) hand(ctx context.Context, round *round) error {
	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, g := range round.groups {
		if g.done {
			continue
		}
		all.Go(func() error {
			err := r.Replay(ctx, g.requests, g.refused >= tries)
			if g.done = err == nil; !g.done && ctx.Err() == nil && !errors.Is(err, ingest.ErrUnavailable) {
				g.refused++
			}
			return err
		})
	}
	return all.Wait()
}

// round is what is read, handed on and marked together.
type round struct {
	groups   []*group
	parts    []part
	requests int
	bytes    int64
}

// group are the requests of one source.
type group struct {
	source   string
	requests []ingest.Request
	done     bool
	// refused is how often they were refused although they could have been taken.
	refused int
}

// part is a part of a segment that was read: n requests, and lost more that are
// not readable any more, up to the given offset.
type part struct {
	segment *segment
	n, lost int
	to      int64
}

func (r *round) full() bool { return r.requests >= roundRequests || r.bytes >= roundBytes }

func (r *round) add(request ingest.Request, size int64) {
	r.requests++
	r.bytes += size
	for _, g := range r.groups {
		if g.source == request.Source {
			g.requests = append(g.requests, request)
			return
		}
	}
	r.groups = append(r.groups, &group{source: request.Source, requests: []ingest.Request{request}})
}

// read reads the next round.
func (s *Spool) read() (*round, error) {
	s.mu.Lock()
	applied := s.position.applied
	now := make([]segment, len(s.segments)) // as they are now
	which := append([]*segment(nil), s.segments...)
	for i, segment := range which {
		now[i] = *segment
	}
	s.mu.Unlock()
	r := &round{}
	for i := range now {
		if now[i].entries == 0 {
			continue // it may not even be there any more
		}
		from := int64(headerSize)
		if now[i].number == applied.segment {
			from = max(from, applied.offset)
		}
		p, gaps, err := r.readSegment(&now[i], from)
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		p.segment = which[i]
		r.parts = append(r.parts, p)
		if p.lost > 0 || gaps > 0 && !now[i].damaged {
			s.unreadable(which[i], gaps, p.lost)
		}
		if r.full() {
			break
		}
	}
	if r.requests > 0 {
		s.mu.Lock()
		s.oldest = r.groups[0].requests[0].ReceivedAt
		s.mu.Unlock()
	}
	return r, nil
}

// readSegment adds what is in a segment from the given offset on, and returns how
// many gaps it saw.
func (r *round) readSegment(s *segment, from int64) (p part, gaps int, err error) {
	file, _, err := openReader(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return part{lost: s.entries, to: s.whole()}, 1, nil // somebody has removed it
	}
	if err != nil {
		return part{}, 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	in := &reader{file: file, number: s.seed, end: s.end}
	for p.to = from; !r.full(); {
		payload, at, to, err := in.next(p.to, nil)
		if at > p.to {
			gaps++
		}
		if err == io.EOF {
			p.lost, p.to = s.entries-p.n, s.whole()
			return p, gaps, nil
		}
		request, err := parsePayload(payload)
		if err == nil {
			p.n++
			r.add(request, int64(len(payload)))
		}
		p.to = to
	}
	return p, gaps, nil
}

// unreadable says that a segment was damaged since it was written or looked at.
func (s *Spool) unreadable(in *segment, gaps, lost int) {
	s.metrics.damaged.Add(float64(gaps))
	s.log.Error("a file of the spool is damaged", "file", in.path, "places", gaps, "lost", lost)
	s.mu.Lock()
	defer s.mu.Unlock()
	in.damaged = true
}

// mark remembers that a round is done with.
func (s *Spool) mark(r *round) {
	s.mu.Lock()
	for _, p := range r.parts {
		p.segment.entries -= p.n + p.lost
		s.entries -= p.n + p.lost
		s.position.applied = place{p.segment.number, p.to}
	}
	for _, g := range r.groups {
		if s.waiting[g.source] -= len(g.requests); s.waiting[g.source] <= 0 {
			delete(s.waiting, g.source)
		}
	}
	if s.entries == 0 {
		clear(s.waiting) // of what was lost it is not known whose it was
	}
	s.metrics.drained.Add(float64(r.requests))
	gone := s.sweep()
	if err := s.position.write(); err != nil {
		s.log.Warn("spool position not written", "err", err)
	}
	s.mu.Unlock()
	s.remove(gone)
}

// sweep takes the segments away, from the first on, that hold nothing any more.
// The caller holds mu, and removes them.
func (s *Spool) sweep() (gone []*segment) {
	for len(s.segments) > 0 && s.segments[0].entries == 0 && !s.segments[0].open {
		first := s.segments[0]
		gone, s.segments = append(gone, first), s.segments[1:]
		s.bytes -= first.size
		if end := (place{first.number, first.whole()}); s.position.applied.less(end) {
			s.position.applied = end
		}
	}
	return gone
}

// remove removes files that hold nothing any more; those that could not be read
// as a whole get another name and are left to people.
func (s *Spool) remove(gone []*segment) {
	if len(gone) == 0 {
		return
	}
	// First, or a power cut could bring back an older position than there are files.
	if err := s.position.file.Sync(); err != nil {
		s.log.Warn("spool position not synced", "err", err)
	}
	for _, segment := range gone {
		var err error
		if segment.damaged {
			kept := strings.TrimSuffix(segment.path, segmentSuffix) + damagedSuffix
			if err = os.Rename(segment.path, kept); err == nil {
				s.log.Error("a damaged file of the spool is kept", "file", kept)
			}
		} else {
			err = os.Remove(segment.path)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("spool segment not removed", "err", err)
		}
	}
}

// tidy removes the last segment too, if nothing waits any more.
func (s *Spool) tidy() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.Len() > 0 {
		return
	}
	if s.current != nil {
		s.leave()
	}
	s.mu.Lock()
	gone := s.sweep()
	s.mu.Unlock()
	s.remove(gone)
}

// sync syncs the position if that is longer ago than the given time.
func (r *running) sync(every time.Duration) {
	now := time.Now()
	if now.Sub(r.synced) < every {
		return
	}
	r.synced = now
	r.mu.Lock()
	position := r.position
	r.mu.Unlock()
	if position == nil {
		return // nothing was ever spooled
	}
	if err := position.file.Sync(); err != nil {
		r.log.Warn("spool position not synced", "err", err)
	}
}
