package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

const target = "ops/chat[0]"

// gale is a store in memory, what comes in, and who tells one chat of it.
type gale struct {
	t        *testing.T
	store    *brittle
	chat     *chat
	in       *notify.Integration
	settings notify.Settings
	policy   dedupe.Policy
	places   *dedupe.Correlator
	log      *slog.Logger
}

// brittle is a store that can forget what it is told after a message was sent.
type brittle struct {
	store.Store
	mu   sync.Mutex
	fail func(incident.Document) error
	read func(context.Context) error
}

// Incident does what read says before it reads.
func (b *brittle) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	b.mu.Lock()
	read := b.read
	b.mu.Unlock()
	if read != nil {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	return b.Store.Incident(ctx, name)
}

// reads says what happens before an incident is read.
func (b *brittle) reads(read func(context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = read
}

// hangs lets n incidents be read, and none after them.
func hangs(n int64) func(context.Context) error {
	var reads atomic.Int64
	return func(ctx context.Context) error {
		if reads.Add(1) <= n {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func (b *brittle) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	if fail != nil {
		if err := fail(d); err != nil {
			return 0, err
		}
	}
	return b.Store.PutDocument(ctx, d)
}

func (b *brittle) set(fail func(incident.Document) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = fail
}

// heard is one message that arrived.
type heard struct {
	at        time.Time
	event     notify.Event
	key       string
	reference string
	lines     []notify.DigestLine
	more      int
	unread    bool
	title     string
	plain     string
}

// chat is a target that shows each message, also one that comes twice.
type chat struct {
	mu     sync.Mutex
	list   []heard
	err    error
	during func(*notify.Message)
}

func (c *chat) Send(_ context.Context, m *notify.Message) (notify.Memory, error) {
	if c.during != nil {
		c.during(m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	c.list = append(c.list, heard{time.Now(), m.Event, m.Key(), m.Incident.Reference, m.Digest, m.DigestMore, m.DigestUnread, m.Incident.Title, m.Plain()})
	return nil, nil
}

func (c *chat) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// take returns what was heard since the last time.
func (c *chat) take() []heard {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.list
	c.list = nil
	return out
}

func newGale(t *testing.T, s notify.Storm) *gale {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	g := &gale{t: t, store: &brittle{Store: st}, chat: &chat{}, log: slog.New(slog.DiscardHandler)}
	g.in = &notify.Integration{Name: "chat", Receiver: "ops", Sender: g.chat, SendResolved: true, Storm: s}
	g.settings = notify.Settings{Integrations: map[string]*notify.Integration{target: g.in}, Timing: func(*incident.Incident, string) notify.Timing {
		return notify.Timing{Routed: true, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour}
	}, Links: func(i *incident.Incident, _ string) notify.Links {
		return notify.Links{Incident: "https://tocsin.example.com/incidents/" + i.Reference}
	}}
	c := dedupe.Config{Rules: []dedupe.Rule{{Name: "groups", By: []string{"group"}}}}
	var err error
	if g.places, err = dedupe.NewCorrelator(c); err != nil {
		t.Fatal(err)
	}
	g.policy = c.For("groups", incident.Policy{Severities: incident.Scale{"critical", "warning"}, Matrix: incident.DefaultMatrix(), CloseAfter: 24 * time.Hour,
		Targets: func(*incident.Incident) []incident.Target { return []incident.Target{{Name: target}} }})
	return g
}

// run lets a gateway do jobs until the function that it returns is called.
func (g *gale) run() (stop func()) {
	w := notify.New(g.store, g.log, prometheus.NewRegistry(), func() {})
	settings := g.settings
	w.Set(&settings)
	ctx, cancel := context.WithCancel(g.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		defer w.Wait()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			leases, err := g.store.Claim(ctx, 200, 30*time.Second)
			if err != nil && ctx.Err() == nil {
				g.t.Error(err)
			}
			for _, l := range leases {
				if l.Kind == incident.JobNotify {
					w.Take(ctx, l)
				}
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// send takes in one alert for each of the incidents, numbered.
func (g *gale) send(status alert.Status, name, severity string, groups ...int) {
	g.t.Helper()
	g.sendAll(status, []string{name}, severity, groups...)
}

// sendAll takes in an alert of each name for each of the incidents.
func (g *gale) sendAll(status alert.Status, names []string, severity string, groups ...int) {
	g.t.Helper()
	var h dedupe.Hasher
	id := &dedupe.Identity{Namespace: "test"}
	now := g.store.Now()
	class := &incident.Classification{Severity: severity}
	var changes []incident.Change
	for _, n := range groups {
		b := &dedupe.Batch{Policy: &g.policy}
		for _, name := range names {
			a := &alert.Alert{Kind: alert.KindAlert, Status: status, Source: "test", ReceivedAt: now, StartsAt: now,
				Labels: alert.FromMap(map[string]string{"alertname": name, "group": fmt.Sprint("g", n)})}
			if status == alert.Resolved {
				a.StartsAt, a.EndsAt = time.Time{}, now
			}
			fp := h.Fingerprint(id, a)
			b.Place = g.places.Key(&h, a, class, fp)
			b.Events = append(b.Events, dedupe.Event{Alert: a, Fingerprint: fp, Class: class, Content: h.Content(id, a)})
		}
		changes = append(changes, incident.Change{ID: uuid.New(), Key: b.Place.Key, Fingerprints: b.Fingerprints(), Step: b.Step})
	}
	if err := g.store.Update(g.t.Context(), changes); err != nil {
		g.t.Fatal(err)
	}
}

func upTo(n int) []int {
	var out []int
	for i := range n {
		out = append(out, i)
	}
	return out
}

// references are those of all incidents, the oldest first.
func (g *gale) references() []string {
	g.t.Helper()
	list, _, err := g.store.Incidents(g.t.Context(), store.Query{Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	var out []string
	for _, i := range slices.Backward(list) {
		out = append(out, i.Reference)
	}
	return out
}

// listed counts how often each incident was heard of.
func listed(list []heard) map[string]int {
	out := map[string]int{}
	for _, h := range list {
		if h.event != notify.Digested {
			out[h.reference]++
		}
		for _, line := range h.lines {
			out[line.Reference]++
		}
	}
	return out
}

func digests(list []heard) (out []heard) {
	for _, h := range list {
		if h.event == notify.Digested {
			out = append(out, h)
		}
	}
	return out
}

// once checks that each incident was heard of once.
func (g *gale) once(what string, list []heard, references []string) {
	g.t.Helper()
	got := listed(list)
	for _, r := range references {
		if got[r] != 1 {
			g.t.Errorf("%s: %s was heard of %d times, want once", what, r, got[r])
		}
	}
	if len(got) != len(references) {
		g.t.Errorf("%s: %d incidents were heard of, want %d", what, len(got), len(references))
	}
}

// bounded checks that within no period there were more messages than there may be.
func (g *gale) bounded(list []heard) {
	g.t.Helper()
	for n, first := range list {
		single, all := 0, 0
		for _, h := range list[n:] {
			if h.at.Sub(first.at) >= g.in.Storm.Within {
				break
			}
			if all++; h.event != notify.Digested {
				single++
			}
		}
		if single > g.in.Storm.Messages || all > g.in.Storm.Messages+1 {
			g.t.Errorf("%d messages within %v of %v, %d of them single; want no more than %d and one digest", all, g.in.Storm.Within, first.at, single, g.in.Storm.Messages)
			return
		}
	}
}

// idle checks that nothing waits, and that the target knows all of every incident.
func (g *gale) idle(what string) {
	g.t.Helper()
	for _, typ := range []string{notify.DocumentPending, notify.DocumentUndelivered} {
		if docs, err := g.store.Documents(g.t.Context(), typ, "", 10); err != nil || len(docs) != 0 {
			g.t.Errorf("%s: %s: got %d (%v), want none", what, typ, len(docs), err)
		}
	}
	w := notify.New(g.store, g.log, prometheus.NewRegistry(), func() {})
	list, _, err := g.store.Incidents(g.t.Context(), store.Query{Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, i := range list {
		known, err := w.Notifications(g.t.Context(), i.ID.String())
		if err != nil {
			g.t.Fatal(err)
		}
		if len(known) != 1 || known[0].State != i.State || known[0].Hidden != nil || known[0].ToldAt.Before(i.CycleOpenedAt) {
			g.t.Errorf("%s: of %s, which is %s, is known %+v", what, i.Reference, i.State, known)
		}
	}
}

// TestStorm: 10,000 alerts in 100 incidents to one chat.
func TestStorm(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 20, Within: 4 * time.Minute})
		defer g.run()()
		began := time.Now()
		var names []string
		for n := range 100 {
			if names = append(names, fmt.Sprint("A", n)); n%25 == 24 {
				g.sendAll(alert.Firing, names[n-24:], "warning", upTo(100)...)
				time.Sleep(10 * time.Second)
			}
		}
		all := g.references()
		time.Sleep(4*time.Minute + 30*time.Second - time.Since(began))
		first := g.chat.take()
		if len(first) != 21 || len(digests(first)) != 1 || len(digests(first)[0].lines) != 80 {
			t.Errorf("when the first digest has come: %d messages, %d of them digests; want 20 and a digest of 80 incidents", len(first), len(digests(first)))
		}
		g.once("the first four and a half minutes", first, all)
		time.Sleep(10 * time.Minute)
		rest := g.chat.take()
		g.bounded(append(slices.Clone(first), rest...))
		if len(rest) > 45 {
			t.Errorf("what came later in the storm made %d messages", len(rest))
		}
		for _, h := range digests(first) {
			t.Logf("a digest of %d after %v", len(h.lines), h.at.Sub(began))
		}
		t.Logf("10,000 alerts in 100 incidents: %d messages, then %d", len(first), len(rest))
		g.idle("after the storm")

		g.send(alert.Firing, "A", "critical", 1000)
		time.Sleep(2 * time.Second)
		if got := g.chat.take(); len(got) != 1 || got[0].event != notify.Opened {
			t.Errorf("after the storm: got %+v, want one that is opened", got)
		}
		g.sendAll(alert.Resolved, names, "warning", upTo(100)...)
		time.Sleep(12 * time.Minute)
		over := g.chat.take()
		g.once("when all is well", over, all)
		g.bounded(over)
		for _, d := range digests(over) {
			for _, line := range d.lines {
				if line.State != incident.Resolved || line.Firing != 0 {
					t.Errorf("a line of what is over: got %+v", line)
				}
			}
		}
		g.idle("when all is well")
	})
}

// TestNobodyLearnsMoreWhenNothingLeadsThere: who was called in with little detail, and is
// not any more, hears how it goes on with no more of it.
func TestNobodyLearnsMoreWhenNothingLeadsThere(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		timing := notify.Timing{Routed: true, Called: &incident.Called{Receiver: "ops", Detail: incident.DetailPublic}}
		var mu sync.Mutex
		g.settings.Timing = func(*incident.Incident, string) notify.Timing {
			mu.Lock()
			defer mu.Unlock()
			return timing
		}
		defer g.run()()
		g.send(alert.Firing, "SecretName", "warning", 1)
		time.Sleep(2 * time.Second)
		mu.Lock()
		timing = notify.Timing{}
		mu.Unlock()
		g.send(alert.Firing, "SecretName", "critical", 1)
		g.send(alert.Firing, "AnotherSecret", "critical", 1)
		time.Sleep(2 * time.Second)
		got := g.chat.take()
		if len(got) < 2 { // the last two changes are one message or two
			t.Fatalf("got %d messages, want two at least: %+v", len(got), got)
		}
		for _, h := range got {
			if strings.Contains(h.plain, "Secret") {
				t.Errorf("got\n%s", h.plain)
			}
		}
	})
}

// TestStormAtATargetThatRecognises: what ends there is said at once, also of what
// waited: nobody is called by it.
func TestStormAtATargetThatRecognises(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 2, Within: time.Hour})
		g.in.Recognises = true
		defer g.run()()
		g.send(alert.Firing, "A", "warning", upTo(4)...)
		time.Sleep(3 * time.Second)
		if got := g.chat.take(); len(got) != 2 {
			t.Fatalf("got %+v, want two", got)
		}
		time.Sleep(10 * time.Minute) // group_interval
		for n := range 4 {
			g.send(alert.Resolved, "A", "warning", n)
		}
		time.Sleep(time.Minute)
		if got := g.chat.take(); len(got) != 2 || got[0].event != notify.Resolved || got[1].event != notify.Resolved {
			t.Errorf("the end of what it knew: got %+v, want both at once", got)
		}
		time.Sleep(time.Hour)
		got := g.chat.take()
		if len(got) != 1 || len(got[0].lines) != 2 || got[0].lines[0].State != incident.Resolved {
			t.Errorf("what it never heard of: got %+v, want a digest that says that it is over", got)
		}
		g.idle("at the end")
	})
}

// TestTheMostUrgentFirst: a digest is bounded, and what does not fit comes in the next.
func TestTheMostUrgentFirst(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute, Lines: 30})
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 1000)
		time.Sleep(2 * time.Second)
		g.chat.take()
		g.send(alert.Firing, "A", "warning", upTo(60)...)
		g.send(alert.Firing, "A", "critical", 60, 61)
		g.send(alert.Firing, "B", "critical", 59) // it became worse while it waited
		all := g.references()[1:]
		time.Sleep(20 * time.Minute)
		got := digests(g.chat.take())
		if len(got) != 3 || len(got[0].lines) != 30 || got[0].more != 32 || len(got[1].lines) != 30 || got[1].more != 2 || len(got[2].lines) != 2 || got[2].more != 0 {
			t.Fatalf("got %d digests: %+v", len(got), got)
		}
		g.once("in three digests", got, all)
		for n, line := range got[0].lines {
			if (line.Severity == "critical") != (n < 3) || line.Firing < 1 || line.URL != "https://tocsin.example.com/incidents/"+line.Reference {
				t.Errorf("line %d: got %+v; want the three that are critical first", n, line)
			}
		}
		g.idle("after three digests")
	})
}

