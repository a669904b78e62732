package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// HeartbeatState is a heartbeat of the configuration and how it stands.
type HeartbeatState struct {
	Heartbeat
	// LastAt is when it was last heard, to within a quarter of its period, or from when
	// on it is expected; zero if nothing is known of it yet. Due is when the silence
	// is too long.
	LastAt, Due time.Time
	// Missing: it is overdue, and an incident says so.
	Missing bool
}

// Heartbeats says how the heartbeats of the configuration stand, in its order.
func (p *Pipeline) Heartbeats(ctx context.Context) ([]HeartbeatState, error) {
	var out []HeartbeatState
	for _, h := range p.rules.Load().heartbeats {
		state := HeartbeatState{Heartbeat: h.Heartbeat}
		d, err := p.store.Document(ctx, typeHeartbeat, h.Name)
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			var s beatState
			if err := json.Unmarshal(d.Data, &s); err != nil {
				return nil, fmt.Errorf("router: heartbeat %q: %w", h.Name, err)
			}
			state.LastAt, state.Missing = s.LastAt, s.Missing
			state.Due = latest(s.LastAt, p.store.ListeningSince()).Add(time.Duration(h.Every))
		}
		out = append(out, state)
	}
	return out, nil
}
