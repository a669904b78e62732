package process

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/incident"
)

// view is what conditions are asked of.
type view struct {
	g   *Guide
	i   *incident.Incident
	p   *incident.Process
	now time.Time
}

func (g *Guide) view(i *incident.Incident, now time.Time) view {
	return view{g: g, i: i, p: i.Proceedings(), now: now}
}

// condition is one question to an incident.
type condition struct {
	text string
	hold func(v view) bool
	// turns is when the answer may be another one because time passes, after v.now;
	// zero is never, and nil that only people and alerts change it.
	turns func(v view) time.Time
}

// turn is before when several conditions, not all of which hold, cannot all hold; zero
// if they never do by themselves.
func turn(list []condition, v view) time.Time {
	var next time.Time
	for n := range list {
		c := &list[n]
		if c.hold(v) {
			continue
		}
		var at time.Time
		if c.turns != nil {
			at = c.turns(v)
		}
		if at.IsZero() {
			return at
		}
		next = latest(next, at)
	}
	return next
}

// turning are the facts that time changes.
var turning = map[string]func(v view) time.Time{
	"customer_told": func(v view) time.Time {
		if v.p.NextContact.After(v.now) {
			return v.p.NextContact
		}
		return time.Time{}
	},
	"business_hours": func(v view) time.Time { return hoursTurn(v.g.calendar.IsBusiness, v.now) },
	"usage_hours":    func(v view) time.Time { return hoursTurn(v.g.calendar.InUsage, v.now) },
}

// hoursTurn is the next time at which hours open or close, to the minute, or a
// time more than a week ahead if they do not until then. Hours that are shorter
// than a quarter may be overlooked.
func hoursTurn(in func(time.Time) bool, now time.Time) time.Time {
	const step, most = 15 * time.Minute, 8 * 24 * 4
	was, at := in(now), now.Truncate(step)
	for range most {
		next := at.Add(step)
		if in(next) != was {
			for at = at.Add(time.Minute); !at.After(now) || in(at) == was; {
				at = at.Add(time.Minute)
			}
			return at
		}
		at = next
	}
	return at
}

