package redis

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

const (
	// scanLimit bounds the rows that one page looks at; a page may end early with a cursor.
	scanLimit = 20_000
	// rowsAtOnce bounds the rows that one script looks at.
	rowsAtOnce = 1000
)

// Incident implements store.Store.
func (s *Store) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	id, err := incident.ParseID(name)
	if err != nil {
		if id, err = s.byReference(ctx, strings.ToUpper(name)); err != nil {
			return nil, err
		}
	}
	i, err := s.header(ctx, id)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, fmt.Errorf("incident %q: %w", name, incident.ErrNotFound)
	}
	return i, nil
}

// byReference finds an incident by its short name, which says the shard.
func (s *Store) byReference(ctx context.Context, name string) (id incident.ID, err error) {
	shard, ok := incident.ReferenceShard(name)
	if !ok {
		return id, fmt.Errorf("incident %.40q: %w", name, incident.ErrNotFound)
	}
	v, err := s.one(ctx, &call{shard: shard, args: []any{"HGET", s.names[shard].references, name}})
	if err != nil {
		return id, err
	}
	text, _ := v.(string)
	if len(text) != len(id) {
		return id, fmt.Errorf("incident %.40q: %w", name, incident.ErrNotFound)
	}
	return incident.ID([]byte(text)), nil
}

// References implements store.Store.
func (s *Store) References(ctx context.Context, ids []incident.ID) ([]string, error) {
	out := make([]string, len(ids))
	var missing []incident.ID
	var where []int
	for n, id := range ids {
		if known, ok := s.cache.get(id); ok && known.reference != "" {
			out[n] = known.reference
			continue
		}
		missing, where = append(missing, id), append(where, n)
	}
	if len(missing) == 0 {
		return out, nil
	}
	found, err := s.headers(ctx, missing)
	if err != nil {
		return nil, err
	}
	for n, i := range found {
		if i != nil {
			out[where[n]] = i.Reference
		}
	}
	return out, nil
}

// Incidents implements store.Store. The cursor is a position in the order that
// all lists share, so what is written meanwhile neither repeats nor hides a row.
func (s *Store) Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error) {
	from, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(from) != 0 && len(from) != len(incident.ID{}) {
		return nil, "", fmt.Errorf("cursor %q is not one of ours: %w", q.Cursor, store.ErrCursor)
	}
	use, err := s.narrowest(ctx, &q)
	if err != nil {
		return nil, "", err
	}
	parse := row.ParseIncident
	if q.Lean && q.Text == "" {
		parse = row.ParseLean
	}
	var out []*incident.Incident
	for seen := 0; ; {
		want := q.Limit - len(out)
		if q.Text != "" || seen > 0 && len(out) == 0 {
			want = rowsAtOnce / 4 // most of them do not match
		} else if seen > 0 {
			want = want * seen / len(out)
		}
		want = min(max(want, 1), rowsAtOnce)
		page, more, err := s.positions(ctx, &q, use, from, want)
		if err != nil {
			return nil, "", err
		}
		ids := make([]incident.ID, len(page))
		for n := range page {
			ids[n] = incident.ID(position(page[n]))
		}
		list, err := s.headersBy(ctx, ids, parse)
		if err != nil {
			return nil, "", err
		}
		for n, i := range list {
			seen++
			from = page[n][:]
			if i != nil && q.Matches(i) {
				out = append(out, i)
			}
			last := n == len(list)-1 && !more
			if !last && (len(out) >= q.Limit || seen >= scanLimit) {
				return out, base64.RawURLEncoding.EncodeToString(from), nil
			}
		}
		if !more {
			return out, "", nil
		}
	}
}

// selection is what an index is asked for: values of a field, or all.
type selection struct {
	field  string
	values []string
}

func (u selection) keys(n *names) []string {
	if u.field == "" {
		return []string{n.all}
	}
	keys := make([]string, len(u.values))
	for i, v := range u.values {
		keys[i] = n.index(u.field, v)
	}
	return keys
}

