package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// received is when the n-th request came.
func received(n int) time.Time {
	return time.Date(2026, 11, 21, 3, 14, 15, n, time.UTC)
}

// request is the n-th request of a source.
func request(source string, n int) ingest.Request {
	return ingest.Request{Source: source, Format: "alertmanager", ReceivedAt: received(n), Method: "POST", Path: "/ingest/" + source,
		ContentType: "application/json", Body: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// open opens a spool that is closed when the test ends.
func open(t testing.TB, dir string, change ...func(*Options)) *Spool {
	t.Helper()
	s, err := tryOpen(t, dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(t testing.TB, dir string, change ...func(*Options)) (*Spool, error) {
	t.Helper()
	o := Options{Config: Config{Dir: dir, MaxSize: ingest.GiB}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(o)
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

func mustAppend(t testing.TB, s *Spool, all ...ingest.Request) {
	t.Helper()
	for _, r := range all {
		if err := s.Append(t.Context(), r); err != nil {
			t.Fatalf("append %s: %v", r.Body, err)
		}
	}
}

// some returns requests from, … of a source.
func some(source string, from, to int) (all []ingest.Request) {
	for n := from; n < to; n++ {
		all = append(all, request(source, n))
	}
	return all
}

// sink remembers what was handed on.
type sink struct {
	mu    sync.Mutex
	taken map[string][]ingest.Request
	// refuse, if set, says what is wrong with the requests.
	refuse func(requests []ingest.Request, certain bool) error
}

func (k *sink) drain() Drain {
	return Drain{Ready: func(context.Context) error { return nil }, Replay: func(_ context.Context, requests []ingest.Request, certain bool) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.refuse != nil {
			if err := k.refuse(requests, certain); err != nil {
				return err
			}
		}
		if k.taken == nil {
			k.taken = map[string][]ingest.Request{}
		}
		k.taken[requests[0].Source] = append(k.taken[requests[0].Source], requests...)
		return nil
	}}
}

// drained hands on everything and returns it by source.
func drained(t tb, s *Spool) map[string][]ingest.Request {
	t.Helper()
	k := &sink{}
	drainInto(t, s, k)
	return k.taken
}

// drainInto runs the spool until it is empty.
func drainInto(t tb, s *Spool, k *sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r := &running{Spool: s, Drain: k.drain()}
	for s.Len() > 0 {
		if err := r.once(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// want compares what was handed on, field for field and in order.
func want(t tb, got map[string][]ingest.Request, want ...[]ingest.Request) {
	t.Helper()
	all := map[string][]ingest.Request{}
	for _, list := range want {
		for _, r := range list {
			all[r.Source] = append(all[r.Source], r)
		}
	}
	for source := range maps.Keys(all) {
		if same := slices.EqualFunc(got[source], all[source], equal); !same {
			t.Errorf("source %s: handed on %d requests %.300s\nwant %d %.300s", source, len(got[source]), list(got[source]), len(all[source]), list(all[source]))
		}
	}
	for source, requests := range got {
		if all[source] == nil {
			t.Errorf("source %s: handed on %s, want nothing", source, list(requests))
		}
	}
}

func equal(a, b ingest.Request) bool {
	return a.Source == b.Source && a.Format == b.Format && a.ReceivedAt.Equal(b.ReceivedAt) && a.Method == b.Method && a.Path == b.Path &&
		a.ContentType == b.ContentType && bytes.Equal(a.Body, b.Body)
}

func list(requests []ingest.Request) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&b, "%.20q ", r.Body)
	}
	return b.String()
}

// files lists the folder.
func files(t tb, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if name := f.Name(); name != "LOCK" && name != positionName {
			names = append(names, name)
		}
	}
	return names
}

// count reads a counter.
func count(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue()
}

func TestWhatIsAppendedIsHandedOn(t *testing.T) {
	odd := []ingest.Request{
		{Source: "a", ReceivedAt: received(1)},
		{Source: "a", Format: "x", ReceivedAt: time.Unix(-1, 5), Method: "PUT", Path: "/ingest/a/\x00\n", ContentType: "\xff" + string(mark[:]), Body: mark[:]},
		{Source: "a", ReceivedAt: received(3), ContentType: string(almost[:3]), Body: almost[3:]},
		{Source: "a", ReceivedAt: received(4), Body: bytes.Repeat(almost, 1000)},
		{Source: "a", ReceivedAt: received(5), Body: slices.Concat(escaped, escaped, almost, mark[:], []byte{0})},
		{Source: "a", ReceivedAt: received(6), Body: bytes.Repeat([]byte{0xff}, 300<<10)},
		{Source: "", ReceivedAt: received(7), Body: []byte("no name")},
	}
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "deep", "spool")
			s := open(t, dir)
			mustAppend(t, s, odd...)
			mustAppend(t, s, some("b", 0, 10)...)
			if got, want := s.Len(), len(odd)+10; got != want {
				t.Errorf("length: got %d, want %d", got, want)
			}
			if restart {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, dir)
			}
			if !s.Holds("a") || !s.Holds("b") || !s.Holds("") || s.Holds("c") {
				t.Errorf("holds a %t, b %t, the empty one %t, c %t; want all but c", s.Holds("a"), s.Holds("b"), s.Holds(""), s.Holds("c"))
			}
			want(t, drained(t, s), odd, some("b", 0, 10))
			if s.Holds("a") || s.Holds("b") || s.Len() != 0 {
				t.Errorf("afterwards: holds a %t, b %t, length %d", s.Holds("a"), s.Holds("b"), s.Len())
			}
			if got := files(t, dir); len(got) > 0 {
				t.Errorf("afterwards there is %v, want nothing", got)
			}
			mustAppend(t, s, some("c", 0, 3)...)
			want(t, drained(t, s), some("c", 0, 3))
			if n := count(s.metrics.damaged); n != 0 {
				t.Errorf("damaged: got %v, want 0", n)
			}
		})
	}
}

