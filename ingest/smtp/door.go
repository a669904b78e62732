package smtp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxCommand is how many bytes a client may send between two answers, outside of
	// a mail: pipelined commands, or a handshake.
	maxCommand = 64 << 10
	// overhead is what the wire may add to a mail: dots, TLS, the commands around it.
	overhead = 1 << 20
)

// door lets connections in, as many as there may be.
type door struct {
	net.Listener
	config  Config
	metrics *metrics

	mu       sync.Mutex
	open     map[*conn]struct{}
	byClient map[netip.Addr]int
	draining bool
	empty    chan struct{} // closed when the last one has gone while draining
}

func newDoor(c Config, m *metrics) *door {
	return &door{config: c, metrics: m, open: map[*conn]struct{}{}, byClient: map[netip.Addr]int{}, empty: make(chan struct{})}
}

// Accept returns the next connection that may come in. The others hear why not.
func (d *door) Accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, why := d.admit(raw)
		if c != nil {
			return c, nil
		}
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = raw.Write([]byte("421 4.3.2 " + why + ", try again later\r\n"))
		_ = raw.Close()
	}
}

func (d *door) admit(raw net.Conn) (c *conn, why string) {
	client := clientOf(raw.RemoteAddr())
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.draining:
		d.metrics.refuse(refusedDraining)
		return nil, "shutting down"
	case len(d.open) >= d.config.MaxConnections:
		d.metrics.refuse(refusedConnections)
		return nil, "too many connections"
	case client.IsValid() && d.byClient[client] >= d.config.MaxConnectionsPerClient:
		d.metrics.refuse(refusedClient)
		return nil, "too many connections of yours"
	}
	c = &conn{Conn: raw, door: d, client: client, most: maxCommand}
	d.open[c] = struct{}{}
	d.metrics.open.Inc()
	if client.IsValid() {
		d.byClient[client]++
	}
	return c, ""
}

func (d *door) leave(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.open[c]; !ok {
		return
	}
	delete(d.open, c)
	d.metrics.open.Dec()
	if d.byClient[c.client]--; d.byClient[c.client] <= 0 {
		delete(d.byClient, c.client)
	}
	if d.draining && len(d.open) == 0 {
		close(d.empty)
	}
}

// drain waits until the mails that have begun are finished.
func (d *door) drain(ctx context.Context) {
	d.mu.Lock()
	if d.draining {
		d.mu.Unlock()
		return
	}
	d.draining = true
	if len(d.open) == 0 {
		close(d.empty)
	}
	for c := range d.open {
		c.end()
	}
	d.mu.Unlock()
	select {
	case <-d.empty:
	case <-ctx.Done():
	}
}

// clientOf is the address that limits are counted for: that of an IPv6 network of
// one customer, which has 64 bits. A socket in the file system has none.
func clientOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// conn is a connection that counts what it reads, and whose time is limited
// whatever the client does.
type conn struct {
	net.Conn
	door   *door
	client netip.Addr

	mu sync.Mutex
	// read is how many bytes came since the last answer, or in this mail; most is
	// how many may.
	read, most int64
	// mail is until when the mail that has begun must be here; zero outside of one.
	mail time.Time
	// ending: the connection ends with the next answer.
	ending bool
	// broken is the first error. It stays, because what follows a mail that broke
	// off is the rest of it, and must never be read as commands.
	broken error
}

// errTooMuch ends a connection.
var errTooMuch = errors.New("smtp: the client sends too much")

func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	left, err := c.most-c.read, c.broken
	c.mu.Unlock()
	n := 0
	switch {
	case err != nil:
	case left <= 0:
		err = errTooMuch
	default:
		n, err = c.Conn.Read(b[:min(int64(len(b)), left)])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.broken = c.read+int64(n), err
	return n, err
}

// SetReadDeadline is called before each command is read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.mail.IsZero():
		if c.mail.Before(t) {
			t = c.mail
		}
	case c.ending:
		t = time.Now()
	default:
		c.read, c.most = 0, maxCommand
	}
	return c.Conn.SetReadDeadline(t)
}

// begin says that a mail of at most so many bytes comes, and how long it may take.
func (c *conn) begin(size int64, within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mail = time.Now().Add(within)
	c.read, c.most = 0, size+size/10+overhead
	_ = c.Conn.SetReadDeadline(c.mail) // the connection is gone if it fails
}

// finish says that the mail is here, or is not wanted any more. The limits hold for
// what is left of it until the next command.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mail = time.Time{}
}

// end ends the connection with the next answer, or at once if none is due.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending = true; c.mail.IsZero() {
		_ = c.Conn.SetReadDeadline(time.Now())
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.door.leave(c)
	return c.Conn.Close()
}

func (d *door) isDraining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.draining
}
