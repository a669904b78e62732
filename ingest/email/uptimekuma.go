package email

import (
	"regexp"

	"github.com/tocsin-gateway/tocsin/alert"
)

// uptimeKuma reads the mails of Uptime Kuma's SMTP notification without a template
// of one's own (https://github.com/louislam/uptime-kuma/wiki/Notification-Methods).
var uptimeKuma = parser{
	name: "uptime-kuma",
	recognise: func(m *mail) bool {
		return kumaText.MatchString(m.firstLine()) || kumaText.MatchString(m.subject) || m.kumaTest()
	},
	parse: parseUptimeKuma,
}

var kumaText = regexp.MustCompile(`^\[(.+)\] \[(?:🔴|✅) (Down|Up)\] ?(.*)$`)

// kumaTest: somebody pressed the button Test.
func (m *mail) kumaTest() bool { return m.firstLine() == "Uptime Kuma Testing" }

func parseUptimeKuma(m *mail) []alert.Alert {
	s := kumaText.FindStringSubmatch(m.firstLine())
	if s == nil {
		s = kumaText.FindStringSubmatch(m.subject)
	}
	if s == nil {
		a := m.alert(m.subject, "alertname", "Uptime Kuma")
		a.Kind, a.Status = alert.KindTest, alert.Unknown
		return one(a)
	}
	a := m.alert(s[3], "alertname", s[1])
	a.Key = "name!" + s[1] // that of a webhook that does not say the monitor's number either
	if s[2] == "Up" {
		a.Status = alert.Resolved
	}
	return one(a)
}
