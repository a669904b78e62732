package e2e

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// TestWeekOfFigures plays a week of incidents, on a clock that stands where the test
// puts it, while a real Prometheus with the shipped rules scrapes the gateways. In the
// end PromQL, /api/v1/stats and the table that the story writes by hand say the same,
// and every expression of the shipped dashboards and rules has an answer.
func TestWeekOfFigures(t *testing.T) {
	t.Parallel()
	program(t, "prometheus")
	binary, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("one gateway", func(t *testing.T) { newWeek(t, binary, "file:data").play() })
	t.Run("two gateways on one Redis", func(t *testing.T) {
		newWeek(t, binary, sameStore(redistest.Single(t).URL(), 2)...).play()
	})
}

// monday is when the week begins.
var monday = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

// week is a week in progress.
type week struct {
	t             *testing.T
	binary, clock string
	gateways      fleet
	targets       string // the file that tells Prometheus where the gateways are
	prometheus    string
	now           time.Time
	said          int // requests, which go to the gateways in turns
	hand          map[series]*figures
}

// series is a pair of labels of the stored statistics.
type series struct{ severity, team string }

// figures are what the story expects of one of them, written by hand.
type figures struct {
	opened, reopened, unacknowledged     int
	detect, acknowledge, resolve, outage []float64
}

func newWeek(t *testing.T, binary string, stores ...string) *week {
	dir := t.TempDir()
	w := &week{t: t, binary: binary, clock: filepath.Join(dir, "clock"), targets: filepath.Join(dir, "gateways.json"), hand: map[series]*figures{}}
	w.at(0)
	told := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(told.Close)
	config := fmt.Sprintf(`
classify:
  teams: [db, web]
  rules:
    - {name: db, matchers: ['team="db"'], set: {team: db}}
    - {name: web, matchers: ['team="web"'], set: {team: web}}
correlate: {close_after: 30d}
route: {receiver: ops, group_wait: 0s, group_interval: 1s, repeat_interval: 12h}
receivers: [{name: ops, webhook_configs: [{url: %q}]}]
`, told.URL)
	for n, store := range stores {
		m := &member{store: store, config: filepath.Join(t.TempDir(), "tocsin.yml")}
		if err := m.configure(config); err != nil {
			t.Fatal(err)
		}
		w.gateways = append(w.gateways, m)
		t.Cleanup(func() { m.end(t, strconv.Itoa(n+1)) })
		w.start(m)
	}
	w.scrape(dir)
	return w
}

// start starts a gateway on the played clock and tells Prometheus where it is.
func (w *week) start(m *member) {
	w.t.Helper()
	if err := m.start(w.t.Context(), w.binary, "TOCSIN_CLOCK_FILE="+w.clock); err != nil {
		w.t.Fatal(err)
	}
	var addresses []string
	for _, m := range w.gateways {
		if g := m.running.Load(); g != nil {
			addresses = append(addresses, g.addr)
		}
	}
	b, err := json.Marshal([]any{map[string]any{"targets": addresses}})
	if err != nil {
		w.t.Fatal(err)
	}
	replace(w.t, w.targets, string(b))
}

