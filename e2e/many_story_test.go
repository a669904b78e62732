package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// story is what really happened to one alert: facts in their order, each of
// which its senders tell to some of the gateways.
type story struct {
	pod, service, zone string
	facts              []*fact
}

// fact is one message about an alert.
type fact struct {
	of       *story
	kind     event
	status   string
	revision int
	starts   time.Time
	ends     time.Time // zero while it fires

	mu       sync.Mutex
	verdicts []string // of those that were told, guarded by mu
}

// newStories makes up what happened to n alerts of a few services: so few that
// the gateways collide, and in most seeds enough that incidents resolve while
// others go on. It is an hour ago, and no two times of an alert are equal.
func newStories(random *rand.Rand, n int, prefix string) []*story {
	all := make([]*story, n)
	services := 3 + random.IntN(12)
	began := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range all {
		s := &story{pod: fmt.Sprintf("%s-%d", prefix, i), service: prefix + "-service-" + strconv.Itoa(random.IntN(services)),
			zone: "zone-" + strconv.Itoa(random.IntN(3))}
		now := fact{of: s, revision: random.IntN(2)}
		at := began
		add := func(kind event) {
			at = at.Add(time.Duration(1+random.IntN(5000)) * time.Millisecond)
			now.kind = kind
			switch kind {
			case fresh, refired:
				now.status, now.starts, now.ends = "firing", at, time.Time{}
			case updated:
				now.revision++
			case resolved:
				now.status, now.ends = "resolved", at
			}
			s.facts = append(s.facts, &fact{of: s, kind: kind, status: now.status, revision: now.revision, starts: now.starts, ends: now.ends})
		}
		episodes := 1 + random.IntN(3)
		for e := range episodes {
			add([]event{fresh, refired}[min(e, 1)])
			for range random.IntN(4) {
				add([]event{repeated, updated}[random.IntN(2)])
			}
			if e == episodes-1 && random.IntN(2) == 0 {
				break
			}
			add(resolved)
			if random.IntN(3) == 0 {
				add(repeatedAfter)
			}
		}
		all[i] = s
	}
	return all
}

// told is what the gateways know when they know the whole story.
func (s *story) told() Told {
	last := s.facts[len(s.facts)-1]
	return Told{Pod: s.pod, Service: s.service, Status: last.status, Revision: last.revision, StartsAt: last.starts}
}

// end adds the end of what still fires, nil if nothing does.
func (s *story) end() *fact {
	last := s.facts[len(s.facts)-1]
	if last.status != "firing" {
		return nil
	}
	f := &fact{of: s, kind: resolved, status: "resolved", revision: last.revision, starts: last.starts, ends: last.starts.Add(20 * time.Minute)}
	s.facts = append(s.facts, f)
	return f
}

// delivery is one request to one member.
type delivery struct {
	to    *member
	facts []*fact
}

// body is the request as Alertmanager sends it.
func (d *delivery) body() ([]byte, error) {
	alerts := make([]wireAlert, len(d.facts))
	for i, f := range d.facts {
		alerts[i] = wireAlert{Status: f.status, StartsAt: f.starts.UTC(), EndsAt: f.ends.UTC(),
			Labels:      map[string]string{"alertname": "ManyTest", "cluster": "e2e", "severity": "critical", "service": f.of.service, "zone": f.of.zone, "pod": f.of.pod},
			Annotations: map[string]string{"summary": "told to many gateways", "revision": strconv.Itoa(f.revision)},
		}
	}
	empty := map[string]string{}
	return json.Marshal(map[string]any{"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "tocsin",
		"groupLabels": empty, "commonLabels": empty, "commonAnnotations": empty, "externalURL": "http://alertmanager.example.net:9093", "alerts": alerts})
}

// teller tells facts to the gateways of a fleet.
type teller struct {
	fleet  fleet
	random *rand.Rand
	// patient: what got no answer is told again, to any of them, as is what was refused.
	patient bool
	// refused is how often that was, of which some may have been done nevertheless.
	refused atomic.Int64
}

// copies returns 1 to 4 different members.
func (t *teller) copies() []*member {
	all := make([]*member, 0, len(t.fleet))
	for _, i := range t.random.Perm(len(t.fleet))[:1+t.random.IntN(len(t.fleet))] {
		all = append(all, t.fleet[i])
	}
	return all
}

// pack puts the facts for each member into requests, in the order in which they are.
func (t *teller) pack(facts map[*member][]*fact, most int) []delivery {
	var all []delivery
	for _, m := range t.fleet {
		for rest := facts[m]; len(rest) > 0; {
			n := 1 + t.random.IntN(min(most, len(rest)))
			all = append(all, delivery{m, rest[:n]})
			rest = rest[n:]
		}
	}
	return all
}

