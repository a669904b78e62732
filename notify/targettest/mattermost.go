package targettest

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Mattermost takes posts by an incoming webhook, as
// https://developers.mattermost.com/integrate/webhooks/incoming/ and
// https://developers.mattermost.com/integrate/reference/message-attachments/ say.
type Mattermost struct {
	Server
	mu    sync.Mutex
	posts []MattermostPost
}

// MattermostPost is one post as it was taken.
type MattermostPost struct {
	Text        string                 `json:"text"`
	Channel     string                 `json:"channel"`
	Username    string                 `json:"username"`
	IconURL     string                 `json:"icon_url"`
	IconEmoji   string                 `json:"icon_emoji"`
	Type        string                 `json:"type"`
	Attachments []MattermostAttachment `json:"attachments"`
	Props       map[string]any         `json:"props"`
	Priority    *struct {
		Priority                string `json:"priority"`
		RequestedAck            bool   `json:"requested_ack"`
		PersistentNotifications bool   `json:"persistent_notifications"`
	} `json:"priority"`
}

// MattermostAttachment is a text with a frame.
type MattermostAttachment struct {
	Fallback   string `json:"fallback"`
	Color      string `json:"color"`
	Pretext    string `json:"pretext"`
	Text       string `json:"text"`
	AuthorName string `json:"author_name"`
	AuthorLink string `json:"author_link"`
	AuthorIcon string `json:"author_icon"`
	Title      string `json:"title"`
	TitleLink  string `json:"title_link"`
	ThumbURL   string `json:"thumb_url"`
	Footer     string `json:"footer"`
	FooterIcon string `json:"footer_icon"`
	ImageURL   string `json:"image_url"`
	Fields     []struct {
		Title string `json:"title"`
		Value string `json:"value"`
		Short bool   `json:"short"`
	} `json:"fields"`
}

// MattermostKey is the secret in the webhook's URL.
const MattermostKey = "xxx3generatedkey9abcdefghi"

// NewMattermost serves until the test ends.
func NewMattermost(t testing.TB) *Mattermost {
	m := &Mattermost{}
	m.start(t, m.take)
	return m
}

// Webhook is the URL that takes posts.
func (m *Mattermost) Webhook() string { return m.URL + "/hooks/" + MattermostKey }

// Posts are those that were taken.
func (m *Mattermost) Posts() []MattermostPost {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.posts)
}

func (m *Mattermost) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	if r.Method != http.MethodPost || r.URL.Path != "/hooks/"+MattermostKey {
		replyJSON(w, http.StatusBadRequest, map[string]any{"id": "web.incoming_webhook.invalid.app_error", "message": "Invalid webhook.", "status_code": 400})
		return "no such webhook"
	}
	var p MattermostPost
	if wrong := firstOf(readStrictly(r, body, &p), p.wrong()); wrong != "" {
		replyJSON(w, http.StatusBadRequest, map[string]any{"id": "web.incoming_webhook.parse.app_error", "message": wrong, "status_code": 400})
		return wrong
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posts = append(m.posts, p)
	_, _ = io.WriteString(w, "ok") // the client may have gone
	return ""
}

// wrong says what the documents do not allow.
func (p *MattermostPost) wrong() string {
	if p.Text == "" && len(p.Attachments) == 0 {
		return "no text specified"
	}
	if p.Type != "" && !strings.HasPrefix(p.Type, "custom_") {
		return "the type must begin with custom_"
	}
	if q := p.Priority; q != nil {
		switch {
		case !slices.Contains([]string{"standard", "important", "urgent"}, q.Priority):
			return "no such priority"
		case q.RequestedAck && q.Priority == "standard", q.PersistentNotifications && q.Priority != "urgent":
			return "the priority is too low for that"
		}
	}
	for _, a := range p.Attachments {
		for _, link := range []string{a.AuthorLink, a.AuthorIcon, a.TitleLink, a.ThumbURL, a.FooterIcon, a.ImageURL} {
			if link != "" && !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://") {
				return link + " is not a link"
			}
		}
		if wrong := tooLong("an attachment's text", a.Text, 16383); wrong != "" {
			return wrong
		}
	}
	return tooLong("text", p.Text, 16383)
}
