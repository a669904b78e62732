package recorder

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"
)

const (
	// scanLimit is how much is decompressed for a page of a list, in bytes: behind
	// it the page ends, whatever is on it.
	scanLimit = 64 << 20
	// lookCost is what it costs to look at a block, in the same bytes.
	lookCost = 128
)

// Query says which recordings a list is to have.
type Query struct {
	// Source is their source; empty means any.
	Source string
	// From and To bound when they were received: From ≤ received < To.
	From, To time.Time
	// Limit is how many there may be, 1 or more.
	Limit  int
	Cursor string
}

// matches reports whether a recording is one of them.
func (q *Query) matches(r *Recording) bool {
	return (q.Source == "" || q.Source == r.Source) && !r.ReceivedAt.Before(q.From) && (q.To.IsZero() || r.ReceivedAt.Before(q.To))
}

// touches reports whether there may be one of them in the span.
func (q *Query) touches(s span) bool {
	return (q.Source == "" || s.sources&sourceBit(q.Source) != 0) &&
		!time.Unix(0, s.latest).Before(q.From) && (q.To.IsZero() || time.Unix(0, s.earliest).Before(q.To))
}

// List returns what was recorded, the newest first and without bodies, and the
// cursor of the next page, which is empty after the last one; a page may be
// shorter than asked for and still not be the last. What is recorded meanwhile
// is on none of the pages that follow. It may take a second until something that was
// recorded is there.
func (r *Recorder) List(ctx context.Context, q Query) (found []Recording, next string, err error) {
	l := &listing{Recorder: r, q: q, before: math.MaxUint64, left: scanLimit}
	if q.Cursor != "" {
		var ok bool
		if l.before, ok = parseNumber(q.Cursor); !ok {
			return nil, "", ErrCursor
		}
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	for _, s := range slices.Backward(r.views()) {
		if s.number >= l.before || s.span.sources != 0 && !q.touches(s.span) {
			continue
		}
		if err := l.segment(ctx, s); err != nil {
			return nil, "", err
		}
		if l.next != "" {
			break
		}
	}
	return l.found, l.next, nil
}

// listing is a page that is being made.
type listing struct {
	*Recorder
	q      Query
	before uint64
	left   int64
	found  []Recording
	next   string // when the page is full
}

// segment adds what is in a segment to the page.
func (l *listing) segment(ctx context.Context, v view) error {
	if l.left <= 0 {
		l.next = formatNumber(v.past)
		return nil
	}
	return l.open(v, func(rd *reader, blocks []block) error {
		l.left -= int64(len(blocks)) * lookCost
		for _, b := range slices.Backward(blocks) {
			if b.first >= l.before || !l.q.touches(b.span) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if l.left <= 0 && l.before > b.end() {
				l.next = formatNumber(b.end())
				return nil
			}
			l.left -= int64(b.raw)
			if l.block(l.read(v, rd, &b)); l.next != "" {
				return nil
			}
		}
		return nil
	})
}

// block adds what is in a block to the page.
func (l *listing) block(records []Recording) {
	for i := range slices.Backward(records) {
		r := &records[i]
		if r.number >= l.before || !l.q.matches(r) {
			continue
		}
		if n := len(l.found); n > 0 && n >= l.q.Limit {
			l.next = l.found[n-1].ID()
			return
		}
		kept := *r
		kept.Body = nil // it would keep all of the block in memory
		l.found = append(l.found, kept)
	}
}

// Get returns a recording with its body, or ErrNotFound.
func (r *Recorder) Get(ctx context.Context, id string) (Recording, error) {
	number, ok := parseNumber(id)
	if !ok {
		return Recording{}, ErrNotFound
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if err := ctx.Err(); err != nil {
		return Recording{}, err
	}
	views := r.views()
	i, exact := slices.BinarySearchFunc(views, number, func(v view, n uint64) int { return cmp.Compare(v.number, n) })
	if !exact {
		i--
	}
	if i < 0 {
		return Recording{}, ErrNotFound
	}
	found, err := Recording{}, ErrNotFound
	if failed := r.open(views[i], func(rd *reader, blocks []block) error {
		for _, b := range blocks {
			if number < b.first || number >= b.end() {
				continue
			}
			if records := r.read(views[i], rd, &b); records != nil {
				found, err = records[number-b.first], nil
			}
		}
		return nil
	}); failed != nil {
		err = failed
	}
	return found, err
}

// view is what is read of a segment, while it may grow or be removed.
type view struct {
	*segment // only what does not change
	end      int64
	span     span
	// past is behind the numbers of all records in it.
	past uint64
}

// views returns the segments as they are now.
func (r *Recorder) views() []view {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]view, len(r.segments))
	for i, s := range r.segments {
		out[i] = view{s, s.end, s.span, math.MaxUint64}
		if i > 0 {
			out[i-1].past = s.number
		}
	}
	return out
}

// open calls visit with what is in a segment; if that was removed it is not called.
// What cannot be read is counted.
func (r *Recorder) open(v view, visit func(*reader, []block) error) error {
	file, err := os.Open(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	rd := &reader{file, v.number, v.end}
	blocks, gaps, err := rd.blocks()
	if err != nil {
		return err // unreachable: Open has read it, or we wrote it
	}
	var all span
	for i := range blocks {
		all.add(blocks[i].span)
	}
	r.mu.Lock()
	if v.segment.span.sources == 0 && v.segment.end == v.end {
		v.segment.span = all
	}
	r.mu.Unlock()
	for _, g := range gaps {
		r.damage(v.segment, g.from)
	}
	return visit(rd, blocks)
}

// read returns the records of a block, nil if it is damaged.
func (r *Recorder) read(v view, rd *reader, b *block) []Recording {
	records, err := rd.records(b, r.decoder)
	if err != nil {
		r.damage(v.segment, b.at)
		return nil
	}
	return records
}

// damage counts a place that cannot be read, and logs the first of a segment.
func (r *Recorder) damage(s *segment, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.damaged[at] {
		return
	}
	if s.damaged == nil {
		s.damaged = map[int64]bool{}
		r.log.Error("a file of the recorder is damaged", "file", s.path, "at", at)
	}
	s.damaged[at] = true
	r.metrics.damaged.Inc()
}
