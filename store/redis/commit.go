package redis

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// commit gathers what the steps of a group decided; write puts it in the order
// that the script expects.
type commit struct {
	archive    []archived
	timeline   []incident.TimelineEntry
	jobs       []incident.Job
	statistics []counter
	// occurrences are those of incidents that do not change otherwise.
	occurrences map[incident.ID]uint64
	order       []incident.ID          // of the incidents that changed
	opened      [][]*incident.Incident // new ones, as each step has them
	slots       []*slot                // of the entries that changed, in order
}

type archived struct {
	entry   incident.Entry
	content *alert.Alert // nil: the stored one
}

type counter struct {
	name string
	n    int64
}

func (c *commit) count(name string, n int64) {
	for i := range c.statistics {
		if c.statistics[i].name == name {
			c.statistics[i].n += n
			return
		}
	}
	c.statistics = append(c.statistics, counter{name, n})
}

// apply puts what a step decided on top of what the ones before it did.
func (g *group) apply(w *incident.Change, next *incident.Next) error {
	if w.Preview {
		return nil
	}
	for _, p := range next.Patches {
		e := &incident.Entry{Fingerprint: p.Fingerprint}
		if t := g.touch(p.Fingerprint); t != nil {
			e = &t.is
		}
		g.gather(e, p.Patch)
	}
	if !next.Writes() {
		return nil
	}
	for n := range next.Entries {
		if g.touch(next.Entries[n].Entry.Fingerprint) == nil {
			return fmt.Errorf("store: a step for key %s wrote the entry %s without having read it", g.key, next.Entries[n].Entry.Fingerprint)
		}
	}
	for _, i := range next.Incidents {
		if i.Key != g.key {
			return fmt.Errorf("store: a step for key %s wrote the incident %s of key %s", g.key, i.ID, i.Key)
		}
	}
	g.ids += string(w.ID[:idSize])
	c := &g.commit
	for _, e := range next.Archive {
		a := archived{entry: e}
		t := g.touch(e.Fingerprint)
		if t == nil {
			return fmt.Errorf("store: a step for key %s archived the entry %s without having read it", g.key, e.Fingerprint)
		}
		if t.new {
			a.content = t.content
		}
		c.archive = append(c.archive, a)
	}
	g.applyEntries(next)
	g.applyIncidents(next)
	if next.Key != nil {
		state := *next.Key
		state.ChangedAt = g.now
		g.state, g.rewrite = &state, true
	}
	c.timeline = append(c.timeline, next.Timeline...)
	c.jobs = append(c.jobs, next.Jobs...)
	for _, o := range next.Observations {
		row.Observe(o, c.count)
	}
	return nil
}

func (g *group) applyEntries(next *incident.Next) {
	for n := range next.Entries {
		e := &next.Entries[n]
		t := g.touch(e.Entry.Fingerprint)
		g.change(t, e.Was.Incident, next)
		t.is, t.removed = e.Entry, false
		if e.Content != nil {
			t.content, t.new = e.Content, true
		}
		g.countFiring(&e.Was, &e.Entry)
	}
	for n := range next.Remove {
		e := &next.Remove[n]
		t := g.touch(e.Fingerprint)
		if t == nil {
			continue // it was not read, so it is not there
		}
		g.change(t, e.Incident, next)
		g.countFiring(e, &incident.Entry{})
		t.is, t.removed, t.content, t.new = incident.Entry{Fingerprint: e.Fingerprint}, true, nil, false
	}
}

// change notes that an entry changes. The repeats that it takes along count in
// the incident that they came for.
func (g *group) change(t *slot, of incident.ID, next *incident.Next) {
	if t.written {
		return
	}
	t.written = true
	g.commit.slots = append(g.commit.slots, t)
	if t.own > 0 { // unless somebody has begun to store them meanwhile
		t.own = g.s.repeats.Take(store.Place{Key: g.key, Fingerprint: t.is.Fingerprint}, t.own)
	}
	if t.own == 0 || of.IsZero() { // what a threshold held is counted when it is adopted
		return
	}
	for _, i := range next.Incidents {
		if i.ID == of {
			i.Occurrences += t.own
			return
		}
	}
	if g.commit.occurrences == nil {
		g.commit.occurrences = map[incident.ID]uint64{}
	}
	g.commit.occurrences[of] += t.own
}

func (g *group) countFiring(was, is *incident.Entry) {
	if was.Firing == is.Firing && (!is.Firing || was.Generation == is.Generation) {
		return
	}
	if was.Firing {
		g.commit.count(row.FiringName(was.Generation), -1)
	}
	if is.Firing {
		g.commit.count(row.FiringName(is.Generation), 1)
	}
}