// narrowest is the selection with the fewest incidents that q allows.
func (s *Store) narrowest(ctx context.Context, q *store.Query) (selection, error) {
	var allowed []selection
	for _, u := range [...]selection{{fieldService, q.Services}, {fieldTeam, q.Teams}, {fieldState, q.States}, {fieldSeverity, q.Severities}} {
		if len(u.values) > 0 {
			allowed = append(allowed, u)
		}
	}
	switch len(allowed) {
	case 0:
		return selection{}, nil
	case 1:
		return allowed[0], nil
	}
	sizes := make([]int64, len(allowed))
	err := s.eachShard(ctx, func(n *names) *call {
		c := &call{}
		for _, u := range allowed {
			for _, key := range u.keys(n) {
				c.several = append(c.several, []any{"ZCARD", key})
			}
		}
		return c
	}, func(_ *names, result any) error {
		counts, _ := result.([]any)
		for i, u := range allowed {
			if len(counts) < len(u.values) {
				return errReply
			}
			for _, v := range counts[:len(u.values)] {
				count, _ := v.(int64)
				sizes[i] += count
			}
			counts = counts[len(u.values):]
		}
		return nil
	})
	least := 0
	for i := range sizes {
		if sizes[i] < sizes[least] {
			least = i
		}
	}
	return allowed[least], err
}

