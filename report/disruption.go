package report

import "github.com/tocsin-gateway/tocsin/incident"

// Disruption is the service disruption report: the form, and the notes of what
// happened and who was contacted.
func Disruption(c Case, v View) *Document {
	i := c.Incident
	f := i.Proceedings().Findings
	b := c.open(v, KindDisruption, "Service Disruption Report")
	b.section("form", "The disruption", "")
	b.field("incident_name", "Incident Name", plain(i.Title, "title").said(c.opened()))
	b.field("reference", "Reference #", plain(i.Reference, "reference"))
	b.field("went_down", "Date/Time Service Went Down", c.wentDown(b))
	b.field("recorded", "Date/Time Incident Recorded", b.time(i.OpenedAt, "opened_at").said(c.opened()))
	b.field("reported_by", "Discovered/Reported By", c.reporter(b)...)
	b.field("incident_manager", "Incident Manager", c.role(incident.RoleManager))
	b.field("communications_manager", "Communications Manager", c.role(incident.RoleCommunications))
	b.field("systems_affected", "Systems Affected", c.systems()...)
	b.field("system_owner", "System Owner", plain(c.Owner, "services.owner"))
	b.field("populations_affected", "Populations Affected", append([]Value{c.populations()}, c.customers()...)...)
	b.field("symptoms", "Symptoms/Problem Description", c.symptoms()...)
	b.field("staff_involved", "Staff Involved", c.staff()...)
	b.field("determined_cause", "Determined Cause", c.finding("cause", f.Cause))
	b.field("resolution", "Resolution", c.solutions()...)
	b.field("restored", "Date/Time Service Restored", c.restored(b))
	b.field("outage_duration", "Outage Duration", c.outage())
	if f.Recommendations != "" {
		b.section("recommendations", "Recommendations", "")
		b.field("recommendations", "Recommendations", c.finding("recommendations", f.Recommendations))
	}
	b.section("notes", "Notes", "")
	b.field("filled_in_by", "Person Filling Out Form", plain(v.By, "by"))
	t := b.table("No entry.", "entry", "##", "at", "Date/Time", "event", "Event or People Contacted")
	for _, e := range c.inOrder() {
		event := Value{Text: e.Text}
		if e.Who != "" {
			event.Text = e.Who + ": " + e.Text
		}
		t.Rows = append(t.Rows, Row{Entry: e.Seq, Cells: []Value{{Text: decimal(e.Seq)}, c.when(b, &e), event}})
	}
	b.doc.sheet = t
	return b.finish()
}

// solutions are what ended it, what helped meanwhile, and what is for good.
func (c *Case) solutions() []Value {
	f := c.Incident.Proceedings().Findings
	return []Value{c.finding("solution", f.Solution), c.finding("workaround", f.Workaround).noted("workaround"), c.finding("fix", f.Fix).noted("permanent fix")}
}
