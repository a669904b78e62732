package webhook

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// body is Alertmanager's message of version 4, see
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, and
// the incident that the alerts are of.
type body struct {
	*template.Data
	Version         string `json:"version"`
	GroupKey        string `json:"groupKey"`
	TruncatedAlerts uint64 `json:"truncatedAlerts"`
	Incident        about  `json:"incident"`
}

// about is what a receiver has to know of an incident, under the names that the
// API gives to it.
type about struct {
	ID        string `json:"id"`
	Reference string `json:"reference"`
	// Version grows with each change: of two messages the one with the larger is the newer.
	Version        uint64          `json:"version"`
	Title          string          `json:"title"`
	State          string          `json:"state"`
	Phase          string          `json:"phase"`
	Severity       string          `json:"severity"`
	Priority       string          `json:"priority"`
	Service        string          `json:"service"`
	Team           string          `json:"team"`
	OpenedAt       time.Time       `json:"opened_at"`
	AcknowledgedAt time.Time       `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string          `json:"acknowledged_by"`
	ResolvedAt     time.Time       `json:"resolved_at,omitzero"`
	ResolvedBy     string          `json:"resolved_by,omitzero"`
	Drill          bool            `json:"drill,omitzero"`
	Links          []incident.Link `json:"links"`
	// Event is why this is sent, and Remark what is said beside it.
	Event  notify.Event `json:"event"`
	Remark string       `json:"remark,omitzero"`
}

func aboutOf(m *notify.Message) about {
	i := m.Incident
	a := about{ID: i.ID.String(), Reference: i.Reference, Version: i.Version, Title: i.Title, State: i.State, Phase: i.Phase, Severity: i.Severity, Priority: i.Priority,
		Service: i.Service, Team: i.Team, OpenedAt: i.OpenedAt, AcknowledgedAt: i.AcknowledgedAt, AcknowledgedBy: i.AcknowledgedBy,
		ResolvedAt: i.ResolvedAt, ResolvedBy: i.ResolvedBy, Drill: i.Drill, Links: []incident.Link{}, Event: m.Event, Remark: m.Remark}
	for _, l := range []incident.Link{{Name: "incident", URL: m.Links.Incident}, {Name: "acknowledge", URL: m.Links.Acknowledge}, {Name: "resolve", URL: m.Links.Resolve},
		{Name: "runbook", URL: notify.WebURL(i.Runbook)}} {
		if l.URL != "" {
			a.Links = append(a.Links, l)
		}
	}
	a.Links = append(a.Links, i.Links...)
	return a
}

// bodyOf writes the message, with no more than max alerts; 0 is no bound.
func bodyOf(m *notify.Message, data *template.Data, max uint64) ([]byte, error) {
	d := *data
	d.RouteLabels = template.KV{} // in the data they also hold what templates want to know
	for name, value := range m.RouteLabels {
		d.RouteLabels[name] = value
	}
	b := body{Data: &d, Version: "4", GroupKey: m.Key(), TruncatedAlerts: uint64(m.More), Incident: aboutOf(m)}
	if n := uint64(len(d.Alerts)); max > 0 && n > max {
		d.Alerts = d.Alerts[:max]
		b.TruncatedAlerts += n - max
	}
	return encode(b)
}

// encode writes JSON that is the same for the same message, whatever bytes an
// alert came with.
func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: err}
	}
	return text, nil
}
