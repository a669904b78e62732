package recorder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

func TestWhatIsRecordedIsThere(t *testing.T) {
	g := newRig(t, nil)
	want := ingest.Request{Source: "site-b", Format: "nrdp", Method: http.MethodGet, Path: "/ingest/site-b/", ContentType: "a/b; c=\"d\"",
		Body: []byte("\x00\xffbinary"), ReceivedAt: morning.Add(-time.Nanosecond)}
	g.Record(want, http.StatusAccepted)
	g.Record(ingest.Request{Source: "empty", ReceivedAt: morning}, http.StatusBadRequest)
	g.writer.drain()
	list := g.list(Query{Limit: 10})
	if len(list) != 2 || list[0].Source != "empty" || list[0].Code != http.StatusBadRequest || list[1].Size != len(want.Body) {
		t.Fatalf("got %+v", list)
	}
	got, err := g.Get(t.Context(), list[1].ID())
	if err != nil || !reflect.DeepEqual(got.Request, want) || got.Code != http.StatusAccepted {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	g.counted(2, 0, 0)
	for _, id := range []string{"", "0", "x", "0000000000000000", formatNumber(1 << 62), strings.ToUpper(list[0].ID()) + "0"} {
		if got, err := g.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("id %q: got %+v, %v", id, got, err)
		}
	}
	for _, cursor := range []string{"x", "12", "00000000000000001"} {
		if _, _, err := g.List(t.Context(), Query{Limit: 1, Cursor: cursor}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: got %v", cursor, err)
		}
	}
}

func TestFilters(t *testing.T) {
	g := newRig(t, nil)
	for n, source := range []string{"a", "b", "a", "c"} {
		g.record(source, 2) // 1 2 · 3 4 · 5 6 · 7 8, a minute apart
		if n == 1 {
			g = g.again(nil) // the others are in another segment
			g.n = 4
		}
		g.clock.add(time.Minute)
	}
	for name, c := range map[string]struct {
		q    Query
		want string
	}{
		"all":           {Query{}, "8 7 6 5 4 3 2 1"},
		"source":        {Query{Source: "a"}, "6 5 2 1"},
		"no such":       {Query{Source: "d"}, ""},
		"from":          {Query{From: morning.Add(2 * time.Minute)}, "8 7 6 5"},
		"to":            {Query{To: morning.Add(2 * time.Minute)}, "4 3 2 1"},
		"both":          {Query{From: morning.Add(time.Minute), To: morning.Add(time.Minute + 1)}, "4 3"},
		"and a source":  {Query{Source: "a", From: morning.Add(time.Minute)}, "6 5"},
		"year 1 to ∞":   {Query{From: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, "8 7 6 5 4 3 2 1"},
		"nothing in it": {Query{From: morning.Add(time.Hour)}, ""},
	} {
		for limit := 1; limit < 10; limit++ {
			c.q.Limit = limit
			var got []string
			for _, body := range g.bodies(g.list(c.q)) {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(body, `{"n":`), "}"))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, %d a page: got %v, want %s", name, limit, got, c.want)
			}
		}
	}
}

// sharing returns another source that shares its bit.
func sharing(source string) string {
	for n := 0; ; n++ {
		if name := fmt.Sprint("s", n); sourceBit(name) == sourceBit(source) {
			return name
		}
	}
}

// TestTwoSourcesOfOneBit: what a block says of its sources is only a hint.
func TestTwoSourcesOfOneBit(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 1)
	if got := g.list(Query{Source: sharing("a"), Limit: 5}); len(got) > 0 {
		t.Errorf("got %+v, want none", got)
	}
}

