package answers

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify/links"
)

// Config is the section answers: of the configuration file. A tool without secrets
// has no webhook here. Each takes several, so that one can be replaced while the
// other is still in use; a file has one in each line.
type Config struct {
	// LinkExpiry is how long the links in messages act; 0 is links.DefaultExpiry.
	LinkExpiry model.Duration  `yaml:"link_expiry"`
	Slack      SlackConfig     `yaml:"slack"`
	PagerDuty  PagerDutyConfig `yaml:"pagerduty"`
	Opsgenie   OpsgenieConfig  `yaml:"opsgenie"`
	Jira       JiraConfig      `yaml:"jira"`
	Call       CallConfig      `yaml:"call"`
}

// SlackConfig is for the buttons in Slack.
type SlackConfig struct {
	// SigningSecrets are those of the Slack apps.
	SigningSecrets     []secret.String `yaml:"signing_secrets"`
	SigningSecretsFile string          `yaml:"signing_secrets_file"`
}

// PagerDutyConfig is for a webhook subscription, version 3.
type PagerDutyConfig struct {
	// Secrets are those that PagerDuty showed when the subscription was made.
	Secrets     []secret.String `yaml:"secrets"`
	SecretsFile string          `yaml:"secrets_file"`
}

// OpsgenieConfig is for an outgoing webhook of Opsgenie or Jira Service Management.
type OpsgenieConfig struct {
	// Tokens are what it sends, as Authorization: Bearer or as password.
	Tokens     []secret.String `yaml:"tokens"`
	TokensFile string          `yaml:"tokens_file"`
	// IgnoreUsers are the names under which Tocsin itself acts there.
	IgnoreUsers []string `yaml:"ignore_users"`
}

// JiraConfig is for a webhook of Jira.
type JiraConfig struct {
	Secrets     []secret.String `yaml:"secrets"`
	SecretsFile string          `yaml:"secrets_file"`
	// IgnoreUsers are the account ids, names or mail addresses under which Tocsin
	// itself acts there.
	IgnoreUsers []string `yaml:"ignore_users"`
}

// CallConfig is for key presses in a call.
type CallConfig struct {
	// AuthTokens are those of the account that calls.
	AuthTokens     []secret.String `yaml:"auth_tokens"`
	AuthTokensFile string          `yaml:"auth_tokens_file"`
}

const (
	// leastExpiry is the shortest time that a link may act.
	leastExpiry = 10 * time.Minute
	// leastSecret is the least length of a secret that people make up.
	leastSecret = 16
)

// DefaultConfig takes no webhooks.
func DefaultConfig() Config { return Config{LinkExpiry: model.Duration(links.DefaultExpiry)} }

// Problems returns what is wrong, by the path of the field, and what to write.
func (c *Config) Problems() map[string]string {
	out := map[string]string{}
	if d := time.Duration(c.LinkExpiry); d != 0 && (d < leastExpiry || d > links.MaxExpiry) {
		out["link_expiry"] = fmt.Sprintf("the time is not between %s and %s: write such as 7d", model.Duration(leastExpiry), model.Duration(links.MaxExpiry))
	}
	for path, list := range map[string][]secret.String{
		"slack.signing_secrets": c.Slack.SigningSecrets, "pagerduty.secrets": c.PagerDuty.Secrets, "opsgenie.tokens": c.Opsgenie.Tokens,
		"jira.secrets": c.Jira.Secrets, "call.auth_tokens": c.Call.AuthTokens,
	} {
		for i, s := range list {
			if len(s.Reveal()) < leastSecret {
				out[fmt.Sprintf("%s[%d]", path, i)] = fmt.Sprintf("shorter than %d characters, so it can be guessed: write a longer one, here and there", leastSecret)
			}
		}
	}
	for path, list := range map[string][]string{"opsgenie.ignore_users": c.Opsgenie.IgnoreUsers, "jira.ignore_users": c.Jira.IgnoreUsers} {
		for i, name := range list {
			if strings.TrimSpace(name) == "" {
				out[fmt.Sprintf("%s[%d]", path, i)] = "the name is empty, which would ignore whoever has none: remove it"
			}
		}
	}
	if len(c.Opsgenie.IgnoreUsers) > 0 && len(c.Opsgenie.Tokens) == 0 {
		out["opsgenie"] = "there is no token, so nothing is taken: add tokens"
	}
	if len(c.Jira.IgnoreUsers) > 0 && len(c.Jira.Secrets) == 0 {
		out["jira"] = "there is no secret, so nothing is taken: add secrets"
	}
	return out
}
