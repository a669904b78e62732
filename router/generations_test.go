package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// The changes of the configuration that fingerprints and keys derive from.
var (
	baseRules = func(s *Settings) {
		s.Correlate.Rules = []dedupe.Rule{{Name: "zones", Matchers: []string{`zone!=""`}, By: []string{"alertname", "zone"}}}
	}
	renamedRule = func(s *Settings) { s.Correlate.Rules[0].Name = "areas" }
	changedBy   = func(s *Settings) { s.Correlate.Rules[0].By = []string{"alertname"} }
	changedSet  = func(s *Settings) {
		s.Classify.Rules = []Rule{{Name: "area", Set: Set{Labels: kv("zone", "${label:zone}-${label:replica}")}}}
	}
	ignoredLabel = func(s *Settings) {
		s.Identity.Sources = map[string]SourceIdentity{"alertmanager": {Namespace: "alertmanager", IgnoreLabels: []string{"replica"}}}
	}
	renamedNamespace = func(s *Settings) {
		s.Identity.Sources = map[string]SourceIdentity{"alertmanager": {Namespace: "site"}}
	}
)

// generations are settings of which each puts alerts elsewhere than the one before.
func generations() []Settings {
	return []Settings{settings(baseRules), settings(baseRules, renamedRule), settings(baseRules, changedBy), settings(baseRules, changedSet),
		settings(baseRules, ignoredLabel), settings(baseRules, ignoredLabel, changedSet), settings(baseRules, renamedNamespace), settings(baseRules, renamedRule, changedBy)}
}

// TestAReloadStrandsNothing: one alert that fires while each kind of change
// comes. Its repeats and its end find it, whatever came between.
func TestAReloadStrandsNothing(t *testing.T) {
	changes := map[string][]func(*Settings){"a renamed rule": {baseRules, renamedRule}, "a changed by": {baseRules, changedBy},
		"a changed classify rule": {baseRules, changedSet}, "an ignored label": {baseRules, ignoredLabel}, "a namespace": {baseRules, renamedNamespace}}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, baseRules)
			a := g.firing("A", "1", "zone", "x", "replica", "1")
			o := g.send(a)[0]
			g.wait(time.Minute)
			if err := g.Set(context.Background(), settings(change...)); err != nil {
				t.Fatal(err)
			}
			for n, reconcile := range []bool{false, true} {
				if reconcile {
					if err := g.reconcile(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				g.wait(time.Minute)
				if got := g.expect(verdicts(alert.Duplicate), g.again(a))[0]; got.Reference != o.Reference {
					t.Fatalf("repeat %d: got %+v, want it in %s", n, got, o.Reference)
				}
			}
			if n := len(g.rules.Load().elders); n != 1 {
				t.Errorf("%d older generations, want the one under which it fires", n)
			}
			// A new alert goes where the new generation says; a new episode as well.
			g.send(g.firing("A", "2", "zone", "x", "replica", "1"))
			g.wait(time.Minute)
			if got := g.expect(verdicts(alert.ResolvedAlert), g.over(a))[0]; got.Reference != o.Reference {
				t.Fatalf("resolve: got %+v, want it in %s", got, o.Reference)
			}
			// The other gateway of a pair says the same, a moment later.
			if got := g.expect(verdicts(alert.Duplicate), g.over(a))[0]; got.Reference != o.Reference {
				t.Errorf("resolve again: got %+v", got)
			}
			g.expect(verdicts(alert.Stale), g.again(a))
			checkStore(t, g.st)
			if err := g.reconcile(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := len(g.rules.Load().elders); n != 0 {
				t.Errorf("%d older generations live on", n)
			}
			g.wait(time.Minute)
			g.expect(verdicts(alert.Joined), g.firing("A", "1", "zone", "x", "replica", "1"))
			checkStore(t, g.st)
		})
	}
}

