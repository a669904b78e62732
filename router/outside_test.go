package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// tools are the tools outside, in memory.
type tools struct {
	mu    sync.Mutex
	open  []alert.Alert
	err   error
	asked int
	told  []string
}

func (o *tools) Open(_ context.Context, _ string) ([]alert.Alert, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	return slices.Clone(o.open), o.err
}

func (o *tools) WriteBack(_ context.Context, source string, w WriteBack) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.told = append(o.told, fmt.Sprintf("%s: %v by %s about %d of %s: %s", source, w.Kind, w.Author, len(w.Alerts), w.Incident[:4], w.Comment))
	return nil
}

func withOutside(t *testing.T) (*gateway, *tools) {
	t.Helper()
	g := newGateway(t, func(s *Settings) {
		s.Sources["alertmanager"] = SourceSettings{Reconcile: 5 * time.Minute, WritesBack: true}
	})
	o := &tools{}
	g.SetOutside(o)
	return g, o
}

// round lets time pass and waits for the jobs that ask outside.
func (g *gateway) round(d time.Duration) {
	g.t.Helper()
	g.wait(d)
	g.outsideDone.Wait()
}

// TestALostResolve: what the source does not know any more, twice in a row, is over.
func TestALostResolve(t *testing.T) {
	g, o := withOutside(t)
	lost, there := g.firing("Lost", "p"), g.firing("There", "p")
	g.send(lost, there)
	elsewhere := g.firing("Lost", "q")
	elsewhere.Source = "prometheus"
	if _, err := g.Accept(context.Background(), "prometheus", []alert.Alert{elsewhere}); err != nil {
		t.Fatal(err)
	}
	o.open = []alert.Alert{{Kind: alert.KindAlert, Status: alert.Firing, Labels: there.Labels, StartsAt: there.StartsAt}}
	g.round(5 * time.Minute)
	if n := len(g.incidents(incident.Resolved)); o.asked != 1 || n != 0 {
		t.Errorf("not found once: asked %d times, %d resolved; want 1 and none, a source may have just started", o.asked, n)
	}
	g.round(5 * time.Minute)
	resolved := g.incidents(incident.Resolved)
	if len(resolved) != 0 {
		t.Errorf("another source's alert in the same incident still fires, but it is resolved")
	}
	if _, err := g.Accept(context.Background(), "prometheus", []alert.Alert{g.over(elsewhere)}); err != nil {
		t.Fatal(err)
	}
	if resolved = g.incidents(incident.Resolved); len(resolved) != 1 || resolved[0].Title != "Lost" {
		t.Fatalf("got %+v resolved, want Lost", resolved)
	}
	if said := g.said(resolved[0].ID); !slices.Contains(said, "reconciled 1") {
		t.Errorf("timeline: got %q, want that it was reconciled", said)
	}
	// It was not over: the source says so, and it fires again.
	g.clock.add(time.Minute)
	again := g.again(lost)
	again.StartsAt = g.clock.read()
	g.expect(verdicts(alert.Reopened), again)
	checkStore(t, g.st)
}

// TestAMissedAlert is taken in, once it is clear that it is not on its way.
func TestAMissedAlert(t *testing.T) {
	g, o := withOutside(t)
	missed := g.firing("Missed", "p")
	o.open = []alert.Alert{missed}
	g.round(5 * time.Minute)
	if n := len(g.incidents()); n != 0 {
		t.Fatalf("after 5 minutes: got %d incidents, want none", n)
	}
	g.round(6 * time.Minute)
	list := g.incidents()
	if len(list) != 1 || list[0].Title != "Missed" || !list[0].StartedAt.Equal(missed.StartsAt) {
		t.Fatalf("got %+v, want Missed", list)
	}
	version := list[0].Version
	g.round(5 * time.Minute)
	if i := g.incidents()[0]; i.Version != version {
		t.Error("it was taken in again")
	}
	if out := g.send(g.again(missed)); out[0].Verdict != alert.Duplicate {
		t.Errorf("its message came after all: got %v, want duplicate", out[0].Verdict)
	}
}

func TestASourceThatDoesNotAnswer(t *testing.T) {
	g, o := withOutside(t)
	g.send(g.firing("A", "p"))
	o.err = errors.New("away")
	g.round(5 * time.Minute)
	g.round(10 * time.Minute)
	if n := len(g.incidents(incident.Open)); n != 1 || o.asked != 2 {
		t.Errorf("got %d open, asked %d times; want 1, 2", n, o.asked)
	}
}

func TestWriteBack(t *testing.T) {
	g, o := withOutside(t)
	ctx := context.Background()
	name := g.send(g.firing("Down", "a"), g.firing("Down", "b"))[0].Reference
	act := func(edit func(e *incident.Edit) error) {
		t.Helper()
		if _, err := g.Act(ctx, name, 0, edit); err != nil {
			t.Fatal(err)
		}
	}
	act(func(e *incident.Edit) error { return e.Acknowledge("ann", "on it") })
	o.err = errors.New("away")
	g.round(time.Second)
	o.err = nil
	act(func(e *incident.Edit) error { return e.Note("ann", "the disk is full", time.Time{}) })
	// What a source said itself is not said to it again.
	note := g.firing("Down", "a")
	note.Kind, note.Author, note.Comment = alert.KindNote, "ben", "seen"
	g.send(note)
	act(func(e *incident.Edit) error { return e.SetPhase("ann", incident.Mitigating, "") })
	act(func(e *incident.Edit) error { return e.Unacknowledge("ann", "") })
	// What a person said where they were notified is, as if it had been said here.
	act(func(e *incident.Edit) error { e.From("pagerduty webhook"); return e.Acknowledge("cy", "") })
	g.round(time.Minute)
	want := []string{"alertmanager: acknowledgement by ann about 2 of INC-: on it", "alertmanager: note by ann about 2 of INC-: the disk is full",
		"alertmanager: acknowledgement_removed by ann about 2 of INC-: acknowledgement taken back", "alertmanager: acknowledgement by cy about 2 of INC-: "}
	if !slices.Equal(o.told, want) {
		t.Errorf("got %q, want %q", o.told, want)
	}
	g.round(time.Hour)
	if len(o.told) != len(want) {
		t.Errorf("told again: %q", o.told[len(want):])
	}
}
