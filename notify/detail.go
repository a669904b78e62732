package notify

import (
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// spokenAtMost is how many things that were said stand in one remark.
const spokenAtMost = 2

// spoken is what people say to a receiver, the latest last: status updates, and
// what is meant for it alone.
func spoken(news []incident.TimelineEntry, receiver string) []string {
	var said []string
	for _, e := range news {
		switch {
		case len(e.For) == 0 && e.Action != "update", len(e.For) > 0 && !slices.Contains(e.For, receiver):
		case e.Action == "calling": // the reason says it better
		case e.Who == "", e.Who == incident.System:
			said = append(said, e.Text)
		default:
			said = append(said, e.Who+": "+e.Text)
		}
	}
	return said[max(len(said)-spokenAtMost, 0):]
}

// remark adds to the remark why somebody was called in, unless that was said, and
// what was said.
func (m *Message) remark(why string, said []string) {
	var parts []string
	for _, part := range append([]string{m.Remark, why}, said...) {
		if part = Line(part); part == "" {
			continue
		}
		if slices.ContainsFunc(said, func(s string) bool { return part == Line(why) && strings.Contains(Line(s), part) }) {
			continue
		}
		parts = append(parts, part)
	}
	m.Remark = strings.Join(parts, " · ")
}

// detailOf is how much a target is told. One that nothing leads to any more hears how
// it goes on with no more detail than before.
func detailOf(t *told, timing Timing) string {
	switch {
	case timing.Called != nil:
		return timing.Called.Detail
	case timing.Routed:
		return ""
	}
	return t.Detail
}

// tellLess leaves out of a message what a receiver that was called in is not told.
// A summary has no alerts, hosts and labels; what is public is only what was
// marked so: the state, the service and the updates for the status page.
func (m *Message) tellLess(detail string, since time.Time) {
	if detail == "" {
		return
	}
	m.Alerts, m.More = nil, 0
	i := m.Incident.Clone()
	i.Labels, i.Hosts, i.Sources, i.Runbook, i.Links = map[string]string{}, nil, nil, "", nil
	if detail == incident.DetailPublic {
		i.Title, i.Description, i.Reporter, i.Captured = publicTitle(i), "", "", incident.Captured{}
		i.Team, i.AcknowledgedBy, i.ResolvedBy, i.ClosedBy = "", "", "", ""
		i.Roles = map[string]string{}
		m.News = publicNews(i.Proceedings(), i.ID, since)
		m.Remark = ""
		m.remark("", spoken(m.News, m.Receiver))
		m.Links = Links{}
	} else {
		m.News = slices.DeleteFunc(slices.Clone(m.News), func(e incident.TimelineEntry) bool {
			return e.Action != "update" && !slices.Contains(e.For, m.Receiver)
		})
		m.Links = Links{Incident: m.Links.Incident}
	}
	customer := i.Proceedings().Customer
	if i.Process = nil; customer != "" {
		i.Process = &incident.Process{Customer: customer} // what is one customer's stays so
	}
	m.Incident = i
}

func publicTitle(i *incident.Incident) string {
	if i.Service == "" {
		return "Incident " + i.Reference
	}
	return "Incident " + i.Reference + ": " + i.Service
}

// publicNews are the updates for everybody since a time.
func publicNews(p *incident.Process, id incident.ID, since time.Time) []incident.TimelineEntry {
	var news []incident.TimelineEntry
	for _, u := range p.Updates {
		at := u.OutAt()
		if u.Public && !u.Waits() && at.After(since) {
			news = append(news, incident.TimelineEntry{Incident: id, At: at, Action: "update", Text: u.Phase + ": " + u.What})
		}
	}
	return news
}