// TestPagesWhileWriting: each row is on one page although others come meanwhile,
// and old ones go.
func TestPagesWhileWriting(t *testing.T) {
	g := newRig(t, sized(ingest.MiB, 0))
	for range 10 {
		g.record("a", 3)
	}
	seen, last := map[string]int{}, ""
	q := Query{Limit: 4}
	for {
		page, next, err := g.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if last != "" && r.ID() >= last {
				t.Errorf("%s comes after %s", r.ID(), last)
			}
			last = r.ID()
			seen[last]++
		}
		if g.record("a", 5); next == "" {
			break
		}
		q.Cursor = next
	}
	if len(seen) != 30 {
		t.Errorf("got %d rows, want the 30 that were there", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

// TestLongSearch: a page ends behind what may be read for it, and nothing is skipped.
func TestLongSearch(t *testing.T) {
	g := newRig(t, nil)
	zeros := make([]byte, scanLimit/3)
	const blocks = 10
	for n := range blocks {
		source := sharing("quiet")
		if n%5 == 0 {
			source = "quiet"
		}
		g.Record(request(source, n, g.clock.now()), 200)
		loud := request("loud", n, g.clock.now())
		loud.Body = zeros
		g.Record(loud, 200)
		g.writer.drain()
		if n%4 == 3 {
			if err := g.writer.leave(); err != nil { // also from one segment to the next
				t.Fatal(err)
			}
			g.clock.add(time.Second)
		}
	}
	pages, found := 1, 0
	for q := (Query{Source: "quiet", Limit: 100}); ; pages++ {
		page, next, err := g.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page)
		if next == "" {
			break
		}
		q.Cursor = next
	}
	if found != 2 || pages < blocks/3 || pages > blocks {
		t.Errorf("found %d on %d pages, want 2 on a few", found, pages)
	}
	if all := g.list(Query{Limit: 100}); len(all) != 2*blocks {
		t.Errorf("got %d, want %d", len(all), 2*blocks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := g.List(ctx, Query{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that is gone: got %v", err)
	}
}

func TestFullQueue(t *testing.T) {
	g := newRig(t, nil)
	large := request("a", 0, morning)
	large.Body = make([]byte, queueBytes+1)
	g.Record(large, 200) // alone it may be larger than the queue
	g.Record(request("a", 1, morning), 200)
	g.writer.drain()
	g.counted(1, 1, 0)
	for range queueLength + 5 {
		g.Record(request("a", 2, morning), 200)
	}
	if waits := g.waits.Load(); waits > queueBytes {
		t.Errorf("%d bytes wait", waits)
	}
	g.writer.drain()
	g.counted(1+queueLength, 1+5, 0)
	if waits := g.waits.Load(); waits != 0 {
		t.Errorf("nothing waits, but %d bytes are counted", waits)
	}
	large.Body = make([]byte, maxRecord)
	g.Record(large, 200)
	g.counted(1+queueLength, 1+6, 0)
	g.writer.report()
	g.missed.Add(1)
	g.writer.report()
	if got := strings.Count(g.log.String(), "requests=7"); got != 1 || strings.Count(g.log.String(), "\n") != 1 {
		t.Errorf("the log has %s, want one line a minute", g.log)
	}
}

// TestRun: what is recorded is there after a second, and all of it at the end.
func TestRun(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := open(t, t.TempDir(), &clock{t: morning}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		g.Record(request("a", 1, morning), 200)
		time.Sleep(flushEvery)
		synctest.Wait()
		g.want(1)
		g.Record(request("a", 2, morning), 200)
		synctest.Wait()
		g.want(1)
		time.Sleep(flushEvery)
		synctest.Wait()
		g.want(2, 1)
		g.clock.add(8 * 24 * time.Hour)
		time.Sleep(flushEvery)
		synctest.Wait()
		g.want() // all of the segment is too old
		g.Record(request("a", 3, morning), 200)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.Record(request("a", 4, morning), 200)
		g.stop()
		g.again(nil).want(4, 3)
	})
}

// TestAtTheSameTime: requests come, segments go, and people read.
func TestAtTheSameTime(t *testing.T) {
	g := newRig(t, sized(ingest.MiB, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	var running, senders, readers sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const each = 200
	body := random(20 << 10)
	for range 4 {
		senders.Go(func() {
			for range each {
				r := request("a", 0, g.clock.now())
				r.Body = body
				g.Record(r, 200)
				g.clock.add(time.Second)
			}
		})
		readers.Go(func() {
			for range each {
				page, _, err := g.List(ctx, Query{Limit: 5})
				if err != nil {
					t.Error(err)
				}
				for _, listed := range page {
					got, err := g.Get(ctx, listed.ID())
					if err != nil && !errors.Is(err, ErrNotFound) || err == nil && !bytes.Equal(got.Body, body) {
						t.Errorf("got %d bytes, %v", len(got.Body), err)
					}
				}
			}
		})
	}
	senders.Wait()
	readers.Wait()
	cancel()
	running.Wait()
	if records, dropped := value(t, g.metrics.records), value(t, g.metrics.dropped); records+dropped != 4*each || records == 0 {
		t.Errorf("%v are recorded and %v dropped, want %d together", records, dropped, 4*each)
	}
	if damaged := value(t, g.metrics.damaged); damaged > 0 {
		t.Errorf("%v places are damaged", damaged)
	}
}

func TestRotation(t *testing.T) {
	g := newRig(t, sized(ingest.GiB, 0))
	g.record("a", 1)
	g.clock.add(longestSegment - 1)
	g.record("a", 1)
	if n := len(g.files()); n != 1 {
		t.Fatalf("got %d files within the hour, want 1", n)
	}
	g.clock.add(1)
	g.record("a", 1)
	if n := len(g.files()); n != 2 {
		t.Fatalf("got %d files after an hour, want 2", n)
	}
	noise := request("a", 4, g.clock.now())
	noise.Body = random(largestSegment)
	g.Record(noise, 200)
	g.writer.drain()
	if n := len(g.files()); n != 2 {
		t.Fatalf("got %d files, want 2: one that is full ends with the block that fills it", n)
	}
	g.record("a", 1)
	if n := len(g.files()); n != 3 {
		t.Fatalf("got %d files, want 3", n)
	}
	g.counted(5, 0, 0)
	if got := len(g.list(Query{Limit: 2})); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // it never fails
	return b
}

func TestOldOnesAreRemoved(t *testing.T) {
	g := newRig(t, sized(ingest.GiB, 8*time.Hour))
	for range 4 {
		g.record("a", 1)
		g.clock.add(time.Hour)
	}
	g.clock.add(4*time.Hour - 1)
	g.writer.expire()
	g.want(4, 3, 2, 1)
	g.clock.add(1)
	g.writer.expire()
	g.want(4, 3, 2)
	g = g.again(sized(ingest.GiB, 8*time.Hour)) // it knows their age from the files
	g.clock.add(time.Hour)
	g.writer.expire()
	g.want(4, 3)
	g.n = 4
	g.record("a", 1)
	g.clock.add(24 * time.Hour)
	g.writer.expire() // the one that is written to, too
	g.want()
	g.record("a", 1)
	g.want(6)
	if n := len(g.files()); n != 1 {
		t.Errorf("got %d files, want 1", n)
	}
}

func TestNoMoreThanMaxSize(t *testing.T) {
	g := newRig(t, sized(ingest.MiB, 0))
	var newest string
	for n := range 100 {
		r := request("a", n, morning)
		r.Body = append(random(40<<10), fmt.Sprint(n)...)
		newest = string(r.Body)
		g.Record(r, 200)
		g.writer.drain()
		if g.bytes > int64(ingest.MiB) {
			t.Fatalf("%d bytes after %d", g.bytes, n)
		}
	}
	list := g.list(Query{Limit: 10})
	if len(list) < 20 || g.bodies(list[:1])[0] != newest {
		t.Errorf("%d of 100 are left, want 20 or more, and the newest first", len(list))
	}
	g.counted(100, 0, 0)
	huge := request("a", 101, morning)
	huge.Body = random(1 << 20)
	g.Record(huge, 200)
	g.writer.drain()
	g.counted(100, 1, 0)
	if !strings.Contains(g.log.String(), "max_size is 1MiB") {
		t.Errorf("the log does not say why: %s", g.log)
	}
	g.record("a", 1)
	if !strings.Contains(g.log.String(), "recorded again") {
		t.Errorf("the log does not say that it is over: %s", g.log)
	}
	// A smaller limit, after a restart.
	g.stop()
	g = g.again(sized(256*ingest.KiB, 0))
	g.record("a", 1)
	if g.bytes > int64(256*ingest.KiB) {
		t.Errorf("%d bytes", g.bytes)
	}
}

func TestFolder(t *testing.T) {
	g := newRig(t, nil)
	o := g.opts
	o.Registerer = newRegistry()
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process uses it; give each its own recorder.dir") {
		t.Errorf("a second one: got %v", err)
	}
	g.record("a", 2)
	g.stop()
	for _, name := range []string{"notes.txt", "12.recording", "x" + segmentSuffix} {
		if err := os.WriteFile(g.dir+"/"+name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g = g.again(nil)
	g.want(2, 1)
	g.stop()
	info, err := os.Stat(g.dir + "/" + formatNumber(uint64(morning.UnixMicro())) + segmentSuffix)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	newer := append(bytes.Clone(segmentMagic[:]), 2, 0, 0, 0)
	if err := os.WriteFile(g.dir+"/"+formatNumber(1<<60)+segmentSuffix, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Registerer = newRegistry()
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("of a newer version: got %v", err)
	}
	o.Registerer, o.Redact = newRegistry(), []Rule{{Match: "("}}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "redact[0]") {
		t.Errorf("with a wrong rule: got %v", err)
	}
}

// TestDiskFails: what cannot be written is counted, and what was is there.
func TestDiskFails(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 2)
	if err := g.writer.file.Close(); err != nil {
		t.Fatal(err)
	}
	g.record("a", 3)
	g.counted(2, 3, 0)
	g.clock.add(time.Second)
	g.record("a", 1)
	g.counted(3, 3, 0)
	g.want(6, 2, 1)
	if log := g.log.String(); strings.Count(log, "not recorded") != 1 || strings.Count(log, "recorded again") != 1 {
		t.Errorf("the log has %s", log)
	}
}

func TestRedaction(t *testing.T) {
	g := newRig(t, func(o *Options) {
		o.Redact = []Rule{{Match: `[\w.]+@[\w.]+`}, {Match: `"phone":"[^"]*"`, Replace: `"phone":"$1"`}, {Match: `(?i)secret`, Replace: "-"}}
	})
	for _, c := range []struct{ body, want string }{
		{`{"to":"ann.lee@example.com","cc":["b@c.d","e@f.g"]}`, `{"to":"[redacted]","cc":["[redacted]","[redacted]"]}`},
		{`{"phone":"+49 30 1","name":"x"}`, `{"phone":"$1","name":"x"}`},
		{"SECRET secret \xff", "- - \xff"},
		{`nothing`, `nothing`},
	} {
		r := request("a", 0, morning)
		r.Body = []byte(c.body)
		g.Record(r, 200)
		g.writer.drain()
		list := g.list(Query{Limit: 10})
		if got := g.bodies(list[:1])[0]; got != c.want || list[0].Size != len(c.want) {
			t.Errorf("of %q: got %q, want %q", c.body, got, c.want)
		}
		if string(r.Body) != c.body {
			t.Errorf("the request itself was changed: %q", r.Body)
		}
	}
	// A rule that matches everything does not make gigabytes.
	rules, err := compile([]Rule{{Match: `a`, Replace: strings.Repeat("x", 100)}, {Match: `x|`, Replace: strings.Repeat("y", 100)}})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("a"), 1<<20)
	if got := redact(rules, body); len(got) > 2*len(body)+growth || bytes.ContainsAny(got, "ax") {
		t.Errorf("got %d bytes of %d, or something that should not be there", len(got), len(body))
	}
}
