package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// dutiesOf is a process with a duty for each of the delays.
func dutiesOf(t *testing.T, delays ...string) *process.Guide {
	t.Helper()
	c := process.Config{Profile: "none"}
	for _, after := range delays {
		c.Duties = append(c.Duties, process.Duty{Name: "after-" + after, After: after, While: []string{"open"}, Text: "look"})
	}
	g, err := process.New(c, process.Options{Severities: incident.Scale{"critical", "error", "warning", "info"}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reload gives p another process.
func (g *gateway) reload(p *Pipeline, version string, guide *process.Guide) {
	g.t.Helper()
	if err := p.Set(context.Background(), settings(func(s *Settings) { s.Guide = guide })); err != nil {
		g.t.Fatal(err)
	}
	if err := p.Review(context.Background(), version); err != nil {
		g.t.Fatal(err)
	}
}

// firedDuties are the duties in the timelines of all incidents, with how often each fired.
func (g *gateway) firedDuties() map[string]int {
	g.t.Helper()
	out := map[string]int{}
	list, _, err := g.st.Incidents(context.Background(), store.Query{Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, i := range list {
		entries, err := g.st.Timeline(context.Background(), i.ID, 0, 1000)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, e := range entries {
			if name, _, ok := strings.Cut(e.Text, ": "); ok && e.Action == "duty" {
				out[name]++
			}
		}
	}
	return out
}

func (g *gateway) due(p *Pipeline, later time.Duration) {
	g.t.Helper()
	g.clock.add(later)
	if err := p.RunDue(context.Background()); err != nil {
		g.t.Fatal(err)
	}
}

// TestReloadWithAnEarlierDuty: what a new process wants earlier does not wait for the
// time of the old one.
func TestReloadWithAnEarlierDuty(t *testing.T) {
	g := newGateway(t)
	g.reload(g.Pipeline, "1", dutiesOf(t, "2h"))
	for n := range 450 { // more than one page of them
		g.send(g.firing(fmt.Sprint("Down", n), "a"))
	}
	g.due(g.Pipeline, time.Minute)
	g.reload(g.Pipeline, "2", dutiesOf(t, "10m", "2h"))
	g.due(g.Pipeline, 9*time.Minute)
	if got := g.firedDuties(); got["after-10m"] != 450 || got["after-2h"] != 0 {
		t.Errorf("after ten minutes: fired %v, want after-10m of all 450", got)
	}
	g.due(g.Pipeline, 2*time.Hour)
	if got := g.firedDuties(); got["after-10m"] != 450 || got["after-2h"] != 450 {
		t.Errorf("after two hours: fired %v, want each of all 450 once", got)
	}
}

// counting counts the changes that a store is asked for.
type counting struct {
	store.Store
	changes int
}

func (c *counting) Update(ctx context.Context, changes []incident.Change) error {
	c.changes += len(changes)
	return c.Store.Update(ctx, changes)
}

// TestReviewChangesOnlyWhatIsDueEarlier: an incident whose job is early enough is read
// and left alone.
func TestReviewChangesOnlyWhatIsDueEarlier(t *testing.T) {
	g := newGateway(t)
	g.reload(g.Pipeline, "1", dutiesOf(t, "1h"))
	g.send(g.firing("First", "a"))
	g.due(g.Pipeline, 30*time.Minute)
	g.send(g.firing("Second", "a"))
	g.due(g.Pipeline, 31*time.Minute) // that of the first has fired, nothing more is to come of it
	st := &counting{Store: g.st}
	p := pipeline(t, st, settings())
	for n, step := range []struct {
		process *process.Guide
		want    int
	}{{dutiesOf(t, "1h"), 0}, {dutiesOf(t, "1h", "3h"), 1}, {dutiesOf(t, "1h", "2h"), 1}, {dutiesOf(t, "1h", "4h"), 0}, {dutiesOf(t, "1h", "40m"), 2}} {
		st.changes = 0
		g.reload(p, fmt.Sprint("process ", n), step.process)
		if st.changes != step.want {
			t.Errorf("process %d: %d incidents were changed, want %d", n, st.changes, step.want)
		}
	}
}

// TestAnOlderProcessLosesNoDuty: while one of two gateways has an older process, it may
// do the jobs of the newer one and find nothing in them. They come again, for the other.
func TestAnOlderProcessLosesNoDuty(t *testing.T) {
	g := newGateway(t)
	older := g.Pipeline
	g.reload(older, "1", dutiesOf(t, "2h"))
	g.send(g.firing("Down", "a"))
	newer := pipeline(t, g.st, settings())
	g.reload(newer, "2", dutiesOf(t, "10m", "2h"))
	i := g.incidents()[0]
	// An edit of the older one does not postpone it either.
	if _, err := older.Act(context.Background(), i.ID.String(), 0, func(e *incident.Edit) error { return e.Note("ann", "a note", e.Now()) }); err != nil {
		t.Fatal(err)
	}
	g.due(older, 10*time.Minute)
	if got := g.firedDuties(); len(got) > 0 {
		t.Errorf("the older process fired %v", got)
	}
	g.due(newer, 31*time.Second)
	if got := g.firedDuties(); got["after-10m"] != 1 {
		t.Errorf("the newer process fired %v, want after-10m", got)
	}
	// Its own duties the older one fires as before, and once.
	g.due(older, 2*time.Hour)
	g.due(newer, 2*time.Hour)
	if got := g.firedDuties(); got["after-2h"] != 1 || got["after-10m"] != 1 {
		t.Errorf("in the end: fired %v, want each once", got)
	}
}

// TestDutiesWhileAnOlderProcessIsThere: what a gateway with the older process opens, or
// fires, does not keep what the newer one wants from coming.
func TestDutiesWhileAnOlderProcessIsThere(t *testing.T) {
	both := func(t *testing.T) (g *gateway, older, newer *Pipeline) {
		g = newGateway(t)
		older, newer = g.Pipeline, pipeline(t, g.st, settings())
		g.reload(older, "1", dutiesOf(t, "20m"))
		return g, older, newer
	}
	t.Run("due at the same time", func(t *testing.T) {
		g, older, newer := both(t)
		g.send(g.firing("Down", "a"))
		g.reload(newer, "2", dutiesOf(t, "20m0s"))
		g.due(older, 20*time.Minute) // it fires its own, and knows of nothing else
		g.due(newer, 31*time.Second)
		if got := g.firedDuties(); got["after-20m"] != 1 || got["after-20m0s"] != 1 {
			t.Errorf("fired %v, want each once", got)
		}
	})
	t.Run("opened while it stays", func(t *testing.T) {
		g, older, newer := both(t)
		g.reload(newer, "2", dutiesOf(t, "1m", "20m"))
		if newest, err := older.hasNewestProcess(context.Background()); err != nil || newest { // as Run asks now and then
			t.Fatalf("newest %t, %v", newest, err)
		}
		g.send(g.firing("Down", "a"))
		g.due(older, 30*time.Second)
		g.due(newer, 30*time.Second)
		if got := g.firedDuties(); got["after-1m"] != 1 {
			t.Errorf("fired %v, want after-1m", got)
		}
	})
	for name, reloaded := range map[string]func(*gateway, *Pipeline) *Pipeline{
		"reloaded":  func(_ *gateway, older *Pipeline) *Pipeline { return older },
		"restarted": func(g *gateway, _ *Pipeline) *Pipeline { return pipeline(t, g.st, settings()) },
	} {
		t.Run("opened before it is "+name, func(t *testing.T) {
			g, older, newer := both(t)
			g.reload(newer, "2", dutiesOf(t, "10m", "20m"))
			g.send(g.firing("Down", "a")) // by the older one
			older = reloaded(g, older)
			g.reload(older, "2", dutiesOf(t, "10m", "20m"))
			g.due(newer, 10*time.Minute)
			if got := g.firedDuties(); got["after-10m"] != 1 {
				t.Errorf("fired %v, want after-10m", got)
			}
		})
	}
}

// failing is a store that cannot commit changes of one incident.
type failing struct {
	store.Store
	of incident.ID
}

func (f *failing) Update(ctx context.Context, changes []incident.Change) error {
	for _, c := range changes {
		if c.Incident == f.of {
			return errors.New("it is damaged")
		}
	}
	return f.Store.Update(ctx, changes)
}

// TestADutyThatFailsHoldsUpNoOther: one incident is damaged and one is gone.
func TestADutyThatFailsHoldsUpNoOther(t *testing.T) {
	g := newGateway(t)
	g.reload(g.Pipeline, "1", dutiesOf(t, "10m"))
	for n := range 20 {
		g.send(g.firing(fmt.Sprint("Down", n), "a"))
	}
	f := &failing{Store: g.st, of: g.incidents()[3].ID}
	g.store = f
	g.due(g.Pipeline, 10*time.Minute)
	if got := g.firedDuties(); got["after-10m"] != 19 {
		t.Errorf("fired %v, want 19", got)
	}
	g.store = g.st
	g.due(g.Pipeline, time.Minute)
	if got := g.firedDuties(); got["after-10m"] != 20 {
		t.Errorf("when it was repaired: fired %v, want 20", got)
	}
}

// TestDutiesGoOnAfterTheClockWasSetBack: the machine's clock is set back by ten minutes.
// What is due comes when it is time, up to a tenth of the wait later, once each.
func TestDutiesGoOnAfterTheClockWasSetBack(t *testing.T) {
	machine, passed := &clock{now: epoch}, &clock{now: epoch}
	st := open(t, "mem:", embedded.Options{Now: machine.read, Steady: func() time.Duration { return passed.read().Sub(epoch) }})
	g := &gateway{Pipeline: pipeline(t, st, settings()), t: t, clock: machine, st: st}
	g.reload(g.Pipeline, "1", dutiesOf(t, "2m", "5m", "30m"))
	g.send(g.firing("Down", "a"))
	machine.add(-10 * time.Minute)
	came := map[string]time.Duration{}
	for range 40 * 60 {
		passed.add(time.Second)
		g.due(g.Pipeline, time.Second)
		for name, times := range g.firedDuties() {
			if _, known := came[name]; !known {
				came[name] = passed.read().Sub(epoch)
			}
			if times != 1 {
				t.Fatalf("%s came %d times", name, times)
			}
		}
	}
	for name, after := range map[string]time.Duration{"after-2m": 2 * time.Minute, "after-5m": 5 * time.Minute, "after-30m": 30 * time.Minute} {
		if got := came[name]; got < after || got > after+after/8 {
			t.Errorf("%s came after %s", name, got)
		}
	}
}

// reviewed is a store where something happens between two pages of a review, and that
// gives up when it is asked for jobs without end.
type reviewed struct {
	store.Store
	meanwhile func()
	claims    int
}

func (r *reviewed) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	list, next, err := r.Store.Incidents(ctx, q)
	if do := r.meanwhile; do != nil {
		r.meanwhile = nil
		do()
	}
	return list, next, err
}

func (r *reviewed) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Lease, error) {
	if r.claims++; r.claims > 20 {
		return nil, errors.New("there is no end of jobs that are due")
	}
	return r.Store.Claim(ctx, limit, lease)
}

// TestIncidentDuringAReview is opened while a new process is looked at: its duty is armed
// twice, for itself and in case that another gateway knows of more, and fires once.
func TestIncidentDuringAReview(t *testing.T) {
	g := newGateway(t)
	g.reload(g.Pipeline, "1", dutiesOf(t, "2h"))
	r := &reviewed{Store: g.st}
	g.store = r
	r.meanwhile = func() {
		if _, err := g.hasNewestProcess(t.Context()); err != nil { // as Run does every half minute
			t.Fatal(err)
		}
		g.send(g.firing("Down", "a"))
	}
	g.reload(g.Pipeline, "2", dutiesOf(t, "10s", "2h"))
	if r.meanwhile != nil {
		t.Fatal("there was no review")
	}
	for _, later := range []time.Duration{10 * time.Second, 25 * time.Second} {
		g.clock.add(later)
		if err := g.RunDue(t.Context()); err != nil {
			t.Error(err)
		}
		if got := g.firedDuties(); len(got) != 1 || got["after-10s"] != 1 {
			t.Errorf("fired %v, want after-10s once", got)
		}
	}
}
