package storetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// clock is the time that a store sees.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 21, 8, 0, 0, 123456789, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a store with what tests need around it.
type fixture struct {
	*testing.T
	store.Store
	clock *clock
	ids   atomic.Uint64
}

// policy is what the suite's incidents live by.
var policy = incident.Policy{
	Severities: incident.Scale{"critical", "error", "warning", "info"}, Matrix: incident.DefaultMatrix(),
	CloseAfter: 24 * time.Hour, StillFiringAfter: time.Hour, Retention: 90 * 24 * time.Hour, Teams: []string{"db", "web"},
}

// generation is what the suite's fingerprints are said to derive from.
var generation = incident.Generation{1, 2, 3, 4, 5, 6, 7, 8}

func hash(kind string, n int) (sum [16]byte) {
	full := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	copy(sum[:], full[:])
	return sum
}

func keyOf(n int) incident.Key { return hash("key", n) }

func fingerprint(n int) alert.Fingerprint { return hash("fingerprint", n) }

// id returns a new id for a change.
func (f *fixture) id() [16]byte { return hash("change", int(f.ids.Add(1))) }

// reopen closes the store and opens it again. It reports false for a store
// whose state does not outlive it.
func (f *fixture) reopen() bool {
	r, ok := f.Store.(Reopener)
	if ok {
		f.Store = r.Reopen(f.T)
	}
	return ok
}

func (f *fixture) ctx() context.Context { return f.Context() }

// must ends the test on an error.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) update(changes ...incident.Change) {
	f.Helper()
	f.must(f.Update(f.ctx(), changes))
}

// message is one alert as a test sends it.
type message struct {
	n        int // its number: the fingerprint derives from it
	resolved bool
	severity string // warning if empty
	text     string // what it says; another text is another content
	service  string
	team     string
	host     string // one of its own if empty
}

func (m *message) alert() *alert.Alert {
	status := alert.Firing
	if m.resolved {
		status = alert.Resolved
	}
	return &alert.Alert{Status: status, Source: "suite", Identity: fmt.Sprintf("identity-%d", m.n),
		Labels:      alert.FromMap(map[string]string{"alertname": "Suite", "host": cmp.Or(m.host, fmt.Sprintf("host-%05d", m.n))}),
		Annotations: alert.FromMap(map[string]string{"summary": m.text})}
}

func (m *message) class() incident.Classification {
	return incident.Classification{Severity: cmp.Or(m.severity, "warning"), Service: m.service, Team: m.team, Category: "software"}
}

// send is a change that takes the messages as the router would: it opens an
// incident, lets alerts join it, ends them, and resolves it with the last.
func (f *fixture) send(key incident.Key, messages ...message) incident.Change {
	c := incident.Change{ID: f.id(), Key: key}
	for _, m := range messages {
		c.Fingerprints = append(c.Fingerprints, fingerprint(m.n))
	}
	c.Step = func(st incident.State) (incident.Next, error) { return take(key, messages, st) }
	return c
}

func take(key incident.Key, messages []message, st incident.State) (incident.Next, error) {
	var next incident.Next
	var cur *incident.Edit
	if st.Incident != nil {
		cur = policy.Change(st.Incident, st.Now)
	}
	changed := 0
	for n := range messages {
		m := &messages[n]
		w := incident.EntryWrite{Was: st.Entries[n], Entry: st.Entries[n]}
		w.Entry.Count++
		w.Entry.LastSeen = st.Now
		if m.resolved {
			if !w.Was.Firing {
				continue
			}
			w.Entry.Firing, w.Entry.End = false, st.Now
			cur.Leave(w.Was.Severity, st.Now)
		} else {
			if cur == nil || !cur.Incident.IsOpen() {
				class := m.class()
				id := st.NewID(0)
				cur = policy.Open(incident.Opening{ID: id, Key: key, Rule: "suite", Title: "Suite " + key.String(), Class: class, By: incident.System}, st.Now)
				next.Key = &incident.KeyState{Key: key, Rule: "suite", Incident: id}
			}
			fire(&next, cur, &w, m, st.Now)
		}
		changed++
		cur.Incident.Occurrences++
		next.Entries = append(next.Entries, w)
	}
	if changed == 0 {
		return next, nil
	}
	cur.Log(incident.System, "took", fmt.Sprintf("%d of them, the first %d", changed, messages[0].n), changed)
	if cur.Incident.Alerts.Firing == 0 && cur.Incident.IsOpen() {
		if err := cur.Resolve(incident.System, ""); err != nil {
			return next, err
		}
	}
	cur.Into(&next)
	return next, nil
}