// positions lists the next positions behind from in an index, over all shards,
// at most so many. Each shard is read at one moment, so that an incident which
// moves between two of its indexes is in one. Incidents spread over the shards, so each
// is asked for a part; where one has more, the page ends with the last that it gave.
func (s *Store) positions(ctx context.Context, q *store.Query, use selection, from []byte, limit int) (page []incident.ID, more bool, err error) {
	lower, upper := bounds(q, from)
	if lower == "" {
		return nil, false, nil
	}
	part := min(limit, 8+2*limit/len(s.names))
	var end incident.ID // of what is complete, zero if all is
	err = s.eachShard(ctx, func(n *names) *call {
		keys := use.keys(n)
		if len(keys) == 1 {
			return &call{args: []any{"ZRANGEBYLEX", keys[0], lower, upper, "LIMIT", 0, part}}
		}
		return &call{script: scriptList, keys: keys, args: []any{lower, upper, part}}
	}, func(_ *names, result any) error {
		lists, _ := result.([]any)
		if len(lists) > 0 {
			if _, flat := lists[0].(string); flat {
				lists = []any{lists}
			}
		}
		for _, l := range lists {
			members, _ := l.([]any)
			given := len(page)
			for _, m := range members {
				if text, _ := m.(string); len(text) == len(incident.ID{}) {
					page = append(page, incident.ID([]byte(text)))
				}
			}
			if len(members) < part || len(page) == given {
				continue
			}
			if last := page[len(page)-1]; !more || bytes.Compare(last[:], end[:]) < 0 {
				more, end = true, last
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(page, func(a, b incident.ID) int { return bytes.Compare(a[:], b[:]) })
	page = slices.Compact(page)
	if more {
		behind := slices.IndexFunc(page, func(p incident.ID) bool { return bytes.Compare(p[:], end[:]) > 0 })
		if behind >= 0 {
			page = page[:behind]
		}
	}
	if len(page) > limit {
		page, more = page[:limit], true
	}
	return page, more, nil
}

// bounds are the ends of the range of positions that q selects behind from, as
// ZRANGEBYLEX has them; the lower one is empty if there are none.
func bounds(q *store.Query, from []byte) (lower, upper string) {
	lower, upper = "-", "+"
	if len(from) > 0 {
		lower = "(" + string(from)
	}
	at := func(t time.Time) string {
		p := position(incident.NewID(t, [16]byte{}, 0, 0))
		return string(p[:6])
	}
	if !q.To.IsZero() {
		if q.To.UnixMilli() < 0 {
			return "", ""
		}
		if first := at(q.To); len(from) == 0 || first > string(from) {
			lower = "[" + first
		}
	}
	if q.From.UnixMilli() > 0 { // positions do not go further back
		upper = "[" + at(q.From) + strings.Repeat("\xff", 11)
	}
	return lower, upper
}

// place is where an alert is in lists: number of the page, fingerprint. It keeps
// it when it is archived.
type place [pageSize + len(alert.Fingerprint{})]byte

func placeOf(page, fingerprint string) (p place) {
	copy(p[:], page)
	copy(p[pageSize:], fingerprint)
	return p
}

// placed is an alert with its place.
type placed struct {
	place
	store.Record
}

// endOfPage stands behind all fingerprints of a page.
var endOfPage = bytes.Repeat([]byte{0xff}, len(alert.Fingerprint{}))

func byPlace(a, b placed) int { return bytes.Compare(a.place[:], b.place[:]) }

// Alerts implements store.Store. The order is that of places.
func (s *Store) Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]store.Record, string, error) {
	behind, err := hex.DecodeString(cursor)
	if err != nil || len(behind) != 0 && len(behind) != len(place{}) {
		return nil, "", fmt.Errorf("cursor %q is not one of ours: %w", cursor, store.ErrCursor)
	}
	if int(id.Shard()) >= len(s.names) {
		return nil, "", fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
	}
	var out []store.Record
	for seen := 0; seen < scanLimit; seen += rowsAtOnce {
		some, last, err := s.someAlerts(ctx, id, behind, limit-len(out))
		if err != nil {
			return nil, "", err
		}
		for n := range some {
			out = append(out, some[n].Record)
		}
		if behind = last; len(behind) == 0 || len(out) >= limit {
			break
		}
	}
	return out, hex.EncodeToString(behind), nil
}

// someAlerts reads alerts of an incident behind a place, and says which
// one to go on behind; empty at the end.
func (s *Store) someAlerts(ctx context.Context, id incident.ID, behind []byte, limit int) ([]placed, []byte, error) {
	n := s.names[id.Shard()]
	v, err := s.one(ctx, &call{shard: n.shard, script: scriptAlerts, keys: []string{n.incidents, n.keys, n.order, n.entries, n.contents, n.archiveOrder, n.archive, n.archived},
		args: []any{id[:], behind, min(max(limit, 50), rowsAtOnce), bytes.HasSuffix(behind, endOfPage)}})
	if err != nil {
		return nil, nil, fmt.Errorf("incident %s: %w", id, err)
	}
	if v == nil {
		return nil, nil, fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
	}
	reply, _ := v.([]any)
	if len(reply) != 5 {
		return nil, nil, fmt.Errorf("incident %s: %w", id, errReply)
	}
	text, _ := reply[0].(string)
	if len(text) != len(incident.Key{}) {
		return nil, nil, fmt.Errorf("incident %s: %w", id, errReply)
	}
	key := incident.Key([]byte(text))
	records, err := s.records(key, reply[1])
	if err != nil {
		return nil, nil, err
	}
	for n := range records {
		s.repeats.Peek(key, &records[n].Entry)
	}
	archived, err := s.records(key, reply[3])
	if err != nil {
		return nil, nil, err
	}
	records = append(records, archived...)
	slices.SortFunc(records, byPlace)
	// Only as far as both lists were read it is all: the live ones to the end of a page.
	var last []byte
	if page, _ := reply[2].(string); page != "" {
		last = append([]byte(page), endOfPage...)
	}
	if other, _ := reply[4].(string); other != "" && (last == nil || other < string(last)) {
		last = []byte(other)
	}
	records = slices.DeleteFunc(records, func(r placed) bool {
		return bytes.Compare(r.place[:], behind) <= 0 || last != nil && bytes.Compare(r.place[:], last) > 0
	})
	if len(records) > limit {
		records = records[:limit]
		last = records[limit-1].place[:]
	}
	return records, last, nil
}

// records reads a list of pages, fingerprints, entries and contents. Pages may
// have their key in front.
func (s *Store) records(key incident.Key, list any) ([]placed, error) {
	rows, _ := list.([]any)
	out := make([]placed, 0, len(rows)/4)
	for n := 0; n+3 < len(rows); n += 4 {
		page, _ := rows[n].(string)
		name, _ := rows[n+1].(string)
		value, _ := rows[n+2].(string)
		r := placed{Record: store.Record{Key: key}}
		if len(page) == len(key)+pageSize {
			r.Key, page = incident.Key([]byte(page[:len(key)])), page[len(key):]
		}
		if len(page) != pageSize || len(name) != len(alert.Fingerprint{}) {
			return nil, errReply
		}
		r.place = placeOf(page, name)
		var err error
		if r.Entry, err = parseEntry(value, alert.Fingerprint([]byte(name))); err != nil {
			return nil, err
		}
		if said, ok := rows[n+3].(string); ok {
			if r.Content, err = row.ParseContent([]byte(said)); err != nil {
				return nil, fmt.Errorf("alert %s of key %s: %w", r.Entry.Fingerprint, r.Key, err)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// Timeline implements store.Store.
func (s *Store) Timeline(ctx context.Context, id incident.ID, behind uint64, limit int) ([]incident.TimelineEntry, error) {
	if limit <= 0 || int(id.Shard()) >= len(s.names) {
		return nil, nil
	}
	c := &call{shard: id.Shard(), args: make([]any, 0, limit+2)}
	c.args = append(c.args, "HMGET", s.names[id.Shard()].timeline)
	for n := range uint64(limit) {
		c.args = append(c.args, timelineField(id, behind+n+1))
	}
	rows, err := s.list(ctx, c, limit)
	if err != nil {
		return nil, err
	}
	var out []incident.TimelineEntry
	for n := range rows {
		v, ok := rows[n].(string)
		if !ok {
			break
		}
		t, err := row.ParseTimeline([]byte(v), id, behind+uint64(n)+1)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Entries implements store.Store.
func (s *Store) Entries(ctx context.Context, places []store.Place) ([]incident.Entry, error) {
	byShard := map[byte]*call{}
	var calls []*call
	where := make([]int, len(places))
	for n := range places {
		p := &places[n]
		shard := p.Key.Shard()
		c := byShard[shard]
		if c == nil {
			c = &call{shard: shard, args: []any{"HMGET", s.names[shard].entries}, confirmed: true}
			byShard[shard] = c
			calls = append(calls, c)
		}
		where[n] = len(c.args) - 2
		c.args = append(c.args, append(append(make([]byte, 0, 32), p.Key[:]...), p.Fingerprint[:]...))
	}
	if len(calls) == 0 {
		return nil, nil
	}
	if err := s.run(ctx, calls...); err != nil {
		return nil, err
	}
	out := make([]incident.Entry, len(places))
	for n := range places {
		c := byShard[places[n].Key.Shard()]
		if c.err != nil {
			return nil, c.err
		}
		rows, _ := c.result.([]any)
		if where[n] >= len(rows) {
			return nil, errReply
		}
		out[n] = incident.Entry{Fingerprint: places[n].Fingerprint}
		if v, ok := rows[where[n]].(string); ok {
			e, err := parseEntry(v, places[n].Fingerprint)
			if err != nil {
				return nil, err
			}
			out[n] = e
			s.repeats.Peek(places[n].Key, &out[n])
		}
	}
	return out, nil
}

// KeyEntries implements store.Store.
func (s *Store) KeyEntries(ctx context.Context, key incident.Key, cursor string, limit int) ([]incident.Entry, string, error) {
	records, next, err := s.scan(ctx, key.Shard(), cursor, string(key[:]), limit, false)
	out := make([]incident.Entry, len(records))
	for n := range records {
		out[n] = records[n].Entry
	}
	return out, next, err
}

// ScanEntries implements store.Store. The order is that of shards, keys and places.
func (s *Store) ScanEntries(ctx context.Context, cursor string, limit int) ([]store.Record, string, error) {
	var out []store.Record
	shard := byte(0)
	if cursor != "" {
		shard = cursor[0]
		cursor = cursor[1:]
	}
	for int(shard) < len(s.names) {
		some, next, err := s.scan(ctx, shard, cursor, "", limit-len(out), true)
		if err != nil {
			return nil, "", err
		}
		out = append(out, some...)
		if cursor = next; cursor == "" {
			shard++
		}
		if len(out) >= limit && int(shard) < len(s.names) {
			return out, string([]byte{shard}) + cursor, nil
		}
	}
	return out, "", nil
}

// scan reads entries of a shard whose keys begin with a prefix. A cursor is key
// and place of the last one.
func (s *Store) scan(ctx context.Context, shard byte, cursor, prefix string, limit int, contents bool) (out []store.Record, next string, err error) {
	n := s.names[shard]
	said := ""
	if contents {
		said = "1"
	}
	from, to := "-", "+"
	if prefix != "" {
		from, to = "["+prefix, "["+prefix+strings.Repeat("\xff", len(incident.Key{})+pageSize+1-len(prefix))
	}
	pageEnd := len(incident.Key{}) + pageSize
	if cursor != "" {
		if len(cursor) != pageEnd+len(alert.Fingerprint{}) {
			return nil, "", fmt.Errorf("cursor %q is not one of ours: %w", cursor, store.ErrCursor)
		}
		from = "[" + cursor[:pageEnd]
		if strings.HasSuffix(cursor, string(endOfPage)) {
			from = "(" + cursor[:pageEnd]
		}
	}
	for {
		reply, err := s.list(ctx, &call{shard: shard, script: scriptScan, keys: []string{n.keys, n.order, n.entries, n.contents}, args: []any{from, to, min(limit-len(out), rowsAtOnce), said}}, 2)
		if err != nil {
			return nil, "", err
		}
		some, err := s.records(incident.Key{}, reply[0])
		if err != nil {
			return nil, "", err
		}
		slices.SortStableFunc(some, func(a, b placed) int { return cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), byPlace(a, b)) })
		for i := range some {
			at := string(some[i].Key[:]) + string(some[i].place[:])
			if at <= cursor {
				continue
			}
			if len(out) == limit {
				return out, cursor, nil
			}
			s.repeats.Peek(some[i].Key, &some[i].Entry)
			out, cursor = append(out, some[i].Record), at
		}
		last, _ := reply[1].(string)
		if last == "" {
			return out, "", nil
		}
		from = "(" + last
		if len(out) == limit {
			return out, last + string(endOfPage), nil
		}
	}
}
