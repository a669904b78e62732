package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fixture is a gateway's API whose clock stands still, and the command line.
type fixture struct {
	t        *testing.T
	now      time.Time
	guide    *process.Guide // nil: no process
	store    *embedded.Store
	pipeline *router.Pipeline
	worker   *notify.Worker
	url      string
}

func newFixture(t *testing.T, adminToken string) *fixture {
	t.Helper()
	for _, name := range []string{"TOCSIN_URL", "TOCSIN_TOKEN", "TOCSIN_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("USER", "ann")
	f := &fixture{t: t, now: time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)}
	st := embeddedtest.Open(t, embedded.Options{Now: func() time.Time { return f.now }})
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	f.store, f.pipeline = st, router.New(st, log, prometheus.NewRegistry())
	f.worker = notify.New(st, log, prometheus.NewRegistry(), func() {})
	if err := f.pipeline.Set(t.Context(), config.Default().Settings()); err != nil {
		t.Fatal(err)
	}
	api, err := web.New(web.Options{Pipeline: f.pipeline, Store: st, Notifications: f.worker, Log: log, AdminToken: adminToken, Now: func() time.Time { return f.now },
		Process: func() *process.Guide { return f.guide }})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	engine.Use(api.Protect())
	api.Register(engine)
	checked := webtest.Handler(t, engine)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", f.now.Format(http.TimeFormat))
		checked.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// accept takes firing alerts in.
func (f *fixture) accept(alerts ...map[string]string) {
	f.t.Helper()
	list := make([]alert.Alert, len(alerts))
	for n, labels := range alerts {
		a := alert.Alert{Status: alert.Firing, Source: "alertmanager", StartsAt: f.now.Add(-3 * time.Minute), ReceivedAt: f.now}
		annotations := map[string]string{}
		for name, value := range labels {
			if name == "summary" {
				annotations[name] = value
				delete(labels, name)
			}
		}
		a.Labels, a.Annotations = alert.FromMap(labels), alert.FromMap(annotations)
		list[n] = a
	}
	if _, err := f.pipeline.Accept(context.Background(), "alertmanager", list); err != nil {
		f.t.Fatal(err)
	}
}

// run runs the program; a line "$ tocsin …" and what it writes go into the transcript.
func (f *fixture) run(transcript *bytes.Buffer, want int, args ...string) (out string) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), append(args, "--url="+f.url), strings.NewReader(""), &stdout, &stderr)
	if code != want {
		f.t.Errorf("tocsin %q: exit %d, want %d; stdout %s; stderr %s", args, code, want, &stdout, &stderr)
	}
	if transcript != nil {
		fmt.Fprintf(transcript, "$ tocsin %s\n%s", strings.Join(args, " "), &stdout)
		for line := range strings.Lines(stderr.String()) {
			fmt.Fprintf(transcript, "stderr: %s", line)
		}
		if code != 0 {
			fmt.Fprintf(transcript, "exit %d\n", code)
		}
		fmt.Fprintln(transcript)
	}
	if code == exitError && strings.Count(stderr.String(), "\n") != 1 {
		f.t.Errorf("tocsin %q: the reason is not one line: %q", args, &stderr)
	}
	return stdout.String()
}

// golden compares with testdata/name, after the ids that differ each time were
// replaced.
func (f *fixture) golden(name string, got *bytes.Buffer) {
	f.t.Helper()
	text := strings.ReplaceAll(f.stable(got.String()), f.url, "http://127.0.0.1:9095")
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	if text != string(want) {
		f.t.Errorf("%s: got\n%s\nwant\n%s", file, text, want)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.ContainsFunc(line, odd) {
			f.t.Errorf("%s: a line holds what a terminal does not simply print: %q", file, line)
		}
		if n := columns(line); n > 120 && !strings.HasPrefix(line, "$ ") && !strings.HasPrefix(line, "stderr: ") {
			f.t.Errorf("%s: a line has %d columns, want at most 120: %s", file, n, line)
		}
	}
}

// stable replaces the ids and references, of the same length.
func (f *fixture) stable(text string) string {
	for n, i := range f.all() {
		name := fmt.Sprintf("INC-20261121-%0*d", len(i.Reference)-len("INC-20261121-"), n)
		text = strings.NewReplacer(i.Reference, name, strings.ToLower(i.Reference), strings.ToLower(name)).Replace(text)
		text = strings.ReplaceAll(text, i.ID, fmt.Sprintf("00000000-0000-7000-8000-%012d", n))
	}
	return text
}

// all are the incidents, newest first.
func (f *fixture) all() []web.IncidentJSON {
	f.t.Helper()
	var page web.IncidentsJSON
	if err := json.Unmarshal([]byte(f.run(nil, 0, "incident", "list", "--all", "-o", "json")), &page); err != nil {
		f.t.Fatal(err)
	}
	return page.Incidents
}

