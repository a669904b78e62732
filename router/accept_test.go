package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// TestAStormAndItsEnd: a thousand alerts become the few incidents that they are.
func TestAStormAndItsEnd(t *testing.T) {
	g := newGateway(t)
	var storm []alert.Alert
	for n := range 200 {
		storm = append(storm, g.firing([]string{"Down", "Slow"}[n%2], fmt.Sprint(n), "cluster", "eu"))
	}
	out := g.send(storm...)
	reference := regexp.MustCompile(`^INC-20261121-[0-9A-Z]{4,}$`)
	seen := map[alert.Verdict]int{}
	for n, o := range out {
		seen[o.Verdict]++
		if !reference.MatchString(o.Reference) || o.Incident != out[n%2].Incident || o.Fingerprint.IsZero() {
			t.Fatalf("outcome %d: got %+v", n, o)
		}
	}
	if want := map[alert.Verdict]int{alert.Opened: 2, alert.Joined: 198}; !maps.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	if out[0].Incident == out[1].Incident || out[0].Reference == out[1].Reference {
		t.Errorf("two names, one incident: %+v", out[:2])
	}
	if i := g.incident(out[0].Reference); i.ID.String() != out[0].Incident || i.Title != "Down · eu" || i.Alerts.Firing != 100 || i.Rule != dedupe.DefaultRule {
		t.Errorf("by its reference: got %+v", i)
	}
	g.wait(time.Minute)
	for range 3 {
		for n, o := range g.send(storm...) {
			if o.Verdict != alert.Duplicate || o.Reference != out[n].Reference {
				t.Fatalf("the same again, alert %d: got %+v", n, o)
			}
		}
	}
	for n := range storm {
		storm[n] = g.over(storm[n])
	}
	for n, o := range g.send(storm...) {
		if o.Verdict != alert.ResolvedAlert || o.Reference != out[n].Reference {
			t.Fatalf("resolve %d: got %+v", n, o)
		}
	}
	for _, o := range out[:2] {
		i := g.incident(o.Incident)
		if want := []string{"opened", "joined 99", "alerts_resolved 100", "resolved"}; i.State != incident.Resolved || !slices.Equal(g.said(i.ID), want) {
			t.Errorf("got %s, %q; want resolved, %q", i.State, g.said(i.ID), want)
		}
	}
	checkStore(t, g.st)
}

// TestALifeByJobs: closed after a day, removed when the retention is over, and
// the references of both are still different the next day.
func TestALifeByJobs(t *testing.T) {
	g := newGateway(t, retention(30*24*time.Hour))
	a := g.firing("A", "1")
	first := g.send(a)[0]
	g.wait(time.Hour)
	g.send(g.over(a))
	g.wait(24*time.Hour - time.Second)
	if i := g.incident(first.Incident); i.State != incident.Resolved {
		t.Fatalf("a second before the day is over: %s", i.State)
	}
	g.wait(time.Second)
	if i := g.incident(first.Incident); i.State != incident.Closed || i.ClosedBy != incident.System {
		t.Fatalf("after a day: %s by %q", i.State, i.ClosedBy)
	}
	second := g.expect(verdicts(alert.Opened), g.firing("A", "1"))[0]
	if second.Reference == first.Reference || !strings.HasPrefix(second.Reference, "INC-20261122-") {
		t.Errorf("got %s after %s", second.Reference, first.Reference)
	}
	checkStore(t, g.st)
	g.wait(30*24*time.Hour - time.Second)
	g.incident(first.Incident)
	g.wait(time.Second)
	if _, err := g.st.Incident(context.Background(), first.Incident); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("after the retention: got %v, want it gone", err)
	}
	checkStore(t, g.st)
	if i := g.incident(second.Incident); !i.IsOpen() || i.Alerts.Firing != 1 {
		t.Errorf("the next incident of the key: got %+v", i)
	}
}

