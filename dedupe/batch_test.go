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

// TestOneEntryForEachKindOfChange: a storm is one line, not a thousand.
func TestOneEntryForEachKindOfChange(t *testing.T) {
	d := newDoor(t)
	p := policy()
	var all, changed, over []sent
	for n := range 48 {
		s := fire(fmt.Sprint(n), 0)
		all = append(all, s)
		s.note = "x"
		changed = append(changed, s)
		over = append(over, resolve(fmt.Sprint(n), 0, 3))
	}
	d.now = at(1)
	got := d.send(p, all...)
	if got[0] != alert.Opened || slices.ContainsFunc(got[1:], func(v alert.Verdict) bool { return v != alert.Joined }) {
		t.Errorf("got %v, want the first opened and all others joined", got)
	}
	id, version := d.the().ID, d.the().Version
	d.now = at(2)
	d.send(p, all...)
	if i := d.the(); i.Version != version || i.Occurrences != 96 {
		t.Errorf("repeats: got version %d and %d occurrences, want still %d and 96", i.Version, i.Occurrences, version)
	}
	d.now = at(3)
	d.send(p, changed...)
	d.now = at(4)
	d.send(p, over...)
	want := []string{"opened", "joined 47", "updated 48", "alerts_resolved 48", "resolved"}
	if got := d.said(id); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	i := d.the()
	if i.State != incident.Resolved || i.ResolvedBy != incident.System || i.Occurrences != 4*48 || !i.RestoredAt.Equal(at(3)) {
		t.Errorf("got %s by %s, %d occurrences, restored %v; want resolved by tocsin, 192, minute 3", i.State, i.ResolvedBy, i.Occurrences, i.RestoredAt)
	}
	jobs := map[string]time.Time{"close " + id.String(): at(4).Add(24 * time.Hour)}
	if !maps.Equal(d.jobs, jobs) {
		t.Errorf("jobs: got %v, want %v", d.jobs, jobs)
	}
}

// TestEverythingInOneRequest: an alert may begin and end, or end and begin,
// within one request.
func TestEverythingInOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		send  []sent
		want  []alert.Verdict
		state string
		said  []string
	}{
		"begins and ends": {[]sent{fire("a", 0), resolve("a", 0, 1)}, verdicts(alert.Opened, alert.ResolvedAlert), incident.Resolved,
			[]string{"opened", "alerts_resolved 1", "resolved"}},
		"the end first": {[]sent{resolve("a", 0, 1), fire("a", 0)}, verdicts(alert.Recorded, alert.Stale), "", nil},
		"twice": {[]sent{fire("a", 0), resolve("a", 0, 1), fire("a", 2), resolve("a", 2, 3)},
			verdicts(alert.Opened, alert.ResolvedAlert, alert.Joined, alert.ResolvedAlert), incident.Resolved,
			[]string{"opened", "joined 1", "alerts_resolved 2", "resolved"}},
		"one ends while another begins": {[]sent{fire("a", 0), resolve("a", 0, 1), fire("b", 1)}, verdicts(alert.Opened, alert.ResolvedAlert, alert.Joined),
			incident.Open, []string{"opened", "joined 1", "alerts_resolved 1"}},
		"the same again and again": {[]sent{fire("a", 0), fire("a", 0), fire("a", 0)}, verdicts(alert.Opened, alert.Duplicate, alert.Duplicate),
			incident.Open, []string{"opened"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			d.play(policy(), []moment{{5, c.send, c.want}})
			if c.state == "" {
				if len(d.incidents) != 0 || len(d.keys) != 0 {
					t.Errorf("got %d incidents and %d keys, want none", len(d.incidents), len(d.keys))
				}
				return
			}
			i := d.the()
			if i.State != c.state || !slices.Equal(d.said(i.ID), c.said) || i.Occurrences != uint64(len(c.send)) {
				t.Errorf("got %s, %q, %d occurrences; want %s, %q, %d", i.State, d.said(i.ID), i.Occurrences, c.state, c.said, len(c.send))
			}
		})
	}
}

