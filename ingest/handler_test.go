package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// fakeSink takes everything unless accept or deadLetter say otherwise.
type fakeSink struct {
	mu      sync.Mutex
	batches []int
	names   []string
	sources []string
	letters []DeadLetter
	accept  func(alerts []alert.Alert) ([]alert.Outcome, error)
	letter  func() error
}

func (f *fakeSink) Accept(_ context.Context, source string, alerts []alert.Alert) ([]alert.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(alerts))
	f.sources = append(f.sources, source)
	for i := range alerts {
		f.names = append(f.names, strings.Clone(alerts[i].Name()))
		if alerts[i].Source != source {
			return nil, errors.New("an alert of another source")
		}
	}
	if f.accept != nil {
		return f.accept(alerts)
	}
	return opened(alerts), nil
}

func (f *fakeSink) DeadLetter(_ context.Context, d DeadLetter) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.letter != nil {
		if err := f.letter(); err != nil {
			return err
		}
	}
	d.Body = append([]byte(nil), d.Body...)
	f.letters = append(f.letters, d)
	return nil
}

// opened returns outcomes in which each alert opened an incident of its own.
func opened(alerts []alert.Alert) []alert.Outcome {
	out := make([]alert.Outcome, len(alerts))
	for i := range alerts {
		sum := sha256.Sum256([]byte(alerts[i].Name()))
		out[i] = alert.Outcome{Fingerprint: alert.Fingerprint(sum[:16]), Verdict: alert.Opened, Incident: "id-" + strings.Clone(alerts[i].Name()), Reference: "INC-1"}
	}
	return out
}

// gateway is a Handler in an engine, as cmd puts it there.
type gateway struct {
	t testing.TB
	*Handler
	sink     *fakeSink
	registry *prometheus.Registry
	engine   *gin.Engine
}

func newGateway(t testing.TB, sources map[string]SourceConfig, change func(*Options)) *gateway {
	t.Helper()
	g := &gateway{t: t, sink: &fakeSink{}, registry: prometheus.NewRegistry(), engine: gin.New()}
	g.engine.RedirectTrailingSlash = false
	o := Options{
		Sink:       g.sink,
		Open:       func(string) bool { return true },
		Now:        func() time.Time { return received },
		Log:        slog.New(slog.NewTextHandler(t.Output(), nil)),
		Registerer: g.registry,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if g.Handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	list, err := NewSources(sources, testFormats)
	if err != nil {
		t.Fatal(err)
	}
	g.Set(list)
	g.Register(g.engine)
	return g
}

func (g *gateway) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	var h http.Handler = g.engine
	checker, err := documented()
	if err != nil {
		g.t.Fatal(err)
	}
	// The checker reads bodies whole, which the tests of endless ones do not want;
	// and what is no documented request has no documented answer.
	if r.ContentLength >= 0 && r.ContentLength < int64(64*MiB) && checker.Documents(r.Method, r.URL.Path, http.StatusOK) {
		h = checker.Handler(g.t, h)
	}
	h.ServeHTTP(w, r)
	return w
}

// documented holds answers against the OpenAPI document.
var documented = sync.OnceValues(webtest.New)

func (g *gateway) post(path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return g.do(r)
}

// builtIn are the sources without configuration.
func builtIn() map[string]SourceConfig {
	return map[string]SourceConfig{"alertmanager": {}, "prometheus": {}}
}

// metric returns a value from the registry; histograms give their count.
func (g *gateway) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// checkConservation: for each source, received is the sum of the verdicts.
func (g *gateway) checkConservation(t *testing.T, sources ...string) {
	t.Helper()
	for _, s := range sources {
		got, want := g.metric(t, "tocsin_alerts_total", "source", s), g.metric(t, "tocsin_alerts_received_total", "source", s)
		if got != want {
			t.Errorf("source %s: the verdicts add up to %v, received %v", s, got, want)
		}
	}
}

// answered is the body of an answer.
type answered struct {
	Received int `json:"received"`
	Results  []struct {
		Fingerprint string `json:"fingerprint"`
		Verdict     string `json:"verdict"`
		Incident    string `json:"incident"`
		Reference   string `json:"reference"`
		Reason      string `json:"reason"`
	} `json:"results"`
	LeftOut int    `json:"results_left_out"`
	Error   string `json:"error"`
	Field   string `json:"field"`
}

