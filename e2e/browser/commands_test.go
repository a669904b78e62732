package browser

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// everything has a process in which each command has something to do.
const everything = `
route: {receiver: ops}
receivers: [{name: ops}]
classify: {categories: [network, hardware]}
process:
  profile: none
  contacts: [{name: boss, receiver: ops}]
  tiers: [{name: L2}, {name: L3}]
  customers: [{name: Acme}]
  duties:
    - {name: look, after: 1h, unless: [closed], text: look at it}
    - {name: tell, after: 2h, unless: [closed], text: tell them}
  gates: [{before: [resolve], need: [cause]}]
  communication: [{audience: [boss], signature: true}]
`

// TestEveryCommand does each command by its form, with JavaScript off and the keyboard
// only, and lets axe-core look at the form in the dark on a telephone. Retrying a
// message, where nothing was given up here, is TestRetry.
func TestEveryCommand(t *testing.T) {
	s := newSite(t, everything)
	reference := s.fire(labels{"alertname": "Disk", "host": "db"})[0]
	other := s.fire(labels{"alertname": "Net", "host": "router"})[0]
	hands, eyes := open(t, s, plain), open(t, s, phoneDark)
	later := time.Now().Add(3 * time.Hour).UTC().Format("2006-01-02T15:04")
	type values map[string]string
	for n, c := range []struct {
		command string
		values  values
	}{
		{"acknowledge", values{"by": "ann", "comment": "at once"}},
		{"unacknowledge", nil},
		{"work", values{"on": "the raid"}},
		{"rest", nil},
		{"assign", values{"role": "technical_lead", "who": "bob"}},
		{"team", values{"team": "storage"}},
		{"note", values{"text": "the disk is full"}},
		{"link", values{"name": "logs", "url": "https://logs.example.com/1"}},
		{"snooze", values{"for_seconds": "3600"}},
		{"unsnooze", nil},
		{"assess", values{"impact": "high", "urgency": "low", "observations": "slow", "category": "network"}},
		{"severity", values{"severity": "critical"}},
		{"phase", values{"phase": "mitigating"}},
		{"level", values{"level": "major"}},
		{"category", values{"category": "hardware"}},
		{"customers", values{"customers": "Acme"}},
		{"update", values{"what": "the shop is slow"}},
		{"sign", values{"n": "1", "by": "bob"}},
		{"contacted", values{"who": "Mr Li", "channel": "phone"}},
		{"next-contact", values{"at": later}},
		{"escalate", values{"to": "L3", "reason": "complexity"}},
		{"accept", nil},
		{"answer", nil},
		{"findings", values{"cause": "a full disk", "workaround": "a restart"}},
		{"cause", values{"text": "the network", "state": "ruled_out"}},
		{"workaround-removed", nil},
		{"action", values{"text": "more disks", "owner": "bob", "due": later, "kind": "corrective"}},
		{"action-done", values{"n": "1"}},
		{"correct", values{"went_down": time.Now().Add(-3 * time.Hour).UTC().Format("2006-01-02T15:04")}},
		{"merge", values{"into": other}},
		{"unmerge", nil},
		{"child", values{"customer": "Acme", "title": "mail is slow"}},
		{"duty-done", values{"duty": "look"}},
		{"duty-waive", values{"duty": "tell", "comment": "they know"}},
		{"confirm", nil},
		{"resolve", nil},
		{"followed-up", values{"who": "Mr Li"}},
		{"close", nil},
		{"reopen", nil},
	} {
		path := fmt.Sprintf("/incidents/%s/do/%s", reference, c.command)
		eyes.visit(path)
		eyes.accessible(path)
		hands.visit(path)
		for _, name := range slices.Sorted(maps.Keys(c.values)) {
			hands.write(name, c.values[name], n > 0 && name == "by")
		}
		hands.run(chromedp.Focus(chromedp.CSS("form.fields button")))
		hands.press("\r")
		hands.said("?done="+c.command, "")
	}
}

// TestRetry: a message that was given up is sent again from the incident's page.
func TestRetry(t *testing.T) {
	taken := make(chan struct{}, 10)
	var away atomic.Bool
	away.Store(true)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "no such hook", http.StatusNotFound)
			return
		}
		taken <- struct{}{}
	}))
	t.Cleanup(hook.Close)
	s := newSite(t, fmt.Sprintf("route: {receiver: ops, group_wait: 0s}\nreceivers: [{name: ops, webhook_configs: [{url: %q}]}]\n", hook.URL))
	reference := s.fire(labels{"alertname": "Disk", "host": "db"})[0]
	hands, eyes := open(t, s, plain), open(t, s, phoneDark)
	hands.visitUntil("/incidents/"+reference, "given up")
	path := "/incidents/" + reference + "/do/retry?target=ops%2Fwebhook%5B0%5D"
	eyes.visit(path)
	eyes.accessible(path)
	away.Store(false)
	hands.run(chromedp.Focus(chromedp.CSS(`a[href*="/do/retry"]`)))
	hands.press("\r")
	hands.run(has(`[name="target"]`))
	hands.write("by", "ann", false)
	hands.run(chromedp.Focus(chromedp.CSS("form.fields button")))
	hands.press("\r")
	hands.said("?done=retry", "The message is tried again.")
	within, cancel := hands.soon()
	defer cancel()
	select {
	case <-taken:
	case <-within.Done():
		t.Fatal("the message did not come")
	}
	hands.visitUntil("/incidents/"+reference, "up to date")
}

// write fills in a field. Instead says that another text is in it.
func (w *window) write(name, value string, instead bool) {
	w.t.Helper()
	at := `[name="` + name + `"]`
	switch eval[string](w, `document.querySelector('`+at+`').type`) {
	case "select-one", "datetime-local": // what keys these take depends on the language of the browser
		w.run(chromedp.SetValue(chromedp.CSS(at), value))
	default:
		if instead {
			w.run(chromedp.Clear(chromedp.CSS(at)))
		}
		w.run(chromedp.SendKeys(chromedp.CSS(at), value))
	}
}
