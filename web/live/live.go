// Package live keeps open pages up to date: it is told of each incident that
// changes, here or in another process on the same store, keeps the open ones as
// rows of a board, and passes on what changed to those who follow it.
//
// It stores nothing, and nothing depends on it: a message that gets lost is made
// up for when all open incidents are read again. While nobody looks it rests: the
// board is there for whoever comes first, at night or after a start, but is brought
// up to date only now and then, and it is dropped where very many are open.
package live

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// gather is for how long changes are gathered before they are passed on, so that
	// an incident that changes often is passed on once.
	gather = 100 * time.Millisecond
	// readAgain is after how long all open incidents are read again, and poll the same
	// while other processes cannot be heard.
	readAgain = 30 * time.Second
	poll      = 10 * time.Second
	// look is how often Run looks whether something is due.
	look = 5 * time.Second
	// unused is after how long without anybody looking the board rests: it is brought up
	// to date every restRound, and read again every restAgain. What waits is put on it before
	// it is shown.
	unused    = 5 * time.Minute
	restRound = 30 * time.Second
	restAgain = 5 * time.Minute
	// restKept is how large a board may be that nobody looks at, in bytes: that of some
	// 30,000 incidents. rowSize is what a row takes beside the text to search.
	restKept = 32 << 20
	rowSize  = 700
	// readTime bounds one reading of all open incidents.
	readTime = 20 * time.Second
	// readAtOnce is how many incidents are read at a time.
	readAtOnce = 16
	// waitingKept is how many changed incidents may wait; beyond it, all are read again.
	waitingKept = 2000
	// listenPause is how long it is before listening is tried again.
	listenPause = time.Second
)

// Shared carries between the processes on one store which incidents changed.
// Nothing is lost for good if it loses something.
type Shared interface {
	// Announce says that incidents changed; none says that so many did that all are
	// to be read again.
	Announce(ctx context.Context, ids []incident.ID) error
	// Listen tells heard what the other processes announce, until ctx ends or they
	// cannot be heard any more. It calls listening whenever it begins to hear them.
	Listen(ctx context.Context, listening func(), heard func(ids []incident.ID)) error
}

// Options are what a Live needs.
type Options struct {
	// Store is read from.
	Store store.Store
	// Shared is nil if this process is the only one on its store.
	Shared Shared
	// Severities are the configured ones, worst first.
	Severities func() []string
	// Duty is the next duty of an incident, due zero if it has none; nil means that
	// none has.
	Duty func(i *incident.Incident, now time.Time) (name string, due time.Time)
	// Config is comparable and another one when Severities or Duty answer otherwise;
	// nil means that they never do.
	Config     func() any
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Live keeps pages up to date. Its methods may be called from any goroutine.
type Live struct {
	opts Options
	log  *slog.Logger
	// awake: there is a board, or will be soon, so that changes matter.
	awake atomic.Bool
	// hears: other processes are heard.
	hears atomic.Bool
	// deaf: that they are not has been said.
	deaf atomic.Bool
	wake chan struct{}
	send chan struct{}

	// working is held by whoever reads from the store and makes snapshots.
	working sync.Mutex
	config  any       // of the rows of the snapshot; guarded by working
	readAt  time.Time // when all were last read, or the attempt was given up; guarded by working
	roundAt time.Time // when what waited was last put on the board; guarded by working
	// rows are those of the snapshot; guarded by working.
	rows     map[incident.ID]*Row
	snapshot atomic.Pointer[Snapshot]

	mu sync.Mutex // guards what follows
	// waiting are the incidents that changed; nil is one that has to be read.
	waiting map[incident.ID]*incident.Incident
	// coming: some that waited are being put on the board.
	coming bool
	// all: everything is to be read again.
	all bool
	// resting: nobody looks.
	resting bool
	// outgoing are those to announce.
	outgoing map[incident.ID]struct{}
	asked    time.Time // when somebody last asked for the board
	feed     feed

	metrics metrics
}

type metrics struct {
	streams prometheus.Gauge
	lost    prometheus.Counter
}

// New returns a Live. It reads and starts nothing yet.
func New(o Options) *Live {
	l := &Live{opts: o, log: o.Log.With("component", "live"), wake: make(chan struct{}, 1), send: make(chan struct{}, 1),
		waiting: map[incident.ID]*incident.Incident{}, outgoing: map[incident.ID]struct{}{}}
	l.metrics.streams = prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_streams",
		Help: "Pages and programs that follow changes of incidents now."})
	l.metrics.lost = prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_streams_lost_total",
		Help: "How often somebody who follows changes was told to read again, because he was too slow or too much happened at once."})
	o.Registerer.MustRegister(l.metrics.streams, l.metrics.lost)
	l.feed.begin()
	return l
}

