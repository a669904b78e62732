package rocketchat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// Limits. That of a text is the server's own default for Message_MaxAllowedSize, in
// UTF-16 units; that of a title is Alertmanager's; the others keep a message readable.
const (
	sizeLimit    = 5000
	titleLimit   = 1024
	fieldLimit   = 1000
	fieldsLimit  = 20
	actionsLimit = 10
	shortLimit   = 80
	urlLimit     = 3000
	newsShown    = 10
)

// post is a new message. Either Channel or RoomID says where to; only with the
// latter a thread is taken.
type post struct {
	Channel     string       `json:"channel,omitempty"`
	RoomID      string       `json:"roomId,omitempty"`
	Thread      string       `json:"tmid,omitempty"`
	Text        string       `json:"text,omitempty"`
	Emoji       string       `json:"emoji,omitempty"`
	Avatar      string       `json:"avatar,omitempty"`
	Attachments []attachment `json:"attachments"` // while it is there, the server fetches nothing that a text links to
}

type attachment struct {
	Title     string   `json:"title,omitempty"`
	TitleLink string   `json:"title_link,omitempty"`
	Text      string   `json:"text,omitempty"`
	ImageURL  string   `json:"image_url,omitempty"`
	ThumbURL  string   `json:"thumb_url,omitempty"`
	Color     string   `json:"color,omitempty"`
	Fields    []field  `json:"fields,omitempty"`
	Actions   []action `json:"actions,omitempty"`
}

type field struct {
	Short bool   `json:"short"`
	Title string `json:"title"`
	Value string `json:"value"`
}

type action struct {
	Type string `json:"type"`
	Text string `json:"text"`
	URL  string `json:"url,omitempty"`
	Msg  string `json:"msg,omitempty"`
}

// likeness gives the signs by which Rocket.Chat's markup begins signs that only look
// like them. It has no way to escape them that all its versions know, and finds
// mentions behind nearly everything (MentionsParser.ts and grammar.pegjs of
// https://github.com/RocketChat/Rocket.Chat).
var (
	signs    = []string{"@", "\uff20", "#", "\uff03", "*", "\u2217", "~", "\u223c", "`", "\u02cb", "<", "\u2039", ">", "\u203a", "|", "\u00a6", "$", "\uff04", "](", "] (", "[", "\uff3b", "\\", "\u29f5"}
	likeness = strings.NewReplacer(signs...)
	original = strings.NewReplacer(reversed(signs)...)
)

func reversed(pairs []string) (out []string) {
	for n := len(pairs) - 1; n > 0; n -= 2 {
		out = append(out, pairs[n], pairs[n-1])
	}
	return out
}

// escape makes what came with an alert harmless.
func escape(s string) string { return underscores(likeness.Replace(clean(s))) }

// underscores replaces those that may begin italics; those within a word do not.
func underscores(s string) string {
	var b strings.Builder
	word := false
	for _, r := range s {
		if r == '_' && !word {
			b.WriteRune('\uff3f')
			continue
		}
		b.WriteRune(r)
		word = r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	return b.String()
}

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

// headline is the message's, harmless. The bracket that it begins with is ours.
func headline(m *notify.Message) string {
	return strings.Replace(escape(m.Headline()), "\uff3b", "[", 1)
}

// cut returns at most n UTF-16 units of a text, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	size, short := 0, 0
	for at, r := range s {
		if size <= n-1 {
			short = at
		}
		if size += utf16.RuneLen(r); size > n {
			return s[:short] + "…"
		}
	}
	return s
}

// link returns a rendered URL if people can follow it, else nothing.
func link(s string) string {
	s = strings.ReplaceAll(original.Replace(strings.TrimSpace(s)), "\uff3f", "_")
	if s = notify.WebURL(s); len(s) > urlLimit {
		return ""
	}
	return s
}

type writer struct{ *notify.Texts }

func (w writer) text(field, template, fallback string, limit int) string {
	return cut(clean(w.Text(field, template, fallback)), limit)
}

func (w writer) link(field, template, fallback string) string {
	return link(w.Text(field, template, fallback))
}

