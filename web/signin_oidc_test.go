package web_test

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/openid"
	"github.com/tocsin-gateway/tocsin/web/openid/openidtest"
)

const providerUser = "test-user2"

// provider is an OpenID provider that tests sign in at.
type provider struct {
	*openidtest.Provider
	t *testing.T
}

// signIn leads somebody through the provider's pages, from the address that Tocsin
// sent them to; it returns the query that they come back with.
func (p *provider) signIn(target string) string {
	p.t.Helper()
	jar, _ := cookiejar.New(nil) // it never fails
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	next := func(method, target string, form url.Values) string {
		r, err := http.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(form.Encode()))
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := client.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		to, err := answer.Location()
		if err != nil {
			p.t.Fatalf("%s %s: got %d %s, want a redirect", method, target, answer.StatusCode, body)
		}
		return to.String()
	}
	login := next("GET", target, nil)
	u, err := url.Parse(login)
	if err != nil {
		p.t.Fatal(err)
	}
	back := next("POST", p.URL+"/login/username", url.Values{"id": {u.Query().Get("authRequestID")}, "username": {providerUser}, "password": {openidtest.Password}})
	home, err := url.Parse(next("GET", back, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	if got := home.Scheme + "://" + home.Host + home.Path; got != "http://127.0.0.1:9095/signin/callback" {
		p.t.Fatalf("the provider sends people back to %s", got)
	}
	return home.RawQuery
}

// withProvider is a server where people sign in at a provider.
func withProvider(t *testing.T, change ...func(*openid.Config)) (*server, *provider) {
	t.Helper()
	external, _ := url.Parse("http://127.0.0.1:9095/")
	s := newServer(t, func(o *web.Options) { o.External = external })
	p := &provider{openidtest.Start(t, "http://127.0.0.1:9095/signin/callback", openidtest.Account{Name: providerUser, Groups: []string{"oncall"}}), t}
	c := web.DefaultConfig()
	c.OIDC = &openid.Config{Issuer: p.URL, ClientID: openidtest.Client, ClientSecret: secret.New(openidtest.Secret), Roles: map[string]string{"oncall": "responder", "boss": "admin", "all": "viewer"}}
	for _, f := range change {
		f(c.OIDC)
	}
	s.api.SetConfig(c)
	return s, p
}

// leave begins to sign in: where it leads, and the browser's cookie.
func (s *server) leave(next string) (target, cookie string) {
	s.t.Helper()
	a := s.send("GET", "/signin/oidc?next="+url.QueryEscape(next), "").want(303)
	return a.header.Get("Location"), a.cookie("tocsin-signin")
}

func TestSignInAtAProvider(t *testing.T) {
	s, p := withProvider(t)
	id := s.accept(s.firing("DiskFull", "db"))
	s.send("GET", "/signin", "").want(200).problem(200, "Sign in with 127.0.0.1", `href="/signin/oidc?next=%2f"`)
	target, browser := s.leave("/incidents/" + id)
	u, _ := url.Parse(target)
	q := u.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) != 43 || len(q.Get("nonce")) != 43 || q.Get("scope") != "openid profile email" {
		t.Errorf("got %s, want PKCE with S256, a state and a nonce", target)
	}
	back := p.signIn(target)
	a := s.send("GET", "/signin/callback?"+back, "", "Cookie", browser).want(303)
	if got := a.header.Get("Location"); got != "/incidents/"+id {
		t.Errorf("signed in, it leads to %q", got)
	}
	s.cookies = a.cookie("tocsin")
	i := s.do(id, "acknowledge", `{"by":"somebody else"}`)
	if i.AcknowledgedBy != providerUser {
		t.Errorf("got %q, want the name that the provider gave", i.AcknowledgedBy)
	}
	s.send("GET", "/api/v1/tokens", "").problem(403, "admin")

	// The state is used up, and so is the code.
	before := p.Exchanges()
	s.send("GET", "/signin/callback?"+back, "", "Cookie", browser).problem(401, "used already")
	if p.Exchanges() != before {
		t.Error("a replayed state reached the provider")
	}
	target, browser = s.leave("/")
	u, _ = url.Parse(target)
	old, _ := url.ParseQuery(back)
	s.send("GET", "/signin/callback?"+url.Values{"state": {u.Query().Get("state")}, "code": {old.Get("code")}}.Encode(), "", "Cookie", browser).problem(401, "cannot be used")
	if p.Exchanges() == before {
		t.Error("the replayed code did not reach the provider, so nothing was tried")
	}
}

