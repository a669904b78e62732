package targettest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// OpsgenieKey is the API key that Opsgenie takes.
const OpsgenieKey = "eb243592-faa2-4ba2-a551-1afdf565c889"

// Opsgenie is a server of Opsgenie's Alert API,
// https://docs.opsgenie.com/docs/alert-api, below /v2/alerts; and of the
// integration events of Jira Service Management,
// https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v1/api-group-integration-events/,
// below /jsm/ops/integration/v2/alerts, which are the same requests, but fewer.
type Opsgenie struct {
	Server
	state  sync.Mutex
	alerts []*OpsgenieAlert
	// unacknowledges: the integration events take an acknowledgement back. Their page
	// does not name the request, but Opsgenie's does.
	unacknowledges bool
}

// OpsgenieAlert is one alert of Opsgenie.
type OpsgenieAlert struct {
	Alias string
	// State is open, acknowledged or closed.
	State string
	// Count is how often it was created while it was open.
	Count                                                    int
	Message, Description, Entity, Source, Priority, ClosedBy string
	AcknowledgedBy                                           string
	Tags, Actions, Notes                                     []string
	Details                                                  map[string]any
	Responders                                               []map[string]any
	// Log are the actions that came, in their order.
	Log []string
}

// NewOpsgenie serves until the test ends.
func NewOpsgenie(t testing.TB) *Opsgenie {
	o := &Opsgenie{}
	o.start(t, o.handle)
	return o
}

// JSMUnacknowledges makes the integration events of Jira Service Management take an
// acknowledgement back.
func (o *Opsgenie) JSMUnacknowledges() {
	o.state.Lock()
	defer o.state.Unlock()
	o.unacknowledges = true
}

// Alerts are all there ever were, oldest first.
func (o *Opsgenie) Alerts() (out []OpsgenieAlert) {
	o.state.Lock()
	defer o.state.Unlock()
	for _, a := range o.alerts {
		out = append(out, *a)
	}
	return out
}

