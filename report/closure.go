package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Closure is the report on an incident that is over: what it was, why, what was
// done, what it cost, and what follows from it.
func Closure(c Case, v View) *Document {
	i := c.Incident
	p := i.Proceedings()
	f := p.Findings
	b := c.open(v, KindClosure, "Closure Report")

	b.section("summary", "Summary", "")
	c.what(b)
	b.field("symptoms", "What happened", c.symptoms()...)
	b.field("systems_affected", "Systems affected", c.systems()...)
	b.field("customers", "Customers", c.customers()...)
	b.field("went_down", "Went down", c.wentDown(b))
	b.field("restored", "Restored", c.restored(b))
	b.field("outage_duration", "Outage", c.outage())
	b.field("incident_manager", "Incident manager", c.role(incident.RoleManager))
	b.field("written_by", "Report by", plain(v.By, "by"))

	b.section("outcome", "Outcome", "")
	b.field("state", "State", plain(i.State, "state"))
	b.field("resolved", "Resolved", b.by(i.ResolvedBy, i.ResolvedAt, "resolved_at").said(c.doing("resolved", i.ResolvedAt)))
	confirmed := Value{}
	if k := p.Confirmed; k != nil {
		confirmed = b.by(k.By, k.At, "process.confirmed").said(c.doing("confirmed", k.At))
		if k.Customer != "" {
			confirmed.Note = "says the customer " + k.Customer
		}
	}
	b.field("confirmed", "Confirmed that it is back", confirmed)
	b.field("closed", "Closed", b.by(i.ClosedBy, i.ClosedAt, "closed_at").said(c.doing("closed", i.ClosedAt)))
	b.field("follow_up", "What is left", c.followUp())

	b.section("cause", "Root cause", "")
	b.field("cause", "Root cause", c.finding("cause", f.Cause))
	var whys []Value
	for n, why := range f.Whys {
		whys = append(whys, plain(strconv.Itoa(n+1)+". "+why, "process.findings.whys").said(c.saying("found", why)))
	}
	b.field("whys", "Why", whys...)
	t := b.table("No likely cause was written down.", "cause", "Likely cause", "state", "State", "by", "By", "at", "When", "entry", "##")
	for _, k := range p.Findings.Causes {
		t.add(Value{Text: k.Text, Field: "process.findings.causes"}, Value{Text: words(k.State)}, Value{Text: k.By}, b.time(k.At, ""), entryCell(c.causeEntry(k)))
	}

	b.section("solution", "Solution", "")
	b.field("solution", "What ended it", c.finding("solution", f.Solution))
	b.field("workaround", "Workaround", c.finding("workaround", f.Workaround))
	removed := b.time(f.WorkaroundRemoved, "process.findings.workaround_removed").said(c.doing("workaround_removed", f.WorkaroundRemoved))
	if f.Workaround != "" && f.WorkaroundRemoved.IsZero() {
		removed = Value{Text: "no: it is still in place", Field: "process.findings.workaround_removed"}
	}
	b.field("workaround_removed", "Workaround removed", removed)
	b.field("fix", "Permanent fix", c.finding("fix", f.Fix))

	b.section("impact", "Impact", "")
	b.field("financial", "Financial", c.finding("financial", f.Financial))
	b.field("reputational", "Reputational", c.finding("reputational", f.Reputational))
	b.field("operational", "Operational", c.finding("operational", f.Operational))
	b.field("populations", "Populations affected", c.populations())

	b.section("lessons", "Lessons and recommendations", "")
	b.field("lessons", "Lessons", c.finding("lessons", f.Lessons))
	b.field("recommendations", "Recommendations", c.finding("recommendations", f.Recommendations))
	b.field("recurrence", "Is a recurrence likely?", c.finding("recurrence", f.Recurrence))
	b.field("detection", "Was it detected soon enough?", c.finding("detection", f.Detection))
	b.field("communication", "Communication", c.finding("communication", f.Communication))

	b.section("review", "Review of each phase", "")
	for _, l := range f.Review() {
		b.field(l.Field, strings.ToUpper(l.Phase[:1])+l.Phase[1:], c.finding(l.Field, l.Text))
	}

	b.section("actions", "Corrective actions", "")
	c.actions(b)

	b.section("tasks", "Tasks", "")
	c.tasks(b)

	b.section("durations", "Durations", "Each is that of the current cycle, from opening or reopening to resolution.")
	c.durations(b)

	b.section("informed", "Who was informed", "")
	c.informed(b)
	if len(c.said()) > 0 {
		b.part("updates", "Status updates", "")
		c.updates(b)
	}

	b.section("results", "Actions and results", "What people did, and what came of it.")
	c.events(b, "Nobody did anything that was written down.", byPeople)
	b.section("timeline", "Timeline", "")
	c.events(b, "No entry.", nil)
	return b.finish()
}

