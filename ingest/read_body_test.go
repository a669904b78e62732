package ingest

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
)

// endless is a body of n bytes that counts what was read of it.
type endless struct {
	left, read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= int64(n)
	e.read += int64(n)
	return n, nil
}

// TestStreamIsCutAtTheLimit sends 600 MiB, without saying how long it is.
func TestStreamIsCutAtTheLimit(t *testing.T) {
	g := newGateway(t, map[string]SourceConfig{"s": {Format: "alertmanager", BodyLimit: 8 * MiB}}, nil)
	body := &endless{left: 600 << 20}
	r := httptest.NewRequest("POST", "/ingest/s", body)
	r.ContentLength = -1
	if _, err := documented(); err != nil { // or it is read, once, while memory is counted
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := g.do(r)
	runtime.ReadMemStats(&after)
	if w.Code != 413 {
		t.Errorf("got %d, want 413", w.Code)
	}
	if most := int64(8<<20 + 64<<10); body.read > most {
		t.Errorf("read %d bytes, want at most %d", body.read, most)
	}
	// All buffers together: the limit, and the halves that it grew out of; a little
	// is for whoever else is at work.
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 3*8<<20+1<<20 {
		t.Errorf("allocated %d bytes in all, want at most three times the limit and a little", allocated)
	}
	if len(g.sink.letters) != 0 || g.budget.used.Load() != 0 {
		t.Errorf("%d dead letters, %d bytes of the budget in use; want none", len(g.sink.letters), g.budget.used.Load())
	}
}

func TestAnnouncedLengthIsRefusedUnread(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	body := &endless{left: 600 << 20}
	r := httptest.NewRequest("POST", "/ingest/alertmanager", body)
	r.ContentLength = 600 << 20
	if w := g.do(r); w.Code != 413 || body.read != 0 {
		t.Errorf("got %d after %d bytes, want 413 after none", w.Code, body.read)
	}
}

func TestBodyOfEachLength(t *testing.T) {
	g := newGateway(t, map[string]SourceConfig{"s": {Format: "prometheus", BodyLimit: 3 * MiB}}, nil)
	for _, size := range []int{2, firstRead - 1, firstRead, firstRead + 1, firstTrust - 1, firstTrust, firstTrust + 1, 3<<20 - 1, 3 << 20, 3<<20 + 1} {
		for _, known := range []bool{true, false} {
			r := httptest.NewRequest("POST", "/ingest/s", strings.NewReader("["+strings.Repeat(" ", size-2)+"]"))
			if !known {
				r.ContentLength = -1
			}
			want := 200
			if size > 3<<20 {
				want = 413
			}
			if w := g.do(r); w.Code != want {
				t.Errorf("%d bytes, length known %v: got %d %s, want %d", size, known, w.Code, w.Body, want)
			}
		}
	}
	if used := g.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes of the budget were not given back", used)
	}
}

