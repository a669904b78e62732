package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Month is what the monthly review is about.
type Month struct {
	// From and To bound it: From ≤ opened < To.
	From, To time.Time
	// Incidents are those that were opened in it, in any order. Exercises and
	// children are left out of the report.
	Incidents []*incident.Incident
	// Objectives are the promises for an incident; nil promises nothing.
	Objectives func(i *incident.Incident) Objectives
	// Communication names the duties that are about telling people, and Uncounted
	// those that are not counted: nobody can keep them, or they are the objectives.
	Communication, Uncounted []string
	// Silences are those that held in it. SilencesUnknown: nobody has looked.
	Silences        []Silence
	SilencesUnknown bool
	// LeftOut say what was not looked at.
	LeftOut []string
}

// Objectives are what is promised; zero is nothing.
type Objectives struct{ Response, Resolution time.Duration }

// Silence is a silence, and what it hid.
type Silence struct {
	// What says which alerts it is for.
	What, By, Comment string
	From, To          time.Time
	// Hid are references of the incidents that it applied to.
	Hid []string
	// More is how many more there were.
	More int
}

// detailed bounds how many incidents a monthly report tells one by one.
const detailed = 200

// Monthly is the pack for the monthly review.
func Monthly(m Month, v View) *Document {
	b := newBuilder(v, KindMonthly, "Monthly incident review", "")
	b.doc.Subtitle = m.From.In(b.view.Zone).Format("January 2006")
	list, drills, children := measured(m.Incidents)
	b.notice("It has the incidents that were opened from " + moment(*orZero(stamp(m.From)), b.view.Zone) + " until " + moment(*orZero(stamp(m.To)), b.view.Zone) + ".")
	if drills+children > 0 {
		b.notice(fmt.Sprintf("Left out: %s and %s.", count(drills, "exercise", "exercises"), count(children, "child incident", "child incidents")))
	}
	for _, text := range m.LeftOut {
		b.notice(text)
	}
	if n := forgetful(list); n > 0 {
		b.notice(fmt.Sprintf("%s reopened more often than its record tells; the earliest cycles are not in here.", count(n, "incident was", "incidents were")))
	}
	reviews := make([]review, len(list))
	for n, i := range list {
		reviews[n] = m.review(i, v.Now)
	}
	b.management(reviews)
	b.duties(reviews)
	b.glance(reviews)
	b.statistics(reviews)
	b.ledger(list, &m)
	b.section("incidents", "Incident by incident", "")
	if len(reviews) > detailed {
		b.current().Intro = fmt.Sprintf("The %d worst of %d; the table above has all.", detailed, len(reviews))
		reviews = reviews[:detailed]
	}
	for n := range reviews {
		b.one(&reviews[n])
	}
	return b.finish()
}

// measured are the incidents that count, the worst first.
func measured(all []*incident.Incident) (list []*incident.Incident, drills, children int) {
	for _, i := range all {
		switch {
		case i.Drill:
			drills++
		case !i.Parent.IsZero() || i.HasFamily():
			children++
		default:
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b *incident.Incident) int {
		x, _ := a.Outage()
		y, _ := b.Outage()
		return cmp.Or(incident.LevelRank(b.Level)-incident.LevelRank(a.Level), strings.Compare(a.Priority, b.Priority), cmp.Compare(y, x), a.OpenedAt.Compare(b.OpenedAt), strings.Compare(a.Reference, b.Reference))
	})
	return list, drills, children
}

// management says in a few lines how the month was.
func (b *builder) management(list []review) {
	b.section("management", "Management summary", "")
	var open, reopened, untaken int
	var response, resolution, duties, updates tally
	var outage time.Duration
	var longest *review
	actions := map[string]int{}
	for n := range list {
		r := &list[n]
		if r.IsOpen() {
			open++
		}
		if r.Reopens > 0 {
			reopened++
		}
		if !r.IsOpen() && !taken(r.Incident) {
			untaken++
		}
		response.add(r.response)
		resolution.add(r.resolution)
		duties.kept, duties.missed = duties.kept+len(r.dutiesKept), duties.missed+len(r.dutiesMissed)
		updates.kept, updates.missed = updates.kept+len(r.updatesKept), updates.missed+len(r.updatesLate)
		if d, ok := r.Outage(); ok {
			outage += d
			if longest == nil || d > first(longest.Outage()) {
				longest = r
			}
		}
		for _, a := range r.Proceedings().Measures() {
			actions[strings.SplitN(b.stateOf(&a).Text, " ", 2)[0]]++
		}
	}
	b.field("incidents", "Incidents", computed(number(len(list))).noted(groups(list, func(r *review) string { return r.Severity })))
	b.field("levels", "By level", computed(Value{Text: groups(list, func(r *review) string { return r.Level })}))
	b.field("open", "Still open", computed(number(open)))
	b.field("reopened", "Reopened", computed(number(reopened)))
	b.field("unacknowledged", "Over without anybody having acknowledged", computed(number(untaken)))
	b.field("outage", "Outage, all together", lasting(outage, "outage_seconds").noted("as the sum over the incidents; they may overlap"))
	if longest != nil {
		b.field("longest", "Longest outage", lasting(first(longest.Outage()), "outage_seconds").noted(longest.Reference+": "+longest.Title))
	}
	b.field("response", "Response objectives", response.value())
	b.field("resolution", "Resolution objectives", resolution.value())
	b.field("updates", "Duties to tell people", updates.value())
	b.field("duties", "Other duties", duties.value())
	b.field("corrective_actions", "Corrective actions", computed(Value{Text: fmt.Sprintf("%d done, %d open, %d overdue", actions["done"], actions["open"], actions["overdue"])}))
}

