package answers

import (
	"context"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// Webhooks of version 3, their events and their signature:
// https://developer.pagerduty.com/docs/webhooks-overview
// https://developer.pagerduty.com/docs/verifying-webhook-signatures
// https://support.pagerduty.com/main/docs/webhooks
const headerPagerDuty = "X-PagerDuty-Signature"

// pagerdutyBody is what we read of an event.
type pagerdutyBody struct {
	Event struct {
		ID        string `json:"id"`
		EventType string `json:"event_type"`
		// OccurredAt is a time of RFC 3339.
		OccurredAt string           `json:"occurred_at"`
		Agent      *pagerdutyObject `json:"agent"`
		Data       struct {
			ID          string `json:"id"`
			Type        string `json:"type"`
			IncidentKey string `json:"incident_key"`
			// Incident and Content are those of a note.
			Incident *pagerdutyObject `json:"incident"`
			Content  string           `json:"content"`
		} `json:"data"`
	} `json:"event"`
}

// pagerdutyObject is a reference to something there.
type pagerdutyObject struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Summary string `json:"summary"`
}

// isPerson: a user did it. isIntegration: a monitoring tool did, and for our
// incidents that is us.
func (o *pagerdutyObject) isPerson() bool { return o != nil && o.Type == "user_reference" }
func (o *pagerdutyObject) isIntegration() bool {
	return o != nil && strings.HasSuffix(o.Type, "inbound_integration_reference")
}

// pagerduty answers POST /hooks/pagerduty.
func (h *Handler) pagerduty(c *gin.Context, r *request) (Answer, error) {
	if len(r.config.PagerDuty.Secrets) == 0 {
		return Answer{}, off("pagerduty")
	}
	if !pagerdutySigned(r.config.PagerDuty.Secrets, r.Header.Values(headerPagerDuty), r.body) {
		return Answer{}, h.refuse(c, headerPagerDuty+": not signed with a secret of the configuration")
	}
	var b pagerdutyBody
	if err := decode(r.body, &b); err != nil {
		return Answer{}, err
	}
	e := &b.Event
	switch {
	case e.EventType == "":
		return Answer{}, invalid("event.event_type", "missing")
	case e.EventType == "pagey.ping", !strings.HasPrefix(e.EventType, "incident."):
		return ignored(e.EventType), nil
	case e.ID == "":
		return Answer{}, invalid("event.id", "missing")
	}
	return h.pagerdutyEvent(r.ctx, &b)
}

// pagerdutyEvent does what happened to an incident there.
func (h *Handler) pagerdutyEvent(ctx context.Context, b *pagerdutyBody) (Answer, error) {
	const tool = "pagerduty"
	e := &b.Event
	s := said{id: tool + " " + e.ID, where: "pagerduty webhook"}
	if at, err := time.Parse(time.RFC3339, e.OccurredAt); err == nil {
		s.at = at
	}
	key := e.Data.IncidentKey
	if key == "" && e.Data.Incident != nil { // a note only has their id
		var err error
		if key, err = h.recall(ctx, tool, e.Data.Incident.ID); err != nil {
			return Answer{}, err
		}
	}
	if !s.about(key) {
		return Answer{Result: resultUnknown, Note: "not an incident of Tocsin"}, nil
	}
	if e.Data.Type == "incident" {
		if err := h.remember(ctx, tool, e.Data.ID, key); err != nil {
			return Answer{}, err
		}
	}
	if e.Agent.isIntegration() {
		return ignored("this is what Tocsin said itself"), nil
	}
	names := []string{}
	if e.Agent.isPerson() {
		names = append(names, e.Agent.Summary, e.Agent.ID)
	}
	s.by = person("PagerDuty", names...)
	if !pagerdutyDeed(&s, e.EventType, e.Agent.isPerson(), e.Data.Content) {
		return ignored(e.EventType), nil
	}
	return h.act(ctx, s)
}

// pagerdutyDeed fills in what an event means, and reports whether it means
// anything. Only a person acknowledges or resolves: what PagerDuty does by its
// timers or automation is no sign that somebody works on it, or that it is over.
// That an acknowledgement ran out is.
func pagerdutyDeed(s *said, event string, byPerson bool, content string) bool {
	switch {
	case event == "incident.acknowledged" && byPerson:
		s.do = acknowledge
	case event == "incident.unacknowledged":
		s.do = unacknowledge
		if !byPerson {
			s.by, s.text = "PagerDuty", "the acknowledgement ran out there"
		}
	case event == "incident.resolved" && byPerson:
		s.do = resolve
	case event == "incident.reopened":
		s.do, s.text = note, "reopened in PagerDuty"
	case event == "incident.annotated":
		s.do, s.text = note, comment(content)
		return s.text != ""
	default:
		return false
	}
	return true
}

// pagerdutySigned verifies the signatures of version v1: one for each secret that
// is in use there.
func pagerdutySigned(secrets []secret.String, headers []string, body []byte) bool {
	given := strings.Split(strings.Join(headers, ","), ",")
	const most = 10 // no more are looked at
	for _, one := range given[:min(len(given), most)] {
		if mac, ok := strings.CutPrefix(strings.TrimSpace(one), "v1="); ok && signed(secrets, mac, body) {
			return true
		}
	}
	return false
}
