package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var listTests = []test{
	{"every filter alone and with the others", filters},
	{"bounds of time", bounds},
	{"newest first, then by id", order},
	{"text", text},
	{"paging while others write shows each row once", pagingWhileWriting},
	{"paging by state while states change shows each row once", pagingByState},
	{"lookup by id and reference", lookup},
	{"references of ids", references},
	{"references are never given out twice", referencesUnique},
	{"a cursor that is none", badCursor},
}

// world opens incidents that differ in everything that lists can be narrowed
// by, two in each moment.
func (f *fixture) world() []*incident.Incident {
	f.Helper()
	n := 0
	var all []*incident.Incident
	for _, severity := range []string{"critical", "warning"} {
		for _, service := range []string{"", "db", "web"} {
			for _, team := range []string{"", "a"} {
				for state := range incident.States() {
					i := f.open(keyOf(n), message{n: n, severity: severity, service: service, team: team})
					for _, do := range []func(*incident.Edit) error{acknowledge, resolve, closeIt}[:state] {
						f.update(f.edit(i.ID, do))
					}
					all = append(all, f.incident(i.ID))
					if n++; n%2 == 0 {
						f.clock.add(time.Second)
					}
				}
			}
		}
	}
	return all
}

// inOrder sorts as lists do: newest first, to the millisecond, then by id.
func inOrder(list []*incident.Incident) []*incident.Incident {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *incident.Incident) int {
		return cmp.Or(cmp.Compare(b.OpenedAt.UnixMilli(), a.OpenedAt.UnixMilli()), slices.Compare(a.ID[:], b.ID[:]))
	})
	return list
}

func (f *fixture) wantList(what string, q store.Query, page int, want []*incident.Incident) {
	f.Helper()
	got := f.list(q, page)
	same := slices.EqualFunc(got, want, func(a, b *incident.Incident) bool {
		return a.ID == b.ID && a.State == b.State && a.Version == b.Version
	})
	if !same {
		f.Errorf("%s, in pages of %d: got %d incidents %s, want %d %s", what, page, len(got), names(got), len(want), names(want))
	}
}

func names(list []*incident.Incident) string {
	var out []string
	for _, i := range list {
		out = append(out, i.Reference+"/"+i.State)
	}
	return strings.Join(out, " ")
}

func filters(f *fixture) {
	all := inOrder(f.world())
	states := [][]string{nil, {"open"}, {"acknowledged", "open"}, {"closed", "resolved", "closed"}, {"none such"}}
	severities := [][]string{nil, {"critical"}, {"critical", "warning"}}
	services := [][]string{nil, {""}, {"db", "web"}, {"w"}}
	teams := [][]string{nil, {""}, {"a"}}
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	for _, st := range states {
		for _, sv := range severities {
			for _, se := range services {
				for _, te := range teams {
					var want []*incident.Incident
					for _, i := range all {
						if in(st, i.State) && in(sv, i.Severity) && in(se, i.Service) && in(te, i.Team) {
							want = append(want, i)
						}
					}
					q := store.Query{States: st, Severities: sv, Services: se, Teams: te}
					f.wantList(fmt.Sprintf("%+v", q), q, 7, want)
				}
			}
		}
	}
	for _, page := range []int{1, 48, 1000} {
		f.wantList("all", store.Query{}, page, all)
	}
}

func bounds(f *fixture) {
	all := inOrder(f.world())
	middle := all[len(all)/2].OpenedAt
	for _, c := range []struct {
		name     string
		from, to time.Time
	}{
		{"from the middle", middle, time.Time{}}, {"to the middle", time.Time{}, middle},
		{"one moment", middle, middle.Add(1)}, {"nothing between", middle, middle}, {"the wrong way round", middle.Add(time.Second), middle},
		{"from just behind it", middle.Add(1), time.Time{}}, {"from the year 1", time.Time{}.Add(time.Hour), time.Time{}},
		{"from 1969", time.Unix(-1, 0), time.Time{}}, {"from 1970", time.Unix(0, 0), time.Time{}}, {"to 1960", time.Time{}, time.Unix(-1e8, 0)},
		{"in 9999", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}}, {"to 9999", time.Time{}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
	} {
		var want, open []*incident.Incident
		for _, i := range all {
			if !i.OpenedAt.Before(c.from) && (c.to.IsZero() || i.OpenedAt.Before(c.to)) {
				want = append(want, i)
				if i.IsOpen() {
					open = append(open, i)
				}
			}
		}
		f.wantList(c.name, store.Query{From: c.from, To: c.to}, 5, want)
		f.wantList(c.name+", open", store.Query{From: c.from, To: c.to, States: []string{"open", "acknowledged"}}, 5, open)
	}
}

