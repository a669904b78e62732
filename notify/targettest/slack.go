package targettest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the Slack server accepts.
const (
	SlackToken = "xoxb-000000000000-sEcReT"
	// SlackHook is the path of the incoming webhook.
	SlackHook = "/services/T00000000/B00000000/hOoKsEcReT"
	slackBot  = "U0B0T0B0T0"
)

// Slack has the Web API and one incoming webhook of a workspace, as in
// https://docs.slack.dev/reference/methods,
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
// https://docs.slack.dev/messaging/formatting-message-text.
type Slack struct {
	Server
	state    sync.Mutex
	channels []*SlackChannel
	lastTS   int64
	scopes   []string
	// words are refusals that are planned for the next calls of a method.
	words map[string][]string
	// cut is after how many calls the connection is gone; below 0 it stays.
	cut int
}

// SlackChannel is a channel with its messages, oldest first.
type SlackChannel struct {
	ID, Name, Purpose, Creator string
	Created                    time.Time
	Archived                   bool
	// Private: only those who are in it know of it.
	Private  bool
	Messages []*SlackMessage
}

// SlackMessage is a message as people see it.
type SlackMessage struct {
	TS, ThreadTS string
	Broadcast    bool
	Edits        int
	// Body is what was sent last, and Text all its words.
	Body map[string]any
	Text string
	// Live are the mentions in it, and Links the addresses that hide behind a text.
	Live, Links []string
}

// Attachment is the n-th attachment.
func (m *SlackMessage) Attachment(n int) map[string]any {
	all, _ := m.Body["attachments"].([]any)
	if n >= len(all) {
		return nil
	}
	at, _ := all[n].(map[string]any)
	return at
}

// Buttons are those of Block Kit, by action_id.
func (m *SlackMessage) Buttons() map[string]map[string]any {
	found := map[string]map[string]any{}
	eachSlackBlock(m.Body, func(block map[string]any) {
		for _, e := range listOf(block["elements"]) {
			if b := objectOf(e); b["type"] == "button" {
				found[textOf(b["action_id"])] = b
			}
		}
	})
	return found
}

// NewSlack serves a workspace with the given channels until the test ends.
func NewSlack(t testing.TB, channels ...string) *Slack {
	s := &Slack{lastTS: time.Now().UnixMicro(), words: map[string][]string{}, cut: -1,
		scopes: []string{"chat:write", "channels:history", "channels:read", "channels:manage"}}
	for _, name := range channels {
		s.Channel(name)
	}
	s.start(t, s.serveSlack)
	return s
}

// APIURL is what api_url and app_url are set to for the Web API.
func (s *Slack) APIURL() string { return s.URL + "/api/chat.postMessage" }

// HookURL is what api_url is set to for the incoming webhook.
func (s *Slack) HookURL() string { return s.URL + SlackHook }

// Channel returns a channel as it is, and makes it if it does not exist.
func (s *Slack) Channel(name string) *SlackChannel {
	s.state.Lock()
	defer s.state.Unlock()
	if c := s.find(name); c != nil {
		return c.copy()
	}
	return s.add(name, "U0SOMEBODY").copy()
}

// Channels are the names of the channels.
func (s *Slack) Channels() (names []string) {
	s.state.Lock()
	defer s.state.Unlock()
	for _, c := range s.channels {
		names = append(names, c.Name)
	}
	return names
}

// Change changes a channel.
func (s *Slack) Change(name string, how func(*SlackChannel)) {
	s.state.Lock()
	defer s.state.Unlock()
	how(s.find(name))
}

// Revoke takes scopes away from the token.
func (s *Slack) Revoke(scopes ...string) {
	s.state.Lock()
	defer s.state.Unlock()
	s.scopes = slices.DeleteFunc(s.scopes, func(one string) bool { return slices.Contains(scopes, one) })
}

// Refuse plans that calls of a method are answered with these words.
func (s *Slack) Refuse(method string, words ...string) {
	s.state.Lock()
	defer s.state.Unlock()
	s.words[method] = append(s.words[method], words...)
}

// Cut makes the n-th of the next calls the last that Slack acts on. Nobody hears
// its answer, nor gets through afterwards, as if the sender were killed; with a
// negative n all is well again.
func (s *Slack) Cut(n int) {
	s.state.Lock()
	defer s.state.Unlock()
	s.cut = n
}

// cutOff counts a call. Drop: its answer is lost; dead: it did not arrive at all.
func (s *Slack) cutOff() (drop, dead bool) {
	s.state.Lock()
	defer s.state.Unlock()
	switch {
	case s.cut < 0:
		return false, false
	case s.cut == 0:
		return false, true
	}
	s.cut--
	return s.cut == 0, false
}

// Calls counts the requests of a method.
func (s *Slack) Calls(method string) (n int) {
	for _, r := range s.Requests() {
		if r.Path == "/api/"+method {
			n++
		}
	}
	return n
}

func (c *SlackChannel) copy() *SlackChannel {
	d := *c
	d.Messages = nil
	for _, m := range c.Messages {
		one := *m
		d.Messages = append(d.Messages, &one)
	}
	return &d
}

func (s *Slack) add(name, creator string) *SlackChannel {
	c := &SlackChannel{ID: fmt.Sprintf("C0%08d", len(s.channels)+1), Name: name, Creator: creator, Created: time.Now()}
	s.channels = append(s.channels, c)
	return c
}

func (s *Slack) find(nameOrID string) *SlackChannel {
	for _, c := range s.channels {
		if c.ID == nameOrID || c.Name == strings.TrimPrefix(nameOrID, "#") {
			return c
		}
	}
	return nil
}
