package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// tampered is a target that does something else with the first unit of a kind.
type tampered struct {
	transfer.Target
	kind   transfer.Kind
	change func(transfer.Unit) transfer.Unit // nil drops it
	done   bool
}

func kindOf(u transfer.Unit) transfer.Kind {
	switch u := u.(type) {
	case *transfer.Incident:
		return transfer.Incidents
	case *transfer.TimelineEntry:
		return transfer.TimelineEntries
	case *transfer.Alert:
		if u.Archived {
			return transfer.ArchivedAlerts
		}
		return transfer.Alerts
	case *transfer.Key:
		return transfer.Keys
	case *transfer.Job:
		return transfer.Jobs
	case *transfer.Document:
		return transfer.Documents
	case *transfer.Number:
		return transfer.Numbers
	case *transfer.Counter:
		return transfer.Counters
	}
	return transfer.Lists
}

func (t *tampered) Import(ctx context.Context, units []transfer.Unit) error {
	var passed []transfer.Unit
	for _, u := range units {
		if kindOf(u) == t.kind && !t.done {
			t.done = true
			if t.change == nil {
				continue
			}
			u = t.change(u)
		}
		passed = append(passed, u)
	}
	return t.Target.Import(ctx, passed)
}

// altered is a unit with one thing that is different.
func altered(u transfer.Unit) transfer.Unit {
	switch u := u.(type) {
	case *transfer.Incident:
		i := u.Clone()
		i.Title += "!"
		return &transfer.Incident{Incident: i}
	case *transfer.TimelineEntry:
		e := *u
		e.Row = append([]byte(nil), u.Row...)
		e.Row[len(e.Row)-1] ^= 1 // of the hash
		return &e
	case *transfer.Alert:
		e := *u
		e.Entry.Count++
		return &e
	case *transfer.Key:
		e := *u
		e.Rule += "!"
		return &e
	case *transfer.Job:
		e := *u
		e.Due = e.Due.Add(1)
		return &e
	case *transfer.Document:
		e := *u
		e.UpdatedAt = e.UpdatedAt.Add(1)
		return &e
	case *transfer.Number:
		return &transfer.Number{Day: u.Day, Shard: u.Shard, Last: u.Last - 1}
	case *transfer.Counter:
		return &transfer.Counter{Name: u.Name, Value: u.Value + 1}
	case *transfer.Generations:
		e := *u
		e.Epoch++
		return &e
	}
	panic("a kind that this test does not know")
}

// TestLossIsFound: one unit that is missing, or that is not quite what it was,
// is named by its kind, and what was copied cannot be opened.
func TestLossIsFound(t *testing.T) {
	server := redistest.Single(t).URL()
	from := newFolder(t)
	populated(t, from)
	for _, target := range []struct {
		name string
		new  func() string
	}{{"folder", func() string { return newFolder(t) }}, {"Redis", func() string { return newPrefix(server) }}} {
		for _, k := range transfer.Kinds() {
			for what, change := range map[string]func(transfer.Unit) transfer.Unit{"missing": nil, "altered": altered} {
				t.Run(fmt.Sprint(target.name, "/", k, " ", what), func(t *testing.T) {
					to := target.new()
					wantDifferent(t, from, to, k, func(inner transfer.Target) transfer.Target { return &tampered{Target: inner, kind: k, change: change} })
					_, err := tryOpen(t, to, nil)
					wantError(t, "opened", err, "did not finish")
					// It does not get better by itself, but it does from the beginning.
					wantDifferent(t, from, to, k, func(inner transfer.Target) transfer.Target { return inner })
					if _, err := try(t, t.Context(), from, to, transfer.Options{Restart: true}); err != nil {
						t.Fatal(err)
					}
					if st, err := tryOpen(t, to, nil); err != nil {
						t.Error(err)
					} else if err := st.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func wantDifferent(t *testing.T, from, to string, k transfer.Kind, wrap func(transfer.Target) transfer.Target) {
	t.Helper()
	source, err := openSource(t, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }() // it was only read
	target, err := openTarget(t, to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = transfer.Copy(t.Context(), source, wrap(target), transfer.Options{})
	if closing := target.Close(); closing != nil {
		t.Error(closing)
	}
	var different *transfer.DifferentError
	if !errors.As(err, &different) || different.Kind != k || strings.Count(err.Error(), "\n") > 0 {
		t.Fatalf("got %v, want a difference in %s alone", err, k)
	}
}

// TestStoredDamageIsFound: what is wrong in Redis itself, between the copy and
// the comparison.
func TestStoredDamageIsFound(t *testing.T) {
	server := redistest.Single(t)
	from := newFolder(t)
	populated(t, from)
	for what, c := range map[string]struct {
		kind   transfer.Kind
		damage func(key func(name string) []string)
	}{
		"an alert's text is gone": {transfer.Alerts, func(key func(string) []string) { server.Do("DEL", key("contents")[0]) }},
		"an incident is there twice": {transfer.Incidents, func(key func(string) []string) {
			name := key("incidents")[0]
			id := incident.NewID(epoch, [16]byte{1}, 0, shardOf(name))
			field := server.Do("HRANDFIELD", name)
			server.Do("EVAL", "redis.call('HSET', KEYS[1], ARGV[2], redis.call('HGET', KEYS[1], ARGV[1]))", "1", name, field, string(id[:]))
		}},
		"jobs are gone": {transfer.Jobs, func(key func(string) []string) { server.Do("DEL", key("jobs")[0]) }},
	} {
		t.Run(what, func(t *testing.T) {
			to := newPrefix(server.URL())
			wantDifferent(t, from, to, c.kind, func(inner transfer.Target) transfer.Target {
				return &damaged{Target: inner, damage: func() {
					c.damage(func(name string) []string {
						return strings.Fields(server.Do("KEYS", prefixOf(to)+":{*}:"+name))
					})
				}}
			})
		})
	}
}

func shardOf(key string) (shard byte) {
	_, rest, _ := strings.Cut(key, "{")
	_, _ = fmt.Sscanf(rest, "%d", &shard)
	return shard
}

// damaged is a target in which something happens before it is compared.
type damaged struct {
	transfer.Target
	damage func()
}

func (d *damaged) Export(ctx context.Context, after string, take func(transfer.Page) error) error {
	d.damage()
	return d.Target.Export(ctx, after, take)
}
