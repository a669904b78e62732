package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// secretWord is a password that nothing may show.
const secretWord = "s3cret-word"

func TestFlagsGoBeforeTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of a file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	of := func(url store.URL, user, password string) store.Config {
		return store.Config{URL: url, Username: user, Password: secret.New(password)}
	}
	inFile := of("redis://a", "u", "p")
	for name, c := range map[string]struct {
		flags storeFlags
		want  store.Config
		err   string
	}{
		"no flags":                       {storeFlags{}, inFile, ""},
		"another URL":                    {storeFlags{url: "redis://b"}, of("redis://b", "u", "p"), ""},
		"a folder":                       {storeFlags{url: "file:x"}, of("file:x", "u", "p"), ""},
		"a URL with a user":              {storeFlags{url: "redis://v@b"}, of("redis://v@b", "", "p"), ""},
		"a URL with a password":          {storeFlags{url: "redis://:q@b"}, of("redis://:q@b", "", ""), ""},
		"a password":                     {storeFlags{password: "q\n"}, of("redis://a", "u", "q"), ""},
		"a password's file":              {storeFlags{passwordFile: file}, of("redis://a", "u", "of a file"), ""},
		"a file before a value":          {storeFlags{passwordFile: file, password: "q"}, of("redis://a", "u", "of a file"), ""},
		"a password before the URL's":    {storeFlags{url: "redis://v:q@b", password: "r"}, of("redis://v:q@b", "", "r"), ""},
		"a file with nothing in it":      {storeFlags{passwordFile: blank}, inFile, "blank is empty"},
		"a file that is not there":       {storeFlags{passwordFile: file + "x"}, inFile, "no such file"},
		"a URL that is wrong, for later": {storeFlags{url: "redis://b:c"}, of("redis://b:c", "u", "p"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.flags.settings(inFile)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v (password %q), %v, want %+v (password %q)", got, got.Password.Reveal(), err, c.want, c.want.Password.Reveal())
			}
		})
	}
}

func TestSettingsReachTheStore(t *testing.T) {
	ca, cert, key := redistest.Certificates(t)
	c := store.Config{URL: "rediss://a", Username: "u", Password: secret.New("p"), TLS: store.TLS{CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "n"},
		Timeout: model.Duration(time.Second), MaxInFlight: 7, Durability: "replicated"}
	o, err := redisOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	if o.Username != "u" || o.Password != "p" || o.Timeout != time.Second || o.InFlight != 7 || o.Durability != "replicated" {
		t.Errorf("got %+v, want what the settings say", o)
	}
	if o.TLS == nil || o.TLS.RootCAs == nil || o.TLS.ServerName != "n" || o.TLS.InsecureSkipVerify || o.TLS.GetClientCertificate == nil {
		t.Fatalf("TLS: got %+v, want the authority, the name and a certificate", o.TLS)
	}
	// The certificate is read when it is asked for, so one that was replaced is used.
	first, err := o.TLS.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, otherCert, otherKey := redistest.Certificates(t)
	for from, to := range map[string]string{otherCert: cert, otherKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	second, err := o.TLS.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Certificate[0]) == string(second.Certificate[0]) {
		t.Error("got the certificate that was replaced")
	}
	// Without TLS its files are not looked at.
	c.URL, c.TLS.CAFile = "redis://a", ca+"x"
	if o, err = redisOptions(c); err != nil || o.TLS != nil {
		t.Errorf("without TLS: got %+v, %v, want none", o.TLS, err)
	}
	// A user without a password would be nobody.
	c.Password = secret.String{}
	if _, err = redisOptions(c); err == nil || !strings.Contains(err.Error(), "TOCSIN_STORE_PASSWORD_FILE") {
		t.Errorf("a user without a password: got %v, want an error", err)
	}
}