// reference finds an incident by its service.
func (f *fixture) reference(service string) string {
	f.t.Helper()
	for _, i := range f.all() {
		if i.Service == service {
			return i.Reference
		}
	}
	f.t.Fatalf("no incident of service %s", service)
	return ""
}

func TestIncidentCommands(t *testing.T) {
	f := newFixture(t, "")
	var out bytes.Buffer
	f.run(&out, 0, "incident", "list")
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1:9100", "summary": "/ has 1 % left"},
		map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db2:9100", "summary": "/ has 2 % left"})
	f.now = f.now.Add(20 * time.Minute)
	f.accept(map[string]string{"alertname": "遅い応答", "service": "shop", "severity": "warning", "instance": "web1:9100",
		"summary": "p99 is 4 s, " + strings.Repeat("and that is slow ", 20)})
	f.now = f.now.Add(90 * time.Second)
	db := f.reference("db")
	f.run(&out, 0, "incident", "list")
	f.run(&out, 0, "incident", "list", "--severity=warning", "--state=open", "--limit=1")
	f.run(&out, 0, "incident", "list", "--limit=1", "--width=60")
	f.run(&out, 0, "incident", "list", "-q", "nothing")
	f.run(&out, 0, "incident", "ack", db, "-m", "on it")
	f.run(&out, 0, "incident", "note", db, "called", "the", "provider", "--at=2026-11-21T03:05:00Z")
	f.run(&out, 0, "incident", "show", db)
	f.run(&out, 0, "incident", "announcement", db, "--tz=Europe/Zurich")
	f.run(&out, 0, "incident", "resolve", db, f.reference("shop"), "--by=bob")
	f.run(&out, 0, "incident", "close", strings.ToLower(db))
	f.run(&out, 0, "incident", "reopen", db, "-m", "no, it is not")
	f.run(&out, 0, "incident", "report", "--description=the door is open", "--impact=low", "--urgency=low", "--service=office")
	f.run(&out, 0, "incident", "show", f.reference("office"))
	f.golden("incident.golden", &out)
}

func TestIncidentShowsEarlierOnes(t *testing.T) {
	f := newFixture(t, "")
	labels := map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1:9100"}
	f.accept(labels)
	first := f.reference("db")
	f.run(nil, 0, "incident", "resolve", first, "--by=bob")
	f.run(nil, 0, "incident", "close", first, "--by=bob")
	f.now = f.now.Add(2 * time.Hour)
	labels["alertname"] = "DiskFuller"
	f.accept(labels)
	got := f.run(nil, 0, "incident", "show", f.reference("db"))
	if want := regexp.MustCompile(`Earlier incidents like it\n  ` + first + `  2h0?m?  *service\+hosts  *resolved by bob`); !want.MatchString(got) {
		t.Errorf("got\n%s\nwant it to match %s", got, want)
	}
}

func TestIncidentErrors(t *testing.T) {
	f := newFixture(t, "")
	var out bytes.Buffer
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db"})
	db := f.reference("db")
	f.run(&out, 1, "incident", "show", "INC-1")
	f.run(&out, 1, "incident", "close", db)
	f.run(&out, 1, "incident", "ack", db, "INC-2", "--by=tocsin")
	f.run(&out, 1, "incident", "list", "--state=burning", "--severity=fatal")
	f.run(&out, 1, "incident", "report", "--by=", "--description=x", "--impact=huge")
	f.run(&out, 2, "incident", "list", "--from=yesterday")
	f.run(&out, 2, "incident", "list", "--limit=0")
	f.run(&out, 2, "incident", "list", "--color")
	f.run(&out, 2, "incident", "note", db)
	f.run(&out, 2, "incident", "show")
	f.run(&out, 2, "incident", "list", "--output=xml")
	f.golden("errors.golden", &out)

	f.url = "http://127.0.0.1:1"
	f.run(nil, 1, "incident", "list")
	f.url = "ftp://example.com"
	f.run(nil, 1, "incident", "list")
}

