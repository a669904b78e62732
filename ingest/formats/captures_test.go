package formats

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/alert/alerttest"
	"github.com/tocsin-gateway/tocsin/ingest"
)

const captureRoot = "testdata/captures"

// TestCaptures sends everything that was captured through the HTTP entry point,
// on its recorded clock, and compares what came out with what stands beside it.
// Alertmanager's and Prometheus' own requests are tested in package ingest, the
// packets of NSCA in package nsca.
func TestCaptures(t *testing.T) {
	for _, c := range listCaptures(t) {
		t.Run(c.name, func(t *testing.T) {
			want := readExpectation(t, c.expect).inMail(c.name)
			code, answer, alerts := c.send(t, want.ReceivedAt)
			if want.Recognised != nil && !*want.Recognised && !salvaged[c.name] {
				if code != http.StatusBadRequest && code != http.StatusUnsupportedMediaType {
					t.Fatalf("answered %d %s, want it refused", code, answer)
				}
				return
			}
			if code != http.StatusOK {
				t.Fatalf("answered %d %s", code, answer)
			}
			for _, w := range want.list() {
				for _, name := range unsaid[path.Dir(c.name)] {
					delete(w, name)
				}
			}
			want.check(t, alerts)
		})
	}
}

// salvaged are captures that need not be understood, but are: each with the reason.
var salvaged = map[string]bool{
	// Nagios' plugin output broke the JSON around it. What can be read is an alert
	// marked as unparsed.
	"nagios/json-naive/022-service-problem-critical-invalid-json.http": true,
}

// unsaid are members of expectations that stand in none of the folder's bodies:
// they were written down from what the sender knew.
var unsaid = map[string][]string{
	// A body of the user's own, which holds the text only.
	"uptime-kuma/custom": {"identity", "event_at", "host"},
}

// capture is one recorded message.
type capture struct{ name, file, expect, format string }

// folders are the formats of folders that are not named like them.
var folders = map[string]string{"aws-sns": "sns", "icinga2": "icinga", "synthesized-mails": "email", "system-mails": "email",
	"nagios/nrdp": "nrdp"}