func TestOpenStore(t *testing.T) {
	url := "redis://:" + secretWord + "@" + redistest.Single(t, "requirepass "+secretWord).Addr
	for name, c := range map[string]struct{ url, err string }{
		"memory":            {"mem:", ""},
		"a folder":          {"file:" + filepath.Join(t.TempDir(), "data"), ""},
		"Redis":             {url, ""},
		"another scheme":    {"postgres://u:" + secretWord + "@h", `"postgres://u:xxxxx@h" is not a store: write file:DIR`},
		"no scheme":         {"data", `"data" is not a store`},
		"no folder":         {"file:", "needs a folder"},
		"a URL of Redis":    {"redis://u:" + secretWord, "the port of a host is not a number"},
		"a wrong password":  {strings.Replace(url, secretWord, secretWord+"x", 1), "xxxxx@127.0.0.1"},
		"memory, and more":  {"mem:x", "mem:, with nothing behind it"},
		"nothing but redis": {"redis:", "// is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			var st store.Store
			err := redistest.Retry(t, func() (err error) {
				st, err = openURL(t.Context(), storeFlags{url: c.url}, opening{})
				return err
			})
			if (err == nil) != (st != nil) {
				t.Fatalf("got %v and %v, want either", st, err)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), secretWord)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if err != nil {
				return
			}
			if err := st.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// command runs the program.
func command(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e strings.Builder
	code = run(context.Background(), args, strings.NewReader(""), &o, &e)
	if shown := o.String() + e.String(); strings.Contains(shown, secretWord) {
		t.Errorf("tocsin %s shows the password:\n%s", strings.Join(args, " "), shown)
	}
	return code, o.String(), e.String()
}

// patiently is command, again if it says that a server did not answer in time.
func patiently(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	_ = redistest.Retry(t, func() error {
		if code, out, errOut = command(t, args...); code != exitOK {
			return errors.New(out + errOut)
		}
		return nil
	})
	return code, out, errOut
}

// TestStoreCheck: what people and scripts read, of servers that are good, poor, bad and away.
func TestStoreCheck(t *testing.T) {
	good := redistest.Single(t, "appendonly yes", "maxmemory 100mb", "requirepass "+secretWord)
	poor := redistest.Single(t)
	bad := redistest.Single(t, "maxmemory-policy allkeys-lru")
	away := redistest.Single(t)
	away.Stop()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password := write("password", secretWord+"\n")
	file := write("tocsin.yml", "store: {url: '"+good.URL()+"', password_file: password}\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want string // in what is written
	}{
		"a good one":          {[]string{"--store.url=" + good.URL(), "--store.password-file=" + password}, exitOK, "nothing is wrong with it"},
		"from a file":         {[]string{"--config.file=" + file}, exitOK, "nothing is stored in it yet"},
		"password in the URL": {[]string{"--store.url=redis://:" + secretWord + "@" + good.Addr}, exitOK, "redis://:xxxxx@" + good.Addr},
		"a poor one":          {[]string{"--store.url=" + poor.URL()}, exitOK, "warning: " + poor.Addr + ": appendonly is off"},
		"a bad one":           {[]string{"--store.url=" + bad.URL()}, exitError, "error: " + bad.Addr + ": maxmemory-policy is allkeys-lru"},
		"no password":         {[]string{"--store.url=" + good.URL()}, exitError, "it wants a password"},
		"one that is away":    {[]string{"--store.url=redis://:" + secretWord + "@" + away.Addr}, exitError, "connection refused"},
		"a folder":            {[]string{"--store.url=file:" + dir}, exitError, "tocsin store verify"},
		"not a store":         {[]string{"--store.url=http://u:" + secretWord + "@h"}, exitError, "is not a store"},
		"no such file":        {[]string{"--config.file=" + file + "x"}, exitError, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := patiently(t, append([]string{"store", "check"}, c.args...)...)
			if code != c.code || !strings.Contains(out+errOut, c.want) {
				t.Errorf("got exit code %d and\n%s%swant %d and %q", code, out, errOut, c.code, c.want)
			}
		})
	}

	// The environment does without a file, as containers have it.
	t.Setenv("TOCSIN_STORE_URL", good.URL())
	for variable, value := range map[string]string{"TOCSIN_STORE_PASSWORD": secretWord, "TOCSIN_STORE_PASSWORD_FILE": password} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			if code, out, errOut := patiently(t, "store", "check"); code != exitOK {
				t.Errorf("got exit code %d and\n%s%s", code, out, errOut)
			}
		})
	}

	// A script gets the same, also of one that is away.
	for url, want := range map[string]struct {
		ok      bool
		servers int
	}{"redis://:" + secretWord + "@" + good.Addr: {true, 1}, bad.URL(): {false, 1}, away.URL(): {false, 0}} {
		code, out, _ := patiently(t, "store", "check", "--store.url="+url, "-o", "json")
		var got struct {
			URL      string
			OK       bool
			Servers  []struct{ Address, Version, Role string }
			Findings []struct {
				Fatal bool
				Text  string
			}
		}
		if err := json.Unmarshal([]byte(out), &got, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if got.OK != want.ok || len(got.Servers) != want.servers || (code == exitOK) != want.ok || !want.ok && (len(got.Findings) == 0 || !got.Findings[0].Fatal) {
			t.Errorf("got exit code %d and %+v, want ok %v and %d servers", code, got, want.ok, want.servers)
		}
	}
}

// TestTokenInRedis: a first token can be made before any gateway runs.
func TestTokenInRedis(t *testing.T) {
	url := "--store.url=" + redistest.Single(t).URL()
	code, token, said := command(t, "token", "create", "--role=admin", "--name=first", url)
	if code != exitOK || len(strings.TrimSpace(token)) < 20 {
		t.Fatalf("got exit code %d, %q and %q", code, token, said)
	}
	if code, out, said := command(t, "token", "list", url); code != exitOK || !strings.Contains(out, "first") {
		t.Errorf("got exit code %d, %q and %q, want the token", code, out, said)
	}
}

// TestServeRefusesInALine: what keeps serve from starting is one line, without the password.
func TestServeRefusesInALine(t *testing.T) {
	away := redistest.Single(t)
	away.Stop()
	bad := redistest.Single(t, "maxmemory-policy allkeys-lru")
	for name, c := range map[string]struct{ url, want string }{
		"away": {"redis://:" + secretWord + "@" + away.Addr, "tocsin: store: redis://:xxxxx@" + away.Addr + ": dial tcp " + away.Addr + ": connect: connection refused"},
		"bad":  {bad.URL(), "tocsin: store: " + bad.URL() + ": " + bad.Addr + ": maxmemory-policy is allkeys-lru"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := patiently(t, "serve", "--web.listen-address=127.0.0.1:0", "--log.level=error", "--store.url="+c.url)
			if code != exitError || out != "" || !strings.HasPrefix(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("got exit code %d and %q%q, want %q in one line", code, out, errOut, c.want)
			}
		})
	}
}

func TestBackupOfRedis(t *testing.T) {
	to := filepath.Join(t.TempDir(), "x.tar")
	code, _, said := command(t, "store", "backup", "--store.url=redis://:"+secretWord+"@h", to)
	if _, err := os.Stat(to); code != exitError || !strings.Contains(said, "redis-cli --rdb") || err == nil {
		t.Errorf("got exit code %d, %q and the file %v, want how to back up Redis, and no file", code, said, err == nil)
	}
}

// TestDefaultStore: without flags and file the state is in the folder data.
func TestDefaultStore(t *testing.T) {
	got, err := (&storeFlags{}).settings(config.Default().Store)
	if err != nil || got.URL != "file:data" {
		t.Errorf("got %s, %v, want file:data", got.URL, err)
	}
}
