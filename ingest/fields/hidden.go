package fields

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// WithoutMembers returns JSON with null in place of the values of hidden members,
// which are told by their names and how deep they stand; the members of the
// outermost object stand at 1. Taken are the texts that were there. From where it
// is not valid any more JSON is read loosely, as if all of the rest stood at 1.
func WithoutMembers(body []byte, hidden func(name string, depth int) bool) (taken []string, out []byte) {
	in := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	copied := 0
	for {
		at := int(in.InputOffset())
		token, err := in.ReadToken()
		var value jsontext.Value
		if err == nil {
			kind, n := in.StackIndex(in.StackDepth())
			if kind != jsontext.KindBeginObject || n%2 == 0 || !hidden(token.String(), in.StackDepth()) {
				continue
			}
			if value, err = in.ReadValue(); err == nil {
				// A quote in a text ends it too early.
				if after := skipBlanks(body[in.InputOffset():]); len(after) > 0 && after[0] != ',' && after[0] != '}' {
					err = errBroken
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF) && copied == 0 && at == len(body):
			return nil, body
		case err != nil:
			return looselyWithout(body[at:], hidden, taken, append(out, body[copied:at]...))
		}
		if text, err := jsontext.AppendUnquote(nil, value); err == nil && len(text) > 0 {
			taken = append(taken, string(text))
		}
		end := int(in.InputOffset())
		out = append(append(out, body[copied:end-len(value)]...), "null"...)
		copied = end
	}
}

var errBroken = errors.New("broken")

// looselyWithout does it with JSON that is broken.
func looselyWithout(body []byte, hidden func(string, int) bool, taken []string, out []byte) ([]string, []byte) {
	for {
		m, ok := NextMember(body)
		if !ok {
			return taken, append(out, body...)
		}
		switch hide := hidden(string(m.Name), 1); {
		case hide && m.Nested(): // where it ends cannot be told
			return taken, append(append(out, body[:m.Begin]...), "null"...)
		case hide:
			if m.Quoted && len(m.Value) > 0 {
				taken = append(taken, string(m.Value))
			}
			out = append(append(out, body[:m.Begin]...), "null"...)
			body = body[m.End:]
		default:
			out = append(out, body[:m.End]...)
			body = body[m.End:]
		}
	}
}

// Member is what looks like a member of an object in JSON that is none.
type Member struct {
	Name []byte
	// Value is as it was written, without the quotes around it if it is Quoted.
	Value  []byte
	Quoted bool
	// Begin and End are where the value is, with its quotes.
	Begin, End int
}

// Nested reports whether the value is an object or an array, of which only the
// beginning is the value: the members that follow are as likely in it as not.
func (m Member) Nested() bool {
	return !m.Quoted && len(m.Value) == 1 && (m.Value[0] == '{' || m.Value[0] == '[')
}

// NextMember looks for "name": "value" or "name": value in what is not valid JSON
// and does not mind what is before it. A text ends at the quote after which the
// next member, or the end, follows. Who goes on at End looks at each byte a few
// times at most.
func NextMember(b []byte) (m Member, ok bool) {
	at := 0
	for {
		i := bytes.IndexByte(b[at:], '"')
		if i < 0 {
			return m, false
		}
		at += i + 1
		name, rest, ok := member(b[at:])
		if !ok {
			continue
		}
		m.Name, m.Begin = name, len(b)-len(rest)
		if m.Quoted = len(rest) > 0 && rest[0] == '"'; m.Quoted {
			m.Value = cutText(rest[1:])
			m.End = min(m.Begin+len(m.Value)+2, len(b)) // there may be no quote at the end
			return m, true
		}
		end := len(rest)
		if end > 0 && (rest[0] == '{' || rest[0] == '[') {
			end = 1
		} else if i := bytes.IndexAny(rest, ",}\n"); i >= 0 {
			end = i
		}
		m.Value, m.End = rest[:end], m.Begin+end
		return m, true
	}
}

// maxName is how long the name of a member may be in bytes.
const maxName = 64

// member reads a name up to its closing quote, and the colon.
func member(b []byte) (name, rest []byte, ok bool) {
	end := 0
	for end < len(b) && end <= maxName && isNameByte(b[end]) {
		end++
	}
	if end == 0 || end > maxName || end == len(b) || b[end] != '"' {
		return nil, nil, false
	}
	rest = skipBlanks(b[end+1:])
	if len(rest) == 0 || rest[0] != ':' {
		return nil, nil, false
	}
	return b[:end], skipBlanks(rest[1:]), true
}

func isNameByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_-$ .", c) >= 0
}

// maxBlanks is how many blanks are skipped between members.
const maxBlanks = 256

func skipBlanks(b []byte) []byte {
	n := 0
	for n < len(b) && n < maxBlanks && strings.IndexByte(" \t\r\n", b[n]) >= 0 {
		n++
	}
	return b[n:]
}

// cutText returns a text up to its closing quote.
func cutText(b []byte) []byte {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '"')
		if i < 0 {
			return b
		}
		at += i + 1
		after := skipBlanks(b[at:])
		if len(after) == 0 || after[0] == '}' && len(skipBlanks(after[1:])) == 0 {
			return b[:at-1]
		}
		if after[0] != ',' {
			continue
		}
		next := skipBlanks(after[1:])
		if len(next) == 0 || next[0] == '}' {
			return b[:at-1]
		}
		if _, _, ok := member(next[1:]); ok && next[0] == '"' {
			return b[:at-1]
		}
	}
}
