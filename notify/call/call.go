// Package call tells people of incidents by telephone: a voice reads what happened
// and takes a key for an answer, or a text message says it. It speaks the REST API
// of Twilio, which others have as well:
// https://www.twilio.com/docs/voice/api/call-resource and
// https://www.twilio.com/docs/messaging/api/message-resource.
package call

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of call_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// APIURL is the API, without the version.
	APIURL     string `yaml:"api_url,omitempty"`
	AccountSID string `yaml:"account_sid"`
	// AuthToken or AuthTokenFile goes with the account.
	AuthToken     secret.String `yaml:"auth_token,omitempty"`
	AuthTokenFile string        `yaml:"auth_token_file,omitempty"`
	// From is one of the account's numbers, and To are those that are called, such
	// as +41791234567.
	From string   `yaml:"from"`
	To   []string `yaml:"to"`
	// Mode is voice (the default) or sms.
	Mode string `yaml:"mode,omitempty"`
	// Text is a template for what is read or written; empty is the headline.
	Text string `yaml:"text,omitempty"`
	// Language and Voice are those of the reader, such as de-DE; Prompt is what asks
	// for the key 4, in that language.
	Language string `yaml:"language,omitempty"`
	Voice    string `yaml:"voice,omitempty"`
	Prompt   string `yaml:"prompt,omitempty"`
	// RingFor is how long it rings; 0 is what the service does.
	RingFor model.Duration `yaml:"ring_for,omitempty"`
}

// The modes.
const (
	ModeVoice = "voice"
	ModeSMS   = "sms"
)

// AckURL returns the address that is told which key was pressed by the person at a
// number; empty asks for none. It is signed, and whoever serves it answers with
// TwiML: the form value Digits is AckDigit if the person takes over.
type AckURL func(m *notify.Message, to string) string

// AckDigit is the key that acknowledges.
const AckDigit = "4"

const (
	defaultURL      = "https://api.twilio.com"
	defaultLanguage = "en-US"
	defaultPrompt   = "Press 4 to acknowledge."
	// spokenLimit is what is read aloud, and smsLimit what is written: 1600
	// characters are the most that the API takes.
	spokenLimit, smsLimit = 400, 1600
	// numbersMost bounds the calls of one message.
	numbersMost = 20
	// memoryCall is before a number in the memory, with the id of its latest call.
	memoryCall = "call:"
)

