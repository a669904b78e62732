package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// dueJob is a job that is due, as the index of a shard has it.
type dueJob struct {
	shard    byte
	position int64 // in milliseconds since 1970
	name     string
}

// Claim implements store.Store: one round trip asks all shards what is due, and
// another takes the oldest.
func (s *Store) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Lease, error) {
	now := s.Now()
	due, err := s.dueJobs(ctx, now, limit)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	byShard := map[byte]*call{}
	var calls []*call
	until := appendTime(nil, now.Add(lease))
	for _, j := range due {
		subject, name, _ := strings.Cut(j.name, "\x00")
		c := byShard[j.shard]
		if c == nil {
			n := s.names[j.shard]
			c = &call{shard: j.shard, script: scriptClaim, keys: []string{n.jobs, n.due, n.statistics}, args: []any{appendTime(nil, now), until}}
			byShard[j.shard] = c
			calls = append(calls, c)
		}
		c.args = append(c.args, subject, name, newToken())
	}
	if err := s.run(ctx, calls...); err != nil {
		return nil, err
	}
	got := map[string]store.Lease{}
	for _, c := range calls {
		if c.err != nil {
			return nil, c.err
		}
		if err := leases(c, got); err != nil {
			return nil, err
		}
	}
	out := make([]store.Lease, 0, len(got))
	for _, j := range due { // in their order
		if l, ok := got[j.name]; ok {
			out = append(out, l)
		}
	}
	return out, nil
}

// leases reads what a claim answered.
func leases(c *call, into map[string]store.Lease) error {
	rows, _ := c.result.([]any)
	for n := 0; n+5 < len(rows); n += 6 {
		subject, _ := rows[n].(string)
		name, _ := rows[n+1].(string)
		due, _ := rows[n+2].(string)
		token, _ := rows[n+3].(string)
		attempts, _ := rows[n+4].(int64)
		why, _ := rows[n+5].(string)
		kind, to, _ := strings.Cut(name, "\x00")
		if len(due) != timeSize || len(token) != 8 {
			return errReply
		}
		into[subject+"\x00"+name] = store.Lease{Job: incident.Job{Subject: subject, Kind: kind, Target: to, Due: parseTime(due)},
			Token: beUint64(token), Attempts: int(attempts), LastError: why, Shard: c.shard}
	}
	return nil
}

func (s *Store) dueJobs(ctx context.Context, now time.Time, limit int) ([]dueJob, error) {
	var due []dueJob
	at := strconv.FormatInt(now.UnixMilli(), 10)
	err := s.eachShard(ctx, func(n *names) *call {
		return &call{args: []any{"ZRANGEBYSCORE", n.due, "-inf", at, "WITHSCORES", "LIMIT", 0, limit}}
	}, func(n *names, result any) error {
		rows, _ := result.([]any)
		for i := 0; i+1 < len(rows); i += 2 {
			name, _ := rows[i].(string)
			score, _ := rows[i+1].(string)
			position, err := strconv.ParseFloat(score, 64)
			if err != nil {
				return errReply
			}
			due = append(due, dueJob{n.shard, int64(position), name})
		}
		return nil
	})
	slices.SortStableFunc(due, func(a, b dueJob) int { return cmp.Compare(a.position, b.position) })
	return due[:min(limit, len(due))], err
}

// Done implements store.Store.
func (s *Store) Done(ctx context.Context, l store.Lease) error {
	return s.finish(ctx, l, nil, "")
}

// Retry implements store.Store.
func (s *Store) Retry(ctx context.Context, l store.Lease, due time.Time, cause string) error {
	return s.finish(ctx, l, appendTime(nil, due.UTC()), cause)
}

func (s *Store) finish(ctx context.Context, l store.Lease, due []byte, cause string) error {
	if int(l.Shard) >= len(s.names) {
		return nil // not a lease of ours
	}
	n := s.names[l.Shard]
	_, err := s.one(ctx, &call{shard: n.shard, script: scriptFinish, keys: []string{n.jobs, n.due, n.statistics},
		args: []any{l.Subject, l.Kind + "\x00" + l.Target, token(l.Token), due, cause}, confirmed: true})
	return err
}

func token(n uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return string(b[:])
}

// Armed implements store.Store.
func (s *Store) Armed(ctx context.Context, kind string, ids []incident.ID) ([]time.Time, error) {
	byShard := map[byte]*call{}
	var calls []*call
	where := make([]int, len(ids))
	for n, id := range ids {
		shard := id.Shard()
		if int(shard) >= len(s.names) {
			return nil, fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
		}
		c := byShard[shard]
		if c == nil {
			c = &call{shard: shard, script: scriptArmed, keys: []string{s.names[shard].jobs}, args: []any{kind + "\x00"}}
			byShard[shard] = c
			calls = append(calls, c)
		}
		where[n] = len(c.args) - 1
		c.args = append(c.args, id.String())
	}
	out := make([]time.Time, len(ids))
	if len(calls) == 0 {
		return out, nil
	}
	if err := s.run(ctx, calls...); err != nil {
		return nil, err
	}
	for n, id := range ids {
		c := byShard[id.Shard()]
		if c.err != nil {
			return nil, c.err
		}
		rows, _ := c.result.([]any)
		if where[n] >= len(rows) {
			return nil, errReply
		}
		if due, _ := rows[where[n]].(string); len(due) == timeSize {
			out[n] = parseTime(due)
		}
	}
	return out, nil
}

// Jobs implements store.Store. The totals are counted by the commits, and only
// what is due is listed.
func (s *Store) Jobs(ctx context.Context) ([]store.JobCount, error) {
	now := s.Now()
	total := map[string]int{}
	err := s.eachShard(ctx, func(n *names) *call { return &call{args: []any{"HGETALL", n.statistics}} },
		func(_ *names, result any) error {
			return pairs(result, func(name, value string) error {
				if kind, ok := strings.CutPrefix(name, "jobs\x00"); ok {
					n, err := strconv.Atoi(value)
					total[kind] += n
					return err
				}
				return nil
			})
		})
	if err != nil {
		return nil, err
	}
	due, err := s.dueJobs(ctx, now, 100_000)
	if err != nil {
		return nil, err
	}
	counts := map[string]*store.JobCount{}
	for _, j := range due {
		_, name, _ := strings.Cut(j.name, "\x00")
		kind, _, _ := strings.Cut(name, "\x00")
		c := counts[kind]
		if c == nil {
			c = &store.JobCount{Kind: kind, State: "due"}
			counts[kind] = c
		}
		c.Count++
		c.Lag = max(c.Lag, now.Sub(time.UnixMilli(j.position)))
	}
	var out []store.JobCount
	for kind, n := range total {
		if c := counts[kind]; c != nil {
			n -= c.Count
			out = append(out, *c)
		}
		if n > 0 {
			out = append(out, store.JobCount{Kind: kind, State: "waiting", Count: n})
		}
	}
	slices.SortFunc(out, func(a, b store.JobCount) int { return cmp.Compare(a.Kind+a.State, b.Kind+b.State) })
	return out, nil
}

// pairs calls do for each pair of a list of names and values.
func pairs(list any, do func(name, value string) error) error {
	rows, _ := list.([]any)
	for n := 0; n+1 < len(rows); n += 2 {
		name, _ := rows[n].(string)
		value, _ := rows[n+1].(string)
		if err := do(name, value); err != nil {
			return err
		}
	}
	return nil
}
