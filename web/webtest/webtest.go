// Package webtest checks in tests that every request and answer is as
// openapi.yaml says: an undocumented path, parameter, status, content type or
// field fails the test.
package webtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/tocsin-gateway/tocsin/web"
)

// document is loaded once: it is the same for all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(web.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("webtest: openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("webtest: openapi.yaml: %w", err)
	}
	return doc, nil
})

// Checker checks pairs of requests and answers. It may be used by several
// goroutines.
type Checker struct {
	doc     *openapi3.T
	schemas *schemas

	mu   sync.Mutex
	seen map[string]bool
}

// New returns a Checker over openapi.yaml.
func New() (*Checker, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	s, err := compiledSchemas()
	if err != nil {
		return nil, err
	}
	return &Checker{doc: doc, schemas: s, seen: map[string]bool{}}, nil
}

// Handler returns a handler that does what h does and reports to t whatever is
// not documented.
func Handler(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c.Handler(t, h)
}

// Handler is like the function Handler, for several handlers with one Checker.
func (c *Checker) Handler(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("webtest: %s %s: body: %v", r.Method, r.URL.Path, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		kept := r.Clone(context.WithoutCancel(r.Context())) // handlers change theirs
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
		answer := recorder.Result()
		if err := c.Check(kept, body, answer.StatusCode, answer.Header, recorder.Body.Bytes()); err != nil {
			t.Errorf("webtest: %v", err)
		}
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(recorder.Body.Bytes()) // a client that is gone is not our business
	})
}

// Transport returns a transport that does what base (nil: the usual one) does
// and reports to t whatever is not documented. Answers are read whole.
func Transport(t testing.TB, base http.RoundTripper) http.RoundTripper {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{c, t, base}
}

type transport struct {
	c    *Checker
	t    testing.TB
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (x *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it is read
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	answer, err := x.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it is read
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if err := x.c.Check(r, sent, answer.StatusCode, answer.Header, body); err != nil {
		x.t.Errorf("webtest: %v", err)
	}
	return answer, nil
}

// Check says what of a request and its answer is not documented.
func (c *Checker) Check(r *http.Request, sent []byte, status int, header http.Header, body []byte) error {
	pair := fmt.Sprintf("%s %s → %d", r.Method, r.URL.Path, status)
	route, params := c.find(r.Method, r.URL.EscapedPath())
	if route == nil {
		if err := c.undocumented(status, header, body); err != nil {
			return fmt.Errorf("%s: %w", pair, err)
		}
		return nil
	}
	input := &openapi3filter.RequestValidationInput{Request: request(r, sent), PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true}}
	if status < 300 {
		if err := c.request(input, r, sent); err != nil {
			return fmt.Errorf("%s: the request: %w", pair, err)
		}
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header, Options: input.Options}
	answer.SetBodyBytes(body)
	documented := route.Operation.Responses.Status(status)
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	bySchema := documented != nil && r.Method != http.MethodHead && isJSON(documented.Value.Content, media)
	answer.Options.ExcludeResponseBody = bySchema
	err := openapi3filter.ValidateResponse(r.Context(), answer)
	if err == nil && bySchema {
		err = c.schemas.check(place(documented.Ref, route.Path, strings.ToLower(r.Method), "responses", strconv.Itoa(status)), media, body)
	}
	if err != nil {
		return fmt.Errorf("%s: the answer: %w; it is %.2000s", pair, err, body)
	}
	if len(body) > 0 && r.Method != http.MethodHead && len(documented.Value.Content) == 0 {
		return fmt.Errorf("%s: the answer has an undocumented body: %.2000s", pair, body)
	}
	c.mu.Lock()
	c.seen[fmt.Sprintf("%s %s %d", r.Method, route.Path, status)] = true
	c.mu.Unlock()
	return nil
}

