package email

import (
	"bytes"
	"strings"
)

// mailFields are fields that no other kind of body begins with.
var mailFields = words("from to cc subject date message-id received return-path delivered-to mime-version sender reply-to x-original-to envelope-to " +
	"authentication-results dkim-signature x-mailer in-reply-to content-type auto-submitted list-id x-priority")

// telling are those of them of which a mail has at least one.
var telling = words("from subject received return-path message-id delivered-to")

// Sniff reports whether a body is a raw mail: it begins with fields, and at least
// two of them are those of a mail.
func Sniff(body []byte) bool {
	body = trimEnvelope(body)
	if len(body) == 0 || body[0]|0x20 < 'a' || body[0]|0x20 > 'z' { // all that is JSON
		return false
	}
	if name, _, ok := bytes.Cut(body[:min(len(body), 80)], []byte(":")); !ok || !isName(name) {
		return false
	}
	h, _, _ := splitHeader(body[:min(len(body), 64<<10)])
	known, tells := map[string]bool{}, false
	for _, f := range h {
		if len(f.name) > 40 {
			continue
		}
		if name := strings.ToLower(string(f.name)); mailFields[name] {
			known[name] = true
			tells = tells || telling[name]
		}
	}
	return tells && len(known) >= 2
}
