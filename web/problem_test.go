package web

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// TestMissingRequirements are listed by name, beside the incident.
func TestMissingRequirements(t *testing.T) {
	current := &incident.Incident{Title: "it burns"}
	err := &router.ConflictError{Current: current, Reason: "cannot resolve it yet", Missing: []incident.Requirement{{Name: "confirmation", Text: "have the customer confirm it"}, {Name: "cause", Text: "say what caused it"}}}
	p := problemOf(fmt.Errorf("act: %w", errors.Join(err)))
	want := []FieldProblem{{"confirmation", "have the customer confirm it"}, {"cause", "say what caused it"}}
	if p.Status != 409 || p.Detail != "cannot resolve it yet" || !reflect.DeepEqual(p.Errors, want) || p.Incident == nil || p.Incident.Title != "it burns" {
		t.Errorf("got %+v", p)
	}
}
