package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// stopping is a store of a process that dies after so many more writes.
type stopping struct {
	store.Store
	left int
}

var errStopped = errors.New("the process has died")

func (s *stopping) Update(ctx context.Context, changes []incident.Change) error {
	if s.left--; s.left < 0 {
		return errStopped
	}
	return s.Store.Update(ctx, changes)
}

// dies makes a gateway on the same store that dies after n writes.
func (g *gateway) dies(n int) *Pipeline {
	st := &stopping{Store: g.st, left: 1 << 30}
	p := pipeline(g.t, st, settings())
	st.left = n
	return p
}

// pair are two incidents, the first to be merged into the second.
func pair(g *gateway) (child, parent *incident.Incident) {
	out := g.send(g.firing("Switch", "1"))
	g.clock.add(time.Second)
	return g.incident(out[0].Incident), g.incident(g.send(g.firing("Core", "2"))[0].Incident)
}

// TestAPartThatComesBack: when what it is merged into is over, nobody handles it there. It
// is on its own, with its duties.
func TestAPartThatComesBack(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t)
	g.reload(g.Pipeline, "1", dutiesOf(t, "10m"))
	a, b := g.firing("Switch", "1"), g.firing("Core", "2")
	child, parent := g.incident(g.send(a)[0].Incident), g.incident(g.send(b)[0].Incident)
	if _, err := g.Merge(ctx, child.Reference, parent.Reference, Terms{}, "ana", "the same"); err != nil {
		t.Fatal(err)
	}
	g.send(g.over(a))
	g.send(g.over(b))
	g.due(g.Pipeline, time.Minute)
	if i := g.incident(parent.ID.String()); i.State != incident.Resolved {
		t.Fatalf("the parent is %s", i.State)
	}
	g.send(g.firing("Switch", "1"))
	g.due(g.Pipeline, time.Second)
	i := g.incident(child.ID.String())
	if i.State != incident.Open || i.HasFamily() || !i.Measured() {
		t.Errorf("the part is %s, has family: %t, counts: %t", i.State, i.HasFamily(), i.Measured())
	}
	g.due(g.Pipeline, 10*time.Minute)
	if got := g.firedDuties(); got["after-10m"] != 1 {
		t.Errorf("fired %v, want after-10m of the part", got)
	}
}

// TestMergeInTwoWrites: whether the process lives or dies between them, the two know
// each other in the end, and a death before the first changes nothing.
func TestMergeInTwoWrites(t *testing.T) {
	ctx := context.Background()
	for name, writes := range map[string]int{"nothing was written": 0, "dies between the two": 1, "lives": 100} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			child, parent := pair(g)
			_, err := g.dies(writes).Merge(ctx, child.Reference, strings.ToLower(parent.Reference), Terms{Version: child.Version}, "ana", "the same")
			if (err == nil) != (writes > 2) || err != nil && !errors.Is(err, errStopped) {
				t.Fatalf("got %v", err)
			}
			if writes == 1 && len(g.incident(parent.ID.String()).Children) != 0 {
				t.Fatal("the second write was done before the process died")
			}
			if err := g.RunDue(ctx); err != nil { // another gateway, or this one after its start
				t.Fatal(err)
			}
			child, parent = g.incident(child.ID.String()), g.incident(parent.ID.String())
			if merged := writes > 0; (child.Proceedings().MergedInto == parent.ID) != merged || (child.Parent == parent.ID) != merged ||
				slices.Contains(parent.Children, child.ID) != merged || (len(parent.Proceedings().Merged) == 1) != merged {
				t.Errorf("got the child %+v, the parent %+v", child.Process, parent.Process)
			}
			if writes == 0 {
				return
			}
			if _, err = g.dies(writes).Unmerge(ctx, child.Reference, Terms{}, "ben", ""); err != nil && !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			if err := g.RunDue(ctx); err != nil {
				t.Fatal(err)
			}
			child, parent = g.incident(child.ID.String()), g.incident(parent.ID.String())
			if child.HasFamily() || !child.Parent.IsZero() || len(parent.Children) != 0 || len(parent.Process.Merged) != 0 {
				t.Errorf("after it was undone: got the child %+v, the parent %+v", child.Process, parent.Process)
			}
			checkStore(t, g.st)
		})
	}
}

