package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// Report is what Verify found.
type Report struct {
	// Incidents, Alerts (archived ones included) and TimelineEntries are how many there are.
	Incidents, Alerts, TimelineEntries int
	// Problems are in words, one for each thing that does not fit; none means that all does.
	Problems []string
}

// problemsKept bounds the problems that a report lists.
const problemsKept = 100

// Verify checks a backup, as a tar archive or unpacked, or the folder of a
// store that nobody uses: that the files are those that were written, that every
// row can be read, that the timelines' chains are whole, and that counts and
// indexes agree with what they are about. It changes nothing. An error means
// that it could not look.
func Verify(path string) (Report, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return Report{}, fmt.Errorf("store: verify: %w", err)
	}
	if stat.IsDir() {
		return verifyFolder(path)
	}
	dir, err := os.MkdirTemp("", "tocsin-verify-")
	if err != nil {
		return Report{}, fmt.Errorf("store: verify: %w", err)
	}
	report, err := verifyArchive(path, dir)
	return report, errors.Join(err, os.RemoveAll(dir))
}

// verifyArchive unpacks a backup into dir, an empty folder, and looks at it there.
func verifyArchive(tar, dir string) (Report, error) {
	f, err := os.Open(tar)
	if err != nil {
		return Report{}, fmt.Errorf("store: backup: %w", err)
	}
	m, problems, err := unpack(f, dir)
	if err = errors.Join(err, f.Close()); err != nil {
		return Report{}, fmt.Errorf("store: backup %s: %w", tar, err)
	}
	if len(problems) > 0 {
		return Report{Problems: problems}, nil // the engine would be asked to read what is not its own
	}
	return verifyRows(vfs.Default, dir, &m)
}

func verifyFolder(dir string) (Report, error) {
	m, problems, err := listed(dir)
	if err != nil {
		return Report{}, fmt.Errorf("store: backup %s: %w", dir, err)
	}
	if len(problems) > 0 {
		return Report{Problems: problems}, nil
	}
	return verifyRows(vfs.Default, dir, m)
}

// openReadOnly opens the engine on a folder that it must not change.
func openReadOnly(fs vfs.FS, dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(64 << 20)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, ReadOnly: true, ErrorIfNotExists: true, Merger: merger, Cache: cache,
		FormatMajorVersion: pebble.FormatNewest, Logger: silent{}, MaxOpenFiles: 500,
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}}) // it comes back as an error too
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", dir, err)
	}
	return db, nil
}

