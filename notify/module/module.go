// Package module is the one way to the notifiers of the Alertmanager module.
// Only those for the long tail of tools are used: Discord, incident.io,
// Mattermost, Microsoft Teams' old connectors, Pushover, SNS, Telegram, Webex
// and WeChat; the others have notifiers of ours.
//
// They are guarded, because they are not made to be called from elsewhere and
// each of them has its traps. Their texts are written by us, so that what came
// with an alert cannot become markup, a template that fails costs nobody the
// message, and no limit of a tool is passed. They are called one at a time, for a
// bounded time, and what does not come back is left behind with its connections
// closed. Their answers are bounded, redirects are not followed, and their errors
// are read for what to do next and show no secrets.
//
// No other package may import the module's notify, config/receiver and
// eventrecorder, but for tests that use a notifier of the module as a control: they
// change with every version of it. Of its notify/... the types of the configuration
// may be used elsewhere, and nothing more.
package module

import (
	"errors"
	"fmt"
	"log/slog"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	amnotify "github.com/prometheus/alertmanager/notify"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// The module reads this variable at each request; nobody else writes it.
func init() { amnotify.UserAgentHeader = outgoing.UserAgent }

// New returns the integrations of a receiver that the Alertmanager module tells,
// named as there. The receiver must come from the module's loader; it is not
// changed. Dial is how connections are made; nil means without a Guard. An error
// names the block that cannot be used.
func New(r amconfig.Receiver, t *notify.Templates, dial outgoing.DialFunc, log *slog.Logger) ([]notify.Integration, error) {
	log = slog.New(warnings{log.Handler()}).With("receiver", r.Name)
	var out []notify.Integration
	var all error
	for _, b := range blocks(&r) {
		s, err := newSender(b, t, dial, log.With("integration", b.name))
		if err != nil {
			all = errors.Join(all, fmt.Errorf("notify: receiver %s: %s_configs[%d]: %w", r.Name, b.name, b.index, err))
			continue
		}
		if b.unguarded && dial != nil {
			log.Warn("use_aws_http_client: the networks that no message may go to are not kept from this one", "integration", b.name, "index", b.index)
		}
		out = append(out, notify.Integration{Name: b.name, Index: b.index, Receiver: r.Name, Sender: s, SendResolved: s.sendResolved,
			Recognises: b.recognises, Rate: b.rate})
	}
	return out, all
}

// build makes the module's notifier of a block.
func (b *block) build(t *notify.Templates, dial outgoing.DialFunc, log *slog.Logger) (i *instance, err error) {
	i = newInstance(dial)
	defer func() {
		if p := recover(); p != nil {
			i, err = nil, fmt.Errorf("the module panics: %v", p)
		}
	}()
	built, err := receiver.BuildReceiverIntegrations(b.receiver, t.Module(), log, commoncfg.WithDialContextFunc(i.dial),
		commoncfg.WithUserAgent(outgoing.UserAgent), commoncfg.WithHTTP2Disabled())
	if err != nil {
		return nil, err
	}
	if len(built) != 1 {
		return nil, fmt.Errorf("the module makes %d notifiers of it", len(built)) // unreachable: it has one block
	}
	i.notifier, i.sendResolved = &built[0], built[0].SendResolved()
	return i, nil
}
