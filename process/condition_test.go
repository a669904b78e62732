package process

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// asked is an incident about which every fact has something to say, in hours.
func asked() *incident.Incident {
	at := func(after time.Duration) time.Time { return monday.Add(after) }
	return &incident.Incident{
		State: incident.Acknowledged, Phase: incident.Mitigating, Severity: "error", Priority: "P2", Impact: "high", Urgency: "medium", Level: "minor",
		Category: "network", Service: "shop", Team: "dba", OpenedAt: at(0), CycleOpenedAt: at(0), StartedAt: at(-time.Hour), AcknowledgedAt: at(time.Minute),
		Reopens: 1, Cycles: []incident.Cycle{{OpenedAt: at(-10 * time.Hour)}}, Hosts: []string{"a", "b"}, Alerts: incident.Counts{Total: 5, Firing: 3},
		Roles: map[string]string{"incident_manager": "ana", "technical_lead": "bo"}, Children: []incident.ID{{1}},
		Process: &incident.Process{
			Assessment: &incident.Assessment{By: "ana"}, Tier: "L2", Working: []incident.Worker{{Who: "ana"}}, Customers: []string{"x", "y"},
			NextContact: at(3 * time.Hour), Updates: []incident.Update{{ID: 1, Public: true, At: at(time.Minute)}},
			Handovers: []incident.Handover{{To: "L2", AcceptedBy: "ana"}}, Contacts: []incident.Contact{{Who: "boss", Reached: true}},
			Confirmed: &incident.Confirmation{By: "ana"}, Calls: []incident.Call{{Chain: "tree", ConfirmedBy: "ana", ConfirmedAt: at(time.Minute)}},
			Findings: incident.Findings{Cause: "c", Solution: "s", Workaround: "w", Fix: "f", FollowUp: "u", Lessons: "l"},
			Openings: []time.Time{at(-20 * time.Hour), at(-60 * time.Hour)},
		},
	}
}