func order(f *fixture) {
	for n := range 30 {
		f.open(keyOf(n), message{n: n})
		switch n % 3 {
		case 0:
			f.clock.add(time.Millisecond)
		case 1:
			f.clock.add(100 * time.Microsecond)
		}
	}
	list := f.list(store.Query{}, 4)
	if want := inOrder(list); len(list) != 30 || !slices.Equal(names2(list), names2(want)) {
		f.Errorf("got %s, want %s", names(list), names(want))
	}
}

func names2(list []*incident.Incident) []incident.ID {
	var out []incident.ID
	for _, i := range list {
		out = append(out, i.ID)
	}
	return out
}

func text(f *fixture) {
	i := f.open(keyOf(1), message{n: 17, service: "Zahlung", team: "Blau"})
	f.open(keyOf(2), message{n: 18})
	for _, q := range []string{"suite " + i.Key.String(), strings.ToUpper(i.Title), i.Reference, strings.ToLower(i.Reference), "HOST-00017", "zahl", "BLAU"} {
		f.wantList("text "+q, store.Query{Text: q}, 10, []*incident.Incident{i})
	}
	if got := f.list(store.Query{Text: "suite"}, 1); len(got) != 2 {
		f.Errorf("text that both have: got %s", names(got))
	}
	f.update(f.edit(i.ID, func(e *incident.Edit) error {
		return e.Find("ann", incident.Findings{Cause: "a Certificate ran out", Lessons: "watch them"}, "")
	}))
	for _, q := range []string{"certificate", "WATCH them"} {
		f.wantList("what people found: "+q, store.Query{Text: q}, 10, []*incident.Incident{f.incident(i.ID)})
	}
	f.wantList("text that none has", store.Query{Text: "no such thing"}, 10, nil)
	f.wantList("text and state", store.Query{Text: "zahl", States: []string{"closed"}}, 10, nil)
}

// pagingWhileWriting pages through all incidents while others open, resolve and
// close: those that were there throughout are seen once each.
func pagingWhileWriting(f *fixture) {
	all := f.world()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := range 300 { // each list goes through all of them
				n += 1000 + worker*1000
				select {
				case <-done:
					return
				default:
				}
				f.clock.add(time.Millisecond)
				changes := []incident.Change{f.send(keyOf(n), message{n: n})}
				i := all[random.IntN(len(all))]
				do := []func(*incident.Edit) error{acknowledge, resolve, closeIt, reopenIt}[random.IntN(4)]
				changes = append(changes, f.edit(i.ID, func(e *incident.Edit) error { _ = do(e); return nil }))
				if err := f.Update(f.ctx(), changes); err != nil {
					f.Error(err)
					return
				}
			}
		})
	}
	for range 8 { // each is some hundred pages, and between all of them others write
		f.wantEachOnce(f.list(store.Query{}, 7), all)
	}
	close(done)
	wg.Wait()
	f.audit()
}

// wantEachOnce checks that a list is in order and has each of the others once.
func (f *fixture) wantEachOnce(list, others []*incident.Incident) {
	f.Helper()
	seen := map[incident.ID]int{}
	for _, i := range list {
		seen[i.ID]++
	}
	for _, i := range others {
		if seen[i.ID] != 1 {
			f.Errorf("%s is in the list %d times", i.Reference, seen[i.ID])
		}
	}
	if len(seen) != len(list) {
		f.Errorf("%d of %d rows are repeated", len(list)-len(seen), len(list))
	}
	if want := inOrder(list); !slices.Equal(names2(list), names2(want)) {
		f.Errorf("out of order: %s", names(list))
	}
}

// pagingByState lets incidents go round between states that the query all
// selects: whatever moves between them, none may be missing.
func pagingByState(f *fixture) {
	var all []*incident.Incident
	for n := range 24 {
		all = append(all, f.open(keyOf(n), message{n: n}))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for n := worker; ; n += 2 {
				select {
				case <-done:
					return
				default:
				}
				var changes []incident.Change
				for m := range 4 {
					i := all[(n*4+m)%len(all)]
					changes = append(changes, f.edit(i.ID, func(e *incident.Edit) error {
						if e.Incident.State == incident.Open {
							return e.Resolve("ann", "")
						}
						return e.Reopen("ann", "")
					}))
				}
				if err := f.Update(f.ctx(), changes); err != nil {
					f.Error(err)
					return
				}
			}
		})
	}
	for range 40 { // of five pages, between which others write
		f.wantEachOnce(f.list(store.Query{States: []string{"open", "resolved"}}, 5), all)
	}
	close(done)
	wg.Wait()
}

