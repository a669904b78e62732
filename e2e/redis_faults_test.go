package e2e

import (
	"strconv"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// Faults of a single Redis, each under load on two gateways. After each of them every alert that was
// answered 2xx is in exactly one incident, in the state that was said last. The long form:
//
//	go test -tags nomsgpack ./e2e -run '^TestRedis' -v -count=1 -faults 50 -faulttime 30s -timeout 24h

// durableRedis keeps what it has answered, whatever happens to its process.
func durableRedis(t *testing.T, settings ...string) *redistest.Server {
	t.Helper()
	return redistest.Single(t, append([]string{"appendonly yes", "appendfsync always"}, settings...)...)
}

// TestRedisGatewayKilled kills one of two gateways with kill -9, at random and
// before and after a commit, and starts it again.
func TestRedisGatewayKilled(t *testing.T) {
	t.Parallel()
	binary, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrial(t, trialConfig(), sameStore(redistest.Single(t).URL(), 2)...)
	tr.kills = true
	tr.send()
	k := &killing{random: tr.random, failpointBinary: binary, kills: 4 * *faults}
	tr.watch(time.Second)
	if err := k.run(tr.ctx, tr.fleet); err != nil {
		t.Fatal(err)
	}
	for _, m := range tr.fleet {
		tr.figure("started in", m.running.Load().readyAfter)
	}
	t.Logf("%d kills at random, %d at failpoints", k.atRandom, k.atPoint)
	tr.finish()
}

// TestRedisKilled kills Redis with kill -9. With appendfsync always it has all that it answered.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	server := durableRedis(t)
	tr := newTrial(t, trialConfig(), sameStore(server.URL(), 2)...)
	tr.send()
	tr.again(func() { tr.outage(server.Kill, server.Restart) })
	tr.finish()
}

// TestRedisPaused stops Redis with SIGSTOP: connections stay, nothing is answered.
func TestRedisPaused(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	tr := newTrial(t, trialConfig(), sameStore(server.URL(), 2)...)
	tr.send()
	tr.again(func() { tr.outage(server.Pause, server.Resume) })
	tr.finish()
}

// TestRedisOutOfMemory lets Redis reach maxmemory: it refuses a commit as a whole.
func TestRedisOutOfMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t, "maxmemory-policy noeviction")
	tr := newTrial(t, trialConfig(), sameStore(server.URL(), 2)...)
	tr.send()
	tr.again(func() {
		tr.outage(func() {
			used, err := strconv.Atoi(server.Info("memory", "used_memory"))
			if err != nil {
				t.Fatal(err)
			}
			// Just above, so that some commits still find room and others do not.
			server.Do("CONFIG", "SET", "maxmemory", strconv.Itoa(used+64<<10))
		}, func() { server.Do("CONFIG", "SET", "maxmemory", "0") })
	})
	tr.finish()
}

// TestRedisReadOnly turns the master into a replica of its replica, in order, and
// back. The gateways know only the one address.
func TestRedisReadOnly(t *testing.T) {
	t.Parallel()
	servers := redistest.Replicated(t, 1)
	tr := newTrial(t, trialConfig(), sameStore(servers[0].URL(), 2)...)
	tr.send()
	tr.again(func() {
		tr.outage(func() { tr.handOver(servers[0], servers[1]) }, func() { tr.handOver(servers[1], servers[0]) })
	})
	tr.finish()
}

// handOver makes the one server, which is master, a replica of the other, with all
// that it has.
func (tr *trial) handOver(from, to *redistest.Server) {
	tr.t.Helper()
	from.Do("FAILOVER")
	tr.await(noticed, func() error {
		if from.Info("replication", "role") != "slave" || to.Info("replication", "role") != "master" || from.Info("replication", "master_link_status") != "up" {
			return errNotYet
		}
		return nil
	})
}

// TestRedisConnectionsBreak swallows the answers to scripts, which were carried out, and breaks
// connections in the middle of whatever they are at.
func TestRedisConnectionsBreak(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	proxies := []*redistest.Proxy{redistest.NewProxy(t, server.Addr), redistest.NewProxy(t, server.Addr)}
	tr := newTrial(t, trialConfig(), proxies[0].URL(), proxies[1].URL())
	tr.send()
	tr.watch(time.Second)
	for range 6 * *faults {
		for _, p := range proxies {
			p.DropReplies(1+tr.random.IntN(4), "EVALSHA")
		}
		for _, p := range proxies {
			tr.await(noticed, func() error {
				if !p.Dropped() {
					return errNotYet
				}
				return nil
			})
		}
		tr.progress(1)
		proxies[tr.random.IntN(len(proxies))].Reset()
		tr.progress(1)
	}
	tr.finish()
}

// TestRedisForgetsScripts has Redis forget all scripts, several times under load.
func TestRedisForgetsScripts(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	tr := newTrial(t, trialConfig(), sameStore(server.URL(), 2)...)
	tr.send()
	tr.watch(time.Second)
	flushes := 10 * *faults
	for range flushes {
		server.Do("SCRIPT", "FLUSH")
		tr.progress(1)
	}
	tr.finish()
	reloads := 0.0
	for _, m := range tr.fleet {
		s, err := m.running.Load().series(t.Context(), "tocsin_store_redis_script_reloads_total")
		if err != nil {
			t.Fatal(err)
		}
		reloads += sumOf(s, "tocsin")
	}
	if reloads == 0 {
		t.Error("no script was loaded again, so nothing is shown")
	}
	// A server that gets no processor for a second refuses a few as well.
	if n := tr.heard.count(503); n >= flushes {
		t.Errorf("%d requests were answered 503 in %d flushes, want none for that: a script that is forgotten is no outage", n, flushes)
	}
}

// TestRedisKilledWhileSourcesSpool kills Redis while a source spools: what comes meanwhile is
// answered 202, and applied in order when Redis is back.
func TestRedisKilledWhileSourcesSpool(t *testing.T) {
	t.Parallel()
	server := durableRedis(t)
	config := trialConfig("spool: {dir: {dir}}", "sources: {spooled: {format: alertmanager, on_store_failure: spool}}")
	tr := newTrial(t, config, sameStore(server.URL(), 2)...)
	// The order of what waits on two machines is nobody's.
	tr.source, tr.sticky = "spooled", true
	tr.send()
	tr.again(func() { tr.outage(server.Kill, server.Restart) })
	tr.finish()
	if n := tr.heard.count(503); n != 0 {
		t.Errorf("%d requests to a source that spools were answered 503, want none", n)
	}
	if tr.heard.count(202) == 0 {
		t.Error("nothing was spooled, so nothing is shown")
	}
}
