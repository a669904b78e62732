package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// redisConn asks one Redis about itself and removes keys. It speaks just enough
// of the protocol (RESP 2) for that; the load itself reaches Redis only through
// the gateways. All that it says may be said twice. One goroutine owns it.
type redisConn struct {
	addr, username, password string
	database                 string // empty: the first one
	c                        net.Conn
	r                        *bufio.Reader
}

// redisError is an answer of Redis that is an error.
type redisError string

// Error implements error.
func (e redisError) Error() string { return string(e) }

// redisTimeout is how long one answer may take.
const redisTimeout = 10 * time.Second

// newRedisConn takes what it needs from a checked URL; it connects when it is first asked.
func newRedisConn(u *url.URL) *redisConn {
	c := &redisConn{addr: u.Host, database: strings.Trim(u.Path, "/"), username: u.User.Username()}
	if u.Port() == "" {
		c.addr = net.JoinHostPort(u.Hostname(), "6379")
	}
	c.password, _ = u.User.Password()
	return c
}

// do sends one command. An answer is a string, an int64, a []any of answers, or nil.
func (c *redisConn) do(ctx context.Context, args ...string) (answer any, err error) {
	reused := c.c != nil
	answer, err = c.try(ctx, args)
	if _, said := errors.AsType[redisError](err); err != nil && !said && reused && ctx.Err() == nil {
		answer, err = c.try(ctx, args) // Redis may close a connection that has been idle
	}
	if err != nil {
		return nil, fmt.Errorf("bench: redis %s: %s: %w", c.addr, args[0], err)
	}
	return answer, nil
}

func (c *redisConn) try(ctx context.Context, args []string) (answer any, err error) {
	if c.c == nil {
		if err := c.connect(ctx); err != nil {
			c.close()
			return nil, err
		}
	}
	answer, err = c.exchange(args)
	if _, said := errors.AsType[redisError](err); err != nil && !said {
		c.close()
	}
	return answer, err
}

func (c *redisConn) connect(ctx context.Context) (err error) {
	d := net.Dialer{Timeout: redisTimeout}
	if c.c, err = d.DialContext(ctx, "tcp", c.addr); err != nil {
		return err
	}
	c.r = bufio.NewReader(c.c)
	if c.password != "" {
		auth := []string{"AUTH", c.password}
		if c.username != "" {
			auth = []string{"AUTH", c.username, c.password}
		}
		if _, err := c.exchange(auth); err != nil {
			return err
		}
	}
	if c.database != "" {
		_, err = c.exchange([]string{"SELECT", c.database})
	}
	return err
}

func (c *redisConn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}

func (c *redisConn) exchange(args []string) (any, error) {
	if err := c.c.SetDeadline(time.Now().Add(redisTimeout)); err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.c.Write(b); err != nil {
		return nil, err
	}
	return c.answer()
}

// maxRedisAnswer bounds a string or a list that Redis announces.
const maxRedisAnswer = 16 << 20

func (c *redisConn) answer() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty line is no answer of Redis")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, redisError(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil || !strings.ContainsRune(":$*", rune(kind)) || kind != ':' && n > maxRedisAnswer:
		return nil, fmt.Errorf("%.40q is no answer of Redis", line)
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(c.r, b)
		return string(b[:n]), err
	}
	var all []any
	for range n {
		a, err := c.answer()
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}
