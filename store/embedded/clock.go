package embedded

import (
	"sync"
	"time"
)

// clock is the machine's clock without its jumps back. A jump ahead is time that
// passed: the machine slept, or was behind. After a jump back it goes on from where
// it was, a little slower than time passes, until the machine's clock is there too:
// what is due comes at most a tenth of its delay too late, and a clock that was ahead
// by mistake is right again after ten times the mistake, or a restart.
type clock struct {
	// read reads the machine's clock, and what has passed since some moment, which
	// nobody who sets the clock changes.
	read func() (machine time.Time, passed time.Duration)

	mu    sync.Mutex
	last  int64         // what it said last, in nanoseconds since 1970
	at    time.Duration // what had passed then
	ahead time.Duration // by how much that was ahead of the machine's
}

// slower is which part of the time that passes is left out while it is ahead.
const slower = 10

// newClock returns a clock that reads wall, which is time.Now if it is nil. steady says
// what has passed; nil means that nothing does but by wall, unless that is nil too.
func newClock(wall func() time.Time, steady func() time.Duration) *clock {
	switch began := time.Now(); {
	case wall == nil && steady == nil:
		return &clock{read: func() (time.Time, time.Duration) {
			now := time.Now() // both at one moment
			return now, now.Sub(began)
		}}
	case wall == nil:
		wall = time.Now
	case steady == nil:
		steady = func() time.Duration { return 0 }
	}
	return &clock{read: func() (time.Time, time.Duration) { return wall(), steady() }}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, passed := c.read()
	machine, since := wall.UnixNano(), max(passed-c.at, 0)
	c.last = max(machine, c.last+int64(since-since/slower))
	c.at, c.ahead = c.at+since, time.Duration(c.last-machine)
	return time.Unix(0, c.last).UTC()
}

// isAhead is by how much it is ahead of the machine's.
func (c *clock) isAhead() time.Duration {
	c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}