func read(t *testing.T, w *httptest.ResponseRecorder) answered {
	t.Helper()
	var a answered
	if err := json.Unmarshal(w.Body.Bytes(), &a, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: got %q, want application/json", got)
	}
	return a
}

func TestAnswers(t *testing.T) {
	fine := webhook(good("A"))
	tests := []struct {
		name          string
		method, path  string // POST /ingest/alertmanager if empty
		body          string
		headers       []string
		prepare       func(*gateway)
		code          int
		error, field  string // the beginning of the error
		header, value string // of the answer
		letters       int
		received      float64
		failed        float64
	}{
		{name: "understood", body: fine, code: 200, received: 1},
		{name: "PUT", method: "PUT", body: fine, code: 200, received: 1},
		{name: "a slash at the end", path: "/ingest/alertmanager/", body: fine, code: 200, received: 1},
		{name: "a wrong Content-Type alone", body: fine, headers: []string{"Content-Type", "text/xml"}, code: 200, received: 1},
		{name: "no alerts", body: webhook(), code: 200},
		{name: "not understood", body: `{"count":1}`, code: 400, error: "alerts: absent", field: "alerts", letters: 1},
		{name: "not understood, from curl", body: `hello`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: 400, error: "not JSON", letters: 1},
		{name: "broken JSON of a stated other type", body: `{"alerts":[`, headers: []string{"Content-Type", "text/xml"}, code: 400, error: "alerts: not JSON", field: "alerts", letters: 1},
		{name: "no body", code: 400, error: "the body is empty", letters: 1},
		{name: "another format", body: `<alert/>`, headers: []string{"Content-Type", "text/xml; charset=utf-8"}, code: 415, error: "not JSON", letters: 1},
		{name: "compressed", body: fine, headers: []string{"Content-Encoding", "gzip"}, code: 415, error: "compressed"},
		{name: "unknown source", path: "/ingest/nobody", body: fine, code: 404, error: "there is no source"},
		{name: "GET", method: "GET", code: 405, error: "alerts are sent", header: "Allow", value: "POST, PUT"},
		{name: "HEAD", method: "HEAD", code: 405, header: "Allow", value: "POST, PUT"},
		{name: "DELETE", method: "DELETE", code: 405, error: "alerts are sent", header: "Allow", value: "POST, PUT"},
		{name: "OPTIONS", method: "OPTIONS", code: 405, error: "alerts are sent", header: "Allow", value: "POST, PUT"},
		{name: "too large", path: "/ingest/small", body: strings.Repeat(" ", 1025), code: 413, error: "the body is larger than the limit of 1KiB", header: "Connection", value: "close"},
		{name: "not durable", body: fine, code: 503, error: "not durable", header: "Retry-After", value: "5", received: 1, failed: 1, prepare: func(g *gateway) {
			g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errors.New("disk full") }
		}},
		{name: "an outcome missing", body: webhook(good("A"), good("B")), code: 503, error: "not durable", received: 2, failed: 2, prepare: func(g *gateway) {
			g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) { return opened(alerts)[1:], nil }
		}},
		{name: "an outcome failed", body: fine, code: 503, error: "not durable", received: 1, failed: 1, prepare: func(g *gateway) {
			g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return []alert.Outcome{{Verdict: alert.Failed}}, nil }
		}},
		{name: "an outcome spooled, which is not the sink's to say", body: fine, code: 503, error: "not durable", received: 1, failed: 1, prepare: func(g *gateway) {
			g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return []alert.Outcome{{Verdict: alert.Spooled}}, nil }
		}},
		{name: "dead letter not durable", body: `{}`, code: 503, error: "not durable", header: "Retry-After", value: "5", prepare: func(g *gateway) {
			g.sink.letter = func() error { return errors.New("disk full") }
		}},
		{name: "dead letter of an element not durable", body: webhook(good("A"), `{}`), code: 503, error: "not durable", received: 2, failed: 2, prepare: func(g *gateway) {
			g.sink.letter = func() error { return errors.New("disk full") }
		}},
		{name: "shutting down", body: fine, code: 503, error: "shutting down", header: "Retry-After", value: "5", prepare: func(g *gateway) { g.Drain() }},
		{name: "Prometheus API v2", path: "/api/v2/alerts", body: `[{"labels":{"alertname":"A"}}]`, code: 200, received: 1},
		{name: "Prometheus API v1", path: "/api/v1/alerts", body: `[{"labels":{"alertname":"A"}}]`, code: 200, received: 1},
		{name: "Prometheus API v2 with a slash", path: "/api/v2/alerts/", body: `[{"labels":{"alertname":"A"}}]`, code: 200, received: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sources := builtIn()
			sources["small"] = SourceConfig{Format: "alertmanager", BodyLimit: KiB}
			g := newGateway(t, sources, nil)
			if test.prepare != nil {
				test.prepare(g)
			}
			method, path := "POST", "/ingest/alertmanager"
			if test.method != "" {
				method = test.method
			}
			if test.path != "" {
				path = test.path
			}
			r := httptest.NewRequest(method, path, strings.NewReader(test.body))
			for i := 0; i < len(test.headers); i += 2 {
				r.Header.Set(test.headers[i], test.headers[i+1])
			}
			w := g.do(r)
			if w.Code != test.code {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, test.code)
			}
			if method != "HEAD" {
				a := read(t, w)
				if !strings.HasPrefix(a.Error, test.error) || (a.Error == "") != (test.error == "") || a.Field != test.field {
					t.Errorf("got error %q, field %q; want %q…, %q", a.Error, a.Field, test.error, test.field)
				}
			}
			if got := w.Header().Get(test.header); test.header != "" && got != test.value {
				t.Errorf("%s: got %q, want %q", test.header, got, test.value)
			}
			if len(g.sink.letters) != test.letters {
				t.Errorf("got %d dead letters, want %d", len(g.sink.letters), test.letters)
			}
			g.checkConservation(t, "alertmanager", "prometheus", "small")
			if got := g.metric(t, "tocsin_alerts_received_total"); got != test.received {
				t.Errorf("received: got %v, want %v", got, test.received)
			}
			if got := g.metric(t, "tocsin_alerts_total", "verdict", "failed"); got != test.failed {
				t.Errorf("failed: got %v, want %v", got, test.failed)
			}
			if got := g.metric(t, "tocsin_ingest_request_duration_seconds"); got != 1 {
				t.Errorf("requests in the histogram: got %v, want 1", got)
			}
			if got := g.metric(t, "tocsin_dead_letters_total"); got != float64(test.letters) {
				t.Errorf("dead letters in the metrics: got %v, want %d", got, test.letters)
			}
			if got := g.budget.used.Load(); got != 0 {
				t.Errorf("%d bytes of the budget were not given back", got)
			}
		})
	}
}

