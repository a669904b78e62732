package opsgenie

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of jsm_configs: the operations of Jira Service Management.
// Empty texts mean those of Opsgenie in Alertmanager's templates.
type Config struct {
	// SendResolved closes the alert when the incident is over; nil means true.
	SendResolved *bool `yaml:"send_resolved,omitempty"`
	// HTTPConfig is Alertmanager's http_config.
	HTTPConfig *commoncfg.HTTPClientConfig `yaml:"http_config,omitempty"`
	// APIURL is where the integration is; empty means DefaultJSM.
	APIURL string `yaml:"api_url,omitempty"`
	// APIKey is that of an integration of type API.
	APIKey     secret.String `yaml:"api_key,omitempty"`
	APIKeyFile string        `yaml:"api_key_file,omitempty"`

	Message     string            `yaml:"message,omitempty"`
	Description string            `yaml:"description,omitempty"`
	Source      string            `yaml:"source,omitempty"`
	Details     map[string]string `yaml:"details,omitempty"`
	Entity      string            `yaml:"entity,omitempty"`
	Responders  []Responder       `yaml:"responders,omitempty"`
	// Actions and Tags are lists with commas.
	Actions string `yaml:"actions,omitempty"`
	Tags    string `yaml:"tags,omitempty"`
	Note    string `yaml:"note,omitempty"`
	// Priority makes P1 to P5; empty means the incident's priority.
	Priority string `yaml:"priority,omitempty"`
}

// Responder is somebody who is asked to respond; its texts are templates. One of
// id, name and username is needed.
type Responder struct {
	ID       string `yaml:"id,omitempty"`
	Name     string `yaml:"name,omitempty"`
	Username string `yaml:"username,omitempty"`
	// Type is team, user, escalation, schedule, or teams for several teams in Name,
	// with commas.
	Type string `yaml:"type,omitempty"`
}

// DefaultJSM is where the integration events of Jira Service Management are.
const DefaultJSM = "https://api.atlassian.com/jsm/ops/integration/v2/"

// Problems says what is wrong with a block: the field, and what to write instead.
func (c *Config) Problems() map[string]string {
	out := map[string]string{}
	if u, err := url.Parse(c.apiURL()); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		out["api_url"] = "is not a URL; write one such as " + DefaultJSM
	}
	switch {
	case c.APIKey.IsSet() && c.APIKeyFile != "":
		out["api_key_file"] = "stands beside api_key; write one of them"
	case !c.APIKey.IsSet() && c.APIKeyFile == "":
		out["api_key"] = "is missing; write the key of the API integration in Jira Service Management, or api_key_file"
	}
	for n, r := range c.Responders {
		at := fmt.Sprintf("responders[%d]", n)
		if r.ID+r.Name+r.Username == "" {
			out[at] = "names nobody; write id, name or username"
		}
		if known := append(slices.Clone(responderTypes), "teams"); !strings.Contains(r.Type, "{{") && !slices.Contains(known, strings.ToLower(r.Type)) {
			out[at+".type"] = fmt.Sprintf("is %q; write one of %s", r.Type, strings.Join(known, ", "))
		}
	}
	if p := strings.ToUpper(c.Priority); p != "" && !strings.Contains(p, "{{") && (len(p) != 2 || p[0] != 'P' || p[1] < '1' || p[1] > '5') {
		out["priority"] = "is " + c.Priority + "; write P1 to P5, or a template that makes one of them"
	}
	return out
}

func (c *Config) apiURL() string { return orElse(c.APIURL, DefaultJSM) }

// NewJSM returns a Sender for a block of jsm_configs that has no Problems.
func NewJSM(c *Config, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	api, err := url.Parse(c.apiURL())
	if err != nil {
		return nil, fmt.Errorf("notify: jsm_configs: api_url: %w", err)
	}
	s := &Sender{templates: t, settings: settings{jsm: true, alerts: alertsURL(api), key: outgoing.Secret{Setting: "api_key", Value: c.APIKey.Reveal(), File: c.APIKeyFile},
		message: orElse(c.Message, `{{ template "opsgenie.default.message" . }}`), description: orElse(c.Description, `{{ template "opsgenie.default.description" . }}`),
		source: orElse(c.Source, `{{ template "opsgenie.default.source" . }}`), entity: c.Entity, actions: c.Actions, tags: c.Tags, note: c.Note,
		priority: orElse(c.Priority, "{{ .RouteLabels.priority }}"), details: c.Details, responders: c.Responders}}
	s.client, err = outgoing.New(c.HTTPConfig, dial, s.settings.key.Value)
	return s, err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
