package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// batch sends alerts of one incident, numbered; those from some number on have ended.
func (d *desk) batch(n, ended int) string {
	d.t.Helper()
	var alerts []any
	for k := range n {
		status := "firing"
		if k >= ended {
			status = "resolved"
		}
		alerts = append(alerts, map[string]any{"status": status, "startsAt": "2026-11-21T04:00:00Z", "labels": map[string]string{"alertname": "Disk", "host": "db", "mount": fmt.Sprint(k)},
			"annotations": map[string]string{"summary": fmt.Sprintf("mount %d is full", k)}})
	}
	body, err := json.Marshal(map[string]any{"version": "4", "alerts": alerts})
	if err != nil {
		d.t.Fatal(err)
	}
	answer := d.api("POST", "/ingest/alertmanager", string(body))
	return regexp.MustCompile(`INC-[0-9]{8}-[0-9A-Z]+`).FindString(answer)
}

// TestManyAlerts shows those that fire first, a page at a time.
func TestManyAlerts(t *testing.T) {
	const all, fire = 620, 450
	d := newDesk(t, "")
	reference := d.batch(all, all)
	d.batch(all, fire)
	next := regexp.MustCompile(`href="(/incidents/[^"]+)">More that fire`)
	path, seen, pages := "/incidents/"+reference, map[string]bool{}, 0
	for path != "" {
		page := d.page(strings.ReplaceAll(path, "&amp;", "&"), 200)
		for _, m := range regexp.MustCompile(`>mount (\d+) is full</span></summary>`).FindAllStringSubmatch(page, -1) {
			if k, err := strconv.Atoi(m[1]); err == nil && k < fire {
				seen[m[1]] = true
			}
		}
		d.has(page, "Firing (450)", "<summary>Ended</summary>", "More that ended")
		pages++
		path = ""
		if m := next.FindStringSubmatch(page); m != nil {
			path, _, _ = strings.Cut(m[1], "#")
		}
	}
	if pages < 3 || len(seen) != fire {
		t.Errorf("got %d alerts that fire on %d pages, want %d", len(seen), pages, fire)
	}
}

// TestOlder: the timeline is the newest first, and goes on.
func TestOlder(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	for n := range 150 {
		d.note(reference, "ann", fmt.Sprintf("note %d.", n))
	}
	page := d.page("/incidents/"+reference, 200)
	d.has(page, "note 149.", "note 50.", `?before=52#timeline`)
	d.lacks(page, "note 49.")
	if strings.Index(page, "note 149.") > strings.Index(page, "note 148.") {
		t.Error("the newest is not the first")
	}
	page = d.page("/incidents/"+reference+"?before=52", 200)
	d.has(page, "note 49.", "note 0.", "opened: Disk")
	d.lacks(page, "note 50.", "before=")
}

// TestLive: the script asks for the content, and hears that nothing has changed.
func TestLive(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	ask := func(tag string) (int, string, string) {
		t.Helper()
		d.header.Set("If-None-Match", tag)
		w := d.send("GET", "/incidents/"+reference+"?part=live", "", "")
		return w.Code, w.Header().Get("ETag"), w.Body.String()
	}
	status, tag, body := ask("")
	if status != http.StatusOK || tag == "" {
		t.Fatalf("got %d, %q", status, tag)
	}
	d.has(body, `data-piece="head"`, `data-piece="timeline"`)
	d.lacks(body, "<html")
	if status, _, body := ask(tag); status != http.StatusNotModified || body != "" {
		t.Errorf("unchanged: got %d with %d bytes", status, len(body))
	}
	d.note(reference, "ann", "news")
	if status, again, body := ask(tag); status != http.StatusOK || again == tag || !strings.Contains(body, "news") {
		t.Errorf("changed: got %d, %q", status, again)
	}
}

