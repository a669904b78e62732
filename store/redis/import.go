package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

var (
	scriptImport = newScript("import", writes, "times", "jobs")
	scriptAlert  = newScript("alert", writes, "times", "lists", "pages", "entries")
)

// unfinished is the schema's name while a store is being filled, so that no
// version of Tocsin takes it for whole.
const unfinished = "tocsin, unfinished copy"

// importedAtOnce bounds the rows that one command of an import writes, and
// importedBytes their size.
const (
	importedAtOnce = 500
	importedBytes  = 512 << 10
)

// Target is a store in Redis that is filled by a copy.
type Target struct {
	s *Store
	// mark is the schema while the store is filled, before what it was.
	mark   []byte
	before string
}

var _ transfer.Target = (*Target)(nil)

// OpenTarget connects to the Redis that url names, and checks that it can keep
// what is stored.
func OpenTarget(ctx context.Context, url string, o Options) (*Target, error) {
	s, err := openCopied(url, o)
	if err != nil {
		return nil, err
	}
	if err := s.fits(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return &Target{s: s}, nil
}

// Begin implements transfer.Target.
func (t *Target) Begin(ctx context.Context) ([]byte, error) {
	s := t.s
	saved, begun, err := t.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", Redacted(s.url), s.why(err))
	}
	s.failpoint("copy-begun")
	// Once it is marked nobody opens it any more; but somebody may have a moment ago.
	err = s.unused(ctx)
	if err == nil && begun {
		err = t.empty(ctx)
	}
	if err != nil && begun {
		_, undone := s.one(context.WithoutCancel(ctx), &call{script: scriptSwap, keys: []string{s.schemaKey()}, args: []any{string(t.mark), t.before}})
		err = errors.Join(err, undone)
	}
	return saved, err
}

// begin marks the store, unless it is marked.
func (t *Target) begin(ctx context.Context) (saved []byte, begun bool, err error) {
	s := t.s
	if t.mark, err = json.Marshal(schema{unfinished, SchemaMajor, SchemaMinor, incident.Shards}); err != nil {
		return nil, false, err
	}
	if t.before, err = s.schemaText(ctx); err != nil {
		return nil, false, err
	}
	if t.before == string(t.mark) {
		v, err := s.one(ctx, &call{args: []any{"GET", t.progressKey()}})
		text, _ := v.(string)
		return []byte(text), false, err
	}
	var was schema
	if json.Unmarshal([]byte(t.before), &was) == nil && was.Name == unfinished {
		return nil, false, fmt.Errorf("another version (schema %d.%d) began a copy into it: go on with that one, or empty it", was.Major, was.Minor)
	}
	if t.before != "" {
		if _, err := understood(t.before); err != nil {
			return nil, false, err
		}
	}
	if err := s.unused(ctx); err != nil {
		return nil, false, err
	}
	if err := t.empty(ctx); err != nil {
		return nil, false, err
	}
	v, err := s.one(ctx, &call{script: scriptSwap, keys: []string{s.schemaKey()}, args: []any{t.before, t.mark}, confirmed: true})
	if err == nil && v != string(t.mark) {
		err = errors.New("somebody else began to use it in this moment")
	}
	return nil, true, err
}

func (t *Target) progressKey() string { return t.s.names[0].tag + "copy" }

// empty reports what is stored already.
func (t *Target) empty(ctx context.Context) error {
	f, err := t.s.look(ctx)
	if err == nil && len(f.stored) > 0 {
		err = fmt.Errorf("it holds a store already (such as the key %q): copy into another database, or under another prefix (?prefix=); nothing was changed", f.stored[0])
	}
	return err
}

