package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// zabbix reads the mails of the message templates that Zabbix' media type Email
// comes with, as text and as a page
// (https://www.zabbix.com/documentation/current/en/manual/config/notifications/media/email).
var zabbix = parser{
	name: "zabbix",
	recognise: func(m *mail) bool {
		return zabbixSubject.MatchString(m.subject) && (m.zabbixID() != "" || m.value("Problem name") != "")
	},
	parse: parseZabbix,
}

var (
	zabbixSubject = regexp.MustCompile(`^(Problem|Resolved|Updated problem)(?: in [\dywdhms ]{1,40})?: (.+)$`)
	// zabbixReply: the mails about one problem are in a thread, whose first number is the problem's.
	zabbixReply    = regexp.MustCompile(`^<(\d{1,20})\.[0-9a-f]{32}\.`)
	zabbixUpdate   = regexp.MustCompile(`^(.+) \(([^()]+)\) ((?:un)?acknowledged|commented|closed|changed severity|suppressed|unsuppressed)\b.* problem at `)
	zabbixSeverity = regexp.MustCompile(`changed severity from (.{1,50}) to (.{1,50}?)(?: and .*)? problem at `)
)

func (m *mail) zabbixID() string {
	if reply := zabbixReply.FindStringSubmatch(m.head.get("In-Reply-To")); reply != nil {
		return reply[1]
	}
	return m.value("Original problem ID")
}

func parseZabbix(m *mail) []alert.Alert {
	s := zabbixSubject.FindStringSubmatch(m.subject)
	name, host, severity, id := s[2], m.value("Host"), strings.ToLower(m.value("Severity")), m.zabbixID()
	update := zabbixUpdate.FindStringSubmatch(m.firstLine())
	if to := zabbixSeverity.FindStringSubmatch(m.firstLine()); to != nil {
		severity = strings.ToLower(to[2])
	}
	a := m.alert(name, "alertname", name, "host", host, "severity", severity)
	a.PerHost = host != ""
	// The problem's number is in all its mails, and the key of its webhooks.
	a.Key = id
	if id == "" {
		a.Key = "zabbix!" + host + "!" + name
	}
	if a.Identity == "" {
		a.Identity = id
	}
	switch {
	case s[1] == "Resolved":
		a.Status = alert.Resolved
	case s[1] == "Updated problem" && update != nil:
		a.Author = update[1] + " (" + update[2] + ")"
		a.Comment = m.zabbixComment()
	}
	data := m.value("Operational data")
	a.Annotations = m.annotations(name, "operational_data", data, "duration", m.value("Problem duration"), "problem_id", id)
	for _, l := range m.lines {
		if link := webLink(strings.TrimSpace(l)); link != "" {
			a.GeneratorURL = link
			break
		}
	}
	return one(a)
}

// zabbixComment is what a person wrote: the lines below the first one.
func (m *mail) zabbixComment() string {
	var out []string
	for _, l := range m.lines[1:] {
		if strings.HasPrefix(l, "Current problem status") {
			break
		}
		out = append(out, l)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
