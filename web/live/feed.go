package live

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// streamsKept is how many may follow at a time.
	streamsKept = 2000
	// batchesKept is how many batches may wait for somebody who is slow.
	batchesKept = 16
	// eventsKept is how many events are remembered for somebody who comes back.
	eventsKept = 512
)

var (
	// ErrFull: as many follow already as may.
	ErrFull = errors.New("too many follow the changes already")
	// ErrDrained: nobody is served any more.
	ErrDrained = errors.New("shutting down")
)

// Event says that an incident changed, and what it is now.
type Event struct {
	// ID says where in the feed it is, for Follow.
	ID  string
	Row *Row

	once sync.Once
	text []byte
}

// Text returns what write makes of it, which is made once for all who follow.
func (e *Event) Text(write func(*Event) []byte) []byte {
	e.once.Do(func() { e.text = write(e) })
	return e.text
}

// Batch is what happened at a time.
type Batch struct {
	// Lost: more has happened than is in any batch. Read everything again.
	Lost   bool
	Events []*Event
}

// Stream is somebody who follows the changes.
type Stream struct {
	// C is closed when nobody is served any more.
	C <-chan Batch

	c    chan Batch
	of   incident.ID
	live *Live
}

// feed numbers events and passes them on. Its owner's mutex guards it.
type feed struct {
	epoch   string
	last    uint64
	recent  []*Event
	streams map[*Stream]struct{}
	drained bool
}

// begin begins anew: nothing is remembered, and no number of before fits.
func (f *feed) begin() {
	f.epoch, f.recent = newEpoch(), nil
	if f.streams == nil {
		f.streams = map[*Stream]struct{}{}
	}
}

// since returns the remembered events after the one of the given id; ok is false
// if more have happened since.
func (f *feed) since(id string) (list []*Event, ok bool) {
	epoch, text, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || epoch != f.epoch || n > f.last || f.last-n > uint64(len(f.recent)) {
		return nil, false
	}
	return slices.Clone(f.recent[len(f.recent)-int(f.last-n):]), true
}

// Follow returns a Stream of what changes from now on, of one incident unless of
// is zero. After, if it is not empty, is the id of the last event that was seen:
// what has happened since comes first, or Lost if that is not known. Stop ends it.
func (l *Live) Follow(of incident.ID, after string) (*Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.feed.drained:
		return nil, ErrDrained
	case len(l.feed.streams) >= streamsKept:
		return nil, ErrFull
	}
	s := &Stream{c: make(chan Batch, batchesKept), of: of, live: l}
	s.C = s.c
	if after != "" {
		list, ok := l.feed.since(after)
		if ok {
			s.put(list)
		} else {
			s.c <- Batch{Lost: true}
		}
	}
	l.feed.streams[s] = struct{}{}
	l.metrics.streams.Inc()
	l.wakeUp()
	return s, nil
}

// wakeUp says that somebody looks, and reports whether nobody did. The caller holds mu.
func (l *Live) wakeUp() (rested bool) {
	rested, l.resting = l.resting, false
	if !l.awake.Swap(true) || rested {
		signal(l.wake) // there is no board yet, or something waits for it
	}
	return rested
}

// Stop ends the stream.
func (s *Stream) Stop() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if _, ok := s.live.feed.streams[s]; ok {
		s.live.leave(s)
	}
}

func (l *Live) leave(s *Stream) {
	delete(l.feed.streams, s)
	close(s.c)
	l.metrics.streams.Dec()
	l.asked = time.Now() // who comes back soon finds the board as it was
}

// Drain ends all streams and refuses new ones.
func (l *Live) Drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feed.drained = true
	for s := range l.feed.streams {
		l.leave(s)
	}
}

// publish passes rows on as one batch.
func (l *Live) publish(rows []*Row) {
	if len(rows) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.feed
	events := make([]*Event, len(rows))
	for n, r := range rows {
		f.last++
		events[n] = &Event{ID: f.epoch + "-" + strconv.FormatUint(f.last, 10), Row: r}
	}
	f.recent = append(f.recent, events...)
	f.recent = slices.Delete(f.recent, 0, max(len(f.recent)-eventsKept, 0))
	for s := range f.streams {
		s.put(events)
	}
}

// put passes on what concerns the stream. If too much waits, all of it gives way
// to Lost. The caller holds the mutex of the feed, so nobody else puts.
func (s *Stream) put(events []*Event) {
	if !s.of.IsZero() {
		var own []*Event
		for _, e := range events {
			if e.Row.ID == s.of {
				own = append(own, e)
			}
		}
		events = own
	}
	if len(events) == 0 {
		return
	}
	select {
	case s.c <- Batch{Events: events}:
		return
	default:
	}
	s.lose()
}

// lose puts Lost in place of all that waits.
func (s *Stream) lose() {
	for len(s.c) > 0 {
		select {
		case <-s.c:
		default: // it was faster
		}
	}
	s.c <- Batch{Lost: true}
	s.live.metrics.lost.Inc()
}

// lose tells all who follow to read everything again.
func (l *Live) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feed.begin()
	for s := range l.feed.streams {
		s.lose()
	}
}
