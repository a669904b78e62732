package notify

import (
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

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
		i.Title, i.Description, i.Reporter, i.Captured = "Incident "+i.Reference, "", "", incident.Captured{}
		if i.Service != "" {
			i.Title += ": " + i.Service
		}
		i.Team, i.AcknowledgedBy, i.ResolvedBy, i.ClosedBy = "", "", "", ""
		i.Roles = map[string]string{}
		m.News = publicNews(i.Proceedings(), i.ID, since)
		m.Remark = ""
		m.Links = Links{}
	} else {
		m.News = slices.DeleteFunc(slices.Clone(m.News), func(e incident.TimelineEntry) bool {
			return e.Action != "update" && !slices.Contains(e.For, m.Receiver)
		})
		m.Links = Links{Incident: m.Links.Incident}
	}
	i.Process = nil
	m.Incident = i
}

// publicNews are the updates for everybody since a time.
func publicNews(p *incident.Process, id incident.ID, since time.Time) []incident.TimelineEntry {
	var news []incident.TimelineEntry
	for _, u := range p.Updates {
		at := u.At
		if u.SignedAt.After(at) {
			at = u.SignedAt
		}
		if u.Public && !u.Waits() && at.After(since) {
			news = append(news, incident.TimelineEntry{Incident: id, At: at, Action: "update", Text: u.Phase + ": " + u.What})
		}
	}
	return news
}
