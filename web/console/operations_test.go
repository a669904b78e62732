package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hostile is what senders may write anywhere.
const hostile = `<script>alert(1)</script>`

const hostileShown = `&lt;script&gt;alert(1)&lt;/script&gt;`

const operated = `
sources: {prom: {format: alertmanager, auth: {bearer_token: hunter2-hunter2}}, alertmanager: {format: alertmanager}}
classify: {rules: [{name: disks, matchers: ['alertname=~"Disk.*"'], set: {team: storage}}]}
maintenance: [{name: move, matchers: ['service="db"'], from: "2020-01-01 00:00", to: "2090-01-01 00:00", owner: ann}]
process: {rotas: {primary: {overrides: [{who: dora, from: "2020-01-01 00:00", to: "2090-01-01 00:00"}]}}, contacts: [{name: dora}]}
heartbeats: [{name: watchdog, source: alertmanager, matchers: ['alertname="Watchdog"'], every: 5m}]
route: {receiver: ops}
receivers: [{name: ops}]
`

// rowOf is the row of a table that begins with the text.
func (d *desk) rowOf(page, text string) string {
	d.t.Helper()
	for _, row := range strings.Split(page, "<tr>") {
		if strings.Contains(row, text) {
			return row
		}
	}
	d.t.Fatalf("no row with %q in\n%s", text, page)
	return ""
}

// misfit sends what nobody understands and returns the id of its dead letter.
func (d *desk) misfit(body string) string { d.t.Helper(); return d.misfitOf("alertmanager", body) }

func (d *desk) misfitOf(source, body string) string {
	d.t.Helper()
	if w := d.send("POST", "/ingest/"+source, "application/json", body); w.Code >= 500 {
		d.t.Fatalf("got %d %s", w.Code, w.Body)
	}
	id := regexp.MustCompile(`/operations/deadletters/([0-9a-f]+)`).FindStringSubmatch(d.page("/operations/deadletters", 200))
	if id == nil {
		d.t.Fatal("there is no dead letter")
	}
	return id[1]
}

func TestOperations(t *testing.T) {
	d := newDesk(t, operated)
	d.has(d.page("/operations", 200), "1 heartbeat set up, none missing", "What was received adds up", "None: all that came was understood", "No job is late", "No silence is active", "Maintenance: <bdi>move</bdi>", "In force since")
	d.fires("alertname", "DiskFull", "host", "a")
	d.misfit("{nonsense")
	d.has(d.page("/operations", 200), "1 letter: what came was not understood")
	sources := d.page("/operations/sources", 200)
	d.has(d.rowOf(sources, "<bdi>alertmanager</bdi>"), `<span class="pair">opened 1</span>`, "<td>yes</td>", "ago")
	d.has(d.rowOf(sources, "<bdi>prom</bdi>"), "nothing yet")
	d.has(d.rowOf(sources, "<bdi>watchdog</bdi>"), "heard", "5 min", `alertname=&#34;Watchdog&#34;`)
	d.lacks(sources, "<bdi>unknown</bdi>", "<bdi>spool</bdi>")

	config := d.page("/operations/config", 200)
	d.has(d.rowOf(config, "<bdi>disks</bdi>"), "team = storage", `<td class="n">1</td>`)
	d.has(config, "bearer_token: &lt;secret&gt;", "everything else")
	d.lacks(config, "hunter2")
	d.has(d.page("/operations/silences", 200), "open until", "dora")
}

