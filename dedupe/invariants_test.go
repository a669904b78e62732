package dedupe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

// TestWhateverHappens: alerts in any order and with any times, several keys in
// a request, validity that runs out, moves, and people who resolve, acknowledge,
// close and reopen in between: what is stored never contradicts itself. Check,
// which runs after every step, says what that means.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDoor(rt)
		d.now = epoch.Add(time.Hour)
		p := policy(func(p *Policy) {
			p.ReopenWindow = rapid.SampledFrom([]time.Duration{0, 5 * time.Minute, time.Hour}).Draw(rt, "reopen window")
			p.FlapChanges = rapid.SampledFrom([]int{0, 2, 6}).Draw(rt, "flapping")
			if count := rapid.IntRange(1, 4).Draw(rt, "count"); count > 1 {
				p.Threshold = Threshold{Count: count, Distinct: rapid.SampledFrom([]string{"", "pod"}).Draw(rt, "distinct"), Window: minutes(20)}
			}
		})
		byHand := map[incident.ID]bool{}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"send", "send", "send", "wait", "expire", "person", "person", "move"}).Draw(rt, "step") {
			case "send":
				d.send(p, rapid.SliceOfN(rapid.Custom(anything), 1, 6).Draw(rt, "request")...)
			case "wait":
				d.now = d.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "minutes")) * time.Minute)
			case "expire":
				for key := range d.entries {
					d.expire(p, key)
				}
			case "person":
				d.person(rt, p, byHand)
			case "move":
				d.moveOne(rt, p)
			}
			for id, i := range d.incidents {
				if !i.IsOpen() {
					delete(byHand, id)
				}
				if i.IsOpen() && i.Alerts.Firing == 0 && !byHand[id] {
					rt.Fatalf("incident %s is %s although none of its alerts fires", id, i.State)
				}
			}
		}
	})
}

// TestHeldAsSomethingElse: an alert that a threshold held counts as what it is
// classified as when it joins, not as what it was when it was held.
func TestHeldAsSomethingElse(t *testing.T) {
	d := newDoor(t)
	d.now = epoch.Add(time.Hour)
	p := policy(func(p *Policy) { p.ReopenWindow, p.Threshold = 0, Threshold{Count: 2, Window: minutes(20)} })
	say := func(pod string, status alert.Status, severity string) {
		d.send(p, sent{name: "A", pod: pod, status: status, severity: severity})
	}
	say("p1", alert.Firing, "critical")
	say("p0", alert.Firing, "critical")
	say("p0", alert.Resolved, "critical")
	say("p1", alert.Resolved, "critical")
	d.now = d.now.Add(time.Hour)
	say("p1", alert.Firing, "critical") // held, beside an incident that is over
	for id := range d.incidents {
		if err := d.act(p, id, func(e *incident.Edit) error { return e.Reopen("ana", "") }); err != nil {
			t.Fatal(err)
		}
	}
	say("p1", alert.Firing, "warning") // the rules have changed; d checks that what is stored agrees
	for _, i := range d.incidents {
		if i.Firing["warning"] != 1 || i.Firing["critical"] != 0 {
			t.Errorf("firing: got %v, want one warning", i.Firing)
		}
	}
}

// anything is a message with times that need not make sense.
func anything(t *rapid.T) sent {
	return sent{
		name: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"), pod: fmt.Sprint("p", rapid.IntRange(0, 2).Draw(t, "pod")),
		status: rapid.SampledFrom([]alert.Status{alert.Firing, alert.Firing, alert.Resolved}).Draw(t, "status"),
		start:  rapid.IntRange(-1, 400).Draw(t, "start"), end: rapid.IntRange(-1, 400).Draw(t, "end"),
		severity: rapid.SampledFrom([]string{"critical", "warning", "odd"}).Draw(t, "severity"),
		note:     rapid.SampledFrom([]string{"", "x"}).Draw(t, "note"), validFor: rapid.IntRange(0, 30).Draw(t, "valid for"),
	}
}

func (d *door) person(rt *rapid.T, p *Policy, byHand map[incident.ID]bool) {
	ids := sorted(d.incidents)
	if len(ids) == 0 {
		return
	}
	id := rapid.SampledFrom(ids).Draw(rt, "incident")
	do := map[string]func(e *incident.Edit) error{
		"acknowledge": func(e *incident.Edit) error { return e.Acknowledge("ana", "") },
		"resolve":     func(e *incident.Edit) error { return e.Resolve("ana", "") },
		"close":       func(e *incident.Edit) error { return e.Close("ana", "") },
		"reopen":      func(e *incident.Edit) error { return e.Reopen("ana", "") },
		"severity":    func(e *incident.Edit) error { return e.SetSeverity("ana", "error", "") },
		"phase":       func(e *incident.Edit) error { return e.SetPhase("ana", incident.Mitigating, "") },
	}
	what := rapid.SampledFrom([]string{"acknowledge", "resolve", "close", "reopen", "severity", "phase"}).Draw(rt, "action")
	err := d.act(p, id, do[what])
	var state *incident.StateError
	if err != nil && !errors.As(err, &state) && !errors.Is(err, incident.ErrConflict) {
		rt.Fatalf("%s: %v", what, err)
	}
	if what == "reopen" && err == nil {
		byHand[id] = true
	}
}

// moveOne ends some firing alert because it fires elsewhere.
func (d *door) moveOne(rt *rapid.T, p *Policy) {
	for _, key := range sorted(d.entries) {
		for _, fp := range sorted(d.entries[key]) {
			if d.entries[key][fp].Entry.Firing && rapid.Bool().Draw(rt, "this one") {
				d.run(&Batch{Place: PlaceOf(key), Policy: p, Events: []Event{{Fingerprint: fp, Moved: true}}})
				d.check()
				return
			}
		}
	}
}

// sorted lists the keys of a map in an order that is the same in each run.
func sorted[K ~[16]byte, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { x, y := [16]byte(a), [16]byte(b); return bytes.Compare(x[:], y[:]) })
	return keys
}
