package silences

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
)

// Document types in the store.
const (
	// Document is one silence.
	Document = "silence"
	// documentEnded is there while those who were hidden from have still to be told.
	documentEnded = "silences_ended"
	endedID       = "1"
)

const (
	// Agreement is how long a Set believes what it has read: after it all gateways on
	// one store hide the same.
	Agreement = time.Second
	// Retention is how long an expired silence is kept, as Alertmanager does by default.
	Retention = 120 * time.Hour
	// MaxSilences is how many there may be, the expired ones included.
	MaxSilences = 10000

	readTime  = 2 * time.Second
	pageSize  = 1000
	tries     = 20
	tellTime  = 10 * time.Second
	cleanEach = 10 * time.Minute
	lookEach  = 5 * time.Second
	// tellAgain is after how long somebody else's telling counts as given up.
	tellAgain = 2 * tellTime
)

// Store is the part of the store that silences need.
type Store interface {
	Now() time.Time
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
	Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error)
	Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]store.Record, string, error)
}

// Set are the silences of a store. Its methods may be called from any goroutine.
type Set struct {
	store    Store
	log      *slog.Logger
	onChange atomic.Pointer[func(context.Context) error]
	known    atomic.Pointer[View]

	reading sync.Mutex
	// failedAt and failure are the latest failure to read, guarded by reading.
	failedAt time.Time
	failure  error
	// odd are the versions of documents that cannot be read, guarded by reading.
	odd map[string]uint64
}

// New returns the silences of a store. It reads nothing yet.
func New(st Store, log *slog.Logger) *Set {
	return &Set{store: st, log: log.With("component", "silences"), odd: map[string]uint64{}}
}

// OnChange sets what is called when something may no longer be hidden before its
// silence's stated end, because that was expired, shortened or replaced. It is
// called again, by whichever gateway runs, until it returns no error. Other
// gateways may believe the old silence for as long as Agreement: what it arms is
// to be due after that.
func (s *Set) OnChange(f func(ctx context.Context) error) { s.onChange.Store(&f) }

// View are the silences at one moment.
type View struct {
	at   time.Time
	list []*Silence // in the order of ids
}

// View returns the silences, read no longer ago than Agreement. If the store
// cannot be read that is an error, and the view is the latest known one, or nil.
func (s *Set) View(ctx context.Context) (*View, error) {
	if v := s.fresh(); v != nil {
		return v, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if v := s.fresh(); v != nil {
		return v, nil
	}
	if s.failure != nil && within(s.failedAt, s.store.Now()) {
		return s.known.Load(), s.failure
	}
	err := s.read(ctx)
	return s.known.Load(), err
}

func within(at, now time.Time) bool { return !now.Before(at) && now.Sub(at) < Agreement }

func (s *Set) fresh() *View {
	if v := s.known.Load(); v != nil && within(v.at, s.store.Now()) {
		return v
	}
	return nil
}

// read is called with reading held. Whoever waits for it may be gone: what is
// read is for all.
func (s *Set) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime)
	defer cancel()
	v := &View{at: s.store.Now()} // before: what is written meanwhile may be missing
	before := map[string]*Silence{}
	if known := s.known.Load(); known != nil {
		for _, one := range known.list {
			before[one.ID] = one
		}
	}
	for after := ""; ; {
		docs, err := s.store.Documents(ctx, Document, after, pageSize)
		if err != nil {
			s.failedAt, s.failure = v.at, fmt.Errorf("silences: %w", err)
			return s.failure
		}
		for _, d := range docs {
			after = d.ID
			if one := before[d.ID]; one != nil && one.version == d.Version {
				v.list = append(v.list, one)
			} else if one, err := decode(d); err == nil {
				v.list = append(v.list, one)
			} else if s.odd[d.ID] != d.Version {
				s.odd[d.ID] = d.Version
				s.log.ErrorContext(ctx, "a stored silence cannot be read, so it hides nothing", "silence", d.ID, "err", err)
			}
		}
		if len(docs) < pageSize {
			break
		}
	}
	s.failure = nil
	s.known.Store(v)
	return nil
}

// reload reads now, after a write of ours.
func (s *Set) reload(ctx context.Context) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.read(ctx); err != nil {
		s.known.Store(nil) // it does not know what was written
		s.log.WarnContext(ctx, "silences cannot be read", "err", err)
	}
}

func decode(d incident.Document) (*Silence, error) {
	one := &Silence{}
	if err := json.Unmarshal(d.Data, one); err != nil {
		return nil, fmt.Errorf("silences: %s: %w", d.ID, err)
	}
	var err error
	if one.compiled, err = Compile(one.Matchers); err != nil {
		return nil, fmt.Errorf("silences: %s: %w", d.ID, err)
	}
	one.ID, one.version = d.ID, d.Version
	return one, nil
}

