// Package rota knows who is on call at a time: from shifts that people take in
// turn, from an iCalendar file, and from overrides of both. It tells nobody.
//
// A rota, with all of its keys:
//
//	timezone: Europe/Zurich       # IANA name; default UTC
//	shifts:                       # on call at once: the first, the second, ...
//	  - people: [anna, ben, carla]
//	    start: 2026-01-05         # the first handover on or after it is to anna
//	    handover: monday 09:00    # or 09:00 for shifts of other lengths
//	    length: 7d                # whole days, or hours that divide a day: 12h
//	overrides:
//	  - {from: 2026-12-24 18:00, to: 2026-12-27 09:00, who: ben}
//	  - {from: 2026-11-02 09:00, to: 2026-11-04 09:00, who: carla, instead_of: anna}
//	ical:
//	  url: https://example.org/oncall.ics   # or url_file:, or file:
//	  username: tocsin            # if it asks
//	  password: ${ICAL_PASSWORD}  # or password_file:
//	  ca_file: /etc/tocsin/ca.pem # default: those of the system
//	  every: 15m                  # how often it is read; this is the default
//	  person: auto                # summary, attendee, or auto: attendees if any, else summary
//	  names: {anna@example.org: anna}
//
// Handovers are at a time of the clock on the wall. One that the clock skips is
// later by what was skipped; one that it shows twice is at the first.
package rota

import (
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

const (
	// horizon is how far ahead changes are looked for.
	horizon = 400 * day
	// spansAtMost bounds how many changes are looked at for one answer.
	spansAtMost = 20_000
	// Times outside of these years have nobody on call.
	firstYear, lastYear = 1900, 2200
)

// Source has an iCalendar file as it was last read; nil is none yet.
type Source interface{ Calendar() *ICal }

// Rota answers for one configuration. It may be asked from any goroutine.
type Rota struct {
	zone      *time.Location
	shifts    []shift
	overrides []override
	source    Source
}

// shift is a Shift at work.
type shift struct {
	people []string
	zone   *time.Location
	// first is what the clock shows at the first handover, in UTC.
	first  time.Time
	length time.Duration
}

type override struct {
	from, to       time.Time
	who, insteadOf string
}

// Span is a time in which the same people are on call; nobody is a gap.
type Span struct {
	From, To time.Time
	Who      []string
}

// New compiles a configuration. The error says all that Problems finds. Source has
// what its section ical names; nil if there is none.
func New(c Config, source Source) (*Rota, error) {
	r, problems := c.compile()
	if len(problems) > 0 {
		return nil, problemsError(problems)
	}
	r.source = source
	return r, nil
}

// At is who is on call at t, each once, the first to call first. Nobody is a gap.
func (r *Rota) At(t time.Time) (who []string) {
	if !sane(t) {
		return nil
	}
	add := func(name string) {
		for _, o := range r.overrides {
			if o.insteadOf != "" && o.insteadOf == name && o.covers(t) {
				name = o.who
				break // nobody's place is taken twice
			}
		}
		if !slices.Contains(who, name) {
			who = append(who, name)
		}
	}
	for _, o := range r.overrides {
		if o.insteadOf == "" && o.covers(t) {
			return []string{o.who}
		}
	}
	for i := range r.shifts {
		if name, ok := r.shifts[i].at(t); ok {
			add(name)
		}
	}
	for _, name := range r.calendar().At(t) {
		add(name)
	}
	return who
}

// Next is when other people, or the same in another order, are on call than at t,
// and who; false if that is more than 400 days ahead.
func (r *Rota) Next(t time.Time) (at time.Time, who []string, ok bool) {
	now, last := r.At(t), t.Add(horizon)
	for range spansAtMost {
		if t = r.change(t); !t.Before(last) {
			break
		}
		if who = r.At(t); !slices.Equal(who, now) {
			return t.In(r.zone), who, true
		}
	}
	return time.Time{}, nil, false
}

// Spans is who is on call when, between two times that are at most 400 days apart:
// what is after is not there.
func (r *Rota) Spans(from, to time.Time) (spans []Span) {
	if last := from.Add(horizon); to.After(last) {
		to = last
	}
	for n := 0; n < spansAtMost && from.Before(to); n++ {
		next := r.change(from)
		if next.After(to) {
			next = to
		}
		who := r.At(from)
		if k := len(spans) - 1; k >= 0 && slices.Equal(spans[k].Who, who) {
			spans[k].To = next.In(r.zone)
		} else {
			spans = append(spans, Span{from.In(r.zone), next.In(r.zone), who})
		}
		from = next
	}
	return spans
}

// Gaps are the Spans in which nobody is on call.
func (r *Rota) Gaps(from, to time.Time) []Span {
	return slices.DeleteFunc(r.Spans(from, to), func(s Span) bool { return len(s.Who) > 0 })
}

// change is the first moment after t at which something may change.
func (r *Rota) change(t time.Time) time.Time {
	next := r.calendar().change(t)
	sooner := func(at time.Time) {
		if at.After(t) && at.Before(next) {
			next = at
		}
	}
	for i := range r.shifts {
		sooner(r.shifts[i].next(t))
	}
	for _, o := range r.overrides {
		sooner(o.from)
		sooner(o.to)
	}
	return next
}

func (r *Rota) calendar() *ICal {
	if r.source == nil {
		return nil
	}
	return r.source.Calendar()
}

// sane reports whether t is in the years in which anybody is on call.
func sane(t time.Time) bool { y := t.UTC().Year(); return y >= firstYear && y <= lastYear }

func (o override) covers(t time.Time) bool { return !t.Before(o.from) && t.Before(o.to) }

// turn is the number of the shift at t: the one that began last.
func (s *shift) turn(t time.Time) int64 {
	_, offset := t.In(s.zone).Zone()
	n := (t.Unix() + int64(offset) - s.first.Unix()) / int64(s.length/time.Second)
	// The clock may have been put forward or back since the handover.
	for t.Before(s.start(n)) {
		n--
	}
	for !t.Before(s.start(n + 1)) {
		n++
	}
	return n
}

func (s *shift) start(n int64) time.Time {
	return calendar.Instant(time.Unix(s.first.Unix()+n*int64(s.length/time.Second), 0).UTC(), s.zone)
}

// at is whose turn it is; nobody's before the first.
func (s *shift) at(t time.Time) (string, bool) {
	if t.Before(s.start(0)) {
		return "", false
	}
	return s.people[s.turn(t)%int64(len(s.people))], true
}

// next is the first handover after t.
func (s *shift) next(t time.Time) time.Time {
	if first := s.start(0); t.Before(first) {
		return first
	}
	return s.start(s.turn(t) + 1)
}
