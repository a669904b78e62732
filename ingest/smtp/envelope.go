package smtp

import (
	"bytes"
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// envelope returns the mail for a source: in front of it stands what only the
// envelope said and what we found out about the sender. What somebody else
// wrote there in our name is taken away.
func (s *session) envelope(raw []byte, source string) []byte {
	var b bytes.Buffer
	b.Grow(len(raw) + 1<<10)
	b.WriteString("Return-Path: <" + oneLine(s.from) + ">\r\n")
	for _, to := range s.to {
		if to.source == source {
			b.WriteString("Delivered-To: " + oneLine(to.address) + "\r\n")
		}
	}
	if s.s.CheckSenders {
		b.WriteString(s.results(raw))
	}
	writeWithout(&b, raw, s.s.Hostname)
	return b.Bytes()
}

// oneLine is a value that cannot begin a new field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// writeWithout writes a mail without the Authentication-Results that a server of
// our name has made (RFC 8601, section 5).
func writeWithout(b *bytes.Buffer, raw []byte, hostname string) {
	if len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') {
		b.WriteString("X-First-Line:") // or it would continue what we have written
	}
	for len(raw) > 0 && raw[0] != '\r' && raw[0] != '\n' {
		end := fieldEnd(raw)
		if !isOurs(raw[:end], hostname) {
			b.Write(raw[:end])
		}
		raw = raw[end:]
	}
	b.Write(raw)
}

// fieldEnd is the length of the first field, with the lines that continue it.
func fieldEnd(raw []byte) int {
	for at := 0; ; {
		eol := bytes.IndexByte(raw[at:], '\n')
		if eol < 0 {
			return len(raw)
		}
		if at += eol + 1; at == len(raw) || raw[at] != ' ' && raw[at] != '\t' {
			return at
		}
	}
}

const authResults = "authentication-results"

// isOurs reports whether a field is one that the source would take for ours. It is
// read as there, because what differs would be a way around it.
func isOurs(field []byte, hostname string) bool {
	name, value, ok := bytes.Cut(field, []byte(":"))
	if !ok || !strings.EqualFold(string(bytes.TrimSpace(name)), authResults) {
		return false
	}
	server := email.AuthServer(value)
	return server == "" || strings.EqualFold(server, hostname)
}