// TestFacts: every fact, and its contrary.
func TestFacts(t *testing.T) {
	g := newGuide(t, "profile: none\n", options())
	change := func(do func(i *incident.Incident, p *incident.Process)) *incident.Incident {
		i := asked()
		do(i, i.Process)
		return i
	}
	state := func(s string) *incident.Incident {
		return change(func(i *incident.Incident, _ *incident.Process) { i.State = s })
	}
	linking := func(kind string) *incident.Incident {
		return change(func(i *incident.Incident, _ *incident.Process) {
			i.Links = []incident.Link{{Name: "x", URL: "https://example.com", Kind: kind}}
		})
	}
	reviewed := func(response string) *incident.Incident {
		return change(func(_ *incident.Incident, p *incident.Process) {
			f := &p.Findings
			f.LessonsDetection, f.LessonsResponse, f.LessonsDiagnosis, f.LessonsCommunication, f.LessonsRestoration = "x", response, "x", "x", "x"
		})
	}
	tested := map[string]bool{}
	for _, c := range []struct {
		fact    string
		so, not *incident.Incident
	}{
		{"open", asked(), state(incident.Resolved)},
		{"acknowledged", asked(), state(incident.Open)},
		{"resolved", state(incident.Closed), asked()},
		{"closed", state(incident.Closed), state(incident.Resolved)},
		{"reopened", asked(), change(func(i *incident.Incident, _ *incident.Process) { i.Reopens = 0 })},
		{"drill", change(func(i *incident.Incident, _ *incident.Process) { i.Drill = true }), asked()},
		{"recovered", change(func(i *incident.Incident, _ *incident.Process) { i.Alerts.Firing = 0 }), asked()},
		{"assessed", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Assessment = nil })},
		{"updated", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Updates[0].NeedsSignature = true })},
		{"published", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Updates[0].Public = false })},
		{"updated", asked(), change(func(i *incident.Incident, _ *incident.Process) { i.CycleOpenedAt = monday.Add(time.Hour) })},
		{"published", asked(), change(func(i *incident.Incident, _ *incident.Process) { i.CycleOpenedAt = monday.Add(time.Hour) })},
		{"answered", asked(), change(func(i *incident.Incident, _ *incident.Process) { i.CycleOpenedAt = monday.Add(time.Hour) })},
		{"escalated", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Handovers = nil })},
		{"accepted", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Handovers[0].AcceptedBy = "" })},
		{"confirmed", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Confirmed = nil })},
		{"customer_affected", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Customers = nil })},
		{"customer_told", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.NextContact = monday })},
		{"part", change(func(_ *incident.Incident, p *incident.Process) { p.Customer = "x" }), asked()},
		{"worked_on", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Working = nil })},
		{"cause", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.Cause = "" })},
		{"solution", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.Solution = "" })},
		{"workaround", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.WorkaroundRemoved = monday })},
		{"fix", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.Fix = "" })},
		{"follow_up", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.FollowUp = "" })},
		{"lessons", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.Lessons = "" })},
		{"lessons", change(func(_ *incident.Incident, p *incident.Process) {
			p.Findings.Lessons, p.Findings.LessonsDiagnosis = "", "x"
		}),
			change(func(_ *incident.Incident, p *incident.Process) { p.Findings.Lessons = "" })},
		{"reviewed", reviewed("x"), reviewed("")},
		{"change_ticket", linking(incident.LinkChange), linking(incident.LinkProblem)},
		{"problem_ticket", linking(incident.LinkProblem), linking(incident.LinkChange)},
		{"post_mortem", linking(incident.LinkPostMortem), linking("")},
		{"settled", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Findings.FollowUp = "" })},
		{"settled", change(func(_ *incident.Incident, p *incident.Process) {
			p.Findings.FollowUp, p.Findings.WorkaroundRemoved = "", monday
		}),
			change(func(_ *incident.Incident, p *incident.Process) { p.Findings.FollowUp = "" })},
		{"followed_up", change(func(_ *incident.Incident, p *incident.Process) { p.Contacts[0].ToldRestored = monday }), asked()},
		{"contacted", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Contacts[0].Reached = false })},
		{"answered", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Calls[0].ConfirmedBy = "" })},
		{"tier", asked(), change(func(_ *incident.Incident, p *incident.Process) { p.Tier = "" })},
		{"technical_help", change(func(i *incident.Incident, _ *incident.Process) { i.Roles["technical_help"] = "bo" }), asked()},
		{"communications_manager", change(func(i *incident.Incident, _ *incident.Process) { i.Roles["communications_manager"] = "bo" }), asked()},
	} {
		tested[c.fact] = true
		for text, want := range map[string]bool{c.fact: true, "not " + c.fact: false, "  not   " + c.fact + " ": false} {
			cond, err := parseCondition(text, g)
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			if got := cond.hold(g.view(c.so, monday.Add(2*time.Hour))); got != want {
				t.Errorf("%q: got %t of one that is so", text, got)
			}
			if got := cond.hold(g.view(c.not, monday.Add(2*time.Hour))); got == want {
				t.Errorf("%q: got %t of one that is not", text, got)
			}
		}
	}
	for name := range facts {
		if !tested[name] && name != "business_hours" && name != "usage_hours" { // those are below
			t.Errorf("the fact %s has no test", name)
		}
	}
}

