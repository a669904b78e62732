package console_test

import (
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/web/console"
)

// people is a configuration with a process that has something of everything.
const people = `
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

// TestEveryCommandHasAForm compares the forms with the commands of the API.
func TestEveryCommandHasAForm(t *testing.T) {
	d := newDesk(t, "")
	forms := map[string]bool{}
	for _, path := range console.Commands() {
		forms[strings.NewReplacer("{", ":", "}", "").Replace(path)] = true
	}
	for _, r := range d.gateway.Engine.Routes() {
		path, command := strings.CutPrefix(r.Path, "/api/v1/incidents/:id/")
		if !command || r.Method != "POST" {
			continue
		}
		if !forms[path] {
			t.Errorf("no form sends to %s", path)
		}
		delete(forms, path)
	}
	for path := range forms {
		t.Errorf("a form sends to %s, which the API does not have", path)
	}
}

// done is a command, what its form is filled in with, and what the page of the incident
// then says.
type done struct {
	command string
	fields  []string
	shows   []string
}

// everyCommand are all commands but retry, in an order in which each has something to do.
func everyCommand(other string) []done {
	later := time.Now().Add(3 * time.Hour).UTC().Format("2006-01-02T15:04")
	earlier := time.Now().Add(-3 * time.Hour).UTC().Format("2006-01-02 15:04")
	return []done{
		{"acknowledge", []string{"comment", "at once"}, []string{"acknowledged: at once", "<bdi>ann</bdi> works on it", "Acknowledged."}},
		{"unacknowledge", nil, []string{"acknowledgement taken back", "nobody works on it"}},
		{"acknowledge", nil, []string{"Acknowledged."}},
		{"work", []string{"on", "the raid"}, []string{"on <bdi>the raid</bdi>"}},
		{"rest", nil, []string{"You do not work on it any more."}},
		{"assign", []string{"role", "technical_lead", "who", "bob"}, []string{"<dt>Technical lead</dt><dd><bdi>bob</bdi></dd>"}},
		{"assign", []string{"role", "technical_lead", "who", ""}, []string{"Assigned."}},
		{"team", []string{"team", "storage"}, []string{"<dt>Team</dt><dd><bdi>storage</bdi></dd>"}},
		{"note", []string{"text", "two\r\nlines", "at", earlier}, []string{"two\nlines", "late entry"}},
		{"link", []string{"name", "logs", "url", "https://logs.example.com/1"}, []string{`<a href="https://logs.example.com/1"`}},
		{"link", []string{"name", "CHG-7", "url", "https://example.com/chg/7", "kind", "change"}, []string{`Change: <a href="https://example.com/chg/7" rel="noopener noreferrer"><bdi>CHG-7</bdi>`}},
		{"snooze", []string{"for_seconds", "3600"}, []string{"Nobody is told of it until"}},
		{"unsnooze", nil, []string{"People are told of it again."}},
		{"snooze", []string{"until", later}, []string{"Nobody is told of it until"}},
		{"assess", []string{"impact", "high", "urgency", "low", "observations", "slow", "category", "network"}, []string{"<dd>high, low</dd>", ">slow</span>", "<bdi>network</bdi>"}},
		{"severity", []string{"severity", "critical"}, []string{`<span class="severity critical">`}},
		{"phase", []string{"phase", "mitigating"}, []string{`<span class="phase">mitigating</span>`}},
		{"level", []string{"level", "major"}, []string{`<span class="mark">level major</span>`}},
		{"category", []string{"category", "hardware"}, []string{"<bdi>hardware</bdi>"}},
		{"customers", []string{"customers", " Acme \r\n\r\nOther"}, []string{"<bdi>Acme, Other</bdi>"}},
		{"update", []string{"what", "the shop is slow", "progress", "a restart", "restoration", later, "public", "yes"}, []string{"the shop is slow", "Waits for a signature", `<span class="mark">public</span>`}},
		{"note", []string{"text", "who signs?"}, []string{"Status update 1 by <bdi>ann</bdi> waits for a signature: nobody has heard of it yet.", `/do/sign?n=1">Sign update 1</a></p>`}},
		{"sign", []string{"n", "1", "by", "bob"}, []string{"Signed by <bdi>bob</bdi>"}},
		{"contacted", []string{"who", "Mr Li", "channel", "phone", "reached", "yes", "note", "not amused"}, []string{"<bdi>Mr Li</bdi>", "not amused", ">yes"}},
		{"contacted", []string{"who", "Ms Ho", "channel", "email"}, []string{"<bdi>Ms Ho</bdi>", ">no"}},
		{"next-contact", []string{"at", later}, []string{"Customers hear from us"}},
		{"escalate", []string{"to", "L3", "reason", "complexity"}, []string{"Escalated to <bdi>L3</bdi>", "not accepted yet"}},
		{"accept", []string{"by", "bob"}, []string{"accepted by <bdi>bob</bdi>"}},
		{"answer", nil, []string{"The call is answered."}},
		{"findings", []string{"whys", "full\r\nno alert", "cause", "a full disk", "workaround", "a restart", "follow_up", "https://example.com/t/1"}, []string{"<li dir=\"auto\">no alert</li>", "a full disk", "a restart", `href="https://example.com/t/1"`}},
		{"findings", []string{"lessons_detection", "customers were first"}, []string{"<dt>Lessons of the detection</dt>", "customers were first"}},
		{"cause", []string{"text", "the network", "state", "ruled_out"}, []string{"<strong>Ruled out:</strong>", "the network"}},
		{"workaround-removed", nil, []string{"(removed "}},
		{"action", []string{"text", "more disks", "owner", "bob", "due", later, "kind", "corrective"}, []string{"more disks", "left</time>"}},
		{"action", []string{"text", "call the vendor", "owner", "eve", "kind", "task"}, []string{"call the vendor"}},
		{"action-done", []string{"n", "1"}, []string{"done by <bdi>ann</bdi>"}},
		{"correct", []string{"went_down", earlier}, []string{"The times are corrected."}},
		{"merge", []string{"into", other}, []string{"It is a part of", other}},
		{"unmerge", nil, []string{"on its own again"}},
		{"child", []string{"customer", "Acme", "title", "mail is slow"}, []string{"of <bdi>Acme</bdi>"}},
		{"duty-done", []string{"duty", "look"}, []string{">kept by <bdi>ann</bdi>"}},
		{"duty-waive", []string{"duty", "tell", "comment", "they know"}, []string{">waived by <bdi>ann</bdi>"}},
		{"confirm", []string{"customer", "Acme"}, []string{"the service is back, says Acme"}},
		{"resolve", nil, []string{`<span class="state resolved">`}},
		{"followed-up", []string{"who", "Mr Li"}, []string{"Mr Li knows that it is over"}},
		{"close", nil, []string{`<span class="state closed">`}},
		{"reopen", nil, []string{`<span class="state open">`}},
	}
}

