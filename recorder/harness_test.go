package recorder

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// morning is when the tests begin.
var morning = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// rig is a recorder whose writer the test is itself: nothing runs beside it.
type rig struct {
	*Recorder
	t     testing.TB
	clock *clock
	dir   string
	log   *bytes.Buffer
	// n numbers the requests.
	n int
}

// open opens a recorder in the folder, of 1 GiB and 7 days unless change says otherwise.
func open(t testing.TB, dir string, c *clock, change func(*Options)) *rig {
	t.Helper()
	g := &rig{t: t, clock: c, dir: dir, log: &bytes.Buffer{}}
	o := Options{Config: DefaultConfig(), Now: c.now, Log: slog.New(slog.NewTextHandler(g.log, nil)), Registerer: prometheus.NewRegistry()}
	o.Dir = dir
	if change != nil {
		change(&o)
	}
	var err error
	if g.Recorder, err = Open(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	return g
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	return open(t, t.TempDir(), &clock{t: morning}, change)
}

// stop closes the recorder, once.
func (g *rig) stop() {
	if g.Recorder == nil {
		return
	}
	if err := g.Close(); err != nil {
		g.t.Error(err)
	}
	g.Recorder = nil
}

// again opens the folder once more, as after a kill if the recorder was not stopped.
func (g *rig) again(change func(*Options)) *rig {
	g.t.Helper()
	if g.Recorder != nil {
		if err := g.lock.Close(); err != nil { // as the kernel does
			g.t.Fatal(err)
		}
		g.Recorder = nil
	}
	return open(g.t, g.dir, g.clock, change)
}

// request is the n-th one; its body says so.
func request(source string, n int, at time.Time) ingest.Request {
	return ingest.Request{Source: source, Format: "alertmanager", Method: http.MethodPost, Path: "/ingest/" + source, ContentType: "application/json",
		Body: fmt.Appendf(nil, `{"n":%d}`, n), ReceivedAt: at}
}

// record records n requests and writes them in one block.
func (g *rig) record(source string, n int) {
	g.t.Helper()
	for range n {
		g.n++
		g.Record(request(source, g.n, g.clock.now()), http.StatusOK)
	}
	g.writer.drain()
}

// list reads all pages of so many rows.
func (g *rig) list(q Query) (all []Recording) {
	g.t.Helper()
	for {
		page, next, err := g.List(g.t.Context(), q)
		if err != nil {
			g.t.Fatal(err)
		}
		if len(page) > q.Limit {
			g.t.Errorf("a page of %d, want %d at most", len(page), q.Limit)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if next == q.Cursor {
			g.t.Fatalf("the cursor %s gives itself", next)
		}
		q.Cursor = next
	}
}

// bodies gets what the recordings hold, which are listed without.
func (g *rig) bodies(list []Recording) (out []string) {
	g.t.Helper()
	for _, r := range list {
		whole, err := g.Get(g.t.Context(), r.ID())
		if err != nil {
			g.t.Fatalf("%s: %v", r.ID(), err)
		}
		if r.Body != nil || whole.Size != len(whole.Body) || r.Size != whole.Size {
			g.t.Errorf("listed %+v, got %+v", r, whole)
		}
		out = append(out, string(whole.Body))
	}
	return out
}

// want compares all that is recorded with the numbers of requests, newest first.
func (g *rig) want(numbers ...int) {
	g.t.Helper()
	got, want := g.bodies(g.list(Query{Limit: 7})), []string{}
	for _, n := range numbers {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n))
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("got %v, want %v", got, want)
	}
}

// files are the segments of the folder.
func (g *rig) files() []string {
	g.t.Helper()
	found, err := filepath.Glob(filepath.Join(g.dir, "*"+segmentSuffix))
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

// counted wants the values of the counters.
func (g *rig) counted(records, dropped, damaged float64) {
	g.t.Helper()
	m := g.metrics
	got := []float64{value(g.t, m.records), value(g.t, m.dropped), value(g.t, m.damaged)}
	if want := []float64{records, dropped, damaged}; !slices.Equal(got, want) {
		g.t.Errorf("records, dropped, damaged: got %v, want %v", got, want)
	}
	var size float64
	for _, f := range g.files() {
		info, err := os.Stat(f)
		if err != nil {
			g.t.Fatal(err)
		}
		size += float64(info.Size())
	}
	if got := value(g.t, m.bytes); got != size {
		g.t.Errorf("bytes: got %v, want %v", got, size)
	}
}

// value is that of a counter or gauge.
func value(tb testing.TB, c prometheus.Collector) float64 {
	tb.Helper()
	metrics := make(chan prometheus.Metric, 1)
	c.Collect(metrics)
	var out dto.Metric
	if err := (<-metrics).Write(&out); err != nil {
		tb.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// captures are the bodies that real senders sent.
func captures(tb testing.TB) (bodies [][]byte) {
	tb.Helper()
	for _, root := range []string{"../ingest/testdata/captures", "../ingest/formats/testdata/captures"} {
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(file, ".expect.json") || filepath.Ext(file) != ".http" && filepath.Ext(file) != ".json" && filepath.Ext(file) != ".eml" {
				return err
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if filepath.Ext(file) == ".http" {
				_, body, err := ingest.ReadHTTP(bytes.NewReader(content), 64*ingest.MiB)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				content = body
			}
			bodies = append(bodies, content)
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return bodies
}

func sized(size ingest.ByteSize, age time.Duration) func(*Options) {
	return func(o *Options) { o.MaxSize, o.MaxAge = size, model.Duration(age) }
}