// TestADigestOfASlowStore lists what could be read, the most urgent, and the next
// one the others.
func TestADigestOfASlowStore(t *testing.T) {
	for name, c := range map[string]struct {
		read func(context.Context) error
		want int
	}{
		"it hangs after four": {hangs(4), 4},
		"it takes 800 ms for each and does not look at the context": {func(context.Context) error {
			time.Sleep(800 * time.Millisecond)
			return nil
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
				defer g.run()()
				g.send(alert.Firing, "A", "warning", 1000)
				time.Sleep(2 * time.Second)
				told := g.chat.take()
				g.send(alert.Firing, "A", "warning", upTo(9)...)
				g.send(alert.Firing, "A", "critical", 10, 11)
				all := g.references()
				time.Sleep(time.Minute)
				g.store.reads(c.read)
				time.Sleep(4*time.Minute + 10*time.Second)
				g.store.reads(nil)
				first := g.chat.take()
				if len(first) != 1 || len(first[0].lines) != c.want || first[0].more != 11-c.want || !first[0].unread {
					t.Fatalf("got %+v, want a digest of %d incidents that says that %d could not be read", first, c.want, 11-c.want)
				}
				if title := fmt.Sprintf("11 incidents in a storm of messages, %d of which could not be read in time", 11-c.want); first[0].title != title {
					t.Errorf("title: got %q, want %q", first[0].title, title)
				}
				if line := fmt.Sprintf("- and %d more, which could not be read in time; the next digest lists them\n", 11-c.want); !strings.HasSuffix(first[0].plain, line) {
					t.Errorf("got\n%s\nwant at its end %q", first[0].plain, line)
				}
				for n, line := range first[0].lines {
					if (line.Severity == "critical") != (n < 2) {
						t.Errorf("line %d: got %+v; want the two that are critical first", n, line)
					}
				}
				time.Sleep(10 * time.Minute)
				rest := g.chat.take()
				if len(rest) != 1 || rest[0].event != notify.Digested || rest[0].more != 0 || rest[0].unread {
					t.Errorf("then: got %+v, want a digest of the others", rest)
				}
				g.once("in all", slices.Concat(told, first, rest), all)
				g.bounded(slices.Concat(told, first, rest))
				g.idle("at the end")
			})
		})
	}
}

