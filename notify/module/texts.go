package module

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/notify"
)

// The texts of a block are written here, not by the module. In the block that the
// module gets, each template is replaced by one that only looks up the text which
// comes with the message, as a label of the route: so no text is executed as a
// template again, and the block never changes.

// use is what a text is for.
type use uint8

const (
	// body is the text that says it all: if it fails, people read the plain text.
	body use = iota
	// title stands above it, in one line; aside is said beside it.
	title
	aside
	// code means something to the tool: a channel, a priority, a colour. What came
	// with an alert is not escaped in it.
	code
	// target is code without which nobody is told.
	target
	// link is followed by people.
	link
)

// field is one text of a block.
type field struct {
	// name is its path in the YAML.
	name string
	use  use
	// text is its template, and file where it is read instead.
	text, file string
	// limit is how much of it the tool takes, and instead stands for nothing where
	// that is refused.
	limit   limit
	instead string
	// html: the template is one of HTML.
	html bool
	// fragile: cut anywhere, or with a sign out of place, the tool refuses it.
	fragile bool
	// standard: it is the template that the module has for those who set none.
	standard bool
}

// key is the label that the n-th text comes in.
func key(n int) string { return "__text_" + strconv.Itoa(n) }

// lookUp is the template that the module gets for it.
func (f *field) lookUp(n int) string {
	if f.html {
		return "{{ .RouteLabels." + key(n) + " | safeHtml }}"
	}
	return "{{ .RouteLabels." + key(n) + " }}"
}

// limit is a number of whatever size counts. The zero value is no limit.
type limit struct {
	n    int
	size func(string) int
}

func characters(n int) limit { return limit{n, utf8.RuneCountInString} }

func octets(n int) limit { return limit{n, func(s string) int { return len(s) }} }

// escaped is the limit as it is for a text before it is escaped, less what is needed
// for something else.
func (l limit) escaped(escape func(string) string, less string) limit {
	if l.size == nil {
		return l
	}
	return limit{l.n - l.size(less), func(s string) int { return l.size(escape(s)) }}
}

func (l limit) less(s string) limit {
	return l.escaped(func(s string) string { return s }, s)
}

func (l limit) holds(s string) bool { return l.size == nil || l.size(s) <= l.n }

// cut returns as many whole characters as there is room for, with an ellipsis if
// something is missing. It does not end in the beginning of an escape.
func (l limit) cut(s string) string {
	if l.holds(s) {
		return s
	}
	const dots = "…"
	at := func(n int) string {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		return strings.TrimRight(s[:n], `\`) + dots
	}
	// The longest beginning that fits; the one at n bytes is at(n).
	n := sort.Search(len(s), func(n int) bool { return l.size(at(n)) > l.n })
	if n == 0 {
		return ""
	}
	return at(n - 1)
}

// failed is returned for a template that failed: no template writes it.
const failed = "\x00failed"

var errTarget = errors.New("its template fails, so it is not known who is to be told")

// writing is one message being written for a block.
type writing struct {
	message *notify.Message
	// escape is for what is ours in a text, escapeHTML in one that is HTML.
	escape, escapeHTML func(string) string
	// shown are the texts for people, and meant those for the tool.
	shown *notify.Texts
	meant func() *notify.Texts
}

// texts writes all texts of a message, by the label that each comes in.
func (b *block) texts(t *notify.Templates, m *notify.Message) (map[string]string, error) {
	w := &writing{message: m, escape: b.escape, escapeHTML: asHTML(b.escape), shown: t.Texts(m, b.escape), meant: sync.OnceValue(func() *notify.Texts { return t.Texts(m, clean) })}
	out := make(map[string]string, len(b.fields))
	for n := range b.fields {
		f := &b.fields[n]
		text, err := w.write(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if n == b.main {
			text = w.main(f, text, b.needsText)
		}
		out[key(n)] = text
	}
	return out, nil
}

// read is what people would read of the texts, each below the name of its field.
func (b *block) read(texts map[string]string) string {
	var all strings.Builder
	for n := range b.fields {
		if f := &b.fields[n]; texts[key(n)] != "" && f.use != code && f.use != target && f.file == "" {
			all.WriteString(f.name + ": " + texts[key(n)] + "\n")
		}
	}
	return all.String()
}

// write writes one text. That of the body may be too long, and failed.
func (w *writing) write(f *field) (string, error) {
	template := f.text
	if f.file != "" {
		content, err := os.ReadFile(f.file)
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(content)), nil
	}
	switch f.use {
	case target:
		text := w.meant().Text(f.name, template, failed)
		if text == failed {
			return "", &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errTarget}
		}
		return f.limit.cut(text), nil
	case code:
		text := f.limit.cut(w.meant().Text(f.name, template, ""))
		return cmp.Or(text, f.instead), nil
	case link:
		// A link that is cut leads nowhere.
		if to := notify.WebURL(strings.TrimSpace(w.meant().Text(f.name, template, ""))); f.limit.holds(to) {
			return to, nil
		}
		return "", nil
	case title:
		return f.limit.cut(notify.Line(w.shown.Text(f.name, template, w.escape(w.message.Headline())))), nil
	case aside:
		return f.limit.cut(w.shown.Text(f.name, template, "")), nil
	}
	if f.html {
		return w.shown.HTML(f.name, template, failed), nil
	}
	return w.shown.Text(f.name, template, failed), nil
}

// main completes the text that says it all: with the remark, and under the
// module's own template with what that does not say.
func (w *writing) main(f *field, text string, needed bool) string {
	m, escape := w.message, w.escapes(f)
	if text == failed {
		return w.plain(f)
	}
	var head, tail string
	if remark := escape(notify.Line(m.Remark)); remark != "" && !strings.Contains(text, remark) {
		head = remark + "\n"
	}
	if f.standard {
		tail = escape(more(m))
	}
	if needed && strings.TrimSpace(head+text+tail) == "" {
		text = escape(m.Headline())
	}
	all := head + text + tail
	switch {
	case f.limit.holds(all):
		return all
	case f.fragile || !f.limit.holds(head+tail):
		return w.plain(f)
	}
	return head + f.limit.less(head+tail).cut(text) + tail
}

// escapes is how a text of ours is written in a field. What came with an alert is
// escaped by a template of HTML itself.
func (w *writing) escapes(f *field) func(string) string {
	if f.html {
		return w.escapeHTML
	}
	return w.escape
}

// more is what the module's own templates do not say: what is new of an incident
// that is told again, what it is if no alert says so or it is an exercise, and where to act.
func more(m *notify.Message) string {
	var b strings.Builder
	if e := m.Event; e != notify.Opened && e != notify.Updated && e != notify.Resolved || len(m.Alerts) == 0 || m.Incident.Drill {
		b.WriteString("\n" + m.Headline())
	}
	for _, l := range [][2]string{{"incident", m.Links.Incident}, {"acknowledge", m.Links.Acknowledge}, {"resolve", m.Links.Resolve}} {
		if l[1] != "" && !m.Resolved() {
			b.WriteString("\n" + l[0] + ": " + l[1])
		}
	}
	return b.String()
}

// plain is the built-in text as the tool takes it. If there is not room for all of
// it, there is for the link to the incident.
func (w *writing) plain(f *field) string {
	text, escape := w.message.Plain(), w.escapes(f)
	if all := escape(text); f.limit.holds(all) {
		return all
	}
	tail := escape("\nincident: " + w.message.Links.Incident)
	if w.message.Links.Incident == "" || !f.limit.holds(tail) {
		tail = ""
	}
	return escape(f.limit.escaped(escape, tail).cut(text)) + tail
}
