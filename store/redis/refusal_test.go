package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// operation is something that a Store does with the server.
type operation struct {
	name string
	// do is given a number that is another one each time.
	do     func(t *testing.T, s *Store, n int) error
	writes bool
	// frees: it makes room, so it may be done when there is none.
	frees bool
}

// prepared makes a world in which all operations can be done: the key 1 has an
// incident, the key 2 one that can be removed, jobs are due.
func prepared(t *testing.T, s *Store) []operation {
	t.Helper()
	key := keyNumber(1)
	_, err := s.SetGeneration(t.Context(), store.Generation{ID: madeBy, Text: []byte("text")})
	must(t, err)
	update(t, s, joining(1, key, 1, 2))
	i := incidentOf(t, s, key)
	n := 100_000
	closed := func() incident.ID {
		n += 2
		update(t, s, joining(n, keyNumber(n), 1))
		update(t, s, ending(n+1, keyNumber(n), 1))
		return incidentOf(t, s, keyNumber(n)).ID
	}
	due := func(n int) incident.Job {
		return incident.Job{Subject: fmt.Sprint("subject ", n), Kind: incident.JobExpiry, Due: s.Now().Add(-time.Minute)}
	}
	for j := range 30 {
		update(t, s, arming(10_000+j, keyNumber(j), due(j)))
	}
	gone := []incident.ID{closed(), closed(), closed()}
	claimed, err := s.Claim(t.Context(), 10, time.Hour)
	must(t, err)
	version := uint64(0)
	return []operation{
		{name: "an update", writes: true, do: func(t *testing.T, s *Store, n int) error {
			return s.Update(t.Context(), []incident.Change{joining(n, key, n%20), joining(n+500_000, keyNumber(n), n)})
		}},
		{name: "the repeats", writes: true, do: func(t *testing.T, s *Store, n int) error {
			if err := s.Update(t.Context(), []incident.Change{repeating(n, key, 1, 2)}); err != nil {
				return err
			}
			s.flush(t.Context(), true)
			if len(s.repeats.Due(s.Now(), true)) > 0 {
				return fmt.Errorf("the repeats wait: %w", store.ErrUnavailable)
			}
			return nil
		}},
		{name: "a document", writes: true, do: func(t *testing.T, s *Store, n int) error {
			v, err := s.PutDocument(t.Context(), incident.Document{Type: "silence", ID: "one", Version: version, Data: fmt.Appendf(nil, `{"n":%d}`, n)})
			if err == nil {
				version = v
			}
			return err
		}},
		{name: "a generation", writes: true, do: func(t *testing.T, s *Store, n int) error {
			_, err := s.SetGeneration(t.Context(), store.Generation{ID: incident.Generation{byte(n), 1}, Text: []byte("text")})
			return err
		}},
		{name: "a claim", writes: true, frees: true, do: func(t *testing.T, s *Store, n int) error {
			got, err := s.Claim(t.Context(), 1, time.Hour)
			if err == nil && len(got) != 1 {
				err = fmt.Errorf("claimed %d jobs, want 1", len(got))
			}
			return err
		}},
		{name: "the end of a job", writes: true, frees: true, do: func(t *testing.T, s *Store, n int) error {
			err := s.Done(t.Context(), claimed[0])
			if err == nil {
				claimed = claimed[1:]
			}
			return err
		}},
		{name: "a removal", writes: true, frees: true, do: func(t *testing.T, s *Store, n int) error {
			err := s.Remove(t.Context(), gone[0])
			if err == nil {
				gone = gone[1:]
			}
			return err
		}},
		{name: "a check", writes: true, do: func(t *testing.T, s *Store, n int) error { return s.Check(t.Context()) }},
		{name: "an incident", do: func(t *testing.T, s *Store, n int) error {
			_, err := s.Incident(t.Context(), i.Reference)
			return err
		}},
		{name: "a list", do: func(t *testing.T, s *Store, n int) error {
			list, _, err := s.Incidents(t.Context(), store.Query{States: []string{incident.Open, incident.Resolved}, Limit: 10})
			if err == nil && len(list) == 0 {
				err = errors.New("the list is empty")
			}
			return err
		}},
		{name: "a list of alerts", do: func(t *testing.T, s *Store, n int) error {
			list, _, err := s.Alerts(t.Context(), i.ID, "", 10)
			if err == nil && len(list) < 2 {
				err = fmt.Errorf("%d alerts, want at least 2", len(list))
			}
			return err
		}},
		{name: "a timeline", do: func(t *testing.T, s *Store, n int) error {
			_, err := s.Timeline(t.Context(), i.ID, 0, 10)
			return err
		}},
		{name: "the entries of a key", do: func(t *testing.T, s *Store, n int) error {
			list, _, err := s.KeyEntries(t.Context(), key, "", 10)
			if err == nil && len(list) < 2 {
				err = fmt.Errorf("%d entries, want at least 2", len(list))
			}
			return err
		}},
		{name: "documents", do: func(t *testing.T, s *Store, n int) error {
			_, err := s.Documents(t.Context(), "silence", "", 10)
			return err
		}},
		{name: "statistics", do: func(t *testing.T, s *Store, n int) error {
			_, err := s.Statistics(t.Context())
			return err
		}},
	}
}

