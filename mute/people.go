package mute

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// byPeople says what people hid of this one incident: they snoozed it, or merged it
// into another one, of which everybody is told in its place while that is open.
func (a *All) byPeople(ctx context.Context, i *incident.Incident, now time.Time) (notify.Hidden, bool, error) {
	if until, snoozed := i.Snoozed(now); snoozed {
		return notify.Hidden{By: notify.BySnooze, Text: "snoozed by " + notify.Line(i.Proceedings().Snooze.By), Until: until}, true, nil
	}
	into := i.Proceedings().MergedInto
	if into.IsZero() {
		return notify.Hidden{}, false, nil
	}
	parent, err := a.Store.Incident(ctx, into.String())
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return notify.Hidden{}, false, nil
	case err != nil:
		return notify.Hidden{}, false, err
	case !parent.IsOpen():
		return notify.Hidden{}, false, nil
	}
	return notify.Hidden{By: notify.ByMerge, Text: "merged into " + parent.Reference}, true, nil
}
