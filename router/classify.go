// Package router takes alerts from ingest to the store: it classifies them by
// rules, finds their places, and runs the steps of dedupe and incident through
// the store's door (Pipeline.Accept). It also carries out people's actions and
// the jobs that are due.
package router

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// The built-in rules that suppress.
const (
	ruleSeverityNone = "built-in: severity none"
	ruleWatchdog     = "built-in: Watchdog"
)

// builtInWords are the words that senders use for a severity, in lower case.
var builtInWords = map[string][]string{
	"critical": {"crit", "page", "fatal", "emergency", "emerg", "disaster", "blocker", "down", "p1", "sev1", "sev-1"},
	"error":    {"err", "major", "high", "severe", "p2", "sev2", "sev-2"},
	"warning":  {"warn", "minor", "medium", "average", "moderate", "ticket", "p3", "sev3", "sev-3"},
	"info":     {"information", "informational", "notice", "low", "debug", "ok", "p4", "p5", "sev4", "sev-4"},
}

// Classifier says how bad an alert is and whose.
type Classifier struct {
	scale   incident.Scale
	words   map[string]string
	unknown string
	rules   []compiledRule
}

type compiledRule struct {
	Rule
	labels, annotations labels.Matchers
	captures            []capture
	setLabels           []alert.Label
}

// capture matches a label or an annotation and remembers its named groups.
type capture struct {
	label, annotation string
	re                *regexp.Regexp
}

// NewClassifier compiles c.
func NewClassifier(c Config) (*Classifier, error) {
	k := &Classifier{scale: c.Severities, unknown: c.DefaultSeverity, words: map[string]string{}}
	for severity, words := range builtInWords {
		if !slices.Contains(c.Severities, severity) {
			continue
		}
		for _, w := range words {
			k.words[w] = severity
		}
	}
	for w, severity := range c.SeverityWords {
		k.words[strings.ToLower(w)] = severity
	}
	for _, severity := range c.Severities {
		k.words[severity] = severity
	}
	for _, r := range c.Rules {
		compiled, err := compile(r)
		if err != nil {
			return nil, fmt.Errorf("router: classify rule %q: %w", r.Name, err)
		}
		k.rules = append(k.rules, compiled)
	}
	return k, nil
}

func compile(r Rule) (compiledRule, error) {
	out := compiledRule{Rule: r}
	var err error
	if out.labels, err = matchers(r.Matchers); err != nil {
		return out, err
	}
	if out.annotations, err = matchers(r.Annotations); err != nil {
		return out, err
	}
	for name, pattern := range r.Capture {
		re, err := regexp.Compile("^(?s:" + pattern + ")$")
		if err != nil {
			return out, fmt.Errorf("capture %s: %w", name, err)
		}
		c := capture{label: name, re: re}
		if annotation, ok := strings.CutPrefix(name, "annotation:"); ok {
			c.label, c.annotation = "", annotation
		}
		out.captures = append(out.captures, c)
	}
	slices.SortFunc(out.captures, func(a, b capture) int { return strings.Compare(a.label+a.annotation, b.label+b.annotation) })
	for name, value := range r.Set.Labels {
		out.setLabels = append(out.setLabels, alert.Label{Name: name, Value: value})
	}
	alert.Labels(out.setLabels).Sort()
	return out, nil
}

func matchers(texts []string) (labels.Matchers, error) {
	var out labels.Matchers
	for _, text := range texts {
		ms, err := parse.Matchers(text)
		if err != nil {
			return nil, fmt.Errorf("matcher %q: %w", text, err)
		}
		out = append(out, ms...)
	}
	return out, nil
}

// Decision is one step of the way to a result, for people.
type Decision struct {
	// Stage is classify, correlate, dedupe or generation.
	Stage string `json:"stage"`
	// Rule is the rule's name, if one decided.
	Rule string `json:"rule,omitzero"`
	Text string `json:"text"`
}

// Classify applies the rules in their order, each over the ones before. Known
// reports whether the severity is more than the default: the sender's word was
// understood, or a rule set one. Trace may be nil.
func (k *Classifier) Classify(a *alert.Alert, trace func(Decision)) (c incident.Classification, known bool) {
	return k.classify(a, trace, nil)
}

