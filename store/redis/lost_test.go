package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// throughProxy opens a Store whose answers can be lost, and another beside it.
// The server knows all scripts that the given calls use once they were made.
func throughProxy(t *testing.T, o Options) (proxy *redistest.Proxy, s, beside *Store) {
	t.Helper()
	server := redistest.Single(t)
	proxy = redistest.NewProxy(t, server.Addr)
	s, beside = another(t, proxy.URL(), o), another(t, server.URL(), Options{})
	for _, script := range []*script{scriptRead, scriptMore, scriptCommit, scriptRepeats, scriptClaim, scriptFinish, scriptList, scriptAlerts,
		scriptScan, scriptDocument, scriptDocuments, scriptSwap, scriptEpoch, scriptRemove} {
		server.Do("SCRIPT", "LOAD", script.text)
	}
	return proxy, s, beside
}

// losing runs do while the next answers to writing scripts are lost.
func losing(t *testing.T, proxy *redistest.Proxy, s *Store, answers int, do func()) {
	t.Helper()
	before := valueOf(t, s.metrics.retries)
	proxy.DropReplies(answers, "EVALSHA")
	do()
	if !proxy.Dropped() {
		t.Error("fewer answers were lost than were to be")
	}
	if got := valueOf(t, s.metrics.retries) - before; got < 1 {
		t.Errorf("%v calls were sent again, want at least 1", got)
	}
}

// naming remembers the incident that a change wrote.
func naming(c incident.Change, to **incident.Incident) incident.Change {
	step := c.Step
	c.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		if len(next.Incidents) > 0 {
			*to = next.Incidents[0]
		}
		return next, err
	}
	return c
}

func TestLostAnswersToCommits(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{1, 3} {
		t.Run(fmt.Sprintf("a commit whose answer was lost %d times counts once", lost), func(t *testing.T) {
			t.Parallel()
			proxy, s, beside := throughProxy(t, Options{})
			key := keyNumber(1)
			var opened, joined *incident.Incident
			losing(t, proxy, s, lost, func() { update(t, s, naming(joining(1, key, 1, 2), &opened)) })
			losing(t, proxy, s, lost, func() { update(t, s, naming(joining(2, key, 2, 3), &joined)) })
			for _, is := range []*Store{s, beside} {
				i := wantTook(t, is, key, 1, 2)
				if i.Version != 2 || i.Occurrences != 4 || i.Alerts.Total != 3 {
					t.Errorf("got version %d, %d occurrences, %d alerts; want 2, 4, 3", i.Version, i.Occurrences, i.Alerts.Total)
				}
				if opened.Reference != i.Reference || joined.Reference != i.Reference {
					t.Errorf("the steps' incidents are named %q and %q, the stored one %q", opened.Reference, joined.Reference, i.Reference)
				}
				if names, err := is.References(t.Context(), []incident.ID{i.ID}); err != nil || names[0] != i.Reference {
					t.Errorf("references: got %q, %v, want %q", names, err, i.Reference)
				}
			}
			update(t, s, joining(3, key, 3))
			wantTook(t, s, key, 1, 2, 3)
			audit(t, beside)
		})
	}
}

// TestLostAnswerToMany loses the answer to a pipeline of several keys.
func TestLostAnswerToMany(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	var changes []incident.Change
	for n := range 13 {
		changes = append(changes, joining(n, keyNumber(n), n, n+100))
	}
	losing(t, proxy, s, 1, func() { update(t, s, changes...) })
	for n := range 13 {
		wantTook(t, beside, keyNumber(n), n)
	}
	audit(t, beside)
}

