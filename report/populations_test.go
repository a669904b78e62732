package report

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestPopulations: who uses the service stands there until a person says who is
// affected, and never in the report of one customer.
func TestPopulations(t *testing.T) {
	for name, c := range map[string]struct {
		said, customer, want string
	}{"nobody has said it": {want: "all staff"}, "said": {said: "the shop", want: "the shop"}, "of a customer": {customer: "Acme"}} {
		p := &incident.Process{Customer: c.customer, Findings: incident.Findings{Populations: c.said}}
		k := Case{Incident: &incident.Incident{Process: p}, Populations: "all staff"}
		if v := k.populations(); v.Text != c.want {
			t.Errorf("%s: got %q, want %q", name, v.Text, c.want)
		}
	}
}
