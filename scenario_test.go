package tocsin_test

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/process/rota"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scenario is a file of testdata/scenarios: a configuration, and what happens. What
// comes of it is in the golden file beside it.
type scenario struct {
	// About says what it is, and which document of requirements it follows.
	About string `yaml:"about"`
	// Start is the moment of "at: 0s".
	Start  time.Time `yaml:"start"`
	Config string    `yaml:"config"`
	Steps  []step    `yaml:"steps"`
}

// step is one thing that happens. In texts of bodies {+30m} is a time after the
// start, and {#2} the second incident.
type step struct {
	At time.Duration `yaml:"-"`
	// After is At as it is written: 1d2h.
	After string `yaml:"at"`
	// Why says what is to be seen; Shows are the requirements that it shows.
	Why   string   `yaml:"why"`
	Shows []string `yaml:"shows"`
	// Alert is sent as Prometheus does.
	Alert *scenarioAlert `yaml:"alert"`
	// Post is what another sender says to a source.
	Post *struct {
		Source string `yaml:"source"`
		Type   string `yaml:"type"`
		Body   string `yaml:"body"`
	} `yaml:"post"`
	// Report is what a help desk writes down.
	Report map[string]any `yaml:"report"`
	// Do is a command of the API on the incident On (1 is the first), With its body.
	Do   string         `yaml:"do"`
	On   int            `yaml:"on"`
	With map[string]any `yaml:"with"`
	// Refused is what the answer has to say, if it is to be refused.
	Refused string `yaml:"refused"`
	// Document is a report on the incident On, which becomes a golden file of its own.
	Document string `yaml:"document"`
	// Look puts what is ahead of the incident On into the golden file.
	Look bool `yaml:"look"`
}

type scenarioAlert struct {
	Labels map[string]string `yaml:",inline"`
	// Started is how long before the step it began.
	Started model.Duration `yaml:"began"`
	Ended   bool           `yaml:"ended"`
}

func init() { gin.SetMode(gin.ReleaseMode) }

// TestScenarios runs each file on the whole engine, in virtual time.
func TestScenarios(t *testing.T) {
	for _, name := range scenarioFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yml"), func(t *testing.T) {
			t.Parallel()
			s := readScenario(t, name)
			var got map[string]string
			testbubble.Test(t, func(t *testing.T) { got = play(t, s) })
			for what, text := range got {
				compareGolden(t, strings.TrimSuffix(name, ".yml")+what, text)
			}
		})
	}
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another (-update writes it anew):\n%s", golden, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for n := range max(len(g), len(w)) {
		if n >= len(g) || n >= len(w) || g[n] != w[n] {
			at := func(list []string) string { return strings.Join(list[min(n, len(list)):min(n+5, len(list))], "\n\t") }
			return fmt.Sprintf("from line %d, got\n\t%s\nwant\n\t%s", n+1, at(g), at(w))
		}
	}
	return ""
}

