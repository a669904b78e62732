package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

var (
	scriptRows = newScript("rows", reads)
	scriptJobs = newScript("jobs", reads, "times", "jobs")
)

const (
	// fieldsAtOnce is how many fields of a hash one call reads.
	fieldsAtOnce = transfer.PageUnits
	// scanCount is how many keys a server looks at in one step of a scan.
	scanCount = 1000
	// patience is for how long a copy tries what a server that is away could not do.
	patience = 30 * time.Second
)

// Source is a store in Redis that is copied from. Nothing in it is changed.
type Source struct{ s *Store }

var _ transfer.Source = (*Source)(nil)

// OpenSource connects to the store that url names.
func OpenSource(ctx context.Context, url string, o Options) (*Source, error) {
	s, err := openCopied(url, o)
	if err != nil {
		return nil, err
	}
	if err := s.readable(ctx); err != nil {
		s.disconnect()
		return nil, fmt.Errorf("store: %s: %w", Redacted(url), s.why(err))
	}
	return &Source{s}, nil
}

// readable reports why it is not a store that can be copied from.
func (s *Store) readable(ctx context.Context) error {
	err := s.eachServer(ctx, func(ctx context.Context, c *client.Client) error { return c.Ping(ctx).Err() })
	if err != nil {
		return err
	}
	text, err := s.schemaText(ctx)
	if err != nil {
		return err
	}
	if text == "" {
		return fmt.Errorf("there is no store under the prefix %q", s.prefix())
	}
	if _, err := understood(text); err != nil {
		return err
	}
	return s.setOffset(ctx)
}

// eachServer calls do for each server that has shards, at the same time.
func (s *Store) eachServer(ctx context.Context, do func(context.Context, *client.Client) error) error {
	if s.cluster != nil {
		return s.cluster.ForEachMaster(ctx, do)
	}
	return do(ctx, s.single)
}

// openCopied connects without telling anybody, for a copy.
func openCopied(url string, o Options) (*Store, error) {
	target, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s := newStore(url, target, o)
	s.copied = true
	return s, s.connect(target)
}

// schemaText reads the record of who wrote the store, empty if nobody did.
func (s *Store) schemaText(ctx context.Context) (string, error) {
	v, err := s.one(ctx, &call{args: []any{"GET", s.schemaKey()}})
	text, _ := v.(string)
	if err != nil && foreign(err) {
		text, err = "foreign", nil // understood says what that is
	}
	return text, err
}

// prefix is what the names of all keys begin with.
func (s *Store) prefix() string { return strings.TrimSuffix(s.names[0].tag, ":{00}:") }

// Identity implements transfer.Source: whoever opens the store writes since when
// it has been listening.
func (s *Source) Identity(ctx context.Context) (string, error) {
	text, err := s.s.schemaText(ctx)
	if err != nil {
		return "", err
	}
	v, err := s.s.one(ctx, &call{args: []any{"GET", s.s.names[0].tag + "listening"}})
	listening, _ := v.(string)
	return fmt.Sprintf("redis:%s since %s, schema %s", s.s.prefix(), listening, text), err
}

// Unused implements transfer.Source.
func (s *Source) Unused(ctx context.Context) error { return s.s.unused(ctx) }

func (s *Store) unused(ctx context.Context) error {
	n, err := s.Gateways(ctx)
	if err != nil || n == 0 {
		return err
	}
	who := "a gateway works"
	if n > 1 {
		who = fmt.Sprintf("%d gateways work", n)
	}
	return fmt.Errorf("store: %s: %s on it: stop all first; one that was killed counts for another %s", Redacted(s.url), who, forgotten)
}

// Close implements transfer.Source.
func (s *Source) Close() error {
	s.s.disconnect()
	return nil
}

// Export implements transfer.Source.
func (s *Source) Export(ctx context.Context, after string, take func(transfer.Page) error) error {
	return s.s.export(ctx, after, take)
}

// patiently is run for a copy: a server that is away for a while does not end it.
func (s *Store) patiently(ctx context.Context, calls ...*call) error {
	deadline := time.Now().Add(patience)
	for {
		if err := s.run(ctx, calls...); err != nil {
			return err
		}
		var failed error
		calls = slices.DeleteFunc(slices.Clone(calls), func(c *call) bool {
			if c.err != nil && failed == nil {
				failed = c.err
			}
			return c.err == nil
		})
		if failed == nil {
			return nil
		}
		if refused(failed) || time.Now().After(deadline) {
			return s.why(failed)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(jitter(200 * time.Millisecond)):
		}
	}
}

// refused reports whether a server answered with an error that time does not heal.
func refused(err error) bool {
	var reply client.Error
	if !errors.As(err, &reply) {
		return false
	}
	word, _, _ := strings.Cut(reply.Error(), " ")
	return !passing[word]
}