// replace writes a file that somebody may be reading.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// scrape starts a Prometheus and waits until all series are there with the value 0.
func (w *week) scrape(dir string) {
	rules, err := filepath.Abs("../deploy/prometheus/tocsin.rules.yml")
	if err != nil {
		w.t.Fatal(err)
	}
	config, addr := filepath.Join(dir, "prometheus.yml"), freeAddr(w.t)
	write(w.t, config, fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: tocsin
    file_sd_configs: [{files: [%q], refresh_interval: 1s}]
`, rules, w.targets))
	p, err := startProcess(program(w.t, "prometheus"), nil, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	if err != nil {
		w.t.Fatal(err)
	}
	endWith(w.t, "prometheus", p)
	w.prometheus = "http://" + addr
	if err := p.ready(w.t.Context(), w.prometheus+"/-/ready"); err != nil {
		w.t.Fatal(err)
	}
	w.caughtUp()
}

// at puts the clock to so long after Monday.
func (w *week) at(after time.Duration) {
	w.now = monday.Add(after)
	replace(w.t, w.clock, w.now.Format(time.RFC3339Nano))
}

// of are the figures of a severity and a team.
func (w *week) of(severity, team string) *figures {
	f := w.hand[series{severity, team}]
	if f == nil {
		f = &figures{}
		w.hand[series{severity, team}] = f
	}
	return f
}

// gateway is the next one in turn.
func (w *week) gateway() string {
	w.said++
	return "http://" + w.gateways[w.said%len(w.gateways)].running.Load().addr
}

// fires sends a firing alert that began so long ago, and returns its incident.
func (w *week) fires(name, severity, team string, ago time.Duration) (id string) {
	w.t.Helper()
	return w.alert(wireAlert{Status: "firing", Labels: map[string]string{"alertname": name, "severity": severity, "team": team, "service": "shop"}, StartsAt: w.now.Add(-ago)})
}

// ends sends the end of it, so long ago.
func (w *week) ends(name, severity, team string, began time.Time, ago time.Duration) {
	w.t.Helper()
	w.alert(wireAlert{Status: "resolved", Labels: map[string]string{"alertname": name, "severity": severity, "team": team, "service": "shop"}, StartsAt: began, EndsAt: w.now.Add(-ago)})
}

func (w *week) alert(a wireAlert) (id string) {
	w.t.Helper()
	a.Annotations = map[string]string{"summary": "it is ill"}
	body, err := json.Marshal(map[string]any{"version": "4", "groupKey": "{}", "status": a.Status, "receiver": "tocsin", "alerts": []wireAlert{a}})
	if err != nil {
		w.t.Fatal(err)
	}
	var answer struct {
		Results []struct{ Verdict, Incident string }
	}
	w.call(w.gateway()+"/ingest/alertmanager", body, &answer)
	return answer.Results[0].Incident
}

// does has a person do something to an incident.
func (w *week) does(id, command, more string) {
	w.t.Helper()
	w.call(w.gateway()+"/api/v1/incidents/"+id+"/"+command, []byte(`{"by":"ann"`+more+`}`), nil)
}

func (w *week) call(address string, body []byte, into any) {
	w.t.Helper()
	status, answer, err := do(w.t.Context(), http.MethodPost, address, body)
	if err == nil && status == http.StatusOK && into != nil {
		err = json.Unmarshal(answer, into, json.MatchCaseInsensitiveNames(true))
	}
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("POST %s %s: got %d %.300s, %v", address, body, status, answer, err)
	}
}

func (w *week) play() {
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	db, web, urgent := w.of("critical", "db"), w.of("error", "web"), w.of("critical", "web")

	// The first of its series: 90 s until it is noticed, acknowledged after 4 minutes, over after 40.
	w.at(0)
	a, began := w.fires("DiskFull", "critical", "db", 90*time.Second), w.now.Add(-90*time.Second)
	w.at(4 * minute)
	w.does(a, "acknowledge", "")
	w.at(40 * minute)
	w.ends("DiskFull", "critical", "db", began, minute)
	w.at(50 * minute)
	w.does(a, "close", "")
	db.opened, db.detect, db.acknowledge, db.resolve, db.outage = 1, []float64{90}, []float64{240}, []float64{2400}, []float64{90 + 39*60}

	// An acknowledgement that is taken back counts once; a person resolves it.
	w.at(2 * hour)
	b := w.fires("SlowShop", "error", "web", 0)
	w.at(2*hour + 10*minute)
	w.does(b, "acknowledge", "")
	w.does(b, "unacknowledge", "")
	w.at(2*hour + 30*minute)
	w.does(b, "acknowledge", "")
	w.at(3 * hour)
	w.does(b, "resolve", "")
	w.does(b, "close", "")
	web.opened, web.detect, web.acknowledge, web.resolve, web.outage = 1, []float64{0}, []float64{600}, []float64{3600}, []float64{3600}

	// Never acknowledged.
	w.at(day)
	w.fires("Replica", "critical", "db", 10*minute)
	began = w.now.Add(-10 * minute)
	w.at(day + hour)
	w.ends("Replica", "critical", "db", began, 0)
	db.opened, db.unacknowledged, db.detect, db.resolve = 2, 1, append(db.detect, 600), append(db.resolve, 3600)

	// A gateway is replaced by one at another address, or restarted, in the middle of an incident.
	w.at(2 * day)
	d := w.fires("Deploy", "error", "web", minute)
	w.at(2*day + 5*minute)
	w.does(d, "acknowledge", "")
	web.opened, web.detect, web.acknowledge = 2, append(web.detect, 60), append(web.acknowledge, 300)
	w.caughtUp()
	if err := w.gateways[0].stop(); err != nil {
		w.t.Fatal(err)
	}
	w.start(w.gateways[0])

	// It is reopened and rises: its second cycle counts as critical.
	w.at(2*day + 20*minute)
	w.does(d, "resolve", "")
	w.at(3 * day)
	w.does(d, "reopen", "")
	w.at(3*day + 10*minute)
	w.does(d, "severity", `,"severity":"critical"`)
	w.does(d, "acknowledge", "")
	w.at(3*day + hour)
	w.does(d, "resolve", "")
	w.does(d, "close", "")
	web.resolve, web.reopened = append(web.resolve, 1200), 1
	urgent.acknowledge, urgent.resolve, urgent.outage = []float64{600}, []float64{3600}, []float64{60 + (day + hour).Seconds()}

	// An exercise does not count.
	var drill struct{ ID string }
	w.call(w.gateway()+"/api/v1/incidents", []byte(`{"description":"exercise","reporter":"ann","drill":true}`), &drill)
	w.does(drill.ID, "acknowledge", "")
	w.does(drill.ID, "resolve", "")

	// Still open, and the first of its series, on the last day.
	w.at(6 * day)
	e := w.fires("Certificate", "warning", "db", day)
	// Merged: what it was opened with counts, what comes after it does not.
	f := w.fires("CertificateToo", "warning", "db", 0)
	w.does(f, "merge", `,"into":"`+e+`"`)
	w.at(6*day + minute)
	w.does(f, "acknowledge", "")
	w.of("warning", "db").opened, w.of("warning", "db").detect = 2, []float64{86400, 0}
	// It had been down for half an hour before anything said so, and was back earlier than anybody noticed.
	w.at(6*day + hour)
	g := w.fires("Login", "error", "db", 0)
	w.at(6*day + 2*hour)
	w.does(g, "acknowledge", "")
	w.does(g, "resolve", "")
	w.does(g, "correct", fmt.Sprintf(`,"went_down":%q,"restored":%q`, monday.Add(6*day+30*minute).Format(time.RFC3339), monday.Add(6*day+90*minute).Format(time.RFC3339)))
	w.does(g, "close", "")
	*w.of("error", "db") = figures{opened: 1, detect: []float64{0}, acknowledge: []float64{3600}, resolve: []float64{3600}, outage: []float64{3600}}

	w.at(7 * day)
	w.caughtUp()
	w.compare()
	w.expressions()
}

// caughtUp waits until the recorded series have what the story has so far.
func (w *week) caughtUp() {
	w.t.Helper()
	eventually(w.t, 2*soon, func(ctx context.Context) error {
		for metric, of := range map[string]func(*figures) int{"incidents_opened_total": func(f *figures) int { return f.opened }, "incident_time_to_acknowledge_seconds_count": func(f *figures) int { return len(f.acknowledge) },
			"incident_time_to_resolve_seconds_count": func(f *figures) int { return len(f.resolve) }, "incident_outage_seconds_count": func(f *figures) int { return len(f.outage) }} {
			got, err := w.query(ctx, "sum(tocsin:"+metric+":max)")
			if err != nil {
				return err
			}
			want := 0
			for _, f := range w.hand {
				want += of(f)
			}
			if len(got) != 1 || got[0].value != float64(want) {
				return fmt.Errorf("%s: got %v, want %d", metric, got, want)
			}
		}
		return nil
	})
}

// found is one series of an answer of Prometheus.
type found struct {
	labels map[string]string
	value  float64
}

func (w *week) query(ctx context.Context, expr string) (out []found, err error) {
	var answer struct {
		Data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := getJSON(ctx, w.prometheus+"/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, err
	}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, found{r.Metric, v})
	}
	return out, nil
}

// times is a handling time in an answer of /api/v1/stats.
type times struct {
	Count int      `json:"count"`
	Sum   float64  `json:"sum_seconds"`
	Mean  *float64 `json:"mean_seconds"`
}

// compare holds Prometheus and /api/v1/stats of each gateway against the table.
func (w *week) compare() {
	ctx := w.t.Context()
	for n, m := range w.gateways {
		var stats struct {
			Complete bool `json:"complete"`
			Groups   []struct {
				By             map[string]string `json:"by"`
				Opened         int               `json:"opened"`
				Reopened       int               `json:"reopened"`
				Unacknowledged int               `json:"resolved_unacknowledged"`
				Detect         times             `json:"time_to_detect"`
				Acknowledge    times             `json:"time_to_acknowledge"`
				Resolve        times             `json:"time_to_resolve"`
				Outage         times             `json:"outage"`
			} `json:"groups"`
		}
		if err := getJSON(ctx, "http://"+m.running.Load().addr+"/api/v1/stats?by=severity,team&from=2026-11-16T00:00:00Z&to=2026-11-23T00:00:00Z", &stats); err != nil {
			w.t.Fatal(err)
		}
		if len(stats.Groups) != len(w.hand) || !stats.Complete {
			w.t.Errorf("gateway %d: got %d groups, complete: %v; want %d", n, len(stats.Groups), stats.Complete, len(w.hand))
		}
		for _, g := range stats.Groups {
			of := series{g.By["severity"], g.By["team"]}
			f := w.hand[of]
			if f == nil {
				w.t.Errorf("gateway %d: /stats has %v: %+v", n, of, g)
				continue
			}
			if g.Opened != f.opened || g.Reopened != f.reopened || g.Unacknowledged != f.unacknowledged {
				w.t.Errorf("gateway %d, %v: /stats %+v, by hand %+v", n, of, g, f)
			}
			for what, pair := range map[string]struct {
				got  times
				want []float64
			}{"detect": {g.Detect, f.detect}, "acknowledge": {g.Acknowledge, f.acknowledge}, "resolve": {g.Resolve, f.resolve}, "outage": {g.Outage, f.outage}} {
				if pair.got.Count != len(pair.want) || pair.got.Sum != addUp(pair.want) || pair.got.Mean != nil && *pair.got.Mean != addUp(pair.want)/float64(len(pair.want)) {
					w.t.Errorf("gateway %d, %v, time to %s: /stats %+v, by hand %v", n, of, what, pair.got, pair.want)
				}
			}
		}
	}
	for of, f := range w.hand {
		labels := fmt.Sprintf("{severity=%q,team=%q}", of.severity, of.team)
		for metric, want := range map[string]int{"opened": f.opened, "reopened": f.reopened, "resolved_unacknowledged": f.unacknowledged} {
			w.wantValue(fmt.Sprintf("tocsin:incidents_%s_total:max%s", metric, labels), float64(want))
		}
		for metric, want := range map[string][]float64{"time_to_detect": f.detect, "time_to_acknowledge": f.acknowledge, "time_to_resolve": f.resolve, "outage": f.outage} {
			sum, count := "tocsin:incident_"+metric+"_seconds_sum:max"+labels, "tocsin:incident_"+metric+"_seconds_count:max"+labels
			w.wantValue(count, float64(len(want)))
			w.wantValue(sum, addUp(want))
			mean := math.NaN() // nothing was observed
			if len(want) > 0 {
				mean = addUp(want) / float64(len(want))
			}
			w.wantValue("increase("+sum+"[7d]) / increase("+count+"[7d])", mean)
			w.wantValue("tocsin:"+metric+"_seconds:mean7d"+labels, mean)
		}
	}
	var all figures
	for _, f := range w.hand {
		all.acknowledge, all.resolve = append(all.acknowledge, f.acknowledge...), append(all.resolve, f.resolve...)
	}
	w.wantValue(meanOf("acknowledge"), addUp(all.acknowledge)/float64(len(all.acknowledge)))
	w.wantValue(meanOf("resolve"), addUp(all.resolve)/float64(len(all.resolve)))
}

// meanOf is how docs/metrics.md writes a mean over all.
func meanOf(of string) string {
	return fmt.Sprintf("sum(increase(tocsin:incident_time_to_%[1]s_seconds_sum:max[7d])) / sum(increase(tocsin:incident_time_to_%[1]s_seconds_count:max[7d]))", of)
}

func addUp(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// wantValue wants one series with a value. What Prometheus extrapolates it does to
// sums and counts alike, so that means are exact but for rounding.
func (w *week) wantValue(expr string, want float64) {
	w.t.Helper()
	eventually(w.t, soon, func(ctx context.Context) error {
		got, err := w.query(ctx, expr)
		if err != nil {
			return err
		}
		if len(got) != 1 || math.IsNaN(got[0].value) != math.IsNaN(want) || math.Abs(got[0].value-want) > 1e-6*max(1, want) {
			return fmt.Errorf("%s: got %v, want %v", expr, got, want)
		}
		return nil
	})
}

// expressions asks Prometheus for everything that dashboards show and rules say.
// Panels and recording rules have an answer; no alert fires but the one about duties
// that were missed, as some are in this week.
func (w *week) expressions() {
	names, err := filepath.Glob("../deploy/grafana/*.json")
	if err != nil || len(names) == 0 {
		w.t.Fatalf("dashboards: %q, %v", names, err)
	}
	variables := strings.NewReplacer("$job", "tocsin", "$window", "7d", "$__range", "7d", "$__rate_interval", "1m")
	asked := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		if err := json.Unmarshal(b, &board); err != nil {
			w.t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				asked++
				w.answers(filepath.Base(name)+": "+p.Title, variables.Replace(target.Expr), true)
			}
		}
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Record, Expr string }
		}
	}
	b, err := os.ReadFile("../deploy/prometheus/tocsin.rules.yml")
	if err == nil {
		err = yaml.Unmarshal(b, &file)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			asked++
			w.answers(r.Alert+r.Record, r.Expr, r.Alert == "" || r.Alert == "TocsinDutyMissed")
			if r.Record != "" {
				w.answers(r.Record, r.Record, true)
			}
		}
	}
	if asked < 80 {
		w.t.Errorf("only %d expressions", asked)
	}
}

// answers wants an answer with series, or one without.
func (w *week) answers(what, expr string, some bool) {
	w.t.Helper()
	eventually(w.t, soon, func(ctx context.Context) error {
		got, err := w.query(ctx, expr)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if len(got) > 0 != some {
			return fmt.Errorf("%s: %s: got %v, want series: %v", what, expr, got, some)
		}
		return nil
	})
}
