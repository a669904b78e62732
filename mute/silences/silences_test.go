package silences

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// TestParseMatcherRefusesWhatIsDear, however the expression is hidden from a first look.
func TestParseMatcherRefusesWhatIsDear(t *testing.T) {
	dear := strings.Repeat("(.?){1000}", 10)
	for _, text := range []string{`a=~"` + dear + `"`, "a=~" + dear, `"a~("=~"` + dear + `"`, `a=~"\.` + dear + `\\("`, `"~["!~"` + dear + `"`} {
		if m, err := ParseMatcher(text); err == nil {
			t.Errorf("%.20s: got %.40s, want it refused", text, m)
		}
	}
	if m, err := ParseMatcher(`"a~("=~"web.*"`); err != nil || m.Name != "a~(" {
		t.Errorf("got %v (%v), want a matcher", m, err)
	}
}

func TestMain(m *testing.M) {
	compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{})
	m.Run()
}

func logTo(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// world is a store in a bubble of synctest, and a Set over it.
type world struct {
	*testing.T
	st  *embedded.Store
	set *Set
}

// inMemory is a store that is closed when the test, or its bubble, ends.
func inMemory(t *testing.T) *embedded.Store {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	return st
}

func inBubble(t *testing.T, do func(t *testing.T, w *world)) {
	t.Helper()
	testbubble.Test(t, func(t *testing.T) {
		st := inMemory(t)
		do(t, &world{t, st, New(st, logTo(t))})
	})
}

// on returns a silence of a host that begins and ends so far from now.
func on(host string, from, to time.Duration) *Silence {
	return &Silence{Matchers: []Matcher{{Name: "host", Value: host, IsEqual: true}}, StartsAt: time.Now().Add(from), EndsAt: time.Now().Add(to), CreatedBy: "ann", Comment: "why not"}
}

func (w *world) put(s *Set, one *Silence) string {
	w.Helper()
	id, err := s.Put(w.Context(), one)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) expire(s *Set, id string) {
	w.Helper()
	if err := s.Expire(w.Context(), id); err != nil {
		w.Fatal(err)
	}
}

func host(name string) match.Labels { return match.New(map[string]string{"host": name, "job": "node"}) }

func muted(s *Set, name string) bool { _, yes := s.Muted(time.Now(), host(name)); return yes }

// TestMuted says who, why and until when.
func TestMuted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		short, long := on("db", 0, time.Hour), on("db", 0, 2*time.Hour)
		long.CreatedBy, long.Comment = "bob", "first line\nsecond "+strings.Repeat("ü", 400)
		w.put(w.set, short)
		id := w.put(w.set, long)
		w.put(w.set, on("web", time.Minute, time.Hour))
		h, yes := w.set.Muted(time.Now(), host("db"))
		if !yes || h.By != "silence" || !h.Until.Equal(long.EndsAt.Truncate(time.Millisecond)) {
			t.Errorf("got %+v, %v; want the one that ends last", h, yes)
		}
		if want := "silence " + id + " by bob: first line second ü"; !strings.HasPrefix(h.Text, want) || len(h.Text) > 400 || strings.Contains(h.Text, "\n") {
			t.Errorf("got %q, want it to begin with %q, in one short line", h.Text, want)
		}
		if muted(w.set, "web") {
			t.Error("a silence hides before it begins")
		}
		if muted(w.set, "mail") {
			t.Error("a silence hides another host")
		}
		time.Sleep(time.Minute)
		if !muted(w.set, "web") {
			t.Error("a silence that has begun hides nothing")
		}
		time.Sleep(2*time.Hour - time.Minute - time.Millisecond)
		if !muted(w.set, "db") || muted(w.set, "web") {
			t.Error("a millisecond before the end: want it to hide still, and the other one not")
		}
		time.Sleep(time.Millisecond)
		if muted(w.set, "db") {
			t.Error("it hides at its end")
		}
	})
}

