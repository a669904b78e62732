package dedupe

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// moment is a request, so many minutes after epoch.
type moment struct {
	minute int
	send   []sent
	want   []alert.Verdict
}

func fire(pod string, start int) sent {
	return sent{name: "A", pod: pod, status: alert.Firing, start: start, end: -1}
}

func resolve(pod string, start, end int) sent {
	return sent{name: "A", pod: pod, status: alert.Resolved, start: start, end: end}
}

func verdicts(v ...alert.Verdict) []alert.Verdict { return v }

func (d *door) play(p *Policy, story []moment) {
	d.t.Helper()
	for _, m := range story {
		d.now = at(m.minute)
		if got := d.send(p, m.send...); !slices.Equal(got, m.want) {
			d.t.Fatalf("minute %d: got %v, want %v; sent %+v", m.minute, got, m.want, m.send)
		}
	}
}

// TestThreshold: what is held, when the incident opens, and who is in it.
func TestThreshold(t *testing.T) {
	const held, opened, joined, duplicate, updated, resolved = alert.Held, alert.Opened, alert.Joined, alert.Duplicate, alert.Updated, alert.ResolvedAlert
	three := Threshold{Count: 3, Window: minutes(10)}
	pods := Threshold{Count: 3, Distinct: "pod", Window: minutes(10)}
	for name, c := range map[string]struct {
		threshold Threshold
		story     []moment
		// alerts are those of the incident in the end; zero means that there is none.
		alerts      incident.Counts
		occurrences uint64
		timeline    []string
	}{
		"without one": {Threshold{}, []moment{{1, []sent{fire("a", 1)}, verdicts(opened)}}, incident.Counts{Total: 1, Firing: 1}, 1, []string{"opened"}},
		"of one":      {Threshold{Count: 1}, []moment{{1, []sent{fire("a", 1)}, verdicts(opened)}}, incident.Counts{Total: 1, Firing: 1}, 1, []string{"opened"}},
		"one request brings enough": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1), fire("c", 1), fire("d", 1)}, verdicts(held, held, opened, joined)}},
			incident.Counts{Total: 4, Firing: 4}, 4, []string{"opened", "joined 3"}},
		"several requests bring enough": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {2, []sent{fire("b", 2)}, verdicts(held)}, {3, []sent{fire("c", 3)}, verdicts(opened)}},
			incident.Counts{Total: 3, Firing: 3}, 3, []string{"opened", "joined 2"}},
		"too few": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {2, []sent{fire("b", 2)}, verdicts(held)}}, incident.Counts{}, 0, nil},
		"repeats do not count": {three, []moment{
			{1, []sent{fire("a", 1), fire("a", 1)}, verdicts(held, duplicate)},
			{2, []sent{fire("a", 1), fire("b", 2)}, verdicts(duplicate, held)},
			{3, []sent{fire("a", 1), fire("b", 2)}, verdicts(duplicate, duplicate)}}, incident.Counts{}, 0, nil},
		"but they are counted once the incident opens": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1)}, verdicts(held, held)},
			{2, []sent{fire("a", 1), fire("a", 1)}, verdicts(duplicate, duplicate)},
			{3, []sent{fire("a", 1), fire("c", 3)}, verdicts(duplicate, opened)}}, incident.Counts{Total: 3, Firing: 3}, 6, []string{"opened", "joined 2"}},
		"new content while held": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)},
			{2, []sent{{name: "A", pod: "a", status: alert.Firing, start: 1, end: -1, note: "x"}}, verdicts(updated)}}, incident.Counts{}, 0, nil},
		"the window slides": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {8, []sent{fire("b", 8)}, verdicts(held)},
			{12, []sent{fire("c", 12)}, verdicts(held)}, {18, []sent{fire("d", 18)}, verdicts(opened)}},
			incident.Counts{Total: 4, Firing: 4}, 4, []string{"opened", "joined 3"}},
		"the end of the window counts": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1)}, verdicts(held, held)}, {11, []sent{fire("c", 11)}, verdicts(opened)}},
			incident.Counts{Total: 3, Firing: 3}, 3, []string{"opened", "joined 2"}},
		"held, resolved, and part of what happened": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1)}, verdicts(held, held)}, {2, []sent{resolve("a", 1, 2)}, verdicts(resolved)},
			{3, []sent{fire("c", 3)}, verdicts(opened)}}, incident.Counts{Total: 3, Firing: 2}, 4, []string{"opened", "joined 2"}},
		"held and resolved long before": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {2, []sent{resolve("a", 1, 2)}, verdicts(resolved)},
			{30, []sent{fire("b", 30), fire("c", 30), fire("d", 30)}, verdicts(held, held, opened)}},
			incident.Counts{Total: 3, Firing: 3}, 3, []string{"opened", "joined 2"}},
		"held long before, still fires": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)},
			{30, []sent{fire("b", 30), fire("c", 30), fire("d", 30)}, verdicts(held, held, opened)}},
			incident.Counts{Total: 4, Firing: 4}, 4, []string{"opened", "joined 3"}},
		"all held resolved": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1)}, verdicts(held, held)},
			{2, []sent{resolve("a", 1, 2), resolve("b", 1, 2)}, verdicts(resolved, resolved)},
			{3, []sent{resolve("a", 1, 2)}, verdicts(duplicate)}}, incident.Counts{}, 0, nil},
		"in one request, with a resolve in between": {three, []moment{
			{1, []sent{fire("a", 1), resolve("a", 1, 1), fire("b", 1), fire("c", 1)}, verdicts(held, resolved, held, opened)}},
			incident.Counts{Total: 3, Firing: 2}, 4, []string{"opened", "joined 2"}},
		"one alert that comes and goes": {three, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {2, []sent{resolve("a", 1, 2)}, verdicts(resolved)}, {4, []sent{fire("a", 4)}, verdicts(held)},
			{5, []sent{resolve("a", 4, 5)}, verdicts(resolved)}, {7, []sent{fire("a", 7)}, verdicts(opened)}},
			incident.Counts{Total: 1, Firing: 1}, 1, []string{"opened"}},
		"is one pod": {pods, []moment{
			{1, []sent{fire("a", 1)}, verdicts(held)}, {2, []sent{resolve("a", 1, 2)}, verdicts(resolved)}, {4, []sent{fire("a", 4)}, verdicts(held)},
			{5, []sent{resolve("a", 4, 5)}, verdicts(resolved)}, {7, []sent{fire("a", 7)}, verdicts(held)}}, incident.Counts{}, 0, nil},
		"distinct pods": {pods, []moment{
			{1, []sent{fire("a", 1), fire("b", 1), {name: "A", pod: "a", status: alert.Firing, start: 1, end: -1, severity: "error"}}, verdicts(held, held, duplicate)},
			{2, []sent{fire("c", 2)}, verdicts(opened)}}, incident.Counts{Total: 3, Firing: 3}, 4, []string{"opened", "joined 2"}},
		"a repeat once the incident is open": {three, []moment{
			{1, []sent{fire("a", 1), fire("b", 1), fire("c", 1)}, verdicts(held, held, opened)},
			{2, []sent{fire("a", 1), fire("d", 2)}, verdicts(duplicate, joined)}},
			incident.Counts{Total: 4, Firing: 4}, 5, []string{"opened", "joined 2", "joined 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			d.play(policy(func(p *Policy) { p.Threshold = c.threshold }), c.story)
			if c.alerts.Total == 0 {
				if len(d.incidents) != 0 {
					t.Fatalf("got an incident %+v, want none", d.the())
				}
				return
			}
			i := d.the()
			if i.Alerts != c.alerts || i.Occurrences != c.occurrences || !slices.Equal(d.said(i.ID), c.timeline) {
				t.Errorf("got %+v, %d occurrences, timeline %q\nwant %+v, %d, %q", i.Alerts, i.Occurrences, d.said(i.ID), c.alerts, c.occurrences, c.timeline)
			}
		})
	}
}

