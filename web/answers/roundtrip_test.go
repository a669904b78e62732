package answers_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// pagers is a PagerDuty: it takes events by our key as its Events API does, has
// people, and says in webhooks what happened, by whomever. As the real one it says
// nothing where nothing changed.
type pagers struct {
	t testing.TB
	i *incident.Incident

	mu     sync.Mutex
	key    string
	state  string
	events []string
	// hooks are the webhooks that are under way, sent all that ever were.
	hooks, sent []string
}

// Send is the notifier: it triggers, acknowledges or resolves what has the key.
func (p *pagers) Send(_ context.Context, m *notify.Message) (notify.Memory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == "" {
		p.key = m.Key()
	}
	if m.Key() != p.key {
		p.t.Errorf("got key %s, want %s: one incident there", m.Key(), p.key)
	}
	p.events = append(p.events, string(m.Event))
	const integration = "inbound_integration_reference"
	switch m.Event {
	case notify.Acknowledged:
		p.become("acknowledged", integration)
	case notify.Resolved:
		p.become("resolved", integration)
	default:
		if p.state == "" {
			p.become("triggered", integration)
		}
	}
	return nil, nil
}

// become changes the state, and says so.
func (p *pagers) become(state, agent string) {
	if p.state == state || p.state == "resolved" {
		return
	}
	event := state
	if state == "triggered" && p.state != "" {
		event = "unacknowledged"
	}
	p.state = state
	body := payload(p.t, "pagerduty-acknowledged", p.i, "incident.acknowledged", "incident."+event, `"status": "acknowledged"`, `"status": "`+state+`"`,
		"01DEN1HNLBC1VITK192ETJ0MPJ", fmt.Sprintf("EVENT%d", len(p.sent)), `"type": "user_reference"
    },
    "client"`, `"type": "`+agent+`"
    },
    "client"`)
	p.hooks, p.sent = append(p.hooks, body), append(p.sent, event)
}

// person acts in PagerDuty itself.
func (p *pagers) person(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.become(state, "user_reference")
}

// take takes the webhooks that are under way.
func (p *pagers) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.hooks
	p.hooks = nil
	return out
}

// loop is a Tocsin and a PagerDuty that tell each other everything.
type loop struct {
	*server
	pagers *pagers
	worker *notify.Worker
	in     *notify.Integration
	i      *incident.Incident
	armed  uint64
}

func newLoop(t *testing.T) *loop {
	t.Helper()
	s := newServer(t)
	i := s.opened()
	l := &loop{server: s, i: i, pagers: &pagers{t: t, i: i}}
	l.in = &notify.Integration{Name: "pagerduty", Receiver: "oncall", Sender: l.pagers, SendResolved: true, Acknowledges: true, Recognises: true}
	l.worker = notify.New(s.store, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), func() {})
	l.worker.Set(&notify.Settings{Integrations: map[string]*notify.Integration{l.in.Target(): l.in}, Links: s.links.For,
		Timing: func(*incident.Incident, string) notify.Timing {
			return notify.Timing{Routed: true, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour}
		}})
	return l
}

