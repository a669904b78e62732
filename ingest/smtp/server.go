// Package smtp receives mail over SMTP and LMTP and hands it to ingest. A mail is
// accepted when it is durable, and only for the recipients in the configuration:
// nothing is ever passed on, so this is no relay. What a mail means is the
// business of package email.
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// Taker is where mails go.
type Taker interface {
	// Take returns when the mail is durable; see ingest.Handler.
	Take(ctx context.Context, source string, r ingest.Request) (ingest.Taken, error)
}

// Options are what a Server needs.
type Options struct {
	Config
	Taker Taker
	// Resolver looks up names to check senders; nil means the system's.
	Resolver Resolver
	// Log is required, and so is Registerer.
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// maxRecipients is how many recipients a mail may have.
const maxRecipients = 100

// maxGuesses is how many wrong passwords a client may try in a minute.
const maxGuesses = 20

// budget is how many bytes of mails may be in memory before they are handed over.
const budget = 128 << 20

// Server receives mail. Serve blocks until Drain or Close.
type Server struct {
	Options
	recipients recipients
	senders    []string
	users      users
	limits     *limiter // messages
	guesses    *limiter // wrong passwords
	smtp       *gosmtp.Server
	door       *door
	metrics    *metrics
	inFlight   atomic.Int64
	// failing: the last mail could not be made durable; it is there so that an
	// outage is two lines in the log.
	failing atomic.Bool
}

// New returns a server for a configuration that was checked.
func New(o Options) *Server {
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname()
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	s := &Server{Options: o, recipients: newRecipients(o.Recipients), senders: lower(o.Senders), users: newUsers(o.Users),
		metrics: newMetrics(o.Registerer)}
	s.limits, s.guesses = newLimiter(o.MessagesPerMinute, time.Now), newLimiter(maxGuesses, time.Now)
	s.smtp = gosmtp.NewServer(gosmtp.BackendFunc(s.session))
	s.smtp.LMTP, s.smtp.Domain = o.LMTP, o.Hostname
	s.smtp.MaxRecipients, s.smtp.MaxMessageBytes = maxRecipients, int64(o.MaxMessageSize)
	s.smtp.MaxLineLength = 0 // the connection counts bytes: mails have longer lines than they may
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = time.Duration(o.Timeout), time.Duration(o.Timeout)
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.AllowInsecureAuth = o.Local()
	s.smtp.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
	if o.TLS.CertFile != "" {
		s.smtp.TLSConfig = &tls.Config{GetCertificate: o.TLS.certificate, MinVersion: tls.VersionTLS12}
	}
	s.door = newDoor(o.Config, s.metrics)
	return s
}

// Serve takes connections from l, and closes it.
func (s *Server) Serve(l net.Listener) error {
	s.door.Listener = l
	return s.smtp.Serve(s.door)
}

// Drain ends the service: new connections and silent ones hear 421, mails that
// have begun are finished. When ctx ends before, they are cut off, and their
// senders have to send them again.
func (s *Server) Drain(ctx context.Context) {
	s.door.drain(ctx)
	_ = s.Close()
}

// Close ends all connections at once.
func (s *Server) Close() error {
	if err := s.smtp.Close(); err != nil && !errors.Is(err, gosmtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// take hands a mail over, and says what its sender is told.
func (s *Server) take(source string, mail []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), takeTimeout)
	defer cancel()
	_, err := s.Taker.Take(ctx, source, ingest.Request{Body: mail})
	var bad *ingest.BodyError
	switch {
	case err == nil, errors.As(err, &bad): // a dead letter is kept, and to send it again is of no use
		if s.failing.Load() && s.failing.Swap(false) {
			s.Log.Info("mail is accepted again", "alert_source", source)
		}
		s.metrics.accepted.Inc()
		return nil
	case errors.Is(err, ingest.ErrTooLarge):
		s.metrics.refuse(refusedSize)
		return gosmtp.ErrDataTooLarge
	}
	if !s.failing.Swap(true) {
		s.Log.Error("mail is not accepted", "alert_source", source, "err", err)
	}
	s.metrics.refuse(refusedNotDurable)
	return answer(451, gosmtp.EnhancedCode{4, 3, 0}, "not stored, send it again")
}

// takeTimeout is how long the store may take for a mail.
const takeTimeout = time.Minute

func answer(code int, enhanced gosmtp.EnhancedCode, text string) error {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}
