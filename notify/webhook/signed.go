package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// SignedConfig is a block of signed_webhook_configs: the JSON of a webhook, signed
// as https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// says, so that the receiver knows who sent it, and when.
type SignedConfig struct {
	block.Common `yaml:",inline"`
	// URL or URLFile is where messages go; it may be a template.
	URL     secret.String `yaml:"url,omitempty"`
	URLFile string        `yaml:"url_file,omitempty"`
	// Secrets are the keys, newest first. Each of them signs, so that a receiver
	// which has only an older one still understands while keys are changed.
	Secrets []Key `yaml:"secrets"`
	// MaxAlerts bounds the alerts of a message; 0 does not.
	MaxAlerts uint64 `yaml:"max_alerts,omitempty"`
}

// Key is one secret that messages are signed with.
type Key struct {
	// ID names it for people; it is not sent.
	ID string `yaml:"id,omitempty"`
	// Secret or SecretFile is whsec_ and 24 to 64 bytes in base64.
	Secret     secret.String `yaml:"secret,omitempty"`
	SecretFile string        `yaml:"secret_file,omitempty"`
}

const (
	keyPrefix = "whsec_"
	// keyShortest and keyLongest are the bytes that a key may have.
	keyShortest, keyLongest = 24, 64
	// keysMost bounds the signatures of a message.
	keysMost = 5
)

// Problems returns what is wrong with the block, by field.
func (c *SignedConfig) Problems() map[string]string {
	p := block.Mistakes{}
	p.Need("url", c.URL, c.URLFile)
	if c.URL.IsSet() && !strings.Contains(c.URL.Reveal(), "{{") {
		p.URL("url", c.URL.Reveal())
	}
	if n := len(c.Secrets); n == 0 {
		p["secrets"] = "is missing; write at least one, such as {id: \"2026\", secret_file: /etc/tocsin/webhook.key}"
	} else if n > keysMost {
		p["secrets"] = fmt.Sprintf("are %d; at most %d are sent with one message", n, keysMost)
	}
	seen := map[string]bool{}
	for n, k := range c.Secrets {
		field := fmt.Sprintf("secrets[%d].", n)
		p.Need(field+"secret", k.Secret, k.SecretFile)
		if k.Secret.IsSet() {
			if _, err := keyOf(k.Secret.Reveal()); err != nil {
				p[field+"secret"] = err.Error()
			}
		}
		if k.ID != "" && seen[k.ID] {
			p[field+"id"] = "is taken by another secret of the list"
		}
		seen[k.ID] = true
	}
	return p
}

func keyOf(text string) ([]byte, error) {
	coded, prefixed := strings.CutPrefix(text, keyPrefix)
	key, err := base64.StdEncoding.DecodeString(coded)
	if !prefixed || err != nil || len(key) < keyShortest || len(key) > keyLongest {
		return nil, fmt.Errorf("is no key; write %s and %d to %d random bytes in base64, as openssl rand -base64 32 gives them", keyPrefix, keyShortest, keyLongest)
	}
	return key, nil
}

// Signed sends what a block of signed_webhook_configs says.
type Signed struct {
	config    *SignedConfig
	templates *notify.Templates
	client    *outgoing.Client
	now       func() time.Time
}

// NewSigned makes a Signed of a block without Problems.
func NewSigned(c *SignedConfig, t *notify.Templates, dial outgoing.DialFunc) (*Signed, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Signed{c, t, client, time.Now}, nil
}

// Send implements notify.Sender.
func (s *Signed) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	texts := s.templates.Texts(m, nil)
	to, err := target(texts, s.config.URL.Reveal(), s.config.URLFile)
	if err != nil {
		return nil, err
	}
	content, err := bodyOf(m, texts.Data, s.config.MaxAlerts)
	if err != nil {
		return nil, err
	}
	// The time is that of this attempt: the receiver refuses what is too old.
	id, at := "msg_"+m.MessageID(), strconv.FormatInt(s.now().Unix(), 10)
	signatures, secrets, err := s.sign(id, at, content)
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, time.Duration(s.config.Timeout))
	defer cancel()
	if _, err = s.client.Send(ctx, "POST", to, "application/json", bytes.NewReader(content),
		"webhook-id", id, "webhook-timestamp", at, "webhook-signature", signatures); err != nil {
		return nil, outgoing.Scrub(err, append(secrets, to)...)
	}
	return m.Counted(), nil
}

// sign signs with each key. It also returns what must not be shown.
func (s *Signed) sign(id, at string, content []byte) (signatures string, secrets []string, err error) {
	var all []string
	for _, k := range s.config.Secrets {
		text, err := outgoing.ReadSecret(k.Secret.Reveal(), k.SecretFile)
		if err != nil {
			return "", nil, err
		}
		secrets = append(secrets, text, strings.TrimPrefix(text, keyPrefix))
		key, err := keyOf(text)
		if err != nil {
			return "", nil, &notify.Error{Reason: notify.ReasonAuth, Err: fmt.Errorf("secret %s: %w", k.ID, err)}
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + at + ".")) // it never fails
		_, _ = mac.Write(content)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " "), secrets, nil
}
