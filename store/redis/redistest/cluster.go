package redistest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// slots is how many each cluster has.
const slots = 16384

// ClusterNodes are the nodes of a cluster.
type ClusterNodes struct {
	// Nodes are the masters of the beginning, in the order of their slots, and then
	// the replicas, in turns one of each master.
	Nodes []*Server

	t       testing.TB
	masters int
}

// Cluster starts masters with as many replicas each and waits until all slots are
// served and all nodes agree on it. A node that does not answer for a second is
// down for the others (cluster-node-timeout 1000, unless the settings say else).
func Cluster(t testing.TB, masters, replicas int, settings ...string) *ClusterNodes {
	t.Helper()
	c := &ClusterNodes{t: t, masters: masters}
	for i := range masters * (1 + replicas) {
		n := launch(t, role{name: fmt.Sprintf("node-%d", i+1), cluster: true}, settings)
		// Different from the beginning, so that they need not find out who gives way.
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		if i < masters {
			n.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/masters), strconv.Itoa(slots*(i+1)/masters-1))
		}
		// Each meets each: hearsay takes longer.
		for _, other := range c.Nodes {
			n.Do("CLUSTER", "MEET", "127.0.0.1", n.portOf(other), strconv.Itoa(other.bus))
		}
		c.Nodes = append(c.Nodes, n)
	}
	for i, n := range c.Nodes {
		n.await("acquainted with all", func() error { return n.knows(len(c.Nodes)) })
		if i >= masters {
			n.Do("CLUSTER", "REPLICATE", c.Nodes[i%masters].Do("CLUSTER", "MYID"))
		}
	}
	for i, n := range c.Nodes {
		if i >= masters {
			n.await("in sync with its master", n.inSync)
		} else {
			n.await(fmt.Sprintf("seeing %d replicas online", replicas), func() error { return n.replicasOnline(replicas) })
		}
	}
	c.AwaitOK()
	return c
}

// calm is for how many milliseconds a server may not answer where none is to be failed over.
const calm = "30000"

// Steady has the nodes wait for half a minute for one that does not answer: a busy
// machine may give one no time for a second. It is for tests that fail none over.
func (c *ClusterNodes) Steady() *ClusterNodes {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.Do("CONFIG", "SET", "cluster-node-timeout", calm)
	}
	return c
}

// view is a node as one of them sees it, a line of CLUSTER NODES:
//
//	id 127.0.0.1:7001@7002 myself,master - 0 1700000000000 3 connected 0-5460 [93->-id]
type view struct {
	id, master string // master is the id of a replica's
	flags      []string
	epoch      int
	connected  bool
	slots      []string // without those that move
}

// views is what a node says of all.
func (s *Server) views() (all []view, err error) {
	text, err := s.DoErr("CLUSTER", "NODES")
	if err != nil {
		return nil, fmt.Errorf("redistest: %s: %w", s, err)
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			return nil, fmt.Errorf("redistest: %s: CLUSTER NODES has %q", s, line)
		}
		v := view{id: f[0], flags: strings.Split(f[2], ","), master: f[3], connected: f[7] == "connected"}
		if v.epoch, err = strconv.Atoi(f[6]); err != nil {
			return nil, fmt.Errorf("redistest: %s: CLUSTER NODES has %q: %w", s, line, err)
		}
		for _, slot := range f[8:] {
			if slot[0] != '[' {
				v.slots = append(v.slots, slot)
			}
		}
		all = append(all, v)
	}
	return all, nil
}

func (v view) is(flag string) bool { return slices.Contains(v.flags, flag) }

