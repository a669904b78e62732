package live

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

var policy = incident.Policy{Severities: []string{"critical", "warning", "info"}}

// fixture is a Live on a store in memory.
type fixture struct {
	t testing.TB
	// store is that of other processes, told the one that Live watches.
	store, told store.Store
	live        *Live
	changes     int
}

func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	return on(t, st, change...)
}

func on(t testing.TB, st store.Store, change ...func(*Options)) *fixture {
	t.Helper()
	o := Options{Store: st, Severities: func() []string { return policy.Severities }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	l := New(o)
	return &fixture{t: t, store: st, told: l.Watch(st), live: l}
}

// run runs the Live until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.live.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

func (f *fixture) id() [16]byte {
	f.changes++
	sum := sha256.Sum256(fmt.Append(nil, f.changes))
	return [16]byte(sum[:16])
}

// open opens an incident through st.
func (f *fixture) open(st store.Store, severity string, edit ...func(*incident.Edit)) *incident.Incident {
	f.t.Helper()
	var opened *incident.Incident
	key := incident.Key(f.id())
	err := st.Update(context.Background(), []incident.Change{{ID: f.id(), Key: key, Step: func(s incident.State) (next incident.Next, err error) {
		e := policy.Open(incident.Opening{ID: s.NewID(0), Key: key, Rule: "test", Title: severity + " trouble", Class: incident.Classification{Severity: severity, Priority: "P2", Service: "db"},
			StartedAt: s.Now, By: "ann"}, s.Now)
		for _, do := range edit {
			do(e)
		}
		opened = e.Incident
		next.Key = &incident.KeyState{Key: key, Rule: "test", Incident: e.Incident.ID}
		e.Into(&next)
		return next, nil
	}}})
	if err != nil {
		f.t.Fatal(err)
	}
	return opened
}

// edit changes an incident through st.
func (f *fixture) edit(st store.Store, id incident.ID, do func(*incident.Edit) error) {
	f.t.Helper()
	err := st.Update(context.Background(), []incident.Change{{ID: f.id(), Incident: id, Step: func(s incident.State) (next incident.Next, err error) {
		e := policy.Change(s.Incident, s.Now)
		if err := do(e); err != nil {
			return next, err
		}
		e.Into(&next)
		return next, nil
	}}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func acknowledge(e *incident.Edit) error { return e.Acknowledge("bob", "") }
func resolve(e *incident.Edit) error     { return e.Resolve("bob", "") }

func (f *fixture) follow(of incident.ID, after string) *Stream {
	f.t.Helper()
	s, err := f.live.Follow(of, after)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Stop)
	return s
}

func (f *fixture) board(q Query) Page {
	f.t.Helper()
	p, err := f.live.Board(context.Background(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// said are the events that wait, in words.
func said(s *Stream) (out []string) {
	for len(s.c) > 0 {
		b := <-s.C
		if b.Lost {
			out = append(out, "lost")
		}
		for _, e := range b.Events {
			out = append(out, fmt.Sprintf("%s %s v%d", e.Row.Reference, e.Row.State, e.Row.Version))
		}
	}
	slices.Sort(out)
	return out
}

func (f *fixture) want(what string, got []string, want ...string) {
	f.t.Helper()
	if !slices.Equal(got, want) {
		f.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// hears fails unless just that is said.
func (f *fixture) hears(what string, s *Stream, want ...string) {
	f.t.Helper()
	slices.Sort(want) // what happens at a time has no order
	f.want(what, said(s), want...)
}

// settle lets changes be passed on.
func settle() {
	time.Sleep(2 * gather)
	synctest.Wait()
}

func TestFollow(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		one := f.open(f.told, "critical") // nobody listens yet
		all := f.follow(incident.ID{}, "")
		settle()
		two := f.open(f.told, "info")
		own := f.follow(two.ID, "")
		began := time.Now()
		f.edit(f.told, one.ID, acknowledge)
		b := <-all.C
		if took := time.Since(began); took > time.Second || len(b.Events) == 0 {
			t.Errorf("got %v after %s", b, took)
		}
		settle()
		said(all)
		f.edit(f.told, one.ID, func(e *incident.Edit) error { return e.Note("bob", "looks bad", time.Time{}) })
		f.edit(f.told, one.ID, resolve)
		f.edit(f.told, two.ID, acknowledge)
		settle()
		f.hears("all", all, one.Reference+" resolved v4", two.Reference+" acknowledged v2")
		f.hears("of one", own, two.Reference+" acknowledged v2", two.Reference+" open v1")
	})
}

// TestFollowFirst: who follows before there is a board misses nothing.
func TestFollowFirst(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		s := f.follow(incident.ID{}, "")
		one := f.open(f.told, "critical")
		settle()
		f.hears("before the board", s, one.Reference+" open v1")
		g := newFixture(t)
		s = g.follow(incident.ID{}, "")
		two := g.open(g.told, "critical")
		g.board(Query{}) // it is made by somebody else
		g.run()
		settle()
		g.hears("while the board is made", s, two.Reference+" open v1")
	})
}

// TestComeBack: who comes back hears what has happened meanwhile, or that it is
// too much.
func TestComeBack(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		s := f.follow(incident.ID{}, "")
		settle()
		one := f.open(f.told, "critical")
		b := <-s.C
		s.Stop()
		last := b.Events[0].ID
		f.edit(f.told, one.ID, acknowledge)
		settle()
		f.hears("what was missed", f.follow(incident.ID{}, last), one.Reference+" acknowledged v2")
		for _, id := range []string{"x", "-", "other-1", f.live.feed.epoch + "-99", f.live.feed.epoch + "-x"} {
			f.hears(id, f.follow(incident.ID{}, id), "lost")
		}
		for range eventsKept {
			f.open(f.told, "info")
		}
		settle()
		f.hears("too long ago", f.follow(incident.ID{}, last), "lost")
	})
}

// TestSlow: who does not keep up is told so, and what waits for him is bounded.
func TestSlow(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		slow, quick := f.follow(incident.ID{}, ""), f.follow(incident.ID{}, "")
		settle()
		one := f.open(f.told, "critical")
		settle()
		for n := range batchesKept {
			said(quick)
			f.edit(f.told, one.ID, func(e *incident.Edit) error { return e.Note("bob", fmt.Sprint(n), time.Time{}) })
			settle()
		}
		f.hears("slow", slow, "lost")
		f.hears("quick", quick, fmt.Sprintf("%s open v%d", one.Reference, batchesKept+1))
		f.edit(f.told, one.ID, acknowledge)
		settle()
		f.hears("after that", slow, fmt.Sprintf("%s acknowledged v%d", one.Reference, batchesKept+2))
		if n := testutil.ToFloat64(f.live.metrics.lost); n != 1 {
			t.Errorf("lost %v times, want 1", n)
		}
	})
}