// TestComparisons: every fact with a value, and every operator.
func TestComparisons(t *testing.T) {
	g := newGuide(t, "profile: none\n", options())
	now := monday.Add(2 * time.Hour)
	for text, want := range map[string]bool{
		"state = acknowledged": true, "state != open": true, "phase = mitigating": true, "phase = observing": false,
		"severity = error": true, "severity != error": false, "severity >= error": true, "severity > warning": true, "severity < critical": true,
		"severity <= warning": false, `severity = "error"`: true, "severity='error'": true, "severity>info": true,
		"priority = P2": true, "priority >= P2": true, "priority > P1": false, "priority < P1": true, "priority <= P3": false,
		"impact = high": true, "impact > medium": true, "urgency < high": true, "urgency <= low": false,
		"level >= minor": true, "level > minor": false, "level < major": true, "level = trivial": false,
		"category = network": true, "service != shop": false, "team = dba": true, "team": true, "tier = L2": true, "tier != L3": true,
		"incident_manager": true, "incident_manager = ana": true, "communications_manager": false, "technical_lead != ana": true, "technical_help": false,
		"customers > 1": true, "customers > 2": false, "customers >= 2": true, "customers <= 2": true, "customers < 2": false, "customers = 2": true, "customers != 2": false,
		"hosts = 2": true, "firing = 3": true, "alerts = 5": true, "reopens = 1": true, "people = 1": true, "children = 1": true,
		"age = 2h": true, "age > 2h": false, "age >= 2h": true, "age < 3h": true, "outage = 3h": true, "outage >= 3h30m": false,
		"recurrences(48h) >= 3": true, "recurrences(48h) > 3": false, "recurrences(11h) = 2": false, "recurrences(13h) = 2": true, "recurrences(7d) = 4": true,
		"not customers > 2": true, "not severity = error": false,
		"business_hours": true, "usage_hours": true,
	} {
		c, err := parseCondition(text, g)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.hold(g.view(asked(), now)); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
	for name, list := range map[string][]string{"words": keys(words), "numbers": keys(numbers), "times": keys(times)} {
		for _, fact := range list {
			if !slices.Contains(Facts(), fact) {
				t.Errorf("Facts does not name %s of %s", fact, name)
			}
		}
	}
}

func keys[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	return list
}

func TestConditionsRefused(t *testing.T) {
	g := newGuide(t, "profile: none\n", options())
	for _, text := range []string{"", " ", "not", "not ", "nothing", "open = 1", "customers", "customers > many", "customers > 1 > 2", "age", "age > long",
		"severity > worst", "team > a", "a !b", "!", "=", "recurrences(48h)", "recurrences(x) > 1", "recurrences(48h > 1", "recurrences(0s) > 1", "not not open"} {
		if _, err := parseCondition(text, g); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestTurns: when hours and times change an answer.
func TestTurns(t *testing.T) {
	g := newGuide(t, "profile: none\ncalendar: {timezone: Europe/Zurich, hours: ['08:20-12:00'], holidays: [2026-03-03], usage_hours: [{days: [monday], hours: ['23:40-24:00']}]}\n", options())
	for text, want := range map[string]time.Time{
		"business_hours":       time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC),
		"usage_hours":          time.Date(2026, 3, 2, 22, 40, 0, 0, time.UTC),
		"age > 3h":             monday.Add(3 * time.Hour),
		"outage >= 3h":         monday.Add(2 * time.Hour),
		"age > 1s":             {},
		"customer_told":        monday.Add(3 * time.Hour),
		"not customer_told":    monday.Add(3 * time.Hour),
		"not business_hours":   time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC),
		"outage < 1h30m":       {},
		"outage = 2h":          monday.Add(time.Hour + time.Millisecond),
		"outage = 2h30m":       monday.Add(90 * time.Minute),
		"age <= 1h0m0s":        monday.Add(time.Hour + time.Millisecond),
		"age >= 1h0m0s":        monday.Add(time.Hour + time.Millisecond),
		"not age >= 2h":        monday.Add(2 * time.Hour),
		"not usage_hours":      time.Date(2026, 3, 2, 22, 40, 0, 0, time.UTC),
		"recurrences(48h) > 1": {},
	} {
		c, err := parseCondition(text, g)
		if err != nil {
			t.Fatal(err)
		}
		now := monday.Add(time.Hour)
		if text == "business_hours" || text == "not business_hours" {
			now = monday
		}
		var got time.Time
		if c.turns != nil {
			got = c.turns(g.view(asked(), now))
		}
		if !got.Equal(want) {
			t.Errorf("%q: turns at %s, want %s", text, got, want)
		}
	}
	// Over a holiday, to the minute.
	if got, want := hoursTurn(g.calendar.IsBusiness, monday.Add(90*time.Minute)), time.Date(2026, 3, 4, 7, 20, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("opens at %s, want %s", got, want)
	}
}
