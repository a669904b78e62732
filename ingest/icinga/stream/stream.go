// Package stream reads the events of an Icinga 2 from its REST API, so that no
// notification has to be configured there, and makes up for those that came while
// it was not connected. It hands them over as they are; package icinga says what
// they mean.
//
// https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/#event-streams
package stream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/remote"
)

// Types are the events that Tocsin has a use for. Results of checks that change
// nothing are not among them: they are most of what an Icinga has to say.
var Types = []string{"StateChange", "Notification", "AcknowledgementSet", "AcknowledgementCleared", "CommentAdded", "CommentRemoved",
	"DowntimeAdded", "DowntimeRemoved", "DowntimeStarted", "DowntimeTriggered", "Flapping"}

// Options are what a Stream needs.
type Options struct {
	// URL is where the API is, such as https://icinga.example.com:5665.
	URL      string
	User     string
	Password secret.String
	// CAFile holds the certificates, as PEM, that the server's must come from;
	// empty means those of the system. Icinga's own is /var/lib/icinga2/certs/ca.crt.
	CAFile string
	// ServerName is the name in the server's certificate, if the URL has another.
	ServerName string
	// Queue is the name that Icinga gives the stream; empty means tocsin.
	Queue string
	// Types are the events to ask for; empty means Types.
	Types []string
	// Filter is an expression of Icinga's that events must fulfil. What is asked for
	// after a pause is not filtered by it: an event is not the same as an object.
	Filter string
	// Since is when this gateway was last connected, as far as it knows. What has
	// changed since is asked for at the beginning; zero means the state of everything.
	Since time.Time
	// Take makes lines durable: events, one JSON object on each. It is called with
	// the same lines again until it returns nil, and nothing more is read before.
	Take func(ctx context.Context, lines []byte) error
	// Now and After are the clock; nil means that of package time.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	// Log is required.
	Log *slog.Logger
}

const (
	// firstPause and longestPause are between two attempts to connect, or to Take.
	firstPause, longestPause = time.Second, time.Minute
	// resync is how often the state of things is asked for though the stream is
	// there: a connection can be dead without a sign.
	resync = 10 * time.Minute
	// soon is when it is asked for after something that the stream does not tell,
	// such as what has been going on in a downtime.
	soon = 10 * time.Second
	// skew is how far Icinga's clock may be behind ours.
	skew = 15 * time.Minute

	// maxLine is the longest event, and maxBatch how much is taken at a time.
	maxLine, maxBatch = 1 << 20, 256 << 10
	// answerTimeout is for all answers but the stream itself.
	answerTimeout = time.Minute
)

// Stream is a connection to one Icinga that is made again and again.
type Stream struct {
	Options
	client *http.Client
	// since is up to when everything was taken, in our clock.
	since time.Time
}

// New checks o and reads its files. It connects to nothing.
func New(o Options) (*Stream, error) {
	base, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("stream: url: %w", err)
	case base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("stream: url: %q is not like https://icinga.example.com:5665", o.URL)
	}
	client, err := remote.Client(o.CAFile, o.ServerName)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if o.Queue == "" {
		o.Queue = "tocsin"
	}
	if len(o.Types) == 0 {
		o.Types = Types
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	o.URL = base.Scheme + "://" + base.Host
	return &Stream{Options: o, client: client, since: o.Since}, nil
}

