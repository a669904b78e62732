package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
	cookie, _, _ := strings.Cut(a.Header().Get("Set-Cookie"), ";")
	d.header.Set("Cookie", cookie)
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