// write makes the message that the block describes, with a text that says how the
// incident is.
func (s *Sender) write(m *notify.Message) *post {
	c, w := s.config, writer{s.templates.Texts(m, escape)}
	at := attachment{
		Title:     w.text("title", c.Title, headline(m), titleLimit),
		TitleLink: w.link("title_link", c.TitleLink, m.Links.Incident),
		Text:      w.text("text", c.Text, escape(m.Plain()), sizeLimit),
		ImageURL:  w.link("image_url", c.ImageURL, ""),
		ThumbURL:  w.link("thumb_url", c.ThumbURL, ""),
		Color:     colour(c, m, w),
	}
	for n, f := range c.Fields {
		if n == fieldsLimit {
			break
		}
		short := c.ShortFields
		if f.Short != nil {
			short = *f.Short
		}
		one := field{short, w.text("fields.title", f.Title, "", fieldLimit), w.text("fields.value", f.Value, "", fieldLimit)}
		if one.Title != "" && one.Value != "" { // the server refuses a message with an empty one
			at.Fields = append(at.Fields, one)
		}
	}
	at.Actions = actions(c, m, w)
	return &post{Channel: original.Replace(w.text("channel", c.Channel, "", shortLimit)), Text: standing(m), Emoji: w.text("emoji", c.Emoji, "", shortLimit),
		Avatar: w.link("icon_url", c.IconURL, ""), Attachments: []attachment{at}}
}

// actions are the block's, then the ways back.
func actions(c *config.RocketchatConfig, m *notify.Message, w writer) (all []action) {
	add := func(a action) {
		if a.Text != "" && (a.URL != "" || a.Msg != "") && len(all) < actionsLimit {
			all = append(all, a)
		}
	}
	for _, a := range c.Actions {
		add(action{"button", w.text("actions.text", a.Text, "", shortLimit), w.link("actions.url", a.URL, ""), w.text("actions.msg", a.Msg, "", fieldLimit)})
	}
	if !m.Resolved() {
		if m.Incident.State == incident.Open {
			add(action{"button", "Acknowledge", link(m.Links.Acknowledge), ""})
		}
		add(action{"button", "Resolve", link(m.Links.Resolve), ""})
	}
	add(action{"button", "Incident", link(m.Links.Incident), ""})
	add(action{"button", "Runbook", link(m.Incident.Runbook), ""})
	return all
}

// colour is that of the template. Alertmanager's own knows two states; while
// somebody works on the incident it is between them.
func colour(c *config.RocketchatConfig, m *notify.Message, w writer) string {
	usual := "red"
	switch {
	case m.Resolved():
		usual = "green"
	case m.Incident.State == incident.Acknowledged:
		usual = "yellow"
	}
	if c.Color == config.DefaultRocketchatConfig.Color {
		return usual
	}
	return original.Replace(strings.TrimSpace(w.text("color", c.Color, usual, shortLimit)))
}

// name is the incident's cycle, in words.
func name(m *notify.Message) string {
	if n := m.Incident.Reopens; n > 0 {
		return fmt.Sprintf("%s (reopened %d)", m.Incident.Reference, n)
	}
	return m.Incident.Reference
}

// firstEnd and eventEnd are how the messages end, by which they are recognised.
func firstEnd(m *notify.Message) string { return " · " + name(m) }

func eventEnd(m *notify.Message, n string) string { return "update " + n + " of " + name(m) }

// standing says how the incident is.
func standing(m *notify.Message) string {
	i := m.Incident
	who := "nobody works on it yet"
	word := strings.ToUpper(i.Severity)
	switch {
	case m.Resolved():
		word, who = "RESOLVED", "resolved"
		if i.ResolvedBy != "" {
			who += " by " + escape(notify.Line(i.ResolvedBy))
		}
	case i.State == incident.Acknowledged:
		word, who = "ACKNOWLEDGED", escape(notify.Line(i.AcknowledgedBy))+" works on it"
	}
	text := fmt.Sprintf("%s · %s · since %s · %s", word, i.Priority, i.CycleOpenedAt.UTC().Format("2006-01-02 15:04 MST"), who)
	if remark := notify.Line(m.Remark); remark != "" {
		text = escape(remark) + "\n" + text
	}
	return text + firstEnd(m)
}

// said is the event in a few lines.
func said(m *notify.Message, n string) string {
	var lines []string
	if remark := notify.Line(m.Remark); remark != "" {
		lines = append(lines, remark)
	}
	for at, e := range m.News {
		if at == newsShown {
			lines = append(lines, fmt.Sprintf("… %d more entries", len(m.News)-at))
			break
		}
		lines = append(lines, e.At.UTC().Format("15:04")+" "+notify.Line(e.Who)+": "+notify.Line(e.Text))
	}
	return cut(strings.TrimSpace(headline(m)+"\n"+escape(strings.Join(lines, "\n"))), sizeLimit-200) + "\n" + eventEnd(m, n)
}
