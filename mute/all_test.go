package mute_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// world is a pipeline into a store in memory, and a Muter beside it.
type world struct {
	t     *testing.T
	store *counting
	pipe  *router.Pipeline
	reg   *prometheus.Registry
	mute.Options
}

// counting counts what is read, and can be slow.
type counting struct {
	store.Store
	lists, alerts atomic.Int64
	slow          time.Duration
	err           error
}

func (c *counting) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	c.lists.Add(1)
	if c.err != nil {
		return nil, "", c.err
	}
	select {
	case <-time.After(c.slow):
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	return c.Store.Incidents(ctx, q)
}

func (c *counting) Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]store.Record, string, error) {
	c.alerts.Add(1)
	return c.Store.Alerts(ctx, id, cursor, limit)
}

const rules = `
classify:
  rules:
    - {name: pods, matchers: ['pod!=""'], set: {labels: {kind: workload}}}
correlate:
  rules: [{name: groups, matchers: ['group!=""'], by: [group]}]
`

func newWorld(t *testing.T) *world {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	c, err := config.Load([]byte(rules), "tocsin.yml")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: &counting{Store: st}, reg: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w.pipe = router.New(st, log, prometheus.NewRegistry())
	if err := w.pipe.Set(t.Context(), c.Settings()); err != nil {
		t.Fatal(err)
	}
	w.Options = mute.Options{Store: w.store, Metrics: mute.NewMetrics(w.reg), Log: log}
	return w
}

func labelled(pairs ...string) alert.Alert {
	m := map[string]string{}
	for n := 0; n < len(pairs); n += 2 {
		m[pairs[n]] = pairs[n+1]
	}
	return alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Source: "alertmanager", Labels: alert.FromMap(m)}
}

// send takes alerts in, and returns the incident of the first one.
func (w *world) send(alerts ...alert.Alert) *incident.Incident {
	w.t.Helper()
	for n := range alerts {
		if alerts[n].ReceivedAt = w.store.Now(); alerts[n].Status == alert.Firing {
			alerts[n].StartsAt = w.store.Now()
		} else {
			alerts[n].EndsAt = w.store.Now()
		}
	}
	out, err := w.pipe.Accept(w.t.Context(), "alertmanager", alerts)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := incident.ParseID(out[0].Incident)
	if err != nil {
		w.t.Fatalf("%+v: %v", out[0], err)
	}
	return w.read(id)
}

