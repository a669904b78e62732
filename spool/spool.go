// Package spool keeps requests on this machine while the store cannot take
// them, for senders that would not send them again, and hands them on in order
// when it can. A request is in it when Append has returned: synced to a file,
// whatever happens to the process. It may be handed on more than once, so
// whoever takes it must know what it has seen.
//
// The files are segments that are only ever appended to, each record with a
// checksum. What cannot be read any more is said, counted and kept for people
// to look at; all else is handed on.
package spool

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/folder"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Config is the section spool: of the configuration file.
type Config struct {
	// Dir is the folder. One process uses it at a time.
	Dir string `yaml:"dir"`
	// MaxSize bounds the files of requests that wait; beyond it none is kept.
	MaxSize ingest.ByteSize `yaml:"max_size"`
}

// DefaultConfig returns what holds where the file says nothing.
func DefaultConfig() Config { return Config{Dir: "spool", MaxSize: ingest.GiB} }

// Options are what Open needs.
type Options struct {
	Config
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is required, and so is Registerer.
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Failpoint is called at named points, for tests that kill there; nil does nothing.
	Failpoint func(point string)
}

const (
	// A segment is closed when it is this large, in bytes, or when it is a
	// sixteenth of what the spool may hold: only whole segments are removed.
	largestSegment  = 16 << 20
	smallestSegment = 64 << 10
	leastSegments   = 16
)

// ErrFull says that there is no room in the spool, or on its disk.
var ErrFull = errors.New("spool: full")

// Spool is a folder with requests in it. Its methods may be called from any
// goroutine, but Run only once at a time.
type Spool struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	// segmentSize is the size at which a segment is closed.
	segmentSize int64
	disk        disk
	// wake has something in it when something was appended.
	wake chan struct{}
	// writing is held while the folder changes: by the one batch that is being
	// written, by Prepare and Close. It is taken before mu.
	writing sync.Mutex
	lock    *os.File // nil until Prepare and after Close
	closed  bool
	current *writer // what is appended to; nil while there is no such segment
	buffer  *bufio.Writer
	last    uint64 // the number of the newest segment that there ever was
	behind  place  // the end of the segment before the next one

	mu       sync.Mutex // guards all below
	batch    *batch     // what waits to be written
	inflight int64      // bytes that wait to be written, or are being written
	segments []*segment // in order; current's is the last
	bytes    int64      // of the segments
	entries  int        // requests that wait to be handed on
	waiting  map[string]int
	oldest   time.Time // when the first of them was received
	position *position // nil until Prepare
	failing  bool      // the last batch could not be written
}

// Open looks at the folder. What an earlier run has left there is read, and will
// be handed on; a folder that is missing or empty is left alone until Prepare.
func Open(o Options) (*Spool, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	s := &Spool{opts: o, log: o.Log.With("component", "spool"), disk: realDisk, waiting: map[string]int{}, wake: make(chan struct{}, 1), buffer: bufio.NewWriterSize(nil, writeBuffer),
		segmentSize: min(max(int64(o.MaxSize)/leastSegments, smallestSegment), largestSegment)}
	s.metrics = newMetrics(s)
	if err := s.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("spool: metrics: %w", err)
	}
	numbers, err := segmentsIn(o.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(numbers) == 0:
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := s.Prepare(); err != nil {
		return nil, err
	}
	return s, nil
}

// Prepare makes the folder, if it is missing, locks it and reads what is in it:
// after it, Append can work. It may be called again and then does nothing.
func (s *Spool) Prepare() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.prepare()
}

// prepare is Prepare under writing.
func (s *Spool) prepare() error {
	if s.closed {
		return errors.New("spool: closed")
	}
	if s.lock != nil {
		return nil
	}
	dir := s.opts.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	held, err := folder.Lock(dir, "spool.dir")
	if err != nil {
		return fmt.Errorf("spool: folder %s: %w", dir, err)
	}
	position, known, err := openPosition(dir)
	if err == nil {
		err = errors.Join(syncDir(dir), s.load(position, known))
	}
	if err != nil {
		if position != nil {
			err = errors.Join(err, position.file.Close())
		}
		return errors.Join(fmt.Errorf("spool: folder %s: %w", dir, err), held.Close())
	}
	s.lock = held
	return nil
}

// Close ends the spool; what waits in it stays there. Run must have ended.
func (s *Spool) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.closed = true
	if s.lock == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.current != nil {
		errs = append(errs, s.current.file.Close())
	}
	errs = append(errs, s.position.write(), s.position.file.Sync(), s.position.file.Close(), s.lock.Close())
	s.current, s.lock, s.position = nil, nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("spool: close: %w", err)
	}
	return nil
}

// Holds reports whether requests of the source wait. Those that come now are to
// wait behind them.
func (s *Spool) Holds(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[source] > 0
}

// Len is how many requests wait.
func (s *Spool) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries
}

// arrived counts a request that waits from now on. The caller holds mu.
func (s *Spool) arrived(in *segment, source string, at time.Time) {
	if s.entries == 0 {
		s.oldest = at
	}
	s.entries++
	s.waiting[source]++
	in.entries++
}