// TestADigestThatCannotBeRead is not an empty one, which would end the storm, and
// one that is stopped while it reads tells of nothing.
func TestADigestThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		read  int64
		after time.Duration // from when the digest is due to the stop
	}{
		"in time":            {0, 20 * time.Second},
		"before it is ended": {4, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
				stop := g.run()
				g.send(alert.Firing, "A", "warning", upTo(10)...)
				time.Sleep(time.Minute)
				told := g.chat.take()
				g.store.reads(hangs(c.read))
				time.Sleep(4*time.Minute + c.after)
				stop()
				g.store.reads(nil)
				if got := g.chat.take(); len(got) != 0 {
					t.Fatalf("got %+v, want nothing", got)
				}
				defer g.run()()
				time.Sleep(2 * time.Minute)
				got := g.chat.take()
				if len(got) != 1 || len(got[0].lines) != 9 || got[0].unread {
					t.Errorf("when it can be read: got %+v, want a digest of nine", got)
				}
				g.once("in all", slices.Concat(told, got), g.references())
				time.Sleep(10 * time.Minute)
				g.idle("at the end")
			})
		})
	}
}

// TestTwoGatewaysAndARestart: there is one digest all the same.
func TestTwoGatewaysAndARestart(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 5, Within: 5 * time.Minute})
		stop, stopOther := g.run(), g.run()
		g.send(alert.Firing, "A", "warning", upTo(50)...)
		time.Sleep(time.Minute)
		stop()
		stopOther()
		time.Sleep(10 * time.Minute)
		defer g.run()()
		defer g.run()()
		time.Sleep(time.Minute)
		got := g.chat.take()
		if len(got) != 6 || len(digests(got)) != 1 {
			t.Errorf("got %d messages, %d of them digests; want 5 and one", len(got), len(digests(got)))
		}
		g.once("with two gateways", got, g.references())
		time.Sleep(10 * time.Minute)
		if got := g.chat.take(); len(got) != 0 {
			t.Errorf("later: got %+v, want nothing", got)
		}
		g.idle("with two gateways")
	})
}