func TestManyAndDrain(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		var all []*Stream
		for range streamsKept {
			all = append(all, f.follow(incident.ID{}, ""))
		}
		if _, err := f.live.Follow(incident.ID{}, ""); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want that it is full", err)
		}
		all[0].Stop()
		all[0].Stop() // twice is once
		f.follow(incident.ID{}, "")
		if n := testutil.ToFloat64(f.live.metrics.streams); n != streamsKept {
			t.Errorf("%v streams, want %d", n, streamsKept)
		}
		f.live.Drain()
		for _, s := range all {
			if _, ok := <-s.C; ok {
				t.Fatal("a stream goes on after Drain")
			}
		}
		if _, err := f.live.Follow(incident.ID{}, ""); !errors.Is(err, ErrDrained) {
			t.Errorf("got %v, want that it is over", err)
		}
	})
}

// TestBoard: the most urgent first, and what the filters say.
func TestBoard(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		due := map[string]time.Duration{}
		f := newFixture(t, func(o *Options) {
			o.Duty = func(i *incident.Incident, _ time.Time) (string, time.Time) {
				if d := due[i.Title]; d != 0 {
					return "call", i.OpenedAt.Add(d)
				}
				return "", time.Time{}
			}
		})
		f.run()
		named := func(title, severity string, edit ...func(*incident.Edit)) *incident.Incident {
			time.Sleep(time.Second)
			return f.open(f.told, severity, append(edit, func(e *incident.Edit) { e.Incident.Title = title })...)
		}
		priority := func(p string) func(*incident.Edit) { return func(e *incident.Edit) { e.Incident.Priority = p } }
		due["late"], due["due"] = time.Hour, time.Minute
		named("info", "info")
		acknowledged := named("acknowledged", "critical")
		f.edit(f.told, acknowledged.ID, acknowledge)
		named("old", "critical")
		named("new", "critical", func(e *incident.Edit) { e.Incident.Service, e.Incident.Hosts = "mail", []string{"MX-1"} })
		named("late", "critical")
		named("due", "critical")
		named("first", "info", priority("P1"))
		snoozed := named("snoozed", "critical", priority("P1"))
		f.edit(f.told, snoozed.ID, func(e *incident.Edit) error { return e.Snooze("bob", e.Now().Add(time.Hour), "later") })
		over := named("over", "critical")
		f.edit(f.told, over.ID, resolve)
		titles := func(q Query) (out []string) {
			for _, r := range f.board(q).Rows {
				out = append(out, r.Title)
			}
			return out
		}
		all := []string{"first", "due", "late", "old", "new", "acknowledged", "info", "snoozed"}
		f.want("built", titles(Query{}), all...)
		before := f.board(Query{}).Version
		f.edit(f.told, snoozed.ID, func(e *incident.Edit) error { return e.Unsnooze("bob", "") })
		f.edit(f.told, over.ID, func(e *incident.Edit) error { return e.Reopen("bob", "not over") })
		f.edit(f.told, acknowledged.ID, resolve)
		settle()
		f.want("kept up to date", titles(Query{}), "snoozed", "first", "due", "late", "old", "new", "over", "info")
		if after := f.board(Query{}).Version; after <= before {
			t.Errorf("version %d after %d", after, before)
		}
		f.want("severity", titles(Query{Severities: []string{"info"}}), "first", "info")
		f.want("state", titles(Query{States: []string{"acknowledged"}}))
		f.want("priority and offset", titles(Query{Priorities: []string{"P1"}, Offset: 1}), "first")
		f.want("a page", titles(Query{Offset: 2, Limit: 2}), "due", "late")
		f.want("host", titles(Query{Text: "mx-1"}), "new")
		f.want("service", titles(Query{Services: []string{"mail"}}), "new")
		f.edit(f.told, over.ID, acknowledge)
		settle()
		f.want("who", titles(Query{Who: "bob"}), "over")
		p := f.board(Query{Limit: 1, Severities: []string{"critical"}})
		if p.Total != 6 || p.Open != 8 || p.States["acknowledged"] != 1 || p.States["open"] != 5 || p.Severities["critical"] != 6 || len(p.Rows) != 1 {
			t.Errorf("got %+v", p)
		}
	})
}

