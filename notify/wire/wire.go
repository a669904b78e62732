// Package wire fits what a message says into the fields of a tool's API: lengths in
// the units that tools count, characters that they take, values that every JSON
// encoder takes, and the links and facts that stand beside a text. It knows no
// settings (those of our own receivers are in block), sends nothing, and holds no
// secrets (outgoing does).
package wire

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// Cut returns at most n characters of s, with an ellipsis if something is missing.
// It counts as Java and JavaScript do, where a character beyond U+FFFF is two, so
// that the result also fits where one is counted as one.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s // no character is longer in UTF-16 units than in bytes
	}
	used, keep := 0, 0
	for at, r := range s {
		if used += max(utf16.RuneLen(r), 1); used > n {
			return s[:keep] + "…"
		}
		if used < n {
			_, size := utf8.DecodeRuneInString(s[at:])
			keep = at + size
		}
	}
	return s
}

// Length is how many characters s has, as Cut counts.
func Length(s string) (n int) {
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// Clean makes plain text of what came with an alert: several lines, valid UTF-8,
// without control characters and what turns the direction of writing.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\u2028', r == '\u2029':
			return '\n'
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control), r == '\ufeff', r == '\u200b':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Line makes one line of a text that may be long, such as a URL.
func Line(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\t", " ").Replace(Clean(s)))
}

// tag is where HTML would begin, or could with what a template puts behind it.
var tag = regexp.MustCompile(`<([A-Za-z/!?]|$)`)

// Untagged is Clean for a tool that shows HTML: nothing in it begins a tag, and
// all else is as it was, so that it can also be read where HTML is not shown.
func Untagged(s string) string { return tag.ReplaceAllString(Clean(s), "‹$1") }

// valueDepth bounds how deep a value may be.
const valueDepth = 50

// Value makes a value that a template wrote fit for JSON, in which there is no
// infinity and no broken UTF-8.
func Value(v any) any { return value(v, valueDepth) }

func value(v any, depth int) any {
	if depth == 0 {
		return "…"
	}
	switch v := v.(type) {
	case string:
		return Clean(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
		return v
	case []any:
		out := make([]any, len(v))
		for n := range v {
			out[n] = value(v[n], depth-1)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[Clean(name)] = value(v[name], depth-1)
		}
		return out
	case nil, bool, int, int64, uint64, time.Time:
		return v
	}
	return Clean(fmt.Sprint(v))
}

// Link is a link of ours, with the words it is shown under.
type Link struct{ Text, URL string }

// Links are those of a message that make sense in the incident's state.
func Links(m *notify.Message) []Link {
	var out []Link
	add := func(text, to string) {
		if to != "" {
			out = append(out, Link{text, to})
		}
	}
	add("Open "+m.Incident.Reference, m.Links.Incident)
	if m.Resolved() {
		return out
	}
	if m.Incident.State != incident.Acknowledged {
		add("Acknowledge", m.Links.Acknowledge)
	}
	add("Resolve", m.Links.Resolve)
	return out
}

// Footer is what a text says beside what its template wrote: the remark, who works
// on the incident, and where to go. It is plain text.
func Footer(m *notify.Message) string {
	var b strings.Builder
	for _, line := range Facts(m) {
		b.WriteString(line + "\n")
	}
	for _, l := range Links(m) {
		b.WriteString(l.Text + ": " + l.URL + "\n")
	}
	return b.String()
}

// Facts are the lines of a footer that are no links.
func Facts(m *notify.Message) (lines []string) {
	if m.Remark != "" {
		lines = append(lines, notify.Line(m.Remark))
	}
	switch i := m.Incident; {
	case m.Resolved() && i.ResolvedBy != "":
		lines = append(lines, "Resolved by "+notify.Line(i.ResolvedBy))
	case !m.Resolved() && i.State == incident.Acknowledged && i.AcknowledgedBy != "":
		lines = append(lines, notify.Line(i.AcknowledgedBy)+" works on it")
	}
	return lines
}

// WithFooter returns at most n characters: the text, which is cut if need be, and
// the footer.
func WithFooter(text, footer string, n int) string {
	if footer == "" {
		return Cut(text, n)
	}
	footer = Cut(strings.TrimRight(footer, "\n"), n/2)
	if text = Cut(strings.TrimRight(text, "\n"), n-Length(footer)-2); text == "" {
		return footer
	}
	return text + "\n\n" + footer
}
