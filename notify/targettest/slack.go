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
	"unicode/utf8"
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

func (s *Slack) serveSlack(w http.ResponseWriter, r *http.Request, body []byte) string {
	if r.URL.Path == SlackHook {
		return s.hook(w, r, body)
	}
	if drop, dead := s.cutOff(); dead {
		panic(http.ErrAbortHandler)
	} else if drop {
		defer panic(http.ErrAbortHandler)
	}
	method, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		http.Error(w, "no_service", http.StatusNotFound)
		return "there is no such path"
	}
	answer := func(v map[string]any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(v) // the client may have gone
	}
	no := func(word string, about ...string) string {
		v := map[string]any{"ok": false, "error": word}
		if word == "missing_scope" {
			v["needed"], v["provided"] = about[0], strings.Join(s.scopes, ",")
		}
		answer(v)
		return ""
	}
	s.state.Lock()
	defer s.state.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+SlackToken {
		no("invalid_auth")
		return "the token is another one"
	}
	if planned := s.words[method]; len(planned) > 0 {
		s.words[method] = planned[1:]
		return no(planned[0], "")
	}
	c, known := slackMethods[method]
	if !known {
		no("unknown_method")
		return "there is no such method: " + method
	}
	if c.scope != "" && !slices.Contains(s.scopes, c.scope) {
		return no("missing_scope", c.scope)
	}
	args := map[string]any{}
	if c.reads {
		if r.Method != http.MethodGet {
			return "only reads, so it is a GET here: " + method
		}
		for name, values := range r.URL.Query() {
			args[name] = values[0]
		}
	} else {
		if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			no("invalid_post_type")
			return "not a POST of application/json"
		}
		if err := json.Unmarshal(body, &args); err != nil || !utf8.Valid(body) {
			no("json_not_object")
			return "the body is not a JSON object in UTF-8"
		}
	}
	for name := range args {
		if !slices.Contains(c.arguments, name) {
			no("invalid_arg_name")
			return method + " has no argument " + name
		}
	}
	got, word, wrong := c.do(s, args)
	if word != "" {
		no(word, "")
		return wrong
	}
	got["ok"] = true
	answer(got)
	return wrong
}

type slackMethod struct {
	reads     bool
	scope     string
	arguments []string
	do        func(*Slack, map[string]any) (got map[string]any, word, wrong string)
}

var slackMethods map[string]slackMethod

func init() { // it refers to itself
	slackMethods = map[string]slackMethod{
		"chat.postMessage": {false, "chat:write", []string{"channel", "text", "attachments", "blocks", "username", "icon_emoji", "icon_url", "link_names", "parse", "thread_ts",
			"reply_broadcast", "unfurl_links", "unfurl_media", "mrkdwn", "metadata"}, (*Slack).postMessage},
		"chat.update":              {false, "chat:write", []string{"channel", "ts", "text", "attachments", "blocks", "link_names", "parse", "metadata", "reply_broadcast"}, (*Slack).update},
		"conversations.history":    {true, "channels:history", []string{"channel", "cursor", "include_all_metadata", "inclusive", "latest", "oldest", "limit"}, (*Slack).history},
		"conversations.replies":    {true, "channels:history", []string{"channel", "ts", "cursor", "include_all_metadata", "inclusive", "latest", "oldest", "limit"}, (*Slack).history},
		"conversations.list":       {true, "channels:read", []string{"cursor", "exclude_archived", "limit", "types"}, (*Slack).list},
		"conversations.create":     {false, "channels:manage", []string{"name", "is_private"}, (*Slack).create},
		"conversations.setPurpose": {false, "channels:manage", []string{"channel", "purpose"}, (*Slack).setPurpose},
		"auth.test": {true, "", nil, func(*Slack, map[string]any) (map[string]any, string, string) {
			return map[string]any{"user_id": slackBot, "team_id": "T00000000"}, "", ""
		}},
	}
}

// hook is the incoming webhook; it answers in plain text.
func (s *Slack) hook(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, word, wrong string) string {
		http.Error(w, word, status)
		return wrong
	}
	args := map[string]any{}
	switch {
	case r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return refuse(http.StatusBadRequest, "invalid_payload", "not a POST of application/json")
	case json.Unmarshal(body, &args) != nil || !utf8.Valid(body):
		return refuse(http.StatusBadRequest, "invalid_payload", "the body is not a JSON object in UTF-8")
	}
	for _, name := range []string{"ts", "thread_ts", "reply_broadcast", "metadata"} {
		if _, ok := args[name]; ok {
			return refuse(http.StatusBadRequest, "invalid_payload", "a webhook cannot edit or thread: "+name)
		}
	}
	s.state.Lock()
	defer s.state.Unlock()
	m, word, wrong := s.read(args, "none")
	if word != "" {
		return refuse(http.StatusBadRequest, word, wrong)
	}
	c := s.find("hook")
	if c == nil {
		c = s.add("hook", "U0SOMEBODY")
	}
	if c.Archived {
		return refuse(http.StatusGone, "channel_is_archived", "")
	}
	s.append(c, m)
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("ok")) // the client may have gone
	return ""
}

