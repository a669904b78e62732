// Package ingest lets alerts in: it knows what senders write and makes alerts of
// it (formats), and it is the HTTP side of that (Handler): who may send, how
// much, and what each answer promises. What becomes of an alert is decided
// behind Sink; nothing is stored or judged here.
package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// ErrUnavailable says that a Sink can take nothing now, and that it is no matter
// of what it was given.
var ErrUnavailable = errors.New("ingest: the sink is unavailable")

// Sink is where alerts go.
type Sink interface {
	// Accept returns what became of each alert, in their order, and only when
	// that is durable. After an error nothing may be said to be durable: the
	// sender is told to send everything again, so alerts that were taken in spite
	// of it must be duplicates then. At most BatchSize alerts come at a time, the
	// batches of one request one after the other. Alerts share memory with the
	// request; what is kept after the return is to be cloned. ErrUnavailable says
	// that the same alerts will be taken later.
	Accept(ctx context.Context, source string, alerts []alert.Alert) ([]alert.Outcome, error)
	// DeadLetter keeps what could not be understood, and returns when that is
	// durable. The same letter may come often; it is one, with a count. Its error
	// may be ErrUnavailable too.
	DeadLetter(ctx context.Context, d DeadLetter) error
}

// Spool keeps requests on this machine while the Sink is unavailable, and hands
// them to Handler.Replay when it is back.
type Spool interface {
	// Append returns when the request is durable.
	Append(ctx context.Context, r Request) error
	// Holds reports whether requests of the source wait: later ones wait behind them.
	Holds(source string) bool
	// SetAside keeps a request for people that will never be taken, and returns
	// where when that is durable. The same request is kept once.
	SetAside(r Request) (path string, err error)
}

// Recorder keeps requests for people to look at.
type Recorder interface {
	// Record is given requests with the code of their answer. It must not wait for
	// anything, and is safe for concurrent use.
	Record(r Request, code int)
}

// TokenChecker knows the tokens that were issued for sources, besides the
// credentials in the configuration.
type TokenChecker interface {
	// SourceToken reports whether token is valid for source. It compares in
	// constant time and is safe for concurrent use.
	SourceToken(ctx context.Context, source, token string) bool
}

// MaxDeadLetter is how much of a body a dead letter keeps, in bytes.
const MaxDeadLetter = 1 << 20

// DeadLetter is a request, or a part of one, that could not be understood. It
// holds no header but the content type, and no query: credentials are there.
type DeadLetter struct {
	// ID is the same for the same mistake in the same body from the same source.
	ID             string
	Source, Format string
	ReceivedAt     time.Time
	// Reason is a sentence for people that starts with Field, which may be empty.
	Reason, Field string
	Method, Path  string
	ContentType   string
	// Body can be sent again as it is: single alerts are framed as their format
	// does. It shares memory with the request.
	Body []byte
	// Cut: the body was longer than MaxDeadLetter.
	Cut bool
	// Elements is how many alerts of the body were rejected; 0 means the whole body.
	Elements int
}

// seal sets the letter's id, and cuts its body.
func (d *DeadLetter) seal() {
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(d.Source), []byte(d.Field), d.Body} {
		var length [8]byte // keeps the parts apart
		for i := range length {
			length[i] = byte(len(part) >> (8 * i))
		}
		sum.Write(length[:])
		sum.Write(part)
	}
	d.ID = hex.EncodeToString(sum.Sum(nil)[:16])
	if len(d.Body) > MaxDeadLetter {
		d.Body, d.Cut = d.Body[:MaxDeadLetter], true
	}
}
