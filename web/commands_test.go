package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/web"
)

// do sends a command and returns the incident that is answered.
func (s *server) do(id, command, body string, headers ...string) web.IncidentJSON {
	s.t.Helper()
	return decode[web.IncidentJSON](s.send("POST", "/api/v1/incidents/"+id+"/"+command, body, headers...).want(200))
}

func TestLifeOfAnIncident(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	s.clock.add(time.Minute)
	i := s.do(id, "acknowledge", `{"by":"ann","comment":"on it"}`)
	if i.State != "acknowledged" || i.AcknowledgedBy != "ann" || i.TimeToAcknowledge == nil || *i.TimeToAcknowledge != 60 {
		t.Errorf("acknowledge: got %+v", i)
	}
	s.clock.add(time.Minute)
	if again := s.do(id, "acknowledge", `{"by":"bob"}`); again.Version != i.Version || again.AcknowledgedBy != "ann" {
		t.Errorf("acknowledge again: got version %d by %s, want %d by ann: nothing changed", again.Version, again.AcknowledgedBy, i.Version)
	}
	if i = s.do(id, "unacknowledge", `{"by":"ann","comment":"must go"}`); i.State != "open" || i.AcknowledgedAt != nil || i.AcknowledgedBy != "" ||
		i.TimeToAcknowledge == nil || *i.TimeToAcknowledge != 60 {
		t.Errorf("unacknowledge: got %+v, want it open, and that it took 60 s at first", i)
	}
	i = s.do(id, "acknowledge", `{"by":"ann"}`)
	if i = s.do(id, "phase", `{"by":"ann","phase":"mitigating"}`); i.Phase != "mitigating" {
		t.Errorf("phase: got %s", i.Phase)
	}
	if i = s.do(id, "severity", `{"by":"ann","severity":"warning","comment":"one of three disks"}`); i.Severity != "warning" || !i.SeveritySet {
		t.Errorf("severity: got %s, set %v", i.Severity, i.SeveritySet)
	}
	s.do(id, "note", `{"by":"ann","text":"called the provider","at":"2026-11-21T03:00:30Z"}`)
	s.do(id, "note", `{"by":"ann","comment":"they look into it"}`)
	if i = s.do(id, "resolve", `{"by":"ann","comment":"cleaned up"}`); i.State != "resolved" || i.Alerts.Firing != 1 || *i.TimeToResolve != 120 || i.Outage == nil {
		t.Errorf("resolve: got %+v", i)
	}
	s.do(id, "resolve", `{"by":"ann"}`)
	if i = s.do(id, "close", `{"by":"ann"}`); i.State != "closed" || i.ClosedBy != "ann" {
		t.Errorf("close: got %+v", i)
	}
	if i = s.do(id, "reopen", `{"by":"bob","comment":"no"}`); i.State != "open" || i.Reopens != 1 || len(i.Cycles) != 1 || i.AcknowledgedAt != nil {
		t.Errorf("reopen: got %+v", i)
	}
	var actions []string
	for _, e := range decode[web.TimelinePageJSON](s.send("GET", "/api/v1/incidents/"+id+"/timeline", "").want(200)).Timeline {
		actions = append(actions, e.Action)
		if late := e.Text == "called the provider"; e.Late != late || late && !e.At.Equal(morning.Add(30*time.Second)) {
			t.Errorf("late entry: got %+v", e)
		}
	}
	want := "opened acknowledged acknowledgement_removed acknowledged phase severity note note resolved closed reopened"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("timeline: got %s, want %s", got, want)
	}
}

func TestWhatDoesNotFitTheState(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	a := s.send("POST", "/api/v1/incidents/"+id+"/close", `{"by":"ann"}`).problem(409, "cannot close an incident that is open")
	if p := decode[web.Problem](a); p.Incident == nil || p.Incident.ID != id || p.Incident.State != "open" {
		t.Errorf("got %s, want it to hold the incident", a.body)
	}
	s.do(id, "resolve", `{"by":"ann"}`)
	s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", `{"by":"ann"}`).problem(409, "acknowledge", "resolved")
	s.send("POST", "/api/v1/incidents/"+id+"/unacknowledge", `{"by":"ann"}`).problem(409, "acknowledgement", "resolved")
	s.send("POST", "/api/v1/incidents/"+id+"/phase", `{"by":"ann","phase":"observing"}`).problem(409)
	s.do(id, "close", `{"by":"ann"}`)
	s.send("POST", "/api/v1/incidents/"+id+"/severity", `{"by":"ann","severity":"info"}`).problem(409)
	for _, command := range []string{"acknowledge", "unacknowledge", "resolve", "close", "reopen"} {
		s.send("POST", "/api/v1/incidents/nobody/"+command, `{"by":"ann"}`).problem(404, "nobody")
	}
}

