package targettest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// Statuspage is the part of https://developer.statuspage.io/ that shows incidents.
type Statuspage struct {
	Server
	// Key is the API key; the page is page1, with the components c1 to c3.
	Key        string
	incidents  []*PageIncident
	components map[string]string
}

// PageIncident is an incident of the page.
type PageIncident struct {
	ID       string                       `json:"id"`
	Name     string                       `json:"name"`
	Status   string                       `json:"status"`
	Metadata map[string]map[string]string `json:"metadata"`
	// Updates are what the public could read, oldest first, as STATUS: BODY.
	Updates []string `json:"-"`
	// ComponentIDs are those that it is shown at.
	ComponentIDs []string `json:"-"`
}

type pageRequest struct {
	Incident struct {
		Name         *string                      `json:"name"`
		Status       string                       `json:"status"`
		Body         string                       `json:"body"`
		ComponentIDs []string                     `json:"component_ids"`
		Components   map[string]string            `json:"components"`
		Metadata     map[string]map[string]string `json:"metadata"`
		Deliver      *bool                        `json:"deliver_notifications"`
	} `json:"incident"`
}

// NewStatuspage starts the API.
func NewStatuspage(t testing.TB) *Statuspage {
	s := &Statuspage{Key: "page-api-key", components: map[string]string{"c1": "operational", "c2": "operational", "c3": "operational"}}
	s.start(t, s.handle)
	return s
}

// Incidents are those of the page.
func (s *Statuspage) Incidents() []PageIncident {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []PageIncident
	for _, one := range s.incidents {
		all = append(all, *one)
	}
	return all
}

// Component is the status of one.
func (s *Statuspage) Component(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.components[id]
}

// Delete takes all incidents off the page.
func (s *Statuspage) Delete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.incidents = nil
}

func (s *Statuspage) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	if got := r.Header.Get("Authorization"); got != "OAuth "+s.Key {
		return answer(w, http.StatusUnauthorized, map[string]string{"error": "Could not authenticate"}, "the authorization is wrong")
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/pages/page1/incidents")
	if !ok {
		return answer(w, http.StatusNotFound, map[string]string{"error": "not found"}, r.URL.Path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && path == "/unresolved":
		open := []*PageIncident{}
		for _, one := range s.incidents {
			if one.Status != "resolved" {
				open = append(open, one)
			}
		}
		return answer(w, http.StatusOK, open, "")
	case r.Method == http.MethodPost && path == "":
		one := &PageIncident{ID: fmt.Sprintf("inc%d", len(s.incidents)+1)}
		if wrong := s.change(one, body, true); wrong != "" {
			return answer(w, http.StatusUnprocessableEntity, map[string]any{"error": []string{wrong}}, wrong)
		}
		s.incidents = append(s.incidents, one)
		return answer(w, http.StatusCreated, one, "")
	}
	n := slices.IndexFunc(s.incidents, func(one *PageIncident) bool { return path == "/"+one.ID })
	switch {
	case n < 0:
		return answer(w, http.StatusNotFound, map[string]string{"error": "not found"}, "")
	case r.Method == http.MethodGet:
		return answer(w, http.StatusOK, s.incidents[n], "")
	case r.Method == http.MethodPatch:
		if wrong := s.change(s.incidents[n], body, false); wrong != "" {
			return answer(w, http.StatusUnprocessableEntity, map[string]any{"error": []string{wrong}}, wrong)
		}
		return answer(w, http.StatusOK, s.incidents[n], "")
	}
	return answer(w, http.StatusMethodNotAllowed, nil, r.Method)
}

func (s *Statuspage) change(one *PageIncident, body []byte, create bool) string {
	var r pageRequest
	if err := json.Unmarshal(body, &r, json.RejectUnknownMembers(true)); err != nil {
		return err.Error()
	}
	i := r.Incident
	switch {
	case create && (i.Name == nil || *i.Name == ""):
		return "name can't be blank"
	case i.Name != nil && len([]rune(*i.Name)) > 255:
		return "name is too long"
	case !slices.Contains([]string{"investigating", "identified", "monitoring", "resolved"}, i.Status):
		return "status is " + i.Status
	case i.Body == "" || len(i.Body) > 25000:
		return fmt.Sprintf("a body of %d bytes", len(i.Body))
	case strings.ContainsAny(i.Body, "<>"):
		return "markup that nobody wrote into the configuration: " + i.Body
	}
	for _, id := range i.ComponentIDs {
		if s.components[id] == "" {
			return "component " + id
		}
	}
	for id, status := range i.Components {
		if s.components[id] == "" || !slices.Contains([]string{"operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"}, status) {
			return "component " + id + " " + status
		}
		s.components[id] = status
	}
	if i.Name != nil {
		one.Name = *i.Name
	}
	if i.Metadata != nil {
		one.Metadata = i.Metadata
	}
	if i.ComponentIDs != nil {
		one.ComponentIDs = i.ComponentIDs
	}
	one.Status = i.Status
	one.Updates = append(one.Updates, i.Status+": "+i.Body)
	return ""
}

// answer writes JSON, and returns what is wrong.
func answer(w http.ResponseWriter, status int, v any, wrong string) string {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v) // the client may have gone
	return wrong
}
