package email

import (
	"regexp"
	"strings"
)

// forwardMark is the line that mail programs put above a mail that is passed on.
var forwardMark = regexp.MustCompile(`(?i)^[->\s]*(-{2,}\s*(forwarded message|original message|weitergeleitete nachricht|ursprüngliche nachricht|message transféré|mensaje reenviado)\b.*|begin forwarded message:)\s*$`)

// forwarded returns the mail that stands in the text of this one, if a person
// passed it on; else nil.
func (m *mail) forwarded() *mail {
	if !forwardedSubject.MatchString(m.subject) {
		return nil
	}
	for i, l := range m.lines {
		if len(l) < 200 && forwardMark.MatchString(l) {
			return m.unwrap(m.lines[i+1:])
		}
	}
	return nil
}

// unwrap reads the few header lines below the mark, and what follows them.
func (m *mail) unwrap(lines []string) *mail {
	if quoted(lines) {
		plain := make([]string, len(lines))
		for i, l := range lines {
			plain[i] = strings.TrimPrefix(strings.TrimPrefix(l, ">"), " ")
		}
		lines = plain
	}
	for len(lines) > 0 && lines[0] == "" {
		lines = lines[1:]
	}
	end := 0
	for end < len(lines) && end < 20 && lines[end] != "" {
		end++
	}
	head := lines[:end]
	out := &mail{head: m.head, date: m.date, flags: m.flags, more: m.more, id: m.id, from: m.from}
	out.subject = valueIn(head, "Subject", "Betreff", "Objet", "Asunto")
	if out.subject == "" {
		return nil
	}
	if from := parseAddress(valueIn(head, "From", "Von", "De")); strings.Contains(from.addr, "@") {
		out.from = from
	}
	if date := parseDate(valueIn(head, "Date", "Datum", "Fecha")); !date.IsZero() {
		out.date = date
	}
	out.lines = lines[end:]
	out.text = strings.TrimSpace(strings.Join(out.lines, "\n"))
	return out
}

// quoted reports whether all lines are.
func quoted(lines []string) bool {
	for _, l := range lines {
		if l != "" && !strings.HasPrefix(l, ">") {
			return false
		}
	}
	return true
}
