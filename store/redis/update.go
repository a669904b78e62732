package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// folded is how many changes of one key are committed together. A key's record
	// keeps the ids of more, so that the latest commit can always be recognised.
	folded = 8
	// triesBeforeLease is after how many conflicts a key is taken for a moment.
	triesBeforeLease = 3
	// leaseTime is how long a key is taken at most.
	leaseTime = 500 * time.Millisecond
)

// Update implements store.Store. All keys that nobody in this process is at are
// read in one round trip and written in another. For a key that somebody is at
// the change waits, and goes along with the next commit.
func (s *Store) Update(ctx context.Context, changes []incident.Change) error {
	if err := ctx.Err(); err != nil {
		return &store.UnavailableError{Cause: err}
	}
	if len(changes) == 0 {
		return nil
	}
	if !s.enter() {
		s.metrics.refused.Inc()
		return &store.UnavailableError{Cause: errOverloaded}
	}
	defer s.leave()
	deadline := time.Now().Add(s.opts.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	works := make([]work, len(changes))
	var done sync.WaitGroup
	for n := range changes {
		works[n] = work{change: &changes[n], key: changes[n].Key, deadline: deadline, done: &done}
	}
	if err := s.findKeys(ctx, works); err != nil {
		return err
	}
	if changes[0].Preview {
		return s.preview(ctx, works)
	}
	done.Add(len(works))
	var mine []*group
	for n := range works {
		if g := s.enlist(&works[n]); g != nil {
			mine = append(mine, g)
		}
	}
	s.leadAll(mine)
	done.Wait()
	var first error
	for n := range works {
		// Whoever placed the changes for another list of generations has to do it again, whatever else is wrong.
		if err := works[n].err; err != nil && (first == nil || errors.Is(err, store.ErrEpoch)) {
			first = err
		}
	}
	return first
}

// work is one change on its way.
type work struct {
	change *incident.Change
	key    incident.Key
	// named: the change says an incident and no key, so the incident has to exist.
	named    bool
	deadline time.Time
	err      error
	done     *sync.WaitGroup
}

// findKeys fills in the keys of changes that name an incident, in one round trip.
func (s *Store) findKeys(ctx context.Context, works []work) error {
	var unknown []*work
	var ids []incident.ID
	for n := range works {
		w := &works[n]
		if !w.key.IsZero() || w.change.Incident.IsZero() {
			continue
		}
		w.named = true
		if known, ok := s.cache.get(w.change.Incident); ok {
			w.key = known.key
			continue
		}
		unknown, ids = append(unknown, w), append(ids, w.change.Incident)
	}
	if len(unknown) == 0 {
		return nil
	}
	list, err := s.headers(ctx, ids)
	if err != nil {
		return err
	}
	for n, i := range list {
		if i == nil {
			return fmt.Errorf("incident %s: %w", ids[n], incident.ErrNotFound)
		}
		unknown[n].key = i.Key
	}
	return nil
}

// keyQueue are the changes of a key that wait while others of it are committed.
type keyQueue struct{ waiting []*work }

// queues are the keys that somebody in this process is at.
type queues struct {
	mu sync.Mutex
	m  map[incident.Key]*keyQueue
	_  [40]byte // each on a cache line of its own
}

func (s *Store) queue(k incident.Key) *queues { return &s.queues[k[1]%byte(len(s.queues))] }

// enlist lets w wait for its key, or returns a group to lead if nobody is at it.
func (s *Store) enlist(w *work) *group {
	q := s.queue(w.key)
	q.mu.Lock()
	defer q.mu.Unlock()
	if busy := q.m[w.key]; busy != nil {
		busy.waiting = append(busy.waiting, w)
		return nil
	}
	q.m[w.key] = &keyQueue{}
	return &group{s: s, key: w.key, works: []*work{w}}
}

// hand gives the key to those who wait for it, nil if nobody does.
func (s *Store) hand(key incident.Key) *group {
	q := s.queue(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	busy := q.m[key]
	if len(busy.waiting) == 0 {
		delete(q.m, key)
		return nil
	}
	n := min(len(busy.waiting), folded)
	g := &group{s: s, key: key, works: busy.waiting[:n:n], waited: true}
	busy.waiting = busy.waiting[n:]
	return g
}

// leadAll leads the groups of each server by themselves, so that a server that
// hangs keeps only its own keys.
func (s *Store) leadAll(groups []*group) {
	if len(groups) == 0 {
		return
	}
	if s.cluster == nil {
		s.lead(groups)
		return
	}
	byHome := map[string][]*group{}
	for _, g := range groups {
		home := s.home(g.key.Shard())
		byHome[home] = append(byHome[home], g)
	}
	var wg sync.WaitGroup
	for _, list := range byHome {
		wg.Go(func() { s.lead(list) })
	}
	wg.Wait()
}

// lead commits the groups, which it has the keys of, and gives the keys on.
func (s *Store) lead(groups []*group) {
	ended := make([]*group, 0, len(groups))
	for len(groups) > 0 {
		groups = s.attempt(groups, &ended)
		if len(groups) > 0 {
			time.Sleep(jitter(groups[0].pause()))
		}
	}
	var next []*group
	for _, g := range ended {
		if n := s.hand(g.key); n != nil {
			next = append(next, n)
		}
	}
	if len(next) > 0 {
		go s.leadAll(next)
	}
	for _, g := range ended {
		g.release()
		g.end()
		for _, w := range g.works {
			w.done.Done()
		}
	}
}

// attempt reads, decides and commits. It returns the groups that somebody else
// was faster than.
func (s *Store) attempt(groups []*group, ended *[]*group) (again []*group) {
	for _, g := range groups {
		g.begin()
	}
	calls := make([]*call, 0, len(groups))
	reading := make([]*group, 0, len(groups))
	for _, g := range groups {
		if g.over() {
			*ended = append(*ended, g)
			continue
		}
		if g.tries >= triesBeforeLease && !g.seize() {
			again = append(again, g)
			continue
		}
		calls, reading = append(calls, g.read()), append(reading, g)
	}
	s.runAll(calls)
	s.take(reading, calls)
	writing, commits := reading[:0], calls[:0]
	for _, g := range reading {
		if g.over() {
			*ended = append(*ended, g)
			continue
		}
		commit, err := g.decide()
		switch {
		case err != nil:
			g.fail(err)
			*ended = append(*ended, g)
		case commit == nil:
			g.settled()
			*ended = append(*ended, g)
		default:
			writing, commits = append(writing, g), append(commits, commit)
		}
	}
	if len(writing) == 0 {
		return again
	}
	s.failpoint("before-commit")
	s.runAll(commits)
	s.failpoint("after-commit")
	for n, g := range writing {
		commits[n].reuse()
		if !g.over() && g.answer(commits[n]) {
			g.tries++
			s.metrics.conflicts.Inc()
			again = append(again, g)
			continue
		}
		*ended = append(*ended, g)
	}
	return again
}

// take takes the answers to what the groups read. Those that another process
// changed are read again, all in one trip.
func (s *Store) take(groups []*group, calls []*call) {
	var again []*group
	var reads []*call
	for n, g := range groups {
		known, err := g.take(calls[n])
		calls[n].reuse()
		switch {
		case err != nil:
			g.fail(err)
		case !known:
			g.shared = true
			again, reads = append(again, g), append(reads, g.readAll())
		}
	}
	s.runAll(reads)
	for n, g := range again {
		if _, err := g.take(reads[n]); err != nil {
			g.fail(err)
		}
		reads[n].reuse()
	}
}

// seize takes the key for a moment, so that other processes let it be.
func (g *group) seize() bool {
	if g.lease != "" {
		return true
	}
	ctx, cancel := context.WithDeadline(context.Background(), g.deadline)
	defer cancel()
	token := newToken()
	n := g.s.names[g.key.Shard()]
	got, err := g.s.one(ctx, &call{shard: n.shard, args: []any{"SET", n.lease + g.key.String(), token, "NX", "PX", leaseTime.Milliseconds()}})
	if err != nil || got == nil {
		return false
	}
	g.lease = token
	g.s.metrics.leases.Inc()
	return true
}

// release gives a key back that was taken and then not committed.
func (g *group) release() {
	if g.lease == "" {
		return
	}
	n := g.s.names[g.key.Shard()]
	c := &call{shard: n.shard, script: scriptRelease, keys: []string{n.lease + g.key.String()}, args: []any{g.lease}}
	go g.s.runUntil(time.Now().Add(leaseTime), []*call{c}) // if that fails it ends by itself
}

// pause is how long a group waits before its next attempt.
func (g *group) pause() time.Duration {
	return min(time.Millisecond<<min(g.tries, 6), 50*time.Millisecond)
}

func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}

// newToken returns eight random bytes.
func newToken() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	return string(b[:])
}

// preview runs the steps on what is stored and commits nothing.
func (s *Store) preview(ctx context.Context, works []work) error {
	for n := range works {
		g := &group{s: s, key: works[n].key, works: []*work{&works[n]}, deadline: works[n].deadline}
		read := g.read()
		if err := s.run(ctx, read); err != nil {
			return err
		}
		if s.take([]*group{g}, []*call{read}); g.err != nil {
			return g.err
		}
		if _, err := g.decide(); err != nil {
			return err
		}
		if works[n].err != nil {
			return works[n].err
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
