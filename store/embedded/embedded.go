// Package embedded keeps the store in a folder on disk, or in memory, within
// this one process. Its engine is Pebble; the in-memory store is the same
// engine on an in-memory file system.
//
// A commit is applied to the engine's memory under the locks of its keys, and
// answered after its log record is synced outside them: the next commit need
// not wait for the disk, and one sync serves all that came meanwhile. Whatever
// reads something that is not synced yet, and would answer because of it, waits too.
package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/repeats"
)

// SchemaMajor and SchemaMinor are the version of the stored rows. A version
// with another minor number reads and writes them, and passes on what it does
// not know; one with a smaller major number refuses.
const (
	SchemaMajor = 1
	SchemaMinor = 0
)

type schema struct {
	Major int    `json:"major"`
	Minor int    `json:"minor"`
	Name  string `json:"name"`
}

// Options are what Open can be told; the zero value is right for production.
type Options struct {
	Logger *slog.Logger
	// Now is the machine's clock; nil means time.Now.
	Now func() time.Time
	// Steady is what has passed since some moment, which setting the clock does not
	// change. If it is nil it goes with time.Now, or stands if there is another Now.
	Steady func() time.Duration
	// FS is the file system; nil means the operating system's.
	FS vfs.FS
	// Reserve is how much disk space, in bytes, is kept free: below it nothing is
	// accepted, so that what was accepted can still be worked on. 0 means 64 MiB.
	Reserve uint64
	// Exit ends the process when the engine cannot go on; nil means os.Exit(1)
	// after a log line.
	Exit func(message string)
	// Failpoint is called at named points of a commit, for tests that kill there.
	Failpoint func(point string)
}

// stripes is how many locks the keys share.
const stripes = 4096

// Store implements store.Store.
type Store struct {
	dir  string
	opts Options
	log  *slog.Logger

	// mu guards db against being replaced; everybody who uses db holds it for reading.
	mu        sync.RWMutex
	openMu    sync.Mutex // held while the engine is opened again; taken before mu
	notOpened string     // why it could not be opened again the last time; under openMu
	db        *pebble.DB
	lock      *pebble.Lock
	broken    atomic.Pointer[error]
	applying  sync.RWMutex // held for reading while a commit is handed to the engine
	full      atomic.Bool
	closed    bool
	filling   bool // it is the target of a copy
	ballast   string

	locks   [stripes]sync.Mutex
	gate    gate
	recent  recent
	cache   *headers
	hot     hot
	repeats *repeats.Buffer
	numbers numbers
	jobMu   sync.Mutex // held while jobs are read and written; taken after the locks of keys
	// dueFrom is where the order of due jobs begins: nothing is before it. jobMu guards it.
	dueFrom uint64

	genMu       sync.RWMutex // held for reading by commits, for writing by SetGeneration
	generations store.Generations

	cost      cost
	backupMu  sync.Mutex    // held by the one backup that is being made
	contents  atomic.Uint64 // the number of the latest content
	clock     *clock
	setBack   bool // the machine's clock was, and the log says so; of the goroutine of Run
	listening atomic.Int64
}

// cost counts what goes from and to the engine in updates, so that a test can
// show that it does not grow with what is stored.
type cost struct{ reads, writes, bytes atomic.Int64 }

func (c *cost) read(size int) {
	c.reads.Add(1)
	c.bytes.Add(int64(size))
}

func (c *cost) write(b *pebble.Batch) {
	c.writes.Add(int64(b.Count()))
	c.bytes.Add(int64(b.Len()))
}

var _ store.Store = (*Store)(nil)

// Open opens the store that url names: file:DIR, which is made if it is
// missing, or mem:.
func Open(url string, o Options) (*Store, error) {
	s, err := openStore(url, o, false)
	if err != nil {
		return nil, err
	}
	if err := s.endLeases(); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	return s, nil
}

