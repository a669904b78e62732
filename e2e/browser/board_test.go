package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBoardIsKeptTrue: an open board shows what changes, and leaves what somebody has
// chosen and where they are.
func TestBoardIsKeptTrue(t *testing.T) {
	s := newSite(t, "")
	first := s.fire(labels{"alertname": "Disk", "severity": "critical"})[0]
	w := open(t, s, desk)
	w.visit("/")
	w.visit("/") // now there is something that was seen before
	w.until(`document.querySelector(".sum").textContent.includes("1 open")`)
	w.run(chromedp.Click(chromedp.CSS("#" + first + " input")))
	w.run(chromedp.Focus(chromedp.CSS("#" + first + " a")))
	eval[bool](w, `(window.since = performance.now(), true)`)
	second := s.fire(labels{"alertname": "Slow", "severity": "warning"})[0]
	w.until(`document.getElementById("` + second + `") !== null`)
	t.Logf("an alert was on the open board %.0f ms before it was asked for there", eval[float64](w, `performance.now() - window.since`))
	if !eval[bool](w, `document.querySelector("#`+first+` input").checked && !document.querySelector("#`+second+` input").checked`) {
		t.Error("what was chosen is not what is chosen")
	}
	if mark := eval[string](w, `document.querySelector("#`+second+` .news")?.textContent`); mark != "new" {
		t.Errorf("what has come is marked %q", mark)
	}
	if !eval[bool](w, `document.activeElement === document.querySelector("#`+first+` a")`) {
		t.Errorf("the focus is on %s", eval[string](w, `document.activeElement.outerHTML`))
	}
	s.api("POST", "/api/v1/incidents/"+first+"/acknowledge", map[string]string{"by": "ann"})
	w.until(`document.querySelector("#` + first + ` .state").textContent === "acknowledged"`)
	s.api("POST", "/api/v1/incidents/"+second+"/resolve", map[string]string{"by": "ann"})
	w.until(`document.getElementById("` + second + `") === null`)
}

