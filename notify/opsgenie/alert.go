package opsgenie

import (
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

// The limits of https://docs.opsgenie.com/docs/alert-api, in characters.
const (
	messageLimit     = 130
	descriptionLimit = 15_000
	entityLimit      = 512
	sourceLimit      = 100
	userLimit        = 100
	noteLimit        = 25_000
	tagsLimit        = 20
	actionsLimit     = 10
	wordLimit        = 50 // of a tag or an action
	detailsLimit     = 8000
	respondersLimit  = 50
)

// alert is the body that creates one.
type alert struct {
	Message     string            `json:"message"`
	Alias       string            `json:"alias"`
	Description string            `json:"description,omitzero"`
	Responders  []responder       `json:"responders,omitempty"`
	Actions     []string          `json:"actions,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Entity      string            `json:"entity,omitzero"`
	Source      string            `json:"source,omitzero"`
	Priority    string            `json:"priority,omitzero"`
	Note        string            `json:"note,omitzero"`
}

type responder struct {
	ID       string `json:"id,omitzero"`
	Name     string `json:"name,omitzero"`
	Username string `json:"username,omitzero"`
	Type     string `json:"type"`
}

func (s *Sender) alert(m *notify.Message, x *notify.Texts) alert {
	c := &s.settings
	headline := wire.Untagged(m.Headline())
	message := wire.Line(x.Text("message", c.message, headline))
	if message == "" {
		message = headline
	}
	description := strings.TrimSpace(wire.Clean(x.Text("description", c.description, wire.Untagged(m.Plain()))))
	return alert{Alias: m.Key(), Message: wire.Cut(message, messageLimit), Description: wire.WithFooter(description, wire.Untagged(wire.Footer(m)), descriptionLimit),
		Responders: s.respond(x), Actions: words(x.Text("actions", c.actions, ""), actionsLimit), Tags: words(x.Text("tags", c.tags, ""), tagsLimit),
		Details: s.details(x), Entity: wire.Cut(wire.Line(x.Text("entity", c.entity, "")), entityLimit), Source: s.source(x), Priority: s.priority(m, x),
		Note: wire.Cut(strings.TrimSpace(wire.Clean(x.Text("note", c.note, ""))), noteLimit)}
}

func (s *Sender) source(x *notify.Texts) string {
	return wire.Cut(wire.Line(x.Text("source", s.settings.source, "Tocsin")), sourceLimit)
}

// priority is P1 to P5, or empty, which Opsgenie takes for P3. A template that
// makes something else of it must not keep the alert back.
func (s *Sender) priority(m *notify.Message, x *notify.Texts) string {
	if s.settings.priority == "" {
		return ""
	}
	for _, p := range []string{x.Text("priority", s.settings.priority, ""), m.Incident.Priority} {
		if p = strings.ToUpper(strings.TrimSpace(p)); len(p) == 2 && p[0] == 'P' && p[1] >= '1' && p[1] <= '5' {
			return p
		}
	}
	return ""
}

// words splits a list at its commas.
func words(list string, limit int) (out []string) {
	for _, word := range strings.Split(list, ",") {
		word = wire.Cut(wire.Line(word), wordLimit)
		if word != "" && !slices.Contains(out, word) && len(out) < limit {
			out = append(out, word)
		}
	}
	return out
}

// details are those of the configuration, then the labels that all alerts share,
// as far as there is room.
func (s *Sender) details(x *notify.Texts) map[string]string {
	out, room := map[string]string{}, detailsLimit
	add := func(name, text string) {
		if _, there := out[name]; there || name == "" {
			return
		}
		const least = 20 // less than that says nothing
		left := room - wire.Length(name)
		if left < least {
			return
		}
		text = wire.Cut(wire.Clean(text), left)
		out[name] = text
		room = left - wire.Length(text)
	}
	for _, name := range slices.Sorted(maps.Keys(s.settings.details)) {
		add(wire.Line(name), x.Text("details."+name, s.settings.details[name], "the template of this detail failed"))
	}
	for _, l := range x.Data.CommonLabels.SortedPairs() {
		add(wire.Line(l.Name), l.Value)
	}
	return out
}

var responderTypes = []string{"team", "user", "escalation", "schedule"}

// respond are the responders whose templates made something that Opsgenie takes:
// one that it does not know would keep the whole alert back.
func (s *Sender) respond(x *notify.Texts) (out []responder) {
	text := func(part, text string) string { return wire.Line(x.Text("responders."+part, text, "")) }
	for _, r := range s.settings.responders {
		made := responder{text("id", r.ID), text("name", r.Name), text("username", r.Username), strings.ToLower(text("type", r.Type))}
		all := []responder{made}
		if made.Type == "teams" {
			all = nil
			for _, team := range strings.Split(made.Name, ",") {
				all = append(all, responder{Name: strings.TrimSpace(team), Type: "team"})
			}
		}
		for _, one := range all {
			if one.ID+one.Name+one.Username != "" && slices.Contains(responderTypes, one.Type) && len(out) < respondersLimit {
				out = append(out, one)
			}
		}
	}
	return out
}
