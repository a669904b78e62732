package web_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web"
)

// TestProcessOverHTTP: each command shows in the answer, once.
func TestProcessOverHTTP(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	s.do(id, "acknowledge", `{"by":"ann"}`)
	// once does a command, and again, which changes nothing.
	once := func(command, body string) web.IncidentJSON {
		t.Helper()
		s.clock.add(time.Second)
		i := s.do(id, command, body)
		if again := s.do(id, command, body); again.Version != i.Version {
			t.Errorf("%s again: got version %d, want %d", command, again.Version, i.Version)
		}
		return i
	}
	if i := once("assign", `{"by":"ann","role":"technical_lead","who":"bob"}`); i.Roles["technical_lead"] != "bob" || i.Roles["incident_manager"] != "ann" {
		t.Errorf("assign: got %v", i.Roles)
	}
	if i := once("assign", `{"by":"ann","role":"technical_lead","who":""}`); i.Roles["technical_lead"] != "" {
		t.Errorf("assign nobody: got %v", i.Roles)
	}
	if i := once("assign", `{"by":"ann","team":"dba"}`); i.Team != "dba" {
		t.Errorf("team: got %s", i.Team)
	}
	if i := once("assess", `{"by":"ann","impact":"low","urgency":"medium","observations":"slow","category":"network"}`); i.Priority != "P4" || i.Assessment == nil ||
		i.Assessment.By != "ann" || i.Category != "network" {
		t.Errorf("assess: got %s, %+v, %s", i.Priority, i.Assessment, i.Category)
	}
	once("category", `{"by":"ann","category":"hardware"}`)
	once("level", `{"by":"ann","level":"major"}`)
	if i := once("work", `{"by":"cy","on":"the disk"}`); len(i.Working) != 1 || i.Working[0].On != "the disk" || i.Category != "hardware" || i.Level != "major" {
		t.Errorf("work: got %+v, %s, %s", i.Working, i.Category, i.Level)
	}
	once("rest", `{"by":"cy"}`)
	once("customers", `{"by":"ann","customers":["Beta","Acme"]}`)
	if i := once("next-contact", `{"by":"ann","at":"2026-11-21T05:00:00+01:00"}`); len(i.Working) != 0 || strings.Join(i.Customers, " ") != "Acme Beta" || !i.NextContact.Equal(morning.Add(time.Hour)) {
		t.Errorf("next contact: got %v, %v, %v", i.Working, i.Customers, i.NextContact)
	}
	if i := once("next-contact", `{"by":"ann","at":null}`); i.NextContact != nil {
		t.Errorf("no next contact: got %v", i.NextContact)
	}
	if i := once("contacts", `{"by":"ann","who":"Mr Li","channel":"phone","reached":true,"note":"he looks"}`); len(i.Contacts) != 1 || i.Contacts[0].Note != "he looks" {
		t.Errorf("contact: got %+v", i.Contacts)
	}
	once("link", `{"by":"ann","name":"logs","url":"https://logs.example.com/?q=1"}`)
	if i := once("escalate", `{"by":"ann","to":"L3","reason":"recurring","comment":"again"}`); i.Tier != "L3" || len(i.Handovers) != 1 || i.Links[0].Name != "logs" {
		t.Errorf("escalate: got %s, %+v, %+v", i.Tier, i.Handovers, i.Links)
	}
	if i := once("accept", `{"by":"dora"}`); i.Handovers[0].AcceptedBy != "dora" || strings.Join(i.Participants, " ") != "bob ann cy dora" {
		t.Errorf("accept: got %+v, %v", i.Handovers, i.Participants)
	}
	s.send("POST", "/api/v1/incidents/"+id+"/accept", `{"by":"eve"}`).problem(409, "dora has accepted it already")
	if i := once("update", `{"by":"ann","what":"it is slow","phase":"mitigating","forecast":"1 h","restoration":"2026-11-21T06:00:00Z","public":true,"for":["bosses"]}`); len(i.Updates) != 1 ||
		i.Updates[0].ID != 1 || !i.Updates[0].Public || i.Phase != "mitigating" || i.Updates[0].For[0] != "bosses" {
		t.Errorf("update: got %+v", i.Updates)
	}
	once("findings", `{"by":"ann","cause":"a full disk","whys":["no alert"],"workaround":"a restart","follow_up":"https://tickets.example.com/1"}`)
	once("workaround-removed", `{"by":"ann"}`)
	if i := once("causes", `{"by":"ann","text":"the network","state":"ruled_out"}`); i.Findings.Cause != "a full disk" || i.Findings.WorkaroundRemoved == nil || i.Findings.Causes[0].State != "ruled_out" {
		t.Errorf("findings: got %+v", i.Findings)
	}
	once("actions", `{"by":"ann","text":"more disks","owner":"bob","due":"2026-12-01T00:00:00Z"}`)
	if i := once("actions", `{"by":"ann","text":"look at the switch","owner":"bob","kind":"task"}`); i.Actions[1].Due != nil || i.Actions[1].Kind != "task" {
		t.Errorf("a task: got %+v", i.Actions[1])
	}
	if i := once("actions/1/done", `{"by":"bob"}`); i.Actions[0].DoneBy != "bob" || i.Actions[0].Kind != "corrective" {
		t.Errorf("actions: got %+v", i.Actions)
	}
	if i := once("correct", `{"by":"ann","went_down":"2026-11-21T01:30:00Z"}`); !i.Corrected.WentDown.Equal(morning.Add(-90*time.Minute)) || i.Corrected.Restored != nil {
		t.Errorf("correct: got %+v", i.Corrected)
	}
	if i := once("snooze", `{"by":"ann","for_seconds":600}`); i.SnoozedUntil == nil || i.SnoozedBy != "ann" {
		t.Errorf("snooze: got %v", i.SnoozedUntil)
	}
	if i := once("snooze", `{"by":"ann","until":"2026-11-21T06:00:00Z"}`); !i.SnoozedUntil.Equal(morning.Add(3 * time.Hour)) {
		t.Errorf("snooze until: got %v", i.SnoozedUntil)
	}
	if i := once("unsnooze", `{"by":"ann"}`); i.SnoozedUntil != nil || i.SnoozedBy != "" {
		t.Errorf("unsnooze: got %v", i.SnoozedUntil)
	}
	once("answer", `{"by":"dora"}`)
	if i := once("confirm", `{"by":"ann","customer":"Acme"}`); i.Confirmed == nil || i.Confirmed.Customer != "Acme" {
		t.Errorf("confirm: got %+v", i.Confirmed)
	}
	s.do(id, "resolve", `{"by":"ann"}`)
	if i := once("contacts/followed-up", `{"by":"ann","who":"Mr Li"}`); i.Contacts[0].ToldRestored == nil || *i.Outage < 5400 {
		t.Errorf("followed up: got %+v, outage %v", i.Contacts, *i.Outage)
	}
}