// lastingTurn is when a time that passes since a moment reaches d, or is beyond it.
func lastingTurn(since, now time.Time, d time.Duration) time.Time {
	for _, at := range [...]time.Time{since.Add(d), since.Add(d + time.Millisecond)} {
		if at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// facts that are so or not.
var facts = map[string]func(v view) bool{
	"open":              func(v view) bool { return v.i.IsOpen() },
	"acknowledged":      func(v view) bool { return v.i.State != incident.Open },
	"resolved":          func(v view) bool { return !v.i.IsOpen() },
	"closed":            func(v view) bool { return v.i.State == incident.Closed },
	"reopened":          func(v view) bool { return v.i.Reopens > 0 },
	"drill":             func(v view) bool { return v.i.Drill },
	"recovered":         func(v view) bool { return v.i.Alerts.Firing == 0 },
	"assessed":          func(v view) bool { return v.p.Assessment != nil },
	"updated":           func(v view) bool { return told(v, func(*incident.Update) bool { return true }) },
	"published":         func(v view) bool { return told(v, func(u *incident.Update) bool { return u.Public }) },
	"escalated":         func(v view) bool { return len(v.p.Handovers) > 0 },
	"accepted":          func(v view) bool { n := len(v.p.Handovers); return n > 0 && v.p.Handovers[n-1].AcceptedBy != "" },
	"confirmed":         func(v view) bool { return v.p.Confirmed != nil },
	"customer_affected": func(v view) bool { return len(v.p.Customers) > 0 || v.p.Customer != "" },
	"customer_told":     func(v view) bool { return v.p.NextContact.After(v.now) },
	"part":              func(v view) bool { return v.p.Customer != "" },
	"worked_on":         func(v view) bool { return len(v.p.Working) > 0 },
	"cause":             func(v view) bool { return v.p.Findings.Cause != "" },
	"solution":          func(v view) bool { return v.p.Findings.Solution != "" },
	"workaround":        func(v view) bool { return v.p.Findings.Workaround != "" && v.p.Findings.WorkaroundRemoved.IsZero() },
	"fix":               func(v view) bool { return v.p.Findings.Fix != "" },
	"follow_up":         func(v view) bool { return v.p.Findings.FollowUp != "" },
	"lessons": func(v view) bool {
		return v.p.Findings.Lessons != "" || slices.ContainsFunc(v.p.Findings.Review(), learnt)
	},
	"reviewed": func(v view) bool {
		return !slices.ContainsFunc(v.p.Findings.Review(), func(l incident.PhaseLessons) bool { return !learnt(l) })
	},
	"change_ticket":  linked(incident.LinkChange),
	"problem_ticket": linked(incident.LinkProblem),
	"post_mortem":    linked(incident.LinkPostMortem),
	"settled": func(v view) bool {
		f := &v.p.Findings
		return f.Workaround == "" || !f.WorkaroundRemoved.IsZero() || f.FollowUp != ""
	},
	"followed_up": func(v view) bool {
		return !slices.ContainsFunc(v.p.Contacts, func(c incident.Contact) bool { return c.ToldRestored.IsZero() })
	},
	"contacted": func(v view) bool {
		return slices.ContainsFunc(v.p.Contacts, func(c incident.Contact) bool { return c.Reached })
	},
	"answered": func(v view) bool {
		return slices.ContainsFunc(v.p.Calls, func(c incident.Call) bool {
			return c.ConfirmedBy != "" && !c.ConfirmedAt.Before(v.i.CycleOpenedAt)
		})
	},
	"business_hours": func(v view) bool { return v.g.calendar.IsBusiness(v.now) },
	"usage_hours":    func(v view) bool { return v.g.calendar.InUsage(v.now) },
}

func learnt(l incident.PhaseLessons) bool { return l.Text != "" }

// linked is the fact that there is a link of a kind.
func linked(kind string) func(v view) bool {
	return func(v view) bool {
		return slices.ContainsFunc(v.i.Links, func(l incident.Link) bool { return l.Kind == kind })
	}
}

// told reports whether such an update went out in this cycle: who heard that it is over
// has to hear that it is not.
func told(v view, such func(u *incident.Update) bool) bool {
	return slices.ContainsFunc(v.p.Updates, func(u incident.Update) bool {
		return !u.Waits() && !u.OutAt().Before(v.i.CycleOpenedAt) && such(&u)
	})
}

// words are facts that have a value; order is that of the words, least first, nil
// if they have none.
var words = map[string]struct {
	of    func(v view) string
	order func(g *Guide) []string
}{
	"state":                  {of: func(v view) string { return v.i.State }},
	"phase":                  {of: func(v view) string { return v.i.Phase }},
	"severity":               {func(v view) string { return v.i.Severity }, func(g *Guide) []string { return backwards(g.severities) }},
	"priority":               {func(v view) string { return v.i.Priority }, func(*Guide) []string { return backwards(incident.Priorities()) }},
	"impact":                 {func(v view) string { return v.i.Impact }, func(*Guide) []string { return backwards(incident.Grades()) }},
	"urgency":                {func(v view) string { return v.i.Urgency }, func(*Guide) []string { return backwards(incident.Grades()) }},
	"level":                  {func(v view) string { return v.i.Level }, func(*Guide) []string { return incident.Levels() }},
	"category":               {of: func(v view) string { return v.i.Category }},
	"service":                {of: func(v view) string { return v.i.Service }},
	"team":                   {of: func(v view) string { return v.i.Team }},
	"tier":                   {of: func(v view) string { return v.p.Tier }},
	"incident_manager":       {of: func(v view) string { return v.i.Roles[incident.RoleManager] }},
	"communications_manager": {of: func(v view) string { return v.i.Roles[incident.RoleCommunications] }},
	"technical_lead":         {of: func(v view) string { return v.i.Roles[incident.RoleLead] }},
	"technical_help":         {of: func(v view) string { return v.i.Roles[incident.RoleHelp] }},
}

func backwards(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// numbers are facts that are counted.
var numbers = map[string]func(v view) int{
	"customers": func(v view) int { return len(v.p.Customers) },
	"hosts":     func(v view) int { return len(v.i.Hosts) },
	"firing":    func(v view) int { return v.i.Alerts.Firing },
	"alerts":    func(v view) int { return v.i.Alerts.Total },
	"reopens":   func(v view) int { return v.i.Reopens },
	"people":    func(v view) int { return len(v.p.Working) },
	"children":  func(v view) int { return len(v.i.Children) },
}

// times are facts that last: how long, and since when, the zero time if they last
// no longer.
var times = map[string]func(v view) (lasted time.Duration, since time.Time){
	"age": func(v view) (time.Duration, time.Time) { return v.now.Sub(v.i.CycleOpenedAt), v.i.CycleOpenedAt },
	"outage": func(v view) (time.Duration, time.Time) {
		if d, ok := v.i.Outage(); ok {
			return d, time.Time{}
		}
		return v.now.Sub(v.i.WentDown()), v.i.WentDown()
	},
}

// recurrences counts how often it opened or reopened within a time, this one included.
func recurrences(v view, within time.Duration) int {
	n := 0
	count := func(at time.Time) {
		if !at.IsZero() && v.now.Sub(at) <= within {
			n++
		}
	}
	for _, at := range v.p.Openings {
		count(at)
	}
	for _, c := range v.i.Cycles {
		count(c.OpenedAt)
	}
	count(v.i.CycleOpenedAt)
	return n
}

// Facts are the names of everything that conditions can ask for.
func Facts() []string {
	list := slices.Concat(slices.Collect(maps.Keys(facts)), slices.Collect(maps.Keys(words)), slices.Collect(maps.Keys(numbers)),
		slices.Collect(maps.Keys(times)), []string{"recurrences(48h)"})
	slices.Sort(list)
	return list
}

var operators = []string{">=", "<=", "!=", "=", ">", "<"}

// parseCondition reads one condition: a fact ("acknowledged"), its contrary ("not
// acknowledged"), or a comparison ("customers > 1", "priority >= P2", "age > 4h",
// "recurrences(48h) >= 3").
func parseCondition(text string, g *Guide) (c condition, err error) {
	rest := strings.TrimSpace(text)
	c.text = rest
	negated := false
	if after, ok := strings.CutPrefix(rest, "not "); ok {
		rest, negated = strings.TrimSpace(after), true
	}
	name, op, value := rest, "", ""
	if at := strings.IndexAny(rest, "<>=!"); at >= 0 {
		name = strings.TrimSpace(rest[:at])
		for _, o := range operators {
			if after, ok := strings.CutPrefix(rest[at:], o); ok {
				op, value = o, strings.Trim(strings.TrimSpace(after), `"'`)
				break
			}
		}
		if op == "" {
			return c, fmt.Errorf("%q has none of the comparisons %s", text, strings.Join(operators, " "))
		}
	}
	is, err := comparison(name, op, value, g)
	if err != nil {
		return c, err
	}
	c.hold, c.turns = is.hold, is.turns
	if negated {
		hold := c.hold
		c.hold = func(v view) bool { return !hold(v) }
	}
	return c, nil
}

func comparison(name, op, value string, g *Guide) (c condition, err error) {
	if fact, ok := facts[name]; ok {
		if op != "" {
			return c, fmt.Errorf("%s is so or not, and cannot be compared", name)
		}
		return condition{hold: fact, turns: turning[name]}, nil
	}
	if word, ok := words[name]; ok {
		c.hold, err = compareWords(name, op, value, word.of, word.order, g)
		return c, err
	}
	count, ok := numbers[name]
	if within, is := strings.CutPrefix(name, "recurrences("); is {
		d, err := model.ParseDuration(strings.TrimSuffix(within, ")"))
		if err != nil || d <= 0 || !strings.HasSuffix(within, ")") {
			return c, fmt.Errorf("%q does not say within which time; write recurrences(48h)", name)
		}
		count, ok = func(v view) int { return recurrences(v, time.Duration(d)) }, true
	}
	if ok {
		n, err := strconv.Atoi(value)
		if op == "" || err != nil {
			return c, fmt.Errorf("%s is a number; write %s >= 1", name, name)
		}
		c.hold = func(v view) bool { return compares(cmp.Compare(count(v), n), op) }
		return c, nil
	}
	if last, ok := times[name]; ok {
		d, err := model.ParseDuration(value)
		if op == "" || err != nil {
			return c, fmt.Errorf("%s is a time; write %s > 30m", name, name)
		}
		c.hold = func(v view) bool {
			lasted, _ := last(v)
			return compares(cmp.Compare(lasted, time.Duration(d)), op)
		}
		c.turns = func(v view) time.Time {
			_, since := last(v)
			if since.IsZero() {
				return since
			}
			return lastingTurn(since, v.now, time.Duration(d))
		}
		return c, nil
	}
	if name == "" {
		return c, fmt.Errorf("there is no condition in it")
	}
	return c, fmt.Errorf("there is no fact %q; %s", name, cmp.Or(nearest.Suggest(name, Facts()), "docs/process.md lists them"))
}

func compareWords(name, op, value string, of func(view) string, order func(*Guide) []string, g *Guide) (func(view) bool, error) {
	var list []string
	if order != nil {
		list = order(g)
	}
	rank := func(word string) int { return slices.Index(list, word) }
	switch {
	case op == "":
		return func(v view) bool { return of(v) != "" }, nil
	case list != nil && rank(value) < 0:
		return nil, fmt.Errorf("%s is never %q; it is one of %s", name, value, strings.Join(list, ", "))
	case op == "=":
		return func(v view) bool { return of(v) == value }, nil
	case op == "!=":
		return func(v view) bool { return of(v) != value }, nil
	case list == nil:
		return nil, fmt.Errorf("%s has no order; compare it with = or !=", name)
	}
	return func(v view) bool { return compares(cmp.Compare(rank(of(v)), rank(value)), op) }, nil
}

func compares(c int, op string) bool {
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "<":
		return c < 0
	}
	return c <= 0
}

func all(list []condition, v view) bool {
	return !slices.ContainsFunc(list, func(c condition) bool { return !c.hold(v) })
}

func anyOf(list []condition, v view) bool {
	return slices.ContainsFunc(list, func(c condition) bool { return c.hold(v) })
}
