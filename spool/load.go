package spool

import (
	"errors"
	"os"
	"path/filepath"
)

// segmentsIn returns the numbers of the segments in a folder, in order.
func segmentsIn(dir string) ([]uint64, error) {
	files, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, f := range files {
		if number, ok := parseName(f.Name()); ok && f.Type().IsRegular() {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

// loading is the reading of what an earlier run has left.
type loading struct {
	*Spool
	// known says that the position is one: what is missing behind it was never
	// acknowledged.
	known   bool
	numbers []uint64
	headers []*header // nil where it cannot be read
}

// load reads the folder. The caller holds writing.
func (s *Spool) load(p *position, known bool) error {
	numbers, err := segmentsIn(s.opts.Dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = p
	l := &loading{Spool: s, known: known, numbers: numbers, headers: make([]*header, len(numbers))}
	if !known {
		s.log.Warn("the position of the spool cannot be read, what is in it is applied from its beginning", "file", p.file.Name())
	}
	if err := l.all(); err != nil {
		l.forget()
		return err
	}
	if s.entries > 0 {
		s.log.Info("requests of an earlier run wait in the spool", "entries", s.entries, "bytes", s.bytes)
		s.wake <- struct{}{} // there is room: nothing was appended yet
	}
	s.remove(s.sweep())
	return nil
}

// forget takes back what was read before an error.
func (l *loading) forget() {
	l.segments, l.bytes, l.entries, l.position = nil, 0, 0, nil
	clear(l.waiting)
}

func (l *loading) all() error {
	for i, number := range l.numbers {
		h, err := readHeader(l.path(number))
		if err != nil && !errors.Is(err, errDamaged) {
			return &os.PathError{Op: "read", Path: l.path(number), Err: err}
		}
		if err == nil {
			l.headers[i] = &h
		}
	}
	for i := range l.numbers {
		if err := l.one(i); err != nil {
			return err
		}
	}
	kept := l.position.kept
	l.missing(kept)
	l.last, l.behind = max(kept.segment, l.position.applied.segment), kept
	if n := len(l.segments); n > 0 {
		newest := l.segments[n-1]
		l.last, l.behind = max(l.last, newest.number), place{newest.number, newest.whole()}
	}
	return nil
}

func (l *loading) path(number uint64) string {
	return filepath.Join(l.opts.Dir, segmentName(number))
}

// acknowledged returns how much of the i-th segment was acknowledged. Sure says
// that what follows it was not; otherwise there may be more.
func (l *loading) acknowledged(i int, size int64) (end int64, sure bool) {
	number := l.numbers[i]
	if i+1 < len(l.numbers) {
		if next := l.headers[i+1]; next != nil && next.before.segment == number {
			return next.before.offset, true
		}
		return size, false
	}
	switch kept := l.position.kept; {
	case kept.segment == number:
		return kept.offset, false // the file may have been synced later than the position
	case l.known && kept.segment < number:
		return 0, false // it was just begun
	}
	return size, false
}

// one reads the i-th segment.
func (l *loading) one(i int) error {
	number, applied := l.numbers[i], l.position.applied
	if h := l.headers[i]; h != nil {
		l.missing(h.before)
	}
	file, size, err := openReader(l.path(number))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	end, sure := l.acknowledged(i, size)
	r := &reader{file: file, number: number, end: size}
	if sure {
		r.end = min(end, size)
	}
	s := &segment{number: number, path: l.path(number), size: size, acknowledged: end}
	if l.headers[i] != nil {
		s.end = headerSize
	}
	l.segments = append(l.segments, s)
	l.bytes += size
	_, gaps, err := r.scan(func(f found) {
		s.end = f.to
		if at := (place{number, f.from}); !at.less(applied) {
			l.arrived(s, f.source, f.at)
		}
	})
	if err != nil {
		return err // unreachable: the header was read before
	}
	s.seed = r.number
	if end > size {
		gaps = append(gaps, gap{size, end})
	}
	var places, bytes int64
	for _, g := range gaps {
		if g.from >= s.end && g.from >= end {
			// The last write of a process that was killed, before it was synced.
			l.log.Info("the last write of the spool was not finished and is left out", "file", s.path, "bytes", g.to-g.from)
			continue
		}
		s.damaged = true
		if at := (place{number, g.to}); applied.less(at) {
			places, bytes = places+1, bytes+g.to-g.from
		}
	}
	if places > 0 {
		l.metrics.damaged.Add(float64(places))
		l.log.Error("a file of the spool is damaged", "file", s.path, "places", places, "bytes", bytes, "readable", s.entries)
	}
	return nil
}

// missing says that the segment that ended at p is not there, if that is so and
// not all in it was applied as far as is known.
func (l *loading) missing(p place) {
	if !l.known || p.segment == 0 || !l.position.applied.less(p) {
		return
	}
	for _, number := range l.numbers {
		if number == p.segment {
			return
		}
	}
	l.metrics.damaged.Inc()
	l.log.Error("a file of the spool is missing", "file", l.path(p.segment), "bytes", p.offset)
}

// readHeader reads the header of a segment. Its error is errDamaged, or one
// that nothing can be done about here.
func readHeader(path string) (header, error) {
	file, size, err := openReader(path)
	if err != nil {
		return header{}, err
	}
	r := reader{file: file, end: size}
	h, err := r.header()
	return h, errors.Join(err, file.Close())
}
