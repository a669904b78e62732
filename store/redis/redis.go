// Package redis keeps the store in Redis 7 or later: one server, a master with
// Sentinels, or a Cluster. Any number of processes work on one Redis as if they
// were one.
//
// State is in shards, which the key of an alert or the id of an incident says.
// All of a shard is in one slot, so that one script reads or commits all that a
// request does to one key, under a check that nobody else changed the key since.
// What a request does to several keys goes in one pipeline. Within a process
// changes of one key queue up and are committed together; between processes the
// slower one reads again. There is no leader, and nothing that a process must
// not forget but the repeats of at most half a minute.
package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redisurl"
	"github.com/tocsin-gateway/tocsin/store/repeats"
)

// SchemaMajor and SchemaMinor are the version of what is stored. A version with
// another minor number reads and writes it, and passes on what it does not
// know; one with a smaller major number refuses.
const (
	SchemaMajor = 1
	SchemaMinor = 0
)

// Options are what Open can be told beside the URL; the zero value is right.
type Options struct {
	Logger *slog.Logger
	// Now is the clock; nil means the server's.
	Now func() time.Time
	// Username and Password take the place of those in the URL.
	Username, Password string
	// TLS is used for rediss: and for rediss-cluster: and rediss-sentinel: URLs;
	// nil means the system's certificates.
	TLS *tls.Config
	// Timeout is how long an operation may take, all tries included; 0 means 2 s.
	Timeout time.Duration
	// InFlight bounds the updates that are under way at a time; 0 means 2048.
	InFlight int
	// Durability is what an answer waits for beside the server itself.
	Durability Durability
	// Replicas is how many replicas Replicated waits for; 0 means 1.
	Replicas int
	// Registerer takes the metrics of the client; nil means that nobody does.
	Registerer prometheus.Registerer
	// Failpoint is called at named points of a commit, for tests that kill there.
	Failpoint func(point string)
	// Skew is by how much this machine's clock is to be wrong, for tests.
	Skew time.Duration
	// dial replaces how connections are made, for tests.
	dial dialer
	// downAfter takes the place of the constant, for tests.
	downAfter time.Duration
}

// Durability is what an answer waits for beside the server itself.
type Durability string

// The durabilities.
const (
	// Local: the master has it; how durable that is, its configuration says.
	Local Durability = "local"
	// Replicated: replicas have it too. See https://redis.io/commands/wait.
	Replicated Durability = "replicated"
	// Synced: it is on the master's disk, whatever appendfsync says. Needs Redis
	// 7.2. See https://redis.io/commands/waitaof.
	Synced Durability = "synced"
)

func (d Durability) waits() bool { return d == Replicated || d == Synced }

func (d Durability) command(replicas int, wait time.Duration) []any {
	if d == Synced {
		return []any{"WAITAOF", 1, 0, wait.Milliseconds()}
	}
	return []any{"WAIT", replicas, wait.Milliseconds()}
}

// confirmed reads the answer to command.
func (d Durability) confirmed(c *client.Cmd, replicas int) error {
	v, err := c.Result()
	if err != nil {
		return err
	}
	if list, ok := v.([]any); ok && len(list) > 0 { // local and replicas
		v, replicas = list[0], 1
	}
	if n, _ := v.(int64); n < int64(replicas) {
		return errUnconfirmed
	}
	return nil
}

// Store implements store.Store.
type Store struct {
	url     string
	opts    Options
	log     *slog.Logger
	names   [incident.Shards]*names
	gateway string // names this process in the store
	caller  string // the same, shorter, in the records of keys
	// channel is where processes say which incidents they changed, see Announce.
	channel string

	label   string         // what messages call single
	single  *client.Client // one server, or the master that Sentinel knows
	cluster *client.ClusterClient
	looked  atomic.Int64 // when the servers of the cluster were looked for, in Unix nanoseconds
	nodes   sync.Map     // address → *client.Client, of a cluster
	// homes are the addresses of the servers that have the shards, of a cluster.
	homes [incident.Shards]atomic.Pointer[string]

	laneMu sync.Mutex
	lanes  map[string]*lane

	clockMu   sync.Mutex
	clockTook time.Duration // how long the answer took that the clock is set by
	clockSet  time.Time     // when

	inFlight atomic.Int64
	queues   [64]queues
	cache    cache
	memory   memory
	repeats  *repeats.Buffer
	flushing sync.Mutex // held while repeats are stored
	flushes  atomic.Uint64
	wake     chan struct{} // tells Run that too many repeats are gathered

	began      time.Time    // when this process made the Store
	clockAsked atomic.Int64 // when, in Unix nanoseconds
	offset     atomic.Int64 // by how much the server's clock is ahead of ours, in nanoseconds
	lastNow    atomic.Int64
	listening  atomic.Int64
	closed     atomic.Bool
	copied     bool // it is one of the two stores of a copy

	metrics metrics
	cost    cost
	trips   atomic.Int64 // pipelines so far
}

var _ store.Store = (*Store)(nil)

