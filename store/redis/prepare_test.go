package redis

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/redisurl"
	"github.com/tocsin-gateway/tocsin/store/storetest"
)

// secretWord is a password that no message may show.
const secretWord = "s3cret-word"

// userURL is the URL of a server for a user of ours.
func userURL(s *redistest.Server, user string) string {
	return "redis://" + user + ":" + secretWord + "@" + s.Addr
}

// TestStartErrors: what keeps us from working is said at the start, in a line
// that says what to do, and store check says the same.
func TestStartErrors(t *testing.T) {
	for name, c := range map[string]struct {
		start func(t *testing.T) (url string, o Options)
		want  string
	}{
		"an old version": {func(t *testing.T) (string, Options) {
			return "redis://" + fake(t, "redis_version:6.2.0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n"), Options{}
		}, "its version is 6.2.0: Tocsin needs Redis 7.0 or later"},
		"another number of shards": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("SET", "tocsin:{00}:schema", `{"name":"tocsin","major":1,"minor":0,"shards":16}`)
			return s.URL(), Options{}
		}, "it has 16 shards, this version has 64: copy it into a new one with tocsin store copy"},
		"a newer schema": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("SET", "tocsin:{00}:schema", `{"name":"tocsin","major":2,"minor":3,"shards":64}`)
			return s.URL(), Options{}
		}, "it was written by a newer version (schema 2.3, this one knows 1.x): run that version"},
		"somebody else's value under our key": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("SET", "tocsin:{00}:schema", "theirs")
			return s.URL(), Options{}
		}, "was not written by Tocsin: use another database, or another prefix"},
		"another kind of value under our key": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("RPUSH", "tocsin:{00}:schema", "theirs")
			return s.URL(), Options{}
		}, "was not written by Tocsin: use another database, or another prefix"},
		"a policy that throws incidents away": {func(t *testing.T) (string, Options) {
			return redistest.Single(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru").URL(), Options{}
		}, "maxmemory-policy is allkeys-lru, which throws incidents away when memory is short: set it to noeviction"},
		"a replica": {func(t *testing.T) (string, Options) {
			return redistest.Replicated(t, 1)[1].URL(), Options{}
		}, "it is a replica: name its master, or its Sentinels"},
		"synced, where the server cannot": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			if v := s.Info("server", "redis_version"); atLeast(v, 7, 2) {
				t.Skipf("SKIP: Redis %s has WAITAOF", v)
			}
			return s.URL(), Options{Durability: Synced}
		}, "durability is synced, which needs WAITAOF of Redis 7.2: use replicated, or appendfsync always"},
		"a wrong password": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t, "requirepass other")
			return "redis://:" + secretWord + "@" + s.Addr, Options{}
		}, "wrong user or password (WRONGPASS"},
		"no password where one is wanted": {func(t *testing.T) (string, Options) {
			return redistest.Single(t, "requirepass "+secretWord).URL(), Options{}
		}, "it wants a password: name the file that has it, with store.password_file or TOCSIN_STORE_PASSWORD_FILE (NOAUTH"},
		"a user who may only read": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~tocsin:*", "+@read", "+info", "+eval", "+evalsha", "+eval_ro", "+evalsha_ro", "+time")
			return userURL(s, "weak"), Options{}
		}, "the user lacks permissions, docs/operations.md has the line that gives all that are needed: DEL, HDEL, HINCRBY, HSET, SET, ZADD, ZREM, ZREMRANGEBYSCORE ("},
		"a user who may not run scripts": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~*", "+@all", "-@scripting")
			return userURL(s, "weak"), Options{}
		}, "a script cannot run: the user lacks a permission: docs/operations.md has the line that gives all that are needed (NOPERM"},
		"a user who may not run scripts that read": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~*", "+@all", "-evalsha_ro")
			return userURL(s, "weak"), Options{}
		}, "a script cannot run: the user lacks a permission"},
		"a user of other keys": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~other:*", "+@all")
			return userURL(s, "weak"), Options{}
		}, "no permissions to access one of the keys"},
		"a user of one shard": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~tocsin:{00}:*", "+@all")
			return userURL(s, "weak"), Options{}
		}, "no permissions to access one of the keys"},
		"a user who may not ask": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~*", "+@all", "-info")
			return userURL(s, "weak"), Options{}
		}, "the user lacks a permission: docs/operations.md has the line that gives all that are needed (NOPERM"},
		"a user who may not wait": {func(t *testing.T) (string, Options) {
			s := redistest.Replicated(t, 1)[0]
			s.Do("ACL", "SETUSER", "weak", "on", ">"+secretWord, "~*", "+@all", "-wait")
			return userURL(s, "weak"), Options{Durability: Replicated}
		}, "durability is replicated: the user lacks a permission"},
		"nobody there": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Stop()
			return "redis://:" + secretWord + "@" + s.Addr, Options{}
		}, "connect: connection refused"},
		"somebody who does not answer": {func(t *testing.T) (string, Options) {
			s := redistest.Single(t)
			s.Pause()
			return s.URL(), Options{}
		}, "it did not answer in time ("},
		"no database of this number": {func(t *testing.T) (string, Options) {
			return redistest.Single(t).URL() + "/99", Options{}
		}, "it has no database of this number ("},
		"a certificate of somebody unknown": {func(t *testing.T) (string, Options) {
			return redistest.SingleTLS(t).URL(), Options{}
		}, "its certificate is not signed by anybody who is trusted: name who signed it in store.tls.ca_file ("},
		"a certificate for another name": {func(t *testing.T) (string, Options) {
			s := redistest.SingleTLS(t)
			o := Options{TLS: trusting(t, s)}
			o.TLS.ServerName = "redis.example.com"
			return s.URL(), o
		}, "its certificate does not fit (tls: failed to verify certificate: x509:"},
		"no certificate of ours": {func(t *testing.T) (string, Options) {
			s := redistest.SingleTLS(t, "tls-auth-clients yes")
			return s.URL(), Options{TLS: trusting(t, s)}
		}, "name one in store.tls.cert_file and key_file ("},
		"TLS where there is none": {func(t *testing.T) (string, Options) {
			return "rediss://" + redistest.Single(t).Addr, Options{}
		}, "if it does not speak TLS write redis in place of rediss ("},
		"no TLS where there is": {func(t *testing.T) (string, Options) {
			return "redis://" + redistest.SingleTLS(t).Addr, Options{}
		}, "it closed the connection: if it wants TLS write rediss in place of redis ("},
		"a Sentinel as if it were a server": {func(t *testing.T) (string, Options) {
			return "redis://" + redistest.Sentinel(t, 1).Sentinels[0].Addr, Options{}
		}, "it is a Sentinel: write redis-sentinel://HOST:26379/NAME"},
		"a server as if it were a Sentinel": {func(t *testing.T) (string, Options) {
			return "redis-sentinel://" + redistest.Single(t).Addr + "/mymaster", Options{}
		}, "it is not a Sentinel: write redis in place of redis-sentinel ("},
		"a name that the Sentinels do not know": {func(t *testing.T) (string, Options) {
			return "redis-sentinel://" + redistest.Sentinel(t, 1).Sentinels[0].Addr + "/nobody", Options{}
		}, "the Sentinels know no master of this name ("},
		"a server as if it were a cluster": {func(t *testing.T) (string, Options) {
			return "redis-cluster://" + redistest.Single(t).Addr, Options{}
		}, "it is not part of a cluster: write redis in place of redis-cluster ("},
		"a cluster as if it were a server": {func(t *testing.T) (string, Options) {
			return redistest.Cluster(t, 3, 0).Nodes[0].URL(), Options{}
		}, "it is part of a cluster: write redis-cluster in place of redis"},
		"a cluster with a user on some servers": {func(t *testing.T) (string, Options) {
			c := redistest.Cluster(t, 3, 0)
			c.Nodes[0].Do("ACL", "SETUSER", "ours", "on", ">"+secretWord, "~*", "+@all")
			c.Nodes[1].Do("ACL", "SETUSER", "ours", "on", ">"+secretWord, "~*", "+@all")
			return c.URL(), Options{Username: "ours", Password: secretWord}
		}, "wrong user or password (WRONGPASS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, o := c.start(t)
			o.Logger = logTo(t)
			text, said := "", ""
			_ = redistest.Retry(t, func() error {
				s, err := Open(t.Context(), url, o)
				if err == nil {
					_ = s.Close() // what is wrong is that it could be opened
					t.Fatal("it was opened")
				}
				if text = err.Error(); strings.Contains(text, c.want) {
					return nil
				}
				return err
			})
			if !strings.Contains(text, c.want) || !strings.HasPrefix(text, "store: "+Redacted(url)+": ") {
				t.Errorf("Open: got %q, want the URL and %q", text, c.want)
			}
			var found Report
			var err error
			_ = redistest.Retry(t, func() error {
				found, err = Examine(t.Context(), url, o)
				if said = fmt.Sprint(err, found.Findings); strings.Contains(said, c.want) {
					return nil
				}
				return errors.New(said)
			})
			if !strings.Contains(said, c.want) || err == nil && found.Fatal() != 1 {
				t.Errorf("Examine: got %v and findings %v, want one that is fatal, with %q", err, found.Findings, c.want)
			}
			if strings.Contains(text+said, secretWord) || strings.Contains(text, "\n") || err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q and %q, want lines without the password", text, said)
			}
		})
	}
}

