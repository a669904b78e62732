package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Undelivered is a message that was given up.
type Undelivered struct {
	Incident  incident.ID `json:"incident"`
	Reference string      `json:"reference"`
	Target    string      `json:"target"`
	At        time.Time   `json:"at"`
	Error     string      `json:"error"`
}

// mark lists a told document as undelivered, or takes it off the list (nil).
func (w *Worker) mark(ctx context.Context, id string, u *Undelivered) error {
	for {
		d, err := w.store.Document(ctx, DocumentUndelivered, id)
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
		if err != nil && u == nil {
			return nil
		}
		d.Type, d.ID, d.Data = DocumentUndelivered, id, nil
		if u != nil {
			if d.Data, err = json.Marshal(u); err != nil {
				return err // unreachable: it always encodes
			}
		}
		if _, err = w.store.PutDocument(ctx, d); !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Undelivered lists messages that were given up, after the given id; next is
// where to go on, empty at the end.
func (w *Worker) Undelivered(ctx context.Context, after string, limit int) (list []Undelivered, next string, err error) {
	docs, err := w.store.Documents(ctx, DocumentUndelivered, after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, d := range docs {
		var u Undelivered
		if err := json.Unmarshal(d.Data, &u); err != nil {
			return nil, "", fmt.Errorf("notify: %s: %w", d.ID, err)
		}
		list = append(list, u)
		next = d.ID
	}
	if len(docs) < limit {
		next = ""
	}
	return list, next, nil
}

// Again tries a message that was given up, as the incident is now.
func (w *Worker) Again(ctx context.Context, id incident.ID, target string) error {
	name := toldID(id, target)
	for {
		t, err := w.told(ctx, name)
		if err != nil {
			return err
		}
		if !t.GivenUp {
			return fmt.Errorf("%s has nothing undelivered of this incident: %w", target, incident.ErrNotFound)
		}
		t.Failures, t.FailedSince, t.GivenUp = 0, time.Time{}, false
		if err = w.keepOnce(ctx, name, t); err == nil {
			break
		}
		if !errors.Is(err, incident.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
	if err := w.mark(ctx, name, nil); err != nil {
		return err
	}
	return w.arm(ctx, id, incident.Job{Subject: id.String(), Kind: incident.JobNotify, Target: target, Due: w.store.Now(), NoLater: true})
}

// Notification is what one target knows of an incident.
type Notification struct {
	Target string `json:"target"`
	// Told is when it was told last, zero if never, and State what it was told then.
	ToldAt time.Time `json:"told_at,omitzero"`
	State  string    `json:"state,omitzero"`
	Sent   int       `json:"sent"`
	// Failures are the attempts that failed since.
	Failures int     `json:"failures"`
	GivenUp  bool    `json:"given_up"`
	Hidden   *Hidden `json:"hidden,omitempty"`
	// Attempts are the latest, oldest first.
	Attempts []Attempt `json:"attempts"`
}

// Notifications lists what each target knows of an incident, or of a notice.
func (w *Worker) Notifications(ctx context.Context, subject string) ([]Notification, error) {
	out := []Notification{}
	err := w.eachTold(ctx, subject, func(d incident.Document) error {
		var t told
		if err := json.Unmarshal(d.Data, &t); err != nil {
			return fmt.Errorf("notify: %s: %w", d.ID, err)
		}
		_, target, _ := strings.Cut(d.ID, "/")
		n := Notification{Target: target, ToldAt: t.At, State: t.State, Sent: t.Sent, Failures: t.Failures, GivenUp: t.GivenUp, Hidden: t.Hidden, Attempts: t.Attempts}
		if n.Attempts == nil {
			n.Attempts = []Attempt{}
		}
		out = append(out, n)
		return nil
	})
	return out, err
}

// Told are the targets that know of a notice, or may: we may not have heard that they
// took it.
func (w *Worker) Told(ctx context.Context, subject string) (targets []string, err error) {
	err = w.eachTold(ctx, subject, func(d incident.Document) error {
		var t told
		if err := json.Unmarshal(d.Data, &t); err != nil {
			return fmt.Errorf("notify: %s: %w", d.ID, err)
		}
		if _, target, _ := strings.Cut(d.ID, "/"); t.Sent > 0 || t.Tried {
			targets = append(targets, target)
		}
		return nil
	})
	return targets, err
}

// Forget removes what targets know of an incident, or of a notice, that is gone.
func (w *Worker) Forget(ctx context.Context, subject string) error {
	return w.eachTold(ctx, subject, func(d incident.Document) error {
		d.Data = nil
		if _, err := w.store.PutDocument(ctx, d); err != nil && !errors.Is(err, incident.ErrConflict) {
			return err
		}
		return w.mark(ctx, d.ID, nil)
	})
}

// toldAtOnce is how many documents are read at once.
const toldAtOnce = 100

func (w *Worker) eachTold(ctx context.Context, subject string, do func(incident.Document) error) error {
	prefix := subject + "/"
	for after := prefix; ; {
		docs, err := w.store.Documents(ctx, DocumentTold, after, toldAtOnce)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if !strings.HasPrefix(d.ID, prefix) {
				return nil
			}
			if err := do(d); err != nil {
				return err
			}
			after = d.ID
		}
		if len(docs) < toldAtOnce {
			return nil
		}
	}
}
