package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/audit"
)

const password = "a good long password"

// withUsers is a configuration with users of all roles, each with the same password.
func withUsers(t *testing.T, change ...func(*web.Config)) web.Config {
	t.Helper()
	c := web.DefaultConfig()
	for _, role := range web.Roles() {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		c.Users = append(c.Users, web.User{Name: role + " ann", PasswordHash: secret.New(string(hash)), Role: web.Role(role)})
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func (s *server) enter(form ...string) answer {
	s.t.Helper()
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	return s.send("POST", "/signin", v.Encode())
}

// people is a server with users, and one of them signed in.
func people(t *testing.T, role string, change ...func(*web.Options)) *server {
	t.Helper()
	s := newServer(t, change...)
	s.api.SetConfig(withUsers(t))
	s.cookies = s.enter("name", role+" ann", "password", password).want(303).cookie("tocsin")
	if s.cookies == "" {
		t.Fatal("no cookie")
	}
	return s
}

func TestSignInWithAPassword(t *testing.T) {
	s := newServer(t)
	s.api.SetConfig(withUsers(t))
	id := s.accept(s.firing("DiskFull", "db"))
	page := "/incidents/" + id

	// A browser is led to the page and back, a program is told.
	a := s.send("GET", page, "", "Accept", "text/html").want(303)
	if got := a.header.Get("Location"); got != "/signin?next="+url.QueryEscape(page) {
		t.Errorf("it leads to %q", got)
	}
	s.send("GET", page, "").problem(401, "send a token")
	s.send("GET", "/api/v1/incidents", "", "Accept", "text/html").problem(401)
	s.send("GET", "/signin?next="+page, "").problem(200, `name="password"`, `value="`+page+`"`)

	s.enter("name", "responder ann", "password", "wrong").problem(401, "do not fit", `role="alert"`, `value="responder ann"`)
	s.enter("name", "nobody", "password", password).problem(401, "do not fit")
	s.enter("name", "responder ann", "password", password+strings.Repeat("x", 80)).problem(401, "do not fit")
	s.enter("name", "responder ann").problem(400, "Write a name and a password")
	s.enter("name", `"><script>alert(1)</script>`, "password", "x").problem(401, "&lt;script&gt;")

	a = s.enter("name", "responder ann", "password", password, "next", page).want(303)
	if got := a.header.Get("Location"); got != page {
		t.Errorf("signed in, it leads to %q", got)
	}
	if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "tocsin=") || !strings.HasSuffix(got, "; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax") {
		t.Errorf("got the cookie %s", got)
	}
	s.cookies = a.cookie("tocsin")
	s.send("GET", page, "", "Accept", "text/html").want(200)
	if got := s.do(id, "acknowledge", `{"by":"somebody else"}`).AcknowledgedBy; got != "responder ann" {
		t.Errorf("got %q, want the name of who signed in", got)
	}
	s.send("POST", "/api/v1/store/backup", "").problem(403, "admin")
	s.send("GET", "/signin?next="+page, "").want(303)

	// What is stored is no use to anybody.
	_, value, _ := strings.Cut(s.cookies, "=")
	for _, d := range s.documents("session") {
		if strings.Contains(d.ID+string(d.Data), value) || strings.Contains(string(d.Data), "$2a$") {
			t.Errorf("the store has a secret: %s %s", d.ID, d.Data)
		}
		s.send("GET", "/api/v1/version", "", "Cookie", "tocsin="+d.ID).want(401)
	}
	if got := len(s.documents("session")); got != 1 {
		t.Errorf("got %d sessions, want 1", got)
	}

	a = s.send("POST", "/signout", "").want(303)
	if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "tocsin=; Path=/; Max-Age=0;") {
		t.Errorf("signed out: got the cookie %q", got)
	}
	s.send("GET", page, "", "Accept", "text/html").want(303) // at once, although no time has passed
	s.send("GET", "/api/v1/version", "").want(401)
	if got := len(s.documents("session")); got != 0 {
		t.Errorf("got %d sessions after signing out, want 0", got)
	}
}

