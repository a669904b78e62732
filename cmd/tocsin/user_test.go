package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin-gateway/tocsin/config"
)

// TestUserHash: what it prints is a hash that the configuration takes.
func TestUserHash(t *testing.T) {
	hash := func(want int, input string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(context.Background(), []string{"user", "hash"}, strings.NewReader(input), &out, &errOut); code != want {
			t.Fatalf("exit %d, want %d: %s%s", code, want, &out, &errOut)
		}
		return out.String(), errOut.String()
	}
	out, _ := hash(0, "päßword of ann\r\nsecond line\n")
	text := strings.TrimSuffix(out, "\n")
	if err := bcrypt.CompareHashAndPassword([]byte(text), []byte("päßword of ann")); err != nil {
		t.Errorf("%q is not the hash of the first line: %v", text, err)
	}
	file := filepath.Join(t.TempDir(), "hash")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load([]byte("web: {users: [{name: ann, password_hash: "+text+", role: viewer}, {name: bob, password_hash_file: "+file+", role: admin}]}"), "t.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range c.Web.Users {
		if got := u.PasswordHash.Reveal(); got != text {
			t.Errorf("%s: got %q, want %q", u.Name, got, text)
		}
	}
	if shown := c.String(); strings.Contains(shown, text) {
		t.Error("the configuration shows the hash")
	}
	for input, want := range map[string]string{"": "shorter than 12", "12345678901\n": "shorter than 12", strings.Repeat("ü", 37): "longer than 72 bytes"} {
		if out, errOut := hash(1, input); out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%q: got %q and %q, want %q", input, out, errOut, want)
		}
	}
}

// TestProviderNeedsAnExternalURL: at the start, and so at a reload.
func TestProviderNeedsAnExternalURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tocsin.yml")
	if err := os.WriteFile(file, []byte("web: {oidc: {issuer: 'https://id.example.com', client_id: tocsin, default_role: viewer}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &server{configFile: file}
	if _, err := v.load(); err == nil || !strings.Contains(err.Error(), "--web.external-url") {
		t.Errorf("got %v, want it to ask for --web.external-url", err)
	}
	v.externalURL = "https://tocsin.example.com"
	if _, err := v.load(); err != nil {
		t.Error(err)
	}
}
