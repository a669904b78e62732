package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Document types in the store.
const (
	// DocumentTold is what one target has been told of one incident; the id is
	// INCIDENT/TARGET.
	DocumentTold = "told"
	// DocumentUndelivered marks a told document whose message was given up.
	DocumentUndelivered = "undelivered"
)

// attemptsKept bounds the attempts that a document lists.
const attemptsKept = 20

// told is what a target knows of an incident.
type told struct {
	// State, Cycle and Seq are what it was told last: the incident's state, the number
	// of the cycle that it believes is on, or over, and how much of the timeline.
	State string `json:"state,omitzero"`
	Cycle int    `json:"cycle,omitzero"`
	Seq   uint64 `json:"seq,omitzero"`
	// Tried: it was to be told of a problem that it does not seem to know. It may
	// know of it, as we may have ended, or not have heard, when it took the message.
	Tried bool      `json:"tried,omitzero"`
	At    time.Time `json:"at,omitzero"`
	// Sent counts its messages.
	Sent   int    `json:"sent,omitzero"`
	Memory Memory `json:"memory,omitempty"`
	// Failures counts the attempts since the latest success, the first of which was
	// at FailedSince; GivenUp says that there will be no more of them.
	Failures    int       `json:"failures,omitzero"`
	FailedSince time.Time `json:"failed_since,omitzero"`
	GivenUp     bool      `json:"given_up,omitzero"`
	// Hidden is what hides it now.
	Hidden *Hidden `json:"hidden,omitempty"`
	// Remark is said with the next message: why this target is told at all.
	Remark string `json:"remark,omitzero"`
	// Detail is how much it was told last.
	Detail   string    `json:"detail,omitzero"`
	Attempts []Attempt `json:"attempts,omitempty"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`

	version uint64
	// stored is how it was read, or kept last.
	stored []byte
}

// Attempt is one attempt to tell a target, or why there was none.
type Attempt struct {
	At    time.Time `json:"at"`
	Event Event     `json:"event,omitzero"`
	// Result is sent, failed, given_up or hidden.
	Result string `json:"result"`
	// Text is what failed, or what hid it.
	Text string `json:"text,omitzero"`
	// Templates names those that failed.
	Templates string `json:"templates,omitzero"`
	// Took is how long the target took, in seconds.
	Took float64 `json:"took_seconds,omitzero"`
}

// fresh reports whether the target believes that nothing is wrong.
func (t *told) fresh() bool { return t.At.IsZero() || t.State == incident.Resolved }

// begins notes which cycle a target is told of that knows of none.
func (t *told) begins(i *incident.Incident) {
	if t.fresh() && !t.Tried {
		t.Cycle = i.Reopens
	}
}

// is notes what the target believes of the incident: its state, and the cycle.
// Until it has heard of an end, it knows of no other cycle than the one before.
func (t *told) is(i *incident.Incident) {
	t.begins(i)
	t.Tried = false
	if t.State = i.State; !i.IsOpen() {
		t.State = incident.Resolved
	}
}

func (t *told) log(a Attempt) {
	a.At = a.At.UTC().Truncate(time.Millisecond)
	if t.Attempts = append(t.Attempts, a); len(t.Attempts) > attemptsKept {
		t.Attempts = t.Attempts[len(t.Attempts)-attemptsKept:]
	}
}

func toldID(id incident.ID, target string) string { return id.String() + "/" + target }

func (w *Worker) told(ctx context.Context, id string) (*told, error) {
	d, err := w.store.Document(ctx, DocumentTold, id)
	t := &told{}
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return t, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(d.Data, t); err != nil {
		return nil, fmt.Errorf("notify: %s: %w", id, err)
	}
	t.version, t.stored = d.Version, d.Data
	return t, nil
}

// What keep does if somebody else has written meanwhile.
const (
	unlessOvertaken = false
	evenIfOvertaken = true
)

// keep stores what a target knows. Nobody else writes it while the job is leased, but
// for a remark of another target; then the change is made again. If somebody did all
// the same, the lease was over, and what is to be stored goes by what was true then:
// it is overtaken, and stored only if that is to be so anyway.
func (w *Worker) keep(ctx context.Context, id string, t *told, anyway bool) (overtaken bool, err error) {
	for {
		if err := w.keepOnce(ctx, id, t); !errors.Is(err, incident.ErrConflict) {
			return overtaken, err
		}
		other, err := w.told(ctx, id)
		if err != nil {
			return overtaken, err
		}
		if !sameButRemark(t.stored, other.stored) {
			if overtaken = true; !anyway {
				return overtaken, nil
			}
			if t.Memory == nil {
				t.Memory = other.Memory
			}
		}
		t.version, t.stored = other.version, other.stored
		if other.Remark != "" {
			t.Remark = other.Remark
		}
		if err := ctx.Err(); err != nil {
			return overtaken, err
		}
	}
}

// sameButRemark compares two stored forms.
func sameButRemark(a, b []byte) bool {
	var of [2]told
	for n, data := range [][]byte{a, b} {
		if err := json.Unmarshal(data, &of[n]); err != nil && len(data) > 0 {
			return false // unreachable: both were read or written by us
		}
		of[n].Remark = ""
	}
	return reflect.DeepEqual(of[0], of[1])
}

// keepOnce is keep for what somebody else may write as well: then it returns
// incident.ErrConflict.
func (w *Worker) keepOnce(ctx context.Context, id string, t *told) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err // unreachable: it always encodes
	}
	version, err := w.store.PutDocument(ctx, incident.Document{Type: DocumentTold, ID: id, Version: t.version, Data: data})
	if err == nil {
		t.version, t.stored = version, data
	}
	return err
}
