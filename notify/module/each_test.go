package module_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	amnotify "github.com/prometheus/alertmanager/notify"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/module"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func withStore(ctx context.Context) context.Context {
	return amnotify.WithNflogStore(ctx, nflog.NewStore(nil))
}

// TestPausesThatAreSaidInTheBody are kept.
func TestPausesThatAreSaidInTheBody(t *testing.T) {
	discord, telegram := discordTool(t), telegramTool(t, "HTML")
	for _, c := range []struct {
		tool *tool
		body string
		want time.Duration
	}{
		{discord, `{"message": "You are being rate limited.", "retry_after": 64.5, "global": false}`, 64*time.Second + 500*time.Millisecond},
		{discord, `{"message": "You are being rate limited.", "retry_after": 1e300, "global": false}`, time.Second},
		{discord, `{"message": "You are being rate limited.", "retry_after": 99999999, "global": false}`, time.Hour},
		{discord, `{"retry_after": 0}`, 30 * time.Second},
		{telegram, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}`, 35 * time.Second},
	} {
		c.tool.server.Fail(targettest.Failure{Status: 429, Body: c.body})
		_, err := c.tool.with(t).Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, c.tool.name, c.body, err, outcome{notify.ReasonRateLimited, false, c.want})
	}
}

// TestTelegramPanics where an answer lacks what it should have.
func TestTelegramPanics(t *testing.T) {
	x := telegramTool(t, "HTML")
	in := x.with(t)
	x.server.Fail(targettest.Failure{Status: 200, Body: `{"ok":true}`})
	_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
	check(t, x.name, "panic", err, outcome{notify.ReasonOther, false, 0})
	if !strings.Contains(fmt.Sprint(err), "panics") {
		t.Errorf("the module has mended it: %v", err)
	}
	send(t, in, targettest.Message(notify.Opened))
}

// TestTelegramUnreadableMarkup is sent again without.
func TestTelegramUnreadableMarkup(t *testing.T) {
	for mode, message := range map[string]string{"HTML": "<nonsense>{{ .Status }}", "Markdown": "*never closed {{ .Status }}", "MarkdownV2": "not escaped."} {
		x := telegramTool(t, mode)
		x.server.ExpectRefusals()
		m := targettest.Message(notify.Opened)
		send(t, integration(t, "telegram", x.replaced("message", "'"+message+"'"), nil), m)
		all := x.texts()
		if len(all) != 1 || !strings.Contains(all[0][0], "nobody works on it yet") {
			t.Errorf("%s: got %q", mode, all)
		}
		if failed := m.Failed(); len(failed) != 1 || failed[0].Field != "message" {
			t.Errorf("%s: failed: %v", mode, failed)
		}
	}
}

// TestMarkupOfTheTemplate is that of whoever wrote it, around what is none.
func TestMarkupOfTheTemplate(t *testing.T) {
	s := targettest.NewTelegram(t)
	block := fmt.Sprintf("api_url: %s\nbot_token: %s\nchat_id: %s\nmessage: '<b>{{ .CommonLabels.alertname }}</b> <a href=\"{{ .RouteLabels.incident_url }}\">more</a>'", s.URL, targettest.TelegramToken, targettest.TelegramChat)
	m := targettest.Hostile(targettest.Message(notify.Opened), "a <i>b</i> & c_d")
	send(t, integration(t, "telegram", block, nil), m)
	got := s.Messages()[0]
	if len(got.Tags) != 4 || got.Shown != "a <i>b</i> & c_d more" || !strings.Contains(got.Text, m.Links.Incident) {
		t.Errorf("got %+v", got)
	}

	d := targettest.NewDiscord(t)
	m = targettest.Hostile(targettest.Message(notify.Opened), "node_exporter see https://wiki.example.com/a_b now")
	send(t, integration(t, "discord", "webhook_url: "+d.Webhook()+"\nmessage: '**{{ .CommonLabels.alertname }}**'", nil), m)
	if got, want := d.Messages()[0].Embeds[0].Description, `**node\_exporter see https://wiki.example.com/a%5Fb now**`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestMeantForTheTool: what a template says to the tool is not escaped, and links
// are links or nothing.
func TestMeantForTheTool(t *testing.T) {
	s := targettest.NewMattermost(t)
	block := "webhook_url: " + s.Webhook() + `
channel: 'team_{{ .CommonLabels.team }}'
title_link: '{{ .CommonAnnotations.link }}'
image_url: '{{ .RouteLabels.incident_url }}'
priority: {priority: '{{ if eq .CommonLabels.team "db_a" }}urgent{{ end }}', requested_ack: true}
fields: [{title: Team, value: '{{ .CommonLabels.team }}', short: true}]
attachments: []`
	m := targettest.Message(notify.Opened)
	for n := range m.Alerts {
		a := *m.Alerts[n].Alert
		a.Labels = append(a.Labels[:len(a.Labels):len(a.Labels)], alert.Label{Name: "team", Value: "db_a"})
		a.Annotations = append(a.Annotations[:len(a.Annotations):len(a.Annotations)], alert.Label{Name: "link", Value: "javascript:alert(1)"})
		m.Alerts[n].Alert = &a
	}
	send(t, integration(t, "mattermost", block, nil), m)
	p := s.Posts()[0]
	if a := p.Attachments[0]; p.Channel != "team_db_a" || p.Priority.Priority != "urgent" || a.TitleLink != "" || a.ImageURL != m.Links.Incident || a.Fields[0].Value != `db\_a` || !a.Fields[0].Short {
		t.Errorf("got %+v", p)
	}
}

func TestMattermostAttachments(t *testing.T) {
	s := targettest.NewMattermost(t)
	block := "webhook_url: " + s.Webhook() + `
text: ''
props: {card: '{{ .CommonLabels.alertname }}'}
attachments:
- {text: '{{ .CommonLabels.alertname }} @here', title: one}
- {text: '{{ template "nothing" . }}', fields: [{title: '{{ .Status }}', value: '{{ .CommonLabels.service }}'}]}`
	m := targettest.Message(notify.Opened)
	m.Remark = "a remark"
	send(t, integration(t, "mattermost", block, nil), m)
	p := s.Posts()[0]
	if len(p.Attachments) != 2 || p.Attachments[0].Text != "a remark\nDiskFull @here" || p.Attachments[0].Title != "one" || p.Attachments[1].Fields[0].Title != "firing" || p.Props["card"] != "DiskFull" {
		t.Errorf("got %+v", p)
	}
	if failed := m.Failed(); len(failed) != 1 || failed[0].Field != "attachments[1].text" {
		t.Errorf("failed: %v", failed)
	}
}

// TestWeChatForgetsATokenEarly: the module would keep it for two hours.
func TestWeChatForgetsATokenEarly(t *testing.T) {
	s := targettest.NewWeChat(t)
	s.ExpectRefusals()
	in := integration(t, "wechat", fmt.Sprintf("api_url: %s/cgi-bin/\ncorp_id: %s\napi_secret: %s\nto_user: me\nagent_id: '1'", s.URL, targettest.WeChatCorp, targettest.WeChatSecret), nil)
	send(t, in, targettest.Message(notify.Opened))
	send(t, in, targettest.Message(notify.Updated))
	if s.Tokens() != 1 {
		t.Errorf("%d tokens were given out, want 1", s.Tokens())
	}
	s.Forget()
	_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Updated))
	check(t, "wechat", "forgotten", err, outcome{notify.ReasonOther, false, 0})
	send(t, in, targettest.Message(notify.Updated))
	s.Fail(targettest.Failure{Status: 429}, targettest.Failure{Status: 503})
	_, err = in.Sender.Send(t.Context(), targettest.Message(notify.Updated))
	check(t, "wechat", "429", err, outcome{notify.ReasonRateLimited, false, 30 * time.Second})
	_, err = in.Sender.Send(t.Context(), targettest.Message(notify.Updated))
	check(t, "wechat", "503", err, outcome{notify.ReasonServer, false, 0})
	s.Fail(targettest.Failure{Status: 200, Body: `{"errcode":45009,"errmsg":"reach max api daily quota limit, api freq out of limit"}`})
	_, err = in.Sender.Send(t.Context(), targettest.Message(notify.Updated))
	check(t, "wechat", "quota", err, outcome{notify.ReasonRateLimited, false, 30 * time.Second})
}

