package email

import (
	"regexp"

	"github.com/tocsin-gateway/tocsin/alert"
)

// logcheck reads the reports of logcheck
// (https://manpages.debian.org/logcheck.8), which are sent when there is something
// in the logs that no rule knows.
var logcheck = parser{
	name:      "logcheck",
	recognise: func(m *mail) bool { return logcheckSubject.MatchString(m.subject) },
	parse:     parseLogcheck,
}

var logcheckSubject = regexp.MustCompile(`^(\S+) \d{4}-\d\d-\d\d \d\d:\d\d(?: [+-]\d{4})? ((?:System|Security) Events|Attack Alerts|Security Alerts)$`)

func parseLogcheck(m *mail) []alert.Alert {
	s := logcheckSubject.FindStringSubmatch(m.subject)
	a := m.alert(s[2]+" on "+s[1], "alertname", s[2], "host", s[1])
	a.PerHost, a.Key = true, hostKey(s[1], "logcheck!"+s[2])
	return one(a)
}