// round tells each of the facts to some members, all at once, and returns when
// all were taken. The facts are about different alerts.
func (t *teller) round(ctx context.Context, facts []*fact) error {
	byMember := map[*member][]*fact{}
	for _, i := range t.random.Perm(len(facts)) {
		for _, m := range t.copies() {
			byMember[m] = append(byMember[m], facts[i])
		}
	}
	deliveries := t.pack(byMember, 12)
	errs := make([]error, len(deliveries))
	var group sync.WaitGroup
	for i := range deliveries {
		random := rand.New(rand.NewPCG(t.random.Uint64(), 0))
		group.Go(func() { errs[i] = t.deliver(ctx, random, &deliveries[i]) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// inOrder tells the stories so that the facts about one alert come in their
// order: each is taken by all who hear it before the next is told. Between is called
// after each round.
func (t *teller) inOrder(ctx context.Context, stories []*story, between func(round int) error) error {
	next := make([]int, len(stories))
	for round := 0; ; round++ {
		var facts []*fact
		over := true
		for i, s := range stories {
			if next[i] == len(s.facts) {
				continue
			}
			over = false
			if t.random.IntN(3) > 0 {
				facts = append(facts, s.facts[next[i]])
				next[i]++
			}
		}
		if over {
			return nil
		}
		if err := t.round(ctx, facts); err != nil {
			return err
		}
		if err := between(round); err != nil {
			return err
		}
	}
}

// anyOrder tells all facts of all stories in a random order, over several
// connections to each member.
func (t *teller) anyOrder(ctx context.Context, stories []*story) error {
	byMember := map[*member][]*fact{}
	var all []*fact
	for _, s := range stories {
		all = append(all, s.facts...)
	}
	for _, f := range all {
		for _, m := range t.copies() {
			byMember[m] = append(byMember[m], f)
		}
	}
	for _, m := range t.fleet {
		t.random.Shuffle(len(byMember[m]), func(i, j int) { byMember[m][i], byMember[m][j] = byMember[m][j], byMember[m][i] })
	}
	deliveries := t.pack(byMember, 12)
	t.random.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	const connections = 12
	errs := make([]error, connections)
	var group sync.WaitGroup
	for c := range connections {
		random := rand.New(rand.NewPCG(t.random.Uint64(), 0))
		group.Go(func() {
			for i := c; i < len(deliveries) && errs[c] == nil; i += connections {
				errs[c] = t.deliver(ctx, random, &deliveries[i])
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// deliver sends a request until it is taken.
func (t *teller) deliver(ctx context.Context, random *rand.Rand, d *delivery) error {
	body, err := d.body()
	if err != nil {
		return err
	}
	for to := d.to; ; to = t.fleet[random.IntN(len(t.fleet))] {
		results, again, err := to.post(ctx, "alertmanager", body, len(d.facts))
		switch {
		case err == nil:
			for i, r := range results {
				f := d.facts[i]
				f.mu.Lock()
				f.verdicts = append(f.verdicts, r.Verdict)
				f.mu.Unlock()
			}
			return nil
		case errors.Is(err, errRefused) && ctx.Err() == nil:
			t.refused.Add(1)
		case !again || !t.patient || ctx.Err() != nil:
			return err
		}
		if err := pause(ctx, time.Duration(5+random.IntN(40))*time.Millisecond); err != nil {
			return err
		}
	}
}

// news are the verdicts of which exactly one who was told of a fact must give
// one, when all were told what came before; to everybody else it is a duplicate.
var news = [...][]string{
	fresh:   {"opened", "joined", "reopened"},
	updated: {"updated"}, resolved: {"resolved"}, repeated: nil, repeatedAfter: nil,
	refired: {"opened", "joined", "reopened"},
}

// circumstances are what happens while a fleet is told.
type circumstances struct {
	// kills: who did what was to be done may not have said so, as when some were refused.
	kills bool
	// reloads: a request of which some keys were committed before the list of
	// generations changed is placed again, and these are duplicates then. And the end
	// of an alert may come again when the generation under which it ended is
	// forgotten: it is recorded.
	reloads bool
}

// surprises are facts that were news to none, or to more than one.
func (c circumstances) surprises(stories []*story) (found []string) {
	for _, s := range stories {
		for n, f := range s.facts {
			got, want, other := 0, min(1, len(news[f.kind])), false
			for _, v := range f.verdicts {
				switch {
				case slices.Contains(news[f.kind], v):
					got++
				case v != "duplicate" && !(c.reloads && v == "recorded" && f.status == "resolved"):
					other = true
				}
			}
			if other || got != want && !((c.kills || c.reloads) && got == 0) {
				found = append(found, fmt.Sprintf("%s (fact %d) of %s was answered %q, want one of %q once and duplicate to the others", eventNames[f.kind], n+1, s.pod, f.verdicts, news[f.kind]))
			}
		}
	}
	return found
}
