package e2e

import (
	"context"
	"errors"
	"flag"
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
)

var spoolKills = flag.Int("spoolkills", 6, "how often TestSpoolKill kills the gateway")

// spoolKinds are the ways to kill a gateway that spools, in turn.
var spoolKinds = []string{"spool-before-sync", "spool-after-sync", "during the outage", "spool-applied", "spool-marked", "while it is emptied"}

// TestSpoolKill kills the gateway while its store is away and while it makes up
// for that. Whatever was answered 200 or 202 must be in exactly one incident, as
// it was said last. The long run:
//
//	go test ./e2e -run SpoolKill -spoolkills 60 -timeout 30m
func TestSpoolKill(t *testing.T) {
	binary, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	k, err := newSpoolKiller(t.TempDir(), binary, seed, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	told, findings, err := k.run(t.Context(), *spoolKills)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d alerts, %d requests answered 200 and %d 202, %d retries, %d kills, slowest start %s; lost %d, doubled %d, wrong %d, surprising verdicts %d, archived %d",
		len(told), k.live.Load(), k.spooled.Load(), k.report.Retries, *spoolKills, k.report.SlowestStart.Round(time.Millisecond),
		len(findings.Lost), len(findings.Doubled), len(findings.Wrong), len(k.report.Surprises), findings.Archived)
	for what, all := range map[string][]string{"lost": findings.Lost, "doubled": findings.Doubled, "wrong": findings.Wrong, "surprise": k.report.Surprises} {
		for i, s := range all {
			if i == 10 {
				t.Errorf("%s: and %d more", what, len(all)-i)
				break
			}
			t.Errorf("%s: %s", what, s)
		}
	}
	if len(told) < 100 || k.live.Load() == 0 || k.spooled.Load() < 100 {
		t.Error("too little to show anything")
	}
}

// spoolKiller is one run of TestSpoolKill.
type spoolKiller struct {
	*killer
	outage, config string
	live, spooled  atomic.Int64
}

const spoolSenders = 4

func newSpoolKiller(dir, binary string, seed uint64, log func(string, ...any)) (*spoolKiller, error) {
	ledger, err := NewLedger(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, err
	}
	k := &spoolKiller{killer: &killer{KillOptions: KillOptions{FailpointBinary: binary, Dir: dir, Seed: seed, Log: log}, ledger: ledger,
		random: rand.New(rand.NewPCG(seed, 0))}, outage: filepath.Join(dir, "outage"), config: filepath.Join(dir, "tocsin.yml")}
	text := "spool: {dir: " + filepath.Join(dir, "spool") + "}\nsources:\n"
	for i := range spoolSenders {
		text += fmt.Sprintf("  %s: {format: alertmanager, on_store_failure: spool}\n", spoolSource(i))
	}
	return k, os.WriteFile(k.config, []byte(text), 0o600)
}

// spoolSource is the source of the i-th sender: each has its own, so that its
// requests are in order.
func spoolSource(i int) string { return "sender-" + strconv.Itoa(i) }

// run sends from some connections while it kills, then compares.
func (k *spoolKiller) run(ctx context.Context, kills int) (map[string]Told, *Findings, error) {
	g, err := k.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { g.kill() }() // whatever runs at the end
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for i := range spoolSenders {
		s := newSender(k.killer, i)
		group.Go(func() {
			if err := k.send(ctx, s); err != nil {
				cancel(err)
			}
		})
	}
	err = pause(ctx, 300*time.Millisecond)
	for i := 0; i < kills && err == nil; i++ {
		var next *gateway
		if next, err = k.once(ctx, g, spoolKinds[i%len(spoolKinds)]); next != nil {
			g = next
		}
	}
	k.stopping.Store(true)
	if err != nil {
		cancel(err)
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	if err := k.away(false); err != nil {
		return nil, nil, err
	}
	told, _, err := ReadLedger(filepath.Join(k.Dir, "ledger"))
	if err != nil {
		return nil, nil, err
	}
	for last := false; ; last = true { // once more with one that has only the folders
		if err := k.empty(ctx, g); err != nil {
			return nil, nil, err
		}
		incidents, alerts, err := everything(ctx, g)
		if err != nil {
			return nil, nil, err
		}
		if f := Compare(told, incidents, alerts); last || f.Any() {
			return told, f, nil
		}
		g.kill()
		next, err := k.begin(ctx)
		if err != nil {
			return nil, nil, err
		}
		g = next
	}
}

// begin starts a gateway, which is alive afterwards, and ready if its store is there.
func (k *spoolKiller) begin(ctx context.Context, environment ...string) (*gateway, error) {
	began := time.Now()
	p, err := startProcess(k.FailpointBinary, append(environment, "TOCSIN_OUTAGE="+k.outage), "serve", "--config.file="+k.config,
		"--store.url=file:"+filepath.Join(k.Dir, "store"), "--web.listen-address=127.0.0.1:0", "--log.level=warn")
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
		return nil, fmt.Errorf("e2e: the gateway did not say where it listens within %s, it said:\n%s", startTimeout, p.output())
	}
	if err := p.ready(ctx, "http://"+g.addr+"/-/healthy"); err != nil {
		p.kill()
		return nil, err
	}
	k.report.SlowestStart = max(k.report.SlowestStart, time.Since(began))
	k.addr.Store(&g.addr)
	if len(environment) > 0 {
		return g, nil // it may end at any moment
	}
	damaged, err := k.metric(ctx, g, "tocsin_spool_damaged_total")
	if err == nil && damaged != 0 {
		err = fmt.Errorf("e2e: after a kill the gateway takes %v places in its spool for damage, it said:\n%s", damaged, p.output())
	}
	if err != nil {
		p.kill()
		return nil, err
	}
	return g, nil
}

