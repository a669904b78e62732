package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var alertTests = []test{
	{"alerts of an incident in pages", alertPages},
	{"alerts that go on to another incident stay with the old one", alertsArchived},
	{"an alert that leaves an incident twice", archivedTwice},
	{"alerts while they move to the archive are seen once", alertsWhileMoving},
	{"what an alert says follows its changes", contents},
	{"entries of a key and of all keys in pages", entryPages},
	{"timeline in pages", timelinePages},
}

func alertPages(f *fixture) {
	const alerts = 200
	key := keyOf(1)
	for from := 0; from < alerts; from += alerts / 4 {
		var messages []message
		for n := from; n < from+alerts/4; n++ {
			messages = append(messages, message{n: n, text: fmt.Sprint(n)})
		}
		f.update(f.send(key, messages...))
	}
	f.open(keyOf(2), message{n: 1}) // the same fingerprint under another key
	i := f.ofKey(key)
	var want []alert.Fingerprint
	for n := range alerts {
		want = append(want, fingerprint(n))
	}
	compare := func(a, b alert.Fingerprint) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(want, compare)
	for _, page := range []int{1, 7, 50, 64, 1000} {
		var got []alert.Fingerprint
		for _, r := range f.alerts(i.ID, page) {
			got = append(got, r.Entry.Fingerprint)
		}
		slices.SortFunc(got, compare)
		if !slices.Equal(got, want) {
			f.Errorf("in pages of %d: got %d alerts, want %d, or others", page, len(got), len(want))
		}
	}
}

// end resolves an incident and goes beyond what it can be opened again in.
func (f *fixture) end(key incident.Key, numbers ...int) {
	f.Helper()
	var messages []message
	for _, n := range numbers {
		messages = append(messages, message{n: n, resolved: true})
	}
	f.update(f.send(key, messages...))
	f.clock.add(time.Hour)
}

func alertsArchived(f *fixture) {
	key := keyOf(1)
	f.update(f.send(key, message{n: 1, text: "a"}, message{n: 2, text: "b"}))
	first := f.ofKey(key)
	f.end(key, 1, 2)
	// One says something new in the next incident, one says the same again, one stays.
	f.update(f.send(key, message{n: 1, text: "c"}, message{n: 3, text: "d"}))
	second := f.ofKey(key)
	f.end(key, 1, 3)
	f.update(f.send(key, message{n: 1, text: "c"}))
	third := f.ofKey(key)
	for _, c := range []struct {
		of   *incident.Incident
		want map[int]string
	}{{first, map[int]string{1: "a", 2: "b"}}, {second, map[int]string{1: "c", 3: "d"}}, {third, map[int]string{1: "c"}}} {
		said := map[alert.Fingerprint]string{}
		for _, r := range f.alerts(c.of.ID, 1) {
			if r.Content == nil || r.Entry.Firing != (c.of == third) {
				f.Errorf("%s: got %+v", c.of.Reference, r)
				continue
			}
			said[r.Entry.Fingerprint] = r.Content.Annotations.Get("summary")
		}
		for n, text := range c.want {
			if said[fingerprint(n)] != text {
				f.Errorf("%s: alert %d says %q, want %q", c.of.Reference, n, said[fingerprint(n)], text)
			}
		}
		if len(said) != len(c.want) {
			f.Errorf("%s has %d alerts, want %d", c.of.Reference, len(said), len(c.want))
		}
	}
	f.audit()
}

// archivedTwice lets an alert come back to an incident that it was archived with.
func archivedTwice(f *fixture) {
	key := keyOf(1)
	first := f.open(key, message{n: 1, text: "marker one"})
	f.end(key, 1)
	second := f.open(key, message{n: 1, text: "marker two"})
	f.end(key, 1)
	f.update(f.edit(first.ID, reopenIt))
	f.update(incident.Change{ID: f.id(), Key: key, Step: func(st incident.State) (incident.Next, error) {
		back := *st.Key
		back.Incident = first.ID
		return incident.Next{Key: &back}, nil
	}})
	f.update(f.send(key, message{n: 1, text: "marker three"}))
	f.end(key, 1)
	third := f.open(key, message{n: 1, text: "marker four"})
	for i, want := range map[*incident.Incident]string{first: "marker three", second: "marker two", third: "marker four"} {
		records := f.alerts(i.ID, 10)
		if len(records) != 1 || records[0].Content == nil || records[0].Content.Annotations.Get("summary") != want {
			f.Errorf("%s: got %+v, want one alert that says %q", i.Reference, records, want)
		}
	}
	f.wantNoRow("what nothing refers to any more", "marker one")
}

