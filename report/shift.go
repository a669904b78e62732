package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Watch is what the next shift has to know.
type Watch struct {
	// Since is when the shift before began.
	Since time.Time
	// Open are the open incidents, in any order.
	Open []*incident.Incident
	// Resolved are those that are over and not closed, in any order.
	Resolved []*incident.Incident
	// Happened is what happened since, in any order.
	Happened []Event
	// Duties are those that are due next, and NoProcess: nothing wants any.
	Duties    []Due
	NoProcess bool
	// Hidden are open incidents of which nobody is told now.
	Hidden []Hidden
	// LeftOut say what was not looked at.
	LeftOut []string
}

// Event is an entry of the timeline of an incident.
type Event struct {
	Incident *incident.Incident
	Entry    incident.TimelineEntry
}

// Due is a duty of an incident.
type Due struct {
	Incident *incident.Incident
	Duty     Duty
}

// Hidden is an incident of which nobody is told, why, and until when.
type Hidden struct {
	Incident *incident.Incident
	// By is the kind of what hides it, such as silence, and Text which one.
	By, Text string
	Until    time.Time
}

// Shift is the brief for whoever comes on duty.
func Shift(w Watch, v View) *Document {
	b := newBuilder(v, KindShift, "Shift brief", "")
	b.doc.Subtitle = "since " + moment(*orZero(stamp(w.Since)), b.view.Zone)
	for _, text := range w.LeftOut {
		b.notice(text)
	}
	b.section("open", "Open incidents, the most urgent first", "")
	open := urgentFirst(w.Open)
	t := b.table("None is open.", "reference", "Reference", "priority", "Priority", "severity", "Severity", "state", "State", "title", "Incident", "since", "Open for", "working", "Who works on it", "forecast", "Latest update")
	for _, i := range open {
		t.add(ref(i), Value{Text: i.Priority}, Value{Text: i.Severity}, Value{Text: i.State + ", " + i.Phase}, Value{Text: i.Title, Note: i.Service},
			lasting(v.Now.Sub(i.OpenedAt), "opened_at"), workers(i), b.latest(i))
	}

	b.section("duties", "Duties that are due next", "")
	empty := "Nothing is due."
	if w.NoProcess {
		empty = "No process is configured that wants something."
	}
	t = b.table(empty, "due", "Due", "reference", "Reference", "name", "Duty", "text", "What")
	duties := slices.Clone(w.Duties)
	slices.SortStableFunc(duties, func(a, b Due) int { return a.Duty.Due.Compare(b.Duty.Due) })
	for _, d := range duties {
		t.add(b.due(d.Duty.Due), ref(d.Incident), Value{Text: words(d.Duty.Name), Field: "process.duties"}, Value{Text: d.Duty.Text})
	}

	b.section("tasks", "Tasks that are not done", "")
	t = b.table("None is open.", "reference", "Reference", "task", "Task", "owner", "Who", "due", "Due", "state", "State")
	for _, i := range open {
		for _, a := range i.Proceedings().Tasks() {
			if a.DoneAt.IsZero() {
				t.add(ref(i), Value{Text: a.Text, Field: "process.actions"}, Value{Text: a.Owner}, b.time(a.Due, ""), b.stateOf(&a))
			}
		}
	}

	b.section("signatures", "Updates that wait for a signature", "")
	t = b.table("None waits.", "reference", "Reference", "id", "#Update", "by", "By", "at", "Since", "what", "What")
	for _, i := range append(open, urgentFirst(w.Resolved)...) {
		for _, u := range i.Proceedings().Updates {
			if u.Waits() {
				t.add(ref(i), Value{Text: decimal(u.ID), Field: "process.updates"}, Value{Text: u.By}, b.time(u.At, ""), Value{Text: u.What})
			}
		}
	}

	b.section("hidden", "Hidden: of these nobody is told now", "")
	t = b.table("None is hidden.", "reference", "Reference", "title", "Incident", "by", "Hidden by", "text", "Which", "until", "Until")
	for _, h := range w.Hidden {
		t.add(ref(h.Incident), Value{Text: h.Incident.Title}, Value{Text: words(h.By)}, Value{Text: h.Text}, b.time(h.Until, ""))
	}

	b.section("happened", "What happened", "")
	t = b.table("Nothing.", "at", "When", "reference", "Reference", "who", "Who", "text", "What")
	happened := slices.Clone(w.Happened)
	slices.SortStableFunc(happened, func(a, b Event) int { return a.Entry.RecordedAt.Compare(b.Entry.RecordedAt) })
	for _, e := range happened {
		at := b.time(e.Entry.At, "")
		if e.Entry.Late {
			at.Note = "late"
		}
		t.add(at, ref(e.Incident), who(&e.Entry), Value{Text: e.Entry.Text, Entry: e.Entry.Seq})
	}
	return b.finish()
}

// ref is the reference of an incident, marked if it is an exercise.
func ref(i *incident.Incident) Value {
	v := Value{Text: i.Reference, Field: "reference"}
	if i.Drill {
		v.Note = "exercise"
	}
	return v
}

// urgentFirst orders by priority, what nobody has taken before what somebody has,
// and the oldest first. An exercise comes after what is real.
func urgentFirst(list []*incident.Incident) []*incident.Incident {
	list = slices.Clone(list)
	rank := func(i *incident.Incident) int {
		if n := slices.Index(incident.Priorities(), i.Priority); n >= 0 {
			return n
		}
		return len(incident.Priorities())
	}
	number := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b *incident.Incident) int {
		return cmp.Or(number(a.Drill)-number(b.Drill), rank(a)-rank(b), number(a.State != incident.Open)-number(b.State != incident.Open),
			a.OpenedAt.Compare(b.OpenedAt), strings.Compare(a.Reference, b.Reference))
	})
	return list
}

// workers are those who work on it now, else who has it.
func workers(i *incident.Incident) Value {
	var list []string
	for _, w := range i.Proceedings().Working {
		text := w.Who
		if w.On != "" {
			text += " (" + w.On + ")"
		}
		list = append(list, text)
	}
	if len(list) > 0 {
		return plain(strings.Join(list, ", "), "process.working")
	}
	if manager := i.Roles[incident.RoleManager]; manager != "" {
		return plain(manager, "roles."+incident.RoleManager).noted("incident manager")
	}
	if i.AcknowledgedBy != "" {
		return plain(i.AcknowledgedBy, "acknowledged_by").noted("acknowledged it")
	}
	return plain("nobody", "process.working")
}

// latest is the latest status update that went out.
func (b *builder) latest(i *incident.Incident) Value {
	u := i.Proceedings().LastUpdate()
	if u == nil {
		return Value{Text: "none", Field: "process.updates"}
	}
	text := u.What
	if u.Forecast != "" {
		text += "\nforecast: " + u.Forecast
	}
	return plain(text, "process.updates").noted(fmt.Sprintf("%s ago", spell(b.view.Now.Sub(u.OutAt()))))
}
