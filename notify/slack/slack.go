// Package slack tells people in Slack, with the block slack_configs of an
// alertmanager.yml.
//
// Through an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)
// every event is a message. Through the Web API
// (https://docs.slack.dev/reference/methods/chat.postMessage) an incident has one
// message, which always shows how it is now, and a thread that says what happened;
// a major one can have a channel of its own.
package slack

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Options are what Alertmanager's block does not have.
type Options struct {
	// Buttons acknowledge and resolve within Slack. They need an app whose
	// interactivity leads back to Tocsin; without it there are links.
	Buttons bool `yaml:"buttons"`
	// ChannelPerMajor makes a public channel for each critical, major or continuity
	// incident. It needs the Web API and the scopes channels:manage and channels:read.
	ChannelPerMajor bool `yaml:"channel_per_major"`
	// AnnounceIn are the channels in which a new one is announced.
	AnnounceIn []string `yaml:"announce_in"`
	// Prefix begins the names of new channels; empty means incident-.
	Prefix string `yaml:"channel_prefix"`
}

var prefixes = regexp.MustCompile(`^[a-z0-9_-]{0,60}$`)

// Problems says what is wrong with o, by field.
func (o *Options) Problems() map[string]string {
	problems := map[string]string{}
	if !prefixes.MatchString(o.Prefix) {
		problems["channel_prefix"] = "names of channels have lower-case letters, digits, hyphens and underscores; write at most 60 of them, such as incident-"
	}
	if len(o.AnnounceIn) > 0 && !o.ChannelPerMajor {
		problems["announce_in"] = "only new channels are announced; set channel_per_major: true as well"
	}
	return problems
}

// Sender tells one channel.
type Sender struct {
	config    *config.SlackConfig
	templates *notify.Templates
	client    *outgoing.Client
	options   Options
	now       func() time.Time
	// creating is held by whoever creates a channel.
	creating chan struct{}

	mu sync.Mutex
	// ids are those of channels, by name.
	ids map[string]string
	// begun is what attempts that failed in the end have done, by the message's Key:
	// the next attempt goes on from there.
	begun map[string]begun
	// unasked is until when a method of the API is not worth asking, because the
	// token does not allow it or was asked for too much.
	unasked map[string]time.Time
}

// begun is what an attempt has added to what was known.
type begun struct{ known, memory notify.Memory }

// begunKept bounds what is remembered of failed attempts.
const begunKept = 1000

// New returns the sender of a block.
func New(c *config.SlackConfig, t *notify.Templates, dial outgoing.DialFunc, o Options) (*Sender, error) {
	var secrets []string
	if c.APIURL != nil {
		secrets = hidden(c.APIURL.URL)
	}
	if h := c.HTTPConfig; h != nil && h.Authorization != nil {
		secrets = append(secrets, string(h.Authorization.Credentials))
	}
	client, err := outgoing.New(c.HTTPConfig, dial, secrets...)
	if err != nil {
		return nil, err
	}
	if o.Prefix == "" {
		o.Prefix = "incident-"
	}
	return &Sender{config: c, templates: t, client: client, options: o, now: time.Now, creating: make(chan struct{}, 1),
		ids: map[string]string{}, begun: map[string]begun{}, unasked: map[string]time.Time{}}, nil
}

// hidden is what of a URL no error may show: that of a webhook is its secret.
func hidden(u *url.URL) []string {
	if u == nil || isAPI(u) {
		return nil
	}
	return []string{u.String(), u.RequestURI()}
}

// Threads reports whether a block goes through the Web API, as far as that can be
// known now: then an incident has one message that is edited, and a message that is
// sent twice is recognised. Otherwise every event is a message.
func Threads(c *config.SlackConfig) bool {
	if c.APIURL != nil {
		return isAPI(c.APIURL.URL)
	}
	text, err := outgoing.ReadSecret("", c.APIURLFile)
	u, bad := url.Parse(text)
	return err == nil && bad == nil && isAPI(u)
}

// isAPI tells the Web API from an incoming webhook.
func isAPI(u *url.URL) bool { return strings.HasSuffix(u.Path, "/"+postMessage) }

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	if s.config.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.Timeout)
		defer cancel()
	}
	to, client, err := s.address()
	if err != nil {
		return nil, err
	}
	p := s.write(m)
	if isAPI(to) {
		base := *to
		base.Path = strings.TrimSuffix(base.Path, postMessage)
		return s.tell(ctx, &api{client: client, base: &base}, m, p)
	}
	return nil, post(ctx, client, to.String(), p)
}

// address is where messages go to now.
func (s *Sender) address() (*url.URL, *outgoing.Client, error) {
	if s.config.APIURL != nil {
		return s.config.APIURL.URL, s.client, nil
	}
	text, err := outgoing.ReadSecret("", s.config.APIURLFile)
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, nil, &notify.Error{Reason: notify.ReasonAuth, Err: errNoURL}
	}
	return u, s.client.With(hidden(u)...), nil
}

// post sends a message to an incoming webhook.
func post(ctx context.Context, client *outgoing.Client, to string, p *message) error {
	a, err := client.JSON(ctx, http.MethodPost, to, p)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(a.Body)); text == "ok" {
		return nil
	}
	var r result // what stands in for Slack may answer as its Web API does
	if json.Unmarshal(a.Body, &r, lax) == nil && (r.OK || r.Word != "") {
		return r.err(client, "the webhook", a)
	}
	return client.Refused(a, "an answer that is not Slack's: "+notify.Cut(notify.Line(string(a.Body)), 100))
}
