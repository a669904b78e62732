package nagios

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// maxRaw is how much is shown of a text that is not understood, in bytes.
const maxRaw = 4 << 10

// salvage takes what can be found in JSON that is none: output of a plugin was
// pasted into it, and quotes or a backslash in that broke it. Who sent it will not
// send it again, and it may be the only word of an outage.
func salvage(body []byte, cause error) (ingest.Batch, error) {
	reason := fmt.Sprintf("not valid JSON (%v); let the notification command quote the values, or send a form", cause)
	m := scan(body)
	a, err := m.alert()
	if err == nil {
		a.Flags |= alert.FlagUnparsed
		return ingest.Batch{Alerts: []alert.Alert{a}, Unparsed: []ingest.Rejected{ingest.Reject(0, "body", "", reason, body)}}, nil
	}
	if m.isProblem() || cries(body) {
		return unparsed(reason, body), nil
	}
	return ingest.Batch{}, ingest.Errorf("", "%s", reason)
}

// unparsed makes an alert of a text that says nothing but that there is trouble.
func unparsed(reason string, body []byte) ingest.Batch {
	// A few bytes more than are shown, so that no character is cut in the middle.
	text, flags := fields.Clean(alert.CutText(string(body[:min(len(body), maxRaw+4)]), maxRaw))
	summary, _, _ := strings.Cut(text, "\n")
	a := alert.Alert{
		Status:      alert.Firing,
		Labels:      fields.Labels("alertname", "Unparsed notification"),
		Annotations: fields.Labels("summary", alert.CutText(strings.TrimSpace(summary), 200), "description", text),
		Flags:       flags | alert.FlagUnparsed,
	}
	return ingest.Batch{Alerts: []alert.Alert{a}, Unparsed: []ingest.Rejected{ingest.Reject(0, "body", "", reason, body)}}
}

// cries reports whether a text has one of the words for trouble in it.
func cries(body []byte) bool {
	word := make([]byte, 0, 16)
	for i := 0; i <= len(body); i++ {
		if i < len(body) && ('a' <= body[i]|0x20 && body[i]|0x20 <= 'z' || body[i] == '_') {
			if len(word) < cap(word) {
				word = append(word, body[i]|0x20)
			}
			continue
		}
		switch string(word) {
		case "problem", "critical", "down", "unreachable", "warning":
			return true
		}
		word = word[:0]
	}
	return false
}

// maxScanned is how many members are looked at.
const maxScanned = 1000

// scan looks for members of an object, "name": "value" or "name": value, and does
// not mind what is between them. A text ends at the quote after which the next
// member, or the end, follows. Each byte is looked at a few times at most.
func scan(body []byte) *macros {
	m := newMacros(0)
	for n := 0; n < maxScanned; n++ {
		name, rest, ok := nextName(body)
		if !ok {
			break
		}
		var value []byte
		if len(rest) > 0 && rest[0] == '"' {
			value, body = cutText(rest[1:])
		} else {
			end := bytes.IndexAny(rest, ",}\n")
			if end < 0 {
				end = len(rest)
			}
			value, body = rest[:end], rest[end:]
		}
		text, flags := fields.Clean(withoutQuoting.Replace(string(value)))
		if m.flags |= flags; text != "null" {
			m.set(string(name), text)
		}
	}
	return m
}

// nextName finds the next name with a colon behind it, and returns what follows.
func nextName(body []byte) (name, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(body, '"')
		if i < 0 {
			return nil, nil, false
		}
		body = body[i+1:]
		if name, rest, ok = member(body); ok {
			return name, rest, true
		}
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

// cutText returns a text up to its closing quote, and what is behind that.
func cutText(b []byte) (value, rest []byte) {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '"')
		if i < 0 {
			return b, nil
		}
		at += i + 1
		after := skipBlanks(b[at:])
		if len(after) == 0 || after[0] == '}' && len(skipBlanks(after[1:])) == 0 {
			return b[:at-1], nil
		}
		if after[0] != ',' {
			continue
		}
		next := skipBlanks(after[1:])
		if len(next) == 0 || next[0] == '}' {
			return b[:at-1], nil
		}
		if _, _, ok := member(next[1:]); ok && next[0] == '"' {
			return b[:at-1], next
		}
	}
}

// withoutQuoting takes away the backslashes that JSON wants, and leaves all others.
var withoutQuoting = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\/`, `/`)