// TestCommands does each command by its form.
func TestCommands(t *testing.T) {
	d := newDesk(t, people)
	reference, other := d.fires("alertname", "Disk", "host", "db"), d.fires("alertname", "Net", "host", "router")
	tested := map[string]bool{"retry": true} // see TestRetry
	for _, c := range everyCommand(other) {
		tested[c.command] = true
		page := d.does(reference, c.command, append([]string{"by", "ann"}, c.fields...)...)
		d.has(page, c.shows...)
	}
	for _, name := range slices.Sorted(maps.Keys(console.Commands())) {
		if !tested[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}

// TestRetry says that there is nothing to try again.
func TestRetry(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	w := d.do(reference, "retry", "by", "ann", "target", "ops/slack[0]")
	d.has(w.Body.String(), "nobody is told of anything here", `value="ops/slack[0]"`)
}

// TestMistakes: the form comes back as it was, and says at each field what is wrong.
func TestMistakes(t *testing.T) {
	d := newDesk(t, people)
	reference := d.fires("alertname", "Disk")
	for _, c := range []struct {
		command string
		fields  []string
		status  int
		shows   []string
	}{
		{"note", []string{"text", " ", "by", "ann", "at", "yesterday"}, 400, []string{`id="f-text-error">Note is missing`, `value="yesterday"`, `aria-invalid="true" aria-describedby="f-at-error f-at-help"`, `<a href="#f-at">When it happened</a> is not a time`, `role="alert"`, "autofocus"}},
		{"note", []string{"text", "<b>kept</b>"}, 400, []string{"&lt;b&gt;kept&lt;/b&gt;", "Your name is missing"}},
		{"note", []string{"text", "x", "by", "tocsin"}, 400, []string{"is what Tocsin itself is called"}},
		{"assign", []string{"role", "boss", "who", "bob", "by", "ann"}, 400, []string{`id="f-role-error"`, `<option value="boss" selected>`}},
		{"findings", []string{"whys", "1\n2\n3\n4\n5\n6", "by", "ann"}, 400, []string{`id="f-whys-error"`, "1\n2\n3\n4\n5\n6"}},
		{"findings", []string{"by", "ann", "follow_up", "javascript:alert(1)"}, 400, []string{`id="f-follow_up-error"`, `value="javascript:alert(1)"`}},
		{"contacted", []string{"who", "Li", "channel", "email", "reached", "yes", "by", "ann"}, 400, []string{`id="f-reached-error"`, `value="yes" checked`}},
		{"duty-waive", []string{"duty", "look", "by", "ann"}, 400, []string{`id="f-comment-error"`, "say why it need not be done"}},
		{"snooze", []string{"by", "ann"}, 400, []string{`id="f-until-error"`}},
		{"close", []string{"by", "ann", "comment", "kept"}, 409, []string{"cannot close", "kept"}},
		{"sign", []string{"n", "7", "by", "ann"}, 400, []string{"7"}},
		{"merge", []string{"into", "INC-20261121-ZZZZ", "by", "ann"}, 400, []string{"INC-20261121-ZZZZ"}},
	} {
		w := d.do(reference, c.command, c.fields...)
		if w.Code != c.status {
			t.Errorf("%s %q: got %d, want %d", c.command, c.fields, w.Code, c.status)
		}
		d.has(w.Body.String(), c.shows...)
	}
	d.lacks(d.page("/incidents/"+reference, 200), "kept")
	for _, path := range []string{"/incidents/" + reference + "/do/nothing", "/incidents/INC-20261121-ZZZZ/do/note"} {
		d.page(path, 404)
	}
	if w := d.submit("/incidents/"+reference+"/do/note", url.Values{"text": {strings.Repeat("x", 4<<20)}}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("4 MiB: got %d", w.Code)
	}
}

// TestWordsThatFormsKnow: where people write a list, the form says what there is; and who
// signed in, and so has no field for a name, is spoken to.
func TestWordsThatFormsKnow(t *testing.T) {
	d := newDesk(t, people)
	reference := d.fires("alertname", "Disk")
	at := "/incidents/" + reference + "/do/"
	d.has(d.page(at+"update", 200), "One on each line. There are ops.")
	d.has(d.page(at+"customers", 200), "One on each line. There are Acme.")
	w := d.send("POST", "/api/v1/tokens", "application/json", `{"role":"admin","name":"boss"}`)
	_, after, _ := strings.Cut(w.Body.String(), `"token":"`)
	token, _, _ := strings.Cut(after, `"`)
	d.header.Set("Authorization", "Bearer "+token)
	d.does(reference, "update", "what", "the shop is slow")
	d.has(d.do(reference, "sign", "n", "1").Body.String(), "<strong>You</strong>: who wrote an update cannot sign it")
}

// TestGate names what the process wants first, with the way there and back.
func TestGate(t *testing.T) {
	d := newDesk(t, people)
	reference := d.fires("alertname", "Disk")
	d.has(d.page("/incidents/"+reference+"/do/resolve", 200), "Missing before this can be done", "<strong>Cause</strong>", "say what caused it")
	w := d.do(reference, "resolve", "by", "ann", "comment", "kept")
	if w.Code != http.StatusConflict {
		t.Errorf("got %d", w.Code)
	}
	there := "/incidents/" + reference + "/do/findings?next=resolve"
	d.has(w.Body.String(), "It cannot be done yet.", "<strong>Cause</strong>", there, "kept")
	w = d.submit("/incidents/"+reference+"/do/findings", d.form(d.page(there, 200), "/incidents/"+reference+"/do/findings", "by", "ann", "cause", "a full disk"))
	back := w.Header().Get("Location")
	if back != "/incidents/"+reference+"/do/resolve?done=findings" {
		t.Fatalf("got %d to %q", w.Code, back)
	}
	page := d.page(back, 200)
	d.has(page, "It is written down.")
	d.lacks(page, "Missing before")
	d.does(reference, "resolve", "by", "ann")
}

// TestWayToWhatIsMissing: whatever a gate usually needs can be said in the console.
func TestWayToWhatIsMissing(t *testing.T) {
	d := newDesk(t, strings.Replace(people, "need: [cause]", "need: [change_ticket, post_mortem, reviewed, technical_lead, customer_told]", 1))
	reference := d.fires("alertname", "Disk")
	at := "/incidents/" + reference + "/do/"
	page := html.UnescapeString(d.page(at+"resolve", 200))
	d.has(page, `"`+at+`link?kind=change&next=resolve"`, `"`+at+`link?kind=post_mortem&next=resolve"`, `"`+at+`findings?next=resolve"`,
		`"`+at+`assign?next=resolve&role=technical_lead"`, `"`+at+`next-contact?next=resolve"`)
	d.has(d.page(at+"link?kind=change&next=resolve", 200), `<option value="change" selected>change</option>`)
	d.does(reference, "link", "by", "ann", "name", "CHG-7", "url", "https://example.com/chg/7", "kind", "change")
	d.lacks(d.page(at+"resolve", 200), "link the change ticket")
}

// TestRace: who is slower sees who was faster and with what, loses nothing, and may do
// it all the same.
func TestRace(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	at := "/incidents/" + reference + "/do/severity"
	values := d.form(d.page(at, 200), at, "by", "bob", "severity", "info", "comment", "mine <i>")
	d.does(reference, "severity", "by", "ann", "severity", "critical", "comment", "it burns")
	w := d.submit(at, values)
	if w.Code != http.StatusConflict {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(w.Body.String(), "Somebody was faster", "<bdi>ann</bdi>", "it burns", "mine &lt;i&gt;", "Do it anyway: set the severity", `<option value="info" selected>`)
	d.has(d.page("/incidents/"+reference, 200), `<span class="severity critical">`)
	w = d.submit(at, d.form(w.Body.String(), at, "by", "bob", "severity", "info"))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("anyway: got %d\n%s", w.Code, w.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), `<span class="severity info">`)
}

// TestAlertsAreNoRace: what alerts and notes change is no reason to ask again.
func TestAlertsAreNoRace(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk", "host", "db", "mount", "a")
	page := d.page("/incidents/"+reference, 200)
	at := "/incidents/" + reference + "/do/acknowledge"
	values := d.form(page, at, "by", "ann")
	if again := d.fires("alertname", "Disk", "host", "db", "mount", "b"); again != reference {
		t.Fatalf("the alert is in %s", again)
	}
	d.note(reference, "bob", "I look")
	if w := d.submit(at, values); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), "<bdi>ann</bdi> works on it", "2 of 2 firing")
}

