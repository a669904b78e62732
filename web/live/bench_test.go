package live

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
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

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkBoard(b *testing.B) { benchmarkBoard(b, newFixture(b).store) }
