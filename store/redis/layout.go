package redis

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// names are the Redis keys of one shard. Their hash tag is the shard, so that
// all of a shard is in one slot; docs/operations.md says what is in each.
type names struct {
	shard byte
	tag   string // everything before the name of a key

	keys, entries, contents, order                    string
	incidents, timeline, references, numbers          string
	archive, archived, archiveOrder                   string
	statistics, jobs, due, probe, lease, repeats, all string
	// commit, read and so on are the beginnings of the lists of keys of scripts.
	more, remove []string
	// Pointers to the names, which need no allocation in a list of arguments.
	commit, read []any
	// commitMore is what commits need that do more than add to an incident.
	commitMore []*string
}

func newNames(prefix string, shard byte) *names {
	n := &names{shard: shard, tag: fmt.Sprintf("%s:{%02d}:", prefix, shard)}
	for _, k := range [...]struct {
		to   *string
		name string
	}{{&n.keys, "keys"}, {&n.entries, "entries"}, {&n.contents, "contents"}, {&n.order, "order"},
		{&n.incidents, "incidents"}, {&n.timeline, "timeline"}, {&n.references, "references"}, {&n.numbers, "numbers"},
		{&n.archive, "archive:entries"}, {&n.archived, "archive:contents"}, {&n.archiveOrder, "archive:order"},
		{&n.statistics, "statistics"}, {&n.jobs, "jobs"}, {&n.due, "due"}, {&n.probe, "probe"},
		{&n.lease, "lease:"}, {&n.repeats, "repeats:"}, {&n.all, "index:all"}} {
		*k.to = n.tag + k.name
	}
	n.commit = []any{&n.keys, &n.entries, &n.contents, &n.incidents, &n.timeline, &n.statistics, &n.order}
	n.commitMore = []*string{&n.references, &n.numbers, &n.jobs, &n.due, &n.archive, &n.archived, &n.archiveOrder}
	n.read = []any{&n.keys, &n.entries, &n.incidents}
	n.more = []string{n.entries, n.contents, n.incidents}
	n.remove = []string{n.keys, n.entries, n.contents, n.order, n.incidents, n.timeline, n.references, n.statistics, n.jobs, n.due,
		n.archive, n.archived, n.archiveOrder}
	return n
}

// The indexes that incidents are in.
const (
	fieldState    = "state"
	fieldSeverity = "severity"
	fieldService  = "service"
	fieldTeam     = "team"
)

// index is the key of the index of one value of a field.
func (n *names) index(field, value string) string { return n.tag + "index:" + field + ":" + value }

// indexes are the keys of all indexes that an incident is in.
func (n *names) indexes(i *incident.Incident) [5]string {
	return [...]string{n.all, n.index(fieldState, i.State), n.index(fieldSeverity, i.Severity), n.index(fieldService, i.Service), n.index(fieldTeam, i.Team)}
}

// pageField is the field of one page of a key, and its member in the order of pages.
func pageField(b []byte, k incident.Key, p page) []byte { return p.append(append(b, k[:]...)) }

const pageFieldSize = len(incident.Key{}) + pageSize

// pageEntries is how many entries are listed on one page.
const pageEntries = 64

func (n *names) documents(typ string) []string {
	return []string{n.tag + "documents:" + typ, n.tag + "documents:order:" + typ}
}

// position is an incident's place in the order of lists: newest first, then by
// id. It is the id, whose first six bytes are when it was opened, with those
// inverted; position is its own inverse.
func position(id incident.ID) [16]byte {
	for n := range 6 {
		id[n] = ^id[n]
	}
	return id
}

// timeSize is the length of a stored time: seconds since the beginning of the
// year 1 and nanoseconds, big endian; all zero is no time.
const timeSize = 12

// yearOne is the Unix time of the beginning of the year 1.
const yearOne = -62135596800

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()-yearOne))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func parseTime(b string) time.Time {
	sec, nsec := beUint64(b), beUint32(b[8:])
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec)+yearOne, int64(nsec)).UTC()
}

func beUint64(s string) uint64 { return uint64(beUint32(s))<<32 | uint64(beUint32(s[4:])) }

func beUint32(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// timelineField is the field of one timeline entry: incident and number.
func timelineField(id incident.ID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 24), id[:]...), seq)
}
