package answers_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// paths are those of the two links of an incident.
func (s *server) paths(i *incident.Incident) (acknowledge, resolve string) {
	l := s.links.For(i, "dba/slack[0]")
	return strings.TrimPrefix(l.Acknowledge, external.String()), strings.TrimPrefix(l.Resolve, external.String())
}

func TestALinkAsksAndThenActs(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, res := s.paths(i)
	for range 3 {
		for _, link := range []string{ack, res} {
			s.send("GET", link, "").want(200, i.Reference, "DiskFull", "critical", `<form method="post">`, `<label for="name">`)
			s.send("HEAD", link, "").want(200)
		}
	}
	if got := s.state(i); got != "open" {
		t.Fatalf("after GET and HEAD: got %s, want open", got)
	}
	s.send("POST", ack, "name=Ann").want(200, "<h1>Acknowledged</h1>", "Ann works on it now")
	if got := s.state(i); got != "acknowledged Ann" {
		t.Fatalf("got %s, want acknowledged Ann", got)
	}
	s.send("POST", ack, "name=Ann").want(200, "Ann works on it since")
	s.send("POST", ack, "name=Ben").want(200, "Ann was faster")
	s.send("GET", ack, "").want(200, "Ann was faster", "Nothing to do")
	s.send("GET", res, "").want(200, "One alert still fires")
	s.send("POST", res, "").want(200, "<h1>Resolved</h1>")
	s.send("POST", res, "name=Ben").want(200, "It is over already: resolved by via link of dba/slack[0]")
	s.send("POST", ack, "name=Ben").want(200, "It is over already")
	want := []string{"Ann (signed link) acknowledged: acknowledged: by the link sent to dba/slack[0]",
		"via link of dba/slack[0] (signed link) resolved: resolved while 1 alert still fires: by the link sent to dba/slack[0]"}
	if got := s.said(i); len(got) != 3 || got[1] != want[0] || got[2] != want[1] {
		t.Errorf("timeline: got %q, want it to end with %q", got, want)
	}
	s.counted("link", "acknowledged", 1)
	s.counted("link", "resolved", 1)
	s.counted("link", "unchanged", 4)
}

func TestPagesAreSafe(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, _ := s.paths(i)
	good, bad := s.send("GET", ack, ""), s.send("GET", "/a/nonsense", "")
	for _, r := range []reply{good.want(200), bad.want(404, "not one of this Tocsin"), s.send("POST", ack, "name=tocsin").want(400, "what Tocsin itself is called")} {
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8"} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", r.pair, name, got, want)
			}
		}
		policy := r.header.Get("Content-Security-Policy")
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(r.body)
		if style == nil || strings.Contains(r.body, "<script") || strings.Contains(r.body, " style=") {
			t.Fatalf("got %s, want one style and no script", r.body)
		}
		sum := sha256.Sum256([]byte(style[1]))
		for _, want := range []string{"default-src 'none'", "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: got policy %q, want it to have %q", r.pair, policy, want)
			}
		}
	}
	if s.state(i) != "open" {
		t.Error("acknowledged under our own name")
	}
}

// TestNoNeedForSessionsOrOrigins: browsers send Origin: null from a page that says
// no-referrer, and the token is all the permission there is.
func TestNoNeedForSessionsOrOrigins(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, _ := s.paths(i)
	s.send("POST", ack, "name=Ann", "Origin", "null").want(200)
	if got := s.state(i); got != "acknowledged Ann" {
		t.Errorf("got %s, want acknowledged Ann", got)
	}
}

