package dedupe

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

// labelled draws labels over a small alphabet, so that equal ones and such as
// look alike when joined are frequent.
func labelled(t *rapid.T) map[string]string {
	text := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'b', '=', ',', 0, 0xff, 0x100}), 0, 4, -1)
	m := rapid.MapOfN(text, text, 0, 4).Draw(t, "labels")
	if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
		m["a"] = strings.Repeat("x", rapid.IntRange(126, 260).Draw(t, "length"))
	}
	return m
}

// TestFingerprintTellsApart: two alerts have the same fingerprint exactly if
// the namespace and the labels that count are the same.
func TestFingerprintTellsApart(t *testing.T) {
	var h, other Hasher
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SampledFrom([]string{"", "a", "ab", "b"})
		a, b := labelled(rt), labelled(rt)
		if rapid.Bool().Draw(rt, "equal") {
			b = maps.Clone(a)
		}
		ignored := rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b"}}).Draw(rt, "ignored")
		x := &Identity{Namespace: names.Draw(rt, "namespace"), IgnoreLabels: ignored}
		y := &Identity{Namespace: names.Draw(rt, "other namespace"), IgnoreLabels: ignored}
		// What is not in the labels does not matter.
		one := &alert.Alert{Labels: alert.FromMap(a), Source: "one", Status: alert.Firing, StartsAt: epoch}
		two := &alert.Alert{Labels: alert.FromMap(b), Source: "two", Status: alert.Resolved, Identity: "f", Annotations: alert.Labels{{Name: "x", Value: "y"}}}
		for _, name := range ignored {
			delete(a, name)
			delete(b, name)
		}
		want := x.Namespace == y.Namespace && maps.Equal(a, b)
		if got := h.Fingerprint(x, one) == other.Fingerprint(y, two); got != want {
			rt.Fatalf("got the same fingerprint %v, want %v: %q %q and %q %q", got, want, x.Namespace, a, y.Namespace, b)
		}
	})
}

// TestContentTellsApart: the content leaves out times and volatile annotations,
// and nothing else.
func TestContentTellsApart(t *testing.T) {
	var h Hasher
	id := &Identity{IgnoreLabels: []string{"replica"}, VolatileAnnotations: []string{"value"}}
	base := func() *alert.Alert {
		return &alert.Alert{Labels: alert.FromMap(map[string]string{"alertname": "A", "replica": "1"}),
			Annotations: alert.FromMap(map[string]string{"summary": "s", "value": "1"}), StartsAt: epoch}
	}
	want := h.Content(id, base())
	for name, c := range map[string]struct {
		change func(a *alert.Alert)
		same   bool
	}{
		"nothing":             {func(a *alert.Alert) {}, true},
		"times":               {func(a *alert.Alert) { a.StartsAt, a.EndsAt, a.ReceivedAt, a.ValidUntil = at(1), at(2), at(3), at(4) }, true},
		"volatile annotation": {func(a *alert.Alert) { a.Annotations = a.Annotations.Set("value", "2") }, true},
		"ignored label":       {func(a *alert.Alert) { a.Labels = a.Labels.Set("replica", "2") }, true},
		"annotation":          {func(a *alert.Alert) { a.Annotations = a.Annotations.Set("summary", "t") }, false},
		"new annotation":      {func(a *alert.Alert) { a.Annotations = a.Annotations.Set("more", "") }, false},
	} {
		a := base()
		c.change(a)
		if got := h.Content(id, a) == want; got != c.same {
			t.Errorf("%s: got the same content %v, want %v", name, got, c.same)
		}
	}
}