// TestReopenTakesBackTheJobs: what reopens is not closed by the job of before.
func TestReopenTakesBackTheJobs(t *testing.T) {
	g := newGateway(t)
	a := g.firing("A", "1")
	o := g.send(a)[0]
	g.wait(time.Minute)
	g.send(g.over(a))
	g.wait(time.Minute)
	g.expect(verdicts(alert.Reopened), g.firing("A", "1"))
	g.wait(48 * time.Hour)
	if i := g.incident(o.Incident); i.State != incident.Open || i.Reopens != 1 {
		t.Errorf("two days later: got %s, %d reopens; want it open", i.State, i.Reopens)
	}
}

// TestStillFiringReminds, every hour, and keeps the incident from being closed.
func TestStillFiringReminds(t *testing.T) {
	g := newGateway(t)
	a := g.firing("A", "1")
	o := g.send(a)[0]
	if _, err := g.Act(context.Background(), o.Reference, 0, func(e *incident.Edit) error { return e.Resolve("ana", "") }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.wait(time.Hour)
	}
	id := g.incident(o.Incident).ID
	want := []string{"opened", "resolved", "still_firing 1", "still_firing 1", "still_firing 1"}
	if got := g.said(id); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range 47 {
		g.wait(time.Hour)
	}
	if i := g.incident(o.Incident); i.State != incident.Resolved {
		t.Errorf("two days later, still firing: %s, want it resolved", i.State)
	}
	g.send(g.over(a))
	for range 25 {
		g.wait(time.Hour)
	}
	if i := g.incident(o.Incident); i.State != incident.Closed {
		t.Errorf("a day after the alert ended: %s, want it closed", i.State)
	}
}

// TestTwoGatewaysOpenOneIncident: many requests about the same keys at the same
// moment, through two pipelines.
func TestTwoGatewaysOpenOneIncident(t *testing.T) {
	st := open(t, "mem:", embedded.Options{})
	gateways := []*Pipeline{pipeline(t, st, settings()), pipeline(t, st, settings())}
	const keys, senders = 20, 8
	start := make(chan struct{})
	results := make([][]alert.Outcome, senders)
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			<-start
			for k := range keys {
				a := alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: epoch, StartsAt: epoch,
					Labels: alert.FromMap(kv("alertname", fmt.Sprint("K", k), "severity", "critical", "pod", fmt.Sprint(s/2)))}
				out, err := gateways[s%2].Accept(context.Background(), "alertmanager", []alert.Alert{a})
				if err != nil {
					t.Error(err)
					return
				}
				results[s] = append(results[s], out...)
			}
		})
	}
	close(start)
	group.Wait()
	for k := range keys {
		got := map[alert.Verdict]int{}
		for s := range senders {
			got[results[s][k].Verdict]++
			if results[s][k].Reference != results[0][k].Reference {
				t.Errorf("key %d: %s and %s", k, results[s][k].Reference, results[0][k].Reference)
			}
		}
		// Two gateways said each of the four alerts.
		if want := map[alert.Verdict]int{alert.Opened: 1, alert.Joined: 3, alert.Duplicate: 4}; !maps.Equal(got, want) {
			t.Errorf("key %d: got %v, want %v", k, got, want)
		}
	}
	if n := len(incidents(t, st)); n != keys {
		t.Errorf("got %d incidents, want %d", n, keys)
	}
	checkStore(t, st)
}

