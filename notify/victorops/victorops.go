// Package victorops tells VictorOps, which is now Splunk On-Call, of incidents.
//
// The requests:
// https://help.splunk.com/en/splunk-observability-cloud/splunk-on-call/integrations-with-splunk-on-call/rest-endpoint-integration-for-splunk-on-call.
// The fields: https://help.splunk.com/en/splunk-observability-cloud/splunk-on-call/alerts/incident-fields-glossary.
package victorops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

const (
	// textLimit is that of state_message, in characters. None is stated for the
	// display name, which nameLimit keeps readable.
	textLimit = 20_480
	nameLimit = 1024
)

// The message types.
const (
	critical        = "CRITICAL"
	warning         = "WARNING"
	info            = "INFO"
	acknowledgement = "ACKNOWLEDGEMENT"
	recovery        = "RECOVERY"
)

// Sender tells one route. The entity is Message.Key, so that what is said twice
// is shown once.
//
// VictorOps has no message that takes an acknowledgement back. What is no longer
// acknowledged is said again as the problem that it is.
type Sender struct {
	config    *config.VictorOpsConfig
	templates *notify.Templates
	client    *outgoing.Client
	key       outgoing.Secret
}

// New returns a Sender for a block of victorops_configs, as config.Load left it.
func New(c *config.VictorOpsConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	if c.APIURL == nil || c.APIURL.URL == nil {
		return nil, errors.New("notify: victorops_configs: api_url is missing")
	}
	s := &Sender{config: c, templates: t, key: outgoing.Secret{Setting: "api_key", Value: string(c.APIKey), File: c.APIKeyFile}}
	var err error
	s.client, err = outgoing.New(c.HTTPConfig, dial, s.key.Value)
	return s, err
}

// Send tells VictorOps. It remembers nothing: the entity is enough.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	x := s.templates.Texts(m, wire.Untagged)
	key, err := s.key.Read()
	if err != nil {
		return nil, err
	}
	to, err := s.address(x, key)
	if err != nil {
		return nil, err
	}
	fields := s.fields(m, x)
	for _, kind := range s.kinds(m, x) {
		if err := s.send(ctx, to, of(kind, m, fields)); err != nil {
			return nil, outgoing.Scrub(err, key)
		}
	}
	return nil, nil
}

// address is where alerts of the route go.
func (s *Sender) address(x *notify.Texts, key string) (string, error) {
	route := wire.Line(x.Text("routing_key", s.config.RoutingKey, ""))
	if route == "" || route == "." || route == ".." || key == "" {
		return "", notify.Permanent("routing_key: the template makes nothing of it for this incident")
	}
	return strings.TrimRight(s.config.APIURL.String(), "/") + "/" + url.PathEscape(key) + "/" + url.PathEscape(route), nil
}

// kinds are the types of the messages that bring the entity to the incident's
// state. One that was acknowledged before VictorOps heard of it is opened first.
func (s *Sender) kinds(m *notify.Message, x *notify.Texts) []string {
	problem := strings.ToUpper(strings.TrimSpace(x.Text("message_type", s.config.MessageType, critical)))
	if !slices.Contains([]string{critical, warning, info}, problem) {
		problem = critical
	}
	switch {
	case m.Resolved():
		return []string{recovery}
	case m.Event == notify.Acknowledged:
		return []string{acknowledgement}
	case m.Incident.State == incident.Acknowledged:
		return []string{problem, acknowledgement}
	}
	return []string{problem}
}

// fields are those of every message: the configuration's, and where to go.
func (s *Sender) fields(m *notify.Message, x *notify.Texts) map[string]string {
	c, headline := s.config, wire.Untagged(m.Headline())
	name := wire.Line(x.Text("entity_display_name", c.EntityDisplayName, headline))
	if name == "" {
		name = headline
	}
	state := strings.TrimSpace(wire.Clean(x.Text("state_message", c.StateMessage, wire.Untagged(m.Plain()))))
	facts := wire.Untagged(strings.Join(wire.Facts(m), "\n"))
	out := map[string]string{"entity_id": m.Key(), "entity_display_name": wire.Cut(name, nameLimit), "state_message": wire.WithFooter(state, facts, textLimit),
		"monitoring_tool": wire.Cut(wire.Line(x.Text("monitoring_tool", c.MonitoringTool, "Tocsin")), nameLimit)}
	for _, l := range wire.Links(m) {
		out["vo_annotate.u."+l.Text] = l.URL
	}
	for _, name := range slices.Sorted(maps.Keys(c.CustomFields)) {
		out[wire.Line(name)] = wire.Cut(wire.Clean(x.Text("custom_fields."+name, c.CustomFields[name], "the template of this field failed")), textLimit)
	}
	for name, text := range out {
		// A URL that is none makes VictorOps show nothing.
		if strings.HasPrefix(name, "vo_annotate.u.") && notify.WebURL(text) == "" {
			delete(out, name)
		}
	}
	return out
}

// of is a message of the type.
func of(kind string, m *notify.Message, fields map[string]string) map[string]string {
	out := maps.Clone(fields)
	out["message_type"] = kind
	if kind == acknowledgement {
		out["ack_author"] = wire.Cut(wire.Untagged(wire.Line(m.Incident.AcknowledgedBy)), nameLimit)
		out["ack_msg"] = wire.Cut(wire.Untagged(m.Headline()), nameLimit)
	}
	return out
}

func (s *Sender) send(ctx context.Context, to string, fields map[string]string) error {
	a, err := s.client.JSON(ctx, http.MethodPost, to, fields)
	if err != nil {
		return err
	}
	var answer struct {
		Result  string `json:"result"`
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(a.Body, &answer) != nil || answer.Result == "":
		return outgoing.Untold("VictorOps")
	case answer.Result != "success":
		// The status is that of success all the same. It may be the route, which
		// somebody can set up meanwhile.
		return &notify.Error{Reason: notify.ReasonClient, Err: fmt.Errorf("answered %s: %s", notify.Line(answer.Result), notify.Line(answer.Message))}
	}
	return nil
}
