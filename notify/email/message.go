package email

import (
	"bytes"
	"fmt"
	"html"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"golang.org/x/net/idna"

	"github.com/tocsin-gateway/tocsin/notify"
)

const (
	// headerLimit bounds what a template may put into one header, in bytes, and
	// lineLimit is where a header is folded: RFC 5322 section 2.1.1.
	headerLimit = 900
	lineLimit   = 78
	// recipientsMost is what a server has to take at least: RFC 5321 section 4.5.3.1.8.
	recipientsMost = 100
	// threadFirst is where the memory has the id of the first mail.
	threadFirst = "first"
)

// envelope is one mail, ready to be handed over.
type envelope struct {
	from string
	to   []string
	id   string
	text []byte
}

// write makes the mail of a message.
func (s *Sender) write(m *notify.Message) (*envelope, error) {
	texts := s.templates.Texts(m, nil)
	from, err := mail.ParseAddress(texts.Text("from", s.config.From, ""))
	if err != nil {
		return nil, notify.Permanent("from is not an address, once it is rendered")
	}
	to, err := mail.ParseAddressList(line(texts.Text("to", s.config.To, "")))
	if err != nil {
		// There is nowhere else to send it to.
		return nil, notify.Permanent("to is not a list of addresses, once it is rendered")
	}
	e := &envelope{}
	if e.from, err = ascii(from.Address); err != nil {
		return nil, notify.Permanent("from: %w", err)
	}
	from.Address = e.from
	var named []string
	for _, one := range to {
		address, err := ascii(one.Address)
		if err != nil {
			m.Warn("to", err) // the others are told all the same
			continue
		}
		if one.Address = address; !slices.Contains(e.to, address) {
			e.to, named = append(e.to, address), append(named, one.String())
		}
	}
	if n := len(e.to); n == 0 || n > recipientsMost {
		return nil, notify.Permanent("to has %d addresses that mail can go to; there have to be 1 to %d", n, recipientsMost)
	}
	domain := e.from[strings.LastIndexByte(e.from, '@')+1:]
	e.id = "<tocsin-" + m.MessageID() + "@" + domain + ">"
	h := &fields{values: map[string]string{}}
	h.set("Date", m.SentAt.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	h.set("From", from.String())
	h.set("To", strings.Join(named, ", "))
	h.set("Message-Id", e.id)
	s.headers(h, texts, m, domain)
	var b bytes.Buffer
	h.writeTo(&b)
	if err := s.parts(&b, texts, m); err != nil {
		return nil, err // unreachable: a buffer takes everything
	}
	e.text = b.Bytes()
	return e, nil
}

// fields are the headers in the order in which they are written.
type fields struct {
	names  []string
	values map[string]string
}

func (f *fields) set(name, value string) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	if _, there := f.values[name]; !there {
		f.names = append(f.names, name)
	}
	f.values[name] = value
}

func (f *fields) writeTo(b *bytes.Buffer) {
	for _, name := range f.names {
		b.WriteString(fold(name + ": " + f.values[name]))
		b.WriteString("\r\n")
	}
}

// ours are the headers that the configuration cannot set, because the mail would
// not be one: https://www.iana.org/assignments/message-headers. Bcc would show
// what it is there to hide.
var ours = []string{"Content-Type", "Content-Transfer-Encoding", "Mime-Version", "Bcc", "Resent-Bcc", "Return-Path", "Received"}

// addressed are the headers that hold addresses, and identified those that hold
// ids of mails.
var (
	addressed  = []string{"From", "To", "Cc", "Reply-To", "Sender"}
	identified = []string{"Message-Id", "References", "In-Reply-To"}
)

// headers makes the headers. What the configuration says comes before what is built in.
func (s *Sender) headers(f *fields, texts *notify.Texts, m *notify.Message, domain string) {
	subject := s.config.Headers["Subject"]
	if subject == "" {
		subject = amconfig.DefaultEmailSubject
	}
	f.set("Subject", encode(texts.Text("Subject", subject, m.Headline())))
	// Mails of one incident are a thread, below a first one that need not exist.
	// Programs that want one that does are led to the first that was sent.
	root := "<tocsin-" + m.Incident.ID.String() + day(s.config.Threading, m) + "@" + domain + ">"
	replyTo, references := root, root
	if first := m.Memory[threadFirst]; first != f.values["Message-Id"] && idForm.MatchString(first) {
		replyTo, references = first, root+" "+first
	}
	f.set("In-Reply-To", replyTo)
	f.set("References", references)
	// So that nobody's holiday is told to us: RFC 3834 section 5, and
	// https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxcmail
	f.set("Auto-Submitted", "auto-generated")
	f.set("X-Auto-Response-Suppress", "All")
	f.set("X-Tocsin-Incident", m.Incident.Reference)
	if m.Incident.Severity == "critical" && !m.Resolved() {
		f.set("Importance", "high")
	}
	for _, name := range s.names {
		value := texts.Text(name, s.config.Headers[name], "")
		if slices.Contains(addressed, name) {
			value = addresses(value)
		} else if slices.Contains(identified, name) {
			if value = clean(value); !idForm.MatchString(value) {
				value = ""
			}
		} else {
			value = encode(value)
		}
		if value != "" {
			f.set(name, value)
		}
	}
	f.set("Mime-Version", "1.0")
}

// idForm is one or more message ids.
var idForm = regexp.MustCompile(`^(<[!-;=?-~]+@[!-;=?-~]+>( |$))+$`)

func day(t amconfig.ThreadingConfig, m *notify.Message) string {
	if !t.Enabled || t.ThreadByDate == "none" {
		return ""
	}
	return m.SentAt.UTC().Format("-2006-01-02")
}

