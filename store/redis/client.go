package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// replyTime is how long one answer may take. The client's default, 3 s, and its
	// not caring for the context's deadline let a hung server hold calls for 10 s.
	replyTime = 500 * time.Millisecond
	// reloadEvery is how old the client's picture of a cluster may get; its default
	// of a minute is how long a failover would take.
	reloadEvery = 2 * time.Second
)

// target is what a URL says.
type target struct {
	kind     string // single, sentinel, cluster
	hosts    []string
	master   string // the name that Sentinel knows it by
	database int
	tls      bool
	prefix   string
	username string
	password string
	// sentinelUsername and sentinelPassword are for the Sentinels themselves.
	sentinelUsername, sentinelPassword string
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// kinds are the schemes of URLs.
var kinds = map[string]struct {
	kind string
	tls  bool
}{"redis": {"single", false}, "rediss": {"single", true}, "redis-sentinel": {"sentinel", false}, "rediss-sentinel": {"sentinel", true},
	"redis-cluster": {"cluster", false}, "rediss-cluster": {"cluster", true}}

// Handles reports whether a URL is one of this package's.
func Handles(text string) bool {
	scheme, _, _ := strings.Cut(text, ":")
	_, ok := kinds[scheme]
	return ok
}

// CheckURL says what is wrong with a URL, without its password.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL reads one of
//
//	redis://[user:password@]host[:6379][/database][?prefix=tocsin]
//	redis-sentinel://[user:password@]host[:26379],host,…/master[?database=0&sentinel_username=…&sentinel_password=…]
//	redis-cluster://[user:password@]host[:6379],host,…
//
// and the same with rediss, which uses TLS.
func parseURL(text string) (target, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	k, ok := kinds[scheme]
	if !ok {
		return target{}, fmt.Errorf("store: %q is not a scheme of Redis: use redis, rediss, redis-sentinel or redis-cluster", scheme)
	}
	// Several hosts are no URL, so they are taken out first.
	authority, path := rest, ""
	if n := strings.IndexAny(rest, "/?"); n >= 0 {
		authority, path = rest[:n], rest[n:]
	}
	user, hosts := "", authority
	if n := strings.LastIndexByte(authority, '@'); n >= 0 {
		user, hosts = authority[:n+1], authority[n+1:]
	}
	u, err := url.Parse("redis://" + user + "host" + path)
	if err != nil {
		return target{}, fmt.Errorf("store: the URL of Redis cannot be understood: %w", hidden(err))
	}
	t := target{kind: k.kind, tls: k.tls, prefix: defaultPrefix, username: u.User.Username()}
	t.password, _ = u.User.Password()
	port := "6379"
	if t.kind == "sentinel" {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return target{}, fmt.Errorf("store: the URL of Redis lacks a host: write %s://HOST:%s", scheme, port)
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		t.hosts = append(t.hosts, host)
	}
	if t.kind == "single" && len(t.hosts) > 1 {
		return target{}, fmt.Errorf("store: %s: names one host: for several write redis-cluster: or redis-sentinel:", scheme)
	}
	name := strings.Trim(u.Path, "/")
	switch {
	case t.kind == "sentinel" && name == "":
		return target{}, errors.New("store: redis-sentinel: needs the name of the master behind the hosts, such as redis-sentinel://host:26379/mymaster")
	case t.kind == "sentinel":
		t.master = name
	case t.kind == "cluster" && name != "":
		return target{}, errors.New("store: a cluster has one database, without a number: leave out what follows the hosts")
	case name != "":
		if t.database, err = strconv.Atoi(name); err != nil || t.database < 0 {
			return target{}, fmt.Errorf("store: %q is not the number of a database", name)
		}
	}
	return t, t.options(u.Query())
}

func (t *target) options(q url.Values) error {
	for name, values := range q {
		v := values[len(values)-1]
		switch {
		case name == "prefix" && validPrefix(v):
			t.prefix = v
		case name == "prefix":
			return fmt.Errorf("store: %q cannot begin the names of keys: no braces, spaces or wildcards", v)
		case name == "database" && t.kind == "sentinel":
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return fmt.Errorf("store: %q is not the number of a database", v)
			}
			t.database = n
		case name == "sentinel_username" && t.kind == "sentinel":
			t.sentinelUsername = v
		case name == "sentinel_password" && t.kind == "sentinel":
			t.sentinelPassword = v
		default:
			return fmt.Errorf("store: a %s URL has no option %q", t.kind, name)
		}
	}
	return nil
}