// TestDeadLetterPage: what nobody understood is text there, whatever it looks like;
// and it can be explained and tried again.
func TestDeadLetterPage(t *testing.T) {
	d := newDesk(t, "")
	id := d.misfit(`{"version":"4","alerts":[{"status":"` + strings.ReplaceAll(hostile, `"`, `'`) + `","labels":{"alertname":"x"}}]}`)
	list := d.page("/operations/deadletters", 200)
	d.has(list, hostileShown)
	path := "/operations/deadletters/" + id
	page := d.page(path, 200)
	d.has(page, hostileShown, "1 time, first", "/explain?letter="+id, "Try again")
	d.lacks(list+page, hostile)

	w := d.submit(path, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	d.has(w.Body.String(), "Not all of it is understood yet", "rejected")
	d.lacks(w.Body.String(), hostile)
	if w := d.submit("/operations/deadletters/none", nil); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}

	whole := d.misfit("{nonsense " + strings.Repeat("long", 40<<10))
	for _, one := range regexp.MustCompile(`/operations/deadletters/([0-9a-f]+)`).FindAllStringSubmatch(d.page("/operations/deadletters", 200), -1) {
		if one[1] != id {
			whole = one[1]
		}
	}
	page = d.page("/operations/deadletters/"+whole, 200)
	d.has(page, "That is its beginning")
	if w := d.submit("/operations/deadletters/"+whole, nil); w.Code != http.StatusBadRequest {
		t.Errorf("what is still not understood: got %d", w.Code)
	} else {
		d.has(w.Body.String(), `role="alert"`, "not JSON")
	}
}

func TestReceiversPage(t *testing.T) {
	d := newDesk(t, operated)
	d.has(d.page("/operations/receivers", 200), "<option>ops</option>", "Heartbeat", "in time", "None.")
	// Nobody tells anybody in this gateway: the API says so.
	w := d.submit("/operations/receivers", url.Values{"receiver": {hostile}, "by": {`"><b>ann`}})
	if w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
	d.has(w.Body.String(), `role="alert"`, `value="&#34;&gt;&lt;b&gt;ann"`)
	d.lacks(w.Body.String(), hostile, `<b>ann`)
	if w := d.submit("/operations/receivers", url.Values{"receiver": {"ops"}}); w.Code != http.StatusBadRequest {
		t.Errorf("without a name: got %d %s", w.Code, w.Body)
	}
	if w := d.submit("/operations/undelivered", url.Values{"incident": {"INC-20261121-0000"}, "target": {"x"}, "by": {"ann"}}); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
}

func TestSilenceForm(t *testing.T) {
	d := newDesk(t, operated)
	reference := d.fires("alertname", hostile, "service", "mail")
	form := func(matchers, do string) url.Values {
		return url.Values{"matchers": {matchers}, "for": {"2h"}, "by": {"ann"}, "comment": {hostile}, "do": {do}}
	}
	w := d.submit("/operations/silences/new", form("service=\"mail\"\r\nalertname=~\".*script.*\"\r\n", "preview"))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	d.has(w.Body.String(), "1 incident</strong>, 1 as a whole; 1 alert.", reference, hostileShown, `selected>2 hours`)
	d.lacks(w.Body.String(), hostile)
	d.lacks(d.page("/operations/silences", 200), "mail")

	if w = d.submit("/operations/silences/new", form(`service="mail"`, "create")); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	list := d.page(w.Header().Get("Location"), 200)
	d.has(list, "The silence is made", `service=&#34;mail&#34;`, hostileShown, "active")
	d.lacks(list, hostile)
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(list)
	if id == nil {
		t.Fatal("it cannot be expired")
	}
	if w = d.submit("/operations/silences/expire", url.Values{"id": {id[1]}}); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	list = d.page(w.Header().Get("Location"), 200)
	d.has(list, "has expired", "expired")
	d.lacks(list, `name="id"`)
	if w = d.submit("/operations/silences/expire", url.Values{"id": {"none"}}); w.Code < 400 || w.Code > 499 {
		t.Errorf("got %d", w.Code)
	}
	d.lacks(d.page("/operations/silences?done="+url.QueryEscape(hostile), 200), "alert(1)</", hostile)
}

