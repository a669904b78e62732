package notify

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestDecide: what a target has to hear, given what it knows.
func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	said := func(actions ...string) (list []incident.TimelineEntry) {
		for _, a := range actions {
			list = append(list, incident.TimelineEntry{Action: a})
		}
		return list
	}
	routed := Timing{Routed: true, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour}
	always := routed
	always.RepeatAcknowledged = true
	pager := Integration{SendResolved: true, Acknowledges: true, Recognises: true}
	mail := Integration{SendResolved: true}
	deaf := Integration{}
	pages := Integration{SendResolved: true, Acknowledges: true, Recognises: true, Pages: true}
	duty := []incident.TimelineEntry{{Action: "duty", Text: "write the report", For: []string{"team"}}}
	open := incident.Incident{State: incident.Open, OpenedAt: ago(time.Hour), CycleOpenedAt: ago(time.Hour)}
	acked := open
	acked.State, acked.AcknowledgedBy = incident.Acknowledged, "ann"
	over := open
	over.State, over.ResolvedAt, over.ResolvedBy = incident.Resolved, ago(time.Minute), incident.System
	byAnn := over
	byAnn.ResolvedBy = "ann"
	closed := over
	closed.State = incident.Closed
	flaps := open
	flaps.FlappingUntil = now.Add(10 * time.Minute)
	knows := func(state string, since time.Duration) told { return told{State: state, At: ago(since), Seq: 1} }
	for name, c := range map[string]struct {
		i      incident.Incident
		t      told
		in     Integration
		timing Timing
		news   []incident.TimelineEntry
		event  Event
		again  time.Time
		hidden bool
	}{
		"a new one":                               {i: open, in: mail, timing: routed, event: Opened},
		"a new one that is acknowledged already":  {i: acked, in: mail, timing: routed, event: Opened},
		"of another route":                        {i: open, in: mail, timing: Timing{}},
		"of another route, as the fallback":       {i: open, t: told{Remark: "slack is down"}, in: mail, timing: Timing{}, event: Opened},
		"nothing new":                             {i: open, t: knows("open", time.Minute), in: mail, timing: routed, again: now.Add(4*time.Hour - time.Minute)},
		"more alerts, too soon":                   {i: open, t: knows("open", time.Minute), in: mail, timing: routed, news: said("joined"), again: now.Add(4 * time.Minute)},
		"more alerts":                             {i: open, t: knows("open", 5*time.Minute), in: mail, timing: routed, news: said("joined"), event: Updated},
		"fewer alerts":                            {i: open, t: knows("open", 5*time.Minute), in: mail, timing: routed, news: said("alerts_resolved"), event: Updated},
		"fewer alerts, to one that hears no ends": {i: open, t: knows("open", 5*time.Minute), in: deaf, timing: routed, news: said("expired"), again: now.Add(4*time.Hour - 5*time.Minute)},
		"notes are no news":                       {i: open, t: knows("open", time.Hour), in: mail, timing: routed, news: said("note", "phase"), again: now.Add(3 * time.Hour)},
		"worse, at once":                          {i: open, t: knows("open", time.Second), in: mail, timing: routed, news: said("joined", "severity"), event: Updated},
		"still, after four hours":                 {i: open, t: knows("open", 4*time.Hour), in: mail, timing: routed, event: Repeated},
		"still, but somebody works on it":         {i: acked, t: knows("acknowledged", 9*time.Hour), in: mail, timing: routed},
		"still, and it is to be said":             {i: acked, t: knows("acknowledged", 9*time.Hour), in: mail, timing: always, event: Repeated},
		"of another route, no repeats":            {i: open, t: knows("open", 9*time.Hour), in: mail, timing: Timing{GroupInterval: time.Minute}},
		"acknowledged":                            {i: acked, t: knows("open", time.Second), in: pager, timing: routed, event: Acknowledged},
		"acknowledged, by mail no news":           {i: acked, t: knows("open", time.Second), in: mail, timing: routed},
		"no longer acknowledged":                  {i: open, t: knows("acknowledged", time.Second), in: mail, timing: routed, event: Unacknowledged},
		"over, too soon":                          {i: over, t: knows("open", 2*time.Minute), in: mail, timing: routed, again: now.Add(3 * time.Minute)},
		"over":                                    {i: over, t: knows("open", 10*time.Minute), in: mail, timing: routed, event: Resolved},
		"over, says a person":                     {i: byAnn, t: knows("open", time.Second), in: mail, timing: routed, event: Resolved},
		"over, to one that hears no ends":         {i: over, t: knows("open", time.Hour), in: deaf, timing: routed},
		"over, which it knows":                    {i: over, t: knows("resolved", time.Second), in: mail, timing: routed},
		"over before anybody was told":            {i: over, in: mail, timing: routed},
		"over, and it may know of the problem":    {i: over, t: told{Tried: true}, in: mail, timing: routed, event: Resolved},
		"over, and it may know, after an end":     {i: over, t: told{Tried: true, State: "resolved", At: ago(time.Hour)}, in: mail, timing: routed, event: Resolved},
		"over, and it was hidden":                 {i: over, t: told{Hidden: &Hidden{By: BySilence}}, in: mail, timing: routed},
		"still, and it may know":                  {i: open, t: told{Tried: true}, in: mail, timing: routed, event: Opened},
		"closed":                                  {i: closed, t: knows("open", time.Hour), in: mail, timing: routed, event: Resolved},
		"a duty afterwards, never told":           {i: over, in: mail, timing: routed, news: duty, event: Updated},
		"a duty afterwards, told of the end":      {i: over, t: knows("resolved", time.Hour), in: mail, timing: routed, news: duty, event: Updated},
		"a duty afterwards would page":            {i: over, in: pages, timing: routed, news: duty, hidden: true},
		"a duty afterwards would page again":      {i: closed, t: knows("resolved", time.Hour), in: pages, timing: routed, news: duty, hidden: true},
		"a duty afterwards, still paged":          {i: byAnn, t: knows("open", time.Hour), in: pages, timing: routed, news: duty, event: Resolved},
		"a duty afterwards, perhaps paged":        {i: over, t: told{Tried: true}, in: pages, timing: routed, news: duty, event: Resolved},
		"a duty while it is open pages":           {i: open, t: knows("open", time.Hour), in: pages, timing: routed, news: duty, event: Updated},
		"again, after an end":                     {i: open, t: knows("resolved", time.Second), in: mail, timing: routed, event: Opened},
		"flaps, said once":                        {i: flaps, t: knows("open", time.Second), in: mail, timing: routed, news: said("reopened", "flapping"), event: Updated},
		"flaps on":                                {i: flaps, t: knows("open", time.Hour), in: mail, timing: routed, news: said("joined"), again: now.Add(10 * time.Minute), hidden: true},
		"flaps, and begins again":                 {i: flaps, t: knows("resolved", time.Hour), in: mail, timing: routed, news: said("joined"), again: now.Add(10 * time.Minute), hidden: true},
		"flaps from the beginning":                {i: flaps, in: mail, timing: routed, event: Opened},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(&c.i, &c.t, &c.in, c.timing, read(c.news, "team"), now)
			if d.event != c.event || !d.again.Equal(c.again) || (d.hidden != nil) != c.hidden {
				t.Errorf("got %q, again %v, hidden %v; want %q, again %v, hidden %v", d.event, d.again, d.hidden, c.event, c.again, c.hidden)
			}
		})
	}
}
