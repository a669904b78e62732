package mute

import (
	"context"

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
