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
	suite(t, redistest.Sentinel(t, 1, "appendonly yes").URL(), func(o *Options) { o.Durability = Replicated })
}

func TestCluster(t *testing.T) {
	t.Parallel()
	suite(t, redistest.Cluster(t, 3, 0, "appendonly yes").URL())
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

// Rows implements storetest.Dumper: all fields of all keys under the prefix.
func (s *subject) Rows(t *testing.T) []storetest.Row {
	t.Helper()
	var mu sync.Mutex // ForEachMaster asks all masters at the same time
	var rows []storetest.Row
	dump := func(ctx context.Context, c *client.Client) error {
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
			switch kind := c.Type(ctx, key).Val(); kind {
			case "hash":
				for field, value := range c.HGetAll(ctx, key).Val() {
					rows = append(rows, storetest.Row{Key: []byte(key + " " + field), Value: []byte(value)})
				}
			case "zset":
				for _, z := range c.ZRangeWithScores(ctx, key, 0, -1).Val() {
					rows = append(rows, storetest.Row{Key: []byte(key + " " + fmt.Sprint(z.Member)), Value: fmt.Append(nil, z.Score)})
				}
			case "string":
				rows = append(rows, storetest.Row{Key: []byte(key), Value: []byte(c.Get(ctx, key).Val())})
			default:
				t.Errorf("key %q is a %s", key, kind)
			}
		}
		return nil
	}
	var err error
	if s.cluster != nil {
		err = s.cluster.ForEachMaster(t.Context(), dump)
	} else {
		err = dump(t.Context(), s.single)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b storetest.Row) int { return slices.Compare(a.Key, b.Key) })
	return rows
}
