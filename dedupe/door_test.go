package dedupe

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// epoch is when the tests take place.
var epoch = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// door is the store's door in a few maps, for decisions without I/O.
type door struct {
	t         failer
	now       time.Time
	n         uint64
	keys      map[incident.Key]*incident.KeyState
	incidents map[incident.ID]*incident.Incident
	entries   map[incident.Key]map[alert.Fingerprint]incident.Known
	archive   map[incident.ID]map[alert.Fingerprint]incident.Entry
	timeline  map[incident.ID][]incident.TimelineEntry
	jobs      map[string]time.Time
	observed  []incident.Observation
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newDoor(t failer) *door {
	return &door{t: t, now: epoch, keys: map[incident.Key]*incident.KeyState{}, incidents: map[incident.ID]*incident.Incident{},
		entries: map[incident.Key]map[alert.Fingerprint]incident.Known{}, archive: map[incident.ID]map[alert.Fingerprint]incident.Entry{},
		timeline: map[incident.ID][]incident.TimelineEntry{}, jobs: map[string]time.Time{}}
}

// run takes a batch through Settled and Step, as a store does.
func (d *door) run(b *Batch) []Outcome {
	d.t.Helper()
	fps := b.Fingerprints()
	key := b.Place.Key
	st := incident.State{Now: d.now, Key: d.keys[key]}
	for _, fp := range fps {
		e := d.entries[key][fp].Entry
		e.Fingerprint = fp
		st.Entries = append(st.Entries, e)
	}
	if patches, ok := b.Settled(d.now, st.Entries); ok {
		for n, p := range patches {
			d.patch(key, fps[n], p)
		}
		return b.Outcomes
	}
	if st.Key != nil {
		st.Incident = d.incidents[st.Key.Incident]
	}
	d.n++
	seed := sha256.Sum256(binary.BigEndian.AppendUint64(nil, d.n))
	st.NewID = func(n int) incident.ID { return incident.NewID(d.now, [16]byte(seed[:16]), n, key.Shard()) }
	for range 10 {
		next, err := b.Step(st)
		if err != nil {
			d.t.Fatalf("step: %v", err)
		}
		if next.Want.IsZero() {
			d.commit(key, &next)
			return b.Outcomes
		}
		if st.More == nil {
			st.More, st.Others = map[alert.Fingerprint]incident.Known{}, map[incident.ID]*incident.Incident{}
		}
		for _, fp := range next.Want.Fingerprints {
			st.More[fp] = d.entries[key][fp]
		}
		for _, id := range next.Want.Incidents {
			st.Others[id] = d.incidents[id]
		}
	}
	d.t.Fatal("the step wants more for ever")
	return nil
}

// patch counts repeats at once, which a store gathers.
func (d *door) patch(key incident.Key, fp alert.Fingerprint, p incident.Patch) {
	k := d.entries[key][fp]
	k.Entry.Apply(p)
	d.entries[key][fp] = k
	if i := d.incidents[k.Entry.Incident]; i != nil {
		i.Occurrences += p.Count
	}
}

func (d *door) commit(key incident.Key, next *incident.Next) {
	if next.Key != nil {
		d.keys[key] = next.Key
	}
	if d.entries[key] == nil {
		d.entries[key] = map[alert.Fingerprint]incident.Known{}
	}
	for _, e := range next.Archive {
		if d.archive[e.Incident] == nil {
			d.archive[e.Incident] = map[alert.Fingerprint]incident.Entry{}
		}
		d.archive[e.Incident][e.Fingerprint] = e
	}
	for _, w := range next.Entries {
		delete(d.archive[w.Entry.Incident], w.Entry.Fingerprint) // as in a store's list: what lives comes before
		k := d.entries[key][w.Entry.Fingerprint]
		k.Entry = w.Entry
		if w.Content != nil {
			k.Content = w.Content
		}
		d.entries[key][w.Entry.Fingerprint] = k
	}
	for _, e := range next.Remove {
		delete(d.entries[key], e.Fingerprint)
	}
	for _, i := range next.Incidents {
		if i.Version++; d.incidents[i.ID] != nil && i.Version != d.incidents[i.ID].Version+1 {
			d.t.Fatalf("incident %s: version %d after %d", i.ID, i.Version, d.incidents[i.ID].Version)
		}
		d.incidents[i.ID] = i
	}
	for _, p := range next.Patches { // a store gathers them, and counts them in later
		d.patch(key, p.Fingerprint, p.Patch)
	}
	for _, t := range next.Timeline {
		d.timeline[t.Incident] = append(d.timeline[t.Incident], t)
	}
	for _, j := range next.Jobs {
		name := j.Kind + " " + j.Subject
		if was, ok := d.jobs[name]; j.Due.IsZero() {
			delete(d.jobs, name)
		} else if !ok || !j.NoLater || j.Due.Before(was) {
			d.jobs[name] = j.Due
		}
	}
	d.observed = append(d.observed, next.Observations...)
}

// check fails the test where what is stored contradicts itself.
func (d *door) check() {
	d.t.Helper()
	type sums struct {
		total, firing int
		severities    map[string]int
	}
	count := map[incident.ID]*sums{}
	for id := range d.incidents {
		count[id] = &sums{severities: map[string]int{}}
	}
	open := map[incident.Key]int{}
	for key, entries := range d.entries {
		for fp, k := range entries {
			if k.Entry.Incident.IsZero() {
				continue
			}
			c := count[k.Entry.Incident]
			if c == nil {
				d.t.Fatalf("alert %s of key %s names an incident that does not exist", fp, key)
			}
			c.total++
			if k.Entry.Firing {
				c.firing++
				c.severities[k.Entry.Severity]++
			}
			if k.Content == nil {
				d.t.Fatalf("alert %s of incident %s: what it said is not stored", fp, k.Entry.Incident)
			}
			if _, twice := d.archive[k.Entry.Incident][fp]; twice {
				d.t.Fatalf("alert %s is in incident %s twice", fp, k.Entry.Incident)
			}
		}
	}
	for id, archived := range d.archive {
		count[id].total += len(archived)
	}
	for id, i := range d.incidents {
		if c := count[id]; i.Alerts.Total != c.total || i.Alerts.Firing != c.firing {
			d.t.Fatalf("incident %s counts %+v, its alerts are %+v", id, i.Alerts, *c)
		}
		if !maps.Equal(i.Firing, count[id].severities) {
			d.t.Fatalf("incident %s: firing by severity %v, its alerts %v", id, i.Firing, count[id].severities)
		}
		if i.IsOpen() {
			open[i.Key]++
			if d.keys[i.Key].Incident != id {
				d.t.Fatalf("key %s names incident %s, but %s is open", i.Key, d.keys[i.Key].Incident, id)
			}
		}
		if broken, ok := incident.VerifyTimeline(d.timeline[id]); !ok {
			d.t.Fatalf("incident %s: timeline breaks at entry %d", id, broken)
		}
	}
	for key, n := range open {
		if n > 1 {
			d.t.Fatalf("key %s has %d open incidents", key, n)
		}
	}
}

// policy is the default, with changes.
func policy(change ...func(*Policy)) *Policy {
	p := DefaultConfig().For(DefaultRule, incident.Policy{Severities: incident.Scale{"critical", "error", "warning", "info"}, Matrix: incident.DefaultMatrix(),
		CloseAfter: 24 * time.Hour, StillFiringAfter: time.Hour, Retention: 400 * 24 * time.Hour})
	for _, c := range change {
		c(&p)
	}
	return &p
}

// sent is an alert as a sender describes it, in minutes from epoch.
type sent struct {
	name, pod  string
	status     alert.Status
	start, end int // minutes; -1 is not stated
	severity   string
	note       string
	validFor   int // minutes from now; 0 is for ever
}

func (d *door) event(s sent) Event {
	a := &alert.Alert{Status: s.status, Source: "alertmanager", ReceivedAt: d.now,
		Labels: alert.FromMap(map[string]string{"alertname": s.name, "pod": s.pod}), Annotations: alert.FromMap(map[string]string{"summary": s.note})}
	if s.start >= 0 {
		a.StartsAt = epoch.Add(time.Duration(s.start) * time.Minute)
	}
	if s.end >= 0 && s.status == alert.Resolved {
		a.EndsAt = epoch.Add(time.Duration(s.end) * time.Minute)
	}
	if s.validFor > 0 {
		a.ValidUntil = d.now.Add(time.Duration(s.validFor) * time.Minute)
	}
	severity := s.severity
	if severity == "" {
		severity = "warning"
	}
	var h Hasher
	id := &Identity{Namespace: "alertmanager"}
	return Event{Alert: a, Fingerprint: h.Fingerprint(id, a), Content: h.Content(id, a), Class: &incident.Classification{Severity: severity}}
}

// send delivers messages as one request, and returns their verdicts in order.
func (d *door) send(p *Policy, all ...sent) []alert.Verdict {
	d.t.Helper()
	k, err := NewCorrelator(Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	var h Hasher
	batches := map[incident.Key]*Batch{}
	from := map[incident.Key][]int{}
	var order []incident.Key
	for n, s := range all {
		ev := d.event(s)
		place := k.Key(&h, ev.Alert, ev.Class, ev.Fingerprint)
		if batches[place.Key] == nil {
			batches[place.Key] = &Batch{Place: place, Policy: p}
			order = append(order, place.Key)
		}
		batches[place.Key].Events = append(batches[place.Key].Events, ev)
		from[place.Key] = append(from[place.Key], n)
	}
	out := make([]alert.Verdict, len(all))
	for _, key := range order {
		for i, o := range d.run(batches[key]) {
			out[from[key][i]] = o.Verdict
		}
	}
	d.check()
	return out
}

// act lets a person, or a job, edit an incident, as the pipeline does.
func (d *door) act(p *Policy, id incident.ID, edit func(*incident.Edit) error) error {
	d.t.Helper()
	was := d.incidents[id]
	e := p.Change(was, d.now)
	if err := edit(e); err != nil {
		return err
	}
	if !was.IsOpen() && e.Incident.IsOpen() && d.keys[was.Key].Incident != id {
		return incident.ErrConflict
	}
	if e.Changed() {
		var next incident.Next
		e.Into(&next)
		d.commit(was.Key, &next)
	}
	d.check()
	return nil
}

// expire does the key's expiry job.
func (d *door) expire(p *Policy, key incident.Key) {
	d.t.Helper()
	b := &Batch{Place: PlaceOf(key), Policy: p}
	for fp, k := range d.entries[key] {
		if k.Entry.Firing { // the step knows which are over; some may have been repeated since the job looked
			b.Events = append(b.Events, Event{Fingerprint: fp, Expiry: true})
		}
	}
	slices.SortFunc(b.Events, func(a, b Event) int { return bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]) })
	if len(b.Events) > 0 {
		d.run(b)
	}
	d.check()
}

// the returns the only incident.
func (d *door) the() *incident.Incident {
	d.t.Helper()
	if len(d.incidents) != 1 {
		d.t.Fatalf("there are %d incidents, want 1", len(d.incidents))
	}
	for _, i := range d.incidents {
		return i
	}
	return nil
}

// said lists the actions in an incident's timeline, with their counts.
func (d *door) said(id incident.ID) []string {
	var out []string
	for _, t := range d.timeline[id] {
		text := t.Action
		if t.Count > 0 {
			text = fmt.Sprintf("%s %d", t.Action, t.Count)
		}
		out = append(out, text)
	}
	return out
}

// in returns the alert of a pod, with what it said.
func (d *door) in(pod string) incident.Known {
	d.t.Helper()
	for _, entries := range d.entries {
		for _, k := range entries {
			if k.Content != nil && k.Content.Labels.Get("pod") == pod {
				return k
			}
		}
	}
	d.t.Fatalf("there is no alert of %s", pod)
	return incident.Known{}
}

func minutes(n int) model.Duration { return model.Duration(time.Duration(n) * time.Minute) }
