package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// asCommand makes this test's binary the command itself, for tests that kill it.
const asCommand = "TOCSIN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// invoke runs the command in this process.
func invoke(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &b, &b)
	return code, b.String()
}

// filledFolder is a folder with the given number of alerts in incidents of 500.
func filledFolder(t *testing.T, alerts int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := embedded.Open("file:"+dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := router.New(st, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	if err := p.Set(t.Context(), config.Default().Settings()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var batch []alert.Alert
	for n := range alerts {
		batch = append(batch, alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: now, StartsAt: now,
			Labels: alert.FromMap(map[string]string{"alertname": fmt.Sprint("Crowd", n%(1+alerts/500)), "pod": fmt.Sprint(n), "severity": "warning"})})
		if len(batch) < 1000 && n < alerts-1 {
			continue
		}
		if _, err := p.Accept(t.Context(), "alertmanager", batch); err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestStoreCopy there and back, as people see it.
func TestStoreCopy(t *testing.T) {
	server := redistest.Single(t)
	server.Do("CONFIG", "SET", "requirepass", "s3cret")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, back := filledFolder(t, 1200), filepath.Join(t.TempDir(), "back")
	code, there := invoke(t, "store", "copy", "file:"+dir, server.URL(), "--to.password-file="+password)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, there)
	}
	withPassword := strings.Replace(server.URL(), "redis://", "redis://:s3cret@", 1)
	code, again := invoke(t, "store", "copy", withPassword, "file:"+back)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, again)
	}
	rows := regexp.MustCompile(`(?m)^[a-z ]+ +[0-9]+ +[0-9a-f]{16}$`)
	if a, b := rows.FindAllString(there, -1), rows.FindAllString(again, -1); len(a) != 10 || strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("the sums differ:\n%s\n%s", there, again)
	}
	for _, out := range []string{there, again} {
		if !regexp.MustCompile(`(?m)^alerts +1200 `).MatchString(out) || !strings.Contains(out, "both stores hold the same") || strings.Contains(out, "s3cret") {
			t.Errorf("got %s", out)
		}
	}
	if code, out := invoke(t, "store", "verify", "file:"+back); code != exitOK || !strings.Contains(out, "1200 alerts") {
		t.Errorf("verify: exit %d: %s", code, out)
	}
}

// TestStoreCopyMistakes says what is wrong and what to do.
func TestStoreCopyMistakes(t *testing.T) {
	server := redistest.Single(t)
	locked := redistest.Single(t, "requirepass s3cret")
	dir := filledFolder(t, 10)
	empty := func() string { return "file:" + filepath.Join(t.TempDir(), "new") }
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"one store":             {[]string{"file:" + dir}, exitUsage, "required argument 'to' not provided"},
		"in memory":             {[]string{"mem:", empty()}, exitError, "a store in memory is gone with its process"},
		"into memory":           {[]string{"file:" + dir, "mem:"}, exitError, "a store in memory is gone with its process"},
		"a scheme nobody knows": {[]string{"mysql://x", empty()}, exitError, "write file:DIR for a folder"},
		"nothing there":         {[]string{"file:" + missing, empty()}, exitError, "there is no store in the folder"},
		"into itself":           {[]string{"file:" + dir, "file:" + dir}, exitError, "in use"},
		"over another":          {[]string{"file:" + filledFolder(t, 1), "file:" + dir}, exitError, "holds a store already"},
		"a wrong password":      {[]string{"file:" + dir, strings.Replace(locked.URL(), "redis://", "redis://:wr0ng@", 1)}, exitError, "wrong user or password"},
		"no password":           {[]string{"file:" + dir, locked.URL()}, exitError, "password"},
		"no password file":      {[]string{"file:" + dir, server.URL(), "--to.password-file=" + missing}, exitError, "no such file"},
		"no configuration":      {[]string{"file:" + dir, server.URL(), "--to.config-file=" + missing}, exitError, "no such file"},
		"from an empty Redis":   {[]string{server.URL(), empty()}, exitError, "there is no store under the prefix"},
		"an unknown option":     {[]string{"file:" + dir, server.URL() + "?prefx=x"}, exitError, "prefx"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := invoke(t, append([]string{"store", "copy"}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "wr0ng") {
				t.Errorf("exit %d, want %d; got %s, want %q", code, c.code, out, c.want)
			}
		})
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("the folder that was missing: %v", err)
	}
}

