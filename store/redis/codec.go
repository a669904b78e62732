package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// What scripts look at stands at fixed places in front of a value; the rest is
// as package row has it. The scripts say which bytes those are.

var errShort = errors.New("store: a value is shorter than it can be")

// entryHead is the length of the fixed part of an entry: incident, count, last
// seen, valid until, start, firing, page.
const entryHead = 16 + 8 + 3*timeSize + 1 + pageSize

// validAt, firingAt and pageAt are where the end of validity and so on are.
const (
	validAt  = 16 + 8 + timeSize
	firingAt = pageAt - 1
	pageAt   = entryHead - pageSize
)

// page is the number of a page of a key: what lists some of its entries.
type page uint32

// pageSize is the length of a stored number of a page, big endian.
const pageSize = 4

func (p page) append(b []byte) []byte { return binary.BigEndian.AppendUint32(b, uint32(p)) }

// appendEntry appends the stored form of e, with the given count, listed on a page.
func appendEntry(b []byte, e *incident.Entry, count uint64, on page) []byte {
	b = append(b, e.Incident[:]...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = appendTime(appendTime(appendTime(b, e.LastSeen), e.ValidUntil), e.Start)
	firing := byte(0)
	if e.Firing {
		firing = 1
	}
	b = on.append(append(b, firing))
	rest := *e
	rest.Incident, rest.Count, rest.LastSeen, rest.ValidUntil, rest.Start, rest.Firing = incident.ID{}, 0, time.Time{}, time.Time{}, time.Time{}, false
	return row.AppendEntry(b, &row.Entry{Entry: rest})
}

func parseEntry(v string, fp alert.Fingerprint) (incident.Entry, error) {
	if len(v) < entryHead {
		return incident.Entry{}, fmt.Errorf("store: entry %s: %w", fp, errShort)
	}
	e, err := row.ParseEntry([]byte(v[entryHead:]), fp)
	if err != nil {
		return incident.Entry{}, err
	}
	copy(e.Incident[:], v)
	e.Count = beUint64(v[16:])
	e.LastSeen, e.ValidUntil, e.Start = parseTime(v[24:]), parseTime(v[validAt:]), parseTime(v[validAt+timeSize:])
	e.Firing = v[firingAt] != 0
	return e.Entry, nil
}

// pageOf is the page that lists an entry, which has been parsed.
func pageOf(v string) page { return page(beUint32(v[pageAt:])) }

// incidentHead is the length of the fixed part of an incident without its
// reference: occurrences, key, length of the reference, version.
const incidentHead = 8 + 16 + 1 + 8

// appendIncident appends what follows the reference.
func appendIncident(b []byte, i *incident.Incident) []byte {
	b = binary.BigEndian.AppendUint64(b, i.Version)
	rest := *i
	rest.Occurrences, rest.Key, rest.Reference, rest.Version = 0, incident.Key{}, "", 0
	return row.AppendIncident(b, &rest)
}

func parseIncident(v string) (*incident.Incident, error) {
	return parseIncidentBy(v, row.ParseIncident)
}

func parseIncidentBy(v string, parse func([]byte) (*incident.Incident, error)) (*incident.Incident, error) {
	if len(v) < incidentHead || len(v) < incidentHead+int(v[24]) {
		return nil, fmt.Errorf("store: incident: %w", errShort)
	}
	at := 25 + int(v[24])
	i, err := parse([]byte(v[at+8:]))
	if err != nil {
		return nil, err
	}
	i.Occurrences = beUint64(v)
	copy(i.Key[:], v[8:])
	i.Reference = v[25:at]
	i.Version = beUint64(v[at:])
	return i, nil
}

// versionSize is the length of a key's version, which is random: that it
// changed is all that it says.
const versionSize = 8

// idSize is the length of the part of a change's id that a key's record keeps.
const idSize = 8

const (
	// idsKept is how many ids of changes a key's record keeps.
	idsKept = 16
	// callersKept is of how many processes a record keeps what they committed last.
	// Each has at most one commit of a key under way, so it finds out whether that
	// was carried out, unless more others than these have changed the key meanwhile.
	callersKept = 32
	callerSize  = 8
	slotSize    = callerSize + versionSize
)

// record is what is stored of a key beside its entries, in this order; numbers
// of ids and callers stand before them, and in front of the state as JSON the
// incident that it names stands where a script finds it.
type record struct {
	version string
	page    page // the latest one, 0 if there is none
	listed  byte // how many entries were listed on it
	// ids are those of the latest changes, the oldest first.
	ids string
	// callers are processes that committed, each with the version that it committed
	// last; the latest one is the last.
	callers string
	key     *incident.KeyState // nil if nothing is known but that the key was changed
	// rest is the JSON that key was read from.
	rest []byte
}

// Where things are in a record.
const (
	recordPageAt    = versionSize + 16
	recordListedAt  = recordPageAt + pageSize
	recordIDsAt     = recordListedAt + 1
	recordCallersAt = recordIDsAt + 1
	recordHead      = recordCallersAt + 1
)

// idsEnd and recordEnd are where the ids and the callers of a stored record end.
func idsEnd(v string) int    { return recordHead + idSize*int(v[recordIDsAt]) }
func recordEnd(v string) int { return idsEnd(v) + slotSize*int(v[recordCallersAt]) }

// has reports whether the record of a key, empty if it has none, keeps the id of a change.
func has(packed string, id [16]byte) bool {
	if len(packed) < recordHead {
		return false
	}
	r := record{ids: packed[recordHead:min(idsEnd(packed), len(packed))]}
	return r.has(id)
}

func (r *record) has(id [16]byte) bool {
	for at := 0; at+idSize <= len(r.ids); at += idSize {
		if r.ids[at:at+idSize] == string(id[:idSize]) {
			return true
		}
	}
	return false
}

// commits notes that a caller commits the record.
func (r *record) commits(caller string) {
	b := make([]byte, 0, len(r.callers)+slotSize)
	for at := 0; at < len(r.callers); at += slotSize {
		if r.callers[at:at+callerSize] != caller {
			b = append(b, r.callers[at:at+slotSize]...)
		}
	}
	b = append(append(b, caller...), r.version...)
	r.callers = string(b[max(0, len(b)-callersKept*slotSize):])
}

// append appends the stored form, and fills in rest if it is not there.
func (r *record) append(b []byte) (_ []byte, err error) {
	b = append(b, r.version...)
	var id incident.ID
	if r.key != nil {
		id = r.key.Incident
	}
	b = append(r.page.append(append(b, id[:]...)), r.listed, byte(len(r.ids)/idSize), byte(len(r.callers)/slotSize))
	b = append(append(b, r.ids...), r.callers...)
	if r.key != nil && r.rest == nil {
		state := *r.key
		state.Incident = incident.ID{}
		r.rest, err = json.Marshal(&state)
	}
	return append(b, r.rest...), err
}

func parseRecord(v string) (record, error) {
	if len(v) < recordHead || len(v) < recordEnd(v) {
		return record{}, fmt.Errorf("store: key: %w", errShort)
	}
	ids, end := idsEnd(v), recordEnd(v)
	r := record{version: v[:versionSize], page: page(beUint32(v[recordPageAt:])), listed: v[recordListedAt], ids: v[recordHead:ids], callers: v[ids:end]}
	if end == len(v) {
		return r, nil
	}
	r.key, r.rest = &incident.KeyState{}, []byte(v[end:])
	if err := json.Unmarshal(r.rest, r.key); err != nil {
		return r, fmt.Errorf("store: key: %w", err)
	}
	copy(r.key.Incident[:], v[versionSize:])
	return r, nil
}
