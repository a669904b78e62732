// Package gateway puts the parts together: one Gateway takes alerts over HTTP,
// runs them through the pipeline into a store, does the jobs that are due, and
// serves the API. The command serves it on a socket, package simulate runs it
// on a virtual clock.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/links"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/answers"
	"github.com/tocsin-gateway/tocsin/web/console"
	"github.com/tocsin-gateway/tocsin/web/live"
	"github.com/tocsin-gateway/tocsin/web/status"
)

// Options are what a Gateway needs.
type Options struct {
	Store  store.Store
	Config *config.Config
	// Spool keeps requests while the store is away; nil means that sources which
	// spool refuse. Whoever opened it closes it when Run has ended.
	Spool *spool.Spool
	// Recorder keeps requests for people to look at; nil keeps none. Whoever opened
	// it closes it when Run has ended.
	Recorder *recorder.Recorder
	// Load reads the configuration again, for a reload; nil means that there is nothing to reload.
	Load func() (*config.Config, error)
	Log  *slog.Logger
	// Registry is where the metrics go, and what /metrics shows.
	Registry *prometheus.Registry
	// Version is what the API says of itself.
	Version string
	// AdminToken, if set, is a token with the role admin.
	AdminToken string
	// AnyHost lets requests in that name another host than this machine, although
	// there is no authentication of ours.
	AnyHost bool
	// Receivers makes the integrations that tell people; nil, as in a simulation,
	// means that nobody hears of anything.
	Receivers func(receivers.Options) (map[string]*notify.Integration, error)
	// External is the URL under which people and tools reach this Tocsin, for links in
	// messages; nil if nobody knows it.
	External *url.URL
	// Backup writes a copy of the store; nil means that it cannot.
	Backup func(ctx context.Context, w io.Writer) error
	// Now is the clock; nil means the store's, which is the same for all gateways
	// whatever their machines' say.
	Now func() time.Time
}

// Gateway is one running Tocsin.
type Gateway struct {
	Pipeline *router.Pipeline
	API      *web.API
	Engine   *gin.Engine
	// Links makes the links of messages.
	Links *links.Links
	// Live keeps pages up to date.
	Live *live.Live
	// Status is the page for everybody.
	Status *status.Page

	console  *console.Console
	answers  *answers.Handler
	opts     Options
	ingest   *ingest.Handler
	outside  outside
	streams  streams
	notifier *notify.Worker
	silences *silences.Set
	muter    muter
	feeds    feeds
	guide    atomic.Pointer[process.Guide]
	told     atomic.Pointer[told]
	log      *slog.Logger
	store    store.Store
	pings    *prometheus.CounterVec

	muteMetrics *mute.Metrics
	// rerouting has something in it if the routes have changed.
	rerouting chan struct{}
	readiness readiness
	config    atomic.Pointer[config.Config]
	draining  atomic.Bool
	reloading sync.Mutex
	reloadOK  prometheus.Gauge
	reloadAt  prometheus.Gauge
	loads     loads
}