// line makes one line of a text, so that it cannot begin another header.
func line(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))), " ")
}

func clean(s string) string { return notify.Cut(line(s), headerLimit) }

// encode makes the value of a header: RFC 2047. What only looks as if it were
// encoded is not decoded by who reads it.
func encode(s string) string {
	return mime.QEncoding.Encode("utf-8", strings.ReplaceAll(clean(s), "=?", "= ?"))
}

// addresses writes a list of addresses anew, so that nothing but addresses is in
// it; empty if it is none.
func addresses(text string) string {
	list, err := mail.ParseAddressList(line(text))
	if err != nil {
		return ""
	}
	var all []string
	for _, one := range list {
		if one.Address, err = ascii(one.Address); err == nil {
			all = append(all, one.String())
		}
	}
	return strings.Join(all, ", ")
}

var (
	// localForm is an atom with dots, RFC 5322 section 3.2.3; literalForm is an
	// address in place of a name, RFC 5321 section 4.1.3.
	localForm   = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")
	literalForm = regexp.MustCompile(`^\[[0-9A-Za-z:.]+\]$`)
)

// ascii is an address as every server takes it.
func ascii(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:max(at, 0)], address[at+1:]
	if !localForm.MatchString(local) {
		return "", fmt.Errorf("%q is not an address that every mail server takes", notify.Cut(line(address), 100))
	}
	if !literalForm.MatchString(domain) {
		var err error
		if domain, err = idna.Lookup.ToASCII(domain); err != nil || domain == "" {
			return "", fmt.Errorf("%q is not at a domain", notify.Cut(line(address), 100))
		}
	}
	return local + "@" + domain, nil
}

// fold breaks a header into lines, at its spaces.
func fold(s string) string {
	var b strings.Builder
	column := 0
	for n, word := range strings.SplitAfter(s, " ") {
		if n > 1 && column+len(strings.TrimSuffix(word, " ")) > lineLimit {
			b.WriteString("\r\n ")
			column = 1
		}
		b.WriteString(word)
		column += len(word)
	}
	return strings.TrimRight(b.String(), " \r\n")
}

// parts writes the text of the mail, plain and as HTML.
func (s *Sender) parts(b *bytes.Buffer, texts *notify.Texts, m *notify.Message) error {
	w := multipart.NewWriter(b)
	// The boundary is that of the message: a resend is the same mail.
	if err := w.SetBoundary("tocsin-" + m.MessageID()); err != nil {
		return err
	}
	fmt.Fprintf(b, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n", w.Boundary())
	plain := m.Plain()
	if s.config.Text != "" {
		plain = texts.Text("text", s.config.Text, plain)
	}
	if err := part(w, "text/plain", plain); err != nil {
		return err
	}
	if s.config.HTML != "" {
		// The preferred form is last: RFC 2046 section 5.1.4.
		if err := part(w, "text/html", s.html(texts, m)); err != nil {
			return err
		}
	}
	return w.Close()
}

func part(w *multipart.Writer, kind, text string) error {
	p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {kind + "; charset=UTF-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		return err
	}
	q := quotedprintable.NewWriter(p)
	if _, err := q.Write([]byte(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD"))); err != nil {
		return err
	}
	return q.Close()
}

// html renders the HTML. Alertmanager's own page says neither who works on it nor
// how to say so; that is put on top of it.
func (s *Sender) html(texts *notify.Texts, m *notify.Message) string {
	failed := len(m.Failed())
	page := texts.HTML("html", s.config.HTML, "")
	if len(m.Failed()) > failed {
		return "<html><body><pre>" + html.EscapeString(m.Plain()) + "</pre>" + s.banner(m) + "</body></html>"
	}
	if s.config.HTML != amconfig.DefaultEmailConfig.HTML {
		return page
	}
	at := strings.Index(page, "<body")
	if at >= 0 {
		if end := strings.IndexByte(page[at:], '>'); end >= 0 {
			at += end + 1
			return page[:at] + s.banner(m) + page[at:]
		}
	}
	return s.banner(m) + page
}

// banner says what happened, who works on it, and where to say so.
func (s *Sender) banner(m *notify.Message) string {
	i := m.Incident
	lines := []string{m.Headline()}
	if m.Remark != "" {
		lines = append(lines, notify.Line(m.Remark))
	}
	links := [][2]string{{"Acknowledge", m.Links.Acknowledge}, {"Resolve", m.Links.Resolve}, {"Incident", m.Links.Incident}, {"Runbook", notify.WebURL(i.Runbook)}}
	switch {
	case m.Resolved():
		lines, links = append(lines, "Resolved by "+notify.Line(i.ResolvedBy)+"."), links[2:]
	case i.AcknowledgedBy != "":
		lines = append(lines, notify.Line(i.AcknowledgedBy)+" works on it.")
	default:
		lines = append(lines, "Nobody works on it yet.")
	}
	var b strings.Builder
	b.WriteString(`<div style="font-family:Helvetica,Arial,sans-serif;font-size:14px;margin:12px auto;max-width:600px;">`)
	for _, line := range lines {
		b.WriteString("<p>" + html.EscapeString(line) + "</p>")
	}
	var anchors []string
	for _, link := range links {
		if link[1] != "" {
			anchors = append(anchors, `<a href="`+html.EscapeString(link[1])+`">`+link[0]+"</a>")
		}
	}
	if len(anchors) > 0 {
		b.WriteString("<p>" + strings.Join(anchors, " · ") + "</p>")
	}
	return b.String() + "</div>"
}
