package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// epochTries bounds how often a request is placed again because the list of
// generations changed under it.
const epochTries = 16

func (p *Pipeline) request(alerts []alert.Alert) *request {
	n := len(alerts)
	return &request{p: p, rules: p.rules.Load(), scratch: p.scratches.Get().(*scratch), alerts: alerts, outcomes: make([]alert.Outcome, n)}
}

// scratch is memory that requests use one after the other. What a batch is made
// of is no part of it: a store may run a step when its request has already failed.
type scratch struct {
	h dedupe.Hasher
	// keys are the places of the request's alerts, byKey says which of them a key
	// is, and puts are what belongs there.
	keys  []keyed
	byKey map[incident.Key]int
	puts  []put
	// references are the places of incidents in what the store is asked for, by name.
	references map[string]int
}

// keyed is a place and how many events it has.
type keyed struct {
	dedupe.Place
	events int
}

// put is an event of the n-th alert for one of the keys.
type put struct {
	n, key int
	ev     dedupe.Event
}

// scratchKept is how many events of a request are the most that a scratch is kept for.
const scratchKept = 1 << 12

func newScratch() *scratch {
	return &scratch{byKey: map[incident.Key]int{}, references: map[string]int{}}
}

// reset forgets everything, so that nothing of a request outlives it here.
func (s *scratch) reset() {
	clear(s.keys)
	clear(s.puts)
	s.keys, s.puts = s.keys[:0], s.puts[:0]
	clear(s.byKey)
	clear(s.references)
}

// release gives the scratch back, which is the last that is done with q.
func (q *request) release() {
	s := q.scratch
	q.scratch = nil
	if cap(s.puts) <= scratchKept {
		s.reset()
		q.p.scratches.Put(s)
	}
}

// request is one call of Accept on its way.
type request struct {
	p     *Pipeline
	rules *rules
	*scratch
	alerts   []alert.Alert
	outcomes []alert.Outcome
	classes  []incident.Classification
	// unknown are the alerts whose severity is the default; nil while there is none.
	unknown []bool
	batches []placed
	// where, if set, is filled with the place of each alert.
	where []store.Place
	// twice are the alerts that are in two places because they are being moved.
	twice map[int]twice
	// trace, if set, is told every decision about the n-th alert, incidents is
	// filled with what they would become, and nothing is committed.
	trace     func(n int, d Decision)
	incidents map[string]*incident.Incident
}

// twice says how far an alert is that is in two places.
type twice byte

const (
	once     twice = iota // it is in one place
	asked                 // no place has answered
	answered              // one has, and that will do
)

// placed are the events of one key, and which alerts they came from.
type placed struct {
	dedupe.Batch
	from []int
}

// accept places the alerts and commits them. What could not stay where an older
// generation had it, and all if the list of generations changed, is placed again.
func (q *request) accept(ctx context.Context) error {
	var todo []bool // nil is all
	for range epochTries {
		q.start()
		if err := q.placeAll(ctx, todo); err != nil {
			return err
		}
		again, err := q.update(ctx)
		switch {
		case errors.Is(err, store.ErrEpoch) && q.trace == nil:
			if err := q.p.refresh(ctx); err != nil {
				return err
			}
			q.rules = q.p.rules.Load()
			continue
		case err != nil:
			return err
		case again == nil:
			return q.name(ctx)
		}
		todo = again
	}
	return fmt.Errorf("router: the configuration changed %d times while a request was handled: %w", epochTries, store.ErrUnavailable)
}

// placeAll puts all alerts, or those that todo has, where they belong.
func (q *request) placeAll(ctx context.Context, todo []bool) error {
	if len(q.rules.elders) > 0 {
		return q.placeWithElders(ctx, todo)
	}
	for n := range q.alerts {
		if (todo == nil || todo[n]) && !q.settles(n) {
			place, ev := q.place(n)
			q.put(n, place, ev)
		}
	}
	return nil
}

// settles answers a message of which nothing is kept.
func (q *request) settles(n int) bool {
	if q.beat(n) {
		return true
	}
	if !q.alerts[n].Settles() {
		return false
	}
	q.outcomes[n] = alert.Outcome{Verdict: alert.Recorded}
	if q.trace != nil {
		q.trace(n, Decision{Stage: "dedupe", Text: "recorded: it is there to be known, and changes nothing"})
	}
	return true
}

