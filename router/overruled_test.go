package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// beside is another process that works on the store of g, with settings of its own.
func (g *gateway) beside(s Settings) *gateway {
	g.t.Helper()
	return &gateway{Pipeline: pipeline(g.t, g.st, s), t: g.t, clock: g.clock, st: g.st}
}

// places is in how many places the alert of a pod fires.
func (g *gateway) places(pod string) (n int) {
	g.t.Helper()
	for _, r := range g.entries() {
		if r.Entry.Firing && r.Content.Labels.Get("pod") == pod {
			n++
		}
	}
	return n
}

// TestTwoConfigurationsOnOneStore: an alert that two processes with different
// settings hear of is in one incident, whoever is told first, and ends there.
func TestTwoConfigurationsOnOneStore(t *testing.T) {
	for n, s := range generations()[1:] {
		for _, first := range []string{"older", "newer"} {
			t.Run(fmt.Sprintf("change %d, the %s is told first", n+1, first), func(t *testing.T) {
				older := newGateway(t, baseRules)
				newer := older.beside(s)
				one, other := older, newer
				if first == "newer" {
					one, other = newer, older
				}
				for range 2 { // the second time each knows of the other
					a := one.firing("A", "1", "zone", "x", "replica", "1")
					o := one.send(a)[0]
					if got := other.expect(verdicts(alert.Duplicate), a)[0]; got.Reference != o.Reference || other.places("1") != 1 {
						t.Fatalf("told to both: got %+v and %+v, and it fires in %d places, want one", o, got, other.places("1"))
					}
					older.clock.add(time.Minute)
					end := one.over(a)
					if got := other.expect(verdicts(alert.ResolvedAlert), end)[0]; got.Reference != o.Reference {
						t.Fatalf("its end: got %+v, want it in %s", got, o.Reference)
					}
					one.expect(verdicts(alert.Duplicate), end)
					if n := other.places("1"); n != 0 {
						t.Fatalf("it has ended and fires in %d places", n)
					}
					older.clock.add(time.Minute)
				}
				checkStore(t, older.st)
			})
		}
	}
}

// TestADroppedGenerationIsNotUsed: a process whose own generation another one
// has dropped from the list, because nothing fired under it, puts nothing
// where nobody else would look.
func TestADroppedGenerationIsNotUsed(t *testing.T) {
	older := newGateway(t, baseRules)
	newer := older.beside(settings(baseRules, changedBy))
	gens, err := older.st.Generations(context.Background())
	if err != nil || len(gens.List) != 1 {
		t.Fatalf("got generations %+v, %v; want the newer one only", gens, err)
	}
	a := older.firing("A", "1", "zone", "x", "replica", "1")
	o := older.send(a)[0]
	older.clock.add(time.Minute)
	if got := newer.expect(verdicts(alert.ResolvedAlert), newer.over(a))[0]; got.Reference != o.Reference {
		t.Errorf("its end, told to the other: got %+v, want it in %s", got, o.Reference)
	}
	// It knows, and so does whoever reads its log; the list stays as it was.
	if again, err := older.st.Generations(context.Background()); err != nil || again.Epoch != gens.Epoch {
		t.Errorf("got epoch %d (%v), want %d: a request changes no list", again.Epoch, err, gens.Epoch)
	}
	checkStore(t, older.st)
}

