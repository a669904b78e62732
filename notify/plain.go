package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// plainAlerts, plainNews and plainHosts bound what the built-in text lists.
	plainAlerts = 10
	plainNews   = 10
	// lineLimit bounds a line of it, in bytes.
	lineLimit = 300
)

// Headline says in one line what happened to which incident.
func (m *Message) Headline() string {
	if m.Event == Digested {
		return m.digestHeadline()
	}
	if m.Event == Noticed {
		return "[NOTICE] " + Line(m.Incident.Title)
	}
	i := m.Incident
	var word string
	switch m.Event {
	case Resolved:
		word = "RESOLVED"
	case Acknowledged:
		word = "ACKNOWLEDGED"
	case Unacknowledged:
		word = "NO LONGER ACKNOWLEDGED"
	case Repeated:
		word = "STILL " + strings.ToUpper(i.Severity)
	default:
		word = strings.ToUpper(i.Severity)
		if !i.IsOpen() { // something is still to be done, but it is over
			word = strings.ToUpper(i.State)
		}
	}
	if i.Drill {
		word = "DRILL " + word
	}
	title := Line(i.Title)
	if n := i.Alerts.Firing; n > 1 && !m.Resolved() {
		title += fmt.Sprintf(" (%d alerts)", n)
	}
	return fmt.Sprintf("[%s] %s · %s", word, title, i.Reference)
}

// Plain says all that matters in plain text. It needs no template, and so it
// cannot fail.
func (m *Message) Plain() string {
	if m.Event == Digested {
		return m.digestPlain()
	}
	if m.Event == Noticed {
		return m.noticePlain()
	}
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(cutLine(fmt.Sprintf(format, args...)))
		b.WriteByte('\n')
	}
	i := m.Incident
	line("%s", m.Headline())
	if m.Remark != "" {
		line("%s", Line(m.Remark))
	}
	about := []string{"severity " + i.Severity, "priority " + i.Priority}
	for _, part := range [][2]string{{"service", i.Service}, {"team", i.Team}} {
		if part[1] != "" {
			about = append(about, part[0]+" "+Line(part[1]))
		}
	}
	line("%s", strings.Join(about, ", "))
	line("since %s%s", i.OpenedAt.UTC().Format(time.RFC3339), m.who())
	if i.Description != "" {
		line("%s", Line(i.Description))
	}
	for n := range m.Alerts {
		if n == plainAlerts {
			break
		}
		line("- %s", m.Alerts[n].line())
	}
	if left := m.More + max(len(m.Alerts)-plainAlerts, 0); left > 0 {
		line("- and %d more", left)
	}
	if m.Event != Opened {
		for n, e := range m.News {
			if n == plainNews {
				line("… %d more entries", len(m.News)-n)
				break
			}
			line("%s %s: %s", e.At.UTC().Format("15:04"), Line(e.Who), Line(e.Text))
		}
	}
	for _, link := range [][2]string{{"incident", m.Links.Incident}, {"acknowledge", m.Links.Acknowledge}, {"resolve", m.Links.Resolve}, {"runbook", WebURL(i.Runbook)}} {
		if link[1] != "" {
			b.WriteString(link[0] + ": " + link[1] + "\n") // a link that is cut leads nowhere
		}
	}
	return b.String()
}

// who says who works on it.
func (m *Message) who() string {
	i := m.Incident
	switch {
	case m.Resolved() && i.ResolvedBy != "":
		return ", resolved by " + Line(i.ResolvedBy)
	case i.AcknowledgedBy != "":
		return ", " + Line(i.AcknowledgedBy) + " works on it"
	}
	return ", nobody works on it yet"
}

// line says what an alert is about.
func (a *Alert) line() string {
	parts := []string{Line(a.Name())}
	if host := a.Host(); host != "" {
		parts = append(parts, "on "+Line(host))
	}
	if !a.Firing {
		parts = append(parts, "(ended)")
	}
	for _, name := range []string{"summary", "description", "message"} {
		if text := a.Annotations.Get(name); text != "" {
			return strings.Join(parts, " ") + ": " + Line(text)
		}
	}
	return strings.Join(parts, " ")
}

// Line makes one printable line of a text that came with an alert: without
// control characters, line ends, and what turns the direction of writing.
func Line(s string) string {
	return cutLine(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control), r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))))
}

func cutLine(s string) string { return Cut(s, lineLimit) }

// Cut returns at most n bytes of s, whole characters, with an ellipsis if
// something is missing.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const dots = "…"
	n = max(n-len(dots), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + dots
}
