// Package audit keeps a record of what people did: who, from where, what, when,
// and how it ended; never what was in it. Records are only ever added, and deleted
// when they are old. What happened to an incident is in its timeline as well.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/tocsin-gateway/tocsin/incident"
)

// typeRecord is the document type of records.
const typeRecord = "audit"

const (
	// Kept is how many records are kept, and KeptFor how long. Somewhat more may be
	// there until the next Clean.
	Kept    = 10_000
	KeptFor = 90 * 24 * time.Hour

	writeTime = 2 * time.Second
	pageSize  = 500
)

// Strangers can cause records: those who try to sign in. Of these so many are
// stored at once, then one in a time, so that they do not push out what people did.
// All are logged and counted.
const (
	strangersAtOnce = 20
	strangersEvery  = 10 * time.Second
)

// Somebody who is known and may not do something can try it without end, or another
// web page in their name. Of each person so much is stored, and of no more than so
// many people at a time. All is logged and counted.
const (
	refusedAtOnce = 20
	refusedEvery  = 10 * time.Second
	refusedKept   = 1000
)

// How somebody proved who they are. Those with "session" signed in before.
const (
	None         = "none"
	Token        = "token"
	LocalSession = "session/local"
	TokenSession = "session/token"
	OIDCSession  = "session/oidc"
)

// The actions that are no command of the API. OtherPage is a command, or more of these,
// that another web page had the person's browser send; it was refused.
const (
	SignIn    = "sign in"
	SignOut   = "sign out"
	OtherPage = "other page"
)

// Record says that somebody did something.
type Record struct {
	// ID is in the order of time, the latest first.
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Who did it; empty if it is not known.
	Who string `json:"who"`
	How string `json:"how"`
	// Client is the address that it came from.
	Client string `json:"client"`
	// Action is one of those above.
	Action string `json:"action"`
	Method string `json:"method"`
	// Route is the path with names in place of what varies.
	Route string `json:"route"`
	// Subject is what varies: the reference of an incident, the id of a token.
	Subject string `json:"subject"`
	Status  int    `json:"status"`
	Request string `json:"request_id"`
	// Stranger: nobody has proved anything.
	Stranger bool `json:"-"`
}

// Command is the action of everything that the API does.
const Command = "command"

// Store is the part of the store that a Log needs.
type Store interface {
	Now() time.Time
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
}

// Log are the records of a store. Its methods may be called from any goroutine.
type Log struct {
	store     Store
	log       *slog.Logger
	now       func() time.Time
	strangers *rate.Limiter
	records   *prometheus.CounterVec

	// kept is how many records are kept; tests keep fewer.
	kept int

	mu   sync.Mutex
	last int64 // the time in the latest id
	// refused is what is left to each person who tried what they may not.
	refused map[string]*rate.Limiter
}

// New returns the Log of a store; registerer may be nil.
func New(st Store, now func() time.Time, log *slog.Logger, registerer prometheus.Registerer) *Log {
	l := &Log{store: st, log: log.With("component", "audit"), now: now, kept: Kept, refused: map[string]*rate.Limiter{}, strangers: rate.NewLimiter(rate.Every(strangersEvery), strangersAtOnce),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_audit_records_total",
			Help: "What people did, by action, how they proved who they are, and result."}, []string{"action", "how", "result"})}
	for _, action := range []string{Command, SignIn, SignOut, OtherPage} {
		for _, how := range []string{None, Token, LocalSession, TokenSession, OIDCSession} {
			for _, status := range []int{200, 403, 500} {
				l.records.WithLabelValues(action, how, result(status))
			}
		}
	}
	if registerer != nil {
		registerer.MustRegister(l.records)
	}
	return l
}

// result is how something ended.
func result(status int) string {
	switch {
	case status >= 500:
		return "failed"
	case status >= 400:
		return "refused"
	}
	return "done"
}

// NewRequest returns a new request id.
func NewRequest() string {
	var random [8]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails
	return hex.EncodeToString(random[:])
}

