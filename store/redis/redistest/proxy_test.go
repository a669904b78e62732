package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRoundTripsCountAPipelineAsOne(t *testing.T) {
	t.Parallel()
	s := Single(t)
	p := NewProxy(t, s.Addr)
	c := client(t, p.Addr)
	big := strings.Repeat("x", 1<<20)
	tests := []struct {
		name string
		do   func(ctx context.Context) error
		want int64
	}{
		{"nothing", func(context.Context) error { return nil }, 0},
		{"one command, with the connection that it needs", func(ctx context.Context) error { return c.Ping(ctx).Err() }, 1},
		{"three commands", func(ctx context.Context) error {
			return errors.Join(c.Set(ctx, "a", 1, 0).Err(), c.Incr(ctx, "a").Err(), c.Del(ctx, "a").Err())
		}, 3},
		{"a pipeline of 100 commands", func(ctx context.Context) error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 100 {
					p.Set(ctx, fmt.Sprint(i), i, 0)
				}
				return nil
			})
			return err
		}, 1},
		{"a pipeline longer than all buffers", func(ctx context.Context) error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range 4000 {
					p.Set(ctx, fmt.Sprint(i), big[:200+i], 0)
				}
				return nil
			})
			return err
		}, 1},
		{"a transaction, which is sent as one pipeline", func(ctx context.Context) error {
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Incr(ctx, "n"); p.Incr(ctx, "n"); return nil })
			return err
		}, 1},
		{"a large value out and back", func(ctx context.Context) error {
			return errors.Join(c.Set(ctx, "big", big, 0).Err(), c.Get(ctx, "big").Err())
		}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := p.RoundTrips()
			if err := test.do(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := p.RoundTrips() - before; got != test.want {
				t.Errorf("round trips: got %d, want %d", got, test.want)
			}
		})
	}
}

func TestADroppedReplyMeansThatTheCommandHasRun(t *testing.T) {
	t.Parallel()
	s := Single(t)
	tests := []struct {
		name    string
		retries int // of the client
		drop    func(*Proxy)
		do      func(ctx context.Context, c *redis.Client) error
		fails   bool
		want    string // of GET n
	}{
		{"without repeats", -1, func(p *Proxy) { p.DropReplies(1) }, incr, true, "1"},
		{"two lost answers and a client that repeats", 3, func(p *Proxy) { p.DropReplies(2) }, incr, false, "3"},
		{"only of a command that does not come", -1, func(p *Proxy) { p.DropReplies(1, "EVALSHA") }, incr, false, "1"},
		{"only of that command", -1, func(p *Proxy) { p.DropReplies(1, "INCR") }, incr, true, "1"},
		{"no more", -1, func(p *Proxy) { p.DropReplies(1); p.DropReplies(0) }, incr, false, "1"},
		{"of a pipeline, which runs to its end", -1, func(p *Proxy) { p.DropReplies(1) },
			func(ctx context.Context, c *redis.Client) error {
				_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
					for range 10_000 {
						p.Incr(ctx, "n")
					}
					return nil
				})
				return err
			}, true, "10000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.Do("FLUSHALL")
			p := NewProxy(t, s.Addr)
			c := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: test.retries})
			defer c.Close()
			if err := c.Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			test.drop(p)
			err := test.do(t.Context(), c)
			if (err != nil) != test.fails {
				t.Errorf("got %v, want an error: %v", err, test.fails)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want an error at once", err)
			}
			if got := s.Do("GET", "n"); got != test.want {
				t.Errorf("GET n: got %s, want %s", got, test.want)
			}
		})
	}
}

func incr(ctx context.Context, c *redis.Client) error { return c.Incr(ctx, "n").Err() }

func TestResetInTheMiddleOfAScriptLetsItRunToItsEnd(t *testing.T) {
	t.Parallel()
	s := Single(t, "busy-reply-threshold 10")
	p := NewProxy(t, s.Addr)
	var err error
	for try := 0; try < 5 && err == nil; try++ { // the script may be over before we come
		s.Do("DEL", "a")
		c := plain(t, p.Addr)
		if err := c.send("EVAL", "for i = 1, 1e8 do end return redis.call('set', KEYS[1], 'done')", "1", "a"); err != nil {
			t.Fatal(err)
		}
		s.await("in the middle of the script or behind it", func() error {
			if got, err := s.DoErr("GET", "a"); got != "done" && (err == nil || !strings.HasPrefix(err.Error(), "BUSY ")) {
				return fmt.Errorf("GET a: got %q, %v, want BUSY", got, err)
			}
			return nil
		})
		p.Reset()
		_, err = c.reply()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Reset: got %v, want connection reset", err)
	}
	s.await("at the end of the script", func() error {
		_, err := s.DoErr("PING")
		return err
	})
	if got, err := plain(t, p.Addr).do(patience, "GET", "a"); err != nil || got != "done" {
		t.Errorf("GET a through a new connection: got %q, %v, want done", got, err)
	}
}

func TestHeldRepliesArriveAfterRelease(t *testing.T) {
	t.Parallel()
	s := Single(t)
	p := NewProxy(t, s.Addr)
	c := plain(t, p.Addr)
	p.Hold()
	p.Hold()
	if err := c.send("SET", "a", "one"); err != nil {
		t.Fatal(err)
	}
	s.await("told by the client", func() error {
		if got := s.Do("GET", "a"); got != "one" {
			return fmt.Errorf("GET a: got %q, want one", got)
		}
		return nil
	})
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while held: got %q, %v, want nothing", got, err)
	}
	p.Release()
	p.Release()
	if got, err := c.do(patience, "GET", "a"); err != nil || got != "OK" { // of SET
		t.Errorf("after Release: got %q, %v, want OK", got, err)
	}
	if got, err := c.reply(); err != nil || got[0] != "one" {
		t.Errorf("then: got %q, %v, want one", got, err)
	}
}

