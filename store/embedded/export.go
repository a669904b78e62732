package embedded

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// Source is the folder of a store that nobody works with, opened to be copied
// from. Nothing in it is changed, and nobody else can open it meanwhile.
type Source struct {
	dir string
	fs  vfs.FS
	db  *pebble.DB
}

var _ transfer.Source = (*Source)(nil)

// OpenSource opens the folder that url, file:DIR, names.
func OpenSource(url string, o Options) (*Source, error) {
	dir, err := copied(url)
	if err != nil {
		return nil, err
	}
	s := &Source{dir: dir, fs: o.FS}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if _, err := s.fs.Stat(dir); err != nil {
		return nil, fmt.Errorf("store: there is no store in the folder %s: %w", dir, err)
	}
	if _, err := s.fs.Stat(s.fs.PathJoin(dir, restoringFolder)); err == nil {
		return nil, fmt.Errorf("store: a restore into the folder %s did not finish: empty it and restore again", dir)
	}
	if s.db, err = openReadOnly(s.fs, dir); err != nil {
		if inUse(s.fs, dir) {
			return nil, fmt.Errorf("store: the folder %s is in use by another process: stop it first", dir)
		}
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := s.checkSchema(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// copied is the folder that url names, for a copy.
func copied(url string) (dir string, err error) {
	dir, ok := strings.CutPrefix(url, "file:")
	if !ok || dir == "" {
		return "", fmt.Errorf("store: %q cannot be copied: use file:DIR; a store in memory is gone with its process", url)
	}
	return dir, nil
}

// inUse reports whether another process, or another part of this one, has the folder.
func inUse(fs vfs.FS, dir string) bool {
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return true
	}
	_ = lock.Close() // it was only tried
	return false
}

func (s *Source) checkSchema() error {
	var found schema
	data, ok, err := read(s.db, []byte{rowSchema})
	if err == nil && ok {
		err = json.Unmarshal(data, &found)
	}
	switch {
	case err != nil:
		return fmt.Errorf("store: schema of %s: %w", s.dir, err)
	case !ok:
		return fmt.Errorf("store: %s is not a store", s.dir)
	case found.Name != "tocsin" || found.Major > SchemaMajor:
		return schemaError(s.dir, found)
	}
	return nil
}

// Identity implements transfer.Source: whoever opens the store writes files.
func (s *Source) Identity(context.Context) (string, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return "", fmt.Errorf("store: %s: %w", s.dir, err)
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		if name == "LOCK" { // looking at it makes one
			continue
		}
		stat, err := s.fs.Stat(s.fs.PathJoin(s.dir, name))
		if err != nil {
			return "", fmt.Errorf("store: %s: %w", s.dir, err)
		}
		fmt.Fprintf(sum, "%s %d %d\n", name, stat.Size(), stat.ModTime().UnixNano())
	}
	return "file:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// Unused implements transfer.Source: the folder is ours since it was opened.
func (s *Source) Unused(context.Context) error { return nil }

// Export implements transfer.Source.
func (s *Source) Export(ctx context.Context, after string, take func(transfer.Page) error) error {
	return export(ctx, s.db, after, take)
}

// Close implements transfer.Source.
func (s *Source) Close() error { return s.db.Close() }

// export walks the rows in their order. The place behind a page is the last key on it.
func export(ctx context.Context, db pebble.Reader, after string, take func(transfer.Page) error) error {
	from, err := hex.DecodeString(after)
	if err != nil {
		return fmt.Errorf("%q is no place in this store", after)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: append(from, 0)}) // behind it; no key begins with 0
	if err != nil {
		return &store.UnavailableError{Cause: err}
	}
	defer func() { _ = it.Close() }() // Error said all before
	said, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowContent}, UpperBound: []byte{rowContent + 1}})
	if err != nil {
		return &store.UnavailableError{Cause: err}
	}
	defer func() { _ = said.Close() }() // likewise
	p := page{db: db, said: said, most: transfer.PageUnits}
	for ok := it.First(); ok; {
		if follows(it.Key()) {
			ok = it.SeekGE([]byte{it.Key()[0] + 1})
			continue
		}
		if err := p.add(it.Key(), it.Value()); err != nil {
			return err
		}
		if len(p.units) >= p.most || p.size >= transfer.PageBytes {
			if err := p.give(ctx, take); err != nil {
				return err
			}
		}
		ok = it.Next()
	}
	if err := it.Error(); err != nil {
		return &store.UnavailableError{Cause: err}
	}
	return p.give(ctx, take)
}

// page is one that is being read. What the alerts on it said is read when it is
// complete, in the order in which that is stored.
type page struct {
	db    pebble.Reader
	said  *pebble.Iterator
	units []transfer.Unit
	last  []byte
	size  int // in bytes
	// most is how many units there may be, as far as one can tell from the page before.
	most    int
	waiting []unsaid
}

// unsaid is an alert with the number of its content.
type unsaid struct {
	number uint64
	alert  *transfer.Alert
}

func (p *page) add(key, value []byte) error {
	u, number, err := unit(key, value)
	if err != nil || u == nil {
		return err
	}
	p.units = append(p.units, u)
	p.last = append(p.last[:0], key...)
	p.size += len(key) + len(value)
	if number != 0 {
		p.waiting = append(p.waiting, unsaid{number, u.(*transfer.Alert)})
	}
	return nil
}