// duties says how often each duty was kept and missed, the one that was missed most first.
func (b *builder) duties(list []review) {
	known := map[string]*tally{}
	of := func(name string) *tally {
		if known[name] == nil {
			known[name] = &tally{}
		}
		return known[name]
	}
	for n := range list {
		r := &list[n]
		for _, name := range slices.Concat(r.dutiesKept, r.updatesKept) {
			of(name).kept++
		}
		for _, name := range slices.Concat(r.dutiesMissed, r.updatesLate) {
			of(name).missed++
		}
	}
	b.part("duties", "Duties", "Of each incident its latest cycle; without the objectives.")
	t := b.table("None was to be kept.", "duty", "Duty", "kept", "#Kept", "missed", "#Missed")
	for _, name := range slices.SortedFunc(maps.Keys(known), func(x, y string) int {
		return cmp.Or(known[y].missed-known[x].missed, strings.Compare(x, y))
	}) {
		t.add(Value{Text: name}, number(known[name].kept), number(known[name].missed))
	}
}

func first[T any](v T, _ bool) T { return v }

// computed says that a value was added up here.
func computed(v Value) Value {
	v.Field = "computed"
	return v
}

// groups counts the incidents by a word, the most frequent first.
func groups(list []review, of func(*review) string) string {
	var text []string
	for _, g := range grouped(list, of) {
		text = append(text, fmt.Sprintf("%d %s", g.n, g.name))
	}
	return strings.Join(text, ", ")
}

type group struct {
	name string
	n    int
}

func grouped(list []review, of func(*review) string) []group {
	counts := map[string]int{}
	for n := range list {
		counts[cmp.Or(of(&list[n]), NotStated)]++
	}
	out := make([]group, 0, len(counts))
	for name, n := range counts {
		out = append(out, group{name, n})
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Or(b.n-a.n, strings.Compare(a.name, b.name)) })
	return out
}

// glance adds the table of all incidents, and the one that CSV writes.
func (b *builder) glance(list []review) {
	b.section("glance", "All incidents, the worst first", "")
	t := b.table("There was none.", "reference", "Reference", "opened", "Opened", "title", "Incident", "service", "Service", "severity", "Severity", "level", "Level", "state", "State", "outage", "Outage", "response", "Response", "resolution", "Resolution")
	sheet := &Table{Rows: []Row{}}
	for _, name := range strings.Fields("reference title service team severity priority level category state drill opened_at went_down_at acknowledged_at resolved_at restored_at closed_at " +
		"time_to_detect_seconds time_to_acknowledge_seconds time_to_resolve_seconds outage_seconds reopens response resolution " +
		"duties_kept duties_missed updates_kept updates_missed updates_sent cause recurrence_likely detected_soon_enough communication actions_open actions_done") {
		sheet.Columns = append(sheet.Columns, Column{Name: name, Label: name})
	}
	for n := range list {
		r := &list[n]
		d, ok := r.Outage()
		t.add(ref(r.Incident), b.time(r.OpenedAt, "opened_at"), Value{Text: r.Title}, Value{Text: r.Service}, Value{Text: r.Severity}, Value{Text: r.Level}, Value{Text: r.State},
			maybe(d, ok, "outage_seconds"), Value{Text: r.response}, Value{Text: r.resolution})
		sheet.Rows = append(sheet.Rows, r.sheet())
	}
	b.doc.sheet = sheet
}

