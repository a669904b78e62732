package web

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

const (
	// triesAtOnce wrong tokens may come from one address, then one each tryEvery.
	triesAtOnce = 10
	tryEvery    = 5 * time.Second
	// addressesKept bounds the addresses that are remembered.
	addressesKept = 4096
	// sayEvery is how often wrong tokens are logged at most.
	sayEvery = time.Minute
)

// Throttle slows down whoever tries tokens or passwords. An address, or the name of
// a user, has a bucket of tries that fills again with time; one that is full again is
// forgotten. Its methods may be called from any goroutine.
type Throttle struct {
	now func() time.Time
	log *slog.Logger

	mu sync.Mutex
	// full is when the bucket of an address, or of a name, will be full again.
	full map[string]time.Time
	// said is when wrong tokens were logged last, unsaid how many came since.
	said   time.Time
	unsaid int
}

// NewThrottle returns a Throttle with a clock, which logs wrong tokens now and then.
func NewThrottle(now func() time.Time, log *slog.Logger) *Throttle {
	return &Throttle{now: now, log: log}
}

// Allow reports whether another try may be made: from an address, and for a user.
func (t *Throttle) Allow(whose ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range whose {
		if t.full[bucket(one)].Sub(t.now()) > (triesAtOnce-1)*tryEvery {
			return false
		}
	}
	return true
}

// Failed takes a try from each. The first is an address.
func (t *Throttle) Failed(ctx context.Context, whose ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, one := range whose {
		t.take(bucket(one), now)
	}
	t.unsaid++
	if now.Sub(t.said) >= sayEvery {
		t.log.WarnContext(ctx, "wrong token or password", "address", whose[0], "count", t.unsaid)
		t.said, t.unsaid = now, 0
	}
}

func (t *Throttle) take(from string, now time.Time) {
	if t.full == nil {
		t.full = map[string]time.Time{}
	}
	if _, known := t.full[from]; !known && len(t.full) >= addressesKept {
		t.forget(now)
	}
	until := t.full[from]
	if until.Before(now) {
		until = now
	}
	t.full[from] = until.Add(tryEvery)
}

// forget makes room: first those whose buckets are full again, and if that is
// not enough, any quarter. Who comes from so many addresses is not slowed by any
// of them.
func (t *Throttle) forget(now time.Time) {
	for from, until := range t.full {
		if !until.After(now) {
			delete(t.full, from)
		}
	}
	for from := range t.full {
		if len(t.full) < addressesKept*3/4 {
			return
		}
		delete(t.full, from)
	}
}

// userPrefix makes of a user's name what is no address.
const userPrefix = "user "

// bucket is what an address or a name counts as: an IPv6 user has a whole /64.
func bucket(whose string) string {
	addr, err := netip.ParseAddr(whose)
	if err != nil {
		return whose[:min(len(whose), maxBy)]
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the length fits
	return p.String()
}
