package redistest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterClient is the product's client on all of it.
func clusterClient(t *testing.T, c *ClusterNodes) *redis.ClusterClient {
	t.Helper()
	addrs := strings.Split(strings.TrimPrefix(c.URL(), "redis-cluster://"), ",")
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestASlotMigratesWithItsKeysUnderLoad(t *testing.T) {
	t.Parallel()
	began := time.Now()
	c := Cluster(t, 3, 1).Steady()
	t.Logf("ready after %s", time.Since(began))
	client := clusterClient(t, c)
	const tag = "{a}"
	slot, err := strconv.Atoi(c.Nodes[0].Do("CLUSTER", "KEYSLOT", tag))
	if err != nil {
		t.Fatal(err)
	}
	from := c.MasterOf(slot)
	to := c.Nodes[(slices.Index(c.Nodes, from)+1)%3]
	for i := range 100 { // one of them with a line end, which is a byte like others
		if err := client.Set(t.Context(), fmt.Sprintf("%s\r\n%d", tag, i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var done atomic.Int64
	load.Go(func() {
		for ctx.Err() == nil {
			if err := client.Incr(t.Context(), tag+"n").Err(); err != nil {
				t.Error(err)
				return
			}
			done.Add(1)
		}
	})
	// The neighbours are the same master's: it is not at the border of thirds.
	moved := []int{slot - 1, slot, slot + 1}
	c.MigrateSlots(t, from, to, moved)
	cancel()
	load.Wait()
	for _, s := range moved {
		if got := c.MasterOf(s); got != to {
			t.Fatalf("MasterOf(%d): got %s, want %s", s, got, to)
		}
	}
	for _, n := range []*Server{from, to} {
		want := "0"
		if n == to {
			want = "101"
		}
		if got := n.Do("CLUSTER", "COUNTKEYSINSLOT", strconv.Itoa(slot)); got != want {
			t.Errorf("keys in the slot at %s: got %s, want %s", n, got, want)
		}
	}
	if got := to.Do("GET", tag+"n"); got != strconv.FormatInt(done.Load(), 10) {
		t.Errorf("INCR under load: the key is %s, answered were %d", got, done.Load())
	}
	c.AwaitOK()
}

func TestAClusterFailsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: takes ten seconds, most of them waiting")
	}
	t.Parallel()
	c := Cluster(t, 3, 1, "appendonly yes", "cluster-require-full-coverage no")
	old := c.MasterOf(0)
	if old != c.Nodes[0] {
		t.Fatalf("MasterOf(0) at the beginning: got %s, want %s", old, c.Nodes[0])
	}
	began := time.Now()
	old.Kill()
	next := c.MasterOf(0)
	t.Logf("failed over after %s", time.Since(began))
	if next != c.Nodes[3] {
		t.Errorf("MasterOf(0) after its master was killed: got %s, want its replica %s", next, c.Nodes[3])
	}
	old.Restart()
	old.await("a replica of its replica", old.inSync)
	c.AwaitOK()
	if got := c.MasterOf(0); got != next {
		t.Errorf("MasterOf(0) after the old one is back: got %s, want %s", got, next)
	}
	// By hand, while both run. They give up after five seconds.
	old.Do("CLUSTER", "FAILOVER")
	asked := time.Now()
	old.await("master again", func() error {
		if got := c.MasterOf(0); got != old {
			if time.Since(asked) > 6*time.Second {
				asked = time.Now()
				_, _ = old.DoErr("CLUSTER", "FAILOVER") // it may be the master by now
			}
			return fmt.Errorf("MasterOf(0): got %s, want %s", got, old)
		}
		return nil
	})
	c.AwaitOK()
}

func TestAClusterOfThreeMastersAlone(t *testing.T) {
	t.Parallel()
	c := Cluster(t, 3, 0, "cluster-require-full-coverage yes", "maxmemory-policy noeviction").Steady()
	client := clusterClient(t, c)
	for i := range 100 {
		if err := client.Set(t.Context(), fmt.Sprint(i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	for i, n := range c.Nodes {
		size, err := strconv.Atoi(n.Do("DBSIZE"))
		if err != nil || size == 0 {
			t.Errorf("DBSIZE of %s: got %d, %v, want its share of 100", n, size, err)
		}
		sum += size
		if got := c.MasterOf(slots*i/3 + 1); got != n {
			t.Errorf("MasterOf(%d): got %s, want %s", slots*i/3+1, got, n)
		}
	}
	if sum != 100 {
		t.Errorf("the nodes have %d keys, want 100", sum)
	}
}
