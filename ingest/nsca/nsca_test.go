package nsca

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// taker keeps what is handed over.
type taker struct {
	mu       sync.Mutex
	requests []ingest.Request
	fail     func(n int) error
	calls    int
}

func (k *taker) Take(_ context.Context, source string, r ingest.Request) (ingest.Taken, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.fail != nil {
		if err := k.fail(k.calls); err != nil {
			return ingest.Taken{}, err
		}
	}
	r.Source = source
	k.requests = append(k.requests, r)
	return ingest.Taken{}, nil
}

// alerts decodes all that was taken.
func (k *taker) alerts(t *testing.T) (all []alert.Alert) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.requests {
		b, err := Format.Decode(r)
		if err != nil || len(b.Rejected) > 0 {
			t.Fatalf("%s: %v, %v", r.Body, b.Rejected, err)
		}
		all = append(all, b.Alerts...)
	}
	return all
}

// pipes is a listener of connections without a network.
type pipes struct {
	clients chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func newPipes() *pipes { return &pipes{clients: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.clients:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects and returns what the server says first.
func (p *pipes) dial(t *testing.T) (net.Conn, []byte) {
	t.Helper()
	client, server := net.Pipe()
	p.clients <- server
	hello := make([]byte, ivSize+4)
	if _, err := io.ReadFull(client, hello); err != nil {
		t.Fatal(err)
	}
	return client, hello
}

// start starts a server in a synctest bubble; stop ends it and waits.
func start(t *testing.T, s Server) (p *pipes, stop func()) {
	p = newPipes()
	s.Source = "nsca"
	s.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, p) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

// packet is a packet of a client that was told the time at.
func packet(at time.Time, host, service string, state int, output string, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint16(p, version)
	binary.BigEndian.PutUint32(p[timeAt:], uint32(at.Unix()))
	binary.BigEndian.PutUint16(p[stateAt:], uint16(state))
	copy(p[hostAt:serviceAt], host)
	copy(p[serviceAt:outputAt], service)
	copy(p[outputAt:size-2], output)
	binary.BigEndian.PutUint32(p[sumAt:], crc32.ChecksumIEEE(p))
	return p
}

// exchange replays one recorded exchange: the server says what it said then.
func exchange(t *testing.T, method int, password, base string) (all []alert.Alert) {
	t.Helper()
	hello, err := os.ReadFile(base + ".init.bin")
	if err != nil {
		t.Fatal(err)
	}
	sent, err := os.ReadFile(base + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	testbubble.Test(t, func(t *testing.T) {
		taken := &taker{}
		at := time.Unix(int64(binary.BigEndian.Uint32(hello[ivSize:])), 0)
		p, stop := start(t, Server{Method: method, Password: secret.New(password), Taker: taken, random: bytes.NewReader(hello), Now: func() time.Time { return at }})
		client, got := p.dial(t)
		if !bytes.Equal(got, hello) {
			t.Fatalf("the server says %x, want %x", got, hello)
		}
		if _, err := client.Write(sent); err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		synctest.Wait()
		stop()
		all = taken.alerts(t)
	})
	return all
}

// TestCaptures replays what send_nsca really sent.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../formats/testdata/captures/nagios/nsca/*.init.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".init.bin")
		t.Run(filepath.Base(base), func(t *testing.T) {
			text, err := os.ReadFile(base + ".expect.json")
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Method   int    `json:"encryption_method"`
				Password string `json:"password"`
				Results  any    `json:"results"`
				Typed    string `json:"typed_by_user"`
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got := exchange(t, want.Method, want.Password, base)
			list, ok := want.Results.([]any)
			if !ok { // it is only described
				list = []any{map[string]any{"host": "web-01", "service": "CPU load", "state": "firing", "text": "CRITICAL encrypted"}}
			}
			if len(got) != len(list) {
				t.Fatalf("got %d alerts, want %d", len(got), len(list))
			}
			for i, w := range list {
				checkResult(t, &got[i], w.(map[string]any))
			}
		})
	}
}

func checkResult(t *testing.T, a *alert.Alert, want map[string]any) {
	t.Helper()
	service, _ := want["service"].(string)
	if a.Host() != want["host"] || a.Service() != service || a.Status.String() != want["state"] || a.Kind != alert.KindAlert || !a.PerHost {
		t.Errorf("got %+v, want %v", a, want)
	}
	text := want["text"].(string)
	begin, _, cut := strings.Cut(text, "…")
	for _, got := range []string{a.Annotations.Get("summary"), a.Annotations.Get("description")} {
		if got == text || cut && strings.HasPrefix(got, begin) && len(got) == 3000 {
			return
		}
	}
	t.Errorf("got %v, want the text %q", a.Annotations, text)
}

// TestMethods: what send_nsca sent with each method that is supported.
func TestMethods(t *testing.T) {
	numbers := []int{1}
	for n := range methods {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			got := exchange(t, n, "nsca-pass", fmt.Sprintf("testdata/method-%02d", n))
			want := []string{fmt.Sprintf("CRITICAL method %d", n)}
			if n == 1 || n == 14 {
				want = append(want, "DOWN")
			}
			var texts []string
			for _, a := range got {
				texts = append(texts, a.Annotations.Get("summary"))
			}
			if !slices.Equal(texts, want) {
				t.Errorf("got %q, want %q", texts, want)
			}
		})
	}
}

