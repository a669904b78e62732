package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config"
)

func TestAdminToken(t *testing.T) {
	good := strings.Repeat("k", adminTokenLength)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" "+good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server    server
		want, err string
	}{
		"none":                {server{}, "", ""},
		"with a line's end":   {server{adminToken: good + "\n"}, good, ""},
		"nothing but space":   {server{adminToken: "  "}, "", "nothing but space"},
		"file":                {server{adminTokenFile: file}, good, ""},
		"file before a value": {server{adminTokenFile: file, adminToken: "other"}, good, ""},
		"blank file":          {server{adminTokenFile: blank}, "", "is empty"},
		"no such file":        {server{adminTokenFile: file + "x"}, "", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.server.admin(config.Default())
			if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %q, %v, want %q, %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestMayListen(t *testing.T) {
	address := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, c := range map[string]struct {
		server    server
		address   string
		protected bool
		ok        bool
	}{
		"loopback":              {server{}, "127.0.0.1:9095", false, true},
		"loopback, version 6":   {server{}, "[::1]:9095", false, true},
		"everywhere":            {server{}, "0.0.0.0:9095", false, false},
		"everywhere, version 6": {server{}, "[::]:9095", false, false},
		"one address":           {server{}, "192.0.2.1:9095", false, false},
		"with authentication":   {server{}, "0.0.0.0:9095", true, true},
		"allowed on purpose":    {server{allowUnauthenticated: true}, "0.0.0.0:9095", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.server.mayListen(address(c.address), c.protected)
			if (err == nil) != c.ok {
				t.Errorf("got %v, want ok %v", err, c.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "TOCSIN_ADMIN_TOKEN") {
				t.Errorf("got %q, want it to say what to set", err)
			}
		})
	}
}

func TestRunExitCodes(t *testing.T) {
	for args, want := range map[string]int{
		"--version":                     exitOK,
		"--help":                        exitOK,
		"serve --no-such-flag":          exitUsage,
		"no-such-command":               exitUsage,
		"check " + os.DevNull:           exitError,
		"serve --store.url=mem":         exitError,
		"serve --store.url=redis://x:y": exitError,
		"store check":                   exitError, // file:data is not a Redis
		"explain --format=nobody":       exitError,
		"explain":                       exitError,
		"check ../../go.mod":            exitError,
		"healthcheck --url=http://[::]": exitError,
	} {
		var out, errOut strings.Builder
		arguments := append(strings.Fields(args), "--web.listen-address=127.0.0.1:0")
		if !strings.HasPrefix(args, "serve") {
			arguments = arguments[:len(arguments)-1]
		}
		if got := run(context.Background(), arguments, strings.NewReader("{}"), &out, &errOut); got != want {
			t.Errorf("tocsin %s: got exit code %d, want %d\n%s%s", args, got, want, out.String(), errOut.String())
		}
		if want != exitOK && errOut.Len() == 0 {
			t.Errorf("tocsin %s: said nothing on standard error", args)
		}
	}
}

// TestVersion: a program that was built without a version says which it is all the same.
func TestVersion(t *testing.T) {
	var out, errOut strings.Builder
	if code := run(context.Background(), []string{"--version"}, strings.NewReader(""), &out, &errOut); code != exitOK || !strings.HasPrefix(out.String(), "tocsin, version development ") {
		t.Errorf("got %d %s%s", code, &out, &errOut)
	}
}
