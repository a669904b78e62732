package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// TestInterrupted: a copy that is stopped again and again goes on where it was,
// and nobody can take the half of a store for a whole one.
func TestInterrupted(t *testing.T) {
	server := redistest.Single(t).URL()
	for name, way := range map[string][2]string{
		"folder to Redis":  {newFolder(t), newPrefix(server)},
		"Redis to folder":  {newPrefix(server), newFolder(t)},
		"folder to folder": {newFolder(t), newFolder(t)},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := way[0], way[1]
			want, now := mixed(t, from, 2500)
			other := newFolder(t)
			populated(t, other)
			var before uint64
			for runs := 1; ; runs++ {
				report, err := stopped(t, from, to)
				if err == nil {
					if runs < 4 {
						t.Errorf("it was finished in run %d", runs)
					}
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if report.Resumed < before || report.Sums.Units() <= before {
					t.Fatalf("run %d: %d were there, of %d before; it ended with %d", runs, report.Resumed, before, report.Sums.Units())
				}
				before = report.Sums.Units()
				if runs == 2 {
					wantUnfinished(t, to, other)
				}
			}
			wantSound(t, to)
			st := open(t, to, now)
			wantSame(t, to, seen(t, st), want)
		})
	}
}

// mixed is a store with everything and a crowd of n more alerts.
func mixed(t testing.TB, u string, n int) (lines []string, now func() time.Time) {
	t.Helper()
	crowded(t, u, n)
	g := newGateway(t, u, &clock{now: epoch})
	g.populate()
	g.must(g.st.Close())
	st := open(t, u, g.clock.read)
	lines = seen(t, st)
	g.must(st.Close())
	return lines, g.clock.read
}

// stopped copies until the first page of a folder is through, or some of Redis,
// which are smaller.
func stopped(t testing.TB, from, to string) (transfer.Report, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pages := 1
	if isRedis(from) {
		pages = 20
	}
	return try(t, ctx, from, to, transfer.Options{Workers: 1, Watch: func(p transfer.Progress) {
		if pages--; pages <= 0 && !p.Verifying {
			cancel()
		}
	}})
}

// wantUnfinished checks who may not do what with an unfinished copy.
func wantUnfinished(t testing.TB, to, other string) {
	t.Helper()
	const say = "did not finish"
	_, err := tryOpen(t, to, time.Now)
	wantError(t, "opened as a store", err, say)
	_, err = openSource(t, to)
	wantError(t, "copied from", err, say)
	if !isRedis(to) {
		_, err = embedded.Verify(strings.TrimPrefix(to, "file:"))
		wantError(t, "verified", err, say)
	}
	_, err = try(t, t.Context(), other, to, transfer.Options{})
	if !errors.Is(err, transfer.ErrStarted) {
		t.Errorf("something else copied into it: got %v, want %v", err, transfer.ErrStarted)
	}
}

func wantError(t testing.TB, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got error %v, want one with %q", what, err, text)
	}
}

// TestAnotherSource: an unfinished copy of a store that was used since has to
// begin again, and then nothing of the earlier one is left.
func TestAnotherSource(t *testing.T) {
	server := redistest.Single(t).URL()
	for name, way := range map[string][2]string{
		"folder to Redis": {newFolder(t), newPrefix(server)},
		"Redis to folder": {newPrefix(server), newFolder(t)},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := way[0], way[1]
			crowded(t, from, 2200)
			if _, err := stopped(t, from, to); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			g := newGateway(t, from, &clock{now: epoch.Add(time.Hour)})
			first, _, err := g.st.Alerts(t.Context(), mustIncident(g, "INC-20261121-"+firstDigits(g)).ID, "", 1)
			g.must(err)
			g.send(g.over(*first[0].Content))
			g.must(g.st.Close())
			if _, err := try(t, t.Context(), from, to, transfer.Options{}); !errors.Is(err, transfer.ErrStarted) {
				t.Errorf("got %v, want %v", err, transfer.ErrStarted)
			}
			if _, err := try(t, t.Context(), from, to, transfer.Options{Restart: true}); err != nil {
				t.Fatal(err)
			}
			st := open(t, from, g.clock.read)
			want := seen(t, st)
			g.must(st.Close())
			st = open(t, to, g.clock.read)
			wantSame(t, to, seen(t, st), want)
		})
	}
}