// TestReopen: what an alert that fires again does to an incident that is over.
// It resolved in minute 10.
func TestReopen(t *testing.T) {
	const reopened, opened, joined, duplicate, stale = alert.Reopened, alert.Opened, alert.Joined, alert.Duplicate, alert.Stale
	half := 30 * time.Minute
	over := []moment{{1, []sent{fire("a", 0), fire("b", 0)}, verdicts(opened, joined)},
		{10, []sent{resolve("a", 0, 9), resolve("b", 0, 9)}, verdicts(alert.ResolvedAlert, alert.ResolvedAlert)}}
	byHand := []moment{{1, []sent{fire("a", 0), fire("b", 0)}, verdicts(opened, joined)}}
	for name, c := range map[string]struct {
		window    time.Duration
		before    []moment
		person    func(e *incident.Edit) error // in minute 10
		after     []moment
		incidents int
		state     string // of the first
	}{
		"no window":      {0, over, nil, []moment{{11, []sent{fire("a", 11)}, verdicts(opened)}}, 2, incident.Resolved},
		"inside":         {half, over, nil, []moment{{11, []sent{fire("a", 11)}, verdicts(reopened)}}, 1, incident.Open},
		"exactly at":     {half, over, nil, []moment{{40, []sent{fire("a", 40)}, verdicts(reopened)}}, 1, incident.Open},
		"outside":        {half, over, nil, []moment{{41, []sent{fire("a", 41)}, verdicts(opened)}}, 2, incident.Resolved},
		"a new alert":    {half, over, nil, []moment{{11, []sent{fire("c", 11)}, verdicts(reopened)}}, 1, incident.Open},
		"several":        {half, over, nil, []moment{{11, []sent{fire("c", 11), fire("a", 11)}, verdicts(reopened, joined)}}, 1, incident.Open},
		"a late copy":    {half, over, nil, []moment{{11, []sent{fire("a", 0)}, verdicts(stale)}}, 1, incident.Resolved},
		"a resolve":      {half, over, nil, []moment{{11, []sent{resolve("a", 0, 9)}, verdicts(duplicate)}}, 1, incident.Resolved},
		"closed":         {half, over, closing, []moment{{11, []sent{fire("a", 11)}, verdicts(opened)}}, 2, incident.Closed},
		"and ends again": {half, over, nil, []moment{{11, []sent{fire("a", 11)}, verdicts(reopened)}, {12, []sent{resolve("a", 11, 12)}, verdicts(alert.ResolvedAlert)}}, 1, incident.Resolved},
		"by hand, repeats": {0, byHand, resolving, []moment{{11, []sent{fire("a", 0), fire("b", 0)}, verdicts(duplicate, duplicate)},
			{900, []sent{fire("a", 0)}, verdicts(duplicate)}}, 1, incident.Resolved},
		"by hand, new content": {0, byHand, resolving, []moment{{11, []sent{{name: "A", pod: "a", status: alert.Firing, start: 0, end: -1, note: "x"}},
			verdicts(alert.Updated)}}, 1, incident.Resolved},
		"by hand, a new alert": {0, byHand, resolving, []moment{{900, []sent{fire("c", 900)}, verdicts(reopened)}}, 1, incident.Open},
		"by hand, a new episode": {0, byHand, resolving, []moment{{11, []sent{resolve("a", 0, 11)}, verdicts(alert.ResolvedAlert)},
			{12, []sent{fire("a", 12)}, verdicts(reopened)}}, 1, incident.Open},
		"by hand, all end, no window": {0, byHand, resolving, []moment{
			{11, []sent{resolve("a", 0, 11), resolve("b", 0, 11)}, verdicts(alert.ResolvedAlert, alert.ResolvedAlert)},
			{12, []sent{fire("a", 12)}, verdicts(opened)}}, 2, incident.Resolved},
		"closed by hand, repeats": {half, byHand, closingAll, []moment{{11, []sent{fire("a", 0)}, verdicts(duplicate)},
			{12, []sent{fire("c", 12)}, verdicts(opened)}, {13, []sent{resolve("a", 0, 13)}, verdicts(alert.ResolvedAlert)}}, 2, incident.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			p := policy(func(p *Policy) { p.ReopenWindow = c.window })
			d.play(p, c.before)
			first := d.the().ID
			d.now = at(10)
			if c.person != nil {
				if err := d.act(p, first, c.person); err != nil {
					t.Fatal(err)
				}
			}
			d.play(p, c.after)
			if len(d.incidents) != c.incidents || d.incidents[first].State != c.state {
				t.Errorf("got %d incidents, the first %s; want %d, %s", len(d.incidents), d.incidents[first].State, c.incidents, c.state)
			}
		})
	}
}

