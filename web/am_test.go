package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

// lax is decode, with names in any case.
func lax[T any](a answer) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v, json.MatchCaseInsensitiveNames(true)); err != nil {
		a.t.Fatalf("%s: %s: %v", a.pair, a.body, err)
	}
	return v
}

func init() { config.InitMatchers(slog.New(slog.DiscardHandler)) }

// amAlert and amSilence are what a client of Alertmanager reads.
type amAlert struct {
	Annotations, Labels         map[string]string
	EndsAt, StartsAt, UpdatedAt time.Time
	Fingerprint                 string
	GeneratorURL                string
	Receivers                   []struct{ Name string }
	Status                      struct {
		InhibitedBy, MutedBy, SilencedBy []string
		State                            string
	}
}

type amGroup struct {
	Alerts   []amAlert
	Labels   map[string]string
	Receiver struct{ Name string }
}

type amSilence struct {
	ID, Comment, CreatedBy      string
	Status                      struct{ State string }
	StartsAt, EndsAt, UpdatedAt time.Time
	Matchers                    []silences.Matcher
}

// byTeam has two receivers for what has no service but db, one for it.
func byTeam(o *web.Options) {
	o.Receivers = func(i *incident.Incident) []string {
		if i.Service == "db" {
			return []string{"dba"}
		}
		return []string{"ops", "ops-chat"}
	}
	o.ReceiverNames = func() []string { return []string{"dba", "ops", "ops-chat"} }
	o.AlertmanagerConfig = func() string { return "route:\n  receiver: ops\n" }
}

func (s *server) getAlerts(query string) []amAlert {
	s.t.Helper()
	return lax[[]amAlert](s.send("GET", "/api/v2/alerts?"+query, "").want(200))
}

