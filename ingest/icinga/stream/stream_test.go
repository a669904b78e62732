package stream

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/icinga"
	"github.com/tocsin-gateway/tocsin/ingest/icinga/icingatest"
)

// fake is an Icinga as far as we speak to it.
type fake struct {
	t      *testing.T
	server *httptest.Server
	// lines are sent on the stream; closing a channel ends that stream.
	streams chan chan string

	mu      sync.Mutex
	hosts   string
	service string
	comment string
	asked   []string
	// refuse answers so to what comes next, in turn.
	refuse []int
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, streams: make(chan chan string, 8), hosts: `[]`, service: `[]`, comment: `[]`}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.String()+" "+string(body))
	answers := map[string]string{"/v1/objects/hosts": f.hosts, "/v1/objects/services": f.service, "/v1/objects/comments": f.comment}
	var refusal int
	if len(f.refuse) > 0 {
		refusal, f.refuse = f.refuse[0], f.refuse[1:]
	}
	f.mu.Unlock()
	user, password, _ := r.BasicAuth()
	switch {
	case refusal != 0:
		w.WriteHeader(refusal)
		fmt.Fprintf(w, `{"error":%d,"status":"as told"}`, refusal)
	case user != "tocsin" || password != "geheim":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":401,"status":"Unauthorized. Please check your user credentials."}`)
	case r.Header.Get("Accept") != "application/json":
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Path == "/v1/events" && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		f.stream(w, r)
	case answers[r.URL.Path] != "" && r.Header.Get("X-HTTP-Method-Override") == http.MethodGet:
		fmt.Fprintf(w, `{"more":{"a":[]},"results":%s}`, answers[r.URL.Path])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case lines := <-f.streams:
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					return
				}
				fmt.Fprint(w, line)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case <-r.Context().Done():
	}
}

// connect prepares the next stream.
func (f *fake) connect() chan string {
	lines := make(chan string)
	f.streams <- lines
	return lines
}

func (f *fake) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) caFile() string {
	file := filepath.Join(f.t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return file
}

// taking is the other end: it decodes what is handed over.
type taking struct {
	t    *testing.T
	said chan string
	mu   sync.Mutex
	fail []error
}

func (k *taking) take(_ context.Context, lines []byte) error {
	k.mu.Lock()
	if len(k.fail) > 0 {
		err := k.fail[0]
		k.fail = k.fail[1:]
		k.mu.Unlock()
		k.said <- "error: " + err.Error()
		return err
	}
	k.mu.Unlock()
	got, err := icinga.Format.Decode(ingest.Request{Source: "icinga", Body: lines, ReceivedAt: time.Now()})
	if err != nil || len(got.Rejected) > 0 {
		k.t.Errorf("%.300s: %v, rejected %+v", lines, err, got.Rejected)
	}
	for _, a := range got.Alerts {
		k.said <- fmt.Sprintf("%v %v %s", a.Kind, a.Status, a.Key)
	}
	return nil
}

// next is what is taken next.
func (k *taking) next() string {
	k.t.Helper()
	select {
	case got := <-k.said:
		return got
	case <-time.After(2 * time.Minute):
		k.t.Fatal("nothing more was taken")
		return ""
	}
}

func (k *taking) want(all ...string) {
	k.t.Helper()
	for _, want := range all {
		if got := k.next(); got != want {
			k.t.Fatalf("took %q, want %q", got, want)
		}
	}
}

// clock gives the tests the timers: those up to a minute end at once, as soon as
// somebody has seen them.
type clock struct {
	mu     sync.Mutex
	pauses []time.Duration
	long   chan time.Time
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	if d == resync || d == soon {
		return c.long
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses = append(c.pauses, d)
	now := make(chan time.Time, 1)
	now <- time.Time{}
	return now
}

var now = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// start runs a stream until the test ends.
func start(t *testing.T, f *fake, change ...func(*Options)) (*taking, *clock) {
	t.Helper()
	k, c := &taking{t: t, said: make(chan string, 100)}, &clock{long: make(chan time.Time)}
	o := Options{URL: f.server.URL, User: "tocsin", Password: secret.New("geheim"), CAFile: f.caFile(), Since: now.Add(-time.Hour),
		Take: k.take, Now: func() time.Time { return now }, After: c.after, Log: slog.New(slog.DiscardHandler)}
	for _, change := range change {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not return")
		}
	})
	return k, c
}

const (
	down   = `{"type":"StateChange","host":"web-01","state":1,"state_type":1}` + "\n"
	up     = `{"type":"StateChange","host":"web-01","state":0,"state_type":1}` + "\n"
	result = `{"type":"CheckResult","output":"one\ntwo","performance_data":null,"execution_end":1795226217.9}`
)