// byPeople reports whether a person did it, and not the program.
func byPeople(e *incident.TimelineEntry) bool { return e.Who != incident.System && e.Who != "" }

// what adds the fields that say which incident it is.
func (c *Case) what(b *builder) {
	i := c.Incident
	b.field("title", "Incident", plain(i.Title, "title").said(c.opened()))
	b.field("reference", "Reference", plain(i.Reference, "reference"))
	b.field("service", "Service", plain(i.Service, "service"))
	b.field("team", "Team", plain(i.Team, "team"))
	b.field("severity", "Severity", plain(i.Severity, "severity"))
	b.field("priority", "Priority", plain(i.Priority, "priority").noted(grades(i)))
	b.field("level", "Level", plain(i.Level, "level"))
	b.field("category", "Category", plain(i.Category, "category"))
}

func grades(i *incident.Incident) string {
	if i.Impact == "" || i.Urgency == "" {
		return ""
	}
	return "impact " + i.Impact + ", urgency " + i.Urgency
}

// by is who did something and when; it has no text if nobody did.
func (b *builder) by(who string, at time.Time, field string) Value {
	v := b.time(at, field)
	switch {
	case v.Text == "":
	case who != "":
		v.Text += " by " + who
	}
	return v
}

// followUp is the link to what is left, or what is said of it.
func (c *Case) followUp() Value {
	v := c.finding("follow_up", c.Incident.Proceedings().Findings.FollowUp)
	v.URL = v.Text
	return v
}

// causeEntry is the entry that says what became of a likely cause.
func (c *Case) causeEntry(k incident.LikelyCause) uint64 {
	return c.saying("cause", words(k.State)+": "+k.Text)
}

// entryCell is a cell that names an entry.
func entryCell(n uint64) Value {
	if n == 0 {
		return Value{}
	}
	return Value{Text: decimal(n), Entry: n}
}

// actions adds the table of what is to be done so that it does not come again.
func (c *Case) actions(b *builder) {
	t := b.table("No action was agreed on.", "id", "#No.", "kind", "Kind", "action", "Action", "owner", "Owner", "due", "Due", "state", "State", "entry", "##")
	for _, a := range c.Incident.Proceedings().Measures() {
		entry := c.saying("action", "action "+decimal(a.ID)+" for ")
		t.add(Value{Text: decimal(a.ID), Field: "process.actions"}, Value{Text: a.Kind}, Value{Text: a.Text}, Value{Text: a.Owner}, b.time(a.Due, ""), b.stateOf(&a), entryCell(entry))
	}
}

// stateOf says how far an action is.
func (b *builder) stateOf(a *incident.Action) Value {
	switch {
	case !a.DoneAt.IsZero():
		return b.by(a.DoneBy, a.DoneAt, "").prefixed("done ")
	case !a.Due.IsZero() && a.Due.Before(b.view.Now):
		return Value{Text: "overdue"}
	}
	return Value{Text: "open"}
}

func (v Value) prefixed(text string) Value {
	v.Text = text + v.Text
	return v
}