// TestOverruledForLong: after ten minutes a process makes its settings current
// again, because the one that had others may be gone.
func TestOverruledForLong(t *testing.T) {
	ctx := context.Background()
	staying := newGateway(t, baseRules)
	going := staying.beside(settings(baseRules, changedBy))
	a := going.firing("A", "1", "zone", "x", "replica", "1")
	o := going.send(a)[0]
	staying.expect(verdicts(alert.Duplicate), staying.again(a)) // now it knows
	reconcile := func(own bool) {
		t.Helper()
		if err := staying.reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		gens, err := staying.st.Generations(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := gens.Current() == staying.rules.Load().own; got != own {
			t.Errorf("its generation is the current one: %v, want %v", got, own)
		}
	}
	staying.wait(overruledTime - time.Second)
	reconcile(false)
	staying.wait(time.Second)
	reconcile(true)
	reconcile(true)
	if got := staying.expect(verdicts(alert.Duplicate), staying.again(a))[0]; got.Reference != o.Reference || staying.places("1") != 1 {
		t.Errorf("what fired: got %+v in %d places, want it in %s", got, staying.places("1"), o.Reference)
	}
	b := staying.send(staying.firing("A", "2", "zone", "x", "replica", "1"))[0]
	if i := staying.incident(b.Incident); i.Rule != "zones" || b.Incident == o.Incident {
		t.Errorf("a new alert: got %+v, want it where the settings put it", b)
	}
	// The other one is still there after all: it is overruled in its turn.
	going.expect(verdicts(alert.Duplicate), going.again(a))
	if !going.rules.Load().overruled() {
		t.Error("the other process does not know")
	}
	checkStore(t, staying.st)
}

// TestWhatIsNotAboutKeysStaysOurs: a process that is overruled still gives the
// severities and teams of its own settings.
func TestWhatIsNotAboutKeysStaysOurs(t *testing.T) {
	rule := func(r Rule) func(*Settings) {
		return func(s *Settings) { s.Classify.Rules = append(s.Classify.Rules, r) }
	}
	ours := newGateway(t, rule(Rule{Name: "ours", Set: Set{Team: "ours", Service: "ours"}}))
	theirs := ours.beside(settings(rule(Rule{Name: "theirs", Set: Set{Team: "theirs", Service: "theirs"}}),
		rule(Rule{Name: "quiet", Matchers: []string{`alertname="Quiet"`}, Suppress: true})))
	i := ours.incident(ours.send(ours.firing("A", "1"))[0].Incident)
	if i.Team != "ours" || i.Service != "theirs" {
		t.Errorf("got team %q and service %q, want our team and their service, which the key derives from", i.Team, i.Service)
	}
	for _, g := range []*gateway{ours, theirs} {
		g.expect(verdicts(alert.Suppressed), g.firing("Quiet", "1"))
	}
	explained, err := ours.Explain(context.Background(), []alert.Alert{ours.firing("B", "1")})
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, d := range explained[0].Decisions {
		said = said || d.Stage == "generation" && strings.Contains(d.Text, "another gateway")
	}
	if !said {
		t.Errorf("explained: got %+v, want it said whose configuration decides", explained[0].Decisions)
	}
}

// TestAnIdleProcessReconciles: the list changed and no request has told it so.
func TestAnIdleProcessReconciles(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t, baseRules)
	a := g.firing("A", "1", "zone", "x", "replica", "1")
	g.send(a)
	idle := g.beside(settings(baseRules, changedBy))
	g.beside(settings(baseRules, renamedRule))
	if err := idle.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	gens, err := g.st.Generations(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r := idle.rules.Load(); r.epoch != gens.Epoch || len(r.elders) != 1 || r.elders[0].id != g.rules.Load().own {
		t.Errorf("it works by list %d with %d older generations, want list %d and the one under which the alert fires", r.epoch, len(r.elders), gens.Epoch)
	}
	g.clock.add(time.Minute)
	idle.expect(verdicts(alert.ResolvedAlert), idle.over(a))
	if err := idle.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	if r := idle.rules.Load(); len(r.elders) != 0 {
		t.Errorf("%d older generations live on", len(r.elders))
	}
}

// emptied is a store whose list of generations is gone.
type emptied struct {
	store.Store
	empty bool
}

func (s *emptied) Generations(ctx context.Context) (store.Generations, error) {
	if s.empty {
		return store.Generations{}, nil
	}
	return s.Store.Generations(ctx)
}

func (s *emptied) SetGeneration(ctx context.Context, g store.Generation) (store.Generations, error) {
	s.empty = false
	return s.Store.SetGeneration(ctx, g)
}

// TestAnEmptiedStore: a list that is gone comes back with the first who looks.
func TestAnEmptiedStore(t *testing.T) {
	c := &clock{now: epoch}
	st := &emptied{Store: open(t, "mem:", embedded.Options{Now: c.read})}
	p := pipeline(t, st, settings(baseRules))
	st.empty = true
	if err := p.refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := p.rules.Load(); st.empty || r.epoch == 0 || r.overruled() {
		t.Errorf("the list is empty: %v, the rules are for list %d", st.empty, r.epoch)
	}
}

// TestTwoConfigurationsUnderLoad: every request goes to two processes at once,
// and each of them is reloaded again and again.
func TestTwoConfigurationsUnderLoad(t *testing.T) {
	const workers, each, rounds = 3, 20, 40
	ctx := context.Background()
	st := open(t, "mem:", embedded.Options{})
	all := generations()[:4]
	processes := []*Pipeline{pipeline(t, st, all[0]), pipeline(t, st, all[1])}
	var seconds, sent, reloads atomic.Int64
	now := func() time.Time { return epoch.Add(time.Duration(seconds.Add(1)) * time.Second) }
	known := make([][]*someAlert, workers)
	var group sync.WaitGroup
	for w := range workers {
		for n := range each {
			known[w] = append(known[w], &someAlert{labels: alert.FromMap(kv("alertname", fmt.Sprint("N", n%3), "zone", fmt.Sprint("z", n%4), "replica", fmt.Sprint(n%2),
				"severity", "critical", "id", fmt.Sprint(w, "-", n)))})
		}
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 2))
			for round := 0; round < rounds || reloads.Load() < int64(2*len(all)) && !t.Failed(); round++ { // until every change has happened in both meanwhile
				if err := sendBoth(ctx, processes, random, known[w], now); err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	reloadBoth(t, ctx, processes, all, &sent, &reloads, done)
	<-done
	checkFiring(t, st, known)
	t.Logf("%d requests to both, %d reloads, %d incidents", sent.Load(), reloads.Load(), len(incidents(t, st)))
}

// reloadBoth changes the settings of one process or the other after every few requests,
// until done. It counts the changes in reloads.
func reloadBoth(t *testing.T, ctx context.Context, processes []*Pipeline, all []Settings, sent, reloads *atomic.Int64, done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last, n := int64(0), 0
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if sent.Load() < last+2 {
			continue
		}
		last = sent.Load()
		if err := processes[n%2].Set(ctx, all[n/2%len(all)]); err != nil {
			t.Error(err)
		}
		n++
		reloads.Add(1)
	}
}

