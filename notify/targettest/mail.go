package targettest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// MailOptions are what a mail server asks for.
type MailOptions struct {
	// Implicit speaks TLS from the beginning, Plain not at all; otherwise there is STARTTLS.
	Implicit, Plain bool
	// User, with Password or the Shared secret of CRAM-MD5, has to be given.
	User, Password, Shared string
	// Ways are the AUTH mechanisms, of PLAIN, LOGIN and CRAM-MD5.
	Ways []string
}

// Mail is a mail server (RFC 5321, with github.com/emersion/go-smtp) which looks at
// every mail as RFC 5322, 2045 to 2047 and 3834 have it.
type Mail struct {
	// Addr is where it listens, and CAFile has the certificate that it shows there.
	Addr, CAFile string
	t            testing.TB
	options      MailOptions

	mu       sync.Mutex
	mails    []ReceivedMail
	rcpt     map[string]int
	data     []int
	afterCut bool
	lax      bool
}

// ReceivedMail is one mail.
type ReceivedMail struct {
	From   string
	To     []string
	TLS    bool
	User   string
	Header mail.Header
	// Text and HTML are the two parts, decoded.
	Text, HTML string
	// Raw is what was sent.
	Raw []byte
}

// NewMail starts a mail server.
func NewMail(t testing.TB, o MailOptions) *Mail {
	t.Helper()
	m := &Mail{t: t, options: o, rcpt: map[string]int{}}
	pair, file := certificate(t)
	m.CAFile = file
	s := smtp.NewServer(m)
	s.Domain, s.AllowInsecureAuth, s.ErrorLog = "mail.example.com", true, log.New(io.Discard, "", 0)
	s.ReadTimeout, s.WriteTimeout = time.Minute, time.Minute
	settings := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Addr = l.Addr().String()
	switch {
	case o.Implicit:
		l = tls.NewListener(l, settings)
	case !o.Plain:
		s.TLSConfig = settings
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // it ends with an error when it is closed
	t.Cleanup(func() { _, _ = l.Close(), s.Close(); <-done })
	return m
}

// certificate makes one for 127.0.0.1.
func certificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// RefuseRecipient answers RCPT for an address with a code; 0 takes it again.
func (m *Mail) RefuseRecipient(address string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rcpt[address] = code
}

// RefuseData answers the next mails with these codes.
func (m *Mail) RefuseData(codes ...int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = append(m.data, codes...)
}

// CutAfterNext takes the next mail and ends the connection before it says so.
func (m *Mail) CutAfterNext() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.afterCut = true
}

// Lax does without what Alertmanager's own mails do not have.
func (m *Mail) Lax() { m.lax = true }

// Mails are those that were taken.
func (m *Mail) Mails() []ReceivedMail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

// NewSession implements smtp.Backend.
func (m *Mail) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &mailSession{server: m, conn: c}, nil
}

type mailSession struct {
	server     *Mail
	conn       *smtp.Conn
	user, from string
	to         []string
}

func (s *mailSession) AuthMechanisms() []string { return s.server.options.Ways }

func (s *mailSession) Auth(way string) (sasl.Server, error) {
	o := s.server.options
	check := func(user, password string) error {
		if user != o.User || password != o.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}
	switch way {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	case "CRAM-MD5":
		return &cramServer{secret: o.Shared, done: func(user string) error {
			if user != o.User {
				return smtp.ErrAuthFailed
			}
			s.user = user
			return nil
		}}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(answer []byte) (challenge []byte, done bool, err error) {
	switch l.step++; {
	case l.step == 1 && answer == nil:
		return []byte("Username:"), false, nil
	case l.user == "":
		l.user = string(answer)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(answer))
}

// cramServer is RFC 2195.
type cramServer struct {
	secret, challenge string
	done              func(user string) error
}

func (c *cramServer) Next(answer []byte) (challenge []byte, done bool, err error) {
	if c.challenge == "" {
		c.challenge = "<1896.697170952@mail.example.com>"
		return []byte(c.challenge), false, nil
	}
	user, digest, _ := strings.Cut(string(answer), " ")
	mac := hmac.New(md5.New, []byte(c.secret))
	_, _ = io.WriteString(mac, c.challenge) // it never fails
	if digest != hex.EncodeToString(mac.Sum(nil)) {
		return nil, true, smtp.ErrAuthFailed
	}
	return nil, true, c.done(user)
}

func (s *mailSession) Reset()        { s.from, s.to = "", nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.options.User != "" && s.user == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	code := s.server.rcpt[to]
	s.server.mu.Unlock()
	if code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not here"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := s.server
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.data) > 0 {
		code := m.data[0]
		m.data = m.data[1:]
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 3, 0}, Message: "not now"}
	}
	one, err := readMail(raw, m.lax)
	if err != nil {
		m.t.Errorf("the mail is none: %v\n%.3000s", err, raw)
		return &smtp.SMTPError{Code: 550, Message: err.Error()}
	}
	one.From, one.To, one.User = s.from, slices.Clone(s.to), s.user
	_, one.TLS = s.conn.TLSConnectionState()
	one.TLS = one.TLS || m.options.Implicit
	m.mails = append(m.mails, one)
	if m.afterCut {
		m.afterCut = false
		_ = s.conn.Conn().Close()
	}
	return nil
}