// TestSNSQueue: the end is not taken for a repetition of the beginning, and what is
// sent twice, because nobody knew that it had arrived, is shown once.
func TestSNSQueue(t *testing.T) {
	x := snsTool(t, targettest.SNSQueue)
	in := x.with(t)
	opened, resolved := targettest.Message(notify.Opened), targettest.Message(notify.Resolved)
	opened.Incident.TimelineLength, resolved.Incident.TimelineLength = 1, 5
	for _, m := range []*notify.Message{opened, opened, resolved, resolved} {
		send(t, in, m)
	}
	if got := x.texts(); len(got) != 2 || !strings.Contains(got[0][1], "FIRING") || !strings.Contains(got[1][1], "RESOLVED") {
		t.Errorf("got %q", got)
	}
}

func TestSNSPhone(t *testing.T) {
	s := targettest.NewSNS(t)
	block := fmt.Sprintf("api_url: %s\nphone_number: '+4930123456'\nsubject: ''\nsigv4: {region: %s, access_key: %s, secret_key: %s}", s.URL, targettest.SNSRegion, targettest.SNSKey, targettest.SNSSecret)
	send(t, integration(t, "sns", block, nil), targettest.Hostile(targettest.Message(notify.Opened), strings.Repeat("日本", 2000)))
	if got := s.Published(); len(got) != 1 || strings.ContainsRune(got[0].Get("Message"), '\uFFFD') {
		t.Errorf("got %q", got)
	}
}

