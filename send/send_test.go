package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeGateway answers with what answer says.
type fakeGateway struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string
	answer func(body string) int
}

func newGateway(t *testing.T) *fakeGateway {
	g := &fakeGateway{answer: func(string) int { return http.StatusOK }}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/ingest/nagios" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("got %s %s %v, %v", r.Method, r.URL, r.Header, err)
		}
		g.mu.Lock()
		code := g.answer(string(body))
		if code == http.StatusOK {
			g.got = append(g.got, string(body))
		}
		g.mu.Unlock()
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		_, _ = w.Write([]byte("because\nof \x1b it")) // the client may be gone
	}))
	t.Cleanup(g.Close)
	return g
}

// answers makes the gateway answer all with one code.
func (g *fakeGateway) answers(code int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = func(string) int { return code }
}

func (g *fakeGateway) received() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got)
}

// sender is a Sender to g with a folder, and what it warned of.
func sender(t *testing.T, g *fakeGateway) (*Sender, *strings.Builder) {
	warned := &strings.Builder{}
	return &Sender{URL: g.URL + "/", Token: func() (string, error) { return "s3cret", nil }, Spool: filepath.Join(t.TempDir(), "spool"), Timeout: 10 * time.Second,
		Warn: func(format string, args ...any) { fmt.Fprintf(warned, format+"\n", args...) }}, warned
}

func message(text string) Message {
	return Message{Source: "nagios", ContentType: "text/plain", Body: []byte(text)}
}

func (s *Sender) want(t *testing.T, text string, want Result) {
	t.Helper()
	if got := s.Send(t.Context(), message(text)); got != want {
		t.Errorf("%s: got %v, want %v", text, got, want)
	}
}

func waiting(t *testing.T, folder ...string) []string {
	t.Helper()
	names, _, err := queue{filepath.Join(folder...)}.list()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestDelivered(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	s.want(t, "a", Delivered)
	s.Spool = ""
	s.want(t, "b", Delivered)
	if got := g.received(); !slices.Equal(got, []string{"a", "b"}) || warned.Len() > 0 {
		t.Errorf("received %q, warned %q", got, warned)
	}
}

// TestAwayForAWhile: all arrives once, in order, whatever away means.
func TestAwayForAWhile(t *testing.T) {
	for _, code := range []int{500, 503, 429, 408, 301} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			g := newGateway(t)
			s, warned := sender(t, g)
			g.answers(code)
			for i := range 3 {
				s.want(t, fmt.Sprint(i), Spooled)
			}
			if len(waiting(t, s.Spool)) != 3 || !strings.Contains(warned.String(), fmt.Sprintf("answered %d because of   it; 3 messages wait", code)) {
				t.Fatalf("%q wait; warned %q", waiting(t, s.Spool), warned)
			}
			g.answers(200)
			s.want(t, "3", Delivered)
			if got := g.received(); !slices.Equal(got, []string{"0", "1", "2", "3"}) || len(waiting(t, s.Spool)) > 0 {
				t.Errorf("received %q, %q still wait", got, waiting(t, s.Spool))
			}
		})
	}
}

// unreachable is an address where nobody listens.
func unreachable(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "http://" + l.Addr().String()
}

func TestNobodyListens(t *testing.T) {
	g := newGateway(t)
	s, _ := sender(t, g)
	there := s.URL
	s.URL = strings.Replace(unreachable(t), "//", "//user:pa55@", 1)
	s.want(t, "a", Spooled)
	s.Token, s.URL = func() (string, error) { return "", errors.New("no such file") }, there
	s.want(t, "b", Spooled)
	again, warned := sender(t, g)
	again.Spool = s.Spool
	if empty, err := again.Flush(t.Context(), false); !empty || err != nil || warned.Len() > 0 {
		t.Errorf("flush: %t, %v, %s", empty, err, warned)
	}
	if got := g.received(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("received %q", got)
	}
}

// TestWithoutAFolder it is tried until there is no time any more.
func TestWithoutAFolder(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	s.Spool = ""
	n := 0
	g.answer = func(string) int {
		if n++; n == 2 {
			return 200
		}
		return 503
	}
	s.want(t, "a", Delivered)
	g.answers(503)
	enough := s.Timeout
	s.Timeout = 3 * time.Second // it is waited for
	s.want(t, "b", Failed)
	s.Timeout = enough
	if !strings.Contains(warned.String(), "503 because of   it; the message is lost") {
		t.Errorf("warned %q", warned)
	}
	g.answers(400)
	s.want(t, "c", Rejected)
}

// TestNoTimeLeft: what the gateway said before there was no time any more is what is warned of.
func TestNoTimeLeft(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	s.Spool, s.Timeout = "", 2*time.Second
	held, n := make(chan struct{}), 0
	g.answer = func(string) int {
		if n++; n > 1 {
			<-held
		}
		return 503
	}
	defer close(held) // before the server is closed
	s.want(t, "a", Failed)
	if !strings.Contains(warned.String(), "the gateway answered 503") {
		t.Errorf("warned %q", warned)
	}
}

