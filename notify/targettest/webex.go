package targettest

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Webex takes messages of a bot, as
// https://developer.webex.com/docs/api/v1/messages/create-a-message says.
type Webex struct {
	Server
	mu       sync.Mutex
	messages []WebexMessage
}

// WebexMessage is one message as it was taken.
type WebexMessage struct {
	RoomID        string `json:"roomId"`
	ToPersonEmail string `json:"toPersonEmail"`
	Text          string `json:"text"`
	Markdown      string `json:"markdown"`
}

// WebexToken is the bot's secret, and WebexRoom a room that it is in.
const (
	WebexToken = "NmE2ZGFhYmEtNGVkNy00webexbotsecret"
	WebexRoom  = "Y2lzY29zcGFyazovL3VzL1JPT00vYmJjZWIxYWQtNDNmMS0zYjU4LTkxNDctZjE0YmIwYzRkMTU0"
)

// webexLimit is how many bytes a message may have.
const webexLimit = 7439

// NewWebex serves until the test ends.
func NewWebex(t testing.TB) *Webex {
	s := &Webex{}
	s.start(t, s.take)
	return s
}

// Messages are those that were taken.
func (s *Webex) Messages() []WebexMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *Webex) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, message string) string {
		replyJSON(w, status, map[string]any{"message": message, "errors": []any{map[string]string{"description": message}}, "trackingId": "ROUTER_1"})
		return message
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/messages" {
		return refuse(http.StatusNotFound, "The requested resource could not be found.")
	}
	if r.Header.Get("Authorization") != "Bearer "+WebexToken {
		return refuse(http.StatusUnauthorized, "The request requires a valid access token set in the Authorization request header.")
	}
	var m WebexMessage
	if wrong := readStrictly(r, body, &m); wrong != "" {
		return refuse(http.StatusBadRequest, wrong)
	}
	switch {
	case m.RoomID != WebexRoom:
		return refuse(http.StatusNotFound, "Could not find a room with provided ID.")
	case m.Markdown == "" && m.Text == "":
		return refuse(http.StatusBadRequest, "One of the following must be non-empty: text, file, or meetingId.")
	case len(m.Markdown) > webexLimit || len(m.Text) > webexLimit:
		return refuse(http.StatusBadRequest, "Message length limited to "+strconv.Itoa(webexLimit)+" bytes.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	replyJSON(w, http.StatusOK, map[string]any{"id": "message-" + strconv.Itoa(len(s.messages)), "roomId": m.RoomID, "markdown": m.Markdown})
	return ""
}
