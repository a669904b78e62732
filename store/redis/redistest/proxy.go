package redistest

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and one server and lets their connections break
// or stall. It reads RESP, not TLS. All methods may be called by any goroutine.
type Proxy struct {
	// Addr is where it listens, 127.0.0.1:port.
	Addr string

	t      testing.TB
	target string
	listen net.Listener
	// stopped ends what still dials when the test ends.
	stopped context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]bool // guarded by mu
	drops    int            // replies still to be swallowed; guarded by mu
	dropOnly []string       // commands whose replies are; guarded by mu
	delay    time.Duration  // of each reply; guarded by mu
	// released is open while replies are held back; guarded by mu, nil at other times.
	released chan struct{}
	trips    int64 // guarded by mu
}

// link is a client's connection and the one to the server that belongs to it. What
// the proxy's mu does not guard belongs to all, and is set once.
type link struct {
	client, server *net.TCPConn
	// replies are on their way to the client.
	replies chan reply
	// closed is closed when both connections are.
	closed chan struct{}
	once   sync.Once

	sent    scanner  // what the client sends; guarded by mu
	heard   scanner  // what the server answers; guarded by mu
	waiting []string // commands that are not answered, oldest first; guarded by mu
	// theirs says that the client has got all answers and nothing was sent
	// since, so that what comes begins a round trip; guarded by mu.
	theirs bool
	// counted says that this round trip is; guarded by mu.
	counted bool
	// dropping says that the client hears nothing any more; guarded by mu.
	dropping bool
}

// reply is a piece of what the server answers.
type reply struct {
	at    time.Time // when the client may get it, without Hold
	bytes []byte
	// last says that nothing was unanswered after it.
	last bool
}

// NewProxy starts a proxy to target, the Addr of a server or of another proxy,
// that ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), t: t, target: target, listen: l, links: map[*link]bool{}}
	p.stopped, p.stop = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.stop()
		_ = l.Close() // it was open
		p.Reset()
		p.running.Wait()
	})
	return p
}

// URL is redis://127.0.0.1:port.
func (p *Proxy) URL() string { return "redis://" + p.Addr }

// Reset breaks all connections, towards both sides, so that each gets an error
// at once (RST). What the server was told before, it does. New connections work.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// DropReplies makes the client not hear the next n times that the server answers:
// the server executes all of the pipeline, or the one command, then the
// connection is reset. Only answers to these commands count ("EVALSHA"), on whichever
// connection they come; without commands, to all but those with which a client
// opens its connection (see handshake). 0 ends it.
func (p *Proxy) DropReplies(n int, commands ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops, p.dropOnly = n, commands
}

// Dropped reports whether all replies that DropReplies was to swallow were.
func (p *Proxy) Dropped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops == 0
}

// Delay lets each reply from now on arrive d later. It adds to the time of an
// answer, not to the time between two.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Hold keeps all replies back until Release; the server goes on getting and
// doing what clients send.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released == nil {
		p.released = make(chan struct{})
	}
}

// Release delivers what Hold has kept back. It does nothing without Hold.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released != nil {
		close(p.released)
		p.released = nil
	}
}

// RoundTrips counts how often clients have sent something and then waited for the
// answer: a pipeline is one, however long. What opens a connection is not counted
// (see handshake). Several goroutines on one connection count less than they
// would alone.
func (p *Proxy) RoundTrips() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

// handshake are commands that say who the client is and what it wants, as each new
// connection of a pool sends them.
var handshake = []string{"AUTH", "CLIENT", "COMMAND", "HELLO", "READONLY", "SELECT"}

func (p *Proxy) accept() {
	for {
		c, err := p.listen.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.t.Errorf("redistest: proxy: %v", err)
			}
			return
		}
		p.running.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

