package router

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Pipeline takes alerts through all stages. Its methods may be called from any
// goroutine.
type Pipeline struct {
	store   store.Store
	log     *slog.Logger
	rules   atomic.Pointer[rules]
	setting sync.Mutex // serialises Set and refresh
	// overruled is since when another process's generation is the current one, zero
	// if ours is; guarded by setting.
	overruled time.Time
	scratches sync.Pool
	metrics   metrics
	hits      hits
	letters   atomic.Int64 // about how many dead letters there are
	// held, if set, says whether expiry has to wait.
	held    func() bool
	claimed claimed // of Run's goroutine
	looks   looks   // of Run's goroutine
	// announces has Run look at what is announced.
	announces atomic.Bool
	// outside are the tools that alerts come from; outsiders and outsideDone bound and
	// await the jobs that wait for them.
	outside     Outside
	outsiders   chan struct{}
	outsideDone sync.WaitGroup
	notifier    Notifier
	// wake has something in it if jobs may be due before the next poll.
	wake chan struct{}
	// process is the version of the process that this gateway has, and reviewed the one
	// that it has looked at all incidents with; nil before Review.
	process, reviewed atomic.Pointer[[]byte]
	// older: another gateway has loaded another process since.
	older atomic.Bool
	// scanned is the list of generations for which reconcile has seen all entries.
	scanned atomic.Uint64
}

type metrics struct {
	unknownSeverity *prometheus.CounterVec
	reconciled      *prometheus.CounterVec
	writtenBack     *prometheus.CounterVec
	duties          *prometheus.CounterVec
	notices         *prometheus.CounterVec
}

// New returns a Pipeline over st. It takes nothing before Set.
func New(st store.Store, log *slog.Logger, reg prometheus.Registerer) *Pipeline {
	p := &Pipeline{store: st, log: log.With("component", "router"), outsiders: make(chan struct{}, outsideAtOnce), wake: make(chan struct{}, 1)}
	p.scratches.New = func() any { return newScratch() }
	p.metrics.unknownSeverity = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_alerts_unknown_severity_total",
		Help: "Alerts whose severity word is in no table; they got the default severity.",
	}, []string{"source"})
	p.metrics.reconciled = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_alerts_reconciled_total",
		Help: "Alerts that were found to be over, or open, when the source was asked, without it having said so.",
	}, []string{"source", "result"})
	p.metrics.writtenBack = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_write_backs_total",
		Help: "Acknowledgements and notes of people that were to be said at a source.",
	}, []string{"source", "result"})
	p.metrics.duties = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_duties_total",
		Help: "Duties of the process that were kept, missed or waived, and those that did something by themselves (fired).",
	}, []string{"duty", "outcome"})
	p.metrics.notices = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tocsin_notices_total",
		Help: "Notices of no incident, such as of a planned downtime, by whether they were in time, or call off what was announced.",
	}, []string{"kind", "result"})
	for _, kind := range []string{AnnounceMaintenance, AnnounceMonthlyReport} {
		p.metrics.notices.WithLabelValues(kind, "in_time")
		p.metrics.notices.WithLabelValues(kind, "late")
	}
	p.metrics.notices.WithLabelValues(AnnounceMaintenance, "called_off")
	reg.MustRegister(p.metrics.unknownSeverity, p.metrics.reconciled, p.metrics.writtenBack, p.metrics.duties, p.metrics.notices)
	return p
}

// RuleLabels are the labels that the current rules set on an alert.
func (p *Pipeline) RuleLabels(a *alert.Alert) alert.Labels {
	class, _ := p.rules.Load().classify(a, nil)
	return class.Labels
}

// Compile reports whether Set would take the settings. It changes nothing.
func Compile(s Settings) error {
	_, err := newRules(s, store.Generations{})
	return err
}

