package targettest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

// Trial is a sender and the server that it sends to.
type Trial struct {
	Server *Server
	Sender notify.Sender
	// Secrets, which the server repeats in its errors, must not be seen in those of
	// the sender.
	Secrets []string
	// Told checks that the target has heard of the incident once, and that it is
	// open. It is nil for a target that shows twice what it is told twice.
	Told func(t *testing.T)
	// AnyAnswer: the sender takes a status of success for one, whatever else is answered.
	AnyAnswer bool
}

// errorLimit is the longest text of an error, in bytes.
const errorLimit = 1000

// CheckFailures checks what a sender makes of a target that does not take its
// message: the kind of error, that the error is short and shows no secrets, and
// that the same message, sent again, is shown once. Start returns a fresh server
// and a sender of one request to it.
func CheckFailures(t *testing.T, start func(t *testing.T) Trial) {
	for name, test := range map[string]struct {
		failure    Failure // without a Body it repeats the secrets
		reason     string
		permanent  bool
		retryAfter time.Duration
		// successful: the status is that of success, but the answer is not the tool's.
		successful bool
	}{
		"429 with Retry-After": {failure: Failure{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}, reason: notify.ReasonRateLimited, retryAfter: 7 * time.Second},
		"500":                  {failure: Failure{Status: http.StatusInternalServerError}, reason: notify.ReasonServer},
		"503":                  {failure: Failure{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute}, reason: notify.ReasonServer, retryAfter: time.Minute},
		"400":                  {failure: Failure{Status: http.StatusBadRequest}, reason: notify.ReasonClient, permanent: true},
		"400 with JSON":        {failure: Failure{Status: http.StatusBadRequest, Body: `{"message":"no"}`}, reason: notify.ReasonClient, permanent: true},
		"401":                  {failure: Failure{Status: http.StatusUnauthorized}, reason: notify.ReasonAuth},
		"redirect":             {failure: Failure{Status: http.StatusFound}, reason: notify.ReasonClient, permanent: true},
		"huge error":           {failure: Failure{Status: http.StatusBadGateway, Body: strings.Repeat("x", 4<<20)}, reason: notify.ReasonServer},
		"garbage":              {failure: Failure{Status: http.StatusOK, Body: "<html><title>Sign in to the network</title></html>"}, reason: notify.ReasonOther, successful: true},
		"empty answer":         {failure: Failure{Status: http.StatusOK}, reason: notify.ReasonOther, successful: true},
		"dropped":              {failure: Failure{}, reason: notify.ReasonOther},
		"dropped after acting": {failure: Failure{After: true}, reason: notify.ReasonOther},
		"error after acting":   {failure: Failure{After: true, Status: http.StatusBadGateway}, reason: notify.ReasonServer},
	} {
		t.Run(name, func(t *testing.T) {
			trial := start(t)
			if test.successful && trial.AnyAnswer {
				t.Skip("any answer will do")
			}
			f := test.failure
			if f.Body == "" && !test.successful {
				f.Body = "you said " + strings.Join(trial.Secrets, " and ")
			}
			trial.Server.Fail(f)
			e := trial.refused(t, t.Context())
			if e.Reason != test.reason || e.Permanent != test.permanent || e.RetryAfter != test.retryAfter {
				t.Errorf("got reason %s, permanent %t, retry after %s (%v), want %s, %t, %s", e.Reason, e.Permanent, e.RetryAfter, e, test.reason, test.permanent, test.retryAfter)
			}
			trial.again(t)
		})
	}
	t.Run("the answer tells secrets", func(t *testing.T) {
		trial := start(t)
		trial.Server.Fail(Failure{Status: http.StatusForbidden, Body: "no such key: " + strings.Join(trial.Secrets, " ")})
		trial.refused(t, t.Context())
		trial.again(t)
	})
	t.Run("hangs", func(t *testing.T) {
		trial := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		trial.Server.Fail(Failure{Hang: true, Arrived: cancel})
		if e := trial.refused(t, ctx); e.Reason != notify.ReasonTimeout || e.Permanent {
			t.Errorf("got reason %s, permanent %t, want %s", e.Reason, e.Permanent, notify.ReasonTimeout)
		}
		trial.again(t)
	})
	t.Run("nobody listens", func(t *testing.T) {
		trial := start(t)
		trial.Server.Close()
		if e := trial.refused(t, t.Context()); e.Reason != notify.ReasonOther || e.Permanent {
			t.Errorf("got reason %s, permanent %t, want %s", e.Reason, e.Permanent, notify.ReasonOther)
		}
	})
}

// refused sends a message, which has to fail in a decent way.
func (trial Trial) refused(t *testing.T, ctx context.Context) *notify.Error {
	t.Helper()
	_, err := trial.Sender.Send(ctx, Message(notify.Opened))
	var e *notify.Error
	if !errors.As(err, &e) {
		t.Fatalf("Send() = %v, want a *notify.Error", err)
	}
	if len(e.Error()) > errorLimit {
		t.Errorf("the error has %d bytes: %.100s", len(e.Error()), e.Error())
	}
	for _, s := range trial.Secrets {
		if strings.Contains(e.Error(), s) {
			t.Errorf("the error shows %q: %s", s, e.Error())
		}
	}
	return e
}

// again sends what failed once more.
func (trial Trial) again(t *testing.T) {
	t.Helper()
	if _, err := trial.Sender.Send(t.Context(), Message(notify.Opened)); err != nil {
		t.Fatalf("the second attempt: %v", err)
	}
	if trial.Told != nil {
		trial.Told(t)
	}
}
