package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"
)

// TestSignIn: without an account there is only the page for signing in; with one a
// person gets to the page they wanted, and out again, also without a script.
func TestSignIn(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), 10)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, fmt.Sprintf("web: {users: [{name: ann, password_hash: '%s', role: responder}]}", hash))
	s.looked("signin", "/signin")
	for _, l := range []look{phone, plain} {
		t.Run(l.name, func(t *testing.T) {
			w := open(t, s, l)
			w.visit("/wall")
			w.run(has("#password"), chromedp.SendKeys(chromedp.CSS("#name"), "ann"), chromedp.SendKeys(chromedp.CSS("#password"), "wrong\r"))
			w.run(has(".wrong"))
			if l.name == phone.name {
				w.accessible("/signin, refused")
				w.picture("signin-refused")
			}
			w.run(chromedp.SendKeys(chromedp.CSS("#password"), "correct horse\r"), has(".wall"))
			if text := w.text(); !strings.Contains(text, "ann") || !strings.Contains(text, "Sign out") {
				t.Errorf("the page does not say who looks:\n%s", text)
			}
			w.run(chromedp.Click(chromedp.CSS("button[form=signout]")), has("#password"))
			w.visit("/")
			w.run(has("#password"))
		})
	}
	t.Run("an open board", func(t *testing.T) {
		w := open(t, s, desk)
		w.visit("/")
		w.run(chromedp.SendKeys(chromedp.CSS("#name"), "ann"), chromedp.SendKeys(chromedp.CSS("#password"), "correct horse\r"), has("#rows"))
		// Hidden and seen again it asks for the rows, and is told that nobody is signed in.
		// One step, as the page may ask by itself and go away.
		w.run(chromedp.Evaluate[chromedp.Void](`fetch("/signout", {method: "POST"}).then(() => {
			for (const is of [true, false]) {
				Object.defineProperty(document, "hidden", {configurable: true, get: () => is});
				document.dispatchEvent(new Event("visibilitychange"));
			}
		})`), has("#password"))
		if eval[bool](w, `document.querySelector("#rows") !== null`) {
			t.Error("the page for signing in stands in the board")
		}
	})
}

// TestStatusPage looks at what everybody sees: how the services are, what was said of
// an incident, and what is planned.
func TestStatusPage(t *testing.T) {
	s := newSite(t, `
services: [{name: shop}, {name: mail}]
status:
  enabled: true
  external_url: https://status.example.com
  components:
    - {name: Web shop, description: shop.example.com, group: Shopping, services: [shop]}
    - {name: Mail, services: [mail]}
maintenance:
  - name: mail moves
    matchers: ['service="mail"']
    from: 2026-01-01 00:00
    to: 2099-01-01 00:00
    public: {text: Mail moves to other machines., components: [Mail]}
`)
	reference := s.fire(labels{"alertname": "SecretName", "severity": "critical", "service": "shop", "host": "db-1"})[0]
	s.api("POST", "/api/v1/incidents/"+reference+"/update", map[string]any{"by": "ann", "phase": "mitigating", "what": "Orders fail since 03:00. We are restoring the shop.", "forecast": "about 30 minutes", "public": true})
	w := open(t, s, desk)
	w.visitUntil("/status", "Orders fail since 03:00.") // it is some seconds old at most
	s.looked("status", "/status")
	if text := w.text(); strings.Contains(text, "SecretName") || strings.Contains(text, "db-1") {
		t.Errorf("the page tells what is nobody's business:\n%s", text)
	}
}