// Set makes s the current settings. Alerts that fire under other identities
// than those of s are found where they are.
func (p *Pipeline) Set(ctx context.Context, s Settings) error {
	p.setting.Lock()
	defer p.setting.Unlock()
	if s.Guide != nil {
		s.Guide = watched{s.Guide, &p.older}
	}
	// Whatever can fail does so before the store's list changes.
	gens, err := p.store.Generations(ctx)
	if err != nil {
		return err
	}
	if _, err := newRules(s, gens); err != nil {
		return err
	}
	gens, err = p.store.SetGeneration(ctx, store.Generation{ID: s.Identity.Hash(), Text: s.Identity.Text()})
	if err != nil {
		return err
	}
	r, err := newRules(s, gens)
	if err != nil {
		return err
	}
	for name := range s.Sources {
		p.metrics.unknownSeverity.WithLabelValues(name)
		for _, result := range []string{"resolved", "opened"} {
			p.metrics.reconciled.WithLabelValues(name, result)
		}
		for _, result := range []string{"done", "failed"} {
			p.metrics.writtenBack.WithLabelValues(name, result)
		}
	}
	if r.Guide != nil {
		for _, duty := range r.Guide.Names() {
			for _, outcome := range incident.Outcomes() {
				p.metrics.duties.WithLabelValues(duty, outcome)
			}
		}
	}
	if err := p.armBeats(ctx, r.heartbeats); err != nil {
		return err
	}
	if err := p.armCompare(ctx, s.Sources); err != nil {
		return err
	}
	p.use(ctx, r)
	p.announces.Store(true)
	return nil
}

// use makes r the rules. The caller holds setting.
func (p *Pipeline) use(ctx context.Context, r *rules) {
	switch was := !p.overruled.IsZero(); {
	case r.overruled() && !was:
		p.overruled = p.store.Now()
		p.log.WarnContext(ctx, "another gateway has loaded another configuration, which decides about keys and suppression", "generation", r.current.id)
	case !r.overruled() && was:
		p.overruled = time.Time{}
		p.log.InfoContext(ctx, "the configuration of this gateway decides again", "generation", r.current.id)
	}
	p.hits.count(r)
	p.rules.Store(r)
}

// insists reports whether ours has been overruled for long.
func (p *Pipeline) insists(r *rules) bool {
	p.setting.Lock()
	defer p.setting.Unlock()
	return r.overruled() && !p.overruled.IsZero() && p.store.Now().Sub(p.overruled) >= overruledTime
}

// refresh reads the list of generations again. It leaves the list as it is,
// because what another process has made current is what we place by as well;
// only a store that has none, because it was emptied, gets ours.
func (p *Pipeline) refresh(ctx context.Context) error {
	p.setting.Lock()
	defer p.setting.Unlock()
	gens, err := p.store.Generations(ctx)
	if err != nil {
		return err
	}
	s := p.rules.Load().Settings
	if len(gens.List) == 0 {
		if gens, err = p.store.SetGeneration(ctx, store.Generation{ID: s.Identity.Hash(), Text: s.Identity.Text()}); err != nil {
			return err
		}
	}
	r, err := newRules(s, gens)
	if err != nil {
		return err
	}
	p.use(ctx, r)
	return nil
}

// Accept makes the alerts durable and says what became of each. An error means
// that some may not be durable: the sender is to send all again.
func (p *Pipeline) Accept(ctx context.Context, source string, alerts []alert.Alert) ([]alert.Outcome, error) {
	out, heartbeats, err := p.accept(ctx, source, alerts)
	if err == nil && len(heartbeats) > 0 {
		err = p.listen(ctx, heartbeats, alerts)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// accept is Accept without the signs of life in it; heartbeats are what listens.
func (p *Pipeline) accept(ctx context.Context, source string, alerts []alert.Alert) ([]alert.Outcome, []*heartbeat, error) {
	q := p.request(alerts)
	defer q.release()
	if err := q.accept(ctx); err != nil {
		return nil, nil, err
	}
	q.count(source)
	p.newsOf(q.rules, q.outcomes)
	return q.outcomes, q.rules.heartbeats, nil
}

// Now is the store's clock.
func (p *Pipeline) Now() time.Time { return p.store.Now() }