// TestSuppressed: what a rule suppresses opens nothing and leaves nothing, but
// what is known still ends.
func TestSuppressed(t *testing.T) {
	g := newGateway(t)
	for name, a := range map[string]alert.Alert{"Watchdog": g.firing("Watchdog", "1"), "none": g.firing("A", "1", "severity", "none")} {
		for _, a := range []alert.Alert{a, a, g.over(a)} {
			if o := g.expect(verdicts(alert.Suppressed), a)[0]; o.Reason == "" || o.Incident != "" || o.Fingerprint.IsZero() {
				t.Errorf("%s: got %+v", name, o)
			}
		}
	}
	if got := g.entries(); len(got) != 0 {
		t.Errorf("stored: %+v, want nothing", got)
	}
	a, b := g.firing("A", "1"), g.firing("A", "2")
	a.ValidUntil = g.clock.read().Add(5 * time.Minute)
	opened := g.send(a, b)
	quiet := settings(func(s *Settings) {
		s.Classify.Rules = []Rule{{Name: "quiet", Matchers: []string{`alertname="A"`}, Suppress: true}}
	})
	if err := g.Set(context.Background(), quiet); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		g.wait(4 * time.Minute)
		a.ValidUntil = g.clock.read().Add(5 * time.Minute)
		o := g.expect(verdicts(alert.Duplicate, alert.Duplicate, alert.Suppressed), g.again(a), g.again(b), g.firing("A", "3"))
		if o[0].Incident != opened[0].Incident || o[2].Reason != "rule: quiet" {
			t.Errorf("%s the generations are reconciled: got %+v", when, o)
		}
		if err := g.reconcile(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.rules.Load().elders); n != 0 {
		t.Errorf("%d older generations live on", n)
	}
	g.wait(time.Minute)
	g.expect(verdicts(alert.ResolvedAlert, alert.ResolvedAlert), g.over(a), g.over(b))
	if i := g.incident(opened[0].Incident); i.State != incident.Resolved {
		t.Errorf("got %s, want resolved", i.State)
	}
	g.wait(time.Minute)
	g.expect(verdicts(alert.Suppressed), g.firing("A", "1"))
	checkStore(t, g.st)
}

// TestValidity: what Prometheus does not repeat ends, what it repeats does not.
func TestValidity(t *testing.T) {
	g := newGateway(t, func(s *Settings) { s.Sources["nagios"] = SourceSettings{ResolveAfter: 10 * time.Minute} })
	a := g.firing("A", "1")
	repeat := func() alert.Alert {
		a := g.again(a)
		a.ValidUntil = a.ReceivedAt.Add(4 * time.Minute)
		return a
	}
	o := g.send(repeat())[0]
	for range 20 {
		g.wait(time.Minute)
		g.expect(verdicts(alert.Duplicate), repeat())
	}
	g.wait(4*time.Minute - time.Second)
	if i := g.incident(o.Incident); i.State != incident.Open {
		t.Fatalf("a second before: %s", i.State)
	}
	g.wait(time.Second)
	if i := g.incident(o.Incident); i.State != incident.Resolved || !i.RestoredAt.Equal(g.clock.read()) {
		t.Errorf("after 4 minutes of silence: %s, restored %v", i.State, i.RestoredAt)
	}
	g.wait(time.Minute)
	g.expect(verdicts(alert.Reopened), repeat())

	n := g.firing("N", "1")
	n.Source = "nagios"
	o = g.send(n)[0]
	g.wait(6 * time.Minute)
	g.expect(verdicts(alert.Duplicate), g.again(n))
	g.wait(6 * time.Minute)
	if i := g.incident(o.Incident); i.State != incident.Open {
		t.Errorf("resolve_after, repeated in between: %s", i.State)
	}
	g.wait(4 * time.Minute)
	if i := g.incident(o.Incident); i.State != incident.Resolved {
		t.Errorf("resolve_after, 10 minutes of silence: %s", i.State)
	}
	checkStore(t, g.st)
}

// TestSilenceOfOurOwn does not count: after an outage everybody gets one
// validity more.
func TestSilenceOfOurOwn(t *testing.T) {
	c := &clock{now: epoch}
	url := "file:" + t.TempDir()
	st, err := embedded.Open(url, embedded.Options{Now: c.read})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Pipeline: pipeline(t, st, settings()), t: t, clock: c, st: st}
	a := g.firing("A", "1")
	a.ValidUntil = epoch.Add(4 * time.Minute)
	o := g.send(a)[0]
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	c.add(time.Hour)
	again := open(t, url, embedded.Options{Now: c.read})
	g = &gateway{Pipeline: pipeline(t, again, settings()), t: t, clock: c, st: again}
	g.wait(4*time.Minute - time.Second)
	if i := g.incident(o.Incident); i.State != incident.Open {
		t.Errorf("within the grace: %s, want open", i.State)
	}
	g.wait(2 * time.Second)
	if i := g.incident(o.Incident); i.State != incident.Resolved {
		t.Errorf("after the grace: %s, want resolved", i.State)
	}
}

