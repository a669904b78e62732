package rocketchat_test

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
	amrocketchat "github.com/prometheus/alertmanager/notify/rocketchat"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/rocketchat"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func block(t *testing.T, yaml string) *config.RocketchatConfig {
	t.Helper()
	c, err := config.Load("route: {receiver: dba}\nreceivers:\n- name: dba\n  rocketchat_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n    ") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return c.Receivers[0].RocketchatConfigs[0]
}

func usual(s *targettest.RocketChat) string {
	return "api_url: " + s.URL + "\ntoken: " + targettest.RocketChatToken + "\ntoken_id: " + targettest.RocketChatTokenID + "\nchannel: '#alerts'"
}

func sender(t *testing.T, yaml string) *rocketchat.Sender {
	t.Helper()
	s, err := rocketchat.New(block(t, yaml), targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func message(e notify.Event) *notify.Message {
	m := targettest.Message(e)
	now := time.Now().UTC()
	m.Incident.OpenedAt, m.Incident.CycleOpenedAt, m.SentAt = now, now, now
	return m
}

func send(t *testing.T, s *rocketchat.Sender, m *notify.Message, memory notify.Memory) notify.Memory {
	t.Helper()
	m.Memory = memory
	got, err := s.Send(t.Context(), m)
	if err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
	if err := m.ErrTemplates(); err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
	return got
}

// TestControl: what the Alertmanager module sends is right for the server, and ours
// attaches the same.
func TestControl(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	conf := block(t, usual(s)+"\ntext: '{{ .CommonLabels.service }}'\nemoji: ':bell:'\nfields: [{title: a, value: '{{ len .Alerts }}', short: true}]\nactions: [{text: go, url: 'https://example.com/{{ .Status }}'}]")
	all, m := targettest.TemplateSet(t), message(notify.Opened)
	theirs, err := amrocketchat.New(conf, all.Module(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx := amnotify.WithGroupKey(t.Context(), "k")
	ctx = amnotify.WithReceiverName(ctx, "dba")
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull", "service": "db"})
	ctx = amnotify.WithRouteLabels(ctx, model.LabelSet{"incident_url": model.LabelValue(m.Links.Incident)})
	if _, err := theirs.Notify(ctx, targettest.ModuleAlerts(m)...); err != nil {
		t.Fatal(err)
	}
	ours, err := rocketchat.New(conf, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, ours, m, nil)
	got := s.Room("alerts").Messages
	if len(got) != 2 {
		t.Fatalf("%d messages, want theirs and ours", len(got))
	}
	want, have := got[0].Attachment(), got[1].Attachment()
	for _, name := range []string{"title", "title_link", "text", "color", "fields"} {
		if fmt.Sprint(want[name]) != fmt.Sprint(have[name]) {
			t.Errorf("%s: got %v, the module has %v", name, have[name], want[name])
		}
	}
	if actions, _ := have["actions"].([]any); len(actions) != 5 {
		t.Errorf("%d actions, want theirs and four of ours: %v", len(actions), actions)
	}
}

// TestLife: one message that always says how it is, and a thread.
func TestLife(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	to := sender(t, usual(s))
	var memory notify.Memory
	for n, c := range []struct {
		event        notify.Event
		first, reply string
		beside       bool
	}{
		{notify.Opened, "CRITICAL · P1 ", "", false},
		{notify.Updated, "nobody works on it yet", "1 joined", false},
		{notify.Acknowledged, "ACKNOWLEDGED · P1 ", "alice: acknowledged: on it", false},
		{notify.Unacknowledged, "nobody works on it yet", "NO LONGER ACKNOWLEDGED", false},
		{notify.Repeated, "nobody works on it yet", "STILL CRITICAL", true},
		{notify.Resolved, "resolved by tocsin", "RESOLVED", false},
	} {
		memory = send(t, to, message(c.event), memory)
		all := s.Room("alerts").Messages
		if len(all) != n+1 || all[0].Edits != n || !strings.Contains(all[0].Text, c.first) {
			t.Fatalf("%s: %d messages, the first with %d edits says %q", c.event, len(all), all[0].Edits, all[0].Text)
		}
		if last := all[n]; n > 0 && (last.Thread == all[0].ID) == c.beside || !strings.Contains(last.Text, c.reply) {
			t.Errorf("%s: in thread %q: %q", c.event, last.Thread, last.Text)
		}
	}
	again := message(notify.Opened)
	again.Incident.Reopens = 1
	if memory = send(t, to, again, memory); memory["cycle"] != "1" || len(s.Room("alerts").Messages) != 7 {
		t.Errorf("a new cycle has a message of its own; remembered %v", memory)
	}
}

// TestKilled: the connection is gone after each of the calls in turn, and the message
// is sent again with what was remembered before, by the same process and another.
func TestKilled(t *testing.T) {
	for _, room := range []string{"alerts", "!alerts"} {
		for _, other := range []bool{false, true} {
			for cut := 1; cut <= 5; cut++ {
				s := targettest.NewRocketChat(t, room)
				to := sender(t, usual(s))
				var memory notify.Memory
				for n, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Repeated, notify.Resolved} {
					s.Cut(cut)
					m := message(e)
					m.Memory = memory
					_, _ = to.Send(t.Context(), m) // whatever it believes
					s.Cut(-1)
					if other {
						to = sender(t, usual(s))
					}
					memory = send(t, to, message(e), memory)
					if all := s.Room("alerts").Messages; len(all) != n+1 {
						t.Fatalf("%s, another process %v, cut after call %d, %s: %d messages, want %d", room, other, cut, e, len(all), n+1)
					}
				}
			}
		}
	}
}

// TestManyBefore: the first message is found behind those of other incidents.
func TestManyBefore(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	to := sender(t, usual(s))
	send(t, to, message(notify.Opened), nil)
	for n := range 60 {
		m := message(notify.Opened)
		m.Incident.ID[1], m.Incident.Reference = byte(n+100), fmt.Sprintf("INC-%d", n)
		send(t, to, m, nil)
	}
	send(t, to, message(notify.Opened), nil)
	if all := s.Room("alerts").Messages; len(all) != 61 || all[0].Edits != 1 {
		t.Errorf("%d messages, want 61", len(all))
	}
}

// TestNotPermitted: an account that may only post tells all the same.
func TestNotPermitted(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	s.Deny("channels.history", "groups.history", "chat.getThreadMessages")
	to := sender(t, usual(s))
	memory := send(t, to, message(notify.Opened), nil)
	send(t, to, message(notify.Resolved), memory)
	if n := len(s.Room("alerts").Messages); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// TestGone: a first message that was deleted is posted anew; one that may not be
// edited keeps nobody from being told.
func TestGone(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	to := sender(t, usual(s))
	memory := send(t, to, message(notify.Opened), nil)
	s.Clear("alerts")
	memory = send(t, to, message(notify.Acknowledged), memory)
	if all := s.Room("alerts").Messages; len(all) != 1 || all[0].Thread != "" || memory["id"] != all[0].ID {
		t.Fatalf("%d messages, remembered %v", len(all), memory)
	}
	s.Fail(targettest.Failure{Status: 400, Body: `{"success":false,"error":"Message editing is blocked [error-message-editing-blocked]"}`})
	send(t, to, message(notify.Resolved), memory)
	if all := s.Room("alerts").Messages; len(all) != 2 || all[1].Thread != all[0].ID {
		t.Errorf("%d messages", len(all))
	}
}

func check(t *testing.T, name string, err error, want notify.Error) {
	t.Helper()
	var e *notify.Error
	if !errors.As(err, &e) || e.Reason != want.Reason || e.Permanent != want.Permanent || e.RetryAfter != want.RetryAfter {
		t.Errorf("%s: got %+v, want %+v", name, e, want)
		return
	}
	for _, secret := range []string{targettest.RocketChatToken, targettest.RocketChatTokenID} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows %s: %v", name, secret, err)
		}
	}
	if len(err.Error()) > 1000 {
		t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
	}
}

func TestFailures(t *testing.T) {
	slow := `{"success":false,"error":"Error, too many requests. Please slow down. You must wait 42 seconds before trying this endpoint again. [error-too-many-requests]","errorType":"error-too-many-requests"}`
	for name, c := range map[string]struct {
		failure targettest.Failure
		want    notify.Error
	}{
		"429":                  {targettest.Failure{Status: 429, RetryAfter: 7 * time.Second}, notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 7 * time.Second}},
		"429 that says so":     {targettest.Failure{Status: 429, Body: slow}, notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 42 * time.Second}},
		"400 that is a 429":    {targettest.Failure{Status: 400, Body: slow}, notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 42 * time.Second}},
		"500":                  {targettest.Failure{Status: 500}, notify.Error{Reason: notify.ReasonServer}},
		"502, huge":            {targettest.Failure{Status: 502, Body: strings.Repeat("x", 1<<20)}, notify.Error{Reason: notify.ReasonServer}},
		"400":                  {targettest.Failure{Status: 400, Body: `{"success":false,"error":"invalid-channel ` + targettest.RocketChatToken + `"}`}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"401":                  {targettest.Failure{Status: 401, Body: `{"status":"error","message":"` + targettest.RocketChatTokenID + `"}`}, notify.Error{Reason: notify.ReasonAuth}},
		"no answer":            {targettest.Failure{}, notify.Error{Reason: notify.ReasonOther}},
		"garbage":              {targettest.Failure{Status: 200, Body: "<html>"}, notify.Error{Reason: notify.ReasonOther}},
		"empty":                {targettest.Failure{Status: 200, Body: "{}"}, notify.Error{Reason: notify.ReasonOther}},
		"success but nothing":  {targettest.Failure{Status: 200, Body: `{"success":true}`}, notify.Error{Reason: notify.ReasonOther}},
		"a refusal with a 200": {targettest.Failure{Status: 200, Body: `{"success":false,"error":"invalid-channel"}`}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
	} {
		s := targettest.NewRocketChat(t, "alerts")
		to := sender(t, strings.Replace(usual(s), "'#alerts'", "'@alice'", 1)) // nothing is looked for
		s.Fail(c.failure)
		_, err := to.Send(t.Context(), message(notify.Opened))
		check(t, name, err, c.want)
	}
	s := targettest.NewRocketChat(t, "alerts")
	to := sender(t, usual(s))
	s.Fail(targettest.Failure{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := to.Send(ctx, message(notify.Opened))
	check(t, "hang", err, notify.Error{Reason: notify.ReasonTimeout})
}

// TestFiles: the token is read at each message.
func TestFiles(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	token, id := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "id")
	to := sender(t, "api_url: "+s.URL+"/\nchannel: alerts\ntoken_file: "+token+"\ntoken_id_file: "+id)
	_, err := to.Send(t.Context(), message(notify.Opened))
	check(t, "no file", err, notify.Error{Reason: notify.ReasonAuth})
	for _, text := range []string{"old", targettest.RocketChatToken + "\n"} {
		if err := errors.Join(os.WriteFile(token, []byte(text), 0o600), os.WriteFile(id, []byte(targettest.RocketChatTokenID), 0o600)); err != nil {
			t.Fatal(err)
		}
		if text == "old" {
			s.Fail(targettest.Failure{Status: 403}, targettest.Failure{Status: 403}, targettest.Failure{Status: 401, Body: "old"})
			if _, err := to.Send(t.Context(), message(notify.Opened)); err == nil || strings.Contains(err.Error(), "old") {
				t.Errorf("an old token: %v", err)
			}
			continue
		}
		send(t, to, message(notify.Opened), nil)
	}
}

// TestTemplates that fail do not keep people from being told.
func TestTemplates(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	bad := `'{{ template "nowhere" . }}'`
	m := message(notify.Opened)
	if _, err := sender(t, usual(s)+"\ntitle: "+bad+"\ntext: "+bad+"\ncolor: "+bad+"\ntitle_link: "+bad).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	at := s.Room("alerts").Messages[0].Attachment()
	if len(m.Failed()) != 4 || at["title"] != m.Headline() || at["color"] != "red" || at["title_link"] != m.Links.Incident || !strings.Contains(at["text"].(string), "nobody works on it yet") {
		t.Errorf("%d failed, people are told %v", len(m.Failed()), at)
	}
	_, err := sender(t, strings.Replace(usual(s), "'#alerts'", bad, 1)).Send(t.Context(), message(notify.Opened))
	check(t, "no channel", err, notify.Error{Reason: notify.ReasonClient, Permanent: true})
}

// TestHostile texts in every field are words and nothing else.
func TestHostile(t *testing.T) {
	s := targettest.NewRocketChat(t, "alerts")
	every := ""
	for _, name := range []string{"title", "title_link", "text", "emoji", "image_url", "thumb_url", "icon_url"} {
		every += "\n" + name + ": '{{ .CommonAnnotations.summary }}'"
	}
	every += "\nfields: [{title: '{{ .CommonLabels.x }}', value: '{{ .CommonAnnotations.summary }}'}]\nactions: [{text: '{{ .CommonLabels.x }}', url: '{{ .CommonAnnotations.summary }}', msg: '{{ .CommonLabels.x }}'}]"
	for name, yaml := range map[string]string{"default": "", "every": every} {
		to := sender(t, usual(s)+yaml)
		for n, text := range append(targettest.HostileTexts(), "@all", "x @here", "a_b_c _it_", "user@all", "[@all](https://evil.example.com)", "||spoiler||", "$$x$$") {
			var memory notify.Memory
			for _, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Resolved} {
				m := targettest.Hostile(message(e), text)
				m.Remark = text
				m.Incident.ID[2], m.Incident.Reference = byte(n), fmt.Sprintf("INC-%s-%d", name, n)
				memory = send(t, to, m, memory)
			}
		}
	}
	for _, m := range s.Room("alerts").Messages {
		if len(m.Live) > 0 {
			t.Errorf("live %q in\n%.500s\n%.500v", m.Live, m.Text, m.Attachments)
		}
		if !utf8.ValidString(m.Text) || strings.ContainsAny(m.Text, "\x00\u202e\u2066") {
			t.Errorf("not clean: %.500q", m.Text)
		}
	}
}