// TestWhatCommandsRefuse: each mistake is named, and nothing changes.
func TestWhatCommandsRefuse(t *testing.T) {
	s := newServer(t, func(o *web.Options) { o.ReceiverNames = func() []string { return []string{"bosses"} } })
	id := s.accept(s.firing("DiskFull", "db"))
	s.do(id, "contacts", `{"by":"ann","who":"Mr Li","channel":"phone","reached":true}`)
	version := s.do(id, "update", `{"by":"ann","what":"x","for":["bosses"]}`).Version
	long := strings.Repeat("x", 17<<10)
	for _, test := range []struct{ command, body, want string }{
		{"assign", `{}`, `"role"`}, {"assign", `"role":"boss","who":"bob"`, `"role"`}, {"assign", `"role":"technical_lead"`, `"who"`}, {"assign", `"role":"technical_lead","who":"a\u0007"`, `"who"`},
		{"assign", `"role":"technical_lead","who":"Tocsin"`, `"who"`}, {"assign", `"team":"a","role":"technical_lead"`, `"team"`}, {"assign", `"team":"` + long + `"`, `"team"`},
		{"assess", `"impact":"huge","urgency":"low","observations":"x"`, `"impact"`}, {"assess", `"impact":"low","urgency":"","observations":"x"`, `"urgency"`},
		{"assess", `"impact":"low","urgency":"low"`, `"observations"`}, {"assess", `"impact":"low","urgency":"low","observations":"` + long + `"`, `"observations"`},
		{"assess", `"impact":"low","urgency":"low","observations":"x","category":"y"`, `"category"`},
		{"category", `"category":""`, `"category"`}, {"level", `"level":"awful"`, `"level"`}, {"work", `"on":"` + long + `"`, `"on"`},
		{"customers", `"x":1`, `"x"`}, {"customers", `{}`, `"customers"`}, {"customers", `"customers":["a",""]`, `"customers.1"`}, {"customers", `"customers":["a\n"]`, `"customers.0"`},
		{"customers", `"customers":[` + strings.Repeat(`"a",`, 100) + `"b"]`, `"customers"`},
		{"next-contact", `{}`, `"at"`}, {"next-contact", `"at":"soon"`, `"at"`}, {"next-contact", `"at":"9999-12-31T23:59:59-23:00"`, `"at"`}, {"next-contact", `"at":7`, `"at"`},
		{"contacts", `"who":"x","channel":"phone"`, `"reached"`}, {"contacts", `"who":"x","channel":"pigeon","reached":true`, `"channel"`}, {"contacts", `"channel":"phone","reached":true`, `"who"`},
		{"contacts", `"who":"x","channel":"voicemail","reached":true`, `"reached"`}, {"contacts", `"who":"x","channel":"phone","reached":false,"note":"` + long + `"`, `"note"`},
		{"contacts/followed-up", `{}`, `"who"`},
		{"confirm", `"customer":"a\u0000"`, `"customer"`},
		{"link", `"name":"x"`, `"url"`}, {"link", `"name":"","url":"https://example.com"`, `"name"`}, {"link", `"name":"x","url":"javascript:alert(1)"`, `"url"`},
		{"link", `"name":"x","url":"https://ann:secret@example.com"`, `"url"`}, {"link", `"name":"x","url":"https:///x"`, `"url"`}, {"link", `"name":"x","url":"//example.com"`, `"url"`},
		{"link", `"name":"x","url":"https://example.com/a b"`, `"url"`}, {"link", `"name":"x","url":"https://example.com/` + long + `"`, `"url"`},
		{"escalate", `"to":"L3"`, `"reason"`}, {"escalate", `"reason":"recurring"`, `"to"`}, {"escalate", `"to":"L3","reason":"boredom"`, `"reason"`},
		{"update", `{}`, `"what"`}, {"update", `"what":"x","phase":"panic"`, `"phase"`}, {"update", `"what":"x","for":["nobody"]`, `"for.0"`}, {"update", `"what":"x","restoration":"later"`, `"restoration"`},
		{"update", `"what":"x","analysis":"` + long + `"`, `"analysis"`}, {"update", `"what":"x","public":"yes"`, `"public"`},
		{"updates/0/sign", `{}`, `"n"`}, {"updates/one/sign", `{}`, `"n"`}, {"updates/7/sign", `{}`, `"update"`},
		{"findings", `{}`, `"cause"`}, {"findings", `"cause":"` + long + `"`, `"cause"`}, {"findings", `"whys":["a",""]`, `"whys.1"`}, {"findings", `"whys":["a","b","c","d","e","f"]`, `"whys"`},
		{"findings", `"follow_up":"ask bob"`, `"follow_up"`}, {"findings", `"causes":[]`, `"causes"`}, {"workaround-removed", `{}`, `"workaround"`},
		{"causes", `"text":""`, `"text"`}, {"causes", `"text":"x","state":"maybe"`, `"state"`},
		{"actions", `"text":"x","owner":"bob"`, `"due"`}, {"actions", `"text":"x","due":"2026-12-01T00:00:00Z"`, `"owner"`}, {"actions", `"owner":"bob","due":"2026-12-01T00:00:00Z"`, `"text"`},
		{"actions", `"text":"x","owner":"bob","due":"2026-12-01T00:00:00Z","kind":"other"`, `"kind"`}, {"actions", `"text":"x","owner":"bob","due":"0000-12-01T00:00:00Z"`, `"due"`},
		{"actions/x/done", `{}`, `"n"`}, {"actions/3/done", `{}`, `"action"`},
		{"correct", `{}`, `"went_down"`}, {"correct", `"went_down":"2027-01-01T00:00:00Z"`, `"went_down"`}, {"correct", `"restored":"2020-01-01T00:00:00Z"`, `"restored"`},
		{"snooze", `{}`, `"until"`}, {"snooze", `"until":"2026-11-21T06:00:00Z","for_seconds":5`, `"until"`}, {"snooze", `"for_seconds":-5`, `"for_seconds"`},
		{"snooze", `"for_seconds":9223372036854775807`, `"for_seconds"`}, {"snooze", `"until":"2020-11-21T06:00:00Z"`, `"until"`}, {"snooze", `"until":"2036-11-21T06:00:00Z"`, `"until"`},
		{"merge", `{}`, `"into"`}, {"merge", `"into":"INC-1"`, `"into"`}, {"merge", `"into":"` + id + `"`, `"into"`},
		{"children", `"title":"x"`, `"customer"`}, {"children", `"customer":"Acme"`, `"title"`}, {"children", `"customer":"Acme","title":"` + long + `"`, `"title"`},
	} {
		body := test.body
		if body == "{}" {
			body = `{"by":"ann"}`
		} else {
			body = `{"by":"ann",` + body + `}`
		}
		s.send("POST", "/api/v1/incidents/"+id+"/"+test.command, body).problem(400, `"field":`+test.want)
	}
	if got := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "").want(200)).Version; got != version {
		t.Errorf("after requests that were refused: got version %d, want %d", got, version)
	}
}

