package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// target is a server under load.
type target struct {
	name string
	// addr is host:port, path where alerts are posted.
	addr, path, token string
	form              form
	// pid is its process, 0 if unknown.
	pid     int
	process *process
	// place is where it keeps its state, for a gateway of our own.
	place place
	// peers are the other gateways of our own on the same store.
	peers []*target
}

// largest is the usage of the gateway that takes most memory.
func (t *target) largest() usage {
	u := treeUsage(t.pid)
	for _, p := range t.peers {
		if v := treeUsage(p.pid); v.resident > u.resident {
			u = v
		}
	}
	return u
}

// addrs are the addresses of all gateways on the store.
func (t *target) addrs() []string {
	all := []string{t.addr}
	for _, p := range t.peers {
		all = append(all, p.addr)
	}
	return all
}

// used is what all gateways on the store have used so far.
func (t *target) used() usage {
	u := treeUsage(t.pid)
	for _, p := range t.peers {
		u.add(treeUsage(p.pid))
	}
	return u
}

// The names of the targets in the report.
const (
	tocsin       = "tocsin"
	bare         = "bare gin"
	alertmanager = "alertmanager"
)

// startTimeout is how long a server may take from its start until it is ready.
const startTimeout = 60 * time.Second

// place is a store of our own.
type place struct {
	// dir is a folder for the gateways on it, and holds the store if there is no Redis.
	dir string
	// url is the store's, with its password; prefix begins its keys in a Redis.
	url, prefix string
}

// data is the folder of the store, if there is no Redis.
func (p place) data() string { return filepath.Join(p.dir, "data") }

// newPlace names a store that is empty.
func (b *bench) newPlace(dir string) place {
	at := place{dir: filepath.Join(dir, "tocsin")}
	at.url = "file:" + at.data()
	if b.redis != nil {
		at.prefix, at.url = b.redis.newStore()
	}
	return at
}

// clean removes what is in the Redis; folders are removed with all that is in them.
func (b *bench) clean(ctx context.Context, at place) error {
	if b.redis == nil {
		return nil
	}
	return b.redis.remove(ctx, at.prefix)
}

// startTocsin starts as many gateways as were asked for. With an error none runs.
func (b *bench) startTocsin(ctx context.Context, at place) (*target, error) {
	var first *target
	for n := range b.Gateways {
		t, err := b.startGateway(ctx, at, n)
		if err != nil {
			return nil, errors.Join(err, first.stop())
		}
		if first == nil {
			first = t
		} else {
			first.peers = append(first.peers, t)
		}
	}
	return first, nil
}

func (b *bench) startGateway(ctx context.Context, at place, n int) (*target, error) {
	// A folder of its own, so that it does not take for its own what lies in ours,
	// such as a spool.
	dir := filepath.Join(at.dir, "gateway"+strconv.Itoa(n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	cmd := exec.Command(b.executable, "serve", "--web.listen-address=127.0.0.1:0", "--log.level=warn")
	cmd.Dir = dir
	cmd.Env = append(childEnvironment(), "TOCSIN_STORE_URL="+at.url) // lists of processes show arguments
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	t := &target{name: tocsin, path: "/ingest/alertmanager", process: p, pid: p.cmd.Process.Pid, place: at}
	return t, t.listening(ctx)
}

func (b *bench) startBare(ctx context.Context) (*target, error) {
	p, err := start(exec.Command(b.executable, "bench", "--serve-bare"))
	if err != nil {
		return nil, err
	}
	t := &target{name: bare, path: "/ingest/alertmanager", process: p, pid: p.cmd.Process.Pid}
	return t, t.listening(ctx)
}

// One receiver without integrations: Alertmanager groups and waits, but sends nothing.
const alertmanagerConfig = `route:
  receiver: none
  group_by: [alertname, cluster]
receivers:
  - name: none
`

func (b *bench) startAlertmanager(ctx context.Context, dir string) (*target, error) {
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(alertmanagerConfig), 0o600); err != nil {
		return nil, err
	}
	// Alertmanager logs the address as it was given, so that port 0 would not
	// tell us the port.
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := start(exec.Command(b.alertmanager, "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=warn"))
	if err != nil {
		return nil, err
	}
	t := &target{name: alertmanager, addr: addr, path: "/api/v2/alerts", form: postable, process: p, pid: p.cmd.Process.Pid}
	return t, t.ready(ctx)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// listening waits for the line that says where the process listens, then until it is ready.
func (t *target) listening(ctx context.Context) error {
	select {
	case t.addr = <-t.process.listen:
		return t.ready(ctx)
	case <-t.process.exited:
		return t.process.failure()
	case <-time.After(startTimeout):
		return errors.Join(fmt.Errorf("bench: %s did not say where it listens within %s, it said: %s", t.name, startTimeout, t.process.said()), t.stop())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), t.stop())
	}
}

// ready polls /-/ready until it answers 200.
func (t *target) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _, err := get(ctx, "http://"+t.addr+"/-/ready", "")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-t.process.exited:
			return t.process.failure()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("bench: %s is not ready (last answer: %d, %v), it said: %s", t.name, status, err, t.process.said()), t.stop())
		}
	}
}

// stop ends processes of ours kindly, and unkindly after ten seconds.
func (t *target) stop() (err error) {
	if t == nil || t.process == nil {
		return nil
	}
	for _, p := range t.peers {
		err = errors.Join(err, p.stop())
	}
	_ = t.process.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, or on Windows
	select {
	case <-t.process.exited:
		return err
	case <-time.After(10 * time.Second):
		return errors.Join(err, fmt.Errorf("bench: %s did not stop within 10 s and was killed", t.name), t.kill())
	}
}

// kill ends processes of ours as kill -9 does and waits until they are gone.
func (t *target) kill() error {
	for _, p := range t.peers {
		if err := p.kill(); err != nil {
			return err
		}
	}
	if err := t.process.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-t.process.exited
	return nil
}

// process is a child process.
type process struct {
	cmd *exec.Cmd
	// listen gets the address of the start-up line.
	listen chan string
	// exited is closed when it has ended and was waited for; err is set before.
	exited chan struct{}
	err    error

	mu   sync.Mutex
	last []string // of standard error, guarded by mu
}

var listenPattern = regexp.MustCompile(`\blisten="?([0-9A-Za-z.:\[\]]+:[0-9]+)`)

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, listen: make(chan string, 1), exited: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = childEnvironment()
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	go p.watch(stderr)
	return p, nil
}

// childEnvironment is ours without the settings of the gateway: a flag that the
// user has set for the real one must not reach the one under test.
func childEnvironment() (kept []string) {
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TOCSIN_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// watch reads what the process says until it ends.
func (p *process) watch(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if m := listenPattern.FindStringSubmatch(line); m != nil {
			select {
			case p.listen <- m[1]:
			default: // only the first one counts
			}
		}
		p.remember(line)
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	close(p.exited)
}

func (p *process) remember(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line = strings.TrimSpace(line); line == "" {
		return
	}
	p.last = append(p.last, line)
	if len(p.last) > 10 {
		p.last = p.last[1:]
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.last) == 0 {
		return "(nothing)"
	}
	return strings.Join(p.last, "\n")
}

func (p *process) failure() error {
	return fmt.Errorf("bench: %s %s ended: %v, it said: %s", filepath.Base(p.cmd.Path), p.cmd.Args[1], p.err, p.said())
}

// maxAnswer bounds what we read of one answer of a server's API.
const maxAnswer = 64 << 20

func get(ctx context.Context, url, token string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}