// TestWhatAThresholdBrings: the incident's labels are those that all alerts
// share, what rules set included; its start is the earliest of all, and so is
// what is observed; its severity the worst.
func TestWhatAThresholdBrings(t *testing.T) {
	d := newDoor(t)
	p := policy(func(p *Policy) {
		p.Threshold = Threshold{Count: 3, Window: minutes(10)}
		p.Labels = func(a *alert.Alert) alert.Labels {
			return alert.FromMap(map[string]string{"site": "here", "of": a.Labels.Get("pod")})
		}
	})
	send := func(minute int, s sent) {
		d.now = at(minute)
		ev := d.event(s)
		ev.Class.Labels = p.Labels(ev.Alert)
		k, _ := NewCorrelator(Config{})
		var h Hasher
		d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})
		d.check()
	}
	send(3, sent{name: "A", pod: "a", status: alert.Firing, start: 2, end: -1, severity: "critical"})
	send(4, sent{name: "A", pod: "b", status: alert.Firing, start: 1, end: -1})
	send(5, sent{name: "A", pod: "c", status: alert.Firing, start: 5, end: -1})
	i := d.the()
	if want := map[string]string{"alertname": "A", "site": "here"}; !maps.Equal(i.Labels, want) {
		t.Errorf("labels: got %v, want %v", i.Labels, want)
	}
	if i.Severity != "critical" || i.CycleSeverity != "critical" {
		t.Errorf("severity: got %s (cycle %s), want critical", i.Severity, i.CycleSeverity)
	}
	if !i.StartedAt.Equal(at(1)) || !i.OpenedAt.Equal(at(5)) {
		t.Errorf("started %v, opened %v; want minutes 1 and 5", i.StartedAt, i.OpenedAt)
	}
	want := []incident.Observation{{Metric: "opened_total", Severity: "critical", Value: 1}, {Metric: "time_to_detect_seconds", Severity: "critical", Value: i.TimeToDetect().Seconds()}}
	if !slices.Equal(d.observed, want) || i.TimeToDetect() != 4*time.Minute {
		t.Errorf("observed %+v, want %+v", d.observed, want)
	}
}