func (o *Opsgenie) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	path, jsm := strings.CutPrefix(r.URL.Path, "/jsm/ops/integration")
	path, ok := strings.CutPrefix(path, "/v2/alerts")
	if !ok {
		answerJSON(w, http.StatusNotFound, map[string]any{"message": "no such path"})
		return "there is no such path"
	}
	if r.Header.Get("Authorization") != "GenieKey "+OpsgenieKey {
		answerJSON(w, http.StatusUnauthorized, map[string]any{"message": "Could not authenticate", "took": 0.001, "requestId": "r"})
		return "the Authorization header is not GenieKey and the key"
	}
	method, action := http.MethodPost, "create"
	alias := ""
	if path != "" {
		parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
		if len(parts) != 2 || r.URL.Query().Get("identifierType") != "alias" {
			answerJSON(w, http.StatusNotFound, map[string]any{"message": "no such alert"})
			return "it does not name an alert by its alias"
		}
		alias, action = parts[0], parts[1]
	}
	o.state.Lock()
	defer o.state.Unlock()
	known := []string{"create", "acknowledge", "close", "notes"}
	if !jsm || o.unacknowledges {
		known = append(known, "unacknowledge")
	}
	if !jsm {
		known = append(known, "message", "description")
	}
	if !slices.Contains(known, action) {
		answerJSON(w, http.StatusNotFound, map[string]any{"message": "no such path"})
		if jsm && action == "unacknowledge" {
			return "" // not in the documents, and so it may be tried
		}
		return "there is no action " + action
	}
	if action == "message" || action == "description" {
		method = http.MethodPut
	}
	f := members{}
	if f.wrong = wrongJSON(r, method, body); f.wrong == "" {
		if err := json.Unmarshal(body, &f.doc); err != nil {
			f.wrong = err.Error()
		}
	}
	act := o.act(&f, action, alias)
	if f.wrong != "" {
		answerJSON(w, http.StatusUnprocessableEntity, map[string]any{"message": f.wrong, "took": 0.001, "requestId": "r"})
		return f.wrong
	}
	act()
	answerJSON(w, http.StatusAccepted, map[string]any{"result": "Request will be processed", "took": 0.302, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"})
	return ""
}

// act checks what an action needs and returns what it does.
func (o *Opsgenie) act(f *members, action, alias string) func() {
	switch action {
	case "create":
		a := opsgenieAlert(f)
		return func() { o.create(a) }
	case "message":
		text := f.text("message", true, 130)
		return o.onOpen(alias, action, func(a *OpsgenieAlert) { a.Message = text })
	case "description":
		text := f.text("description", true, 15_000)
		return o.onOpen(alias, action, func(a *OpsgenieAlert) { a.Description = text })
	}
	f.only("user", "source", "note")
	user, note := f.text("user", false, 100), f.text("note", action == "notes", 25_000)
	f.text("source", false, 100)
	return o.onOpen(alias, action, func(a *OpsgenieAlert) {
		if note != "" {
			a.Notes = append(a.Notes, note)
		}
		switch action {
		case "acknowledge":
			a.State, a.AcknowledgedBy = "acknowledged", user
		case "unacknowledge":
			a.State, a.AcknowledgedBy = "open", ""
		case "close":
			a.State, a.ClosedBy = "closed", user
		}
	})
}

// onOpen does something to the alert that is not closed; without one nothing
// happens, as the request has been accepted already.
func (o *Opsgenie) onOpen(alias, action string, do func(*OpsgenieAlert)) func() {
	return func() {
		if a := o.open(alias); a != nil {
			a.Log = append(a.Log, action)
			do(a)
		}
	}
}

func (o *Opsgenie) open(alias string) *OpsgenieAlert {
	for _, a := range o.alerts {
		if a.Alias == alias && a.State != "closed" {
			return a
		}
	}
	return nil
}

// create opens an alert, or counts it if there is an open one of that alias.
func (o *Opsgenie) create(a *OpsgenieAlert) {
	if old := o.open(a.Alias); old != nil {
		old.Count++
		old.Log = append(old.Log, "create")
		return
	}
	a.State, a.Count, a.Log = "open", 1, []string{"create"}
	o.alerts = append(o.alerts, a)
}

func opsgenieAlert(f *members) *OpsgenieAlert {
	f.only("message", "alias", "description", "responders", "visibleTo", "actions", "tags", "details", "entity", "source", "priority", "user", "note")
	a := &OpsgenieAlert{Message: f.text("message", true, 130), Alias: f.text("alias", false, 512), Description: f.text("description", false, 15_000),
		Entity: f.text("entity", false, 512), Source: f.text("source", false, 100), Priority: f.oneOf("priority", false, "P1", "P2", "P3", "P4", "P5"),
		Tags: f.texts("tags", 20, 50), Actions: f.texts("actions", 10, 50)}
	f.text("user", false, 100)
	if note := f.text("note", false, 25_000); note != "" {
		a.Notes = []string{note}
	}
	details := f.object("details", false)
	a.Details = details.doc
	total := 0
	for name, v := range details.doc {
		text, ok := v.(string)
		if !ok {
			f.fail("details: %s is not a string", name)
		}
		total += utf8.RuneCountInString(name) + utf8.RuneCountInString(text)
	}
	if total > 8000 {
		f.fail("details have %d characters, of which 8000 are allowed", total)
	}
	a.Responders = f.objects("responders", func(r *members) {
		r.oneOf("type", true, "team", "user", "escalation", "schedule")
		id, name, user := r.text("id", false, 0), r.text("name", false, 0), r.text("username", false, 0)
		if id == "" && name == "" && user == "" {
			r.fail("a responder has neither id nor name nor username")
		}
	})
	if len(a.Responders) > 50 {
		f.fail("there are %d responders, of which 50 are allowed", len(a.Responders))
	}
	return a
}
