package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// TestRedisSentinelFailover kills the master while the gateways write to it, and Sentinel
// makes its replica the master. With durability replicated nothing is
// lost; a replica that is behind stops the gateways meanwhile.
func TestRedisSentinelFailover(t *testing.T) {
	for _, c := range []struct {
		name   string
		behind int
	}{{"the replica follows", 0}, {"the replica was behind", 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Sentinel(t, 1)
			acknowledging(t, s.Servers[0], 1)
			tr := newTrial(t, trialConfig(durable(s.URL(), "replicated")), sameStore(s.URL(), 2)...)
			tr.send()
			tr.again(func() {
				tr.watch(time.Second)
				tr.failover(s, c.behind, func() {})
				tr.progress(3)
			})
			tr.finish()
		})
	}
}

// TestRedisSentinelFailoverLoses measures what is lost where something can be. That is
// so with durability local, and with replicated where there are several replicas: one of them has
// what was acknowledged, but should Sentinel give up a master that lives it may
// take another one. What is not lost is as it should be.
func TestRedisSentinelFailoverLoses(t *testing.T) {
	for _, c := range []struct {
		name, durability string
		replicas, behind int
	}{
		{"locally, the replica follows", "local", 1, 0},
		{"locally, the replica was behind", "local", 1, 1},
		{"replicated, one of two replicas was behind", "replicated", 2, 1},
	} {
		if c.replicas > 1 && *faults == 1 {
			continue // the figure is seldom other than 0
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Sentinel(t, c.replicas)
			acknowledging(t, s.Servers[0], c.replicas)
			tr := newTrial(t, trialConfig(durable(s.URL(), c.durability)), sameStore(s.URL(), 2)...)
			tr.send()
			// Nothing new is said after the kill, so that the last word about each alert was
			// acknowledged before or was lost.
			tr.failover(s, c.behind, func() { tr.stopping.Store(true) })
			tr.stop()
			tr.measure()
		})
	}
}

// measure checks all that holds after a loss, and logs the loss.
func (tr *trial) measure() {
	tr.t.Helper()
	found := tr.check()
	tr.t.Logf("lost: %d of the alerts that were acknowledged are not there, or not as acknowledged", len(found.Lost)+len(found.Wrong))
}

// failover cuts replicas off for a while, kills the master, waits for the next one, and lets the old one come
// back as a replica.
func (tr *trial) failover(s *redistest.Sentinels, behind int, killed func()) {
	tr.t.Helper()
	tr.inStep(s)
	old := s.Master()
	var replicas []*redistest.Server
	for _, r := range s.Servers {
		if r != old {
			replicas = append(replicas, r)
		}
	}
	for _, r := range replicas[:behind] {
		cutOff(r)
	}
	if behind > 0 { // nobody may be answered meanwhile
		if err := pause(tr.t.Context(), behindFor); err != nil {
			tr.t.Fatal(err)
		}
	}
	began := time.Now()
	old.Kill()
	killed()
	tr.awaitReady(false)
	next := s.Successor(old)
	tr.figure("successor after", time.Since(began))
	if slices.Contains(replicas[:behind], next) {
		tr.t.Logf("the next master was behind for %s", behindFor)
	}
	// As an operator does it: it must not begin as a master.
	old.Restart()
	for _, r := range s.Servers { // Sentinel may have had it written to the file
		r.Do("CONFIG", "SET", "masterauth", redistestPassword)
	}
	follow(tr.t, old, next)
	tr.awaitReady(true)
	tr.figure("ready again after", time.Since(began))
}

// inStep waits until all servers but the master follow it.
func (tr *trial) inStep(s *redistest.Sentinels) {
	tr.t.Helper()
	tr.await(noticed, func() error {
		following := 0
		for _, r := range s.Servers {
			text, err := r.DoErr("INFO", "replication")
			if err != nil {
				return err
			}
			if strings.Contains(text, "master_link_status:up") {
				following++
			}
		}
		if following != len(s.Servers)-1 {
			return fmt.Errorf("%d of %d servers follow another", following, len(s.Servers))
		}
		return nil
	})
}

