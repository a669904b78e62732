package embedded

import (
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A log that failed fails every commit that comes after, and the engine answers
// those with a panic that leaves its locks held: it could not even be closed
// any more. So we hear of the failure before the engine does, and let no commit
// begin from then on.

// drainTime bounds how long a failed log waits for the commits that have begun.
const drainTime = time.Second

// logWatch is the file system that the engine sees.
type logWatch struct {
	vfs.FS
	failed func(error)
}

// Create implements vfs.FS.
func (w logWatch) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, c)
	return w.watch(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (w logWatch) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(old, name, c)
	return w.watch(name, f, err)
}

func (w logWatch) watch(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return logFile{f, w.failed}, nil
}

// logFile is a log that the engine writes.
type logFile struct {
	vfs.File
	failed func(error)
}

func (f logFile) told(err error) error {
	if err != nil {
		f.failed(err)
	}
	return err
}

// Write implements vfs.File.
func (f logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.told(err)
}

// Sync implements vfs.File.
func (f logFile) Sync() error { return f.told(f.File.Sync()) }

// SyncData implements vfs.File.
func (f logFile) SyncData() error { return f.told(f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f logFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.told(err)
}

// logFailed refuses all commits from now on, and waits for those that have begun.
func (s *Store) logFailed(cause error) {
	_ = s.fail(cause) // who commits is told by the engine
	drained := make(chan struct{})
	go func() {
		s.applying.Lock() // nobody commits any more
		close(drained)
		s.applying.Unlock()
	}()
	select {
	case <-drained:
	case <-time.After(drainTime): // a commit may wait for room in the log
	}
}

// commitBatch hands b to the engine, without waiting for the disk. If it is to
// be synced, b.SyncWait comes after.
func (s *Store) commitBatch(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	s.applying.RLock()
	defer s.applying.RUnlock()
	if cause := s.broken.Load(); cause != nil {
		return *cause
	}
	defer func() {
		if r := recover(); r != nil {
			// It holds its locks for ever; what it acknowledged is on the disk.
			err = fmt.Errorf("engine: %v", r)
			s.log.Error("the engine cannot go on; restart tocsin", "err", err)
			s.opts.Exit(err.Error())
		}
	}()
	if o.GetSync() {
		return s.db.ApplyNoSyncWait(b, o)
	}
	return s.db.Apply(b, o)
}

// write commits b and, if o says so, waits for the disk. The waiting is ours:
// on a failed sync that the engine waits for itself it ends the process.
func (s *Store) write(b *pebble.Batch, o *pebble.WriteOptions) error {
	err := s.commitBatch(b, o)
	if err == nil && o.GetSync() {
		err = b.SyncWait()
	}
	return err
}
