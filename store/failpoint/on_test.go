//go:build failpoint

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also what is killed: with a point to reach it reaches it five times.
func TestMain(m *testing.M) {
	if os.Getenv("TOCSIN_FAILPOINT") == "" {
		os.Exit(m.Run())
	}
	reach := FromEnv()
	for n := 1; n <= 5; n++ {
		reach("another")
		reach("before-commit")
		fmt.Println("passed", n)
	}
}

func TestFromEnv(t *testing.T) {
	if FromEnv() != nil {
		t.Error("without TOCSIN_FAILPOINT: got a function, want nil")
	}
	for _, c := range []struct {
		spec   string
		passed int
		killed bool
	}{{"before-commit:1", 0, true}, {"before-commit:4", 3, true}, {"before-commit:6", 5, false}, {"after-commit:1", 5, false}} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TOCSIN_FAILPOINT="+c.spec)
		out, err := cmd.Output()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if n := strings.Count(string(out), "passed"); n != c.passed || killed != c.killed || !killed && err != nil {
			t.Errorf("%s: passed %d times, killed %t (%v); want %d, %t", c.spec, n, killed, err, c.passed, c.killed)
		}
	}
	for _, spec := range []string{"before-commit", "before-commit:", "before-commit:0", "before-commit:x"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TOCSIN_FAILPOINT="+spec)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "TOCSIN_FAILPOINT") {
			t.Errorf("%q: got %v, want an error that names the variable", spec, err)
		}
	}
}
