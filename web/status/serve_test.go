package status

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestHeaders: what a browser and a cache need to know, and no more.
func TestHeaders(t *testing.T) {
	d := newDesk(t, shop())
	d.shelf.put(opened(1, "shop-internal", said(10, incident.Investigating, "orders fail")))
	d.after(0)
	for path, mediaType := range map[string]string{"/": "text/html; charset=utf-8", "/status": "text/html; charset=utf-8", "/status.json": "application/json",
		"/status/feed.atom": "application/atom+xml; charset=utf-8", "/status/feed.rss": "application/rss+xml; charset=utf-8", "/status/assets/status.css": "text/css; charset=utf-8"} {
		w := d.get(path)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != mediaType || h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) || !strings.HasPrefix(h.Get("Cache-Control"), "public, max-age=5,") {
			t.Errorf("%s: got %d %v", path, w.Code, h)
		}
		if h.Get("Content-Security-Policy") != contentPolicy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: got %v", path, h)
		}
		for name := range h {
			if slices.Contains([]string{"Set-Cookie", "Server", "Access-Control-Allow-Origin"}, name) {
				t.Errorf("%s: has the header %s", path, name)
			}
		}
		if head := d.send(http.MethodHead, path); head.Body.Len() != 0 || head.Header().Get("Content-Length") != h.Get("Content-Length") || head.Header().Get("ETag") != h.Get("ETag") {
			t.Errorf("HEAD %s: got %v", path, head.Header())
		}
	}
	if w := d.get("/" + stylePath()); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != cachedForever {
		t.Errorf("the style sheet: got %d %v", w.Code, w.Header())
	}
	d.has(d.text("/status"), `href="`+stylePath()+`"`)
	if w := d.get("/status/"); w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != "../status" {
		t.Errorf("/status/: got %d %v", w.Code, w.Header())
	}
	if w := d.get("/status/none"); w.Code != http.StatusNotFound || w.Header().Get("ETag") != "" || !strings.Contains(w.Body.String(), "There is nothing here") {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/api/v1/incidents", "/metrics", "/-/healthy", "/ingest/events"} {
		if w := d.get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s on the listener of the page: got %d", path, w.Code)
		}
	}
	if w := d.send(http.MethodPost, "/status"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d %v", w.Code, w.Header())
	}
}

// TestNotModified: who has the page is told so, until something changes.
func TestNotModified(t *testing.T) {
	d := newDesk(t, shop())
	d.after(0)
	for _, encoding := range []string{"", "gzip"} {
		first := d.get("/status", "Accept-Encoding", encoding).Header()
		for _, test := range []struct {
			name, value string
			want        int
		}{
			{"If-None-Match", first.Get("ETag"), 304}, {"If-None-Match", `"x", W/` + first.Get("ETag"), 304}, {"If-None-Match", "*", 304}, {"If-None-Match", `"x"`, 200},
			{"If-Modified-Since", first.Get("Last-Modified"), 304}, {"If-Modified-Since", "Sat, 21 Nov 1998 12:00:00 GMT", 200}, {"If-Modified-Since", "yesterday", 200},
		} {
			w := d.get("/status", test.name, test.value, "Accept-Encoding", encoding)
			if w.Code != test.want || test.want == 304 && (w.Body.Len() > 0 || w.Header().Get("ETag") != first.Get("ETag") || w.Header().Get("Content-Length") != "") {
				t.Errorf("%q, %s: %s: got %d %v, want %d", encoding, test.name, test.value, w.Code, w.Header(), test.want)
			}
		}
		d.after(time.Minute)
		if again := d.get("/status", "Accept-Encoding", encoding).Header(); again.Get("ETag") != first.Get("ETag") || again.Get("Last-Modified") != first.Get("Last-Modified") {
			t.Errorf("a minute later, nothing has happened: got %v, want %v", again, first)
		}
	}
	first := d.get("/status").Header().Get("ETag")
	d.shelf.put(opened(1, "shop-internal", said(10, incident.Investigating, "orders fail")))
	if w := d.after(time.Second).get("/status", "If-None-Match", first); w.Code != http.StatusOK {
		t.Errorf("something has happened: got %d", w.Code)
	}
}

func TestTakesGzip(t *testing.T) {
	for header, want := range map[string]bool{"gzip": true, "br, GZIP": true, "gzip;q=0.5": true, "deflate, gzip; q = 1": true, "*": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.0, br": false, "identity": false, "gzip;q=x": false, "xgzip": false} {
		if got := takesGzip([]string{header}); got != want {
			t.Errorf("%q: got %v", header, got)
		}
	}
}

// silent is a http.ResponseWriter for benchmarks.
type silent struct{ header http.Header }

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) Write(b []byte) (int, error) { return len(b), nil }
func (s *silent) WriteHeader(int)             {}

// BenchmarkPage is what a request costs without the network.
func BenchmarkPage(b *testing.B) {
	d := busy(b, 20)
	tag := d.get("/status", "Accept-Encoding", "gzip").Header().Get("ETag")
	for name, headers := range map[string][]string{"plain": nil, "gzip": {"Accept-Encoding", "gzip"}, "not modified": {"Accept-Encoding", "gzip", "If-None-Match", tag}} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/status", nil)
			for n := 0; n < len(headers); n += 2 {
				r.Header.Set(headers[n], headers[n+1])
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := &silent{http.Header{}}
				for pb.Next() {
					clear(w.header)
					d.page.ServeHTTP(w, r)
				}
			})
		})
	}
}

// BenchmarkEdition is what making the page costs, with as much on it as there can be.
func BenchmarkEdition(b *testing.B) {
	d := busy(b, ongoingShown+pastShown)
	c := d.page.config.Load()
	s := c.summary(d.page.known, nil, noon, time.Time{})
	for b.Loop() {
		if _, err := newEdition(c, s, nil, noon, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// busy is a page with n incidents, half of them over.
func busy(b testing.TB, n int) *desk {
	d := newDesk(b, shop())
	for k := range n {
		i := opened(k, "shop-internal", said(10, incident.Investigating, "orders fail "+fmt.Sprint(k)), said(20, incident.Mitigating, strings.Repeat("we are working on it ", 10)))
		i.ID[7] = byte(k >> 8)
		if k%2 == 0 {
			i.State, i.ResolvedAt = incident.Resolved, noon
		}
		d.shelf.put(i)
	}
	return d.after(0)
}
