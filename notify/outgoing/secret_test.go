package outgoing

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWith hides more, and changes nothing for the client it comes from.
func TestWith(t *testing.T) {
	c, err := New(nil, nil, "first")
	if err != nil {
		t.Fatal(err)
	}
	d := c.With("second", "")
	a := Answer{Status: http.StatusBadRequest, Body: []byte("first second third")}
	if got := d.Refused(a, "").Error(); !strings.HasSuffix(got, ": <secret> <secret> third") {
		t.Errorf("got %s", got)
	}
	if got := c.Refused(a, "").Error(); !strings.HasSuffix(got, ": <secret> second third") {
		t.Errorf("got %s", got)
	}
}

func TestReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if got, err := ReadSecret("inline", ""); got != "inline" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ReadSecret("", file); err == nil {
		t.Error("no file, but no error")
	}
	for _, text := range []string{"one\n", " two "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadSecret("", file); got != strings.TrimSpace(text) || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}