// TestTwoGatewaysAgree after Agreement, and the writer at once.
func TestTwoGatewaysAgree(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		other := New(w.st, logTo(t))
		if muted(other, "db") || muted(w.set, "db") {
			t.Fatal("hidden without a silence")
		}
		id := w.put(w.set, on("db", 0, time.Hour))
		if !muted(w.set, "db") {
			t.Error("the writer does not know at once")
		}
		time.Sleep(Agreement)
		if !muted(other, "db") {
			t.Error("the other gateway does not know in time")
		}
		w.expire(other, id)
		if muted(other, "db") {
			t.Error("expired, and still hidden where it was expired")
		}
		time.Sleep(Agreement)
		if muted(w.set, "db") {
			t.Error("expired elsewhere, and still hidden")
		}
	})
}

// counted counts how often silences are read.
type counted struct {
	Store
	reads, fails int
}

func (c *counted) Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error) {
	if c.reads++; c.fails > 0 {
		c.fails--
		return nil, store.ErrUnavailable
	}
	return c.Store.Documents(ctx, typ, after, limit)
}

func TestReadsOnceASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		st := &counted{Store: w.st}
		set := New(st, logTo(t))
		w.put(w.set, on("db", 0, time.Hour))
		for range 100 {
			muted(set, "db")
			time.Sleep(50 * time.Millisecond)
		}
		if st.reads != 5 {
			t.Errorf("100 questions in 5 s: %d reads, want 5", st.reads)
		}
		// While the store is away what was known holds, and asking costs nothing.
		st.reads, st.fails = 0, 1000
		time.Sleep(Agreement)
		for range 10 {
			if !muted(set, "db") {
				t.Fatal("a known silence is forgotten while the store is away")
			}
		}
		if _, err := set.View(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want that it is not fresh", err)
		}
		if _, err := set.List(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want no list", err)
		}
		if st.reads != 1 {
			t.Errorf("%d reads of a store that is away, want 1", st.reads)
		}
		st.fails = 0
		time.Sleep(Agreement)
		if v, err := set.View(t.Context()); err != nil || len(v.Silencing(time.Now(), host("db"))) != 1 {
			t.Errorf("the store is back: got %v", err)
		}
		var nothing *View
		if _, yes := nothing.Muted(time.Now(), host("db")); yes {
			t.Error("nothing is known, and hides")
		}
	})
}

func TestEdit(t *testing.T) {
	type edit struct {
		name   string
		from   time.Duration // how far the start is from now
		change func(*Silence)
		// same: it keeps its id. was is the state of the old one afterwards.
		same bool
		was  string
		told bool
	}
	for _, e := range []edit{
		{"a later end", 0, func(s *Silence) { s.EndsAt = s.EndsAt.Add(time.Hour) }, true, Active, false},
		{"another comment", 0, func(s *Silence) { s.Comment, s.CreatedBy = "because", "bob" }, true, Active, false},
		{"an earlier end", 0, func(s *Silence) { s.EndsAt = s.EndsAt.Add(-time.Minute) }, true, Active, true},
		{"other matchers", 0, func(s *Silence) { s.Matchers[0].Value = "web" }, false, Expired, true},
		{"another start of an active one", 0, func(s *Silence) { s.StartsAt = s.StartsAt.Add(2 * time.Minute) }, false, Expired, true},
		{"another start of a pending one", time.Hour, func(s *Silence) { s.StartsAt = s.StartsAt.Add(-time.Minute) }, true, Pending, false},
		{"a pending one with an earlier end", time.Hour, func(s *Silence) { s.EndsAt = s.EndsAt.Add(-time.Minute) }, true, Pending, false},
		{"a pending one that begins in the past", time.Hour, func(s *Silence) { s.StartsAt = time.Now().Add(-time.Hour) }, false, Expired, false},
		{"a pending one with other matchers", time.Hour, func(s *Silence) { s.Matchers[0].IsRegex = true }, false, Expired, false},
	} {
		t.Run(e.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				told := 0
				w.set.OnChange(func(context.Context) error { told++; return nil })
				old := w.put(w.set, on("db", e.from, e.from+2*time.Hour))
				time.Sleep(time.Minute)
				one, err := w.set.Get(t.Context(), old)
				if err != nil {
					t.Fatal(err)
				}
				e.change(one)
				id := w.put(w.set, one)
				if (id == old) != e.same {
					t.Errorf("the same id: %v, want %v", id == old, e.same)
				}
				now, err := w.set.Get(t.Context(), id)
				if err != nil || now.Comment != one.Comment || !slices.Equal(now.Matchers, one.Matchers) || !now.EndsAt.Equal(one.EndsAt) || !now.UpdatedAt.Equal(moment(time.Now())) {
					t.Errorf("got %+v, %v, want %+v", now, err, one)
				}
				if now.StartsAt.Before(moment(time.Now())) && !e.same {
					t.Errorf("the new one begins at %s, which is in the past", now.StartsAt)
				}
				was, err := w.set.Get(t.Context(), old)
				if err != nil || was.State(time.Now()) != e.was {
					t.Errorf("the old one is %+v, %v; want it %s", was, err, e.was)
				}
				if (told == 1) != e.told || told > 1 {
					t.Errorf("told %d times, want it told: %v", told, e.told)
				}
			})
		})
	}
}

