// Package session keeps who is signed in, and who is on the way to sign in at an
// OpenID provider. All of it is in the store: any gateway knows it, and to end a
// session is to delete a record. It decides nothing about who may sign in.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// The document types in the store. The id of each document is the SHA-256 of a
// secret that only the browser has.
const (
	typeSession = "session"
	typeLogin   = "login"
)

const (
	// DefaultIdle is how long a session lasts that nobody uses, DefaultLimit how long
	// any lasts.
	DefaultIdle  = 12 * time.Hour
	DefaultLimit = 7 * 24 * time.Hour

	// fresh is how long a session is believed before it is read again: so late it
	// is noticed here that another process ended it.
	fresh = 3 * time.Second
	// touchEvery is how often at most it is written down that a session is used.
	touchEvery = 5 * time.Minute
	// ended is how long a session that was ended here is remembered, so that a
	// reading that was under way does not bring it back. No reading takes as long.
	ended    = 30 * time.Second
	readTime = 2 * time.Second
	// cached bounds the sessions in memory.
	cached = 10_000
	// pageSize is how many records are looked at in one go.
	pageSize = 500
)

// ErrNone: there is no such session or sign-in: it never was, has expired, was
// ended, or was used already.
var ErrNone = errors.New("session: none")

// Store is the part of the store that sessions need.
type Store interface {
	Now() time.Time
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
}

