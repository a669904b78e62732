package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// gateway is a fake with the simplest correlation: one incident per name and
// service, reopened for ever.
type gateway struct {
	t         *testing.T
	last      time.Time
	firing    map[string]map[string]bool // key → fingerprint → fires
	incidents map[string]*Incident
}

func newGateway(t *testing.T) *gateway {
	return &gateway{t: t, firing: map[string]map[string]bool{}, incidents: map[string]*Incident{}}
}

func (g *gateway) post(_ context.Context, at time.Time, source string, body []byte) (int, []byte, error) {
	if at.Before(g.last) {
		g.t.Errorf("time went back from %s to %s", g.last, at)
	}
	g.last = at
	if source != "alertmanager" {
		g.t.Errorf("source: got %q, want alertmanager, which exists without config", source)
	}
	var w webhook
	if err := json.Unmarshal(body, &w); err != nil {
		g.t.Fatalf("%v in %.300s", err, body)
	}
	verdicts := make([]string, len(w.Alerts))
	for i, a := range w.Alerts {
		if a.StartsAt.After(at) || a.Status == "resolved" && (a.EndsAt.After(at) || !a.EndsAt.After(a.StartsAt)) {
			g.t.Errorf("at %s: got startsAt %s, endsAt %s of %v, want times in order", at, a.StartsAt, a.EndsAt, a.Labels)
		}
		verdicts[i] = fmt.Sprintf(`{"verdict": %q}`, g.judge(at, a))
	}
	return 200, fmt.Appendf(nil, `{"received": %d, "results": [%s]}`, len(verdicts), strings.Join(verdicts, ",")), nil
}

func (g *gateway) judge(at time.Time, a item) string {
	if a.Labels["severity"] == "none" {
		return "suppressed"
	}
	key := a.Labels["alertname"] + " in " + a.Labels["service"]
	entries, incident := g.firing[key], g.incidents[key]
	fires := a.Status == "firing"
	if before, known := entries[a.Fingerprint]; known && before == fires {
		return "duplicate"
	}
	verdict := "joined"
	switch {
	case incident == nil:
		entries = map[string]bool{}
		incident = &Incident{Reference: fmt.Sprintf("INC-20261120-%04d", len(g.incidents)), State: "open", Title: key, OpenedAt: at}
		g.firing[key], g.incidents[key] = entries, incident
		verdict = "opened"
	case !fires:
		verdict = "resolved"
	case incident.State == "resolved":
		verdict = "reopened"
	}
	entries[a.Fingerprint] = fires
	incident.Alerts = len(entries)
	incident.State, incident.ResolvedAt = "open", time.Time{}
	if !slices.Contains(slices.Collect(maps.Values(entries)), true) {
		incident.State, incident.ResolvedAt = "resolved", at
	}
	return verdict
}

func (g *gateway) list(context.Context) ([]Incident, error) {
	var all []Incident
	for _, i := range g.incidents {
		all = append(all, *i)
	}
	return all, nil
}

// TestReport: what is known is shown, and what nobody has said is named, in lines of
// at most 100 characters.
func TestReport(t *testing.T) {
	var b strings.Builder
	p := &printer{w: &b}
	fields := []Field{{"Outage Duration", "5 min\nand more", true}}
	for n := range 9 {
		fields = append(fields, Field{Name: fmt.Sprintf("Field of the form %d", n)})
	}
	p.report("INC-1", fields)
	if !strings.Contains(b.String(), "  │ Outage Duration                  5 min\n") || !strings.Contains(b.String(), "not stated by anybody yet: Field of the form 0,") || !strings.HasSuffix(b.String(), "Field of the form 8\n") {
		t.Errorf("got\n%s", b.String())
	}
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(line) > 100 {
			t.Errorf("longer than 100 characters: %s", line)
		}
	}
}