// TestManySendersAndADrain appends from many goroutines while the spool is
// emptied, and again after a restart.
func TestManySendersAndADrain(t *testing.T) {
	const sources, each = 5, 300
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.MaxSize = 4 * ingest.MiB })
	s.segmentSize = 4 << 10
	k := &sink{}
	ctx, stop := context.WithCancel(t.Context())
	var running, senders sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx, k.drain()); err != nil {
			t.Error(err)
		}
	})
	var expected [][]ingest.Request
	for n := range sources {
		all := some(fmt.Sprint("source-", n), 0, each)
		expected = append(expected, all)
		senders.Go(func() {
			for _, r := range all {
				if err := s.Append(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	stop()
	running.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	drainInto(t, s, k)
	want(t, k.taken, expected...)
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("afterwards there is %v, want nothing", got)
	}
}

// TestOneSyncServesAll: what comes while the disk is busy is synced together.
func TestOneSyncServesAll(t *testing.T) {
	const senders = 50
	s := open(t, t.TempDir())
	mustAppend(t, s, request("a", 0))
	entered, release := make(chan struct{}, 3), make(chan struct{})
	s.disk.sync = func(f *os.File) error {
		entered <- struct{}{}
		<-release
		return f.Sync()
	}
	var wg sync.WaitGroup
	send := func(n int) {
		wg.Go(func() {
			if err := s.Append(t.Context(), request("a", n)); err != nil {
				t.Error(err)
			}
		})
	}
	send(1)
	<-entered
	for n := range senders {
		send(2 + n)
	}
	for waiting := 0; waiting < senders; runtime.Gosched() {
		s.mu.Lock()
		if s.batch != nil {
			waiting = len(s.batch.records)
		}
		s.mu.Unlock()
	}
	close(release)
	wg.Wait()
	if more := len(entered); more != 1 {
		t.Errorf("%d requests that came together took %d syncs, want 1", senders, more)
	}
	if got := s.Len(); got != senders+2 {
		t.Errorf("length: got %d, want %d", got, senders+2)
	}
}

// TestADiskThatDoesNotAnswer: senders do not wait for it for ever, and what they
// sent does not fill the memory.
func TestADiskThatDoesNotAnswer(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, request("a", 0))
	entered, release := make(chan struct{}, 3), make(chan struct{})
	s.disk.sync = func(f *os.File) error {
		entered <- struct{}{}
		<-release
		return f.Sync()
	}
	var wg sync.WaitGroup
	large := request("a", 1)
	large.Body = make([]byte, 100<<20)
	for range 2 { // the first writes, the second is the first of the next batch
		wg.Go(func() {
			if err := s.Append(t.Context(), large); err != nil {
				t.Error(err)
			}
		})
		for joined := false; !joined; runtime.Gosched() {
			s.mu.Lock()
			joined = s.inflight >= int64(len(large.Body))
			s.mu.Unlock()
		}
		if len(entered) == 0 {
			<-entered
			entered <- struct{}{}
		}
	}
	for waiting := false; !waiting; runtime.Gosched() {
		s.mu.Lock()
		waiting = s.batch != nil
		s.mu.Unlock()
	}
	if err := s.Append(t.Context(), large); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("300 MiB at a time: got %v, want an error that is not ErrFull", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, request("a", 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("the sender's time is over: got %v, want context.Canceled", err)
	}
	close(release)
	wg.Wait()
	if got := s.Len(); got != 4 { // the one nobody waited for is there too
		t.Errorf("length: got %d, want 4", got)
	}
}

func TestOnlyOneProcessUsesAFolder(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	mustAppend(t, first, request("a", 0))
	if _, err := tryOpen(t, dir); err == nil || !strings.Contains(err.Error(), "another process uses it") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second one: got %v, want an error that says why, and names the folder", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if second := open(t, dir); second.Len() != 1 {
		t.Errorf("after the first was closed: length %d, want 1", second.Len())
	}
}

func TestNothingIsTouchedBeforeItIsNeeded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := open(t, dir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Open the folder is there: %v", err)
	}
	for range 2 {
		if err := s.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, filepath.Join(file, "spool")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder that cannot be made: got %v, want an error that names it", err)
	}
}

func TestFull(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.MaxSize = 4 << 10 })
	kept := 0
	var err error
	for ; err == nil && kept < 1000; kept++ {
		err = s.Append(t.Context(), request("a", kept))
	}
	kept--
	if !errors.Is(err, ErrFull) || kept < 10 {
		t.Fatalf("after %d requests: got %v, want ErrFull", kept, err)
	}
	if n := count(s.metrics.full); n != 1 {
		t.Errorf("full: got %v, want 1", n)
	}
	if s.bytes > 4<<10 {
		t.Errorf("%d bytes, more than max_size", s.bytes)
	}
	want(t, drained(t, s), some("a", 0, kept))
	mustAppend(t, s, request("a", kept))
	want(t, drained(t, s), some("a", kept, kept+1))
}

