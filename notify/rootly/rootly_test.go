package rootly

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func sender(t *testing.T, server *targettest.Rootly, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{APIURL: server.URL, APIKey: secret.New(server.Key)}
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

// TestLife: one alert, in the state that the incident is in, however often each
// message is sent.
func TestLife(t *testing.T) {
	server := targettest.NewRootly(t)
	s := sender(t, server, func(c *Config) { c.NotifyType, c.NotifyID = "Service", "svc-1" })
	var memory notify.Memory
	for _, step := range []struct {
		event  notify.Event
		status string
	}{{notify.Opened, "triggered"}, {notify.Updated, "triggered"}, {notify.Repeated, "triggered"}, {notify.Acknowledged, "acknowledged"}, {notify.Updated, "acknowledged"}, {notify.Resolved, "resolved"}} {
		var next notify.Memory
		for range 2 { // nobody recorded the first
			m := targettest.Message(step.event)
			m.Memory = memory
			var err error
			if next, err = s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got := server.Alerts(); len(got) != 1 || got[0].Status != step.status {
				t.Fatalf("%s: got %+v", step.event, got)
			}
		}
		memory = next
	}
	one := server.Alerts()[0]
	if one.Key != targettest.Message(notify.Opened).Key() || one.Labels["alertname"] != "DiskFull" || !strings.HasPrefix(one.Resolution, "[RESOLVED] DiskFull db") || one.Updates != 6 {
		t.Errorf("got %+v", one)
	}
	// A new cycle is a new alert.
	m := targettest.Message(notify.Opened)
	m.Incident.Reopens, m.Memory = 1, memory
	if _, err := s.Send(t.Context(), m); err != nil || len(server.Alerts()) != 2 {
		t.Errorf("%v, %+v", err, server.Alerts())
	}
}

func TestResolvedWithoutMemory(t *testing.T) {
	server := targettest.NewRootly(t)
	s := sender(t, server, nil)
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Resolved)); err != nil {
		t.Fatal(err)
	}
	if got := server.Alerts(); len(got) != 1 || got[0].Status != "resolved" {
		t.Errorf("got %+v", got)
	}
}

// TestHalfDone: the alert was found, and what was to be done with it failed.
func TestHalfDone(t *testing.T) {
	server := targettest.NewRootly(t)
	s := sender(t, server, nil)
	memory, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	if err != nil {
		t.Fatal(err)
	}
	server.Fail(targettest.Failure{After: true})
	m := targettest.Message(notify.Acknowledged)
	m.Memory = memory
	var e *notify.Error
	if _, err = s.Send(t.Context(), m); !errors.As(err, &e) || e.Permanent {
		t.Fatalf("got %v", err)
	}
	if _, err = s.Send(t.Context(), m); err != nil || server.Alerts()[0].Status != "acknowledged" {
		t.Errorf("%v, %+v", err, server.Alerts())
	}
}

func TestTextsAndHostility(t *testing.T) {
	server := targettest.NewRootly(t)
	s := sender(t, server, func(c *Config) { c.Summary, c.Description = "{{ .CommonAnnotations.summary }}", "{{ .No.Such }}" })
	for n, text := range targettest.HostileTexts() {
		m := targettest.Hostile(targettest.Message(notify.Opened), text)
		m.Incident.Reopens = n
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Errorf("%.50q: %v", text, err)
		}
		if len(m.Failed()) != 1 {
			t.Errorf("failed %v", m.Failed())
		}
	}
	if got := len(server.Alerts()); got != len(targettest.HostileTexts()) {
		t.Errorf("%d alerts", got)
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewRootly(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), Secrets: []string{"rootly-api-key"}, Told: func(t *testing.T) {
			if got := server.Alerts(); len(got) != 1 || got[0].Resolution != "" {
				t.Errorf("got %+v, want one that is open", got)
			}
		}}
	})
	for _, garbage := range []string{"", "<html>", "{}", "null"} {
		server := targettest.NewRootly(t)
		server.Fail(targettest.Failure{Status: 201, Body: garbage})
		var e *notify.Error
		if _, err := sender(t, server, nil).Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || e.Permanent {
			t.Errorf("%q: got %v, want an error for a later attempt", garbage, err)
		}
	}
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":            func(*Config) {},
		"api_key":     func(c *Config) { c.APIKeyFile = "x" },
		"notify_type": func(c *Config) { c.NotifyType, c.NotifyID = "Team", "x" },
		"notify_id":   func(c *Config) { c.NotifyType = "Group" },
		"api_url":     func(c *Config) { c.APIURL = "rootly" },
	} {
		c := &Config{APIKey: secret.New("hunter2")}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
