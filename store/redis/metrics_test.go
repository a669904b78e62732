package redis

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// documentedRow is a row of docs/metrics.md: | `name{label,label}` | type | meaning |.
var documentedRow = regexp.MustCompile("(?m)^\\| `(tocsin_store_redis_[a-z_]+(?:\\{[a-z,]+\\})?)` \\| ([a-z]+) \\| .+ \\|$")

// TestMetricsAreDocumented: docs/metrics.md has what a store registers, and
// nothing else. Package gateway does the same for all other metrics.
func TestMetricsAreDocumented(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := another(t, redistest.Single(t).URL(), Options{Registerer: registry})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, f := range all {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		name := f.GetName()
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		got = append(got, name+" "+strings.ToLower(f.GetType().String()))
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range documentedRow.FindAllStringSubmatch(string(text), -1) {
		want = append(want, row[1]+" "+row[2])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the store registers\n%s\ndocs/metrics.md has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
