package targettest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// VictorOpsKey and VictorOpsRoute are what the URL of VictorOps ends with.
const (
	VictorOpsKey   = "558e7ebc-6cbf-4b3e-9b9d-0b7d2b0e4f64"
	VictorOpsRoute = "database"
)

// VictorOps is a server of the REST endpoint of VictorOps, which is now Splunk
// On-Call:
// https://help.splunk.com/en/splunk-observability-cloud/splunk-on-call/integrations-with-splunk-on-call/rest-endpoint-integration-for-splunk-on-call.
// The fields: https://help.splunk.com/en/splunk-observability-cloud/splunk-on-call/alerts/incident-fields-glossary.
type VictorOps struct {
	Server
	state    sync.Mutex
	entities map[string]*VictorOpsIncident
}

// VictorOpsIncident is what VictorOps knows of one entity.
type VictorOpsIncident struct {
	// State is triggered, acknowledged or resolved.
	State string
	// Opened is how often it was opened: people are paged each time. Log are the
	// message types that came, in their order.
	Opened int
	Log    []string
	// Fields are those of the latest message.
	Fields map[string]string
}

// NewVictorOps serves until the test ends.
func NewVictorOps(t testing.TB) *VictorOps {
	v := &VictorOps{entities: map[string]*VictorOpsIncident{}}
	v.start(t, v.handle)
	return v
}

// AlertURL is the api_url, which ends before the key.
func (v *VictorOps) AlertURL() string { return v.URL + "/integrations/generic/20131114/alert/" }

// Incidents are those by entity.
func (v *VictorOps) Incidents() map[string]VictorOpsIncident {
	v.state.Lock()
	defer v.state.Unlock()
	out := map[string]VictorOpsIncident{}
	for id, i := range v.entities {
		out[id] = *i
	}
	return out
}

func (v *VictorOps) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	rest, ok := strings.CutPrefix(r.URL.Path, "/integrations/generic/20131114/alert/")
	key, route, whole := strings.Cut(rest, "/")
	if !ok || !whole || route == "" || strings.Contains(r.URL.EscapedPath(), "//") {
		answerJSON(w, http.StatusNotFound, map[string]any{"result": "failure", "message": "no such path"})
		return "the path is not that of the endpoint"
	}
	if key != VictorOpsKey {
		answerJSON(w, http.StatusForbidden, map[string]any{"result": "failure", "message": "unknown key"})
		return "the key is wrong"
	}
	if route != VictorOpsRoute {
		return v.refuse(w, "there is no route "+route)
	}
	f := members{}
	if f.wrong = wrongJSON(r, http.MethodPost, body); f.wrong == "" {
		if err := json.Unmarshal(body, &f.doc); err != nil {
			f.wrong = err.Error()
		}
	}
	kind := f.oneOf("message_type", true, "CRITICAL", "WARNING", "INFO", "ACKNOWLEDGEMENT", "RECOVERY")
	id := f.text("entity_id", true, 512)
	fields := map[string]string{}
	for name := range f.doc {
		fields[name] = f.text(name, false, 20_480)
	}
	for name := range f.doc {
		if strings.HasPrefix(name, "vo_annotate.u.") {
			f.web(name, true)
		}
	}
	if f.wrong != "" {
		return v.refuse(w, f.wrong)
	}
	v.act(kind, id, fields)
	answerJSON(w, http.StatusOK, map[string]any{"result": "success", "entity_id": id})
	return ""
}

// refuse answers as VictorOps does: the status does not say that it failed.
func (v *VictorOps) refuse(w http.ResponseWriter, wrong string) string {
	answerJSON(w, http.StatusOK, map[string]any{"result": "failure", "message": wrong})
	return wrong
}

func (v *VictorOps) act(kind, id string, fields map[string]string) {
	v.state.Lock()
	defer v.state.Unlock()
	i := v.entities[id]
	if i == nil {
		if !slices.Contains([]string{"CRITICAL", "WARNING"}, kind) {
			return // it is in the timeline, and nothing more
		}
		i = &VictorOpsIncident{State: "resolved"}
		v.entities[id] = i
	}
	i.Log, i.Fields = append(i.Log, kind), fields
	switch kind {
	case "CRITICAL", "WARNING":
		if i.State == "resolved" {
			i.State, i.Opened = "triggered", i.Opened+1
		}
	case "ACKNOWLEDGEMENT":
		if i.State == "triggered" {
			i.State = "acknowledged"
		}
	case "RECOVERY":
		i.State = "resolved"
	}
}