func TestSignInWithAToken(t *testing.T) {
	s := newServer(t, withAdmin)
	s.send("GET", "/signin", "").problem(200, "Sign in with a token", "<details open>")
	s.enter("token", "wrong").problem(401, "not valid")
	s.cookies = s.enter("token", adminToken).want(303).cookie("tocsin")
	viewer := s.create(`{"role":"viewer","name":"screen"}`)
	source := s.create(`{"source":"alertmanager"}`)
	admin := s.cookies
	s.cookies = ""
	s.enter("token", source.Token).problem(401, "no role")
	s.cookies = s.enter("token", viewer.Token).want(303).cookie("tocsin")
	s.send("GET", "/api/v1/incidents", "").want(200)
	s.send("GET", "/api/v1/tokens", "").problem(403)
	s.send("DELETE", "/api/v1/tokens/"+viewer.ID, "", "Cookie", admin).want(204)
	s.send("GET", "/api/v1/incidents", "").problem(401) // the token is gone, and so is what it let in
	s.cookies = admin
	s.send("GET", "/api/v1/tokens", "").want(200)
	s.api.SetAdminToken(secret.New("another admin token, after a rotation"))
	s.send("GET", "/api/v1/tokens", "").problem(401)
}

// TestSessionEnds: when nobody used it, when it is old, and when what let its holder
// in has changed.
func TestSessionEnds(t *testing.T) {
	use := func(s *server, want int) {
		t.Helper()
		s.send("GET", "/api/v1/version", "").want(want)
	}
	t.Run("idle", func(t *testing.T) {
		s := people(t, "viewer")
		for range 3 {
			s.clock.add(11 * time.Hour)
			use(s, 200)
		}
		s.clock.add(12 * time.Hour)
		use(s, 401)
	})
	t.Run("old", func(t *testing.T) {
		s := people(t, "viewer")
		for range 7*4 - 1 {
			s.clock.add(6 * time.Hour)
			use(s, 200)
		}
		s.clock.add(6 * time.Hour)
		use(s, 401)
	})
	t.Run("other limits", func(t *testing.T) {
		s := people(t, "viewer")
		s.api.SetConfig(withUsers(t, func(c *web.Config) { c.Sessions.Idle /= 12 }))
		s.cookies = s.enter("name", "viewer ann", "password", password).want(303).cookie("tocsin")
		s.clock.add(time.Hour)
		use(s, 401)
	})
	for name, change := range map[string]func(*web.Config){
		"a user is gone":   func(c *web.Config) { c.Users = c.Users[1:] },
		"another role":     func(c *web.Config) { c.Users[0].Role = web.RoleResponder },
		"another password": func(c *web.Config) { c.Users[0].PasswordHash = c.Users[1].PasswordHash },
	} {
		t.Run(name, func(t *testing.T) {
			c := withUsers(t)
			s := newServer(t)
			s.api.SetConfig(c)
			s.cookies = s.enter("name", "viewer ann", "password", password).want(303).cookie("tocsin")
			s.api.SetConfig(c)
			use(s, 200)
			change(&c)
			s.api.SetConfig(c)
			use(s, 401)
		})
	}
	t.Run("deleted by another process", func(t *testing.T) {
		s := people(t, "viewer")
		use(s, 200)
		for _, d := range s.documents("session") {
			if _, err := s.store.PutDocument(t.Context(), incident.Document{Type: d.Type, ID: d.ID, Version: d.Version}); err != nil {
				t.Fatal(err)
			}
		}
		s.clock.add(3 * time.Second)
		use(s, 401)
	})
	t.Run("no users any more", func(t *testing.T) {
		s := people(t, "viewer")
		s.api.SetConfig(web.DefaultConfig())
		use(s, 401) // and nobody else gets in either
		s.cookies = ""
		use(s, 401)
	})
}

// TestSessionForged: what we did not give out is nothing, and is never taken over.
func TestSessionForged(t *testing.T) {
	s := people(t, "admin")
	good := s.cookies
	_, value, _ := strings.Cut(good, "=")
	for _, forged := range []string{"", "x", strings.Repeat("A", 43), value[:42], value + "A", strings.ToLower(value), strings.Repeat("A", 8000), "__Host-" + good, "tocsin-signin=" + value} {
		if !strings.Contains(forged, "=") {
			forged = "tocsin=" + forged
		}
		s.send("GET", "/api/v1/version", "", "Cookie", forged).problem(401)
	}
	s.send("GET", "/api/v1/version", "").want(200)

	// An id that was there before signing in is not that of the session after.
	fixed := "tocsin=" + strings.Repeat("A", 43)
	s.cookies = fixed
	after := s.enter("name", "admin ann", "password", password).want(303).cookie("tocsin")
	if after == fixed || after == "" {
		t.Errorf("signed in with %q, the session is %q", fixed, after)
	}
	s.send("GET", "/api/v1/version", "").want(401)
	// Whoever signs in again has one session and not two.
	s.cookies = good
	again := s.enter("name", "admin ann", "password", password).want(303).cookie("tocsin")
	s.send("GET", "/api/v1/version", "").want(401)
	s.send("GET", "/api/v1/version", "", "Cookie", again).want(200)
}