// TestReadAgain: what was committed past the Live is found out, and told.
func TestReadAgain(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.run()
		s := f.follow(incident.ID{}, "")
		one := f.open(f.told, "critical")
		settle()
		said(s)
		version := f.board(Query{}).Version
		time.Sleep(2 * readAgain)
		f.hears("nothing happens", s)
		if got := f.board(Query{}).Version; got != version {
			t.Errorf("version %d, want %d as before", got, version)
		}
		two := f.open(f.store, "info")
		f.edit(f.store, one.ID, resolve)
		time.Sleep(readAgain + look)
		settle()
		f.hears("told", s, one.Reference+" resolved v2", two.Reference+" open v1")
		if p := f.board(Query{}); p.Total != 1 || p.Rows[0].ID != two.ID {
			t.Errorf("got %+v", p)
		}
	})
}

// TestBegins: the first board is there before anybody asks for it.
func TestBegins(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.open(f.store, "critical")
		reads := &counted{Store: f.store}
		g := on(t, reads)
		g.run()
		settle()
		if got := reads.n.Load(); got != 1 {
			t.Fatalf("read %d times after the start, want once", got)
		}
		if p := g.board(Query{}); p.Total != 1 || reads.n.Load() != 1 {
			t.Errorf("got %+v after %d readings, want one row and none more", p, reads.n.Load())
		}
	})
}

