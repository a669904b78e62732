package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	Options
	executable   string
	alertmanager string
	// now is when the run began; all alerts' times derive from it.
	now    time.Time
	report Report
	// say tells people what is being done now; it writes nothing in JSON output.
	say func(format string, args ...any)
}

// ErrWrong is returned, after the whole report, when a gateway's own figures do
// not agree with what it acknowledged. The report says where.
var ErrWrong = errors.New("bench: what was acknowledged is not what is there")

// Run measures as o says and writes the report to w. It fails when something
// could not be measured, and with ErrWrong when a gateway lost or doubled alerts;
// missing a goal is no failure.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b := &bench{Options: o, now: time.Now(), say: func(string, ...any) {}}
	if o.Output == "table" {
		b.say = func(format string, args ...any) {
			if _, err := fmt.Fprintf(w, format+"\n", args...); err != nil {
				stop(err) // nobody reads it any more
			}
		}
	}
	b.report = Report{Started: b.now.UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Rounds: o.Rounds, Scale: o.Scale, Load: loadAverage()}
	if err := b.findPrograms(); err != nil {
		return err
	}
	if err := b.meetRedis(ctx); err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	if err := b.leaveRedis(ctx); err != nil {
		return err
	}
	b.report.summarize()
	if err := b.report.write(w, o.Output); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if len(b.report.Wrong) > 0 {
		return ErrWrong
	}
	return nil
}

func (b *bench) findPrograms() error {
	b.executable = b.Executable
	if b.executable == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		b.executable = self
	}
	if strings.ContainsRune(b.executable, filepath.Separator) { // gateways run in folders of their own
		whole, err := filepath.Abs(b.executable)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		b.executable = whole
	}
	names := []string{"prometheus-alertmanager", "alertmanager"}
	if b.Alertmanager != "" {
		names = []string{b.Alertmanager}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			b.alertmanager = path
			b.report.Alertmanager = version(path)
			return nil
		}
	}
	if b.Alertmanager != "" {
		return fmt.Errorf("bench: %s is not a program", b.Alertmanager)
	}
	b.skip("no Alertmanager to compare with: neither prometheus-alertmanager nor alertmanager is in PATH")
	return nil
}

// version is the first line of what the program says to --version.
func version(path string) string {
	out, _ := exec.Command(path, "--version").CombinedOutput() // unknown is shown as such
	line, _, _ := strings.Cut(string(out), "\n")
	if line, _, ok := strings.Cut(line, " ("); ok {
		return line
	}
	return "unknown version"
}

func (b *bench) skip(reason string) {
	b.report.Skipped = append(b.report.Skipped, reason)
	b.say("skipped: %s", reason)
}

