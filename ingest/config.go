package ingest

import (
	"strings"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// SourceConfig is one entry of sources: in the configuration file. The map key
// is the source's name, the last part of its URL.
type SourceConfig struct {
	// Disabled takes the source away; it is how a built-in source is removed.
	Disabled bool `yaml:"disabled"`
	// Format names the decoder; empty means the format of the source's name.
	Format string `yaml:"format"`
	// Namespace is hashed into fingerprints in place of the source's name, so
	// that sources which report the same alerts can share it.
	Namespace string `yaml:"namespace"`
	// Auth lists the credentials that are accepted; any one of them suffices.
	Auth AuthConfig `yaml:"auth"`
	// BodyLimit is the largest request in bytes; 0 means the format's default.
	BodyLimit ByteSize `yaml:"body_limit"`
	// IgnoreLabels are left out of the fingerprint and the content, such as the
	// label that tells the replicas of a Prometheus pair apart.
	IgnoreLabels []string `yaml:"ignore_labels"`
	// VolatileAnnotations change without being news; they are left out of the content.
	VolatileAnnotations []string `yaml:"volatile_annotations"`
	// ResolveAfter ends an alert that was not repeated for so long; 0 never does.
	ResolveAfter model.Duration `yaml:"resolve_after"`
	// OnStoreFailure is refuse (503, the sender repeats) or spool (202, we keep
	// it); empty means that of the format.
	OnStoreFailure string `yaml:"on_store_failure"`
	// Email is for sources of the format email.
	Email EmailConfig `yaml:"email"`
}

// EmailConfig says which mails a source takes, and how to read those that no
// built-in parser knows.
type EmailConfig struct {
	// Parsers are asked in their order, and before the built-in ones.
	Parsers []EmailParser `yaml:"parsers"`
	// Senders are the addresses and domains that mails may come from; empty means all.
	Senders []string `yaml:"senders"`
	// Recipients are the addresses and domains that mails must be to; empty means all.
	Recipients []string `yaml:"recipients"`
	// AuthservID names the server whose Authentication-Results (RFC 8601) count:
	// hostname of the section smtp, or the mail server in front.
	AuthservID string `yaml:"authserv_id"`
	// Require lists what must have passed: spf, dkim, dmarc.
	Require []string `yaml:"require"`
}

// EmailParser reads mails of one kind.
type EmailParser struct {
	Name string `yaml:"name"`
	// Match says which mails; all that is given must match.
	Match EmailMatch `yaml:"match"`
	// Fields are regular expressions with the groups host, service, name, severity,
	// status, summary and key, looked for in the subject, then in the text.
	Fields []string `yaml:"fields"`
	// StatusMap makes firing, resolved, acknowledged or ignore of what the group
	// status found, in any case.
	StatusMap map[string]string `yaml:"status_map"`
	// SeverityMap makes severities of what the group severity found, in any case.
	SeverityMap map[string]string `yaml:"severity_map"`
	// DefaultStatus is that of mails without a status; empty means what the
	// subject says, else firing.
	DefaultStatus string `yaml:"default_status"`
}

// EmailMatch are regular expressions for parts of a mail.
type EmailMatch struct {
	From    string `yaml:"from"`
	Subject string `yaml:"subject"`
	Body    string `yaml:"body"`
}

// ConfigMistake is something wrong in a SourceConfig that only its format sees.
type ConfigMistake struct {
	// Path is where, within the source: mapping.alerts.
	Path string
	// Message says what is wrong, and Suggestion, which may be empty, what to write.
	Message, Suggestion string
}

// ConfigMistakes is the error of Format.Configure.
type ConfigMistakes []ConfigMistake

// Error implements error.
func (m ConfigMistakes) Error() string {
	texts := make([]string, len(m))
	for i, mistake := range m {
		texts[i] = mistake.Path + ": " + mistake.Message
	}
	return strings.Join(texts, "; ")
}

// AuthConfig are the credentials of a source.
type AuthConfig struct {
	BearerToken     secret.String `yaml:"bearer_token"`
	BearerTokenFile string        `yaml:"bearer_token_file"`
	Username        string        `yaml:"username"`
	Password        secret.String `yaml:"password"`
	PasswordFile    string        `yaml:"password_file"`
	// Header carries the bearer token in senders that cannot set Authorization.
	Header string `yaml:"header"`
	// QueryToken accepts the bearer token as ?token=.
	QueryToken bool `yaml:"query_token"`
	// HMAC is for senders that sign the body, as Grafana can.
	HMAC HMACConfig `yaml:"hmac"`
}

// HMACConfig says how a sender signs: HMAC-SHA256 in hexadecimal digits over the
// body, or over time, colon and body if the time of signing is in a header too
// (Grafana's documentation of the webhook contact point, "HMAC signature").
type HMACConfig struct {
	Secret     secret.String `yaml:"secret"`
	SecretFile string        `yaml:"secret_file"`
	// Header carries the signature; empty means X-Grafana-Alerting-Signature.
	Header string `yaml:"header"`
	// TimestampHeader carries the time of signing in seconds since 1970; empty
	// means that none is signed, so that a body can be sent again by anybody who
	// has seen it.
	TimestampHeader string `yaml:"timestamp_header"`
	// Window is how far the time of signing may be off; 0 means 5 minutes.
	Window model.Duration `yaml:"window"`
}
