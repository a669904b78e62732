package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const operated = `
sources: {alertmanager: {format: alertmanager}}
classify: {rules: [{name: disks, matchers: ['alertname=~"Disk.*"'], set: {team: storage}}]}
correlate: {rules: [{name: each, by: [alertname, host]}]}
maintenance: [{name: move, matchers: ['service="db"'], from: "2020-01-01 00:00", to: "2090-01-01 00:00", owner: ann, comment: the hall moves}]
process: {rotas: {primary: {overrides: [{who: dora, from: "2020-01-01 00:00", to: "2090-01-01 00:00"}]}}, contacts: [{name: dora}]}
heartbeats: [{name: watchdog, source: alertmanager, matchers: ['alertname="Watchdog"'], every: 5m}]
route: {receiver: ops, routes: [{receiver: nights, matchers: ['team="storage"']}]}
receivers: [{name: ops}, {name: nights}]
`

// operatedSite is a gateway with something on each page, some of it hostile.
func operatedSite(t *testing.T) *site {
	s := newSite(t, operated)
	script := `<script>document.title="taken"</script><img src=x onerror="document.title='taken'">`
	refs := s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop"}, labels{"alertname": "Slow", "severity": "warning", "service": script},
		labels{"alertname": "Long", "service": strings.Repeat("x", 4000)}, labels{"alertname": "مرحبا", "service": "\u202eright to left"})
	s.api("POST", "/api/v1/incidents/"+refs[0]+"/acknowledge", map[string]any{"by": "ann"})
	s.api("POST", "/api/v1/incidents/"+refs[0]+"/resolve", map[string]any{"by": "ann"})
	s.api("POST", "/ingest/alertmanager", map[string]any{"version": "4", "alerts": []any{map[string]any{"status": script, "labels": labels{"alertname": strings.Repeat("long", 1000)}}}})
	s.api("POST", "/api/v2/silences", map[string]any{"matchers": []any{map[string]any{"name": "service", "value": script, "isRegex": false, "isEqual": true}},
		"startsAt": "2026-01-01T00:00:00Z", "endsAt": "2090-01-01T00:00:00Z", "createdBy": "ann", "comment": script + strings.Repeat("y", 4000)})
	return s
}

// TestOperationsPages looks at each of them.
func TestOperationsPages(t *testing.T) {
	s := operatedSite(t)
	for name, path := range map[string]string{"operations": "/operations", "sources": "/operations/sources", "deadletters": "/operations/deadletters", "receivers": "/operations/receivers",
		"silences": "/operations/silences", "silence": "/operations/silences/new", "configuration": "/operations/config", "audit": "/operations/audit", "analysis": "/analysis?by=service"} {
		s.looked(name, path)
	}
	s.looked("silence-preview", "/operations/silences/new", chromedp.SendKeys(chromedp.CSS("#matchers"), `alertname=~".+"`), chromedp.Click(chromedp.CSS("button[value=preview]")),
		has("#preview"))
	w := open(t, s, desk)
	w.visit("/operations/deadletters")
	letter := eval[string](w, `document.querySelector("main tbody a").getAttribute("href")`)
	s.looked("deadletter", letter)
	explain := chromedp.Click(chromedp.CSS("main form button"))
	s.looked("explain", "/explain?letter="+strings.TrimPrefix(letter, "/operations/deadletters/"), explain, has("#result"))
}

// TestCorrectMapping begins at a dead letter, corrects the mapping of its source and sees
// what comes of it, in a browser that runs no script; then it looks at the page.
func TestCorrectMapping(t *testing.T) {
	s := newSite(t, `
sources: {shop-monitor: {format: mapping, mapping: {name: {path: title}, host: {path: node}, status: {path: state, map: {ok: resolved, alerting: firing}}}}}
`)
	s.api("POST", "/ingest/shop-monitor", map[string]any{"title": "Checkout is slow", "node": "web-01", "state": "degraded", "level": "High"})
	w := open(t, s, plain)
	w.visit("/operations/deadletters")
	w.run(chromedp.Click(chromedp.CSS("main tbody a")), has("#body"), chromedp.Click(chromedp.CSS(`main a[href^="/explain"]`)), has("#mapping"))
	address := eval[string](w, "location.pathname + location.search")
	corrected := []step{chromedp.SetValue(chromedp.CSS("#mapping"), "name: {path: title}\nhost: {path: node}\nseverity: {path: level}\nstatus: {path: state, map: {ok: resolved}, default: firing}\n"),
		chromedp.Click(chromedp.CSS("main form button")), has("#file")}
	w.run(corrected...)
	if text := w.text(); !strings.Contains(text, "Checkout is slow: opened") || !strings.Contains(text, "    mapping:\n      name: {path: title}\n") {
		t.Errorf("the page says\n%s", text)
	}
	s.looked("explain-mapping", address, corrected...)
}

// TestSilenceWithoutScript makes a silence, after a look at what it would hit, in a
// browser that runs no script.
func TestSilenceWithoutScript(t *testing.T) {
	s := operatedSite(t)
	w := open(t, s, plain)
	w.visit("/operations/silences/new")
	w.run(chromedp.SendKeys(chromedp.CSS("#matchers"), `alertname="Slow"`), chromedp.SendKeys(chromedp.CSS("#comment"), "known"), chromedp.SendKeys(chromedp.CSS("#by"), "ann"),
		chromedp.Click(chromedp.CSS("button[value=preview]")), has("#preview"))
	if text := w.text(); !strings.Contains(text, "1 incident, 1 as a whole; 1 alert.") {
		t.Errorf("the preview is\n%s", text)
	}
	w.run(chromedp.Click(chromedp.CSS("button[value=create]")), has(".said"))
	if text := w.text(); !strings.Contains(text, "The silence is made") || !strings.Contains(text, `alertname="Slow"`) {
		t.Errorf("the page is\n%s", text)
	}
}

// TestTablesOnATelephone: what rows say, and what can be done with them, is in the window.
func TestTablesOnATelephone(t *testing.T) {
	s := operatedSite(t)
	reference := s.fire(labels{"alertname": "Queue", "host": "mx-1"})[0]
	s.api("POST", "/api/v1/incidents/"+reference+"/contacts", map[string]any{"by": "ana", "who": "Mr Li (Acme)", "channel": "phone", "reached": true, "note": "wants to hear every 30 minutes"})
	s.api("POST", "/api/v1/incidents/"+reference+"/actions", map[string]any{"by": "ana", "text": "rotate the backups", "owner": "ben", "due": time.Now().Add(240 * time.Hour)})
	w := open(t, s, phoneDark)
	for _, path := range []string{"/incidents/" + reference, "/operations/silences", "/operations/deadletters", "/operations/sources", "/operations/audit"} {
		w.visit(path)
		got := eval[[]int](w, `(() => { const all = [...document.querySelectorAll("table.stack td, table.stack th[scope=row], table.stack button, table.stack a")]; return [all.length, all.filter(e => e.getBoundingClientRect().right > innerWidth).length] })()`)
		if got[0] == 0 || got[1] > 0 {
			t.Errorf("%s: of %d cells %d are beside the window", path, got[0], got[1])
		}
	}
}
