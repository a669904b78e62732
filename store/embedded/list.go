package embedded

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// scanLimit bounds the rows that one page looks at; a page may end early with a cursor.
const scanLimit = 20_000

// Incident implements store.Store.
func (s *Store) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	id, err := incident.ParseID(name)
	if err != nil {
		v, ok, err := s.get(append([]byte{rowReference}, strings.ToUpper(name)...))
		if err != nil {
			return nil, err
		}
		if !ok || len(v) != len(id) {
			return nil, fmt.Errorf("incident %q: %w", name, incident.ErrNotFound)
		}
		id = incident.ID(v)
	}
	i, err := s.header(id)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, fmt.Errorf("incident %q: %w", name, incident.ErrNotFound)
	}
	return i.Clone(), nil
}

// Incidents implements store.Store. The cursor is a position in the order that
// all lists share, so what is written meanwhile neither repeats nor hides a row.
func (s *Store) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, "", err
	}
	defer leave()
	from, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(from) != 0 && len(from) != positionSize {
		return nil, "", fmt.Errorf("cursor %q is not one of ours: %w", q.Cursor, store.ErrCursor)
	}
	now := s.db.NewSnapshot() // one moment for all ranges: what moves between them is seen once
	defer func() { _ = now.Close() }()
	lists, err := indexes(now, &q, from)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = lists.close() }() // it only frees memory
	var out []*incident.Incident
	parse := row.ParseIncident
	if q.Lean && q.Text == "" {
		parse = row.ParseLean
	}
	for seen := 0; ; {
		page := lists.page(min(max(q.Limit-len(out), leastAtOnce), mostAtOnce))
		if len(page) == 0 {
			return out, "", lists.err
		}
		list, err := s.headers(page, parse)
		if err != nil {
			return nil, "", err
		}
		for n, i := range list {
			seen++
			if i != nil && q.Matches(i) {
				out = append(out, i)
			}
			if len(out) >= q.Limit || seen > scanLimit {
				return out, base64.RawURLEncoding.EncodeToString(page[n]), nil
			}
		}
	}
}

// leastAtOnce and mostAtOnce bound the incidents that are read at once.
const (
	leastAtOnce = 16
	mostAtOnce  = 1000
)

// headers reads the incidents at positions, nil for those that there are not. They are
// shared: nobody changes them.
func (s *Store) headers(positions [][]byte, parse func([]byte) (*incident.Incident, error)) ([]*incident.Incident, error) {
	out := make([]*incident.Incident, len(positions))
	var missing []int
	for n, pos := range positions {
		if out[n] = s.cache.incident(incident.ID(pos[8:])); out[n] == nil {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	slices.SortFunc(missing, func(a, b int) int { return bytes.Compare(positions[a][8:], positions[b][8:]) })
	keys := make([][]byte, len(missing))
	for k, n := range missing {
		keys[k] = idKey(rowIncident, incident.ID(positions[n][8:]))
	}
	return out, s.walk(keys, func(k int, value []byte) (err error) {
		out[missing[k]], err = parse(value)
		return err
	})
}

// walk reads rows of one kind, those that exist, in their order. Rows that stand
// together cost a fraction of as many reads.
func (s *Store) walk(keys [][]byte, visit func(n int, value []byte) error) error {
	kind := keys[0][0]
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return &store.UnavailableError{Cause: err}
	}
	for n, key := range keys {
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			continue
		}
		if err := visit(n, it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil { // also what a seek met
		return &store.UnavailableError{Cause: err}
	}
	return nil
}

// References implements store.Store.
func (s *Store) References(ctx context.Context, ids []incident.ID) ([]string, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]string, len(ids))
	for n, id := range ids {
		i, err := s.header(id)
		if err != nil {
			return nil, err
		}
		if i != nil {
			out[n] = i.Reference
		}
	}
	return out, nil
}