// TestProviderRefused: what is not exactly what the provider and this browser began lets nobody in.
func TestProviderRefused(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*provider) {
		return func(p *provider) {
			p.Forge = func(answer map[string]any) {
				claims := openidtest.Claims(p.t, answer)
				claims[name] = value
				answer["id_token"] = p.Sign(claims, nil)
			}
		}
	}
	for name, test := range map[string]struct {
		forge func(*provider)
		back  func(s *server, back url.Values, browser *string)
		want  string
	}{
		"nothing forged": {},
		"re-signed as it was": {forge: func(p *provider) {
			p.Forge = func(answer map[string]any) { answer["id_token"] = p.Sign(openidtest.Claims(p.t, answer), nil) }
		}},
		"another key": {want: "cannot be used", forge: func(p *provider) {
			p.Forge = func(answer map[string]any) { answer["id_token"] = p.Sign(openidtest.Claims(p.t, answer), stranger) }
		}},
		"no signature": {want: "cannot be used", forge: func(p *provider) {
			p.Forge = func(answer map[string]any) {
				parts := strings.Split(answer["id_token"].(string), ".")
				answer["id_token"] = "eyJhbGciOiJub25lIn0." + parts[1] + "."
			}
		}},
		"no id token":         {want: "cannot be used", forge: func(p *provider) { p.Forge = func(answer map[string]any) { delete(answer, "id_token") } }},
		"another nonce":       {want: "cannot be used", forge: claim("nonce", "another")},
		"no nonce":            {want: "cannot be used", forge: claim("nonce", "")},
		"another audience":    {want: "cannot be used", forge: claim("aud", "others")},
		"another party":       {want: "cannot be used", forge: claim("azp", "others")},
		"another issuer":      {want: "cannot be used", forge: claim("iss", "https://evil.example")},
		"an expired token":    {want: "cannot be used", forge: claim("exp", time.Now().Add(-time.Hour).Unix())},
		"a token of tomorrow": {want: "cannot be used", forge: claim("nbf", time.Now().Add(24*time.Hour).Unix())},
		"another subject":     {want: "cannot be used", forge: claim("sub", "id1")},
		"the name of Tocsin":  {want: "cannot be used", forge: claim("preferred_username", "tocsin")},
		"another state": {want: "expired", back: func(s *server, back url.Values, _ *string) {
			back.Set("state", strings.Repeat("A", 43))
		}},
		"no state":          {want: "expired", back: func(_ *server, back url.Values, _ *string) { back.Del("state") }},
		"another browser":   {want: "another browser", back: func(s *server, _ url.Values, browser *string) { _, *browser = s.leave("/") }},
		"no browser":        {want: "another browser", back: func(_ *server, _ url.Values, browser *string) { *browser = "" }},
		"eleven minutes":    {want: "expired", back: func(s *server, _ url.Values, _ *string) { s.clock.add(11 * time.Minute) }},
		"nine minutes":      {back: func(s *server, _ url.Values, _ *string) { s.clock.add(9 * time.Minute) }},
		"a wrong code":      {want: "cannot be used", back: func(_ *server, back url.Values, _ *string) { back.Set("code", "wrong") }},
		"another answerer":  {want: "cannot be used", back: func(_ *server, back url.Values, _ *string) { back.Set("iss", "https://evil.example") }},
		"the provider's no": {want: "did not let you in", back: func(_ *server, back url.Values, _ *string) { back.Set("error", "access_denied") }},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withProvider(t)
			if test.forge != nil {
				p.Set(func() { test.forge(p) })
			}
			target, browser := s.leave("/")
			back, _ := url.ParseQuery(p.signIn(target))
			if test.back != nil {
				test.back(s, back, &browser)
			}
			a := s.send("GET", "/signin/callback?"+back.Encode(), "", "Cookie", browser)
			if test.want == "" {
				a.want(303)
				return
			}
			if a.status != 401 && a.status != 403 || !strings.Contains(string(a.body), test.want) || a.cookie("tocsin") != "" {
				t.Errorf("got %d %s with the cookie %q, want it refused with %q", a.status, a.body, a.cookie("tocsin"), test.want)
			}
		})
	}
}

