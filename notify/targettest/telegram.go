package targettest

import (
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// Telegram takes messages of a bot, as https://core.telegram.org/bots/api#sendmessage
// says.
type Telegram struct {
	Server
	mu       sync.Mutex
	messages []TelegramMessage
}

// TelegramMessage is one message as it was taken.
type TelegramMessage struct {
	ChatID                string `json:"chat_id"`
	Text                  string `json:"text"`
	ParseMode             string `json:"parse_mode"`
	MessageThreadID       string `json:"message_thread_id"`
	DisableNotification   string `json:"disable_notification"`
	DisableWebPagePreview string `json:"disable_web_page_preview"`
	// Shown is the text without its markup, and Tags what of that there is.
	Shown string   `json:"-"`
	Tags  []string `json:"-"`
}

// TelegramToken is the bot's secret, and TelegramChat a chat that it is in.
const (
	TelegramToken = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
	TelegramChat  = "-1001234567890"
)

// NewTelegram serves until the test ends.
func NewTelegram(t testing.TB) *Telegram {
	s := &Telegram{}
	s.start(t, s.take)
	return s
}

// Messages are those that were taken.
func (s *Telegram) Messages() []TelegramMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *Telegram) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, description string) string {
		replyJSON(w, status, map[string]any{"ok": false, "error_code": status, "description": description})
		return description
	}
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/sendMessage") {
		return refuse(http.StatusNotFound, "Not Found")
	}
	if r.URL.Path != "/bot"+TelegramToken+"/sendMessage" {
		return refuse(http.StatusUnauthorized, "Unauthorized")
	}
	var m TelegramMessage
	if wrong := readStrictly(r, body, &m); wrong != "" {
		return refuse(http.StatusBadRequest, "Bad Request: "+wrong)
	}
	if m.ChatID != TelegramChat {
		return refuse(http.StatusBadRequest, "Bad Request: chat not found")
	}
	if wrong := m.parse(); wrong != "" {
		return refuse(http.StatusBadRequest, "Bad Request: "+wrong)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	replyJSON(w, http.StatusOK, map[string]any{"ok": true, "result": map[string]any{"message_id": len(s.messages), "date": 1700000000,
		"chat": map[string]any{"id": -1001234567890, "type": "supergroup", "title": "ops"}, "text": m.Shown}})
	return ""
}

// parse reads the markup, as https://core.telegram.org/bots/api#formatting-options says.
func (m *TelegramMessage) parse() string {
	var wrong string
	switch m.ParseMode {
	case "":
		m.Shown = m.Text
	case "HTML":
		wrong = m.parseHTML()
	case "Markdown":
		wrong = m.parseMarkdown("_*`[", "")
	case "MarkdownV2":
		wrong = m.parseMarkdown("_*[]()~`>#+-=|{}.!\\", ">#+-=|{}.!")
	default:
		wrong = "unsupported parse_mode"
	}
	switch n := utf8.RuneCountInString(m.Shown); {
	case wrong != "":
		return wrong
	case strings.TrimSpace(m.Shown) == "":
		return "message text is empty"
	case n > 4096:
		return "message is too long"
	}
	return ""
}

var (
	telegramTag     = regexp.MustCompile(`^</?(?:b|strong|i|em|u|ins|s|strike|del|tg-spoiler|code|pre|blockquote|a(?: href="[^"]*")?|span(?: class="tg-spoiler")?)>`)
	telegramTagName = regexp.MustCompile(`[a-z-]+`)
	htmlEntity      = regexp.MustCompile(`&[^;\s]*;?`)
	telegramEntity  = regexp.MustCompile(`^&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);$`)
)

func (m *TelegramMessage) parseHTML() string {
	var shown strings.Builder
	var open []string
	for rest := m.Text; rest != ""; {
		at := strings.IndexByte(rest, '<')
		if at < 0 {
			at = len(rest)
		}
		shown.WriteString(rest[:at])
		if rest = rest[at:]; rest == "" {
			break
		}
		tag := telegramTag.FindString(rest)
		if tag == "" {
			return "can't parse entities: unsupported start tag"
		}
		m.Tags = append(m.Tags, tag)
		name := telegramTagName.FindString(tag)
		switch {
		case !strings.HasPrefix(tag, "</"):
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			return "can't parse entities: unmatched end tag"
		default:
			open = open[:len(open)-1]
		}
		rest = rest[len(tag):]
	}
	if len(open) > 0 {
		return "can't parse entities: can't find end tag corresponding to start tag " + open[0]
	}
	text := shown.String()
	for _, e := range htmlEntity.FindAllString(text, -1) {
		if strings.HasSuffix(e, ";") && !telegramEntity.MatchString(e) {
			return "can't parse entities: unsupported entity " + e
		}
	}
	m.Shown = html.UnescapeString(text)
	return ""
}

// parseMarkdown reads either Markdown. Signs are those that a backslash takes the
// meaning of, and reserved those that may only stand behind one.
func (m *TelegramMessage) parseMarkdown(signs, reserved string) string {
	var shown strings.Builder
	open := map[rune]bool{}
	runes := []rune(m.Text)
	for n := 0; n < len(runes); n++ {
		switch r := runes[n]; {
		case r == '\\' && n+1 < len(runes) && strings.ContainsRune(signs, runes[n+1]):
			n++
			shown.WriteRune(runes[n])
		case strings.ContainsRune(reserved, r):
			return "can't parse entities: character '" + string(r) + "' is reserved and must be escaped"
		case strings.ContainsRune("_*`~[", r) && strings.ContainsRune(signs, r):
			open[r] = !open[r]
			m.Tags = append(m.Tags, string(r))
		default:
			shown.WriteRune(r)
		}
	}
	for r, is := range open {
		if is {
			return "can't parse entities: can't find end of the entity starting with " + string(r)
		}
	}
	m.Shown = shown.String()
	return ""
}

// TelegramMentions lists the names and commands that a text would link to.
func TelegramMentions(shown string) []string {
	return regexp.MustCompile(`@[A-Za-z0-9_]{3,}`).FindAllString(bareLink.ReplaceAllString(shown, ""), -1)
}
