package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// FuzzCommand: whatever the body and the header are, the answer is documented
// and no server error.
func FuzzCommand(f *testing.F) {
	for _, body := range []string{`{"by":"ann","text":"t","at":"2026-11-21T03:00:00Z"}`, `{"by":1}`, `[[`, `{"a":{"b":"\ud800"}}`, "\xff", ``} {
		f.Add(body, `"1"`)
	}
	f.Fuzz(func(t *testing.T, body, version string) {
		s := newServer(t)
		id := s.accept(s.firing("DiskFull", "db"))
		if a := s.send("POST", "/api/v1/incidents/"+id+"/note", body, "If-Match", version); a.status >= 500 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a := s.send("POST", "/api/v1/incidents", body); a.status >= 500 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// FuzzQuery: whatever the query is, the answer is documented and no server error.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"state=open&limit=5", "from=2026-11-21T03:00:00 01:00&cursor=AAAA", "q=%zz;", "limit=99999999999999999999", "to=0000-01-01T00:00:00Z&from=9999-12-31T23:59:59Z"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		s := newServer(t)
		s.accept(s.firing("DiskFull", "db"))
		r := httptest.NewRequest(http.MethodGet, "/api/v1/incidents", nil)
		r.Host, r.URL = s.host, &url.URL{Path: "/api/v1/incidents", RawQuery: q}
		w := httptest.NewRecorder()
		s.engine.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("got %d %s, want 200 or 400", w.Code, w.Body)
		}
	})
}

// FuzzProtect: a host that is let in without authentication is one of this machine.
func FuzzProtect(f *testing.F) {
	for _, host := range []string{"localhost:1", "[::1]", "127.0.0.1", "127.1", "0x7f.1", "localhost.", "[::1", "::1", "a@localhost", "localhost:80:80"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		s := newServer(t)
		engine := gin.New()
		engine.Use(s.api.Protect())
		engine.GET("/", func(c *gin.Context) { c.Status(http.StatusOK) })
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r)
		name := strings.ToLower(strings.Trim(strings.Split(host, "]")[0], "["))
		loopback := strings.HasPrefix(name, "localhost") || strings.HasPrefix(name, "127.") || strings.Trim(name, "0:") == "1"
		if w.Code == http.StatusOK && !loopback {
			t.Errorf("host %q is let in", host)
		}
	})
}
