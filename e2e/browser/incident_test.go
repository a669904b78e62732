package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// process has duties, gates and support levels, for pages that show them.
const process = `
correlate: {rules: [{name: each, by: [alertname, host]}]}
classify: {categories: [network, hardware, software]}
process:
  profile: vshn-like
  tiers: [{name: L2}, {name: L3}]
  gates: [{before: [resolve], need: [cause]}]
`

// story is an incident with something of everything.
func (s *site) story() string {
	s.t.Helper()
	links := labels{"@runbook_url": "https://wiki.example.com/disk", "@dashboard_url": "https://grafana.example.com/d/1", "@generatorURL": "https://prometheus.example.com/graph?g0=1"}
	disk := func(mount, summary string) labels {
		l := labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop", "mount": mount, "@summary": summary, "@description": "It has less than 2 % left, and grows by 1 GiB per hour."}
		for name, value := range links {
			l[name] = value
		}
		return l
	}
	old := s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-2", "service": "shop"})[0]
	s.api("POST", "/api/v1/incidents/"+old+"/findings", map[string]any{"by": "ben", "cause": "old logs", "solution": "rotated them"})
	s.api("POST", "/api/v1/incidents/"+old+"/resolve", map[string]any{"by": "ben"})
	reference := s.fire(disk("/", "The disk of db-1 is full"), disk("/var", "The disk /var of db-1 is full"))[0]
	for _, c := range []struct {
		path string
		body map[string]any
	}{
		{"assess", map[string]any{"impact": "high", "urgency": "high", "observations": "The shop answers with 500.\nSince 04:00.", "category": "hardware"}},
		{"note", map[string]any{"text": "ben says that a backup ran at that time", "at": time.Now().Add(-time.Hour)}},
		{"update", map[string]any{"what": "The shop is down; we free the disk.", "phase": "mitigating", "forecast": "30 minutes", "public": true}},
		{"contacts", map[string]any{"who": "Mr Li (Acme)", "channel": "phone", "reached": true, "note": "wants to hear every 30 minutes"}},
		{"findings", map[string]any{"whys": []string{"the disk was full", "the backup was not rotated"}, "workaround": "removed old backups"}},
		{"causes", map[string]any{"text": "the log level", "state": "ruled_out"}},
		{"actions", map[string]any{"text": "rotate backups", "owner": "ben", "due": time.Now().Add(240 * time.Hour)}},
		{"work", map[string]any{"on": "the backup"}},
		{"escalate", map[string]any{"to": "L3", "reason": "complexity"}},
	} {
		c.body["by"] = "ana"
		s.api("POST", "/api/v1/incidents/"+reference+"/"+c.path, c.body)
	}
	return reference
}

// sent sends the form of the page as it is, whatever the browser thinks of it.
var sent = chromedp.Evaluate[chromedp.Void](`{ const f = document.querySelector("form.fields"); f.noValidate = true; f.requestSubmit(); }`)

// TestIncidentPages looks at an incident with something of everything, and at its forms.
func TestIncidentPages(t *testing.T) {
	s := newSite(t, process)
	reference := s.story()
	at := "/incidents/" + reference
	s.looked("incident-full", at)
	s.looked("incident-commands", at, chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("details")) d.open = true;`))
	s.looked("do-update", at+"/do/update")
	s.looked("do-findings", at+"/do/findings")
	s.looked("do-resolve", at+"/do/resolve")
	s.looked("report", "/report?title=the+disk+of+db-1")
	problem := has("#problem:focus")
	s.looked("do-note-mistake", at+"/do/note", sent, problem)
	s.looked("report-mistake", "/report", sent, problem)
}

// TestManyAlertsPage: with 5,000 alerts the page is usable.
func TestManyAlertsPage(t *testing.T) {
	s := newSite(t, "")
	var many []labels
	for n := range 5000 {
		many = append(many, labels{"alertname": "PortDown", "severity": "warning", "host": "rack", "port": fmt.Sprint(n), "@summary": fmt.Sprintf("Port %d is down", n)})
	}
	at := "/incidents/" + s.fire(many...)[0]
	w := open(t, s, phone)
	began := time.Now()
	w.visit(at)
	t.Logf("loaded within %v", time.Since(began))
	if n := eval[int](w, `document.querySelectorAll(".alert").length`); n < 100 || n > 200 {
		t.Errorf("the page has %d alerts", n)
	}
	w.accessible(at)
	w.picture("incident-many-alerts")
	w.run(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("a")].find(a => a.textContent === "More that fire").click()`), has("[data-paged]"))
	if n := eval[int](w, `document.querySelectorAll(".alert").length`); n < 100 || n > 200 {
		t.Errorf("the second page has %d alerts", n)
	}
}

// said waits for the page that comes after a form was sent, which has an address and
// says what was done. The page before may have said something too.
func (w *window) said(search, text string) {
	w.t.Helper()
	w.run(comes(fmt.Sprintf(`location.search === %q && document.querySelector("p.said")?.textContent.includes(%q)`, search, text)))
}

