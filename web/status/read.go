package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Reader is the part of the store that the page needs.
type Reader interface {
	Incident(ctx context.Context, name string) (*incident.Incident, error)
	Incidents(ctx context.Context, q store.Query) (list []*incident.Incident, next string, err error)
	Now() time.Time
}

const (
	// atOnce is how many incidents are read at once.
	atOnce = 500
	// longest is how long an incident may have gone on to be found when it is closed
	// and this process has not seen it before.
	longest = 30 * 24 * time.Hour
	// closedAge is how old what is known of closed incidents may be. They change only
	// by being reopened, and then they are among the others.
	closedAge = 10 * time.Minute
)

// reader knows the public part of the incidents. One goroutine uses it.
type reader struct {
	store Reader
	of    *compiled
	// live are those that are not closed, closed those that are; closedAt is when the
	// latter were last read, zero if they have to be.
	live, closed map[incident.ID]Incident
	closedAt     time.Time
}

// read returns the public part of all incidents that the page may show.
func (r *reader) read(ctx context.Context, c *compiled, now time.Time) ([]Incident, error) {
	if r.of != c {
		r.of, r.closedAt = c, time.Time{}
	}
	live, err := r.list(ctx, store.Query{States: []string{incident.Open, incident.Acknowledged, incident.Resolved}})
	if err != nil {
		return nil, err
	}
	if age := now.Sub(r.closedAt); age < 0 || age >= closedAge {
		q := store.Query{States: []string{incident.Closed}, Services: c.services, From: c.since(now).Add(-longest)}
		if r.closed, err = r.list(ctx, q); err != nil {
			return nil, err
		}
		r.closedAt = now
	} else if err := r.follow(ctx, live); err != nil {
		return nil, err
	}
	r.live = live
	var out []Incident
	for _, i := range live {
		out = append(out, i)
	}
	for id, i := range r.closed {
		if _, again := live[id]; !again {
			out = append(out, i)
		}
	}
	return out, nil
}

func (r *reader) list(ctx context.Context, q store.Query) (map[incident.ID]Incident, error) {
	found := map[incident.ID]Incident{}
	for q.Limit = atOnce; ; {
		page, next, err := r.store.Incidents(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		for _, i := range page {
			if public, ok := r.of.incident(i); ok {
				found[i.ID] = public
			}
		}
		if q.Cursor = next; next == "" {
			return found, nil
		}
	}
}

// follow reads those that are not among the live ones any more: they were closed.
func (r *reader) follow(ctx context.Context, live map[incident.ID]Incident) error {
	for id := range r.live {
		if _, still := live[id]; still {
			continue
		}
		i, err := r.store.Incident(ctx, id.String())
		switch {
		case errors.Is(err, incident.ErrNotFound):
			continue
		case err != nil:
			return fmt.Errorf("status: %w", err)
		}
		if public, ok := r.of.incident(i); ok {
			r.closed[id] = public
		}
	}
	return nil
}
