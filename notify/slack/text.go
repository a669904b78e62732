package slack

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// controls are the three characters by which mentions, links and dates begin in
// Slack, https://docs.slack.dev/messaging/formatting-message-text#escaping.
var controls = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// plain undoes controls, for what is not read as text, such as a URL.
var plain = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// escape makes what came with an alert harmless: no mention, no link that shows
// another address, nothing that hides or turns text.
func escape(s string) string { return controls.Replace(clean(s)) }

// escapeNames is escape for messages with link_names, in which a bare name of a
// group is a mention: the sign before it becomes one that only looks like it.
func escapeNames(s string) string { return strings.ReplaceAll(escape(s), "@", "\uff20") }

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control), r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cut returns at most n characters of a text that may have markup, and never half
// of an entity or of a link.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	end, left := 0, max(n-1, 0)
	for at := range s {
		if left == 0 {
			end = at
			break
		}
		left--
	}
	s = s[:end]
	if at := strings.LastIndexByte(s, '&'); at >= 0 && len(s)-at < len("&amp;") && !strings.Contains(s[at:], ";") {
		s = s[:at]
	}
	if at := strings.LastIndexByte(s, '<'); at > strings.LastIndexByte(s, '>') {
		s = s[:at]
	}
	return s + "…"
}

// link returns a rendered URL if people can follow it, else nothing.
func link(s string) string {
	if s = notify.WebURL(strings.TrimSpace(plain.Replace(s))); len(s) > urlLimit {
		return ""
	}
	return s
}

// state says in one line how the incident is.
func state(m *notify.Message) string {
	i := m.Incident
	who := "nobody works on it yet"
	switch {
	case m.Resolved():
		if who = "resolved"; i.ResolvedBy != "" {
			who += " by " + notify.Line(i.ResolvedBy)
		}
	case i.State == incident.Acknowledged:
		who = notify.Line(i.AcknowledgedBy) + " works on it"
	}
	return fmt.Sprintf("%s · %s · since %s · %s · %s", i.Severity, i.Priority, i.CycleOpenedAt.UTC().Format("2006-01-02 15:04 MST"), who, i.Reference)
}

// newsShown bounds the entries of the timeline that one message lists.
const newsShown = 10

// said is the event in a few lines, for a thread.
func said(m *notify.Message) string {
	lines := []string{m.Headline()}
	if m.Remark != "" {
		lines = append(lines, notify.Line(m.Remark))
	}
	for n, e := range m.News {
		if n == newsShown {
			lines = append(lines, fmt.Sprintf("… %d more entries", len(m.News)-n))
			break
		}
		lines = append(lines, e.At.UTC().Format("15:04")+" "+notify.Line(e.Who)+": "+notify.Line(e.Text))
	}
	return strings.Join(lines, "\n")
}

// major: the incident is one that gets a channel of its own.
func major(i *incident.Incident) bool {
	return i.Severity == "critical" || i.Level == "major" || i.Level == "continuity"
}
