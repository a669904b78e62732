// Package zabbix reads what a webhook media type of Zabbix posts whose parameters
// are macros, sent as one JSON object; docs/sources.md has the parameters and the script.
package zabbix

import (
	"cmp"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format has the names of the macros as names of its members, in lower case and
// with _ for the dot: https://www.zabbix.com/documentation/current/en/manual/appendix/macros/supported_by_location
// It is described in https://www.zabbix.com/documentation/current/en/manual/config/notifications/media/webhook
var Format = ingest.Format{Name: "zabbix", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decode),
	Volatile: []string{"opdata", "item_value"}}

func decode(r ingest.Request) (ingest.Batch, error) {
	o, flags, err := ingest.Object(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	m := message{o}
	name := cmp.Or(m.text("event_name"), m.text("trigger_name"))
	if name == "" {
		return ingest.Batch{}, ingest.Errorf("event_name", "absent; the media type must send its parameters, event_name = {EVENT.NAME} among them, as one JSON object")
	}
	if m.text("event_id") == "" {
		return ingest.Batch{}, ingest.Errorf("event_id", "absent; add the parameter event_id = {EVENT.ID}, without which a recovery cannot be told from another's")
	}
	a := alert.Alert{Identity: m.text("event_id"), Key: m.text("event_id"), PerHost: true, Flags: flags}
	a.Kind, a.Status = m.meaning()
	a.Labels = m.labels(name)
	text := m.text("alert_message")
	a.Annotations = fields.Labels("summary", cmp.Or(fields.Line(m.text("alert_subject")), name), "description", strings.ReplaceAll(text, "\r\n", "\n"),
		"started_local", m.local("event_date", "event_time"), "recovered_local", m.local("event_recovery_date", "event_recovery_time"),
		"updated_local", m.local("event_update_date", "event_update_time"), "update_action", m.text("event_update_action"),
		"opdata", m.text("event_opdata"), "tags", m.text("event_tags"), "trigger_description", m.text("trigger_description"),
		"host_name", m.text("host_name"), "host_ip", m.text("host_ip"), "trigger_id", m.text("trigger_id"),
		"item_name", m.text("item_name"), "item_value", cmp.Or(m.text("item_value"), m.text("item_lastvalue")))
	a.GeneratorURL = cmp.Or(fields.Link(m.text("event_url")), fields.Link(m.text("trigger_url")))
	a.StartsAt = m.stamp("event_timestamp")
	// A step of an escalation says again what was so then.
	a.EventAt = a.StartsAt
	if a.Status == alert.Resolved {
		a.EndsAt = m.stamp("event_recovery_timestamp")
		a.EventAt = a.EndsAt
	}
	if m.updated() {
		if at := m.stamp("event_update_timestamp"); !at.IsZero() || a.Status != alert.Resolved {
			a.EventAt = at
		}
		a.Author, a.Comment = cmp.Or(m.text("user"), m.text("user_fullname")), m.text("event_update_message")
	}
	return ingest.Batch{Alerts: []alert.Alert{a}}, nil
}

// message is what was posted.
type message struct{ fields.Object }

// text returns a member. A macro without a value arrives as its own name, or as
// *UNKNOWN*.
func (m message) text(name string) string {
	s := strings.TrimSpace(fields.Text(m.Object[name]))
	if s == "*UNKNOWN*" || isMacro(s) {
		return ""
	}
	return s
}

// isMacro reports whether s is a macro such as {EVENT.RECOVERY.TIME}, {HOST.NAME1},
// {EVENT.TAGS.env} or {$NAME}, and nothing else.
func isMacro(s string) bool {
	if len(s) < 3 || s[0] != '{' || s[len(s)-1] != '}' {
		return false
	}
	inner := strings.TrimPrefix(s[1:len(s)-1], "$")
	return inner != "" && inner[0] >= 'A' && inner[0] <= 'Z' && !strings.ContainsAny(inner, "{}:\" \t\n,")
}

// local puts a date and a time together. They are those of the server, in a zone
// that it does not say, so they are texts for people and not times.
func (m message) local(date, clock string) string {
	return strings.TrimSpace(strings.ReplaceAll(m.text(date), ".", "-") + " " + m.text(clock))
}

// stamp reads a time in seconds since 1970, which newer versions of
// Zabbix have macros for.
func (m message) stamp(name string) time.Time {
	s, n := m.text(name), int64(0)
	if len(s) > 12 {
		return time.Time{}
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return time.Time{}
		}
		n = 10*n + int64(c-'0')
	}
	return fields.Unix(n, 0)
}

func (m message) updated() bool { return m.text("event_update_status") == "1" }

// meaning says what sort of message it is: each repeats how things are, updates
// and steps of an escalation too. What is acknowledged opens nothing; a remark
// alone changes nothing.
func (m message) meaning() (alert.Kind, alert.Status) {
	action := m.text("event_update_action")
	switch source := m.text("event_source"); {
	case source == "1", source == "2":
		return alert.KindInformation, alert.Unknown // a host was discovered, or registered itself
	case m.text("event_value") == "0", m.text("event_value") == "" && isOver(m.text("event_status")):
		return alert.KindAlert, alert.Resolved
	case m.updated() && strings.Contains(action, "unacknowledged"):
		return alert.KindAcknowledgementRemoved, alert.Firing
	case m.updated() && !strings.Contains(action, "acknowledged") && !strings.Contains(action, "severity"):
		return alert.KindNote, alert.Firing
	case m.text("event_ack_status") == "Yes":
		return alert.KindAcknowledgement, alert.Firing
	}
	return alert.KindAlert, alert.Firing
}

func isOver(word string) bool {
	word = strings.ToUpper(word)
	return word == "RESOLVED" || word == "OK"
}

// labels are the name, the host and the tags. A tag can have several values; the
// first is taken, and all of them are in an annotation.
func (m message) labels(name string) alert.Labels {
	pairs := []string{"alertname", name, "host", cmp.Or(m.text("host"), m.text("host_host"), m.text("host_name")),
		"severity", strings.ToLower(cmp.Or(m.text("event_severity"), m.text("trigger_severity"))),
		"nseverity", cmp.Or(m.text("event_nseverity"), m.text("trigger_nseverity")), "host_group", m.text("host_group")}
	v, _, err := fields.JSON([]byte(m.text("event_tags_json")))
	if list, ok := v.([]any); err == nil && ok {
		for _, tag := range list[:min(len(list), alert.MaxLabels)] {
			pairs = append(pairs, fields.Text(fields.At(tag, "tag")), fields.Text(fields.At(tag, "value")))
		}
	}
	return fields.Labels(pairs...)
}
