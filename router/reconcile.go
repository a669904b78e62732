package router

import (
	"context"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// eldersKept is how many older generations may live beside the current one.
const eldersKept = 3

// reconcile lets older generations die. A firing alert that the current one
// puts in the same place only takes its name. One that it puts elsewhere stays
// where it is until it resolves; if too many generations live, those of the
// oldest are moved. A generation without firing alerts is then forgotten.
func (p *Pipeline) reconcile(ctx context.Context) error {
	rules := p.rules.Load()
	oldest := map[incident.Generation]bool{}
	for i := 0; i < len(rules.elders)-eldersKept; i++ {
		oldest[rules.elders[i].id] = true
	}
	var behind store.Place
	for {
		records, err := p.store.ScanEntries(ctx, behind, entriesAtOnce)
		if err != nil {
			return err
		}
		for _, r := range records {
			behind = store.Place{Key: r.Key, Fingerprint: r.Entry.Fingerprint}
			if !r.Entry.Firing || r.Entry.Generation == rules.current.id || r.Content == nil {
				continue
			}
			if err := p.settle(ctx, rules, r, oldest[r.Entry.Generation]); err != nil {
				return err
			}
		}
		if len(records) < entriesAtOnce {
			break
		}
	}
	if _, err := p.store.SetGeneration(ctx, store.Generation{ID: rules.current.id, Text: rules.Identity.Text()}); err != nil {
		return err
	}
	return p.refresh(ctx)
}

// settle gives one alert the current generation's name, or moves it.
func (p *Pipeline) settle(ctx context.Context, rules *rules, r store.Record, move bool) error {
	h := p.hashers.Get().(*dedupe.Hasher)
	defer p.hashers.Put(h)
	a := r.Content
	class, _ := rules.current.classifier.Classify(a, nil)
	fp := h.Fingerprint(rules.current.of(a.Source), a)
	place := rules.current.correlator.Key(h, a, &class, fp)
	same := place.Key == r.Key && fp == r.Entry.Fingerprint
	if a.Flags&alert.FlagCut != 0 {
		same, move = false, false // its fingerprint is of more than was kept
	}
	switch {
	case same:
		return p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: r.Key, Fingerprints: []alert.Fingerprint{fp}, Epoch: rules.epoch,
			Step: func(st incident.State) (incident.Next, error) {
				e := st.Entries[0]
				if !e.Firing || e.Generation == rules.current.id {
					return incident.Next{}, nil
				}
				e.Generation = rules.current.id
				return incident.Next{Entries: []incident.EntryWrite{{Entry: e, Was: st.Entries[0]}}}, nil
			}}})
	case move && class.SuppressedBy == "":
		return p.move(ctx, rules, r, place, fp, class, h)
	}
	return nil
}

// move makes the alert fire in its new place first, and then ends it in the
// old one: a kill between leaves it in both, and the next run ends it.
func (p *Pipeline) move(ctx context.Context, rules *rules, r store.Record, place dedupe.Place, fp alert.Fingerprint, class incident.Classification, h *dedupe.Hasher) error {
	a := *r.Content
	a.Status, a.StartsAt, a.ReceivedAt, a.ValidUntil = alert.Firing, r.Entry.Start, r.Entry.LastSeen, r.Entry.ValidUntil
	b := &dedupe.Batch{Place: place, Policy: rules.policyOf(place.Rule()), Events: []dedupe.Event{{Alert: &a, Fingerprint: fp,
		Generation: rules.current.id, Content: h.Content(rules.current.of(a.Source), &a), Class: class}}}
	if err := p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: place.Key, Fingerprints: b.Fingerprints(), Epoch: rules.epoch, Settled: b.Settled, Step: b.Step}}); err != nil {
		return err
	}
	old := &dedupe.Batch{Place: dedupe.PlaceOf(r.Key), Policy: rules.policyOf(""), Events: []dedupe.Event{{Fingerprint: r.Entry.Fingerprint, Moved: true}}}
	return p.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: r.Key, Fingerprints: old.Fingerprints(), Epoch: rules.epoch, Step: old.Step}})
}
