package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestBoardFilters: the address says what is shown, and everything that can be chosen is
// offered.
func TestBoardFilters(t *testing.T) {
	d := newDesk(t, "")
	shop := d.fires("alertname", "Disk", "service", "shop", "severity", "critical", "team", "web")
	search := d.fires("alertname", "Slow", "service", "search", "severity", "warning")
	d.api("POST", "/api/v1/incidents/"+shop+"/acknowledge", `{"by":"ann"}`)
	for query, want := range map[string][2]string{
		"":                                    {"2 open", ""},
		"severity=critical":                   {shop, search},
		"service=search":                      {search, shop},
		"state=open":                          {search, shop},
		"state=acknowledged&who=ann":          {shop, search},
		"who=bob":                             {"0 of 2 open", shop},
		"q=slow":                              {search, shop},
		"priority=P1&team=web":                {shop, search},
		"severity=critical&page=9":            {"1 of 2 open", shop},
		"severity=%22%3Cscript%3Ealert(1)%3C": {"0 of 2 open", "<script>alert(1)"},
		"page=nonsense":                       {"2 open", ""},
	} {
		page := d.page("/?"+query, 200)
		d.has(page, want[0], `<option>warning</option>`, "shop</option>")
		if want[1] != "" {
			d.lacks(page, want[1])
		}
	}
	page := d.page("/?severity=critical&q=disk", 200)
	d.has(page, `<a href="/api/v1/reports/shift?tz=UTC">Shift brief</a>`, "selected>critical</option>", `value="disk"`, `data-part="/?q=disk&amp;severity=critical"`)
}

// TestBoardOrder puts the most urgent first.
func TestBoardOrder(t *testing.T) {
	d := newDesk(t, "")
	info := d.fires("alertname", "A", "severity", "info")
	critical := d.fires("alertname", "B", "severity", "critical")
	warning := d.fires("alertname", "C", "severity", "warning")
	page := d.page("/", 200)
	if a, b, c := strings.Index(page, critical), strings.Index(page, warning), strings.Index(page, info); a < 0 || a > b || b > c {
		t.Errorf("want %s, %s, %s:\n%s", critical, warning, info, page)
	}
}

// TestNextDuty is what people have to do, not what happens by itself before that.
func TestNextDuty(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	row := d.rowOf(d.page("/", 200), reference)
	d.has(row, `<span class="muted">Response objective</span>`)
	d.lacks(row, "Raise")
}

// TestBoardPages: every incident is on one page.
func TestBoardPages(t *testing.T) {
	d := newDesk(t, "")
	all := map[string]bool{}
	for n := range 230 {
		all[d.fires("alertname", fmt.Sprint("A", n))] = true
	}
	seen := map[string]bool{}
	for page := 1; page <= 3; page++ {
		text := d.page(fmt.Sprintf("/?page=%d", page), 200)
		d.has(text, fmt.Sprintf("Page %d of 3", page))
		for reference := range all {
			if strings.Contains(text, `id="`+reference+`"`) {
				if seen[reference] {
					t.Errorf("%s is on two pages", reference)
				}
				seen[reference] = true
			}
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d incidents are on a page", len(seen), len(all))
	}
}

// TestRowsAlone are what a script puts into the page that is open.
func TestRowsAlone(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	for _, path := range []string{"/?part=rows", "/wall?part=rows"} {
		rows := d.page(path, 200)
		d.has(rows, reference)
		d.lacks(rows, "<html", "<form")
	}
}

// TestRowsAreShared: whoever sees the same gets the same, but what is about themselves.
func TestRowsAreShared(t *testing.T) {
	d := newDesk(t, "")
	host := func(host string) string {
		r := httptest.NewRequest("GET", "http://"+host+"/?part=rows", nil)
		w := httptest.NewRecorder()
		d.gateway.Engine.ServeHTTP(w, r)
		return w.Body.String()
	}
	d.has(host("localhost:1111"), "http://localhost:1111/ingest")
	d.has(host("localhost:2222"), "http://localhost:2222/ingest")
	first := d.fires("alertname", "Disk")
	d.page("/", 200)
	rows := d.page("/?part=rows", 200)
	d.has(rows, first)
	d.header.Set("Cookie", "tocsin_zone=Asia/Tokyo; tocsin_looked=1.1")
	if again := d.page("/?part=rows", 200); again != rows {
		t.Errorf("got\n%s\nfor somebody else, want\n%s", again, rows)
	}
	second := d.fires("alertname", "Slow")
	d.page("/", 200)
	d.has(d.page("/?part=rows", 200), first, second)
	d.lacks(d.page("/?part=rows&q=slow", 200), first)
}

// TestWhatIsNew marks what this browser has not seen yet.
func TestWhatIsNew(t *testing.T) {
	d := newDesk(t, "")
	d.fires("alertname", "Old")
	ago := time.Now().Add(-time.Hour).Unix()
	look := func(cookie string) string {
		d.header.Set("Cookie", "tocsin_looked="+cookie)
		return d.page("/", 200)
	}
	d.lacks(look("nonsense"), "mark news")
	page := look(fmt.Sprintf("%d.%d", ago-1000, ago))
	d.has(page, `<span class="mark news">new</span>`)
	w := d.submit("/seen?severity=critical", nil)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?severity=critical" || !strings.HasPrefix(w.Header().Get("Set-Cookie"), "tocsin_looked=") {
		t.Fatalf("got %d %v", w.Code, w.Header())
	}
	now := time.Now().Unix()
	d.lacks(look(fmt.Sprintf("%d.%d", now+1, now+1)), "mark news")
}

