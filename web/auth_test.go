package web_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

// operation is one documented request with the role it needs.
type operation struct {
	method, path, body string
	role               web.Role
	// status is what it answers.
	status int
}

// operations are all of the API, over two incidents, a dead letter and a token.
func operations(incident, other, letter, token string) []operation {
	i := "/api/v1/incidents/" + incident
	by := `{"by":"ann"}`
	return []operation{
		{"GET", "/api/v1/incidents", "", web.RoleViewer, 200},
		{"GET", i, "", web.RoleViewer, 200},
		{"GET", i + "/alerts", "", web.RoleViewer, 200},
		{"GET", i + "/timeline", "", web.RoleViewer, 200},
		{"GET", i + "/report?kind=closure", "", web.RoleViewer, 200},
		{"GET", i + "/announcement", "", web.RoleViewer, 200},
		{"GET", "/api/v1/reports/monthly?month=2026-11", "", web.RoleViewer, 200},
		{"GET", "/api/v1/reports/shift", "", web.RoleViewer, 200},
		{"GET", i + "/notifications", "", web.RoleViewer, 200},
		{"GET", i + "/notifications/preview?receiver=ops", "", web.RoleViewer, 200},
		{"GET", i + "/similar", "", web.RoleViewer, 200},
		{"GET", "/api/v1/stats?by=severity", "", web.RoleViewer, 200},
		{"GET", "/api/v1/board?q=disk&offset=0", "", web.RoleViewer, 200},
		{"GET", "/api/v1/stream?incident=" + incident, "", web.RoleViewer, 200},
		{"GET", "/api/v1/sources", "", web.RoleViewer, 200},
		{"GET", "/api/v1/jobs", "", web.RoleViewer, 200},
		{"GET", "/api/v1/config", "", web.RoleViewer, 200},
		{"GET", "/api/v1/undelivered", "", web.RoleViewer, 200},
		{"GET", "/api/v1/notices", "", web.RoleViewer, 200},
		{"GET", "/api/v1/deadletters", "", web.RoleViewer, 200},
		{"GET", "/api/v1/deadletters/" + letter, "", web.RoleViewer, 200},
		{"POST", "/api/v1/explain?source=alertmanager", "x", web.RoleViewer, 200},
		{"GET", "/api/v1/explain/mapping?source=tool", "", web.RoleViewer, 200},
		{"POST", "/api/v1/explain/mapping?source=tool", `{"mapping":"name: {path: title}","payload":"{}"}`, web.RoleViewer, 200},
		{"POST", "/api/v1/silences/preview", `{"matchers":[{"name":"alertname","value":"DiskFull"}]}`, web.RoleViewer, 200},
		{"GET", "/api/v1/choices", "", web.RoleViewer, 200},
		{"GET", "/api/v1/version", "", web.RoleViewer, 200},
		{"GET", "/api/v1/openapi.yaml", "", web.RoleViewer, 200},
		{"POST", "/api/v1/incidents", `{"description":"d","reporter":"ann"}`, web.RoleResponder, 200},
		{"POST", i + "/acknowledge", by, web.RoleResponder, 200},
		{"POST", i + "/unacknowledge", by, web.RoleResponder, 200},
		{"POST", i + "/note", `{"by":"ann","text":"t"}`, web.RoleResponder, 200},
		{"POST", i + "/phase", `{"by":"ann","phase":"observing"}`, web.RoleResponder, 200},
		{"POST", i + "/severity", `{"by":"ann","severity":"info"}`, web.RoleResponder, 200},
		{"POST", i + "/notifications/retry", `{"by":"ann","target":"ops/slack[0]"}`, web.RoleResponder, 200},
		{"POST", "/api/v1/receivers/ops/test", by, web.RoleResponder, 200},
		{"POST", i + "/assign", `{"by":"ann","role":"technical_lead","who":"bob"}`, web.RoleResponder, 200},
		{"POST", i + "/assess", `{"by":"ann","impact":"high","urgency":"low","observations":"slow"}`, web.RoleResponder, 200},
		{"POST", i + "/category", `{"by":"ann","category":"network"}`, web.RoleResponder, 200},
		{"POST", i + "/level", `{"by":"ann","level":"minor"}`, web.RoleResponder, 200},
		{"POST", i + "/work", `{"by":"ann","on":"the disk"}`, web.RoleResponder, 200},
		{"POST", i + "/rest", by, web.RoleResponder, 200},
		{"POST", i + "/customers", `{"by":"ann","customers":["Acme"]}`, web.RoleResponder, 200},
		{"POST", i + "/next-contact", `{"by":"ann","at":"2026-11-21T05:00:00Z"}`, web.RoleResponder, 200},
		{"POST", i + "/contacts", `{"by":"ann","who":"Mr Li","channel":"phone","reached":true}`, web.RoleResponder, 200},
		{"POST", i + "/confirm", `{"by":"ann","customer":"Acme"}`, web.RoleResponder, 200},
		{"POST", i + "/link", `{"by":"ann","name":"logs","url":"https://logs.example.com/1"}`, web.RoleResponder, 200},
		{"POST", i + "/escalate", `{"by":"ann","to":"L3","reason":"complexity"}`, web.RoleResponder, 200},
		{"POST", i + "/accept", by, web.RoleResponder, 200},
		{"POST", i + "/answer", by, web.RoleResponder, 200},
		{"POST", i + "/update", `{"by":"ann","what":"the shop is slow"}`, web.RoleResponder, 200},
		{"POST", i + "/updates/1/sign", `{"by":"bob"}`, web.RoleResponder, 200},
		{"POST", i + "/findings", `{"by":"ann","cause":"a full disk","workaround":"a restart"}`, web.RoleResponder, 200},
		{"POST", i + "/workaround-removed", by, web.RoleResponder, 200},
		{"POST", i + "/causes", `{"by":"ann","text":"the network"}`, web.RoleResponder, 200},
		{"POST", i + "/actions", `{"by":"ann","text":"more disks","owner":"bob","due":"2026-12-21T05:00:00Z"}`, web.RoleResponder, 200},
		{"POST", i + "/actions/1/done", by, web.RoleResponder, 200},
		{"GET", i + "/duties", "", web.RoleViewer, 200},
		{"POST", i + "/duties/handover/done", by, web.RoleResponder, 200},
		{"POST", i + "/duties/call/waive", `{"by":"ann","comment":"nobody took it"}`, web.RoleResponder, 200},
		{"POST", i + "/correct", `{"by":"ann","went_down":"2026-11-21T01:00:00Z"}`, web.RoleResponder, 200},
		{"POST", i + "/snooze", `{"by":"ann","for_seconds":60}`, web.RoleResponder, 200},
		{"POST", i + "/unsnooze", by, web.RoleResponder, 200},
		{"POST", i + "/children", `{"by":"ann","customer":"Acme","title":"mail is slow"}`, web.RoleResponder, 200},
		{"POST", i + "/merge", `{"by":"ann","into":"` + other + `"}`, web.RoleResponder, 200},
		{"POST", i + "/unmerge", by, web.RoleResponder, 200},
		{"POST", i + "/resolve", by, web.RoleResponder, 200},
		{"POST", i + "/contacts/followed-up", `{"by":"ann","who":"Mr Li"}`, web.RoleResponder, 200},
		{"POST", i + "/close", by, web.RoleResponder, 200},
		{"POST", i + "/reopen", by, web.RoleResponder, 200},
		{"POST", "/api/v1/deadletters/" + letter + "/retry", "", web.RoleAdmin, 200},
		{"GET", "/api/v1/audit", "", web.RoleAdmin, 200},
		{"GET", "/api/v1/recordings", "", web.RoleAdmin, 200},
		{"GET", "/api/v1/recordings/first", "", web.RoleAdmin, 200},
		{"PUT", "/api/v1/views/night", `{"query":"severity=critical"}`, web.RoleResponder, 200},
		{"GET", "/api/v1/views", "", web.RoleViewer, 200},
		{"DELETE", "/api/v1/views/night", "", web.RoleResponder, 204},
		{"GET", "/api/v1/tokens", "", web.RoleAdmin, 200},
		{"POST", "/api/v1/tokens", `{"role":"viewer","name":"screen"}`, web.RoleAdmin, 201},
		{"POST", "/api/v1/store/backup", "", web.RoleAdmin, 200},
		{"DELETE", "/api/v1/tokens/" + token, "", web.RoleAdmin, 204},
	}
}

