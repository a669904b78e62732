package calendar

import (
	"time"
	// Containers often have no time zones of their own.
	_ "time/tzdata"
)

const secondsOfDay = 24 * 60 * 60

// Instant is when the clock of a zone shows what t shows in UTC. As RFC 5545
// section 3.3.5 has it: a time that the clock shows twice is the first of them,
// and one that it skips is counted with the offset from before, so that it is
// later by as much as was skipped.
func Instant(t time.Time, zone *time.Location) time.Time {
	// Offsets are less than a day and a bit; so what can show t is between.
	const most = 26 * time.Hour
	var before int // the offset
	for at, last := t.Add(-most), t.Add(most); ; {
		local := at.In(zone)
		_, offset := local.Zone()
		from, to := local.ZoneBounds()
		shown := t.Add(-time.Duration(offset) * time.Second)
		switch {
		case !from.IsZero() && shown.Before(from):
			// The clock went past it when this offset began.
			return t.Add(-time.Duration(before) * time.Second).In(zone)
		case to.IsZero() || shown.Before(to) || !to.Before(last):
			return shown.In(zone)
		}
		before, at = offset, to
	}
}

// wall is the day that the clock of a zone shows at t, counted from 1970-01-01,
// and the second of the day.
func wall(t time.Time, zone *time.Location) (day, second int64) {
	_, offset := t.In(zone).Zone()
	return split(t.Unix() + int64(offset))
}

func split(seconds int64) (day, second int64) {
	day, second = seconds/secondsOfDay, seconds%secondsOfDay
	if second < 0 {
		day, second = day-1, second+secondsOfDay
	}
	return day, second
}

// onDay is a moment in UTC.
func onDay(day, second int64) time.Time { return time.Unix(day*secondsOfDay+second, 0).UTC() }

// weekday is that of a day; 1970-01-01 was a Thursday.
func weekday(day int64) time.Weekday { return time.Weekday(((day+4)%7 + 7) % 7) }

// stretches yields the business time between t and until, in order, in pieces
// within a day, as long as yield says true. It goes through each time of one
// offset by itself, because a clock that is put back can show the end of a day
// again after the next has begun.
func (c *Calendar) stretches(t, until time.Time, yield func(from, to time.Time) bool) {
	for t.Before(until) {
		local := t.In(c.zone)
		_, offset := local.Zone()
		_, end := local.ZoneBounds()
		if end.IsZero() || end.After(until) {
			end = until
		}
		for day, _ := split(t.Unix() + int64(offset)); t.Before(end); day++ {
			midnight := day*secondsOfDay - int64(offset)
			if c.isWorkday(day) && !c.open(midnight, t, end, yield) {
				return
			}
			t = time.Unix(midnight+secondsOfDay, 0)
		}
		t = end
	}
}

// open yields the business time of a day whose midnight is at a second of Unix
// time, between t and end.
func (c *Calendar) open(midnight int64, t, end time.Time, yield func(from, to time.Time) bool) bool {
	for _, s := range c.hours {
		from, to := time.Unix(midnight+s.from, 0).In(c.zone), time.Unix(midnight+s.to, 0).In(c.zone)
		if from.Before(t) {
			from = t.In(c.zone)
		}
		if to.After(end) {
			to = end.In(c.zone)
		}
		if from.Before(to) && !yield(from, to) {
			return false
		}
	}
	return true
}
