package notify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Storm says when a target has heard enough: after so many messages within a
// period, what would be told one by one waits for a digest, of which there is one
// in each period until nothing waits any more. So a target gets at most Messages
// and one digest within any such period, not counting acknowledgements, and what
// ends there in silence: nothing is dropped, and each incident is listed once.
type Storm struct {
	// Messages is how many go out one by one; 0 is no bound.
	Messages int
	Within   time.Duration
	// Lines is how many incidents one digest lists, the most urgent first; the others
	// wait for the next one. 0 is 200, which is also the most.
	Lines int
}

const (
	// digestLines is how many incidents a digest lists at most.
	digestLines = 200
	// pendingGrace is how long after its digest an incident is looked at again, in case
	// that there was none.
	pendingGrace = time.Minute
)

func (s Storm) on() bool { return s.Messages > 0 && s.Within > 0 }

func (s Storm) lines() int {
	if s.Lines <= 0 || s.Lines > digestLines {
		return digestLines
	}
	return s.Lines
}

// counts reports whether messages of an event are what a storm is made of.
func (s Storm) counts(in *Integration, e Event) bool {
	return e == Opened || e == Updated || e == Repeated || e == Resolved && !in.Recognises
}

// Document types in the store.
const (
	// DocumentStorm is how many messages a target has got; the id is the target.
	DocumentStorm = "storm"
	// DocumentPending lists a told document that waits for a digest; the id is
	// TARGET/INCIDENT. The told document is what counts.
	DocumentPending = "storm_pending"
)