func (q *request) start() {
	q.reset()
	q.batches, q.twice = nil, nil
	if q.classes == nil {
		q.classes = make([]incident.Classification, len(q.alerts))
	} else {
		q.classes = slices.Clone(q.classes) // the batches before refer to the old ones
	}
}

// place says where the current generation puts an alert.
func (q *request) place(n int) (dedupe.Place, dedupe.Event) {
	a, class := &q.alerts[n], &q.classes[n]
	c := &q.rules.current
	var known bool
	var hits []*atomic.Uint64
	if q.trace == nil { // what is only explained does not count
		hits = q.rules.classified
	}
	*class, known = q.rules.classifyCounted(a, q.tracer(n), hits)
	if !known {
		if q.unknown == nil {
			q.unknown = make([]bool, len(q.alerts))
		}
		q.unknown[n] = true
	}
	if after := q.rules.Sources[a.Source].ResolveAfter; after > 0 && a.Status == alert.Firing && a.ValidUntil.IsZero() {
		a.ValidUntil = a.ReceivedAt.Add(after)
	}
	id := c.of(a.Source)
	fp := q.h.Fingerprint(id, a)
	q.outcomes[n] = alert.Outcome{Fingerprint: fp}
	if class.SuppressedBy != "" {
		// It opens nothing. But if it fires here from before the rule came, it still does.
		q.outcomes[n].Verdict, q.outcomes[n].Reason = alert.Suppressed, "rule: "+class.SuppressedBy
	}
	ev := dedupe.Event{Alert: a, Fingerprint: fp, Generation: c.id, Class: class, KnownOnly: class.SuppressedBy != ""}
	place := c.correlator.Key(&q.h, a, class, fp)
	if counter := q.rules.correlated[place.Rule()]; counter != nil && q.trace == nil && class.SuppressedBy == "" {
		counter.Add(1)
	}
	ev.Content = q.h.Content(id, a)
	return place, ev
}

func (q *request) put(n int, place dedupe.Place, ev dedupe.Event) {
	key, ok := q.byKey[place.Key]
	if !ok {
		key = len(q.keys)
		q.byKey[place.Key] = key
		q.keys = append(q.keys, keyed{Place: place})
	}
	q.keys[key].events++
	q.puts = append(q.puts, put{n, key, ev})
	if q.where != nil {
		q.where[n] = store.Place{Key: place.Key, Fingerprint: ev.Fingerprint}
	}
	if q.trace != nil && ev.Class.SuppressedBy == "" {
		q.trace(n, Decision{Stage: "correlate", Rule: place.Rule(), Text: "key " + place.Key.String() + " by " + describe(place.By(ev.Alert, ev.Class))})
	}
}

// gather makes the batches of what was put, each with its events in the order
// in which they were put there.
func (q *request) gather() {
	n := len(q.puts)
	events, from, room := make([]dedupe.Event, n), make([]int, n), dedupe.NewRoom(n)
	q.batches = make([]placed, len(q.keys))
	for i := range q.batches {
		k, b := &q.keys[i], &q.batches[i]
		b.Place, b.Policy = k.Place, q.rules.policyOf(k.Rule())
		b.Events, events = events[:0:k.events], events[k.events:]
		b.from, from = from[:0:k.events], from[k.events:]
	}
	for i := range q.puts {
		p := &q.puts[i]
		b := &q.batches[p.key]
		p.ev.Alert = limited(p.ev.Alert) // only now: fingerprints are of the whole
		b.Events, b.from = append(b.Events, p.ev), append(b.from, p.n)
	}
	for i := range q.batches {
		room.For(&q.batches[i].Batch)
	}
}

func describe(by []alert.Label) string {
	if len(by) == 0 {
		return "the fingerprint"
	}
	text := ""
	for i, l := range by {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s=%q", l.Name, l.Value)
	}
	return text
}

func (q *request) tracer(n int) func(Decision) {
	if q.trace == nil {
		return nil
	}
	return func(d Decision) { q.trace(n, d) }
}

