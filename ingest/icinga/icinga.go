// Package icinga understands what Icinga 2 says: what its notification commands
// send, in the shapes that people give them, and the events of its REST API.
//
// The macros of notifications: https://icinga.com/docs/icinga-2/latest/doc/03-monitoring-basics/
package icinga

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is what notification commands send (JSON, a form, or arguments and
// environment) and what the API's event stream says, one JSON object per line.
var Format = ingest.Format{
	Name:      "icinga",
	BodyLimit: 4 * ingest.MiB,
	Batches:   ingest.Whole(decode),
	Wrap:      func(elements [][]byte) []byte { return bytes.Join(elements, []byte("\n")) },
	Place:     place,
}

// maxLines bounds the events of one body.
const maxLines = 10_000

func place(i int) string { return fmt.Sprintf("lines[%d]", i) }

func decode(r ingest.Request) (ingest.Batch, error) {
	body := bytes.TrimSpace(bytes.TrimPrefix(r.Body, []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return ingest.Batch{}, ingest.Errorf("", "the body is empty")
	case body[0] == '{':
		return decodeJSON(body)
	case bytes.HasPrefix(body, []byte("Object of type '")):
		return ingest.Batch{}, ingest.Foreignf("the body is %.60q: Icinga wrote the name of an object in place of its text; "+
			"a function in the array command of a NotificationCommand does that, it belongs into arguments", body)
	}
	if vars, flags, err := variables(body); err != nil {
		return ingest.Batch{}, ingest.Errorf("", "%v", err)
	} else if vars != nil {
		return one(body, vars, flags)
	}
	form, flags, err := fields.Form(r.ContentType, body)
	if err != nil {
		return ingest.Batch{}, ingest.Errorf("", "%v", err)
	}
	return one(body, notificationOf(form), flags)
}

// decodeJSON reads one object, or one on each line.
func decodeJSON(body []byte) (ingest.Batch, error) {
	v, flags, err := fields.JSON(body)
	if err == nil {
		return oneObject(body, v.(fields.Object), flags)
	}
	lines := bytes.Split(body, []byte("\n"))
	if len(lines) > maxLines {
		return ingest.Batch{}, ingest.Errorf("", "%v, and more than %d lines", err, maxLines)
	}
	var all ingest.Batch
	index := 0
	for _, line := range lines {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		add(&all, index, line)
		index++
	}
	if len(all.Alerts) == 0 && !eachLineIsJSON(all.Rejected) {
		return broken(body, err)
	}
	return all, nil
}

// broken is a body that was to be JSON. If it still says what is how, that is an
// alert: somebody wanted to be heard.
func broken(body []byte, mistake error) (ingest.Batch, error) {
	texts, flags := salvage(body)
	n := notificationOf(texts)
	if _, known := kinds[strings.ToUpper(n["type"])]; !known {
		return ingest.Batch{}, ingest.Errorf("", "%v", mistake)
	}
	all, err := one(body, n, flags|alert.FlagUnparsed)
	if err != nil {
		return ingest.Batch{}, ingest.Errorf("", "%v", mistake)
	}
	all.Unparsed = append(all.Unparsed, ingest.Rejected{Reason: mistake.Error() + "; taken as far as it could be read", Raw: body})
	return all, nil
}

// eachLineIsJSON tells events with mistakes from one object on several lines
// that is broken.
func eachLineIsJSON(list []ingest.Rejected) bool {
	for _, r := range list {
		if r.Suffix == "" {
			return false
		}
	}
	return true
}

// add decodes a line of several.
func add(all *ingest.Batch, index int, line []byte) {
	reject := func(suffix, reason string) {
		all.Rejected = append(all.Rejected, ingest.Reject(index, place(index), suffix, reason, line))
	}
	v, flags, err := fields.JSON(line)
	o, ok := v.(fields.Object)
	switch {
	case err != nil:
		reject("", err.Error())
		return
	case !ok:
		reject("", "want a JSON object")
		return
	}
	batch, err := oneObject(line, o, flags)
	if err != nil {
		var bad *ingest.BodyError
		errors.As(err, &bad)
		reject("."+bad.Field, strings.TrimPrefix(bad.Reason, bad.Field+": "))
		return
	}
	all.Alerts = append(all.Alerts, batch.Alerts...)
	for _, u := range batch.Unparsed {
		all.Unparsed = append(all.Unparsed, ingest.Reject(index, place(index), "."+u.Field, strings.TrimPrefix(u.Reason, u.Field+": "), line))
	}
}

// oneObject decodes an event, or what a notification command sends.
func oneObject(raw []byte, o fields.Object, flags alert.Flag) (ingest.Batch, error) {
	if decode := events[fields.Text(o["type"])]; decode != nil {
		a, err := event(o, decode)
		if err != nil {
			return ingest.Batch{}, err
		}
		a.Flags |= flags
		return ingest.Batch{Alerts: []alert.Alert{a}}, nil
	}
	texts := make(map[string]string, len(o))
	for name, v := range o {
		texts[name] = fields.Text(v)
	}
	return one(raw, notificationOf(texts), flags)
}

// one makes a batch of one notification.
func one(raw []byte, n notification, flags alert.Flag) (ingest.Batch, error) {
	a, odd, err := n.alert()
	if err != nil {
		return ingest.Batch{}, err
	}
	a.Flags |= flags
	all := ingest.Batch{Alerts: []alert.Alert{a}}
	if odd != "" {
		all.Unparsed = []ingest.Rejected{ingest.Reject(0, "", "type", odd, raw)}
	}
	return all, nil
}

// thing is what a message is about, and what it says of its state.
type thing struct {
	host, service string
	// state is one of the words OK, WARNING, CRITICAL, UNKNOWN, UP, DOWN and
	// UNREACHABLE; empty where none is stated.
	state string
	// output is what the plugin wrote, of one line or more.
	output, performance string
}

// alert begins an alert: what all messages about the same thing have in common.
func (t thing) alert(kind alert.Kind) alert.Alert {
	name, key := t.service, t.host+"!"+t.service
	if t.service == "" {
		name, key = "Host", t.host
	}
	summary, _, more := strings.Cut(t.output, "\n")
	description := ""
	if more {
		description = t.output
	}
	return alert.Alert{Kind: kind, Status: statuses[t.state], Key: key, Identity: key, PerHost: true,
		Labels:      fields.Labels("alertname", name, "host", t.host, "service", t.service, "severity", severities[t.state]),
		Annotations: fields.Labels("summary", strings.TrimSpace(summary), "description", description, "performance_data", t.performance)}
}

// annotate adds annotations, in turn name and value, to those that a has.
func annotate(a *alert.Alert, pairs ...string) {
	a.Annotations = append(a.Annotations, fields.Labels(pairs...)...)
	a.Annotations.Sort()
}

var (
	statuses = map[string]alert.Status{"OK": alert.Resolved, "UP": alert.Resolved, "WARNING": alert.Firing, "CRITICAL": alert.Firing,
		"UNKNOWN": alert.Firing, "DOWN": alert.Firing, "UNREACHABLE": alert.Firing}
	// severities are what a state says of urgency: a host that does not answer is
	// as bad as a service that does not.
	severities = map[string]string{"WARNING": "warning", "CRITICAL": "critical", "UNKNOWN": "unknown", "DOWN": "critical", "UNREACHABLE": "critical"}
)

// stateWord reads a state as it is written in words or numbers: those of
// services are 0 to 3, those of hosts 0 and 1.
func stateWord(s string, service bool) string {
	word := strings.ToUpper(strings.TrimSpace(s))
	if _, ok := statuses[word]; ok {
		return word
	}
	n := number(word)
	switch {
	case service && n >= 0 && n <= 3:
		return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[n]
	case !service && (n == 0 || n == 1):
		return [...]string{"UP", "DOWN"}[n]
	}
	return ""
}

// link returns s if it is an address that people can follow.
func link(s string) string {
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return s
}
