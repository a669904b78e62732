package report_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	_ "time/tzdata" // on any machine

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

// night is when the incidents of the tests begin.
var night = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// zurich is an hour ahead of UTC in November.
var zurich = func() *time.Location {
	z, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		panic(err)
	}
	return z
}()

// recorded is an incident with its timeline, as a gateway had stored them.
func recorded(t testing.TB, name string) report.Case {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".record.json"))
	var r struct {
		Incident *incident.Incident       `json:"incident"`
		Timeline []incident.TimelineEntry `json:"timeline"`
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return report.Case{Incident: r.Incident, Timeline: r.Timeline}
}

// shop is an incident in the middle of the night, with everything that the process knows.
func shop(t testing.TB) report.Case {
	c := recorded(t, "shop")
	c.Owner = "Dora Dee, dora@shop.example"
	c.Alerts = []report.Alert{{Name: "CheckoutErrors", Host: "web-1", Severity: "critical", Summary: "5 % of payments fail", URL: "https://prometheus.example/graph?g0=1", Since: night.Add(-4 * time.Minute)}}
	c.Duties = []report.Duty{{Name: "status_update", Due: night.Add(85 * time.Minute), Text: "write a status update"}, {Name: "call_management", Due: night.Add(50 * time.Minute), Text: "call the next level of management"}}
	c.Similar = []report.Similar{{Reference: "INC-20261003-2AB1", Title: "Checkout of the shop fails", State: "closed", OpenedAt: night.AddDate(0, -1, -18), Outage: 47 * time.Minute, Over: true, Why: "the same problem", Cause: "a full disk", Solution: "a larger one"}}
	return c
}

// over is the same incident the day after.
func over(t testing.TB) report.Case {
	c := recorded(t, "over")
	c.Owner = "Dora Dee, dora@shop.example"
	return c
}

// bare is an incident of which nobody said anything.
func bare(t testing.TB) report.Case {
	c := recorded(t, "bare")
	c.NoProcess = true
	return c
}

// drill is an exercise.
func drill(t testing.TB) *incident.Incident {
	i := bare(t).Incident
	i.ID[15], i.Reference, i.Title, i.Drill, i.Severity, i.Priority = 9, "INC-20261121-0DR1", "Exercise: the lake is gone", true, "critical", "P1"
	return i
}

// child is a customer's part of the incident of the shop.
func child(t testing.TB) report.Case {
	c := over(t)
	c.Incident.Parent, c.Incident.ID[15], c.Incident.Reference = c.Incident.ID, 8, "INC-20261121-0CH1"
	c.Incident.Process.Customer = "Acme"
	return c
}

// promised are the objectives of each priority.
func promised(i *incident.Incident) report.Objectives {
	return map[string]report.Objectives{"P1": {Response: 5 * time.Minute, Resolution: time.Hour}, "P3": {Response: time.Hour, Resolution: 8 * time.Hour}, "P4": {Response: 4 * time.Hour}}[i.Priority]
}

// month is a month with the incidents above, an exercise and a child.
func month(t testing.TB) report.Month {
	return report.Month{From: time.Date(2026, 11, 1, 0, 0, 0, 0, zurich), To: time.Date(2026, 12, 1, 0, 0, 0, 0, zurich),
		Incidents:     []*incident.Incident{bare(t).Incident, drill(t), over(t).Incident, child(t).Incident, recorded(t, "queue").Incident},
		Objectives:    promised,
		Communication: []string{"status_update"}, Uncounted: []string{"raise-major"},
		Silences: []report.Silence{{What: `alertname="QueueLong"`, By: "bob", Comment: "being rebuilt", From: night, To: night.Add(2 * time.Hour), Hid: []string{"INC-20261121-0Q11"}, More: 2}},
		LeftOut:  []string{"The month has more than 5 incidents; the oldest are left out."}}
}

// watch is what a shift leaves to the next.
func watch(t testing.TB) report.Watch {
	s, b := shop(t), bare(t)
	w := report.Watch{Since: night.Add(-8 * time.Hour), Open: []*incident.Incident{b.Incident, drill(t), s.Incident},
		Hidden: []report.Hidden{{Incident: b.Incident, By: "silence", Text: "disks are being replaced", Until: night.Add(3 * time.Hour)}}}
	for _, d := range s.Duties {
		w.Duties = append(w.Duties, report.Due{Incident: s.Incident, Duty: d})
	}
	for _, e := range s.Timeline {
		w.Happened = append(w.Happened, report.Event{Incident: s.Incident, Entry: e})
	}
	for _, e := range b.Timeline {
		w.Happened = append(w.Happened, report.Event{Incident: b.Incident, Entry: e})
	}
	return w
}
