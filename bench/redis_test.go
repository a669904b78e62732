package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStoreURLsThatCannotBeMeasured(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"file:data", "leave the flag out"},
		{"rediss://127.0.0.1:6379", "only a single Redis without TLS"},
		{"redis-cluster://127.0.0.1:6379,127.0.0.1:6380", "only a single Redis"},
		{"127.0.0.1:6379", "cannot be read as a URL"},
		{"redis://:geheim@", "the host is missing"},
		{"redis://127.0.0.1:6379/geheim", "the database is not a number"},
		{"redis://user:gehe%im@127.0.0.1:6379", "cannot be read as a URL"},
		{"redis://user:gehe/im@127.0.0.1:6379", "cannot be read as a URL"},
		{"redis://127.0.0.1:6379?timeout=geheim", "only the option prefix"},
		{"redis://127.0.0.1:6379?prefix=", "the prefix is not"},
		{"redis://127.0.0.1:6379?prefix=all*", "the prefix is not"},
		{"redis://127.0.0.1:6379?prefix=a&prefix=b;c", "what follows the ?"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			_, err := newRedisServer(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "gehe") {
				t.Errorf("got %v, want an error with %q and no part of a password", err, tt.want)
			}
		})
	}
}

func TestEachStoreHasAPrefixOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		r, err := newRedisServer("redis://ann:se%40cret@127.0.0.1:7000/2?prefix=load")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			prefix, storeURL := r.newStore()
			if seen[prefix] || !strings.HasPrefix(prefix, "load-") {
				t.Errorf("prefix: got %q, want a new one that begins with load-", prefix)
			}
			seen[prefix] = true
			if want := "redis://ann:se%40cret@127.0.0.1:7000/2?prefix=" + prefix; storeURL != want {
				t.Errorf("url: got %s, want %s", storeURL, want)
			}
		}
		if r.addr != "127.0.0.1:7000" || r.username != "ann" || r.password != "se@cret" || r.database != "2" {
			t.Errorf("connection: got %+v, want what the URL says", r.redisConn)
		}
	}
	r, err := newRedisServer("redis://[::1]")
	if err != nil || r.addr != "[::1]:6379" || !strings.HasPrefix(r.name, "bench-") {
		t.Errorf("got %+v, %v, want the usual port and prefix", r, err)
	}
}

// TestAnswersOfRedis reads answers as redis-server 7.0 writes them.
func TestAnswersOfRedis(t *testing.T) {
	for _, tt := range []struct {
		wire string
		want any
		err  string
	}{
		{"+OK\r\n", "OK", ""},
		{":-12\r\n", int64(-12), ""},
		{"$4\r\na\r\nb\r\n", "a\r\nb", ""},
		{"$0\r\n\r\n", "", ""},
		{"$-1\r\n", nil, ""},
		{"*-1\r\n", nil, ""},
		{"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:7\r\n", []any{"0", []any{"a", int64(7)}}, ""},
		{"-NOAUTH Authentication required.\r\n", nil, "NOAUTH Authentication required."},
		{"HTTP/1.1 400 Bad Request\r\n", nil, "is no answer of Redis"},
		{"$99999999999\r\n", nil, "is no answer of Redis"},
		{"\r\n", nil, "an empty line"},
		{"$10\r\nshort", nil, "unexpected EOF"},
	} {
		t.Run(fmt.Sprintf("%.20q", tt.wire), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 100))
					_, _ = io.WriteString(c, tt.wire)
					_ = c.Close()
				}
			}()
			c := &redisConn{addr: l.Addr().String()}
			defer c.close()
			got, err := c.do(t.Context(), "PING")
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %v, want %#v, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAConnectionThatRedisClosedIsOpenedAgain(t *testing.T) {
	f := newFakeRedis(t)
	c := &redisConn{addr: f.addr}
	defer c.close()
	for range 2 {
		if _, err := c.do(t.Context(), "DBSIZE"); err != nil {
			t.Fatal(err)
		}
		f.hangUp()
	}
}