// TestLostAnswerToGroup loses the answer to a commit of as many changes as one takes.
func TestLostAnswerToGroup(t *testing.T) {
	t.Parallel()
	p := &points{}
	proxy, s, beside := throughProxy(t, Options{Failpoint: p.hit})
	key := keyNumber(1)
	h := hold(t, s, p, joining(0, key, 0))
	done := make(chan error, folded)
	for n := 1; n <= folded; n++ {
		go func() { done <- s.Update(t.Context(), []incident.Change{joining(n, key, n)}) }()
	}
	await(t, "the others wait", func() bool { return queuing(s, key) == folded })
	p.at("after-commit", func() { proxy.DropReplies(1, "EVALSHA") }) // of the first: the next one is the group's
	losing(t, proxy, s, 0, func() {
		must(t, h.goOn())
		for range folded {
			must(t, <-done)
		}
	})
	wantTook(t, beside, key, numbers(0, folded+1)...)
	audit(t, beside)
}

// TestLostAnswerWhileOthersWrite: a commit is recognised however often another process
// has written since.
func TestLostAnswerWhileOthersWrite(t *testing.T) {
	t.Parallel()
	for _, others := range []int{1, idsKept, 200} {
		t.Run(fmt.Sprintf("%d other changes since", others), func(t *testing.T) {
			t.Parallel()
			p := &points{}
			proxy, s, beside := throughProxy(t, Options{Failpoint: p.hit})
			key := keyNumber(1)
			update(t, s, joining(0, key, 0))
			h := hold(t, s, p, joining(1, key, 1))
			proxy.Hold()
			done := make(chan error, 1)
			go func() { done <- h.goOn() }()
			await(t, "the server has the change", func() bool { e := entryOf(t, beside, key, 1); return e.Exists() })
			var changes []incident.Change // in few round trips: a server that is silent for a second is taken for away
			for n := range others {
				changes = append(changes, joining(2+n, key, 2+n))
			}
			update(t, beside, changes...)
			proxy.Reset()
			proxy.Release()
			must(t, <-done)
			if valueOf(t, s.metrics.retries) == 0 {
				t.Error("the change was not sent again")
			}
			wantTook(t, beside, key, numbers(0, 2+others)...)
			audit(t, beside)
		})
	}
}

// TestLostAnswersToReads: reads change nothing, however often they are sent.
func TestLostAnswersToReads(t *testing.T) {
	t.Parallel()
	proxy, s, _ := throughProxy(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	i := incidentOf(t, s, key)
	before := dump(t, s)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"an incident", func() error { _, err := s.Incident(t.Context(), i.Reference); return err }},
		{"a list", func() error { _, _, err := s.Incidents(t.Context(), store.Query{Limit: 10}); return err }},
		{"alerts", func() error { _, _, err := s.Alerts(t.Context(), i.ID, "", 10); return err }},
		{"a timeline", func() error { _, err := s.Timeline(t.Context(), i.ID, 0, 10); return err }},
		{"entries", func() error {
			_, _, err := s.KeyEntries(t.Context(), key, "", 10)
			return err
		}},
		{"statistics", func() error { _, err := s.Statistics(t.Context()); return err }},
		{"jobs", func() error { _, err := s.Jobs(t.Context()); return err }},
		{"documents", func() error { _, err := s.Documents(t.Context(), "silence", "", 10); return err }},
	} {
		proxy.DropReplies(1)
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !proxy.Dropped() {
			t.Errorf("%s: no answer was lost", c.name)
		}
	}
	wantSame(t, "reading", before, dump(t, s))
}

