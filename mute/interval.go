package mute

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/tocsin-gateway/tocsin/notify"
)

// horizon is how far the end of something is looked for. What ends later is said
// to end then: whoever waits for it looks again.
const horizon = 5 * 366 * 24 * time.Hour

// Intervals gives what the time intervals of a route hide, by the names in its
// mute_time_intervals and active_time_intervals, as
// https://prometheus.io/docs/alerting/latest/configuration/#time_interval
// describes them. The function is nil if the route has none. Until is the first
// moment at which messages are hidden no more, at most five years ahead.
func Intervals(c *amconfig.Config) func(mute, active []string) func(now time.Time) (notify.Hidden, bool) {
	byName := intervalsOf(c)
	return func(mute, active []string) func(time.Time) (notify.Hidden, bool) {
		r := &routeTimes{}
		for _, name := range mute {
			r.mute = append(r.mute, named{name, byName[name]})
		}
		for _, name := range active {
			if list, ok := byName[name]; ok { // the loader has checked it
				r.active = append(r.active, named{name, list})
			}
		}
		if len(r.mute)+len(r.active) == 0 {
			return nil
		}
		r.hides = newSpell(r.hidden, r.next)
		return r.Hides
	}
}

func intervalsOf(c *amconfig.Config) map[string][]timeinterval.TimeInterval {
	byName := map[string][]timeinterval.TimeInterval{}
	if c == nil {
		return byName
	}
	for _, t := range c.MuteTimeIntervals {
		byName[t.Name] = t.TimeIntervals
	}
	for _, t := range c.TimeIntervals {
		byName[t.Name] = t.TimeIntervals
	}
	return byName
}

// named is one entry of time_intervals.
type named struct {
	name string
	list []timeinterval.TimeInterval
}

func (n *named) contains(t time.Time) bool { return containsAny(n.list, time.UTC, t) }

// routeTimes are the time intervals of one route.
type routeTimes struct {
	mute, active []named
	hides        *spell
}

// Hides says what hides messages now, and until when.
func (r *routeTimes) Hides(now time.Time) (notify.Hidden, bool) {
	until, ok := r.hides.at(now)
	if !ok {
		return notify.Hidden{}, false
	}
	return notify.Hidden{By: notify.ByTimeInterval, Text: r.text(now), Until: until}, true
}

func (r *routeTimes) text(now time.Time) string {
	if i := slices.IndexFunc(r.mute, func(n named) bool { return n.contains(now) }); i >= 0 {
		return "mute_time_intervals " + strconv.Quote(r.mute[i].name)
	}
	text := "outside of active_time_intervals "
	for i := range r.active {
		if i > 0 {
			text += ", "
		}
		text += strconv.Quote(r.active[i].name)
	}
	return text
}

func (r *routeTimes) hidden(t time.Time) bool {
	in := func(n named) bool { return n.contains(t) }
	return slices.ContainsFunc(r.mute, in) || len(r.active) > 0 && !slices.ContainsFunc(r.active, in)
}

func (r *routeTimes) next(t time.Time) time.Time {
	best := t.Add(horizon)
	for _, list := range [][]named{r.mute, r.active} {
		for i := range list {
			if next := nextOfAny(list[i].list, time.UTC, t); next.Before(best) {
				best = next
			}
		}
	}
	return best
}

// containsAny reports whether one of the intervals contains t. Those without a
// zone of their own are in the given one.
func containsAny(list []timeinterval.TimeInterval, zone *time.Location, t time.Time) bool {
	t = t.In(zone)
	return slices.ContainsFunc(list, func(ti timeinterval.TimeInterval) bool { return ti.ContainsTime(t) })
}

// nextOfAny is the next moment after t at which one of the intervals may begin or
// end; those without a zone of their own are in the given one.
func nextOfAny(list []timeinterval.TimeInterval, zone *time.Location, t time.Time) time.Time {
	best := t.Add(horizon)
	for i := range list {
		if next := nextChange(&list[i], zone, t); next.Before(best) {
			best = next
		}
	}
	return best
}

// nextChange is the next moment after t at which an interval may begin or end: a
// minute that one of its times names, the end of the day, or a change of its
// zone's offset, whichever is first. Until then its clock runs evenly.
func nextChange(ti *timeinterval.TimeInterval, zone *time.Location, t time.Time) time.Time {
	if ti.Location != nil {
		zone = ti.Location.Location
	}
	const day = 24 * 60
	here := t.In(zone)
	minute := here.Hour()*60 + here.Minute()
	next := day
	for _, r := range ti.Times {
		for _, boundary := range [...]int{r.StartMinute, r.EndMinute} {
			if boundary > minute && boundary < next {
				next = boundary
			}
		}
	}
	past := time.Duration(here.Second())*time.Second + time.Duration(here.Nanosecond())
	change := t.Add(time.Duration(next-minute)*time.Minute - past)
	if _, end := here.ZoneBounds(); !end.IsZero() && end.After(t) && end.Before(change) {
		change = end
	}
	return change
}

// spell finds how long a condition lasts that only changes at certain moments,
// and remembers it. It may be used by any goroutine.
type spell struct {
	holds func(time.Time) bool
	next  func(time.Time) time.Time
	found atomic.Pointer[stretch]
}

// stretch is a time in which the condition stays as it is.
type stretch struct {
	from, until time.Time
	holds       bool
}

func newSpell(holds func(time.Time) bool, next func(time.Time) time.Time) *spell {
	return &spell{holds: holds, next: next}
}

// at reports whether the condition holds, and until when.
func (s *spell) at(now time.Time) (until time.Time, ok bool) {
	if f := s.found.Load(); f != nil && !now.Before(f.from) && now.Before(f.until) {
		return f.until, f.holds
	}
	f := &stretch{from: now, holds: s.holds(now)}
	if !f.holds {
		f.until = s.next(now) // when it begins is nobody's question
	} else {
		f.until = s.end(now)
	}
	s.found.Store(f)
	return f.until, f.holds
}

// end is the first moment after now at which the condition does not hold.
func (s *spell) end(now time.Time) time.Time {
	last := now.Add(horizon)
	for t := now; ; {
		if t = s.next(t); !t.Before(last) {
			return last
		}
		if !s.holds(t) {
			return t
		}
	}
}