func openStore(url string, o Options, filling bool) (*Store, error) {
	scheme, dir, _ := strings.Cut(url, ":")
	switch scheme {
	case "file":
		if dir == "" {
			return nil, errors.New("store: file: needs a folder, such as file:data")
		}
	case "mem":
		if url != "mem:" {
			return nil, fmt.Errorf("store: %q: the store in memory is mem:, with nothing behind it", url)
		}
		dir, o.FS = "mem", vfs.NewMem()
		if err := o.FS.MkdirAll(dir, 0o700); err != nil {
			return nil, err // unreachable: it is memory
		}
	default:
		return nil, fmt.Errorf("store: %q is not a store this version knows: use file:DIR, or mem: for one in memory", url)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Exit == nil {
		o.Exit = func(string) { os.Exit(1) }
	}
	s := &Store{dir: dir, opts: o, filling: filling, log: o.Logger.With("component", "store"), clock: newClock(o.Now, o.Steady), cache: newHeaders(), ballast: filepath.Join(dir, "BALLAST")}
	s.repeats = repeats.New(repeatsKept)
	s.recent.purge()
	s.gate.reset()
	if o.FS == nil {
		if err := writable(dir); err != nil {
			return nil, err
		}
	} else if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: cannot make the folder %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, s.fs())
	if err != nil {
		return nil, fmt.Errorf("store: folder %s is in use by another process: %w", dir, err)
	}
	s.lock = lock
	if err := s.tidy(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// writable makes the folder and tries to write into it, for a clear message.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store: cannot make the folder %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return fmt.Errorf("store: cannot write into the folder %s: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// tidy looks for what a process that was killed left in the folder.
func (s *Store) tidy() error {
	fs := s.fs()
	if _, err := fs.Stat(fs.PathJoin(s.dir, restoringFolder)); err == nil {
		return fmt.Errorf("store: a restore into the folder %s did not finish: empty it and restore again", s.dir)
	}
	return fs.RemoveAll(fs.PathJoin(s.dir, backupFolder))
}

// fs is the file system without our watch over its free space.
func (s *Store) fs() vfs.FS {
	if s.opts.FS != nil {
		return s.opts.FS
	}
	return vfs.Default
}

func (s *Store) open() error {
	if err := s.room(); err != nil {
		return err
	}
	// The engine takes what its tables in memory may use out of it, 32 MiB for one and at
	// times two. With 64 MiB the indexes of the files were read and checked again and again:
	// firing duties of 100,000 incidents cost twice the CPU.
	cache := pebble.NewCache(128 << 20)
	defer cache.Unref()
	o := &pebble.Options{
		FS: logWatch{vfs.OnDiskFull(s.fs(), s.diskFull), s.logFailed}, Lock: s.lock, Cache: cache, Merger: merger, Logger: engineLog{s}, FormatMajorVersion: pebble.FormatNewest,
		// Many unsorted files before they are merged: entries are read from memory
		// (see hot), and merging more at a time cost a sixth less of all CPU time per
		// new alert than the engine's defaults.
		MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4, L0CompactionThreshold: 20, LBaseMaxBytes: 256 << 20, L0StopWritesThreshold: 60,
		BytesPerSync: 1 << 20, WALBytesPerSync: 0, MaxOpenFiles: 500,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	o.EventListener = &pebble.EventListener{DataCorruption: s.damaged} // else the engine ends the process
	// What was just written is soon written again: compressing it is wasted.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	o.Levels[1].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
	}
	db, err := pebble.Open(s.dir, o)
	if err != nil {
		return fmt.Errorf("store: cannot open %s: %w", s.dir, err)
	}
	s.db = db
	if s.filling { // nobody works with it
		if err := s.lastContent(); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	}
	if err := errors.Join(s.checkSchema(), s.loadGenerations()); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := errors.Join(s.hot.load(db), s.lastContent()); err != nil {
		return errors.Join(err, db.Close())
	}
	s.gate.reset()
	s.cache.purge()
	s.numbers.init()
	if err := s.recent.settle(s.header); err != nil {
		return errors.Join(err, db.Close())
	}
	s.broken.Store(nil)
	s.listening.Store(s.Now().UnixNano())
	return nil
}

func (s *Store) checkSchema() error {
	var found schema
	switch ok, err := s.getJSON([]byte{rowSchema}, &found); {
	case err != nil:
		return err
	case ok && (found.Name != "tocsin" || found.Major > SchemaMajor):
		return schemaError(s.dir, found)
	case ok && found.Major == SchemaMajor && found.Minor >= SchemaMinor:
		return nil
	}
	data, err := json.Marshal(schema{SchemaMajor, SchemaMinor, "tocsin"})
	if err != nil {
		return err
	}
	// The log that a new folder begins with is of an old format, in which the
	// engine cannot tell damage from a torn write. A flush begins another one.
	return errors.Join(s.set([]byte{rowSchema}, data), s.db.Flush())
}

func schemaError(dir string, found schema) error {
	if found.Name == unfinished {
		return fmt.Errorf("store: a copy into %s did not finish: run tocsin store copy again, or empty the folder", dir)
	}
	return fmt.Errorf("store: %s was written by a newer version (schema %d.%d, this one knows %d.x): run that version, or restore a backup made before it",
		dir, found.Major, found.Minor, SchemaMajor)
}

// lastContent finds the number that the next content comes after.
func (s *Store) lastContent() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowContent}, UpperBound: []byte{rowContent + 1}})
	if err != nil {
		return err
	}
	if it.Last() {
		s.contents.Store(binary.BigEndian.Uint64(it.Key()[1:]))
	}
	return it.Close()
}

// get reads a row; ok is false if there is none. The value is the caller's.
func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	value, ok, err = read(s.db, key)
	s.cost.read(len(key) + len(value))
	return value, ok, err
}

func read(db pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, &store.UnavailableError{Cause: err}
	}
	value = append([]byte(nil), v...)
	return value, true, closer.Close()
}

func (s *Store) getJSON(key []byte, into any) (ok bool, err error) {
	v, ok, err := s.get(key)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(v, into); err != nil {
		return false, fmt.Errorf("store: row %q: %w", key, err)
	}
	return true, nil
}

// Now implements store.Store. It never runs backwards while the process lives.
func (s *Store) Now() time.Time { return s.clock.now() }