func TestUsageOfRedis(t *testing.T) {
	f := newFakeRedis(t)
	r, err := newRedisServer("redis://" + f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	before, err := r.usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if _, err := r.do(t.Context(), "APPEND", "key", strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
	}
	after, err := r.usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The second INFO is the tenth command after the first.
	if d := after.cpu - before.cpu; d.Round(time.Millisecond) != 10*time.Millisecond || before.cpu < 1750*time.Millisecond {
		t.Errorf("CPU: got %v after %v, want 10 ms more, children's included", after.cpu, before.cpu)
	}
	if d := after.memory - before.memory; d != 900 {
		t.Errorf("memory: got %d bytes more, want 900 without the buffers of connections", d)
	}
	if d := after.commands - before.commands; d != 10 {
		t.Errorf("commands: got %d, want 10", d)
	}
}

func TestOnlyTheKeysOfTheStoreAreRemoved(t *testing.T) {
	f := newFakeRedis(t)
	r, err := newRedisServer("redis://" + f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	mine, _ := r.newStore()
	kept := []string{"a", mine, mine + "0:{00}:keys", r.name + ":{00}:keys", "tocsin:{00}:keys", "x" + mine + ":"}
	for _, k := range slices.Concat(kept, []string{mine + ":{00}:keys", mine + ":{63}:index:state:open", mine + ":"}) {
		f.values[k] = "v"
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as after Ctrl-C
	if err := r.remove(ctx, mine); err != nil {
		t.Fatal(err)
	}
	slices.Sort(kept)
	if got := f.keys(); !slices.Equal(got, kept) {
		t.Errorf("left: got %q, want %q", got, kept)
	}
	f.refused = []string{"UNLINK"}
	f.values[mine+":{00}:keys"] = "v"
	if err := r.remove(t.Context(), mine); err == nil || !strings.Contains(err.Error(), "keys are left: "+mine+":*") {
		t.Errorf("remove without permission: got %v, want an error that names what is left", err)
	}
}

func TestARedisThatCannotBeMeasured(t *testing.T) {
	free, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	cluster, locked, silent := newFakeRedis(t), newFakeRedis(t), newFakeRedis(t)
	cluster.set(func() { cluster.mode = "cluster" })
	locked.set(func() { locked.password = "secret" })
	silent.set(func() { silent.refused = []string{"INFO"} })
	for _, tt := range []struct{ name, url, want string }{
		{"nobody answers", "redis://" + free, free},
		{"a node of a cluster", "redis://" + cluster.addr, `runs as "cluster"`},
		{"no password", "redis://" + locked.addr, "NOAUTH"},
		{"a wrong password", "redis://:wrong@" + locked.addr, "WRONGPASS"},
		{"no permission", "redis://" + silent.addr, "INFO: NOPERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Run(t.Context(), Options{StoreURL: tt.url, Workloads: []string{W1}}, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRunOnRedis(t *testing.T) {
	f := newFakeRedis(t)
	f.set(func() { f.password, f.values["tocsin:{00}:keys"] = "secret", "of the real one" })
	var out strings.Builder
	err := Run(t.Context(), Options{StoreURL: "redis://:secret@" + f.addr + "/1", Gateways: 2, Scale: 0.01, Rounds: 1, Output: "json",
		Workloads: []string{W1, W2, W4, Memory, Restart, Growth}}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if got := f.keys(); !slices.Equal(got, []string{"tocsin:{00}:keys"}) {
		t.Errorf("keys afterwards: got %q, want those of others", got)
	}
	var r Report
	decode(t, []byte(out.String()), &r)
	if s := r.Redis; s == nil || s.Version != "7.9.9" || s.OtherKeys != 1 || s.Rewrites < 10 || s.Settings["appendfsync"] != "value of appendfsync" || s.Settings["maxmemory"] != "unknown" || r.Gateways != 2 {
		t.Errorf("facts: got %+v and %d gateways, want those of the fake", s, r.Gateways)
	}
	// Each request of a load is one GETRANGE, and one APPEND if it changes something.
	if got := r.result(W2, tocsin); got == nil || got.RedisCommandsPer1000 < 20 || got.RedisCPUPer1000 < 0.02 || got.CPUPer1000 < got.RedisCPUPer1000 {
		t.Errorf("W2: got %+v, want at least 20 commands of a millisecond per 1,000 alerts, and their CPU in the sum", got)
	}
	if got := r.result(W2, bare); got == nil || got.RedisCPUPer1000 != 0 {
		t.Errorf("W2 of the bare handler: got %+v, want no CPU of Redis", got)
	}
	// A line of the fake's log is a status, a fingerprint and a key.
	if p := r.Footprint; p == nil || p.Alerts != 10_000 || p.RedisBytesPerAlert < 40 || p.RedisBytesPerAlert > 80 || p.DiskBytes != 0 || p.ReadySeconds <= 0 {
		t.Errorf("footprint: got %+v, want 10000 alerts of 40 to 80 bytes in Redis, and a time to ready", p)
	}
	checkGrowth(t, r.Growth)
	if s := r.Growth.Stored; s.Sample != 1000 && s.Sample != s.Incidents || s.Closed <= s.Resolved {
		t.Errorf("stored incidents: got %+v, want closed ones that are larger than resolved ones", s)
	}
}

func TestRunFindsLostAlertsOnRedis(t *testing.T) {
	t.Setenv("BENCH_FAKE", "forgets")
	f := newFakeRedis(t)
	var out strings.Builder
	err := Run(t.Context(), Options{StoreURL: "redis://" + f.addr, Gateways: 2, Scale: 0.01, Rounds: 1, Workloads: []string{Growth}}, &out)
	if !errors.Is(err, ErrWrong) || !strings.Contains(out.String(), "WRONG: round 1, growth of alerts: ") {
		t.Errorf("gateways that forget alerts: got %v, want ErrWrong\n%s", err, out.String())
	}
	if got := f.keys(); len(got) > 0 {
		t.Errorf("keys afterwards: got %q, want none", got)
	}
}

// closedAfter is a pipe whose reader leaves after some lines.
type closedAfter int

func (n *closedAfter) Write(b []byte) (int, error) {
	if *n--; *n < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestNothingIsLeftWhenNobodyReadsTheOutput(t *testing.T) {
	f := newFakeRedis(t)
	lines := closedAfter(1)
	err := Run(t.Context(), Options{StoreURL: "redis://" + f.addr, Scale: 0.01, Workloads: []string{Growth}}, &lines)
	if !errors.Is(err, context.Canceled) || lines != -1 {
		t.Errorf("got %v after %d lines that nobody read, want the run to end at the first", err, -lines)
	}
	if got := f.keys(); len(got) > 0 {
		t.Errorf("keys afterwards: got %q, want none", got)
	}
}
