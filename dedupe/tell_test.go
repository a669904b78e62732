package dedupe

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// told sends a message that is no alert about the alert of that name.
func (d *door) told(p *Policy, name string, change func(*alert.Alert)) alert.Verdict {
	ev := d.event(fire(name, 0))
	ev.Alert.Kind, ev.Alert.Status, ev.Alert.StartsAt, ev.Alert.ReceivedAt = alert.KindNote, alert.Unknown, time.Time{}, d.now
	ev.Alert.Author, ev.Alert.Comment = "ben", "on it"
	change(ev.Alert)
	k, _ := NewCorrelator(Config{})
	var h Hasher
	return d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})[0].Verdict
}

func kind(k alert.Kind, s alert.Status) func(*alert.Alert) {
	return func(a *alert.Alert) { a.Kind, a.Status = k, s }
}

func TestAcknowledgedAtTheSource(t *testing.T) {
	d := newDoor(t)
	p := policy()
	ack, unack := kind(alert.KindAcknowledgement, alert.Firing), kind(alert.KindAcknowledgementRemoved, alert.Firing)
	if v := d.told(p, "a", ack); v != alert.Recorded || len(d.incidents) != 0 {
		t.Errorf("of something unknown: got %v and %d incidents, want recorded and none", v, len(d.incidents))
	}
	d.now = at(1)
	d.send(p, fire("a", 0))
	d.now = at(3)
	if v := d.told(p, "b", ack); v != alert.Recorded || d.the().State != incident.Open {
		t.Errorf("of another alert, of which nothing is known: got %v, incident %s; want recorded, open", v, d.the().State)
	}
	if v := d.told(p, "a", ack); v != alert.Acknowledged {
		t.Errorf("got %v, want acknowledged", v)
	}
	i := d.the()
	if wait, _ := i.TimeToAcknowledge(); i.State != incident.Acknowledged || i.AcknowledgedBy != "ben" || wait != 2*time.Minute {
		t.Errorf("got %s by %q after %v, want acknowledged by ben after 2m", i.State, i.AcknowledgedBy, wait)
	}
	version := i.Version
	d.told(p, "a", ack)
	if d.the().Version != version {
		t.Error("the same acknowledgement again changed the incident")
	}
	d.now = at(4)
	d.told(p, "a", unack)
	if i := d.the(); i.State != incident.Open || i.AcknowledgedBy != "" {
		t.Errorf("taken back: got %s by %q, want open by nobody", i.State, i.AcknowledgedBy)
	}
	d.now = at(30)
	d.told(p, "a", ack)
	var observed int
	for _, o := range d.observed {
		if o.Metric == "time_to_acknowledge_seconds" {
			observed++
		}
	}
	if wait, _ := d.the().TimeToAcknowledge(); d.the().State != incident.Acknowledged || wait != 2*time.Minute || observed != 1 {
		t.Errorf("again: got %s, first after %v, observed %d times; want acknowledged, 2m, once", d.the().State, wait, observed)
	}
	want := []string{"opened", "acknowledgement", "acknowledged", "acknowledgement_removed", "acknowledged"}
	if got := d.said(d.the().ID); !slices.Equal(got, want) {
		t.Errorf("timeline: got %q, want %q", got, want)
	}
}

