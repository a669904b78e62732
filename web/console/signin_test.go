package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/bcrypt"
)

// TestSignedIn: a person who signs in sees their name and a way out, and only then the pages.
func TestSignedIn(t *testing.T) {
	const password = "a good long password"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, fmt.Sprintf("web: {users: [{name: ann, password_hash: %s, role: viewer}]}", hash))
	d.header.Set("Accept", "text/html,application/xhtml+xml")
	a := d.send(http.MethodGet, "/?state=open", "", "")
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/signin?next=%2F%3Fstate%3Dopen" {
		t.Fatalf("not signed in: got %d to %q", a.Code, a.Header().Get("Location"))
	}
	form := url.Values{"name": {"ann"}, "password": {password}, "next": {"/?state=open"}}.Encode()
	a = d.send(http.MethodPost, "/signin", "application/x-www-form-urlencoded", form)
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/?state=open" {
		t.Fatalf("got %d to %q: %s", a.Code, a.Header().Get("Location"), a.Body)
	}
	d.header.Set("Cookie", cookieOf(a))
	a = d.send(http.MethodGet, "/", "", "")
	for _, want := range []string{"ann", `action="/signout"`} {
		if !strings.Contains(a.Body.String(), want) {
			t.Errorf("the board does not have %q: %d %s", want, a.Code, a.Body)
		}
	}
	for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy"} {
		if a.Header().Get(name) == "" {
			t.Errorf("the board has no header %s", name)
		}
	}
	d.send(http.MethodPost, "/signout", "", "")
	if a = d.send(http.MethodGet, "/", "", ""); a.Code != http.StatusSeeOther {
		t.Errorf("signed out: got %d", a.Code)
	}
}

// cookieOf is the first cookie that an answer sets.
func cookieOf(a *httptest.ResponseRecorder) string {
	cookie, _, _ := strings.Cut(a.Header().Get("Set-Cookie"), ";")
	return cookie
}

// enter signs somebody in with a password, and is them from then on.
func (d *desk) enter(name, password string) {
	d.t.Helper()
	a := d.send(http.MethodPost, "/signin", "application/x-www-form-urlencoded", url.Values{"name": {name}, "password": {password}}.Encode())
	if a.Code != http.StatusSeeOther {
		d.t.Fatalf("%s: got %d %s", name, a.Code, a.Body)
	}
	d.header.Set("Cookie", cookieOf(a))
}

// TestSignedOutWhileWriting: what somebody wrote while their session ended is not lost.
func TestSignedOutWhileWriting(t *testing.T) {
	const password, said = "a good long password", "Two hours of work:\n\"<b>restarted</b>\" & checked."
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, fmt.Sprintf("{sources: {alertmanager: {auth: {bearer_token: the token of a sender}}}, web: {users: [{name: ann, password_hash: %s, role: responder}]}}", hash))
	d.header.Set("Authorization", "Bearer the token of a sender")
	reference := d.fires("alertname", "DiskFull")
	d.header.Del("Authorization")
	d.header.Set("Accept", "text/html,application/xhtml+xml")
	d.enter("ann", password)
	at := "/incidents/" + reference + "/do/note"
	form := d.form(d.page(at, 200), at, "text", said)
	d.header.Del("Cookie")
	a := d.submit(at, form)
	if a.Code != http.StatusUnauthorized {
		t.Fatalf("got %d to %q, want 401", a.Code, a.Header().Get("Location"))
	}
	d.lacks(a.Body.String(), "<b>")
	again := d.form(a.Body.String(), at)
	if again.Encode() != form.Encode() {
		t.Fatalf("got %v, want %v", again, form)
	}
	d.enter("ann", password)
	if a = d.submit(at, again); a.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), "Two hours of work:")
	d.header.Del("Cookie")
	for _, body := range []string{"", "a=%zz", "a=" + strings.Repeat("x", 2<<20)} { // nothing to keep, no form, too large
		if a = d.send(http.MethodPost, at, "application/x-www-form-urlencoded", body); a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/signin" {
			t.Errorf("%.10q: got %d to %q", body, a.Code, a.Header().Get("Location"))
		}
	}
}

// TestRefusedCommandsAreAudited: what a viewer tries to do with a form made by hand is
// refused, and leaves a record like that of a request to the API.
func TestRefusedCommandsAreAudited(t *testing.T) {
	const password = "a good long password"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, fmt.Sprintf("{sources: {alertmanager: {auth: {bearer_token: the token of a sender}}}, web: {users: [{name: vic, password_hash: %[1]s, role: viewer}, {name: bea, password_hash: %[1]s, role: admin}]}}", hash))
	d.header.Set("Authorization", "Bearer the token of a sender")
	reference := d.fires("alertname", "DiskFull")
	d.header.Del("Authorization")
	d.enter("vic", password)
	var want []string
	refused := func(path, route string, form url.Values) {
		t.Helper()
		if a := d.submit(path, form); a.Code != http.StatusForbidden || !strings.Contains(a.Body.String(), "You may look only") {
			t.Errorf("%s: got %d %s", path, a.Code, a.Body)
		}
		want = append([]string{"vic|session/local|command|POST " + route + "|403"}, want...)
	}
	at := "/incidents/" + reference + "/do/"
	refused(at+"note", "/api/v1/incidents/:id/note|"+reference, url.Values{"text": {"a secret text"}})
	refused(at+"acknowledge", "/api/v1/incidents/:id/acknowledge|"+reference, nil)
	refused(at+"duty-done", "/api/v1/incidents/:id/duties/:duty/done|"+reference, nil)
	refused("/incidents/INC-unknown/do/close", "/api/v1/incidents/:id/close|INC-unknown", nil)
	refused("/do/resolve", "/api/v1/incidents/:id/resolve|"+reference, url.Values{"incident": {reference, "another"}})
	refused("/do/resolve", "/api/v1/incidents/:id/resolve|-", nil)
	refused("/report", "/api/v1/incidents|", url.Values{"description": {"it smokes"}})
	d.page("/incidents/"+reference, http.StatusOK)
	d.page(at+"note", http.StatusForbidden) // looking is no attempt
	d.submit(at+"nothing", nil)             // nor is what no form does

	d.enter("bea", password)
	var page struct {
		Records []struct {
			Who, How, Action, Method, Route, Subject string
			Status                                   int
		}
	}
	if err := json.Unmarshal([]byte(d.api("GET", "/api/v1/audit", "")), &page, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range page.Records {
		if r.Action == "command" {
			got = append(got, fmt.Sprintf("%s|%s|%s|%s %s|%s|%d", r.Who, r.How, r.Action, r.Method, r.Route, r.Subject, r.Status))
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