// acknowledging waits until replicas have acknowledged something. One that has just synced is
// online, but is sent nothing before it has, which it does once a second.
func acknowledging(t *testing.T, master *redistest.Server, replicas int) {
	t.Helper()
	eventually(t, noticed, func(context.Context) error {
		for i := range replicas {
			line := master.Info("replication", fmt.Sprintf("slave%d", i))
			if strings.Contains(line, "offset=0,") {
				return fmt.Errorf("replica %d: %s", i, line)
			}
		}
		return nil
	})
}

// behindFor is for how long a replica is cut off before its master is killed.
const behindFor = 500 * time.Millisecond

// redistestPassword is that of redistest's own user.
const redistestPassword = "redistest"

// cutOff parts a replica from its master, as a network does that breaks between
// the two.
func cutOff(r *redistest.Server) {
	r.Do("CONFIG", "SET", "masterauth", "wrong")
	r.Do("CLIENT", "KILL", "TYPE", "master")
}

// follow makes a server the replica of another.
func follow(t *testing.T, r, master *redistest.Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Do("REPLICAOF", host, port)
}

// TestRedisClusterMasterKilled kills a master of a cluster that has some of the shards.
// With durability replicated nothing is lost.
func TestRedisClusterMasterKilled(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1)
	for _, master := range c.Nodes[:3] {
		acknowledging(t, master, 1)
	}
	tr := newTrial(t, trialConfig(durable(c.URL(), "replicated")), sameStore(c.URL(), 2)...)
	tr.send()
	tr.again(func() {
		tr.watch(time.Second)
		tr.takeover(c, func() {})
		tr.progress(3)
	})
	tr.finish()
}

// TestRedisClusterMasterKilledLosesWithoutReplication measures what is lost with
// durability local.
func TestRedisClusterMasterKilledLosesWithoutReplication(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1)
	tr := newTrial(t, trialConfig(durable(c.URL(), "local")), sameStore(c.URL(), 2)...)
	tr.send()
	tr.takeover(c, func() { tr.stopping.Store(true) })
	tr.stop()
	tr.measure()
}

// takeover kills the master of a random shard and waits until its replica has taken over.
func (tr *trial) takeover(c *redistest.ClusterNodes, killed func()) {
	tr.t.Helper()
	slot := slotOf(c, tr.random.IntN(64))
	old := c.MasterOf(slot)
	began := time.Now()
	old.Kill()
	killed()
	tr.awaitReady(false)
	c.MasterOf(slot)
	tr.figure("taken over after", time.Since(began))
	old.Restart() // it comes back as a replica, without which nothing can be replicated
	tr.awaitReady(true)
	tr.figure("ready again after", time.Since(began))
	c.AwaitOK()
}

// slotOf is the slot that one of Tocsin's shards is in.
func slotOf(c *redistest.ClusterNodes, shard int) int {
	slot, err := strconv.Atoi(c.Nodes[len(c.Nodes)-1].Do("CLUSTER", "KEYSLOT", fmt.Sprintf("tocsin:{%02d}:keys", shard)))
	if err != nil {
		panic(err) // unreachable: Redis answers a number
	}
	return slot
}

// TestRedisClusterSlotsMove moves the slots of some shards from one master to
// another and back. That is no outage.
func TestRedisClusterSlotsMove(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 0)
	tr := newTrial(t, trialConfig(), sameStore(c.URL(), 2)...)
	tr.send()
	tr.watch(time.Second)
	tr.again(func() {
		from, to := c.Nodes[0], c.Nodes[1]
		var slots []int
		for shard := 0; len(slots) < 6; shard++ {
			if slot := slotOf(c, shard); c.MasterOf(slot) == from {
				slots = append(slots, slot)
			}
		}
		began := time.Now()
		c.MigrateSlots(t, from, to, slots)
		tr.figure(fmt.Sprintf("%d slots moved in", len(slots)), time.Since(began))
		tr.progress(3)
		c.MigrateSlots(t, to, from, slots)
		tr.progress(3)
	})
	tr.finish()
}
