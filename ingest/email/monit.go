package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// monit reads the mails of Monit's default format
// (https://mmonit.com/monit/documentation/monit.html#MESSAGE-FORMAT).
var monit = parser{
	name: "monit",
	recognise: func(m *mail) bool {
		return strings.HasPrefix(m.subject, "monit alert --") || monitMailer.MatchString(m.head.get("X-Mailer")) && m.value("Action") != ""
	},
	parse: parseMonit,
}

var (
	monitMailer = regexp.MustCompile(`^Monit \d`)
	monitFirst  = regexp.MustCompile(`^(.{1,100}) Service (.{1,500})$`)
	// monitGood ends the name of an event that ends a problem.
	monitGood = regexp.MustCompile(`(?i) (succeeded|recovery|not changed|up)$|^exists$`)
	// monitState is what is taken off the name of an event: what is left is the
	// same for the problem and its end.
	monitState = regexp.MustCompile(`(?i) (succeeded|failed|error|matched|recovery|not changed|changed|up|down)$`)
)

func parseMonit(m *mail) []alert.Alert {
	s := monitFirst.FindStringSubmatch(m.firstLine())
	host, summary := m.value("Host"), m.value("Description")
	if s == nil || host == "" {
		return nil
	}
	what, service := s[1], s[2]
	a := m.alert(summary, "alertname", service, "host", host, "service", service)
	aspect := strings.ToLower(monitState.ReplaceAllString(what, ""))
	if aspect == "does not exist" || aspect == "exists" {
		aspect = "existence"
	}
	a.PerHost, a.Key = true, hostKey(host, service)+"!"+aspect
	switch {
	case what == "Monit instance changed" || what == "Action done":
		a.Kind, a.Status = alert.KindInformation, alert.Unknown
	case monitGood.MatchString(what):
		a.Status = alert.Resolved
	}
	a.Annotations = m.annotations(summary, "event", what, "action", m.value("Action"))
	return one(a)
}
