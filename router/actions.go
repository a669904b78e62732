package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
)

// ConflictError says that the incident is not as the caller thought.
type ConflictError struct {
	// Current is the incident as it is.
	Current *incident.Incident
	Reason  string
	// Missing is what has to be done first, if that is the reason.
	Missing []incident.Requirement
}

func (e *ConflictError) Error() string { return e.Reason }

// Is makes it an incident.ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == incident.ErrConflict }

// InputError says which field of a request is wrong.
type InputError struct{ Field, Reason string }

func (e *InputError) Error() string { return e.Field + ": " + e.Reason }

// Terms are those on which somebody changes an incident.
type Terms struct {
	// Version, if not 0, must be the incident's.
	Version uint64
	// Message, if not empty, identifies what is said, which may come again: then it
	// changes nothing, whatever has become of the incident since, and which gateway
	// of the store it came to.
	Message string
}

// Act changes the incident with the given id or reference as edit says, and
// returns it. Version, if not 0, must be the incident's. What does not change
// anything leaves no trace.
func (p *Pipeline) Act(ctx context.Context, name string, version uint64, edit func(*incident.Edit) error) (*incident.Incident, error) {
	i, _, err := p.ActOn(ctx, name, Terms{Version: version}, edit)
	return i, err
}

// ActOnce is ActOn for what is said in another tool, whatever the version.
func (p *Pipeline) ActOnce(ctx context.Context, name, message string, edit func(*incident.Edit) error) (i *incident.Incident, again bool, err error) {
	return p.ActOn(ctx, name, Terms{Message: message}, edit)
}

// ActOn is Act on terms. Again reports that the message came before.
func (p *Pipeline) ActOn(ctx context.Context, name string, terms Terms, edit func(*incident.Edit) error) (_ *incident.Incident, again bool, err error) {
	known, err := p.store.Incident(ctx, name)
	if err != nil {
		return nil, false, err
	}
	rules := p.rules.Load()
	result := known
	var outcomes []incident.DutyOutcome
	change := incident.Change{ID: uuid.New(), Incident: known.ID, Key: known.Key, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if st.Incident == nil {
			return next, incident.ErrNotFound
		}
		result = st.Incident
		again = false
		if terms.Message != "" && st.Key != nil { // without a key the incident is about to be removed
			heard := *st.Key
			if again = dedupe.Heard(&heard, terms.Message, st.Now); again {
				return next, nil // what it did has changed the version
			}
			next.Key = &heard
		}
		if terms.Version != 0 && st.Incident.Version != terms.Version {
			return next, otherVersion(st.Incident, terms.Version)
		}
		e := rules.policy.Change(st.Incident, st.Now)
		if err := edit(e); err != nil {
			return next, asConflict(err, st.Incident)
		}
		if reopened := !st.Incident.IsOpen() && e.Incident.IsOpen(); reopened {
			if err := takeKey(&st, &next); err != nil || !next.Want.IsZero() {
				return next, err
			}
		}
		if e.Changed() {
			result = e.Incident
			if rules.tells(e.Incident) {
				e.Arm(jobWriteBack)
			}
			e.Into(&next)
		}
		outcomes = next.Duties
		return next, nil
	}}
	if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
		return nil, false, err
	}
	p.countDuties(outcomes)
	if rules.Targets != nil {
		p.Wake()
	}
	return result.Clone(), again, nil
}

// takeKey makes the incident that is to be reopened the one that its key names,
// or refuses because the key has a newer one: the alerts are there.
func takeKey(st *incident.State, next *incident.Next) error {
	i := st.Incident
	key := incident.KeyState{Key: i.Key, Rule: i.Rule, By: []alert.Label{}}
	switch {
	case next.Key != nil:
		key = *next.Key
	case st.Key != nil:
		key = *st.Key
	}
	newer, asked := st.Others[key.Incident]
	switch {
	case key.Incident == i.ID:
		return nil
	case !key.Incident.IsZero() && !asked:
		next.Want.Incidents = []incident.ID{key.Incident}
		return nil
	case newer != nil:
		return &ConflictError{Current: i, Reason: "a newer incident of the same key exists: " + newer.Reference}
	}
	// Retention has removed the newer one, or the key with it.
	key.Incident = i.ID
	next.Key = &key
	return nil
}

func otherVersion(current *incident.Incident, version uint64) error {
	return &ConflictError{Current: current, Reason: fmt.Sprintf("the incident has version %d, not %d", current.Version, version)}
}

// asConflict says what an edit refused in the words of a request: what does not fit
// the incident is a conflict, what was wrong from the start an input error.
func asConflict(err error, current *incident.Incident) error {
	var (
		state   *incident.StateError
		refused *incident.RefusedError
		gate    *incident.GateError
		field   *incident.FieldError
	)
	switch {
	case errors.As(err, &state), errors.As(err, &refused):
		return &ConflictError{Current: current, Reason: err.Error()}
	case errors.As(err, &gate):
		return &ConflictError{Current: current, Reason: gate.Error(), Missing: gate.Missing}
	case errors.As(err, &field):
		return &InputError{field.Field, field.Reason}
	}
	return err
}

// CheckSeverity reports an InputError if s is not a configured severity.
func (p *Pipeline) CheckSeverity(s string) error {
	return oneOf("severity", s, p.rules.Load().Classify.Severities)
}

// Severities are the configured ones, worst first.
func (p *Pipeline) Severities() []string { return p.rules.Load().Classify.Severities }

// Teams are those that metrics name.
func (p *Pipeline) Teams() []string { return p.rules.Load().policy.Teams }

// Categories are the configured ones.
func (p *Pipeline) Categories() []string { return p.rules.Load().Classify.Categories }