// durations adds the fields of how long things took, and the past cycles.
func (c *Case) durations(b *builder) {
	i := c.Incident
	b.field("detect", "To detect", lasting(i.TimeToDetect(), "time_to_detect_seconds"))
	d, ok := i.TimeToAcknowledge()
	b.field("acknowledge", "To acknowledge", maybe(d, ok, "time_to_acknowledge_seconds"))
	d, ok = i.TimeToResolve()
	b.field("resolve", "To resolve", maybe(d, ok, "time_to_resolve_seconds"))
	b.field("outage", "Outage", c.outage())
	if len(i.Cycles) == 0 {
		return
	}
	t := b.table("", "opened", "Earlier cycle opened", "acknowledged", "Acknowledged", "resolved", "Resolved", "severity", "Severity")
	for _, k := range i.Cycles {
		t.add(b.time(k.OpenedAt, "cycles"), b.by(k.AcknowledgedBy, k.AcknowledgedAt, ""), b.by(k.ResolvedBy, k.ResolvedAt, ""), Value{Text: k.Severity})
	}
}

// informed adds who was contacted and told.
func (c *Case) informed(b *builder) {
	p := c.Incident.Proceedings()
	b.field("told", "Receivers that were told", plain(strings.Join(c.Told, ", "), "notifications"))
	var called []Value
	for _, k := range p.Called {
		called = append(called, plain(k.Receiver, "process.called").noted(k.Why))
	}
	b.field("called_in", "Receivers that were called in", called...)
	b.field("next_contact", "Next contact with customers", b.time(p.NextContact, "process.next_contact").said(c.doing("next_contact", time.Time{})))
	t := b.table("No contact with anybody was written down.", "who", "Who", "channel", "How", "by", "By", "at", "When", "reached", "Reached", "note", "Note", "told_restored", "Knows that it is over", "entry", "##")
	for _, k := range p.Contacts {
		reached, over := "no", b.time(k.ToldRestored, "")
		if k.Reached {
			reached = "yes"
		}
		if over.Text == "" {
			over.Text = "no"
		}
		entry := c.entry(func(e *incident.TimelineEntry) bool {
			return e.Action == "contacted" && e.At.Equal(k.At) && strings.HasPrefix(e.Text, k.Who)
		})
		t.add(Value{Text: k.Who, Field: "process.contacts"}, Value{Text: k.Channel}, Value{Text: k.By}, b.time(k.At, ""), Value{Text: reached}, Value{Text: k.Note}, over, entryCell(entry))
	}
}

// said are the status updates that the reader may know: to a customer nothing goes that
// waits for a signature.
func (c *Case) said() []incident.Update {
	p := c.Incident.Proceedings()
	if p.Customer == "" {
		return p.Updates
	}
	return slices.DeleteFunc(slices.Clone(p.Updates), func(u incident.Update) bool { return u.Waits() })
}

// updates adds the table of what was said in status updates.
func (c *Case) updates(b *builder) {
	t := b.table("", "id", "#No.", "at", "When", "by", "By", "phase", "Phase", "what", "What", "forecast", "Forecast", "signed", "Signed")
	for _, u := range c.said() {
		signed := Value{Text: "not needed"}
		switch {
		case u.Waits():
			signed.Text = "waits for a signature: nobody was told"
		case u.SignedBy != "":
			signed = b.by(u.SignedBy, u.SignedAt, "")
		}
		said := u.What
		for _, more := range [...][2]string{{"analysis", u.Analysis}, {"progress", u.Progress}, {"contact", u.Contact}} {
			if more[1] != "" {
				said += "\n" + more[0] + ": " + more[1]
			}
		}
		forecast := Value{Text: u.Forecast}
		if !u.Restoration.IsZero() {
			forecast.Text = strings.TrimPrefix(forecast.Text+"\nback at "+moment(*stamp(u.Restoration), b.view.Zone), "\n")
		}
		t.add(Value{Text: decimal(u.ID), Field: "process.updates"}, b.time(u.At, ""), Value{Text: u.By}, Value{Text: u.Phase}, Value{Text: said}, forecast, signed)
	}
}