func (w *world) read(id incident.ID) *incident.Incident {
	w.t.Helper()
	i, err := w.store.Incident(w.t.Context(), id.String())
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// over ends alerts.
func over(alerts ...alert.Alert) []alert.Alert {
	for n := range alerts {
		alerts[n].Status = alert.Resolved
	}
	return alerts
}

func (w *world) ask(a *mute.All, i *incident.Incident) notify.Hidden {
	w.t.Helper()
	h, hidden, err := a.Muted(w.t.Context(), i, w.store.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	if hidden != (h.By != "") {
		w.t.Errorf("hidden %t by %+v", hidden, h)
	}
	return h
}

// want checks who hides an incident, as it is now, and how that is said.
func (w *world) want(a *mute.All, i *incident.Incident, by, text string) notify.Hidden {
	w.t.Helper()
	h := w.ask(a, w.read(i.ID))
	if h.By != by || !strings.Contains(h.Text, text) {
		w.t.Errorf("%s: hidden by %q, %q; want %q, %q", i.Title, h.By, h.Text, by, text)
	}
	return h
}

func inhibition(t *testing.T, text string) *mute.Inhibition {
	t.Helper()
	c, err := amconfig.Load("route: {receiver: a}\nreceivers: [{name: a}]\ninhibit_rules:\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	return mute.NewInhibition(c.InhibitRules)
}

const nodes = `
  - {source_matchers: ['alertname="NodeDown"'], target_matchers: ['severity="warning"'], equal: [node]}
`

func TestAnIncidentIsInhibitedIfEachAlertIs(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Inhibition = inhibition(t, nodes)
		a := mute.New(w.Options)
		pod := func(n string) alert.Alert {
			return labelled("alertname", "PodDown", "group", "pods", "severity", "warning", "node", n)
		}
		target := w.send(pod("1"))
		w.want(a, target, "", "")
		down := labelled("alertname", "NodeDown", "group", "nodes", "severity", "critical", "node", "1")
		source := w.send(down, labelled("alertname", "NodeDown", "group", "nodes", "severity", "critical", "node", "3"))
		time.Sleep(2 * time.Second)
		h := w.want(a, target, "inhibition", "incident "+source.Reference+` (rule 1: source_matchers alertname="NodeDown")`)
		if !h.Until.IsZero() {
			t.Errorf("until %v, which nobody knows", h.Until)
		}
		w.want(a, source, "", "")
		w.send(pod("2"))
		w.want(a, target, "", "") // the pod of another node is not inhibited
		w.send(over(pod("2"))...)
		w.want(a, target, "inhibition", source.Reference)
		w.send(pod("3"))
		w.want(a, target, "inhibition", source.Reference)
		if _, err := w.pipe.Act(t.Context(), source.Reference, 0, func(e *incident.Edit) error { return e.Acknowledge("ann", "") }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		w.want(a, target, "inhibition", source.Reference)
		w.send(over(down)...)
		time.Sleep(2 * time.Second)
		w.want(a, target, "", "") // what still fires is told
		if got := testutil.ToFloat64(gather(t, w.reg)); got != 1 {
			t.Errorf("sources: got %v, want 1", got)
		}
	})
}

// gather returns the gauge of sources as it is.
func gather(t *testing.T, reg *prometheus.Registry) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "copy"})
	for _, f := range families {
		if f.GetName() == "tocsin_inhibition_sources" {
			g.Set(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return g
}

// TestRulesLabelsCount: what the rules set on an alert is matched as well.
func TestRulesLabelsCount(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Inhibition = inhibition(t, `
  - {source_matchers: ['alertname="ClusterDown"'], target_matchers: ['kind="workload"']}
`)
		w.Labels = func(a *alert.Alert) alert.Labels {
			if a.Labels.Get("pod") != "" {
				return alert.Labels{{Name: "kind", Value: "workload"}}
			}
			return nil
		}
		a := mute.New(w.Options)
		w.send(labelled("alertname", "ClusterDown", "group", "cluster"))
		w.want(a, w.send(labelled("alertname", "PodDown", "group", "pods", "pod", "x")), "inhibition", "rule 1")
		w.want(a, w.send(labelled("alertname", "DiskFull", "group", "disks")), "", "")
	})
}

// TestTheIndexIsCheap: it is read when somebody asks and a rule needs it, at most
// every two seconds, and of incidents that may matter and have changed.
func TestTheIndexIsCheap(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		target := w.send(labelled("alertname", "PodDown", "group", "pods", "severity", "warning", "node", "1"))
		for n := range 50 {
			w.send(labelled("alertname", "Other", "group", fmt.Sprint(n), "severity", "critical"))
		}
		w.ask(mute.New(w.Options), target)
		if n := w.store.lists.Load() + w.store.alerts.Load(); n != 0 {
			t.Errorf("without anything that hides: %d reads", n)
		}
		w.Inhibition = inhibition(t, nodes)
		a := mute.New(w.Options)
		w.ask(a, w.send(labelled("alertname", "Other", "group", "x", "severity", "critical")))
		if n := w.store.lists.Load() + w.store.alerts.Load(); n != 0 {
			t.Errorf("an incident that no rule is about: %d reads", n)
		}
		w.send(labelled("alertname", "NodeDown", "group", "nodes", "node", "1"))
		for range 10 {
			w.ask(a, target)
		}
		if lists, alerts := w.store.lists.Load(), w.store.alerts.Load(); lists != 1 || alerts != 11 {
			t.Errorf("ten questions at once: %d lists, alerts read %d times; want 1 list, the source's alerts once and the target's ten times", lists, alerts)
		}
		time.Sleep(2 * time.Second)
		w.ask(a, target)
		if lists, alerts := w.store.lists.Load(), w.store.alerts.Load(); lists != 2 || alerts != 12 {
			t.Errorf("after two seconds: %d lists, alerts read %d times; want 2, and the source's not again", lists, alerts)
		}
	})
}

