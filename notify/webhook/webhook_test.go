package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	amwebhook "github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// load reads one block as Alertmanager's own loader does.
func load(t *testing.T, fields string) *amwebhook.WebhookConfig {
	t.Helper()
	c, err := amconfig.Load("route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(fields), "\n", "\n    ") + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return c.Receivers[0].WebhookConfigs[0]
}

func sender(t *testing.T, fields string) *Sender {
	t.Helper()
	s, err := New(load(t, fields), targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestControl: Alertmanager's own notifier passes the same checks.
func TestControl(t *testing.T) {
	server := targettest.NewWebhook(t)
	theirs, err := amwebhook.New(load(t, "url: "+server.URL+"/hook"), targettest.TemplateSet(t).Module(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := amnotify.WithGroupKey(context.Background(), "incident/1")
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull"})
	ctx = amnotify.WithReceiverName(ctx, "dba")
	ctx = amnotify.WithNotificationReason(ctx, amnotify.ReasonFirstNotification)
	a := &amalert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "DiskFull"}, Annotations: model.LabelSet{"summary": "full"}, StartsAt: time.Now().Add(-time.Minute), EndsAt: time.Now().Add(time.Hour)}}
	if _, err := theirs.Notify(ctx, a); err != nil {
		t.Fatal(err)
	}
	if got := server.Taken(); len(got) != 1 || got[0].Status != "firing" {
		t.Errorf("taken %+v, want one firing message", got)
	}
}

func TestSend(t *testing.T) {
	for _, c := range []struct {
		event                 notify.Event
		status, reason, state string
	}{
		{notify.Opened, "firing", "first notification", "open"},
		{notify.Updated, "firing", "new alerts in group", "open"},
		{notify.Acknowledged, "firing", "new alerts in group", "acknowledged"},
		{notify.Unacknowledged, "firing", "new alerts in group", "open"},
		{notify.Repeated, "firing", "repeat interval elapsed", "open"},
		{notify.Resolved, "resolved", "all alerts resolved", "resolved"},
	} {
		t.Run(string(c.event), func(t *testing.T) {
			server := targettest.NewWebhook(t)
			m := targettest.Message(c.event)
			m.Incident.Version = 7
			if _, err := sender(t, "url: "+server.URL+"/hook").Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := server.Taken()
			if len(got) != 1 {
				t.Fatalf("taken %d, want 1", len(got))
			}
			g := got[0]
			if g.Status != c.status || g.NotificationReason != c.reason || g.GroupKey != m.Key() || g.Receiver != "dba" || g.ExternalURL != "https://tocsin.example.com" || len(g.Alerts) != 2 {
				t.Errorf("got %+v", g)
			}
			if g.CommonLabels["alertname"] != "DiskFull" || g.CommonLabels["host"] != "" || len(g.RouteLabels) != 1 || g.RouteLabels["tier"] != "one" {
				t.Errorf("common labels %v, route labels %v", g.CommonLabels, g.RouteLabels)
			}
			for name, want := range map[string]any{"id": m.Incident.ID.String(), "reference": "INC-20261121-7KQ2", "version": 7.0, "title": "DiskFull db", "state": c.state, "severity": "critical",
				"priority": "P1", "service": "db", "team": "dba", "opened_at": "2026-11-21T02:50:00Z", "acknowledged_by": m.Incident.AcknowledgedBy, "event": string(c.event)} {
				if g.Incident[name] != want {
					t.Errorf("incident.%s = %v, want %v", name, g.Incident[name], want)
				}
			}
			if links := fmt.Sprint(g.Incident["links"]); !strings.Contains(links, m.Links.Acknowledge) || !strings.Contains(links, "https://runbooks.example.com/disk") {
				t.Errorf("links are %s", links)
			}
		})
	}
}

func TestMaxAlerts(t *testing.T) {
	server := targettest.NewWebhook(t)
	m := targettest.Message(notify.Opened)
	m.More = 40
	if _, err := sender(t, "url: "+server.URL+"/hook\nmax_alerts: 1").Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if g := server.Taken()[0]; len(g.Alerts) != 1 || g.TruncatedAlerts != 41 {
		t.Errorf("%d alerts, %d truncated; want 1 and 41", len(g.Alerts), g.TruncatedAlerts)
	}
}

func TestTemplatedURL(t *testing.T) {
	server := targettest.NewWebhook(t)
	if _, err := sender(t, "url: '"+server.URL+"/hook/{{ .CommonLabels.service }}'").Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "url")
	fromFile := sender(t, "url_file: "+file)
	var e *notify.Error
	if _, err := fromFile.Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || e.Permanent {
		t.Errorf("no file: got %v, want an error for a later attempt", err)
	}
	for _, path := range []string{"/hook/one", "/hook/two"} { // it is rotated
		if err := os.WriteFile(file, []byte(server.URL+path+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fromFile.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	for _, r := range server.Requests() {
		paths = append(paths, r.Path)
	}
	if got := strings.Join(paths, " "); got != "/hook/db /hook/one /hook/two" {
		t.Errorf("sent to %s", got)
	}
	for _, text := range []string{"{{ .Nothing.Here }}", "{{ .CommonLabels.nothing }}"} {
		if _, err := sender(t, "url: '"+text+"'").Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || !e.Permanent {
			t.Errorf("%s: got %v, want a permanent error", text, err)
		}
	}
}

func TestPayload(t *testing.T) {
	server := targettest.NewWebhook(t)
	server.ExpectRefusals() // it is another shape
	s := sender(t, `url: `+server.URL+`/hook
payload:
  text: '{{ .CommonLabels.alertname }} is {{ .Status }}'
  broken: '{{ template "missing" . }}'
  count: '{{ len .Alerts }}'
  title: '[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }}'
  labels: '{{ .CommonLabels | toJson }}'
  names: |
    {{ range .Alerts }}- name: {{ .Labels.host }}
    {{ end }}
  list: ['{{ .RouteLabels.incident_reference }}', 7]`)
	m := targettest.Message(notify.Opened)
	_, _ = s.Send(t.Context(), m)
	want := `{"broken":"[CRITICAL] DiskFull db (2 alerts) · INC-20261121-7KQ2","count":2,"labels":{"alertname":"DiskFull","service":"db","severity":"page"},"list":["INC-20261121-7KQ2",7],"names":[{"name":"db-1"},{"name":"db-2"}],"text":"DiskFull is firing","title":"[FIRING] DiskFull"}`
	if got := string(server.Requests()[0].Body); got != want {
		t.Errorf("sent\n%s, want\n%s", got, want)
	}
	if len(m.Failed()) != 1 {
		t.Errorf("failed templates: %v, want the one of broken", m.ErrTemplates())
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		failure   targettest.Failure
		reason    string
		permanent bool
		after     time.Duration
	}{
		{targettest.Failure{Status: 429, RetryAfter: 7 * time.Second}, notify.ReasonRateLimited, false, 7 * time.Second},
		{targettest.Failure{Status: 500, Body: "no"}, notify.ReasonServer, false, 0},
		{targettest.Failure{Status: 503, Body: strings.Repeat("x", 1<<20)}, notify.ReasonServer, false, 0},
		{targettest.Failure{Status: 401}, notify.ReasonAuth, false, 0},
		{targettest.Failure{Status: 400}, notify.ReasonClient, true, 0},
		{targettest.Failure{Status: 404}, notify.ReasonClient, true, 0},
		{targettest.Failure{Status: 302}, notify.ReasonClient, true, 0},
		{targettest.Failure{}, notify.ReasonOther, false, 0},
		{targettest.Failure{After: true}, notify.ReasonOther, false, 0},
		{targettest.Failure{Hang: true}, notify.ReasonTimeout, false, 0},
	} {
		t.Run(fmt.Sprintf("%d %v", c.failure.Status, c.failure.Hang), func(t *testing.T) {
			server := targettest.NewWebhook(t)
			server.Fail(c.failure)
			timeout := time.Minute
			if c.failure.Hang { // the only one that waits for it
				timeout = 200 * time.Millisecond
			}
			_, err := sender(t, fmt.Sprintf("url: %s/hook/very-secret\ntimeout: %s", server.URL, timeout)).Send(t.Context(), targettest.Message(notify.Opened))
			var e *notify.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.Permanent != c.permanent || e.RetryAfter != c.after {
				t.Fatalf("got %#v (%v), want %s, permanent %v, after %s", e, err, c.reason, c.permanent, c.after)
			}
			if text := err.Error(); strings.Contains(text, "very-secret") || len(text) > 2000 {
				t.Errorf("the error says %.3000s", text)
			}
		})
	}
}

func TestHostileTexts(t *testing.T) {
	for n, text := range targettest.HostileTexts() {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			server := targettest.NewWebhook(t)
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			if _, err := sender(t, "url: "+server.URL+"/hook").Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got := server.Taken(); len(got) != 1 || len(got[0].Alerts) != 2 || got[0].Version != "4" {
				t.Errorf("taken %+.500v", got)
			}
			// In a payload of our own it stays inside the member that it was put into.
			own := targettest.NewWebhook(t)
			own.ExpectRefusals()
			_, _ = sender(t, "url: "+own.URL+"/hook\npayload: {text: '{{ .CommonAnnotations.summary }}'}").Send(t.Context(), m)
			body := string(own.Requests()[0].Body)
			var members map[string]any
			if err := json.Unmarshal([]byte(body), &members); err != nil || len(members) != 1 || members["text"] == nil {
				t.Errorf("sent %.500s: %v", body, err)
			}
		})
	}
}

const keyText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func keyBytes(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signed(t *testing.T, c *SignedConfig, now time.Time) *Signed {
	t.Helper()
	if p := c.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	s, err := NewSigned(c, targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return now }
	return s
}

// TestSignature is the example of the reference libraries of Standard Webhooks.
func TestSignature(t *testing.T) {
	s := signed(t, &SignedConfig{URL: secret.New("https://example.com"), Secrets: []Key{{Secret: secret.New(keyText)}}}, time.Now())
	got, _, err := s.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestSigned(t *testing.T) {
	const newer = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(newer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The receiver still has the older key only.
	server := targettest.NewWebhook(t, keyBytes(t, keyText))
	server.Now = func() time.Time { return now }
	s := signed(t, &SignedConfig{URL: secret.New(server.URL + "/hook"), Secrets: []Key{{ID: "new", SecretFile: file}, {ID: "old", Secret: secret.New(keyText)}}}, now)
	m := targettest.Message(notify.Opened)
	memory, err := s.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody recorded that it was sent: the receiver sees the same id.
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err != nil {
		t.Fatal(err)
	}
	if got := server.Taken(); len(got) != 1 || got[0].Incident["event"] != "opened" {
		t.Errorf("taken %d, want 1", len(got))
	}
	// What is repeated later is news.
	for range 2 {
		m = targettest.Message(notify.Repeated)
		m.Memory = memory
		if memory, err = s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.Taken(); len(got) != 3 {
		t.Errorf("taken %d, want 3", len(got))
	}
	// A clock that is off, and a key that the receiver does not have.
	server.ExpectRefusals()
	s.now = func() time.Time { return now.Add(-time.Hour) }
	var e *notify.Error
	if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || e.Reason != notify.ReasonAuth || e.Permanent {
		t.Errorf("an old signature: got %v", err)
	}
	s.config.Secrets = s.config.Secrets[:1]
	s.now = func() time.Time { return now }
	if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || e.Reason != notify.ReasonAuth {
		t.Errorf("a strange key: got %v", err)
	}
	if err := os.WriteFile(file, []byte("whsec_short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || e.Permanent || strings.Contains(err.Error(), "short") {
		t.Errorf("a broken key: got %v", err)
	}
}

func TestSignedHidesItsSecrets(t *testing.T) {
	server := targettest.NewWebhook(t, keyBytes(t, keyText))
	s := signed(t, &SignedConfig{URL: secret.New(server.URL + "/hook/path-secret"), Secrets: []Key{{Secret: secret.New(keyText)}}}, time.Now())
	server.Fail(targettest.Failure{Status: 500, Body: "you sent " + keyText + " to " + server.URL + "/hook/path-secret"})
	_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	if err == nil || strings.Contains(err.Error(), keyText[6:]) || strings.Contains(err.Error(), "path-secret") || !strings.Contains(err.Error(), "you sent") {
		t.Errorf("the error says %v", err)
	}
}

func TestSignedProblems(t *testing.T) {
	good := Key{Secret: secret.New(keyText)}
	for _, c := range []struct {
		config SignedConfig
		want   string
	}{
		{SignedConfig{URL: secret.New("https://example.com/{{ .Receiver }}"), Secrets: []Key{good}}, ""},
		{SignedConfig{Secrets: []Key{good}}, "url"},
		{SignedConfig{URL: secret.New("example.com"), Secrets: []Key{good}}, "url"},
		{SignedConfig{URL: secret.New("https://a"), URLFile: "b", Secrets: []Key{good}}, "url"},
		{SignedConfig{URL: secret.New("https://a")}, "secrets"},
		{SignedConfig{URL: secret.New("https://a"), Secrets: []Key{good, good, good, good, good, good}}, "secrets"},
		{SignedConfig{URL: secret.New("https://a"), Secrets: []Key{{Secret: secret.New("hunter2")}}}, "secrets[0].secret"},
		{SignedConfig{URL: secret.New("https://a"), Secrets: []Key{good, {}}}, "secrets[1].secret"},
		{SignedConfig{URL: secret.New("https://a"), Secrets: []Key{{ID: "a", Secret: good.Secret}, {ID: "a", Secret: good.Secret}}}, "secrets[1].id"},
	} {
		p := c.config.Problems()
		if (c.want == "") != (len(p) == 0) || c.want != "" && p[c.want] == "" {
			t.Errorf("%+v: got %v, want %q", c.config, p, c.want)
		}
		if strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("the secret is shown: %v", p)
		}
	}
}
