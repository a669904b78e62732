package mute

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

const (
	// noticeDefault is how many days ahead a window is announced.
	noticeDefault = 7
	// noticeSlack is how much earlier than that it is told, so that a restart, or a
	// target that is away for a while, does not make the notice too short.
	noticeSlack = time.Hour
	// lookBack is for how long a window that recurs may have been open, and its
	// beginning still be known.
	lookBack = 7 * 24 * time.Hour
	// openingsAtOnce is how many openings of a window are looked at.
	openingsAtOnce = 100
)

// Planned is one time in which a window will be open, as people are told of it.
type Planned struct {
	Begins, Ends time.Time
	// Due is when people are told of it, and Latest by when they have to be.
	Due, Latest time.Time
	// On is when it begins, and When from when to when it is, in a line.
	On, When string
	// About says what is affected.
	About string
	// Hurry is what to say after Latest.
	Hurry string
}

// Announced is a window that people are told of ahead.
type Announced struct {
	Name string
	// To are the contacts, rotas and receivers that are told.
	To []string
	// Planned are the times that are not over yet, up to the first that is to be
	// told of later.
	Planned func(now time.Time) []Planned
}

// Announced are the windows that are announced. The services are those of the
// catalogue, some of which they hide.
func (ws *Windows) Announced(services []Service, g *Graph) []Announced {
	var out []Announced
	for _, w := range ws.all {
		if c := w.config; len(c.Announce) > 0 {
			about := w.about(services, g)
			out = append(out, Announced{c.Name, c.Announce, func(now time.Time) []Planned { return w.planned(about, now) }})
		}
	}
	return out
}

// Stand reports whether the window of a name, announced or not, is open from the one
// time to the other, and neither before nor after.
func (ws *Windows) Stand(name string, begins, ends time.Time) bool {
	for _, c := range ws.all {
		if c.config.Name != name {
			continue
		}
		if !c.recurs {
			return c.from.Equal(begins) && c.to.Equal(ends)
		}
		return c.isOpen(begins) && !c.isOpen(begins.Add(-1)) && c.open.end(begins).Equal(ends)
	}
	return false
}

func (c *window) planned(about string, now time.Time) []Planned {
	days := c.config.NoticeDays
	if days == 0 {
		days = noticeDefault
	}
	var out []Planned
	for _, o := range c.openings(now, func(begins time.Time) bool { return begins.AddDate(0, 0, -days).Add(-noticeSlack).After(now) }) {
		begins, ends := o.from.In(c.zone), o.until.In(c.zone)
		p := Planned{Begins: begins, Ends: ends, Latest: begins.AddDate(0, 0, -days)}
		p.Due = p.Latest.Add(-noticeSlack)
		const moment = "Mon 2006-01-02 15:04"
		p.On, p.About = begins.Format(moment+" MST"), about
		p.When = fmt.Sprintf("from %s to %s (%s)", begins.Format(moment), ends.Format(moment), c.zone)
		p.Hurry = fmt.Sprintf("this notice is shorter than the %d days that were promised", days)
		out = append(out, p)
	}
	return out
}

// openings are the times in which the window is open that are not over, in order, up
// to and with the first of which later holds.
func (c *window) openings(now time.Time, later func(begins time.Time) bool) []stretch {
	if !c.recurs {
		if !c.to.After(now) {
			return nil
		}
		return []stretch{{from: c.from, until: c.to, holds: true}}
	}
	t, last := now.Add(-lookBack), now.Add(horizon)
	open := c.isOpen(t)
	var out []stretch
	for len(out) < openingsAtOnce {
		if open { // since when is not known
			if t = c.open.end(t); !t.Before(last) {
				return out
			}
		}
		for !c.isOpen(t) {
			if t = c.next(t); !t.Before(last) {
				return out
			}
		}
		o := stretch{from: t, until: c.open.end(t), holds: true}
		if o.until.After(now) {
			if out = append(out, o); later(o.from) {
				return out
			}
		}
		t, open = o.until, false
	}
	return out
}

// about says what the window hides, who uses it, and who answers for it.
func (c *window) about(services []Service, g *Graph) string {
	var hit, dependent, populations []string
	for n := range services {
		s := &services[n]
		switch {
		case c.hidesService(s.Name):
			hit = append(hit, s.Name)
		case slices.ContainsFunc(g.Upstream(s.Name), c.hidesService):
			dependent = append(dependent, s.Name)
		default:
			continue
		}
		for _, p := range s.Populations {
			if !slices.Contains(populations, p) {
				populations = append(populations, p)
			}
		}
	}
	var lines []string
	line := func(what, text string) {
		if text != "" {
			lines = append(lines, what+": "+text)
		}
	}
	line("what for", c.config.Comment)
	line("services", strings.Join(hit, ", "))
	if len(hit) == 0 {
		line("affected", strings.Join(c.config.Matchers, ", "))
	}
	line("services that depend on them", strings.Join(dependent, ", "))
	line("who uses them", strings.Join(populations, ", "))
	line("who answers for it", c.config.Owner)
	return strings.Join(lines, "\n")
}

// hidesService reports whether the window names a service by its matchers.
func (c *window) hidesService(name string) bool {
	named := false
	for _, m := range c.matchers {
		if m.Name != "service" {
			continue
		}
		if !m.Matches(name) {
			return false
		}
		named = named || m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp
	}
	return named
}
