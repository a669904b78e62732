package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
)

// Role is what the holder of a token may do. Each may do what those before it may.
type Role string

// The roles. A token for a source has none: it may send alerts to that source.
const (
	// RoleViewer may read.
	RoleViewer Role = "viewer"
	// RoleResponder may work on incidents.
	RoleResponder Role = "responder"
	// RoleAdmin may do everything.
	RoleAdmin Role = "admin"
)

// Roles lists the roles, the least first.
func Roles() []string { return []string{string(RoleViewer), string(RoleResponder), string(RoleAdmin)} }

// Covers reports whether r may do what needs the role other.
func (r Role) Covers(other Role) bool {
	have, need := slices.Index(Roles(), string(r)), slices.Index(Roles(), string(other))
	return have >= need && need >= 0
}

// typeToken is the document type of tokens.
const typeToken = "token"

// tokenPrefix makes a token recognisable, to people and to secret scanners.
const tokenPrefix = "tcs_"

// tokensKept bounds the tokens: all of them are compared with each one presented.
const tokensKept = 1000

// Token is an issued token. The token itself is not in it and nowhere else
// either: only its hash is kept.
type Token struct {
	ID     string
	Name   string
	Role   Role   // empty if Source is set
	Source string // the source that it may send to
	// CreatedAt is by the store's clock.
	CreatedAt time.Time
	sum       [sha256.Size]byte
	version   uint64
}