// indexes opens the narrowest index for q.
func indexes(db pebble.Reader, q *store.Query, from []byte) (*merged, error) {
	field, values := byte(fieldAll), []string{""}
	for _, f := range [...]struct {
		field  byte
		values []string
	}{{fieldService, q.Services}, {fieldTeam, q.Teams}, {fieldState, q.States}, {fieldSeverity, q.Severities}} {
		if len(f.values) > 0 {
			field, values = f.field, f.values
			break
		}
	}
	if q.To.After(time.Time{}) {
		first := binary.BigEndian.AppendUint64(nil, ^uint64(q.To.UnixMilli()))
		if bytes.Compare(first, from) > 0 {
			from = first
		}
	}
	m := &merged{}
	for _, v := range values {
		prefix := indexPrefix(field, v)
		lower := append(slices.Clone(prefix), from...)
		if len(from) == positionSize {
			lower = append(lower, 0) // behind the last row of the page before
		}
		upper := after(prefix)
		if q.From.UnixMilli() > 0 { // positions do not go further back
			upper = binary.BigEndian.AppendUint64(slices.Clone(prefix), ^uint64(q.From.UnixMilli())+1)
		}
		if bytes.Compare(lower, upper) >= 0 {
			continue
		}
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return nil, errors.Join(&store.UnavailableError{Cause: err}, m.close())
		}
		it.First()
		m.lists = append(m.lists, it)
		m.skip = append(m.skip, len(prefix))
	}
	return m, nil
}

// merged walks several index ranges in the order of positions.
type merged struct {
	lists []*pebble.Iterator
	skip  []int
	err   error
}

// next returns the next position, nil at the end.
func (m *merged) next() []byte {
	var first []byte
	for n, it := range m.lists {
		if !it.Valid() {
			m.err = errors.Join(m.err, it.Error())
			continue
		}
		if pos := it.Key()[m.skip[n]:]; first == nil || bytes.Compare(pos, first) < 0 {
			first = pos
		}
	}
	if first == nil {
		return nil
	}
	first = bytes.Clone(first)
	for n, it := range m.lists {
		if it.Valid() && bytes.Equal(it.Key()[m.skip[n]:], first) {
			it.Next()
		}
	}
	return first
}

// page returns the next positions, none at the end.
func (m *merged) page(limit int) (page [][]byte) {
	for len(page) < limit {
		pos := m.next()
		if pos == nil {
			break
		}
		page = append(page, pos)
	}
	return page
}

func (m *merged) close() error {
	var err error
	for _, it := range m.lists {
		err = errors.Join(err, it.Close())
	}
	return err
}

// Alerts implements store.Store. An incident's alerts are those of its key that
// name it, and those that went on to another incident and were archived; both
// are walked in the order of fingerprints.
func (s *Store) Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]store.Record, string, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, "", err
	}
	defer leave()
	i, err := s.header(id)
	if err != nil {
		return nil, "", err
	}
	if i == nil {
		return nil, "", fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
	}
	var from []byte
	if cursor != "" {
		var fp alert.Fingerprint
		if err := fp.UnmarshalText([]byte(cursor)); err != nil {
			return nil, "", fmt.Errorf("cursor %q is not one of ours: %w", cursor, store.ErrCursor)
		}
		from = append(fp[:], 0)
	}
	now := s.db.NewSnapshot() // an alert on its way to the archive is in one place or the other
	defer func() { _ = now.Close() }()
	m := &merged{}
	defer func() { _ = m.close() }() // it only frees memory
	for _, prefix := range [...][]byte{idKey(rowEntry, i.Key), idKey(rowArchivedEntry, id)} {
		it, err := now.NewIter(&pebble.IterOptions{LowerBound: append(slices.Clone(prefix), from...), UpperBound: after(prefix)})
		if err != nil {
			return nil, "", &store.UnavailableError{Cause: err}
		}
		it.First()
		m.lists, m.skip = append(m.lists, it), append(m.skip, len(prefix))
	}
	var out []store.Record
	for seen := 0; ; seen++ {
		pos := m.next()
		if pos == nil {
			return out, "", m.err
		}
		fp := alert.Fingerprint(pos)
		record, ok, err := s.member(now, i, fp)
		if err != nil {
			return nil, "", err
		}
		if ok {
			out = append(out, record)
		}
		if len(out) >= limit || seen >= scanLimit {
			return out, fp.String(), nil
		}
	}
}

