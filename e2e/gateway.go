package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/web/webtest"
)

// startTimeout is how long a gateway may take until it is ready.
const startTimeout = 30 * time.Second

// gateway is one process "tocsin serve".
type gateway struct {
	// addr is where it listens.
	addr    string
	process *process
	// readyAfter is the time from its start until it was ready.
	readyAfter time.Duration
}

// startGateway starts binary in the folder dir, where it has all its state, and
// waits until it is ready. Listen may have port 0. Environment is added to ours,
// as in exec.Cmd.Env.
func startGateway(ctx context.Context, binary, dir, listen string, environment ...string) (*gateway, error) {
	began := time.Now()
	p, err := startIn(dir, binary, environment, "serve", "--store.url=file:data", "--web.listen-address="+listen, "--log.level=warn")
	if err != nil {
		return nil, err
	}
	g := &gateway{process: p}
	select {
	case g.addr = <-p.listen:
		gateways.Store(g.addr, true)
	case <-p.exited:
		return nil, p.failure()
	case <-time.After(startTimeout):
		p.kill()
		return nil, fmt.Errorf("e2e: %s did not say where it listens within %s, it said:\n%s", binary, startTimeout, p.output())
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
	if err := p.ready(ctx, "http://"+g.addr+"/-/ready"); err != nil {
		p.kill()
		return nil, err
	}
	g.readyAfter = time.Since(began)
	return g, nil
}

// kill ends the process as kill -9 does, and waits until it is gone.
func (g *gateway) kill() { g.process.kill() }

// Incident is an incident as the API shows it, as far as the tests look.
type Incident struct {
	ID             string         `json:"id"`
	Reference      string         `json:"reference"`
	Title          string         `json:"title"`
	State          string         `json:"state"`
	Severity       string         `json:"severity"`
	Hosts          []string       `json:"hosts"`
	Key            jsontext.Value `json:"key"`
	OpenedAt       time.Time      `json:"opened_at"`
	StartedAt      time.Time      `json:"started_at"`
	AcknowledgedBy string         `json:"acknowledged_by"`
	Alerts         struct {
		Total  int `json:"total"`
		Firing int `json:"firing"`
	} `json:"alerts"`
}

// Alert is an alert of an incident as the API shows it, as far as the tests look.
type Alert struct {
	Fingerprint string            `json:"fingerprint"`
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"starts_at"`
	Count       int               `json:"count"`
}

// Entry is an entry of a timeline as the API shows it, as far as the tests look.
type Entry struct {
	Who    string `json:"who"`
	Source string `json:"source"`
	Action string `json:"action"`
	Text   string `json:"text"`
}

// incidents pages through all incidents.
func (g *gateway) incidents(ctx context.Context) (all []Incident, err error) {
	for cursor := ""; ; {
		var page struct {
			Incidents  []Incident `json:"incidents"`
			NextCursor string     `json:"next_cursor"`
		}
		if err := getJSON(ctx, "http://"+g.addr+"/api/v1/incidents?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Incidents...)
		if page.NextCursor == "" {
			return all, nil
		}
		if page.NextCursor == cursor {
			return nil, fmt.Errorf("e2e: the cursor %q leads to itself", cursor)
		}
		cursor = page.NextCursor
	}
}

// alerts pages through all alerts of an incident.
func (g *gateway) alerts(ctx context.Context, id string) (all []Alert, err error) {
	for cursor := ""; ; {
		var page struct {
			Alerts     []Alert `json:"alerts"`
			NextCursor string  `json:"next_cursor"`
		}
		if err := getJSON(ctx, "http://"+g.addr+"/api/v1/incidents/"+id+"/alerts?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Alerts...)
		if page.NextCursor == "" {
			return all, nil
		}
		if page.NextCursor == cursor {
			return nil, fmt.Errorf("e2e: the cursor %q leads to itself", cursor)
		}
		cursor = page.NextCursor
	}
}

// timeline returns the first thousand entries of an incident's timeline.
func (g *gateway) timeline(ctx context.Context, id string) ([]Entry, error) {
	var page struct {
		Timeline []Entry `json:"timeline"`
	}
	err := getJSON(ctx, "http://"+g.addr+"/api/v1/incidents/"+id+"/timeline?limit=1000", &page)
	return page.Timeline, err
}

// maxAnswer bounds what we read of one answer.
const maxAnswer = 64 << 20

// client has no proxy and no redirects: an ingest URL never redirects.
var client = &http.Client{
	Timeout:       20 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func do(ctx context.Context, method, address string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		// Without GetBody net/http cannot send the request a second time by
		// itself when a connection breaks: what is repeated is ours to decide.
		req.GetBody = nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		err = documented(req, body, resp, answer)
	}
	return resp.StatusCode, answer, err
}

// gateways are the addresses of the gateways that were started.
var gateways sync.Map

var checker = sync.OnceValues(webtest.New)

// documented holds an answer against the OpenAPI document.
func documented(req *http.Request, body []byte, resp *http.Response, answer []byte) error {
	if _, ok := gateways.Load(req.URL.Host); !ok {
		return nil // the answer of a Prometheus or an Alertmanager
	}
	c, err := checker()
	if err != nil {
		return err
	}
	return c.Check(req, body, resp.StatusCode, resp.Header, answer)
}

func getJSON(ctx context.Context, address string, into any) error {
	status, answer, err := do(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("e2e: GET %s: %d %.300s", address, status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("e2e: GET %s: %w in %.300s", address, err, answer)
	}
	return nil
}

// process is a program that we started.
type process struct {
	cmd *exec.Cmd
	// listen gets the address of Tocsin's start-up line.
	listen chan string
	// exited is closed when it has ended and was waited for; err is set before.
	exited chan struct{}
	err    error

	mu   sync.Mutex
	said []string // its last lines, guarded by mu
}

var listenPattern = regexp.MustCompile(`\blisten="?([0-9A-Za-z.:\[\]]+:[0-9]+)`)

// startProcess starts program with our environment, less Tocsin's settings, plus environment.
func startProcess(program string, environment []string, args ...string) (*process, error) {
	return startIn("", program, environment, args...)
}

// startIn is startProcess in a folder, which is made. Two gateways need two: the
// folder of the spool is relative to it.
func startIn(dir, program string, environment []string, args ...string) (*process, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	p := &process{cmd: exec.Command(program, args...), listen: make(chan string, 1), exited: make(chan struct{})}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TOCSIN_") {
			p.cmd.Env = append(p.cmd.Env, pair)
		}
	}
	p.cmd.Dir, p.cmd.Env = dir, append(p.cmd.Env, environment...)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	_ = w.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("e2e: %w", err), r.Close())
	}
	go p.watch(r)
	return p, nil
}

