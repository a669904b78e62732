package pagerduty

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	ampagerduty "github.com/prometheus/alertmanager/notify/pagerduty"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// loaded is the block as Alertmanager's loader makes it.
func loaded(t *testing.T, block string) *ampagerduty.PagerdutyConfig {
	t.Helper()
	text := "route: {receiver: a}\nreceivers:\n- name: a\n  pagerduty_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
	c, err := config.Load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c.Receivers[0].PagerdutyConfigs[0]
}

func newSender(t *testing.T, c *ampagerduty.PagerdutyConfig, dial outgoing.DialFunc) *Sender {
	t.Helper()
	s, err := New(c, targettest.TemplateSet(t), dial)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func block(p *targettest.PagerDuty, more string) string {
	return "routing_key: " + targettest.PagerDutyKey + "\nurl: " + p.EventsURL() + "\n" + more
}

// start is a server and a sender with a block of the given further settings.
func start(t *testing.T, more string) (*targettest.PagerDuty, *Sender) {
	p := targettest.NewPagerDuty(t)
	return p, newSender(t, loaded(t, block(p, more)), nil)
}

func send(t *testing.T, s notify.Sender, m *notify.Message) {
	t.Helper()
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
}

// overTLS is what dials a server in the place of PagerDuty's address for v1, which
// cannot be chosen.
func overTLS(t *testing.T, p *targettest.PagerDuty) outgoing.DialFunc {
	front := httptest.NewTLSServer(p.Config.Handler)
	t.Cleanup(front.Close)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, front.Listener.Addr().String())
	}
}

const blockV1 = "service_key: " + targettest.PagerDutyKey + "\nhttp_config: {tls_config: {insecure_skip_verify: true}}\n"

const everyField = `
client: 'the client'
client_url: '{{ .ExternalURL }}/x'
description: 'about {{ .CommonLabels.service }}'
source: '{{ .CommonLabels.service }}.example.com'
severity: warning
class: disk
component: '{{ .CommonLabels.alertname }}'
group: '{{ .CommonLabels.team }}{{ .Receiver }}'
timeout: 5s
details: {answer: '42', nested: {list: ['{{ .Status }}']}, num_firing: 'many'}
links:
- {href: 'https://wiki.example.com/{{ .CommonLabels.service }}', text: 'wiki'}
- {href: '{{ .CommonLabels.nothing }}', text: 'left out'}
images:
- {src: 'https://graphs.example.com/{{ .CommonLabels.service }}.png', alt: 'a graph', href: 'https://graphs.example.com/'}
- {src: '', alt: 'left out'}
`

func TestControl(t *testing.T) {
	for name, more := range map[string]string{"defaults": "", "every field": everyField} {
		t.Run(name, func(t *testing.T) {
			p, c := targettest.NewPagerDuty(t), targettest.NewControl(t)
			n, err := ampagerduty.New(loaded(t, block(p, more)), c.Templates, c.Log)
			if err != nil {
				t.Fatal(err)
			}
			c.Notify(t, n, targettest.Message(notify.Opened))
			c.Notify(t, n, targettest.Message(notify.Updated))
			c.Notify(t, n, targettest.Message(notify.Resolved))
			for key, i := range p.Incidents() {
				if i.Opened != 1 || i.State != "resolved" {
					t.Errorf("%s: got %+v, want one that was opened once and is resolved", key, i)
				}
			}
		})
	}
	t.Run("v1", func(t *testing.T) {
		p, c := targettest.NewPagerDuty(t), targettest.NewControl(t)
		n, err := ampagerduty.New(loaded(t, blockV1), c.Templates, c.Log, commoncfg.WithDialContextFunc(commoncfg.DialContextFunc(overTLS(t, p))))
		if err != nil {
			t.Fatal(err)
		}
		c.Notify(t, n, targettest.Message(notify.Opened))
		c.Notify(t, n, targettest.Message(notify.Resolved))
		if len(p.Incidents()) != 1 {
			t.Errorf("got %v, want one incident", p.Incidents())
		}
	})
}