// server runs the gateway behind a real listener.
func server(t *testing.T, g *gateway) string {
	t.Helper()
	s := httptest.NewServer(g.engine)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// raw writes a request as it is and returns the answer's status, 0 if there is
// none, and whether the connection was closed after it.
func raw(t *testing.T, address, request string, closeWrite bool) (code int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if closeWrite {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, true
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode, answer.Close
}

func TestBodiesOverTheWire(t *testing.T) {
	const head = "POST /ingest/prometheus HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, request string
		closeWrite    bool
		code          int
		closed        bool
	}{
		{"whole", head + "Content-Length: 2\r\n\r\n[]", false, 200, false},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n", false, 200, false},
		{"shorter than announced", head + "Content-Length: 3\r\n\r\n[]", true, 400, true},
		{"chunk broken off", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n[]", true, 400, true},
		{"chunk length not a number", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n[]", false, 400, true},
		{"larger than the limit", head + "Content-Length: 700000000\r\n\r\n[]", false, 413, true},
		{"slow", head + "Content-Length: 3\r\n\r\n[]", false, 503, true},
		{"slow, of unknown length", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n[]", false, 503, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			grace := time.Minute
			if test.code == 503 { // the only ones that wait for its end
				grace = 100 * time.Millisecond
			}
			g := newGateway(t, builtIn(), func(o *Options) { o.Grace = grace })
			code, closed := raw(t, server(t, g), test.request, test.closeWrite)
			if code != test.code || closed != test.closed {
				t.Errorf("got %d, closed %v; want %d, %v", code, closed, test.code, test.closed)
			}
			if len(g.sink.letters) != 0 {
				t.Errorf("got %d dead letters of bodies that never came", len(g.sink.letters))
			}
		})
	}
}

// deadlines is a ResponseWriter that records its read deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// TestDeadlineIsForTheBodyOnly: it must not end the request, or the connection,
// while the alerts are made durable.
func TestDeadlineIsForTheBodyOnly(t *testing.T) {
	g := newGateway(t, builtIn(), func(o *Options) { o.Grace = time.Minute })
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	start := time.Now()
	var inSink []time.Time
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		inSink = append(inSink, w.set...)
		return opened(alerts), nil
	}
	body := `[{"labels":{"alertname":"A"},"annotations":{"x":"` + strings.Repeat("x", 100<<10) + `"}}]`
	g.engine.ServeHTTP(w, httptest.NewRequest("POST", "/ingest/prometheus", strings.NewReader(body)))
	if w.Code != 200 || len(inSink) < 3 || !inSink[len(inSink)-1].IsZero() {
		t.Fatalf("got %d with the deadlines %v, want 200 and the last one lifted", w.Code, inSink)
	}
	for i, set := range inSink[:len(inSink)-1] {
		// 64 KiB, then the rest of 100 KiB: a second more each 64 KiB.
		least := start.Add(time.Minute + time.Duration(i)*500*time.Millisecond)
		if set.Before(least) || set.After(time.Now().Add(time.Minute+2*time.Second)) {
			t.Errorf("deadline %d: got %v, started %v", i, set, start)
		}
	}
}

func TestPace(t *testing.T) {
	p := pace{grace: 10 * time.Second, rate: int64(64 * KiB)}
	for n, want := range map[int]time.Duration{0: 10 * time.Second, 64 << 10: 11 * time.Second, 64 << 20: 1034 * time.Second} {
		if got := p.allowed(n); got != want {
			t.Errorf("after %d bytes: got %v, want %v", n, got, want)
		}
	}
}

func TestBudgetIsShared(t *testing.T) {
	g := newGateway(t, builtIn(), func(o *Options) { o.Budget = 64 * KiB })
	small := `[{"labels":{"alertname":"A"}}]`
	inSink, goOn := make(chan struct{}), make(chan struct{})
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		inSink <- struct{}{}
		<-goOn
		return opened(alerts), nil
	}
	large := `[{"labels":{"alertname":"A"},"annotations":{"x":"` + strings.Repeat("x", 60<<10) + `"}}]`
	done := make(chan int)
	go func() { done <- g.post("/ingest/prometheus", large).Code }()
	<-inSink
	// What is left does not hold another one, however long it says it is.
	if w := g.post("/ingest/prometheus", large); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, want 503 with Retry-After", w.Code)
	}
	r := httptest.NewRequest("POST", "/ingest/prometheus", strings.NewReader(large))
	r.ContentLength = -1
	if w := g.do(r); w.Code != 503 {
		t.Errorf("of unknown length: got %d, want 503", w.Code)
	}
	close(goOn)
	if code := <-done; code != 200 {
		t.Errorf("the first: got %d, want 200", code)
	}
	g.sink.accept = nil
	if w := g.post("/ingest/prometheus", small); w.Code != 200 || g.budget.used.Load() != 0 {
		t.Errorf("afterwards: got %d, %d bytes in use; want 200, none", w.Code, g.budget.used.Load())
	}
}

