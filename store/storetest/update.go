package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var updateTests = []test{
	{"a change is committed whole", committedWhole},
	{"a step that refuses leaves nothing", refusedLeavesNothing},
	{"readers see a change whole or not at all", readersSeeWhole},
	{"many writers on one key lose nothing", manyWriters},
	{"many keys in one call", manyKeys},
	{"a step runs again with what it wanted", wanted},
	{"a step that wants for ever is ended", wantsForEver},
	{"a change that is sent again applies once", sentAgain},
	{"a preview commits nothing", preview},
	{"an incident can be changed by its id", byIncident},
	{"the clock never runs back", clockNeverBack},
	{"a cancelled context commits nothing", cancelled},
	{"all is there after the store was opened again", openedAgain},
}

// isEmpty checks that nothing of an attempt is left.
func (f *fixture) isEmpty() {
	f.Helper()
	if list := f.list(store.Query{}, 10); len(list) > 0 {
		f.Errorf("there are incidents: %v", list)
	}
	records, _, err := f.ScanEntries(f.ctx(), "", 10)
	f.must(err)
	if len(records) > 0 {
		f.Errorf("there are entries: %v", records)
	}
	jobs, err := f.Jobs(f.ctx())
	f.must(err)
	if len(jobs) > 0 {
		f.Errorf("there are jobs: %v", jobs)
	}
	stats, err := f.Statistics(f.ctx())
	f.must(err)
	if len(stats.Incidents)+len(stats.Counters)+len(stats.Histograms) > 0 {
		f.Errorf("there are statistics: %v", stats)
	}
}

func committedWhole(f *fixture) {
	f.isEmpty()
	key := keyOf(1)
	c := f.send(key, message{n: 1, severity: "error", text: "first", service: "db", team: "db"}, message{n: 2})
	step := c.Step
	c.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		next.Jobs = append(next.Jobs, incident.Job{Subject: key.String(), Kind: incident.JobExpiry, Due: st.Now.Add(time.Minute)})
		return next, err
	}
	f.update(c)
	i := f.ofKey(key)
	if i == nil || i.State != incident.Open || i.Severity != "error" || i.Version != 1 || i.Reference == "" || i.Alerts != (incident.Counts{Total: 2, Firing: 2}) {
		f.Fatalf("got incident %+v", i)
	}
	if i.ID.Shard() != key.Shard() || i.Key != key {
		f.Errorf("incident %s of key %s has shard %d, want %d", i.ID, i.Key, i.ID.Shard(), key.Shard())
	}
	if got := f.timeline(i.ID, 10); len(got) != 2 || got[0].Action != "opened" || got[1].Action != "took" {
		f.Errorf("got timeline %+v", got)
	}
	jobs, err := f.Jobs(f.ctx())
	f.must(err)
	if len(jobs) != 1 || jobs[0].Kind != incident.JobExpiry || jobs[0].Count != 1 {
		f.Errorf("got jobs %+v", jobs)
	}
	stats, err := f.Statistics(f.ctx())
	f.must(err)
	if n := stats.Counters[store.Series{Metric: "opened_total", Severity: "error", Team: "db"}]; n != 1 {
		f.Errorf("got statistics %+v", stats)
	}
	said := f.alerts(i.ID, 10)
	at := slices.IndexFunc(said, func(r store.Record) bool { return r.Entry.Fingerprint == fingerprint(1) })
	if len(said) != 2 || said[at].Content.Annotations.Get("summary") != "first" || said[at].Content.Identity != "identity-1" {
		f.Errorf("got alerts %+v", said)
	}
	f.audit()
}

func refusedLeavesNothing(f *fixture) {
	refuse := func(err error) incident.Change {
		c := f.send(keyOf(2), message{n: 2})
		c.Step = func(incident.State) (incident.Next, error) { return incident.Next{}, err }
		return c
	}
	err := f.Update(f.ctx(), []incident.Change{refuse(incident.ErrConflict)})
	f.wantErr("a step's error", err, incident.ErrConflict)
	var state *incident.StateError
	if err := f.Update(f.ctx(), []incident.Change{refuse(&incident.StateError{Action: "close", State: "open"})}); !errors.As(err, &state) {
		f.Errorf("got error %v, want the step's own", err)
	}
	f.isEmpty()

	// Of several changes each is whole by itself; the other one may be there.
	first := f.send(keyOf(1), message{n: 1})
	err = f.Update(f.ctx(), []incident.Change{first, refuse(incident.ErrConflict)})
	f.wantErr("one of two steps refuses", err, incident.ErrConflict)
	f.audit()
	// With the same ids the whole can be sent again.
	f.update(first)
	f.update(first)
	if i := f.ofKey(keyOf(1)); i == nil || i.Version != 1 {
		f.Errorf("after the repetition: got %+v, want version 1", i)
	}
	if i := f.ofKey(keyOf(2)); i != nil {
		f.Errorf("the refused one opened %+v", i)
	}
	f.audit()
}

