package redis

import (
	"github.com/prometheus/client_golang/prometheus"
	client "github.com/redis/go-redis/v9"
)

type metrics struct {
	pipelines, retries, conflicts, leases, reloads, refused prometheus.Counter
}

func newMetrics() metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_store_redis_" + name, Help: help})
	}
	m := metrics{
		pipelines: counter("pipelines_total", "Pipelines sent to Redis, one round trip each."),
		retries:   counter("retries_total", "Calls that were sent to Redis again, because the answer was lost or the server could not take them just then."),
		conflicts: counter("conflicts_total", "Commits that were decided again because another gateway changed the key in between."),
		leases:    counter("leases_total", "Keys that were taken for a moment after several conflicts."),
		reloads:   counter("script_reloads_total", "Scripts that a server had forgotten and was told again."),
		refused:   counter("refused_total", "Updates that were refused because too many were under way."),
	}
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.pipelines, m.retries, m.conflicts, m.leases, m.reloads, m.refused}
}

// poolCollector shows the connections of the client.
type poolCollector struct{ s *Store }

var (
	descConnections = prometheus.NewDesc("tocsin_store_redis_connections", "Connections to Redis.", []string{"state"}, nil)
	descPoolWaits   = prometheus.NewDesc("tocsin_store_redis_pool_timeouts_total", "How often no connection became free in time.", nil, nil)
	descStale       = prometheus.NewDesc("tocsin_store_redis_stale_connections_total", "Connections that were given up.", nil, nil)
	descUp          = prometheus.NewDesc("tocsin_store_redis_up", "0 while a server that has a part of the state does not answer.", nil, nil)
	descRepeats     = prometheus.NewDesc("tocsin_store_redis_repeats", "Alerts whose repeats are gathered in this process and wait to be stored.", nil, nil)
	descInFlight    = prometheus.NewDesc("tocsin_store_redis_in_flight", "Updates that are under way.", nil, nil)
)

// Describe implements prometheus.Collector.
func (p poolCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descConnections
	ch <- descPoolWaits
	ch <- descStale
	ch <- descInFlight
	ch <- descRepeats
	ch <- descUp
}

// Collect implements prometheus.Collector.
func (p poolCollector) Collect(ch chan<- prometheus.Metric) {
	var stats *client.PoolStats
	if p.s.cluster != nil {
		stats = p.s.cluster.PoolStats()
	} else {
		stats = p.s.single.PoolStats()
	}
	ch <- prometheus.MustNewConstMetric(descConnections, prometheus.GaugeValue, float64(stats.IdleConns), "idle")
	ch <- prometheus.MustNewConstMetric(descConnections, prometheus.GaugeValue, float64(stats.TotalConns-stats.IdleConns), "used")
	ch <- prometheus.MustNewConstMetric(descPoolWaits, prometheus.CounterValue, float64(stats.Timeouts))
	ch <- prometheus.MustNewConstMetric(descStale, prometheus.CounterValue, float64(stats.StaleConns))
	ch <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, p.s.up())
	ch <- prometheus.MustNewConstMetric(descInFlight, prometheus.GaugeValue, float64(p.s.inFlight.Load()))
	ch <- prometheus.MustNewConstMetric(descRepeats, prometheus.GaugeValue, float64(p.s.repeats.Len()))
}
