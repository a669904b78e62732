package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/notify/route"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/web/answers"
)

// told says who is told of an incident, how often, and what hides it from them.
// A nil told tells nobody.
type told struct {
	config       *amconfig.Config
	tree         *route.Route
	integrations map[string]*notify.Integration
	// byReceiver are the targets of each receiver, in order.
	byReceiver map[string][]string
	// muted are what the time intervals of each route hide.
	muted map[*route.Route]func(now time.Time) (notify.Hidden, bool)
}

// receivers makes what the configuration says about telling people; nil if it
// has no routes.
func (g *Gateway) receivers(c *config.Config) (*told, error) {
	am := c.Alertmanager
	if am == nil || am.Route == nil {
		return nil, nil
	}
	t := &told{config: am, tree: route.New(am.Route), byReceiver: map[string][]string{}, muted: map[*route.Route]func(time.Time) (notify.Hidden, bool){}}
	intervals := mute.Intervals(am)
	t.tree.Walk(func(r *route.Route) { t.muted[r] = intervals(r.MuteTimeIntervals, r.ActiveTimeIntervals) })
	if g.notifier == nil {
		return t, nil
	}
	templates, err := notify.NewTemplates(am.Templates, g.opts.External)
	if err != nil {
		return nil, err
	}
	t.integrations, err = g.opts.Receivers(receivers.Options{Alertmanager: am, Own: c.Receivers, Config: c.Notify, Templates: templates, AckURL: g.answerURL, Log: g.log})
	if err != nil {
		return nil, err
	}
	for target, in := range t.integrations {
		t.byReceiver[in.Receiver] = append(t.byReceiver[in.Receiver], target)
	}
	for _, targets := range t.byReceiver {
		slices.Sort(targets)
	}
	return t, nil
}

// muting makes what hides messages.
func (g *Gateway) muting(c *config.Config) (*mute.All, error) {
	o := mute.Options{Store: g.store, Silences: g.silences, Labels: g.Pipeline.RuleLabels, Metrics: g.muteMetrics, Log: g.log}
	var err error
	if o.Windows, err = mute.NewWindows(c.Maintenance, c.Alertmanager); err != nil {
		return nil, err
	}
	if o.Services, err = mute.NewGraph(c.Services); err != nil {
		return nil, err
	}
	if c.Alertmanager != nil {
		o.Inhibition = mute.NewInhibition(c.Alertmanager.InhibitRules)
	}
	return mute.New(o), nil
}

// muter asks what hides messages now.
type muter struct {
	silences *silences.Set
	all      atomic.Pointer[mute.All]
}

// Muted implements notify.Muter.
func (m *muter) Muted(ctx context.Context, i *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	// Nobody is told while it is not known what is silenced.
	if _, err := m.silences.View(ctx); err != nil {
		return notify.Hidden{}, false, err
	}
	return m.all.Load().Muted(ctx, i, now)
}

// targets are those who are told of an incident as it is.
func (t *told) targets(i *incident.Incident) []incident.Target {
	var out []incident.Target
	for _, r := range t.tree.Match(match.Of(i)) {
		for _, target := range t.byReceiver[r.Receiver] {
			if !slices.ContainsFunc(out, func(o incident.Target) bool { return o.Name == target }) {
				out = append(out, incident.Target{Name: target, Receiver: r.Receiver, Wait: r.GroupWait})
			}
		}
	}
	for _, c := range i.Proceedings().Called {
		for _, target := range t.byReceiver[c.Receiver] {
			if !slices.ContainsFunc(out, func(o incident.Target) bool { return o.Name == target }) {
				out = append(out, incident.Target{Name: target, Receiver: c.Receiver})
			}
		}
	}
	return out
}

// prompt reports whether some are told within the second.
func (t *told) prompt() bool {
	prompt := false
	t.tree.Walk(func(r *route.Route) { prompt = prompt || r.GroupWait < time.Second })
	return prompt
}

