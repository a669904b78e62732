package smtp

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// maxRefusals is how often a client may be refused in one connection: more are
// guesses.
const maxRefusals = 10

// session is one connection after its greeting.
type session struct {
	s        *Server
	c        *gosmtp.Conn
	conn     *conn
	user     string // who has authenticated
	refusals int

	from string
	to   []recipient
}

func (s *Server) session(c *gosmtp.Conn) (gosmtp.Session, error) {
	raw := c.Conn()
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	inner, ok := raw.(*conn)
	if !ok { // unreachable: all come through the door
		return nil, errors.New("smtp: a connection of another listener")
	}
	return &session{s: s, c: c, conn: inner}, nil
}

// refuse answers, and ends the connection of a client that is refused too often.
func (s *session) refuse(reason string, code int, enhanced gosmtp.EnhancedCode, text string) error {
	s.s.metrics.refuse(reason)
	if s.refusals++; s.refusals >= maxRefusals {
		s.conn.end()
	}
	return answer(code, enhanced, text)
}

// Mail implements gosmtp.Session.
func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	_, encrypted := s.c.TLSConnectionState()
	switch {
	case s.s.door.isDraining():
		s.conn.end()
		s.s.metrics.refuse(refusedDraining)
		return answer(421, gosmtp.EnhancedCode{4, 3, 2}, "shutting down, try again later")
	case s.s.TLS.Required && !encrypted:
		return s.refuse(refusedTLS, 530, gosmtp.EnhancedCode{5, 7, 0}, "use STARTTLS first")
	case len(s.s.users) > 0 && s.user == "":
		return s.refuse(refusedUser, 530, gosmtp.EnhancedCode{5, 7, 0}, "authenticate first")
	case !permits(s.s.senders, from):
		return s.refuse(refusedSender, 550, gosmtp.EnhancedCode{5, 7, 1}, "this sender may not send here")
	case !s.s.limits.take(s.conn.client):
		s.s.metrics.refuse(refusedRate)
		return answer(450, gosmtp.EnhancedCode{4, 7, 1}, "too many messages, try again later")
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt implements gosmtp.Session.
func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	source, ok := s.s.recipients.find(to)
	if !ok {
		return s.refuse(refusedRecipient, 550, gosmtp.EnhancedCode{5, 1, 1}, "there is no such recipient here")
	}
	s.to = append(s.to, recipient{to, source})
	return nil
}

// Data implements gosmtp.Session.
func (s *session) Data(r io.Reader) error {
	raw, release, err := s.receive(r)
	defer release()
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, to := range s.to {
		if done[to.source] {
			continue
		}
		done[to.source] = true
		if err := s.s.take(to.source, s.envelope(raw, to.source)); err != nil {
			return err
		}
	}
	return nil
}

// LMTPData implements gosmtp.LMTPSession: each recipient has its own answer.
func (s *session) LMTPData(r io.Reader, status gosmtp.StatusCollector) error {
	raw, release, err := s.receive(r)
	defer release()
	if err != nil {
		return err
	}
	answers := map[string]error{}
	for _, to := range s.to {
		if _, done := answers[to.source]; !done {
			answers[to.source] = s.s.take(to.source, s.envelope(raw, to.source))
		}
		status.SetStatus(to.address, answers[to.source])
	}
	return nil
}

