package gateway

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/process/calendar"
	"github.com/tocsin-gateway/tocsin/process/rota"
)

// feeds are the iCalendar files that rotas come from. One whose configuration has
// not changed goes on over a reload with what it has read.
type feeds struct {
	mu   sync.Mutex
	list map[string]*feed
	// ctx is that of Run, nil before and after.
	ctx  context.Context
	done sync.WaitGroup
}

type feed struct {
	*rota.Feed
	config rota.Config
	// began is when it was made: until it was read once, its age counts from then.
	began time.Time
	// stop ends its reading; nil if that has not begun.
	stop context.CancelFunc
}

// rotas makes the rotas of a configuration, and the feeds that they need.
func (g *Gateway) rotas(c *config.Config) (map[string]process.Rota, map[string]*feed, error) {
	rotas, wanted := map[string]process.Rota{}, map[string]*feed{}
	for _, name := range slices.Sorted(maps.Keys(c.Process.Rotas)) {
		rc := c.Process.Rotas[name]
		var source rota.Source
		if rc.ICal.File != "" || rc.ICal.URL.IsSet() {
			f, err := g.feed(name, rc, c)
			if err != nil {
				return nil, nil, fmt.Errorf("gateway: rota %s: %w", name, err)
			}
			wanted[name], source = f, f
		}
		r, err := rota.New(rc, source)
		if err != nil {
			return nil, nil, err
		}
		rotas[name] = r
	}
	return rotas, wanted, nil
}

// feed is the one that is there, or a new one.
func (g *Gateway) feed(name string, rc rota.Config, c *config.Config) (*feed, error) {
	g.feeds.mu.Lock()
	defer g.feeds.mu.Unlock()
	if f := g.feeds.list[name]; f != nil && reflect.DeepEqual(f.config, rc) {
		return f, nil
	}
	var zone *time.Location
	if rc.Timezone != "" {
		var err error
		if zone, err = calendar.Zone(rc.Timezone); err != nil {
			return nil, err
		}
	}
	dial, err := receivers.Dialing(c.Notify.DenyNetworks)
	if err != nil {
		return nil, err
	}
	made, err := rota.NewFeed(rc.ICal, rota.FeedOptions{Zone: zone, Dial: rota.DialFunc(dial), Now: g.opts.Now, Log: g.log.With("rota", name)})
	if err != nil {
		return nil, err
	}
	return &feed{Feed: made, config: rc, began: g.opts.Now()}, nil
}

var rotaAge = prometheus.NewDesc("tocsin_rota_age_seconds", "How long ago the calendar of a rota was last read.", []string{"rota"}, nil)

// rotaAges exports how old the calendars are, as of when it is asked.
type rotaAges struct {
	feeds *feeds
	now   func() time.Time
}

func (a rotaAges) Describe(ch chan<- *prometheus.Desc) { ch <- rotaAge }

func (a rotaAges) Collect(ch chan<- prometheus.Metric) {
	a.feeds.mu.Lock()
	defer a.feeds.mu.Unlock()
	for name, f := range a.feeds.list {
		read := f.State().Good
		if read.IsZero() {
			read = f.began
		}
		ch <- prometheus.MustNewConstMetric(rotaAge, prometheus.GaugeValue, max(a.now().Sub(read).Seconds(), 0), name)
	}
}

// useFeeds ends the feeds that are not wanted any more and begins the others.
func (g *Gateway) useFeeds(wanted map[string]*feed) {
	s := &g.feeds
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.list {
		if wanted[name] != f && f.stop != nil {
			f.stop()
		}
	}
	s.list = wanted
	s.begin()
}

// begin lets those read that do not yet. The caller holds mu.
func (s *feeds) begin() {
	if s.ctx == nil {
		return
	}
	for _, f := range s.list {
		if f.stop != nil {
			continue
		}
		var ctx context.Context
		ctx, f.stop = context.WithCancel(s.ctx)
		s.done.Go(func() { _ = f.Run(ctx) }) // it ends with ctx only
	}
}

// run lets the feeds read until ctx ends.
func (s *feeds) run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	s.begin()
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	for _, f := range s.list {
		f.stop()
	}
	s.mu.Unlock()
	s.done.Wait()
}
