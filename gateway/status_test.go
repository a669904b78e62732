package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/testbubble"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

const openToAll = `
services: [{name: shop-internal}]
status: {enabled: true, external_url: "https://status.example.com", components: [{name: Web shop, services: [shop-internal]}]}
maintenance:
  - {name: secret name, matchers: ['service="shop-internal"'], from: 2000-01-08 22:00, to: 2000-01-09 04:00, announced_on: "2000-01-01", owner: secret owner,
     comment: secret comment, public: {text: The shop is read-only., components: [Web shop]}}
process:
  customers: [{name: Acme}]
  communication: [{match: ['severity="critical"'], signature: true}]
` + oneDesk

// visitor is somebody on the internet, whose requests are held against the OpenAPI
// document.
type visitor struct {
	t       *testing.T
	handler http.Handler
}

// get asks as a browser does that shows another web page, at another name.
func (v *visitor) get(path string, status int) string {
	v.t.Helper()
	r := httptest.NewRequest("GET", "http://status.example.com"+path, nil)
	r.Header.Set("Origin", "https://elsewhere.example.com")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	if w.Code != status {
		v.t.Fatalf("GET %s: got %d %s, want %d", path, w.Code, w.Body, status)
	}
	return w.Body.String()
}

// TestStatusPage: what a gateway shows to everybody, on its main listener and on one
// that has nothing else.
func TestStatusPage(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, openToAll)
		defer o.stop()
		everybody := &visitor{t, webtest.Handler(t, o.g.Engine)}
		synctest.Wait()
		o.do("POST", "/ingest/events", `{"name":"SecretAlert","host":"secret-host","severity":"critical","service":"shop-internal","summary":"secret summary"}`)
		ref := o.reference()
		o.said(ref, "note", `{"by":"secret-ann","text":"secret note"}`)
		o.said(ref, "update", `{"by":"secret-ann","what":"secret words"}`)
		o.said(ref, "updates/1/sign", `{"by":"secret-ben"}`)
		o.said(ref, "update", `{"by":"secret-ann","what":"Orders fail.","public":true,"forecast":"an hour","analysis":"secret analysis","contact":"secret-contact"}`)
		o.said(ref, "children", `{"by":"secret-ann","customer":"Acme","title":"secret child"}`)
		all := func() (text string) {
			for _, path := range []string{"/status", "/status.json", "/status/feed.atom", "/status/feed.rss"} {
				text += everybody.get(path, 200)
			}
			return text
		}
		wantQuiet := func() {
			t.Helper()
			for _, word := range []string{"ecret", "shop-internal", "Acme", ref, "INC-"} {
				if text := all(); strings.Contains(text, word) {
					t.Errorf("everybody reads %q: %s", word, text)
				}
			}
		}
		o.at(5 * time.Second)
		if text := all(); strings.Contains(text, "Orders fail.") || !strings.Contains(text, "All services are operational") || !strings.Contains(text, "The shop is read-only.") {
			t.Errorf("nobody has signed it: %s", text)
		}
		wantQuiet()
		o.said(ref, "updates/2/sign", `{"by":"secret-ben"}`)
		o.at(10 * time.Second)
		text := all()
		if strings.Count(text, "Orders fail.") != 4 || !strings.Contains(text, "Major outage") || !strings.Contains(text, "an hour") {
			t.Errorf("5 s after it was signed: %s", text)
		}
		wantQuiet()
		id := regexp.MustCompile(`status/incidents/([a-z2-7]{16})`).FindString(text)
		if page := everybody.get("/"+id, 200); !strings.Contains(page, "Orders fail.") || strings.Contains(page, "ecret") {
			t.Errorf("got %s", page)
		}
		o.said(ref, "resolve", `{"by":"secret-ann"}`)
		o.at(15 * time.Second)
		if text := all(); !strings.Contains(text, "All services are operational") || !strings.Contains(text, "Web shop: resolved") {
			t.Errorf("it is over: %s", text)
		}
		wantQuiet()
		everybody.get("/status/incidents/aaaaaaaaaaaaaaaa", 404)
		everybody.get("/status/assets/status.css", 200)
		everybody.get("/metrics", 403) // all else is as it was

		// On its own listener it is not here any more.
		o.next = strings.Replace(openToAll, "enabled: true,", "enabled: true, listen_address: '127.0.0.1:0',", 1)
		o.do("POST", "/-/reload", "")
		o.at(20 * time.Second)
		everybody.get("/status", 403)
		alone := &visitor{t, o.g.Status}
		if page := alone.get("/", 200); !strings.Contains(page, "Orders fail.") {
			t.Errorf("got %s", page)
		}
		for _, path := range []string{"/metrics", "/-/ready", "/api/v1/incidents", "/incidents/" + ref, "/assets/console.css", "/a/x"} {
			alone.get(path, 404)
		}
		o.next = strings.Replace(openToAll, "enabled: true,", "enabled: false,", 1)
		o.do("POST", "/-/reload", "")
		alone.get("/status", 404)
	})
}

// TestNoStatusPage: without a word in the configuration there is none.
func TestNoStatusPage(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/status", "/status.json", "/status/feed.atom", "/status/assets/status.css"} {
		if code, body := f.do("GET", path, ""); code != 404 || !strings.Contains(body, "there is nothing at this address") {
			t.Errorf("%s: got %d %s", path, code, body)
		}
	}
}
