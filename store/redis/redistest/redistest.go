// Package redistest starts real redis-server processes for tests, which own
// them: alone, with replicas, under Sentinel and as a cluster. The tests may
// kill, pause, restart and reconfigure them, and put a Proxy in between for
// connections that break at a chosen moment.
//
// All listen on 127.0.0.1, on ports that the system gives out, keep their files
// in t.TempDir, and end with the test, on Linux also when the test's process is
// killed. It knows nothing of what is stored and uses no Redis client, so that
// it does not share the mistakes of the one under test.
//
// Methods without an error as result end the test when something fails, so they
// are for the test's own goroutine; others use DoErr, Kill, Pause, Resume and
// the methods of Proxy.
package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

const (
	// patience is how long anything may take that a healthy server does at once,
	// on a machine that does other things too.
	patience = 30 * time.Second
	// tick is the time between two looks at something that is awaited.
	tick = 3 * time.Millisecond
)

// Require returns the path of redis-server. Where there is none it skips the
// test, or fails it if TOCSIN_E2E_REQUIRED is set.
func Require(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
		return path
	case required(os.Getenv("TOCSIN_E2E_REQUIRED")):
		t.Fatalf("redis-server is missing and TOCSIN_E2E_REQUIRED is set: %v", err)
	default:
		t.Skipf("SKIP: redis-server is missing (%v); with TOCSIN_E2E_REQUIRED=1 this fails", err)
	}
	return ""
}

// required reports whether the value of TOCSIN_E2E_REQUIRED asks for anything:
// scripts/test sets 0 for --allow-missing.
func required(value string) bool { return value != "" && value != "0" }

// Single starts one server. The settings are lines of its configuration, such as
// "appendonly yes", and win over ours.
func Single(t testing.TB, settings ...string) *Server {
	t.Helper()
	return launch(t, role{name: "redis"}, settings)
}

// Replicated starts a master, which is the first of the result, and n replicas,
// and waits until they are in sync. All have the same settings.
func Replicated(t testing.TB, n int, settings ...string) []*Server {
	t.Helper()
	master := launch(t, role{name: "master"}, settings)
	all := []*Server{master}
	for i := range n {
		r := launch(t, role{name: fmt.Sprintf("replica-%d", i+1)}, settings)
		// By command, because a replica that is told by its file waits for the
		// next second before it connects.
		r.Do("REPLICAOF", "127.0.0.1", r.portOf(master))
		all = append(all, r)
	}
	for _, r := range all[1:] {
		r.await("in sync with its master", r.inSync)
	}
	master.await(fmt.Sprintf("seeing %d replicas online", n), func() error { return master.replicasOnline(n) })
	return all
}

// inSync says why a replica is not in sync.
func (s *Server) inSync() error {
	info, err := s.info("replication")
	switch {
	case err != nil:
		return err
	case info["role"] != "slave":
		return fmt.Errorf("role is %q, want slave", info["role"])
	case info["master_link_status"] != "up":
		return fmt.Errorf("master_link_status is %q, want up", info["master_link_status"])
	}
	return nil
}

// replicasOnline says why a master does not have n replicas that get what it writes.
func (s *Server) replicasOnline(n int) error {
	info, err := s.info("replication")
	if err != nil {
		return err
	}
	online := 0
	for i := range n {
		// slave0:ip=127.0.0.1,port=7001,state=online,offset=42,lag=0
		if pairs(info[fmt.Sprintf("slave%d", i)])["state"] == "online" {
			online++
		}
	}
	if online != n {
		return fmt.Errorf("%d replicas are online, want %d", online, n)
	}
	return nil
}