func (g *group) applyIncidents(next *incident.Next) {
	c := &g.commit
	for _, i := range next.Incidents {
		was := g.incidents[i.ID]
		if _, changed := g.stored[i.ID]; !changed {
			if g.stored == nil {
				g.stored = map[incident.ID]*incident.Incident{}
			}
			g.stored[i.ID] = was
			c.order = append(c.order, i.ID)
		}
		i.Version = 1
		if was != nil {
			i.Version = was.Version + 1
		}
		if was == nil {
			c.opened = append(c.opened, []*incident.Incident{i})
		} else if g.stored[i.ID] == nil { // opened by a step before
			for n := range c.opened {
				if c.opened[n][0].ID == i.ID {
					c.opened[n] = append(c.opened[n], i)
				}
			}
		}
		g.incidents[i.ID] = i
		if was == nil || was.State != i.State || was.Severity != i.Severity {
			if was != nil {
				c.count(row.StateName(was), -1)
			}
			c.count(row.StateName(i), 1)
		}
	}
}

// write is the call that commits.
func (g *group) write() (*call, error) {
	n := g.s.names[g.key.Shard()]
	ids := g.record.ids + g.ids
	if len(ids) > idsKept*idSize {
		ids = ids[len(ids)-idsKept*idSize:]
	}
	pages := g.list()
	g.next = record{version: newToken(), page: g.record.page, listed: g.record.listed, ids: ids, callers: g.record.callers, key: g.state, rest: g.record.rest}
	if last := len(pages) - 1; last >= 0 {
		g.next.page, g.next.listed = pages[last].page, pages[last].listed
	}
	g.next.commits(g.s.caller)
	if g.rewrite {
		g.next.rest = nil
	}
	epoch := ""
	for _, w := range g.works {
		if w.change.Epoch != 0 && w.err == nil {
			epoch = g.epoch
		}
	}
	moves := g.moves(n)
	keys := make([]string, 0, 1+len(n.commitMore)+len(moves))
	keys = append(keys, n.lease+g.key.String())
	if len(moves)+len(g.commit.archive)+len(g.commit.jobs) > 0 {
		for _, name := range n.commitMore {
			keys = append(keys, *name)
		}
	}
	for _, m := range moves {
		keys = append(keys, m.index)
	}
	a := newCommand(scriptCommit, n.commit, keys)
	a.id(g.key)
	a.text(g.record.version, g.s.caller, epoch, g.lease)
	var err error
	a.bytes(func(b []byte) []byte { b, err = g.next.append(b); return b })
	if err != nil {
		return nil, err
	}
	a.bytes(func(b []byte) []byte { return appendTime(b, g.now) })
	a.number(int(n.shard))
	a.number(len(g.commit.jobs))
	g.writePages(a, pages)
	g.writeArchive(a)
	g.writeEntries(a)
	g.writeOccurrences(a)
	a.number(len(moves))
	for i, m := range moves {
		a.number(len(n.commit) + 1 + len(n.commitMore) + 1 + i)
		a.text(m.way)
		a.id(m.place)
	}
	a.number(len(g.commit.timeline))
	for i := range g.commit.timeline {
		t := &g.commit.timeline[i]
		a.bytes(func(b []byte) []byte { return binary.BigEndian.AppendUint64(append(b, t.Incident[:]...), t.Seq) })
		a.bytes(func(b []byte) []byte { return row.AppendTimeline(b, t) })
	}
	g.writeStatistics(a)
	for _, j := range g.commit.jobs {
		keep := ""
		if j.NoLater {
			keep = "1"
		}
		a.text(j.Subject, j.Kind+"\x00"+j.Target)
		a.bytes(func(b []byte) []byte { return appendTime(b, j.Due) })
		lease := ""
		if j.Lease != 0 {
			lease = token(j.Lease)
		}
		a.text(newToken(), keep, lease)
	}
	g.s.cost.write(len(a.list)-len(n.commit)-len(keys), len(a.buf))
	return &call{shard: n.shard, script: scriptCommit, full: a.done(), made: a, confirmed: true, until: g.deadline}, nil
}

// listing is what a commit adds to one page.
type listing struct {
	page   page
	listed byte // how many were listed on it, with these
	slots  []*slot
}

// list gives the new entries places on pages.
func (g *group) list() (out []listing) {
	on, listed := g.record.page, g.record.listed
	for _, t := range g.commit.slots {
		if t.removed || t.exists {
			continue
		}
		if on == 0 || listed >= pageEntries {
			on, listed = on+1, 0
		}
		listed++
		if last := len(out) - 1; last < 0 || out[last].page != on {
			out = append(out, listing{page: on})
		}
		l := &out[len(out)-1]
		t.page, l.listed, l.slots = on, listed, append(l.slots, t)
	}
	return out
}