// Watch returns st, which tells l of what is committed through it.
func (l *Live) Watch(st store.Store) store.Store { return &watched{Store: st, live: l} }

type watched struct {
	store.Store
	live *Live
}

// Update implements store.Store. What the last run of a step returned is what
// was committed; repeats run none. After an error nobody knows: what was
// committed all the same shows when all are read again.
func (w *watched) Update(ctx context.Context, changes []incident.Change) error {
	if !w.live.awake.Load() && w.live.opts.Shared == nil || len(changes) == 0 || changes[0].Preview {
		return w.Store.Update(ctx, changes)
	}
	told := make([]incident.Change, len(changes))
	last := make([][]*incident.Incident, len(changes))
	for n, c := range changes {
		told[n] = c
		told[n].Step = func(s incident.State) (incident.Next, error) {
			next, err := c.Step(s)
			last[n] = next.Incidents
			return next, err
		}
	}
	if err := w.Store.Update(ctx, told); err != nil {
		return err
	}
	w.live.changed(last)
	return nil
}

// changed takes note of what was committed here. It never waits for anybody.
func (l *Live) changed(lists [][]*incident.Incident) {
	l.mu.Lock()
	defer l.mu.Unlock()
	awake := l.awake.Load()
	some := false
	for _, list := range lists {
		for _, i := range list {
			some = true
			if awake {
				l.note(i)
			}
			if l.opts.Shared != nil && len(l.outgoing) <= waitingKept {
				l.outgoing[i.ID] = struct{}{}
			}
		}
	}
	if !some {
		return
	}
	if awake && !l.resting {
		signal(l.wake)
	}
	if l.opts.Shared != nil {
		signal(l.send)
	}
}

// note lets an incident wait as it was committed, unless a later one waits. The
// caller holds mu.
func (l *Live) note(i *incident.Incident) {
	known, waits := l.waiting[i.ID]
	switch {
	case waits && known == nil, known != nil && known.Version > i.Version:
	case i.Reference == "": // the answer to the commit was lost, with what it is called
		l.wait(i.ID, nil)
	default:
		l.wait(i.ID, i)
	}
}

// heard takes note of what was committed by another process; none is all.
func (l *Live) heard(ids []incident.ID) {
	if !l.awake.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = l.all || len(ids) == 0
	for _, id := range ids {
		l.wait(id, nil)
	}
	if !l.resting || l.snapshot.Load() == nil {
		signal(l.wake)
	}
}

// wait lets an incident wait for the next round. The caller holds mu.
func (l *Live) wait(id incident.ID, i *incident.Incident) {
	if len(l.waiting) >= waitingKept {
		l.all = true
		return
	}
	l.waiting[id] = i
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is on its way
	}
}

// Run passes on what changes until ctx ends.
func (l *Live) Run(ctx context.Context) error {
	var others sync.WaitGroup
	defer others.Wait()
	defer l.Drain()
	l.begin() // first: what is heard earlier is heard in vain
	if l.opts.Shared != nil {
		others.Go(func() { l.announce(ctx) })
		others.Go(func() { l.listen(ctx) })
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			if !pause(ctx, gather) {
				return nil
			}
			l.round(ctx)
		case <-tick.C:
			l.keep()
		}
	}
}

// begin makes the first board, so that nobody has to wait for it. Where there are
// others, that is as soon as they are heard, or known not to be.
func (l *Live) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awake.Swap(true) {
		return // somebody looks
	}
	l.resting = true
	if l.opts.Shared == nil {
		signal(l.wake)
	}
}

// pause waits for d; it reports false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// announce tells the other processes what this one has changed.
func (l *Live) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.send:
		}
		if !pause(ctx, gather) {
			return
		}
		l.mu.Lock()
		ids := make([]incident.ID, 0, len(l.outgoing))
		for id := range l.outgoing {
			ids = append(ids, id)
		}
		clear(l.outgoing)
		l.mu.Unlock()
		if len(ids) > waitingKept {
			ids = nil
		}
		if err := l.opts.Shared.Announce(ctx, ids); err != nil {
			l.log.DebugContext(ctx, "changes not announced: other gateways see them when they read again", "err", err)
		}
	}
}

