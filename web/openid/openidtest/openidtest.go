// Package openidtest is an OpenID provider for tests: the server of github.com/zitadel/oidc,
// with accounts that have groups, and a hand on what it answers.
package openidtest

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

const (
	// Client and Secret are what Tocsin is known by at the provider.
	Client = "tocsin"
	Secret = "the secret of the client" //nolint:gosec // it opens nothing
	// Password is that of every account.
	Password = "verysecure"
)

// Account is somebody who can sign in there.
type Account struct {
	Name   string
	Groups []string
}

// Provider is the provider. The fields may be changed in Set while it serves.
type Provider struct {
	*storage.Storage
	// URL is its issuer.
	URL string
	// Accounts are by their names, which are their subjects as well.
	Accounts map[string]Account
	// Forge changes the answer of the token endpoint. Down is a provider that is away.
	Forge func(answer map[string]any)
	Down  bool

	t       testing.TB
	handler func() http.Handler // made once the URL is known

	mu sync.Mutex
	// exchanges counts what came to the token endpoint.
	exchanges int
}

var _ op.Storage = (*Provider)(nil)

// Start starts a provider that ends with the test. It sends people back to redirect.
func Start(t testing.TB, redirect string, accounts ...Account) *Provider {
	t.Helper()
	p := &Provider{t: t, Accounts: map[string]Account{}}
	for _, a := range accounts {
		p.Accounts[a.Name] = a
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r) }))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() }) // browsers keep theirs
	p.URL = server.URL
	p.handler = sync.OnceValue(func() http.Handler {
		return exampleop.SetupServer(p.URL, p, slog.New(slog.DiscardHandler), false)
	})
	p.Storage = storage.NewStorageWithClients(users{p}, map[string]*storage.Client{Client: storage.WebClient(Client, Secret, redirect)})
	return p
}

// users are the accounts as the server looks for them.
type users struct{ p *Provider }

func (u users) ExampleClientID() string                     { return storage.ServiceUserID }
func (u users) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }
func (u users) GetUserByID(id string) (found *storage.User) {
	u.p.Set(func() {
		if a, there := u.p.Accounts[id]; there {
			found = &storage.User{ID: a.Name, Username: a.Name, Password: Password, FirstName: "Test", LastName: a.Name,
				Email: a.Name + "@example.com", EmailVerified: true, PreferredLanguage: language.English}
		}
	})
	return found
}

// SetUserinfoFromToken is what the provider says of somebody, with groups.
func (p *Provider) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	err := p.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
	p.Set(func() { info.AppendClaims("groups", p.Accounts[subject].Groups) })
	return err
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	var down bool
	var forge func(map[string]any)
	p.Set(func() { down, forge = p.Down, p.Forge })
	if down {
		http.Error(w, "away", http.StatusBadGateway)
		return
	}
	if r.URL.Path != "/oauth/token" {
		p.handler().ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	p.handler().ServeHTTP(recorder, r)
	p.Set(func() { p.exchanges++ })
	body := recorder.Body.Bytes()
	if forge != nil && recorder.Code == http.StatusOK {
		answer := map[string]any{}
		if err := json.Unmarshal(body, &answer); err != nil {
			p.t.Error(err)
		}
		forge(answer)
		body, _ = json.Marshal(answer)
	}
	maps.Copy(w.Header(), recorder.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(body)
}

// Set changes the provider while it serves.
func (p *Provider) Set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Exchanges is how often the token endpoint was asked.
func (p *Provider) Exchanges() (n int) {
	p.Set(func() { n = p.exchanges })
	return n
}

// Sign makes an id token of claims, with the provider's key unless another is given.
func (p *Provider) Sign(claims map[string]any, key any) string {
	signing, err := p.SigningKey(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	if key == nil {
		key = signing.Key()
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: signing.ID()}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// Claims are those in an answer of the token endpoint.
func Claims(t testing.TB, answer map[string]any) map[string]any {
	t.Helper()
	text, _ := answer["id_token"].(string)
	signed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