func closing(e *incident.Edit) error   { return e.Close("ana", "") }
func resolving(e *incident.Edit) error { return e.Resolve("ana", "") }

func closingAll(e *incident.Edit) error {
	if err := e.Resolve("ana", ""); err != nil {
		return err
	}
	return e.Close("ana", "")
}

// TestANewIncidentKeepsTheOldOneWhole: an alert that goes on to another incident
// stays in the list of the one before, as it was.
func TestANewIncidentKeepsTheOldOneWhole(t *testing.T) {
	d := newDoor(t)
	p := policy(func(p *Policy) { p.ReopenWindow = 0 })
	d.play(p, []moment{{1, []sent{fire("a", 0)}, verdicts(alert.Opened)}, {3, []sent{resolve("a", 0, 2)}, verdicts(alert.ResolvedAlert)}})
	first := d.the().ID
	d.play(p, []moment{{6, []sent{fire("a", 5)}, verdicts(alert.Opened)}})
	if len(d.archive[first]) != 1 {
		t.Fatalf("the archive of the first incident has %d alerts, want 1", len(d.archive[first]))
	}
	for _, e := range d.archive[first] {
		if e.Firing || !e.Start.Equal(at(0)) || !e.End.Equal(at(2)) || e.Incident != first {
			t.Errorf("archived: got %+v, want it from minute 0 to 2, in the first incident", e)
		}
	}
	if e := d.in("a").Entry; e.Incident == first || !e.Start.Equal(at(5)) {
		t.Errorf("got %+v, want it in the second incident since minute 5", e)
	}
}

// TestReopenedIsANewCycle: with its own acknowledgement, and no jobs of the one before.
func TestReopenedIsANewCycle(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.play(p, []moment{{1, []sent{fire("a", 0)}, verdicts(alert.Opened)}})
	id := d.the().ID
	if err := d.act(p, id, func(e *incident.Edit) error { return e.Acknowledge("ana", "") }); err != nil {
		t.Fatal(err)
	}
	d.play(p, []moment{{3, []sent{resolve("a", 0, 2)}, verdicts(alert.ResolvedAlert)}, {6, []sent{fire("a", 5)}, verdicts(alert.Reopened)}})
	i := d.the()
	if i.State != incident.Open || !i.AcknowledgedAt.IsZero() || !i.CycleOpenedAt.Equal(at(6)) || len(i.Cycles) != 1 || i.Reopens != 1 || len(d.jobs) != 0 {
		t.Errorf("got %+v, jobs %v; want it open since minute 6, not acknowledged, without jobs", i, d.jobs)
	}
	if want := []string{"opened", "acknowledged", "alerts_resolved 1", "resolved", "reopened", "joined 1"}; !slices.Equal(d.said(id), want) {
		t.Errorf("got %q, want %q", d.said(id), want)
	}
}

// TestFlapping: it is said once, and again only when it was quiet for a window.
func TestFlapping(t *testing.T) {
	d := newDoor(t)
	p := policy(func(p *Policy) { p.FlapChanges, p.FlapWindow = 4, 20*time.Minute })
	flap := func(from, times int) {
		for n := range times {
			d.now = at(from + 2*n)
			d.send(p, fire("a", from+2*n))
			d.now = at(from + 2*n + 1)
			d.send(p, resolve("a", from+2*n, from+2*n+1))
		}
	}
	flap(0, 5) // the last change is in minute 9
	i := d.the()
	said := func() (n int) {
		for _, a := range d.said(i.ID) {
			if a == "flapping" {
				n++
			}
		}
		return n
	}
	if i = d.the(); said() != 1 || !i.FlappingUntil.Equal(at(29)) {
		t.Errorf("got it said %d times, until %v; want once, until minute 29", said(), i.FlappingUntil)
	}
	flap(30, 1)
	if said() != 1 {
		t.Errorf("two changes in a window: said %d times, want still once", said())
	}
	flap(34, 1)
	if i = d.the(); said() != 2 {
		t.Errorf("four changes in a later window: said %d times, want twice", said())
	}
}

