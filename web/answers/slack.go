package answers

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// The requests of Slack and their signature:
// https://docs.slack.dev/interactivity/handling-user-interaction
// https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
// https://docs.slack.dev/authentication/verifying-requests-from-slack
const (
	headerSlackTime      = "X-Slack-Request-Timestamp"
	headerSlackSignature = "X-Slack-Signature"
)

// The action ids of our buttons. Their value is a notify.Key.
const (
	SlackAcknowledge = "tocsin_acknowledge"
	SlackResolve     = "tocsin_resolve"
)

const (
	// slackSkew is how far the time of a request may be from ours.
	slackSkew = 5 * time.Minute
	// replyTime is how long telling a person why nothing happened may take; with
	// what was done before it Slack has its answer in time.
	replyTime = time.Second
)

// slackPayload is what we read of an interaction.
type slackPayload struct {
	Type string `json:"type"`
	User struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
	} `json:"user"`
	Actions []struct {
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
		ActionTS string `json:"action_ts"`
	} `json:"actions"`
	ResponseURL string `json:"response_url"`
}

// slack answers POST /hooks/slack.
func (h *Handler) slack(c *gin.Context, r *request) (Answer, error) {
	if len(r.config.Slack.SigningSecrets) == 0 {
		return Answer{}, off("slack")
	}
	if !slackSigned(r.config.Slack.SigningSecrets, r.Header, r.body, h.options.Now()) {
		return Answer{}, h.refuse(c, headerSlackSignature+": not signed with a signing secret of the configuration within the last five minutes")
	}
	if bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("{")) {
		return slackVerification(c, r.body)
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return Answer{}, invalid("body", "not a form")
	}
	if form.Get("ssl_check") == "1" { // only whether we are there
		nothing(c)
		return ignored("ssl_check"), nil
	}
	var p slackPayload
	if !form.Has("payload") {
		return Answer{}, invalid("payload", "missing")
	}
	if err := decode([]byte(form.Get("payload")), &p); err != nil {
		return Answer{}, err
	}
	a, err := h.slackActions(r, &p)
	if err == nil {
		nothing(c)
	}
	return a, err
}

// nothing is what Slack wants to hear: it would show what there is to people.
func nothing(c *gin.Context) {
	c.Data(http.StatusOK, "text/plain; charset=utf-8", nil)
}

// slackVerification answers the question whether the address is ours.
// https://docs.slack.dev/reference/events/url_verification
func slackVerification(c *gin.Context, body []byte) (Answer, error) {
	var v struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if err := decode(body, &v); err != nil {
		return Answer{}, err
	}
	if v.Type != "url_verification" {
		return ignored(v.Type), nil
	}
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(v.Challenge))
	return ignored(v.Type), nil
}

// slackActions does what the buttons say that were pressed.
func (h *Handler) slackActions(r *request, p *slackPayload) (Answer, error) {
	if p.Type != "block_actions" {
		return ignored("an interaction of another kind"), nil
	}
	a := ignored("not a button of Tocsin")
	for n, action := range p.Actions {
		s := said{id: r.id + " " + strconv.Itoa(n), by: person("Slack", p.User.Name, p.User.Username, p.User.ID), where: "slack button"}
		switch action.ActionID {
		case SlackAcknowledge:
			s.do = acknowledge
		case SlackResolve:
			s.do = resolve
		default:
			continue
		}
		if !s.about(action.Value) {
			return a, invalid("payload.actions."+strconv.Itoa(n)+".value", "not the key of an incident")
		}
		var err error
		if a, err = h.act(r.ctx, s); err != nil {
			return a, err
		}
		if a.Note != "" {
			h.slackReply(r.ctx, p.ResponseURL, a)
		}
	}
	return a, nil
}

// slackReply tells the person who pressed a button, and nobody else, why nothing
// happened. If that fails they see that the message has not changed.
// https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
func (h *Handler) slackReply(ctx context.Context, to string, a Answer) {
	if h.options.Client == nil || !isSlack(to) {
		return
	}
	text := "Nothing was done: " + a.Note
	if a.Incident != "" {
		text = a.Incident + ": nothing was done: " + a.Note
	}
	body, err := json.Marshal(map[string]any{"response_type": "ephemeral", "replace_original": false, "text": text})
	if err != nil {
		return // unreachable: it always encodes
	}
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return // not an address after all
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := h.options.Client.Do(request)
	if err != nil {
		h.log.DebugContext(ctx, "no reply to slack", "incident", a.Incident) // without the address, which is a secret
		return
	}
	_ = answer.Body.Close() // what it says does not matter
}

// isSlack reports whether an address is one of Slack's. It comes signed, but a
// secret that leaks must not make us a proxy into the network around us.
func isSlack(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return strings.HasSuffix(host, ".slack.com") || strings.HasSuffix(host, ".slack-gov.com")
}

// slackSigned verifies a signature of version v0.
func slackSigned(secrets []secret.String, header http.Header, body []byte, now time.Time) bool {
	text := header.Get(headerSlackTime)
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > slackSkew {
		return false
	}
	given, ok := strings.CutPrefix(header.Get(headerSlackSignature), "v0=")
	return ok && signed(secrets, given, []byte("v0:"+text+":"), body)
}

// signed reports whether given is the hexadecimal HMAC-SHA256 of the parts under one
// of the secrets. All are tried, each in constant time.
func signed(secrets []secret.String, given string, parts ...[]byte) bool {
	mac, err := hex.DecodeString(given)
	if err != nil || len(mac) != sha256.Size {
		return false
	}
	good := false
	for _, s := range secrets {
		h := hmac.New(sha256.New, []byte(s.Reveal()))
		for _, part := range parts {
			_, _ = h.Write(part) // a hash takes everything
		}
		good = hmac.Equal(h.Sum(nil), mac) || good
	}
	return good
}

// NewClient returns a client for replies to Slack. It follows no redirects.
func NewClient() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: replyTime}
	return &http.Client{Transport: transport, Timeout: replyTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