// TestRijndaelIsAES where AES has the block size.
func TestRijndaelIsAES(t *testing.T) {
	key := [keySize]byte([]byte("0123456789abcdef0123456789ABCDEF"))
	other, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	ours := newRijndael(&key, 16)
	var in, got, want [16]byte
	for i := range 100 {
		in[i%16] = byte(i)
		ours.Encrypt(got[:], in[:])
		other.Encrypt(want[:], in[:])
		if got != want {
			t.Fatalf("%x: got %x, want %x", in, got, want)
		}
		in = got
	}
}

func TestUnsupportedMethod(t *testing.T) {
	err := Server{Method: 20, Log: slog.New(slog.DiscardHandler)}.Serve(t.Context(), newPipes())
	if err == nil || !strings.Contains(err.Error(), "method 20 is not supported") {
		t.Errorf("got %v", err)
	}
}

// TestConnections: what clients do, and what is taken of it.
func TestConnections(t *testing.T) {
	for _, c := range []struct {
		name string
		// send is what the client does; at is the time that it was told.
		send func(t *testing.T, c net.Conn, at time.Time)
		want []string // hosts
	}{
		{"several results", func(t *testing.T, c net.Conn, at time.Time) {
			for _, host := range []string{"a", "b", "c"} {
				write(t, c, packet(at, host, "s", 2, "bad", packetSize))
			}
		}, []string{"a", "b", "c"}},
		{"short packets among long ones", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at, "a", "s", 2, "bad", shortSize))
			write(t, c, packet(at, "b", "s", 2, "bad", packetSize))
			write(t, c, packet(at, "c", "s", 2, "bad", shortSize))
		}, []string{"a", "b", "c"}},
		{"in pieces, slowly", func(t *testing.T, c net.Conn, at time.Time) {
			p := packet(at, "a", "s", 2, "bad", packetSize)
			for part := range slices.Chunk(p, 500) {
				write(t, c, part)
				time.Sleep(time.Second)
			}
		}, []string{"a"}},
		{"too slowly", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at, "a", "s", 2, "bad", shortSize))
			write(t, c, packet(at, "b", "s", 2, "bad", packetSize)[:1000])
			time.Sleep(11 * time.Second)
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("the connection is still open")
			}
		}, []string{"a"}},
		{"says nothing", func(t *testing.T, c net.Conn, at time.Time) {
			time.Sleep(11 * time.Second)
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("the connection is still open")
			}
		}, nil},
		{"goes in the middle", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at, "a", "s", 2, "bad", packetSize)[:4000])
		}, nil},
		{"a wrong checksum", func(t *testing.T, c net.Conn, at time.Time) {
			p := packet(at, "a", "s", 2, "bad", packetSize)
			p[300]++
			write(t, c, p)
		}, nil},
		{"another version", func(t *testing.T, c net.Conn, at time.Time) {
			p := packet(at, "a", "s", 2, "bad", packetSize)
			p[1] = 2
			write(t, c, p)
		}, nil},
		{"an old packet", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at.Add(-31*time.Second), "a", "s", 2, "bad", packetSize))
		}, nil},
		{"the time it was told, long ago", func(t *testing.T, c net.Conn, at time.Time) {
			for _, host := range []string{"a", "b", "c", "d", "e", "f"} {
				write(t, c, packet(at, host, "s", 2, "bad", packetSize))
				time.Sleep(9 * time.Second)
			}
		}, []string{"a", "b", "c", "d", "e", "f"}},
		{"a packet of tomorrow", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at.Add(24*time.Hour), "a", "s", 2, "bad", packetSize))
		}, nil},
		{"texts without an end, and not clean", func(t *testing.T, c net.Conn, at time.Time) {
			write(t, c, packet(at, strings.Repeat("a", 64), "\xff", 2, strings.Repeat("x", 4096), packetSize))
		}, []string{strings.Repeat("a", 64)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				taken := &taker{}
				p, stop := start(t, Server{Taker: taken})
				client, hello := p.dial(t)
				c.send(t, client, time.Unix(int64(binary.BigEndian.Uint32(hello[ivSize:])), 0))
				_ = client.Close()
				synctest.Wait()
				stop()
				var hosts []string
				for _, a := range taken.alerts(t) {
					hosts = append(hosts, a.Host())
				}
				if !slices.Equal(hosts, c.want) {
					t.Errorf("got %q, want %q", hosts, c.want)
				}
			})
		})
	}
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