func (s *Slack) append(c *SlackChannel, m *SlackMessage) {
	s.lastTS = max(s.lastTS+100, time.Now().UnixMicro())
	m.TS = fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
	c.Messages = append(c.Messages, m)
}

func (s *Slack) postMessage(args map[string]any) (map[string]any, string, string) {
	c := s.find(textOf(args["channel"]))
	switch {
	case c == nil:
		return nil, "channel_not_found", "there is no channel " + textOf(args["channel"])
	case c.Archived:
		return nil, "is_archived", ""
	}
	m, word, wrong := s.read(args, "none")
	if word != "" {
		return nil, word, wrong
	}
	if m.ThreadTS = textOf(args["thread_ts"]); m.ThreadTS != "" && c.message(m.ThreadTS) == nil {
		return nil, "thread_not_found", "there is no thread " + m.ThreadTS
	}
	if m.Broadcast, _ = args["reply_broadcast"].(bool); m.Broadcast && m.ThreadTS == "" {
		return nil, "invalid_arguments", "reply_broadcast is for replies"
	}
	s.append(c, m)
	return map[string]any{"channel": c.ID, "ts": m.TS, "message": map[string]any{"text": args["text"]}}, "", ""
}

func (c *SlackChannel) message(ts string) *SlackMessage {
	for _, m := range c.Messages {
		if m.TS == ts {
			return m
		}
	}
	return nil
}

func (s *Slack) update(args map[string]any) (map[string]any, string, string) {
	id := textOf(args["channel"])
	c := s.find(id)
	if c == nil || c.ID != id {
		return nil, "channel_not_found", "chat.update wants the id of a channel, got " + id
	}
	old := c.message(textOf(args["ts"]))
	if old == nil {
		return nil, "message_not_found", ""
	}
	m, word, wrong := s.read(args, "client")
	if word != "" {
		return nil, word, wrong
	}
	if m.Body["metadata"] == nil {
		m.Body["metadata"] = old.Body["metadata"]
	}
	m.TS, m.ThreadTS, m.Broadcast, m.Edits = old.TS, old.ThreadTS, old.Broadcast, old.Edits+1
	*old = *m
	return map[string]any{"channel": c.ID, "ts": m.TS, "text": args["text"]}, "", ""
}

func (s *Slack) history(args map[string]any) (map[string]any, string, string) {
	id, thread := textOf(args["channel"]), textOf(args["ts"])
	c := s.find(id)
	if c == nil || c.ID != id {
		return nil, "channel_not_found", "the id of a channel is wanted, got " + id
	}
	if thread != "" && c.message(thread) == nil {
		return nil, "thread_not_found", ""
	}
	var all []any
	for _, m := range c.Messages {
		in := m.ThreadTS == "" || m.Broadcast
		if thread != "" {
			in = m.TS == thread || m.ThreadTS == thread
		}
		if !in || m.TS < textOf(args["oldest"]) {
			continue
		}
		one := map[string]any{"type": "message", "ts": m.TS, "text": m.Body["text"], "attachments": m.Body["attachments"], "bot_id": "B0B0T"}
		if args["include_all_metadata"] == "true" {
			one["metadata"] = m.Body["metadata"]
		}
		all = append(all, one)
	}
	if thread == "" {
		slices.Reverse(all) // history begins with the newest, a thread with the oldest
	}
	return slackPage(args, "messages", all)
}

// slackPage is one page of a list, https://docs.slack.dev/apis/web-api/pagination.
func slackPage(args map[string]any, name string, all []any) (map[string]any, string, string) {
	limit, err := strconv.Atoi(textOf(args["limit"]))
	if err != nil || limit < 1 || limit > 999 {
		return nil, "invalid_limit", "limit is from 1 to 999"
	}
	from, _ := strconv.Atoi(textOf(args["cursor"]))
	to := min(from+limit, len(all))
	got := map[string]any{name: append([]any{}, all[min(from, to):to]...), "has_more": to < len(all)}
	if to < len(all) {
		got["response_metadata"] = map[string]any{"next_cursor": strconv.Itoa(to)}
	}
	return got, "", ""
}

