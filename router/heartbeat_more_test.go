package router

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// The comparison with the API of Alertmanager must not stand in for the messages
// that do not come: that they come is what the heartbeat watches.
func TestCompareFeedsHeartbeat(t *testing.T) {
	g := newGateway(t, heartbeats(Heartbeat{Name: "eu", Source: "alertmanager", Matchers: []string{`alertname="Watchdog"`}, Every: model.Duration(6 * time.Minute)}),
		func(s *Settings) { s.Sources["alertmanager"] = SourceSettings{Reconcile: 5 * time.Minute} })
	o := &tools{}
	g.SetOutside(o)
	dog := g.firing("Watchdog", "p")
	g.send(dog)
	o.open = []alert.Alert{{Kind: alert.KindAlert, Status: alert.Firing, Labels: dog.Labels, StartsAt: epoch.Add(-time.Hour)}}
	for range 60 { // the webhook is broken from here on
		g.round(time.Minute)
	}
	if len(g.incidents(incident.Open)) == 0 {
		t.Error("no message came for an hour, and nobody is told")
	}
}

// A matcher that nearly everything matches is taken without a word, and then
// nothing opens an incident any more.
func TestHeartbeatSwallowsAll(t *testing.T) {
	g := newGateway(t, heartbeats(Heartbeat{Name: "h", Matchers: []string{`heartbeat!="no"`}, Every: model.Duration(6 * time.Minute)}))
	if v := g.say("nagios", "HOSTNAME=web&NOTIFICATIONTYPE=PROBLEM&HOSTSTATE=DOWN"); v[0] == alert.Suppressed {
		t.Errorf("got %v", v)
	}
}

// slowBeats is a store that is slow with the documents of heartbeats.
type slowBeats struct {
	store.Store
	hold chan struct{}
	in   chan struct{}
}

func (s *slowBeats) Document(ctx context.Context, typ, id string) (incident.Document, error) {
	if typ == typeHeartbeat {
		select {
		case s.in <- struct{}{}:
		default:
		}
		<-s.hold
	}
	return s.Store.Document(ctx, typ, id)
}

// While one request waits for the store, all others with a sign of life wait behind
// it, also those whose senders have gone.
func TestHeartbeatMutex(t *testing.T) {
	g := newGateway(t, heartbeats(Heartbeat{Name: "any", Source: "alertmanager", Every: model.Duration(4 * time.Minute)}))
	slow := &slowBeats{g.st, make(chan struct{}), make(chan struct{}, 1)}
	g.Pipeline.store = slow
	g.clock.add(2 * time.Minute)
	a, b := g.firing("A", "1"), g.firing("B", "1")
	first, second := make(chan struct{}), make(chan struct{})
	go func() { defer close(first); _, _ = g.Accept(context.Background(), "alertmanager", []alert.Alert{a}) }()
	<-slow.in
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	go func() { defer close(second); _, _ = g.Accept(ctx, "alertmanager", []alert.Alert{b}) }()
	select {
	case <-second:
	case <-time.After(time.Minute):
		t.Error("a request whose context ended long ago still waits for the mutex of the heartbeat")
	}
	close(slow.hold)
	<-first
	<-second
}
