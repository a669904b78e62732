package transfer_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// epoch is when the tests begin.
var epoch = time.Date(2026, 11, 21, 3, 0, 0, 123456789, time.UTC)

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

func logTo(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

func isRedis(u string) bool { return redis.Handles(u) }

// open opens the store that u names, as a gateway does.
func open(t testing.TB, u string, now func() time.Time) store.Store {
	t.Helper()
	st, err := tryOpen(t, u, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() }) // again, if the test has done it
	return st
}

func tryOpen(t testing.TB, u string, now func() time.Time) (store.Store, error) {
	if isRedis(u) {
		return opened(t, redis.Open, u, now)
	}
	st, err := embedded.Open(u, embedded.Options{Now: now, Logger: logTo(t)})
	if err != nil {
		return nil, err
	}
	return st, nil
}

// opened is what one of the functions returns that open what is in Redis.
func opened[T any](t testing.TB, open func(context.Context, string, redis.Options) (T, error), u string, now func() time.Time) (v T, err error) {
	t.Helper()
	err = redistest.Retry(t, func() error {
		v, err = open(t.Context(), u, redis.Options{Now: now, Logger: logTo(t), Timeout: 20 * time.Second})
		return err
	})
	return v, err
}

func openSource(t testing.TB, u string) (transfer.Source, error) {
	if isRedis(u) {
		return opened(t, redis.OpenSource, u, nil)
	}
	s, err := embedded.OpenSource(u, embedded.Options{Logger: logTo(t)})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openTarget(t testing.TB, u string) (transfer.Target, error) {
	if isRedis(u) {
		return opened(t, redis.OpenTarget, u, nil)
	}
	s, err := embedded.OpenTarget(u, embedded.Options{Logger: logTo(t)})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// try copies once, as the command does.
func try(t testing.TB, ctx context.Context, from, to string, o transfer.Options) (transfer.Report, error) {
	t.Helper()
	source, err := openSource(t, from)
	if err != nil {
		return transfer.Report{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	target, err := openTarget(t, to)
	if err != nil {
		return transfer.Report{}, err
	}
	report, err := transfer.Copy(ctx, source, target, o)
	if closing := target.Close(); err == nil {
		err = closing
	}
	return report, err
}

func mustCopy(t testing.TB, from, to string) transfer.Report {
	t.Helper()
	report, err := try(t, t.Context(), from, to, transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

var stores atomic.Int64

// newFolder and newPrefix name stores that are empty.
func newFolder(t testing.TB) string { return "file:" + filepath.Join(t.TempDir(), "data") }

func newPrefix(server string) string {
	return fmt.Sprintf("%s?prefix=%s", server, url.QueryEscape(fmt.Sprintf("copy%d", stores.Add(1))))
}

// gateway is a pipeline over a store, with a clock.
type gateway struct {
	*router.Pipeline
	t     testing.TB
	clock *clock
	st    store.Store
}

func newGateway(t testing.TB, u string, c *clock) *gateway {
	t.Helper()
	g := &gateway{t: t, clock: c, st: open(t, u, c.read)}
	g.Pipeline = router.New(g.st, logTo(t), prometheus.NewRegistry())
	g.set(0)
	return g
}

func (g *gateway) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// set makes the settings those of the given generation.
func (g *gateway) set(generation int) {
	g.t.Helper()
	s := router.Settings{
		Classify:  router.Config{Severities: []string{"critical", "error", "warning", "info"}, DefaultSeverity: "warning", Categories: []string{"software"}},
		Correlate: dedupe.DefaultConfig(), Incidents: incident.Config{Matrix: incident.DefaultMatrix(), Retention: model.Duration(90 * 24 * time.Hour)},
		Sources: map[string]router.SourceSettings{"alertmanager": {}},
	}
	s.Correlate.Rules = []dedupe.Rule{{Name: fmt.Sprint("hosts ", generation), Matchers: []string{`alertname="Held"`}, By: []string{"alertname"},
		Threshold: dedupe.Threshold{Count: 3, Window: model.Duration(10 * time.Minute)}}}
	s.Identity = router.NewIdentity(s.Correlate, s.Classify, map[string]router.SourceIdentity{"alertmanager": {Namespace: "alertmanager"}})
	g.must(g.Set(context.Background(), s))
}

// firing is an alert that fires since now.
func (g *gateway) firing(name, pod string, more ...string) alert.Alert {
	now := g.clock.read()
	labels := map[string]string{"alertname": name, "pod": pod, "severity": "warning", "host": "host-" + pod}
	for n := 0; n < len(more); n += 2 {
		labels[more[n]] = more[n+1]
	}
	return alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: now, StartsAt: now, Labels: alert.FromMap(labels),
		Annotations: alert.FromMap(map[string]string{"summary": "pod " + pod + " is in trouble", "description": "größer\nals \x01"})}
}

// over is the end of an alert, now.
func (g *gateway) over(a alert.Alert) alert.Alert {
	a.Status, a.ReceivedAt, a.EndsAt, a.ValidUntil = alert.Resolved, g.clock.read(), g.clock.read(), time.Time{}
	return a
}

func (g *gateway) again(a alert.Alert) alert.Alert {
	a.ReceivedAt = g.clock.read()
	return a
}

// send returns verdict and reference of each.
func (g *gateway) send(alerts ...alert.Alert) []string {
	g.t.Helper()
	out, err := g.Accept(context.Background(), "alertmanager", alerts)
	g.must(err)
	said := make([]string, len(out))
	for n, o := range out {
		said[n] = fmt.Sprint(o.Verdict, " ", o.Reference)
	}
	return said
}

// opens sends alerts, the first of which opens an incident, and returns its reference.
func (g *gateway) opens(alerts ...alert.Alert) string {
	g.t.Helper()
	verdict, reference, _ := strings.Cut(g.send(alerts...)[0], " ")
	if verdict != "opened" {
		g.t.Fatalf("got %s %s, want it opened", verdict, reference)
	}
	return reference
}

func (g *gateway) act(reference string, do func(*incident.Edit) error) {
	g.t.Helper()
	_, err := g.Act(context.Background(), reference, 0, do)
	g.must(err)
}

// wait lets time pass and does the jobs that are due.
func (g *gateway) wait(d time.Duration) {
	g.t.Helper()
	g.clock.add(d)
	g.must(g.RunDue(context.Background()))
}

// people are the edits that they do.
func acknowledge(e *incident.Edit) error { return e.Acknowledge("ann", "mine") }
func resolve(e *incident.Edit) error     { return e.Resolve("ann", "") }

// known are the alerts of the world below that fire when it is done.
type known struct{ open, resolving, held, elder alert.Alert }

// populate brings about everything that a store can hold. It takes two days.
func (g *gateway) populate() known {
	g.t.Helper()
	ctx := context.Background()
	// Closed, and its key has a newer incident, with an alert of the old one.
	a := g.firing("Closed", "1", "service", "db", "severity", "critical")
	closed := g.opens(a, g.firing("Closed", "2", "service", "db"))
	g.wait(time.Minute)
	g.send(g.over(a), g.over(g.firing("Closed", "2", "service", "db")))
	removed := g.opens(g.firing("Removed", "1"))
	g.wait(25 * time.Hour)
	g.opens(g.firing("Closed", "1", "service", "db", "severity", "critical"))
	// Removed: its number must not come again, on that day or on this one.
	i, err := g.st.Incident(ctx, removed)
	g.must(err)
	g.act(removed, resolve)
	g.must(g.st.Remove(ctx, i.ID))
	g.must(g.st.Remove(ctx, mustIncident(g, g.opens(g.firing("Removed", "2"))).ID))
	if mustIncident(g, closed).State != incident.Closed {
		g.t.Fatalf("%s is not closed", closed)
	}
	// Under an older generation.
	k := known{elder: g.firing("Elder", "1", "service", "old")}
	g.opens(k.elder)
	g.set(1)
	// Open and acknowledged, with a late entry in its timeline.
	k.open = g.firing("Open", "1", "service", "web", "team", "web")
	o := g.opens(k.open, g.firing("Open", "2", "service", "web", "severity", "error"), g.firing("Open", "3", "service", "web"))
	g.wait(time.Minute)
	g.act(o, acknowledge)
	g.act(o, func(e *incident.Edit) error {
		return e.Note("ann", "it began <before> \"that\"\n", epoch.Add(-time.Hour))
	})
	g.act(o, func(e *incident.Edit) error { return e.SetPhase("bob", incident.Mitigating, "") })
	// Resolved, reopened, and resolved by a person while it fires.
	b := g.firing("Back", "1")
	g.opens(b)
	g.wait(time.Minute)
	g.send(g.over(b))
	g.wait(time.Minute)
	g.send(g.firing("Back", "1"))
	k.resolving = g.firing("Resolved", "1")
	g.act(g.opens(k.resolving), resolve)
	done := g.firing("Done", "1")
	g.opens(done)
	g.wait(time.Second)
	g.send(g.over(done))
	// Flapping.
	for range 8 {
		f := g.firing("Flaps", "1")
		g.send(f)
		g.clock.add(10 * time.Second)
		g.send(g.over(f))
		g.clock.add(10 * time.Second)
	}
	// Held by a threshold, one of them resolved; and an end without a beginning.
	k.held = g.firing("Held", "1")
	g.send(k.held)
	h := g.firing("Held", "2")
	g.send(h)
	g.clock.add(time.Second)
	g.send(g.over(h), g.over(g.firing("Unknown", "1")))
	// Reported by a person, and a drill.
	for _, drill := range []bool{false, true} {
		_, _, err := g.Report(ctx, router.Report{Title: "The printer burns", Reporter: "eve", Description: "it smells", Severity: "critical", Drill: drill, Service: "print"})
		g.must(err)
	}
	g.must(g.PutLetter(ctx, router.Letter{ID: "letter", Source: "alertmanager", Format: "alertmanager", Reason: "no", Body: []byte("{\x00"), Count: 3, FirstAt: epoch, LastAt: epoch}))
	for _, text := range []string{`{"n":1}`, ` { "b" : [ 1.50 , "\u00e4\/<" , null ] , "a" : {} } `} {
		version, err := g.st.PutDocument(ctx, incident.Document{Type: "suite", ID: text[:3], Data: []byte(text)})
		g.must(err)
		_, err = g.st.PutDocument(ctx, incident.Document{Type: "suite", ID: text[:3], Version: version, Data: []byte(text)})
		g.must(err)
	}
	// Repeats, which are stored at the end.
	for range 3 {
		g.send(g.again(k.open))
	}
	g.jobs()
	return k
}

func mustIncident(g *gateway, name string) *incident.Incident {
	g.t.Helper()
	i, err := g.st.Incident(context.Background(), name)
	g.must(err)
	return i
}

// jobs has jobs that wait, that were tried, that are leased, and that were
// disarmed or armed again under a lease.
func (g *gateway) jobs() {
	g.t.Helper()
	ctx := context.Background()
	key := incident.Key{7: 7}
	now := g.clock.read()
	arm := func(target string, due time.Time) {
		g.must(g.st.Update(ctx, []incident.Change{{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) {
			return incident.Next{Jobs: []incident.Job{{Subject: key.String(), Kind: "suite", Target: target, Due: due}}}, nil
		}}}))
	}
	for _, target := range []string{"tried", "leased", "disarmed", "again"} {
		arm(target, now.Add(-time.Second))
	}
	leases, err := g.st.Claim(ctx, 100, time.Minute)
	g.must(err)
	for _, l := range leases {
		switch {
		case l.Kind != "suite":
			g.must(g.st.Retry(ctx, l, l.Due, "not mine"))
		case l.Target == "tried":
			g.must(g.st.Retry(ctx, l, now.Add(time.Minute), "nobody answered"))
		}
	}
	arm("disarmed", time.Time{})
	arm("again", now.Add(time.Hour))
	arm("waiting\x00", now.Add(48*time.Hour))
}

// seen is all that can be seen through a store's door, in lines.
func seen(t testing.TB, st store.Store) []string {
	t.Helper()
	ctx := context.Background()
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, q := range []store.Query{{}, {States: []string{"open", "acknowledged"}}, {Severities: []string{"critical"}}, {Services: []string{"web", "print"}}, {Teams: []string{"web"}}, {Text: "printer"}} {
		for q.Limit = 3; ; {
			list, next, err := st.Incidents(ctx, q)
			must(err)
			for _, i := range list {
				say("list %d: %s", n, i.Reference)
				if n == 0 {
					lines = append(lines, incidentLines(t, st, i)...)
				}
			}
			if q.Cursor = next; next == "" {
				break
			}
		}
	}
	records, _, err := st.ScanEntries(ctx, "", 100_000)
	must(err)
	for _, r := range records {
		say("entry %s", record(r))
	}
	statistics, err := st.Statistics(ctx)
	must(err)
	for label, n := range statistics.Incidents {
		if n != 0 {
			say("incidents %v: %d", label, n)
		}
	}
	for series, n := range statistics.Counters {
		say("counter %v: %d", series, n)
	}
	for series, h := range statistics.Histograms {
		say("histogram %v: %v", series, h)
	}
	counts, err := st.Jobs(ctx)
	must(err)
	for _, c := range counts {
		if c.Kind != "suite" { // those under a lease are others afterwards
			say("jobs %s %s: %d, late by %s", c.Kind, c.State, c.Count, c.Lag)
		}
	}
	for _, typ := range []string{"suite", "deadletter", "dead_letter", "letter"} {
		list, err := st.Documents(ctx, typ, "", 100)
		must(err)
		for _, d := range list {
			var data any
			must(json.Unmarshal(d.Data, &data))
			say("document %s %s %d %s: %v", d.Type, d.ID, d.Version, d.UpdatedAt, data)
		}
	}
	g, err := st.Generations(ctx)
	must(err)
	say("generations %d: %v, %v", g.Epoch, g.List, g.Firing)
	slices.Sort(lines)
	return lines
}

// wantJobs checks the jobs that populate leaves: the lease of a copied one is
// over, and one that was disarmed under a lease is gone.
func wantJobs(t testing.TB, st store.Store) {
	t.Helper()
	counts, err := st.Jobs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, c := range counts {
		if c.Kind == "suite" {
			got[c.State] = c.Count
		}
	}
	if want := map[string]int{"due": 1, "waiting": 3}; !maps.Equal(got, want) {
		t.Errorf("jobs: got %v, want %v", got, want)
	}
}

func record(r store.Record) string {
	return fmt.Sprintf("%s %+v: %x", r.Key, r.Entry, row.AppendContent(nil, r.Content))
}

func incidentLines(t testing.TB, st store.Store, i *incident.Incident) []string {
	t.Helper()
	text, err := json.Marshal(i, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{fmt.Sprintf("incident %s: %s, %x", i.Reference, text, row.AppendIncident(nil, i))}
	if found, err := st.Incident(context.Background(), i.Reference); err != nil || found.ID != i.ID {
		t.Errorf("incident by its reference %s: got %v, %v", i.Reference, found, err)
	}
	entries, err := st.Timeline(context.Background(), i.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if broken, ok := incident.VerifyTimeline(entries); !ok || uint64(len(entries)) != i.TimelineLength {
		t.Errorf("timeline of %s: %d entries, of %d; it breaks at %d", i.Reference, len(entries), i.TimelineLength, broken)
	}
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("timeline %s: %+v", i.Reference, e))
	}
	list, next, err := st.Alerts(context.Background(), i.ID, "", 10_000)
	if err != nil || next != "" || len(list) != i.Alerts.Total {
		t.Errorf("alerts of %s: %d of %d, %q, %v", i.Reference, len(list), i.Alerts.Total, next, err)
	}
	for _, r := range list {
		lines = append(lines, fmt.Sprintf("alert %s: %s", i.Reference, record(r)))
	}
	return lines
}

// wantSame compares what is seen of two stores.
func wantSame(t testing.TB, what string, got, want []string) {
	t.Helper()
	shown := 0
	show := func(which string, lines, others []string) {
		for _, l := range lines {
			if _, found := slices.BinarySearch(others, l); !found && shown < 10 {
				t.Errorf("%s: %s: %s", what, which, l)
				shown++
			}
		}
	}
	show("missing", want, got)
	show("not copied", got, want)
	if len(got) != len(want) {
		t.Errorf("%s: %d lines, want %d", what, len(got), len(want))
	}
}