func (s *Slack) list(args map[string]any) (map[string]any, string, string) {
	if types := textOf(args["types"]); types == "private_channel" {
		return nil, "missing_scope", ""
	} else if types != "" && types != "public_channel" {
		return nil, "invalid_types", "types is " + types
	}
	var all []any
	for _, c := range s.channels {
		if c.Private || c.Archived && args["exclude_archived"] == "true" {
			continue
		}
		all = append(all, map[string]any{"id": c.ID, "name": c.Name, "creator": c.Creator, "created": c.Created.Unix(), "is_archived": c.Archived,
			"purpose": map[string]any{"value": c.Purpose}})
	}
	return slackPage(args, "channels", all)
}

var slackName = regexp.MustCompile(`^[a-z0-9_-]{1,80}$`)

func (s *Slack) create(args map[string]any) (map[string]any, string, string) {
	name := textOf(args["name"])
	if !slackName.MatchString(name) {
		return nil, "invalid_name_specials", "the name is " + name
	}
	if s.find(name) != nil {
		return nil, "name_taken", ""
	}
	c := s.add(name, slackBot)
	return map[string]any{"channel": map[string]any{"id": c.ID, "name": c.Name, "creator": c.Creator, "created": c.Created.Unix()}}, "", ""
}

func (s *Slack) setPurpose(args map[string]any) (map[string]any, string, string) {
	c, purpose := s.find(textOf(args["channel"])), textOf(args["purpose"])
	switch {
	case c == nil:
		return nil, "channel_not_found", ""
	case utf8.RuneCountInString(purpose) > 250:
		return nil, "too_long", "a purpose has at most 250 characters"
	}
	c.Purpose = purpose
	return map[string]any{"channel": map[string]any{"id": c.ID}}, "", ""
}

// read checks a message. Parse is what the method assumes if the message does not say.
func (s *Slack) read(args map[string]any, parse string) (m *SlackMessage, word, wrong string) {
	attachments := listOf(args["attachments"])
	blocks := listOf(args["blocks"])
	if textOf(args["text"]) == "" && len(attachments)+len(blocks) == 0 {
		return nil, "no_text", "there is nothing to say"
	}
	if len(attachments) > 100 {
		return nil, "too_many_attachments", "at most 100 attachments"
	}
	if len(blocks) > 50 {
		return nil, "invalid_blocks", "at most 50 blocks"
	}
	if given := textOf(args["parse"]); given != "" {
		parse = given
	}
	m = &SlackMessage{Body: args}
	if wrong := checkSlackMetadata(args["metadata"]); wrong != "" {
		return nil, "invalid_metadata_format", wrong
	}
	for _, one := range attachments {
		if wrong := checkSlackAttachment(objectOf(one)); wrong != "" {
			return nil, "invalid_attachments", wrong
		}
	}
	eachSlackBlock(args, func(b map[string]any) {
		if problem := checkSlackBlock(b); problem != "" {
			wrong = problem
		}
	})
	if wrong != "" {
		return nil, "invalid_blocks", wrong
	}
	links, _ := args["link_names"].(bool)
	eachSlackText(args, func(text string) {
		m.Text += text + "\n"
		m.readMarkup(text, links || parse != "none")
	})
	if utf8.RuneCountInString(m.Text) > 40_000 {
		return nil, "msg_too_long", "more than 40,000 characters"
	}
	return m, "", ""
}

var slackEventType = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func checkSlackMetadata(v any) string {
	if v == nil {
		return ""
	}
	md := objectOf(v)
	if !slackEventType.MatchString(textOf(md["event_type"])) || md["event_payload"] == nil || len(md) != 2 {
		return "metadata has an event_type and an event_payload"
	}
	for name, value := range objectOf(md["event_payload"]) {
		if _, ok := value.(string); !ok {
			return "metadata: " + name + " is not a text"
		}
	}
	return ""
}

// slackFields are those of an attachment, with the number of characters that are
// shown; https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments.
var slackFields = map[string]int{"title": 1024, "title_link": 3000, "pretext": 8000, "text": 8000, "fallback": 8000, "callback_id": 1024, "image_url": 3000, "thumb_url": 3000,
	"footer": 300, "color": 80}