// TestScriptFlush: a server that has forgotten the scripts is told them again.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	all := prepared(t, s)
	for n, o := range all {
		before := valueOf(t, s.metrics.reloads)
		server.Do("SCRIPT", "FLUSH")
		if err := o.do(t, s, 1000+n); err != nil {
			t.Errorf("%s after SCRIPT FLUSH: %v", o.name, err)
		}
		if got := valueOf(t, s.metrics.reloads) - before; o.writes && o.name != "a check" && got == 0 {
			t.Errorf("%s after SCRIPT FLUSH told the server no script", o.name)
		}
	}
	audit(t, s)
}

// TestUnderLoad does to a server what makes calls fail, while several processes
// write: all that they write counts once.
func TestUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(server *redistest.Server, proxy *redistest.Proxy) error
	}{
		{"the server forgets its scripts", func(server *redistest.Server, _ *redistest.Proxy) error {
			_, err := server.DoErr("SCRIPT", "FLUSH")
			return err
		}},
		{"the server ends its connections", func(server *redistest.Server, _ *redistest.Proxy) error {
			_, err := server.DoErr("CLIENT", "KILL", "TYPE", "normal")
			return err
		}},
		{"connections break", func(_ *redistest.Server, proxy *redistest.Proxy) error {
			proxy.Reset()
			return nil
		}},
		{"answers get lost", func(_ *redistest.Server, proxy *redistest.Proxy) error {
			proxy.DropReplies(1)
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			proxy := redistest.NewProxy(t, server.Addr)
			stores := []*Store{another(t, proxy.URL(), Options{}), another(t, server.URL(), Options{})}
			const writers, each, keys = 4, 40, 3
			var next atomic.Int64
			var one sync.Mutex // what ends connections would end another's that does
			together(2*writers, func(worker int) {
				for range each {
					n := int(next.Add(1))
					if n%10 == 0 {
						one.Lock()
						if err := c.do(server, proxy); err != nil {
							t.Error(err)
						}
						one.Unlock()
					}
					send(t, stores[worker%2], joining(n, keyNumber(n%keys), n, 10_000+n%7))
				}
			})
			if got := valueOf(t, stores[0].metrics.retries); got == 0 {
				t.Error("nothing had to be sent again, so this showed nothing")
			}
			for k := range keys {
				var want []int
				for n := 1; n <= 2*writers*each; n++ {
					if n%keys == k {
						want = append(want, n)
					}
				}
				i := wantTook(t, stores[0], keyNumber(k), want...)
				if i.Version != uint64(len(want)) || i.Occurrences != uint64(2*len(want)) {
					t.Errorf("got version %d and %d occurrences, want %d and %d", i.Version, i.Occurrences, len(want), 2*len(want))
				}
			}
			audit(t, stores[1])
		})
	}
}

