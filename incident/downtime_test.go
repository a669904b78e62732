package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

func about(host, service string) *alert.Alert {
	labels := map[string]string{"alertname": "x", "host": host, "service": service}
	for name, value := range labels {
		if value == "" {
			delete(labels, name)
		}
	}
	return &alert.Alert{Labels: alert.FromMap(labels)}
}

func TestDowntime(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	p := Policy{Targets: func(*Incident) []Target { return []Target{{Name: "ops/slack[0]"}} }}
	i := &Incident{ID: ID{1}, State: Open}
	edit := func(do func(*Edit)) (jobs int) {
		e := p.Change(i, now)
		do(e)
		var next Next
		e.Into(&next)
		i = e.Incident
		return len(next.Jobs)
	}
	covers := func(host, service string, want time.Time) {
		t.Helper()
		if until, ok := i.InDowntime(about(host, service), now); ok != !want.IsZero() || !until.Equal(want) {
			t.Errorf("%s/%s: in downtime %t until %v, want until %v", host, service, ok, until, want)
		}
	}
	if jobs := edit(func(e *Edit) { e.BeginDowntime(about("web", "load"), now.Add(time.Hour)) }); jobs != 0 {
		t.Errorf("somebody is told that a downtime begins: %d jobs", jobs)
	}
	covers("web", "load", now.Add(time.Hour))
	covers("web", "disk", time.Time{})
	covers("web", "", time.Time{})
	covers("db", "load", time.Time{})
	edit(func(e *Edit) { e.BeginDowntime(about("web", ""), time.Time{}) })
	covers("web", "load", now.Add(24*time.Hour))
	covers("web", "", now.Add(24*time.Hour))
	if jobs := edit(func(e *Edit) { e.EndDowntime(about("web", "")) }); jobs != 1 {
		t.Errorf("a downtime ends: %d jobs, want one that tells of what still fires", jobs)
	}
	covers("web", "load", now.Add(time.Hour))
	covers("web", "disk", time.Time{})
	if jobs := edit(func(e *Edit) { e.EndDowntime(about("web", "disk")) }); jobs != 0 {
		t.Errorf("one that nobody knew ends: %d jobs", jobs)
	}
	now = now.Add(time.Hour)
	covers("web", "load", time.Time{})
	edit(func(e *Edit) { e.BeginDowntime(about("web", "load"), now) })
	edit(func(e *Edit) { e.BeginDowntime(about(strings.Repeat("h", 1000), ""), time.Time{}) })
	edit(func(e *Edit) { e.BeginDowntime(about("db", ""), now.Add(1000*24*time.Hour)) })
	covers("db", "", now.Add(31*24*time.Hour))
	if len(i.Downtimes) != 1 {
		t.Errorf("got %+v; one is over, one began too late, one has too long a name", i.Downtimes)
	}
	for n := range 2 * downtimesKept {
		edit(func(e *Edit) { e.BeginDowntime(about(fmt.Sprint(n), ""), time.Time{}) })
	}
	if len(i.Downtimes) != downtimesKept {
		t.Errorf("%d are kept, want %d", len(i.Downtimes), downtimesKept)
	}
	nameless := &alert.Alert{Labels: alert.FromMap(map[string]string{"alertname": "job"})}
	i = &Incident{ID: ID{1}, State: Open}
	edit(func(e *Edit) { e.BeginDowntime(nameless, time.Time{}) })
	if _, ok := i.InDowntime(nameless, now); !ok {
		t.Error("what has neither host nor service is not known by its name")
	}
	if _, ok := i.InDowntime(about("", "other"), now); ok {
		t.Error("it covers another one")
	}
}

func TestLink(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	parent, child := &Incident{ID: ID{1}, Reference: "INC-P"}, &Incident{ID: ID{2}, Reference: "INC-C"}
	for n := range 2 {
		up, down := Policy{}.Change(parent, now), Policy{}.Change(child, now)
		up.LinkChild(child)
		down.Link(parent, "service db is down")
		if up.Changed() != (n == 0) || down.Changed() != (n == 0) {
			t.Errorf("time %d: parent changed %t, child changed %t", n+1, up.Changed(), down.Changed())
		}
		parent, child = up.Incident, down.Incident
		if n == 0 && (down.timeline[0].Text != "child of INC-P: service db is down" || up.timeline[0].Text != "parent of INC-C") {
			t.Errorf("timelines: got %q and %q", up.timeline[0].Text, down.timeline[0].Text)
		}
	}
	if len(parent.Children) != 1 || parent.Children[0] != child.ID || child.Parent != parent.ID {
		t.Errorf("got children %v, parent %v", parent.Children, child.Parent)
	}
	back := Policy{}.Change(parent, now)
	back.Link(child, "")
	back.LinkChild(parent)
	if back.Changed() {
		t.Error("it became a circle")
	}
}