// TestSeesWhatIsBeingRead: whoever asks while a change is being put on the board gets
// the board with it.
func TestSeesWhatIsBeingRead(t *testing.T) {
	f := newFixture(t)
	st := &held{Store: f.store, reads: make(chan struct{}), goOn: make(chan struct{})}
	g := on(t, st)
	st.asked(func() { g.board(Query{}) })
	for n := range 50 {
		g.open(g.told, "critical")
		g.live.heard(nil) // all are read again, which takes a while
		var done sync.WaitGroup
		done.Go(func() { g.live.round(t.Context()) })
		<-st.reads
		seen := make(chan Page, 1)
		done.Go(func() { seen <- g.board(Query{}) })
		runtime.Gosched()
		st.goOn <- struct{}{}
		if p := <-seen; p.Total != n+1 {
			t.Fatalf("the board has %d rows, want %d", p.Total, n+1)
		}
		done.Wait()
	}
}

// held is a store whose lists of incidents wait until they may go on.
type held struct {
	store.Store
	reads, goOn chan struct{}
}

func (h *held) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	h.reads <- struct{}{}
	<-h.goOn
	return h.Store.Incidents(ctx, q)
}

// asked lets do list once.
func (h *held) asked(do func()) {
	var done sync.WaitGroup
	done.Go(do)
	<-h.reads
	h.goOn <- struct{}{}
	done.Wait()
}

// counted is a store that counts how often incidents are listed.
type counted struct {
	store.Store
	n atomic.Int64
}

func (c *counted) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	c.n.Add(1)
	return c.Store.Incidents(ctx, q)
}

// TestRests: a board that nobody looks at is brought up to date now and then, and
// before it is shown; one that somebody follows always is.
func TestRests(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		reads := &counted{Store: f.store}
		g := on(t, reads)
		g.run()
		one := g.open(g.told, "critical")
		g.board(Query{})
		s := g.follow(incident.ID{}, "")
		version := func() uint64 { return g.live.snapshot.Load().Version }
		time.Sleep(2 * unused)
		said(s)
		g.edit(g.told, one.ID, acknowledge)
		settle()
		g.hears("followed", s, one.Reference+" acknowledged v2")
		s.Stop()
		time.Sleep(unused + look)
		reads.n.Store(0)
		before := version()
		g.edit(g.told, one.ID, func(e *incident.Edit) error { return e.Unacknowledge("bob", "") })
		settle()
		if version() != before {
			t.Error("a change is put on the board at once although nobody looks")
		}
		time.Sleep(restRound + look)
		if version() == before {
			t.Error("a change is not put on the board")
		}
		before = version()
		g.edit(g.told, one.ID, resolve)
		g.open(g.told, "info")
		if got, err := g.live.Version(t.Context()); err != nil || got == before {
			t.Errorf("got version %d, %v, want another one after a rest", got, err)
		}
		if p := g.board(Query{}); p.Total != 1 || p.Rows[0].Severity != "info" {
			t.Errorf("got %+v, want what has happened until now", p)
		}
		if got := reads.n.Load(); got != 0 {
			t.Errorf("all were read %d times, want that they need not be", got)
		}
		time.Sleep(2 * look)
		synctest.Wait()
		s = g.follow(incident.ID{}, "")
		two := g.open(g.told, "info")
		settle()
		g.hears("looked at again", s, two.Reference+" open v1")
		s.Stop()
		time.Sleep(unused + look)
		reads.n.Store(0)
		time.Sleep(time.Hour)
		if got, most := reads.n.Load(), int64(time.Hour/restAgain); got == 0 || got > most {
			t.Errorf("read %d times in an hour in which nobody looked, want at most %d", got, most)
		}
	})
}