func TestStream(t *testing.T) {
	f := newFake(t)
	lines := f.connect()
	k, _ := start(t, f, func(o *Options) { o.Filter = `event.host == "web-01"` })
	lines <- down
	k.want("alert firing web-01")
	lines <- down + up
	k.want("alert firing web-01", "alert resolved web-01")
	lines <- down[:20] // a line in two pieces
	lines <- down[20:]
	k.want("alert firing web-01")

	asked := f.questions()
	const want = "POST /v1/events?filter=event.host+%3D%3D+%22web-01%22&queue=tocsin&types=StateChange&types=Notification&"
	if !strings.HasPrefix(asked[0], want) {
		t.Errorf("asked %q, want %q", asked[0], want)
	}
}

// TestWhatHasChanged: what happened while nobody listened is asked for, after
// the stream is there, and becomes the same alerts.
func TestWhatHasChanged(t *testing.T) {
	f := newFake(t)
	f.hosts = `[
	  {"attrs":{"name":"db-01","last_hard_state":1,"last_hard_state_change":1795226000.5,"last_check_result":` + strings.ReplaceAll(result, ",", ",\n") + `}},
	  {"attrs":{"name":"new-01","last_hard_state":1,"last_hard_state_change":0,"last_check_result":null}}]`
	f.service = `[
	  {"attrs":{"name":"load","host_name":"web-01","last_hard_state":0,"last_hard_state_change":1795226000.5,"last_check_result":` + result + `}},
	  {"attrs":{"name":"disk /","host_name":"web-01","last_hard_state":2,"last_hard_state_change":1795226000.5,"last_check_result":` + result + `}},
	  {"attrs":{"name":"soft","host_name":"web-01","last_hard_state":3,"last_hard_state_change":0,"last_check_result":` + result + `}},
	  {"attrs":{"name":"expected","host_name":"web-01","last_hard_state":2,"last_hard_state_change":1795226000.5,"downtime_depth":1,"last_check_result":` + result + `}}]`
	f.comment = `[{"attrs":{"host_name":"web-01","service_name":"disk /","author":"alice","text":"mine","entry_time":1795226100,"expire_time":0,"sticky":true}}]`
	lines := f.connect()
	k, _ := start(t, f)
	lines <- up
	k.want("alert firing db-01", "alert resolved web-01!load", "alert firing web-01!disk /", "acknowledgement unknown web-01!disk /", "alert resolved web-01")

	asked := f.questions()
	if len(asked) != 4 || !strings.HasPrefix(asked[0], "POST /v1/events?") {
		t.Fatalf("asked %q", asked)
	}
	if strings.Contains(asked[1], "host_name") {
		t.Error("asked hosts for host_name, which Icinga refuses")
	}
	for i, since := range []time.Time{now.Add(-time.Hour - skew), now.Add(-time.Hour - skew), now.Add(-time.Hour)} {
		var q question
		_, body, _ := strings.Cut(asked[i+1], " {")
		if err := json.Unmarshal([]byte("{"+body), &q); err != nil || q.Variables["since"] != seconds(since) || len(q.Attrs) == 0 {
			t.Errorf("asked %s, %v; want what has changed since %v", asked[i+1], err, since)
		}
	}
}

// TestAgain: a stream that ends is opened again, at a growing distance, and what
// has happened in between is asked for.
func TestAgain(t *testing.T) {
	f := newFake(t)
	f.refuse = []int{503, 401, 0, 500}
	lines := f.connect()
	close(lines)
	lines = f.connect()
	k, c := start(t, f)
	lines <- down
	k.want("alert firing web-01")
	lines <- up
	k.want("alert resolved web-01")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pauses) < 3 {
		t.Fatalf("paused %v", c.pauses)
	}
	for i, d := range c.pauses {
		if longest := min(firstPause<<min(i, 10), longestPause); d > longest || d < longest/2 {
			t.Errorf("the pause %d is %v, want %v to %v", i, d, longest/2, longest)
		}
	}
}

// TestNotTaken: nothing is read, and nothing lost, while lines cannot be made durable.
func TestNotTaken(t *testing.T) {
	f := newFake(t)
	lines := f.connect()
	k, c := start(t, f)
	k.mu.Lock()
	k.fail = []error{errors.New("the store is away"), errors.New("still")}
	k.mu.Unlock()
	lines <- down
	lines <- up
	k.want("error: the store is away", "error: still", "alert firing web-01", "alert resolved web-01")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pauses) != 2 || len(f.questions()) != 4 {
		t.Errorf("paused %v, asked %q", c.pauses, f.questions())
	}
}