// TestSessionFromAnotherPage: what other pages make a browser send is refused, with
// the cookie that came along.
func TestSessionFromAnotherPage(t *testing.T) {
	s := people(t, "admin")
	id := s.accept(s.firing("DiskFull", "db"))
	form := url.Values{"name": {"viewer ann"}, "password": {password}}.Encode()
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
		{"Origin", "null"}, {"Origin", "http://127.0.0.1:9096"}, {"Origin", "http://" + s.host, "Sec-Fetch-Site", "cross-site"}} {
		for path, body := range map[string]string{"/api/v1/incidents/" + id + "/acknowledge": "{}", "/api/v1/tokens": `{"role":"admin"}`, "/signout": "", "/signin": form} {
			s.send("POST", path, body, headers...).problem(403, "another web page")
		}
	}
	if i := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "").want(200)); i.State != incident.Open {
		t.Errorf("the incident is %s", i.State)
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://" + s.host}, {"Sec-Fetch-Site", "none"}} {
		s.send("POST", "/api/v1/incidents/"+id+"/note", `{"text":"t"}`, headers...).want(200)
	}
	s.send("GET", "/incidents/"+id, "", "Sec-Fetch-Site", "cross-site", "Accept", "text/html").want(200) // a link in a message
}

func TestWhereSigningInLeads(t *testing.T) {
	s := newServer(t)
	s.api.SetConfig(withUsers(t))
	for next, want := range map[string]string{
		"/incidents/INC-1?tab=2#x": "/incidents/INC-1?tab=2#x", "/": "/", "": "/",
		"https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", `\/evil.example`: "/", "/\t/evil.example": "/", "/a//b": "/", "/%2f/evil.example": "/",
		"javascript:alert(1)": "/", "evil.example": "/", "/signin": "/", "/signin/oidc": "/", "/signout": "/", "/x/../signin": "/", "/" + strings.Repeat("x", 2000): "/", "http:/x": "/", "/x\r\nSet-Cookie: a=b": "/", "/%zz": "/",
	} {
		a := s.enter("name", "viewer ann", "password", password, "next", next).want(303)
		if got := a.header.Get("Location"); got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
}

func TestSignInIsThrottled(t *testing.T) {
	s := newServer(t)
	s.api.SetConfig(withUsers(t))
	tried := 0
	for range 100 { // 10 s
		if s.enter("name", "admin ann", "password", "wrong").status == 401 {
			tried++
		}
		s.clock.add(100 * time.Millisecond)
	}
	if tried < 10 || tried > 12 {
		t.Errorf("100 wrong passwords in 10 s: %d were tried, want 11 or 12", tried)
	}
	for s.enter("name", "admin ann", "password", "wrong").status != 429 {
	}
	s.enter("name", "admin ann", "password", password).problem(429)
	s.enter("name", "viewer ann", "password", password).problem(429) // the same address
	s.address = "192.0.2.1:1"
	s.enter("name", "admin ann", "password", password).problem(429) // the same user
	s.enter("name", "viewer ann", "password", password).want(303)
	s.address = "192.0.2.2:1"
	for range 12 { // unknown users behave alike
		s.enter("name", "nobody", "password", "wrong")
	}
	s.enter("name", "nobody", "password", "wrong").problem(429, "Too many wrong attempts")
	s.clock.add(time.Minute)
	s.enter("name", "admin ann", "password", password).want(303)

	p, _ := withProvider(t)
	for range 10 {
		p.send("GET", "/signin/oidc", "").want(303)
	}
	p.send("GET", "/signin/oidc", "").problem(429)
}

func TestHeadersOfPages(t *testing.T) {
	external, _ := url.Parse("https://tocsin.example.com/")
	s := newServer(t, func(o *web.Options) { o.External = external })
	s.api.SetConfig(withUsers(t))
	s.host = "tocsin.example.com"
	a := s.enter("name", "viewer ann", "password", password).want(303)
	if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-tocsin=") || !strings.Contains(got, "; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("over https: got the cookie %s", got)
	}
	s.cookies = strings.TrimPrefix(a.cookie("__Host-tocsin"), "__Host-")
	s.send("GET", "/api/v1/version", "").want(401) // planted by plain http, or another host of the domain
	s.cookies = "__Host-" + s.cookies
	s.send("GET", "/api/v1/version", "").want(200)
	s.cookies = ""
	for _, path := range []string{"/signin", "/"} {
		a := s.send("GET", path, "", "Accept", "text/html")
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000", "Cache-Control": "no-store"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
	}
	policy := s.send("GET", "/signin", "").header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("got the policy %s", policy)
	}
	s.host = "127.0.0.1:9095" // past the proxy
	if got := s.send("GET", "/signin", "").header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("over plain http: got Strict-Transport-Security %q", got)
	}
	challenges := func(headers ...string) string {
		return strings.Join(s.send("GET", "/api/v1/version", "", headers...).want(401).header.Values("WWW-Authenticate"), " ")
	}
	if got := challenges("Sec-Fetch-Mode", "cors"); strings.Contains(got, "Basic") {
		t.Errorf("a script of a page is answered %q, so that the browser would ask for a password", got)
	}
	if got := challenges(); !strings.Contains(got, "Basic") {
		t.Errorf("a program is answered %q, want it to mention Basic", got)
	}
}

