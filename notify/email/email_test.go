package email

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	amemail "github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// load reads a block as Alertmanager's own loader does; fields are beside the usual ones.
func load(t *testing.T, addr, fields string) *amconfig.EmailConfig {
	t.Helper()
	all := "from: Tocsin <tocsin@example.com>\nsmarthost: " + addr + "\n" + strings.TrimSpace(fields)
	if !strings.Contains("\n"+fields, "\nto:") {
		all = "to: dba@example.com\n" + all
	}
	c, err := amconfig.Load("route: {receiver: r}\nreceivers:\n- name: r\n  email_configs:\n  - " + strings.ReplaceAll(all, "\n", "\n    ") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return c.Receivers[0].EmailConfigs[0]
}

func sender(t *testing.T, addr, fields string) *Sender {
	t.Helper()
	s, err := New(load(t, addr, fields), targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const plain = "require_tls: false\n"

func TestControl(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	server.Lax()
	theirs := amemail.New(load(t, server.Addr, plain), targettest.TemplateSet(t).Module(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx := amnotify.WithGroupKey(context.Background(), "incident/1")
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull"})
	ctx = amnotify.WithReceiverName(ctx, "dba")
	ctx = amnotify.WithNotificationReason(ctx, amnotify.ReasonFirstNotification)
	if _, err := theirs.Notify(ctx, &amalert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "DiskFull"}, StartsAt: time.Now().Add(-time.Minute), EndsAt: time.Now().Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	if got := server.Mails(); len(got) != 1 || got[0].Header.Get("Subject") != "[FIRING:1] DiskFull" {
		t.Errorf("got %+v", got)
	}
}

func TestSessions(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secretFile, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := func(ways ...string) targettest.MailOptions {
		return targettest.MailOptions{User: "tocsin", Password: "hunter2", Shared: "shared", Ways: ways}
	}
	for name, c := range map[string]struct {
		options targettest.MailOptions
		fields  string
		tls     bool
	}{
		"in the clear":         {targettest.MailOptions{Plain: true}, plain, false},
		"STARTTLS":             {targettest.MailOptions{}, "hello: gateway.example.com", true},
		"TLS at once":          {targettest.MailOptions{Implicit: true}, "force_implicit_tls: true", true},
		"PLAIN":                {login("PLAIN"), "auth_username: tocsin\nauth_password: hunter2", true},
		"LOGIN":                {login("LOGIN"), "auth_username: tocsin\nauth_password: hunter2", true},
		"a file":               {login("PLAIN"), "auth_username: tocsin\nauth_password_file: " + secretFile, true},
		"CRAM-MD5":             {login("CRAM-MD5"), "auth_username: tocsin\nauth_secret: shared", true},
		"the way we know":      {login("CRAM-MD5", "LOGIN"), "auth_username: tocsin\nauth_password: hunter2", true},
		"nobody asks who":      {targettest.MailOptions{}, "auth_username: tocsin\nauth_password: hunter2", true},
		"TLS at once and AUTH": {targettest.MailOptions{Implicit: true, User: "tocsin", Password: "hunter2", Ways: []string{"PLAIN"}}, "force_implicit_tls: true\nauth_username: tocsin\nauth_password: hunter2", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := targettest.NewMail(t, c.options)
			fields := c.fields + "\ntls_config: {ca_file: " + server.CAFile + "}"
			if _, err := sender(t, server.Addr, fields).Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
				t.Fatal(err)
			}
			got := server.Mails()
			if len(got) != 1 || got[0].TLS != c.tls || got[0].User != c.options.User || got[0].From != "tocsin@example.com" || fmt.Sprint(got[0].To) != "[dba@example.com]" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func decoded(t *testing.T, h mail.Header, name string) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(h.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestThread: the mails of an incident are one thread, each is its own mail, and a
// mail that is sent again is the same one.
// TestPreview shows the mail, and no server hears of it.
func TestPreview(t *testing.T) {
	var look notify.Capture
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	_, err := sender(t, server.Addr, plain).Send(notify.WithCapture(t.Context(), &look), targettest.Message(notify.Opened))
	if !errors.Is(err, notify.ErrCaptured) || look.ContentType != "message/rfc822" || !strings.Contains(string(look.Body), "To: <dba@example.com>\r\n") {
		t.Errorf("got %v, %s %s", err, look.ContentType, look.Body)
	}
	if got := server.Mails(); len(got) != 0 {
		t.Errorf("%d mails were sent", len(got))
	}
}

func TestThread(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain)
	var memory notify.Memory
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Repeated, notify.Repeated, notify.Acknowledged, notify.Unacknowledged, notify.Resolved} {
		var next notify.Memory
		for range 2 { // nobody recorded the first
			m := targettest.Message(e)
			m.Memory = memory
			var err error
			if next, err = s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		memory = next
	}
	mails := server.Mails()
	ids := map[string]int{}
	for _, one := range mails {
		ids[one.Header.Get("Message-Id")]++
	}
	if len(mails) != 14 || len(ids) != 7 {
		t.Fatalf("%d mails with %d ids, want 14 with 7: %v", len(mails), len(ids), ids)
	}
	first := mails[0].Header
	root := first.Get("References")
	if first.Get("In-Reply-To") != root || !strings.HasSuffix(root, "@example.com>") {
		t.Errorf("the first is a reply to %s, of %s", first.Get("In-Reply-To"), root)
	}
	for _, one := range mails[2:] {
		if h := one.Header; h.Get("References") != root+" "+first.Get("Message-Id") || h.Get("In-Reply-To") != first.Get("Message-Id") {
			t.Errorf("%s is a reply to %s in %s", h.Get("Subject"), h.Get("In-Reply-To"), h.Get("References"))
		}
	}
	for n, want := range map[int]struct{ subject, says, silent string }{
		0:  {"[FIRING:2] DiskFull db (page)", "Nobody works on it yet.", ""},
		8:  {"[FIRING:2] DiskFull db (page)", "alice works on it.", "Nobody works"},
		12: {"[RESOLVED] DiskFull db (page)", "Resolved by", "ack-token"},
	} {
		one := mails[n]
		if got := decoded(t, one.Header, "Subject"); got != want.subject {
			t.Errorf("mail %d: subject %q, want %q", n, got, want.subject)
		}
		if !strings.Contains(one.HTML, want.says) || want.silent != "" && strings.Contains(one.HTML, want.silent) || !strings.Contains(one.Text, "INC-20261121-7KQ2") {
			t.Errorf("mail %d: %s\n%s", n, one.HTML[:min(len(one.HTML), 3000)], one.Text)
		}
	}
	if one := mails[0]; !strings.Contains(one.HTML, `<a href="https://tocsin.example.com/a/ack-token">Acknowledge</a>`) || !strings.Contains(one.Text, "https://tocsin.example.com/a/ack-token") {
		t.Error("there is no way to acknowledge")
	}
}

func TestFields(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain+`to: 'dba@example.com, Zoë <zoe@bücher.example>, dba@example.com'
headers:
  subject: 'Störung {{ .CommonLabels.alertname }}'
  to: 'Everybody <all@example.com>'
  reply-to: 'ops@example.com'
  x-team: '{{ .CommonLabels.service }}'
  bcc: 'secret@example.com'
  content-type: 'text/plain'
html: '<p>{{ .CommonAnnotations.summary }} {{ .Status }}</p>'
text: 'text {{ .Status }}'
threading: {enabled: true, thread_by_date: daily}`)
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	one := server.Mails()[0]
	if got := fmt.Sprint(one.To); got != "[dba@example.com zoe@xn--bcher-kva.example]" {
		t.Errorf("went to %s", got)
	}
	for name, want := range map[string]string{"Subject": "Störung DiskFull", "To": `"Everybody" <all@example.com>`, "Reply-To": "<ops@example.com>", "X-Team": "db", "Bcc": "",
		"References": "<tocsin-01020304-0506-7008-800a-0b0c0d0e0f10-2026-11-21@example.com>", "X-Auto-Response-Suppress": "All", "From": `"Tocsin" <tocsin@example.com>`} {
		if got := decoded(t, one.Header, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if one.Text != "text firing" || one.HTML != "<p> firing</p>" {
		t.Errorf("text %q, html %q", one.Text, one.HTML)
	}
	s = sender(t, server.Addr, plain+"html: ''")
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if one := server.Mails()[1]; one.HTML != "" || !strings.HasPrefix(one.Text, "[CRITICAL] DiskFull db") {
		t.Errorf("text %q, html %q", one.Text, one.HTML)
	}
}

func TestFailingTemplates(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain+"html: '{{ template \"missing\" . }}'\ntext: '{{ .No.Such }}'\nheaders: {subject: '{{ template \"missing\" . }}', x-a: '{{ .No.Such }}'}")
	m := targettest.Message(notify.Opened)
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	one := server.Mails()[0]
	if got := decoded(t, one.Header, "Subject"); got != m.Headline() {
		t.Errorf("subject %q", got)
	}
	if one.Text != strings.ReplaceAll(m.Plain(), "\n", "\r\n") || !strings.Contains(one.HTML, "severity critical") || len(m.Failed()) != 4 {
		t.Errorf("text %q, html %q, failed %v", one.Text, one.HTML, m.ErrTemplates())
	}
	for _, field := range []string{"to", "from"} {
		c := load(t, server.Addr, plain)
		if c.To = "dba@example.com"; field == "to" {
			c.To = "{{ .No.Such }}"
		} else {
			c.From = "{{ .No.Such }}"
		}
		broken, err := New(c, targettest.TemplateSet(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		var e *notify.Error
		if _, err := broken.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent {
			t.Errorf("%s: got %v, want a permanent error", field, err)
		}
	}
}

// TestRecipients: who got a mail does not get it again because others did not.
func TestRecipients(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain+"to: a@example.com, b@example.com, c@example.com")
	server.RefuseRecipient("b@example.com", 450)
	server.RefuseRecipient("c@example.com", 550)
	m := targettest.Message(notify.Opened)
	var e *notify.Error
	memory, err := s.Send(t.Context(), m)
	if !errors.As(err, &e) || e.Permanent || e.Reason != notify.ReasonServer || !strings.Contains(e.Error(), "b@example.com") {
		t.Fatalf("got %v", err)
	}
	server.RefuseRecipient("b@example.com", 0)
	m = targettest.Message(notify.Opened)
	m.Memory = memory
	if memory, err = s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if failed := m.ErrTemplates(); failed == nil || !strings.Contains(failed.Error(), "c@example.com") {
		t.Errorf("nobody says that c was not told: %v", failed)
	}
	m = targettest.Message(notify.Resolved)
	m.Memory = memory
	if _, err = s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range server.Mails() {
		got = append(got, strings.Join(one.To, "+"))
	}
	if want := "a@example.com b@example.com a@example.com+b@example.com"; strings.Join(got, " ") != want {
		t.Errorf("mails went to %q, want %q", got, want)
	}
	mails := server.Mails()
	if mails[0].Header.Get("Message-Id") != mails[1].Header.Get("Message-Id") {
		t.Error("the second try is another mail")
	}
	for _, a := range []string{"a", "b"} {
		server.RefuseRecipient(a+"@example.com", 551)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || !e.Permanent || e.Reason != notify.ReasonClient {
		t.Errorf("nobody takes it: got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name      string
		options   targettest.MailOptions
		fields    string
		data      int
		reason    string
		permanent bool
	}{
		{"busy", targettest.MailOptions{Plain: true}, plain, 451, notify.ReasonServer, false},
		{"refused", targettest.MailOptions{Plain: true}, plain, 554, notify.ReasonClient, true},
		{"wrong password", targettest.MailOptions{User: "tocsin", Password: "other", Ways: []string{"PLAIN"}}, "auth_username: tocsin\nauth_password: hunter2", 0, notify.ReasonAuth, false},
		{"no password", targettest.MailOptions{User: "tocsin", Password: "other", Ways: []string{"PLAIN"}}, "", 0, notify.ReasonAuth, false},
		{"no way to log in", targettest.MailOptions{User: "tocsin", Shared: "other", Ways: []string{"CRAM-MD5"}}, "auth_username: tocsin\nauth_password: hunter2", 0, notify.ReasonAuth, false},
		{"no file", targettest.MailOptions{User: "tocsin", Ways: []string{"PLAIN"}}, "auth_username: tocsin\nauth_password_file: /nonexistent/hunter2x", 0, notify.ReasonAuth, false},
		{"no TLS", targettest.MailOptions{Plain: true}, "", 0, notify.ReasonOther, false},
		{"TLS where there is none", targettest.MailOptions{Plain: true}, "force_implicit_tls: true", 0, notify.ReasonOther, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := targettest.NewMail(t, c.options)
			if c.data != 0 {
				server.RefuseData(c.data)
			}
			fields := c.fields + "\ntls_config: {ca_file: " + server.CAFile + "}"
			_, err := sender(t, server.Addr, fields).Send(t.Context(), targettest.Message(notify.Opened))
			var e *notify.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.Permanent != c.permanent {
				t.Fatalf("got %#v: %v; want %s, permanent %v", e, err, c.reason, c.permanent)
			}
			if strings.Contains(strings.ReplaceAll(err.Error(), "hunter2x", ""), "hunter2") || len(server.Mails()) != 0 {
				t.Errorf("%v, %d mails", err, len(server.Mails()))
			}
		})
	}
	// A certificate that nobody knows.
	server := targettest.NewMail(t, targettest.MailOptions{})
	if _, err := sender(t, server.Addr, "").Send(t.Context(), targettest.Message(notify.Opened)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a strange certificate: got %v", err)
	}
}

// TestCut: a mail that was taken although we do not know it is sent again as the same.
func TestCut(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain)
	server.CutAfterNext()
	var e *notify.Error
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || e.Permanent {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	mails := server.Mails()
	if len(mails) != 2 || mails[0].Header.Get("Message-Id") != mails[1].Header.Get("Message-Id") || string(mails[0].Raw) != string(mails[1].Raw) {
		t.Errorf("%d mails, want the same twice", len(mails))
	}
}

// raw is a server that does what the function does with its first connection.
func raw(t *testing.T, behave func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		behave(c)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// connected is the line that stands for the beginning of a connection.
const connected = "<connected>"

// talk answers each line with what the function says; empty is silence.
func talk(answer func(line string) string) func(c net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, answer(connected))
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			if text := answer(lines.Text()); text != "" {
				_, _ = io.WriteString(c, text)
			}
		}
	}
}

func TestHostileServers(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		behave func(c net.Conn)
		reason string
	}{
		"silent after connect": {silent, notify.ReasonTimeout},
		"silent after the mail": {talk(func(line string) string {
			switch {
			case line == connected:
				return "220 hello\r\n"
			case line == "DATA":
				return "354 go on\r\n"
			case strings.HasPrefix(line, "EHLO"), strings.HasPrefix(line, "MAIL"), strings.HasPrefix(line, "RCPT"):
				return "250 fine\r\n"
			}
			return ""
		}), notify.ReasonTimeout},
		"a banner of 64 MiB": {func(c net.Conn) {
			block := []byte("220-" + strings.Repeat("x", 64<<10) + "\r\n")
			for range 1024 {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			silent(c)
		}, notify.ReasonOther},
		"a line of 64 MiB": {func(c net.Conn) {
			block := []byte(strings.Repeat("2", 64<<10))
			for range 1024 {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
			silent(c)
		}, notify.ReasonOther},
		"no mail server": {talk(func(string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }), notify.ReasonOther},
		"goes away":      {func(net.Conn) {}, notify.ReasonOther},
		"goes away in the middle": {func(c net.Conn) {
			_, _ = io.WriteString(c, "220 hello\r\n")
			_, _ = bufio.NewReader(c).ReadString('\n')
		}, notify.ReasonOther},
		"is closing": {talk(func(string) string { return "421 closing\r\n" }), notify.ReasonServer},
		"refuses us": {talk(func(string) string { return "554 no\r\n" }), notify.ReasonServer},
	} {
		t.Run(name, func(t *testing.T) {
			s := sender(t, raw(t, c.behave), plain)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if c.reason != notify.ReasonTimeout {
				ctx = t.Context() // it is not the time that ends it
			}
			began := time.Now()
			_, err := s.Send(ctx, targettest.Message(notify.Opened))
			var e *notify.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.Permanent || len(err.Error()) > 1000 {
				t.Errorf("got %#v: %.500v, want %s", e, err, c.reason)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestSilentFarewell: who took the mail need not say goodbye.
func TestSilentFarewell(t *testing.T) {
	addr := raw(t, talk(func(line string) string {
		switch {
		case line == connected:
			return "220 hello\r\n"
		case line == "DATA":
			return "354 go on\r\n"
		case line == "QUIT", line != "." && !strings.HasPrefix(line, "EHLO") && !strings.HasPrefix(line, "MAIL") && !strings.HasPrefix(line, "RCPT"):
			return ""
		}
		return "250 fine\r\n"
	}))
	if _, err := sender(t, addr, plain).Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Error(err)
	}
}

func TestRefusedDial(t *testing.T) {
	c := load(t, "127.0.0.1:9", plain)
	s, err := New(c, targettest.TemplateSet(t), func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("an address that no message may go to")
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err == nil || !strings.Contains(err.Error(), "no message may go to") {
		t.Errorf("got %v", err)
	}
}

func TestHostileTexts(t *testing.T) {
	server := targettest.NewMail(t, targettest.MailOptions{Plain: true})
	s := sender(t, server.Addr, plain+`headers:
  subject: '{{ .CommonAnnotations.summary }} {{ .CommonLabels.x }}'
  x-summary: '{{ .CommonAnnotations.summary }}'
  reply-to: '{{ .CommonAnnotations.summary }}'
  references: '{{ .CommonAnnotations.summary }}'`)
	for n, text := range targettest.HostileTexts() {
		m := targettest.Hostile(targettest.Message(notify.Opened), text)
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		mails := server.Mails()
		one := mails[len(mails)-1]
		known := []string{"Date", "From", "To", "Message-Id", "Subject", "In-Reply-To", "References", "Auto-Submitted", "X-Auto-Response-Suppress", "X-Tocsin-Incident", "Importance", "Mime-Version", "Content-Type", "X-Summary"}
		for name := range one.Header {
			if !slices.Contains(known, name) {
				t.Errorf("%d: a header %s", n, name)
			}
		}
		if strings.Join(one.To, " ") != "dba@example.com" || len(decoded(t, one.Header, "Subject")) > 1000 {
			t.Errorf("%d: to %v, subject %.300s", n, one.To, one.Header.Get("Subject"))
		}
		html := strings.ToLower(one.HTML)
		for _, live := range []string{"<script", "<img", "onerror=alert(1)>", `href="javascript:`, `href="https://evil`} {
			if strings.Contains(html, live) {
				t.Errorf("%d: the HTML has %s", n, live)
			}
		}
	}
}

func TestNewRefusesHeaders(t *testing.T) {
	c := load(t, "127.0.0.1:25", plain)
	c.Headers = map[string]string{"X: y\r\nBcc": "z"}
	if _, err := New(c, targettest.TemplateSet(t), nil); err == nil {
		t.Error("a header name with a line end: got no error")
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{"a@example.com": "a@example.com", "a.b+c@Bücher.example": "a.b+c@xn--bcher-kva.example", "a@[127.0.0.1]": "a@[127.0.0.1]",
		"zoë@example.com": "", "a b@example.com": "", "a\r\n@example.com": "", "a@exa mple.com": "", "@example.com": "", "a@": "", "a": "", ".a@example.com": "", "a>@example.com": ""} {
		got, err := ascii(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ascii(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}