// TestRestsHeavily: of very many no board is kept that nobody looks at, and it costs
// nothing to be told then; one that somebody looks at is complete all the same.
func TestRestsHeavily(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		many := &multiplied{Store: f.store}
		g := on(t, many)
		one := g.open(g.store, "critical")
		many.set(restKept/4000 + 1)
		g.run()
		settle()
		if g.live.snapshot.Load() != nil || g.live.awake.Load() {
			t.Fatal("kept although nobody looks")
		}
		epoch, _, _ := g.kept()
		s := g.follow(incident.ID{}, "")
		settle()
		if p := g.board(Query{}); p.Total != restKept/4000+1 {
			t.Errorf("%d rows, want all", p.Total)
		}
		g.live.working.Lock()
		g.live.drop() // it was found to be too large before somebody came
		g.live.working.Unlock()
		if settle(); g.live.snapshot.Load() == nil || !g.live.awake.Load() {
			t.Error("dropped although somebody follows")
		}
		s.Stop()
		time.Sleep(unused + restAgain + look)
		settle()
		if _, rows, _ := g.kept(); g.live.snapshot.Load() != nil || g.live.awake.Load() || rows != 0 {
			t.Error("kept although nobody looks any more")
		}
		g.open(g.told, "info")
		if now, _, waiting := g.kept(); waiting != 0 || now == epoch {
			t.Error("something waits, or old numbers still count")
		}
		many.set(1)
		g.edit(g.store, one.ID, acknowledge)
		time.Sleep(restAgain + look)
		settle()
		if g.live.snapshot.Load() == nil {
			t.Error("not kept although few are open now")
		}
		if p := g.board(Query{}); p.Total != 2 {
			t.Errorf("got %+v, want both", p)
		}
	})
}

// kept is which numbers of the feed count, and how many rows and changes are kept.
func (f *fixture) kept() (epoch string, rows, waiting int) {
	f.live.working.Lock()
	defer f.live.working.Unlock()
	f.live.mu.Lock()
	defer f.live.mu.Unlock()
	return f.live.feed.epoch, len(f.live.rows), len(f.live.waiting)
}

var long = strings.Repeat("x", 4000)

// multiplied is a store whose first incident is there many times, with a long text.
type multiplied struct {
	store.Store
	mu sync.Mutex
	n  int // guarded by mu
}

func (m *multiplied) set(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n = n
}

func (m *multiplied) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	list, next, err := m.Store.Incidents(ctx, q)
	if err != nil || len(list) == 0 || next != "" {
		return list, next, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := 1; n < m.n; n++ {
		c := *list[0]
		c.Description = long
		c.ID[0], c.ID[1], c.ID[2] = byte(n), byte(n>>8), byte(n>>16)
		list = append(list, &c)
	}
	return list, "", nil
}

// TestRestsDeaf: who looks while others cannot be heard sees what they have done.
func TestRestsDeaf(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		deaf := &end{&wire{heard: map[*end]func([]incident.ID){}}, make(chan error)}
		g := on(t, f.store, func(o *Options) { o.Shared = deaf })
		g.run()
		settle()
		f.open(f.store, "critical")
		time.Sleep(restRound) // it was not told, and rests
		if p := g.board(Query{}); p.Total != 0 {
			t.Errorf("got %+v, want the board as it was while others are taken to be heard", p)
		}
		time.Sleep(unused + restAgain + look)
		if p := g.live.snapshot.Load(); len(p.Rows) != 1 {
			t.Errorf("got %+v, want what was found out", p)
		}
		g.live.hears.Store(false)
		f.open(f.store, "info")
		if p := g.board(Query{}); p.Total != 2 {
			t.Errorf("got %+v, want both", p)
		}
	})
}

// TestReconfigured: rows are made again when the configuration is another one.
func TestReconfigured(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		var name atomic.Value
		name.Store("call")
		f := newFixture(t, func(o *Options) {
			o.Config = name.Load
			o.Duty = func(*incident.Incident, time.Time) (string, time.Time) {
				return name.Load().(string), time.Now().Add(time.Hour)
			}
		})
		f.open(f.told, "critical")
		f.run()
		settle()
		name.Store("write")
		time.Sleep(2 * look)
		synctest.Wait()
		if p := f.board(Query{}); p.Rows[0].Duty != "write" {
			t.Errorf("got %+v, want the duty of now", p.Rows[0])
		}
	})
}

