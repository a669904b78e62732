// Package deploy_test holds what is shipped beside the binary against the documents
// and against each other. That Prometheus takes it is tested in e2e.
package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

const runbooks = "https://github.com/tocsin-gateway/tocsin/blob/main/docs/runbooks.md#"

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/tocsin.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// TestEveryAlertHasARunbookAndATest, and each runbook is that of an alert.
func TestEveryAlertHasARunbookAndATest(t *testing.T) {
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(read(t, "../docs/runbooks.md"), -1) {
		sections[m[1]] = true
	}
	tests := read(t, "prometheus/tocsin.test.yml")
	alerts := 0
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts++
		if !sections[r.Alert] {
			t.Errorf("docs/runbooks.md has no section %s", r.Alert)
		}
		delete(sections, r.Alert)
		if got, want := r.Annotations["runbook_url"], runbooks+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, got, want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s: a summary, a description and a severity are wanted", r.Alert)
		}
		if !regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts`).MatchString(tests) {
			t.Errorf("%s never fires in tocsin.test.yml", r.Alert)
		}
	}
	for name := range sections {
		t.Errorf("docs/runbooks.md has %s, but no rule has", name)
	}
	if alerts < 15 {
		t.Errorf("only %d alerts", alerts)
	}
}

var (
	metric  = regexp.MustCompile(`\btocsin[_:][a-z0-9_:]+`)
	quoted  = regexp.MustCompile(`"[^"]*"`)
	suffix  = regexp.MustCompile(`_(bucket|sum|count)$`)
	history = regexp.MustCompile("`(tocsin_[a-z0-9_]+)")
)

// TestMetricsOfExpressions: rules and panels ask for metrics that docs/metrics.md
// has, or that a rule records.
func TestMetricsOfExpressions(t *testing.T) {
	known := map[string]bool{}
	for _, m := range history.FindAllStringSubmatch(read(t, "../docs/metrics.md"), -1) {
		known[m[1]] = true
	}
	expressions := map[string]string{}
	for _, r := range rules(t) {
		if r.Record != "" {
			known[r.Record] = true
		}
		expressions[r.Alert+r.Record] = r.Expr
	}
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				expressions[b.Title+": "+p.Title+" "+target.RefID] = target.Expr
			}
		}
	}
	for where, expr := range expressions {
		for _, name := range metric.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
			if !known[name] && !known[suffix.ReplaceAllString(name, "")] {
				t.Errorf("%s asks for %s, which nothing documents", where, name)
			}
		}
	}
}

type board struct {
	UID, Title, Description string
	SchemaVersion           int `json:"schemaVersion"`
	Templating              struct {
		List []struct{ Name, Type string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int } `json:"gridPos"`
	Datasource               struct{ UID string }
	FieldConfig              struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher    struct{ Options string }
			Properties []struct{ ID string }
		}
	} `json:"fieldConfig"`
	Targets []struct {
		RefID        string `json:"refId"`
		Expr         string
		LegendFormat string `json:"legendFormat"`
		Datasource   struct{ UID string }
	}
}

func boards(t *testing.T) (all []board) {
	t.Helper()
	names, err := filepath.Glob("grafana/*.json")
	if err != nil || len(names) < 3 {
		t.Fatalf("got %q, %v", names, err)
	}
	for _, name := range names {
		var b board
		if err := json.Unmarshal([]byte(read(t, name)), &b, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b.UID+".json" != filepath.Base(name) {
			t.Errorf("%s has the uid %s", name, b.UID)
		}
		all = append(all, b)
	}
	return all
}

// TestDashboards: every panel says what it shows and in which unit, asks the data
// source that is chosen, overlaps no other, and no plugin is needed. Lines of
// severities differ in more than their colour.
func TestDashboards(t *testing.T) {
	for _, b := range boards(t) {
		if b.SchemaVersion < 39 || b.Description == "" || len(b.Templating.List) == 0 || b.Templating.List[0].Type != "datasource" {
			t.Errorf("%s: got schema %d, description %q, variables %v", b.Title, b.SchemaVersion, b.Description, b.Templating.List)
		}
		ids, taken := map[int]string{}, map[[2]int]string{}
		for _, p := range b.Panels {
			at := b.Title + ": " + p.Title
			if ids[p.ID] != "" {
				t.Errorf("%s has the id of %s", at, ids[p.ID])
			}
			ids[p.ID] = p.Title
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s lies over %s", at, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s is too wide", at)
			}
			switch p.Type {
			case "row":
				continue
			case "stat", "timeseries", "table":
			default:
				t.Errorf("%s is a %s", at, p.Type)
			}
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
				t.Errorf("%s: a description, a unit, the chosen data source and an expression are wanted; got %+v", at, p)
			}
			for _, target := range p.Targets {
				if target.Datasource.UID != "${datasource}" || !strings.Contains(target.Expr, `job=~"$job"`) {
					t.Errorf("%s %s: asks %q for %s", at, target.RefID, target.Datasource.UID, target.Expr)
				}
				if p.Type != "timeseries" || target.LegendFormat != "{{severity}}" {
					continue
				}
				if len(p.FieldConfig.Overrides) < 4 {
					t.Errorf("%s: severities have no looks of their own", at)
				}
			}
		}
	}
}
