package ingest

import (
	"bytes"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Alertmanager is the format of Alertmanager's webhook, version 4: from 0.25,
// and from 0.34 with notification_reason and routeLabels. What is unknown in
// it is ignored.
var Alertmanager = Format{
	Name:      "alertmanager",
	BodyLimit: 64 * MiB,
	Batches:   alertmanagerWire.batches,
	Wrap: func(elements [][]byte) []byte {
		return framed(`{"version":"4","alerts":[`, elements, `]}`)
	},
	Place:   alertmanagerWire.place,
	Repeats: true,
}

var alertmanagerWire = &wire{
	list: "alerts",
	known: fieldStatus | fieldLabels | fieldAnnotations | fieldStartsAt | fieldEndsAt |
		fieldGeneratorURL | fieldFingerprint,
	judge:  judgeAlertmanager,
	absent: "this is not a webhook of Alertmanager (version 4)",
}

// Extension is what a sender that speaks Alertmanager's webhook says besides.
type Extension struct {
	// Absent says, for people, what a body without alerts is not.
	Absent string
	// Element adds to an alert what else its element says, which is a JSON object
	// without equal names. It must not keep the element.
	Element func(element []byte, a *alert.Alert)
	// Group adds what is said of all alerts together. Only: it is about this one alone.
	Group func(g Group, only bool, a *alert.Alert)
}

// Webhook returns the format of a sender that speaks Alertmanager's webhook with
// extensions; bodies of any number of alerts are decoded part by part.
func Webhook(name string, e Extension) Format {
	w := *alertmanagerWire
	w.absent, w.extend = e.Absent, e
	f := Alertmanager
	f.Name, f.Batches, f.Place = name, w.batches, w.place
	return f
}

// judgeAlertmanager goes by the status of the alert; the group's says that any
// of them fires. The end of a firing alert is none, whatever stands there:
// Alertmanager itself says when it is over.
func judgeAlertmanager(e *element, _ time.Time, a *alert.Alert) *problem {
	switch e.status {
	case "firing":
		a.Status = alert.Firing
	case "resolved":
		a.Status = alert.Resolved
		a.EndsAt = e.endsAt
	case "":
		return &problem{field: ".status", reason: "absent, must be firing or resolved"}
	default:
		return &problem{field: ".status", reason: excerpt(e.status) + " is neither firing nor resolved"}
	}
	return nil
}

// framed returns the elements with commas between them, in a frame.
func framed(before string, elements [][]byte, after string) []byte {
	out := append([]byte(before), bytes.Join(elements, []byte(","))...)
	return append(out, after...)
}
