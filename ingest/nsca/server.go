package nsca

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
)

// ivSize is how much a server sends for an IV.
const ivSize = 128

// most is how many results that have come are handed over at a time.
const most = 100

// Taker takes a request of a source, and returns when it is durable. It is what
// the Handler of package ingest does, which spools if the store is away.
type Taker interface {
	Take(ctx context.Context, source string, r ingest.Request) (ingest.Taken, error)
}

// Server takes results from send_nsca. The protocol has no answer: a client has
// gone before anybody could tell it that something went wrong. So a result that
// is not taken at once is tried again for a while, and then given to Lost.
type Server struct {
	// Source is the name of the source that results belong to.
	Source string
	// Method and Password are those of the clients' send_nsca.cfg.
	Method   int
	Password secret.String
	Taker    Taker
	// Lost gets what was not taken, and why; nil logs it. What could not be
	// understood has a dead letter and does not come here.
	Lost func(r ingest.Request, err error)
	// MaxAge is how far the time in a packet may be off, from now or from what the
	// client was told, which it repeats; 0 means 30 s.
	MaxAge time.Duration
	// Patience is how long a packet may take to come, and for how long it is
	// tried to hand it over; 0 means 10 s.
	Patience time.Duration
	// MaxConnections is how many clients are served at a time, the others wait; 0
	// means 256.
	MaxConnections int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
	// random is where IVs come from.
	random io.Reader
}

// Serve takes connections of l until ctx ends, and closes it. Then those that have
// begun have a second for what they were sending, and it returns when that is
// taken. The error says what is wrong with the configuration, or with l.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	if s.MaxAge == 0 {
		s.MaxAge = 30 * time.Second
	}
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	if s.MaxConnections == 0 {
		s.MaxConnections = 256
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if _, err := newDecrypter(s.Method, s.Password.Reveal(), make([]byte, ivSize)); err != nil {
		return errors.Join(err, l.Close())
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // ends Accept
	defer func() { _ = l.Close() }()
	r := &running{Server: s}
	var clients sync.WaitGroup
	defer clients.Wait()
	free := make(chan struct{}, s.MaxConnections)
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // nothing was sent yet
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("nsca: accept: %w", err)
		case err != nil:
			// Such as too many open files; it passes.
			s.Log.ErrorContext(ctx, "no connection", "err", err)
			<-free
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		clients.Go(func() {
			defer func() { <-free }()
			r.serve(ctx, conn)
		})
	}
}

// running is a Server at work.
type running struct {
	Server
	// warned is when a client was last in the log, in seconds since 1970.
	warned atomic.Int64
}

// warningPause is how long after a line in the log about a client there is no
// other, in seconds: one with a wrong password comes for each result.
const warningPause = 10

// closing is how long a client that is in the middle of something is heard when
// the server stops.
const closing = time.Second

// connection is one client.
type connection struct {
	*running
	net.Conn
	in     *bufio.Reader
	cipher decrypter
	// told is the time that the client was told.
	told time.Time

	mu sync.Mutex
	// stopping: the deadline is the last one.
	stopping bool
}

// patient gives the client time for the next packet.
func (c *connection) patient() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopping {
		_ = c.SetReadDeadline(time.Now().Add(c.Patience)) // if it fails, so does the read
	}
}

// stop lets the client finish what it is in the middle of.
func (c *connection) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	_ = c.SetReadDeadline(time.Now().Add(closing)) // as above
}

func (s *running) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var hello [ivSize + 4]byte
	_, _ = io.ReadFull(s.random, hello[:ivSize]) // it never fails
	now := s.Now()
	binary.BigEndian.PutUint32(hello[ivSize:], uint32(now.Unix()))
	cipher, err := newDecrypter(s.Method, s.Password.Reveal(), hello[:ivSize])
	if err != nil {
		return // unreachable: Serve has tried it
	}
	c := &connection{running: s, Conn: conn, told: now, in: bufio.NewReaderSize(conn, 16*packetSize), cipher: cipher}
	_ = conn.SetDeadline(time.Now().Add(s.Patience)) // then the write fails
	if _, err := conn.Write(hello[:]); err != nil {
		return
	}
	defer context.AfterFunc(ctx, c.stop)()
	for {
		results, err := c.results()
		if len(results) > 0 {
			// What has come is kept, whether we are being stopped or not.
			s.take(context.WithoutCancel(ctx), results)
		}
		if err != nil {
			if at := s.Now().Unix(); !errors.Is(err, io.EOF) && at-s.warned.Load() >= warningPause {
				s.warned.Store(at)
				s.Log.WarnContext(ctx, "a client of NSCA is not understood", "alert_source", s.Source, "client", conn.RemoteAddr().String(), "err", err)
			}
			return
		}
	}
}

// results reads a packet, and those that have come behind it: none is waited for
// while there is something to hand over.
func (c *connection) results() (results []nagios.Result, err error) {
	for len(results) == 0 || len(results) < most && c.in.Buffered() >= packetSize {
		r, err := c.result()
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

// result reads a packet. Old clients send short ones, which are recognised by the
// checksum: so a packet is decrypted in two steps.
func (c *connection) result() (r nagios.Result, err error) {
	c.patient()
	var buffer [packetSize]byte
	c.cipher.packet()
	p := buffer[:shortSize]
	n, err := io.ReadFull(c.in, p)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r, fmt.Errorf("the connection ends after %d bytes of a packet", n)
	case errors.Is(err, os.ErrDeadlineExceeded) && n == 0:
		return r, io.EOF // it has nothing more to say
	case err != nil:
		return r, err
	}
	c.cipher.decrypt(p)
	if checkPacket(p) != nil {
		n, err := io.ReadFull(c.in, buffer[shortSize:])
		if err != nil {
			return r, fmt.Errorf("%w; %d bytes came", errVersion, shortSize+n)
		}
		p = buffer[:]
		c.cipher.decrypt(p[shortSize:])
		if err := checkPacket(p); err != nil {
			return r, err
		}
	}
	at := packetTime(p)
	if off := min(c.Now().Sub(at).Abs(), c.told.Sub(at).Abs()); off > c.MaxAge {
		return r, fmt.Errorf("the time in the packet is off by %v, more than %v", off, c.MaxAge)
	}
	return parsePacket(p), nil
}

// take hands results over.
func (s *running) take(ctx context.Context, results []nagios.Result) {
	r := ingest.Request{Body: encode(results), ContentType: "application/json", Path: "nsca", ReceivedAt: s.Now()}
	var notUnderstood *ingest.BodyError
	pause := 50 * time.Millisecond
	for end := time.Now().Add(s.Patience); ; {
		_, err := s.Taker.Take(ctx, s.Source, r)
		switch {
		case err == nil || errors.As(err, &notUnderstood):
			return
		case errors.Is(err, ingest.ErrUnavailable) && time.Now().Add(pause).Before(end):
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		case s.Lost != nil:
			s.Lost(r, err)
		default:
			s.Log.ErrorContext(ctx, "results of NSCA are lost", "alert_source", s.Source, "results", len(results), "err", err)
		}
		return
	}
}
