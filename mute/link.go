package mute

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Link makes one incident a child of another, and says so in both timelines. It
// is two writes: the parent's first, so that what a crash leaves half done is done
// again by the next one who finds the child without a parent. Doing it again
// changes nothing. Why is what holds the child. Of both, the id, the reference and
// the parent have to be known.
func Link(ctx context.Context, st Store, child, parent *incident.Incident, why string) error {
	if err := edit(ctx, st, parent.ID, func(e *incident.Edit) { e.LinkChild(child) }); err != nil {
		return err
	}
	return edit(ctx, st, child.ID, func(e *incident.Edit) { e.Link(parent, why) })
}

// Unlink makes a child one of its own again, if the incident that it depended on is over.
func Unlink(ctx context.Context, st Store, child *incident.Incident) error {
	parent, err := st.Incident(ctx, child.Parent.String())
	if err != nil && !errors.Is(err, incident.ErrNotFound) || err == nil && parent.IsOpen() {
		return err // still open: what is known of the open ones was not new enough
	}
	return edit(ctx, st, child.ID, func(e *incident.Edit) {
		if e.Incident.Parent == child.Parent {
			e.Unlink()
		}
	})
}

// edit changes an incident, if it still exists.
func edit(ctx context.Context, st Store, id incident.ID, change func(*incident.Edit)) error {
	return st.Update(ctx, []incident.Change{{ID: uuid.New(), Incident: id, Step: func(state incident.State) (incident.Next, error) {
		var next incident.Next
		if state.Incident == nil {
			return next, nil
		}
		e := incident.Policy{}.Change(state.Incident, state.Now)
		if change(e); e.Changed() {
			e.Into(&next)
		}
		return next, nil
	}}})
}