// TestUnprovenBodies: who has no credentials cannot take the place of those who
// have some, with a body in which there might be some.
func TestUnprovenBodies(t *testing.T) {
	sources := map[string]SourceConfig{
		"signed": {Format: "alertmanager", Auth: AuthConfig{HMAC: HMACConfig{Secret: secret.New("s")}, BearerToken: secret.New("t")}},
		"other":  {Format: "prometheus"},
	}
	g := newGateway(t, sources, func(o *Options) { o.Budget = 64 * KiB })
	body := webhook(good("A"))
	in, out := io.Pipe()
	r := httptest.NewRequest("POST", "/ingest/signed", in)
	r.ContentLength = -1
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.engine.ServeHTTP(w, r)
	}()
	if _, err := io.WriteString(out, strings.Repeat(" ", 500<<10)); err != nil {
		t.Fatal(err)
	}
	if answer := g.post("/ingest/other", `[{"labels":{"alertname":"A"}}]`); answer.Code != 200 {
		t.Errorf("who may send is answered %d while somebody else sends", answer.Code)
	}
	out.Close()
	<-done
	if w.Code != 401 || len(w.set) == 0 || w.set[0].After(time.Now().Add(unprovenGrace)) {
		t.Errorf("answered %d, with the deadlines %v", w.Code, w.set)
	}
	// What is signed costs what others cost; one that is not may only be so long.
	for _, c := range []struct {
		body, token string
		sign        bool
		code        int
	}{
		{body, "", true, 200},
		{body + strings.Repeat(" ", 100<<10), "", true, 503},
		{strings.Repeat(" ", int(unprovenLimit)+1), "", false, 413},
		{strings.Repeat(" ", int(unprovenLimit)+1), "t", false, 503},
	} {
		r := httptest.NewRequest("POST", "/ingest/signed", strings.NewReader(c.body))
		if c.token != "" {
			r.Header.Set(TokenHeader, c.token)
		}
		if c.sign {
			mac := hmac.New(sha256.New, []byte("s"))
			mac.Write([]byte(c.body))
			r.Header.Set("X-Grafana-Alerting-Signature", hex.EncodeToString(mac.Sum(nil)))
		}
		if answer := g.do(r); answer.Code != c.code {
			t.Errorf("%d bytes, token %q, signed %v: got %d %s, want %d", len(c.body), c.token, c.sign, answer.Code, answer.Body, c.code)
		}
	}
	if a, b := g.budget.used.Load(), g.unprovenBudget.used.Load(); a != 0 || b != 0 {
		t.Errorf("%d and %d bytes of the budgets were not given back", a, b)
	}
}