// TestOneRequestOverAReload: an alert that ends, begins and ends again within one
// request, while it fires under an older generation: its messages keep their order.
func TestOneRequestOverAReload(t *testing.T) {
	for name, c := range map[string]struct {
		times  int // how often it ends and begins again
		ends   bool
		firing int
	}{"begins again": {1, false, 1}, "and ends": {1, true, 0}, "twice": {2, false, 1}, "twice, and ends": {2, true, 0}, "only ends": {0, true, 0}} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, baseRules)
			a := g.firing("A", "1", "zone", "x", "replica", "1")
			first := g.send(a)[0]
			if err := g.Set(context.Background(), settings(baseRules, changedBy)); err != nil {
				t.Fatal(err)
			}
			var request []alert.Alert
			var want []alert.Verdict
			end := func() {
				g.wait(time.Second)
				request, want = append(request, g.over(a)), append(want, alert.ResolvedAlert)
			}
			for n := range c.times {
				end()
				g.wait(time.Second)
				a = g.firing("A", "1", "zone", "x", "replica", "1")
				request, want = append(request, a), append(want, []alert.Verdict{alert.Opened, alert.Joined}[n])
			}
			if c.ends {
				end()
			}
			out := g.expect(want, request...)
			if out[0].Incident != first.Incident {
				t.Errorf("its end: got %+v, want it in %s", out[0], first.Reference)
			}
			firing := 0
			for _, r := range g.entries() {
				if r.Entry.Firing {
					firing++
				}
			}
			if firing != c.firing {
				t.Errorf("it fires in %d places, want %d", firing, c.firing)
			}
			checkStore(t, g.st)
		})
	}
}

// TestWhatStaysInPlaceTakesTheName: a change that does not touch an alert's
// place lets the old generation die while the alert fires.
func TestWhatStaysInPlaceTakesTheName(t *testing.T) {
	g := newGateway(t, baseRules)
	var all []alert.Alert
	for n := range 1500 {
		all = append(all, g.firing(fmt.Sprint("A", n%300), fmt.Sprint(n)))
	}
	g.send(all...)
	version := g.incidents()[0].Version
	if err := g.Set(context.Background(), settings(baseRules, changedBy)); err != nil {
		t.Fatal(err)
	}
	if n := len(g.rules.Load().elders); n != 1 {
		t.Fatalf("%d older generations, want 1", n)
	}
	if err := g.reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(g.rules.Load().elders); n != 0 {
		t.Errorf("%d older generations live on", n)
	}
	if v := g.incidents()[0].Version; v != version {
		t.Errorf("the incident changed from version %d to %d", version, v)
	}
	for _, o := range g.send(all...) {
		if o.Verdict != alert.Duplicate {
			t.Fatalf("got %+v, want a duplicate", o)
		}
	}
	checkStore(t, g.st)
}

// TestAtMostFourGenerations: the alerts of the oldest are moved, with their
// start, and the incident that is left empty resolves.
func TestAtMostFourGenerations(t *testing.T) {
	g := newGateway(t, baseRules)
	ctx := context.Background()
	a := g.firing("A", "1", "zone", "x", "replica", "1")
	a.ValidUntil = epoch.Add(100 * time.Hour)
	first := g.send(a)[0]
	for n, s := range generations()[1:] {
		g.wait(time.Minute)
		if err := g.Set(ctx, s); err != nil {
			t.Fatal(err)
		}
		if err := g.reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		if live := len(g.rules.Load().elders); live > eldersKept {
			t.Fatalf("change %d: %d older generations, want at most %d", n+1, live, eldersKept)
		}
		// Something fires under each of them.
		g.send(g.firing(fmt.Sprint("G", n), "2", "zone", "x", "replica", "1"))
		g.expect(verdicts(alert.Duplicate), g.again(a))
		checkStore(t, g.st)
	}
	if i := g.incident(first.Incident); !slices.Contains(g.said(i.ID), "moved 1") {
		t.Errorf("the first incident: %s, %q; want its alert moved", i.State, g.said(i.ID))
	}
	places := 0
	for _, r := range g.entries() {
		if r.Content.Labels.Get("pod") == "1" && r.Entry.Firing {
			places++
		}
	}
	if places != 1 {
		t.Errorf("the alert fires in %d places, want 1", places)
	}
	g.wait(time.Minute)
	o := g.expect(verdicts(alert.ResolvedAlert), g.over(a))[0]
	for _, r := range g.alerts(g.incident(o.Incident).ID) {
		if r.Content.Labels.Get("pod") == "1" && (!r.Entry.Start.Equal(epoch) || r.Entry.Firing) {
			t.Errorf("moved: got %+v, want its start kept, and ended", r.Entry)
		}
	}
	for _, r := range g.entries() {
		if r.Content.Labels.Get("pod") == "1" && r.Entry.Firing {
			t.Errorf("it fires in a second place: %+v", r.Entry)
		}
	}
}