// TestADigestThatIsNotRecorded comes again, under the same key.
func TestADigestThatIsNotRecorded(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		stop := g.run()
		g.send(alert.Firing, "A", "warning", upTo(10)...)
		time.Sleep(time.Minute)
		g.chat.take()
		g.store.set(func(d incident.Document) error { return &store.UnavailableError{Cause: errors.New("killed")} })
		time.Sleep(4*time.Minute + 5*time.Second)
		stop()
		g.store.set(nil)
		first := g.chat.take()
		if len(first) != 1 || first[0].event != notify.Digested {
			t.Fatalf("got %+v, want a digest", first)
		}
		defer g.run()()
		time.Sleep(2 * time.Minute)
		again := g.chat.take()
		if len(again) != 1 || again[0].key != first[0].key || len(again[0].lines) != 9 {
			t.Errorf("got %+v, want the digest with the key %s again", again, first[0].key)
		}
		time.Sleep(10 * time.Minute)
		if got := g.chat.take(); len(got) != 0 {
			t.Errorf("then: got %+v, want nothing", got)
		}
		g.idle("at the end")
	})
}

// TestAJobThatGotLost when the storm began: the incidents' own jobs find out.
func TestAJobThatGotLost(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		stop := g.run()
		g.send(alert.Firing, "A", "warning", upTo(10)...)
		time.Sleep(time.Minute)
		stop()
		time.Sleep(4*time.Minute + 10*time.Second)
		leases, err := g.store.Claim(t.Context(), 200, time.Second)
		if err != nil || len(leases) != 1 {
			t.Fatalf("got %+v (%v), want the digest's job", leases, err)
		}
		if err := g.store.Done(t.Context(), leases[0]); err != nil {
			t.Fatal(err)
		}
		g.chat.take()
		defer g.run()()
		time.Sleep(5 * time.Minute)
		got := g.chat.take()
		if len(got) != 1 || len(got[0].lines) != 9 {
			t.Errorf("got %+v, want the digest", got)
		}
		time.Sleep(20 * time.Minute)
		g.idle("at the end")
	})
}

