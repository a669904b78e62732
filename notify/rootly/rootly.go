// Package rootly raises alerts in Rootly: https://docs.rootly.com/api-reference/alerts.
package rootly

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of rootly_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// APIURL is the API, without the version.
	APIURL string `yaml:"api_url,omitempty"`
	// APIKey or APIKeyFile is a key of the API.
	APIKey     secret.String `yaml:"api_key,omitempty"`
	APIKeyFile string        `yaml:"api_key_file,omitempty"`
	// Summary and Description are templates; empty are the built-in texts.
	Summary     string `yaml:"summary,omitempty"`
	Description string `yaml:"description,omitempty"`
	// NotifyType and NotifyID are whom Rootly calls, which is part of its On-Call: a
	// User, Group, Service or EscalationPolicy. Without them the alert is only recorded.
	NotifyType string `yaml:"notify_type,omitempty"`
	NotifyID   string `yaml:"notify_id,omitempty"`
	// ServiceIDs, GroupIDs and EnvironmentIDs are what the alert is attached to, and
	// Urgencies the ids of Rootly's urgencies by our severities.
	ServiceIDs     []string          `yaml:"service_ids,omitempty"`
	GroupIDs       []string          `yaml:"group_ids,omitempty"`
	EnvironmentIDs []string          `yaml:"environment_ids,omitempty"`
	Urgencies      map[string]string `yaml:"urgencies,omitempty"`
}

const (
	defaultURL = "https://api.rootly.com"
	// mediaType is that of https://jsonapi.org.
	mediaType = "application/vnd.api+json"
	// The limits are ours: Rootly does not say what its own are. In bytes.
	summaryLimit, descriptionLimit, labelLimit, labelsMost = 255, 10_000, 255, 50
	// The names in the memory: the alert's id, and whose it is.
	memoryID, memoryKey = "rootly_alert", "rootly_key"
)

var notifyTypes = []string{"User", "Group", "Service", "EscalationPolicy", "Functionality"}

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.URL("api_url", c.APIURL)
	p.Need("api_key", c.APIKey, c.APIKeyFile)
	if c.NotifyType != "" && !slices.Contains(notifyTypes, c.NotifyType) {
		p["notify_type"] = "is not one of " + strings.Join(notifyTypes, ", ")
	}
	if (c.NotifyType == "") != (c.NotifyID == "") {
		p["notify_id"] = "goes with notify_type; set both or none"
	}
	return p
}

// Sender raises what a block of rootly_configs says.
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

// document is a resource of JSON:API.
type document struct {
	Data resource `json:"data"`
}

type resource struct {
	Type       string `json:"type"`
	Attributes any    `json:"attributes"`
}

// attributes are those of an alert that we set.
type attributes struct {
	Source         string    `json:"source,omitzero"`
	Status         string    `json:"status,omitzero"`
	Summary        string    `json:"summary"`
	Description    string    `json:"description"`
	StartedAt      time.Time `json:"started_at,omitzero"`
	ExternalID     string    `json:"external_id,omitzero"`
	ExternalURL    string    `json:"external_url,omitzero"`
	Key            string    `json:"deduplication_key,omitzero"`
	NotifyType     string    `json:"notification_target_type,omitzero"`
	NotifyID       string    `json:"notification_target_id,omitzero"`
	Urgency        string    `json:"alert_urgency_id,omitzero"`
	ServiceIDs     []string  `json:"service_ids,omitempty"`
	GroupIDs       []string  `json:"group_ids,omitempty"`
	EnvironmentIDs []string  `json:"environment_ids,omitempty"`
	Labels         []label   `json:"labels,omitempty"`
}

type label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Send implements notify.Sender. There is one alert for each cycle of an incident:
// Rootly gives back the same one for the same deduplication key.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	key, err := outgoing.ReadSecret(s.config.APIKey.Reveal(), s.config.APIKeyFile)
	if err != nil {
		return nil, err
	}
	memory, err := s.tell(ctx, m, "Bearer "+key)
	return memory, outgoing.Scrub(err, key)
}