// TestMovedAndEnded: an alert that ends while it is moved does not fire on in
// its new place, at whatever moment the end comes.
func TestMovedAndEnded(t *testing.T) {
	for _, moment := range []string{"before both", "between", "read before, committed between", "a kill between, the end after it"} {
		t.Run(moment, func(t *testing.T) {
			ctx := context.Background()
			c := &clock{now: epoch}
			st := open(t, "mem:", embedded.Options{Now: c.read})
			mover := &steps{Store: st}
			g := &gateway{Pipeline: pipeline(t, st, settings(baseRules)), t: t, clock: c, st: st}
			a := g.firing("A", "1", "zone", "x", "replica", "1")
			g.send(a)
			c.add(time.Minute)
			moving := pipeline(t, mover, settings(baseRules, changedBy))
			if err := g.refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if err := g.Set(ctx, settings(baseRules, changedBy)); err != nil {
				t.Fatal(err)
			}
			end := func() {
				if got := verdictsOf(g.send(g.over(a))); got[0] != alert.ResolvedAlert {
					t.Errorf("the end: got %v", got)
				}
			}
			rules := moving.rules.Load()
			r := g.entries()[0]
			h := &dedupe.Hasher{}
			to := rules.destination(h, r.Content)
			switch moment {
			case "before both":
				mover.at = map[int]func(){1: end}
			case "between":
				mover.at = map[int]func(){2: end}
			case "read before, committed between":
				// The request has read where the alert fires, then the move begins.
				m := &meddler{Store: st}
				slow := pipeline(t, m, settings(baseRules, changedBy))
				mover.at = map[int]func(){2: func() {
					if _, err := slow.Accept(ctx, "alertmanager", []alert.Alert{g.over(a)}); err != nil {
						t.Error(err)
					}
				}}
				m.before = func() {}
			default:
				mover.at = map[int]func(){2: func() { mover.dead = true }}
			}
			_, err := moving.move(ctx, rules, r, to)
			if mover.dead {
				if err == nil {
					t.Error("the move did not notice that the store is gone")
				}
				end()
			} else if err != nil {
				t.Fatal(err)
			}
			for _, r := range g.entries() {
				if r.Entry.Firing {
					t.Errorf("it fires under key %s", r.Key)
				}
			}
			if open := g.incidents(incident.Open); len(open) != 0 {
				t.Errorf("%d incidents are open", len(open))
			}
			checkStore(t, g.st)
		})
	}
}

// TestNotMovedWhileItChanges: what was said since the alert was read is not lost;
// the alert is moved the next time.
func TestNotMovedWhileItChanges(t *testing.T) {
	g := newGateway(t, baseRules)
	ctx := context.Background()
	a := g.firing("A", "1", "zone", "x", "replica", "1")
	g.send(a)
	if err := g.Set(ctx, settings(baseRules, changedBy)); err != nil {
		t.Fatal(err)
	}
	read := g.entries()[0]
	a.Annotations = alert.Labels{{Name: "summary", Value: "new"}}
	g.expect(verdicts(alert.Updated), a)
	rules := g.rules.Load()
	to := rules.destination(&dedupe.Hasher{}, read.Content)
	if done, err := g.move(ctx, rules, read, to); done || err != nil || len(g.entries()) != 1 {
		t.Errorf("as it was read: got done %v (%v), %d entries; want it left alone", done, err, len(g.entries()))
	}
	read = g.entries()[0]
	to = rules.destination(&dedupe.Hasher{}, read.Content)
	if done, err := g.move(ctx, rules, read, to); !done || err != nil {
		t.Errorf("as it is: got done %v (%v)", done, err)
	}
	all := g.entries()
	if len(all) != 1 || all[0].Key != to.Key || all[0].Content.Annotations.Get("summary") != "new" {
		t.Errorf("moved: got %+v", all)
	}
	g.expect(verdicts(alert.Duplicate), g.again(a))
	checkStore(t, g.st)
}

