package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/report"
	"github.com/tocsin-gateway/tocsin/store"
)

// What a report reads at most. It says so itself when it left something out.
const (
	reportEntries   = 10_000
	reportAlerts    = 1000
	reportFamily    = 100
	monthIncidents  = 5000
	monthSilences   = 200
	silenceExamples = 10
	shiftOpen       = 1000
	shiftChanged    = 200
	shiftLooked     = 5000
	shiftEntries    = 100
	shiftHidden     = 200
	// shiftBack is how far before a shift an incident may have been opened that came
	// to its end in it.
	shiftBack = 31 * 24 * time.Hour
)

// caseOf gathers what a report on an incident has to know.
func (a *API) caseOf(ctx context.Context, i *incident.Incident, kind string, now time.Time) (report.Case, error) {
	c := report.Case{Incident: i}
	var err error
	if c.Timeline, c.Unread, err = a.wholeTimeline(ctx, i); err != nil {
		return c, err
	}
	if c.Others, err = a.otherCustomers(ctx, i); err != nil {
		return c, err
	}
	facts := &a.options.Reports
	if facts.Owner != nil && i.Service != "" {
		c.Owner = facts.Owner(i.Service)
	}
	if facts.Populations != nil && i.Service != "" {
		c.Populations = facts.Populations(i.Service)
	}
	if kind == report.KindClosure && a.options.Notifications != nil {
		list, err := a.options.Notifications.Notifications(ctx, i.ID.String())
		if err != nil {
			return c, err
		}
		for _, n := range list {
			if n.Sent > 0 {
				c.Told = append(c.Told, n.Target)
			}
		}
	}
	if kind != report.KindHandover {
		return c, nil
	}
	if c.NoProcess = facts.Duties == nil; !c.NoProcess {
		c.Duties = facts.Duties(i, now)
	}
	if c.Similar, err = a.earlierLike(ctx, i); err != nil {
		return c, err
	}
	records, next, err := a.store.Alerts(ctx, i.ID, "", reportAlerts)
	c.MoreAlerts = next != ""
	for _, r := range records {
		if r.Entry.Firing && r.Content != nil {
			summary := cmp.Or(r.Content.Annotations.Get("summary"), r.Content.Annotations.Get("description"))
			c.Alerts = append(c.Alerts, report.Alert{Name: r.Content.Name(), Host: r.Content.Host(), Severity: r.Entry.Severity, Summary: summary, URL: r.Content.GeneratorURL, Since: r.Entry.Start})
		}
	}
	return c, err
}

// wholeTimeline reads the timeline of i, up to a limit, and says how many entries
// there are beyond it.
func (a *API) wholeTimeline(ctx context.Context, i *incident.Incident) (list []incident.TimelineEntry, unread uint64, err error) {
	for len(list) < reportEntries {
		after := uint64(0)
		if n := len(list); n > 0 {
			after = list[n-1].Seq
		}
		page, err := a.store.Timeline(ctx, i.ID, after, min(maxPage, reportEntries-len(list)))
		if err != nil {
			return nil, 0, err
		}
		list = append(list, page...)
		if len(page) == 0 || list[len(list)-1].Seq >= i.TimelineLength {
			break
		}
	}
	if n := uint64(len(list)); i.TimelineLength > n {
		unread = i.TimelineLength - n
	}
	return list, unread, nil
}

