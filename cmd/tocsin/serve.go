package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store/failpoint"
)

const (
	// connections bounds the connections that are open at a time.
	connections = 16384
	// adminTokenLength is the least length of a configured admin token, which unlike
	// those that we make may be guessed.
	adminTokenLength = 16
	// drainTime is how long requests that have begun may take to finish.
	drainTime = 20 * time.Second
)

// server is the command serve.
type server struct {
	streams
	configFile, listen, externalURL, webConfig string
	store                                      storeFlags
	adminToken, adminTokenFile                 string
	allowUnauthenticated, tls                  bool
	logging                                    promslog.Config
}

func registerServe(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	v := &server{streams: s}
	cmd := app.Command("serve", "Run the gateway.")
	cmd.Flag("config.file", "Configuration file; without one the built-in defaults.").StringVar(&v.configFile)
	cmd.Flag("web.listen-address", "Address to listen on.").Default("127.0.0.1:9095").StringVar(&v.listen)
	v.store.register(cmd, "Where the state is: file:DIR, redis://HOST, redis-sentinel://HOST,HOST/MASTER, redis-cluster://HOST,HOST (rediss with TLS) or mem:. Default: store.url of the configuration file, or file:data.")
	cmd.Flag("web.external-url", "URL under which people reach this Tocsin.").StringVar(&v.externalURL)
	cmd.Flag("web.config.file", "TLS, client certificates and basic authentication, in the format of the Prometheus exporter toolkit.").StringVar(&v.webConfig)
	cmd.Flag("web.allow-unauthenticated", "Listen on other addresses than loopback without authentication.").BoolVar(&v.allowUnauthenticated)
	cmd.Flag("admin.token", "A first token with the role admin, for containers. Better: the file.").Envar("TOCSIN_ADMIN_TOKEN").Hidden().StringVar(&v.adminToken)
	cmd.Flag("admin.token-file", "File with a first token with the role admin.").Envar("TOCSIN_ADMIN_TOKEN_FILE").StringVar(&v.adminTokenFile)
	v.logging.Level, v.logging.Format = promslog.NewLevel(), promslog.NewFormat()
	cmd.Flag(flag.LevelFlagName, flag.LevelFlagHelp).Default("info").HintOptions(promslog.LevelFlagOptions...).SetValue(v.logging.Level)
	cmd.Flag(flag.FormatFlagName, flag.FormatFlagHelp).Default("logfmt").HintOptions(promslog.FormatFlagOptions...).SetValue(v.logging.Format)
	return map[string]func(context.Context) error{"serve": v.run}
}

// run listens first, so that a busy port is an error and not a log line; then
// it opens the store, serves, and ends in the opposite order.
func (v *server) run(ctx context.Context) (err error) {
	v.logging.Writer = v.err
	log := promslog.New(&v.logging)
	config.InitMatchers(log)
	c, err := v.load()
	if err != nil {
		return err
	}
	admin, err := v.admin(c)
	if err == nil && admin != "" && len(admin) < adminTokenLength {
		err = fmt.Errorf("admin token: shorter than %d characters; make one with: head -c 32 /dev/urandom | base64", adminTokenLength)
	}
	if err != nil {
		return err
	}
	external, err := v.external()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", v.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", v.listen, err)
	}
	defer func() { _ = l.Close() }() // the server has closed it, unless it never ran
	mail, err := listenMail(c.SMTP)
	if err != nil {
		return err
	}
	defer mail.close()
	checks, err := listenPassive(ctx, c.NSCA)
	if err != nil {
		return err
	}
	defer checks.close()
	pages, err := listenPublic(c.Status)
	if err != nil {
		return err
	}
	defer pages.close()
	settings, err := v.store.settings(c.Store)
	if err != nil {
		return err
	}
	v.store.warn(log)
	registry := prometheus.NewRegistry()
	st, err := openStore(ctx, settings, opening{log: log, registerer: registry, failpoint: failpoint.FromEnv()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if _, engine := st.(backer); engine && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // most of the live memory is the engine's, which the collector need not look at
	}
	waiting, err := spool.Open(spool.Options{Config: c.Spool, Log: log, Registerer: registry, Failpoint: failpoint.FromEnv()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, waiting.Close()) }()
	var recording *recorder.Recorder
	if c.Recorder.Dir != "" {
		recording, err = recorder.Open(recorder.Options{Config: c.Recorder, Log: log, Registerer: registry})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, recording.Close()) }()
	}
	protected, err := v.webProtected()
	if err != nil {
		return err
	}
	if external == nil { // at least on this machine
		if external, err = url.Parse(v.console(l.Addr())); err != nil {
			return err // unreachable: it is one of ours
		}
	}
	g, err := v.gateway(ctx, gateway.Options{Store: withOutage(st), Spool: waiting, Recorder: recording, Config: c, Log: log, Registry: registry, AdminToken: admin,
		AnyHost: v.allowUnauthenticated || protected, External: external, Receivers: receivers.New})
	if err != nil {
		return err
	}
	if err := v.mayListen(l.Addr(), protected || g.API.Authenticated()); err != nil {
		return err
	}
	mail.receive(c, g, log, registry)
	checks.receive(c.NSCA, g, log)
	pages.show(g.Status, log)
	fmt.Fprintf(v.err, "tocsin %s started store=%s listen=%s console=%s%s%s%s\n", version.Version, settings.URL, l.Addr(), v.console(l.Addr()), mail, checks, pages)
	return v.serve(ctx, netutil.LimitListener(l, connections), g, mail, checks, pages, log)
}