// Clear implements transfer.Target.
func (t *Target) Clear(ctx context.Context) error {
	f, err := t.s.look(ctx)
	if err != nil {
		return err
	}
	var calls []*call
	for _, key := range f.all {
		if n, _, _ := t.s.place(key); key != t.s.schemaKey() {
			calls = append(calls, &call{shard: n.shard, args: []any{"DEL", key}, confirmed: true})
		}
	}
	for some := range slices.Chunk(calls, importedAtOnce) {
		if err := t.s.patiently(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// Save implements transfer.Target.
func (t *Target) Save(ctx context.Context, text []byte) error {
	return t.s.patiently(ctx, &call{args: []any{"SET", t.progressKey(), text}, confirmed: true})
}

// Export implements transfer.Target.
func (t *Target) Export(ctx context.Context, after string, take func(transfer.Page) error) error {
	return t.s.export(ctx, after, take)
}

// Close implements transfer.Target.
func (t *Target) Close() error {
	t.s.disconnect()
	return nil
}

// Import implements transfer.Target. Nobody reads what is only half there, so
// plain commands do, which write the same if they are repeated.
func (t *Target) Import(ctx context.Context, units []transfer.Unit) error {
	f := filling{s: t.s, open: map[string]*fill{}}
	for _, u := range units {
		if err := f.add(u); err != nil {
			return err
		}
	}
	return t.s.patiently(ctx, f.calls...)
}

// Finish implements transfer.Target. That the store can be opened comes last.
func (t *Target) Finish(ctx context.Context, counts transfer.Counts) error {
	s := t.s
	f := filling{s: s, open: map[string]*fill{}}
	for place, n := range counts {
		if int(place.Shard) >= len(s.names) {
			return fmt.Errorf("store: there is no shard %d", place.Shard)
		}
		to := s.names[place.Shard]
		f.put(to, "HSET", to.statistics, place.Name, n)
	}
	// Sources are told apart by when they were last opened.
	f.calls = append(f.calls, &call{args: []any{"SET", s.names[0].tag + "listening", s.Now().UnixNano()}})
	if err := s.patiently(ctx, f.calls...); err != nil {
		return err
	}
	if _, _, err := s.generations(ctx); err != nil { // which tells all shards
		return err
	}
	ours, err := json.Marshal(schema{"tocsin", SchemaMajor, SchemaMinor, incident.Shards})
	if err != nil {
		return err
	}
	v, err := s.one(ctx, &call{script: scriptSwap, keys: []string{s.schemaKey()}, args: []any{t.mark, ours}, confirmed: true})
	if err == nil && v != string(ours) {
		err = fmt.Errorf("store: %s: somebody changed the schema while it was filled", Redacted(s.url))
	}
	if err != nil {
		return err
	}
	return s.patiently(ctx, &call{args: []any{"DEL", t.progressKey()}})
}

// filling gathers commands that import units.
type filling struct {
	s     *Store
	open  map[string]*fill // by command and key
	calls []*call
	// Of the latest alert that is not archived: its key and page, and how many are listed on that.
	key    incident.Key
	page   page
	listed int
}

// fill is a command that may get more to write.
type fill struct {
	*call
	rows, size int
}

// put has a command write a row, such as a field and its value.
func (f *filling) put(n *names, command, key string, row ...any) {
	to := f.to(command+" "+key, row, func() *call { return &call{shard: n.shard, args: []any{command, key}, confirmed: true} })
	to.args = append(to.args, row...)
}

func (f *filling) to(name string, row []any, begin func() *call) *fill {
	to := f.open[name]
	if to == nil || to.rows >= importedAtOnce || to.size >= importedBytes {
		to = &fill{call: begin()}
		f.open[name] = to
		f.calls = append(f.calls, to.call)
	}
	to.rows++
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			to.size += len(v)
		case string:
			to.size += len(v)
		}
	}
	return to
}

// add gathers what a unit needs, with all that follows from it.
func (f *filling) add(u transfer.Unit) error {
	switch u := u.(type) {
	case *transfer.Alert:
		return f.alert(u)
	case *transfer.Incident:
		return f.incident(u.Incident)
	case *transfer.TimelineEntry:
		n, err := f.s.shard(u.Incident.Shard())
		if err == nil {
			f.put(n, "HSET", n.timeline, timelineField(u.Incident, u.Seq), u.Row)
		}
		return err
	case *transfer.Key:
		n := f.s.names[u.Key.Shard()]
		r := record{version: newToken(), key: &u.KeyState}
		packed, err := r.append(nil)
		if err == nil {
			f.put(n, "HSET", n.keys, u.Key[:], packed)
		}
		return err
	case *transfer.Job:
		return f.job(u)
	case *transfer.Document:
		return f.document(u)
	case *transfer.Number:
		n, err := f.s.shard(u.Shard)
		if err == nil {
			f.put(n, "HSET", n.numbers, u.Day, u.Last)
		}
		return err
	case *transfer.Counter: // only their sum over all shards means anything
		n := f.s.names[0]
		f.put(n, "HSET", n.statistics, u.Name, u.Value)
		return nil
	case *transfer.Generations:
		text, err := json.Marshal(u.Generations)
		if err == nil {
			f.calls = append(f.calls, &call{args: []any{"SET", f.s.generationsKey(), text}, confirmed: true})
		}
		return err
	}
	return fmt.Errorf("store: a %T cannot be stored", u)
}

// shard returns the names of a shard, which something that was stored elsewhere names.
func (s *Store) shard(n byte) (*names, error) {
	if int(n) >= len(s.names) {
		return nil, fmt.Errorf("store: there is no shard %d", n)
	}
	return s.names[n], nil
}

func (f *filling) alert(a *transfer.Alert) error {
	shard := incident.Key(a.Owner).Shard()
	if a.Archived {
		shard = incident.ID(a.Owner).Shard()
	}
	n, err := f.s.shard(shard)
	if err != nil {
		return err
	}
	field := append(append(make([]byte, 0, 32), a.Owner[:]...), a.Entry.Fingerprint[:]...)
	if !a.Archived {
		f.live(n, a, field)
		return nil
	}
	entry := appendEntry(make([]byte, 0, 256), &a.Entry, a.Entry.Count, 0)
	f.put(n, "HSET", n.archive, field, entry)
	f.put(n, "ZADD", n.archiveOrder, 0, slices.Concat(a.Owner[:], entry[pageAt:entryHead], a.Entry.Fingerprint[:]))
	if a.Said != nil {
		f.put(n, "HSET", n.archived, field, a.Said)
	}
	return nil
}

// imported is the first number of pages that a copy makes. Those of a key that
// is in use are numbered from 1 and do not come that far.
const imported page = 1 << 31

// live stores an alert of a key. Those of one key come together, so they fill
// pages together. The number of a page is what its first fingerprint begins with; two
// of the same number are one that is longer.
func (f *filling) live(n *names, a *transfer.Alert, field []byte) {
	if f.key != incident.Key(a.Owner) || f.listed == pageEntries {
		f.key, f.listed = incident.Key(a.Owner), 0
		f.page = imported | page(binary.BigEndian.Uint32(a.Entry.Fingerprint[:]))
	}
	f.listed++
	entry := appendEntry(make([]byte, 0, 256), &a.Entry, a.Entry.Count, f.page)
	var said []byte
	if a.Said != nil {
		said = append([]byte{'+'}, a.Said...)
	}
	row := []any{field, pageField(nil, f.key, f.page), entry, said}
	to := f.to(n.entries, row, func() *call {
		return &call{shard: n.shard, script: scriptAlert, keys: []string{n.keys, n.order, n.entries, n.contents}, confirmed: true}
	})
	to.args = append(to.args, row...)
}

func (f *filling) incident(i *incident.Incident) error {
	n, err := f.s.shard(i.ID.Shard())
	if err != nil {
		return err
	}
	if shard, ok := incident.ReferenceShard(i.Reference); !ok || shard != n.shard || i.Key.Shard() != n.shard || len(i.Reference) > 255 {
		return fmt.Errorf("store: incident %s, its key %s and its reference %q do not belong together", i.ID, i.Key, i.Reference)
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 1024), i.Occurrences)
	b = append(append(append(b, i.Key[:]...), byte(len(i.Reference))), i.Reference...)
	f.put(n, "HSET", n.incidents, i.ID[:], appendIncident(b, i))
	f.put(n, "HSET", n.references, i.Reference, i.ID[:])
	place := position(i.ID)
	for _, index := range n.indexes(i) {
		f.put(n, "ZADD", index, 0, place[:])
	}
	return nil
}

func (f *filling) job(j *transfer.Job) error {
	if len(j.Unknown) > 0 {
		return fmt.Errorf("store: a newer version wrote the job %s of %s: copy with that one", j.Kind, j.Subject)
	}
	n := f.s.names[j.Shard()]
	row := []any{j.Subject, j.Kind + "\x00" + j.Target, appendTime(nil, j.Due), newToken(), j.Attempts, j.Error}
	to := f.to(n.jobs, row, func() *call {
		return &call{shard: n.shard, script: scriptImport, keys: []string{n.jobs, n.due}, confirmed: true}
	})
	to.args = append(to.args, row...)
	return nil
}

func (f *filling) document(d *transfer.Document) error {
	if len(d.Unknown) > 0 {
		return fmt.Errorf("store: a newer version wrote the document %s of type %s: copy with that one", d.ID, d.Type)
	}
	n := f.s.shardOf(d.Type)
	b := append(binary.BigEndian.AppendUint64(nil, d.Version), newToken()...)
	keys := n.documents(d.Type)
	f.put(n, "HSET", keys[0], d.ID, append(appendTime(b, d.UpdatedAt), d.Data...))
	f.put(n, "ZADD", keys[1], 0, d.ID)
	return nil
}
