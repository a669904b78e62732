package notify

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// rearmedAtOnce is how many incidents are armed in one commit.
const rearmedAtOnce = 100

// Rearming is the part of the store that Rearm needs.
type Rearming interface {
	Incidents(ctx context.Context, q store.Query) ([]*incident.Incident, string, error)
	Update(ctx context.Context, changes []incident.Change) error
}

// Rearm has every target look again at each incident that is not closed, at the
// given time, because what hid messages is over before it said it would be. A job
// that was due at another time is due then, even if that is later: what looked
// just now may still have seen what hid them. It may be called again if it fails.
func Rearm(ctx context.Context, st Rearming, due time.Time) error {
	q := store.Query{States: []string{incident.Open, incident.Acknowledged, incident.Resolved}, Limit: rearmedAtOnce}
	for {
		list, next, err := st.Incidents(ctx, q)
		if err != nil {
			return err
		}
		for len(list) > 0 {
			var changes []incident.Change
			if changes, list = rearm(list, due); len(changes) == 0 {
				break
			}
			if err := st.Update(ctx, changes); err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}

// rearm makes one change for each key, and returns the incidents that share
// theirs with one before: they are for the next commit.
func rearm(list []*incident.Incident, due time.Time) (changes []incident.Change, rest []*incident.Incident) {
	taken := map[incident.Key]bool{}
	for _, i := range list {
		switch {
		case len(i.Told) == 0:
			continue
		case taken[i.Key]:
			rest = append(rest, i)
			continue
		}
		taken[i.Key] = true
		changes = append(changes, incident.Change{ID: uuid.New(), Key: i.Key, Incident: i.ID, Step: func(st incident.State) (next incident.Next, _ error) {
			if st.Incident == nil {
				return next, nil
			}
			for _, target := range st.Incident.Told {
				next.Jobs = append(next.Jobs, incident.Job{Subject: i.ID.String(), Kind: incident.JobNotify, Target: target, Due: due})
			}
			return next, nil
		}})
	}
	return changes, rest
}