// TestDoubleClick: a form that arrives twice is done once.
func TestDoubleClick(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	at := "/incidents/" + reference + "/do/note"
	values := d.form(d.page(at, 200), at, "by", "ann", "text", "said once")
	for range 2 {
		if w := d.submit(at, values); w.Code != http.StatusSeeOther {
			t.Fatalf("got %d\n%s", w.Code, w.Body)
		}
	}
	if n := strings.Count(d.page("/incidents/"+reference, 200), "said once"); n != 1 {
		t.Errorf("it is noted %d times", n)
	}
}

// TestName: who said a name once need not again in this browser.
func TestName(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	d.has(d.page("/incidents/"+reference, 200), `id="f-by"`)
	w := d.do(reference, "note", "by", "Ann Lee; é", "text", "x")
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Name != "tocsin_name" || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("got %v", cookies)
	}
	d.header.Set("Cookie", cookies[0].Name+"="+cookies[0].Value)
	page := d.page("/incidents/"+reference, 200)
	d.lacks(page, `id="f-by"`)
	d.has(page, "As <bdi>Ann Lee; é</bdi>")
	at := "/incidents/" + reference + "/do/acknowledge"
	if w := d.submit(at, d.form(page, at)); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), "<bdi>Ann Lee; é</bdi> works on it")
}