func TestIfMatch(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	i := s.do(id, "acknowledge", `{"by":"ann"}`, "If-Match", "1")
	lost := s.send("POST", "/api/v1/incidents/"+id+"/resolve", `{"by":"bob"}`, "If-Match", `"1"`).problem(409, "version")
	if p := decode[web.Problem](lost); p.Incident == nil || p.Incident.AcknowledgedBy != "ann" || p.Incident.Version != i.Version {
		t.Errorf("lost race: got %s, want the incident as it is", lost.body)
	}
	i = s.do(id, "resolve", `{"by":"bob"}`, "If-Match", fmt.Sprintf(`"%d"`, i.Version))
	s.do(id, "close", `{"by":"bob"}`, "If-Match", "*")
	for _, tag := range []string{"x", `"`, `"1`, "0", "-1", `W/"1"`, `"1", "2"`, "99999999999999999999"} {
		s.send("POST", "/api/v1/incidents/"+id+"/reopen", `{"by":"bob"}`, "If-Match", tag).problem(400, "If-Match")
	}

	// Of several with the same version exactly one wins.
	id = s.accept(s.firing("Other", "db"))
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for n := range statuses {
		wg.Go(func() {
			statuses[n] = s.send("POST", "/api/v1/incidents/"+id+"/note", fmt.Sprintf(`{"by":"p%d","text":"mine"}`, n), "If-Match", "1").status
		})
	}
	wg.Wait()
	won := 0
	for _, status := range statuses {
		switch status {
		case 200:
			won++
		case 409:
		default:
			t.Errorf("got %d, want 200 or 409", status)
		}
	}
	if won != 1 {
		t.Errorf("%v: %d won, want 1", statuses, won)
	}
}

func TestBodiesAreStrict(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	version := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "").want(200)).Version
	long := strings.Repeat("x", 300)
	for _, test := range []struct{ command, body, want string }{
		{"acknowledge", ``, `"by"`}, {"acknowledge", `{}`, `"by"`}, {"acknowledge", `{"by":"  "}`, `"by"`},
		{"acknowledge", `{"by":"` + long + `"}`, `"by"`}, {"acknowledge", `{"by":"Tocsin"}`, "Tocsin itself"}, {"acknowledge", `{"by":7}`, `"by"`},
		{"acknowledge", `{"by":"ann","why":"x"}`, `"why"`}, {"acknowledge", `{"By":"ann"}`, `"By"`}, {"acknowledge", `{"by":"ann","by":"bob"}`, `"by"`},
		{"acknowledge", `{"by":"ann"`, "not JSON"}, {"acknowledge", `by=ann`, "not JSON"}, {"acknowledge", `[]`, `"body"`}, {"acknowledge", `{"by":"ann"} {}`, "not JSON"},
		{"acknowledge", "{\"by\":\"\xff\"}", "UTF-8"}, {"acknowledge", strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40), "deep"},
		{"acknowledge", `{"by":"ann","comment":"` + strings.Repeat("x", 17<<10) + `"}`, `"comment"`},
		{"note", `{"by":"ann"}`, `"text"`}, {"note", `{"by":"ann","text":" "}`, `"text"`}, {"note", `{"by":"ann","text":"` + strings.Repeat("x", 17<<10) + `"}`, `"text"`},
		{"note", `{"by":"ann","text":"t","at":"yesterday"}`, `"at"`},
		{"phase", `{"by":"ann"}`, `"phase"`}, {"phase", `{"by":"ann","phase":"panic"}`, `"phase"`},
		{"severity", `{"by":"ann"}`, `"severity"`}, {"severity", `{"by":"ann","severity":"fatal"}`, `"severity"`},
		{"acknowledge?now=1", `{"by":"ann"}`, `"now"`},
	} {
		s.send("POST", "/api/v1/incidents/"+id+"/"+test.command, test.body).problem(400, test.want)
	}
	s.send("POST", "/api/v1/incidents/"+id+"/note", `{"by":"ann","text":"`+strings.Repeat("x", 2<<20)+`"}`).problem(413, "1048576")
	if got := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+id, "").want(200)).Version; got != version {
		t.Errorf("after requests that were refused: got version %d, want %d", got, version)
	}
}

