package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/web"
)

// contractIncident and contractAlert are the fields that contract.md promises.
const (
	contractIncident = `id, reference, title, state, phase, severity, priority, impact, urgency, category, level, service, team,
labels, opened_at, started_at, acknowledged_at, acknowledged_by, resolved_at, closed_at, time_to_detect_seconds,
time_to_acknowledge_seconds, time_to_resolve_seconds, outage_seconds, roles, alerts, occurrences, key, rule, links,
parent, children, drill, version`
	contractAlert = `kind, status, name, host, service, severity, classified_severity, labels, annotations, source, fingerprint, identity,
starts_at, ends_at, event_at, last_seen, count, author, comment`
)

func wantFields(t *testing.T, what string, got map[string]any, contract string) {
	t.Helper()
	for _, name := range strings.FieldsFunc(contract, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s: no field %q in %v", what, name, slices.Sorted(maps.Keys(got)))
		}
	}
}

func TestIncident(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	a := s.send("GET", "/api/v1/incidents/"+id, "").want(200)
	raw := decode[map[string]any](a)
	wantFields(t, "incident", raw, contractIncident)
	for _, name := range []string{"acknowledged_at", "resolved_at", "closed_at", "time_to_acknowledge_seconds", "time_to_resolve_seconds", "outage_seconds", "parent"} {
		if v, ok := raw[name]; !ok || v != nil {
			t.Errorf("%s of a new incident: got %v, want null", name, v)
		}
	}
	i := decode[web.IncidentJSON](a)
	if i.ID != id || i.State != "open" || i.Severity != "critical" || i.Priority != "P1" || i.Service != "db" ||
		i.TimeToDetect != 3600 || i.Alerts.Firing != 1 || !i.OpenedAt.Equal(morning) || !i.StartedAt.Equal(morning.Add(-time.Hour)) {
		t.Errorf("got %s", a.body)
	}
	if got, want := a.header.Get("ETag"), fmt.Sprintf(`"%d"`, i.Version); got != want {
		t.Errorf("ETag: got %s, want %s", got, want)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Access-Control-Allow-Origin": ""} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if by := decode[web.IncidentJSON](s.send("GET", "/api/v1/incidents/"+strings.ToLower(i.Reference), "").want(200)); by.ID != id {
		t.Errorf("by reference %s: got %s, want %s", i.Reference, by.ID, id)
	}
	s.send("GET", "/api/v1/incidents/INC-20261121-ZZZZ", "").problem(404, "INC-20261121-ZZZZ")
	s.send("GET", "/api/v1/incidents/"+strings.Repeat("x", 5000), "").problem(404)
	s.send("GET", "/api/v1/incidents/"+id+"?verbose=1", "").problem(400, `"verbose"`)
}

