package mute

import (
	"fmt"
	"slices"
	"strings"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify"
)

// Window is an entry of the section maintenance: a time, or one that recurs, in
// which nobody is told of what its matchers match.
type Window struct {
	// Name stands in what is said of a message that is hidden.
	Name string `yaml:"name"`
	// Matchers are in Alertmanager's syntax; all must match.
	Matchers []string `yaml:"matchers"`
	// TimeIntervals are names of the section time_intervals; the window is open in
	// any of them, but not before From and after To.
	TimeIntervals []string `yaml:"time_intervals"`
	// From and To are when a window that does not recur begins and ends, such as
	// 2026-11-21 22:00 in its time zone, or with an offset as RFC 3339 has it.
	From string `yaml:"from"`
	To   string `yaml:"to"`
	// Timezone is the zone of From, To, AnnouncedOn and of the time intervals that
	// have no location, such as Europe/Zurich; empty is UTC.
	Timezone string `yaml:"timezone"`
	// NoticeDays is how many days before it begins a window has to be announced, and
	// AnnouncedOn, such as 2026-11-01, when it was. One that recurs is not open
	// before the notice is over.
	NoticeDays  int    `yaml:"notice_days"`
	AnnouncedOn string `yaml:"announced_on"`
	// Announce are the contacts, rotas and receivers that are told of each time that the
	// window will be open, NoticeDays ahead, which is then 7 unless it is set.
	Announce []string `yaml:"announce"`
	// Owner is who answers for it, and Comment says what for.
	Owner   string `yaml:"owner"`
	Comment string `yaml:"comment"`
	// Public is what everybody may know of it; without a text that is nothing.
	Public Notice `yaml:"public"`
}

// Notice is what a status page says of a window.
type Notice struct {
	// Text says what is done, and what of it people will notice.
	Text string `yaml:"text"`
	// Components are those of the section status that are under maintenance meanwhile.
	Components []string `yaml:"components"`
}

// noticeAtMost bounds NoticeDays.
const noticeAtMost = 3650

// Problems says what is wrong with a window, by the path of its field. The names
// of its time intervals are checked by WindowProblems.
func (w *Window) Problems() map[string]string {
	_, problems := w.compile(nil)
	return problems
}

// WindowProblems says what is wrong with the section, by path, such as
// [0].from. The time intervals are those of c, which may be nil.
func WindowProblems(list []Window, c *amconfig.Config) map[string]string {
	problems, seen, intervals := map[string]string{}, map[string]int{}, intervalsOf(c)
	for n := range list {
		w := &list[n]
		here := at("", n)
		within(here, w.Problems(), problems)
		if before, taken := seen[w.Name]; taken && w.Name != "" {
			problems[here+".name"] = "the name is also that of " + at("", before) + "; give each window a name of its own"
		} else {
			seen[w.Name] = n
		}
		for k, name := range w.TimeIntervals {
			if _, ok := intervals[name]; !ok {
				problems[here+at(".time_intervals", k)] = fmt.Sprintf("there is no time interval %q; write one of the section time_intervals", name)
			}
		}
	}
	return problems
}

// window is a Window at work.
type window struct {
	config    *Window
	text      string
	matchers  labels.Matchers
	intervals []timeinterval.TimeInterval
	recurs    bool
	zone      *time.Location
	from, to  time.Time // zero is no bound
	open      *spell
	public    Notice
	announced time.Time // zero if nothing says when
}

// compile reads a window. It is as long as a window has fields.
func (w *Window) compile(intervals map[string][]timeinterval.TimeInterval) (*window, map[string]string) {
	problems := map[string]string{}
	c := &window{config: w, text: "window " + fmt.Sprintf("%q", w.Name), recurs: len(w.TimeIntervals) > 0, zone: time.UTC,
		public: Notice{strings.TrimSpace(w.Public.Text), w.Public.Components}}
	if w.Owner != "" {
		c.text += " of " + notify.Line(w.Owner)
	}
	if w.Name == "" {
		problems["name"] = "the window has no name; add name:, it is said of what is hidden"
	}
	if len(w.Matchers) == 0 {
		problems["matchers"] = `the window does not say what it hides; add matchers:, such as ['service="db"']`
	}
	ms, n, problem := parseAll(w.Matchers)
	if c.matchers = ms; problem != "" {
		problems[at("matchers", n)] = problem
	}
	if w.Timezone != "" {
		zone, err := time.LoadLocation(w.Timezone)
		if err != nil || w.Timezone == "Local" {
			problems["timezone"] = fmt.Sprintf("there is no time zone %q; write a name such as Europe/Zurich", w.Timezone)
		} else {
			c.zone = zone
		}
	}
	w.moments(c, problems)
	if len(w.Public.Components) > 0 && c.public.Text == "" {
		problems["public.text"] = "the window names components of the status page, and no text for it; add text:"
	}
	for _, name := range w.TimeIntervals {
		c.intervals = append(c.intervals, intervals[name]...)
	}
	c.open = newSpell(c.isOpen, c.next)
	return c, problems
}

