package mute

import (
	"slices"
	"time"
)

// PublicTime is a time in which a window is open that everybody may know of.
type PublicTime struct {
	Notice
	// Since is from when on it is listed: it is announced, and a month ahead.
	Since time.Time
	From  time.Time
	// To is zero if the end is more than a year away.
	To time.Time
}

const (
	// plannedAhead is how far ahead what is planned is looked for, and plannedBehind
	// how far behind the beginning of what is going on.
	plannedAhead  = 31 * 24 * time.Hour
	plannedBehind = 31 * 24 * time.Hour
	// plannedEnd is how far ahead an end is looked for.
	plannedEnd = 366 * 24 * time.Hour
	// plannedOfOne bounds the times of one window, the next ones first.
	plannedOfOne = 3
)

// Public lists the times of the public windows that are going on or begin within a
// month, the earliest first. A window is not among them before it was announced.
func (ws *Windows) Public(now time.Time) []PublicTime {
	var out []PublicTime
	if ws == nil {
		return out
	}
	for _, w := range ws.all {
		if w.public.Text != "" && !now.Before(w.announced) {
			out = append(out, w.publicTimes(now)...)
		}
	}
	slices.SortStableFunc(out, func(a, b PublicTime) int { return a.From.Compare(b.From) })
	return out
}

// publicTimes walks from change to change, since a window knows only whether it is open.
func (c *window) publicTimes(now time.Time) (out []PublicTime) {
	var begun time.Time // of the time that t is in, zero if the window is closed then
	if t := now.Add(-plannedBehind); c.isOpen(t) {
		if begun = t; !c.recurs {
			begun = c.from
		}
	}
	for t := now.Add(-plannedBehind); len(out) < plannedOfOne; {
		t = c.next(t)
		switch open := c.isOpen(t); {
		case begun.IsZero() && t.After(now.Add(plannedAhead)):
			return out
		case t.After(now.Add(plannedEnd)):
			return append(out, c.plannedFrom(begun, time.Time{}))
		case open && begun.IsZero():
			begun = t
		case !open && !begun.IsZero():
			if t.After(now) {
				out = append(out, c.plannedFrom(begun, t))
			}
			begun = time.Time{}
		}
	}
	return out
}

func (c *window) plannedFrom(from, to time.Time) PublicTime {
	since := from.Add(-plannedAhead)
	if c.announced.After(since) {
		since = c.announced
	}
	return PublicTime{c.public, since, from, to}
}
