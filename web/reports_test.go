package web_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/report"
	"github.com/tocsin-gateway/tocsin/web"
)

// section finds a section of a document.
func section(t *testing.T, d report.Document, name string) report.Section {
	t.Helper()
	for _, s := range d.Sections {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("%s has no section %s", d.Kind, name)
	return report.Section{}
}

// change changes a stored incident as it pleases.
func (s *server) change(id string, f func(e *incident.Edit)) {
	s.t.Helper()
	i, err := s.store.Incident(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	policy := incident.Policy{Severities: incident.Scale{"critical"}, Matrix: incident.DefaultMatrix()}
	s.changes++
	err = s.store.Update(context.Background(), []incident.Change{{ID: [16]byte{1, byte(s.changes), byte(s.changes >> 8)}, Incident: i.ID, Step: func(st incident.State) (incident.Next, error) {
		e := policy.Change(st.Incident, st.Now)
		f(e)
		var next incident.Next
		e.Into(&next)
		return next, nil
	}}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestReportFormats(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	for _, test := range []struct{ target, media, begins, file string }{
		{"/incidents/" + id + "/report", "text/html", "<!doctype html>", "-disruption.html"},
		{"/incidents/" + id + "/report?kind=closure&format=md", "text/markdown", "# Closure Report", "-closure.md"},
		{"/incidents/" + id + "/report?kind=handover&format=json&tz=Europe/Zurich", "application/json", `{"kind":"handover"`, "-handover.json"},
		{"/incidents/" + id + "/report?kind=disruption&format=csv", "text/csv", `"entry",`, "-disruption.csv"},
		{"/reports/monthly?month=2026-11&format=html", "text/html", "<!doctype html>", "monthly-2026-11.html"},
		{"/reports/monthly?format=csv", "text/csv", `"reference",`, "monthly-2026-10.csv"},
		{"/reports/shift?format=md&since=2026-11-21T00:00:00Z", "text/markdown", "# Shift brief", "shift-20261121-0300.md"},
	} {
		a := s.send("GET", "/api/v1"+test.target, "").want(200)
		media, disposition := a.header.Get("Content-Type"), a.header.Get("Content-Disposition")
		if !strings.HasPrefix(media, test.media) || !strings.HasPrefix(string(a.body), test.begins) || !strings.Contains(disposition, test.file) {
			t.Errorf("%s: got %s, %s, %.60q", test.target, media, disposition, a.body)
		}
		if policy := a.header.Get("Content-Security-Policy"); policy != report.Policy+"; frame-ancestors 'none'" {
			t.Errorf("%s: the policy is %q", test.target, policy)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a browser may guess what it is", test.target)
		}
	}
}

func TestReportRefusals(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	for target, mentions := range map[string]string{
		"/incidents/" + id + "/report?kind=novel":              "novel",
		"/incidents/" + id + "/report?kind=closure&format=csv": "csv",
		"/incidents/" + id + "/report?format=pdf":              "pdf",
		"/incidents/" + id + "/report?tz=Local":                "Local",
		"/incidents/" + id + "/report?tz=../../etc/passwd":     "time zone",
		"/reports/monthly?month=november":                      "november",
		"/reports/monthly?month=0001-01":                       "0001-01",
		"/reports/monthly?month=2026-11&since=x":               "since",
		"/reports/shift?since=2026-12-01T00:00:00Z":            "future",
		"/reports/shift?format=csv":                            "csv",
	} {
		s.send("GET", "/api/v1"+target, "").problem(400, mentions)
	}
}

func TestWhoFillsItIn(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	id := s.accept(s.firing("DiskFull", "db"))
	s.token = s.create(`{"role":"viewer","name":"Ann Lee"}`).Token
	d := decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json&by=somebody+else", "").want(200))
	if got := section(t, d, "notes").Fields[0].Text; got != "Ann Lee" {
		t.Errorf("got %q, want the token's name", got)
	}
	s = newServer(t)
	id = s.accept(s.firing("DiskFull", "db"))
	d = decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json&by=bob", "").want(200))
	if got := section(t, d, "notes").Fields[0].Text; got != "bob" {
		t.Errorf("got %q, want bob", got)
	}
	d = decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json", "").want(200))
	if got := section(t, d, "notes").Fields[0].Text; got != report.NotStated {
		t.Errorf("got %q, want that nobody says", got)
	}
}

// TestWholeTimeline: all pages of it are in a report.
func TestWholeTimeline(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	s.change(id, func(e *incident.Edit) {
		for n := range 2500 {
			_ = e.Note("ann", fmt.Sprintf("note %d", n), time.Time{})
		}
	})
	d := decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json", "").want(200))
	if rows := section(t, d, "notes").Table.Rows; len(rows) != 2501 || rows[2500].Entry != 2501 || len(d.Notices) > 0 {
		t.Errorf("got %d rows and notices %q, want all 2501 and no notice", len(rows), d.Notices)
	}
	s.change(id, func(e *incident.Edit) {
		for n := range 8000 {
			_ = e.Note("ann", fmt.Sprintf("more %d", n), time.Time{})
		}
	})
	d = decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json", "").want(200))
	if rows := section(t, d, "notes").Table.Rows; len(rows) != 10000 || len(d.Notices) != 1 || !strings.Contains(d.Notices[0], "501 entries more") {
		t.Errorf("got %d rows and notices %q, want 10000, and that 501 are left out", len(rows), d.Notices)
	}
}

func TestHandover(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		o.Reports = web.ReportFacts{Owner: func(service string) string { return "owner of " + service },
			Duties: func(_ *incident.Incident, now time.Time) []report.Duty {
				return []report.Duty{{Name: "status_update", Due: now.Add(time.Minute), Text: "say how it is"}}
			}}
	})
	ends := s.firing("DiskFull", "db")
	before := s.accept(ends)
	ends.Status, ends.EndsAt = alert.Resolved, s.clock.now()
	s.accept(ends)
	s.do(before, "close", `{"by":"ann"}`)
	s.clock.add(30 * 24 * time.Hour)
	again := s.firing("DiskFull", "db")
	id := s.accept(again)
	if id == before {
		t.Fatal("it is the incident of before")
	}
	d := decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?kind=handover&format=json", "").want(200))
	if rows := section(t, d, "alerts").Table.Rows; len(rows) != 1 || rows[0].Cells[0].URL == "" || rows[0].Cells[4].Text != "it burns" {
		t.Errorf("alerts: got %+v", rows)
	}
	if rows := section(t, d, "duties").Table.Rows; len(rows) != 1 || rows[0].Cells[2].Text != "say how it is" {
		t.Errorf("duties: got %+v", rows)
	}
	if rows := section(t, d, "similar").Table.Rows; len(rows) != 1 || rows[0].Cells[3].Text == "" {
		t.Errorf("similar: got %+v, want the incident of a month ago", rows)
	}
	d = decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?format=json", "").want(200))
	if got := section(t, d, "form").Fields[8]; got.Text != "owner of db" {
		t.Errorf("owner: got %+v", got)
	}
}

// TestCustomersReport: that of a customer's part knows no other customer.
func TestCustomersReport(t *testing.T) {
	guide, err := process.New(process.Config{Profile: process.ProfileNone, Customers: []process.Customer{{Name: "Acme"}, {Name: "Umbrella"}}}, process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(o *web.Options) { o.Process = func() *process.Guide { return guide } })
	parent, acme, globex := s.accept(s.firing("SiteDown", "site")), s.accept(s.firing("AcmeDown", "acme")), s.accept(s.firing("OtherDown", "other"))
	find := func(id string) *incident.Incident {
		i, err := s.store.Incident(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	s.change(parent, func(e *incident.Edit) { _ = e.SetCustomers("ann", []string{"Acme", "Initech"}, "") })
	for id, name := range map[string]string{acme: "Acme", globex: "Globex"} {
		top := find(parent)
		s.change(id, func(e *incident.Edit) {
			e.Link(top, "")
			e.Process().Customer = name
			_ = e.Note("ann", "Globex and Initech see it as well as Acme, as Umbrella did in May", time.Time{})
		})
		child := find(id)
		s.change(parent, func(e *incident.Edit) { e.LinkChild(child) })
	}
	for _, kind := range report.Kinds() {
		for _, format := range []string{"html", "md", "json"} {
			text := string(s.send("GET", "/api/v1/incidents/"+acme+"/report?kind="+kind+"&format="+format, "").want(200).body)
			if strings.Contains(text, "Globex") || strings.Contains(text, "Initech") || strings.Contains(text, "Umbrella") || !strings.Contains(text, "Acme") {
				t.Errorf("the %s report of Acme as %s names another customer, or not Acme", kind, format)
			}
		}
	}
	if text := string(s.send("GET", "/api/v1/incidents/"+parent+"/report?format=md", "").want(200).body); !strings.Contains(text, "Initech") {
		t.Error("our own report does not name the customers")
	}
}

// hides hides what has a title.
type hides string

func (m hides) Muted(_ context.Context, i *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	return notify.Hidden{By: "silence", Text: "because", Until: now.Add(time.Hour)}, strings.Contains(i.Title, string(m)), nil
}

func TestShift(t *testing.T) {
	s := newServer(t, func(o *web.Options) { o.Mute = hides("Queue") })
	old := s.accept(s.firing("DiskFull", "db"))
	s.do(old, "resolve", `{"by":"ann"}`)
	s.clock.add(24 * time.Hour)
	s.accept(s.firing("QueueLong", "mail"))
	s.do(s.accept(s.firing("ShopDown", "shop")), "acknowledge", `{"by":"bob"}`)
	d := decode[report.Document](s.send("GET", "/api/v1/reports/shift?format=json", "").want(200))
	if rows := section(t, d, "open").Table.Rows; len(rows) != 2 || rows[0].Cells[6].Text != "nobody" || rows[1].Cells[6].Text != "bob" {
		t.Errorf("open: got %+v, want the one that nobody has before that of bob", rows)
	}
	if rows := section(t, d, "hidden").Table.Rows; len(rows) != 1 || rows[0].Cells[3].Text != "because" {
		t.Errorf("hidden: got %+v", rows)
	}
	for _, r := range section(t, d, "happened").Table.Rows {
		if strings.Contains(r.Cells[3].Text, "DiskFull") {
			t.Errorf("happened: %+v is from the day before", r)
		}
	}
	since := decode[report.Document](s.send("GET", "/api/v1/reports/shift?format=json&since=2026-11-21T02:00:00Z", "").want(200))
	if a, b := len(section(t, d, "happened").Table.Rows), len(section(t, since, "happened").Table.Rows); b <= a {
		t.Errorf("since the day before %d things happened, since eight hours %d; want more", b, a)
	}
}

// TestShiftAfterTheEnd: what is still to be done about incidents that are over.
func TestShiftAfterTheEnd(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		o.Reports.Duties = func(i *incident.Incident, now time.Time) []report.Duty {
			return []report.Duty{{Name: "follow up " + i.State, Due: now.Add(time.Hour)}, {Name: "undone " + i.State, Due: now.Add(-20 * time.Hour)}}
		}
	})
	for name, last := range map[string]string{"DiskFull": "resolve", "QueueLong": "close"} {
		id := s.accept(s.firing(name, name))
		s.do(id, "resolve", `{"by":"ann"}`)
		if last == "close" {
			s.do(id, last, `{"by":"ann"}`)
		}
		s.change(id, func(e *incident.Edit) {
			e.Process().Updates = []incident.Update{{ID: 1, By: "ann", What: "over " + e.Incident.State, NeedsSignature: true}}
		})
	}
	d := decode[report.Document](s.send("GET", "/api/v1/reports/shift?format=json", "").want(200))
	var duties []string
	for _, r := range section(t, d, "duties").Table.Rows {
		duties = append(duties, r.Cells[2].Text)
	}
	if want := []string{"undone resolved", "follow up resolved", "follow up closed"}; !slices.Equal(slices.Sorted(slices.Values(duties)), slices.Sorted(slices.Values(want))) {
		t.Errorf("got the duties %q, want %q", duties, want)
	}
	if rows := section(t, d, "signatures").Table.Rows; len(rows) != 1 || rows[0].Cells[4].Text != "over resolved" {
		t.Errorf("got the updates %+v, want the one that can be signed", rows)
	}
}

// TestWhoWasTold: only who got a message.
func TestWhoWasTold(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		o.Notifications = toldOf{{Target: "ops/slack[0]", Sent: 2}, {Target: "boss/email[0]", Hidden: &notify.Hidden{By: "silence"}}}
	})
	id := s.accept(s.firing("DiskFull", "db"))
	s.change(id, func(e *incident.Edit) { e.Incident.Told = []string{"ops/slack[0]", "boss/email[0]"} })
	d := decode[report.Document](s.send("GET", "/api/v1/incidents/"+id+"/report?kind=closure&format=json", "").want(200))
	if got := section(t, d, "informed").Fields[0].Text; got != "ops/slack[0]" {
		t.Errorf("got %q, want only who got a message", got)
	}
}

// toldOf are who was told of every incident.
type toldOf []notify.Notification

func (l toldOf) Notifications(context.Context, string) ([]notify.Notification, error) { return l, nil }

func (toldOf) Undelivered(context.Context, string, int) ([]notify.Undelivered, string, error) {
	return nil, "", nil
}
func (toldOf) Again(context.Context, incident.ID, string) error { return nil }
func (toldOf) Preview(context.Context, string, string) ([]notify.Preview, error) {
	return nil, nil
}
func (toldOf) Test(context.Context, string, string) ([]notify.Tested, error) { return nil, nil }

func TestMonth(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		o.Reports.Objectives = func(*incident.Incident) report.Objectives { return report.Objectives{Response: time.Hour} }
	})
	s.do(s.accept(s.firing("DiskFull", "db")), "acknowledge", `{"by":"ann"}`)
	s.send("POST", "/api/v1/incidents", `{"title":"a drill","description":"x","reporter":"ann","drill":true}`).want(200)
	s.send("POST", "/api/v2/silences", `{"matchers":[{"name":"alertname","value":"DiskFull","isRegex":false}],"startsAt":"2026-11-21T03:00:00Z","endsAt":"2026-11-22T03:00:00Z","createdBy":"bob","comment":"known"}`).want(200)
	s.clock.add(3 * 24 * time.Hour) // the silence is over, and remembered
	d := decode[report.Document](s.send("GET", "/api/v1/reports/monthly?format=json&month=2026-11", "").want(200))
	if rows := section(t, d, "silences").Table.Rows; len(rows) != 1 || !strings.Contains(rows[0].Cells[0].Text, `alertname="DiskFull"`) || !strings.HasPrefix(rows[0].Cells[5].Text, "INC-") {
		t.Errorf("silences: got %+v", rows)
	}
	if got := section(t, d, "management").Fields[6]; got.Name != "response" || got.Text != "1 kept, 0 missed" {
		t.Errorf("response objectives: got %+v", got)
	}
	s.clock.add(8 * 24 * time.Hour) // December
	s.accept(s.firing("Later", "db"))
	text := string(s.send("GET", "/api/v1/reports/monthly?format=csv&tz=Europe/Zurich", "").want(200).body)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2 || !strings.Contains(rows[1][1], "DiskFull") {
		t.Fatalf("got %q, %v; want the incident of November, and no drill", rows, err)
	}
}
