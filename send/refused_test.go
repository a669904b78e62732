package send

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The gateway's token was exchanged (401), or its source is away for a moment (404):
// what comes meanwhile is set aside as if it were bad, and is not delivered
// when all is well again.
func TestRefusedForAWhile(t *testing.T) {
	code, got := http.StatusUnauthorized, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if w.WriteHeader(code); code == 200 {
			got++
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	sender := &Sender{URL: s.URL, Spool: dir, Timeout: 10 * time.Second, Token: func() (string, error) { return "t", nil }, Warn: t.Logf}
	m := Message{Source: "nagios", ContentType: "application/json", Body: []byte("{}")}
	r := sender.Send(t.Context(), m) // the problem
	code = 200
	sender.Send(t.Context(), m) // something else, later
	if got != 2 {
		aside, _ := os.ReadDir(filepath.Join(dir, rejected))
		t.Errorf("result %v; %d of 2 were delivered, %d lie in %s until somebody looks", r, got, len(aside), rejected)
	}
}
