package slack

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// The methods of the Web API that are used,
// https://docs.slack.dev/reference/methods.
const (
	postMessage = "chat.postMessage"
	update      = "chat.update"
	history     = "conversations.history"
	replies     = "conversations.replies"
	list        = "conversations.list"
	create      = "conversations.create"
	setPurpose  = "conversations.setPurpose"
	authTest    = "auth.test"
)

var errNoURL = errors.New("slack: api_url_file holds no URL")

// api calls the Web API.
type api struct {
	client *outgoing.Client
	base   *url.URL
}

// result begins every answer of the Web API. A refusal has status 200 too.
type result struct {
	OK     bool   `json:"ok"`
	Word   string `json:"error"`
	Needed string `json:"needed"`
}

// refusal is the word that Slack says no with.
type refusal struct{ method, word, needed string }

func (r *refusal) Error() string {
	text := r.method + " answered " + r.word
	if r.needed != "" {
		text += ", it needs " + r.needed
	}
	return text
}

// word is what Slack refused a call with; empty if it is not a refusal.
func word(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.word
	}
	return ""
}

var (
	limited = []string{"ratelimited", "rate_limited", "message_limit_exceeded"}
	// denied words are about the token; somebody may mend it meanwhile.
	denied = []string{"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission", "missing_scope", "org_login_required",
		"ekm_access_denied", "access_denied", "accesslimited", "not_allowed_token_type", "team_access_not_granted", "two_factor_setup_required"}
	broken = []string{"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "update_failed"}
)

// err is the error that an answer means, nil if it means none. The words are those
// that the pages of the methods list.
func (r *result) err(client *outgoing.Client, method string, a outgoing.Answer) error {
	if r.OK {
		return nil
	}
	e := client.Refused(a, "") // for Retry-After
	e.Err = &refusal{method, notify.Cut(notify.Line(r.Word), 100), notify.Cut(notify.Line(r.Needed), 200)}
	switch {
	case slices.Contains(limited, r.Word):
		e.Reason = notify.ReasonRateLimited
	case slices.Contains(denied, r.Word):
		e.Reason = notify.ReasonAuth
	case slices.Contains(broken, r.Word):
		e.Reason = notify.ReasonServer
	case r.Word == "":
		e.Reason, e.Err = notify.ReasonOther, errors.New(method+": an answer that is not Slack's")
	default:
		e.Reason, e.Permanent = notify.ReasonClient, true
	}
	return e
}

// answer is what all the answers have that are read.
type answer interface{ common() *result }

func (r *result) common() *result { return r }

var lax = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// call does a method that changes something.
func (a *api) call(ctx context.Context, method string, body any, into answer) error {
	got, err := a.client.JSON(ctx, http.MethodPost, a.base.JoinPath(method).String(), body)
	if err != nil {
		return err
	}
	return a.read(method, got, into)
}

// get does a method that only reads.
func (a *api) get(ctx context.Context, method string, query url.Values, into answer) (outgoing.Answer, error) {
	u := a.base.JoinPath(method)
	u.RawQuery = query.Encode()
	got, err := a.client.Send(ctx, http.MethodGet, u.String(), "", nil)
	if err != nil {
		return got, err
	}
	return got, a.read(method, got, into)
}

func (a *api) read(method string, got outgoing.Answer, into answer) error {
	if err := json.Unmarshal(got.Body, into, lax); err != nil {
		return a.client.Refused(got, method+": an answer that is not Slack's")
	}
	return into.common().err(a.client, method, got)
}
