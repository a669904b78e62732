package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	netsmtp "net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// taken is one mail that was handed over.
type taken struct{ source, mail string }

// sink keeps mails. err, if set, is what it answers.
type sink struct {
	mu    sync.Mutex
	mails []taken
	err   func(source string) error
	hold  chan struct{} // if set, Take waits for it
}

func (s *sink) Take(_ context.Context, source string, r ingest.Request) (ingest.Taken, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		if err := s.err(source); err != nil {
			return ingest.Taken{}, err
		}
	}
	s.mails = append(s.mails, taken{source, string(r.Body)})
	return ingest.Taken{}, nil
}

func (s *sink) all() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.mails...)
}

func testConfig() Config {
	c := DefaultConfig()
	c.Listen, c.Hostname = "127.0.0.1:0", "gw.example.org"
	c.Recipients = map[string]string{"alerts@gw.example.org": "email", "Nagios@gw.example.org": "nagios", "mon.example.org": "email"}
	return c
}

// start serves until the test ends.
func start(tb testing.TB, c Config, s *sink) (*Server, string) {
	tb.Helper()
	return serve(tb, New(Options{Config: c, Taker: s, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}))
}

func serve(tb testing.TB, server *Server) (*Server, string) {
	tb.Helper()
	l, err := Listen(server.Config)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	tb.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return server, l.Addr().String()
}

// client talks plainly, to say what no library says.
type client struct {
	*textproto.Conn
	tb  testing.TB
	raw net.Conn
}