// TestResync: the state of things is asked for now and then.
func TestResync(t *testing.T) {
	f := newFake(t)
	lines := f.connect()
	k, c := start(t, f)
	lines <- down
	k.want("alert firing web-01")
	f.set(func() {
		f.hosts = `[{"attrs":{"name":"db-01","last_hard_state":1,"last_hard_state_change":1795226000.5,"last_check_result":` + result + `}}]`
	})
	c.long <- time.Time{}
	k.want("alert firing db-01")
	lines <- up
	k.want("alert resolved web-01")
}

func TestTooLong(t *testing.T) {
	f := newFake(t)
	lines := f.connect()
	k, c := start(t, f)
	lines <- down + strings.Repeat("x", 3*maxLine) + "\n" + up
	k.want("alert firing web-01", "alert resolved web-01")
	f.set(func() {
		f.hosts = `[{"attrs":{"name":"db-01","last_hard_state":1,"last_hard_state_change":1795226000.5,"last_check_result":` + result + `}}]`
	})
	c.long <- time.Time{}
	k.want("alert firing db-01")
}

// TestManyObjects are taken in parts, and all of them.
func TestManyObjects(t *testing.T) {
	f := newFake(t)
	var all []string
	const many = 3000
	for i := range many {
		all = append(all, fmt.Sprintf(`{"attrs":{"name":"h%d","last_hard_state":1,"last_hard_state_change":1795226000.5,"last_check_result":%s}}`, i, result))
	}
	f.hosts = "[" + strings.Join(all, ",") + "]"
	f.connect()
	k, _ := start(t, f)
	for i := range many {
		k.want(fmt.Sprintf("alert firing h%d", i))
	}
}

func TestNew(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.crt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{URL: "http://icinga:5665"}, "is not like https://"},
		{Options{URL: "icinga:5665"}, "is not like https://"},
		{Options{URL: ""}, "is not like https://"},
		{Options{URL: "https://icinga:5665", CAFile: "no-such-file"}, "ca_file: open no-such-file"},
		{Options{URL: "https://icinga:5665", CAFile: empty}, "no certificate in"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
}

// TestStranger: a server whose certificate is of another authority learns no password.
func TestStranger(t *testing.T) {
	f := newFake(t)
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.TLS = &tls.Config{}
	other.StartTLS()
	defer other.Close()
	file := f.caFile()
	s, err := New(Options{URL: f.server.URL, CAFile: file, ServerName: "another.example.net", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.once(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") || len(f.questions()) > 0 {
		t.Errorf("got %v, asked %q", err, f.questions())
	}
}

// TestIcinga is all of it with a real one: what happens while it is stopped and
// started again, and while we are not connected, is not missed.
func TestIcinga(t *testing.T) {
	i := icingatest.Start(t, `
template Host "passive" { check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
object Host "web-01" { import "passive" }
object Host "db-01" { import "passive" }
object Service "load" { host_name = "web-01"; check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
`)
	check := func(kind, name string, exit int, output string) {
		body := fmt.Sprintf(`{"type":%q,%q:%q,"exit_status":%d,"plugin_output":%q}`, kind, strings.ToLower(kind), name, exit, output)
		i.Do(t, "/v1/actions/process-check-result", body)
	}
	check("Service", "web-01!load", 2, "before anybody listened")
	k := &taking{t: t, said: make(chan string, 100)}
	after := func(d time.Duration) <-chan time.Time {
		if d != resync && d != soon {
			d = min(d, time.Second) // while it starts again it is asked often, or the test waits for the next time
		}
		return time.After(d)
	}
	s, err := New(Options{URL: i.URL, User: icingatest.User, Password: secret.New(icingatest.Password), CAFile: i.CAFile, ServerName: icingatest.Node,
		Take: k.take, After: after, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		return func() { cancel(); <-ended }
	}
	stop := run()
	k.want("alert firing web-01!load")
	check("Host", "web-01", 1, "down")
	k.want("alert firing web-01")
	i.Do(t, "/v1/actions/acknowledge-problem", `{"type":"Service","service":"web-01!load","author":"alice","comment":"mine"}`)
	k.want("note unknown web-01!load", "acknowledgement firing web-01!load")
	stop()

	check("Service", "web-01!load", 0, "while nobody listened")
	check("Host", "db-01", 1, "while nobody listened")
	stop = run()
	defer func() { stop() }()
	for _, want := range []map[string]bool{{"alert firing web-01": true, "alert firing db-01": true}, {"alert resolved web-01!load": true}} {
		for len(want) > 0 {
			got := k.next()
			if !want[got] {
				t.Fatalf("took %q, want one of %v", got, want)
			}
			delete(want, got)
		}
	}
	i.Stop()
	i.Run(t)
	for range 2 {
		if got := k.next(); got != "alert firing web-01" && got != "alert firing db-01" {
			t.Fatalf("took %q after the restart", got)
		}
	}
	check("Host", "db-01", 0, "up")
	for k.next() != "alert resolved db-01" {
	}
}
