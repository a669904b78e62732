package targettest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
)

// Generic takes one JSON object (RFC 8259, and RFC 7493: no member twice) with
// each request that has the right credentials, and each Idempotency-Key once.
type Generic struct {
	Server
	// Token is what Authorization has to be.
	Token string
	seen  map[string]bool
	taken []map[string]any
}

// NewGeneric starts a Generic.
func NewGeneric(t testing.TB) *Generic {
	s := &Generic{Token: "Bearer generic-token", seen: map[string]bool{}}
	s.start(t, s.handle)
	return s
}

// Taken are the objects, those that were sent again not twice.
func (s *Generic) Taken() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

func (s *Generic) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	if r.Header.Get("Authorization") != s.Token {
		return answer(w, http.StatusUnauthorized, nil, "the token is wrong")
	}
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return answer(w, http.StatusBadRequest, nil, "no JSON object")
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return answer(w, http.StatusUnsupportedMediaType, nil, "not called JSON")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := r.Header.Get("Idempotency-Key"); !s.seen[key] {
		s.seen[key] = true
		s.taken = append(s.taken, object)
	}
	return answer(w, http.StatusOK, map[string]string{}, "")
}
