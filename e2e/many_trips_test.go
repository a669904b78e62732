package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// The shape of the reference load: so many alerts in a request, of so many keys.
const (
	loadAlerts = 100
	loadKeys   = 13
	// loadGroups is how many different sets of keys there are, so that the gateways
	// of a fleet are at different ones and at the same ones.
	loadGroups = 11
)

// loadBody is the n-th request of a load, about keys of so many groups. Alerts
// are new if no request before had that number.
func loadBody(n, groups int, ended bool) ([]byte, error) {
	alerts := make([]wireAlert, loadAlerts)
	starts := time.Now().Add(-time.Hour).Truncate(time.Hour).UTC()
	for i := range alerts {
		alerts[i] = wireAlert{Status: "firing", StartsAt: starts, GeneratorURL: "http://prometheus.example.net:9090/graph",
			Labels: map[string]string{"alertname": "LoadTest", "cluster": "e2e", "severity": "warning", "pod": fmt.Sprintf("load-%d-%d", n, i),
				"service": fmt.Sprintf("service-%d-%d", n%groups, i%loadKeys), "namespace": "prod", "instance": "10.0.0.1:9100", "job": "load"},
			Annotations: map[string]string{"summary": "a load of alerts", "description": "what the reference load says, about as long", "runbook_url": "https://runbooks.example.net/load"},
		}
		if ended {
			alerts[i].Status, alerts[i].EndsAt = "resolved", starts.Add(time.Minute)
		}
	}
	return json.Marshal(map[string]any{"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "tocsin", "alerts": alerts})
}

// metered is a fleet whose traffic with Redis is counted.
type metered struct {
	fleet
	server  *redistest.Server
	proxies []*redistest.Proxy
}

// newMetered starts n gateways on a Redis of their own, each behind a proxy.
func newMetered(t *testing.T, n int) *metered {
	t.Helper()
	m := &metered{server: redistest.Single(t)}
	urls := make([]string, n)
	for i := range urls {
		m.proxies = append(m.proxies, redistest.NewProxy(t, m.server.Addr))
		urls[i] = m.proxies[i].URL()
	}
	m.fleet = newFleet(t, "{}\n", urls...)
	return m
}

// trips is how many round trips there were, without those that tell others of changes: each
// gateway makes up to five of them a second, which is many a request if the machine is busy.
func (m *metered) trips() int64 {
	sum := -m.server.CommandCount()["publish"]
	for _, p := range m.proxies {
		sum += p.RoundTrips()
	}
	return sum
}

// quiet waits until the gateways do nothing for a moment.
func (m *metered) quiet(ctx context.Context) error {
	for last, equal := int64(-1), 0; equal < 3; equal++ {
		if now := m.trips(); now != last {
			last, equal = now, 0
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// traffic is what a load has cost.
type traffic struct {
	requests int
	trips    float64
	// commands are those that Redis carried out, those of scripts included; scripts
	// are EVALSHA and EVALSHA_RO.
	commands, scripts float64
	took              time.Duration
}

func (c traffic) less(idle traffic) traffic {
	share := c.took.Seconds() / idle.took.Seconds()
	c.trips -= share * idle.trips
	c.commands -= share * idle.commands
	c.scripts -= share * idle.scripts
	return c
}

// meter counts what f costs.
func (m *metered) meter(t *testing.T, requests int, f func() error) traffic {
	t.Helper()
	count := func() (all, scripts int64) {
		for name, n := range m.server.CommandCount() {
			if slices.Contains([]string{"auth", "ping", "info"}, name) {
				continue // ours
			}
			all += n
			if strings.HasPrefix(name, "eval") {
				scripts += n
			}
		}
		return all, scripts
	}
	commands, scripts := count()
	trips, began := m.trips(), time.Now()
	if err := f(); err != nil {
		t.Fatal(err)
	}
	c := traffic{requests: requests, trips: float64(m.trips() - trips), took: time.Since(began)}
	all, run := count()
	c.commands, c.scripts = float64(all-commands), float64(run-scripts)
	return c
}

// load is some requests.
type load struct {
	name string
	// connections is how many send at a time, groups of how many groups the keys are.
	connections, groups int
	// again: the same alerts as in the load before. Ended: to say that they are over.
	again, ended bool
	// verdict is what all alerts but those that open incidents have to be answered.
	verdict string
	// trips is how many round trips a request may take; 0 for as many as it takes.
	trips float64
}

// send sends the requests from..to, each in its turn to the next gateway.
func (m *metered) send(ctx context.Context, l *load, from, to int) error {
	errs := make([]error, l.connections)
	var group sync.WaitGroup
	for c := range l.connections {
		group.Go(func() {
			for n := from + c; n < to && errs[c] == nil; n += l.connections {
				body, err := loadBody(n, l.groups, l.ended)
				if err != nil {
					errs[c] = err
					return
				}
				results, _, err := m.fleet[n%len(m.fleet)].post(ctx, "alertmanager", body, loadAlerts)
				errs[c] = err
				for _, r := range results {
					if r.Verdict != l.verdict && r.Verdict != "opened" && r.Verdict != "reopened" {
						errs[c] = fmt.Errorf("an alert of request %d was answered %+v, want %s", n, r, l.verdict)
					}
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestManyGatewaysAddNoTrips: the same load costs the same round trips, scripts and
// commands, however many gateways share it.
func TestManyGatewaysAddNoTrips(t *testing.T) {
	fleets := []int{1, 2, 4}
	const requests = 4 * loadGroups // each gateway is told of each group
	loads := []load{
		// A gateway that learns that it is not alone with a key reads it twice once.
		{"to learn the keys", 1, loadGroups, false, false, "joined", 3},
		{"to learn who shares them", 1, loadGroups, false, false, "joined", 3},
		{"new, one at a time", 1, loadGroups, false, false, "joined", 2},
		{"repeated, one at a time", 1, loadGroups, true, false, "duplicate", 1},
		{"ended, one at a time", 1, loadGroups, true, true, "resolved", 2},
		{"new, 8 at a time", 8, loadGroups, false, false, "joined", 2},
		{"repeated, 8 at a time", 8, loadGroups, true, false, "duplicate", 1},
		{"ended, 8 at a time", 8, loadGroups, true, true, "resolved", 2},
		// The worst there is, for the figures.
		{"new, 8 at a time, all of the same 13 keys", 8, 1, false, false, "joined", 0},
	}
	const learned = 2 // loads
	// room is for what collides, and for what the gateways do by themselves.
	const room = 1.3
	costs := make([][]traffic, len(loads))
	for _, n := range fleets {
		m := newMetered(t, n)
		ctx := t.Context()
		idle := m.idle(t)
		for i, at := 0, 0; i < len(loads); i++ {
			l := &loads[i]
			if !l.again {
				at += requests
			}
			c := m.meter(t, requests, func() error { return m.send(ctx, l, at-requests, at) }).less(idle)
			costs[i] = append(costs[i], c)
		}
		collisions, leases := m.collisions(t)
		t.Logf("%d gateways do %.1f round trips and %.0f commands a second by themselves; they collided %v times and took %v leases", n,
			idle.trips/idle.took.Seconds(), idle.commands/idle.took.Seconds(), collisions, leases)
	}
	out := "\n| load | gateways | round trips a request | scripts a request | commands an alert |\n| --- | --- | --- | --- | --- |\n"
	for i, l := range loads {
		alone := costs[i][0]
		for j, c := range costs[i] {
			per := float64(c.requests)
			out += fmt.Sprintf("| %s | %d | %.2f | %.2f | %.2f |\n", l.name, fleets[j], c.trips/per, c.scripts/per, c.commands/per/loadAlerts)
			switch {
			case l.trips == 0:
			case c.trips/per > room*l.trips:
				t.Errorf("%s, %d gateways: %.2f round trips a request, want at most %.1f times %v", l.name, fleets[j], c.trips/per, room, l.trips)
			case l.connections == 1 && i >= learned && c.trips > room*alone.trips:
				// With several at a time a gateway alone sends them together, so that it has fewer.
				t.Errorf("%s: %d gateways take %.0f round trips, want at most %.1f times the %.0f of one", l.name, fleets[j], c.trips, room, alone.trips)
			case i >= learned && c.scripts > room*alone.scripts+per/10:
				t.Errorf("%s: %d gateways run %.0f scripts, want at most %.1f times the %.0f of one", l.name, fleets[j], c.scripts, room, alone.scripts)
			case i >= learned && c.commands > 1.8*alone.commands: // a key that is shared is read by three in place of two, in the same trip
				t.Errorf("%s: %d gateways take %.0f commands, want at most 1.8 times the %.0f of one", l.name, fleets[j], c.commands, alone.commands)
			}
		}
	}
	t.Log(out)
}

// idle is what the gateways do by themselves in a second: the least of three, as they read
// the open incidents for the board at their start.
func (m *metered) idle(t *testing.T) traffic {
	t.Helper()
	var least traffic
	for n := range 3 {
		c := m.meter(t, 0, func() error { return pause(t.Context(), time.Second) })
		if n == 0 || c.commands < least.commands {
			least = c
		}
	}
	return least
}

// TestRoundTripsOfARequest: a request of a hundred alerts of thirteen keys takes
// two round trips, and one if all of them are repeats, for a gateway that has
// just been started as well.
func TestRoundTripsOfARequest(t *testing.T) {
	m := newMetered(t, 1)
	ctx := t.Context()
	const times = 2 * loadGroups
	// Now Redis knows the scripts, and all keys are there.
	if err := m.send(ctx, &load{connections: 1, groups: loadGroups, verdict: "joined"}, 0, loadGroups); err != nil {
		t.Fatal(err)
	}
	next := loadGroups
	for _, c := range []struct {
		name    string
		cold    bool // a gateway that knows no key yet
		new     bool
		ended   bool
		verdict string
		want    int64
	}{
		{"new ones of keys that are not remembered", true, true, false, "joined", 2},
		{"new ones", false, true, false, "joined", 2},
		{"repeats", false, false, false, "duplicate", 1},
		{"repeats of keys that are not remembered", true, false, false, "duplicate", 1},
		{"the end of all", false, false, true, "resolved", 2},
		{"the end again", false, false, true, "duplicate", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			count := times
			if c.cold {
				if err := m.fleet[0].stop(); err != nil {
					t.Fatal(err)
				}
				if err := m.fleet[0].start(ctx, tocsinBinary); err != nil {
					t.Fatal(err)
				}
				if err := m.quiet(ctx); err != nil { // it looks at all that is open after its start
					t.Fatal(err)
				}
				count = loadGroups // all keys once
			}
			if c.new {
				next += count
			}
			began, seen := time.Now(), map[int64]int{}
			for n := next - count; n < next; n++ {
				before := m.trips()
				if err := m.send(ctx, &load{connections: 1, groups: loadGroups, ended: c.ended, verdict: c.verdict}, n, n+1); err != nil {
					t.Fatal(err)
				}
				seen[m.trips()-before]++
			}
			// What the gateway does by itself, once or twice a second, falls into some of the requests, and
			// what tells others may be counted with the one after.
			other := count - seen[c.want]
			if most := count/4 + int(2*time.Since(began).Seconds()); other > most || other > count/2 {
				t.Errorf("round trips of %d requests: got %v, want %d of all but %d", count, seen, c.want, most)
			}
			t.Logf("requests by their round trips: %v", seen)
		})
	}
}
