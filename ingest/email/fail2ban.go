package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// fail2ban reads the mails of Fail2Ban's actions sendmail and mail
// (https://github.com/fail2ban/fail2ban/blob/master/config/action.d/sendmail.conf).
// A ban is an alert; that a jail was started, or stopped, is none.
var fail2ban = parser{
	name:      "fail2ban",
	recognise: func(m *mail) bool { return fail2banSubject.MatchString(m.subject) },
	parse:     parseFail2ban,
}

var fail2banSubject = regexp.MustCompile(`^\[Fail2Ban\] ([^:]+): (started|stopped|banned|unbanned)(?: (\S+))? (?:on|from) (\S+)$`)

func parseFail2ban(m *mail) []alert.Alert {
	s := fail2banSubject.FindStringSubmatch(m.subject)
	jail, what, address, host := s[1], s[2], s[3], s[4]
	summary := strings.TrimPrefix(m.subject, "[Fail2Ban] ")
	a := m.alert(summary, "alertname", "Fail2Ban", "host", host, "service", jail)
	a.PerHost, a.Key = true, hostKey(host, "fail2ban!"+jail)
	if what != "banned" {
		a.Kind, a.Status = alert.KindInformation, alert.Unknown
	}
	a.Annotations = m.annotations(summary, "address", address)
	return one(a)
}