// names are the values of alertname/instance, sorted.
func names(alerts []amAlert) string {
	var out []string
	for _, a := range alerts {
		out = append(out, a.Labels["alertname"]+"/"+a.Labels["instance"])
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// at is a firing alert of an instance.
func (s *server) at(name, service, instance string) alert.Alert {
	a := s.firing(name, service)
	a.Identity = ""
	a.Labels = a.Labels.Set("instance", instance)
	return a
}

// silence makes one of a label for an hour, and returns its id.
func (s *server) silence(name, value string) string {
	s.t.Helper()
	return s.postSilence(fmt.Sprintf(`{"matchers":[{"name":%q,"value":%q,"isRegex":false}],"startsAt":%q,"endsAt":%q,"createdBy":"ann","comment":"known"}`,
		name, value, s.clock.now().Format(time.RFC3339Nano), s.clock.now().Add(time.Hour).Format(time.RFC3339Nano)))
}

func (s *server) postSilence(body string) string {
	s.t.Helper()
	return lax[struct{ SilenceID string }](s.send("POST", "/api/v2/silences", body).want(200)).SilenceID
}

func TestAMAlerts(t *testing.T) {
	s := newServer(t, byTeam)
	if got := string(s.send("GET", "/api/v2/alerts", "").want(200).body); got != "[]\n" {
		t.Errorf("without alerts: got %q", got)
	}
	s.accept(s.at("DiskFull", "db", "db1"))
	s.accept(s.at("DiskFull", "db", "db2"))
	s.accept(s.at("Slow", "web", "web1"))
	over := s.at("DiskFull", "db", "db3")
	s.accept(over)
	over.Status, over.EndsAt = alert.Resolved, s.clock.now()
	s.accept(over)
	valid := s.at("Valid", "mail", "mx")
	valid.ValidUntil, valid.GeneratorURL = s.clock.now().Add(time.Hour), "javascript:alert(1)"
	s.accept(valid)
	all := s.getAlerts("")
	if got := names(all); got != "DiskFull/db1 DiskFull/db2 Slow/web1 Valid/mx" {
		t.Fatalf("got %s", got)
	}
	for _, a := range all {
		if _, err := model.ParseFingerprint(a.Fingerprint); err != nil || a.Status.State != "active" || a.Annotations["summary"] != "it burns" {
			t.Errorf("got %+v, %v", a, err)
		}
		wantEnd, wantURL := s.clock.now().Add(5*time.Minute), "http://prometheus/graph"
		if a.Labels["alertname"] == "Valid" {
			wantEnd, wantURL = valid.ValidUntil, ""
		}
		if !a.EndsAt.Equal(wantEnd) || a.GeneratorURL != wantURL || !a.StartsAt.Equal(morning.Add(-time.Hour)) || !a.UpdatedAt.Equal(morning) {
			t.Errorf("got %+v, want the end %s and the link %q", a, wantEnd, wantURL)
		}
	}
	silence := s.silence("instance", "db1")
	for _, c := range []struct{ query, want string }{
		{`filter=alertname="DiskFull"`, "DiskFull/db1 DiskFull/db2"},
		{`filter=alertname=DiskFull&filter=instance="db2"`, "DiskFull/db2"},
		{`filter=alertname=~"D.*|Sl"`, "DiskFull/db1 DiskFull/db2"},
		{`filter=alertname!="DiskFull"`, "Slow/web1 Valid/mx"},
		{`filter=nothing=""`, "DiskFull/db1 DiskFull/db2 Slow/web1 Valid/mx"},
		{`filter=nothing!=""`, ""},
		{`filter=team=""`, "DiskFull/db1 DiskFull/db2 Slow/web1 Valid/mx"}, // the sender's labels are asked, not what we made of them
		{`receiver=dba`, "DiskFull/db1 DiskFull/db2"},
		{`receiver=ops`, "Slow/web1 Valid/mx"},
		{`receiver=ops&receiver=dba`, "DiskFull/db1 DiskFull/db2"}, // the last one counts
		{`receiver=op`, ""},
		{`receiver=.*chat`, "Slow/web1 Valid/mx"},
		{`silenced=false`, "DiskFull/db2 Slow/web1 Valid/mx"},
		{`active=false`, "DiskFull/db1"},
		{`active=true&active=false`, "DiskFull/db1"},
		{`active=false&silenced=false`, ""},
		{`inhibited=false&unprocessed=false`, "DiskFull/db1 DiskFull/db2 Slow/web1 Valid/mx"},
		{`something=else&active=`, "DiskFull/db1 DiskFull/db2 Slow/web1 Valid/mx"},
	} {
		query := c.query
		if strings.HasPrefix(query, "something") {
			s.handler = s.engine // it is not documented, and ignored
		}
		query = strings.NewReplacer(`"`, "%22", "|", "%7C", "~", "%7E").Replace(query)
		if got := names(s.getAlerts(query)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.query, got, c.want)
		}
	}
	for _, a := range s.getAlerts("active=false") {
		if a.Status.State != "suppressed" || !slices.Equal(a.Status.SilencedBy, []string{silence}) {
			t.Errorf("silenced: got %+v", a.Status)
		}
	}
}

// TestAMSilencesAskOurLabelsToo: the severity that the rules gave, the team, the
// service.
func TestAMSilencesAskOurLabelsToo(t *testing.T) {
	s := newServer(t)
	a := s.at("DiskFull", "db", "db1")
	a.Labels = a.Labels.Set("severity", "page")
	s.accept(a)
	s.silence("severity", "critical")
	if got := s.getAlerts("active=false"); len(got) != 1 || got[0].Labels["severity"] != "page" {
		t.Errorf("got %+v, want the alert, with its sender's word", got)
	}
}

func TestAMGroups(t *testing.T) {
	s := newServer(t, byTeam)
	if got := string(s.send("GET", "/api/v2/alerts/groups", "").want(200).body); got != "[]\n" {
		t.Errorf("without alerts: got %q", got)
	}
	for n := range 3 {
		s.accept(s.at("DiskFull", "db", fmt.Sprint("db", n)))
	}
	s.accept(s.at("Slow", "web", "web1"))
	groups := func(query string) string {
		t.Helper()
		var out []string
		for _, g := range lax[[]amGroup](s.send("GET", "/api/v2/alerts/groups?"+query, "").want(200)) {
			if g.Labels["alertname"] != g.Alerts[0].Labels["alertname"] {
				t.Errorf("got the labels %v for %v", g.Labels, g.Alerts)
			}
			out = append(out, g.Receiver.Name+": "+names(g.Alerts))
		}
		slices.Sort(out)
		return strings.Join(out, "; ")
	}
	for _, c := range []struct{ query, want string }{
		{"", "dba: DiskFull/db0 DiskFull/db1 DiskFull/db2; ops-chat: Slow/web1; ops: Slow/web1"},
		{"receiver=ops", "ops: Slow/web1"},
		{"filter=instance=db1", "dba: DiskFull/db1"},
		{"filter=instance=nowhere", ""},
	} {
		if got := groups(c.query); got != c.want {
			t.Errorf("%s: got %s, want %s", c.query, got, c.want)
		}
	}
	s.silence("service", "web")
	if got := groups("silenced=false"); got != "dba: DiskFull/db0 DiskFull/db1 DiskFull/db2" {
		t.Errorf("got %s, want only what is not silenced", got)
	}
	// Without receivers it is all there.
	s2 := newServer(t)
	s2.accept(s2.at("Slow", "web", "web1"))
	if got := lax[[]amGroup](s2.send("GET", "/api/v2/alerts/groups", "").want(200)); len(got) != 1 || got[0].Receiver.Name != "" {
		t.Errorf("without receivers: got %+v", got)
	}
}

// muter hides everything.
type muter struct{ notify.Hidden }

func (m muter) Muted(context.Context, *incident.Incident, time.Time) (notify.Hidden, bool, error) {
	if m.By == "broken" {
		return m.Hidden, false, &store.UnavailableError{Cause: errInternal}
	}
	return m.Hidden, m.By != "", nil
}

func TestAMHidden(t *testing.T) {
	for _, c := range []struct {
		by, want        string
		inhibited, mute string
	}{
		{"inhibition", "suppressed [] [why]", "[]", "group"},
		{"maintenance", "suppressed [why] []", "alert", "[]"},
		{"silence", "active [] []", "alert", "group"},
		{"", "active [] []", "alert", "group"},
	} {
		s := newServer(t, byTeam, func(o *web.Options) { o.Mute = muter{notify.Hidden{By: c.by, Text: "why"}} })
		s.accept(s.at("DiskFull", "db", "db1"))
		a := s.getAlerts("")[0].Status
		if got := fmt.Sprint(a.State, " ", a.MutedBy, " ", a.InhibitedBy); got != c.want {
			t.Errorf("%s: got %s, want %s", c.by, got, c.want)
		}
		if got := len(s.getAlerts("inhibited=false")) == 0; got != (c.inhibited == "[]") {
			t.Errorf("%s: inhibited=false leaves it out: %v", c.by, got)
		}
		if got := len(lax[[]amGroup](s.send("GET", "/api/v2/alerts/groups?muted=false", "").want(200))) == 0; got != (c.mute == "[]") {
			t.Errorf("%s: muted=false leaves it out: %v", c.by, got)
		}
	}
	s := newServer(t, func(o *web.Options) { o.Mute = muter{notify.Hidden{By: "broken"}} })
	s.accept(s.at("DiskFull", "db", "db1"))
	s.send("GET", "/api/v2/alerts", "").want(503)
}

// TestAMManyAlerts: an answer of many pages has every alert once.
func TestAMManyAlerts(t *testing.T) {
	s := newServer(t, byTeam)
	var batch []alert.Alert
	const incidents, each = 120, 5
	for n := range incidents * each {
		batch = append(batch, s.at(fmt.Sprint("A", n%incidents), "web", fmt.Sprint("i", n)))
	}
	for range 600 {
		batch = append(batch, s.at("Big", "db", fmt.Sprint("b", len(batch))))
	}
	if _, err := s.pipeline.Accept(t.Context(), "alertmanager", batch); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range s.getAlerts("") {
		seen[a.Fingerprint] = true
	}
	if len(seen) != len(batch) || len(s.getAlerts("")) != len(batch) {
		t.Errorf("got %d different alerts, want %d", len(seen), len(batch))
	}
	in := map[string]int{}
	for _, g := range lax[[]amGroup](s.send("GET", "/api/v2/alerts/groups", "").want(200)) {
		in[g.Receiver.Name] += len(g.Alerts)
	}
	if in["ops"] != incidents*each || in["ops-chat"] != incidents*each || in["dba"] != 600 {
		t.Errorf("in groups: %v", in)
	}
}

// TestAMBrokenOff: what cannot be completed is no valid answer.
func TestAMBrokenOff(t *testing.T) {
	s := newServer(t)
	var batch []alert.Alert
	for n := range 400 { // more than is gathered before it is sent
		batch = append(batch, s.at(fmt.Sprint("A", n), "web", fmt.Sprint("i", n)))
	}
	if _, err := s.pipeline.Accept(t.Context(), "alertmanager", batch); err != nil {
		t.Fatal(err)
	}
	calls := 0
	s.api, _ = web.New(web.Options{Pipeline: s.pipeline, Store: s.store, Log: slog.New(slog.DiscardHandler), Now: s.clock.now, Receivers: func(*incident.Incident) []string {
		if calls++; calls == 350 {
			s.store.breakWith(&store.UnavailableError{Cause: errInternal})
		}
		return nil
	}})
	engine := gin.New()
	s.api.Register(engine)
	server := httptest.NewServer(engine)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v2/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var buf strings.Builder
	if _, err := io.Copy(&buf, answer.Body); err == nil {
		t.Errorf("the answer of %d bytes ended as if it were whole", buf.Len())
	}
	if answer.StatusCode != 200 || buf.Len() < 64<<10 {
		t.Errorf("got %d and %d bytes, want the beginning of an answer", answer.StatusCode, buf.Len())
	}
}

func TestAMStatusAndReceivers(t *testing.T) {
	s := newServer(t, byTeam)
	status := lax[struct {
		Cluster     struct{ Status string }
		Config      struct{ Original string }
		Uptime      time.Time
		VersionInfo map[string]string
	}](s.send("GET", "/api/v2/status", "").want(200))
	if status.Config.Original != "route:\n  receiver: ops\n" || !status.Uptime.Equal(morning) || status.VersionInfo["version"] != "test" || status.Cluster.Status != "disabled" {
		t.Errorf("got %+v", status)
	}
	if got := string(s.send("GET", "/api/v2/receivers", "").want(200).body); got != `[{"name":"dba"},{"name":"ops"},{"name":"ops-chat"}]`+"\n" {
		t.Errorf("got %s", got)
	}
	if got := string(newServer(t).send("GET", "/api/v2/receivers", "").want(200).body); got != "[]\n" {
		t.Errorf("without receivers: got %s", got)
	}
}

func TestAMSilenceLife(t *testing.T) {
	s := newServer(t)
	if got := string(s.send("GET", "/api/v2/silences", "").want(200).body); got != "[]\n" {
		t.Errorf("without silences: got %q", got)
	}
	get := func(id string) amSilence {
		t.Helper()
		return lax[amSilence](s.send("GET", "/api/v2/silence/"+id, "").want(200))
	}
	list := func(query string) string {
		t.Helper()
		var out []string
		for _, one := range lax[[]amSilence](s.send("GET", "/api/v2/silences?"+query, "").want(200)) {
			out = append(out, one.Matchers[0].Value+":"+one.Status.State)
		}
		return strings.Join(out, " ")
	}
	first := s.silence("host", "a")
	one := get(first)
	if one.Status.State != "active" || one.CreatedBy != "ann" || one.Comment != "known" || !one.StartsAt.Equal(morning) || !one.EndsAt.Equal(morning.Add(time.Hour)) || !one.UpdatedAt.Equal(morning) {
		t.Errorf("got %+v", one)
	}
	s.clock.add(time.Minute)
	// As amtool does: it sends back what it got, with another end.
	body := strings.Replace(string(s.send("GET", "/api/v2/silence/"+first, "").body), `"endsAt":"2026-11-21T04:`, `"endsAt":"2026-11-21T05:`, 1)
	if id := s.postSilence(body); id != first || !get(first).EndsAt.Equal(morning.Add(2*time.Hour)) {
		t.Errorf("a later end: got %s, %+v", id, get(first))
	}
	second := s.postSilence(strings.Replace(body, `"value":"a"`, `"value":"b"`, 1))
	if second == first || get(first).Status.State != "expired" || get(second).Status.State != "active" {
		t.Errorf("another matcher: got %+v and %+v", get(first), get(second))
	}
	s.silence("host", "c")
	s.postSilence(`{"matchers":[{"name":"host","value":"d|e","isRegex":true,"isEqual":false},{"name":"x","value":"y","isRegex":false}],"startsAt":"2026-11-21T08:00:00.000Z","endsAt":"2026-11-21T09:00:00.000Z","createdBy":"ann","comment":"later"}`)
	for _, c := range []struct{ query, want string }{
		{"", "c:active b:active d|e:pending a:expired"},
		{"active=false", "d|e:pending a:expired"}, {"pending=false&expired=false", "c:active b:active"},
		{"filter=host=b", "b:active"}, {"filter=host!~%22d%7Ce%22&filter=x=y", "d|e:pending"}, {"filter=host=~b", ""}, {"filter=host=b&filter=x=y", ""},
	} {
		if got := list(c.query); got != c.want {
			t.Errorf("%s: got %s, want %s", c.query, got, c.want)
		}
	}
	if a := s.send("DELETE", "/api/v2/silence/"+second, "").want(200); len(a.body) != 0 {
		t.Errorf("expire: got %s", a.body)
	}
	s.send("DELETE", "/api/v2/silence/"+second, "").want(200)
	if one := get(second); one.Status.State != "expired" || !one.EndsAt.Equal(s.clock.now()) {
		t.Errorf("expired: got %+v", one)
	}
}

// TestAMSilenceOwner: with authentication the token's holder is kept beside the
// name that a client gives, and stands in for it.
func TestAMSilenceOwner(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	s.token = s.create(`{"role":"responder","name":"Ann Lee"}`).Token
	body := func(by string) string {
		return fmt.Sprintf(`{"matchers":[{"name":"a","value":"b"}],"endsAt":"2026-11-22T03:00:00Z","createdBy":%q,"comment":"c"}`, by)
	}
	for by, want := range map[string]string{"": "Ann Lee", "karma": "karma"} {
		id := s.postSilence(body(by))
		d, err := s.store.Document(t.Context(), silences.Document, id)
		if err != nil || !strings.Contains(string(d.Data), `"recordedBy":"Ann Lee"`) || !strings.Contains(string(d.Data), fmt.Sprintf(`"createdBy":%q`, want)) {
			t.Errorf("got %s, %v", d.Data, err)
		}
	}
}

func TestAMMistakes(t *testing.T) {
	s := newServer(t)
	missing := "/api/v2/silence/00000000-0000-4000-8000-000000000000"
	good := `{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-11-21T03:00:00Z","endsAt":"2026-11-22T03:00:00Z","createdBy":"ann","comment":"c"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		mention            string
	}{
		{"GET", "/api/v2/alerts?filter=%22", "", 400, "matcher"},
		{"GET", "/api/v2/alerts?filter=" + strings.Repeat("a", 5000) + "%3Db", "", 400, "matcher"},
		{"GET", "/api/v2/alerts?" + strings.Repeat("filter=a%3Db&", 65), "", 400, "64"},
		{"GET", "/api/v2/alerts?filter=" + url.QueryEscape(`a=~"((((abcdefgh){10}){10}){9})"`), "", 400, "steps"},
		{"GET", "/api/v2/alerts?receiver=(", "", 400, "receiver"},
		{"GET", "/api/v2/alerts?receiver=" + url.QueryEscape(strings.Repeat("(a|b)", 300)), "", 400, "receiver"},
		{"GET", "/api/v2/alerts?receiver_matchers=a%3Db", "", 400, "receiver_matchers"},
		{"GET", "/api/v2/alerts/groups?receiver=[", "", 400, "receiver"},
		{"GET", "/api/v2/alerts?a=%zz", "", 400, "query"},
		{"GET", "/api/v2/receivers?receiver_matchers=a%3Db", "", 400, "receiver_matchers"},
		{"GET", "/api/v2/silences?filter=x", "", 400, "matcher"},
		{"POST", "/api/v2/silences", "", 400, "JSON"},
		{"POST", "/api/v2/silences", "[]", 400, ""},
		{"POST", "/api/v2/silences", strings.Repeat("[", 100), 400, "deep"},
		{"POST", "/api/v2/silences", strings.Replace(good, `"value":"b"`, `"value":""`, 1), 400, "empty string"},
		{"POST", "/api/v2/silences", strings.Replace(good, `"2026-11-22`, `"2026-11-20`, 1), 400, "start time must be before end time"},
		{"POST", "/api/v2/silences", strings.NewReplacer(`"2026-11-21`, `"2026-11-19`, `"2026-11-22`, `"2026-11-20`).Replace(good), 400, "end time can't be in the past"},
		{"POST", "/api/v2/silences", strings.Replace(good, `"comment":"c"`, `"comment":""`, 1), 400, "comment"},
		{"POST", "/api/v2/silences", strings.Replace(good, `"createdBy":"ann"`, `"createdBy":""`, 1), 400, "createdBy"},
		{"POST", "/api/v2/silences", strings.Replace(good, `{`, `{"id":"00000000-0000-4000-8000-000000000000",`, 1), 404, ""},
		{"POST", "/api/v2/silences", strings.Repeat(" ", 2<<20), 413, "larger"},
		{"GET", missing, "", 404, ""}, {"DELETE", missing, "", 404, ""}, {"GET", "/api/v2/silence/x", "", 404, ""}, {"DELETE", "/api/v2/silence/x", "", 404, ""},
	} {
		a := s.send(c.method, c.path, c.body).want(c.status)
		if text := decode[string](a); text == "" || !strings.Contains(text, c.mention) {
			t.Errorf("%s: got %q, want it to mention %q", a.pair, text, c.mention)
		}
	}
}

// amOperations are those of Alertmanager's API, over a silence.
func amOperations(silence string) []operation {
	return []operation{
		{"GET", "/api/v2/status", "", web.RoleViewer, 200},
		{"GET", "/api/v2/receivers", "", web.RoleViewer, 200},
		{"GET", "/api/v2/alerts", "", web.RoleViewer, 200},
		{"GET", "/api/v2/alerts/groups", "", web.RoleViewer, 200},
		{"GET", "/api/v2/silences", "", web.RoleViewer, 200},
		{"GET", "/api/v2/silence/" + silence, "", web.RoleViewer, 200},
		{"POST", "/api/v2/silences", `{"matchers":[{"name":"a","value":"b"}],"endsAt":"2026-11-29T03:00:00Z","createdBy":"ann","comment":"c"}`, web.RoleResponder, 200},
		{"DELETE", "/api/v2/silence/" + silence, "", web.RoleResponder, 200},
	}
}

func TestAMRoles(t *testing.T) {
	for _, role := range web.Roles() {
		s := newServer(t, withAdmin)
		s.token = adminToken
		ops := amOperations(s.silence("host", "a"))
		s.token = s.create(`{"role":"` + role + `","name":"ann"}`).Token
		for _, op := range ops {
			if slices.Index(web.Roles(), role) >= slices.Index(web.Roles(), string(op.role)) {
				s.send(op.method, op.path, op.body).want(op.status)
			} else {
				s.send(op.method, op.path, op.body).problem(403, string(op.role))
			}
		}
		s.token = adminToken
		s.token = s.create(`{"source":"alertmanager"}`).Token
		for _, op := range ops {
			s.send(op.method, op.path, op.body).problem(403, "role")
		}
		s.token = ""
		for _, op := range ops {
			s.send(op.method, op.path, op.body).problem(401)
		}
		s.token = "wrong"
		for _, op := range ops {
			s.send(op.method, op.path, op.body).want(401)
			s.clock.add(time.Minute)
		}
	}
}

// TestAMEveryDocumentedAnswer gives every answer that openapi.yaml has under
// /api/v2, but for ingest's.
func TestAMEveryDocumentedAnswer(t *testing.T) {
	s := newServer(t, withAdmin, byTeam)
	s.token = adminToken
	s.accept(s.at("DiskFull", "db", "db1"))
	ops := amOperations(s.silence("instance", "db1"))
	for _, op := range ops {
		s.send(op.method, op.path, op.body).want(op.status)
	}
	// The clock moves, so that nothing is known any more.
	s.clock.add(10 * time.Second)
	for _, broken := range []struct {
		err    error
		status int
	}{{errInternal, 500}, {&store.UnavailableError{Cause: errInternal}, 503}} {
		s.store.breakWith(broken.err)
		for _, op := range ops {
			if documented(s, op, broken.status) && op.path != "/api/v2/status" && op.path != "/api/v2/receivers" {
				a := s.send(op.method, op.path, op.body).want(broken.status)
				if text := decode[string](a); strings.Contains(text, errInternal.Error()) || broken.status == 500 && !strings.Contains(text, "request_id") {
					t.Errorf("%s: got %q", a.pair, text)
				}
				s.clock.add(2 * time.Second)
			}
		}
	}
	s.store.breakWith(nil)
	for _, c := range [][2]string{{"/api/v2/alerts?filter=%22", "400"}, {"/api/v2/alerts/groups?filter=%22", "400"}, {"/api/v2/receivers?receiver_matchers=x", "400"}, {"/api/v2/silences?filter=%22", "400"}} {
		s.send("GET", c[0], "").want(400)
	}
	s.send("POST", "/api/v2/silences", "{").want(400)
	s.send("POST", "/api/v2/silences", strings.Repeat(" ", 2<<20)).want(413)
	s.send("POST", "/api/v2/silences", strings.Replace(ops[6].body, "{", `{"id":"x",`, 1)).want(404)
	s.send("GET", "/api/v2/silence/x", "").want(404)
	s.send("DELETE", "/api/v2/silence/x", "").want(404)
	s.token = "wrong"
	for range 20 {
		s.send("GET", "/api/v2/status", "")
	}
	for _, op := range ops {
		s.send(op.method, op.path, op.body).want(429)
	}
	s.token, s.clock.t = "", s.clock.now().Add(time.Hour)
	for _, op := range ops {
		s.send(op.method, op.path, op.body).want(401)
	}
	s.token = adminToken
	s.token = s.create(`{"source":"alertmanager"}`).Token
	for _, op := range ops {
		s.send(op.method, op.path, op.body).want(403)
	}
	unknown := newServer(t)
	unknown.checker, unknown.handler = s.checker, s.checker.Handler(t, unknown.engine)
	unknown.store.breakWith(&store.UnavailableError{Cause: errInternal})
	for _, op := range ops {
		unknown.send(op.method, op.path, op.body).problem(503)
	}
	for _, name := range s.checker.Missing("/api/v2/") {
		if !strings.HasPrefix(name, "POST /api/v2/alerts ") {
			t.Errorf("documented but not seen: %s", name)
		}
	}
}

func TestSilencePreview(t *testing.T) {
	s := newServer(t)
	s.accept(s.at("DiskFull", "db", "db1"))
	old := s.at("DiskFull", "db", "db2")
	s.accept(old)
	old.Status, old.EndsAt = alert.Resolved, s.clock.now()
	s.accept(old)
	s.accept(s.at("Slow", "web", "web1"))
	preview := func(body string) silences.Preview {
		t.Helper()
		return decode[silences.Preview](s.send("POST", "/api/v1/silences/preview", body).want(200))
	}
	p := preview(`{"matchers":[{"name":"instance","value":"db.*","isRegex":true}]}`)
	if p.Now.Incidents != 1 || p.Now.Whole != 1 || p.Now.Alerts != 1 || p.Past.Incidents != 1 || p.Past.Alerts != 2 || p.Now.Truncated || p.Past.Truncated {
		t.Errorf("got %+v", p)
	}
	if p.Now.FirstAlerts[0].Labels["instance"] != "db1" || p.Now.FirstAlerts[0].Incident != p.Now.FirstIncidents[0].Reference || !p.PastSince.Equal(morning.AddDate(0, 0, -30)) {
		t.Errorf("got %+v", p)
	}
	s.accept(s.at("DiskFull", "db", "db3"))
	if p := preview(`{"matchers":[{"name":"instance","value":"db1"}]}`); p.Now.Incidents != 1 || p.Now.Whole != 0 || p.Now.Alerts != 1 {
		t.Errorf("a part of an incident: got %+v", p.Now)
	}
	if p := preview(`{"matchers":[{"name":"service","value":"web","isEqual":false},{"name":"service","value":".+","isRegex":true}]}`); p.Now.Incidents != 1 || p.Now.Alerts != 2 {
		t.Errorf("everything but web: got %+v", p.Now)
	}
	s.clock.add(31 * 24 * time.Hour)
	if p := preview(`{"matchers":[{"name":"instance","value":"db.*","isRegex":true}]}`); p.Past.Incidents != 0 || p.Now.Alerts != 2 {
		t.Errorf("a month later: got %+v", p)
	}
	for body, mention := range map[string]string{`{}`: `"matchers"`, `{"matchers":[{"name":"a","value":""}]}`: "empty string", `{"matchers":[{"name":"a"}]}`: "value", `{"x":1}`: `"x"`,
		`{"matchers":[{"name":"a","value":"(","isRegex":true}]}`: "matchers[0]"} {
		s.send("POST", "/api/v1/silences/preview", body).problem(400, mention)
	}
}

// TestSilencePreviewIsBounded: what it lists, and what it looks at.
func TestSilencePreviewIsBounded(t *testing.T) {
	s := newServer(t)
	var batch []alert.Alert
	for n := range 5100 {
		batch = append(batch, s.at(fmt.Sprint("A", n), "web", "i"))
	}
	for part := range slices.Chunk(batch, 1000) {
		if _, err := s.pipeline.Accept(t.Context(), "alertmanager", part); err != nil {
			t.Fatal(err)
		}
	}
	p := decode[silences.Preview](s.send("POST", "/api/v1/silences/preview", `{"matchers":[{"name":"service","value":"web"}]}`).want(200))
	if len(p.Now.FirstIncidents) != 50 || len(p.Now.FirstAlerts) != 50 || p.Now.Incidents != 5000 || !p.Now.Truncated || !p.Past.Truncated {
		t.Errorf("got %d incidents, %d and %d shown, truncated %v", p.Now.Incidents, len(p.Now.FirstIncidents), len(p.Now.FirstAlerts), p.Now.Truncated)
	}
}

// FuzzAMQuery: whatever the query is, the answer is no server error.
func FuzzAMQuery(f *testing.F) {
	for _, q := range []string{`filter=a="b"&receiver=x.*`, `filter=a=~"(b|c)+"&active=no`, `filter="a b"!~"\xff"`, `filter=%zz;`, `receiver=((x{1000}){1000})`, `filter={a="b"}`, `filter=a~"`} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		s := newServer(t, byTeam)
		s.accept(s.firing("DiskFull", "db"))
		for _, path := range []string{"/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host, r.URL = s.host, &url.URL{Path: path, RawQuery: q}
			w := httptest.NewRecorder()
			s.engine.ServeHTTP(w, r)
			if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
				t.Errorf("%s?%s: got %d %s, want 200 or 400", path, q, w.Code, w.Body)
			}
		}
	})
}