// TestATargetThatIsDownInAStorm hears it once when it is back, and what it
// refuses for good is there to be sent again.
func TestATargetThatIsDownInAStorm(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		other := &chat{}
		g.settings.Integrations["spare/chat[0]"] = &notify.Integration{Name: "chat", Receiver: "spare", Sender: other, SendResolved: true}
		g.settings.Fallback, g.settings.FallbackAfter = "spare", 10*time.Minute
		defer g.run()()
		g.send(alert.Firing, "A", "warning", upTo(10)...)
		time.Sleep(time.Minute)
		g.chat.take()
		g.chat.fail(&notify.Error{Reason: notify.ReasonServer, Err: errors.New("503")})
		time.Sleep(10 * time.Minute)
		g.send(alert.Firing, "A", "warning", 10)
		if got := other.take(); len(got) != 0 {
			t.Errorf("the fallback hears of it too early: %+v", got)
		}
		time.Sleep(20 * time.Minute)
		if got := listed(other.take()); len(got) != 10 {
			t.Errorf("the fallback heard of %d incidents, want 10", len(got))
		}
		g.chat.fail(nil)
		time.Sleep(10 * time.Minute)
		got := g.chat.take()
		if len(got) != 1 || len(got[0].lines) != 10 {
			t.Errorf("when it is back: got %+v, want one digest of ten", got)
		}
		time.Sleep(10 * time.Minute)

		g.send(alert.Firing, "A", "warning", 20, 21, 22)
		time.Sleep(time.Minute)
		g.chat.take()
		g.chat.fail(&notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("400")})
		time.Sleep(5 * time.Minute)
		g.chat.fail(nil)
		w := notify.New(g.store, g.log, prometheus.NewRegistry(), func() {})
		w.Set(&g.settings)
		list, _, err := w.Undelivered(t.Context(), "", 10)
		if err != nil || len(list) != 2 {
			t.Fatalf("undelivered: got %+v (%v), want two", list, err)
		}
		time.Sleep(20 * time.Minute)
		g.chat.take()
		for _, u := range list {
			if err := w.Again(t.Context(), u.Incident, u.Target); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if got := listed(g.chat.take()); len(got) != 2 {
			t.Errorf("sent again: got %v, want the two", got)
		}
	})
}