// TestFindingsAreAllThere: each text of the findings can be said, and is shown.
func TestFindingsAreAllThere(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	of := reflect.TypeFor[incident.Findings]()
	for n := range of.NumField() {
		f := of.Field(n)
		if f.Type.Kind() != reflect.String {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value := "https://example.com/" + name
		got := reflect.ValueOf(s.do(id, "findings", `{"by":"ann","`+name+`":"`+value+`"}`).Findings).FieldByName(f.Name)
		if !got.IsValid() || got.String() != value {
			t.Errorf("%s: got %v, want %q", name, got, value)
		}
	}
}

// TestMergeOverHTTP: the child knows its parent, which cannot be resolved before it.
func TestMergeOverHTTP(t *testing.T) {
	s := newServer(t)
	child, parent := s.accept(s.firing("DiskFull", "db")), s.accept(s.firing("Core", "net"))
	c := s.do(child, "merge", `{"by":"ann","into":"`+parent+`","comment":"the same"}`, "If-Match", "1")
	if c.MergedInto == nil || *c.MergedInto != parent || c.Parent == nil || *c.Parent != parent {
		t.Errorf("got %+v", c)
	}
	s.do(child, "merge", `{"by":"ann","into":"`+parent+`"}`)
	s.send("POST", "/api/v1/incidents/"+child+"/unmerge", `{"by":"ann"}`, "If-Match", "1").problem(409, "version")
	p := decode[web.Problem](s.send("POST", "/api/v1/incidents/"+parent+"/resolve", `{"by":"ann"}`).problem(409, c.Reference))
	if p.Incident == nil || len(p.Incident.Merged) != 1 || p.Incident.Merged[0].ID != child || p.Incident.Merged[0].Alerts.Firing != 1 || p.Incident.Children[0] != child {
		t.Errorf("got %+v", p.Incident)
	}
	s.send("POST", "/api/v1/incidents/"+parent+"/merge", `{"by":"ann","into":"`+child+`"}`).problem(409, c.Reference)
	if c = s.do(child, "unmerge", `{"by":"ann"}`); c.MergedInto != nil || c.Parent != nil {
		t.Errorf("got %+v", c)
	}
	s.do(child, "unmerge", `{"by":"ann"}`)
	s.do(parent, "resolve", `{"by":"ann"}`)
	s.send("POST", "/api/v1/incidents/"+child+"/merge", `{"by":"ann","into":"`+parent+`"}`).problem(409, "cannot merge into an incident that is resolved")
}

// TestCustomersIncident has texts of its own, and nothing of the parent but its id.
func TestCustomersIncident(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("SecretDisk", "secretdb"))
	s.do(id, "customers", `{"by":"ann","customers":["Beta"]}`)
	s.do(id, "note", `{"by":"ann","text":"secret note"}`)
	open := `{"by":"ann","customer":"Acme","title":"mail is slow","description":"since nine"}`
	a := s.send("POST", "/api/v1/incidents/"+id+"/children", open).want(200)
	c := decode[web.IncidentJSON](a)
	if c.Customer != "Acme" || c.Labels["customer"] != "Acme" || c.Title != "mail is slow" || c.Description != "since nine" || c.Severity != "critical" || *c.Parent != id || c.Rule != "customer" ||
		a.header.Get(web.VerdictHeader) != "opened" || a.header.Get("Location") != "/api/v1/incidents/"+c.ID {
		t.Errorf("got %s, %v", a.body, a.header)
	}
	again := s.send("POST", "/api/v1/incidents/"+id+"/children", open).want(200)
	if d := decode[web.IncidentJSON](again); d.ID != c.ID || again.header.Get(web.VerdictHeader) != "duplicate" {
		t.Errorf("again: got %s, %s", d.ID, again.header.Get(web.VerdictHeader))
	}
	timeline := s.send("GET", "/api/v1/incidents/"+c.ID+"/timeline", "").want(200)
	for _, secret := range []string{"ecret", "Beta", decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "")).Reference} {
		if strings.Contains(string(a.body), secret) || strings.Contains(string(timeline.body), secret) {
			t.Errorf("the customer's incident holds %q: %s, %s", secret, a.body, timeline.body)
		}
	}
	s.send("POST", "/api/v1/incidents/"+c.ID+"/children", open).problem(409, "has no parts")
	s.send("POST", "/api/v1/incidents/"+c.ID+"/customers", `{"by":"ann","customers":["Beta"]}`).problem(400, `"customers"`)
	s.send("POST", "/api/v1/incidents/"+id+"/children", open, "If-Match", "1").problem(409, "version")
	s.do(id, "resolve", `{"by":"ann"}`)
}

