package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/testbubble"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/live"
)

// client is somebody who follows a stream.
type client struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	text     strings.Builder
	unsent   bool      // something was written after the last flush
	deadline time.Time // of the next write
	err      error     // of the next write
	done     chan struct{}
	stop     context.CancelFunc
}

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) { c.status = status }

func (c *client) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

func (c *client) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !c.deadline.After(time.Now()) {
		c.err = errors.New("the deadline of the write has passed")
	}
	if c.err != nil {
		return 0, c.err
	}
	c.unsent = true
	return c.text.Write(b)
}

func (c *client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsent = false
}

// read returns what has come since the last time.
func (c *client) read() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.text.Reset()
	if c.unsent {
		return "it was not flushed: " + c.text.String()
	}
	return c.text.String()
}

func (c *client) over() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// followed is a server whose store is watched, in a bubble.
type followed struct {
	*server
	live *live.Live
}

func newFollowed(t *testing.T) *followed {
	f := &followed{}
	f.server = newServer(t, withAdmin, func(o *web.Options) { f.live = o.Live; o.Now = time.Now })
	f.token = adminToken
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.live.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// follow opens a stream; headers are name, value, name, value.
func (f *followed) follow(query string, headers ...string) *client {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/stream"+query, nil)
	r.Host, r.RemoteAddr = f.host, f.address
	r.Header.Set("Authorization", "Bearer "+f.token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c := &client{header: http.Header{}, status: 200, done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.done)
		f.engine.ServeHTTP(c, r)
	}()
	f.t.Cleanup(func() { cancel(); <-c.done })
	synctest.Wait()
	return c
}

// acknowledged acknowledges an incident, and gives it the time to get round.
func (f *followed) acknowledged(id string) {
	f.t.Helper()
	f.do(id, "acknowledge", `{"by":"ann"}`)
	time.Sleep(time.Second)
}

func TestStream(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		one, two := f.accept(f.firing("DiskFull", "db")), f.accept(f.firing("Core", "net"))
		all, own, brief := f.follow(""), f.follow("?incident="+two), f.follow("?detail=none")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
			if got := all.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if got := all.read(); got != "retry: 2000\n\n" {
			t.Errorf("at first: got %q", got)
		}
		f.send("GET", "/api/v1/stream?detail=much", "").problem(400, "detail")
		time.Sleep(time.Second) // there is a board
		for _, c := range []*client{all, own, brief} {
			c.read() // that they were opened, which is told if it was before the first board
		}
		f.acknowledged(one)
		event := all.read()
		for _, want := range []string{"\nevent: incident\ndata: {", `"id":"` + one + `"`, `"state":"acknowledged"`, `"acknowledged_by":"admin"`, `"version":2`, "}\n\n"} {
			if !strings.Contains(event, want) {
				t.Errorf("got %q, want it to contain %q", event, want)
			}
		}
		if got := own.read(); got != "" {
			t.Errorf("of the other incident: got %q, want nothing", got)
		}
		time.Sleep(14 * time.Second)
		if got := own.read(); got != ":\n\n" {
			t.Errorf("after 15 s: got %q, want a heartbeat", got)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(event, "id: "), "\n")
		if got, want := brief.read(), "id: "+id+"\nevent: changed\ndata: {}\n\n:\n\n"; got != want {
			t.Errorf("brief: got %q, want %q", got, want)
		}
		all.stop()
		<-all.done
		f.acknowledged(two)
		if got := f.follow("", "Last-Event-ID", id).read(); strings.Count(got, "event: incident") != 1 || !strings.Contains(got, two) {
			t.Errorf("came back: got %q, want what was missed", got)
		}
		if got := f.follow("", "Last-Event-ID", strings.Repeat("x", 1000)).read(); !strings.HasSuffix(got, "event: reset\ndata: {}\n\n") {
			t.Errorf("came back from elsewhere: got %q, want a reset", got)
		}
	})
}

