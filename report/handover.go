package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Handover is the bundle for whoever takes an incident over: what is known of it,
// where to look, who did what, and what is due.
func Handover(c Case, v View) *Document {
	i := c.Incident
	p := i.Proceedings()
	f := p.Findings
	b := c.open(v, KindHandover, "Hand-over")

	b.section("data", "The incident", "")
	c.what(b)
	b.field("state", "State", plain(i.State, "state").noted(i.Phase))
	b.field("went_down", "Went down", c.wentDown(b))
	b.field("opened", "Opened", b.time(i.OpenedAt, "opened_at").said(c.opened()))
	b.field("acknowledged", "Acknowledged", b.by(i.AcknowledgedBy, i.AcknowledgedAt, "acknowledged_at").said(c.doing("acknowledged", i.AcknowledgedAt)))
	b.field("systems_affected", "Systems affected", c.systems()...)
	b.field("customers", "Customers", c.customers()...)
	b.field("next_contact", "Next contact with customers", b.time(p.NextContact, "process.next_contact").said(c.doing("next_contact", time.Time{})))
	b.field("symptoms", "What is seen", c.symptoms()...)
	b.field("reported_by", "Noticed by", c.reporter(b)...)

	b.section("assessment", "Assessment", "")
	if a := p.Assessment; a != nil {
		entry := c.doing("assessed", a.At)
		b.field("impact", "Impact", plain(a.Impact, "process.assessment.impact").said(entry))
		b.field("urgency", "Urgency", plain(a.Urgency, "process.assessment.urgency").said(entry))
		b.field("observations", "Observations", plain(a.Observations, "process.assessment.observations").said(entry))
		b.field("assessed", "By", b.by(a.By, a.At, "process.assessment").said(entry))
	} else {
		b.field("assessment", "Assessment")
	}

	b.section("escalation", "Hand-over", "")
	b.field("tier", "Support level", plain(p.Tier, "process.tier"))
	t := b.table("It was not escalated.", "from", "From", "to", "To", "reason", "Reason", "by", "By", "accepted", "Accepted")
	for _, h := range p.Handovers {
		accepted := b.by(h.AcceptedBy, h.AcceptedAt, "")
		if accepted.Text == "" {
			accepted.Text = "not yet"
		}
		t.add(Value{Text: cmp.Or(h.From, "nobody"), Field: "process.handovers"}, Value{Text: h.To}, Value{Text: words(h.Reason)}, b.by(h.By, h.At, "").said(c.doing("escalated", h.At)), accepted)
	}

	b.section("participants", "Who takes part", "")
	c.participants(b)
	b.section("duties", "What is due", "")
	c.duties(b)

	b.section("tasks", "Tasks", "")
	c.tasks(b)

	b.section("causes", "Open causes", "")
	t = b.table("No likely cause is open.", "cause", "Likely cause", "by", "By", "at", "When", "entry", "##")
	for _, k := range f.Causes {
		if k.State == incident.CauseOpen {
			t.add(Value{Text: k.Text, Field: "process.findings.causes"}, Value{Text: k.By}, b.time(k.At, ""), entryCell(c.causeEntry(k)))
		}
	}
	var settled []Value
	for _, k := range f.Causes {
		if k.State != incident.CauseOpen {
			settled = append(settled, plain(words(k.State)+": "+k.Text, "process.findings.causes").said(c.causeEntry(k)))
		}
	}
	b.field("settled_causes", "Verified or ruled out", settled...)
	b.field("cause", "Root cause", c.finding("cause", f.Cause))
	b.field("workaround", "Workaround in place", c.standing())

	b.section("alerts", "Alerts that fire", "")
	t = b.table("No alert fires.", "alert", "Alert", "host", "Host", "severity", "Severity", "since", "Since", "summary", "Says")
	for _, a := range c.Alerts {
		t.add(Value{Text: a.Name, URL: a.URL, Field: "alerts"}, Value{Text: a.Host}, Value{Text: a.Severity}, b.time(a.Since, ""), Value{Text: a.Summary})
	}
	if c.MoreAlerts {
		b.notice("It has more alerts than were looked at; some that fire may be missing.")
	}

	b.section("links", "Logs and documents", "")
	t = b.table("No link is known.", "name", "What", "url", "Where")
	if i.Runbook != "" {
		t.add(Value{Text: "runbook", Field: "runbook"}, Value{Text: i.Runbook, URL: i.Runbook})
	}
	for _, l := range i.Links {
		t.add(Value{Text: cmp.Or(l.Name, "link"), Note: words(l.Kind), Field: "links"}, Value{Text: l.URL, URL: l.URL})
	}

	b.section("similar", "Similar earlier incidents", "")
	c.similar(b)
	if len(c.said()) > 0 {
		b.section("updates", "Status updates", "")
		c.updates(b)
	}
	b.section("timeline", "What was done, and by whom", "")
	c.events(b, "No entry.", nil)
	return b.finish()
}