func TestReport(t *testing.T) {
	s := newServer(t)
	a := s.send("POST", "/api/v1/incidents", `{"description":"the shop is slow\nsince noon","reporter":"ann","impact":"high","urgency":"medium","category":"network",
		"service":"shop","team":"web","severity":"error","drill":true,"started_at":"2026-11-21T02:30:00Z"}`).want(200)
	i := decode[web.IncidentJSON](a)
	if i.Title != "the shop is slow" || i.Reporter != "ann" || i.Priority != "P2" || i.Category != "network" || i.Service != "shop" || i.Team != "web" ||
		!i.Drill || i.TimeToDetect != 1800 || i.Rule != "default" || i.Reference == "" || i.Version == 0 {
		t.Errorf("got %s", a.body)
	}
	if got := a.header.Get("Location"); got != "/api/v1/incidents/"+i.ID {
		t.Errorf("Location: got %q", got)
	}
	// A help desk's form says the same as JSON does.
	const form = "Content-Type"
	a = s.send("POST", "/api/v1/incidents", "description=no+mail%0Asince+nine&reporter=Mr+Li&reporter_contact=555-0100&reporter_role=customer&channel=phone&reported_at=2026-11-21T02:40:00Z&impact=&drill=",
		form, "application/x-www-form-urlencoded").want(200)
	i = decode[web.IncidentJSON](a)
	if i.Title != "no mail" || i.Reporter != "Mr Li" || i.ReporterContact != "555-0100" || i.ReporterRole != "customer" || i.Channel != "phone" || i.ReportedAt == nil || i.Drill ||
		a.header.Get(web.VerdictHeader) != "opened" {
		t.Errorf("form: got %s, verdict %q", a.body, a.header.Get(web.VerdictHeader))
	}
	a = s.send("POST", "/api/v1/incidents", "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nno mail\r\n--x\r\nContent-Disposition: form-data; name=\"reporter\"\r\n\r\nMs Wu\r\n--x--\r\n",
		form, "multipart/form-data; boundary=x").want(200)
	if got := decode[web.IncidentJSON](a); got.ID != i.ID || a.header.Get(web.VerdictHeader) != "joined" {
		t.Errorf("a second caller: got %s, verdict %q; want the same incident, joined", got.Reference, a.header.Get(web.VerdictHeader))
	}
	s.send("POST", "/api/v1/incidents", "description=d&reporter=ann&colour=red", form, "application/x-www-form-urlencoded").problem(400, `"colour"`)
	s.send("POST", "/api/v1/incidents", "description=d&reporter=ann&channel=smoke", form, "application/x-www-form-urlencoded").problem(400, `"channel"`)
	p := decode[web.Problem](s.send("POST", "/api/v1/incidents", `{"severity":"fatal","impact":"huge","category":"x","title":"`+strings.Repeat("x", 300)+`"}`).want(400))
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	if got, want := strings.Join(fields, " "), "title reporter severity impact category"; got != want {
		t.Errorf("all mistakes at once: got %s, want %s", got, want)
	}
	s.send("POST", "/api/v1/incidents", `{"reporter":"ann","description":"d","key":"x"}`).problem(400, `"key"`)
	s.send("POST", "/api/v1/incidents", `{"reporter":"tocsin","description":"d"}`).problem(400, `"reporter"`)
	s.send("POST", "/api/v1/incidents", `{"description":"`+strings.Repeat("x", 2<<20)+`"}`).problem(413)
}

