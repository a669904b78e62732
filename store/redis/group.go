package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
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

// decided reports whether the change with an id is in this very group already.
func (g *group) decided(id [16]byte) bool {
	r := record{ids: g.ids}
	return r.has(id)
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