func checkSlackAttachment(at map[string]any) string {
	_, hasBlocks := at["blocks"]
	for name, v := range at {
		if limit, ok := slackFields[name]; ok {
			text, isText := v.(string)
			if !isText || utf8.RuneCountInString(text) > limit {
				return "attachment: " + name + " is not a text of at most " + strconv.Itoa(limit) + " characters"
			}
			if hasBlocks && name != "color" && name != "fallback" {
				return "attachment: " + name + " beside blocks is not shown"
			}
			if strings.HasSuffix(name, "_url") || name == "title_link" {
				if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "") {
					return "attachment: " + name + " is not a URL: " + text
				}
			}
			continue
		}
		switch name {
		case "blocks", "mrkdwn_in":
		case "fields":
			for _, f := range listOf(v) {
				if _, ok := objectOf(f)["short"].(bool); !ok || objectOf(f)["title"] == nil {
					return "attachment: a field has a title, a value and short"
				}
			}
		case "actions":
			if len(listOf(v)) > 5 {
				return "attachment: at most 5 actions"
			}
		default:
			return "attachment: there is no field " + name
		}
	}
	if color := textOf(at["color"]); color != "" && !slices.Contains([]string{"good", "warning", "danger"}, color) && !regexp.MustCompile(`^#?[0-9a-fA-F]{6}$`).MatchString(color) {
		return "attachment: color " + color
	}
	return ""
}

// checkSlackBlock: https://docs.slack.dev/reference/block-kit/blocks.
func checkSlackBlock(b map[string]any) string {
	elements := listOf(b["elements"])
	switch b["type"] {
	case "context":
		if len(elements) < 1 || len(elements) > 10 {
			return "context: 1 to 10 elements"
		}
		for _, e := range elements {
			if wrong := checkSlackWords(objectOf(e), 3000); wrong != "" {
				return "context: " + wrong
			}
		}
	case "actions":
		if len(elements) < 1 || len(elements) > 25 {
			return "actions: 1 to 25 elements"
		}
		seen := map[string]bool{}
		for _, e := range elements {
			b := objectOf(e)
			id := textOf(b["action_id"])
			switch {
			case b["type"] != "button" || id == "" || len(id) > 255 || seen[id]:
				return "actions: a button has an action_id of its own"
			case utf8.RuneCountInString(textOf(b["value"])) > 2000 || utf8.RuneCountInString(textOf(b["url"])) > 3000:
				return "button: value or url is too long"
			case b["style"] != nil && b["style"] != "primary" && b["style"] != "danger":
				return "button: style is primary or danger"
			}
			if u := textOf(b["url"]); u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
				return "button: url is " + u
			}
			if wrong := checkSlackWords(objectOf(b["text"]), 75); wrong != "" || objectOf(b["text"])["type"] != "plain_text" {
				return "button: text " + wrong
			}
			seen[id] = true
		}
	default:
		return "a block of type " + textOf(b["type"])
	}
	return ""
}

func checkSlackWords(w map[string]any, limit int) string {
	text := textOf(w["text"])
	if w["type"] != "plain_text" && w["type"] != "mrkdwn" || text == "" || utf8.RuneCountInString(text) > limit {
		return fmt.Sprintf("a text has a type and 1 to %d characters", limit)
	}
	return ""
}

func eachSlackBlock(body map[string]any, do func(map[string]any)) {
	for _, b := range listOf(body["blocks"]) {
		do(objectOf(b))
	}
	for _, at := range listOf(body["attachments"]) {
		for _, b := range listOf(objectOf(at)["blocks"]) {
			do(objectOf(b))
		}
	}
}

// eachSlackText calls do with every text that people read.
func eachSlackText(v any, do func(string)) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			eachSlackText(one, do)
		}
	case map[string]any:
		for name, one := range v {
			text, isText := one.(string)
			switch {
			case !isText && name != "metadata":
				eachSlackText(one, do)
			case slices.Contains([]string{"text", "title", "pretext", "fallback", "footer", "value", "username", "ok_text", "dismiss_text"}, name):
				do(text)
			}
		}
	}
}

var (
	slackControl = regexp.MustCompile(`<([^<>]*)>`)
	// slackEntity are the only entities that there are; the sign that begins them is
	// not written otherwise.
	slackEntity = regexp.MustCompile(`&(amp|lt|gt);`)
	slackName2  = regexp.MustCompile(`@[\w.-]+`)
)

// readMarkup finds what is live in a text: what stands in angle brackets, and bare
// names if those are looked for.
func (m *SlackMessage) readMarkup(text string, names bool) {
	for _, found := range slackControl.FindAllStringSubmatch(text, -1) {
		inner := found[1]
		switch {
		case strings.HasPrefix(inner, "!"), strings.HasPrefix(inner, "@"):
			m.Live = append(m.Live, found[0])
		case strings.Contains(inner, "|"):
			m.Links = append(m.Links, inner)
		}
	}
	if strings.Contains(slackEntity.ReplaceAllString(text, ""), "&") {
		m.Live = append(m.Live, "&")
	}
	if names {
		m.Live = append(m.Live, slackName2.FindAllString(text, -1)...)
	}
}

func textOf(v any) string { s, _ := v.(string); return s }

func listOf(v any) []any { l, _ := v.([]any); return l }

func objectOf(v any) map[string]any { o, _ := v.(map[string]any); return o }