// TestTheEndOfFlapping is the only sign that a problem is over, or there, that
// began or ended while its sender kept quiet because it flapped.
func TestTheEndOfFlapping(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.now = at(1)
	d.send(p, fire("a", 0))
	d.now = at(2)
	if v := d.told(p, "a", kind(alert.KindFlappingStarted, alert.Resolved)); v != alert.Recorded {
		t.Errorf("began while all is well: got %v, want recorded", v)
	}
	if i := d.the(); i.State != incident.Open || !i.FlappingUntil.After(at(2)) {
		t.Errorf("began: got %s, flapping until %v", i.State, i.FlappingUntil)
	}
	d.now = at(20)
	if v := d.told(p, "a", kind(alert.KindFlappingEnded, alert.Resolved)); v != alert.ResolvedAlert || d.the().State != incident.Resolved {
		t.Errorf("ended well: got %v, incident %s; want resolved", v, d.the().State)
	}
	if d.the().FlappingUntil.After(at(20)) {
		t.Errorf("it counts as flapping until %v", d.the().FlappingUntil)
	}
	d = newDoor(t)
	d.now = at(1)
	if v := d.told(p, "a", kind(alert.KindFlappingStarted, alert.Firing)); v != alert.Opened {
		t.Errorf("began with a problem that nobody told of: got %v, want opened", v)
	}
	d = newDoor(t)
	d.now = at(1)
	if v := d.told(p, "a", kind(alert.KindFlappingEnded, alert.Firing)); v != alert.Opened {
		t.Errorf("ended badly: got %v, want opened", v)
	}
	for _, entries := range d.entries {
		for _, k := range entries {
			if k.Content == nil || k.Content.Kind != alert.KindAlert {
				t.Errorf("what is stored: got %+v, want an alert", k.Content)
			}
		}
	}
}

// TestAMessageThatComesTwice is written down once.
func TestAMessageThatComesTwice(t *testing.T) {
	timed := func(a *alert.Alert) { a.EventAt = at(2) }
	for name, c := range map[string]struct {
		change func(*alert.Alert)
		later  time.Duration
		want   int
	}{
		"at once":                     {func(*alert.Alert) {}, 0, 1},
		"later, without a time":       {func(*alert.Alert) {}, 24 * time.Hour, 2},
		"later, of the same time":     {timed, 24 * time.Hour, 1},
		"another one by the same man": {func(a *alert.Alert) { a.Comment = a.ReceivedAt.String() }, time.Second, 2},
	} {
		d := newDoor(t)
		p := policy()
		d.now = at(1)
		d.send(p, fire("a", 0))
		d.now = at(2)
		d.told(p, "a", c.change)
		d.now = d.now.Add(c.later)
		d.told(p, "a", c.change)
		if got := len(d.timeline[d.the().ID]) - 1; got != c.want {
			t.Errorf("%s: got %d entries, want %d", name, got, c.want)
		}
	}
}

func TestAStateThatTheSenderDoesNotKnow(t *testing.T) {
	d := newDoor(t)
	p := policy()
	unknown := kind(alert.KindAlert, alert.Unknown)
	if v := d.told(p, "a", unknown); v != alert.Recorded || len(d.incidents) != 0 {
		t.Errorf("got %v and %d incidents, want recorded and none", v, len(d.incidents))
	}
	d.now = at(1)
	d.send(p, fire("a", 0))
	if v := d.told(p, "a", unknown); v != alert.Recorded || d.the().State != incident.Open {
		t.Errorf("while it fires: got %v, incident %s; want recorded, open", v, d.the().State)
	}
	if got, want := d.said(d.the().ID), []string{"opened", "state_unknown"}; !slices.Equal(got, want) {
		t.Errorf("timeline: got %q, want %q", got, want)
	}
}

