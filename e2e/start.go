package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
)

// Build builds ./cmd/tocsin with build tags as a program of the given name in a folder,
// and returns its path.
func Build(dir, name, tags string) (string, error) {
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "github.com/tocsin-gateway/tocsin/cmd/tocsin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("e2e: %s: %w\n%s", cmd, err, out)
	}
	return path, nil
}

// Running is a gateway that tests of other packages have started.
type Running struct {
	// Addr is where it listens.
	Addr string
	g    *gateway
}

// Start starts a gateway and waits until it is ready. It has its state in the folder
// dir; environment is added to ours, as in exec.Cmd.Env, without our own TOCSIN_… .
func Start(ctx context.Context, binary, dir, listen string, environment ...string) (*Running, error) {
	g, err := startGateway(ctx, binary, dir, listen, environment...)
	if err != nil {
		return nil, err
	}
	return &Running{g.addr, g}, nil
}

// Stop ends it as a service manager does; an error says what it ended with.
func (r *Running) Stop() error { return r.g.process.stop() }

// Output is what it said last.
func (r *Running) Output() string { return r.g.process.output() }

// given are the ports that FreeAddr has handed out.
var given sync.Map

// FreeAddr is an address that nobody listens on at the moment, for programs
// that cannot tell which port they got, or have to know it before. Its port is below those that the system
// gives to connections and listeners by itself, so that none of them takes it first.
func FreeAddr() (string, error) {
	for range 1000 {
		addr := fmt.Sprint("127.0.0.1:", 20000+rand.IntN(12000))
		if _, taken := given.LoadOrStore(addr, true); taken {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", errors.New("e2e: no port is free")
}
