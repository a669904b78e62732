package incident

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Find records what people found out: the texts of f that are not empty, and Whys
// if there are any. What is empty stays as it is.
func (e *Edit) Find(by string, f Findings, comment string) error {
	if len(f.Whys) > whysKept {
		return &FieldError{"whys", fmt.Sprintf("more than %d", whysKept)}
	}
	p := e.Process()
	if f.Workaround != "" && f.Workaround != p.Findings.Workaround {
		p.Findings.WorkaroundRemoved = time.Time{} // that was another one
	}
	to, from := reflect.ValueOf(&p.Findings).Elem(), reflect.ValueOf(f)
	var said []string
	for n := range from.NumField() {
		if from.Type().Field(n).Type.Kind() != reflect.String || from.Field(n).String() == "" || from.Field(n).String() == to.Field(n).String() {
			continue
		}
		to.Field(n).Set(from.Field(n))
		name, _, _ := strings.Cut(from.Type().Field(n).Tag.Get("json"), ",")
		said = append(said, roleName(name)+": "+from.Field(n).String())
	}
	if len(f.Whys) > 0 && !reflect.DeepEqual(f.Whys, p.Findings.Whys) {
		p.Findings.Whys = f.Whys
		said = append(said, "why: "+strings.Join(f.Whys, " ← "))
	}
	if len(said) == 0 {
		return nil
	}
	e.takesPart(by)
	e.Log(by, "found", withComment(strings.Join(said, "\n"), comment), 0)
	return nil
}

// RemoveWorkaround says that what helped meanwhile is gone again.
func (e *Edit) RemoveWorkaround(by, comment string) error {
	p := e.Process()
	switch {
	case p.Findings.Workaround == "":
		return &FieldError{"workaround", "there is none"}
	case !p.Findings.WorkaroundRemoved.IsZero():
		return nil
	}
	p.Findings.WorkaroundRemoved = e.now
	e.Log(by, "workaround_removed", withComment("the workaround is removed", comment), 0)
	return nil
}

// Suspect records a likely cause, or what became of one: its state is one of CauseStates.
func (e *Edit) Suspect(by, text, state, comment string) error {
	p := e.Process()
	c := LikelyCause{Text: text, State: state, By: by, At: e.now}
	say := func() { e.Log(by, "cause", withComment(roleName(state)+": "+text, comment), 0) }
	for n := range p.Findings.Causes {
		if k := &p.Findings.Causes[n]; k.Text == text {
			if k.State != state {
				*k = c
				say()
			}
			return nil
		}
	}
	if len(p.Findings.Causes) >= causesKept {
		return &FieldError{"text", fmt.Sprintf("it has %d likely causes already", causesKept)}
	}
	p.Findings.Causes = append(p.Findings.Causes, c)
	say()
	return nil
}

// Plan adds something that is to be done.
func (e *Edit) Plan(a Action, comment string) error {
	p := e.Process()
	if len(p.Actions) >= actionsKept {
		return &FieldError{"text", fmt.Sprintf("it has %d actions already", actionsKept)}
	}
	for _, known := range p.Actions {
		if known.Text == a.Text && known.Owner == a.Owner && known.Due.Equal(a.Due) {
			return nil // sent twice
		}
	}
	a.ID = 1
	if n := len(p.Actions); n > 0 {
		a.ID = p.Actions[n-1].ID + 1
	}
	a.At, a.DoneAt, a.DoneBy, a.Reminded = e.now, time.Time{}, "", time.Time{}
	p.Actions = append(p.Actions, a)
	until := ""
	if !a.Due.IsZero() {
		until = " until " + a.Due.UTC().Format(time.RFC3339)
	}
	e.Log(a.By, "action", withComment(fmt.Sprintf("%s %d for %s%s: %s", a.word(), a.ID, a.Owner, until, a.Text), comment), 0)
	return nil
}

// Complete says that an action is done.
func (e *Edit) Complete(by string, id uint64, comment string) error {
	p := e.Process()
	for n := range p.Actions {
		a := &p.Actions[n]
		switch {
		case a.ID != id:
		case !a.DoneAt.IsZero():
			return nil
		default:
			a.DoneAt, a.DoneBy = e.now, by
			e.Log(by, "action_done", withComment(fmt.Sprintf("%s %d is done: %s", a.word(), id, a.Text), comment), 0)
			return nil
		}
	}
	return &FieldError{"action", fmt.Sprintf("there is no action %d", id)}
}

// Correct sets the times of the outage as a person knows them better. A zero time
// stays as it is. It counts for the outage, which is measured when the incident is
// closed; the alerts' own times stay.
func (e *Edit) Correct(by string, to Corrected, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"correct the times of", i.State}
	}
	p := e.Process()
	next := p.Corrected
	var said []string
	set := func(name string, at time.Time, field *time.Time) {
		if !at.IsZero() && !at.Equal(*field) {
			*field = at
			said = append(said, name+" at "+at.UTC().Format(time.RFC3339))
		}
	}
	set("went down", to.WentDown, &next.WentDown)
	set("restored", to.Restored, &next.Restored)
	if len(said) == 0 {
		return nil
	}
	down := next.WentDown
	if down.IsZero() {
		down = i.wentDown()
	}
	switch {
	case next.WentDown.After(e.now):
		return &FieldError{"went_down", "lies in the future"}
	case !to.WentDown.IsZero() && next.WentDown.Before(i.OpenedAt.Add(-farOff)): // as for what senders say
		return &FieldError{"went_down", "is more than a year before it was opened, at " + i.OpenedAt.UTC().Format(time.RFC3339)}
	case next.Restored.After(e.now):
		return &FieldError{"restored", "lies in the future"}
	case !next.Restored.IsZero() && next.Restored.Before(down):
		return &FieldError{"restored", "is before it went down, at " + down.UTC().Format(time.RFC3339)}
	case !i.ResolvedAt.IsZero() && next.Restored.IsZero() && down.After(i.ResolvedAt):
		return &FieldError{"went_down", "is after it was resolved, at " + i.ResolvedAt.UTC().Format(time.RFC3339)}
	}
	p.Corrected = next
	e.Log(by, "corrected", withComment(strings.Join(said, ", "), comment), 0)
	return nil
}
