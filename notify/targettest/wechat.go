package targettest

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// WeChat takes messages of a company's application:
// https://developer.work.weixin.qq.com/document/path/91039 for the token,
// https://developer.work.weixin.qq.com/document/path/90236 for messages, and
// https://developer.work.weixin.qq.com/document/path/90313 for errors, which come
// with a status of 200.
type WeChat struct {
	Server
	mu       sync.Mutex
	tokens   int
	valid    bool
	messages []WeChatMessage
}

// WeChatMessage is one message as it was taken.
type WeChatMessage struct {
	ToUser   string            `json:"touser"`
	ToParty  string            `json:"toparty"`
	ToTag    string            `json:"totag"`
	MsgType  string            `json:"msgtype"`
	AgentID  string            `json:"agentid"`
	Safe     string            `json:"safe"`
	Text     map[string]string `json:"text"`
	Markdown map[string]string `json:"markdown"`
}

// Content is the message's text.
func (m *WeChatMessage) Content() string {
	if m.MsgType == "markdown" {
		return m.Markdown["content"]
	}
	return m.Text["content"]
}

// WeChatCorp is the company, and WeChatSecret the application's secret.
const (
	WeChatCorp   = "wwcddc6fb5a1a1a1a1"
	WeChatSecret = "HqQ4zWeChatSecret-0a9b8c7d6e5f"
)

// NewWeChat serves until the test ends.
func NewWeChat(t testing.TB) *WeChat {
	s := &WeChat{}
	s.start(t, s.take)
	return s
}

// Messages are those that were taken.
func (s *WeChat) Messages() []WeChatMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Forget makes the token that was given out last invalid.
func (s *WeChat) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = false
}

// Tokens is how many tokens were given out.
func (s *WeChat) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

func (s *WeChat) token() string { return "accesstoken" + strconv.Itoa(s.tokens) }

func (s *WeChat) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(code int, message string) string {
		replyJSON(w, http.StatusOK, map[string]any{"errcode": code, "errmsg": message})
		return message
	}
	q := r.URL.Query()
	switch r.Method + " " + r.URL.Path {
	case "GET /cgi-bin/gettoken":
		if q.Get("corpid") != WeChatCorp || q.Get("corpsecret") != WeChatSecret {
			return refuse(40001, "invalid credential")
		}
		s.tokens++
		s.valid = true
		replyJSON(w, http.StatusOK, map[string]any{"errcode": 0, "errmsg": "ok", "access_token": s.token(), "expires_in": 7200})
		return ""
	case "POST /cgi-bin/message/send":
		if q.Get("access_token") != s.token() || !s.valid {
			return refuse(40014, "invalid access_token")
		}
	default:
		w.WriteHeader(http.StatusNotFound)
		return "no such endpoint"
	}
	var m WeChatMessage
	if wrong := readStrictly(r, body, &m); wrong != "" {
		return refuse(47001, "data format error: "+wrong)
	}
	switch {
	case m.ToUser == "" && m.ToParty == "" && m.ToTag == "":
		return refuse(40035, "invalid parameter: touser, toparty and totag are empty")
	case m.MsgType != "text" && m.MsgType != "markdown":
		return refuse(40008, "invalid message type")
	case m.Content() == "":
		return refuse(44004, "text message content is empty")
	case len(m.Content()) > 2048:
		return refuse(45002, "content size out of limit")
	}
	if _, err := strconv.Atoi(m.AgentID); err != nil {
		return refuse(40056, "invalid agentid")
	}
	s.messages = append(s.messages, m)
	replyJSON(w, http.StatusOK, map[string]any{"errcode": 0, "errmsg": "ok", "msgid": "m" + strconv.Itoa(len(s.messages))})
	return ""
}
