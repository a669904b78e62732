package storetest

import (
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var repeatTests = []test{
	{"repeats are counted without a write and read at once", repeatsAreRead},
	{"repeats outlive the process", repeatsOutlive},
	{"repeats from many goroutines all count", repeatsTogether},
	{"a change after repeats includes them", repeatsIncluded},
	{"a step's own patches count", patches},
	{"a repeat after the end extends nothing", repeatAfterEnd},
	{"what is not settled goes to the step", notSettled},
}

// repeat is a change that says its alerts were repeated, valid until then.
func (f *fixture) repeat(key incident.Key, until time.Time, numbers ...int) incident.Change {
	c := incident.Change{ID: f.id(), Key: key}
	for _, n := range numbers {
		c.Fingerprints = append(c.Fingerprints, fingerprint(n))
	}
	c.Settled = func(now time.Time, entries []incident.Entry) ([]incident.Patch, bool) {
		out := make([]incident.Patch, len(entries))
		for n := range entries {
			if !entries[n].Firing {
				return nil, false
			}
			out[n] = incident.Patch{Count: 1, LastSeen: now, ValidUntil: until}
		}
		return out, true
	}
	c.Step = func(incident.State) (incident.Next, error) {
		return incident.Next{}, fmt.Errorf("the step ran for a repeat of %v", numbers)
	}
	return c
}

// valid opens an incident with alerts that hold for a while.
func (f *fixture) valid(key incident.Key, until time.Time, numbers ...int) *incident.Incident {
	f.Helper()
	var messages []message
	for _, n := range numbers {
		messages = append(messages, message{n: n})
	}
	c := f.send(key, messages...)
	step := c.Step
	c.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		for n := range next.Entries {
			next.Entries[n].Entry.ValidUntil = until
		}
		return next, err
	}
	f.update(c)
	return f.ofKey(key)
}

// wantRepeats checks an entry wherever it can be read.
func (f *fixture) wantRepeats(i *incident.Incident, n int, count uint64, seen, until time.Time) {
	f.Helper()
	place := store.Place{Key: i.Key, Fingerprint: fingerprint(n)}
	got := map[string]incident.Entry{"Entries": f.entry(i.Key, n)}
	list, _, err := f.KeyEntries(f.ctx(), i.Key, "", 100)
	f.must(err)
	for _, e := range list {
		if e.Fingerprint == place.Fingerprint {
			got["KeyEntries"] = e
		}
	}
	records, _, err := f.ScanEntries(f.ctx(), "", 100)
	f.must(err)
	for _, r := range records {
		if r.Key == place.Key && r.Entry.Fingerprint == place.Fingerprint {
			got["ScanEntries"] = r.Entry
		}
	}
	for _, r := range f.alerts(i.ID, 100) {
		if r.Entry.Fingerprint == place.Fingerprint {
			got["Alerts"] = r.Entry
		}
	}
	if len(got) != 4 {
		f.Errorf("alert %d is only in %v", n, got)
	}
	for where, e := range got {
		if e.Count != count || !e.LastSeen.Equal(seen) || !e.ValidUntil.Equal(until) {
			f.Errorf("%s: alert %d: count %d, last seen %s, valid until %s; want %d, %s, %s", where, n, e.Count, e.LastSeen, e.ValidUntil, count, seen, until)
		}
	}
}

func repeatsAreRead(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1, 2)
	rows := f.rows()
	for n := 1; n <= 3; n++ {
		f.clock.add(time.Second)
		f.update(f.repeat(key, start.Add(5*time.Minute+time.Duration(n)*time.Second), 1))
	}
	f.wantRepeats(i, 1, 4, start.Add(3*time.Second), start.Add(5*time.Minute+3*time.Second))
	f.wantRepeats(i, 2, 1, start, start.Add(5*time.Minute))
	f.sameRows("a repeat", rows)
	if got := f.incident(i.ID); got.Version != i.Version {
		f.Errorf("repeats changed the version from %d to %d", i.Version, got.Version)
	}
}

func repeatsOutlive(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1)
	f.clock.add(time.Second)
	for range 5 {
		f.update(f.repeat(key, start.Add(6*time.Minute), 1))
	}
	if !f.reopen() {
		return
	}
	f.wantRepeats(i, 1, 6, start.Add(time.Second), start.Add(6*time.Minute))
	if got := f.incident(i.ID); got.Occurrences != 6 || got.Version != i.Version {
		f.Errorf("got %d occurrences in version %d, want 6 in %d", got.Occurrences, got.Version, i.Version)
	}
}

