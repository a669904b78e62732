package router

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestWhatEditsRefuse becomes what a request is told: a conflict with the incident as
// it is, or the field that is wrong.
func TestWhatEditsRefuse(t *testing.T) {
	current := &incident.Incident{Title: "x"}
	missing := []incident.Requirement{{Name: "cause", Text: "say what caused it"}}
	for _, c := range []struct {
		err      error
		conflict string
		field    string
	}{
		{&incident.StateError{Action: "close", State: incident.Open}, "cannot close an incident that is open", ""},
		{&incident.RefusedError{Reason: "no"}, "no", ""},
		{&incident.GateError{Action: incident.ActionClose, Missing: missing}, "cannot close it yet: say what caused it", ""},
		{&incident.FieldError{Field: "to", Reason: "is unknown"}, "", "to"},
		{fmt.Errorf("wrapped: %w", &incident.FieldError{Field: "to", Reason: "is unknown"}), "", "to"},
		{errors.New("other"), "", ""},
	} {
		got := asConflict(c.err, current)
		var conflict *ConflictError
		var input *InputError
		switch {
		case c.conflict != "":
			gate := errors.As(c.err, new(*incident.GateError))
			if !errors.As(got, &conflict) || conflict.Reason != c.conflict || conflict.Current != current || (len(conflict.Missing) == 1) != gate {
				t.Errorf("%v: got %+v", c.err, got)
			}
		case c.field != "":
			if !errors.As(got, &input) || input.Field != c.field || input.Reason != "is unknown" {
				t.Errorf("%v: got %+v", c.err, got)
			}
		case got != c.err:
			t.Errorf("%v: got %v", c.err, got)
		}
	}
}
