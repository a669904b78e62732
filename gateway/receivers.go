package gateway

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/notify/route"
)

// told says who is told of an incident, and how often.
type told struct {
	tree         *route.Route
	integrations map[string]*notify.Integration
	// byReceiver are the targets of each receiver, in order.
	byReceiver map[string][]string
	external   string
}

// receivers makes what the configuration says about telling people; nil if it
// names nobody, or if nobody is to be told.
func (g *Gateway) receivers(c *config.Config) (*told, error) {
	if g.notifier == nil || c.Alertmanager == nil || c.Alertmanager.Route == nil {
		return nil, nil
	}
	external, err := url.Parse(g.opts.External)
	if err != nil {
		return nil, fmt.Errorf("gateway: external URL: %w", err)
	}
	templates, err := notify.NewTemplates(c.Alertmanager.Templates, external)
	if err != nil {
		return nil, err
	}
	t := &told{tree: route.New(c.Alertmanager.Route), byReceiver: map[string][]string{}, external: strings.TrimSuffix(g.opts.External, "/")}
	t.integrations, err = g.opts.Receivers(receivers.Options{Alertmanager: c.Alertmanager, Own: c.Receivers, Config: c.Notify, Templates: templates, Log: g.log})
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

// targets are those who are told of an incident as it is.
func (t *told) targets(i *incident.Incident) []incident.Target {
	var out []incident.Target
	for _, r := range t.tree.Match(match.Of(i)) {
		for _, target := range t.byReceiver[r.Receiver] {
			if !slices.ContainsFunc(out, func(o incident.Target) bool { return o.Name == target }) {
				out = append(out, incident.Target{Name: target, Wait: r.GroupWait})
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

// settings are those of the worker. A nil t tells nobody.
func (t *told) settings(c *config.Config) *notify.Settings {
	if t == nil {
		return &notify.Settings{}
	}
	return &notify.Settings{
		Integrations: t.integrations, Links: t.links, Fallback: c.Notify.Fallback,
		FallbackAfter: time.Duration(c.Notify.FallbackAfter), GiveUpAfter: time.Duration(c.Notify.GiveUpAfter),
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
			return notify.Timing{Routed: true, GroupWait: r.GroupWait, GroupInterval: r.GroupInterval, RepeatInterval: r.RepeatInterval, Labels: r.Labels}
		}
	}
	return notify.Timing{GroupInterval: t.tree.GroupInterval, RepeatInterval: t.tree.RepeatInterval}
}

func (t *told) links(i *incident.Incident, _ string) notify.Links {
	if t.external == "" {
		return notify.Links{}
	}
	return notify.Links{Incident: t.external + "/incidents/" + i.Reference}
}
