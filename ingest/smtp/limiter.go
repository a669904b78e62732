package smtp

import (
	"net/netip"
	"sync"
	"time"
)

// maxClients is how many addresses are remembered. Beyond it those are forgotten
// that are not at their limit.
const maxClients = 10_000

// limiter counts what each client does: a bucket of what it may do in a minute,
// which fills up again evenly.
type limiter struct {
	perMinute float64
	now       func() time.Time

	mu      sync.Mutex
	clients map[netip.Addr]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: float64(perMinute), now: now, clients: map[netip.Addr]bucket{}}
}

// take reports whether a client may do it once more, and counts that.
func (l *limiter) take(client netip.Addr) bool { return l.ask(client, 1) }

// may reports whether a client may do it once more, without counting.
func (l *limiter) may(client netip.Addr) bool { return l.ask(client, 0) }

func (l *limiter) ask(client netip.Addr, cost float64) bool {
	if l.perMinute == 0 || !client.IsValid() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, known := l.clients[client]
	if !known {
		if len(l.clients) >= maxClients {
			l.forget(now)
		}
		b = bucket{l.perMinute, now}
	}
	b = l.filled(b, now)
	ok := b.left >= 1
	if ok {
		b.left -= cost
	}
	l.clients[client] = b
	return ok
}

func (l *limiter) filled(b bucket, now time.Time) bucket {
	return bucket{min(l.perMinute, b.left+now.Sub(b.at).Minutes()*l.perMinute), now}
}

// forget drops the clients whose buckets are full again; if there are
// none, all: an attack from so many addresses is no matter for this limit.
func (l *limiter) forget(now time.Time) {
	for c, b := range l.clients {
		if l.filled(b, now).left >= l.perMinute {
			delete(l.clients, c)
		}
	}
	if len(l.clients) >= maxClients {
		clear(l.clients)
	}
}