// TestHandledWithoutScript acknowledges, is refused, writes down what is missing, and
// resolves, with JavaScript off.
func TestHandledWithoutScript(t *testing.T) {
	s := newSite(t, process)
	reference := s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1"})[0]
	w := open(t, s, plain)
	w.visit("/incidents/" + reference)
	w.run(chromedp.SendKeys(chromedp.CSS("#f-by"), "ana"), chromedp.Click(chromedp.CSS("#do-acknowledge")))
	w.said("?done=acknowledge", "Acknowledged.")
	w.run(chromedp.Click(chromedp.CSS("#do-resolve")), has("#missing"))
	w.run(chromedp.Click(chromedp.CSS(`form.fields button`)), has("#problem"))
	w.run(chromedp.Click(chromedp.CSS("section.warn a")), has("#f-cause"))
	w.run(chromedp.SendKeys(chromedp.CSS("#f-cause"), "a full disk"), chromedp.Click(chromedp.CSS("form.fields button")))
	w.said("?done=findings", "It is written down.")
	w.run(chromedp.Click(chromedp.CSS(`form.fields button`)))
	w.said("?done=resolve", "Resolved.")
}

// TestReportByKeyboard reports an incident without a mouse, and sees what may be the same.
func TestReportByKeyboard(t *testing.T) {
	s := newSite(t, "")
	known := s.fire(labels{"alertname": "PrinterOutOfPaper", "host": "lobby", "service": "printing"})[0]
	w := open(t, s, desk)
	w.visit("/report")
	w.run(chromedp.Focus(chromedp.CSS("#f-title")))
	w.press("PrinterOutOfPaper again")
	w.until(fmt.Sprintf(`document.getElementById("duplicates").textContent.includes(%q)`, known))
	w.press(kb.Tab + "It asks for paper.")
	w.run(chromedp.Focus(chromedp.CSS("#f-reporter")))
	w.press("Mr Li" + kb.Enter)
	w.said("?reported=opened", "This incident is new.")
}

// TestLivePage: what others do comes to an open page, and nothing that is unfolded or
// written is lost.
func TestLivePage(t *testing.T) {
	s := newSite(t, "")
	reference := s.fire(labels{"alertname": "DiskFull", "host": "db-1", "mount": "/"})[0]
	w := open(t, s, desk)
	w.visit("/incidents/" + reference)
	w.run(chromedp.Evaluate[chromedp.Void](`document.querySelector(".alert details").open = true`), chromedp.SendKeys(chromedp.CSS("#f-by"), "an"))
	s.api("POST", "/api/v1/incidents/"+reference+"/note", map[string]any{"by": "ben", "text": "I look at it"})
	s.fire(labels{"alertname": "DiskFull", "host": "db-1", "mount": "/var"})
	look := func() {
		w.run(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("visibilitychange"))`)) // as if the reader came back
	}
	look()
	w.until(`document.querySelector(".timeline").textContent.includes("I look at it") && document.querySelectorAll(".alert").length === 2 && document.querySelector("[data-incident]").textContent === "Changed just now."`)
	if !eval[bool](w, `document.querySelectorAll(".alert details[open]").length === 1 && document.activeElement.id === "f-by" && document.activeElement.value === "an"`) {
		t.Error("what was unfolded or written is lost")
	}
	w.press("a" + kb.Enter) // the version is an old one, and only alerts have changed
	w.said("?done=acknowledge", "Acknowledged.")
	s.api("POST", "/api/v1/incidents/"+reference+"/resolve", map[string]any{"by": "ben"})
	look()
	w.until(`document.querySelector(".state").textContent === "resolved" && document.getElementById("do-close")`)
}

// TestRaceInTwoWindows: the slower one sees who was faster.
func TestRaceInTwoWindows(t *testing.T) {
	s := newSite(t, "")
	at := "/incidents/" + s.fire(labels{"alertname": "DiskFull", "host": "db-1"})[0] + "/do/severity"
	s.cookies["tocsin_name"] = "ben"
	slow := open(t, s, phone)
	slow.visit(at)
	s.api("POST", "/api/v1"+strings.TrimSuffix(at, "/do/severity")+"/severity", map[string]any{"by": "ana", "severity": "critical"})
	slow.run(chromedp.SetValue(chromedp.CSS("#f-severity"), "info"), chromedp.SendKeys(chromedp.CSS("#f-comment"), "it is nothing"), chromedp.Click(chromedp.CSS("form.fields button")),
		has("#faster"))
	slow.accessible(at)
	slow.picture("do-race")
	if !eval[bool](slow, `document.activeElement.textContent.includes("ana") && document.getElementById("f-comment").value === "it is nothing"`) {
		t.Errorf("the page is\n%s", slow.text())
	}
	slow.run(chromedp.Click(chromedp.CSS("form.fields button")))
	slow.said("?done=severity", "The severity is set.")
}

// TestReportsPrint: the reports of an incident are pages that need nothing else.
func TestReportsPrint(t *testing.T) {
	s := newSite(t, process)
	reference := s.story()
	w := open(t, s, desk)
	w.visit("/incidents/" + reference)
	for _, kind := range []string{"disruption", "handover", "closure"} {
		path := eval[string](w, fmt.Sprintf(`document.querySelector("a[href*='kind=%s']").getAttribute("href")`, kind))
		answer, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != 200 || !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
			t.Errorf("%s: got %d, policy %q", kind, answer.StatusCode, policy)
		}
		_ = answer.Body.Close()
		page := open(t, s, desk)
		page.run(chromedp.Navigate(s.url+path), has("h1"))
		page.picture("report-" + kind)
	}
}
