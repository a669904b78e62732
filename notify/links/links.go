// Package links makes the links that lead from a message back to Tocsin, and reads
// them when somebody follows one. Those that act are signed and expire: whoever has
// the message may acknowledge or resolve what it is about, and nothing else.
//
// It does not act, and it serves no pages.
package links

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

const (
	// DefaultExpiry is how long links act if the configuration does not say it, and
	// MaxExpiry the longest that it may say.
	DefaultExpiry = 7 * 24 * time.Hour
	MaxExpiry     = 90 * 24 * time.Hour
)

// Paths below the external URL.
const (
	// PathAct is before a token, and PathIncident before an incident's reference.
	PathAct      = "/a/"
	PathIncident = "/incidents/"
)

var (
	// ErrNotOurs: nobody with our key made the token, or it was damaged on its way.
	ErrNotOurs = errors.New("links: not a link of this Tocsin")
	// ErrExpired: it is ours, and too old to act.
	ErrExpired = errors.New("links: the link has expired")
)

// Store is the part of the store that links need.
type Store interface {
	Now() time.Time
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
}

// Links makes and reads links. Its methods may be called from any goroutine.
type Links struct {
	store    Store
	external string
	expiry   atomic.Int64 // a time.Duration
	ring     atomic.Pointer[ring]

	mu sync.Mutex
	// read is when the keys were last read from the store.
	read time.Time
}

// New returns Links under the URL at which people reach Tocsin; nil makes no
// links. Until Load has found the keys, only those that show an incident are made.
func New(st Store, external *url.URL) *Links {
	l := &Links{store: st}
	if external != nil {
		l.external = strings.TrimRight(external.String(), "/")
	}
	l.SetExpiry(0)
	l.ring.Store(&ring{})
	return l
}

// SetExpiry makes links from now on act for so long; 0 is DefaultExpiry.
func (l *Links) SetExpiry(d time.Duration) {
	if d <= 0 {
		d = DefaultExpiry
	}
	l.expiry.Store(int64(min(d, MaxExpiry)))
}

// For returns the links of a message to a target. What cannot be done to the
// incident as it is has no link.
func (l *Links) For(i *incident.Incident, target string) notify.Links {
	if l.external == "" {
		return notify.Links{}
	}
	out := notify.Links{Incident: l.Incident(i)}
	keys := l.ring.Load().Keys
	if !i.IsOpen() || len(keys) == 0 {
		return out
	}
	// Whole hours, so that a message that is made again is the same for a while.
	expires := l.store.Now().Add(time.Duration(l.expiry.Load()) + time.Hour).Truncate(time.Hour)
	t := Token{Incident: i.ID, Cycle: i.Reopens, Target: target, Expires: expires}
	if i.State == incident.Open || i.Calling() {
		t.Action = Acknowledge
		out.Acknowledge = l.external + PathAct + t.sign(keys[0].Secret)
	}
	t.Action = Resolve
	out.Resolve = l.external + PathAct + t.sign(keys[0].Secret)
	return out
}

// Incident is the address of the incident's page, empty if nobody knows ours.
func (l *Links) Incident(i *incident.Incident) string {
	if l.external == "" {
		return ""
	}
	return l.external + PathIncident + i.Reference
}

// Read returns what a token says. ErrNotOurs if it is none of ours; with
// ErrExpired the token is returned all the same. Another error is the store's:
// it is not known whether the token is good.
func (l *Links) Read(ctx context.Context, token string) (Token, error) {
	body, mac, err := parse(token)
	if err != nil {
		return Token{}, err
	}
	now := l.store.Now()
	t, ok := l.ring.Load().open(body, mac, now)
	if !ok {
		// Another gateway may have made a key since we looked.
		if err := l.look(ctx, now); err != nil {
			return Token{}, err
		}
		if t, ok = l.ring.Load().open(body, mac, now); !ok {
			return Token{}, ErrNotOurs
		}
	}
	if !now.Before(t.Expires) {
		return t, ErrExpired
	}
	return t, nil
}

// look reads the keys again, unless that was done just now.
func (l *Links) look(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.read).Abs() < lookEvery {
		return nil
	}
	return l.load(ctx)
}
