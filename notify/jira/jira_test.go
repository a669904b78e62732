package jira

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	amjira "github.com/prometheus/alertmanager/notify/jira"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

// loaded is the block as Alertmanager's loader makes it.
func loaded(t *testing.T, block string) *amjira.JiraConfig {
	t.Helper()
	text := "route: {receiver: a}\nreceivers:\n- name: a\n  jira_configs:\n  - " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
	c, err := config.Load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c.Receivers[0].JiraConfigs[0]
}

// kind is a kind of Jira and the version of its API.
type kind struct {
	name, version, apiType string
	cloud                  bool
}

var kinds = []kind{{"data center", "2", "datacenter", false}, {"cloud, version 2", "2", "cloud", true}, {"cloud, version 3", "3", "cloud", true}}

func block(j *targettest.Jira, k kind, more string) string {
	return "api_url: " + j.API(k.version) + "\napi_type: " + k.apiType + "\nproject: OPS\nissue_type: Incident\nresolve_transition: Resolve\n" +
		"http_config: {basic_auth: {username: " + targettest.JiraUser + ", password: " + targettest.JiraToken + "}}\n" + more
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
func start(t *testing.T, k kind, more string) (*targettest.Jira, *Sender) {
	j := targettest.NewJira(t, k.cloud)
	return j, newSender(t, block(j, k, more))
}

// send sends messages one after the other; each has what the one before remembered.
func send(t *testing.T, s notify.Sender, memory notify.Memory, all ...*notify.Message) notify.Memory {
	t.Helper()
	for _, m := range all {
		m.Memory = memory
		got, err := s.Send(t.Context(), m)
		if err != nil {
			t.Fatalf("%s: %v", m.Event, err)
		}
		if got != nil {
			memory = got
		}
	}
	return memory
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

// cycle is a message about a later cycle of the incident.
func cycle(e notify.Event, reopens int) *notify.Message {
	m := targettest.Message(e)
	m.Incident.Reopens = reopens
	return m
}

const everyField = `
summary: 'about {{ .CommonLabels.service }}'
description: 'more about {{ .CommonLabels.service }}'
labels: ['team-{{ .CommonLabels.service }}', 'alertmanager']
priority: '{{ if eq .Status "firing" }}Highest{{ else }}Low{{ end }}'
reopen_transition: Reopen
reopen_duration: 1h
wont_fix_resolution: "Won't Do"
fields:
  customfield_10000: '{{ .CommonLabels.service }}'
  customfield_10001: {value: '{{ .CommonLabels.alertname }}'}
  customfield_10002: [{name: 'one'}, {name: '{{ .CommonLabels.service }}'}]
  customfield_10003: 42
`

const docTemplate = `description: '{"version":1,"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":{{ .CommonLabels.service | toJson }}}]}]}'`

func TestControl(t *testing.T) {
	for _, k := range kinds {
		for name, more := range map[string]string{"defaults": "", "every field": everyField} {
			t.Run(k.name+" "+name, func(t *testing.T) {
				if k.version == "3" {
					more = strings.Replace(more, "description: 'more about {{ .CommonLabels.service }}'", "", 1) + "\n" + docTemplate
				}
				j, c := targettest.NewJira(t, k.cloud), targettest.NewControl(t)
				n, err := amjira.New(loaded(t, block(j, k, more)), c.Templates, c.Log)
				if err != nil {
					t.Fatal(err)
				}
				c.Notify(t, n, targettest.Message(notify.Opened))
				c.Notify(t, n, targettest.Message(notify.Updated))
				c.Notify(t, n, targettest.Message(notify.Resolved))
				got := j.Issues()
				if len(got) != 1 || !got[0].Done || strings.Join(got[0].Log, " ") != "create edit edit Resolve" {
					t.Fatalf("got %+v, want one that is done", got)
				}
				c.Notify(t, n, targettest.Message(notify.Opened))
				if got = j.Issues(); name == "every field" && (len(got) != 1 || got[0].Done) || name == "defaults" && len(got) != 2 {
					t.Errorf("opened again: got %+v, want it reopened if that is configured, else another one", got)
				}
			})
		}
	}
}

// TestFieldsAreThoseOfTheModule compares what both make of the same block.
func TestFieldsAreThoseOfTheModule(t *testing.T) {
	k := kinds[0]
	theirs, c := targettest.NewJira(t, k.cloud), targettest.NewControl(t)
	n, err := amjira.New(loaded(t, block(theirs, k, everyField)), c.Templates, c.Log)
	if err != nil {
		t.Fatal(err)
	}
	c.Notify(t, n, targettest.Message(notify.Opened))
	ours, s := start(t, k, everyField)
	m := targettest.Message(notify.Opened)
	send(t, s, nil, m)
	got, want := ours.Issues()[0], theirs.Issues()[0]
	if got.Summary != want.Summary || got.Priority != want.Priority || got.Type != want.Type || !strings.HasPrefix(got.Description.(string), want.Description.(string)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := []string{"team-db", "alertmanager", m.Key()}; !slices.Equal(got.Labels, want) {
		t.Errorf("labels: got %v, want %v", got.Labels, want)
	}
	for name, v := range want.Fields {
		if !equal(got.Fields[name], v) {
			t.Errorf("%s: got %v, want %v", name, got.Fields[name], v)
		}
	}
}

func equal(a, b any) bool {
	x, errX := jsonText(a)
	y, errY := jsonText(b)
	return errX == nil && errY == nil && x == y
}

func TestEvents(t *testing.T) {
	const acknowledged, taken = "(INC-20261121-7KQ2 acknowledged 2026-11-21T03:00:00Z)", "(INC-20261121-7KQ2 no longer acknowledged 2026-11-21T03:00:00Z)"
	for name, test := range map[string]struct {
		messages []*notify.Message
		done     bool
		log      string
		comments []string
	}{
		"opened":                         {messages(notify.Opened), false, "create", nil},
		"updated":                        {messages(notify.Opened, notify.Updated), false, "create edit", nil},
		"repeated":                       {messages(notify.Opened, notify.Repeated), false, "create edit", nil},
		"acknowledged":                   {messages(notify.Opened, notify.Acknowledged), false, "create edit comment", []string{"alice: acknowledged: on it " + acknowledged}},
		"no longer acknowledged":         {messages(notify.Opened, notify.Acknowledged, notify.Unacknowledged), false, "create edit comment edit comment", []string{"alice: acknowledged: on it " + acknowledged, "alice: acknowledgement taken back " + taken}},
		"resolved":                       {messages(notify.Opened, notify.Resolved), true, "create edit Resolve", nil},
		"acknowledged before the first":  {[]*notify.Message{already(notify.Opened)}, false, "create comment", []string{"alice: acknowledged: on it " + acknowledged}},
		"updated while acknowledged":     {append(messages(notify.Opened), already(notify.Updated)), false, "create edit", nil},
		"the same twice, opened":         {messages(notify.Opened, notify.Opened), false, "create edit", nil},
		"the same twice, acknowledged":   {messages(notify.Opened, notify.Acknowledged, notify.Acknowledged), false, "create edit comment edit", []string{"alice: acknowledged: on it " + acknowledged}},
		"the same twice, resolved":       {messages(notify.Opened, notify.Resolved, notify.Resolved), true, "create edit Resolve", nil},
		"acknowledged, twice, the first": {[]*notify.Message{already(notify.Opened), already(notify.Opened)}, false, "create comment edit", []string{"alice: acknowledged: on it " + acknowledged}},
	} {
		for _, k := range kinds {
			for _, remembers := range []bool{true, false} {
				j, s := start(t, k, "")
				t.Run(k.name+" "+name, func(t *testing.T) {
					var memory notify.Memory
					for _, m := range test.messages {
						if memory = send(t, s, memory, m); !remembers {
							memory = nil // as if we had been stopped before it was recorded
						}
					}
					got := j.Issues()
					if len(got) != 1 || got[0].Done != test.done || strings.Join(got[0].Log, " ") != test.log {
						t.Fatalf("got %+v, want one, done: %t, by %s", got, test.done, test.log)
					}
					checkComments(t, got[0].Comments, test.comments)
				})
			}
		}
	}
}

func checkComments(t *testing.T, got []any, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d comments, want %d: %v", len(got), len(want), got)
	}
	for n := range want {
		if text := shown(got[n].(map[string]any)["body"]); text != want[n] {
			t.Errorf("comment %d: got %q, want %q", n, text, want[n])
		}
	}
}

// shown is the text of a description or a comment.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if v["type"] == "hardBreak" {
			return "\n"
		}
		if text, ok := v["text"].(string); ok {
			return text
		}
		text := shown(v["content"])
		if v["type"] == "paragraph" {
			text += "\n\n"
		}
		if v["type"] == "doc" {
			text = strings.TrimSpace(text)
		}
		return text
	case []any:
		var b strings.Builder
		for _, one := range v {
			b.WriteString(shown(one))
		}
		return b.String()
	}
	return ""
}