func TestDelayAddsToEachAnswerAndNotToTheTimeBetweenTwo(t *testing.T) {
	t.Parallel()
	s := Single(t)
	p := NewProxy(t, s.Addr)
	c := plain(t, p.Addr)
	const n, delay = 100, 100 * time.Millisecond
	p.Delay(delay)
	began := time.Now()
	for range n {
		if err := c.send("INCR", "n"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got, err := c.reply(); err != nil || got[0] != fmt.Sprint(i+1) {
			t.Fatalf("answer %d: got %q, %v", i+1, got, err)
		}
	}
	if took := time.Since(began); took < delay || took > n*delay/2 {
		t.Errorf("%d answers with a delay of %s took %s", n, delay, took)
	}
	// What is on its way keeps its delay, and what comes later stays behind it.
	p.Delay(0)
	if got, err := c.do(patience, "GET", "n"); err != nil || got != fmt.Sprint(n) {
		t.Errorf("GET n: got %q, %v, want %d", got, err, n)
	}
}

func TestAProxyToADeadServerBreaksConnections(t *testing.T) {
	t.Parallel()
	s := Single(t)
	p := NewProxy(t, s.Addr)
	c := plain(t, p.Addr)
	s.Kill()
	if _, err := c.do(patience, "PING"); err == nil {
		t.Error("a dead server answers through an old connection")
	}
	if _, err := dial(p.Addr, nil, patience); err == nil {
		t.Error("a dead server answers through a new connection")
	}
	s.Restart()
	if got, err := plain(t, p.Addr).do(patience, "PING"); err != nil || got != "PONG" {
		t.Errorf("after Restart: got %q, %v, want PONG", got, err)
	}
}

func TestWhatAServerSaysBeforeItHangsUpArrives(t *testing.T) {
	t.Parallel()
	s := Single(t)
	c := plain(t, NewProxy(t, s.Addr).Addr)
	if got, err := c.do(patience, "QUIT"); err != nil || got != "OK" {
		t.Errorf("QUIT: got %q, %v, want OK", got, err)
	}
	if got, err := c.reply(); !errors.Is(err, io.EOF) {
		t.Errorf("then: got %q, %v, want the end", got, err)
	}
}

func TestManyClientsThroughOneProxy(t *testing.T) {
	t.Parallel()
	s := Single(t)
	p := NewProxy(t, s.Addr)
	var all sync.WaitGroup
	for range 8 {
		c := client(t, p.Addr)
		all.Go(func() {
			for range 200 {
				if err := c.Incr(t.Context(), "n").Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := s.Do("GET", "n"); got != "1600" {
		t.Errorf("GET n: got %s, want 1600", got)
	}
	if got := p.RoundTrips(); got != 1600 {
		t.Errorf("round trips: got %d, want 1600", got)
	}
}

// plain is a connection without any cleverness.
func plain(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := dial(addr, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestScanner(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string // first byte and first string
	}{
		{"simple answers", "+OK\r\n:12\r\n-ERR no\r\n_\r\n#t\r\n,1.5\r\n(12345\r\n", []string{"+", ":", "-", "_", "#", ",", "("}},
		{"strings that look like answers", "$5\r\n+OK\r\n\r\n=7\r\ntxt:$3\r\r\n", []string{"$+OK\r\n", "=TXT:$3\r"}},
		{"nil, empty and empty", "$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n", []string{"$", "$", "*", "*"}},
		{"a command", "*3\r\n$3\r\nset\r\n$1\r\na\r\n$2\r\n\r\n\r\n", []string{"*SET"}},
		{"a pipeline", "*1\r\n$4\r\nping\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\n", []string{"*PING", "*GET"}},
		{"arrays in arrays", "*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n*1\r\n$1\r\nx\r\n+OK\r\n", []string{"*X", "+"}},
		{"maps, sets and pushes", "%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n:2\r\n>2\r\n$7\r\nmessage\r\n:1\r\n%0\r\n", []string{"%", ">MESSAGE", "%"}},
		{"a long first string", "$40\r\n" + strings.Repeat("a", 40) + "\r\n", []string{"$" + strings.Repeat("A", longestWord)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for size := 1; size <= len(test.stream); size++ {
				var s scanner
				var got []string
				for rest := test.stream; rest != ""; {
					n := min(size, len(rest))
					if err := s.feed([]byte(rest[:n]), func(kind byte, word string) { got = append(got, string(kind)+word) }); err != nil {
						t.Fatalf("in pieces of %d: %v", size, err)
					}
					rest = rest[n:]
				}
				if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) || !s.between() {
					t.Fatalf("in pieces of %d: got %q, at the end of a message: %v, want %q and true", size, got, s.between(), test.want)
				}
			}
		})
	}
	for _, wrong := range []string{"PING\r\n", "\r\n", "*x\r\n", "?1\r\n"} {
		var s scanner
		if err := s.feed([]byte(wrong), func(byte, string) {}); err == nil {
			t.Errorf("%q: got no error", wrong)
		}
	}
	var s scanner
	if err := s.feed([]byte("*2\r\n$3\r\nGET\r\n"), func(byte, string) {}); err != nil || s.between() {
		t.Errorf("half a command: got %v, at the end of a message: %v, want nil and false", err, s.between())
	}
}