// Muted says what hides messages about something with these labels: the active
// silence that ends last. While the store cannot be read it goes by what was
// known; who can wait asks View for an error first.
func (s *Set) Muted(now time.Time, l match.Labels) (notify.Hidden, bool) {
	v, _ := s.View(context.Background()) // a read has its own time limit
	return v.Muted(now, l)
}

// hiddenText bounds the comment in the reason that is given, in bytes.
const hiddenText = 300

// Muted is like that of Set, for one moment's silences. V may be nil.
func (v *View) Muted(now time.Time, l match.Labels) (notify.Hidden, bool) {
	var last *Silence
	v.each(now, l, func(one *Silence) {
		if last == nil || one.EndsAt.After(last.EndsAt) {
			last = one
		}
	})
	if last == nil {
		return notify.Hidden{}, false
	}
	text := fmt.Sprintf("silence %s by %s: %s", last.ID, notify.Line(last.CreatedBy), notify.Cut(notify.Line(last.Comment), hiddenText))
	return notify.Hidden{By: notify.BySilence, Text: text, Until: last.EndsAt}, true
}

// Silencing returns the ids of all active silences that hit these labels.
func (v *View) Silencing(now time.Time, l match.Labels) []string {
	ids := []string{}
	v.each(now, l, func(one *Silence) { ids = append(ids, one.ID) })
	return ids
}

func (v *View) each(now time.Time, l match.Labels, do func(*Silence)) {
	if v == nil {
		return
	}
	for _, one := range v.list {
		if one.State(now) == Active && one.Hits(l) {
			do(one)
		}
	}
}

// List returns all silences as Alertmanager lists them.
func (s *Set) List(ctx context.Context) ([]*Silence, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	now := s.store.Now()
	out := make([]*Silence, 0, len(v.list))
	for _, one := range v.list {
		if !one.gone(now) {
			out = append(out, one.clone())
		}
	}
	Sort(out, now)
	return out, nil
}

// gone reports whether s is over for so long that it is to be removed.
func (s *Silence) gone(now time.Time) bool { return !now.Before(s.EndsAt.Add(Retention)) }

// Get returns one silence as it is in the store, incident.ErrNotFound if there is
// none.
func (s *Set) Get(ctx context.Context, id string) (*Silence, error) {
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return nil, fmt.Errorf("silence: %w", incident.ErrNotFound)
	}
	d, err := s.store.Document(ctx, Document, id)
	if err != nil {
		return nil, err
	}
	one, err := decode(d)
	if err == nil && one.gone(s.store.Now()) {
		return nil, fmt.Errorf("silence %s: %w", id, incident.ErrNotFound)
	}
	return one, err
}

// Put stores a silence and returns its id. One without an id is new. One whose
// matchers change, whose start changes while it is active, or that has expired,
// becomes a new one, and the old one expires. The error is an *InvalidError, an
// incident.ErrNotFound, or the store's.
func (s *Set) Put(ctx context.Context, one *Silence) (string, error) {
	return s.PutOnce(ctx, one, "")
}

// PutOnce is Put for what may come again: if the message is not empty it identifies what
// is said, and the silence that it made is not made twice, at whatever gateway.
func (s *Set) PutOnce(ctx context.Context, one *Silence, message string) (string, error) {
	fresh := uuid.NewString
	if message != "" {
		fresh = uuid.NewSHA1(uuid.NameSpaceURL, []byte(message)).String
	}
	for n := 0; ; n++ {
		if message != "" {
			made, err := s.Get(ctx, fresh())
			if err == nil && one.ID != "" && one.ID != made.ID { // it may have died before it did that
				err = s.Expire(ctx, one.ID)
			}
			if err == nil {
				return made.ID, nil
			}
			if made != nil || !errors.Is(err, incident.ErrNotFound) {
				return "", err
			}
		}
		id, err := s.put(ctx, one.clone(), fresh())
		if !errors.Is(err, incident.ErrConflict) || n == tries || ctx.Err() != nil {
			return id, err
		}
	}
}

// put stores a silence, with the id fresh if it is a new one.
func (s *Set) put(ctx context.Context, one *Silence, fresh string) (string, error) {
	now := moment(s.store.Now())
	if err := one.check(now); err != nil {
		return "", err
	}
	var was *Silence
	if one.ID != "" {
		var err error
		if was, err = s.Get(ctx, one.ID); err != nil {
			return "", err
		}
	}
	one.UpdatedAt = now
	if was != nil && was.canBecome(one, now) {
		one.version, one.Unknown = was.version, was.Unknown
		return one.ID, s.writing(ctx, was.State(now) == Active && one.EndsAt.Before(was.EndsAt), func() error { return s.write(ctx, one) })
	}
	if err := s.roomForOne(ctx); err != nil {
		return "", err
	}
	one.ID, one.version, one.Unknown = fresh, 0, nil
	if one.StartsAt.Before(now) {
		one.StartsAt = now
	}
	replaces := was != nil && was.State(now) != Expired
	// First the new one, so that what both hit is hidden all the time.
	return one.ID, s.writing(ctx, replaces && was.State(now) == Active, func() error {
		if err := s.write(ctx, one); err != nil || !replaces {
			return err
		}
		return s.expire(ctx, was.ID)
	})
}

