package email

import (
	"regexp"

	"github.com/tocsin-gateway/tocsin/alert"
)

// unattendedUpgrades reads the summaries of Debian's unattended-upgrades
// (https://github.com/mvo5/unattended-upgrades). A failure is an alert.
var unattendedUpgrades = parser{
	name:      "unattended-upgrades",
	recognise: func(m *mail) bool { return upgradesSubject.MatchString(m.subject) },
	parse:     parseUpgrades,
}

var upgradesSubject = regexp.MustCompile(`^(?:\[[a-z ]{1,40}\] ?)*unattended-upgrades result for (\S+): (SUCCESS|FAILURE)$`)

func parseUpgrades(m *mail) []alert.Alert {
	s := upgradesSubject.FindStringSubmatch(m.subject)
	a := m.alert(m.firstLine(), "alertname", "unattended-upgrades", "host", s[1])
	a.PerHost, a.Key = true, hostKey(s[1], "unattended-upgrades")
	if s[2] == "SUCCESS" {
		// Nothing to hear of, and the end of a failure before it.
		a.Kind, a.Status = alert.KindInformation, alert.Resolved
	}
	return one(a)
}
