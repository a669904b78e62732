package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// maxInflight is how many bytes may wait to be written, besides a first request:
// a disk that does not answer must not take the memory too.
const maxInflight = 256 << 20

// writeBuffer gathers small records, in bytes.
const writeBuffer = 256 << 10

// batch are requests that are written, and synced, together.
type batch struct {
	records []*record
	size    int64
	// done is closed when err says what became of them.
	done chan struct{}
	err  error
}

// Append returns when the request is durable. After an error it may be durable
// or not: to send it again does no harm. When ctx ends first, its end is the error.
func (s *Spool) Append(ctx context.Context, r ingest.Request) error {
	record := newRecord(r)
	b, first, err := s.join(record)
	if err != nil {
		return err
	}
	if first {
		s.commit(b)
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("spool: the disk does not answer: %w", context.Cause(ctx))
	}
}

// join adds a record to the batch that is written next. First says that the
// caller has to commit it.
func (s *Spool) join(r *record) (b *batch, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+s.inflight+r.size()+headerSize > int64(s.opts.MaxSize) {
		s.metrics.full.Inc()
		s.failed(ErrFull)
		return nil, false, fmt.Errorf("%w: max_size is %v", ErrFull, s.opts.MaxSize)
	}
	if s.inflight > 0 && s.inflight+r.size() > maxInflight {
		return nil, false, errors.New("spool: too much waits for the disk")
	}
	if first = s.batch == nil; first {
		s.batch = &batch{done: make(chan struct{})}
	}
	b = s.batch
	b.records, b.size = append(b.records, r), b.size+r.size()
	s.inflight += r.size()
	return b, first, nil
}

// commit waits until the batch before is written, and all that comes meanwhile
// joins this one: one sync serves all of them.
func (s *Spool) commit(b *batch) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.batch = nil
	s.mu.Unlock()
	err := s.write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inflight -= b.size
	if err != nil {
		if isFull(err) {
			s.metrics.full.Add(float64(len(b.records)))
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		b.err = fmt.Errorf("spool: append: %w", err)
		s.failed(b.err)
	} else {
		s.written(b)
	}
	close(b.done)
}

// written counts what is durable now. The caller holds writing and mu.
func (s *Spool) written(b *batch) {
	in := s.current.segment
	in.end += b.size
	in.size += b.size
	s.bytes += b.size
	for _, r := range b.records {
		s.arrived(in, r.source, r.at)
	}
	s.metrics.appended.Add(float64(len(b.records)))
	s.position.kept = place{in.number, in.end}
	// Without it a file that is cut short could not be told from one that was
	// never longer; it is a hint, and the next batch writes it again.
	if err := s.position.write(); err != nil {
		s.log.Warn("spool position not written", "err", err)
	}
	if s.failing {
		s.failing = false
		s.log.Info("the spool takes requests again")
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// failed says the first time that nothing is kept. The caller holds mu.
func (s *Spool) failed(err error) {
	if !s.failing {
		s.failing = true
		s.log.Error("the spool takes no requests", "entries", s.entries, "bytes", s.bytes, "err", err)
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// writer is the segment that is appended to.
type writer struct {
	*segment
	file *os.File
}

// write writes and syncs a batch. After an error the file is not touched again:
// what a sync failed for may be lost although the next one succeeds.
func (s *Spool) write(b *batch) error {
	if err := s.prepare(); err != nil {
		return err
	}
	if s.current != nil && s.current.end >= s.segmentSize {
		s.leave()
	}
	if s.current == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	err := s.put(b)
	if err != nil {
		s.abandon()
	}
	return err
}

func (s *Spool) put(b *batch) error {
	w := s.buffer
	w.Reset(s.disk.writer(s.current.file))
	for _, r := range b.records {
		frame := r.frame(s.current.number)
		for _, part := range [...][]byte{frame[:], r.meta, r.body} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.opts.Failpoint("spool-before-sync")
	if err := s.disk.sync(s.current.file); err != nil {
		return err
	}
	s.opts.Failpoint("spool-after-sync")
	return nil
}

// begin makes the next segment. It is durable, and so is its name, before
// anything is written into it.
func (s *Spool) begin() error {
	s.last++
	h := header{number: s.last, before: s.behind}
	path := filepath.Join(s.opts.Dir, segmentName(s.last))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = s.disk.writer(file).Write(h.bytes())
	if err == nil {
		err = s.disk.sync(file)
	}
	if err == nil {
		err = syncDir(s.opts.Dir)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(path))
	}
	s.current = &writer{segment: &segment{number: s.last, seed: s.last, path: path, size: headerSize, end: headerSize, open: true}, file: file}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, s.current.segment)
	s.bytes += headerSize
	return nil
}

// leave closes the current segment; the next batch begins another one.
func (s *Spool) leave() {
	s.behind = place{s.current.number, s.current.end}
	s.mu.Lock()
	s.current.open = false
	s.mu.Unlock()
	if err := s.current.file.Close(); err != nil {
		s.log.Warn("spool segment not closed", "file", s.current.path, "err", err)
	}
	s.current = nil
}

// abandon closes the current segment after an error. What was not acknowledged
// only takes space, so it is cut off if that is still possible.
func (s *Spool) abandon() {
	failed, behind := s.current, s.behind
	if err := failed.file.Truncate(failed.end); err != nil {
		s.log.Warn("spool segment not cut", "file", failed.path, "err", err)
	}
	s.leave()
	if failed.end > headerSize {
		return
	}
	s.behind = behind // nothing was acknowledged in it
	s.mu.Lock()
	s.segments = s.segments[:len(s.segments)-1]
	s.bytes -= failed.size
	s.mu.Unlock()
	if err := os.Remove(failed.path); err != nil {
		s.log.Warn("spool segment not removed", "file", failed.path, "err", err)
	}
}

// disk is how files are written and synced; tests let it fail.
type disk struct {
	writer func(*os.File) io.Writer
	sync   func(*os.File) error
}

var realDisk = disk{writer: func(f *os.File) io.Writer { return f }, sync: (*os.File).Sync}