// TestTooMuch: when very many change they are read all at once, and those who
// follow hear of each all the same.
func TestTooMuch(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		s := f.follow(incident.ID{}, "")
		f.board(Query{})
		for range waitingKept + 5 {
			f.open(f.told, "info")
		}
		if len(f.live.waiting) != waitingKept {
			t.Errorf("%d wait, want %d", len(f.live.waiting), waitingKept)
		}
		f.run()
		settle()
		if n := len(said(s)); n != waitingKept+5 {
			t.Errorf("told of %d, want all", n)
		}
		if p := f.board(Query{}); p.Total != waitingKept+5 {
			t.Errorf("%d rows, want all", p.Total)
		}
	})
}

// away is a store that cannot be read.
type away struct {
	store.Store
	mu  sync.Mutex
	err error // guarded by mu
}

func (a *away) set(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *away) broken() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *away) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	if err := a.broken(); err != nil {
		return nil, "", err
	}
	return a.Store.Incidents(ctx, q)
}

// TestStoreAway: an old board is better than none, and it is made up for.
func TestStoreAway(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		st := &away{Store: f.store}
		g := on(t, st)
		g.run()
		st.set(store.ErrUnavailable)
		if _, err := g.live.Board(t.Context(), Query{}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want that the store is away", err)
		}
		st.set(nil)
		f.open(f.store, "critical")
		if p := g.board(Query{}); p.Total != 1 {
			t.Errorf("got %+v", p)
		}
		st.set(store.ErrUnavailable)
		f.open(f.store, "critical")
		time.Sleep(2 * readAgain)
		if p := g.board(Query{}); p.Total != 1 {
			t.Errorf("got %+v, want the board as it was", p)
		}
		st.set(nil)
		time.Sleep(2 * look)
		if p := g.board(Query{}); p.Total != 2 {
			t.Errorf("got %+v, want both", p)
		}
	})
}

// wire is what two processes share.
type wire struct {
	mu    sync.Mutex
	heard map[*end]func([]incident.ID)
}

// end is one process's end of it.
type end struct {
	*wire
	cut chan error
}

func (e *end) Announce(_ context.Context, ids []incident.ID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for other, heard := range e.heard {
		if other != e {
			heard(ids)
		}
	}
	return nil
}

func (e *end) Listen(ctx context.Context, listening func(), heard func([]incident.ID)) error {
	e.mu.Lock()
	e.heard[e] = heard
	e.mu.Unlock()
	listening()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.heard, e)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-e.cut:
		return err
	}
}

// TestTwoProcesses hear of each other's changes, at once while they are
// connected and when they are again.
func TestTwoProcesses(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFixture(t)
		shared := &wire{heard: map[*end]func([]incident.ID){}}
		endA, endB := &end{shared, make(chan error)}, &end{shared, make(chan error)}
		a := on(t, f.store, func(o *Options) { o.Shared = endA })
		b := on(t, f.store, func(o *Options) { o.Shared = endB })
		b.changes = 1 << 20
		a.run()
		b.run()
		s := b.follow(incident.ID{}, "")
		settle()
		began := time.Now()
		one := a.open(a.told, "critical")
		if e := <-s.C; time.Since(began) > time.Second || len(e.Events) != 1 || e.Events[0].Row.ID != one.ID {
			t.Errorf("got %v after %s", e, time.Since(began))
		}
		if p := b.board(Query{}); p.Total != 1 {
			t.Errorf("got %+v", p)
		}
		endB.cut <- errors.New("the line is cut")
		a.edit(a.told, one.ID, acknowledge)
		time.Sleep(2 * listenPause)
		settle()
		b.hears("made up for", s, one.Reference+" acknowledged v2")
		for range waitingKept + 5 {
			a.open(a.told, "info")
		}
		settle()
		settle()
		if n := len(said(s)); n != waitingKept+5 {
			t.Errorf("told of %d, want all", n)
		}
	})
}