func TestLostAnswersToDocuments(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	d := incident.Document{Type: "silence", ID: "one", Data: []byte(`{"n":1}`)}
	put := func(version uint64, data string, want uint64) {
		t.Helper()
		d.Version, d.Data = version, nil
		if data != "" {
			d.Data = []byte(data)
		}
		losing(t, proxy, s, 1, func() {
			if got, err := s.PutDocument(t.Context(), d); err != nil || got != want {
				t.Errorf("put %s over version %d: got version %d, %v, want %d", data, version, got, err, want)
			}
		})
		got, err := beside.Document(t.Context(), d.Type, d.ID)
		if data == "" {
			if !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("a document that was deleted: got %s, %v", got.Data, err)
			}
			return
		}
		if err != nil || string(got.Data) != data || got.Version != want {
			t.Errorf("got %s in version %d, %v; want %s in version %d", got.Data, got.Version, err, data, want)
		}
	}
	put(0, `{"n":1}`, 1)
	put(1, `{"n":2}`, 2)
	put(2, "", 2)
	put(0, `{"n":3}`, 1)
	// A conflict stays one.
	d.Version, d.Data = 0, []byte(`{"n":4}`)
	losing(t, proxy, s, 1, func() {
		if _, err := s.PutDocument(t.Context(), d); !errors.Is(err, incident.ErrConflict) {
			t.Errorf("a document that exists: got %v, want %v", err, incident.ErrConflict)
		}
	})
}

func TestLostAnswersToJobs(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	job := func(n int) incident.Job {
		return incident.Job{Subject: fmt.Sprint("subject ", n), Kind: incident.JobExpiry, Due: s.Now().Add(-time.Minute)}
	}
	update(t, s, arming(1, keyNumber(1), job(1), job(2)))
	var leases []store.Lease
	losing(t, proxy, s, 1, func() {
		var err error
		leases, err = s.Claim(t.Context(), 10, time.Hour)
		must(t, err)
	})
	if len(leases) != 2 || leases[0].Attempts != 1 || leases[1].Attempts != 1 {
		t.Fatalf("claimed %+v, want two jobs for the first time", leases)
	}
	if others, err := beside.Claim(t.Context(), 10, time.Hour); err != nil || len(others) != 0 {
		t.Errorf("another process claimed %+v, %v", others, err)
	}
	losing(t, proxy, s, 1, func() { must(t, s.Done(t.Context(), leases[0])) })
	again := s.Now().Add(-time.Second)
	losing(t, proxy, s, 1, func() { must(t, s.Retry(t.Context(), leases[1], again, "not yet")) })
	counts, err := beside.Jobs(t.Context())
	must(t, err)
	if len(counts) != 1 || counts[0].Count != 1 || counts[0].State != "due" {
		t.Errorf("got %+v, want the one job that comes again", counts)
	}
	others, err := beside.Claim(t.Context(), 10, time.Hour)
	must(t, err)
	if len(others) != 1 || others[0].Attempts != 2 || others[0].LastError != "not yet" || !others[0].Due.Equal(again) {
		t.Errorf("claimed %+v, want the job that was given back", others)
	}
}

// TestLostAnswerToAClaim that is sent again after somebody has armed the job, or disarmed it.
func TestLostAnswerToAClaim(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	n := s.names[keyNumber(1).Shard()]
	job := func(due time.Time) incident.Job {
		return incident.Job{Subject: "a", Kind: incident.JobExpiry, Due: due}
	}
	later := job(s.Now().Add(time.Hour))
	noLater := later
	noLater.NoLater = true
	for i, meanwhile := range []incident.Job{later, noLater, job(time.Time{})} {
		due := s.Now().Add(-time.Second)
		update(t, s, arming(3*i+1, keyNumber(1), job(due)))
		args := []any{appendTime(nil, s.Now()), appendTime(nil, s.Now().Add(time.Minute)), "a", incident.JobExpiry + "\x00", newToken()}
		got := map[string]store.Lease{}
		for ask := range 2 {
			c := &call{shard: n.shard, script: scriptClaim, keys: []string{n.jobs, n.due, n.statistics}, args: args}
			must(t, s.run(t.Context(), c))
			if ask == 0 {
				update(t, s, arming(3*i+2, keyNumber(1), meanwhile))
				continue
			}
			must(t, leases(c, got))
		}
		for _, l := range got {
			if l.Attempts != 1 || l.Due.IsZero() || meanwhile.NoLater && !l.Due.Equal(due) {
				t.Errorf("%d: got %+v", i, l)
			}
			must(t, s.Done(t.Context(), l))
		}
		if wanted := !meanwhile.Due.IsZero(); (len(got) == 1) != wanted {
			t.Errorf("%d: claimed %+v; somebody wants it: %t", i, got, wanted)
		}
		update(t, s, arming(3*i+3, keyNumber(1), job(time.Time{})))
	}
}

