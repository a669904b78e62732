package mute

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// many is a store with two incidents: one whose alerts may inhibit, and one that
// is their target.
type many struct {
	sources, targets int
	// slow is how long a page takes.
	slow time.Duration
}

var sourceOf, targetOf = incident.ID{1}, incident.ID{2}

func (m many) incident(id incident.ID) *incident.Incident {
	n := m.sources
	if id == targetOf {
		n = m.targets
	}
	return &incident.Incident{ID: id, Reference: fmt.Sprint("INC-", id[0]), State: incident.Open, Version: 1, Alerts: incident.Counts{Total: n, Firing: n}, Labels: map[string]string{}}
}

func (m many) Incidents(context.Context, store.Query) ([]*incident.Incident, string, error) {
	return []*incident.Incident{m.incident(targetOf), m.incident(sourceOf)}, "", nil
}

func (m many) Alerts(ctx context.Context, id incident.ID, cursor string, limit int) (list []store.Record, next string, err error) {
	select {
	case <-time.After(m.slow):
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	from, n, name := 0, m.sources, "NodeDown"
	if id == targetOf {
		n, name = m.targets, "PodDown"
	}
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from); err != nil {
			return nil, "", err
		}
	}
	for ; from < n && len(list) < limit; from++ {
		list = append(list, store.Record{Entry: incident.Entry{Firing: true}, Content: &alert.Alert{Labels: alert.FromMap(map[string]string{"alertname": name, "node": fmt.Sprint(from % max(m.sources, 1))})}})
	}
	if from < n {
		next = fmt.Sprint(from)
	}
	return list, next, nil
}

func (many) Update(context.Context, []incident.Change) error { return nil }

func (many) Incident(context.Context, string) (*incident.Incident, error) {
	return nil, incident.ErrNotFound
}

// TestBounds: beyond them people are told, and that is counted.
func TestBounds(t *testing.T) {
	c, err := amconfig.Load(`
route: {receiver: a}
receivers: [{name: a}]
inhibit_rules:
  - {source_matchers: ['alertname="NodeDown"'], target_matchers: ['alertname="PodDown"'], equal: [node]}
`)
	if err != nil {
		t.Fatal(err)
	}
	in := NewInhibition(c.InhibitRules)
	for name, c := range map[string]struct {
		many
		limit  int
		hidden bool
		failed string
	}{
		"all fits":         {many{3000, 3000, 0}, 3000, true, ""},
		"too many sources": {many{3000, 3000, 0}, 2999, false, failedSources},
		"too many alerts":  {many{10, alertsLooked + 2000, 0}, 3000, false, failedAlerts},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) { // a busy machine is not a slow store
				m := NewMetrics(prometheus.NewRegistry())
				a := New(Options{Store: c.many, Inhibition: in, Metrics: m, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
				a.boards.limit = c.limit
				h, hidden, err := a.Muted(t.Context(), c.incident(targetOf), time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC))
				if err != nil || hidden != c.hidden {
					t.Errorf("got %t, %+v (%v), want %t", hidden, h, err, c.hidden)
				}
				for _, reason := range []string{failedSources, failedAlerts, failedSlow} {
					want := 0.0
					if reason == c.failed {
						want = 1
					}
					if got := testutil.ToFloat64(m.open.WithLabelValues(reason)); got != want {
						t.Errorf("failed open because of %s: got %v, want %v", reason, got, want)
					}
				}
				if got := testutil.ToFloat64(m.sources); got > float64(c.limit) {
					t.Errorf("%v sources are known, want no more than %d", got, c.limit)
				}
			})
		})
	}
}

// nothingToHear hides everything for an hour.
type nothingToHear struct{}

func (nothingToHear) Muted(now time.Time, _ match.Labels) (notify.Hidden, bool) {
	return notify.Hidden{By: notify.BySilence, Until: now.Add(time.Hour)}, true
}

// TestAlertsThatTakeTooLong: what cannot be looked at in time is told, while there
// is time left to do so.
func TestAlertsThatTakeTooLong(t *testing.T) {
	for name, c := range map[string]struct {
		many
		hidden bool
	}{
		"in time": {many{0, 10_000, 20 * time.Millisecond}, true},
		"slow":    {many{0, 40_000, 60 * time.Millisecond}, false},
		"stuck":   {many{0, 10, time.Minute}, false},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				m := NewMetrics(prometheus.NewRegistry())
				a := New(Options{Store: c.many, Silences: nothingToHear{}, Metrics: m, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				h, hidden, err := a.Muted(ctx, c.incident(targetOf), began)
				if err != nil || hidden != c.hidden {
					t.Errorf("got %t, %+v (%v), want %t", hidden, h, err, c.hidden)
				}
				if took := time.Since(began); took > 1500*time.Millisecond {
					t.Errorf("it took %s, so half of the time is not left", took)
				}
				if got := testutil.ToFloat64(m.open.WithLabelValues(failedSlow)); got != 0 == c.hidden {
					t.Errorf("failed open because of a slow store: %v times", got)
				}
			})
		})
	}
}
