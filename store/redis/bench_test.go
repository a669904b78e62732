package redis

import (
	"sync/atomic"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// benchmark has several goroutines update a store on a server of its own, with
// alertsOf alerts in each update. It reports what a round trip and a commit are shared by.
func benchmark(b *testing.B, alertsOf int, prepare, next func(n int) []incident.Change) {
	server := redistest.Single(b, "appendonly yes")
	s := another(b, server.URL(), Options{})
	if prepare != nil {
		update(b, s, prepare(0)...)
	}
	trips, before := s.trips.Load(), server.CommandCount()["evalsha"]
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Update(b.Context(), next(int(n.Add(1)))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N*alertsOf)/b.Elapsed().Seconds(), "alerts/s")
	b.ReportMetric(float64(s.trips.Load()-trips)/float64(b.N), "trips/op")
	b.ReportMetric(float64(server.CommandCount()["evalsha"]-before)/float64(b.N), "commits/op")
}

// BenchmarkUpdateNew opens incidents: 100 alerts of 13 new keys in each update.
func BenchmarkUpdateNew(b *testing.B) {
	benchmark(b, 100, nil, func(n int) (changes []incident.Change) {
		for k := range 13 {
			var alerts []int
			for a := k; a < 100; a += 13 {
				alerts = append(alerts, a)
			}
			changes = append(changes, joining(13*n+k, keyNumber(13*n+k), alerts...))
		}
		return changes
	})
}

// BenchmarkUpdateDuplicate repeats alerts: 100 of 13 keys in each update.
func BenchmarkUpdateDuplicate(b *testing.B) {
	benchmark(b, 100, func(n int) []incident.Change { return spread(n, 13, 100, joining) }, func(n int) []incident.Change { return spread(n, 13, 100, repeating) })
}

// BenchmarkUpdateOneKey changes one alert of one key in each update.
func BenchmarkUpdateOneKey(b *testing.B) {
	benchmark(b, 1, func(int) []incident.Change { return []incident.Change{joining(0, keyNumber(0), numbers(0, 50)...)} },
		func(n int) []incident.Change { return []incident.Change{joining(n, keyNumber(0), n%50)} })
}