func TestProviderRoles(t *testing.T) {
	for name, test := range map[string]struct {
		groups []string
		change func(*openid.Config)
		role   web.Role
	}{
		"the highest":           {groups: []string{"all", "boss", "oncall"}, role: web.RoleAdmin},
		"one":                   {groups: []string{"all", "strangers"}, role: web.RoleViewer},
		"none":                  {groups: []string{"strangers"}},
		"no groups":             {},
		"the default":           {groups: []string{"strangers"}, change: func(c *openid.Config) { c.DefaultRole = "viewer" }, role: web.RoleViewer},
		"more than the default": {groups: []string{"oncall"}, change: func(c *openid.Config) { c.DefaultRole = "viewer" }, role: web.RoleResponder},
		"a claim in a claim": {change: func(c *openid.Config) {
			c.Scopes, c.GroupsClaim, c.Roles = []string{"profile", storage.CustomScope}, "custom_claim.other", map[string]string{"stuff": "admin"}
		}, role: web.RoleAdmin},
		"no name": {groups: []string{"boss"}, change: func(c *openid.Config) { c.NameClaim = "nickname" }},
	} {
		t.Run(name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(*openid.Config) {}
			}
			s, p := withProvider(t, change)
			p.Set(func() { p.Accounts[providerUser] = openidtest.Account{Name: providerUser, Groups: test.groups} })
			target, browser := s.leave("/")
			a := s.send("GET", "/signin/callback?"+p.signIn(target), "", "Cookie", browser)
			if test.role == "" {
				if a.status != 401 && a.status != 403 || a.cookie("tocsin") != "" {
					t.Errorf("got %d %s, want it refused", a.status, a.body)
				}
				return
			}
			s.cookies = a.want(303).cookie("tocsin")
			for _, role := range []struct {
				role   web.Role
				method string
				path   string
			}{{web.RoleViewer, "GET", "/api/v1/version"}, {web.RoleAdmin, "GET", "/api/v1/audit"}} {
				want := 200
				if role.role == web.RoleAdmin && test.role != web.RoleAdmin {
					want = 403
				}
				s.send(role.method, role.path, "").want(want)
			}
		})
	}
}

// TestProviderAway: a provider that is down keeps nobody from starting, and works
// when it is back.
func TestProviderAway(t *testing.T) {
	s, p := withProvider(t)
	p.Set(func() { p.Down = true })
	s.send("GET", "/signin", "").want(200)
	s.send("GET", "/signin/oidc", "").problem(503, "does not answer")
	p.Set(func() { p.Down = false })
	// That it is asked again after some seconds only is a matter of real time; a
	// reload asks at once.
	c := web.DefaultConfig()
	c.OIDC = &openid.Config{Issuer: p.URL, ClientID: openidtest.Client, ClientSecret: secret.New(openidtest.Secret), DefaultRole: "viewer"}
	s.api.SetConfig(c)
	target, browser := s.leave("/")
	back := p.signIn(target)
	p.Set(func() { p.Down = true })
	s.send("GET", "/signin/callback?"+back, "", "Cookie", browser).problem(503, "does not answer")
	p.Set(func() { p.Down = false })
	target, browser = s.leave("/")
	s.cookies = s.send("GET", "/signin/callback?"+p.signIn(target), "", "Cookie", browser).want(303).cookie("tocsin")
	s.send("GET", "/api/v1/version", "").want(200)
	c.OIDC = &openid.Config{Issuer: p.URL, ClientID: openidtest.Client, ClientSecret: secret.New(openidtest.Secret), Roles: map[string]string{"boss": "viewer"}}
	s.api.SetConfig(c)
	s.send("GET", "/api/v1/version", "").problem(401) // what let them in has changed
	if got := len(s.documents("login")); got != 1 {
		t.Errorf("got %d sign-ins that are under way, want the one that led nowhere", got)
	}
}