// stormState is what is kept of a target.
type stormState struct {
	// Sent are the messages of the latest period.
	Sent []time.Time `json:"sent,omitempty"`
	// Since is when the storm began, and Digest when the next digest is due; zero if
	// there is no storm.
	Since  time.Time `json:"since,omitzero"`
	Digest time.Time `json:"digest,omitzero"`
	// Failures counts the attempts since the latest digest that was sent, the first of
	// which was at FailedSince; the next is at NextTry.
	Failures    int       `json:"failures,omitzero"`
	FailedSince time.Time `json:"failed_since,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// pending lists one incident that waits.
type pending struct {
	Priority string    `json:"priority"`
	At       time.Time `json:"at"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`

	id  incident.ID
	doc incident.Document
}

// waits reports whether the target is told with the next digest.
func (t *told) waits() bool { return t.Hidden != nil && t.Hidden.By == ByStorm }

// stormKey is under which the job of a target's digest is kept.
func stormKey(target string) incident.Key {
	sum := sha256.Sum256([]byte("storm\x00" + target))
	return incident.Key(sum[:16])
}

// isDigest reports whether a job is that of a digest.
func isDigest(l store.Lease) bool { return l.Subject == stormKey(l.Target).String() }

// storm says until when a message waits for a digest, zero if it does not. What
// is told, or hidden by something else, waits no more.
func (w *Worker) storm(ctx context.Context, in *Integration, i *incident.Incident, t *told, d decision, now time.Time) (until time.Time, err error) {
	waits := t.waits()
	switch {
	case waits && (d.hidden != nil || in.Recognises && d.event == Resolved):
		return until, w.unlist(ctx, in.Target(), i.ID)
	case waits:
	case d.event == "" || !in.Storm.counts(in, d.event), t.Failures > 0: // what is tried again was counted before
		return until, nil
	}
	begins, overdue := false, time.Time{}
	err = w.editStorm(ctx, in.Target(), func(s *stormState) bool {
		s.Sent = slices.DeleteFunc(s.Sent, func(at time.Time) bool { return !at.After(now.Add(-in.Storm.Within)) })
		if begins = s.Digest.IsZero(); !begins {
			until, overdue = s.Digest, later(s.Digest, s.NextTry).Add(pendingGrace/2)
			return false
		}
		if !waits && len(s.Sent) < in.Storm.Messages {
			s.Sent, until, begins = append(s.Sent, now), time.Time{}, false
			return true
		}
		s.Since, s.Digest, s.NextTry = now, now.Add(in.Storm.Within), time.Time{}
		if waits { // its digest is overdue
			s.Digest = now
		}
		until = s.Digest
		return true
	})
	if err != nil || until.IsZero() {
		return until, err
	}
	if begins || now.After(overdue) { // the job may have got lost when the storm began
		err = w.armDigest(ctx, in.Target(), until)
	}
	return until, err
}

// wait notes that an incident waits for the digest, and looks at it again if that
// does not come.
func (w *Worker) wait(ctx context.Context, l store.Lease, in *Integration, i *incident.Incident, t *told, until, now time.Time) error {
	if err := w.list(ctx, in.Target(), i, now); err != nil {
		return err
	}
	h := Hidden{ByStorm, fmt.Sprintf("more than %d messages within %s; the next digest lists it", in.Storm.Messages, in.Storm.Within), until.UTC()}
	if !t.waits() || t.Hidden.Text != h.Text || !t.Hidden.Until.Equal(h.Until) {
		if !t.waits() {
			t.log(Attempt{At: now, Result: "hidden", Text: h.By + ": " + h.Text})
			w.metrics.hidden.WithLabelValues(h.By).Inc()
		}
		t.Hidden = &h
		err := w.keepOnce(ctx, toldID(i.ID, l.Target), t)
		if errors.Is(err, incident.ErrConflict) {
			return w.store.Retry(ctx, l, now.Add(time.Second), "a digest has just told of it")
		}
		if err != nil {
			return err
		}
	}
	return w.next(ctx, l, later(until, now).Add(pendingGrace))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// editStorm changes what is kept of a target; change reports whether it did.
func (w *Worker) editStorm(ctx context.Context, target string, change func(*stormState) bool) error {
	for {
		s, version, err := w.stormOf(ctx, target)
		if err != nil || !change(s) {
			return err
		}
		data, err := json.Marshal(s)
		if err != nil {
			return err // unreachable: it always encodes
		}
		if _, err = w.store.PutDocument(ctx, incident.Document{Type: DocumentStorm, ID: target, Version: version, Data: data}); !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (w *Worker) stormOf(ctx context.Context, target string) (s *stormState, version uint64, err error) {
	s = &stormState{}
	d, err := w.store.Document(ctx, DocumentStorm, target)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return s, 0, nil
	case err != nil:
		return nil, 0, err
	}
	if err := json.Unmarshal(d.Data, s); err != nil {
		return nil, 0, fmt.Errorf("notify: storm of %s: %w", target, err)
	}
	return s, d.Version, nil
}

// armDigest arms the job of a digest, which no incident has.
func (w *Worker) armDigest(ctx context.Context, target string, due time.Time) error {
	key := stormKey(target)
	job := incident.Job{Subject: key.String(), Kind: incident.JobNotify, Target: target, Due: due, NoLater: true}
	return w.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Jobs: []incident.Job{job}}, nil
	}}})
}

func pendingID(target string, id incident.ID) string { return target + "/" + id.String() }

// list puts an incident among those that wait.
func (w *Worker) list(ctx context.Context, target string, i *incident.Incident, now time.Time) error {
	for {
		d, err := w.store.Document(ctx, DocumentPending, pendingID(target, i.ID))
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
		var p pending
		if err == nil && json.Unmarshal(d.Data, &p) == nil && p.Priority == i.Priority {
			return nil
		}
		d.Type, d.ID = DocumentPending, pendingID(target, i.ID)
		if d.Data, err = json.Marshal(pending{Priority: i.Priority, At: now}); err != nil {
			return err // unreachable: it always encodes
		}
		if _, err = w.store.PutDocument(ctx, d); !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// unlist takes an incident away from those that wait.
func (w *Worker) unlist(ctx context.Context, target string, id incident.ID) error {
	d, err := w.store.Document(ctx, DocumentPending, pendingID(target, id))
	if errors.Is(err, incident.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.drop(ctx, d)
}

// drop deletes a document, unless somebody has changed it.
func (w *Worker) drop(ctx context.Context, d incident.Document) error {
	d.Data = nil
	if _, err := w.store.PutDocument(ctx, d); err != nil && !errors.Is(err, incident.ErrConflict) {
		return err
	}
	return nil
}
