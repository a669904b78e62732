package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

func ack(by string) func(*incident.Edit) error {
	return func(e *incident.Edit) error { return e.Acknowledge(by, "") }
}

func resolveIt(e *incident.Edit) error { return e.Resolve("ana", "") }
func closeIt(e *incident.Edit) error   { return e.Close("ana", "") }
func reopenIt(e *incident.Edit) error  { return e.Reopen("ana", "") }

// TestActOnce: what another tool says twice acts once, whatever happened between.
func TestActOnce(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	o := g.send(g.firing("A", "1"))[0]
	once := func(message string, edit func(*incident.Edit) error, wantAgain bool, wantState string) {
		t.Helper()
		i, again, err := g.ActOnce(ctx, o.Incident, message, edit)
		if err != nil || again != wantAgain || i.State != wantState {
			t.Errorf("%s: got %v, %v, %v; want %v, %v", message, i, again, err, wantAgain, wantState)
		}
	}
	once("1", ack("ana"), false, incident.Acknowledged)
	once("1", ack("ana"), true, incident.Acknowledged)
	once("2", ack("ben"), false, incident.Acknowledged) // it changes nothing, and is remembered
	if _, err := g.Act(ctx, o.Incident, 0, func(e *incident.Edit) error { return e.Unacknowledge("ana", "") }); err != nil {
		t.Fatal(err)
	}
	once("1", ack("ana"), true, incident.Open)
	once("2", ack("ben"), true, incident.Open)
	once("3", ack("ben"), false, incident.Acknowledged)
	// What failed did not happen, and may be said again.
	if _, _, err := g.ActOnce(ctx, o.Incident, "4", closeIt); !errors.Is(err, incident.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	once("5", resolveIt, false, incident.Resolved)
	once("4", closeIt, false, incident.Closed)
	once("6", reopenIt, false, incident.Open)
	once("6", reopenIt, true, incident.Open)
	if got := len(g.said(g.incident(o.Incident).ID)); got != 7 {
		t.Errorf("got %d entries, want 7: opened and six that were done", got)
	}
	checkStore(t, g.st)
}

// TestAct: by id or reference, under a version, and once.
func TestAct(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	o := g.send(g.firing("A", "1"))[0]
	version := g.incident(o.Incident).Version
	i, err := g.Act(ctx, strings.ToLower(o.Reference), version, ack("ana"))
	if err != nil || i.State != incident.Acknowledged || i.AcknowledgedBy != "ana" || i.Version != version+1 || i.Reference != o.Reference {
		t.Fatalf("got %+v (%v)", i, err)
	}
	again, err := g.Act(ctx, o.Incident, 0, ack("ben"))
	if err != nil || again.AcknowledgedBy != "ana" || again.Version != i.Version {
		t.Errorf("again: got %+v (%v), want nothing changed", again, err)
	}
	var conflict *ConflictError
	if _, err := g.Act(ctx, o.Incident, version, resolveIt); !errors.As(err, &conflict) || !errors.Is(err, incident.ErrConflict) || conflict.Current.Version != i.Version {
		t.Errorf("an old version: got %v, want a conflict with version %d", err, i.Version)
	}
	if _, err := g.Act(ctx, o.Incident, 0, closeIt); !errors.As(err, &conflict) || conflict.Current.State != incident.Acknowledged {
		t.Errorf("close what is not resolved: got %v, want a conflict", err)
	}
	if _, err := g.Act(ctx, "INC-20261121-ZZZZ", 0, resolveIt); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("no such incident: got %v", err)
	}
	own := errors.New("own")
	if _, err := g.Act(ctx, o.Incident, 0, func(*incident.Edit) error { return own }); !errors.Is(err, own) {
		t.Errorf("an error of the edit: got %v", err)
	}
	i.Labels["mine"] = "x"
	if _, shared := g.incident(o.Incident).Labels["mine"]; shared {
		t.Error("the caller can change what the store has")
	}
	checkStore(t, g.st)
}

