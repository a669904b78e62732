package targettest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// serveSlack answers one request: of the incoming webhook, or of a method.
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
