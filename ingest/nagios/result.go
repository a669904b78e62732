package nagios

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Result is the result of a check that somebody else ran, as NRDP and NSCA carry it.
type Result struct {
	Host string
	// Service is empty if it is the host that was checked.
	Service string
	// State is the state's number: OK, WARNING, CRITICAL, UNKNOWN of a service, UP,
	// DOWN, UNREACHABLE of a host.
	State int
	// Output is what the plugin wrote: a line, perhaps more, performance data
	// behind a bar.
	Output string
	// At is when it was checked; zero if it is not said.
	At time.Time
}

var (
	serviceStates = []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
	hostStates    = []string{"UP", "DOWN", "UNREACHABLE"}
)

// statesOf are the states of a service, or of a host if there is none, by their numbers.
func statesOf(service string) []string {
	if service == "" {
		return hostStates
	}
	return serviceStates
}

// Fault says what is wrong with it, and in which field of NRDP; "" if nothing is.
func (r *Result) Fault() (field, reason string) {
	switch states := statesOf(r.Service); {
	case r.Host == "":
		return "hostname", "absent; a result says there which host it is of"
	case r.State < 0 || r.State >= len(states):
		return "state", fmt.Sprintf("%d is no state; 0 to %d are %s", r.State, len(states)-1, strings.Join(states, ", "))
	}
	return "", ""
}

// Alert makes an alert of a result without a fault. It has the same key as a
// notification about the same object. A good result resolves: if there is
// nothing to resolve it means nothing.
func (r *Result) Alert() alert.Alert {
	state := statesOf(r.Service)[r.State]
	first, _, _ := strings.Cut(strings.TrimSpace(r.Output), "\n")
	summary, _, _ := strings.Cut(first, "|")
	summary = strings.TrimSpace(summary)
	description := strings.TrimSpace(r.Output)
	if description == summary {
		description = ""
	}
	a := alert.Alert{
		Status:      status(state),
		Identity:    key(r.Host, r.Service),
		Key:         key(r.Host, r.Service),
		PerHost:     true,
		EventAt:     r.At,
		Labels:      fields.Labels("alertname", name(r.Service), "host", r.Host, "service", r.Service, "severity", severity(state)),
		Annotations: fields.Labels("summary", summary, "description", description, "state", strings.ToLower(state)),
	}
	if a.Status == alert.Resolved {
		a.EndsAt = r.At
	}
	return a
}
