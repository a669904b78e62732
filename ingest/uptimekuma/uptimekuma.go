// Package uptimekuma reads the webhooks of Uptime Kuma: as JSON, as a form, as a
// query, and the text of a custom body.
package uptimekuma

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is what https://github.com/louislam/uptime-kuma/blob/master/server/notification-providers/webhook.js
// sends; https://github.com/louislam/uptime-kuma/wiki/Notification-Methods
var Format = ingest.Format{Name: "uptime-kuma", BodyLimit: 4 * ingest.MiB, Query: true, Batches: ingest.Whole(decode),
	Volatile: []string{"ping_ms"}}

// The states of a heartbeat.
const (
	down        = "0"
	up          = "1"
	pending     = "2"
	maintenance = "3"
)

func decode(r ingest.Request) (ingest.Batch, error) {
	m, err := read(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	a, ok := m.alert()
	if !ok {
		return ingest.Batch{}, ingest.Errorf("msg", `absent; the body must hold {{ msg }}, such as {"msg": "{{ msg }}"}`)
	}
	batch := ingest.Batch{Alerts: []alert.Alert{a}}
	if a.Flags&alert.FlagUnparsed != 0 {
		batch.Unparsed = []ingest.Rejected{ingest.Reject(0, "body", "", "neither a notification of Uptime Kuma nor a text of one", r.Body)}
	}
	return batch, nil
}

// message is a notification, in whatever shape it came.
type message struct {
	heartbeat, monitor any
	msg                string
	flags              alert.Flag
}

// read tells the shape from the body: JSON, with the three members that Uptime
// Kuma writes or with the text in one of the user's; a form with the JSON in the
// field data; the three as fields of a form or query; or any text.
func read(r ingest.Request) (message, error) {
	v, flags, err := fields.JSON(r.Body)
	if err == nil {
		return ofJSON(v, flags)
	}
	form, flags, formErr := fields.Form(r.ContentType, r.Body)
	switch {
	case formErr == nil && form["data"] != "":
		v, more, err := fields.JSON([]byte(form["data"]))
		if err != nil {
			return message{}, ingest.Errorf("data", "%s", err.Error())
		}
		return ofJSON(v, flags|more)
	case formErr == nil && form["msg"] != "":
		m := message{msg: form["msg"], flags: flags}
		for _, part := range []struct {
			name string
			to   *any
		}{{"heartbeat", &m.heartbeat}, {"monitor", &m.monitor}} {
			if form[part.name] == "" {
				continue
			}
			v, more, err := fields.JSON([]byte(form[part.name]))
			if err != nil {
				return message{}, ingest.Errorf(part.name, "%s", err.Error())
			}
			*part.to, m.flags = v, m.flags|more
		}
		return m, nil
	}
	// A quote in a monitor's name breaks the JSON of a custom body.
	text, flags := fields.Clean(string(r.Body))
	if text = bracketed(text); text == "" {
		return message{}, ingest.NotJSON(err)
	}
	return message{msg: text, flags: flags | alert.FlagUnparsed}, nil
}

func ofJSON(v any, flags alert.Flag) (message, error) {
	m := message{heartbeat: fields.At(v, "heartbeat"), monitor: fields.At(v, "monitor"), msg: fields.Text(fields.At(v, "msg")), flags: flags}
	if o, ok := v.(fields.Object); !ok {
		return m, ingest.Errorf("", "the body is %s, must be an object", fields.Kind(v))
	} else if m.msg == "" {
		for _, name := range []string{"body", "message", "text", "content", "description"} {
			if m.msg = fields.Text(o[name]); m.msg != "" {
				break
			}
		}
	}
	return m, nil
}

// bracketed returns the notification's text within a text that is something else
// around it: from the [ before the name to the end of the line.
func bracketed(text string) string {
	middle := strings.Index(text, "] [")
	if middle < 0 {
		return ""
	}
	start := strings.LastIndexByte(text[:middle], '[')
	if start < 0 {
		return ""
	}
	text = fields.Line(text[start:])
	return strings.TrimRight(text, "\"}] \t")
}

// alert makes an alert of the message; false if there is nothing in it.
func (m message) alert() (alert.Alert, bool) {
	if fields.Text(fields.At(m.monitor, "name")) != "" && fields.Text(fields.At(m.heartbeat, "status")) != "" {
		return m.full(), true
	}
	msg := strings.TrimSpace(m.msg)
	if msg == "" {
		return alert.Alert{}, false
	}
	a := alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Flags: m.flags}
	a.Annotations = fields.Labels("summary", fields.Line(msg), "description", msg)
	name, word, rest := split(msg)
	switch {
	case strings.HasSuffix(msg, " Testing") && m.heartbeat == nil && m.monitor == nil && word == "":
		a.Kind, a.Status, name = alert.KindTest, alert.Unknown, "Test"
	case strings.HasSuffix(word, "Up"):
		a.Status = alert.Resolved
	case strings.HasSuffix(word, "Down"):
	case name != "" && strings.Contains(rest, "certificate"), name != "" && strings.Contains(rest, "expire"):
		// It is sent on certain days only, and never taken back.
		a.Key = "expiry!" + name
	default:
		a.Flags |= alert.FlagUnparsed
	}
	if a.Key == "" {
		a.Key = "name!" + name
	}
	a.Labels = fields.Labels("alertname", cmp.Or(name, "Uptime Kuma"))
	return a, true
}

