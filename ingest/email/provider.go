package email

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// provided reads the posts of services that receive mail; nil if it is none.
//
// Mailgun: https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/
// SendGrid: https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
// Postmark: https://postmarkapp.com/developer/webhooks/inbound-webhook
func provided(r ingest.Request) (*mail, error) {
	if trimmed := bytes.TrimLeft(r.Body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return postmark(r.Body)
	}
	form, err := formParts(r.ContentType, r.Body)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"body-mime", "email"} { // of Mailgun and SendGrid
		if raw := form[name]; Sniff(raw) {
			return read(raw), nil
		}
	}
	value := func(names ...string) string {
		for _, name := range names {
			if v := form[name]; len(v) > 0 {
				return string(v)
			}
		}
		return ""
	}
	p := parts{from: value("from", "From", "sender"), subject: value("subject", "Subject"), text: value("body-plain", "text"),
		html: value("body-html", "html"), id: value("Message-Id"), date: value("Date"), head: form["headers"]}
	if p.from == "" || p.subject == "" && p.text == "" && p.html == "" {
		return nil, nil
	}
	if list := form["message-headers"]; list != nil {
		v, _, err := fields.JSON(list)
		if err != nil {
			return nil, fmt.Errorf("message-headers: %w", err)
		}
		p.pairs(v)
	}
	return p.mail(), nil
}

// postmark reads the JSON of Postmark's inbound webhook.
func postmark(body []byte) (*mail, error) {
	v, _, err := fields.JSON(body)
	if err != nil {
		return nil, err
	}
	text := func(name string) string { return fields.Text(fields.At(v, name)) }
	if raw := text("RawEmail"); Sniff([]byte(raw)) {
		return read([]byte(raw)), nil
	}
	p := parts{from: text("From"), subject: text("Subject"), text: text("TextBody"), html: text("HtmlBody"), date: text("Date")}
	if p.from == "" || fields.At(v, "MessageID") == nil && fields.At(v, "Headers") == nil {
		return nil, nil
	}
	p.pairs(fields.At(v, "Headers"))
	return p.mail(), nil
}

// parts is a mail that a service has taken apart.
type parts struct {
	from, subject, text, html, id, date string
	head                                []byte
	more                                []string // names and values of fields in turn
}

// pairs takes fields as a list of names and values: ["a", "b"] or {"Name": "a", "Value": "b"}.
func (p *parts) pairs(v any) {
	list, _ := v.([]any)
	for _, e := range list[:min(len(list), maxFields)] {
		name, value := fields.Text(fields.At(e, "Name")), fields.Text(fields.At(e, "Value"))
		if pair, ok := e.([]any); ok && len(pair) == 2 {
			name, value = fields.Text(pair[0]), fields.Text(pair[1])
		}
		if isName([]byte(name)) {
			p.more = append(p.more, name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
		}
	}
}

func (p *parts) mail() *mail {
	h, _, _ := splitHeader(p.head)
	add := func(name, value string) {
		if value != "" && !h.has(name) {
			h = append(h, field{[]byte(name), []byte(value)})
		}
	}
	for i := 0; i+1 < len(p.more); i += 2 {
		add(p.more[i], p.more[i+1])
	}
	add("From", p.from)
	add("Subject", p.subject)
	add("Message-ID", p.id)
	add("Date", p.date)
	w := &walker{}
	m := &mail{head: h}
	m.texts = []string{w.keep(m, []byte(p.text), "", "")}
	m.pages = []string{w.keep(m, []byte(p.html), "", "")}
	m.finish()
	return m
}

// formParts reads a form without changing the bytes of a value, which may be a
// raw mail. The first of equal names counts, and files are left out.
func formParts(declared string, body []byte) (map[string][]byte, error) {
	form := map[string][]byte{}
	media, params := contentType(declared)
	boundary := params["boundary"]
	if line, rest, _ := bytes.Cut(body[:min(len(body), 300)], []byte("\n")); media != "multipart/form-data" && bytes.HasPrefix(line, []byte("--")) &&
		bytes.HasPrefix(bytes.ToLower(rest), []byte("content-")) {
		media, boundary = "multipart/form-data", string(bytes.TrimRight(line[2:], "\r"))
	}
	if media == "multipart/form-data" {
		eachPart(body, boundary, func(part []byte) bool {
			h, value, _ := splitHeader(part)
			_, d := contentType(h.get("Content-Disposition"))
			if name := d["name"]; name != "" && form[name] == nil && d["filename"] == "" {
				form[name] = value
			}
			return len(form) < maxFields
		})
		return form, nil
	}
	rest := bytes.TrimSpace(body)
	for n := 0; len(rest) > 0; n++ {
		if n == maxFields {
			return nil, fmt.Errorf("the form has more than %d fields", maxFields)
		}
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		name, value, ok := bytes.Cut(pair, []byte("="))
		if !ok || len(name) > 100 {
			continue
		}
		key, err := url.QueryUnescape(string(name))
		if err != nil || form[key] != nil {
			continue
		}
		text, err := url.QueryUnescape(string(value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		form[key] = []byte(text)
	}
	return form, nil
}
