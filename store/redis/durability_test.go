package redis

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// replicated opens a Store whose answers wait for a replica.
func replicated(t *testing.T) (master, replica *redistest.Server, s *Store) {
	t.Helper()
	servers := redistest.Replicated(t, 1)
	var err error
	await(t, "the replica confirms", func() bool { // it does only after its first word of the second
		s, err = Open(t.Context(), servers[0].URL(), Options{Durability: Replicated, Timeout: unhurried, Logger: logTo(t)})
		return err == nil
	})
	t.Cleanup(func() {
		s.opts.Timeout = time.Second
		_ = s.Close() // again, if the test has done it
	})
	return servers[0], servers[1], s
}

// TestReplicatedAnswers: what was answered is on the replica.
func TestReplicatedAnswers(t *testing.T) {
	t.Parallel()
	_, replica, s := replicated(t)
	key := keyNumber(1)
	names := s.names[key.Shard()]
	for n := range 20 {
		update(t, s, joining(n, key, n))
		fp := alertNumber(n)
		if replica.Do("HEXISTS", names.entries, string(key[:])+string(fp[:])) != "1" {
			t.Fatalf("change %d was answered and is not on the replica", n)
		}
		d := incident.Document{Type: "silence", ID: string(rune('a' + n)), Data: []byte(`{}`)}
		_, err := s.PutDocument(t.Context(), d)
		must(t, err)
		if replica.Do("HEXISTS", s.shardOf(d.Type).documents(d.Type)[0], d.ID) != "1" {
			t.Fatalf("document %d was answered and is not on the replica", n)
		}
	}
}

// TestUnconfirmed: what the replica does not confirm is not answered, also if it
// was stored before, or is a repeat of what may get lost.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	_, replica, s := replicated(t)
	key := keyNumber(1)
	update(t, s, joining(1, key, 1))
	s.opts.Timeout = time.Second
	replica.Pause()
	t.Cleanup(replica.Resume)
	change := joining(2, key, 2)
	wantUnavailable(t, "a change that the replica does not confirm", s.Update(t.Context(), []incident.Change{change}))
	wantUnavailable(t, "the same again, which the master has", s.Update(t.Context(), []incident.Change{change}))
	wantUnavailable(t, "a repeat of what only the master has", s.Update(t.Context(), []incident.Change{repeating(3, key, 2)}))
	wantUnavailable(t, "a check", s.Check(t.Context()))
	if _, err := s.PutDocument(t.Context(), incident.Document{Type: "silence", ID: "one", Data: []byte(`{}`)}); err == nil {
		t.Error("a document that the replica does not confirm was answered")
	}
	replica.Resume()
	s.opts.Timeout = unhurried
	await(t, "the replica confirms", func() bool { return s.Check(t.Context()) == nil })
	update(t, s, change)
	wantTook(t, s, key, 1, 2)
	fp := alertNumber(2)
	if replica.Do("HEXISTS", s.names[key.Shard()].entries, string(key[:])+string(fp[:])) != "1" {
		t.Error("the change is not on the replica")
	}
	audit(t, s)
}
