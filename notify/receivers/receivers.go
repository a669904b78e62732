// Package receivers makes the integrations of the receivers that a configuration
// names. It is the list of all the tools that can be notified.
package receivers

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/call"
	"github.com/tocsin-gateway/tocsin/notify/email"
	"github.com/tocsin-gateway/tocsin/notify/generic"
	"github.com/tocsin-gateway/tocsin/notify/jira"
	"github.com/tocsin-gateway/tocsin/notify/module"
	"github.com/tocsin-gateway/tocsin/notify/msteams"
	"github.com/tocsin-gateway/tocsin/notify/opsgenie"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/pagerduty"
	"github.com/tocsin-gateway/tocsin/notify/rocketchat"
	"github.com/tocsin-gateway/tocsin/notify/rootly"
	"github.com/tocsin-gateway/tocsin/notify/slack"
	"github.com/tocsin-gateway/tocsin/notify/statuspage"
	"github.com/tocsin-gateway/tocsin/notify/threema"
	"github.com/tocsin-gateway/tocsin/notify/victorops"
	"github.com/tocsin-gateway/tocsin/notify/webhook"
	"github.com/tocsin-gateway/tocsin/notify/zoom"
)

// Options are what the integrations are made of.
type Options struct {
	// Alertmanager holds the receivers; nil means that there are none.
	Alertmanager *amconfig.Config
	Config       Config
	// Own are the blocks of our own, by receiver.
	Own map[string]*Own
	// AckURL is where a telephone call leads that is answered; nil if nowhere.
	AckURL    call.AckURL
	Templates *notify.Templates
	Log       *slog.Logger
}

// New makes the integrations of all receivers, by target.
func New(o Options) (map[string]*notify.Integration, error) {
	all := map[string]*notify.Integration{}
	if o.Alertmanager == nil {
		return all, nil
	}
	dial, err := Dialing(o.Config.DenyNetworks)
	if err != nil {
		return nil, err
	}
	for n := range o.Alertmanager.Receivers {
		r := &o.Alertmanager.Receivers[n]
		b := &building{receiver: r, templates: o.Templates, dial: dial, log: o.Log, slack: o.Config.Slack, own: o.Own[r.Name], ackURL: o.AckURL}
		if b.all(); b.err != nil {
			return nil, b.err
		}
		for _, in := range b.made {
			if rate, ok := o.Config.Rates[in.Name]; ok { // else the integration's own
				in.Rate = notify.Rate{Messages: rate.Messages, Per: time.Duration(rate.Per)}
			}
			if storm, ok := o.Config.Storms[in.Name]; ok {
				in.Storm = notify.Storm{Messages: storm.Messages, Within: time.Duration(storm.Within)}
			}
			in.Pages = slices.Contains(paging, in.Name)
			all[in.Target()] = in
		}
	}
	return all, nil
}

func Dialing(networks []string) (outgoing.DialFunc, error) {
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
	own       *Own
	slack     slack.Options
	ackURL    call.AckURL
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
	b.alertmanagers()
	b.ours()
	if b.err == nil {
		b.longTail()
	}
}

// alertmanagers are the blocks of Alertmanager that have a sender of ours.
func (b *building) alertmanagers() {
	r := b.receiver
	for n, c := range r.SlackConfigs {
		threads := slack.Threads(c)
		b.add("slack", n, hears{c.SendResolved(), threads, threads}, func() (notify.Sender, error) { return slack.New(c, b.templates, b.dial, b.slack) })
	}
	for n, c := range r.RocketchatConfigs {
		b.add("rocketchat", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return rocketchat.New(c, b.templates, b.dial) })
	}
	for n, c := range r.MSTeamsV2Configs {
		b.add("msteamsv2", n, hears{resolved: c.SendResolved()}, func() (notify.Sender, error) { return msteams.New(c, b.templates, b.dial) })
	}
	for n, c := range r.PagerdutyConfigs {
		b.add("pagerduty", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return pagerduty.New(c, b.templates, b.dial) })
	}
	for n, c := range r.OpsGenieConfigs {
		b.add("opsgenie", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return opsgenie.New(c, b.templates, b.dial) })
	}
	for n, c := range r.VictorOpsConfigs {
		b.add("victorops", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return victorops.New(c, b.templates, b.dial) })
	}
	for n, c := range r.JiraConfigs {
		b.add("jira", n, hears{c.SendResolved(), true, true}, func() (notify.Sender, error) { return jira.New(c, b.templates, b.dial) })
	}
	for n, c := range r.WebhookConfigs {
		b.add("webhook", n, hears{resolved: c.SendResolved()}, func() (notify.Sender, error) { return webhook.New(c, b.templates, b.dial) })
	}
	for n, c := range r.EmailConfigs {
		b.add("email", n, hears{resolved: c.SendResolved()}, func() (notify.Sender, error) { return email.New(c, b.templates, b.dial) })
	}
}

// ours are the blocks that Alertmanager does not have.
func (b *building) ours() {
	if b.own == nil {
		return
	}
	says := func(c *block.Common, acknowledged, recognises bool) hears {
		return hears{block.Or(c.SendResolved, true), block.Or(c.Acknowledges, acknowledged), recognises}
	}
	for n, c := range b.own.SignedWebhooks {
		b.add("signed_webhook", n, says(&c.Common, true, true), func() (notify.Sender, error) { return webhook.NewSigned(c, b.templates, b.dial) })
	}
	for n, c := range b.own.JSM {
		b.add("jsm", n, hears{block.Or(c.SendResolved, true), true, true}, func() (notify.Sender, error) { return opsgenie.NewJSM(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Zoom {
		b.add("zoom", n, says(&c.Common, false, false), func() (notify.Sender, error) { return zoom.New(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Threema {
		b.add("threema", n, says(&c.Common, false, false), func() (notify.Sender, error) { return threema.New(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Statuspage {
		b.add("statuspage", n, says(&c.Common, false, true), func() (notify.Sender, error) { return statuspage.New(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Rootly {
		b.add("rootly", n, says(&c.Common, true, true), func() (notify.Sender, error) { return rootly.New(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Generic {
		b.add("generic", n, says(&c.Common, true, false), func() (notify.Sender, error) { return generic.New(c, b.templates, b.dial) })
	}
	for n, c := range b.own.Calls {
		b.add("call", n, says(&c.Common, false, false), func() (notify.Sender, error) { return call.New(c, b.templates, b.dial, b.ackURL) })
	}
}

// longTail are the blocks that the Alertmanager module sends itself.
func (b *building) longTail() {
	list, err := module.New(*b.receiver, b.templates, b.dial, b.log)
	if err != nil {
		b.err = err
		return
	}
	for n := range list {
		b.made = append(b.made, &list[n])
	}
}

// paging are the integrations that call people, or open something that stays open
// until it is resolved there.
var paging = []string{"call", "incidentio", "jsm", "opsgenie", "pagerduty", "rootly", "statuspage", "victorops"}

// Names are those of the integrations, as in metrics and in notify.rates.
func Names() []string {
	return []string{"call", "discord", "email", "generic", "incidentio", "jira", "jsm", "mattermost", "msteams", "msteamsv2", "opsgenie", "pagerduty", "pushover",
		"rocketchat", "rootly", "signed_webhook", "slack", "sns", "statuspage", "telegram", "threema", "victorops", "webex", "webhook", "wechat", "zoom"}
}
