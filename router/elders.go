package router

import (
	"context"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// spot is where one generation puts an alert, and what is known there.
type spot struct {
	elder *placer // nil for the current generation
	place dedupe.Place
	ev    dedupe.Event
	known incident.Entry
}

func (s *spot) at() store.Place {
	return store.Place{Key: s.place.Key, Fingerprint: s.ev.Fingerprint}
}

// placeWithElders puts alerts where an older generation has them, and all
// others where the current one says. It keeps the order of one alert's messages.
func (q *request) placeWithElders(ctx context.Context, todo []bool) error {
	elders := q.rules.elders
	spots := make([]spot, 0, len(q.alerts)*(1+len(elders)))
	var numbers []int
	for n := range q.alerts {
		if (todo == nil || todo[n]) && !q.settles(n) {
			numbers = append(numbers, n)
			spots = q.spots(spots, n)
		}
	}
	places := make([]store.Place, len(spots))
	for i := range spots {
		places[i] = spots[i].at()
	}
	entries, err := q.p.store.Entries(ctx, places)
	if err != nil {
		return err
	}
	for i := range spots {
		spots[i].known = entries[i]
	}
	now := q.p.store.Now()
	taken := map[store.Place]bool{} // where something of this request went under the current generation
	for i, n := range numbers {
		here := spots[i*(1+len(elders)):][:1+len(elders)]
		to := q.older(here, taken[here[0].at()], now)
		if to == nil {
			to = &here[0]
		}
		q.putAt(n, to)
		if to == &here[0] {
			taken[to.at()] = true
		}
		q.putElsewhere(n, here, to)
	}
	return nil
}

func (q *request) putAt(n int, s *spot) {
	if s.elder != nil && q.trace != nil {
		q.trace(n, Decision{Stage: "generation", Text: "known under the older configuration " + s.elder.id.String() + ", and stays there"})
	}
	q.put(n, s.place, s.ev)
}

// putElsewhere tells all other places where an alert fires: while it is moved,
// and after a kill in that moment, it fires in two, and ends in two.
func (q *request) putElsewhere(n int, spots []spot, to *spot) {
	done := []store.Place{to.at()}
	for i := range spots {
		if s := &spots[i]; s.known.Firing && !slices.Contains(done, s.at()) {
			done = append(done, s.at())
			q.putAt(n, s)
			if q.twice == nil {
				q.twice = map[int]twice{}
			}
			q.twice[n] = asked
		}
	}
}

// spots appends where the generations put the n-th alert, the current one first.
func (q *request) spots(spots []spot, n int) []spot {
	a := &q.alerts[n]
	place, ev := q.place(n)
	spots = append(spots, spot{place: place, ev: ev})
	for i := range q.rules.elders {
		e := &q.rules.elders[i]
		class, _ := e.classifier.Classify(a, nil)
		id := e.of(a.Source)
		fp := q.h.Fingerprint(id, a)
		spots = append(spots, spot{elder: e, place: e.correlator.Key(&q.h, a, &class, fp), ev: dedupe.Event{Alert: a, Fingerprint: fp, Generation: e.id,
			Class: &q.classes[n], Content: q.h.Content(id, a), KnownOnly: true}})
	}
	return spots
}

// older returns the spot of an older generation where the alert has to go: where
// it fires, or, unless it is known under the current generation as well, where
// it ended, if it is a late copy of what ended there.
func (q *request) older(spots []spot, taken bool, now time.Time) *spot {
	current := &spots[0]
	var found *spot
	for i := range spots[1:] {
		s := &spots[1+i]
		switch {
		case !s.known.Exists() || s.at() == current.at():
		case s.known.Firing:
			return s
		case found == nil && !taken && !current.known.Exists():
			ev := s.ev
			ev.Content = s.known.Content
			if v := q.rules.policyOf(s.place.Rule()).Judge(s.known, &ev, now).Verdict; v == alert.Duplicate || v == alert.Stale {
				found = s
			}
		}
	}
	return found
}
