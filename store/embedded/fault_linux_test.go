package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// childFolder names the folder in which this test's binary, started by a test,
// writes until it is killed; childFailpoint is where it kills itself.
const (
	childFolder    = "TOCSIN_TEST_STORE_FOLDER"
	childFailpoint = "TOCSIN_TEST_STORE_FAILPOINT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// mountTmpfs mounts a file system in memory. Who may not mount skips, unless
// everything is required.
func mountTmpfs(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		if os.Getenv("TOCSIN_E2E_REQUIRED") == "1" {
			t.Fatalf("cannot mount a tmpfs: %v", err)
		}
		t.Skipf("SKIP: this test needs to mount a tmpfs, which is not permitted here: %v", err)
	}
	if flags&syscall.MS_REMOUNT != 0 {
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, "file:"+dir, Options{Now: frozen})
	_, err := Open("file:"+dir, Options{})
	wantError(t, "the same process again", err, dir, "in use")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "in use") {
		t.Errorf("another process: got %v, %q; want an error that names %s", err, out, dir)
	}
	if err := s.Update(t.Context(), []incident.Change{numbered(1)}); err != nil {
		t.Errorf("the first one, after others tried: %v", err)
	}
	mustClose(t, s)
	s = mustOpen(t, "file:"+dir, Options{Now: frozen})
	wantPresent(t, s, map[int]bool{1: true}, 2)
}

func TestFolderNotWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, filepath.Join(file, "below")} {
		_, err := Open("file:"+name, Options{})
		wantError(t, "a folder where a file is", err, name)
	}
	for _, url := range []string{"file:", "", "redis:x", "dir", "file"} {
		_, err := Open(url, Options{})
		wantError(t, fmt.Sprintf("the URL %q", url), err, "store")
	}
}

func TestFolderReadOnly(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=64m", 0)
	s := mustOpen(t, "file:"+dir, Options{Now: frozen, Reserve: 1 << 20})
	if err := s.Update(t.Context(), []incident.Change{numbered(1)}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	mountTmpfs(t, dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY)
	for _, name := range []string{dir, filepath.Join(dir, "new")} {
		_, err := Open("file:"+name, Options{})
		wantError(t, "a read-only folder", err, name, "read-only")
	}
	mountTmpfs(t, dir, "", syscall.MS_REMOUNT)
	s = mustOpen(t, "file:"+dir, Options{Now: frozen, Reserve: 1 << 20})
	wantPresent(t, s, map[int]bool{1: true}, 2)
	mustClose(t, s)
	wantSound(t, dir)
}

// fill takes all the space of a disk, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk under a store: nothing that was acknowledged goes,
// everybody hears ErrUnavailable, and it comes back by itself.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name    string
		ballast bool
	}{{"with the ballast to live on", true}, {"to the last byte", false}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mountTmpfs(t, dir, "size=96m", 0)
			s := mustOpen(t, "file:"+dir, Options{Now: frozen, Reserve: 8 << 20, Exit: stays(t)})
			s.round()
			if stat, err := os.Stat(s.ballast); err != nil || stat.Size() != 2<<20 {
				t.Fatalf("the ballast: got %v, %v", stat, err)
			}
			if !c.ballast {
				if err := os.Remove(s.ballast); err != nil {
					t.Fatal(err)
				}
			}
			acknowledged := map[int]bool{}
			n, failed := 0, 0
			write := func() error {
				ch := numbered(n)
				step := ch.Step
				ch.Step = func(st incident.State) (incident.Next, error) {
					next, err := step(st)
					next.Entries[0].Content.Comment = strings.Repeat("x", 50_000)
					return next, err
				}
				err := s.Update(t.Context(), []incident.Change{ch})
				acknowledged[n] = err == nil
				n++
				return err
			}
			for range 20 {
				if err := write(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				free := fill(t, dir)
				for failed = 0; failed < 5; {
					if err := write(); err != nil {
						if !errors.Is(err, store.ErrUnavailable) {
							t.Fatalf("with a full disk: got %v, want ErrUnavailable", err)
						}
						failed++
					}
					if n > 4000 {
						t.Fatal("the disk is full and takes everything")
					}
				}
				for range 2 {
					s.round()
				}
				if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("check with a full disk: got %v, want ErrUnavailable", err)
				}
				if _, err := s.Claim(t.Context(), 1, 1e9); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("claim with a full disk: got %v, want ErrUnavailable", err)
				}
				if err := s.Backup(t.Context(), io.Discard); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("backup with a full disk: got %v, want ErrUnavailable", err)
				}
				free()
				for range 3 {
					s.round()
				}
				if err := s.Check(t.Context()); err != nil {
					t.Fatalf("there is space again: %v", err)
				}
				if err := write(); err != nil {
					t.Fatalf("there is space again: %v", err)
				}
				wantPresent(t, s, acknowledged, n)
				if _, err := os.Stat(s.ballast); err != nil {
					t.Errorf("there is no new ballast: %v", err)
				}
				if !c.ballast {
					if err := os.Remove(s.ballast); err != nil {
						t.Fatal(err)
					}
				}
			}
			mustClose(t, s)
			_ = os.Remove(s.ballast) // there may be none any more
			free := fill(t, dir)
			_, err := Open("file:"+dir, Options{Reserve: 8 << 20})
			wantError(t, "opening on a full disk", err, dir, "full")
			free()
			s = mustOpen(t, "file:"+dir, Options{Now: frozen, Reserve: 8 << 20})
			wantPresent(t, s, acknowledged, n)
			mustClose(t, s)
			wantSound(t, dir)
		})
	}
}

