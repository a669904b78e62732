// Package transfer copies everything that one store holds into another one,
// whatever the two are, and proves that all of it arrived: in what order and
// under which names a store keeps things is its own business, so both sides
// count and sum up the things themselves. A copy that was interrupted goes on
// where it stopped. Nobody may work with either store meanwhile.
package transfer

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// Kind is a kind of units.
type Kind uint8

// The kinds, in the order in which people are told of them.
const (
	Incidents Kind = iota
	TimelineEntries
	Alerts
	ArchivedAlerts
	Keys
	Jobs
	Documents
	Numbers
	Counters
	Lists
	kinds
)

var kindNames = [kinds]string{"incidents", "timeline entries", "alerts", "archived alerts", "keys", "jobs", "documents",
	"numbers of references", "counters", "lists of generations"}

// Kinds are all kinds, in their order.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for n := range all {
		all[n] = Kind(n)
	}
	return all
}

func (k Kind) String() string { return kindNames[k] }

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Kind) UnmarshalText(b []byte) error {
	for n, name := range kindNames {
		if name == string(b) {
			*k = Kind(n)
			return nil
		}
	}
	return fmt.Errorf("store: copy: %q is not a kind of what stores hold", b)
}

// Unit is one thing that a store holds: an Alert, an Incident and so on. What
// follows from the others is none: indexes, and the counts of incidents, firing
// alerts and jobs.
type Unit interface {
	kind() Kind
	// appendTo appends what all stores agree on: which one it is, and all that is
	// known of it.
	appendTo(b []byte) ([]byte, error)
}

// Incident is an incident's header.
type Incident struct{ *incident.Incident }

// TimelineEntry is an entry as package row stores it, with what this version
// does not know.
type TimelineEntry struct {
	Incident incident.ID
	Seq      uint64
	Row      []byte
}

// Alert is an entry with what its alert said.
type Alert struct {
	// Archived: it went on to another incident. Owner is the incident then, else the key.
	Archived bool
	Owner    [16]byte
	Entry    incident.Entry
	// Said is the content as package row stores it, nil if none is stored.
	Said []byte
}

// Key is what is known of a key beside its entries.
type Key struct{ incident.KeyState }

// Job is a job without its lease: nobody is at work.
type Job struct {
	Subject, Kind, Target string
	Due                   time.Time
	Attempts              int
	Error                 string
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value
}

// Shard is where the job is kept. Whoever arms a job arms it together with its
// subject, which is an incident or a key; other subjects get one by their name.
func (j *Job) Shard() byte {
	if id, err := incident.ParseID(j.Subject); err == nil {
		return id.Shard() % incident.Shards
	}
	var key incident.Key
	if err := key.UnmarshalText([]byte(j.Subject)); err == nil {
		return key.Shard()
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(j.Subject)) // it cannot fail
	return byte(h.Sum32() % incident.Shards)
}

// Document is a document in its version.
type Document struct {
	incident.Document
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value
}

// Number is how many references a shard gave out on a day, such as 20261121.
type Number struct {
	Day   string
	Shard byte
	Last  int64
}

// Counter is a counter of the statistics that does not follow from anything else.
type Counter struct {
	Name  string
	Value int64
}

// Generations is the list of generations.
type Generations struct{ store.Generations }

func (*Incident) kind() Kind      { return Incidents }
func (*TimelineEntry) kind() Kind { return TimelineEntries }
func (*Key) kind() Kind           { return Keys }
func (*Job) kind() Kind           { return Jobs }
func (*Document) kind() Kind      { return Documents }
func (*Number) kind() Kind        { return Numbers }
func (*Counter) kind() Kind       { return Counters }
func (*Generations) kind() Kind   { return Lists }

func (a *Alert) kind() Kind {
	if a.Archived {
		return ArchivedAlerts
	}
	return Alerts
}

func (i *Incident) appendTo(b []byte) ([]byte, error) { return row.AppendIncident(b, i.Incident), nil }

func (t *TimelineEntry) appendTo(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(append(b, t.Incident[:]...), t.Seq)
	return append(b, t.Row...), nil
}

func (a *Alert) appendTo(b []byte) ([]byte, error) {
	b = append(append(b, a.Owner[:]...), a.Entry.Fingerprint[:]...)
	if a.Said == nil {
		b = append(b, 0)
	} else {
		b = appendText(append(b, 1), a.Said)
	}
	return row.AppendEntry(b, &row.Entry{Entry: a.Entry}), nil
}

func (k *Key) appendTo(b []byte) ([]byte, error) { return appendJSON(b, k.KeyState) }

func (j *Job) appendTo(b []byte) ([]byte, error) {
	for _, text := range [...]string{j.Subject, j.Kind, j.Target, j.Error} {
		b = appendText(b, text)
	}
	b = appendTime(binary.AppendVarint(b, int64(j.Attempts)), j.Due)
	return appendUnknown(b, j.Unknown)
}

func (d *Document) appendTo(b []byte) ([]byte, error) {
	b = appendText(appendText(b, d.Type), d.ID)
	b = appendTime(binary.AppendUvarint(b, d.Version), d.UpdatedAt)
	// One store keeps the text as it came, the other as part of a longer one: what
	// counts is what it means.
	b, err := appendUnknown(b, d.Data)
	if err != nil {
		return b, fmt.Errorf("document %s %s: %w", d.Type, d.ID, err)
	}
	return appendUnknown(b, d.Unknown)
}

func (n *Number) appendTo(b []byte) ([]byte, error) {
	return binary.AppendVarint(append(appendText(b, n.Day), n.Shard), n.Last), nil
}

func (c *Counter) appendTo(b []byte) ([]byte, error) {
	return binary.AppendVarint(appendText(b, c.Name), c.Value), nil
}

func (g *Generations) appendTo(b []byte) ([]byte, error) { return appendJSON(b, g.Generations) }

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(binary.AppendVarint(append(b, 1), t.Unix()), uint64(t.Nanosecond()))
}

func appendJSON(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// appendUnknown appends a JSON value in the one form that writing it gives it.
func appendUnknown(b []byte, v jsontext.Value) ([]byte, error) {
	if len(v) == 0 {
		return appendText(b, ""), nil
	}
	text, err := json.Marshal(v)
	return appendText(b, text), err
}