// TestExpiry: validity that ran out ends an alert as nobody's word, and the
// next repeat undoes it.
func TestExpiry(t *testing.T) {
	d := newDoor(t)
	p := policy()
	valid := func(pod string) sent {
		s := fire(pod, 0)
		s.validFor = 5
		return s
	}
	d.play(p, []moment{{1, []sent{valid("a"), fire("b", 0)}, verdicts(alert.Opened, alert.Joined)}})
	i := d.the()
	if due := d.jobs["expiry "+i.Key.String()]; !due.Equal(at(6)) {
		t.Errorf("the expiry is due %v, want minute 6", due)
	}
	d.now = at(5)
	d.expire(p, i.Key)
	if i = d.the(); i.Alerts.Firing != 2 {
		t.Errorf("minute 5: got %+v, want both firing", i.Alerts)
	}
	d.now = at(7)
	d.expire(p, i.Key)
	if i = d.the(); i.Alerts.Firing != 1 || !d.in("a").Entry.Expired || i.State != incident.Open {
		t.Errorf("minute 7: got %+v, %s, %+v; want one expired", i.Alerts, i.State, d.in("a").Entry)
	}
	d.play(p, []moment{{8, []sent{valid("a")}, verdicts(alert.Joined)}})
	if i = d.the(); i.Alerts != (incident.Counts{Total: 2, Firing: 2}) || !d.in("a").Entry.Start.Equal(at(0)) {
		t.Errorf("repeated after all: got %+v, start %v; want the same episode", i.Alerts, d.in("a").Entry.Start)
	}
	d.play(p, []moment{{9, []sent{resolve("b", 0, 9)}, verdicts(alert.ResolvedAlert)}})
	d.now = at(20)
	d.expire(p, i.Key)
	if i = d.the(); i.State != incident.Resolved || !i.RestoredAt.Equal(at(13)) {
		t.Errorf("the last expired: got %s, restored %v; want resolved, minute 13", i.State, i.RestoredAt)
	}
	want := []string{"opened", "joined 1", "expired 1", "joined 1", "alerts_resolved 1", "expired 1", "resolved"}
	if got := d.said(i.ID); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestALongerValidityWins: of the copies in one request the one that promises
// most counts, wherever it stands.
func TestALongerValidityWins(t *testing.T) {
	for _, order := range [][]int{{9, 5}, {5, 9}} {
		d := newDoor(t)
		p := policy()
		send := func(minute int, valid ...int) []sent {
			d.now = at(minute)
			var out []sent
			for _, v := range valid {
				s := fire("a", 0)
				s.validFor = v
				out = append(out, s)
			}
			return out
		}
		d.send(p, send(1, 2)...)
		d.send(p, send(2, order...)...)
		if e := d.in("a").Entry; !e.ValidUntil.Equal(at(11)) {
			t.Errorf("copies valid for %v: got %v, want minute 11", order, e.ValidUntil)
		}
	}
}

// TestMoved: an alert that went elsewhere leaves nothing but its trace.
func TestMoved(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.play(p, []moment{{1, []sent{fire("a", 0)}, verdicts(alert.Opened)}})
	i := d.the()
	fp := d.in("a").Entry.Fingerprint
	d.now = at(2)
	d.run(&Batch{Place: PlaceOf(i.Key), Policy: p, Events: []Event{{Fingerprint: fp, Moved: true}}})
	d.check()
	if _, there := d.entries[i.Key][fp]; there {
		t.Error("the entry is still there")
	}
	i = d.the()
	if want := []string{"opened", "moved 1", "resolved"}; i.State != incident.Resolved || !slices.Equal(d.said(i.ID), want) || len(d.archive[i.ID]) != 0 || i.Alerts.Total != 0 {
		t.Errorf("got %s, %q, %d archived, %+v; want resolved, %q, no alerts", i.State, d.said(i.ID), len(d.archive[i.ID]), i.Alerts, want)
	}
}

// TestLeftOut: how many alerts a sender left out is recorded even if those it
// sent are known.
func TestLeftOut(t *testing.T) {
	d := newDoor(t)
	p := policy()
	send := func(n int) Outcome {
		ev := d.event(fire("a", 0))
		ev.Alert.LeftOut = n
		k, _ := NewCorrelator(Config{})
		var h Hasher
		return d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})[0]
	}
	send(0)
	for _, c := range []struct{ sent, want int }{{7, 7}, {3, 7}, {9, 9}, {0, 9}} {
		version := d.the().Version
		if o := send(c.sent); o.Verdict != alert.Duplicate || d.the().LeftOut != c.want {
			t.Errorf("%d left out: got %s, %d on the incident; want duplicate, %d", c.sent, o.Verdict, d.the().LeftOut, c.want)
		}
		if changed := d.the().Version != version; changed != (c.sent == c.want) {
			t.Errorf("%d left out: changed %v", c.sent, changed)
		}
	}
}