// receive reads a mail. What it takes of the budget is given back with release.
func (s *session) receive(r io.Reader) (raw []byte, release func(), err error) {
	s.conn.begin(int64(s.s.MaxMessageSize), time.Duration(s.s.DataTimeout))
	var taken int64
	release = func() {
		s.s.inFlight.Add(-taken)
		s.conn.finish()
	}
	raw = make([]byte, 0, 16<<10)
	for {
		if grown := int64(cap(raw)); grown > taken {
			if s.s.inFlight.Add(grown-taken) > budget {
				taken = grown
				s.s.metrics.refuse(refusedMemory)
				return nil, release, answer(451, gosmtp.EnhancedCode{4, 3, 1}, "too much is being received, try again later")
			}
			taken = grown
		}
		n, err := r.Read(raw[len(raw):cap(raw)])
		switch raw = raw[:len(raw)+n]; {
		case errors.Is(err, io.EOF):
			return raw, release, nil
		case errors.Is(err, gosmtp.ErrDataTooLarge):
			s.s.metrics.refuse(refusedSize)
			return nil, release, gosmtp.ErrDataTooLarge
		case err != nil: // it was cut off, so nothing was promised
			s.s.metrics.refuse(refusedBrokenOff)
			return nil, release, answer(451, gosmtp.EnhancedCode{4, 4, 2}, "the message did not come to its end")
		}
		if len(raw) == cap(raw) {
			raw = slices.Grow(raw, min(cap(raw), 4<<20))
		}
	}
}

// Reset implements gosmtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements gosmtp.Session.
func (s *session) Logout() error { return nil }

// AuthMechanisms implements gosmtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	if len(s.s.users) == 0 {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth implements gosmtp.AuthSession.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if len(s.s.users) == 0 {
		return nil, gosmtp.ErrAuthUnsupported
	}
	if mechanism != sasl.Plain {
		return nil, gosmtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(identity, username, password string) error {
		if !s.s.guesses.may(s.conn.client) {
			return s.refuse(refusedUser, 454, gosmtp.EnhancedCode{4, 7, 0}, "too many wrong passwords, try again later")
		}
		if identity != "" && identity != username || !s.s.users.match(username, password) {
			s.s.guesses.take(s.conn.client)
			return s.refuse(refusedUser, 535, gosmtp.EnhancedCode{5, 7, 8}, "wrong user or password")
		}
		s.user = username
		return nil
	}), nil
}

// users are those who may send: digests, so that comparing takes the same time
// whatever the secrets are.
type users []struct{ name, password [sha256.Size]byte }

func newUsers(list []User) (out users) {
	for _, u := range list {
		out = append(out, struct{ name, password [sha256.Size]byte }{sha256.Sum256([]byte(u.Username)), sha256.Sum256([]byte(u.Password.Reveal()))})
	}
	return out
}

// match compares with all of them in any case.
func (list users) match(name, password string) bool {
	n, p := sha256.Sum256([]byte(name)), sha256.Sum256([]byte(password))
	found := 0
	for _, u := range list {
		found |= subtle.ConstantTimeCompare(n[:], u.name[:]) & subtle.ConstantTimeCompare(p[:], u.password[:])
	}
	return found == 1
}

// recipient is one of a mail, and the source that it belongs to.
type recipient struct{ address, source string }

// recipients has the source of each address and domain.
type recipients map[string]string

func newRecipients(m map[string]string) recipients {
	out := recipients{}
	for to, source := range m {
		out[strings.ToLower(strings.TrimPrefix(to, "@"))] = source
	}
	return out
}

// find returns the source that a recipient belongs to: that of the address, of the
// address without what follows a +, or of its domain. An address that could be a
// way to somewhere else belongs to none.
func (r recipients) find(to string) (source string, ok bool) {
	to = strings.ToLower(to)
	local, domain, found := strings.Cut(to, "@")
	if local == "" || len(to) > 320 || strings.ContainsAny(to, "%!:\\/\"<>,; \t\r\n") || strings.Contains(domain, "@") || found && domain == "" {
		return "", false
	}
	if source, ok = r[to]; ok || !found {
		return source, ok
	}
	plain, _, _ := strings.Cut(local, "+")
	if source, ok = r[plain+"@"+domain]; ok {
		return source, true
	}
	source, ok = r[domain]
	return source, ok
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(strings.TrimPrefix(s, "@"))
	}
	return out
}

// permits reports whether a list of addresses and domains holds addr; an empty
// one holds all.
func permits(list []string, addr string) bool {
	addr = strings.ToLower(addr)
	return len(list) == 0 || slices.Contains(list, addr) || slices.Contains(list, addr[strings.LastIndexByte(addr, '@')+1:])
}
