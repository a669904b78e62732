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
	icingaSubject = regexp.MustCompile(`^\[([A-Z]+)\] (Host )?(.{1,1000}) is ([A-Z]+)!$`)
	icingaTitle   = regexp.MustCompile(`^\*{5} (Host|Service) Monitoring on `)
	icingaComment = regexp.MustCompile(`^Comment by (.*):$`)
)

func parseIcinga(m *mail) []alert.Alert {
	s := icingaSubject.FindStringSubmatch(m.subject)
	host, service := m.value("Host"), m.value("Service")
	if s == nil || !nagiosEvents[s[1]].begins || host == "" {
		return nil
	}
	a := m.checkResult(nagiosEvents[s[1]], host, service, s[4], m.value("Info"))
	a.Annotations = m.annotations(m.value("Info"), "address", m.value("IPv4"), "address6", m.value("IPv6"))
	for i, l := range m.lines {
		if by := icingaComment.FindStringSubmatch(l); by != nil {
			a.Author, a.Comment = by[1], m.paragraph(i+1)
		} else if link := webLink(strings.TrimSpace(l)); link != "" {
			a.GeneratorURL = link
		}
	}
	return one(a)
}

// paragraph is the text from a line to the next empty one.
func (m *mail) paragraph(from int) string {
	end := from
	for end < len(m.lines) && m.lines[end] != "" {
		end++
	}
	return strings.TrimSpace(strings.Join(m.lines[from:end], "\n"))
}
