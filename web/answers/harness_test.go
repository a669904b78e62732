package answers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/links"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/answers"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

func init() { gin.SetMode(gin.TestMode) }

// The secrets of the tests; old ones are still in use elsewhere.
const (
	goodSecret = "a-secret-of-the-tests-0"
	oldSecret  = "the-secret-before-that-0"
)

// morning is when the tests begin.
var morning = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

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

// flaky is a store that can be away.
type flaky struct {
	store.Store
	mu   sync.Mutex
	down bool
}

func (f *flaky) away(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return &store.UnavailableError{Cause: io.ErrUnexpectedEOF}
	}
	return nil
}

func (f *flaky) Update(ctx context.Context, changes []incident.Change) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.Update(ctx, changes)
}

func (f *flaky) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Incident(ctx, name)
}

// server is a Handler over a store in memory; every answer is checked against
// openapi.yaml.
type server struct {
	t        testing.TB
	clock    *clock
	store    *flaky
	pipeline *router.Pipeline
	links    *links.Links
	handler  *answers.Handler
	engine   http.Handler
	http     http.Handler
	checker  *webtest.Checker
	log      *bytes.Buffer
	registry *prometheus.Registry
	address  string
}

var external = &url.URL{Scheme: "https", Host: "tocsin.example.com"}

func secrets(list ...string) []secret.String {
	var out []secret.String
	for _, s := range list {
		out = append(out, secret.New(s))
	}
	return out
}

// allOn takes everything.
func allOn() *answers.Config {
	c := answers.DefaultConfig()
	both := secrets(oldSecret, goodSecret)
	c.Slack.SigningSecrets, c.PagerDuty.Secrets, c.Opsgenie.Tokens, c.Jira.Secrets, c.Call.AuthTokens = both, both, both, both, both
	c.Jira.IgnoreUsers = []string{"Tocsin@example.com"}
	c.Opsgenie.IgnoreUsers = []string{"robot@example.com"}
	return &c
}

