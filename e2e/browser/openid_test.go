package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tocsin-gateway/tocsin/e2e"
	"github.com/tocsin-gateway/tocsin/web/openid/openidtest"
)

const (
	adminToken = "the admin token of this test"
)

// built is the program, as people run it.
func built(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TOCSIN_E2E_BINARY"); path != "" {
		return path
	}
	path, err := e2e.Build(t.TempDir(), "tocsin", "nomsgpack")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// started starts the program with a configuration, at an address that is known before.
func started(t *testing.T, binary, addr, config string) *site {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tocsin.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := e2e.Start(t.Context(), binary, dir, addr, "TOCSIN_CONFIG_FILE="+file, "TOCSIN_WEB_EXTERNAL_URL=http://"+addr, "TOCSIN_ADMIN_TOKEN="+adminToken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("tocsin said last:\n%s", g.Output())
		}
	})
	return &site{t: t, url: "http://" + addr, token: adminToken}
}

// arrives waits until the window shows a page of an origin, over whatever pages it gets there.
func (w *window) arrives(origin string) {
	w.t.Helper()
	w.run(comes(fmt.Sprintf("location.origin === %q", origin)))
}

// TestSignInAtAProvider: the program itself, a browser and an OpenID provider. People
// sign in there and are who they are here, with the role of their group and no more.
func TestSignInAtAProvider(t *testing.T) {
	startChromium(t)
	binary := built(t) // which takes a while: an address that is free now may not be after it
	addr, err := e2e.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	provider := openidtest.Start(t, "http://"+addr+"/signin/callback",
		openidtest.Account{Name: "ann", Groups: []string{"oncall", "staff"}}, openidtest.Account{Name: "vic", Groups: []string{"staff"}},
		openidtest.Account{Name: "eve", Groups: []string{"strangers"}})
	s := started(t, binary, addr, fmt.Sprintf(`
web:
  oidc:
    issuer: %s
    client_id: %s
    client_secret: %s
    roles: {oncall: responder, staff: viewer}
    button: Sign in with the company's account
`, provider.URL, openidtest.Client, openidtest.Secret))
	reference := s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop", "@summary": "The disk of db-1 is full."})[0]
	page := "/incidents/" + reference
	s.looked("oidc-signin", "/signin")

	// sign leads somebody from a page of Tocsin over the provider's back.
	sign := func(w *window, path, name string) {
		t.Helper()
		w.visit(path)
		w.run(chromedp.Click(chromedp.CSS(`a.button[href^="/signin/oidc"]`)), has("#username"))
		if at := eval[string](w, "location.origin"); at != provider.URL {
			t.Fatalf("it leads to %s, want the provider at %s", at, provider.URL)
		}
		w.picture("oidc-provider-" + name)
		w.run(chromedp.SendKeys(chromedp.CSS("#username"), name), chromedp.SendKeys(chromedp.CSS("#password"), openidtest.Password+"\r"))
		w.arrives(s.url)
	}
	for _, l := range []look{desk, plain} {
		t.Run("a responder "+l.name, func(t *testing.T) {
			w := open(t, s, l)
			sign(w, "/", "ann")
			if at := eval[string](w, "location.pathname"); at != "/" {
				t.Errorf("signed in, it leads to %s", at)
			}
			w.run(has(".who"), has(`a[href="/report"]`))
			if who := eval[string](w, `document.querySelector(".who").innerText`); !strings.Contains(who, "ann") || !strings.Contains(who, "Sign out") {
				t.Errorf("the page says of who looks %q", who)
			}
			if !l.plain { // which axe-core needs
				w.accessible("/, signed in")
			}
			w.picture("oidc-board-" + l.name)
			text := "looked at by " + l.name
			w.visit(page + "/do/note")
			if has := eval[bool](w, `!!document.querySelector("[name=by]")`); has {
				t.Error("it asks for a name, which is known")
			}
			w.write("text", text, false)
			w.picture("oidc-note-" + l.name)
			w.run(chromedp.Click(chromedp.CSS("form.fields button")))
			w.said("?done=note", "")
			w.picture("oidc-noted-" + l.name)
			if line := eval[string](w, fmt.Sprintf(`[...document.querySelectorAll("main li, main tr")].map(e => e.innerText).find(t => t.includes(%q)) || ""`, text)); !strings.Contains(line, "ann") {
				t.Errorf("the timeline says %q, want who wrote the note", line)
			}
			w.visit("/operations/audit")
			if got := w.text(); !strings.Contains(got, "admin") {
				t.Errorf("a responder reads the audit log:\n%s", got)
			}
			w.picture("oidc-audit-refused-" + l.name)
			w.run(chromedp.Click(chromedp.CSS("button[form=signout]")), has(`a.button[href^="/signin/oidc"]`))
			w.picture("oidc-signed-out-" + l.name)
			w.visit(page)
			if at := eval[string](w, "location.pathname"); at != "/signin" {
				t.Errorf("signed out, %s leads to %s", page, at)
			}
		})
	}
	t.Run("a viewer", func(t *testing.T) {
		w := open(t, s, desk)
		sign(w, page, "vic")
		if at := eval[string](w, "location.pathname"); at != page {
			t.Errorf("signed in, it leads to %s, want where they wanted to go: %s", at, page)
		}
		for _, path := range []string{page, "/", "/operations/receivers", "/operations/silences", "/operations/silences/new", "/wall"} {
			w.visit(path)
			w.accessible(path + " of a viewer")
			w.picture("oidc-viewer" + strings.ReplaceAll(strings.Replace(path, page, "/incident", 1), "/", "-"))
			// Looking, and signing out, is all that a form or link is for.
			for _, f := range eval[[]string](w, `[...document.querySelectorAll("form[method=post], a[href*='/do/'], a[href='/report']")].map(e => e.getAttribute("action") || e.getAttribute("href"))`) {
				if f != "/signout" && f != "/seen" && f != "/operations/silences/new" { // the last has a preview
					t.Errorf("%s: a viewer is offered %s", path, f)
				}
			}
			if eval[bool](w, `!!document.querySelector("button[value=create]")`) {
				t.Errorf("%s: a viewer is offered to make a silence", path)
			}
		}
		w.visit(page + "/do/note")
		if got := w.text(); !strings.Contains(got, "You may look only") {
			t.Errorf("the form of a command says:\n%s", got)
		}
		w.accessible("/do/note of a viewer")
		w.picture("oidc-viewer-refused")
	})
	for _, l := range []look{desk, phoneDark} {
		t.Run("nobody here "+l.name, func(t *testing.T) {
			w := open(t, s, l)
			sign(w, "/", "eve")
			if got := w.text(); !strings.Contains(got, "at the provider as eve, but none of your groups may use this Tocsin. Ask") || strings.Contains(got, "DiskFull") {
				t.Errorf("the page says:\n%s", got)
			}
			w.accessible("/signin/callback, refused")
			w.picture("oidc-refused-" + l.name)
			w.run(chromedp.Click(chromedp.CSS("a.button")), has(`a.button[href^="/signin/oidc"]`))
			w.visit("/")
			if at := eval[string](w, "location.pathname"); at != "/signin" {
				t.Errorf("refused, / leads to %s", at)
			}
		})
	}
	// And the audit log knows of all of it.
	log := string(s.api("GET", "/api/v1/audit", nil))
	for _, want := range []string{`"who":"ann","how":"session/oidc"`, `"who":"vic","how":"session/oidc"`, `"who":"eve","how":"session/oidc"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log lacks %s:\n%s", want, log)
		}
	}
}