// readersSeeWhole reads while one writes: what an incident counts must be there.
func readersSeeWhole(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 0})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				before, err := f.Incident(f.ctx(), i.ID.String())
				if err != nil {
					f.Error(err)
					return
				}
				timeline, err := f.Timeline(f.ctx(), i.ID, 0, 1000)
				if err != nil || uint64(len(timeline)) < before.TimelineLength {
					f.Errorf("the incident says %d timeline entries, there are %d (%v)", before.TimelineLength, len(timeline), err)
				}
				records, _, err := f.Alerts(f.ctx(), i.ID, "", 1000)
				if err != nil || len(records) < before.Alerts.Total {
					f.Errorf("the incident says %d alerts, there are %d (%v)", before.Alerts.Total, len(records), err)
				}
				for _, r := range records {
					if r.Content == nil {
						f.Errorf("alert %s says nothing", r.Entry.Fingerprint)
					}
				}
			}
		})
	}
	for n := 1; n <= 60; n++ {
		f.update(f.send(key, message{n: n}, message{n: n / 2, text: fmt.Sprint("now ", n)}))
	}
	close(done)
	wg.Wait()
	f.audit()
}

func manyWriters(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 0})
	const workers, each = 8, 20
	together(workers, func(worker int) {
		for n := range each {
			m := message{n: 1 + worker*each + n}
			changes := []incident.Change{f.send(key, m)}
			if n%2 == 1 {
				changes = []incident.Change{f.edit(i.ID, note(fmt.Sprintf("note %d", m.n)))}
			}
			if err := f.Update(f.ctx(), changes); err != nil {
				f.Error(err)
			}
		}
	})
	got := f.incident(i.ID)
	if got.Version != 1+workers*each || got.TimelineLength != 2+workers*each || got.Alerts.Total != 1+workers*each/2 {
		f.Errorf("got version %d, %d timeline entries and %+v", got.Version, got.TimelineLength, got.Alerts)
	}
	said := map[string]int{}
	for _, t := range f.timeline(i.ID, 7) {
		said[t.Text]++
	}
	for worker := range workers {
		for n := 1; n < each; n += 2 {
			if text := fmt.Sprintf("note %d", 1+worker*each+n); said[text] != 1 {
				f.Errorf("%q is in the timeline %d times", text, said[text])
			}
		}
	}
	f.audit()
}

// manyKeys takes the same keys in different orders at once, which must neither
// lose anything nor lock up.
func manyKeys(f *fixture) {
	const keys, workers, rounds = 50, 4, 5
	together(workers, func(worker int) {
		for round := range rounds {
			var changes []incident.Change
			for n := range keys {
				k := (n*(2*worker+1) + round*7) % keys
				changes = append(changes, f.send(keyOf(k), message{n: (k*workers+worker)*rounds + round}))
			}
			slices.SortFunc(changes, func(a, b incident.Change) int { return slices.Compare(a.Key[:], b.Key[:]) })
			changes = slices.CompactFunc(changes, func(a, b incident.Change) bool { return a.Key == b.Key })
			if worker%2 == 1 {
				slices.Reverse(changes)
			}
			if err := f.Update(f.ctx(), changes); err != nil {
				f.Error(err)
			}
		}
	})
	list := f.list(store.Query{}, 17)
	if len(list) != keys {
		f.Errorf("got %d incidents, want one for each of %d keys", len(list), keys)
	}
	for _, i := range list {
		if i.Occurrences != i.Version || i.Alerts.Total != int(i.Version) {
			f.Errorf("%s: version %d, %d occurrences, %+v", i.ID, i.Version, i.Occurrences, i.Alerts)
		}
	}
	f.audit()
}

