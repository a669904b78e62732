package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

const (
	// signOn is how often a process says that it is alive, and forgotten after how
	// long without that it does not count as alive.
	signOn    = 5 * time.Second
	forgotten = 20 * time.Second
)

func newGatewayID() string { return uuid.NewString() }

// Run implements store.Store: it stores repeats, and says that this process is
// alive.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.present(ctx)
	for signed := time.Now(); ; {
		all := false
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			all = true
		case <-tick.C:
		}
		s.flush(ctx, all)
		if time.Since(signed) >= signOn {
			signed = time.Now()
			s.present(ctx)
		}
	}
}

// returned notes that alerts could not be stored until now.
func (s *Store) returned() {
	if s.copied {
		return // it takes no alerts
	}
	now := s.Now().UnixNano()
	s.listening.Store(now)
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	// Another one may have been the last to return; either time will do.
	_, _ = s.one(ctx, &call{args: []any{"SET", s.names[0].tag + "listening", now}})
}

// present says that this process is alive, and learns since when all that are
// alive have listened.
func (s *Store) present(ctx context.Context) {
	now := s.Now()
	calls := []*call{
		{args: []any{"ZADD", s.names[0].tag + "gateways", now.Unix(), s.gateway}},
		{args: []any{"ZREMRANGEBYSCORE", s.names[0].tag + "gateways", "-inf", now.Add(-forgotten).Unix()}},
		{args: []any{"GET", s.names[0].tag + "listening"}},
	}
	if err := s.run(ctx, calls...); err != nil || calls[2].err != nil {
		return // the next time
	}
	text, _ := calls[2].result.(string)
	if since, err := strconv.ParseInt(text, 10, 64); err == nil && since > s.listening.Load() && since <= now.UnixNano() {
		s.listening.Store(since)
	}
}

// signOff takes this process off the list of those that are alive.
func (s *Store) signOff(ctx context.Context) {
	// If that fails the list forgets it by itself.
	_, _ = s.one(ctx, &call{args: []any{"ZREM", s.names[0].tag + "gateways", s.gateway}})
}

// Gateways returns how many processes work on the store.
func (s *Store) Gateways(ctx context.Context) (int, error) {
	v, err := s.one(ctx, &call{args: []any{"ZCOUNT", s.names[0].tag + "gateways", s.Now().Add(-forgotten).Unix(), "+inf"}})
	n, _ := v.(int64)
	return int(n), err
}

// Check implements store.Store: it writes to every server that has a shard.
func (s *Store) Check(ctx context.Context) error {
	calls := s.everywhere(func(n *names) *call {
		return &call{args: []any{"SET", n.probe, "1"}, confirmed: true}
	})
	if err := s.run(ctx, calls...); err != nil {
		return err
	}
	for _, c := range calls {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// everywhere makes a call for each server that has a shard.
func (s *Store) everywhere(make func(n *names) *call) []*call {
	var calls []*call
	seen := map[string]bool{}
	for _, n := range s.names {
		c := make(n)
		c.shard = n.shard
		if s.cluster != nil {
			_, addr, err := s.server(c)
			if err == nil && seen[addr] {
				continue
			}
			seen[addr] = true
		}
		calls = append(calls, c)
		if s.cluster == nil {
			break
		}
	}
	return calls
}

// eachShard carries out a call on every shard, in one round trip, and takes the results in order.
func (s *Store) eachShard(ctx context.Context, make func(n *names) *call, take func(n *names, result any) error) error {
	calls := [len(s.names)]*call{}
	for n := range s.names {
		calls[n] = make(s.names[n])
		calls[n].shard = byte(n)
	}
	if err := s.run(ctx, calls[:]...); err != nil {
		return err
	}
	for n, c := range calls {
		if c.err != nil {
			return c.err
		}
		if err := take(s.names[n], c.result); err != nil {
			return fmt.Errorf("shard %d: %w", n, err)
		}
	}
	return nil
}
