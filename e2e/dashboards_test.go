package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"
)

// What dashboards ask of an Alertmanager, replayed: the requests are those of
// Grafana's data source (public/app/plugins/datasource/alertmanager and
// pkg/services/ngalert/api/lotex_am.go of github.com/grafana/grafana) and of karma
// (internal/alertmanager, internal/mapper/v017 and cmd/karma/proxy.go of
// github.com/prymitive/karma), without these programs.

// request sends one request with headers as a proxy forwards them.
func request(ctx context.Context, method, address string, body []byte, headers map[string]string) (status int, header http.Header, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header, answer, err
}

// TestGrafanaAsks sends what Grafana's Alertmanager data source sends, to Tocsin and
// to Debian's Alertmanager.
func TestGrafanaAsks(t *testing.T) {
	p := startPair(t)
	if _, _, err := p.both(t.Context(), http.MethodPost, "/api/v2/alerts", burning()); err != nil {
		t.Fatal(err)
	}
	// The health check. Were there a /alertmanager, it would take us for Mimir.
	for path, want := range map[string]int{"/api/v1/status/buildinfo": http.StatusNotFound, "/alertmanager/api/v2/status": http.StatusNotFound, "/api/v2/status": http.StatusOK} {
		for _, address := range []string{p.ours, p.theirs} {
			if status, _, answer, err := request(t.Context(), http.MethodGet, address+path, nil, nil); err != nil || status != want {
				t.Errorf("GET %s%s: got %d %.300s, %v; want %d", address, path, status, answer, err, want)
			}
		}
	}
	// What Grafana asks its own Alertmanager reaches others too, who ignore it.
	for _, address := range []string{p.ours, p.theirs} {
		if status, _, answer, err := request(t.Context(), http.MethodGet, address+"/api/v2/silences?accesscontrol=true&ruleMetadata=true", nil, nil); err != nil || status != http.StatusOK || len(answer) == 0 {
			t.Errorf("%s: got %d %s, %v", address, status, answer, err)
		}
	}
	// It reads the configuration that is in the status, as YAML in YAML's own words.
	var s struct {
		Config struct {
			Original string `json:"original"`
		} `json:"config"`
	}
	if err := getJSON(t.Context(), p.ours+"/api/v2/status", &s); err != nil {
		t.Fatal(err)
	}
	var c amconfig.Config
	if err := yaml.Unmarshal([]byte(s.Config.Original), &c); err != nil || c.Route == nil || c.Route.Receiver != "ops" || len(c.Receivers) != 3 {
		t.Errorf("the configuration: got %+v, %v, of %s", c, err, s.Config.Original)
	}

	for _, path := range []string{
		"/api/v2/alerts?active=true&inhibited=true&silenced=true&unprocessed=true",
		"/api/v2/alerts?active=true&filter=alertname%3D%22DiskFull%22&filter=instance%3D~%22db.%2A%22&inhibited=false&silenced=false",
		"/api/v2/alerts?active=true&active=false", "/api/v2/alerts?active=false&active=true&receiver=ops&receiver=dba",
		"/api/v2/alerts/groups?active=true&inhibited=true&silenced=true",
		"/api/v2/alerts/groups?active=true&filter=severity%3D%22critical%22&receiver=dba&silenced=false",
		"/api/v2/alerts/groups?filter=service%21%3D%22db%22",
		"/api/v2/receivers",
	} {
		eventually(t, soon, func(ctx context.Context) error { return p.same(ctx, path) })
	}

	// What a person does, as Grafana sends it on.
	forwarded := map[string]string{"X-Grafana-Referer": "http://grafana.example/alerting/silence/new", "X-Forwarded-For": "192.0.2.1", "Sec-Fetch-Site": "same-origin", "Accept-Encoding": "identity"}
	now := time.Now().UTC()
	silence := map[string]any{"comment": "created 2026-11-28", "createdBy": "Ann", "startsAt": now.Format("2006-01-02T15:04:05.000Z"), "endsAt": now.Add(2 * time.Hour).Format("2006-01-02T15:04:05.000Z"),
		"matchers": []any{map[string]any{"isEqual": true, "isRegex": false, "name": "alertname", "value": "DiskFull"}, map[string]any{"isEqual": false, "isRegex": true, "name": "instance", "value": "db2|db3"}}}
	var ids [2]string
	write := func(change map[string]any) {
		t.Helper()
		for n, address := range []string{p.ours, p.theirs} {
			sent := maps.Clone(silence)
			maps.Copy(sent, change)
			if ids[n] != "" {
				sent["id"] = ids[n]
			}
			body, err := json.Marshal(sent)
			if err != nil {
				t.Fatal(err)
			}
			status, header, answer, err := request(t.Context(), http.MethodPost, address+"/api/v2/silences", body, forwarded)
			var v struct {
				ID string `json:"silenceID"`
			}
			if err != nil || status != http.StatusOK || header.Get("Content-Type") != "application/json" || json.Unmarshal(answer, &v) != nil || v.ID == "" {
				t.Fatalf("%s: got %d %v %s, %v", address, status, header, answer, err)
			}
			ids[n] = v.ID
		}
	}
	write(nil)
	eventually(t, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/silences") })
	eventually(t, soon, func(ctx context.Context) error {
		return p.same(ctx, "/api/v2/alerts/groups?silenced=true&active=false")
	})
	write(map[string]any{"comment": "later", "endsAt": now.Add(3 * time.Hour).Format("2006-01-02T15:04:05.000Z")})
	eventually(t, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/silences") })
	for n, address := range []string{p.ours, p.theirs} {
		var one struct {
			Comment string `json:"comment"`
		}
		if err := getJSON(t.Context(), address+"/api/v2/silence/"+ids[n], &one); err != nil || one.Comment != "later" {
			t.Errorf("%s: got %+v, %v", address, one, err)
		}
		status, _, answer, err := request(t.Context(), http.MethodDelete, address+"/api/v2/silence/"+ids[n], nil, forwarded)
		if err != nil || status != http.StatusOK || len(answer) != 0 {
			t.Errorf("%s: DELETE: got %d %s, %v", address, status, answer, err)
		}
	}
	eventually(t, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/silences") })
	eventually(t, soon, func(ctx context.Context) error { return p.same(ctx, "/api/v2/alerts/groups?silenced=true") })
}

// karma is what karma keeps of an Alertmanager after a pull.
type karma struct {
	groups   []karmaGroup
	silences []karmaSilence
}

// karmaGroup, karmaSilence and their parts are what karma reads; it follows what is
// a pointer here without looking.
type karmaGroup struct {
	Labels   map[string]string `json:"labels"`
	Receiver *struct {
		Name *string `json:"name"`
	} `json:"receiver"`
	Alerts []struct {
		Annotations map[string]string `json:"annotations"`
		Fingerprint *string           `json:"fingerprint"`
		StartsAt    *time.Time        `json:"startsAt"`
		Labels      map[string]string `json:"labels"`
		Status      *struct {
			State       *string  `json:"state"`
			SilencedBy  []string `json:"silencedBy"`
			InhibitedBy []string `json:"inhibitedBy"`
		} `json:"status"`
	} `json:"alerts"`
}

type karmaSilence struct {
	ID        *string    `json:"id"`
	CreatedBy *string    `json:"createdBy"`
	Comment   *string    `json:"comment"`
	StartsAt  *time.Time `json:"startsAt"`
	EndsAt    *time.Time `json:"endsAt"`
	Matchers  []struct {
		Name    *string `json:"name"`
		Value   *string `json:"value"`
		IsRegex *bool   `json:"isRegex"`
		IsEqual *bool   `json:"isEqual"`
	} `json:"matchers"`
}

// pull asks what karma asks, in its order.
func pull(ctx context.Context, url string, headers map[string]string) (k karma, err error) {
	ask := func(path string, into any) error {
		status, header, answer, err := request(ctx, http.MethodGet, url+path, nil, headers)
		switch {
		case err != nil:
			return err
		case status != http.StatusOK:
			return fmt.Errorf("GET %s: %d %.300s", path, status, answer)
		case into == nil:
			return nil
		case header.Get("Content-Type") != "application/json":
			return fmt.Errorf("GET %s: the content type is %q", path, header.Get("Content-Type"))
		}
		return json.Unmarshal(answer, into)
	}
	var status struct {
		Cluster *struct {
			Name   string `json:"name"`
			Status *string
			Peers  []struct {
				Name *string `json:"name"`
			} `json:"peers"`
		} `json:"cluster"`
		VersionInfo *struct {
			Version *string `json:"version"`
		} `json:"versionInfo"`
	}
	for path, into := range map[string]any{"/metrics": nil, "/api/v2/status": &status, "/api/v2/silences": &k.silences, "/api/v2/alerts/groups": &k.groups} {
		if err := ask(path, into); err != nil {
			return k, err
		}
	}
	if status.Cluster == nil || status.VersionInfo == nil || status.VersionInfo.Version == nil {
		return k, fmt.Errorf("the status lacks what karma reads")
	}
	for _, g := range k.groups {
		if g.Receiver == nil || g.Receiver.Name == nil || g.Labels == nil {
			return k, fmt.Errorf("a group lacks what karma reads: %+v", g)
		}
		for _, a := range g.Alerts {
			if a.Fingerprint == nil || a.StartsAt == nil || a.StartsAt.IsZero() || a.Status == nil || a.Status.State == nil || !slices.Contains([]string{"active", "suppressed", "unprocessed"}, *a.Status.State) {
				return k, fmt.Errorf("an alert lacks what karma reads: %+v", a)
			}
		}
	}
	for _, s := range k.silences {
		if s.ID == nil || s.CreatedBy == nil || s.Comment == nil || s.StartsAt == nil || s.EndsAt == nil {
			return k, fmt.Errorf("a silence lacks what karma reads: %+v", s)
		}
		for _, m := range s.Matchers {
			if m.Name == nil || m.Value == nil || m.IsRegex == nil || m.IsEqual == nil {
				return k, fmt.Errorf("a matcher lacks what karma reads: %+v", m)
			}
		}
	}
	return k, nil
}

// TestKarmaAsks sends what karma sends, with the alerts of several senders there,
// and what a browser has it send on.
func TestKarmaAsks(t *testing.T) {
	const token = "the-token-of-an-administrator-00"
	for name, headers := range map[string]map[string]string{"without a token": {}, "with a token": {"Authorization": "Bearer " + token}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := dashboardGateway(t, routing, headers)
			url := "http://" + g.addr
			// karma sets the headers of its configuration on all that it sends.
			headers := maps.Clone(headers)
			headers["Origin"] = url
			send := func(path, kind, body string) {
				t.Helper()
				h := maps.Clone(headers)
				h["Content-Type"] = kind
				if status, _, answer, err := request(t.Context(), http.MethodPost, url+path, []byte(body), h); err != nil || status != http.StatusOK {
					t.Fatalf("POST %s: got %d %s, %v", path, status, answer, err)
				}
			}
			send("/api/v2/alerts", "application/json", string(burning()))
			send("/ingest/events", "application/json", `{"name":"BackupFailed","host":"db1","service":"db","severity":"critical","summary":"no space"}`)
			send("/ingest/email", "message/rfc822", "From: cron@db1.example\r\nTo: ops@example.org\r\nSubject: raid degraded\r\nMessage-ID: <1@db1.example>\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\nmd0 lost a disk\r\n")

			names := func(k karma) (found []string) {
				for _, g := range k.groups {
					for _, a := range g.Alerts {
						found = append(found, *g.Receiver.Name+" "+a.Labels["alertname"]+" "+*a.Status.State)
					}
				}
				slices.Sort(found)
				return slices.Compact(found)
			}
			want := []string{"boss BackupFailed active", "boss DiskFull active", "boss Down active", "dba BackupFailed active", "dba DiskFull active", "ops Odd active", "ops Slow active"}
			var k karma
			eventually(t, soon, func(ctx context.Context) (err error) {
				if k, err = pull(ctx, url, headers); err != nil {
					return err
				}
				if got := names(k); len(got) != len(want)+1 || !subset(want, got) {
					return fmt.Errorf("got %q, want %q and a mail", got, want)
				}
				return nil
			})

			// The browser's request goes on with its headers, but for those that are set.
			browser := maps.Clone(headers)
			browser["Referer"], browser["Sec-Fetch-Site"], browser["Sec-Fetch-Mode"] = "http://karma.example/", "same-origin", "cors"
			now := time.Now().UTC()
			body := fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"BackupFailed","isRegex":false,"isEqual":true}],"startsAt":%q,"endsAt":%q,"createdBy":"ann@example.org","comment":"known"}`,
				now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano))
			status, _, answer, err := request(t.Context(), http.MethodPost, url+"/api/v2/silences", []byte(body), browser)
			if err != nil || status != http.StatusOK {
				t.Fatalf("POST silences: got %d %s, %v", status, answer, err)
			}
			eventually(t, soon, func(ctx context.Context) (err error) {
				if k, err = pull(ctx, url, headers); err != nil {
					return err
				}
				if len(k.silences) != 1 || *k.silences[0].CreatedBy != "ann@example.org" || !slices.Contains(names(k), "dba BackupFailed suppressed") {
					return fmt.Errorf("got %+v and %q, want what was silenced", k.silences, names(k))
				}
				return nil
			})
			// As it is without the setting in docs/alertmanager-api.md: the page is not ours.
			for _, foreign := range []map[string]string{{"Origin": "http://karma.example"}, {"Sec-Fetch-Site": "cross-site"}} {
				h := maps.Clone(browser)
				delete(h, "Sec-Fetch-Site")
				maps.Copy(h, foreign)
				if status, _, answer, err := request(t.Context(), http.MethodDelete, url+"/api/v2/silence/"+*k.silences[0].ID, nil, h); err != nil || status != http.StatusForbidden {
					t.Errorf("DELETE with %v: got %d %s, %v; want 403", foreign, status, answer, err)
				}
			}
			if status, _, answer, err := request(t.Context(), http.MethodDelete, url+"/api/v2/silence/"+*k.silences[0].ID, nil, browser); err != nil || status != http.StatusOK {
				t.Errorf("DELETE: got %d %s, %v", status, answer, err)
			}
		})
	}
}

// subset reports whether all of the one are in the other.
func subset(of, in []string) bool {
	return !slices.ContainsFunc(of, func(one string) bool { return !slices.Contains(in, one) })
}

// dashboardGateway starts a gateway with the administrator's token that the headers
// have, if any.
func dashboardGateway(t *testing.T, config string, headers map[string]string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tocsin.yml")
	write(t, file, config)
	environment := []string{"TOCSIN_CONFIG_FILE=" + file}
	if h := headers["Authorization"]; h != "" {
		environment = append(environment, "TOCSIN_ADMIN_TOKEN="+h[len("Bearer "):])
	}
	g, err := startGateway(t.Context(), tocsinBinary, t.TempDir(), "127.0.0.1:0", environment...)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, "tocsin", g.process)
	return g
}
