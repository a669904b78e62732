package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	s     *Store
	key   incident.Key
	works []*work
	// tries counts the conflicts, lease is the token if the key was taken.
	tries int
	lease string
	err   error

	// What was read.
	now    time.Time
	epoch  string
	record record
	known  bool // there is a record
	// incidents are as the steps have them, stored as they were read; nil for one that does not exist.
	incidents, stored map[incident.ID]*incident.Incident
	// slots are the entries of the changes' fingerprints, one change behind the
	// other; touched those that a step wrote or asked for.
	slots   []slot
	touched map[alert.Fingerprint]*slot

	// What was decided.
	state   *incident.KeyState
	ids     string
	ran     bool // a step decided something durable
	commit  commit
	patches []gathered
}

// slot is one entry.
type slot struct {
	stored incident.Entry // as it is stored
	valid  string         // its end of validity, as it is stored
	is     incident.Entry // as the steps have it, with the repeats that are gathered for it
	// seen is its count with all gathered repeats, own how many of them its next
	// write takes along.
	seen, own uint64
	content   *alert.Alert // what a step wrote, or was told
	new       bool         // content was written by a step
	written   bool
	removed   bool
}

// gathered is a patch for the buffer of repeats.
type gathered struct {
	entry incident.Entry
	patch incident.Patch
}

// begin returns when the group has to be over.
func (g *group) begin() time.Time {
	var deadline time.Time
	for _, w := range g.works {
		deadline = latest(deadline, w.deadline)
	}
	if time.Now().After(deadline) {
		g.fail(&store.UnavailableError{Cause: fmt.Errorf("key %s: waited too long for Redis", g.key)})
	}
	return deadline
}

// over reports whether the group has failed as a whole.
func (g *group) over() bool { return g.err != nil }

func (g *group) fail(err error) {
	g.err = err
	for _, w := range g.works {
		if w.err == nil {
			w.err = err
		}
	}
}

// read is the call that reads what the steps need.
func (g *group) read() *call {
	n := g.s.names[g.key.Shard()]
	c := &call{shard: n.shard, script: scriptRead, keys: n.read, confirmed: true}
	size := 2
	for _, w := range g.works {
		size += 1 + len(w.change.Fingerprints)
	}
	c.args = append(make([]any, 0, size), g.key[:], 0)
	asked := 0
	for _, w := range g.works {
		if !w.change.Incident.IsZero() {
			c.args = append(c.args, w.change.Incident[:])
			asked++
		}
	}
	c.args[1] = asked
	for _, w := range g.works {
		for i := range w.change.Fingerprints {
			c.args = append(c.args, w.change.Fingerprints[i][:])
		}
	}
	return c
}

var errReply = errors.New("store: Redis answered something that no script of ours answers")

// take takes the answer to read.
func (g *group) take(c *call) error {
	if c.err != nil {
		return c.err
	}
	reply, ok := c.result.([]any)
	if !ok || len(reply) != 7 {
		return errReply
	}
	headers, ok1 := reply[4].([]any)
	rows, ok2 := reply[5].([]any)
	others, ok3 := reply[6].([]any)
	if !ok1 || !ok2 || !ok3 {
		return errReply
	}
	g.s.cost.read(len(headers)+len(rows), reply)
	g.now = g.s.clock(reply[0], reply[1])
	g.epoch, _ = reply[2].(string)
	g.incidents, g.stored, g.touched = map[incident.ID]*incident.Incident{}, nil, nil
	g.record, g.known, g.state = record{}, false, nil
	if v, ok := reply[3].(string); ok {
		r, err := parseRecord(v)
		if err != nil {
			return err
		}
		g.record, g.known, g.state = r, true, r.key
		if r.key != nil && r.key.ChangedAt.After(g.now) {
			g.now = r.key.ChangedAt
		}
	}
	if err := g.takeIncidents(headers, others); err != nil {
		return err
	}
	return g.takeEntries(rows)
}