// split takes "[name] [state] text" apart, or "[name][url] text".
func split(msg string) (name, word, rest string) {
	if !strings.HasPrefix(msg, "[") {
		return "", "", msg
	}
	for _, between := range []string{"] [", "]["} {
		before, after, found := strings.Cut(msg[1:], between)
		if found {
			word, rest, _ = strings.Cut(after, "]")
			return before, word, strings.TrimSpace(rest)
		}
	}
	return "", "", msg
}

// full is a notification with heartbeat and monitor.
func (m message) full() alert.Alert {
	of := func(v any, name string) string { return fields.Text(fields.At(v, name)) }
	a := alert.Alert{Flags: m.flags, Identity: of(m.monitor, "id")}
	pairs := []string{"alertname", of(m.monitor, "name"), "host", of(m.monitor, "hostname"), "monitor_type", of(m.monitor, "type")}
	if tags, ok := fields.At(m.monitor, "tags").([]any); ok {
		for _, tag := range tags[:min(len(tags), alert.MaxLabels)] {
			pairs = append(pairs, of(tag, "name"), of(tag, "value"))
		}
	}
	a.Labels = fields.Labels(pairs...)
	a.Key = "id!" + cmp.Or(a.Identity, a.Name())
	a.Group = a.Key // monitors are renamed
	a.Annotations = fields.Labels("summary", fields.Line(cmp.Or(m.msg, of(m.heartbeat, "msg"))), "description", cmp.Or(m.msg, of(m.heartbeat, "msg")),
		"monitor_description", of(m.monitor, "description"), "url", monitored(of(m.monitor, "url")), "path", of(m.monitor, "pathName"), "ping_ms", of(m.heartbeat, "ping"))
	a.EventAt, _ = fields.Time(of(m.heartbeat, "time"), time.DateTime)
	changed := of(m.heartbeat, "important") == "true"
	switch of(m.heartbeat, "status") {
	case down:
		a.Kind, a.Status = alert.KindAlert, alert.Firing
		if changed {
			a.StartsAt = a.EventAt
		}
	case up:
		a.Kind, a.Status, a.EndsAt = alert.KindAlert, alert.Resolved, a.EventAt
	case maintenance:
		a.Kind = alert.KindMaintenanceStarted
	case pending:
		a.Kind = alert.KindInformation
	default:
		a.Kind, a.Status, a.Flags = alert.KindAlert, alert.Firing, a.Flags|alert.FlagUnparsed
	}
	return a
}

// monitored returns the address that a monitor asks, without credentials in it.
// A new monitor has "https://" there.
func monitored(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User = nil
	return u.String()
}
