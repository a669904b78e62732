package opsgenie

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/config"
	amopsgenie "github.com/prometheus/alertmanager/notify/opsgenie"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// loaded is the block as Alertmanager's loader makes it.
func loaded(t *testing.T, block string) *amopsgenie.OpsGenieConfig {
	t.Helper()
	text := "route: {receiver: a}\nreceivers:\n- name: a\n  opsgenie_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
	c, err := config.Load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c.Receivers[0].OpsGenieConfigs[0]
}

func block(o *targettest.Opsgenie, more string) string {
	return "api_key: " + targettest.OpsgenieKey + "\napi_url: " + o.URL + "/\n" + more
}

func newSender(t *testing.T, block string) *Sender {
	t.Helper()
	s, err := New(loaded(t, block), targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start is a server and a sender with a block of the given further settings.
func start(t *testing.T, more string) (*targettest.Opsgenie, *Sender) {
	o := targettest.NewOpsgenie(t)
	return o, newSender(t, block(o, more))
}

// startJSM is the same for Jira Service Management.
func startJSM(t *testing.T, more string) (*targettest.Opsgenie, *Sender) {
	t.Helper()
	o := targettest.NewOpsgenie(t)
	var c Config
	if err := yaml.Unmarshal([]byte("api_key: "+targettest.OpsgenieKey+"\napi_url: "+o.URL+"/jsm/ops/integration/v2/\n"+more), &c); err != nil {
		t.Fatal(err)
	}
	if p := c.Problems(); len(p) > 0 {
		t.Fatalf("the block has problems: %v", p)
	}
	s, err := NewJSM(&c, targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return o, s
}

func send(t *testing.T, s notify.Sender, m *notify.Message) {
	t.Helper()
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
}

const everyField = `
message: 'about {{ .CommonLabels.service }}'
description: 'more about {{ .CommonLabels.service }}'
source: '{{ .CommonLabels.service }}.example.com'
details: {answer: '42', service: 'in place of the label'}
entity: '{{ .CommonLabels.alertname }}'
responders:
- {type: team, name: '{{ .CommonLabels.service }}'}
- {type: teams, name: 'one,two,,three'}
- {type: user, username: 'alice@example.com'}
- {type: schedule, id: '12345'}
actions: 'restart,,look'
tags: 'disk,{{ .CommonLabels.service }},,'
note: 'a note'
priority: '{{ if eq .Status "firing" }}P2{{ end }}'
`

func TestControl(t *testing.T) {
	for name, more := range map[string]string{"defaults": "", "every field": everyField, "updates": "update_alerts: true"} {
		t.Run(name, func(t *testing.T) {
			o, c := targettest.NewOpsgenie(t), targettest.NewControl(t)
			n, err := amopsgenie.New(loaded(t, block(o, more)), c.Templates, c.Log)
			if err != nil {
				t.Fatal(err)
			}
			c.Notify(t, n, targettest.Message(notify.Opened))
			c.Notify(t, n, targettest.Message(notify.Updated))
			c.Notify(t, n, targettest.Message(notify.Resolved))
			if got := o.Alerts(); len(got) != 1 || got[0].State != "closed" || got[0].Count != 2 {
				t.Errorf("got %+v, want one that was counted twice and is closed", got)
			}
		})
	}
}

// TestFieldsAreThoseOfTheModule compares what both make of the same block.
func TestFieldsAreThoseOfTheModule(t *testing.T) {
	theirs, c := targettest.NewOpsgenie(t), targettest.NewControl(t)
	n, err := amopsgenie.New(loaded(t, block(theirs, everyField)), c.Templates, c.Log)
	if err != nil {
		t.Fatal(err)
	}
	c.Notify(t, n, targettest.Message(notify.Opened))
	ours, s := start(t, everyField)
	send(t, s, targettest.Message(notify.Opened))
	got, want := ours.Alerts()[0], theirs.Alerts()[0]
	if got.Message != want.Message || got.Source != want.Source || got.Entity != want.Entity || got.Priority != want.Priority || !strings.HasPrefix(got.Description, want.Description) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !slices.Equal(got.Tags, want.Tags) || !slices.Equal(got.Actions, want.Actions) || !slices.Equal(got.Notes, want.Notes) || !maps.Equal(got.Details, want.Details) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !slices.EqualFunc(got.Responders, want.Responders, maps.Equal) {
		t.Errorf("responders: got %v, want %v", got.Responders, want.Responders)
	}
}

func messages(events ...notify.Event) (out []*notify.Message) {
	for _, e := range events {
		out = append(out, targettest.Message(e))
	}
	return out
}

// already is a message that says something else of an incident that is acknowledged.
func already(e notify.Event) *notify.Message {
	m := targettest.Message(notify.Acknowledged)
	m.Event = e
	return m
}

func TestEvents(t *testing.T) {
	for name, test := range map[string]struct {
		messages []*notify.Message
		state    string
		log      string
		update   string
	}{
		"opened":                         {messages(notify.Opened), "open", "create", "create message description"},
		"updated":                        {messages(notify.Opened, notify.Updated), "open", "create create", "create message description create message description"},
		"repeated":                       {messages(notify.Opened, notify.Repeated), "open", "create create", "create message description create message description"},
		"acknowledged":                   {messages(notify.Opened, notify.Acknowledged), "acknowledged", "create acknowledge", "create message description message description acknowledge"},
		"no longer acknowledged":         {messages(notify.Opened, notify.Acknowledged, notify.Unacknowledged), "open", "create acknowledge create unacknowledge", "create message description message description acknowledge create message description unacknowledge"},
		"resolved":                       {messages(notify.Opened, notify.Resolved), "closed", "create close", "create message description close"},
		"acknowledged before the first":  {[]*notify.Message{already(notify.Opened)}, "acknowledged", "create acknowledge", "create message description acknowledge"},
		"updated while acknowledged":     {append(messages(notify.Opened), already(notify.Updated)), "acknowledged", "create create acknowledge", "create message description create message description acknowledge"},
		"the same twice, opened":         {messages(notify.Opened, notify.Opened), "open", "create create", "create message description create message description"},
		"the same twice, acknowledged":   {messages(notify.Opened, notify.Acknowledged, notify.Acknowledged), "acknowledged", "create acknowledge acknowledge", "create message description message description acknowledge message description acknowledge"},
		"the same twice, resolved":       {messages(notify.Opened, notify.Resolved, notify.Resolved), "closed", "create close", "create message description close"},
		"acknowledged, twice, the first": {[]*notify.Message{already(notify.Opened), already(notify.Opened)}, "acknowledged", "create acknowledge create acknowledge", "create message description acknowledge create message description acknowledge"},
	} {
		check := func(kind, log string, o *targettest.Opsgenie, s *Sender) {
			t.Run(kind+" "+name, func(t *testing.T) {
				for _, m := range test.messages {
					send(t, s, m)
				}
				got := o.Alerts()
				if len(got) != 1 || got[0].State != test.state || got[0].Alias != test.messages[0].Key() || strings.Join(got[0].Log, " ") != log {
					t.Errorf("got %+v, want one that is %s, by %s", got, test.state, log)
				}
				if last := test.messages[len(test.messages)-1]; test.state == "acknowledged" && got[0].AcknowledgedBy != last.Incident.AcknowledgedBy {
					t.Errorf("acknowledged by %q, want %q", got[0].AcknowledgedBy, last.Incident.AcknowledgedBy)
				}
			})
		}
		o, s := start(t, "")
		check("opsgenie", test.log, o, s)
		o, s = start(t, "update_alerts: true")
		check("opsgenie with updates", test.update, o, s)
		o, s = startJSM(t, "")
		o.JSMUnacknowledges()
		check("jsm", test.log, o, s)
	}
}

func TestJSMWithoutUnacknowledge(t *testing.T) {
	o, s := startJSM(t, "")
	for _, m := range messages(notify.Opened, notify.Acknowledged, notify.Unacknowledged) {
		send(t, s, m)
	}
	if got := o.Alerts(); len(got) != 1 || got[0].State != "acknowledged" || len(got[0].Notes) != 1 || !strings.HasPrefix(got[0].Notes[0], "No longer acknowledged") {
		t.Errorf("got %+v, want a note that nobody works on it", got)
	}
}

// TestClosedThere: somebody closed the alert in Opsgenie while the incident is open.
func TestClosedThere(t *testing.T) {
	o, s := start(t, "")
	send(t, s, targettest.Message(notify.Opened))
	send(t, s, targettest.Message(notify.Resolved))
	send(t, s, targettest.Message(notify.Repeated))
	if got := o.Alerts(); len(got) != 2 || got[1].State != "open" {
		t.Errorf("got %+v, want another one that is open", got)
	}
}

func TestUpdatesShowWhatIsNew(t *testing.T) {
	o, s := start(t, "update_alerts: true")
	send(t, s, targettest.Message(notify.Opened))
	m := already(notify.Updated)
	m.Alerts = m.Alerts[:1]
	m.Remark = "slack of receiver dba is unreachable"
	send(t, s, m)
	got := o.Alerts()[0]
	if !strings.HasPrefix(got.Message, "[FIRING:1]") {
		t.Errorf("message: got %q, want that of one alert", got.Message)
	}
	want := "slack of receiver dba is unreachable\nalice works on it\nOpen INC-20261121-7KQ2: " + m.Links.Incident + "\nResolve: " + m.Links.Resolve
	if !strings.HasSuffix(got.Description, want) {
		t.Errorf("description: got %q, want %q at its end", got.Description, want)
	}
}

func TestJSMDefaults(t *testing.T) {
	o, s := startJSM(t, "")
	ours, opsgenie := start(t, "")
	m := targettest.Message(notify.Opened)
	send(t, s, m)
	send(t, opsgenie, targettest.Message(notify.Opened))
	got, want := o.Alerts()[0], ours.Alerts()[0]
	if got.Message != want.Message || got.Description != want.Description || got.Source != want.Source || got.Priority != "P1" {
		t.Errorf("got %+v, want %+v with priority P1", got, want)
	}
}

func TestAPIURLs(t *testing.T) {
	for api, want := range map[string]string{
		"https://api.opsgenie.com/":                        "https://api.opsgenie.com/v2/alerts",
		"https://api.eu.opsgenie.com":                      "https://api.eu.opsgenie.com/v2/alerts",
		"https://api.atlassian.com/jsm/ops/integration/":   "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
		"https://api.atlassian.com/jsm/ops/integration/v2": "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
		DefaultJSM: "https://api.atlassian.com/jsm/ops/integration/v2/alerts",
	} {
		u, err := url.Parse(api)
		if err != nil {
			t.Fatal(err)
		}
		if got := alertsURL(u).String(); got != want {
			t.Errorf("alertsURL(%s) = %s, want %s", api, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		block string
		field string
	}{
		"no key":            {"message: x", "api_key"},
		"two keys":          {"api_key: x\napi_key_file: /x", "api_key_file"},
		"no URL":            {"api_key: x\napi_url: 'ftp://x'", "api_url"},
		"password in a URL": {"api_key: x\napi_url: 'https://a:b@example.com'", "api_url"},
		"nobody":            {"api_key: x\nresponders: [{type: team}]", "responders[0]"},
		"no such type":      {"api_key: x\nresponders: [{type: team, name: a}, {type: group, name: a}]", "responders[1].type"},
		"priority":          {"api_key: x\npriority: high", "priority"},
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(test.block), &c); err != nil {
			t.Fatal(err)
		}
		if got := c.Problems(); len(got) != 1 || got[test.field] == "" {
			t.Errorf("%s: got %v, want one of %s", name, got, test.field)
		}
	}
	good := Config{APIKeyFile: "/x", Responders: []Responder{{Name: "a", Type: "{{ .x }}"}, {Name: "b", Type: "Teams"}}, Priority: "p2"}
	if got := good.Problems(); len(got) != 0 {
		t.Errorf("a good block has problems: %v", got)
	}
}

func TestFailures(t *testing.T) {
	for kind, start := range map[string]func(*testing.T, string) (*targettest.Opsgenie, *Sender){"opsgenie": start, "jsm": startJSM} {
		t.Run(kind, func(t *testing.T) {
			targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
				o, s := start(t, "")
				return targettest.Trial{Server: &o.Server, Sender: s, Secrets: []string{targettest.OpsgenieKey}, Told: func(t *testing.T) {
					if got := o.Alerts(); len(got) != 1 || got[0].State != "open" {
						t.Errorf("got %+v, want one that is open", got)
					}
				}}
			})
		})
	}
}

func TestInvalidIsPermanent(t *testing.T) {
	o, s := start(t, "")
	o.Fail(targettest.Failure{Status: http.StatusUnprocessableEntity, Body: `{"message":"Request body is not processable"}`})
	_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	var e *notify.Error
	if !errors.As(err, &e) || !e.Permanent || !strings.Contains(e.Error(), "not processable") {
		t.Errorf("got %v, want a permanent error with what Opsgenie says", err)
	}
}

func TestAnswerOfSomethingElse(t *testing.T) {
	o, s := start(t, "")
	o.Fail(targettest.Failure{Status: http.StatusAccepted, Body: `{"result":"ok"}`})
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); err == nil {
		t.Error("an answer without an id of the request: got no error")
	}
}

// TestStoppedBetweenRequests: what a message is made of is all sent again.
func TestStoppedBetweenRequests(t *testing.T) {
	o, s := start(t, "update_alerts: true")
	send(t, s, targettest.Message(notify.Opened))
	for n := range 4 {
		o.FailAfter(n, targettest.Failure{After: true})
		if _, err := s.Send(t.Context(), already(notify.Updated)); err == nil {
			t.Fatalf("request %d: got no error", n)
		}
		send(t, s, already(notify.Updated))
		if got := o.Alerts(); len(got) != 1 || got[0].State != "acknowledged" {
			t.Errorf("after request %d: got %+v, want one that is acknowledged", n, got)
		}
	}
}

func TestKeyFileIsReadAtEachMessage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	o := targettest.NewOpsgenie(t)
	o.ExpectRefusals()
	s := newSender(t, "api_key_file: "+file+"\napi_url: "+o.URL+"/")
	for _, key := range []string{"", "the-old-key"} {
		if key != "" {
			if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
		var e *notify.Error
		if !errors.As(err, &e) || e.Permanent || e.Reason != notify.ReasonAuth || strings.Contains(e.Error(), "the-old-key") {
			t.Errorf("with %q: got %v, want one of authorisation that may pass", key, err)
		}
	}
	if err := os.WriteFile(file, []byte(targettest.OpsgenieKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	send(t, s, targettest.Message(notify.Opened))
}

func TestFailingTemplates(t *testing.T) {
	const bad = `'{{ template "nothing" . }}'`
	o, s := start(t, "message: "+bad+"\ndescription: "+bad+"\nsource: "+bad+"\nentity: "+bad+"\ntags: "+bad+"\nactions: "+bad+"\nnote: "+bad+"\npriority: "+bad+
		"\ndetails: {x: "+bad+"}\nresponders: [{type: team, name: "+bad+"}]")
	m := targettest.Message(notify.Opened)
	send(t, s, m)
	got := o.Alerts()[0]
	if got.Message != m.Headline() || !strings.Contains(got.Description, "disk of db-1 is full") || got.Source != "Tocsin" || got.Priority != "P1" {
		t.Errorf("got %+v, want the built-in words", got)
	}
	if len(m.Failed()) != 10 {
		t.Errorf("got %d failures, want 10: %v", len(m.Failed()), m.ErrTemplates())
	}
}

func TestWhatOpsgenieWouldRefuseIsLeftOut(t *testing.T) {
	o, s := start(t, `
priority: 'very high'
tags: '{{ range $n, $a := .Alerts }}{{ end }}`+strings.Repeat("tag-abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz,", 3)+strings.Repeat("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,", 1)+`'
responders:
- {type: '{{ .CommonLabels.nothing }}', name: a}
- {type: team, name: '{{ .CommonLabels.nothing }}'}
- {type: team, name: dba}
`)
	m := targettest.Message(notify.Opened)
	m.Incident.Labels["x"] = strings.Repeat("x", 9000)
	m.More = 1 // so that the labels are the incident's
	send(t, s, m)
	got := o.Alerts()[0]
	if got.Priority != "P1" || len(got.Responders) != 1 || got.Responders[0]["name"] != "dba" || len(got.Tags) != 20 {
		t.Errorf("got %+v, want priority P1, one responder and 20 tags", got)
	}
	if got.Details["alertname"] != "DiskFull" || !strings.HasSuffix(got.Details["x"].(string), "…") {
		t.Errorf("details: got %.200v, want all that fits", got.Details)
	}
}

func TestHostileTexts(t *testing.T) {
	const fromLabels = `
message: '{{ .CommonLabels.x }}'
description: '{{ .CommonLabels.x }}'
source: '{{ .CommonLabels.x }}'
details: {x: '{{ .CommonLabels.x }}', '{{ .CommonLabels.x }}': y}
entity: '{{ .CommonLabels.x }}'
responders: [{type: '{{ .CommonLabels.x }}', name: '{{ .CommonLabels.x }}'}, {type: team, name: '{{ .CommonLabels.x }}'}]
actions: '{{ .CommonLabels.x }}'
tags: '{{ .CommonLabels.x }}'
note: '{{ .CommonLabels.x }}'
priority: '{{ .CommonLabels.x }}'
`
	for n, text := range targettest.HostileTexts() {
		for name, more := range map[string]string{"defaults": "", "from labels": fromLabels, "updates": fromLabels + "\nupdate_alerts: true"} {
			o, s := start(t, more)
			send(t, s, targettest.Hostile(targettest.Message(notify.Opened), text))
			send(t, s, targettest.Hostile(targettest.Message(notify.Acknowledged), text))
			got := o.Alerts()[0] // the server has checked all lengths
			if got.State != "acknowledged" || got.Message == "" {
				t.Errorf("%s, text %d: got %+v", name, n, got)
			}
			for _, shown := range append([]string{got.Message, got.Description, got.Entity, got.Source}, got.Notes...) {
				for _, bad := range []string{"<a", "<s", "<i", "<at", "<h", "\u202e", "\r"} {
					if strings.Contains(shown, bad) {
						t.Errorf("%s, text %d: %q is shown in %.300q", name, n, bad, shown)
					}
				}
			}
		}
	}
}
