package router

import (
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Settings are what a Pipeline works by: the parts of the configuration that
// decide about alerts and incidents.
type Settings struct {
	Classify  Config
	Correlate dedupe.Config
	Incidents incident.Config
	Sources   map[string]SourceSettings
	Identity  Identity
}

// SourceSettings are those of one source.
type SourceSettings struct {
	// VolatileAnnotations are left out of the content.
	VolatileAnnotations []string
	// ResolveAfter ends an alert that was not repeated for so long; 0 never does.
	ResolveAfter time.Duration
}

// rules are Settings, compiled, with the older generations that still have
// firing alerts. They are never changed, only replaced.
type rules struct {
	Settings
	epoch    uint64
	current  placer
	elders   []placer
	policy   incident.Policy
	policies map[string]*dedupe.Policy
}

// placer finds the place of an alert under one generation.
type placer struct {
	id         incident.Generation
	identity   Identity
	classifier *Classifier
	correlator *dedupe.Correlator
	sources    map[string]*dedupe.Identity
}

func newPlacer(id Identity, c Config, settings map[string]SourceSettings) (placer, error) {
	p := placer{id: id.Hash(), identity: id, sources: map[string]*dedupe.Identity{}}
	var err error
	if p.classifier, err = NewClassifier(c); err != nil {
		return p, err
	}
	if p.correlator, err = dedupe.NewCorrelator(id.Correlate); err != nil {
		return p, err
	}
	for name, s := range settings {
		p.sources[name] = p.source(name, s.VolatileAnnotations)
	}
	return p, nil
}

func (p *placer) source(name string, volatile []string) *dedupe.Identity {
	s := p.identity.Source(name)
	return &dedupe.Identity{Namespace: s.Namespace, IgnoreLabels: s.IgnoreLabels, VolatileAnnotations: volatile}
}

// of returns the identity of the alerts of a source.
func (p *placer) of(name string) *dedupe.Identity {
	if id := p.sources[name]; id != nil {
		return id
	}
	return p.source(name, nil) // a source that is configured no more
}

func newRules(s Settings, gens store.Generations) (*rules, error) {
	r := &rules{Settings: s, epoch: gens.Epoch, policies: map[string]*dedupe.Policy{}}
	var err error
	if r.current, err = newPlacer(s.Identity, s.Classify, s.Sources); err != nil {
		return nil, err
	}
	for _, g := range gens.List {
		if g.ID == r.current.id {
			continue
		}
		id, err := ParseIdentity(g.Text)
		if err != nil {
			return nil, fmt.Errorf("router: generation %s: %w", g.ID, err)
		}
		elder, err := newPlacer(id, id.Classify, s.Sources)
		if err != nil {
			return nil, fmt.Errorf("router: generation %s: %w", g.ID, err)
		}
		r.elders = append(r.elders, elder)
	}
	r.policy = incident.Policy{Severities: s.Classify.Severities, Matrix: s.Incidents.Matrix, CloseAfter: time.Duration(s.Correlate.CloseAfter),
		StillFiringAfter: time.Duration(s.Correlate.StillFiringAfter), Retention: time.Duration(s.Incidents.Retention), Teams: Teams(s.Classify)}
	if r.policy.Matrix == nil {
		r.policy.Matrix = incident.DefaultMatrix()
	}
	names := []string{dedupe.DefaultRule, ""}
	for _, rule := range s.Correlate.Rules {
		names = append(names, rule.Name)
	}
	for _, name := range names {
		p := s.Correlate.For(name, r.policy)
		p.Labels = func(a *alert.Alert) alert.Labels {
			class, _ := r.current.classifier.Classify(a, nil)
			return class.Labels
		}
		r.policies[name] = &p
	}
	return r, nil
}

// policyOf returns the policy of a correlation rule, the default one for a rule
// that only an older generation had.
func (r *rules) policyOf(rule string) *dedupe.Policy {
	if p := r.policies[rule]; p != nil {
		return p
	}
	return r.policies[dedupe.DefaultRule]
}

// Teams are the teams that metrics name: those configured, or else those that
// the rules name.
func Teams(c Config) []string {
	if len(c.Teams) > 0 {
		return c.Teams
	}
	var out []string
	for _, r := range c.Rules {
		if t := r.Set.Team; t != "" && expand(t, &alert.Alert{}, nil) == t && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}
