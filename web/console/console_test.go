package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestBoard: what alerts say is text there, whatever it looks like.
func TestBoard(t *testing.T) {
	d := newDesk(t, "")
	d.has(d.page("/", 200), "curl --json")
	reference := d.fires("alertname", `<script>alert(1)</script>"onload='x'`, "host", "db")
	page := d.page("/", 200)
	d.has(page, reference, "&lt;script&gt;alert(1)&lt;/script&gt;")
	d.lacks(page, "<script>alert", "curl --json")
}

// TestIncidentPage: where its links lead is all that matters, and what alerts say is
// text there.
func TestIncidentPage(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", `<script>alert(1)</script>`, "host", "db", "@generatorURL", "javascript:alert(1)", "@summary", "{{.}}<b>x")
	d.note(reference, "ann", "<img src=x onerror=alert(1)>")
	page := d.page("/incidents/"+reference, 200)
	d.has(page, "&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;img src=x", reference, "1 of 1 firing", "{{.}}&lt;b&gt;x")
	d.lacks(page, "<script>alert", "<img src=x", `="javascript:`, "<b>x")
	d.has(d.page("/incidents/INC-20261121-0000", 404), "<p>There is no incident INC-20261121-0000.</p>")

	d.has(page, ">investigating</span>", "nobody works on it")
	d.does(reference, "acknowledge", "by", "ann")
	d.has(d.page("/incidents/"+reference, 200), "<bdi>ann</bdi> works on it")
	d.api("POST", "/api/v1/incidents/"+reference+"/resolve", `{"by":"bo"}`)
	over := d.page("/incidents/"+reference, 200)
	d.has(over, "Resolved by <bdi>bo</bdi>", "by <bdi>ann</bdi>")
	d.lacks(over, "works on it", ">investigating</span>")
}

// TestNames of annotations are words in any script.
func TestNames(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk", "@état_url", "https://wiki.example.com/")
	d.has(d.page("/incidents/"+reference, 200), `rel="noopener noreferrer"><bdi>État</bdi></a>`)
}

// TestNowhere: who follows a link that leads nowhere sees a page, if they may see any;
// programs are told in JSON.
func TestNowhere(t *testing.T) {
	d := newDesk(t, "")
	d.header.Set("Accept", "text/html,*/*;q=0.8")
	d.has(d.page("/operations/configuration", 404), "There is nothing at this address.", `<nav aria-label="Main">`)
	d.lacks(d.page("/api/v1/none", 404), "<html")
	d.header.Set("Accept", "*/*")
	d.lacks(d.page("/operations/configuration", 404), "<html")

	d.send("POST", "/api/v1/tokens", "application/json", `{"role":"admin","name":"boss"}`)
	d.header.Set("Accept", "text/html")
	if w := d.send("GET", "/nothing", "", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/signin?next=%2Fnothing" {
		t.Errorf("a stranger: got %d %v", w.Code, w.Header())
	}
}

// TestSimilarOnPage shows the earlier incident beside the later one, not the other way.
func TestSimilarOnPage(t *testing.T) {
	d := newDesk(t, "correlate: {rules: [{name: each, by: [alertname, host]}]}")
	first := d.fires("alertname", "Disk", "host", "a", "service", "shop")
	d.api("POST", "/api/v1/incidents/"+first+"/resolve", `{"by":"ann"}`)
	second := d.fires("alertname", "Disk", "host", "b", "service", "shop")
	d.has(d.page("/incidents/"+second, 200), "Earlier incidents like it", first, "resolved by ann")
	d.lacks(d.page("/incidents/"+first, 200), "Earlier incidents")
}

// TestPagesAllowNothingInline: a page that has a script or a style in it could run one
// that an alert brought.
func TestPagesAllowNothingInline(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk", "host", "db")
	inline := regexp.MustCompile(`(?i)<script(>| [^>]*>[^<])|<style|\sstyle=|\son[a-z]+=`)
	for _, path := range []string{"/", "/wall", "/incidents/" + reference, "/incidents/none", "/incidents/" + reference + "/do/update", "/report",
		"/analysis", "/explain", "/operations", "/operations/sources", "/operations/deadletters", "/operations/deadletters/none", "/operations/receivers",
		"/operations/silences", "/operations/silences/new", "/operations/config", "/operations/audit"} {
		w := d.send("GET", path, "", "")
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		if at := inline.FindString(w.Body.String()); at != "" {
			t.Errorf("%s: has %q", path, at)
		}
	}
}

// TestAssets are there under the names that pages use, and are asked for once.
func TestAssets(t *testing.T) {
	d := newDesk(t, "")
	names := regexp.MustCompile(`/assets/[^"]+`).FindAllString(d.page("/", 200), -1)
	if len(names) < 3 {
		t.Fatalf("the page uses %v", names)
	}
	for _, name := range names {
		w := d.send("GET", name, "", "")
		if w.Code != http.StatusOK || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: got %d with %d bytes, %v", name, w.Code, w.Body.Len(), w.Header())
		}
	}
	if w := d.send("GET", "/assets/console.css?v=old", "", ""); w.Code != http.StatusOK || strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("an old name: got %d, %v", w.Code, w.Header())
	}
	if w := d.send("GET", "/assets/none.css", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("no such file: got %d", w.Code)
	}
}

// TestWhoMayLook: without a token nobody sees a page, and assets tell nothing.
func TestWhoMayLook(t *testing.T) {
	d := newDesk(t, "")
	if w := d.send("POST", "/api/v1/tokens", "application/json", `{"role":"admin","name":"boss"}`); w.Code != http.StatusCreated {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if w := d.send("GET", "/", "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("got %d", w.Code)
	}
	d.header.Set("Authorization", "Bearer nonsense")
	if w := d.send("GET", "/", "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("with a wrong token: got %d", w.Code)
	}
}