// TestPreview: it is of the most important incident that is open when most is
// wrong, and what is in it does not break the output.
func TestPreview(t *testing.T) {
	g := newGateway(t)
	var out bytes.Buffer
	var asked string
	list := func(ctx context.Context) ([]Incident, error) {
		all, err := g.list(ctx)
		for n := range all {
			if all[n].Priority = "P2"; strings.HasPrefix(all[n].Title, "HighLatency") {
				all[n].Priority = "P1"
			}
		}
		return all, err
	}
	err := Run(t.Context(), Options{Post: g.post, Incidents: list, Preview: func(_ context.Context, reference string) ([]Preview, error) {
		asked += reference
		return []Preview{{"by mail", "Subject: a\n\n" + strings.Repeat("x", 200) + "\x1b[2J\n"}, {"in a chat", strings.Repeat("line\n", 30)}}, nil
	}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	most := ""
	for _, i := range g.incidents {
		if i.Title == "HighLatency in checkout" { // it has the most alerts
			most = i.Reference
		}
	}
	if asked != most || most == "" {
		t.Errorf("asked for %q, want %q, once", asked, most)
	}
	text := out.String()
	for _, want := range []string{"What people would have been told of " + most, "\n  by mail\n  │ Subject: a\n  │\n  │ xxx", "\n  in a chat\n  │ line\n", "\n  │ … 20 more lines\n\nREFERENCE"} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > 100 || strings.ContainsRune(line, 0x1b) {
			t.Errorf("line %q", line)
		}
	}
}

func TestRun(t *testing.T) {
	g := newGateway(t)
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Post: g.post, Incidents: g.list}, &out); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", out.String())
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("line of %d characters, want at most 100: %s", n, line)
		}
	}
	for _, ph := range phases {
		if !strings.Contains(out.String(), ph.title) {
			t.Errorf("output lacks the phase %q", ph.title)
		}
	}
	if n := len(g.incidents); n < 8 || n > 12 {
		t.Errorf("incidents: got %d, want a few", n)
	}
	open := 0
	for _, i := range g.incidents {
		if i.State == "open" {
			open++
		}
	}
	if open != 1 {
		t.Errorf("open at the end: got %d, want 1, the certificate: %v", open, g.incidents)
	}
	if want := fmt.Sprintf("became %d incidents.\n", len(g.incidents)); !strings.HasSuffix(out.String(), want) {
		t.Errorf("the last sentence does not end in %q: %s", want, out.String())
	}
}

func TestDayIsTheSameEachTimeAndHasWhatItPromises(t *testing.T) {
	first, err := posts(Start, script())
	if err != nil {
		t.Fatal(err)
	}
	second, err := posts(Start, script())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(first, second, func(a, b post) bool { return a.at == b.at && bytes.Equal(a.body, b.body) }) {
		t.Error("the day is not the same each time")
	}
	peers, prints, changes := map[string]int{}, map[string]bool{}, 0
	resolved := map[string]bool{}
	for _, p := range first {
		var w webhook
		if err := json.Unmarshal(p.body, &w); err != nil {
			t.Fatal(err)
		}
		peers[w.ExternalURL]++
		for _, a := range w.Alerts {
			if fp := fingerprint(a.Labels); fp != a.Fingerprint {
				t.Fatalf("fingerprint: got %s, want %s", a.Fingerprint, fp)
			}
			prints[a.Fingerprint] = true
			if a.Labels["alertname"] == "NodeNotReady" && resolved[a.Fingerprint] != (a.Status == "resolved") {
				resolved[a.Fingerprint] = a.Status == "resolved"
				changes++
			}
		}
	}
	if len(peers) != 2 || peers["http://alertmanager-a.shop.example:9093"] != len(first)/2 {
		t.Errorf("requests by peer: got %v, want the same number from each of two", peers)
	}
	if n := len(prints); n < 150 || n > 400 {
		t.Errorf("different alerts: got %d, want a few hundred", n)
	}
	if changes < 4 {
		t.Errorf("changes of the flapping node: got %d, want at least 4", changes)
	}
}

func TestRunStopsAtAnswersThatMakeNoSense(t *testing.T) {
	broken := errors.New("no gateway")
	for _, tt := range []struct {
		name   string
		status int
		answer string
		err    error
		want   error
	}{
		{"refused", 503, "busy", nil, ErrRefused},
		{"transport", 0, "", broken, broken},
		{"not JSON", 200, "fine", nil, nil},
		{"fewer results than alerts", 200, `{"received": 0, "results": []}`, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{
				Post: func(context.Context, time.Time, string, []byte) (int, []byte, error) {
					return tt.status, []byte(tt.answer), tt.err
				},
				Incidents: func(context.Context) ([]Incident, error) { return nil, nil },
			}
			err := Run(t.Context(), o, &bytes.Buffer{})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("answer %d %q: got %v, want an error %v", tt.status, tt.answer, err, tt.want)
			}
		})
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 10, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"a longer title", 8, "a longe…"},
		{"two\r\nlines\x1b[31m", 40, "two  lines [31m"},
		{"größer", 4, "grö…"},
	} {
		if got := fit(tt.in, tt.n); got != tt.want {
			t.Errorf("fit(%q, %d): got %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{"10s": 10 * time.Second, "1m": time.Minute, "20m": 20 * time.Minute, "1h0m": time.Hour, "1h2m": 62*time.Minute + 10*time.Second} {
		if got := (Incident{OpenedAt: Start, ResolvedAt: Start.Add(d)}).duration(); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
	if got := (Incident{OpenedAt: Start}).duration(); got != "-" {
		t.Errorf("not resolved: got %q, want -", got)
	}
}
