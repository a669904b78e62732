package notify

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// alertsRead bounds how many alerts are looked at for those that are shown.
const alertsRead = 1000

// alerts fills in the alerts of a message and puts them in order, so that every
// target shows, and cuts, the same ones first.
func (w *Worker) alerts(ctx context.Context, worst incident.Scale, m *Message, since time.Time) error {
	records, _, err := w.store.Alerts(ctx, m.Incident.ID, "", alertsRead)
	if err != nil {
		return err
	}
	for n := range records {
		r := &records[n]
		if r.Content == nil {
			continue
		}
		a := Alert{Alert: r.Content, Fingerprint: r.Entry.Fingerprint, Firing: r.Entry.Firing, Severity: r.Entry.Severity, StartsAt: r.Entry.Start}
		if !a.Firing {
			if a.EndsAt = r.Entry.End; r.Entry.EndSeen.Before(since) && (!m.Resolved() || r.Entry.EndSeen.Before(m.Incident.CycleOpenedAt)) {
				continue // it has been told of
			}
		}
		m.Alerts = append(m.Alerts, a)
	}
	order(m.Alerts, worst)
	if over := len(m.Alerts) - AlertsShown; over > 0 {
		m.Alerts, m.More = m.Alerts[:AlertsShown], over
	}
	if unread := m.Incident.Alerts.Total - len(records); unread > 0 && len(records) == alertsRead {
		m.More += unread
	}
	return nil
}

// order puts the alerts that fire first, of those the most severe, and of those
// the oldest. What is equal stays as it was.
func order(list []Alert, worst incident.Scale) {
	slices.SortStableFunc(list, func(a, b Alert) int {
		switch {
		case a.Firing && !b.Firing:
			return -1
		case !a.Firing && b.Firing:
			return 1
		}
		return cmp.Or(worst.Compare(a.Severity, b.Severity), a.StartsAt.Compare(b.StartsAt))
	})
}