func mustParse(t *testing.T, url string) redisurl.Target {
	t.Helper()
	target, err := redisurl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// fake is a server that answers INFO with a text and else as an empty one would.
func fake(t *testing.T, info string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go answer(c, info)
		}
	}()
	return l.Addr().String()
}

// answer serves one connection: it understands arrays of bulk strings only.
func answer(c net.Conn, info string) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	line := func() string {
		text, _ := in.ReadString('\n') // an error ends the loop below
		return strings.TrimRight(text, "\r\n")
	}
	for {
		var n int
		if _, err := fmt.Sscanf(line(), "*%d", &n); err != nil || n < 1 {
			return
		}
		words := make([]string, n)
		for i := range words {
			line() // its length: none of ours has a line's end in it
			words[i] = line()
		}
		reply := "$-1\r\n"
		switch strings.ToUpper(words[0]) {
		case "HELLO":
			reply = "-ERR unknown command\r\n"
		case "INFO":
			reply = fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
		case "CONFIG":
			reply = "*0\r\n"
		}
		if _, err := c.Write([]byte(reply)); err != nil {
			return
		}
	}
}

// trusting is TLS that knows who signed the server's certificate.
func trusting(t *testing.T, s *redistest.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// TestExamine: what store check tells of a server, with a gateway at work on it.
func TestExamine(t *testing.T) {
	servers := redistest.Replicated(t, 1, "appendonly yes", "appendfsync always", "maxmemory 50mb")
	url := servers[0].URL()
	empty, err := examine(t, url, Options{})
	if err != nil || empty.Schema != "" || empty.Shards != 0 || empty.Gateways != 0 {
		t.Errorf("an empty one: got %+v, %v, want nothing stored", empty, err)
	}
	if n := servers[0].Do("DBSIZE"); n != "0" {
		t.Errorf("%s keys are there afterwards, want none", n)
	}
	s := another(t, url, Options{})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.present(t.Context())
	r, err := examine(t, url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Schema != "1.0" || r.Shards != 64 || r.Gateways != 1 || r.Fatal() != 0 || len(r.Findings) != 0 {
		t.Errorf("got %+v, want schema 1.0, 64 shards, 1 gateway and no findings", r)
	}
	for n, want := range []string{"master", "replica"} {
		at := slices.IndexFunc(r.Servers, func(s Server) bool { return s.Address == servers[n].Addr })
		if at < 0 {
			t.Fatalf("got %+v, want %s in it", r.Servers, servers[n])
		}
		got := r.Servers[at]
		if got.UsedMemory <= 0 || !atLeast(got.Version, 7, 0) {
			t.Errorf("%s: got %+v, want its version and memory", servers[n], got)
		}
		got.UsedMemory, got.Version, got.replicas = 0, "", nil
		if wanted := (Server{Address: servers[n].Addr, Product: "Redis", Role: want, Replicas: 1 - n, AppendOnly: true, AppendFsync: "always",
			MaxMemory: 50 << 20, Policy: "noeviction"}); fmt.Sprint(got) != fmt.Sprint(wanted) {
			t.Errorf("got %+v, want %+v", got, wanted)
		}
	}
}

// TestExamineNamesTheMaster: behind Sentinels and in a cluster each server is named.
func TestExamineNamesTheMaster(t *testing.T) {
	t.Run("Sentinel", func(t *testing.T) {
		s := redistest.Sentinel(t, 1).Steady()
		r, err := examine(t, s.URL(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		master := s.Master().Addr
		if len(r.Servers) != 2 || !slices.ContainsFunc(r.Servers, func(s Server) bool { return s.Address == master && s.Role == "master" }) {
			t.Errorf("got %+v, want the master %s and a replica", r.Servers, master)
		}
		for _, f := range r.Findings {
			if !slices.ContainsFunc(r.Servers, func(s Server) bool { return s.Address == f.Server }) {
				t.Errorf("%s is of none of them", f)
			}
		}
	})
	t.Run("Cluster", func(t *testing.T) {
		c := redistest.Cluster(t, 3, 1).Steady()
		r, err := examine(t, c.URL(), Options{Durability: Replicated})
		if err != nil || r.Fatal() != 0 {
			t.Fatal(r, err)
		}
		masters := 0
		for _, s := range r.Servers {
			if s.Role == "master" {
				masters++
			}
		}
		if len(r.Servers) != 6 || masters != 3 {
			t.Errorf("got %+v, want three masters and three replicas", r.Servers)
		}
	})
}

// TestReplicatedWithoutAReplica: a gateway that starts just after a failover has
// to come up, because it may have to spool; nothing is accepted before a replica is there.
func TestReplicatedWithoutAReplica(t *testing.T) {
	s := redistest.Single(t)
	// WAIT takes 400 ms of the 500 ms that an answer may take, so it may come too late as well.
	o := Options{Durability: Replicated, Logger: logTo(t), Timeout: 2 * time.Second}
	r, err := examine(t, s.URL(), o)
	if err != nil || r.Fatal() != 0 || !strings.Contains(fmt.Sprint(r.Findings), "it has 0 of 1 replicas: nothing is accepted") {
		t.Errorf("got %+v, %v, want a warning", r.Findings, err)
	}
	st := another(t, s.URL(), o)
	await(t, "no replica confirms", func() bool {
		err := st.Check(t.Context())
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v, want %v", err, store.ErrUnavailable)
		}
		return strings.Contains(err.Error(), errUnconfirmed.Error())
	})
}

func TestJudgeWarns(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := newStore("redis://h", mustParse(t, "redis://h"), Options{})
	for name, c := range map[string]struct{ info, want string }{
		"all is well":              {"", ""},
		"Valkey of any version":    {"redis_version:5.0.0\nvalkey_version:8.0.1", ""},
		"nothing on disk":          {"aof_enabled:0", "appendonly is off"},
		"no limit of memory":       {"maxmemory:0", "maxmemory is not set"},
		"memory that is short":     {"used_memory:950", "95 % of maxmemory are used"},
		"a disk that is full":      {"aof_last_write_status:err", "it could not write to its disk the last time (aof_last_write_status is err)"},
		"a clock that is ahead":    {"server_time_usec:1800000600000000", "its clock is 10m0s ahead of this machine's"},
		"a clock that is behind":   {"server_time_usec:1799999400000000", "its clock is -10m0s ahead of this machine's"},
		"a clock that is near":     {"server_time_usec:1800000002000000", ""},
		"a replica of the replica": {"role:slave", ""},
	} {
		t.Run(name, func(t *testing.T) {
			info := map[string]string{"redis_version": "7.0.15", "role": "master", "aof_enabled": "1", "maxmemory": "1000", "used_memory": "10", "maxmemory_policy": "noeviction"}
			for line := range strings.Lines(c.info) {
				field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				info[field] = value
			}
			got := s.judge(newServer("h:6379", info), info, info["role"] == "slave", now)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0].Fatal || !strings.Contains(got[0].Text, c.want)) {
				t.Errorf("got %v, want %q", got, c.want)
			}
		})
	}
}

// documentedUser is the ACL line of docs/operations.md, without its password.
func documentedUser(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ACL SETUSER tocsin .*$`).FindAllString(string(text), -1)
	if len(lines) != 1 {
		t.Fatalf("docs/operations.md has %d lines ACL SETUSER, want one: %q", len(lines), lines)
	}
	line := strings.Replace(lines[0], ">PASSWORD", ">"+secretWord, 1)
	if !strings.Contains(line, secretWord) || strings.Contains(line, "@all") || strings.Contains(line, "~* ") {
		t.Fatalf("got %q, want a password, and neither all commands nor all keys", line)
	}
	return strings.Fields(line)
}

// mayNot are commands that the documented user is not to have.
var mayNot = [][]string{{"KEYS", "*"}, {"FLUSHALL"}, {"FLUSHDB"}, {"CONFIG", "GET", "*"}, {"SCAN", "0"}, {"DEBUG", "JMAP"}, {"SHUTDOWN", "NOSAVE"},
	{"GET", "other"}, {"SCRIPT", "FLUSH"}, {"CLIENT", "LIST"}, {"ACL", "LIST"}}

// TestDocumentedUser: the ACL line of the documentation gives all that is
// needed, for the whole suite, and little more.
func TestDocumentedUser(t *testing.T) {
	t.Parallel()
	line := documentedUser(t)
	s := redistest.Single(t, "appendonly yes")
	s.Do(line...)
	var stores atomic.Int64
	storetest.Run(t, func(t *testing.T, so storetest.Options) store.Store {
		url := fmt.Sprintf("%s?prefix=tocsin:%d", userURL(s, "tocsin"), stores.Add(1))
		st := another(t, url, Options{Now: so.Now})
		st.present(t.Context())
		return st
	})
	noDenials(t, s)
	for _, command := range mayNot {
		if got := s.Do(append([]string{"ACL", "DRYRUN", "tocsin"}, command...)...); got == "OK" {
			t.Errorf("the documented user may %v", command)
		}
	}
}

// noDenials fails if the server has refused something to somebody.
func noDenials(t *testing.T, s *redistest.Server) {
	t.Helper()
	if got := s.Do("ACL", "LOG"); got != "" {
		t.Errorf("%s refused:\n%s", s, got)
	}
}

// TestDocumentedUserElsewhere: it suffices with replicas that are waited for,
// behind Sentinels, and in a cluster.
func TestDocumentedUserElsewhere(t *testing.T) {
	t.Parallel()
	line := documentedUser(t)
	for name, start := range map[string]func(t *testing.T) (url string, servers []*redistest.Server){
		"with replicas": func(t *testing.T) (string, []*redistest.Server) {
			all := redistest.Replicated(t, 1)
			return all[0].URL(), all
		},
		"behind Sentinels": func(t *testing.T) (string, []*redistest.Server) {
			all := redistest.Sentinel(t, 1).Steady()
			return all.URL(), all.Servers
		},
		"in a cluster": func(t *testing.T) (string, []*redistest.Server) {
			all := redistest.Cluster(t, 3, 1).Steady()
			return all.URL(), all.Nodes
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, servers := start(t)
			for _, s := range servers {
				s.Do(line...)
			}
			s := another(t, url, Options{Username: "tocsin", Password: secretWord, Durability: Replicated})
			s.present(t.Context())
			if n, err := s.Gateways(t.Context()); n != 1 || err != nil {
				t.Errorf("gateways: got %d, %v, want 1", n, err)
			}
			err := s.Check(t.Context())
			for n := 0; n < 20 && errors.Is(err, errUnconfirmed); n++ { // 400 ms can be short on a busy machine
				err = s.Check(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := s.Statistics(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			for _, s := range servers {
				noDenials(t, s)
			}
		})
	}
}