// New puts a Gateway together and makes its configuration current.
func New(ctx context.Context, o Options) (*Gateway, error) {
	waits := o.Now // caches and throttling want to know what has passed, and not what time it is
	if o.Now == nil {
		o.Now = o.Store.Now
	}
	g := &Gateway{opts: o, log: o.Log, rerouting: make(chan struct{}, 1)}
	st := g.watch(store.Instrument(o.Store, o.Registry))
	g.store, g.Pipeline, g.readiness.store = st, router.New(st, o.Log, o.Registry), st
	g.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_config_last_reload_successful", Help: "1 if the latest reload of the configuration worked."})
	g.reloadAt = prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_config_last_reload_success_timestamp_seconds", Help: "When a configuration was last loaded."})
	g.pings = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_pings_total", Help: "Signs of life that were due, by whether they were sent or failed (also because not all was well)."}, []string{"result"})
	for _, result := range []string{"sent", "failed"} {
		g.pings.WithLabelValues(result)
	}
	o.Registry.MustRegister(g.pings, g.reloadOK, g.reloadAt, rotaAges{&g.feeds, g.opts.Now}, store.NewCollector(st, func() store.Labels {
		return store.Labels{Severities: g.Pipeline.Severities(), Teams: g.Pipeline.Teams()}
	}))
	if o.Receivers != nil {
		g.notifier = notify.New(st, o.Log, o.Registry, g.Pipeline.Wake)
		g.Pipeline.SetNotifier(g.notifier)
	}
	g.outside.log = o.Log
	g.Pipeline.SetOutside(&g.outside)
	g.silences, g.muteMetrics = silences.New(st, o.Log), mute.NewMetrics(o.Registry)
	g.silences.OnChange(g.unhide)
	g.muter.silences = g.silences
	api := web.Options{Silences: g.silences, Receivers: g.receiversOf, ReceiverNames: g.receiverNames, AlertmanagerConfig: g.alertmanagerConfig, Mute: &g.muter, Process: g.guide.Load,
		Store: st, Pipeline: g.Pipeline, Live: g.Live, AdminToken: o.AdminToken, AnyHost: o.AnyHost, Log: o.Log, Version: o.Version,
		HasSource: g.hasSource, Sources: g.sources, Configuration: g.configuration, Reports: g.reportFacts(), Retry: g.retry, Explain: g.explain, Mapping: g.mapping, ExplainMapping: g.explainMapping, Backup: o.Backup, Now: waits, External: o.External, Registerer: o.Registry}
	if g.notifier != nil {
		api.Notifications = g.notifier
	}
	if o.Recorder != nil {
		api.Recordings = recordings{o.Recorder}
	}
	var err error
	if g.API, err = web.New(api); err != nil {
		return nil, err
	}
	if g.console, err = console.New(console.Options{API: g.API, Board: g.Live, Severities: g.Pipeline.Severities, Version: o.Version, Log: o.Log, Now: st.Now}); err != nil {
		return nil, err
	}
	if g.Status, err = status.New(status.Options{Store: st, Planned: g.planned, Log: o.Log, Registerer: o.Registry}); err != nil {
		return nil, err
	}
	g.Links = links.New(st, o.External)
	g.answers, err = answers.New(answers.Options{Actor: g.Pipeline, Store: st, Links: g.Links, External: o.External,
		Client: answers.NewClient(), Log: o.Log, Registerer: o.Registry, Now: waits})
	if err != nil {
		return nil, err
	}
	in := ingest.Options{Sink: sink{g.Pipeline}, Tokens: g.API, Formats: formats.All, Open: g.API.Open, Now: o.Now, Log: o.Log, Registerer: o.Registry}
	if o.Recorder != nil {
		in.Recorder = o.Recorder
	}
	if o.Spool != nil {
		in.Spool = o.Spool
		g.Pipeline.HoldExpiry(func() bool { return o.Spool.Len() > 0 })
	}
	g.ingest, err = ingest.New(in)
	if err != nil {
		return nil, err
	}
	if err := g.use(ctx, o.Config); err != nil {
		return nil, err
	}
	g.Engine = g.engine()
	return g, nil
}

// use makes a configuration current. All that can fail comes before anything
// changes, but for the store's list of generations, which is the last of it.
func (g *Gateway) use(ctx context.Context, c *config.Config) error {
	sources, err := ingest.NewSources(c.Sources, formats.All)
	if err != nil {
		return err
	}
	spools := slices.ContainsFunc(sources, func(s ingest.Source) bool { return s.Spools })
	if spools && g.opts.Spool != nil {
		// Now, and not when the store goes away: a folder that cannot be written to is
		// no good news then.
		if err := g.opts.Spool.Prepare(); err != nil {
			return err
		}
	}
	tools, err := g.outside.toolsOf(c.Sources)
	if err != nil {
		return err
	}
	settings := c.Settings()
	told, err := g.receivers(c)
	if err != nil {
		return err
	}
	if told != nil && g.notifier != nil {
		settings.Targets, settings.Prompt = told.targets, told.prompt()
	}
	about := c.ProcessOptions()
	var calendars map[string]*feed
	if about.Rotas, calendars, err = g.rotas(c); err != nil {
		return err
	}
	guide, err := process.New(c.Process, about)
	if err != nil {
		return err
	}
	settings.Guide = guide
	if err := g.announcements(c, told, guide, &settings); err != nil {
		return err
	}
	hides, err := g.muting(c)
	if err != nil {
		return err
	}
	if err := g.Pipeline.Set(ctx, settings); err != nil {
		return err
	}
	g.outside.use(tools)
	g.guide.Store(guide)
	g.useFeeds(calendars)
	g.muter.all.Store(hides)
	g.told.Store(told)
	if g.notifier != nil {
		g.notifier.Set(told.settings(c, &g.muter, g.Links.For))
	}
	if err := g.Links.Load(ctx); err != nil { // messages are worth more than their links
		g.log.WarnContext(ctx, "messages have no links to acknowledge and resolve yet", "err", err)
	}
	g.API.SetConfig(c.Web)
	g.answers.Set(&c.Answers)
	g.Status.Set(c.Status)
	g.ingest.Set(sources)
	g.config.Store(c)
	// Only now: it asks the configuration which one it is.
	select {
	case g.rerouting <- struct{}{}:
	default: // it will look anyway
	}
	g.restartStreams(c)
	g.reloadOK.Set(1)
	g.reloadAt.Set(float64(g.opts.Now().Unix()))
	g.loads.good(g.opts.Now())
	for _, w := range c.Warnings {
		g.log.WarnContext(ctx, "configuration", "warning", w.String())
	}
	return nil
}

