package slack

import (
	"strings"

	"github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// Limits, in characters, of what a message may have. Those of blocks and of a
// title are Slack's own (https://docs.slack.dev/reference/block-kit/blocks,
// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments);
// the others keep the whole below the 40,000 at which it cuts a message.
const (
	titleLimit   = 1024
	textLimit    = 8000
	pretextLimit = 3000
	fieldLimit   = 1000
	fieldsLimit  = 20
	footerLimit  = 300
	nameLimit    = 80
	actionsLimit = 5
	blockLimit   = 2000
	buttonLimit  = 75
	valueLimit   = 2000
	urlLimit     = 3000
)

// The actions of our buttons.
const (
	actionAcknowledge = "tocsin_acknowledge"
	actionResolve     = "tocsin_resolve"
	actionOpen        = "tocsin_incident"
	actionRunbook     = "tocsin_runbook"
)

// message is a message of either way.
type message struct {
	Channel        string       `json:"channel,omitempty"`
	TS             string       `json:"ts,omitempty"`
	ThreadTS       string       `json:"thread_ts,omitempty"`
	ReplyBroadcast bool         `json:"reply_broadcast,omitzero"`
	Username       string       `json:"username,omitempty"`
	IconEmoji      string       `json:"icon_emoji,omitempty"`
	IconURL        string       `json:"icon_url,omitempty"`
	LinkNames      bool         `json:"link_names,omitzero"`
	Parse          string       `json:"parse,omitempty"`
	UnfurlLinks    *bool        `json:"unfurl_links,omitempty"`
	UnfurlMedia    *bool        `json:"unfurl_media,omitempty"`
	Text           string       `json:"text,omitempty"`
	Attachments    []attachment `json:"attachments,omitempty"`
	Metadata       *metadata    `json:"metadata,omitempty"`
}

// metadata makes a message recognisable,
// https://docs.slack.dev/messaging/message-metadata.
type metadata struct {
	Type    string  `json:"event_type"`
	Payload payload `json:"event_payload"`
}

type payload struct {
	// Key is that of the incident's cycle, and Part which message of it this is.
	Key  string `json:"key"`
	Part string `json:"part"`
}

const metadataType = "tocsin_incident"

type attachment struct {
	Title      string   `json:"title,omitempty"`
	TitleLink  string   `json:"title_link,omitempty"`
	Pretext    string   `json:"pretext,omitempty"`
	Text       string   `json:"text,omitempty"`
	Fallback   string   `json:"fallback,omitempty"`
	CallbackID string   `json:"callback_id,omitempty"`
	Fields     []field  `json:"fields,omitempty"`
	Actions    []action `json:"actions,omitempty"`
	ImageURL   string   `json:"image_url,omitempty"`
	ThumbURL   string   `json:"thumb_url,omitempty"`
	Footer     string   `json:"footer,omitempty"`
	Color      string   `json:"color,omitempty"`
	MrkdwnIn   []string `json:"mrkdwn_in,omitempty"`
	Blocks     []block  `json:"blocks,omitempty"`
}

type field struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

type action struct {
	Type    string   `json:"type"`
	Text    string   `json:"text"`
	URL     string   `json:"url,omitempty"`
	Style   string   `json:"style,omitempty"`
	Name    string   `json:"name,omitempty"`
	Value   string   `json:"value,omitempty"`
	Confirm *confirm `json:"confirm,omitempty"`
}

type confirm struct {
	Text        string `json:"text"`
	Title       string `json:"title,omitempty"`
	OkText      string `json:"ok_text,omitempty"`
	DismissText string `json:"dismiss_text,omitempty"`
}

// block is one of Block Kit, with elements that are words or buttons.
type block struct {
	Type     string `json:"type"`
	Elements []any  `json:"elements"`
}

type words struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji bool   `json:"emoji"`
}

type button struct {
	Type     string `json:"type"`
	ActionID string `json:"action_id"`
	Text     words  `json:"text"`
	URL      string `json:"url,omitempty"`
	Value    string `json:"value,omitempty"`
	Style    string `json:"style,omitempty"`
}

// writer renders the texts of one message.
type writer struct {
	*notify.Texts
	m      *notify.Message
	escape func(string) string
}

func (w *writer) text(field, template, fallback string, limit int) string {
	return cut(clean(w.Text(field, template, w.escape(fallback))), limit)
}

func (w *writer) link(field, template, fallback string) string {
	return link(w.Text(field, template, fallback))
}

// write makes the message that the block describes, and below it how the incident
// is and what can be done.
func (s *Sender) write(m *notify.Message) *message {
	c := s.config
	w := &writer{m: m, escape: escape}
	if c.LinkNames {
		w.escape = escapeNames
	}
	w.Texts = s.templates.Texts(m, w.escape)
	return &message{
		Channel:     plain.Replace(w.text("channel", c.Channel, "", nameLimit)),
		Username:    w.text("username", c.Username, "Tocsin", nameLimit),
		IconEmoji:   w.text("icon_emoji", c.IconEmoji, "", nameLimit),
		IconURL:     w.link("icon_url", c.IconURL, ""),
		LinkNames:   c.LinkNames,
		UnfurlLinks: new(bool), // Slack would fetch what an alert links to
		UnfurlMedia: new(bool),
		Text:        w.text("message_text", c.MessageText, m.Headline(), textLimit),
		Attachments: []attachment{s.described(w), s.standing(w)},
	}
}