func scenarioFiles(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/scenarios/*.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("got %q, %v", names, err)
	}
	return names
}

func readScenario(t *testing.T, name string) *scenario {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var s scenario
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for n := range s.Steps {
		at, err := model.ParseDuration(s.Steps[n].After)
		if err != nil || n > 0 && time.Duration(at) < s.Steps[n-1].At {
			t.Fatalf("%s: step %d: at %q comes before the one before it, or is no time: %v", name, n+1, s.Steps[n].After, err)
		}
		s.Steps[n].At = time.Duration(at)
	}
	return &s
}

// stage is a gateway that plays a scenario.
type stage struct {
	t     *testing.T
	g     *gateway.Gateway
	guide *process.Guide
	store store.Store
	start time.Time
	seen  strings.Builder
	// documents are the reports, by the end of the name of their golden file.
	documents map[string]string

	mu   sync.Mutex
	told []string
}

// Send writes down who is told what.
type listener struct {
	*stage
	receiver string
}

func (l listener) Send(_ context.Context, m *notify.Message) (notify.Memory, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	why := ""
	if n := len(m.News); n > 0 {
		why, _, _ = strings.Cut(m.News[n-1].Text, "\n")
	}
	// In order of time, and then of the receivers.
	l.told = append(l.told, fmt.Sprintf("%020d %-24s %s %s: %s | %s", m.SentAt.Sub(l.start), l.since(m.SentAt)+" "+l.receiver, m.Event, m.Headline(), why, m.Incident.State))
	return nil, nil
}

func (s *stage) since(at time.Time) string {
	d := at.Sub(s.start).Round(time.Second)
	if d < 0 {
		return "-" + model.Duration(-d).String()
	}
	return "+" + model.Duration(d).String()
}

// play plays a scenario and returns what comes of it, by the end of the name of its
// golden file.
func play(t *testing.T, sc *scenario) map[string]string {
	time.Sleep(time.Until(sc.Start))
	c, err := config.Load([]byte(sc.Config), "scenario.yml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := embedded.Open("mem:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := &stage{t: t, store: st, start: time.Now(), documents: map[string]string{}}
	s.g, err = gateway.New(t.Context(), gateway.Options{Store: st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Receivers: func(r receivers.Options) (map[string]*notify.Integration, error) {
			all := map[string]*notify.Integration{}
			for _, receiver := range r.Alertmanager.Receivers {
				in := &notify.Integration{Name: "webhook", Receiver: receiver.Name, SendResolved: true, Acknowledges: true, Sender: listener{s, receiver.Name}}
				all[in.Target()] = in
			}
			return all, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	s.guide = guideOf(t, c)
	for n := range sc.Steps {
		s.wait(s.start.Add(sc.Steps[n].At))
		s.step(n+1, &sc.Steps[n])
		s.due()
	}
	s.documents[".golden"] = s.golden()
	for what, text := range s.documents {
		s.documents[what] = s.anonymous(text)
	}
	return s.documents
}

// anonymous replaces names of incidents, which are others in every run.
func (s *stage) anonymous(text string) string {
	for n, i := range s.incidents() {
		text = strings.NewReplacer(i.Reference, fmt.Sprintf("#%d", n+1), i.ID.String(), fmt.Sprintf("ID-%d", n+1), i.TimelineHash, "HASH").Replace(text)
	}
	return text
}

// guideOf is the process of a configuration, as the gateway has it.
func guideOf(t *testing.T, c *config.Config) *process.Guide {
	t.Helper()
	o := c.ProcessOptions()
	o.Rotas = map[string]process.Rota{}
	for name, rc := range c.Process.Rotas {
		r, err := rota.New(rc, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Rotas[name] = r
	}
	g, err := process.New(c.Process, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// wait lets time pass, and jobs be done: duties in their minute, and everything else
// too in the first two hours, after that every ten minutes.
func (s *stage) wait(until time.Time) {
	for begun, now := time.Now(), time.Now(); now.Before(until); now = time.Now() {
		next := now.Add(time.Minute)
		if now.Sub(begun) > 2*time.Hour {
			next = now.Add(10 * time.Minute)
			for _, i := range s.incidents() {
				if due := s.guide.Due(i, now); due.After(now) && due.Before(next) {
					next = due
				}
			}
		}
		time.Sleep(min(next.Sub(now), until.Sub(now)))
		s.due()
	}
}

// due does the jobs that are due, and lets everybody be told.
func (s *stage) due() {
	s.t.Helper()
	if err := s.g.Pipeline.RunDue(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

func (s *stage) step(n int, p *step) {
	s.t.Helper()
	var status int
	var answer string
	switch {
	case p.Alert != nil:
		status, answer = s.post("/api/v2/alerts", "application/json", s.alert(p.Alert))
	case p.Post != nil:
		status, answer = s.post("/ingest/"+p.Post.Source, cmp.Or(p.Post.Type, "application/json"), s.fill(p.Post.Body))
	case p.Report != nil:
		status, answer = s.post("/api/v1/incidents", "application/json", s.body(p.Report))
	case p.Do != "":
		status, answer = s.post("/api/v1/incidents/"+s.incident(p.On).Reference+"/"+p.Do, "application/json", s.body(p.With))
	case p.Look:
		s.look(p)
		return
	case p.Document != "":
		w := httptest.NewRecorder()
		s.g.Engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/incidents/"+s.incident(p.On).Reference+"/report?format=md&kind="+p.Document, nil))
		status, answer = w.Code, w.Body.String()
		s.documents["."+p.Document+".md"] = answer
	default:
		return
	}
	answer, _, _ = strings.Cut(answer, `,"incident":`) // the rest is long
	switch ok := status/100 == 2; {
	case ok != (p.Refused == ""):
		s.t.Fatalf("step %d at %s: got %d %s", n, p.After, status, answer)
	case !strings.Contains(answer, p.Refused):
		s.t.Errorf("step %d at %s: got %s, want %q in it", n, p.After, answer, p.Refused)
	}
}

func (s *stage) post(path, contentType, body string) (status int, answer string) {
	r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.g.Engine.ServeHTTP(w, r)
	synctest.Wait()
	return w.Code, w.Body.String()
}

func (s *stage) alert(a *scenarioAlert) string {
	s.t.Helper()
	out := map[string]any{"labels": a.Labels, "startsAt": time.Now().Add(-time.Duration(a.Started)).UTC()}
	if a.Ended {
		out["endsAt"] = time.Now().UTC()
	} else {
		out["endsAt"] = time.Now().Add(1000 * time.Hour).UTC() // it says when it ends
	}
	return s.json([]any{out})
}

func (s *stage) json(v any) string {
	s.t.Helper()
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *stage) body(with map[string]any) string {
	if with == nil {
		with = map[string]any{}
	}
	return s.fill(s.json(with))
}

var placeholder = regexp.MustCompile(`\{(\+[0-9a-z]+|#[0-9]+)\}`)

// fill replaces {+30m} and {#2}.
func (s *stage) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(m string) string {
		if m[1] == '#' {
			var n int
			_, _ = fmt.Sscanf(m, "{#%d}", &n)
			return s.incident(n).Reference
		}
		d, err := model.ParseDuration(m[2 : len(m)-1])
		if err != nil {
			s.t.Fatal(err)
		}
		return s.start.Add(time.Duration(d)).UTC().Format(time.RFC3339)
	})
}

// incidents are all of them, the first opened first.
func (s *stage) incidents() []*incident.Incident {
	s.t.Helper()
	list, _, err := s.store.Incidents(context.Background(), store.Query{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.SortStableFunc(list, func(a, b *incident.Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return list
}

func (s *stage) incident(n int) *incident.Incident {
	s.t.Helper()
	list := s.incidents()
	if n = max(n, 1); n > len(list) {
		s.t.Fatalf("there are %d incidents, no %d", len(list), n)
	}
	return list[n-1]
}

// look writes down what is ahead of an incident, and what holds it back.
func (s *stage) look(p *step) {
	i := s.incident(p.On)
	now := time.Now()
	fmt.Fprintf(&s.seen, "== %s: what is ahead of #%d, %s, level %s, priority %s\n", s.since(now), max(p.On, 1), i.State, i.Level, i.Priority)
	for _, d := range s.guide.Duties(i, now) {
		switch {
		case !d.Due.IsZero():
			fmt.Fprintf(&s.seen, "%-9s %s: %s", s.since(d.Due), d.Name, d.Text)
		case d.Outcome != "":
			fmt.Fprintf(&s.seen, "%-9s %s", d.Outcome, d.Name)
		default:
			fmt.Fprintf(&s.seen, "%-9s %s", "over", d.Name)
		}
		if d.Fired > 0 {
			fmt.Fprintf(&s.seen, " (fired: %d)", d.Fired)
		}
		s.seen.WriteByte('\n')
	}
	for _, action := range []string{incident.ActionEscalate, incident.ActionResolve, incident.ActionClose} {
		for _, m := range s.guide.Missing(i, action, now) {
			fmt.Fprintf(&s.seen, "before %s: %s\n", action, m.Text)
		}
	}
	s.seen.WriteByte('\n')
}

// golden is all that came of it.
func (s *stage) golden() string {
	s.t.Helper()
	var b strings.Builder
	for n, i := range s.incidents() {
		fmt.Fprintf(&b, "== timeline of #%d: %s\n", n+1, i.Title)
		entries, err := s.store.Timeline(context.Background(), i.ID, 0, 1000)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range entries {
			at := s.since(e.At)
			if e.Late {
				at += " (late)"
			}
			fmt.Fprintf(&b, "%-9s %s: %s\n", at, e.Who, strings.ReplaceAll(e.Text, "\n", "\n          "))
		}
		if broken, ok := incident.VerifyTimeline(entries); !ok {
			s.t.Errorf("the timeline of #%d is broken at %d", n+1, broken)
		}
		fmt.Fprintf(&b, "it is %s", i.State)
		if d, ok := i.Outage(); ok {
			fmt.Fprintf(&b, ", the outage was %s", model.Duration(d.Round(time.Second)))
		}
		b.WriteString("\n\n")
	}
	b.WriteString(s.seen.String())
	b.WriteString("== who is told: of what, and the latest news\n")
	s.mu.Lock()
	slices.Sort(s.told)
	for _, line := range s.told {
		_, line, _ = strings.Cut(line, " ")
		b.WriteString(line + "\n")
	}
	s.mu.Unlock()
	return b.String()
}