// TestAPasswordOfTheListener comes along with every request of a browser, and is no token of ours.
func TestAPasswordOfTheListener(t *testing.T) {
	s := people(t, "viewer")
	for range 20 {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth("listener", "its password")
		s.send("GET", "/api/v1/version", "", "Authorization", r.Header.Get("Authorization")).want(200)
	}
}

// TestNoSignInWithoutAuthentication: on this machine it stays one click.
func TestNoSignInWithoutAuthentication(t *testing.T) {
	s := newServer(t)
	s.send("GET", "/", "", "Accept", "text/html").want(200)
	if got := s.send("GET", "/signin?next=/incidents/x", "").want(303).header.Get("Location"); got != "/incidents/x" {
		t.Errorf("it leads to %q", got)
	}
	id := s.accept(s.firing("DiskFull", "db"))
	s.do(id, "acknowledge", `{"by":"ann"}`)
	if r := decode[web.AuditJSON](s.send("GET", "/api/v1/audit", "").want(200)).Records; len(r) != 1 || r[0].Who != "ann" || r[0].How != audit.None {
		t.Errorf("got %+v, want what was said of who did it", r)
	}
}

func TestAudit(t *testing.T) {
	s := newServer(t, withAdmin)
	s.api.SetConfig(withUsers(t))
	id := s.accept(s.firing("DiskFull", "db"))
	reference := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "", "Authorization", "Bearer "+adminToken).want(200)).Reference
	s.address = "192.0.2.7:4444"
	s.enter("name", "admin ann", "password", "a wrong password")
	s.enter("name", "this is my password", "password", "admin ann")
	s.cookies = s.enter("name", "admin ann", "password", password).want(303).cookie("tocsin")
	request := s.send("POST", "/api/v1/incidents/"+id+"/note", `{"text":"a secret text"}`).want(200).header.Get("X-Request-Id")
	s.send("POST", "/api/v1/incidents/nobody/note", `{"text":"t"}`).want(404)
	token := s.create(`{"role":"viewer","name":"screen"}`)
	s.send("POST", "/api/v1/store/backup", "").want(200)
	s.send("POST", "/api/v2/silences", `{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":"2026-11-21T03:00:00Z","endsAt":"2026-11-21T05:00:00Z","createdBy":"x","comment":"c"}`).want(200)
	s.send("POST", "/api/v1/incidents/"+id+"/resolve", "{}", "Authorization", "Bearer "+token.Token).want(403)
	s.send("POST", "/api/v1/incidents/"+id+"/resolve", "{}", "Authorization", "Bearer "+adminToken).want(200)
	// What changes nothing, and what nobody known asks, leaves none.
	s.send("GET", "/api/v1/incidents", "").want(200)
	s.send("POST", "/api/v1/explain?source=alertmanager", "x").want(200)
	s.send("POST", "/api/v1/incidents/"+id+"/note", "{}", "Authorization", "Bearer wrong").want(401)
	s.send("POST", "/signout", "").want(303)
	s.cookies, s.token = "", adminToken

	var got []string
	all := decode[web.AuditJSON](s.send("GET", "/api/v1/audit", "").want(200))
	for n, r := range all.Records {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s %s|%s|%d", r.Who, r.How, r.Client, r.Action, r.Method, r.Route, r.Subject, r.Status))
		if n > 0 && r.At.After(all.Records[n-1].At) {
			t.Errorf("record %d is later than the one before", n)
		}
		if !r.At.Equal(morning) || r.Request == "" {
			t.Errorf("got %+v, want a time and a request", r)
		}
	}
	want := []string{
		"admin ann|session/local|192.0.2.7|sign out|POST /signout||303",
		"admin|token|192.0.2.7|command|POST /api/v1/incidents/:id/resolve|" + reference + "|200",
		"screen|token|192.0.2.7|command|POST /api/v1/incidents/:id/resolve|" + id + "|403",
		"admin ann|session/local|192.0.2.7|command|POST /api/v2/silences||200",
		"admin ann|session/local|192.0.2.7|command|POST /api/v1/store/backup||200",
		"admin ann|session/local|192.0.2.7|command|POST /api/v1/tokens|" + token.ID + "|201",
		"admin ann|session/local|192.0.2.7|command|POST /api/v1/incidents/:id/note|nobody|404",
		"admin ann|session/local|192.0.2.7|command|POST /api/v1/incidents/:id/note|" + reference + "|200",
		"admin ann|session/local|192.0.2.7|sign in|POST /signin||303",
		"|session/local|192.0.2.7|sign in|POST /signin||401",
		"admin ann|session/local|192.0.2.7|sign in|POST /signin||401",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all.Records[7].Request != request {
		t.Errorf("got the request %q, want %q as the answer said", all.Records[7].Request, request)
	}
	for _, text := range append(got, fmt.Sprint(s.documents("audit")), s.log.String()) {
		for _, bad := range []string{"a secret text", "a wrong password", "this is my password", token.Token, adminToken, password} {
			if strings.Contains(text, bad) {
				t.Errorf("a record or the log has %q: %.200s", bad, text)
			}
		}
	}
	if n := strings.Count(s.log.String(), "component=audit"); n != len(want) {
		t.Errorf("got %d log lines with component=audit, want %d", n, len(want))
	}

	// Page by page it is the same.
	var ids []string
	for cursor := ""; ; {
		p := decode[web.AuditJSON](s.send("GET", "/api/v1/audit?limit=4&cursor="+cursor, "").want(200))
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	for n, r := range all.Records {
		if n >= len(ids) || ids[n] != r.ID {
			t.Fatalf("page by page: got %q, want %d records in the same order", ids, len(all.Records))
		}
	}
	s.send("GET", "/api/v1/audit?cursor=x", "").problem(400, "not a cursor")
}

// TestStrangersDoNotPushOutRecords: failed sign-ins are stored now and then only.
func TestStrangersDoNotPushOutRecords(t *testing.T) {
	s := newServer(t)
	s.api.SetConfig(withUsers(t))
	for n := range 100 {
		s.address = fmt.Sprintf("192.0.2.%d:1", n)
		s.enter("name", fmt.Sprintf("nobody%d", n), "password", "x").want(401)
	}
	if got := len(s.documents("audit")); got != 20 {
		t.Errorf("got %d records of 100 failed sign-ins at once, want 20", got)
	}
	if got := strings.Count(s.log.String(), "component=audit"); got != 100 {
		t.Errorf("got %d log lines, want 100", got)
	}
}

// TestRefusedAreBounded: what somebody tries who may not is stored now and then only, so
// that it does not push out what people did, and of each person by themselves.
func TestRefusedAreBounded(t *testing.T) {
	s := people(t, "viewer")
	id := s.accept(s.firing("DiskFull", "db"))
	viewer := s.cookies
	s.cookies = ""
	other := s.enter("name", "responder ann", "password", password).want(303).cookie("tocsin")
	s.cookies = viewer
	before := len(s.documents("audit"))
	for range 100 {
		s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", "{}").want(403)
	}
	if got := len(s.documents("audit")) - before; got != 20 {
		t.Errorf("got %d records of 100 refused commands at once, want 20", got)
	}
	if got := strings.Count(s.log.String(), "/acknowledge"); got != 100 {
		t.Errorf("got %d log lines, want 100", got)
	}
	s.cookies = other
	s.send("GET", "/api/v1/tokens", "").want(403)    // looking is no attempt
	s.send("POST", "/api/v1/tokens", "{}").want(403) // the same of another person
	s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", "{}").want(200)
	if got := len(s.documents("audit")) - before; got != 22 {
		t.Errorf("got %d records, want 22: those of another person too", got)
	}
	s.cookies = viewer
	s.clock.add(10 * time.Second)
	for range 10 {
		s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", "{}").want(403)
	}
	if got := len(s.documents("audit")) - before; got != 23 {
		t.Errorf("got %d records, want 23: one more after 10 s", got)
	}
}

// TestOtherPagesAreAudited: what another web page has the browser of somebody send who is
// signed in leaves a record, which does not say that they did it.
func TestOtherPagesAreAudited(t *testing.T) {
	s := people(t, "admin")
	id := s.accept(s.firing("DiskFull", "db"))
	before := len(s.documents("audit"))
	evil := []string{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example"}
	s.send("POST", "/api/v1/incidents/"+id+"/resolve", "{}", evil...).problem(403, "another web page")
	s.send("POST", "/signout", "", evil...).problem(403, "another web page")
	s.send("GET", "/api/v1/incidents/"+id, "", evil...).want(200)
	s.send("POST", "/nowhere", "", evil...).want(403)
	session := s.cookies
	for _, nobody := range []string{"", "tocsin=" + strings.Repeat("A", 43)} {
		s.cookies = nobody
		s.send("POST", "/api/v1/incidents/"+id+"/resolve", "{}", evil...).problem(403, "another web page")
	}
	s.cookies = session
	var got []string
	for _, r := range decode[web.AuditJSON](s.send("GET", "/api/v1/audit", "").want(200)).Records {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s %s|%s|%d", r.Who, r.How, r.Action, r.Method, r.Route, r.Subject, r.Status))
	}
	want := []string{"admin ann|session/local|other page|POST /signout||403",
		"admin ann|session/local|other page|POST /api/v1/incidents/:id/resolve|" + id + "|403"}
	if got = got[:len(got)-before]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for range 50 {
		s.send("POST", "/signout", "", evil...).want(403)
	}
	if got := len(s.documents("audit")) - before; got != 20 {
		t.Errorf("got %d records of 52, want 20", got)
	}
}

// TestWorkOfASignIn: a name that nobody has costs exactly the work of a wrong password,
// whatever the costs of the users' hashes are, and no password costs less.
func TestWorkOfASignIn(t *testing.T) {
	s := newServer(t)
	var costs []int
	real := s.api.SetCompare(nil)
	s.api.SetCompare(func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Errorf("%q: %v", hash, err)
		}
		costs = append(costs, cost)
		return real(hash, password)
	})
	work := func(name, with string, status int) (sum int) {
		t.Helper()
		costs = nil
		s.cookies = ""
		s.clock.add(time.Minute) // so that nobody is slowed down
		s.enter("name", name, "password", with).want(status)
		for _, c := range costs {
			sum += 1 << c
		}
		return sum
	}
	compare := func(want int) {
		t.Helper()
		for _, one := range []struct {
			name, with string
			status     int
		}{
			{"nobody", "wrong", 401}, {"viewer ann", "wrong", 401}, {"responder ann", "wrong", 401}, {"admin ann", "wrong", 401}, {"Admin Ann", password, 401},
			{"nobody", password, 401}, {"nobody", strings.Repeat("x", 100), 401}, {"viewer ann", strings.Repeat("x", 100), 401}, {"viewer ann", password, 303}, {"admin ann", password, 303},
		} {
			if got := work(one.name, one.with, one.status); got != want {
				t.Errorf("%s with %q: costs %v, in all %d; want %d", one.name, one.with, costs, got, want)
			}
		}
	}
	s.api.SetConfig(withUsers(t)) // all of the same cost
	compare(1 << bcrypt.MinCost)
	if work("nobody", "wrong", 401); !slices.Equal(costs, []int{bcrypt.MinCost}) {
		t.Errorf("got the costs %v, want one comparison", costs)
	}
	s.api.SetConfig(withUsers(t, func(c *web.Config) {
		for n, cost := range []int{bcrypt.MinCost + 1, bcrypt.MinCost + 3, bcrypt.MinCost} {
			hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
			if err != nil {
				t.Fatal(err)
			}
			c.Users[n].PasswordHash = secret.New(string(hash))
		}
	}))
	compare(1 << (bcrypt.MinCost + 3))
}