// steps is a store under which something happens before its n-th commit.
type steps struct {
	store.Store
	n    int
	at   map[int]func()
	dead bool
}

func (s *steps) Update(ctx context.Context, changes []incident.Change) error {
	s.n++
	if f := s.at[s.n]; f != nil {
		f()
	}
	if s.dead {
		return store.ErrUnavailable
	}
	return s.Store.Update(ctx, changes)
}

// TestSuppressedAlertsPinNoGeneration: what the current rules suppress has
// nowhere to move to, and ends.
func TestSuppressedAlertsPinNoGeneration(t *testing.T) {
	g := newGateway(t, baseRules)
	ctx := context.Background()
	o := g.send(g.firing("A", "1", "zone", "x", "replica", "1"))[0]
	quiet := func(s *Settings) {
		s.Classify.Rules = append(s.Classify.Rules, Rule{Name: "quiet", Matchers: []string{`alertname="A"`}, Suppress: true})
	}
	for n, s := range generations()[1:] {
		quiet(&s)
		s.Identity = NewIdentity(s.Correlate, s.Classify, s.Identity.Sources)
		if err := g.Set(ctx, s); err != nil {
			t.Fatal(err)
		}
		if err := g.reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		g.send(g.firing("B", fmt.Sprint(n), "zone", "x", "replica", "1"))
		if live := len(g.rules.Load().elders); live > eldersKept {
			t.Fatalf("change %d: %d older generations, want at most %d", n+1, live, eldersKept)
		}
	}
	if i := g.incident(o.Incident); i.State != incident.Resolved {
		t.Errorf("got %s, want it resolved, as it opens nothing any more", i.State)
	}
	checkStore(t, g.st)
}

// someAlert is one that a worker of TestGenerationsUnderLoad sends. Its own
// messages come in order.
type someAlert struct {
	labels alert.Labels
	firing bool
	start  time.Time
	note   int
}

// TestGenerationsUnderLoad: while requests come, the configuration changes again
// and again. Every message still finds its alert. In the second run alerts are
// moved meanwhile: then a verdict may be that of a repeat, but never a wrong state.
func TestGenerationsUnderLoad(t *testing.T) {
	for _, moving := range []bool{false, true} {
		t.Run(map[bool]string{false: "reloads", true: "reloads and moves"}[moving], func(t *testing.T) { underLoad(t, moving) })
	}
}

