package email

import (
	"bytes"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// What is looked at of a mail. The rest is skipped; the alert says that something
// was left out.
const (
	maxDepth  = 10
	maxParts  = 4000
	maxMails  = 1000      // that are attached, and the one they are attached to
	maxHeader = 256 << 10 // of one part, in bytes
	maxFields = 500       // in one header
	maxHeads  = 50_000    // fields in all headers
	maxText   = 256 << 10 // of one part, decoded
	maxKept   = 512 << 10 // of all parts, decoded
)

// walker goes through the parts of a mail (RFC 2045 and 2046). It looks at each
// byte once for each level of nesting, decodes nothing but text, and keeps no
// copy of anything else.
type walker struct {
	parts, mails, fields, kept int
	// cut: something was left out; unread: parts of it, which may be mails.
	cut, unread bool
}

// read makes a mail of what came over the wire. Every body is one.
func read(raw []byte) *mail {
	w := &walker{}
	m := w.message(raw, 0)
	if w.cut {
		m.mark(alert.FlagCut)
	}
	m.unread = w.unread
	return m
}

func (w *walker) message(raw []byte, depth int) *mail {
	h, body := w.header(trimEnvelope(raw))
	m := &mail{head: h}
	w.part(m, h, body, "text/plain", depth)
	m.finish()
	return m
}

func (w *walker) header(raw []byte) (header, []byte) {
	h, body, whole := splitHeader(raw)
	w.cut = w.cut || !whole
	w.fields += len(h)
	return h, body
}

// part takes what it needs of a part: usual is its type if it names none.
func (w *walker) part(m *mail, h header, body []byte, usual string, depth int) {
	if w.parts++; w.parts > maxParts || w.fields > maxHeads || depth > maxDepth {
		w.cut, w.unread = true, true
		return
	}
	media, params := contentType(h.get("Content-Type"))
	if media == "" {
		media = usual
	}
	disposition, _ := contentType(h.get("Content-Disposition"))
	encoding := strings.ToLower(h.get("Content-Transfer-Encoding"))
	switch {
	case strings.HasPrefix(media, "multipart/"):
		if media == "multipart/report" {
			m.report = true
		}
		usual := "text/plain"
		if media == "multipart/digest" {
			usual = "message/rfc822"
		}
		n := eachPart(body, params["boundary"], func(part []byte) bool {
			h, body := w.header(part)
			w.part(m, h, body, usual, depth+1)
			return w.parts <= maxParts && w.fields <= maxHeads
		})
		if n == 0 { // the boundary is nowhere: better all of it than nothing
			m.texts = append(m.texts, w.keep(m, body, encoding, params["charset"]))
		}
	case media == "message/rfc822" || media == "message/global":
		if encoding == "base64" { // RFC 2046 forbids it, but it is sent
			var cut bool
			body, cut = decodeTransfer(body, encoding, maxText)
			w.cut = w.cut || cut
		}
		if w.mails++; w.mails >= maxMails {
			w.cut, w.unread = true, true
			return
		}
		m.inner = append(m.inner, w.message(body, depth+1))
	case disposition == "attachment":
	case media == "text/plain":
		m.texts = append(m.texts, w.keep(m, body, encoding, params["charset"]))
	case media == "text/html":
		m.pages = append(m.pages, w.keep(m, body, encoding, params["charset"]))
	}
}

// keep returns the text of a part.
func (w *walker) keep(m *mail, body []byte, encoding, charset string) string {
	raw, cut := decodeTransfer(body, encoding, min(maxText, maxKept-w.kept))
	w.cut = w.cut || cut
	w.kept += len(raw)
	text, flags := toUTF8(charset, raw)
	m.mark(flags)
	return text
}

// eachPart calls f with each part between the boundaries until it returns false,
// and returns how many there were. The last boundary may be missing.
func eachPart(body []byte, boundary string, f func([]byte) bool) (n int) {
	if boundary == "" || len(boundary) > 200 { // RFC 2046 allows 70
		return 0
	}
	delimiter := []byte("--" + boundary)
	start := -1 // of the part; -1 in front of the first one
	for at := 0; ; {
		i := bytes.Index(body[at:], delimiter)
		if i < 0 {
			break
		}
		i += at
		rest := body[i+len(delimiter):]
		last, ok := endsLine(rest)
		if at = i + len(delimiter); i > 0 && body[i-1] != '\n' || !ok {
			continue
		}
		if start >= 0 {
			n++
			if !f(body[start:max(start, lineEnd(body, i))]) || last {
				return n
			}
		} else if last {
			return n
		}
		if eol := bytes.IndexByte(rest, '\n'); eol >= 0 {
			start = at + eol + 1
		} else {
			start = len(body)
		}
		at = start
	}
	if start >= 0 && start < len(body) {
		n++
		f(body[start:])
	}
	return n
}

// endsLine reports whether what follows a delimiter makes it one, and the last one.
func endsLine(rest []byte) (last, ok bool) {
	if bytes.HasPrefix(rest, []byte("--")) {
		return true, true
	}
	for i, c := range rest {
		switch {
		case c == '\n':
			return false, true
		case c != ' ' && c != '\t' && c != '\r' || i > 64:
			return false, false
		}
	}
	return false, true
}

// lineEnd is the end of the line in front of i, without its line break.
func lineEnd(body []byte, i int) int {
	if i > 0 && body[i-1] == '\n' {
		if i--; i > 0 && body[i-1] == '\r' {
			i--
		}
	}
	return i
}