// TestKeysOfSenders: an alert with a key of its own stays the same alert whatever
// its labels say, and what its sender reports of a host belongs together.
func TestKeysOfSenders(t *testing.T) {
	k, _ := NewCorrelator(Config{})
	var h Hasher
	id := &Identity{Namespace: "nagios"}
	place := func(key string, perHost bool, labels map[string]string) (alert.Fingerprint, Place) {
		a := &alert.Alert{Key: key, PerHost: perHost, Labels: alert.FromMap(labels)}
		fp := h.Fingerprint(id, a)
		return fp, k.Key(&h, a, &incident.Classification{}, fp)
	}
	warning, there := place("web!load", true, map[string]string{"alertname": "load", "host": "web", "severity": "warning"})
	critical, again := place("web!load", true, map[string]string{"alertname": "load", "host": "web", "severity": "critical"})
	if warning != critical || there.Key != again.Key {
		t.Error("it became worse, and was another alert")
	}
	disk, elsewhere := place("web!disk", true, map[string]string{"alertname": "disk", "host": "web"})
	if disk == warning || elsewhere.Key != there.Key || elsewhere.Rule() != HostRule {
		t.Errorf("another service of the host: the same alert %t, the same place %t, rule %q", disk == warning, elsewhere.Key == there.Key, elsewhere.Rule())
	}
	if _, other := place("web!disk", false, map[string]string{"alertname": "disk", "host": "web"}); other.Rule() != DefaultRule {
		t.Errorf("a sender that does not think in hosts: got rule %q", other.Rule())
	}
	if _, lost := place("x", true, map[string]string{"alertname": "disk"}); lost.Rule() != DefaultRule {
		t.Errorf("without a host: got rule %q", lost.Rule())
	}
	labels, _ := place("", false, map[string]string{"x": "web!load"})
	if labels == warning {
		t.Error("a label was taken for a key")
	}
}

// TestTheSameSecond: Nagios' times are whole seconds.
func TestTheSameSecond(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.now = at(9)
	d.play(p, []moment{{9, []sent{fire("a", 1)}, verdicts(alert.Opened)}, {10, []sent{resolve("a", 1, 5)}, verdicts(alert.ResolvedAlert)},
		{11, []sent{fire("a", 1)}, verdicts(alert.Stale)}, {12, []sent{fire("a", 5)}, verdicts(alert.Reopened)},
		{13, []sent{fire("a", 5)}, verdicts(alert.Duplicate)}})
}

// TestDowntimes: what their senders say of them is known of the incident.
func TestDowntimes(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.now = at(1)
	d.send(p, fire("a", 0))
	say := func(minute int, k alert.Kind, change func(*alert.Alert)) {
		d.now = at(minute)
		if v := d.told(p, "a", func(a *alert.Alert) { a.Kind, a.Status, a.PerHost, a.EventAt = k, alert.Firing, true, d.now; change(a) }); v != alert.Recorded {
			t.Errorf("%v: got %v, want recorded", k, v)
		}
	}
	ends := func(a *alert.Alert) { a.EndsAt = at(60) }
	none := func(*alert.Alert) {}
	say(2, alert.KindMaintenancePlanned, ends)
	if got := d.the().Downtimes; len(got) != 0 {
		t.Errorf("planned: got %+v, want none yet", got)
	}
	say(3, alert.KindMaintenanceStarted, ends)
	if got := d.the().Downtimes; len(got) != 1 || !got[0].Until.Equal(at(60)) {
		t.Errorf("started: got %+v, want one until %v", got, at(60))
	}
	say(4, alert.KindMaintenanceCancelled, none)
	if got := d.the().Downtimes; len(got) != 0 {
		t.Errorf("cancelled: got %+v", got)
	}
	say(5, alert.KindMaintenanceStarted, none)
	if got := d.the().Downtimes; len(got) != 1 || !got[0].Until.Equal(at(5).Add(24*time.Hour)) {
		t.Errorf("started without an end: got %+v, want one for a day", got)
	}
	say(6, alert.KindMaintenanceEnded, none)
	say(7, alert.KindMaintenanceStarted, func(a *alert.Alert) { a.PerHost = false })
	if got := d.the().Downtimes; len(got) != 0 {
		t.Errorf("by a sender that never says that it is over: got %+v", got)
	}
	want := []string{"opened", "maintenance_planned", "maintenance_started", "maintenance_cancelled", "maintenance_started", "maintenance_ended", "maintenance_started"}
	if got := d.said(d.the().ID); !slices.Equal(got, want) {
		t.Errorf("timeline: got %q, want %q", got, want)
	}
}
