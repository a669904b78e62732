// Package opsgenie tells Opsgenie of incidents, and Jira Service Management,
// which takes the same requests since Opsgenie became a part of it.
//
// Opsgenie: https://docs.opsgenie.com/docs/alert-api. Jira Service Management:
// https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v1/api-group-integration-events/.
package opsgenie

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	amopsgenie "github.com/prometheus/alertmanager/notify/opsgenie"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

// Sender tells one integration. The alias is Message.Key: while an alert with an
// alias is not closed, another one with it is only counted.
type Sender struct {
	settings  settings
	templates *notify.Templates
	client    *outgoing.Client
}

// settings are what both kinds of blocks have.
type settings struct {
	// alerts is the URL below which alerts are.
	alerts                                                              *url.URL
	key                                                                 outgoing.Secret
	message, description, source, entity, actions, tags, note, priority string
	details                                                             map[string]string
	responders                                                          []Responder
	// update: message and description are written anew with each message.
	update bool
	// jsm: it is Jira Service Management, which may have no request that takes an
	// acknowledgement back.
	jsm bool
}

// New returns a Sender for a block of opsgenie_configs, as config.Load left it.
func New(c *amopsgenie.OpsGenieConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	if c.APIURL == nil || c.APIURL.URL == nil {
		return nil, errors.New("notify: opsgenie_configs: api_url is missing")
	}
	s := &Sender{templates: t, settings: settings{alerts: alertsURL(c.APIURL.URL), key: outgoing.Secret{Setting: "api_key", Value: string(c.APIKey), File: c.APIKeyFile},
		message: c.Message, description: c.Description, source: c.Source, entity: c.Entity, actions: c.Actions, tags: c.Tags, note: c.Note, priority: c.Priority,
		details: c.Details, update: c.UpdateAlerts}}
	for _, r := range c.Responders {
		s.settings.responders = append(s.settings.responders, Responder(r))
	}
	var err error
	s.client, err = outgoing.New(c.HTTPConfig, dial, s.settings.key.Value)
	return s, err
}

// alertsURL is where alerts are below an api_url, with or without the version at
// its end.
func alertsURL(api *url.URL) *url.URL {
	u := *api
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v2")
	return u.JoinPath("v2", "alerts")
}

// Send tells Opsgenie. It remembers nothing: the alias is enough.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	x := s.templates.Texts(m, wire.Untagged)
	key, err := s.settings.key.Rendered(x)
	if err != nil {
		return nil, err
	}
	for _, r := range s.requests(m, x) {
		if err := s.do(ctx, key, r); err != nil {
			return nil, outgoing.Scrub(err, key)
		}
	}
	return nil, nil
}

// request is one of those that a message is made of.
type request struct {
	method string
	// action is what follows the alias in the path; empty creates.
	action, alias string
	body          any
}

// requests are those that bring the alert to the incident's state. One that
// is said to be open is created in any case: somebody may have closed it there.
func (s *Sender) requests(m *notify.Message, x *notify.Texts) []request {
	alias := m.Key()
	change := func(action, user string) request {
		return request{http.MethodPost, action, alias, act{User: wire.Cut(wire.Line(user), userLimit), Source: s.source(x)}}
	}
	if m.Resolved() {
		return []request{change("close", m.Incident.ResolvedBy)}
	}
	var all []request
	if m.Event != notify.Acknowledged || s.settings.update {
		a := s.alert(m, x)
		if m.Event != notify.Acknowledged {
			all = append(all, request{http.MethodPost, "", alias, a})
		}
		all = append(all, s.updates(a)...)
	}
	switch {
	case m.Incident.State == incident.Acknowledged:
		all = append(all, change("acknowledge", m.Incident.AcknowledgedBy))
	case m.Event == notify.Unacknowledged:
		all = append(all, change("unacknowledge", ""))
	}
	return all
}

// updates write anew what an alert that is only counted would keep.
func (s *Sender) updates(a alert) []request {
	if !s.settings.update {
		return nil
	}
	all := []request{{http.MethodPut, "message", a.Alias, struct {
		Message string `json:"message"`
	}{a.Message}}}
	if a.Description == "" {
		return all // it cannot be made empty
	}
	return append(all, request{http.MethodPut, "description", a.Alias, struct {
		Description string `json:"description"`
	}{a.Description}})
}

// act is the body of an action on an alert.
type act struct {
	User   string `json:"user,omitzero"`
	Source string `json:"source,omitzero"`
	Note   string `json:"note,omitzero"`
}

func (s *Sender) do(ctx context.Context, key string, r request) error {
	to := *s.settings.alerts
	if r.action != "" {
		to = *to.JoinPath(r.alias, r.action)
		to.RawQuery = "identifierType=alias"
	}
	a, err := s.client.JSON(ctx, r.method, to.String(), r.body, "Authorization", "GenieKey "+key)
	if s.settings.jsm && r.action == "unacknowledge" && (a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed) {
		return s.do(ctx, key, request{http.MethodPost, "notes", r.alias, act{Source: r.body.(act).Source, Note: "No longer acknowledged: nobody works on it."}})
	}
	if err != nil {
		return err
	}
	var answer struct {
		RequestID string `json:"requestId"`
	}
	if json.Unmarshal(a.Body, &answer) != nil || answer.RequestID == "" {
		return outgoing.Untold("Opsgenie")
	}
	return nil
}
