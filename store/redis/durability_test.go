package redis

import (
	"errors"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// replicated opens a Store whose answers wait for a replica.
func replicated(t *testing.T) (master, replica *redistest.Server, s *Store) {
	t.Helper()
	servers := redistest.Replicated(t, 1)
	s = another(t, servers[0].URL(), Options{Durability: Replicated})
	// Redis lets a replica that has just synced hear of writes at its next word only, which it says once a second.
	await(t, "the replica confirms", func() bool { return s.Check(t.Context()) == nil })
	return servers[0], servers[1], s
}

// TestReplicatedAnswers: what was answered is on the replica.
func TestReplicatedAnswers(t *testing.T) {
	t.Parallel()
	_, replica, s := replicated(t)
	key := keyNumber(1)
	names := s.names[key.Shard()]
	for n := range 20 {
		await(t, "the replica confirms", func() bool { return s.Update(t.Context(), []incident.Change{joining(n, key, n)}) == nil })
		fp := alertNumber(n)
		if replica.Do("HEXISTS", names.entries, string(key[:])+string(fp[:])) != "1" {
			t.Fatalf("change %d was answered and is not on the replica", n)
		}
		d := incident.Document{Type: "silence", ID: string(rune('a' + n)), Data: []byte(`{}`)}
		await(t, "the replica confirms", func() bool {
			_, err := s.PutDocument(t.Context(), d)
			return err == nil || errors.Is(err, incident.ErrConflict) // of a try that was not confirmed
		})
		if replica.Do("HEXISTS", s.shardOf(d.Type).documents(d.Type)[0], d.ID) != "1" {
			t.Fatalf("document %d was answered and is not on the replica", n)
		}
	}
}

// TestUnconfirmed: what the replica does not confirm is not answered, also if it
// was stored before, or is a repeat of what may get lost.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	master, replica, s := replicated(t)
	hasty := another(t, master.URL(), Options{Durability: Replicated, Timeout: confirmTime})
	key := keyNumber(1)
	await(t, "the replica confirms", func() bool { return s.Update(t.Context(), []incident.Change{joining(1, key, 1)}) == nil })
	replica.Pause()
	t.Cleanup(replica.Resume)
	change := joining(2, key, 2)
	wantUnavailable(t, "a change that the replica does not confirm", hasty.Update(t.Context(), []incident.Change{change}))
	wantUnavailable(t, "the same again, which the master has", hasty.Update(t.Context(), []incident.Change{change}))
	wantUnavailable(t, "a repeat of what only the master has", hasty.Update(t.Context(), []incident.Change{repeating(3, key, 2)}))
	wantUnavailable(t, "a check", hasty.Check(t.Context()))
	if _, err := hasty.PutDocument(t.Context(), incident.Document{Type: "silence", ID: "one", Data: []byte(`{}`)}); err == nil {
		t.Error("a document that the replica does not confirm was answered")
	}
	replica.Resume()
	await(t, "the replica confirms", func() bool { return s.Update(t.Context(), []incident.Change{change}) == nil })
	wantTook(t, s, key, 1, 2)
	fp := alertNumber(2)
	if replica.Do("HEXISTS", s.names[key.Shard()].entries, string(key[:])+string(fp[:])) != "1" {
		t.Error("the change is not on the replica")
	}
	audit(t, s)
}