var (
	phoneForm    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)            // E.164
	senderForm   = regexp.MustCompile(`^[A-Za-z0-9 ]{1,11}$|^MG\w+$`)    // an alphanumeric sender, or a messaging service
	accountForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{2,64}$`)           // AC and 32 digits at Twilio
	languageForm = regexp.MustCompile(`^[a-zA-Z]{2,3}(-[a-zA-Z0-9]+)*$`) // BCP 47
)

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.URL("api_url", c.APIURL)
	p.Need("auth_token", c.AuthToken, c.AuthTokenFile)
	if !accountForm.MatchString(c.AccountSID) {
		p["account_sid"] = "is no account; write the one that begins with AC"
	}
	switch c.Mode {
	case "", ModeVoice:
		if !phoneForm.MatchString(c.From) {
			p["from"] = "is no telephone number; write one such as +41791234567"
		}
	case ModeSMS:
		if !phoneForm.MatchString(c.From) && !senderForm.MatchString(c.From) {
			p["from"] = "is neither a telephone number such as +41791234567 nor the name of a sender"
		}
	default:
		p["mode"] = "is not voice or sms"
	}
	if n := len(c.To); n == 0 || n > numbersMost {
		p["to"] = fmt.Sprintf("has %d numbers; write 1 to %d", n, numbersMost)
	}
	for n, to := range c.To {
		if !phoneForm.MatchString(to) {
			p[fmt.Sprintf("to[%d]", n)] = "is no telephone number; write one such as +41791234567"
		}
	}
	if c.Language != "" && !languageForm.MatchString(c.Language) {
		p["language"] = "is no language; write one such as en-GB"
	}
	if d := time.Duration(c.RingFor); d != 0 && (d < 5*time.Second || d > 10*time.Minute) {
		p["ring_for"] = "is not between 5s and 10m"
	}
	return p
}

// Sender calls whom a block of call_configs says.
type Sender struct {
	config    *Config
	templates *notify.Templates
	client    *outgoing.Client
	ack       AckURL
}

// New makes a Sender of a block without Problems; ack may be nil.
func New(c *Config, t *notify.Templates, dial outgoing.DialFunc, ack AckURL) (*Sender, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	if ack == nil {
		ack = func(*notify.Message, string) string { return "" }
	}
	return &Sender{c, t, client, ack}, nil
}

// Send implements notify.Sender. It calls each number once for a message, and
// remembers the ids of the calls.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	if s.config.Mode != ModeSMS && !rings(m) {
		return nil, nil
	}
	token, err := outgoing.ReadSecret(s.config.AuthToken.Reveal(), s.config.AuthTokenFile)
	if err != nil {
		return nil, err
	}
	text := s.text(m)
	return block.Each(m, s.config.To, func(to string) (notify.Memory, error) {
		id, err := s.call(ctx, m, to, text, token)
		return notify.Memory{memoryCall + to: id}, outgoing.Scrub(err, token)
	})
}

// rings reports whether a message is worth a call: nobody is woken because
// somebody took over, because it is over, or because one more alert joined.
func rings(m *notify.Message) bool {
	switch m.Event {
	case notify.Opened, notify.Repeated, notify.Unacknowledged:
		return true
	case notify.Updated:
		for _, e := range m.News {
			if slices.Contains([]string{"severity", "escalated", "still_firing"}, e.Action) {
				return true
			}
		}
	}
	return false
}

func (s *Sender) text(m *notify.Message) string {
	text := m.Headline()
	if s.config.Text != "" {
		text = s.templates.Texts(m, nil).Text("text", s.config.Text, text)
	}
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD")))
	if speech(text) == "" {
		return m.Headline() // an empty one is refused, and says nothing
	}
	return text
}

// call begins one call, or sends one text message, and returns its id.
func (s *Sender) call(ctx context.Context, m *notify.Message, to, text, token string) (id string, err error) {
	form, resource := url.Values{"From": {s.config.From}, "To": {to}}, "Calls"
	if s.config.Mode == ModeSMS {
		resource = "Messages"
		form.Set("Body", sms(m, text))
	} else {
		form.Set("Twiml", s.twiml(text, s.ack(m, to)))
		if d := time.Duration(s.config.RingFor); d > 0 {
			form.Set("Timeout", strconv.Itoa(int(d.Seconds())))
		}
	}
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	where := block.Base(s.config.APIURL, defaultURL) + "/2010-04-01/Accounts/" + s.config.AccountSID + "/" + resource + ".json"
	answer, err := block.Form(ctx, s.client, where, form, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.config.AccountSID+":"+token)))
	if err != nil {
		return "", named(to, err)
	}
	var made struct {
		SID string `json:"sid"`
	}
	if json.Unmarshal(answer.Body, &made) != nil || made.SID == "" {
		// It has been taken; a second call would not make that any surer.
		m.Warn("to", fmt.Errorf("%s: the answer has no sid", to))
		return "unknown", nil
	}
	return notify.Cut(notify.Line(made.SID), 64), nil
}

// named says which number an error is about.
func named(to string, err error) error {
	var e *notify.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Err = fmt.Errorf("%s: %w", to, e.Err)
	return &out
}

// sms is the text of a message, with the way to acknowledge it whole.
func sms(m *notify.Message, text string) string {
	link := ""
	if m.Links.Acknowledge != "" && !m.Resolved() && (m.Incident.AcknowledgedBy == "" || m.Incident.Calling()) {
		link = "\n" + m.Links.Acknowledge
	}
	if len(link) > smsLimit/2 {
		link = ""
	}
	return notify.Cut(text, smsLimit-len(link)) + link
}
