package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/web/console"
)

// TestAnalysis: the figures are those of the API, each chart has a table, and there is a
// file of both.
func TestAnalysis(t *testing.T) {
	noon, began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), time.Now() // so that all of it is on one day
	st, err := embedded.Open("mem:", embedded.Options{Now: func() time.Time { return noon.Add(time.Since(began)) }})
	if err != nil {
		t.Fatal(err)
	}
	d := deskOn(t, "correlate: {rules: [{name: each, by: [alertname, host]}]}", st)
	d.has(d.page("/analysis", 200), "Nothing was observed", "Outage of closed incidents</bdi>")
	first := d.fires("alertname", "Disk", "host", "a", "service", hostile, "severity", "critical")
	d.fires("alertname", "Disk", "host", "b", "service", "shop", "severity", "warning")
	d.api("POST", "/api/v1/incidents/"+first+"/acknowledge", `{"by":"ann"}`)
	d.api("POST", "/api/v1/incidents/"+first+"/resolve", `{"by":"ann"}`)
	page := d.page("/analysis?by=service&every=day", 200)
	d.lacks(page, hostile)
	row := d.rowOf(page, "<bdi>"+hostileShown+"</bdi>")
	d.has(row, `<td class="n">1</td>`, "1 time)")
	today := noon.Format(time.DateOnly)
	d.has(d.rowOf(page, `<th scope="row">`+today), `<td class="n">2</td>`)
	d.has(page, "<title>"+today+": 2</title>", ">CSV by day</a>", "CSV by day and service", "Never acknowledged", "Response objectives")
	if n := strings.Count(page, `<th scope="row">2`); n != 30+2 {
		t.Errorf("the tables have %d rows of days, want 30, and 2 of a service", n)
	}
	for _, measure := range []string{"Incidents opened", "Mean time to acknowledge", "Mean time to resolve"} {
		d.has(page, "<h3>"+measure+", by service</h3>", `aria-label="`+measure+", "+hostileShown)
	}
	d.lacks(page, "Outage of closed incidents, by service") // none is closed
	d.has(d.rowOf(page, `<th scope="row">`+today+`</th><td class="clip"><bdi>`+hostileShown), `<td class="n">1</td>`)
	for _, link := range regexp.MustCompile(`href="(/api/v1/[^"]*csv[^"]*)"`).FindAllStringSubmatch(page, -1) {
		if w := d.send("GET", strings.ReplaceAll(link[1], "&amp;", "&"), "", ""); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
			t.Errorf("%s: got %d %s", link[1], w.Code, w.Header().Get("Content-Type"))
		}
	}
}

