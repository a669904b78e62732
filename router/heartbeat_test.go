package router

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

func heartbeats(list ...Heartbeat) func(*Settings) {
	return func(s *Settings) { s.Heartbeats = list }
}

var watchdog = Heartbeat{Name: "eu", Source: "alertmanager", Matchers: []string{`alertname="Watchdog"`}, Every: model.Duration(4 * time.Minute), Severity: "critical", Team: "sre"}

// minutes lets time go by and does the jobs that are due, minute after minute.
func (g *gateway) minutes(n int) {
	g.t.Helper()
	for range n {
		g.wait(time.Minute)
	}
}

// about is the state of the only incident, "" if there is none.
func (g *gateway) about() string {
	g.t.Helper()
	list := g.incidents()
	if len(list) > 1 {
		g.t.Fatalf("got %d incidents, want one at most", len(list))
	}
	if len(list) == 0 {
		return ""
	}
	return list[0].State
}

func TestHeartbeat(t *testing.T) {
	g := newGateway(t, heartbeats(watchdog))
	dog := g.firing("Watchdog", "p")
	for range 10 {
		if out := g.send(g.again(dog)); out[0].Verdict != alert.Suppressed || out[0].Reason != "heartbeat: eu" {
			t.Fatalf("a sign of life: got %+v, want it suppressed as the heartbeat", out[0])
		}
		g.minutes(1)
	}
	if got := g.about(); got != "" {
		t.Fatalf("while it is heard: got an incident that is %s", got)
	}
	g.minutes(6)
	i := g.incidents()[0]
	if i.State != incident.Open || i.Title != "Heartbeat eu" || i.Severity != "critical" || i.Labels["team"] != "sre" {
		t.Errorf("after silence: got %+v", i)
	}
	silent := i.StartedAt
	if want := epoch.Add(13 * time.Minute); silent.Before(want.Add(-2*time.Minute)) || silent.After(want.Add(time.Minute)) {
		t.Errorf("it is missing since %v, want about %v", silent, want)
	}
	version := i.Version
	g.minutes(20)
	if i := g.incidents()[0]; i.Version != version {
		t.Error("it was said more than once")
	}
	g.send(g.over(dog)) // that it ended is no sign of life
	if got := g.about(); got != incident.Open {
		t.Errorf("the watchdog said that it ended: got %s, want still open", got)
	}
	g.send(g.again(dog))
	if got := g.about(); got != incident.Resolved {
		t.Errorf("back again: got %s, want resolved", got)
	}
	g.minutes(10)
	if i := g.incidents(); len(i) != 1 || i[0].State != incident.Open || i[0].Reopens != 1 {
		t.Errorf("silent again: got %+v, want it reopened", i)
	}
	checkStore(t, g.st)
}

// TestHeartbeatOfASource: whatever comes counts, and is taken as what it is.
func TestHeartbeatOfASource(t *testing.T) {
	g := newGateway(t, heartbeats(Heartbeat{Name: "am", Source: "alertmanager", Every: model.Duration(4 * time.Minute), Severity: "warning"}))
	if out := g.send(g.firing("Down", "p")); out[0].Verdict != alert.Opened {
		t.Errorf("got %v, want opened", out[0].Verdict)
	}
	g.minutes(3)
	other := g.firing("Else", "p")
	other.Source = "prometheus"
	g.send(other)
	g.minutes(2)
	var titles []string
	for _, i := range g.incidents() {
		titles = append(titles, i.Title)
	}
	if len(titles) != 3 || titles[0] != "Heartbeat am" {
		t.Errorf("another source is no sign of life: got %q", titles)
	}
}

// TestANewHeartbeatHasTime: it is not missing because it was only configured now,
// not even in a restart, and one that is configured no more is not missed.
func TestANewHeartbeatHasTime(t *testing.T) {
	g := newGateway(t, heartbeats(watchdog))
	g.minutes(3)
	if got := g.about(); got != "" {
		t.Errorf("before its first period is over: got an incident that is %s", got)
	}
	again := pipeline(t, g.st, settings(heartbeats(watchdog)))
	g.Pipeline = again
	g.minutes(3)
	if got := g.about(); got != incident.Open {
		t.Errorf("a restart in between: got %q, want open all the same", got)
	}
	moved := watchdog
	moved.Team, moved.Severity = "db", "warning"
	g.Pipeline = pipeline(t, g.st, settings(heartbeats(moved)))
	g.minutes(1)
	if got := g.about(); got != incident.Open {
		t.Errorf("another team: got %q, want the same incident, open", got)
	}
	g.Pipeline = pipeline(t, g.st, settings())
	g.minutes(6)
	if got := g.about(); got != incident.Resolved {
		t.Errorf("configured no more: got %q, want resolved", got)
	}
	if _, err := g.st.Document(context.Background(), typeHeartbeat, "eu"); err == nil {
		t.Error("it is still stored")
	}
}

// TestHeartbeatsWaitForTheSpool: what is in it may be the sign of life.
func TestHeartbeatsWaitForTheSpool(t *testing.T) {
	g := newGateway(t, heartbeats(watchdog))
	held := true
	g.HoldExpiry(func() bool { return held })
	g.minutes(10)
	if got := g.about(); got != "" {
		t.Errorf("while something waits in the spool: got %q", got)
	}
	held = false
	g.minutes(1)
	if got := g.about(); got != incident.Open {
		t.Errorf("after that: got %q, want open", got)
	}
}

func TestHeartbeatExplained(t *testing.T) {
	g := newGateway(t, heartbeats(watchdog))
	out, err := g.Explain(context.Background(), []alert.Alert{g.firing("Watchdog", "p")})
	if err != nil || out[0].Outcome.Verdict != alert.Suppressed || len(out[0].Decisions) != 1 || out[0].Decisions[0].Stage != "heartbeat" {
		t.Errorf("got %+v (%v)", out, err)
	}
}
