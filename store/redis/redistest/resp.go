package redistest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a connection that speaks RESP 2. It is for one goroutine.
type conn struct {
	net.Conn
	in *bufio.Reader
}

// errorReply is an answer such as "LOADING Redis is loading the dataset in memory".
type errorReply string

func (e errorReply) Error() string { return string(e) }

// dial connects and says who we are. Config is nil for plain connections.
func dial(addr string, config *tls.Config, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var c net.Conn
	var err error
	if config == nil {
		c, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	} else {
		c, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	r := &conn{c, bufio.NewReader(c)}
	if _, err := r.do(timeout, "AUTH", adminUser, adminPassword); err != nil {
		_ = c.Close() // err says why
		return nil, err
	}
	return r, nil
}

// do sends one command and returns its answer, arrays with one element a line.
func (c *conn) do(timeout time.Duration, args ...string) (string, error) {
	answer, err := c.list(timeout, args...)
	return strings.Join(answer, "\n"), err
}

// list sends one command and returns the elements of its answer, in one list also
// those of arrays in arrays. An answer that is no array is one element.
func (c *conn) list(timeout time.Duration, args ...string) ([]string, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if err := c.send(args...); err != nil {
		return nil, err
	}
	return c.reply()
}

// send sends one command.
func (c *conn) send(args ...string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := c.Write(b.Bytes())
	return err
}

// reply reads one answer.
func (c *conn) reply() ([]string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("redistest: an empty line is no answer")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return []string{rest}, nil
	case '-':
		return nil, errorReply(rest)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil || kind != '$' && kind != '*':
		return nil, fmt.Errorf("redistest: %q is no answer", line)
	case n < 0:
		return []string{""}, nil
	case kind == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.in, b); err != nil {
			return nil, err
		}
		return []string{string(b[:n])}, nil
	}
	var elements []string
	var failed error
	for range n {
		element, err := c.reply()
		if refused := errorReply(""); errors.As(err, &refused) {
			failed = err // of a command in a transaction; the others are still to be read
		} else if err != nil {
			return nil, err
		}
		elements = append(elements, element...)
	}
	return elements, failed
}

// scanner finds the borders between the messages of a stream in RESP 2 or 3 that
// comes in pieces.
type scanner struct {
	line []byte // the beginning of a line, without its end
	bulk int    // bytes of a bulk string still to come, with its line end
	left []int  // for each open array, innermost last, its elements still to come
	kind byte   // first byte of the message
	word []byte // first bulk string of the message, as far as it is of interest
	// words counts the bulk strings of the message.
	words int
}

// longestWord is what is kept of a message's first string: enough for each
// command's name.
const longestWord = 32

// between reports whether the stream is at the end of a message.
func (s *scanner) between() bool { return len(s.line) == 0 && s.bulk == 0 && len(s.left) == 0 }

// feed takes the next piece and calls message at the end of each message, with
// its first byte and, in upper case, its first string.
func (s *scanner) feed(piece []byte, message func(kind byte, word string)) error {
	for len(piece) > 0 {
		if s.bulk > 0 {
			n := min(s.bulk, len(piece))
			if s.words == 1 {
				// What remains after these bytes is at least the line end.
				if text := min(n, s.bulk-2, longestWord-len(s.word)); text > 0 {
					s.word = append(s.word, piece[:text]...)
				}
			}
			piece = piece[n:]
			if s.bulk -= n; s.bulk == 0 {
				s.end(message)
			}
			continue
		}
		if s.between() {
			s.kind, s.word, s.words = piece[0], s.word[:0], 0
		}
		at := bytes.IndexByte(piece, '\n')
		if at < 0 {
			s.line = append(s.line, piece...)
			return nil
		}
		line := bytes.TrimSuffix(append(s.line, piece[:at]...), []byte("\r"))
		s.line, piece = s.line[:0], piece[at+1:]
		if err := s.header(line, message); err != nil {
			return err
		}
	}
	return nil
}

// header takes a line that is a value or says how long the next one is.
func (s *scanner) header(line []byte, message func(kind byte, word string)) error {
	if len(line) == 0 {
		return fmt.Errorf("redistest: an empty line where a message should begin")
	}
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		s.end(message)
		return nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return fmt.Errorf("redistest: %.40q is no beginning of a message", line)
	}
	switch line[0] {
	case '$', '=', '!':
		if s.words++; n >= 0 {
			s.bulk = n + 2
			return nil
		}
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		if n > 0 {
			s.left = append(s.left, n)
			return nil
		}
	default:
		return fmt.Errorf("redistest: %.40q is no beginning of a message", line)
	}
	s.end(message)
	return nil
}

// end is called at the end of each value.
func (s *scanner) end(message func(kind byte, word string)) {
	for len(s.left) > 0 {
		inner := len(s.left) - 1
		if s.left[inner]--; s.left[inner] > 0 {
			return
		}
		s.left = s.left[:inner]
	}
	message(s.kind, strings.ToUpper(string(s.word)))
}