// Run reads until ctx is done, and returns its error.
func (s *Stream) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	pause, last := firstPause, ""
	for {
		began := s.Now()
		connected, err := s.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if connected {
			last = ""
		}
		if connected && s.Now().Sub(began) > longestPause {
			pause = firstPause
		}
		if err.Error() != last {
			s.Log.WarnContext(ctx, "icinga stream interrupted", "url", s.URL, "err", err)
			last = err.Error()
		}
		if err := s.sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

// sleep waits for half of d to all of it.
func (s *Stream) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-s.After(d/2 + rand.N(d/2+1)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once connects and reads until that is over; connected says that it was there
// and all that had been missed was taken.
func (s *Stream) once(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer body.Close()
	// What happens from here on waits in the stream. So nothing is missed in between.
	if err := s.catchUp(ctx); err != nil {
		return false, err
	}
	s.Log.InfoContext(ctx, "icinga stream connected", "url", s.URL)

	lines := &reader{in: bufio.NewReaderSize(body, 64<<10)}
	next, again, hurry := lines.next(), s.After(resync), false
	defer func() {
		body.Close()
		<-next // its goroutine is gone before we are
	}()
	for {
		select {
		case b := <-next:
			next = closed
			at := s.Now()
			if len(b.lines) > 0 {
				if err := s.take(ctx, b.lines); err != nil {
					return true, err
				}
			}
			if b.err != nil {
				return true, fmt.Errorf("stream: read: %w", b.err)
			}
			s.since = at
			if b.tooLong > 0 {
				s.Log.WarnContext(ctx, "icinga event left out: it is too long", "url", s.URL, "bytes", b.tooLong)
			}
			if !hurry && (b.tooLong > 0 || bytes.Contains(b.lines, []byte(`"DowntimeRemoved"`))) {
				again, hurry = s.After(soon), true
			}
			next = lines.next()
		case <-again:
			if err := s.catchUp(ctx); err != nil {
				return true, err
			}
			again, hurry = s.After(resync), false
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// take hands lines over until they are durable.
func (s *Stream) take(ctx context.Context, lines []byte) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := s.Take(ctx, lines)
		if err == nil {
			return nil
		}
		if pause == firstPause {
			s.Log.WarnContext(ctx, "icinga events wait", "url", s.URL, "err", err)
		}
		if err := s.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// open asks for the stream.
func (s *Stream) open(ctx context.Context) (io.ReadCloser, error) {
	query := url.Values{"queue": {s.Queue}, "types": s.Types}
	if s.Filter != "" {
		query.Set("filter", s.Filter)
	}
	return s.ask(ctx, http.MethodPost, "/v1/events?"+query.Encode(), nil)
}

// ask sends a request and returns the body of its answer.
func (s *Stream) ask(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	r.SetBasicAuth(s.User, s.Password.Reveal())
	r.Header.Set("Accept", "application/json")
	if method != http.MethodPost {
		// Icinga takes a query with a body this way.
		r.Header.Set("X-HTTP-Method-Override", method)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
		place, _, _ := bytes.Cut([]byte(path), []byte("?"))
		return nil, fmt.Errorf("stream: %s answered %s: %q", place, answer.Status, bytes.TrimSpace(text))
	}
	return answer.Body, nil
}

// reader reads lines, as many at a time as have already come.
type reader struct {
	in *bufio.Reader
}

// batch is what next read.
type batch struct {
	lines []byte
	// tooLong is the length of a line after them that was left out.
	tooLong int
	err     error
}

// closed is what to wait for where nothing is being read.
var closed = func() chan batch { c := make(chan batch); close(c); return c }()

// next reads in the background. It is not called again before its channel has
// given something.
func (r *reader) next() chan batch {
	done := make(chan batch, 1)
	go func() { done <- r.read() }()
	return done
}

func (r *reader) read() (b batch) {
	for {
		line, length, err := r.line()
		b.lines = append(b.lines, line...)
		if b.err = err; err != nil {
			return b
		}
		if b.tooLong = length; length > 0 {
			return b
		}
		waiting, _ := r.in.Peek(r.in.Buffered())
		if len(b.lines) >= maxBatch || bytes.IndexByte(waiting, '\n') < 0 {
			return b
		}
	}
}

// line reads up to the end of a line. One that is too long is left out; its
// length is returned. So is the beginning of one that does not end.
func (r *reader) line() (line []byte, tooLong int, err error) {
	length := 0
	for {
		part, err := r.in.ReadSlice('\n')
		length += len(part)
		if length <= maxLine {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, 0, err
		case length > maxLine:
			return nil, length, nil
		}
		return line, 0, nil
	}
}