// TestTellsWhatFires after an end before time, also if the gateway dies between
// the end and the telling, or the telling fails.
func TestTellsWhatFires(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		tellings, fail := 0, errors.New("no")
		told := func() int { mu.Lock(); defer mu.Unlock(); return tellings }
		tell := func(context.Context) error { mu.Lock(); defer mu.Unlock(); tellings++; return fail }
		ctx, stop := context.WithCancel(t.Context())
		other := New(w.st, logTo(t))
		w.set.OnChange(tell)
		other.OnChange(tell)
		done := make(chan struct{})
		go func() { defer close(done); _ = other.Run(ctx) }() // it returns nil

		pending := w.put(w.set, on("db", time.Hour, 2*time.Hour))
		w.expire(w.set, pending)
		if told() != 0 {
			t.Error("the end of a silence that hid nothing is told")
		}
		id := w.put(w.set, on("db", 0, time.Hour))
		w.expire(w.set, id)
		if told() != 1 {
			t.Fatalf("told %d times, want once", told())
		}
		time.Sleep(tellAgain + lookEach)
		synctest.Wait()
		if told() < 2 {
			t.Fatal("it failed, and is not tried again")
		}
		mu.Lock()
		fail = nil
		mu.Unlock()
		time.Sleep(lookEach)
		synctest.Wait()
		before := told()
		time.Sleep(time.Hour)
		synctest.Wait()
		if told() != before {
			t.Errorf("told %d times more after it worked", told()-before)
		}
		w.expire(w.set, id)
		if told() != before {
			t.Error("the end of what is over is told")
		}
		stop()
		<-done
	})
}

// TestNewerNoteStays: what ended while the telling was under way is told too.
func TestNewerNoteStays(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		other := New(w.st, logTo(t))
		told := 0
		a, b := w.put(w.set, on("db", 0, time.Hour)), w.put(w.set, on("web", 0, time.Hour))
		other.OnChange(func(context.Context) error { told++; return errors.New("died here") })
		w.set.OnChange(func(context.Context) error {
			told++
			if told == 1 {
				w.expire(other, b)
			}
			return nil
		})
		w.expire(w.set, a)
		if _, err := w.st.Document(t.Context(), documentEnded, endedID); err != nil || told != 2 {
			t.Errorf("got %v after %d tellings, want the note of the second one to be there", err, told)
		}
		time.Sleep(tellAgain)
		w.set.resume(t.Context())
		if _, err := w.st.Document(t.Context(), documentEnded, endedID); !errors.Is(err, incident.ErrNotFound) || told != 3 {
			t.Errorf("got %v after %d tellings, want it done", err, told)
		}
	})
}

func TestRetention(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		id := w.put(w.set, on("db", 0, time.Hour))
		time.Sleep(time.Hour + Retention - time.Second)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.set.Run(ctx) }() // it returns nil
		if list, err := w.set.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("before the retention is over: %v, %v", list, err)
		}
		time.Sleep(time.Second)
		if list, err := w.set.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("after it: %v, %v", list, err)
		}
		if _, err := w.set.Get(t.Context(), id); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("after it: got %v", err)
		}
		time.Sleep(cleanEach)
		synctest.Wait()
		if _, err := w.st.Document(t.Context(), Document, id); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("it is still stored: %v", err)
		}
		stop()
		<-done
	})
}

