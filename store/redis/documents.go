package redis

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
)

// documentHead is the length of the fixed part of a document: version, id of
// the latest write, time.
const documentHead = 8 + 8 + timeSize

// shardOf is where the documents of a type are: together, so that they can be
// listed in their order.
func (s *Store) shardOf(typ string) *names {
	h := fnv.New32a()
	_, _ = h.Write([]byte(typ)) // it cannot fail
	return s.names[h.Sum32()%uint32(len(s.names))]
}

// Document implements store.Store.
func (s *Store) Document(ctx context.Context, typ, id string) (incident.Document, error) {
	n := s.shardOf(typ)
	v, err := s.one(ctx, &call{shard: n.shard, args: []any{"HGET", n.documents(typ)[0], id}})
	if err != nil {
		return incident.Document{}, err
	}
	text, ok := v.(string)
	if !ok {
		return incident.Document{}, fmt.Errorf("%s %s: %w", typ, id, incident.ErrNotFound)
	}
	return parseDocument(typ, id, text)
}

func parseDocument(typ, id, v string) (incident.Document, error) {
	if len(v) < documentHead {
		return incident.Document{}, fmt.Errorf("store: %s %s: %w", typ, id, errShort)
	}
	return incident.Document{Type: typ, ID: id, Version: beUint64(v), UpdatedAt: parseTime(v[16:]), Data: []byte(v[documentHead:])}, nil
}

// Documents implements store.Store.
func (s *Store) Documents(ctx context.Context, typ, behind string, limit int) ([]incident.Document, error) {
	n := s.shardOf(typ)
	from := "-"
	if behind != "" {
		from = "(" + behind
	}
	rows, err := s.list(ctx, &call{shard: n.shard, script: scriptDocuments, keys: n.documents(typ), args: []any{from, limit}}, -1)
	if err != nil {
		return nil, err
	}
	var out []incident.Document
	err = pairs(rows, func(id, value string) error {
		d, err := parseDocument(typ, id, value)
		out = append(out, d)
		return err
	})
	return out, err
}

// PutDocument implements store.Store.
func (s *Store) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	if d.Data != nil && !jsontext.Value(d.Data).IsValid() {
		return 0, fmt.Errorf("store: document %s %s is not JSON", d.Type, d.ID)
	}
	n := s.shardOf(d.Type)
	s.failpoint("before-document")
	reply, err := s.list(ctx, &call{shard: n.shard, script: scriptDocument, keys: n.documents(d.Type),
		args: []any{d.ID, d.Version, newToken(), appendTime(nil, s.Now()), d.Data}, confirmed: true}, 2)
	s.failpoint("after-document")
	if err != nil {
		return 0, err
	}
	version, _ := reply[1].(int64)
	switch done, _ := reply[0].(int64); {
	case done == 1 && d.Data == nil:
		return d.Version, nil
	case done == 1:
		return uint64(version), nil
	}
	return 0, fmt.Errorf("%s %s has version %d, not %d: %w", d.Type, d.ID, version, d.Version, incident.ErrConflict)
}