// TestLiveAlone: that an earlier incident has changed is no news of this one, which is
// why it is not looked for; it shows with the next that is.
func TestLiveAlone(t *testing.T) {
	d := newDesk(t, "")
	earlier := d.fires("alertname", "DiskFull", "host", "db-1", "service", "shop")
	reference := d.fires("alertname", "DiskSlow", "host", "db-1", "service", "shop")
	ask := func(tag string) (int, string, string) {
		t.Helper()
		d.header.Set("If-None-Match", tag)
		w := d.send("GET", "/incidents/"+reference+"?part=live", "", "")
		return w.Code, w.Header().Get("ETag"), w.Body.String()
	}
	_, tag, body := ask("")
	d.has(body, earlier)
	d.api("POST", "/api/v1/incidents/"+earlier+"/resolve", `{"by":"bob"}`)
	if status, _, body := ask(tag); status != http.StatusNotModified {
		t.Errorf("got %d\n%s", status, body)
	}
	d.note(reference, "ann", "news")
	_, _, body = ask(tag)
	d.has(body, "resolved by bob", "news")
}

// TestMissedDutyStaysInSight: what was due for the last time and still has to be done is the
// first of the duties, and not among what is done.
func TestMissedDutyStaysInSight(t *testing.T) {
	d := newDesk(t, "process: {profile: none, duties: [{name: decide, after: 0s, unless: [closed], text: decide on it, do: {require: close}}, {name: later, after: 20h, unless: [closed]}]}")
	reference := d.fires("alertname", "Disk")
	due := func(name string) bool {
		todo, _, _ := strings.Cut(d.page("/incidents/"+reference, 200), `data-key="duties"`)
		before, _, found := strings.Cut(todo, "<strong>"+name+"</strong>")
		return found && (name == "later" || strings.Contains(before, "overdue") && !strings.Contains(before, "<strong>later</strong>"))
	}
	if !due("decide") || !due("later") {
		t.Errorf("the duties are\n%s", d.page("/incidents/"+reference, 200))
	}
	d.does(reference, "duty-done", "by", "ann", "duty", "decide")
	if due("decide") || !due("later") {
		t.Errorf("it is done, and the duties are\n%s", d.page("/incidents/"+reference, 200))
	}
}

// TestTimesOfEntries: where the gateway writes a time into the timeline it is shown as the viewer's
// clock has it; what people write stays as they wrote it.
func TestTimesOfEntries(t *testing.T) {
	d := newDesk(t, "")
	at := "/api/v1/incidents/" + d.fires("alertname", "Disk") + "/"
	day := time.Now().UTC().AddDate(0, 0, 3).Format(time.DateOnly)
	d.api("POST", at+"next-contact", `{"by":"ann","at":"`+day+`T11:04:00Z"}`)
	d.api("POST", at+"snooze", `{"by":"ann","until":"`+day+`T11:05:00Z","comment":"<i>until 2031-13-03T15:04:00Z"}`)
	d.api("POST", at+"actions", `{"by":"ann","text":"look","owner":"bob","due":"`+day+`T11:06:00Z","comment":"2031-02-03T15:07:00Z is in the log"}`)
	d.api("POST", at+"update", `{"by":"ann","what":"slow","restoration":"`+day+`T11:08:00Z"}`)
	d.api("POST", at+"note", `{"by":"ann","text":"it said at 2031-02-03T15:09:00Z"}`)
	d.header.Set("Cookie", "tocsin_zone=Asia/Tokyo")
	_, timeline, _ := strings.Cut(d.page(strings.TrimSuffix(strings.TrimPrefix(at, "/api/v1"), "/"), 200), `<ol class="timeline"`)
	timeline, _, _ = strings.Cut(timeline, "</ol>")
	for minute, before := range map[string]string{"04": "next contact at ", "05": "nobody is told before ", "06": "for bob until ", "08": "restoration expected at "} {
		d.has(timeline, before+`<time datetime="`+day+`T11:`+minute+`:00Z" title="`+day+` 11:`+minute+`:00 UTC">`+day+` 20:`+minute+`</time>`)
	}
	d.has(timeline, "&lt;i&gt;until 2031-13-03T15:04:00Z", "2031-02-03T15:07:00Z is in the log", "it said at 2031-02-03T15:09:00Z")
}

