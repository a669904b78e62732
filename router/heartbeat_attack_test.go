package router

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// The comparison with the API of Alertmanager must not stand in for the messages
// that do not come: that they come is what the heartbeat watches.
func TestAttackCompareFeedsHeartbeat(t *testing.T) {
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
func TestAttackHeartbeatSwallowsAll(t *testing.T) {
	g := newGateway(t, heartbeats(Heartbeat{Name: "h", Matchers: []string{`heartbeat!="no"`}, Every: model.Duration(6 * time.Minute)}))
	if v := g.say("nagios", "HOSTNAME=web&NOTIFICATIONTYPE=PROBLEM&HOSTSTATE=DOWN"); v[0] == alert.Suppressed {
		t.Errorf("got %v", v)
	}
}