// owns reports whether the slot is the node's.
func (v view) owns(slot int) bool {
	return slices.ContainsFunc(v.slots, func(s string) bool {
		from, to, isRange := strings.Cut(s, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		return err == nil && first <= slot && slot <= last
	})
}

// knows says why a node is not connected with all n.
func (s *Server) knows(n int) error {
	all, err := s.views()
	if err != nil {
		return err
	}
	if len(all) != n {
		return fmt.Errorf("it knows %d nodes, want %d", len(all), n)
	}
	for _, v := range all {
		if v.is("handshake") || !v.connected && !v.is("myself") {
			return fmt.Errorf("it sees %+v", v)
		}
	}
	return nil
}

// AwaitOK waits until all nodes that the test has left running say
// "cluster_state:ok" and agree on who is a master, whose replica, and of which slots.
func (c *ClusterNodes) AwaitOK() {
	c.t.Helper()
	if err := poll(nil, c.agree); err != nil {
		for _, n := range c.Nodes {
			c.t.Log(n.log())
		}
		c.t.Fatalf("redistest: the cluster is not ok: %v", err)
	}
}

func (c *ClusterNodes) agree() error {
	var first []string
	var said *Server
	for _, n := range c.Nodes {
		if !n.up() {
			continue
		}
		info, err := n.DoErr("CLUSTER", "INFO")
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		if !strings.Contains(info, "cluster_state:ok") {
			return fmt.Errorf("%s: %q", n, info)
		}
		all, err := n.views()
		if err != nil {
			return err
		}
		var lines []string
		for _, v := range all {
			lines = append(lines, fmt.Sprintf("%s master:%v of:%s slots:%s", v.id, v.is("master"), v.master, v.slots))
		}
		slices.Sort(lines)
		if said == nil {
			first, said = lines, n
		} else if !slices.Equal(lines, first) {
			return fmt.Errorf("%s sees %q, but %s %q", said, first, n, lines)
		}
	}
	if said == nil {
		return errors.New("no node runs")
	}
	return nil
}

// URL is redis-cluster://h1:p1,h2:p2,h3:p3, of the masters of the beginning.
func (c *ClusterNodes) URL() string { return "redis-cluster://" + addresses(c.Nodes[:c.masters]) }

// MasterOf returns the running node whose slot it is, by its own word and, if several say
// so, by the newest. While a slot has no master it waits for one.
func (c *ClusterNodes) MasterOf(slot int) (master *Server) {
	c.t.Helper()
	if err := poll(nil, func() error {
		master = nil
		newest := -1
		for _, n := range c.Nodes {
			if !n.up() {
				continue
			}
			all, err := n.views()
			if err != nil {
				return err
			}
			for _, v := range all {
				if v.is("myself") && v.is("master") && v.owns(slot) && v.epoch > newest {
					master, newest = n, v.epoch
				}
			}
		}
		if master == nil {
			return errors.New("no node that runs says that it is its master")
		}
		return nil
	}); err != nil {
		c.t.Fatalf("redistest: slot %d: %v", slot, err)
	}
	return master
}

// migrated is how many keys move at once, as with redis-cli.
const migrated = 10

// MigrateSlots moves slots with their keys from one master to another, slot by
// slot, as redis-cli --cluster reshard does, while clients work on them.
func (c *ClusterNodes) MigrateSlots(t testing.TB, from, to *Server, slots []int) {
	t.Helper()
	m := mover{c: c, from: from, to: to}
	if err := m.open(); err != nil {
		t.Fatalf("redistest: move slots from %s to %s: %v", from, to, err)
	}
	defer m.close()
	for _, slot := range slots {
		if err := m.move(strconv.Itoa(slot)); err != nil {
			t.Fatalf("redistest: move slot %d from %s to %s: %v", slot, from, to, err)
		}
	}
}

// mover moves slots from one node to another.
type mover struct {
	c              *ClusterNodes
	from, to       *Server
	fromID, toID   string
	source, target *conn
	// others are the other masters.
	others []*conn
}

func (m *mover) open() (err error) {
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.source, err = dial(m.from.Addr, nil, patience); err != nil {
		return err
	}
	if m.target, err = dial(m.to.Addr, nil, patience); err != nil {
		return err
	}
	if m.fromID, err = m.source.do(patience, "CLUSTER", "MYID"); err != nil {
		return err
	}
	if m.toID, err = m.target.do(patience, "CLUSTER", "MYID"); err != nil {
		return err
	}
	for _, n := range m.c.Nodes {
		if n == m.from || n == m.to || !n.up() {
			continue
		}
		all, err := n.views()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(v view) bool { return v.is("myself") && v.is("master") }) {
			continue // only masters may be told
		}
		other, err := dial(n.Addr, nil, patience)
		if err != nil {
			return err
		}
		m.others = append(m.others, other)
	}
	return nil
}

func (m *mover) close() {
	for _, c := range append(m.others, m.source, m.target) {
		if c != nil {
			_ = c.Close() // all answers are here
		}
	}
}

func (m *mover) move(slot string) error {
	if _, err := m.target.do(patience, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.fromID); err != nil {
		return err
	}
	if _, err := m.source.do(patience, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.toID); err != nil {
		return err
	}
	for {
		keys, err := m.source.list(patience, "CLUSTER", "GETKEYSINSLOT", slot, strconv.Itoa(migrated))
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		command := []string{"MIGRATE", "127.0.0.1", strconv.Itoa(m.to.port), "", "0", "10000", "AUTH2", adminUser, adminPassword, "KEYS"}
		if _, err := m.source.do(patience, append(command, keys...)...); err != nil {
			return err
		}
	}
	// The target first: would the source be first and the target die, nobody had the slot.
	for _, c := range append([]*conn{m.target, m.source}, m.others...) {
		if _, err := c.do(patience, "CLUSTER", "SETSLOT", slot, "NODE", m.toID); err != nil {
			return err
		}
	}
	return nil
}
