package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// routing is the same configuration for Tocsin and for an Alertmanager. Grouping
// is what Tocsin does by default.
const routing = `route:
  receiver: ops
  group_by: [alertname, cluster, environment, service]
  group_wait: 100ms
  group_interval: 1s
  routes:
    - matchers: [service="db"]
      receiver: dba
      continue: true
    - matchers: [service=~"db|shop", severity="critical"]
      receiver: boss
receivers:
  - name: ops
  - name: dba
  - name: boss
`

// tool runs a program to its end and returns what it wrote.
func tool(t *testing.T, want int, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=/usr/bin:/bin", "USER=ann"}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Fatalf("%s %q: exit %d, want %d\n%s%s", program, args, code, want, &out, &errOut)
	}
	return out.String()
}

// amtool runs amtool against an address.
type amtool struct {
	*testing.T
	path, url string
}

func (a amtool) run(args ...string) string {
	a.Helper()
	return tool(a.T, 0, a.path, append([]string{"--alertmanager.url=" + a.url}, args...)...)
}

// alerts are the values of the label instance that amtool lists.
func (a amtool) alerts(args ...string) string {
	a.Helper()
	var list []struct {
		Labels map[string]string `json:"labels"`
	}
	out := a.run(append([]string{"-o", "json", "alert", "query"}, args...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		a.Fatalf("%v in %s", err, out)
	}
	var names []string
	for _, one := range list {
		names = append(names, one.Labels["instance"])
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

type amtoolSilence struct {
	ID        string    `json:"id"`
	Comment   string    `json:"comment"`
	CreatedBy string    `json:"createdBy"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	Status    struct {
		State string `json:"state"`
	} `json:"status"`
}

func (a amtool) silences(args ...string) (list []amtoolSilence) {
	a.Helper()
	out := a.run(append([]string{"-o", "json", "silence", "query"}, args...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		a.Fatalf("%v in %s", err, out)
	}
	return list
}

// postable are alerts that fire since a minute, in the form of Alertmanager's API.
func postable(labels ...map[string]string) []byte {
	var list []any
	for _, l := range labels {
		list = append(list, map[string]any{"labels": l, "annotations": map[string]string{"summary": "it burns"}, "startsAt": time.Now().Add(-time.Minute),
			"endsAt": time.Now().Add(time.Hour), "generatorURL": "http://prometheus.example/graph"})
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err) // unreachable: it always encodes
	}
	return body
}

// burning are the alerts of both tests.
func burning() []byte {
	return postable(
		map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1"},
		map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db2"},
		map[string]string{"alertname": "Slow", "service": "shop", "severity": "warning", "instance": "web1", "cluster": "eu"},
		map[string]string{"alertname": "Down", "service": "shop", "severity": "critical", "instance": "web2"},
		map[string]string{"alertname": "Odd", "severity": "info", "instance": "x y"})
}

// TestAmtool works with Debian's amtool as people do.
func TestAmtool(t *testing.T) {
	path := program(t, "amtool")
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", routing)
	a := amtool{t, path, "http://" + g.addr}
	if got := a.alerts(); got != "" {
		t.Errorf("without alerts: got %s", got)
	}
	post(t, a.url+"/api/v2/alerts", burning())
	a.run("alert", "add", "Manual", "service=db", "instance=by hand", "--annotation=summary=made with amtool", "--end="+time.Now().Add(time.Hour).Format(time.RFC3339))
	for _, c := range []struct {
		want string
		args []string
	}{
		{"by hand db1 db2 web1 web2 x y", nil},
		{"db1 db2", []string{"DiskFull"}},
		{"db2", []string{"DiskFull", "instance=db2"}},
		{"web1 web2", []string{`instance=~web.*`}},
		{"by hand x y", []string{`severity!~critical|warning`}},
		{"by hand db1 db2", []string{"--receiver=dba"}},
		{"by hand db1 db2", []string{"--receiver=db."}},
		{"", []string{"--silenced"}},
	} {
		if got := a.alerts(c.args...); got != c.want {
			t.Errorf("alert query %q: got %s, want %s", c.args, got, c.want)
		}
	}
	if simple := a.run("alert", "query", "Slow"); !strings.Contains(simple, "Slow") || !strings.Contains(simple, "it burns") || !strings.Contains(simple, "active") {
		t.Errorf("got %s", simple)
	}

	id := strings.TrimSpace(a.run("silence", "add", "DiskFull", "instance=~db.", "--duration=2h", "--comment=new disks come", "--author=ann"))
	list := a.silences()
	if len(list) != 1 || list[0].ID != id || list[0].Comment != "new disks come" || list[0].CreatedBy != "ann" || list[0].Status.State != "active" ||
		(list[0].EndsAt.Sub(list[0].StartsAt)-2*time.Hour).Abs() > time.Minute { // the gateway's clock begins, and amtool's ends it
		t.Fatalf("got %+v, want %s", list, id)
	}
	if got := a.alerts("--silenced"); got != "db1 db2" {
		t.Errorf("silenced: got %s", got)
	}
	if got := a.alerts("--active"); got != "by hand web1 web2 x y" {
		t.Errorf("active: got %s", got)
	}
	a.run("silence", "update", "--duration=5h", "--comment=they come later", id)
	if list := a.silences("DiskFull"); len(list) != 1 || list[0].ID != id || list[0].Comment != "they come later" || list[0].EndsAt.Sub(list[0].StartsAt).Round(time.Second) != 5*time.Hour {
		t.Errorf("updated: got %+v", list)
	}
	if list := a.silences("alertname=Slow"); len(list) != 0 {
		t.Errorf("another silence: got %+v", list)
	}
	if list := a.silences("--within=1h"); len(list) != 0 {
		t.Errorf("within an hour: got %+v", list)
	}
	if got := a.run("silence", "query", "-q"); strings.TrimSpace(got) != id {
		t.Errorf("-q: got %q", got)
	}
	// What amtool exports it takes back.
	file := filepath.Join(t.TempDir(), "silences.json")
	write(t, file, a.run("-o", "json", "silence", "query"))
	a.run("silence", "import", file)
	if list := a.silences(); len(list) != 1 || list[0].ID != id {
		t.Errorf("imported: got %+v, want the same one", list)
	}
	a.run("silence", "expire", id)
	if list := a.silences(); len(list) != 0 {
		t.Errorf("after the end: got %+v", list)
	}
	if list := a.silences("--expired"); len(list) != 1 || list[0].Status.State != "expired" {
		t.Errorf("expired: got %+v", list)
	}
	if got := a.alerts("--silenced"); got != "" {
		t.Errorf("silenced after the end: got %s", got)
	}
	tool(t, 1, path, "--alertmanager.url="+a.url, "silence", "expire", "00000000-0000-4000-8000-000000000000")
	tool(t, 1, path, "--alertmanager.url="+a.url, "silence", "add", "a=", "--comment=x")

	if got := a.run("config", "show"); !strings.Contains(got, "receiver: dba") {
		t.Errorf("config show: got %s", got)
	}
	if got := a.run("cluster", "show"); !strings.Contains(got, "disabled") {
		t.Errorf("cluster show: got %s", got)
	}
}

// TestRoutesTestLikeAmtool: the same labels lead to the same receivers, by the
// file and by the gateway.
func TestRoutesTestLikeAmtool(t *testing.T) {
	path := program(t, "amtool")
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", routing)
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	write(t, file, routing)
	for _, labels := range [][]string{nil, {"service=db"}, {"service=db", "severity=critical"}, {"service=shop", "severity=critical"}, {"service=shop"}, {`service="d b"`}, {"service=db", "service=shop"}} {
		want := tool(t, 0, path, append([]string{"config", "routes", "test", "--config.file=" + file}, labels...)...)
		for _, where := range []string{"--config.file=" + file, "--url=http://" + g.addr} {
			if got := tool(t, 0, tocsinBinary, append([]string{"routes", "test", where}, labels...)...); got != want {
				t.Errorf("%q, %s: got %q, want %q", labels, where, got, want)
			}
		}
	}
}

// pair are a Tocsin and an Alertmanager that are sent the same.
type pair struct {
	*testing.T
	ours, theirs string
}

func startPair(t *testing.T) *pair {
	t.Helper()
	path, dir := program(t, "prometheus-alertmanager"), t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	write(t, config, routing)
	addr := freeAddr(t)
	p, err := startProcess(path, nil, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--cluster.listen-address=")
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, "alertmanager", p)
	if err := p.ready(t.Context(), "http://"+addr+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", routing)
	return &pair{t, "http://" + g.addr, "http://" + addr}
}

// both sends a request to both, and returns both bodies if the status is the
// same.
func (p *pair) both(ctx context.Context, method, path string, body []byte) (ours, theirs []byte, err error) {
	ourStatus, ours, err := do(ctx, method, p.ours+path, body)
	if err != nil {
		return nil, nil, err
	}
	theirStatus, theirs, err := do(ctx, method, p.theirs+path, body)
	if err == nil && ourStatus != theirStatus {
		err = fmt.Errorf("%s %s: we answer %d %.300s, Alertmanager %d %.300s; sent %s", method, path, ourStatus, ours, theirStatus, theirs, body)
	}
	return ours, theirs, err
}

// extra are members that newer Alertmanagers have and 0.25 does not.
var extra = map[string]bool{"mutedBy": true, "routeLabels": true, "annotations of a silence": true}

// shape describes the members and types of a JSON value; what an array holds is
// all that its elements have.
func shape(v any, name string, into map[string]string) {
	kind := fmt.Sprintf("%T", v)
	if was := into[name]; was != "" && was != kind {
		kind = was + " or " + kind
	}
	into[name] = kind
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			shape(one, name+"[]", into)
		}
	case map[string]any:
		for member, value := range v {
			if extra[member] || member == "annotations" && v["matchers"] != nil {
				continue
			}
			shape(value, name+"."+member, into)
		}
	case string:
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", v); err == nil {
			into[name] = "time"
		}
	}
}

func shapeOf(body []byte) (map[string]string, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("%w in %.300s", err, body)
	}
	into := map[string]string{}
	shape(v, "", into)
	return into, nil
}

// sameShape wants the same members with the same types from both.
func (p *pair) sameShape(ctx context.Context, path string) error {
	ours, theirs, err := p.both(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	a, err := shapeOf(ours)
	if err != nil {
		return err
	}
	b, err := shapeOf(theirs)
	if err != nil {
		return err
	}
	if !maps.Equal(a, b) {
		return fmt.Errorf("GET %s: we have %v, Alertmanager has %v", path, a, b)
	}
	return nil
}

// stableParts are the members of an alert, a group or a silence that do not
// differ between two programs.
func stableParts(v any) any {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, one := range v {
			text, err := json.Marshal(stableParts(one), json.Deterministic(true))
			if err != nil {
				return err
			}
			out = append(out, string(text))
		}
		slices.Sort(out)
		return out
	case map[string]any:
		out := map[string]any{}
		for member, value := range v {
			status, _ := v["status"].(map[string]any)
			switch {
			case member == "endsAt" && status["state"] == "expired": // it ended when that was asked for
			case slices.Contains([]string{"id", "updatedAt", "fingerprint", "mutedBy", "routeLabels"}, member), member == "annotations" && v["matchers"] != nil,
				member == "startsAt" && v["matchers"] != nil: // a new silence begins when it arrives
			case member == "silencedBy":
				ids, _ := value.([]any)
				out[member] = len(ids)
			default:
				out[member] = stableParts(value)
			}
		}
		return out
	}
	return v
}

// same wants the same alerts, groups or silences from both.
func (p *pair) same(ctx context.Context, path string) error {
	ours, theirs, err := p.both(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(ours, &a), json.Unmarshal(theirs, &b)); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if x, y := fmt.Sprint(stableParts(a)), fmt.Sprint(stableParts(b)); x != y {
		return fmt.Errorf("GET %s: we have\n%s\nAlertmanager has\n%s", path, x, y)
	}
	return nil
}

// everything compares all that can be asked.
func (p *pair) everything() {
	p.Helper()
	for _, path := range []string{"/api/v2/status", "/api/v2/receivers", "/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences"} {
		eventually(p.T, soon, func(ctx context.Context) error { return p.sameShape(ctx, path) })
	}
	queries := []string{"", "active=false", "silenced=false", "inhibited=false", "active=false&silenced=false", "active=true&silenced=true",
		"receiver=ops", "receiver=dba", "receiver=boss", "receiver=d.*", "receiver=bo", "receiver=ops%7Cboss"}
	for _, filter := range [][]string{{`alertname="DiskFull"`}, {`alertname=DiskFull`, `instance="db1"`}, {`instance=~"web.*"`}, {`instance=~"web"`}, {`instance!~"web.*|db1"`},
		{`service=""`}, {`service!=""`}, {`nothing=""`}, {`nothing=~".*"`}, {`nothing=~".+"`}, {`nothing!="x"`}, {`cluster=~"eu|"`}, {`instance="x y"`}, {`severity!="critical"`, `service="shop"`}} {
		queries = append(queries, url.Values{"filter": filter}.Encode())
	}
	for _, query := range queries {
		for _, path := range []string{"/api/v2/alerts?", "/api/v2/alerts/groups?"} {
			eventually(p.T, soon, func(ctx context.Context) error { return p.same(ctx, path+query) })
		}
	}
	for _, query := range []string{"", "filter=alertname%3D%22DiskFull%22", "filter=instance%3D~%22web.%2A%22", "filter=service%21%3Ddb", "filter=alertname%3DNobody"} {
		eventually(p.T, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/silences?"+query) })
	}
	eventually(p.T, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/receivers") })
}

// silence posts a silence to both; ids are the ones to change, empty for a new one.
func (p *pair) silence(ids [2]string, body map[string]any) (made [2]string) {
	p.Helper()
	for n, address := range []string{p.ours, p.theirs} {
		sent := maps.Clone(body)
		if ids[n] != "" {
			sent["id"] = ids[n]
		}
		text, err := json.Marshal(sent)
		if err != nil {
			p.Fatal(err)
		}
		status, answer, err := do(p.Context(), http.MethodPost, address+"/api/v2/silences", text)
		var v struct {
			ID string `json:"silenceID"`
		}
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &v) != nil || v.ID == "" {
			p.Fatalf("%s: got %d %s, %v; sent %s", address, status, answer, err, text)
		}
		made[n] = v.ID
	}
	return made
}

// TestLikeAlertmanager sends the same to Tocsin and to Debian's Alertmanager, and
// asks both the same.
func TestLikeAlertmanager(t *testing.T) {
	p := startPair(t)
	p.everything()
	body := burning()
	if _, _, err := p.both(t.Context(), http.MethodPost, "/api/v2/alerts", body); err != nil {
		t.Fatal(err)
	}
	p.everything()

	now := time.Now().UTC().Truncate(time.Second)
	silence := func(from, to time.Duration, matchers ...map[string]any) map[string]any {
		return map[string]any{"matchers": matchers, "startsAt": now.Add(from), "endsAt": now.Add(to), "createdBy": "ann", "comment": "known"}
	}
	is := func(name, value string) map[string]any {
		return map[string]any{"name": name, "value": value, "isRegex": false}
	}
	disks := silence(0, time.Hour, is("alertname", "DiskFull"), map[string]any{"name": "instance", "value": "db1", "isRegex": false, "isEqual": true})
	first := p.silence([2]string{}, disks)
	pending := p.silence([2]string{}, silence(time.Hour, 2*time.Hour, map[string]any{"name": "instance", "value": "web.*", "isRegex": true}))
	p.silence([2]string{}, silence(0, 3*time.Hour, map[string]any{"name": "service", "value": "db", "isRegex": false, "isEqual": false}, is("severity", "critical")))
	p.everything()

	// The same id for a later end, another one for other matchers.
	changed := maps.Clone(disks)
	changed["endsAt"], changed["comment"] = now.Add(4*time.Hour), "later"
	delete(changed, "startsAt")
	for n, address := range []string{p.ours, p.theirs} {
		var was struct {
			StartsAt time.Time `json:"startsAt"`
		}
		if err := getJSON(t.Context(), address+"/api/v2/silence/"+first[n], &was); err != nil {
			t.Fatal(err)
		}
		sent := maps.Clone(changed)
		sent["id"], sent["startsAt"] = first[n], was.StartsAt
		text, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		status, answer, err := do(t.Context(), http.MethodPost, address+"/api/v2/silences", text)
		if err != nil || status != http.StatusOK || !bytes.Contains(answer, []byte(first[n])) {
			t.Errorf("%s: a later end: got %d %s, %v; want the same id %s", address, status, answer, err, first[n])
		}
	}
	p.everything()
	changed = silence(0, time.Hour, is("alertname", "Slow"))
	second := p.silence(first, changed)
	if second[0] == first[0] || second[1] == first[1] {
		t.Errorf("other matchers: got %v after %v, want new ids", second, first)
	}
	p.everything()
	for n, address := range []string{p.ours, p.theirs} {
		for _, id := range []string{second[n], pending[n], first[n]} {
			if status, answer, err := do(t.Context(), http.MethodDelete, address+"/api/v2/silence/"+id, nil); err != nil || status != http.StatusOK || len(answer) != 0 {
				t.Errorf("%s: expire: got %d %s, %v", address, status, answer, err)
			}
		}
	}
	p.everything()
	p.mistakes(now)

	// What is over is not shown any more.
	var alerts []map[string]any
	if err := json.Unmarshal(body, &alerts); err != nil {
		t.Fatal(err)
	}
	for _, one := range alerts[:3] {
		one["endsAt"] = time.Now()
	}
	over, err := json.Marshal(alerts[:3])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.both(t.Context(), http.MethodPost, "/api/v2/alerts", over); err != nil {
		t.Fatal(err)
	}
	p.everything()
}

// mistakes: the same refusals, in the same form.
func (p *pair) mistakes(now time.Time) {
	p.Helper()
	silence := func(change map[string]any) []byte {
		body := map[string]any{"matchers": []any{map[string]any{"name": "a", "value": "b", "isRegex": false}}, "startsAt": now, "endsAt": now.Add(time.Hour), "createdBy": "ann", "comment": "c"}
		maps.Copy(body, change)
		text, err := json.Marshal(body)
		if err != nil {
			p.Fatal(err)
		}
		return text
	}
	matchers := func(value string, regex bool) []byte {
		return silence(map[string]any{"matchers": []any{map[string]any{"name": "a", "value": value, "isRegex": regex}}})
	}
	for _, c := range []struct {
		method, path string
		body         []byte
	}{
		{"GET", "/api/v2/alerts?filter=%22", nil}, {"GET", "/api/v2/alerts/groups?filter=%3D", nil}, {"GET", "/api/v2/silences?filter=a", nil},
		{"GET", "/api/v2/alerts?receiver=(", nil}, {"GET", "/api/v2/alerts/groups?receiver=%5B", nil}, {"GET", "/api/v2/alerts?filter=a%3D~%22(%22", nil},
		{"POST", "/api/v2/silences", matchers("", false)}, {"POST", "/api/v2/silences", matchers(".*", true)}, {"POST", "/api/v2/silences", matchers("(", true)},
		{"POST", "/api/v2/silences", silence(map[string]any{"endsAt": now})}, {"POST", "/api/v2/silences", silence(map[string]any{"startsAt": now.Add(-2 * time.Hour), "endsAt": now.Add(-time.Hour)})},
		{"POST", "/api/v2/silences", silence(map[string]any{"id": "00000000-0000-4000-8000-000000000000"})},
	} {
		ours, theirs, err := p.both(p.Context(), c.method, c.path, c.body)
		if err != nil {
			p.Error(err)
			continue
		}
		var a, b string
		if err := errors.Join(json.Unmarshal(ours, &a), json.Unmarshal(theirs, &b)); err != nil || a == "" || b == "" {
			p.Errorf("%s %s %s: we say %s, Alertmanager says %s; want texts in JSON", c.method, c.path, c.body, ours, theirs)
		}
	}
	missing := "/api/v2/silence/00000000-0000-4000-8000-000000000000"
	if _, _, err := p.both(p.Context(), http.MethodGet, missing, nil); err != nil {
		p.Error(err)
	}
	// Alertmanager 0.25 answers 500 to the end of what it does not know; newer ones say 404.
	if status, answer, err := do(p.Context(), http.MethodDelete, p.ours+missing, nil); err != nil || status != http.StatusNotFound {
		p.Errorf("DELETE %s: got %d %s, %v, want 404", missing, status, answer, err)
	}
}