// alertsWhileMoving reads an incident's alerts while they go on to another one.
func alertsWhileMoving(f *fixture) {
	key := keyOf(1)
	var messages []message
	var numbers []int
	for n := range 150 {
		messages, numbers = append(messages, message{n: n, text: "first"}), append(numbers, n)
	}
	f.update(f.send(key, messages...))
	first := f.ofKey(key)
	f.end(key, numbers...)
	moved := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(moved)
		for _, n := range numbers {
			if err := f.Update(f.ctx(), []incident.Change{f.send(key, message{n: n, text: "second"})}); err != nil {
				f.Error(err)
			}
		}
	})
	for over := false; !over; {
		select {
		case <-moved:
			over = true // once more, when all is quiet
		default:
		}
		seen := map[alert.Fingerprint]int{}
		for _, r := range f.alerts(first.ID, 9) {
			seen[r.Entry.Fingerprint]++
			if r.Content == nil || r.Content.Annotations.Get("summary") != "first" {
				f.Errorf("the alert %s of the first incident says %+v", r.Entry.Fingerprint, r.Content)
			}
		}
		for _, n := range numbers {
			if seen[fingerprint(n)] != 1 {
				f.Errorf("alert %d of the first incident was seen %d times", n, seen[fingerprint(n)])
			}
		}
	}
	wg.Wait()
	f.audit()
}

func contents(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 1, text: "one"})
	says := func(want string) {
		f.Helper()
		if got := f.alerts(i.ID, 10)[0].Content.Annotations.Get("summary"); got != want {
			f.Errorf("got %q, want %q", got, want)
		}
	}
	says("one")
	f.update(f.send(key, message{n: 1, text: "two"}))
	says("two")
	f.update(f.send(key, message{n: 1, text: "two"}))
	says("two")
	f.update(f.send(key, message{n: 1, resolved: true}))
	says("two")
	f.wantNoRow("what nobody says any more", `one`)
	if f.reopen() {
		says("two")
	}
}

// wantNoRow checks that no row holds a text.
func (f *fixture) wantNoRow(what string, text string) {
	f.Helper()
	for _, row := range f.rows() {
		if containsText(row, text) {
			f.Errorf("%s is still there: %s", what, row)
		}
	}
}

func entryPages(f *fixture) {
	for k := range 5 {
		var messages []message
		for n := range 9 {
			messages = append(messages, message{n: n, text: fmt.Sprint(k)})
		}
		f.update(f.send(keyOf(k), messages...))
	}
	for _, page := range []int{1, 4, 45, 1000} {
		seen := map[store.Place]bool{}
		for cursor := ""; ; {
			records, next, err := f.ScanEntries(f.ctx(), cursor, page)
			f.must(err)
			if len(records) > page {
				f.Errorf("pages of %d: got %d entries", page, len(records))
			}
			for _, r := range records {
				place := store.Place{Key: r.Key, Fingerprint: r.Entry.Fingerprint}
				if seen[place] || r.Content == nil {
					f.Errorf("pages of %d: %v again, or without content", page, place)
				}
				seen[place] = true
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if len(seen) != 45 {
			f.Errorf("pages of %d: got %d entries, want 45", page, len(seen))
		}
	}
	for _, page := range []int{1, 4, 5, 9, 1000} {
		seen := map[alert.Fingerprint]bool{}
		for cursor := ""; ; {
			entries, next, err := f.KeyEntries(f.ctx(), keyOf(3), cursor, page)
			f.must(err)
			for _, e := range entries {
				if seen[e.Fingerprint] {
					f.Errorf("a key's entries in pages of %d: %s again", page, e.Fingerprint)
				}
				seen[e.Fingerprint] = true
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		if len(seen) != 9 {
			f.Errorf("a key's entries in pages of %d: got %d, want 9", page, len(seen))
		}
	}
	none, err := f.Entries(f.ctx(), []store.Place{{Key: keyOf(1), Fingerprint: fingerprint(1)}, {Key: keyOf(9), Fingerprint: fingerprint(1)}})
	f.must(err)
	if !none[0].Exists() || none[1].Exists() {
		f.Errorf("got %+v", none)
	}
}

func timelinePages(f *fixture) {
	i := f.open(keyOf(1), message{n: 1})
	f.open(keyOf(2), message{n: 2})
	for n := range 20 {
		f.update(f.edit(i.ID, note(fmt.Sprint(n))))
	}
	late := f.clock.Now().Add(-time.Hour)
	f.update(f.edit(i.ID, func(e *incident.Edit) error { return e.Note("ann", "late", late) }))
	for _, page := range []int{1, 5, 23, 1000} {
		got := f.timeline(i.ID, page)
		if broken, ok := incident.VerifyTimeline(got); !ok || len(got) != 23 {
			f.Errorf("in pages of %d: %d entries, %d does not fit", page, len(got), broken)
		}
	}
	if last := f.timeline(i.ID, 100)[22]; !last.Late || !last.At.Equal(late) || last.Text != "late" || last.Who != "ann" {
		f.Errorf("got %+v", last)
	}
	if got, err := f.Timeline(f.ctx(), i.ID, 23, 10); err != nil || len(got) != 0 {
		f.Errorf("behind the end: got %v, %v", got, err)
	}
}
