package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeRedis knows the commands of the bench and of the fake gateway.
type fakeRedis struct {
	addr string
	// mode, password and refused (commands) say how it behaves.
	mode, password string
	refused        []string

	mu       sync.Mutex
	values   map[string]string // by key, guarded by mu like all below
	commands int
	infos    int
	conns    []net.Conn
}

func newFakeRedis(t *testing.T) *fakeRedis {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRedis{addr: l.Addr().String(), mode: "standalone", values: map[string]string{}}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			served.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.hangUp()
		served.Wait()
	})
	return f
}

// set changes what it is, before anybody asks.
func (f *fakeRedis) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// hangUp closes all connections.
func (f *fakeRedis) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *fakeRedis) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.values))
}

func (f *fakeRedis) serve(c net.Conn) {
	r := bufio.NewReader(c)
	f.mu.Lock()
	allowed := f.password == ""
	f.mu.Unlock()
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.commands++
		answer := ""
		switch {
		case args[0] == "AUTH":
			allowed = args[len(args)-1] == f.password
			answer = "+OK\r\n"
			if !allowed {
				answer = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
			}
		case !allowed:
			answer = "-NOAUTH Authentication required.\r\n"
		case slices.Contains(f.refused, args[0]):
			answer = "-NOPERM this user has no permissions\r\n"
		default:
			answer = f.run(args)
		}
		f.mu.Unlock()
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func readCommand(r *bufio.Reader) (args []string, err error) {
	number := func(kind string) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), kind)
		if !ok {
			return 0, errors.New("not a command: " + line)
		}
		return strconv.Atoi(rest)
	}
	n, err := number("*")
	for range n {
		size, err := number("$")
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args = append(args, string(b[:size]))
	}
	return args, err
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// run answers one command with f.mu held.
func (f *fakeRedis) run(args []string) string {
	switch args[0] {
	case "INFO":
		return bulk(f.info())
	case "CONFIG":
		if args[2] == "maxmemory" {
			return "*0\r\n"
		}
		return "*2\r\n" + bulk(args[2]) + bulk("value of "+args[2])
	case "SELECT":
		return "+OK\r\n"
	case "DBSIZE":
		return fmt.Sprintf(":%d\r\n", len(f.values))
	case "APPEND":
		f.values[args[1]] += args[2]
		return fmt.Sprintf(":%d\r\n", len(f.values[args[1]]))
	case "GETRANGE":
		from, err := strconv.Atoi(args[2])
		if v := f.values[args[1]]; err == nil && from <= len(v) {
			return bulk(v[from:])
		}
		return bulk("")
	case "SCAN":
		return f.scan(args)
	case "UNLINK":
		for _, k := range args[1:] {
			delete(f.values, k)
		}
		return fmt.Sprintf(":%d\r\n", len(args)-1)
	}
	return "-ERR unknown command\r\n"
}

// scan answers one key a page; the cursor is the key before the next one.
func (f *fakeRedis) scan(args []string) string {
	prefix := strings.TrimSuffix(args[3], "*")
	all := slices.Sorted(maps.Keys(f.values))
	i := 0
	if args[1] != "0" {
		i, _ = slices.BinarySearch(all, args[1]+"\x00")
	}
	if i >= len(all) {
		return "*2\r\n" + bulk("0") + "*0\r\n"
	}
	if !strings.HasPrefix(all[i], prefix) {
		return "*2\r\n" + bulk(all[i]) + "*0\r\n"
	}
	return "*2\r\n" + bulk(all[i]) + "*1\r\n" + bulk(all[i])
}

// info says that each command takes a millisecond, and has buffers of
// connections that are larger each time.
func (f *fakeRedis) info() string {
	f.infos++
	memory := 1_000_000 + 5000*f.infos
	for _, v := range f.values {
		memory += len(v)
	}
	return fmt.Sprintf("# Server\r\nredis_version:7.9.9\r\nredis_mode:%s\r\n\r\n# Memory\r\nused_memory:%d\r\nmem_clients_normal:%d\r\nmem_aof_buffer:%d\r\nused_memory_rss:1\r\n"+
		"aof_rewrites:%d\r\nrdb_saves:0\r\nlazyfree_pending_objects:%d\r\ntotal_commands_processed:%d\r\nused_cpu_sys:%f\r\nused_cpu_user:1.5\r\nused_cpu_sys_children:0.25\r\n",
		f.mode, memory, 3000*f.infos, 2000*f.infos, f.infos, f.infos%3%2, f.commands, float64(f.commands)/1000)
}
