package smtp

import "github.com/prometheus/client_golang/prometheus"

// The reasons for which a connection or a mail is refused.
const (
	refusedConnections = "connections"
	refusedClient      = "client_connections"
	refusedDraining    = "shutting_down"
	refusedTLS         = "no_tls"
	refusedUser        = "authentication"
	refusedSender      = "sender"
	refusedRecipient   = "recipient"
	refusedRate        = "rate"
	refusedSize        = "size"
	refusedBrokenOff   = "broken_off"
	refusedMemory      = "memory"
	refusedNotDurable  = "not_durable"
)

var reasons = []string{refusedConnections, refusedClient, refusedDraining, refusedTLS, refusedUser, refusedSender, refusedRecipient, refusedRate,
	refusedSize, refusedBrokenOff, refusedMemory, refusedNotDurable}

type metrics struct {
	accepted prometheus.Counter
	refused  *prometheus.CounterVec
	open     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_smtp_messages_total",
			Help: "Mails that were accepted, once for each source.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_smtp_refused_total",
			Help: "Connections, senders, recipients and mails that were refused, by reason.",
		}, []string{"reason"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tocsin_smtp_connections",
			Help: "Connections that are open.",
		}),
	}
	for _, reason := range reasons {
		m.refused.WithLabelValues(reason)
	}
	r.MustRegister(m.accepted, m.refused, m.open)
	return m
}

func (m *metrics) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }
