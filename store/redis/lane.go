package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// flights is how many pipelines to one server are under way at a time. The
	// server does one thing at a time: while it works on one, the others are
	// written and read.
	flights = 2
	// flightSize bounds the calls in one pipeline, unless one request brings more.
	flightSize = 256
	// queued bounds the calls that wait for one server; beyond it they are refused.
	queued = 20_000
	// downAfter is for how long a server must have failed before calls to it fail at
	// once, and probeEvery how long after that it is looked at again.
	downAfter  = time.Second
	probeEvery = 250 * time.Millisecond
	// probes is how often it is looked at before somebody has to ask for it again.
	probes = 40
	// confirmTime is how long replicas may take to confirm; shorter than an answer may take.
	confirmTime = 400 * time.Millisecond
	// clockEvery is how often a pipeline asks for the server's time along the way.
	clockEvery = 100 * time.Millisecond
)

// call is one command on its way to the server that has its shard. Whatever it
// is, carrying it out twice is the same as once, because answers get lost.
type call struct {
	shard byte
	// script, or if that is nil args, is what to run. Keys and args are the script's.
	script *script
	keys   []string
	args   []any
	// full, if set, is the whole command in place of script, keys and args; several,
	// if set, are commands that go together, and the result is the list of theirs.
	full    []any
	several [][]any
	made    *args // what they are made of, if it can be used again
	// confirmed: the answer only counts if as many replicas have all that it
	// depends on as the store's durability asks for.
	confirmed bool

	until  time.Time // by when it must be over
	result any
	err    error
	done   *sync.WaitGroup
	tries  int
	// sourced: the server did not know the script, so it gets the text.
	sourced bool
	// asking is the address of the server that imports the shard, if the one that
	// has it said so.
	asking string
}

// errOverloaded: more waits for the server than can be answered in time.
var errOverloaded = errors.New("too much waits for the server")

// errLate: the call waited for the server until it was too late.
var errLate = errors.New("the server was too slow")

// errUnconfirmed: the replicas did not confirm in time.
var errUnconfirmed = errors.New("the replicas did not confirm the write in time")

// run carries the calls out, all at once, and waits for them. It returns an
// error only if ctx was over before it began; each call has its own.
func (s *Store) run(ctx context.Context, calls ...*call) error {
	if err := ctx.Err(); err != nil {
		return &store.UnavailableError{Cause: err}
	}
	deadline := time.Now().Add(s.opts.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	s.runUntil(deadline, calls)
	return nil
}

// runUntil is run without a context.
func (s *Store) runUntil(deadline time.Time, calls []*call) {
	for _, c := range calls {
		c.until = deadline
	}
	s.runAll(calls)
}

// runAll is run of calls that each have their own deadline.
func (s *Store) runAll(calls []*call) {
	if len(calls) == 0 {
		return
	}
	var done sync.WaitGroup
	done.Add(len(calls))
	for _, c := range calls {
		c.done = &done
	}
	s.send(calls)
	done.Wait()
}

// one carries out one call and returns its result.
func (s *Store) one(ctx context.Context, c *call) (any, error) {
	if err := s.run(ctx, c); err != nil {
		return nil, err
	}
	return c.result, c.err
}

// send hands calls to the lanes of the servers that have their shards.
func (s *Store) send(calls []*call) {
	var to *lane
	var together []flying
	for _, c := range calls {
		l, err := s.lane(c)
		if err != nil {
			s.again(c, err)
			continue
		}
		if l != to && to != nil {
			to.add(together)
			together = nil
		}
		to, together = l, append(together, flying{call: c})
	}
	if to != nil {
		to.add(together)
	}
}

// lane finds the lane of a call.
func (s *Store) lane(c *call) (*lane, error) {
	cl, addr, err := s.server(c)
	if err != nil {
		return nil, err
	}
	s.laneMu.Lock()
	defer s.laneMu.Unlock()
	l := s.lanes[addr]
	if l == nil || l.client != cl {
		l = &lane{s: s, client: cl, addr: addr}
		s.lanes[addr] = l
	}
	return l, nil
}

// lane is the way to one server. Calls that come while pipelines are under way
// wait and go together.
type lane struct {
	s      *Store
	client *client.Client
	addr   string

	mu     sync.Mutex
	next   []flying // in the order in which they came
	flying int

	failing atomic.Int64 // since when nothing has come back, in nanoseconds of the steady clock; 0 if it has
	probing atomic.Bool  // somebody looks whether it has come back
}

// flying is a call on a lane.
type flying struct {
	*call
	// last: those after it came from elsewhere.
	last bool
}

// add lets calls wait, and sees to it that they fly.
func (l *lane) add(calls []flying) {
	if err := l.refuses(); err != nil {
		for _, f := range calls {
			f.finish(nil, err)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next)+len(calls) > queued {
		for _, f := range calls {
			f.finish(nil, errOverloaded)
		}
		return
	}
	calls[len(calls)-1].last = true
	l.next = append(l.next, calls...)
	if l.flying < flights {
		l.flying++
		go l.fly()
	}
}

// fly takes what waits until nothing does. Before each time it lets others who
// are ready go first: what they bring goes along, for the price of one.
func (l *lane) fly() {
	for {
		runtime.Gosched()
		l.mu.Lock()
		n := min(len(l.next), flightSize)
		if n == 0 {
			l.flying--
			l.mu.Unlock()
			return
		}
		for n < len(l.next) && !l.next[n-1].last { // what came together goes together
			n++
		}
		batch := append([]flying(nil), l.next[:n]...)
		l.next = append(l.next[:0], l.next[n:]...)
		l.mu.Unlock()
		l.carry(batch)
	}
}

// carry sends one pipeline and deals with what comes back.
func (l *lane) carry(batch []flying) {
	now := l.s.steady()
	if err := l.refuses(); err != nil {
		for _, f := range batch {
			f.finish(nil, err)
		}
		return
	}
	if batch = inTime(batch, time.Now()); len(batch) == 0 {
		return
	}
	pipe := l.client.Pipeline()
	var clock *client.Cmd
	if last := l.s.clockAsked.Load(); now.UnixNano()-last > int64(clockEvery) && l.s.clockAsked.CompareAndSwap(last, now.UnixNano()) {
		clock = pipe.Do(context.Background(), "TIME")
	}
	commands := make([]*client.Cmd, 0, 3*len(batch))
	put := func(f *flying, command []any) {
		if f.asking != "" {
			pipe.Do(context.Background(), "ASKING")
		}
		c := client.NewCmd(context.Background(), command...)
		_ = pipe.Process(context.Background(), c) // it only queues
		commands = append(commands, c)
	}
	barrier := byte(0)
	confirm := false
	for n := range batch {
		f := &batch[n]
		for _, command := range f.several {
			put(f, command)
		}
		if f.several == nil {
			put(f, f.command())
		}
		if f.confirmed && l.s.opts.Durability.waits() {
			confirm, barrier = true, f.shard
		}
	}
	var confirmed *client.Cmd
	if confirm {
		// A connection that has not written anything has nothing to wait for, but what
		// the reads have seen may not be on a replica yet: a write of its own comes first.
		pipe.Do(context.Background(), "SET", l.s.names[barrier].probe, "1")
		confirmed = pipe.Do(context.Background(), l.s.opts.Durability.command(l.s.opts.Replicas, confirmTime)...)
	}
	_, _ = pipe.Exec(context.Background()) // each command has its own error, and the client its own time-outs
	l.s.metrics.pipelines.Inc()
	l.s.trips.Add(1)
	l.learn(commands, now)
	if clock != nil {
		if t, ok := clock.Val().([]any); ok && len(t) == 2 {
			l.s.setClock(t[0], t[1], now, l.s.steady())
		}
	}
	var unconfirmed error
	if confirm {
		unconfirmed = l.s.opts.Durability.confirmed(confirmed, l.s.opts.Replicas)
	}
	for _, f := range batch {
		n := max(len(f.several), 1)
		result, failed := f.collect(commands[:n])
		commands = commands[n:]
		if failed != nil {
			l.s.again(f.call, l.see(f.call, failed))
			continue
		}
		if f.confirmed && unconfirmed != nil {
			l.s.confirmAgain(f, unconfirmed)
			continue
		}
		f.finish(result, nil)
	}
}

// confirmAgain lets a call wait for the replicas once more, if there is time.
func (s *Store) confirmAgain(f flying, err error) {
	if time.Now().Add(confirmTime).After(f.until) {
		f.finish(nil, err)
		return
	}
	s.metrics.retries.Inc()
	time.AfterFunc(jitter(10*time.Millisecond), func() { s.send([]*call{f.call}) })
}

// inTime returns the calls that can still be over in time, and ends the others.
func inTime(batch []flying, now time.Time) []flying {
	kept := batch[:0]
	for _, f := range batch {
		if now.After(f.until) {
			f.finish(nil, errLate)
			continue
		}
		kept = append(kept, f)
	}
	return kept
}

// collect takes the answers to a call's commands.
func (c *call) collect(commands []*client.Cmd) (any, error) {
	if c.several == nil {
		result, err := commands[0].Result()
		if errors.Is(err, client.Nil) {
			err = nil
		}
		return result, err
	}
	results := make([]any, len(commands))
	for n, command := range commands {
		result, err := command.Result()
		if err != nil && !errors.Is(err, client.Nil) {
			return nil, err
		}
		results[n] = result
	}
	return results, nil
}

// command is what goes over the wire.
func (c *call) command() []any {
	if c.full == nil && c.script == nil {
		return c.args
	}
	if c.full == nil {
		c.full = append(make([]any, 0, 3+len(c.keys)+len(c.args)), c.script.command(), c.script.sha, len(c.keys))
		for n := range c.keys {
			c.full = append(c.full, &c.keys[n])
		}
		c.full = append(c.full, c.args...)
	}
	if c.sourced {
		c.full[0], c.full[1] = c.script.commandSourced(), c.script.text
	}
	return c.full
}

func (c *call) finish(result any, err error) {
	if err != nil {
		err = &store.UnavailableError{Cause: err}
	}
	c.result, c.err = result, err
	c.done.Done()
}

// learn notes whether the server answers.
func (l *lane) learn(commands []*client.Cmd, began time.Time) {
	for _, c := range commands {
		if c.Err() == nil || !brokenOff(c.Err()) {
			if since := l.failing.Swap(0); since != 0 {
				l.s.recovered(l.addr, began.Sub(time.Unix(0, since)))
			}
			return
		}
	}
	if l.failing.CompareAndSwap(0, began.UnixNano()) {
		l.s.failing(l.addr, commands[0].Err())
	}
}

// refuses says why calls to the server fail at once, nil if they do not: it has
// failed for so long that they would only wait. Somebody looks after it then.
func (l *lane) refuses() error {
	since := l.failing.Load()
	if since == 0 {
		return nil
	}
	away := l.s.steady().Sub(time.Unix(0, since))
	if away < l.s.opts.downAfter {
		return nil
	}
	_ = l.s.rediscover() // in a cluster another server may have its shards by now
	if l.probing.CompareAndSwap(false, true) {
		go l.probe()
	}
	return fmt.Errorf("server %s has not answered for %s", l.addr, away.Round(time.Second))
}

// probe waits until the server answers again, or until nobody asks for it any more.
func (l *lane) probe() {
	defer l.probing.Store(false)
	for asked := 0; asked < probes && !l.s.closed.Load(); asked++ {
		ctx, cancel := context.WithTimeout(context.Background(), replyTime)
		began := l.s.steady()
		ping := l.client.Ping(ctx)
		cancel()
		if !brokenOff(ping.Err()) {
			if since := l.failing.Swap(0); since != 0 {
				l.s.recovered(l.addr, began.Sub(time.Unix(0, since)))
			}
			return
		}
		time.Sleep(probeEvery)
	}
}

// brokenOff reports whether err is of the connection, so that nobody knows
// whether the command was carried out.
func brokenOff(err error) bool {
	var reply client.Error
	return err != nil && !errors.As(err, &reply)
}

// see prepares a call for its next try, as the error tells.
func (l *lane) see(c *call, err error) error {
	c.asking = ""
	if brokenOff(err) {
		l.s.rediscover()
		return err
	}
	word, rest, _ := strings.Cut(err.Error(), " ")
	switch word {
	case "NOSCRIPT":
		c.sourced = true
		l.s.metrics.reloads.Inc()
	case "MOVED":
		l.s.rediscover()
	case "ASK":
		if _, addr, ok := strings.Cut(rest, " "); ok {
			c.asking = addr
		}
	}
	return err
}

// passing are the first words of errors that time heals.
var passing = map[string]bool{"NOSCRIPT": true, "MOVED": true, "ASK": true, "TRYAGAIN": true, "CLUSTERDOWN": true, "LOADING": true, "READONLY": true,
	"MASTERDOWN": true, "BUSY": true, "UNKILLABLE": true, "NOREPLICAS": true}

// again tries a call once more, after a while, if there is time.
func (s *Store) again(c *call, err error) {
	word, _, _ := strings.Cut(err.Error(), " ")
	if !brokenOff(err) && !passing[word] {
		c.finish(nil, err)
		return
	}
	c.tries++
	delay := time.Duration(0)
	if word != "NOSCRIPT" && word != "ASK" {
		delay = jitter(min(5*time.Millisecond<<min(c.tries, 6), 200*time.Millisecond))
	}
	if time.Now().Add(delay).After(c.until) {
		c.finish(nil, err)
		return
	}
	s.metrics.retries.Inc()
	time.AfterFunc(delay, func() { s.send([]*call{c}) })
}
