package email

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// manyBytes begin the names of charsets in which bytes below 128 are not, or not
// always, ASCII, or in which valid UTF-8 may be meant as something else.
var manyBytes = []string{"utf-16", "utf-32", "utf-7", "utf16", "utf32", "ucs", "iso-10646", "gb", "hz-gb", "big5", "euc", "shift", "sjis", "iso-2022", "ks_c", "cp932"}

// toUTF8 decodes text. The label is a hint: programs call UTF-8 anything, such as
// ANSI_X3.4-1968 when they run without a locale, so what is valid UTF-8 counts as that.
// What fits nothing is read as Windows-1252, so that nothing is lost.
func toUTF8(label string, raw []byte) (string, alert.Flag) {
	label = strings.ToLower(strings.Trim(label, " \t'\""))
	wide := false
	for _, prefix := range manyBytes {
		wide = wide || strings.HasPrefix(label, prefix)
	}
	if !wide && utf8.Valid(raw) {
		return clean(string(raw))
	}
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "iso-8859-1", "latin1", "iso8859-1", "unknown-8bit":
		label = "windows-1252" // as browsers do: it holds all of ISO-8859-1 that is text
	}
	for _, l := range []string{label, "windows-1252"} {
		r, err := charset.Reader(l, bytes.NewReader(raw))
		if err != nil {
			continue
		}
		if out, err := io.ReadAll(r); err == nil {
			return clean(string(out))
		}
	}
	return clean(string(raw))
}

func clean(s string) (string, alert.Flag) { return fields.Clean(strings.TrimPrefix(s, "\ufeff")) }

// decodeTransfer undoes a Content-Transfer-Encoding, as far as limit bytes, and
// says if there was more. It skips what the encodings do not know.
func decodeTransfer(raw []byte, encoding string, limit int) (out []byte, cut bool) {
	switch encoding {
	case "base64":
		return decodeBase64(raw, limit)
	case "quoted-printable":
		return decodeQuoted(raw, limit, false)
	}
	if len(raw) > limit {
		return raw[:limit], true
	}
	return raw, false
}

// base64Value is the value of each byte in the alphabet of RFC 4648, -1 for others.
var base64Value = func() (v [256]int8) {
	for i := range v {
		v[i] = -1
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		v[c] = int8(i)
	}
	return v
}()

func decodeBase64(raw []byte, limit int) (out []byte, cut bool) {
	out = make([]byte, 0, min(limit, len(raw)*3/4+3))
	var bits uint32
	n := 0
	for _, c := range raw {
		if c == '=' {
			bits, n = 0, 0 // texts that were joined have padding in the middle
			continue
		}
		v := base64Value[c]
		if v < 0 {
			continue
		}
		bits, n = bits<<6|uint32(v), n+6
		if n >= 8 {
			if len(out) == limit {
				return out, true
			}
			n -= 8
			out = append(out, byte(bits>>n))
		}
	}
	return out, false
}

// decodeQuoted reads quoted-printable (RFC 2045, section 6.7), or with word the Q
// encoding of RFC 2047, in which _ is a blank.
func decodeQuoted(raw []byte, limit int, word bool) (out []byte, cut bool) {
	out = make([]byte, 0, min(limit, len(raw)))
	for i := 0; i < len(raw); i++ {
		if len(out) >= limit {
			return out, true
		}
		c := raw[i]
		switch {
		case c == '_' && word:
			c = ' '
		case c != '=':
		case i+2 < len(raw) && hexValue(raw[i+1]) >= 0 && hexValue(raw[i+2]) >= 0:
			c = byte(hexValue(raw[i+1])<<4 | hexValue(raw[i+2]))
			i += 2
		default: // a soft line break, else an = that means itself
			if end, ok := softBreak(raw[i+1:]); ok {
				i += end
				continue
			}
		}
		out = append(out, c)
	}
	return out, false
}

// softBreak is the length of blanks and a line break, or the end of the text.
func softBreak(rest []byte) (n int, ok bool) {
	for i, c := range rest {
		switch {
		case c == '\n':
			return i + 1, true
		case c != ' ' && c != '\t' && c != '\r' || i > 64:
			return 0, false
		}
	}
	return len(rest), true
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decodeWords decodes the encoded words of a field (RFC 2047). Neighbours of one
// charset are joined before they are decoded: senders cut in the middle of a
// character. A word that is none stays as it is.
func decodeWords(s string) (string, alert.Flag) {
	if !strings.Contains(s, "=?") {
		return toUTF8("", []byte(s))
	}
	var out strings.Builder
	var flags alert.Flag
	var pending []byte // bytes in the charset label
	label := ""
	add := func(l string, raw []byte) {
		text, f := toUTF8(l, raw)
		flags |= f
		out.WriteString(text)
	}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			i = len(s)
		}
		between := s[:i]
		l, raw, rest, ok := encodedWord(s[i:])
		if ok {
			if pending != nil && (l != label || strings.TrimSpace(between) != "") {
				add(label, pending)
				pending = nil
				if strings.TrimSpace(between) == "" {
					between = ""
				}
			}
			if pending == nil {
				add("", []byte(between))
			}
			label, pending, s = l, append(pending, raw...), rest
			continue
		}
		if pending != nil {
			add(label, pending)
			pending = nil
		}
		if i < len(s) { // an =? that begins no word
			i += 2
		}
		add("", []byte(s[:i]))
		s = s[i:]
	}
	if pending != nil {
		add(label, pending)
	}
	return out.String(), flags
}

// encodedWord reads the word that s begins with: =?charset?encoding?text?=
func encodedWord(s string) (label string, raw []byte, rest string, ok bool) {
	if !strings.HasPrefix(s, "=?") {
		return "", nil, s, false
	}
	label, after, ok := strings.Cut(s[2:], "?")
	if !ok || len(label) > 40 || len(after) < 2 || after[1] != '?' || strings.ContainsAny(label, " \t") {
		return "", nil, s, false
	}
	text, rest, ok := strings.Cut(after[2:], "?=")
	if !ok {
		return "", nil, s, false
	}
	label, _, _ = strings.Cut(label, "*") // RFC 2231: a language
	switch after[0] {
	case 'b', 'B':
		raw, _ = decodeBase64([]byte(text), maxValue)
	case 'q', 'Q':
		// A text that ends with = has it from the ?= behind it.
		raw, _ = decodeQuoted([]byte(text), maxValue, true)
	default:
		return "", nil, s, false
	}
	return strings.ToLower(label), raw, rest, true
}
