package slack_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	amslack "github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/slack"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// block reads a block as an alertmanager.yml has it.
func block(t *testing.T, yaml string) *config.SlackConfig {
	t.Helper()
	c, err := config.Load("route: {receiver: dba}\nreceivers:\n- name: dba\n  slack_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n    ") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return c.Receivers[0].SlackConfigs[0]
}

func apiBlock(s *targettest.Slack) string {
	return "app_token: " + targettest.SlackToken + "\napp_url: " + s.APIURL() + "\nchannel: '#alerts'\nsend_resolved: true"
}

func hookBlock(s *targettest.Slack) string { return "api_url: " + s.HookURL() + "\nchannel: '#alerts'" }

func sender(t *testing.T, yaml string, o slack.Options) *slack.Sender {
	t.Helper()
	s, err := slack.New(block(t, yaml), targettest.TemplateSet(t), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// started is one time for all messages, so that midnight comes between none of them.
var started = time.Now().UTC()

// message is one at the present, so that what a server stamps is after its opening.
func message(e notify.Event) *notify.Message {
	m := targettest.Message(e)
	m.Incident.OpenedAt, m.Incident.CycleOpenedAt, m.SentAt = started, started, started
	return m
}

func send(t *testing.T, s *slack.Sender, m *notify.Message, memory notify.Memory) notify.Memory {
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
// has the same attachment.
func TestControl(t *testing.T) {
	for name, c := range map[string]struct {
		yaml    func(*targettest.Slack) string
		channel string
	}{"webhook": {hookBlock, "hook"}, "Web API": {apiBlock, "alerts"}} {
		t.Run(name, func(t *testing.T) {
			s := targettest.NewSlack(t, "alerts")
			conf := block(t, c.yaml(s)+"\nfallback: f {{ .Status }}\ntext: '{{ .CommonLabels.service }}'\nfields: [{title: a, value: '{{ len .Alerts }}'}]\nactions: [{type: button, text: go, url: 'https://example.com/{{ .Status }}'}]")
			all := targettest.TemplateSet(t)
			m := message(notify.Opened)
			theirs, err := amslack.New(conf, all.Module(), slog.New(slog.DiscardHandler))
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
			ours, err := slack.New(conf, all, nil, slack.Options{})
			if err != nil {
				t.Fatal(err)
			}
			send(t, ours, m, nil)
			got := s.Channel(c.channel).Messages
			if len(got) != 2 {
				t.Fatalf("%d messages, want theirs and ours", len(got))
			}
			want, have := got[0].Attachment(0), got[1].Attachment(0)
			for name := range want {
				if name == "callback_id" || name == "footer" {
					continue // empty, and left out by us
				}
				if fmt.Sprint(want[name]) != fmt.Sprint(have[name]) {
					t.Errorf("%s: got %v, the module has %v", name, have[name], want[name])
				}
			}
			for _, name := range []string{"username", "text", "icon_emoji"} {
				if got[0].Body[name] != got[1].Body[name] {
					t.Errorf("%s: got %v, the module has %v", name, got[1].Body[name], got[0].Body[name])
				}
			}
		})
	}
}

// TestLife of an incident in the Web API: one message that is always right, and a
// thread.
func TestLife(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	to := sender(t, apiBlock(s), slack.Options{})
	var memory notify.Memory
	for n, c := range []struct {
		event  notify.Event
		colour string
		// first is said by the first message, reply by the newest of the thread.
		first, reply string
		buttons      []string
		broadcast    bool
	}{
		{notify.Opened, "danger", "nobody works on it yet", "", []string{"tocsin_acknowledge", "tocsin_incident", "tocsin_resolve", "tocsin_runbook"}, false},
		{notify.Updated, "danger", "nobody works on it yet", "1 joined", []string{"tocsin_acknowledge", "tocsin_incident", "tocsin_resolve", "tocsin_runbook"}, false},
		{notify.Acknowledged, "warning", "alice works on it", "alice: acknowledged: on it", []string{"tocsin_incident", "tocsin_resolve", "tocsin_runbook"}, false},
		{notify.Unacknowledged, "danger", "nobody works on it yet", "NO LONGER ACKNOWLEDGED", []string{"tocsin_acknowledge", "tocsin_incident", "tocsin_resolve", "tocsin_runbook"}, false},
		{notify.Repeated, "danger", "nobody works on it yet", "STILL CRITICAL", []string{"tocsin_acknowledge", "tocsin_incident", "tocsin_resolve", "tocsin_runbook"}, true},
		{notify.Resolved, "good", "resolved by tocsin", "RESOLVED", []string{"tocsin_incident", "tocsin_runbook"}, false},
	} {
		memory = send(t, to, message(c.event), memory)
		all := s.Channel("alerts").Messages
		if len(all) != n+1 || all[0].Edits != n {
			t.Fatalf("%s: %d messages and %d edits of the first, want %d and %d", c.event, len(all), all[0].Edits, n+1, n)
		}
		first, last := all[0], all[n]
		if !strings.Contains(first.Text, c.first) || first.Attachment(0)["color"] != c.colour || first.Attachment(1)["color"] != c.colour {
			t.Errorf("%s: the first message does not say %q in %s:\n%s", c.event, c.first, c.colour, first.Text)
		}
		if got := sortedKeys(first.Buttons()); !slices.Equal(got, c.buttons) {
			t.Errorf("%s: buttons %v, want %v", c.event, got, c.buttons)
		}
		if n > 0 && (last.ThreadTS != first.TS || last.Broadcast != c.broadcast || !strings.Contains(last.Text, c.reply)) {
			t.Errorf("%s: the reply is in %q (broadcast %v), want %q with %q, got %q", c.event, last.ThreadTS, last.Broadcast, first.TS, c.reply, last.Text)
		}
	}
	again := message(notify.Opened)
	again.Incident.Reopens = 1
	memory = send(t, to, again, memory)
	if all := s.Channel("alerts").Messages; len(all) != 7 || all[6].ThreadTS != "" {
		t.Errorf("a new cycle has to begin a thread of its own, got %d messages", len(all))
	}
	if memory["ts"] == "" || memory["channel"] != s.Channel("alerts").ID || memory["cycle"] != "1" {
		t.Errorf("memory %v", memory)
	}
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TestButtons that act within Slack carry the key, and links otherwise.
func TestButtons(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	m := message(notify.Opened)
	send(t, sender(t, apiBlock(s), slack.Options{Buttons: true}), m, nil)
	buttons := s.Channel("alerts").Messages[0].Buttons()
	for _, id := range []string{"tocsin_acknowledge", "tocsin_resolve"} {
		b := buttons[id]
		if b["value"] != m.Key() || b["url"] != nil {
			t.Errorf("%s: %v, want the value %s and no link", id, b, m.Key())
		}
	}
	other := message(notify.Opened)
	other.Incident.ID[0] = 9
	send(t, sender(t, apiBlock(s), slack.Options{}), other, nil)
	buttons = s.Channel("alerts").Messages[1].Buttons()
	for id, want := range map[string]string{"tocsin_acknowledge": m.Links.Acknowledge, "tocsin_resolve": m.Links.Resolve, "tocsin_incident": m.Links.Incident, "tocsin_runbook": m.Incident.Runbook} {
		if b := buttons[id]; b["url"] != want || b["value"] != nil {
			t.Errorf("%s: %v, want the link %s", id, b, want)
		}
	}
}

// TestUpdateMessage edits and does not reply, as configured, but still reminds.
func TestUpdateMessage(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	conf := block(t, apiBlock(s))
	conf.UpdateMessage = true
	to, err := slack.New(conf, targettest.TemplateSet(t), nil, slack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var memory notify.Memory
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Acknowledged, notify.Resolved} {
		memory = send(t, to, message(e), memory)
	}
	if all := s.Channel("alerts").Messages; len(all) != 1 || all[0].Edits != 3 {
		t.Errorf("%d messages, want one that was edited", len(all))
	}
	send(t, to, message(notify.Repeated), memory)
	if all := s.Channel("alerts").Messages; len(all) != 2 || !all[1].Broadcast {
		t.Errorf("a reminder has to be seen, got %d messages", len(all))
	}
}

// TestKilled: a message whose record was lost is sent again, by a new process.
func TestKilled(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	fresh := func() *slack.Sender { return sender(t, apiBlock(s), slack.Options{}) }
	for n := range 60 { // so that it is not on the first page
		other := message(notify.Opened)
		other.Incident.ID[1] = byte(n + 100)
		if n == 1 {
			send(t, fresh(), message(notify.Opened), nil)
		}
		send(t, fresh(), other, nil)
	}
	memory := send(t, fresh(), message(notify.Opened), nil)
	if all := s.Channel("alerts").Messages; len(all) != 61 || all[1].Edits != 1 {
		t.Fatalf("%d messages, want 61: the first one of the incident is recognised", len(all))
	}
	for _, e := range []notify.Event{notify.Updated, notify.Acknowledged, notify.Repeated, notify.Resolved} {
		first := send(t, fresh(), message(e), memory)
		second := send(t, fresh(), message(e), memory)
		if first["replies"] != second["replies"] || first["reply_ts"] != second["reply_ts"] {
			t.Errorf("%s: remembers %v, then %v", e, first, second)
		}
		memory = second
	}
	var thread []string
	for _, m := range s.Channel("alerts").Messages {
		if m.ThreadTS == memory["ts"] {
			thread = append(thread, m.Text)
		}
	}
	if len(thread) != 4 {
		t.Errorf("%d replies, want 4:\n%s", len(thread), strings.Join(thread, "\n"))
	}
}

// TestWithoutHistory: a token that may only write tells all the same, and does not
// ask in vain each time.
func TestWithoutHistory(t *testing.T) {
	for name, scopes := range map[string][]string{"nothing may be read": {"channels:history", "channels:read"}, "no messages may be read": {"channels:history"}, "no channels may be listed": {"channels:read"}} {
		t.Run(name, func(t *testing.T) {
			s := targettest.NewSlack(t, "alerts")
			s.Revoke(scopes...)
			to := sender(t, apiBlock(s), slack.Options{})
			for n := range 5 {
				m := message(notify.Opened)
				m.Incident.ID[1] = byte(n)
				memory := send(t, to, m, nil)
				m = message(notify.Resolved)
				m.Incident.ID[1] = byte(n)
				send(t, to, m, memory)
			}
			if all := s.Channel("alerts").Messages; len(all) != 10 {
				t.Errorf("%d messages, want 10", len(all))
			}
			asked := s.Calls("conversations.list")
			if slices.Contains(scopes, "channels:history") {
				asked += s.Calls("conversations.history") + s.Calls("conversations.replies")
			}
			if asked > 4 {
				t.Errorf("asked %d times for what it may not", asked)
			}
		})
	}
}

// TestRefusals in the Web API have status 200 and a word.
func TestRefusals(t *testing.T) {
	for w, want := range map[string]notify.Error{
		"ratelimited":       {Reason: notify.ReasonRateLimited},
		"invalid_auth":      {Reason: notify.ReasonAuth},
		"token_revoked":     {Reason: notify.ReasonAuth},
		"account_inactive":  {Reason: notify.ReasonAuth},
		"missing_scope":     {Reason: notify.ReasonAuth},
		"channel_not_found": {Reason: notify.ReasonClient, Permanent: true},
		"is_archived":       {Reason: notify.ReasonClient, Permanent: true},
		"a_new_word":        {Reason: notify.ReasonClient, Permanent: true},
		"internal_error":    {Reason: notify.ReasonServer},
		"fatal_error":       {Reason: notify.ReasonServer},
	} {
		s := targettest.NewSlack(t, "alerts")
		s.Refuse("chat.postMessage", w)
		_, err := sender(t, apiBlock(s), slack.Options{}).Send(t.Context(), message(notify.Opened))
		check(t, w, err, want)
		if err != nil && !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error does not say it: %v", w, err)
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
	for _, secret := range []string{targettest.SlackToken, targettest.SlackHook, "hOoKsEcReT", "sEcReT"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows %s: %v", name, secret, err)
		}
	}
	if len(err.Error()) > 1000 {
		t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
	}
}

// TestFailures of the connection and of HTTP.
func TestFailures(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		failure targettest.Failure
		want    notify.Error
	}{
		"429":        {targettest.Failure{Status: 429, RetryAfter: 7 * time.Second}, notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 7 * time.Second}},
		"500":        {targettest.Failure{Status: 500}, notify.Error{Reason: notify.ReasonServer}},
		"503, huge":  {targettest.Failure{Status: 503, Body: huge}, notify.Error{Reason: notify.ReasonServer}},
		"400":        {targettest.Failure{Status: 400, Body: "invalid_payload SECRET"}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"404":        {targettest.Failure{Status: 404, Body: "no_service"}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"401":        {targettest.Failure{Status: 401, Body: "SECRET"}, notify.Error{Reason: notify.ReasonAuth}},
		"403":        {targettest.Failure{Status: 403, Body: "invalid_token"}, notify.Error{Reason: notify.ReasonAuth}},
		"a redirect": {targettest.Failure{Status: 302}, notify.Error{Reason: notify.ReasonClient, Permanent: true}},
		"no answer":  {targettest.Failure{}, notify.Error{Reason: notify.ReasonOther}},
		"garbage":    {targettest.Failure{Status: 200, Body: "<html>log in first</html>"}, notify.Error{Reason: notify.ReasonOther}},
		"no more":    {targettest.Failure{Status: 200, Body: `{"ok":true`}, notify.Error{Reason: notify.ReasonOther}},
		"not Slack":  {targettest.Failure{Status: 200, Body: `{}`}, notify.Error{Reason: notify.ReasonOther}},
	} {
		s := targettest.NewSlack(t, "alerts")
		s.Revoke("channels:history")
		api, hook := sender(t, apiBlock(s), slack.Options{}), sender(t, hookBlock(s), slack.Options{})
		other := message(notify.Opened)
		other.Incident.ID[0] = 9
		send(t, api, other, nil) // it knows what it may not ask
		mirrored := func(secret string) targettest.Failure {
			f := c.failure
			f.Body = strings.ReplaceAll(f.Body, "SECRET", secret)
			return f
		}
		s.Fail(mirrored(targettest.SlackToken))
		_, err := api.Send(t.Context(), message(notify.Opened))
		check(t, name+", Web API", err, c.want)
		s.Fail(mirrored(s.HookURL()), mirrored(targettest.SlackHook))
		_, err = hook.Send(t.Context(), message(notify.Opened))
		check(t, name+", webhook", err, c.want)
		_, err = hook.Send(t.Context(), message(notify.Opened))
		check(t, name+", webhook", err, c.want)
	}
}

// TestHang ends with the context.
func TestHang(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	s.Fail(targettest.Failure{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := sender(t, hookBlock(s), slack.Options{}).Send(ctx, message(notify.Opened))
	check(t, "hang", err, notify.Error{Reason: notify.ReasonTimeout})
	s.Fail(targettest.Failure{Hang: true})
	_, err = sender(t, hookBlock(s)+"\ntimeout: 50ms", slack.Options{}).Send(t.Context(), message(notify.Opened))
	check(t, "hang with a timeout", err, notify.Error{Reason: notify.ReasonTimeout})
}

// TestInDoubt: Slack acted, and then the connection was gone, at each of the calls in
// turn. The next attempt of the same process and one of another show nothing twice.
func TestInDoubt(t *testing.T) {
	for name, other := range map[string]bool{"same process": false, "another process": true} {
		for cut := 1; cut <= 6; cut++ {
			s := targettest.NewSlack(t, "alerts")
			to := sender(t, apiBlock(s), slack.Options{})
			var memory notify.Memory
			for n, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Repeated, notify.Resolved} {
				s.Cut(cut)
				m := message(e)
				m.Memory = memory
				_, _ = to.Send(t.Context(), m) // whatever it believes
				s.Cut(-1)
				if other {
					to = sender(t, apiBlock(s), slack.Options{})
				}
				memory = send(t, to, message(e), memory)
				if all := s.Channel("alerts").Messages; len(all) != n+1 {
					t.Fatalf("%s, cut after call %d, %s: %d messages, want %d", name, cut, e, len(all), n+1)
				}
			}
		}
	}
}

// TestGone: a first message that was deleted is posted anew, with all that it says.
func TestGone(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	to := sender(t, apiBlock(s), slack.Options{})
	memory := send(t, to, message(notify.Opened), nil)
	s.Change("alerts", func(c *targettest.SlackChannel) { c.Messages = nil })
	memory = send(t, to, message(notify.Acknowledged), memory)
	all := s.Channel("alerts").Messages
	if len(all) != 1 || all[0].ThreadTS != "" || memory["ts"] != all[0].TS {
		t.Fatalf("%d messages, remembered %v", len(all), memory)
	}
	send(t, to, message(notify.Resolved), memory)
	if all := s.Channel("alerts").Messages; len(all) != 2 || all[1].ThreadTS != all[0].TS {
		t.Errorf("%d messages", len(all))
	}
}

// TestWebhook posts every event, and reads its URL at each.
func TestWebhook(t *testing.T) {
	s := targettest.NewSlack(t)
	file := filepath.Join(t.TempDir(), "url")
	to := sender(t, "api_url_file: "+file, slack.Options{})
	if _, err := to.Send(t.Context(), message(notify.Opened)); err == nil {
		t.Error("there is no file, but no error either")
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(s.URL + "/services/old\n")
	s.ExpectRefusals()
	_, err := to.Send(t.Context(), message(notify.Opened))
	check(t, "an old URL", err, notify.Error{Reason: notify.ReasonClient, Permanent: true})
	write(s.HookURL() + "\n")
	s.Fail(targettest.Failure{Status: 403, Body: "no " + targettest.SlackHook})
	_, err = to.Send(t.Context(), message(notify.Opened))
	check(t, "the secret of a file", err, notify.Error{Reason: notify.ReasonAuth})
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Acknowledged, notify.Unacknowledged, notify.Repeated, notify.Resolved} {
		if got := send(t, to, message(e), nil); got != nil {
			t.Errorf("a webhook has nothing to remember, got %v", got)
		}
	}
	if all := s.Channel("hook").Messages; len(all) != 6 {
		t.Errorf("%d messages, want 6", len(all))
	}
}

// TestTemplates that fail do not keep people from being told.
func TestTemplates(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	bad := `'{{ template "nowhere" . }}'`
	for n, yaml := range []string{hookBlock(s), apiBlock(s)} {
		to := sender(t, yaml+"\ntitle: "+bad+"\ntext: "+bad+"\nfallback: "+bad+"\ncolor: "+bad+"\ntitle_link: "+bad+"\nusername: "+bad, slack.Options{})
		m := message(notify.Opened)
		if _, err := to.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if len(m.Failed()) != 6 {
			t.Errorf("%d templates failed, want 6: %v", len(m.Failed()), m.ErrTemplates())
		}
		got := s.Channel([]string{"hook", "alerts"}[n]).Messages[0]
		at := got.Attachment(0)
		if at["title"] != m.Headline() || !strings.Contains(at["text"].(string), "nobody works on it yet") || at["color"] != "danger" || at["title_link"] != m.Links.Incident {
			t.Errorf("people are told %v", at)
		}
	}
	to := sender(t, strings.Replace(apiBlock(s), "'#alerts'", bad, 1), slack.Options{})
	_, err := to.Send(t.Context(), message(notify.Opened))
	check(t, "no channel", err, notify.Error{Reason: notify.ReasonClient, Permanent: true})
}

// TestHostile texts in every field are words and nothing else.
func TestHostile(t *testing.T) {
	every := ""
	for _, name := range []string{"title", "title_link", "pretext", "text", "message_text", "fallback", "footer", "username", "image_url", "thumb_url", "icon_url", "callback_id", "color"} {
		value := "{{ .CommonAnnotations.summary }}"
		if name == "color" {
			value = "#ff0000"
		}
		every += "\n" + name + ": '" + value + "'"
	}
	every += "\nfields: [{title: '{{ .CommonLabels.x }}', value: '{{ .CommonAnnotations.summary }}'}]\nactions: [{type: button, text: '{{ .CommonLabels.x }}', url: '{{ .CommonAnnotations.summary }}'}]"
	options := slack.Options{ChannelPerMajor: true, AnnounceIn: []string{"news"}}
	for name, yaml := range map[string]string{"default": "", "every field": every, "every field, link_names": every + "\nlink_names: true"} {
		for n, text := range append(targettest.HostileTexts(), strings.Repeat("&", 9000), "x"+strings.Repeat("&", 9000), "xx"+strings.Repeat("<", 9000)) {
			s := targettest.NewSlack(t, "alerts", "news")
			to, hook := sender(t, apiBlock(s)+yaml, options), sender(t, hookBlock(s)+yaml, options)
			var memory notify.Memory
			for _, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Resolved} {
				m := targettest.Hostile(message(e), text)
				m.Remark = text
				memory = send(t, to, m, memory)
			}
			send(t, hook, targettest.Hostile(message(notify.Opened), text), nil)
			harmless(t, s, fmt.Sprintf("%s, text %d", name, n))
		}
	}
}

// harmless: nothing that the server shows is more than words.
func harmless(t *testing.T, s *targettest.Slack, what string) {
	t.Helper()
	for _, name := range s.Channels() {
		c := s.Channel(name)
		for _, m := range c.Messages {
			if len(m.Live)+len(m.Links) > 0 {
				t.Errorf("%s: %s: live %.300q, links %q in\n%.500s", what, name, m.Live, m.Links, m.Text)
			}
			if !utf8.ValidString(m.Text) || strings.ContainsAny(m.Text, "\x00\u202e\u2066") {
				t.Errorf("%s: %s: not clean: %.500q", what, name, m.Text)
			}
			for _, url := range []any{m.Attachment(0)["title_link"], m.Attachment(0)["image_url"], m.Buttons()["tocsin_runbook"]["url"]} {
				if u, _ := url.(string); u != "" && !strings.HasPrefix(u, "http") {
					t.Errorf("%s: %s: a link to %s", what, name, u)
				}
			}
		}
		if strings.ContainsAny(c.Purpose, "<>\x00") {
			t.Errorf("%s: %s: purpose %q", what, name, c.Purpose)
		}
	}
}

// TestChannelByID: one that is configured by its id is not looked for.
func TestChannelByID(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	id := s.Channel("alerts").ID
	to := sender(t, strings.Replace(apiBlock(s), "'#alerts'", id, 1), slack.Options{})
	send(t, to, message(notify.Opened), nil)
	send(t, to, message(notify.Opened), nil)
	if n := s.Calls("conversations.list"); n != 0 {
		t.Errorf("the channels were listed %d times", n)
	}
	if all := s.Channel("alerts").Messages; len(all) != 1 {
		t.Errorf("%d messages, want 1", len(all))
	}
}

// TestGuard: no connection to where the guard says no.
func TestGuard(t *testing.T) {
	s := targettest.NewSlack(t, "alerts")
	to, err := slack.New(block(t, hookBlock(s)), targettest.TemplateSet(t), denyAll, slack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.Send(t.Context(), message(notify.Opened))
	check(t, "guard", err, notify.Error{Reason: notify.ReasonClient, Permanent: true})
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestThreads: which blocks can edit.
func TestThreads(t *testing.T) {
	s := targettest.NewSlack(t)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(s.APIURL()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for yaml, want := range map[string]bool{apiBlock(s): true, hookBlock(s): false, "api_url_file: " + file: true, "api_url_file: " + file + "x": false} {
		if got := slack.Threads(block(t, yaml)); got != want {
			t.Errorf("%s: %v", yaml, got)
		}
	}
}

// TestProblems of the options.
func TestProblems(t *testing.T) {
	for field, o := range map[string]slack.Options{"channel_prefix": {Prefix: "#Big Ones"}, "announce_in": {AnnounceIn: []string{"news"}}} {
		if p := o.Problems(); len(p) != 1 || p[field] == "" {
			t.Errorf("%+v: %v", o, p)
		}
	}
	if p := (&slack.Options{Buttons: true, ChannelPerMajor: true, AnnounceIn: []string{"news"}, Prefix: "inc-"}).Problems(); len(p) != 0 {
		t.Errorf("%v", p)
	}
}