// mailLine is the longest line of a mail, RFC 5322 section 2.1.1.
const mailLine = 998

var (
	messageIDForm = regexp.MustCompile(`^<[!-;=?-~]+@[!-;=?-~]+>$`)
	once          = []string{"Date", "From", "To", "Subject", "Message-Id", "Mime-Version", "Content-Type", "References", "In-Reply-To", "Auto-Submitted"}
)

// readMail looks at a mail as a strict program would.
func readMail(raw []byte, lax bool) (one ReceivedMail, err error) {
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		switch {
		case len(line) > mailLine:
			return one, fmt.Errorf("a line of %d bytes", len(line))
		case bytes.ContainsAny(line, "\r\n\x00"):
			return one, errors.New("a line end or a zero inside of a line")
		}
	}
	head, _, found := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !found {
		return one, errors.New("no body")
	}
	for _, c := range head {
		if c > 0x7e {
			return one, errors.New("a header that is not ASCII")
		}
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return one, err
	}
	h := parsed.Header
	for _, name := range once {
		if n := len(h[name]); n > 1 || n == 0 && !(lax && (name == "References" || name == "In-Reply-To" || name == "Auto-Submitted")) {
			return one, fmt.Errorf("%d headers %s", n, name)
		}
	}
	if _, err := h.Date(); err != nil {
		return one, err
	}
	for _, name := range []string{"From", "To"} {
		if _, err := h.AddressList(name); err != nil {
			return one, fmt.Errorf("%s: %w", name, err)
		}
	}
	if id := h.Get("Message-Id"); !messageIDForm.MatchString(id) {
		return one, fmt.Errorf("message id %q", id)
	}
	for _, id := range strings.Fields(h.Get("References") + " " + h.Get("In-Reply-To")) {
		if !messageIDForm.MatchString(id) {
			return one, fmt.Errorf("a reference to %q", id)
		}
	}
	if h.Get("Bcc") != "" {
		return one, errors.New("shows its Bcc")
	}
	if got := h.Get("Auto-Submitted"); !lax && got != "auto-generated" {
		return one, fmt.Errorf("Auto-Submitted %q", got)
	}
	one.Header, one.Raw = h, raw
	return one, one.readParts(h.Get("Content-Type"), parsed.Body)
}

func (one *ReceivedMail) readParts(contentType string, body io.Reader) error {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/alternative" {
		return fmt.Errorf("content type %s: %w", contentType, err)
	}
	parts := multipart.NewReader(body, parameters["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if e := p.Header.Get("Content-Transfer-Encoding"); e != "quoted-printable" {
			return fmt.Errorf("a part is encoded as %q", e)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			return err
		}
		if !utf8.Valid(text) {
			return errors.New("a part is not UTF-8")
		}
		switch kind, parameters, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); {
		case !strings.EqualFold(parameters["charset"], "utf-8"):
			return fmt.Errorf("a part in %q", parameters["charset"])
		case kind == "text/plain" && one.Text == "" && one.HTML == "":
			one.Text = string(text)
		case kind == "text/html" && one.HTML == "":
			one.HTML = string(text)
		default:
			return fmt.Errorf("a part %s out of place", kind)
		}
	}
	if one.Text == "" && one.HTML == "" {
		return errors.New("no parts")
	}
	return nil
}