// arm arms the job to notify if the incident has changed, as the router does.
func (l *loop) arm() {
	l.t.Helper()
	if v := l.incident(l.i.ID.String()).Version; v == l.armed {
		return
	}
	job := incident.Job{Subject: l.i.ID.String(), Kind: incident.JobNotify, Target: l.in.Target(), Due: l.clock.now(), NoLater: true}
	err := l.store.Update(context.Background(), []incident.Change{{ID: uuid.New(), Incident: l.i.ID, Step: func(st incident.State) (incident.Next, error) {
		return incident.Next{Incidents: []*incident.Incident{st.Incident.WithTold([]string{l.in.Target()})}, Jobs: []incident.Job{job}}, nil
	}}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.armed = l.incident(l.i.ID.String()).Version
}

// settle lets both talk until neither has anything to say, and returns how many
// rounds that took. Every webhook comes twice, as after an answer that was lost.
func (l *loop) settle() int {
	l.t.Helper()
	for round := range 20 {
		l.clock.add(time.Second)
		l.arm()
		leases, err := l.store.Claim(context.Background(), 100, 30*time.Second)
		if err != nil {
			l.t.Fatal(err)
		}
		said := 0
		for _, lease := range leases {
			if lease.Kind == incident.JobNotify {
				l.worker.Take(context.Background(), lease)
				said++
			}
		}
		l.worker.Wait()
		for _, body := range l.pagers.take() {
			l.pagerduty(body).want(200)
			l.pagerduty(body).want(200)
			said++
		}
		if said == 0 && l.incident(l.i.ID.String()).Version == l.armed {
			return round
		}
	}
	l.t.Fatalf("they never come to rest: we said %q, PagerDuty said %q, the timeline is %q", l.pagers.events, l.pagers.sent, l.said(l.i))
	return 0
}

// TestARoundTripComesToRest: whoever acts where, both know it, it is in the timeline
// once, and nobody answers an echo.
func TestARoundTripComesToRest(t *testing.T) {
	const ann = "Ann Example (pagerduty webhook) "
	for _, c := range []struct {
		name   string
		do     func(l *loop)
		events []string
		said   []string
		state  string
		// there is the state in PagerDuty.
		there string
	}{
		{"nobody acts", func(*loop) {}, []string{"opened"}, nil, "open", "triggered"},
		{"acknowledged there", func(l *loop) { l.pagers.person("acknowledged") }, []string{"opened", "acknowledged"}, []string{ann + "acknowledged: acknowledged"}, "acknowledged Ann Example", "acknowledged"},
		{"acknowledged here", func(l *loop) { l.act(l.i, acknowledgedBy("ben")) }, []string{"opened", "acknowledged"}, []string{"ben () acknowledged: acknowledged"}, "acknowledged ben", "acknowledged"},
		{"acknowledged by a link", func(l *loop) { ack, _ := l.paths(l.i); l.send("POST", ack, "name=Cy").want(200) }, []string{"opened", "acknowledged"},
			[]string{"Cy (signed link) acknowledged: acknowledged: by the link sent to dba/slack[0]"}, "acknowledged Cy", "acknowledged"},
		{"acknowledged in both at once", func(l *loop) { l.act(l.i, acknowledgedBy("ben")); l.pagers.person("acknowledged") }, []string{"opened", "acknowledged"},
			[]string{"ben () acknowledged: acknowledged"}, "acknowledged ben", "acknowledged"},
		{"acknowledged and taken back there", func(l *loop) { l.pagers.person("acknowledged"); l.settle(); l.pagers.person("triggered") }, []string{"opened", "acknowledged", "unacknowledged"},
			[]string{ann + "acknowledged: acknowledged", ann + "acknowledgement_removed: acknowledgement taken back"}, "open", "triggered"},
		{"resolved there", func(l *loop) { l.pagers.person("resolved") }, []string{"opened", "resolved"}, []string{ann + "resolved: resolved while 1 alert still fires"}, "resolved Ann Example", "resolved"},
		{"acknowledged there, resolved here", func(l *loop) { l.pagers.person("acknowledged"); l.settle(); l.act(l.i, resolvedBy("ben")) }, []string{"opened", "acknowledged", "resolved"},
			[]string{ann + "acknowledged: acknowledged", "ben () resolved: resolved while 1 alert still fires"}, "resolved Ann Exampleben", "resolved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoop(t)
			l.settle()
			c.do(l)
			rounds := l.settle()
			if !slices.Equal(l.pagers.events, c.events) {
				t.Errorf("we said %q, want %q", l.pagers.events, c.events)
			}
			if got := l.said(l.i)[1:]; !slices.Equal(got, c.said) {
				t.Errorf("timeline: got %q, want %q", got, c.said)
			}
			if got := l.state(l.i); got != c.state || l.pagers.state != c.there {
				t.Errorf("got %s here and %s there, want %s and %s", got, l.pagers.state, c.state, c.there)
			}
			if rounds > 3 {
				t.Errorf("it took %d rounds to come to rest, want at most 3", rounds)
			}
			l.clock.add(time.Hour)
			if l.settle(); len(l.pagers.events) != len(c.events) {
				t.Errorf("an hour later: we said %q", l.pagers.events)
			}
		})
	}
}
