package mute

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Store is the part of the store that a Muter needs.
type Store interface {
	Reader
	Incident(ctx context.Context, name string) (*incident.Incident, error)
	Update(ctx context.Context, changes []incident.Change) error
}

// Reader reads what is open.
type Reader interface {
	Incidents(ctx context.Context, q store.Query) (list []*incident.Incident, next string, err error)
	Alerts(ctx context.Context, id incident.ID, cursor string, limit int) (list []store.Record, next string, err error)
}

const (
	// boardAge is how old what is known of the open incidents may be. Where reading
	// them takes long, it is boardRest times as long as that, but no more than boardAtMost.
	boardAge    = 2 * time.Second
	boardRest   = 4
	boardAtMost = 30 * time.Second
	// boardTime is how long one question may wait for it, and boardTired for how long
	// no other one waits when it did so in vain.
	boardTime  = 2 * time.Second
	boardTired = 10 * time.Second
	// incidentsAtOnce and alertsAtOnce are how many are read at once.
	incidentsAtOnce = 500
	alertsAtOnce    = 1000
	// incidentsAtMost bounds the open incidents that are looked at, and sourcesAtMost
	// what is known of the source sides of inhibition rules. What is beyond hides nothing.
	incidentsAtMost = 50_000
	sourcesAtMost   = 200_000
)

// board is what is known of all open incidents at one time.
type board struct {
	at    time.Time
	pause time.Duration
	// services has the open incidents of each service, the oldest first.
	services map[string][]*open
	// open has them by id.
	open map[incident.ID]*open
	// sources are what inhibits.
	sources found
	// left is how many incidents are left out, in whole or in part.
	left int
}

// open is what is known of one open incident.
type open struct {
	id        incident.ID
	reference string
	service   string
	parent    incident.ID
	version   uint64
	drill     bool
	// sources are those of its alerts that fire; cut says that there are more.
	sources []source
	cut     bool
}

// boards keeps a board that is fresh enough.
type boards struct {
	store      Reader
	inhibition *Inhibition
	labels     func(*alert.Alert) alert.Labels
	limit      int // sourcesAtMost, but for tests

	current atomic.Pointer[board]
	// tired is until when nobody tries again, in Unix nanoseconds, since the latest
	// one who did was too slow.
	tired atomic.Int64
	// turn is held by the one who reads; known is theirs.
	turn  chan struct{}
	known map[incident.ID]*open
}

func newBoards(st Reader, in *Inhibition, labels func(*alert.Alert) alert.Labels) *boards {
	return &boards{store: st, inhibition: in, labels: labels, limit: sourcesAtMost, turn: make(chan struct{}, 1), known: map[incident.ID]*open{}}
}

// errSlow: the open incidents could not be read in time. What was read is kept for
// the next one who asks.
var errSlow = errors.New("mute: reading the open incidents takes too long")

// get returns a board that is fresh enough, and reads one if there is none.
func (b *boards) get(ctx context.Context, now time.Time) (*board, error) {
	last := b.current.Load()
	if last.fresh(now) {
		return last, nil
	}
	if rest := b.tired.Load() - now.UnixNano(); rest > 0 && rest <= int64(boardTired) {
		return b.late(ctx, last)
	}
	limited, cancel := context.WithTimeout(ctx, boardTime)
	defer cancel()
	select {
	case b.turn <- struct{}{}:
	case <-limited.Done():
		return b.tire(ctx, last, now)
	}
	defer func() { <-b.turn }()
	if last = b.current.Load(); last.fresh(now) { // somebody else has read it meanwhile
		return last, nil
	}
	fresh, err := b.read(limited, now)
	switch {
	case err == nil:
		b.current.Store(fresh)
		return fresh, nil
	case limited.Err() != nil:
		return b.tire(ctx, last, now)
	}
	return nil, err
}

func (o *board) fresh(now time.Time) bool {
	return o != nil && now.Sub(o.at) < o.pause && !now.Before(o.at.Add(-o.pause))
}

// tire is late, and lets the next ones not wait for the same.
func (b *boards) tire(ctx context.Context, last *board, now time.Time) (*board, error) {
	b.tired.Store(now.Add(boardTired).UnixNano())
	return b.late(ctx, last)
}

// late is what is said when reading takes too long: what was known, even if it is
// a little old.
func (b *boards) late(ctx context.Context, last *board) (*board, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if last != nil {
		return last, nil
	}
	return nil, errSlow
}

// read makes a board. Of an incident that has not changed, the alerts are not
// read again.
func (b *boards) read(ctx context.Context, now time.Time) (*board, error) {
	began := time.Now()
	next := &board{at: now, services: map[string][]*open{}, open: map[incident.ID]*open{}, sources: found{}}
	var list []*open
	for cursor := ""; ; {
		page, more, err := b.store.Incidents(ctx, store.Query{States: []string{incident.Open, incident.Acknowledged}, Limit: incidentsAtOnce, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			o, err := b.one(ctx, i)
			if err != nil {
				return nil, err
			}
			if _, twice := next.open[o.id]; !twice {
				next.open[o.id] = o
				list = append(list, o)
			}
		}
		if cursor = more; cursor == "" {
			break
		}
		if len(list) >= incidentsAtMost {
			next.left++
			break
		}
	}
	b.known = next.open
	// In the order of their age, so that the same one is named each time.
	slices.SortFunc(list, func(x, y *open) int { return bytes.Compare(x.id[:], y.id[:]) })
	for _, o := range list {
		next.add(o, b.limit)
	}
	next.pause = min(max(boardAge, boardRest*time.Since(began)), boardAtMost)
	return next, nil
}

func (o *board) add(i *open, limit int) {
	if i.drill {
		return // nobody's real trouble is hidden by an exercise
	}
	if i.service != "" {
		o.services[i.service] = append(o.services[i.service], i)
	}
	cut := i.cut
	for _, s := range i.sources {
		if len(o.sources) >= limit {
			cut = true
			break
		}
		o.sources.put(s, i.reference)
	}
	if cut {
		o.left++
	}
}

// one looks at an incident, unless it is as it was.
func (b *boards) one(ctx context.Context, i *incident.Incident) (*open, error) {
	if o := b.known[i.ID]; o != nil && o.version == i.Version {
		return o, nil
	}
	o := &open{id: i.ID, reference: i.Reference, service: i.Service, parent: i.Parent, version: i.Version, drill: i.Drill}
	if !i.Drill && i.Alerts.Firing > 0 && b.inhibition.maySource(i.Labels) {
		if err := b.alerts(ctx, o); err != nil {
			return nil, err
		}
	}
	b.known[i.ID] = o // also if we do not get to the end this time
	return o, nil
}

func (b *boards) alerts(ctx context.Context, o *open) error {
	found := map[source]struct{}{}
	for cursor := ""; ; {
		records, next, err := b.store.Alerts(ctx, o.id, cursor, alertsAtOnce)
		if err != nil {
			return err
		}
		for n := range records {
			if r := &records[n]; r.Entry.Firing && r.Content != nil {
				b.inhibition.sources(b.labels(r.Content), found)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
		if o.cut = len(found) >= b.limit; o.cut {
			break
		}
	}
	for s := range found {
		o.sources = append(o.sources, s)
	}
	return nil
}
