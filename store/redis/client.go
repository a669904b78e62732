package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tocsin-gateway/tocsin/store/redisurl"
)

const (
	// replyTime is how long one answer may take. The client's default, 3 s, and its
	// not caring for the context's deadline let a hung server hold calls for 10 s.
	replyTime = 500 * time.Millisecond
	// reloadEvery is how old the client's picture of a cluster may get; its default
	// of a minute is how long a failover would take.
	reloadEvery = 2 * time.Second
)

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Handles reports whether a URL is one of this package's.
func Handles(text string) bool { return redisurl.Handles(text) }

// parseURL reads a URL, see redisurl.Parse.
func parseURL(text string) (redisurl.Target, error) {
	t, err := redisurl.Parse(text)
	if err != nil {
		return t, fmt.Errorf("store: the URL of Redis: %w", err)
	}
	return t, nil
}

var quiet sync.Once

// connect makes the client. It does not talk to a server yet.
func (s *Store) connect(t redisurl.Target) error {
	// A dead server is a line for each failed dial, from a logger that all clients share.
	quiet.Do(func() { client.SetLogger(driverLog{}) })
	if s.opts.Username != "" {
		t.Username = s.opts.Username
	}
	if s.opts.Password != "" {
		t.Password = s.opts.Password
	}
	var secure *tls.Config
	if t.TLS {
		if secure = s.opts.TLS; secure == nil {
			secure = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	maint := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch t.Kind {
	case redisurl.Cluster:
		s.cluster = client.NewClusterClient(&client.ClusterOptions{Addrs: t.Hosts, Username: t.Username, Password: t.Password, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, MaxRedirects: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime, ContextTimeoutEnabled: true,
			PoolSize: flights + 2, PipelinePoolSize: flights, PoolTimeout: replyTime, DialerRetries: 1, ClusterStateReloadInterval: reloadEvery,
			DisableIdentity: true, Dialer: s.opts.dial, MaintNotificationsConfig: maint})
	case redisurl.Sentinel:
		s.label = "master " + t.Master
		s.single = client.NewFailoverClient(&client.FailoverOptions{MasterName: t.Master, SentinelAddrs: t.Hosts, Username: t.Username, Password: t.Password,
			SentinelUsername: t.SentinelUsername, SentinelPassword: t.SentinelPassword, DB: t.Database, TLSConfig: secure,
			Protocol: 2, MaxRetries: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime, ContextTimeoutEnabled: true,
			PoolSize: flights + 2, PipelinePoolSize: flights, PoolTimeout: replyTime, DialerRetries: 1, DisableIdentity: true, Dialer: s.opts.dial})
	default:
		s.label = t.Hosts[0]
		s.single = client.NewClient(&client.Options{Addr: t.Hosts[0], Username: t.Username, Password: t.Password, DB: t.Database, TLSConfig: secure,
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
		return s.single, s.label, nil
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

// rediscover has the client look again which server has what, at most five times
// a second, and notes the servers.
func (s *Store) rediscover() error {
	last, now := s.looked.Load(), time.Now().UnixNano()
	if s.cluster == nil || now-last < int64(200*time.Millisecond) || !s.looked.CompareAndSwap(last, now) {
		return errRediscover
	}
	s.cluster.ReloadState(context.Background())
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), replyTime)
		defer cancel()
		_ = s.cluster.ForEachMaster(ctx, func(_ context.Context, c *client.Client) error { // those that are known are noted
			s.nodes.Store(c.Options().Addr, c)
			return nil
		})
	}()
	return errRediscover
}

// failing and recovered are told when a server ceases to answer and when it
// does again: an outage is two lines.
func (s *Store) failing(addr string, err error) {
	s.log.Warn("Redis does not answer", "server", addr, "err", err)
}

func (s *Store) recovered(addr string, after time.Duration) {
	s.log.Info("Redis answers again", "server", addr, "after", after)
	if after >= s.opts.downAfter { // a connection that broke was made up for by another try
		go s.returned() // the caller is who would carry that out
	}
}

// up is 0 while a server that has a shard does not answer.
func (s *Store) up() float64 {
	s.laneMu.Lock()
	defer s.laneMu.Unlock()
	for n := range s.names {
		addr := s.label
		if s.cluster != nil {
			addr = s.home(byte(n))
		}
		if l := s.lanes[addr]; l != nil && l.failing.Load() != 0 {
			return 0
		}
	}
	return 1
}