// TestTombstonesAreForgotten: what is known of alerts without an incident does
// not stay for ever.
func TestTombstonesAreForgotten(t *testing.T) {
	g := newGateway(t)
	a := g.firing("A", "1")
	g.expect(verdicts(alert.Recorded), g.over(a))
	g.wait(5 * time.Minute)
	g.expect(verdicts(alert.Recorded), g.over(g.firing("A", "2")))
	g.expect(verdicts(alert.Stale), g.again(a))
	g.wait(23*time.Hour + 57*time.Minute)
	if got := g.entries(); len(got) != 2 {
		t.Fatalf("after a day: %d, want 2, because both came within it", len(got))
	}
	g.wait(24 * time.Hour)
	if got := g.entries(); len(got) != 0 {
		t.Errorf("two days later: %+v, want nothing", got)
	}
	jobs, err := g.st.Jobs(context.Background())
	if err != nil || len(jobs) != 0 {
		t.Errorf("jobs: %+v (%v), want none", jobs, err)
	}
}

// TestHeldEndToEnd: what a threshold held in earlier requests joins, and its labels count.
func TestHeldEndToEnd(t *testing.T) {
	g := newGateway(t, func(s *Settings) {
		s.Correlate.Rules = []dedupe.Rule{{Name: "three", Matchers: []string{`alertname="A"`}, By: []string{"alertname"}, Threshold: dedupe.Threshold{Count: 3, Window: 600e9}}}
		s.Classify.Rules = []Rule{{Name: "site", Set: Set{Labels: kv("site", "${label:zone}-1")}}}
	})
	g.expect(verdicts(alert.Held), g.firing("A", "1", "zone", "x"))
	g.wait(time.Minute)
	held := g.firing("A", "2", "zone", "x")
	g.expect(verdicts(alert.Held, alert.Duplicate), held, held)
	g.wait(time.Minute)
	o := g.expect(verdicts(alert.Opened), g.firing("A", "3", "zone", "x"))[0]
	i := g.incident(o.Incident)
	if want := kv("alertname", "A", "severity", "warning", "zone", "x", "site", "x-1"); i.Alerts.Total != 3 || !maps.Equal(i.Labels, want) || !i.StartedAt.Equal(epoch) {
		t.Errorf("got %+v, labels %v, started %v; want 3 alerts, %v, %v", i.Alerts, i.Labels, i.StartedAt, want, epoch)
	}
	if got := g.expect(verdicts(alert.Duplicate), g.again(held)); got[0].Reference != o.Reference {
		t.Errorf("a repeat of what was held: got %+v", got)
	}
	checkStore(t, g.st)
}

// meddler is a store under which something happens between a request's reading
// and its commit.
type meddler struct {
	store.Store
	before func()
}

func (m *meddler) Update(ctx context.Context, changes []incident.Change) error {
	if f := m.before; f != nil {
		m.before = nil
		f()
	}
	return m.Store.Update(ctx, changes)
}

// TestAReloadWithinARequest: the request is placed again under the new list of
// generations; the fingerprint of an alert that is too large is still of the whole.
func TestAReloadWithinARequest(t *testing.T) {
	st := open(t, "mem:", embedded.Options{})
	m := &meddler{Store: st}
	p := pipeline(t, m, settings())
	other := pipeline(t, st, settings())
	a := alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: epoch, StartsAt: epoch,
		Labels: alert.FromMap(kv("alertname", "A", "severity", "critical", "big", strings.Repeat("x", 2*alert.MaxLabelValue)))}
	changed := settings(func(s *Settings) {
		s.Classify.Rules = []Rule{{Name: "r", Matchers: []string{`a="b"`}, Set: Set{Service: "x"}}}
	})
	m.before = func() {
		if err := other.Set(context.Background(), changed); err != nil {
			t.Error(err)
		}
	}
	whole := a.Labels.Clone()
	out, err := p.Accept(context.Background(), "alertmanager", []alert.Alert{a})
	if err != nil {
		t.Fatal(err)
	}
	var h dedupe.Hasher
	want := h.Fingerprint(&dedupe.Identity{Namespace: "alertmanager"}, &alert.Alert{Labels: whole})
	if out[0].Verdict != alert.Opened || out[0].Fingerprint != want {
		t.Errorf("got %+v, want opened, fingerprint %s", out[0], want)
	}
	all := entries(t, st)
	if len(all) != 1 || all[0].Entry.Fingerprint != want {
		t.Fatalf("stored: %+v, want one entry, %s", all, want)
	}
	if c := all[0].Content; c.Flags&alert.FlagCut == 0 || len(c.Labels.Get("big")) != alert.MaxLabelValue {
		t.Errorf("stored: %d bytes, flags %v; want it cut", len(c.Labels.Get("big")), c.Flags.Names())
	}
}

