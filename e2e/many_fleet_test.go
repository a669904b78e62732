package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// fleet is several gateways that work on one Redis as if they were one.
type fleet []*member

// member is a gateway of a fleet: one process, and after a kill the next one.
type member struct {
	// store is the URL of the Redis, config the file that it is configured by.
	store, config string
	running       atomic.Pointer[answering]
}

// answering is a process and what it has answered.
type answering struct {
	*gateway
	mu       sync.Mutex
	verdicts map[string]int // guarded by mu
}

// newFleet starts gateways that end with the test, one for each URL, all with the same configuration.
func newFleet(t *testing.T, config string, stores ...string) fleet {
	t.Helper()
	f := make(fleet, len(stores))
	for i := range f {
		f[i] = &member{store: stores[i], config: filepath.Join(t.TempDir(), "tocsin.yml")}
		if err := f[i].configure(config); err != nil {
			t.Fatal(err)
		}
	}
	errs := make([]error, len(f))
	var group sync.WaitGroup
	for i, m := range f {
		t.Cleanup(func() { m.end(t, strconv.Itoa(i+1)) })
		group.Go(func() { errs[i] = m.start(t.Context(), tocsinBinary) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// sameStore is the URL of one Redis for n gateways.
func sameStore(url string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = url
	}
	return all
}

// configure writes the file, which a reload or the next process reads.
func (m *member) configure(text string) error {
	if err := os.WriteFile(m.config+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(m.config+".new", m.config) // at once: it may be being read
}

// start starts a process and waits until it is ready. Environment is added to ours. One
// that a busy Redis kept waiting for too long is started again, as a service manager does.
func (m *member) start(ctx context.Context, binary string, environment ...string) error {
	for deadline := time.Now().Add(startTimeout); ; {
		err := m.startOnce(ctx, binary, environment...)
		if early := new(exitError); !errors.As(err, &early) || !early.unanswered() || time.Now().After(deadline) {
			return err
		}
	}
}

func (m *member) startOnce(ctx context.Context, binary string, environment ...string) error {
	began := time.Now()
	p, err := startIn(filepath.Dir(m.config), binary, environment, "serve", "--store.url="+m.store, "--config.file="+m.config, "--web.listen-address=127.0.0.1:0",
		"--log.level=warn")
	if err != nil {
		return err
	}
	g := &gateway{process: p}
	select {
	case g.addr = <-p.listen:
		gateways.Store(g.addr, true)
	case <-p.exited:
		return p.failure()
	case <-time.After(startTimeout):
		p.kill()
		return fmt.Errorf("e2e: %s did not say where it listens within %s, it said:\n%s", binary, startTimeout, p.output())
	}
	if err := p.ready(ctx, "http://"+g.addr+"/-/ready"); err != nil {
		p.kill()
		return err
	}
	g.readyAfter = time.Since(began)
	m.running.Store(&answering{gateway: g, verdicts: map[string]int{}})
	return nil
}

// end kills what runs when the test ends, and shows what it said if the test failed.
func (m *member) end(t *testing.T, name string) {
	g := m.running.Load()
	if g == nil {
		return
	}
	g.kill()
	if t.Failed() {
		t.Logf("gateway %s said last:\n%s", name, g.process.output())
	}
}

// stop ends the process in order and waits until it has.
func (m *member) stop() error {
	// It waits five seconds for connections on which nothing has come yet.
	client.CloseIdleConnections()
	return m.running.Load().process.stop()
}

// reload has the process read its configuration again.
func (m *member) reload(ctx context.Context) error {
	g := m.running.Load()
	status, answer, err := do(ctx, http.MethodPost, "http://"+g.addr+"/-/reload", []byte{})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("e2e: reload of %s: %d %.300s", g.addr, status, answer)
	}
	return err
}

// result is what a gateway says became of one alert.
type result struct {
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	Incident  string `json:"incident"`
	Reference string `json:"reference"`
}

// errRefused is that a gateway did not take a request: a Redis that gets no processor
// for a second is away.
var errRefused = errors.New("refused")

// post sends one request to the process of the moment. Again says that it may
// be sent to another one: nobody took it.
func (m *member) post(ctx context.Context, source string, body []byte, alerts int) (results []result, again bool, err error) {
	g := m.running.Load()
	status, answer, err := do(ctx, http.MethodPost, "http://"+g.addr+"/ingest/"+source, body)
	switch {
	case err != nil:
		return nil, true, err
	case status != http.StatusOK:
		err = fmt.Errorf("e2e: %s answered %d %.300s", g.addr, status, answer)
		if status >= 500 {
			err = fmt.Errorf("%w: %w", errRefused, err)
		}
		return nil, status >= 500, err
	}
	var a struct {
		Received int      `json:"received"`
		Results  []result `json:"results"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, false, fmt.Errorf("e2e: answer: %w in %.300s", err, answer)
	}
	if a.Received != alerts || len(a.Results) != alerts {
		return nil, false, fmt.Errorf("e2e: sent %d alerts, the answer says received %d with %d results", alerts, a.Received, len(a.Results))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range a.Results {
		g.verdicts[r.Verdict]++
	}
	return a.Results, false, nil
}

// series are the samples of a gateway's metrics whose names begin with prefix,
// by name and labels as they are written.
func (g *gateway) series(ctx context.Context, prefix string) (map[string]float64, error) {
	status, body, err := do(ctx, http.MethodGet, "http://"+g.addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("e2e: GET /metrics: %d", status)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("e2e: GET /metrics: %w", err)
		}
		all[line[:at]] = value
	}
	return all, nil
}

// killing kills members and starts them again.
type killing struct {
	random          *rand.Rand
	failpointBinary string
	// kills is how often in all.
	kills             int
	atRandom, atPoint int
}

// run kills one member after the other.
func (k *killing) run(ctx context.Context, f fleet) error {
	for k.atRandom+k.atPoint < k.kills {
		m := f[k.random.IntN(len(f))]
		if k.random.IntN(2) == 0 {
			if err := pause(ctx, time.Duration(20+k.random.IntN(150))*time.Millisecond); err != nil {
				return err
			}
			m.running.Load().kill()
			k.atRandom++
			if err := m.start(ctx, tocsinBinary); err != nil {
				return err
			}
			continue
		}
		if err := k.atFailpoint(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// atFailpoint replaces a member by one that ends by itself before or after
// one of its next commits, and that one by the usual one.
func (k *killing) atFailpoint(ctx context.Context, m *member) error {
	m.running.Load().kill()
	point := fmt.Sprintf("%s:%d", []string{"before-commit", "after-commit"}[k.random.IntN(2)], 1+k.random.IntN(12))
	err := m.start(ctx, k.failpointBinary, "TOCSIN_FAILPOINT="+point)
	if early := new(exitError); errors.As(err, &early) && early.hard() {
		k.atPoint++ // a job of an earlier process was due
		return m.start(ctx, tocsinBinary)
	}
	if err != nil {
		return fmt.Errorf("e2e: with failpoint %s: %w", point, err)
	}
	p := m.running.Load().process
	select {
	case <-p.exited:
		if e := p.failure(); !e.hard() {
			return fmt.Errorf("e2e: with failpoint %s: %w", point, e)
		}
		k.atPoint++
	case <-time.After(2 * time.Second): // the load may be over before it
		p.kill()
		k.atRandom++
	}
	return m.start(ctx, tocsinBinary)
}
