package process

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
)

// Gate says what has to be so before something is done with an incident.
type Gate struct {
	// Path is that of the incidents that it concerns; empty is those that are on none.
	Path string `yaml:"path"`
	// Match are matchers on the incident; empty is every one.
	Match []string `yaml:"match"`
	// Before are actions: resolve, close, escalate.
	Before []string `yaml:"before"`
	// Need are conditions, all of which have to hold.
	Need []string `yaml:"need"`
}

type gate struct {
	path   string
	match  labels.Matchers
	before []string
	need   []condition
}

// needs says in words what the usual conditions want.
var needs = map[string]string{
	"recovered":        "its alerts have to end",
	"assessed":         "record the initial assessment",
	"confirmed":        "a person or the customer has to confirm that the service is back",
	"settled":          "remove the workaround, or link what is left to do",
	"cause":            "say what caused it",
	"solution":         "say what ended it",
	"fix":              "say what the permanent fix is",
	"follow_up":        "link the follow-up",
	"lessons":          "say what was learnt",
	"reviewed":         "say what was learnt of each phase: detection, response, diagnosis, communication, restoration",
	"change_ticket":    "link the change ticket",
	"problem_ticket":   "link the problem ticket",
	"post_mortem":      "link the post-mortem",
	"followed_up":      "tell everybody who was contacted that it is over",
	"acknowledged":     "acknowledge it",
	"updated":          "write a status update",
	"incident_manager": "name an incident manager",
}

// Missing implements incident.Guide.
func (g *Guide) Missing(i *incident.Incident, action string, now time.Time) []incident.Requirement {
	var missing []incident.Requirement
	v, path := g.view(i, now), g.path(i)
	byItself := action == incident.ActionAutoClose
	if byItself {
		action = incident.ActionClose
	}
	if !v.p.MergedInto.IsZero() {
		return nil // what has to be done is done where it is handled
	}
	add := func(name, text string) {
		for _, m := range missing {
			if m.Name == name {
				return
			}
		}
		missing = append(missing, incident.Requirement{Name: name, Text: text})
	}
	for n := range g.gates {
		gate := &g.gates[n]
		if !slices.Contains(gate.before, action) || gate.path != path || !match.Of(i).All(gate.match) {
			continue
		}
		for _, c := range gate.need {
			if !c.hold(v) {
				add(c.text, cmp.Or(needs[c.text], "it needs "+c.text))
			}
		}
	}
	for n := range g.duties {
		d := &g.duties[n]
		if d.do.Require != action {
			continue
		}
		// What was asked for stays asked for until somebody has done it.
		if s := g.stand(d, v); byItself && s.waits() || s.rec.Fired > 0 && s.rec.Outcome == "" && !anyOf(d.unless, v) {
			add(d.name, cmp.Or(d.text, d.name))
		}
	}
	return missing
}
