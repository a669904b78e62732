package storetest

import (
	"fmt"
	"slices"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var generationTests = []test{
	{"the current generation comes last", currentLast},
	{"a generation without firing alerts is dropped", deadDropped},
	{"firing alerts are counted by generation", firingCounted},
	{"a change for another list is refused", otherList},
	{"changes and new generations at once", generationsTogether},
}

func generationOf(n byte) store.Generation {
	return store.Generation{ID: incident.Generation{n}, Text: fmt.Appendf(nil, "text %d", n)}
}

func (f *fixture) setGeneration(g store.Generation) store.Generations {
	f.Helper()
	list, err := f.SetGeneration(f.ctx(), g)
	f.must(err)
	return list
}

func (f *fixture) wantGenerations(want ...store.Generation) store.Generations {
	f.Helper()
	got, err := f.Generations(f.ctx())
	f.must(err)
	if !slices.EqualFunc(got.List, want, func(a, b store.Generation) bool { return a.ID == b.ID && string(a.Text) == string(b.Text) }) {
		f.Errorf("got generations %s, want %s", got.List, want)
	}
	return got
}

// stamp writes the entry of an alert with another generation, or another state.
func (f *fixture) stamp(key incident.Key, g incident.Generation, firing bool, numbers ...int) {
	f.Helper()
	c := f.send(key)
	for _, n := range numbers {
		c.Fingerprints = append(c.Fingerprints, fingerprint(n))
	}
	c.Step = func(st incident.State) (incident.Next, error) {
		var next incident.Next
		for _, e := range st.Entries {
			w := incident.EntryWrite{Was: e, Entry: e}
			if !e.Exists() {
				w.Entry.FirstSeen = st.Now
			}
			w.Entry.Generation, w.Entry.Firing, w.Entry.Count, w.Entry.LastSeen = g, firing, e.Count+1, st.Now
			next.Entries = append(next.Entries, w)
		}
		return next, nil
	}
	f.update(c)
}

func currentLast(f *fixture) {
	got := f.wantGenerations()
	if got.Current() != (incident.Generation{}) {
		f.Errorf("an empty store has the generation %s", got.Current())
	}
	one, two := generationOf(1), generationOf(2)
	first := f.setGeneration(one)
	f.stamp(keyOf(1), one.ID, true, 1)
	if again := f.setGeneration(one); again.Epoch != first.Epoch {
		f.Errorf("setting the current generation again went from epoch %d to %d", first.Epoch, again.Epoch)
	}
	second := f.setGeneration(two)
	if second.Epoch == first.Epoch || second.Current() != two.ID {
		f.Errorf("got %+v after %+v", second, first)
	}
	f.wantGenerations(one, two)
	// Back to the old configuration: its generation is the current one again.
	f.stamp(keyOf(2), two.ID, true, 2)
	third := f.setGeneration(one)
	if third.Epoch == second.Epoch || third.Epoch == first.Epoch {
		f.Errorf("epochs %d, %d, %d: want all to differ", first.Epoch, second.Epoch, third.Epoch)
	}
	f.wantGenerations(two, one)
	if f.reopen() {
		if got := f.wantGenerations(two, one); got.Epoch != third.Epoch || got.Firing[one.ID] != 1 || got.Firing[two.ID] != 1 {
			f.Errorf("after opening again: got %+v, want epoch %d", got, third.Epoch)
		}
	}
}

func deadDropped(f *fixture) {
	one, two, three := generationOf(1), generationOf(2), generationOf(3)
	f.setGeneration(one)
	f.stamp(keyOf(1), one.ID, true, 1)
	f.setGeneration(two)
	f.wantGenerations(one, two)
	f.stamp(keyOf(1), one.ID, false, 1)
	f.setGeneration(three) // two never had an alert, one has none that fires
	f.wantGenerations(three)
}

func firingCounted(f *fixture) {
	one, two := generationOf(1), generationOf(2)
	f.setGeneration(one)
	want := func(what string, n1, n2 int64) {
		f.Helper()
		got, err := f.Generations(f.ctx())
		f.must(err)
		if got.Firing[one.ID] != n1 || got.Firing[two.ID] != n2 {
			f.Errorf("%s: got %v, want %d and %d", what, got.Firing, n1, n2)
		}
	}
	f.stamp(keyOf(1), one.ID, true, 1, 2, 3)
	want("three fire", 3, 0)
	f.setGeneration(two)
	f.stamp(keyOf(1), one.ID, true, 1)
	want("one fires again", 3, 0)
	f.stamp(keyOf(1), two.ID, true, 1)
	want("one is stamped anew", 2, 1)
	f.stamp(keyOf(1), two.ID, false, 2)
	want("one ends and is stamped anew", 1, 1)
	f.stamp(keyOf(1), two.ID, false, 2)
	want("an ended one is written again", 1, 1)
	c := f.send(keyOf(1), message{n: 3})
	c.Step = func(st incident.State) (incident.Next, error) { return incident.Next{Remove: st.Entries}, nil }
	f.update(c)
	want("a firing one is removed", 0, 1)
	if e := f.entry(keyOf(1), 3); e.Exists() {
		f.Errorf("the removed entry is still there: %+v", e)
	}
	f.stamp(keyOf(1), two.ID, true, 3)
	want("it comes back", 0, 2)
	if f.reopen() {
		want("after opening again", 0, 2)
	}
	f.audit()
}

func otherList(f *fixture) {
	epoch := f.setGeneration(generationOf(1)).Epoch
	c := f.send(keyOf(1), message{n: 1})
	c.Epoch = epoch + 1
	f.wantErr("a step for another epoch", f.Update(f.ctx(), []incident.Change{c}), store.ErrEpoch)
	p := c
	p.Preview = true
	f.wantErr("a preview for another epoch", f.Update(f.ctx(), []incident.Change{p}), store.ErrEpoch)
	r := f.repeat(keyOf(1), f.clock.Now(), 1)
	r.Epoch = epoch + 1
	f.wantErr("a repeat for another epoch", f.Update(f.ctx(), []incident.Change{r}), store.ErrEpoch)
	if list := f.list(store.Query{}, 10); len(list) > 0 {
		f.Errorf("a refused change opened %v", list)
	}
	c.Epoch = epoch
	f.update(c)
	f.audit()
}

// generationsTogether commits for the list that was seen last while the list
// changes: each change counts under a list that was the current one.
func generationsTogether(f *fixture) {
	epoch := f.setGeneration(generationOf(1)).Epoch
	together(4, func(worker int) {
		for n := range 15 {
			if worker == 0 {
				if _, err := f.SetGeneration(f.ctx(), generationOf(byte(2+n%2))); err != nil {
					f.Error(err)
				}
				continue
			}
			c := f.send(keyOf(worker), message{n: worker*100 + n})
			c.Epoch = epoch
			for {
				err := f.Update(f.ctx(), []incident.Change{c})
				if err == nil {
					break
				}
				f.wantErr("a change beside new generations", err, store.ErrEpoch)
				g, err := f.Generations(f.ctx())
				if err != nil {
					f.Error(err)
					return
				}
				c.Epoch = g.Epoch
			}
		}
	})
	for worker := 1; worker < 4; worker++ {
		if i := f.ofKey(keyOf(worker)); i == nil || i.Alerts.Total != 15 {
			f.Errorf("key %d: got %+v, want 15 alerts", worker, i)
		}
	}
	f.audit()
}