func TestResolvedWithoutAnIssue(t *testing.T) {
	j, s := start(t, kinds[0], "")
	if memory := send(t, s, nil, targettest.Message(notify.Resolved)); memory != nil || len(j.Issues()) != 0 {
		t.Errorf("got %v and %v, want nothing", memory, j.Issues())
	}
}

func TestReopens(t *testing.T) {
	const reopen = "reopen_transition: Reopen\nreopen_duration: 30m\nwont_fix_resolution: \"Won't Do\"\n"
	for name, test := range map[string]struct {
		more string
		// closedAs is what a person closed it as; empty means that the incident was resolved.
		closedAs string
		after    time.Duration
		want     string
	}{
		"in time":               {reopen, "", 10 * time.Minute, "reopened"},
		"too late":              {reopen, "", 31 * time.Minute, "another"},
		"not configured":        {"", "", time.Minute, "another"},
		"no duration":           {"reopen_transition: Reopen", "", time.Minute, "another"},
		"closed by a person":    {reopen, "Done", 10 * time.Minute, "reopened"},
		"will not be fixed":     {reopen, "Won't Do", time.Minute, "another"},
		"closed without saying": {reopen, "Fixed", 29 * time.Minute, "reopened"},
	} {
		for _, k := range kinds {
			for _, remembers := range []bool{true, false} {
				j, s := start(t, k, test.more)
				t.Run(k.name+" "+name, func(t *testing.T) {
					memory := send(t, s, nil, messages(notify.Opened)...)
					if test.closedAs == "" {
						memory = send(t, s, memory, messages(notify.Resolved)...)
					} else {
						j.CloseIssue(memory[memoryIssue], test.closedAs)
					}
					later := targettest.SentAt.Add(test.after)
					j.Set(later, 0)
					if !remembers {
						memory = nil
					}
					m := cycle(notify.Opened, 1)
					m.SentAt = later
					send(t, s, memory, m)
					got := j.Issues()
					if test.want == "another" && (len(got) != 2 || got[1].Done || !slices.Contains(got[1].Labels, m.Key())) {
						t.Errorf("remembers %t: got %+v, want another issue", remembers, got)
					}
					if test.want == "reopened" && (len(got) != 1 || got[0].Done || !slices.Contains(got[0].Labels, m.Key())) {
						t.Errorf("remembers %t: got %+v, want it reopened", remembers, got)
					}
				})
			}
		}
	}
}

