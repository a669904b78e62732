package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

func TestStoreURLs(t *testing.T) {
	for _, url := range []string{"file:data", "file:/var/lib/tocsin", "mem:", "redis://h", "redis://[::1]:7000/3?prefix=a", "rediss://u@h",
		"redis-sentinel://a,b:26380/mymaster?database=2", "rediss-sentinel://a/m", "redis-cluster://a,b:7001", "rediss-cluster://a"} {
		if got := mustLoad(t, "store: {url: '"+url+"'}"); got.Store.URL.Reveal() != url || len(got.Warnings) > 0 {
			t.Errorf("got %s and warnings %v, want %s and none", got.Store.URL, got.Warnings, url)
		}
	}
}

// TestStoreOfRedis reads a section with everything in it, from a folder of its own.
func TestStoreOfRedis(t *testing.T) {
	ca, cert, key := redistest.Certificates(t)
	dir := filepath.Dir(ca)
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("secret-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const text = `
store:
  url: rediss://redis.example.com
  username: tocsin
  password_file: password
  tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: redis}
  timeout: 750ms
  max_in_flight: 100
  durability: replicated
  replicas: 2
`
	c, err := Load([]byte(text), filepath.Join(dir, "tocsin.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Store.Password.Reveal(); got != "secret-word" {
		t.Errorf("password: got %q, want secret-word", got)
	}
	want := store.Config{URL: "rediss://redis.example.com", Username: "tocsin", Password: c.Store.Password, PasswordFile: "password",
		TLS: store.TLS{CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "redis"}, Timeout: model.Duration(750 * time.Millisecond),
		MaxInFlight: 100, Durability: "replicated", Replicas: 2}
	if c.Store != want || len(c.Warnings) > 0 {
		t.Errorf("got %+v and warnings %v, want %+v and none", c.Store, c.Warnings, want)
	}
	// A key that everybody can read is worth a word.
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err = Load([]byte(text), filepath.Join(dir, "tocsin.yml")); err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "key.pem can be read by every user") {
		t.Errorf("got %v and %v, want one warning about key.pem", c.Warnings, err)
	}
	// A certificate of another key is found before the start.
	_, _, other := redistest.Certificates(t)
	_, err = Load([]byte(strings.Replace(text, "key.pem", other, 1)), filepath.Join(dir, "tocsin.yml"))
	if err == nil || !strings.Contains(err.Error(), "tocsin.yml:6:37: store.tls.cert_file: tls: private key does not match public key") {
		t.Errorf("got %v, want a mistake at cert_file", err)
	}
}