// TestSNSAttributes: one without a value would be refused, and the message with it.
func TestSNSAttributes(t *testing.T) {
	x := snsTool(t, targettest.SNSTopic)
	m := targettest.Message(notify.Opened)
	send(t, integration(t, "sns", x.replaced("attributes", "{nothing: '{{ .CommonLabels.nothing }}', severity: '{{ .CommonLabels.severity }}'}"), nil), m)
	if len(x.texts()) != 1 {
		t.Error("it was not taken")
	}
}

// TestTitlesAreNoHTML even beside a message that is.
func TestTitlesAreNoHTML(t *testing.T) {
	s := targettest.NewPushover(t)
	block := fmt.Sprintf("token: %s\nuser_key: %s\nhtml: true\nmessage: '<b>{{ .Status }}</b>'\ntitle: '{{ template \"nothing\" . }}'\n%s", targettest.PushoverToken, targettest.PushoverUser, trust(s.Server.Server))
	m := targettest.Message(notify.Opened)
	m.Incident.Title, m.Remark = "a & b", "c & d"
	send(t, integration(t, "pushover", block, dialTo(&s.Server)), m)
	got := s.Messages()[0]
	if !strings.Contains(got.Get("title"), "a & b") || got.Get("message") != "c &amp; d\n<b>firing</b>" {
		t.Errorf("got %q", got)
	}
}