// TestSearchThatLags: what was created is not found at once.
func TestSearchThatLags(t *testing.T) {
	j, s := start(t, kinds[2], "")
	j.Set(targettest.SentAt, 1000)
	send(t, s, nil, messages(notify.Opened, notify.Updated, notify.Acknowledged, notify.Resolved)...)
	if got := j.Issues(); len(got) != 1 || !got[0].Done {
		t.Errorf("got %+v, want one that is done", got)
	}
}

// TestStoppedBetweenRequests: all that a message is made of is done in the end,
// once, wherever it was cut off.
func TestStoppedBetweenRequests(t *testing.T) {
	for name, test := range map[string]struct {
		before []*notify.Message
		then   *notify.Message
		// once is what happens once, whatever else does.
		once []string
	}{
		"opened":       {nil, already(notify.Opened), []string{"create", "comment"}},
		"acknowledged": {messages(notify.Opened), targettest.Message(notify.Acknowledged), []string{"create", "comment"}},
		"resolved":     {messages(notify.Opened), targettest.Message(notify.Resolved), []string{"create", "Resolve"}},
	} {
		for _, k := range kinds {
			for cut := range 4 {
				j, s := start(t, k, "")
				memory := send(t, s, nil, test.before...)
				earlier := len(j.Requests())
				j.FailAfter(cut, targettest.Failure{After: true})
				test.then.Memory = memory
				_, err := s.Send(t.Context(), test.then)
				// What only reads is read again by the client itself.
				if r := j.Requests()[earlier+cut]; err == nil && r.Method != http.MethodGet {
					t.Errorf("%s, %s, cut at %s %s: got no error", k.name, name, r.Method, r.Path)
				}
				send(t, s, memory, test.then)
				got := j.Issues()
				if len(got) != 1 || got[0].Done != test.then.Resolved() {
					t.Fatalf("%s, %s, cut after %d: got %+v, want one issue", k.name, name, cut, got)
				}
				for _, action := range test.once {
					if n := strings.Count(strings.Join(got[0].Log, " "), action); n != 1 {
						t.Errorf("%s, %s, cut after %d: got %d times %s, want once: %v", k.name, name, cut, n, action, got[0].Log)
					}
				}
			}
		}
	}
}

