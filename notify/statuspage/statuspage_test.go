package statuspage

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func sender(t *testing.T, server *targettest.Statuspage, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{APIURL: server.URL, PageID: "page1", APIKey: secret.New(server.Key), Components: map[string][]string{"db": {"c1", "c2"}, "*": {"c3"}},
		ComponentStatus: map[string]string{"critical": "major_outage"}}
	if change != nil {
		change(c)
	}
	if p := c.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	s, err := New(c, targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLife: one incident on the page, one update for each status, however often
// each message is sent.
func TestLife(t *testing.T) {
	server := targettest.NewStatuspage(t)
	s := sender(t, server, nil)
	var memory notify.Memory
	for _, step := range []struct {
		event notify.Event
		phase string
	}{
		{notify.Opened, incident.Investigating}, {notify.Updated, incident.Investigating}, {notify.Acknowledged, incident.Investigating}, {notify.Updated, incident.Mitigating},
		{notify.Repeated, incident.Mitigating}, {notify.Updated, incident.Observing}, {notify.Resolved, incident.Observing},
	} {
		var next notify.Memory
		for range 2 { // nobody recorded the first
			m := targettest.Message(step.event)
			m.Incident.Phase, m.Memory = step.phase, memory
			var err error
			if next, err = s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if next != nil {
			memory = next
		}
		if step.event == notify.Opened && (server.Component("c1") != "major_outage" || server.Component("c3") != "operational") {
			t.Errorf("components c1 %s, c3 %s", server.Component("c1"), server.Component("c3"))
		}
	}
	all := server.Incidents()
	if len(all) != 1 {
		t.Fatalf("%d incidents, want 1: %+v", len(all), all)
	}
	one := all[0]
	want := []string{"investigating: " + defaultTexts[investigating], "identified: " + defaultTexts[identified], "monitoring: " + defaultTexts[monitoring], "resolved: " + defaultTexts[resolved]}
	if fmt.Sprint(one.Updates) != fmt.Sprint(want) || one.Name != "Service disruption" || fmt.Sprint(one.ComponentIDs) != "[c1 c2]" {
		t.Errorf("got %+v", one)
	}
	if server.Component("c1") != "operational" || one.Metadata["tocsin"]["key"] != targettest.Message(notify.Opened).Key() {
		t.Errorf("component %s, metadata %v", server.Component("c1"), one.Metadata)
	}
	// A new cycle is a new incident.
	m := targettest.Message(notify.Opened)
	m.Incident.Reopens, m.Memory = 1, memory
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if all := server.Incidents(); len(all) != 2 || all[1].Status != "investigating" {
		t.Errorf("got %+v", all)
	}
}

// TestDroppedAfter: the page made the incident and nobody heard.
func TestDroppedAfter(t *testing.T) {
	server := targettest.NewStatuspage(t)
	s := sender(t, server, nil)
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if all := server.Incidents(); len(all) != 1 || len(all[0].Updates) != 1 {
		t.Errorf("got %+v", all)
	}
}

func TestTakenOff(t *testing.T) {
	server := targettest.NewStatuspage(t)
	s := sender(t, server, nil)
	memory, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	if err != nil {
		t.Fatal(err)
	}
	server.Delete()
	for _, e := range []notify.Event{notify.Updated, notify.Resolved} {
		m := targettest.Message(e)
		m.Incident.Phase, m.Memory = incident.Mitigating, memory
		if memory, err = s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if all := server.Incidents(); len(all) != 0 {
		t.Errorf("it came back: %+v", all)
	}
	// What was never shown is not shown as solved.
	if _, err := s.Send(t.Context(), targettest.Message(notify.Resolved)); err != nil || len(server.Incidents()) != 0 {
		t.Errorf("%v, %+v", err, server.Incidents())
	}
}

// TestNotForThePublic: the public, and who subscribed to the page, hear of no exercise,
// and of no customer's part.
func TestNotForThePublic(t *testing.T) {
	server := targettest.NewStatuspage(t)
	s := sender(t, server, nil)
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Resolved} {
		m := targettest.Message(e)
		m.Incident.Drill = true
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
		m = targettest.Message(e)
		m.Incident.Process = &incident.Process{Customer: "Acme"}
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if all := server.Incidents(); len(all) != 0 {
		t.Errorf("the page shows %+v", all)
	}
}

func TestTexts(t *testing.T) {
	server := targettest.NewStatuspage(t)
	s := sender(t, server, func(c *Config) {
		c.Title = "Trouble with {{ .CommonLabels.service }}"
		c.Texts = map[string]string{"investigating": "{{ .No.Such }}", "resolved": "{{ .CommonLabels.service }} is well again"}
	})
	m := targettest.Message(notify.Opened)
	m.Incident.Service = "unknown"
	memory, err := s.Send(t.Context(), m)
	if err != nil || len(m.Failed()) != 1 {
		t.Fatalf("%v, failed %v", err, m.Failed())
	}
	m = targettest.Message(notify.Resolved)
	m.Memory = memory
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	one := server.Incidents()[0]
	if one.Name != "Trouble with db" || one.Updates[0] != "investigating: "+defaultTexts[investigating] || one.Updates[1] != "resolved: db is well again" {
		t.Errorf("got %+v", one)
	}
}

func TestNothingOfAnAlertIsPublic(t *testing.T) {
	for _, text := range targettest.HostileTexts() {
		server := targettest.NewStatuspage(t)
		if _, err := sender(t, server, nil).Send(t.Context(), targettest.Hostile(targettest.Message(notify.Opened), text)); err != nil {
			t.Fatal(err)
		}
		if one := server.Incidents()[0]; one.Name != "Service disruption" || len(one.Updates) != 1 || one.Updates[0] != "investigating: "+defaultTexts[investigating] {
			t.Errorf("%.40q: the public reads %+v", text, one)
		}
		own := targettest.NewStatuspage(t)
		s := sender(t, own, func(c *Config) {
			c.Title, c.Texts = "{{ .CommonLabels.x }}", map[string]string{"investigating": "{{ .CommonLabels.x }}"}
		})
		if _, err := s.Send(t.Context(), targettest.Hostile(targettest.Message(notify.Opened), text)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewStatuspage(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), Secrets: []string{"page-api-key"}, Told: func(t *testing.T) {
			if got := server.Incidents(); len(got) != 1 || got[0].Status != "investigating" {
				t.Errorf("got %+v, want one that is investigated", got)
			}
		}}
	})
	var e *notify.Error
	server := targettest.NewStatuspage(t)
	server.Fail(targettest.Failure{Status: 420})
	if _, err := sender(t, server, nil).Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || e.Permanent || e.Reason != notify.ReasonRateLimited {
		t.Errorf("420: got %v", err)
	}
	for _, garbage := range []string{"", "<html>", "{}", "[1]"} {
		server.Fail(targettest.Failure{Status: 200, Body: "[]"}, targettest.Failure{Status: 200, Body: garbage})
		if _, err := sender(t, server, nil).Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || e.Permanent {
			t.Errorf("%q: got %v, want an error for a later attempt", garbage, err)
		}
	}
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":                          func(*Config) {},
		"page_id":                   func(c *Config) { c.PageID = " " },
		"api_key":                   func(c *Config) { c.APIKey = secret.String{} },
		"texts.solved":              func(c *Config) { c.Texts = map[string]string{"solved": "x"} },
		"component_status.critical": func(c *Config) { c.ComponentStatus = map[string]string{"critical": "down"} },
		"components.db":             func(c *Config) { c.Components = map[string][]string{"db": nil} },
	} {
		c := &Config{PageID: "p", APIKey: secret.New("hunter2")}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