// TestAGatewayThatSaysNothing costs no more than the time that is given.
func TestAGatewayThatSaysNothing(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	held := make(chan struct{})
	g.answer = func(string) int { <-held; return 503 }
	defer close(held) // before the server is closed
	s.Timeout = 200 * time.Millisecond
	start := time.Now()
	s.want(t, "a", Spooled)
	if took := time.Since(start); took > 5*time.Second || !strings.Contains(warned.String(), "deadline") {
		t.Errorf("it took %v; warned %q", took, warned)
	}
}

// TestRefused: what the gateway does not want does not stop what it wants, and is
// not gone.
func TestRefused(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	g.answers(503)
	for _, text := range []string{"a", "bad", "b"} {
		s.want(t, text, Spooled)
	}
	g.answer = func(body string) int {
		if strings.HasPrefix(body, "bad") {
			return 400
		}
		return 200
	}
	s.want(t, "c", Delivered)
	s.want(t, "bad too", Rejected)
	if got := g.received(); !slices.Equal(got, []string{"a", "b", "c"}) || len(waiting(t, s.Spool)) > 0 || len(waiting(t, s.Spool, rejected)) != 2 {
		t.Errorf("received %q, %q wait, %q rejected", got, waiting(t, s.Spool), waiting(t, s.Spool, rejected))
	}
	if !strings.Contains(warned.String(), "refused: the gateway answered 400 because of   it; the message is set aside in "+s.Spool+"/rejected") {
		t.Errorf("warned %q", warned)
	}
	g.answers(200)
	if empty, err := s.Flush(t.Context(), true); !empty || err != nil {
		t.Errorf("flush: %t, %v", empty, err)
	}
	if got := g.received(); !slices.Equal(got, []string{"a", "b", "c", "bad", "bad too"}) {
		t.Errorf("received %q", got)
	}
}