// TestAReloadThatNeverEnds is a 503, not a loop.
func TestAReloadThatNeverEnds(t *testing.T) {
	st := open(t, "mem:", embedded.Options{})
	m := &restless{Store: st}
	p := pipeline(t, m, settings())
	m.on = true
	_, err := p.Accept(context.Background(), "alertmanager", []alert.Alert{*labelled("alertname", "A")})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

type restless struct {
	store.Store
	on bool
}

func (r *restless) Update(ctx context.Context, changes []incident.Change) error {
	if r.on {
		return store.ErrEpoch
	}
	return r.Store.Update(ctx, changes)
}

// TestUnknownSeverityIsCounted once for each alert.
func TestUnknownSeverityIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := New(open(t, "mem:", embedded.Options{}), slog.New(slog.DiscardHandler), reg)
	if err := p.Set(context.Background(), settings()); err != nil {
		t.Fatal(err)
	}
	series := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() != "tocsin_alerts_unknown_severity_total" {
					continue
				}
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
		return got
	}
	if got, want := series(), map[string]float64{"alertmanager": 0, "prometheus": 0}; !maps.Equal(got, want) {
		t.Errorf("from the start: got %v, want %v", got, want)
	}
	out, err := p.Accept(context.Background(), "alertmanager", []alert.Alert{*labelled("alertname", "A", "severity", "odd"), *labelled("alertname", "A", "severity", "page"),
		*labelled("alertname", "B", "severity", "none")})
	if err != nil || len(out) != 3 {
		t.Fatal(out, err)
	}
	if got, want := series(), map[string]float64{"alertmanager": 1, "prometheus": 0}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestNothingIsAskedOfTheStore when there is nothing to say.
func TestNothingIsAskedOfTheStore(t *testing.T) {
	g := newGateway(t)
	if out := g.send(); len(out) != 0 {
		t.Errorf("got %+v", out)
	}
}

// TestJobsThatFailComeAgain, later each time, and keep no other from being done.
func TestJobsThatFailComeAgain(t *testing.T) {
	g := newGateway(t)
	o := g.send(g.firing("A", "1"))[0]
	id := g.incident(o.Incident)
	change := incident.Change{ID: [16]byte{1}, Key: id.Key, Step: func(st incident.State) (incident.Next, error) {
		return incident.Next{Jobs: []incident.Job{{Subject: "x", Kind: "unheard of", Due: epoch}, {Subject: "not an id", Kind: incident.JobClose, Due: epoch},
			{Subject: incident.ID{9}.String(), Kind: incident.JobClose, Due: epoch}, {Subject: incident.ID{9}.String(), Kind: incident.JobRetention, Due: epoch},
			{Subject: id.ID.String(), Kind: incident.JobStillFiring, Due: epoch}, {Subject: id.ID.String(), Kind: incident.JobRetention, Due: epoch}}}, nil
	}}
	if err := g.st.Update(context.Background(), []incident.Change{change}); err != nil {
		t.Fatal(err)
	}
	g.wait(0)
	jobs, err := g.st.Jobs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, j := range jobs {
		left = append(left, fmt.Sprint(j.Kind, " ", j.State, " ", j.Count))
	}
	if want := []string{"close waiting 1", "unheard of waiting 1"}; !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
	if i := g.incident(o.Incident); i.State != incident.Open || i.Version != id.Version {
		t.Errorf("jobs that had nothing to do changed the incident: %+v", i)
	}
}
