package web_test

import (
	"strings"
	"testing"
)

// TestFrontPage: what alerts say is text there, whatever it looks like.
func TestFrontPage(t *testing.T) {
	s := newServer(t)
	if page := string(s.send("GET", "/", "").want(200).body); !strings.Contains(page, "curl --json") {
		t.Errorf("without incidents the page does not say how to send an alert:\n%s", page)
	}
	s.accept(s.firing(`<script>alert(1)</script>"onload='x'`, "db"))
	a := s.send("GET", "/", "").want(200)
	if page := string(a.body); strings.Contains(page, "<script>") || !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") || !strings.Contains(page, "INC-20261121-") {
		t.Errorf("want the incident with its title escaped, got:\n%s", page)
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: got %q", csp)
	}
}

// TestIncidentPage: where the links of messages lead is all that matters, and what
// alerts say is text there.
func TestIncidentPage(t *testing.T) {
	s := newServer(t)
	a := s.firing(`<script>alert(1)</script>`, "db")
	a.GeneratorURL = "javascript:alert(1)"
	id := s.accept(a)
	s.send("POST", "/api/v1/incidents/"+id+"/note", `{"by":"ann","text":"<img src=x onerror=alert(1)>"}`).want(200)
	got := s.send("GET", "/incidents/"+id, "").want(200)
	page := string(got.body)
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;img src=x", "INC-20261121-", "1 of 1 firing", "ops/slack[0]", "hidden by silence"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, not := range []string{"<script>", "<img", "javascript:"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q:\n%s", not, page)
		}
	}
	if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: got %q", csp)
	}
	s.send("GET", "/incidents/INC-20261121-0000", "").problem(404, "INC-20261121-0000")
}
