package notify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The reasons why a target was not told. They are values of a metric's label.
const (
	ReasonAuth        = "authError"
	ReasonRateLimited = "rateLimited"
	ReasonClient      = "clientError"
	ReasonServer      = "serverError"
	ReasonTimeout     = "contextDeadlineExceeded"
	ReasonOther       = "other"
)

// Reasons lists them.
func Reasons() []string {
	return []string{ReasonAuth, ReasonRateLimited, ReasonClient, ReasonServer, ReasonTimeout, ReasonOther}
}

// Error says that a target was not told. Its text holds no secrets.
type Error struct {
	Reason string
	// Permanent: the same message will never be taken.
	Permanent bool
	// RetryAfter is how long the target asked to be left alone; 0 if it did not.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent is the error for a message that will never be taken.
func Permanent(format string, args ...any) *Error {
	return &Error{Reason: ReasonClient, Permanent: true, Err: fmt.Errorf(format, args...)}
}

// asError makes an *Error of what a sender returned.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Reason: ReasonTimeout, Err: err}
	}
	return &Error{Reason: ReasonOther, Err: err}
}

func decimal(n int) string { return strconv.Itoa(n) }