// TestZone: times in a form are by the clock of whom it was shown to.
func TestZone(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	d.header.Set("Cookie", "tocsin_zone=Asia/Tokyo")
	page := d.page("/incidents/"+reference+"/do/note", 200)
	d.has(page, "Time zone: Asia/Tokyo")
	d.header.Set("Cookie", "tocsin_zone=Europe/Zurich") // it counts what the form said
	at := "/incidents/" + reference + "/do/note"
	d.submit(at, d.form(page, at, "by", "ann", "text", "x", "at", "2026-01-02T03:04"))
	d.has(d.page("/incidents/"+reference, 200), `datetime="2026-01-01T18:04:00Z"`)
}

// TestLinks: what stands in addresses arrives as it was, also zones and names with odd characters.
func TestLinks(t *testing.T) {
	d := newDesk(t, people)
	reference := d.fires("alertname", "Disk")
	d.does(reference, "contacted", "who", "Mr Li / Acme & Sons", "channel", "phone", "by", "ann")
	d.header.Set("Cookie", "tocsin_zone=Asia/Tokyo")
	page := d.page("/incidents/"+reference, 200)
	link := func(text string) string {
		t.Helper()
		m := regexp.MustCompile(`<a href="([^"]+)">` + text).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("no link %q on\n%s", text, page)
		}
		return html.UnescapeString(m[1])
	}
	for _, kind := range []string{"disruption", "hand-over", "closure"} {
		d.has(d.page(link(kind), 200), "Asia/Tokyo")
	}
	d.has(d.page(link("they know"), 200), `<option value="Mr Li / Acme &amp; Sons" selected>`)
	d.has(d.page(link("not needed"), 200), `<option value="look" selected>`)
}