// described is the attachment as Alertmanager would send it.
func (s *Sender) described(w *writer) attachment {
	c, headline := s.config, w.m.Headline()
	at := attachment{
		Title:      w.text("title", c.Title, headline, titleLimit),
		TitleLink:  w.link("title_link", c.TitleLink, w.m.Links.Incident),
		Pretext:    w.text("pretext", c.Pretext, "", pretextLimit),
		Text:       w.text("text", c.Text, w.m.Plain(), textLimit),
		Fallback:   w.text("fallback", c.Fallback, headline, titleLimit),
		CallbackID: w.text("callback_id", c.CallbackID, "", titleLimit),
		ImageURL:   w.link("image_url", c.ImageURL, ""),
		ThumbURL:   w.link("thumb_url", c.ThumbURL, ""),
		Footer:     w.text("footer", c.Footer, "", footerLimit),
		Color:      s.colour(w),
		MrkdwnIn:   c.MrkdwnIn,
	}
	if len(at.MrkdwnIn) == 0 {
		at.MrkdwnIn = []string{"fallback", "pretext", "text"}
	}
	for n, f := range c.Fields {
		if n == fieldsLimit {
			break
		}
		short := c.ShortFields
		if f.Short != nil {
			short = *f.Short
		}
		at.Fields = append(at.Fields, field{w.text("fields.title", f.Title, "", fieldLimit), w.text("fields.value", f.Value, "", fieldLimit), short})
	}
	for n, a := range c.Actions {
		if n == actionsLimit {
			break
		}
		at.Actions = append(at.Actions, w.action(a))
	}
	return at
}

func (w *writer) action(a *config.SlackAction) action {
	out := action{Type: w.text("actions.type", a.Type, "button", nameLimit), Text: w.text("actions.text", a.Text, a.Name, buttonLimit), URL: w.link("actions.url", a.URL, ""),
		Style: w.text("actions.style", a.Style, "", nameLimit), Name: w.text("actions.name", a.Name, "", fieldLimit), Value: w.text("actions.value", a.Value, "", valueLimit)}
	if c := a.ConfirmField; c != nil {
		out.Confirm = &confirm{Text: w.text("actions.confirm.text", c.Text, "", fieldLimit), Title: w.text("actions.confirm.title", c.Title, "", fieldLimit),
			OkText: w.text("actions.confirm.ok_text", c.OkText, "", buttonLimit), DismissText: w.text("actions.confirm.dismiss_text", c.DismissText, "", buttonLimit)}
	}
	return out
}

// colour is that of the template. Alertmanager's own knows two states; while
// somebody works on the incident it is between them.
func (s *Sender) colour(w *writer) string {
	if s.config.Color == config.DefaultSlackConfig.Color {
		return stateColour(w.m)
	}
	return strings.TrimSpace(w.text("color", s.config.Color, stateColour(w.m), nameLimit))
}

func stateColour(m *notify.Message) string {
	switch {
	case m.Resolved():
		return "good"
	case m.Incident.State == incident.Acknowledged:
		return "warning"
	}
	return "danger"
}

// standing is the attachment that says how the incident is, with the buttons.
func (s *Sender) standing(w *writer) attachment {
	line := cut(w.escape(state(w.m)), blockLimit)
	at := attachment{Color: stateColour(w.m), Fallback: line}
	if remark := notify.Line(w.m.Remark); remark != "" {
		at.Blocks = append(at.Blocks, block{"context", []any{words{"plain_text", cut(w.escape(remark), blockLimit), false}}})
	}
	at.Blocks = append(at.Blocks, block{"context", []any{words{"plain_text", line, false}}})
	if buttons := s.buttons(w.m); len(buttons) > 0 {
		at.Blocks = append(at.Blocks, block{"actions", buttons})
	}
	return at
}

func (s *Sender) buttons(m *notify.Message) (all []any) {
	add := func(id, text, style, to, value string) {
		if to = link(to); to != "" || value != "" {
			all = append(all, button{"button", id, words{"plain_text", text, false}, to, value, style})
		}
	}
	act := func(id, text, style, to string) {
		if s.options.Buttons {
			add(id, text, style, "", m.Key())
			return
		}
		add(id, text, style, to, "")
	}
	if !m.Resolved() {
		if m.Incident.State == incident.Open {
			act(actionAcknowledge, "Acknowledge", "primary", m.Links.Acknowledge)
		}
		act(actionResolve, "Resolve", "", m.Links.Resolve)
	}
	add(actionOpen, "Incident", "", m.Links.Incident, "")
	add(actionRunbook, "Runbook", "", m.Incident.Runbook, "")
	return all
}