// TestDiskNearlyFull: the reserve is kept for the work on what was accepted.
func TestDiskNearlyFull(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=96m", 0)
	s := mustOpen(t, "file:"+dir, Options{Now: frozen, Reserve: 16 << 20, Exit: stays(t)})
	if err := s.Update(t.Context(), []incident.Change{numbered(0)}); err != nil {
		t.Fatal(err)
	}
	free, err := freeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, free-4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s.round()
	if err := s.Update(t.Context(), []incident.Change{numbered(1)}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("below the reserve: got %v, want ErrUnavailable", err)
	}
	preview := numbered(2)
	preview.Preview = true
	if err := s.Update(t.Context(), []incident.Change{preview}); err != nil {
		t.Errorf("a preview needs no space: %v", err)
	}
	if _, _, err := s.Incidents(t.Context(), store.Query{Limit: 1}); err != nil {
		t.Errorf("reading needs no space: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.round()
	if err := s.Update(t.Context(), []incident.Change{numbered(1)}); err != nil {
		t.Errorf("there is space again: %v", err)
	}
}

// child writes numbered changes from several goroutines, and says on its
// output which it begins and which were acknowledged.
func child(dir string) int {
	s, err := Open("file:"+dir, Options{Failpoint: failAt(os.Getenv(childFailpoint))})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	first, _ := strconv.Atoi(os.Getenv("TOCSIN_TEST_STORE_FIRST"))
	var next atomic.Int64
	next.Store(int64(first) - 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n >= first+100_000 {
					return
				}
				if err := s.Update(context.Background(), []incident.Change{numbered(n)}); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Printf("acknowledged %d\n", n) // one write: whole or not there
			}
		})
	}
	wg.Wait()
	return 1 // unreachable: it is killed before
}

// failAt kills the process the n-th time that a point, such as
// before-commit:12, is reached.
func failAt(spec string) func(string) {
	name, count, _ := strings.Cut(spec, ":")
	var left atomic.Int64
	n, _ := strconv.ParseInt(count, 10, 64)
	left.Store(n)
	return func(point string) {
		if point == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// TestKill kills a process that writes, again and again in the same folder: at
// the failpoints and in between. What it acknowledged is there after each.
func TestKill(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 3
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	acknowledged := map[int]bool{}
	first := 0
	for kill := range kills {
		failpoint, after := "", 0
		switch kill % 3 {
		case 0:
			failpoint = fmt.Sprintf("before-commit:%d", 1+random.IntN(60))
		case 1:
			failpoint = fmt.Sprintf("after-commit:%d", 1+random.IntN(60))
		default:
			after = 1 + random.IntN(80)
		}
		last := runChild(t, dir, failpoint, first, after, acknowledged)
		first = last + 10 // what was begun and not acknowledged may be there or not
		s := mustOpen(t, "file:"+dir, Options{Now: frozen})
		wantPresent(t, s, acknowledged, first)
		mustClose(t, s)
		if t.Failed() {
			t.Fatalf("after kill %d (failpoint %q, after %d)", kill, failpoint, after)
		}
	}
	report := wantSound(t, dir)
	if report.Incidents != keys || report.Alerts < len(acknowledged) || len(acknowledged) < kills {
		t.Errorf("got %+v after %d acknowledged changes", report, len(acknowledged))
	}
	t.Logf("%d kills, %d acknowledged, %d stored", kills, len(acknowledged), report.Alerts)
}

// runChild starts a process that writes, kills it after a number of
// acknowledgements unless it does so itself, and returns the largest number it acknowledged.
func runChild(t *testing.T, dir, failpoint string, first, after int, acknowledged map[int]bool) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir, childFailpoint+"="+failpoint, "TOCSIN_TEST_STORE_FIRST="+strconv.Itoa(first))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last = first
	n := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		number, found := strings.CutPrefix(lines.Text(), "acknowledged ")
		got, err := strconv.Atoi(number)
		if !found || err != nil {
			t.Errorf("the child says %q", lines.Text())
			break
		}
		acknowledged[got] = true
		last = max(last, got)
		if n++; n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want to be killed: %s", err, complaints.Bytes())
	}
	return last
}