const adminToken = "an admin token from the environment"

// withAdmin configures the admin token.
func withAdmin(o *web.Options) { o.AdminToken = adminToken }

// create makes a token through the API.
func (s *server) create(body string) web.CreatedTokenJSON {
	s.t.Helper()
	return decode[web.CreatedTokenJSON](s.send("POST", "/api/v1/tokens", body).want(201))
}

// populated is a server with something of everything.
func populated(t *testing.T, change ...func(*web.Options)) (s *server, ops []operation) {
	t.Helper()
	s = newServer(t, append([]func(*web.Options){withAdmin}, change...)...)
	s.token = adminToken
	id := s.accept(s.firing("DiskFull", "db"))
	s.letter("letter", "good", false)
	spare := s.create(`{"role":"viewer"}`)
	return s, operations(id, s.accept(s.firing("Core", "net")), "letter", spare.ID)
}

// TestEveryDocumentedAnswer gives every answer that openapi.yaml has under
// /api/v1 (but for ingest's), and checks that it has no others.
func TestEveryDocumentedAnswer(t *testing.T) {
	s, ops := populated(t)
	each := func(status int, before func(), mentions ...string) {
		t.Helper()
		for _, op := range ops {
			if before != nil {
				before()
			}
			if !documented(s, op, status) || status == 503 && !readsStore(op) {
				continue
			}
			s.send(op.method, op.path, op.body).problem(status, mentions...)
		}
	}
	s.store.breakWith(&store.UnavailableError{Cause: errInternal})
	each(503, nil, "store cannot be reached")
	s.store.breakWith(errInternal)
	s.log.Reset()
	each(500, nil, "request_id")
	if !strings.Contains(s.log.String(), errInternal.Error()) {
		t.Error("the log does not say what went wrong")
	}
	s.store.breakWith(nil)
	s.token = ""
	each(401, nil, "send a token")
	s.token = "wrong"
	each(401, func() { s.clock.add(time.Hour) }, "not valid")
	for range 20 {
		s.send("GET", "/api/v1/version", "")
	}
	each(429, nil, "too many")
	s.token = adminToken
	s.clock.add(time.Hour)
	s.token = s.create(`{"source":"alertmanager"}`).Token
	each(403, nil, "role")
	s.token = adminToken
	for _, op := range ops {
		if documented(s, op, 400) {
			s.send(op.method, op.path+map[bool]string{true: "&", false: "?"}[strings.Contains(op.path, "?")]+"nope=1", op.body).problem(400, `"nope"`)
		}
	}
	for _, op := range ops {
		s.send(op.method, op.path, op.body).want(op.status)
	}
	huge, hugest := strings.Repeat(" ", 1<<20+1), strings.Repeat(" ", 8<<20+1)
	for _, op := range ops {
		if documented(s, op, 413) {
			body := huge
			if strings.HasPrefix(op.path, "/api/v1/explain") {
				body = hugest
			}
			s.send(op.method, op.path, body).problem(413)
		}
		if documented(s, op, 404) {
			missing := strings.NewReplacer("/letter", "/nobody").Replace(op.path)
			parts := strings.Split(missing, "/")
			if len(parts) <= 4 {
				continue // it is there, unless something is off
			}
			parts[4] = "nobody"
			s.send(op.method, strings.Join(parts, "/"), op.body).problem(404, "nobody")
		}
	}
	s.send("GET", "/api/v1/stream?incident=nobody", "").problem(404, "nobody")
	// What is left needs other servers, or stands in tests of its own.
	unknown := newServer(t)
	unknown.checker, unknown.handler = s.checker, s.checker.Handler(t, unknown.engine)
	unknown.store.breakWith(&store.UnavailableError{Cause: errInternal})
	for _, op := range ops {
		unknown.send(op.method, op.path, op.body).problem(503)
	}
	s2, ops2 := populated(t, func(o *web.Options) {
		o.Retry, o.Explain, o.Mapping, o.ExplainMapping, o.Backup, o.Recordings, o.Configuration = nil, nil, nil, nil, nil, nil, nil
	})
	s2.checker, s2.handler = s.checker, s.checker.Handler(t, s2.engine)
	for _, op := range ops2 {
		if documented(s, op, 501) {
			s2.send(op.method, op.path, op.body).problem(501)
		}
		if strings.HasPrefix(op.path, "/api/v1/recordings") {
			s2.send(op.method, op.path, op.body).problem(404, "the flight recorder is off")
		}
	}
	for _, name := range s.checker.Missing("/api/v1/", 409) {
		if !strings.HasPrefix(name, "POST /api/v1/alerts ") {
			t.Errorf("documented but not seen: %s", name)
		}
	}
}

