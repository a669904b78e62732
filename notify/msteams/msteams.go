// Package msteams tells people in Microsoft Teams, with the block
// msteamsv2_configs of an alertmanager.yml: it posts an Adaptive Card to the
// webhook of a workflow
// (https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook).
// Such a message cannot be changed later or found again, so every event is one more.
package msteams

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/alertmanager/notify/msteamsv2"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Sender tells one channel or chat.
type Sender struct {
	config    *msteamsv2.MSTeamsV2Config
	templates *notify.Templates
	client    *outgoing.Client
}

// New returns the sender of a block.
func New(c *msteamsv2.MSTeamsV2Config, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	var secrets []string
	if c.WebhookURL != nil {
		secrets = hidden(c.WebhookURL.URL)
	}
	client, err := outgoing.New(c.HTTPConfig, dial, secrets...)
	if err != nil {
		return nil, err
	}
	return &Sender{c, t, client}, nil
}

// hidden is what of the URL no error may show. Whoever has it may post.
func hidden(u *url.URL) []string {
	if u == nil {
		return nil
	}
	return []string{u.String(), u.RequestURI(), u.RawQuery, u.Query().Get("sig")}
}

// notDelivered begins what a webhook answers, with status 200, if Teams itself
// refused the message; the status of Teams follows. See the rate limits at
// https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
const notDelivered = "Webhook message delivery failed"

// Send implements notify.Sender. There is nothing to remember.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	to, client, err := s.address()
	if err != nil {
		return nil, err
	}
	a, err := client.JSON(ctx, http.MethodPost, to, s.write(m))
	if err != nil {
		return nil, err
	}
	if text := string(a.Body); strings.Contains(text, notDelivered) {
		e := client.Refused(a, notify.Cut(notify.Line(text), 300))
		if strings.Contains(text, "HTTP error 429") {
			e.Reason = notify.ReasonRateLimited
		}
		return nil, e
	}
	return nil, nil
}

// address is where messages go to now.
func (s *Sender) address() (string, *outgoing.Client, error) {
	if s.config.WebhookURL != nil {
		return s.config.WebhookURL.String(), s.client, nil
	}
	text, err := outgoing.ReadSecret("", s.config.WebhookURLFile)
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", nil, &notify.Error{Reason: notify.ReasonAuth, Err: errors.New("msteams: webhook_url_file holds no URL")}
	}
	return text, s.client.With(hidden(u)...), nil
}
