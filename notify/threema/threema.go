// Package threema tells people of incidents by Threema Gateway, in its basic mode:
// https://gateway.threema.ch/en/developer/api.
package threema

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of threema_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// APIURL is the gateway, or what stands before it.
	APIURL string `yaml:"api_url,omitempty"`
	// From is our identity, and Secret or SecretFile what goes with it.
	From       string        `yaml:"from"`
	Secret     secret.String `yaml:"secret,omitempty"`
	SecretFile string        `yaml:"secret_file,omitempty"`
	// To are identities of 8 characters, telephone numbers such as +41791234567, and
	// mail addresses.
	To []string `yaml:"to"`
	// Text is a template; empty is the built-in text.
	Text string `yaml:"text,omitempty"`
}

const (
	defaultURL = "https://msgapi.threema.ch"
	// textLimit is the longest text, in bytes.
	textLimit = 3500
)

var (
	identityForm = regexp.MustCompile(`^[*0-9A-Z][0-9A-Z]{7}$`)
	phoneForm    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`) // E.164
)

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.URL("api_url", c.APIURL)
	p.Need("secret", c.Secret, c.SecretFile)
	if !identityForm.MatchString(c.From) {
		p["from"] = "is no identity; write the 8 characters of yours, such as *TOCSIN1"
	}
	if len(c.To) == 0 {
		p["to"] = "is missing; write a list of identities, telephone numbers or mail addresses"
	}
	for n, to := range c.To {
		if _, _, err := recipient(to); err != nil {
			p[fmt.Sprintf("to[%d]", n)] = err.Error()
		}
	}
	return p
}

// recipient returns the parameter that says who is meant.
func recipient(to string) (parameter, value string, err error) {
	switch {
	case phoneForm.MatchString(to):
		return "phone", to[1:], nil // without the +
	case strings.Contains(to, "@"):
		if a, err := mail.ParseAddress(to); err == nil && a.Address == to {
			return "email", to, nil
		}
	case identityForm.MatchString(to):
		return "to", to, nil
	}
	return "", "", errors.New("is neither an identity (8 letters and digits), nor a telephone number that begins with +, nor a mail address")
}

// Sender sends what a block of threema_configs says.
type Sender struct {
	config    *Config
	templates *notify.Templates
	client    *outgoing.Client
}

// New makes a Sender of a block without Problems.
func New(c *Config, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Sender{c, t, client}, nil
}

// neutral makes no mention of what looks like one: @[IDENTITY], and @[@@@@@@@@] for
// everybody in a group.
func neutral(s string) string { return strings.ReplaceAll(s, "@[", "@\u200b[") }

// Send implements notify.Sender: one request for each recipient. A retry goes only
// to those whom the message has not reached.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	key, err := outgoing.ReadSecret(s.config.Secret.Reveal(), s.config.SecretFile)
	if err != nil {
		return nil, err
	}
	text := neutral(m.Plain())
	if s.config.Text != "" {
		text = s.templates.Texts(m, neutral).Text("text", s.config.Text, text)
	}
	text = notify.Cut(strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")), textLimit)
	if text == "" {
		text = notify.Cut(neutral(m.Headline()), textLimit) // an empty text is refused
	}
	return block.Each(m, s.config.To, func(to string) (notify.Memory, error) {
		return nil, outgoing.Scrub(s.tell(ctx, to, text, key), key)
	})
}

func (s *Sender) tell(ctx context.Context, to, text, key string) error {
	parameter, value, err := recipient(to)
	if err != nil {
		return notify.Permanent("%s %w", to, err)
	}
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	form := url.Values{"from": {s.config.From}, parameter: {value}, "text": {text}, "secret": {key}}
	answer, err := block.Form(ctx, s.client, block.Base(s.config.APIURL, defaultURL)+"/send_simple", form)
	return explained(to, answer.Status, err)
}

// meanings are what the gateway means by a status.
var meanings = map[int]string{http.StatusBadRequest: "the recipient is not valid, or our identity is not set up for the basic mode", http.StatusUnauthorized: "the identity or its secret is wrong",
	http.StatusPaymentRequired: "there are no credits left", http.StatusNotFound: "there is no such recipient", http.StatusRequestEntityTooLarge: "the text is too long"}

// explained says which recipient was meant, and why.
func explained(to string, status int, err error) error {
	var e *notify.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	if meaning := meanings[status]; meaning != "" {
		out.Err = fmt.Errorf("%s: %s (%w)", to, meaning, e.Err)
	} else {
		out.Err = fmt.Errorf("%s: %w", to, e.Err)
	}
	out.Permanent = e.Permanent && status != http.StatusPaymentRequired // somebody may pay meanwhile
	return &out
}