func TestDeadLetters(t *testing.T) {
	s := newServer(t)
	for n := range 45 {
		s.letter(fmt.Sprintf("id%02d", n), "bad", false)
	}
	s.letter("id00", "bad", false)
	type page struct {
		Letters    []web.LetterJSON `json:"deadletters"`
		NextCursor string           `json:"next_cursor"`
	}
	var ids []string
	for cursor := ""; ; {
		p := decode[page](s.send("GET", "/api/v1/deadletters?limit=22&cursor="+cursor, "").want(200))
		for _, l := range p.Letters {
			ids = append(ids, l.ID)
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if len(ids) != 45 || ids[0] != "id00" || ids[44] != "id44" {
		t.Errorf("got %d letters: %q, want id00 to id44", len(ids), ids)
	}
	if got := len(decode[page](s.send("GET", "/api/v1/deadletters?limit=45", "").want(200)).Letters); got != 45 {
		t.Errorf("got %d letters, want 45", got)
	}
	one := decode[web.LetterBodyJSON](s.send("GET", "/api/v1/deadletters/id00", "").want(200))
	if one.Count != 2 || one.Body != "YmFk" || one.Text == nil || *one.Text != "bad" || one.Reason != "alerts: missing" || one.Size != 3 || !one.FirstAt.Equal(morning) {
		t.Errorf("got %+v", one)
	}
	s.letter("odd", "\xff", false)
	if odd := decode[web.LetterBodyJSON](s.send("GET", "/api/v1/deadletters/odd", "").want(200)); odd.Text != nil || odd.Body != "/w==" {
		t.Errorf("not UTF-8: got %+v", odd)
	}
	s.send("GET", "/api/v1/deadletters/nobody", "").problem(404, "nobody")

	s.send("POST", "/api/v1/deadletters/id01/retry", "").problem(400, `"alerts"`)
	s.letter("half", "half", false)
	half := decode[web.RetryJSON](s.send("POST", "/api/v1/deadletters/half/retry", "").want(200))
	if half.Removed || half.Received != 2 || half.Results[0].Verdict != "opened" || half.Results[1].Verdict != "rejected" || half.Results[1].Reason == "" {
		t.Errorf("half: got %+v", half)
	}
	s.letter("good", "good", false)
	good := decode[web.RetryJSON](s.send("POST", "/api/v1/deadletters/good/retry", "").want(200))
	if !good.Removed || good.Results[0].Verdict != "duplicate" || good.Results[1].Verdict != "opened" || good.Results[1].Reference == "" {
		t.Errorf("good: got %+v", good)
	}
	s.send("GET", "/api/v1/deadletters/good", "").problem(404)
	s.send("GET", "/api/v1/deadletters/half", "").want(200)
	s.letter("cut", "good", true)
	s.send("POST", "/api/v1/deadletters/cut/retry", "").problem(409, "part of the body")
	s.send("POST", "/api/v1/deadletters/nobody/retry", "").problem(404)
}

func TestExplain(t *testing.T) {
	s := newServer(t)
	a := s.send("POST", "/api/v1/explain?source=alertmanager", "DiskFull", "Content-Type", "application/json").want(200)
	e := decode[web.Explanation](a)
	if len(e.Alerts) != 1 || len(e.Rejected) != 1 {
		t.Fatalf("got %s, want an alert and a rejected one", a.body)
	}
	one := e.Alerts[0]
	if one.Name != "DiskFull" || one.Verdict != "opened" || one.Key == "" || one.Rule == "" || one.Incident == nil || one.Incident.Severity != "critical" ||
		len(one.Decisions) == 0 || one.Fingerprint == "" || one.Classification.Severity != "critical" {
		t.Errorf("got %s", a.body)
	}
	if got := decode[web.IncidentsJSON](s.send("GET", "/api/v1/incidents", "").want(200)).Incidents; len(got) != 0 {
		t.Errorf("explain stored %d incidents, want none", len(got))
	}
	s.send("POST", "/api/v1/explain", "x").problem(400, `"source"`)
	s.send("POST", "/api/v1/explain?source=nobody", "x").problem(400, `"source"`)
	s.send("POST", "/api/v1/explain?source=alertmanager", strings.Repeat("x", 9<<20)).problem(413)
}

// TestExplainMapping: a mapping and a payload reach whoever explains, as they are.
func TestExplainMapping(t *testing.T) {
	s := newServer(t)
	if got := decode[web.MappingJSON](s.send("GET", "/api/v1/explain/mapping?source=tool", "").want(200)); got != (web.MappingJSON{Source: "tool", Mapping: "name: {path: title}\n"}) {
		t.Errorf("got %+v", got)
	}
	const at = "/api/v1/explain/mapping?source=tool"
	e := decode[web.Explanation](s.send("POST", at, `{"mapping":"name: x\n","payload":"{\"a\": 1}"}`).want(200))
	if len(e.Alerts) != 1 || e.Alerts[0].Name != "name: x\n{\"a\": 1}" {
		t.Errorf("got %+v", e)
	}
	s.send("POST", at, `{"payload":"x"}`).problem(400, `"mapping"`, "missing")
	s.send("POST", at, `{"mapping":"x","payloads":"x"}`).problem(400, `"payloads"`)
	s.send("POST", "/api/v1/explain/mapping", `{"mapping":"x"}`).problem(400, `"source"`)
	s.send("GET", "/api/v1/explain/mapping?source=nobody", "").problem(400, `"source"`)
}

// TestExplainInTurn: one payload at a time is explained, and one mapping tried. Who waits
// and goes away costs nothing.
func TestExplainInTurn(t *testing.T) {
	for _, path := range []string{"/api/v1/explain", "/api/v1/explain/mapping"} {
		begun, end := make(chan struct{}, 2), make(chan struct{})
		wait := func() (web.Explanation, error) {
			begun <- struct{}{}
			<-end
			return web.Explanation{}, nil
		}
		s := newServer(t, func(o *web.Options) {
			o.Explain = func(context.Context, string, []byte) (web.Explanation, error) { return wait() }
			o.ExplainMapping = func(context.Context, string, string, []byte) (web.Explanation, error) { return wait() }
		})
		ask := func(ctx context.Context) int {
			r := httptest.NewRequestWithContext(ctx, "POST", path+"?source=tool", strings.NewReader(`{"mapping":"name: x","payload":"x"}`))
			r.Host = "localhost"
			w := httptest.NewRecorder()
			s.engine.ServeHTTP(w, r)
			return w.Code
		}
		first, second := make(chan int), make(chan int, 1)
		go func() { first <- ask(t.Context()) }()
		<-begun
		gone, leave := context.WithCancel(t.Context())
		leave()
		go func() { second <- ask(gone) }()
		select {
		case <-begun:
			t.Errorf("%s: two at a time", path)
		case code := <-second:
			if code != http.StatusServiceUnavailable {
				t.Errorf("%s: got %d, want 503", path, code)
			}
		}
		close(end)
		if code := <-first; code != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, code)
		}
	}
}