func (s *Sender) tell(ctx context.Context, m *notify.Message, authorization string) (notify.Memory, error) {
	id, known := m.Memory[memoryID], m.Memory[memoryKey] == m.Key()
	if !known {
		var err error
		if id, err = s.raise(ctx, m, authorization); err != nil {
			return nil, err
		}
	}
	memory := notify.Memory{memoryID: id, memoryKey: m.Key()}
	to := "/" + url.PathEscape(id)
	switch m.Event {
	case notify.Acknowledged:
		return memory, s.post(ctx, to+"/acknowledge", nil, authorization)
	case notify.Resolved:
		text := notify.Cut(m.Headline(), summaryLimit)
		return memory, s.post(ctx, to+"/resolve", map[string]any{"resolution_message": text}, authorization)
	}
	if !known {
		return memory, nil
	}
	a := s.attributes(m)
	_, err := s.ask(ctx, http.MethodPatch, to, &a, authorization)
	return memory, err
}

// raise makes the alert, or finds it by its key, and returns its id.
func (s *Sender) raise(ctx context.Context, m *notify.Message, authorization string) (string, error) {
	a := s.attributes(m)
	a.Source, a.StartedAt, a.Key = "api", m.Incident.CycleOpenedAt, m.Key()
	a.ExternalID = a.Key
	a.ServiceIDs, a.GroupIDs, a.EnvironmentIDs = s.config.ServiceIDs, s.config.GroupIDs, s.config.EnvironmentIDs
	if a.NotifyType, a.NotifyID = s.config.NotifyType, s.config.NotifyID; a.NotifyID != "" {
		a.Status = "triggered" // which only On-Call knows
	}
	answer, err := s.ask(ctx, http.MethodPost, "", &a, authorization)
	if err != nil {
		return "", err
	}
	var made struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil || made.Data.ID == "" {
		return "", s.client.Refused(answer, "the answer has no id of an alert")
	}
	return made.Data.ID, nil
}

func (s *Sender) attributes(m *notify.Message) attributes {
	texts := s.templates.Texts(m, nil)
	a := attributes{Summary: m.Headline(), Description: m.Plain(), ExternalURL: m.Links.Incident, Urgency: s.config.Urgencies[m.Incident.Severity]}
	if s.config.Summary != "" {
		a.Summary = texts.Text("summary", s.config.Summary, a.Summary)
	}
	if s.config.Description != "" {
		a.Description = texts.Text("description", s.config.Description, a.Description)
	}
	if a.Summary = notify.Cut(notify.Line(a.Summary), summaryLimit); a.Summary == "" {
		a.Summary = notify.Cut(m.Headline(), summaryLimit)
	}
	a.Description = notify.Cut(strings.ReplaceAll(a.Description, "\x00", ""), descriptionLimit)
	labels := maps.Clone(texts.Data.CommonLabels)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		key, value := notify.Cut(notify.Line(name), labelLimit), notify.Cut(notify.Line(labels[name]), labelLimit)
		if key != "" && value != "" && len(a.Labels) < labelsMost {
			a.Labels = append(a.Labels, label{key, value})
		}
	}
	return a
}

// post does something to an alert.
func (s *Sender) post(ctx context.Context, to string, a any, authorization string) error {
	_, err := s.ask(ctx, http.MethodPost, to, a, authorization)
	return err
}

func (s *Sender) ask(ctx context.Context, method, to string, a any, authorization string) (outgoing.Answer, error) {
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	if a == nil {
		return s.client.Send(ctx, method, s.base()+to, mediaType, nil, "Authorization", authorization)
	}
	text, err := json.Marshal(document{resource{"alerts", a}}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return outgoing.Answer{}, notify.Permanent("rootly: %w", err)
	}
	return s.client.Send(ctx, method, s.base()+to, mediaType, strings.NewReader(string(text)), "Authorization", authorization)
}

func (s *Sender) base() string { return block.Base(s.config.APIURL, defaultURL) + "/v1/alerts" }
