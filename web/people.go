package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web/audit"
	"github.com/tocsin-gateway/tocsin/web/openid"
	"github.com/tocsin-gateway/tocsin/web/session"
)

// people are those whom the configuration knows. It is replaced by a reload and
// never changed.
type people struct {
	users map[string]User
	// dummy is the dearest hash, for names that nobody has, and dearest its cost.
	dummy   []byte
	dearest int
	// provider is where others sign in, nil if there is none; its grant changes with
	// whatever the configuration says of it.
	provider *openid.Client
	grant    string
	// admins: some of them may be admin.
	admins bool
}

// SetConfig makes the users, the provider and the times of a configuration
// current. Whoever signed in as somebody who is not there any more, or has another
// role or password, is signed out.
func (a *API) SetConfig(c Config) {
	p := &people{users: map[string]User{}}
	for _, u := range c.Users {
		p.users[u.Name] = u
		p.admins = p.admins || u.Role == RoleAdmin
		hash := []byte(u.PasswordHash.Reveal())
		if cost, err := bcrypt.Cost(hash); err == nil && cost > p.dearest {
			p.dearest, p.dummy = cost, hash
		}
	}
	if c.OIDC != nil {
		if old := a.people.Load(); old != nil && old.grant == oidcGrant(c.OIDC) {
			p.provider, p.grant = old.provider, old.grant
		} else {
			p.provider = openid.New(openid.Options{Config: *c.OIDC, Roles: Roles(), Redirect: a.external().JoinPath(pathCallback).String(), Now: a.options.Wall})
			p.grant = oidcGrant(c.OIDC)
		}
		for _, role := range c.OIDC.Roles {
			p.admins = p.admins || Role(role) == RoleAdmin
		}
		p.admins = p.admins || Role(c.OIDC.DefaultRole) == RoleAdmin
	}
	if c.Sessions.Limit > 0 { // a Config without it is that of a test
		a.sessions.SetLimits(time.Duration(c.Sessions.Idle), time.Duration(c.Sessions.Limit))
	}
	if len(p.users) > 0 || p.provider != nil {
		a.tokens.latched.Store(true)
	}
	a.people.Store(p)
}

// external is the URL under which people reach this Tocsin.
func (a *API) external() *url.URL {
	if a.options.External == nil {
		return &url.URL{}
	}
	return a.options.External
}

// oidcGrant changes whenever somebody could have another role, or be somebody else.
func oidcGrant(c *openid.Config) string {
	plain := *c
	plain.ClientSecret = secret.String{} // its text would hide a change, and it says nothing of people
	return fmt.Sprintf("%+v %s", plain, digest(c.ClientSecret.Reveal()))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// The ways to sign in, as sessions have them.
const (
	howLocal = "local"
	howToken = "token"
	howOIDC  = "oidc"
)

// grantOf is what the session's holder has that lets them in: while it is the same
// as when the session began, it holds. Empty is nothing any more.
func (a *API) grantOf(ctx context.Context, how, ref string) (string, error) {
	p := a.people.Load()
	switch how {
	case howLocal:
		if u, there := p.users[ref]; there {
			return string(u.Role) + u.PasswordHash.Reveal(), nil
		}
	case howOIDC:
		return p.grant, nil
	case howToken:
		if ref == adminName {
			if admin := a.tokens.admin.Load(); admin != nil {
				return hex.EncodeToString(admin[:]), nil
			}
			return "", nil
		}
		table := a.tokens.table(ctx)
		if table == nil {
			return "", errTokens()
		}
		for i := range table.list {
			if t := &table.list[i]; t.ID == ref {
				return hex.EncodeToString(t.sum[:]), nil
			}
		}
	}
	return "", nil
}

func errTokens() error {
	return refuse(http.StatusServiceUnavailable, "tokens cannot be read now; try again")
}

// bySession finds out who the session in a request belongs to; session.ErrNone if
// there is none that holds.
func (a *API) bySession(c *gin.Context) (Identity, error) {
	id := a.sessionID(c.Request)
	if id == "" {
		return Identity{}, session.ErrNone
	}
	ctx := c.Request.Context()
	s, err := a.sessions.Find(ctx, id)
	if err != nil {
		return Identity{}, err
	}
	grant, err := a.grantOf(ctx, s.How, s.Ref)
	if err != nil {
		return Identity{}, err
	}
	if grant == "" || !s.Proves(id, grant) {
		return Identity{}, session.ErrNone
	}
	return Identity{Name: s.Name, Role: Role(s.Role), How: howOf(s.How), Session: true}, nil
}

// howOf is what the audit record says of a session.
func howOf(how string) string {
	return map[string]string{howLocal: audit.LocalSession, howToken: audit.TokenSession, howOIDC: audit.OIDCSession}[how]
}

func errTries() error {
	return refuse(http.StatusTooManyRequests, "Too many wrong attempts. Wait a moment.")
}

// errWrong: name and password, or token, do not fit. It says no more.
var errWrong = errors.New("web: wrong")

// byPassword finds out who signs in with a name and a password. Whether the name or
// the password is wrong can be told neither from the answer nor from the time: all
// cost as much as the dearest hash.
func (a *API) byPassword(ctx context.Context, name, password string, tried []string) (session.Session, error) {
	p := a.people.Load()
	u, known := p.users[name]
	hash := []byte(u.PasswordHash.Reveal())
	if !known {
		hash = p.dummy
	}
	select { // it keeps a processor busy
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return session.Session{}, ctx.Err()
	}
	if !a.throttle.Allow(tried...) { // many may have come at once, and waited
		return session.Session{}, errTries()
	}
	err := a.compare(hash, []byte(password))
	for _, more := range p.padding(hash) {
		_ = a.compare(more, []byte(password))
	}
	if !known || err != nil || len(password) > passwordLimit {
		return session.Session{}, errWrong
	}
	return session.Session{Name: u.Name, Role: string(u.Role), How: howLocal, Ref: u.Name}, nil
}

// padding are hashes to compare a password with after the given one, so that it takes as
// much work as the dearest: with a cost of c that is 2^c, and 2^c + 2^c + 2^(c+1) + … + 2^(d-1)
// are 2^d. Nothing is equal to them.
func (p *people) padding(hash []byte) (list [][]byte) {
	cost, err := bcrypt.Cost(hash)
	if err != nil {
		return nil // unreachable: the configuration was checked
	}
	for ; cost < p.dearest; cost++ {
		other := slices.Clone(hash) // $2a$10$ and then the salt and the sum
		copy(other[4:6], fmt.Sprintf("%02d", cost))
		list = append(list, other)
	}
	return list
}

// passwordLimit is what of a password bcrypt looks at, in bytes.
const passwordLimit = 72

// byPastedToken finds out who signs in with a token that has a role.
func (a *API) byPastedToken(ctx context.Context, value string) (session.Session, error) {
	table := a.tokens.table(ctx)
	switch t := tableMatch(table, value); {
	case t != nil && t.Role != "":
		return session.Session{Name: t.Name, Role: string(t.Role), How: howToken, Ref: t.ID}, nil
	case a.tokens.isAdmin(value):
		return session.Session{Name: adminName, Role: string(RoleAdmin), How: howToken, Ref: adminName}, nil
	case table == nil:
		return session.Session{}, errTokens()
	}
	return session.Session{}, errWrong
}
