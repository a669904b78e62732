// Package email makes alerts of mails. It reads mails of any shape within fixed
// limits, knows those of the usual programs, and lets nobody who wrote one go
// unheard: what it does not know becomes an alert too. Mails that answer for, or
// come from, a person, or are about another mail open nothing.
//
// It does not receive mail; see package smtp.
package email

import (
	"fmt"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Name is the format's name.
const Name = "email"

// Format understands raw messages (RFC 5322), and the posts in which Mailgun,
// SendGrid and Postmark pass mail on.
var Format = newFormat(&decoder{})

func newFormat(d *decoder) ingest.Format {
	return ingest.Format{
		Name:      Name,
		BodyLimit: 32 * ingest.MiB,
		Batches:   ingest.Whole(d.decode),
		Repeats:   true, // mail servers, and the services, try again for days
		Configure: func(c ingest.SourceConfig) (ingest.Format, error) {
			d, mistakes := configure(c.Email)
			if len(mistakes) > 0 {
				return ingest.Format{}, mistakes
			}
			return newFormat(d), nil
		},
	}
}

// decoder is the format as a source wants it.
type decoder struct {
	rules      []rule
	senders    []string
	recipients []string
	authserv   string
	require    []string
}

func (d *decoder) decode(r ingest.Request) (ingest.Batch, error) {
	m, err := open(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	if err := d.admit(m); err != nil {
		return ingest.Batch{}, err
	}
	var b ingest.Batch
	d.collect(&b, m, r.Body, 0)
	if m.unread {
		b.Unparsed = append(b.Unparsed, m.letter(len(b.Alerts)-1, "there is more than what is looked at in", r.Body))
	}
	return b, nil
}

// open finds the mail in a body.
func open(r ingest.Request) (*mail, error) {
	if Sniff(r.Body) {
		return read(r.Body), nil
	}
	m, err := provided(r)
	if err != nil {
		return nil, ingest.Errorf("", "%v", err)
	}
	if m == nil {
		return nil, ingest.Foreignf("not a mail: expected a header that begins with fields such as From and Subject, or a post of Mailgun, SendGrid or Postmark")
	}
	return m, nil
}

// collect adds what a mail says.
func (d *decoder) collect(b *ingest.Batch, m *mail, raw []byte, depth int) {
	if why := m.noAlert(); why != "" {
		pass(b, m, why, raw)
		return
	}
	forwarded := m.forwarded()
	if alerts := d.understand(m, forwarded); len(alerts) > 0 {
		b.Alerts = append(b.Alerts, alerts...)
		return
	}
	if len(m.inner) > 0 && depth < maxDepth {
		for _, inner := range m.inner {
			inner.more = m.more
			inner.mark(m.flags)
			d.collect(b, inner, raw, depth+1)
		}
		return
	}
	if forwarded != nil {
		m = forwarded
	} else if why := m.maybeNoAlert(); why != "" {
		pass(b, m, why, raw)
		return
	}
	b.Unparsed = append(b.Unparsed, m.letter(len(b.Alerts), "no parser knows", raw))
	b.Alerts = append(b.Alerts, m.unknown())
}

// pass adds a mail that is no alert as information, which nobody keeps. What could
// be one after all is in a dead letter.
func pass(b *ingest.Batch, m *mail, why string, raw []byte) {
	if why != automatic {
		b.Unparsed = append(b.Unparsed, m.letter(len(b.Alerts), why+":", raw))
	}
	b.Alerts = append(b.Alerts, m.information(why))
}

// letter is a dead letter of the mail that is the element with the given index.
func (m *mail) letter(index int, why string, raw []byte) ingest.Rejected {
	return ingest.Reject(index, "mail", "", fmt.Sprintf("%s a mail from %s with the subject %q", why, m.from.addr, alert.CutText(m.subject, 200)), raw)
}

// understand makes alerts of the mail that was forwarded in m, if there is one, else
// of m itself, or of what its page says.
func (d *decoder) understand(m, forwarded *mail) []alert.Alert {
	if forwarded != nil {
		if alerts := d.parse(forwarded); len(alerts) > 0 {
			return alerts
		}
	}
	if alerts := d.parse(m); len(alerts) > 0 {
		return alerts
	}
	if page := m.page(); page != nil {
		return d.parse(page)
	}
	return nil
}

// parse asks the source's own parsers, then those for the usual programs.
func (d *decoder) parse(m *mail) []alert.Alert {
	for i := range d.rules {
		if a, ok := d.rules[i].parse(m); ok {
			return one(a)
		}
	}
	for _, p := range parsers {
		if p.recognise(m) {
			return p.parse(m)
		}
	}
	return nil
}

// admit refuses a mail that the source does not want, and notes what is known of
// its sender.
func (d *decoder) admit(m *mail) error {
	if !permits(d.senders, m.from.addr) {
		return ingest.Errorf("from", "%s is none of the senders of this source", quoteAddress(m.from.addr))
	}
	if len(d.recipients) > 0 && !d.addressed(m) {
		return ingest.Errorf("to", "the mail is to none of the recipients of this source")
	}
	results := m.authResults(d.authserv)
	for _, method := range methods {
		m.more = append(m.more, method, results[method])
	}
	for _, method := range d.require {
		if got := results[method]; got != "pass" {
			if got == "" {
				got = "not checked"
			}
			return ingest.Errorf("from", "the source requires that %s passes, but it is: %s", strings.ToUpper(method), got)
		}
	}
	return nil
}

func quoteAddress(addr string) string { return fmt.Sprintf("%q", alert.CutText(addr, 100)) }

// addressed reports whether one of the recipients is among those of the mail.
func (d *decoder) addressed(m *mail) bool {
	for _, name := range []string{"To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To"} {
		list, _ := addresses(m.head.get(name))
		for _, a := range list {
			if permits(d.recipients, a.addr) {
				return true
			}
		}
	}
	return false
}

// permits reports whether a list of addresses and domains holds addr; an empty
// one holds all.
func permits(list []string, addr string) bool {
	if len(list) == 0 {
		return true
	}
	domain := addr[strings.LastIndexByte(addr, '@')+1:]
	for _, l := range list {
		if l == addr || strings.TrimPrefix(l, "@") == domain && domain != addr {
			return true
		}
	}
	return false
}