// firstDigits are those of some incident's reference.
func firstDigits(g *gateway) string {
	g.t.Helper()
	for _, l := range seen(g.t, g.st) {
		if rest, ok := strings.CutPrefix(l, "list 0: INC-20261121-"); ok {
			return rest
		}
	}
	g.t.Fatal("there is no incident")
	return ""
}

// TestRefused: nothing is overwritten, and nothing is copied that is in use.
func TestRefused(t *testing.T) {
	server := redistest.Single(t)
	full, fullPrefix := newFolder(t), newPrefix(server.URL())
	populated(t, full)
	populated(t, fullPrefix)
	empty := func(from string) string { // of the other kind
		if isRedis(from) {
			return newFolder(t)
		}
		return newPrefix(server.URL())
	}
	for _, from := range []string{full, fullPrefix} {
		st := open(t, from, time.Now)
		use := func() {}
		what := "in use by another process"
		if isRedis(from) {
			// As a gateway signs on.
			now := fmt.Sprint(time.Now().Unix())
			server.Do("ZADD", prefixOf(from)+":{00}:gateways", now, "somebody")
			use = func() { server.Do("DEL", prefixOf(from)+":{00}:gateways") }
			what = "gateway works on it"
		}
		_, err := try(t, t.Context(), from, empty(from), transfer.Options{})
		wantError(t, "copy from a store in use", err, what)
		_, err = try(t, t.Context(), map[bool]string{true: full, false: fullPrefix}[isRedis(from)], from, transfer.Options{})
		wantError(t, "copy into a store in use", err, map[bool]string{true: "gateway works on it", false: "in use by another process"}[isRedis(from)])
		use()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		before := state(t, server, from)
		for _, restart := range []bool{false, true} {
			_, err = try(t, t.Context(), map[bool]string{true: full, false: fullPrefix}[isRedis(from)], from, transfer.Options{Restart: restart})
			wantError(t, "copy into a store that is not empty", err, "holds a store already")
		}
		_, err = try(t, t.Context(), from, from, transfer.Options{})
		wantError(t, "copy into itself", err, map[bool]string{true: "holds a store already", false: "in use"}[isRedis(from)])
		if isRedis(from) && state(t, server, from) != before {
			t.Errorf("%s has changed", from)
		}
		wantSound(t, from)
		if st, err := tryOpen(t, from, time.Now); err != nil {
			t.Errorf("afterwards: %v", err)
		} else if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	for u, what := range map[string]string{newFolder(t): "there is no store in the folder", "file:" + t.TempDir(): "cannot open", "mem:": "cannot be copied",
		newPrefix(server.URL()): "there is no store under the prefix", "redis://127.0.0.1:1": "connection refused"} {
		_, err := openSource(t, u)
		wantError(t, "source "+u, err, what)
	}
	for u, what := range map[string]string{"mem:": "cannot be copied", "file:": "cannot be copied", "redis://127.0.0.1:1": "connection refused"} {
		_, err := openTarget(t, u)
		wantError(t, "target "+u, err, what)
	}
}

func prefixOf(u string) string {
	_, prefix, _ := strings.Cut(u, "prefix=")
	return prefix
}

// state is what is stored, byte for byte.
func state(t testing.TB, server *redistest.Server, u string) string {
	t.Helper()
	if isRedis(u) {
		keys := strings.Fields(server.Do("KEYS", prefixOf(u)+":{*"))
		slices.Sort(keys)
		var out strings.Builder
		for _, k := range keys {
			fmt.Fprintf(&out, "%s %x\n", k, server.Do("DUMP", k))
		}
		return out.String()
	}
	var out strings.Builder
	dir := strings.TrimPrefix(u, "file:")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %x\n", e.Name(), b)
	}
	return out.String()
}

// TestSourceStays: not one byte of it changes.
func TestSourceStays(t *testing.T) {
	server := redistest.Single(t)
	for _, from := range []string{newFolder(t), newPrefix(server.URL())} {
		populated(t, from)
		before := state(t, server, from)
		mustCopy(t, from, newFolder(t))
		if state(t, server, from) != before {
			t.Errorf("%s has changed", from)
		}
	}
}