// backer is a store that can write a copy of itself while it works. Redis is
// backed up as Redis is.
type backer interface {
	Backup(ctx context.Context, w io.Writer) error
}

// gateway makes a gateway with what else a process has to say of itself.
func (v *server) gateway(ctx context.Context, o gateway.Options) (*gateway.Gateway, error) {
	o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), versioncollector.NewCollector("tocsin"))
	o.Version = version.Version
	if st, ok := o.Store.(backer); ok {
		o.Backup = st.Backup
	}
	if v.configFile != "" {
		o.Load = v.load
	}
	return gateway.New(ctx, o)
}

func (v *server) load() (*config.Config, error) {
	if v.configFile == "" {
		return config.Load(nil, "built-in")
	}
	c, err := config.LoadFile(v.configFile)
	if err == nil && c.Web.OIDC != nil && v.externalURL == "" {
		return nil, errors.New("web.oidc needs --web.external-url: the provider sends people back to that URL with /signin/callback, and has to know it")
	}
	return c, err
}

// admin is the first admin token: flag, environment or configuration.
func (v *server) admin(c *config.Config) (string, error) {
	if v.adminTokenFile != "" {
		b, err := os.ReadFile(v.adminTokenFile)
		if err != nil {
			return "", fmt.Errorf("admin token: %w", err)
		}
		if token := strings.TrimSpace(string(b)); token != "" {
			return token, nil
		}
		return "", fmt.Errorf("admin token: %s is empty", v.adminTokenFile)
	}
	token := strings.TrimSpace(firstOf(v.adminToken, c.Web.AdminToken.Reveal()))
	if token == "" && v.adminToken != "" {
		return "", errors.New("admin token: TOCSIN_ADMIN_TOKEN holds nothing but space")
	}
	return token, nil
}

// mayListen refuses to be reachable from elsewhere without authentication.
func (v *server) mayListen(addr net.Addr, protected bool) error {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsLoopback() || v.allowUnauthenticated || protected {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without authentication: set TOCSIN_ADMIN_TOKEN_FILE (or TOCSIN_ADMIN_TOKEN), "+
		"or create a token with `tocsin token create --role admin`, or configure web.users or web.oidc, or listen on 127.0.0.1, or, if the network itself is safe, --web.allow-unauthenticated", addr)
}

func (v *server) serve(ctx context.Context, l net.Listener, g *gateway.Gateway, mail *mailbox, checks *passive, pages *public, log *slog.Logger) error {
	server := &http.Server{Handler: g.Engine, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Run(working) })
	group.Go(func() error {
		err := v.accept(l, server, log)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	group.Go(func() error { return v.reloads(ctx, g) })
	group.Go(mail.serve)
	group.Go(checks.serve)
	group.Go(pages.serve)
	for _, p := range mail.pollers {
		group.Go(func() error { return p.Run(ctx) })
	}
	group.Go(func() error {
		<-ctx.Done()
		mail.drain(context.WithoutCancel(ctx)) // first: they hand over to what drains next
		checks.drain()
		g.Drain()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err := errors.Join(server.Shutdown(drain), pages.drain(drain))
		stopWork()
		return err
	})
	err := group.Wait()
	log.Info("stopped", "err", err)
	return err
}

// accept serves until the server is shut down. TLS and passwords are the toolkit's business.
func (v *server) accept(l net.Listener, server *http.Server, log *slog.Logger) error {
	if v.webConfig == "" {
		return server.Serve(l)
	}
	return toolkit.Serve(l, server, &toolkit.FlagConfig{WebConfigFile: &v.webConfig}, log)
}

// reloads reloads the configuration on SIGHUP.
func (v *server) reloads(ctx context.Context, g *gateway.Gateway) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_ = g.Reload(ctx) // it says itself what is wrong
		}
	}
}

// external is the URL under which people reach us, nil if nobody said it.
func (v *server) external() (*url.URL, error) {
	if v.externalURL == "" {
		return nil, nil
	}
	u, err := url.Parse(v.externalURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("--web.external-url: not a URL such as https://tocsin.example.com")
	}
	return u, nil
}

func (v *server) console(addr net.Addr) string {
	if v.externalURL != "" {
		return v.externalURL
	}
	scheme, host := "http", addr.String()
	if v.tls {
		scheme = "https"
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		if name, err := os.Hostname(); err == nil { // all addresses are none to click on
			host = net.JoinHostPort(name, strconv.Itoa(tcp.Port))
		}
	}
	return scheme + "://" + host + "/"
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