// TestGarbageAnywhere: a page of something else is no answer of Jira's.
func TestGarbageAnywhere(t *testing.T) {
	for _, then := range []notify.Event{notify.Acknowledged, notify.Resolved} {
		for _, k := range kinds {
			for cut := range 4 {
				j, s := start(t, k, "")
				memory := send(t, s, nil, messages(notify.Opened)...)
				j.FailAfter(cut, targettest.Failure{Status: http.StatusOK, Body: "<html>"})
				m := targettest.Message(then)
				m.Memory = memory
				var e *notify.Error
				_, err := s.Send(t.Context(), m)
				if !errors.As(err, &e) || e.Permanent || e.Reason != notify.ReasonOther {
					t.Errorf("%s, %s, request %d: got %v, want an error that may pass", k.name, then, cut, err)
				}
				send(t, s, memory, m)
				if got := j.Issues(); len(got) != 1 || got[0].Done != m.Resolved() {
					t.Errorf("%s, %s, request %d: got %+v, want one", k.name, then, cut, got)
				}
			}
		}
	}
}

func TestIssueThatWasDeleted(t *testing.T) {
	j, s := start(t, kinds[1], "")
	memory := send(t, s, nil, messages(notify.Opened)...)
	j.Delete(memory[memoryIssue])
	m := targettest.Message(notify.Updated)
	memory = send(t, s, memory, m)
	if got := j.Issues(); len(got) != 1 || got[0].Key != memory[memoryIssue] || !slices.Contains(got[0].Labels, m.Key()) {
		t.Errorf("got %+v, want another one, which is remembered", got)
	}
}

func TestIncompleteBlock(t *testing.T) {
	if _, err := New(&amjira.JiraConfig{}, nil, nil); err == nil || !strings.Contains(err.Error(), "api_url is missing") {
		t.Errorf("without api_url: got %v", err)
	}
}

func TestUnknownOutcomeOnCloudWaitsForTheSearch(t *testing.T) {
	for _, k := range kinds {
		j, s := start(t, k, "")
		j.FailAfter(1, targettest.Failure{After: true}) // the search, then the creation
		_, err := s.Send(t.Context(), targettest.Message(notify.Opened))
		var e *notify.Error
		want := time.Duration(0)
		if k.cloud {
			want = searchable
		}
		if !errors.As(err, &e) || e.Permanent || e.RetryAfter != want {
			t.Errorf("%s: got %v, want an error that is tried again after %s", k.name, err, want)
		}
		send(t, s, nil, messages(notify.Opened)...)
		if got := j.Issues(); len(got) != 1 {
			t.Errorf("%s: got %+v, want one", k.name, got)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
				j, s := start(t, k, "")
				return targettest.Trial{Server: &j.Server, Sender: s, Secrets: []string{targettest.JiraToken}, Told: func(t *testing.T) {
					if got := j.Issues(); len(got) != 1 || got[0].Done {
						t.Errorf("got %+v, want one that is open", got)
					}
				}}
			})
		})
	}
}