// TestUnreadable: a document that is no silence hides nothing and hinders none.
func TestUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for id, data := range map[string]string{"a": `[]`, "b": `{"matchers":[]}`, "c": `{"matchers":[{"name":"x","value":"(","isRegex":true}]}`} {
			if _, err := w.st.PutDocument(t.Context(), incident.Document{Type: Document, ID: id, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		w.put(w.set, on("db", 0, time.Hour))
		if list, err := w.set.List(t.Context()); err != nil || len(list) != 1 || !muted(w.set, "db") {
			t.Errorf("got %v, %v, want the one", list, err)
		}
	})
}

// TestPutOnce: what is said again with the same message makes no second silence, also at
// another gateway at the same moment, and finishes what the first one did not.
func TestPutOnce(t *testing.T) {
	st := inMemory(t)
	sets := []*Set{New(st, logTo(t)), New(st, logTo(t))}
	for round := range 10 {
		ids := make(chan string)
		for n := range 4 {
			go func() {
				id, err := sets[n%2].PutOnce(context.Background(), on("db", 0, time.Hour), fmt.Sprint(round))
				if err != nil {
					t.Error(err)
				}
				ids <- id
			}()
		}
		first := <-ids
		for range 3 {
			if id := <-ids; id != first {
				t.Errorf("round %d: got %s and %s", round, first, id)
			}
		}
	}
	list, err := New(st, logTo(t)).List(t.Context())
	if err != nil || len(list) != 10 {
		t.Fatalf("got %d silences, %v; want 10", len(list), err)
	}
	// A change that makes a new silence of another one.
	old := list[0].ID
	change := on("other", 0, time.Hour)
	change.ID = old
	made, err := sets[0].PutOnce(t.Context(), change, "change")
	if err != nil || made == old {
		t.Fatalf("got %s, %v; want a new one", made, err)
	}
	// The gateway died before the old one had expired.
	again := (&world{t, st, sets[1]}).revive(old)
	if id, err := sets[1].PutOnce(t.Context(), change, "change"); err != nil || id != made {
		t.Errorf("got %s, %v; want %s again", id, err, made)
	}
	if one, err := sets[1].Get(t.Context(), old); err != nil || one.State(st.Now()) != Expired || again.State(st.Now()) == Expired {
		t.Errorf("got %+v, %v; want it expired", one, err)
	}
}

// revive makes a silence that has expired active again.
func (w *world) revive(id string) *Silence {
	w.Helper()
	one, err := w.set.Get(w.Context(), id)
	if err == nil {
		one.EndsAt = w.st.Now().Add(time.Hour)
		err = w.set.write(w.Context(), one)
	}
	if err != nil {
		w.Fatal(err)
	}
	return one
}

