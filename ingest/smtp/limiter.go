package smtp

import (
	"net/netip"
	"sync"
	"time"
)

// maxClients is how many addresses are remembered. Beyond it those are forgotten
// that are not at their limit.
const maxClients = 10_000

// limiter counts what each client sends: a bucket of a minute's messages that
// fills up again evenly.
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

// take reports whether a client may send one more.
func (l *limiter) take(client netip.Addr) bool {
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
		b.left--
	}
	l.clients[client] = b
	return ok
}

func (l *limiter) filled(b bucket, now time.Time) bucket {
	return bucket{min(l.perMinute, b.left+now.Sub(b.at).Minutes()*l.perMinute), now}
}

// forget drops the clients that may send a minute's messages again; if there are
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
