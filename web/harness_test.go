package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/live"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

func init() { gin.SetMode(gin.TestMode) }

// morning is when the tests begin.
var morning = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

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

// brokenStore fails with err, if that is set.
type brokenStore struct {
	store.Store
	mu  sync.Mutex
	err error
}

func (b *brokenStore) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *brokenStore) broken() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *brokenStore) Update(ctx context.Context, changes []incident.Change) error {
	if err := b.broken(); err != nil {
		return err
	}
	return b.Store.Update(ctx, changes)
}

func (b *brokenStore) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	if err := b.broken(); err != nil {
		return nil, err
	}
	return b.Store.Incident(ctx, name)
}

func (b *brokenStore) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	if err := b.broken(); err != nil {
		return nil, "", err
	}
	return b.Store.Incidents(ctx, q)
}

func (b *brokenStore) Document(ctx context.Context, typ, id string) (incident.Document, error) {
	if err := b.broken(); err != nil {
		return incident.Document{}, err
	}
	return b.Store.Document(ctx, typ, id)
}

func (b *brokenStore) Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error) {
	if err := b.broken(); err != nil {
		return nil, err
	}
	return b.Store.Documents(ctx, typ, after, limit)
}

func (b *brokenStore) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	if err := b.broken(); err != nil {
		return 0, err
	}
	return b.Store.PutDocument(ctx, d)
}

func (b *brokenStore) Jobs(ctx context.Context) ([]store.JobCount, error) {
	if err := b.broken(); err != nil {
		return nil, err
	}
	return b.Store.Jobs(ctx)
}

// server is an API over a store in memory; every answer is checked against
// openapi.yaml.
type server struct {
	t        *testing.T
	clock    *clock
	store    *brokenStore
	pipeline *router.Pipeline
	api      *web.API
	engine   *gin.Engine
	handler  http.Handler
	checker  *webtest.Checker
	log      *bytes.Buffer
	// address is where requests come from, host where they go to.
	address, host string
	token         string
	// cookies are those of a browser, as Cookie has them.
	cookies string
	// sources are what ingest counted.
	sources []web.Source
	// changes counts what change has done.
	changes int
}

