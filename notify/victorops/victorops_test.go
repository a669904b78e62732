package victorops

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/config"
	amvictorops "github.com/prometheus/alertmanager/notify/victorops"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// loaded is the block as Alertmanager's loader makes it.
func loaded(t *testing.T, block string) *config.VictorOpsConfig {
	t.Helper()
	text := "route: {receiver: a}\nreceivers:\n- name: a\n  victorops_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
	c, err := config.Load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c.Receivers[0].VictorOpsConfigs[0]
}

func block(v *targettest.VictorOps, more string) string {
	return "api_key: " + targettest.VictorOpsKey + "\nrouting_key: " + targettest.VictorOpsRoute + "\napi_url: " + v.AlertURL() + "\n" + more
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
func start(t *testing.T, more string) (*targettest.VictorOps, *Sender) {
	v := targettest.NewVictorOps(t)
	return v, newSender(t, block(v, more))
}

func send(t *testing.T, s notify.Sender, m *notify.Message) {
	t.Helper()
	if _, err := s.Send(t.Context(), m); err != nil {
		t.Fatalf("%s: %v", m.Event, err)
	}
}

const everyField = `
message_type: '{{ if eq .Status "firing" }}WARNING{{ end }}'
entity_display_name: 'about {{ .CommonLabels.service }}'
state_message: 'more about {{ .CommonLabels.service }}'
monitoring_tool: 'a tool'
custom_fields: {region: '{{ .CommonLabels.service }}-1', vo_annotate.u.wiki: 'https://wiki.example.com/{{ .CommonLabels.service }}'}
`

func TestControl(t *testing.T) {
	for name, more := range map[string]string{"defaults": "", "every field": everyField} {
		t.Run(name, func(t *testing.T) {
			v, c := targettest.NewVictorOps(t), targettest.NewControl(t)
			n, err := amvictorops.New(loaded(t, block(v, more)), c.Templates, c.Log)
			if err != nil {
				t.Fatal(err)
			}
			c.Notify(t, n, targettest.Message(notify.Opened))
			c.Notify(t, n, targettest.Message(notify.Updated))
			c.Notify(t, n, targettest.Message(notify.Resolved))
			got := v.Incidents()
			for id, i := range got {
				if i.State != "resolved" || i.Opened != 1 {
					t.Errorf("%s: got %+v, want one that was opened once and is resolved", id, i)
				}
			}
			if len(got) != 1 {
				t.Errorf("got %d entities, want 1", len(got))
			}
		})
	}
}

// TestFieldsAreThoseOfTheModule compares what both make of the same block.
func TestFieldsAreThoseOfTheModule(t *testing.T) {
	theirs, c := targettest.NewVictorOps(t), targettest.NewControl(t)
	n, err := amvictorops.New(loaded(t, block(theirs, everyField)), c.Templates, c.Log)
	if err != nil {
		t.Fatal(err)
	}
	c.Notify(t, n, targettest.Message(notify.Opened))
	ours, s := start(t, everyField)
	send(t, s, targettest.Message(notify.Opened))
	got := ours.Incidents()[targettest.Message(notify.Opened).Key()].Fields
	for _, i := range theirs.Incidents() {
		for name, want := range i.Fields {
			if name != "entity_id" && got[name] != want {
				t.Errorf("%s: got %q, want %q", name, got[name], want)
			}
		}
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
		log      []string
	}{
		"opened":                         {messages(notify.Opened), "triggered", []string{critical}},
		"updated":                        {messages(notify.Opened, notify.Updated), "triggered", []string{critical, critical}},
		"repeated":                       {messages(notify.Opened, notify.Repeated), "triggered", []string{critical, critical}},
		"acknowledged":                   {messages(notify.Opened, notify.Acknowledged), "acknowledged", []string{critical, acknowledgement}},
		"no longer acknowledged":         {messages(notify.Opened, notify.Acknowledged, notify.Unacknowledged), "acknowledged", []string{critical, acknowledgement, critical}},
		"resolved":                       {messages(notify.Opened, notify.Resolved), "resolved", []string{critical, recovery}},
		"acknowledged before the first":  {[]*notify.Message{already(notify.Opened)}, "acknowledged", []string{critical, acknowledgement}},
		"updated while acknowledged":     {append(messages(notify.Opened), already(notify.Updated)), "acknowledged", []string{critical, critical, acknowledgement}},
		"the same twice, opened":         {messages(notify.Opened, notify.Opened), "triggered", []string{critical, critical}},
		"the same twice, acknowledged":   {messages(notify.Opened, notify.Acknowledged, notify.Acknowledged), "acknowledged", []string{critical, acknowledgement, acknowledgement}},
		"the same twice, resolved":       {messages(notify.Opened, notify.Resolved, notify.Resolved), "resolved", []string{critical, recovery, recovery}},
		"acknowledged, twice, the first": {[]*notify.Message{already(notify.Opened), already(notify.Opened)}, "acknowledged", []string{critical, acknowledgement, critical, acknowledgement}},
	} {
		t.Run(name, func(t *testing.T) {
			v, s := start(t, "")
			for _, m := range test.messages {
				send(t, s, m)
			}
			got := v.Incidents()
			one := got[test.messages[0].Key()]
			if len(got) != 1 || one.State != test.state || one.Opened != 1 || !slices.Equal(one.Log, test.log) {
				t.Errorf("got %+v, want one %s, opened once, by %v", got, test.state, test.log)
			}
			if last := test.log[len(test.log)-1]; last == acknowledgement && one.Fields["ack_author"] != "alice" {
				t.Errorf("acknowledged by %q, want alice", one.Fields["ack_author"])
			}
		})
	}
}

func TestMessageTypes(t *testing.T) {
	for text, want := range map[string]string{"WARNING": warning, "warning": warning, "INFO": info, "RECOVERY": critical, "''": critical, "'{{ .Nothing }}'": critical, "'{{ .RouteLabels.severity | toUpper }}'": critical} {
		_, s := start(t, "message_type: "+text)
		m := targettest.Message(notify.Opened)
		if got := s.kinds(m, s.templates.Texts(m, nil)); len(got) != 1 || got[0] != want {
			t.Errorf("message_type %s: got %v, want %s", text, got, want)
		}
	}
}

func TestSaysMore(t *testing.T) {
	v, s := start(t, "")
	m := already(notify.Updated)
	m.Remark = "slack of receiver dba is unreachable"
	send(t, s, m)
	got := v.Incidents()[m.Key()].Fields
	if !strings.HasSuffix(got["state_message"], "\n\nslack of receiver dba is unreachable\nalice works on it") {
		t.Errorf("state_message: got %q", got["state_message"])
	}
	if got["vo_annotate.u.Open INC-20261121-7KQ2"] != m.Links.Incident || got["vo_annotate.u.Resolve"] != m.Links.Resolve || got["vo_annotate.u.Acknowledge"] != "" {
		t.Errorf("links: got %v", got)
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		v, s := start(t, "")
		return targettest.Trial{Server: &v.Server, Sender: s, Secrets: []string{targettest.VictorOpsKey}, Told: func(t *testing.T) {
			if got := v.Incidents()[targettest.Message(notify.Opened).Key()]; got.State != "triggered" || got.Opened != 1 {
				t.Errorf("got %+v, want one that was triggered once", got)
			}
		}}
	})
}

