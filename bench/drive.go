package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// request is one ready-made HTTP request.
type request struct {
	bytes  []byte
	alerts int
	// then is sent on the same connection after bytes was answered 2xx, if it is set.
	then []byte
}

// load is what to send.
type load struct {
	requests []request
	conns    int
	// repeat sends the requests again and again for this long; 0 sends each once.
	repeat time.Duration
}

// sent is what came of a load.
type sent struct {
	// acked counts alerts in requests that were answered 2xx, of these resolved
	// ones in requests that followed another (request.then).
	acked, resolved int
	requests        int
	errors          int
	firstError      string
	took            time.Duration
	// waits are the times from the first byte sent to the last byte read, of
	// every request that was answered, sorted.
	waits []time.Duration
}

// drive sends the load and waits for all answers, the connections spread evenly
// over addrs. It stops early when ctx ends.
func drive(ctx context.Context, addrs []string, l load) (sent, error) {
	var (
		next    atomic.Int64
		group   sync.WaitGroup
		results = make([]sent, l.conns)
		start   = time.Now()
	)
	for i := range l.conns {
		group.Go(func() { results[i] = driveOne(ctx, addrs[i%len(addrs)], l, &next, start.Add(l.repeat)) })
	}
	group.Wait()
	total := sent{took: time.Since(start)}
	for _, r := range results {
		total.acked += r.acked
		total.resolved += r.resolved
		total.requests += r.requests
		total.errors += r.errors
		total.waits = append(total.waits, r.waits...)
		if total.firstError == "" {
			total.firstError = r.firstError
		}
	}
	slices.Sort(total.waits)
	return total, ctx.Err()
}

// driveOne is one connection's part: it takes the next request that nobody took yet.
func driveOne(ctx context.Context, addr string, l load, next *atomic.Int64, deadline time.Time) (s sent) {
	c := &conn{addr: addr}
	defer c.close()
	s.waits = make([]time.Duration, 0, 1<<12)
	for ctx.Err() == nil {
		i := int(next.Add(1) - 1)
		if l.repeat == 0 && i >= len(l.requests) || l.repeat > 0 && !time.Now().Before(deadline) {
			return s
		}
		r := &l.requests[i%len(l.requests)]
		if s.send(ctx, c, r.bytes, r.alerts) && r.then != nil && s.send(ctx, c, r.then, r.alerts) {
			s.resolved += r.alerts
		}
	}
	return s
}

func (s *sent) send(ctx context.Context, c *conn, bytes []byte, alerts int) bool {
	start := time.Now()
	status, err := c.post(ctx, bytes)
	s.requests++
	if err == nil {
		s.waits = append(s.waits, time.Since(start))
		if status/100 == 2 {
			s.acked += alerts
			return true
		}
		err = fmt.Errorf("answer %d", status)
	}
	s.errors++
	if s.firstError == "" {
		s.firstError = err.Error()
	}
	return false
}

// quantile is the wait that the part q of all requests did not exceed, in milliseconds.
func (s *sent) quantile(q float64) float64 {
	if len(s.waits) == 0 {
		return 0
	}
	i := min(int(q*float64(len(s.waits))), len(s.waits)-1)
	return float64(s.waits[i]) / float64(time.Millisecond)
}