func fire(next *incident.Next, cur *incident.Edit, w *incident.EntryWrite, m *message, now time.Time) {
	class := m.class()
	known := w.Was.Incident == cur.Incident.ID
	if !w.Was.Firing || !known {
		if !w.Was.Incident.IsZero() && !known {
			next.Archive = append(next.Archive, w.Was)
		}
		cur.Join(incident.Member{Alert: m.alert(), Class: class}, known)
		w.Entry.Start, w.Entry.Last, w.Entry.End = now, now, time.Time{}
	}
	if !w.Was.Exists() {
		w.Entry.FirstSeen = now
	}
	w.Entry.Source, w.Entry.Generation, w.Entry.Firing, w.Entry.Incident, w.Entry.Severity = "suite", generation, true, cur.Incident.ID, class.Severity
	content := hash(m.text, 0)
	if is := binary.BigEndian.Uint64(content[:]); is != w.Was.Content {
		w.Entry.Content, w.Content = is, m.alert()
	}
}

// open opens an incident on a key of its own, and returns it as it is stored.
func (f *fixture) open(key incident.Key, m message) *incident.Incident {
	f.Helper()
	f.update(f.send(key, m))
	return f.ofKey(key)
}

// ofKey returns the incident that a key's state names.
func (f *fixture) ofKey(key incident.Key) *incident.Incident {
	f.Helper()
	var id incident.ID
	f.update(incident.Change{ID: f.id(), Key: key, Step: func(st incident.State) (incident.Next, error) {
		if st.Incident != nil {
			id = st.Incident.ID
		}
		return incident.Next{}, nil
	}})
	if id.IsZero() {
		return nil
	}
	return f.incident(id)
}

func (f *fixture) incident(id incident.ID) *incident.Incident {
	f.Helper()
	i, err := f.Incident(f.ctx(), id.String())
	f.must(err)
	return i
}

// edit is a change by a person.
func (f *fixture) edit(id incident.ID, do func(e *incident.Edit) error) incident.Change {
	return incident.Change{ID: f.id(), Incident: id, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if st.Incident == nil {
			return next, incident.ErrNotFound
		}
		e := policy.Change(st.Incident, st.Now)
		if err := do(e); err != nil {
			return next, err
		}
		if e.Changed() {
			e.Into(&next)
		}
		return next, nil
	}}
}

func note(text string) func(*incident.Edit) error {
	return func(e *incident.Edit) error { return e.Note("ann", text, time.Time{}) }
}

func acknowledge(e *incident.Edit) error { return e.Acknowledge("ann", "") }

func resolve(e *incident.Edit) error { return e.Resolve("ann", "") }

func closeIt(e *incident.Edit) error { return e.Close("ann", "") }

func reopenIt(e *incident.Edit) error { return e.Reopen("ann", "") }

// list returns all incidents that q selects, in pages of the given size.
func (f *fixture) list(q store.Query, page int) []*incident.Incident {
	f.Helper()
	var all []*incident.Incident
	q.Limit = page
	for {
		some, next, err := f.Incidents(f.ctx(), q)
		f.must(err)
		if len(some) > page {
			f.Fatalf("a page of %d incidents, want at most %d", len(some), page)
		}
		all = append(all, some...)
		if next == "" {
			return all
		}
		if next == q.Cursor {
			f.Fatalf("the cursor %q leads to itself", next)
		}
		q.Cursor = next
	}
}

