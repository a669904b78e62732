package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// interrupted is a store that ends after some commits, if n is not negative.
type interrupted struct {
	store.Store
	n, largest int
}

var errInterrupted = errors.New("interrupted")

func (i *interrupted) Update(ctx context.Context, changes []incident.Change) error {
	if i.n == 0 {
		return errInterrupted
	}
	i.n--
	i.largest = max(i.largest, len(changes))
	return i.Store.Update(ctx, changes)
}

// TestRearm: every target of every incident that is not closed looks again at
// the given time, also if the first attempt broke off, and in bounded commits.
func TestRearm(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	st, err := embedded.Open("mem:", embedded.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	policy := incident.Policy{Severities: incident.Scale{"critical"}, Matrix: incident.DefaultMatrix()}
	put := func(n int, targets []string, state string) {
		t.Helper()
		key := incident.Key{byte(n), byte(n >> 8), 1}
		err := st.Update(t.Context(), []incident.Change{{ID: uuid.New(), Key: key, Step: func(s incident.State) (next incident.Next, _ error) {
			e := policy.Open(incident.Opening{ID: s.NewID(0), Key: key, Title: fmt.Sprint(n), Class: incident.Classification{Severity: "critical"}, By: incident.System}, s.Now)
			if state == incident.Resolved || state == incident.Closed {
				if err := e.Resolve("ann", ""); err != nil {
					return next, err
				}
			}
			if state == incident.Closed {
				if err := e.Close("ann", ""); err != nil {
					return next, err
				}
			}
			e.Incident.Told = targets
			next.Key = &incident.KeyState{Key: key, Incident: e.Incident.ID}
			e.Into(&next)
			for _, name := range targets { // hidden until tomorrow, but for one that looks now
				due := now.Add(24 * time.Hour)
				if name == "now" {
					due = now
				}
				next.Jobs = append(next.Jobs, incident.Job{Subject: e.Incident.ID.String(), Kind: incident.JobNotify, Target: name, Due: due})
			}
			return next, nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{}
	for n := range 250 {
		put(n, []string{"a", "b"}, incident.Open)
		want = append(want, fmt.Sprint(n, " a"), fmt.Sprint(n, " b"))
	}
	put(250, []string{"now"}, incident.Open)
	put(251, []string{"a"}, incident.Resolved)
	put(251, []string{"a"}, incident.Open) // a new one of the same key
	put(252, nil, incident.Open)
	put(253, []string{"a"}, incident.Closed)
	want = append(want, "250 now", "251 a", "251 a")

	due := now.Add(2 * time.Second)
	broken := &interrupted{Store: st, n: 1}
	if err := Rearm(t.Context(), broken, due); !errors.Is(err, errInterrupted) {
		t.Errorf("got %v, want the store's error", err)
	}
	whole := &interrupted{Store: st, n: -1}
	if err := Rearm(t.Context(), whole, due); err != nil {
		t.Fatal(err)
	}
	if whole.largest > rearmedAtOnce {
		t.Errorf("one commit has %d changes, want at most %d", whole.largest, rearmedAtOnce)
	}
	claimed := func() (out []string) {
		t.Helper()
		for {
			leases, err := st.Claim(t.Context(), 1000, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range leases {
				if l.Kind != incident.JobNotify {
					continue
				}
				i, err := st.Incident(t.Context(), l.Subject)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, i.Title+" "+l.Target)
			}
			if len(leases) == 0 {
				return out
			}
		}
	}
	now = due.Add(-time.Millisecond)
	if got := claimed(); len(got) != 0 {
		t.Errorf("before the time: got %v; the one that was due before may have seen what is over", got)
	}
	now = due
	got := claimed()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d jobs %v\nwant %d", len(got), got, len(want))
	}
}
