package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// maxRuns bounds how often one step may ask for more.
const maxRuns = 16

// group are changes of one key that are read and committed together. Each step
// sees what the ones before it did.
type group struct {
	s      *Store
	key    incident.Key
	works  []*work
	waited bool // for others at the key
	// tries counts the conflicts, lease is the token if the key was taken.
	tries    int
	lease    string
	deadline time.Time
	err      error

	// What was read. Duplicates need the entries only, so the rest is parsed when
	// a step has to run.
	epoch   string
	packed  string // the key's record, empty if there is none
	headers []any
	parsed  bool
	now     time.Time
	record  record
	// remembered is what this process knows of the key; it is all that there is to know if same is set.
	remembered *remembered
	same       bool
	shared     bool // another process changes the key too
	// incidents are as the steps have them, stored as they were read; nil for one that does not exist.
	incidents, stored map[incident.ID]*incident.Incident
	// slots are the entries of the changes' fingerprints, one change behind the
	// other, fetched those that a step asked for beside them. Found has the slots,
	// if they are not few.
	slots   *slots
	fetched []*slot
	found   map[alert.Fingerprint]*slot

	// What was decided.
	state   *incident.KeyState
	rewrite bool   // a step replaced the state
	ids     string // of the changes whose steps decided something durable
	commit  commit
	next    record // what the commit makes of the key
}

// slot is one entry.
type slot struct {
	exists bool           // it is stored
	valid  string         // its end of validity, as it is stored
	page   page           // the one that lists it
	is     incident.Entry // as the steps have it, with the repeats that are gathered for it
	// seen is its count with all gathered repeats, own how many of them can go along
	// with its next write, and once it is written do.
	seen, own uint64
	content   *alert.Alert // what a step wrote, or was told
	new       bool         // content was written by a step
	written   bool
	removed   bool
}

// gathered is a patch for the buffer of repeats, with what that asks of the entry.
type gathered struct {
	fp           alert.Fingerprint
	start, until time.Time
	patch        incident.Patch
}

// gather notes a patch of e, which is as it was read.
func (g *group) gather(e *incident.Entry, p incident.Patch) {
	g.slots.patches = append(g.slots.patches, gathered{e.Fingerprint, e.Start, e.ValidUntil, p})
}

// worthwhile is how much time a change needs that has waited for its key. With less
// it is not tried, because those that go with it would not have more either.
const worthwhile = 100 * time.Millisecond

// begin gives up the changes that have waited for too long, and sees when the
// first of the others has to be over: then all are.
func (g *group) begin() {
	least := time.Duration(0)
	if g.waited {
		least = worthwhile
	}
	now := time.Now()
	g.deadline = time.Time{}
	g.works = slices.DeleteFunc(g.works, func(w *work) bool {
		if w.deadline.Sub(now) <= least {
			w.err = &store.UnavailableError{Cause: fmt.Errorf("key %s: waited too long for Redis", g.key)}
			w.done.Done()
			return true
		}
		if g.deadline.IsZero() || w.deadline.Before(g.deadline) {
			g.deadline = w.deadline
		}
		return false
	})
	if len(g.works) == 0 {
		g.fail(&store.UnavailableError{Cause: fmt.Errorf("key %s: waited too long for Redis", g.key)})
	}
}

// over reports whether the group has failed as a whole.
func (g *group) over() bool { return g.err != nil }

func (g *group) fail(err error) {
	g.err = err
	g.landed(false)
	for _, w := range g.works {
		if w.err == nil {
			w.err = err
		}
	}
}

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

