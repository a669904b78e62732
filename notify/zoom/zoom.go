// Package zoom tells people of incidents in Zoom Team Chat, by its Incoming Webhook
// app (https://support.zoom.com/hc/en/article?id=zm_kb&sysparm_article=KB0067640),
// with the link to a room or a meeting where they can talk about it.
package zoom

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of zoom_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// URL or URLFile is the endpoint that the app gave, and Token or TokenFile the
	// verification token that came with it.
	URL       secret.String `yaml:"url,omitempty"`
	URLFile   string        `yaml:"url_file,omitempty"`
	Token     secret.String `yaml:"token,omitempty"`
	TokenFile string        `yaml:"token_file,omitempty"`
	// Title and Text are templates; empty are the built-in texts.
	Title string `yaml:"title,omitempty"`
	Text  string `yaml:"text,omitempty"`
	// MeetingURL is a room that is always there, and Meeting how to make a meeting
	// for each incident. At most one of them is set.
	MeetingURL string   `yaml:"meeting_url,omitempty"`
	Meeting    *Meeting `yaml:"meeting,omitempty"`
}

const (
	// titleLimit and textLimit bound a message, in bytes: the app takes 4096
	// characters in all.
	titleLimit, textLimit = 250, 3500
	// memoryMeeting is where the memory has the link to the meeting.
	memoryMeeting = "meeting_url"
)

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.Need("url", c.URL, c.URLFile)
	p.Need("token", c.Token, c.TokenFile)
	if c.URL.IsSet() {
		p.URL("url", c.URL.Reveal())
	}
	p.URL("meeting_url", c.MeetingURL)
	if c.Meeting != nil {
		c.Meeting.problems(p)
		if c.MeetingURL != "" {
			p["meeting_url"] = "is set beside meeting; only one of them can be right"
		}
	}
	return p
}

// Sender sends what a block of zoom_configs says.
type Sender struct {
	config    *Config
	templates *notify.Templates
	client    *outgoing.Client
}

// New makes a Sender of a block without Problems.
func New(c *Config, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Sender{c, t, client}, nil
}

// message is the full format of the app.
type message struct {
	Content content `json:"content"`
}

type content struct {
	Head head   `json:"head"`
	Body []part `json:"body"`
}

type head struct {
	Text string `json:"text"`
}

// part is one line of a message; with a link, it leads there.
type part struct {
	Type string `json:"type"`
	Text string `json:"text"`
	Link string `json:"link,omitzero"`
}

// neutral breaks what Zoom would make a mention or a link with another name of:
// https://developers.zoom.us/docs/team-chat/customizing-messages/message-with-markdown/.
var neutral = strings.NewReplacer("<!", "<\u200b!", "<@", "<\u200b@", "<#", "<\u200b#", "<http", "<\u200bhttp", "](", "]\u200b(").Replace

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	to, err := outgoing.ReadSecret(s.config.URL.Reveal(), s.config.URLFile)
	if err != nil {
		return nil, err
	}
	token, err := outgoing.ReadSecret(s.config.Token.Reveal(), s.config.TokenFile)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(to)
	if err != nil || u.Host == "" {
		return nil, notify.Permanent("the url is not one that can be sent to")
	}
	q := u.Query()
	q.Set("format", "full")
	u.RawQuery = q.Encode()
	room, memory := s.room(ctx, m)
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	_, err = s.client.JSON(ctx, "POST", u.String(), s.message(m, room), "Authorization", token)
	// What was made for the incident is remembered even if nobody was told of it.
	return memory, outgoing.Scrub(err, token, to, u.Path)
}

func (s *Sender) message(m *notify.Message, room string) message {
	texts := s.templates.Texts(m, neutral)
	title, text := neutral(m.Headline()), neutral(details(m))
	if s.config.Title != "" {
		title = texts.Text("title", s.config.Title, title)
	}
	if s.config.Text != "" {
		text = texts.Text("text", s.config.Text, text)
	}
	out := message{content{Head: head{clean(title, titleLimit)}}}
	if out.Content.Head.Text == "" {
		out.Content.Head.Text = clean(neutral(m.Headline()), titleLimit)
	}
	if text = clean(text, textLimit); text != "" {
		out.Content.Body = append(out.Content.Body, part{Type: "message", Text: text})
	}
	links := [][2]string{{"Join the meeting", room}, {"Incident", m.Links.Incident}}
	if !m.Resolved() {
		links = append(links, [2]string{"Acknowledge", m.Links.Acknowledge}, [2]string{"Resolve", m.Links.Resolve})
	}
	for _, l := range links {
		if l[1] != "" {
			out.Content.Body = append(out.Content.Body, part{"message", l[0], l[1]})
		}
	}
	return out
}

// details are the built-in text without its headline and the links, which have
// places of their own.
func details(m *notify.Message) string {
	var kept []string
	for n, line := range strings.Split(strings.TrimSpace(m.Plain()), "\n") {
		name, rest, _ := strings.Cut(line, ": ")
		if n > 0 && !(strings.HasPrefix(rest, "http") && (name == "incident" || name == "acknowledge" || name == "resolve")) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func clean(s string, limit int) string {
	return notify.Cut(strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")), limit)
}

// room returns where people talk about the incident, and what to remember. That
// there is no meeting is no reason to tell nobody.
func (s *Sender) room(ctx context.Context, m *notify.Message) (string, notify.Memory) {
	switch {
	case s.config.Meeting == nil:
		return s.config.MeetingURL, nil
	case m.Memory[memoryMeeting] != "":
		return m.Memory[memoryMeeting], nil
	case m.Resolved():
		return "", nil
	}
	link, err := s.meet(ctx, m)
	if err != nil {
		m.Warn("meeting", fmt.Errorf("no meeting could be made: %w", err))
		return "", nil
	}
	memory := notify.Memory{memoryMeeting: link}
	for name, value := range m.Memory {
		memory[name] = value
	}
	return link, memory
}
