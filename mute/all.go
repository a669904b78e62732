package mute

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
)

// Silences are what people asked not to be told of.
type Silences interface {
	// Muted says which silence hides what has the labels, and until when.
	Muted(now time.Time, l match.Labels) (notify.Hidden, bool)
}

// Options are what an All asks. What is nil hides nothing.
type Options struct {
	Store      Store
	Windows    *Windows
	Silences   Silences
	Inhibition *Inhibition
	Services   *Graph
	// Labels are those that the rules set on an alert, beside its own.
	Labels  func(*alert.Alert) alert.Labels
	Metrics *Metrics
	Log     *slog.Logger
}

// All is the notify.Muter that asks all that can hide messages. An incident is
// hidden while each of its alerts that fire is hidden by something, or while one
// that it depends on is open. It may be used by any goroutine.
type All struct {
	Options
	boards *boards
	// cut: not everything that inhibits is known, which was logged.
	cut atomic.Bool
}

var _ notify.Muter = (*All)(nil)

const (
	// firstAlerts is how many alerts are read first: most incidents are not hidden,
	// and then one of them says so.
	firstAlerts = 50
	// alertsLooked bounds the alerts of an incident that are looked at. One with more
	// is told.
	alertsLooked = 50_000
	// alertsTime is how long that may take, but no more than half of the time that
	// there is for the question: people must hear of what cannot be looked at in time.
	alertsTime = 2 * time.Second
)

// New returns an All. Store, Metrics and Log are needed.
func New(o Options) *All {
	a := &All{Options: o}
	a.boards = newBoards(o.Store, o.Inhibition, a.labels)
	return a
}

// labels are an alert's and those that rules set.
func (a *All) labels(of *alert.Alert) alert.Labels {
	ls := of.Labels
	if a.Labels == nil {
		return ls
	}
	for _, l := range a.Labels(of) {
		ls = ls.Set(l.Name, l.Value)
	}
	return ls
}

// Muted implements notify.Muter. An error is one of the store.
func (a *All) Muted(ctx context.Context, i *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	if h, hidden, err := a.byPeople(ctx, i, now); hidden || err != nil {
		return h, hidden, err
	}
	ask := asking{All: a, i: i, now: now}
	if h, held, err := ask.begin(ctx); held || err != nil {
		return h, held, err
	}
	if !ask.anything() {
		return notify.Hidden{}, false, nil
	}
	return ask.alerts(ctx)
}

// WouldHide says what would hide one alert of an incident that need not be in the store.
// It writes nothing.
func (a *All) WouldHide(ctx context.Context, i *incident.Incident, of *alert.Alert, severity string, now time.Time) (notify.Hidden, bool, error) {
	if h, hidden, err := a.byPeople(ctx, i, now); hidden || err != nil {
		return h, hidden, err
	}
	ask := asking{All: a, i: i, now: now, look: true}
	if h, held, err := ask.begin(ctx); held || err != nil {
		return h, held, err
	}
	h, hidden := ask.alert(&store.Record{Entry: incident.Entry{Firing: of.Status == alert.Firing, Severity: severity}, Content: of})
	return h, hidden, nil
}

// begin finds out what can hide anything now, and whether an incident upstream holds
// this one.
func (a *asking) begin(ctx context.Context) (notify.Hidden, bool, error) {
	a.windows, a.inhibits = a.Windows.open(a.now), a.i.Alerts.Firing > 0 && a.Inhibition.mayTarget(a.i.Labels)
	upstream := a.Services.Upstream(a.i.Service)
	if a.i.Drill {
		upstream = nil
	}
	if a.inhibits || len(upstream) > 0 && a.i.IsOpen() {
		var err error
		if a.board, err = a.All.board(ctx, a.now); err != nil {
			return notify.Hidden{}, false, err
		}
	}
	return a.held(ctx, upstream)
}

// board is what is known of the open incidents, nil if that takes too long to
// find out: then people are told.
func (a *All) board(ctx context.Context, now time.Time) (*board, error) {
	b, err := a.boards.get(ctx, now)
	switch {
	case errors.Is(err, errSlow):
		a.failOpen(ctx, failedSlow, "the open incidents take too long to read, so nothing is hidden because of them")
		return nil, nil
	case err != nil:
		return nil, err
	}
	a.Metrics.sources.Set(float64(len(b.sources)))
	if b.left > 0 {
		a.Metrics.open.WithLabelValues(failedSources).Inc()
	}
	if cut := b.left > 0; a.cut.Swap(cut) != cut {
		if cut {
			a.Log.WarnContext(ctx, "more inhibits than can be looked at; what the rest would hide is told", "sources", len(b.sources), "incidents_left_out", b.left)
		} else {
			a.Log.InfoContext(ctx, "all that inhibits is known again", "sources", len(b.sources))
		}
	}
	return b, nil
}

func (a *All) failOpen(ctx context.Context, reason, text string, args ...any) {
	a.Metrics.open.WithLabelValues(reason).Inc()
	a.Log.WarnContext(ctx, text, args...)
}

// asking is one question.
type asking struct {
	*All
	i   *incident.Incident
	now time.Time
	// board may be nil.
	board *board
	// windows: one is open; inhibits: a rule may have an alert of i on its target side.
	windows, inhibits bool
	// look: nothing is to be written.
	look bool
}