func (p *process) watch(r *os.File) {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		p.remember(line)
		if m := listenPattern.FindStringSubmatch(line); m != nil {
			select {
			case p.listen <- m[1]:
			default: // only the first one counts
			}
		}
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
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return
	}
	if p.said = append(p.said, line); len(p.said) > 40 {
		p.said = p.said[1:]
	}
}

// output is what it said last.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "\n")
}

// exitError says that a process ended which was to go on.
type exitError struct {
	program, output string
	err             error
	code            int
}

func (e *exitError) Error() string {
	return fmt.Sprintf("e2e: %s ended: %v, it said:\n%s", e.program, e.err, e.output)
}

func (e *exitError) Unwrap() error { return e.err }

// hard reports whether it ended as at a failpoint, not with an error (1), a
// panic (2) or in order (0).
func (e *exitError) hard() bool { return e.code < 0 || e.code > 2 }

// unanswered reports whether it ended because its store took too long to answer.
func (e *exitError) unanswered() bool {
	return e.code == 1 && (strings.Contains(e.output, "has not answered for") || strings.Contains(e.output, "did not answer in time"))
}

// failure describes the end of a process; it may be called when exited is closed.
func (p *process) failure() *exitError {
	return &exitError{program: p.cmd.Path, output: p.output(), err: p.err, code: p.cmd.ProcessState.ExitCode()}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
	<-p.exited
}

// stop ends it as a service manager does, and waits until it is gone.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended, which the wait sees
	select {
	case <-p.exited:
		if p.err != nil {
			return p.failure()
		}
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("e2e: %s does not end within %s of SIGTERM", p.cmd, startTimeout)
	}
}

// ready polls address until it answers 200.
func (p *process) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _, err := do(ctx, http.MethodGet, address, nil)
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("e2e: %s is not ready: last answer %d, %v, it said:\n%s", address, status, err, p.output())
		}
	}
}
