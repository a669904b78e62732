package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// read is the call that reads what the steps need. If the key is remembered,
// plain commands read it, which cost the server a fifth of what the script does:
// the commit finds out if somebody changed the key between them. They bring the
// incident only if this process does not have it, or others change the key too. Else a script follows the
// key's record to its incident.
func (g *group) read() *call {
	g.remembered = g.s.memory.get(g.key)
	for _, w := range g.works {
		if !w.change.Incident.IsZero() {
			return g.readAll()
		}
	}
	if g.remembered == nil {
		return g.readAll()
	}
	n := g.s.names[g.key.Shard()]
	a := newArgs()
	commands := make([][]any, 0, 3)
	cut := 0
	end := func() {
		commands = append(commands, a.list[cut:len(a.list):len(a.list)])
		cut = len(a.list)
	}
	fields := 0
	for _, w := range g.works {
		fields += len(w.change.Fingerprints)
	}
	a.list = slices.Grow(a.list, 9+fields) // commands are parts of it
	a.name("HMGET", &n.keys)
	a.id(g.key)
	a.name("epoch")
	end()
	if id := g.remembered.id; !id.IsZero() && g.remembered.follow {
		a.name("HGET", &n.incidents)
		a.id(id)
		end()
	}
	if fields > 0 {
		a.name("HMGET", &n.entries)
		for _, w := range g.works {
			for i := range w.change.Fingerprints {
				a.bytes(func(b []byte) []byte { return append(append(b, g.key[:]...), w.change.Fingerprints[i][:]...) })
			}
		}
		end()
	}
	a.done()
	return &call{shard: n.shard, several: commands, made: a, confirmed: true, until: g.deadline}
}

// readAll is read by the script.
func (g *group) readAll() *call {
	g.remembered = nil
	n := g.s.names[g.key.Shard()]
	a := newCommand(scriptRead, n.read, nil)
	a.id(g.key)
	a.bytes(func(b []byte) []byte {
		for _, w := range g.works {
			for i := range w.change.Fingerprints {
				b = append(append(b, g.key[:]...), w.change.Fingerprints[i][:]...)
			}
		}
		return b
	})
	for _, w := range g.works {
		if !w.change.Incident.IsZero() {
			a.id(w.change.Incident)
		}
	}
	return &call{shard: n.shard, script: scriptRead, full: a.done(), made: a, confirmed: true, until: g.deadline}
}

var errReply = errors.New("store: Redis answered something that no script of ours answers")

// take takes the answer to read. Known is false if another process changed the
// key, and what it names now was not read: then the script has to.
func (g *group) take(c *call) (known bool, err error) {
	if c.err != nil {
		return false, c.err
	}
	reply, ok := c.result.([]any)
	if !ok {
		return false, errReply
	}
	if g.remembered != nil {
		if reply, ok = g.arrange(reply); !ok {
			return false, nil
		}
	}
	if len(reply) != 5 {
		return false, errReply
	}
	rows, ok1 := reply[3].([]any)
	others, ok2 := reply[4].([]any)
	if g.headers, ok = reply[2].([]any); !ok || !ok1 || !ok2 {
		return false, errReply
	}
	g.s.cost.read(len(g.headers)+len(rows), reply)
	g.epoch, _ = reply[0].(string)
	g.packed, _ = reply[1].(string)
	g.same = g.remembered != nil && g.remembered.version != "" && len(g.packed) > versionSize && g.packed[:versionSize] == g.remembered.version
	if m := g.remembered; m != nil && m.version != "" && (m.follow || !g.same) {
		g.shared = true
	}
	g.parsed, g.found, g.fetched = false, nil, nil
	g.now = g.s.Now()
	for n := 0; n+1 < len(others); n += 2 {
		id, _ := others[n].(string)
		name, _ := others[n+1].(string)
		if len(id) == 16 {
			g.s.cache.put(incident.ID([]byte(id)), name, g.key)
		}
	}
	g.note()
	return true, g.takeEntries(rows)
}

// arrange brings the answers to plain commands into the form of the script's.
func (g *group) arrange(reply []any) ([]any, bool) {
	if len(reply) == 0 {
		return nil, false
	}
	head, _ := reply[0].([]any)
	if len(head) != 2 {
		return nil, false
	}
	m := g.remembered
	var own incident.ID
	packed, _ := head[0].(string)
	if len(packed) >= recordHead {
		own = incident.ID([]byte(packed[versionSize : versionSize+16]))
	}
	headers, rows := []any{}, []any{}
	rest := reply[1:]
	if !m.id.IsZero() && m.follow && len(rest) > 0 {
		headers, rest = rest[:1], rest[1:]
	}
	if len(rest) > 0 {
		rows, _ = rest[0].([]any)
	}
	same := m.version != "" && len(packed) >= recordHead && packed[:versionSize] == m.version
	if !same && (own != m.id || !own.IsZero() && !m.follow) {
		return nil, false
	}
	return []any{head[1], head[0], headers, rows, []any{}}, true
}

// note keeps the names of the incidents that were read.
func (g *group) note() {
	n := 0
	for _, w := range g.works {
		if id := w.change.Incident; !id.IsZero() && n < len(g.headers) {
			g.s.cache.note(id, g.headers[n], g.key)
			n++
		}
	}
	if n < len(g.headers) && len(g.packed) >= recordHead {
		g.s.cache.note(incident.ID([]byte(g.packed[versionSize:versionSize+16])), g.headers[n], g.key)
	}
}

