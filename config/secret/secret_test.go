package secret

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

func TestStringNeverShowsItsValue(t *testing.T) {
	const value = "hunter2-hunter2"
	type holder struct {
		Plain   String
		Pointer *String
		Map     map[string]String
		List    []String
	}
	s := New(value)
	h := holder{s, &s, map[string]String{"a": s}, []String{s}}

	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		shown[verb] = fmt.Sprintf(verb, s) + fmt.Sprintf(verb, h) + fmt.Sprintf(verb, &h)
	}
	shown["error"] = fmt.Errorf("config: %v", s).Error()
	for name, marshal := range map[string]func(any) ([]byte, error){
		"encoding/json": stdjson.Marshal,
		"yaml":          yaml.Marshal,
		"go-json":       func(v any) ([]byte, error) { return json.Marshal(v) },
	} {
		out, err := marshal(h)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(string(out), "secret") {
			t.Errorf("%s: got %s, want something that says <secret>", name, out)
		}
		shown[name] = string(out)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("x", "s", s, "h", h)
		shown[name] = b.String()
	}
	for name, out := range shown {
		if strings.Contains(out, value) || strings.Contains(out, fmt.Sprintf("%x", value)) {
			t.Errorf("%s shows the secret: %s", name, out)
		}
	}
}

func TestStringReveals(t *testing.T) {
	if got := New("x").Reveal(); got != "x" {
		t.Errorf("Reveal() = %q, want %q", got, "x")
	}
	if New("").IsSet() || !New("x").IsSet() {
		t.Error("IsSet: got true for no value or false for one")
	}
	if got := fmt.Sprint(New("")); got != "" {
		t.Errorf("an empty secret prints %q, want nothing", got)
	}
}
