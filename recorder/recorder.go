// Package recorder is the flight recorder: it keeps the requests that were let in,
// as they came but for what the rules of redaction take out, compressed and for
// as long and as much as configured, so that people can look at them and send
// them again. It promises nothing about a single request: taking alerts never
// waits for it, and what it has no room for it drops and counts. What must not be
// lost is in the store and in the spool.
//
// The folder holds segments, files to which blocks of requests are appended. The
// oldest ones are removed as a whole.
package recorder

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/folder"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Config is the section recorder: of the configuration file.
type Config struct {
	// Dir is the folder. One process uses it at a time. Without one nothing is recorded.
	Dir string `yaml:"dir"`
	// MaxSize bounds the files, and MaxAge how old what is in them may be; 0 does not.
	MaxSize ingest.ByteSize `yaml:"max_size"`
	MaxAge  model.Duration  `yaml:"max_age"`
	// Redact is applied to each body in turn before it is kept.
	Redact []Rule `yaml:"redact"`
}

// Rule says what is not to be kept.
type Rule struct {
	// Match is a regular expression.
	Match string `yaml:"match"`
	// Replace stands in the place of each match as it is; empty means DefaultReplace.
	Replace string `yaml:"replace"`
}

// DefaultReplace is what stands in the place of what was redacted.
const DefaultReplace = "[redacted]"

// DefaultConfig returns what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{MaxSize: ingest.GiB, MaxAge: model.Duration(7 * 24 * time.Hour)}
}

// Options are what Open needs.
type Options struct {
	Config
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is required, and so is Registerer.
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	// The queue holds so many requests and, besides a first one, so many bytes.
	queueLength = 8192
	queueBytes  = 32 << 20
	// maxRecord is the largest request that is kept, in bytes.
	maxRecord = 128 << 20
	// recordCost is what a small request costs in memory beside its texts.
	recordCost = 256
)

// ErrNotFound says that there is no recording of the given id, or no more.
var ErrNotFound = errors.New("recorder: not found")

// ErrCursor says that a cursor is none that a list gave out.
var ErrCursor = errors.New("recorder: not a cursor")

// Recorder is a folder of recorded requests. Its methods may be called from any
// goroutine, but Run only once, and Close when that has ended.
type Recorder struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	rules   []rule
	lock    *os.File

	queue  chan queued
	waits  atomic.Int64  // bytes in the queue
	missed atomic.Uint64 // requests that did not fit since that was logged

	writer writer // Run's, and then Close's

	// reading is held by the one that reads: each needs the memory of a block.
	reading sync.Mutex
	decoder *zstd.Decoder

	mu       sync.Mutex
	segments []*segment // in order
	bytes    int64      // of the segments
}

// queued is a request with its answer.
type queued struct {
	ingest.Request
	code int
}

// size is about what the request takes in memory.
func (q *queued) size() int64 {
	return recordCost + int64(cap(q.Body)+len(q.Source)+len(q.Format)+len(q.Method)+len(q.Path)+len(q.ContentType))
}

// Open makes the folder, if it is missing, locks it and looks at what is in it.
// Nothing is written before Run.
func Open(o Options) (*Recorder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	rules, err := compile(o.Redact)
	if err != nil {
		return nil, err
	}
	r := &Recorder{opts: o, log: o.Log.With("component", "recorder"), rules: rules, queue: make(chan queued, queueLength)}
	r.writer, err = newWriter(r)
	if err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	r.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	r.metrics = newMetrics(r)
	if err := r.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("recorder: metrics: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	r.lock, err = folder.Lock(o.Dir, "recorder.dir")
	if err == nil {
		if err = r.load(); err != nil {
			err = errors.Join(err, r.lock.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("recorder: folder %s: %w", o.Dir, err)
	}
	return r, nil
}

// Record hands a request over, with the code that it was answered with. It never
// waits: what there is no room for is dropped and counted. The request's body
// must not be changed any more.
func (r *Recorder) Record(request ingest.Request, code int) {
	q := queued{request, code}
	size := q.size()
	if waits := r.waits.Add(size); (waits <= queueBytes || waits == size) && size <= maxRecord {
		select {
		case r.queue <- q:
			return
		default:
		}
	}
	r.waits.Add(-size)
	r.missed.Add(1)
	r.metrics.dropped.Inc()
}

// Close writes what was recorded since Run has ended, and ends the recorder.
func (r *Recorder) Close() error {
	r.writer.drain()
	err := errors.Join(r.writer.leave(), r.lock.Close())
	r.decoder.Close()
	if err != nil {
		return fmt.Errorf("recorder: close: %w", err)
	}
	return nil
}
