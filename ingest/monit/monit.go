// Package monit reads what Monit posts to an M/Monit: reports in XML about all
// services, with events in some of them. Only events become alerts.
package monit

import (
	"cmp"
	"strconv"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is the body of POST /collector, as "set mmonit" makes Monit send it:
// https://mmonit.com/monit/documentation/monit.html#M-Monit
var Format = ingest.Format{Name: "monit", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decode),
	// Monit tells M/Monit how to log in to it.
	Tokens: func(r ingest.Request) ([]string, []byte) { return nil, withoutCredentials(r.Body) }}

// kinds are the names of the bits of an event's id.
var kinds = map[string]string{
	"1": "checksum", "2": "resource", "4": "timeout", "8": "timestamp", "16": "size", "32": "connection", "64": "permission",
	"128": "uid", "256": "gid", "512": "nonexist", "1024": "invalid", "2048": "data", "4096": "exec", "8192": "fsflags",
	"16384": "icmp", "32768": "content", instance: "instance", action: "action", "262144": "pid", "524288": "ppid",
	"1048576": "heartbeat", "2097152": "status", "4194304": "uptime", "8388608": "link", "16777216": "speed",
	"33554432": "saturation", "67108864": "bytein", "134217728": "byteout", "268435456": "packetin", "536870912": "packetout",
	"1073741824": "exist",
}

const (
	// instance: Monit itself was started, stopped or reloaded.
	instance = "65536"
	// action: somebody told Monit to start or stop something.
	action = "131072"
)

// The states of an event.
const (
	succeeded  = "0"
	failed     = "1"
	changed    = "2"
	changedNot = "3"
)

func decode(r ingest.Request) (ingest.Batch, error) {
	report, err := parse(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	if report.host == "" && len(report.events) > 0 {
		return ingest.Batch{}, ingest.Errorf("monit.server.localhostname", "absent; an event must say which machine it is about")
	}
	var batch ingest.Batch
	for i, e := range report.events {
		place := "event[" + strconv.Itoa(i) + "]"
		if e["service"] == "" {
			batch.Rejected = append(batch.Rejected, ingest.Reject(i, place, ".service", "absent", r.Body))
			continue
		}
		a, known := e.alert(report)
		if !known {
			batch.Rejected = append(batch.Rejected, ingest.Reject(i, place, ".state", strconv.Quote(alert.CutText(e["state"], 64))+" is not 0 (succeeded) to 3 (not changed)", r.Body))
			continue
		}
		batch.Alerts = append(batch.Alerts, a)
	}
	return batch, nil
}

// event has the texts of an event by the names of its elements.
type event map[string]string

// alert makes an alert of an event; false if its state is none that there is.
func (e event) alert(r *report) (alert.Alert, bool) {
	a := alert.Alert{Kind: alert.KindAlert, PerHost: true, Flags: r.flags}
	seconds, _ := strconv.ParseInt(e["collected_sec"], 10, 64)
	micros, _ := strconv.ParseInt(e["collected_usec"], 10, 32)
	a.EventAt = fields.Unix(seconds, micros*int64(time.Microsecond))
	switch e["state"] {
	case failed, changed:
		a.Status = alert.Firing
	case succeeded, changedNot:
		a.Status, a.EndsAt = alert.Resolved, a.EventAt
	default:
		return a, false
	}
	if e["id"] == instance || e["id"] == action {
		a.Kind, a.Status, a.EndsAt = alert.KindInformation, alert.Unknown, time.Time{}
	}
	kind := cmp.Or(kinds[e["id"]], e["id"])
	// One service can have several problems at a time.
	a.Key = r.host + "!" + e["service"] + "!" + kind
	a.Identity = cmp.Or(r.id, r.host) + "/" + e["service"] + "/" + e["id"]
	a.Labels = fields.Labels("alertname", e["service"], "host", r.host, "service", e["service"], "event", kind, "platform", r.platform)
	text := e["message"]
	a.Annotations = fields.Labels("summary", fields.Line(text), "description", text, "monit_version", r.version)
	return a, true
}
