package targettest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// IncidentIO is an alert source of incident.io for Alertmanager: the body is that of
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, alerts are
// known by their key (https://docs.incident.io/alerts/deduplication), and the answer
// is that of https://docs.incident.io/api-reference/alert-events-v2/createhttp.
type IncidentIO struct {
	Server
	mu     sync.Mutex
	events []IncidentIOEvent
	open   map[string]bool
}

// IncidentIOEvent is one event as it was taken.
type IncidentIOEvent struct {
	Version            string            `json:"version"`
	GroupKey           string            `json:"groupKey"`
	TruncatedAlerts    int               `json:"truncatedAlerts"`
	Receiver           string            `json:"receiver"`
	Status             string            `json:"status"`
	NotificationReason string            `json:"notification_reason"`
	GroupLabels        map[string]string `json:"groupLabels"`
	CommonLabels       map[string]string `json:"commonLabels"`
	CommonAnnotations  map[string]string `json:"commonAnnotations"`
	RouteLabels        map[string]string `json:"routeLabels"`
	ExternalURL        string            `json:"externalURL"`
	Alerts             []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

// IncidentIOToken is the source's secret.
const IncidentIOToken = "7c1f2b5eincidentiosecret0d9a"

const incidentIOPath = "/v2/alert_events/alertmanager/01GW2G3V0S59R238FAHPDS1R66"

// NewIncidentIO serves until the test ends.
func NewIncidentIO(t testing.TB) *IncidentIO {
	s := &IncidentIO{open: map[string]bool{}}
	s.start(t, s.take)
	return s
}

// Source is the URL that takes events.
func (s *IncidentIO) Source() string { return s.URL + incidentIOPath }

// Events are those that were taken.
func (s *IncidentIO) Events() []IncidentIOEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Alerts are the keys of all alerts there are, with whether they fire.
func (s *IncidentIO) Alerts() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.open)
}

func (s *IncidentIO) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, kind, message string) string {
		replyJSON(w, status, map[string]any{"type": kind, "status": status, "errors": []string{message}})
		return message
	}
	if r.Method != http.MethodPost || r.URL.Path != incidentIOPath {
		return refuse(http.StatusNotFound, "not_found", "no such alert source")
	}
	if r.Header.Get("Authorization") != "Bearer "+IncidentIOToken {
		return refuse(http.StatusUnauthorized, "authentication_error", "the token is not valid")
	}
	if len(body) > 512<<10 {
		return refuse(http.StatusTooManyRequests, "too_many_requests", "the payload is too large")
	}
	var e IncidentIOEvent
	if wrong := firstOf(readStrictly(r, body, &e), e.wrong()); wrong != "" {
		return refuse(http.StatusUnprocessableEntity, "validation_error", wrong)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	if _, known := s.open[e.GroupKey]; known || e.Status == "firing" {
		s.open[e.GroupKey] = e.Status == "firing"
	}
	replyJSON(w, http.StatusAccepted, map[string]any{"deduplication_key": e.GroupKey, "message": "Event accepted for processing", "status": "success"})
	return ""
}

// wrong says what the page does not allow.
func (e *IncidentIOEvent) wrong() string {
	if e.GroupKey == "" || e.Receiver == "" || len(e.Alerts) == 0 {
		return "groupKey, receiver and alerts are required"
	}
	firing := 0
	for _, a := range e.Alerts {
		if a.Status != "firing" && a.Status != "resolved" || a.StartsAt.IsZero() || len(a.Labels) == 0 || a.Fingerprint == "" {
			return "an alert lacks its status, labels, start or fingerprint"
		}
		if a.Status == "firing" {
			firing++
		}
		if (a.Status == "resolved") != (!a.EndsAt.IsZero() && !a.EndsAt.After(time.Now())) {
			return "an alert's end does not fit its status"
		}
	}
	if want := map[bool]string{true: "firing", false: "resolved"}[firing > 0]; e.Status != want && e.TruncatedAlerts == 0 {
		return "the status is " + e.Status + ", and that of the alerts " + want
	}
	return ""
}