// readsStore reports whether an operation needs the store.
func readsStore(op operation) bool {
	return op.path != "/api/v1/choices" && op.path != "/api/v1/config" && op.path != "/api/v1/version" && op.path != "/api/v1/openapi.yaml"
}

// documented reports whether openapi.yaml has a status for an operation. A
// checker refuses the others.
func documented(s *server, op operation, status int) bool {
	path, _, _ := strings.Cut(op.path, "?")
	return s.checker.Documents(op.method, path, status)
}

func TestRoles(t *testing.T) {
	for _, role := range web.Roles() {
		t.Run(role, func(t *testing.T) {
			s, ops := populated(t)
			s.token = s.create(`{"role":"` + role + `","name":"ann"}`).Token
			for _, op := range ops {
				may := slices.Index(web.Roles(), role) >= slices.Index(web.Roles(), string(op.role))
				if may {
					s.send(op.method, op.path, op.body).want(op.status)
				} else {
					s.send(op.method, op.path, op.body).problem(403, string(op.role))
				}
			}
		})
	}
}

func TestWhoActs(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	id := s.accept(s.firing("DiskFull", "db"))
	if got := s.do(id, "acknowledge", ``).AcknowledgedBy; got != "admin" {
		t.Errorf("the configured token: got %q, want admin", got)
	}
	s.token = s.create(`{"role":"responder","name":"Ann Lee"}`).Token
	if got := s.do(id, "resolve", `{"by":"somebody else"}`).ResolvedBy; got != "Ann Lee" {
		t.Errorf("got %q, want the token's name", got)
	}
	i := decode[web.IncidentJSON](s.send("POST", "/api/v1/incidents", `{"description":"d"}`).want(200))
	if i.Reporter != "Ann Lee" {
		t.Errorf("reporter: got %q, want the token's name", i.Reporter)
	}
	i = decode[web.IncidentJSON](s.send("POST", "/api/v1/incidents", `{"description":"e","reporter":"a customer"}`).want(200))
	who := decode[web.TimelinePageJSON](s.send("GET", "/api/v1/incidents/"+i.ID+"/timeline", "").want(200)).Timeline[0].Who
	if i.Reporter != "a customer" || who != "Ann Lee" {
		t.Errorf("for somebody else: got reporter %q, written down by %q; want the customer, Ann Lee", i.Reporter, who)
	}
}