func TestRejectedIsBounded(t *testing.T) {
	q := queue{t.TempDir()}
	if err := os.Mkdir(filepath.Join(q.dir, rejected), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range maxAside {
		if err := os.WriteFile(filepath.Join(q.dir, rejected, fmt.Sprintf("%019d-1.msg", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name, err := q.add(message("new"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.setAside(name, rejected); err != nil {
		t.Fatal(err)
	}
	names := waiting(t, q.dir, rejected)
	if len(names) != maxAside || names[0] != fmt.Sprintf("%019d-1.msg", 1) || names[maxAside-1] != name {
		t.Errorf("%d are kept, from %s to %s", len(names), names[0], names[len(names)-1])
	}
}

func TestDamaged(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	g.answers(503)
	s.want(t, "a", Spooled)
	s.want(t, "b", Spooled)
	s.want(t, "c", Spooled)
	names := waiting(t, s.Spool)
	first := filepath.Join(s.Spool, names[0])
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1]++
	if err := errors.Join(os.WriteFile(first, content, 0o600), os.Truncate(filepath.Join(s.Spool, names[1]), maxFile+1)); err != nil {
		t.Fatal(err)
	}
	g.answers(200)
	s.want(t, "d", Delivered)
	if got := g.received(); !slices.Equal(got, []string{"c", "d"}) || len(waiting(t, s.Spool, unread)) != 2 || !strings.Contains(warned.String(), names[0]+": damaged") {
		t.Errorf("received %q, %q are set aside; warned %q", got, waiting(t, s.Spool, unread), warned)
	}
}

// TestFull: what finds no room is delivered if the gateway is there, and not lost in silence.
func TestFull(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	g.answers(503)
	s.want(t, "a", Spooled)
	large := filepath.Join(s.Spool, waiting(t, s.Spool)[0])
	if err := os.Truncate(large, MaxBytes); err != nil {
		t.Fatal(err)
	}
	lock, err := queue{s.Spool}.lock() // so that it stays
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	enough := s.Timeout
	s.Timeout = 300 * time.Millisecond // it is waited for
	s.want(t, "b", Failed)
	s.Timeout = enough
	if !strings.Contains(warned.String(), "full: 10000 messages or 256 MiB wait") || !strings.Contains(warned.String(), "lost") {
		t.Errorf("warned %q", warned)
	}
	g.answers(200)
	s.want(t, "c", Delivered)
}

func TestAFolderThatCannotBe(t *testing.T) {
	g := newGateway(t)
	s, warned := sender(t, g)
	if err := os.WriteFile(s.Spool, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(t, "a", Delivered)
	if !strings.Contains(warned.String(), "not a directory") {
		t.Errorf("warned %q", warned)
	}
}

// TestBusy: who finds another at work leaves its message and goes.
func TestBusy(t *testing.T) {
	g := newGateway(t)
	s, _ := sender(t, g)
	s.want(t, "a", Delivered) // makes the folder
	lock, err := queue{s.Spool}.lock()
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, "b", Spooled)
	if empty, err := s.Flush(t.Context(), false); empty || err != nil {
		t.Errorf("flush beside another: %t, %v", empty, err)
	}
	if got := g.received(); len(got) != 1 {
		t.Errorf("received %q", got)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if empty, err := s.Flush(t.Context(), false); !empty || err != nil || len(g.received()) != 2 {
		t.Errorf("flush: %t, %v, received %q", empty, err, g.received())
	}
}

// TestManyAtOnce: of many invocations at a time each message arrives once, those
// of one after the other in order, and none is left behind.
func TestManyAtOnce(t *testing.T) {
	g := newGateway(t)
	s, _ := sender(t, g)
	s.Warn = func(format string, args ...any) { t.Errorf(format, args...) }
	s.Timeout = 2 * time.Minute // one of them may have to deliver all
	var invocations sync.WaitGroup
	for i := range 8 {
		invocations.Go(func() {
			for k := range 20 {
				if r := s.Send(context.Background(), message(fmt.Sprintf("%d %02d", i, k))); r != Delivered && r != Spooled {
					t.Errorf("got %v", r)
				}
			}
		})
	}
	invocations.Wait()
	got := g.received()
	if left := waiting(t, s.Spool); len(left) > 0 {
		t.Errorf("%d are left behind", len(left))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(got) != 160 || len(unique) != 160 {
		t.Errorf("received %d, %d of them different; want 160", len(got), len(unique))
	}
	last := map[byte]string{}
	for _, m := range got {
		if m <= last[m[0]] {
			t.Errorf("%q came after %q", m, last[m[0]])
		}
		last[m[0]] = m
	}
}

func TestTheClockGoesBack(t *testing.T) {
	q := queue{t.TempDir()}
	now := time.Now()
	first, err := q.add(message("a"), now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := q.add(message("b"), now.Add(-time.Hour))
	if err != nil || second <= first {
		t.Errorf("got %s after %s, %v", second, first, err)
	}
}

// TestNoSecretsInTheFolder, and nothing that others can read.
func TestNoSecretsInTheFolder(t *testing.T) {
	g := newGateway(t)
	s, _ := sender(t, g)
	g.answers(503)
	s.want(t, "a", Spooled)
	err := filepath.Walk(s.Spool, func(file string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", file, info.Mode())
		}
		if content, err := os.ReadFile(file); err == nil && bytes.Contains(content, []byte("s3cret")) {
			t.Errorf("%s holds the token", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPartsAreSwept(t *testing.T) {
	q := queue{t.TempDir()}
	for name, age := range map[string]time.Duration{part + "old": 2 * oldPart, part + "new": 0} {
		file := filepath.Join(q.dir, name)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, time.Now(), time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := q.lock()
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
	left, err := filepath.Glob(filepath.Join(q.dir, part+"*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != part+"new" {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestCheckURL(t *testing.T) {
	for address, good := range map[string]bool{"http://127.0.0.1:9095": true, "https://a.example.com/tocsin": true, "127.0.0.1:9095": false, "ftp://a": false, "": false, "http://": false} {
		if err := CheckURL(address); (err == nil) != good {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message("a\nb").encode())
	f.Add([]byte("tocsin-send/1 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parse(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Errorf("%q becomes %q", b, m.encode())
		}
	})
}

// BenchmarkSend is an invocation that is delivered, with its folder.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	s := Sender{URL: server.URL, Token: func() (string, error) { return "", nil }, Spool: b.TempDir(), Timeout: 10 * time.Second, Warn: b.Logf}
	for b.Loop() {
		if r := s.Send(b.Context(), message("a")); r != Delivered {
			b.Fatal(r)
		}
	}
}

// TestURLOfASource: people give the address that they would give to curl.
func TestURLOfASource(t *testing.T) {
	for _, given := range []string{"http://h:1", "http://h:1/", "http://h:1/ingest/nagios", "http://h:1/ingest/"} {
		if got := (&Sender{URL: given}).target("eu"); got != "http://h:1/ingest/eu" {
			t.Errorf("%s: got %s", given, got)
		}
	}
	if got := (&Sender{URL: "http://h/tocsin/ingest/x"}).target("eu"); got != "http://h/tocsin/ingest/eu" {
		t.Errorf("behind a prefix: got %s", got)
	}
}

// TestNamesOfMessages: two processes may have the same time, and in containers the same
// number too. Neither takes the place of the other's message.
func TestNamesOfMessages(t *testing.T) {
	q, now := queue{t.TempDir()}, time.Now()
	names := map[string]bool{}
	for range 3 {
		name, err := q.add(message("x"), now)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(q.dir, name)); err != nil { // the next one does not see it yet
			t.Fatal(err)
		}
		names[name] = true
	}
	if len(names) != 3 {
		t.Errorf("three messages at once are called %q", slices.Collect(maps.Keys(names)))
	}
}