func repeatsTogether(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1, 2, 3)
	const workers, each = 6, 30
	together(workers, func(worker int) {
		for n := range each {
			c := f.repeat(key, start.Add(7*time.Minute), 1, 2)
			if worker == 0 && n%3 == 0 { // changes of the same entries between them
				c = f.send(key, message{n: 1, text: fmt.Sprint(n)}, message{n: 2, text: fmt.Sprint(n)})
			}
			if err := f.Update(f.ctx(), []incident.Change{c}); err != nil {
				f.Error(err)
			}
		}
	})
	f.wantRepeats(i, 1, 1+workers*each, start, start.Add(7*time.Minute))
	f.wantRepeats(i, 2, 1+workers*each, start, start.Add(7*time.Minute))
	f.wantRepeats(i, 3, 1, start, start.Add(5*time.Minute))
	f.audit()
	if !f.reopen() {
		return
	}
	f.wantRepeats(i, 1, 1+workers*each, start, start.Add(7*time.Minute))
	if got, want := f.incident(i.ID).Occurrences, uint64(3+2*workers*each); got != want {
		f.Errorf("got %d occurrences, want %d: each message once", got, want)
	}
}

func repeatsIncluded(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1)
	for range 4 {
		f.update(f.repeat(key, start.Add(6*time.Minute), 1))
	}
	c := f.send(key, message{n: 1, resolved: true})
	step := c.Step
	c.Step = func(st incident.State) (incident.Next, error) {
		if e := st.Entries[0]; e.Count != 5 || !e.ValidUntil.Equal(start.Add(6*time.Minute)) {
			f.Errorf("the step sees %+v, want 5 messages valid until %s", e, start.Add(6*time.Minute))
		}
		return step(st)
	}
	f.update(c)
	if e := f.entry(key, 1); e.Count != 6 || e.Firing {
		f.Errorf("got %+v, want 6 messages and an end", e)
	}
	f.reopen()
	if e, got := f.entry(key, 1), f.incident(i.ID); e.Count != 6 || got.Occurrences != 6 {
		f.Errorf("stored: %d messages of the alert, %d of the incident; want 6 and 6", e.Count, got.Occurrences)
	}
}

func patches(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1, 2)
	f.clock.add(time.Second)
	f.update(incident.Change{ID: f.id(), Key: key, Fingerprints: []alert.Fingerprint{fingerprint(1)}, Step: func(st incident.State) (incident.Next, error) {
		return incident.Next{Patches: []incident.EntryPatch{{Fingerprint: fingerprint(1),
			Patch: incident.Patch{Count: 3, LastSeen: st.Now, ValidUntil: start.Add(8 * time.Minute)}}}}, nil
	}})
	f.wantRepeats(i, 1, 4, start.Add(time.Second), start.Add(8*time.Minute))
	f.wantRepeats(i, 2, 1, start, start.Add(5*time.Minute))
	if f.reopen() {
		f.wantRepeats(i, 1, 4, start.Add(time.Second), start.Add(8*time.Minute))
	}
}

func repeatAfterEnd(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	i := f.valid(key, start.Add(5*time.Minute), 1, 2)
	f.update(f.send(key, message{n: 1, resolved: true}))
	ended := f.repeat(key, start.Add(time.Hour), 1)
	ended.Settled = func(now time.Time, entries []incident.Entry) ([]incident.Patch, bool) {
		return []incident.Patch{{Count: 1, LastSeen: now, ValidUntil: start.Add(time.Hour)}}, true
	}
	f.update(ended)
	if e := f.entry(key, 1); e.Firing || e.Count != 3 || !e.ValidUntil.Equal(start.Add(5*time.Minute)) {
		f.Errorf("got %+v, want an ended alert with 3 messages whose validity did not move", e)
	}
	_ = i
}

func notSettled(f *fixture) {
	key, start := keyOf(1), f.clock.Now()
	f.valid(key, start.Add(5*time.Minute), 1)
	c := f.send(key, message{n: 1}, message{n: 2})
	asked := 0
	c.Settled = func(time.Time, []incident.Entry) ([]incident.Patch, bool) { asked++; return nil, false }
	f.update(c, f.repeat(keyOf(2), start)) // a change without alerts is settled
	if e := f.entry(key, 2); !e.Firing || asked > 1 {
		f.Errorf("got %+v, asked %d times", e, asked)
	}
	f.audit()
}