// asked is patiently for one call, whose result is a list.
func (s *Store) asked(ctx context.Context, c *call) ([]any, error) {
	if err := s.patiently(ctx, c); err != nil {
		return nil, err
	}
	list, ok := c.result.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s", errReply, c.name())
	}
	return list, nil
}

// found is what a look at all keys showed.
type found struct {
	// documents are the types of documents.
	documents []string
	// stored are names of keys that only a store with something in it has.
	stored []string
	all    []string
}

// look goes through the names of all keys of all servers: some, such as those
// for the types of documents, are listed nowhere else.
func (s *Store) look(ctx context.Context) (f found, err error) {
	var mu sync.Mutex
	known := map[string]bool{}
	err = s.eachServer(ctx, func(ctx context.Context, c *client.Client) error {
		// One connection: what the places in a scan mean, only one run of a server knows.
		conn := c.Conn()
		defer func() { _ = conn.Close() }() // it has answered, or will not
		for cursor := uint64(0); ; {
			keys, next, err := conn.Scan(ctx, cursor, s.prefix()+":{*", scanCount).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, k := range keys {
				known[k] = true
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	if err != nil {
		return f, s.why(err)
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if err := f.note(s, key); err != nil {
			return f, err
		}
	}
	return f, nil
}

// note sorts a key by its name.
func (f *found) note(s *Store, key string) error {
	n, name, ok := s.place(key)
	if !ok {
		return nil // its prefix only begins like ours
	}
	f.all = append(f.all, key)
	typ, isDocument := strings.CutPrefix(name, "documents:")
	_, isOrder := strings.CutPrefix(typ, "order:")
	switch {
	case isDocument && !isOrder:
		if s.shardOf(typ) != n {
			return fmt.Errorf("store: the key %q is not in the shard that it belongs to", key)
		}
		f.documents = append(f.documents, typ)
		f.stored = append(f.stored, key)
	case passingKeys[name], strings.HasPrefix(name, "lease:"), strings.HasPrefix(name, "repeats:"):
	case isDocument, storedKeys[name], strings.HasPrefix(name, "index:"):
		f.stored = append(f.stored, key)
	default:
		return fmt.Errorf("store: the key %q is of no kind that this version knows: copy with the version that wrote it", key)
	}
	return nil
}

// place reads the shard and the name from a key.
func (s *Store) place(key string) (n *names, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, s.prefix()+":{")
	if !ok || len(rest) < 4 || rest[2:4] != "}:" {
		return nil, "", false
	}
	shard, err := strconv.ParseUint(rest[:2], 10, 8)
	if err != nil || shard >= uint64(len(s.names)) {
		return nil, "", false
	}
	return s.names[shard], rest[4:], true
}

// passingKeys are the names of keys that say nothing of what is stored, and
// storedKeys those of the keys that do.
var (
	passingKeys = map[string]bool{"schema": true, "copy": true, "probe": true, "probe:user": true, "gateways": true, "listening": true}
	storedKeys  = map[string]bool{"keys": true, "entries": true, "contents": true, "order": true, "incidents": true, "timeline": true, "references": true,
		"numbers": true, "archive:entries": true, "archive:contents": true, "archive:order": true, "statistics": true, "jobs": true, "due": true, "generations": true}
)

// part is a part of an export: one hash of one shard, or something of the whole store.
type part struct {
	name string
	n    *names
	// key is the hash, and beside another one with the same fields, if any.
	key, beside string
	fields      []string
	// unit reads a row, nil for one that is no unit; jobs have none.
	unit func(field, value string, beside any) (transfer.Unit, error)
	// whole, if set, reads all of it in place of the above.
	whole func(ctx context.Context) ([]transfer.Unit, error)
}

// parts are all parts of an export, in their order.
func (s *Store) parts(documents []string) []part {
	var out []part
	for _, n := range s.names {
		add := func(name, key, beside string, unit func(field, value string, beside any) (transfer.Unit, error)) {
			out = append(out, part{name: fmt.Sprintf("%02d %s", n.shard, name), n: n, key: key, beside: beside, unit: unit})
		}
		add("keys", n.keys, "", keyUnit)
		add("entries", n.entries, n.contents, func(field, value string, said any) (transfer.Unit, error) {
			return alertUnit(false, field, value, said)
		})
		add("archive", n.archive, n.archived, func(field, value string, said any) (transfer.Unit, error) { return alertUnit(true, field, value, said) })
		add("incidents", n.incidents, "", incidentUnit)
		add("timeline", n.timeline, "", timelineUnit)
		add("numbers", n.numbers, "", func(day, value string, _ any) (transfer.Unit, error) {
			last, err := strconv.ParseInt(value, 10, 64)
			return &transfer.Number{Day: day, Shard: n.shard, Last: last}, err
		})
		add("jobs", n.jobs, "", nil)
	}
	for _, typ := range documents {
		n := s.shardOf(typ)
		out = append(out, part{name: "documents " + typ, n: n, key: n.documents(typ)[0], unit: func(id, value string, _ any) (transfer.Unit, error) {
			d, err := parseDocument(typ, id, value)
			return &transfer.Document{Document: d}, err
		}})
	}
	return append(out, part{name: "counters", whole: s.counters}, part{name: "generations", whole: s.listOfGenerations})
}

// export reads the hashes of all shards, each in the order of its fields. The
// place behind a page is the name of the part, a slash, and the last field.
func (s *Store) export(ctx context.Context, after string, take func(transfer.Page) error) error {
	f, err := s.look(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(f.all, s.schemaKey()) { // so there may be more that it did not find
		return fmt.Errorf("store: a scan did not find the key %q, which is there", s.schemaKey())
	}
	parts := s.parts(f.documents)
	behind := ""
	if after != "" {
		cut := strings.LastIndexByte(after, '/')
		field, err := hex.DecodeString(after[cut+1:])
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == after[:max(cut, 0)] })
		if err != nil || at < 0 {
			return fmt.Errorf("store: %q is no place in this store", after)
		}
		if parts, behind = parts[at:], string(field); parts[0].whole != nil {
			parts = parts[1:]
		}
	}
	for len(parts) > 0 {
		n := 1 // as many as are in one shard
		for n < len(parts) && parts[n].n == parts[0].n {
			n++
		}
		if err := s.listFields(ctx, parts[:n]); err != nil {
			return err
		}
		for i := range parts[:n] {
			if err := s.exportPart(ctx, &parts[i], behind, take); err != nil {
				return fmt.Errorf("store: %s: %w", parts[i].name, err)
			}
			behind, parts[i].fields = "", nil
		}
		parts = parts[n:]
	}
	return nil
}

// listFields lists the fields of the hashes of one shard, in their order.
func (s *Store) listFields(ctx context.Context, parts []part) error {
	if parts[0].whole != nil {
		return nil
	}
	calls := make([]*call, len(parts))
	for n := range parts {
		calls[n] = &call{shard: parts[n].n.shard, args: []any{"HKEYS", parts[n].key}}
	}
	if err := s.patiently(ctx, calls...); err != nil {
		return err
	}
	for n, c := range calls {
		rows, ok := c.result.([]any)
		if !ok {
			return fmt.Errorf("%w: %s", errReply, c.name())
		}
		fields := make([]string, len(rows))
		for i := range rows {
			fields[i], _ = rows[i].(string)
		}
		slices.Sort(fields)
		parts[n].fields = fields
	}
	return nil
}

func (s *Store) exportPart(ctx context.Context, p *part, behind string, take func(transfer.Page) error) error {
	if p.whole != nil {
		units, err := p.whole(ctx)
		if err != nil || len(units) == 0 {
			return err
		}
		return take(transfer.Page{Units: units, Next: p.name + "/"})
	}
	fields := p.fields
	if behind != "" {
		at, found := slices.BinarySearch(fields, behind)
		if found {
			at++
		}
		fields = fields[at:]
	}
	for len(fields) > 0 {
		some := fields[:min(len(fields), fieldsAtOnce)]
		units, done, err := s.units(ctx, p, some)
		if err != nil {
			return err
		}
		last := fields[done-1]
		fields = fields[done:]
		if len(units) == 0 {
			continue
		}
		if err := take(transfer.Page{Units: units, Next: p.name + "/" + hex.EncodeToString([]byte(last))}); err != nil {
			return err
		}
	}
	return nil
}

// units reads fields of a hash, and says of how many.
func (s *Store) units(ctx context.Context, p *part, fields []string) (units []transfer.Unit, done int, err error) {
	if p.unit == nil {
		units, err = s.jobsOf(ctx, p.n, fields)
		return units, len(fields), err
	}
	return s.rows(ctx, p, fields)
}

// rows reads as many of the fields of a hash as fit on a page.
func (s *Store) rows(ctx context.Context, p *part, fields []string) (units []transfer.Unit, done int, err error) {
	c := &call{shard: p.n.shard, script: scriptRows, keys: []string{p.key}, args: make([]any, 1, len(fields)+1)}
	if p.beside != "" {
		c.keys = append(c.keys, p.beside)
	}
	c.args[0] = transfer.PageBytes
	for n := range fields {
		c.args = append(c.args, &fields[n])
	}
	rows, err := s.asked(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	each := len(c.keys)
	if done = len(rows) / each; done == 0 || done > len(fields) {
		return nil, 0, errReply
	}
	for n, field := range fields[:done] {
		value, ok := rows[n*each].(string)
		if !ok {
			return nil, 0, errors.New("it changes while it is copied")
		}
		var beside any
		if each > 1 {
			beside = rows[n*each+1]
		}
		u, err := p.unit(field, value, beside)
		if err != nil {
			return nil, 0, err
		}
		if u != nil {
			units = append(units, u)
		}
	}
	return units, done, nil
}

func keyUnit(field, value string, _ any) (transfer.Unit, error) {
	if field == "epoch" || len(field) == pageFieldSize { // of the list of generations; a page, which follows from the entries
		return nil, nil
	}
	if len(field) != len(incident.Key{}) {
		return nil, fmt.Errorf("%q is not a key", field)
	}
	r, err := parseRecord(value)
	if err != nil || r.key == nil {
		return nil, err
	}
	return &transfer.Key{KeyState: *r.key}, nil
}

func alertUnit(archived bool, field, value string, said any) (transfer.Unit, error) {
	if len(field) != 32 {
		return nil, fmt.Errorf("%q is not an alert", field)
	}
	e, err := parseEntry(value, alert.Fingerprint([]byte(field[16:])))
	if err != nil {
		return nil, err
	}
	a := &transfer.Alert{Archived: archived, Owner: [16]byte([]byte(field[:16])), Entry: e}
	if text, ok := said.(string); ok {
		a.Said = append([]byte{}, text...) // never nil
	}
	return a, nil
}

func incidentUnit(_, value string, _ any) (transfer.Unit, error) {
	i, err := parseIncident(value)
	return &transfer.Incident{Incident: i}, err
}

func timelineUnit(field, value string, _ any) (transfer.Unit, error) {
	if len(field) != 24 {
		return nil, fmt.Errorf("%q is not an entry of a timeline", field)
	}
	return &transfer.TimelineEntry{Incident: incident.ID([]byte(field[:16])), Seq: beUint64(field[16:]), Row: []byte(value)}, nil
}

// jobsOf reads the jobs of subjects.
func (s *Store) jobsOf(ctx context.Context, n *names, subjects []string) ([]transfer.Unit, error) {
	c := &call{shard: n.shard, script: scriptJobs, keys: []string{n.jobs}, args: make([]any, len(subjects))}
	for i := range subjects {
		c.args[i] = &subjects[i]
	}
	rows, err := s.asked(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []transfer.Unit
	for i := 0; i+5 < len(rows); i += 6 {
		subject, _ := rows[i].(string)
		name, _ := rows[i+1].(string)
		due, _ := rows[i+2].(string)
		attempts, _ := rows[i+3].(int64)
		why, _ := rows[i+4].(string)
		kind, target, ok := strings.Cut(name, "\x00")
		switch known, _ := rows[i+5].(int64); {
		case !ok || len(due) != timeSize:
			return nil, errReply
		case known > 7:
			return nil, fmt.Errorf("a newer version wrote the job %s of %s: copy with that one", kind, subject)
		}
		if at := parseTime(due); !at.IsZero() { // else it waits for nothing but the end of a lease
			out = append(out, &transfer.Job{Subject: subject, Kind: kind, Target: target, Due: at, Attempts: int(attempts), Error: why})
		}
	}
	return out, nil
}

// counters adds up the counters of all shards that do not follow from others.
func (s *Store) counters(ctx context.Context) ([]transfer.Unit, error) {
	total := map[string]int64{}
	calls := make([]*call, len(s.names))
	for n := range calls {
		calls[n] = &call{shard: byte(n), args: []any{"HGETALL", s.names[n].statistics}}
	}
	if err := s.patiently(ctx, calls...); err != nil {
		return nil, err
	}
	for _, c := range calls {
		err := pairs(c.result, func(name, value string) error {
			if follows(name) {
				return nil
			}
			n, err := strconv.ParseInt(value, 10, 64)
			total[name] += n
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []transfer.Unit
	for _, name := range slices.Sorted(maps.Keys(total)) {
		out = append(out, &transfer.Counter{Name: name, Value: total[name]})
	}
	return out, nil
}

// follows reports whether a counter follows from what else is stored.
func follows(counter string) bool {
	name, _, _ := strings.Cut(counter, "\x00")
	return name == "incidents" || name == "firing" || name == "jobs"
}

// listOfGenerations reads the list, if there is one.
func (s *Store) listOfGenerations(ctx context.Context) ([]transfer.Unit, error) {
	c := &call{args: []any{"GET", s.generationsKey()}}
	if err := s.patiently(ctx, c); err != nil {
		return nil, err
	}
	text, _ := c.result.(string)
	if text == "" {
		return nil, nil
	}
	g := &transfer.Generations{}
	return []transfer.Unit{g}, json.Unmarshal([]byte(text), &g.Generations)
}