// TestCustomersPartInTwoWrites likewise: it is opened once, and its parent has it.
func TestCustomersPartInTwoWrites(t *testing.T) {
	ctx := context.Background()
	for name, writes := range map[string]int{"dies before it is opened": 1, "dies before the parent has it": 2, "lives": 100} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			_, parent := pair(g)
			o := CustomerPart{Customer: "Acme", Title: "mail is slow", Description: "since nine", By: "ana"}
			if _, _, err := g.dies(writes).OpenChild(ctx, parent.Reference, Terms{Version: parent.Version}, o); (err == nil) != (writes > 3) {
				t.Fatalf("got %v", err)
			}
			if err := g.RunDue(ctx); err != nil {
				t.Fatal(err)
			}
			if got := len(g.incident(parent.ID.String()).Children); (got == 1) != (writes > 1) {
				t.Errorf("the parent has %d children", got)
			}
			child, opened, err := g.OpenChild(ctx, parent.Reference, Terms{}, o)
			if err != nil || opened != (writes == 1) {
				t.Fatalf("again: opened %v, %v", opened, err)
			}
			parent = g.incident(parent.ID.String())
			if !slices.Equal(parent.Children, []incident.ID{child.ID}) || !slices.Equal(parent.Process.Customers, []string{"Acme"}) || child.Parent != parent.ID ||
				child.Process.Customer != "Acme" || child.Rule != "customer" || child.Severity != parent.Severity || child.Service != "" || child.Team != "" {
				t.Errorf("got the child %+v, the parent %+v", child, parent)
			}
			entries, err := g.st.Timeline(ctx, child.ID, 0, 100)
			if err != nil || len(entries) != 1 || strings.Contains(entries[0].Text, parent.Reference) || strings.Contains(entries[0].Text, parent.Title) {
				t.Errorf("the customer's timeline: got %+v, %v; want its opening, without a word of the parent", entries, err)
			}
			checkStore(t, g.st)
		})
	}
}

// TestChildNews reaches the parent by a job, and the parent ends with its children.
func TestChildNews(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t)
	child, parent := pair(g)
	if _, err := g.Merge(ctx, child.Reference, parent.Reference, Terms{}, "ana", ""); err != nil {
		t.Fatal(err)
	}
	due := func() {
		t.Helper()
		g.clock.add(time.Second)
		if err := g.RunDue(ctx); err != nil {
			t.Fatal(err)
		}
	}
	due()
	version := g.incident(parent.ID.String()).Version
	g.send(g.firing("Switch", "3"))
	due()
	if p := g.incident(parent.ID.String()); p.Version != version+1 || p.Process.Merged[0].Firing != 2 {
		t.Errorf("got version %d, %+v; want %d and two alerts", p.Version, p.Process.Merged, version+1)
	}
	var conflict *ConflictError
	if _, err := g.Act(ctx, parent.Reference, 0, resolveIt); !errors.As(err, &conflict) || !strings.Contains(conflict.Reason, child.Reference) || conflict.Current.ID != parent.ID {
		t.Errorf("resolve the parent: got %v, want a conflict that names %s", err, child.Reference)
	}
	g.send(g.over(g.firing("Core", "2")))
	due()
	if p := g.incident(parent.ID.String()); p.State != incident.Open || !p.Process.Waits {
		t.Errorf("the parent is %s, want it to wait for its child", p.State)
	}
	g.send(g.over(g.firing("Switch", "1")), g.over(g.firing("Switch", "3")))
	due()
	if p := g.incident(parent.ID.String()); p.State != incident.Resolved {
		t.Errorf("the parent is %s, want it resolved with its child", p.State)
	}
	checkStore(t, g.st)
}