func TestFieldsThatTheProjectDoesNotHave(t *testing.T) {
	for _, k := range kinds {
		j, s := start(t, k, "fields: {customfield_1: a, customfield_2: b}\npriority: High\nlabels: [x]")
		j.Set(targettest.SentAt, 0, "priority")
		memory := send(t, s, nil, messages(notify.Opened)...)
		j.Set(targettest.SentAt, 0, "customfield_2")
		send(t, s, memory, messages(notify.Updated)...)
		got := j.Issues()
		if len(got) != 1 || strings.Join(got[0].Log, " ") != "create edit" || got[0].Priority != "High" || got[0].Fields["customfield_2"] != "b" {
			t.Errorf("%s: got %+v, want one with all that the project has", k.name, got)
		}
	}
	j, s := start(t, kinds[0], "labels: [x]")
	j.Set(targettest.SentAt, 0, "label x", "priority")
	m := targettest.Message(notify.Opened)
	memory := send(t, s, nil, m)
	for _, log := range []string{"create", "create edit"} {
		if got := j.Issues(); len(got) != 1 || strings.Join(got[0].Log, " ") != log || !slices.Equal(got[0].Labels, []string{m.Key()}) {
			t.Errorf("with a label that is forbidden: got %+v, want one with our label, by %s", got, log)
		}
		send(t, s, memory, messages(notify.Updated)...)
	}
	j, s = start(t, kinds[0], "")
	j.Set(targettest.SentAt, 0, "summary")
	var e *notify.Error
	if _, err := s.Send(t.Context(), targettest.Message(notify.Opened)); !errors.As(err, &e) || !e.Permanent || !strings.Contains(e.Error(), "appropriate screen") {
		t.Errorf("without a summary: got %v, want a permanent error with what Jira says", err)
	}
}

func TestNoSuchTransition(t *testing.T) {
	_, s := start(t, kinds[0], "")
	s.config.ResolveTransition = "Finish"
	memory := send(t, s, nil, messages(notify.Opened)...)
	m := targettest.Message(notify.Resolved)
	m.Memory = memory
	var e *notify.Error
	if _, err := s.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent || !strings.Contains(e.Error(), `"Finish"`) {
		t.Errorf("got %v, want a permanent error that names the transition", err)
	}
}