// failingWriter writes half of what it is given and fails.
type failingWriter struct {
	file *os.File
	err  error
}

func (w failingWriter) Write(b []byte) (int, error) {
	n, err := w.file.Write(b[:len(b)/2])
	return n, errors.Join(err, w.err)
}

// TestAFileThatFailedIsNotWrittenAgain: whatever fails, the request is not
// acknowledged, those before and after it are kept, each in a file that never
// failed.
func TestAFileThatFailedIsNotWrittenAgain(t *testing.T) {
	errDisk := syscall.EIO
	for _, c := range []struct {
		name string
		disk disk
		full bool
		// first: it fails in a new segment.
		first bool
	}{
		{name: "sync", disk: disk{writer: realDisk.writer, sync: func(*os.File) error { return errDisk }}},
		{name: "write", disk: disk{writer: func(f *os.File) io.Writer { return failingWriter{f, errDisk} }, sync: realDisk.sync}},
		{name: "no space", disk: disk{writer: func(f *os.File) io.Writer { return failingWriter{f, syscall.ENOSPC} }, sync: realDisk.sync}, full: true},
		{name: "sync of a new file", first: true, disk: disk{writer: realDisk.writer, sync: func(*os.File) error { return errDisk }}},
		{name: "no space for a new file", first: true, disk: disk{writer: func(f *os.File) io.Writer { return failingWriter{f, syscall.ENOSPC} }, sync: realDisk.sync}, full: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			kept := []ingest.Request{}
			if !c.first {
				kept = some("a", 0, 3)
				mustAppend(t, s, kept...)
			}
			failed := s.current
			s.disk = c.disk
			for range 3 {
				if err := s.Append(t.Context(), request("a", 100)); err == nil || errors.Is(err, ErrFull) != c.full {
					t.Fatalf("got %v, want an error that is ErrFull: %t", err, c.full)
				}
			}
			s.disk = realDisk
			if s.Len() != len(kept) {
				t.Errorf("length: got %d, want %d", s.Len(), len(kept))
			}
			after := some("a", 3, 5)
			mustAppend(t, s, after...)
			if s.current == failed {
				t.Error("the file that failed was written again")
			}
			if n := count(s.metrics.full); (n == 3) != c.full {
				t.Errorf("full: got %v", n)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			want(t, drained(t, s), kept, after)
			if n := count(s.metrics.damaged); n != 0 {
				t.Errorf("damaged: got %v, want 0: nothing that was acknowledged was lost", n)
			}
			if got := files(t, dir); len(got) > 0 {
				t.Errorf("afterwards there is %v, want nothing", got)
			}
		})
	}
}

