package web_test

import (
	"net/http"
	"testing"

	"github.com/tocsin-gateway/tocsin/web"
)

// TestViewNames may have a slash in them, and the audit log names them.
func TestViewNames(t *testing.T) {
	s := newServer(t, withAdmin)
	s.token = adminToken
	s.send("PUT", "/api/v1/views/shop%2Fnight", `{"query":"severity=critical"}`).want(http.StatusOK)
	if got := decode[web.ViewsJSON](s.send("GET", "/api/v1/views", "").want(http.StatusOK)); len(got.Views) != 1 || got.Views[0].Name != "shop/night" {
		t.Errorf("got %+v", got)
	}
	s.send("DELETE", "/api/v1/views/shop%2Fnight", "").want(http.StatusNoContent)
	for _, r := range decode[web.AuditJSON](s.send("GET", "/api/v1/audit", "").want(http.StatusOK)).Records {
		if r.Subject != "shop/night" {
			t.Errorf("the record names %q: %+v", r.Subject, r)
		}
	}
}
