package email

import (
	"regexp"

	"github.com/tocsin-gateway/tocsin/alert"
)

// cron reads the mails in which cron (Vixie cron, cronie) sends what a job
// printed (crontab(5), MAILTO: https://manpages.debian.org/crontab.5). Whether the
// job failed is not in them, and no recovery follows.
var cron = parser{
	name:      "cron",
	recognise: func(m *mail) bool { return cronSubject.MatchString(m.subject) },
	parse:     parseCron,
}

var cronSubject = regexp.MustCompile(`^Cron <([^@<>]+)@([^<>]+)> (.*)$`)

func parseCron(m *mail) []alert.Alert {
	s := cronSubject.FindStringSubmatch(m.subject)
	a := m.alert(m.firstLine(), "alertname", "Cron "+alert.CutText(s[3], 200), "host", s[2])
	a.PerHost, a.Key = true, hostKey(s[2], "cron!"+s[1]+"!"+s[3])
	a.Annotations = m.annotations(m.firstLine(), "command", s[3], "user", s[1])
	return one(a)
}