func TestResultsAreInTheOrderOfTheBody(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	w := g.post("/ingest/alertmanager", webhook(`{}`, good("A"), `{"status":"firing","labels":{"a":"b"},"startsAt":"yesterday"}`, good("B")))
	a := read(t, w)
	if w.Code != 200 || a.Received != 4 || len(a.Results) != 4 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	for i, want := range []struct{ verdict, incident, reason string }{
		{"rejected", "", "alerts[0].labels: none; an alert without labels cannot be told apart from others"},
		{"opened", "id-A", ""},
		{"rejected", "", `alerts[2].startsAt: "yesterday" is not RFC 3339`},
		{"opened", "id-B", ""},
	} {
		r := a.Results[i]
		if r.Verdict != want.verdict || r.Incident != want.incident || r.Reason != want.reason || (r.Fingerprint == "") != (want.incident == "") {
			t.Errorf("result %d: got %+v, want %+v", i, r, want)
		}
	}
	if got := g.metric(t, "tocsin_alerts_total", "source", "alertmanager", "verdict", "rejected"); got != 2 {
		t.Errorf("rejected: got %v, want 2", got)
	}
	if got := g.metric(t, "tocsin_source_last_received_timestamp_seconds", "source", "alertmanager"); got != float64(received.Unix()) {
		t.Errorf("last received: got %v, want %v", got, received.Unix())
	}
	g.checkConservation(t, "alertmanager")
}