func TestFailureWithTheStatusOfSuccess(t *testing.T) {
	v := targettest.NewVictorOps(t)
	v.ExpectRefusals()
	s := newSender(t, strings.Replace(block(v, ""), targettest.VictorOpsRoute, "nobody", 1))
	_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
	var e *notify.Error
	if !errors.As(err, &e) || e.Reason != notify.ReasonClient || !strings.Contains(e.Error(), "there is no route nobody") {
		t.Errorf("got %v, want what VictorOps says", err)
	}
}

func TestKeyAndRoute(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	v := targettest.NewVictorOps(t)
	s := newSender(t, "api_key_file: "+file+"\nrouting_key: '{{ .CommonLabels.route }}'\napi_url: "+v.AlertURL())
	m := targettest.Message(notify.Opened)
	for n := range m.Alerts {
		m.Alerts[n].Labels = m.Alerts[n].Labels.Set("route", targettest.VictorOpsRoute)
	}
	var e *notify.Error
	if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || e.Permanent {
		t.Errorf("without the file: got %v, want an error that may pass", err)
	}
	if err := os.WriteFile(file, []byte(targettest.VictorOpsKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	send(t, s, m)
	for _, route := range []string{"", "..", " "} {
		for n := range m.Alerts {
			m.Alerts[n].Labels = m.Alerts[n].Labels.Set("route", route)
		}
		if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent {
			t.Errorf("with the route %q: got %v, want a permanent error", route, err)
		}
	}
	v.ExpectRefusals()
	for n := range m.Alerts {
		m.Alerts[n].Labels = m.Alerts[n].Labels.Set("route", "../../other?x#y")
	}
	if _, err := s.Send(t.Context(), m); err == nil {
		t.Error("with a route that is a path: got no error")
	}
	all := v.Requests()
	if last := all[len(all)-1]; last.Query != "" || !strings.HasPrefix(last.Path, "/integrations/generic/20131114/alert/"+targettest.VictorOpsKey+"/") {
		t.Errorf("with a route that is a path: it went to %s?%s", last.Path, last.Query)
	}
}

func TestFailingTemplates(t *testing.T) {
	const bad = `'{{ template "nothing" . }}'`
	v, s := start(t, "message_type: "+bad+"\nentity_display_name: "+bad+"\nstate_message: "+bad+"\nmonitoring_tool: "+bad+"\ncustom_fields: {x: "+bad+", vo_annotate.u.x: "+bad+"}")
	m := targettest.Message(notify.Opened)
	send(t, s, m)
	got := v.Incidents()[m.Key()]
	if got.State != "triggered" || got.Fields["entity_display_name"] != m.Headline() || got.Fields["monitoring_tool"] != "Tocsin" || !strings.Contains(got.Fields["state_message"], "disk of db-1 is full") {
		t.Errorf("got %+v, want the built-in words", got)
	}
	if _, there := got.Fields["vo_annotate.u.x"]; there {
		t.Error("a link that is none was sent")
	}
	if len(m.Failed()) != 6 {
		t.Errorf("got %d failures, want 6: %v", len(m.Failed()), m.ErrTemplates())
	}
}

func TestHostileTexts(t *testing.T) {
	const fromLabels = `
message_type: '{{ .CommonLabels.x }}'
entity_display_name: '{{ .CommonLabels.x }}'
state_message: '{{ .CommonLabels.x }}'
monitoring_tool: '{{ .CommonLabels.x }}'
custom_fields: {x: '{{ .CommonLabels.x }}', '{{ .CommonLabels.x }}': y, vo_annotate.u.x: '{{ .CommonLabels.x }}'}
`
	for n, text := range targettest.HostileTexts() {
		for name, more := range map[string]string{"defaults": "", "from labels": fromLabels} {
			v, s := start(t, more)
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			send(t, s, m)
			send(t, s, targettest.Hostile(targettest.Message(notify.Acknowledged), text))
			got := v.Incidents()[m.Key()] // the server has checked all lengths
			if got.State != "acknowledged" {
				t.Errorf("%s, text %d: got %+v", name, n, got)
			}
			for field, shown := range got.Fields {
				for _, bad := range []string{"<a", "<s", "<i", "<at", "<h", "\u202e", "\r"} {
					if strings.Contains(shown, bad) {
						t.Errorf("%s, text %d: %s shows %q: %.300q", name, n, field, bad, shown)
					}
				}
			}
		}
	}
}