// sheet is the row of an incident in CSV: times are RFC 3339 in UTC, durations seconds.
func (r *review) sheet() Row {
	i, f := r.Incident, r.Proceedings().Findings
	at := func(t time.Time) string {
		if p := stamp(t); p != nil {
			return p.Format(time.RFC3339)
		}
		return ""
	}
	seconds := func(d time.Duration, ok bool) string {
		if !ok {
			return ""
		}
		return fmt.Sprintf("%.0f", d.Seconds())
	}
	restored, _ := i.Restored()
	ack := cyclesOf(i)
	done, measures := 0, r.Proceedings().Measures()
	for _, a := range measures {
		if !a.DoneAt.IsZero() {
			done++
		}
	}
	cells := []string{i.Reference, i.Title, i.Service, i.Team, i.Severity, i.Priority, i.Level, i.Category, i.State, fmt.Sprint(i.Drill), at(i.OpenedAt), at(i.WentDown()), at(ack[len(ack)-1].AcknowledgedAt),
		at(i.ResolvedAt), at(restored), at(i.ClosedAt), seconds(i.TimeToDetect(), true), seconds(i.TimeToAcknowledge()), seconds(i.TimeToResolve()), seconds(i.Outage()), fmt.Sprint(i.Reopens),
		r.response, r.resolution, strings.Join(r.dutiesKept, ", "), strings.Join(r.dutiesMissed, ", "), strings.Join(r.updatesKept, ", "), strings.Join(r.updatesLate, ", "), fmt.Sprint(r.updates),
		cmp.Or(f.Cause, NotStated), cmp.Or(f.Recurrence, NotStated), cmp.Or(f.Detection, NotStated), cmp.Or(f.Communication, NotStated), fmt.Sprint(len(measures) - done), fmt.Sprint(done)}
	row := Row{}
	for _, c := range cells {
		row.Cells = append(row.Cells, Value{Text: c})
	}
	return row
}

// statistics adds how long things took, and where incidents were.
func (b *builder) statistics(list []review) {
	b.section("statistics", "Statistics", "Every cycle counts by itself: an incident that was reopened was resolved more than once. What did not happen does not count.")
	t := b.table("", "what", "Duration", "count", "#Count", "median", "Median", "mean", "Mean", "p90", "90 % within", "longest", "Longest")
	for _, m := range [...]struct {
		label string
		of    func(*review) []time.Duration
	}{
		{"to detect", func(r *review) []time.Duration { return []time.Duration{r.TimeToDetect()} }},
		{"to acknowledge", func(r *review) []time.Duration {
			return durations(r.Incident, func(c incident.Cycle) time.Time { return c.AcknowledgedAt })
		}},
		{"to resolve", func(r *review) []time.Duration {
			return durations(r.Incident, func(c incident.Cycle) time.Time { return c.ResolvedAt })
		}},
		{"outage", func(r *review) []time.Duration {
			if d, ok := r.Outage(); ok {
				return []time.Duration{d}
			}
			return nil
		}},
	} {
		var all []time.Duration
		for n := range list {
			all = append(all, m.of(&list[n])...)
		}
		t.add(append([]Value{{Text: m.label}, number(len(all))}, spread(all)...)...)
	}
	for _, g := range [...]struct {
		name, label string
		of          func(*review) string
	}{
		{"services", "By service", func(r *review) string { return r.Service }}, {"teams", "By team", func(r *review) string { return r.Team }},
		{"categories", "By category", func(r *review) string { return r.Category }}, {"priorities", "By priority", func(r *review) string { return r.Priority }},
	} {
		all := grouped(list, g.of)
		var text []string
		for _, one := range all[:min(len(all), groupsShown)] {
			text = append(text, fmt.Sprintf("%s: %d", one.name, one.n))
		}
		if more := len(all) - groupsShown; more > 0 {
			text = append(text, fmt.Sprintf("and %d more", more))
		}
		b.field(g.name, g.label, computed(Value{Text: strings.Join(text, ", ")}))
	}
}

// groupsShown bounds a list of groups.
const groupsShown = 20

// durations are those from the opening of each cycle to something in it.
func durations(i *incident.Incident, to func(incident.Cycle) time.Time) []time.Duration {
	var list []time.Duration
	for _, c := range cyclesOf(i) {
		if at := to(c); !at.IsZero() {
			list = append(list, max(at.Sub(c.OpenedAt), 0))
		}
	}
	return list
}

// spread is the median, the mean, the ninth decile and the largest; no texts if
// there are no durations.
func spread(list []time.Duration) []Value {
	if len(list) == 0 {
		return make([]Value, 4)
	}
	list = slices.Sorted(slices.Values(list))
	var sum time.Duration
	for _, d := range list {
		sum += d / time.Duration(len(list))
	}
	at := func(percent int) time.Duration { return list[(len(list)*percent+99)/100-1] } // the nearest rank
	return []Value{lasting(at(50), ""), lasting(sum, ""), lasting(at(90), ""), lasting(list[len(list)-1], "")}
}