// TestHeldIsBounded: a flood below the threshold is remembered up to a limit.
func TestHeldIsBounded(t *testing.T) {
	d := newDoor(t)
	p := policy(func(p *Policy) { p.Threshold = Threshold{Count: heldKept + 1, Window: minutes(10)} })
	var all []sent
	for n := range heldKept + 500 {
		all = append(all, fire(fmt.Sprint(n), 0))
	}
	d.now = at(1)
	d.send(p, all...)
	if len(d.incidents) != 0 || len(d.keys) != 1 {
		t.Fatalf("got %d incidents and %d keys, want 0 and 1", len(d.incidents), len(d.keys))
	}
	for _, k := range d.keys {
		if len(k.Held) != heldKept {
			t.Errorf("got %d held, want %d", len(k.Held), heldKept)
		}
	}
	// The threshold goes: the next alert opens, and the repeats of all others join.
	p.Threshold = Threshold{}
	d.send(p, fire("one more", 1))
	d.send(p, all...)
	if i := d.the(); i.Alerts.Total != heldKept+501 {
		t.Errorf("got %+v, want all %d", i.Alerts, heldKept+501)
	}
}

// TestHeldOfAnOldIncident: what a person reopens takes back what was held of
// it, and has it once.
func TestHeldOfAnOldIncident(t *testing.T) {
	d := newDoor(t)
	p := policy(func(p *Policy) { p.Threshold = Threshold{Count: 2, Window: minutes(10)}; p.ReopenWindow = 0 })
	d.play(p, []moment{
		{1, []sent{fire("a", 1), fire("b", 1)}, verdicts(alert.Held, alert.Opened)},
		{2, []sent{resolve("a", 1, 2), resolve("b", 1, 2)}, verdicts(alert.ResolvedAlert, alert.ResolvedAlert)},
		{5, []sent{fire("a", 5)}, verdicts(alert.Held)},
	})
	i := d.the()
	version := i.Version
	d.play(p, []moment{{6, []sent{fire("a", 5)}, verdicts(alert.Duplicate)}})
	if d.the().Version != version {
		t.Error("the repeat of a held alert changed an old incident")
	}
	if err := d.act(p, i.ID, func(e *incident.Edit) error { return e.Reopen("ana", "") }); err != nil {
		t.Fatal(err)
	}
	d.play(p, []moment{{7, []sent{fire("a", 5)}, verdicts(alert.Joined)}})
	if i := d.the(); i.Alerts != (incident.Counts{Total: 2, Firing: 1}) {
		t.Errorf("got %+v, want 2 alerts, 1 of them firing", i.Alerts)
	}
}
