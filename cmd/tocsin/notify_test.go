package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// receiversFile has a chat, mail, and a webhook that is not there.
const receiversFile = `
route: {receiver: ops}
receivers:
  - name: ops
    slack_configs:
      - {send_resolved: true, api_url: "SLACK", title: "{{ .CommonLabels.alertname }}", text: "{{ .CommonAnnotations.summary }}"}
    email_configs:
      - {to: ops@example.org, from: Tocsin <tocsin@example.org>, smarthost: "MAIL", require_tls: false, html: ""}
  - name: quiet
    webhook_configs: [{url: "WEBHOOK"}]
`

// tells has incidents told to the receivers of a configuration.
func (f *fixture) tells(text string) {
	f.t.Helper()
	c, err := config.Load([]byte(text), "test.yml")
	if err != nil {
		f.t.Fatal(err)
	}
	templates, err := notify.NewTemplates(nil, &url.URL{Scheme: "https", Host: "tocsin.example.org"})
	if err != nil {
		f.t.Fatal(err)
	}
	all, err := receivers.New(receivers.Options{Alertmanager: c.Alertmanager, Own: c.Receivers, Config: c.Notify, Templates: templates, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.worker.Set(&notify.Settings{Integrations: all, Severities: c.Classify.Severities, GiveUpAfter: time.Hour,
		Timing: func(*incident.Incident, string) notify.Timing {
			return notify.Timing{Routed: true, GroupInterval: time.Minute, RepeatInterval: 4 * time.Hour}
		},
		Links: func(i *incident.Incident, _ string) notify.Links {
			return notify.Links{Incident: "https://tocsin.example.org/incidents/" + i.Reference}
		}})
	settings := c.Settings()
	settings.Targets = func(*incident.Incident) (out []incident.Target) {
		for target := range all {
			out = append(out, incident.Target{Name: target})
		}
		slices.SortFunc(out, func(a, b incident.Target) int { return strings.Compare(a.Name, b.Name) })
		return out
	}
	if err := f.pipeline.Set(f.t.Context(), settings); err != nil {
		f.t.Fatal(err)
	}
}

// deliver does the jobs that are due, once.
func (f *fixture) deliver() {
	f.t.Helper()
	leases, err := f.store.Claim(f.t.Context(), 100, 30*time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range leases {
		if l.Kind == incident.JobNotify {
			f.worker.Take(context.WithoutCancel(f.t.Context()), l)
		}
	}
	f.worker.Wait()
}

var milliseconds = regexp.MustCompile(`\(\d+ ms\)`)

func TestNotifyCommands(t *testing.T) {
	chat, mails := targettest.NewSlack(t), targettest.NewMail(t, targettest.MailOptions{Plain: true})
	webhook := targettest.NewWebhook(t)
	f := newFixture(t, "")
	f.tells(strings.NewReplacer("SLACK", chat.HookURL(), "MAIL", mails.Addr, "WEBHOOK", webhook.URL+"/hook").Replace(receiversFile))
	var out bytes.Buffer
	f.accept(map[string]string{"alertname": "Slow", "service": "shop", "severity": "warning", "instance": "web1:9100", "summary": "pages take 9 s\x1b[2J"},
		map[string]string{"alertname": "Slow", "service": "shop", "severity": "critical", "instance": "web2:9100", "summary": "pages take 19 s"})
	shop := f.reference("shop")

	f.run(&out, 0, "notify", "list", shop)
	f.run(&out, 0, "notify", "preview", "ops", shop)
	if sent := len(chat.Requests()) + len(mails.Mails()); sent != 0 {
		t.Errorf("a preview has sent %d messages", sent)
	}
	f.run(&out, 0, "notify", "undelivered")
	f.run(&out, 0, "notify", "notices")

	webhook.Fail(targettest.Failure{Status: http.StatusGone, Body: "moved away"})
	mails.RefuseData(451)
	f.deliver()
	f.run(&out, 0, "notify", "list", shop)
	f.run(&out, 0, "notify", "undelivered")
	f.run(&out, 0, "notify", "retry", shop, "quiet/webhook[0]")
	f.run(&out, 1, "notify", "retry", shop, "quiet/webhook[0]")
	f.now = f.now.Add(2 * time.Minute)
	f.deliver()
	f.run(&out, 0, "notify", "list", shop)
	f.run(&out, 0, "notify", "undelivered")
	f.run(nil, 0, "incident", "resolve", shop)
	f.run(&out, 0, "notify", "preview", "quiet", shop)

	f.run(&out, 0, "notify", "test", "ops", "--by=bob")
	if n := len(chat.Channel("hook").Messages); n != 3 {
		t.Errorf("the chat has %d messages, want one of the incident and two of the test", n)
	}
	webhook.Fail(targettest.Failure{Status: http.StatusServiceUnavailable})
	f.run(&out, 1, "notify", "test", "quiet")
	f.run(&out, 1, "notify", "test", "nobody")
	f.run(&out, 1, "notify", "preview", "nobody", shop)
	f.run(&out, 1, "notify", "preview", "ops", "INC-20261121-ZZZZ")
	f.run(&out, 1, "notify", "list", "INC-20261121-ZZZZ")
	f.run(&out, 2, "notify", "preview", "ops")
	f.run(&out, 2, "notify", "retry", shop)
	text := milliseconds.ReplaceAllString(out.String(), "(7 ms)")
	for from, to := range map[string]string{strings.TrimPrefix(chat.URL, "http://"): "chat.example.org", mails.Addr: "mail.example.org:25", strings.TrimPrefix(webhook.URL, "http://"): "webhook.example.org"} {
		text = strings.ReplaceAll(text, from, to)
	}
	f.golden("notify.golden", bytes.NewBufferString(text))
}

// TestNotifyWhereNobodyListens says so.
func TestNotifyWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, "")
	f.tells(strings.NewReplacer("SLACK", "http://"+addr, "MAIL", addr, "WEBHOOK", "http://"+addr).Replace(receiversFile))
	out := f.run(nil, 1, "notify", "test", "ops")
	for _, target := range []string{"ops/email[0]: not sent: ", "ops/slack[0]: not sent: "} {
		if !strings.Contains(out, target) || !strings.Contains(out, "refused") {
			t.Errorf("got %s, want %q in it, and that the connection was refused", out, target)
		}
	}
}

func TestShown(t *testing.T) {
	const mail = "From: a@example.org\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Z=C3=BCrich?=\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n" +
		"--x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--x\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\none =\r\nline=0Atwo\r\n--x--\r\n"
	for name, c := range map[string]struct{ kind, body, want string }{
		"JSON":               {"application/json; charset=utf-8", `{"a":[1,2]}`, "{\n  \"a\": [\n    1,\n    2\n  ]\n}"},
		"no JSON":            {"application/json", `{"a":`, `{"a":`},
		"mail":               {"message/rfc822", mail, "From: a@example.org\nTo: b@example.org\nSubject: Zürich\n\none line\ntwo"},
		"half a mail":        {"message/rfc822", mail[:40], mail[:40]},
		"a mail without end": {"message/rfc822", mail[:len(mail)-20], mail[:len(mail)-20]},
		"text":               {"text/plain", "a\nb", "a\nb"},
		"no type":            {"", "a", "a"},
	} {
		if got := shown(c.kind, c.body); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func FuzzShown(f *testing.F) {
	f.Add("application/json", `{"a":[1,2]}`)
	f.Add("message/rfc822", "Subject: a\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, kind, body string) {
		if got := shown(kind, body); body == "" && strings.TrimSpace(got) != "" {
			t.Errorf("%q of nothing", got)
		}
		_, _ = chatText(body) // it must not panic
	})
}

func TestChatText(t *testing.T) {
	const body = `{"attachments":[{"title":"a","text":"b\nc"},{"fallback":"x","blocks":[{"type":"context","elements":[{"type":"plain_text","text":"d"}]},
		{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"e"}},{"type":"button","text":{"type":"plain_text","text":"f"}}]}]}]}`
	if got, err := chatText(body); err != nil || got != "a\nb\nc\nd\n[e] [f]" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, wrong := range []string{"", "[]", `{"attachments":[{"blocks":[{"elements":[{"text":7}]}]}]}`} {
		if got, err := chatText(wrong); err == nil {
			t.Errorf("%s: got %q, want an error", wrong, got)
		}
	}
}

// TestDemo ends as the README says, and shows before that what people would be told.
func TestDemo(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"demo"}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	text := out.String()
	for _, want := range []string{"  by mail\n  │ From: \"Tocsin\" <tocsin@shop.example>\n", "  │ Subject: [CRITICAL] HighLatency", "  in a chat such as Slack\n  │ [CRITICAL] HighLatency", "│ [Incident]"} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(readme), "What people would have been told")
	shown, _, ok := strings.Cut(shown, "```")
	if !ok {
		t.Fatal("the README does not show it")
	}
	for line := range strings.Lines("What people would have been told" + shown) {
		if line = strings.TrimSpace(line); line != "…" && !strings.Contains(text, line) {
			t.Errorf("the README shows %q, which is not in\n%s", line, text)
		}
	}
}
