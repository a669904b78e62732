package redis

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/storetest"
)

func TestSingle(t *testing.T) {
	t.Parallel()
	suite(t, redistest.Single(t, "appendonly yes").URL())
}

// TestSentinel also waits for a replica with each answer.
func TestSentinel(t *testing.T) {
	t.Parallel()
	suite(t, redistest.Sentinel(t, 1, "appendonly yes").Steady().URL(), func(o *Options) { o.Durability = Replicated })
}

func TestCluster(t *testing.T) {
	t.Parallel()
	suite(t, redistest.Cluster(t, 3, 0, "appendonly yes").Steady().URL())
}

func logTo(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

var prefixes atomic.Int64

// suite runs the conformance suite, each test under a prefix of its own.
func suite(t *testing.T, url string, options ...func(*Options)) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, so storetest.Options) store.Store {
		o := Options{Now: so.Now}
		for _, set := range options {
			set(&o)
		}
		return openSubject(t, fmt.Sprintf("%s?prefix=test%d", url, prefixes.Add(1)), o)
	})
}

// subject is a Store with what the suite can measure.
type subject struct {
	*Store
	url string
}

func openSubject(t *testing.T, url string, o Options) *subject {
	t.Helper()
	return &subject{another(t, url, o), url}
}

// Reopen implements storetest.Reopener.
func (s *subject) Reopen(t *testing.T) store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openSubject(t, s.url, s.opts)
}

// Costs implements storetest.Coster.
func (s *subject) Costs() (reads, writes, bytes int64) {
	return s.cost.reads.Load(), s.cost.writes.Load(), s.cost.bytes.Load()
}

// Forget implements storetest.Coster.
func (s *subject) Forget() {
	s.cache.init()
	s.memory.init()
}

// directly calls do with a client of each server that has shards, which takes its
// time: those of a Store give up after half a second.
func directly(t testing.TB, s *Store, do func(context.Context, *client.Client) error) {
	t.Helper()
	if s.cluster == nil {
		o := *s.single.Options()
		o.MaxRetries, o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 5, ample, ample, ample, ample
		c := client.NewClient(&o)
		defer c.Close()
		must(t, do(t.Context(), c))
		return
	}
	o := *s.cluster.Options()
	o.MaxRetries, o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 5, ample, ample, ample, ample
	c := client.NewClusterClient(&o)
	defer c.Close()
	must(t, c.ForEachMaster(t.Context(), do))
}

// Rows implements storetest.Dumper: all fields of all keys under the prefix.
func (s *subject) Rows(t *testing.T) []storetest.Row {
	t.Helper()
	var mu sync.Mutex // ForEachMaster asks all masters at the same time
	var rows []storetest.Row
	directly(t, s.Store, func(ctx context.Context, c *client.Client) error {
		mu.Lock()
		defer mu.Unlock()
		keys, err := c.Keys(ctx, s.names[0].tag[:strings.IndexByte(s.names[0].tag, '{')]+"*").Result()
		if err != nil {
			return err
		}
		slices.Sort(keys)
		for _, key := range keys {
			if strings.HasSuffix(key, ":probe") {
				continue // it holds nothing
			}
			kind, err := c.Type(ctx, key).Result()
			if err != nil {
				return err
			}
			switch kind {
			case "hash":
				fields, err := c.HGetAll(ctx, key).Result()
				if err != nil {
					return err
				}
				for field, value := range fields {
					rows = append(rows, storetest.Row{Key: []byte(key + " " + field), Value: []byte(value)})
				}
			case "zset":
				members, err := c.ZRangeWithScores(ctx, key, 0, -1).Result()
				if err != nil {
					return err
				}
				for _, z := range members {
					rows = append(rows, storetest.Row{Key: []byte(key + " " + fmt.Sprint(z.Member)), Value: fmt.Append(nil, z.Score)})
				}
			case "string":
				value, err := c.Get(ctx, key).Result()
				if err != nil {
					return err
				}
				rows = append(rows, storetest.Row{Key: []byte(key), Value: []byte(value)})
			default:
				t.Errorf("key %q is a %s", key, kind)
			}
		}
		return nil
	})
	slices.SortFunc(rows, func(a, b storetest.Row) int { return slices.Compare(a.Key, b.Key) })
	return rows
}