// TestAnswerText holds the answer to the letters of the contract.
func TestAnswerText(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) {
		return []alert.Outcome{{Fingerprint: alert.Fingerprint{0x9f, 2}, Verdict: alert.Suppressed, Incident: "0198c0de", Reference: `a"b`, Reason: "rule <x>\n\u2028"}}, nil
	}
	got := g.post("/ingest/alertmanager", webhook(good("A"))).Body.String()
	want := `{"received":1,"results":[{"fingerprint":"9f020000000000000000000000000000","verdict":"suppressed","incident":"0198c0de","reference":"a\"b","reason":"rule <x>\n` + "\u2028" + `"}]}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDeadLetters(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	bad := `{"status":"firing","labels":{"a":"b"},"startsAt":"yesterday"}`
	// The same bad alert among changing neighbours, and a body that is bad as a whole.
	for _, body := range []string{webhook(bad), webhook(good("A"), bad), `{"x":1}`, `{"x":1}`} {
		g.post("/ingest/alertmanager?token=hush", body, "Content-Type", "text/plain", "Authorization", "Bearer hush")
	}
	if len(g.sink.letters) != 4 {
		t.Fatalf("got %d letters, want 4", len(g.sink.letters))
	}
	element, again, whole, repeated := g.sink.letters[0], g.sink.letters[1], g.sink.letters[2], g.sink.letters[3]
	if element.ID != again.ID || whole.ID != repeated.ID || element.ID == whole.ID {
		t.Errorf("ids: got %s, %s, %s, %s; want two and two the same", element.ID, again.ID, whole.ID, repeated.ID)
	}
	if string(element.Body) != `{"version":"4","alerts":[`+bad+`]}` || element.Elements != 1 ||
		element.Reason != `alerts[0].startsAt: "yesterday" is not RFC 3339` || again.Reason != element.Reason || element.Field != "alerts[0].startsAt" {
		t.Errorf("letter of an alert: got %+v", element)
	}
	if string(whole.Body) != `{"x":1}` || whole.Elements != 0 || whole.Field != "alerts" || whole.Cut {
		t.Errorf("letter of a body: got %+v", whole)
	}
	for _, d := range g.sink.letters {
		if d.Source != "alertmanager" || d.Format != "alertmanager" || d.Method != "POST" || d.Path != "/ingest/alertmanager" ||
			d.ContentType != "text/plain" || !d.ReceivedAt.Equal(received) || len(d.ID) != 32 {
			t.Errorf("got %+v", d)
		}
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	t.Run("many bad alerts", func(t *testing.T) {
		g := newGateway(t, builtIn(), nil)
		elements := make([]string, 3000)
		for i := range elements {
			elements[i] = `{"labels":{"n":"` + strings.Repeat("x", 1000) + `"}}`
		}
		a := read(t, g.post("/ingest/alertmanager", webhook(elements...)))
		if a.Received != 3000 || len(g.sink.letters) != ownLetters+1 {
			t.Fatalf("got %d received and %d letters, want 3000 and %d", a.Received, len(g.sink.letters), ownLetters+1)
		}
		shared := g.sink.letters[ownLetters]
		if shared.Elements != 3000-ownLetters || !shared.Cut || len(shared.Body) > MaxDeadLetter ||
			shared.Reason != "alerts[0].status: absent, must be firing or resolved (the first of 2984)" {
			t.Errorf("the shared letter: %d elements, cut %v, %d bytes, %s", shared.Elements, shared.Cut, len(shared.Body), shared.Reason)
		}
		g.checkConservation(t, "alertmanager")
	})
	t.Run("a large body", func(t *testing.T) {
		g := newGateway(t, builtIn(), nil)
		w := g.post("/ingest/prometheus", `"`+strings.Repeat("x", 2<<20)+`"`)
		if w.Code != 400 || len(g.sink.letters) != 1 || len(g.sink.letters[0].Body) != MaxDeadLetter || !g.sink.letters[0].Cut {
			t.Errorf("got %d and %d letters", w.Code, len(g.sink.letters))
		}
	})
}

func TestBatches(t *testing.T) {
	var elements []string
	for range 2*BatchSize + 1 {
		elements = append(elements, good("A"))
	}
	body := webhook(elements...)
	g := newGateway(t, builtIn(), nil)
	if a := read(t, g.post("/ingest/alertmanager", body)); a.Received != len(elements) || len(a.Results) != len(elements) {
		t.Errorf("received %d with %d results, want %d", a.Received, len(a.Results), len(elements))
	}
	if len(g.sink.batches) != 3 || g.sink.batches[0] != BatchSize || g.sink.batches[2] != 1 {
		t.Errorf("batches: got %v, want %d, %d, 1", g.sink.batches, BatchSize, BatchSize)
	}
	// The second batch fails: the sender sends all of it again, so all has failed.
	n := 0
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		if n++; n == 2 {
			return nil, errors.New("disk full")
		}
		return opened(alerts), nil
	}
	if w := g.post("/ingest/alertmanager", body); w.Code != 503 {
		t.Errorf("got %d, want 503", w.Code)
	}
	if got := g.metric(t, "tocsin_alerts_total", "verdict", "opened"); got != float64(len(elements)) {
		t.Errorf("opened: got %v, want %d of the first request only", got, len(elements))
	}
	g.checkConservation(t, "alertmanager")
}

func TestNoAnswerIsManyTimesTheBody(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	const n = 100_000
	body := "[" + strings.Repeat(`1,`, n-1) + "1]"
	w := g.post("/ingest/prometheus", body)
	size := w.Body.Len()
	a := read(t, w)
	if a.Received != n || len(a.Results)+a.LeftOut != n || size > 1<<20+1024 {
		t.Errorf("got %d received, %d results and %d left out in %d bytes; want %d in at most 1 MiB", a.Received, len(a.Results), a.LeftOut, size, n)
	}
	g.checkConservation(t, "prometheus")
}

func TestSinkThatPanicsIsCounted(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { panic("bug") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		g.post("/ingest/alertmanager", webhook(good("A")))
	}()
	g.checkConservation(t, "alertmanager")
	if got := g.metric(t, "tocsin_alerts_total", "verdict", "failed"); got != 1 || g.budget.used.Load() != 0 {
		t.Errorf("failed: got %v, want 1; %d bytes of the budget in use, want 0", got, g.budget.used.Load())
	}
}

func TestSeriesExistFromTheStart(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	// Two sources and "unknown".
	for name, want := range map[string]int{
		"tocsin_alerts_received_total":                  3,
		"tocsin_alerts_total":                           3 * len(alert.Verdicts()),
		"tocsin_dead_letters_total":                     3,
		"tocsin_source_last_received_timestamp_seconds": 3,
		"tocsin_ingest_request_duration_seconds":        3 * len(answerCodes),
	} {
		if series[name] != want {
			t.Errorf("%s: got %d series, want %d", name, series[name], want)
		}
	}
	before := len(families)
	for _, path := range []string{"/ingest/x1", "/ingest/x2", "/ingest/alertmanager"} {
		g.post(path, webhook(good("A")))
	}
	after, err := g.registry.Gather()
	if err != nil || len(after) != before {
		t.Fatalf("got %d families, want %d (%v)", len(after), before, err)
	}
	for _, f := range after {
		if len(f.GetMetric()) != series[f.GetName()] {
			t.Errorf("%s grew from %d to %d series", f.GetName(), series[f.GetName()], len(f.GetMetric()))
		}
	}
}

func TestSourcesAreReplacedAtOnce(t *testing.T) {
	g := newGateway(t, builtIn(), nil)
	inSink, goOn := make(chan struct{}), make(chan struct{})
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		close(inSink)
		<-goOn
		return opened(alerts), nil
	}
	done := make(chan int)
	go func() { done <- g.post("/ingest/alertmanager", webhook(good("A"))).Code }()
	<-inSink
	list, err := NewSources(map[string]SourceConfig{"other": {Format: "alertmanager"}, "gone": {Disabled: true, Format: "alertmanager"}}, testFormats)
	if err != nil {
		t.Fatal(err)
	}
	g.Set(list)
	close(goOn)
	if code := <-done; code != 200 {
		t.Errorf("the request that had begun: got %d, want 200", code)
	}
	g.sink.accept = nil
	for path, want := range map[string]int{"/ingest/alertmanager": 404, "/ingest/gone": 404, "/ingest/other": 200} {
		if w := g.post(path, webhook(good("A"))); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	if _, err := NewSources(map[string]SourceConfig{"x": {Format: "y"}}, testFormats); err == nil {
		t.Error("a source of an unknown format was accepted")
	}
}

// issued is a TokenChecker with one token for each source.
type issued map[string]string

func (i issued) SourceToken(_ context.Context, source, token string) bool {
	want, ok := i[source]
	return ok && want == token
}

func TestCredentials(t *testing.T) {
	sources := map[string]SourceConfig{
		"open":   {Format: "alertmanager"},
		"token":  {Format: "alertmanager", Auth: AuthConfig{BearerToken: secret.New("t0ken"), Header: "X-Api-Key"}},
		"query":  {Format: "alertmanager", Auth: AuthConfig{BearerToken: secret.New("qu&ry"), QueryToken: true}},
		"basic":  {Format: "alertmanager", Auth: AuthConfig{Username: "am", Password: secret.New("p:w")}},
		"issued": {Format: "alertmanager"},
	}
	basic := func(username, password string) []string {
		r := httptest.NewRequest("POST", "/", nil)
		r.SetBasicAuth(username, password)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	tests := []struct {
		name, source string
		headers      []string
		query        string
		code         int // with a listener that knows no authentication
		closed       int // with one that does; 0: the same
	}{
		{name: "nothing needed", source: "open", code: 200, closed: 401},
		{name: "nothing needed, wrong ones given", source: "open", headers: []string{"Authorization", "Bearer x"}, code: 200, closed: 401},
		{name: "bearer", source: "token", headers: []string{"Authorization", "Bearer t0ken"}, code: 200},
		{name: "bearer in lower case", source: "token", headers: []string{"Authorization", "bearer t0ken"}, code: 200},
		{name: "token", source: "token", headers: []string{"Authorization", "Token t0ken"}, code: 200},
		{name: "basic with the token as password", source: "token", headers: basic("any", "t0ken"), code: 200},
		{name: "default header", source: "token", headers: []string{"X-Tocsin-Token", "t0ken"}, code: 200},
		{name: "own header", source: "token", headers: []string{"X-Api-Key", "t0ken"}, code: 200},
		{name: "one right among wrong ones", source: "token", headers: []string{"Authorization", "Bearer x", "X-Api-Key", "t0ken"}, code: 200},
		{name: "query not allowed", source: "token", query: "?token=t0ken", code: 401},
		{name: "none", source: "token", code: 401},
		{name: "wrong", source: "token", headers: []string{"Authorization", "Bearer t0keN"}, code: 401},
		{name: "a beginning of it", source: "token", headers: []string{"Authorization", "Bearer t0ke"}, code: 401},
		{name: "empty", source: "token", headers: []string{"Authorization", "Bearer "}, code: 401},
		{name: "another scheme", source: "token", headers: []string{"Authorization", "Digest t0ken"}, code: 401},
		{name: "another header", source: "token", headers: []string{"X-Other", "t0ken"}, code: 401},
		{name: "of another source", source: "token", headers: basic("am", "p:w"), code: 403},
		{name: "issued to another source", source: "token", headers: []string{"Authorization", "Bearer iss"}, code: 403},
		{name: "query", source: "query", query: "?token=qu%26ry", code: 200},
		{name: "wrong query", source: "query", query: "?token=qu", code: 401},
		{name: "broken query", source: "query", query: "?token=%zz", code: 401},
		{name: "basic", source: "basic", headers: basic("am", "p:w"), code: 200},
		{name: "basic, wrong name", source: "basic", headers: basic("pm", "p:w"), code: 401},
		{name: "basic, wrong password", source: "basic", headers: basic("am", "p"), code: 401},
		{name: "the password as a token", source: "basic", headers: []string{"Authorization", "Bearer p:w"}, code: 401},
		{name: "issued", source: "issued", headers: []string{"Authorization", "Bearer iss"}, code: 200},
		{name: "issued, none", source: "issued", code: 200, closed: 401},
	}
	for _, open := range []bool{true, false} {
		g := newGateway(t, sources, func(o *Options) {
			o.Tokens = issued{"issued": "iss"}
			o.Open = func(string) bool { return open }
		})
		for _, test := range tests {
			want := test.code
			if !open && test.closed != 0 {
				want = test.closed
			}
			w := g.post("/ingest/"+test.source+test.query, webhook(good("A")), test.headers...)
			if w.Code != want {
				t.Errorf("open %v, %s: got %d %s, want %d", open, test.name, w.Code, w.Body, want)
			}
			if challenge := w.Header().Values("WWW-Authenticate"); (len(challenge) == 2) != (want == 401) {
				t.Errorf("open %v, %s: WWW-Authenticate %q with %d", open, test.name, challenge, want)
			}
			for _, hidden := range []string{"t0ken", "qu&ry", "p:w", "iss\""} {
				if strings.Contains(w.Body.String(), hidden) {
					t.Errorf("%s: the answer tells the secret: %s", test.name, w.Body)
				}
			}
		}
	}
}

func TestSourceOfPrometheusAPI(t *testing.T) {
	token := func(s string) AuthConfig { return AuthConfig{BearerToken: secret.New(s)} }
	several := map[string]SourceConfig{
		"prometheus":   {},
		"prom-b":       {Format: "prometheus", Auth: token("b")},
		"prom-c":       {Format: "prometheus"},
		"alertmanager": {Auth: token("am")},
	}
	tests := []struct {
		name    string
		sources map[string]SourceConfig
		closed  bool
		token   string
		code    int
		source  string
	}{
		{name: "without credentials", sources: several, code: 200, source: "prometheus"},
		{name: "credentials of another", sources: several, token: "b", code: 200, source: "prom-b"},
		{name: "an issued token", sources: several, token: "c", code: 200, source: "prom-c"},
		{name: "unknown credentials", sources: several, token: "x", code: 200, source: "prometheus"},
		{name: "closed", sources: several, closed: true, code: 401},
		{name: "closed, credentials of another", sources: several, closed: true, token: "b", code: 200, source: "prom-b"},
		{name: "closed, of another format", sources: several, closed: true, token: "am", code: 403},
		{name: "prometheus is not there", sources: map[string]SourceConfig{"prom-b": several["prom-b"]}, code: 401},
		{name: "prometheus is not there, but the other", sources: map[string]SourceConfig{"prom-b": several["prom-b"]}, token: "b", code: 200, source: "prom-b"},
		{name: "none of this format", sources: map[string]SourceConfig{"alertmanager": {}}, code: 404},
		{name: "the name has another format", sources: map[string]SourceConfig{"prometheus": {Format: "alertmanager"}}, code: 404},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, test.sources, func(o *Options) {
				o.Tokens = issued{"prom-c": "c"}
				o.Open = func(string) bool { return !test.closed }
			})
			var headers []string
			if test.token != "" {
				headers = []string{"Authorization", "Bearer " + test.token}
			}
			w := g.post("/api/v2/alerts", `[{"labels":{"alertname":"A"}}]`, headers...)
			if w.Code != test.code {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, test.code)
			}
			if test.source != "" && (len(g.sink.sources) != 1 || g.sink.sources[0] != test.source) {
				t.Errorf("got the source %v, want %s", g.sink.sources, test.source)
			}
		})
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	var log strings.Builder
	sources := map[string]SourceConfig{"s": {Format: "alertmanager", Auth: AuthConfig{BearerToken: secret.New("hush-hush"), QueryToken: true}}}
	g := newGateway(t, sources, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errors.New("disk full") }
	for _, body := range []string{`{}`, `{}`, webhook(`{}`), webhook(good("A")), webhook(good("A"))} {
		g.post("/ingest/s?token=hush-hush", body, "Authorization", "Bearer hush-hush")
	}
	if strings.Contains(log.String(), "hush") {
		t.Errorf("the log tells a secret:\n%s", &log)
	}
	for text, want := range map[string]int{`msg="dead letter"`: 1, `msg="alerts are not accepted"`: 1} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%s: logged %d times, want %d:\n%s", text, got, want, &log)
		}
	}
	for _, d := range g.sink.letters {
		if strings.Contains(d.Path+d.Reason+d.ContentType+string(d.Body), "hush") {
			t.Errorf("a dead letter tells a secret: %+v", d)
		}
	}
}

func TestNoPathRedirects(t *testing.T) {
	for _, redirect := range []bool{false, true} {
		g := newGateway(t, builtIn(), nil)
		g.engine.RedirectTrailingSlash = redirect
		for path, want := range map[string]int{
			"/ingest/alertmanager":  200,
			"/ingest/alertmanager/": 200,
			"/ingest/nobody/":       404,
			"/api/v2/alerts/":       400, // an array is wanted there
			"/api/v1/alerts/":       400,
		} {
			if w := g.post(path, webhook(good("A"))); w.Code != want {
				t.Errorf("redirects %v: %s: got %d, want %d", redirect, path, w.Code, want)
			}
		}
		if !redirect {
			for _, path := range []string{"/ingest", "/ingest/", "/ingest/a/b", "/ingest//alertmanager", "/Ingest/alertmanager", "/api/v2/alerts//"} {
				if w := g.post(path, webhook(good("A"))); w.Code != 404 {
					t.Errorf("%s: got %d, want 404", path, w.Code)
				}
			}
		}
	}
}
