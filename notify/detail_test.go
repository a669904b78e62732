package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// detailed is a message about an incident that knows much.
func detailed() *Message {
	at := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	return &Message{Event: Updated, Receiver: "boss", Alerts: make([]Alert, 3), More: 2, Remark: "because", Links: Links{"https://i", "https://a", "https://r"},
		News: []incident.TimelineEntry{{At: at, Who: "tocsin", Action: "joined", Text: "db-7 joined"}, {At: at, Who: "ann", Action: "note", Text: "password is x"},
			{At: at, Who: "ann", Action: "update", Text: "investigating: inner words"}, {At: at, Who: "tocsin", Action: "duty", Text: "look: at it", For: []string{"boss"}},
			{At: at, Who: "tocsin", Action: "duty", Text: "other: thing", For: []string{"desk"}}},
		Incident: &incident.Incident{Title: "DiskFull · db-7", Service: "shop", Reference: "INC-1", Labels: map[string]string{"host": "db-7"}, Hosts: []string{"db-7"}, Team: "dba",
			AcknowledgedBy: "ann", Description: "db-7 is full", Roles: map[string]string{"incident_manager": "ann"},
			Process: &incident.Process{Updates: []incident.Update{{ID: 1, At: at, Phase: "investigating", What: "inner words"}, {ID: 2, At: at, Phase: "mitigating", What: "the shop is slow", Public: true},
				{ID: 3, At: at, What: "unsigned words", Public: true, NeedsSignature: true}}}}}
}

// everything is all the text of a message.
func everything(m *Message) string {
	var b strings.Builder
	b.WriteString(m.Plain() + m.Incident.Description + strings.Join(m.Incident.Hosts, " ") + m.Incident.AcknowledgedBy + m.Incident.Team)
	for name, value := range m.Incident.Labels {
		b.WriteString(name + value)
	}
	for _, e := range m.News {
		b.WriteString(e.Who + e.Text)
	}
	return b.String()
}

// TestTellLess: who is called in for a summary, or as the public, knows no more.
func TestTellLess(t *testing.T) {
	for detail, hidden := range map[string][]string{
		incident.DetailSummary: {"password", "db-7 joined", "other: thing", "https://a"},
		incident.DetailPublic:  {"password", "db-7", "inner words", "ann", "look: at it", "other: thing", "unsigned words", "https://", "because", "dba"},
	} {
		m := detailed()
		m.tellLess(detail, time.Time{})
		if m.Incident.Process != nil || len(m.Alerts) > 0 || m.More > 0 {
			t.Errorf("%s: process, or alerts, are told", detail)
		}
		text := everything(m)
		for _, word := range hidden {
			if strings.Contains(text, word) {
				t.Errorf("%s: %q is told:\n%s", detail, word, text)
			}
		}
		if detail == incident.DetailPublic && m.Remark != "mitigating: the shop is slow" {
			t.Errorf("the public hears %q", m.Remark)
		}
	}
	m := detailed()
	m.Incident.Process.Customer = "Acme"
	if m.tellLess(incident.DetailSummary, time.Time{}); m.Incident.Proceedings().Customer != "Acme" || m.Incident.Process.Updates != nil {
		t.Errorf("got %+v, want that it is one customer's, and no more", m.Incident.Process)
	}
	m = detailed()
	if m.tellLess("", time.Time{}); len(m.Alerts) != 3 || m.Remark != "because" {
		t.Errorf("of everything something is left out: %+v", m)
	}
}

// TestSpoken: updates, and what is meant for a receiver, stand in the remark, with
// why it was called in unless that says the same.
func TestSpoken(t *testing.T) {
	news := detailed().News
	for name, c := range map[string]struct{ receiver, why, remark, want string }{
		"called in":           {receiver: "boss", why: "at it", want: "ann: investigating: inner words · look: at it"},
		"called in otherwise": {receiver: "boss", why: "you are called", want: "you are called · ann: investigating: inner words · look: at it"},
		"by a route":          {receiver: "ops", want: "ann: investigating: inner words"},
		"as a fallback":       {receiver: "ops", remark: "chat is unreachable", want: "chat is unreachable · ann: investigating: inner words"},
	} {
		m := &Message{Remark: c.remark}
		if m.remark(c.why, spoken(news, c.receiver)); m.Remark != c.want {
			t.Errorf("%s: got %q, want %q", name, m.Remark, c.want)
		}
	}
	quiet := []incident.TimelineEntry{{Who: "tocsin", Action: "calling", Text: "called boss", For: []string{"boss"}}, {Action: "joined", Text: "x"}}
	if said := spoken(quiet, "boss"); len(said) > 0 {
		t.Errorf("got %q, want nothing", said)
	}
}

// TestDigestTellsNoMore: a digest says to those who are told what is public no more than
// a message about one incident alone, and marks exercises.
func TestDigestTellsNoMore(t *testing.T) {
	secret := detailed().Incident
	secret.Drill = true
	links := func(i *incident.Incident, _ string) Links { return Links{Incident: "https://i/" + i.Reference} }
	for detail, want := range map[string]string{
		"":                     "[DRILL CRITICAL] INC-1 open: DiskFull · db-7 https://i/INC-1",
		incident.DetailSummary: "[DRILL CRITICAL] INC-1 open: DiskFull · db-7 https://i/INC-1",
		incident.DetailPublic:  "[DRILL CRITICAL] INC-1 open: Incident INC-1: shop",
	} {
		i := secret.Clone()
		i.State, i.Severity = incident.Open, "critical"
		list := []waiting{{incident: i, told: &told{Remark: "because"}, detail: detail}}
		m := digestMessage(&Settings{Links: links}, &Integration{Receiver: "boss", Name: "chat"}, &stormState{}, listing{list: list}, time.Time{})
		text := m.Plain()
		if !strings.Contains(text, "- "+want+"\n") {
			t.Errorf("%q: got\n%s\nwant a line %q", detail, text, want)
		}
		for _, word := range []string{"db-7", "dba", "because", "https://"} {
			if detail == incident.DetailPublic && strings.Contains(everything(m)+m.Alerts[0].Labels.Get("alertname")+m.Alerts[0].Labels.Get("team")+m.Alerts[0].GeneratorURL, word) {
				t.Errorf("the public is told %q", word)
			}
		}
	}
}
