package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// checkPages checks that each entry is on its page, once, and each page in the
// order, and the same of the archive. It returns how many pages there are.
func checkPages(t *testing.T, s *Store) (pages int) {
	t.Helper()
	directly(t, s, func(ctx context.Context, c *client.Client) error {
		for _, n := range s.names {
			hash := result(t, c.HGetAll(ctx, n.keys))
			entries := result(t, c.HGetAll(ctx, n.entries))
			contents := result(t, c.HGetAll(ctx, n.contents))
			order := map[string]bool{}
			for _, m := range result(t, c.ZRange(ctx, n.order, 0, -1)) {
				order[m] = true
				if hash[m] == "" {
					t.Errorf("order has %q, the hash has not", m)
				}
			}
			on := map[string]int{}
			for field, v := range hash {
				if len(field) != pageFieldSize {
					continue
				}
				pages++
				if !order[field] {
					t.Errorf("page %q is not in the order", field)
				}
				if len(v) == 0 || len(v)%16 != 0 {
					t.Errorf("page %q has %d bytes", field, len(v))
				}
				for i := 0; i+16 <= len(v); i += 16 {
					fp := field[:16] + v[i:i+16]
					on[fp]++
					e, ok := entries[fp]
					if !ok {
						t.Errorf("page %q lists what does not exist: %q", field, fp)
					} else if e[pageAt:entryHead] != field[16:] {
						t.Errorf("page %q lists an entry of page %q", field, e[pageAt:entryHead])
					}
				}
			}
			for fp := range entries {
				if on[fp] != 1 {
					t.Errorf("entry %q is on %d pages", fp, on[fp])
				}
			}
			for fp := range contents {
				if _, ok := entries[fp]; !ok {
					t.Errorf("content without entry %q", fp)
				}
			}
			arch := result(t, c.HGetAll(ctx, n.archive))
			seen := map[string]int{}
			for _, m := range result(t, c.ZRange(ctx, n.archiveOrder, 0, -1)) {
				seen[m[:16]+m[20:]]++
			}
			for f := range arch {
				if seen[f] != 1 {
					t.Errorf("archived %q is %d times in the order", f, seen[f])
				}
			}
			if len(seen) != len(arch) {
				t.Errorf("archive: %d in the order, %d in the hash", len(seen), len(arch))
			}
		}
		return nil
	})
	return pages
}

// result is what a command was answered.
func result[T any](t testing.TB, c interface{ Result() (T, error) }) T {
	t.Helper()
	v, err := c.Result()
	must(t, err)
	return v
}

func idOf(i *incident.Incident) incident.ID {
	if i == nil {
		return incident.ID{}
	}
	return i.ID
}

// TestAlertsInPages: the list of an incident that takes several pages is whole, whatever is asked for at a time.
func TestAlertsInPages(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	key := keyNumber(1)
	const alerts = 200
	for n := 0; n < alerts; n += 50 {
		update(t, s, joining(n, key, numbers(n, n+50)...))
	}
	i := incidentOf(t, s, key)
	for _, limit := range []int{1, 50, 64, 65, 100, 128, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			seen := map[alert.Fingerprint]int{}
			calls := 0
			trips := s.trips.Load()
			for cursor := ""; ; {
				list, next, err := s.Alerts(t.Context(), i.ID, cursor, limit)
				must(t, err)
				for _, r := range list {
					seen[r.Entry.Fingerprint]++
				}
				if calls++; next == cursor && next != "" {
					t.Errorf("the cursor %q leads to itself after %d of %d alerts", next, len(seen), alerts)
					break
				}
				if cursor = next; next == "" {
					break
				}
			}
			if len(seen) != alerts {
				t.Errorf("listed %d of %d alerts", len(seen), alerts)
			}
			t.Logf("%d calls, %d round trips", calls, s.trips.Load()-trips)
		})
	}
}

// TestPagesHold: pages and entries fit together, whatever several processes do to keys and incidents.
func TestPagesHold(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	stores := []*Store{s, another(t, server.URL(), Options{}), another(t, server.URL(), Options{})}
	keys := []incident.Key{inShard(1, 1), inShard(1, 2)}
	var n atomic.Int64
	together(6, func(w int) {
		st := stores[w%3]
		for range 150 {
			i := int(n.Add(1))
			key := keys[rand.IntN(2)]
			var alerts []int
			for a := range 300 {
				if rand.IntN(20) == 0 {
					alerts = append(alerts, a)
				}
			}
			if len(alerts) == 0 {
				continue
			}
			switch rand.IntN(10) {
			case 0, 1, 2, 3:
				send(t, st, joining(i, key, alerts...))
			case 4, 5, 6:
				c := joining(i, key, alerts...)
				c.Step = func(st incident.State) (next incident.Next, err error) {
					for _, e := range st.Entries {
						if e.Exists() && e.Firing && e.Incident == idOf(st.Incident) && st.Incident.IsOpen() {
							w := incident.EntryWrite{Was: e, Entry: e}
							w.Entry.Firing, w.Entry.End, w.Entry.LastSeen = false, st.Now, st.Now
							next.Entries = append(next.Entries, w)
						} else if e.Exists() && !e.Firing {
							next.Remove = append(next.Remove, e)
						}
					}
					return next, nil
				}
				send(t, st, c)
			default:
				var id incident.ID
				send(t, st, incident.Change{ID: hashed("c", i), Key: key, Step: func(st incident.State) (next incident.Next, err error) {
					if id = idOf(st.Incident); id.IsZero() {
						return next, nil
					}
					e := lifePolicy.Change(st.Incident, st.Now)
					_ = e.Resolve("ann", "")
					_ = e.Close("ann", "")
					e.Into(&next)
					return next, nil
				}})
				if !id.IsZero() && rand.IntN(2) == 0 {
					_ = st.Remove(context.Background(), id)
				}
			}
		}
	})
	t.Logf("%d operations, %d pages", n.Load(), checkPages(t, s))
}