func underLoad(t *testing.T, moving bool) {
	const workers, each, rounds = 4, 30, 80
	st := open(t, "mem:", embedded.Options{})
	all := generations()
	p := pipeline(t, st, all[0])
	ctx := context.Background()
	var seconds atomic.Int64
	now := func() time.Time { return epoch.Add(time.Duration(seconds.Add(1)) * time.Second) }
	known := make([][]*someAlert, workers)
	var sent, reloads atomic.Int64
	var group sync.WaitGroup
	for w := range workers {
		for n := range each {
			known[w] = append(known[w], &someAlert{labels: alert.FromMap(kv("alertname", fmt.Sprint("N", n%3), "zone", fmt.Sprint("z", n%4), "replica", fmt.Sprint(n%2),
				"severity", "critical", "id", fmt.Sprint(w, "-", n)))})
		}
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for round := 0; round < rounds || reloads.Load() < int64(len(all)) && !t.Failed(); round++ { // until every change has happened meanwhile
				if err := sendSome(ctx, p, random, known[w], now, moving); err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	reloadWhile(t, ctx, p, all, &sent, &reloads, moving, done)
	<-done
	if t.Failed() {
		return
	}
	checkFiring(t, st, known)
	if err := p.Set(ctx, all[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(p.rules.Load().elders); n > eldersKept {
		t.Errorf("%d older generations, want at most %d", n, eldersKept)
	}
	checkFiring(t, st, known)
	// All end; then nothing of older generations is left.
	for w := range known {
		for _, a := range known[w] {
			if a.firing {
				end := now()
				out, err := p.Accept(ctx, "alertmanager", []alert.Alert{{Status: alert.Resolved, Source: "alertmanager", Labels: a.labels, StartsAt: a.start, EndsAt: end, ReceivedAt: end}})
				if err != nil || out[0].Verdict != alert.ResolvedAlert {
					t.Errorf("end of %v: got %+v (%v)", a.labels, out, err)
				}
				a.firing = false
			}
		}
	}
	if err := p.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	if r := p.rules.Load(); len(r.elders) != 0 {
		t.Errorf("%d older generations live on", len(r.elders))
	}
	checkFiring(t, st, known)
	for _, i := range incidents(t, st) {
		if i.IsOpen() {
			t.Errorf("incident %s is %s, but nothing fires", i.Reference, i.State)
		}
	}
	t.Logf("%d requests, %d reloads, %d incidents", sent.Load(), reloads.Load(), len(incidents(t, st)))
}

// reloadWhile changes the configuration after every few requests, and lets
// older generations die after some of the changes, until done. It counts them in reloads.
func reloadWhile(t *testing.T, ctx context.Context, p *Pipeline, all []Settings, sent, reloads *atomic.Int64, moving bool, done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last, n := int64(0), 1
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if sent.Load() < last+4 {
			continue
		}
		last = sent.Load()
		if err := p.Set(ctx, all[n%len(all)]); err != nil {
			t.Error(err)
		}
		if moving && n%3 == 0 {
			if err := p.reconcile(ctx); err != nil && !strings.Contains(err.Error(), "generations") {
				t.Error(err)
			}
		}
		n++
		reloads.Add(1)
	}
}

// sendSome sends one request about some alerts, and checks what became of each.
func sendSome(ctx context.Context, p *Pipeline, random *rand.Rand, known []*someAlert, now func() time.Time, moving bool) error {
	var batch []alert.Alert
	var want [][]alert.Verdict
	for _, n := range random.Perm(len(known))[:5] {
		a := known[n]
		for range 1 + random.IntN(2) {
			m := alert.Alert{Status: alert.Firing, Source: "alertmanager", Labels: a.labels, ReceivedAt: now()}
			switch {
			case !a.firing:
				a.firing, a.start = true, m.ReceivedAt
				want = append(want, verdicts(alert.Opened, alert.Joined, alert.Reopened))
			case random.IntN(3) == 0:
				m.Status, m.EndsAt, a.firing = alert.Resolved, m.ReceivedAt, false
				want = append(want, verdicts(alert.ResolvedAlert))
			case random.IntN(2) == 0:
				a.note++
				want = append(want, verdicts(alert.Updated))
			default:
				want = append(want, verdicts(alert.Duplicate))
			}
			m.StartsAt, m.Annotations = a.start, alert.Labels{{Name: "note", Value: fmt.Sprint(a.note)}}
			batch = append(batch, m)
		}
	}
	out, err := p.Accept(ctx, "alertmanager", batch)
	if err != nil {
		return err
	}
	for n, o := range out {
		repeat := moving && batch[n].Status == alert.Firing && (o.Verdict == alert.Duplicate || o.Verdict == alert.Updated)
		if !repeat && !slices.Contains(want[n], o.Verdict) || o.Incident == "" || o.Reference == "" {
			return fmt.Errorf("got %+v, want one of %v, for %+v", o, want[n], batch[n])
		}
	}
	return nil
}

// checkFiring compares what fires in the store with what the senders say.
func checkFiring(t *testing.T, st store.Store, known [][]*someAlert) {
	t.Helper()
	checkStore(t, st)
	fires := map[string]int{}
	for _, r := range entries(t, st) {
		if r.Entry.Firing {
			fires[r.Content.Labels.Get("id")]++
			if r.Entry.Incident.IsZero() {
				t.Errorf("alert %v fires without an incident", r.Content.Labels)
			}
		}
	}
	for _, some := range known {
		for _, a := range some {
			want := 0
			if a.firing {
				want = 1
			}
			if id := a.labels.Get("id"); fires[id] != want {
				t.Errorf("alert %s fires in %d places, want %d", id, fires[id], want)
			}
		}
	}
	for _, i := range incidents(t, st) {
		if i.IsOpen() && i.Alerts.Firing == 0 {
			t.Errorf("incident %s is open, but nothing of it fires", i.Reference)
		}
	}
}
