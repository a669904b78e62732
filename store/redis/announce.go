package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/incident"
)

// listenQuiet is for how long nothing may come before the server is asked whether
// it is still there; if it does not say so in the same time, it is not.
const listenQuiet = 2 * time.Second

// Announce tells the other processes on the store that incidents changed; none
// says that very many did. Perhaps nobody hears it. The first bytes of a message say
// who speaks, the rest are ids. See https://redis.io/docs/latest/develop/pubsub/.
func (s *Store) Announce(ctx context.Context, ids []incident.ID) error {
	message := make([]byte, 0, len(s.caller)+len(ids)*len(incident.ID{}))
	message = append(message, s.caller...)
	for _, id := range ids {
		message = append(message, id[:]...)
	}
	_, err := s.one(ctx, &call{args: []any{"PUBLISH", s.channel, message}})
	return err
}

// Listen tells heard what other processes announce until ctx ends or the
// connection breaks, and listening when it begins to hear. What is announced in
// between is lost.
func (s *Store) Listen(ctx context.Context, listening func(), heard func(ids []incident.ID)) error {
	sub := s.subscribe(ctx)
	end := func() { _ = sub.Close() } // it is of no more use
	defer end()
	defer context.AfterFunc(ctx, end)() // it ends the waiting below
	for asked := false; ; {
		m, err := sub.ReceiveTimeout(ctx, listenQuiet)
		var late net.Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &late) && late.Timeout() && !asked:
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("store: listen: %w", s.why(err))
			}
			asked = true
			continue
		case err != nil:
			return fmt.Errorf("store: listen: %w", s.why(err))
		}
		asked = false
		switch m := m.(type) {
		case *client.Subscription:
			listening()
		case *client.Message:
			if ids, ok := s.announced(m.Payload); ok {
				heard(ids)
			}
		}
	}
}

func (s *Store) subscribe(ctx context.Context) *client.PubSub {
	if s.cluster != nil { // every server of a cluster passes on what is said at any
		return s.cluster.Subscribe(ctx, s.channel)
	}
	return s.single.Subscribe(ctx, s.channel)
}

// announced reads a message; ok is false if it is one of ours, or nobody's.
func (s *Store) announced(message string) (ids []incident.ID, ok bool) {
	const size = len(incident.ID{})
	who := len(s.caller)
	if len(message) < who || message[:who] == s.caller || (len(message)-who)%size != 0 {
		return nil, false
	}
	for rest := message[who:]; rest != ""; rest = rest[size:] {
		ids = append(ids, incident.ID([]byte(rest[:size])))
	}
	return ids, true
}

// examineListening says why processes cannot hear each other, empty if they can.
func (s *Store) examineListening(ctx context.Context) string {
	_, err := s.one(ctx, &call{args: []any{"PUBLISH", s.channel, s.caller[:1]}}) // what nobody understands
	if err == nil {
		sub := s.subscribe(ctx)
		defer sub.Close() //nolint:errcheck // it was only to be allowed
		_, err = sub.ReceiveTimeout(ctx, replyTime)
	}
	if err == nil {
		return ""
	}
	return fmt.Sprintf("gateways cannot tell each other at once what changed, so pages show it up to 10 s later: %v", s.why(err))
}