func dial(tb testing.TB, addr string) *client {
	tb.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	raw, err := net.Dial(network, addr)
	if err != nil {
		tb.Fatal(err)
	}
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	c := &client{textproto.NewConn(raw), tb, raw}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// answer reads an answer and returns its code, 0 at the end of the connection.
func (c *client) answer() (int, string) {
	code, text, err := c.ReadResponse(0)
	if err != nil {
		return 0, err.Error()
	}
	return code, text
}

// say sends a command and returns the code of the answer.
func (c *client) say(format string, args ...any) int {
	_, _ = fmt.Fprintf(c.raw, format+"\r\n", args...) // the answer says whether it came through
	code, _ := c.answer()
	return code
}

func (c *client) want(code int, format string, args ...any) {
	c.tb.Helper()
	if got := c.say(format, args...); got != code {
		c.tb.Fatalf("%s: answered %d, want %d", fmt.Sprintf(format, args...), got, code)
	}
}

// greeted dials and says hello.
func greeted(tb testing.TB, addr string) *client {
	tb.Helper()
	c := dial(tb, addr)
	if code, text := c.answer(); code != 220 {
		tb.Fatalf("greeted with %d %s", code, text)
	}
	c.want(250, "EHLO client.example.com")
	return c
}

const letter = "From: robot@example.com\r\nSubject: Disk full on web-01\r\n\r\ntext\r\n"

func TestDelivery(t *testing.T) {
	s := &sink{}
	_, addr := start(t, testConfig(), s)
	err := netsmtp.SendMail(addr, nil, "robot@example.com", []string{"Alerts@gw.example.org", "x@mon.example.org", "nagios+abc@gw.example.org"}, []byte(letter+".. dots\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := s.all()
	want := []taken{
		{"email", "Return-Path: <robot@example.com>\r\nDelivered-To: Alerts@gw.example.org\r\nDelivered-To: x@mon.example.org\r\n" + letter + ".. dots\r\n"},
		{"nagios", "Return-Path: <robot@example.com>\r\nDelivered-To: nagios+abc@gw.example.org\r\n" + letter + ".. dots\r\n"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	for _, m := range got {
		if !email.Sniff([]byte(m.mail)) {
			t.Error("what was handed over is not seen as a mail")
		}
	}
}

// TestAnswers: what a sender hears, by what became of its mail.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 250},
		{&ingest.BodyError{Reason: "not understood"}, 250}, // it is a dead letter
		{fmt.Errorf("%w: away", ingest.ErrUnavailable), 451},
		{errors.New("whatever"), 451},
		{ingest.ErrNoSource, 451},
		{ingest.ErrTooLarge, 552},
	} {
		s := &sink{err: func(string) error { return c.err }}
		_, addr := start(t, testConfig(), s)
		conn := greeted(t, addr)
		conn.want(250, "MAIL FROM:<robot@example.com>")
		conn.want(250, "RCPT TO:<alerts@gw.example.org>")
		conn.want(354, "DATA")
		conn.want(c.want, "%s.", letter)
		conn.want(221, "QUIT")
	}
}

func TestLMTP(t *testing.T) {
	c := testConfig()
	c.LMTP, c.Listen = true, "unix:"+t.TempDir()+"/lmtp.sock"
	s := &sink{err: func(source string) error {
		if source == "nagios" {
			return ingest.ErrUnavailable
		}
		return nil
	}}
	_, addr := start(t, c, s)
	conn := dial(t, addr)
	if code, _ := conn.answer(); code != 220 {
		t.Fatal("no greeting")
	}
	conn.want(500, "EHLO x")
	conn.want(250, "LHLO x")
	conn.want(250, "MAIL FROM:<>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(250, "RCPT TO:<nagios@gw.example.org>")
	conn.want(550, "RCPT TO:<other@gw.example.org>")
	conn.want(354, "DATA")
	conn.want(250, "%s.", letter)
	if code, _ := conn.answer(); code != 451 {
		t.Errorf("the second recipient: answered %d, want 451", code)
	}
	if got := s.all(); len(got) != 1 || !strings.HasPrefix(got[0].mail, "Return-Path: <>\r\n") {
		t.Errorf("got %q", got)
	}
}

// TestNoRelay: mail for somewhere else is refused, however it is addressed.
func TestNoRelay(t *testing.T) {
	s := &sink{}
	server, addr := start(t, testConfig(), s)
	for i, to := range []string{
		"<victim@example.net>",
		"<victim%example.net@gw.example.org>",
		"<victim%example.net@mon.example.org>",
		"<victim@example.net@mon.example.org>",
		"<\"victim@example.net\"@mon.example.org>",
		"<example.net!victim@mon.example.org>",
		"<@mon.example.org:victim@example.net>",
		"<@example.net,@mon.example.org:victim@example.net>",
		"<mon.example.org!victim@example.net>",
		"<victim@[192.0.2.1]>",
		"<victim@mon.example.org.example.net>",
		"<victim@sub.mon.example.org>",
		"<victim@example.netmon.example.org>",
		"<victim>",
		"<postmaster>",
		"<victim@>",
		"<@mon.example.org>",
		"<>",
		"<victim@mon.example.org,victim@example.net>",
		"<alerts@gw.example.org> <victim@example.net>",
		"<victim@example.net>alerts@gw.example.org",
		"<victim:x@mon.example.org>",
		"<victim/x@mon.example.org>",
		"<victim@127.0.0.1>",
	} {
		conn := greeted(t, addr)
		from := []string{"<>", "<alerts@gw.example.org>", "<spam@example.com>"}[i%3]
		conn.want(250, "MAIL FROM:%s", from)
		if code := conn.say("RCPT TO:%s", to); code < 500 || code > 559 {
			t.Errorf("%s: answered %d, want it refused", to, code)
		}
		if code := conn.say("DATA"); code < 500 {
			t.Errorf("%s: DATA was answered %d", to, code)
		}
		_ = conn.Close()
	}
	if got := s.all(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if got := testutil.ToFloat64(server.metrics.refused.WithLabelValues(refusedRecipient)); got < 10 {
		t.Errorf("%v recipients are counted as refused", got)
	}
}

// TestGuessing: who tries one recipient after the other is hung up on.
func TestGuessing(t *testing.T) {
	_, addr := start(t, testConfig(), &sink{})
	conn := greeted(t, addr)
	conn.want(250, "MAIL FROM:<a@example.com>")
	n := 0
	for conn.say("RCPT TO:<user%d@gw.example.org>", n) == 550 {
		n++
	}
	if n > maxRefusals {
		t.Errorf("%d guesses", n)
	}
}

// TestSmuggling: whatever looks like the end of a mail, what one sends is one message.
func TestSmuggling(t *testing.T) {
	const second = "MAIL FROM:<admin@example.com>\r\nRCPT TO:<alerts@gw.example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
	for _, end := range []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n.\r\r\n", "\r\n..\r\n", "\r\n.x\r\n",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\r\n.\n", "\n\n.\n\n", "\r\n. \r\n", "\r\n.\t\r\n", "\n\r.\n\r", "\r\n .\r\n", "\r\n.\v\r\n", "\u2028.\u2028", "\r\n.\u0085",
	} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			s := &sink{}
			_, addr := start(t, testConfig(), s)
			conn := greeted(t, addr)
			conn.want(250, "MAIL FROM:<robot@example.com>")
			conn.want(250, "RCPT TO:<alerts@gw.example.org>")
			conn.want(354, "DATA")
			conn.want(250, "%s%s%s\r\n.", letter, end, second)
			conn.want(221, "QUIT")
			got := s.all()
			if len(got) != 1 || !strings.Contains(got[0].mail, "smuggled") {
				t.Errorf("got %d messages: %q", len(got), got)
			}
		})
	}
}

// TestBrokenOff: what comes after a mail that broke off is never a command.
func TestBrokenOff(t *testing.T) {
	s := &sink{}
	c := testConfig()
	c.DataTimeout = model.Duration(50 * time.Millisecond)
	_, addr := start(t, c, s)
	conn := greeted(t, addr)
	conn.want(250, "MAIL FROM:<robot@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(354, "DATA")
	if _, err := io.WriteString(conn.raw, letter); err != nil {
		t.Fatal(err)
	}
	if code, _ := conn.answer(); code != 451 {
		t.Errorf("too slow: answered %d, want 451", code)
	}
	_, _ = io.WriteString(conn.raw, "\r\nRSET\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<alerts@gw.example.org>\r\n")
	for {
		code, _ := conn.answer()
		if code == 0 {
			break
		}
		if code < 400 {
			t.Errorf("the rest of a mail was answered %d", code)
		}
	}
	if got := s.all(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

// TestTooLarge: a mail over the limit is refused, by its announcement, by its
// length, and in chunks; the next one is taken.
func TestTooLarge(t *testing.T) {
	s := &sink{}
	c := testConfig()
	c.MaxMessageSize = 100_000
	_, addr := start(t, c, s)
	conn := greeted(t, addr)
	conn.want(552, "MAIL FROM:<robot@example.com> SIZE=100001")
	conn.want(250, "MAIL FROM:<robot@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(354, "DATA")
	conn.want(552, "%s%s\r\n.", letter, strings.Repeat("a", 200_000))
	conn.want(250, "MAIL FROM:<robot@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(552, "BDAT 100001 LAST")
	_ = conn.Close()

	conn = greeted(t, addr)
	conn.want(250, "MAIL FROM:<robot@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(354, "DATA")
	conn.want(250, "%s%s\r\n.", letter, strings.Repeat("a", 90_000)) // one line
	conn.want(250, "MAIL FROM:<robot@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	for _, chunk := range []string{fmt.Sprintf("BDAT %d\r\n%s", len(letter), letter), "BDAT 3 LAST\r\nend"} {
		if _, err := io.WriteString(conn.raw, chunk); err != nil {
			t.Fatal(err)
		}
		if code, _ := conn.answer(); code != 250 {
			t.Errorf("a chunk: answered %d, want 250", code)
		}
	}
	if got := s.all(); len(got) != 2 || !strings.HasSuffix(got[1].mail, letter+"end") {
		t.Errorf("got %d messages", len(got))
	}
}

// TestEndless: who never stops is cut off.
func TestEndless(t *testing.T) {
	for name, opening := range map[string][]string{
		"a mail":    {"MAIL FROM:<a@example.com>", "RCPT TO:<alerts@gw.example.org>", "DATA"},
		"a chunk":   {"MAIL FROM:<a@example.com>", "RCPT TO:<alerts@gw.example.org>", "BDAT 4000000000"},
		"an orphan": {"BDAT 4000000000"},
		"a line":    {},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			c.MaxMessageSize = 100_000
			s := &sink{}
			_, addr := start(t, c, s)
			conn := greeted(t, addr)
			for _, line := range opening {
				conn.say("%s", line)
			}
			sent := 0
			chunk := []byte(strings.Repeat("a", 64<<10))
			for sent < 64<<20 {
				n, err := conn.raw.Write(chunk)
				if sent += n; err != nil {
					break
				}
			}
			if sent >= 64<<20 {
				t.Errorf("%d bytes were taken", sent)
			}
			if got := s.all(); len(got) > 0 {
				t.Errorf("got %d messages", len(got))
			}
		})
	}
}

func TestSenders(t *testing.T) {
	c := testConfig()
	c.Senders = []string{"@Example.com", "root@web-01.example.net"}
	_, addr := start(t, c, &sink{})
	conn := greeted(t, addr)
	for from, want := range map[string]int{"robot@example.com": 250, "ROOT@web-01.example.net": 250, "x@web-01.example.net": 550, "x@notexample.com": 550, "": 550} {
		if got := conn.say("MAIL FROM:<%s>", from); got != want {
			t.Errorf("%q: answered %d, want %d", from, got, want)
		}
		conn.want(250, "RSET")
	}
}

func TestAuthentication(t *testing.T) {
	c := testConfig()
	c.Users = []User{{Username: "monitor", Password: secret.New("s3cret-of-monitor")}}
	s := &sink{}
	_, addr := start(t, c, s)
	conn := greeted(t, addr)
	conn.want(530, "MAIL FROM:<a@example.com>")
	_ = conn.Close()
	host, _, _ := net.SplitHostPort(addr)
	for _, u := range []struct {
		name, password, identity string
		ok                       bool
	}{{"monitor", "s3cret-of-monitor", "", true}, {"monitor", "wrong", "", false}, {"other", "s3cret-of-monitor", "", false}, {"", "", "", false},
		{"monitor", "s3cret-of-monitor", "admin", false}} {
		err := netsmtp.SendMail(addr, netsmtp.PlainAuth(u.identity, u.name, u.password, host), "a@example.com", []string{"alerts@gw.example.org"}, []byte(letter))
		if (err == nil) != u.ok || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", u, err)
		}
	}
	if got := s.all(); len(got) != 1 {
		t.Errorf("got %d messages, want 1", len(got))
	}
	wrong := 0
	for range 2 * maxGuesses {
		err := netsmtp.SendMail(addr, netsmtp.PlainAuth("", "monitor", "guess", host), "a@example.com", []string{"alerts@gw.example.org"}, []byte(letter))
		if err != nil && strings.HasPrefix(err.Error(), "535") {
			wrong++
		}
	}
	if wrong > maxGuesses {
		t.Errorf("%d passwords were tried", wrong)
	}
}

// TestTLS: with a certificate there is STARTTLS, and without it no mail if it is required.
func TestTLS(t *testing.T) {
	c := testConfig()
	c.TLS = certificate(t)
	c.TLS.Required = true
	s := &sink{}
	_, addr := start(t, c, s)
	conn := greeted(t, addr)
	conn.want(530, "MAIL FROM:<a@example.com>")
	// What was sent ahead of the handshake does not count after it.
	if _, err := io.WriteString(conn.raw, "STARTTLS\r\nMAIL FROM:<injected@example.com>\r\n"); err != nil {
		t.Fatal(err)
	}
	if code, _ := conn.answer(); code != 220 {
		t.Errorf("STARTTLS: answered %d", code)
	}
	_ = conn.Close()

	raw, err := netsmtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if err := raw.StartTLS(insecure); err != nil {
		t.Fatal(err)
	}
	if err := send(raw, letter); err != nil {
		t.Fatal(err)
	}
	if got := s.all(); len(got) != 1 {
		t.Errorf("got %d messages, want 1", len(got))
	}
}

func send(c *netsmtp.Client, mail string) error {
	if err := c.Mail("robot@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt("alerts@gw.example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, mail); err != nil {
		return err
	}
	return w.Close()
}

// TestConnectionLimits: slow connections are bounded, per client and in all, and
// good ones get through as soon as one of them is gone.
func TestConnectionLimits(t *testing.T) {
	c := testConfig()
	c.MaxConnections, c.MaxConnectionsPerClient, c.Timeout = 30, 20, model.Duration(300*time.Millisecond)
	s := &sink{}
	server, addr := start(t, c, s)
	refused, began := 0, time.Now()
	for range 200 {
		conn := dial(t, addr)
		if code, text := conn.answer(); code == 421 && strings.Contains(text, "too many connections") {
			refused++
		}
		_, _ = io.WriteString(conn.raw, "E") // and no more
	}
	server.door.mu.Lock()
	open := len(server.door.open)
	server.door.mu.Unlock()
	// Each place is free again after the timeout.
	most := c.MaxConnectionsPerClient * (2 + int(time.Since(began)/time.Duration(c.Timeout)))
	if open > c.MaxConnectionsPerClient || 200-refused > most {
		t.Errorf("%d connections are open, %d of 200 were refused, want all but %d at most", open, refused, most)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		err := netsmtp.SendMail(addr, nil, "robot@example.com", []string{"alerts@gw.example.org"}, []byte(letter))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing gets through: %v", err)
		}
	}
}

func TestTotalLimit(t *testing.T) {
	d := newDoor(Config{MaxConnections: 3, MaxConnectionsPerClient: 2}, newMetrics(prometheus.NewRegistry()))
	var open []*conn
	for i, want := range []bool{true, true, false, true, false} {
		raw, other := net.Pipe()
		defer func() { _ = raw.Close(); _ = other.Close() }()
		client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i/3)), Port: 1}
		c, why := d.admit(remote{raw, client})
		if (c != nil) != want {
			t.Errorf("connection %d: got %v, %q", i, c != nil, why)
		}
		if c != nil {
			open = append(open, c)
		}
	}
	for _, c := range open {
		_ = c.Close()
		_ = c.Close() // twice is once
	}
	if len(d.open) != 0 || len(d.byClient) != 0 {
		t.Errorf("%d connections are left, %d clients", len(d.open), len(d.byClient))
	}
}

