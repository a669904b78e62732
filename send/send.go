// Package send brings a message from a monitoring tool to a gateway: in bounded
// time, and if the gateway is away, later. It sees Tocsin from outside.
package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Message is what one invocation has to say.
type Message struct {
	// Source is the name of the source at the gateway, the end of the URL.
	Source, ContentType string
	Body                []byte
}

// Result is what became of a message.
type Result int

// The results.
const (
	// Delivered: the gateway has it.
	Delivered Result = iota
	// Spooled: it waits in the folder, and the next invocation delivers it.
	Spooled
	// Rejected: the gateway does not want it, and would not the next time.
	Rejected
	// Failed: it is neither delivered nor does it wait.
	Failed
)

// Sender delivers messages to one gateway.
type Sender struct {
	// URL is the address of the gateway.
	URL string
	// Token returns the credentials; it is asked when they are needed, so that a
	// message waits if there are none just now.
	Token func() (string, error)
	// Spool is the folder where messages wait; empty means that they do not.
	Spool string
	// Timeout is how long all of it may take.
	Timeout time.Duration
	// Warn gets what a person should know, a line at a time.
	Warn func(format string, args ...any)
}

// errRefused says that the gateway will not take a message, however often it is sent.
var errRefused = errors.New("refused")

// CheckURL says what is wrong with the address of a gateway.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("not an address such as http://127.0.0.1:9095")
	}
	return nil
}

// Send delivers what waits and then m. With a folder m is durable in it first: so
// nothing is lost if we are killed on the way.
func (s *Sender) Send(ctx context.Context, m Message) Result {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if s.Spool == "" {
		return s.direct(ctx, m)
	}
	q := queue{s.Spool}
	name, err := q.add(m, time.Now())
	if err != nil {
		s.Warn("spool %s: %v", s.Spool, err)
		s.drain(ctx, q, "") // it may make room, and what waits comes first
		return s.direct(ctx, m)
	}
	return s.drain(ctx, q, name)
}

// Flush delivers what waits, and with again what was rejected, too. It returns
// whether nothing waits any more.
func (s *Sender) Flush(ctx context.Context, again bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	q := queue{s.Spool}
	if again {
		if err := q.again(); err != nil {
			return false, err
		}
	}
	if _, _, err := q.list(); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	s.drain(ctx, q, "")
	names, _, err := q.list()
	return len(names) == 0, err
}

// drain delivers what waits, in order, and returns what became of the message with
// the name own. While another process is at it, that one delivers ours as well.
func (s *Sender) drain(ctx context.Context, q queue, own string) Result {
	lock, err := q.lock()
	if err != nil {
		if !errors.Is(err, errBusy) {
			s.Warn("spool %s: %v", q.dir, err)
		}
		return Spooled
	}
	result, more := s.deliverAll(ctx, q, own)
	if err := lock.Close(); err != nil {
		s.Warn("spool %s: %v", q.dir, err)
	}
	// A message that came since the last look found the lock held, and nobody
	// delivers it unless we look again without it.
	if names, _, err := q.list(); more && err == nil && len(names) > 0 && ctx.Err() == nil {
		s.drain(ctx, q, "")
	}
	return result
}

// deliverAll delivers until nothing waits, or until that fails: then more is false.
func (s *Sender) deliverAll(ctx context.Context, q queue, own string) (result Result, more bool) {
	result = Spooled
	for {
		names, _, err := q.list()
		if err != nil {
			s.Warn("spool %s: %v", q.dir, err)
			return result, false
		}
		if len(names) == 0 {
			if result == Spooled && own != "" {
				result = Delivered // by another process, since we added it
			}
			return result, true
		}
		if own != "" && result == Spooled && !slices.Contains(names, own) {
			result = Delivered // as above
		}
		for _, name := range names {
			r, err := s.deliver(ctx, q, name)
			if name == own {
				result = r
			}
			if err != nil {
				s.Warn("%v; %d messages wait in %s", err, len(names), q.dir)
				return result, false
			}
		}
	}
}

// deliver sends one message that waits. The error says that it still does.
func (s *Sender) deliver(ctx context.Context, q queue, name string) (Result, error) {
	m, err := q.read(name)
	if err != nil { // nobody else would get past it either
		s.Warn("%s/%s: %v; it is set aside in %s", q.dir, name, err, unread)
		return Failed, q.setAside(name, unread)
	}
	err = s.retry(ctx, m, 2)
	switch {
	case err == nil:
		return Delivered, q.remove(name)
	case errors.Is(err, errRefused):
		s.Warn("%v; the message is set aside in %s/%s", err, q.dir, rejected)
		return Rejected, q.setAside(name, rejected)
	}
	return Spooled, err
}

// direct sends a message that cannot wait.
func (s *Sender) direct(ctx context.Context, m Message) Result {
	err := s.retry(ctx, m, 0)
	switch {
	case err == nil:
		return Delivered
	case errors.Is(err, errRefused):
		s.Warn("%v", err)
		return Rejected
	}
	s.Warn("%v; the message is lost", err)
	return Failed
}

// retry sends a message, again and again while the gateway is away: as often as is
// said, or if that is 0 as long as there is time.
func (s *Sender) retry(ctx context.Context, m Message, times int) error {
	pause := 200 * time.Millisecond
	var before error
	for n := 1; ; n++ {
		err := s.post(ctx, m)
		if err != nil && before != nil && ctx.Err() != nil {
			return before // this attempt had no time: what came before says more
		}
		if err == nil || errors.Is(err, errRefused) || n == times {
			return err
		}
		if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(end) <= pause {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		pause, before = min(2*pause, 2*time.Second), err
	}
}

// client follows nobody: the token is for the gateway, and a redirected alert is lost.
var client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// post sends a message once.
func (s *Sender) post(ctx context.Context, m Message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target(m.Source), bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("the address of the gateway: %w", err)
	}
	token, err := s.Token()
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", m.ContentType)
	r.Header.Set("User-Agent", "tocsin-send")
	answer, err := client.Do(r)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // the address may hold a password
		}
		return fmt.Errorf("cannot reach the gateway: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()                  // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // also so that the connection can be used again
	if err != nil {
		text = nil // the status says enough
	}
	switch code := answer.StatusCode; {
	case code/100 == 2:
		return nil
	case code != http.StatusBadRequest && code != http.StatusRequestEntityTooLarge && code != http.StatusUnsupportedMediaType:
		// Also a wrong token or a source that is not there: somebody will mend that,
		// and then the message is as good as before.
		return fmt.Errorf("the gateway answered %s", strings.TrimSpace(fmt.Sprintf("%d %s", code, visible(text[:min(len(text), 200)]))))
	default:
		return fmt.Errorf("%w: the gateway answered %d %s", errRefused, code, visible(text))
	}
}

// visible makes a line of an answer.
func visible(b []byte) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.TrimSpace(strings.ToValidUTF8(string(b[:min(len(b), 500)]), "")))
}

// target is where the messages of a source go. People also write the URL of a
// source, of which the gateway's is the beginning.
func (s *Sender) target(source string) string {
	base, _, _ := strings.Cut(s.URL, "/ingest/")
	return strings.TrimRight(base, "/") + "/ingest/" + url.PathEscape(source)
}