var _ Taker = (*ingest.Handler)(nil)

// TestOverTCP: on a real socket, and a listener that fails ends the server.
func TestOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := &taker{}
	done := make(chan error)
	go func() {
		done <- Server{Taker: taken, Log: slog.New(slog.DiscardHandler)}.Serve(t.Context(), l)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, ivSize+4)); err != nil {
		t.Fatal(err)
	}
	write(t, c, slices.Concat(packet(time.Now(), "a", "s", 2, "bad", packetSize), packet(time.Now(), "b", "", 0, "fine", shortSize)))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF { // it closes when all is taken
		t.Errorf("got %v, want the end", err)
	}
	if got := taken.alerts(t); len(got) != 2 {
		t.Errorf("got %v, want two", got)
	}
	_ = l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: got %v, want that the listener is closed", err)
	}
}

// TestNotTaken: what cannot be taken now is tried again, and is not lost without a word.
func TestNotTaken(t *testing.T) {
	away := fmt.Errorf("away: %w", ingest.ErrUnavailable)
	for _, c := range []struct {
		name  string
		fail  func(n int) error
		taken int
		lost  error
	}{
		{"for a moment", func(n int) error {
			if n < 4 {
				return away
			}
			return nil
		}, 1, nil},
		{"for long", func(int) error { return away }, 0, ingest.ErrUnavailable},
		{"nobody's", func(int) error { return ingest.ErrNoSource }, 0, ingest.ErrNoSource},
		{"not understood", func(int) error { return ingest.Errorf("", "no") }, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				taken := &taker{fail: c.fail}
				var lost error
				var body []byte
				p, stop := start(t, Server{Taker: taken, Lost: func(r ingest.Request, err error) { lost, body = err, r.Body }})
				client, _ := p.dial(t)
				write(t, client, packet(time.Now(), "a", "s", 2, "bad", packetSize))
				_ = client.Close()
				stop() // it waits for what has begun
				if len(taken.requests) != c.taken || !errors.Is(lost, c.lost) || (lost == nil) != (c.lost == nil) {
					t.Fatalf("taken %d, lost: %v; want %d, %v", len(taken.requests), lost, c.taken, c.lost)
				}
				if want := `{"checkresults":[{"hostname":"a","servicename":"s","state":2,"output":"bad"}]}`; lost != nil && string(body) != want {
					t.Errorf("lost: got %s, want %s", body, want)
				}
			})
		})
	}
}