// TestConservation sends a random mix from several senders, while the sink, the
// dead letters and the spool fail now and then, takes what was spooled out of the
// spool in the same weather, and balances the books.
func TestConservation(t *testing.T) {
	sources := map[string]SourceConfig{"alertmanager": {}, "other": {Format: "alertmanager"}, "kept": {Format: "alertmanager", OnStoreFailure: ToSpool}}
	kept := &fakeSpool{}
	g := newGateway(t, sources, func(o *Options) { o.Spool = kept })
	dice := rand.New(rand.NewPCG(1, 2)) // used under the sink's mutex
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		switch dice.IntN(10) {
		case 0:
			return nil, errors.New("a mistake")
		case 1:
			return nil, errAway
		}
		out := opened(alerts)
		for i := range out {
			out[i].Verdict = alert.Verdict(1 + dice.IntN(int(alert.Spooled)-1))
		}
		return out[:len(out)-dice.IntN(20)/19], nil // now and then one is missing
	}
	g.sink.letter = func() error {
		switch dice.IntN(20) {
		case 0:
			return errors.New("a mistake")
		case 1:
			return errAway
		}
		return nil
	}
	var appends atomic.Int64
	kept.fail = func() error {
		if appends.Add(1)%10 == 0 {
			return errors.New("no room")
		}
		return nil
	}
	var mu sync.Mutex
	verdicts, codes := map[string]float64{}, map[int]int{}
	var senders sync.WaitGroup
	for sender := range uint64(4) {
		senders.Go(func() {
			dice := rand.New(rand.NewPCG(3, sender))
			for range 150 {
				w := g.post("/ingest/"+[]string{"alertmanager", "other", "kept", "kept", "nobody"}[dice.IntN(5)], randomBody(dice))
				if dice.IntN(20) == 0 {
					kept.handOn(t, g) // those that wait for nothing but this are not live any more
				}
				mu.Lock()
				codes[w.Code]++
				if w.Code/100 == 2 {
					for _, r := range read(t, w).Results {
						verdicts[r.Verdict]++
					}
				}
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	for kept.Holds("kept") {
		kept.handOn(t, g)
	}
	g.checkConservation(t, "alertmanager", "other", "kept", SpoolSource)
	again := g.metric(t, "tocsin_alerts_total", "source", SpoolSource) - g.metric(t, "tocsin_alerts_total", "source", SpoolSource, "verdict", "failed")
	if spooled := g.metric(t, "tocsin_alerts_total", "verdict", "spooled"); again < spooled || spooled == 0 {
		t.Errorf("%v alerts were spooled, and %v came out of the spool", spooled, again)
	}
	sum := 0.0
	for _, v := range alert.Verdicts() {
		got := 0.0
		for source := range sources {
			got += g.metric(t, "tocsin_alerts_total", "source", source, "verdict", v.String())
		}
		sum += got
		if v != alert.Failed && got != verdicts[v.String()] {
			t.Errorf("%v: counted %v, but senders were told %v", v, got, verdicts[v.String()])
		}
	}
	if failed := g.metric(t, "tocsin_alerts_total", "source", "kept", "verdict", "failed"); failed == 0 || failed == sum {
		t.Errorf("%v of %v failed; the test shows nothing then", failed, sum)
	}
	for _, code := range []int{200, 202, 400, 404, 503} {
		if codes[code] == 0 {
			t.Errorf("no answer was %d: %v; the test shows less than it should", code, codes)
		}
	}
	if got := g.metric(t, "tocsin_ingest_request_duration_seconds"); got != 600 {
		t.Errorf("requests in the histogram: got %v, want 600", got)
	}
}

func randomBody(dice *rand.Rand) string {
	if dice.IntN(10) == 0 {
		return `{"broken":`
	}
	var elements []string
	for i := range dice.IntN(30) {
		switch dice.IntN(8) {
		case 0:
			elements = append(elements, `{"status":"firing","labels":{"a":1}}`)
		case 1:
			elements = append(elements, "{\"status\":\"firing\",\"labels\":{\"a\":\"\xff\"}}")
		default:
			elements = append(elements, good(fmt.Sprintf("A%d", i)))
		}
	}
	return webhook(elements...)
}

// TestHostileBodiesThroughTheHandler: each has a clear answer, and the process
// goes on.
func TestHostileBodiesThroughTheHandler(t *testing.T) {
	around := func(element string) string { return webhook(good("before"), element, good("after")) }
	tests := []struct {
		name, body string
		code       int
		taken      int // alerts that reach the sink
	}{
		{"malformed", around(`{"status":}`), 400, 0},
		{"truncated", around(good("A"))[:300], 400, 0},
		{"50 MB of one text", around(`{"status":"firing","labels":{"a":"b"},"annotations":{"x":"` + strings.Repeat("x", 50_000_000) + `"}}`), 200, 3},
		{"50 MB of nothing", strings.Repeat(" ", 50_000_000), 400, 0},
		{"deeply nested", around(`{"status":"firing","labels":` + strings.Repeat("[", 100_000)), 400, 0},
		{"duplicate keys", around(`{"status":"firing","labels":{"a":"1","a":"2"}}`), 200, 2},
		{"invalid UTF-8", around("{\"status\":\"firing\",\"labels\":{\"a\":\"\xff\xfe\"}}"), 200, 3},
		{"10,000 labels", around(`{"status":"firing","labels":{` + manyLabels(10_000) + `}}`), 200, 3},
		{"empty labels", around(`{"status":"firing","labels":{}}`), 200, 2},
		{"year 1", around(`{"status":"firing","labels":{"a":"b"},"startsAt":"0001-01-01T00:00:00Z"}`), 200, 3},
		{"year 9999", around(`{"status":"resolved","labels":{"a":"b"},"endsAt":"9999-12-31T23:59:59.999999999Z"}`), 200, 3},
		{"year 10000", around(`{"status":"firing","labels":{"a":"b"},"startsAt":"10000-01-01T00:00:00Z"}`), 200, 2},
		{"NaN", around(`{"status":"firing","labels":{"a":NaN}}`), 400, 0},
		{"HTML", around(`{"status":"firing","labels":{"a":"<script>alert(1)</script>"}}`), 200, 3},
		{"CRLF", around(`{"status":"firing","labels":{"a\r\nSet-Cookie: x":"b\r\n\r\nHTTP/1.1 200 OK"}}`), 200, 3},
		{"CRLF in what is wrong", around(`{"status":"a\r\nSet-Cookie: x","labels":{"a":"b"}}`), 200, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, builtIn(), nil)
			w := g.post("/ingest/alertmanager", test.body)
			if w.Code != test.code || len(g.sink.names) != test.taken {
				t.Fatalf("got %d and %d alerts, want %d and %d: %.200s", w.Code, len(g.sink.names), test.code, test.taken, w.Body)
			}
			if test.taken > 0 && (g.sink.names[0] != "before" || g.sink.names[test.taken-1] != "after") {
				t.Errorf("the neighbours are %v", g.sink.names)
			}
			if a := read(t, w); test.code == 400 && a.Error == "" {
				t.Error("no reason was given")
			}
			if w.Header().Get("Set-Cookie") != "" {
				t.Error("a header came out of an alert")
			}
			g.checkConservation(t, "alertmanager")
		})
	}
}