// TestAnalysisWorstFirst: severities stand in the order of the board, not in that of the alphabet.
func TestAnalysisWorstFirst(t *testing.T) {
	d := newDesk(t, "")
	for _, s := range []string{"info", "warning", "critical", "error"} {
		d.fires("alertname", s, "severity", s)
	}
	var got []string
	for _, m := range regexp.MustCompile(`<th scope="row" class="clip"><bdi>([a-z]+)</bdi>`).FindAllStringSubmatch(d.page("/analysis?by=severity", 200), -1) {
		got = append(got, m[1])
	}
	if want := []string{"critical", "error", "warning", "info"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestAnalysisWithoutMidnight: where a day begins at one o'clock, it is a whole one all the same.
func TestAnalysisWithoutMidnight(t *testing.T) {
	d := newDesk(t, "")
	d.header.Set("Cookie", "tocsin_zone=America/Santiago")
	page := d.page("/analysis?from=2026-09-06&to=2026-09-07&every=day", 200)
	d.has(page, "from=2026-09-06T04%3A00%3A00Z", "to=2026-09-08T03%3A00%3A00Z", `<th scope="row">2026-09-06</th>`, `<th scope="row">2026-09-07</th>`)
	d.lacks(page, `<th scope="row">2026-09-05</th>`)
	d.has(d.page("/analysis?from=2026-08-07&to=2026-09-05&every=day", 200), "to=2026-09-06T04%3A00%3A00Z", "The month: 2026-09")
}

func TestAnalysisOfWhatIsRemoved(t *testing.T) {
	d := newDesk(t, "incidents: {retention: 10d}")
	d.has(d.page("/analysis", 200), "are removed, and in no figure here")
	today := time.Now().UTC().Format(time.DateOnly)
	d.lacks(d.page("/analysis?from="+today+"&to="+today, 200), "in no figure here")
}

// TestExact: figures are written to the second, with all units.
func TestExact(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0 s", 0.4: "0 s", 59.6: "1 min", 299: "4 min 59 s", 3600: "1 h", 3605: "1 h 5 s", 90061: "1 d 1 h 1 min 1 s"} {
		if got := console.Exact(seconds); got != want {
			t.Errorf("%v: got %q, want %q", seconds, got, want)
		}
	}
	if got := console.Exact((*float64)(nil)); got != "" {
		t.Errorf("none: got %q", got)
	}
}

func TestAnalysisMistakes(t *testing.T) {
	d := newDesk(t, "")
	for query, want := range map[string]string{
		"from=" + url.QueryEscape(hostile): "from is not a day", "to=2026-13-01": "to is not a day", "from=2026-11-02&to=2026-11-01": "from is after to",
		"by=colour": "by is none of", "from=2020-01-01&to=2026-01-01&every=day": "more than 400", "every=hour": "interval",
	} {
		page := d.page("/analysis?"+query, http.StatusBadRequest)
		d.has(page, `role="alert"`, want)
		d.lacks(page, hostile)
	}
}

// TestExplainPage: each decision can be read, nothing of it is stored, and what a
// payload says is text.
func TestExplainPage(t *testing.T) {
	d := newDesk(t, operated)
	d.has(d.page("/explain", 200), `<option value="prom">`)
	long := strings.Repeat("w", 10_000)
	w := d.submit("/explain", url.Values{"source": {"alertmanager"}, "payload": {`{"version":"4","alerts":[` + "\r\n" +
		`{"status":"firing","startsAt":"2026-11-21T03:00:00Z","labels":{"alertname":"DiskFull","service":"db","long":"` + long + `"},"annotations":{"summary":"` + hostile + `"}},` +
		`{"status":"odd","labels":{"alertname":"x"}}]}`}})
	page := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, page)
	}
	d.has(page, "1 alert, 1 not understood", "DiskFull</bdi>: opened", hostileShown, "rule <bdi>disks</bdi>", "The incident would be", "<bdi>ops</bdi>, by the route for everything else",
		"hidden by maintenance", "&#34;decisions&#34;", long)
	d.lacks(page, hostile)
	d.has(d.page("/", 200), "No incident is open")

	w = d.submit("/explain", url.Values{"source": {"alertmanager"}, "payload": {`{"version":"4","alerts":[{"status":"odd","labels":{"alertname":"x"}}]}`}})
	if w.Code != http.StatusOK {
		t.Errorf("nothing in it is understood: got %d", w.Code)
	}
	d.has(w.Body.String(), "0 alerts, 1 not understood", "neither firing nor resolved")

	many := strings.TrimSuffix(strings.Repeat(`{"status":"firing","labels":{"alertname":"x"}},`, 203), ",")
	d.has(d.submit("/explain", url.Values{"source": {"alertmanager"}, "payload": {`{"version":"4","alerts":[` + many + `]}`}}).Body.String(),
		"50 alerts", "And 150 more alerts, which the API explains.", "3 more of the payload are not explained")

	id := d.misfit("{nonsense " + hostile)
	picked := d.page("/explain?letter="+id, 200)
	d.has(picked, "{nonsense "+hostileShown, `<option value="alertmanager" selected>`)
	d.lacks(picked, hostile)
	if w := d.submit("/explain", url.Values{"source": {"alertmanager"}, "letter": {id}}); w.Code != http.StatusBadRequest {
		t.Errorf("a letter that nobody understands: got %d", w.Code)
	} else {
		d.has(w.Body.String(), `role="alert"`, "not JSON")
	}
	for query, status := range map[string]int{"letter=none": 404, "recording=none": 404} {
		d.page("/explain?"+query, status)
	}
	for name, form := range map[string]url.Values{"source": {"payload": {"{}"}}, "no source": {"source": {hostile}, "payload": {"{}"}}} {
		w := d.submit("/explain", form)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d", name, w.Code)
		}
		d.has(w.Body.String(), `role="alert"`, "source")
		d.lacks(w.Body.String(), hostile)
	}
}

// TestCorrectMapping: what a source's mapping cannot read is read with another one, which
// is shown as the file wants it; what is in force stays.
func TestCorrectMapping(t *testing.T) {
	d := newDesk(t, `
sources:
  shop:
    format: mapping
    mapping: {name: {path: title}, status: {path: state, map: {ok: resolved, bad: firing}}}
  other: {format: mapping, mapping: {name: {path: what}}}
`)
	letter := d.misfitOf("shop", `{"title": "Slow", "state": "`+hostile+`"}`)
	d.has(d.page("/operations/deadletters/"+letter, 200), `href="/explain?letter=`+letter+`">Correct the mapping<`)
	page := d.page("/explain?letter="+letter, 200)
	d.has(page, "The mapping of shop", "As it is in force.", "\n  path: state\n", `<option value="shop" selected>`)
	d.lacks(d.page("/explain?source=alertmanager", 200), "The mapping of")
	asks := func(status int, fields ...string) string {
		t.Helper()
		w := d.submit("/explain", d.form(page, "/explain", append([]string{"source", "shop", "payload", `{"title": "Slow", "state": "` + hostile + `"}`}, fields...)...))
		if w.Code != status {
			t.Fatalf("%q: got %d, want %d\n%s", fields, w.Code, status, w.Body)
		}
		d.lacks(w.Body.String(), hostile)
		return w.Body.String()
	}
	d.has(asks(200), "As it is in force.", "0 alerts, 1 not understood", "is neither firing nor resolved")
	tried := asks(200, "mapping", "name: {path: title}\r\nstatus: {path: state, map: {ok: resolved}, default: firing}\r\n")
	d.has(tried, "Slow</bdi>: opened", "Changed here;", "sources:\n  shop:\n    format: mapping\n    mapping:\n      name: {path: title}\n      status: {path: state, map: {ok: resolved}, default: firing}\n</pre>",
		"then the dead letter can be tried again")
	d.has(asks(400, "mapping", "name: {path: title}\nseverity: {regex: '(', path: x}\nstate: {path: "+hostile+"}"), `role="alert"`, "mapping.severity.regex: line 2, column 19: not a regular expression", "line 3, column 1: unknown key &#34;state&#34;")
	d.has(asks(200, "source", "other", "mapping", "nonsense"), "The mapping of other", "As it is in force.", "0 alerts, 1 not understood")
	d.has(d.page("/explain?source=shop", 200), "As it is in force.", "\n  path: state\n")
	d.has(d.page("/", 200), "No incident is open")
}