// TestMergesThatFail say so, and leave what was there; so does a parent that was
// changed after it was looked at.
func TestMergesThatFail(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t)
	child, parent := pair(g)
	var input *InputError
	var conflict *ConflictError
	if _, err := g.Merge(ctx, child.Reference, "INC-nobody", Terms{}, "ana", ""); !errors.As(err, &input) || input.Field != "into" {
		t.Errorf("into nothing: got %v", err)
	}
	if _, err := g.Merge(ctx, child.Reference, child.ID.String(), Terms{}, "ana", ""); !errors.As(err, &input) || input.Field != "into" {
		t.Errorf("into itself: got %v", err)
	}
	if _, err := g.Merge(ctx, "INC-nobody", parent.Reference, Terms{}, "ana", ""); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("nothing into it: got %v", err)
	}
	if _, err := g.Merge(ctx, child.Reference, parent.Reference, Terms{Version: child.Version + 1}, "ana", ""); !errors.As(err, &conflict) {
		t.Errorf("another version: got %v", err)
	}
	// Each of two is merged into the other at the same time: the child's write of the
	// second happens before the parent of the first hears of it.
	one := g.dies(1)
	if _, err := one.Merge(ctx, child.Reference, parent.Reference, Terms{}, "ana", ""); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := g.onIncident(ctx, parent.ID.String(), func(e *incident.Edit) error { return e.Merge("ben", child, "") }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := g.RunDue(ctx); err != nil {
			t.Fatal(err)
		}
		g.clock.add(time.Second)
	}
	c, p := g.incident(child.ID.String()), g.incident(parent.ID.String())
	if c.HasFamily() && p.HasFamily() {
		t.Errorf("both are merged into each other: %+v, %+v", c.Process, p.Process)
	}
	if c.HasFamily() != (len(p.Proceedings().Merged) == 1) || p.HasFamily() != (len(c.Proceedings().Merged) == 1) {
		t.Errorf("they do not agree: %+v, %+v", c.Process, p.Process)
	}
	if _, _, err := g.OpenChild(ctx, parent.Reference, Terms{Version: p.Version + 5}, CustomerPart{Customer: "Acme", Title: "x", By: "ana"}); !errors.As(err, &conflict) {
		t.Errorf("a customer's part of another version: got %v", err)
	}
	if _, _, err := g.OpenChild(ctx, parent.Reference, Terms{}, CustomerPart{Customer: "Acme", Title: " ", By: "ana"}); !errors.As(err, &input) || input.Field != "title" {
		t.Errorf("a customer's part without a title: got %v", err)
	}
	checkStore(t, g.st)
}

// TestSnoozeEnds by a job, once.
func TestSnoozeEnds(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t)
	_, i := pair(g)
	if _, err := g.Act(ctx, i.Reference, 0, func(e *incident.Edit) error { return e.SnoozeFor("ana", time.Hour, "") }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after   time.Duration
		snoozed bool
	}{{59 * time.Minute, true}, {2 * time.Minute, false}, {time.Hour, false}} {
		g.clock.add(c.after)
		if err := g.RunDue(ctx); err != nil {
			t.Fatal(err)
		}
		if got := g.incident(i.ID.String()).Process.Snooze != nil; got != c.snoozed {
			t.Errorf("after %v: snoozed %v, want %v", c.after, got, c.snoozed)
		}
	}
	var ends int
	for _, e := range g.said(i.ID) {
		if strings.HasPrefix(e, "snooze_over") {
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("it ended %d times", ends)
	}
}

// TestSnoozeEndsAtItsJob: jobs come by whole milliseconds, and the one that ends a snooze
// is the only one, so it must not come before.
func TestSnoozeEndsAtItsJob(t *testing.T) {
	ctx := context.Background()
	g := newGateway(t)
	_, i := pair(g)
	begins := g.st.Now().Truncate(time.Millisecond)
	if _, err := g.Act(ctx, i.Reference, 0, func(e *incident.Edit) error {
		return e.Snooze("ana", begins.Add(time.Hour+500*time.Microsecond), "")
	}); err != nil {
		t.Fatal(err)
	}
	g.clock.add(begins.Add(time.Hour + 100*time.Microsecond).Sub(g.st.Now()))
	if err := g.RunDue(ctx); err != nil {
		t.Fatal(err)
	}
	g.clock.add(time.Minute)
	if err := g.RunDue(ctx); err != nil {
		t.Fatal(err)
	}
	if g.incident(i.ID.String()).Process.Snooze != nil {
		t.Error("it has not ended a minute after its end")
	}
}