func newServer(t testing.TB, change ...func(*answers.Options)) *server {
	t.Helper()
	s := &server{t: t, clock: &clock{t: morning}, log: &bytes.Buffer{}, registry: prometheus.NewRegistry(), address: "203.0.113.7:5555"}
	st := embeddedtest.Open(t, embedded.Options{Now: s.clock.now})
	s.store = &flaky{Store: st}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	s.pipeline = router.New(s.store, log, s.registry)
	settings := config.Default().Settings()
	settings.Sources["nagios"] = router.SourceSettings{WritesBack: true}
	if err := s.pipeline.Set(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s.links = links.New(s.store, external)
	if err := s.links.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := answers.Options{Actor: s.pipeline, Store: s.store, Links: s.links, External: external, Log: log, Registerer: s.registry, Now: s.clock.now}
	for _, c := range change {
		c(&o)
	}
	var err error
	if s.handler, err = answers.New(o); err != nil {
		t.Fatal(err)
	}
	s.handler.Set(allOn())
	api, err := web.New(web.Options{Pipeline: s.pipeline, Store: s.store, Log: log, AdminToken: "an-admin-token-of-tests", Now: s.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if s.checker, err = webtest.New(); err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	s.handler.Register(engine)
	engine.Use(api.Protect())
	api.Register(engine)
	s.engine = engine
	s.http = s.checker.Handler(t, engine)
	return s
}

// opened lets an alert of Nagios open an incident.
func (s *server) opened() *incident.Incident {
	s.t.Helper()
	return s.openedOn("db")
}

func (s *server) openedOn(host string) *incident.Incident {
	s.t.Helper()
	now := s.clock.now()
	a := alert.Alert{Status: alert.Firing, Source: "nagios", Identity: host, StartsAt: now, ReceivedAt: now,
		Labels: alert.FromMap(map[string]string{"alertname": "DiskFull", "host": host, "service": host, "severity": "critical"})}
	out, err := s.pipeline.Accept(context.Background(), a.Source, []alert.Alert{a})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.incident(out[0].Incident)
}

func (s *server) incident(name string) *incident.Incident {
	s.t.Helper()
	i, err := s.store.Store.Incident(context.Background(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

func (s *server) state(i *incident.Incident) string {
	s.t.Helper()
	i = s.incident(i.ID.String())
	return strings.TrimSpace(i.State + " " + i.AcknowledgedBy + i.ResolvedBy)
}

// said is the timeline as "who (source) action: text".
func (s *server) said(i *incident.Incident) []string {
	s.t.Helper()
	entries, err := s.store.Timeline(context.Background(), i.ID, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s (%s) %s: %s", e.Who, e.Source, e.Action, e.Text))
	}
	return out
}

func (s *server) act(i *incident.Incident, edit func(*incident.Edit) error) {
	s.t.Helper()
	if _, err := s.pipeline.Act(context.Background(), i.ID.String(), 0, edit); err != nil {
		s.t.Fatal(err)
	}
}

func key(i *incident.Incident) string { return (&notify.Message{Incident: i}).Key() }

type reply struct {
	t      testing.TB
	pair   string
	status int
	header http.Header
	body   string
}

// send sends a request; headers are name, value, name, value.
func (s *server) send(method, target, body string, headers ...string) reply {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = external.Host, s.address
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, r)
	return reply{s.t, fmt.Sprintf("%s %s %.300s", method, target, body), w.Code, w.Result().Header, w.Body.String()}
}

// want wants a status and texts in the answer.
func (r reply) want(status int, mentions ...string) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: got %d %s, want %d", r.pair, r.status, r.body, status)
	}
	for _, m := range mentions {
		if !strings.Contains(r.body, m) {
			r.t.Errorf("%s: got %s, want it to mention %q", r.pair, r.body, m)
		}
	}
	return r
}

// answer wants 200 and returns what the tool hears, as "result: note".
func (r reply) answer() string {
	r.t.Helper()
	r.want(http.StatusOK)
	var a answers.Answer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		r.t.Fatalf("%s: %s: %v", r.pair, r.body, err)
	}
	return a.Result + ": " + a.Note
}

func hexMAC(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// The senders of the tools, with the given secret.

func (s *server) slackBody(secret, body string) reply {
	s.t.Helper()
	at := strconv.FormatInt(s.clock.now().Unix(), 10)
	return s.send("POST", "/hooks/slack", body, "X-Slack-Request-Timestamp", at, "X-Slack-Signature", "v0="+hexMAC(secret, "v0:"+at+":"+body))
}

func (s *server) slack(payload string) reply {
	s.t.Helper()
	return s.slackBody(goodSecret, url.Values{"payload": {payload}}.Encode())
}

func (s *server) pagerduty(body string) reply {
	s.t.Helper()
	return s.send("POST", "/hooks/pagerduty", body, "X-PagerDuty-Signature", "v1="+hexMAC("a-key-nobody-knows-here", body)+",v1="+hexMAC(goodSecret, body))
}

func (s *server) opsgenie(body string) reply {
	s.t.Helper()
	return s.send("POST", "/hooks/opsgenie", body, "Authorization", "Bearer "+goodSecret)
}

func (s *server) jira(body string) reply {
	s.t.Helper()
	return s.send("POST", "/hooks/jira", body, "X-Hub-Signature", "sha256="+hexMAC(goodSecret, body))
}

func (s *server) call(secret, token string, form url.Values) reply {
	s.t.Helper()
	target := "/hooks/call?token=" + url.QueryEscape(token)
	text := external.String() + target
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[name] {
			text += name + v
		}
	}
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(text))
	return s.send("POST", target, form.Encode(), "X-Twilio-Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
}

// payload is a vendor's payload about an incident, with texts replaced.
func payload(t testing.TB, name string, i *incident.Incident, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	out := strings.ReplaceAll(string(text), "KEY", key(i))
	for n := 0; n < len(replace); n += 2 {
		if !strings.Contains(out, replace[n]) {
			t.Fatalf("%s has no %q", name, replace[n])
		}
		out = strings.ReplaceAll(out, replace[n], replace[n+1])
	}
	return out
}

// counted wants a number of answers.
func (s *server) counted(integration, result string, want float64) {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tocsin_answers_total" && m.GetLabel()[0].GetValue() == integration && m.GetLabel()[1].GetValue() == result {
				if got := m.GetCounter().GetValue(); got != want {
					s.t.Errorf("tocsin_answers_total{%s,%s}: got %v, want %v", integration, result, got, want)
				}
				return
			}
		}
	}
	s.t.Errorf("tocsin_answers_total{%s,%s} does not exist", integration, result)
}
