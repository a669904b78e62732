package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/notify/route"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/web"
)

// loads remember how it went with the configuration.
type loads struct {
	mu sync.Mutex
	// loaded is when the one in force was, tried when it was last tried, and err what
	// was wrong with that one.
	loaded, tried time.Time
	err           error
}

func (l *loads) good(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded, l.tried, l.err = now, now, nil
}

func (l *loads) bad(now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried, l.err = now, err
}

// sources says what each source has sent.
func (g *Gateway) sources() []web.Source {
	var out []web.Source
	for _, c := range g.ingest.Counts() {
		s := web.Source{Name: c.Source, Format: c.Format, Spools: c.Spools, LastReceived: c.LastReceived, Received: c.Received, Minutes5: c.Minutes5, Hour: c.Hour,
			Verdicts: map[string]uint64{}, DeadLetters: c.DeadLetters}
		for v, n := range c.Verdicts {
			if n > 0 {
				s.Verdicts[v.String()] = n
			}
		}
		out = append(out, s)
	}
	return out
}

// configuration is what is in force.
func (g *Gateway) configuration() web.ConfigJSON {
	c, now := g.config.Load(), g.opts.Now()
	v := web.ConfigJSON{Hash: c.Hash, Text: c.String(), ReloadOK: true}
	g.loads.mu.Lock()
	v.LoadedAt, v.TriedAt = g.loads.loaded.UTC(), g.loads.tried.UTC()
	if g.loads.err != nil {
		v.ReloadOK, v.ReloadError = false, g.loads.err.Error()
	}
	g.loads.mu.Unlock()
	for _, w := range c.Warnings {
		v.Warnings = append(v.Warnings, w.String())
	}
	classified, correlated := g.Pipeline.Hits()
	for i := range c.Classify.Rules {
		r := &c.Classify.Rules[i]
		v.Classify = append(v.Classify, web.RuleJSON{Name: r.Name, If: conditions(r), Then: effects(r), Hits: classified[r.Name]})
	}
	for _, r := range c.Correlate.Rules {
		v.Correlate = append(v.Correlate, web.RuleJSON{Name: r.Name, If: r.Matchers, Then: together(r), Hits: correlated[r.Name]})
	}
	for _, built := range [][2]string{{dedupe.DefaultRule, "built in, for what no rule matches: by alertname, service, cluster and environment"},
		{dedupe.HostRule, "built in, for senders that think in hosts: by host"}, {dedupe.GroupRule, "built in, for senders that gather alerts by names of their own"}} {
		v.Correlate = append(v.Correlate, web.RuleJSON{Name: built[0], Then: []string{built[1]}, Hits: correlated[built[0]]})
	}
	if t := g.told.Load(); t != nil {
		t.tree.Walk(func(r *route.Route) {
			v.Routes = append(v.Routes, web.RouteJSON{Receiver: r.Receiver, Path: r.Path})
		})
	}
	until := g.muter.all.Load().Windows.Until(now)
	for n := range c.Maintenance {
		v.Maintenance = append(v.Maintenance, window(&c.Maintenance[n], until[n]))
	}
	onCall := g.guide.Load().OnCall(now)
	for _, name := range slices.Sorted(maps.Keys(onCall)) {
		v.Rotas = append(v.Rotas, web.RotaJSON{Name: name, OnCall: onCall[name]})
	}
	return v
}

// conditions says in words when a rule matches.
func conditions(r *router.Rule) []string {
	out := slices.Clone(r.Matchers)
	for _, a := range r.Annotations {
		out = append(out, "annotation "+a)
	}
	if len(r.Sources) > 0 {
		out = append(out, "source is "+strings.Join(r.Sources, " or "))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Capture)) {
		out = append(out, name+" is like "+r.Capture[name])
	}
	return out
}

// effects says in words what a rule does.
func effects(r *router.Rule) []string {
	s, out := r.Set, []string{}
	for _, one := range [][2]string{{"severity", s.Severity}, {"impact", s.Impact}, {"urgency", s.Urgency}, {"priority", s.Priority}, {"category", s.Category},
		{"service", s.Service}, {"team", s.Team}, {"runbook", s.Runbook}} {
		if one[1] != "" {
			out = append(out, one[0]+" = "+one[1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		out = append(out, "label "+name+" = "+s.Labels[name])
	}
	if r.Suppress {
		out = append(out, "opens nothing")
	}
	if r.Stop {
		out = append(out, "no later rule")
	}
	return out
}

// together says in words what a rule makes one incident of.
func together(r dedupe.Rule) []string {
	out := []string{"one incident by " + strings.Join(r.By, ", ")}
	if r.Threshold.Count > 1 {
		out = append(out, fmt.Sprintf("from %d on within %s", r.Threshold.Count, r.Threshold.Window))
	}
	return out
}

func window(w *mute.Window, until time.Time) web.WindowJSON {
	v := web.WindowJSON{Name: w.Name, Matchers: w.Matchers, When: strings.Join(w.TimeIntervals, " or "), Timezone: cmp.Or(w.Timezone, "UTC"), Owner: w.Owner, Comment: w.Comment}
	if w.From != "" || w.To != "" {
		v.When = strings.TrimSpace(v.When + " from " + w.From + " to " + w.To)
	}
	if !until.IsZero() {
		until = until.UTC()
		v.OpenUntil = &until
	}
	return v
}
