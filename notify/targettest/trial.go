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
	// Secrets must not be seen in any error.
	Secrets []string
	// Told checks that the target has heard of the incident once, and that it is open.
	Told func(t *testing.T)
}

// errorLimit is the longest text of an error, in bytes.
const errorLimit = 1000

// CheckFailures checks what a sender makes of a target that does not take its
// message: the kind of error, that the error is short and shows no secrets, and
// that the same message, sent again, is shown once.
func CheckFailures(t *testing.T, start func(t *testing.T) Trial) {
	for name, test := range map[string]struct {
		failure    Failure
		reason     string
		permanent  bool
		retryAfter time.Duration
	}{
		"429 with Retry-After": {Failure{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}, notify.ReasonRateLimited, false, 7 * time.Second},
		"500":                  {Failure{Status: http.StatusInternalServerError}, notify.ReasonServer, false, 0},
		"503":                  {Failure{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute}, notify.ReasonServer, false, time.Minute},
		"400":                  {Failure{Status: http.StatusBadRequest, Body: `{"message":"no"}`}, notify.ReasonClient, true, 0},
		"401":                  {Failure{Status: http.StatusUnauthorized}, notify.ReasonAuth, false, 0},
		"huge error":           {Failure{Status: http.StatusBadGateway, Body: strings.Repeat("x", 4<<20)}, notify.ReasonServer, false, 0},
		"garbage":              {Failure{Status: http.StatusOK, Body: "<html><title>Sign in to the network</title></html>"}, notify.ReasonOther, false, 0},
		"empty answer":         {Failure{Status: http.StatusOK}, notify.ReasonOther, false, 0},
		"dropped":              {Failure{}, notify.ReasonOther, false, 0},
		"dropped after acting": {Failure{After: true}, notify.ReasonOther, false, 0},
		"error after acting":   {Failure{After: true, Status: http.StatusBadGateway}, notify.ReasonServer, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			trial := start(t)
			trial.Server.Fail(test.failure)
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
	trial.Told(t)
}