// listen hears what other processes announce.
func (l *Live) listen(ctx context.Context) {
	listening := func() {
		l.hears.Store(true)
		if l.deaf.Swap(false) {
			l.log.InfoContext(ctx, "other gateways are heard again")
		}
		l.heard(nil) // whatever was said before
	}
	for ctx.Err() == nil {
		err := l.opts.Shared.Listen(ctx, listening, l.heard)
		l.hears.Store(false)
		if ctx.Err() == nil && !l.deaf.Swap(true) {
			l.log.WarnContext(ctx, "other gateways cannot be heard: pages show what they change later", "after", poll, "err", err)
		}
		pause(ctx, listenPause/2+rand.N(listenPause))
	}
}

// keep lets the board rest if nobody looks, and has it brought up to date when that
// is due.
func (l *Live) keep() {
	l.working.Lock()
	defer l.working.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resting = len(l.feed.streams) == 0 && time.Since(l.asked) >= unused
	every, pause := readAgain, time.Duration(0)
	switch {
	case l.resting:
		every, pause = restAgain, restRound
	case l.opts.Shared != nil && !l.hears.Load():
		every = poll
	}
	if time.Since(l.readAt) >= every || l.awake.Load() && l.opts.Config != nil && l.opts.Config() != l.config {
		l.awake.Store(true)
		l.all = true
	}
	if (l.all || len(l.waiting) > 0) && time.Since(l.roundAt) >= pause {
		signal(l.wake)
	}
}

// drop forgets the board if nobody looks, until somebody does or it is tried again.
// The caller holds working.
func (l *Live) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.resting {
		l.all = true
		signal(l.wake)
		return
	}
	l.awake.Store(false)
	l.rows, l.readAt, l.all = nil, time.Now(), false
	l.snapshot.Store(nil)
	clear(l.waiting)
	l.feed.begin()
}

// round passes on what waits.
func (l *Live) round(ctx context.Context) {
	l.working.Lock()
	defer l.working.Unlock()
	if !l.awake.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	l.roundAt = time.Now()
	l.mu.Lock()
	known := l.snapshot.Load() != nil
	all := l.all || !known
	waiting := l.waiting
	l.waiting, l.all = make(map[incident.ID]*incident.Incident, min(len(waiting), 64)), false
	l.coming = len(waiting) > 0
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.coming = false
		l.mu.Unlock()
	}()
	var err error
	if all {
		err = l.read(ctx)
	}
	if err == nil {
		err = l.apply(ctx, waiting, all && known)
	}
	switch {
	case errors.Is(err, errTooMany):
		l.drop()
	case err != nil:
		l.log.DebugContext(ctx, "the board is not up to date", "err", err)
		l.mu.Lock()
		l.all = true // the next time that something changes, or that it is due
		l.mu.Unlock()
	}
}

// apply puts changed incidents on the board and passes them on; told says that what
// is on the board has been passed on.
func (l *Live) apply(ctx context.Context, waiting map[incident.ID]*incident.Incident, told bool) error {
	list, err := l.resolve(ctx, waiting)
	if err != nil || len(list) == 0 {
		return err
	}
	rows := make([]*Row, len(list))
	now := l.opts.Store.Now()
	for n, i := range list {
		rows[n] = l.row(i, now)
	}
	l.publish(l.put(rows, told))
	return nil
}

// resolve reads those of the incidents that are nil. What does not exist any more
// is left out.
func (l *Live) resolve(ctx context.Context, waiting map[incident.ID]*incident.Incident) ([]*incident.Incident, error) {
	var (
		mu     sync.Mutex
		group  sync.WaitGroup
		failed error
		list   = make([]*incident.Incident, 0, len(waiting))
		free   = make(chan struct{}, readAtOnce)
	)
	for id, i := range waiting {
		if i != nil {
			mu.Lock()
			list = append(list, i)
			mu.Unlock()
			continue
		}
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			i, err := l.opts.Store.Incident(ctx, id.String())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				list = append(list, i)
			case !errors.Is(err, incident.ErrNotFound):
				failed = err
			}
		})
	}
	group.Wait()
	return list, failed
}

// newEpoch tells one run of numbers of a feed from all others.
func newEpoch() string { return strconv.FormatUint(rand.Uint64(), 36) }
