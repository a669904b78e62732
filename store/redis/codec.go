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
// seen, valid until, start, firing.
const entryHead = 16 + 8 + 3*timeSize + 1

// validAt is where the end of validity is.
const validAt = 16 + 8 + timeSize

// appendEntry appends the stored form of e, with the given count.
func appendEntry(b []byte, e *incident.Entry, count uint64) []byte {
	b = append(b, e.Incident[:]...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = appendTime(appendTime(appendTime(b, e.LastSeen), e.ValidUntil), e.Start)
	firing := byte(0)
	if e.Firing {
		firing = 1
	}
	b = append(b, firing)
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
	e.Firing = v[entryHead-1] != 0
	return e.Entry, nil
}

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
	if len(v) < incidentHead || len(v) < incidentHead+int(v[24]) {
		return nil, fmt.Errorf("store: incident: %w", errShort)
	}
	at := 25 + int(v[24])
	i, err := row.ParseIncident([]byte(v[at+8:]))
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

// idsKept is how many ids of changes a key's record keeps.
const idsKept = 128

// record is what is stored of a key beside its entries: version, the incident
// that it names, the number of ids and the ids of the latest changes, the state
// as JSON.
type record struct {
	version string
	// ids are those of the latest changes, the oldest first.
	ids string
	key *incident.KeyState // nil if nothing is known but that the key was changed
	// rest is the JSON that key was read from.
	rest []byte
}

const recordHead = versionSize + 16 + 1

// has reports whether the record of a key, empty if it has none, keeps the id of a change.
func has(packed string, id [16]byte) bool {
	if len(packed) < recordHead {
		return false
	}
	end := min(recordHead+idSize*int(packed[recordHead-1]), len(packed))
	r := record{ids: packed[recordHead:end]}
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

// append appends the stored form, and fills in rest if it is not there.
func (r *record) append(b []byte) (_ []byte, err error) {
	b = append(b, r.version...)
	var id incident.ID
	if r.key != nil {
		id = r.key.Incident
	}
	b = append(b, id[:]...)
	b = append(append(b, byte(len(r.ids)/idSize)), r.ids...)
	if r.key != nil && r.rest == nil {
		state := *r.key
		state.Incident = incident.ID{}
		r.rest, err = json.Marshal(&state)
	}
	return append(b, r.rest...), err
}

func parseRecord(v string) (record, error) {
	if len(v) < recordHead || len(v) < recordHead+idSize*int(v[recordHead-1]) {
		return record{}, fmt.Errorf("store: key: %w", errShort)
	}
	end := recordHead + idSize*int(v[recordHead-1])
	r := record{version: v[:versionSize], ids: v[recordHead:end]}
	if end == len(v) {
		return r, nil
	}
	r.key, r.rest = &incident.KeyState{}, []byte(v[end:])
	if err := json.Unmarshal(r.rest, r.key); err != nil {
		return r, fmt.Errorf("store: key: %w", err)
	}
	copy(r.key.Incident[:], v[versionSize:]) // where a script finds it
	return r, nil
}
