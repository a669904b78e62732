package redis

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// removeTries bounds how often an incident that changes meanwhile is looked at again.
const removeTries = 10

// Remove implements store.Store. The alerts of the key that still name the
// incident go with it, unless they fire. It takes several calls, each of a
// bounded size; the incident itself goes last, so that whoever is killed in
// between can be followed by another.
func (s *Store) Remove(ctx context.Context, id incident.ID) error {
	behind := ""
	for tries := 0; tries < removeTries; {
		i, err := s.header(ctx, id)
		if err != nil {
			return err
		}
		if i == nil {
			return fmt.Errorf("incident %s: %w", id, incident.ErrNotFound)
		}
		n := s.names[id.Shard()]
		indexes := n.indexes(i)
		place := position(id)
		reply, err := s.list(ctx, &call{shard: n.shard, script: scriptRemove, keys: append(append([]string(nil), n.remove...), indexes[:]...),
			args: []any{id[:], behind, rowsAtOnce, binary.BigEndian.AppendUint64(nil, i.Version), i.TimelineLength, place[:], row.StateName(i), newToken()}, confirmed: true}, -1)
		if err != nil {
			return err
		}
		switch reply[0] {
		case "DONE", "GONE": // gone: the answer to the call before was lost
			s.cache.forget(id)
			return nil
		case "MORE":
			behind, _ = reply[1].(string)
		case "CHANGED":
			behind = ""
			tries++
		default:
			return errReply
		}
	}
	return fmt.Errorf("incident %s changed while it was removed: %w", id, incident.ErrConflict)
}