// TestSilenceLater: a silence for planned work begins when the form says, by the clock of
// its zone.
func TestSilenceLater(t *testing.T) {
	d := newDesk(t, operated)
	d.has(d.page("/operations/silences/new", 200), "Time zone: UTC.")
	form := url.Values{"matchers": {`service="mail"`}, "from": {"2088-07-01T02:00"}, "zone": {"Europe/Zurich"}, "for": {"4h"}, "by": {"ann"}, "comment": {"the hall moves"}, "do": {"preview"}}
	d.has(d.submit("/operations/silences/new", form).Body.String(), `value="2088-07-01T02:00"`, "Time zone: Europe/Zurich.", `name="zone" value="Europe/Zurich"`)
	form.Set("do", "create")
	w := d.submit("/operations/silences/new", form)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	d.has(d.page(w.Header().Get("Location"), 200), "pending", `title="2088-07-01 00:00:00 UTC"`, `title="2088-07-01 04:00:00 UTC"`)
	form.Set("zone", "UTC")
	form.Set("from", time.Now().UTC().Format("2006-01-02T15:04")) // this minute has begun
	if w := d.submit("/operations/silences/new", form); w.Code != http.StatusSeeOther {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	d.has(d.page("/operations/silences", 200), ">active</td>")
}

func TestSilenceMistakes(t *testing.T) {
	d := newDesk(t, "")
	for name, change := range map[string]url.Values{
		"no matcher such as": {"matchers": {"this is none " + hostile}}, "at least one matcher": {"matchers": {" \r\n"}}, "more than 2000 steps": {"matchers": {"a=~\"" + strings.Repeat("(.?){1000}", 9) + "\""}}, "more than 64 matchers": {"matchers": {strings.Repeat("a=\"b\"\n", 65)}}, "Choose how long": {"for": {"forever"}},
		"is no time such as": {"from": {hostile}}, "has passed": {"from": {"2020-01-01T00:00"}},
		"matchers": {"matchers": {`a=~".*"`}}, "comment": {"comment": {""}},
	} {
		form := url.Values{"matchers": {`service="mail"`}, "for": {"2h"}, "by": {"ann"}, "comment": {"known"}, "do": {"create"}}
		for field, value := range change {
			form[field] = value
		}
		w := d.submit("/operations/silences/new", form)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d", name, w.Code)
		}
		d.has(w.Body.String(), `role="alert"`, name)
		d.lacks(w.Body.String(), hostile)
	}
}

// TestOperationsRoles: a viewer sees, and may do nothing.
func TestOperationsRoles(t *testing.T) {
	d := newDesk(t, operated)
	id := d.misfit("{nonsense")
	token := func(role string) string {
		w := d.send("POST", "/api/v1/tokens", "application/json", `{"role":"`+role+`","name":"the `+role+`"}`)
		found := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(w.Body.String())
		if found == nil {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		return found[1]
	}
	d.header.Set("Authorization", "Bearer "+token("admin"))
	d.submit("/operations/deadletters/"+id, nil)
	d.has(d.page("/operations/audit", 200), "<bdi>the admin</bdi>", "/deadletters/:id/retry", "<bdi>"+id+"</bdi>")
	d.header.Set("Authorization", "Bearer "+token("viewer"))
	d.lacks(d.page("/operations/deadletters/"+id, 200), "Try again")
	d.lacks(d.page("/operations/silences", 200), "New silence")
	d.lacks(d.page("/operations/receivers", 200), `action="/operations/`)
	d.page("/operations/audit", http.StatusForbidden)
	d.has(d.page("/explain?letter="+id, 200), "{nonsense")
	for path, form := range map[string]url.Values{
		"/operations/deadletters/" + id: nil, "/operations/receivers": {"receiver": {"ops"}}, "/operations/silences/expire": {"id": {"x"}},
		"/operations/silences/new": {"matchers": {`a="b"`}, "for": {"2h"}, "comment": {"c"}, "do": {"create"}},
	} {
		if w := d.submit(path, form); w.Code != http.StatusForbidden {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}
