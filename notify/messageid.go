package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
)

// memorySent counts the messages that a target has taken.
const memorySent = "sent"

// MessageID names this message at a target that shows what it knows only once: it
// is the same when the message is sent again because nobody knows what became of
// it, and another one for everything else that is said, also if the same is said
// again later. That last needs the Memory that Counted returns. It has 32
// hexadecimal digits.
func (m *Message) MessageID() string {
	sum := sha256.Sum256([]byte(m.Key() + "\x00" + string(m.Event) + "\x00" + strconv.FormatUint(m.Incident.TimelineLength, 10) + "\x00" + decimal(m.sent())))
	return hex.EncodeToString(sum[:16])
}

// Counted returns what the target is remembered by once it has taken the message.
func (m *Message) Counted() Memory {
	next := maps.Clone(m.Memory)
	if next == nil {
		next = Memory{}
	}
	next[memorySent] = decimal(m.sent() + 1)
	return next
}

// sent is how many messages about the incident the target has taken.
func (m *Message) sent() int {
	n, err := strconv.Atoi(m.Memory[memorySent])
	if err != nil {
		return 0 // it has taken none
	}
	return n
}

// Warn adds to what failed while the message was written and sent, of which the
// target, or most of those that it tells, heard all the same.
func (m *Message) Warn(field string, err error) {
	m.failed = append(m.failed, TemplateError{field, err})
}
