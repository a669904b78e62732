package live

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// openMany opens n incidents that look like those of a bad day.
func (f *fixture) openMany(n int) {
	f.t.Helper()
	for n > 0 {
		changes := make([]incident.Change, min(n, 500))
		for c := range changes {
			number := f.changes
			key := incident.Key(f.id())
			changes[c] = incident.Change{ID: f.id(), Key: key, Step: func(s incident.State) (next incident.Next, err error) {
				e := policy.Open(incident.Opening{ID: s.NewID(0), Key: key, Rule: "test", Title: fmt.Sprintf("HighRequestLatency on checkout-%d", number),
					Class: incident.Classification{Severity: policy.Severities[number%3], Priority: incident.Priorities()[number%4], Service: fmt.Sprintf("service-%d", number%40), Team: "payments"},
					By:    incident.System}, s.Now)
				e.Incident.Labels = map[string]string{"alertname": "HighRequestLatency", "cluster": "eu-west-1a", "namespace": "prod-checkout", "job": "kube-state-metrics"}
				e.Incident.Hosts = []string{fmt.Sprintf("node-%d.prod.example.net", number)}
				next.Key = &incident.KeyState{Key: key, Rule: "test", Incident: e.Incident.ID}
				e.Into(&next)
				return next, nil
			}}
		}
		if err := f.told.Update(context.Background(), changes); err != nil {
			f.t.Fatal(err)
		}
		n -= len(changes)
	}
}

// benchmarkBoard measures 10,000 open incidents on a store: the first board, what
// a reading again costs, a page of it, and what one change costs.
func benchmarkBoard(b *testing.B, st store.Store) {
	f := on(b, st)
	f.openMany(10_000)
	ctx := context.Background()
	b.Run("first", func(b *testing.B) {
		before := heap()
		b.ReportAllocs()
		for b.Loop() {
			f.live.rows = nil
			f.live.snapshot.Store(nil)
			f.board(Query{Limit: 50})
		}
		b.ReportMetric(float64(heap()-before)/1e6, "MB-kept")
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f.live.read(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, q := range map[string]Query{"page": {Limit: 50}, "filtered page": {Severities: []string{"critical"}, Services: []string{"service-3", "service-4"}, Limit: 50},
		"search": {Text: "node-77", Limit: 50}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.board(q)
			}
		})
	}
	b.Run("change of one", func(b *testing.B) {
		i, err := st.Incident(ctx, f.board(Query{}).Rows[5000].ID.String())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			c := *i
			i = &c
			i.Version++
			if err := f.live.apply(ctx, map[incident.ID]*incident.Incident{i.ID: i}, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// deciding is a store that runs the steps and stores nothing.
type deciding struct{ store.Store }

func (deciding) Update(_ context.Context, changes []incident.Change) error {
	for _, c := range changes {
		if _, err := c.Step(incident.State{}); err != nil {
			return err
		}
	}
	return nil
}

// hundred are changes that each change an incident.
func hundred() []incident.Change {
	changes := make([]incident.Change, 100)
	for n := range changes {
		next := incident.Next{Incidents: []*incident.Incident{{ID: incident.ID{byte(n)}, Reference: "INC", Version: 1}}}
		changes[n] = incident.Change{Step: func(incident.State) (incident.Next, error) { return next, nil }}
	}
	return changes
}

// TestCostsNothing: while no board is kept, being watched allocates nothing.
func TestCostsNothing(t *testing.T) {
	f := on(t, deciding{})
	ctx, changes := context.Background(), hundred()
	update := func() {
		if err := f.told.Update(ctx, changes); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(10, update); n != 0 {
		t.Errorf("%v allocations for 100 changes, want none", n)
	}
	f.follow(incident.ID{}, "")
	if update(); len(f.live.waiting) != 100 {
		t.Errorf("%d wait, want 100 now that somebody looks", len(f.live.waiting))
	}
}

// BenchmarkWatch is what 100 changes in one Update pay for being watched.
func BenchmarkWatch(b *testing.B) {
	for _, looked := range []bool{false, true} {
		b.Run(map[bool]string{false: "nobody looks", true: "somebody looks"}[looked], func(b *testing.B) {
			f := on(b, deciding{})
			if looked {
				f.follow(incident.ID{}, "")
			}
			changes := hundred()
			b.ReportAllocs()
			for b.Loop() {
				if err := f.told.Update(context.Background(), changes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkBoard(b *testing.B) { benchmarkBoard(b, newFixture(b).store) }

func BenchmarkBoardOnRedis(b *testing.B) {
	st, err := redis.Open(b.Context(), redistest.Single(b).URL(), redis.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	benchmarkBoard(b, st)
}
