// Package pagerduty tells PagerDuty of incidents: it triggers, acknowledges and
// resolves an alert under one key.
//
// Events API v2: https://developer.pagerduty.com/docs/send-alert-event and
// https://developer.pagerduty.com/docs/events-api-v2-overview. With a service_key
// it speaks v1: https://developer.pagerduty.com/docs/send-v1-event.
package pagerduty

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	ampagerduty "github.com/prometheus/alertmanager/notify/pagerduty"
	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

const (
	// summaryLimit is in characters, and eventLimit in bytes, both of which PagerDuty
	// states. It states none for the other texts; fieldLimit keeps them readable.
	summaryLimit = 1024
	fieldLimit   = 1024
	eventLimit   = 512_000
	// v1URL is the only address of v1.
	v1URL = "https://events.pagerduty.com/generic/2010-04-15/create_event.json"
)

// The actions of both versions.
const (
	trigger     = "trigger"
	acknowledge = "acknowledge"
	resolve     = "resolve"
)

// Sender tells one integration of PagerDuty. The dedup key is Message.Key, so
// that what is said twice is shown once.
//
// PagerDuty has no event that takes an acknowledgement back. What is no longer
// acknowledged is triggered again, which is written to the incident's log; it
// pages again when the service's acknowledgement timeout ends.
type Sender struct {
	config    *ampagerduty.PagerdutyConfig
	templates *notify.Templates
	client    *outgoing.Client
	key       outgoing.Secret
	v1        bool
}

// New returns a Sender for a block of pagerduty_configs, as config.Load left it.
func New(c *ampagerduty.PagerdutyConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	s := &Sender{config: c, templates: t, v1: c.ServiceKey != "" || c.ServiceKeyFile != "",
		key: outgoing.Secret{Setting: "routing_key", Value: string(c.RoutingKey), File: c.RoutingKeyFile}}
	if s.v1 {
		s.key = outgoing.Secret{Setting: "service_key", Value: string(c.ServiceKey), File: c.ServiceKeyFile}
	} else if c.URL == nil || c.URL.URL == nil {
		return nil, errors.New("notify: pagerduty_configs: url is missing")
	}
	var err error
	s.client, err = outgoing.New(c.HTTPConfig, dial, s.key.Value)
	return s, err
}

// Send tells PagerDuty. It remembers nothing: the key is enough.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	if s.config.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.config.Timeout)
		defer cancel()
	}
	x := s.templates.Texts(m, wire.Clean)
	key, err := s.key.Rendered(x)
	if err != nil {
		return nil, err
	}
	for _, action := range actions(m) {
		if err := s.send(ctx, m, x, key, action); err != nil {
			return nil, outgoing.Scrub(err, key)
		}
	}
	return nil, nil
}

// actions are those that bring PagerDuty to the incident's state. An incident that
// was acknowledged before PagerDuty heard of it is triggered first: PagerDuty
// ignores what is said of a key that it does not know.
func actions(m *notify.Message) []string {
	switch {
	case m.Resolved():
		return []string{resolve}
	case m.Event == notify.Acknowledged:
		return []string{acknowledge}
	case m.Incident.State == incident.Acknowledged:
		return []string{trigger, acknowledge}
	}
	return []string{trigger}
}

func (s *Sender) send(ctx context.Context, m *notify.Message, x *notify.Texts, key, action string) error {
	var a outgoing.Answer
	var err error
	if s.v1 {
		e := s.eventV1(m, x, key, action)
		a, err = s.post(ctx, v1URL, e, func() { e.Details = tooLarge(m) })
	} else {
		e := s.event(m, x, key, action)
		a, err = s.post(ctx, s.config.URL.String(), e, func() { e.Payload.Details = tooLarge(m) })
	}
	var refused *notify.Error
	if s.v1 && a.Status == http.StatusForbidden && errors.As(err, &refused) {
		refused.Reason = notify.ReasonRateLimited // v1 says so in this way
	}
	if err != nil {
		return err
	}
	var answer struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(a.Body, &answer) != nil || answer.Status != "success" {
		return outgoing.Untold("PagerDuty")
	}
	return nil
}

// post sends an event; shrink is called if it is larger than PagerDuty takes.
func (s *Sender) post(ctx context.Context, to string, event any, shrink func()) (outgoing.Answer, error) {
	body, err := json.Marshal(event)
	if err == nil && len(body) > eventLimit {
		shrink()
		body, err = json.Marshal(event)
	}
	if err != nil {
		return outgoing.Answer{}, notify.Permanent("notify: %w", err) // unreachable: all values encode
	}
	return s.client.Send(ctx, http.MethodPost, to, "application/json", bytes.NewReader(body))
}

// event is one of v2.
type event struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"`
	DedupKey   string   `json:"dedup_key"`
	Client     string   `json:"client,omitzero"`
	ClientURL  string   `json:"client_url,omitzero"`
	Links      []link   `json:"links,omitempty"`
	Images     []image  `json:"images,omitempty"`
	Payload    *payload `json:"payload,omitzero"`
}

type payload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Component string         `json:"component,omitzero"`
	Group     string         `json:"group,omitzero"`
	Class     string         `json:"class,omitzero"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text,omitzero"`
}

