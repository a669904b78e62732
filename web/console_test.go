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
