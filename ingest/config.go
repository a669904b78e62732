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
	// API is the tool's own, for what its messages alone cannot do.
	API APIConfig `yaml:"api"`
	// Email is for sources of the format email.
	Email EmailConfig `yaml:"email"`
	// SNS is for the format sns.
	SNS SNSConfig `yaml:"sns,omitempty"`
	// Mapping is for the format mapping, which is nothing without it.
	Mapping MappingConfig `yaml:"mapping,omitempty"`
}

// APIConfig says how the tool that a source belongs to is reached, and what for.
type APIConfig struct {
	// URL is the tool's, without the path of the API.
	URL             string        `yaml:"url"`
	Username        string        `yaml:"username"`
	Password        secret.String `yaml:"password"`
	PasswordFile    string        `yaml:"password_file"`
	BearerToken     secret.String `yaml:"bearer_token"`
	BearerTokenFile string        `yaml:"bearer_token_file"`
	// CAFile holds the certificates to trust, PEM; empty means those of the system.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name in the tool's certificate, if the URL has another.
	ServerName string `yaml:"server_name"`
	// Reconcile is how often the tool is asked what is open, so that a message that
	// got lost does no harm; 0 is never.
	Reconcile model.Duration `yaml:"reconcile"`
	// Receiver is the name of the Alertmanager receiver that sends here; empty means
	// that all alerts come here.
	Receiver string `yaml:"receiver"`
	// WriteBack says at the tool what people do to incidents here.
	WriteBack bool `yaml:"write_back"`
	// CommandFile is Nagios' external command file on this machine, for WriteBack.
	CommandFile string `yaml:"command_file"`
	// Stream takes Icinga's events from its API, beside or in place of notifications.
	Stream bool `yaml:"stream"`
}

// MappingConfig says where in a sender's JSON or form the parts of an alert are.
type MappingConfig struct {
	// Alerts is the path of the list of alerts; empty means that a body is one.
	Alerts string `yaml:"alerts,omitempty"`
	// The parts of an alert. Only Name is required; without Status it fires.
	Name        Expression `yaml:"name,omitempty"`
	Host        Expression `yaml:"host,omitempty"`
	Service     Expression `yaml:"service,omitempty"`
	Severity    Expression `yaml:"severity,omitempty"`
	Status      Expression `yaml:"status,omitempty"`
	Summary     Expression `yaml:"summary,omitempty"`
	Description Expression `yaml:"description,omitempty"`
	Identity    Expression `yaml:"identity,omitempty"`
	Key         Expression `yaml:"key,omitempty"`
	StartsAt    Expression `yaml:"starts_at,omitempty"`
	EndsAt      Expression `yaml:"ends_at,omitempty"`
	EventAt     Expression `yaml:"event_at,omitempty"`
	URL         Expression `yaml:"url,omitempty"`
	// Labels and Annotations are by name.
	Labels      map[string]Expression `yaml:"labels,omitempty"`
	Annotations map[string]Expression `yaml:"annotations,omitempty"`
	// TimeFormat is rfc3339, unix, unix_ms, or a layout of Go's package time; empty
	// means rfc3339.
	TimeFormat string `yaml:"time_format,omitempty"`
	// Sample is a body that the sender sends. It is mapped when the file is loaded,
	// which must give the alerts of SampleExpect, if there are any: the parts by
	// name, as well as labels.NAME and annotations.NAME.
	Sample       string              `yaml:"sample,omitempty"`
	SampleExpect []map[string]string `yaml:"sample_expect,omitempty"`
}

// Expression says what a part of an alert is. Exactly one of Path, Value and
// Template is set, or none in an expression that is not there.
type Expression struct {
	// Path is where the text is, such as labels.host or items[0].name. It begins in
	// the alert; with $. before it in the body.
	Path string `yaml:"path,omitempty"`
	// Value is the text itself.
	Value string `yaml:"value,omitempty"`
	// Template is a text with {{ path }} in it.
	Template string `yaml:"template,omitempty"`
	// Regex has one named group, which is what is taken of the text.
	Regex string `yaml:"regex,omitempty"`
	// Map exchanges the whole text.
	Map map[string]string `yaml:"map,omitempty"`
	// Default is taken where the rest gives nothing: no such path, no match, or a
	// text that is not in Map.
	Default string `yaml:"default,omitempty"`
}

// SNSConfig says which messages of Amazon SNS are believed. Without any of it
// they are taken as those of other sources are, by their credentials alone.
type SNSConfig struct {
	// Topics are the ARNs of the topics whose messages are taken; empty means any.
	Topics []string `yaml:"topics"`
	// CertificateFile holds certificates in PEM form, one of which must have signed.
	CertificateFile string `yaml:"certificate_file"`
	// CertificateHosts are the hosts that the certificate which a message names may
	// be fetched from. With neither of the two no signature is checked.
	CertificateHosts []string `yaml:"certificate_hosts"`
	// Confirm: subscriptions are confirmed, which means that the link in the message
	// is fetched if it leads to SNS.
	Confirm bool `yaml:"confirm"`
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