func (g *Gateway) hasSource(name string) bool {
	_, ok := g.config.Load().Sources[name]
	return ok
}

// Reload reads the configuration again. On an error the one before stays.
func (g *Gateway) Reload(ctx context.Context) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.opts.Load == nil {
		return errors.New("gateway: there is no configuration file to reload")
	}
	c, err := g.opts.Load()
	if err == nil {
		err = g.use(ctx, c)
	}
	if err != nil {
		g.reloadOK.Set(0)
		g.loads.bad(g.opts.Now(), err)
		g.log.ErrorContext(ctx, "configuration not reloaded, the one before stays", "err", err)
		return err
	}
	g.log.InfoContext(ctx, "configuration reloaded", "hash", c.Hash)
	return nil
}

func (g *Gateway) engine() *gin.Engine {
	e := gin.New()
	// A redirected sender loses its alert; nor is a proxy to be believed that nobody named.
	e.RedirectTrailingSlash, e.RedirectFixedPath, e.HandleMethodNotAllowed = false, false, true
	_ = e.SetTrustedProxies(nil) // cannot fail without proxies
	e.Use(g.recover)
	g.registerStatus(e)   // everybody may read it
	g.answers.Register(e) // they come from elsewhere by their nature, and prove themselves that they may
	e.Use(g.API.Protect())
	g.ingest.Register(e)
	e.GET("/-/healthy", healthy)
	e.HEAD("/-/healthy", healthy)
	e.GET("/-/ready", g.ready)
	e.HEAD("/-/ready", g.ready)
	e.POST("/-/reload", g.API.Require(web.RoleAdmin), g.reload)
	e.GET("/metrics", gin.WrapH(promhttp.HandlerFor(g.opts.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})))
	g.API.Register(e)
	g.console.Register(e)
	return e
}

// recover keeps a panic in one request from ending the others.
func (g *Gateway) recover(c *gin.Context) {
	defer func() {
		if r := recover(); r != nil {
			if r == http.ErrAbortHandler {
				panic(r)
			}
			g.log.ErrorContext(c.Request.Context(), "panic", "path", c.FullPath(), "panic", fmt.Sprint(r))
			c.AbortWithStatus(http.StatusInternalServerError)
		}
	}()
	c.Next()
}

func (g *Gateway) reload(c *gin.Context) {
	if err := g.Reload(c.Request.Context()); err != nil {
		c.JSON(http.StatusUnprocessableEntity, gin.H{"error": err.Error()})
		return
	}
	c.JSON(http.StatusOK, gin.H{"reloaded": true})
}

// Take takes a request that came another way than over HTTP; see ingest.Handler.
func (g *Gateway) Take(ctx context.Context, source string, r ingest.Request) (ingest.Taken, error) {
	return g.ingest.Take(ctx, source, r)
}

// Drain refuses requests that begin from now on, and ends those that only listen.
func (g *Gateway) Drain() {
	g.draining.Store(true)
	g.ingest.Drain()
	g.Live.Drain() // a server that shuts down waits for the requests that are under way
}

// Run does the periodic work of the store and of the pipeline, empties the spool
// and writes what is recorded, until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.opts.Store.Run(ctx) })
	group.Go(func() error { return g.Pipeline.Run(ctx) })
	group.Go(func() error { return g.Live.Run(ctx) })
	group.Go(func() error { return g.silences.Run(ctx) })
	group.Go(func() error { return g.API.Run(ctx) })
	group.Go(func() error { return g.Status.Run(ctx) })
	group.Go(func() error { g.reroute(ctx); return nil })
	group.Go(func() error { g.ping(ctx); return nil })
	group.Go(func() error { return g.Links.Run(ctx) })
	group.Go(func() error { g.runStreams(ctx); return nil })
	group.Go(func() error { g.feeds.run(ctx); return nil })
	if g.opts.Spool != nil {
		group.Go(func() error {
			return g.opts.Spool.Run(ctx, spool.Drain{Ready: g.readiness.check, Replay: g.ingest.Replay})
		})
	}
	if g.opts.Recorder != nil {
		group.Go(func() error { return g.opts.Recorder.Run(ctx) })
	}
	return group.Wait()
}
