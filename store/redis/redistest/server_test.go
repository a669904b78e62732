package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// client is the client of the product, without its own repeats.
func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true, PoolSize: 4})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRequired(t *testing.T) {
	for value, want := range map[string]bool{"": false, "0": false, "1": true, "yes": true} {
		if got := required(value); got != want {
			t.Errorf("TOCSIN_E2E_REQUIRED=%q: got %v, want %v", value, got, want)
		}
	}
}

func TestASingleServerKeepsItsDataWithAppendonly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		end      func(*Server)
		want     string
	}{
		{"killed with appendfsync always", []string{"appendonly yes", "appendfsync always"}, (*Server).Kill, "one"},
		{"stopped with appendonly", []string{"appendonly yes"}, (*Server).Stop, "one"},
		{"killed without appendonly", nil, (*Server).Kill, ""},
		{"stopped without appendonly", nil, (*Server).Stop, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := Single(t, test.settings...)
			before := s.Info("server", "run_id")
			s.Do("SET", "a", "one")
			test.end(s)
			if _, err := s.DoErr("PING"); err == nil {
				t.Error("it answers although it has ended")
			}
			s.Restart()
			if got := s.Do("GET", "a"); got != test.want {
				t.Errorf("GET a: got %q, want %q", got, test.want)
			}
			if after := s.Info("server", "run_id"); after == before {
				t.Errorf("run_id is %q as before", after)
			}
		})
	}
}

// BenchmarkSingle is the time until a server is ready, and until it is gone.
func BenchmarkSingle(b *testing.B) {
	for b.Loop() {
		Single(b).Kill()
	}
}

func TestRestartWaitsUntilTheDataIsLoaded(t *testing.T) {
	t.Parallel()
	s := Single(t, "appendonly yes")
	s.Do("DEBUG", "POPULATE", "200000", "key", "100")
	s.Do("BGREWRITEAOF")
	s.await("rewritten", func() error {
		if s.Info("persistence", "aof_rewrite_in_progress")+s.Info("persistence", "aof_rewrite_scheduled") != "00" {
			return errors.New("it is rewriting its file")
		}
		return nil
	})
	s.Kill()
	s.Restart()
	if got := s.Do("DBSIZE"); got != "200000" {
		t.Errorf("DBSIZE right after Restart: got %s, want 200000", got)
	}
}

func TestAPausedServerAnswersNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	s := Single(t)
	c := client(t, s.Addr)
	if err := c.Set(t.Context(), "a", "one", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Get(ctx, "a").Err(); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("GET of a paused server: got %v, want that its time is over", err)
	}
	s.Resume()
	s.Resume()
	if got := s.Do("GET", "a"); got != "one" {
		t.Errorf("GET a: got %q, want one", got)
	}
	s.Pause() // Kill and the end of the test work on a paused one
}

func TestAKilledServersPortStaysItsOwn(t *testing.T) {
	t.Parallel()
	s := Single(t)
	s.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr); err == nil {
		c.Close()
		t.Fatal("somebody listens where the killed server was")
	}
	for range 2 {
		s.Restart()
		s.Do("PING")
		s.Kill()
	}
}

func TestAPortInUseIsToldFromOtherFailures(t *testing.T) {
	t.Parallel()
	program := Require(t)
	other := Single(t)
	s := &Server{t: t, name: "second", Dir: t.TempDir(), Addr: other.Addr, port: other.port, program: []string{program, "redis.conf"}}
	s.configure(role{}, nil)
	if err := s.start(); err == nil || !s.portInUse() {
		t.Errorf("on the port of another: got %v, in use %v, want an error and true", err, s.portInUse())
	}
	wrong := &Server{t: t, name: "wrong", Dir: t.TempDir(), program: []string{program, "redis.conf"}}
	wrong.reserve(false)
	wrong.configure(role{}, []string{"no-such-setting yes"})
	err := wrong.start()
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") || wrong.portInUse() {
		t.Errorf("with a wrong setting: got %v, in use %v, want an error that shows the log's end and false", err, wrong.portInUse())
	}
	// They have ended as they were to.
	s.Kill()
	wrong.Kill()
}

