// Package alert holds what a monitoring tool told us: one Alert per thing that
// it reported, in one vocabulary for all senders. It says nothing about what
// we made of it (see package incident) and imports nothing of ours.
package alert

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// Kind says what sort of message an Alert is. Only KindAlert can open an
// incident.
type Kind uint8

// The kinds of messages that senders know, as contract.md names them.
const (
	KindAlert Kind = iota
	KindAcknowledgement
	KindAcknowledgementRemoved
	KindFlappingStarted
	KindFlappingEnded
	KindMaintenancePlanned
	KindMaintenanceStarted
	KindMaintenanceEnded
	KindMaintenanceCancelled
	KindNote
	KindInformation
	KindTest
)

var kinds = [...]string{"alert", "acknowledgement", "acknowledgement_removed", "flapping_started", "flapping_ended",
	"maintenance_planned", "maintenance_started", "maintenance_ended", "maintenance_cancelled", "note", "information", "test"}

// String returns the kind's name in JSON.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind(%d)", k)
}

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Kind) UnmarshalText(b []byte) error {
	for i, name := range kinds {
		if name == string(b) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("alert: unknown kind %q", b)
}

// TellsState reports whether a says if its problem exists now, so that it can
// begin or end: an alert that knows, and the end of flapping, during which
// senders tell of neither; its beginning only if there is a problem then.
func (a *Alert) TellsState() bool {
	switch a.Kind {
	case KindAlert, KindFlappingEnded:
		return a.Status != Unknown
	case KindFlappingStarted:
		return a.Status == Firing
	}
	return false
}

// Settles reports whether all that a says is said when it arrives: nothing is
// kept of it, and nothing depends on it.
func (a *Alert) Settles() bool { return a.Kind == KindInformation || a.Kind == KindTest }

// Status is whether the reported problem exists now.
type Status uint8

// The statuses of an alert. Unknown belongs to messages that state none.
const (
	Unknown Status = iota
	Firing
	Resolved
)

// String returns the status' name in JSON.
func (s Status) String() string {
	switch s {
	case Firing:
		return "firing"
	case Resolved:
		return "resolved"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Flag marks what we had to change in, or find odd about, an alert.
type Flag uint8

// The flags, as bits.
const (
	// FlagInvalidUTF8: a text was not valid UTF-8 or held NUL; U+FFFD stands in its place.
	FlagInvalidUTF8 Flag = 1 << iota
	// FlagCut: a text or the number of labels was over the limit and was cut.
	// The fingerprint is of the whole.
	FlagCut
	// FlagTimeClamped: a time lay so far off that durations use another one.
	FlagTimeClamped
	// FlagUnparsed: the message could only be understood in part, or not at all.
	// It is an alert all the same, because somebody wanted to be heard.
	FlagUnparsed
	// FlagReconciled: its sender did not say it; it was found when what is open here
	// was compared with what is open there.
	FlagReconciled
	// FlagAccompanies: another message of the sender says the same, as the comment
	// does that comes with an acknowledgement.
	FlagAccompanies
)

// Names returns the names of the flags that are set, for JSON.
func (f Flag) Names() []string {
	var names []string
	for i, name := range [...]string{"invalid_utf8", "cut", "time_clamped", "unparsed", "reconciled", "accompanies"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Fingerprint identifies an alert within the namespace of its source: 128 bits
// over the namespace and the labels (or the sender's own key), see dedupe.
type Fingerprint [16]byte

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string {
	var text [2 * len(f)]byte
	hex.Encode(text[:], f[:])
	return string(text[:])
}

// IsZero reports whether f is not set.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// MarshalText implements encoding.TextMarshaler.
func (f Fingerprint) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, f[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Fingerprint) UnmarshalText(b []byte) error {
	if len(b) != 2*len(f) {
		return fmt.Errorf("alert: fingerprint %q does not have 32 hexadecimal digits", b)
	}
	_, err := hex.Decode(f[:], b)
	return err
}

// Alert is one message of a sender about one thing. Status is set for every
// kind if the sender states how things are; only for KindAlert it is said on. The zero time means that
// the sender stated none. Strings may share memory with the request they came
// from: whoever keeps one beyond the request clones it.
type Alert struct {
	Kind   Kind
	Status Status
	// Source is the name of the entry in sources: that it came through.
	Source string
	// Identity is the sender's own key for it, recorded but never trusted.
	Identity string
	// Key, if set, is what the fingerprint is of, in place of the labels: senders
	// that say more than one thing about the same problem, such as that it became
	// worse, have the problem's name here, made by the decoder of the format.
	Key string
	// Group, if set, is what its sender gathers alerts under, by a name that never
	// changes, such as the number of a rule. Unless a rule of ours says otherwise,
	// it is what they are gathered by here too: labels may change, and the end of a
	// problem often has fewer of them.
	Group string
	// PerHost: its sender thinks in hosts. Unless a rule says otherwise, what it
	// reports of one host belongs together.
	PerHost bool
	Labels  Labels
	// Annotations describe the alert; they are not part of its identity.
	Annotations Labels
	// GeneratorURL links to the rule or graph at the sender.
	GeneratorURL string
	// StartsAt and EndsAt are the sender's times, as sent.
	StartsAt, EndsAt time.Time
	// ValidUntil is set on a firing alert whose sender means "consider it
	// resolved then, unless I repeat it".
	ValidUntil time.Time
	// EventAt is when the sender says the message was made.
	EventAt time.Time
	// ReceivedAt is when we got it.
	ReceivedAt time.Time
	// Author and Comment belong to acknowledgements and notes.
	Author, Comment string
	// LeftOut is how many alerts of the same group the sender did not include
	// (Alertmanager's truncatedAlerts).
	LeftOut int
	Flags   Flag
}

// Name is the alert's name: the label alertname, empty if it has none.
func (a *Alert) Name() string { return a.Labels.Get("alertname") }

// Host is the machine the alert is about: the label host, or the label
// instance without its port.
func (a *Alert) Host() string {
	if host := a.Labels.Get("host"); host != "" {
		return host
	}
	instance := a.Labels.Get("instance")
	if i := strings.LastIndexByte(instance, ':'); i >= 0 {
		if host, _, err := net.SplitHostPort(instance); err == nil {
			return host
		}
	}
	return instance
}

// Service is the service the sender names: the label service.
func (a *Alert) Service() string { return a.Labels.Get("service") }

// Severity is the sender's own word, lower-cased; empty if it states none.
func (a *Alert) Severity() string { return strings.ToLower(a.Labels.Get("severity")) }