func lookup(f *fixture) {
	i := f.open(keyOf(1), message{n: 1})
	for _, name := range []string{i.ID.String(), strings.ToUpper(i.ID.String()), i.Reference, strings.ToLower(i.Reference)} {
		got, err := f.Incident(f.ctx(), name)
		if err != nil || got.ID != i.ID {
			f.Errorf("%q: got %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "INC-", "INC-20261121-ZZZZ", i.Reference + "0", i.Reference[:len(i.Reference)-1], incident.ID{9}.String(), "\x00", strings.Repeat("x", 10_000)} {
		_, err := f.Incident(f.ctx(), name)
		f.wantErr(fmt.Sprintf("%.40q", name), err, incident.ErrNotFound)
	}
	// What was returned is the caller's.
	got := f.incident(i.ID)
	got.Title, got.State, got.Labels["alertname"] = "changed", "closed", "changed"
	if again := f.incident(i.ID); again.Title != i.Title || again.State != i.State || again.Labels["alertname"] != "Suite" {
		f.Errorf("a change of what was returned came back: %+v", again)
	}
}

func references(f *fixture) {
	var ids []incident.ID
	var want []string
	for n := range 5 {
		i := f.open(keyOf(n), message{n: n})
		ids, want = append(ids, i.ID, incident.ID{byte(n)}), append(want, i.Reference, "")
	}
	got, err := f.References(f.ctx(), ids)
	f.must(err)
	if !slices.Equal(got, want) {
		f.Errorf("got %q, want %q", got, want)
	}
}

func referencesUnique(f *fixture) {
	given := map[string]incident.Key{}
	check := func() {
		f.Helper()
		for _, i := range f.list(store.Query{}, 100) {
			if key, taken := given[i.Reference]; i.Reference == "" || taken && key != i.Key {
				f.Errorf("reference %q of %s was given to %s before", i.Reference, i.Key, key)
			}
			given[i.Reference] = i.Key
		}
	}
	const workers, each = 8, 25
	together(workers, func(worker int) {
		for n := range each {
			opens := f.send(keyOf(worker*each+n), message{n: worker*each + n})
			if n%5 == 4 { // one that is given up takes its number along
				opens := f.send(keyOf(10_000+worker*each+n), message{n: n})
				refused := f.send(keyOf(20_000), message{n: n})
				refused.Step = func(incident.State) (incident.Next, error) { return incident.Next{}, incident.ErrConflict }
				if err := f.Update(f.ctx(), []incident.Change{opens, refused}); !errors.Is(err, incident.ErrConflict) {
					f.Errorf("got %v, want a conflict", err)
				}
			}
			if err := f.Update(f.ctx(), []incident.Change{opens}); err != nil {
				f.Error(err)
			}
		}
	})
	check()
	f.reopen()
	removed := f.list(store.Query{}, 1)[0]
	f.must(f.Remove(f.ctx(), removed.ID))
	for n := range 100 {
		f.open(keyOf(30_000+n), message{n: n})
	}
	check()
	f.clock.add(24 * time.Hour)
	for n := range 100 {
		f.open(keyOf(40_000+n), message{n: n})
	}
	check()
}

func badCursor(f *fixture) {
	i := f.open(keyOf(1), message{n: 1})
	for _, cursor := range []string{"x", "!!!", "AAAA", strings.Repeat("A", 1000), "\x00"} {
		_, _, err := f.Incidents(f.ctx(), store.Query{Cursor: cursor, Limit: 10})
		f.wantErr(fmt.Sprintf("incidents from %.20q", cursor), err, store.ErrCursor)
		_, _, err = f.Alerts(f.ctx(), i.ID, cursor, 10)
		f.wantErr(fmt.Sprintf("alerts from %.20q", cursor), err, store.ErrCursor)
	}
	_, _, err := f.Alerts(f.ctx(), incident.ID{1}, "", 10)
	f.wantErr("alerts of nothing", err, incident.ErrNotFound)
}
