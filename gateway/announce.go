package gateway

import (
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/router"
)

// announcements are what people are told that is no incident: windows of maintenance
// ahead, and that a month is over.
func (g *Gateway) announcements(c *config.Config, t *told, guide *process.Guide, s *router.Settings) error {
	if t == nil || g.notifier == nil {
		return nil
	}
	ws, err := mute.NewWindows(c.Maintenance, c.Alertmanager)
	if err != nil {
		return err
	}
	graph, err := mute.NewGraph(c.Services)
	if err != nil {
		return err
	}
	var list []router.Announcement
	add := func(name string, to []string, occasions func(time.Time) []router.Occasion) {
		list = append(list, router.Announcement{Name: name, Occasions: occasions, Targets: func(now time.Time) []string { return t.noticed(guide.Reach(to, now)) }})
	}
	for _, w := range ws.Announced(c.Services, graph) {
		add(router.AnnounceMaintenance+"/"+w.Name, w.To, func(now time.Time) []router.Occasion { return downtimes(w.Name, w.Planned(now)) })
	}
	if to := guide.RemindedMonthly(); len(to) > 0 {
		add(router.AnnounceMonthlyReport, to, func(now time.Time) []router.Occasion { return g.months(guide.MonthlyReminders(now)) })
	}
	s.Announcements = list
	s.Stands = func(name string, begins, ends time.Time) bool {
		window, ok := strings.CutPrefix(name, router.AnnounceMaintenance+"/")
		return !ok || ws.Stand(window, begins, ends)
	}
	return nil
}

func downtimes(name string, planned []mute.Planned) []router.Occasion {
	var out []router.Occasion
	for _, p := range planned {
		begins, ends := p.Begins.UTC(), p.Ends.UTC()
		out = append(out, router.Occasion{ID: begins.Format(time.RFC3339Nano) + "/" + ends.Format(time.RFC3339Nano), Due: p.Due, Latest: p.Latest, Hurry: p.Hurry,
			What: "Planned downtime", Of: name, On: p.On, When: p.When, About: p.About, Begins: begins, Ends: ends, Until: ends})
	}
	return out
}

func (g *Gateway) months(reminders []process.MonthlyReminder) []router.Occasion {
	var out []router.Occasion
	for _, r := range reminders {
		month := r.Month.Format("2006-01")
		where := "tocsin report monthly --month=" + month
		if g.opts.External != nil {
			where += "\n" + g.opts.External.JoinPath("api/v1/reports/monthly").String() + "?month=" + month + "&format=html"
		}
		out = append(out, router.Occasion{ID: month, Due: r.Due, What: "Monthly report of " + month + " is due", When: month + " is over; its report for the monthly review:", About: where,
			Begins: r.Month.UTC(), Ends: r.Month.AddDate(0, 1, 0).UTC(), Until: r.Until.UTC()})
	}
	return out
}

// noticed are the targets of receivers that a notice is for.
func (t *told) noticed(receivers []string) []string {
	var out []string
	for _, r := range receivers {
		for _, target := range t.byReceiver[r] {
			if !t.integrations[target].Pages && !slices.Contains(out, target) {
				out = append(out, target)
			}
		}
	}
	return out
}