// tokenText is the stored form.
type tokenText struct {
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Source    string    `json:"source"`
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"created_at"`
}

// NewToken is what a token is asked for with: a role or a source, and a name,
// which for a role is the name its holder goes by in timelines.
type NewToken struct {
	Role   string `json:"role"`
	Source string `json:"source"`
	Name   string `json:"name"`
}

func (n NewToken) check() error {
	var errs []error
	switch {
	case (n.Role == "") == (n.Source == ""):
		errs = append(errs, &router.InputError{Field: "role", Reason: "say either a role or a source"})
	case n.Role != "":
		errs = append(errs, oneOf("role", n.Role, Roles()))
	case len(n.Source) > maxBy || strings.ContainsFunc(n.Source, notAWord):
		errs = append(errs, &router.InputError{Field: "source", Reason: "not the name of a source"})
	}
	if n.Name != "" {
		errs = append(errs, checkBy("name", n.Name))
	}
	if n.Name == adminName {
		errs = append(errs, &router.InputError{Field: "name", Reason: fmt.Sprintf("%q is the token of the configuration", n.Name)})
	}
	return errors.Join(errs...)
}

func notAWord(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }

func oneOf(field, value string, list []string) error {
	if slices.Contains(list, value) {
		return nil
	}
	return &router.InputError{Field: field, Reason: fmt.Sprintf("%q is none of %s", value, strings.Join(list, ", "))}
}

// CreateToken makes a token and stores its hash. The token is returned once and
// can never be read again. A request that makes no sense is an error made of
// *router.InputError.
func CreateToken(ctx context.Context, st store.Store, n NewToken) (Token, secret.String, error) {
	if err := n.check(); err != nil {
		return Token{}, secret.String{}, err
	}
	all, err := ListTokens(ctx, st)
	if err != nil {
		return Token{}, secret.String{}, err
	}
	if len(all) >= tokensKept {
		return Token{}, secret.String{}, refuse(409, "there are %d tokens already; delete some", len(all))
	}
	var random [32 + 5]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails
	value := tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:32])
	t := Token{ID: strings.ToLower(base32.StdEncoding.EncodeToString(random[32:])), Name: n.Name, Role: Role(n.Role), Source: n.Source,
		CreatedAt: st.Now(), sum: sha256.Sum256([]byte(value))}
	if t.Name == "" {
		t.Name = n.Role + n.Source + "-" + t.ID
	}
	data, err := json.Marshal(tokenText{t.Name, t.Role, t.Source, hex.EncodeToString(t.sum[:]), t.CreatedAt.UTC()})
	if err != nil {
		return Token{}, secret.String{}, fmt.Errorf("web: token %s: %w", t.ID, err)
	}
	if t.version, err = st.PutDocument(ctx, incident.Document{Type: typeToken, ID: t.ID, Data: data}); err != nil {
		return Token{}, secret.String{}, err
	}
	return t, secret.New(value), nil
}

// ListTokens returns all tokens in the order of their ids.
func ListTokens(ctx context.Context, st store.Store) ([]Token, error) {
	documents, err := st.Documents(ctx, typeToken, "", tokensKept)
	if err != nil {
		return nil, err
	}
	out := make([]Token, len(documents))
	for n, d := range documents {
		if out[n], err = parseToken(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseToken(d incident.Document) (Token, error) {
	var t tokenText
	if err := json.Unmarshal(d.Data, &t); err != nil {
		return Token{}, fmt.Errorf("web: token %s: %w", d.ID, err)
	}
	out := Token{ID: d.ID, Name: t.Name, Role: t.Role, Source: t.Source, CreatedAt: t.CreatedAt, version: d.Version}
	sum, err := hex.DecodeString(t.SHA256)
	if err != nil || len(sum) != len(out.sum) {
		return Token{}, fmt.Errorf("web: token %s: the hash is not one", d.ID)
	}
	copy(out.sum[:], sum)
	return out, nil
}

// DeleteToken deletes the token with the given id; incident.ErrNotFound if
// there is none.
func DeleteToken(ctx context.Context, st store.Store, id string) error {
	d, err := st.Document(ctx, typeToken, id)
	if err != nil {
		return err
	}
	_, err = st.PutDocument(ctx, incident.Document{Type: typeToken, ID: id, Version: d.Version})
	return err
}

const (
	// tokensFresh is how long the tokens are believed before they are read again:
	// so late a token that another process made or deleted is noticed here.
	tokensFresh = 3 * time.Second
	// tokensTimeout bounds the reading.
	tokensTimeout = 2 * time.Second
)

// tokens are those of the store, read again every few seconds. While the store
// cannot be read the last known ones hold, so that a source with a good token
// hears "send it again" and not "go away"; before anything is known nobody is
// let in.
type tokens struct {
	store store.Store
	now   func() time.Time
	log   *slog.Logger

	admin   atomic.Pointer[[sha256.Size]byte] // hash of the configured token, nil if there is none
	known   atomic.Pointer[tokenTable]
	reading sync.Mutex
	// latched: authentication was on once; it stays on until the process ends, so
	// that a deleted token never opens the door.
	latched atomic.Bool
	failing atomic.Bool
}

// tokenTable is what was read at a time.
type tokenTable struct {
	at   time.Time
	list []Token
	// roles says whether any token has a role; sources are those with a token.
	roles   bool
	sources map[string]bool
}

// table returns the tokens, nil if they were never read.
func (t *tokens) table(ctx context.Context) *tokenTable {
	known := t.known.Load()
	if known != nil && t.now().Sub(known.at) < tokensFresh {
		return known
	}
	if known == nil {
		t.reading.Lock()
	} else if !t.reading.TryLock() {
		return known // somebody reads already
	}
	defer t.reading.Unlock()
	if again := t.known.Load(); again != known {
		return again
	}
	if err := t.read(ctx); err != nil {
		if !t.failing.Swap(true) {
			t.log.ErrorContext(ctx, "tokens cannot be read", "known", known != nil, "err", err)
		}
		if known != nil { // do not let every request wait for a store that is away
			stale := *known
			stale.at = t.now()
			t.known.Store(&stale)
		}
	}
	return t.known.Load()
}

// reload reads the tokens now, after a change of ours.
func (t *tokens) reload(ctx context.Context) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if err := t.read(ctx); err != nil {
		t.log.ErrorContext(ctx, "tokens cannot be read", "err", err)
	}
}

// read is called with reading held. Whoever waits for it may be gone: what is
// read is for all.
func (t *tokens) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokensTimeout)
	defer cancel()
	list, err := ListTokens(ctx, t.store)
	if err != nil {
		return err
	}
	t.failing.Store(false)
	table := &tokenTable{at: t.now(), list: list, sources: map[string]bool{}}
	for i := range list {
		table.roles = table.roles || list[i].Role != ""
		if list[i].Source != "" {
			table.sources[list[i].Source] = true
		}
	}
	if table.roles {
		t.latched.Store(true)
	}
	t.known.Store(table)
	return nil
}

// on reports whether requests have to authenticate. Before anything is known
// they do.
func (t *tokens) on(ctx context.Context) bool {
	if t.admin.Load() != nil || t.latched.Load() {
		return true
	}
	table := t.table(ctx)
	return table == nil || table.roles
}

// match returns the token with the given value. It compares with all of them,
// so that the time it takes says nothing.
func (t *tokenTable) match(value string) (found *Token) {
	sum := sha256.Sum256([]byte(value))
	for i := range t.list {
		if subtle.ConstantTimeCompare(sum[:], t.list[i].sum[:]) == 1 {
			found = &t.list[i]
		}
	}
	return found
}

// isAdmin reports whether value is the configured admin token.
func (t *tokens) isAdmin(value string) bool {
	admin := t.admin.Load()
	sum := sha256.Sum256([]byte(value))
	return admin != nil && subtle.ConstantTimeCompare(sum[:], admin[:]) == 1
}
