package router

import (
	"fmt"
	"slices"
	"sync/atomic"
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
	// Heartbeats are the messages that are expected.
	Heartbeats []Heartbeat
	Identity   Identity
	// Targets says who is told of an incident; nil tells nobody.
	Targets func(*incident.Incident) []incident.Target
	// Guide is the team's process; nil asks for nothing.
	Guide Guide
	// Announcements are what people are told that is no incident.
	Announcements []Announcement
	// Stands reports whether something still has the times that people were told of by
	// the name of an announcement; nil: everything has.
	Stands func(name string, begins, ends time.Time) bool
	// Prompt: some are told of an incident sooner than jobs are polled for.
	Prompt bool
}

// SourceSettings are those of one source.
type SourceSettings struct {
	// VolatileAnnotations are left out of the content.
	VolatileAnnotations []string
	// ResolveAfter ends an alert that was not repeated for so long; 0 never does.
	ResolveAfter time.Duration
	// Reconcile is how often what is open here is compared with what is open at the
	// source; 0 is never.
	Reconcile time.Duration
	// WritesBack: what people do here is said at the source.
	WritesBack bool
}

// rules are Settings, compiled, with the older generations that still have
// firing alerts. They are never changed, only replaced.
//
// The current generation is the store's, so that all processes put an alert in
// the same place while they do not have the same configuration.
type rules struct {
	Settings
	epoch uint64
	// own and classifier are of the settings.
	own        incident.Generation
	classifier *Classifier
	current    placer
	elders     []placer
	policy     incident.Policy
	policies   map[string]*dedupe.Policy
	heartbeats []*heartbeat
	// classified counts the alerts that each rule of the classifier matched, correlated
	// those that each rule placed; nil before use.
	classified []*atomic.Uint64
	correlated map[string]*atomic.Uint64
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
	own, err := newPlacer(s.Identity, s.Classify, s.Sources)
	if err != nil {
		return nil, err
	}
	r := &rules{Settings: s, epoch: gens.Epoch, own: own.id, classifier: own.classifier, policies: map[string]*dedupe.Policy{}}
	if r.heartbeats, err = newHeartbeats(s.Heartbeats); err != nil {
		return nil, err
	}
	live := make([]placer, 0, len(gens.List))
	for _, g := range gens.List {
		if g.ID == own.id {
			live = append(live, own)
			continue
		}
		id, err := ParseIdentity(g.Text)
		if err != nil {
			return nil, fmt.Errorf("router: generation %s: %w", g.ID, err)
		}
		other, err := newPlacer(id, id.Classify, s.Sources)
		if err != nil {
			return nil, fmt.Errorf("router: generation %s: %w", g.ID, err)
		}
		live = append(live, other)
	}
	if len(live) == 0 { // nobody has set any yet
		live = append(live, own)
	}
	r.elders, r.current = live[:len(live)-1], live[len(live)-1]
	r.policy = incident.Policy{Severities: s.Classify.Severities, Matrix: s.Incidents.Matrix, CloseAfter: time.Duration(s.Correlate.CloseAfter),
		StillFiringAfter: time.Duration(s.Correlate.StillFiringAfter), Retention: time.Duration(s.Incidents.Retention), Teams: Teams(s.Classify), Targets: s.Targets}
	if s.Guide != nil { // a nil Guide is not the same as none
		r.policy.Guide = s.Guide
	}
	if r.policy.Matrix == nil {
		r.policy.Matrix = incident.DefaultMatrix()
	}
	names := []string{dedupe.DefaultRule, dedupe.HostRule, dedupe.GroupRule, ""}
	for _, rule := range s.Correlate.Rules {
		names = append(names, rule.Name)
	}
	for _, name := range names {
		p := s.Correlate.For(name, r.policy)
		p.Labels = func(a *alert.Alert) alert.Labels {
			class, _ := r.classify(a, nil)
			return class.Labels
		}
		r.policies[name] = &p
	}
	return r, nil
}

// overruled reports whether another process has other settings, which it loaded later.
func (r *rules) overruled() bool { return r.own != r.current.id }

// classify says how bad an alert is and whose. What its place derives from is as
// the current generation says, all else as the settings do.
func (r *rules) classify(a *alert.Alert, trace func(Decision)) (c incident.Classification, known bool) {
	return r.classifyCounted(a, trace, nil)
}

// classifyCounted is classify, which counts the rules that matched if hits is not nil.
func (r *rules) classifyCounted(a *alert.Alert, trace func(Decision), hits []*atomic.Uint64) (c incident.Classification, known bool) {
	c, known = r.classifier.classify(a, trace, hits)
	if r.overruled() {
		current, _ := r.current.classifier.Classify(a, nil)
		c.Service, c.Labels, c.SuppressedBy = current.Service, current.Labels, current.SuppressedBy
		if trace != nil {
			trace(Decision{Stage: "generation", Text: "service, labels, key and suppression are as the configuration " + r.current.id.String() + " says, which another gateway loaded later"})
		}
	}
	return c, known
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
