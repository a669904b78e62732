// Package notify tells people of incidents. A Worker does the jobs of kind
// notify: it looks at an incident as it is now, decides whether its target has
// to hear of it, and hands a Message to the target's Sender. What it has told is
// kept in the store, one document for each incident and target.
//
// The senders are in folders of their own, one for each tool.
package notify

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Event is why somebody is told of an incident.
type Event string

// The events.
const (
	// Opened is the first that a target hears of an incident, or of a new cycle of it.
	Opened Event = "opened"
	// Updated says that alerts joined or ended, or that the severity changed.
	Updated Event = "updated"
	// Acknowledged and Unacknowledged say that a person works on it, or no longer.
	Acknowledged   Event = "acknowledged"
	Unacknowledged Event = "unacknowledged"
	// Resolved says that it is over.
	Resolved Event = "resolved"
	// Repeated says again what was said before, because nobody has acknowledged it.
	Repeated Event = "repeated"
	// Digested tells in one message of many incidents that it would have been too
	// much to tell of one by one; see Storm.
	Digested Event = "digest"
	// Noticed tells of something that is no incident, such as a planned downtime. The
	// incident and the alert of such a message only carry its text.
	Noticed Event = "notice"
)

// Message is what one target is told.
type Message struct {
	Event Event
	// Incident is as it is now, but that its cycle (Reopens) is the one that the
	// target knows, until it has heard of the end of that.
	Incident *incident.Incident
	// Alerts are those that fire, then those that ended since the target last heard
	// of it; of each the most severe first, and of those the oldest. There are no more
	// than AlertsShown, and none but a digest's are in another order.
	Alerts []Alert
	// More is how many alerts are left out.
	More int
	// News is what happened since the target last heard of it, oldest first.
	News []incident.TimelineEntry
	// Receiver is the name in the configuration, and RouteLabels those of the route.
	Receiver    string
	RouteLabels map[string]string
	Links       Links
	// Remark is said beside everything else, such as that another receiver does not
	// answer; usually empty.
	Remark string
	// Memory is what the sender returned last for this incident; nil at first.
	Memory Memory
	// Digest lists the incidents of a digest, the most urgent first. DigestMore is
	// how many wait for the next one; DigestUnread says that they do because the store
	// did not let us read them in time. The incident and the alerts of such a message
	// stand for the whole list, one alert for each line, so that what knows nothing
	// of digests shows it too.
	Digest       []DigestLine
	DigestMore   int
	DigestUnread bool
	// SentAt is the moment it is told.
	SentAt time.Time
	// failed are the templates that failed while it was written.
	failed []TemplateError
}

// AlertsShown bounds the alerts of a message.
const AlertsShown = 100

// Alert is one alert of a message.
type Alert struct {
	*alert.Alert
	Fingerprint alert.Fingerprint
	// Firing: it fires now. Severity is the classified one.
	Firing   bool
	Severity string
	// StartsAt and EndsAt are those of its episode; EndsAt is zero while it fires.
	StartsAt, EndsAt time.Time
}

// Links lead back to Tocsin. Those that act are signed and expire; a GET of one
// shows a page that asks. Empty means that there is none.
type Links struct {
	Incident, Acknowledge, Resolve string
}

// Memory is what a sender wants to know at its next message about the same
// incident, such as the thread it wrote to. It is small.
type Memory map[string]string

// keyPrefix begins the keys that we give out.
const keyPrefix = "tocsin-"

// Key names the incident at a target that recognises what it has been told. It is
// the same for every message of one cycle, has at most 64 letters, digits and
// hyphens, and ParseKey reads it.
func (m *Message) Key() string {
	return keyPrefix + m.Incident.ID.String() + "-" + decimal(m.Incident.Reopens)
}

// ParseKey returns the incident that a target means by a Key; ok is false for
// what is none.
func ParseKey(key string) (id incident.ID, ok bool) {
	id, _, ok = ParseKeyCycle(key)
	return id, ok
}

// ParseKeyCycle is ParseKey with the number of the cycle that the Key is of.
func ParseKeyCycle(key string) (id incident.ID, cycle int, ok bool) {
	rest, ours := strings.CutPrefix(key, keyPrefix)
	at := strings.LastIndexByte(rest, '-')
	if !ours || at < 0 {
		return id, 0, false
	}
	n, err := strconv.ParseUint(rest[at+1:], 10, 31)
	if err != nil {
		return id, 0, false
	}
	id, err = incident.ParseID(rest[:at])
	return id, int(n), err == nil
}

// Resolved reports whether the message says that the incident is over.
func (m *Message) Resolved() bool { return m.Event == Resolved }

// Sender tells one target. It is called by one goroutine at a time for one
// incident, and by several for different ones.
type Sender interface {
	// Send returns what it wants to remember, also beside an error; nil keeps what
	// it had. It returns an *Error if the target was not told, or not all of those
	// that it tells, and not before it is sure what became of the request or ctx ends.
	Send(ctx context.Context, m *Message) (Memory, error)
}

// Integration is one way to tell one receiver.
type Integration struct {
	// Name is that of the tool, such as slack, and Index its place among those of
	// the same name in the receiver.
	Name  string
	Index int
	// Receiver is the receiver's name.
	Receiver string
	Sender   Sender
	// SendResolved: it hears that an incident is over.
	SendResolved bool
	// Acknowledges: it hears that an incident is acknowledged, or no longer. True
	// where that changes a message or stops a call, false where it is one message more.
	Acknowledges bool
	// Recognises: a message that is sent twice is shown once.
	Recognises bool
	// Pages: a message opens something there that stays open, calls people, or is seen
	// by everybody. It is not for what is no incident, or is over.
	Pages bool
	// Rate bounds the messages; zero is no bound.
	Rate Rate
	// Storm is from when on one message lists what would be many.
	Storm Storm
}

// Rate is so many messages in a period.
type Rate struct {
	Messages int
	Per      time.Duration
}

// Target is the integration's name in jobs: RECEIVER/NAME[INDEX].
func (i *Integration) Target() string {
	return i.Receiver + "/" + i.Name + "[" + decimal(i.Index) + "]"
}
