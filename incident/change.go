package incident

import (
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Change is one unit of work for the store's door: the store reads what it
// names, runs Step, and commits what Step returns, atomically.
type Change struct {
	// ID makes the change recognisable when it is sent again; the ids of new
	// incidents derive from it.
	ID [16]byte
	// Key and Fingerprints are what Step is given. If Incident is set, Key may be
	// zero: then it is the incident's.
	Key          Key
	Incident     ID
	Fingerprints []alert.Fingerprint
	// Epoch is the number of the list of generations that Key and Fingerprints
	// were computed under; a store whose list is another one refuses the change.
	// 0 is for changes that do not depend on it.
	Epoch uint64
	// Preview runs the step and commits nothing. The changes of one call are all
	// previews or none is.
	Preview bool
	// Settled reports whether the entries alone show that nothing has to be
	// written but the returned patches (one for each fingerprint, Count 0 for
	// none). It may be nil.
	Settled func(now time.Time, entries []Entry) ([]Patch, bool)
	// Step decides. It may run several times, so it has no side effects and does
	// not keep or change what it is given, other than the entries' slots.
	Step func(State) (Next, error)
}

// State is what a step sees. Values are copies; slices and maps in them are not
// to be changed.
type State struct {
	// Now is the store's clock, never before the key's last change.
	Now time.Time
	// Key is the key's state, nil if the key is new.
	Key *KeyState
	// Incident is the one that the key names or that the change asked for; nil if none.
	Incident *Incident
	// Entries are those of Change.Fingerprints, in order; what does not exist is
	// zero but for the fingerprint.
	Entries []Entry
	// More and Others are the entries and incidents that the step asked for with
	// Next.Want. What does not exist is there too, as a zero entry or nil.
	More   map[alert.Fingerprint]Known
	Others map[ID]*Incident
	// NewID returns the n-th id for an incident that this change opens.
	NewID func(n int) ID
}

// Known is an entry with what its alert said.
type Known struct {
	Entry   Entry
	Content *alert.Alert
}

// Next is what a step decided. A zero Next changes nothing.
type Next struct {
	// Want asks for more to be read; then the step runs again and the rest of
	// this Next does not count.
	Want Want
	// Key replaces the key's state.
	Key *KeyState
	// Incidents are new or changed. The store sets Reference on new ones, and Version.
	Incidents []*Incident
	// Entries are new or changed.
	Entries []EntryWrite
	// Archive keeps the given entries with their old incidents.
	Archive []Entry
	// Remove deletes entries.
	Remove []Entry
	// Timeline entries belong to Incidents; their order is that of each incident's Seq.
	Timeline []TimelineEntry
	// Patches gather repeats of entries that do not change otherwise.
	Patches []EntryPatch
	// Jobs are armed, or disarmed if Due is zero.
	Jobs []Job
	// Observations go to the stored statistics.
	Observations []Observation
	// Duties are what became of duties, to be counted once this is committed. They
	// are not stored.
	Duties []DutyOutcome
}

// Want names what a step lacks.
type Want struct {
	Fingerprints []alert.Fingerprint
	Incidents    []ID
}

// IsZero reports whether nothing is wanted.
func (w Want) IsZero() bool { return len(w.Fingerprints) == 0 && len(w.Incidents) == 0 }

// Writes reports whether n changes anything durable.
func (n *Next) Writes() bool {
	return n.Key != nil || len(n.Incidents)+len(n.Entries)+len(n.Archive)+len(n.Remove)+len(n.Timeline)+len(n.Jobs)+len(n.Observations) > 0
}

// EntryWrite stores an entry, and its content if that is new.
type EntryWrite struct {
	Entry Entry
	// Was is the entry before, for counters that depend on both.
	Was Entry
	// Content replaces what the alert said; nil leaves it.
	Content *alert.Alert
}

// EntryPatch is a repeat of one entry.
type EntryPatch struct {
	Fingerprint alert.Fingerprint
	Patch       Patch
}

// Job is work that is due at a time, such as an expiry. It names a subject and
// is done by looking at that subject as it then is.
type Job struct {
	// Subject, Kind and Target are the job's identity. Subject is a key, an
	// incident or the name of something else.
	Subject, Kind, Target string
	// Due is when; zero disarms.
	Due time.Time
	// NoLater keeps a due time that is already armed and earlier; never is later than any.
	// Nor does it put off what somebody has claimed: if nobody finishes that, it is due as before.
	NoLater bool
	// Lease is the token that the job was claimed with, if this is the end of its work:
	// its lease ends with the commit, if it is still that one. 0 leaves leases alone.
	Lease uint64
}

// Observation is one measured duration, or one event, for the stored statistics.
type Observation struct {
	// Metric is the name without the prefix tocsin_incident, such as time_to_resolve_seconds.
	Metric         string
	Severity, Team string
	// Value is in seconds; it is 1 for counters.
	Value float64
}

// Document is a versioned JSON text in the store, such as a token.
type Document struct {
	Type, ID string
	// Version is 0 for a document that must not exist yet; the store counts it up.
	Version uint64
	// Data is JSON; nil deletes.
	Data []byte
	// UpdatedAt is set by the store.
	UpdatedAt time.Time
}
