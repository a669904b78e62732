package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Case is what is known of one incident. Only the incident has to be there.
type Case struct {
	Incident *incident.Incident
	// Timeline are its entries from the first on, and Unread how many more there are.
	Timeline []incident.TimelineEntry
	Unread   uint64
	// Alerts are those of it that fire, and MoreAlerts: there are others.
	Alerts     []Alert
	MoreAlerts bool
	// Owner is the system's, as the configuration says.
	Owner string
	// Populations are those who use the service, as the configuration says.
	Populations string
	// Told are the receivers that a message reached.
	Told []string
	// Others are the other customers of the same problem, whom a customer's report
	// must not name.
	Others []string
	// Duties are what the process wants next, and Similar what was like it before.
	// NoProcess: there is nothing that wants something.
	Duties    []Duty
	NoProcess bool
	Similar   []Similar
}

// Alert is one alert that fires.
type Alert struct {
	Name, Host, Severity, Summary string
	// URL is where its sender shows it.
	URL   string
	Since time.Time
}

// Duty is something that is to be done.
type Duty struct {
	Name string
	Due  time.Time
	Text string
}

// Similar is an earlier incident that was like it.
type Similar struct {
	Reference, Title, State string
	OpenedAt                time.Time
	Outage                  time.Duration
	// Over: Outage is known.
	Over bool
	// Why it is like it, how it ended, and whose it was, if a customer's.
	Why, Cause, Solution, Customer string
}

// open begins a document about an incident.
func (c *Case) open(v View, kind, title string) *builder {
	i := c.Incident
	p := i.Proceedings()
	b := newBuilder(v, kind, title, i.Reference+": "+i.Title)
	b.doc.Reference, b.doc.Drill, b.doc.Customer = i.Reference, i.Drill, p.Customer
	if p.Customer != "" {
		b.mask = newMask(p.Customer, append(slices.Clone(c.Others), others(p.Customers, p.Customer)...))
	}
	if i.Drill {
		b.notice("This was an exercise.")
	}
	if c.Unread > 0 {
		b.notice(fmt.Sprintf("The timeline has %s more than the %d that are in here.", count(int(min(c.Unread, 1<<40)), "entry", "entries"), len(c.Timeline)))
	}
	if broken, ok := incident.VerifyTimeline(c.Timeline); !ok {
		b.notice(fmt.Sprintf("Entry %d of the timeline does not fit the one before: it was changed or lost after it was written.", broken))
	}
	if p.Customer != "" && len(c.visible()) < len(c.Timeline) {
		b.notice("Entries about who else is affected are left out.")
	}
	return b
}

func others(all []string, own string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == own })
}

// visible are the entries that the reader may know.
func (c *Case) visible() []incident.TimelineEntry {
	if c.Incident.Proceedings().Customer == "" {
		return c.Timeline
	}
	return slices.DeleteFunc(slices.Clone(c.Timeline), func(e incident.TimelineEntry) bool { return e.Action == "customers" })
}

// entry is the number of the latest entry that fits, 0 if none does.
func (c *Case) entry(fits func(e *incident.TimelineEntry) bool) uint64 {
	for n := len(c.Timeline) - 1; n >= 0; n-- {
		if fits(&c.Timeline[n]) {
			return c.Timeline[n].Seq
		}
	}
	return 0
}

// doing is the latest entry of an action that happened at a time; a zero time is any.
func (c *Case) doing(action string, at time.Time) uint64 {
	return c.entry(func(e *incident.TimelineEntry) bool { return e.Action == action && (at.IsZero() || e.At.Equal(at)) })
}

// saying is the latest entry of an action that says something.
func (c *Case) saying(action, text string) uint64 {
	return c.entry(func(e *incident.TimelineEntry) bool { return e.Action == action && strings.Contains(e.Text, text) })
}

// finding is what people found out, under the name that the record has for it.
func (c *Case) finding(name, text string) Value {
	said := "\n" + words(name) + ": " + text
	return plain(text, "process.findings."+name).said(c.entry(func(e *incident.TimelineEntry) bool {
		return e.Action == "found" && strings.Contains("\n"+e.Text, said)
	}))
}

// populations are those affected: as a person said, or else those who use the service.
func (c *Case) populations() Value {
	if said := c.Incident.Proceedings().Findings.Populations; said != "" || c.Populations == "" || c.Incident.Proceedings().Customer != "" {
		return c.finding("populations", said)
	}
	return plain(c.Populations, "services.populations")
}

// opened is the number of the entry that says that it was opened.
func (c *Case) opened() uint64 { return c.doing("opened", time.Time{}) }

// wentDown is the start of the outage.
func (c *Case) wentDown(b *builder) Value {
	i := c.Incident
	at := i.WentDown()
	switch corrected := i.Proceedings().Corrected.WentDown; {
	case !corrected.IsZero():
		return b.time(at, "process.corrected.went_down").said(c.saying("corrected", "went down at")).noted("as corrected")
	case at.Equal(i.StartedAt):
		return b.time(at, "started_at").noted("the earliest start that an alert stated")
	}
	return b.time(at, "opened_at").said(c.opened()).noted("when it was opened: no earlier start is stated")
}

// restored is the end of the outage.
func (c *Case) restored(b *builder) Value {
	i := c.Incident
	at, ok := i.Restored()
	switch corrected := i.Proceedings().Corrected.Restored; {
	case !ok:
		return Value{}
	case !corrected.IsZero():
		return b.time(at, "process.corrected.restored").said(c.saying("corrected", "restored at")).noted("as corrected")
	case at.Equal(i.RestoredAt):
		return b.time(at, "restored_at").noted("when the last alert ended")
	}
	return b.time(at, "resolved_at").said(c.doing("resolved", i.ResolvedAt)).noted("when it was resolved")
}

