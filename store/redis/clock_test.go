package redis

import (
	"context"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// serverClock makes a server's clock go wrong, in what it says.
type serverClock struct{ ahead atomic.Int64 } // in seconds

// timeReply is the answer to TIME: seconds, which have ten digits until 2286, and microseconds.
var timeReply = regexp.MustCompile(`\*2\r\n\$10\r\n(\d{10})\r\n\$[1-6]\r\n`)

func (c *serverClock) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &wrongClock{conn, c}, err
}

// wrongClock is a connection to such a server.
type wrongClock struct {
	net.Conn
	clock *serverClock
}

func (w *wrongClock) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	// It is at the start of its pipeline, so it arrives in one piece; a second one may come along.
	for _, at := range timeReply.FindAllSubmatchIndex(b[:n], -1) {
		seconds, _ := strconv.ParseInt(string(b[at[2]:at[3]]), 10, 64) // they are digits
		copy(b[at[2]:at[3]], strconv.FormatInt(seconds+w.clock.ahead.Load(), 10))
	}
	return n, err
}

// ask has a pipeline go out that asks for the time.
func ask(t *testing.T, s *Store) {
	t.Helper()
	s.clockAsked.Store(0)
	must(t, s.Check(t.Context()))
}

// near is how far two clocks may be apart that are the same, on a slow machine.
const near = 5 * time.Second

func wantAhead(t *testing.T, s *Store, want time.Duration) {
	t.Helper()
	if ahead := time.Until(s.Now()); (ahead - want).Abs() > near {
		t.Errorf("Now is %s ahead of this machine's clock, want %s", ahead.Round(time.Second), want)
	}
}

// TestServerClock: time is what the server says, whatever this machine's clock says.
func TestServerClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		server, skew time.Duration
	}{
		{"both are right", 0, 0},
		{"the server is ahead", 10 * time.Minute, 0},
		{"the server is behind", -10 * time.Minute, 0},
		{"we are ahead", 0, 10 * time.Minute},
		{"we are behind", 0, -10 * time.Minute},
		{"both are wrong", 24 * time.Hour, -24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := &serverClock{}
			clock.ahead.Store(int64(c.server.Seconds()))
			_, s := alone(t, Options{dial: clock.dial, Skew: c.skew})
			wantAhead(t, s, c.server)
			if since := s.ListeningSince(); time.Until(since).Abs() > c.server.Abs()+near || since.After(s.Now()) {
				t.Errorf("it has listened since %s, now is %s", since, s.Now())
			}
			update(t, s, joining(1, keyNumber(1), 1))
			i := incidentOf(t, s, keyNumber(1))
			if ahead := time.Until(i.OpenedAt); (ahead - c.server).Abs() > near {
				t.Errorf("an incident is opened %s ahead of this machine's clock, want %s", ahead.Round(time.Second), c.server)
			}
		})
	}
}

// TestServerClockMoves: Now follows the server's clock forwards, and stands still
// until it has caught up when that was set back.
func TestServerClockMoves(t *testing.T) {
	t.Parallel()
	clock := &serverClock{}
	_, s := alone(t, Options{dial: clock.dial})
	wantAhead(t, s, 0)
	clock.ahead.Store(600)
	ask(t, s)
	wantAhead(t, s, 10*time.Minute)
	last := s.Now()
	clock.ahead.Store(-600)
	for range 3 {
		ask(t, s)
		if now := s.Now(); !now.Equal(last) {
			t.Errorf("the server's clock was set back: Now went from %s to %s, want it to wait", last, now)
		}
	}
	clock.ahead.Store(1200)
	ask(t, s)
	wantAhead(t, s, 20*time.Minute)
}

// TestClockAlongTheWay: Now is corrected by what happens anyway.
func TestClockAlongTheWay(t *testing.T) {
	t.Parallel()
	clock := &serverClock{}
	_, s := alone(t, Options{dial: clock.dial})
	clock.ahead.Store(600)
	n := 0
	await(t, "an update has brought the time along", func() bool {
		n++
		update(t, s, joining(n, keyNumber(1), 1))
		return time.Until(s.Now()) > 9*time.Minute
	})
	if i := incidentOf(t, s, keyNumber(1)); i.OpenedAt.After(i.ChangedAt) {
		t.Errorf("the incident was opened at %s and changed at %s", i.OpenedAt, i.ChangedAt)
	}
}

// TestNowNeverRunsBackwards, whoever asks and whatever the server says.
func TestNowNeverRunsBackwards(t *testing.T) {
	t.Parallel()
	s := newStore("", mustParse(t, "redis://127.0.0.1:1"), Options{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		random := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			at := time.Now().Add(time.Duration(random.IntN(2_000)-1_000) * time.Millisecond)
			s.setClock(strconv.FormatInt(at.Unix(), 10), strconv.Itoa(at.Nanosecond()/1000), s.steady(), s.steady())
		}
		s.setClock("no", "number", s.steady(), s.steady())
		s.setClock(nil, int64(1), s.steady(), s.steady())
	}()
	together(4, func(int) {
		for last := s.Now(); ; {
			now := s.Now()
			if now.Before(last) {
				t.Errorf("Now went from %s back to %s", last, now)
				return
			}
			last = now
			select {
			case <-ended:
				return
			default:
			}
		}
	})
}

// TestOneClockForAll: processes whose own clocks differ agree about when it is,
// what is due, and who is alive.
func TestOneClockForAll(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	stores := []*Store{another(t, server.URL(), Options{}), another(t, server.URL(), Options{Skew: 10 * time.Minute}), another(t, server.URL(), Options{Skew: -10 * time.Minute})}
	key := keyNumber(1)
	for n, s := range stores {
		wantAhead(t, s, 0)
		s.present(t.Context())
		update(t, s, joining(n, key, n))
		update(t, s, arming(100+n, keyNumber(100+n), incident.Job{Subject: "later", Kind: incident.JobExpiry, Target: strconv.Itoa(n), Due: s.Now().Add(time.Minute)}))
		update(t, s, arming(200+n, keyNumber(200+n), incident.Job{Subject: "now", Kind: incident.JobExpiry, Target: strconv.Itoa(n), Due: s.Now()}))
	}
	var claimed []store.Lease
	for _, s := range stores {
		if n, err := s.Gateways(t.Context()); err != nil || n != len(stores) {
			t.Errorf("%d processes are alive, %v, want %d", n, err, len(stores))
		}
		some, err := s.Claim(t.Context(), 10, time.Minute)
		must(t, err)
		claimed = append(claimed, some...)
	}
	if len(claimed) != len(stores) {
		t.Errorf("%d jobs were claimed, want the %d that are due, each once", len(claimed), len(stores))
	}
	for _, l := range claimed {
		if l.Subject != "now" || l.Attempts != 1 {
			t.Errorf("claimed %+v", l)
		}
	}
	i := wantTook(t, stores[0], key, 0, 1, 2)
	var last time.Time
	for _, e := range timelineOf(t, stores[0], i) {
		if e.At.Before(last) || time.Since(e.At).Abs() > time.Minute {
			t.Errorf("the timeline says %s behind %s", e.At, last)
		}
		last = e.At
	}
}