func listCaptures(tb testing.TB) (all []capture) {
	tb.Helper()
	err := filepath.WalkDir(captureRoot, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "config" || d.Name() == "nsca") {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		expect := strings.TrimSuffix(file, filepath.Ext(file)) + ".expect.json"
		if d.IsDir() || strings.HasSuffix(file, ".expect.json") || strings.HasSuffix(file, ".md") {
			return nil
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, captureRoot+"/"))
		parts := strings.SplitN(name, "/", 3)
		format := parts[0]
		if f := folders[parts[0]]; f != "" {
			format = f
		}
		if f := folders[parts[0]+"/"+parts[1]]; f != "" {
			format = f
		}
		all = append(all, capture{name, file, expect, format})
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// request returns the capture as an HTTP request to the source of its format.
func (c capture) request(tb testing.TB) *http.Request {
	tb.Helper()
	content, err := os.ReadFile(c.file)
	if err != nil {
		tb.Fatal(err)
	}
	if !strings.HasSuffix(c.file, ".http") {
		return httptest.NewRequest(http.MethodPost, "/ingest/"+c.format, bytes.NewReader(content))
	}
	r, body, err := ingest.ReadHTTP(bytes.NewReader(content), 64*ingest.MiB)
	if err != nil {
		tb.Fatal(err)
	}
	out := httptest.NewRequest(r.Method, "/ingest/"+c.format+"?"+r.URL.RawQuery, bytes.NewReader(body))
	out.Header = r.Header
	return out
}

// newHandler takes requests of one source, on a clock that stands still.
func newHandler(tb testing.TB, s *sink, now time.Time, name string) *ingest.Handler {
	tb.Helper()
	h, err := ingest.New(ingest.Options{Sink: s, Formats: All, Open: func(string) bool { return true }, Now: func() time.Time { return now },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		tb.Fatal(err)
	}
	format, ok := All[name]
	if !ok {
		tb.Fatalf("no format %s", name)
	}
	h.Set([]ingest.Source{{Name: name, Format: format, BodyLimit: format.BodyLimit}})
	return h
}

func (c capture) send(tb testing.TB, received time.Time) (int, string, []alert.Alert) {
	tb.Helper()
	sink := &sink{}
	h := newHandler(tb, sink, received, c.format)
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	h.Register(engine)
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, c.request(tb))
	for i := range sink.alerts {
		alerttest.WellFormed(tb, &sink.alerts[i], c.format, received)
	}
	return w.Code, w.Body.String(), sink.alerts
}

// sink keeps what it is given.
type sink struct {
	alerts  []alert.Alert
	letters []ingest.DeadLetter
}

func (s *sink) Accept(_ context.Context, _ string, alerts []alert.Alert) ([]alert.Outcome, error) {
	s.alerts = append(s.alerts, alerts...)
	out := make([]alert.Outcome, len(alerts))
	for i := range out {
		out[i].Verdict = alert.Recorded
	}
	return out, nil
}

func (s *sink) DeadLetter(_ context.Context, d ingest.DeadLetter) error {
	s.letters = append(s.letters, d)
	return nil
}

// expectation is what a correct receiver understands of a capture. What is
// absent is not checked; null means that there is none.
type expectation struct {
	ReceivedAt  time.Time `json:"received_at"`
	Recognised  *bool     `json:"recognised"`
	GroupState  string    `json:"group_state"`
	Alerts      *[]object `json:"alerts"`
	Results     *[]object `json:"results"`
	AlertSample *[]object `json:"alerts_sample"`
	object      `json:"-"`
}

// object is a JSON object of which each member may be absent.
type object map[string]any

func readExpectation(t *testing.T, file string) expectation {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e expectation
	if err := json.Unmarshal(text, &e, json.DefaultOptionsV2()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := json.Unmarshal(text, &e.object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if e.ReceivedAt.IsZero() {
		e.ReceivedAt = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	}
	return e
}

// list is what is said of each alert.
func (e expectation) list() []object {
	switch {
	case e.Results != nil:
		return *e.Results
	case e.Alerts != nil:
		return *e.Alerts
	}
	return []object{e.object}
}

func (e expectation) check(t *testing.T, got []alert.Alert) {
	t.Helper()
	list := e.list()
	if len(list) == 0 {
		for i := range got {
			if got[i].Kind == alert.KindAlert {
				t.Errorf("got an alert %v, want none", got[i].Labels)
			}
		}
		return
	}
	if len(got) != len(list) {
		t.Fatalf("got %d alerts, want %d", len(got), len(list))
	}
	for i, w := range list {
		w.check(t, fmt.Sprintf("alerts[%d]", i), &got[i])
	}
}

// check compares one alert with all that is said of it.
func (w object) check(t *testing.T, at string, a *alert.Alert) {
	t.Helper()
	if s, ok := w["state"].(string); ok {
		kind, status := meaning(t, s)
		if a.Kind != kind || kind == alert.KindAlert && a.Status != status {
			t.Errorf("%s: got %v, %v; want %v, %v (%s)", at, a.Kind, a.Status, kind, status, s)
		}
	}
	for name, got := range map[string]string{"name": a.Name(), "host": a.Host(), "service": a.Labels.Get("service"), "severity": a.Severity(),
		"identity": a.Identity, "by": a.Author, "comment": a.Comment} {
		want, stated := w[name]
		if !stated {
			continue
		}
		text := ""
		if want != nil {
			text = fmt.Sprint(want)
		}
		if name == "severity" {
			text, _, _ = strings.Cut(strings.ToLower(text), " (") // a remark
		}
		if got != text {
			t.Errorf("%s.%s: got %q, want %q", at, name, got, text)
		}
	}
	for name, got := range map[string]time.Time{"started_at": a.StartsAt, "ended_at": a.EndsAt, "event_at": a.EventAt} {
		want, stated := w[name]
		if !stated {
			continue
		}
		var when time.Time
		if want != nil {
			var err error
			if when, err = time.Parse(time.RFC3339Nano, want.(string)); err != nil {
				t.Fatal(err)
			}
		}
		if !got.Equal(when) {
			t.Errorf("%s.%s: got %v, want %v", at, name, got, when)
		}
	}
	w.checkText(t, at, a)
	for name, got := range map[string]alert.Labels{"labels": a.Labels, "annotations": a.Annotations} {
		for key, want := range asObject(w[name]) {
			if got.Get(key) != want {
				t.Errorf("%s.%s.%s: got %q, want %q", at, name, key, got.Get(key), want)
			}
		}
	}
}

func asObject(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// checkText looks for the sender's text in the annotations: the first line in summary,
// all of it in summary or description.
func (w object) checkText(t *testing.T, at string, a *alert.Alert) {
	t.Helper()
	want, ok := w["text"].(string)
	if !ok {
		return
	}
	for _, name := range []string{"summary", "description"} {
		if sameText(a.Annotations.Get(name), want) {
			return
		}
	}
	t.Errorf("%s.text: want %q in the summary %q or the description %q", at, want, a.Annotations.Get("summary"), a.Annotations.Get("description"))
}

// sameText compares a text with an expectation, where a long one is cut: "begins… (6004 characters)",
// or just "begins…".
func sameText(got, want string) bool {
	if begin, cut := strings.CutSuffix(want, "…"); cut {
		return strings.HasPrefix(got, begin) && len(got) > len(begin)
	}
	var n int
	begin, rest, cut := strings.Cut(want, "… (")
	if _, err := fmt.Sscanf(rest, "%d characters)", &n); !cut || err != nil {
		return got == want
	}
	return strings.HasPrefix(got, begin) && utf8.RuneCountInString(got) == n
}

// meaning says what a state of an expectation is in our words.
func meaning(t *testing.T, state string) (alert.Kind, alert.Status) {
	t.Helper()
	for _, m := range []struct {
		begins string
		kind   alert.Kind
		status alert.Status
	}{
		{"firing (acknowledgement withdrawn)", alert.KindAcknowledgementRemoved, 0},
		{"firing", alert.KindAlert, alert.Firing},
		{"resolved", alert.KindAlert, alert.Resolved},
		{"unknown", alert.KindAlert, alert.Unknown},
		{"acknowledged", alert.KindAcknowledgement, 0},
		{"acknowledgement removed", alert.KindAcknowledgementRemoved, 0},
		{"flapping started", alert.KindFlappingStarted, 0},
		{"flapping ended", alert.KindFlappingEnded, 0},
		{"maintenance planned", alert.KindMaintenancePlanned, 0},
		{"maintenance started", alert.KindMaintenanceStarted, 0},
		{"maintenance triggered", alert.KindMaintenanceStarted, 0},
		{"maintenance ended", alert.KindMaintenanceEnded, 0},
		{"maintenance cancelled", alert.KindMaintenanceCancelled, 0},
		{"maintenance removed", alert.KindMaintenanceCancelled, 0},
		{"note", alert.KindNote, 0},
		{"comment", alert.KindNote, 0},
		{"check result", alert.KindInformation, 0},
		{"informational", alert.KindInformation, 0},
		{"NOT an alert", alert.KindInformation, 0},
		{"test message", alert.KindTest, 0},
	} {
		if strings.HasPrefix(state, m.begins) {
			return m.kind, m.status
		}
	}
	t.Fatalf("the state %q means nothing", state)
	return 0, 0
}

// TestBodiesAlone: what explain is given is a body, or a query, and nothing that
// says what is in it. It means the same.
func TestBodiesAlone(t *testing.T) {
	for _, c := range listCaptures(t) {
		t.Run(c.name, func(t *testing.T) {
			received := readExpectation(t, c.expect).ReceivedAt
			code, _, want := c.send(t, received)
			r := c.request(t)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if r.Method == http.MethodGet {
				body = []byte(r.URL.RawQuery)
			}
			request := ingest.Request{Source: c.format, Body: body, ReceivedAt: received}
			if tokens := All[c.format].Tokens; tokens != nil {
				_, request.Body = tokens(request)
			}
			got, err := All[c.format].Decode(request)
			if (err == nil) != (code == http.StatusOK) || err == nil && !reflect.DeepEqual(got.Alerts, want) {
				t.Errorf("got %+v (%v), want %+v (answered %d)", got.Alerts, err, want, code)
			}
		})
	}
}
