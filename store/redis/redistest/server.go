package redistest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// We have a user of our own in each server, so that tests can do with the
// others, the default one included, what they like.
const (
	adminUser     = "redistest"
	adminPassword = "redistest"
)

// Server is one redis-server process, and the next one after Restart. One that ends
// although nobody has called Kill or Stop fails the test.
type Server struct {
	// Addr is where it listens, 127.0.0.1:port; it never changes.
	Addr string
	// Dir is its folder, with redis.conf, its log and what it stores.
	Dir string
	// CAFile, CertFile and KeyFile are set by SingleTLS: who signs its
	// certificate, and a certificate for a client.
	CAFile, CertFile, KeyFile string

	t       testing.TB
	name    string
	program []string // the command line
	port    int
	bus     int // the cluster's own port, or 0
	tls     *tls.Config
	// tune are commands that follow each start.
	tune [][]string

	mu      sync.Mutex
	process *process // guarded by mu; nil before the first start
	paused  bool     // guarded by mu
	// wanted says that nobody has killed or stopped it; guarded by mu.
	wanted bool
}

// process is one run of a server.
type process struct {
	cmd *exec.Cmd
	// exited is closed when it has ended and was waited for; err is set before.
	exited chan struct{}
	err    error
}

// role is what a server is started as.
type role struct {
	name     string
	sentinel bool
	cluster  bool
	tls      bool
}

// attempts is how many ports are tried. Reserved ones are never in use, but not
// every system can reserve.
const attempts = 5