// ListeningSince implements store.Store.
func (s *Store) ListeningSince() time.Time { return time.Unix(0, s.listening.Load()).UTC() }

// enter must come before the use of db; the returned function after it.
func (s *Store) enter() (leave func(), err error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, &store.UnavailableError{Cause: errors.New("the store is closed")}
	}
	if cause := s.broken.Load(); cause != nil {
		s.mu.RUnlock()
		return nil, &store.UnavailableError{Cause: *cause}
	}
	return s.mu.RUnlock, nil
}

// fail notes that a commit's fate is unknown. Nothing is answered until Run has
// opened the engine again, which then tells what became durable.
func (s *Store) fail(cause error) error {
	if s.broken.CompareAndSwap(nil, &cause) {
		s.log.Error("commit failed, the store will be opened again", "err", cause.Error()) // the text: the engine's errors bring stack traces
	}
	s.gate.fail(cause)
	return &store.UnavailableError{Cause: cause}
}

// Check implements store.Store.
func (s *Store) Check(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	if s.full.Load() {
		leave()
		return &store.UnavailableError{Cause: errDiskFull}
	}
	done := make(chan error, 1)
	go func() {
		defer leave() // here: nobody may close the engine under a write that hangs
		err := s.set([]byte{rowSchema, 'p'}, binary.BigEndian.AppendUint64(nil, uint64(s.Now().UnixNano())))
		if err != nil {
			err = s.fail(err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &store.UnavailableError{Cause: fmt.Errorf("the disk does not answer: %w", ctx.Err())}
	}
}

// set writes one row and waits for the disk.
func (s *Store) set(key, value []byte) error {
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // it only frees memory
	if err := b.Set(key, value, nil); err != nil {
		return err
	}
	return s.write(b, pebble.Sync)
}

// guard turns a panic of the engine into an error.
func (s *Store) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: %v", r)
		}
	}()
	return f()
}

// Run implements store.Store: it counts repeats, watches the free space, and
// opens the engine again after a failure.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.round()
	}
}

// round is what Run does each time.
func (s *Store) round() {
	if s.broken.Load() != nil {
		s.reopen()
		return
	}
	s.watchSpace()
	s.watchClock()
	if err := s.flushRepeats(false); err != nil {
		s.log.Debug("repeats are not counted yet", "err", err)
	}
}

// clockLimit is by how much the store's clock may be ahead of the machine's without a word.
const clockLimit = time.Second

// watchClock says when the machine's clock was set back, and when that is made up for.
func (s *Store) watchClock() {
	switch ahead := s.clock.isAhead(); {
	case ahead > clockLimit && !s.setBack:
		s.setBack = true
		s.log.Warn("the machine's clock was set back; that of the store goes on, a little slower, until both are the same, or a restart", "ahead", ahead.Round(time.Second), "until_same", (ahead * slower).Round(time.Second))
	case ahead == 0 && s.setBack:
		s.setBack = false
		s.log.Info("the store's clock is the machine's again")
	}
}

// reopen replaces the engine after a failure. While it opens, everybody else
// is refused at once, because the store is still broken, and need not wait.
func (s *Store) reopen() {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if !s.closeBroken() {
		return
	}
	if err := s.guard(s.open); err != nil {
		if text := err.Error(); text != s.notOpened { // it is tried every second
			s.notOpened = text
			s.log.Error("cannot open the store again yet", "err", err)
		}
		return
	}
	s.notOpened = ""
	s.log.Info("store opened again")
}

// closeBroken waits until nobody uses the engine, and closes it; false if the
// store itself is closed.
func (s *Store) closeBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil && !s.closed {
		// What the engine says on closing is about the failure that we know of.
		if err := s.guard(s.db.Close); err != nil {
			s.log.Warn("engine closed after a failure", "err", err.Error())
		}
		s.db = nil
	}
	return !s.closed
}

// Close implements store.Store.
func (s *Store) Close() error {
	flushed := s.flushRepeats(true)
	s.openMu.Lock()
	defer s.openMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var closed error
	if s.db != nil {
		closed = s.guard(s.db.Close)
	}
	return errors.Join(flushed, closed, s.lock.Close())
}

// damaged is told of a file that is not what was written. Whoever reads of it
// gets an error, the rest of the store works on.
func (s *Store) damaged(info pebble.DataCorruptionInfo) {
	s.log.Error("a file of the store is damaged: stop tocsin, run tocsin store verify, and restore a backup", "file", info.Path, "err", info.Details)
}

// engineLog passes the engine's messages on; it is quiet about its routine.
type engineLog struct{ s *Store }

func (l engineLog) Infof(format string, args ...any) { l.s.log.Debug(fmt.Sprintf(format, args...)) }

func (l engineLog) Errorf(format string, args ...any) { l.s.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return: the engine has no state to go on from. All that was
// answered is in its log; the next start reads it.
func (l engineLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.s.log.Error("the engine cannot go on; restart tocsin", "err", message)
	l.s.opts.Exit(message)
	panic(message)
}