// Add logs, counts and stores a record; id and time are its own. What cannot be
// stored is in the log at least.
func (l *Log) Add(ctx context.Context, r Record) {
	l.records.WithLabelValues(r.Action, r.How, result(r.Status)).Inc()
	level := slog.LevelInfo
	if r.Status >= 400 {
		level = slog.LevelWarn
	}
	l.log.Log(ctx, level, r.Action, "who", r.Who, "how", r.How, "client", r.Client, "method", r.Method, "route", r.Route, "subject", r.Subject,
		"status", r.Status, "request", r.Request)
	switch {
	case r.Status == 503: // the store is away: nothing was done, and nothing can be stored
		return
	case r.Stranger && !l.strangers.AllowN(l.now(), 1), !r.Stranger && r.Status == 403 && !l.mayBeRefused(r.Who):
		return
	}
	r.At = l.store.Now().UTC()
	r.ID = l.id(r.At)
	data, err := json.Marshal(r)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
		defer cancel()
		_, err = l.store.PutDocument(ctx, incident.Document{Type: typeRecord, ID: r.ID, Data: data})
	}
	if err != nil {
		l.log.ErrorContext(ctx, "an audit record cannot be stored", "request", r.Request, "err", err)
	}
}

// mayBeRefused reports whether there is room for another record that somebody was refused.
func (l *Log) mayBeRefused(who string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	left := l.refused[who]
	if left == nil {
		if len(l.refused) >= refusedKept {
			l.forgetRefused(now)
		}
		left = rate.NewLimiter(rate.Every(refusedEvery), refusedAtOnce)
		l.refused[who] = left
	}
	return left.AllowN(now, 1)
}

// forgetRefused makes room: those who have all left again are as if they were new. If
// that is none, somebody is given it. It is called with mu held.
func (l *Log) forgetRefused(now time.Time) {
	for who, left := range l.refused {
		if left.TokensAt(now) >= refusedAtOnce {
			delete(l.refused, who)
		}
	}
	for who := range l.refused {
		if len(l.refused) < refusedKept {
			return
		}
		delete(l.refused, who)
	}
}

// id is one that sorts before all earlier ones.
func (l *Log) id(at time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = max(l.last+1, at.UnixNano())
	return before(l.last) + NewRequest()[:8]
}

// before is the least id of what was at a time.
func before(nano int64) string { return fmt.Sprintf("%016x", uint64(math.MaxInt64-nano)) }

// List returns the records after the one with the given id, the latest first.
func (l *Log) List(ctx context.Context, after string, limit int) ([]Record, error) {
	docs, err := l.store.Documents(ctx, typeRecord, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Record, 0, len(docs))
	for _, d := range docs {
		r := Record{}
		if err := json.Unmarshal(d.Data, &r); err != nil {
			return nil, fmt.Errorf("audit: record %s: %w", d.ID, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// IsID reports whether an id is one of a record.
func IsID(id string) bool {
	if len(id) != 24 {
		return false
	}
	for _, half := range []string{id[:16], id[16:]} {
		if _, err := strconv.ParseUint(half, 16, 64); err != nil {
			return false
		}
	}
	return true
}

// Clean deletes what is older than KeptFor, and all but the latest so many.
func (l *Log) Clean(ctx context.Context) error {
	oldest := before(l.store.Now().Add(-KeptFor).UnixNano())
	after, seen := "", 0
	for {
		docs, err := l.store.Documents(ctx, typeRecord, after, pageSize)
		if err != nil {
			return err
		}
		for _, d := range docs {
			after = d.ID
			if seen++; seen <= l.kept && d.ID < oldest {
				continue
			}
			_, err := l.store.PutDocument(ctx, incident.Document{Type: typeRecord, ID: d.ID, Version: d.Version})
			if err != nil && !errors.Is(err, incident.ErrConflict) { // another gateway was faster
				return err
			}
		}
		if len(docs) < pageSize {
			return nil
		}
	}
}
