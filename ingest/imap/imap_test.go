package imap

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

const password = "s3cret-of-the-mailbox"

// sink keeps mails; err, if set, is what it answers.
type sink struct {
	mu    sync.Mutex
	mails []string
	err   error
	// away is how many times it was asked and answered err.
	away int
}

func (s *sink) Take(_ context.Context, source string, r ingest.Request) (ingest.Taken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		s.away++
		return ingest.Taken{}, s.err
	}
	s.mails = append(s.mails, source+": "+string(r.Body))
	return ingest.Taken{}, nil
}

// back ends what the sink was set up with, once it has answered with it.
func (s *sink) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away > 0 {
		s.err = nil
	}
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

// mailbox is a server in memory with one user.
type mailbox struct {
	user    *imapmemserver.User
	address string
	caFile  string
}

func newMailbox(t *testing.T, encryption string, more ...imap.Cap) *mailbox {
	t.Helper()
	m := &mailbox{user: imapmemserver.NewUser("alerts", password), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := m.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	memory := imapmemserver.New()
	memory.AddUser(m.user)
	settings := m.certificate(t)
	options := &imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}},
		InsecureAuth: encryption == Plain,
		TLSConfig:    settings,
		Logger:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	for _, c := range more {
		options.Caps[c] = struct{}{}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = l.Addr().String()
	if encryption == TLS {
		l = tls.NewListener(l, settings)
	}
	server := imapserver.New(options)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends with Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return m
}

func (m *mailbox) certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// deliver puts a mail into the mailbox.
func (m *mailbox) deliver(t *testing.T, subject string) {
	t.Helper()
	mail := []byte("From: robot@example.com\r\nSubject: " + subject + "\r\n\r\ntext\r\n")
	if _, err := m.user.Append("INBOX", literal{bytes.NewReader(mail)}, &imap.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
}

type literal struct{ *bytes.Reader }

// left says how many mails are there, and how many of them nobody has seen.
func (m *mailbox) left(t *testing.T) string {
	t.Helper()
	data, err := m.user.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d, %d unseen", *data.NumMessages, *data.NumUnseen)
}

func (m *mailbox) config(encryption, afterwards string) Config {
	return Config{Server: m.address, Encryption: encryption, CAFile: m.caFile, Username: "alerts", Password: secret.New(password), Afterwards: afterwards}
}

func TestPoll(t *testing.T) {
	for _, c := range []struct{ encryption, afterwards, left string }{
		{TLS, MarkSeen, "2, 0 unseen"}, {StartTLS, MarkSeen, "2, 0 unseen"}, {Plain, Delete, "0, 0 unseen"},
	} {
		t.Run(c.encryption+" "+c.afterwards, func(t *testing.T) {
			m, s := newMailbox(t, c.encryption), &sink{}
			p := New(m.config(c.encryption, c.afterwards), s, slog.New(slog.DiscardHandler))
			m.deliver(t, "first")
			m.deliver(t, "second")
			for range 2 { // again takes nothing
				if err := p.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := m.left(t); len(s.mails) != 2 || got != c.left || !strings.HasPrefix(s.mails[0], "email: From: robot@example.com\r\nSubject: first\r\n") {
				t.Errorf("got %q; left %s, want %s", s.mails, got, c.left)
			}
		})
	}
}

// TestNotDurable: a mail is marked only when it is durable, or of no use.
func TestNotDurable(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		left string
	}{
		"store away":     {fmt.Errorf("%w: away", ingest.ErrUnavailable), "1, 1 unseen"},
		"no source":      {ingest.ErrNoSource, "1, 1 unseen"},
		"not understood": {&ingest.BodyError{Reason: "no"}, "1, 0 unseen"},
		"too large":      {ingest.ErrTooLarge, "1, 0 unseen"},
	} {
		t.Run(name, func(t *testing.T) {
			m, s := newMailbox(t, TLS), &sink{err: c.err}
			p := New(m.config(TLS, MarkSeen), s, slog.New(slog.DiscardHandler))
			m.deliver(t, "x")
			err := p.Poll(t.Context())
			if got := m.left(t); got != c.left || (err == nil) == strings.HasSuffix(c.left, "1 unseen") {
				t.Errorf("left %s, want %s; error %v", got, c.left, err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	m := newMailbox(t, TLS)
	for name, change := range map[string]func(*Config){
		"nobody listens":       func(c *Config) { c.Server = "127.0.0.1:1" },
		"wrong password":       func(c *Config) { c.Password = secret.New("wrong-password") },
		"no such folder":       func(c *Config) { c.Mailbox = "Alerts" },
		"unknown certificate":  func(c *Config) { c.CAFile = "" },
		"no such file":         func(c *Config) { c.CAFile = "missing.pem" },
		"not what it speaks":   func(c *Config) { c.Encryption = Plain },
		"not what it expected": func(c *Config) { c.Encryption = StartTLS },
	} {
		t.Run(name, func(t *testing.T) {
			c := m.config(TLS, MarkSeen)
			change(&c)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			err := New(c, &sink{}, slog.New(slog.DiscardHandler)).Poll(ctx)
			if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// eventually waits until ok, which it asks every few milliseconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("not within a minute: " + what)
		}
	}
}

// TestRun polls until it is stopped, through a time without a store.
func TestRun(t *testing.T) {
	m, s := newMailbox(t, TLS), &sink{err: errors.New("away")}
	c := m.config(TLS, MarkSeen)
	c.Interval = model.Duration(time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	done := make(chan error, 1)
	m.deliver(t, "x")
	go func() { done <- New(c, s, slog.New(slog.NewTextHandler(&log, nil))).Run(ctx) }()
	eventually(t, "the mail is taken", func() bool {
		s.back()
		return s.count() > 0 && m.left(t) == "1, 0 unseen"
	})
	m.deliver(t, "y")
	eventually(t, "the second mail is taken", func() bool { return s.count() >= 2 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "mail is not fetched") != 1 || strings.Count(text, "mail is fetched again") != 1 || strings.Contains(text, password) {
		t.Errorf("log: %s", text)
	}
}

// TestIdle: a server that says when something is new is not asked every hour.
func TestIdle(t *testing.T) {
	m, s := newMailbox(t, TLS, imap.CapIdle), &sink{}
	c := m.config(TLS, MarkSeen)
	c.Interval = model.Duration(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	m.deliver(t, "first")
	go func() { done <- New(c, s, slog.New(slog.DiscardHandler)).Run(ctx) }()
	// The server of the tests does not tell of what came in the moment before IDLE
	// began, as real ones do, but of the next. So there is always a next.
	eventually(t, "five mails are taken", func() bool {
		m.deliver(t, "more")
		return s.count() >= 5
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
