package call

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func ack(m *notify.Message, to string) string {
	return "https://tocsin.example.com/call?i=" + m.Incident.Reference + "&to=" + strings.TrimPrefix(to, "+") + "&sig=abc"
}

func sender(t *testing.T, server *targettest.Twilio, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{APIURL: server.URL, AccountSID: server.Account, AuthToken: secret.New(server.Token), From: "+15005550006", To: []string{"+41791234567"}}
	if change != nil {
		change(c)
	}
	if p := c.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	s, err := New(c, targettest.TemplateSet(t), nil, ack)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVoice(t *testing.T) {
	for _, c := range []struct {
		event  notify.Event
		action string
		calls  int
	}{
		{notify.Opened, "opened", 1}, {notify.Repeated, "opened", 1}, {notify.Unacknowledged, "acknowledgement_removed", 1}, {notify.Updated, "severity", 1},
		{notify.Updated, "escalated", 1}, {notify.Updated, "joined", 0}, {notify.Acknowledged, "acknowledged", 0}, {notify.Resolved, "resolved", 0},
	} {
		server := targettest.NewTwilio(t)
		m := targettest.Message(c.event)
		m.News[0].Action = c.action
		memory, err := sender(t, server, nil).Send(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		calls := server.Calls()
		if len(calls) != c.calls {
			t.Errorf("%s, %s: %d calls, want %d", c.event, c.action, len(calls), c.calls)
		}
		if c.calls == 1 && memory["call:+41791234567"] != "CA00000000000000000000000000000001" {
			t.Errorf("remembers %v", memory)
		}
	}
	server := targettest.NewTwilio(t)
	if _, err := sender(t, server, nil).Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	one := server.Calls()[0]
	headline := "CRITICAL DiskFull db (2 alerts) INC-20261121-7KQ2"
	if got := fmt.Sprintf("%q", one.Said); got != fmt.Sprintf("%q", []string{headline, headline, "Press 4 to acknowledge."}) || one.Action != "https://tocsin.example.com/call?i=INC-20261121-7KQ2&to=41791234567&sig=abc" {
		t.Errorf("said %s, action %s", got, one.Action)
	}
}

func TestWithoutAKey(t *testing.T) {
	server := targettest.NewTwilio(t)
	s := sender(t, server, func(c *Config) { c.Text, c.Language, c.Voice = "{{ .CommonLabels.alertname }}", "de-DE", "Polly.Vicki" })
	s.ack = func(*notify.Message, string) string { return "" }
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if one := server.Calls()[0]; fmt.Sprint(one.Said) != "[DiskFull DiskFull]" || one.Action != "" {
		t.Errorf("got %+v", one)
	}
}

func TestSMS(t *testing.T) {
	server := targettest.NewTwilio(t)
	s := sender(t, server, func(c *Config) { c.Mode, c.From = ModeSMS, "Tocsin" })
	for _, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Resolved} {
		if _, err := s.Send(t.Context(), targettest.Message(e)); err != nil {
			t.Fatal(err)
		}
	}
	calls := server.Calls()
	if calls[0].Body != "[CRITICAL] DiskFull db (2 alerts) · INC-20261121-7KQ2\nhttps://tocsin.example.com/a/ack-token" || strings.Contains(calls[1].Body+calls[2].Body, "ack-token") {
		t.Errorf("got %+v", calls)
	}
}

// TestRetry: nobody is called twice because another one could not be called.
func TestRetry(t *testing.T) {
	server := targettest.NewTwilio(t)
	server.ExpectRefusals()
	server.Invalid("+41790000002")
	s := sender(t, server, func(c *Config) { c.To = []string{"+41790000001", "+41790000002", "+41790000003"} })
	server.Fail(targettest.Failure{Status: 503})
	memory, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	var e *notify.Error
	if !errors.As(err, &e) || e.Permanent || !strings.Contains(err.Error(), "+41790000001") {
		t.Fatalf("got %v, want an error for a later attempt", err)
	}
	m := targettest.Message(notify.Opened)
	m.Memory = memory
	if memory, err = s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, one := range server.Calls() {
		to = append(to, one.To)
	}
	if got := strings.Join(to, " "); got != "+41790000003 +41790000001" || memory["call:+41790000003"] == "" || memory["call:+41790000001"] == "" {
		t.Errorf("called %s, remembers %v", got, memory)
	}
	if failed := m.ErrTemplates(); failed == nil || !strings.Contains(failed.Error(), "+41790000002") {
		t.Errorf("nobody says that one was not called: %v", failed)
	}
}

func TestHostileTexts(t *testing.T) {
	server := targettest.NewTwilio(t)
	voice := sender(t, server, func(c *Config) { c.Text = "{{ .CommonAnnotations.summary }}" })
	text := sender(t, server, func(c *Config) { c.Mode, c.Text = ModeSMS, "{{ .CommonAnnotations.summary }}" })
	for _, hostile := range append(targettest.HostileTexts(), "</Say><Dial>+1900</Dial><Say>", strings.Repeat("\"", 5000)) {
		for _, s := range []*Sender{voice, text} {
			m := targettest.Hostile(targettest.Message(notify.Opened), hostile)
			m.Incident.AcknowledgedBy = ""
			if _, err := s.Send(t.Context(), m); err != nil {
				t.Errorf("%.50q: %v", hostile, err)
			}
		}
	}
	for _, one := range server.Calls() {
		if one.Body != "" && !strings.HasSuffix(one.Body, "\nhttps://tocsin.example.com/a/ack-token") || one.Body == "" && len(one.Said) != 3 {
			t.Errorf("got %.500v", one)
		}
	}
}

func TestFailingTemplate(t *testing.T) {
	server := targettest.NewTwilio(t)
	m := targettest.Message(notify.Opened)
	if _, err := sender(t, server, func(c *Config) { c.Text = "{{ .No.Such }}" }).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if one := server.Calls()[0]; !strings.HasPrefix(one.Said[0], "CRITICAL DiskFull") || len(m.Failed()) != 1 {
		t.Errorf("got %+v, failed %v", one, m.Failed())
	}
}

// TestGarbage: a call that was taken is not made again because of its answer.
func TestGarbage(t *testing.T) {
	server := targettest.NewTwilio(t)
	server.Fail(targettest.Failure{Status: 201, Body: "<html>", After: true})
	m := targettest.Message(notify.Opened)
	if _, err := sender(t, server, nil).Send(t.Context(), m); err != nil || m.ErrTemplates() == nil || len(server.Calls()) != 1 {
		t.Errorf("got %v, %v, %d calls", err, m.ErrTemplates(), len(server.Calls()))
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewTwilio(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), AnyAnswer: true, Secrets: []string{"twilio-token"}}
	})
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":            func(*Config) {},
		"from":        func(c *Config) { c.From = "Tocsin" },
		"to":          func(c *Config) { c.To = nil },
		"to[0]":       func(c *Config) { c.To = []string{"0791234567"} },
		"mode":        func(c *Config) { c.Mode = "fax" },
		"account_sid": func(c *Config) { c.AccountSID = "../x" },
		"auth_token":  func(c *Config) { c.AuthToken = secret.String{} },
		"language":    func(c *Config) { c.Language = "\"/>" },
		"ring_for":    func(c *Config) { c.RingFor = 1 },
	} {
		c := &Config{AccountSID: "AC123", AuthToken: secret.New("hunter2"), From: "+15005550006", To: []string{"+41791234567"}}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