// TestRefusals has the server refuse to write: nothing is written in part, and
// when it takes writes again all goes on.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		begin, end []string
		says       string // unless it was tried again until the time was over
		frees      bool   // what makes room is done
	}{
		{name: "out of memory", begin: []string{"CONFIG", "SET", "maxmemory", "1"}, end: []string{"CONFIG", "SET", "maxmemory", "0"}, says: "OOM", frees: true},
		{name: "a replica", begin: []string{"REPLICAOF", "127.0.0.1", "1"}, end: []string{"REPLICAOF", "NO", "ONE"}},
		{name: "too few replicas", begin: []string{"CONFIG", "SET", "min-replicas-to-write", "1"}, end: []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		{name: "no permission", begin: []string{"ACL", "SETUSER", "default", "-@write"}, end: []string{"ACL", "SETUSER", "default", "+@all"}, says: "can't run this command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, s := alone(t, Options{})
			all := prepared(t, s)
			for n, o := range all { // once before, so that it is known to work
				must(t, o.do(t, s, 1000+n))
			}
			patient, hasty := another(t, server.URL(), Options{}), another(t, server.URL(), Options{Timeout: 300 * time.Millisecond})
			server.Do(c.begin...)
			for n, o := range all {
				before := dump(t, s)
				began := time.Now()
				refused, by := o.writes && !(o.frees && c.frees), patient
				if refused && c.says == "" {
					by = hasty
				}
				err := o.do(t, by, 2000+n)
				if !refused {
					if err != nil {
						t.Errorf("%s: %v", o.name, err)
					}
					continue
				}
				wantUnavailable(t, o.name, err)
				if took := time.Since(began); took > slack {
					t.Errorf("%s was refused after %s", o.name, took)
				}
				if err != nil && o.name != "the repeats" && o.name != "a check" && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: the error %q does not say %s", o.name, err, c.says)
				}
				wantSame(t, o.name, before, dump(t, s))
			}
			server.Do(c.end...)
			for n, o := range all {
				if err := o.do(t, s, 3000+n); err != nil {
					t.Errorf("%s, afterwards: %v", o.name, err)
				}
			}
			audit(t, s)
		})
	}
}

// TestPassing: what a server refuses for a moment only is tried again.
func TestPassing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		begin, end []string
	}{
		{"a replica that becomes the master", []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
		{"replicas that come back", []string{"CONFIG", "SET", "min-replicas-to-write", "1"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		{"somebody's script that takes long", nil, []string{"SCRIPT", "KILL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, s := alone(t, Options{})
			key := keyNumber(1)
			update(t, s, joining(1, key, 1))
			script := make(chan error, 1)
			if c.begin != nil {
				server.Do(c.begin...)
			} else {
				server.Do("CONFIG", "SET", "busy-reply-threshold", "1")
				go func() {
					_, err := server.DoErr("EVAL", "while true do end", "0")
					script <- err
				}()
				await(t, "the script runs", func() bool {
					_, err := server.DoErr("GET", "a")
					return err != nil && strings.HasPrefix(err.Error(), "BUSY")
				})
			}
			retries := valueOf(t, s.metrics.retries)
			done := make(chan error, 1)
			go func() { done <- s.Update(context.Background(), []incident.Change{joining(2, key, 2)}) }()
			await(t, "it is tried again", func() bool { return valueOf(t, s.metrics.retries) > retries+1 })
			server.Do(c.end...)
			must(t, <-done)
			if c.begin == nil && <-script == nil {
				t.Error("the script ended by itself")
			}
			wantTook(t, s, key, 1, 2)
			audit(t, s)
		})
	}
}

// TestRestart: a server that was killed and has what it had is gone on with.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t, "appendonly yes", "appendfsync always")
	s := another(t, server.URL(), Options{Timeout: 300 * time.Millisecond})
	key := keyNumber(1)
	acknowledged := []int{}
	for n := 1; n <= 20; n++ {
		if n == 10 {
			server.Kill()
			wantUnavailable(t, "an update while the server is away", s.Update(t.Context(), []incident.Change{joining(1000+n, key, 1)}))
			server.Restart()
		}
		await(t, "it takes updates", func() bool { return s.Update(t.Context(), []incident.Change{joining(n, key, n)}) == nil })
		acknowledged = append(acknowledged, n)
	}
	beside := another(t, server.URL(), Options{})
	i := incidentOf(t, beside, key)
	var texts []string
	for _, e := range timelineOf(t, beside, i) {
		texts = append(texts, e.Text)
	}
	for _, n := range acknowledged {
		if !slices.Contains(texts, took(n)) {
			t.Errorf("change %d was acknowledged and is lost", n)
		}
	}
	audit(t, beside)
}