// TestWhatMattersFirst: what is wrong is the first that is read, and how it ended before is not
// below everything that was ever written; what is long is folded.
func TestWhatMattersFirst(t *testing.T) {
	d := newDesk(t, "")
	earlier := d.fires("alertname", "DiskFull", "host", "db-1", "service", "shop")
	d.does(earlier, "findings", "by", "ann", "solution", "rotated the logs")
	d.does(earlier, "resolve", "by", "ann")
	d.does(earlier, "close", "by", "ann")
	reference := d.fires("alertname", "DiskSlow", "host", "db-1", "service", "shop", "@summary", "the disk is full")
	d.does(reference, "update", "by", "ann", "what", "first we look")
	d.does(reference, "update", "by", "ann", "what", "then we act")
	page, last := d.page("/incidents/"+reference, 200), -1
	_, page, _ = strings.Cut(page, "<h1")
	for _, text := range []string{`<p class="lead"><span dir="auto">the disk is full</span></p>`, `<a href="#timeline">`, `id="facts"`, `id="alerts"`, "rotated the logs", "then we act", "first we look", `<ol class="timeline"`} {
		at := strings.Index(page, text)
		if at < 0 || at < last {
			t.Errorf("%q is at %d, what is before it at %d:\n%s", text, at, last, page)
		}
		last = at
	}
	d.lacks(page, "more of them")
	reported := regexp.MustCompile(`INC-[0-9A-Z-]+`).FindString(d.api("POST", "/api/v1/incidents", `{"title":"no paper","description":"It asks for paper.\nThere is paper.","reporter":"Mr Li"}`))
	page = d.page("/incidents/"+reported, 200)
	d.has(page, `<p class="lead"><span dir="auto">It asks for paper.</span></p>`, "It asks for paper.\nThere is paper.</dd>", "<p>It has none.</p>")
	d.lacks(page, "None fires.")
}

// TestManyAlertsAreFolded: the timeline is not below hundreds of alerts.
func TestManyAlertsAreFolded(t *testing.T) {
	for fire, want := range map[int][2]int{10: {10, 0}, 11: {11, 0}, 12: {10, 2}} {
		d := newDesk(t, "")
		page := d.page("/incidents/"+d.batch(fire, fire), 200)
		d.has(page, fmt.Sprintf(`<a href="#alerts">and %d more</a></p>`, fire-1))
		sight, folded, _ := strings.Cut(page, fmt.Sprintf("<summary>%d more of them</summary>", want[1]))
		if got := [2]int{strings.Count(sight, `<div class="alert">`), strings.Count(folded, `<div class="alert">`)}; got != want {
			t.Errorf("of %d alerts %v are in sight and folded, want %v", fire, got, want)
		}
	}
}

// TestObjectivesAreMeasured: nobody can say that an objective was met, or that it does not
// count, and the page does not offer it.
func TestObjectivesAreMeasured(t *testing.T) {
	d := newDesk(t, "")
	id := d.fires("alertname", "Disk", "host", "a", "severity", "critical")
	page := d.page("/incidents/"+id, 200)
	d.has(page, "<strong>response-objective</strong>")
	d.lacks(page, `duty=response-objective"`, `duty=resolution-objective"`)
	for _, duty := range []string{"response-objective", "resolution-objective"} {
		for _, say := range []string{"done", "waive"} {
			w := d.send("POST", "/api/v1/incidents/"+id+"/duties/"+duty+"/"+say, "application/json", `{"by":"ann","comment":"we are fine"}`)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "is measured") {
				t.Errorf("%s %s: got %d %s, want a refusal", duty, say, w.Code, w.Body)
			}
		}
	}
}
