package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// generationTries bounds how often the list is changed again because somebody
// else was faster.
const generationTries = 20

// The list of generations is one value, and every shard has its epoch: a read
// or a commit for another epoch is refused. Who reads the list first lets all
// shards know it, so that once anybody uses it nobody can commit for an older one.
// It waits for no replica, so that a gateway can start without any: a list that is
// lost is made again.

func (s *Store) generationsKey() string { return s.names[0].tag + "generations" }

// Generations implements store.Store.
func (s *Store) Generations(ctx context.Context) (store.Generations, error) {
	g, _, err := s.generations(ctx)
	return g, err
}

// generations returns the list, which all shards know, and its text.
func (s *Store) generations(ctx context.Context) (g store.Generations, text string, err error) {
	v, err := s.one(ctx, &call{args: []any{"GET", s.generationsKey()}})
	if err != nil {
		return g, "", err
	}
	if text, _ = v.(string); text != "" {
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			return g, "", fmt.Errorf("store: generations: %w", err)
		}
	}
	latest := uint64(0)
	if g.Firing, latest, err = s.spread(ctx, &g); err != nil || latest <= g.Epoch {
		return g, text, err
	}
	// What is stored is an older list than the shards have heard of: its write was
	// lost, or it came from a backup. It counts, under an epoch that nobody had.
	next := store.Generations{Epoch: latest + 1, List: g.List, Unknown: g.Unknown}
	if err := s.swapGenerations(ctx, text, next); err != nil {
		return g, "", err
	}
	return s.generations(ctx)
}

// spread lets all shards know the epoch of a list, and counts the firing alerts
// of each generation. Latest is the largest epoch that a shard has.
func (s *Store) spread(ctx context.Context, g *store.Generations) (firing map[incident.Generation]int64, latest uint64, err error) {
	firing = map[incident.Generation]int64{}
	err = s.eachShard(ctx, func(n *names) *call {
		c := &call{script: scriptEpoch, keys: []string{n.keys, n.statistics}, args: []any{g.Epoch}}
		for _, one := range g.List {
			c.args = append(c.args, one.ID[:])
		}
		return c
	}, func(_ *names, result any) error {
		counts, _ := result.([]any)
		if len(counts) != 1+len(g.List) {
			return errReply
		}
		epoch, _ := counts[0].(int64)
		latest = max(latest, uint64(epoch))
		for n, one := range g.List {
			count, _ := counts[1+n].(int64)
			firing[one.ID] += count
		}
		return nil
	})
	return firing, latest, err
}

// SetGeneration implements store.Store.
//
// The new generation comes in first, and only when every shard knows that list
// those without firing alerts go: an alert cannot begin to fire under one that
// is not the current one for anybody any more. If one of them is still current
// for another process, and was used in that very moment, it comes back.
func (s *Store) SetGeneration(ctx context.Context, g store.Generation) (store.Generations, error) {
	var dropped []store.Generation
	for range generationTries {
		was, text, err := s.generations(ctx)
		if err != nil {
			return was, err
		}
		next := store.Generations{Epoch: was.Epoch + 1, Unknown: was.Unknown}
		switch {
		case was.Current() != g.ID:
			next.List = append(slices.DeleteFunc(slices.Clone(was.List), func(old store.Generation) bool { return old.ID == g.ID }), g)
		default:
			next.List = slices.DeleteFunc(slices.Clone(was.List), func(old store.Generation) bool { return old.ID != g.ID && was.Firing[old.ID] <= 0 })
			for _, old := range was.List {
				if old.ID != g.ID && was.Firing[old.ID] <= 0 {
					dropped = append(dropped, old)
				}
			}
			if len(next.List) == len(was.List) {
				return s.bringBack(ctx, was, text, dropped)
			}
		}
		if err := s.swapGenerations(ctx, text, next); err != nil {
			return was, err
		}
	}
	return store.Generations{}, fmt.Errorf("store: the list of generations changes all the time: %w", incident.ErrConflict)
}

// bringBack puts generations back into the list that turn out to have firing alerts.
func (s *Store) bringBack(ctx context.Context, now store.Generations, text string, dropped []store.Generation) (store.Generations, error) {
	if len(dropped) == 0 {
		return now, nil
	}
	firing, _, err := s.spread(ctx, &store.Generations{Epoch: now.Epoch, List: dropped})
	if err != nil {
		return now, err
	}
	dropped = slices.DeleteFunc(dropped, func(g store.Generation) bool {
		return firing[g.ID] <= 0 || slices.ContainsFunc(now.List, func(l store.Generation) bool { return l.ID == g.ID })
	})
	if len(dropped) == 0 {
		return now, nil
	}
	next := store.Generations{Epoch: now.Epoch + 1, Unknown: now.Unknown, List: append(dropped, now.List...)}
	if err := s.swapGenerations(ctx, text, next); err != nil {
		return now, err
	}
	return s.Generations(ctx)
}

// swapGenerations replaces the list if it is still the one with the given text.
// Somebody else's list stays: then the caller looks again.
func (s *Store) swapGenerations(ctx context.Context, text string, next store.Generations) error {
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = s.one(ctx, &call{script: scriptSwap, keys: []string{s.generationsKey()}, args: []any{text, data}})
	return err
}
