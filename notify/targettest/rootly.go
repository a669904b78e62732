package targettest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Rootly is the part of Rootly's API for alerts:
// https://docs.rootly.com/api-reference/alerts/creates-an-alert,
// https://docs.rootly.com/api-reference/alerts/acknowledges-an-alert and
// https://docs.rootly.com/api-reference/alerts/resolves-an-alert.
type Rootly struct {
	Server
	// Key is the API key.
	Key    string
	alerts []*RootlyAlert
}

// RootlyAlert is one alert.
type RootlyAlert struct {
	ID, Status, Summary, Description, Key, Resolution string
	Labels                                            map[string]string
	Updates                                           int
}

// NewRootly starts the API.
func NewRootly(t testing.TB) *Rootly {
	s := &Rootly{Key: "rootly-api-key"}
	s.start(t, s.handle)
	return s
}

// Alerts are those that were raised.
func (s *Rootly) Alerts() []RootlyAlert {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []RootlyAlert
	for _, one := range s.alerts {
		all = append(all, *one)
	}
	return all
}

type rootlyAttributes struct {
	Source      string    `json:"source"`
	Status      string    `json:"status"`
	Summary     string    `json:"summary"`
	Description string    `json:"description"`
	StartedAt   time.Time `json:"started_at"`
	ExternalID  string    `json:"external_id"`
	ExternalURL string    `json:"external_url"`
	Key         string    `json:"deduplication_key"`
	NotifyType  string    `json:"notification_target_type"`
	NotifyID    string    `json:"notification_target_id"`
	Urgency     string    `json:"alert_urgency_id"`
	Services    []string  `json:"service_ids"`
	Groups      []string  `json:"group_ids"`
	Environs    []string  `json:"environment_ids"`
	Labels      []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"labels"`
}

func (s *Rootly) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, wrong string) string {
		return answer(w, status, map[string]any{"errors": []any{map[string]any{"title": wrong, "status": fmt.Sprint(status)}}}, wrong)
	}
	if r.Header.Get("Authorization") != "Bearer "+s.Key {
		return refuse(http.StatusUnauthorized, "the key is wrong")
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/alerts")
	if !ok {
		return refuse(http.StatusNotFound, r.URL.Path)
	}
	var d struct {
		Data struct {
			Type       string         `json:"type"`
			Attributes jsontext.Value `json:"attributes"`
		} `json:"data"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &d, json.RejectUnknownMembers(true)); err != nil || d.Data.Type != "alerts" || r.Header.Get("Content-Type") != "application/vnd.api+json" {
			return refuse(http.StatusBadRequest, fmt.Sprintf("no JSON:API document of alerts: %v", err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost && path == "" {
		return s.create(w, d.Data.Attributes, refuse)
	}
	id, verb, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	n := slices.IndexFunc(s.alerts, func(a *RootlyAlert) bool { return a.ID == id })
	if n < 0 {
		return refuse(http.StatusNotFound, "no alert "+id)
	}
	one := s.alerts[n]
	switch r.Method + " " + verb {
	case "PATCH ":
		a, wrong := rootlyRead(d.Data.Attributes)
		if wrong != "" {
			return refuse(http.StatusUnprocessableEntity, wrong)
		}
		one.apply(a)
		one.Updates++
	case "POST acknowledge":
		one.Status = "acknowledged"
	case "POST resolve":
		var a struct {
			Message string `json:"resolution_message"`
			Related bool   `json:"resolve_related_incidents"`
		}
		if err := json.Unmarshal(d.Data.Attributes, &a, json.RejectUnknownMembers(true)); err != nil {
			return refuse(http.StatusBadRequest, err.Error())
		}
		one.Status, one.Resolution = "resolved", a.Message
	default:
		return refuse(http.StatusNotFound, r.Method+" "+verb)
	}
	return s.say(w, http.StatusOK, one)
}

func (s *Rootly) create(w http.ResponseWriter, attributes jsontext.Value, refuse func(int, string) string) string {
	a, wrong := rootlyRead(attributes)
	switch {
	case wrong != "":
	case a.Source != "api" || a.Key == "" || a.StartedAt.IsZero():
		wrong = "without source, deduplication_key or started_at"
	case !slices.Contains([]string{"", "open", "triggered"}, a.Status) || (a.Status == "triggered") != (a.NotifyID != ""):
		wrong = "status " + a.Status
	case !slices.Contains([]string{"", "User", "Group", "Service", "EscalationPolicy", "Functionality"}, a.NotifyType):
		wrong = "notification_target_type " + a.NotifyType
	}
	if wrong != "" {
		return refuse(http.StatusUnprocessableEntity, wrong)
	}
	// Alerts with the same deduplication key are one.
	for _, one := range s.alerts {
		if one.Key == a.Key {
			return s.say(w, http.StatusCreated, one)
		}
	}
	one := &RootlyAlert{ID: fmt.Sprintf("alert-%d", len(s.alerts)+1), Status: "open", Key: a.Key}
	if a.Status != "" {
		one.Status = a.Status
	}
	one.apply(a)
	s.alerts = append(s.alerts, one)
	return s.say(w, http.StatusCreated, one)
}

func rootlyRead(attributes jsontext.Value) (a rootlyAttributes, wrong string) {
	if err := json.Unmarshal(attributes, &a, json.RejectUnknownMembers(true)); err != nil {
		return a, err.Error()
	}
	if a.Summary == "" || len(a.Summary) > 255 || strings.ContainsAny(a.Summary, "\r\n\x00") {
		return a, "summary " + a.Summary
	}
	for _, l := range a.Labels {
		if l.Key == "" || l.Value == "" {
			return a, "an empty label"
		}
	}
	return a, ""
}

func (one *RootlyAlert) apply(a rootlyAttributes) {
	one.Summary, one.Description, one.Labels = a.Summary, a.Description, map[string]string{}
	for _, l := range a.Labels {
		one.Labels[l.Key] = l.Value
	}
}

func (s *Rootly) say(w http.ResponseWriter, status int, one *RootlyAlert) string {
	return answer(w, status, map[string]any{"data": map[string]any{"id": one.ID, "type": "alerts", "attributes": map[string]any{"status": one.Status, "summary": one.Summary}}}, "")
}