func TestWhatAServerTellsOfItself(t *testing.T) {
	t.Parallel()
	s := Single(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
	if got, want := s.URL(), "redis://"+s.Addr; got != want {
		t.Errorf("URL: got %q, want %q", got, want)
	}
	if got := s.Info("memory", "maxmemory_policy"); got != "allkeys-lru" {
		t.Errorf("INFO memory maxmemory_policy: got %q, want allkeys-lru", got)
	}
	for range 3 {
		s.Do("EVAL", "return redis.call('incr', KEYS[1])", "1", "n")
	}
	s.Do("CONFIG", "GET", "maxmemory")
	counts := s.CommandCount()
	for command, want := range map[string]int64{"eval": 3, "incr": 3, "config|get": 1, "get": 0} {
		if got := counts[command]; got != want {
			t.Errorf("calls of %s: got %d, want %d", command, got, want)
		}
	}
	before := s.CPU()
	s.Do("EVAL", "for i = 1, 3e7 do end", "0")
	if used := s.CPU() - before; used < 20*time.Millisecond || used > patience {
		t.Errorf("a loop of 30 million steps took %s of CPU", used)
	}
	answers := []struct {
		args []string
		want string
	}{
		{[]string{"GET", "nothing"}, ""},
		{[]string{"SET", "binary", "a\r\n$3\r\nb\x00"}, "OK"},
		{[]string{"GET", "binary"}, "a\r\n$3\r\nb\x00"},
		{[]string{"RPUSH", "list", "a", "", "c"}, "3"},
		{[]string{"LRANGE", "list", "0", "-1"}, "a\n\nc"},
		{[]string{"EVAL", "return {1, {2, false}, {}, 'x'}", "0"}, "1\n2\n\nx"},
	}
	for _, a := range answers {
		if got := s.Do(a.args...); got != a.want {
			t.Errorf("%q: got %q, want %q", a.args, got, a.want)
		}
	}
	if _, err := s.DoErr("LPUSH", "n", "x"); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE ") {
		t.Errorf("LPUSH to a number: got error %v, want WRONGTYPE", err)
	}
}

func TestDoWorksWhateverTheTestDoesWithTheUsers(t *testing.T) {
	t.Parallel()
	s := Single(t, "requirepass secret")
	c := client(t, s.Addr)
	if err := c.Ping(t.Context()).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("a client without password: got %v, want NOAUTH", err)
	}
	s.Do("ACL", "SETUSER", "default", "off")
	s.Do("ACL", "SETUSER", "tocsin", "on", ">word", "~tocsin:*", "+get", "+set", "+hello", "+client")
	named := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "tocsin", Password: "word", MaxRetries: -1})
	defer named.Close()
	if err := named.Set(t.Context(), "tocsin:a", 1, 0).Err(); err != nil {
		t.Errorf("SET of an allowed key: %v", err)
	}
	if err := named.Set(t.Context(), "other", 1, 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("SET of another key: got %v, want NOPERM", err)
	}
	if got := s.Do("GET", "tocsin:a"); got != "1" {
		t.Errorf("GET tocsin:a: got %q, want 1", got)
	}
}

func TestReplicasAreInSync(t *testing.T) {
	t.Parallel()
	all := Replicated(t, 2, "appendonly yes", "requirepass secret")
	master := all[0]
	c, err := dial(master.Addr, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.do(patience, "SET", "a", "one"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.do(patience, "WAIT", "2", "10000"); err != nil || got != "2" {
		t.Errorf("WAIT 2: got %s, %v, want 2", got, err)
	}
	for _, replica := range all[1:] {
		if got := replica.Do("GET", "a"); got != "one" {
			t.Errorf("GET a of %s: got %q, want one", replica, got)
		}
		if _, err := replica.DoErr("SET", "a", "two"); err == nil || !strings.HasPrefix(err.Error(), "READONLY ") {
			t.Errorf("SET a of %s: got %v, want READONLY", replica, err)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		cert     bool
		ca       bool
		works    bool
	}{
		{"a client that trusts the authority", nil, false, true, true},
		{"a client that does not", nil, false, false, false},
		{"a client without the certificate that is asked for", []string{"tls-auth-clients yes"}, false, true, false},
		{"a client with the certificate that is asked for", []string{"tls-auth-clients yes"}, true, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := SingleTLS(t, test.settings...)
			if want := "rediss://" + s.Addr; s.URL() != want {
				t.Errorf("URL: got %q, want %q", s.URL(), want)
			}
			if got := s.Do("PING"); got != "PONG" {
				t.Errorf("PING: got %q", got)
			}
			config := &tls.Config{MinVersion: tls.VersionTLS12}
			if test.ca {
				config.RootCAs = s.tls.RootCAs
			}
			if test.cert {
				config.Certificates = s.tls.Certificates
			}
			c := redis.NewClient(&redis.Options{Addr: s.Addr, TLSConfig: config, MaxRetries: -1})
			defer c.Close()
			if err := c.Ping(t.Context()).Err(); (err == nil) != test.works {
				t.Errorf("PING: got %v, want success: %v", err, test.works)
			}
			if err := client(t, s.Addr).Ping(t.Context()).Err(); err == nil {
				t.Error("it answers without TLS")
			}
		})
	}
}