// TestATargetThatIsSlowAndAKill: what was armed at the end of a message that took longer
// than a lease does not put off what whoever had the job next, and ended, had to tell.
func TestATargetThatIsSlowAndAKill(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		killed := make(chan struct{})
		var messages atomic.Int64
		g.chat.during = func(*notify.Message) {
			switch messages.Add(1) {
			case 1:
				time.Sleep(35 * time.Second)
			case 2:
				<-killed
				g.chat.fail(context.Canceled)
			}
		}
		stop := g.run()
		g.send(alert.Firing, "A", "warning", 0)
		time.Sleep(10 * time.Second)
		g.send(alert.Firing, "B", "critical", 0)
		time.Sleep(30 * time.Second)
		if got := g.chat.take(); len(got) != 1 || messages.Load() != 2 {
			t.Fatalf("%d messages were begun, and these got there: %+v; want two, and one", messages.Load(), got)
		}
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		synctest.Wait()
		close(killed)
		<-stopped
		g.chat.fail(nil)
		defer g.run()()
		time.Sleep(time.Minute)
		if got := g.chat.take(); len(got) != 1 || got[0].event != notify.Updated {
			t.Errorf("got %+v, want the update", got)
		}
	})
}

// TestNewsDuringADigestThatIsRefused is told with the next one.
func TestNewsDuringADigestThatIsRefused(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		g.chat.during = func(m *notify.Message) {
			g.chat.fail(nil)
			if m.Event == notify.Digested {
				g.chat.during = nil
				g.chat.fail(&notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("400")})
				g.send(alert.Firing, "B", "critical", 0, 1, 2)
			}
		}
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0, 1, 2)
		time.Sleep(6 * time.Minute)
		g.chat.fail(nil)
		g.chat.take()
		time.Sleep(20 * time.Minute)
		g.once("after it", g.chat.take(), g.references())
	})
}

