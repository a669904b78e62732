package notify_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// muteFunc hides messages as it says.
type muteFunc func(now time.Time) (notify.Hidden, bool)

func (m muteFunc) Muted(_ context.Context, _ *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	h, ok := m(now)
	return h, ok, nil
}

// once returns a function that does something the first time it is called.
func once(do func()) func() {
	var n atomic.Int64
	return func() {
		if n.Add(1) == 1 {
			do()
		}
	}
}

// overtime is longer than a lease: somebody else has the job then.
func overtime() { time.Sleep(35 * time.Second) }

// events are those that the chat has heard since the last time.
func (g *gale) events() (list []notify.Event) {
	for _, h := range g.chat.take() {
		list = append(list, h.event)
	}
	return list
}

func (g *gale) heard(want ...notify.Event) {
	g.t.Helper()
	if got := g.events(); !slices.Equal(got, want) {
		g.t.Errorf("heard %q, want %q", got, want)
	}
}

// undelivered are the marks of messages that were given up.
func (g *gale) undelivered() []incident.Document {
	g.t.Helper()
	list, err := g.store.Documents(g.t.Context(), notify.DocumentUndelivered, "", 10)
	if err != nil {
		g.t.Fatal(err)
	}
	return list
}

// TestOvertakenWhileHidden: whoever finds, after the end of its lease, that a message is
// hidden does not make the target forget what it was told meanwhile.
func TestOvertakenWhileHidden(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		var looks atomic.Int64
		g.settings.Mute = muteFunc(func(now time.Time) (notify.Hidden, bool) {
			if looks.Add(1) > 1 {
				return notify.Hidden{}, false
			}
			overtime()
			return notify.Hidden{By: notify.BySilence, Text: "one that is over by now", Until: now.Add(10 * time.Minute)}, true
		})
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0)
		time.Sleep(time.Minute)
		g.heard(notify.Opened)
		g.send(alert.Resolved, "A", "warning", 0)
		time.Sleep(time.Hour)
		g.heard(notify.Resolved)
	})
}

// TestOvertakenWhileItIsAcknowledged: what was said too late is set right at once.
func TestOvertakenWhileItIsAcknowledged(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		g.in.Acknowledges = true
		g.settings.Timing = func(*incident.Incident, string) notify.Timing {
			return notify.Timing{Routed: true, GroupInterval: time.Second, RepeatInterval: 4 * time.Hour}
		}
		slow := once(overtime)
		g.chat.during = func(m *notify.Message) {
			if m.Event == notify.Acknowledged {
				slow()
			}
		}
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0)
		time.Sleep(time.Minute)
		list, _, err := g.store.Incidents(t.Context(), store.Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.store.Update(t.Context(), []incident.Change{{ID: uuid.New(), Incident: list[0].ID, Step: func(st incident.State) (next incident.Next, err error) {
			e := g.policy.Change(st.Incident, st.Now)
			err = e.Acknowledge("ann", "")
			e.Into(&next)
			return next, err
		}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		g.send(alert.Resolved, "A", "warning", 0)
		time.Sleep(2 * time.Minute)
		g.heard(notify.Opened, notify.Resolved, notify.Acknowledged, notify.Resolved)
	})
}

// TestOvertakenWhenItIsRefused: what somebody else has delivered meanwhile is not undelivered.
func TestOvertakenWhenItIsRefused(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		spare := &chat{}
		g.settings.Integrations["spare/chat[0]"] = &notify.Integration{Name: "chat", Receiver: "spare", Sender: spare}
		g.settings.Fallback = "spare"
		slow := once(func() {
			overtime()
			g.chat.fail(&notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("409")})
		})
		g.chat.during = func(*notify.Message) { slow() }
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0)
		time.Sleep(2 * time.Minute)
		g.heard(notify.Opened)
		if list := g.undelivered(); len(list) > 0 || len(spare.take()) > 0 {
			t.Errorf("it counts as undelivered: %+v, or the fallback was told", list)
		}
	})
}

