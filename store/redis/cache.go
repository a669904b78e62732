package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// cached bounds the incidents whose names are kept in memory, about 150 bytes each.
const cached = 20_000

// cache keeps what never changes of an incident: its reference and its key.
type cache struct {
	mu sync.RWMutex
	m  map[incident.ID]named
}

type named struct {
	reference string
	key       incident.Key
}

func (c *cache) init() { c.m = map[incident.ID]named{} }

func (c *cache) get(id incident.ID) (named, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.m[id]
	return n, ok
}

func (c *cache) put(id incident.ID, reference string, key incident.Key) {
	if _, known := c.get(id); known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= cached {
		for victim := range c.m { // whichever comes first
			delete(c.m, victim)
			break
		}
	}
	c.m[id] = named{reference, key}
}

// note keeps the name of an incident as it was read, if there is one.
func (c *cache) note(id incident.ID, v any, key incident.Key) {
	s, _ := v.(string)
	if len(s) < incidentHead || len(s) < incidentHead+int(s[24]) {
		return
	}
	if _, known := c.get(id); !known {
		c.put(id, strings.Clone(s[25:25+int(s[24])]), key)
	}
}

func (c *cache) forget(id incident.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, id)
}

// header reads an incident, nil if there is none.
func (s *Store) header(ctx context.Context, id incident.ID) (*incident.Incident, error) {
	list, err := s.headers(ctx, []incident.ID{id})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// headers reads incidents in one round trip, nil for what does not exist.
func (s *Store) headers(ctx context.Context, ids []incident.ID) ([]*incident.Incident, error) {
	return s.headersBy(ctx, ids, row.ParseIncident)
}

func (s *Store) headersBy(ctx context.Context, ids []incident.ID, parse func([]byte) (*incident.Incident, error)) ([]*incident.Incident, error) {
	byShard := map[byte]*call{}
	where := make([]int, len(ids))
	var calls []*call
	for n, id := range ids {
		shard := id.Shard()
		if int(shard) >= len(s.names) {
			where[n] = -1 // nobody's id
			continue
		}
		c := byShard[shard]
		if c == nil {
			c = &call{shard: shard, args: []any{"HMGET", s.names[shard].incidents}}
			byShard[shard] = c
			calls = append(calls, c)
		}
		where[n] = len(c.args) - 2
		c.args = append(c.args, id[:])
	}
	out := make([]*incident.Incident, len(ids))
	if len(calls) == 0 {
		return out, nil
	}
	if err := s.run(ctx, calls...); err != nil {
		return nil, err
	}
	for n, id := range ids {
		if where[n] < 0 {
			continue
		}
		c := byShard[id.Shard()]
		if c.err != nil {
			return nil, c.err
		}
		rows, _ := c.result.([]any)
		if where[n] >= len(rows) {
			return nil, errReply
		}
		v, ok := rows[where[n]].(string)
		if !ok {
			continue
		}
		i, err := parseIncidentBy(v, parse)
		if err != nil {
			return nil, fmt.Errorf("incident %s: %w", id, err)
		}
		s.cache.put(id, i.Reference, i.Key)
		out[n] = i
	}
	return out, nil
}
