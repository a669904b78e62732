package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/router"
)

func TestIdentityComesBackFromItsText(t *testing.T) {
	c, err := LoadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	id := c.Identity()
	back, err := router.ParseIdentity(id.Text())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, id) || back.Hash() != id.Hash() {
		t.Errorf("got %+v\nwant %+v\ntext %s", back, id, id.Text())
	}
	if len(back.Correlate.Rules) != 1 || len(back.Classify.Rules) != 2 || back.Classify.Rules[0].Set.Service != "${service}" ||
		back.Source("prometheus").IgnoreLabels[0] != "prometheus_replica" || back.Source("new").Namespace != "new" {
		t.Errorf("got %+v, want the rules and sources of the example", back)
	}
}

func TestIdentityIsStable(t *testing.T) {
	want := ""
	for range 20 { // maps are walked in another order each time
		c, err := LoadFile(example)
		if err != nil {
			t.Fatal(err)
		}
		got := string(c.Identity().Text())
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("got %s, before %s", got, want)
		}
	}
}

// TestIdentityOfDefaults pins the text: if it changes, every incident of every
// installation is of an older generation after an update.
func TestIdentityOfDefaults(t *testing.T) {
	const want = `{"version":1,"severities":["critical","error","warning","info"],"default_severity":"warning"}`
	if got := string(Default().Identity().Text()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWhatMakesAGeneration(t *testing.T) {
	const base = `
sources:
  prometheus: {ignore_labels: [replica], auth: {bearer_token: hidden-token}}
classify:
  rules:
    - {name: service, matchers: ['job="a"'], capture: {job: '(?P<x>.*)'}, set: {service: '${x}', severity: error}}
    - {name: severity, matchers: ['job="b"'], set: {severity: error}}
    - {name: mute, matchers: ['env="test"'], suppress: true}
correlate:
  reopen_window: 30m
  rules:
    - {name: nodes, matchers: ['alertname="X"'], by: [cluster], threshold: {count: 2, window: 5m}}
`
	was := mustLoad(t, base).Identity()
	if strings.Contains(string(was.Text()), "hidden-token") {
		t.Errorf("the text shows a secret: %s", was.Text())
	}
	for _, c := range []struct {
		name, old, with string
		changes         bool
	}{
		{"renamed rule", "name: nodes", "name: hosts", true},
		{"other by", "by: [cluster]", "by: [cluster, rack]", true},
		{"other matcher", `alertname="X"`, `alertname="Y"`, true},
		{"classify rule sets another service", "service: '${x}'", "service: 'a-${x}'", true},
		{"classify rule matches others", `job="a"`, `job="c"`, true},
		{"capture", "(?P<x>.*)", "(?P<x>.*?)-.*", true},
		{"suppression", `env="test"`, `env="dev"`, true},
		{"ignored label", "[replica]", "[replica, pod]", true},
		{"namespace", "ignore_labels:", "namespace: site, ignore_labels:", true},
		{"severity words", "classify:\n", "classify:\n  severity_words: {sev1: critical}\n", true},
		{"nothing", "x", "x", false},
		{"a comment", "correlate:", "# comment\ncorrelate:", false},
		{"reopen window", "reopen_window: 30m", "reopen_window: 40m", false},
		{"threshold", "count: 2", "count: 3", false},
		{"flapping", "correlate:\n", "correlate:\n  flapping: {changes: 9}\n", false},
		{"severity that a rule sets", "set: {severity: error}", "set: {severity: info}", false},
		{"teams", "classify:\n", "classify:\n  teams: [a]\n", false},
		{"a token", "hidden-token", "another-token", false},
		{"a new plain source", "sources:\n", "sources:\n  site-b: {format: prometheus}\n", false},
		{"explicit default", "{ignore_labels:", "{format: prometheus, ignore_labels:", false},
		{"incidents", "classify:\n", "incidents: {retention: 7d}\nclassify:\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(base, c.old, c.with, 1)
			if changed == base && c.old != c.with {
				t.Fatalf("%q is not in the base", c.old)
			}
			now := mustLoad(t, changed).Identity()
			if got := now.Hash() != was.Hash(); got != c.changes {
				t.Errorf("a new generation: got %t, want %t\nwas %s\nnow %s", got, c.changes, was.Text(), now.Text())
			}
		})
	}
}
