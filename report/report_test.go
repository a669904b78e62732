package report_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// renderers are the ways to write a document.
var renderers = map[string]func(io.Writer, *report.Document) error{"html": report.HTML, "md": report.Markdown, "json": report.JSON, "csv": report.CSV}

// written is a document in a format.
func written(t testing.TB, format string, d *report.Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := renderers[format](&b, d); err != nil {
		t.Fatalf("%s as %s: %v", d.Kind, format, err)
	}
	return b.String()
}

func golden(t *testing.T, name string, d *report.Document, formats ...string) {
	t.Helper()
	for _, format := range formats {
		got, file := written(t, format, d), filepath.Join("testdata", name+"."+format)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

var (
	dayAfter = report.View{Now: night.Add(26 * time.Hour), Zone: zurich, By: "ann"}
	during   = report.View{Now: night.Add(60 * time.Minute), Zone: zurich, By: "ann"}
	inUTC    = report.View{Now: night.Add(60 * time.Minute)}
	reviewed = report.View{Now: night.AddDate(0, 0, 12), Zone: zurich}
)

func TestGolden(t *testing.T) {
	golden(t, "disruption", report.Disruption(over(t), dayAfter), "html", "md", "json", "csv")
	golden(t, "closure", report.Closure(over(t), dayAfter), "html", "md", "json")
	golden(t, "handover", report.Handover(shop(t), during), "html", "md", "json")
	golden(t, "shift", report.Shift(watch(t), during), "html", "md", "json")
	golden(t, "monthly", report.Monthly(month(t), reviewed), "html", "md", "json", "csv")
	golden(t, "customer", report.Closure(child(t), dayAfter), "md")
}

// TestNothingStated: what nobody said is not made up.
func TestNothingStated(t *testing.T) {
	golden(t, "bare-disruption", report.Disruption(bare(t), inUTC), "html", "md", "json", "csv")
	golden(t, "bare-closure", report.Closure(bare(t), inUTC), "html", "md", "json")
	golden(t, "bare-handover", report.Handover(bare(t), inUTC), "html", "md", "json")
	golden(t, "bare-shift", report.Shift(report.Watch{Since: night, NoProcess: true}, inUTC), "html", "md", "json")
	golden(t, "bare-monthly", report.Monthly(report.Month{From: night, To: night, SilencesUnknown: true}, inUTC), "html", "md", "json", "csv")
	// Not even an incident as the store has it.
	empty := report.Case{Incident: &incident.Incident{}}
	for _, d := range []*report.Document{report.Disruption(empty, report.View{}), report.Closure(empty, report.View{}), report.Handover(empty, report.View{})} {
		for _, s := range d.Sections {
			for _, f := range s.Fields {
				if f.Name != "detect" && f.Stated { // it takes no time
					t.Errorf("%s of nothing: %s says %q", d.Kind, f.Name, f.Text)
				}
			}
		}
	}
}

// TestTheForm: the sixteen fields, in the order of the form, each with a value and
// where it comes from.
func TestTheForm(t *testing.T) {
	d := report.Disruption(over(t), dayAfter)
	want := []string{"Incident Name", "Reference #", "Date/Time Service Went Down", "Date/Time Incident Recorded", "Discovered/Reported By", "Incident Manager", "Communications Manager", "Systems Affected", "System Owner",
		"Populations Affected", "Symptoms/Problem Description", "Staff Involved", "Determined Cause", "Resolution", "Date/Time Service Restored", "Outage Duration"}
	var got []string
	for _, f := range d.Sections[0].Fields {
		got = append(got, f.Label)
		if !f.Stated {
			t.Errorf("%s is not stated", f.Label)
		}
		for _, v := range f.Values {
			if v.Origin() == "" {
				t.Errorf("%s: %q comes from nowhere", f.Label, v.Text)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the fields %q, want %q", got, want)
	}
	notes := d.Sections[len(d.Sections)-1]
	if len(notes.Table.Rows) != len(over(t).Timeline) || notes.Fields[0].Text != "ann" {
		t.Errorf("notes: got %d rows by %q, want %d by ann", len(notes.Table.Rows), notes.Fields[0].Text, len(over(t).Timeline))
	}
	// The late entry stands where it happened.
	if at := notes.Table.Rows[1].Cells; at[0].Text != "19" || !strings.Contains(at[1].Note, "late") {
		t.Errorf("the second row is %v, want the late entry", at)
	}
}

// field finds a field of a document.
func field(t testing.TB, d *report.Document, name string) report.Field {
	t.Helper()
	for _, s := range d.Sections {
		for _, f := range s.Fields {
			if f.Name == name {
				return f
			}
		}
	}
	t.Fatalf("%s has no field %s", d.Kind, name)
	return report.Field{}
}

// TestReview: the closure report asks for the lessons of each phase, and says where
// nobody has stated any.
func TestReview(t *testing.T) {
	c := shop(t)
	c.Incident.Process = &incident.Process{Findings: incident.Findings{LessonsDetection: "customers were first", LessonsRestoration: "the copy was old"}}
	d := report.Closure(c, during)
	for name, want := range map[string]string{"lessons_detection": "customers were first", "lessons_response": report.NotStated, "lessons_diagnosis": report.NotStated,
		"lessons_communication": report.NotStated, "lessons_restoration": "the copy was old"} {
		if f := field(t, d, name); f.Text != want || f.Stated != (want != report.NotStated) {
			t.Errorf("%s: got %q, stated: %t; want %q", name, f.Text, f.Stated, want)
		}
	}
}

// TestTasks: tasks stand where the work is handed over, and nowhere among what is to
// keep it from coming again.
func TestTasks(t *testing.T) {
	c := shop(t)
	c.Incident.Process = &incident.Process{Actions: []incident.Action{
		{ID: 1, Text: "buy a disk", Owner: "ann", Due: night, Kind: "corrective"},
		{ID: 2, Text: "call the provider", Owner: "ben", Kind: incident.ActionTask, DoneAt: night, DoneBy: "ben"},
		{ID: 3, Text: "look at the switch", Owner: "cat", Kind: incident.ActionTask}}}
	rows := func(d *report.Document, section string) (out []string) {
		for _, s := range d.Sections {
			if s.Name != section {
				continue
			}
			for _, r := range s.Table.Rows {
				for _, cell := range r.Cells {
					if strings.Contains("buy a disk, call the provider, look at the switch", cell.Text) && len(cell.Text) > 3 {
						out = append(out, cell.Text)
					}
				}
			}
		}
		return out
	}
	for name, c := range map[string]struct{ got, want []string }{
		"hand-over":   {rows(report.Handover(c, during), "tasks"), []string{"look at the switch", "call the provider"}},
		"shift brief": {rows(report.Shift(report.Watch{Open: []*incident.Incident{c.Incident}}, during), "tasks"), []string{"look at the switch"}},
		"closure":     {rows(report.Closure(c, during), "actions"), []string{"buy a disk"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %q, want %q", name, c.got, c.want)
		}
	}
}

// TestOrigins: what is written down by the edits of this version is found in the timeline.
func TestOrigins(t *testing.T) {
	policy := incident.Policy{Severities: incident.Scale{"critical", "warning"}, Matrix: incident.DefaultMatrix()}
	var c report.Case
	take := func(e *incident.Edit) {
		var next incident.Next
		e.Into(&next)
		c.Incident, c.Timeline = next.Incidents[0], append(c.Timeline, next.Timeline...)
	}
	e := policy.Open(incident.Opening{ID: incident.ID{1}, Title: "t", By: "ann", Class: incident.Classification{Severity: "warning"}}, night)
	e.Join(incident.Member{Alert: &alert.Alert{Status: alert.Firing, Source: "s"}, Class: incident.Classification{Severity: "warning"}}, false)
	take(e)
	steps := map[string]func(*incident.Edit) error{
		"incident_manager":       func(e *incident.Edit) error { return e.Acknowledge("bob", "") },
		"communications_manager": func(e *incident.Edit) error { return e.Assign("bob", incident.RoleCommunications, "eve", "why") },
		"symptoms": func(e *incident.Edit) error {
			return e.Assess(incident.Assessment{By: "bob", Impact: "low", Urgency: "low", Observations: "slow"}, "")
		},
		"populations_affected": func(e *incident.Edit) error {
			return e.Find("bob", incident.Findings{Populations: "all", Lessons: "x"}, "c")
		},
		"determined_cause": func(e *incident.Edit) error { return e.Find("bob", incident.Findings{Cause: "rain\nin the rack"}, "") },
		"resolution":       func(e *incident.Edit) error { return e.Find("bob", incident.Findings{Solution: "an umbrella"}, "") },
		"went_down": func(e *incident.Edit) error {
			return e.Correct("bob", incident.Corrected{WentDown: night.Add(-time.Hour)}, "")
		},
	}
	said := map[string]uint64{}
	n := 0
	for _, name := range []string{"incident_manager", "communications_manager", "symptoms", "populations_affected", "determined_cause", "resolution", "went_down"} {
		n++
		e := policy.Change(c.Incident, night.Add(time.Duration(n)*time.Minute))
		if err := steps[name](e); err != nil {
			t.Fatal(err)
		}
		take(e)
		said[name] = c.Timeline[len(c.Timeline)-1].Seq
	}
	d := report.Disruption(c, inUTC)
	for name, entry := range said {
		if f := field(t, d, name); !f.Stated || f.Values[0].Entry != entry {
			t.Errorf("%s: got %+v, want entry %d", name, f, entry)
		}
	}
	if len(d.Notices) > 0 {
		t.Errorf("notices: got %q, want none", d.Notices)
	}
	c.Timeline[2].Text = "it never happened"
	if d := report.Disruption(c, inUTC); len(d.Notices) != 1 || !strings.Contains(d.Notices[0], "Entry 3") {
		t.Errorf("a changed entry: got %q, want it to be said", d.Notices)
	}
}

func TestOutageIsComputed(t *testing.T) {
	c := over(t)
	if got := field(t, report.Disruption(c, dayAfter), "outage_duration").Values[0]; *got.Seconds != 81*60 || got.Text != "1 h 21 min" {
		t.Errorf("got %+v, want 81 minutes", got)
	}
	c.Incident.Process.Corrected = incident.Corrected{}
	d := report.Disruption(c, dayAfter)
	if down, up := field(t, d, "went_down").Values[0], field(t, d, "restored").Values[0]; down.Field != "started_at" || up.Field != "restored_at" {
		t.Errorf("got %+v to %+v, want what the alerts said", down, up)
	}
}

func TestNoOtherCustomer(t *testing.T) {
	c := child(t)
	c.Others = []string{"Globex", "Initech AG", "Acme Europe", "Acme", "IT", ""}
	i := c.Incident
	i.Title, i.Description = "Globex and Acme are down", "GLOBEX's shop, initech-ag, IT and iteration, Globexpert, (globex)"
	i.Runbook = "https://wiki.example/Globex/shop"
	i.Links = append(i.Links, incident.Link{Name: "for globex", URL: "https://globex.example/"})
	i.Process.Findings.Lessons = "Initech AG has to know, Acme Europe too"
	c.Similar = []report.Similar{{Reference: "THEIRS-1", Title: "of them", Customer: "Globex"}, {Reference: "OURS-2", Title: "ours alone"}, {Reference: "MINE-3", Title: "mine", Customer: "Acme"}}
	c.Alerts = []report.Alert{{Name: "GlobexDown", Summary: "globex_db", Host: "globex-1"}}
	for _, d := range []*report.Document{report.Disruption(c, dayAfter), report.Closure(c, dayAfter), report.Handover(c, dayAfter)} {
		for format := range renderers {
			if format == "csv" && d.Kind != report.KindDisruption {
				continue
			}
			text := strings.ToLower(written(t, format, d))
			for _, name := range []string{"globex", "initech", "acme europe", "theirs-1", "ours-2"} {
				if at := strings.Index(text, name); at >= 0 {
					t.Errorf("%s as %s names %s: …%s", d.Kind, format, name, text[max(at-60, 0):min(at+60, len(text))])
				}
			}
			if !strings.Contains(text, "acme") {
				t.Errorf("%s as %s does not name the customer itself", d.Kind, format)
			}
		}
	}
	if got := field(t, report.Disruption(c, dayAfter), "symptoms").Text; !strings.Contains(got, "[another customer] and iteration") {
		t.Errorf("a short name: got %q", got)
	}
	if got := written(t, "md", report.Handover(c, dayAfter)); !strings.Contains(got, "MINE-3") {
		t.Error("what was the customer's own is not among the similar ones")
	}
	// One of our own may know all.
	if got := written(t, "md", report.Disruption(over(t), dayAfter)); !strings.Contains(got, "Acme, Globex") {
		t.Error("our own report does not name the customers")
	}
}

// TestUnsigned: what waits for a signature is in no report for a customer, and in the
// hand-over, so that whoever takes over knows of it.
func TestUnsigned(t *testing.T) {
	unsigned := []incident.Update{{ID: 1, By: "ann", At: night, Phase: incident.Investigating, What: "words that nobody signed", NeedsSignature: true}}
	c := child(t)
	c.Incident.Process.Updates = append(c.Incident.Process.Updates, unsigned...)
	for _, d := range []*report.Document{report.Disruption(c, dayAfter), report.Closure(c, dayAfter), report.Handover(c, dayAfter)} {
		if strings.Contains(written(t, "md", d), "words that nobody signed") {
			t.Errorf("the %s report of a customer says it", d.Kind)
		}
	}
	c = shop(t)
	c.Incident.Process.Updates = unsigned
	if text := written(t, "md", report.Handover(c, during)); !strings.Contains(text, "words that nobody signed") || !strings.Contains(text, "waits for a signature") {
		t.Error("the hand-over does not say that an update waits for a signature")
	}
}

func TestMonthLeavesOut(t *testing.T) {
	m := month(t)
	d := report.Monthly(m, reviewed)
	for format := range renderers {
		text := written(t, format, d)
		for _, ref := range []string{"0DR1", "0CH1"} {
			if strings.Contains(text, ref) {
				t.Errorf("%s has %s, which does not count", format, ref)
			}
		}
	}
	if got := field(t, d, "incidents").Text; !strings.HasPrefix(got, "3 ") {
		t.Errorf("incidents: got %q, want 3", got)
	}
	if got := field(t, d, "response").Text; got != "2 kept, 1 missed" {
		t.Errorf("response: got %q, want 2 kept (the shop, and what was over before), 1 missed (still open)", got)
	}
	if got := field(t, d, "resolution").Text; got != "1 kept, 2 missed" {
		t.Errorf("resolution: got %q", got)
	}
	m.Objectives = nil
	if got := field(t, report.Monthly(m, reviewed), "response").Text; got != "none was to be kept" {
		t.Errorf("without objectives: got %q", got)
	}
}

// TestDutiesByName: it can be seen which duties are missed, the worst first.
func TestDutiesByName(t *testing.T) {
	var list []*incident.Incident
	for n := range 3 {
		i := *over(t).Incident
		i.Process = &incident.Process{Duties: []incident.Duty{{Name: "final_report", Outcome: incident.DutyKept}, {Name: "status_update", Outcome: incident.DutyMissed}, {Name: "lessons", Outcome: incident.DutyWaived}, {Name: "raise", Fired: 1}}}
		if n == 0 {
			i.Process.Duties = append(i.Process.Duties, incident.Duty{Name: "assess", Fired: 1})
		}
		list = append(list, &i)
	}
	d := report.Monthly(report.Month{Incidents: list, Communication: []string{"status_update"}, Uncounted: []string{"raise"}}, reviewed)
	got := ""
	for _, s := range d.Sections {
		if s.Name == "duties" {
			for _, r := range s.Table.Rows {
				got += r.Cells[0].Text + " " + r.Cells[1].Text + " " + r.Cells[2].Text + "; "
			}
		}
	}
	if want := "status update 0 3; assess 0 1; final report 3 0; "; got != want {
		t.Errorf("got %q, want %q (kept, missed)", got, want)
	}
}

// TestForgottenCycles: a month says that it does not know all cycles of an incident.
func TestForgottenCycles(t *testing.T) {
	i := *over(t).Incident
	i.Cycles, i.Reopens = make([]incident.Cycle, 20), 21
	for n := range i.Cycles {
		i.Cycles[n] = incident.Cycle{OpenedAt: night, ResolvedAt: night.Add(time.Minute)}
	}
	notices := func() string {
		return strings.Join(report.Monthly(report.Month{Incidents: []*incident.Incident{&i}}, reviewed).Notices, "\n")
	}
	if got := notices(); !strings.Contains(got, "1 incident was reopened more often than its record tells") {
		t.Errorf("got the notices %q, want one about cycles that are not known", got)
	}
	if i.Reopens = 20; strings.Contains(notices(), "reopened") {
		t.Errorf("got %q, and all cycles are known", notices())
	}
}

// TestNeverAcknowledged: what was acknowledged and came back was acknowledged, although
// nobody did so the second time.
func TestNeverAcknowledged(t *testing.T) {
	i := *over(t).Incident
	i.Cycles = []incident.Cycle{{OpenedAt: night, AcknowledgedAt: night.Add(time.Minute), AcknowledgedBy: "ann", ResolvedAt: night.Add(2 * time.Minute)}}
	i.Reopens, i.FirstAcknowledgedAt, i.AcknowledgedAt, i.AcknowledgedBy = 1, time.Time{}, time.Time{}, ""
	for _, c := range []struct {
		cycles []incident.Cycle
		rows   int
	}{{i.Cycles, 0}, {[]incident.Cycle{{OpenedAt: night, ResolvedAt: night.Add(2 * time.Minute)}}, 1}} {
		i.Cycles = c.cycles
		d := report.Monthly(report.Month{Incidents: []*incident.Incident{&i}}, reviewed)
		if got := field(t, d, "unacknowledged").Text; got != fmt.Sprint(c.rows) {
			t.Errorf("%+v: over without an acknowledgement: got %s, want %d", c.cycles, got, c.rows)
		}
		for _, s := range d.Sections {
			if s.Name == "never_acknowledged" && len(s.Table.Rows) != c.rows {
				t.Errorf("%+v: got %+v as never acknowledged, want %d", c.cycles, s.Table.Rows, c.rows)
			}
		}
	}
}

// TestMonthSaysWhatStatisticsSay: what was promised when it was acknowledged counts, not what
// its priority promises now; and nobody acknowledged before they did.
func TestMonthSaysWhatStatisticsSay(t *testing.T) {
	c := over(t).Incident
	at := func(minute int) time.Time { return night.Add(time.Duration(minute) * time.Minute) }
	taken := func(i incident.Incident) *incident.Incident { // by ann, who took that back, and by bob
		i.FirstAcknowledgedAt, i.AcknowledgedAt, i.AcknowledgedBy = at(3), at(30), "bob"
		return &i
	}
	of := func(i *incident.Incident) (response, timeline string) {
		d := report.Monthly(report.Month{Incidents: []*incident.Incident{i}, Objectives: promised}, reviewed)
		for _, s := range d.Sections {
			for _, f := range s.Fields {
				switch {
				case s.Name != "incident":
				case f.Name == "response":
					response = f.Values[0].Text
				case f.Name == "timeline":
					timeline = f.Text
				}
			}
		}
		return response, timeline
	}
	for name, want := range map[string]struct {
		observed []incident.Observed
		response string
	}{
		"nothing was counted":           {nil, "acknowledged within 3 min, objective 5 min: kept"},
		"more was promised then":        {[]incident.Observed{{Metric: "response_objective_missed_total", At: at(2)}}, "acknowledged within 3 min, by what was promised then: missed"},
		"what was counted was the same": {[]incident.Observed{{Metric: "response_objective_met_total", At: at(3)}}, "acknowledged within 3 min, objective 5 min: kept"},
	} {
		i := taken(*c)
		i.Observed = want.observed
		response, timeline := of(i)
		if response != want.response {
			t.Errorf("%s: got %q, want %q", name, response, want.response)
		}
		if !strings.Contains(timeline, "04:03:00 CET (03:03:00 UTC): acknowledged\n") || strings.Contains(timeline, "(03:03:00 UTC): acknowledged by") {
			t.Errorf("%s: got the timeline %q, want nobody's name at the first acknowledgement", name, timeline)
		}
	}
}

func TestDrillsAreMarked(t *testing.T) {
	c := report.Case{Incident: drill(t)}
	for _, d := range []*report.Document{report.Disruption(c, inUTC), report.Closure(c, inUTC), report.Handover(c, inUTC)} {
		for _, format := range []string{"html", "md"} {
			if !strings.Contains(written(t, format, d), "EXERCISE") {
				t.Errorf("%s as %s does not say that it was an exercise", d.Kind, format)
			}
		}
		if !d.Drill {
			t.Errorf("%s: drill is not set", d.Kind)
		}
	}
}

func TestMostUrgentFirst(t *testing.T) {
	make := func(ref, priority, state string, opened int) *incident.Incident {
		return &incident.Incident{Reference: ref, Priority: priority, State: state, OpenedAt: night.Add(time.Duration(opened) * time.Minute)}
	}
	d := report.Shift(report.Watch{Open: []*incident.Incident{drill(t), make("e", "", "open", 0), make("d", "P2", "open", 0), make("c", "P1", "acknowledged", 0), make("b", "P1", "open", 1), make("a", "P1", "open", 0)}}, inUTC)
	got := ""
	for _, r := range d.Sections[0].Table.Rows {
		got += r.Cells[0].Text
	}
	if want := "abcdeINC-20261121-0DR1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestZones(t *testing.T) {
	for _, test := range []struct {
		at   time.Time
		zone *time.Location
		want string
	}{
		{night, nil, "2026-11-21 03:00:00 UTC"}, {night, time.UTC, "2026-11-21 03:00:00 UTC"}, {night, zurich, "2026-11-21 04:00:00 CET (03:00:00 UTC)"},
		{time.Date(2026, 7, 31, 23, 30, 0, 0, time.UTC), zurich, "2026-08-01 01:30:00 CEST (2026-07-31 23:30:00 UTC)"},
		{time.Date(26000, 1, 1, 0, 0, 0, 0, time.UTC), nil, "9999-12-31 23:59:59 UTC"},
	} {
		d := report.Disruption(report.Case{Incident: &incident.Incident{OpenedAt: test.at}}, report.View{Zone: test.zone})
		if got := field(t, d, "recorded").Text; got != test.want {
			t.Errorf("%s: got %q, want %q", test.at, got, test.want)
		}
	}
}

func TestNotTabular(t *testing.T) {
	if err := report.CSV(io.Discard, report.Closure(bare(t), inUTC)); !errors.Is(err, report.ErrNotTabular) {
		t.Errorf("got %v, want ErrNotTabular", err)
	}
}

// TestCap says when a timeline is not complete.
func TestCap(t *testing.T) {
	c := over(t)
	c.Timeline, c.Unread = c.Timeline[:10], 25
	if d := report.Closure(c, dayAfter); len(d.Notices) != 1 || !strings.Contains(d.Notices[0], "25 entries more than the 10") {
		t.Errorf("got %q", d.Notices)
	}
}