// TestFieldsAreThoseOfTheModule compares what both make of the same block.
func TestFieldsAreThoseOfTheModule(t *testing.T) {
	theirs, c := targettest.NewPagerDuty(t), targettest.NewControl(t)
	n, err := ampagerduty.New(loaded(t, block(theirs, everyField)), c.Templates, c.Log)
	if err != nil {
		t.Fatal(err)
	}
	c.Notify(t, n, targettest.Message(notify.Opened))
	ours, s := start(t, everyField)
	send(t, s, targettest.Message(notify.Opened))
	var want targettest.PagerDutyIncident
	for _, want = range theirs.Incidents() {
	}
	got := ours.Incidents()[targettest.Message(notify.Opened).Key()]
	for _, name := range []string{"summary", "source", "severity", "class", "component", "group"} {
		if got.Payload[name] != want.Payload[name] {
			t.Errorf("%s: got %v, want %v", name, got.Payload[name], want.Payload[name])
		}
	}
	if len(want.Links) != 1 || got.Links[0]["href"] != want.Links[0]["href"] || got.Links[0]["text"] != want.Links[0]["text"] {
		t.Errorf("links: got %v, want %v first", got.Links, want.Links)
	}
	if len(got.Images) != 1 || !maps.Equal(got.Images[0], want.Images[0]) {
		t.Errorf("images: got %v, want %v", got.Images, want.Images)
	}
	for _, name := range []string{"answer", "num_firing", "num_resolved"} {
		if got.Details[name] != want.Details[name] {
			t.Errorf("details: %s is %v, want %v", name, got.Details[name], want.Details[name])
		}
	}
	if got, want := len(got.Details["firing"].([]any)), len(want.Details["firing"].([]any)); got != want {
		t.Errorf("details: %d firing alerts, want %d", got, want)
	}
}

func TestEvents(t *testing.T) {
	key := targettest.Message(notify.Opened).Key()
	alreadyAcknowledged := targettest.Message(notify.Acknowledged)
	alreadyAcknowledged.Event = notify.Opened
	for name, test := range map[string]struct {
		messages []*notify.Message
		state    string
		log      []string
	}{
		"opened":                          {list(notify.Opened), "triggered", []string{trigger}},
		"updated":                         {list(notify.Opened, notify.Updated), "triggered", []string{trigger, trigger}},
		"repeated":                        {list(notify.Opened, notify.Repeated), "triggered", []string{trigger, trigger}},
		"acknowledged":                    {list(notify.Opened, notify.Acknowledged), "acknowledged", []string{trigger, acknowledge}},
		"no longer acknowledged":          {list(notify.Opened, notify.Acknowledged, notify.Unacknowledged), "acknowledged", []string{trigger, acknowledge, trigger}},
		"resolved":                        {list(notify.Opened, notify.Resolved), "resolved", []string{trigger, resolve}},
		"acknowledged before the first":   {[]*notify.Message{alreadyAcknowledged}, "acknowledged", []string{trigger, acknowledge}},
		"all of it":                       {list(notify.Opened, notify.Updated, notify.Acknowledged, notify.Resolved), "resolved", []string{trigger, trigger, acknowledge, resolve}},
		"the same twice, opened":          {list(notify.Opened, notify.Opened), "triggered", []string{trigger, trigger}},
		"the same twice, acknowledged":    {list(notify.Opened, notify.Acknowledged, notify.Acknowledged), "acknowledged", []string{trigger, acknowledge, acknowledge}},
		"the same twice, resolved":        {list(notify.Opened, notify.Resolved, notify.Resolved), "resolved", []string{trigger, resolve, resolve}},
		"acknowledged, twice, the first":  {[]*notify.Message{alreadyAcknowledged, alreadyAcknowledged}, "acknowledged", []string{trigger, acknowledge, trigger, acknowledge}},
		"an update does not acknowledge":  {list(notify.Opened, notify.Updated, notify.Updated), "triggered", []string{trigger, trigger, trigger}},
		"acknowledged elsewhere, updated": {append(list(notify.Opened), updatedWhileAcknowledged()), "acknowledged", []string{trigger, trigger, acknowledge}},
	} {
		for _, version := range []string{"v2", "v1"} {
			t.Run(version+" "+name, func(t *testing.T) {
				p, s := start(t, "")
				if version == "v1" {
					s = newSender(t, loaded(t, blockV1), overTLS(t, p))
				}
				for _, m := range test.messages {
					send(t, s, m)
				}
				got := p.Incidents()
				if len(got) != 1 || got[key].State != test.state || got[key].Opened != 1 || !slices.Equal(got[key].Log, test.log) {
					t.Errorf("got %+v, want one %s, opened once, by %v", got, test.state, test.log)
				}
			})
		}
	}
}

func list(events ...notify.Event) (out []*notify.Message) {
	for _, e := range events {
		out = append(out, targettest.Message(e))
	}
	return out
}

func updatedWhileAcknowledged() *notify.Message {
	m := targettest.Message(notify.Acknowledged)
	m.Event = notify.Updated
	return m
}