// TestConcurrentWriters lose nothing.
func TestConcurrentWriters(t *testing.T) {
	st := inMemory(t)
	sets := []*Set{New(st, logTo(t)), New(st, logTo(t))}
	w := &world{t, st, sets[0]}
	first := w.put(sets[0], on("db", 0, time.Hour))
	done := make(chan error)
	for n := range 8 {
		go func() {
			one := on("db", 0, time.Hour)
			one.ID, one.StartsAt, one.Comment = first, time.Now(), fmt.Sprint(n)
			if n%2 == 0 {
				one.ID = ""
			}
			_, err := sets[n%2].Put(context.Background(), one)
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if list, err := New(st, logTo(t)).List(t.Context()); err != nil || len(list) < 5 {
		t.Errorf("got %d silences, %v; want the first and the four new ones", len(list), err)
	}
}

func TestInvalid(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			change func(*Silence)
			field  string
		}{
			"no matchers":       {func(s *Silence) { s.Matchers = nil }, "matchers"},
			"too many":          {func(s *Silence) { s.Matchers = make([]Matcher, MaxMatchers+1) }, "matchers"},
			"no name":           {func(s *Silence) { s.Matchers[0].Name = "" }, "matchers[0]"},
			"empty":             {func(s *Silence) { s.Matchers[0].Value = "" }, "matchers"},
			"matches empty":     {func(s *Silence) { s.Matchers[0] = Matcher{"a", ".*", true, true} }, "matchers"},
			"not equal":         {func(s *Silence) { s.Matchers[0] = Matcher{"a", "b", false, false} }, "matchers"},
			"no regex":          {func(s *Silence) { s.Matchers[0] = Matcher{"a", "(", true, true} }, "matchers[0]"},
			"a huge regex":      {func(s *Silence) { s.Matchers[0] = Matcher{"a", "((x{100}){10}){9}", true, true} }, "matchers[0]"},
			"a long regex":      {func(s *Silence) { s.Matchers[0] = Matcher{"a", strings.Repeat("x", 1025), true, true} }, "matchers[0]"},
			"not UTF-8":         {func(s *Silence) { s.Matchers[0].Value = "\xff" }, "matchers[0]"},
			"the wrong way":     {func(s *Silence) { s.StartsAt = s.EndsAt }, ""},
			"in the past":       {func(s *Silence) { s.StartsAt, s.EndsAt = s.StartsAt.Add(-3*time.Hour), s.EndsAt.Add(-3*time.Hour) }, ""},
			"no end":            {func(s *Silence) { s.EndsAt = time.Time{} }, ""},
			"far in the future": {func(s *Silence) { s.EndsAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "endsAt"},
			"nobody":            {func(s *Silence) { s.CreatedBy = " " }, "createdBy"},
			"a control name":    {func(s *Silence) { s.CreatedBy = "a\x1b[2J" }, "createdBy"},
			"no comment":        {func(s *Silence) { s.Comment = "" }, "comment"},
			"a long comment":    {func(s *Silence) { s.Comment = strings.Repeat("x", 1<<15) }, "comment"},
			"annotations":       {func(s *Silence) { s.Annotations = map[string]string{"": "x"} }, "annotations"},
		} {
			one := on("db", 0, time.Hour)
			c.change(one)
			_, err := w.set.Put(t.Context(), one)
			var bad *InvalidError
			if !errors.As(err, &bad) || bad.Field != c.field || bad.Reason == "" {
				t.Errorf("%s: got %v, want a mistake in %q", name, err, c.field)
			}
		}
		for _, id := range []string{"x", "00000000-0000-0000-0000-000000000000", "../silence", "urn:uuid:00000000-0000-0000-0000-000000000000"} {
			one := on("db", 0, time.Hour)
			one.ID = id
			if _, err := w.set.Put(t.Context(), one); !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("put %q: got %v", id, err)
			}
			if err := w.set.Expire(t.Context(), id); !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("expire %q: got %v", id, err)
			}
		}
		if list, err := w.set.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("something was stored: %v, %v", list, err)
		}
	})
}

