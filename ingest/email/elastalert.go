package email

import (
	"regexp"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// elastalert reads the mails of ElastAlert
// (https://elastalert.readthedocs.io/en/latest/ruletypes.html#email). It never says
// that something is over.
var elastalert = parser{
	name: "elastalert",
	recognise: func(m *mail) bool {
		return strings.HasPrefix(m.subject, "ElastAlert: ") || m.value("num_hits") != "" && m.value("num_matches") != "" && m.value("_index") != ""
	},
	parse: parseElastalert,
}

var (
	elastalertHost  = regexp.MustCompile(`(?i)^(?:host|hostname|host\.name|beat\.hostname|agent\.hostname)[: ]\s*([A-Za-z0-9][A-Za-z0-9._-]{0,252})$`)
	elastalertInner = regexp.MustCompile(`^\s+"(?:name|hostname)": "([^"]+)",?$`)
)

func parseElastalert(m *mail) []alert.Alert {
	host := m.elastalertHost()
	name, ok := strings.CutPrefix(m.subject, "ElastAlert: ")
	if !ok {
		name = strings.TrimPrefix(name, "ALERT ")
		if host != "" {
			name = strings.TrimSuffix(name, " on "+host)
		}
	}
	name = strings.TrimSpace(name)
	service := m.value("service.name", "service")
	a := m.alert(m.firstLine(), "alertname", name, "host", host, "service", service)
	if name != "" {
		a.Key = strings.Join([]string{name, host, service}, "!") // that of its webhooks
	}
	if at, err := time.Parse(time.RFC3339Nano, m.value("@timestamp")); err == nil {
		a.StartsAt = at
	}
	return one(a)
}

// elastalertHost is the host in the document: a field of its own, or one in the
// object host.
func (m *mail) elastalertHost() string {
	inside := false
	for _, l := range m.lines {
		switch {
		case l == "host: {":
			inside = true
		case l == "}":
			inside = false
		case inside:
			if s := elastalertInner.FindStringSubmatch(l); s != nil {
				return s[1]
			}
		default:
			if s := elastalertHost.FindStringSubmatch(l); s != nil {
				return s[1]
			}
		}
	}
	return ""
}