// remote is a connection from anywhere.
type remote struct {
	net.Conn
	addr net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

func TestClientOf(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1:2:3:4": "2001:db8::", "2001:db8::1": "2001:db8::"} {
		if got := clientOf(&net.TCPAddr{IP: net.ParseIP(in)}); got.String() != want {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
	if got := clientOf(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("a socket: got %v", got)
	}
}

func TestRateLimit(t *testing.T) {
	c := testConfig()
	c.MessagesPerMinute = 2
	_, addr := start(t, c, &sink{})
	conn := greeted(t, addr)
	for _, want := range []int{250, 250, 450} {
		conn.want(want, "MAIL FROM:<a@example.com>")
		conn.want(250, "RSET")
	}

	now := time.Now()
	l := newLimiter(2, func() time.Time { return now })
	client := clientOf(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)})
	for i, want := range []bool{true, true, false} {
		if got := l.take(client); got != want {
			t.Errorf("message %d: got %v", i, got)
		}
	}
	now = now.Add(30 * time.Second)
	if !l.take(client) || l.take(client) {
		t.Error("half a minute is one message")
	}
	for i := range 3 * maxClients {
		l.take(clientOf(&net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}))
	}
	if len(l.clients) > maxClients {
		t.Errorf("%d clients are remembered", len(l.clients))
	}
}

