package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// stays fails a test whose engine wants to end the process.
func stays(t *testing.T) func(string) {
	return func(message string) { t.Errorf("the store would have ended the process: %s", message) }
}

// image is a folder in memory that tests damage.
type image map[string][]byte

// imageOf reads a folder.
func imageOf(t *testing.T, fs vfs.FS, dir string) image {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := image{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if stat, err := f.Stat(); err == nil && !stat.IsDir() && name != "LOCK" {
			if out[name], err = io.ReadAll(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// fs returns a file system with the image in the folder "store".
func (m image) fs(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("store", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range m {
		f, err := fs.Create(fs.PathJoin("store", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Clone(data)); err != nil { // it may change what it is given
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// newest returns the name of the newest file of a kind.
func (m image) newest(suffix string) string {
	last := ""
	for name := range m {
		if strings.HasSuffix(name, suffix) && name > last {
			last = name
		}
	}
	return last
}

// TestTornWrite cuts and garbles the end of the log at many places: what was
// acknowledged before that place is there, and nothing is there in part.
func TestTornWrite(t *testing.T) {
	const changes = 24
	fs := vfs.NewMem()
	s := mustOpen(t, "file:store", Options{Now: frozen, FS: fs})
	var ends []int // how long the log was when each change was acknowledged
	for n := range changes {
		if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
			t.Fatal(err)
		}
		m := imageOf(t, fs, "store")
		ends = append(ends, len(bytes.TrimRight(m[m.newest(".log")], "\x00")))
	}
	crashed := imageOf(t, fs, "store")
	log := crashed.newest(".log")
	random := rand.New(rand.NewPCG(1, 2))
	try := func(what string, at int, data []byte) {
		t.Helper()
		damaged := image{}
		for name, d := range crashed {
			damaged[name] = d
		}
		damaged[log] = data
		fs := damaged.fs(t)
		s, err := Open("file:store", Options{Now: frozen, FS: fs, Logger: logTo(t), Exit: stays(t)})
		if err != nil {
			t.Errorf("%s at %d: %v", what, at, err)
			return
		}
		before := map[int]bool{}
		for n, end := range ends {
			before[n] = end <= at
		}
		wantPresent(t, s, before, changes)
		mustClose(t, s)
		report, err := verifyRows(fs, "store", nil)
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("%s at %d: %v, %q", what, at, err, report.Problems)
		}
	}
	last := ends[len(ends)-1]
	for n := range 40 {
		at := last * n / 40
		if n%4 == 0 {
			at = ends[n/4] // exactly between two
		}
		whole := crashed[log]
		try("cut", at, bytes.Clone(whole[:at]))
		zeroed := bytes.Clone(whole)
		clear(zeroed[at:])
		try("zeroed", at, zeroed)
		garbled := bytes.Clone(whole)
		for i := at; i < len(garbled); i++ {
			garbled[i] = byte(random.Uint32())
		}
		try("garbled", at, garbled)
	}
}

// TestFlippedBit: a bit that changed in a file that was written long ago is
// found, on opening or by Verify; it is never served as if nothing had happened.
func TestFlippedBit(t *testing.T) {
	const changes = 60
	fs := vfs.NewMem()
	s := filled(t, "file:store", Options{Now: frozen, FS: fs}, changes)
	want := map[int]bool{}
	for n := range changes {
		want[n] = true
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	whole := imageOf(t, fs, "store")
	for _, kind := range []string{".sst", "MANIFEST"} {
		var names []string
		for name := range whole {
			if strings.Contains(name, kind) && len(whole[name]) > 0 {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			t.Fatalf("the store has no file of the kind %s: %q", kind, names)
		}
		for _, name := range names {
			for n := range 60 {
				at := len(whole[name]) * n / 60
				damaged := image{}
				for other, d := range whole {
					damaged[other] = d
				}
				damaged[name] = bytes.Clone(whole[name])
				damaged[name][at] ^= 1 << (n % 8)
				if !found(t, damaged, want, changes) {
					t.Errorf("a bit of byte %d of %d in %s changed, and nobody saw it", at, len(whole[name]), name)
				}
			}
		}
	}
}

// found reports whether Verify finds damage in an image, or there is none that matters.
func found(t *testing.T, m image, want map[int]bool, changes int) bool {
	t.Helper()
	fs := m.fs(t)
	report, err := verifyRows(fs, "store", nil)
	if err != nil || len(report.Problems) > 0 {
		return true
	}
	// Verify is content: then everything must be there and right.
	s, err := Open("file:store", Options{Now: frozen, FS: fs, Logger: logTo(t), Exit: func(string) {}})
	if err != nil {
		return true
	}
	defer s.Close()
	there := present(t, s, changes)
	for n := range changes {
		if want[n] && !there[n] {
			return false
		}
	}
	return report.Alerts == changes
}

// faulty is a file system whose operations fail when a test says so.
type faulty struct {
	*vfs.MemFS
	fs   vfs.FS
	fail atomic.Pointer[func(errorfs.Op) bool]
	hits atomic.Int64
}

var errBroken = errors.New("input/output error")

func newFaulty() *faulty {
	f := &faulty{MemFS: vfs.NewCrashableMem()}
	f.fs = errorfs.Wrap(f.MemFS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail := f.fail.Load(); fail != nil && (*fail)(op) {
			f.hits.Add(1)
			return errBroken
		}
		return nil
	}))
	return f
}

func (f *faulty) breaks(what func(errorfs.Op) bool) { f.fail.Store(&what) }

func (f *faulty) heals() { f.fail.Store(nil) }

func isLog(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") }

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

// TestDiskErrors lets the log's file fail under load: what was acknowledged
// stays, everybody else hears ErrUnavailable, and the store comes back by itself.
func TestDiskErrors(t *testing.T) {
	for name, what := range map[string]func(errorfs.Op) bool{
		"sync":  func(op errorfs.Op) bool { return isLog(op) && isSync(op) },
		"write": func(op errorfs.Op) bool { return isLog(op) && op.Kind == errorfs.OpFileWrite },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty()
			s := mustOpen(t, "file:store", Options{Now: frozen, FS: f.fs, Exit: stays(t)})
			acknowledged := map[int]bool{}
			next := 0
			for round := range 3 {
				var mu sync.Mutex
				var wg sync.WaitGroup
				failed := 0
				for worker := range 4 {
					wg.Go(func() {
						for m := range 25 {
							if worker == 0 && m == 10 {
								f.breaks(what)
							}
							n := next + worker*25 + m
							err := s.Update(t.Context(), []incident.Change{numbered(n)})
							mu.Lock()
							switch {
							case err == nil:
								acknowledged[n] = true
							case errors.Is(err, store.ErrUnavailable):
								failed++
							default:
								t.Errorf("change %d: got %v, want ErrUnavailable", n, err)
							}
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				next += 100
				if failed == 0 || f.hits.Load() == 0 {
					t.Fatalf("round %d: %d updates failed, %d operations of the file system", round, failed, f.hits.Load())
				}
				for what, err := range map[string]error{
					"check":      s.Check(t.Context()),
					"generation": second(s.SetGeneration(t.Context(), store.Generation{ID: testGeneration})),
					"document":   second(s.PutDocument(t.Context(), incident.Document{Type: "a", ID: fmt.Sprint(round), Data: []byte("1")})),
				} {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("%s while the disk is broken: got %v, want ErrUnavailable", what, err)
					}
				}
				s.round() // while it is still broken
				f.heals()
				for range 3 {
					s.round()
				}
				if err := s.Check(t.Context()); err != nil {
					t.Fatalf("round %d: after the disk was well again: %v", round, err)
				}
				wantPresent(t, s, acknowledged, next)
			}
			// And now the power goes: only what was synced stays.
			dead := f.MemFS.CrashClone(vfs.CrashCloneCfg{})
			after := mustOpen(t, "file:store", Options{Now: frozen, FS: dead})
			wantPresent(t, after, acknowledged, next)
			mustClose(t, after)
			report, err := verifyRows(dead, "store", nil)
			if err != nil || len(report.Problems) > 0 {
				t.Errorf("verify: %v, %q", err, report.Problems)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestFailedSyncOfEach lets the sync fail below each operation that waits for one.
func TestFailedSyncOfEach(t *testing.T) {
	due := func(s *Store) store.Lease {
		leases, err := s.Claim(t.Context(), 1, 60e9)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		return leases[0]
	}
	for name, do := range map[string]func(s *Store, f func()) error{
		"update": func(s *Store, f func()) error { f(); return s.Update(t.Context(), []incident.Change{numbered(1)}) },
		"check":  func(s *Store, f func()) error { f(); return s.Check(t.Context()) },
		"generation": func(s *Store, f func()) error {
			f()
			return second(s.SetGeneration(t.Context(), store.Generation{ID: incident.Generation{9}}))
		},
		"document": func(s *Store, f func()) error {
			f()
			return second(s.PutDocument(t.Context(), incident.Document{Type: "a", ID: "a", Data: []byte("1")}))
		},
		"done":  func(s *Store, f func()) error { l := due(s); f(); return s.Done(t.Context(), l) },
		"retry": func(s *Store, f func()) error { l := due(s); f(); return s.Retry(t.Context(), l, testStart, "x") },
		"remove": func(s *Store, f func()) error {
			list, _, err := s.Incidents(t.Context(), store.Query{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			f()
			return s.Remove(t.Context(), list[0].ID)
		},
		"backup": func(s *Store, f func()) error { f(); return s.Backup(t.Context(), io.Discard) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty()
			s := mustOpen(t, "file:store", Options{Now: frozen, FS: f.fs, Exit: stays(t)})
			c := numbered(0)
			step := c.Step
			c.Step = func(st incident.State) (incident.Next, error) {
				next, err := step(st)
				next.Jobs = []incident.Job{{Subject: "s", Kind: "k", Due: testStart}}
				return next, err
			}
			if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
				t.Fatal(err)
			}
			err := do(s, func() { f.breaks(func(op errorfs.Op) bool { return isLog(op) && isSync(op) }) })
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			f.heals()
			s.round()
			if err := s.Check(t.Context()); err != nil {
				t.Errorf("after the disk was well again: %v", err)
			}
		})
	}
}

// TestResentAfterUnknownOutcome: the sync failed and yet the log reached the
// disk. Who sends the change again must not have it twice.
func TestResentAfterUnknownOutcome(t *testing.T) {
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprint("durable ", durable), func(t *testing.T) {
			f := newFaulty()
			s := mustOpen(t, "file:store", Options{Now: frozen, FS: f.fs, Exit: stays(t)})
			if err := s.Update(t.Context(), []incident.Change{numbered(0)}); err != nil {
				t.Fatal(err)
			}
			f.breaks(func(op errorfs.Op) bool { // a write that fails does not reach the disk
				return isLog(op) && (isSync(op) && durable || op.Kind == errorfs.OpFileWrite && !durable)
			})
			c := numbered(keys)
			if err := s.Update(t.Context(), []incident.Change{c}); !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
			f.heals()
			s.round()
			if got := present(t, s, keys+1)[keys]; got != durable {
				t.Fatalf("after opening again the change is there: %t, want %t", got, durable)
			}
			for range 2 {
				if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
					t.Fatal(err)
				}
			}
			i, _, err := s.Incidents(t.Context(), store.Query{Limit: 1})
			if err != nil || i[0].Version != 2 || i[0].Alerts.Total != 2 {
				t.Errorf("got %+v, %v; want version 2 with 2 alerts", i[0], err)
			}
		})
	}
}

// TestLeasesOutliveReopening: the workers of this process are still at their jobs.
func TestLeasesOutliveReopening(t *testing.T) {
	f := newFaulty()
	s := mustOpen(t, "file:store", Options{Now: frozen, FS: f.fs, Exit: stays(t)})
	c := incident.Change{ID: sum("c", 1), Key: sum("key", 1), Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Jobs: []incident.Job{{Subject: "s", Kind: "k", Due: testStart}}}, nil
	}}
	if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), 10, 60e9)
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	if err := s.Check(t.Context()); err != nil { // the lease is on the disk with this
		t.Fatal(err)
	}
	f.breaks(func(op errorfs.Op) bool { return isLog(op) && isSync(op) })
	if err := s.Check(t.Context()); err == nil {
		t.Fatal("the disk is broken and nobody noticed")
	}
	f.heals()
	s.round()
	if again, err := s.Claim(t.Context(), 10, 60e9); err != nil || len(again) > 0 {
		t.Errorf("somebody else got the job too: %v, %v", again, err)
	}
	if err := s.Done(t.Context(), claimed[0]); err != nil {
		t.Error(err)
	}
	if jobs, err := s.Jobs(t.Context()); err != nil || len(jobs) > 0 {
		t.Errorf("the job is still there after it was done: %v, %v", jobs, err)
	}
}

// TestPowerLoss copies what was synced, at many moments under load.
func TestPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "file:store", Options{Now: frozen, FS: fs})
	const workers, each = 4, 100
	var mu sync.Mutex
	acknowledged := map[int]bool{}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for m := range each {
				n := worker*each + m
				if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acknowledged[n] = true
				mu.Unlock()
				if n%40 == 39 {
					if err := s.db.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for moment := 0; ; moment++ {
		mu.Lock()
		before := map[int]bool{}
		for n := range acknowledged {
			before[n] = true
		}
		mu.Unlock()
		cfg := vfs.CrashCloneCfg{}
		if moment%2 == 1 { // some of what was not synced may be there too
			cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(moment), 1))}
		}
		dead := fs.CrashClone(cfg)
		after := mustOpen(t, "file:store", Options{Now: frozen, FS: dead})
		wantPresent(t, after, before, workers*each)
		mustClose(t, after)
		report, err := verifyRows(dead, "store", nil)
		if err != nil || len(report.Problems) > 0 {
			t.Fatalf("moment %d: %v, %q", moment, err, report.Problems)
		}
		if len(before) == workers*each || t.Failed() {
			break
		}
	}
	wg.Wait()
}

// TestRepeatsWhileReplaced: a request that stores repeats while somebody waits
// to replace the engine must not wait for that one, who waits for it.
func TestRepeatsWhileReplaced(t *testing.T) {
	s := mustOpen(t, "mem:", Options{Now: frozen})
	place := store.Place{}
	for n := 0; !s.repeats.Overfull(); n++ {
		place.Fingerprint[0], place.Fingerprint[1], place.Fingerprint[2] = 0, byte(n), byte(n>>8)
		s.repeats.Add(incident.Key{}, &incident.Entry{Fingerprint: place.Fingerprint}, incident.Patch{Count: 1}, testStart)
	}
	c := numbered(1)
	c.Fingerprints = nil
	reopened := make(chan struct{})
	replaced := false
	c.Settled = func(time.Time, []incident.Entry) ([]incident.Patch, bool) {
		if !replaced {
			replaced = true
			go func() { s.reopen(); close(reopened) }()
			for s.mu.TryRLock() { // until the other one waits
				s.mu.RUnlock()
			}
		}
		return nil, true
	}
	if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
		t.Error(err)
	}
	<-reopened
}

// TestSchema: another major version is refused, a newer minor one is worked with.
func TestSchema(t *testing.T) {
	for row, words := range map[string][]string{
		`{"name":"tocsin","major":2,"minor":0}`: {"newer version", "2.0", "backup"},
		`{"name":"other","major":1,"minor":0}`:  {"newer version"},
		`{"name":`:                              {"row"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		s := mustOpen(t, "file:"+dir, Options{})
		if err := s.db.Set([]byte{rowSchema}, []byte(row), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		_, err := Open("file:"+dir, Options{})
		wantError(t, row, err, words...)
		_, err = Open("file:"+dir, Options{}) // and the first attempt let go of the folder
		wantError(t, row+", again", err, words...)
	}
}

// TestFlippedLog changes a bit of the log, which was synced as a whole. The
// engine cannot tell damage of the log's last 32 KiB from a torn write, and
// drops what comes behind it; anywhere else it must refuse.
func TestFlippedLog(t *testing.T) {
	const changes, block = 150, 32 << 10
	fs := vfs.NewMem()
	s := mustOpen(t, "file:store", Options{Now: frozen, FS: fs})
	for n := range changes {
		if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
	whole := imageOf(t, fs, "store")
	log := whole.newest(".log")
	end := len(bytes.TrimRight(whole[log], "\x00"))
	last := end / block * block // where the last block begins
	if last < 2*block {
		t.Fatalf("the log has only %d bytes", end)
	}
	for n := range 60 {
		at := end * n / 60
		damaged := image{}
		for name, d := range whole {
			damaged[name] = d
		}
		damaged[log] = bytes.Clone(whole[log])
		damaged[log][at] ^= 1 << (n % 8)
		fs := damaged.fs(t)
		s, err := Open("file:store", Options{Now: frozen, FS: fs, Logger: logTo(t), Exit: stays(t)})
		if err != nil {
			wantError(t, "damage of the log", err, "store")
			continue
		}
		there := present(t, s, changes) // nothing in part, in any case
		mustClose(t, s)
		for n := range changes {
			if !there[n] && at < last {
				t.Errorf("a bit of byte %d of the log's %d changed: change %d is lost and nobody said so", at, end, n)
				break
			}
		}
	}
}
