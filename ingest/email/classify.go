package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// unattended are the subjects of answers that a program gave in a person's name.
var unattended = regexp.MustCompile(`(?i)^(automatic reply|auto(matic)?[- ]?(reply|response)|out of (the )?office|abwesen(d|heits\pL*)|automatische antwort|` +
	`réponse automatique|respuesta automática|risposta automatica|resposta automática|automatisch antwoord)\s*:`)

// replied are the beginnings that mail programs give an answer.
var replied = regexp.MustCompile(`(?i)^\s*(re|aw|antw|antwort|sv|rif|res|odp|ynt|vá)\s*(\[\d+\])?\s*:`)

// forwardedSubject are the beginnings of a mail that was passed on.
var forwardedSubject = regexp.MustCompile(`(?i)^\s*(fwd?|wg|tr|enc|rv|doorst|i|vb|weitergeleitet)\s*(\[\d+\])?\s*:`)

// automatic is why a mail is no alert of which nothing need be kept.
const automatic = "automatic reply"

// noAlert says why a mail is nothing that a monitoring program sent, whatever
// stands in it: a program answers for a person, or cannot deliver, or a person
// wrote back. Empty means that it may be one.
func (m *mail) noAlert() string {
	switch {
	// RFC 3834; auto-generated is what monitoring programs say of themselves.
	case m.submitted() == "auto-replied", m.head.has("X-Autoreply"), m.head.has("X-Autorespond"), strings.EqualFold(m.head.get("Precedence"), "auto_reply"):
		return automatic
	case m.report, m.bounced():
		return "mail about another mail"
	case m.answers():
		return "reply of a person"
	}
	return ""
}

// answers reports whether the subject is that of an answer. Of words such as SV,
// which may as well be a machine, there must be more to see of it.
func (m *mail) answers() bool {
	s := replied.FindStringSubmatch(m.subject)
	return s != nil && (strings.EqualFold(s[1], "re") || m.head.has("In-Reply-To") || m.head.has("References") || m.quotes())
}

// maybeNoAlert says why a mail is rather none, if no parser knows it.
func (m *mail) maybeNoAlert() string {
	switch {
	case unattended.MatchString(m.subject):
		return "automatic reply by its subject"
	case m.quotes() && m.head.has("In-Reply-To") && m.submitted() != "auto-generated":
		return "reply of a person"
	}
	return ""
}

func (m *mail) submitted() string {
	how, _, _ := strings.Cut(strings.ToLower(m.head.get("Auto-Submitted")), ";")
	return strings.TrimSpace(how)
}

// bounced reports whether a mail server sent the mail: nobody is to answer it. Who
// took the mail in may not have said what the envelope was.
func (m *mail) bounced() bool {
	return strings.HasPrefix(m.from.addr, "mailer-daemon") && (!m.head.has("Return-Path") || m.head.get("Return-Path") == "<>")
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

// information is what is recorded of a mail that is no alert.
func (m *mail) information(why string) alert.Alert {
	name, key, _ := subjectName(m.subject)
	a := m.alert(m.subject, "alertname", name, "sender", m.from.addr)
	a.Kind, a.Status, a.Key = alert.KindInformation, alert.Unknown, m.unknownKey(key)
	a.Annotations = m.annotations(m.subject, "reason", why)
	return a
}