// TestFailsOpen: where there is too much to look at, people are told.
func TestFailsOpen(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Inhibition = inhibition(t, nodes)
		a := mute.New(w.Options)
		target := w.send(labelled("alertname", "PodDown", "group", "pods", "severity", "warning", "node", "1"))
		w.send(labelled("alertname", "NodeDown", "group", "nodes", "node", "1"))
		w.store.slow = time.Minute
		w.want(a, target, "", "")
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(failedOpen("slow")), "tocsin_mute_failed_open_total"); err != nil {
			t.Error(err)
		}
		w.store.slow = 0
		time.Sleep(10 * time.Second)
		w.want(a, target, "inhibition", "")
		w.store.slow = time.Minute
		time.Sleep(time.Minute)
		w.want(a, target, "inhibition", "") // what was known still counts
		w.store.slow, w.store.err = 0, store.ErrUnavailable
		time.Sleep(time.Minute)
		if _, _, err := a.Muted(t.Context(), target, w.store.Now()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("without a store: got %v", err)
		}
	})
}

func failedOpen(reason string) string {
	text := "# HELP tocsin_mute_failed_open_total How often messages may have been told that should have been hidden, because there was too much to look at: sources of inhibitions, alerts of the incident, or too slow a store.\n# TYPE tocsin_mute_failed_open_total counter\n"
	for _, r := range []string{"alerts", "slow", "sources"} {
		n := 0
		if r == reason {
			n = 1
		}
		text += fmt.Sprintf("tocsin_mute_failed_open_total{reason=%q} %d\n", r, n)
	}
	return text
}

// silences hides what matches, until a time.
type silences struct {
	matchers labels.Matchers
	until    time.Time
}

func (s silences) Muted(now time.Time, l match.Labels) (notify.Hidden, bool) {
	if !now.Before(s.until) || !l.All(s.matchers) {
		return notify.Hidden{}, false
	}
	return notify.Hidden{By: "silence", Text: "silence 1", Until: s.until}, true
}

// TestSilencesAndWindows are asked of each alert: what hides one of them does not
// hide the others.
func TestSilencesAndWindows(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		now := w.store.Now()
		m, err := labels.NewMatcher(labels.MatchNotEqual, "env", "prod")
		if err != nil {
			t.Fatal(err)
		}
		silent := now.Add(time.Hour).Truncate(time.Second)
		w.Silences = silences{labels.Matchers{m}, silent}
		end := now.Add(2 * time.Hour).Truncate(time.Minute)
		w.Windows, err = mute.NewWindows([]mute.Window{{Name: "move", Matchers: []string{`rack="r1"`}, From: now.Add(-time.Hour).Format(time.RFC3339), To: end.Format(time.RFC3339)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := mute.New(w.Options)
		at := func(n, env, rack string) alert.Alert {
			return labelled("alertname", "Disk"+n, "group", "disks", "env", env, "rack", rack)
		}
		i := w.send(at("1", "dev", "r2"))
		if h := w.want(a, i, "silence", "silence 1"); !h.Until.Equal(silent) {
			t.Errorf("until %v, want %v", h.Until, silent)
		}
		w.send(at("2", "prod", "r2"))
		w.want(a, i, "", "") // although the labels that the two share have no env
		w.send(over(at("2", "prod", "r2"))...)
		w.want(a, i, "silence", "")
		w.send(at("3", "prod", "r1"))
		if h := w.want(a, i, "maintenance", ", and others"); !h.Until.Equal(silent) {
			t.Errorf("by different things: got %+v, want until %v, when the first of them ends", h, silent)
		}
		time.Sleep(silent.Sub(w.store.Now()))
		w.want(a, i, "", "")
		w.send(over(at("1", "dev", "r2"))...)
		if h := w.want(a, i, "maintenance", `window "move"`); !h.Until.Equal(end) {
			t.Errorf("until %v, want %v", h.Until, end)
		}
		w.send(over(at("3", "prod", "r1"))...)
		if i := w.read(i.ID); i.IsOpen() {
			t.Errorf("it is %s; muting hides messages, and nothing else", i.State)
		}
		w.want(a, i, "", "") // of those that have ended, not all are in the window
		time.Sleep(end.Sub(w.store.Now()))
		w.want(a, i, "", "")
	})
}

// TestAnIncidentWithoutAlerts is asked for by its own labels.
func TestAnIncidentWithoutAlerts(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, err := labels.NewMatcher(labels.MatchEqual, "service", "print")
		if err != nil {
			t.Fatal(err)
		}
		w.Silences = silences{labels.Matchers{m}, w.store.Now().Add(time.Hour)}
		a := mute.New(w.Options)
		for service, by := range map[string]string{"print": "silence", "scan": ""} {
			i, _, err := w.pipe.Report(t.Context(), router.Report{Title: service + " burns", Reporter: "eve", Severity: "critical", Service: service})
			if err != nil {
				t.Fatal(err)
			}
			w.want(a, i, by, "")
		}
	})
}