// launch starts a server and waits until it answers.
func launch(t testing.TB, as role, settings []string) *Server {
	t.Helper()
	program := Require(t)
	var err error
	for range attempts {
		s := &Server{t: t, name: as.name, Dir: filepath.Join(t.TempDir(), as.name)}
		if err = os.Mkdir(s.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if s.program = []string{program, "redis.conf"}; as.sentinel {
			s.program = append(s.program, "--sentinel")
		}
		if as.tls {
			s.CAFile, s.CertFile, s.KeyFile = Certificates(t)
			s.tls = clientTLS(t, s)
		}
		s.reserve(as.cluster)
		s.configure(as, settings)
		// After TempDir, so that it has ended when the folder is removed.
		t.Cleanup(s.end)
		if err = s.start(); err == nil {
			return s
		}
		if !s.portInUse() {
			break
		}
		s.Kill()
	}
	t.Fatal(err)
	return nil
}

// reserve takes the ports.
func (s *Server) reserve(cluster bool) {
	s.t.Helper()
	ports := []*int{&s.port}
	if cluster {
		ports = append(ports, &s.bus)
	}
	for _, p := range ports {
		port, release, err := reserve()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(release)
		*p = port
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// configure writes redis.conf. A later line wins over an earlier one.
func (s *Server) configure(as role, settings []string) {
	s.t.Helper()
	lines := []string{
		"bind 127.0.0.1",
		"protected-mode no",
		"daemonize no",
		"dir ./",
		// Its log goes to where its output goes, which also has what it says
		// before it has read this.
		`logfile ""`,
		"user " + adminUser + " on >" + adminPassword + " ~* &* +@all",
	}
	if as.tls {
		lines = append(lines, "port 0", fmt.Sprintf("tls-port %d", s.port), "tls-ca-cert-file "+quote(s.CAFile),
			"tls-cert-file "+quote(s.CertFile), "tls-key-file "+quote(s.KeyFile), "tls-auth-clients no")
	} else {
		lines = append(lines, fmt.Sprintf("port %d", s.port))
	}
	if !as.sentinel {
		lines = append(lines, `save ""`, "enable-debug-command yes", "masteruser "+adminUser, "masterauth "+adminPassword,
			// Five seconds in case more replicas come is for large data.
			"repl-diskless-sync-delay 0")
	}
	if as.cluster {
		lines = append(lines, "cluster-enabled yes", "cluster-config-file nodes.conf", fmt.Sprintf("cluster-port %d", s.bus),
			"cluster-node-timeout 1000")
	}
	text := strings.Join(append(lines, settings...), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "redis.conf"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// quote is for file names in redis.conf.
func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

const logName = "redis.log"

// start starts the process and waits until it answers PONG, which is after it
// has loaded its data.
func (s *Server) start() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("redistest: %s: %w", s.name, err)
	}
	defer log.Close() // the process has its own
	p := &process{cmd: exec.Command(s.program[0], s.program[1:]...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.Dir, log, log
	if err := start(p.cmd); err != nil {
		return fmt.Errorf("redistest: %s: %w", s.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	s.mu.Lock()
	s.process, s.paused, s.wanted = p, false, true
	s.mu.Unlock()
	if err := poll(p, s.ready); err != nil {
		return fmt.Errorf("redistest: %s does not start: %w\n%s", s.name, err, s.log())
	}
	for _, command := range s.tune {
		if _, err := s.DoErr(command...); err != nil {
			return fmt.Errorf("redistest: %s: %q: %w", s.name, command, err)
		}
	}
	return nil
}

// ready says why the process does not serve yet.
func (s *Server) ready() error {
	if _, err := s.DoErr("PING"); err != nil {
		return err
	}
	info, err := s.info("server")
	if err != nil {
		return err
	}
	if got, want := info["process_id"], strconv.Itoa(s.running().cmd.Process.Pid); got != want {
		return fmt.Errorf("process %s has its port, want %s", got, want)
	}
	return nil
}

// poll calls check until it returns nil, p has ended (nil: no process is watched)
// or patience is over.
func poll(p *process, check func() error) error {
	var exited chan struct{}
	if p != nil {
		exited = p.exited
	}
	timeout := time.After(patience)
	next := time.NewTicker(tick)
	defer next.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-next.C:
		case <-exited:
			return fmt.Errorf("it has ended: %v", p.err)
		case <-timeout:
			return fmt.Errorf("not within %s: %w", patience, err)
		}
	}
}

// await waits until check returns nil, and ends the test if it never does.
func (s *Server) await(what string, check func() error) {
	s.t.Helper()
	if err := poll(s.running(), check); err != nil {
		s.t.Fatalf("redistest: %s at %s is not %s: %v\n%s", s.name, s.Addr, what, err, s.log())
	}
}

// portInUse reports whether the log says that somebody else has the port.
func (s *Server) portInUse() bool {
	text, err := os.ReadFile(filepath.Join(s.Dir, logName))
	return err == nil && bytes.Contains(text, []byte("Address already in use"))
}

// log is the end of the server's log.
func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, logName))
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(bytes.TrimRight(text, "\n"), []byte("\n"))
	return fmt.Sprintf("%s at %s said last:\n%s", s.name, s.Addr, bytes.Join(lines[max(0, len(lines)-40):], nil))
}

// end is the end of the test.
func (s *Server) end() {
	s.mu.Lock()
	p, wanted := s.process, s.wanted
	s.mu.Unlock()
	if p != nil {
		select {
		case <-p.exited:
			if wanted {
				s.t.Errorf("redistest: %s at %s has ended by itself: %v", s.name, s.Addr, p.err)
			}
		default:
		}
	}
	s.Kill()
	if s.t.Failed() {
		s.t.Log(s.log())
	}
}

func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// up reports whether the test has left it running.
func (s *Server) up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted && !s.paused
}

// URL is redis://127.0.0.1:port, or rediss:// for SingleTLS.
func (s *Server) URL() string {
	if s.tls != nil {
		return "rediss://" + s.Addr
	}
	return "redis://" + s.Addr
}

// String is what the server is and where.
func (s *Server) String() string { return s.name + " at " + s.Addr }

// portOf is for commands that name another server.
func (s *Server) portOf(other *Server) string { return strconv.Itoa(other.port) }

// Do runs one command as a user who may do everything and returns its answer:
// nothing for nil, and the elements of an array one a line, also those of arrays in
// it. An error ends the test.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	answer, err := s.DoErr(args...)
	if err != nil {
		s.t.Fatalf("redistest: %s at %s: %q: %v", s.name, s.Addr, args, err)
	}
	return answer
}

// DoErr is Do with the error, whose text for an answer such as "-OOM command not
// allowed" is what follows the minus. It may be called by any goroutine. A command
// whose connection breaks is not repeated.
func (s *Server) DoErr(args ...string) (string, error) { return s.do(patience, args...) }

func (s *Server) do(timeout time.Duration, args ...string) (string, error) {
	// A connection for each command, because a test may break those that we would keep.
	c, err := dial(s.Addr, s.tls, timeout)
	if err != nil {
		return "", err
	}
	defer c.Close() // the answer is here or will never be
	return c.do(timeout, args...)
}

// Kill ends the process as kill -9 does and waits until it is gone. It does
// nothing if it is gone already.
func (s *Server) Kill() { s.finish(kill) }

