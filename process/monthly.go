package process

import (
	"cmp"
	"time"
)

const (
	// reportDay is the business day on which people are reminded of the monthly report,
	// and lastReportDay the last that every month has.
	reportDay, lastReportDay = 2, 15
	// remindedFor is how late a reminder may be, because no gateway ran: after that it
	// is none of the month that just ended.
	remindedFor = 7 * 24 * time.Hour
)

func (k *compiler) monthly() {
	m := k.c.MonthlyReport
	k.reaches(".monthly_report.remind", m.Remind)
	if m.BusinessDay < 0 || m.BusinessDay > lastReportDay {
		k.wrong(".monthly_report.business_day", "%d is not between 1 and %d; write 2 for the second business day", m.BusinessDay, lastReportDay)
	}
	m.BusinessDay = cmp.Or(m.BusinessDay, reportDay)
	k.g.monthly = m
}

// MonthlyReminder is when somebody is reminded of the report of a month.
type MonthlyReminder struct {
	// Month is its first moment.
	Month time.Time
	// Due is when, and Until is after when it comes too late.
	Due, Until time.Time
}

// MonthlyReminders are those of the month that ended last, if it does not come too
// late, and of the one that is on. None if nobody is reminded.
func (g *Guide) MonthlyReminders(now time.Time) []MonthlyReminder {
	if len(g.monthly.Remind) == 0 {
		return nil
	}
	var out []MonthlyReminder
	here := now.In(g.calendar.Zone())
	for _, back := range []int{1, 0} {
		month := time.Date(here.Year(), here.Month()-time.Month(back), 1, 0, 0, 0, 0, here.Location())
		due := g.calendar.AddBusinessDays(month.AddDate(0, 1, 0), g.monthly.BusinessDay-1)
		if r := (MonthlyReminder{month, due, due.Add(remindedFor)}); r.Until.After(now) {
			out = append(out, r)
		}
	}
	return out
}

// Zone is the time zone of the calendar.
func (g *Guide) Zone() *time.Location { return g.calendar.Zone() }

// RemindedMonthly are the contacts, rotas and receivers that are reminded.
func (g *Guide) RemindedMonthly() []string { return g.monthly.Remind }

// Reach are the receivers of contacts, rotas and receivers at a time, each once.
func (g *Guide) Reach(names []string, now time.Time) []string { return g.reachAll(names, now) }
