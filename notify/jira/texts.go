package jira

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

// The limits of Jira, in characters.
const (
	summaryLimit     = 255
	labelLimit       = 255
	descriptionLimit = 32_767
)

// texts are what the templates made for one message.
type texts struct {
	project, issueType, summary, priority string
	labels                                []string
	// description is a text or a document.
	description any
	custom      map[string]any
}

// texts renders the templates. Three kinds of text come out of them: words that
// Jira shows as they are, markup or documents, and custom fields, which may be
// either.
func (s *Sender) texts(m *notify.Message) *texts {
	c, x := s.config, s.templates.Texts(m, wire.Clean)
	word := func(name, text, fallback string) string { return wire.Line(x.Text(name, text, fallback)) }
	t := &texts{project: word("project", c.Project, ""), issueType: word("issue_type", c.IssueType, ""), priority: word("priority", c.Priority, ""),
		summary: wire.Cut(word("summary", c.Summary.Template, m.Headline()), summaryLimit), custom: map[string]any{}}
	if t.summary == "" {
		t.summary = wire.Cut(wire.Line(m.Headline()), summaryLimit)
	}
	for _, label := range c.Labels {
		t.addLabel(word("labels", label, ""))
	}
	if s.adf {
		t.description = s.document(m)
	} else {
		t.description = s.markup(m)
	}
	if len(c.Fields) > 0 {
		t.setCustom(m, c.Fields, s.templates.Texts(m, harmless))
	}
	return t
}

// addLabel adds a label, in which there is no space.
func (t *texts) addLabel(label string) {
	label = wire.Cut(strings.Join(strings.FieldsFunc(label, unicode.IsSpace), "_"), labelLimit)
	if label != "" && !slices.Contains(t.labels, label) {
		t.labels = append(t.labels, label)
	}
}

// setCustom sets the custom fields whose templates do not fail.
func (t *texts) setCustom(m *notify.Message, fields map[string]any, x *notify.Texts) {
	for name, v := range fields {
		failed := len(m.Failed())
		made, err := template.DeepCopyWithTemplate(v, func(text string) (string, error) { return x.Text("fields."+name, text, ""), nil })
		if err == nil && len(m.Failed()) == failed {
			t.custom[name] = wire.Value(made)
		}
	}
}

// fields are those that an issue is created and updated with.
func (t *texts) fields() map[string]any {
	out := map[string]any{"summary": t.summary}
	if t.description != nil && t.description != "" {
		out["description"] = t.description
	}
	if t.priority != "" {
		out["priority"] = named{t.priority}
	}
	for name, v := range t.custom {
		out[name] = v
	}
	return out
}

// markup is the description as wiki markup.
func (s *Sender) markup(m *notify.Message) string {
	x := s.templates.Texts(m, wiki)
	text := wire.Clean(x.Text("description", s.config.Description.Template, wiki(m.Plain())))
	var footer []string
	for _, line := range wire.Facts(m) {
		footer = append(footer, wiki(line))
	}
	for _, l := range wire.Links(m) {
		footer = append(footer, "["+wiki(l.Text)+"|"+wikiURL(l.URL)+"]")
	}
	return wire.WithFooter(strings.TrimSpace(text), strings.Join(footer, "\n"), descriptionLimit)
}

// Wiki markup:
// https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all.
var (
	// lineMarkup begins a line that is a heading or a quotation.
	lineMarkup = regexp.MustCompile(`(?m)^([ \t]*)(h[1-6]|bq)\.`)
	// bareLink is what is made a link of, wherever it stands.
	bareLink = regexp.MustCompile(`(?i)(mailto|[a-z][a-z0-9+.-]*)(://|:[a-z0-9._%+-]+@)`)
)

// wiki makes text of what came with an alert: nothing in it is markup. What is a
// URL as a whole stays a link that shows where it leads.
func wiki(s string) string {
	s = wire.Clean(s)
	if s != "" && notify.WebURL(s) == s {
		return wikiURL(s)
	}
	s = escapeWiki(s)
	s = bareLink.ReplaceAllStringFunc(s, func(link string) string { return strings.Replace(link, ":", "&#58;", 1) })
	return lineMarkup.ReplaceAllString(s, "$1$2&#46;")
}

// wikiURL is a URL in which nothing ends a link or begins markup.
func wikiURL(s string) string {
	return strings.NewReplacer("{", "%7B", "}", "%7D", "[", "%5B", "]", "%5D", "|", "%7C", "^", "%5E", "~", "%7E", "!", "%21", "*", "%2A", `\`, "%5C", "`", "%60").Replace(s)
}

func escapeWiki(s string) string {
	var b strings.Builder
	all := []rune(s)
	for n, r := range all {
		switch r {
		case '\\':
			b.WriteString("&#92;") // two of them would be a line break
			continue
		case '{', '}', '[', ']', '|', '!':
			b.WriteByte('\\')
		case '*', '_', '-', '+', '^', '~', '?', '#':
			// Inside a word they are what they are, as in db-1.
			if !inWord(all, n) {
				b.WriteByte('\\')
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

func inWord(all []rune, n int) bool {
	letter := func(n int) bool {
		return n >= 0 && n < len(all) && (unicode.IsLetter(all[n]) || unicode.IsDigit(all[n]))
	}
	return letter(n-1) && letter(n+1)
}

// alive are what custom fields must not have from an alert, as some are shown as
// markup: mentions, images, and links with a text of their own. All else stays as it
// is, because a field may be a choice among fixed values.
var alive = regexp.MustCompile(`(?i)(\[|\||!)(~|[a-z]+:)`)

func harmless(s string) string { return alive.ReplaceAllString(wire.Clean(s), "$1 $2") }