func TestReopenedIsAnotherIncident(t *testing.T) {
	p, s := start(t, "")
	send(t, s, targettest.Message(notify.Opened))
	send(t, s, targettest.Message(notify.Resolved))
	m := targettest.Message(notify.Opened)
	m.Incident.Reopens++
	send(t, s, m)
	if got := p.Incidents(); len(got) != 2 || got[m.Key()].State != "triggered" {
		t.Errorf("got %+v, want two incidents, the second triggered", got)
	}
	if id, ok := notify.ParseKey(m.Key()); !ok || id != m.Incident.ID {
		t.Errorf("the key %s does not lead back", m.Key())
	}
}

func TestSaysMore(t *testing.T) {
	p, s := start(t, "")
	m := updatedWhileAcknowledged()
	m.Remark = "slack of receiver dba is unreachable"
	send(t, s, m)
	got := p.Incidents()[m.Key()]
	if text, _ := got.Details["tocsin"].(string); text != "slack of receiver dba is unreachable\nalice works on it" {
		t.Errorf("details: got %q", text)
	}
	var links []string
	for _, l := range got.Links {
		links = append(links, l["href"].(string))
	}
	if want := []string{m.Links.Incident, m.Links.Resolve}; !slices.Equal(links, want) {
		t.Errorf("links: got %v, want %v", links, want)
	}
	if got.ClientURL != m.Links.Incident {
		t.Errorf("client_url: got %s, want %s", got.ClientURL, m.Links.Incident)
	}
}

func TestSeverity(t *testing.T) {
	for word, want := range map[string]string{"": "error", "critical": "critical", "Page": "critical", "high": "error", "warn": "warning", "notice": "info", "whatever": "error"} {
		if got := severity(word); got != want {
			t.Errorf("severity(%q) = %s, want %s", word, got, want)
		}
	}
	p, s := start(t, "severity: '{{ .RouteLabels.severity }}'")
	m := targettest.Message(notify.Opened)
	m.Incident.Severity = "warning"
	send(t, s, m)
	if got := p.Incidents()[m.Key()].Severity; got != "warning" {
		t.Errorf("got %s, want warning", got)
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		p, s := start(t, "http_config: {basic_auth: {username: a, password: pass-word}}")
		return targettest.Trial{Server: &p.Server, Sender: s, Secrets: []string{targettest.PagerDutyKey, "pass-word"}, Told: func(t *testing.T) {
			if got := p.Incidents()[targettest.Message(notify.Opened).Key()]; got.State != "triggered" || got.Opened != 1 {
				t.Errorf("got %+v, want one that was triggered once", got)
			}
		}}
	})
}

func TestV1SaysTooManyWith403(t *testing.T) {
	p := targettest.NewPagerDuty(t)
	s := newSender(t, loaded(t, blockV1), overTLS(t, p))
	p.Fail(targettest.Failure{Status: 403, RetryAfter: 3 * time.Second})
	_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	var e *notify.Error
	if !asNotify(err, &e) || e.Reason != notify.ReasonRateLimited || e.Permanent || e.RetryAfter != 3*time.Second {
		t.Errorf("got %#v, want a rate limit", err)
	}
}

func asNotify(err error, e **notify.Error) (ok bool) {
	*e, ok = err.(*notify.Error)
	return ok
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := targettest.NewPagerDuty(t)
	p.ExpectRefusals()
	s := newSender(t, loaded(t, "routing_key_file: "+file+"\nurl: "+p.EventsURL()), nil)
	var e *notify.Error
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); !asNotify(err, &e) || e.Permanent || e.Reason != notify.ReasonAuth {
		t.Errorf("without its file: got %v, want an error that may pass", err)
	}
	write("the-old-key")
	p.Fail(targettest.Failure{Status: 400, Body: "no such key: the-old-key"})
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err == nil || strings.Contains(err.Error(), "the-old-key") {
		t.Errorf("with the wrong key: got %v, want an error without it", err)
	}
	write(targettest.PagerDutyKey + "\n")
	send(t, s, targettest.Message(notify.Opened)) // read again

	m := targettest.Message(notify.Opened)
	m.Incident.Reopens++
	for n := range m.Alerts {
		m.Alerts[n].Labels = m.Alerts[n].Labels.Set("pd", targettest.PagerDutyKey)
	}
	s = newSender(t, loaded(t, "routing_key: '{{ .CommonLabels.pd }}'\nurl: "+p.EventsURL()), nil)
	send(t, s, m)
	if got := p.Incidents()[m.Key()].State; got != "triggered" {
		t.Errorf("with a key from a label: got %q, want triggered", got)
	}
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); !asNotify(err, &e) || !e.Permanent {
		t.Errorf("without that label: got %v, want a permanent error", err)
	}
}

