package mute

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of muting. They outlive the All that a configuration makes.
type Metrics struct {
	sources prometheus.Gauge
	open    *prometheus.CounterVec
}

// The reasons why something that might have been hidden was told.
const (
	failedSources = "sources"
	failedSlow    = "slow"
	failedAlerts  = "alerts"
)

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		sources: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_inhibition_sources",
			Help: "What is known of the source sides of inhibition rules: different values of the equal labels of alerts that fire, for each rule.",
		}),
		open: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_mute_failed_open_total",
			Help: "How often messages may have been told that should have been hidden, because there was too much to look at: sources of inhibitions, alerts of the incident, or too slow a store.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{failedSources, failedSlow, failedAlerts} {
		m.open.WithLabelValues(reason)
	}
	reg.MustRegister(m.sources, m.open)
	return m
}