// request checks what was sent with success. Bodies that are not said to be JSON
// are read as JSON all the same, so they are checked as such.
func (c *Checker) request(input *openapi3filter.RequestValidationInput, r *http.Request, sent []byte) error {
	for name := range r.URL.Query() {
		in := func(p *openapi3.ParameterRef) bool {
			return p.Value.In == openapi3.ParameterInQuery && p.Value.Name == name
		}
		if !slices.ContainsFunc(input.Route.Operation.Parameters, in) && !slices.ContainsFunc(input.Route.PathItem.Parameters, in) {
			return fmt.Errorf("the parameter %q is not documented", name)
		}
	}
	described := input.Route.Operation.RequestBody
	switch {
	case described == nil && len(bytes.TrimSpace(sent)) > 0:
		return errors.New("a body is not documented")
	case described == nil:
	case described.Value.Content["application/json"] == nil || len(bytes.TrimSpace(sent)) == 0 && !described.Value.Required:
		input.Options.ExcludeRequestBody = true
	default:
		if media, _, err := mime.ParseMediaType(input.Request.Header.Get("Content-Type")); err != nil || described.Value.Content[media] == nil {
			input.Request.Header.Set("Content-Type", "application/json")
		}
		media, _, _ := mime.ParseMediaType(input.Request.Header.Get("Content-Type"))
		if input.Options.ExcludeRequestBody = isJSON(described.Value.Content, media); input.Options.ExcludeRequestBody {
			if err := c.schemas.check(place(described.Ref, input.Route.Path, strings.ToLower(r.Method), "requestBody"), media, sent); err != nil {
				return err
			}
		}
	}
	return openapi3filter.ValidateRequest(r.Context(), input)
}

// request returns a copy of r with a body that can be read.
func request(r *http.Request, body []byte) *http.Request {
	out := r.Clone(r.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	return out
}

// undocumented checks the answer to a path or method that openapi.yaml does not
// have: it must be a refusal.
func (c *Checker) undocumented(status int, header http.Header, body []byte) error {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusForbidden, http.StatusServiceUnavailable:
	default:
		return errors.New("the path or method is not documented")
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != "application/problem+json" {
		return fmt.Errorf("a refusal has the content type %q, want a problem document", header.Get("Content-Type"))
	}
	input := &openapi3filter.ResponseValidationInput{Status: 404, Header: header,
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: httptest.NewRequest(http.MethodGet, "/", nil), Route: &routers.Route{
			Spec: c.doc, Operation: &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(404, c.doc.Components.Responses["NotFound"]))}}}}
	input.SetBodyBytes(body)
	return openapi3filter.ValidateResponse(context.Background(), input)
}

// find returns the documented operation of a path, nil if there is none.
func (c *Checker) find(method, path string) (*routers.Route, map[string]string) {
	// Of the templates that fit, the one with the fewest variables is meant.
	var best string
	var params map[string]string
	for _, template := range c.doc.Paths.InMatchingOrder() {
		if found, ok := match(template, path); ok && (best == "" || len(found) < len(params)) {
			best, params = template, found
		}
	}
	if best == "" {
		return nil, nil
	}
	item := c.doc.Paths.Value(best)
	operation := item.GetOperation(method)
	if operation == nil {
		return nil, nil
	}
	return &routers.Route{Spec: c.doc, Path: best, PathItem: item, Method: method, Operation: operation}, params
}

func match(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params := map[string]string{}
	for i := range want {
		name, variable := strings.CutPrefix(want[i], "{")
		value, err := url.PathUnescape(got[i]) // a slash in a value is no slash of the path
		switch {
		case err != nil:
			return nil, false
		case variable && value != "":
			params[strings.TrimSuffix(name, "}")] = value
		case want[i] != got[i]:
			return nil, false
		}
	}
	return params, true
}

// Documents reports whether the status is documented for a request.
func (c *Checker) Documents(method, path string, status int) bool {
	route, _ := c.find(method, path)
	return route != nil && route.Operation.Responses.Status(status) != nil
}

// Missing lists the documented answers below a path prefix that were never
// given, as "GET /path 200", but for those with a status in except.
func (c *Checker) Missing(prefix string, except ...int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for path, item := range c.doc.Paths.Map() {
		if !strings.HasPrefix(path, prefix) {
			continue
		}
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				name := method + " " + path + " " + status
				if !c.seen[name] && !slices.ContainsFunc(except, func(n int) bool { return fmt.Sprint(n) == status }) {
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}