func TestPeoplesLabelsRemain(t *testing.T) {
	j, s := start(t, kinds[0], "labels: ['a label with spaces', 'a label with spaces', '{{ .CommonLabels.nothing }}']")
	memory := send(t, s, nil, messages(notify.Opened)...)
	j.Label(memory[memoryIssue], "by-hand")
	send(t, s, memory, messages(notify.Updated)...)
	if got, want := j.Issues()[0].Labels, []string{"a_label_with_spaces", targettest.Message(notify.Opened).Key(), "by-hand"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUpdatesThatAreDisabled(t *testing.T) {
	j, s := start(t, kinds[0], "summary: {template: 'first {{ .Alerts | len }}', enable_update: false}\ndescription: {template: 'first {{ .Alerts | len }}', enable_update: false}")
	memory := send(t, s, nil, messages(notify.Opened)...)
	m := targettest.Message(notify.Updated)
	m.Alerts = m.Alerts[:1]
	send(t, s, memory, m)
	if got := j.Issues()[0]; got.Summary != "first 2" || !strings.HasPrefix(got.Description.(string), "first 2") {
		t.Errorf("got %+v, want what it was at first", got)
	}
}

func TestSaysMore(t *testing.T) {
	for _, k := range kinds {
		j, s := start(t, k, "")
		m := already(notify.Updated)
		m.Remark = "slack of receiver dba is unreachable"
		send(t, s, nil, m)
		text := shown(j.Issues()[0].Description)
		for _, want := range []string{"slack of receiver dba is unreachable", "alice works on it", "Open INC-20261121", "Resolve"} {
			if !strings.Contains(strings.ReplaceAll(text, `\`, ""), want) {
				t.Errorf("%s: got %q, want %q in it", k.name, text, want)
			}
		}
	}
}

func TestAPIType(t *testing.T) {
	for _, test := range []struct {
		url, apiType string
		cloud        bool
	}{
		{"https://example.atlassian.net/rest/api/2", "auto", true}, {"https://api.atlassian.com/ex/jira/1/rest/api/3", "auto", true},
		{"https://jira.example.com/rest/api/2", "auto", false}, {"https://jira.example.com/rest/api/2", "cloud", true},
		{"https://example.atlassian.net/rest/api/2", "datacenter", false}, {"https://evilatlassian.net/rest/api/2", "auto", false},
	} {
		c := loaded(t, "api_url: "+test.url+"\napi_type: "+test.apiType+"\nproject: OPS\nissue_type: Bug")
		if got := isCloud(c); got != test.cloud {
			t.Errorf("%s of type %s: cloud is %t, want %t", test.url, test.apiType, got, test.cloud)
		}
	}
}

func TestFailingTemplates(t *testing.T) {
	const bad = `'{{ template "nothing" . }}'`
	for _, k := range kinds {
		j, s := start(t, k, "summary: "+bad+"\ndescription: "+bad+"\npriority: "+bad+"\nlabels: ["+bad+"]\nfields: {customfield_1: "+bad+"}")
		m := targettest.Message(notify.Opened)
		send(t, s, nil, m)
		got := j.Issues()[0]
		if got.Summary != m.Headline() || !strings.Contains(strings.ReplaceAll(shown(got.Description), `\`, ""), "disk of db-1 is full") {
			t.Errorf("%s: got %+v, want the built-in words", k.name, got)
		}
		if len(m.Failed()) != 5 {
			t.Errorf("%s: got %d failures, want 5: %v", k.name, len(m.Failed()), m.ErrTemplates())
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := quote("a\" or \\\n project = \"b"), `"a\" or \\  project = \"b"`; got != want {
		t.Errorf("quote() = %s, want %s", got, want)
	}
	j, s := start(t, kinds[0], "")
	s.config.Project = `{{ .CommonLabels.x }}`
	j.ExpectRefusals()
	for _, text := range append(targettest.HostileTexts(), `" or statusCategory != Done or project = "OPS`) {
		m := targettest.Hostile(targettest.Message(notify.Opened), text)
		if _, err := s.Send(t.Context(), m); err == nil {
			t.Errorf("project %.40q: got no error", text)
		}
	}
	for _, r := range j.Requests() {
		if strings.HasPrefix(r.Refused, "JQL") {
			t.Errorf("the query is broken: %s: %.300s", r.Refused, r.Body)
		}
	}
}

func TestHostileTexts(t *testing.T) {
	const fromLabels = `
summary: '{{ .CommonLabels.x }}'
description: 'first {{ .CommonLabels.x }} then {{ .CommonLabels.x }}'
labels: ['{{ .CommonLabels.x }}']
fields: {customfield_1: '{{ .CommonLabels.x }}', customfield_2: {value: '{{ .CommonLabels.x }}'}}
`
	more := []string{"[~admin]", "!https://evil.example.com/x.png!", "[x|https://evil.example.com]", "{html}x{html}", "h1. x\n* y\n----\n||z||", "a {color:red}b{color} -c-"}
	for n, text := range append(more, targettest.HostileTexts()...) {
		for _, k := range kinds {
			for name, more := range map[string]string{"defaults": "", "from labels": fromLabels} {
				j, s := start(t, k, more)
				opened, acknowledged := targettest.Hostile(targettest.Message(notify.Opened), text), targettest.Hostile(targettest.Message(notify.Acknowledged), text)
				send(t, s, nil, opened, acknowledged)
				got := j.Issues() // the server has checked all lengths
				if len(got) != 1 || got[0].Summary == "" {
					t.Fatalf("%s, %s, text %d: got %+v", k.name, name, n, got)
				}
				checkLive(t, got[0], text)
			}
		}
	}
}

// checkLive checks that nothing of an issue is alive that an alert brought, but a
// URL which is all there is to a text and shows where it leads.
func checkLive(t *testing.T, i targettest.JiraIssue, text string) {
	t.Helper()
	ours := []string{"https://tocsin.example.com/"}
	for _, live := range i.Live {
		if !strings.HasPrefix(live, ours[0]) {
			t.Errorf("%.40q: %s is alive", text, live)
		}
	}
	if notify.WebURL(text) != "" {
		ours = append(ours, text)
	}
	texts := []any{i.Description}
	for _, c := range i.Comments {
		texts = append(texts, c.(map[string]any)["body"])
	}
	for _, v := range texts {
		markup, isText := v.(string)
		if !isText {
			continue
		}
		// The module's template writes a list of its own.
		if live := targettest.WikiLive(markup, ours...); len(live) > 0 {
			t.Errorf("%.40q: alive: %q in %.600q", text, live, markup)
		}
	}
	for name, v := range i.Fields {
		if choice, ok := v.(map[string]any); ok {
			v = choice["value"]
		}
		if s, ok := v.(string); ok && (strings.Contains(s, "[~") || strings.Contains(s, "!http") || strings.Contains(s, "|http")) {
			t.Errorf("%.40q: %s is alive: %q", text, name, s)
		}
	}
}

func TestWiki(t *testing.T) {
	for text, want := range map[string]string{
		"disk of db-1 is full, 5 < 6":     "disk of db-1 is full, 5 < 6",
		"a_b -c- *d*":                     `a_b \-c\- \*d\*`,
		"[~admin] {code}x{code}":          `\[\~admin\] \{code\}x\{code\}`,
		`C:\x\\y`:                         "C:&#92;x&#92;&#92;y",
		"h1. x\nbq. y\n# z":               "h1&#46; x\nbq&#46; y\n\\# z",
		"see https://evil.example.com/":   "see https&#58;//evil.example.com/",
		"https://x.example.com/a?b=c&d=e": "https://x.example.com/a?b=c&d=e",
		"https://x.example.com/{a}~b":     "https://x.example.com/%7Ba%7D%7Eb",
	} {
		if got := wiki(text); got != want {
			t.Errorf("wiki(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"a choice: Sev-1 (db_1)": "a choice: Sev-1 (db_1)", "[~admin]": "[ ~admin]", "!https://evil.example.com/x.png!": "! https://evil.example.com/x.png!",
		"[x|https://evil.example.com]": "[x| https://evil.example.com]", "[HTTPS://evil.example.com]": "[ HTTPS://evil.example.com]",
	} {
		if got := harmless(text); got != want {
			t.Errorf("harmless(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestDocuments(t *testing.T) {
	m := targettest.Message(notify.Opened)
	for name, test := range map[string]struct {
		template, service, want string
		// nodes is how many nodes the first paragraph has.
		nodes int
	}{
		"encoded":             {docTemplate, `a "b" \c`, `a "b" \c`, 1},
		"not encoded":         {`description: '{"version":1,"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"{{ .CommonLabels.service }}"}]}]}'`, "plain", "plain", 1},
		"not encoded, broken": {`description: '{"version":1,"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"{{ .CommonLabels.service }}"}]}]}'`, `a "b"`, "a ”b”", 1},
		"not encoded, an injection": {`description: '{"version":1,"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"{{ .CommonLabels.service }}"}]}]}'`,
			`x"},{"type":"mention","attrs":{"id":"all"}},{"type":"text","text":"y`, `x”},{”type”:”mention”,”attrs”:{”id”:”all”}},{”type”:”text”,”text”:”y`, 1},
		"text":                {"description: 'one {{ .CommonLabels.service }}'", "db", "one db", 1},
		"JSON of no document": {`description: '{"a": "{{ .CommonLabels.service }}"}'`, "db", `{"a": "db"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			j, s := start(t, kinds[2], test.template)
			one := *m
			one.Alerts = slices.Clone(m.Alerts)
			for n := range one.Alerts {
				a := *one.Alerts[n].Alert
				a.Labels = a.Labels.Clone().Set("service", test.service)
				one.Alerts[n].Alert = &a
			}
			send(t, s, nil, &one)
			got := j.Issues()[0]
			content := got.Description.(map[string]any)["content"].([]any)
			first := content[0].(map[string]any)["content"].([]any)
			if text := shown(first); text != test.want || len(first) != test.nodes {
				t.Errorf("got %q of %d nodes, want %q", text, len(first), test.want)
			}
			if !slices.Contains(got.Live, m.Links.Incident) {
				t.Errorf("got the links %v, want that of the incident", got.Live)
			}
		})
	}
}

func TestDocumentIsCut(t *testing.T) {
	doc := document(strings.Repeat(`"x"`+"\n\n", 20_000), targettest.Message(notify.Opened))
	text, err := jsonText(doc)
	if err != nil || wire.Length(text) > descriptionLimit || wire.Length(text) < descriptionLimit/3 {
		t.Errorf("got %d characters (%v), want nearly %d", wire.Length(text), err, descriptionLimit)
	}
}

func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