func TestAlertsOfAnIncident(t *testing.T) {
	s := newServer(t)
	a := s.firing("DiskFull", "db")
	a.ValidUntil = morning.Add(5 * time.Minute)
	id := s.accept(a)
	for n := range 4 {
		more := s.firing("DiskFull", "db")
		more.Labels = more.Labels.Set("mount", fmt.Sprint(n))
		s.accept(more)
	}
	page := decode[web.AlertsJSON](s.send("GET", "/api/v1/incidents/"+id+"/alerts", "").want(200))
	if len(page.Alerts) != 5 || page.NextCursor != "" {
		t.Fatalf("got %d alerts and cursor %q, want 5 and none", len(page.Alerts), page.NextCursor)
	}
	raw := decode[struct {
		Alerts []map[string]any `json:"alerts"`
	}](s.send("GET", "/api/v1/incidents/"+id+"/alerts?limit=1", "").want(200))
	wantFields(t, "alert", raw.Alerts[0], contractAlert)

	var seen []string
	for cursor := ""; ; {
		p := decode[web.AlertsJSON](s.send("GET", "/api/v1/incidents/"+id+"/alerts?limit=2&cursor="+cursor, "").want(200))
		for _, a := range p.Alerts {
			seen = append(seen, a.Fingerprint)
			if a.Kind != "alert" || a.Status != "firing" || a.EndsAt != nil || a.Name != "DiskFull" || a.Host != "web1" || a.ClassifiedSeverity != "critical" ||
				a.Severity != "critical" || a.Count != 1 || a.Source != "alertmanager" || a.Annotations["summary"] != "it burns" ||
				a.Identity != "id-DiskFull" || a.GeneratorURL == "" || !a.StartsAt.Equal(morning.Add(-time.Hour)) || !a.LastSeen.Equal(morning) {
				t.Errorf("got %+v", a)
			}
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != 5 || len(slices.Compact(seen)) != 5 {
		t.Errorf("paging by 2: got %q, want 5 different fingerprints", seen)
	}

	s.clock.add(time.Minute)
	a.Status, a.ValidUntil, a.EndsAt, a.ReceivedAt = alert.Resolved, time.Time{}, morning.Add(30*time.Second), s.clock.now()
	s.accept(a)
	resolved := 0
	for _, got := range decode[web.AlertsJSON](s.send("GET", "/api/v1/incidents/"+id+"/alerts", "").want(200)).Alerts {
		if got.Status == "resolved" {
			resolved++
			if got.EndsAt == nil || !got.EndsAt.Equal(morning.Add(30*time.Second)) || got.ValidUntil != nil {
				t.Errorf("the resolved alert: got %+v", got)
			}
		}
	}
	if resolved != 1 {
		t.Errorf("got %d resolved alerts, want 1", resolved)
	}
	for status, want := range map[string]int{"firing": 4, "resolved": 1} {
		got := 0
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			p := decode[web.AlertsJSON](s.send("GET", "/api/v1/incidents/"+id+"/alerts?limit=2&status="+status+"&cursor="+cursor, "").want(200))
			for _, a := range p.Alerts {
				if got++; a.Status != status {
					t.Errorf("asked for %s: got %s", status, a.Status)
				}
			}
			cursor = p.NextCursor
		}
		if got != want {
			t.Errorf("got %d alerts that are %s, want %d", got, status, want)
		}
	}
	s.send("GET", "/api/v1/incidents/"+id+"/alerts?status=odd", "").problem(400, `"status"`)
	s.send("GET", "/api/v1/incidents/"+id+"/alerts?cursor=nonsense", "").problem(400, `"cursor"`)
	s.send("GET", "/api/v1/incidents/nobody/alerts", "").problem(404, "nobody")
}

func TestTimelinePages(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	for n := range 5 {
		s.send("POST", "/api/v1/incidents/"+id+"/note", fmt.Sprintf(`{"by":"ann","text":"note %d"}`, n)).want(200)
	}
	var texts []string
	pages := 0
	for cursor := ""; ; pages++ {
		p := decode[web.TimelinePageJSON](s.send("GET", "/api/v1/incidents/"+id+"/timeline?limit=3&cursor="+cursor, "").want(200))
		for _, e := range p.Timeline {
			texts = append(texts, e.Text)
			if e.Seq != uint64(len(texts)) || e.Hash == "" {
				t.Errorf("entry %d: got %+v", len(texts), e)
			}
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if len(texts) != 6 || texts[5] != "note 4" || pages != 1 {
		t.Errorf("got %q on %d pages, want the opening and 5 notes on 2", texts, pages+1)
	}
	for _, cursor := range []string{"-1", "x", "99999999999999999999"} {
		s.send("GET", "/api/v1/incidents/"+id+"/timeline?cursor="+cursor, "").problem(400, `"cursor"`)
	}
	s.send("GET", "/api/v1/incidents/nobody/timeline", "").problem(404)
}

func TestFilters(t *testing.T) {
	s := newServer(t)
	ids := map[string]string{}
	for n, f := range [...][3]string{{"a", "db", "critical"}, {"b", "web", "warning"}, {"c", "mail", "info"}} {
		a := s.firing("Alert"+f[0], f[1])
		a.Labels = a.Labels.Set("severity", f[2])
		ids[s.accept(a)] = f[0]
		s.clock.add(time.Hour)
		if n == 1 {
			s.send("POST", "/api/v1/incidents", `{"title":"t","description":"d","reporter":"ann","service":"shop","team":"web team","severity":"error"}`).want(200)
			s.clock.add(time.Minute)
		}
	}
	name := func(i web.IncidentJSON) string {
		if n := ids[i.ID]; n != "" {
			return n
		}
		return "r"
	}
	for _, test := range []struct{ query, want string }{
		{"", "crba"}, // newest first; what a person reported came with b's hour
		{"?state=&severity=&service=&team=&q=&from=&to=&limit=&cursor=", "crba"},
		{"?state=open,acknowledged", "crba"},
		{"?state=closed", ""},
		{"?state=closed&state=open", "crba"},
		{"?severity=critical,info", "ca"},
		{"?service=db,mail", "ca"},
		{"?service=db&severity=info", ""},
		{"?team=web%20team", "r"},
		{"?q=ALERTb", "b"},
		{"?q=web1", "cba"},
		{"?from=2026-11-21T04:00:00Z", "crb"},
		{"?to=2026-11-21T04:00:00Z", "a"},
		{"?from=2026-11-21T05:00:00+01:00&to=2026-11-21T05:00:00Z", "b"},
		{"?limit=2", "cr"},
		{"?limit=5000", "crba"},
		{"?limit=9000000000000000000", "crba"},
	} {
		t.Run(test.query, func(t *testing.T) {
			got := ""
			for _, i := range decode[web.IncidentsJSON](s.send("GET", "/api/v1/incidents"+test.query, "").want(200)).Incidents {
				got += name(i)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for _, test := range []struct{ query, want string }{
		{"state=burning", `"state"`}, {"severity=fatal", `"severity"`}, {"from=yesterday", `"from"`}, {"to=2026-11-21", `"to"`},
		{"limit=0", `"limit"`}, {"limit=-1", `"limit"`}, {"limit=ten", `"limit"`}, {"limit=1&limit=2", `"limit"`}, {"cursor=!!", `"cursor"`},
		{"sate=open", `"sate"`}, {"q=" + strings.Repeat("x", 300), `"q"`}, {"q=%00", `"q"`}, {"service=" + manyValues(51), `"service"`},
		{"service=a;b", `"query"`}, {"q=%zz", `"query"`},
	} {
		s.send("GET", "/api/v1/incidents?"+test.query, "").problem(400, test.want)
	}
	got := decode[web.Problem](s.send("GET", "/api/v1/incidents?state=x&from=y&z=1", "").want(400))
	if len(got.Errors) != 3 || got.Instance != "/api/v1/incidents" || got.Title != "Bad Request" || got.Type != "about:blank" || got.Status != 400 {
		t.Errorf("three mistakes at once: got %+v", got)
	}
}

// manyValues are n different values with commas between them.
func manyValues(n int) string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	return strings.Join(values, ",")
}

func TestPagingWhileWriting(t *testing.T) {
	s := newServer(t)
	before := map[string]bool{}
	for n := range 60 {
		before[s.accept(s.firing(fmt.Sprintf("Old%d", n), "db"))] = true
		if n%3 == 0 { // many of one moment
			s.clock.add(time.Millisecond)
		}
	}
	var writers sync.WaitGroup
	stop := make(chan struct{})
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			s.clock.add(time.Millisecond)
			s.accept(s.firing(fmt.Sprintf("New%d", n), "db"))
		}
	})
	seen := map[string]int{}
	for cursor := ""; ; {
		p := decode[web.IncidentsJSON](s.send("GET", "/api/v1/incidents?limit=7&cursor="+cursor, "").want(200))
		for _, i := range p.Incidents {
			seen[i.ID]++
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	close(stop)
	writers.Wait()
	for id := range before {
		if seen[id] != 1 {
			t.Errorf("incident %s, there from the start: seen %d times, want once", id, seen[id])
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("incident %s: seen %d times, want once", id, n)
		}
	}
}

// TestHostileContent: whatever an alert says comes out as data.
func TestHostileContent(t *testing.T) {
	s := newServer(t)
	hostile := "<script>alert(1)</script>\r\nSet-Cookie: a=b\x1b[2J\"}],\u202e\u0000{{.}} ${x}"
	a := s.firing("x", "y")
	a.Labels = alert.FromMap(map[string]string{"alertname": hostile, "service": hostile, hostile: hostile, "severity": "critical"})
	a.Annotations = alert.FromMap(map[string]string{"summary": hostile})
	a.StartsAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)) // year 10000 in UTC
	id := s.accept(a)
	i := s.send("GET", "/api/v1/incidents/"+id, "").want(200)
	if got := decode[web.IncidentJSON](i); got.Labels["alertname"] != hostile || got.Service != hostile || got.Labels[hostile] != hostile {
		t.Errorf("got %q", got.Labels)
	}
	if i.header.Get("Set-Cookie") != "" || i.header.Get("Content-Type") != "application/json" {
		t.Errorf("got headers %v", i.header)
	}
	alerts := decode[web.AlertsJSON](s.send("GET", "/api/v1/incidents/"+id+"/alerts", "").want(200))
	if got := alerts.Alerts[0]; got.Name != hostile || got.Annotations["summary"] != hostile || got.StartsAt.Year() != 9999 {
		t.Errorf("got %+v", got)
	}
	s.send("GET", "/api/v1/incidents/"+id+"/timeline", "").want(200)
	s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", `{"by":"<b>ann</b>","comment":"</script>\r\n"}`).want(200)
	s.send("POST", "/api/v1/incidents/"+id+"/acknowledge", `{"by":"ann\r\nX: y"}`).problem(400, "control character")
	if got := s.send("GET", "/api/v1/incidents/"+"a%0d%0ab", "").want(404); strings.ContainsAny(got.header.Get("Location"), "\r\n") {
		t.Errorf("got headers %v", got.header)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/api", "/api/v1", "/api/v1/", "/api/v1/incident", "/api/v1/incidents/", "/api/v1/incidents/x/", "/API/V1/incidents", "/api/v1//incidents"} {
		a := s.send("GET", path, "").problem(404)
		if a.header.Get("Location") != "" {
			t.Errorf("%s: redirected to %s", path, a.header.Get("Location"))
		}
	}
	a := s.send("PATCH", "/api/v1/incidents", "").problem(405, "PATCH")
	if got := a.header.Get("Allow"); !strings.Contains(got, http.MethodGet) || !strings.Contains(got, http.MethodPost) {
		t.Errorf("Allow: got %q, want GET and POST", got)
	}
	if got := s.send("GET", "/api/v1/openapi.yaml", "").want(200); string(got.body) != string(web.OpenAPI) {
		t.Errorf("openapi.yaml: got %d bytes, want %d", len(got.body), len(web.OpenAPI))
	}
}