func TestFailingTemplates(t *testing.T) {
	const bad = `'{{ template "nothing" . }}'`
	p, s := start(t, "description: "+bad+"\nclient: "+bad+"\nclient_url: "+bad+"\nsource: "+bad+"\nseverity: "+bad+"\nclass: "+bad+"\ndetails: {x: "+bad+"}\nlinks: [{href: "+bad+"}]\nimages: [{src: "+bad+"}]")
	m := targettest.Message(notify.Opened)
	send(t, s, m)
	got := p.Incidents()[m.Key()]
	if got.Summary != m.Headline() || got.Source != "Tocsin" || got.Severity != "error" {
		t.Errorf("got %+v, want the built-in words", got)
	}
	if text, _ := got.Details["incident"].(string); !strings.Contains(text, "disk of db-1 is full") {
		t.Errorf("details: got %q, want the built-in text", text)
	}
	if got.Details["x"] != "the template of this detail failed" {
		t.Errorf("details: x is %v, want that its template failed", got.Details["x"])
	}
	if len(m.Failed()) != 9 {
		t.Errorf("got %d failures, want 9: %v", len(m.Failed()), m.ErrTemplates())
	}
}

func TestHostileTexts(t *testing.T) {
	const fromLabels = `
client_url: '{{ .CommonLabels.x }}'
description: '{{ .CommonLabels.x }}'
source: '{{ .CommonLabels.x }}'
severity: '{{ .CommonLabels.x }}'
class: '{{ .CommonLabels.x }}'
details: {x: '{{ .CommonLabels.x }}', inf: '.inf', nan: ['.nan']}
`
	for n, text := range targettest.HostileTexts() {
		for name, more := range map[string]string{"defaults": "", "from labels": fromLabels} {
			p, s := start(t, more)
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			send(t, s, m)
			send(t, s, targettest.Hostile(targettest.Message(notify.Acknowledged), text))
			got := p.Incidents()[m.Key()] // the server has checked all lengths
			if got.State != "acknowledged" || got.Summary == "" {
				t.Errorf("%s, text %d: got %+v", name, n, got)
			}
			for _, l := range got.Links {
				if !strings.HasPrefix(l["href"].(string), "https://tocsin.example.com/") {
					t.Errorf("%s, text %d: a foreign link %s", name, n, l["href"])
				}
			}
			if strings.ContainsAny(got.Summary, "\u202e\x00\r") {
				t.Errorf("%s, text %d: the summary has control characters: %q", name, n, got.Summary)
			}
		}
	}
}

func TestImagesThatPagerDutyDoesNotShow(t *testing.T) {
	p, s := start(t, "images: [{src: 'http://graphs.example.com/x.png'}, {src: 'https://graphs.example.com/x.png', href: 'javascript:alert(1)'}]")
	m := targettest.Message(notify.Opened)
	send(t, s, m)
	if got := p.Incidents()[m.Key()].Images; len(got) != 1 || got[0]["src"] != "https://graphs.example.com/x.png" || got[0]["href"] != nil {
		t.Errorf("got %v, want the one over HTTPS, without its link", got)
	}
}

func TestAnswerOfSomethingElse(t *testing.T) {
	p, s := start(t, "")
	p.Fail(targettest.Failure{Status: 200, Body: `{"status":"ok"}`})
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err == nil {
		t.Error("an answer that does not say success: got no error")
	}
}

func TestTooLarge(t *testing.T) {
	p, s := start(t, "details: {x: '{{ .RouteLabels.large }}', y: '{{ .RouteLabels.large }}', z: '{{ .RouteLabels.large }}'}")
	m := targettest.Message(notify.Opened)
	m.RouteLabels = map[string]string{"large": strings.Repeat("x", 200_000)}
	send(t, s, m)
	got := p.Incidents()[m.Key()]
	if got.Details["error"] == nil || !strings.Contains(got.Details["incident"].(string), "db-1") {
		t.Errorf("details: got %v, want why they are missing, and the built-in text", got.Details)
	}
	if got.State != "triggered" {
		t.Errorf("got %s, want triggered", got.State)
	}
}

// TestPreview: whoever may look does not see the key.
func TestPreview(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(targettest.PagerDutyKey), 0o600); err != nil {
		t.Fatal(err)
	}
	p, inline := start(t, "")
	fromFile := newSender(t, loaded(t, strings.Replace(block(p, ""), "routing_key: "+targettest.PagerDutyKey, "routing_key_file: "+file, 1)), nil)
	for _, s := range []*Sender{inline, fromFile} {
		var look notify.Capture
		_, err := s.Send(notify.WithCapture(t.Context(), &look), targettest.Message(notify.Opened))
		if !errors.Is(err, notify.ErrCaptured) || !strings.Contains(string(look.Body), "DiskFull") || strings.Contains(string(look.Body), targettest.PagerDutyKey) {
			t.Errorf("got %v, %s", err, look.Body)
		}
	}
	if n := len(p.Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
