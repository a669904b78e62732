package embedded

import (
	"encoding/binary"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// The first byte of a key in the engine says what the value is. A new kind of
// row takes a new letter; a letter never changes its meaning.
const (
	rowArchivedEntry = 'x' // incident, fingerprint → entry
	rowContent       = 'c' // number, in the order of writing → what an alert said
	rowCounter       = 'm' // name → number, added up by the engine
	rowDocument      = 'd' // type, 0, id → document
	rowEntry         = 'e' // key, fingerprint → entry
	rowGenerations   = 'g' // → list of generations
	rowIncident      = 'i' // incident → header
	rowIndex         = 'I' // field, value, 0, newest first, incident → nothing
	rowJob           = 'J' // subject, 0, kind, 0, target → job
	rowJobDue        = 'j' // due, then as J → nothing
	rowKey           = 'k' // key → state
	rowNumber        = 'p' // day, shard → number of references given out, the engine keeps the largest
	rowReference     = 'r' // reference → incident
	rowSchema        = 's' // → version of the schema; and "sprobe"
	rowTimeline      = 't' // incident, number → timeline entry
)

func entryKey(b []byte, row byte, owner [16]byte, fp alert.Fingerprint) []byte {
	b = append(b, row)
	b = append(b, owner[:]...)
	return append(b, fp[:]...)
}

func contentKey(b []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, rowContent), number)
}

func idKey(row byte, id [16]byte) []byte { return append([]byte{row}, id[:]...) }

func timelineKey(id incident.ID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(idKey(rowTimeline, id), seq)
}

// position is an incident's place in lists: newest first, then by id.
func position(i *incident.Incident) []byte {
	b := binary.BigEndian.AppendUint64(nil, ^uint64(i.OpenedAt.UnixMilli()))
	return append(b, i.ID[:]...)
}

const positionSize = 8 + 16

// The fields that lists can be narrowed by. The index of all incidents has the
// field 0 and no value.
const (
	fieldAll = iota
	fieldState
	fieldSeverity
	fieldService
	fieldTeam
)

func indexPrefix(field byte, value string) []byte {
	b := append([]byte{rowIndex, field}, value...)
	return append(b, 0)
}

// indexed returns the index entries of i.
func indexed(i *incident.Incident) [5][2]string {
	return [5][2]string{{"\x00", ""}, {"\x01", i.State}, {"\x02", i.Severity}, {"\x03", i.Service}, {"\x04", i.Team}}
}

func jobName(subject, kind, target string) []byte {
	b := append([]byte{rowJob}, subject...)
	b = append(b, 0)
	b = append(b, kind...)
	b = append(b, 0)
	return append(b, target...)
}

func jobDueKey(due time.Time, name []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{rowJobDue}, millis(due))
	return append(b, name[1:]...)
}

func documentKey(typ, id string) []byte {
	b := append([]byte{rowDocument}, typ...)
	b = append(b, 0)
	return append(b, id...)
}

func numberKey(day string, shard byte) []byte {
	return append(append([]byte{rowNumber}, day...), shard)
}

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