// TestIdempotencyKey: what comes again with the same key changes nothing, whatever its
// If-Match says; what was refused, or somebody else says, or is another command, is done.
func TestIdempotencyKey(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	id := s.accept(s.firing("DiskFull", "db"))
	parent := s.accept(s.firing("Net", "router"))
	bob := s.create(`{"role":"responder","name":"bob"}`).Token
	at := "/api/v1/incidents/" + id
	length := func() uint64 { return decode[web.IncidentJSON](s.send("GET", at, "").want(200)).TimelineLength }
	grows := func(what string, by uint64, send func()) {
		t.Helper()
		before := length()
		if send(); length() != before+by {
			t.Errorf("%s: the timeline grew by %d, want %d", what, length()-before, by)
		}
	}
	note := func(headers ...string) func() {
		return func() { s.send("POST", at+"/note", `{"text":"looked"}`, headers...).want(200) }
	}
	grows("a note", 1, note("Idempotency-Key", "k1"))
	grows("again", 0, note("Idempotency-Key", "k1"))
	grows("in quotes", 0, note("Idempotency-Key", `"k1"`))
	grows("of an old version", 0, note("Idempotency-Key", "k1", "If-Match", "1"))
	grows("another key", 1, note("Idempotency-Key", "k2"))
	grows("no key", 2, func() { note()(); note()() })
	grows("another person", 1, note("Idempotency-Key", "k1", "Authorization", "Bearer "+bob))
	grows("another command", 1, func() { s.send("POST", at+"/acknowledge", "{}", "Idempotency-Key", "k1").want(200) })
	grows("what was refused", 0, func() { s.send("POST", at+"/close", "{}", "Idempotency-Key", "k3").problem(409, "close") })
	s.do(id, "resolve", "{}")
	grows("is done later", 1, func() { s.send("POST", at+"/close", "{}", "Idempotency-Key", "k3").want(200) })
	s.do(id, "reopen", "{}")
	grows("and not again", 0, func() { s.send("POST", at+"/close", "{}", "Idempotency-Key", "k3").want(200) })
	if i := decode[web.IncidentJSON](s.send("GET", at, "").want(200)); i.State != "open" {
		t.Errorf("it is %s", i.State)
	}
	merge := func() {
		s.send("POST", at+"/merge", `{"into":"`+parent+`"}`, "Idempotency-Key", "k4", "If-Match", "*").want(200)
	}
	grows("merged", 1, merge)
	grows("on its own again", 1, func() { s.do(id, "unmerge", "{}") })
	grows("and not merged again", 0, merge)
	for _, key := range []string{"", " ", `""`, `"a`, "two words", "\x7f", strings.Repeat("x", 101), "é"} {
		s.send("POST", at+"/note", `{"text":"t"}`, "Idempotency-Key", key).problem(400, "Idempotency-Key")
	}

	silence := `{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":"2026-11-21T03:00:00Z","endsAt":"2026-11-21T05:00:00Z","createdBy":"x","comment":"c"}`
	put := func(key string) string {
		return string(s.send("POST", "/api/v2/silences", silence, "Idempotency-Key", key).want(200).body)
	}
	if one, again, other := put("k1"), put("k1"), put("k2"); one != again || one == other {
		t.Errorf("got the silences %s, %s and %s, want the second to be the first", one, again, other)
	}
	if n := len(s.documents("silence")); n != 2 {
		t.Errorf("got %d silences, want 2", n)
	}
	s.send("POST", "/api/v2/silences", silence, "Idempotency-Key", "two words").want(400)
}