// away takes the store away from the gateway, or gives it back.
func (k *spoolKiller) away(away bool) error {
	if away {
		return os.WriteFile(k.outage, nil, 0o600)
	}
	if err := os.Remove(k.outage); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// once plays one outage with one kill, and returns the gateway that runs then.
// An outage may begin before the one before it is made up for.
func (k *spoolKiller) once(ctx context.Context, g *gateway, kind string) (*gateway, error) {
	if err := errors.Join(k.away(true), pause(ctx, time.Duration(k.random.IntN(400))*time.Millisecond)); err != nil {
		return nil, err
	}
	var err error
	switch kind {
	case "during the outage":
		g.kill()
	case "while it is emptied":
		if err = k.away(false); err == nil {
			err = pause(ctx, time.Duration(k.random.IntN(800))*time.Millisecond)
		}
		g.kill()
	default:
		g.kill()
		err = k.until(ctx, kind)
	}
	if err != nil {
		return nil, err
	}
	k.Log("killed %s", kind)
	if g, err = k.begin(ctx); err != nil {
		return nil, err
	}
	return g, errors.Join(pause(ctx, time.Duration(k.random.IntN(300))*time.Millisecond), k.away(false), pause(ctx, time.Duration(k.random.IntN(1000))*time.Millisecond))
}

// until runs a gateway until it ends at the failpoint.
func (k *spoolKiller) until(ctx context.Context, point string) error {
	emptied := point == "spool-applied" || point == "spool-marked"
	n := 1 + k.random.IntN(30)
	if emptied {
		n = 1 // some hundred requests; there need not be a second time
	}
	g, err := k.begin(ctx, "TOCSIN_FAILPOINT="+point+":"+strconv.Itoa(n))
	var early *exitError
	if errors.As(err, &early) && early.hard() {
		return nil // before we could look
	}
	if err != nil {
		return err
	}
	if emptied {
		// An empty one hands on nothing. While the store is away it gets no less.
		for waiting := 0.0; err == nil && waiting == 0; {
			if waiting, err = k.metric(ctx, g, "tocsin_spool_entries"); err == nil {
				err = pause(ctx, 5*time.Millisecond)
			}
		}
		if err = errors.Join(err, k.away(false)); err != nil {
			g.kill()
			return err
		}
	}
	select {
	case <-g.process.exited:
		if early := g.process.failure(); !early.hard() {
			return fmt.Errorf("e2e: with failpoint %s: %w", point, early)
		}
		return nil
	case <-time.After(failpointTimeout):
		err = fmt.Errorf("e2e: failpoint %s:%d was not reached within %s, the gateway said:\n%s", point, n, failpointTimeout, g.process.output())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	g.kill()
	return err
}

// send sends until told to stop, and says nothing new about an alert before the
// last word was acknowledged.
func (k *spoolKiller) send(ctx context.Context, s *sender) error {
	for !k.stopping.Load() {
		events, next := s.batch()
		body, err := s.body(next)
		if err != nil {
			return err
		}
		status, answer, attempts, err := k.deliver(ctx, s, body)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			// What was spooled before was applied before: a 200 knows all of it.
			k.live.Add(1)
			if err := s.judge(events, next, answer, attempts > 1); err != nil {
				return err
			}
		} else {
			k.spooled.Add(1)
		}
		told := make([]Told, len(next))
		for i := range next {
			told[i] = next[i].told
		}
		if err := k.ledger.Acknowledged(told); err != nil {
			return err
		}
	}
	return nil
}

func (k *spoolKiller) deliver(ctx context.Context, s *sender, body []byte) (status int, answer []byte, attempts int, err error) {
	for {
		attempts++
		status, answer, err := do(ctx, http.MethodPost, "http://"+*k.addr.Load()+"/ingest/"+spoolSource(s.number), body)
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusAccepted):
			return status, answer, attempts, nil
		case err == nil:
			return 0, nil, attempts, fmt.Errorf("e2e: a source that spools was answered %d %.300s", status, answer)
		}
		s.count(&k.report.Retries)
		if err := pause(ctx, time.Duration(5+s.random.IntN(45))*time.Millisecond); err != nil {
			return 0, nil, attempts, err
		}
	}
}

// empty waits until nothing waits in the spool, and checks that the books balance.
func (k *spoolKiller) empty(ctx context.Context, g *gateway) error {
	for began := time.Now(); ; {
		n, err := k.metric(ctx, g, "tocsin_spool_entries")
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("e2e: %v requests still wait in the spool, the gateway said:\n%s", n, g.process.output())
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	received, err := k.metric(ctx, g, "tocsin_alerts_received_total")
	if err != nil {
		return err
	}
	verdicts, err := k.metric(ctx, g, "tocsin_alerts_total")
	if err == nil && received != verdicts {
		err = fmt.Errorf("e2e: received %v, verdicts %v", received, verdicts)
	}
	return err
}

// metric is the sum of all series of a metric.
func (k *spoolKiller) metric(ctx context.Context, g *gateway, name string) (sum float64, err error) {
	status, body, err := do(ctx, http.MethodGet, "http://"+g.addr+"/metrics", nil)
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("e2e: /metrics: %d, %w", status, err)
	}
	found := false
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rest, ok := strings.CutPrefix(series, name); !ok || rest != "" && rest[0] != '{' {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("e2e: /metrics: %q: %w", line, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("e2e: /metrics has no %s", name)
	}
	return sum, nil
}
