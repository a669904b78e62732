package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// icinga reads the mails of the scripts mail-host-notification.sh and
// mail-service-notification.sh that Icinga 2 ships
// (https://icinga.com/docs/icinga-2/latest/doc/03-monitoring-basics/#notification-commands).
var icinga = parser{
	name: "icinga",
	recognise: func(m *mail) bool {
		return icingaSubject.MatchString(m.subject) || icingaTitle.MatchString(m.firstLine()) && m.value("Host") != ""
	},
	parse: parseIcinga,
}

var (
	icingaSubject = regexp.MustCompile(`^\[([A-Z]+)\] (Host )?(.+) is ([A-Z]+)!$`)
	icingaTitle   = regexp.MustCompile(`^\*{5} (Host|Service) Monitoring on `)
	icingaComment = regexp.MustCompile(`^Comment by (.*):$`)
)

func parseIcinga(m *mail) []alert.Alert {
	s := icingaSubject.FindStringSubmatch(m.subject)
	below := m.icingaFields()
	host, service := valueIn(below, "Host"), valueIn(below, "Service")
	if s == nil || !nagiosEvents[s[1]].begins || host == "" {
		return nil
	}
	a := m.checkResult(nagiosEvents[s[1]], host, service, s[4], m.value("Info"))
	a.Annotations = m.annotations(m.value("Info"), "address", valueIn(below, "IPv4"), "address6", valueIn(below, "IPv6"))
	for i, l := range m.lines {
		if by := icingaComment.FindStringSubmatch(l); by != nil {
			a.Author, a.Comment = by[1], m.paragraph(i+1)
		} else if link := webLink(strings.TrimSpace(l)); link != "" {
			a.GeneratorURL = link
		}
	}
	return one(a)
}

// icingaFields are the lines between what the check said and a comment, which may
// both look like fields.
func (m *mail) icingaFields() []string {
	lines := m.lines
	for i, l := range lines {
		if icingaComment.MatchString(l) {
			lines = lines[:i]
			break
		}
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if _, ok := after(lines[i], "When"); ok {
			return lines[i:]
		}
	}
	return lines
}

// paragraph is the text from a line to the next empty one.
func (m *mail) paragraph(from int) string {
	end := from
	for end < len(m.lines) && m.lines[end] != "" {
		end++
	}
	return strings.TrimSpace(strings.Join(m.lines[from:end], "\n"))
}
