package msteams

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

const (
	// sizeLimit is that of a message, in bytes: Teams takes 28 KB, and what it adds
	// counts too. https://learn.microsoft.com/en-us/microsoftteams/limits-specifications-teams
	sizeLimit = 26 << 10
	// titleLimit and factLimit keep a card readable, in bytes.
	titleLimit = 1024
	factLimit  = 300
	urlLimit   = 2000
	// version is the newest that Teams shows in a message of a workflow, see
	// https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-reference.
	version = "1.5"
)

// envelope is what the workflow's trigger takes.
type envelope struct {
	Type        string       `json:"type"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string  `json:"contentType"`
	ContentURL  *string `json:"contentUrl"`
	Content     card    `json:"content"`
}

// card is an Adaptive Card, https://adaptivecards.io/explorer/AdaptiveCard.html.
type card struct {
	Schema  string   `json:"$schema"`
	Type    string   `json:"type"`
	Version string   `json:"version"`
	Body    []any    `json:"body"`
	Actions []action `json:"actions,omitempty"`
	Teams   teams    `json:"msteams"`
}

type teams struct {
	Width string `json:"width"`
}

type textBlock struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
	Size   string `json:"size,omitempty"`
	Wrap   bool   `json:"wrap"`
	Style  string `json:"style,omitempty"`
	Color  string `json:"color,omitempty"`
}

type factSet struct {
	Type  string `json:"type"`
	Facts []fact `json:"facts"`
}

type fact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

type action struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

// inline are the signs that mean something anywhere in a text; atStart those that do
// so where a line begins, beside numbers. The markup is a part of Markdown, with the
// functions {{DATE}} and {{TIME}} and, for mentions, the tag at:
// https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features.
const (
	inline  = "\\`*_[]~{}|"
	atStart = "#-+>="
)

// escape makes what came with an alert harmless.
func escape(s string) string {
	var b strings.Builder
	start, number := true, false
	for _, r := range clean(s) {
		switch {
		case r == '<':
			// A tag is found before the markup is read, so it cannot be escaped.
			b.WriteRune('\u2039')
		case r < utf8.RuneSelf && strings.ContainsRune(inline, r),
			start && strings.ContainsRune(atStart, r),
			number && (r == '.' || r == ')'):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		number = unicode.IsDigit(r) && (start || number)
		start = r == '\n' || start && (r == ' ' || r == '\t')
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

// cut returns at most n bytes of a text and leaves no backslash without its sign.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = strings.TrimSuffix(notify.Cut(s, n), "…")
	if odd := len(s) - len(strings.TrimRight(s, `\`)); odd%2 == 1 {
		s = s[:len(s)-1]
	}
	return s + "…"
}

func link(s string) string {
	if s = notify.WebURL(s); len(s) > urlLimit {
		return ""
	}
	return s
}

// write makes the message; its text is as long as fits.
func (s *Sender) write(m *notify.Message) *envelope {
	x := s.templates.Texts(m, escape)
	title := cut(clean(x.Text("title", s.config.Title, escape(m.Headline()))), titleLimit)
	text := clean(x.Text("text", s.config.Text, escape(m.Plain())))
	if strings.TrimSpace(title) == "" {
		title = escape(m.Headline()) // a card without one is not announced
	}
	for limit := sizeLimit; ; {
		e := wrap(m, title, cut(text, limit))
		size := len(encoded(e))
		if size <= sizeLimit || limit == 0 {
			return e
		}
		limit = max(min(limit, len(text))-(size-sizeLimit), 0)
	}
}

func encoded(e *envelope) []byte {
	text, err := json.Marshal(e)
	if err != nil {
		return nil // unreachable: the texts are valid UTF-8
	}
	return text
}

func wrap(m *notify.Message, title, text string) *envelope {
	c := card{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: version, Teams: teams{"full"}, Actions: actions(m)}
	c.Body = append(c.Body, textBlock{Type: "TextBlock", Text: title, Weight: "Bolder", Size: "Medium", Wrap: true, Style: "heading", Color: colour(m)})
	if remark := notify.Line(m.Remark); remark != "" {
		c.Body = append(c.Body, textBlock{Type: "TextBlock", Text: cut(escape(remark), titleLimit), Wrap: true})
	}
	c.Body = append(c.Body, factSet{"FactSet", facts(m)})
	if strings.TrimSpace(text) != "" {
		c.Body = append(c.Body, textBlock{Type: "TextBlock", Text: text, Wrap: true})
	}
	return &envelope{"message", []attachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: c}}}
}

// colour is as in Alertmanager, and in between while somebody works on the incident.
func colour(m *notify.Message) string {
	switch {
	case m.Resolved():
		return "Good"
	case m.Incident.State == incident.Acknowledged:
		return "Warning"
	}
	return "Attention"
}

// facts say how the incident is, which Alertmanager's templates do not know.
func facts(m *notify.Message) (all []fact) {
	add := func(title, value string) {
		if value = notify.Line(value); value != "" {
			all = append(all, fact{title, cut(escape(value), factLimit)})
		}
	}
	i := m.Incident
	add("Incident", i.Reference)
	what := map[notify.Event]string{notify.Opened: "opened", notify.Updated: "updated", notify.Acknowledged: "acknowledged", notify.Unacknowledged: "no longer acknowledged",
		notify.Repeated: "still open", notify.Resolved: "resolved", notify.Noticed: "notice"}[m.Event]
	add("State", what)
	switch {
	case m.Resolved():
		add("Resolved by", i.ResolvedBy)
	case i.State == incident.Acknowledged:
		add("Who", i.AcknowledgedBy+" works on it")
	default:
		add("Who", "nobody works on it yet")
	}
	add("Severity", i.Severity)
	add("Priority", i.Priority)
	add("Since", i.CycleOpenedAt.UTC().Format("2006-01-02 15:04 MST"))
	if m.Event != notify.Opened && len(m.News) > 0 {
		last := m.News[len(m.News)-1]
		add("News", last.Who+": "+last.Text)
	}
	return all
}

func actions(m *notify.Message) (all []action) {
	add := func(title, to string) {
		if to = link(to); to != "" {
			all = append(all, action{"Action.OpenUrl", title, to})
		}
	}
	add("Incident", m.Links.Incident)
	if !m.Resolved() {
		if m.Incident.State == incident.Open {
			add("Acknowledge", m.Links.Acknowledge)
		}
		add("Resolve", m.Links.Resolve)
	}
	add("Runbook", m.Incident.Runbook)
	return all
}