// TestSavedViews are a filter under a name, for everybody.
func TestSavedViews(t *testing.T) {
	d := newDesk(t, "")
	d.fires("alertname", "Disk")
	w := d.submit("/views", url.Values{"name": {"Night <b>"}, "query": {"severity=critical&evil=1"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?severity=critical" {
		t.Fatalf("got %d %s %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	d.has(d.page("/", 200), `href="/?severity=critical"`, "Night &lt;b&gt;")
	if w := d.submit("/views", url.Values{"name": {""}, "query": {"severity=critical"}}); w.Code != http.StatusNotFound && w.Code != http.StatusBadRequest {
		t.Errorf("without a name: got %d", w.Code)
	}
	if w := d.submit("/views", url.Values{"name": {"all"}, "query": {""}}); w.Code != http.StatusBadRequest {
		t.Errorf("without a filter: got %d", w.Code)
	}
	if w := d.submit("/views/"+url.PathEscape("Night <b>")+"/delete", nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?severity=critical" {
		t.Errorf("got %d %s %s, want the filter, to save it again", w.Code, w.Header().Get("Location"), w.Body)
	}
	d.lacks(d.page("/", 200), "Night")
	const name = "C++ / Go?"
	if w := d.submit("/views", url.Values{"name": {name}, "query": {"severity=critical"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("a slash in the name: got %d %s", w.Code, w.Body)
	}
	page := d.page("/", 200)
	d.has(html.UnescapeString(page), ">Delete "+name+"<")
	path := regexp.MustCompile(`action="(/views/[^"]+/delete)"`).FindStringSubmatch(page)
	if path == nil {
		t.Fatalf("no form deletes it:\n%s", page)
	}
	if w := d.submit(html.UnescapeString(path[1]), nil); w.Code != http.StatusSeeOther {
		t.Errorf("deleting it: got %d %s", w.Code, w.Body)
	}
	d.lacks(d.page("/", 200), "Delete")
	if w := d.submit("/views/none/delete", nil); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
}

// TestWall is for a screen on the wall: nobody can do anything there.
func TestWall(t *testing.T) {
	d := newDesk(t, "")
	d.has(d.page("/wall", 200), "No incident is open.")
	reference := d.fires("alertname", "Disk", "severity", "critical")
	page := d.page("/wall", 200)
	d.has(page, reference, "· 1 critical")
	d.lacks(page, "<button", "<input", `<span class="mark">`)
}

// TestWallMarks: an exercise looks like one from afar, and so does what nobody is to be told of.
func TestWallMarks(t *testing.T) {
	d := newDesk(t, "")
	d.api("POST", "/api/v1/incidents", `{"title":"the hall is dark","drill":true,"description":"for practice","reporter":"dora"}`)
	d.api("POST", "/api/v1/incidents/"+d.fires("alertname", "Disk")+"/snooze", `{"by":"ann","until":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	d.api("POST", "/api/v1/incidents/"+d.fires("alertname", "Slow")+"/merge", `{"by":"ann","into":"`+d.fires("alertname", "Net")+`"}`)
	page := d.page("/wall", 200)
	for _, mark := range []string{"drill", "snoozed", "merged"} {
		if n := strings.Count(page, `<span class="mark">`+mark+`</span>`); n != 1 {
			t.Errorf("%d are marked %q:\n%s", n, mark, page)
		}
	}
}

// TestWhoWorks names each person once.
func TestWhoWorks(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	d.does(reference, "acknowledge", "by", "ann")
	d.does(reference, "work", "by", "ann", "on", "the disk")
	d.does(reference, "work", "by", "bob", "on", "the logs")
	row := d.rowOf(d.page("/", 200), reference)
	if strings.Count(row, "<bdi>ann</bdi>") != 1 || strings.Count(row, "+ <bdi>bob</bdi>") != 1 {
		t.Errorf("the row is\n%s", row)
	}
}

// TestBoardFilterIsSaid: what is chosen is said in a line, and the form is not in the way of what
// was found; where nothing was, it is there to be changed.
func TestBoardFilterIsSaid(t *testing.T) {
	d := newDesk(t, "")
	d.fires("alertname", "Disk", "severity", "critical")
	page := d.page("/?severity=critical&q=%3Cdisk", 200)
	d.has(page, `<details open><summary>Filter: <span dir="auto">severity critical, search &lt;disk</span></summary>`)
	page = d.page("/?severity=critical&q=disk", 200)
	d.has(page, `<details><summary>Filter: <span dir="auto">severity critical, search disk</span></summary>`, `<a href="/">Show all</a>`)
	d.has(d.page("/", 200), `<details><summary>Filter and views</summary>`)
}
