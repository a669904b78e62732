package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var aToken = regexp.MustCompile(`^tcs_[A-Za-z0-9_-]{43}\n$`)

func TestTokenCommands(t *testing.T) {
	f := newFixture(t, "")
	value := f.run(nil, 0, "token", "create", "--role=admin", "--name=ann")
	if !aToken.MatchString(value) {
		t.Fatalf("standard output is %q, want a token and nothing else", value)
	}
	f.run(nil, 1, "token", "list")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(nil, 0, "token", "create", "--source=alertmanager", "--token-file="+file)
	t.Setenv("TOCSIN_TOKEN", strings.TrimSpace(value))
	f.run(nil, 0, "incident", "list")
	list := f.run(nil, 0, "token", "list")
	if lines := strings.Split(list, "\n"); len(lines) != 4 || !strings.Contains(list, "ann") || !strings.Contains(list, "alertmanager") || strings.Contains(list, strings.TrimSpace(value)) {
		t.Errorf("token list: got\n%s", list)
	}
	for line := range strings.Lines(list) {
		if id := strings.Fields(line)[0]; strings.Contains(line, "alertmanager") {
			f.run(nil, 0, "token", "delete", id)
			f.run(nil, 1, "token", "delete", id)
		}
	}
	var out bytes.Buffer
	f.run(&out, 2, "token", "create")
	f.run(&out, 2, "token", "create", "--role=root")
	f.run(&out, 2, "token", "create", "--role=viewer", "--source=prometheus")
	f.run(&out, 1, "token", "create", "--role=viewer", "--name=tocsin")
	t.Setenv("TOCSIN_TOKEN", "wrong")
	f.run(&out, 1, "token", "list")
	t.Setenv("TOCSIN_TOKEN", strings.TrimSpace(value))
	f.golden("token.golden", &out)
}

// TestTokensOfAStoppedGateway works on the store itself.
func TestTokensOfAStoppedGateway(t *testing.T) {
	url := "--store.url=file:" + filepath.Join(t.TempDir(), "data")
	tocsin := func(want int, args ...string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(context.Background(), append(args, url), strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("tocsin %q: exit %d, want %d: %s%s", args, code, want, &out, &errOut)
		}
		return out.String(), errOut.String()
	}
	if value, _ := tocsin(0, "token", "create", "--role=viewer"); !aToken.MatchString(value) {
		t.Errorf("got %q, want a token", value)
	}
	list, _ := tocsin(0, "token", "list")
	id := strings.Fields(strings.Split(list, "\n")[1])[0]
	tocsin(0, "token", "delete", id)
	if _, said := tocsin(1, "token", "delete", id); !strings.Contains(said, "there is no token "+id) {
		t.Errorf("got %q", said)
	}
	if _, said := tocsin(0, "token", "list"); said != "no tokens\n" {
		t.Errorf("got %q, want no tokens", said)
	}
}