// sendBoth tells both processes of something new about some alerts, at once.
func sendBoth(ctx context.Context, processes []*Pipeline, random *rand.Rand, known []*someAlert, now func() time.Time) error {
	var batch []alert.Alert
	for _, n := range random.Perm(len(known))[:5] {
		a := known[n]
		m := alert.Alert{Status: alert.Firing, Source: "alertmanager", Labels: a.labels, ReceivedAt: now()}
		if a.firing {
			m.Status, m.EndsAt, a.firing = alert.Resolved, m.ReceivedAt, false
		} else {
			a.firing, a.start = true, m.ReceivedAt
		}
		m.StartsAt = a.start
		batch = append(batch, m)
	}
	errs := make([]error, len(processes))
	fresh := make([][]alert.Verdict, len(batch))
	var mu sync.Mutex
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() {
			out, err := p.Accept(ctx, "alertmanager", append([]alert.Alert(nil), batch...))
			errs[i] = err
			mu.Lock()
			defer mu.Unlock()
			for n, o := range out {
				// Recorded is the end of what ended under a generation that is dropped already.
				if o.Verdict != alert.Duplicate && o.Verdict != alert.Recorded {
					fresh[n] = append(fresh[n], o.Verdict)
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for n := range fresh {
		if len(fresh[n]) != 1 {
			return fmt.Errorf("got %v beside duplicates, want one of two processes to whom it was news: %+v", fresh[n], batch[n])
		}
	}
	return nil
}
