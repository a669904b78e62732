package links

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// DocumentKey is the type of the document with the keys, and documentID its id.
	// All gateways on a store share it.
	DocumentKey = "key"
	documentID  = "links"
)

const (
	secretSize = 32
	// keyLife is after how long a key no longer signs.
	keyLife = 90 * 24 * time.Hour
	// keysKept bounds the keys; the oldest go.
	keysKept = 16
	// refresh is how often the keys are looked at, and how long another gateway may
	// still sign with the one before.
	refresh = 5 * time.Minute
	// lookEvery is how often a token that is none of ours makes us read them at most.
	lookEvery = 5 * time.Second
	// tries is how often a race for the document is run again.
	tries = 5
)

// ring is the keys, the newest first: it signs, all verify.
type ring struct {
	Keys []key `json:"keys"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`

	version uint64
}

type key struct {
	Secret    []byte    `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
	// Until is when the last token that it signed has expired; zero for the newest.
	Until time.Time `json:"until,omitzero"`
}

// open verifies a body with each key in turn, in constant time for each.
func (r *ring) open(body, mac []byte, now time.Time) (Token, bool) {
	for _, k := range r.Keys {
		if !k.Until.IsZero() && !now.Before(k.Until) {
			continue
		}
		if hmac.Equal(sum(k.Secret, body), mac) {
			return decode(body)
		}
	}
	return Token{}, false
}

// Load reads the keys, and makes the first one if there is none.
func (l *Links) Load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load(ctx)
}

func (l *Links) load(ctx context.Context) error {
	for range tries {
		r, err := l.stored(ctx)
		if err == nil && len(r.Keys) == 0 {
			err = l.put(ctx, r.with(l.store.Now(), 0))
		}
		if errors.Is(err, incident.ErrConflict) {
			continue // another gateway was faster
		}
		return err
	}
	return fmt.Errorf("links: keys: %w", incident.ErrConflict)
}

// stored reads the keys and takes them into use.
func (l *Links) stored(ctx context.Context) (*ring, error) {
	r := &ring{}
	d, err := l.store.Document(ctx, DocumentKey, documentID)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return r, nil
	case err != nil:
		return nil, fmt.Errorf("links: keys: %w", err)
	}
	if json.Unmarshal(d.Data, r) != nil {
		return nil, errors.New("links: the document of the keys cannot be read") // its text is secret
	}
	r.version, l.read = d.Version, l.store.Now()
	l.ring.Store(r)
	return r, nil
}

// put stores keys and takes them into use.
func (l *Links) put(ctx context.Context, r *ring) error {
	data, err := json.Marshal(r)
	if err != nil {
		return errors.New("links: the keys cannot be written") // unreachable: they always encode
	}
	version, err := l.store.PutDocument(ctx, incident.Document{Type: DocumentKey, ID: documentID, Version: r.version, Data: data})
	if err != nil {
		return fmt.Errorf("links: keys: %w", err)
	}
	r.version, l.read = version, l.store.Now()
	l.ring.Store(r)
	return nil
}

// with returns the keys with a new one that signs from now on. What the one before
// has signed is good for so long as expiry says.
func (r *ring) with(now time.Time, expiry time.Duration) *ring {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // it never fails
	out := &ring{Keys: []key{{Secret: secret, CreatedAt: now.UTC()}}, Unknown: r.Unknown, version: r.version}
	for _, k := range r.Keys {
		if k.Until.IsZero() {
			k.Until = now.Add(expiry + time.Hour + 2*refresh).UTC()
		}
		if k.Until.After(now) && len(out.Keys) < keysKept {
			out.Keys = append(out.Keys, k)
		}
	}
	return out
}

// Rotate makes a new key. Links that are out act until they expire.
func (l *Links) Rotate(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range tries {
		r, err := l.stored(ctx)
		if err == nil {
			// The longest that any gateway may have been told, not only what we were.
			err = l.put(ctx, r.with(l.store.Now(), MaxExpiry))
		}
		if !errors.Is(err, incident.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("links: keys: %w", incident.ErrConflict)
}

// Run keeps the keys fresh until ctx ends: what another gateway made is taken into
// use, and an old one is replaced.
func (l *Links) Run(ctx context.Context) error {
	for {
		wait := time.NewTimer(refresh/2 + mathrand.N(refresh/2))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		_ = l.freshen(ctx) // the keys at hand are good for hours; Read says what is wrong
	}
}

func (l *Links) freshen(ctx context.Context) error {
	if err := l.Load(ctx); err != nil {
		return err
	}
	if keys := l.ring.Load().Keys; l.store.Now().Sub(keys[0].CreatedAt) < keyLife {
		return nil
	}
	return l.Rotate(ctx)
}
