package module

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	amnotify "github.com/prometheus/alertmanager/notify"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

const (
	// errorLimit bounds the text of an error, and errorRead what is looked at for
	// secrets; in bytes.
	errorLimit = 4 << 10
	errorRead  = 2 * answerLimit
	// pause is how long a tool is left alone that has heard too much, if nothing can
	// be read of how long it asks for: the module does not pass on Retry-After.
	pause = 30 * time.Second
	// pauseLimit is the longest pause that a tool may ask for.
	pauseLimit = time.Hour
)

var (
	// statusText is how the module, and the client of Telegram, say a status.
	statusText = regexp.MustCompile(`unexpected status code (\d{3})\b`)
	telegramAt = regexp.MustCompile(`^telegram: .*\((\d{3})\)$`)
	// pauseText is how Discord and Telegram say how long to wait, in seconds:
	// https://discord.com/developers/docs/topics/rate-limits#exceeding-a-rate-limit,
	// https://core.telegram.org/bots/api#responseparameters.
	pauseText = regexp.MustCompile(`retry[ _]after"?:? *(\d+(?:\.\d+)?)`)
	// tooMuch is how SNS, with a status of 400, and WeChat, with one of 200, say it:
	// https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html,
	// https://developer.work.weixin.qq.com/document/path/90313.
	tooMuch = regexp.MustCompile(`(?i)rate exceeded|throttl|freq out of limit`)
	// wrongSecret is how WeChat's notifier says that it got no token.
	wrongSecret = regexp.MustCompile(`^invalid APISecret`)
)

// statusOf is the HTTP status that an error of the module tells of, 0 if none.
func statusOf(err error) int {
	text := err.Error()
	for _, pattern := range []*regexp.Regexp{statusText, telegramAt} {
		if found := pattern.FindStringSubmatch(text); found != nil {
			status, _ := strconv.Atoi(found[1]) // unreachable error: three digits
			return status
		}
	}
	return 0
}

// failure says what to do after an error of the module's notifier. Whether it
// says so itself is not asked: most of them take 429 for final, and some a refused
// connection.
func failure(err error, hide *secrets) *notify.Error {
	e := &notify.Error{Reason: notify.ReasonOther}
	text := plainText(err)
	var timeout interface{ Timeout() bool }
	switch status := statusOf(err); {
	case errors.Is(err, outgoing.ErrDenied):
		e.Reason, e.Permanent = notify.ReasonClient, true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, errStray),
		errors.As(err, &timeout) && timeout.Timeout():
		e.Reason = notify.ReasonTimeout
	case status == http.StatusTooManyRequests, status/100 != 5 && tooMuch.MatchString(text):
		e.Reason, e.RetryAfter = notify.ReasonRateLimited, pauseOf(text)
	case status != 0:
		e.Reason, e.Permanent = reasonOf(status, strings.HasPrefix(text, "telegram:"))
	case wrongSecret.MatchString(text):
		e.Reason = notify.ReasonAuth
	default:
		e.Reason = typedReason(err)
	}
	e.Err = errors.New(notify.Cut(hide.in(text), errorLimit))
	return e
}

// plainText is what an error says, without the URL of the request.
func plainText(err error) string {
	var u *url.Error
	var typed *amnotify.ErrorWithReason
	if !errors.As(err, &typed) && errors.As(err, &u) {
		return notify.Cut(u.Err.Error(), errorRead)
	}
	return notify.Cut(err.Error(), errorRead)
}

// reasonOf says what a status means, and whether the same message will never be
// taken.
func reasonOf(status int, telegram bool) (reason string, permanent bool) {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired,
		status == http.StatusNotFound && telegram: // its token is a part of the path
		return notify.ReasonAuth, false // somebody may mend the credentials meanwhile
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusConflict:
		return notify.ReasonServer, false
	}
	return notify.ReasonClient, true
}

// typedReason is the reason that the module itself gives to an error without a
// status.
func typedReason(err error) string {
	var typed *amnotify.ErrorWithReason
	if errors.As(err, &typed) {
		switch typed.Reason {
		case amnotify.AuthErrorReason:
			return notify.ReasonAuth
		case amnotify.RateLimitedReason:
			return notify.ReasonRateLimited
		case amnotify.ServerErrorReason:
			return notify.ReasonServer
		}
	}
	return notify.ReasonOther
}

func pauseOf(text string) time.Duration {
	found := pauseText.FindStringSubmatch(text)
	if found == nil {
		return pause
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	if err != nil || seconds <= 0 {
		return pause
	}
	return time.Duration(min(seconds, pauseLimit.Seconds()) * float64(time.Second))
}
