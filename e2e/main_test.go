package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var (
	kills    = flag.Int("kills", 6, "how often TestKill kills the gateway")
	killSeed = flag.Uint64("killseed", 0, "seed of TestKill; 0: from the clock")
)

// tocsinBinary is the gateway under test.
var tocsinBinary string

// buildDir is where we build.
var buildDir string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if buildDir, err = os.MkdirTemp("", "tocsin-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(buildDir)) }()
	if tocsinBinary = os.Getenv("TOCSIN_E2E_BINARY"); tocsinBinary == "" {
		if tocsinBinary, err = build("tocsin", "nomsgpack"); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

func build(name, tags string) (string, error) { return Build(buildDir, name, tags) }

// failpointBinary is the gateway with failpoints; it is built when first asked for.
var failpointBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TOCSIN_E2E_FAILPOINT_BINARY"); path != "" {
		return path, nil
	}
	return build("tocsin-failpoint", "nomsgpack,failpoint")
})

// program returns the path of a program that a test needs, or skips the test
// where it is missing and nobody has said that it must be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	lacking(t, fmt.Sprintf("%s is missing (%v)", name, err))
	return ""
}

// lacking ends a test that cannot run here: it is skipped, or fails where it must run.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TOCSIN_E2E_REQUIRED") == "1" {
		t.Fatalf("%s and TOCSIN_E2E_REQUIRED=1", what)
	}
	t.Skipf("SKIP: %s; with TOCSIN_E2E_REQUIRED=1 this fails", what)
}

// gatewayFor starts a gateway that ends with the test.
func gatewayFor(t *testing.T, dir, listen string) *gateway {
	t.Helper()
	return gatewayWith(t, dir, listen, "")
}

// gatewayWith starts one with a configuration.
func gatewayWith(t *testing.T, dir, listen, config string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tocsin.yml")
	write(t, file, config)
	g, err := startGateway(t.Context(), tocsinBinary, dir, listen, "TOCSIN_CONFIG_FILE="+file)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, "tocsin", g.process)
	return g
}

// endWith kills p when the test ends, and shows what it said if the test failed.
func endWith(t *testing.T, name string, p *process) {
	t.Helper()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.output())
		}
	})
}

// freeAddr is FreeAddr for a test.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// eventually calls check until it returns nil, and fails the test with its last
// error when that takes longer than within.
func eventually(t *testing.T, within time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("was not checked")
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil { // an error of our own time-out says less
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %v", within, last)
		}
	}
}

// post posts to a program that is up and must take it.
func post(t *testing.T, address string, body []byte) {
	t.Helper()
	status, answer, err := do(t.Context(), http.MethodPost, address, body)
	if err != nil || status/100 != 2 {
		t.Fatalf("POST %s: got %d %.300s, %v, want 2xx; sent %.300s", address, status, answer, err, body)
	}
}
