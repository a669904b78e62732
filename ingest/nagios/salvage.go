package nagios

import (
	"crypto/sha256"
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
		Status: alert.Firing,
		// Nothing but the text tells one such cry from another.
		Key:         fmt.Sprintf("text!%x", sha256.Sum256(body)),
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

// scan looks for members of an object.
func scan(body []byte) *macros {
	m := newMacros(0)
	for n := 0; n < maxScanned; n++ {
		member, ok := fields.NextMember(body)
		if !ok {
			break
		}
		if body = body[member.End:]; member.Nested() {
			continue
		}
		text, flags := fields.Clean(withoutQuoting.Replace(string(member.Value)))
		if m.flags |= flags; text != "null" {
			m.set(string(member.Name), text)
		}
	}
	return m
}

// withoutQuoting takes away the backslashes that JSON wants, and leaves all others.
var withoutQuoting = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\/`, `/`)
