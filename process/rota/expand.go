package rota

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

const (
	// window is how much of a file is worked out at once.
	window = 32 * 24 * 60 * 60
	// cachedAtMost bounds the segments that are remembered.
	cachedAtMost = 50_000
	// peopleAtMost is how many are on call at once at most, and overlapsAtMost how
	// many events are looked at to find them.
	peopleAtMost   = 20
	overlapsAtMost = 200
)

// segment is from when on the same people are on call.
type segment struct {
	from int64 // Unix seconds
	who  []string
}

// windowCache has what was worked out, by the number of the window.
type windowCache struct {
	sync.Mutex
	segments map[int64][]segment
	size     int
}

// At is who is on call at t, in the order of the file, at most twenty.
func (c *ICal) At(t time.Time) []string {
	if c == nil || !sane(t) {
		return nil
	}
	segments := c.segments(t)
	n, found := slices.BinarySearchFunc(segments, t.Unix(), func(s segment, at int64) int { return cmp.Compare(s.from, at) })
	if !found {
		n-- // the first is the beginning of the window
	}
	return slices.Clone(segments[n].who)
}

// change is the first moment after t at which others may be on call.
func (c *ICal) change(t time.Time) time.Time {
	if c == nil || len(c.events) == 0 || !sane(t) {
		return t.Add(horizon)
	}
	segments := c.segments(t)
	n, found := slices.BinarySearchFunc(segments, t.Unix(), func(s segment, at int64) int { return cmp.Compare(s.from, at) })
	if found {
		n++
	}
	if n < len(segments) {
		return time.Unix(segments[n].from, 0)
	}
	return time.Unix((numberOf(t)+1)*window, 0)
}

// numberOf is the number of the window around t.
func numberOf(t time.Time) int64 {
	n := t.Unix() / window
	if t.Unix() < n*window {
		n--
	}
	return n
}

func (c *ICal) segments(t time.Time) []segment {
	n := numberOf(t)
	c.windows.Lock()
	defer c.windows.Unlock()
	if found, ok := c.windows.segments[n]; ok {
		return found
	}
	if c.windows.size > cachedAtMost || c.windows.segments == nil {
		c.windows.segments, c.windows.size = map[int64][]segment{}, 0
	}
	found := c.sweep(n*window, (n+1)*window)
	c.windows.segments[n] = found
	c.windows.size += len(found)
	return found
}

// edge is where an occurrence of an event begins or ends.
type edge struct {
	at    int64
	event int
	ends  bool
}

// sweep works out who is on call between two moments.
func (c *ICal) sweep(from, to int64) []segment {
	var edges []edge
	for n, e := range c.events {
		e.occurrences(from, to, func(begin, end int64) {
			edges = append(edges, edge{max(begin, from), n, false})
			if end < to {
				edges = append(edges, edge{end, n, true})
			}
		})
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	out := []segment{{from: from}}
	var active []int                    // events in the order of the file
	times := make([]int, len(c.events)) // how often each is, at once
	for n := 0; n < len(edges); {
		at := edges[n].at
		for ; n < len(edges) && edges[n].at == at; n++ {
			event := edges[n].event
			k, found := slices.BinarySearch(active, event)
			if !edges[n].ends {
				times[event]++
			} else {
				times[event]--
			}
			switch on := times[event] > 0; {
			case on && !found:
				active = slices.Insert(active, k, event)
			case !on && found:
				active = slices.Delete(active, k, k+1)
			}
		}
		who, last := c.who(active), &out[len(out)-1]
		switch {
		case last.from == at:
			last.who = who
		case !slices.Equal(last.who, who):
			out = append(out, segment{at, who})
		}
	}
	return out
}

// who are the people of events, each once.
func (c *ICal) who(active []int) (who []string) {
	for _, n := range active[:min(len(active), overlapsAtMost)] {
		for _, name := range c.events[n].people {
			if len(who) < peopleAtMost && !slices.Contains(who, name) {
				who = append(who, name)
			}
		}
	}
	return who
}

// occurrences yields when an event takes place, as far as that is between two
// moments.
func (e *event) occurrences(from, to int64, yield func(begin, end int64)) {
	// What the clock shows is less than two days off.
	const off = 2 * day
	earliest := time.Unix(from, 0).UTC().Add(-off - e.length - e.exact)
	latest := time.Unix(to, 0).UTC().Add(off)
	if e.start.After(latest) {
		return
	}
	dates := []time.Time{e.start}
	for _, d := range e.dates {
		if !d.Before(earliest) && !d.After(latest) && !d.Equal(e.start) {
			dates = append(dates, d)
		}
	}
	if e.rule != nil {
		dates = e.rule.add(dates, e, earliest, latest)
	}
	for _, d := range dates {
		begin := calendar.Instant(d, e.zone)
		end := calendar.Instant(d.Add(e.length), e.zone).Add(e.exact)
		if begin.Unix() >= to || end.Unix() <= from || !begin.Before(end) ||
			e.without[begin.Unix()] || e.withoutDays[d.Truncate(day).Unix()] {
			continue
		}
		yield(begin.Unix(), end.Unix())
	}
}

// add appends what the clock shows at the occurrences of a rule between two times.
func (r *rule) add(dates []time.Time, e *event, earliest, latest time.Time) []time.Time {
	seen := make(map[int64]bool, len(dates))
	for _, d := range dates {
		seen[d.Unix()] = true
	}
	next, err := r.from(e.start, earliest)
	if err != nil {
		return dates // unreachable: it was probed
	}
	for {
		d, ok := next()
		if !ok || d.After(latest) || !r.until.IsZero() && r.until.Before(calendar.Instant(d, e.zone)) {
			return dates
		}
		if !d.Before(earliest) && !seen[d.Unix()] {
			seen[d.Unix()] = true
			dates = append(dates, d)
		}
	}
}
