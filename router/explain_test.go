package router

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
)

// TestExplainIsWhatAcceptDoes: the same verdicts and keys, for requests of all
// sorts, and not a trace of it in the store.
func TestExplainIsWhatAcceptDoes(t *testing.T) {
	g := newGateway(t, func(s *Settings) {
		s.Correlate.Rules = []dedupe.Rule{{Name: "three", Matchers: []string{`alertname="T"`}, By: []string{"alertname"}, Threshold: dedupe.Threshold{Count: 3, Window: 600e9}}}
	})
	a, b := g.firing("A", "1"), g.firing("B", "1")
	changed := a
	changed.Annotations = alert.Labels{{Name: "summary", Value: "x"}}
	note := g.firing("A", "1")
	note.Kind, note.Status = alert.KindNote, alert.Unknown
	big := g.firing("Big", "1", "big", strings.Repeat("x", 2*alert.MaxLabelValue))
	at := func(later time.Duration, all ...alert.Alert) []alert.Alert {
		for n := range all {
			all[n].ReceivedAt = all[n].ReceivedAt.Add(later)
		}
		return all
	}
	ctx := context.Background()
	for step, request := range [][]alert.Alert{
		{a, g.firing("A", "2"), b, g.firing("Watchdog", "1"), g.over(g.firing("C", "1"))},
		{a, changed, note, g.firing("T", "1")},
		{g.firing("T", "2"), g.firing("T", "3"), g.firing("T", "4"), big},
		at(time.Minute, g.over(a), g.over(g.firing("A", "2")), a),
		at(2*time.Minute, g.firing("A", "3")),
	} {
		before := g.snapshot()
		explained, err := g.Explain(ctx, slices.Clone(request))
		if err != nil {
			t.Fatal(err)
		}
		if after := g.snapshot(); after != before {
			t.Fatalf("step %d: the store changed from\n%s to\n%s", step, before, after)
		}
		out := g.send(request...)
		if len(explained) != len(out) {
			t.Fatalf("step %d: %d explained, %d accepted", step, len(explained), len(out))
		}
		for n, o := range out {
			e := explained[n]
			if e.Outcome.Verdict != o.Verdict || e.Outcome.Fingerprint != o.Fingerprint || (e.Outcome.Incident == "") != (o.Incident == "") {
				t.Errorf("step %d, alert %d: explained %+v, accepted %+v", step, n, e.Outcome, o)
			}
			if len(e.Decisions) == 0 {
				t.Errorf("step %d, alert %d: no decisions", step, n)
			}
			if o.Verdict == alert.Suppressed {
				if !e.Key.IsZero() || e.Rule != "" || o.Reason != e.Outcome.Reason {
					t.Errorf("step %d, alert %d: suppressed, but got %+v", step, n, e)
				}
				continue
			}
			if e.Key.IsZero() || e.Rule == "" {
				t.Errorf("step %d, alert %d: key %s, rule %q", step, n, e.Key, e.Rule)
			}
			if o.Incident == "" {
				continue
			}
			i := g.incident(o.Incident)
			if e.Incident == nil || e.Incident.Key != i.Key || e.Incident.State != i.State || e.Incident.Alerts != i.Alerts || e.Incident.Title != i.Title || e.Key != i.Key {
				t.Errorf("step %d, alert %d: explained %+v, it is %+v", step, n, e.Incident, i)
			}
		}
	}
	checkStore(t, g.st)
}

// snapshot is all that is stored of alerts and incidents, as text.
func (g *gateway) snapshot() string {
	var text strings.Builder
	for _, r := range g.entries() {
		fmt.Fprintf(&text, "%s %+v\n", r.Key, r.Entry)
	}
	for _, i := range g.incidents() {
		fmt.Fprintf(&text, "%+v %q\n", *i, g.said(i.ID))
	}
	return text.String()
}

// TestExplainTellsEachDecision, in order, and what is kept of an alert.
func TestExplainTellsEachDecision(t *testing.T) {
	g := newGateway(t, baseRules)
	a := g.firing("A", "1", "zone", "x", "replica", "1")
	g.send(a)
	if err := g.Set(context.Background(), settings(baseRules, renamedRule)); err != nil {
		t.Fatal(err)
	}
	out, err := g.Explain(context.Background(), []alert.Alert{a, g.firing("B", "1", "big", strings.Repeat("x", 2*alert.MaxLabelValue))})
	if err != nil {
		t.Fatal(err)
	}
	stages := func(e Explained) (list []string) {
		for _, d := range e.Decisions {
			list = append(list, d.Stage)
		}
		return list
	}
	if got, want := stages(out[0]), []string{"classify", "generation", "correlate", "dedupe"}; !slices.Equal(got, want) || out[0].Rule != "zones" {
		t.Errorf("known under an older generation: got %q, rule %s; want %q, zones", got, out[0].Rule, want)
	}
	if got, want := stages(out[1]), []string{"classify", "correlate", "dedupe"}; !slices.Equal(got, want) || out[1].Rule != dedupe.DefaultRule {
		t.Errorf("new: got %q, rule %s; want %q, default", got, out[1].Rule, want)
	}
	if a := out[1].Alert; a.Flags&alert.FlagCut == 0 || len(a.Labels.Get("big")) != alert.MaxLabelValue {
		t.Errorf("too large: explained with %d bytes, flags %v; want it as it would be kept", len(a.Labels.Get("big")), a.Flags.Names())
	}
}