// classify is Classify; hits, if not nil, counts for each rule the alerts that it matched.
func (k *Classifier) classify(a *alert.Alert, trace func(Decision), hits []*atomic.Uint64) (c incident.Classification, known bool) {
	word := a.Labels.Get("severity")
	severity, known := k.severity(word)
	if trace != nil {
		text := fmt.Sprintf("severity %q means %s", word, severity)
		if !known {
			text = fmt.Sprintf("severity %q is not known, the default is %s", word, severity)
		}
		trace(Decision{Stage: "classify", Text: text})
	}
	c.Severity, c.Service, c.Team = severity, a.Labels.Get("service"), a.Labels.Get("team")
	c.Runbook = a.Annotations.Get("runbook_url")
	switch {
	case strings.EqualFold(word, "none"):
		c.SuppressedBy, known = ruleSeverityNone, true
	case a.Labels.Get("alertname") == "Watchdog":
		c.SuppressedBy = ruleWatchdog
	}
	for i := range k.rules {
		r := &k.rules[i]
		groups, ok := r.match(a)
		if !ok {
			continue
		}
		known = r.apply(a, groups, &c, k) || known
		if hits != nil {
			hits[i].Add(1)
		}
		if trace != nil {
			trace(Decision{Stage: "classify", Rule: r.Name, Text: "matched"})
		}
		if r.Stop {
			break
		}
	}
	if trace != nil && c.SuppressedBy != "" {
		trace(Decision{Stage: "classify", Rule: c.SuppressedBy, Text: "suppressed: opens nothing"})
	}
	return c, known
}

// severity understands a word of a sender.
func (k *Classifier) severity(word string) (severity string, known bool) {
	if s, ok := k.words[word]; ok {
		return s, true
	}
	if s, ok := k.words[strings.ToLower(strings.TrimSpace(word))]; ok {
		return s, true
	}
	return k.unknown, false
}

func (r *compiledRule) match(a *alert.Alert) (groups map[string]string, ok bool) {
	if len(r.Sources) > 0 && !slices.Contains(r.Sources, a.Source) {
		return nil, false
	}
	for _, m := range r.labels {
		if !m.Matches(a.Labels.Get(m.Name)) {
			return nil, false
		}
	}
	for _, m := range r.annotations {
		if !m.Matches(a.Annotations.Get(m.Name)) {
			return nil, false
		}
	}
	for _, c := range r.captures {
		text := a.Annotations.Get(c.annotation)
		if c.annotation == "" {
			text = a.Labels.Get(c.label)
		}
		found := c.re.FindStringSubmatch(alert.CutText(text, captureLimit))
		if found == nil {
			return nil, false
		}
		for i, name := range c.re.SubexpNames() {
			if name != "" {
				if groups == nil {
					groups = map[string]string{}
				}
				groups[name] = found[i]
			}
		}
	}
	return groups, true
}

const (
	// captureLimit is how much of a text a capture sees, in bytes.
	captureLimit = 16 << 10
	// valueLimit bounds what a rule sets, in bytes.
	valueLimit = 1 << 10
)

// apply sets what the rule says, and reports whether that is a severity.
func (r *compiledRule) apply(a *alert.Alert, groups map[string]string, c *incident.Classification, k *Classifier) (severe bool) {
	put := func(to *string, value string) {
		if value == "" {
			return
		}
		if v := expand(value, a, groups); v != "" {
			*to = alert.CutText(v, valueLimit)
		}
	}
	severity := ""
	put(&severity, r.Set.Severity)
	if severity != "" {
		if s, ok := k.severity(severity); ok {
			c.Severity, severe = s, true
		}
	}
	put(&c.Impact, r.Set.Impact)
	put(&c.Urgency, r.Set.Urgency)
	put(&c.Priority, r.Set.Priority)
	put(&c.Category, r.Set.Category)
	put(&c.Service, r.Set.Service)
	put(&c.Team, r.Set.Team)
	put(&c.Runbook, r.Set.Runbook)
	for _, l := range r.setLabels {
		value := ""
		if put(&value, l.Value); value != "" {
			c.Labels = c.Labels.Set(l.Name, value)
		}
	}
	if r.Suppress {
		c.SuppressedBy = r.Name
	}
	return severe
}

// expand replaces ${source}, ${label:NAME}, ${annotation:NAME} and ${group}.
// What an alert says is put in as it is; it is never expanded itself.
func expand(text string, a *alert.Alert, groups map[string]string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, behind, closed := strings.Cut(rest, "}")
		if !closed {
			out.WriteString("${" + rest)
			return out.String()
		}
		text = behind
		if label, ok := strings.CutPrefix(name, "label:"); ok {
			out.WriteString(a.Labels.Get(label))
		} else if annotation, ok := strings.CutPrefix(name, "annotation:"); ok {
			out.WriteString(a.Annotations.Get(annotation))
		} else if name == "source" {
			out.WriteString(a.Source)
		} else {
			out.WriteString(groups[name])
		}
	}
}