// standing is the workaround that is still in place.
func (c *Case) standing() Value {
	f := c.Incident.Proceedings().Findings
	if !f.WorkaroundRemoved.IsZero() {
		return Value{Text: "removed", Field: "process.findings.workaround_removed"}.said(c.doing("workaround_removed", f.WorkaroundRemoved))
	}
	return c.finding("workaround", f.Workaround)
}

// participants adds who takes part, with their roles and what they do now.
func (c *Case) participants(b *builder) {
	i := c.Incident
	p := i.Proceedings()
	t := b.table("Nobody yet.", "who", "Who", "roles", "Roles", "working", "Works on it now", "since", "Since")
	known := map[string]bool{"": true}
	add := func(who, field string) {
		if known[who] {
			return
		}
		known[who] = true
		row := []Value{plain(who, field), {Text: strings.Join(rolesOf(i, who), ", ")}, {}, {}}
		if n := slices.IndexFunc(p.Working, func(w incident.Worker) bool { return w.Who == who }); n >= 0 {
			row[2], row[3] = Value{Text: cmp.Or(p.Working[n].On, "yes")}, b.time(p.Working[n].Since, "")
		}
		t.add(row...)
	}
	for _, w := range p.Working {
		add(w.Who, "process.working")
	}
	for _, role := range incident.Roles() {
		add(i.Roles[role], "roles."+role)
	}
	for _, who := range p.Participants {
		add(who, "process.participants")
	}
}

// duties adds what the process wants next.
func (c *Case) duties(b *builder) {
	empty := "Nothing is due."
	if c.NoProcess {
		empty = "No process is configured that wants something."
	}
	t := b.table(empty, "due", "Due", "name", "Duty", "text", "What")
	list := slices.Clone(c.Duties)
	slices.SortStableFunc(list, func(a, b Duty) int { return a.Due.Compare(b.Due) })
	for _, d := range list {
		t.add(b.due(d.Due), Value{Text: words(d.Name), Field: "process.duties"}, Value{Text: d.Text})
	}
}

// tasks adds who is to do what while it lasts; what is not done yet first.
func (c *Case) tasks(b *builder) {
	t := b.table("No task was given.", "id", "#No.", "task", "Task", "owner", "Who", "due", "Due", "state", "State", "entry", "##")
	for _, done := range []bool{false, true} {
		for _, a := range c.Incident.Proceedings().Tasks() {
			if a.DoneAt.IsZero() != done {
				t.add(Value{Text: decimal(a.ID), Field: "process.actions"}, Value{Text: a.Text}, Value{Text: a.Owner}, b.time(a.Due, ""), b.stateOf(&a), entryCell(c.saying("action", "task "+decimal(a.ID)+" for ")))
			}
		}
	}
}

// due is a time by which something is to be done.
func (b *builder) due(at time.Time) Value {
	v := b.time(at, "")
	if late := b.view.Now.Sub(at); v.Text != "" && late > 0 {
		v.Note = "overdue by " + spell(late)
	}
	return v
}

// similar adds what was like it before; to a customer only what was theirs.
func (c *Case) similar(b *builder) {
	own := c.Incident.Proceedings().Customer
	t := b.table("None is known.", "reference", "Reference", "opened", "Opened", "title", "Incident", "why", "Why it is similar", "state", "State", "outage", "Outage", "end", "How it ended")
	for _, s := range c.Similar {
		if own != "" && s.Customer != own {
			continue
		}
		var end []string
		if s.Cause != "" {
			end = append(end, "cause: "+s.Cause)
		}
		if s.Solution != "" {
			end = append(end, "solution: "+s.Solution)
		}
		t.add(Value{Text: s.Reference}, b.time(s.OpenedAt, ""), Value{Text: s.Title}, Value{Text: s.Why}, Value{Text: s.State},
			maybe(s.Outage, s.Over, ""), Value{Text: cmp.Or(strings.Join(end, "\n"), NotStated)})
	}
}
