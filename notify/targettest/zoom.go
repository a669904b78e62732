package targettest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Zoom is the Incoming Webhook app of Zoom Team Chat
// (https://support.zoom.com/hc/en/article?id=zm_kb&sysparm_article=KB0067640), and
// what makes meetings: https://developers.zoom.us/docs/internal-apps/s2s-oauth/ and
// https://developers.zoom.us/docs/api/meetings/.
type Zoom struct {
	Server
	// Token is the webhook's; the app's account is acc, its client cli.
	Token, ClientSecret string
	messages            []ZoomMessage
	meetings            []ZoomMeeting
}

// ZoomMessage is one message; Links are its links, by their text.
type ZoomMessage struct {
	Head, Text string
	Links      map[string]string
}

// ZoomMeeting is one meeting.
type ZoomMeeting struct {
	Topic   string `json:"topic"`
	Agenda  string `json:"agenda"`
	JoinURL string `json:"join_url"`
}

const zoomAccess = "zoom-access-token"

// NewZoom starts all three.
func NewZoom(t testing.TB) *Zoom {
	s := &Zoom{Token: "zoom-verification-token", ClientSecret: "zoom-client-secret"}
	s.start(t, s.handle)
	return s
}

// Messages are those in the channel.
func (s *Zoom) Messages() []ZoomMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Meetings are those that were made.
func (s *Zoom) Meetings() []ZoomMeeting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.meetings)
}

func (s *Zoom) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path := r.Method + " " + r.URL.Path; path {
	case "POST /chat/webhooks/incomingwebhook/hook1":
		return s.chat(w, r, body)
	case "POST /oauth/token":
		form, err := url.ParseQuery(string(body))
		if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("cli:"+s.ClientSecret)) {
			return answer(w, http.StatusUnauthorized, map[string]string{"reason": "Invalid client_id or client_secret"}, "the client is wrong")
		}
		if err != nil || form.Get("grant_type") != "account_credentials" || form.Get("account_id") != "acc" {
			return answer(w, http.StatusBadRequest, map[string]string{"reason": "unsupported grant type"}, "grant "+string(body))
		}
		return answer(w, http.StatusOK, map[string]any{"access_token": zoomAccess, "token_type": "bearer", "expires_in": 3599}, "")
	case "GET /v2/users/ops@example.com/meetings", "POST /v2/users/ops@example.com/meetings":
		if r.Header.Get("Authorization") != "Bearer "+zoomAccess {
			return answer(w, http.StatusUnauthorized, map[string]any{"code": 124}, "the access token is wrong")
		}
		if r.Method == http.MethodGet {
			return answer(w, http.StatusOK, map[string]any{"page_size": 300, "meetings": s.meetings}, "")
		}
		return s.meet(w, body)
	default:
		return answer(w, http.StatusNotFound, nil, path)
	}
}

// zoomMention is what becomes a mention, or a link under another name.
var zoomMention = regexp.MustCompile(`<[!@#]|<https?:|\]\(`)

func (s *Zoom) chat(w http.ResponseWriter, r *http.Request, body []byte) string {
	if r.Header.Get("Authorization") != s.Token {
		return answer(w, http.StatusUnauthorized, nil, "the token is wrong")
	}
	var m struct {
		Content struct {
			Head struct {
				Text string `json:"text"`
			} `json:"head"`
			Body []struct {
				Type string `json:"type"`
				Text string `json:"text"`
				Link string `json:"link"`
			} `json:"body"`
		} `json:"content"`
	}
	err := json.Unmarshal(body, &m, json.RejectUnknownMembers(true))
	one := ZoomMessage{Head: m.Content.Head.Text, Links: map[string]string{}}
	size := utf8.RuneCountInString(one.Head)
	for _, p := range m.Content.Body {
		if p.Type != "message" || p.Text == "" {
			return answer(w, http.StatusBadRequest, nil, "a part "+p.Type)
		}
		if size += utf8.RuneCountInString(p.Text); p.Link != "" {
			one.Links[p.Text] = p.Link
		} else {
			one.Text += p.Text
		}
	}
	wrong := ""
	switch {
	case err != nil:
		wrong = err.Error()
	case r.URL.Query().Get("format") != "full":
		wrong = "the format is " + r.URL.RawQuery
	case r.Header.Get("Content-Type") != "application/json":
		wrong = "the content type is " + r.Header.Get("Content-Type")
	case one.Head == "" || size > 4096:
		wrong = fmt.Sprintf("%d characters, head %q", size, one.Head)
	case zoomMention.MatchString(one.Head + one.Text):
		wrong = "mentions somebody, or hides a link"
	}
	if wrong != "" {
		return answer(w, http.StatusBadRequest, nil, wrong)
	}
	s.messages = append(s.messages, one)
	return answer(w, http.StatusOK, nil, "")
}

func (s *Zoom) meet(w http.ResponseWriter, body []byte) string {
	var m struct {
		Topic     string         `json:"topic"`
		Agenda    string         `json:"agenda"`
		Type      int            `json:"type"`
		StartTime string         `json:"start_time"`
		Duration  int            `json:"duration"`
		Settings  map[string]any `json:"settings"`
	}
	if err := json.Unmarshal(body, &m, json.RejectUnknownMembers(true)); err != nil {
		return answer(w, http.StatusBadRequest, nil, err.Error())
	}
	_, err := time.Parse("2006-01-02T15:04:05Z", m.StartTime)
	if m.Type != 2 || err != nil || m.Duration <= 0 || m.Topic == "" || len(m.Topic) > 200 || len(m.Agenda) > 2000 || strings.ContainsAny(m.Topic, "\r\n") {
		return answer(w, http.StatusBadRequest, map[string]any{"code": 300}, "a meeting "+string(body))
	}
	one := ZoomMeeting{m.Topic, m.Agenda, fmt.Sprintf("https://zoom.example.com/j/%d", len(s.meetings)+1)}
	s.meetings = append(s.meetings, one)
	return answer(w, http.StatusCreated, one, "")
}