// TestKilledInAWrite cuts a write that was never acknowledged at each of its
// bytes: nothing is lost, and nothing is called damage.
func TestKilledInAWrite(t *testing.T) {
	record := newRecord(request("a", 3))
	frame := record.frame(1)
	whole := slices.Concat(frame[:], record.meta, record.body)
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		s := open(t, dir)
		mustAppend(t, s, some("a", 0, 3)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, segmentName(1)), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(whole[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		n := 3
		if cut == len(whole) {
			n = 4 // it was not acknowledged, but it is there
		}
		mustAppend(t, s, some("a", n, 6)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		want(t, drained(t, s), some("a", 0, 6))
		if n := count(s.metrics.damaged); n != 0 {
			t.Errorf("cut at %d: damaged: got %v, want 0", cut, n)
		}
		if t.Failed() {
			t.Fatalf("cut at %d of %d", cut, len(whole))
		}
	}
}

func TestWhatWasMarkedDoesNotComeAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.segmentSize = 512
	mustAppend(t, s, some("a", 0, 50)...)
	r := &running{Spool: s, Drain: (&sink{}).drain()}
	before := len(files(t, dir))
	ctx := t.Context()
	// A round of ten, as if there had been no more.
	round, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	short := firstOf(t, s, round, 10)
	if err := r.hand(ctx, short); err != nil {
		t.Fatal(err)
	}
	s.mark(short)
	if got := len(files(t, dir)); got >= before {
		t.Errorf("%d segments, before it %d: those that were applied are to go", got, before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	want(t, drained(t, s), some("a", 10, 50))
	if n := count(s.metrics.damaged); n != 0 {
		t.Errorf("damaged: got %v, want 0", n)
	}
}

// firstOf is the round cut to its first n requests, which are of one source.
func firstOf(t *testing.T, s *Spool, r *round, n int) *round {
	t.Helper()
	cut := &round{requests: n, groups: []*group{{source: r.groups[0].source, requests: r.groups[0].requests[:n]}}}
	for _, p := range r.parts {
		if p.n = min(p.n, n); p.n == 0 {
			break
		}
		n -= p.n
		in := &reader{number: p.segment.seed, end: p.segment.end}
		file, _, err := openReader(p.segment.path)
		if err != nil {
			t.Fatal(err)
		}
		in.file = file
		p.to = headerSize
		for range p.n {
			if _, _, p.to, err = in.next(p.to, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		cut.parts = append(cut.parts, p)
	}
	return cut
}

// TestWithoutItsPosition: all that is there comes again, which does no harm. That
// files which were removed before are missing is not said then.
func TestWithoutItsPosition(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"lost":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{7}, positionSize), 0o600) },
		"short":   func(path string) error { return os.Truncate(path, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			mustAppend(t, s, some("b", 0, 20)...)
			want(t, drained(t, s), some("b", 0, 20))
			mustAppend(t, s, some("a", 0, 20)...)
			round, err := s.read()
			if err != nil {
				t.Fatal(err)
			}
			s.mark(firstOf(t, s, round, 10))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(dir, positionName)); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			want(t, drained(t, s), some("a", 0, 20))
			mustAppend(t, s, some("a", 20, 30)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			want(t, drained(t, s), some("a", 20, 30))
			if n := count(s.metrics.damaged); n != 0 {
				t.Errorf("damaged: got %v, want 0", n)
			}
		})
	}
}

// TestASegmentWithNothingInIt may be removed, by a failing disk, while others are read.
func TestASegmentWithNothingInIt(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, some("a", 0, 3)...)
	s.leave()
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.current.path); err != nil {
		t.Fatal(err)
	}
	want(t, drained(t, s), some("a", 0, 3))
	if n := count(s.metrics.damaged); n != 0 {
		t.Errorf("damaged: got %v, want 0", n)
	}
}

func TestANewerVersionIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	b := header{number: 1}.bytes()[:headerSize-4]
	b[8] = version + 1
	path := filepath.Join(dir, segmentName(1))
	newer := append(b, checksumOf(b)...)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want an error that names the file and its version", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("the file was changed: %v", err)
	}
}