// held says which incident upstream holds the incident, and links the two, or that they are
// linked no more.
func (a *asking) held(ctx context.Context, upstream []string) (notify.Hidden, bool, error) {
	if a.board == nil || !a.i.IsOpen() {
		return notify.Hidden{}, false, nil
	}
	for _, service := range upstream {
		for _, by := range a.board.services[service] {
			if by.id == a.i.ID {
				continue
			}
			text := by.reference + " of service " + service + " is open"
			if !a.look {
				if err := a.link(ctx, by, text); err != nil {
					return notify.Hidden{}, false, err
				}
			}
			return notify.Hidden{By: notify.ByDependency, Text: text}, true, nil
		}
	}
	if parent := a.i.Parent; !a.look && !parent.IsZero() && a.board.open[parent] == nil && !a.i.HasFamily() {
		return notify.Hidden{}, false, Unlink(ctx, a.Store, a.i)
	}
	return notify.Hidden{}, false, nil
}

// link makes the incident a child of the one that holds it, unless it has a
// parent that is open.
func (a *asking) link(ctx context.Context, to *open, why string) error {
	parent := a.i.Parent
	if parent == to.id || a.board.open[parent] != nil || a.i.HasFamily() {
		return nil
	}
	return Link(ctx, a.Store, a.i, &incident.Incident{ID: to.id, Reference: to.reference, Parent: to.parent}, why)
}

// anything reports whether anything could hide the alerts of the incident.
func (a *asking) anything() bool {
	return a.windows || a.Silences != nil || a.inhibits && a.board != nil || len(a.i.Downtimes) > 0
}

// alerts asks of each alert that fires what hides it. When none fires any more, it
// is asked of those that did, and where there are none, of the incident.
func (a *asking) alerts(ctx context.Context) (notify.Hidden, bool, error) {
	firing := a.i.Alerts.Firing > 0
	var all verdict
	limit, read := firstAlerts, 0
	limited, cancel := context.WithTimeout(ctx, timeFor(ctx))
	defer cancel()
	for cursor := ""; ; {
		records, next, err := a.Store.Alerts(limited, a.i.ID, cursor, limit)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			a.failOpen(ctx, failedSlow, "the alerts of an incident take too long to read, so it is told", "incident", a.i.Reference)
			return notify.Hidden{}, false, nil
		}
		if err != nil {
			return notify.Hidden{}, false, err
		}
		for n := range records {
			r := &records[n]
			if r.Content == nil || r.Entry.Firing != firing {
				continue
			}
			h, hidden := a.alert(r)
			if !hidden {
				return notify.Hidden{}, false, nil
			}
			all.add(h)
		}
		if cursor = next; cursor == "" {
			break
		}
		if read += len(records); read >= alertsLooked {
			a.failOpen(ctx, failedAlerts, "an incident has too many alerts to look at, so it is told", "incident", a.i.Reference)
			return notify.Hidden{}, false, nil
		}
		limit = alertsAtOnce
	}
	if all.n == 0 {
		if h, hidden := a.said(match.Of(a.i)); hidden {
			all.add(h)
		}
	}
	return all.hidden()
}

// timeFor is how long the alerts of an incident may be looked at.
func timeFor(ctx context.Context) time.Duration {
	if until, bounded := ctx.Deadline(); bounded {
		return min(alertsTime, time.Until(until)/2)
	}
	return alertsTime
}

// alert says what hides one alert: what is cheap to ask comes first.
func (a *asking) alert(r *store.Record) (notify.Hidden, bool) {
	labels := a.labels(r.Content)
	if until, in := a.i.InDowntime(r.Content, a.now); in && r.Entry.Firing {
		return notify.Hidden{By: notify.ByDowntime, Text: "downtime of " + thing(r.Content) + " at " + r.Content.Source, Until: until}, true
	}
	if a.windows || a.Silences != nil {
		one := *r.Content
		one.Labels = labels
		if h, hidden := a.said(match.OfAlert(&one, r.Entry.Severity, a.i)); hidden {
			return h, true
		}
	}
	if a.inhibits && a.board != nil && r.Entry.Firing {
		if rule, by, ok := a.Inhibition.inhibits(labels, a.board.sources); ok {
			return notify.Hidden{By: notify.ByInhibition, Text: "incident " + by + " (" + rule.text + ")"}, true
		}
	}
	return notify.Hidden{}, false
}

// thing names what a downtime is of. It is a sender's word.
func thing(a *alert.Alert) string {
	host, service := notify.Line(a.Host()), notify.Line(a.Service())
	switch {
	case host == "" && service == "":
		return notify.Line(a.Name())
	case host == "":
		return service
	case service == "":
		return host
	}
	return host + "/" + service
}

// said asks what people have said: maintenance windows and silences.
func (a *asking) said(l match.Labels) (notify.Hidden, bool) {
	if a.windows {
		if h, hidden := a.Windows.Muted(a.now, l); hidden {
			return h, true
		}
	}
	if a.Silences != nil {
		return a.Silences.Muted(a.now, l)
	}
	return notify.Hidden{}, false
}

// verdict joins what hides the alerts of an incident.
type verdict struct {
	notify.Hidden
	n int
	// mixed: they are hidden by different things.
	mixed bool
}

// add adds what hides one alert. The whole is looked at again when the first of
// them may be hidden no more.
func (v *verdict) add(h notify.Hidden) {
	if v.n++; v.n == 1 {
		v.Hidden = h
		return
	}
	v.mixed = v.mixed || h.By != v.By || h.Text != v.Text
	if h.Until.IsZero() || !v.Until.IsZero() && h.Until.Before(v.Until) {
		v.Until = h.Until
	}
}

func (v *verdict) hidden() (notify.Hidden, bool, error) {
	h := v.Hidden
	if v.mixed {
		h.Text += ", and others"
	}
	return h, v.n > 0, nil
}
