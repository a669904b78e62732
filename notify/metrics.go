package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	notifications *prometheus.CounterVec
	failures      *prometheus.CounterVec
	templates     *prometheus.CounterVec
	hidden        *prometheus.CounterVec
	latency       *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notifications_total",
			Help: "Attempts to tell a receiver of an incident, by whether it was sent, failed and will be tried again, or was given up.",
		}, []string{"receiver", "integration", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notifications_failed_total",
			Help: "Attempts to tell a receiver that failed, by reason.",
		}, []string{"receiver", "integration", "reason"}),
		templates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notification_templates_failed_total",
			Help: "Templates of notifications that failed, so that a built-in text was sent in their place.",
		}, []string{"receiver", "integration"}),
		hidden: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_notifications_hidden_total",
			Help: "Notifications that were held back, by what hid them.",
		}, []string{"by"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_notification_latency_seconds",
			Help:    "From when a notification was due to when its target had taken it.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600},
		}, []string{"integration"}),
	}
	for _, kind := range Kinds() {
		m.hidden.WithLabelValues(kind)
	}
	reg.MustRegister(m.notifications, m.failures, m.templates, m.hidden, m.latency)
	return m
}

// prepare makes the series of all integrations exist, with value 0.
func (m *metrics) prepare(integrations map[string]*Integration) {
	for _, in := range integrations {
		for _, result := range []string{"sent", "failed", "given_up"} {
			m.notifications.WithLabelValues(in.Receiver, in.Name, result)
		}
		for _, reason := range Reasons() {
			m.failures.WithLabelValues(in.Receiver, in.Name, reason)
		}
		m.templates.WithLabelValues(in.Receiver, in.Name)
		m.latency.WithLabelValues(in.Name)
	}
}

func (m *metrics) sent(in *Integration, latency time.Duration) {
	m.notifications.WithLabelValues(in.Receiver, in.Name, "sent").Inc()
	m.latency.WithLabelValues(in.Name).Observe(latency.Seconds())
}

func (m *metrics) failed(in *Integration, reason string, givenUp bool) {
	result := "failed"
	if givenUp {
		result = "given_up"
	}
	m.notifications.WithLabelValues(in.Receiver, in.Name, result).Inc()
	m.failures.WithLabelValues(in.Receiver, in.Name, reason).Inc()
}
