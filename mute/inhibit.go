package mute

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	amcommon "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Inhibition are the inhibit_rules of a configuration, as
// https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule
// describes them: while an alert fires that matches the source side of a rule,
// those that match its target side, with the same values of the equal labels, are
// not told. An alert that matches both sides inhibits none that does so as well.
type Inhibition struct{ rules []inhibitRule }

type inhibitRule struct {
	// text is how the rule is named.
	text           string
	source, target labels.Matchers
	equal          []string
}

// NewInhibition compiles the rules, which Alertmanager's loader has checked.
func NewInhibition(rules []amcommon.InhibitRule) *Inhibition {
	in := &Inhibition{}
	for n := range rules {
		r := &rules[n]
		one := inhibitRule{source: sideOf(r.SourceMatch, r.SourceMatchRE, r.SourceMatchers), target: sideOf(r.TargetMatch, r.TargetMatchRE, r.TargetMatchers)}
		one.equal = slices.Compact(slices.Sorted(slices.Values(r.Equal)))
		one.text = fmt.Sprintf("rule %d", n+1)
		if r.Name != "" {
			one.text = fmt.Sprintf("rule %q", r.Name)
		}
		var texts []string
		for _, m := range one.source {
			texts = append(texts, m.String())
		}
		one.text += ": source_matchers " + strings.Join(texts, ", ")
		in.rules = append(in.rules, one)
	}
	return in
}

// sideOf joins the present and the deprecated matchers of one side of a rule.
func sideOf(equal map[string]string, regexps amcommon.MatchRegexps, matchers amcommon.Matchers) (ms labels.Matchers) {
	add := func(t labels.MatchType, name, value string) {
		if m, err := labels.NewMatcher(t, name, value); err == nil { // the loader has checked it
			ms = append(ms, m)
		}
	}
	for name, value := range equal {
		add(labels.MatchEqual, name, value)
	}
	for name, value := range regexps {
		add(labels.MatchRegexp, name, value.String())
	}
	slices.SortFunc(ms, func(a, b *labels.Matcher) int { return cmp.Compare(a.String(), b.String()) })
	return append(ms, matchers...)
}

func holds(ms labels.Matchers, l alert.Labels) bool {
	for _, m := range ms {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// key stands for what has to be equal at the source and at the target of a rule.
// It is a hash, because senders choose how long values are.
func (r *inhibitRule) key(l alert.Labels) (key [16]byte) {
	b := make([]byte, 0, 128)
	for _, name := range r.equal {
		value := l.Get(name)
		b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	}
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}

// source is what one incident has for the source side of a rule: an alert with
// these values of the equal labels.
type source struct {
	rule int32
	key  [16]byte
	// oneSided: it does not match the target side as well.
	oneSided bool
}

// sources adds those of an alert that fires.
func (in *Inhibition) sources(l alert.Labels, to map[source]struct{}) {
	for n := range in.rules {
		if r := &in.rules[n]; holds(r.source, l) {
			to[source{int32(n), r.key(l), !holds(r.target, l)}] = struct{}{}
		}
	}
}

// maySource reports whether alerts that share labels may be on the source side of
// a rule, and mayTarget on the target side.
func (in *Inhibition) maySource(shared map[string]string) bool {
	return in != nil && slices.ContainsFunc(in.rules, func(r inhibitRule) bool { return mayMatch(r.source, shared) })
}

func (in *Inhibition) mayTarget(shared map[string]string) bool {
	return in != nil && slices.ContainsFunc(in.rules, func(r inhibitRule) bool { return mayMatch(r.target, shared) })
}

// found has the references of the incidents that sources are of. What is put
// first is kept.
type found map[source]string

// put adds the sources of an incident.
func (f found) put(s source, of string) {
	if _, ok := f[s]; !ok {
		f[s] = of
	}
}

// inhibits says which rule hides an alert, and because of which incident.
func (in *Inhibition) inhibits(l alert.Labels, f found) (rule *inhibitRule, by string, ok bool) {
	for n := range in.rules {
		r := &in.rules[n]
		if !holds(r.target, l) {
			continue
		}
		key := r.key(l)
		if by, ok := f[source{int32(n), key, true}]; ok {
			return r, by, true
		}
		if holds(r.source, l) {
			continue // what matches both sides inhibits none that does too
		}
		if by, ok := f[source{int32(n), key, false}]; ok {
			return r, by, true
		}
	}
	return nil, "", false
}