func wanted(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 1, text: "known"})
	other := f.open(keyOf(2), message{n: 2})
	runs := 0
	f.update(incident.Change{ID: f.id(), Key: key, Step: func(st incident.State) (incident.Next, error) {
		runs++
		if _, asked := st.More[fingerprint(1)]; !asked {
			if len(st.Others) > 0 {
				f.Errorf("others before they were asked for: %v", st.Others)
			}
			return incident.Next{Want: incident.Want{Fingerprints: []alert.Fingerprint{fingerprint(1), fingerprint(99)},
				Incidents: []incident.ID{other.ID, {15: key.Shard()}}}}, nil
		}
		known, missing := st.More[fingerprint(1)], st.More[fingerprint(99)]
		if known.Entry.Incident != i.ID || known.Content == nil || known.Content.Annotations.Get("summary") != "known" {
			f.Errorf("a known entry: got %+v", known)
		}
		if missing.Entry.Exists() || missing.Content != nil || missing.Entry.Fingerprint != fingerprint(99) {
			f.Errorf("an unknown entry: got %+v", missing)
		}
		if o := st.Others[other.ID]; o == nil || o.Reference != other.Reference {
			f.Errorf("another incident: got %+v", o)
		}
		if o, there := st.Others[incident.ID{15: key.Shard()}]; !there || o != nil {
			f.Errorf("an incident that does not exist: got %v, %t, want nil, true", o, there)
		}
		return incident.Next{}, nil
	}})
	if runs != 2 {
		f.Errorf("the step ran %d times, want 2", runs)
	}
}

func wantsForEver(f *fixture) {
	err := f.Update(f.ctx(), []incident.Change{{ID: f.id(), Key: keyOf(1), Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Want: incident.Want{Fingerprints: []alert.Fingerprint{fingerprint(1)}}}, nil
	}}})
	if err == nil {
		f.Error("a step that always wants more was accepted")
	}
	f.isEmpty()
}

func sentAgain(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 1})
	said := f.edit(i.ID, note("once"))
	f.update(said)
	want := f.incident(i.ID)
	// Alone, at once from several goroutines, and beside something new.
	f.update(said)
	together(4, func(int) {
		if err := f.Update(f.ctx(), []incident.Change{said}); err != nil {
			f.Error(err)
		}
	})
	f.update(said, f.send(keyOf(2), message{n: 2}))
	if got := f.incident(i.ID); got.Version != want.Version || got.TimelineLength != want.TimelineLength {
		f.Errorf("got version %d and %d timeline entries, want %d and %d", got.Version, got.TimelineLength, want.Version, want.TimelineLength)
	}
	if f.ofKey(keyOf(2)) == nil {
		f.Error("what came beside the repetition is missing")
	}
	f.audit()
}

func preview(f *fixture) {
	key := keyOf(1)
	rows := f.rows()
	opens := f.send(key, message{n: 1}, message{n: 2})
	opens.Preview = true
	var seen *incident.Incident
	step := opens.Step
	opens.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		if len(next.Incidents) == 1 {
			seen = next.Incidents[0]
		}
		return next, err
	}
	f.update(opens)
	if seen == nil || seen.Alerts.Total != 2 {
		f.Errorf("the preview shows %+v", seen)
	}
	f.isEmpty()
	f.sameRows("a preview", rows)

	opens.Preview = false // the same change is not one that was sent before
	f.update(opens)
	i := f.ofKey(key)
	if i == nil {
		f.Fatal("nothing was opened after the preview")
	}
	rows = f.rows()
	resolves := f.edit(i.ID, resolve)
	resolves.Preview = true
	f.update(resolves)
	if got := f.incident(i.ID); got.State != incident.Open || got.Version != 1 {
		f.Errorf("after a preview: got %s in version %d, want open in 1", got.State, got.Version)
	}
	f.sameRows("a preview", rows)
	f.audit()
}

// rows returns all rows as text, nil if the store cannot show them.
func (f *fixture) rows() []string {
	d, ok := f.Store.(Dumper)
	if !ok {
		return nil
	}
	var out []string
	for _, r := range d.Rows(f.T) {
		out = append(out, fmt.Sprintf("%q = %q", r.Key, r.Value))
	}
	return out
}