// TestUsedMeanwhile: a gateway that began to work on the source is noticed.
func TestUsedMeanwhile(t *testing.T) {
	server := redistest.Single(t).URL()
	from, to := newPrefix(server), newFolder(t)
	populated(t, from)
	once := true
	_, err := try(t, t.Context(), from, to, transfer.Options{Watch: func(transfer.Progress) {
		if once {
			once = false
			st, err := tryOpen(t, from, time.Now)
			if err == nil {
				err = st.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
	}})
	wantError(t, "the source was used", err, "was used while it was copied")
	_, err = tryOpen(t, to, time.Now)
	wantError(t, "what was copied", err, "did not finish")
	_, err = try(t, t.Context(), from, to, transfer.Options{})
	if !errors.Is(err, transfer.ErrStarted) {
		t.Errorf("copied again: got %v, want %v", err, transfer.ErrStarted)
	}
	if _, err = try(t, t.Context(), from, to, transfer.Options{Restart: true}); err != nil {
		t.Errorf("from the beginning: %v", err)
	}
}

// faults are what may happen to a server for a while.
var faults = map[string]func(*redistest.Server, *redistest.Proxy){
	"killed": func(s *redistest.Server, _ *redistest.Proxy) { s.Kill(); s.Restart() },
	"answers lost": func(_ *redistest.Server, p *redistest.Proxy) {
		p.DropReplies(5, "HSET", "ZADD", "EVALSHA", "EVALSHA_RO", "HKEYS")
	},
	"reset": func(_ *redistest.Server, p *redistest.Proxy) { p.Reset() },
	"held": func(_ *redistest.Server, p *redistest.Proxy) {
		p.Hold()
		time.AfterFunc(1500*time.Millisecond, p.Release) // longer than one answer may take, and than a server counts as up
	},
}

// TestServerAway: a server that is killed, or deaf for a while, does not end a
// copy, and commands whose answers are lost do no harm when they are repeated.
// It is not taken for a gateway that came, either.
func TestServerAway(t *testing.T) {
	for name, fault := range faults {
		for _, of := range []string{"target", "source"} {
			t.Run(of+" "+name, func(t *testing.T) {
				server := redistest.Single(t, "appendonly yes", "appendfsync always")
				proxy := redistest.NewProxy(t, server.Addr)
				from, to := newFolder(t), newPrefix(proxy.URL())
				if of == "source" {
					from, to = to, from
				}
				want, now := mixed(t, from, 2500)
				due, done, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
				pages := 0
				go func() {
					_, err := try(t, t.Context(), from, to, transfer.Options{Watch: func(transfer.Progress) {
						if pages++; pages == 2 {
							close(due)
							<-done // or the copy could be over first
						}
					}})
					over <- err
				}()
				select {
				case <-due:
					fault(server, proxy)
					close(done)
				case err := <-over:
					t.Fatal(err)
				}
				if err := <-over; err != nil {
					t.Fatal(err)
				}
				if name == "answers lost" && !proxy.Dropped() {
					t.Error("no answers were lost")
				}
				st := open(t, to, now)
				wantSame(t, to, seen(t, st), want)
			})
		}
	}
}

// TestServerFull: a server that is out of memory ends a copy at once, and with
// more memory it goes on.
func TestServerFull(t *testing.T) {
	server := redistest.Single(t, "maxmemory 2mb")
	from, to := newFolder(t), newPrefix(server.URL())
	want, now := mixed(t, from, 2500)
	report, err := try(t, t.Context(), from, to, transfer.Options{})
	wantError(t, "into a server that is full", err, "OOM")
	server.Do("CONFIG", "SET", "maxmemory", "100mb")
	again, err := try(t, t.Context(), from, to, transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Resumed > report.Sums.Units() { // it may be less: how far it was is not stored by a server that is full
		t.Errorf("it went on behind %d, and %d were copied", again.Resumed, report.Sums.Units())
	}
	st := open(t, to, now)
	wantSame(t, to, seen(t, st), want)
}

// TestCluster: shards on three servers.
func TestCluster(t *testing.T) {
	cluster := redistest.Cluster(t, 3, 0).Steady()
	from, to, back := newFolder(t), newPrefix(cluster.URL()), newFolder(t)
	_, want, at := populated(t, from)
	mustCopy(t, from, to)
	st := open(t, to, func() time.Time { return at })
	wantSame(t, to, seen(t, st), want)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, to, back)
	st = open(t, back, func() time.Time { return at })
	wantSame(t, back, seen(t, st), want)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, t.Context(), from, to, transfer.Options{}); err == nil {
		t.Error("copied over what is there")
	}
	wantSound(t, back)
}