// settings are those of the worker.
func (t *told) settings(c *config.Config, m notify.Muter, links func(*incident.Incident, string) notify.Links) *notify.Settings {
	if t == nil {
		return &notify.Settings{}
	}
	return &notify.Settings{
		Integrations: t.integrations, Links: links, Mute: m, Fallback: c.Notify.Fallback,
		FallbackAfter: time.Duration(c.Notify.FallbackAfter), GiveUpAfter: time.Duration(c.Notify.GiveUpAfter),
		Severities: c.Classify.Severities,
		Timing: func(i *incident.Incident, receiver string) notify.Timing {
			timing := t.timing(i, receiver)
			timing.RepeatAcknowledged = c.Notify.RepeatAcknowledged
			return timing
		},
	}
}

// timing is that of the first route which leads to the receiver, and of the root
// if none does any more.
func (t *told) timing(i *incident.Incident, receiver string) notify.Timing {
	for _, r := range t.tree.Match(match.Of(i)) {
		if r.Receiver == receiver {
			return notify.Timing{Routed: true, GroupInterval: r.GroupInterval, RepeatInterval: r.RepeatInterval, Labels: r.Labels,
				Muted: t.muted[r]}
		}
	}
	for _, c := range i.Proceedings().Called {
		if c.Receiver == receiver { // who was called in hears what is news, and nothing twice
			return notify.Timing{Routed: true, GroupInterval: t.tree.GroupInterval, Called: &c}
		}
	}
	return notify.Timing{GroupInterval: t.tree.GroupInterval, RepeatInterval: t.tree.RepeatInterval}
}

// receiversOf names those that an incident is routed to, each once.
func (g *Gateway) receiversOf(i *incident.Incident) []string {
	t := g.told.Load()
	if t == nil {
		return nil
	}
	var names []string
	for _, r := range t.tree.Match(match.Of(i)) {
		if !slices.Contains(names, r.Receiver) {
			names = append(names, r.Receiver)
		}
	}
	return names
}

// receiverNames are all of them, in the order of the file.
func (g *Gateway) receiverNames() []string {
	t := g.told.Load()
	if t == nil {
		return nil
	}
	names := make([]string, len(t.config.Receivers))
	for n := range t.config.Receivers {
		names[n] = t.config.Receivers[n].Name
	}
	return names
}

// alertmanagerConfig is its part of the file, with <secret> in place of secrets.
func (g *Gateway) alertmanagerConfig() string {
	t := g.told.Load()
	if t == nil {
		return ""
	}
	return t.config.String()
}

// unhide lets all that may have been hidden be looked at again.
func (g *Gateway) unhide(ctx context.Context) error {
	if err := notify.Rearm(ctx, g.store, g.store.Now().Add(2*silences.Agreement)); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// answerURL is where a telephone company tells which key was pressed; empty if
// it cannot reach us.
func (g *Gateway) answerURL(m *notify.Message, _ string) string {
	return answers.CallURL(m.Links.Acknowledge)
}

// rerouteAgain is when rerouting that failed is tried again.
const rerouteAgain = 10 * time.Second

// reroute lets new receivers hear of what is open whenever the routes have changed.
func (g *Gateway) reroute(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.rerouting:
		}
		for {
			err := errors.Join(g.Pipeline.Reroute(ctx), g.review(ctx))
			if err == nil || ctx.Err() != nil {
				break
			}
			g.log.WarnContext(ctx, "the new configuration does not hold for all open incidents yet", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(rerouteAgain):
			}
		}
	}
}

// review has open incidents looked at if this program, or the part of the configuration
// that duties come from, is another one than the last time.
func (g *Gateway) review(ctx context.Context) error {
	c := g.config.Load()
	version, err := process.Version(c.Process, c.ProcessOptions())
	if err != nil {
		return err
	}
	return g.Pipeline.Review(ctx, g.opts.Version+" "+version)
}