func (p *page) give(ctx context.Context, take func(transfer.Page) error) error {
	if err := ctx.Err(); err != nil || len(p.units) == 0 {
		return err
	}
	if err := p.fill(); err != nil {
		return err
	}
	p.most = max(1, min(transfer.PageUnits, len(p.units)*transfer.PageBytes/p.size))
	full := transfer.Page{Units: p.units, Next: hex.EncodeToString(p.last)}
	p.units, p.size, p.waiting = nil, 0, p.waiting[:0]
	return take(full)
}

// near is up to how many numbers further on it is quicker to step there than to look.
const near = 16

// fill reads what the alerts said.
func (p *page) fill() error {
	slices.SortFunc(p.waiting, func(a, b unsaid) int { return cmp.Compare(a.number, b.number) })
	at := uint64(0) // where said stands
	for n, w := range p.waiting {
		followed := n+1 < len(p.waiting) && p.waiting[n+1].number-w.number <= near
		var text []byte
		var ok bool
		var err error
		if at != 0 && w.number-at <= near || followed {
			text, ok, err = p.step(&at, w.number)
		} else {
			text, ok, err = read(p.db, contentKey(nil, w.number))
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("store: what the alert %s said is missing: run tocsin store verify", w.alert.Entry.Fingerprint)
		}
		if w.alert.Said = text; text == nil {
			w.alert.Said = []byte{} // it said nothing, but it did say it
		}
		p.size += len(text)
	}
	return nil
}

// step moves on to a content and reads it.
func (p *page) step(at *uint64, number uint64) (text []byte, ok bool, err error) {
	key := contentKey(nil, number)
	ok = *at != 0 && number-*at <= near
	for ok && bytes.Compare(p.said.Key(), key) < 0 {
		ok = p.said.Next()
	}
	if !ok {
		ok = p.said.SeekGE(key)
	}
	if !ok || !bytes.Equal(p.said.Key(), key) {
		*at = 0
		if err := p.said.Error(); err != nil {
			return nil, false, &store.UnavailableError{Cause: err}
		}
		return nil, false, nil
	}
	*at = number
	return bytes.Clone(p.said.Value()), true, nil
}

// follows reports whether rows of this kind follow from those of others.
func follows(key []byte) bool {
	switch key[0] {
	case rowContent, rowIndex, rowJobDue, rowReference, rowSchema:
		return true
	}
	return false
}

// unit reads a row as a unit, nil if it follows from others. An alert lacks what
// it said, which has the number.
func unit(key, value []byte) (u transfer.Unit, number uint64, err error) {
	if n := sizes[key[0]]; n != 0 && len(key) != n {
		return nil, 0, fmt.Errorf("store: row %q: the key has %d bytes, not %d", key, len(key), n)
	}
	switch key[0] {
	case rowEntry, rowArchivedEntry:
		e, err := row.ParseEntry(value, alert.Fingerprint(key[17:]))
		return &transfer.Alert{Archived: key[0] == rowArchivedEntry, Owner: [16]byte(key[1:17]), Entry: e.Entry}, e.Number, err
	case rowIncident:
		i, err := row.ParseIncident(value)
		return &transfer.Incident{Incident: i}, 0, err
	case rowTimeline:
		return &transfer.TimelineEntry{Incident: incident.ID(key[1:17]), Seq: binary.BigEndian.Uint64(key[17:]), Row: bytes.Clone(value)}, 0, nil
	case rowKey:
		k := &transfer.Key{}
		return k, 0, parsed(key, value, &k.KeyState)
	case rowJob:
		u, err := jobUnit(key, value)
		return u, 0, err
	case rowDocument:
		u, err := documentUnit(key, value)
		return u, 0, err
	case rowNumber:
		return &transfer.Number{Day: string(key[1 : len(key)-1]), Shard: key[len(key)-1], Last: parseNumber(value)}, 0, nil
	case rowCounter:
		name := string(key[1:])
		if strings.HasPrefix(name, "incidents\x00") || strings.HasPrefix(name, "firing\x00") {
			return nil, 0, nil
		}
		return &transfer.Counter{Name: name, Value: parseNumber(value)}, 0, nil
	case rowGenerations:
		g := &transfer.Generations{}
		return g, 0, parsed(key, value, &g.Generations)
	}
	return nil, 0, fmt.Errorf("store: row %q is of no kind that this version knows: copy with the version that wrote it", key)
}

func parsed(key, value []byte, into any) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("store: row %q: %w", key, err)
	}
	return nil
}

// jobUnit reads a job, nil if it waits for nothing but the end of a lease.
func jobUnit(key, value []byte) (transfer.Unit, error) {
	var j job
	if err := parsed(key, value, &j); err != nil {
		return nil, err
	}
	parts := strings.SplitN(string(key[1:]), "\x00", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("store: row %q: not a job", key)
	}
	if j.Due.IsZero() {
		return nil, nil
	}
	return &transfer.Job{Subject: parts[0], Kind: parts[1], Target: parts[2], Due: j.Due, Attempts: j.Attempts, Error: j.Error, Unknown: j.Unknown}, nil
}

func documentUnit(key, value []byte) (transfer.Unit, error) {
	var d document
	if err := parsed(key, value, &d); err != nil {
		return nil, err
	}
	typ, id, ok := strings.Cut(string(key[1:]), "\x00")
	if !ok {
		return nil, fmt.Errorf("store: row %q: not a document", key)
	}
	return &transfer.Document{Unknown: d.Unknown,
		Document: incident.Document{Type: typ, ID: id, Version: d.Version, UpdatedAt: d.UpdatedAt, Data: d.Data}}, nil
}
