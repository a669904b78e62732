package ingest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	// firstRead is how much is reserved for a body of unknown length.
	firstRead = 16 << 10
	// firstTrust is how much is reserved at once because Content-Length says so.
	firstTrust = 1 << 20
)

// budget limits the bytes of bodies in flight in all requests together. Nobody
// waits for it: the sender is told to come back, and will.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes and reports whether they were left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// pace is how slow a body may come: a start-up time, and after that a rate.
type pace struct {
	grace time.Duration
	// rate is in bytes per second.
	rate int64
}

// allowed is how long the first n bytes of a body, and what comes next, may take.
func (p pace) allowed(n int) time.Duration {
	return p.grace + time.Duration(int64(n)*int64(time.Second)/p.rate)
}

// bodyReader reads one body into memory. The buffer grows with what has really
// come, and each step is paid for from the budget, so that a sender holds only
// what it has sent.
type bodyReader struct {
	budget  *budget
	pace    pace
	limit   int64
	paid    int64
	control *http.ResponseController
}

// errNoBudget is a reason why a body was not read, besides ErrTooLarge and those
// of net/http.
var errNoBudget = errors.New("ingest: too many bytes in flight")

// read returns the body. The caller calls release when the body, and all that
// points into it, is not used any more.
func (b *bodyReader) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > b.limit {
		return nil, ErrTooLarge
	}
	in := http.MaxBytesReader(underlying(w), r.Body, b.limit)
	want, size := b.limit+1, int64(firstRead)
	if r.ContentLength >= 0 {
		want, size = r.ContentLength, min(r.ContentLength, firstTrust)
	}
	buffer, err := b.grow(nil, min(size, want))
	if err != nil {
		return nil, err
	}
	start := time.Now() // by the connection's clock, which is not the injected one
	defer b.deadline(time.Time{})
	for {
		b.deadline(start.Add(b.pace.allowed(len(buffer))))
		var spare [1]byte // to see that a body of known length ends
		room := spare[:]
		if int64(len(buffer)) < want {
			if len(buffer) == cap(buffer) {
				if buffer, err = b.grow(buffer, min(2*int64(cap(buffer)), want)); err != nil {
					return nil, err
				}
			}
			// The deadline moves at least with each 64 KiB.
			room = buffer[len(buffer):min(cap(buffer), len(buffer)+1<<16)]
		}
		n, err := in.Read(room)
		buffer = buffer[:min(len(buffer)+n, cap(buffer))]
		var over *http.MaxBytesError
		switch {
		case err == io.EOF:
			return buffer, nil
		case errors.As(err, &over):
			return nil, ErrTooLarge
		case err != nil:
			return nil, fmt.Errorf("ingest: body: after %d bytes: %w", len(buffer), err)
		}
	}
}

// grow copies buffer into one of the given capacity.
func (b *bodyReader) grow(buffer []byte, size int64) ([]byte, error) {
	if !b.budget.take(size) {
		return nil, errNoBudget
	}
	b.paid += size
	grown := append(make([]byte, 0, size), buffer...)
	b.budget.give(int64(cap(buffer))) // the old one is garbage now
	b.paid -= int64(cap(buffer))
	return grown, nil
}

// moveTo has the body paid for from another budget, and reports whether that has
// as much left.
func (b *bodyReader) moveTo(other *budget) bool {
	if b.budget == other {
		return true
	}
	if !other.take(b.paid) {
		return false
	}
	b.budget.give(b.paid)
	b.budget = other
	return true
}

// release gives back what the body cost.
func (b *bodyReader) release() {
	b.budget.give(b.paid)
	b.paid = 0
}

// deadline sets when the next read fails. A ResponseWriter that has no
// connection has no deadlines either.
func (b *bodyReader) deadline(t time.Time) {
	_ = b.control.SetReadDeadline(t) // without one the server's own limits hold
}

// isSlow reports whether a body was given up because it came too slowly.
func isSlow(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// underlying returns net/http's own ResponseWriter, which MaxBytesReader needs to
// close the connection of a sender that sends too much.
func underlying(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}
