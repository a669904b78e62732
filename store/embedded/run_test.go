package embedded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// running opens a store in the bubble of synctest and lets it Run until the test ends.
func running(t *testing.T, url string, o Options) *Store {
	t.Helper()
	s := mustOpen(t, url, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		mustClose(t, s)
	})
	return s
}

// storedCount is how many messages of a numbered alert the engine knows of.
func storedCount(t *testing.T, s *Store, n int) uint64 {
	t.Helper()
	var buf []byte
	e, err := s.entry(&buf, rowEntry, sum("key", n%keys), sum("alert", n))
	if err != nil {
		t.Fatal(err)
	}
	return e.Count
}

// TestRepeatsAreStored: after 30 s, or when half of the validity is over.
func TestRepeatsAreStored(t *testing.T) {
	for _, c := range []struct {
		name     string
		validity time.Duration
		before   time.Duration
	}{{"no validity", 0, 29 * time.Second}, {"a long one", time.Hour, 29 * time.Second}, {"a short one", 20 * time.Second, 9 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				s := running(t, "mem:", Options{})
				first := numbered(0)
				step := first.Step
				first.Step = func(st incident.State) (incident.Next, error) {
					next, err := step(st)
					if c.validity > 0 {
						next.Entries[0].Entry.ValidUntil = st.Now.Add(c.validity)
					}
					return next, err
				}
				if err := s.Update(t.Context(), []incident.Change{first}); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					repeat := incident.Change{ID: sum("repeat", 1), Key: first.Key, Fingerprints: first.Fingerprints,
						Settled: func(now time.Time, e []incident.Entry) ([]incident.Patch, bool) {
							return []incident.Patch{{Count: 1, LastSeen: now, ValidUntil: e[0].ValidUntil}}, true
						}}
					if err := s.Update(t.Context(), []incident.Change{repeat}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(c.before)
				synctest.Wait()
				if got := storedCount(t, s, 0); got != 1 {
					t.Errorf("after %s: %d messages are stored, want 1", c.before, got)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := storedCount(t, s, 0); got != 4 {
					t.Errorf("after %s: %d messages are stored, want 4", c.before+2*time.Second, got)
				}
				list, _, err := s.Incidents(t.Context(), store.Query{Limit: 1})
				if err != nil || list[0].Occurrences != 4 || list[0].Version != 1 {
					t.Errorf("the incident: got %+v, %v; want 4 occurrences in version 1", list[0], err)
				}
			})
		})
	}
}

// TestRunOpensAgain: after a failure of the disk nobody has to do anything.
func TestRunOpensAgain(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFaulty()
		s := running(t, "file:store", Options{FS: f.fs, Exit: stays(t)})
		since := s.ListeningSince()
		time.Sleep(time.Minute)
		f.breaks(func(op errorfs.Op) bool { return isLog(op) && isSync(op) })
		if err := s.Update(t.Context(), []incident.Change{numbered(1)}); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v, want ErrUnavailable", err)
		}
		for range 5 {
			time.Sleep(2 * time.Second)
			if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("the disk is still broken: got %v, want ErrUnavailable", err)
			}
		}
		f.heals()
		time.Sleep(3 * time.Second)
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("3 s after the disk was well again: %v", err)
		}
		if err := s.Update(t.Context(), []incident.Change{numbered(1)}); err != nil {
			t.Error(err)
		}
		if got := s.ListeningSince(); got.Sub(since) < time.Minute {
			t.Errorf("listening since %s, which was before the failure", got)
		}
	})
}

// TestHangingDisk: a check is answered in time even if the disk answers nothing.
func TestHangingDisk(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFaulty()
		s := mustOpen(t, "file:store", Options{FS: f.fs, Exit: stays(t)})
		well := make(chan struct{})
		f.breaks(func(op errorfs.Op) bool {
			if isLog(op) && isSync(op) {
				<-well
			}
			return false
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := s.Check(ctx); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %s, with 1 s to do it", took)
		}
		close(well)
		synctest.Wait()
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("the disk answers again: %v", err)
		}
		mustClose(t, s)
	})
}

// TestRepeatWaitsForItsOriginal: an alert that is only in memory yet is not
// acknowledged to whoever repeats it.
func TestRepeatWaitsForItsOriginal(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		f := newFaulty()
		s := mustOpen(t, "file:store", Options{FS: f.fs, Exit: stays(t)})
		well := make(chan struct{})
		f.breaks(func(op errorfs.Op) bool {
			if isLog(op) && isSync(op) {
				<-well
			}
			return false
		})
		c := numbered(0)
		answers := make(chan string, 10)
		update := func(name string, c incident.Change) {
			go func() {
				if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
					t.Error(err)
				}
				answers <- name
			}()
			synctest.Wait()
		}
		update("the original", c)
		settled := incident.Change{ID: sum("x", 1), Key: c.Key, Fingerprints: []alert.Fingerprint{c.Fingerprints[0]},
			Settled: func(now time.Time, e []incident.Entry) ([]incident.Patch, bool) {
				if !e[0].Firing {
					t.Error("the repeat does not see its original")
				}
				return []incident.Patch{{Count: 1, LastSeen: now}}, true
			}}
		update("a repeat", settled)
		update("the same again", c)
		settled.Settled = nil
		settled.ID = sum("x", 2)
		settled.Step = func(incident.State) (incident.Next, error) { return incident.Next{}, nil }
		update("a step that writes nothing", settled)
		if len(answers) > 0 {
			t.Errorf("%s was answered before the disk had it", <-answers)
		}
		close(well)
		synctest.Wait()
		if len(answers) != 4 {
			t.Errorf("%d of 4 were answered after the disk had it", len(answers))
		}
		mustClose(t, s)
	})
}