// alerts returns all alerts of an incident, in pages of the given size.
func (f *fixture) alerts(id incident.ID, page int) []store.Record {
	f.Helper()
	var all []store.Record
	for cursor := ""; ; {
		some, next, err := f.Alerts(f.ctx(), id, cursor, page)
		f.must(err)
		all = append(all, some...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func (f *fixture) timeline(id incident.ID, page int) []incident.TimelineEntry {
	f.Helper()
	var all []incident.TimelineEntry
	for {
		var after uint64
		if len(all) > 0 {
			after = all[len(all)-1].Seq
		}
		some, err := f.Timeline(f.ctx(), id, after, page)
		f.must(err)
		all = append(all, some...)
		if len(some) < page {
			return all
		}
	}
}

// entry reads one entry.
func (f *fixture) entry(key incident.Key, n int) incident.Entry {
	f.Helper()
	entries, err := f.Entries(f.ctx(), []store.Place{{Key: key, Fingerprint: fingerprint(n)}})
	f.must(err)
	return entries[0]
}

// audit checks that all that is stored fits together.
func (f *fixture) audit() {
	f.Helper()
	states := map[store.StateSeverity]int64{}
	references := map[string]incident.ID{}
	for _, i := range f.list(store.Query{}, 100) {
		states[store.StateSeverity{State: i.State, Severity: i.Severity}]++
		if other, taken := references[i.Reference]; taken {
			f.Errorf("reference %s belongs to %s and %s", i.Reference, other, i.ID)
		}
		references[i.Reference] = i.ID
		f.auditIncident(i)
	}
	f.auditFiring()
	stats, err := f.Statistics(f.ctx())
	f.must(err)
	for label, n := range stats.Incidents {
		if n != states[label] {
			f.Errorf("the statistics count %d incidents %v, the list has %d", n, label, states[label])
		}
		delete(states, label)
	}
	if len(states) > 0 {
		f.Errorf("the statistics lack %v", states)
	}
}

func (f *fixture) auditIncident(i *incident.Incident) {
	f.Helper()
	found, err := f.Incident(f.ctx(), i.Reference)
	if err != nil || found.ID != i.ID {
		f.Errorf("incident by reference %s: got %v, %v, want %s", i.Reference, found, err, i.ID)
	}
	timeline := f.timeline(i.ID, 50)
	if broken, ok := incident.VerifyTimeline(timeline); !ok {
		f.Errorf("timeline of %s: entry %d does not fit the chain", i.ID, broken)
	}
	if n := uint64(len(timeline)); n != i.TimelineLength || n > 0 && timeline[n-1].Hash != i.TimelineHash {
		f.Errorf("timeline of %s has %d entries, the incident says %d with the hash %s", i.ID, n, i.TimelineLength, i.TimelineHash)
	}
	firing := 0
	records := f.alerts(i.ID, 100)
	listed := map[alert.Fingerprint]bool{}
	for _, r := range records {
		if listed[r.Entry.Fingerprint] {
			f.Errorf("alerts of %s: %s comes twice", i.ID, r.Entry.Fingerprint)
		}
		listed[r.Entry.Fingerprint] = true
		if r.Content == nil || r.Entry.Incident != i.ID || r.Key != i.Key {
			f.Errorf("alerts of %s: got %+v", i.ID, r)
		}
		if r.Entry.Firing {
			firing++
		}
	}
	if firing != i.Alerts.Firing || len(records) != i.Alerts.Total {
		f.Errorf("%s has %d alerts, %d firing; the incident says %+v", i.ID, len(records), firing, i.Alerts)
	}
}

// auditFiring compares the counts of firing alerts with the alerts.
func (f *fixture) auditFiring() {
	f.Helper()
	firing := map[incident.Generation]int64{}
	for cursor := ""; ; {
		records, next, err := f.ScanEntries(f.ctx(), cursor, 100)
		f.must(err)
		for _, r := range records {
			if r.Entry.Firing {
				firing[r.Entry.Generation]++
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	g, err := f.Generations(f.ctx())
	f.must(err)
	for _, one := range g.List {
		if g.Firing[one.ID] != firing[one.ID] {
			f.Errorf("generation %s: %d alerts are said to fire, %d do", one.ID, g.Firing[one.ID], firing[one.ID])
		}
	}
}

// together runs n functions at once and waits for them.
func together(n int, do func(worker int)) {
	var wg sync.WaitGroup
	for worker := range n {
		wg.Go(func() { do(worker) })
	}
	wg.Wait()
}

// wantErr checks that err is target.
func (f *fixture) wantErr(what string, err, target error) {
	f.Helper()
	if !errors.Is(err, target) {
		f.Errorf("%s: got error %v, want %v", what, err, target)
	}
}
