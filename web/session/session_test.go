package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// documents are a store in memory.
type documents struct {
	mu   sync.Mutex
	all  map[string]incident.Document // by type/id
	err  error
	puts int
	// reads counts the readings; slow, if it is set, is called in each, before it answers.
	reads int
	slow  func()
}

func (d *documents) Now() time.Time { return time.Now() }

func (d *documents) Document(_ context.Context, typ, id string) (incident.Document, error) {
	d.mu.Lock()
	found, there := d.all[typ+"/"+id]
	err, slow := d.err, d.slow
	d.reads++
	d.mu.Unlock()
	if slow != nil {
		slow()
	}
	if err == nil && !there {
		err = incident.ErrNotFound
	}
	return found, err
}

func (d *documents) Documents(_ context.Context, typ, after string, limit int) ([]incident.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []incident.Document
	for _, key := range slices.Sorted(maps.Keys(d.all)) {
		if doc := d.all[key]; doc.Type == typ && doc.ID > after && len(out) < limit {
			out = append(out, doc)
		}
	}
	return out, d.err
}

func (d *documents) PutDocument(_ context.Context, n incident.Document) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := n.Type + "/" + n.ID
	switch {
	case d.err != nil:
		return 0, d.err
	case d.all[key].Version != n.Version:
		return 0, incident.ErrConflict
	case n.Data == nil:
		delete(d.all, key)
	default:
		n.Version++
		d.all[key] = n
	}
	d.puts++
	return n.Version, nil
}

func (d *documents) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func newSessions(t *testing.T) (*Sessions, *documents) {
	st := &documents{all: map[string]incident.Document{}}
	return New(st, time.Now, slog.New(slog.NewTextHandler(t.Output(), nil))), st
}

func begin(t *testing.T, s *Sessions) string {
	t.Helper()
	id, err := s.Begin(t.Context(), Session{Name: "ann", Role: "viewer", How: "local", Ref: "ann"}, "grant")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCache: a page costs no reading, and use is written down now and then.
func TestCache(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s, st := newSessions(t)
		id := begin(t, s)
		for range 100 {
			if n, err := s.Find(t.Context(), id); err != nil || n.Name != "ann" || !n.Proves(id, "grant") || n.Proves(id, "another") {
				t.Fatalf("got %+v, %v", n, err)
			}
		}
		if st.reads != 1 || st.puts != 1 {
			t.Errorf("100 requests: %d readings and %d writings, want 1 and that of the beginning", st.reads, st.puts)
		}
		for range 60 { // an hour
			time.Sleep(time.Minute)
			var wait sync.WaitGroup
			for range 5 {
				wait.Go(func() {
					if _, err := s.Find(t.Context(), id); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
		}
		if st.puts != 1+12 {
			t.Errorf("an hour of use: %d writings, want one each 5 minutes", st.puts-1)
		}
	})
}

// TestEndIsAtOnce, also for a reading that was under way.
func TestEndIsAtOnce(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s, st := newSessions(t)
		id := begin(t, s)
		read, goOn := make(chan struct{}), make(chan struct{})
		st.set(func() {
			st.slow = func() {
				st.set(func() { st.slow = nil })
				close(read)
				<-goOn
			}
		})
		late := make(chan error)
		go func() {
			_, err := s.Find(t.Context(), id)
			late <- err
		}()
		<-read
		if err := s.End(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if err := <-late; !errors.Is(err, ErrNone) {
			t.Errorf("a reading that was under way: got %v, want ErrNone", err)
		}
		for range 3 {
			if _, err := s.Find(t.Context(), id); !errors.Is(err, ErrNone) {
				t.Errorf("got %v, want ErrNone", err)
			}
			time.Sleep(time.Minute)
		}
		if len(st.all) != 0 {
			t.Errorf("got %d records, want none", len(st.all))
		}
		if err := s.End(t.Context(), id); err != nil {
			t.Errorf("ended twice: %v", err)
		}
	})
}

// TestStoreAway: who was signed in goes on, others wait.
func TestStoreAway(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s, st := newSessions(t)
		id, other := begin(t, s), begin(t, s)
		if _, err := s.Find(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		away := errors.New("away")
		st.set(func() { st.err = away })
		time.Sleep(time.Minute)
		before := st.reads
		for range 10 {
			if _, err := s.Find(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if got := st.reads - before; got != 1 {
			t.Errorf("the store that is away was asked %d times, want once", got)
		}
		if _, err := s.Find(t.Context(), other); !errors.Is(err, away) {
			t.Errorf("got %v, want what is wrong with the store", err)
		}
		if err := s.End(t.Context(), id); !errors.Is(err, away) {
			t.Errorf("End: got %v, want what is wrong with the store", err)
		}
	})
}

func TestClean(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		s, st := newSessions(t)
		old := begin(t, s)
		if _, _, err := s.BeginLogin(t.Context(), Login{}); err != nil {
			t.Fatal(err)
		}
		st.all["session/odd"] = incident.Document{Type: "session", ID: "odd", Data: []byte("{"), Version: 1}
		time.Sleep(LoginTime - time.Second)
		young := begin(t, s)
		state, browser, err := s.BeginLogin(t.Context(), Login{Next: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.SetLimits(LoginTime, DefaultLimit)
		if err := s.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(st.all) != 2 {
			t.Errorf("got %d records, want the young session and the young sign-in", len(st.all))
		}
		if _, err := s.Find(t.Context(), old); !errors.Is(err, ErrNone) {
			t.Errorf("the old one: got %v, want ErrNone", err)
		}
		if _, err := s.Find(t.Context(), young); err != nil {
			t.Errorf("the young one: %v", err)
		}
		if l, err := s.TakeLogin(t.Context(), state, browser); err != nil || l.Next != "/x" {
			t.Errorf("the young sign-in: got %+v, %v", l, err)
		}
	})
}

// TestTakeLoginOnce: of many who come with the same state one gets it.
func TestTakeLoginOnce(t *testing.T) {
	s, _ := newSessions(t)
	state, browser, err := s.BeginLogin(t.Context(), Login{Nonce: "n"})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	results := make(chan error, 50)
	for range cap(results) {
		wait.Go(func() {
			_, err := s.TakeLogin(t.Context(), state, browser)
			results <- err
		})
	}
	wait.Wait()
	close(results)
	got := 0
	for err := range results {
		if err == nil {
			got++
		} else if !errors.Is(err, ErrNone) {
			t.Error(err)
		}
	}
	if got != 1 {
		t.Errorf("%d of 50 got it, want 1", got)
	}
}

// TestCacheIsBounded: ids that nobody gave out take no memory, and many sessions not more than so much.
func TestCacheIsBounded(t *testing.T) {
	s, _ := newSessions(t)
	for n := range 100 {
		_, _ = s.Find(t.Context(), strings.Repeat("A", 41)+string(rune('a'+n%26))+string(rune('a'+n/26)))
	}
	if len(s.known) != 0 {
		t.Errorf("ids that do not exist: %d are remembered", len(s.known))
	}
	for n := range 2*cached + 5 {
		sum := sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
		s.remember(sum, Session{Name: hex.EncodeToString(sum[:2])})
	}
	if len(s.known) > cached {
		t.Errorf("%d sessions are remembered, want at most %d", len(s.known), cached)
	}
}
