package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// unfinished is the schema's name while a store is being filled, so that no
// version of Tocsin takes it for whole.
const unfinished = "tocsin, unfinished copy"

// rowProgress is where Save keeps its text.
var rowProgress = []byte{rowSchema, 'c'}

// Target is a folder that is filled by a copy.
type Target struct{ s *Store }

var _ transfer.Target = (*Target)(nil)

// OpenTarget opens the folder that url, file:DIR, names. It is made if it is missing.
func OpenTarget(url string, o Options) (*Target, error) {
	if _, err := copied(url); err != nil {
		return nil, err
	}
	s, err := openStore(url, o, true)
	if err != nil {
		return nil, err
	}
	return &Target{s}, nil
}

// Begin implements transfer.Target.
func (t *Target) Begin(context.Context) ([]byte, error) {
	var found schema
	ok, err := t.s.getJSON([]byte{rowSchema}, &found)
	if err != nil {
		return nil, err
	}
	ours := schema{SchemaMajor, SchemaMinor, unfinished}
	switch {
	case ok && found == ours:
		saved, _, err := t.s.get(rowProgress)
		return saved, err
	case ok && found.Name == unfinished:
		return nil, fmt.Errorf("store: another version (schema %d.%d) began a copy into %s: go on with that one, or empty the folder", found.Major, found.Minor, t.s.dir)
	}
	if err := t.empty(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(ours)
	if err != nil {
		return nil, err
	}
	// The flush is for the same reason as in checkSchema.
	return nil, errors.Join(t.s.set([]byte{rowSchema}, data), t.s.db.Flush())
}

// empty reports what stands in the folder already.
func (t *Target) empty() error {
	it, err := t.s.db.NewIter(nil)
	if err != nil {
		return err
	}
	ok := it.First()
	for ok && it.Key()[0] == rowSchema {
		ok = it.Next()
	}
	if ok {
		return errors.Join(fmt.Errorf("store: the folder %s holds a store already: copy into a new one; nothing was changed", t.s.dir), it.Close())
	}
	return it.Close()
}

// Clear implements transfer.Target.
func (t *Target) Clear(context.Context) error {
	b := t.s.db.NewBatch()
	defer func() { _ = b.Close() }() // it only frees memory
	err := errors.Join(b.DeleteRange([]byte{0}, []byte{rowSchema}, nil), b.DeleteRange([]byte{rowSchema + 1}, bytes.Repeat([]byte{255}, 64), nil), b.Delete(rowProgress, nil))
	if err != nil {
		return err
	}
	t.s.contents.Store(0)
	return t.s.apply(b, pebble.Sync)
}

// Import implements transfer.Target. It does not wait for the disk: a crash
// takes away the end of what was imported, and of what was saved.
func (t *Target) Import(_ context.Context, units []transfer.Unit) error {
	leave, err := t.s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if t.s.full.Load() {
		return errDiskFull
	}
	numbers, err := t.numbers(units)
	if err != nil {
		return err
	}
	w := t.s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	for _, u := range units {
		if err := w.imported(u, numbers); err != nil {
			return err
		}
	}
	return t.s.apply(w.batch, pebble.NoSync)
}

// numbers finds the numbers of what those alerts said that were imported
// before. Nearly always that is none, which one look at where they would be shows.
func (t *Target) numbers(units []transfer.Unit) (map[*transfer.Alert]uint64, error) {
	type place struct {
		key   []byte
		alert *transfer.Alert
	}
	var places []place
	for _, u := range units {
		if a, ok := u.(*transfer.Alert); ok {
			places = append(places, place{alertKey(nil, a), a})
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	slices.SortFunc(places, func(a, b place) int { return bytes.Compare(a.key, b.key) })
	it, err := t.s.db.NewIter(&pebble.IterOptions{LowerBound: places[0].key})
	if err != nil {
		return nil, err
	}
	defer func() { _ = it.Close() }() // Error said all before
	numbers := map[*transfer.Alert]uint64{}
	ok := it.First()
	for _, p := range places {
		if ok && bytes.Compare(it.Key(), p.key) < 0 {
			ok = it.SeekGE(p.key)
		}
		if ok && bytes.Equal(it.Key(), p.key) {
			e, err := row.ParseEntry(it.Value(), p.alert.Entry.Fingerprint)
			if err != nil {
				return nil, err
			}
			numbers[p.alert] = e.Number
		}
	}
	return numbers, it.Error()
}

func alertKey(b []byte, a *transfer.Alert) []byte {
	kind := byte(rowEntry)
	if a.Archived {
		kind = rowArchivedEntry
	}
	return entryKey(b, kind, a.Owner, a.Entry.Fingerprint)
}

// imported puts a unit into the batch, with all that follows from it.
func (w *writing) imported(u transfer.Unit, numbers map[*transfer.Alert]uint64) error {
	switch u := u.(type) {
	case *transfer.Alert:
		return w.importAlert(u, numbers[u])
	case *transfer.Incident:
		i := u.Incident
		return errors.Join(w.putHeader(i), w.reindex(nil, i), w.batch.Set(append([]byte{rowReference}, i.Reference...), i.ID[:], nil))
	case *transfer.TimelineEntry:
		return w.batch.Set(timelineKey(u.Incident, u.Seq), u.Row, nil)
	case *transfer.Key:
		return w.putJSON(idKey(rowKey, u.Key), &u.KeyState)
	case *transfer.Job:
		w.s.jobMu.Lock()
		defer w.s.jobMu.Unlock()
		return w.putJob(jobName(u.Subject, u.Kind, u.Target), &job{Due: u.Due.UTC(), Token: newToken(), Attempts: u.Attempts, Error: u.Error, Unknown: u.Unknown})
	case *transfer.Document:
		return w.putJSON(documentKey(u.Type, u.ID), &document{Version: u.Version, UpdatedAt: u.UpdatedAt, Data: u.Data, Unknown: u.Unknown})
	case *transfer.Number:
		if len(numberKey(u.Day, u.Shard)) != sizes[rowNumber] {
			return fmt.Errorf("store: %q is not a day such as 20261121", u.Day)
		}
		return w.batch.Set(numberKey(u.Day, u.Shard), appendNumber(nil, u.Last), nil)
	case *transfer.Counter:
		return w.batch.Set(append([]byte{rowCounter}, u.Name...), appendNumber(nil, u.Value), nil)
	case *transfer.Generations:
		return w.putJSON([]byte{rowGenerations}, &u.Generations)
	}
	return fmt.Errorf("store: a %T cannot be stored", u)
}

// importAlert writes an alert, and what it said under the given number; 0 is for a new one.
func (w *writing) importAlert(a *transfer.Alert, number uint64) (err error) {
	switch {
	case a.Said == nil:
		number = 0
	case number == 0:
		if number, err = w.putSaid(a.Said); err != nil {
			return err
		}
	}
	w.value = row.AppendEntry(w.value[:0], &row.Entry{Entry: a.Entry, Number: number})
	w.buf = alertKey(w.buf[:0], a)
	return w.batch.Set(w.buf, w.value, nil)
}

// Save implements transfer.Target.
func (t *Target) Save(_ context.Context, text []byte) error {
	leave, err := t.s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if t.s.watchSpace(); t.s.full.Load() {
		return errDiskFull
	}
	return t.s.set(rowProgress, text)
}

// Export implements transfer.Target.
func (t *Target) Export(ctx context.Context, after string, take func(transfer.Page) error) error {
	return export(ctx, t.s.db, after, take)
}

// Finish implements transfer.Target. A store like this has one counter for all
// shards, and counts no jobs.
func (t *Target) Finish(_ context.Context, counts transfer.Counts) error {
	total := map[string]int64{}
	for place, n := range counts {
		if !strings.HasPrefix(place.Name, "jobs\x00") {
			total[place.Name] += n
		}
	}
	w := t.s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	for name, n := range total {
		if err := w.batch.Set(append([]byte{rowCounter}, name...), appendNumber(nil, n), nil); err != nil {
			return err
		}
	}
	err := errors.Join(w.putJSON([]byte{rowSchema}, schema{SchemaMajor, SchemaMinor, "tocsin"}), w.batch.Delete(rowProgress, nil))
	if err != nil {
		return err
	}
	return t.s.apply(w.batch, pebble.Sync)
}

// Close implements transfer.Target.
func (t *Target) Close() error { return t.s.Close() }