// Session says who is signed in.
type Session struct {
	// Name and Role are the person's.
	Name string `json:"name"`
	Role string `json:"role"`
	// How they signed in, and Ref as whom: what is needed to find out whether they
	// still might.
	How string `json:"how"`
	Ref string `json:"ref"`
	// Proof binds the session to what was known of them then; see Proves.
	Proof string `json:"proof"`
	// CreatedAt and SeenAt are by the store's clock.
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`

	version uint64
}

// Sessions are those of a store. Its methods may be called from any goroutine.
type Sessions struct {
	store Store
	now   func() time.Time
	log   *slog.Logger

	mu          sync.Mutex
	idle, limit time.Duration
	known       map[[sha256.Size]byte]entry
}

// entry is what is known of a session.
type entry struct {
	// at is when it was read, or ended, by the clock of this process.
	at      time.Time
	ended   bool
	session Session
}

// New returns the sessions of a store. The clock is that of caches. It reads nothing yet.
func New(st Store, now func() time.Time, log *slog.Logger) *Sessions {
	return &Sessions{store: st, now: now, log: log, idle: DefaultIdle, limit: DefaultLimit, known: map[[sha256.Size]byte]entry{}}
}

// SetLimits sets how long sessions last: idle when nobody uses them, limit in any case.
func (s *Sessions) SetLimits(idle, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle, s.limit = idle, limit
}

// Limit is how long a session lasts at most.
func (s *Sessions) Limit() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}

// Begin stores a new session and returns its id, a secret for the browser alone.
// The grant is what Proves asks for.
func (s *Sessions) Begin(ctx context.Context, n Session, grant string) (id string, err error) {
	id, sum := newSecret()
	n.CreatedAt = s.store.Now().UTC()
	n.SeenAt, n.Proof = n.CreatedAt, prove(id, grant)
	if err := s.put(ctx, sum, &n); err != nil {
		return "", err
	}
	return id, nil
}

// Proves reports whether the session with this id was begun with the grant. What is
// stored does not say what the grant was, even to somebody who tries them.
func (n *Session) Proves(id, grant string) bool {
	return hmac.Equal([]byte(n.Proof), []byte(prove(id, grant)))
}

func prove(id, grant string) string {
	mac := hmac.New(sha256.New, []byte(id))
	mac.Write([]byte(grant))
	return hex.EncodeToString(mac.Sum(nil))
}

// Find returns the session with the given id and notes that it is used; ErrNone if
// there is none. While the store is away those that were in use go on.
func (s *Sessions) Find(ctx context.Context, id string) (Session, error) {
	sum, ok := sumOf(id)
	if !ok {
		return Session{}, ErrNone
	}
	s.mu.Lock()
	e, known := s.known[sum]
	idle, limit := s.idle, s.limit
	s.mu.Unlock()
	if age := s.now().Sub(e.at); !known || !e.ended && age >= fresh || age >= ended {
		n, err := s.read(ctx, sum)
		switch {
		case errors.Is(err, ErrNone):
			s.forget(sum)
			return Session{}, err
		case err == nil:
			e = s.remember(sum, n)
		case !known || e.ended:
			return Session{}, err
		default: // do not let every request wait for a store that is away
			e = s.remember(sum, e.session)
		}
	}
	now := s.store.Now()
	if e.ended || e.session.over(now, idle, limit) {
		return Session{}, ErrNone
	}
	if now.Sub(e.session.SeenAt) >= min(touchEvery, idle/2) {
		s.touch(ctx, sum, e.session, now)
	}
	return e.session, nil
}

func (n *Session) over(now time.Time, idle, limit time.Duration) bool {
	return now.Sub(n.SeenAt) >= idle || now.Sub(n.CreatedAt) >= limit
}

// touch writes down that a session is used. Only one of several requests does; if
// it cannot, a later one will.
func (s *Sessions) touch(ctx context.Context, sum [sha256.Size]byte, n Session, now time.Time) {
	s.mu.Lock()
	e, known := s.known[sum]
	first := known && !e.ended && e.session.SeenAt.Equal(n.SeenAt)
	if first {
		e.session.SeenAt = now.UTC()
		s.known[sum] = e
	}
	s.mu.Unlock()
	if !first {
		return
	}
	n.SeenAt = now.UTC()
	// Somebody may have been faster, or ended it: the version says so, and all is well.
	if err := s.put(ctx, sum, &n); err != nil && !errors.Is(err, incident.ErrConflict) {
		s.log.WarnContext(ctx, "it cannot be stored that a session is used", "name", n.Name, "err", err)
	}
}

// End ends the session with the given id, at once in this process and within
// seconds in others. One that does not exist is no error.
func (s *Sessions) End(ctx context.Context, id string) error {
	sum, ok := sumOf(id)
	if !ok {
		return nil
	}
	s.mu.Lock()
	s.keep(sum, entry{at: s.now(), ended: true})
	s.mu.Unlock()
	for {
		d, err := s.store.Document(ctx, typeSession, hex.EncodeToString(sum[:]))
		if err == nil {
			_, err = s.store.PutDocument(ctx, incident.Document{Type: typeSession, ID: d.ID, Version: d.Version})
		}
		switch {
		case err == nil, errors.Is(err, incident.ErrNotFound):
			return nil
		case !errors.Is(err, incident.ErrConflict): // a request of the same browser touched it
			return err
		}
	}
}

// read is not for the request alone that waits for it: another may use what it finds.
func (s *Sessions) read(ctx context.Context, sum [sha256.Size]byte) (Session, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime)
	defer cancel()
	d, err := s.store.Document(ctx, typeSession, hex.EncodeToString(sum[:]))
	if errors.Is(err, incident.ErrNotFound) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, err
	}
	n := Session{version: d.Version}
	if err := json.Unmarshal(d.Data, &n); err != nil {
		s.log.ErrorContext(ctx, "a stored session cannot be read", "session", d.ID, "err", err)
		return Session{}, ErrNone
	}
	return n, nil
}

func (s *Sessions) put(ctx context.Context, sum [sha256.Size]byte, n *Session) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime)
	defer cancel()
	n.version, err = s.store.PutDocument(ctx, incident.Document{Type: typeSession, ID: hex.EncodeToString(sum[:]), Version: n.version, Data: data})
	return err
}

// remember keeps what was read, unless the session was ended meanwhile.
func (s *Sessions) remember(sum [sha256.Size]byte, n Session) entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if e := s.known[sum]; e.ended && now.Sub(e.at) < ended {
		return e
	}
	e := entry{at: now, session: n}
	s.keep(sum, e)
	return e
}

func (s *Sessions) forget(sum [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[sum].ended {
		delete(s.known, sum)
	}
}

// keep is called with mu held. If there is no room it makes some: what is thrown
// away is read again, and what was ended is not in the store any more.
func (s *Sessions) keep(sum [sha256.Size]byte, e entry) {
	if len(s.known) >= cached {
		now := s.now()
		for other, known := range s.known {
			if age := now.Sub(known.at); !known.ended && age >= fresh || age >= ended || len(s.known) >= cached {
				delete(s.known, other)
			}
		}
	}
	s.known[sum] = e
}

// Clean deletes what has expired.
func (s *Sessions) Clean(ctx context.Context) error {
	now := s.store.Now()
	s.mu.Lock()
	idle, limit := s.idle, s.limit
	s.mu.Unlock()
	return errors.Join(s.clean(ctx, typeSession, func(d incident.Document) bool {
		var n Session
		return json.Unmarshal(d.Data, &n) != nil || n.over(now, idle, limit)
	}), s.clean(ctx, typeLogin, func(d incident.Document) bool {
		var l Login
		return json.Unmarshal(d.Data, &l) != nil || l.over(now)
	}))
}

func (s *Sessions) clean(ctx context.Context, typ string, over func(incident.Document) bool) error {
	for after := ""; ; {
		docs, err := s.store.Documents(ctx, typ, after, pageSize)
		if err != nil {
			return err
		}
		for _, d := range docs {
			after = d.ID
			if !over(d) {
				continue
			}
			// A conflict is somebody who used it after all, or who cleans as well.
			_, err := s.store.PutDocument(ctx, incident.Document{Type: typ, ID: d.ID, Version: d.Version})
			if err != nil && !errors.Is(err, incident.ErrConflict) {
				return err
			}
		}
		if len(docs) < pageSize {
			return nil
		}
	}
}

// newSecret returns 256 random bits as text, and their SHA-256.
func newSecret() (text string, sum [sha256.Size]byte) {
	var random [32]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails
	text = base64.RawURLEncoding.EncodeToString(random[:])
	return text, sha256.Sum256([]byte(text))
}

// sumOf is the SHA-256 of a secret, ok false for what cannot be one.
func sumOf(text string) (sum [sha256.Size]byte, ok bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(32) {
		return sum, false
	}
	return sha256.Sum256([]byte(text)), true
}