// TestKnownOnly: an event that may begin nothing is given back, unless there is
// something that it is about.
func TestKnownOnly(t *testing.T) {
	d := newDoor(t)
	p := policy()
	send := func(s sent) Outcome {
		ev := d.event(s)
		ev.KnownOnly = true
		k, _ := NewCorrelator(Config{})
		var h Hasher
		o := d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})[0]
		d.check()
		return o
	}
	for _, s := range []sent{fire("a", 0), resolve("a", 0, 1)} {
		o := send(s)
		stored := 0
		for _, entries := range d.entries {
			stored += len(entries)
		}
		if !o.Bounced || stored+len(d.keys) > 0 {
			t.Errorf("unknown, %s: got %+v, %d entries stored", s.status, o, stored)
		}
	}
	d.now = at(1)
	d.send(p, fire("a", 0))
	if o := send(fire("a", 0)); o.Bounced || o.Verdict != alert.Duplicate {
		t.Errorf("a repeat: got %+v", o)
	}
	d.now = at(3)
	if o := send(resolve("a", 0, 2)); o.Bounced || o.Verdict != alert.ResolvedAlert {
		t.Errorf("its resolve: got %+v", o)
	}
	d.now = at(5)
	if o := send(fire("a", 4)); !o.Bounced || d.the().State != incident.Resolved {
		t.Errorf("a new episode: got %+v, the incident is %s", o, d.the().State)
	}
}

// TestOtherKindsAreWrittenDown: what is not an alert goes into the timeline of
// an open incident, and opens none.
func TestOtherKindsAreWrittenDown(t *testing.T) {
	d := newDoor(t)
	p := policy()
	send := func() Outcome {
		ev := d.event(fire("a", 0))
		ev.Alert.Kind, ev.Alert.Author, ev.Alert.Comment = alert.KindNote, "ben", "on it"
		k, _ := NewCorrelator(Config{})
		var h Hasher
		return d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})[0]
	}
	if o := send(); o.Verdict != alert.Recorded || len(d.incidents) != 0 {
		t.Errorf("before: got %+v and %d incidents", o, len(d.incidents))
	}
	d.now = at(1)
	d.send(p, fire("a", 0))
	if o := send(); o.Verdict != alert.Recorded || o.Incident != d.the().ID {
		t.Errorf("open: got %+v, want it in the incident", o)
	}
	last := d.timeline[d.the().ID][1]
	if last.Who != "ben" || last.Text != "on it" || last.Action != "note" {
		t.Errorf("timeline: got %+v", last)
	}
	d.send(p, resolve("a", 0, 1))
	version := d.the().Version
	if send(); d.the().Version != version {
		t.Error("a note changed a resolved incident")
	}
}

// TestAnIncidentThatIsGone: alerts may outlive their incident (retention).
func TestAnIncidentThatIsGone(t *testing.T) {
	d := newDoor(t)
	p := policy()
	d.play(p, []moment{{1, []sent{fire("a", 0)}, verdicts(alert.Opened)}})
	delete(d.incidents, d.the().ID)
	b := func(s sent) alert.Verdict {
		ev := d.event(s)
		k, _ := NewCorrelator(Config{})
		var h Hasher
		return d.run(&Batch{Place: k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint), Policy: p, Events: []Event{ev}})[0].Verdict
	}
	d.now = at(3)
	if v := b(resolve("a", 0, 2)); v != alert.ResolvedAlert {
		t.Errorf("resolve: got %s", v)
	}
	d.now = at(5)
	if v := b(fire("a", 4)); v != alert.Opened {
		t.Errorf("new episode: got %s, want opened", v)
	}
}