func (s *Set) roomForOne(ctx context.Context) error {
	v, err := s.View(ctx)
	if err == nil && len(v.list) >= MaxSilences {
		err = invalid("", "there are %d silences already, the expired ones of %d hours included", len(v.list), int(Retention.Hours()))
	}
	return err
}

// Expire ends a silence now, and one that has not begun before it does. One that
// is over stays as it is. The error is an incident.ErrNotFound or the store's.
func (s *Set) Expire(ctx context.Context, id string) error {
	one, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	active := one.State(s.store.Now()) == Active
	return s.writing(ctx, active, func() error { return s.expire(ctx, id) })
}

func (s *Set) expire(ctx context.Context, id string) error {
	for n := 0; ; n++ {
		one, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		now := moment(s.store.Now())
		switch one.State(now) {
		case Expired:
			return nil
		case Pending:
			one.StartsAt = now
		}
		one.EndsAt, one.UpdatedAt = now, now
		if err = s.write(ctx, one); !errors.Is(err, incident.ErrConflict) || n == tries {
			return err
		}
	}
}

func (s *Set) write(ctx context.Context, one *Silence) error {
	data, err := json.Marshal(one, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("silences: %s: %w", one.ID, err)
	}
	one.version, err = s.store.PutDocument(ctx, incident.Document{Type: Document, ID: one.ID, Version: one.version, Data: data})
	return err
}

// writing does a write, after which the list is read again. If it ends something
// early, that is noted first, so that a crash in between delays those who are to
// be told and does not forget them.
func (s *Set) writing(ctx context.Context, ends bool, write func() error) error {
	var noted uint64
	if ends && s.onChange.Load() != nil {
		var err error
		if noted, err = s.note(ctx); err != nil {
			return err
		}
	}
	err := write()
	s.reload(ctx)
	if noted != 0 {
		s.tell(context.WithoutCancel(ctx), noted)
	}
	return err
}

// note writes down that something may no longer be hidden.
func (s *Set) note(ctx context.Context) (version uint64, err error) {
	for n := 0; ; n++ {
		d, err := s.store.Document(ctx, documentEnded, endedID)
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return 0, err
		}
		d.Type, d.ID, d.Data = documentEnded, endedID, []byte(`{}`)
		if version, err = s.store.PutDocument(ctx, d); !errors.Is(err, incident.ErrConflict) || n == tries {
			return version, err
		}
	}
}

// tell calls back, and takes the note away unless somebody wrote a newer one.
func (s *Set) tell(ctx context.Context, noted uint64) {
	f := s.onChange.Load()
	if f == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	err := (*f)(ctx)
	if err == nil {
		_, err = s.store.PutDocument(ctx, incident.Document{Type: documentEnded, ID: endedID, Version: noted})
	}
	if err != nil && !errors.Is(err, incident.ErrConflict) {
		s.log.WarnContext(ctx, "what a silence hid is told later", "err", err)
	}
}

// Run removes what has expired long ago, and tells what a gateway that died had
// still to tell, until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	look, clean := time.NewTicker(lookEach), time.NewTicker(cleanEach)
	defer look.Stop()
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			s.resume(ctx)
		case <-clean.C:
			s.clean(ctx)
		}
	}
}

func (s *Set) resume(ctx context.Context) {
	d, err := s.store.Document(ctx, documentEnded, endedID)
	if err == nil && s.store.Now().Sub(d.UpdatedAt) >= tellAgain {
		s.tell(ctx, d.Version)
	}
}

// clean removes silences whose retention is over. A store that is away is asked
// again the next time.
func (s *Set) clean(ctx context.Context) {
	v, err := s.View(ctx)
	if err != nil {
		return
	}
	now := s.store.Now()
	for _, one := range slices.Clone(v.list) {
		if !one.gone(now) {
			continue
		}
		if _, err := s.store.PutDocument(ctx, incident.Document{Type: Document, ID: one.ID, Version: one.version}); err != nil && !errors.Is(err, incident.ErrConflict) {
			s.log.WarnContext(ctx, "an old silence cannot be removed", "silence", one.ID, "err", err)
			return
		}
	}
}
