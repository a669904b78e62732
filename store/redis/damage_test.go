package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// patient is a key with all that can be damaged.
type patient struct {
	key incident.Key
	i   *incident.Incident
	n   int // its alerts are 10n and 10n+1
}

// stored is one value.
type stored struct{ key, field string }

func (v stored) read(server *redistest.Server) string {
	if v.field == "" {
		return server.Do("GET", v.key)
	}
	return server.Do("HGET", v.key, v.field)
}

func (v stored) write(server *redistest.Server, value string) {
	if v.field == "" {
		server.Do("SET", v.key, value)
		return
	}
	server.Do("HSET", v.key, v.field, value)
}

// hospital is a store in which things get damaged. All is in one shard.
type hospital struct {
	*testing.T
	server *redistest.Server
	s      *Store
	n      int
}

const ward = 5

func (h *hospital) admit() *patient {
	h.Helper()
	h.n++
	p := &patient{key: inShard(ward, h.n), n: h.n}
	update(h, h.s, joining(100*h.n, p.key, 10*h.n, 10*h.n+1))
	update(h, h.s, arming(100*h.n+1, p.key, incident.Job{Subject: p.subject(), Kind: incident.JobExpiry, Due: testTime}))
	p.i = incidentOf(h, h.s, p.key)
	_, err := h.s.PutDocument(h.Context(), p.document())
	must(h, err)
	return p
}

func (p *patient) subject() string { return fmt.Sprint("subject ", p.n) }

func (p *patient) document() incident.Document {
	return incident.Document{Type: "silence", ID: fmt.Sprintf("id %03d", p.n), Data: []byte(`{"n":1}`)}
}

// visit does all that one can do with a patient. The errors are by what was done.
func (h *hospital) visit(p *patient) map[string]error {
	h.Helper()
	s, ctx, errs := h.s, h.Context(), map[string]error{}
	h.n++
	n := 100 * h.n
	do := func(name string, err error) {
		if err != nil {
			errs[name] = err
		}
	}
	s.cache.init() // so that all is read
	s.memory.init()
	_, err := s.Incident(ctx, p.i.ID.String())
	do("incident by id", err)
	_, err = s.Incident(ctx, p.i.Reference)
	do("incident by reference", err)
	_, err = s.References(ctx, []incident.ID{p.i.ID})
	do("references", err)
	_, _, err = s.Alerts(ctx, p.i.ID, "", 10)
	do("alerts", err)
	_, err = s.Timeline(ctx, p.i.ID, 0, 10)
	do("timeline", err)
	_, err = s.Entries(ctx, []store.Place{{Key: p.key, Fingerprint: alertNumber(10 * p.n)}})
	do("entries", err)
	_, _, err = s.KeyEntries(ctx, p.key, "", 10)
	do("entries of the key", err)
	_, err = s.Document(ctx, "silence", p.document().ID)
	do("document", err)
	do("repeat", s.Update(ctx, []incident.Change{repeating(n, p.key, 10*p.n)}))
	s.flush(ctx, true)
	do("update", s.Update(ctx, []incident.Change{joining(n+1, p.key, 10*p.n, 10*p.n+2)}))
	do("update, remembered", s.Update(ctx, []incident.Change{joining(n+2, p.key, 10*p.n+1)}))
	do("edit", s.Update(ctx, []incident.Change{editing(n+3, p.i.ID, func(e *incident.Edit) error { return e.Note("ann", "a note", testTime) })}))
	do("job", s.Update(ctx, []incident.Change{arming(n+4, p.key, incident.Job{Subject: p.subject(), Kind: incident.JobExpiry, Due: testTime})}))
	d, err := s.Document(ctx, "silence", p.document().ID)
	if err == nil {
		_, err = s.PutDocument(ctx, d)
	}
	do("change of the document", err)
	return errs
}

