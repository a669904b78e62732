package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// clockSlack is by how much times may differ that are the same on a busy machine.
const clockSlack = 3 * time.Second

// timedIncident is the times of an incident as the API shows it.
type timedIncident struct {
	ID            string     `json:"id"`
	Reference     string     `json:"reference"`
	OpenedAt      time.Time  `json:"opened_at"`
	StartedAt     time.Time  `json:"started_at"`
	CycleOpenedAt time.Time  `json:"cycle_opened_at"`
	ChangedAt     time.Time  `json:"changed_at"`
	ResolvedAt    *time.Time `json:"resolved_at"`
	ClosedAt      *time.Time `json:"closed_at"`
	RestoredAt    *time.Time `json:"restored_at"`
	TimeClamped   bool       `json:"time_clamped"`
	TimeToDetect  float64    `json:"time_to_detect_seconds"`
	TimeToResolve *float64   `json:"time_to_resolve_seconds"`
	Outage        *float64   `json:"outage_seconds"`
}

// timedAlert is the times of an alert as the API shows it.
type timedAlert struct {
	StartsAt   time.Time `json:"starts_at"`
	ReceivedAt time.Time `json:"received_at"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	Flags      []string  `json:"flags"`
}

// TestRedisClockOff has two gateways of which one has a clock that is ten minutes off. They
// show the same times, which are Redis's, and alerts expire when they are over.
func TestRedisClockOff(t *testing.T) {
	binary, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			began := time.Now()
			tr := newTrial(t, trialConfig(), sameStore(server.URL(), 2)...)
			wrong := tr.fleet[1]
			wrong.running.Load().kill()
			if err := wrong.start(t.Context(), binary, "TOCSIN_CLOCK_SKEW="+skew.String()); err != nil {
				t.Fatal(err)
			}
			tr.first[1] = wrong.running.Load()
			tr.send()
			for range 4 { // two for each gateway
				tr.watch(time.Second)
			}
			tr.again(func() { tr.progress(5) })
			tr.await(settledWithin, func() error { return tr.noneExpires() })
			// It has to keep the time by itself as well.
			tr.outage(server.Pause, server.Resume)
			tr.finish()
			for _, m := range tr.fleet {
				tr.times(m.running.Load(), began)
			}
		})
	}
}

// times wants all times that a gateway shows to be since the trial began, and no duration to be negative
// or longer than the trial.
func (tr *trial) times(g *answering, began time.Time) {
	tr.t.Helper()
	ctx, base := tr.t.Context(), "http://"+g.addr+"/api/v1/incidents"
	incidents, err := pages[timedIncident](ctx, base, "incidents")
	if err != nil {
		tr.t.Fatal(err)
	}
	from, to := began.Add(-clockSlack), time.Now().Add(clockSlack)
	var found []string
	within := func(of, what string, at time.Time) {
		if at.Before(from) || at.After(to) {
			found = append(found, fmt.Sprintf("%s: %s is %s, the trial was from %s to %s", of, what, at, from, to))
		}
	}
	for _, in := range incidents {
		if in.TimeClamped {
			found = append(found, in.Reference+": its start was taken for wrong")
		}
		for what, at := range map[string]*time.Time{"opened_at": &in.OpenedAt, "started_at": &in.StartedAt, "cycle_opened_at": &in.CycleOpenedAt,
			"changed_at": &in.ChangedAt, "resolved_at": in.ResolvedAt, "closed_at": in.ClosedAt, "restored_at": in.RestoredAt} {
			if at != nil {
				within(in.Reference, what, *at)
			}
		}
		for what, seconds := range map[string]*float64{"time_to_detect_seconds": &in.TimeToDetect, "time_to_resolve_seconds": in.TimeToResolve, "outage_seconds": in.Outage} {
			if seconds != nil && (*seconds < 0 || *seconds > to.Sub(from).Seconds()) {
				found = append(found, fmt.Sprintf("%s: %s is %v", in.Reference, what, *seconds))
			}
		}
		alerts, err := pages[timedAlert](ctx, base+"/"+in.ID+"/alerts", "alerts")
		if err != nil {
			tr.t.Fatal(err)
		}
		for _, a := range alerts {
			for what, at := range map[string]time.Time{"starts_at": a.StartsAt, "received_at": a.ReceivedAt, "first_seen": a.FirstSeen, "last_seen": a.LastSeen} {
				within(in.Reference, what+" of an alert", at)
			}
			if a.ReceivedAt.Before(a.StartsAt.Add(-clockSlack)) || a.LastSeen.Before(a.FirstSeen) || len(a.Flags) > 0 {
				found = append(found, fmt.Sprintf("%s: an alert that contradicts itself: %+v", in.Reference, a))
			}
		}
	}
	received, err := g.series(ctx, "tocsin_source_last_received_timestamp_seconds{source=\"alertmanager\"}")
	if err != nil {
		tr.t.Fatal(err)
	}
	for what, seconds := range received {
		within("metrics", what, time.Unix(int64(seconds), 0))
	}
	complain(tr.t, "time", found)
}

// TestRedisClockOfASlowConnection has a gateway that hears late what Redis says, the time as well.
// What ended after it had begun has ended, whichever gateway is told.
func TestRedisClockOfASlowConnection(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	f := newFleet(t, "{}\n", server.URL(), proxy.URL())
	proxy.Delay(100 * time.Millisecond)
	for i := range 10 {
		starts := time.Now().Truncate(time.Millisecond)
		for n, m := range f {
			a := wireAlert{Status: "firing", Labels: map[string]string{"alertname": "Short", "pod": strconv.Itoa(i)}, Annotations: map[string]string{}, StartsAt: starts.UTC()}
			want := []string{"opened", "joined", "reopened"}
			if n == 1 {
				a.Status, a.EndsAt, want = "resolved", starts.Add(time.Millisecond).UTC(), []string{"resolved"}
			}
			body, err := json.Marshal(map[string]any{"version": "4", "groupKey": "{}", "status": a.Status, "receiver": "tocsin", "alerts": []wireAlert{a}})
			if err != nil {
				t.Fatal(err)
			}
			results, _, err := m.post(t.Context(), "alertmanager", body, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := results[0].Verdict; !slices.Contains(want, got) {
				t.Errorf("alert %d, %s, to gateway %d: got %s, want one of %q", i, a.Status, n+1, got, want)
			}
		}
	}
}
