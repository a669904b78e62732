package redis

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// ear is a process that listens.
type ear struct {
	heard chan []incident.ID
	ended chan error
}

// listen has a process listen, and returns when it does.
func listen(t *testing.T, s *Store) (e *ear) {
	t.Helper()
	must(t, redistest.Retry(t, func() error {
		began, listening := make(chan struct{}, 8), &ear{make(chan []incident.ID, 8), make(chan error, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		t.Cleanup(func() { cancel(); <-done })
		go func() {
			defer close(done)
			listening.ended <- s.Listen(ctx, func() { began <- struct{}{} }, func(ids []incident.ID) { listening.heard <- ids })
		}()
		e = listening
		select {
		case <-began:
			return nil
		case err := <-e.ended:
			return err
		}
	}))
	return e
}

// next is what it hears next.
func (e *ear) next(t *testing.T) (ids []incident.ID) {
	t.Helper()
	select {
	case ids = <-e.heard:
	case err := <-e.ended:
		t.Fatalf("it does not listen any more: %v", err)
	}
	return ids
}

// TestAnnounce: what one process announces the other one hears, on every kind of
// Redis, and nobody hears himself.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) string{
		"one server":       func(t *testing.T) string { return redistest.Single(t).URL() + "?prefix=other" },
		"behind Sentinels": func(t *testing.T) string { return redistest.Sentinel(t, 1).Steady().URL() },
		"in a cluster":     func(t *testing.T) string { return redistest.Cluster(t, 3, 0).Steady().URL() },
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			a, b := another(t, url, Options{}), another(t, url, Options{})
			ofA, ofB := listen(t, a), listen(t, b)
			one, two := incident.ID(hashed("incident", 1)), incident.ID(hashed("incident", 2))
			must(t, a.Announce(t.Context(), []incident.ID{one, two}))
			if got := ofB.next(t); !slices.Equal(got, []incident.ID{one, two}) {
				t.Errorf("got %v, want both", got)
			}
			must(t, b.Announce(t.Context(), nil))
			if got := ofA.next(t); len(got) != 0 { // not its own, which came before
				t.Errorf("got %v, want none, which is all", got)
			}
		})
	}
}

// TestListenEnds with its context, and says so when the server is gone.
func TestListenEnds(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	e := listen(t, s)
	server.Kill()
	if err := <-e.ended; err == nil {
		t.Error("the server is gone, and Listen ended without an error")
	}
	server.Restart()
	e = listen(t, s)
	server.Pause() // it does not answer, and does not close the connection either
	if err := <-e.ended; err == nil {
		t.Error("the server hangs, and Listen ended without an error")
	}
	server.Resume()
	ctx, cancel := context.WithCancel(t.Context())
	if err := redistest.Retry(t, func() error { return s.Listen(ctx, cancel, nil) }); ctx.Err() == nil || err == nil {
		t.Errorf("got %v, want the end of the context", err)
	}
}

// TestAnnouncedIsHostile: what nobody of ours said is not understood.
func TestAnnouncedIsHostile(t *testing.T) {
	t.Parallel()
	s := &Store{caller: "12345678"}
	for _, message := range []string{"", "1", "12345678", "87654321x", strings.Repeat("x", 8+15)} {
		if ids, ok := s.announced(message); ok {
			t.Errorf("%q: got %v, want that it is not understood", message, ids)
		}
	}
	if ids, ok := s.announced("87654321" + strings.Repeat("a", 32)); !ok || len(ids) != 2 {
		t.Errorf("got %v, %v, want two ids", ids, ok)
	}
}

// TestMayNotListen: a user of before who may neither speak nor listen is told so,
// and works.
func TestMayNotListen(t *testing.T) {
	t.Parallel()
	for missing, rights := range map[string][]string{"publish": {"&tocsin:*", "-publish"}, "subscribe": {"&tocsin:*", "-subscribe"}, "channels": {"resetchannels"}} {
		t.Run(missing, func(t *testing.T) {
			server := redistest.Single(t)
			server.Do(append([]string{"ACL", "SETUSER", "old", "on", ">" + secretWord, "~tocsin:*", "+@all"}, rights...)...)
			r, err := examine(t, userURL(server, "old"), Options{Logger: logTo(t)})
			must(t, err)
			found := slices.ContainsFunc(r.Findings, func(f Finding) bool {
				return !f.Fatal && strings.Contains(f.Text, "gateways cannot tell each other") && strings.Contains(f.Text, "lacks a permission") && strings.Contains(f.Text, missing)
			})
			if !found || r.Fatal() > 0 {
				t.Errorf("got %v, want a warning", r.Findings)
			}
			s := another(t, userURL(server, "old"), Options{})
			must(t, s.Check(t.Context()))
			if missing == "subscribe" || missing == "channels" {
				if err := redistest.Retry(t, func() error { return s.Listen(t.Context(), nil, nil) }); err == nil || !strings.Contains(err.Error(), "lacks a permission") {
					t.Errorf("listen: got %v, want that it may not", err)
				}
			}
		})
	}
}