// Stop ends the process in order, as SIGTERM does, and waits until it is gone.
// Without appendonly nothing is saved.
func (s *Server) Stop() {
	s.Resume() // a paused process hears nothing
	s.finish(func(p *os.Process) {
		_ = p.Signal(syscall.SIGTERM) // fails only if it has ended
	})
}

func (s *Server) finish(signal func(*os.Process)) {
	s.mu.Lock()
	p := s.process
	s.wanted, s.paused = false, false
	s.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case <-p.exited: // its number may be another's by now
		return
	default:
	}
	signal(p.cmd.Process)
	select {
	case <-p.exited:
	case <-time.After(patience):
		s.t.Errorf("redistest: %s at %s does not end within %s", s.name, s.Addr, patience)
		kill(p.cmd.Process)
		<-p.exited
	}
}

// Restart starts the server again after Kill or Stop, on the same port, in the same
// folder, with the same settings, and waits until it has loaded and answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	wanted := s.wanted
	s.mu.Unlock()
	if wanted {
		s.t.Fatalf("redistest: %s at %s is to restart, but nobody has killed or stopped it", s.name, s.Addr)
	}
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Pause stops the process as SIGSTOP does and returns when it has stopped: the
// system still takes its connections and what is sent to it, but nothing is answered.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := pause(s.process.cmd.Process); err != nil {
		s.t.Errorf("redistest: pause %s at %s: %v", s.name, s.Addr, err)
		return
	}
	s.paused = true
}

// Resume lets a paused process go on. It does nothing if it is not paused.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.paused {
		return
	}
	s.paused = false
	if err := resume(s.process.cmd.Process); err != nil {
		s.t.Errorf("redistest: resume %s at %s: %v", s.name, s.Addr, err)
	}
}

// Info returns one field of a section of INFO, such as "memory", "used_memory".
// A field that is not there ends the test.
func (s *Server) Info(section, field string) string {
	s.t.Helper()
	info, err := s.info(section)
	if err != nil {
		s.t.Fatal(err)
	}
	value, ok := info[field]
	if !ok {
		s.t.Fatalf("redistest: %s at %s: INFO %s has no %q", s.name, s.Addr, section, field)
	}
	return value
}

// info is a section of INFO.
func (s *Server) info(section string) (map[string]string, error) {
	text, err := s.DoErr("INFO", section)
	if err != nil {
		return nil, fmt.Errorf("redistest: %s at %s: INFO %s: %w", s.name, s.Addr, section, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// pairs reads what INFO says in one field: "calls=1,usec=3".
func pairs(value string) map[string]string {
	all := map[string]string{}
	for pair := range strings.SplitSeq(value, ",") {
		if name, v, ok := strings.Cut(pair, "="); ok {
			all[name] = v
		}
	}
	return all
}

// CommandCount returns how often each command was called since the server
// started or since CONFIG RESETSTAT, by its name in lower case ("evalsha",
// "config|get"). What scripts call is in it, and so are our own AUTH, PING and INFO.
func (s *Server) CommandCount() map[string]int64 {
	s.t.Helper()
	info, err := s.info("commandstats")
	if err != nil {
		s.t.Fatal(err)
	}
	counts := map[string]int64{}
	for field, value := range info {
		name, ok := strings.CutPrefix(field, "cmdstat_")
		if !ok {
			continue
		}
		if counts[name], err = strconv.ParseInt(pairs(value)["calls"], 10, 64); err != nil {
			s.t.Fatalf("redistest: %s at %s: INFO commandstats: %s:%s: %v", s.name, s.Addr, field, value, err)
		}
	}
	return counts
}

// CPU returns the time that the process has used since it started, user and
// system, with the children that it has waited for (which rewrite its file).
func (s *Server) CPU() time.Duration {
	s.t.Helper()
	info, err := s.info("cpu")
	if err != nil {
		s.t.Fatal(err)
	}
	var sum float64
	for _, field := range []string{"used_cpu_user", "used_cpu_sys", "used_cpu_user_children", "used_cpu_sys_children"} {
		seconds, err := strconv.ParseFloat(info[field], 64)
		if err != nil {
			s.t.Fatalf("redistest: %s at %s: INFO cpu: %s:%s: %v", s.name, s.Addr, field, info[field], err)
		}
		sum += seconds
	}
	return time.Duration(sum * float64(time.Second))
}
