package wire

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func TestCut(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{
		{"", 5, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"},
		{"😀😀", 4, "😀😀"}, {"😀😀😀", 4, "😀…"}, {"a😀😀", 4, "a😀…"}, {"abc", 0, "…"},
	} {
		if got := Cut(test.text, test.n); got != test.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.text, test.n, got, test.want)
		}
	}
	for _, text := range targettest.HostileTexts() {
		for _, n := range []int{1, 10, 299, 300, 1024} {
			got := Cut(Clean(text), n)
			if Length(got) > n || !utf8.ValidString(got) {
				t.Errorf("Cut(%.20q, %d) has %d characters: %.40q", text, n, Length(got), got)
			}
		}
	}
}

func TestClean(t *testing.T) {
	got := Clean("a\r\nb\tc\x00\x1b[31m \u202ered\u202c \xff\u2028d\ufeff")
	if want := "a\nb\tc[31m red \uFFFD\nd"; got != want {
		t.Errorf("Clean() = %q, want %q", got, want)
	}
}

func TestUntagged(t *testing.T) {
	for text, want := range map[string]string{"a < b, x <5%": "a < b, x <5%", "<b>x</b>": "‹b>x‹/b>", "<!-- x": "‹!-- x", "cut <": "cut ‹", "<\u200bscript>": "‹script>"} {
		if got := Untagged(text); got != want {
			t.Errorf("Untagged(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	if got := Line(" a\r\nb\tc " + strings.Repeat("x", 400)); got != "a b c "+strings.Repeat("x", 400) {
		t.Errorf("Line() = %q", got)
	}
}

func TestValueAlwaysEncodes(t *testing.T) {
	var deep any = "x"
	for range 100 {
		deep = []any{deep}
	}
	in := map[string]any{"nan": math.NaN(), "inf": math.Inf(-1), "text\xff": "a\xffb", "deep": deep, "time": time.Unix(0, 0).UTC(), "list": []any{1, true, nil}, "odd": struct{ A int }{1}}
	out, err := json.Marshal(Value(in))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"nan":"NaN"`, `"inf":"-Inf"`, "\"text\uFFFD\":\"a\uFFFDb\"", `"list":[1,true,null]`, `"odd":"{1}"`, `"time":"1970-01-01T00:00:00Z"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("Value() encodes to %s, want %s in it", out, want)
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

func TestHTTPSecrets(t *testing.T) {
	c := &commoncfg.HTTPClientConfig{BearerToken: "one", BasicAuth: &commoncfg.BasicAuth{Password: "two"}, Authorization: &commoncfg.Authorization{Credentials: "three"},
		OAuth2: &commoncfg.OAuth2{ClientSecret: "four"}, HTTPHeaders: &commoncfg.Headers{Headers: map[string]commoncfg.Header{"X": {Secrets: []commoncfg.Secret{"five"}}}}}
	if got := strings.Join(HTTPSecrets(c), " "); got != "one two three four five" {
		t.Errorf("HTTPSecrets() = %s", got)
	}
	if HTTPSecrets(nil) != nil {
		t.Error("HTTPSecrets(nil) is not nil")
	}
}

func TestFooterFitsTheState(t *testing.T) {
	for event, want := range map[notify.Event]string{
		notify.Opened:       "Open INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\nAcknowledge: https://tocsin.example.com/a/ack-token\nResolve: https://tocsin.example.com/a/resolve-token\n",
		notify.Acknowledged: "alice works on it\nOpen INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\nResolve: https://tocsin.example.com/a/resolve-token\n",
		notify.Resolved:     "Resolved by tocsin\nOpen INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\n",
	} {
		if got := Footer(targettest.Message(event)); got != want {
			t.Errorf("%s: got %q, want %q", event, got, want)
		}
	}
	long := WithFooter(strings.Repeat("x", 500), "the end", 100)
	if Length(long) > 100 || !strings.HasSuffix(long, "x…\n\nthe end") {
		t.Errorf("WithFooter() = %q", long)
	}
}