func TestDependencies(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var err error
		w.Services, err = mute.NewGraph([]mute.Service{{Name: "shop", DependsOn: []string{"web"}}, {Name: "web", DependsOn: []string{"db"}}, {Name: "db"}})
		if err != nil {
			t.Fatal(err)
		}
		a := mute.New(w.Options)
		db := labelled("alertname", "DBDown", "group", "db", "service", "db")
		shop := w.send(labelled("alertname", "Slow", "group", "shop", "service", "shop"))
		w.want(a, shop, "", "")
		other := w.send(labelled("alertname", "Other", "group", "other", "service", "mail"))
		upstream := w.send(db)
		time.Sleep(2 * time.Second)
		for range 2 {
			h := w.want(a, shop, "dependency", upstream.Reference+" of service db is open")
			if !h.Until.IsZero() {
				t.Errorf("until %v, which nobody knows", h.Until)
			}
		}
		w.want(a, other, "", "")
		w.want(a, upstream, "", "")
		child, parent := w.read(shop.ID), w.read(upstream.ID)
		if child.Parent != parent.ID || len(parent.Children) != 1 || parent.Children[0] != child.ID {
			t.Errorf("parent %v, children %v", child.Parent, parent.Children)
		}
		for _, i := range []*incident.Incident{child, parent} {
			entries, err := w.store.Timeline(t.Context(), i.ID, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := incident.VerifyTimeline(entries); len(entries) != 2 || entries[1].Action != "linked" || !ok {
				t.Errorf("%s: got %+v, want opened and linked", i.Title, entries)
			}
		}
		w.send(over(db)...)
		time.Sleep(2 * time.Second)
		if w.want(a, shop, "", ""); !w.read(shop.ID).Measured() { // what still fires is told, and counts
			t.Errorf("it is still a part of %v, which is over", w.read(shop.ID).Parent)
		}
		second := w.send(labelled("alertname", "WebDown", "group", "web", "service", "web"))
		time.Sleep(2 * time.Second)
		w.want(a, shop, "dependency", second.Reference)
		if got := w.read(shop.ID); got.Parent != second.ID {
			t.Errorf("parent %v, want %v, since the one before is over", got.Parent, second.ID)
		}
		w.want(a, second, "", "")
		drill, _, err := w.pipe.Report(t.Context(), router.Report{Title: "exercise", Reporter: "eve", Severity: "critical", Service: "db", Drill: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		w.want(a, second, "", "") // an exercise hides nothing
		w.want(a, drill, "", "")
	})
}

func TestDowntimes(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := mute.New(w.Options)
		check := func(service string) alert.Alert {
			c := labelled("alertname", service, "host", "web", "service", service)
			c.Key, c.PerHost = "web!"+service, true
			return c
		}
		i := w.send(check("load"))
		w.send(check("disk"))
		downtime := func(k alert.Kind, service string, ends time.Time) {
			t.Helper()
			time.Sleep(time.Second)
			m := check(service)
			m.Kind, m.ReceivedAt, m.EventAt, m.EndsAt = k, w.store.Now(), w.store.Now(), ends
			if _, err := w.pipe.Accept(t.Context(), "alertmanager", []alert.Alert{m}); err != nil {
				t.Fatal(err)
			}
		}
		w.want(a, i, "", "")
		first, second := w.store.Now().Add(time.Hour), w.store.Now().Add(2*time.Hour)
		downtime(alert.KindMaintenanceStarted, "load", first)
		w.want(a, i, "", "") // the disk is not in a downtime
		downtime(alert.KindMaintenanceStarted, "disk", second)
		if h := w.want(a, i, "downtime", "at alertmanager, and others"); !h.Until.Equal(first) {
			t.Errorf("until %v, want %v", h.Until, first)
		}
		downtime(alert.KindMaintenanceEnded, "disk", time.Time{})
		w.want(a, i, "", "")
		downtime(alert.KindMaintenanceStarted, "disk", second)
		w.want(a, i, "downtime", "")
		time.Sleep(first.Sub(w.store.Now()))
		w.want(a, i, "", "")
	})
}
