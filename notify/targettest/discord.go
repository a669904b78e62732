package targettest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// Discord takes messages by a webhook, as
// https://discord.com/developers/docs/resources/webhook#execute-webhook says; limits are those of
// https://discord.com/developers/docs/resources/message#embed-object-embed-limits.
type Discord struct {
	Server
	mu       sync.Mutex
	messages []DiscordMessage
}

// DiscordMessage is one message as it was taken.
type DiscordMessage struct {
	Content         string         `json:"content"`
	Username        string         `json:"username"`
	AvatarURL       string         `json:"avatar_url"`
	TTS             bool           `json:"tts"`
	Embeds          []DiscordEmbed `json:"embeds"`
	AllowedMentions any            `json:"allowed_mentions"`
}

// DiscordEmbed is a text with a frame.
type DiscordEmbed struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	URL         string `json:"url"`
	Color       int    `json:"color"`
	Timestamp   string `json:"timestamp"`
}

// discordPath is the webhook; its last part is the secret.
const discordPath = "/api/webhooks/223704706495545344/" + DiscordToken

// DiscordToken is the secret in the webhook's URL.
const DiscordToken = "3d89bb7572e0fb30d8128367b3b1b44fecd1726de135cbe28a41f8b2f777c372ba2939e72279b94526ff5d1bd4358d65cf11"

// NewDiscord serves until the test ends.
func NewDiscord(t testing.TB) *Discord {
	d := &Discord{}
	d.start(t, d.take)
	return d
}

// Webhook is the URL that takes messages.
func (d *Discord) Webhook() string { return d.URL + discordPath }

// Messages are those that were taken.
func (d *Discord) Messages() []DiscordMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

func (d *Discord) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/api/webhooks/") {
		replyJSON(w, http.StatusNotFound, map[string]any{"message": "404: Not Found", "code": 0})
		return "no such endpoint"
	}
	if r.URL.Path != discordPath {
		replyJSON(w, http.StatusUnauthorized, map[string]any{"message": "Invalid Webhook Token", "code": 50027})
		return "wrong token"
	}
	var m DiscordMessage
	if wrong := firstOf(readStrictly(r, body, &m), m.wrong()); wrong != "" {
		replyJSON(w, http.StatusBadRequest, map[string]any{"message": "Invalid Form Body: " + wrong, "code": 50035})
		return wrong
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages = append(d.messages, m)
	w.WriteHeader(http.StatusNoContent)
	return ""
}

// wrong says what the documents do not allow.
func (m *DiscordMessage) wrong() string {
	name := strings.ToLower(m.Username)
	switch {
	case m.Content == "" && len(m.Embeds) == 0:
		return "cannot send an empty message"
	case len(m.Embeds) > 10:
		return "too many embeds"
	case strings.Contains(name, "discord") || strings.Contains(name, "clyde") || len(name) > 80:
		return "the username is not allowed"
	}
	total := 0
	for _, e := range m.Embeds {
		if strings.TrimSpace(e.Title+e.Description) == "" {
			return "an embed is empty"
		}
		if e.Color < 0 || e.Color > 0xFFFFFF {
			return "not a colour"
		}
		if wrong := firstOf(tooLong("title", e.Title, 256), tooLong("description", e.Description, 4096)); wrong != "" {
			return wrong
		}
		total += utf8.RuneCountInString(e.Title) + utf8.RuneCountInString(e.Description)
	}
	if total > 6000 {
		return "the embeds are too long together"
	}
	return tooLong("content", m.Content, 2000)
}
