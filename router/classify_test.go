package router

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// kv makes a map of names and values that follow each other.
func kv(list ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

func labelled(list ...string) *alert.Alert {
	return &alert.Alert{Status: alert.Firing, Source: "alertmanager", Labels: alert.FromMap(kv(list...))}
}

func classifier(t *testing.T, c Config) *Classifier {
	t.Helper()
	if c.Severities == nil {
		c.Severities, c.DefaultSeverity = []string{"critical", "error", "warning", "info"}, "warning"
	}
	k, err := NewClassifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSeverityWords: what senders call it.
func TestSeverityWords(t *testing.T) {
	for severity, words := range map[string][]string{
		"critical": {"critical", "CRITICAL", " Critical ", "crit", "page", "fatal", "emergency", "emerg", "disaster", "blocker", "down", "DOWN", "P1", "sev1", "SEV-1"},
		"error":    {"error", "err", "major", "High", "severe", "p2"},
		"warning":  {"warning", "warn", "WARN", "minor", "medium", "average", "moderate", "ticket", "p3"},
		"info":     {"info", "information", "informational", "notice", "low", "debug", "ok", "p4", "p5"},
	} {
		for _, word := range words {
			if c, known := classifier(t, Config{}).Classify(labelled("severity", word), nil); c.Severity != severity || !known || c.SuppressedBy != "" {
				t.Errorf("%q: got %s (known %v), want %s", word, c.Severity, known, severity)
			}
		}
	}
	for _, word := range []string{"", "urgent", "critical!", "критично", strings.Repeat("x", 5000)} {
		if c, known := classifier(t, Config{}).Classify(labelled("severity", word), nil); c.Severity != "warning" || known {
			t.Errorf("%q: got %s (known %v), want the default, not known", word, c.Severity, known)
		}
	}
	own := Config{Severities: []string{"bad", "fine"}, DefaultSeverity: "fine", SeverityWords: kv("Urgent", "bad", "page", "bad")}
	for word, want := range kv("bad", "bad", "BAD", "bad", "urgent", "bad", "page", "bad", "critical", "fine", "info", "fine") {
		if c, _ := classifier(t, own).Classify(labelled("severity", word), nil); c.Severity != want {
			t.Errorf("own words, %q: got %s, want %s", word, c.Severity, want)
		}
	}
}

// TestSuppressedBuiltIn: severity none and Prometheus' Watchdog open nothing.
func TestSuppressedBuiltIn(t *testing.T) {
	for name, c := range map[string]struct {
		a     *alert.Alert
		by    string
		known bool
	}{
		"none":              {labelled("alertname", "A", "severity", "none"), ruleSeverityNone, true},
		"NONE":              {labelled("severity", "NONE"), ruleSeverityNone, true},
		"Watchdog":          {labelled("alertname", "Watchdog", "severity", "critical"), ruleWatchdog, true},
		"Watchdog and none": {labelled("alertname", "Watchdog", "severity", "none"), ruleSeverityNone, true},
		"watchdog":          {labelled("alertname", "watchdog"), "", false},
		"nonesuch":          {labelled("severity", "nonesuch"), "", false},
	} {
		if got, known := classifier(t, Config{}).Classify(c.a, nil); got.SuppressedBy != c.by || known != c.known {
			t.Errorf("%s: got %q (known %v), want %q (known %v)", name, got.SuppressedBy, known, c.by, c.known)
		}
	}
}

// TestClassify: rules in order, each over the ones before.
func TestClassify(t *testing.T) {
	all := Set{Severity: "error", Impact: "high", Urgency: "low", Priority: "P2", Category: "network", Service: "s", Team: "t", Runbook: "http://r", Labels: kv("a", "1")}
	base := incident.Classification{Severity: "critical", Service: "pay"}
	a := labelled("alertname", "Disk", "severity", "critical", "service", "pay", "instance", "db-7.eu:9100", "empty", "")
	a.Annotations = alert.FromMap(kv("summary", "disk full", "text", "first\nsecond", "runbook_url", "http://own"))
	base.Runbook = "http://own"
	with := func(change func(c *incident.Classification)) incident.Classification {
		c := base
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		rules []Rule
		want  incident.Classification
	}{
		"no rules": {nil, base},
		"everything": {[]Rule{{Set: all}}, incident.Classification{Severity: "error", Impact: "high", Urgency: "low", Priority: "P2", Category: "network",
			Service: "s", Team: "t", Runbook: "http://r", Labels: alert.Labels{{Name: "a", Value: "1"}}}},
		"a later rule over an earlier one": {[]Rule{{Set: Set{Team: "x", Service: "y"}}, {Set: Set{Team: "z"}}},
			with(func(c *incident.Classification) { c.Team, c.Service = "z", "y" })},
		"labels add up": {[]Rule{{Set: Set{Labels: kv("b", "1", "a", "1")}}, {Set: Set{Labels: kv("b", "2")}}},
			with(func(c *incident.Classification) {
				c.Labels = alert.Labels{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}
			})},
		"stop":         {[]Rule{{Set: Set{Team: "x"}, Stop: true}, {Set: Set{Team: "z"}}}, with(func(c *incident.Classification) { c.Team = "x" })},
		"only a match": {[]Rule{{Matchers: []string{`service="x"`}, Set: Set{Team: "x"}, Stop: true}, {Set: Set{Team: "z"}}}, with(func(c *incident.Classification) { c.Team = "z" })},
		"matchers, all of them": {[]Rule{{Matchers: []string{`service=~"p.."`, `severity!="info"`, `nothing=""`, `alertname!~"X|Y"`}, Set: Set{Team: "x"}},
			{Matchers: []string{`service="pay"`, `alertname="X"`}, Set: Set{Team: "no"}}}, with(func(c *incident.Classification) { c.Team = "x" })},
		"several in one text":        {[]Rule{{Matchers: []string{`{service="pay", alertname="Disk"}`}, Set: Set{Team: "x"}}}, with(func(c *incident.Classification) { c.Team = "x" })},
		"a regular expression whole": {[]Rule{{Matchers: []string{`service=~"p"`}, Set: Set{Team: "no"}}}, base},
		"sources":                    {[]Rule{{Sources: []string{"x", "alertmanager"}, Set: Set{Team: "x"}}, {Sources: []string{"prometheus"}, Set: Set{Team: "no"}}}, with(func(c *incident.Classification) { c.Team = "x" })},
		"annotations":                {[]Rule{{Annotations: []string{`summary=~".*full"`}, Set: Set{Category: "hardware"}}, {Annotations: []string{`summary="x"`}, Set: Set{Category: "no"}}}, with(func(c *incident.Classification) { c.Category = "hardware" })},
		"a capture": {[]Rule{{Capture: kv("instance", `(?P<host>[a-z]+)-(?P<n>\d+)\.(?P<site>[a-z]+):.*`), Set: Set{Team: "${host}s", Labels: kv("site", "${site}", "node", "${n}${n}")}}},
			with(func(c *incident.Classification) {
				c.Team, c.Labels = "dbs", alert.Labels{{Name: "node", Value: "77"}, {Name: "site", Value: "eu"}}
			})},
		"a capture of an annotation over lines": {[]Rule{{Capture: kv("annotation:text", `.*(?P<word>sec)ond`), Set: Set{Team: "${word}"}}}, with(func(c *incident.Classification) { c.Team = "sec" })},
		"a capture must match":                  {[]Rule{{Capture: kv("instance", `(?P<host>x+).*`), Set: Set{Team: "no"}}}, base},
		"all captures must":                     {[]Rule{{Capture: kv("instance", `.*`, "service", `x`), Set: Set{Team: "no"}}}, base},
		"anchored, alternatives too":            {[]Rule{{Capture: kv("service", `pa|ay`), Set: Set{Team: "no"}}}, base},
		"a capture of what is not there":        {[]Rule{{Capture: kv("absent", `(?P<x>.*)`), Set: Set{Team: "t${x}"}}}, with(func(c *incident.Classification) { c.Team = "t" })},
		"references": {[]Rule{{Set: Set{Team: "${source}", Service: "${label:alertname}-${label:absent}-${annotation:summary}"}}},
			with(func(c *incident.Classification) { c.Team, c.Service = "alertmanager", "Disk--disk full" })},
		"a severity by reference":           {[]Rule{{Set: Set{Severity: "${label:alertname}"}}, {Set: Set{Severity: "${annotation:level}"}}}, base},
		"a severity by another word":        {[]Rule{{Set: Set{Severity: "Warn"}}}, with(func(c *incident.Classification) { c.Severity = "warning" })},
		"what comes out empty sets nothing": {[]Rule{{Set: Set{Team: "x", Labels: kv("a", "1")}}, {Set: Set{Team: "${label:empty}", Labels: kv("a", "${label:absent}")}}}, with(func(c *incident.Classification) { c.Team, c.Labels = "x", alert.Labels{{Name: "a", Value: "1"}} })},
		"not closed":                        {[]Rule{{Set: Set{Team: "a${label:service"}}}, with(func(c *incident.Classification) { c.Team = "a${label:service" })},
		"suppress":                          {[]Rule{{Name: "quiet", Suppress: true, Set: Set{Team: "x"}}}, with(func(c *incident.Classification) { c.SuppressedBy, c.Team = "quiet", "x" })},
		"rules see what the sender said, no more": {[]Rule{{Set: Set{Labels: kv("made", "1")}}, {Matchers: []string{`made="1"`}, Set: Set{Team: "no"}}},
			with(func(c *incident.Classification) { c.Labels = alert.Labels{{Name: "made", Value: "1"}} })},
	} {
		t.Run(name, func(t *testing.T) {
			before := a.Labels.Clone()
			got, _ := classifier(t, Config{Rules: c.rules}).Classify(a, nil)
			if !slices.Equal(got.Labels, c.want.Labels) {
				t.Errorf("labels: got %v, want %v", got.Labels, c.want.Labels)
			}
			got.Labels, c.want.Labels = nil, nil
			if !sameClass(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if !slices.Equal(a.Labels, before) {
				t.Error("the alert's labels changed")
			}
		})
	}
}

func sameClass(a, b incident.Classification) bool {
	return a.Severity == b.Severity && a.Impact == b.Impact && a.Urgency == b.Urgency && a.Priority == b.Priority && a.Category == b.Category &&
		a.Service == b.Service && a.Team == b.Team && a.Runbook == b.Runbook && a.SuppressedBy == b.SuppressedBy
}

// TestUnknownIsWhatGotTheDefault: a rule that says the severity makes it known.
func TestUnknownIsWhatGotTheDefault(t *testing.T) {
	for name, c := range map[string]struct {
		set      Set
		severity string
		known    bool
	}{
		"no rule says it":        {Set{Team: "x"}, "warning", false},
		"a rule says it":         {Set{Severity: "error"}, "error", true},
		"a rule takes a label":   {Set{Severity: "${label:level}"}, "info", true},
		"of which nothing comes": {Set{Severity: "${label:absent}"}, "warning", false},
	} {
		got, known := classifier(t, Config{Rules: []Rule{{Set: c.set}}}).Classify(labelled("severity", "odd", "level", "low"), nil)
		if got.Severity != c.severity || known != c.known {
			t.Errorf("%s: got %s (known %v), want %s (%v)", name, got.Severity, known, c.severity, c.known)
		}
	}
}

// TestHostileValues: what an alert says is text, and never longer than bounds.
func TestHostileValues(t *testing.T) {
	hostile := "${label:secret}${source}${x}$${"
	a := labelled("alertname", hostile, "secret", "s3cret", "long", strings.Repeat("ü", 4000), "lines", "a\r\nb\x00<script>")
	a.Annotations = alert.FromMap(kv("big", strings.Repeat("y", captureLimit)+"tail"))
	rules := []Rule{
		{Set: Set{Team: "<${label:alertname}>"}},
		{Capture: kv("alertname", `(?P<x>.*)`), Set: Set{Service: "[${x}]"}},
		{Set: Set{Category: "${label:long}"}},
		{Set: Set{Labels: kv("l", "${label:lines}")}},
		{Capture: kv("annotation:big", `(?P<y>y+)`), Set: Set{Runbook: "${y}"}},
		{Capture: kv("annotation:big", `.*tail`), Set: Set{Priority: "no"}},
	}
	got, _ := classifier(t, Config{Rules: rules}).Classify(a, nil)
	if got.Team != "<"+hostile+">" || got.Service != "["+hostile+"]" {
		t.Errorf("expanded twice: team %q, service %q", got.Team, got.Service)
	}
	if len(got.Category) != valueLimit || strings.Trim(got.Category, "ü") != "" || len(got.Runbook) != valueLimit {
		t.Errorf("limits: %d and %d bytes, want %d of whole characters", len(got.Category), len(got.Runbook), valueLimit)
	}
	if got.Labels.Get("l") != "a\r\nb\x00<script>" {
		t.Errorf("got %q", got.Labels.Get("l"))
	}
	if got.Priority != "" {
		t.Errorf("a capture saw more than %d bytes", captureLimit)
	}
	want := kv("plain", "plain", "${", "${", "${}", "", "$", "$", "a${x}b${y}c", "aXbYc", "${label:}", "", "${annotation:a}", "A", "${{x}}", "}", "$${x}", "$X")
	for text, want := range want {
		if got := expand(text, &alert.Alert{Annotations: alert.FromMap(kv("a", "A"))}, map[string]string{"x": "X", "y": "Y"}); got != want {
			t.Errorf("expand(%q): got %q, want %q", text, got, want)
		}
	}
}

func TestNewClassifierRefuses(t *testing.T) {
	for name, r := range map[string]Rule{
		"matcher": {Name: "r", Matchers: []string{`a=~"("`}}, "annotation": {Name: "r", Annotations: []string{`=`}}, "capture": {Name: "r", Capture: kv("a", "(")},
	} {
		if _, err := NewClassifier(Config{Rules: []Rule{r}}); err == nil || !strings.Contains(err.Error(), `rule "r"`) {
			t.Errorf("%s: got %v, want an error that names the rule", name, err)
		}
	}
}

// TestTrace: every decision is told, in order.
func TestTrace(t *testing.T) {
	k := classifier(t, Config{Rules: []Rule{{Name: "one", Set: Set{Team: "x"}}, {Name: "two", Matchers: []string{`a="b"`}}, {Name: "three", Suppress: true, Stop: true}, {Name: "four"}}})
	var got []string
	k.Classify(labelled("severity", "odd"), func(d Decision) { got = append(got, d.Stage+"|"+d.Rule+"|"+d.Text) })
	want := []string{`classify||severity "odd" is not known, the default is warning`, "classify|one|matched", "classify|three|matched", "classify|three|suppressed: opens nothing"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTeams(t *testing.T) {
	rules := []Rule{{Set: Set{Team: "b"}}, {Set: Set{Team: "${label:team}"}}, {Set: Set{Team: "a"}}, {Set: Set{Team: "b"}}, {}}
	if got := Teams(Config{Rules: rules}); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("got %q, want what the rules name", got)
	}
	if got := Teams(Config{Rules: rules, Teams: []string{"c"}}); !slices.Equal(got, []string{"c"}) {
		t.Errorf("got %q, want what is configured", got)
	}
}

// TestRulesDoNotShare: two alerts under the same rules do not see each other's labels.
func TestRulesDoNotShare(t *testing.T) {
	k := classifier(t, Config{Rules: []Rule{{Set: Set{Labels: kv("a", "${label:x}", "b", "1")}}}})
	one, _ := k.Classify(labelled("x", "1"), nil)
	two, _ := k.Classify(labelled("x", "2"), nil)
	if !maps.Equal(one.Labels.Map(), kv("a", "1", "b", "1")) || !maps.Equal(two.Labels.Map(), kv("a", "2", "b", "1")) {
		t.Errorf("got %v and %v", one.Labels, two.Labels)
	}
}