// outage is how long it lasted.
func (c *Case) outage() Value {
	d, ok := c.Incident.Outage()
	return maybe(d, ok, "outage_seconds").noted("computed: restored less went down")
}

// role is who has a role.
func (c *Case) role(role string) Value {
	who := c.Incident.Roles[role]
	if who == "" {
		return Value{}
	}
	said := words(role) + ": " + who
	entry := c.entry(func(e *incident.TimelineEntry) bool {
		rest, ok := strings.CutPrefix(e.Text, said)
		return e.Action == "assigned" && ok && (rest == "" || rest[0] == ',' || rest[0] == ':')
	})
	if entry == 0 && role == incident.RoleManager {
		entry = c.entry(func(e *incident.TimelineEntry) bool { return e.Action == "acknowledged" && e.Who == who })
	}
	return plain(who, "roles."+role).said(entry)
}

// systems are what is affected: as people say, and as alerts do.
func (c *Case) systems() []Value {
	i := c.Incident
	list := []Value{c.finding("systems", i.Proceedings().Findings.Systems)}
	if i.Service != "" {
		list = append(list, plain(i.Service, "service").noted("service"))
	}
	if len(i.Hosts) > 0 {
		list = append(list, plain(strings.Join(i.Hosts, ", "), "hosts").noted("hosts"))
	}
	return list
}

// symptoms are how it showed.
func (c *Case) symptoms() []Value {
	i := c.Incident
	p := i.Proceedings()
	list := []Value{c.finding("symptoms", p.Findings.Symptoms), plain(i.Description, "description").said(c.opened())}
	if a := p.Assessment; a != nil {
		list = append(list, plain(a.Observations, "process.assessment.observations").said(c.doing("assessed", a.At)))
	}
	return list
}

// customers are those whom it affects, as far as the reader may know.
func (c *Case) customers() []Value {
	p := c.Incident.Proceedings()
	if p.Customer != "" {
		return []Value{plain(p.Customer, "process.customer")}
	}
	if len(p.Customers) == 0 {
		return nil
	}
	return []Value{plain(strings.Join(p.Customers, ", "), "process.customers").said(c.doing("customers", time.Time{})).noted("customers")}
}

// staff are the people who had to do with it, in the order in which they appear.
func (c *Case) staff() []Value {
	i := c.Incident
	var list []Value
	known := map[string]bool{"": true, incident.System: true}
	add := func(who, field string) {
		if known[who] || len(list) == staffShown {
			return
		}
		known[who] = true
		var first uint64
		for n := range c.Timeline {
			if c.Timeline[n].Who == who {
				first = c.Timeline[n].Seq
				break
			}
		}
		list = append(list, plain(who, field).said(first).noted(strings.Join(rolesOf(i, who), ", ")))
	}
	for _, role := range incident.Roles() {
		add(i.Roles[role], "roles."+role)
	}
	for _, who := range i.Proceedings().Participants {
		add(who, "process.participants")
	}
	for _, e := range c.visible() {
		add(e.Who, "timeline")
	}
	return list
}

// staffShown bounds who is listed.
const staffShown = 100

// rolesOf are the roles of a person.
func rolesOf(i *incident.Incident, who string) []string {
	var list []string
	for _, role := range incident.Roles() {
		if i.Roles[role] == who {
			list = append(list, words(role))
		}
	}
	return list
}

// reporter is who noticed it: a person, or else the tools.
func (c *Case) reporter(b *builder) []Value {
	i := c.Incident
	if i.Reporter == "" {
		return []Value{plain(strings.Join(i.Sources, ", "), "sources").noted("monitoring")}
	}
	var how []string
	for _, s := range []string{i.ReporterRole, i.ReporterContact} {
		if s != "" {
			how = append(how, s)
		}
	}
	if i.Channel != "" {
		how = append(how, "by "+i.Channel)
	}
	list := []Value{plain(i.Reporter, "reporter").said(c.opened()).noted(strings.Join(how, ", "))}
	if !i.ReportedAt.IsZero() {
		list = append(list, b.time(i.ReportedAt, "reported_at").noted("when it was reported"))
	}
	return list
}

// events adds the table of what happened, in the order in which it did.
func (c *Case) events(b *builder, empty string, fits func(e *incident.TimelineEntry) bool) {
	t := b.table(empty, "entry", "##", "at", "When", "who", "Who", "action", "What", "text", "In words")
	for _, e := range c.inOrder() {
		if fits != nil && !fits(&e) {
			continue
		}
		row := Row{Entry: e.Seq, Cells: []Value{{Text: decimal(e.Seq)}, c.when(b, &e), who(&e), {Text: words(e.Action)}, {Text: e.Text}}}
		t.Rows = append(t.Rows, row)
	}
}

// inOrder are the entries in the order in which things happened; what was written
// down late stands where it belongs.
func (c *Case) inOrder() []incident.TimelineEntry {
	list := slices.Clone(c.visible())
	slices.SortStableFunc(list, func(a, b incident.TimelineEntry) int { return a.At.Compare(b.At) })
	return list
}

func (c *Case) when(b *builder, e *incident.TimelineEntry) Value {
	v := b.time(e.At, "")
	if e.Late {
		v.Note = "late: written down at " + moment(*orZero(stamp(e.RecordedAt)), b.view.Zone)
	}
	return v
}

func orZero(t *time.Time) *time.Time {
	if t == nil {
		return &time.Time{}
	}
	return t
}

func who(e *incident.TimelineEntry) Value {
	v := Value{Text: e.Who}
	if e.Source != "" {
		v.Note = "in " + e.Source
	}
	return v
}