// TestViewers see no forms, and cannot send any.
func TestViewers(t *testing.T) {
	d := newDesk(t, "")
	reference := d.fires("alertname", "Disk")
	person := func(role string) string {
		w := d.send("POST", "/api/v1/tokens", "application/json", `{"role":"`+role+`","name":"a `+role+`"}`)
		_, after, _ := strings.Cut(w.Body.String(), `"token":"`)
		token, _, _ := strings.Cut(after, `"`)
		if w.Code != http.StatusCreated || token == "" {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		return token
	}
	admin := person("admin")
	d.header.Set("Authorization", "Bearer "+admin)
	viewer, responder := person("viewer"), person("responder")

	d.header.Set("Authorization", "Bearer "+responder)
	at := "/incidents/" + reference + "/do/note"
	values := d.form(d.page(at, 200), at, "text", "x", "by", "somebody else")
	d.lacks(d.page(at, 200), "Your name")

	d.header.Set("Authorization", "Bearer "+viewer)
	page := d.page("/incidents/"+reference, 200)
	d.has(page, reference, "a viewer")
	d.lacks(page, "<form", "/do/", `href="/report"`)
	for _, path := range []string{at, "/report"} {
		d.has(d.page(path, 403), "You may look only")
	}
	for _, path := range []string{at, "/report", "/do/acknowledge"} {
		if w := d.submit(path, values); w.Code != http.StatusForbidden {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}

	d.header.Set("Authorization", "Bearer "+responder)
	if w := d.submit(at, values); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), "<bdi>a responder</bdi> · Note") // whom the API let in, whoever they say they are
	d.lacks(d.page("/incidents/"+reference, 200), "somebody else")

	// Another page cannot send forms in their name.
	d.header.Set("Sec-Fetch-Site", "cross-site")
	if w := d.submit(at, values); w.Code != http.StatusForbidden {
		t.Errorf("from another page: got %d", w.Code)
	}
}

// TestHostileForm: what people and alerts wrote is text in forms too.
func TestHostileForm(t *testing.T) {
	const evil = `"><script>alert(1)</script>{{.}}`
	d := newDesk(t, people)
	reference := d.fires("alertname", evil, "host", evil, "@runbook_url", "javascript:alert(1)", "@dashboard_url", "https://example.com/"+url.PathEscape(evil), "@"+evil, evil)
	for _, c := range [][]string{
		{"team", "team", evil}, {"assign", "role", "technical_help", "who", evil}, {"contacted", "who", evil, "channel", "phone"}, {"update", "what", evil}, {"cause", "text", evil, "state", "open"},
		{"action", "text", evil, "owner", evil, "due", "2026-12-01 10:00", "kind", "training"}, {"findings", "cause", evil, "whys", evil}, {"customers", "customers", evil},
	} {
		d.does(reference, c[0], append([]string{"by", evil}, c[1:]...)...)
	}
	for _, name := range slices.Sorted(maps.Keys(console.Commands())) {
		d.lacks(d.page("/incidents/"+reference+"/do/"+name, 200), "<script>alert")
	}
	page := d.page("/incidents/"+reference, 200)
	d.has(page, ">Dashboard</bdi></a>")
	d.lacks(page, "<script>alert", `href="javascript:`, "Runbook</bdi></a>")
	d.lacks(d.page("/incidents/"+reference+"/do/note?text="+url.QueryEscape(evil), 200), "<script>alert")
	d.lacks(d.page("/incidents/"+reference+"?done="+url.QueryEscape(evil)+"&reported="+url.QueryEscape(evil), 200), "<script>alert", `class="said"`)
}
