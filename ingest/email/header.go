package email

import (
	"bytes"
	"strings"
	"time"

	netmail "net/mail"

	"github.com/tocsin-gateway/tocsin/alert"
)

// maxValue is how much of one field is read, in bytes.
const maxValue = 8 << 10

// header is the fields of a mail or a part in their order (RFC 5322, section 2.2),
// as they were sent.
type header []field

type field struct{ name, value []byte }

// splitHeader parts a header from its body. It takes what senders get wrong: a
// line that is none of a header's begins the body. Whole is false if the header was
// too large; then its rest counts as the body.
func splitHeader(raw []byte) (h header, body []byte, whole bool) {
	for at := 0; at < len(raw); {
		if at > maxHeader || len(h) == maxFields {
			return h, raw[at:], false
		}
		line, next := raw[at:], len(raw)
		if eol := bytes.IndexByte(line, '\n'); eol >= 0 {
			line, next = line[:eol], at+eol+1
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch name, value, ok := bytes.Cut(line, []byte(":")); {
		case len(line) == 0:
			return h, raw[next:], true
		case (line[0] == ' ' || line[0] == '\t') && len(h) > 0:
			last := &h[len(h)-1]
			last.value = raw[at-len(last.value)-lineBreak(raw, at) : at+len(line)] // both share raw
		case ok && isName(bytes.TrimRight(name, " \t")):
			h = append(h, field{bytes.TrimRight(name, " \t"), value})
		default:
			return h, raw[at:], true
		}
		at = next
	}
	return h, nil, true
}

// lineBreak is the length of the line break in front of at.
func lineBreak(raw []byte, at int) int { return at - lineEnd(raw, at) }

func isName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(name) > 0
}

// raw returns the first field of the name.
func (h header) raw(name string) []byte {
	for _, f := range h {
		if len(f.name) == len(name) && strings.EqualFold(string(f.name), name) {
			return f.value
		}
	}
	return nil
}

func (h header) has(name string) bool { return h.raw(name) != nil }

// get returns the field of the name on one line, without decoding it.
func (h header) get(name string) string { return unfold(h.raw(name)) }

func unfold(value []byte) string {
	value = value[:min(len(value), maxValue)]
	return strings.TrimSpace(withoutBreaks.Replace(string(value)))
}

var withoutBreaks = strings.NewReplacer("\r\n", "", "\n", "")

// trimEnvelope takes away what mail programs put in front of a message.
func trimEnvelope(raw []byte) []byte {
	raw = bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), "\r\n")
	if rest, ok := bytes.CutPrefix(raw, []byte("From ")); ok && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(":")) { // mbox
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	return raw
}

// text returns the field of the name as people read it.
func (h header) text(name string) (string, alert.Flag) {
	s, flags := decodeWords(h.get(name))
	return strings.TrimSpace(s), flags
}

// contentType reads a field such as Content-Type: the value in small letters and
// the parameters, of which boundary and charset are of interest. It takes what
// breaks the grammar of RFC 2045 too.
func contentType(value string) (string, map[string]string) {
	media, rest, _ := strings.Cut(value, ";")
	params := map[string]string{}
	for n := 0; rest != "" && n < 20; n++ {
		var name, v string
		if name, v, rest = strings.TrimSpace(rest), "", ""; name == "" {
			break
		}
		if i := strings.IndexAny(name, "=;"); i >= 0 && name[i] == '=' {
			v, name = strings.TrimLeft(name[i+1:], " \t"), name[:i]
		} else if i >= 0 {
			rest = name[i+1:]
			continue
		}
		if strings.HasPrefix(v, `"`) {
			v, rest, _ = strings.Cut(v[1:], `"`)
			_, rest, _ = strings.Cut(rest, ";")
		} else {
			v, rest, _ = strings.Cut(v, ";")
		}
		params[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(v)
	}
	return strings.ToLower(strings.TrimSpace(media)), params
}

// parseDate reads the field Date; the zero time if it says nothing.
func parseDate(s string) time.Time {
	if s == "" || len(s) > 100 {
		return time.Time{}
	}
	if t, err := netmail.ParseDate(s); err == nil && t.Year() > 1970 && t.Year() < 10000 {
		return t
	}
	return time.Time{}
}