// TestLostRaces of commands on one and on two incidents show who won.
func TestLostRaces(t *testing.T) {
	s := newServer(t)
	id, other := s.accept(s.firing("DiskFull", "db")), s.accept(s.firing("Core", "net"))
	s.do(id, "acknowledge", `{"by":"ann"}`)
	for command, body := range map[string]string{"work": `{"by":"bob"}`, "snooze": `{"by":"bob","for_seconds":60}`, "merge": `{"by":"bob","into":"` + other + `"}`,
		"unmerge": `{"by":"bob"}`, "children": `{"by":"bob","customer":"Acme","title":"x"}`, "escalate": `{"by":"bob","to":"L3","reason":"recurring"}`} {
		a := s.send("POST", "/api/v1/incidents/"+id+"/"+command, body, "If-Match", `"1"`).problem(409, "version")
		if p := decode[web.Problem](a); p.Incident == nil || p.Incident.AcknowledgedBy != "ann" {
			t.Errorf("%s: got %s", command, a.body)
		}
	}
}

// FuzzProcess: whatever is said, the answer is documented and no server error.
func FuzzProcess(f *testing.F) {
	for _, body := range []string{`{"by":"ann","at":null}`, `{"by":"ann","customers":[]}`, `{"by":"ann","what":"x","for":["a"]}`, `{"by":"ann","name":"x","url":"https://[::1%25x]/"}`,
		`{"by":"ann","until":"2026-11-21T06:00:00.999999999Z"}`, `{"by":"ann","whys":["x"],"cause":"\u202e"}`, `{"by":"ann","role":"technical_lead","who":""}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := newServer(t)
		id := s.accept(s.firing("DiskFull", "db"))
		for _, command := range []string{"assign", "customers", "next-contact", "contacts", "link", "update", "findings", "actions", "correct", "snooze", "merge", "children"} {
			if a := s.send("POST", "/api/v1/incidents/"+id+"/"+command, body); a.status >= 500 {
				t.Errorf("%s: got %d %s", command, a.status, a.body)
			}
		}
	})
}
