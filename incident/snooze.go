package incident

import (
	"fmt"
	"time"
)

// JobSnooze ends a snooze.
const JobSnooze = "snooze"

// SnoozeAtMost is the longest snooze: nobody forgets an incident for longer.
const SnoozeAtMost = 30 * 24 * time.Hour

// snoozeGrace is how much longer than its end a snooze hides, so that what tells of
// the end comes first.
const snoozeGrace = 5 * time.Second

// Snooze hides what there is to tell of an incident, from everybody, and nothing
// else of it.
type Snooze struct {
	Until time.Time `json:"until"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
}

// Snoozed says until when messages about i are hidden; ok is false if they are not.
func (i *Incident) Snoozed(now time.Time) (until time.Time, ok bool) {
	s := i.Proceedings().Snooze
	if s == nil {
		return time.Time{}, false
	}
	until = s.Until.Add(snoozeGrace)
	return until, now.Before(until)
}

// Snooze hides messages until a time, in whole milliseconds. A later word replaces an
// earlier one.
func (e *Edit) Snooze(by string, until time.Time, comment string) error {
	i := e.Incident
	switch {
	case !i.IsOpen():
		return &StateError{"snooze", i.State}
	case !until.After(e.now):
		return &FieldError{"until", "is not in the future"}
	case until.After(e.now.Add(SnoozeAtMost)):
		return &FieldError{"until", fmt.Sprintf("is more than %d days away", SnoozeAtMost/(24*time.Hour))}
	}
	until = until.Truncate(time.Millisecond) // as jobs come, so that the one that ends it does not come before
	p := e.Process()
	if p.Snooze != nil && p.Snooze.Until.Equal(until) {
		return nil
	}
	p.Snooze = &Snooze{Until: until, By: by, At: e.now}
	e.arm(JobSnooze, until)
	e.Log(by, "snoozed", withComment("nobody is told before "+until.UTC().Format("2006-01-02 15:04:05 UTC"), comment), 0)
	return nil
}

// SnoozeFor is Snooze for so long from now. To ask for the same again within a
// minute changes nothing.
func (e *Edit) SnoozeFor(by string, d time.Duration, comment string) error {
	until := e.now.Add(d).Truncate(time.Second)
	if s := e.Incident.Proceedings().Snooze; s != nil && s.By == by && e.now.Sub(s.At) < sentTwice && until.Sub(s.Until) < sentTwice && !s.Until.After(until) {
		return nil
	}
	return e.Snooze(by, until, comment)
}

// Unsnooze ends a snooze early.
func (e *Edit) Unsnooze(by, comment string) error {
	if e.Incident.Proceedings().Snooze == nil {
		return nil
	}
	e.arm(JobSnooze, time.Time{})
	e.wake(by, withComment("the snooze is taken back", comment))
	return nil
}

// EndSnooze ends a snooze whose time is over. Those who are told hear what there is
// to tell.
func (e *Edit) EndSnooze() {
	s := e.Incident.Proceedings().Snooze
	if s == nil || e.now.Before(s.Until) {
		return
	}
	e.wake(System, "the snooze is over")
}

// wake ends a snooze.
func (e *Edit) wake(by, text string) {
	i := e.Incident
	e.Process().Snooze = nil
	if n := i.Alerts.Firing; n > 0 {
		text += fmt.Sprintf("; firing: %d", n)
	}
	e.tell(urgentNews)
	e.Log(by, "snooze_over", text, i.Alerts.Firing)
}