func TestHostileTextsOnPages(t *testing.T) {
	for _, text := range targettest.HostileTexts() {
		s := newServer(t)
		now := s.clock.now()
		a := alert.Alert{Status: alert.Firing, Source: "nagios", Identity: "x", StartsAt: now, ReceivedAt: now,
			Labels: alert.FromMap(map[string]string{"alertname": strings.ToValidUTF8(text, "?"), "host": "h", "service": strings.ToValidUTF8(text, "?")})}
		out, err := s.pipeline.Accept(context.Background(), a.Source, []alert.Alert{a})
		if err != nil {
			t.Fatal(err)
		}
		i := s.incident(out[0].Incident)
		ack, _ := s.paths(i)
		pages := s.send("GET", ack, "").want(200).body + s.send("POST", ack, url.Values{"name": {text[:min(len(text), 150)]}}.Encode()).want(200).body + s.send("GET", ack, "").want(200).body
		for _, bad := range []string{"<script>alert", "<img", "<at", "\u202e", "\u2066", "<https", "\x00"} {
			if strings.Contains(pages, bad) {
				t.Errorf("%.60q: the page has %q", text, bad)
			}
		}
		if got := s.incident(i.ID.String()); strings.ContainsAny(got.AcknowledgedBy, "\r\n\u202e\x00") || len(got.AcknowledgedBy) > 200 || got.State != incident.Acknowledged {
			t.Errorf("%.60q: got %s by %q", text, got.State, got.AcknowledgedBy)
		}
	}
}

func TestLinksThatDoNotAct(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, res := s.paths(i)
	link := `href="https://tocsin.example.com/incidents/` + i.Reference + `"`
	s.act(i, func(e *incident.Edit) error { return e.Resolve("ann", "") })
	s.act(i, func(e *incident.Edit) error { return e.Reopen("ann", "") })
	for _, method := range []string{"GET", "POST"} {
		s.send(method, ack, "").want(410, "of an earlier time", link)
		s.send(method, res, "").want(410, "of an earlier time", link)
	}
	i = s.incident(i.ID.String())
	ack, _ = s.paths(i)
	s.send("GET", ack, "").want(200, "<form")
	s.clock.add(8 * 24 * time.Hour)
	for _, method := range []string{"GET", "POST", "HEAD"} {
		r := s.send(method, ack, "").want(410)
		if method != "HEAD" {
			r.want(410, "has expired", "2026-11-28", link)
			if strings.Contains(string(r.body), "Severity") {
				t.Errorf("%s of an expired link: got %s, want no facts", method, r.body)
			}
		}
	}
	if got := s.state(i); got != "open" {
		t.Errorf("got %s, want open", got)
	}
	if err := s.store.Remove(context.Background(), i.ID); err != nil {
		t.Fatal(err)
	}
	s.send("GET", ack, "").want(404, "does not exist any more")
	s.send("POST", ack, "").want(404, "does not exist any more")
	for _, bad := range []string{"x", ack[3:] + "A", strings.Repeat("a", 5000)} {
		s.send("GET", "/a/"+bad, "").want(404, "Copy all of it")
	}
}

// TestGuessesAreSlowedAndLinksAreNot.
func TestGuessesAreSlowedAndLinksAreNot(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, _ := s.paths(i)
	limited := false
	for range 30 {
		limited = s.send("GET", "/a/AQEAAAAA", "").status == http.StatusTooManyRequests || limited
	}
	if !limited {
		t.Error("30 guesses were all answered")
	}
	s.send("POST", ack, "name=Ann").want(200, "Acknowledged")
	s.clock.add(time.Hour)
	s.send("GET", "/a/AQEAAAAA", "").want(404)
}

func TestTheStoreIsAway(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, _ := s.paths(i)
	s.store.away(true)
	for _, method := range []string{"GET", "POST"} {
		if r := s.send(method, ack, "").want(503, "Nothing was done"); r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	s.pagerduty(payload(t, "pagerduty-acknowledged", i)).want(503)
	s.slack(payload(t, "slack-acknowledge", i)).want(503)
	s.store.away(false)
	s.send("POST", ack, "name=Ann").want(200, "Acknowledged")
	s.counted("pagerduty", "failed", 1)
	s.counted("link", "failed", 1)
}

func TestFormsThatAreTooMuch(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	ack, _ := s.paths(i)
	for _, body := range []string{"name=" + strings.Repeat("x", 201), "name=" + strings.Repeat("x", 20_000), "name=%zz"} {
		s.send("POST", ack, body).want(400, "name: ", "<form")
	}
	if got := s.state(i); got != "open" {
		t.Errorf("got %s, want open", got)
	}
	s.send("POST", ack, url.Values{"name": {" \t\u202eAnn\r\n"}}.Encode()).want(200)
	if got := s.state(i); got != "acknowledged Ann" {
		t.Errorf("got %s, want acknowledged Ann", got)
	}
}