// TestStoreCopyKilled: killed again and again under load, the same command goes
// on in the end, and a gateway does not start before.
func TestStoreCopyKilled(t *testing.T) {
	const alerts = 20_000
	server := redistest.Single(t, "appendonly yes")
	slow := redistest.NewProxy(t, server.Addr)
	slow.Delay(150 * time.Millisecond) // there are about twenty pages, two at a time
	dir, back := filledFolder(t, alerts), filepath.Join(t.TempDir(), "back")
	progress := func() string {
		_, after, _ := strings.Cut(server.Do("GET", "tocsin:{00}:copy"), `"after":"`)
		place, _, _ := strings.Cut(after, `"`)
		return place
	}
	behind := ""
	for range 3 {
		killed(t, func() bool { p := progress(); return p != "" && p != behind }, "store", "copy", "file:"+dir, slow.URL())
		behind = progress()
		if err := redistest.Retry(t, func() error {
			_, err := openStore(t.Context(), redisStore(server), opening{})
			return err
		}); err == nil || !strings.Contains(err.Error(), "did not finish") {
			t.Fatalf("half a store was opened: %v", err)
		}
	}
	code, out := invoke(t, "store", "copy", "file:"+dir, server.URL())
	if code != exitOK || !strings.Contains(out, "were there from before") {
		t.Fatalf("exit %d: %s", code, out)
	}
	// And back. The folder is locked while it is filled, so the kills come by the
	// number of round trips.
	slow.Delay(8 * time.Millisecond)
	for n := range 3 {
		from := slow.RoundTrips()
		killed(t, func() bool { return slow.RoundTrips() > from+int64(40*(n+1)) }, "store", "copy", slow.URL(), "file:"+back)
		if _, err := embedded.Open("file:"+back, embedded.Options{}); err == nil || !strings.Contains(err.Error(), "did not finish") {
			t.Fatalf("half a store was opened: %v", err)
		}
	}
	if code, out := invoke(t, "store", "copy", server.URL(), "file:"+back); code != exitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	if code, out := invoke(t, "store", "verify", back); code != exitOK || !strings.Contains(out, fmt.Sprint(alerts, " alerts")) {
		t.Errorf("verify: exit %d: %s", code, out)
	}
}

func redisStore(server *redistest.Server) store.Config {
	c := config.Default().Store
	c.URL = store.URL(server.URL())
	return c
}

// killed runs the command as a process of its own and kills it as soon as it is due.
func killed(t *testing.T, due func() bool, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asCommand+"=1"), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was killed: %v\n%s", err, &out)
		case <-look.C:
		}
		if due() {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// TestStoreCopyStopped: Ctrl-C says how to go on.
func TestStoreCopyStopped(t *testing.T) {
	server := redistest.Single(t)
	slow := redistest.NewProxy(t, server.Addr)
	slow.Delay(100 * time.Millisecond)
	dir := filledFolder(t, 10_000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var b bytes.Buffer
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"store", "copy", "file:" + dir, slow.URL()}, strings.NewReader(""), &b, &b)
	}()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for at := ""; at == "" || strings.Contains(at, `"after":""`); at = server.Do("GET", "tocsin:{00}:copy") {
		select {
		case code := <-done:
			t.Fatalf("exit %d before it was stopped: %s", code, &b)
		case <-look.C:
		}
	}
	stop()
	if code := <-done; code != exitError || !strings.Contains(b.String(), "the same command goes on where it stopped") {
		t.Errorf("exit %d: %s", code, &b)
	}
	if code, out := invoke(t, "store", "copy", "file:"+dir, server.URL()); code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
}