// TestSilenceDuringADigestThatIsRefused: what a silence hides since the digest is on its
// way is told when that is over.
func TestSilenceDuringADigestThatIsRefused(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		var from, until atomic.Int64
		g.settings.Mute = muteFunc(func(now time.Time) (notify.Hidden, bool) {
			return notify.Hidden{By: notify.BySilence, Text: "s", Until: time.Unix(until.Load(), 0)}, now.Unix() >= from.Load() && now.Unix() < until.Load()
		})
		digests := 0
		g.chat.during = func(m *notify.Message) {
			g.chat.fail(nil)
			if m.Event != notify.Digested {
				return
			}
			switch digests++; digests {
			case 1: // it is tried again about when the incidents are looked at
				g.chat.fail(&notify.Error{Reason: notify.ReasonRateLimited, RetryAfter: 56 * time.Second, Err: errors.New("429")})
			case 2:
				from.Store(time.Now().Unix())
				until.Store(time.Now().Add(30 * time.Minute).Unix())
				time.Sleep(9 * time.Second)
				g.chat.fail(&notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("400")})
			}
		}
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0, 1, 2)
		time.Sleep(9 * time.Minute)
		g.heard(notify.Opened)
		if list := g.undelivered(); len(list) > 0 {
			t.Errorf("what is hidden counts as undelivered: %+v", list)
		}
		time.Sleep(time.Hour)
		if got := listed(g.chat.take()); len(got) != 2 {
			t.Errorf("after the silence heard of %v, want the two", got)
		}
	})
}

// TestAskedAgainDuringADigestThatIsRefused: who asks for an incident again is heard, even
// while the digest is being given up.
func TestAskedAgainDuringADigestThatIsRefused(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{Messages: 1, Within: 5 * time.Minute})
		w := notify.New(g.store, g.log, prometheus.NewRegistry(), func() {})
		var asked atomic.Bool
		g.store.set(func(d incident.Document) error {
			if asked.Load() || d.Type != notify.DocumentPending || d.Data != nil { // as soon as it waits no more
				return nil
			}
			list, _, err := g.store.Incidents(t.Context(), store.Query{Limit: 10})
			for _, i := range list {
				if !asked.Load() {
					asked.Store(w.Again(t.Context(), i.ID, target) == nil)
				}
			}
			return err
		})
		g.chat.during = func(m *notify.Message) {
			g.chat.fail(nil)
			if m.Event == notify.Digested && !asked.Load() {
				g.chat.fail(&notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("400")})
			}
		}
		defer g.run()()
		g.send(alert.Firing, "A", "warning", 0, 1)
		time.Sleep(6 * time.Minute)
		if !asked.Load() {
			t.Fatal("it could not be asked for")
		}
		g.heard(notify.Opened)
		time.Sleep(30 * time.Minute)
		g.heard(notify.Digested)
	})
}

// unsteady is a store that is away for one of the next commits.
type unsteady struct {
	*brittle
	left atomic.Int64
}

func (u *unsteady) Update(ctx context.Context, changes []incident.Change) error {
	if u.left.Add(-1) == 0 {
		return &store.UnavailableError{Cause: errors.New("away")}
	}
	return u.brittle.Update(ctx, changes)
}

// TestFallbackOfANotice is told although the store was away when it was to be.
func TestFallbackOfANotice(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		g := newGale(t, notify.Storm{})
		g.chat.fail(&notify.Error{Reason: notify.ReasonServer, Err: errors.New("503")})
		spare := &chat{}
		u := &unsteady{brittle: g.store}
		w := notify.New(u, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), func() {})
		g.settings.Integrations["spare/chat[0]"] = &notify.Integration{Name: "chat", Receiver: "spare", Sender: spare}
		g.settings.Fallback = "spare"
		w.Set(&g.settings)
		key := incident.Key{1}
		data, err := json.Marshal(&incident.Notice{Name: "n", Title: "n", At: time.Now(), Until: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.store.PutDocument(t.Context(), incident.Document{Type: incident.TypeNotice, ID: key.String(), Data: data}); err != nil {
			t.Fatal(err)
		}
		if err := g.store.Update(t.Context(), []incident.Change{{ID: uuid.New(), Key: key, Step: func(st incident.State) (incident.Next, error) {
			return incident.Next{Jobs: []incident.Job{{Subject: key.String(), Kind: incident.JobNotify, Target: target, Due: st.Now}}}, nil
		}}}); err != nil {
			t.Fatal(err)
		}
		u.left.Store(1)
		for range 10 * 60 {
			leases, err := g.store.Claim(t.Context(), 10, 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range leases {
				w.Take(t.Context(), l)
			}
			time.Sleep(time.Second)
		}
		w.Wait()
		if got := spare.take(); len(got) != 1 {
			t.Errorf("the fallback heard %+v, want the notice once", got)
		}
	})
}
