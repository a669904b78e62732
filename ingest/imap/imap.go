// Package imap fetches mail from mailboxes and hands it to ingest. It is for mail
// that can be delivered in no other way. What a mail means is the business of
// package email.
package imap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// What happens to a mail that was taken.
const (
	// MarkSeen leaves it there. Only mails that nobody has seen are taken.
	MarkSeen = "mark_seen"
	// Delete removes it.
	Delete = "delete"
)

// How the connection is encrypted.
const (
	TLS      = "tls"
	StartTLS = "starttls"
	Plain    = "none"
)

// Config is one mailbox in the section imap: of the configuration file.
type Config struct {
	// Server is host:port.
	Server string `yaml:"server"`
	// Encryption is tls, starttls or none; empty means tls.
	Encryption string `yaml:"encryption"`
	// CAFile holds who may sign the server's certificate; empty means whom the
	// system trusts.
	CAFile       string        `yaml:"ca_file"`
	Username     string        `yaml:"username"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// Mailbox is the folder; empty means INBOX.
	Mailbox string `yaml:"mailbox"`
	// Source is whose mails these are; empty means email.
	Source string `yaml:"source"`
	// Interval is how often the mailbox is looked at; 0 means a minute.
	Interval model.Duration `yaml:"interval"`
	// Afterwards is mark_seen or delete; empty means mark_seen.
	Afterwards string `yaml:"afterwards"`
}

// Complete fills in what is empty.
func (c Config) Complete() Config {
	for _, d := range []struct {
		value *string
		usual string
	}{{&c.Encryption, TLS}, {&c.Mailbox, "INBOX"}, {&c.Source, "email"}, {&c.Afterwards, MarkSeen}} {
		if *d.value == "" {
			*d.value = d.usual
		}
	}
	if c.Interval == 0 {
		c.Interval = model.Duration(time.Minute)
	}
	return c
}

// Authorities reads CAFile; nil means the system's.
func (c Config) Authorities() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", c.CAFile)
	}
	return pool, nil
}

const (
	// pollTime is how long a look at a mailbox may take.
	pollTime = 5 * time.Minute
	// maxMails is how many mails are taken at a time; the others wait for the next poll.
	maxMails = 1000
	// maxMail is how much of a mail is fetched, in bytes.
	maxMail = 32 << 20
	// takeTime is how long the store may take for a mail.
	takeTime = time.Minute
)

// Taker is where mails go.
type Taker interface {
	// Take returns when the mail is durable; see ingest.Handler.
	Take(ctx context.Context, source string, r ingest.Request) (ingest.Taken, error)
}

// Poller looks at one mailbox.
type Poller struct {
	config Config
	taker  Taker
	log    *slog.Logger
}

// New returns a poller for a configuration that was checked.
func New(c Config, taker Taker, log *slog.Logger) *Poller {
	c = c.Complete()
	return &Poller{config: c, taker: taker, log: log.With("mailbox", c.Username+"@"+c.Server+"/"+c.Mailbox)}
}

// Run looks into the mailbox until ctx ends: as soon as something is new where the
// server can say so (IDLE, RFC 2177), and at each interval in any case. A failure
// is logged when it begins and when it ends.
func (p *Poller) Run(ctx context.Context) error {
	failing := false
	looked := func() {
		if failing {
			p.log.InfoContext(ctx, "mail is fetched again")
			failing = false
		}
	}
	for {
		err := p.session(ctx, looked)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			p.log.ErrorContext(ctx, "mail is not fetched", "err", err)
			failing = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.pause()):
		}
	}
}

// pause is about an interval: not all mailboxes are looked into at once.
func (p *Poller) pause() time.Duration {
	interval := time.Duration(p.config.Interval)
	return interval - interval/20 + rand.N(interval/10+1)
}

// Poll takes the mails that are there. A mail is marked when it is durable, so one
// that was not marked for a failure comes again, which is harmless.
func (p *Poller) Poll(ctx context.Context) error {
	c, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := p.look(ctx, c); err != nil {
		return err
	}
	return c.Logout().Wait()
}

// session looks into the mailbox again and again as long as the server tells of
// news; looked is called each time that it worked.
func (p *Poller) session(ctx context.Context, looked func()) error {
	c, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		if err := p.look(ctx, c); err != nil {
			return err
		}
		looked()
		if !c.Caps().Has(imap.CapIdle) {
			return c.Logout().Wait()
		}
		if err := p.idle(ctx, c); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// idle waits until something is new, or an interval has passed.
func (p *Poller) idle(ctx context.Context, c *connection) error {
	waiting, err := c.Idle()
	if err != nil {
		return fmt.Errorf("imap: idle: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-c.news:
	case <-c.Closed():
	case <-time.After(p.pause()):
	}
	if err := errors.Join(waiting.Close(), waiting.Wait()); err != nil {
		return fmt.Errorf("imap: idle: %w", err)
	}
	return nil
}

// connection is one to the server, with the mailbox selected.
type connection struct {
	*imapclient.Client
	conn net.Conn
	// news has something in it when the server said that the mailbox has changed.
	news chan struct{}
	stop func() bool
}

func (c *connection) close() {
	c.stop()
	_ = c.Close() // the server has hung up after the logout
}

func (p *Poller) connect(ctx context.Context) (*connection, error) {
	// The client sets deadlines of its own: closing the connection is what ends it.
	begun, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	conn, err := dialer.DialContext(begun, "tcp", p.config.Server)
	if err != nil {
		return nil, fmt.Errorf("imap: %w", err)
	}
	late := context.AfterFunc(begun, func() { _ = conn.Close() })
	c := &connection{conn: conn, news: make(chan struct{}, 1)}
	if c.Client, err = p.greet(c); err != nil {
		return nil, fmt.Errorf("imap: %w", errors.Join(err, conn.Close()))
	}
	if err = c.Login(p.config.Username, p.config.Password.Reveal()).Wait(); err != nil {
		err = fmt.Errorf("imap: log in: %w", err)
	} else if _, err = c.Select(p.config.Mailbox, nil).Wait(); err != nil {
		err = fmt.Errorf("imap: select %q: %w", p.config.Mailbox, err)
	}
	if !late() && err == nil {
		err = fmt.Errorf("imap: %w", context.Cause(begun))
	}
	if err != nil {
		_ = c.Close() // err says what is wrong
		return nil, err
	}
	c.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now().Add(time.Second)) }) // for a logout
	return c, nil
}

// look takes the mails that are there, the oldest first.
func (p *Poller) look(ctx context.Context, c *connection) error {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })()
	select {
	case <-c.news: // what was new until now is looked at
	default:
	}
	criteria := &imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagDeleted}}
	if p.config.Afterwards == MarkSeen {
		criteria.NotFlag = append(criteria.NotFlag, imap.FlagSeen)
	}
	found, err := c.UIDSearch(criteria, nil).Wait()
	if err != nil {
		return fmt.Errorf("imap: search: %w", err)
	}
	uids := found.AllUIDs()
	slices.Sort(uids)
	for _, uid := range uids[:min(len(uids), maxMails)] {
		if err := p.take(ctx, c.Client, uid); err != nil {
			return err
		}
	}
	return nil
}

// greet begins to speak, encrypted as it should be.
func (p *Poller) greet(c *connection) (*imapclient.Client, error) {
	host, _, err := net.SplitHostPort(p.config.Server)
	if err != nil {
		return nil, err
	}
	roots, err := p.config.Authorities()
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	options := &imapclient.Options{TLSConfig: settings, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(*imapclient.UnilateralDataMailbox) {
			select {
			case c.news <- struct{}{}:
			default: // somebody is on the way already
			}
		}}}
	conn := c.conn
	switch p.config.Encryption {
	case StartTLS:
		return imapclient.NewStartTLS(conn, options)
	case TLS:
		conn = tls.Client(conn, settings)
	}
	client := imapclient.New(conn, options)
	return client, client.WaitGreeting()
}

// take fetches a mail, hands it over and marks it.
func (p *Poller) take(ctx context.Context, client *imapclient.Client, uid imap.UID) error {
	body := &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Size: maxMail}}
	messages, err := client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	if err != nil {
		return fmt.Errorf("imap: fetch: %w", err)
	}
	if len(messages) == 0 { // somebody else took it
		return nil
	}
	taking, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	_, err = p.taker.Take(taking, p.config.Source, ingest.Request{Body: messages[0].FindBodySection(body)})
	var bad *ingest.BodyError
	switch {
	case err == nil, errors.As(err, &bad): // a dead letter is kept
	case errors.Is(err, ingest.ErrTooLarge):
		p.log.ErrorContext(ctx, "a mail is over the limit of its source and is left out", "uid", uid)
	default:
		return fmt.Errorf("imap: mail %d: %w", uid, err)
	}
	return p.done(client, uid)
}

func (p *Poller) done(client *imapclient.Client, uid imap.UID) error {
	flag := imap.FlagSeen
	if p.config.Afterwards == Delete {
		flag = imap.FlagDeleted
	}
	set := imap.UIDSetNum(uid)
	if err := client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}, nil).Close(); err != nil {
		return fmt.Errorf("imap: mark: %w", err)
	}
	if flag != imap.FlagDeleted {
		return nil
	}
	expunge := client.Expunge
	if client.Caps().Has(imap.CapUIDPlus) { // else what others have marked goes too
		expunge = func() *imapclient.ExpungeCommand { return client.UIDExpunge(set) }
	}
	if err := expunge().Close(); err != nil {
		return fmt.Errorf("imap: delete: %w", err)
	}
	return nil
}