func (g *group) writePages(a *args, pages []listing) {
	put := func(l *listing) {
		a.bytes(func(b []byte) []byte { return pageField(b, g.key, l.page) })
		a.bytes(func(b []byte) []byte {
			for _, t := range l.slots {
				b = append(b, t.is.Fingerprint[:]...)
			}
			return b
		})
	}
	if len(pages) == 0 {
		a.text("", "")
	} else {
		put(&pages[0]) // which the script reads along with the key
		pages = pages[1:]
	}
	g.writeIncidents(a)
	a.number(len(pages))
	for n := range pages {
		put(&pages[n])
	}
}

func (g *group) writeArchive(a *args) {
	a.number(len(g.commit.archive))
	for i := range g.commit.archive {
		e := &g.commit.archive[i]
		a.id(e.entry.Fingerprint)
		a.id(e.entry.Incident)
		a.bytes(func(b []byte) []byte {
			return appendEntry(b, &e.entry, e.entry.Count, g.touch(e.entry.Fingerprint).page)
		})
		if e.content == nil {
			a.text("")
		} else {
			a.bytes(func(b []byte) []byte { return row.AppendContent(b, e.content) })
		}
	}
}

func (g *group) writeEntries(a *args) {
	list := func(want func(t *slot) bool, put func(t *slot)) {
		n := 0
		for _, t := range g.commit.slots {
			if want(t) {
				n++
			}
		}
		a.number(n)
		for _, t := range g.commit.slots {
			if want(t) {
				a.bytes(func(b []byte) []byte { return append(append(b, g.key[:]...), t.is.Fingerprint[:]...) })
				put(t)
			}
		}
	}
	list(func(t *slot) bool { return t.removed && t.exists }, func(*slot) {})
	list(func(t *slot) bool { return !t.removed && !t.exists }, func(t *slot) {
		a.bytes(func(b []byte) []byte { return appendEntry(b, &t.is, t.is.Count, t.page) })
		if t.new {
			a.bytes(func(b []byte) []byte { return row.AppendContent(b, t.content) })
		} else {
			a.text("")
		}
	})
	list(func(t *slot) bool { return !t.removed && t.exists }, func(t *slot) {
		a.text(t.valid)
		// The count goes as what is added, because others store repeats meanwhile. What
		// was gathered here and is not on its way yet goes along.
		added := t.is.Count - min(t.is.Count, t.seen) + t.own
		a.bytes(func(b []byte) []byte { return appendEntry(b, &t.is, added, t.page) })
	})
	list(func(t *slot) bool { return !t.removed && t.exists && t.new }, func(t *slot) {
		a.bytes(func(b []byte) []byte { return row.AppendContent(b, t.content) })
	})
}

func (g *group) writeIncidents(a *args) {
	a.number(len(g.commit.order))
	for _, id := range g.commit.order {
		i, was := g.incidents[id], g.stored[id]
		a.id(id)
		if was == nil {
			a.text(i.OpenedAt.UTC().Format("20060102"))
			a.unsigned(i.Occurrences)
		} else {
			a.text("")
			a.number(int(i.Occurrences) - int(was.Occurrences))
		}
		a.bytes(func(b []byte) []byte { return appendIncident(b, i) })
	}
}

func (g *group) writeOccurrences(a *args) {
	a.number(len(g.commit.occurrences))
	for id, n := range g.commit.occurrences {
		a.id(id)
		a.unsigned(n)
	}
}

func (g *group) writeStatistics(a *args) {
	changed := slices.DeleteFunc(g.commit.statistics, func(c counter) bool { return c.n == 0 })
	a.number(len(changed))
	for _, c := range changed {
		a.text(c.name)
		a.number(int(c.n))
	}
}

// move is one change of an index.
type move struct {
	index, way string
	place      [16]byte
}

// moves are those in the indexes of the fields that changed.
func (g *group) moves(n *names) []move {
	var out []move
	for _, id := range g.commit.order {
		is, old := g.incidents[id], g.stored[id]
		if old != nil && old.State == is.State && old.Severity == is.Severity && old.Service == is.Service && old.Team == is.Team {
			continue
		}
		to, from := n.indexes(is), [5]string{}
		if old != nil {
			from = n.indexes(old)
		}
		for f := range to {
			if from[f] == to[f] {
				continue
			}
			if from[f] != "" {
				out = append(out, move{from[f], "-", position(id)})
			}
			out = append(out, move{to[f], "+", position(id)})
		}
	}
	return out
}