// decided reports whether the change with an id is in this very group already.
func (g *group) decided(id [16]byte) bool {
	r := record{ids: g.ids}
	return r.has(id)
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

// decide runs the steps. It returns the call that commits what they decided,
// nil if that is nothing durable.
func (g *group) decide() (*call, error) {
	g.slots.patches, g.ids, g.rewrite = g.slots.patches[:0], "", false
	g.commit = commit{}
	at := 0
	for _, w := range g.works {
		slots := g.slots.list[at : at+len(w.change.Fingerprints)]
		at += len(slots)
		w.err = g.one(w, slots)
		var away *store.UnavailableError
		if errors.As(w.err, &away) {
			return nil, w.err
		}
	}
	if g.ids == "" {
		return nil, nil
	}
	return g.write()
}

// one runs one change's step.
func (g *group) one(w *work, slots []slot) error {
	c := w.change
	switch {
	case c.Epoch != 0 && strconv.FormatUint(c.Epoch, 10) != g.epoch:
		return store.ErrEpoch
	case has(g.packed, c.ID), g.decided(c.ID):
		return nil
	}
	if n := len(slots); n > len(g.slots.entries) {
		g.slots.entries = slices.Grow(g.slots.entries[:0], n)[:n]
	}
	entries := g.slots.entries[:len(slots)]
	for n := range slots {
		entries[n] = slots[n].is
		if len(g.works) > 1 { // a step before may have changed it
			entries[n] = g.touch(slots[n].is.Fingerprint).is
		}
	}
	if c.Settled != nil && !c.Preview {
		patches, ok, err := g.repeatsOnly(c, entries)
		if err != nil {
			return err
		}
		if ok {
			for n, p := range patches {
				if p.Count > 0 {
					g.gather(&entries[n], p)
				}
			}
			return nil
		}
	}
	if err := g.parse(); err != nil {
		return err
	}
	st := incident.State{Now: g.now, Key: g.state, Entries: entries}
	st.NewID = func(n int) incident.ID { return incident.NewID(g.now, c.ID, n, g.key.Shard()) }
	name := c.Incident
	if name.IsZero() && g.state != nil {
		name = g.state.Incident
	}
	if !name.IsZero() {
		if err := g.fetch(nil, []incident.ID{name}); err != nil {
			return err
		}
		if st.Incident = g.incidents[name]; st.Incident == nil && w.named {
			return fmt.Errorf("incident %s: %w", name, incident.ErrNotFound)
		}
	}
	for range maxRuns {
		next, err := g.step(c, st)
		if err != nil {
			return err
		}
		if next.Want.IsZero() {
			return g.apply(c, &next)
		}
		if err := g.more(&st, next.Want); err != nil {
			return err
		}
	}
	return fmt.Errorf("store: a step for key %s asked for more %d times", c.Key, maxRuns)
}

// step runs a step. One that panics fails alone: others wait for the key.
func (g *group) step(c *incident.Change, st incident.State) (next incident.Next, err error) {
	defer g.caught(&err)
	return c.Step(st)
}

func (g *group) repeatsOnly(c *incident.Change, entries []incident.Entry) (patches []incident.Patch, ok bool, err error) {
	defer g.caught(&err)
	patches, ok = c.Settled(g.now, entries)
	return patches, ok, nil
}

// caught makes an error of a panic.
func (g *group) caught(err *error) {
	if r := recover(); r != nil {
		g.s.log.Error("a step panicked", "key", g.key, "panic", r, "stack", string(debug.Stack()))
		*err = fmt.Errorf("store: a step for key %s panicked: %v", g.key, r)
	}
}

// more reads what a step asked for.
func (g *group) more(st *incident.State, want incident.Want) error {
	if err := g.fetch(want.Fingerprints, want.Incidents); err != nil {
		return err
	}
	if st.More == nil {
		st.More, st.Others = map[alert.Fingerprint]incident.Known{}, map[incident.ID]*incident.Incident{}
	}
	for _, fp := range want.Fingerprints {
		t := g.touch(fp)
		st.More[fp] = incident.Known{Entry: t.is, Content: t.content}
	}
	for _, id := range want.Incidents {
		st.Others[id] = g.incidents[id]
	}
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

// few entries are found faster by looking at each than by a map.
const few = 16

// touch returns the slot of a fingerprint, the same one for all steps; nil if it
// was not read.
func (g *group) touch(fp alert.Fingerprint) *slot {
	if g.found == nil && len(g.slots.list) > few {
		g.found = make(map[alert.Fingerprint]*slot, len(g.slots.list))
		for n := len(g.slots.list) - 1; n >= 0; n-- { // the first of a fingerprint counts
			g.found[g.slots.list[n].is.Fingerprint] = &g.slots.list[n]
		}
	}
	if t := g.found[fp]; t != nil {
		return t
	}
	if g.found == nil {
		for n := range g.slots.list {
			if t := &g.slots.list[n]; t.is.Fingerprint == fp {
				return t
			}
		}
	}
	for _, t := range g.fetched {
		if t.is.Fingerprint == fp {
			return t
		}
	}
	return nil
}

// settled gives the patches to the buffer of repeats.
func (g *group) settled() {
	if g.remembered == nil && g.ids == "" && len(g.packed) >= recordHead {
		g.s.memory.see(g.key, incident.ID([]byte(g.packed[versionSize:versionSize+16])))
	}
	for n := range g.slots.patches {
		p := &g.slots.patches[n]
		g.s.repeats.Add(g.key, &incident.Entry{Fingerprint: p.fp, Start: p.start, ValidUntil: p.until}, p.patch, g.now)
	}
	if len(g.slots.patches) > 0 && g.s.repeats.Overfull() {
		g.s.flushSoon()
	}
}

// answer takes the answer to the commit; conflict says that somebody else was faster.
func (g *group) answer(c *call) (conflict bool) {
	if c.err != nil {
		g.fail(c.err)
		return false
	}
	reply, _ := c.result.([]any)
	if len(reply) == 0 {
		g.fail(errReply)
		return false
	}
	switch reply[0] {
	case "OK":
		g.lease = "" // the commit gave it back
		g.name(reply[1:])
		g.remember()
	case "DONE": // the answer to it was lost
		g.lease = ""
		g.rename()
	case "LEASED": // ours has ended, if there was one
		g.lease = ""
		g.landed(false)
		return true
	case "CONFLICT":
		g.landed(false)
		return true
	case "EPOCH": // whoever depends on it is told when it is read again
		g.landed(false)
		return true
	default:
		g.fail(errReply)
		return false
	}
	g.landed(true)
	g.settled()
	return false
}

// landed tells the buffer of repeats what became of those that the commit took along.
func (g *group) landed(stored bool) {
	for _, t := range g.commit.slots {
		place := store.Place{Key: g.key, Fingerprint: t.is.Fingerprint}
		if t.own > 0 {
			g.s.repeats.Landed(place, stored)
		}
		if t.removed && stored {
			g.s.repeats.Drop(place)
		}
	}
	g.commit.slots = nil
}

// remember keeps what the commit made of the key.
func (g *group) remember() {
	m := &remembered{version: g.next.version, record: g.next, follow: g.shared}
	if g.state != nil {
		m.id = g.state.Incident
		if m.incident = g.incidents[m.id]; m.incident == nil && !m.id.IsZero() {
			return // it was not read
		}
	}
	g.s.memory.put(g.key, m)
}

// name gives the new incidents the references that the commit chose.
func (g *group) name(references []any) {
	for n, list := range g.commit.opened {
		if n >= len(references) {
			return // unreachable: the script answers one for each
		}
		name, _ := references[n].(string)
		for _, i := range list {
			i.Reference = name
		}
		g.s.cache.put(list[0].ID, name, g.key)
	}
}

// rename asks for the references that a commit chose whose answer was lost.
func (g *group) rename() {
	ctx, cancel := context.WithDeadline(context.Background(), g.deadline)
	defer cancel()
	for _, list := range g.commit.opened {
		names, err := g.s.References(ctx, []incident.ID{list[0].ID})
		if err != nil {
			return // it is stored; who asks for its name will be told
		}
		for _, i := range list {
			i.Reference = names[0]
		}
	}
}