// sameRows checks that something left the rows as they were.
func (f *fixture) sameRows(what string, want []string) {
	f.Helper()
	if got := f.rows(); !slices.Equal(got, want) {
		f.Errorf("%s changed the rows:\ngot  %q\nwant %q", what, got, want)
	}
}

func byIncident(f *fixture) {
	i := f.open(keyOf(1), message{n: 1})
	c := f.edit(i.ID, acknowledge)
	c.Fingerprints = []alert.Fingerprint{fingerprint(1)}
	step := c.Step
	c.Step = func(st incident.State) (incident.Next, error) {
		if st.Key == nil || st.Key.Key != keyOf(1) || len(st.Entries) != 1 || st.Entries[0].Incident != i.ID {
			f.Errorf("the step sees %+v", st)
		}
		return step(st)
	}
	f.update(c)
	if got := f.incident(i.ID); got.State != incident.Acknowledged || got.Version != 2 {
		f.Errorf("got %s in version %d", got.State, got.Version)
	}
	err := f.Update(f.ctx(), []incident.Change{f.edit(incident.ID{1, 2, 3}, acknowledge)})
	f.wantErr("an unknown incident", err, incident.ErrNotFound)
	// Several of one key, and of another one, in one call.
	other := f.open(keyOf(2), message{n: 2})
	f.update(f.edit(i.ID, note("one")), f.edit(other.ID, note("two")), f.edit(i.ID, note("three")), f.edit(i.ID, note("four")))
	if a, b := f.incident(i.ID), f.incident(other.ID); a.Version != 5 || b.Version != 2 {
		f.Errorf("got versions %d and %d, want 5 and 2", a.Version, b.Version)
	}
}

func clockNeverBack(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 1})
	opened, last := f.clock.Now(), f.Now()
	if !i.ChangedAt.Equal(opened) || !last.Equal(opened) {
		f.Fatalf("changed at %s, store's clock %s, want %s", i.ChangedAt, last, opened)
	}
	for _, jump := range []time.Duration{time.Minute, -time.Hour, time.Second, 2 * time.Hour} {
		f.clock.add(jump)
		now := f.Now()
		if now.Before(last) {
			f.Errorf("after a jump by %s the store's clock went from %s to %s", jump, last, now)
		}
		last = now
	}
	if want := f.clock.Now(); !last.Equal(want) {
		f.Errorf("the store's clock says %s, want %s", last, want)
	}
	// A process with a clock that is behind never changes a key before its last change.
	f.update(f.edit(i.ID, note("late")))
	i = f.incident(i.ID)
	f.clock.add(-48 * time.Hour)
	f.reopen()
	f.update(f.edit(i.ID, func(e *incident.Edit) error {
		return note("from a clock that is behind")(e)
	}))
	if got := f.incident(i.ID); got.ChangedAt.Before(i.ChangedAt) {
		f.Errorf("changed at %s, before the change at %s", got.ChangedAt, i.ChangedAt)
	}
	timeline := f.timeline(i.ID, 10)
	for n := 1; n < len(timeline); n++ {
		if timeline[n].RecordedAt.Before(timeline[n-1].RecordedAt) {
			f.Errorf("timeline entry %d at %s is before %d at %s", n+1, timeline[n].RecordedAt, n, timeline[n-1].RecordedAt)
		}
	}
}

func cancelled(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	if err := f.Update(ctx, []incident.Change{f.send(keyOf(1), message{n: 1})}); err == nil {
		f.Error("an update whose caller has gone was accepted")
	}
	f.isEmpty()
}

func openedAgain(f *fixture) {
	for n := range 20 {
		f.open(keyOf(n), message{n: n, text: "said", severity: []string{"critical", "warning"}[n%2]})
	}
	list := f.list(store.Query{}, 100)
	f.update(f.edit(list[3].ID, resolve), f.edit(list[4].ID, acknowledge))
	want := f.list(store.Query{}, 100)
	if !f.reopen() {
		return
	}
	got := f.list(store.Query{}, 100)
	if len(got) != len(want) {
		f.Fatalf("got %d incidents, want %d", len(got), len(want))
	}
	for n := range want {
		if got[n].ID != want[n].ID || got[n].State != want[n].State || got[n].Version != want[n].Version || got[n].TimelineHash != want[n].TimelineHash {
			f.Errorf("incident %d: got %+v, want %+v", n, got[n], want[n])
		}
	}
	f.audit()
}