// TestPagesHoldThroughLostAnswers: the same while answers to commits get lost.
func TestPagesHoldThroughLostAnswers(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	key := keyNumber(1)
	var took []int
	for n := range 60 {
		if n%3 == 0 {
			proxy.DropReplies(1+n%2, "EVALSHA")
		}
		var alerts []int
		for a := range 40 {
			alerts = append(alerts, n*40+a)
		}
		send(t, s, joining(n, key, alerts...))
		took = append(took, n)
		if n%5 == 4 {
			proxy.DropReplies(1, "EVALSHA")
			c := joining(5000+n, key, alerts[:20]...)
			c.Step = func(st incident.State) (next incident.Next, err error) {
				next.Remove = st.Entries
				return next, nil
			}
			send(t, s, c)
		}
	}
	proxy.Reset()
	t.Logf("%d pages", checkPages(t, beside))
	wantTook(t, beside, key, took...)
	list, _, err := beside.KeyEntries(t.Context(), key, "", 10000)
	must(t, err)
	if want := 60*40 - 12*20; len(list) != want {
		t.Errorf("%d entries, want %d", len(list), want)
	}
}

// TestListsWhileMoving: lists show each alert of an incident once while
// alerts go on to another one and new ones come.
func TestListsWhileMoving(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	other := another(t, server.URL(), Options{})
	key := keyNumber(1)
	const alerts = 400
	first := closedWith(t, s, key, alerts)
	var over atomic.Bool
	go func() {
		defer over.Store(true)
		for n := range 200 {
			send(t, other, joining(100+n, key, 2*n, 10_000+n, rand.IntN(alerts)))
		}
	}()
	rounds := 0
	for last := false; !last; rounds++ {
		last = over.Load()
		for _, limit := range []int{70, 100, 333, 1000} {
			seen := map[alert.Fingerprint]int{}
			for cursor := ""; ; {
				list, next, err := s.Alerts(t.Context(), first.ID, cursor, limit)
				must(t, err)
				for _, r := range list {
					seen[r.Entry.Fingerprint]++
				}
				if cursor = next; next == "" {
					break
				}
			}
			for n := range alerts {
				if seen[alertNumber(n)] != 1 {
					t.Fatalf("limit %d: alert %d was seen %d times", limit, n, seen[alertNumber(n)])
				}
			}
			if len(seen) != alerts {
				t.Fatalf("%d seen", len(seen))
			}
		}
		seen := map[alert.Fingerprint]int{}
		for cursor := ""; ; {
			list, next, err := s.KeyEntries(t.Context(), key, cursor, 30)
			must(t, err)
			for _, e := range list {
				seen[e.Fingerprint]++
			}
			if cursor = next; next == "" {
				break
			}
		}
		for n := range alerts {
			if seen[alertNumber(n)] != 1 {
				t.Fatalf("key entries: alert %d was seen %d times", n, seen[alertNumber(n)])
			}
		}
	}
	t.Logf("%d rounds", rounds)
	checkPages(t, s)
}

// TestScanInPages: several pages of several keys, in lists of any length.
func TestScanInPages(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	for k := range 3 {
		update(t, s, joining(k, inShard(byte(k/2), k), numbers(0, 150)...))
	}
	for _, limit := range []int{1, 50, 63, 64, 65, 150, 1000} {
		seen := map[store.Place]int{}
		for cursor := ""; ; {
			list, next, err := s.ScanEntries(t.Context(), cursor, limit)
			must(t, err)
			if len(list) > limit {
				t.Errorf("limit %d: %d", limit, len(list))
			}
			for _, r := range list {
				seen[store.Place{Key: r.Key, Fingerprint: r.Entry.Fingerprint}]++
			}
			if cursor = next; next == "" {
				break
			}
		}
		for p, n := range seen {
			if n != 1 {
				t.Errorf("%v %d times", p, n)
			}
		}
		if len(seen) != 450 {
			t.Errorf("limit %d: %d", limit, len(seen))
		}
	}
}

func openTargetFor(t *testing.T, url string) *Target {
	t.Helper()
	target := opened(t, OpenTarget, url, copying(t))
	t.Cleanup(func() { _ = target.Close() })
	return target
}

