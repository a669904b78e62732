// Package targettest has servers that check what they are sent as the real
// tools' documents say. A request that the real tool would refuse is refused
// with its error, and fails the test that did not expect it. Each server was
// first run against the notifier of the Alertmanager module, where there is one.
package targettest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Request is one request as it came.
type Request struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
	// Refused is what is wrong with it, empty if nothing is.
	Refused string
	// Failed is the status of a planned failure, 0 if there was none.
	Failed int
}

// Failure is an answer that has nothing to do with the request.
type Failure struct {
	// Status is answered. 0 ends the connection without an answer.
	Status     int
	RetryAfter time.Duration
	Body       string
	// After: the request is first acted on as if all were well.
	After bool
	// Hang waits until the client has gone.
	Hang bool
	// Arrived is called when the request has come; nil is not.
	Arrived func()
}

// Server is what all servers have.
type Server struct {
	*httptest.Server
	t testing.TB
	// handle checks a request and answers it; it returns what is wrong with it.
	handle func(w http.ResponseWriter, r *http.Request, body []byte) (refused string)

	mu       sync.Mutex
	requests []Request
	failures []Failure
	// passes is how many requests come before the failures.
	passes  int
	expects bool
	done    chan struct{}
}

// start serves until the test ends.
func (s *Server) start(t testing.TB, handle func(w http.ResponseWriter, r *http.Request, body []byte) (refused string)) {
	s.t, s.handle, s.done = t, handle, make(chan struct{})
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { close(s.done); s.CloseClientConnections(); s.Close() })
}

// Fail plans answers for the next requests.
func (s *Server) Fail(f ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, f...)
}

// FailAfter plans answers for the requests after the next n.
func (s *Server) FailAfter(n int, f ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes, s.failures = n, append(s.failures, f...)
}

// ExpectRefusals is for requests that are wrong on purpose: from now on a request that is wrong does not fail the test.
func (s *Server) ExpectRefusals() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expects = true
}

// Requests are those that came until now.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<20))
	if err != nil {
		return // the client has gone
	}
	one := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body}
	s.mu.Lock()
	var planned *Failure
	if s.passes > 0 {
		s.passes--
	} else if len(s.failures) > 0 {
		planned = &s.failures[0]
		s.failures = s.failures[1:]
	}
	expects := s.expects
	s.mu.Unlock()
	record := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, one)
	}
	if planned == nil || planned.After {
		answer := w
		if planned != nil {
			answer = httptest.NewRecorder()
		}
		one.Refused = s.handle(answer, r, body)
		if one.Refused != "" && !expects {
			s.t.Errorf("%s %s would be refused: %s\n%.2000s", r.Method, r.URL.Path, one.Refused, body)
		}
	}
	if planned == nil {
		record()
		return
	}
	one.Failed = planned.Status
	record()
	if planned.Arrived != nil {
		planned.Arrived()
	}
	switch {
	case planned.Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
	case planned.Status == 0:
		panic(http.ErrAbortHandler)
	default:
		if planned.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(planned.RetryAfter.Seconds())))
		}
		w.WriteHeader(planned.Status)
		_, _ = io.WriteString(w, planned.Body) // the client may have gone
	}
}
