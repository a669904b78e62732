package incident

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Generation identifies what fingerprints and keys were derived from: a hash
// of the configuration that they depend on. See docs/decisions/002.
type Generation [8]byte

// String returns the generation as 16 hexadecimal digits.
func (g Generation) String() string { return hex.EncodeToString(g[:]) }

// MarshalText implements encoding.TextMarshaler.
func (g Generation) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, g[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *Generation) UnmarshalText(b []byte) error {
	if len(b) != 2*len(g) {
		return fmt.Errorf("incident: generation %q does not have 16 hexadecimal digits", b)
	}
	_, err := hex.Decode(g[:], b)
	return err
}

// Entry is what is known of one alert under one key. It exists once per key
// and names the incident of its current episode. An alert fires exactly if the
// latest start that was said (Last) is after the latest end (End), whatever
// order the messages came in.
type Entry struct {
	Fingerprint alert.Fingerprint
	Source      string
	Generation  Generation
	Firing      bool
	// Incident is the one that the current episode belongs to; zero while a
	// threshold holds it, or for a resolve of something unknown.
	Incident ID
	// Severity is the classified one.
	Severity string
	// Start is the earliest start said of the current episode, Last the latest,
	// which while it fires is never after its message arrived.
	Start, Last time.Time
	// End is the latest end that is known, zero if none is; EndSeen is when we heard of it.
	End, EndSeen time.Time
	// Expired: nobody said that it ended; its validity ran out.
	Expired bool
	// ValidUntil is when it counts as ended unless it is repeated; zero means never.
	ValidUntil time.Time
	// Content is a hash of what was said, without times.
	Content uint64
	// FirstSeen and LastSeen are when we first and last heard of it.
	FirstSeen, LastSeen time.Time
	// Count is how often it came, repeats included.
	Count uint64
	// Changes are the latest times at which it began or ceased to fire, oldest first.
	Changes []time.Time
	// Unknown holds fields that a newer version wrote.
	Unknown []byte
}

// Exists reports whether e was ever stored.
func (e *Entry) Exists() bool { return !e.FirstSeen.IsZero() }

// Held reports whether e fires without an incident.
func (e *Entry) Held() bool { return e.Firing && e.Incident.IsZero() }

// Validity is how long a message about e holds; zero means for ever.
func (e *Entry) Validity() time.Duration {
	if e.ValidUntil.IsZero() {
		return 0
	}
	return max(e.ValidUntil.Sub(e.LastSeen), 0)
}

// Patch is what a repeat changes in an entry: commutative, so that it can be
// gathered and stored late.
type Patch struct {
	Count      uint64
	LastSeen   time.Time
	ValidUntil time.Time
}

// Apply adds p to e if e is still in the state that p was seen in.
func (e *Entry) Apply(p Patch) {
	e.Count += p.Count
	e.LastSeen = latest(e.LastSeen, p.LastSeen)
	if e.Firing && !e.ValidUntil.IsZero() {
		e.ValidUntil = latest(e.ValidUntil, p.ValidUntil)
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Held is an alert that a threshold holds back.
type Held struct {
	Fingerprint alert.Fingerprint `json:"fingerprint"`
	At          time.Time         `json:"at"`
	// Value is a hash of the label whose different values are counted, 0 if alerts are.
	Value uint64 `json:"value,omitzero"`
	// From is the incident of its episode before, which its entry was archived with.
	From ID `json:"from,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// Told is a message that was no alert, such as a note: remembered because its
// sender may repeat it.
type Told struct {
	// Message is a hash of what was said, and of whom and when.
	Message uint64    `json:"message"`
	At      time.Time `json:"at"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// KeyState is what is known of a key beside its entries.
type KeyState struct {
	Key Key `json:"key"`
	// Rule and By say in words what the key stands for.
	Rule string        `json:"rule"`
	By   []alert.Label `json:"by"`
	// Incident is the open incident of the key, or the latest one; zero if there was none.
	Incident ID `json:"incident,omitzero"`
	// Held are the latest alerts that a threshold held, oldest first, bounded.
	Held []Held `json:"held,omitempty"`
	// Told are the latest messages that were no alerts, oldest first, bounded.
	Told []Told `json:"told,omitempty"`
	// Openings are when its latest incidents opened or reopened, oldest first, bounded.
	Openings []time.Time `json:"openings,omitempty"`
	// ChangedAt is when the store last changed this; its clock never runs behind it.
	ChangedAt time.Time `json:"changed_at,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// openingsFor is how long an opening is remembered for those that follow.
const openingsFor = 30 * 24 * time.Hour

// Opens notes that an incident of the key has just opened or reopened, and tells a
// new one of those before it.
func (k *KeyState) Opens(e *Edit) {
	var recent []time.Time
	for _, at := range k.Openings {
		if e.now.Sub(at) <= openingsFor {
			recent = append(recent, at)
		}
	}
	if e.opens && len(recent) > 0 {
		e.Process().Openings = recent
	}
	k.Openings = keepLast(slices.Clip(recent), e.now, openingsKept)
}