// TestStreamIsHostile: what an alert says cannot end an event and begin another.
func TestStreamIsHostile(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		c := f.follow("")
		time.Sleep(time.Second)
		c.read()
		f.accept(f.firing("x\n\nevent: reset\rdata: {}\u2028</script>", "db"))
		time.Sleep(time.Second)
		got := c.read()
		if lines := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n"); len(lines) != 3 || strings.ContainsRune(got, '\r') {
			t.Errorf("got %q, want three lines", got)
		}
	})
}

// TestStreamEnds when the token is no longer valid, when we shut down and when
// nobody is there; not because the store is away or time passes.
func TestStreamEnds(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		token := f.create(`{"role":"viewer"}`)
		f.token = token.Token
		revoked := f.follow("")
		f.token = adminToken
		stays, broken := f.follow(""), f.follow("")
		time.Sleep(10 * time.Minute)
		if revoked.over() || stays.over() {
			t.Fatal("a stream ended by itself")
		}
		f.store.breakWith(errInternal)
		time.Sleep(10 * time.Minute)
		if revoked.over() || stays.over() {
			t.Error("a stream ended because the store is away")
		}
		f.store.breakWith(nil)
		broken.mu.Lock()
		broken.err = errors.New("nobody is there")
		broken.mu.Unlock()
		f.send("DELETE", "/api/v1/tokens/"+token.ID, "").want(204)
		time.Sleep(time.Minute)
		if !revoked.over() {
			t.Error("the stream goes on without a valid token")
		}
		if !broken.over() {
			t.Error("the stream goes on although nobody is there")
		}
		if stays.over() {
			t.Error("the stream of another token ended")
		}
		f.live.Drain()
		if !stays.over() {
			t.Error("the stream goes on when we shut down")
		}
		f.send("GET", "/api/v1/stream", "").problem(503, "shutting down")
	})
}

func TestStreamsAreBounded(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		for {
			if _, err := o.Live.Follow(incident.ID{}, ""); err != nil {
				return
			}
		}
	})
	if got := s.send("GET", "/api/v1/stream", "").problem(503, "too many").header.Get("Retry-After"); got == "" {
		t.Error("it does not say when to come back")
	}
}

func TestBoard(t *testing.T) {
	s := newServer(t)
	for n := range 7 {
		s.accept(s.firing(fmt.Sprintf("Disk%d", n), "db"))
	}
	s.do(s.accept(s.firing("Core", "net")), "acknowledge", `{"by":"ann"}`)
	s.do(s.accept(s.firing("Over", "net")), "resolve", `{"by":"ann"}`)
	get := func(query string) web.BoardJSON {
		return decode[web.BoardJSON](s.send("GET", "/api/v1/board"+query, "").want(200))
	}
	all := get("")
	if all.Open != 8 || all.Total != 8 || all.ByState["open"] != 7 || all.ByState["acknowledged"] != 1 || all.BySeverity["critical"] != 8 || all.Version == 0 {
		t.Errorf("got %+v", all)
	}
	if last := all.Incidents[7]; last.AcknowledgedBy != "ann" || last.Duty != "" || !slices.Equal(last.Customers, []string{}) || last.Alerts.Firing != 1 {
		t.Errorf("the last: got %+v, want the one that somebody works on", last)
	}
	for query, want := range map[string]int{"?who=ann": 1, "?q=DISK3": 1, "?service=db": 7, "?service=db,net": 8, "?state=acknowledged": 1, "?severity=info": 0, "?priority=P4": 0} {
		if got := get(query); got.Total != want || len(got.Incidents) != want {
			t.Errorf("%s: got %d, want %d", query, got.Total, want)
		}
	}
	if p := get("?limit=3&offset=6"); len(p.Incidents) != 2 || p.Total != 8 {
		t.Errorf("the last page: got %d of %d, want 2 of 8", len(p.Incidents), p.Total)
	}
	s.send("GET", "/api/v1/board?offset=-1&state=closed&priority=P9&nope=1", "").problem(400, "offset", "state", "priority", "nope")
	s = newServer(t, func(o *web.Options) { o.Live = nil })
	s.send("GET", "/api/v1/board", "").problem(503, "no board")
	s.send("GET", "/api/v1/stream", "").problem(503, "no board")
}
