package targettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// PagerDutyKey is the integration key that PagerDuty takes.
const PagerDutyKey = "0123456789abcdef0123456789abcdef"

// PagerDuty is a server of the Events API v2,
// https://developer.pagerduty.com/docs/send-alert-event, at /v2/enqueue, and v1,
// https://developer.pagerduty.com/docs/send-v1-event, at
// /generic/2010-04-15/create_event.json.
type PagerDuty struct {
	Server
	state     sync.Mutex
	incidents map[string]*PagerDutyIncident
}

// PagerDutyIncident is what PagerDuty knows under one key.
type PagerDutyIncident struct {
	// State is triggered, acknowledged or resolved.
	State string
	// Opened is how often it was opened: people are paged each time. Log are the
	// actions that came, in their order.
	Opened int
	Log    []string
	// Summary and the others are those of the latest trigger.
	Summary, Severity, Source, ClientURL string
	Details                              map[string]any
	Links                                []map[string]any
	Images                               []map[string]any
	Payload                              map[string]any
}

const (
	pagerDutySummary = 1024
	pagerDutyKey     = 255
	pagerDutySize    = 512_000
)

// NewPagerDuty serves until the test ends.
func NewPagerDuty(t testing.TB) *PagerDuty {
	p := &PagerDuty{incidents: map[string]*PagerDutyIncident{}}
	p.start(t, p.handle)
	return p
}

// EventsURL is where events of v2 go.
func (p *PagerDuty) EventsURL() string { return p.URL + "/v2/enqueue" }

// Incidents are those by key.
func (p *PagerDuty) Incidents() map[string]PagerDutyIncident {
	p.state.Lock()
	defer p.state.Unlock()
	out := map[string]PagerDutyIncident{}
	for key, i := range p.incidents {
		out[key] = *i
	}
	return out
}

func (p *PagerDuty) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	var check func(map[string]any) (event pagerDutyEvent, wrong string)
	accepted := http.StatusAccepted
	switch r.URL.Path {
	case "/v2/enqueue":
		check = pagerDutyV2
	case "/generic/2010-04-15/create_event.json":
		check, accepted = pagerDutyV1, http.StatusOK
	default:
		w.WriteHeader(http.StatusNotFound)
		return "there is no such path"
	}
	var event pagerDutyEvent
	wrong := wrongJSON(r, http.MethodPost, body)
	var doc map[string]any
	if wrong == "" {
		if err := json.Unmarshal(body, &doc); err != nil {
			wrong = err.Error()
		}
	}
	if wrong == "" {
		event, wrong = check(doc)
	}
	if wrong == "" && len(body) > pagerDutySize {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return fmt.Sprintf("it has %d bytes", len(body))
	}
	if wrong != "" {
		answerJSON(w, http.StatusBadRequest, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{wrong}})
		return wrong
	}
	p.act(event)
	answerJSON(w, accepted, map[string]any{"status": "success", "message": "Event processed", event.keyName: event.key})
	return ""
}

type pagerDutyEvent struct {
	action, key, keyName string
	of                   PagerDutyIncident
}

func (p *PagerDuty) act(e pagerDutyEvent) {
	p.state.Lock()
	defer p.state.Unlock()
	i := p.incidents[e.key]
	if i == nil {
		if e.action != "trigger" {
			return // PagerDuty ignores it
		}
		i = &PagerDutyIncident{State: "resolved"}
		p.incidents[e.key] = i
	}
	i.Log = append(i.Log, e.action)
	switch e.action {
	case "trigger":
		kept := *i
		*i = e.of
		i.State, i.Opened, i.Log = kept.State, kept.Opened, kept.Log
		if i.State == "resolved" {
			i.State, i.Opened = "triggered", i.Opened+1
		}
	case "acknowledge":
		if i.State == "triggered" {
			i.State = "acknowledged"
		}
	case "resolve":
		i.State = "resolved"
	}
}

func pagerDutyV2(doc map[string]any) (e pagerDutyEvent, wrong string) {
	f := members{doc: doc}
	f.only("routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images")
	f.text("routing_key", true, 0)
	if key, _ := doc["routing_key"].(string); key != PagerDutyKey {
		f.fail("routing_key is not that of an integration (should be 32 characters)")
	}
	e.keyName = "dedup_key"
	e.action = f.oneOf("event_action", true, "trigger", "acknowledge", "resolve")
	e.key = f.text("dedup_key", e.action != "trigger", pagerDutyKey)
	f.text("client", false, 0)
	e.of.ClientURL = f.web("client_url", false)
	if e.action == "trigger" {
		payload := f.object("payload", true)
		e.of.Payload = payload.doc
		e.of.Summary = payload.text("summary", true, pagerDutySummary)
		e.of.Source = payload.text("source", true, 0)
		e.of.Severity = payload.oneOf("severity", true, "critical", "error", "warning", "info")
		for _, name := range []string{"component", "group", "class"} {
			payload.text(name, false, 0)
		}
		if at := payload.text("timestamp", false, 0); at != "" {
			if _, err := time.Parse(time.RFC3339, at); err != nil {
				f.fail("timestamp %q is not one of RFC 3339", at)
			}
		}
		e.of.Details = payload.object("custom_details", false).doc
		f.add(payload)
	}
	e.of.Links = f.objects("links", func(l *members) { l.web("href", true); l.text("text", false, 0) })
	e.of.Images = f.objects("images", func(l *members) {
		if src := l.web("src", true); !strings.HasPrefix(src, "https://") {
			l.fail("src must be served via HTTPS")
		}
		l.web("href", false)
		l.text("alt", false, 0)
	})
	return e, f.wrong
}

func pagerDutyV1(doc map[string]any) (e pagerDutyEvent, wrong string) {
	f := members{doc: doc}
	if key := f.text("service_key", true, 0); key != PagerDutyKey {
		f.fail("service_key is not that of a service")
	}
	e.keyName = "incident_key"
	e.action = f.oneOf("event_type", true, "trigger", "acknowledge", "resolve")
	e.key = f.text("incident_key", e.action != "trigger", pagerDutyKey)
	e.of.Summary = f.text("description", e.action == "trigger", pagerDutySummary)
	f.text("client", false, 0)
	e.of.ClientURL = f.web("client_url", false)
	e.of.Details = f.object("details", false).doc
	return e, f.wrong
}