// update runs the batches through the store's door. Again are the alerts that
// do not belong where an older generation had them, nil if there are none.
func (q *request) update(ctx context.Context) (again []bool, err error) {
	if len(q.puts) == 0 {
		return nil, nil
	}
	q.gather()
	changes := make([]incident.Change, len(q.batches))
	base := uuid.New()
	for n := range q.batches {
		b := &q.batches[n]
		changes[n] = incident.Change{ID: changeID(base, b.Place.Key), Key: b.Place.Key, Fingerprints: b.Fingerprints(), Epoch: q.rules.epoch,
			Settled: b.Settled, Step: b.Step, Preview: q.trace != nil}
		if q.trace != nil {
			changes[n].Step = q.watch(b.Step)
		}
	}
	if err := q.p.store.Update(ctx, changes); err != nil {
		return nil, err
	}
	var last incident.ID
	var lastName string
	name := func(id incident.ID) string { // most alerts of a key go to one incident
		if id != last {
			last, lastName = id, id.String()
		}
		if id.IsZero() {
			return ""
		}
		return lastName
	}
	for k := range q.batches {
		b := &q.batches[k]
		q.p.countDuties(b.Duties)
		for i, o := range b.Outcomes {
			n := b.from[i]
			switch {
			case q.twice[n] == answered: // it has its answer from its other place
			case !o.Bounced:
				if q.twice[n] != once {
					q.twice[n] = answered
				}
				q.outcomes[n] = alert.Outcome{Fingerprint: b.Events[i].Fingerprint, Verdict: o.Verdict}
				q.outcomes[n].Incident = name(o.Incident)
			case b.Events[i].Generation != q.rules.current.id:
				if again == nil {
					again = make([]bool, len(q.alerts))
				}
				again[n] = true
			}
			if q.trace != nil && !o.Bounced {
				q.trace(n, Decision{Stage: "dedupe", Text: explainVerdict[o.Verdict]})
			}
		}
	}
	for n, state := range q.twice {
		if again != nil && state == answered {
			again[n] = false // it belongs to the other place
		}
	}
	return again, nil
}

// limited returns what is kept of a. The whole stays as it is, because the
// request may have to be placed again, with fingerprints that are of the whole.
func limited(a *alert.Alert) *alert.Alert {
	if alert.WithinLimits(a) {
		return a
	}
	c := *a
	alert.Limit(&c)
	return &c
}

// watch remembers the incidents that a step makes.
func (q *request) watch(step func(incident.State) (incident.Next, error)) func(incident.State) (incident.Next, error) {
	return func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		for _, i := range next.Incidents {
			q.incidents[i.ID.String()] = i
		}
		return next, err
	}
}

// changeID makes the changes of one request different from each other.
func changeID(base uuid.UUID, k incident.Key) [16]byte {
	for i := range base {
		base[i] ^= k[i]
	}
	return base
}

// explainVerdict says why, in a few words.
var explainVerdict = map[alert.Verdict]string{
	alert.Opened: "opened: fires, and its key has no open incident", alert.Joined: "joined: its key has an open incident",
	alert.Updated: "updated: known and firing, but its content changed", alert.Reopened: "reopened: fires again within the reopen window",
	alert.ResolvedAlert: "resolved: it was firing", alert.Duplicate: "duplicate: known, nothing new", alert.Stale: "stale: a later state is known",
	alert.Recorded: "recorded: said in the timeline of its incident, if there is one; opens nothing", alert.Acknowledged: "acknowledged: a person says so at the source", alert.Held: "held: the threshold of its rule is not reached",
}

// name fills in the references of the incidents.
func (q *request) name(ctx context.Context) error {
	index := q.references
	var ids []incident.ID
	last := ""
	for i := range q.outcomes {
		name := q.outcomes[i].Incident
		if name == last || name == "" {
			continue
		}
		last = name
		if _, ok := index[name]; ok {
			continue
		}
		id, err := incident.ParseID(name)
		if err != nil {
			return err // unreachable: we made it
		}
		index[name] = len(ids)
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	if q.trace != nil {
		return nil // an incident that does not exist has no reference
	}
	references, err := q.p.store.References(ctx, ids)
	if err != nil {
		return err
	}
	for i := range q.outcomes {
		if name := q.outcomes[i].Incident; name != "" {
			q.outcomes[i].Reference = references[index[name]]
		}
	}
	return nil
}

func (q *request) count(source string) {
	for _, unknown := range q.unknown {
		if unknown {
			q.p.metrics.unknownSeverity.WithLabelValues(source).Inc()
		}
	}
}