// silent is a log for an engine that only reads: what goes wrong comes back as an error.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func verifyRows(fs vfs.FS, dir string, m *manifest) (report Report, err error) {
	db, err := openReadOnly(fs, dir)
	if err != nil {
		if inUse(fs, dir) {
			return Report{}, fmt.Errorf("store: verify: the folder %s is in use by another process: stop it first, or verify a backup of it", dir)
		}
		return Report{}, fmt.Errorf("store: verify: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found schema
	data, ok, err := read(db, []byte{rowSchema})
	if err == nil && ok {
		err = json.Unmarshal(data, &found)
	}
	switch {
	case err != nil:
		return Report{}, fmt.Errorf("store: verify: schema: %w", err)
	case !ok:
		return Report{}, fmt.Errorf("store: verify: %s is not a store", dir)
	case found.Name != "tocsin" || found.Major > SchemaMajor:
		return Report{}, schemaError(dir, found)
	}
	v := &verifier{db: db, newer: found.Minor > SchemaMinor, tallies: map[incident.ID]*alertTally{}, counts: map[string]int64{}, stored: map[string]int64{}}
	v.all()
	if m != nil {
		v.same("manifest", m.Incidents, v.Incidents, "incidents")
		v.same("manifest", m.Alerts, v.Alerts, "alerts")
		v.same("manifest", m.TimelineEntries, v.TimelineEntries, "timeline entries")
	}
	return v.Report, nil
}

// verifier goes through all rows once, in their order, and looks up beside that
// what they refer to.
type verifier struct {
	Report
	db *pebble.DB
	// newer: a newer version wrote here; rows that this one does not know are none of its business.
	newer bool
	// written and used are the numbers of contents that are there and that entries have.
	written, used []uint64
	tallies       map[incident.ID]*alertTally
	// counts are made here, and are to equal those that are stored.
	counts, stored map[string]int64
	// The timeline that is being walked.
	timeline incident.ID
	seq      uint64
	hash     string
}

// alertTally counts the alerts of an incident.
type alertTally struct{ total, firing int }

func (v *verifier) problem(format string, args ...any) {
	if len(v.Problems) < problemsKept {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	} else if len(v.Problems) == problemsKept {
		v.Problems = append(v.Problems, "and more")
	}
}

func (v *verifier) same(where string, want, got int, of string) {
	if want != got {
		v.problem("%s: %d %s, and there are %d", where, want, of, got)
	}
}

func (v *verifier) all() {
	it, err := v.db.NewIter(nil)
	if err != nil {
		v.problem("cannot be read: %v", err)
		return
	}
	for ok := it.First(); ok; ok = it.Next() {
		v.row(it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		v.problem("cannot be read on: %v", err)
		return // what is not read cannot be compared
	}
	v.alertCounts()
	v.contents()
	v.counters()
}

// sizes are those of keys that have one.
var sizes = map[byte]int{rowArchivedEntry: 33, rowContent: 9, rowEntry: 33, rowGenerations: 1, rowIncident: 17, rowKey: 17, rowNumber: 10, rowTimeline: 25}

func (v *verifier) row(key, value []byte) {
	if len(key) == 0 {
		v.problem("a row without a key")
		return
	}
	if size := sizes[key[0]]; size != 0 && len(key) != size {
		v.problem("row %q: the key has %d bytes, not %d", key, len(key), size)
		return
	}
	switch key[0] {
	case rowIndex:
		v.index(key)
	case rowJob:
		v.job(key, value)
	case rowJobDue:
		v.jobDue(key)
	case rowContent:
		v.written = append(v.written, binary.BigEndian.Uint64(key[1:]))
		if _, err := row.ParseContent(value); err != nil {
			v.problem("row %q: %v", key, err)
		}
	case rowDocument:
		v.json(key, value, &document{})
	case rowGenerations:
		v.json(key, value, &store.Generations{})
	case rowEntry:
		v.entry(key, value)
	case rowArchivedEntry:
		v.archived(key, value)
	case rowIncident:
		v.incident(key, value)
	case rowKey:
		v.key(key, value)
	case rowCounter, rowNumber:
		if len(value) != 8 {
			v.problem("row %q: a number of %d bytes", key, len(value))
		}
		if key[0] == rowCounter {
			v.stored[string(key[1:])] = parseNumber(value)
		}
	case rowReference:
		v.reference(key, value)
	case rowTimeline:
		v.entryOfTimeline(key, value)
	case rowSchema:
	default:
		if !v.newer {
			v.problem("row %q: of no kind that this version knows", key)
		}
	}
}

func (v *verifier) json(key, value []byte, into any) bool {
	if err := json.Unmarshal(value, into); err != nil {
		v.problem("row %q: %v", key, err)
		return false
	}
	return true
}

// header reads an incident; nil if there is none, or none that can be read.
func (v *verifier) header(id incident.ID) *incident.Incident {
	data, ok, err := read(v.db, idKey(rowIncident, id))
	if err != nil || !ok {
		return nil
	}
	i, err := row.ParseIncident(data)
	if err != nil {
		return nil
	}
	return i
}

func (v *verifier) has(key []byte) bool {
	_, ok, err := read(v.db, key)
	return err == nil && ok
}

func (v *verifier) incident(key, value []byte) {
	v.Incidents++
	i, err := row.ParseIncident(value)
	if err != nil {
		v.problem("incident %x: %v", key[1:], err)
		return
	}
	if !bytes.Equal(key[1:], i.ID[:]) {
		v.problem("incident %s is stored as %x", i.ID, key[1:])
	}
	v.counts[row.StateName(i)]++
	if v.tallies[i.ID] == nil {
		v.tallies[i.ID] = &alertTally{}
	}
	for _, in := range indexed(i) {
		if !v.has(append(indexPrefix(in[0][0], in[1]), position(i)...)) {
			v.problem("incident %s is not in the index of field %d, value %q", i.Reference, in[0][0], in[1])
		}
	}
	if id, _, err := read(v.db, append([]byte{rowReference}, i.Reference...)); err != nil || !bytes.Equal(id, i.ID[:]) {
		v.problem("incident %s cannot be found by its reference %q", i.ID, i.Reference)
	}
	v.number(i)
	last, ok, err := read(v.db, timelineKey(i.ID, i.TimelineLength))
	if err != nil || ok != (i.TimelineLength > 0) {
		v.problem("incident %s: the last of %d timeline entries is missing", i.Reference, i.TimelineLength)
	} else if t, err := row.ParseTimeline(last, i.ID, i.TimelineLength); ok && (err != nil || t.Hash != i.TimelineHash) {
		v.problem("incident %s: the last timeline entry is not the one that the incident names", i.Reference)
	}
	if v.has(timelineKey(i.ID, i.TimelineLength+1)) {
		v.problem("incident %s has more than %d timeline entries", i.Reference, i.TimelineLength)
	}
}

// number checks that the number of a reference will not be given out again.
func (v *verifier) number(i *incident.Incident) {
	day, digits, ok := strings.Cut(strings.TrimPrefix(i.Reference, "INC-"), "-")
	n, err := parseDigits(digits)
	if !ok || err != nil || len(day) != 8 {
		v.problem("incident %s: %q is not a reference", i.ID, i.Reference)
		return
	}
	data, _, err := read(v.db, numberKey(day, byte(n%incident.Shards)))
	if err != nil || parseNumber(data) < int64(n/incident.Shards) {
		v.problem("incident %s: the number of its reference may be given out again", i.Reference)
	}
}

// parseDigits reads the last part of a reference.
func parseDigits(s string) (n uint64, err error) {
	if s == "" || len(s) > 12 {
		return 0, errors.New("no number")
	}
	for _, c := range []byte(s) {
		at := strings.IndexByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c)
		if at < 0 {
			return 0, fmt.Errorf("%q is not a digit", c)
		}
		n = n*32 + uint64(at)
	}
	return n, nil
}

func (v *verifier) index(key []byte) {
	if len(key) < 2+1+positionSize || key[len(key)-positionSize-1] != 0 {
		v.problem("row %q: not an index entry", key)
		return
	}
	field, value, pos := key[1], string(key[2:len(key)-positionSize-1]), key[len(key)-positionSize:]
	i := v.header(incident.ID(pos[8:]))
	switch {
	case i == nil:
		v.problem("row %q: the index names an incident that does not exist", key)
	case !bytes.Equal(position(i), pos) || int(field) >= len(indexed(i)) || indexed(i)[field][1] != value:
		v.problem("row %q: incident %s is in the index of something else", key, i.Reference)
	}
}

func (v *verifier) reference(key, value []byte) {
	if len(value) != len(incident.ID{}) {
		v.problem("row %q: not an incident's id", key)
		return
	}
	if i := v.header(incident.ID(value)); i == nil || i.Reference != string(key[1:]) {
		v.problem("reference %q names the incident %s, which does not have it", key[1:], incident.ID(value))
	}
}

func (v *verifier) key(key, value []byte) {
	var ks incident.KeyState
	if !v.json(key, value, &ks) {
		return
	}
	if !bytes.Equal(ks.Key[:], key[1:]) {
		v.problem("key %s is stored as %x", ks.Key, key[1:])
	}
	if !ks.Incident.IsZero() {
		if i := v.header(ks.Incident); i == nil || i.Key != ks.Key {
			v.problem("key %s names the incident %s, which is not its own", ks.Key, ks.Incident)
		}
	}
}

// entry checks an alert of a key. One that fires may name an incident that was removed.
func (v *verifier) entry(key, value []byte) {
	v.Alerts++
	owner := incident.Key(key[1:17])
	e, err := row.ParseEntry(value, alert.Fingerprint(key[17:]))
	if err != nil {
		v.problem("row %q: %v", key, err)
		return
	}
	v.uses(e.Number)
	if e.Firing {
		v.counts[row.FiringName(e.Generation)]++
	}
	if e.Incident.IsZero() {
		return
	}
	switch i := v.header(e.Incident); {
	case i == nil && !e.Firing:
		v.problem("alert %s of key %s names the incident %s, which does not exist", e.Fingerprint, owner, e.Incident)
	case i != nil && i.Key != owner:
		v.problem("alert %s of key %s names the incident %s of another key", e.Fingerprint, owner, i.Reference)
	case i != nil:
		v.tally(e.Incident, e.Firing)
	}
}

func (v *verifier) archived(key, value []byte) {
	v.Alerts++
	id := incident.ID(key[1:17])
	e, err := row.ParseEntry(value, alert.Fingerprint(key[17:]))
	if err != nil {
		v.problem("row %q: %v", key, err)
		return
	}
	v.uses(e.Number)
	i := v.header(id)
	if i == nil {
		v.problem("archived alert %s belongs to the incident %s, which does not exist", e.Fingerprint, id)
		return
	}
	// It may have come back since; then it was counted where it is now.
	var buf []byte
	if now, _, err := readEntry(v.db, &buf, rowEntry, i.Key, e.Fingerprint); err != nil || now.Incident != id {
		v.tally(id, false)
	}
}

func (v *verifier) uses(content uint64) {
	if content != 0 {
		v.used = append(v.used, content)
	}
}

func (v *verifier) tally(id incident.ID, firing bool) {
	t := v.tallies[id]
	if t == nil {
		t = &alertTally{}
		v.tallies[id] = t
	}
	t.total++
	if firing {
		t.firing++
	}
}

func (v *verifier) alertCounts() {
	for id, t := range v.tallies {
		if i := v.header(id); i != nil && i.Alerts != (incident.Counts{Total: t.total, Firing: t.firing}) {
			v.problem("incident %s counts %d alerts, %d firing, and there are %d, %d firing", i.Reference, i.Alerts.Total, i.Alerts.Firing, t.total, t.firing)
		}
	}
}

// contents checks that each text belongs to one alert, and each alert has its own.
func (v *verifier) contents() {
	slices.Sort(v.used)
	n := 0
	for _, number := range v.written {
		for n < len(v.used) && v.used[n] < number {
			v.problem("content %d is missing, or belongs to two alerts", v.used[n])
			n++
		}
		if n < len(v.used) && v.used[n] == number {
			n++
		} else {
			v.problem("content %d belongs to no alert", number)
		}
	}
	for ; n < len(v.used); n++ {
		v.problem("content %d is missing, or belongs to two alerts", v.used[n])
	}
}

func (v *verifier) counters() {
	for _, name := range slices.Sorted(maps.Keys(v.stored)) {
		if !strings.HasPrefix(name, "series\x00") && v.stored[name] != v.counts[name] {
			v.problem("counter %q says %d, and there are %d", name, v.stored[name], v.counts[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.counts)) {
		if _, there := v.stored[name]; !there {
			v.problem("counter %q is missing, and there are %d", name, v.counts[name])
		}
	}
}

func (v *verifier) entryOfTimeline(key, value []byte) {
	v.TimelineEntries++
	id, seq := incident.ID(key[1:17]), binary.BigEndian.Uint64(key[17:])
	if id != v.timeline {
		v.timeline, v.seq, v.hash = id, 0, ""
		if v.header(id) == nil {
			v.problem("timeline of the incident %s, which does not exist", id)
		}
	}
	v.seq++
	t, err := row.ParseTimeline(value, id, seq)
	switch {
	case err != nil:
		v.problem("row %q: %v", key, err)
	case seq != v.seq:
		v.problem("timeline of %s: entry %d comes where %d belongs", id, seq, v.seq)
	case t.Sum(v.hash) != t.Hash:
		v.problem("timeline of %s: entry %d does not fit the chain", id, seq)
	}
	v.seq, v.hash = seq, t.Hash
}

func (v *verifier) job(key, value []byte) {
	var row job
	if !v.json(key, value, &row) {
		return
	}
	if bytes.Count(key, []byte{0}) < 2 {
		v.problem("row %q: not a job", key)
	}
	if !v.has(jobDueKey(row.position(), key)) {
		v.problem("job %q would never come: it is not in the order of due times", key[1:])
	}
}

func (v *verifier) jobDue(key []byte) {
	if len(key) < 9 {
		v.problem("row %q: not a due job", key)
		return
	}
	name := append([]byte{rowJob}, key[9:]...)
	data, ok, err := read(v.db, name)
	var row job
	if err == nil && ok {
		err = json.Unmarshal(data, &row)
	}
	if err != nil || !ok || !bytes.Equal(jobDueKey(row.position(), name), key) {
		v.problem("row %q: there is no such job at that time", key)
	}
}