type image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitzero"`
	Alt  string `json:"alt,omitzero"`
}

func (s *Sender) event(m *notify.Message, x *notify.Texts, key, action string) *event {
	e := &event{RoutingKey: key, Action: action, DedupKey: m.Key()}
	if action != trigger {
		return e
	}
	c := s.config
	field := func(name, text, fallback string) string {
		return wire.Cut(wire.Line(x.Text(name, text, fallback)), fieldLimit)
	}
	e.Client, e.ClientURL = field("client", c.Client, "Tocsin"), s.clientURL(m, x)
	e.Links, e.Images = s.links(m, field), s.images(field)
	e.Payload = &payload{Summary: s.summary(m, x), Source: orElse(field("source", c.Source, ""), "Tocsin"), Severity: severity(field("severity", c.Severity, "")),
		Component: field("component", c.Component, ""), Group: field("group", c.Group, ""), Class: field("class", c.Class, ""), Details: s.details(m, x)}
	return e
}

func (s *Sender) summary(m *notify.Message, x *notify.Texts) string {
	text := strings.TrimSpace(x.Text("description", s.config.Description, m.Headline()))
	return wire.Cut(orElse(text, m.Headline()), summaryLimit)
}

func (s *Sender) clientURL(m *notify.Message, x *notify.Texts) string {
	return orElse(notify.WebURL(x.Text("client_url", s.config.ClientURL, "")), m.Links.Incident)
}

// links are those of the configuration and our own.
func (s *Sender) links(m *notify.Message, field func(name, text, fallback string) string) (out []link) {
	for _, l := range s.config.Links {
		if to := notify.WebURL(field("links.href", l.Href, "")); to != "" {
			out = append(out, link{to, field("links.text", l.Text, "")})
		}
	}
	for _, l := range wire.Links(m) {
		out = append(out, link{l.URL, l.Text})
	}
	return out
}

// images are those that PagerDuty shows: it takes them over HTTPS only.
func (s *Sender) images(field func(name, text, fallback string) string) (out []image) {
	for _, i := range s.config.Images {
		if src := notify.WebURL(field("images.src", i.Src, "")); strings.HasPrefix(src, "https://") {
			out = append(out, image{src, notify.WebURL(field("images.href", i.Href, "")), field("images.alt", i.Alt, "")})
		}
	}
	return out
}

// details are those of the configuration, and what is said beside them.
func (s *Sender) details(m *notify.Message, x *notify.Texts) map[string]any {
	out := map[string]any{}
	for name, v := range s.config.Details {
		failed := len(m.Failed())
		made, err := template.DeepCopyWithTemplate(v, func(text string) (string, error) { return x.Text("details."+name, text, ""), nil })
		if err != nil || len(m.Failed()) > failed {
			made = "the template of this detail failed"
		}
		out[wire.Clean(name)] = wire.Value(made)
	}
	if facts := wire.Facts(m); len(facts) > 0 {
		out["tocsin"] = strings.Join(facts, "\n")
	}
	if len(m.Failed()) > 0 {
		out["incident"] = wire.Clean(m.Plain()) // what the templates should have said
	}
	return out
}

// tooLarge stands for details that PagerDuty would not take.
func tooLarge(m *notify.Message) map[string]any {
	return map[string]any{"error": "The details were left out: with them the event is larger than PagerDuty takes.", "incident": wire.Clean(m.Plain())}
}

// severities are the words that PagerDuty knows, and what others mean by them.
var severities = map[string]string{
	"critical": "critical", "crit": "critical", "page": "critical", "fatal": "critical", "emergency": "critical", "disaster": "critical", "p1": "critical",
	"error": "error", "err": "error", "high": "error", "major": "error", "p2": "error",
	"warning": "warning", "warn": "warning", "minor": "warning", "average": "warning", "medium": "warning", "p3": "warning",
	"info": "info", "information": "info", "informational": "info", "notice": "info", "low": "info", "debug": "info", "ok": "info", "none": "info", "p4": "info", "p5": "info",
}

// severity is PagerDuty's word. Without one that is known it is error, as with
// Alertmanager: an urgent one, so that somebody looks.
func severity(word string) string {
	return orElse(severities[strings.ToLower(word)], "error")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// eventV1 is one of v1.
type eventV1 struct {
	ServiceKey  string         `json:"service_key"`
	Type        string         `json:"event_type"`
	IncidentKey string         `json:"incident_key"`
	Description string         `json:"description"`
	Client      string         `json:"client,omitzero"`
	ClientURL   string         `json:"client_url,omitzero"`
	Details     map[string]any `json:"details,omitempty"`
}

func (s *Sender) eventV1(m *notify.Message, x *notify.Texts, key, action string) *eventV1 {
	e := &eventV1{ServiceKey: key, Type: action, IncidentKey: m.Key(), Description: s.summary(m, x)}
	if action == trigger {
		e.Client = wire.Cut(wire.Line(x.Text("client", s.config.Client, "Tocsin")), fieldLimit)
		e.ClientURL, e.Details = s.clientURL(m, x), s.details(m, x)
	}
	return e
}
