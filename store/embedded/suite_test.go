package embedded

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) store.Store {
		return openSubject(t, "file:"+t.TempDir(), Options{Now: o.Now})
	})
}

// TestMemory runs the suite on the engine's in-memory file system. What mem:
// names cannot be opened again, so it is given as a folder of that file system.
func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) store.Store {
		return openSubject(t, "file:memory", Options{Now: o.Now, FS: vfs.NewMem()})
	})
}

// TestMem shows that mem: is such a store.
func TestMem(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) store.Store {
		s, err := Open("mem:", Options{Now: o.Now, Logger: logTo(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() }) // what it says is about a store that a test closed
		return s
	})
}

// subject is a Store with what the suite can measure.
type subject struct {
	*Store
	url string
}

func openSubject(t *testing.T, url string, o Options) *subject {
	t.Helper()
	o.Logger = logTo(t)
	s, err := Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // likewise
	return &subject{s, url}
}

// Reopen implements storetest.Reopener.
func (s *subject) Reopen(t *testing.T) store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openSubject(t, s.url, s.opts)
}

// Costs implements storetest.Coster.
func (s *subject) Costs() (reads, writes, bytes int64) {
	return s.cost.reads.Load(), s.cost.writes.Load(), s.cost.bytes.Load()
}

// Forget implements storetest.Coster: all that the next Update needs it must
// read from the engine, and so it is counted.
func (s *subject) Forget() {
	s.cache.purge()
	s.hot.reset()
	s.hot.complete.Store(false)
	s.numbers.init()
}

// Rows implements storetest.Dumper.
func (s *subject) Rows(t *testing.T) []storetest.Row {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows []storetest.Row
	for ok := it.First(); ok; ok = it.Next() {
		rows = append(rows, storetest.Row{Key: bytes.Clone(it.Key()), Value: bytes.Clone(it.Value())})
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}