// serve connects one client with the server until one of them goes.
func (p *Proxy) serve(client *net.TCPConn) {
	ctx, cancel := context.WithTimeout(p.stopped, patience)
	defer cancel()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		hang(client) // as if we were the server
		return
	}
	l := &link{client: client, server: server.(*net.TCPConn), replies: make(chan reply, 1024), closed: make(chan struct{}), theirs: true}
	p.mu.Lock()
	p.links[l] = true
	if p.stopped.Err() != nil {
		l.reset() // Reset did not see it
	}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.requests(l) })
	pumps.Go(func() { p.answers(l) })
	pumps.Go(func() { p.deliver(l) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// hang ends a connection with RST: unlike a FIN it says that what was sent
// may not have been read.
func hang(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails only if it is closed
	_ = c.Close()
}

// reset breaks the link.
func (l *link) reset() {
	l.once.Do(func() {
		hang(l.client)
		hang(l.server)
		close(l.closed)
	})
}

// end closes the link in order.
func (l *link) end() {
	l.once.Do(func() {
		_ = l.client.Close() // one of them has gone, and
		_ = l.server.Close() // the other hears nothing else of it
		close(l.closed)
	})
}

// over ends the link as the side ended it from which err was read.
func (l *link) over(err error) {
	if errors.Is(err, io.EOF) {
		l.end()
	} else {
		l.reset()
	}
}

// pieceSize is what is read at once; more than clients write at once.
const pieceSize = 64 << 10

// requests carries what the client sends.
func (p *Proxy) requests(l *link) {
	buffer := make([]byte, pieceSize)
	for {
		n, err := l.client.Read(buffer)
		if n > 0 {
			if err := p.request(l, buffer[:n]); err != nil {
				p.t.Errorf("redistest: proxy to %s: a client: %v", p.target, err)
				l.reset()
				return
			}
			if _, err := l.server.Write(buffer[:n]); err != nil {
				return // the other pump reads what the server has still said
			}
		}
		if err != nil {
			l.over(err)
			return
		}
	}
}

// request takes note of what the client sends.
func (p *Proxy) request(l *link, piece []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	// In the middle of a command it is the rest of a pipeline as well, even if the
	// server has answered what came before.
	if l.theirs && l.sent.between() {
		l.counted = false
	}
	l.theirs = false
	return l.sent.feed(piece, func(_ byte, command string) {
		l.waiting = append(l.waiting, command)
		if !l.counted && !slices.Contains(handshake, command) {
			l.counted = true
			p.trips++
		}
	})
}

// answers reads what the server says.
func (p *Proxy) answers(l *link) {
	defer close(l.replies)
	buffer := make([]byte, pieceSize)
	for {
		n, err := l.server.Read(buffer)
		if n > 0 && !p.pass(l, buffer[:n]) {
			l.reset()
			return
		}
		if errors.Is(err, io.EOF) {
			return // the client gets what is on its way
		}
		if err != nil {
			l.reset()
			return
		}
	}
}

// pass sends a piece of an answer on its way; false says that the link is over.
func (p *Proxy) pass(l *link, piece []byte) bool {
	p.mu.Lock()
	if !l.dropping && p.drops > 0 && slices.ContainsFunc(l.waiting, p.drop) {
		l.dropping = true
		p.drops--
	}
	err := l.heard.feed(piece, func(kind byte, _ string) {
		// A push is no answer, and a published message may look like one.
		if kind != '>' && len(l.waiting) > 0 {
			l.waiting = l.waiting[1:]
		}
	})
	answered := len(l.waiting) == 0
	dropping, all := l.dropping, answered && l.sent.between()
	r := reply{time.Now().Add(p.delay), slices.Clone(piece), answered}
	p.mu.Unlock()
	switch {
	case err != nil:
		p.t.Errorf("redistest: proxy to %s: the server: %v", p.target, err)
		return false
	case dropping:
		return !all // what the client has sent is to be executed, all of it
	}
	select {
	case l.replies <- r:
		return true
	case <-l.closed:
		return false
	}
}

// drop reports whether the reply to the command is to be swallowed; p.mu is held.
func (p *Proxy) drop(command string) bool {
	if len(p.dropOnly) > 0 {
		return slices.Contains(p.dropOnly, command)
	}
	return !slices.Contains(handshake, command)
}

// deliver gives the client what the server answered, when it is time.
func (p *Proxy) deliver(l *link) {
	defer l.end()
	for r := range l.replies {
		if wait := time.Until(r.at); wait > 0 {
			select {
			case <-time.After(wait):
			case <-l.closed:
				return
			}
		}
		p.mu.Lock()
		released := p.released
		p.mu.Unlock()
		if released != nil {
			select {
			case <-released:
			case <-l.closed:
				return
			}
		}
		// Before the client has it, because it may go on at once. What has
		// arrived already is the rest of a pipeline too long for one piece.
		if r.last && !unread(l.client) {
			p.mu.Lock()
			l.theirs = true
			p.mu.Unlock()
		}
		if _, err := l.client.Write(r.bytes); err != nil {
			return
		}
	}
}
