// Package receivers makes the integrations of the receivers that a configuration
// names. It is the list of all the tools that can be notified.
package receivers

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/msteams"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/rocketchat"
	"github.com/tocsin-gateway/tocsin/notify/slack"
	"github.com/tocsin-gateway/tocsin/notify/webhook"
)

// Options are what the integrations are made of.
type Options struct {
	// Alertmanager holds the receivers; nil means that there are none.
	Alertmanager *amconfig.Config
	Config       notify.Config
	// Slack is what the file says of Slack beside Alertmanager's blocks.
	Slack     slack.Options
	Templates *notify.Templates
	Log       *slog.Logger
}

// New makes the integrations of all receivers, by target.
func New(o Options) (map[string]*notify.Integration, error) {
	all := map[string]*notify.Integration{}
	if o.Alertmanager == nil {
		return all, nil
	}
	dial, err := dialing(o.Config.DenyNetworks)
	if err != nil {
		return nil, err
	}
	for n := range o.Alertmanager.Receivers {
		r := &o.Alertmanager.Receivers[n]
		b := &building{receiver: r, templates: o.Templates, dial: dial, log: o.Log, slack: o.Slack}
		if b.all(); b.err != nil {
			return nil, b.err
		}
		for _, in := range b.made {
			if rate, ok := o.Config.Rates[in.Name]; ok {
				in.Rate = notify.Rate{Messages: rate.Messages, Per: time.Duration(rate.Per)}
			}
			all[in.Target()] = in
		}
	}
	return all, nil
}

func dialing(networks []string) (outgoing.DialFunc, error) {
	deny := outgoing.DefaultDeny()
	if networks != nil {
		deny = nil
	}
	for _, text := range networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("notify: deny_networks: %w", err) // unreachable: config has checked it
		}
		deny = append(deny, p)
	}
	return outgoing.Guard(deny), nil
}

// building makes the integrations of one receiver.
type building struct {
	receiver  *amconfig.Receiver
	templates *notify.Templates
	dial      outgoing.DialFunc
	log       *slog.Logger
	slack     slack.Options
	made      []*notify.Integration
	err       error
}

// hears says what an integration is told beside the beginning of an incident.
type hears struct{ resolved, acknowledged, recognises bool }

func (b *building) add(name string, index int, h hears, make func() (notify.Sender, error)) {
	if b.err != nil {
		return
	}
	sender, err := make()
	if err != nil {
		b.err = fmt.Errorf("receiver %s: %s_configs[%d]: %w", b.receiver.Name, name, index, err)
		return
	}
	b.made = append(b.made, &notify.Integration{Name: name, Index: index, Receiver: b.receiver.Name, Sender: sender,
		SendResolved: h.resolved, Acknowledges: h.acknowledged, Recognises: h.recognises})
}

func (b *building) all() {
	for n, c := range b.receiver.SlackConfigs {
		threads := slack.Threads(c)
		b.add("slack", n, hears{c.SendResolved(), threads, threads}, func() (notify.Sender, error) { return slack.New(c, b.templates, b.dial, b.slack) })
	}
	for n, c := range b.receiver.RocketchatConfigs {
		b.add("rocketchat", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return rocketchat.New(c, b.templates, b.dial) })
	}
	for n, c := range b.receiver.MSTeamsV2Configs {
		b.add("msteamsv2", n, hears{resolved: c.SendResolved()}, func() (notify.Sender, error) { return msteams.New(c, b.templates, b.dial) })
	}
	for n, c := range b.receiver.WebhookConfigs {
		b.add("webhook", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return webhook.New(c, b.templates, b.dial) })
	}
}

// Names are those of the integrations, as in metrics and in notify.rates.
func Names() []string {
	return []string{"discord", "email", "incidentio", "jira", "mattermost", "msteams", "msteamsv2", "opsgenie", "pagerduty", "pushover",
		"rocketchat", "slack", "sns", "telegram", "victorops", "webex", "webhook", "wechat"}
}
