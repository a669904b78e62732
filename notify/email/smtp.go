package email

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

const (
	// sessionTime is how long a server may take in all, if the caller sets no end.
	sessionTime = 30 * time.Second
	// quitTime is how long we wait for a farewell.
	quitTime = time.Second
	// answersLimit bounds what a server may say in one session, in bytes.
	answersLimit = 256 << 10
)

// result is what became of a mail.
type result struct {
	accepted []string
	// err is why some did not get it, permanent if none of those ever will.
	err error
}

// deliver hands a mail to the server. A silent server is left when ctx ends.
func (s *Sender) deliver(ctx context.Context, e *envelope, to []string) result {
	var secrets []string
	r := func() result {
		c, leave, err := s.connect(ctx)
		if err != nil {
			return result{err: failure(ctx, "connect", err, false)}
		}
		defer leave()
		if secrets, err = s.authenticate(c); err != nil {
			return result{err: failure(ctx, "auth", err, false)}
		}
		return transact(ctx, c, e, to)
	}()
	r.err = outgoing.Scrub(r.err, secrets...)
	return r
}

// transact is RFC 5321 section 3.3, with those recipients that the server takes.
func transact(ctx context.Context, c *smtp.Client, e *envelope, to []string) result {
	if err := c.Mail(e.from); err != nil {
		return result{err: failure(ctx, "MAIL", err, true)}
	}
	var accepted []string
	var refused error
	for _, one := range to {
		err := c.Rcpt(one)
		if err == nil {
			accepted = append(accepted, one)
			continue
		}
		f := failure(ctx, "RCPT "+one, err, true)
		var answer *textproto.Error
		if !errors.As(err, &answer) {
			return result{err: f} // the connection is gone
		}
		refused = block.Worse(refused, f)
	}
	if len(accepted) == 0 {
		return result{err: refused}
	}
	w, err := c.Data()
	if err == nil {
		if _, err = w.Write(e.text); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return result{err: failure(ctx, "DATA", err, true)}
	}
	return result{accepted, refused}
}

// failure says what an error means. In a transaction 5yz is for good: RFC 5321
// section 4.2.1. Before that it is about the server or us, which somebody may mend.
func failure(ctx context.Context, step string, err error, transaction bool) *notify.Error {
	f := &notify.Error{Reason: notify.ReasonOther}
	var answer *textproto.Error
	var timeout net.Error
	switch {
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		f.Reason = notify.ReasonTimeout
	case errors.As(err, &answer):
		f.Reason = notify.ReasonServer
		switch code := answer.Code; {
		case step == "auth" || code == 530 || code == 534 || code == 535 || code == 538:
			f.Reason = notify.ReasonAuth
		case code >= 500 && code != 552 && transaction: // 552 may mean too many at once: section 4.5.3.1.10
			f.Reason, f.Permanent = notify.ReasonClient, true
		}
	case step == "auth":
		f.Reason = notify.ReasonAuth
	}
	f.Err = fmt.Errorf("smtp %s: %s", step, notify.Cut(notify.Line(err.Error()), 300))
	return f
}

// connect opens a session, encrypted if it has to be.
func (s *Sender) connect(ctx context.Context) (c *smtp.Client, leave func(), err error) {
	raw, err := s.dial(ctx, "tcp", s.config.Smarthost.String())
	if err != nil {
		return nil, nil, err
	}
	until := time.Now().Add(sessionTime)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = raw.SetDeadline(until) // a connection that takes none is closed by what follows
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if err != nil {
			stop()
			_ = raw.Close()
		}
	}()
	if c, err = s.greet(&bounded{Conn: raw, left: answersLimit}); err != nil {
		return nil, nil, err
	}
	return c, func() {
		if end := time.Now().Add(quitTime); end.Before(until) {
			_ = raw.SetDeadline(end)
		}
		_ = c.Quit() // the mail is taken or refused already
		stop()
		_ = raw.Close()
	}, nil
}

// greet begins SMTP on a connection.
func (s *Sender) greet(conn net.Conn) (*smtp.Client, error) {
	implicit := s.config.Smarthost.Port == "465" // RFC 8314
	if s.config.ForceImplicitTLS != nil {
		implicit = *s.config.ForceImplicitTLS
	}
	required := s.config.RequireTLS == nil || *s.config.RequireTLS
	var settings *tls.Config
	if implicit || required {
		var err error
		if settings, err = s.tls(); err != nil {
			return nil, err
		}
	}
	if implicit {
		conn = tls.Client(conn, settings)
	}
	c, err := smtp.NewClient(conn, s.config.Smarthost.Host)
	if err != nil {
		return nil, err
	}
	if s.config.Hello != "" {
		if err := c.Hello(s.config.Hello); err != nil {
			return nil, err
		}
	}
	if required && !implicit {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, errors.New("the server does not offer STARTTLS, and require_tls is true")
		}
		if err := c.StartTLS(settings); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// tls reads the files of tls_config, which may have been rotated.
func (s *Sender) tls() (*tls.Config, error) {
	c := s.config.TLSConfig
	if c == nil {
		c = &commoncfg.TLSConfig{}
	}
	settings, err := commoncfg.NewTLSConfig(c)
	if err != nil {
		return nil, err
	}
	if settings.ServerName == "" {
		settings.ServerName = s.config.Smarthost.Host
	}
	return settings, nil
}

// authenticate uses the first way of those the server offers that we have a secret
// for. It returns what no error may show.
func (s *Sender) authenticate(c *smtp.Client) (secrets []string, err error) {
	user := s.config.AuthUsername
	offered, ways := c.Extension("AUTH")
	if user == "" || !offered {
		return nil, nil
	}
	password, err := read(string(s.config.AuthPassword), s.config.AuthPasswordFile)
	if err != nil {
		return nil, err
	}
	shared, err := read(string(s.config.AuthSecret), s.config.AuthSecretFile)
	if err != nil {
		return nil, err
	}
	code := base64.StdEncoding.EncodeToString
	secrets = []string{password, shared, code([]byte(password)), code([]byte(s.config.AuthIdentity + "\x00" + user + "\x00" + password))}
	secrets = slices.DeleteFunc(secrets, func(one string) bool { return one == "" })
	for way := range strings.FieldsSeq(ways) {
		switch {
		case way == "CRAM-MD5" && shared != "":
			return secrets, c.Auth(smtp.CRAMMD5Auth(user, shared))
		case way == "PLAIN" && password != "":
			return secrets, c.Auth(smtp.PlainAuth(s.config.AuthIdentity, user, password, s.config.Smarthost.Host))
		case way == "LOGIN" && password != "":
			return secrets, c.Auth(&login{user: user, password: password})
		}
	}
	return secrets, fmt.Errorf("the server offers %q, for none of which there is an auth_password or auth_secret", notify.Cut(ways, 100))
}

func read(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	return outgoing.ReadSecret("", file)
}

// login is AUTH LOGIN: https://datatracker.ietf.org/doc/html/draft-murchison-sasl-login-00.
// Servers word the questions differently, so their order counts.
type login struct {
	user, password string
	asked          int
}

func (l *login) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

func (l *login) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	switch l.asked++; l.asked {
	case 1:
		return []byte(l.user), nil
	case 2:
		return []byte(l.password), nil
	}
	return nil, errors.New("the server asks for more than a name and a password")
}

// bounded is a connection on which the other side may not say more than so much.
type bounded struct {
	net.Conn
	left int
}

var errTalks = errors.New("the server says more than any mail server has to say")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTalks
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