// TestSNSBundle: the authorities that AWS's library would trust are trusted, and
// the guard holds all the same.
func TestSNSBundle(t *testing.T) {
	var came atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came.Add(1)
		_, _ = io.WriteString(w, "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>")
	}))
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	module.SetBundle(t, "")
	t.Setenv("AWS_CA_BUNDLE", path)
	block := fmt.Sprintf("api_url: %s\ntopic_arn: %s\nsigv4: {region: %s, access_key: %s, secret_key: %s}", s.URL, targettest.SNSTopic, targettest.SNSRegion, targettest.SNSKey, targettest.SNSSecret)
	_, err := integration(t, "sns", block, outgoing.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})).Sender.Send(t.Context(), targettest.Message(notify.Opened))
	check(t, "sns", "guard", err, outcome{notify.ReasonClient, true, 0})
	if came.Load() != 0 {
		t.Error("a request came through")
	}
	send(t, integration(t, "sns", block, outgoing.Guard(nil)), targettest.Message(notify.Opened))
	if came.Load() != 1 {
		t.Errorf("%d requests came", came.Load())
	}
}

// TestSNSThrottling comes with a status of 400.
func TestSNSThrottling(t *testing.T) {
	x := snsTool(t, targettest.SNSTopic)
	x.server.Fail(targettest.Failure{Status: 400, Body: `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`})
	_, err := x.with(t).Sender.Send(t.Context(), targettest.Message(notify.Opened))
	check(t, "sns", "throttling", err, outcome{notify.ReasonRateLimited, false, 30 * time.Second})
}

// TestIncidentIO: one alert for each incident, which fires as long as the incident is
// open, whatever its alerts do.
func TestIncidentIO(t *testing.T) {
	s := targettest.NewIncidentIO(t)
	in := integration(t, "incidentio", "url: "+s.Source()+"\nalert_source_token: "+targettest.IncidentIOToken, nil)
	opened := targettest.Message(notify.Opened)
	key := opened.Key()
	state := func(what string, fires bool) {
		t.Helper()
		if got := s.Alerts(); len(got) != 1 || got[key] != fires {
			t.Errorf("%s: got %v, want %s: %v", what, got, key, fires)
		}
	}
	send(t, in, opened)
	send(t, in, opened)
	state("twice", true)
	ended := targettest.Message(notify.Updated)
	for n := range ended.Alerts {
		ended.Alerts[n].Firing, ended.Alerts[n].EndsAt = false, ended.SentAt
	}
	send(t, in, ended)
	state("all that are shown have ended", true)
	empty := targettest.Message(notify.Repeated)
	empty.Alerts = nil
	send(t, in, empty)
	state("no alerts are known", true)
	resolved := targettest.Message(notify.Resolved)
	resolved.Alerts[0].Firing, resolved.Alerts[0].EndsAt = true, time.Time{} // by a person, while it fires
	send(t, in, resolved)
	state("resolved", false)
	empty = targettest.Message(notify.Resolved)
	empty.Alerts = nil
	send(t, in, empty)
	state("resolved without alerts", false)
	last := s.Events()[0]
	if last.RouteLabels["incident_url"] != opened.Links.Incident || last.RouteLabels["tier"] != "one" || last.Receiver != "dba" || last.CommonLabels["alertname"] != "DiskFull" {
		t.Errorf("got %+v", last)
	}
}

// TestPreview: of each tool the texts are seen, without its secrets, and nothing is
// sent, also while a connection to it is open.
func TestPreview(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		send(t, in, targettest.Message(notify.Opened))
		before := len(x.server.Requests())
		var look notify.Capture
		_, err := in.Sender.Send(notify.WithCapture(t.Context(), &look), targettest.Message(notify.Opened))
		if !errors.Is(err, notify.ErrCaptured) {
			t.Errorf("%s: got %v, want %v", x.name, err, notify.ErrCaptured)
		}
		if sent := len(x.server.Requests()) - before; sent != 0 {
			t.Errorf("%s: %d requests were sent", x.name, sent)
		}
		if text := string(look.Body); x.name != "incidentio" && !strings.Contains(text, "DiskFull") || strings.Contains(text, x.secret) {
			t.Errorf("%s: got %q", x.name, text)
		}
	}
}