func (b *bench) run(ctx context.Context) error {
	for round := 1; round <= b.Rounds && b.wants(W1, W2, W3, W4); round++ {
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	if !b.wants(Idle, Memory, Restart, Growth) {
		return nil
	}
	if b.Target != "" {
		b.skip("idle, memory, restart and growth: the gateway is not ours to start and kill")
		return nil
	}
	if b.wants(Idle, Memory, Restart) {
		if err := b.footprint(ctx); err != nil {
			return err
		}
	}
	for round := 1; round <= b.Rounds && b.wants(Growth); round++ {
		if err := b.growth(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// meetRedis says in the report which Redis it is.
func (b *bench) meetRedis(ctx context.Context) (err error) {
	if b.redis == nil {
		return nil
	}
	b.report.Redis, err = b.redis.facts(ctx)
	b.report.Gateways = b.Gateways
	return err
}

// leaveRedis says in the report what Redis did beside.
func (b *bench) leaveRedis(ctx context.Context) error {
	if b.redis == nil {
		return nil
	}
	defer b.redis.close()
	info, err := b.redis.info(ctx)
	if err != nil {
		return err
	}
	b.report.Redis.Rewrites = number(info, "aof_rewrites") - b.report.Redis.Rewrites
	b.report.Redis.Saves = number(info, "rdb_saves") - b.report.Redis.Saves
	return nil
}

// round starts all targets afresh and runs every workload on one after the
// other, so that what else happens on the machine hits all of them alike.
func (b *bench) round(ctx context.Context, round int) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := b.newPlace(dir)
	defer func() { err = errors.Join(err, b.clean(ctx, at)) }()
	targets, err := b.startAll(ctx, dir, at)
	defer func() {
		for _, t := range targets {
			err = errors.Join(err, t.stop())
		}
	}()
	if err != nil {
		return err
	}
	for _, workload := range []string{W1, W3, W4, W2} {
		if !b.wants(workload) {
			continue
		}
		for _, t := range targets {
			m, err := b.measure(ctx, workload, round, t)
			if err != nil {
				return fmt.Errorf("bench: %s of %s: %w", workload, t.name, err)
			}
			b.say("round %d  %-2s  %-12s  %9s alerts/s  p99 %s ms  %s CPU s/1,000", round, workload, t.name, grouped(m.AlertsPerSecond), short(m.P99), cpuText(m.CPUPer1000))
			b.report.add(workload, t.name, m)
		}
	}
	return nil
}

// startAll starts the targets in the order in which they are measured. Those that run are returned even with an error.
func (b *bench) startAll(ctx context.Context, dir string, at place) (targets []*target, err error) {
	if b.Target != "" {
		u, err := url.Parse(b.Target) // was checked in Options.complete
		if err != nil {
			return nil, err
		}
		targets = append(targets, &target{name: tocsin, addr: u.Host, path: u.RequestURI(), token: b.Token, pid: b.PID})
	} else {
		t, err := b.startTocsin(ctx, at)
		if err != nil {
			return targets, err
		}
		targets = append(targets, t)
	}
	t, err := b.startBare(ctx)
	if err != nil {
		return targets, err
	}
	targets = append(targets, t)
	if b.alertmanager != "" {
		if t, err = b.startAlertmanager(ctx, dir); err != nil {
			return targets, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// measure runs one workload on one target. The first W1 or W3 makes its alerts
// known before; that is not measured.
func (b *bench) measure(ctx context.Context, workload string, round int, t *target) (Measurement, error) {
	l := b.load(workload, round, t)
	if workload == W1 || workload == W3 {
		known := b.load(W1, round, t)
		known.repeat = 0
		s, err := drive(ctx, t.addrs(), known)
		if err != nil {
			return Measurement{}, err
		}
		if s.errors > 0 {
			return Measurement{}, fmt.Errorf("making alerts known: %d of %d requests failed, first: %s", s.errors, s.requests, s.firstError)
		}
	}
	var before, after counts
	var err error
	if t.name == tocsin {
		if before, err = t.count(ctx); err != nil {
			return Measurement{}, err
		}
	}
	s, m, err := b.timed(ctx, t, l, nil)
	if err != nil {
		return Measurement{}, err
	}
	if t.name == tocsin {
		if after, err = t.count(ctx); err != nil {
			return Measurement{}, err
		}
		for _, wrong := range verify(workload, s, before, after) {
			b.report.Wrong = append(b.report.Wrong, fmt.Sprintf("round %d, %s", round, wrong))
		}
	}
	return m, nil
}

// timed sends a load and says what it took.
// If settled is set, what is done until that returns counts too, but not in rates.
func (b *bench) timed(ctx context.Context, t *target, l load, settled func(context.Context) error) (sent, Measurement, error) {
	runtime.GC() // what the last load left must not be collected during this one
	before, err := b.spent(ctx, t)
	if err != nil {
		return sent{}, Measurement{}, err
	}
	s, err := drive(ctx, t.addrs(), l)
	if err != nil {
		return s, Measurement{}, err
	}
	if settled != nil {
		if err := settled(ctx); err != nil {
			return s, Measurement{}, err
		}
	}
	after, err := b.spent(ctx, t)
	if err != nil {
		return s, Measurement{}, err
	}
	if s.acked == 0 {
		return s, Measurement{}, fmt.Errorf("nothing was acknowledged in %d requests, first error: %s", s.requests, s.firstError)
	}
	return s, newMeasurement(s, before, after), nil
}

// spent is what everybody has used so far: the server, the Redis behind it, and we.
type spent struct {
	server usage
	redis  redisUsage
	own    time.Duration
}

func (b *bench) spent(ctx context.Context, t *target) (s spent, err error) {
	if t.name == tocsin {
		s.redis, err = b.redis.usage(ctx)
	}
	s.server, s.own = t.used(), ownCPU()
	return s, err
}

// load makes the requests of a workload. Each round and workload has alerts of its own.
func (b *bench) load(workload string, round int, t *target) load {
	g := &generator{form: t.form, seed: 10 * round, now: b.now}
	// A gateway that keeps running may know the alerts of an earlier bench.
	if b.Target != "" {
		g.seed += int(b.now.Unix()%100_000_000) * 1000
	}
	single := func(n, per int) load {
		return load{requests: b.requests(g, t, 0, n, per, false), conns: fewConns}
	}
	switch workload {
	case W1:
		l := single(b.scaled(knownAlerts), batchSize)
		l.repeat = b.stormTime()
		return l
	case W3:
		l := single(b.scaled(knownAlerts), 1)
		l.repeat, l.conns = b.stormTime(), manyConns
		return l
	case W4:
		g.seed += 4
		return load{requests: b.requests(g, t, 0, b.scaled(churnAlerts), batchSize, true), conns: fewConns}
	case Memory:
		g.seed += 5
		return single(b.scaled(memoryAlerts), batchSize)
	}
	g.seed += 2
	return single(b.scaled(newAlerts), batchSize)
}

func (b *bench) requests(g *generator, t *target, first, n, per int, churn bool) []request {
	all := make([]request, 0, n/per)
	var body, whole []byte
	build := func(id int, resolved bool) []byte {
		body = g.appendBody(body[:0], id, per, resolved)
		whole = appendRequest(whole[:0], t.addr, t.path, t.token, body)
		return slices.Clone(whole)
	}
	for id := first; id < first+n; id += per {
		r := request{alerts: per, bytes: build(id, false)}
		if churn {
			r.then = build(id, true)
		}
		all = append(all, r)
	}
	return all
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