// one tells of one incident.
func (b *builder) one(r *review) {
	i := r.Incident
	c := Case{Incident: i}
	p := i.Proceedings()
	f := p.Findings
	b.part("incident", i.Reference+": "+i.Title, "")
	b.field("what", "What", plain(strings.Join(slices.DeleteFunc([]string{i.Severity, i.Priority, i.Level, i.Service, i.State}, func(s string) bool { return s == "" }), ", "), "severity, priority, level, service, state"))
	b.field("timeline", "Timeline in short", b.short(&c)...)
	b.field("response", "Response", r.against("acknowledged", r.response, r.responseIn, r.goal.Response), r.against("resolved", r.resolution, r.resolutionIn, r.goal.Resolution), listed("duties missed", r.dutiesMissed), listed("duties kept", r.dutiesKept))
	said := plain(count(r.updates, "update", "updates")+", at the longest "+spell(r.quiet)+" without one", "process.updates")
	b.field("communication", "Communication", c.finding("communication", f.Communication), said, listed("updates missed", r.updatesLate), listed("updates kept", r.updatesKept))
	b.field("cause", "Cause", c.finding("cause", f.Cause))
	again := []Value{c.finding("recurrence", f.Recurrence)}
	if n := len(p.Openings); n > 0 {
		again = append(again, plain(count(n, "earlier opening", "earlier openings")+" of the same problem, the latest at "+moment(*orZero(stamp(p.Openings[n-1])), b.view.Zone), "process.openings"))
	}
	b.field("recurrence", "Recurrence likely?", again...)
	b.field("detection", "Detected soon enough?", c.finding("detection", f.Detection), lasting(i.TimeToDetect(), "time_to_detect_seconds").noted("to detect"))
	b.field("lessons", "Lessons", c.finding("lessons", f.Lessons))
	var actions []Value
	for _, a := range p.Measures() {
		state := b.stateOf(&a)
		due := ""
		if !a.Due.IsZero() {
			due = ", due " + moment(*stamp(a.Due), b.view.Zone)
		}
		actions = append(actions, plain(a.Text, "process.actions").noted(a.Owner+due+", "+state.Text))
	}
	b.field("actions", "Actions", actions...)
}

// against says how long something took, what was promised, and the verdict.
func (r *review) against(what, verdict string, took, goal time.Duration) Value {
	cycles := cyclesOf(r.Incident)
	done := slices.ContainsFunc(cycles, func(c incident.Cycle) bool {
		return what == "acknowledged" && !c.AcknowledgedAt.IsZero() || what == "resolved" && !c.ResolvedAt.IsZero()
	})
	text := what + " within " + spell(took)
	switch {
	case !done && what == "acknowledged" && !r.IsOpen():
		text = "never acknowledged"
	case !done:
		text = "not " + what + " yet"
	}
	switch {
	case verdict == noGoal:
	case goal <= 0, done && len(cycles) == 1 && verdict != pending && (took <= goal) != (verdict == kept):
		text += ", by what was promised then" // the priority, or the configuration, was another one
	case !done && verdict == kept:
		text += ", over within the objective " + spell(goal)
	default:
		text += ", objective " + spell(goal)
	}
	return plain(text+": "+verdict, what+"_at")
}

func listed(what string, names []string) Value {
	if len(names) == 0 {
		return Value{}
	}
	return plain(what+": "+strings.Join(names, ", "), "process.duties")
}

// short are the milestones, in the order of time.
func (b *builder) short(c *Case) []Value {
	i := c.Incident
	p := i.Proceedings()
	type stone struct {
		at    time.Time
		text  string
		field string
	}
	restored, _ := i.Restored()
	list := []stone{{i.WentDown(), "went down", "went_down"}, {i.OpenedAt, "opened", "opened_at"}, {restored, "restored", "restored_at"}, {i.ClosedAt, "closed" + byName(i.ClosedBy), "closed_at"}}
	for n, k := range cyclesOf(i) {
		if n > 0 {
			list = append(list, stone{k.OpenedAt, "reopened", "cycles"})
		}
		list = append(list, stone{k.AcknowledgedAt, "acknowledged" + byName(k.AcknowledgedBy), "acknowledged_at"}, stone{k.ResolvedAt, "resolved" + byName(k.ResolvedBy), "resolved_at"})
	}
	if a := p.Assessment; a != nil {
		list = append(list, stone{a.At, "assessed" + byName(a.By), "process.assessment"})
	}
	for _, h := range p.Handovers {
		list = append(list, stone{h.At, "escalated to " + h.To + ", " + words(h.Reason), "process.handovers"})
	}
	if k := p.Confirmed; k != nil {
		list = append(list, stone{k.At, "confirmed" + byName(cmp.Or(k.Customer, k.By)), "process.confirmed"})
	}
	slices.SortStableFunc(list, func(a, b stone) int { return a.at.Compare(b.at) })
	var out []Value
	for _, s := range list {
		if v := b.time(s.at, s.field); v.Text != "" {
			v.Text += ": " + s.text
			out = append(out, v)
		}
	}
	return out
}

func byName(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
