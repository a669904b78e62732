// Package status is the page for everybody: how the services are, what was said of
// incidents in public, and which maintenance was announced. It shows nothing else;
// docs/status-page.md says what that is.
//
// The page is made in the background, every few seconds if something has changed,
// and served from memory: however many people look, the store is asked once.
package status

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// period is how long the page rests until it is made again. Where reading takes
	// long it rests restShare times as long as that, but no more than periodAtMost.
	period       = 3 * time.Second
	restShare    = 4
	periodAtMost = 30 * time.Second
	// readTime is how long reading may take.
	readTime = 20 * time.Second
	// staleAfter is how old what is known may be until the page says so.
	staleAfter = 15 * time.Second
)

// Options are what a Page needs.
type Options struct {
	Store Reader
	// Planned is the maintenance that the public may know of; nil means that there is
	// none.
	Planned    func(now time.Time) []Planned
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Page is the status page. It is an http.Handler, which may be asked from any
// goroutine.
type Page struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	config  atomic.Pointer[compiled]
	// changed has something in it if there is another configuration.
	changed chan struct{}
	shown   atomic.Pointer[edition]

	// The rest is that of Run. read is when the incidents were last read, known what
	// was there then, and failing whether it was said that they cannot be read.
	reader  reader
	known   []Incident
	read    time.Time
	failing bool
}

// compiled is a configuration at work. Nobody changes it.
type compiled struct {
	Config
	base string
	// affected are the names of the components of each service, and services its keys.
	affected map[string][]string
	services []string
}

func compile(c Config) *compiled {
	out := &compiled{Config: c, base: strings.TrimRight(c.ExternalURL, "/"), affected: map[string][]string{}}
	for _, one := range c.Components {
		for _, name := range one.Services {
			if !slices.Contains(out.affected[name], one.Name) {
				out.affected[name] = append(out.affected[name], one.Name)
			}
		}
	}
	for name := range out.affected {
		out.services = append(out.services, name)
	}
	slices.Sort(out.services)
	return out
}

func (c *compiled) url(path string) string { return c.base + path }

// days is how many days the page shows.
func (c *compiled) days() int { return int(time.Duration(c.History) / (24 * time.Hour)) }

// since is when the days begin that the page shows.
func (c *compiled) since(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-c.days())
}

// New returns a Page that shows nothing yet. It reads and starts nothing.
func New(o Options) (*Page, error) {
	if o.Store == nil || o.Log == nil || o.Registerer == nil {
		return nil, errors.New("status: a store, a logger and a registerer are needed")
	}
	p := &Page{options: o, log: o.Log.With("component", "status"), metrics: newMetrics(o.Registerer), changed: make(chan struct{}, 1), reader: reader{store: o.Store}}
	p.config.Store(compile(Config{}))
	return p, nil
}

// Set makes a configuration current. What it does not make public any more is gone
// at once; the page comes back when everything has been read again.
func (p *Page) Set(c Config) {
	if !reflect.DeepEqual(p.config.Load().Config, c) {
		p.config.Store(compile(c))
	}
	select {
	case p.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// Shared reports whether the page is at /status of the listener that has
// everything.
func (p *Page) Shared() bool { c := p.config.Load(); return c.Enabled && c.ListenAddress == "" }

// Run makes the page again and again until ctx ends.
func (p *Page) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		case <-timer.C:
		}
		if c := p.config.Load(); c.Enabled {
			began := time.Now()
			p.refresh(ctx, c)
			timer.Reset(min(max(period, restShare*time.Since(began)), periodAtMost))
		}
	}
}

// refresh reads what there is and shows it. If it cannot be read, what was known is
// shown, and said to be old.
func (p *Page) refresh(ctx context.Context, c *compiled) {
	limited, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	now := p.options.Store.Now()
	all, err := p.reader.read(limited, c, now)
	switch {
	case err == nil:
		p.known, p.read = all, now
		p.metrics.read.Set(float64(now.Unix()))
	case ctx.Err() != nil:
		return
	default:
		p.metrics.failed.Inc()
	}
	p.failed(ctx, err)
	if p.reader.closedAt.IsZero() {
		return // nothing is known yet of what this configuration makes public
	}
	var planned []Planned
	if p.options.Planned != nil {
		planned = p.options.Planned(now)
	}
	var stale time.Time
	if now.Sub(p.read) >= staleAfter {
		stale = p.read
	}
	p.show(ctx, c, c.summary(p.known, planned, now, stale), now)
}

// failed says when a failure begins and ends.
func (p *Page) failed(ctx context.Context, err error) {
	switch {
	case err != nil && !p.failing:
		p.log.WarnContext(ctx, "status page cannot be brought up to date", "err", err)
	case err == nil && p.failing:
		p.log.InfoContext(ctx, "status page is up to date again")
	}
	p.failing = err != nil
}

// show renders a summary, unless it is what is shown already.
func (p *Page) show(ctx context.Context, c *compiled, s *Summary, now time.Time) {
	data, err := json.Marshal(s, json.Deterministic(true))
	if err != nil {
		p.log.ErrorContext(ctx, "status page", "err", err)
		return // unreachable: it always encodes
	}
	today := now.UTC().Truncate(24 * time.Hour)
	last := p.shown.Load()
	if last != nil && last.of == c && bytes.Equal(last.data, data) && last.day.Equal(today) {
		return
	}
	next, err := newEdition(c, s, data, today, last)
	if err != nil {
		p.log.ErrorContext(ctx, "status page", "err", err)
		return
	}
	p.shown.Store(next)
}

// metrics are those of the page.
type metrics struct {
	requests map[int]prometheus.Counter
	read     prometheus.Gauge
	failed   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_status_requests_total", Help: "Requests for the status page, by the status of the answer."}, []string{"code"})
	m := &metrics{requests: map[int]prometheus.Counter{},
		read:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_status_last_read_timestamp_seconds", Help: "When what the status page shows was last read; 0 if it is off."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_status_reads_failed_total", Help: "How often what the status page shows could not be read."})}
	for code, label := range map[int]string{200: "200", 304: "304", 308: "308", 404: "404", 405: "405", 503: "503"} {
		m.requests[code] = requests.WithLabelValues(label)
	}
	r.MustRegister(requests, m.read, m.failed)
	return m
}
