package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerTimeout is how long one request may take before it counts as an error.
const answerTimeout = 30 * time.Second

// conn is one keep-alive connection that sends ready-made requests and takes
// the status of each answer. It does so little because it runs on the same
// cores as the server that it measures. One goroutine owns it.
type conn struct {
	addr string
	c    net.Conn
	r    *bufio.Reader
}

// appendRequest appends a POST of body to b.
func appendRequest(b []byte, addr, path, token string, body []byte) []byte {
	b = append(b, "POST "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nUser-Agent: tocsin-bench\r\nContent-Type: application/json\r\n"...)
	if token != "" {
		b = append(b, "Authorization: Bearer "+token+"\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// post sends request and returns the status of the answer. After an error the
// next post opens a new connection; nothing is ever sent twice.
func (c *conn) post(ctx context.Context, request []byte) (status int, err error) {
	if c.c == nil {
		d := net.Dialer{Timeout: answerTimeout}
		if c.c, err = d.DialContext(ctx, "tcp", c.addr); err != nil {
			return 0, err
		}
		c.r = bufio.NewReaderSize(c.c, 16<<10)
	}
	status, closing, err := c.exchange(request)
	if err != nil || closing {
		c.close()
	}
	return status, err
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}

func (c *conn) exchange(request []byte) (status int, closing bool, err error) {
	if err := c.c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, true, err
	}
	if _, err := c.c.Write(request); err != nil {
		return 0, true, err
	}
	line, err := c.line()
	if err != nil {
		return 0, true, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, true, fmt.Errorf("bench: %q is not a status line", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, true, fmt.Errorf("bench: %q is not a status line", line)
	}
	length, chunked, closing, err := c.header()
	if err == nil {
		err = c.discard(status, length, chunked)
	}
	return status, closing || (length < 0 && !chunked), err
}

// header reads up to the empty line. Length is -1 if none is stated.
func (c *conn) header() (length int, chunked, closing bool, err error) {
	length = -1
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return length, chunked, closing, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return length, chunked, closing, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			closing = bytes.EqualFold(value, []byte("close"))
		}
	}
}

func (c *conn) discard(status, length int, chunked bool) error {
	switch {
	case status == 204 || status == 304:
		return nil
	case chunked:
		return c.discardChunks()
	case length >= 0:
		_, err := c.r.Discard(length)
		return err
	}
	_, err := io.Copy(io.Discard, c.r)
	return err
}

func (c *conn) discardChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return fmt.Errorf("bench: chunk size %q: %w", line, err)
		}
		if _, err := c.r.Discard(int(n) + len("\r\n")); err != nil || n == 0 {
			return err
		}
	}
}

// line returns the next line without its end; it is valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