// Open connects to the Redis that url names, see redisurl.Parse, and checks that it can
// keep what is stored.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	target, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s := newStore(url, target, o)
	if err := s.connect(target); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(s.metrics.all()...)
		o.Registerer.MustRegister(poolCollector{s})
	}
	return s, nil
}

func newStore(url string, target redisurl.Target, o Options) *Store {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.InFlight == 0 {
		o.InFlight = 2048
	}
	if o.Durability == "" {
		o.Durability = Local
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.downAfter == 0 {
		o.downAfter = downAfter
	}
	s := &Store{url: url, opts: o, log: o.Logger.With("component", "store"), gateway: newGatewayID(), caller: newToken(), channel: target.Prefix + ":changes", began: time.Now(), lanes: map[string]*lane{},
		repeats: repeats.New(repeatsKept), wake: make(chan struct{}, 1), metrics: newMetrics()}
	for n := range s.names {
		s.names[n] = newNames(target.Prefix, byte(n))
	}
	for n := range s.queues {
		s.queues[n].m = map[incident.Key]*keyQueue{}
	}
	s.cache.init()
	s.memory.init()
	return s
}

// enter counts an update in; false if too many are under way.
func (s *Store) enter() bool {
	if s.closed.Load() || s.inFlight.Add(1) > int64(s.opts.InFlight) {
		if !s.closed.Load() {
			s.inFlight.Add(-1)
		}
		return false
	}
	return true
}

func (s *Store) leave() { s.inFlight.Add(-1) }

func (s *Store) failpoint(name string) {
	if s.opts.Failpoint != nil {
		s.opts.Failpoint(name)
	}
}

// steady is this machine's clock as it was at the beginning, and what has passed
// since. Whoever sets the clock meanwhile does not move it: a moment of ten
// minutes ahead would hold Now for as long, as that never runs backwards.
func (s *Store) steady() time.Time { return s.began.Add(time.Since(s.began) + s.opts.Skew) }

// clockAge is after how long a worse answer about the server's time counts too.
const clockAge = 30 * time.Second

// setClock takes the server's time from an answer to what was sent at the one
// time of our steady clock and answered at the other. The quickest answer counts
// most: a gateway whose clock is behind by what its answers take would think that
// what others have heard has not happened yet.
func (s *Store) setClock(seconds, micros any, sent, answered time.Time) {
	sec, _ := seconds.(string)
	usec, _ := micros.(string)
	n, err1 := strconv.ParseInt(sec, 10, 64)
	m, err2 := strconv.ParseInt(usec, 10, 64)
	if err1 != nil || err2 != nil {
		return
	}
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	took, offset := answered.Sub(sent), time.Unix(n, m*1000).Sub(sent)
	moved := (offset - time.Duration(s.offset.Load())).Abs() > took+s.clockTook+time.Millisecond // no delay explains it
	if moved || took <= s.clockTook || s.clockSet.IsZero() || answered.Sub(s.clockSet) > clockAge {
		s.clockTook, s.clockSet = took, answered
		s.offset.Store(offset.Nanoseconds())
	}
}

// Now implements store.Store: the server's clock as of its latest answer. It
// never runs backwards while the process lives.
func (s *Store) Now() time.Time {
	var now time.Time
	if s.opts.Now != nil {
		now = s.opts.Now()
	} else {
		now = s.steady().Add(time.Duration(s.offset.Load()))
	}
	for {
		last := s.lastNow.Load()
		if n := now.UnixNano(); n < last {
			return time.Unix(0, last).UTC()
		} else if s.lastNow.CompareAndSwap(last, n) {
			return now.UTC()
		}
	}
}

// ListeningSince implements store.Store. A gateway that was away may have been
// the only one that some sender reaches, so a return of any counts for all.
func (s *Store) ListeningSince() time.Time { return time.Unix(0, s.listening.Load()).UTC() }

// Close implements store.Store.
func (s *Store) Close() error {
	if s.closed.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	s.flush(ctx, true)
	s.signOff(ctx)
	s.closed.Store(true)
	if s.cluster != nil {
		return s.cluster.Close()
	}
	return s.single.Close()
}

// list carries out a call whose result is a list of the given length, any if it is negative.
func (s *Store) list(ctx context.Context, c *call, length int) ([]any, error) {
	v, err := s.one(ctx, c)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || length >= 0 && len(list) != length {
		return nil, fmt.Errorf("%w: %s", errReply, c.name())
	}
	return list, nil
}

func (c *call) name() string {
	if c.script != nil {
		return c.script.name
	}
	return fmt.Sprint(c.args[0])
}

// cost counts what goes from and to the server in updates, so that a test can
// show that it does not grow with what is stored.
type cost struct{ reads, writes, bytes atomic.Int64 }

func (c *cost) write(values, size int) {
	c.writes.Add(int64(values))
	c.bytes.Add(int64(size))
}

func (c *cost) read(entries int, reply any) {
	c.reads.Add(int64(entries))
	c.bytes.Add(int64(size(reply)))
}

func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []any:
		n := 0
		for i := range v {
			n += size(v[i])
		}
		return n
	}
	return 0
}

// Redacted is a URL without its password.
func Redacted(text string) string { return store.URL(text).String() }
