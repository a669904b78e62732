package process

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestSystemOwner: the contact system-owner is the owner of the incident's service,
// unless there is a contact of that name.
func TestSystemOwner(t *testing.T) {
	const text = `profile: none
duties:
  - {name: tell, after: 5m, do: {notify: [system-owner]}}
contacts: [{name: dba, receiver: boss}]
`
	o := options()
	o.Services = map[string]Service{"database": {Owner: "dba"}}
	l := begin(t, newGuide(t, text, o), incident.Opening{Class: incident.Classification{Service: "database"}}, monday)
	l.until(10 * time.Minute)
	l.hears("5m tell: tell → boss")
	l = begin(t, newGuide(t, text, o), incident.Opening{Class: incident.Classification{Service: "shop"}}, monday)
	l.until(10 * time.Minute)
	l.hears("5m tell: tell (there is nobody to tell: [system-owner] has no receiver)")
	l = begin(t, newGuide(t, text[:len(text)-2]+", {name: system-owner, receiver: ops}]\n", o), incident.Opening{Class: incident.Classification{Service: "database"}}, monday)
	l.until(10 * time.Minute)
	l.hears("5m tell: tell → ops")
}

// TestCustomers: what to know on call of a customer is linked as soon as it is
// affected, and the customer's contact gets the updates of its own part.
func TestCustomers(t *testing.T) {
	g := newGuide(t, `profile: none
contacts: [{name: acme-desk, receiver: ops}, {name: everybody, receiver: boss}]
customers:
  - {name: Acme, contact: acme-desk, instructions: "https://wiki.example.com/acme"}
  - {name: Beta}
communication: [{audience: [everybody], detail: public, signature: true}]
`, options())
	l := begin(t, g, incident.Opening{}, monday)
	l.at(time.Minute, func(e *incident.Edit) error { return e.SetCustomers("ann", []string{"Acme", "Beta"}, "") })
	if links := l.i.Links; len(links) != 1 || links[0] != (incident.Link{Name: "instructions of Acme", URL: "https://wiki.example.com/acme"}) {
		t.Errorf("got %+v", links)
	}
	part := incident.Incident{Process: &incident.Process{Customer: "Acme"}}
	if called, sign := g.Audience(&part, &incident.Update{}); len(called) != 1 || called[0].Receiver != "ops" || called[0].Detail != incident.DetailSummary || !sign {
		t.Errorf("its own part: got %+v, %t; want no one but the customer, and a signature", called, sign)
	}
	if called, _ := g.Audience(l.i, &incident.Update{}); len(called) != 1 || called[0].Receiver != "boss" || called[0].Detail != incident.DetailPublic {
		t.Errorf("the whole: got %+v", called)
	}
}

// TestClosesByItself: what closing waits for keeps an incident from closing by
// itself also before it is due, and a person only after that.
func TestClosesByItself(t *testing.T) {
	l := begin(t, newGuide(t, "profile: none\nduties: [{name: report, on: [resolved], after: 2h, do: {require: close}}]\n", options()), incident.Opening{}, monday)
	l.at(time.Minute, func(e *incident.Edit) error { return e.Resolve("ann", "") })
	if got := l.missing(incident.ActionAutoClose, time.Hour); len(got) != 1 || got[0] != "report" {
		t.Errorf("by itself, before it is due: got %q missing, want the report", got)
	}
	if got := l.missing(incident.ActionClose, time.Hour); len(got) != 0 {
		t.Errorf("by a person, before it is due: got %q missing, want nothing", got)
	}
}

// TestUnacknowledged: who is asked to acknowledge it is asked again when the
// acknowledgement is taken back.
func TestUnacknowledged(t *testing.T) {
	l := begin(t, newGuide(t, "profile: none\nduties: [{name: ack, on: [opened, unacknowledged], after: 10m, unless: [acknowledged]}]\n", options()), incident.Opening{}, monday)
	l.at(time.Minute, func(e *incident.Edit) error { return e.Acknowledge("ann", "") })
	l.at(time.Hour, func(e *incident.Edit) error { return e.Unacknowledge("ann", "") })
	l.until(2 * time.Hour)
	l.hears("1h10m ack: ack")
}

// TestCatalogue: an incident of a service has its customers, its instructions and
// its own objectives.
func TestCatalogue(t *testing.T) {
	o := options()
	o.Objectives = map[string]incident.Objectives{"P1": {Response: model.Duration(15 * time.Minute)}}
	o.Services = map[string]Service{"shop": {Customers: []string{"Acme", "Beta"}, Instructions: "https://wiki.example.com/shop",
		Objectives: map[string]incident.Objectives{"P1": {Response: model.Duration(5 * time.Minute)}}}}
	g := newGuide(t, "profile: none\ncustomers: [{name: Acme}, {name: Beta}]\n", o)
	opening := incident.Opening{Class: incident.Classification{Service: "shop", Severity: "critical", Priority: "P1"}}
	l := begin(t, g, opening, monday)
	if p := l.i.Proceedings(); !slices.Equal(p.Customers, []string{"Acme", "Beta"}) || len(l.i.Links) != 1 || l.i.Links[0].URL != "https://wiki.example.com/shop" {
		t.Errorf("got customers %q, links %v", p.Customers, l.i.Links)
	}
	l.at(time.Minute, func(e *incident.Edit) error { return e.SetCustomers("ann", []string{"Acme"}, "") })
	l.at(2*time.Minute, func(e *incident.Edit) error { return e.Note("ann", "looks at it", time.Time{}) })
	if p := l.i.Proceedings(); !slices.Equal(p.Customers, []string{"Acme"}) || len(l.i.Links) != 1 {
		t.Errorf("after a person's word: customers %q, links %v", p.Customers, l.i.Links)
	}
	l.said = nil
	l.until(20 * time.Minute)
	l.hears("4m response-objective-near: four fifths of the time to acknowledge it have passed", "5m response-objective: acknowledge it within the objective of its priority")
	opening.Class.Service = "mail"
	l = begin(t, g, opening, monday)
	l.until(20 * time.Minute)
	l.hears("12m response-objective-near: four fifths of the time to acknowledge it have passed", "15m response-objective: acknowledge it within the objective of its priority")
}
