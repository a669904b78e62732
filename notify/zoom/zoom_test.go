package zoom

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func sender(t *testing.T, server *targettest.Zoom, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{URL: secret.New(server.URL + "/chat/webhooks/incomingwebhook/hook1"), Token: secret.New(server.Token)}
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

func withMeeting(server *targettest.Zoom) func(c *Config) {
	return func(c *Config) {
		c.Meeting = &Meeting{AccountID: "acc", ClientID: "cli", ClientSecret: secret.New(server.ClientSecret), User: "ops@example.com", APIURL: server.URL + "/v2", TokenURL: server.URL + "/oauth/token"}
	}
}

func TestSend(t *testing.T) {
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Acknowledged, notify.Unacknowledged, notify.Repeated, notify.Resolved} {
		server := targettest.NewZoom(t)
		m := targettest.Message(e)
		if _, err := sender(t, server, func(c *Config) { c.MeetingURL = "https://zoom.example.com/j/room" }).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		one := server.Messages()[0]
		if one.Head != m.Headline() || !strings.Contains(one.Text, "severity critical") || one.Links["Join the meeting"] != "https://zoom.example.com/j/room" || one.Links["Incident"] != m.Links.Incident {
			t.Errorf("%s: got %+v", e, one)
		}
		if ack := one.Links["Acknowledge"]; (ack == "") != m.Resolved() || strings.Contains(one.Text, "ack-token") {
			t.Errorf("%s: acknowledge at %q", e, ack)
		}
	}
}

// TestMeeting: an incident has one meeting, whatever happens on the way.
func TestMeeting(t *testing.T) {
	server := targettest.NewZoom(t)
	s := sender(t, server, withMeeting(server))
	var memory notify.Memory
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Resolved} {
		var next notify.Memory
		for range 2 { // nobody recorded the first
			m := targettest.Message(e)
			m.Memory = memory
			var err error
			if next, err = s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if next != nil {
			memory = next
		}
	}
	meetings := server.Meetings()
	if len(meetings) != 1 || meetings[0].Topic != "INC-20261121-7KQ2 DiskFull db" || memory["meeting_url"] != "https://zoom.example.com/j/1" {
		t.Errorf("meetings %+v, memory %v", meetings, memory)
	}
	for n, one := range server.Messages() {
		if one.Links["Join the meeting"] != "https://zoom.example.com/j/1" {
			t.Errorf("message %d leads to %q", n, one.Links["Join the meeting"])
		}
	}
}

// TestMeetingIsRemembered also if the message about it does not arrive.
func TestMeetingIsRemembered(t *testing.T) {
	server := targettest.NewZoom(t)
	s := sender(t, server, withMeeting(server))
	s.config.Token = secret.New("another")
	server.ExpectRefusals()
	memory, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	var e *notify.Error
	if !errors.As(err, &e) || e.Reason != notify.ReasonAuth || memory["meeting_url"] == "" {
		t.Errorf("got %v, %v", memory, err)
	}
}

// TestNoMeeting: people are told all the same.
func TestNoMeeting(t *testing.T) {
	for name, failures := range map[string][]targettest.Failure{
		"no token":        {{Status: 401, Body: "zoom-client-secret"}},
		"garbage":         {{Status: 200, Body: "<html>"}},
		"no access token": {{Status: 200, Body: "{}"}},
	} {
		server := targettest.NewZoom(t)
		server.Fail(failures...)
		m := targettest.Message(notify.Opened)
		memory, err := sender(t, server, withMeeting(server)).Send(t.Context(), m)
		if err != nil || memory["meeting_url"] != "" || len(server.Messages()) != 1 {
			t.Errorf("%s: got %v, %v, %d messages", name, memory, err, len(server.Messages()))
		}
		if failed := m.ErrTemplates(); failed == nil || !strings.Contains(failed.Error(), "meeting") || strings.Contains(failed.Error(), "zoom-client-secret") {
			t.Errorf("%s: said %v", name, failed)
		}
	}
}

func TestTexts(t *testing.T) {
	server := targettest.NewZoom(t)
	s := sender(t, server, func(c *Config) { c.Title, c.Text = "{{ .CommonLabels.alertname }}", "{{ .No.Such }}" })
	m := targettest.Message(notify.Opened)
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if one := server.Messages()[0]; one.Head != "DiskFull" || !strings.Contains(one.Text, "severity critical") || len(m.Failed()) != 1 {
		t.Errorf("got %+v, failed %v", one, m.Failed())
	}
}

func TestHostileTexts(t *testing.T) {
	server := targettest.NewZoom(t)
	own := sender(t, server, func(c *Config) { c.Title, c.Text = "{{ .CommonLabels.x }}", "{{ .CommonAnnotations.summary }}" })
	meets := sender(t, server, withMeeting(server))
	for _, text := range targettest.HostileTexts() {
		for _, s := range []*Sender{own, meets, sender(t, server, nil)} {
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			if _, err := s.Send(t.Context(), m); err != nil {
				t.Errorf("%.50q: %v", text, err)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewZoom(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), AnyAnswer: true, Secrets: []string{"zoom-verification-token", "/chat/webhooks/incomingwebhook/hook1"}}
	})
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":                      func(*Config) {},
		"url":                   func(c *Config) { c.URL = secret.New("hunter2") },
		"token":                 func(c *Config) { c.Token = secret.String{} },
		"meeting_url":           func(c *Config) { c.MeetingURL = "room" },
		"meeting.user":          func(c *Config) { c.Meeting = &Meeting{AccountID: "a", ClientID: "b", ClientSecret: secret.New("c")} },
		"meeting.client_secret": func(c *Config) { c.Meeting = &Meeting{AccountID: "a", ClientID: "b", User: "c"} },
	} {
		c := &Config{URL: secret.New("https://example.com/hunter2"), Token: secret.New("hunter2")}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
