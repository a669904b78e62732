package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLimitLeavesTheOrdinaryAlone(t *testing.T) {
	a := Alert{
		Labels:      FromMap(map[string]string{"alertname": "A", strings.Repeat("n", MaxName): strings.Repeat("v", MaxLabelValue)}),
		Annotations: FromMap(map[string]string{"summary": strings.Repeat("s", MaxText)}),
	}
	if n := testing.AllocsPerRun(10, func() { Limit(&a) }); n != 0 {
		t.Errorf("Limit of an alert at the limits: %v allocations, want 0", n)
	}
	if a.Flags != 0 || len(a.Annotations[0].Value) != MaxText {
		t.Errorf("Limit changed an alert at the limits: flags %v, annotation of %d bytes", a.Flags.Names(), len(a.Annotations[0].Value))
	}
}

func TestLimitKeepsWhatLaterStagesRead(t *testing.T) {
	m := map[string]string{"alertname": "A", "severity": "critical", "team": "db", "zone": "z"}
	for i := range 10_000 {
		m[fmt.Sprintf("l%05d", i)] = "v"
	}
	whole := FromMap(m)
	before := whole.Clone()
	a := Alert{Labels: whole}
	Limit(&a)
	if len(a.Labels) != MaxLabels || a.Flags&FlagCut == 0 {
		t.Errorf("10,004 labels: kept %d, flags %v; want %d and cut", len(a.Labels), a.Flags.Names(), MaxLabels)
	}
	for _, name := range []string{"alertname", "severity", "team"} {
		if a.Labels.Get(name) != m[name] {
			t.Errorf("label %s: got %q, want %q", name, a.Labels.Get(name), m[name])
		}
	}
	if !slices.IsSortedFunc(a.Labels, compareNames) {
		t.Errorf("the labels are not sorted: %v", a.Labels)
	}
	if !slices.Equal(whole, before) {
		t.Error("Limit changed labels that it was only lent")
	}
}

func TestLimitCutsBetweenCharacters(t *testing.T) {
	long := strings.Repeat("ü", MaxText) // two bytes each
	name := strings.Repeat("n", MaxName)
	a := Alert{
		Labels:       Labels{{name + "1", "first"}, {name + "2", "second"}, {"odd", "x" + long}},
		Annotations:  Labels{{"summary", "x" + long}},
		Identity:     "x" + long,
		GeneratorURL: "x" + long,
		Author:       "x" + long,
		Comment:      "x" + long,
	}
	Limit(&a)
	for what, got := range map[string]struct {
		text  string
		limit int
	}{
		"label":      {a.Labels.Get("odd"), MaxLabelValue},
		"annotation": {a.Annotations.Get("summary"), MaxText},
		"identity":   {a.Identity, MaxLabelValue},
		"link":       {a.GeneratorURL, MaxText},
		"author":     {a.Author, MaxLabelValue},
		"comment":    {a.Comment, MaxText},
	} {
		if len(got.text) != got.limit-1 || !utf8.ValidString(got.text) {
			t.Errorf("%s: %d bytes, valid %v; want %d bytes of whole characters", what, len(got.text), utf8.ValidString(got.text), got.limit-1)
		}
	}
	if len(a.Labels) != 2 || a.Labels.Get(name) != "first" {
		t.Errorf("two names that are equal once cut: got %d labels, %q; want 2, the first", len(a.Labels), a.Labels.Get(name))
	}
}