func TestIncidentJSON(t *testing.T) {
	f := newFixture(t, "")
	for n := range 3 {
		f.accept(map[string]string{"alertname": "DiskFull", "service": fmt.Sprint("s", n)})
	}
	var page struct {
		Incidents  []web.IncidentJSON `json:"incidents"`
		NextCursor *string            `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(f.run(nil, 0, "incident", "list", "--output=json", "--limit=2")), &page); err != nil || len(page.Incidents) != 2 || *page.NextCursor == "" {
		t.Errorf("got %+v, %v, want two incidents and a cursor", page, err)
	}
	var one web.IncidentJSON
	for _, args := range [][]string{{"show"}, {"ack"}, {"note", "-m", "x"}, {"resolve"}, {"close"}, {"reopen"}} {
		command := append([]string{"incident", args[0], f.reference("s1"), "-o", "json"}, args[1:]...)
		if err := json.Unmarshal([]byte(f.run(nil, 0, command...)), &one); err != nil || one.Service != "s1" {
			t.Errorf("%q: got %+v, %v", command, one, err)
		}
	}
}

// TestHostileAlertInATerminal: an alert cannot write to the terminal of whoever
// looks at it, nor make up lines.
func TestHostileAlertInATerminal(t *testing.T) {
	f := newFixture(t, "")
	hostile := "x\x1b[2J\x1b]0;owned\x07\r\nINC-1  resolved\u202e\u009b31m\u200b"
	f.accept(map[string]string{"alertname": hostile, "service": hostile, "severity": "critical", "instance": hostile, "summary": hostile})
	var out bytes.Buffer
	f.run(&out, 0, "incident", "list")
	reference := f.all()[0].Reference
	f.run(&out, 0, "incident", "report", "--description=line one\nline \x1b[1m two", "--service=office")
	f.run(&out, 0, "incident", "show", reference)
	f.run(&out, 0, "incident", "show", f.reference("office"))
	f.run(&out, 0, "incident", "acknowledge", reference)
	f.run(&out, 1, "incident", "show", "\x1b[2J")
	text := strings.NewReplacer("\x1b[1m two --service", "", "incident show \x1b[2J", "").Replace(out.String())
	for n, line := range strings.Split(text, "\n") {
		if strings.ContainsFunc(line, odd) {
			t.Errorf("line %d holds what a terminal does not simply print: %q", n, line)
		}
	}
	if !strings.Contains(text, `x\x1b[2J\x1b]0;owned\x07\r\nINC-1`) {
		t.Errorf("the alert's text is not visible: %s", text)
	}
}

func TestVisible(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain", "plain"}, {"für 東京 ✓", "für 東京 ✓"}, {"a\x1b[31mb", `a\x1b[31mb`}, {"a\tb\r\nc", `a\tb\r\nc`}, {"\u009b", `\x9b`}, {"\x00\x7f", `\x00\x7f`},
		{"\u202e", `\u202e`}, {"\u2028", `\u2028`}, {"a\xffb", `a\xffb`}, {"a\ufffdb", "a\ufffdb"}, {"a\u00a0b", `a\xa0b`}, {"\U000e0041", `\ue0041`},
	} {
		if got := visible(test.in); got != test.want {
			t.Errorf("visible(%q): got %q, want %q", test.in, got, test.want)
		}
	}
}

func TestTablesFit(t *testing.T) {
	long := strings.Repeat("wörter 東京 ", 40)
	var b bytes.Buffer
	rows := &table{}
	rows.add("A", "B", "C")
	rows.add(long, "", long)
	rows.add("東京", "b", "c")
	rows.write(&b, "  ", 80)
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for _, line := range lines {
		if columns(line) > 80 {
			t.Errorf("got %d columns, want at most 80: %s", columns(line), line)
		}
	}
	if at, want := columns(lines[2][:strings.LastIndex(lines[2], "c")]), columns(lines[0][:strings.Index(lines[0], "C")]); at != want {
		t.Errorf("the last column begins at %d and at %d:\n%s", at, want, b.String())
	}
}

func TestPointInTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for _, test := range []struct{ in, want string }{
		{"", ""}, {"2026-11-20T01:00:00+02:00", "2026-11-20T01:00:00+02:00"}, {"2h", "2026-11-21T01:00:00Z"}, {"7d", "2026-11-14T03:00:00Z"},
		{"noon", "error"}, {"-2h", "error"},
	} {
		got, err := pointInTime(test.in, now)
		if err != nil {
			got = "error"
		}
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{{-time.Hour, "0s"}, {59 * time.Second, "59s"}, {119 * time.Second, "1m"}, {3 * time.Hour, "3h"}, {47 * time.Hour, "47h"}, {50 * time.Hour, "2d"}} {
		if got := short(test.d); got != test.want {
			t.Errorf("%v: got %s, want %s", test.d, got, test.want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("x\x1b[2J\u202e\xff\n", 5)
	f.Fuzz(func(t *testing.T, s string, n int) {
		got := visible(s)
		if strings.ContainsFunc(got, odd) || !utf8.ValidString(got) {
			t.Errorf("visible(%q): got %q", s, got)
		}
		if n = max(n%200, 2); columns(cut(got, n)) > n {
			t.Errorf("cut(%q, %d): got %q, %d columns", got, n, cut(got, n), columns(cut(got, n)))
		}
	})
}

// TestReporterOfAToken: who holds a token reports under its name, and not under that of the
// account on some machine.
func TestReporterOfAToken(t *testing.T) {
	f := newFixture(t, "an admin token of the test")
	t.Setenv("TOCSIN_TOKEN", "an admin token of the test")
	t.Setenv("USER", "root")
	f.run(nil, 0, "incident", "report", "--description=no mail")
	out := f.run(nil, 0, "incident", "list", "--output=json")
	if !strings.Contains(out, `"reporter": "admin"`) || strings.Contains(out, "root") {
		t.Errorf("got %s", out)
	}
}
