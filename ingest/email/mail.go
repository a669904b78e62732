package email

import (
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// maxLines is how many lines of a text the parsers look at.
const maxLines = 5000

// via is the annotation of every alert that came by mail, whatever its source: the
// API of the program may not know it, so comparing with one must leave it alone.
const via = "via"

// mail is a message as the parsers see it: decoded, clean and bounded.
type mail struct {
	head    header
	from    address
	subject string
	id      string
	date    time.Time
	// text is what people read: the plain text, or what the page says.
	text string
	// html is the page, if there is one, and fromPage says that text is made of it.
	html     string
	fromPage bool
	// lines are those of text, without blanks at their ends.
	lines []string
	// texts and pages are what text and html are made of.
	texts, pages []string
	// inner are the messages that are attached; unread: there are more.
	inner  []*mail
	unread bool
	// report: it is about another mail, such as that it could not be delivered.
	report bool
	flags  alert.Flag
	// more are annotations that every alert gets.
	more []string
}

func (m *mail) mark(f alert.Flag) { m.flags |= f }

// finish reads the header and makes lines, when all parts have been seen.
func (m *mail) finish() {
	var f alert.Flag
	m.subject, f = m.head.text("Subject")
	m.mark(f)
	m.from = m.head.author()
	if !m.head.has("From") {
		m.from = parseAddress(m.head.get("Sender"))
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(m.head.get("Message-ID"), "<"), ">")
	m.id, f = fields.Clean(id)
	m.mark(f)
	m.date = parseDate(m.head.get("Date"))
	m.text, m.html = joined(m.texts), joined(m.pages)
	if strings.TrimSpace(m.text) == "" && m.html != "" {
		m.text, m.fromPage = htmlText(m.html), true
	}
	m.text = strings.ReplaceAll(m.text, "\r\n", "\n")
	m.lines = linesOf(m.text)
}

// joined are the parts that have something in them, each on lines of its own.
func joined(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "\n")
}

// page is the mail with what its page says in place of the plain text, which may
// be no more than a remark; nil if there are not both.
func (m *mail) page() *mail {
	if m.html == "" || m.fromPage {
		return nil
	}
	p := *m
	p.text, p.fromPage = htmlText(m.html), true
	p.lines = linesOf(p.text)
	return &p
}

func linesOf(text string) []string {
	lines := strings.SplitN(text, "\n", maxLines+1)
	lines = lines[:min(len(lines), maxLines)]
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t\r")
	}
	return lines
}

// value returns what stands behind the first of the names that begins a line,
// as in "Host: web-01". A page has a tab between the two.
func (m *mail) value(names ...string) string { return valueIn(m.lines, names...) }

func valueIn(lines []string, names ...string) string {
	for _, name := range names {
		for _, l := range lines {
			if v, ok := after(l, name); ok {
				return v
			}
		}
	}
	return ""
}

// after returns what stands in the line behind the name and a colon or a tab.
func after(line, name string) (string, bool) {
	line = strings.TrimLeft(line, " \t")
	if len(line) <= len(name) || !strings.EqualFold(line[:len(name)], name) {
		return "", false
	}
	rest := strings.TrimLeft(line[len(name):], " ")
	if rest == "" || rest[0] != ':' && rest[0] != '\t' {
		return "", false
	}
	return strings.Trim(rest[1:], " \t"), true
}

// firstLine is the first line of the text with something on it.
func (m *mail) firstLine() string {
	for _, l := range m.lines {
		if l = strings.TrimSpace(l); l != "" {
			return l
		}
	}
	return ""
}

// alert makes a firing alert of the mail; labels are names and values in turn.
func (m *mail) alert(summary string, labels ...string) alert.Alert {
	return alert.Alert{
		Kind: alert.KindAlert, Status: alert.Firing, Identity: m.id, EventAt: m.date, Flags: m.flags,
		Labels: fields.Labels(labels...), Annotations: m.annotations(summary),
	}
}

// annotations are those that every alert of a mail has, and more.
func (m *mail) annotations(summary string, more ...string) alert.Labels {
	description := strings.TrimSpace(m.text)
	if description == summary {
		description = ""
	}
	return fields.Labels(append(append([]string{via, Name, "summary", summary, "description", description, "subject", m.subject, "from", m.from.addr}, m.more...), more...)...)
}

// hostKey is the key of what a host, or a service on it, has: that of the
// webhooks of the same programs.
func hostKey(host, service string) string {
	if service == "" {
		return host
	}
	return host + "!" + service
}
