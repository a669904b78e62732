package outgoing

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
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
	for _, text := range []string{"\n", strings.Repeat("x", secretLimit+1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var e *notify.Error
		if got, err := ReadSecret("", file); got != "" || !errors.As(err, &e) || e.Permanent || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%.10q: got %.10q, %v, want an error for a later attempt, without the content", text, got, err)
		}
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

func TestSecretIsReadAtEachMessage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	s := Secret{Setting: "routing_key", File: file}
	var e *notify.Error
	if _, err := s.Read(); !errors.As(err, &e) || e.Permanent || !strings.Contains(err.Error(), "routing_key_file") {
		t.Errorf("without a file: got %v, want an error that names the setting and may pass", err)
	}
	for _, text := range []string{"one\n", "two"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(); err != nil || got != strings.TrimSpace(text) {
			t.Errorf("Read() = %q, %v, want %q", got, err, strings.TrimSpace(text))
		}
	}
	for name, text := range map[string]string{"empty": " \n", "large": strings.Repeat("x", secretLimit+1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s file: got %v, want an error without the content", name, err)
		}
	}
}

func TestScrub(t *testing.T) {
	if got := Scrub(errors.New("a query: b%2Fc%26d, and hunter2hunter2"), "hunter2", "b/c&d", "hunter2hunter2").Error(); got != "a query: <secret>, and <secret>" {
		t.Errorf("got %s", got)
	}
	in := &notify.Error{Reason: notify.ReasonAuth, RetryAfter: time.Minute, Err: errors.New("answered 401: no key a/b c, nor a%2Fb%20c")}
	out := Scrub(in, "", "a/b c")
	var e *notify.Error
	if !errors.As(out, &e) || e.Reason != in.Reason || e.RetryAfter != in.RetryAfter || e.Error() != "answered 401: no key <secret>, nor <secret>" {
		t.Errorf("Scrub() = %#v", out)
	}
	if got := Scrub(in, "other"); got != error(in) {
		t.Errorf("Scrub() without a secret in it = %v, want the same error", got)
	}
	if Scrub(nil, "x") != nil {
		t.Error("Scrub(nil) is not nil")
	}
}

// TestHTTPConfigIsHidden: what stands in an http_config is in no error.
func TestHTTPConfigIsHidden(t *testing.T) {
	for name, c := range map[string]*commoncfg.HTTPClientConfig{
		"bearer token":  {BearerToken: "hunter2"},
		"basic auth":    {BasicAuth: &commoncfg.BasicAuth{Username: "ann", Password: "hunter2"}},
		"authorization": {Authorization: &commoncfg.Authorization{Credentials: "hunter2"}},
		"oauth2":        {OAuth2: &commoncfg.OAuth2{ClientID: "ann", ClientSecret: "hunter2", TokenURL: "http://127.0.0.1:1/"}},
		"header":        {HTTPHeaders: &commoncfg.Headers{Headers: map[string]commoncfg.Header{"X": {Secrets: []commoncfg.Secret{"hunter2"}}}}},
	} {
		client, err := New(c, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := client.Refused(Answer{Status: http.StatusBadRequest, Body: []byte("no hunter2 here")}, "").Error(); !strings.HasSuffix(got, ": no <secret> here") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// TestWhatIsCapturedHasNoSecrets: neither those of the client nor those of the message.
func TestWhatIsCapturedHasNoSecrets(t *testing.T) {
	c, err := New(nil, nil, "first")
	if err != nil {
		t.Fatal(err)
	}
	var look notify.Capture
	_, err = c.JSON(notify.WithCapture(t.Context(), &look), "POST", "http://127.0.0.1:1/", map[string]string{"a": "first", "b": "an\"other", "c": "third"})
	if err := Scrub(err, `an"other`); !errors.Is(err, notify.ErrCaptured) {
		t.Errorf("got %v", err)
	}
	for _, s := range []string{"first", "other"} {
		if strings.Contains(string(look.Body), s) {
			t.Errorf("got %s, want it without %s", look.Body, s)
		}
	}
	if !strings.Contains(string(look.Body), "third") {
		t.Errorf("got %s", look.Body)
	}
}

// TestGuardOfACapture: who only looks makes no connection.
func TestGuardOfACapture(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nobody was let in
	dial := Guard(nil)
	if _, err := dial(notify.WithCapture(t.Context(), &notify.Capture{}), "tcp", l.Addr().String()); !errors.Is(err, notify.ErrCaptured) {
		t.Errorf("got %v, want %v", err, notify.ErrCaptured)
	}
	c, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
