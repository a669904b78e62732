package targettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// What the Rocket.Chat server accepts.
const (
	RocketChatToken   = "rOcKeTsEcReTtOkEn"
	RocketChatTokenID = "rOcKeTuSeRiD"
)

// RocketChat has the REST API of a server with public and private rooms, as in
// https://developer.rocket.chat/apidocs/post-message and
// https://developer.rocket.chat/apidocs/update-message, with the schemas of
// packages/rest-typings/src/v1/chat.ts and the checks of
// apps/meteor/app/lib/server/functions/sendMessage.ts in
// https://github.com/RocketChat/Rocket.Chat.
type RocketChat struct {
	Server
	state sync.Mutex
	rooms []*RocketChatRoom
	next  int
	cut   int
	// denied methods are not permitted to the account.
	denied []string
}

// RocketChatRoom is a room with its messages, oldest first.
type RocketChatRoom struct {
	ID, Name string
	Private  bool
	Messages []*RocketChatMessage
}

// RocketChatMessage is a message as people see it.
type RocketChatMessage struct {
	ID, Thread, Text string
	Attachments      []any
	At               time.Time
	Edits            int
	// Live is what of it is a mention or markup.
	Live []string
}

// Attachment is the first one.
func (m *RocketChatMessage) Attachment() map[string]any {
	if len(m.Attachments) == 0 {
		return nil
	}
	return objectOf(m.Attachments[0])
}

// NewRocketChat serves rooms until the test ends; the names of private ones begin
// with an exclamation mark.
func NewRocketChat(t testing.TB, rooms ...string) *RocketChat {
	s := &RocketChat{cut: -1}
	for n, name := range rooms {
		private := strings.HasPrefix(name, "!")
		s.rooms = append(s.rooms, &RocketChatRoom{ID: "rOoM" + strconv.Itoa(n), Name: strings.TrimPrefix(name, "!"), Private: private})
	}
	s.start(t, s.serveRocketChat)
	return s
}

// Room is a room as it is.
func (s *RocketChat) Room(name string) RocketChatRoom {
	s.state.Lock()
	defer s.state.Unlock()
	r := *s.find(name)
	r.Messages = nil
	for _, m := range s.find(name).Messages {
		one := *m
		r.Messages = append(r.Messages, &one)
	}
	return r
}

// Clear removes the messages of a room.
func (s *RocketChat) Clear(name string) {
	s.state.Lock()
	defer s.state.Unlock()
	s.find(name).Messages = nil
}

// Deny takes methods away from the account.
func (s *RocketChat) Deny(methods ...string) {
	s.state.Lock()
	defer s.state.Unlock()
	s.denied = append(s.denied, methods...)
}

// Cut makes the n-th of the next calls the last that the server acts on; nobody
// hears its answer. With a negative n all is well again.
func (s *RocketChat) Cut(n int) {
	s.state.Lock()
	defer s.state.Unlock()
	s.cut = n
}

func (s *RocketChat) find(nameOrID string) *RocketChatRoom {
	for _, r := range s.rooms {
		if nameOrID != "" && (r.ID == nameOrID || r.Name == strings.TrimPrefix(nameOrID, "#")) {
			return r
		}
	}
	return nil
}