// TestImportRegrouped: what a copy brings again, in other groups, stays where it is.
func TestImportRegrouped(t *testing.T) {
	t.Parallel()
	server, _ := alone(t, Options{})
	target := openTargetFor(t, server.URL()+"?prefix=to")
	var units []transfer.Unit
	for k := range 3 {
		for n := range 300 {
			fp := alert.Fingerprint{0, 0, byte(n / 100), byte(n / 3), byte(n)} // many begin alike
			if n%2 == 1 {
				fp[0] = 0x80
			}
			fp[15] = byte(n >> 8)
			units = append(units, &transfer.Alert{Owner: inShard(1, k), Entry: incident.Entry{Fingerprint: fp, Source: "x", FirstSeen: testTime, LastSeen: testTime, Count: 1}, Said: row.AppendContent(nil, &alert.Alert{Source: "x"})})
		}
	}
	for _, cut := range [][2]int{{0, 250}, {130, 777}, {131, 900}, {0, 900}, {63, 65}} {
		must(t, target.Import(t.Context(), units[cut[0]:cut[1]]))
	}
	t.Logf("%d pages", checkPages(t, target.s))
	for k := range 3 {
		for _, limit := range []int{1, 50, 64, 1000} {
			seen := map[alert.Fingerprint]int{}
			for cursor := ""; ; {
				list, next, err := target.s.KeyEntries(t.Context(), inShard(1, k), cursor, limit)
				must(t, err)
				for _, e := range list {
					seen[e.Fingerprint]++
				}
				if cursor = next; next == "" {
					break
				}
			}
			if len(seen) != 300 {
				t.Errorf("key %d, limit %d: %d", k, limit, len(seen))
			}
			for fp, n := range seen {
				if n != 1 {
					t.Errorf("%s %d times", fp, n)
				}
			}
		}
	}
}

// TestArchivedTwice: an alert that comes back to its incident on another page, because
// it was forgotten meanwhile, and leaves again, is listed once.
func TestArchivedTwice(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, numbers(0, 64)...)) // the first page is full
	update(t, s, ending(2, key, numbers(0, 64)...))
	first := incidentOf(t, s, key)
	update(t, s, editing(3, first.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, joining(4, key, 0)) // goes on to a second incident: archived with the first
	second := incidentOf(t, s, key)
	update(t, s, ending(5, key, 0))
	update(t, s, editing(6, second.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(7, second.ID, func(e *incident.Edit) error { return e.Close("ann", "") }))
	must(t, s.Remove(t.Context(), second.ID)) // takes the entry along
	if e := entryOf(t, s, key, 0); e.Exists() {
		t.Fatalf("got %+v", e)
	}
	// The first one is opened again by hand, and takes the key.
	update(t, s, editing(8, first.ID, func(e *incident.Edit) error { return e.Reopen("ann", "") }))
	update(t, s, incident.Change{ID: hashed("change", 9), Key: key, Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Key: &incident.KeyState{Key: key, Rule: "test", Incident: first.ID}}, nil
	}})
	update(t, s, joining(10, key, 0)) // fires again in the first one, on a new page
	update(t, s, ending(11, key, 0))
	update(t, s, editing(12, first.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, joining(13, key, 0)) // and leaves it again
	seen := map[alert.Fingerprint]int{}
	list, _, err := s.Alerts(t.Context(), first.ID, "", 1000)
	must(t, err)
	for _, r := range list {
		seen[r.Entry.Fingerprint]++
	}
	if n := seen[alertNumber(0)]; n != 1 {
		t.Errorf("the alert is listed %d times, want once", n)
	}
}

// TestCopyOfOneThatCameBack: an alert that came back to the incident which it was
// archived with is copied, and leaves that incident again in the new store.
func TestCopyOfOneThatCameBack(t *testing.T) {
	t.Parallel()
	server, _ := alone(t, Options{})
	from, to := server.URL()+"?prefix=from", server.URL()+"?prefix=to"
	s := another(t, from, Options{})
	key := keyNumber(1)
	over := func(s *Store, n int, id incident.ID) {
		update(t, s, ending(n, key, 0))
		update(t, s, editing(n+1, id, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	}
	update(t, s, joining(1, key, 0))
	first := incidentOf(t, s, key)
	over(s, 2, first.ID)
	update(t, s, joining(5, key, 0, 1))
	second := incidentOf(t, s, key)
	over(s, 6, second.ID)
	update(t, s, editing(8, first.ID, func(e *incident.Edit) error { return e.Reopen("ann", "") }))
	update(t, s, incident.Change{ID: hashed("change", 9), Key: key, Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Key: &incident.KeyState{Key: key, Rule: "test", Incident: first.ID}}, nil
	}})
	update(t, s, joining(10, key, 0))
	must(t, s.Close())
	must(t, copyStore(t, from, to))
	s = another(t, to, Options{})
	over(s, 20, first.ID)
	update(t, s, joining(30, key, 0))
	list, _, err := s.Alerts(t.Context(), first.ID, "", 1000)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("the first incident lists %d alerts, want 1", len(list))
	}
}