func (g *group) takeIncidents(headers, others []any) error {
	n := 0
	take := func(id incident.ID) error {
		i, err := g.header(headers[n], id)
		n++
		g.incidents[id] = i
		if i != nil && i.ChangedAt.After(g.now) {
			g.now = i.ChangedAt
		}
		return err
	}
	for _, w := range g.works {
		if !w.change.Incident.IsZero() {
			if err := take(w.change.Incident); err != nil {
				return err
			}
		}
	}
	if n < len(headers) {
		if err := take(g.state.Incident); err != nil {
			return err
		}
	}
	for n := 0; n+1 < len(others); n += 2 {
		id, _ := others[n].(string)
		name, _ := others[n+1].(string)
		if len(id) == 16 {
			g.s.cache.put(incident.ID([]byte(id)), name, g.key)
		}
	}
	return nil
}

// header reads an incident, nil if there is none, and notes its name.
func (g *group) header(v any, id incident.ID) (*incident.Incident, error) {
	s, ok := v.(string)
	if !ok {
		return nil, nil
	}
	i, err := parseIncident(s)
	if err != nil {
		return nil, err
	}
	g.s.cache.put(id, i.Reference, i.Key)
	return i, nil
}

func (g *group) takeEntries(rows []any) error {
	g.slots = make([]slot, len(rows))
	n := 0
	for _, w := range g.works {
		for _, fp := range w.change.Fingerprints {
			if n >= len(rows) {
				return errReply
			}
			if err := g.fill(&g.slots[n], rows[n], fp); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

func (g *group) fill(to *slot, v any, fp alert.Fingerprint) error {
	to.stored = incident.Entry{Fingerprint: fp}
	if s, ok := v.(string); ok {
		e, err := parseEntry(s, fp)
		if err != nil {
			return err
		}
		to.stored, to.valid = e, s[validAt:validAt+timeSize]
	}
	to.is = to.stored
	to.own = g.s.repeats.Peek(g.key, &to.is)
	to.seen = to.is.Count
	return nil
}

// decide runs the steps. It returns the call that commits what they decided,
// nil if that is nothing durable.
func (g *group) decide(ctx context.Context, read *call) (*call, error) {
	if err := g.take(read); err != nil {
		return nil, err
	}
	g.patches, g.ids, g.ran = g.patches[:0], "", false
	g.commit.reset()
	at := 0
	for _, w := range g.works {
		slots := g.slots[at : at+len(w.change.Fingerprints)]
		at += len(slots)
		w.err = g.one(ctx, w, slots)
		var away *store.UnavailableError
		if errors.As(w.err, &away) {
			return nil, w.err
		}
	}
	if !g.ran {
		return nil, nil
	}
	return g.write()
}

// one runs one change's step.
func (g *group) one(ctx context.Context, w *work, slots []slot) error {
	c := w.change
	switch {
	case c.Epoch != 0 && strconv.FormatUint(c.Epoch, 10) != g.epoch:
		return store.ErrEpoch
	case g.known && g.record.has(c.ID):
		return nil
	case w.named && g.incidents[c.Incident] == nil:
		return incident.ErrNotFound
	}
	entries := make([]incident.Entry, len(slots))
	for n := range slots {
		if t := g.touched[slots[n].stored.Fingerprint]; t != nil {
			entries[n] = t.is
		} else {
			entries[n] = slots[n].is
		}
	}
	if c.Settled != nil && !c.Preview {
		if patches, ok := c.Settled(g.now, entries); ok {
			for n, p := range patches {
				if p.Count > 0 {
					g.patches = append(g.patches, gathered{entries[n], p})
				}
			}
			return nil
		}
	}
	st := incident.State{Now: g.now, Key: g.state, Entries: entries}
	st.NewID = func(n int) incident.ID { return incident.NewID(g.now, c.ID, n, g.key.Shard()) }
	name := c.Incident
	if name.IsZero() && g.state != nil {
		name = g.state.Incident
	}
	if !name.IsZero() {
		if _, read := g.incidents[name]; !read {
			if err := g.fetch(ctx, nil, []incident.ID{name}); err != nil {
				return err
			}
		}
		st.Incident = g.incidents[name]
	}
	for range maxRuns {
		next, err := c.Step(st)
		if err != nil {
			return err
		}
		if next.Want.IsZero() {
			return g.apply(c, &next)
		}
		if err := g.more(ctx, &st, next.Want); err != nil {
			return err
		}
	}
	return fmt.Errorf("store: a step for key %s asked for more %d times", c.Key, maxRuns)
}

// more reads what a step asked for.
func (g *group) more(ctx context.Context, st *incident.State, want incident.Want) error {
	if err := g.fetch(ctx, want.Fingerprints, want.Incidents); err != nil {
		return err
	}
	if st.More == nil {
		st.More, st.Others = map[alert.Fingerprint]incident.Known{}, map[incident.ID]*incident.Incident{}
	}
	for _, fp := range want.Fingerprints {
		t := g.touched[fp]
		st.More[fp] = incident.Known{Entry: t.is, Content: t.content}
	}
	for _, id := range want.Incidents {
		st.Others[id] = g.incidents[id]
	}
	return nil
}

// fetch reads entries with what they say, and incidents.
func (g *group) fetch(ctx context.Context, fps []alert.Fingerprint, ids []incident.ID) error {
	n := g.s.names[g.key.Shard()]
	c := &call{shard: n.shard, script: scriptMore, keys: n.more, args: []any{0}, confirmed: true}
	var asked, foreign []incident.ID
	for i := range ids {
		if _, read := g.incidents[ids[i]]; read {
			continue
		}
		if ids[i].Shard() != n.shard {
			foreign = append(foreign, ids[i])
		} else {
			asked = append(asked, ids[i])
			c.args = append(c.args, ids[i][:])
		}
	}
	c.args[0] = len(asked)
	var wanted []alert.Fingerprint
	for i := range fps {
		if t := g.touched[fps[i]]; t == nil || t.content == nil {
			wanted = append(wanted, fps[i])
			c.args = append(c.args, append(append(make([]byte, 0, 32), g.key[:]...), fps[i][:]...))
		}
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
	for i, id := range asked {
		if g.incidents[id], err = g.header(headers[i], id); err != nil {
			return err
		}
	}
	if len(foreign) > 0 {
		list, err := g.s.headers(ctx, foreign)
		if err != nil {
			return err
		}
		for i, id := range foreign {
			g.incidents[id] = list[i]
		}
	}
	for i, fp := range wanted {
		t := g.touch(fp)
		if t == nil {
			t = &slot{}
			if err := g.fill(t, rows[i], fp); err != nil {
				return err
			}
			g.touched[fp] = t
		}
		if v, ok := said[i].(string); ok {
			if t.content, err = row.ParseContent([]byte(v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// touch returns the slot of a fingerprint that stays for all steps, nil if it
// was not read.
func (g *group) touch(fp alert.Fingerprint) *slot {
	if g.touched == nil {
		g.touched = make(map[alert.Fingerprint]*slot, len(g.slots))
	}
	if t := g.touched[fp]; t != nil {
		return t
	}
	for n := range g.slots {
		if g.slots[n].stored.Fingerprint == fp {
			g.touched[fp] = &g.slots[n]
			return &g.slots[n]
		}
	}
	return nil
}

// settled gives the patches to the buffer of repeats.
func (g *group) settled() {
	for n := range g.patches {
		p := &g.patches[n]
		g.s.repeats.Add(g.key, &p.entry, p.patch, g.now)
	}
	if len(g.patches) > 0 && g.s.repeats.Overfull() {
		g.s.flushSoon()
	}
}

// answer takes the answer to the commit; conflict says that somebody else was faster.
func (g *group) answer(ctx context.Context, c *call) (conflict bool) {
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
		g.lease = ""
		g.name(reply[1:])
	case "DONE": // the answer to it was lost
		g.lease = ""
		g.rename(ctx)
	case "CONFLICT", "LEASED":
		return true
	case "EPOCH":
		g.fail(store.ErrEpoch)
		return false
	default:
		g.fail(errReply)
		return false
	}
	g.settled()
	for fp, t := range g.touched {
		if t.written && t.own > 0 {
			g.s.repeats.Subtract(store.Place{Key: g.key, Fingerprint: fp}, t.own)
		}
		if t.removed {
			g.s.repeats.Drop(store.Place{Key: g.key, Fingerprint: fp})
		}
	}
	return false
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
func (g *group) rename(ctx context.Context) {
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