// hidden has the page believe that nobody sees it, as in a tab behind another one.
func (w *window) hidden(is bool) {
	w.t.Helper()
	eval[bool](w, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {configurable: true, get: () => %t}), document.dispatchEvent(new Event("visibilitychange")))`, is))
}

// streams waits until so many follow what changes.
func (w *window) streams(n int) {
	w.t.Helper()
	w.until(fmt.Sprintf(`fetch("/metrics").then((r) => r.text()).then((t) => t.includes("\ntocsin_streams %d\n"))`, n))
}

// TestHiddenPages hold no connection: a browser has six, and with one more page nothing
// could be done any more. What happened meanwhile is there when somebody looks again.
func TestHiddenPages(t *testing.T) {
	s := newSite(t, "")
	first := s.fire(labels{"alertname": "Disk", "severity": "critical"})[0]
	for path, shown := range map[string]string{
		"/":                   `document.querySelectorAll(".board tbody tr").length === 2`,
		"/incidents/" + first: `document.querySelector(".state").textContent === "acknowledged"`,
	} {
		w := open(t, s, desk)
		w.visit(path)
		w.streams(1)
		w.hidden(true)
		w.streams(0)
		s.fire(labels{"alertname": "Slow", "severity": "warning"})
		s.api("POST", "/api/v1/incidents/"+first+"/acknowledge", map[string]string{"by": "ann"})
		w.hidden(false)
		w.until(shown)
		w.streams(1)
		w.visit("/explain")
		w.streams(0)
	}
}

// TestBoardOf10000 is usable with 10,000 open incidents.
func TestBoardOf10000(t *testing.T) {
	s := newSite(t, "")
	for n := 0; n < 10_000; n += 1000 {
		many := make([]labels, 1000)
		for k := range many {
			many[k] = labels{"alertname": fmt.Sprint("Alert ", n+k), "severity": []string{"critical", "warning", "info"}[k%3], "service": fmt.Sprint("service ", k%40), "team": fmt.Sprint("team ", k%7)}
		}
		s.fire(many...)
	}
	w := open(t, s, desk)
	w.visit("/") // the first look reads them all
	for range 3 {
		w.visit("/")
		timing := eval[[]float64](w, `(() => { const n = performance.getEntriesByType("navigation")[0]; return [n.responseStart - n.requestStart, n.domInteractive, n.domComplete] })()`)
		t.Logf("first byte after %.0f ms, usable after %.0f ms, complete after %.0f ms", timing[0], timing[1], timing[2])
	}
	w.until(`document.querySelector(".sum").textContent.includes("10000 open")`)
	w.visit("/?severity=critical&service=service+7")
	if sum := eval[string](w, `document.querySelector(".sum").textContent`); !strings.Contains(sum, "of 10000 open") {
		t.Errorf("the sum is %q", sum)
	}
	eval[bool](w, `(window.since = performance.now(), true)`)
	late := s.fire(labels{"alertname": "Late", "severity": "critical", "service": "service 7"})[0]
	w.visit("/?q=late")
	w.until(`document.getElementById("` + late + `") !== null`)
}

// TestBoardByKeyboard acknowledges what was chosen without a mouse, and without a script.
func TestBoardByKeyboard(t *testing.T) {
	for _, l := range []look{desk, plain} {
		t.Run(l.name, func(t *testing.T) {
			s := newSite(t, "")
			reference := s.fire(labels{"alertname": "Disk", "severity": "critical"})[0]
			w := open(t, s, l)
			w.visit("/")
			w.run(chromedp.Focus(chromedp.CSS("#" + reference + " input")))
			w.press(" ")
			w.run(chromedp.Focus(chromedp.CSS(`button[formaction="/do/acknowledge"]`)))
			w.press("\r")
			w.run(has("input[name=by]"), chromedp.Focus(chromedp.CSS("input[name=by]")))
			w.press("ann\r")
			w.run(has("p.said"))
			if text := w.text(); !strings.Contains(text, "1 of 1 done.") {
				t.Errorf("the page says\n%s", text)
			}
			if got := string(s.api("GET", "/api/v1/incidents/"+reference, nil)); !strings.Contains(got, `"acknowledged_by":"ann"`) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestWallAndViews looks at the wall, and at a board with a filter and saved views.
func TestWallAndViews(t *testing.T) {
	s := newSite(t, "")
	s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop", "team": "web"},
		labels{"alertname": "Slow", "severity": "warning", "service": "search", "team": "search"},
		labels{"alertname": "CertificateExpires", "severity": "info", "service": "mail"})
	s.api("PUT", "/api/v1/views/Night shift", map[string]string{"query": "severity=critical"})
	s.looked("wall", "/wall")
	s.looked("board-filter", "/?severity=critical")
}

// TestFocusIsInSight: what can be done with those that are chosen stays in sight, and hides nothing
// that has the focus (WCAG 2.2, 2.4.11).
func TestFocusIsInSight(t *testing.T) {
	s := newSite(t, "")
	many := make([]labels, 20)
	for n := range many {
		many[n] = labels{"alertname": fmt.Sprint("Disk ", n), "severity": "critical"}
	}
	s.fire(many...)
	for _, l := range looks {
		w := open(t, s, l)
		w.visit("/")
		w.run(chromedp.Click(chromedp.CSS(".choose input")))
		hidden := eval[int](w, `(() => {
			const bar = () => document.querySelector(".many").getBoundingClientRect();
			return [...document.querySelectorAll(".board tbody a, .board tbody input")].filter((e) => {
				e.focus();
				const r = e.getBoundingClientRect();
				return r.bottom > bar().top && r.top < bar().bottom;
			}).length;
		})()`)
		if hidden > 0 {
			t.Errorf("%s: %d are hidden while they have the focus", l.name, hidden)
		}
	}
}
