package audit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// documents are a store in memory, in the order of ids.
type documents struct{ all []incident.Document }

func (d *documents) Now() time.Time { return time.Now() }

func (d *documents) Documents(_ context.Context, _, after string, limit int) ([]incident.Document, error) {
	from, _ := d.find(after + "\x00")
	return slices.Clone(d.all[from:min(from+limit, len(d.all))]), nil
}

func (d *documents) PutDocument(_ context.Context, n incident.Document) (uint64, error) {
	at, there := d.find(n.ID)
	switch {
	case n.Data == nil && there:
		d.all = slices.Delete(d.all, at, at+1)
	case there:
		return 0, incident.ErrConflict
	default:
		d.all = slices.Insert(d.all, at, n)
	}
	return 1, nil
}

func (d *documents) find(id string) (int, bool) {
	return slices.BinarySearchFunc(d.all, id, func(d incident.Document, id string) int { return strings.Compare(d.ID, id) })
}

func newLog() (*Log, *documents) {
	st := &documents{}
	return New(st, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), st
}

// TestClean: by number, and by age.
func TestClean(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		l, st := newLog()
		const kept = 2*pageSize + 100
		l.kept = kept
		for n := range kept + 30 {
			l.Add(t.Context(), Record{Action: Command, How: Token, Subject: fmt.Sprint(n), Status: 200})
		}
		for range 2 {
			if err := l.Clean(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(st.all) != kept {
				t.Fatalf("got %d records, want %d", len(st.all), kept)
			}
		}
		first, err := l.List(t.Context(), "", 2)
		if err != nil || len(first) != 2 || first[0].Subject != fmt.Sprint(kept+29) || first[1].Subject != fmt.Sprint(kept+28) {
			t.Errorf("got %+v (%v), want the latest first", first, err)
		}
		time.Sleep(KeptFor)
		l.Add(t.Context(), Record{Action: Command, How: Token, Subject: "new", Status: 200})
		time.Sleep(time.Second)
		if err := l.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := l.List(t.Context(), "", 10); err != nil || len(left) != 1 || left[0].Subject != "new" || !IsID(left[0].ID) {
			t.Errorf("got %+v (%v), want the new one alone", left, err)
		}
	})
}

func TestCounter(t *testing.T) {
	l, st := newLog()
	for _, status := range []int{200, 303, 404, 503} {
		l.Add(t.Context(), Record{Action: Command, How: Token, Status: status})
	}
	for result, want := range map[string]float64{"done": 2, "refused": 1, "failed": 1} {
		if got := testutil.ToFloat64(l.records.WithLabelValues(Command, Token, result)); got != want {
			t.Errorf("%s: got %v, want %v", result, got, want)
		}
	}
	if len(st.all) != 3 {
		t.Errorf("got %d records, want none of what the store that is away refused", len(st.all))
	}
}

// TestRefusedPeopleAreForgotten: however many people are refused, memory is bounded, and
// those who still have to wait are the last to be forgotten.
func TestRefusedPeopleAreForgotten(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		l, st := newLog()
		refuse := func(who string) bool {
			before := len(st.all)
			l.Add(t.Context(), Record{Action: Command, How: Token, Who: who, Status: 403})
			return len(st.all) > before
		}
		for range refusedKept - 1 {
			refuse(NewRequest())
		}
		time.Sleep(refusedEvery)
		for n := range refusedAtOnce + 1 {
			if got := refuse("loud"); got != (n < refusedAtOnce) {
				t.Errorf("record %d: stored %v", n, got)
			}
		}
		for range 100 {
			refuse(NewRequest())
		}
		if refuse("loud") {
			t.Error("forgotten while others had all left")
		}
		for range 3 * refusedKept {
			refuse(NewRequest())
		}
		if got := len(l.refused); got > refusedKept {
			t.Errorf("%d people are remembered, want at most %d", got, refusedKept)
		}
	})
}
