package embedded

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// writing is one batch on its way.
type writing struct {
	s     *Store
	batch *pebble.Batch
	buf   []byte
	value []byte
	// counted is how many gathered repeats the entries that were read include.
	counted map[store.Place]uint64
	entries *[]written // of writtenLists, nil while there is none
	decided []proof
	preview bool
	// room is for the entries that steps are given; no two get the same.
	room []incident.Entry
	// firing is by how much the firing alerts of each generation change.
	firing map[incident.Generation]int64
	// holdsJobs: the batch has jobs, so nobody else may touch any before it is applied.
	holdsJobs bool
	// jobs are those that the batch has armed, as they are then; zero for one that is gone.
	jobs map[string]*job
	// after is done once the batch is applied, still under the locks.
	after []func()
}

// countIn adds the repeats that were gathered for e.
func (w *writing) countIn(k incident.Key, e *incident.Entry) {
	if !e.Exists() {
		return
	}
	if n := w.s.repeats.Peek(k, e); n > 0 {
		w.counted[store.Place{Key: k, Fingerprint: e.Fingerprint}] = n
	}
}

// written is an entry that the batch writes.
type written struct {
	place store.Place
	entry row.Entry
}

func (s *Store) writing() *writing {
	return &writing{s: s, batch: s.db.NewBatch(), counted: map[store.Place]uint64{}, firing: map[incident.Generation]int64{}}
}

func (w *writing) settled() {
	if w.entries != nil {
		for i := range *w.entries {
			w.s.hot.put((*w.entries)[i].place, &(*w.entries)[i].entry)
		}
		w.forgetEntries()
	}
	for _, f := range w.after {
		f()
	}
}

// writtenKept is how many entries a list has at most that is used again.
const writtenKept = 1 << 12

// writtenLists are used by one batch after the other: entries are large, and
// what is kept of them are copies.
var writtenLists = sync.Pool{New: func() any { return new([]written) }}

// note remembers an entry that the batch writes.
func (w *writing) note(place store.Place, e *row.Entry) {
	if w.entries == nil {
		w.entries = writtenLists.Get().(*[]written)
	}
	*w.entries = append(*w.entries, written{place, *e})
}

// forgetEntries gives the list back.
func (w *writing) forgetEntries() {
	if list := w.entries; cap(*list) <= writtenKept {
		clear(*list)
		*list = (*list)[:0]
		writtenLists.Put(list)
	}
	w.entries = nil
}

// decide runs the step of c and puts what it says into the batch.
func (w *writing) decide(c *incident.Change) error {
	if w.s.recent.seen(c.ID) {
		return nil
	}
	st, err := w.state(c)
	if err != nil {
		return err
	}
	for range maxRuns {
		next, err := c.Step(st)
		if err != nil {
			return err
		}
		if next.Want.IsZero() {
			return w.put(c, &st, &next)
		}
		if err := w.more(c, &st, next.Want); err != nil {
			return err
		}
	}
	return fmt.Errorf("store: a step for key %s asked for more %d times", c.Key, maxRuns)
}

func (w *writing) state(c *incident.Change) (incident.State, error) {
	s := w.s
	n := len(c.Fingerprints)
	if n > len(w.room) {
		w.room = make([]incident.Entry, n)
	}
	st := incident.State{Now: s.Now(), Entries: w.room[:n:n]}
	w.room = w.room[n:]
	var err error
	if st.Key, err = s.keyState(c.Key); err != nil {
		return st, err
	}
	name := c.Incident
	if name.IsZero() && st.Key != nil {
		name = st.Key.Incident
	}
	if !name.IsZero() {
		if st.Incident, err = s.header(name); err != nil {
			return st, err
		}
	}
	if st.Key != nil && st.Key.ChangedAt.After(st.Now) {
		st.Now = st.Key.ChangedAt
	}
	if st.Incident != nil && st.Incident.ChangedAt.After(st.Now) {
		st.Now = st.Incident.ChangedAt
	}
	for i, fp := range c.Fingerprints {
		e, err := s.live(&w.buf, c.Key, fp)
		if err != nil {
			return st, err
		}
		st.Entries[i] = e.Entry
		w.countIn(c.Key, &st.Entries[i])
	}
	st.NewID = func(n int) incident.ID { return incident.NewID(st.Now, c.ID, n, c.Key.Shard()) }
	return st, nil
}

func (w *writing) more(c *incident.Change, st *incident.State, want incident.Want) error {
	if st.More == nil {
		st.More, st.Others = map[alert.Fingerprint]incident.Known{}, map[incident.ID]*incident.Incident{}
	}
	for _, fp := range want.Fingerprints {
		e, err := w.s.live(&w.buf, c.Key, fp)
		if err != nil {
			return err
		}
		w.countIn(c.Key, &e.Entry)
		content, err := w.s.content(e.Number)
		if err != nil {
			return err
		}
		st.More[fp] = incident.Known{Entry: e.Entry, Content: content}
	}
	for _, id := range want.Incidents {
		i, err := w.s.header(id)
		if err != nil {
			return err
		}
		st.Others[id] = i
	}
	return nil
}