// TestDamage puts damaged values in place of good ones. Whoever needs one hears
// an error that names it, or gets what is left of it; nobody panics; and what
// stands beside it is as before.
func TestDamage(t *testing.T) {
	t.Parallel()
	names := newNames("tocsin", ward)
	for _, c := range []struct {
		name string
		of   func(p *patient) stored
		// words are what an error says of which value it is.
		words func(p *patient) []string
	}{
		{"a key", func(p *patient) stored { return stored{names.keys, string(p.key[:])} }, func(p *patient) []string { return []string{p.key.String()} }},
		{"an entry", func(p *patient) stored {
			fp := alertNumber(10 * p.n)
			return stored{names.entries, string(p.key[:]) + string(fp[:])}
		}, func(p *patient) []string { return []string{alertNumber(10 * p.n).String(), p.key.String()} }},
		{"what an alert said", func(p *patient) stored {
			fp := alertNumber(10 * p.n)
			return stored{names.contents, string(p.key[:]) + string(fp[:])}
		}, func(p *patient) []string { return []string{alertNumber(10 * p.n).String()} }},
		{"an incident", func(p *patient) stored { return stored{names.incidents, string(p.i.ID[:])} },
			func(p *patient) []string { return []string{p.i.ID.String(), p.i.Reference, p.key.String()} }},
		{"an entry of a timeline", func(p *patient) stored { return stored{names.timeline, string(timelineField(p.i.ID, 1))} },
			func(p *patient) []string { return []string{p.i.ID.String()} }},
		{"a reference", func(p *patient) stored { return stored{names.references, p.i.Reference} }, func(p *patient) []string { return []string{p.i.Reference, "not found"} }},
		{"the jobs of a subject", func(p *patient) stored { return stored{names.jobs, p.subject()} }, func(p *patient) []string { return []string{p.subject(), p.key.String()} }},
		{"a document", func(p *patient) stored {
			return stored{newNames("tocsin", documentShard()).documents("silence")[0], p.document().ID}
		},
			func(p *patient) []string { return []string{p.document().ID} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, s := alone(t, Options{})
			h := &hospital{T: t, server: server, s: s}
			sick, well := h.admit(), h.admit()
			if errs := h.visit(sick); len(errs) > 0 {
				t.Fatalf("before there is any damage: %v", errs)
			}
			value := c.of(sick)
			whole := value.read(server)
			if whole == "" {
				t.Fatalf("%q is not there", value)
			}
			all, kinds := map[string]bool{}, map[string]bool{}
			for _, damaged := range damages(whole) {
				value.write(server, damaged)
				for what, err := range h.visit(sick) {
					kinds[what] = true
					if !slices.ContainsFunc(c.words(sick), func(word string) bool { return strings.Contains(err.Error(), word) }) && !all[what] {
						all[what] = true
						t.Errorf("%s, with the value %.60q: the error %q does not name it, as %q would", what, damaged, err, c.words(sick))
					}
				}
				if errs := h.visit(well); len(errs) > 0 {
					t.Errorf("with the value %.60q: what stands beside it: %v", damaged, errs)
				}
				// Both in one call: one cannot be made, the other is.
				h.n++
				n := 100 * h.n
				err := s.Update(t.Context(), []incident.Change{joining(n, sick.key, 10*sick.n), joining(n, well.key, 10*well.n)})
				if err != nil && !slices.Contains(tookIn(t, s, well.key), took(n)) {
					t.Errorf("with the value %.60q: a change beside one that cannot be made was not made (%v)", damaged, err)
				}
				value.write(server, whole)
			}
			t.Logf("damage was seen by %v", kinds)
			if errs := h.visit(well); len(errs) > 0 {
				t.Errorf("afterwards: %v", errs)
			}
		})
	}
}

// documentShard is where documents of the type of these tests are.
func documentShard() byte {
	s := &Store{}
	for n := range s.names {
		s.names[n] = newNames("", byte(n))
	}
	return s.shardOf("silence").shard
}

// tookIn lists what took place in the incident of a key.
func tookIn(t *testing.T, s *Store, key incident.Key) (texts []string) {
	t.Helper()
	for _, e := range timelineOf(t, s, incidentOf(t, s, key)) {
		texts = append(texts, e.Text)
	}
	return texts
}

// TestDamagedJobs: jobs that cannot be read keep nobody else's from being done,
// and what is committed along with them is committed as a whole or not at all.
func TestDamagedJobs(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	names := newNames("tocsin", ward)
	due := func(subject string) incident.Job {
		return incident.Job{Subject: subject, Kind: incident.JobExpiry, Due: testTime}
	}
	sick, well := inShard(ward, 1), inShard(ward, 2)
	update(t, s, arming(1, sick, due("sick")))
	whole := server.Do("HGET", names.jobs, "sick")
	for n, damaged := range damages(whole) {
		server.Do("HSET", names.jobs, "sick", damaged)
		subject := fmt.Sprint("well ", n)
		update(t, s, arming(100+n, well, due(subject)))
		got, err := s.Claim(t.Context(), 10, time.Hour)
		if !slices.ContainsFunc(got, func(l store.Lease) bool { return l.Subject == subject }) {
			t.Errorf("with the value %.60q the jobs beside it are not claimed: got %+v, %v", damaged, got, err)
		}
		if _, err := s.Jobs(t.Context()); err != nil {
			t.Errorf("with the value %.60q the jobs are not counted: %v", damaged, err)
		}
		before := dump(t, s)
		c := joining(200+n, sick, n)
		step := c.Step
		c.Step = func(st incident.State) (incident.Next, error) {
			next, err := step(st)
			next.Jobs = append(next.Jobs, due("sick"))
			return next, err
		}
		if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
			wantSame(t, fmt.Sprintf("with the value %.60q a commit that was refused (%v)", damaged, err), before, dump(t, s))
		}
		if t.Failed() {
			return
		}
		server.Do("HSET", names.jobs, "sick", whole)
	}
	audit(t, s)
}

// TestDamagedLists: lists say which value is damaged, or leave it out.
func TestDamagedLists(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	h := &hospital{T: t, server: server, s: s}
	sick, well := h.admit(), h.admit()
	names := newNames("tocsin", ward)
	value := stored{names.incidents, string(sick.i.ID[:])}
	whole := value.read(server)
	for _, damaged := range damages(whole) {
		value.write(server, damaged)
		s.cache.init()
		list, _, err := s.Incidents(t.Context(), store.Query{Limit: 10})
		switch {
		case err != nil && !strings.Contains(err.Error(), sick.i.ID.String()):
			t.Errorf("with the value %.60q: the error %q does not name the incident %s", damaged, err, sick.i.ID)
		case err == nil && !slices.ContainsFunc(list, func(i *incident.Incident) bool { return i.ID == well.i.ID }):
			t.Errorf("with the value %.60q: the list lacks the other incident", damaged)
		}
		if t.Failed() {
			return
		}
	}
}
