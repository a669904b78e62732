package ingest

import (
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Prometheus is what Prometheus posts to an Alertmanager, at /api/v2/alerts and,
// with api_version v1, at /api/v1/alerts: an array of alerts. They carry no key
// of the sender's; the labels are what identifies them.
var Prometheus = Format{
	Name:      "prometheus",
	BodyLimit: 64 * MiB,
	Batches:   prometheusWire.batches,
	Wrap:      func(elements [][]byte) []byte { return framed(`[`, elements, `]`) },
	Place:     prometheusWire.place,
	Repeats:   true, // what fires, once a minute
}

var prometheusWire = &wire{
	known: fieldLabels | fieldAnnotations | fieldStartsAt | fieldEndsAt | fieldGeneratorURL,
	judge: judgePrometheus,
}

// judgePrometheus reads the end of an alert: in the future it means "over by
// then unless I repeat it", up to now it means "over". Without an end the alert
// fires until an end is sent.
func judgePrometheus(e *element, received time.Time, a *alert.Alert) *problem {
	switch {
	case e.endsAt.IsZero():
		a.Status = alert.Firing
	case e.endsAt.After(received):
		a.Status = alert.Firing
		a.ValidUntil = e.endsAt
	default:
		a.Status = alert.Resolved
		a.EndsAt = e.endsAt
	}
	return nil
}