// hidden is an error of parsing a URL without the URL, which may hold a password.
func hidden(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

var quiet sync.Once

// connect makes the client. It does not talk to a server yet.
func (s *Store) connect(t target) error {
	// A dead server is a line for each failed dial, from a logger that all clients share.
	quiet.Do(func() { client.SetLogger(driverLog{}) })
	if s.opts.Username != "" {
		t.username = s.opts.Username
	}
	if s.opts.Password != "" {
		t.password = s.opts.Password
	}
	var secure *tls.Config
	if t.tls {
		if secure = s.opts.TLS; secure == nil {
			secure = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	maint := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch t.kind {
	case "cluster":
		s.cluster = client.NewClusterClient(&client.ClusterOptions{Addrs: t.hosts, Username: t.username, Password: t.password, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, MaxRedirects: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime, ContextTimeoutEnabled: true,
			PoolSize: flights + 2, PipelinePoolSize: flights, PoolTimeout: replyTime, DialerRetries: 1, ClusterStateReloadInterval: reloadEvery,
			DisableIdentity: true, Dialer: s.opts.dial, MaintNotificationsConfig: maint})
	case "sentinel":
		s.single = client.NewFailoverClient(&client.FailoverOptions{MasterName: t.master, SentinelAddrs: t.hosts, Username: t.username, Password: t.password,
			SentinelUsername: t.sentinelUsername, SentinelPassword: t.sentinelPassword, DB: t.database, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime, ContextTimeoutEnabled: true,
			PoolSize: flights + 2, PipelinePoolSize: flights, PoolTimeout: replyTime, DialerRetries: 1, DisableIdentity: true, Dialer: s.opts.dial})
	default:
		s.single = client.NewClient(&client.Options{Addr: t.hosts[0], Username: t.username, Password: t.password, DB: t.database, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime, ContextTimeoutEnabled: true,
			PoolSize: flights + 2, PipelinePoolSize: flights, PoolTimeout: replyTime, DialerRetries: 1, DisableIdentity: true, Dialer: s.opts.dial, MaintNotificationsConfig: maint})
	}
	return nil
}

// driverLog passes the client's lines on as details.
type driverLog struct{}

func (driverLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, v...), "component", "redis client")
}

// server finds the server that a call goes to.
func (s *Store) server(c *call) (*client.Client, string, error) {
	if s.cluster == nil {
		return s.single, "", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), replyTime)
	defer cancel()
	if c.asking != "" {
		if n, ok := s.nodes.Load(c.asking); ok {
			return n.(*client.Client), c.asking, nil
		}
		return nil, "", s.rediscover() // it will be known the next time
	}
	cl, err := s.cluster.MasterForKey(ctx, s.names[c.shard].probe)
	if err != nil {
		return nil, "", err
	}
	addr := cl.Options().Addr
	if known := s.homes[c.shard].Load(); known == nil || *known != addr {
		s.homes[c.shard].Store(&addr)
		s.nodes.Store(addr, cl)
	}
	return cl, addr, nil
}

// home is the address of the server that had a shard the last time.
func (s *Store) home(shard byte) string {
	if addr := s.homes[shard].Load(); addr != nil {
		return *addr
	}
	return ""
}

var errRediscover = errors.New("looking for the servers of the cluster")

// rediscover has the client look again which server has what, which it does at
// most five times a second.
func (s *Store) rediscover() error {
	if s.cluster != nil {
		s.cluster.ReloadState(context.Background())
		ctx, cancel := context.WithTimeout(context.Background(), replyTime)
		defer cancel()
		_ = s.cluster.ForEachMaster(ctx, func(_ context.Context, c *client.Client) error { // those that are known are noted
			s.nodes.Store(c.Options().Addr, c)
			return nil
		})
	}
	return errRediscover
}

// failing and recovered are told when a server ceases to answer and when it
// does again: an outage is two lines.
func (s *Store) failing(addr string, err error) {
	s.log.Warn("Redis does not answer", "server", addr, "err", err)
	s.metrics.up.Set(0)
}

func (s *Store) recovered(addr string) {
	s.log.Info("Redis answers again", "server", addr)
	s.metrics.up.Set(1)
	go s.returned() // the caller is who would carry that out
}
