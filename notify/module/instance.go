package module

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"

	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// answerLimit is how much of an answer is read, in bytes on the wire: the module
// keeps all of it. Answers are not compressed, and are HTTP/1.1.
const answerLimit = 1 << 20

var (
	errAnswerTooLong = errors.New("the answer is too long")
	errLeftBehind    = errors.New("the call was left behind")
)

// notifier is what the module has for one block.
type notifier interface {
	Notify(ctx context.Context, alerts ...*amalert.Alert) (retry bool, err error)
}

// instance is a notifier of the module with its connections.
type instance struct {
	notifier     notifier
	sendResolved bool
	connect      outgoing.DialFunc

	mu     sync.Mutex
	open   map[*conn]struct{}
	killed bool
}

func newInstance(dial outgoing.DialFunc) *instance {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return &instance{connect: dial, open: map[*conn]struct{}{}}
}

// dial makes a connection that ends with the instance.
func (i *instance) dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := i.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, owner: i}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.killed {
		_ = inner.Close() // nobody uses it
		return nil, errLeftBehind
	}
	i.open[c] = struct{}{}
	return c, nil
}

// kill ends the instance's connections, now and later. A call that does not
// look at its context comes back by that.
func (i *instance) kill() {
	i.mu.Lock()
	i.killed = true
	open := i.open
	i.open = map[*conn]struct{}{}
	i.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // it is given up
	}
}

func (i *instance) dead() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.killed
}

// conn bounds the answer to each request.
type conn struct {
	net.Conn
	owner *instance
	// read counts the bytes since something was written.
	read atomic.Int64
}

func (c *conn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read.Add(int64(n)) > answerLimit {
		return 0, errAnswerTooLong
	}
	return n, err
}

func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// warnings passes on what the module warns of. What it says below that has the
// answers of tools in it.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
