// Package webhook tells other programs of incidents: with the JSON that they know
// from Alertmanager, and the same signed.
package webhook

import (
	"bytes"
	"context"
	"net/url"
	"time"

	amwebhook "github.com/prometheus/alertmanager/notify/webhook"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Sender sends what a block of webhook_configs says.
type Sender struct {
	config    *amwebhook.WebhookConfig
	templates *notify.Templates
	client    *outgoing.Client
}

// New makes a Sender of a block that config.Load of the Alertmanager module read.
func New(c *amwebhook.WebhookConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Sender{c, t, client}, nil
}

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	texts := s.templates.Texts(m, nil)
	to, err := target(texts, string(s.config.URL), s.config.URLFile)
	if err != nil {
		return nil, err
	}
	content, err := bodyOf(m, texts.Data, s.config.MaxAlerts)
	if err == nil && s.config.Payload != nil {
		content, err = encode(fill(texts, s.config.Payload, m.Headline()))
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, s.config.Timeout)
	defer cancel()
	_, err = s.client.Send(ctx, "POST", to, "application/json", bytes.NewReader(content))
	return nil, outgoing.Scrub(err, to)
}

func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// target is the URL that a message goes to.
func target(texts *notify.Texts, text, file string) (string, error) {
	if file != "" {
		var err error
		if text, err = outgoing.ReadSecret("", file); err != nil {
			return "", err
		}
	}
	// There is nowhere else to send it to if the template fails.
	to := texts.Text("url", text, "")
	if u, err := url.Parse(to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", notify.Permanent("the url is not one that can be sent to, once it is rendered")
	}
	return to, nil
}
