// Package calendar knows when a business is open: on which days, at which hours,
// and when services are used. It counts business days and business time across
// holidays and changes of the clock. It reads no clock, and no file but those of
// the time zones, which are compiled in for machines that have none.
//
// The section, with all of its keys:
//
//	timezone: Europe/Zurich            # IANA name; default UTC
//	workdays: ['monday:friday']        # names, or ranges of them; this is the default
//	hours: ['08:00-12:00', '13:00-18:00']   # default ['09:00-17:00']; 24:00 ends a day
//	holidays:
//	  - 2026-04-03                     # a day
//	  - 2026-12-24..2027-01-02         # a range, with both ends; at most 366 days
//	  - 12-25                          # every year; 12-24..01-02 is a range every year
//	usage_hours:                       # when services are used; default: business hours
//	  - days: ['monday:saturday']      # default: workdays
//	    hours: ['06:00-22:00']
//
// What counts is the clock on the wall: a moment is in hours if the clock of the
// time zone shows a time in them. What the clock skips in spring is business time
// on no day, and what it shows twice in autumn counts twice.
package calendar

import (
	"math"
	"slices"
	"time"
)

// horizon is how far ahead a moment is looked for, in days: a hundred years.
const horizon = 36525

// Calendar answers for one configuration. It may be asked from any goroutine.
type Calendar struct {
	zone     *time.Location
	workdays [7]bool
	hours    []span
	usage    *[7][]span // nil: the business hours
	holidays holidays
}

// span is a part of a day, in seconds of the clock on the wall since midnight;
// without its end.
type span struct{ from, to int64 }

// New compiles a configuration. The error says all that Problems finds.
func New(c Config) (*Calendar, error) {
	compiled, problems := c.compile()
	if len(problems) > 0 {
		return nil, problemsError(problems)
	}
	return compiled, nil
}

// Zone is the time zone of the calendar.
func (c *Calendar) Zone() *time.Location { return c.zone }

// IsBusiness reports whether t is in business hours.
func (c *Calendar) IsBusiness(t time.Time) bool {
	day, second := wall(t, c.zone)
	return c.isWorkday(day) && in(c.hours, second)
}

// InUsage reports whether t is in the hours in which services are used. The
// business hours, which are the default, know holidays; usage_hours do not, since
// services are used on holidays too.
func (c *Calendar) InUsage(t time.Time) bool {
	if c.usage == nil {
		return c.IsBusiness(t)
	}
	day, second := wall(t, c.zone)
	return in(c.usage[weekday(day)], second)
}

// NextBusiness is the first moment at or after t that is in business hours.
func (c *Calendar) NextBusiness(t time.Time) time.Time {
	next := t.In(c.zone)
	c.stretches(t, t.AddDate(0, 0, horizon), func(from, _ time.Time) bool {
		next = from
		return false
	})
	return next
}

// AddBusinessDays is n business days after t, at the same time of the clock on the
// wall. If t is not in business hours, it counts from the next opening: two
// business days after Saturday noon, as after Friday 20:00 and Monday 06:00, is
// Wednesday at Monday's opening. With n of 0 or less, it is NextBusiness.
//
// A day counts if it is a work day, no holiday, and not skipped by its time zone,
// however short its hours are. If the clock skips the time on the last day, the
// result is later by as much as was skipped; if it shows it twice, the result is
// the first. More than a hundred years ahead is said to be a hundred years ahead.
func (c *Calendar) AddBusinessDays(t time.Time, n int) time.Time {
	start := c.NextBusiness(t)
	if n <= 0 {
		return start
	}
	day, second := wall(start, c.zone)
	for last := day + horizon; n > 0 && day < last; {
		day++
		if c.isWorkday(day) && c.exists(day) {
			n--
		}
	}
	return Instant(onDay(day, second).Add(time.Duration(start.Nanosecond())), c.zone)
}

// AddBusinessTime is the moment at which d of business time has passed since t.
// If the last of it ends with the hours of a day, it is their end, not the next
// opening. With d of 0 or less, it is t. More than a hundred years ahead is said
// to be the last closing in a hundred years.
func (c *Calendar) AddBusinessTime(t time.Time, d time.Duration) time.Time {
	end := t.In(c.zone)
	if d <= 0 {
		return end
	}
	c.stretches(t, t.AddDate(0, 0, horizon), func(from, to time.Time) bool {
		if open := to.Sub(from); open < d {
			d -= open
			end = to
			return true
		}
		end = from.Add(d)
		return false
	})
	return end
}

// BusinessBetween is how much business time is between a and b; 0 if b is not
// after a. Years before 1 and after 9999 do not count. More than a Duration can
// hold, 292 years of open doors, is said to be that much.
func (c *Calendar) BusinessBetween(a, b time.Time) time.Duration {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if a.Before(first) {
		a = first
	}
	if b.After(last) {
		b = last
	}
	var sum time.Duration
	c.stretches(a, b, func(from, to time.Time) bool {
		open := to.Sub(from)
		if open > math.MaxInt64-sum {
			sum = math.MaxInt64
			return false
		}
		sum += open
		return true
	})
	return sum
}

// isWorkday reports whether the business opens on a day.
func (c *Calendar) isWorkday(day int64) bool {
	return c.workdays[weekday(day)] && !c.holidays.has(day)
}

// exists reports whether the time zone has the day. Some have left one out, to be
// on the other side of the date line.
func (c *Calendar) exists(day int64) bool {
	const noon = 12 * 60 * 60
	got, _ := wall(Instant(onDay(day, noon), c.zone), c.zone)
	return got == day
}

// in reports whether one of the spans has the second of the day.
func in(spans []span, second int64) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.from <= second && second < s.to })
}
