package dedupe

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// The names of the built-in correlation rules.
const (
	DefaultRule = "default"
	// HostRule is the one for senders that think in hosts.
	HostRule = "host"
	// GroupRule is the one for senders that gather alerts by names of their own.
	GroupRule = "group"
)

// The built-in rules.
var (
	defaultRule = compiledRule{name: DefaultRule, by: []string{"alertname", "service", "cluster", "environment"}}
	hostRule    = compiledRule{name: HostRule, by: []string{"host"}}
	groupRule   = compiledRule{name: GroupRule}
)

const severityLabel = "severity"

// Correlator finds the key of an alert.
type Correlator struct{ rules []compiledRule }

type compiledRule struct {
	name     string
	matchers labels.Matchers
	by       []string
	// moves: it looks at the severity, which for an alert with a key of its own is
	// not the same during its life.
	moves bool
}

// NewCorrelator compiles the rules of c; the built-in ones come last.
func NewCorrelator(c Config) (*Correlator, error) {
	k := &Correlator{}
	for _, r := range c.Rules {
		compiled := compiledRule{name: r.Name, by: r.By}
		for _, text := range r.Matchers {
			ms, err := parse.Matchers(text)
			if err != nil {
				return nil, fmt.Errorf("dedupe: rule %q: matcher %q: %w", r.Name, text, err)
			}
			compiled.matchers = append(compiled.matchers, ms...)
		}
		compiled.moves = slices.Contains(r.By, severityLabel) ||
			slices.ContainsFunc(compiled.matchers, func(m *labels.Matcher) bool { return m.Name == severityLabel })
		k.rules = append(k.rules, compiled)
	}
	return k, nil
}

// Place is where an alert belongs.
type Place struct {
	Key  incident.Key
	rule *compiledRule
}

// PlaceOf is the place of a key that is known already, for events that open nothing.
func PlaceOf(key incident.Key) Place { return Place{key, &compiledRule{}} }

// Drill is the place of exercises about what belongs to p.
func (p Place) Drill() Place {
	sum := sha256.Sum256(append([]byte("drill\x00"), p.Key[:]...))
	return Place{incident.Key(sum[:16]), p.rule}
}

// Rule is the name of the correlation rule that gave the key.
func (p Place) Rule() string { return p.rule.name }

// Key returns the place of an alert. It only looks at what does not change
// during the alert's life: labels that count for the fingerprint, and what the
// rules derive from them (config checks that).
func (k *Correlator) Key(h *Hasher, a *alert.Alert, c *incident.Classification, fp alert.Fingerprint) Place {
	rule := k.match(a, c)
	h.buf = appendText(h.buf[:0], rule.name)
	if rule == &groupRule {
		h.buf = appendText(appendText(h.buf, a.Source), a.Group)
	}
	named := rule.name != DefaultRule
	for _, name := range rule.by {
		value := view(a, c, name)
		if name == "alertname" && value != "" {
			named = true
		}
		h.buf = appendText(h.buf, value)
	}
	if !named && rule.name == DefaultRule {
		h.buf = append(h.buf, fp[:]...)
	}
	sum := sha256.Sum256(h.buf)
	return Place{incident.Key(sum[:16]), rule}
}

func (k *Correlator) match(a *alert.Alert, c *incident.Classification) *compiledRule {
next:
	for i := range k.rules {
		if a.Key != "" && k.rules[i].moves {
			continue // its end would not find it
		}
		for _, m := range k.rules[i].matchers {
			if !m.Matches(view(a, c, m.Name)) {
				continue next
			}
		}
		return &k.rules[i]
	}
	switch {
	case a.PerHost && a.Host() != "":
		return &hostRule
	case a.Group != "":
		return &groupRule
	}
	return &defaultRule
}

// view is a label as correlation sees it: what the rules set comes before what
// the sender said, and host is known under that name whatever the sender calls it.
func view(a *alert.Alert, c *incident.Classification, name string) string {
	if value := c.Labels.Get(name); value != "" {
		return value
	}
	switch name {
	case "service":
		return c.Service
	case "host":
		return a.Host()
	}
	return a.Labels.Get(name)
}

// By returns the labels and values of the key, without the empty ones.
func (p Place) By(a *alert.Alert, c *incident.Classification) []alert.Label {
	by := make([]alert.Label, 0, len(p.rule.by))
	for _, name := range p.rule.by {
		if value := view(a, c, name); value != "" {
			by = append(by, alert.Label{Name: strings.Clone(name), Value: strings.Clone(value)})
		}
	}
	return by
}

// titleLimit bounds an incident's title, in bytes.
const titleLimit = 200

// Title names an incident of this place in words: the alert's name, or the
// key's values where the rule puts different alerts together.
func (p Place) Title(a *alert.Alert, c *incident.Classification) string {
	var parts []string
	named := false
	for _, l := range p.By(a, c) {
		named = named || l.Name == "alertname"
		parts = append(parts, l.Value)
	}
	if !named {
		if name := a.Name(); name != "" {
			parts = append([]string{name}, parts...)
		} else if host := a.Host(); host != "" && len(parts) == 0 {
			parts = append(parts, host)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "alert without a name")
	}
	return alert.CutText(strings.Join(parts, " · "), titleLimit)
}

// Policy is what the judgement of a batch depends on beside the events.
type Policy struct {
	incident.Policy
	ReopenWindow, LateWindow time.Duration
	FlapChanges              int
	FlapWindow               time.Duration
	Threshold                Threshold
	// Labels returns the labels that the rules set for an alert, of which only
	// what it said is stored; nil sets none.
	Labels func(*alert.Alert) alert.Labels
}

func (p *Policy) labels(a *alert.Alert) alert.Labels {
	if p.Labels == nil {
		return nil
	}
	return p.Labels(a)
}

// For returns the policy for the named correlation rule.
func (c Config) For(rule string, p incident.Policy) Policy {
	out := Policy{Policy: p, ReopenWindow: time.Duration(c.ReopenWindow), LateWindow: time.Duration(c.LateWindow),
		FlapChanges: c.Flapping.Changes, FlapWindow: time.Duration(c.Flapping.Window)}
	for _, r := range c.Rules {
		if r.Name == rule {
			out.Threshold = r.Threshold
			if r.ReopenWindow != nil {
				out.ReopenWindow = time.Duration(*r.ReopenWindow)
			}
		}
	}
	return out
}

// DefaultConfig is the section correlate: where the file has none.
func DefaultConfig() Config {
	return Config{
		ReopenWindow: model.Duration(30 * time.Minute), LateWindow: model.Duration(10 * time.Minute),
		CloseAfter: model.Duration(24 * time.Hour), StillFiringAfter: model.Duration(time.Hour),
		Flapping: Flapping{Changes: 6, Window: model.Duration(15 * time.Minute)},
	}
}
