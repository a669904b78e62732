package recorder

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// A block is written when its records are so long, or after flushEvery.
	blockSize  = 256 << 10
	flushEvery = time.Second
	// A segment ends when it is so large, in bytes, or so old; or when it is a
	// sixteenth of what there may be, or an eighth as old: only whole segments are
	// removed.
	largestSegment  = 16 << 20
	smallestSegment = 64 << 10
	leastSegments   = 16
	longestSegment  = time.Hour
	leastPeriods    = 8
	// keptBuffer is how large a buffer is kept for the next block, in bytes.
	keptBuffer = 4 << 20
	// logPause is how long after a line about dropped requests there is no other.
	logPause = time.Minute
)

// writer gathers records and writes them. One goroutine uses it.
type writer struct {
	*Recorder
	// size and age are at which a segment ends.
	size int64
	age  time.Duration

	encoder *zstd.Encoder
	block   block  // what is gathered
	raw     []byte // its records
	out     []byte // what is written

	current *segment // what is appended to; nil while there is none
	file    *os.File // its file
	next    uint64   // the number of the next record

	failing bool      // the last block could not be written
	unsaid  uint64    // requests that were missed and are not in the log yet
	saidAt  time.Time // when the last of them were logged
}

func newWriter(r *Recorder) (writer, error) {
	// The window is a block: memory for more would be of no use. Slower levels make
	// what senders send hardly smaller.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(2*blockSize), zstd.WithEncoderLevel(zstd.SpeedFastest))
	w := writer{Recorder: r, encoder: encoder, age: longestSegment,
		size: min(max(int64(r.opts.MaxSize)/leastSegments, smallestSegment), largestSegment)}
	if limit := time.Duration(r.opts.MaxAge); limit > 0 {
		w.age = min(w.age, limit/leastPeriods)
	}
	return w, err
}

// Run writes what is recorded, and removes what is too old or too much, until
// ctx ends; what was recorded until then is written too.
func (r *Recorder) Run(ctx context.Context) error {
	w := &r.writer
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case q := <-r.queue:
			w.gather(q)
		case <-tick.C:
			w.flush()
			w.expire()
			w.report()
		case <-ctx.Done():
			w.drain()
			return nil
		}
	}
}

// drain writes what is in the queue.
func (w *writer) drain() {
	for {
		select {
		case q := <-w.queue:
			w.gather(q)
		default:
			w.flush()
			return
		}
	}
}

// gather adds a request to the block.
func (w *writer) gather(q queued) {
	w.raw = appendRecord(w.raw, &q, redact(w.rules, q.Body))
	received := q.ReceivedAt.UnixNano()
	w.block.add(span{received, received, sourceBit(q.Source)})
	w.block.records++
	w.waits.Add(-q.size())
	if len(w.raw) >= blockSize {
		w.flush()
	}
}

// flush writes the block, if there is something in it.
func (w *writer) flush() {
	records := float64(w.block.records)
	if records == 0 {
		return
	}
	err := w.write()
	if err == nil {
		w.metrics.records.Add(records)
	} else {
		w.metrics.dropped.Add(records)
	}
	if failed := err != nil; failed != w.failing {
		if w.failing = failed; failed {
			w.log.Error("requests are not recorded", "err", err)
		} else {
			w.log.Info("requests are recorded again")
		}
	}
	w.block = block{}
	w.raw, w.out = emptied(w.raw), emptied(w.out)
}

// emptied returns a buffer for the next block.
func emptied(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// write appends the block to a segment. After an error the segment is left.
func (w *writer) write() error {
	if len(w.raw) > maxRaw {
		return errors.New("too large") // redaction has made it longer
	}
	now := w.opts.Now()
	// The frame is written over this when all about the records is known.
	out := append(w.out[:0], make([]byte, headerSize+frameSize)...)
	out = w.encoder.EncodeAll(w.raw, out)
	w.out = out
	payload := out[headerSize+frameSize:]
	if w.current != nil && (w.current.end >= w.size || now.Sub(w.current.began) >= w.age) {
		if err := w.leave(); err != nil {
			return err
		}
	}
	if err := w.makeRoom(int64(len(out))); err != nil {
		return err
	}
	if w.current == nil {
		if err := w.begin(now); err != nil {
			return err
		}
	}
	b := &w.block
	b.first, b.written, b.at = w.next, now.UnixNano(), w.current.end
	b.raw, b.length, b.sum = uint32(len(w.raw)), uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	copy(out, fileHeader())
	b.frame(out[headerSize:headerSize], w.current.number)
	if w.current.end > 0 {
		out = out[headerSize:]
	}
	if _, err := w.file.Write(out); err != nil {
		return errors.Join(err, w.abandon())
	}
	w.next = b.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current.end == 0 {
		w.segments = append(w.segments, w.current)
	}
	w.current.span.add(b.span)
	w.current.end += int64(len(out))
	w.bytes += int64(len(out))
	return nil
}

// makeRoom removes the oldest segments until so many bytes more fit.
func (w *writer) makeRoom(n int64) error {
	if n > int64(w.opts.MaxSize) {
		return fmt.Errorf("requests of %d bytes, compressed, and max_size is %v", n, w.opts.MaxSize)
	}
	for w.bytes+n > int64(w.opts.MaxSize) { // w is the only one that changes it
		if err := w.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

// expire removes segments that have something in them that is too old.
func (w *writer) expire() {
	limit := time.Duration(w.opts.MaxAge)
	for limit > 0 && len(w.segments) > 0 && w.opts.Now().Sub(w.segments[0].began) >= limit {
		if err := w.removeOldest(); err != nil {
			w.log.Warn("old requests not removed", "err", err)
			return
		}
	}
}

func (w *writer) removeOldest() error {
	oldest := w.segments[0]
	if oldest == w.current {
		if err := w.leave(); err != nil {
			return err
		}
	}
	return w.remove(oldest)
}

// begin makes the next segment. It is one of the folder's when there is a block in it.
func (w *writer) begin(now time.Time) error {
	// Numbers follow the clock, so that none is given twice after a power cut has
	// taken the last blocks away.
	w.next = max(w.next, uint64(max(0, now.UnixMicro())))
	path := filepath.Join(w.opts.Dir, formatNumber(w.next)+segmentSuffix)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w.current, w.file = &segment{number: w.next, path: path, began: now}, file
	return nil
}

// leave closes the current segment, if there is one; the next block begins another.
func (w *writer) leave() error {
	if w.current == nil {
		return nil
	}
	err := w.file.Close()
	w.current, w.file = nil, nil
	return err
}

// abandon leaves the current segment after an error, without what was written of
// the block.
func (w *writer) abandon() error {
	s := w.current
	if s.end == 0 {
		w.next++ // its name is taken if it cannot be removed
		return errors.Join(w.leave(), os.Remove(s.path))
	}
	return errors.Join(w.file.Truncate(s.end), w.leave())
}

// report says in the log how many requests there was no room for.
func (w *writer) report() {
	w.unsaid += w.missed.Swap(0)
	if now := w.opts.Now(); w.unsaid > 0 && now.Sub(w.saidAt) >= logPause {
		w.log.Warn("requests came faster than they can be recorded and were left out", "requests", w.unsaid)
		w.unsaid, w.saidAt = 0, now
	}
}