// TestLikeAlertmanager does random things to this package and to the module's
// own silences, and compares what there is then.
func TestLikeAlertmanager(t *testing.T) {
	for seed := range uint64(12) {
		inBubble(t, func(t *testing.T, w *world) {
			theirs, err := silence.New(silence.Options{Retention: Retention, Metrics: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 1))
			var ids [][2]string // ours, theirs
			for range 30 {
				time.Sleep(time.Duration(r.IntN(5))*7*time.Minute + time.Millisecond) // at the very end of one, theirs is still active
				now := moment(time.Now())
				one := on(fmt.Sprint(r.IntN(2)), 0, 0)
				one.StartsAt = now.Add(time.Duration(r.IntN(5)-2) * 10 * time.Minute)
				one.EndsAt = one.StartsAt.Add(time.Duration(r.IntN(6)) * 10 * time.Minute)
				if one.EndsAt.Before(now) || !one.StartsAt.Before(one.EndsAt) {
					continue // their API refuses that before it comes to this
				}
				at := r.IntN(len(ids) + 2)
				if at < len(ids) && r.IntN(3) == 0 {
					w.expire(w.set, ids[at][0])
					if err := theirs.Expire(t.Context(), ids[at][1]); err != nil {
						t.Fatal(err)
					}
					continue
				}
				var pair [2]string
				if at < len(ids) {
					pair = ids[at]
					was, err := w.set.Get(t.Context(), pair[0])
					if err != nil {
						t.Fatal(err)
					}
					if r.IntN(2) == 0 {
						one.Matchers, one.StartsAt = was.Matchers, was.StartsAt
					}
					if !one.StartsAt.Before(one.EndsAt) {
						continue
					}
				}
				p := &silencepb.Silence{Id: pair[1], StartsAt: timestamppb.New(one.StartsAt), EndsAt: timestamppb.New(one.EndsAt), CreatedBy: one.CreatedBy, Comment: one.Comment,
					MatcherSets: []*silencepb.MatcherSet{{Matchers: []*silencepb.Matcher{{Name: "host", Pattern: one.Matchers[0].Value}}}}}
				if err := theirs.Set(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				one.ID = pair[0]
				id := w.put(w.set, one)
				if (id == pair[0]) != (p.Id == pair[1]) {
					t.Fatalf("seed %d: ours keeps its id: %v, theirs: %v", seed, id == pair[0], p.Id == pair[1])
				}
				if id != pair[0] {
					ids = append(ids, [2]string{id, p.Id})
				}
			}
			time.Sleep(time.Millisecond)
			for _, pair := range ids {
				ours, err := w.set.Get(t.Context(), pair[0])
				if err != nil {
					t.Fatal(err)
				}
				their, _, err := theirs.Query(t.Context(), silence.QIDs(pair[1]))
				if err != nil || len(their) != 1 {
					t.Fatal(their, err)
				}
				state := string(silence.CurrentState(their[0].StartsAt.AsTime(), their[0].EndsAt.AsTime()))
				if ours.State(time.Now()) != state || !ours.StartsAt.Equal(their[0].StartsAt.AsTime()) || !ours.EndsAt.Equal(their[0].EndsAt.AsTime()) ||
					ours.Matchers[0].Value != their[0].MatcherSets[0].Matchers[0].Pattern {
					t.Errorf("seed %d: got %+v (%s), want %+v (%s)", seed, ours, ours.State(time.Now()), their[0], state)
				}
			}
			if len(ids) == 0 {
				t.Errorf("seed %d did nothing", seed)
			}
		})
	}
}

// FuzzParse: whatever comes is refused with a reason or can be stored, read back
// and asked, in no time.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-11-21T03:00:00.000Z","endsAt":"2036-11-21T03:00:00.000Z","createdBy":"ann","comment":"c"}`,
		`{"id":"00000000-0000-0000-0000-000000000000","matchers":[{"name":"a b","value":"(a|b)+.{3,9}","isRegex":true,"isEqual":false},{"name":"x","value":"y"}],"endsAt":"9999-12-31T23:59:59+14:00","createdBy":"a","comment":"c","annotations":{"k":"v"}}`,
		`{"matchers":[{"name":"a","value":"((x{1000}){1000}){1000}","isRegex":true}],"endsAt":"2036-11-21T03:00:00Z"}`,
		`{"matchers":null,"endsAt":0}`, `[]`, `{"matchers":[[]]}`, `"`, ``, `{"endsAt":"yesterday"}`, `{"matchers":[{}],"matchers":[{}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			if bad := (*InvalidError)(nil); !errors.As(err, &bad) || bad.Reason == "" {
				t.Errorf("%q: got %v, want a reason", body, err)
			}
			return
		}
		now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
		if s.check(now) != nil {
			return
		}
		if s.compiled.Matches(nil) {
			t.Errorf("%q hides what has no labels", body)
		}
		st := &memory{}
		set := &Set{store: st, log: slog.New(slog.DiscardHandler)}
		s.ID = "00000000-0000-4000-8000-000000000000"
		if err := set.write(t.Context(), s); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := decode(st.doc)
		if err != nil {
			t.Fatalf("%q is stored as %s, which cannot be read: %v", body, st.doc.Data, err)
		}
		if !slices.Equal(again.Matchers, s.Matchers) || !again.StartsAt.Equal(s.StartsAt) || !again.EndsAt.Equal(s.EndsAt) || again.Comment != s.Comment || again.CreatedBy != s.CreatedBy {
			t.Errorf("%q: got %+v back from %+v", body, again, s)
		}
		again.Hits(match.New(map[string]string{again.Matchers[0].Name: again.Matchers[0].Value}))
	})
}

// memory keeps one document.
type memory struct {
	Store
	doc incident.Document
}

func (m *memory) PutDocument(_ context.Context, d incident.Document) (uint64, error) {
	m.doc = d
	return 1, nil
}
