package redis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// spread is a request of the given size: alerts of several keys, in one change each.
func spread(n, keys, alerts int, make func(n int, key incident.Key, alerts ...int) incident.Change) []incident.Change {
	byKey := map[int][]int{}
	for a := range alerts {
		byKey[a%keys] = append(byKey[a%keys], a)
	}
	var out []incident.Change
	for k := range keys {
		out = append(out, make(n*1000+k, keyNumber(k), byKey[k]...))
	}
	return out
}

// tripsOf counts the pipelines that do takes, as the Store and as the server's
// side see it. It is done again, up to a few times, if a call had to be repeated
// because this machine was slow, or if they do not agree: a pipeline that is too
// long for one write may look like two from the outside.
func tripsOf(t *testing.T, s *Store, proxy *redistest.Proxy, do func(try int)) int64 {
	t.Helper()
	for try := range 5 {
		trips, outside, retries := s.trips.Load(), proxy.RoundTrips(), valueOf(t, s.metrics.retries)
		do(try)
		trips, outside = s.trips.Load()-trips, proxy.RoundTrips()-outside
		switch {
		case valueOf(t, s.metrics.retries) != retries:
			t.Log("calls had to be sent again")
		case outside != trips:
			t.Logf("the Store counts %d round trips, the proxy %d", trips, outside)
		default:
			return trips
		}
	}
	t.Fatal("there was no try in which no call was repeated and both counted the same")
	return 0
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s := another(t, proxy.URL(), Options{})
	for _, script := range []*script{scriptRead, scriptCommit} {
		server.Do("SCRIPT", "LOAD", script.text)
	}
	send := func(s *Store, alerts, keys int, make func(n int, key incident.Key, alerts ...int) incident.Change) func(n int) {
		return func(n int) { update(t, s, spread(n, keys, alerts, make)...) }
	}
	cold := func() *Store { return another(t, proxy.URL(), Options{}) }
	for n, c := range []struct {
		name string
		s    *Store
		do   func(s *Store) func(n int)
		want int64
	}{
		{"100 new alerts of 13 new keys", s, func(s *Store) func(int) { return send(s, 100, 13, joining) }, 2},
		{"100 known alerts of 13 known keys, which change", s, func(s *Store) func(int) { return send(s, 100, 13, joining) }, 2},
		{"50 new alerts and 100 known ones", s, func(s *Store) func(int) { return send(s, 150, 13, joining) }, 2},
		{"150 repeats of 13 keys", s, func(s *Store) func(int) { return send(s, 150, 13, repeating) }, 1},
		{"one alert", s, func(s *Store) func(int) { return send(s, 1, 1, joining) }, 2},
		{"one repeat", s, func(s *Store) func(int) { return send(s, 1, 1, repeating) }, 1},
		{"40 keys, most of them new", s, func(s *Store) func(int) { return send(s, 40, 40, joining) }, 2},
		{"what a person does", s, func(s *Store) func(int) {
			id := incidentOf(t, s, keyNumber(0)).ID
			return func(n int) {
				update(t, s, editing(1_000_000+n, id, func(e *incident.Edit) error { return e.Note("ann", "a note", e.Incident.OpenedAt) }))
			}
		}, 2},
		{"changes of keys that this process has not seen", cold(), func(s *Store) func(int) { return send(s, 150, 13, joining) }, 2},
		{"repeats of keys that this process has not seen", cold(), func(s *Store) func(int) { return send(s, 150, 13, repeating) }, 1},
		{"changes of 13 keys that another process has changed for the first time", s, func(s *Store) func(int) { return send(s, 150, 13, joining) }, 3},
		{"changes of 13 keys that another process changes now and then", s, func(s *Store) func(int) {
			update(t, another(t, server.URL(), Options{}), spread(999, 13, 13, joining)...)
			return send(s, 150, 13, joining)
		}, 2},
	} {
		do := c.do(c.s)
		got := tripsOf(t, c.s, proxy, func(try int) { do(1 + 10*n + try) })
		if got > c.want {
			t.Errorf("%s: %d round trips, want %d", c.name, got, c.want)
		}
		c.s.flush(t.Context(), true)
	}
	audit(t, s)
}

// TestRoundTripsOfMany says what a request costs that is larger than one pipeline.
func TestRoundTripsOfMany(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s := another(t, proxy.URL(), Options{})
	update(t, s, joining(0, keyNumber(1000), 0)) // the server learns the scripts
	got := tripsOf(t, s, proxy, func(try int) { update(t, s, spread(1+try, 300, 300, joining)...) })
	if want := int64(2 * ((300 + flightSize - 1) / flightSize)); got > want {
		t.Errorf("300 new keys: %d round trips, want at most %d", got, want)
	}
	t.Logf("300 new keys: %d round trips", got)
}

// TestRoundTripsAfterOthers: that another process opened another incident costs
// one more read.
func TestRoundTripsAfterOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s, other := another(t, proxy.URL(), Options{}), another(t, server.URL(), Options{})
	key := keyNumber(1)
	for n := range 3 {
		update(t, s, joining(n, key, 1))
		i := incidentOf(t, other, key)
		update(t, other, editing(1000+n, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
		update(t, other, joining(2000+n, key, 2000+n))
		if got := tripsOf(t, s, proxy, func(try int) { update(t, s, joining(100*n+10+try, key, 1)) }); got > 3 {
			t.Errorf("after another process opened an incident: %d round trips, want at most 3", got)
		}
	}
	audit(t, s)
}

// TestCommandsOfUpdate counts what the server does for one request, beside the
// commands inside of scripts.
func TestCommandsOfUpdate(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	update(t, s, spread(1, 13, 100, joining)...)
	for _, c := range []struct {
		name     string
		do       func(n int)
		evalshas int64
	}{
		{"100 alerts of 13 keys that change", func(n int) { update(t, s, spread(n, 13, 100, joining)...) }, 13},
		{"100 repeats of 13 keys", func(n int) { update(t, s, spread(n, 13, 100, repeating)...) }, 0},
	} {
		for try := range 5 {
			retries, before := valueOf(t, s.metrics.retries), server.CommandCount()
			c.do(2 + try)
			after := server.CommandCount()
			if valueOf(t, s.metrics.retries) != retries {
				continue
			}
			if got := after["evalsha"] - before["evalsha"]; got != c.evalshas {
				t.Errorf("%s: %d scripts that write, want one for each key that changes: %d", c.name, got, c.evalshas)
			}
			var more []string
			for name, n := range after {
				if d := n - before[name]; d > 100 && !strings.HasPrefix(name, "h") && !strings.HasPrefix(name, "z") {
					more = append(more, fmt.Sprintf("%s %d", name, d))
				}
			}
			if len(more) > 0 {
				t.Errorf("%s: more commands than alerts: %q", c.name, more)
			}
			break
		}
	}
}