func (r *RocketChatRoom) message(id string) *RocketChatMessage {
	for _, m := range r.Messages {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (s *RocketChat) serveRocketChat(w http.ResponseWriter, r *http.Request, body []byte) string {
	s.state.Lock()
	defer s.state.Unlock()
	switch {
	case s.cut == 0:
		panic(http.ErrAbortHandler)
	case s.cut > 0:
		if s.cut--; s.cut == 0 {
			defer panic(http.ErrAbortHandler)
		}
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // the client may have gone
	}
	fail := func(text, wrong string) string {
		answer(http.StatusBadRequest, map[string]any{"success": false, "error": text, "errorType": text})
		return wrong
	}
	if r.Header.Get("X-Auth-Token") != RocketChatToken || r.Header.Get("X-User-Id") != RocketChatTokenID {
		answer(http.StatusUnauthorized, map[string]any{"status": "error", "message": "You must be logged in to do this."})
		return "the token is another one"
	}
	method, _ := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if slices.Contains(s.denied, method) {
		answer(http.StatusForbidden, map[string]any{"success": false, "error": "User does not have the permissions required for this action [error-unauthorized]"})
		return ""
	}
	args := map[string]any{}
	if r.Method == http.MethodGet {
		for name, values := range r.URL.Query() {
			args[name] = values[0]
		}
	} else if err := json.Unmarshal(body, &args); err != nil || !utf8.Valid(body) || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return fail("invalid-params", "the body is not a JSON object in UTF-8")
	}
	var got map[string]any
	var failed, wrong string
	switch r.Method + " " + method {
	case "POST chat.postMessage":
		got, failed, wrong = s.postMessage(args)
	case "POST chat.update":
		got, failed, wrong = s.update(args)
	case "GET channels.history", "GET groups.history":
		got, failed, wrong = s.history(args, method == "groups.history")
	case "GET chat.getThreadMessages":
		got, failed, wrong = s.thread(args)
	default:
		answer(http.StatusNotFound, map[string]any{"success": false, "error": "unknown endpoint"})
		return "there is no such method"
	}
	if failed != "" {
		return fail(failed, wrong)
	}
	got["success"] = true
	answer(http.StatusOK, got)
	return wrong
}

// onlyRocketChat says which arguments are not in the schema.
func onlyRocketChat(args map[string]any, names ...string) string {
	for name := range args {
		if !slices.Contains(names, name) {
			return "must NOT have additional properties: " + name
		}
	}
	return ""
}

func (s *RocketChat) postMessage(args map[string]any) (got map[string]any, failed, wrong string) {
	to, names := textOf(args["channel"]), []string{"channel", "text", "alias", "emoji", "avatar", "attachments", "customFields"}
	if args["roomId"] != nil {
		to, names = textOf(args["roomId"]), []string{"roomId", "text", "alias", "emoji", "avatar", "attachments", "tmid", "customFields"}
	}
	if wrong := onlyRocketChat(args, names...); wrong != "" {
		return nil, "invalid-params", wrong
	}
	room := s.find(to)
	if room == nil {
		return nil, "invalid-channel", "there is no room " + to
	}
	m := &RocketChatMessage{Thread: textOf(args["tmid"]), Attachments: listOf(args["attachments"])}
	if wrong := m.set(textOf(args["text"])); wrong != "" {
		return nil, "error-message-size-exceeded", wrong
	}
	if m.Thread != "" && room.message(m.Thread) == nil {
		return nil, "error-invalid-message", "there is no thread " + m.Thread
	}
	if avatar := textOf(args["avatar"]); avatar != "" && !isFullURL(avatar) {
		return nil, "Invalid href value provided", "avatar " + avatar
	}
	if args["attachments"] == nil {
		return nil, "", "without attachments the server fetches the links of a text"
	}
	for _, at := range m.Attachments {
		if wrong := m.attach(objectOf(at)); wrong != "" {
			return nil, "Invalid attachment", wrong
		}
	}
	if m.Text == "" && len(m.Attachments) == 0 {
		return nil, "error-empty", "there is nothing to say"
	}
	s.next++
	m.ID, m.At = fmt.Sprintf("mEsSaGe%d", s.next), time.Now()
	room.Messages = append(room.Messages, m)
	return map[string]any{"ts": m.At.UnixMilli(), "channel": to, "message": room.shown(m)}, "", ""
}

func (r *RocketChatRoom) shown(m *RocketChatMessage) map[string]any {
	v := map[string]any{"_id": m.ID, "rid": r.ID, "msg": m.Text, "attachments": m.Attachments, "u": map[string]any{"_id": RocketChatTokenID}, "ts": m.At.UTC().Format(time.RFC3339Nano)}
	if m.Thread != "" {
		v["tmid"] = m.Thread
	}
	return v
}

func (s *RocketChat) update(args map[string]any) (got map[string]any, failed, wrong string) {
	if wrong := onlyRocketChat(args, "roomId", "msgId", "text"); wrong != "" || args["text"] == nil {
		return nil, "invalid-params", wrong
	}
	room := s.find(textOf(args["roomId"]))
	if room == nil || room.message(textOf(args["msgId"])) == nil {
		return nil, fmt.Sprintf("No message found with the id of %q.", args["msgId"]), ""
	}
	m := room.message(textOf(args["msgId"]))
	m.Live = nil
	if wrong := m.set(textOf(args["text"])); wrong != "" {
		return nil, "error-message-size-exceeded", wrong
	}
	m.Edits++
	for _, at := range m.Attachments {
		_ = m.attach(objectOf(at)) // it was checked
	}
	return map[string]any{"message": room.shown(m)}, "", ""
}

func (s *RocketChat) history(args map[string]any, private bool) (got map[string]any, failed, wrong string) {
	if wrong := onlyRocketChat(args, "roomId", "roomName", "oldest", "latest", "inclusive", "offset", "count"); wrong != "" {
		return nil, "invalid-params", wrong
	}
	oldest, err := time.Parse(time.RFC3339Nano, textOf(args["oldest"]))
	if err != nil {
		return nil, "error-invalid-date", "oldest: " + err.Error()
	}
	room := s.find(textOf(args["roomId"]) + textOf(args["roomName"]))
	if room == nil || room.Private != private {
		return nil, "error-room-not-found", ""
	}
	var all []any
	for _, m := range slices.Backward(room.Messages) {
		if !m.At.Before(oldest) {
			all = append(all, room.shown(m))
		}
	}
	return rocketChatPage(args, all), "", ""
}

func (s *RocketChat) thread(args map[string]any) (got map[string]any, failed, wrong string) {
	if wrong := onlyRocketChat(args, "tmid", "offset", "count"); wrong != "" {
		return nil, "invalid-params", wrong
	}
	var all []any
	for _, room := range s.rooms {
		for _, m := range room.Messages {
			if m.Thread == args["tmid"] {
				all = append(all, room.shown(m))
			}
		}
	}
	return rocketChatPage(args, all), "", ""
}

func rocketChatPage(args map[string]any, all []any) map[string]any {
	offset, _ := strconv.Atoi(textOf(args["offset"]))
	count, _ := strconv.Atoi(textOf(args["count"]))
	from := min(offset, len(all))
	return map[string]any{"messages": append([]any{}, all[from:min(from+count, len(all))]...)}
}

// rocketChatSize is the default of Message_MaxAllowedSize.
const rocketChatSize = 5000

func (m *RocketChatMessage) set(text string) string {
	m.Text = strings.TrimSpace(text)
	m.readMarkup(text)
	if len(utf16.Encode([]rune(text))) > rocketChatSize {
		return "a text has at most 5000 characters"
	}
	return ""
}

func isFullURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (m *RocketChatMessage) attach(at map[string]any) string {
	for name, v := range at {
		text, isText := v.(string)
		switch name {
		case "title", "color":
		case "text":
			if len(utf16.Encode([]rune(text))) > rocketChatSize {
				return "a text has at most 5000 characters"
			}
		case "title_link", "image_url", "thumb_url":
			if !isFullURL(text) {
				return name + " is " + text
			}
		case "fields":
			for _, f := range listOf(v) {
				field := objectOf(f)
				if textOf(field["title"]) == "" || textOf(field["value"]) == "" {
					return "a field has a title and a value"
				}
				m.readMarkup(textOf(field["title"]))
				m.readMarkup(textOf(field["value"]))
			}
		case "actions":
			for _, a := range listOf(v) {
				action := objectOf(a)
				if action["type"] != "button" || action["url"] != nil && !isFullURL(textOf(action["url"])) {
					return fmt.Sprintf("an action is a button: %v", action)
				}
				m.readMarkup(textOf(action["text"]))
			}
		default:
			return "an attachment has no " + name
		}
		if isText && (name == "title" || name == "text") {
			m.readMarkup(text)
		}
	}
	return ""
}

// rocketChatMarkup is what the server and the clients look for in a text: the
// expressions of MentionsParser.ts and the rules of grammar.pegjs.
var rocketChatMarkup = []*regexp.Regexp{
	regexp.MustCompile(`@[\w.-]`), regexp.MustCompile(`(?m)(^|[^\w&])#[\w.-]`), regexp.MustCompile(`(?m)^#{1,4}\s`), regexp.MustCompile(`\]\(`),
	regexp.MustCompile(`<[^>]*\|`), regexp.MustCompile("`"), regexp.MustCompile(`\*[^*\n]+\*`), regexp.MustCompile(`~[^~\n]+~`),
	regexp.MustCompile(`(?m)(^|[^A-Za-z0-9])_[^_\n]+_`), regexp.MustCompile(`\|\|`), regexp.MustCompile(`(?m)^>`), regexp.MustCompile(`\$[^$\n]+\$`),
}

func (m *RocketChatMessage) readMarkup(text string) {
	for _, one := range rocketChatMarkup {
		m.Live = append(m.Live, one.FindAllString(text, -1)...)
	}
}
