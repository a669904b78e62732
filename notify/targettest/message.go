package targettest

import (
	"net/url"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// SentAt is when the messages of Message are sent.
var SentAt = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// TemplateSet is Alertmanager's own templates, at https://tocsin.example.com, with all
// the time that a busy machine may need for them.
func TemplateSet(t testing.TB) *notify.Templates {
	t.Helper()
	set, err := notify.NewTemplates(nil, &url.URL{Scheme: "https", Host: "tocsin.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	set.TextTime = time.Minute
	return set
}

// Message is a message about an incident of two alerts, as it would be at the event.
func Message(e notify.Event) *notify.Message {
	opened := SentAt.Add(-10 * time.Minute)
	i := &incident.Incident{ID: incident.ID{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}, Reference: "INC-20261121-7KQ2", Title: "DiskFull db", State: incident.Open,
		Severity: "critical", SeverityWord: "page", Priority: "P1", Impact: "high", Urgency: "high", Category: "hardware", Level: "minor", Phase: incident.Investigating,
		Service: "db", Team: "dba", Runbook: "https://runbooks.example.com/disk", Labels: map[string]string{"alertname": "DiskFull", "service": "db", "severity": "page"},
		Hosts: []string{"db-1", "db-2"}, Sources: []string{"alertmanager"}, OpenedAt: opened, CycleOpenedAt: opened, StartedAt: opened.Add(-time.Minute), CycleSeverity: "critical",
		Alerts: incident.Counts{Total: 2, Firing: 2}, Firing: map[string]int{"critical": 2}, Occurrences: 2, Roles: map[string]string{}}
	m := &notify.Message{Event: e, Incident: i, Receiver: "dba", SentAt: SentAt, RouteLabels: map[string]string{"tier": "one"},
		Links: notify.Links{Incident: "https://tocsin.example.com/incidents/INC-20261121-7KQ2", Acknowledge: "https://tocsin.example.com/a/ack-token", Resolve: "https://tocsin.example.com/a/resolve-token"}}
	entry := incident.TimelineEntry{Incident: i.ID, Seq: 2, At: SentAt, RecordedAt: SentAt, Who: incident.System}
	for n, host := range []string{"db-1", "db-2"} {
		labels := alert.FromMap(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "page", "host": host})
		a := notify.Alert{Alert: &alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Source: "alertmanager", Labels: labels,
			Annotations: alert.FromMap(map[string]string{"summary": "disk of " + host + " is full"}), GeneratorURL: "https://prometheus.example.com/graph?g0.expr=up&g0.tab=1"},
			Fingerprint: alert.Fingerprint{byte(n + 1)}, Firing: true, Severity: "critical", StartsAt: opened.Add(-time.Minute)}
		m.Alerts = append(m.Alerts, a)
	}
	switch e {
	case notify.Updated:
		entry.Action, entry.Text, entry.Count = "joined", "1 joined", 1
	case notify.Acknowledged:
		i.State, i.AcknowledgedBy, i.AcknowledgedAt = incident.Acknowledged, "alice", SentAt
		entry.Who, entry.Action, entry.Text = "alice", "acknowledged", "acknowledged: on it"
	case notify.Unacknowledged:
		entry.Who, entry.Action, entry.Text = "alice", "acknowledgement_removed", "acknowledgement taken back"
	case notify.Resolved:
		i.State, i.ResolvedBy, i.ResolvedAt, i.Alerts.Firing, i.Firing = incident.Resolved, incident.System, SentAt, 0, map[string]int{}
		entry.Action, entry.Text = "resolved", "resolved: its last alert ended"
		for n := range m.Alerts {
			m.Alerts[n].Firing, m.Alerts[n].EndsAt = false, SentAt
		}
	default:
		entry.Action, entry.Text = "opened", "opened: DiskFull db"
	}
	m.News = []incident.TimelineEntry{entry}
	return m
}

// Hostile replaces everything that the sender of an alert chose with the text.
func Hostile(m *notify.Message, text string) *notify.Message {
	m.Incident.Title, m.Incident.Service, m.Incident.Team, m.Incident.Description = text, text, text, text
	m.Incident.Labels = map[string]string{"alertname": text, "x": text}
	m.Incident.AcknowledgedBy, m.Incident.Runbook = text, text
	for n := range m.Alerts {
		a := *m.Alerts[n].Alert
		a.Labels = alert.FromMap(map[string]string{"alertname": text, "x": text})
		a.Annotations = alert.FromMap(map[string]string{"summary": text, "description": text})
		a.GeneratorURL = text
		m.Alerts[n].Alert = &a
	}
	for n := range m.News {
		m.News[n].Who, m.News[n].Text = text, text
	}
	return m
}

// HostileTexts are what an attacker would put into an alert: mentions, markup,
// headers, template actions, the wrong encoding, and more than fits.
func HostileTexts() []string {
	return []string{
		"<!channel> <!here> <!everyone> <@U012345> <!subteam^S0123>", "@channel @here @everyone @all @room", "<https://evil.example.com|click here>",
		"[click](https://evil.example.com) ![x](https://evil.example.com/x.png)", "<script>alert(1)</script><img src=x onerror=alert(1)>",
		"*bold* _it_ ~no~ `code` ```block``` > quote # head", "a\r\nBcc: evil@example.com\r\n\r\nbody", "{{ .ExternalURL }} {{ range . }}{{ end }} ${jndi:ldap://x} %s%n",
		"{code}{color:red}[~admin] {panel}", "<at>everyone</at> <at id=\"x\">a</at>", "javascript:alert(1)", "http://169.254.169.254/latest/meta-data/",
		"\u202eevil\u202c \u2066x\u2069 \u200b", "\xff\xfe\x00\x01", "😀 Zürich 日本語", "\"}],\"attachments\":[{\"text\":\"x", string(make([]byte, 300)), longText,
	}
}

var longText = func() string {
	b := make([]byte, 50_000)
	for n := range b {
		b[n] = "lorem & <ipsum> "[n%16]
	}
	return string(b)
}()
