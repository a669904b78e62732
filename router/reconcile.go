package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// eldersKept is how many older generations may live beside the current one.
const eldersKept = 3

// overruledTime is for how long the configuration that another process loaded
// later goes before ours. By then a new one is rolled out everywhere; if ours
// is still another one, the process that loaded it may be gone.
const overruledTime = 10 * time.Minute

// reconcile lets older generations die. A firing alert that the current one
// puts in the same place only takes its name. One that it puts elsewhere stays
// where it is until it resolves; if too many generations live, those of the
// oldest are moved. A generation without firing alerts is then forgotten.
//
// All entries are looked at once for each list of generations: what did not
// take the current name then has its reason, and nothing new comes under an
// older one.
//
// Every process does so, each with the same result. One that was overruled for
// overruledTime makes its own generation the current one again.
func (p *Pipeline) reconcile(ctx context.Context) error {
	if err := p.refresh(ctx); err != nil { // another process may have changed the list
		return err
	}
	rules := p.rules.Load()
	if p.scanned.Load() != rules.epoch {
		complete, err := p.scan(ctx, rules)
		if errors.Is(err, store.ErrEpoch) {
			return p.refresh(ctx) // the list changed meanwhile; the next time
		}
		if err != nil {
			return err
		}
		if complete {
			p.scanned.Store(rules.epoch)
		}
	}
	if err := p.trim(ctx, rules); err != nil {
		return err
	}
	return p.refresh(ctx)
}

// trim forgets generations without firing alerts. The list has to be the one
// that rules are of, so that the current generation stays.
func (p *Pipeline) trim(ctx context.Context, rules *rules) error {
	gens, err := p.store.Generations(ctx)
	if err != nil || gens.Epoch != rules.epoch {
		return err
	}
	keep := rules.current.identity
	if p.insists(rules) {
		keep = rules.Identity
	} else if !slices.ContainsFunc(gens.List, func(g store.Generation) bool { return g.ID != rules.current.id && gens.Firing[g.ID] <= 0 }) {
		return nil
	}
	// If another process sets a newer one in this very moment it is not the
	// current one, until that process insists.
	_, err = p.store.SetGeneration(ctx, store.Generation{ID: keep.Hash(), Text: keep.Text()})
	return err
}

// scan settles all entries of older generations. Complete says that none has
// to be looked at again.
func (p *Pipeline) scan(ctx context.Context, rules *rules) (complete bool, err error) {
	complete = true
	oldest := map[incident.Generation]bool{}
	for i := 0; i < len(rules.elders)-eldersKept; i++ {
		oldest[rules.elders[i].id] = true
	}
	h := &dedupe.Hasher{}
	for cursor := ""; ; {
		records, next, err := p.store.ScanEntries(ctx, cursor, entriesAtOnce)
		if err != nil {
			return false, err
		}
		same := renaming{rules: rules}
		for _, r := range records {
			if !r.Entry.Firing || r.Entry.Generation == rules.current.id || r.Content == nil {
				continue
			}
			to := rules.destination(h, r.Content)
			switch {
			case r.Content.Flags&alert.FlagCut != 0: // its fingerprint is of more than was kept
			case to.Key == r.Key && to.fp == r.Entry.Fingerprint:
				same.add(r)
			case oldest[r.Entry.Generation]:
				done, err := p.move(ctx, rules, r, to)
				if err != nil {
					return false, err
				}
				complete = complete && done
			}
		}
		if err := p.store.Update(ctx, same.changes); err != nil {
			return false, err
		}
		if cursor = next; cursor == "" {
			return complete, nil
		}
	}
}

// destination is where the current generation puts an alert.
type destination struct {
	dedupe.Place
	fp      alert.Fingerprint
	class   incident.Classification
	content uint64
}

func (r *rules) destination(h *dedupe.Hasher, a *alert.Alert) destination {
	var to destination
	to.class, _ = r.classify(a, nil)
	id := r.current.of(a.Source)
	to.fp, to.content = h.Fingerprint(id, a), h.Content(id, a)
	to.Place = r.current.correlator.Key(h, a, &to.class, to.fp)
	return to
}

// renaming gathers entries, which come in the order of keys, that take the
// current generation's name.
type renaming struct {
	rules   *rules
	changes []incident.Change
}

func (n *renaming) add(r store.Record) {
	last := len(n.changes) - 1
	if last < 0 || n.changes[last].Key != r.Key {
		n.changes = append(n.changes, incident.Change{ID: uuid.New(), Key: r.Key, Epoch: n.rules.epoch, Step: n.step})
		last++
	}
	n.changes[last].Fingerprints = append(n.changes[last].Fingerprints, r.Entry.Fingerprint)
}

func (n *renaming) step(st incident.State) (incident.Next, error) {
	var next incident.Next
	for _, e := range st.Entries {
		if was := e; e.Firing && e.Generation != n.rules.current.id {
			e.Generation = n.rules.current.id
			next.Entries = append(next.Entries, incident.EntryWrite{Entry: e, Was: was})
		}
	}
	return next, nil
}

// move makes the alert fire in its new place first, and then ends it in the
// old one: a kill between leaves it in both, and the next run ends it. If it
// ended in the old place meanwhile, it ends in the new one too. An alert that
// the current rules suppress has no new place. Done is false for one that
// changed since it was read.
func (p *Pipeline) move(ctx context.Context, rules *rules, r store.Record, to destination) (done bool, err error) {
	here := []store.Place{{Key: r.Key, Fingerprint: r.Entry.Fingerprint}}
	now, err := p.store.Entries(ctx, here)
	if err != nil || !now[0].Firing || now[0].Content != r.Entry.Content {
		return err == nil && !now[0].Firing, err
	}
	a := *r.Content
	a.Status, a.StartsAt, a.EndsAt, a.ReceivedAt, a.ValidUntil = alert.Firing, now[0].Start, time.Time{}, now[0].LastSeen, now[0].ValidUntil
	if to.class.SuppressedBy == "" {
		if err := p.put(ctx, rules, &a, to); err != nil {
			return false, err
		}
	}
	old := &dedupe.Batch{Place: dedupe.PlaceOf(r.Key), Policy: rules.policyOf(""), Events: []dedupe.Event{{Fingerprint: r.Entry.Fingerprint, Moved: true}}}
	err = p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: r.Key, Fingerprints: old.Fingerprints(), Epoch: rules.epoch, Step: old.Step}})
	if err != nil || old.Outcomes[0].Verdict == alert.ResolvedAlert || to.class.SuppressedBy != "" {
		return err == nil, err
	}
	left, err := p.store.Entries(ctx, here)
	if err != nil || !left[0].Exists() {
		return err == nil, err // gone: another process has moved it
	}
	a.Status, a.EndsAt, a.ReceivedAt, a.ValidUntil = alert.Resolved, left[0].End, left[0].EndSeen, time.Time{}
	err = p.put(ctx, rules, &a, to)
	return err == nil, err
}

// put commits one alert where the current generation puts it.
func (p *Pipeline) put(ctx context.Context, rules *rules, a *alert.Alert, to destination) error {
	b := &dedupe.Batch{Place: to.Place, Policy: rules.policyOf(to.Rule()), Events: []dedupe.Event{{Alert: a, Fingerprint: to.fp,
		Generation: rules.current.id, Content: to.content, Class: &to.class}}}
	return p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: to.Key, Fingerprints: b.Fingerprints(), Epoch: rules.epoch, Settled: b.Settled, Step: b.Step}})
}