func newServer(t *testing.T, change ...func(*web.Options)) *server {
	t.Helper()
	s := &server{t: t, clock: &clock{t: morning}, log: &bytes.Buffer{}, address: "127.0.0.1:5555", host: "127.0.0.1:9095"}
	st := embeddedtest.Open(t, embedded.Options{Now: s.clock.now})
	s.store = &brokenStore{Store: st}
	log := slog.New(slog.NewTextHandler(io.MultiWriter(s.log, t.Output()), nil))
	pages := live.New(live.Options{Store: s.store, Severities: func() []string { return s.pipeline.Severities() }, Log: log, Registerer: prometheus.NewRegistry()})
	s.pipeline = router.New(pages.Watch(s.store), log, prometheus.NewRegistry())
	settings := config.Default().Settings()
	guide, err := process.New(process.Config{Profile: process.ProfileNone, Duties: []process.Duty{{Name: "handover", After: "1h", Text: "hand it over"}, {Name: "call", After: "2h", Text: "call the customer"}},
		Gates: []process.Gate{{Before: []string{"escalate"}, Need: []string{"assessed"}}}}, config.Default().ProcessOptions())
	if err != nil {
		t.Fatal(err)
	}
	settings.Guide = guide
	settings.Heartbeats = []router.Heartbeat{{Name: "watchdog", Source: "alertmanager", Matchers: []string{`alertname="Watchdog"`}, Every: model.Duration(5 * time.Minute)}}
	if err := s.pipeline.Set(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	o := web.Options{Pipeline: s.pipeline, Live: pages, Store: s.store, Log: log, Now: s.clock.now, Version: "test", Retry: s.retry, Process: func() *process.Guide { return guide }, Explain: s.explain, Mapping: s.mapping, ExplainMapping: s.explainMapping,
		Backup:        func(_ context.Context, w io.Writer) error { return s.backup(w) },
		Notifications: &notifications{s: s},
		Recordings:    &recordings{s: s, all: []web.Recording{recording("first", `{"n":1}`)}},
		Sources:       func() []web.Source { return s.sources },
		Configuration: func() web.ConfigJSON { return web.ConfigJSON{Hash: "abc", LoadedAt: morning, TriedAt: morning} },
		HasSource:     func(name string) bool { return name == "alertmanager" || name == "prometheus" }}
	for _, c := range change {
		c(&o)
	}
	if s.api, err = web.New(o); err != nil {
		t.Fatal(err)
	}
	if s.checker, err = webtest.New(); err != nil {
		t.Fatal(err)
	}
	s.engine = gin.New()
	s.engine.Use(s.api.Protect())
	s.api.Register(s.engine)
	for _, page := range []string{"/", "/incidents/:id"} { // as the console has them
		s.engine.GET(page, s.api.Require(web.RoleViewer), func(c *gin.Context) { c.Data(http.StatusOK, "text/html", nil) })
	}
	s.handler = s.checker.Handler(t, s.engine)
	return s
}

// retry stands for ingest: a body "good" has two alerts, "half" one and a
// mistake, "bad" is not understood.
func (s *server) retry(ctx context.Context, l router.Letter) ([]alert.Outcome, error) {
	switch string(l.Body) {
	case "good":
		return s.pipeline.Accept(ctx, l.Source, []alert.Alert{s.firing("A", "s1"), s.firing("A", "s2")})
	case "half":
		out, err := s.pipeline.Accept(ctx, l.Source, []alert.Alert{s.firing("A", "s1")})
		return append(out, alert.Outcome{Verdict: alert.Rejected, Reason: "alerts[1].labels: missing"}), err
	}
	return nil, &router.InputError{Field: "alerts", Reason: "missing"}
}

func (s *server) explain(ctx context.Context, source string, payload []byte) (web.Explanation, error) {
	if err := s.store.broken(); err != nil {
		return web.Explanation{}, err
	}
	if source != "alertmanager" {
		return web.Explanation{}, &router.InputError{Field: "source", Reason: "there is no such source"}
	}
	explained, err := s.pipeline.Explain(ctx, []alert.Alert{s.firing(string(payload), "db")})
	return web.NewExplanation(explained, []web.Rejection{{Reason: "alerts[1].labels: missing", Field: "alerts[1].labels"}}), err
}

func (s *server) mapping(source string) (string, error) {
	if source != "tool" {
		return "", &router.InputError{Field: "source", Reason: "there is no such source"}
	}
	return "name: {path: title}\n", s.store.broken()
}

func (s *server) explainMapping(ctx context.Context, source, mapping string, payload []byte) (web.Explanation, error) {
	if _, err := s.mapping(source); err != nil {
		return web.Explanation{}, err
	}
	explained, err := s.pipeline.Explain(ctx, []alert.Alert{s.firing(mapping+string(payload), "db")})
	return web.NewExplanation(explained, nil), err
}

func (s *server) backup(w io.Writer) error {
	if err := s.store.broken(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "a tar archive")
	return err
}

// firing is an alert that fires since an hour ago.
func (s *server) firing(name, service string) alert.Alert {
	now := s.clock.now()
	return alert.Alert{Status: alert.Firing, Source: "alertmanager", Identity: "id-" + name, StartsAt: now.Add(-time.Hour), ReceivedAt: now,
		GeneratorURL: "http://prometheus/graph", Labels: alert.FromMap(map[string]string{"alertname": name, "service": service, "severity": "critical", "instance": "web1:9100"}),
		Annotations: alert.FromMap(map[string]string{"summary": "it burns"})}
}

// accept takes an alert in and returns the incident it belongs to.
func (s *server) accept(a alert.Alert) string {
	s.t.Helper()
	out, err := s.pipeline.Accept(context.Background(), a.Source, []alert.Alert{a})
	if err != nil {
		s.t.Fatal(err)
	}
	return out[0].Incident
}

// letter stores a dead letter.
func (s *server) letter(id, body string, cut bool) {
	s.t.Helper()
	err := s.pipeline.PutLetter(context.Background(), router.Letter{ID: id, Source: "alertmanager", Format: "alertmanager", Reason: "alerts: missing", Field: "alerts",
		Method: "POST", Path: "/ingest/alertmanager", ContentType: "application/json", Body: []byte(body), Cut: cut, LastAt: s.clock.now()})
	if err != nil {
		s.t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	pair   string
	status int
	header http.Header
	body   []byte
}

// send sends a request; headers are name, value, name, value.
func (s *server) send(method, target, body string, headers ...string) answer {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = s.host, s.address
	if strings.HasPrefix(target, "/api/v1/stream") { // a client that goes as soon as it is served
		gone, cancel := context.WithCancel(r.Context())
		cancel()
		r = r.WithContext(gone)
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	if s.cookies != "" {
		r.Header.Set("Cookie", s.cookies)
	}
	if strings.HasPrefix(target, "/sign") && body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{s.t, fmt.Sprintf("%s %s %.200s", method, target, body), w.Code, w.Result().Header, w.Body.Bytes()}
}

// cookie is a cookie that was set, as Cookie has it; "" if none was, or it was taken away.
func (a answer) cookie(name string) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// want fails the test unless the status is the given one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d %s, want %d", a.pair, a.status, a.body, status)
	}
	return a
}

// problem wants a problem document that mentions all the given texts.
func (a answer) problem(status int, mentions ...string) answer {
	a.t.Helper()
	a.want(status)
	for _, m := range mentions {
		if !strings.Contains(string(a.body), m) {
			a.t.Errorf("%s: got %s, want it to mention %q", a.pair, a.body, m)
		}
	}
	return a
}

// decode reads a JSON answer.
func decode[T any](a answer) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %s: %v", a.pair, a.body, err)
	}
	return v
}

// documents are those of a type in the store.
func (s *server) documents(typ string) []incident.Document {
	s.t.Helper()
	docs, err := s.store.Documents(context.Background(), typ, "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	return docs
}

var errInternal = errors.New("disk 0x1f at /var/lib is odd")
