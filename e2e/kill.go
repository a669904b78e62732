package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// KillOptions say how a gateway is to be killed.
type KillOptions struct {
	// Binary is the gateway; FailpointBinary the same built with -tags
	// failpoint. Without the second all kills are at random moments.
	Binary, FailpointBinary string
	// Dir is an empty folder; it gets the store and the ledger.
	Dir string
	// Kills is how often to kill, each time under load, before the last check.
	Kills int
	// Seed decides what is sent and when is killed, but for what the machine decides.
	Seed uint64
	// Log tells what happens.
	Log func(format string, args ...any)
}

// KillReport says what happened.
type KillReport struct {
	Random, BeforeCommit, AfterCommit int
	// Requests counts those that were answered 2xx, Retries the attempts that were not.
	Requests, Retries int64
	// Acknowledged counts messages about alerts, Alerts the different alerts.
	Acknowledged, Alerts, Incidents int
	// SlowestStart is the longest time until a restarted gateway was ready.
	SlowestStart time.Duration
	// Findings are of the last state, before and after one more kill.
	Findings Findings
	// Surprises are verdicts that only a gateway gives that has forgotten
	// something which it had acknowledged.
	Surprises []string
}

// String is the report in one line.
func (r *KillReport) String() string {
	return fmt.Sprintf("acknowledged %d messages about %d alerts in %d requests (%d retries), %d incidents; %d kills at random, %d before a commit, %d after one, "+
		"slowest start %s; lost %d, doubled %d, wrong %d, surprising verdicts %d, archived %d",
		r.Acknowledged, r.Alerts, r.Requests, r.Retries, r.Incidents, r.Random, r.BeforeCommit, r.AfterCommit,
		r.SlowestStart.Round(time.Millisecond), len(r.Findings.Lost), len(r.Findings.Doubled), len(r.Findings.Wrong), len(r.Surprises), r.Findings.Archived)
}

const (
	senders = 8
	// failpointTimeout is how long the gateway may take to reach a failpoint under load.
	failpointTimeout = 60 * time.Second
)

// killer is one run of Kill.
type killer struct {
	KillOptions
	report KillReport
	ledger *Ledger
	random *rand.Rand
	// addr is where the gateway of the moment listens.
	addr atomic.Pointer[string]
	// stopping tells the senders to end after their current request.
	stopping atomic.Bool
	mu       sync.Mutex // guards report.Surprises
}

// Kill sends from eight connections while it kills and restarts the gateway,
// then compares. An error means that the run itself did not work out or that a
// valid request was refused; whether the gateway kept its promises is in the report.
func Kill(ctx context.Context, o KillOptions) (report *KillReport, err error) {
	k := &killer{KillOptions: o, random: rand.New(rand.NewPCG(o.Seed, 0))}
	path := filepath.Join(o.Dir, "ledger")
	if k.ledger, err = NewLedger(path); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.ledger.Close()) }()
	first, err := k.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { // whatever runs at the end
		if first != nil {
			first.kill()
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for i := range senders {
		s := newSender(k, i)
		group.Go(func() {
			if err := s.run(ctx); err != nil {
				cancel(err) // the others need not go on
			}
		})
	}
	first, err = k.kills(ctx, first)
	k.stopping.Store(true)
	if err != nil {
		cancel(err)
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil { // the first of all
		return nil, err
	}
	first, err = k.check(ctx, path, first)
	return &k.report, err
}

func (k *killer) start(ctx context.Context, environment ...string) (*gateway, error) {
	binary := k.Binary
	if len(environment) > 0 {
		binary = k.FailpointBinary
	}
	g, err := startGateway(ctx, binary, filepath.Join(k.Dir, "store"), "127.0.0.1:0", environment...)
	if err != nil {
		return nil, err
	}
	k.report.SlowestStart = max(k.report.SlowestStart, g.readyAfter)
	k.addr.Store(&g.addr)
	return g, nil
}

// kills kills as often as asked and returns the gateway that runs afterwards.
func (k *killer) kills(ctx context.Context, g *gateway) (*gateway, error) {
	for i := range k.Kills {
		var err error
		if kind := i % 3; kind == 0 || k.FailpointBinary == "" {
			err = k.killAtRandom(ctx, g)
		} else {
			err = k.killAtFailpoint(ctx, g, kind == 1)
		}
		if err != nil {
			return g, err
		}
		if g, err = k.start(ctx); err != nil {
			return nil, fmt.Errorf("e2e: start after kill %d: %w", i+1, err)
		}
	}
	return g, pause(ctx, 300*time.Millisecond)
}

func (k *killer) killAtRandom(ctx context.Context, g *gateway) error {
	if err := pause(ctx, time.Duration(20+k.random.IntN(1200))*time.Millisecond); err != nil {
		return err
	}
	select {
	case <-g.process.exited:
		return g.process.failure()
	default:
	}
	g.kill()
	k.report.Random++
	k.Log("kill at random")
	return nil
}

// killAtFailpoint replaces the running gateway, which it kills, by one that
// ends by itself at its n-th commit from now, and waits for that.
func (k *killer) killAtFailpoint(ctx context.Context, g *gateway, before bool) error {
	g.kill()
	name, count := "after-commit", &k.report.AfterCommit
	if before {
		name, count = "before-commit", &k.report.BeforeCommit
	}
	failpoint := fmt.Sprintf("%s:%d", name, 1+k.random.IntN(150))
	g, err := k.start(ctx, "TOCSIN_FAILPOINT="+failpoint)
	if early := new(exitError); errors.As(err, &early) && early.hard() {
		// A commit of the start itself was the n-th one.
		*count++
		return nil
	}
	if err != nil {
		return fmt.Errorf("e2e: with failpoint %s: %w", failpoint, err)
	}
	select {
	case <-g.process.exited:
		if early := g.process.failure(); !early.hard() {
			return fmt.Errorf("e2e: with failpoint %s: %w", failpoint, early)
		}
		*count++
		k.Log("ended at failpoint %s", failpoint)
		return nil
	case <-time.After(failpointTimeout):
		err = fmt.Errorf("e2e: failpoint %s was not reached within %s under load; was the binary built with -tags failpoint?", failpoint, failpointTimeout)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	g.kill()
	return err
}

// check compares twice: with the gateway that took the last request, and after
// one more kill with one that has only the folder.
func (k *killer) check(ctx context.Context, path string, g *gateway) (*gateway, error) {
	told, lines, err := ReadLedger(path)
	if err != nil {
		return g, err
	}
	k.report.Acknowledged, k.report.Alerts = lines, len(told)
	for range 2 {
		incidents, alerts, err := everything(ctx, g)
		if err != nil {
			return g, err
		}
		k.report.Incidents = len(incidents)
		f := Compare(told, incidents, alerts)
		if k.report.Findings = *f; f.Any() {
			return g, nil
		}
		g.kill()
		if g, err = k.start(ctx); err != nil {
			return nil, fmt.Errorf("e2e: start after the last kill: %w", err)
		}
	}
	return g, nil
}

func everything(ctx context.Context, g *gateway) ([]Incident, map[string][]Alert, error) {
	incidents, err := g.incidents(ctx)
	if err != nil {
		return nil, nil, err
	}
	alerts := make(map[string][]Alert, len(incidents))
	for _, in := range incidents {
		if alerts[in.ID], err = g.alerts(ctx, in.ID); err != nil {
			return nil, nil, err
		}
	}
	return incidents, alerts, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
