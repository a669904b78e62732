package threema

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func sender(t *testing.T, server *targettest.Threema, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{APIURL: server.URL + "/", From: server.From, Secret: secret.New(server.Secret), To: []string{"ECHOECHO"}}
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

func TestSend(t *testing.T) {
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Acknowledged, notify.Unacknowledged, notify.Repeated, notify.Resolved} {
		server := targettest.NewThreema(t)
		s := sender(t, server, func(c *Config) { c.To = []string{"ECHOECHO", "+41791234567", "dba@example.com"} })
		m := targettest.Message(e)
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"ECHOECHO", "41791234567", "dba@example.com"} {
			if got := server.Texts(who); len(got) != 1 || got[0] != strings.TrimSpace(m.Plain()) {
				t.Errorf("%s: %s got %q", e, who, got)
			}
		}
	}
}

// TestRetry: only those hear it again who did not hear it.
func TestRetry(t *testing.T) {
	server := targettest.NewThreema(t)
	server.ExpectRefusals()
	server.Unknown("NOBODYXX")
	s := sender(t, server, func(c *Config) { c.To = []string{"AAAAAAAA", "NOBODYXX", "BBBBBBBB"} })
	server.Credits(1)
	m := targettest.Message(notify.Opened)
	memory, err := s.Send(t.Context(), m)
	var e *notify.Error
	if !errors.As(err, &e) || e.Permanent || !strings.Contains(e.Error(), "credits") {
		t.Fatalf("got %v, want an error for a later attempt", err)
	}
	server.Credits(10)
	m = targettest.Message(notify.Opened)
	m.Memory = memory
	if memory, err = s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if failed := m.ErrTemplates(); failed == nil || !strings.Contains(failed.Error(), "NOBODYXX") {
		t.Errorf("nobody says that one was not told: %v", failed)
	}
	if a, b := len(server.Texts("AAAAAAAA")), len(server.Texts("BBBBBBBB")); a != 1 || b != 1 {
		t.Errorf("told %d and %d times, want once each", a, b)
	}
	m = targettest.Message(notify.Resolved)
	m.Memory = memory
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if a, b := len(server.Texts("AAAAAAAA")), len(server.Texts("BBBBBBBB")); a != 2 || b != 2 {
		t.Errorf("told %d and %d times, want twice each", a, b)
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewThreema(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), AnyAnswer: true, Secrets: []string{"threema-secret"}}
	})
}

func TestTexts(t *testing.T) {
	server := targettest.NewThreema(t)
	s := sender(t, server, func(c *Config) { c.Text = "{{ .CommonLabels.alertname }} @[ECHOECHX" })
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	s.config.Text = "{{ .No.Such }}"
	m := targettest.Message(notify.Opened)
	if _, err := s.Send(t.Context(), m); err != nil || len(m.Failed()) != 1 {
		t.Fatalf("%v, failed %v", err, m.Failed())
	}
	s.config.Text = "{{ if false }}x{{ end }}"
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := server.Texts("ECHOECHO")
	if got[0] != "DiskFull @[ECHOECHX" || got[1] != strings.TrimSpace(m.Plain()) || got[2] != m.Headline() {
		t.Errorf("got %q", got)
	}
}

func TestHostileTexts(t *testing.T) {
	server := targettest.NewThreema(t)
	for _, text := range append(targettest.HostileTexts(), "@[@@@@@@@@] @[ECHOECHO]") {
		for _, own := range []string{"", "{{ .CommonAnnotations.summary }}"} {
			s := sender(t, server, func(c *Config) { c.Text = own })
			if _, err := s.Send(t.Context(), targettest.Hostile(targettest.Message(notify.Opened), text)); err != nil {
				t.Errorf("%.50q: %v", text, err)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":        func(*Config) {},
		"from":    func(c *Config) { c.From = "tocsin" },
		"secret":  func(c *Config) { c.Secret = secret.String{} },
		"to":      func(c *Config) { c.To = nil },
		"to[1]":   func(c *Config) { c.To = append(c.To, "0791234567") },
		"api_url": func(c *Config) { c.APIURL = "msgapi" },
	} {
		c := &Config{From: "*TOCSIN1", Secret: secret.New("hunter2"), To: []string{"ECHOECHO"}}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