func TestWaysToPresentAToken(t *testing.T) {
	s := newServer(t, withAdmin)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+adminToken))
	for _, test := range []struct {
		header string
		status int
	}{
		{"Bearer " + adminToken, 200}, {"bearer  " + adminToken, 200}, {"Token " + adminToken, 200}, {basic, 200},
		{"", 401}, {"Bearer", 401}, {"Bearer x", 401}, {adminToken, 401}, {"Digest " + adminToken, 401}, {"Basic " + adminToken, 401},
	} {
		s.clock.add(time.Hour)
		s.send("GET", "/api/v1/version", "", "Authorization", test.header).want(test.status)
	}
	s.send("GET", "/api/v1/version?token="+url.QueryEscape(adminToken), "").want(401)
}

func TestTokens(t *testing.T) {
	s := newServer(t)
	if s.api.Authenticated() || !s.api.Open("alertmanager") {
		t.Fatal("without tokens: want no authentication and open sources")
	}
	source := s.create(`{"source":"prometheus"}`)
	if s.api.Authenticated() || s.api.Open("prometheus") || !s.api.Open("alertmanager") {
		t.Error("with a token for one source: want that one closed, and no authentication otherwise")
	}
	s.send("POST", "/api/v1/tokens", `{"role":"viewer"}`).problem(409, "admin token first")
	admin := s.create(`{"role":"admin","name":"ann"}`)
	if !s.api.Authenticated() || s.api.Open("alertmanager") {
		t.Error("with an admin token: want authentication")
	}
	s.send("GET", "/api/v1/tokens", "").problem(401)
	s.token = admin.Token
	viewer := s.create(`{"role":"viewer"}`)
	if !strings.HasPrefix(viewer.Name, "viewer-") || !strings.HasPrefix(viewer.Token, "tcs_") {
		t.Errorf("got %+v, want a made-up name and a token", viewer)
	}
	list := s.send("GET", "/api/v1/tokens", "").want(200)
	if got := decode[web.TokensJSON](list).Tokens; len(got) != 3 {
		t.Errorf("got %d tokens, want 3", len(got))
	}
	for _, made := range []web.CreatedTokenJSON{source, admin, viewer} {
		documents, err := s.store.Documents(context.Background(), "token", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documents {
			if strings.Contains(string(d.Data), made.Token) {
				t.Errorf("the store holds the token itself: %s", d.Data)
			}
		}
		if strings.Contains(s.log.String(), made.Token) || strings.Contains(string(list.body), made.Token) {
			t.Error("the log or the list holds a token")
		}
	}
	s.send("DELETE", "/api/v1/tokens/"+admin.ID, "").problem(409, "last admin token")
	second := s.create(`{"role":"admin","name":"bob"}`)
	s.send("DELETE", "/api/v1/tokens/"+admin.ID, "").want(204)
	s.send("GET", "/api/v1/tokens", "").problem(401, "not valid")
	s.token = second.Token
	s.send("DELETE", "/api/v1/tokens/"+admin.ID, "").problem(404)
	for _, test := range []struct{ body, want string }{
		{``, `"role"`}, {`{}`, `"role"`}, {`{"role":"root"}`, `"role"`}, {`{"role":"viewer","source":"prometheus"}`, `"role"`},
		{`{"source":"nobody"}`, `"source"`}, {`{"source":"a b"}`, `"source"`}, {`{"role":"viewer","name":"admin"}`, `"name"`},
		{`{"role":"viewer","name":"tocsin"}`, `"name"`}, {`{"role":"viewer","name":"a\u0007"}`, `"name"`}, {`{"rule":"viewer"}`, `"rule"`},
	} {
		s.send("POST", "/api/v1/tokens", test.body).problem(400, test.want)
	}

	// Deleted behind our back: authentication stays on.
	if err := web.DeleteToken(context.Background(), s.store, second.ID); err != nil {
		t.Fatal(err)
	}
	if err := web.DeleteToken(context.Background(), s.store, viewer.ID); err != nil {
		t.Fatal(err)
	}
	s.clock.add(time.Minute)
	s.send("GET", "/api/v1/version", "").problem(401)
	s.token = ""
	s.send("GET", "/api/v1/version", "").problem(401)
}

func TestSourceTokens(t *testing.T) {
	s := newServer(t)
	value := s.create(`{"source":"prometheus"}`).Token
	admin := s.create(`{"role":"admin"}`).Token
	s.token = admin
	viewer := s.create(`{"role":"viewer"}`).Token
	s.api.SetAdminToken(secret.New(adminToken))
	for _, test := range []struct {
		source, token string
		want          bool
	}{
		{"prometheus", value, true}, {"alertmanager", value, false}, {"", value, false}, {"prometheus", admin, true}, {"alertmanager", adminToken, true},
		{"prometheus", viewer, false}, {"", viewer, false}, {"prometheus", "", false}, {"prometheus", value + "x", false},
	} {
		if got := s.api.SourceToken(t.Context(), test.source, test.token); got != test.want {
			t.Errorf("source %q, token %.8s…: got %v, want %v", test.source, test.token, got, test.want)
		}
	}
	s.send("GET", "/api/v1/version", "", "Authorization", "Bearer "+value).problem(403)

	// Made elsewhere: noticed after a few seconds.
	_, other, err := web.CreateToken(t.Context(), s.store, web.NewToken{Source: "alertmanager"})
	if err != nil {
		t.Fatal(err)
	}
	s.clock.add(5 * time.Second)
	if !s.api.SourceToken(t.Context(), "alertmanager", other.Reveal()) {
		t.Error("a token made by another process is not known after 5 s")
	}
	// While the store is away a known token holds: the sender is to hear 503, not 401.
	s.store.breakWith(&store.UnavailableError{Cause: errInternal})
	s.clock.add(time.Hour)
	if !s.api.SourceToken(t.Context(), "prometheus", value) {
		t.Error("a known token is not accepted while the store is away")
	}
}

func TestNobodyIsLetInBeforeTheTokensAreKnown(t *testing.T) {
	s := newServer(t)
	s.store.breakWith(&store.UnavailableError{Cause: errInternal})
	if !s.api.Authenticated() || s.api.Open("alertmanager") || s.api.SourceToken(t.Context(), "alertmanager", "x") {
		t.Error("want everything closed")
	}
	s.send("GET", "/api/v1/version", "").problem(503)
	s.send("POST", "/ingest/alertmanager", "{}").problem(503)
	s.store.breakWith(nil)
	s.send("GET", "/api/v1/version", "").want(200)
}

func TestThrottle(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	issued := s.create(`{"role":"viewer"}`).Token
	s.token = "wrong"
	s.log.Reset()
	refused := 0
	for range 1000 {
		if a := s.send("GET", "/api/v1/version", ""); a.status == http.StatusTooManyRequests {
			refused++
			if a.header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
		s.clock.add(100 * time.Millisecond)
	}
	// 100 s pass: ten tries at once and one each 5 s.
	if tried := 1000 - refused; tried < 25 || tried > 35 {
		t.Errorf("1,000 wrong tokens in 100 s: %d were tried, want about 30", tried)
	}
	if lines := strings.Count(s.log.String(), "wrong token"); lines != 2 {
		t.Errorf("got %d log lines in 100 s, want 2", lines)
	}
	for s.send("GET", "/api/v1/version", "").status != http.StatusTooManyRequests {
	}
	s.send("GET", "/api/v1/version", "", "Authorization", "Bearer "+adminToken).problem(429) // it may be guessable
	s.send("GET", "/api/v1/version", "", "Authorization", "Bearer "+issued).want(200)        // this one is not
	s.address = "[2001:db8::1]:1"
	s.send("GET", "/api/v1/version", "").want(401)
	s.address = "127.0.0.1:5555"
	s.clock.add(time.Minute)
	s.send("GET", "/api/v1/version", "", "Authorization", "Bearer "+adminToken).want(200)
}

func TestProtect(t *testing.T) {
	for _, test := range []struct {
		name         string
		auth, any    bool
		method, host string
		headers      []string
		want         int
	}{
		{"localhost", false, false, "GET", "localhost:9095", nil, 200},
		{"localhost without a port", false, false, "GET", "LOCALHOST", nil, 200},
		{"127.0.0.1", false, false, "GET", "127.0.0.1:80", nil, 200},
		{"127.9.9.9", false, false, "GET", "127.9.9.9", nil, 200},
		{"IPv6", false, false, "GET", "[::1]:9095", nil, 200},
		{"IPv6 without a port", false, false, "GET", "[::1]", nil, 200},
		{"another name", false, false, "GET", "evil.example:9095", nil, 403},
		{"a name that looks like ours", false, false, "GET", "localhost.evil.example", nil, 403},
		{"a name that begins with an address", false, false, "GET", "127.0.0.1.evil.example", nil, 403},
		{"another address", false, false, "GET", "10.0.0.1:9095", nil, 403},
		{"a mapped address", false, false, "GET", "[::ffff:127.0.0.1]:9095", nil, 403},
		{"no host", false, false, "GET", "", nil, 403},
		{"another name, allowed", false, true, "GET", "tocsin.example", nil, 200},
		{"our own page", false, false, "POST", "localhost:9095", []string{"Origin", "http://localhost:9095", "Sec-Fetch-Site", "same-origin"}, 200},
		{"another page", false, false, "POST", "localhost:9095", []string{"Origin", "https://evil.example"}, 403},
		{"another port", false, false, "POST", "localhost:9095", []string{"Origin", "http://localhost:3000"}, 403},
		{"another name of ours", false, false, "POST", "localhost:9095", []string{"Origin", "http://127.0.0.1:9095"}, 403},
		{"an opaque origin", false, false, "POST", "localhost:9095", []string{"Origin", "null"}, 403},
		{"an extension", false, false, "POST", "localhost:9095", []string{"Origin", "moz-extension://localhost:9095"}, 403},
		{"another page, reading", false, false, "GET", "localhost:9095", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another page, any host", false, true, "GET", "tocsin.example", []string{"Origin", "https://evil.example"}, 403},
		{"typed in", false, false, "GET", "localhost:9095", []string{"Sec-Fetch-Site", "none"}, 200},
		{"authenticated, another name", true, false, "GET", "tocsin.example", nil, 200},
		{"authenticated, another page, reading", true, false, "GET", "tocsin.example", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		{"authenticated, another page, writing", true, false, "POST", "tocsin.example", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"authenticated, another origin, writing", true, false, "POST", "tocsin.example", []string{"Origin", "https://evil.example"}, 403},
		{"authenticated, no browser", true, false, "POST", "tocsin.example", nil, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, func(o *web.Options) {
				o.AnyHost = test.any
				if test.auth {
					o.AdminToken = adminToken
				}
			})
			s.token = adminToken
			engine := gin.New()
			engine.Use(s.api.Protect())
			engine.Any("/ingest/alertmanager", func(c *gin.Context) { c.Status(200) })
			engine.Any("/metrics", s.api.Require(web.RoleViewer), func(c *gin.Context) { c.Status(200) })
			for _, path := range []string{"/ingest/alertmanager", "/metrics"} {
				r := httptest.NewRequest(test.method, path, nil)
				r.Host = test.host
				r.Header.Set("Authorization", "Bearer "+adminToken)
				for i := 0; i < len(test.headers); i += 2 {
					r.Header.Set(test.headers[i], test.headers[i+1])
				}
				w := httptest.NewRecorder()
				engine.ServeHTTP(w, r)
				if w.Code != test.want {
					t.Errorf("%s %s to %q with %q: got %d %s, want %d", test.method, path, test.host, test.headers, w.Code, w.Body, test.want)
				}
				if w.Code == 403 && w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("got content type %q, want a problem document", w.Header().Get("Content-Type"))
				}
			}
		})
	}
}

func TestBackup(t *testing.T) {
	s := newServer(t, func(o *web.Options) {
		o.Backup = func(_ context.Context, w io.Writer) error {
			if _, err := io.WriteString(w, "the first part"); err != nil {
				return err
			}
			return errors.New("the disk is gone")
		}
	})
	func() {
		defer func() {
			if got := recover(); got != http.ErrAbortHandler {
				t.Errorf("a backup that breaks off: got %v, want the connection to break too", got)
			}
		}()
		engine := gin.New()
		s.api.Register(engine)
		r := httptest.NewRequest("POST", "/api/v1/store/backup", nil)
		r.Host = "localhost"
		engine.ServeHTTP(httptest.NewRecorder(), r)
	}()

	s = newServer(t)
	if a := s.send("POST", "/api/v1/store/backup", "").want(200); string(a.body) != "a tar archive" || a.header.Get("Content-Type") != "application/x-tar" {
		t.Errorf("got %q as %q", a.body, a.header.Get("Content-Type"))
	}
	s.store.breakWith(fmt.Errorf("no room: %w", store.ErrUnavailable))
	if a := s.send("POST", "/api/v1/store/backup", "").problem(503); a.header.Get("Content-Disposition") != "" {
		t.Errorf("a problem has the headers of an archive: %v", a.header)
	}
}
