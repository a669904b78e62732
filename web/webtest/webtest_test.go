package webtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const problem = `{"type":"about:blank","title":"Not Found","status":404,"detail":"d","instance":"/x"}`

const letter = `{"id":"a","source":"s","format":"f","reason":"r","field":"","method":"POST","path":"/ingest/s","content_type":"","size":1,"cut":false,` +
	`"count":1,"first_at":"2026-11-21T03:00:00Z","last_at":null}`

// TestTheCheckerCanFail feeds it answers that are not documented.
func TestTheCheckerCanFail(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const jsonType = "application/json"
	for _, test := range []struct {
		name, method, target, sent string
		status                     int
		media, body, want          string
	}{
		{"fine", "GET", "/api/v1/version", "", 200, jsonType, `{"version":"1"}`, ""},
		{"fine, with parameters", "GET", "/api/v1/deadletters?limit=5000&cursor=", "", 200, jsonType, `{"deadletters":[` + letter + `],"next_cursor":""}`, ""},
		{"fine, a problem", "GET", "/api/v1/deadletters/x", "", 404, "application/problem+json", problem, ""},
		{"fine, no such path", "GET", "/api/v1/nothing", "", 404, "application/problem+json", problem, ""},
		{"an undocumented path", "GET", "/api/v1/nothing", "", 200, jsonType, `{}`, "not documented"},
		{"an undocumented method", "PUT", "/api/v1/version", "", 200, jsonType, `{}`, "not documented"},
		{"a 404 that is no problem document", "GET", "/api/v1/nothing", "", 404, "text/plain", `404`, "content type"},
		{"an undocumented status", "GET", "/api/v1/version", "", 418, jsonType, `{"version":"1"}`, "status is not supported"},
		{"an undocumented content type", "GET", "/api/v1/version", "", 200, "text/html", `{"version":"1"}`, "Content-Type"},
		{"an undocumented field", "GET", "/api/v1/version", "", 200, jsonType, `{"version":"1","more":1}`, "additional properties 'more' not allowed"},
		{"an undocumented field of a composed schema", "GET", "/api/v1/deadletters", "", 200, jsonType,
			`{"deadletters":[` + letter[:len(letter)-1] + `,"more":1}],"next_cursor":""}`, "/more': false schema"},
		{"a field that is missing", "GET", "/api/v1/version", "", 200, jsonType, `{}`, "version"},
		{"null where there is always something", "GET", "/api/v1/version", "", 200, jsonType, `{"version":null}`, "got null, want string"},
		{"a time that is none", "GET", "/api/v1/deadletters", "", 200, jsonType,
			`{"deadletters":[` + strings.Replace(letter, "2026-11-21T", "yesterday ", 1) + `],"next_cursor":""}`, "date-time"},
		{"an undocumented parameter", "GET", "/api/v1/version?x=1", "", 200, jsonType, `{"version":"1"}`, `parameter "x"`},
		{"an undocumented field of a request", "POST", "/api/v1/tokens", `{"rule":"admin"}`, 201, jsonType,
			`{"id":"a","name":"n","role":"admin","source":"","created_at":null,"token":"tcs_` + strings.Repeat("A", 43) + `"}`, "rule"},
		{"an undocumented body of a request", "POST", "/api/v1/deadletters/x/retry", `{}`, 200, jsonType,
			`{"received":0,"results":[],"removed":true}`, "body is not documented"},
		{"an undocumented body of an answer", "DELETE", "/api/v1/tokens/x", "", 204, jsonType, `{}`, "undocumented body"},
		{"a header that is missing", "GET", "/api/v1/version", "", 401, "application/problem+json", problem, "WWW-Authenticate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.sent))
			err := c.Check(r, []byte(test.sent), test.status, http.Header{"Content-Type": {test.media}}, []byte(test.body))
			if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if got := c.Missing("/api/v1/version", 400, 403, 429, 503); len(got) != 1 || got[0] != "GET /api/v1/version 401" {
		t.Errorf("missing: got %q, want only GET /api/v1/version 401", got)
	}
}
