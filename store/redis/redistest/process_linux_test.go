package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// group returns what /proc says of the processes of a group that still run.
func group(t *testing.T, leader int) (running []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		t.Fatalf("/proc has %d processes: %v", len(files), err)
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		// 4711 (redis-server) S parent group …
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		if len(f) > 2 && f[0] != "Z" && f[2] == strconv.Itoa(leader) { // Z has ended, and nobody has asked yet how
			running = append(running, string(stat))
		}
	}
	return running
}

func TestKillAlsoEndsWhatWritesInTheBackground(t *testing.T) {
	t.Parallel()
	// At ten milliseconds a key the child looks after its parent every 10 s.
	s := Single(t, "appendonly yes", "rdb-key-save-delay 10000")
	pid, err := strconv.Atoi(s.Info("server", "process_id"))
	if err != nil {
		t.Fatal(err)
	}
	s.Do("DEBUG", "POPULATE", "10000")
	s.Do("BGREWRITEAOF")
	s.await("writing in the background", func() error {
		if s.Info("persistence", "current_cow_size") == "0" {
			return errors.New("the child has not reported yet")
		}
		return nil
	})
	if n := len(group(t, pid)); n != 2 {
		t.Fatalf("its group has %d processes, want 2", n)
	}
	began := time.Now()
	s.Kill()
	for time.Since(began) < 5*time.Second {
		if len(group(t, pid)) == 0 {
			return
		}
	}
	t.Errorf("they run 5 s after Kill: %q", group(t, pid))
}

// TestServersDieWithTheTest runs itself as a process that is killed while its server runs.
func TestServersDieWithTheTest(t *testing.T) {
	if os.Getenv("REDISTEST_CHILD") != "" {
		s := Single(t)
		fmt.Printf("pid=%s\n", s.Info("server", "process_id"))
		select {} // until we are killed
	}
	Require(t)
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersDieWithTheTest$")
	cmd.Env = append(os.Environ(), "REDISTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscanf(out, "pid=%d\n", &pid)
	_ = cmd.Process.Kill() // it would never end
	_ = cmd.Wait()         // it says that it was killed
	if err != nil {
		t.Fatal(err)
	}
	if err := poll(nil, func() error {
		if left := group(t, pid); len(left) > 0 {
			return fmt.Errorf("the server of the killed test runs: %q", left)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