// moments reads when the window begins and ends, and whether that was announced.
func (w *Window) moments(c *window, problems map[string]string) {
	read := func(field, text string, layouts ...string) (t time.Time) {
		if text == "" || problems["timezone"] != "" {
			return t
		}
		for _, layout := range layouts {
			if t, err := time.ParseInLocation(layout, text, c.zone); err == nil {
				return t
			}
		}
		example := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC).Format(layouts[0])
		problems[field] = fmt.Sprintf("%q is not a time; write it as %s", notify.Cut(text, 40), example)
		return t
	}
	moment := []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339}
	c.from, c.to = read("from", w.From, moment...), read("to", w.To, moment...)
	c.announced = read("announced_on", w.AnnouncedOn, time.DateOnly)
	switch {
	case c.recurs:
	case w.From == "" && w.To == "":
		problems["time_intervals"] = "the window does not say when it is open; add time_intervals:, or from: and to:"
	case w.From == "":
		problems["from"] = "the window has no beginning; add from:"
	case w.To == "":
		problems["to"] = "the window would never end; add to:"
	}
	if !c.from.IsZero() && !c.to.IsZero() && !c.from.Before(c.to) {
		problems["to"] = "the window ends before it begins; write a time after from"
	}
	switch {
	case w.NoticeDays < 0 || w.NoticeDays > noticeAtMost:
		problems["notice_days"] = fmt.Sprintf("%d is not between 0 and %d", w.NoticeDays, noticeAtMost)
	case w.NoticeDays > 0 && w.AnnouncedOn == "" && len(w.Announce) > 0: // it is announced from here
	case w.NoticeDays > 0 && w.AnnouncedOn == "":
		problems["announced_on"] = fmt.Sprintf("the window needs %d days' notice, and nothing says when it was announced; add announced_on:, such as 2026-11-01, or announce:, those who are to be told", w.NoticeDays)
	case w.NoticeDays > 0 && !c.announced.IsZero():
		w.notice(c, problems)
	}
}

// notice checks that the window was announced in time. One that recurs opens when
// the notice is over.
func (w *Window) notice(c *window, problems map[string]string) {
	earliest := c.announced.AddDate(0, 0, w.NoticeDays)
	switch {
	case !c.from.IsZero() && c.from.Before(earliest):
		problems["announced_on"] = fmt.Sprintf("the window needs %d days' notice and begins sooner after %s; begin it on %s or later", w.NoticeDays, w.AnnouncedOn, earliest.Format(time.DateOnly))
	case c.from.IsZero():
		c.from = earliest
	}
}

func (c *window) isOpen(t time.Time) bool {
	if !c.from.IsZero() && t.Before(c.from) || !c.to.IsZero() && !t.Before(c.to) {
		return false
	}
	return !c.recurs || containsAny(c.intervals, c.zone, t)
}

func (c *window) next(t time.Time) time.Time {
	best := t.Add(horizon)
	if c.recurs {
		best = nextOfAny(c.intervals, c.zone, t)
	}
	for _, bound := range [...]time.Time{c.from, c.to} {
		if bound.After(t) && bound.Before(best) {
			best = bound
		}
	}
	return best
}

// Windows are the maintenance windows of a configuration. They may be asked from
// any goroutine.
type Windows struct{ all []*window }

// NewWindows compiles the section maintenance, with the time intervals of c. The
// error says all that WindowProblems finds.
func NewWindows(list []Window, c *amconfig.Config) (*Windows, error) {
	if problems := WindowProblems(list, c); len(problems) > 0 {
		return nil, problemsError("maintenance", problems)
	}
	ws, intervals := &Windows{}, intervalsOf(c)
	for n := range list {
		w, _ := list[n].compile(intervals)
		ws.all = append(ws.all, w)
	}
	return ws, nil
}

// Muted says which window hides what has the labels, and until when it is open:
// if several do, the one that is open longest. Until is at most five years ahead.
func (ws *Windows) Muted(now time.Time, l match.Labels) (h notify.Hidden, hidden bool) {
	if ws == nil {
		return h, false
	}
	for _, w := range ws.all {
		until, open := w.open.at(now)
		if open && until.After(h.Until) && l.All(w.matchers) {
			h, hidden = notify.Hidden{By: notify.ByMaintenance, Text: w.text, Until: until}, true
		}
	}
	return h, hidden
}

// Until says of each window, in the order of the configuration, until when it is open;
// zero if it is not.
func (ws *Windows) Until(now time.Time) []time.Time {
	if ws == nil {
		return nil
	}
	out := make([]time.Time, len(ws.all))
	for n, w := range ws.all {
		if until, open := w.open.at(now); open {
			out[n] = until
		}
	}
	return out
}

// open reports whether any window is open.
func (ws *Windows) open(now time.Time) bool {
	return ws != nil && slices.ContainsFunc(ws.all, func(w *window) bool { _, open := w.open.at(now); return open })
}

func problemsError(section string, problems map[string]string) error {
	var lines []string
	for path, problem := range problems {
		lines = append(lines, section+path+": "+problem)
	}
	slices.Sort(lines)
	return fmt.Errorf("mute: %s", strings.Join(lines, "; "))
}
