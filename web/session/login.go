package session

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// LoginTime is how long somebody may take to sign in at a provider.
const LoginTime = 10 * time.Minute

// Login is a sign-in that is under way at an OpenID provider.
type Login struct {
	// Nonce is what the provider's token has to repeat, Verifier what proves to the
	// provider that its answer came to whoever asked (RFC 7636).
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	// Next is the local path where it leads.
	Next string `json:"next"`
	// Browser is the SHA-256 of a secret of the browser that began it.
	Browser   string    `json:"browser"`
	CreatedAt time.Time `json:"created_at"`
}

func (l *Login) over(now time.Time) bool { return now.Sub(l.CreatedAt) >= LoginTime }

// BeginLogin stores a sign-in that begins. The state goes to the provider and comes
// back with its answer, the browser's secret stays with the browser.
func (s *Sessions) BeginLogin(ctx context.Context, l Login) (state, browser string, err error) {
	state, id := newSecret()
	browser, sum := newSecret()
	l.Browser, l.CreatedAt = hex.EncodeToString(sum[:]), s.store.Now().UTC()
	data, err := json.Marshal(l)
	if err != nil {
		return "", "", fmt.Errorf("session: login: %w", err)
	}
	_, err = s.store.PutDocument(ctx, incident.Document{Type: typeLogin, ID: hex.EncodeToString(id[:]), Data: data})
	return state, browser, err
}

// TakeLogin returns the sign-in of a state to the browser that began it, once and
// never again, whoever asks. ErrNone if there is none, or not for this browser.
func (s *Sessions) TakeLogin(ctx context.Context, state, browser string) (Login, error) {
	id, ok := sumOf(state)
	if !ok {
		return Login{}, ErrNone
	}
	d, err := s.store.Document(ctx, typeLogin, hex.EncodeToString(id[:]))
	if err == nil { // of several at a time one deletes it
		_, err = s.store.PutDocument(ctx, incident.Document{Type: typeLogin, ID: d.ID, Version: d.Version})
	}
	switch {
	case errors.Is(err, incident.ErrNotFound), errors.Is(err, incident.ErrConflict):
		return Login{}, ErrNone
	case err != nil:
		return Login{}, err
	}
	var l Login
	if err := json.Unmarshal(d.Data, &l); err != nil {
		return Login{}, fmt.Errorf("session: login: %w", err)
	}
	sum := sha256.Sum256([]byte(browser))
	same := subtle.ConstantTimeCompare([]byte(l.Browser), []byte(hex.EncodeToString(sum[:]))) == 1
	if !same || l.over(s.store.Now()) {
		return Login{}, ErrNone
	}
	return l, nil
}