// TestOneAcknowledges, however many try at the same moment.
func TestOneAcknowledges(t *testing.T) {
	st := open(t, "mem:", embedded.Options{})
	p := pipeline(t, st, settings())
	ctx := context.Background()
	out, err := p.Accept(ctx, "alertmanager", load(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	name := out[0].Reference
	version := incidents(t, st)[0].Version
	var mu sync.Mutex
	var won, lost int
	var who string
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			by := fmt.Sprint("person ", n)
			i, err := p.Act(ctx, name, version, ack(by))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
				who = i.AcknowledgedBy
			case errors.Is(err, incident.ErrConflict):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	i := incidents(t, st)[0]
	if won != 1 || lost != 15 || i.AcknowledgedBy != who || i.Version != version+1 {
		t.Errorf("got %d winners and %d conflicts, acknowledged by %q, version %d; want one winner, %q", won, lost, i.AcknowledgedBy, i.Version, who)
	}
	checkStore(t, st)
}

// TestReopenByHand is refused once the key has a newer incident, and only then.
func TestReopenByHand(t *testing.T) {
	g := newGateway(t, retention(100*24*time.Hour))
	ctx := context.Background()
	a := g.firing("A", "1")
	first := g.send(a)[0]
	g.wait(time.Minute)
	g.send(g.over(a))
	if i, err := g.Act(ctx, first.Incident, 0, closeIt); err != nil || i.State != incident.Closed {
		t.Fatal(i, err)
	}
	if i, err := g.Act(ctx, first.Incident, 0, reopenIt); err != nil || i.State != incident.Open {
		t.Fatalf("the latest of its key: got %+v (%v)", i, err)
	}
	for _, edit := range []func(*incident.Edit) error{resolveIt, closeIt} {
		if _, err := g.Act(ctx, first.Incident, 0, edit); err != nil {
			t.Fatal(err)
		}
	}
	// The retention of the next one is shorter than that of the first.
	if err := g.Set(ctx, settings(retention(24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	g.wait(time.Hour)
	b := g.firing("A", "1")
	second := g.expect(verdicts(alert.Opened), b)[0]
	var conflict *ConflictError
	if _, err := g.Act(ctx, first.Incident, 0, reopenIt); !errors.As(err, &conflict) || !strings.Contains(err.Error(), second.Reference) {
		t.Errorf("got %v, want a conflict that names %s", err, second.Reference)
	}
	g.wait(time.Minute)
	g.send(g.over(b))
	if _, err := g.Act(ctx, second.Incident, 0, closeIt); err != nil {
		t.Fatal(err)
	}
	g.wait(48 * time.Hour)
	if _, err := g.st.Incident(ctx, second.Incident); !errors.Is(err, incident.ErrNotFound) {
		t.Fatalf("the second: got %v, want it removed", err)
	}
	if i, err := g.Act(ctx, first.Incident, 0, reopenIt); err != nil || i.State != incident.Open {
		t.Fatalf("once the newer one is gone: got %+v (%v)", i, err)
	}
	if o := g.expect(verdicts(alert.Joined), g.firing("A", "2"))[0]; o.Incident != first.Incident {
		t.Errorf("a new alert: got %+v, want it in the incident that is open, %s", o, first.Reference)
	}
	checkStore(t, g.st)
}

// TestReport: a person's incident, and all mistakes at once.
func TestReport(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	i, _, err := g.Report(ctx, Report{Description: "\n the site is slow\nsince lunch", Reporter: "ben", Impact: "high", Urgency: "low", Category: "software", Service: "shop", StartedAt: epoch.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if i.Title != "the site is slow" || i.State != incident.Open || i.Reporter != "ben" || i.Severity != "warning" || i.Priority != "P3" || i.Service != "shop" ||
		i.Reference == "" || i.Version != 1 || i.TimeToDetect() != time.Hour || i.Rule != dedupe.DefaultRule {
		t.Errorf("got %+v", i)
	}
	other, verdict, err := g.Report(ctx, Report{Description: "the site is slow", Reporter: "ben", Severity: "critical", Drill: true})
	if err != nil || other.ID == i.ID || other.Key == i.Key || !other.Drill || other.Priority != "P1" {
		t.Errorf("the same again is another: got %+v (%v)", other, err)
	}
	if verdict != alert.Opened {
		t.Errorf("another one: got %v, want opened", verdict)
	}
	for _, c := range []struct {
		who  string
		want alert.Verdict
	}{{"ben", alert.Duplicate}, {"eva", alert.Joined}, {"eva", alert.Duplicate}} {
		again, verdict, err := g.Report(ctx, Report{Description: "the site is slow\nsince lunch", Reporter: c.who, Service: "shop", Channel: "phone"})
		if c.who == "ben" {
			again, verdict, err = g.Report(ctx, Report{Description: "\n the site is slow\nsince lunch", Reporter: "ben", Impact: "high", Urgency: "low", Category: "software", Service: "shop", StartedAt: epoch.Add(-time.Hour)})
		}
		if err != nil || verdict != c.want || again.ID != i.ID {
			t.Errorf("the same by %s: got %v (%v), incident %s; want %v, %s", c.who, verdict, err, again.Reference, c.want, i.Reference)
		}
	}
	if again, verdict, err := g.Report(ctx, Report{Description: "the site is slow", Reporter: "kim", Service: "shop", Impact: "high", Urgency: "high"}); err != nil || verdict != alert.Joined || again.ID != i.ID || again.Severity != "critical" {
		t.Errorf("as bad as can be: got %v (%v), %+v; want it joined, and critical", verdict, err, again)
	}
	if i, err := g.Act(ctx, i.Reference, 0, resolveIt); err != nil || i.State != incident.Resolved {
		t.Errorf("resolved by hand: got %+v (%v)", i, err)
	}
	_, _, err = g.Report(ctx, Report{Title: strings.Repeat("x", maxTitle+1), Description: strings.Repeat("x", maxDescription+1), Service: strings.Repeat("x", maxName+1),
		Team: strings.Repeat("x", maxName+1), Severity: "odd", Impact: "odd", Urgency: "odd", Category: "odd"})
	var fields []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var input *InputError
			if errors.As(e, &input) {
				fields = append(fields, input.Field)
			}
		}
	}
	if got, want := strings.Join(fields, " "), "title description service team reporter severity impact urgency category"; got != want {
		t.Errorf("mistakes: got %q, want %q", got, want)
	}
	if _, _, err := g.Report(ctx, Report{Reporter: "ben", Description: " \r\n "}); err == nil || !strings.Contains(err.Error(), "say what happened") {
		t.Errorf("nothing said: got %v", err)
	}
	if n := len(g.incidents()); n != 2 {
		t.Errorf("got %d incidents, want 2", n)
	}
	checkStore(t, g.st)
}

func TestCheckSeverity(t *testing.T) {
	g := newGateway(t)
	var input *InputError
	if err := g.CheckSeverity("page"); !errors.As(err, &input) || input.Field != "severity" {
		t.Errorf("got %v, want an InputError", err)
	}
	if err := g.CheckSeverity("critical"); err != nil {
		t.Error(err)
	}
}