// otherCustomers are those of the configuration, and of the incident that a customer's
// is a part of: of its parents, and of the other parts.
func (a *API) otherCustomers(ctx context.Context, i *incident.Incident) ([]string, error) {
	own := i.Proceedings().Customer
	if own == "" {
		return nil, nil
	}
	var names []string
	if a.options.Process != nil {
		if guide := a.options.Process(); guide != nil {
			names = slices.DeleteFunc(guide.Customers(), func(name string) bool { return name == own })
		}
	}
	read := 0
	add := func(of *incident.Incident) {
		p := of.Proceedings()
		for _, name := range append(slices.Clone(p.Customers), p.Customer) {
			if name != "" && name != own && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	one := func(id incident.ID) (*incident.Incident, error) {
		read++
		other, err := a.store.Incident(ctx, id.String())
		if errors.Is(err, incident.ErrNotFound) {
			return nil, nil // its retention is over
		}
		return other, err
	}
	for at := i; !at.Parent.IsZero() && read < reportFamily; {
		parent, err := one(at.Parent)
		if err != nil || parent == nil {
			return names, err
		}
		add(parent)
		for _, id := range parent.Children {
			if id == i.ID || read >= reportFamily {
				continue
			}
			sibling, err := one(id)
			if err != nil {
				return nil, err
			}
			if sibling != nil {
				add(sibling)
			}
		}
		at = parent
	}
	return names, nil
}

// earlierLike are earlier incidents that are like i, the most similar first. An
// exercise says nothing of what is real.
func (a *API) earlierLike(ctx context.Context, i *incident.Incident) ([]report.Similar, error) {
	matches, _, err := a.matches(ctx, i)
	if err != nil {
		return nil, err
	}
	var list []report.Similar
	for _, m := range matches {
		k := m.Incident
		if k.Drill != i.Drill || len(list) == similarShown {
			continue
		}
		why := make([]string, len(m.Reasons))
		for n, r := range m.Reasons {
			why[n] = r.Text
		}
		p := k.Proceedings()
		s := report.Similar{Reference: k.Reference, Title: k.Title, State: k.State, OpenedAt: k.OpenedAt, Why: strings.Join(why, ", "), Cause: p.Findings.Cause, Solution: p.Findings.Solution, Customer: p.Customer}
		s.Outage, s.Over = k.Outage()
		list = append(list, s)
	}
	return list, nil
}

// scan lists the incidents that q selects, the newest first, up to a limit, and
// says whether there are more.
func (a *API) scan(ctx context.Context, q store.Query, limit int) (list []*incident.Incident, more bool, err error) {
	for {
		q.Limit = min(maxPage, limit-len(list))
		page, next, err := a.store.Incidents(ctx, q)
		if err != nil {
			return nil, false, err
		}
		list = append(list, page...)
		switch q.Cursor = next; {
		case next == "":
			return list, false, nil
		case len(list) >= limit:
			return list, true, nil
		}
	}
}

// watch gathers what the next shift has to know.
func (a *API) watch(ctx context.Context, since, now time.Time) (report.Watch, error) {
	w := report.Watch{Since: since}
	open, more, err := a.scan(ctx, store.Query{States: []string{incident.Open, incident.Acknowledged}}, shiftOpen)
	if err != nil {
		return w, err
	}
	w.Open = open
	if more {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("More than %d incidents are open; the oldest are left out.", shiftOpen))
	}
	ended, more, err := a.scan(ctx, store.Query{States: []string{incident.Resolved, incident.Closed}, From: since.Add(-shiftBack)}, shiftLooked)
	if err != nil {
		return w, err
	}
	if more {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("What happened was looked for in the %d newest incidents that are over.", shiftLooked))
	}
	if w.NoProcess = a.options.Reports.Duties == nil; !w.NoProcess {
		for _, i := range open {
			for _, d := range a.options.Reports.Duties(i, now) {
				w.Duties = append(w.Duties, report.Due{Incident: i, Duty: d})
			}
		}
		for _, i := range ended {
			for _, d := range a.options.Reports.Duties(i, now) {
				if i.State == incident.Resolved || !d.Due.Before(since) { // nobody works any more on what was left undone long ago
					w.Duties = append(w.Duties, report.Due{Incident: i, Duty: d})
				}
			}
		}
	}
	for _, i := range ended {
		if i.State == incident.Resolved {
			w.Resolved = append(w.Resolved, i)
		}
	}
	changed := slices.DeleteFunc(slices.Concat(open, ended), func(i *incident.Incident) bool { return i.ChangedAt.Before(since) })
	slices.SortStableFunc(changed, func(a, b *incident.Incident) int { return b.ChangedAt.Compare(a.ChangedAt) })
	if n := len(changed); n > shiftChanged {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("What happened is that of the %d incidents that changed last, of %d.", shiftChanged, n))
		changed = changed[:shiftChanged]
	}
	cut := 0
	for _, i := range changed {
		entries, err := a.store.Timeline(ctx, i.ID, i.TimelineLength-min(i.TimelineLength, shiftEntries), shiftEntries)
		if err != nil {
			return w, err
		}
		if len(entries) == shiftEntries && entries[0].Seq > 1 && !entries[0].RecordedAt.Before(since) {
			cut++
		}
		for _, e := range entries {
			if !e.RecordedAt.Before(since) {
				w.Happened = append(w.Happened, report.Event{Incident: i, Entry: e})
			}
		}
	}
	if cut > 0 {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("Of an incident only the latest %d entries are in here; %d had more.", shiftEntries, cut))
	}
	if a.options.Mute == nil {
		return w, nil
	}
	if n := len(open); n > shiftHidden {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("Whether it is hidden was looked up for the %d newest of %d open incidents.", shiftHidden, n))
	}
	for _, i := range open[:min(len(open), shiftHidden)] {
		h, hidden, err := a.options.Mute.Muted(ctx, i, now)
		if err != nil {
			return w, err
		}
		if hidden {
			w.Hidden = append(w.Hidden, report.Hidden{Incident: i, By: h.By, Text: h.Text, Until: h.Until})
		}
	}
	return w, nil
}