// night hides everything until it is over.
type night struct{ until time.Time }

func (n night) Muted(_ context.Context, _ *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	return notify.Hidden{By: "maintenance", Text: "night", Until: n.until}, now.Before(n.until), nil
}

// TestWhatIsHiddenMeanwhile is not in the digest; it is told when that ends.
func TestWhatIsHiddenMeanwhile(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		stop := g.run()
		g.send(alert.Firing, "A", "warning", upTo(10)...)
		time.Sleep(time.Minute)
		stop()
		told := g.chat.take()
		g.settings.Mute = night{time.Now().Add(time.Hour)}
		defer g.run()()
		time.Sleep(58 * time.Minute)
		if got := g.chat.take(); len(got) != 0 {
			t.Errorf("while it is hidden: got %+v, want nothing", got)
		}
		time.Sleep(20 * time.Minute)
		got := g.chat.take()
		if len(got) != 2 || len(digests(got)) != 1 {
			t.Errorf("then: got %+v, want one message and a digest", got)
		}
		g.once("in all", append(told, got...), g.references())
		time.Sleep(10 * time.Minute)
		g.idle("at the end")
	})
}

func TestHowADigestReads(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute, Lines: 2})
		told := make(chan *notify.Message, 10)
		templates, err := notify.NewTemplates(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.in.Sender = sender(func(m *notify.Message) { told <- m })
		stop := g.run()
		g.send(alert.Firing, "Disk\nfull <!channel>", "warning", upTo(4)...)
		time.Sleep(5*time.Minute + 5*time.Second)
		stop() // the message is ours now
		var got *notify.Message
		for len(told) > 0 {
			got = <-told
		}
		if got == nil || got.Event != notify.Digested {
			t.Fatalf("got %+v, want a digest", got)
		}
		if want := "[STORM] 3 incidents in a storm of messages · the worst is warning"; got.Headline() != want {
			t.Errorf("headline: got %q, want %q", got.Headline(), want)
		}
		plain := got.Plain()
		for _, d := range got.Digest {
			if line := "- [WARNING] " + d.Reference + " open, 1 firing: Disk full <!channel>"; !strings.Contains(plain, line) || !strings.Contains(plain, " "+d.URL+"\n") {
				t.Errorf("got\n%s\nwant %q and its link in it", plain, line)
			}
		}
		if !strings.Contains(plain, "- and 1 more, which the next digest lists") {
			t.Errorf("got\n%s\nwant that one is left", plain)
		}
		x := templates.Texts(got, func(s string) string { return strings.ReplaceAll(s, "<", "&lt;") })
		text := x.Text("text", `{{ .Status }} {{ .CommonLabels.severity }} {{ .RouteLabels.event }}{{ range .Alerts }} {{ .Labels.incident }}={{ .Annotations.summary }}{{ end }}`, "failed")
		if !strings.HasPrefix(text, "firing warning digest ") || strings.Count(text, "&lt;!channel>") != 2 || strings.Contains(text, "<!") || !strings.Contains(text, got.Digest[1].Reference+"=") {
			t.Errorf("a template that knows only alerts: got %q", text)
		}
		if id, ok := notify.ParseKey(got.Key()); !ok || id != got.Incident.ID {
			t.Errorf("its key: got %q", got.Key())
		}
	})
}

// sender is a Sender that only looks.
type sender func(*notify.Message)

func (s sender) Send(_ context.Context, m *notify.Message) (notify.Memory, error) {
	s(m)
	return nil, nil
}
