package router

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// epoch is when the tests begin.
var epoch = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// clock is a clock that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// gateway is a pipeline over a store in memory, with a clock.
type gateway struct {
	*Pipeline
	t     *testing.T
	clock *clock
	st    store.Store
}

func newGateway(t *testing.T, change ...func(*Settings)) *gateway {
	t.Helper()
	c := &clock{now: epoch}
	st := open(t, "mem:", embedded.Options{Now: c.read})
	return &gateway{Pipeline: pipeline(t, st, settings(change...)), t: t, clock: c, st: st}
}

func retention(d time.Duration) func(*Settings) {
	return func(s *Settings) { s.Incidents.Retention = model.Duration(d) }
}

// firing is an alert that fires since now.
func (g *gateway) firing(name, pod string, more ...string) alert.Alert {
	now := g.clock.read()
	labels := kv(append([]string{"alertname", name, "pod", pod, "severity", "warning"}, more...)...)
	return alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: now, StartsAt: now, Labels: alert.FromMap(labels)}
}

// again is the same alert as it comes now.
func (g *gateway) again(a alert.Alert) alert.Alert {
	a.ReceivedAt = g.clock.read()
	return a
}

// over is the end of an alert, now.
func (g *gateway) over(a alert.Alert) alert.Alert {
	a.Status, a.ReceivedAt, a.EndsAt, a.ValidUntil = alert.Resolved, g.clock.read(), g.clock.read(), time.Time{}
	return a
}

func (g *gateway) send(alerts ...alert.Alert) []alert.Outcome {
	g.t.Helper()
	out, err := g.Accept(context.Background(), "alertmanager", alerts)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// expect sends and compares the verdicts.
func (g *gateway) expect(want []alert.Verdict, alerts ...alert.Alert) []alert.Outcome {
	g.t.Helper()
	out := g.send(alerts...)
	if got := verdictsOf(out); !slices.Equal(got, want) {
		g.t.Fatalf("got %v, want %v", got, want)
	}
	return out
}

func verdictsOf(out []alert.Outcome) []alert.Verdict {
	got := make([]alert.Verdict, len(out))
	for n := range out {
		got[n] = out[n].Verdict
	}
	return got
}

func verdicts(v ...alert.Verdict) []alert.Verdict { return v }

// wait lets time pass and does the jobs that are due.
func (g *gateway) wait(d time.Duration) {
	g.t.Helper()
	g.clock.add(d)
	if err := g.RunDue(context.Background()); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) incident(name string) *incident.Incident {
	g.t.Helper()
	i, err := g.st.Incident(context.Background(), name)
	if err != nil {
		g.t.Fatal(err)
	}
	return i
}

// incidents lists all, newest first.
func (g *gateway) incidents(states ...string) []*incident.Incident {
	g.t.Helper()
	return incidents(g.t, g.st, states...)
}

func incidents(t testing.TB, st store.Store, states ...string) []*incident.Incident {
	t.Helper()
	var all []*incident.Incident
	for cursor := ""; ; {
		list, next, err := st.Incidents(context.Background(), store.Query{States: states, Limit: 1000, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, list...); next == "" {
			return all
		}
		cursor = next
	}
}

func (g *gateway) alerts(id incident.ID) []store.Record {
	g.t.Helper()
	return alerts(g.t, g.st, id)
}

func alerts(t testing.TB, st store.Store, id incident.ID) []store.Record {
	t.Helper()
	var all []store.Record
	for cursor := ""; ; {
		list, next, err := st.Alerts(context.Background(), id, cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, list...); next == "" {
			return all
		}
		cursor = next
	}
}

// said lists the actions of an incident's timeline, with counts.
func (g *gateway) said(id incident.ID) []string {
	g.t.Helper()
	entries, err := g.st.Timeline(context.Background(), id, 0, 1000)
	if err != nil {
		g.t.Fatal(err)
	}
	if broken, ok := incident.VerifyTimeline(entries); !ok {
		g.t.Errorf("timeline of %s breaks at entry %d", id, broken)
	}
	var out []string
	for _, e := range entries {
		text := e.Action
		if e.Count > 0 {
			text = fmt.Sprintf("%s %d", e.Action, e.Count)
		}
		out = append(out, text)
	}
	return out
}

// entries lists everything that is stored of alerts.
func (g *gateway) entries() []store.Record {
	g.t.Helper()
	return entries(g.t, g.st)
}

func entries(t testing.TB, st store.Store) []store.Record {
	t.Helper()
	var all []store.Record
	for cursor := ""; ; {
		list, next, err := st.ScanEntries(context.Background(), cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if all, cursor = append(all, list...), next; cursor == "" {
			return all
		}
	}
}

// checkStore fails the test where what is stored contradicts itself: each
// incident counts what it lists, at most one of a key is open, and an alert
// that fires names an incident that lists it.
func checkStore(t testing.TB, st store.Store) {
	t.Helper()
	open := map[incident.Key]string{}
	listed := map[incident.ID]map[alert.Fingerprint]bool{}
	for _, i := range incidents(t, st) {
		listed[i.ID] = map[alert.Fingerprint]bool{}
		firing := 0
		for _, r := range alerts(t, st, i.ID) {
			if listed[i.ID][r.Entry.Fingerprint] {
				t.Errorf("incident %s lists alert %s twice", i.Reference, r.Entry.Fingerprint)
			}
			listed[i.ID][r.Entry.Fingerprint] = true
			if r.Entry.Firing {
				firing++
			}
			if r.Content == nil {
				t.Errorf("incident %s: what alert %s said is lost", i.Reference, r.Entry.Fingerprint)
			}
		}
		if i.Alerts.Total != len(listed[i.ID]) || i.Alerts.Firing != firing {
			t.Errorf("incident %s counts %+v, but lists %d alerts of which %d fire", i.Reference, i.Alerts, len(listed[i.ID]), firing)
		}
		if i.IsOpen() {
			if other, twice := open[i.Key]; twice {
				t.Errorf("key %s has two open incidents, %s and %s", i.Key, other, i.Reference)
			}
			open[i.Key] = i.Reference
		}
	}
	for _, r := range entries(t, st) {
		if r.Entry.Firing && !r.Entry.Incident.IsZero() && !listed[r.Entry.Incident][r.Entry.Fingerprint] {
			t.Errorf("alert %s fires in incident %s, which does not list it", r.Entry.Fingerprint, r.Entry.Incident)
		}
	}
}