// month gathers what the monthly review is about.
func (a *API) month(ctx context.Context, from, to, now time.Time) (report.Month, error) {
	m := report.Month{From: from, To: to}
	list, more, err := a.scan(ctx, store.Query{From: from, To: to}, monthIncidents)
	if err != nil {
		return m, err
	}
	if m.Incidents = list; more {
		m.LeftOut = append(m.LeftOut, fmt.Sprintf("The month has more than %d incidents; the oldest are left out.", monthIncidents))
	}
	if a.removedBefore(from) != nil {
		m.LeftOut = append(m.LeftOut, fmt.Sprintf("Incidents are removed %d days after they were closed, so that some of the month may not be in here.", int(a.options.Reports.Retention().Hours())/24))
	}
	m.Objectives = a.options.Reports.Objectives
	if of := a.options.Reports.Communication; of != nil {
		m.Communication = of()
	}
	if of := a.options.Reports.Uncounted; of != nil {
		m.Uncounted = of()
	}
	all, err := a.silences.List(ctx)
	if err != nil {
		return m, err
	}
	if now.Sub(from) > silences.Retention {
		m.LeftOut = append(m.LeftOut, fmt.Sprintf("Silences are forgotten %d days after their end, so earlier ones are not in here.", int(silences.Retention.Hours())/24))
	}
	all = slices.DeleteFunc(all, func(s *silences.Silence) bool { return !s.StartsAt.Before(to) || !s.EndsAt.After(from) })
	slices.SortStableFunc(all, func(a, b *silences.Silence) int { return b.StartsAt.Compare(a.StartsAt) })
	if n := len(all); n > monthSilences {
		m.LeftOut = append(m.LeftOut, fmt.Sprintf("The %d latest of %d silences are in here.", monthSilences, n))
		all = all[:monthSilences]
	}
	labels := make([]match.Labels, len(list))
	for n, i := range list {
		labels[n] = match.Of(i)
	}
	for _, s := range all {
		m.Silences = append(m.Silences, hidBy(s, list, labels, now))
	}
	return m, nil
}

// hidBy says what a silence applied to: incidents that were open while it held, and
// whose labels, which all their alerts share, it is for.
func hidBy(s *silences.Silence, list []*incident.Incident, labels []match.Labels, now time.Time) report.Silence {
	matchers := make([]string, len(s.Matchers))
	for n, m := range s.Matchers {
		matchers[n] = m.String()
	}
	out := report.Silence{What: strings.Join(matchers, ", "), By: s.CreatedBy, Comment: s.Comment, From: s.StartsAt, To: s.EndsAt}
	for n, i := range list {
		end := i.ResolvedAt
		if end.IsZero() {
			end = now
		}
		if i.Drill || !i.OpenedAt.Before(s.EndsAt) || !end.After(s.StartsAt) || !s.Hits(labels[n]) {
			continue
		}
		if len(out.Hid) < silenceExamples {
			out.Hid = append(out.Hid, i.Reference)
		} else {
			out.More++
		}
	}
	return out
}