// TestLostAnswerToRepeats: as long as the Store sends the same call again it counts once.
func TestLostAnswerToRepeats(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1, 2))
	for n := range 5 {
		update(t, s, repeating(10+n, key, 1, 2))
	}
	losing(t, proxy, s, 2, func() { s.flush(t.Context(), true) })
	for _, is := range []*Store{s, beside} {
		if e := entryOf(t, is, key, 1); e.Count != 6 {
			t.Errorf("the alert came %d times, want 6", e.Count)
		}
	}
	if i := incidentOf(t, beside, key); i.Occurrences != 12 {
		t.Errorf("the incident has %d occurrences, want 12", i.Occurrences)
	}
	update(t, s, repeating(20, key, 1))
	s.flush(t.Context(), true)
	if e := entryOf(t, beside, key, 1); e.Count != 7 {
		t.Errorf("the alert came %d times, want 7", e.Count)
	}
	audit(t, beside)
}

func TestLostAnswersToRemove(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d answers are lost", lost), func(t *testing.T) {
			t.Parallel()
			proxy, s, beside := throughProxy(t, Options{})
			key := keyNumber(1)
			update(t, s, joining(1, key, 1, 2))
			update(t, s, ending(2, key, 1, 2))
			i := incidentOf(t, s, key)
			losing(t, proxy, s, lost, func() { must(t, s.Remove(t.Context(), i.ID)) })
			if _, err := beside.Incident(t.Context(), i.ID.String()); !errors.Is(err, incident.ErrNotFound) {
				t.Errorf("the removed incident: got %v", err)
			}
			audit(t, beside)
		})
	}
}

func TestLostAnswersToGenerations(t *testing.T) {
	t.Parallel()
	proxy, s, beside := throughProxy(t, Options{})
	for n := 1; n <= 3; n++ {
		g := store.Generation{ID: incident.Generation{byte(n)}, Text: fmt.Appendf(nil, "text %d", n)}
		var got store.Generations
		losing(t, proxy, s, n, func() {
			var err error
			got, err = s.SetGeneration(t.Context(), g)
			must(t, err)
		})
		is, err := beside.Generations(t.Context())
		must(t, err)
		if len(is.List) != 1 || is.Current() != g.ID || is.Epoch != got.Epoch {
			t.Errorf("got the list %v in epoch %d, want only %s in epoch %d", is.List, is.Epoch, g.ID, got.Epoch)
		}
		c := joining(n, keyNumber(n), n)
		c.Epoch = got.Epoch
		update(t, s, c)
		update(t, s, ending(10+n, keyNumber(n), n))
	}
}

// TestGivenUpAnswer: a change whose answer is lost until the time is over may
// have been made; sent again with the same id it counts once.
func TestGivenUpAnswer(t *testing.T) {
	t.Parallel()
	p := &points{}
	proxy, s, beside := throughProxy(t, Options{Failpoint: p.hit, downAfter: downAfter})
	key := keyNumber(1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it is refused after one
	defer cancel()
	p.at("before-commit", proxy.Hold)
	wantUnavailable(t, "an update that is not answered", s.Update(ctx, []incident.Change{joining(1, key, 1)}))
	proxy.Release()
	wantTook(t, beside, key, 1)
	await(t, "it takes updates again", func() bool { return s.Update(t.Context(), []incident.Change{joining(1, key, 1)}) == nil })
	update(t, beside, joining(1, key, 1))
	wantTook(t, beside, key, 1)
	audit(t, beside)
}