// TestDrain: a mail that has begun is finished, silent connections hear 421, and
// so do new ones meanwhile.
func TestDrain(t *testing.T) {
	s := &sink{hold: make(chan struct{})}
	server, addr := start(t, testConfig(), s)
	silent, busy := greeted(t, addr), greeted(t, addr)
	busy.want(250, "MAIL FROM:<robot@example.com>")
	busy.want(250, "RCPT TO:<alerts@gw.example.org>")
	busy.want(354, "DATA")
	if _, err := io.WriteString(busy.raw, letter); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // the server has begun to read
		server.door.mu.Lock()
		defer server.door.mu.Unlock()
		for c := range server.door.open {
			c.mu.Lock()
			begun := !c.mail.IsZero()
			c.mu.Unlock()
			if begun {
				return true
			}
		}
		return false
	})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		server.Drain(context.Background())
	}()
	if code, _ := silent.answer(); code != 421 {
		t.Errorf("a silent connection: %d, want 421", code)
	}
	late := dial(t, addr)
	if code, _ := late.answer(); code != 421 {
		t.Errorf("a new connection: %d, want 421", code)
	}
	if _, err := io.WriteString(busy.raw, ".\r\n"); err != nil {
		t.Fatal(err)
	}
	close(s.hold)
	if code, text := busy.answer(); code != 250 {
		t.Errorf("the mail that had begun: %d %s, want 250", code, text)
	}
	<-drained
	if got := s.all(); len(got) != 1 {
		t.Errorf("got %d messages, want 1", len(got))
	}
	server.Drain(context.Background()) // again is no harm
}

