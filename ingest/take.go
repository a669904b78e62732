package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// The reasons why Take takes nothing, besides ErrUnavailable and a *BodyError.
var (
	// ErrNoSource says that there is no source of the name.
	ErrNoSource = errors.New("ingest: there is no source of this name")
	// ErrTooLarge says that a body is over the limit of its source.
	ErrTooLarge = errors.New("ingest: body over its limit")
)

// Taken is what became of a request that came another way than over HTTP.
type Taken struct {
	// Outcomes counts the alerts in it by verdict.
	Outcomes map[alert.Verdict]int
	// Spooled: it is durable on this machine and will be applied later.
	Spooled bool
}

// Take takes a request of the named source as if it had come over HTTP, and
// returns when all of it is durable. It is for listeners of other protocols,
// which have checked who sends: of r only Body is needed, and ContentType if
// there is one; the body is in the format of the source. Without ReceivedAt it
// came now.
//
// After a *BodyError the body is a dead letter, and to send it again is of no
// use; after ErrUnavailable it is. ErrNoSource and ErrTooLarge keep nothing.
func (h *Handler) Take(ctx context.Context, source string, r Request) (taken Taken, err error) {
	start := time.Now()
	s := h.sources.Load().byName[source]
	if s == nil {
		return Taken{}, ErrNoSource
	}
	code := http.StatusServiceUnavailable
	defer func() {
		// unreachable: nothing is known that panics; it would end the process here.
		if p := recover(); p != nil {
			taken, err = Taken{}, fmt.Errorf("%w: panic: %v", ErrUnavailable, p)
		}
		h.observe(s.series, code, start)
	}()
	size := int64(len(r.Body))
	switch {
	case h.draining.Load():
		return Taken{}, fmt.Errorf("%w: shutting down", ErrUnavailable)
	case size > int64(s.BodyLimit):
		code = http.StatusRequestEntityTooLarge
		return Taken{}, ErrTooLarge
	case !h.budget.take(size):
		return Taken{}, fmt.Errorf("%w: too much is being received", ErrUnavailable)
	}
	defer h.budget.give(size)
	r.Source, r.Format = s.Name, s.Format.Name
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = h.now()
	}
	if s.Format.Tokens != nil {
		_, r.Body = s.Format.Tokens(r)
	}
	answer := &results{most: -1, verdicts: map[alert.Verdict]int{}}
	done, refused := h.ingest(ctx, s, r, answer)
	h.record(r, done, refused)
	if refused == nil {
		code = done
		return Taken{Outcomes: answer.verdicts, Spooled: code == http.StatusAccepted}, nil
	}
	code = refused.code
	if code == http.StatusServiceUnavailable {
		return Taken{}, fmt.Errorf("%w: %s", ErrUnavailable, refused.reason)
	}
	return Taken{}, &BodyError{Field: refused.field, Reason: refused.reason, Foreign: code == http.StatusUnsupportedMediaType}
}