func (g *group) takeEntries(rows []any) error {
	if g.slots == nil {
		g.slots = spareSlots.Get().(*slots)
	}
	g.slots.list = slices.Grow(g.slots.list[:0], len(rows))[:len(rows)]
	n := 0
	for _, w := range g.works {
		for _, fp := range w.change.Fingerprints {
			if n >= len(rows) {
				return errReply
			}
			if err := g.fill(&g.slots.list[n], rows[n], fp); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// slots are used by one group after the other.
type slots struct {
	list []slot
	// entries are what the steps get, which they do not keep.
	entries []incident.Entry
	patches []gathered
}

var spareSlots = sync.Pool{New: func() any { return &slots{} }}

// end gives what the group no longer needs to others.
func (g *group) end() {
	s := g.slots
	if g.slots = nil; s == nil || cap(s.list) > valuesKept {
		return
	}
	clear(s.list)
	clear(s.entries)
	s.list, s.entries, s.patches = s.list[:0], s.entries[:0], s.patches[:0]
	spareSlots.Put(s)
}

func (g *group) fill(to *slot, v any, fp alert.Fingerprint) error {
	*to = slot{is: incident.Entry{Fingerprint: fp}}
	if s, ok := v.(string); ok {
		e, err := parseEntry(s, fp)
		if err != nil {
			return err
		}
		to.exists, to.is, to.valid, to.page = e.Exists(), e, s[validAt:validAt+timeSize], pageOf(s)
	}
	to.own = g.s.repeats.Peek(g.key, &to.is)
	to.seen = to.is.Count
	return nil
}

// parse parses what duplicates do not need.
func (g *group) parse() error {
	if g.parsed {
		return nil
	}
	g.parsed, g.record, g.state, g.stored = true, record{}, nil, nil
	g.incidents = make(map[incident.ID]*incident.Incident, len(g.headers))
	if g.same {
		g.record = g.remembered.record
		if i := g.remembered.incident; i != nil {
			g.incidents[i.ID] = i
			g.now = latest(g.now, i.ChangedAt)
		}
		if g.state = g.record.key; g.state != nil {
			g.now = latest(g.now, g.state.ChangedAt)
		}
		return nil
	}
	if g.packed != "" {
		var err error
		if g.record, err = parseRecord(g.packed); err != nil {
			return fmt.Errorf("key %s: %w", g.key, err)
		}
	}
	if g.state = g.record.key; g.state != nil {
		g.now = latest(g.now, g.state.ChangedAt)
	}
	n := 0
	for _, w := range g.works {
		if !w.change.Incident.IsZero() {
			if err := g.header(n, w.change.Incident); err != nil {
				return err
			}
			n++
		}
	}
	if n < len(g.headers) && g.state != nil {
		return g.header(n, g.state.Incident)
	}
	return nil
}

// header takes the n-th incident that was read.
func (g *group) header(n int, id incident.ID) error {
	if n >= len(g.headers) {
		return errReply
	}
	v, ok := g.headers[n].(string)
	if !ok {
		g.incidents[id] = nil
		return nil
	}
	i, err := parseIncident(v)
	if err != nil {
		return fmt.Errorf("incident %s: %w", id, err)
	}
	g.now = latest(g.now, i.ChangedAt)
	g.incidents[id] = i
	return nil
}

// fetch reads entries with what they say, and incidents, unless it has them.
func (g *group) fetch(fps []alert.Fingerprint, ids []incident.ID) error {
	n := g.s.names[g.key.Shard()]
	var asked, foreign []incident.ID
	for _, id := range ids {
		switch _, read := g.incidents[id]; {
		case read:
		case id.Shard() != n.shard:
			foreign = append(foreign, id)
		default:
			asked = append(asked, id)
		}
	}
	var wanted []alert.Fingerprint
	for _, fp := range fps {
		if t := g.touch(fp); t == nil || t.content == nil {
			wanted = append(wanted, fp)
		}
	}
	if len(asked)+len(foreign)+len(wanted) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), g.deadline)
	defer cancel()
	list, err := g.s.headers(ctx, foreign)
	if err != nil {
		return err
	}
	for i, id := range foreign {
		g.incidents[id] = list[i]
	}
	c := &call{shard: n.shard, script: scriptMore, keys: n.more, args: []any{len(asked)}, confirmed: true}
	for i := range asked {
		c.args = append(c.args, asked[i][:])
	}
	for i := range wanted {
		c.args = append(c.args, append(append(make([]byte, 0, 32), g.key[:]...), wanted[i][:]...))
	}
	reply, err := g.s.list(ctx, c, 3)
	if err != nil {
		return err
	}
	headers, _ := reply[0].([]any)
	rows, _ := reply[1].([]any)
	said, _ := reply[2].([]any)
	if len(headers) != len(asked) || len(rows) != len(wanted) || len(said) != len(wanted) {
		return errReply
	}
	g.headers = headers
	for i, id := range asked {
		if err := g.header(i, id); err != nil {
			return err
		}
	}
	for i, fp := range wanted {
		t := g.touch(fp)
		if t == nil {
			t = &slot{}
			if err := g.fill(t, rows[i], fp); err != nil {
				return err
			}
			g.fetched = append(g.fetched, t)
		}
		if v, ok := said[i].(string); ok {
			if t.content, err = row.ParseContent([]byte(v)); err != nil {
				return fmt.Errorf("alert %s of key %s: %w", fp, g.key, err)
			}
		}
	}
	return nil
}
