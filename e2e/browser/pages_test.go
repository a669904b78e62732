package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// TestBoard looks at the board with nothing on it, and with incidents.
func TestBoard(t *testing.T) {
	s := newSite(t, "")
	s.looked("board-empty", "/")
	s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop"}, labels{"alertname": "Slow", "severity": "warning", "service": "search"})
	s.looked("board", "/")
}

// TestPrintsDarkOnLight: paper is white, also for who works in the dark.
func TestPrintsDarkOnLight(t *testing.T) {
	s := newSite(t, "services: [{name: shop}]\nstatus: {enabled: true, external_url: http://127.0.0.1, components: [{name: Shop, services: [shop]}]}")
	w := open(t, s, night)
	for _, path := range []string{"/", "/status"} {
		w.visit(path)
		for _, media := range []string{"screen", "print"} {
			call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
			light := eval[bool](w, `getComputedStyle(document.body).color.match(/\d+/g).every(n => n < 60)`)
			if light != (media == "print") {
				t.Errorf("%s on %s: the ink is %s", path, media, eval[string](w, `getComputedStyle(document.body).color`))
			}
		}
	}
}

// TestReportsOnATelephone: no word of a table is beside the window.
func TestReportsOnATelephone(t *testing.T) {
	s := newSite(t, process)
	reference := s.story()
	w := open(t, s, phoneDark)
	for _, path := range []string{"/incidents/" + reference + "/report?kind=closure", "/incidents/" + reference + "/report?kind=handover", "/reports/shift", "/reports/monthly?month=" + time.Now().UTC().Format("2006-01")} {
		w.visit("/api/v1" + path)
		if beside := eval[int](w, `[...document.querySelectorAll("table.data td")].filter(e => e.getBoundingClientRect().right > innerWidth).length`); beside > 0 {
			t.Errorf("%s: %d cells are beside the window", path, beside)
		}
	}
}

// TestIncidentPage looks at an incident.
func TestIncidentPage(t *testing.T) {
	s := newSite(t, "")
	reference := s.fire(labels{"alertname": "DiskFull", "severity": "critical", "host": "db-1", "service": "shop", "@summary": "The disk of db-1 is full."})[0]
	s.looked("incident", "/incidents/"+reference)
}

// TestHostileAlerts shows what alerts say as text, and stays within the window.
func TestHostileAlerts(t *testing.T) {
	s := newSite(t, "")
	script := `<script>document.title="taken"</script><img src=x onerror="document.title='taken'">"'><svg onload=alert(1)>`
	s.fire(labels{"alertname": script, "severity": "critical", "host": script, "service": script, "@summary": script, "@description": script, "@generatorURL": "javascript:document.title='taken'"})
	s.fire(labels{"alertname": strings.Repeat("long", 1000), "host": strings.Repeat("x", 4000), "service": "\u202eright to left مرحبا", "@summary": strings.Repeat("😀", 3000)})
	for _, l := range []look{desk, phone} {
		w := open(t, s, l)
		w.visit("/")
		if title := eval[string](w, "document.title"); !strings.HasSuffix(title, "Tocsin") {
			t.Errorf("%s: the title is %q", l.name, title)
		}
		w.accessible("/")
		w.picture("hostile-board-" + l.name)
		for n, path := range eval[[]string](w, `[...document.querySelectorAll("main a[href^='/incidents/']")].map(a => a.getAttribute("href"))`) {
			w.visit(path)
			if title := eval[string](w, "document.title"); title == "taken" {
				t.Errorf("%s: a script ran", l.name)
			}
			w.accessible(path)
			w.picture(fmt.Sprintf("hostile-incident-%d-%s", n, l.name))
		}
	}
}
