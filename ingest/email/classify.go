package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// unattended are the subjects of answers that a program gave in a person's name.
var unattended = regexp.MustCompile(`(?i)^(automatic reply|auto(matic)?[- ]?(reply|response)|out of (the )?office|abwesen(d|heits)|automatische antwort|` +
	`réponse automatique|respuesta automática|risposta automatica|resposta automática|automatisch antwoord)`)

// undelivered are the subjects of mails about mails.
var undelivered = regexp.MustCompile(`(?i)^(undeliver(ed|able)|mail delivery (failed|failure|subsystem)|delivery status notification|returned mail|failure notice|delivery has failed|` +
	`read:|gelesen:|unzustellbar)`)

// replied are the beginnings that mail programs give an answer.
var replied = regexp.MustCompile(`(?i)^\s*(re|aw|antw|antwort|sv|rif|res|odp|ynt|vá)\s*(\[\d+\])?\s*:`)

// forwardedSubject are the beginnings of a mail that was passed on.
var forwardedSubject = regexp.MustCompile(`(?i)^\s*(fwd?|wg|tr|enc|rv|doorst|i|vb|weitergeleitet)\s*(\[\d+\])?\s*:`)

// noAlert says why a mail is nothing that a monitoring program sent: a program
// answers for a person, or cannot deliver, or a person wrote back. Empty means
// that it may be one.
func (m *mail) noAlert() string {
	submitted, _, _ := strings.Cut(strings.ToLower(m.head.get("Auto-Submitted")), ";")
	switch {
	case m.report, m.head.has("X-Failed-Recipients"), strings.HasPrefix(m.from.addr, "mailer-daemon"), undelivered.MatchString(m.subject):
		return "mail about another mail"
	// RFC 3834; auto-generated is what monitoring programs say of themselves.
	case strings.TrimSpace(submitted) == "auto-replied", m.head.has("X-Autoreply"), m.head.has("X-Autorespond"),
		strings.EqualFold(m.head.get("Precedence"), "auto_reply"), unattended.MatchString(m.subject):
		return "automatic reply"
	case replied.MatchString(m.subject), m.quotes() && m.head.has("In-Reply-To"):
		return "reply of a person"
	}
	return ""
}

// quotes reports whether the text holds quoted lines.
func (m *mail) quotes() bool {
	n := 0
	for _, l := range m.lines {
		if strings.HasPrefix(l, ">") {
			n++
		}
	}
	return n > 1
}

// trouble are words of a subject that say why somebody wants to be heard.
var trouble = regexp.MustCompile(`(?i)\b(alert|alarm|problem|critical|crit|warn(ing)?|down|outage|fail(s|ed|ure|ing)?|error|fatal|emergency|urgent|firing|triggered|incident|` +
	`unreachable|unavailable|degraded|ok|up|recover(y|ed)|resolved|cleared)\b`)

// noise reports whether the mail went to a list and does not sound like an alert.
// A mail to the members of an on-call list is no noise.
func (m *mail) noise() bool {
	list := m.head.has("List-Id") || m.head.has("List-Unsubscribe")
	switch strings.ToLower(m.head.get("Precedence")) {
	case "bulk", "list", "junk":
		list = true
	}
	return list && !trouble.MatchString(m.subject)
}

// information is what is recorded of a mail that is no alert.
func (m *mail) information(why string) alert.Alert {
	name, key, _ := subjectName(m.subject)
	a := m.alert(m.subject, "alertname", name, "sender", m.from.addr)
	a.Kind, a.Status, a.Key = alert.KindInformation, alert.Unknown, m.unknownKey(key)
	a.Annotations = m.annotations(m.subject, "reason", why)
	return a
}