// TestKey: which alerts belong together.
func TestKey(t *testing.T) {
	rules := Config{Rules: []Rule{
		{Name: "hosts", Matchers: []string{`team="infra"`}, By: []string{"host"}},
		{Name: "services", Matchers: []string{`service=~"pay.*"`, `alertname!="X"`}, By: []string{"service", "cluster"}},
		{Name: "everything of a site", Matchers: []string{`site!=""`}, By: nil},
	}}
	type side struct {
		labels map[string]string
		class  incident.Classification
	}
	l := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	plain := func(kv ...string) side { m := l(kv...); return side{m, incident.Classification{Service: m["service"]}} }
	for name, c := range map[string]struct {
		rule     string
		a, b     side
		together bool
	}{
		"same name, other pods":         {"default", plain("alertname", "A", "pod", "1"), plain("alertname", "A", "pod", "2"), true},
		"other name":                    {"default", plain("alertname", "A"), plain("alertname", "B"), false},
		"other cluster":                 {"default", plain("alertname", "A", "cluster", "x"), plain("alertname", "A", "cluster", "y"), false},
		"other environment":             {"default", plain("alertname", "A", "environment", "x"), plain("alertname", "A"), false},
		"cluster is not environment":    {"default", plain("alertname", "A", "environment", "x"), plain("alertname", "A", "cluster", "x"), false},
		"other service":                 {"default", plain("alertname", "A", "service", "x"), plain("alertname", "A", "service", "y"), false},
		"absent is empty":               {"default", plain("alertname", "A", "service", ""), plain("alertname", "A"), true},
		"no name":                       {"default", plain("pod", "1"), plain("pod", "2"), false},
		"no name, the same":             {"default", plain("pod", "1"), plain("pod", "1"), true},
		"no name, in a cluster":         {"default", plain("pod", "1", "cluster", "x"), plain("pod", "2", "cluster", "x"), false},
		"service by a rule":             {"services", side{l("alertname", "A"), incident.Classification{Service: "payments"}}, plain("alertname", "B", "service", "payments"), true},
		"host is instance without port": {"hosts", plain("team", "infra", "instance", "h:9100"), plain("team", "infra", "host", "h"), true},
		"other hosts":                   {"hosts", plain("team", "infra", "instance", "h:9100"), plain("team", "infra", "instance", "g:9100"), false},
		"host by a rule": {"hosts", side{l("team", "infra", "instance", "h:1"), incident.Classification{Labels: alert.Labels{{Name: "host", Value: "g"}}}},
			plain("team", "infra", "host", "g"), true},
		"team by a rule's label": {"hosts", side{l("host", "h"), incident.Classification{Labels: alert.Labels{{Name: "team", Value: "infra"}}}},
			plain("team", "infra", "host", "h"), true},
		"by of nothing is one":    {"everything of a site", plain("alertname", "A", "site", "s"), plain("alertname", "B", "site", "t"), true},
		"rules keep apart":        {"services", plain("service", "pay", "alertname", "A"), plain("service", "pay", "alertname", "X"), false},
		"values do not run over":  {"services", plain("service", "paya", "cluster", "b"), plain("service", "pay", "cluster", "ab"), false},
		"names keep nothing here": {"services", plain("service", "pay", "alertname", "A"), plain("service", "pay", "alertname", "B"), true},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := NewCorrelator(rules)
			if err != nil {
				t.Fatal(err)
			}
			var h Hasher
			place := func(s side) Place {
				a := &alert.Alert{Labels: alert.FromMap(s.labels)}
				return k.Key(&h, a, &s.class, h.Fingerprint(&Identity{}, a))
			}
			x, y := place(c.a), place(c.b)
			if x.Rule() != c.rule || (x.Key == y.Key) != c.together {
				t.Errorf("got rule %q, together %v; want %q, %v", x.Rule(), x.Key == y.Key, c.rule, c.together)
			}
		})
	}
}

func TestNewCorrelatorRefuses(t *testing.T) {
	_, err := NewCorrelator(Config{Rules: []Rule{{Name: "r", Matchers: []string{`a=~"("`}}}})
	if err == nil || !strings.Contains(err.Error(), `rule "r"`) {
		t.Errorf("got %v, want an error that names the rule", err)
	}
}

func TestTitle(t *testing.T) {
	long := strings.Repeat("ü", 300)
	for name, c := range map[string]struct {
		by     []string
		labels map[string]string
		want   string
	}{
		"name and place":        {defaultRule.by, map[string]string{"alertname": "Down", "cluster": "eu", "service": "db", "pod": "1"}, "Down · db · eu"},
		"the name first":        {[]string{"host"}, map[string]string{"alertname": "Down", "instance": "h:1"}, "Down · h"},
		"by nothing":            {nil, map[string]string{"alertname": "Down"}, "Down"},
		"no name, but a host":   {defaultRule.by, map[string]string{"instance": "h:1"}, "h"},
		"no name, but a place":  {defaultRule.by, map[string]string{"cluster": "eu", "host": "h"}, "eu"},
		"nothing":               {defaultRule.by, map[string]string{"x": "y"}, "alert without a name"},
		"too long":              {defaultRule.by, map[string]string{"alertname": long}, long[:titleLimit]},
		"too long, not aligned": {defaultRule.by, map[string]string{"alertname": "x" + long}, ("x" + long)[:titleLimit-1]},
	} {
		a := &alert.Alert{Labels: alert.FromMap(c.labels)}
		class := &incident.Classification{Service: c.labels["service"]}
		if got := (Place{rule: &compiledRule{by: c.by}}).Title(a, class); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestBy(t *testing.T) {
	a := &alert.Alert{Labels: alert.FromMap(map[string]string{"alertname": "A", "cluster": ""})}
	got := Place{rule: &compiledRule{by: defaultRule.by}}.By(a, &incident.Classification{Service: "db"})
	if want := []alert.Label{{Name: "alertname", Value: "A"}, {Name: "service", Value: "db"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPolicyFor(t *testing.T) {
	window := minutes(7)
	c := DefaultConfig()
	c.Rules = []Rule{{Name: "r", Threshold: Threshold{Count: 3}, ReopenWindow: &window}, {Name: "s"}}
	if p := c.For("r", incident.Policy{}); p.Threshold.Count != 3 || p.ReopenWindow != at(7).Sub(epoch) {
		t.Errorf("rule r: got %+v", p)
	}
	for _, name := range []string{"s", DefaultRule, "", "unknown"} {
		if p := c.For(name, incident.Policy{}); p.Threshold.Count != 0 || p.ReopenWindow != at(30).Sub(epoch) || p.LateWindow != at(10).Sub(epoch) {
			t.Errorf("rule %q: got %+v, want what the section says", name, p)
		}
	}
}
