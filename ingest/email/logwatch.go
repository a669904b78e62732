package email

import (
	"regexp"

	"github.com/tocsin-gateway/tocsin/alert"
)

// logwatch reads the daily reports of Logwatch
// (https://manpages.debian.org/logwatch.8). They are no alerts.
var logwatch = parser{
	name:      "logwatch",
	recognise: func(m *mail) bool { return logwatchSubject.MatchString(m.subject) },
	parse:     parseLogwatch,
}

var logwatchSubject = regexp.MustCompile(`^Logwatch for (\S+) \(.{1,50}\)$`)

func parseLogwatch(m *mail) []alert.Alert {
	host := logwatchSubject.FindStringSubmatch(m.subject)[1]
	a := m.alert(m.subject, "alertname", "Logwatch", "host", host)
	a.Kind, a.Status, a.PerHost, a.Key = alert.KindInformation, alert.Unknown, true, hostKey(host, "logwatch")
	return one(a)
}
