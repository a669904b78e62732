package e2e

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/mail"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// mailbox is a Maildir that a Postfix delivers to.
type mailbox struct{ dir string }

// startMailServer starts a Postfix that keeps the mails to two people at
// ops.example.org, and takes them only over TLS.
func startMailServer(t *testing.T, certFile, keyFile string) (p *postfix, wache, second mailbox) {
	t.Helper()
	program(t, "postfix")
	nobody, err := user.Lookup("nobody")
	if err != nil {
		lacking(t, "there is no user nobody whom mailboxes could belong to")
	}
	p = startPostfix(t, `virtual_transport = virtual
virtual_mailbox_domains = ops.example.org
virtual_mailbox_base = DIR
virtual_mailbox_maps = inline:{ {wache@ops.example.org=mail/wache/}, {second@ops.example.org=mail/second/} }
virtual_minimum_uid = 1
virtual_uid_maps = static:`+nobody.Uid+`
virtual_gid_maps = static:`+nobody.Gid+`
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = encrypt
smtpd_tls_received_header = yes
smtpd_tls_cert_file = `+certFile+`
smtpd_tls_key_file = `+keyFile+`
`, `virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
`)
	box := filepath.Join(p.dir, "mail")
	if err := os.Mkdir(box, 0o755); err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(box, uid, -1); err != nil {
		t.Fatal(err)
	}
	return p, mailbox{filepath.Join(box, "wache", "new")}, mailbox{filepath.Join(box, "second", "new")}
}

// mails are those that were delivered, by what their subject begins with.
func (m mailbox) mails() (map[string]mail.Header, error) {
	files, err := os.ReadDir(m.dir)
	if err != nil && !os.IsNotExist(err) { // Postfix makes it with the first mail
		return nil, err
	}
	all := map[string]mail.Header{}
	for _, f := range files {
		raw, err := os.Open(filepath.Join(m.dir, f.Name()))
		if err != nil {
			return nil, err
		}
		one, err := mail.ReadMessage(raw)
		_ = raw.Close() // it was only read
		if err != nil {
			return nil, err
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(one.Header.Get("Subject"))
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(subject, " ")
		if all[kind] != nil {
			return nil, fmt.Errorf("two mails whose subject begins with %s", kind)
		}
		all[kind] = one.Header
	}
	return all, nil
}

// await waits until there are so many mails, and returns them.
func (m mailbox) await(t *testing.T, n int) (all map[string]mail.Header) {
	t.Helper()
	eventually(t, soon, func(context.Context) (err error) {
		if all, err = m.mails(); err == nil && len(all) != n {
			err = fmt.Errorf("got %d mails, want %d: %v", len(all), n, all)
		}
		return err
	})
	return all
}

// TestMailToPostfix: an incident is told by mail to a real server, over TLS, and its
// end is an answer to that mail.
func TestMailToPostfix(t *testing.T) {
	t.Parallel()
	ca, cert, key := redistest.Certificates(t)
	p, box, other := startMailServer(t, cert, key)
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", fmt.Sprintf(`
route: {receiver: ops, group_wait: 0s, group_interval: 1s, repeat_interval: 12h}
receivers:
  - name: ops
    email_configs:
      - to: Wache <wache@ops.example.org>, second@ops.example.org
        from: Tocsin <tocsin@gw.example.org>
        smarthost: localhost:%s
        hello: gw.example.org
        send_resolved: true
        tls_config: {ca_file: %q}
        headers: {Subject: '{{ .Status | toUpper }} {{ .RouteLabels.incident_reference }} Zürich: {{ .CommonLabels.alertname }}'}
`, p.port, ca))
	body, err := json.Marshal([]any{map[string]any{"labels": map[string]string{"alertname": "ShopDown", "severity": "critical", "service": "checkout"},
		"annotations": map[string]string{"summary": ".\nQUIT\nSubject: not this one"}}})
	if err != nil {
		t.Fatal(err)
	}
	post(t, "http://"+g.addr+"/api/v2/alerts", body)
	in := exactly(t, g, "open")

	first := box.await(t, 1)["FIRING"]
	if first == nil {
		t.Fatal("the first mail is none of a problem")
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(first.Get("Subject"))
	if want := "FIRING " + in.Reference + " Zürich: ShopDown"; err != nil || subject != want {
		t.Errorf("subject: got %q (%v), want %q", subject, err, want)
	}
	if got := first.Get("Received"); !strings.Contains(got, "gw.example.org") || !strings.Contains(got, "using TLS") {
		t.Errorf("received: got %q, want it from gw.example.org over TLS", got)
	}
	if got, want := first.Get("Return-Path"), "<tocsin@gw.example.org>"; got != want {
		t.Errorf("return path: got %s, want %s", got, want)
	}
	id := first.Get("Message-Id")
	if !strings.HasPrefix(id, "<") || first.Get("X-Tocsin-Incident") != in.Reference {
		t.Errorf("got Message-Id %q, X-Tocsin-Incident %q", id, first.Get("X-Tocsin-Incident"))
	}

	status, answer, err := do(t.Context(), http.MethodPost, "http://"+g.addr+"/api/v1/incidents/"+in.Reference+"/resolve", []byte(`{"by":"alice"}`))
	if err != nil || status != http.StatusOK {
		t.Fatalf("resolve: %d %s %v", status, answer, err)
	}
	second := box.await(t, 2)["RESOLVED"]
	if second == nil {
		t.Fatal("the second mail is none of an end")
	}
	if also := other.await(t, 2); also["FIRING"].Get("Message-Id") != id || also["RESOLVED"].Get("Message-Id") != second.Get("Message-Id") {
		t.Errorf("the other recipient got %v, want the same two mails", also)
	}
	if got := second.Get("References"); !strings.Contains(got, id) || second.Get("In-Reply-To") != id {
		t.Errorf("got References %q, In-Reply-To %q, want the first mail %s in both", got, second.Get("In-Reply-To"), id)
	}
	if got := second.Get("Message-Id"); got == id || got == "" {
		t.Errorf("the second mail's Message-Id is %q, that of the first %q", got, id)
	}
	counts(t, g, 2, "tocsin_notifications_total", `integration="email"`, `result="sent"`)
}