// TestStop: a client in the middle of a packet is heard for a second, and no new one.
func TestStop(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		taken := &taker{}
		p, stop := start(t, Server{Taker: taken})
		quick, _ := p.dial(t)
		slow, _ := p.dial(t)
		whole := packet(time.Now(), "quick", "s", 2, "bad", packetSize)
		write(t, quick, whole[:1000])
		write(t, slow, whole[:1000])
		synctest.Wait()
		go func() {
			time.Sleep(closing / 2)
			if _, err := quick.Write(whole[1000:]); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		stop()
		if took := time.Since(start); took != closing {
			t.Errorf("it took %v to stop, want %v", took, closing)
		}
		if got := taken.alerts(t); len(got) != 1 || got[0].Host() != "quick" {
			t.Errorf("got %v, want what was sent in time", got)
		}
	})
}

// TestOneAtATime: more clients than are served wait for their turn.
func TestOneAtATime(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		taken := &taker{}
		p, stop := start(t, Server{Taker: taken, MaxConnections: 1})
		first, _ := p.dial(t)
		var turn bool
		go func() {
			second, _ := p.dial(t)
			turn = true
			write(t, second, packet(time.Now(), "second", "", 1, "bad", packetSize))
			_ = second.Close()
		}()
		synctest.Wait()
		if turn {
			t.Error("the second is served beside the first")
		}
		_ = first.Close()
		synctest.Wait()
		stop()
		if got := taken.alerts(t); len(got) != 1 {
			t.Errorf("got %v, want the one of the second", got)
		}
	})
}

func TestFormat(t *testing.T) {
	at := time.Unix(1795224687, 0)
	two := slices.Concat(packet(at, "a", "", 0, "fine", shortSize), packet(at, "", "s", 0, "odd", packetSize), packet(at, "c", "s", 1, "bad", packetSize))
	b, err := Format.Decode(ingest.Request{Source: "s", Body: two})
	if err != nil || len(b.Alerts) != 2 || len(b.Rejected) != 1 || b.Rejected[0].Field != "checkresults[1].hostname" {
		t.Errorf("got %+v, %v; want two and one rejected", b, err)
	}
	for _, body := range []string{"", "hello", string(two[:800]), "\x00\x03" + strings.Repeat("x", packetSize)} {
		var bad *ingest.BodyError
		if _, err := Format.Decode(ingest.Request{Body: []byte(body)}); !errors.As(err, &bad) || !bad.Foreign {
			t.Errorf("%.20q: got %v, want it refused as foreign", body, err)
		}
	}
}

func FuzzPackets(f *testing.F) {
	at := time.Unix(1795224687, 0)
	f.Add(packet(at, "a", "s", 2, "bad|x=1\nmore", shortSize))
	f.Add(packet(at, "a", "", 1, "bad", packetSize))
	f.Add([]byte(`{"checkresults":[{"hostname":"a","state":0}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) >= shortSize { // or nothing would ever have a checksum
			copy(body[sumAt:], []byte{0, 0, 0, 0})
			binary.BigEndian.PutUint16(body, version)
			binary.BigEndian.PutUint32(body[sumAt:], crc32.ChecksumIEEE(body))
		}
		r := ingest.Request{Source: "s", Body: body, ReceivedAt: at}
		got, _ := ingesttest.Check(t, Format, r)
		for _, a := range got.Alerts {
			if a.Host() == "" {
				t.Errorf("without a host: %+v", a)
			}
		}
	})
}

func BenchmarkPackets(b *testing.B) {
	body := packet(time.Unix(1795224687, 0), "web-01", "CPU load", 2, "CRITICAL - load average: 12.71|load1=12.71;5;10", packetSize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Format.Decode(ingest.Request{Source: "s", Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "alerts/s")
}

// BenchmarkDecrypt is what a packet costs in each method.
func BenchmarkDecrypt(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 6, 8, 9, 14, 15, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, err := newDecrypter(n, "nsca-pass", make([]byte, ivSize))
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, packetSize)
			for b.Loop() {
				d.packet()
				d.decrypt(p)
			}
		})
	}
}
