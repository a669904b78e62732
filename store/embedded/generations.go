package embedded

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

func (s *Store) loadGenerations() error {
	s.genMu.Lock()
	defer s.genMu.Unlock()
	s.generations = store.Generations{}
	_, err := s.getJSON([]byte{rowGenerations}, &s.generations)
	return err
}

// Generations implements store.Store.
func (s *Store) Generations(ctx context.Context) (store.Generations, error) {
	leave, err := s.enter()
	if err != nil {
		return store.Generations{}, err
	}
	defer leave()
	s.genMu.RLock()
	defer s.genMu.RUnlock()
	return s.withFiring()
}

// withFiring returns the list with its counts. The caller holds genMu.
func (s *Store) withFiring() (store.Generations, error) {
	out := store.Generations{Unknown: s.generations.Unknown, Epoch: s.generations.Epoch, List: slices.Clone(s.generations.List), Firing: map[incident.Generation]int64{}}
	for _, g := range out.List {
		v, closer, err := s.db.Get(append([]byte{rowCounter}, row.FiringName(g.ID)...))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, &store.UnavailableError{Cause: err}
		}
		out.Firing[g.ID] = parseNumber(v)
		if err := closer.Close(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// SetGeneration implements store.Store. No commit is under way while the list
// changes, and those that were made for the old one are refused afterwards.
func (s *Store) SetGeneration(ctx context.Context, g store.Generation) (store.Generations, error) {
	leave, err := s.enter()
	if err != nil {
		return store.Generations{}, err
	}
	defer leave()
	s.genMu.Lock()
	defer s.genMu.Unlock()
	was, err := s.withFiring()
	if err != nil {
		return was, err
	}
	list := slices.DeleteFunc(slices.Clone(was.List), func(old store.Generation) bool { return old.ID == g.ID || was.Firing[old.ID] <= 0 })
	list = append(list, g)
	if slices.EqualFunc(list, was.List, func(a, b store.Generation) bool { return a.ID == b.ID }) {
		return was, nil
	}
	next := store.Generations{Unknown: was.Unknown, Epoch: was.Epoch + 1, List: list}
	data, err := json.Marshal(next)
	if err != nil {
		return was, err
	}
	if err := s.set([]byte{rowGenerations}, data); err != nil {
		return was, s.fail(err)
	}
	s.generations = next
	return s.withFiring()
}
