package msteams_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/msteamsv2"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/msteams"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func block(t *testing.T, yaml string) *msteamsv2.MSTeamsV2Config {
	t.Helper()
	c, err := config.Load("route: {receiver: dba}\nreceivers:\n- name: dba\n  msteamsv2_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n    ") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return c.Receivers[0].MSTeamsV2Configs[0]
}

func usual(s *targettest.Teams) string { return "webhook_url: '" + s.HookURL() + "'" }

func sender(t *testing.T, yaml string) *msteams.Sender {
	t.Helper()
	s, err := msteams.New(block(t, yaml), targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s *msteams.Sender, m *notify.Message) {
	t.Helper()
	memory, err := s.Send(t.Context(), m)
	if err != nil || memory != nil {
		t.Fatalf("%s: %v, %v", m.Event, memory, err)
	}
	if err := m.ErrTemplates(); err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
}

// TestControl: what the Alertmanager module sends is right for the server, and ours
// says the same, and more.
func TestControl(t *testing.T) {
	s := targettest.NewTeams(t)
	conf, all, m := block(t, usual(s)), targettest.TemplateSet(t), targettest.Message(notify.Opened)
	theirs, err := msteamsv2.New(conf, all.Module(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx := amnotify.WithGroupKey(t.Context(), "k")
	ctx = amnotify.WithReceiverName(ctx, "dba")
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull", "service": "db"})
	if _, err := theirs.Notify(ctx, targettest.ModuleAlerts(m)...); err != nil {
		t.Fatal(err)
	}
	ours, err := msteams.New(conf, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, ours, m)
	cards := s.Cards()
	if len(cards) != 2 || cards[0].Title != cards[1].Title || cards[0].Color != cards[1].Color {
		t.Fatalf("%d cards: the module's %+v, ours %+v", len(cards), cards[0], cards[1])
	}
	if body := strings.TrimPrefix(cards[0].Text, cards[0].Title); !strings.Contains(cards[1].Text, strings.TrimSpace(body)) {
		t.Errorf("ours lacks what the module says:\n%s\n---\n%s", cards[1].Text, body)
	}
}

// TestLife: every event is a card that says how the incident is.
func TestLife(t *testing.T) {
	s := targettest.NewTeams(t)
	to := sender(t, usual(s))
	for n, c := range []struct {
		event          notify.Event
		colour, who    string
		actions        string
		state, andNews string
	}{
		{notify.Opened, "Attention", "nobody works on it yet", "Acknowledge Incident Resolve Runbook", "opened", ""},
		{notify.Updated, "Attention", "nobody works on it yet", "Acknowledge Incident Resolve Runbook", "updated", "tocsin: 1 joined"},
		{notify.Acknowledged, "Warning", "alice works on it", "Incident Resolve Runbook", "acknowledged", "alice: acknowledged: on it"},
		{notify.Unacknowledged, "Attention", "nobody works on it yet", "Acknowledge Incident Resolve Runbook", "no longer acknowledged", "alice: acknowledgement taken back"},
		{notify.Repeated, "Attention", "nobody works on it yet", "Acknowledge Incident Resolve Runbook", "still open", "tocsin: opened: DiskFull db"},
		{notify.Resolved, "Good", "", "Incident Runbook", "resolved", "tocsin: resolved: its last alert ended"},
	} {
		m := targettest.Message(c.event)
		send(t, to, m)
		got := s.Cards()[n]
		var actions []string
		for _, title := range []string{"Acknowledge", "Incident", "Resolve", "Runbook"} {
			if got.Actions[title] != "" {
				actions = append(actions, title)
			}
		}
		if got.Color != c.colour || got.Facts["Who"] != c.who || got.Facts["State"] != c.state || got.Facts["News"] != c.andNews || strings.Join(actions, " ") != c.actions {
			t.Errorf("%s: %+v", c.event, got)
		}
		if c.event == notify.Opened && (got.Actions["Acknowledge"] != m.Links.Acknowledge || got.Actions["Runbook"] != m.Incident.Runbook) {
			t.Errorf("links %v", got.Actions)
		}
	}
}

func check(t *testing.T, name string, err error, want notify.Error) {
	t.Helper()
	var e *notify.Error
	if !errors.As(err, &e) || e.Reason != want.Reason || e.Permanent != want.Permanent || e.RetryAfter != want.RetryAfter {
		t.Errorf("%s: got %+v, want %+v", name, e, want)
		return
	}
	if strings.Contains(err.Error(), "tEaMsSeCrEt") || len(err.Error()) > 1000 {
		t.Errorf("%s: the error shows too much: %v", name, err)
	}
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		failure targettest.Failure
		want    notify.Error
	}{
		"429":            {targettest.Failure{Status: 429, RetryAfter: 7 * time.Second}, notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 7 * time.Second}},
		"429 in a 200":   {targettest.Failure{Status: 200, Body: "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=0"}, notify.Error{Reason: notify.ReasonRateLimited}},
		"refused in 200": {targettest.Failure{Status: 200, Body: "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 404"}, notify.Error{Reason: notify.ReasonOther}},
		"500":            {targettest.Failure{Status: 500}, notify.Error{Reason: notify.ReasonServer}},
		"502, huge":      {targettest.Failure{Status: 502, Body: strings.Repeat("x", 1<<20)}, notify.Error{Reason: notify.ReasonServer}},
		"400":            {targettest.Failure{Status: 400, Body: "TriggerInputSchemaMismatch " + targettest.TeamsHook}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"401":            {targettest.Failure{Status: 401, Body: "sig=tEaMsSeCrEt"}, notify.Error{Reason: notify.ReasonAuth}},
		"404":            {targettest.Failure{Status: 404, Body: "WorkflowNotFound"}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"a redirect":     {targettest.Failure{Status: 307}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"no answer":      {targettest.Failure{After: true}, notify.Error{Reason: notify.ReasonOther}},
	} {
		s := targettest.NewTeams(t)
		s.Fail(c.failure)
		_, err := sender(t, usual(s)).Send(t.Context(), targettest.Message(notify.Opened))
		check(t, name, err, c.want)
	}
	s := targettest.NewTeams(t)
	s.Fail(targettest.Failure{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := sender(t, usual(s)).Send(ctx, targettest.Message(notify.Opened))
	check(t, "hang", err, notify.Error{Reason: notify.ReasonTimeout})
}

// TestFile: the URL is read at each message, and no error shows it.
func TestFile(t *testing.T) {
	s := targettest.NewTeams(t)
	file := filepath.Join(t.TempDir(), "url")
	to := sender(t, "webhook_url_file: "+file)
	for _, c := range []struct {
		text string
		want notify.Error
	}{{"", notify.Error{Reason: notify.ReasonAuth}}, {"nothing useful", notify.Error{Reason: notify.ReasonAuth}}, {s.HookURL() + "\n", notify.Error{Reason: notify.ReasonClient, Permanent: true}}} {
		if c.text != "" {
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.want.Permanent {
			s.Fail(targettest.Failure{Status: 400, Body: "no " + s.HookURL()})
		}
		_, err := to.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, c.text, err, c.want)
	}
	send(t, to, targettest.Message(notify.Opened))
}

// TestTemplates that fail, or say nothing, do not keep people from being told.
func TestTemplates(t *testing.T) {
	s := targettest.NewTeams(t)
	m := targettest.Message(notify.Opened)
	if _, err := sender(t, usual(s)+"\ntitle: '{{ template \"nowhere\" . }}'\ntext: '{{ template \"nowhere\" . }}'").Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := s.Cards()[0]
	if len(m.Failed()) != 2 || !strings.Contains(got.Title, "DiskFull db") || !strings.Contains(got.Text, "disk of db-1 is full") {
		t.Errorf("%d failed, people are told %+v", len(m.Failed()), got)
	}
	send(t, sender(t, usual(s)+"\ntitle: ' '\ntext: ''"), targettest.Message(notify.Opened))
	if got := s.Cards()[1]; !strings.Contains(got.Title, "DiskFull db") {
		t.Errorf("people are told %+v", got)
	}
}

// TestHostile texts in every field are words and nothing else, and always fit.
func TestHostile(t *testing.T) {
	s := targettest.NewTeams(t)
	for _, yaml := range []string{"", "\ntitle: '{{ .CommonAnnotations.summary }}'\ntext: '{{ .CommonAnnotations.summary }} {{ .CommonLabels.x }}'"} {
		to := sender(t, usual(s)+yaml)
		for _, text := range append(targettest.HostileTexts(), "# head\n- list\n1. one\n> quote\n= x", "{{DATE(2026-11-21T06:08:00Z,SHORT)}}", strings.Repeat(`\`, 5000), "x"+strings.Repeat(`\`, 5000), strings.Repeat(`"`, 40_000), strings.Repeat("*", 40_001), strings.Repeat("日", 20_000)) {
			for _, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Resolved} {
				m := targettest.Hostile(targettest.Message(e), text)
				m.Remark = text
				if _, err := to.Send(t.Context(), m); err != nil { // a template may have written too much
					t.Fatalf("%.50q: %v", text, err)
				}
			}
		}
	}
	for _, c := range s.Cards() {
		if len(c.Live) > 0 {
			t.Errorf("live %q in\n%.500s", c.Live, c.Text)
		}
		if !utf8.ValidString(c.Text) || strings.ContainsAny(c.Text, "\x00\u202e\u2066") {
			t.Errorf("not clean: %.500q", c.Text)
		}
		for title, to := range c.Actions {
			if title != "Runbook" && !strings.HasPrefix(to, "https://tocsin.example.com/") {
				t.Errorf("%s leads to %s", title, to)
			}
		}
	}
	for _, r := range s.Requests() {
		if len(r.Body) > 28<<10 {
			t.Errorf("%d bytes", len(r.Body))
		}
	}
}

// TestMany alerts fit too, and the beginning of the text is there.
func TestMany(t *testing.T) {
	s := targettest.NewTeams(t)
	m := targettest.Message(notify.Opened)
	for n := range 98 {
		a := m.Alerts[0]
		one := *a.Alert
		one.GeneratorURL = fmt.Sprintf("https://prometheus.example.com/%s/%d", strings.Repeat("x", 1000), n)
		a.Alert = &one
		m.Alerts = append(m.Alerts, a)
	}
	send(t, sender(t, usual(s)), m)
	if size := len(s.Requests()[0].Body); size < 24<<10 {
		t.Errorf("only %d bytes are used", size)
	}
	if got := s.Cards()[0]; !strings.Contains(got.Text, "Alerts Firing") || !strings.Contains(got.Text, "…") {
		t.Errorf("got %.300s", got.Text)
	}
}