// member reads one alert of an incident.
func (s *Store) member(db pebble.Reader, i *incident.Incident, fp alert.Fingerprint) (store.Record, bool, error) {
	var buf []byte
	e, _, err := readEntry(db, &buf, rowEntry, i.Key, fp)
	if err != nil {
		return store.Record{}, false, err
	}
	if e.Incident != i.ID {
		if e, _, err = readEntry(db, &buf, rowArchivedEntry, i.ID, fp); err != nil {
			return store.Record{}, false, err
		}
	} else {
		s.repeats.Peek(i.Key, &e.Entry)
	}
	if !e.Exists() || e.Incident != i.ID {
		return store.Record{}, false, nil
	}
	content, err := readContent(db, e.Number)
	return store.Record{Key: i.Key, Entry: e.Entry, Content: content}, true, err
}

// Timeline implements store.Store.
func (s *Store) Timeline(ctx context.Context, id incident.ID, behind uint64, limit int) ([]incident.TimelineEntry, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: timelineKey(id, behind+1), UpperBound: after(idKey(rowTimeline, id))})
	if err != nil {
		return nil, &store.UnavailableError{Cause: err}
	}
	var out []incident.TimelineEntry
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		t, err := row.ParseTimeline(it.Value(), id, binary.BigEndian.Uint64(it.Key()[17:]))
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		out = append(out, t)
	}
	return out, it.Close()
}

// Entries implements store.Store.
func (s *Store) Entries(ctx context.Context, places []store.Place) ([]incident.Entry, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]incident.Entry, len(places))
	var buf []byte
	for n, p := range places {
		e, err := s.live(&buf, p.Key, p.Fingerprint)
		if err != nil {
			return nil, err
		}
		s.repeats.Peek(p.Key, &e.Entry)
		out[n] = e.Entry
	}
	return out, nil
}

// KeyEntries implements store.Store.
func (s *Store) KeyEntries(ctx context.Context, key incident.Key, cursor string, limit int) ([]incident.Entry, string, error) {
	records, next, err := s.scan(idKey(rowEntry, key), cursor, limit, false)
	out := make([]incident.Entry, len(records))
	for n := range records {
		out[n] = records[n].Entry
	}
	return out, next, err
}

// ScanEntries implements store.Store.
func (s *Store) ScanEntries(ctx context.Context, cursor string, limit int) ([]store.Record, string, error) {
	return s.scan([]byte{rowEntry}, cursor, limit, true)
}

// scan reads entries whose rows begin with a prefix. A cursor is the row of the last one.
func (s *Store) scan(prefix []byte, cursor string, limit int, contents bool) (out []store.Record, next string, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, "", err
	}
	defer leave()
	lower := prefix
	if cursor != "" {
		lower = append([]byte(cursor), 0)
	}
	now := s.db.NewSnapshot() // for entries and what they said: the one is deleted when the other changes
	defer func() { _ = now.Close() }()
	it, err := now.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(prefix)})
	if err != nil {
		return nil, "", &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		if len(out) == limit {
			return out, next, it.Close()
		}
		k := it.Key()
		if len(k) != 33 {
			continue // unreachable: every key of this kind has one length
		}
		r := store.Record{Key: incident.Key(k[1:17])}
		e, err := row.ParseEntry(it.Value(), alert.Fingerprint(k[17:]))
		if err != nil {
			return nil, "", errors.Join(err, it.Close())
		}
		r.Entry = e.Entry
		s.repeats.Peek(r.Key, &r.Entry)
		if contents {
			if r.Content, err = readContent(now, e.Number); err != nil {
				return nil, "", errors.Join(err, it.Close())
			}
		}
		out, next = append(out, r), string(k)
	}
	return out, "", it.Close()
}