// TestRefused: what is refused comes again, and at last with certain; what is
// only unavailable comes again for ever.
func TestRefused(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		mustAppend(t, s, some("good", 0, 3)...)
		mustAppend(t, s, some("bad", 0, 3)...)
		mustAppend(t, s, some("good", 3, 5)...)
		var uncertain, certain, away int
		k := &sink{refuse: func(requests []ingest.Request, sure bool) error {
			switch {
			case requests[0].Source == "good":
				return nil
			case away < 10:
				away++
				return fmt.Errorf("away: %w", ingest.ErrUnavailable)
			case sure:
				certain++
				return nil
			}
			uncertain++
			return errors.New("no, thank you")
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := s.Run(ctx, k.drain()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		run.Wait()
		if away != 10 || uncertain != tries || certain != 1 {
			t.Errorf("unavailable %d times, refused %d, then with certain %d; want 10, %d, 1", away, uncertain, certain, tries)
		}
		want(t, k.taken, some("good", 0, 5), some("bad", 0, 3))
		if s.Len() != 0 {
			t.Errorf("length: got %d, want 0", s.Len())
		}
	})
}

// TestNothingIsTriedWhileTheStoreIsAway, and soon after it is back all is handed on.
func TestNothingIsTriedWhileTheStoreIsAway(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		mustAppend(t, s, some("a", 0, 10)...)
		start := time.Now()
		back := start.Add(10 * time.Minute)
		var first time.Time
		k := &sink{refuse: func([]ingest.Request, bool) error {
			first = time.Now()
			return nil
		}}
		d := k.drain()
		probes := 0
		d.Ready = func(context.Context) error {
			if probes++; time.Now().Before(back) {
				return errors.New("connection refused")
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := s.Run(ctx, d); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		cancel()
		run.Wait()
		want(t, k.taken, some("a", 0, 10))
		if late := first.Sub(back); late < 0 || late > time.Second {
			t.Errorf("handed on %s after the store was back, want within a second", late)
		}
		if probes > 10*60*3 {
			t.Errorf("%d probes in ten minutes", probes)
		}
	})
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := request("a", 1)
	r.Path, r.ContentType = "/ingest/a b\nc", "text/plain\r\nX-Evil: 1"
	first, err := s.SetAside(r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.SetAside(r); err != nil || again != first {
		t.Errorf("the same again: got %s, %v, want %s", again, err, first)
	}
	if got := files(t, filepath.Join(dir, asideFolder)); len(got) != 1 {
		t.Errorf("got %v, want one file", got)
	}
	f, err := os.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, body, err := ingest.ReadHTTP(f, ingest.MiB)
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.URL.Path != r.Path || got.Header.Get("X-Evil") != "" || !bytes.Equal(body, r.Body) || got.Header.Get("X-Tocsin-Source") != "a" {
		t.Errorf("got %s %q %v %s, want the request", got.Method, got.URL.Path, got.Header, body)
	}
	mustAppend(t, s, request("a", 0))
	want(t, drained(t, s), some("a", 0, 1))
}

func TestMetrics(t *testing.T) {
	now := received(0)
	registry := prometheus.NewRegistry()
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.Now, o.Registerer = func() time.Time { return now }, registry })
	value := func(name string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				m := f.GetMetric()[0]
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no %s", name)
		return 0
	}
	check := func(when string, entries, oldest, appended, drained float64) {
		t.Helper()
		for name, want := range map[string]float64{"tocsin_spool_entries": entries, "tocsin_spool_oldest_seconds": oldest,
			"tocsin_spool_appended_total": appended, "tocsin_spool_drained_total": drained, "tocsin_spool_damaged_total": 0, "tocsin_spool_full_total": 0} {
			if got := value(name); got != want {
				t.Errorf("%s: %s: got %v, want %v", when, name, got, want)
			}
		}
		if got := value("tocsin_spool_bytes"); (got > 0) != (entries > 0) {
			t.Errorf("%s: tocsin_spool_bytes: got %v", when, got)
		}
	}
	check("new", 0, 0, 0, 0)
	mustAppend(t, s, some("a", 0, 5)...)
	now = now.Add(time.Minute)
	check("filled", 5, 60, 5, 0)
	want(t, drained(t, s), some("a", 0, 5))
	check("emptied", 0, 0, 5, 5)
}

func BenchmarkAppend(b *testing.B) {
	body := []byte(`{"version":"4","alerts":[` + strings.Repeat(" ", 1000) + `]}`)
	for _, senders := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			o := Options{Config: Config{Dir: b.TempDir(), MaxSize: 64 * ingest.GiB}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
			s, err := Open(o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r := request("a", 1)
			r.Body = body
			b.SetBytes(int64(len(body)))
			b.SetParallelism(max(1, senders/runtime.GOMAXPROCS(0)))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Append(b.Context(), r); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