// TestDrainGivesUp: a mail that does not come to its end is cut off.
func TestDrainGivesUp(t *testing.T) {
	s := &sink{}
	server, addr := start(t, testConfig(), s)
	busy := greeted(t, addr)
	busy.want(250, "MAIL FROM:<robot@example.com>")
	busy.want(250, "RCPT TO:<alerts@gw.example.org>")
	busy.want(354, "DATA")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	server.Drain(ctx)
	if code, _ := busy.answer(); code == 250 {
		t.Error("a mail without an end was accepted")
	}
	if got := s.all(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it does not happen")
		}
	}
}

func TestListenOnASocket(t *testing.T) {
	c := Config{Listen: "unix:" + t.TempDir() + "/s"}
	l, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(c); err == nil {
		t.Error("two listen on the same socket")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	l, err = Listen(c)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	_ = l.Close()
	for listen, want := range map[string]bool{"unix:/x": true, "127.0.0.1:25": true, "[::1]:25": true, "localhost:25": true, ":25": false, "0.0.0.0:25": false, "192.0.2.1:25": false, "x": false} {
		if got := (Config{Listen: listen}).Local(); got != want {
			t.Errorf("%s: local %v, want %v", listen, got, want)
		}
	}
}

// BenchmarkMessages sends over 16 connections.
func BenchmarkMessages(b *testing.B) {
	_, addr := start(b, testConfig(), &sink{})
	benchmark(b, addr)
}

func benchmark(b *testing.B, addr string) {
	const connections = 16
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	for range connections {
		group.Go(func() {
			c, err := netsmtp.Dial(addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			for left.Add(-1) >= 0 {
				if err := send(c, letter); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
