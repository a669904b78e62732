package gateway_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
)

// describedMetric is a metric as docs/metrics.md or a registry has it.
type describedMetric struct {
	kind   string
	labels []string
}

// families returns what a gateway exports that was just started.
func families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	c, err := config.Load([]byte("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n"+
		"process: {rotas: {dba: {ical: {file: dba.ics}}}}"), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	st := embeddedtest.Open(t, embedded.Options{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(versioncollector.NewCollector("tocsin")) // as the command serve does
	log := slog.New(slog.DiscardHandler)
	sp, err := spool.Open(spool.Options{Config: spool.Config{Dir: filepath.Join(t.TempDir(), "spool"), MaxSize: ingest.GiB}, Log: log, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	recording, err := recorder.Open(recorder.Options{Config: recorder.Config{Dir: t.TempDir(), MaxSize: ingest.GiB}, Log: log, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := recording.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := gateway.New(t.Context(), gateway.Options{Store: st, Spool: sp, Recorder: recording, Config: c, Log: log, Registry: registry, Receivers: receivers.New}); err != nil {
		t.Fatal(err)
	}
	smtp.New(smtp.Options{Config: smtp.DefaultConfig(), Log: log, Registerer: registry})
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	// A metric without series would be missing in what was gathered.
	described := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(described)
		close(described)
	}()
	for d := range described {
		name := descName.FindStringSubmatch(d.String())
		if name == nil {
			t.Fatalf("no name in %s", d)
		}
		if !slices.ContainsFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == name[1] }) {
			t.Errorf("%s has no series from the start: increase() does not see the first event of one that comes later", name[1])
		}
	}
	return all
}

var descName = regexp.MustCompile(`fqName: "([^"]+)"`)

func registered(all []*dto.MetricFamily) map[string]describedMetric {
	out := map[string]describedMetric{}
	for _, f := range all {
		m := describedMetric{kind: strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		slices.Sort(m.labels)
		out[f.GetName()] = m
	}
	return out
}

// documentRow is a row of a table: | `name{label,label}` | type | meaning |.
var documentRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)(?:\\{([a-z,]+)\\})?` \\| ([a-z]+) \\| .+ \\|$")

func documented(t *testing.T, text string) map[string]describedMetric {
	t.Helper()
	out := map[string]describedMetric{}
	for _, row := range documentRow.FindAllStringSubmatch(text, -1) {
		m := describedMetric{kind: row[3]}
		if row[2] != "" {
			m.labels = strings.Split(row[2], ",")
		}
		slices.Sort(m.labels)
		if _, twice := out[row[1]]; twice {
			t.Errorf("%s is described twice", row[1])
		}
		out[row[1]] = m
	}
	return out
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ofRedis begins the metrics of package store/redis, which has this test for them
// with a Redis.
const ofRedis = "tocsin_store_redis_"

func TestMetricsAreDocumented(t *testing.T) {
	is, said := registered(families(t)), documented(t, textOf(t, "docs/metrics.md"))
	for name, m := range is {
		d, ok := said[name]
		switch {
		case !ok:
			t.Errorf("%s: exported, but not in docs/metrics.md", name)
		case d.kind != m.kind || !slices.Equal(d.labels, m.labels):
			t.Errorf("%s: docs/metrics.md says %s %v, the registry %s %v", name, d.kind, d.labels, m.kind, m.labels)
		}
	}
	for name := range said {
		if _, ok := is[name]; !ok && !strings.HasPrefix(name, ofRedis) {
			t.Errorf("%s: in docs/metrics.md, but not exported", name)
		}
	}
}

// metricName is a metric of ours in a query, or in prose.
var metricName = regexp.MustCompile(`\btocsin_[a-z][a-z_]*[a-z]\b`)

// TestQueriesNameMetricsThatExist looks through the queries that we ship: a
// query over a name that does not exist is silent for ever.
func TestQueriesNameMetricsThatExist(t *testing.T) {
	is := registered(families(t))
	for name, m := range documented(t, textOf(t, "docs/metrics.md")) {
		if strings.HasPrefix(name, ofRedis) {
			is[name] = m
		}
	}
	for _, path := range []string{"docs/metrics.md", "docs/operations.md", "README.md", "deploy/prometheus/tocsin.rules.yml", "deploy/prometheus/tocsin.test.yml"} {
		for _, name := range metricName.FindAllString(textOf(t, path), -1) {
			if name == "tocsin_incident" { // the prefix, in prose
				continue
			}
			m, ok := is[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && !ok {
					m, ok = is[base]
					ok = ok && m.kind == "histogram"
				}
			}
			if !ok {
				t.Errorf("%s names %s, which is not exported", path, name)
			}
		}
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(families(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
}
